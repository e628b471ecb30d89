"""Private tables of /realtime: orders, executions, positions, margin and wallet as they move."""

from collections.abc import Sequence

from oneprice.model.units import SECOND, Asset, InstrumentId
from oneprice.twin.contract import (
    BalanceChanged,
    Exchange,
    Filled,
    FundingSettled,
    Order,
    OrderChanged,
    Output,
    PositionChanged,
    State,
    TickerChanged,
)
from oneprice.twin.dialects.bitmex.account_rows import AccountRows
from oneprice.twin.dialects.bitmex.envelope import Row, encoded, lean
from oneprice.twin.dialects.bitmex.facts import MARKET, WALLET, Sheets
from oneprice.twin.dialects.bitmex.order_entry import OrderEntry
from oneprice.twin.dialects.bitmex.order_rows import Executions, OrderRows
from oneprice.twin.dialects.bitmex.sessions import Sessions

REVALUE_NS = SECOND  # positions are told of a moved mark price at most this often
_EVENTS = {
    "new": "New",
    "amended": "Replaced",
    "cancelled": "Canceled",
    "expired": "Canceled",
    "rejected": "Rejected",
}
_CLOCKS = ("timestamp", "transactTime", "currentTimestamp")
_ALWAYS = {
    "order": ("orderID", "clOrdID", "account", "symbol"),
    "position": ("account", "symbol", "currency", "currentQty"),
    "margin": ("account", "currency"),
    "wallet": ("account", "currency"),
}


class PrivateStreams:
    """Tells accounts what happened to them, and writes their executions down."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        entry: OrderEntry,
        rows: tuple[OrderRows, AccountRows],
        executions: Executions,
        sessions: Sessions,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._entry = entry
        self._orders, self._accounts = rows
        self._executions = executions
        self._sessions = sessions
        self._shown: dict[tuple[str, str, str], Row] = {}  # table, key, row key -> row
        self._valued: dict[tuple[str, InstrumentId], int] = {}
        self._read: dict[str, int] = {}  # how far each account's log was looked through

    # Partials ---------------------------------------------------------------------------------

    def rows(self, table: str, key: str, symbols: list[str], at: int) -> list[Row]:
        """The table as the account's new subscriber finds it; executions start empty."""
        found: list[Row] = []
        if table == "order":
            opened = self._exchange.orders(key, market=MARKET, only_open=True)
            found = [self._orders.row(order) for order in opened]
        elif table == "position":
            found = self._accounts.positions(key, at)
            for row in found:
                self._shown.setdefault(("position", key, str(row["symbol"])), row)
            # A row that was told once stays in the table, flat or not: it is only updated later.
            held = [row["symbol"] for row in found]
            told = [row for (name, whose, _), row in self._shown.items()
                    if (name, whose) == (table, key)]  # fmt: skip
            found += [row for row in told if row["symbol"] not in held]
        elif table == "margin":
            found = self._accounts.margins(key, at)
        elif table == "wallet":
            balances = self._exchange.balances(key, WALLET)
            found = [self._accounts.wallet(key, one.asset, at) for one in balances]
        return [lean(row) for row in found if "symbol" not in row or row["symbol"] in symbols]

    # Publishing -------------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        stirred: dict[tuple[str, InstrumentId], None] = {}  # positions to be told anew
        purses: dict[tuple[str, Asset], None] = {}
        for output in outputs:
            match output:
                case OrderChanged(order=order, cause=cause):
                    self._order(order)
                    self._event(order, _EVENTS.get(cause, "Restated"))
                    stirred[order.account, order.instrument] = None
                case Filled(fill=fill, order=order):
                    self._execution(fill.account, self._orders.trade(fill, order))
                    self._order(order)
                    stirred[fill.account, fill.instrument] = None
                case FundingSettled():
                    self._execution(output.account, self._orders.funding(output))
                case PositionChanged(position=held):
                    stirred[held.account, held.instrument] = None
                case BalanceChanged(balance=balance):
                    self._insured(balance.account)
                    purses[balance.account, balance.asset] = None
                    self._wallet(balance.account, balance.asset, at)
                case TickerChanged(ticker=ticker):
                    self._revalue(ticker.instrument, at)
                case _:
                    pass
        for key, instrument in stirred:
            self._position(key, instrument, at)
            purses[key, self._sheets.by_id[instrument].instrument.settle] = None
        for key, asset in purses:
            self._margin(key, asset, at)
        self.tell_unborn()

    def _insured(self, key: str) -> None:
        """What the insurance fund gave or took is an execution without a fill."""
        log = self._exchange.log(key, WALLET)
        for row in log[self._read.get(key, 0) :]:
            if row.kind == "insurance":
                self._execution(key, self._orders.insured(row))
        self._read[key] = len(log)

    def _position(self, key: str, instrument: InstrumentId, at: int) -> None:
        symbol = self._sheets.by_id[instrument].symbol
        if self._sessions.followed("position", symbol):
            row = self._accounts.position(self._exchange.position(key, instrument), at)
            self._changed("position", key, symbol, row)
        else:
            self._shown.pop(("position", key, symbol), None)  # the next reader begins anew

    def _margin(self, key: str, asset: Asset, at: int) -> None:
        if self._sessions.followed("margin", ""):
            balance = self._exchange.balance(key, WALLET, asset)
            self._changed("margin", key, asset, self._accounts.margin(balance, at))

    def _wallet(self, key: str, asset: Asset, at: int) -> None:
        if self._sessions.followed("wallet", ""):
            self._changed("wallet", key, asset, self._accounts.wallet(key, asset, at))

    def tell_unborn(self) -> None:
        """Orders that the engine turned away: cancelled or rejected from the first moment."""
        news, self._entry.news = self._entry.news, []
        for order in news:
            self._order(order)
            self._event(order, "Rejected" if order.state is State.REJECTED else "Canceled")

    def _event(self, order: Order, kind: str) -> None:
        row = self._orders.event(order, kind, self._executions.next_count())
        self._execution(order.account, row)

    def _execution(self, key: str, row: Row) -> None:
        self._executions.add(key, row)
        message = {"table": "execution", "action": "insert", "data": [lean(row)]}
        self._tell(key, "execution", str(row["symbol"]), message)

    def _order(self, order: Order) -> None:
        row = self._orders.row(order)
        name = str(row["orderID"])
        known = ("order", order.account, name) in self._shown
        if known:
            self._changed("order", order.account, name, row)
        else:
            self._shown["order", order.account, name] = row
            message = {"table": "order", "action": "insert", "data": [lean(row)]}
            self._tell(order.account, "order", str(row["symbol"]), message)
        if not order.open:
            self._shown.pop(("order", order.account, name), None)

    def _revalue(self, instrument: InstrumentId, at: int) -> None:
        """Mark price moved: what positions are worth, and with it what margin is left."""
        if not self._followed(instrument):
            return
        for account in self._exchange.accounts():
            held = self._exchange.position(account.key, instrument)
            place = (account.key, instrument)
            if not held.lots or at - self._valued.get(place, 0) < REVALUE_NS:
                continue
            self._valued[place] = at
            self._position(account.key, instrument, at)
            settle = self._sheets.by_id[instrument].instrument.settle
            self._margin(account.key, settle, at)

    def _followed(self, instrument: InstrumentId) -> bool:
        symbol = self._sheets.by_id[instrument].symbol
        return self._sessions.followed("position", symbol) or self._sessions.followed("margin", "")

    def _changed(self, table: str, key: str, name: str, row: Row) -> None:
        """An update with the changed fields, the key and the time; a new position is inserted."""
        before = self._shown.get((table, key, name))
        self._shown[table, key, name] = row
        news = lean(row)
        if before is not None:
            news = {
                field: value
                for field, value in news.items()
                if field in _ALWAYS[table] or field in _CLOCKS or before.get(field) != value
            }
        if all(field in _ALWAYS[table] or field in _CLOCKS for field in news):
            return
        action = "insert" if before is None and table == "position" else "update"
        message = {"table": table, "action": action, "data": [news]}
        self._tell(key, table, str(row.get("symbol", "")), message)

    def _tell(self, key: str, table: str, symbol: str, message: Row) -> None:
        if self._sessions.followed(table, symbol):
            self._sessions.tell(key, table, symbol, encoded(message))

"""Conversations of several questions: what became of an order, and how the account stands.

Source: Bybit v5 docs, "Get Open & Closed Orders", "Get Order History", "Get Trade History",
"Get Wallet Balance", "Get Position Info", "Get Fee Rate", "Get Transaction Log".
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from oneprice.model.commands import Priority, QueryAccount, QueryOrder
from oneprice.model.events import (
    AccountChecked,
    AnyEvent,
    BalanceReported,
    OrderAmended,
    OrderFilled,
    OrderMissing,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument, instrument_id, split_id
from oneprice.model.units import Asset, InstrumentId, Lots, Nanos
from oneprice.venues.bybit import NAME, account
from oneprice.venues.bybit.instruments import known
from oneprice.venues.bybit.rest import (
    Allowances,
    Failed,
    get,
    page_after,
    paused_by,
    read,
    told,
    unread,
)
from oneprice.venues.bybit.resting import Resting
from oneprice.venues.bybit.standing import leverage, position_mode
from oneprice.venues.bybit.wire import (
    EXECUTION,
    FEE,
    INFO,
    LOG,
    ORDER,
    PAGE,
    POSITION,
    UNREADABLE,
    WALLET,
    OrderRow,
    Page,
    decimal_or_zero,
    excerpt,
)
from oneprice.venues.contract import Answer, Output, Request

Row = Callable[[msgspec.Raw, Nanos], Sequence[AnyEvent]]


class _Asking(msgspec.Struct):
    """One conversation: the questions not answered yet and what the others brought."""

    kind: str  # query or account
    subject: str  # the order id, or the market
    waiting: dict[str, Request]  # by tag
    failed: dict[str, str]  # what -> reason
    orders: list[OrderRow]
    fills: list[OrderFilled]
    held: dict[InstrumentId, None]
    coins: dict[Asset, None]
    amended: list[OrderAmended]
    item: Instrument | None = None
    modes: dict[str, int] = {}  # symbol -> positionIdx
    leverages: dict[InstrumentId, str] = {}
    margin: str = ""  # margin mode of the account


class Inquiries:
    """Asks and collects. Pages beyond the first wait in `follow_ups` for the shell to send."""

    def __init__(
        self,
        listed: Mapping[InstrumentId, Instrument],
        wanted: Sequence[InstrumentId],
        resting: Resting,
        allowances: Allowances,
    ) -> None:
        self._listed = listed
        self._wanted = wanted
        self._resting = resting
        self._allowances = allowances
        self._open: dict[tuple[str, str], tuple[int, _Asking]] = {}
        self._count = 0
        self._touched: dict[InstrumentId, None] = {}
        self._coins: dict[Asset, None] = {}  # every coin that had a balance
        self._fees_differ: dict[str, None] = {}  # markets
        self._next: list[Request] = []

    def touch(self, instrument: InstrumentId) -> None:
        """We dealt in it: the next account check states it even where it is flat."""
        self._touched[instrument] = None

    def saw(self, balances: Sequence[BalanceReported]) -> None:
        """The stream told of these coins: the next account check states them even if gone."""
        self._coins |= {balance.asset: None for balance in balances}

    def follow_ups(self) -> Sequence[Request]:
        """Questions that answers made necessary; each is handed out once."""
        out, self._next = self._next, []
        return out

    # Asking -----------------------------------------------------------------------------

    def order(self, command: QueryOrder, item: Instrument) -> Sequence[Request]:
        """Open and recent orders, history and fills at once: the answers settle it together."""
        named = {"category": item.market, "symbol": item.symbol, "orderLinkId": command.order_id}
        return self._ask(
            "query",
            command.order_id,
            command.priority,
            {
                "realtime": ("/v5/order/realtime", named, "realtime"),
                "history": ("/v5/order/history", named, "history"),
                "fills": ("/v5/execution/list", {**named, "limit": "100"}, "executions"),
            },
            item,
        )

    def account(self, command: QueryAccount) -> Sequence[Request]:
        market = command.market
        unified = {"accountType": "UNIFIED"}
        plan = {
            "wallet": ("/v5/account/wallet-balance", unified, "wallet"),
            "fees": ("/v5/account/fee-rate", {"category": market}, "fees"),
        }
        for coin in self._settle_coins(market):
            within = {"category": market, "settleCoin": coin}
            orders = {**within, "openOnly": "0", "limit": "50"}
            plan[f"orders.{coin}"] = ("/v5/order/realtime", orders, "realtime")
            if market != "spot":
                held = {**within, "limit": "200"}
                plan[f"positions.{coin}"] = ("/v5/position/list", held, "positions")
        mine = [name for name in self._wanted if split_id(name)[:2] == (NAME, market)]
        if market != "spot" and mine:
            plan["info"] = ("/v5/account/info", {}, "wallet")
            for name in mine:
                # Only a question by symbol answers for what is flat, too.
                symbol = split_id(name)[2]
                one = {"category": market, "symbol": symbol}
                plan[f"positions.{symbol}"] = ("/v5/position/list", one, "positions")
        if market != "spot":
            paid = {**unified, "category": market, "type": "SETTLEMENT", "limit": "50"}
            plan["funding"] = ("/v5/account/transaction-log", paid, "log")
        return self._ask("account", market, command.priority, plan, None)

    def _settle_coins(self, market: str) -> Sequence[Asset]:
        """Linear answers only for a named settle coin; the other markets need none."""
        if market != "linear":
            return ("",)
        coins = {item.settle: None for item in self._listed.values() if item.market == market}
        return tuple(coins) or ("USDT", "USDC")

    def _ask(
        self,
        kind: str,
        subject: str,
        priority: Priority,
        plan: Mapping[str, tuple[str, dict[str, str], str]],
        item: Instrument | None,
    ) -> Sequence[Request]:
        self._count += 1
        requests = [
            msgspec.structs.replace(
                get(path, params, f"{kind}:{self._count}:{what}:{subject}", bucket, priority),
                signed=True,
                order_id=subject if kind == "query" else "",
            )
            for what, (path, params, bucket) in plan.items()
        ]
        waiting = {request.tag: request for request in requests}
        asking = _Asking(kind, subject, waiting, {}, [], [], {}, {}, [], item)
        self._open[kind, subject] = (self._count, asking)  # an older one is given up
        return requests

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        kind, number, what, subject = answer.tag.split(":", 3)
        count, asking = self._open.get((kind, subject), (0, None))
        if asking is None or str(count) != number or answer.tag not in asking.waiting:
            return ()  # of a conversation that was given up for a newer one
        request = asking.waiting.pop(answer.tag)
        bucket = request.cost[-1][0]
        out: list[Output] = [*self._allowances.stated_by(bucket, answer)]
        reply = read(answer)
        if isinstance(reply, Failed):
            asking.failed[what] = reply.reason
            out.append(told(answer, reply, at))
            out += paused_by(reply, answer, bucket, at)
        else:
            out += self._page(asking, what, request, reply.result, at)
        if not asking.waiting:
            del self._open[kind, subject]
            out += self._settled(asking, at)
        return out

    def _page(
        self, asking: _Asking, what: str, request: Request, result: msgspec.Raw, at: Nanos
    ) -> Sequence[Output]:
        try:
            if what == "info":
                asking.margin = INFO.decode(result).margin_mode
                return []
            page = PAGE.decode(result)
        except UNREADABLE as error:
            asking.failed[what] = "unreadable_answer"
            shown = f"{what}: {error} | {excerpt(result)}"
            return [unread(asking.kind, "unreadable_answer", shown, at)]
        out: list[Output] = []
        if what == "fees":
            return self._fees(asking, page, at)
        for raw in page.list:
            try:
                out += self._row(asking, what.partition(".")[0], raw, at)
            except UNREADABLE as error:
                asking.failed[what] = "unreadable_row"
                shown = f"{what}: {error} | {excerpt(raw)}"
                out.append(unread(asking.kind, "unreadable_row", shown, at))
        limit = request.query.partition("limit=")[2].partition("&")[0]
        if page.next_page_cursor and limit and len(page.list) >= int(limit):
            more = page_after(request, page.next_page_cursor)
            asking.waiting[more.tag] = more
            self._next.append(more)
        return out

    def _row(self, asking: _Asking, what: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        match what:
            case "realtime" | "history":
                row = ORDER.decode(raw)
                if row.order_link_id == asking.subject:
                    asking.orders.append(row)
                    if asking.item is not None:
                        asking.amended += self._resting.seen(row, asking.item, at)
            case "fills" if asking.item is not None:
                fill = account.execution(EXECUTION.decode(raw), asking.item, at)
                if isinstance(fill, OrderFilled) and fill.order_id == asking.subject:
                    asking.fills.append(fill)
            case "wallet":
                told_coins = account.balances(WALLET.decode(raw), at)
                asking.coins |= {balance.asset: None for balance in told_coins}
                return told_coins
            case "positions":
                place = POSITION.decode(raw)
                item = known(self._listed, asking.subject, place.symbol)
                asking.modes[place.symbol] = place.position_idx
                if place.leverage:
                    asking.leverages[item.id] = place.leverage
                if place.position_idx and not decimal_or_zero(place.size):
                    return ()  # one empty half of a pair; its mode is told at the end
                asking.held[item.id] = None
                return (account.position(place, item, at),)
            case "orders":
                row = ORDER.decode(raw)
                item = known(self._listed, asking.subject, row.symbol)
                return (account.open_order(row, item, at),)
            case "funding":
                entry = LOG.decode(raw)
                if entry.type == "SETTLEMENT" and entry.funding:
                    return (account.settlement(entry, asking.subject, at),)
        return ()

    def _fees(self, asking: _Asking, page: Page, at: Nanos) -> Sequence[Output]:
        """One statement for a market while its symbols agree; once they did not, always each:
        what was said of a symbol stands until something else is said of it."""
        market = asking.subject
        try:
            rows = [FEE.decode(raw) for raw in page.list]
            if not account.agree(rows):
                self._fees_differ[market] = None
            by_symbol = market in self._fees_differ
            mine = {**dict.fromkeys(self._wanted), **self._touched} if by_symbol else {}
            if mine:  # hundreds of others would be told, and kept in the journal, every minute
                rows = [row for row in rows if instrument_id(NAME, market, row.symbol) in mine]
            return account.fees(market, rows, at, by_symbol=by_symbol)
        except UNREADABLE as error:
            asking.failed["fees"] = "unreadable_row"
            return [unread(asking.kind, "unreadable_row", f"fees: {error}", at)]

    # Conclusions ------------------------------------------------------------------------

    def _settled(self, asking: _Asking, at: Nanos) -> Sequence[Output]:
        if asking.kind == "query":
            return self._order_settled(asking, at)
        terms = self._terms(asking, at)
        if asking.failed:
            return terms  # each failure has been told; nobody may rely on this check
        flat: list[AnyEvent] = [
            PositionReported(at=at, instrument=name, lots=Lots(0))
            for name in self._touched
            if name.startswith(f"{NAME}:{asking.subject}:")
            and asking.subject != "spot"
            and name not in asking.held
        ]
        # Coins with nothing in them are left out of the answer.
        gone = [name for name in self._coins if name not in asking.coins]
        flat += [account.nothing(name, at) for name in gone]
        self._touched |= asking.held
        self._coins |= asking.coins
        return [*terms, *flat, AccountChecked(at=at, venue=NAME, market=asking.subject)]

    def _terms(self, asking: _Asking, at: Nanos) -> Sequence[Output]:
        """Position mode and leverage, of whatever symbol the answers named."""
        out: list[Output] = []
        try:
            for symbol, index in asking.modes.items():
                out.append(position_mode(asking.subject, symbol, index, at))
            for name, text in asking.leverages.items():
                out.append(leverage(name, text, at, asking.margin))
        except UNREADABLE as error:
            asking.failed["positions"] = "unreadable_row"
            out.append(unread(asking.kind, "unreadable_row", f"positions: {error}", at))
        return out

    def _order_settled(self, asking: _Asking, at: Nanos) -> Sequence[AnyEvent]:
        """Fills first, then the state; missing where all answered and none knows it.

        Where a question failed nothing is concluded: whoever asked will ask again.
        """
        asking.fills.sort(key=lambda fill: (fill.venue_ms, fill.fill_id))
        out: list[AnyEvent] = [*asking.fills]
        # History can lag behind and open orders can be stale: an end outranks everything.
        ended = [row for row in asking.orders if row.order_status in account.ENDED]
        row = next(iter(ended or asking.orders), None)
        if row is None or asking.item is None:
            if asking.failed or asking.fills:
                return out
            return [OrderMissing(at=at, order_id=asking.subject)]
        try:
            state = account.order(row, asking.item, at)
            filled = decimal_or_zero(row.cum_exec_qty)
        except UNREADABLE as error:
            return [*out, unread(asking.kind, "unreadable_row", f"order: {error}", at)]
        if isinstance(state, OrderUncertain) or (filled and "fills" in asking.failed):
            return out
        return [*out, state, *asking.amended]

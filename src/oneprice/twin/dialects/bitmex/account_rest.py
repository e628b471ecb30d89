"""Private REST: orders, executions, positions, margin, wallet, user and key."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from oneprice.twin.contract import AccountSpec, Exchange, Refusal
from oneprice.twin.dialects.bitmex.account_rows import AccountRows
from oneprice.twin.dialects.bitmex.denials import failure
from oneprice.twin.dialects.bitmex.envelope import Failure, Row, invalid, number
from oneprice.twin.dialects.bitmex.facts import WALLET, Sheets, asset_of, minor_name
from oneprice.twin.dialects.bitmex.fields import Fields
from oneprice.twin.dialects.bitmex.order_entry import OrderEntry
from oneprice.twin.dialects.bitmex.order_rows import Executions
from oneprice.twin.dialects.bitmex.tables import tabled
from oneprice.twin.dialects.bitmex.timers import Timers

HISTORY_MOST = 10_000


class Call(msgspec.Struct, frozen=True):
    """One signed request."""

    account: AccountSpec
    fields: Fields
    at: int

    @property
    def key(self) -> str:
        return self.account.key


Handler = Callable[[Call], object]


class AccountRest:
    """Handlers behind a key, by verb and path."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        entry: OrderEntry,
        rows: AccountRows,
        executions: Executions,
        timers: Timers,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._entry = entry
        self._rows = rows
        self._executions = executions
        self._timers = timers

    def routes(self) -> dict[str, Handler]:
        return {
            "GET /order": self._orders,
            "POST /order": self._place,
            "PUT /order": self._amend,
            "DELETE /order": self._cancel,
            "DELETE /order/all": self._cancel_all,
            "POST /order/cancelAllAfter": self._cancel_all_after,
            "POST /order/closePosition": self._close_position,
            "GET /execution": self._all_executions,
            "GET /execution/tradeHistory": self._trade_history,
            "GET /position": self._positions,
            "POST /position/leverage": self._leverage,
            "POST /position/crossLeverage": self._cross_leverage,
            "POST /position/isolate": self._isolate,
            "POST /position/riskLimit": self._risk_limit,
            "POST /position/transferMargin": self._transfer_margin,
            "GET /user": self._user,
            "GET /user/commission": self._commission,
            "GET /user/margin": self._margin,
            "GET /user/wallet": self._wallet,
            "GET /user/walletHistory": self._wallet_history,
            "GET /user/walletSummary": self._wallet_summary,
            "GET /user/quoteFillRatio": self._nothing,
            "GET /globalNotification": self._nothing,
            "GET /apiKey": self._keys,
        }

    # Orders -----------------------------------------------------------------------------------

    def _orders(self, call: Call) -> list[Row]:
        found = self._entry.history(call.key, call.fields.mapping("filter"))
        rows = self._of_symbol(call, found)
        return tabled(rows, call.fields, keys=("orderID",))

    def _place(self, call: Call) -> Row:
        return self._entry.place(call.account, call.fields, call.at)

    def _amend(self, call: Call) -> Row:
        return self._entry.amend(call.account, call.fields, call.at)

    def _cancel(self, call: Call) -> list[Row]:
        return self._entry.cancel(call.account, call.fields, call.at)

    def _cancel_all(self, call: Call) -> list[Row]:
        return self._entry.cancel_all(call.account, call.fields, call.at)

    def _cancel_all_after(self, call: Call) -> Row:
        return self._timers.arm(call.key, call.fields.whole("timeout"), call.at)

    def _close_position(self, call: Call) -> Row:
        """Deprecated: the same as an order with execInst Close."""
        fields = {"symbol": call.fields.text("symbol"), "execInst": "Close"}
        if "price" in call.fields:
            fields["price"] = call.fields.text("price")
        return self._entry.place(call.account, Fields(fields), call.at)

    def _all_executions(self, call: Call) -> list[Row]:
        rows = self._of_symbol(call, self._executions.all(call.key))
        return tabled(rows, call.fields, keys=("execID",))

    def _trade_history(self, call: Call) -> list[Row]:
        rows = self._of_symbol(call, self._executions.history(call.key))
        return tabled(rows, call.fields, keys=("execID",))

    def _of_symbol(self, call: Call, rows: list[Row]) -> list[Row]:
        wanted = call.fields.text("symbol")
        if not wanted:
            return rows
        symbols = [sheet.symbol for sheet in self._sheets.select(wanted)]
        return [row for row in rows if row["symbol"] in symbols]

    # Positions --------------------------------------------------------------------------------

    def _positions(self, call: Call) -> list[Row]:
        rows = self._rows.positions(call.key, call.at)
        return tabled(rows, call.fields, keys=("account", "symbol", "currency"))

    def _leverage(self, call: Call) -> Row:
        """0 means cross, 0.01 to 100 isolated with that leverage, open or not (section 12)."""
        return self._lever(call, "isolated")

    def _cross_leverage(self, call: Call) -> Row:
        """Another leverage without isolating the position."""
        return self._lever(call, "cross")

    def _lever(self, call: Call, mode: str) -> Row:
        sheet = self._entry.sheet(call.fields)
        leverage = call.fields.decimal("leverage")
        most = sheet.extras.leverage_max
        if leverage is None or leverage < 0 or leverage > most:
            raise invalid(f"'leverage' must be between 0 and {number(most)}")
        try:
            self._set_mode(call, sheet.id, mode if leverage else "cross")
            self._set_leverage(call, sheet.id, leverage or most)
        except Refusal as refusal:
            raise failure(refusal) from None
        return self._position(call, sheet.id)

    def _isolate(self, call: Call) -> Row:
        sheet = self._entry.sheet(call.fields)
        mode = "isolated" if call.fields.flag("enabled", True) else "cross"
        try:
            self._set_mode(call, sheet.id, mode)
        except Refusal as refusal:
            raise failure(refusal) from None
        return self._position(call, sheet.id)

    def _risk_limit(self, call: Call) -> Row:
        """The lowest tier that reaches the wished limit."""
        sheet = self._entry.sheet(call.fields)
        limit = call.fields.whole("riskLimit")
        if limit is None or limit <= 0:
            raise invalid("'riskLimit' must be above 0")
        wished = Decimal(limit).scaleb(-sheet.scale)
        tiers = self._exchange.tiers(sheet.id)
        number_of = next((t.number for t in tiers if not t.value_to or t.value_to >= wished), 0)
        try:
            self._exchange.set_risk_limit(call.key, sheet.id, number_of, call.at)
        except Refusal as refusal:
            if refusal.word != "nothing_changed":
                raise failure(refusal) from None
        return self._position(call, sheet.id)

    def _transfer_margin(self, call: Call) -> Row:
        sheet = self._entry.sheet(call.fields)
        amount = call.fields.whole("amount")
        if not amount:
            raise invalid("'amount' must not be 0")
        coins = Decimal(amount).scaleb(-sheet.scale)
        try:
            self._exchange.add_margin(call.key, sheet.id, 0, coins, call.at)
        except Refusal as refusal:
            raise failure(refusal) from None
        return self._position(call, sheet.id)

    def _set_mode(self, call: Call, instrument: str, mode: str) -> None:
        try:
            self._exchange.set_margin_mode(call.key, instrument, mode, call.at)
        except Refusal as refusal:
            if refusal.word != "mode_unchanged":
                raise

    def _set_leverage(self, call: Call, instrument: str, leverage: Decimal) -> None:
        try:
            self._exchange.set_leverage(call.key, instrument, leverage, call.at)
        except Refusal as refusal:
            if refusal.word != "nothing_changed":
                raise

    def _position(self, call: Call, instrument: str) -> Row:
        return self._rows.position(self._exchange.position(call.key, instrument), call.at)

    # Money ------------------------------------------------------------------------------------

    def _margin(self, call: Call) -> Row | list[Row]:
        """One currency as an object, `all` as a list."""
        rows = self._rows.margins(call.key, call.at)
        wanted = call.fields.text("currency", "XBt")
        if wanted == "all":
            return rows
        currency = minor_name(self._asset(call, wanted))
        return next(row for row in rows if row["currency"] == currency)

    def _wallet(self, call: Call) -> Row | list[Row]:
        wanted = call.fields.text("currency", "XBt")
        if wanted == "all":
            return [self._rows.wallet(call.key, one, call.at) for one in self._assets(call)]
        return self._rows.wallet(call.key, self._asset(call, wanted), call.at)

    def _wallet_history(self, call: Call) -> list[Row]:
        """Newest first already, unlike other tables."""
        wanted = call.fields.text("currency", "XBt")
        assets = self._assets(call) if wanted == "all" else [self._asset(call, wanted)]
        rows = [
            row for one in assets for row in self._rows.wallet_history(call.key, one, call.at)
        ]
        return tabled(rows, call.fields, keys=("transactID",), most=HISTORY_MOST)

    def _wallet_summary(self, call: Call) -> list[Row]:
        """Sums of the history by kind and symbol, and the total."""
        asset = self._asset(call, call.fields.text("currency", "XBt"))
        sums: dict[tuple[str, str], int] = {}
        for row in self._rows.wallet_history(call.key, asset, call.at):
            name = (str(row["transactType"]), str(row["address"]))
            sums[name] = sums.get(name, 0) + int(row["amount"])
        shared = {"account": call.account.uid, "currency": minor_name(asset)}
        rows = [
            shared | {"transactType": kind, "symbol": symbol, "amount": amount}
            for (kind, symbol), amount in sums.items()
        ]
        total = sum(sums.values())
        return [*rows, shared | {"transactType": "Total", "symbol": "", "amount": total}]

    def _assets(self, call: Call) -> list[str]:
        return [one.asset for one in self._exchange.balances(call.key, WALLET)]

    def _asset(self, call: Call, currency: str) -> str:
        found = asset_of(currency, self._assets(call))
        if found is None:
            raise Failure(400, "Invalid currency")
        return found

    # User -------------------------------------------------------------------------------------

    def _user(self, call: Call) -> Row:
        account = call.account
        return {
            "id": account.uid,
            "username": f"user{account.uid}",
            "email": f"user{account.uid}@example.com",
            "TFAEnabled": "",
            "country": "SC",
            "typ": "User",
        }

    def _commission(self, call: Call) -> Row:
        found: Row = {}
        for sheet in self._sheets.all:
            maker, taker = self._exchange.fees(call.key, sheet.id)
            found[sheet.symbol] = {
                "makerFee": number(maker),
                "takerFee": number(taker),
                "maxFee": number(max(maker, taker)),
                "settlementFee": 0,
            }
        return found

    def _keys(self, call: Call) -> list[Row]:
        account = call.account
        allowed = [] if account.read_only else ["order", "orderCancel"]
        return [
            {
                "id": account.key,
                "name": "twin",
                "cidr": "0.0.0.0/0",
                "cidrs": list(account.addresses) or ["0.0.0.0/0"],
                "permissions": allowed,
                "enabled": True,
                "userId": account.uid,
            }
        ]

    def _nothing(self, call: Call) -> list[Row]:
        return []

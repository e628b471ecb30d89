"""Orders in and out of the exchange: reading, placing, amending, cancelling, in venue words."""

from decimal import Decimal

from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import OffGrid
from oneprice.model.units import ROUNDED, ZERO, Side
from oneprice.twin.contract import (
    AccountSpec,
    Exchange,
    Kind,
    Order,
    OrderRequest,
    Refusal,
    State,
)
from oneprice.twin.dialects.bitmex.denials import SHORT, failure
from oneprice.twin.dialects.bitmex.envelope import Failure, Row, invalid
from oneprice.twin.dialects.bitmex.facts import MARKET, Sheet, Sheets
from oneprice.twin.dialects.bitmex.fields import Fields
from oneprice.twin.dialects.bitmex.names import ORDER, UNBORN, count_of
from oneprice.twin.dialects.bitmex.order_rows import SUBMITTED, OrderRows

CLIENT_ID_MAX = 36  # doubtful, from memory (section 17)
POST_ONLY, REDUCE, CLOSE = "ParticipateDoNotInitiate", "ReduceOnly", "Close"
_LIFETIMES = {
    "GoodTillCancel": TimeInForce.GTC,
    "Day": TimeInForce.GTC,  # until 00:00 UTC; the timers end it
    "ImmediateOrCancel": TimeInForce.IOC,
    "FillOrKill": TimeInForce.FOK,
}
_TRIGGERED = ("Stop", "StopLimit", "MarketIfTouched", "LimitIfTouched", "Pegged")
_INSTRUCTIONS = (POST_ONLY, REDUCE, CLOSE, "MarkPrice", "LastPrice", "IndexPrice",
                 "LastWithinMark", "Fixed")  # fmt: skip
_NEW = (
    "symbol", "side", "orderQty", "price", "displayQty", "stopPx", "clOrdID", "clOrdLinkID",
    "pegOffsetValue", "pegPriceType", "ordType", "timeInForce", "execInst", "contingencyType",
    "text", "strategy", "simpleOrderQty", "_format",
)  # fmt: skip
_AMEND = (
    "orderID", "origClOrdID", "clOrdID", "orderQty", "leavesQty", "price", "stopPx",
    "pegOffsetValue", "text", "simpleOrderQty", "simpleLeavesQty", "symbol", "_format",
)  # fmt: skip


class OrderEntry:
    """Everything that changes orders; the rows it returns are those of the stream, too."""

    def __init__(self, exchange: Exchange, sheets: Sheets, rows: OrderRows) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._rows = rows
        self._ids: dict[tuple[str, str], int] = {}  # (key, clOrdID given by an amendment)
        self._unborn = 0
        self.news: list[Order] = []  # orders that never lived, not yet told on streams

    # Placing ----------------------------------------------------------------------------------

    def place(self, account: AccountSpec, fields: Fields, at: int) -> Row:
        """POST /order; Failure where the order is refused."""
        _check_names(fields, _NEW, "NewOrderBean")
        sheet = self.sheet(fields)
        request = self._request(account, sheet, fields)
        if request.client_id and self.find_by_client_id(account.key, request.client_id):
            raise Failure(400, "Duplicate clOrdID")
        try:
            return self._rows.row(self._exchange.place(request, at))
        except Refusal as refusal:
            if refusal.word == "reduce_only":
                return self._never(request, State.CANCELLED, "reduce_only", at)
            if refusal.word in ("insufficient_funds", "insufficient_margin"):
                message = self._short(sheet, request)
                self._never(request, State.REJECTED, message, at)
                raise Failure(400, message) from None
            raise failure(refusal) from None

    def sheet(self, fields: Fields) -> Sheet:
        symbol = fields.text("symbol")
        if not symbol:
            raise invalid("'symbol' is a required arg.")
        sheet = self._sheets.find(symbol)
        if sheet is None:
            raise Failure(400, "Invalid symbol")
        return sheet

    def _request(self, account: AccountSpec, sheet: Sheet, fields: Fields) -> OrderRequest:
        instructions = self._instructions(fields)
        kind, life = self._terms(fields, instructions)
        lots, side = self._size(account, sheet, fields, instructions)
        ticks = 0
        if kind is Kind.LIMIT:
            price = fields.decimal("price")
            if price is None:
                raise Failure(400, "Invalid price")
            ticks = self._ticks(sheet, price)
        client_id = fields.text("clOrdID")
        if len(client_id) > CLIENT_ID_MAX:
            raise invalid(f"'clOrdID' must not be longer than {CLIENT_ID_MAX} characters")
        return OrderRequest(
            account=account.key,
            instrument=sheet.id,
            side=side,
            lots=lots,
            ticks=ticks,
            kind=kind,
            time_in_force=TimeInForce.POST_ONLY if POST_ONLY in instructions else life,
            client_id=client_id,
            reduce_only=REDUCE in instructions or CLOSE in instructions,
            echo={
                "text": fields.text("text", SUBMITTED),
                "execInst": ",".join(instructions),
                "timeInForce": fields.text("timeInForce"),
            },
        )

    def _instructions(self, fields: Fields) -> list[str]:
        found = [one.strip() for one in fields.strings("execInst") if one.strip()]
        for one in found:
            if one not in _INSTRUCTIONS:
                raise Failure(400, "Unsupported execInst")
        return found

    def _terms(self, fields: Fields, instructions: list[str]) -> tuple[Kind, TimeInForce]:
        usual = "Limit" if "price" in fields else "Market"
        word = fields.text("ordType") or usual
        if word in _TRIGGERED:  # this exchange has no triggers: say no rather than guess
            raise Failure(400, f"Unsupported ordType {word}")
        if word not in ("Limit", "Market"):
            raise Failure(400, "Invalid ordType")
        kind = Kind.LIMIT if word == "Limit" else Kind.MARKET
        life = _LIFETIMES.get(fields.text("timeInForce", "GoodTillCancel"))
        if life is None:
            raise Failure(400, "Unsupported timeInForce")
        if POST_ONLY in instructions and (kind is Kind.MARKET or life is not TimeInForce.GTC):
            raise Failure(400, "Invalid ordType or timeInForce for execInst")
        if fields.text("strategy", "OneWay") != "OneWay":
            raise Failure(400, "Invalid strategy")
        if "displayQty" in fields and fields.whole("displayQty") != fields.whole("orderQty"):
            raise Failure(400, "Invalid displayQty")  # hidden sizes are not part of this twin
        return kind, life

    def _size(
        self, account: AccountSpec, sheet: Sheet, fields: Fields, instructions: list[str]
    ) -> tuple[int, Side]:
        """Lots and side; a negative orderQty sells, Close without one takes the position."""
        quantity = fields.whole("orderQty")
        word = fields.text("side")
        if word not in ("", "Buy", "Sell"):
            raise Failure(400, "Invalid side")
        held = self._exchange.position(account.key, sheet.id).lots
        if quantity is None and CLOSE in instructions:
            side = Side.SELL if held > 0 else Side.BUY
            if word:
                side = Side.BUY if word == "Buy" else Side.SELL
            return max(1, abs(held)), side
        if not quantity:
            raise Failure(400, "orderQty is invalid")
        side = Side.SELL if word == "Sell" or (not word and quantity < 0) else Side.BUY
        return self._lots(sheet, abs(quantity)), side

    def _lots(self, sheet: Sheet, contracts: int) -> int:
        try:
            return sheet.instrument.lots(Decimal(contracts))
        except OffGrid:
            raise Failure(400, "orderQty is invalid") from None

    def _ticks(self, sheet: Sheet, price: Decimal) -> int:
        try:
            return sheet.instrument.ticks(price)
        except OffGrid:
            raise Failure(400, "Invalid price") from None

    def _short(self, sheet: Sheet, request: OrderRequest) -> str:
        """How much would have been needed: margin and fee, in minor units."""
        ticker = sheet.ticker()
        price = sheet.instrument.price(request.ticks) or ticker.mark
        worth = abs(sheet.value(price, sheet.contracts(request.lots)))
        leverage = self._exchange.leverage(request.account, sheet.id)
        share = ROUNDED.divide(Decimal(1), leverage) + max(ZERO, sheet.extras.taker_fee)
        need = int((worth * share).to_integral_value())
        return SHORT.format(need, sheet.currency)

    def _never(self, request: OrderRequest, state: State, reason: str, at: int) -> Row:
        """An order that the engine turned away: it is told once and then history."""
        self._unborn += 1
        sheet = self._sheets.by_id[request.instrument]
        order = Order(
            id=-self._unborn,
            account=request.account,
            instrument=request.instrument,
            client_id=request.client_id,
            side=request.side,
            kind=request.kind,
            time_in_force=request.time_in_force,
            ticks=request.ticks,
            lots=request.lots,
            filled_lots=0,
            filled_value=ZERO,
            fees=ZERO,
            fee_asset=sheet.instrument.settle,
            average=ZERO,
            state=state,
            reason=reason,
            reduce_only=request.reduce_only,
            position_index=0,
            self_trade=request.self_trade,
            quote_amount=None,
            created_at=at,
            updated_at=at,
            amended=0,
            echo=request.echo,
        )
        self._rows.unborn.setdefault(request.account, []).append(order)
        self.news.append(order)
        return self._rows.row(order)

    # Amending ---------------------------------------------------------------------------------

    def amend(self, account: AccountSpec, fields: Fields, at: int) -> Row:
        """PUT /order by orderID or origClOrdID, one of size and price or both."""
        _check_names(fields, _AMEND, "AmendOrderBean")
        order = self._named(account.key, fields.text("orderID"), fields.text("origClOrdID"))
        if order is None:
            raise Failure(400, "Invalid orderID" if "orderID" in fields else "Invalid origClOrdID")
        if not order.open:
            raise Failure(400, "Invalid ordStatus")
        if "stopPx" in fields or "pegOffsetValue" in fields:
            raise Failure(400, "Invalid stopPx for ordType")
        sheet = self._sheets.by_id[order.instrument]
        price = fields.decimal("price")
        ticks = None if price is None else self._ticks(sheet, price)
        lots = self._amended_lots(sheet, order, fields)
        fresh = fields.text("clOrdID")
        if fresh and fresh != self._rows.client_id(order):
            if self.find_by_client_id(account.key, fresh):
                raise Failure(400, "Duplicate clOrdID")
            if len(fresh) > CLIENT_ID_MAX:
                raise invalid(f"'clOrdID' must not be longer than {CLIENT_ID_MAX} characters")
        try:
            changed = self._exchange.amend(account.key, order.id, ticks=ticks, lots=lots, at=at)
        except Refusal as refusal:
            if refusal.word in ("insufficient_funds", "insufficient_margin"):
                leaves = lots or order.lots
                request = OrderRequest(
                    account=account.key,
                    instrument=order.instrument,
                    side=order.side,
                    lots=leaves - order.filled_lots,
                    ticks=order.ticks if ticks is None else ticks,
                )
                raise Failure(400, self._short(sheet, request)) from None
            raise failure(refusal) from None
        if fresh:
            self._rows.renamed[order.id] = fresh
            self._ids[account.key, fresh] = order.id
        return self._rows.row(changed)

    def _amended_lots(self, sheet: Sheet, order: Order, fields: Fields) -> int | None:
        total, leaves = fields.whole("orderQty"), fields.whole("leavesQty")
        if total is not None and leaves is not None:
            raise Failure(400, "Must provide one of: orderQty, leavesQty")
        if total is not None:
            return self._lots(sheet, abs(total))
        if leaves is not None:
            return order.filled_lots + self._lots(sheet, abs(leaves))
        return None

    # Cancelling -------------------------------------------------------------------------------

    def cancel(self, account: AccountSpec, fields: Fields, at: int) -> list[Row]:
        """DELETE /order; those that cannot be cancelled come back with `error` (section 11)."""
        by_id, by_name = fields.strings("orderID"), fields.strings("clOrdID")
        if not by_id and not by_name:
            raise invalid("orderID or clOrdID must be sent")
        rows = [self._cancel_one(account, one, "", fields, at) for one in by_id]
        return rows + [self._cancel_one(account, "", one, fields, at) for one in by_name]

    def _cancel_one(
        self, account: AccountSpec, number: str, name: str, fields: Fields, at: int
    ) -> Row:
        order = self._named(account.key, number, name)
        if order is None:
            what = {"orderID": number} if number else {"clOrdID": name}
            return what | {"error": f"{'orderID' if number else 'clOrdID'} not found"}
        if not order.open:
            error = f"Unable to cancel order due to existing state: {self._rows.status(order)}"
            return self._rows.row(order) | {"error": error}
        if "text" in fields:
            self._rows.causes[order.id] = fields.text("text")
        return self._rows.row(self._exchange.cancel(account.key, order.id, at))

    def cancel_all(self, account: AccountSpec, fields: Fields, at: int) -> list[Row]:
        """DELETE /order/all, of one symbol and side where asked."""
        wanted = fields.mapping("filter")
        symbol = fields.text("symbol") or str(wanted.get("symbol", ""))
        if symbol and self._sheets.find(symbol) is None:
            raise Failure(400, "Invalid symbol")
        rows: list[Row] = []
        for order in self._exchange.orders(account.key, market=MARKET, only_open=True):
            row = self._rows.row(order)
            if symbol and row["symbol"] != symbol:
                continue
            if "side" in wanted and row["side"] != wanted["side"]:
                continue
            if "text" in fields:
                self._rows.causes[order.id] = fields.text("text")
            rows.append(self._rows.row(self._exchange.cancel(account.key, order.id, at)))
        return rows

    def cancel_for(self, key: str, cause: str, at: int, *, day_orders: bool = False) -> None:
        """Ends an account's open orders for a reason of the venue's own."""
        for order in self._exchange.orders(key, market=MARKET, only_open=True):
            if not day_orders or order.echo.get("timeInForce") == "Day":
                self._rows.causes[order.id] = cause
                self._exchange.cancel(key, order.id, at)

    # Finding ----------------------------------------------------------------------------------

    def history(self, key: str, wanted: Row) -> list[Row]:
        """Orders of an account, oldest first, those included that never lived.

        A filter by id or for open ones is looked up; everything else in it is left to the table.
        """
        number, name = wanted.get("orderID"), wanted.get("clOrdID")
        if isinstance(number, str) or (isinstance(name, str) and name):
            order = self._named(key, str(number or ""), str(name or ""))
            return [] if order is None else [self._rows.row(order)]
        only_open = wanted.get("open") is True
        orders = self._exchange.orders(key, market=MARKET, only_open=only_open)
        if not only_open:
            orders += self._rows.unborn.get(key, [])
            orders.sort(key=lambda order: (order.created_at, order.id))
        return [self._rows.row(order) for order in orders]

    def find_by_client_id(self, key: str, name: str) -> Order | None:
        renamed = self._ids.get((key, name))
        if renamed is not None:
            return self._exchange.order(key, renamed)
        for order in self._rows.unborn.get(key, []):
            if order.client_id == name:
                return order
        try:
            order = self._exchange.order_by_client_id(key, name)
        except Refusal:
            return None
        return order if self._rows.client_id(order) == name else None

    def _named(self, key: str, number: str, name: str) -> Order | None:
        if not number:
            return self.find_by_client_id(key, name) if name else None
        for order in self._rows.unborn.get(key, []):
            if order.id == -count_of(UNBORN, number):
                return order
        try:
            return self._exchange.order(key, count_of(ORDER, number))
        except Refusal:
            return None


def _check_names(fields: Fields, known: tuple[str, ...], bean: str) -> None:
    for name in fields.names:
        if name not in known:
            raise invalid(
                f'Unrecognized field "{name}" (class {bean}), not marked as ignorable'
            )

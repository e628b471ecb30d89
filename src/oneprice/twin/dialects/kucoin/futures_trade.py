"""Futures orders: place, cancel, batches, queries, fills."""

from collections.abc import Callable
from contextlib import suppress
from decimal import ROUND_FLOOR, Decimal

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.units import HOUR, MILLI, ROUNDED, ZERO, Side
from oneprice.twin.contract import Fill, Kind, Order, OrderRequest, Refusal
from oneprice.twin.dialects.kucoin import names, wishes
from oneprice.twin.dialects.kucoin.envelope import SUCCESS, Failure, Row, amount, millis
from oneprice.twin.dialects.kucoin.facts import (
    FUTURES,
    Call,
    Facts,
    Sheet,
    client_of,
    kind_of,
    word_of,
)
from oneprice.twin.dialects.kucoin.fields import Fields
from oneprice.twin.dialects.kucoin.futures_rows import FuturesRows, trade_type
from oneprice.twin.dialects.kucoin.limits import PoolName
from oneprice.twin.dialects.kucoin.paging import pages
from oneprice.twin.dialects.kucoin.refusals import failure
from oneprice.twin.dialects.kucoin.routes import Route

BATCH_MOST = 20
RECENT = 1000
DAY_MS = 24 * HOUR // MILLI
RECENT_NS = 24 * HOUR
MODES = {"ISOLATED": "isolated", "CROSS": "cross"}
POSITION_INDEX = {"BOTH": 0, "LONG": 1, "SHORT": 2}
ORDERS = "/api/v1/orders"


class FuturesTrade:
    """Section 9. No amend on classic futures, no dead man's switch."""

    def __init__(self, facts: Facts, rows: FuturesRows) -> None:
        self._facts = facts
        self._exchange = facts.exchange
        self._rows = rows

    def routes(self) -> list[Route]:
        return [
            _route("POST", ORDERS, self.place, 2),
            _route("POST", f"{ORDERS}/test", self.test, 2),
            _route("POST", f"{ORDERS}/multi", self.batch, 20),
            _route("DELETE", f"{ORDERS}/multi-cancel", self.cancel_batch, 20),
            _route("DELETE", f"{ORDERS}/client-order/{{clientOid}}", self.cancel_named, 1),
            _route("DELETE", f"{ORDERS}/{{orderId}}", self.cancel, 1),
            _route("DELETE", ORDERS, self.cancel_all, 800),
            _route("DELETE", "/api/v3/orders", self.cancel_all, 10),
            _route("DELETE", "/api/v1/stopOrders", lambda call: {"cancelledOrderIds": []}, 15),
            _route("GET", "/api/v1/stopOrders", lambda c: pages([], c.fields, dict), 6),
            _route("GET", f"{ORDERS}/byClientOid", self.show, 5),
            _route("GET", f"{ORDERS}/{{orderId}}", self.show, 5),
            _route("GET", ORDERS, self.orders, 2),
            _route("GET", "/api/v1/recentDoneOrders", self.recent_done, 5),
            _route("GET", "/api/v1/fills", self.fills, 5),
            _route("GET", "/api/v1/recentFills", self.recent_fills, 3),
            _route("GET", "/api/v1/openOrderStatistics", self.open_value, 10),
        ]

    # Placing ---------------------------------------------------------------------------------

    def place(self, call: Call) -> Row:
        return _ids(self._place(call.key, call.fields, call.at))

    def test(self, call: Call) -> Row:
        """Reads and checks an order without placing it."""
        self._read(call.key, call.fields)
        number = call.at // MILLI * names.PER_SECOND // 1000
        client = call.fields.text("clientOid") or names.generated_client_id(number)
        return {"orderId": names.futures_order(number), "clientOid": client}

    def batch(self, call: Call) -> list[Row]:
        """Each is placed or refused by itself, with a code of its own."""
        wanted = list(call.fields.items())
        if not wanted or len(wanted) > BATCH_MOST:
            raise Failure("300000", f"1 to {BATCH_MOST} orders expected")
        return [self._one_of(call, fields) for fields in wanted]

    def _one_of(self, call: Call, fields: Fields) -> Row:
        known = {"clientOid": fields.text("clientOid"), "symbol": fields.text("symbol")}
        try:
            order = self._place(call.key, fields, call.at)
        except Failure as refused:
            return {"orderId": None} | known | {"code": refused.code, "msg": refused.text}
        return _ids(order) | {"symbol": known["symbol"], "code": SUCCESS, "msg": "success"}

    def _place(self, key: str, fields: Fields, at: int) -> Order:
        sheet, request = self._read(key, fields)
        before = self._exchange.leverage(key, sheet.id)
        wanted = Decimal(request.echo.get("leverage") or before)
        isolated = request.echo["marginMode"] == "ISOLATED"
        if isolated and not request.reduce_only:
            self._lever(key, sheet, wanted, at)
        try:
            return self._exchange.place(request, at)
        except Refusal as refusal:
            with suppress(Failure):  # what the customer must hear is why the order failed
                self._lever(key, sheet, before, at)
            raise self._refused(key, sheet, request, refusal) from None

    def _lever(self, key: str, sheet: Sheet, leverage: Decimal, at: int) -> None:
        """The leverage of an isolated order becomes that of its contract."""
        if leverage == self._exchange.leverage(key, sheet.id):
            return
        wishes.carried(
            self._exchange,
            sheet,
            None,
            lambda: self._exchange.set_leverage(key, sheet.id, leverage, at),
        )

    def _refused(
        self, key: str, sheet: Sheet, request: OrderRequest, refusal: Refusal
    ) -> Failure:
        match refusal.word:
            case "position_mode":
                hedged = self._exchange.hedge_mode(key, FUTURES)
                return failure(
                    refusal,
                    False,
                    order="One-Way" if hedged else "Hedge",
                    account="Hedge" if hedged else "One-Way",
                )
            case "insufficient_margin" | "insufficient_funds":
                price = sheet.instrument.price(request.ticks)
                ticker = self._exchange.ticker(sheet.id)
                cost = _margin(sheet, request.lots, price or ticker.mark, request)
                known = failure(refusal, False)
                return Failure(known.code, f"{known.text} The order would cost {amount(cost)}.")
            case _:
                return wishes.translated(self._exchange, sheet, request.side, refusal)

    def _read(self, key: str, fields: Fields) -> tuple[Sheet, OrderRequest]:
        wishes.check_offered(fields)
        sheet = self._facts.sheet(False, fields.need("symbol"))
        client = wishes.client_id(fields)
        if not client:
            raise Failure("100001", "clientOid is required")
        mode = fields.choice("marginMode", tuple(MODES), "ISOLATED")
        if MODES[mode] != self._exchange.margin_mode(key, sheet.id):
            raise failure(Refusal("margin_mode"), False)
        index = POSITION_INDEX[fields.choice("positionSide", tuple(POSITION_INDEX), "BOTH")]
        closing = fields.flag("closeOrder")
        held = self._exchange.position(key, sheet.id, index).lots
        if closing and not held:
            raise failure(Refusal("reduce_only"), False)
        kind = wishes.kind_of(fields)
        side = (Side.SELL if held > 0 else Side.BUY) if closing else wishes.side_of(fields)
        reducing = closing or fields.flag("reduceOnly")
        request = OrderRequest(
            account=key,
            instrument=sheet.id,
            side=side,
            lots=abs(held) if closing else 0,
            kind=kind,
            time_in_force=self._lasting(fields, kind),
            client_id=client,
            reduce_only=reducing,
            position_index=index,
            self_trade=wishes.self_trade(fields),
            echo=self._echo(key, sheet, fields, mode),
        )
        opening = mode == "ISOLATED" and not reducing
        if opening and "leverage" not in fields:
            raise Failure("100001", "Leverage parameter invalid.")
        if kind is Kind.LIMIT:
            ticks = sheet.ticks(wishes.positive("price", fields))
            request = msgspec.structs.replace(request, ticks=ticks)
        if not closing:
            lots = self._lots(sheet, request, fields)
            request = msgspec.structs.replace(request, lots=lots)
        return sheet, request

    def _echo(self, key: str, sheet: Sheet, fields: Fields, mode: str) -> dict[str, str]:
        leverage = amount(self._exchange.leverage(key, sheet.id))
        if mode == "ISOLATED" and "leverage" in fields:
            leverage = amount(wishes.positive("leverage", fields))
        echo = {"marginMode": mode, "leverage": leverage}
        if fields.flag("closeOrder"):
            echo["closeOrder"] = "true"
        return echo | {name: fields.text(name) for name in ("remark", "stp") if name in fields}

    def _lasting(self, fields: Fields, kind: Kind) -> TimeInForce:
        word = fields.choice("timeInForce", ("GTC", "IOC"), "GTC")
        if kind is Kind.MARKET or word == "IOC":
            if fields.flag("postOnly"):
                raise Failure("300000", "postOnly is invalid with market and IOC orders")
            return TimeInForce.IOC
        return TimeInForce.POST_ONLY if fields.flag("postOnly") else TimeInForce.GTC

    def _lots(self, sheet: Sheet, request: OrderRequest, fields: Fields) -> int:
        """Exactly one of `size` (contracts), `qty` (base) and `valueQty` (quote).

        The last two are for linear contracts alone (SDK text) and rounded down to contracts.
        """
        given = [name for name in ("size", "qty", "valueQty") if name in fields]
        if len(given) != 1:
            raise Failure("300000", "exactly one of size, qty and valueQty is required")
        wanted = wishes.positive(given[0], fields)
        if given[0] == "size":
            return sheet.lots(wanted)
        if sheet.inverse:
            raise Failure("300000", f"{given[0]} is not supported for coin-margined contracts")
        price = sheet.instrument.price(request.ticks) or self._exchange.ticker(sheet.id).mark
        per_lot = sheet.instrument.lot * sheet.instrument.contract_value
        if given[0] == "valueQty":
            per_lot *= price
        return int(ROUNDED.divide(wanted, per_lot).to_integral_value(ROUND_FLOOR))

    # Cancelling ------------------------------------------------------------------------------

    def cancel(self, call: Call) -> Row:
        order = self._cancel(call, call.fields)
        return {"cancelledOrderIds": [names.futures_order(order.id)]}

    def cancel_named(self, call: Call) -> Row:
        self._facts.sheet(False, call.fields.need("symbol"))
        return {"clientOid": client_of(self._cancel(call, call.fields))}

    def cancel_batch(self, call: Call) -> list[Row]:
        """By ids or by client ids; `code` of a row is "200" where it worked."""
        wanted: list[dict[str, str]] = []
        ids, clients = call.fields.raw("orderIdsList"), call.fields.raw("clientOidsList")
        for text in ids if isinstance(ids, list) else ():
            wanted.append({"orderId": str(text)})
        for pair in clients if isinstance(clients, list) else ():
            if isinstance(pair, dict):
                wanted.append({"clientOid": str(pair.get("clientOid", ""))})
        if not wanted:
            raise Failure("300000", "orderIdsList or clientOidsList is required")
        return [self._cancel_one(call, one) for one in wanted]

    def _cancel_one(self, call: Call, wanted: dict[str, str]) -> Row:
        row: Row = {"orderId": wanted.get("orderId"), "clientOid": wanted.get("clientOid")}
        try:
            self._cancel(call, Fields(wanted))
        except Failure as refused:
            return row | {"code": refused.code, "msg": refused.text}
        return row | {"code": "200", "msg": "success"}

    def cancel_all(self, call: Call) -> Row:
        instrument = ""
        if "symbol" in call.fields:
            instrument = self._facts.sheet(False, call.fields.text("symbol")).id
        orders = self._exchange.cancel_all(
            call.key, call.at, market=FUTURES, instrument=instrument
        )
        return {"cancelledOrderIds": [names.futures_order(order.id) for order in orders]}

    def _cancel(self, call: Call, fields: Fields) -> Order:
        try:
            order = self._facts.asked(call.owner, False, fields)
        except Failure:
            raise failure(Refusal("no_such_order"), False) from None
        sheet = self._facts.by_id[order.instrument]
        return wishes.cancelled(self._exchange, sheet, order, call.at)

    # Queries ---------------------------------------------------------------------------------

    def show(self, call: Call) -> Row:
        return self._rows.order(self._facts.asked(call.owner, False, call.fields))

    def orders(self, call: Call) -> Row:
        """Newest first; `status` active or done (the venue's default)."""
        opened = call.fields.choice("status", ("active", "done"), "done") == "active"
        start, end = call.fields.span()
        found = [
            order
            for order in reversed(self._of(call))
            if order.open is opened
            and start <= millis(order.created_at) <= end
            and call.fields.text("side", word_of(order.side)) == word_of(order.side)
            and call.fields.text("type", kind_of(order)) == kind_of(order)
        ]
        return pages(found, call.fields, self._rows.order)

    def recent_done(self, call: Call) -> list[Row]:
        """At most 1000 of the last 24 hours."""
        found = [
            order
            for order in reversed(self._of(call))
            if not order.open and call.at - order.updated_at <= RECENT_NS
        ]
        return [self._rows.order(order) for order in found[:RECENT]]

    def fills(self, call: Call) -> Row:
        start, end = _range(call)
        kinds = [one for one in call.fields.text("tradeTypes").split(",") if one]
        found = [
            fill
            for fill in self._fills(call)
            if start <= millis(fill.at) <= end
            and call.fields.text("side", word_of(fill.side)) == word_of(fill.side)
            and (not kinds or trade_type(fill.reason) in kinds)
        ]
        return pages(found, call.fields, self._rows.fill)

    def recent_fills(self, call: Call) -> list[Row]:
        found = [fill for fill in self._fills(call) if call.at - fill.at <= RECENT_NS]
        return [self._rows.fill(fill) for fill in found[:RECENT]]

    def open_value(self, call: Call) -> Row:
        sheet = self._facts.sheet(False, call.fields.need("symbol"))
        sizes = {Side.BUY: 0, Side.SELL: 0}
        costs = {Side.BUY: ZERO, Side.SELL: ZERO}
        for order in self._exchange.orders(call.key, instrument=sheet.id, only_open=True):
            price = sheet.instrument.price(order.ticks)
            sizes[order.side] += int(sheet.instrument.size(order.leaves_lots))
            costs[order.side] += _cost(sheet, order.leaves_lots, price)
        return {
            "openOrderBuySize": sizes[Side.BUY],
            "openOrderSellSize": sizes[Side.SELL],
            "openOrderBuyCost": amount(costs[Side.BUY]),
            "openOrderSellCost": amount(costs[Side.SELL]),
            "settleCurrency": sheet.instrument.settle,
        }

    def _of(self, call: Call) -> list[Order]:
        instrument = ""
        if "symbol" in call.fields:
            instrument = self._facts.sheet(False, call.fields.text("symbol")).id
        return self._exchange.orders(call.key, market=FUTURES, instrument=instrument)

    def _fills(self, call: Call) -> list[Fill]:
        """Newest first, of a contract or an order where one is named."""
        instrument, number = "", 0
        if "symbol" in call.fields:
            instrument = self._facts.sheet(False, call.fields.text("symbol")).id
        if "orderId" in call.fields:
            number = names.futures_order_number(call.fields.text("orderId")) or -1
        found = self._exchange.fills(
            call.key, market=FUTURES, instrument=instrument, order_id=number
        )
        return found[::-1]


def _range(call: Call) -> tuple[int, int]:
    """Three months are kept, a week is told at a time; one bound makes a day, none everything."""
    start, end = call.fields.span()
    if "startAt" in call.fields and "endAt" not in call.fields:
        end = start + DAY_MS
    elif "endAt" in call.fields and "startAt" not in call.fields:
        start = end - DAY_MS
    elif "startAt" in call.fields:
        start = max(start, end - 7 * DAY_MS)
    return max(start, millis(call.at) - 90 * DAY_MS), end


def _route(method: str, path: str, handler: Callable[[Call], object], weight: int) -> Route:
    return Route(method, path, handler, PoolName.FUTURES, weight)


def _ids(order: Order) -> Row:
    return {"orderId": names.futures_order(order.id), "clientOid": client_of(order)}


def _cost(sheet: Sheet, lots: int, price: Decimal) -> Decimal:
    size = sheet.instrument.size(lots) * sheet.instrument.contract_value
    if not price:
        return ZERO
    return ROUNDED.divide(size, price) if sheet.inverse else size * price


def _margin(sheet: Sheet, lots: int, price: Decimal, request: OrderRequest) -> Decimal:
    """What an order takes of the wallet, fees left out."""
    return ROUNDED.divide(
        _cost(sheet, lots, price), Decimal(request.echo.get("leverage") or 1)
    )

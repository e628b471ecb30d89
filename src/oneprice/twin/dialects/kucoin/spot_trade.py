"""Spot orders by the HF endpoints: place, cancel, alter, batches, queries, dead man's switch."""

from collections.abc import Callable

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.units import HOUR, MILLI, SECOND
from oneprice.twin.contract import Fill, Kind, Order, OrderRequest
from oneprice.twin.dialects.kucoin import names, wishes
from oneprice.twin.dialects.kucoin.envelope import Failure, Row, millis, parameter
from oneprice.twin.dialects.kucoin.facts import (
    QUOTE_INCREMENT,
    SPOT,
    Call,
    Facts,
    Sheet,
    client_of,
    kind_of,
    word_of,
)
from oneprice.twin.dialects.kucoin.fields import Fields
from oneprice.twin.dialects.kucoin.limits import PoolName
from oneprice.twin.dialects.kucoin.paging import before, pages
from oneprice.twin.dialects.kucoin.refusals import unknown_order
from oneprice.twin.dialects.kucoin.routes import Handler, Route
from oneprice.twin.dialects.kucoin.spot_rows import TIFS, SpotRows
from oneprice.twin.dialects.kucoin.timers import LONGEST_S, SHORTEST_S, Timers

# SDK text: 5; other sources say 20 (section 15, doubtful): the smaller one keeps clients safe.
BATCH_MOST = 5
FILLS_REACH_NS = 7 * 24 * HOUR
HF = "/api/v1/hf"
ORDERS = f"{HF}/orders"


class SpotTrade:
    """Section 8. Matching is done when a request is answered; `sync` calls say how it went."""

    def __init__(self, facts: Facts, rows: SpotRows, timers: Timers) -> None:
        self._facts = facts
        self._exchange = facts.exchange
        self._rows = rows
        self._timers = timers

    def routes(self) -> list[Route]:
        return [
            _route("POST", ORDERS, self.place, 1),
            _route("POST", f"{ORDERS}/sync", self.place_sync, 1),
            _route("POST", f"{ORDERS}/test", self.test, 1),
            _route("POST", f"{ORDERS}/multi", lambda call: self.batch(call, self.place), 1),
            _route(
                "POST", f"{ORDERS}/multi/sync", lambda call: self.batch(call, self.place_sync), 1
            ),
            _route("POST", f"{ORDERS}/alter", self.alter, 1),
            _route("POST", f"{ORDERS}/dead-cancel-all", self.set_switch, 2),
            _route("GET", f"{ORDERS}/dead-cancel-all/query", self.query_switch, 2),
            _route("DELETE", f"{ORDERS}/cancelAll", self.cancel_everything, 30),
            _route("DELETE", f"{ORDERS}/sync/client-order/{{clientOid}}", self.cancel_sync, 1),
            _route("DELETE", f"{ORDERS}/sync/{{orderId}}", self.cancel_sync, 1),
            _route("DELETE", f"{ORDERS}/cancel/{{orderId}}", self.cancel_part, 2),
            _route("DELETE", f"{ORDERS}/client-order/{{clientOid}}", self.cancel, 1),
            _route("DELETE", f"{ORDERS}/{{orderId}}", self.cancel, 1),
            _route("DELETE", ORDERS, self.cancel_symbol, 2),
            _route("GET", f"{ORDERS}/active/symbols", self.active_symbols, 2),
            _route("GET", f"{ORDERS}/active/page", self.active_page, 2),
            _route("GET", f"{ORDERS}/active", self.active, 2),
            _route("GET", f"{ORDERS}/done", self.done, 2),
            _route("GET", f"{ORDERS}/client-order/{{clientOid}}", self.show, 2),
            _route("GET", f"{ORDERS}/{{orderId}}", self.show, 2),
            _route("GET", f"{HF}/fills", self.fills, 2),
        ]

    # Placing ---------------------------------------------------------------------------------

    def place(self, call: Call) -> Row:
        """Answers with the two ids alone."""
        return _ids(self._place(call))

    def place_sync(self, call: Call) -> Row:
        order = self._place(call)
        times = {"orderTime": millis(order.created_at), "matchTime": millis(order.updated_at)}
        return _ids(order) | self._rows.synced(order) | times

    def test(self, call: Call) -> Row:
        """Reads and checks an order without placing it."""
        self._read(call.key, call.fields, call.at)
        number = call.at // MILLI * names.PER_SECOND // 1000
        client = call.fields.text("clientOid") or names.generated_client_id(number)
        return {"orderId": names.spot_order(number), "clientOid": client}

    def batch(self, call: Call, place: Handler) -> list[Row]:
        """At most five limit orders; each is placed or fails by itself."""
        orders = call.fields.raw("orderList")
        if not isinstance(orders, list) or not orders:
            raise parameter("orderList is required")
        if len(orders) > BATCH_MOST:
            raise parameter(f"orderList: at most {BATCH_MOST} orders")
        return [self._one_of(call, place, order) for order in orders]

    def _one_of(self, call: Call, place: Handler, order: object) -> Row:
        try:
            if not isinstance(order, dict):
                raise parameter("orderList: objects expected")
            fields = Fields(order)
            if fields.text("type", "limit") != "limit":
                raise parameter("Only limit orders are supported.")
            row = place(Call(fields=fields, at=call.at, account=call.account))
        except Failure as refused:
            return {"success": False, "failMsg": refused.text}
        return (row if isinstance(row, dict) else {}) | {"success": True}

    def _place(self, call: Call) -> Order:
        sheet, request = self._read(call.key, call.fields, call.at)
        order = wishes.carried(
            self._exchange, sheet, request.side, lambda: self._exchange.place(request, call.at)
        )
        seconds = int(request.echo.get("cancelAfter", "0"))
        if seconds and order.open:
            self._timers.expire(call.key, order.id, call.at + seconds * SECOND)
        return order

    def _read(self, key: str, fields: Fields, at: int) -> tuple[Sheet, OrderRequest]:
        wishes.check_offered(fields)
        wishes.check_window(fields, at)
        sheet = self._facts.sheet(True, fields.need("symbol"))
        kind = wishes.kind_of(fields)
        tif, echo = self._lasting(fields, kind)
        request = OrderRequest(
            account=key,
            instrument=sheet.id,
            side=wishes.side_of(fields),
            lots=0,
            kind=kind,
            time_in_force=tif,
            client_id=wishes.client_id(fields),
            self_trade=wishes.self_trade(fields),
            echo=echo,
        )
        return sheet, _sized(sheet, request, fields)

    def _lasting(self, fields: Fields, kind: Kind) -> tuple[TimeInForce, dict[str, str]]:
        """How long it rests, and what the order remembers for its rows."""
        echo = {name: fields.text(name) for name in ("remark", "tags", "stp") if name in fields}
        if kind is Kind.MARKET:
            return TimeInForce.IOC, echo | {"tif": "GTC"}
        word = fields.choice("timeInForce", (*TIFS, "GTT"), "GTC")
        post_only = fields.flag("postOnly")
        if post_only and word in ("IOC", "FOK"):
            raise parameter("postOnly is invalid with timeInForce IOC or FOK")
        if word == "GTT":
            echo |= {"tif": word, "cancelAfter": str(fields.whole("cancelAfter", 0, 1, 1 << 31))}
        tif = TIFS.get(word, TimeInForce.GTC)
        return (TimeInForce.POST_ONLY if post_only else tif), echo

    # Changing --------------------------------------------------------------------------------

    def alter(self, call: Call) -> Row:
        """Cancels an order and places what is left of it anew: a new id, the same client id.

        `newSize` is the total: what was filled counts. Where nothing is left, the order is done.
        """
        order = self._named(call)
        sheet, fields = self._facts.by_id[order.instrument], call.fields
        if "newPrice" not in fields and "newSize" not in fields:
            raise parameter("newPrice or newSize is required")
        ticks, lots = order.ticks, order.lots
        if "newPrice" in fields:
            ticks = sheet.ticks(wishes.positive("newPrice", fields))
        if "newSize" in fields:
            lots = sheet.lots(wishes.positive("newSize", fields))
        client = client_of(order)
        done = wishes.cancelled(self._exchange, sheet, order, call.at)
        if lots <= done.filled_lots:
            return {"newOrderId": "", "clientOid": client}
        request = OrderRequest(
            account=call.key,
            instrument=sheet.id,
            side=order.side,
            lots=lots - done.filled_lots,
            ticks=ticks,
            time_in_force=order.time_in_force,
            self_trade=order.self_trade,
            echo=order.echo | {"clientOid": client},  # the id itself is used up
        )
        made = wishes.carried(
            self._exchange, sheet, order.side, lambda: self._exchange.place(request, call.at)
        )
        return {"newOrderId": names.spot_order(made.id), "clientOid": client}

    def cancel(self, call: Call) -> Row:
        order = self._cancel(call)
        if "orderId" in call.fields:
            return {"orderId": names.spot_order(order.id)}
        return {"clientOid": client_of(order)}

    def cancel_sync(self, call: Call) -> Row:
        order = self._cancel(call)
        known = {"orderId": names.spot_order(order.id)}
        if "orderId" not in call.fields:
            known = {"clientOid": client_of(order)}
        return known | self._rows.synced(order)

    def cancel_part(self, call: Call) -> Row:
        """Takes `cancelSize` off an order, which keeps its place."""
        order = self._named(call)
        sheet = self._facts.by_id[order.instrument]
        size = sheet.lots(wishes.positive("cancelSize", call.fields))
        if size >= order.leaves_lots:
            wishes.cancelled(self._exchange, sheet, order, call.at)
        else:
            wishes.carried(
                self._exchange,
                sheet,
                order.side,
                lambda: self._exchange.amend(
                    call.key, order.id, ticks=None, lots=order.lots - size, at=call.at
                ),
            )
        cancelled = sheet.size(min(size, order.leaves_lots))
        return {"orderId": names.spot_order(order.id), "cancelSize": cancelled}

    def cancel_symbol(self, call: Call) -> str:
        sheet = self._facts.sheet(True, call.fields.need("symbol"))
        self._exchange.cancel_all(call.key, call.at, instrument=sheet.id)
        return "success"

    def cancel_everything(self, call: Call) -> Row:
        orders = self._exchange.cancel_all(call.key, call.at, market=SPOT)
        symbols = dict.fromkeys(self._facts.by_id[order.instrument].symbol for order in orders)
        return {"succeedSymbols": list(symbols), "failedSymbols": []}

    def _cancel(self, call: Call) -> Order:
        order = self._named(call)
        return wishes.cancelled(
            self._exchange, self._facts.by_id[order.instrument], order, call.at
        )

    def _named(self, call: Call) -> Order:
        """The order to change, in the symbol that was named; late comers hear the same."""
        self._facts.sheet(True, call.fields.need("symbol"))
        try:
            return self._asked(call)
        except Failure:
            raise parameter("order_not_exist_or_not_allow_to_cancel") from None

    # Queries ---------------------------------------------------------------------------------

    def show(self, call: Call) -> Row:
        return self._rows.order(self._asked(call))

    def _asked(self, call: Call) -> Order:
        order = self._facts.asked(call.owner, True, call.fields)
        symbol = call.fields.text("symbol")
        if symbol and self._facts.by_id[order.instrument].symbol != symbol:
            raise unknown_order(True)
        return order

    def active(self, call: Call) -> list[Row]:
        return [self._rows.order(order) for order in self._open(call)]

    def active_page(self, call: Call) -> Row:
        return pages(self._open(call), call.fields, self._rows.order)

    def active_symbols(self, call: Call) -> Row:
        orders = self._exchange.orders(call.key, market=SPOT, only_open=True)
        symbols = dict.fromkeys(self._facts.by_id[order.instrument].symbol for order in orders)
        return {"symbols": list(symbols)}

    def _open(self, call: Call) -> list[Order]:
        sheet = self._facts.sheet(True, call.fields.need("symbol"))
        orders = self._exchange.orders(call.key, instrument=sheet.id, only_open=True)
        return orders[::-1]

    def done(self, call: Call) -> Row:
        """Closed orders, newest first."""
        sheet = self._facts.sheet(True, call.fields.need("symbol"))
        start, end = call.fields.span()
        orders = self._exchange.orders(call.key, instrument=sheet.id)
        found = [
            (order.id, order)
            for order in reversed(orders)
            if not order.open
            and start <= millis(order.created_at) <= end
            and _fits(call.fields, word_of(order.side), kind_of(order))
        ]
        last, items = before(found, call.fields, self._rows.order, 20)
        return {"lastId": last, "items": items}

    def fills(self, call: Call) -> Row:
        """Newest first, of the last seven days."""
        sheet = self._facts.sheet(True, call.fields.need("symbol"))
        start, end = call.fields.span()
        start = max(start, millis(call.at - FILLS_REACH_NS))
        number = 0
        if "orderId" in call.fields:
            number = names.spot_order_number(call.fields.text("orderId")) or -1
        found: list[tuple[int, Fill]] = [
            (fill.id, fill)
            for fill in reversed(
                self._exchange.fills(call.key, instrument=sheet.id, order_id=number)
            )
            if start <= millis(fill.at) <= end and _fits(call.fields, word_of(fill.side), "")
        ]
        last, items = before(found, call.fields, self._rows.fill, 20)
        return {"items": items, "lastId": last}

    # Dead man's switch -----------------------------------------------------------------------

    def set_switch(self, call: Call) -> Row:
        """Times of the answer are in seconds; -1 ends the switch."""
        timeout = call.fields.whole("timeout", 0, -1, LONGEST_S)
        symbols = tuple(one for one in call.fields.text("symbols").split(",") if one)
        for symbol in symbols:
            self._facts.sheet(True, symbol)
        now = call.at // SECOND
        if timeout == -1:
            self._timers.clear_switch(call.key)
            return {"currentTime": now, "triggerTime": 0}
        if timeout < SHORTEST_S:
            raise parameter(f"timeout must be {SHORTEST_S} to {LONGEST_S} seconds, or -1")
        switch = self._timers.set_switch(call.key, timeout, symbols, call.at)
        return {"currentTime": now, "triggerTime": switch.due // SECOND}

    def query_switch(self, call: Call) -> Row | None:
        switch = self._timers.switch(call.key)
        if switch is None:
            return None
        return {
            "timeout": switch.timeout_s,
            "symbols": ",".join(switch.symbols),
            "currentTime": call.at // SECOND,
            "triggerTime": switch.due // SECOND,
        }


def _route(method: str, path: str, handler: Callable[[Call], object], weight: int) -> Route:
    return Route(method, path, handler, PoolName.SPOT, weight)


def _ids(order: Order) -> Row:
    return {"orderId": names.spot_order(order.id), "clientOid": client_of(order)}


def _fits(fields: Fields, side: str, kind: str) -> bool:
    wanted_side, wanted_kind = fields.text("side", side), fields.text("type", kind)
    return wanted_side == side and (not kind or wanted_kind == kind)


def _sized(sheet: Sheet, request: OrderRequest, fields: Fields) -> OrderRequest:
    """With price and size; a market order has a size in base or `funds` in quote."""
    changed = msgspec.structs.replace
    if request.kind is Kind.LIMIT:
        ticks = sheet.ticks(wishes.positive("price", fields))
        return changed(request, ticks=ticks, lots=sheet.lots(wishes.positive("size", fields)))
    if ("size" in fields) == ("funds" in fields):
        raise parameter("exactly one of size and funds is required")
    if "size" in fields:
        return changed(request, lots=sheet.lots(wishes.positive("size", fields)))
    funds = wishes.positive("funds", fields)
    if funds % QUOTE_INCREMENT:
        raise Failure("600100", "Order funds increment invalid.")
    return changed(request, quote_amount=funds)

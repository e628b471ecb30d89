"""USD-M and COIN-M orders: place, batch, modify, cancel, count down, query, and their shapes."""

from typing import Any

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, ZERO, Side
from oneprice.twin.contract import Exchange, Fill, Kind, Order, Refusal, State
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.intake import Intake, futures_lots, futures_ticks
from oneprice.twin.dialects.binance.limits import Limits
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.shapes import (
    POSITION_SIDES,
    STP_TO_WIRE,
    fill_price,
    fixed,
    futures_tif,
    limit_ticks,
    millis,
    pair_of,
    side_word,
    status,
    system_id,
)
from oneprice.twin.dialects.binance.spans import KEPT_MS, WEEK_MS, within
from oneprice.twin.dialects.binance.spot_trade import paged

_NAMES = ("orderId", "origClientOrderId")
_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)


class FuturesTrade:
    """The trading calls of both futures products.

    An acknowledgement (`newOrderRespType` ACK) shows the order before it met the book;
    `old_acks` brings back `avgPrice` and `cumQuote`, which acks lost on 2026-07-15.
    """

    def __init__(
        self, exchange: Exchange, desk: MarketDesk, intake: Intake, limits: Limits
    ) -> None:
        self.exchange = exchange
        self.desk = desk
        self.intake = intake
        self.limits = limits
        self.old_acks = False
        self._countdowns: dict[tuple[str, str], int] = {}
        self._amendments: dict[int, list[dict[str, Any]]] = {}

    # Place -------------------------------------------------------------------------------

    def place(self, call: Call) -> dict[str, Any]:
        """POST /fapi/v1/order."""
        self.limits.check_orders(call.key, call.at)
        self.limits.count_orders(call.key, call.at)
        return self._place(call)

    def _place(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        shape = call.text("newOrderRespType", "ACK")
        if shape not in ("ACK", "RESULT", "FULL"):
            raise denials.bad_value("newOrderRespType")
        request = self.intake.futures_order(call, instrument)
        order = self.intake.place(call, request, instrument)
        final = order.kind is Kind.MARKET or order.time_in_force in _IMMEDIATE
        if shape == "ACK" or not final:
            order = msgspec.structs.replace(order, state=State.NEW, filled_lots=0)
        return self.ack(order, instrument)

    def test(self, call: Call) -> dict[str, Any]:
        """POST /fapi/v1/order/test: checks the parameters and sends nothing."""
        instrument = self.desk.find(call)
        self.intake.futures_order(call, instrument)
        return {}

    def batch(self, call: Call) -> list[dict[str, Any]]:
        """POST /fapi/v1/batchOrders: up to five, each with its own answer."""
        rows = _listed(call.need("batchOrders"), "batchOrders", 5)
        self.limits.take_batch(call.key, call.at, len(rows))
        return [self._one(self._place, call, row) for row in rows]

    def batch_modify(self, call: Call) -> list[dict[str, Any]]:
        """PUT /fapi/v1/batchOrders."""
        rows = _listed(call.need("batchOrders"), "batchOrders", 5)
        self.limits.take_batch(call.key, call.at, len(rows))
        return [self._one(self._modify, call, row) for row in rows]

    def _one(self, action: Any, call: Call, row: Any) -> dict[str, Any]:
        params = {str(k): _plain_text(v) for k, v in row.items()} if isinstance(row, dict) else {}
        single = msgspec.structs.replace(call, params=params)
        try:
            answer: dict[str, Any] = action(single)
        except Denied as denied:
            return denied.body()
        return answer

    # Modify ------------------------------------------------------------------------------

    def modify(self, call: Call) -> dict[str, Any]:
        """PUT /fapi/v1/order: side, quantity and price are all mandatory."""
        self.limits.check_orders(call.key, call.at)
        self.limits.count_orders(call.key, call.at)
        return self._modify(call)

    def _modify(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        side, price = call.need("side"), call.need("price")
        call.need("quantity")
        order = self.intake.find_order(call, instrument, _NAMES, denials.no_order())
        if not order.open:
            raise denials.no_order()
        if side != side_word(order.side):
            raise denials.bad_value("side")
        if call.text("reduceOnly") and bool(call.flag("reduceOnly")) != order.reduce_only:
            raise Denied(-5047, "Reduce-only flag does not match the original order.")
        ticks = futures_ticks(instrument, call.decimal("price") or ZERO)
        lots = futures_lots(instrument, call.decimal("quantity") or ZERO)
        if (ticks, lots) == (order.ticks, order.lots):
            raise denials.translated("usdm", "nothing_changed")
        if order.filled_lots and lots <= order.filled_lots:
            return self.ack(self.exchange.cancel(call.key, order.id, call.at), instrument)
        try:
            amended = self.exchange.amend(call.key, order.id, ticks=ticks, lots=lots, at=call.at)
        except Refusal as refusal:
            if refusal.word == "would_take":  # a GTX that would cross is cancelled
                return self.ack(self.exchange.cancel(call.key, order.id, call.at), instrument)
            facts = {"notional_min": str(instrument.notional_min), "limit": price}
            raise denials.translated("usdm", refusal.word, facts) from None
        self._amendments.setdefault(order.id, []).append(
            _amendment(order, amended, instrument, len(self._amendments.get(order.id, ())) + 1)
        )
        return self.ack(amended, instrument)

    def amendments(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v1/orderAmendment, latest first."""
        instrument = self.desk.find(call)
        rows: list[dict[str, Any]] = []
        for order in self.exchange.orders(call.key, instrument=instrument.id):
            if call.text("orderId", str(order.id)) == str(order.id):
                rows += self._amendments.get(order.id, [])
        return rows[::-1][: call.window(50, 100)]

    # Cancel ------------------------------------------------------------------------------

    def cancel(self, call: Call) -> dict[str, Any]:
        """DELETE /fapi/v1/order."""
        instrument = self.desk.find(call)
        order = self.intake.find_order(call, instrument, _NAMES, denials.no_order_to_cancel())
        return self._cancel(call, order, instrument)

    def _cancel(self, call: Call, order: Order, instrument: Instrument) -> dict[str, Any]:
        try:
            ended = self.exchange.cancel(call.key, order.id, call.at)
        except Refusal:
            raise denials.no_order_to_cancel() from None
        return self.ack(ended, instrument)

    def batch_cancel(self, call: Call) -> list[dict[str, Any]]:
        """DELETE /fapi/v1/batchOrders by `orderIdList` or `origClientOrderIdList`."""
        lowered = {name.lower(): value for name, value in call.params.items()}
        by_id = lowered.get("orderidlist", "")
        by_client = lowered.get("origclientorderidlist", "")
        if not by_id and not by_client:
            raise denials.either("origClientOrderIdList", "orderIdList")
        name = "orderId" if by_id else "origClientOrderId"
        rows = _listed(by_id or by_client, f"{name}List", 10)
        symbol = call.need("symbol")
        return [self._one(self.cancel, call, {"symbol": symbol, name: str(row)}) for row in rows]

    def cancel_all(self, call: Call) -> dict[str, Any]:
        """DELETE /fapi/v1/allOpenOrders: code 200 is success."""
        instrument = self.desk.find(call)
        self.exchange.cancel_all(call.key, call.at, instrument=instrument.id)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def countdown(self, call: Call) -> dict[str, Any]:
        """POST /fapi/v1/countdownCancelAll: the dead man's switch of one symbol."""
        instrument = self.desk.find(call)
        call.need("countdownTime")
        span_ms = call.integer("countdownTime", 0)
        if span_ms < 0:
            raise denials.bad_value("countdownTime")
        if span_ms:
            self._countdowns[(call.key, instrument.id)] = call.at + span_ms * MILLI
        else:
            self._countdowns.pop((call.key, instrument.id), None)
        return {"symbol": instrument.symbol, "countdownTime": str(span_ms)}

    def beat(self, at: int) -> None:
        """Cancel what a countdown that ran out protects."""
        for (key, instrument), due in list(self._countdowns.items()):
            if at >= due:
                del self._countdowns[(key, instrument)]
                self.exchange.cancel_all(key, at, instrument=instrument, reason="countdown")

    # Queries -----------------------------------------------------------------------------

    def query(self, call: Call) -> dict[str, Any]:
        """GET /fapi/v1/order."""
        instrument = self.desk.find(call)
        order = self.intake.find_order(call, instrument, _NAMES, denials.no_order())
        return self.row(order, instrument)

    def open_order(self, call: Call) -> dict[str, Any]:
        """GET /fapi/v1/openOrder."""
        instrument = self.desk.find(call)
        order = self.intake.find_order(call, instrument, _NAMES, denials.no_order())
        if not order.open:
            raise denials.no_order()
        return self.row(order, instrument)

    def open_orders(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v1/openOrders."""
        found = self.exchange.orders(
            call.key,
            market=call.product,
            instrument=self.desk.find(call).id if call.text("symbol") else "",
            only_open=True,
        )
        return [self.row(o, self.desk.catalog.instrument(o.instrument)) for o in found]

    def all_orders(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v1/allOrders; the symbol is optional since August 2026."""
        instrument = self.desk.find(call).id if call.text("symbol") else ""
        orders = self.exchange.orders(call.key, market=call.product, instrument=instrument)
        chosen = paged(call, [(order.id, order.created_at, order) for order in orders], "orderId")
        return [self.row(o, self.desk.catalog.instrument(o.instrument)) for o in chosen]

    def user_trades(self, call: Call) -> list[dict[str, Any]]:
        """GET /fapi/v1/userTrades."""
        instrument = self.desk.find(call)
        fills = self.exchange.fills(
            call.key, instrument=instrument.id, order_id=call.integer("orderId", 0)
        )
        grid = self.desk.catalog.grid(instrument.id)
        rows = [(fill.trade_id, fill.at, fill) for fill in fills]
        chosen = paged(call, within(call, rows, WEEK_MS, kept_ms=KEPT_MS), "fromId")
        return [
            {
                "symbol": instrument.symbol,
                "id": fill.trade_id,
                "orderId": fill.order_id,
                "side": side_word(fill.side),
                "price": fill_price(fill, grid),
                "qty": grid.size(fill.lots),
                "realizedPnl": fixed(fill.realised),
                **_worth(fill, call.product),
                "commission": fixed(fill.fee),
                "commissionAsset": fill.fee_asset,
                "time": millis(fill.at),
                "positionSide": POSITION_SIDES[self._index_of(fill.order_id, call)],
                "buyer": fill.side is Side.BUY,
                "maker": fill.maker,
                "marginAsset": instrument.settle,
                "pair": pair_of(instrument),
            }
            for fill in chosen
        ]

    def _index_of(self, order_id: int, call: Call) -> int:
        return self.exchange.order(call.key, order_id).position_index

    def order_limits(self, call: Call) -> list[dict[str, object]]:
        """GET /fapi/v1/rateLimit/order: limits only, no counts."""
        return self.limits.published()[1:]

    # Shapes ------------------------------------------------------------------------------

    def ack(self, order: Order, instrument: Instrument) -> dict[str, Any]:
        """The answer to place, modify and cancel."""
        grid = self.desk.catalog.grid(instrument.id)
        row: dict[str, Any] = {
            "orderId": order.id,
            "symbol": instrument.symbol,
            "status": status(order),
            "clientOrderId": system_id(order, instrument),
            "price": grid.price(limit_ticks(order)),
            "origQty": grid.size(order.lots),
            "executedQty": grid.size(order.filled_lots),
            "cumQty": grid.size(order.filled_lots),
            "timeInForce": futures_tif(order),
            "type": order.kind.value.upper(),
            "reduceOnly": order.reduce_only,
            "closePosition": False,
            "side": side_word(order.side),
            "positionSide": POSITION_SIDES[order.position_index],
            "stopPrice": grid.price(0),
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "origType": order.kind.value.upper(),
            "priceMatch": "NONE",
            "selfTradePreventionMode": STP_TO_WIRE[order.self_trade],
            "goodTillDate": 0,
            "updateTime": millis(order.updated_at),
        }
        if instrument.market == "coinm":
            row |= {"pair": pair_of(instrument), "cumBase": fixed(order.filled_value)}
        return row | (self._fill_sums(order, instrument) if self.old_acks else {})

    def _fill_sums(self, order: Order, instrument: Instrument) -> dict[str, Any]:
        places = self.desk.catalog.grid(instrument.id).price_places
        return {
            "avgPrice": fixed(order.average, max(5, places)),
            ("cumBase" if instrument.market == "coinm" else "cumQuote"): fixed(
                order.filled_value, 8 if instrument.market == "coinm" else 5
            ),
        }

    def row(self, order: Order, instrument: Instrument) -> dict[str, Any]:
        """A queried order, which still says what it filled at."""
        row = self.ack(order, instrument) | self._fill_sums(order, instrument)
        del row["cumQty"]
        return row | {"time": millis(order.created_at)}


def _worth(fill: Fill, product: str) -> dict[str, str]:
    """USD-M tells the value in quote, COIN-M in coins."""
    value = fixed(fill.value)
    return {"quoteQty": value, "baseQty": "0"} if product == "usdm" else {"baseQty": value}


def _listed(text: str, name: str, most: int) -> list[Any]:
    try:
        rows = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not rows or len(rows) > most:
        raise denials.bad_value(name)
    return rows


def _plain_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _amendment(before: Order, after: Order, instrument: Instrument, count: int) -> dict[str, Any]:
    return {
        "amendmentId": after.id * 10_000 + count,
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "orderId": after.id,
        "clientOrderId": after.client_id,
        "time": millis(after.updated_at),
        "amendment": {
            "price": {
                "before": instrument.price_text(before.ticks),
                "after": instrument.price_text(after.ticks),
            },
            "origQty": {
                "before": instrument.size_text(before.lots),
                "after": instrument.size_text(after.lots),
            },
            "count": count,
        },
    }

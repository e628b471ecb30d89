"""Spot orders: place, cancel, replace, query, and the shapes of their answers."""

from typing import Any

from oneprice.model.instrument import Instrument
from oneprice.model.units import Side
from oneprice.twin.contract import Exchange, Fill, Order, Refusal, State
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.intake import Intake
from oneprice.twin.dialects.binance.limits import Limits
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.shapes import (
    STP_TO_WIRE,
    Grid,
    fixed,
    limit_ticks,
    millis,
    side_word,
    spot_tif,
    spot_type,
    status,
)
from oneprice.twin.dialects.binance.spans import HOUR_MS, within

_NAMES = ("orderId", "origClientOrderId")
_EXPIRY = {
    "ioc": "UNFILLED_IOC_QUANTITY_EXPIRED",
    "fok": "UNFILLED_FOK_ORDER_EXPIRED",
    "no_liquidity": "INSUFFICIENT_LIQUIDITY",
}


class SpotTrade:
    """The trading calls of spot; its answers are final for their instant.

    `cancel_ids` tells the event side which id the cancel of an order carried.
    """

    def __init__(
        self, exchange: Exchange, desk: MarketDesk, intake: Intake, limits: Limits
    ) -> None:
        self.exchange = exchange
        self.desk = desk
        self.intake = intake
        self.limits = limits
        self.cancel_ids: dict[int, str] = {}

    # Place -------------------------------------------------------------------------------

    def place(self, call: Call) -> dict[str, Any]:
        """POST /api/v3/order."""
        instrument = self.desk.find(call)
        order = self._place(call, instrument)
        return self._answer(call, order, instrument)

    def test(self, call: Call) -> dict[str, Any]:
        """POST /api/v3/order/test: checks the parameters and sends nothing."""
        self.intake.spot_order(call, self.desk.find(call))
        return {}

    def _place(self, call: Call, instrument: Instrument) -> Order:
        shape = call.text("newOrderRespType", "FULL")
        if shape not in ("ACK", "RESULT", "FULL"):
            raise denials.bad_value("newOrderRespType")
        request = self.intake.spot_order(call, instrument)
        self.limits.check_orders(call.key, call.at)
        order = self.intake.place(call, request, instrument)
        self.limits.count_orders(call.key, call.at)
        if order.filled_lots:
            self.limits.free_orders(call.key, call.at)
        return order

    def _answer(self, call: Call, order: Order, instrument: Instrument) -> dict[str, Any]:
        grid = self.desk.catalog.grid(instrument.id)
        shape = call.text("newOrderRespType", "FULL")
        row = _head(order, instrument) | {"transactTime": millis(order.updated_at)}
        if shape == "ACK":
            return row
        row |= _body(order, grid) | _tail(order)
        if reason := expiry_reason(order):
            row["expiryReason"] = reason
        if shape == "FULL":
            fills = self.exchange.fills(call.key, instrument=instrument.id, order_id=order.id)
            row["fills"] = [_fill(fill, grid) for fill in fills]
        return row

    # Cancel and replace ------------------------------------------------------------------

    def cancel(self, call: Call) -> dict[str, Any]:
        """DELETE /api/v3/order."""
        instrument = self.desk.find(call)
        order = self.intake.find_order(call, instrument, _NAMES, denials.no_order_to_cancel())
        return self._cancel(call, order, instrument, self.intake.cancel_id(call))

    def _cancel(
        self, call: Call, order: Order, instrument: Instrument, cancel_id: str
    ) -> dict[str, Any]:
        match call.text("cancelRestrictions"):
            case "ONLY_NEW" if order.state is not State.NEW:
                raise Denied(-2011, "Order was not canceled due to cancel restrictions.")
            case "ONLY_PARTIALLY_FILLED" if order.state is not State.PARTIAL:
                raise Denied(-2011, "Order was not canceled due to cancel restrictions.")
        self.cancel_ids[order.id] = cancel_id
        try:
            ended = self.exchange.cancel(call.key, order.id, call.at)
        except Refusal:
            self.cancel_ids.pop(order.id, None)
            raise denials.no_order_to_cancel() from None
        return self._cancelled(ended, instrument, cancel_id)

    def _cancelled(self, order: Order, instrument: Instrument, cancel_id: str) -> dict[str, Any]:
        grid = self.desk.catalog.grid(instrument.id)
        return (
            {
                "symbol": instrument.symbol,
                "origClientOrderId": order.client_id,
                "orderId": order.id,
                "orderListId": -1,
                "clientOrderId": cancel_id,
                "transactTime": millis(order.updated_at),
            }
            | _body(order, grid)
            | {"selfTradePreventionMode": STP_TO_WIRE[order.self_trade]}
        )

    def cancel_all(self, call: Call) -> list[dict[str, Any]]:
        """DELETE /api/v3/openOrders."""
        instrument = self.desk.find(call)
        orders = self.exchange.orders(call.key, instrument=instrument.id, only_open=True)
        if not orders:
            raise denials.no_order_to_cancel()
        return [self._cancel(call, order, instrument, self.intake.fresh_id()) for order in orders]

    def cancel_replace(self, call: Call) -> dict[str, Any]:
        """POST /api/v3/order/cancelReplace: not atomic, -2021 and -2022 tell what failed."""
        instrument = self.desk.find(call)
        mode = call.need("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise denials.bad_value("cancelReplaceMode")
        self.intake.spot_order(call, instrument)  # malformed parameters cancel nothing
        cancelled, cancel_answer = self._try_cancel(call, instrument)
        if not cancelled and mode == "STOP_ON_FAILURE":
            raise Denied(
                -2022,
                "Order cancel-replace failed.",
                data=_outcome("FAILURE", "NOT_ATTEMPTED", cancel_answer, None),
            )
        try:
            order = self._place(call, instrument)
        except Denied as denied:
            failed = denied.body()
            if cancelled:
                raise Denied(
                    -2021,
                    "Order cancel-replace partially failed.",
                    status=409,
                    data=_outcome("SUCCESS", "FAILURE", cancel_answer, failed),
                ) from None
            raise Denied(
                -2022,
                "Order cancel-replace failed.",
                data=_outcome("FAILURE", "FAILURE", cancel_answer, failed),
            ) from None
        answer = self._answer(call, order, instrument)
        if not cancelled:
            raise Denied(
                -2021,
                "Order cancel-replace partially failed.",
                status=409,
                data=_outcome("FAILURE", "SUCCESS", cancel_answer, answer),
            )
        return _outcome("SUCCESS", "SUCCESS", cancel_answer, answer)

    def _try_cancel(self, call: Call, instrument: Instrument) -> tuple[bool, dict[str, Any]]:
        names = ("cancelOrderId", "cancelOrigClientOrderId")
        cancel_id = call.text("cancelNewClientOrderId") or self.intake.fresh_id()
        try:
            order = self.intake.find_order(call, instrument, names, denials.no_order_to_cancel())
            return True, self._cancel(call, order, instrument, cancel_id)
        except Denied as denied:
            if denied.code != -2011:
                raise
            return False, denied.body()

    def amend_keep_priority(self, call: Call) -> dict[str, Any]:
        """PUT /api/v3/order/amend/keepPriority: the quantity may only shrink."""
        instrument = self.desk.find(call)
        order = self.intake.find_order(call, instrument, _NAMES, denials.no_order())
        size = call.decimal("newQty") if call.need("newQty") else None
        lots = instrument.lots_within(size) if size is not None else 0
        if not order.filled_lots < lots < order.lots:
            raise Denied(
                -2038,
                "The requested order quantity must be below the original and above the executed.",
            )
        try:
            amended = self.exchange.amend(call.key, order.id, ticks=None, lots=lots, at=call.at)
        except Refusal as refusal:
            raise denials.translated("spot", refusal.word) from None
        return {
            "transactTime": call.now_ms,
            "executionId": amended.amended,
            "amendedOrder": self._amended_row(amended, instrument),
        }

    def _amended_row(self, order: Order, instrument: Instrument) -> dict[str, Any]:
        """What amending answers: names of its own for the amounts (Binance, "Order Amend")."""
        row = _head(order, instrument) | _body(order, self.desk.catalog.grid(instrument.id))
        row["qty"] = row.pop("origQty")
        row["cumulativeQuoteQty"] = row.pop("cummulativeQuoteQty")
        return row | {
            "origClientOrderId": row["clientOrderId"],
            "preventedQty": "0.00000000",
            "quoteOrderQty": row.pop("origQuoteOrderQty", "0.00000000"),
            "workingTime": millis(order.created_at),
            "selfTradePreventionMode": STP_TO_WIRE[order.self_trade],
        }

    # Queries -----------------------------------------------------------------------------

    def query(self, call: Call) -> dict[str, Any]:
        """GET /api/v3/order."""
        instrument = self.desk.find(call)
        order = self.intake.find_order(call, instrument, _NAMES, denials.no_order())
        return self._query_row(order, instrument)

    def _query_row(self, order: Order, instrument: Instrument) -> dict[str, Any]:
        grid = self.desk.catalog.grid(instrument.id)
        return (
            _head(order, instrument)
            | _body(order, grid)
            | {
                "stopPrice": "0.00000000",
                "icebergQty": "0.00000000",
                "time": millis(order.created_at),
                "updateTime": millis(order.updated_at),
                "isWorking": True,
                "workingTime": millis(order.created_at),
                "selfTradePreventionMode": STP_TO_WIRE[order.self_trade],
            }
        )

    def open_orders(self, call: Call) -> list[dict[str, Any]]:
        """GET /api/v3/openOrders."""
        return [
            self._query_row(order, self.desk.catalog.instrument(order.instrument))
            for order in self.exchange.orders(
                call.key,
                market="spot",
                instrument=self.desk.find(call).id if call.text("symbol") else "",
                only_open=True,
            )
        ]

    def all_orders(self, call: Call) -> list[dict[str, Any]]:
        """GET /api/v3/allOrders: by time of creation, or from an id upwards."""
        instrument = self.desk.find(call)
        orders = self.exchange.orders(call.key, instrument=instrument.id)
        chosen = paged(call, [(order.id, order.created_at, order) for order in orders], "orderId")
        return [self._query_row(order, instrument) for order in chosen]

    def my_trades(self, call: Call) -> list[dict[str, Any]]:
        """GET /api/v3/myTrades."""
        instrument = self.desk.find(call)
        fills = self.exchange.fills(
            call.key, instrument=instrument.id, order_id=call.integer("orderId", 0)
        )
        grid = self.desk.catalog.grid(instrument.id)
        rows = within(call, [(fill.trade_id, fill.at, fill) for fill in fills], 24 * HOUR_MS)
        chosen = paged(call, rows, "fromId")
        return [
            {
                "symbol": instrument.symbol,
                "id": fill.trade_id,
                "orderId": fill.order_id,
                "orderListId": -1,
                "price": grid.price(fill.ticks),
                "qty": grid.size(fill.lots),
                "quoteQty": fixed(fill.value),
                "commission": fixed(fill.fee),
                "commissionAsset": fill.fee_asset,
                "time": millis(fill.at),
                "isBuyer": fill.side is Side.BUY,
                "isMaker": fill.maker,
                "isBestMatch": True,
            }
            for fill in chosen
        ]

    def order_limits(self, call: Call) -> list[dict[str, object]]:
        """GET /api/v3/rateLimit/order."""
        return self.limits.order_counts(call.key, call.at)


def paged(call: Call, rows: list[tuple[int, int, Any]], from_name: str) -> list[Any]:
    """Rows (id, ns, row) of a time range or from an id upwards; else the latest ones."""
    limit = call.window(500, 1_000)
    start, end = call.integer("startTime", -1), call.integer("endTime", -1)
    first = call.integer(from_name, -1) if from_name else -1
    if start >= 0 and 0 <= end < start:
        raise Denied(-1128, "Combination of optional parameters invalid.")
    chosen = [
        row
        for number, at, row in rows
        if number >= first and millis(at) >= start and (end < 0 or millis(at) <= end)
    ]
    return chosen[:limit] if first >= 0 or start >= 0 else chosen[-limit:]


def expiry_reason(order: Order) -> str:
    """Why an order expired, in the venue's word; empty where it did not."""
    return _EXPIRY.get(order.reason, "") if order.state is State.EXPIRED else ""


def _head(order: Order, instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
    }


def _body(order: Order, grid: Grid) -> dict[str, Any]:
    return {
        "price": grid.price(limit_ticks(order)),
        "origQty": grid.size(order.lots),
        "executedQty": grid.size(order.filled_lots),
        "origQuoteOrderQty": fixed(order.quote_amount) if order.quote_amount else "0.000000",
        "cummulativeQuoteQty": fixed(order.filled_value),
        "status": status(order),
        "timeInForce": spot_tif(order),
        "type": spot_type(order),
        "side": side_word(order.side),
    }


def _tail(order: Order) -> dict[str, Any]:
    return {
        "workingTime": millis(order.created_at),
        "selfTradePreventionMode": STP_TO_WIRE[order.self_trade],
    }


def _fill(fill: Fill, grid: Grid) -> dict[str, Any]:
    return {
        "price": grid.price(fill.ticks),
        "qty": grid.size(fill.lots),
        "commission": fixed(fill.fee),
        "commissionAsset": fill.fee_asset,
        "tradeId": fill.trade_id,
    }


def _outcome(
    cancel: str, new: str, cancel_answer: dict[str, Any], new_answer: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "cancelResult": cancel,
        "newOrderResult": new,
        "cancelResponse": cancel_answer,
        "newOrderResponse": new_answer,
    }

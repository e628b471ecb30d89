"""Orders and executions as rows of REST answers and of the private stream."""

from decimal import Decimal

from oneprice.model.commands import TimeInForce
from oneprice.model.units import ROUNDED, ZERO, Side, plain
from oneprice.twin.contract import Fill, FundingSettled, Kind, Order, SelfTrade, State
from oneprice.twin.dialects.bybit.envelope import Row, millis, short, stamp
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets
from oneprice.twin.dialects.bybit.names import Names

SIDE = {Side.BUY: "Buy", Side.SELL: "Sell"}
TIME_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
SMP = {
    SelfTrade.NONE: "None",
    SelfTrade.CANCEL_MAKER: "CancelMaker",
    SelfTrade.CANCEL_TAKER: "CancelTaker",
    SelfTrade.CANCEL_BOTH: "CancelBoth",
}
CANCEL_TYPE = {
    "user": "CancelByUser",
    "reduce_only": "CancelByReduceOnly",
    "self_trade": "CancelBySmp",
    "dcp": "CancelByDCP",
    "delisted": "CancelBySettle",
    "liquidated": "CancelAllBeforeLiq",
}
CREATE_TYPE = {
    "liquidation": "CreateByLiq",
    "adl": "CreateByAdl_PassThrough",
    "delivery": "CreateBySettle",
}
EXEC_TYPES = ("Trade", "AdlTrade", "Funding", "BustTrade", "Delivery", "Settle")
REJECT_REASON = {
    "user": "EC_PerCancelRequest",
    "post_only": "EC_PostOnlyWillTakeLiquidity",
    "ioc": "EC_NoImmediateQtyToFill",
    "no_liquidity": "EC_NoImmediateQtyToFill",
    "fok": "EC_CancelForNoFullFill",
    "self_trade": "EC_BySelfMatch",
}
OPEN_STATUS = {State.NEW: "New", State.PARTIAL: "PartiallyFilled"}
# What the row has for features that this venue offers and the twin does not.
UNUSED: Row = {
    "parentOrderLinkId": "",
    "blockTradeId": "",
    "stopOrderType": "",
    "orderIv": "",
    "triggerPrice": "",
    "takeProfit": "",
    "stopLoss": "",
    "tpslMode": "",
    "ocoTriggerBy": "",
    "tpLimitPrice": "",
    "slLimitPrice": "",
    "tpTriggerBy": "",
    "slTriggerBy": "",
    "triggerDirection": 0,
    "triggerBy": "",
    "closeOnTrigger": False,
    "placeType": "",
    "smpGroup": "0",
    "smpOrderId": "",
    "slippageToleranceType": "UNKNOWN",
    "slippageTolerance": "",
}


def status(order: Order, spot: bool) -> str:
    """The venue's word for a state; spot has its own for a partly filled end (section 8.2)."""
    if order.state in OPEN_STATUS:
        return OPEN_STATUS[order.state]
    if order.state is State.REJECTED:
        return "Rejected"
    if order.state is State.FILLED:
        return "PartiallyFilledCanceled" if _dust(order) else "Filled"
    return "PartiallyFilledCanceled" if spot and order.filled_lots else "Cancelled"


def exec_type(fill: Fill, sheet: Sheet) -> str:
    """What kind of execution it was (section 5.8); a delisted perpetual is settled."""
    match fill.reason:
        case "liquidation":
            return "BustTrade"
        case "adl":
            return "AdlTrade"
        case "delivery":
            return "Delivery" if sheet.instrument.expiry else "Settle"
    return "Trade"


class OrderRows:
    """Draws rows; needs to know instruments and the spelling of ids."""

    def __init__(self, sheets: Sheets, names: Names) -> None:
        self._sheets = sheets
        self._names = names

    def link(self, order: Order) -> str:
        """The client id; spot orders without one carry a generated id."""
        if order.client_id or not self._sheets.by_id[order.instrument].spot:
            return order.client_id
        return self._names.generated_link(order.id)

    def order_id(self, order: Order) -> str:
        return self._names.order(self._sheets.by_id[order.instrument].category, order.id)

    def order(self, order: Order) -> Row:
        """A row of order/realtime and order/history (section 5.6)."""
        sheet = self._sheets.by_id[order.instrument]
        market = order.kind is Kind.MARKET
        by_amount = order.quote_amount is not None
        leaves = sheet.instrument.size(order.leaves_lots)
        price = ZERO if market and sheet.spot else sheet.instrument.price(order.ticks)
        return UNUSED | {
            "symbol": sheet.symbol,
            "orderId": self.order_id(order),
            "orderLinkId": self.link(order),
            "side": SIDE[order.side],
            "orderType": "Market" if market else "Limit",
            "price": plain(price),
            "qty": plain(order.quote_amount or ZERO) if by_amount else sheet.count(order.lots),
            "isLeverage": "0" if sheet.spot else "",
            "positionIdx": order.position_index,
            "orderStatus": status(order, sheet.spot),
            "createType": CREATE_TYPE.get(order.reason, "CreateByUser"),
            "cancelType": CANCEL_TYPE.get(order.reason, "UNKNOWN"),
            "rejectReason": REJECT_REASON.get(order.reason, "EC_NoError"),
            "avgPrice": short(order.average) if order.filled_lots else "",
            "leavesQty": plain(leaves),
            "leavesValue": self._leaves_value(order, sheet),
            "cumExecQty": sheet.count(order.filled_lots),
            "cumExecValue": plain(order.filled_value),
            "cumExecFee": plain(order.fees),
            "cumFeeDetail": {order.fee_asset: plain(order.fees)} if order.filled_lots else {},
            "timeInForce": "IOC" if market else TIME_IN_FORCE[order.time_in_force],
            "marketUnit": order.echo.get("marketUnit", ""),
            "lastPriceOnCreated": order.echo.get("last", ""),
            "reduceOnly": order.reduce_only,
            "smpType": SMP[order.self_trade],
            "extraFees": "",
            "createdTime": stamp(order.created_at),
            "updatedTime": stamp(order.updated_at),
        }

    def order_push(self, order: Order, closed_profit: Decimal) -> Row:
        """A row of the `order` topic: the REST row and what only the stream has."""
        sheet = self._sheets.by_id[order.instrument]
        return {"category": sheet.category} | self.order(order) | {
            "closedPnl": plain(closed_profit),
            "feeCurrency": order.fee_asset if sheet.spot and order.filled_lots else "",
            "brokerOrderPrice": "",
            "rpiTakerAccess": False,
            "rpiMatchedQty": "0",
        }

    def execution(self, fill: Fill, order: Order) -> Row:
        """A row of execution/list; money is counted from these alone (section 5.8)."""
        sheet = self._sheets.by_id[fill.instrument]
        market = order.kind is Kind.MARKET
        return {
            "symbol": sheet.symbol,
            "orderId": self.order_id(order),
            "orderLinkId": self.link(order),
            "side": SIDE[fill.side],
            "orderPrice": "0" if market and sheet.spot else sheet.trimmed(order.ticks),
            "orderQty": sheet.count(order.lots),
            "leavesQty": sheet.count(fill.leaves_lots),
            "createType": CREATE_TYPE.get(fill.reason, "CreateByUser"),
            "orderType": "Market" if market else "Limit",
            "stopOrderType": "UNKNOWN" if not sheet.spot else "",
            "execFee": plain(fill.fee),
            "execFeeV2": "",
            "execId": self._names.execution(sheet.category, fill.id),
            "execPrice": plain(fill.price) if fill.reason else sheet.trimmed(fill.ticks),
            "execQty": sheet.count(fill.lots),
            "execType": exec_type(fill, sheet),
            "execValue": plain(fill.value),
            "execTime": stamp(fill.at),
            "feeCurrency": fill.fee_asset if sheet.spot else "",
            "isMaker": fill.maker,
            "feeRate": plain(fill.fee_rate),
            "tradeIv": "",
            "markIv": "",
            "markPrice": "" if sheet.spot else sheet.quoted(fill.mark),
            "indexPrice": "",
            "underlyingPrice": "",
            "blockTradeId": "",
            "closedSize": "" if sheet.spot else sheet.count(fill.closed_lots),
            "seq": fill.sequence,
            "extraFees": "",
        }

    def execution_push(self, fill: Fill, order: Order) -> Row:
        """A row of the `execution` topic."""
        sheet = self._sheets.by_id[fill.instrument]
        return {"category": sheet.category} | self.execution(fill, order) | {
            "isLeverage": "0",
            "marketUnit": order.echo.get("marketUnit", ""),
            "execPnl": plain(fill.realised),
            "feeCurrency": fill.fee_asset,
        }

    def execution_fast(self, fill: Fill) -> Row:
        """A row of `execution.fast`: no fee, and no client id where we were the maker."""
        sheet = self._sheets.by_id[fill.instrument]
        return {
            "category": sheet.category,
            "symbol": sheet.symbol,
            "execId": self._names.execution(sheet.category, fill.id),
            "execPrice": sheet.trimmed(fill.ticks),
            "execQty": sheet.count(fill.lots),
            "orderId": self._names.order(sheet.category, fill.order_id),
            "isMaker": fill.maker,
            "orderLinkId": "" if fill.maker else fill.client_id,
            "side": SIDE[fill.side],
            "execTime": stamp(fill.at),
            "seq": fill.sequence,
        }

    def funding(self, paid: FundingSettled, uid: int, sequence: int) -> Row:
        """A settlement as an execution: `execFee` above zero was paid (section 5.8)."""
        sheet = self._sheets.by_id[paid.instrument]
        return {
            "symbol": sheet.symbol,
            "orderId": f"{millis(paid.at) // 1000}-8-{uid}-{paid.id}",
            "orderLinkId": "",
            "side": "Buy" if paid.lots > 0 else "Sell",
            "orderPrice": "0",
            "orderQty": "0",
            "leavesQty": "0",
            "createType": "",
            "orderType": "UNKNOWN",
            "stopOrderType": "UNKNOWN",
            "execFee": plain(-paid.amount),
            "execFeeV2": "",
            "execId": self._names.execution(sheet.category, paid.id),
            "execPrice": sheet.quoted(paid.mark),
            "execQty": sheet.count(abs(paid.lots)),
            "execType": "Funding",
            "execValue": plain(paid.value),
            "execTime": stamp(paid.at),
            "feeCurrency": paid.asset,
            "isMaker": False,
            "isLeverage": "0",
            "feeRate": plain(paid.rate if paid.lots > 0 else -paid.rate),
            "markPrice": sheet.quoted(paid.mark),
            "indexPrice": "",
            "underlyingPrice": "",
            "blockTradeId": "",
            "closedSize": "",
            "seq": sequence,
            "extraFees": "",
        }

    def _leaves_value(self, order: Order, sheet: Sheet) -> str:
        if order.quote_amount is not None:
            return plain(max(order.quote_amount - order.filled_value, ZERO))
        if not order.leaves_lots:
            return "0"
        value = sheet.instrument.notional(order.ticks, order.leaves_lots)
        if sheet.inverse and order.ticks:
            value = ROUNDED.divide(value, sheet.instrument.price(order.ticks))
        return short(value)


def _dust(order: Order) -> bool:
    """A spot market buy by amount that could not spend the last bit (section 8.2)."""
    return (
        order.quote_amount is not None
        and order.side is Side.BUY
        and order.filled_value < order.quote_amount
    )

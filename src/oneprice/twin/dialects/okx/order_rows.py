"""Orders and fills as rows of REST answers and of the private channels."""

from decimal import Decimal

from oneprice.model.commands import TimeInForce
from oneprice.model.units import ZERO, Side, plain
from oneprice.twin.contract import Exchange, Fill, Kind, Order, SelfTrade
from oneprice.twin.dialects.okx.envelope import Row, short, stamp
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.names import bill_name, order_name
from oneprice.twin.dialects.okx.notes import CATEGORIES, Amendment, Notes, profit

SIDE = {Side.BUY: "buy", Side.SELL: "sell"}
POSITION_SIDES = ("net", "long", "short")  # by position index
STP = {
    SelfTrade.NONE: "",
    SelfTrade.CANCEL_MAKER: "cancel_maker",
    SelfTrade.CANCEL_TAKER: "cancel_taker",
    SelfTrade.CANCEL_BOTH: "cancel_both",
}
ORDER_TYPES = {
    TimeInForce.GTC: "limit",
    TimeInForce.POST_ONLY: "post_only",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
}
# What a row has for features that this venue offers and the twin does not.
UNUSED: Row = {
    "algoClOrdId": "",
    "algoId": "",
    "attachAlgoClOrdId": "",
    "attachAlgoOrds": [],
    "linkedAlgoOrd": {"algoId": ""},
    "isTpLimit": "false",
    "pxType": "",
    "pxUsd": "",
    "pxVol": "",
    "quickMgnType": "",
    "slOrdPx": "",
    "slTriggerPx": "",
    "slTriggerPxType": "",
    "tpOrdPx": "",
    "tpTriggerPx": "",
    "tpTriggerPxType": "",
    "stpId": "",
}


class OrderRows:
    """Draws rows; needs to know instruments and the notes on orders."""

    def __init__(self, exchange: Exchange, sheets: Sheets, notes: Notes) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._notes = notes

    def order(self, order: Order, fills: list[Fill]) -> Row:
        """A row of trade/order; `fills` are all those of the order, oldest first."""
        sheet = self._sheets.by_id[order.instrument]
        last = fills[-1] if fills else None
        coin = order.fee_asset
        return UNUSED | {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "tgtCcy": order.echo.get("tgtCcy", ""),
            "tradeQuoteCcy": sheet.instrument.quote if sheet.spot else "",
            "ccy": "",
            "ordId": order_name(order.id),
            "clOrdId": order.client_id,
            "tag": order.echo.get("tag", ""),
            "px": "" if order.kind is Kind.MARKET else sheet.price(order.ticks),
            "sz": self._size(order, sheet),
            "ordType": self.kind(order),
            "side": SIDE[order.side],
            "posSide": "" if sheet.spot else POSITION_SIDES[order.position_index],
            "tdMode": order.echo.get("tdMode", "cash" if sheet.spot else "cross"),
            "accFillSz": sheet.size(order.filled_lots),
            "avgPx": short(order.average) if order.filled_lots else "",
            "state": self._notes.state(order),
            "lever": self._lever(order, sheet),
            "pnl": short(profit(fills)),
            "feeCcy": coin,
            "fee": plain(-order.fees),
            "rebateCcy": _other(sheet, coin),
            "rebate": "0",
            "category": CATEGORIES.get(order.reason, "normal"),
            "source": "",
            "cancelSource": self._notes.cancel_source(order),
            "cancelSourceReason": "",
            "reduceOnly": "true" if order.reduce_only else "false",
            "stpMode": STP[order.self_trade],
            "fillPx": _price(last, sheet) if last else "",
            "fillSz": sheet.size(last.lots) if last else "0",
            "fillTime": stamp(last.at) if last else "",
            "tradeId": trade_name(last) if last else "",
            "uTime": stamp(order.updated_at),
            "cTime": stamp(order.created_at),
        }

    def push(
        self, order: Order, fill: Fill | None, pnl: Decimal, amendment: Amendment
    ) -> Row:
        """A row of the `orders` channel: fill fields describe this push only (section 12)."""
        sheet = self._sheets.by_id[order.instrument]
        price = sheet.instrument.price(order.ticks) or order.average
        row = self.order(order, [fill] if fill else [])
        row |= {
            "pnl": short(pnl),
            "avgPx": row["avgPx"] or "0",
            "notionalUsd": self._dollars(sheet, order.lots, price),
            "fillNotionalUsd": self._dollars(sheet, order.filled_lots, order.average),
            "lastPx": order.echo.get("lastPx", ""),
            "fillPnl": short(fill.realised) if fill else "0",
            "fillFee": plain(-fill.fee) if fill else "0",
            "fillFeeCcy": fill.fee_asset if fill else "",
            "execType": ("M" if fill.maker else "T") if fill else "",
            "fillMarkPx": sheet.quoted(fill.mark) if fill else "",
            "fillPxVol": "",
            "fillPxUsd": "",
            "fillMarkVol": "",
            "fillFwdPx": "",
            "amendSource": amendment.source,
            "reqId": amendment.request,
            "amendResult": amendment.result,
            "code": "0",
            "msg": "",
        }
        return row

    def fill(self, fill: Fill, order: Order) -> Row:
        """A row of trade/fills."""
        sheet = self._sheets.by_id[fill.instrument]
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "tradeId": trade_name(fill),
            "ordId": order_name(fill.order_id),
            "clOrdId": fill.client_id,
            "billId": bill_name(self._notes.bill_of(fill.account, fill.id)),
            "subType": sub_type(fill.side, fill.position_index, fill.reason),
            "tag": order.echo.get("tag", ""),
            "fillPx": _price(fill, sheet),
            "fillSz": sheet.size(fill.lots),
            "side": SIDE[fill.side],
            "posSide": "" if sheet.spot else POSITION_SIDES[fill.position_index],
            "execType": "M" if fill.maker else "T",
            "feeCcy": fill.fee_asset,
            "fee": plain(-fill.fee),
            "feeRate": plain(-fill.fee_rate) if sheet.spot else "",
            "fillPnl": short(fill.realised),
            "fillMarkPx": "" if sheet.spot else sheet.quoted(fill.mark),
            "fillIdxPx": sheet.quoted(fill.index),
            "fillPxVol": "",
            "fillPxUsd": "",
            "fillMarkVol": "",
            "fillFwdPx": "",
            "ts": stamp(fill.at),
            "fillTime": stamp(fill.at),
            "tradeQuoteCcy": sheet.instrument.quote if sheet.spot else "",
        }

    def fast_fill(self, fill: Fill) -> Row:
        """A row of the `fills` channel: a client id shows only where it is a number."""
        sheet = self._sheets.by_id[fill.instrument]
        number = fill.client_id if fill.client_id.isdecimal() else "0"
        return {
            "instId": sheet.inst_id,
            "fillSz": sheet.size(fill.lots),
            "fillPx": _price(fill, sheet),
            "side": SIDE[fill.side],
            "ts": stamp(fill.at),
            "ordId": order_name(fill.order_id),
            "clOrdId": number if len(number) < 19 else "0",
            "tradeId": trade_name(fill),
            "execType": "M" if fill.maker else "T",
            "count": "1",
        }

    def kind(self, order: Order) -> str:
        """`ordType`."""
        if order.kind is Kind.MARKET:
            return "market"
        return order.echo.get("ordType") or ORDER_TYPES[order.time_in_force]

    def _size(self, order: Order, sheet: Sheet) -> str:
        if order.quote_amount is not None:
            return plain(order.quote_amount)
        if order.id in self._notes.cut:
            return sheet.size(order.filled_lots)
        return sheet.size(order.lots)

    def _lever(self, order: Order, sheet: Sheet) -> str:
        if sheet.spot:
            return ""
        return plain(self._exchange.leverage(order.account, order.instrument))

    def _dollars(self, sheet: Sheet, lots: int, price: Decimal) -> str:
        return short(sheet.dollars(lots, price)) if lots and price else ""


def trade_name(fill: Fill) -> str:
    """Fills that the exchange made itself have negative numbers (section 10.5)."""
    return str(-fill.trade_id if fill.reason in ("liquidation", "adl") else fill.trade_id)


def sub_type(side: Side, index: int, reason: str) -> str:
    """The kind of a fill on a bill (section 10.5)."""
    long_side = index == 1 or (index == 0 and side is Side.SELL)  # which position it closes
    match reason:
        case "liquidation":
            return "104" if long_side else "105"
        case "adl":
            return "125" if long_side else "126"
        case "delivery":
            return "112" if long_side else "113"
    if index == 0:
        return "1" if side is Side.BUY else "2"
    opens = (index == 1) is (side is Side.BUY)
    if opens:
        return "3" if index == 1 else "4"
    return "5" if index == 1 else "6"


def _price(fill: Fill, sheet: Sheet) -> str:
    return short(fill.price) if fill.price != ZERO else sheet.price(fill.ticks)


def _other(sheet: Sheet, coin: str) -> str:
    """The coin of a rebate: spot pays it in the coin that the fee is not in."""
    if not sheet.spot:
        return coin
    grid = sheet.instrument
    return grid.quote if coin == grid.base else grid.base

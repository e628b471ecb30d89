"""What order requests of both products have in common, and the way a refusal takes to the wire."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from oneprice.model.units import MILLI, Side
from oneprice.twin.contract import Exchange, Kind, Order, Refusal, SelfTrade
from oneprice.twin.dialects.kucoin.envelope import Failure, amount, parameter
from oneprice.twin.dialects.kucoin.facts import Sheet
from oneprice.twin.dialects.kucoin.fields import Fields, invalid
from oneprice.twin.dialects.kucoin.refusals import failure

T = TypeVar("T")
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
KINDS = {"limit": Kind.LIMIT, "market": Kind.MARKET}
# CN cancels the newer order, CO the older one, CB both. DC (decrease) is not offered here.
STP = {
    "": SelfTrade.NONE,
    "CN": SelfTrade.CANCEL_TAKER,
    "CO": SelfTrade.CANCEL_MAKER,
    "CB": SelfTrade.CANCEL_BOTH,
}
# Features of the venue that the twin refuses instead of pretending.
NOT_OFFERED = ("stop", "stopPrice", "triggerStopUpPrice", "triggerStopDownPrice")
NOT_OFFERED_FLAGS = ("hidden", "iceberg", "forceHold", "isIsolated", "autoBorrow", "autoRepay")


def check_offered(fields: Fields) -> None:
    for name in NOT_OFFERED:
        if name in fields:
            raise parameter(f"{name}: conditional orders are not offered here")
    for name in NOT_OFFERED_FLAGS:
        if fields.flag(name):
            raise parameter(f"{name} is not offered here")


def client_id(fields: Fields) -> str:
    """At most 40 letters, digits, `_`, `-`; "" where there is none."""
    text = fields.text("clientOid")
    if text and not CLIENT_ID.fullmatch(text):
        raise invalid("clientOid", text)
    return text


def side_of(fields: Fields) -> Side:
    return SIDES[fields.choice("side", tuple(SIDES))]


def kind_of(fields: Fields) -> Kind:
    return KINDS[fields.choice("type", tuple(KINDS), "limit")]


def self_trade(fields: Fields) -> SelfTrade:
    text = fields.text("stp")
    if text not in STP:
        raise invalid("stp", text)
    return STP[text]


def check_window(fields: Fields, at: int) -> None:
    """`allowMaxTimeWindow` ms after `clientTimestamp` an order is not wanted any more."""
    window = fields.whole("allowMaxTimeWindow", 0, 0, 1 << 53)
    sent = fields.whole("clientTimestamp", 0, 0, 1 << 53)
    if window and sent and at // MILLI - sent > window:
        raise parameter("The order is expired: clientTimestamp is outside allowMaxTimeWindow.")


def positive(name: str, fields: Fields) -> Decimal:
    value = fields.decimal(name)
    if value is None:
        raise parameter(f"{name} is required")
    if value <= 0:
        raise invalid(name, value)
    return value


def carried(
    exchange: Exchange, sheet: Sheet, side: Side | None, action: Callable[[], T]
) -> T:
    """What an action gives; a refusal of the exchange in the venue's code and text."""
    try:
        return action()
    except Refusal as refusal:
        raise translated(exchange, sheet, side, refusal) from None


def translated(
    exchange: Exchange, sheet: Sheet, side: Side | None, refusal: Refusal
) -> Failure:
    highest, lowest = exchange.price_band(sheet.id)
    return failure(
        refusal,
        sheet.spot,
        side,
        limit=sheet.price(lowest if side is Side.SELL else highest),
        notional=amount(sheet.instrument.notional_min),
        quote=sheet.instrument.quote,
        lots=f"{int(sheet.instrument.size(sheet.instrument.lots_max)):,}",
        leverage=int(sheet.extras.leverage_max),
    )


def cancelled(exchange: Exchange, sheet: Sheet, order: Order, at: int) -> Order:
    return carried(
        exchange, sheet, None, lambda: exchange.cancel(order.account, order.id, at)
    )

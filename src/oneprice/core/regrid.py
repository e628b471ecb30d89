"""Regrid: a venue counts prices or sizes in other steps from now on; what is counted so far.

A new tick while orders live: the dialect counts in it at once, and so do we. Limits, touches and
fills that may be told again are counted anew, so that nothing is taken for another price.

A new lot while something is held: our books go on in the old one (Doors.resized). What the venue
tells is counted back into it, so that a fill is neither ten times too large nor too small.
"""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from oneprice.core.groups import Groups
from oneprice.core.orders import Order, Orders
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.units import EXACT, ROUNDED, Lots, Ticks

Convert = Callable[[int], int]


def regrid(orders: Orders, groups: Groups, known: Instrument, listed: Instrument) -> None:
    """Count every price of an instrument in its new tick; to the nearest where none fits."""
    convert = _converter(known.tick, listed.tick)
    for group in groups.living.values():
        for order in group.orders:
            if not order.id and order.instrument == listed.id:
                _order(order, convert)  # by the venue itself: Orders does not know it
        group.intent = msgspec.structs.replace(
            group.intent,
            legs=tuple(
                leg
                if leg.instrument != listed.id
                else msgspec.structs.replace(
                    leg, ticks=_ticks(leg.ticks, convert), touch=_ticks(leg.touch, convert)
                )
                for leg in group.intent.legs
            ),
        )
    for order in orders.of(listed.id):
        _order(order, convert)
    orders.recount(listed.id, convert, _converter(_size(known), _size(listed)))


def recounted(event: ev.Event, told: Instrument, known: Instrument) -> ev.Event:
    """What a venue tells on the grid it has now, on the one we know; to the nearest step."""
    ticks, lots = _converter(told.tick, known.tick), _converter(_size(told), _size(known))
    replace = msgspec.structs.replace
    match event:
        case ev.OrderFilled() | ev.OrderAmended() | ev.OpenOrderReported():
            return replace(event, ticks=Ticks(ticks(event.ticks)), lots=Lots(lots(event.lots)))
        case ev.OrderEnded():
            return replace(event, filled_lots=Lots(lots(event.filled_lots)))
        case ev.PositionReported():
            return replace(event, lots=Lots(lots(event.lots)))
    return event


def _size(listed: Instrument) -> Decimal:
    """Coins, or money where a contract is worth a fixed sum, in one lot."""
    return EXACT.multiply(listed.lot, EXACT.multiply(listed.contract_value, listed.multiplier))


def _converter(old: Decimal, new: Decimal) -> Convert:
    def convert(steps: int) -> int:
        there = EXACT.multiply(old, steps)
        return int(ROUNDED.divide(there, new).to_integral_value(ROUND_HALF_EVEN))

    return convert


def _order(order: Order, convert: Convert) -> None:
    order.ticks, order.touch = _ticks(order.ticks, convert), _ticks(order.touch, convert)
    order.ticks_lots = convert(order.ticks_lots)


def _ticks(ticks: int, convert: Convert) -> Ticks:
    return Ticks(max(1, convert(ticks)))

"""Regrid: a venue counts prices or sizes in other steps from now on; what is counted so far.

A new tick while orders live: the dialect counts in it at once, and so do we. Limits, touches and
fills that may be told again are counted anew, so that nothing is taken for another price.

A finer lot, of which a whole number makes one of before: so is everything that is counted in
lots, in orders, groups, holdings and the ledger. Nothing is rounded, and nothing is worth more.

Any other new lot while something is held: our books go on in the old one (Doors.resized). What
the venue tells is counted back into it, so that a fill is neither ten times too large nor too
small; what is no whole number of ours is named.
"""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from oneprice.core.ledger import LOTS
from oneprice.core.orders import Order, Orders
from oneprice.core.sight import Parts
from oneprice.core.strategy import Intent
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.units import EXACT, ROUNDED, InstrumentId, Lots, Ticks, plain

Convert = Callable[[int], int]


def finer(known: Instrument, listed: Instrument) -> int:
    """How many lots of now make one of before; 0 where that is no whole number, or where a lot
    means something else altogether."""
    if _meaning(known) != _meaning(listed):
        return 0
    before, now = _size(known), _size(listed)
    times = int(ROUNDED.divide(before, now).to_integral_value(ROUND_HALF_EVEN))
    return times if EXACT.multiply(now, times) == before else 0


def size_of(listed: Instrument) -> str:
    """All that says how much a lot is, and what it pays."""
    per = f"{listed.lot} x {listed.contract_value} {listed.base} x {listed.multiplier}"
    return f"{per}, {listed.payoff.name.lower()} in {listed.settle}"


def grid_of(listed: Instrument) -> tuple[Decimal, str]:
    """What a price and a size are counted in."""
    return listed.tick, size_of(listed)


def regrid(orders: Orders, parts: Parts, known: Instrument, listed: Instrument) -> None:
    """Count every price of an instrument in its new tick, to the nearest where none fits; and
    every size in its new lot, where it is finer by a whole number."""
    convert, times = _converter(known.tick, listed.tick), finer(known, listed) or 1
    waiting = parts.holdings.waiting()
    for group in (*parts.groups.living.values(), *waiting):
        for order in group.orders:
            if not order.id and order.instrument == listed.id:
                _order(order, convert, times)  # by the venue itself: Orders does not know it
        group.intent = _intent(group.intent, listed.id, convert, times)
    for order in orders.of(listed.id):
        _order(order, convert, times)
    orders.recount(listed.id, convert, _converter(_size(known), _size(listed)))
    if times > 1:
        parts.holdings.recount(listed.id, times)
        parts.ledger.recount(LOTS + listed.id, times)
        parts.accounts.recount(listed.id, times)
        parts.market.recount(LOTS + listed.id, times)


def _intent(intent: Intent, instrument: InstrumentId, convert: Convert, times: int) -> Intent:
    legs = [
        leg
        if leg.instrument != instrument
        else msgspec.structs.replace(
            leg,
            ticks=_ticks(leg.ticks, convert),
            touch=_ticks(leg.touch, convert),
            lots=Lots(leg.lots * times),
        )
        for leg in intent.legs
    ]
    return msgspec.structs.replace(intent, legs=tuple(legs))


def recounted(event: ev.Event, told: Instrument, known: Instrument) -> tuple[ev.Event, str]:
    """What a venue tells on the grid it has now, on the one we know; to the nearest step, and
    then what was told, in words."""
    # The price of a coin, where one unit of the instrument was so many coins before.
    tick = EXACT.multiply(told.tick, known.multiplier)
    ours = EXACT.multiply(known.tick, told.multiplier)
    ticks, lots = _converter(tick, ours), _converter(_size(told), _size(known))
    replace = msgspec.structs.replace
    match event:
        case ev.OrderFilled() | ev.OrderAmended() | ev.OpenOrderReported():
            price, size = ticks(event.ticks), lots(event.lots)
            same = EXACT.multiply(tick, event.ticks) == EXACT.multiply(ours, price)
            found = "" if same else f"a price of {plain(told.price(event.ticks))}; "
            counted = replace(event, ticks=Ticks(price), lots=Lots(size))
            return counted, found + _other_size(event.lots, size, told, known)
        case ev.OrderEnded():
            size = lots(event.filled_lots)
            counted_end = replace(event, filled_lots=Lots(size))
            return counted_end, _other_size(event.filled_lots, size, told, known)
        case ev.PositionReported():
            size = lots(event.lots)
            counted_place = replace(event, lots=Lots(size))
            return counted_place, _other_size(event.lots, size, told, known)
    return event, ""


def _other_size(there: int, ours: int, told: Instrument, known: Instrument) -> str:
    """A size that is none of ours, as it was told and as it is counted; "" where it is one."""
    if _meaning(told)[:3] != _meaning(known)[:3]:
        return f"{there} lots of another payoff"
    exact = EXACT.multiply(_size(told), there)
    if exact == EXACT.multiply(_size(known), ours):
        return ""
    return f"{plain(exact)}, counted as {ours} lots of {plain(_size(known))}"


def _meaning(listed: Instrument) -> tuple[object, ...]:
    """What a lot is a number of, and what it pays."""
    return (listed.payoff, listed.base, listed.settle, listed.quote, listed.multiplier)


def _size(listed: Instrument) -> Decimal:
    """Coins, or money where a contract is worth a fixed sum, in one lot."""
    return EXACT.multiply(listed.lot, EXACT.multiply(listed.contract_value, listed.multiplier))


def _converter(old: Decimal, new: Decimal) -> Convert:
    def convert(steps: int) -> int:
        there = EXACT.multiply(old, steps)
        return int(ROUNDED.divide(there, new).to_integral_value(ROUND_HALF_EVEN))

    return convert


def _order(order: Order, convert: Convert, times: int) -> None:
    order.ticks, order.touch = _ticks(order.ticks, convert), _ticks(order.touch, convert)
    order.ticks_lots = convert(order.ticks_lots * times)
    order.lots = Lots(order.lots * times)
    order.filled, order.claimed = order.filled * times, order.claimed * times


def _ticks(ticks: int, convert: Convert) -> Ticks:
    return Ticks(max(1, convert(ticks)))

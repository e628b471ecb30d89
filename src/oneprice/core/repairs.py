"""Repairs: what a leg group holds, what its legs differ by, and the orders that would mend it."""

from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import msgspec

from oneprice.core.legs import ENDS, Action, State
from oneprice.core.market import Market
from oneprice.core.orders import Order, OrderState
from oneprice.core.strategy import Intent, IntentLeg
from oneprice.model.events import OrderFilled
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import LegSettings
from oneprice.model.units import (
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Nanos,
    Side,
)


class Group(msgspec.Struct, kw_only=True):
    """One intent at work. Mutable; owned by Groups."""

    id: str
    intent: Intent
    began: Nanos
    state: State = State.WORKING
    orders: list[Order] = msgspec.field(default_factory=list)
    attempt: list[Order] = msgspec.field(default_factory=list)  # of the present state
    chases: int = 0
    unwinds: int = 0
    tried: list[Order] = msgspec.field(default_factory=list)  # of the last attempt there was
    counted: Action = Action.NOTHING  # as what that one was counted, where it still may be none
    kept_since: Nanos = Nanos(0)  # attempts have not left since; 0: all did
    resized_since: Nanos = Nanos(0)  # it waits for sizes that mean the same again; 0: it does not
    misses: int = 0  # hedges of a resting leg in a row that found nothing
    steps: int = 0  # transitions so far; names the timers
    timer: str = ""
    hedge_timer: str = ""  # pause before the next hedge of a resting leg
    paused: bool = False  # the last attempt came to nothing: waiting before the next
    forced: bool = False  # unhedged for too long: only the way back is left
    news: bool = False  # something was filled since its legs were last compared
    carry: dict[Asset, Decimal] = msgspec.field(default_factory=dict)  # dust taken over

    @property
    def root(self) -> str:
        """Whose profit this is: its own, or that of the holding it closes."""
        return self.intent.closes or self.id

    @property
    def living(self) -> bool:
        return self.state not in ENDS

    @property
    def touched(self) -> bool:
        """Something of it was filled: what it carried from before is nobody's hurry."""
        return any(order.filled for order in self.orders)


class Repair(msgspec.Struct, frozen=True):
    """One order that would bring a delta towards zero."""

    leg: IntentLeg
    side: Side
    lots: Lots
    back: bool  # gives a leading leg back, rather than completing a lagging one


class Repairs:
    """Reads groups; changes nothing."""

    def __init__(
        self, settings: LegSettings, market: Market, position: Callable[[InstrumentId], int]
    ) -> None:
        self._settings = settings
        self._market = market
        self._position = position

    def reduces(self, instrument: InstrumentId, side: Side, lots: int) -> bool:
        """Whether a venue would take an order as reduce-only: it refuses one where the net
        position does not allow it, which would turn a good exit into a stuck one when something
        else of ours lies the other way."""
        held = self._position(instrument)
        return held * int(side) < 0 and abs(held) >= lots

    def collar(self, group: Group, instrument: InstrumentId) -> Decimal:
        """How far beyond the touch a repair may go, bps: further with every attempt; but nearer
        where the venue said that it was too far (Bybit, OKX and Binance have price bands)."""
        collar = self._settings.collar_bps
        refused = sum(
            order.reason == "price_limit"
            for order in group.orders
            if order.instrument == instrument
        )
        if refused:
            return ROUNDED.divide(collar, 1 << min(refused, 16))
        attempts = max(0, group.chases + group.unwinds + group.misses - 1)
        return min(collar + self._settings.collar_step_bps * attempts, Decimal(5_000))

    def held(self, group: Group) -> dict[InstrumentId, Decimal]:
        """Signed coins by instrument, what fees took in the coin itself left out."""
        found: dict[InstrumentId, Decimal] = {}
        for order in group.orders:
            coins = order.base - order.base_fee
            found[order.instrument] = found.get(order.instrument, ZERO) + coins
        return found

    def deltas(self, group: Group) -> dict[Asset, Decimal]:
        """Signed exposure by coin, with the dust that the group took over; money left out."""
        found: dict[Asset, Decimal] = dict(group.carry)
        for order in group.orders:
            listed = self._market.known_instrument(order.instrument)
            coins = order.base - order.base_fee
            found[listed.base] = found.get(listed.base, ZERO) + coins
            if listed.payoff is Payoff.SPOT and not self._market.is_cash(listed.quote):
                found[listed.quote] = found.get(listed.quote, ZERO) + order.quote
        return found

    def needed(self, group: Group) -> list[Repair]:
        """Every order that would mend what the legs differ by now.

        Giving back what an exit closed would open the risk again: an exit is only ever
        completed. A rest too small for that stays with the holding, whose next exit takes it
        along.
        """
        found = [
            repair
            for asset, delta in self.deltas(group).items()
            for repair in self.of(group, asset, delta)
        ]
        return [r for r in found if not r.back] if group.intent.closes else found

    def lopsided(self, group: Group) -> bool:
        """Whether something is unhedged: an order could mend it, or it is worth too much."""
        if not group.touched:
            return False
        return bool(self.needed(group)) or self._is_worth_much(self.deltas(group))

    def _is_worth_much(self, deltas: Mapping[Asset, Decimal]) -> bool:
        for asset, delta in deltas.items():
            rate = self._market.rate(asset)
            if rate is not None and abs(delta) * rate > self._settings.dust_max:
                return True
        return False

    def hedges(self, group: Group, rests: InstrumentId) -> list[Repair]:
        """What must be sent beside a leg that still rests: for what was filled, less what is on
        its way. Nothing on a leg that has an order whose outcome is not known."""
        deltas = self.deltas(group)
        blocked = {rests: None}
        for order in group.orders:
            if order.settled or order.instrument == rests:
                continue
            if order.state is OrderState.UNKNOWN:
                blocked[order.instrument] = None
            whole = order.claimed if order.state is OrderState.DONE else order.lots
            listed = self._market.known_instrument(order.instrument)
            coins = int(order.side) * listed.base_size(order.ticks, max(0, whole - order.filled))
            deltas[listed.base] = deltas.get(listed.base, ZERO) + coins
        found: list[Repair] = []
        for asset, delta in deltas.items():
            for repair in self.of(group, asset, delta):
                if not repair.back and repair.leg.instrument not in blocked:
                    found.append(repair)
                    break
        return found

    def holds(self, group: Group) -> bool:
        """Whether anything is left in any instrument that a venue would take as an order."""
        for instrument, coins in self.held(group).items():
            listed = self._market.known_instrument(instrument)
            if listed.is_derivative:
                if sum(int(o.side) * o.filled for o in group.orders if o.instrument == instrument):
                    return True
            elif tradable(listed, abs(coins), self._price(group, listed), reducing=False):
                return True
        return False

    def of(self, group: Group, asset: Asset, delta: Decimal) -> list[Repair]:
        """Every order that would shrink a delta and that the venue would take."""
        if not delta:
            return []
        side = Side.SELL if delta > 0 else Side.BUY
        held = self.held(group)
        found: list[Repair] = []
        for leg in group.intent.legs:
            listed = self._market.known_instrument(leg.instrument)
            if listed.base != asset:
                continue
            back = leg.side is not side
            most = abs(held.get(leg.instrument, ZERO)) if back else None
            reducing = listed.is_derivative and (back or bool(group.intent.closes))
            price = self._price(group, listed)
            lots = tradable(listed, abs(delta), price, reducing=reducing, most=most)
            if reducing and not self.reduces(leg.instrument, side, lots):
                # It cannot leave as reduce-only, so nothing exempts it: too small is dust.
                lots = tradable(listed, abs(delta), price, reducing=False, most=most)
            if group.intent.closes and listed.is_derivative:
                # Never more than the holding had: that would open the opposite.
                lots = min(lots, left_to_close(group, leg))
            if lots >= max(1, listed.lots_min):
                found.append(Repair(leg, side, lots, back))
        return found

    def _price(self, group: Group, listed: Instrument) -> Decimal:
        book = self._market.book(listed.id)
        if book is not None:
            return listed.price(book.bid_ticks)
        touch = next(leg.touch for leg in group.intent.legs if leg.instrument == listed.id)
        return listed.price(touch)


def add_fill(order: Order, listed: Instrument, fill: OrderFilled) -> None:
    """Add one counted fill to what its order holds."""
    sign = int(fill.side)
    order.ticks_lots += fill.ticks * fill.lots
    order.base += sign * listed.base_size(fill.ticks, fill.lots)
    if listed.payoff is Payoff.SPOT:
        order.quote -= sign * listed.notional(fill.ticks, fill.lots)
        _add_fee(order, listed, fill, 1)


def correct_fee(order: Order, listed: Instrument, before: OrderFilled, fill: OrderFilled) -> None:
    """The fee of a fill was only estimated; what it took of the coin itself may differ."""
    if listed.payoff is Payoff.SPOT:
        _add_fee(order, listed, before, -1)
        _add_fee(order, listed, fill, 1)


def _add_fee(order: Order, listed: Instrument, fill: OrderFilled, sign: int) -> None:
    if fill.fee_asset == listed.base:
        order.base_fee += sign * fill.fee * listed.multiplier
    elif fill.fee_asset == listed.quote:
        order.quote -= sign * fill.fee


def by_the_venue(group: str, listed: Instrument, fill: OrderFilled, lots: Lots) -> Order:
    """What a venue, or somebody, traded of an exit, as an order that has ended."""
    return Order(
        id="",
        group=group,
        instrument=fill.instrument,
        side=fill.side,
        ticks=fill.ticks,
        lots=lots,
        touch=fill.ticks,
        state=OrderState.DONE,
        filled=lots,
        ticks_lots=fill.ticks * lots,
        base=int(fill.side) * listed.base_size(fill.ticks, lots),
    )


def left_to_close(group: Group, leg: IntentLeg) -> Lots:
    """What of an exit's leg is not filled yet."""
    done = sum(order.filled for order in group.orders if order.instrument == leg.instrument)
    return Lots(max(0, leg.lots - done))


def tradable(
    listed: Instrument,
    coins: Decimal,
    price: Decimal,
    *,
    reducing: bool,
    most: Decimal | None = None,
) -> Lots:
    """The lots nearest to some coins (above zero) that the venue takes as one order, not more
    than `most` coins; 0 when none: then they are dust.

    Reduce-only orders are exempt from the smallest notional (Bybit v5 "minNotionalValue",
    Binance futures filter MIN_NOTIONAL).
    """
    ticks = listed.ticks_not_worse(price, Side.BUY)
    if ticks <= 0:
        return Lots(0)
    per_lot = listed.base_size(ticks, 1)
    lots = int(ROUNDED.divide(coins, per_lot).to_integral_value(ROUND_HALF_EVEN))
    if most is not None:
        lots = min(lots, int(ROUNDED.divide(most, per_lot).to_integral_value(ROUND_FLOOR)))
    if listed.lots_max:
        lots = min(lots, listed.lots_max)
    if lots < listed.lots_min:
        return Lots(0)
    if not reducing and listed.notional(ticks, lots) < listed.notional_min:
        return Lots(0)
    return Lots(lots)

"""What positions and open orders weigh: value, unrealised profit, brackets, margins of each."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from oneprice.model.instrument import Payoff
from oneprice.model.units import ROUNDED, ZERO, InstrumentId, Money, Side
from oneprice.twin.contract import Order, RiskTier, Setup
from oneprice.twin.docket import Docket
from oneprice.twin.floor import Floor
from oneprice.twin.holdings import Holdings, Place


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is about to be, for the question whether it can be paid."""

    side: Side
    lots: int
    price: Decimal
    position_index: int = 0


class Exposure:
    """Reads holdings and open orders of one place at a time; changes nothing."""

    def __init__(
        self,
        setup: Setup,
        floors: Mapping[InstrumentId, Floor],
        holdings: Holdings,
        docket: Docket,
    ) -> None:
        self._mode = setup.margin_mode
        self._floors = floors
        self._holdings = holdings
        self._docket = docket

    def isolated(self, place: Place) -> bool:
        return self._holdings.mode(place[0], place[1], self._mode) == "isolated"

    def leverage(self, key: str, floor: Floor) -> Decimal:
        return self._holdings.leverage(key, floor.id, floor.listing.extras.leverage_default)

    def value(self, place: Place, floor: Floor) -> Money:
        lots = self._holdings.get(place).lots
        return floor.value(floor.reference(), abs(lots)) if lots else ZERO

    def unrealised(self, place: Place, floor: Floor) -> Money:
        held = self._holdings.get(place)
        if not held.lots:
            return ZERO
        return floor.profit((held.entry, held.cost), floor.reference(), held.lots)

    def maintenance(self, place: Place, floor: Floor) -> Money:
        """What a position must keep: value x rate of its bracket - the bracket's deduction."""
        value = self.value(place, floor)
        if not value:
            return ZERO
        bracket = tier_of(floor, value)
        return value * bracket.maintenance_rate - bracket.deduction

    def initial_rate(self, place: Place, floor: Floor, value: Money | None = None) -> Decimal:
        """Initial margin as a fraction of value, by leverage and bracket."""
        value = self.value(place, floor) if value is None else value
        leverage = min(self.leverage(place[0], floor), tier_of(floor, value).leverage_max)
        return ROUNDED.divide(Decimal(1), leverage)

    def margins(self, place: Place, floor: Floor, wish: Wish | None) -> tuple[Money, Money]:
        """Initial margin of the position alone, and of position and orders together.

        Orders that would close the position cost nothing; of buys and sells the dearer side
        counts (Bybit help "Initial Margin"; Binance "Margin calculation, open orders").
        """
        held, whole = self.values(place, floor, wish)
        if not whole:
            return ZERO, ZERO
        leverage = min(self.leverage(place[0], floor), tier_of(floor, whole).leverage_max)
        if self.isolated(place):
            margin = self._holdings.get(place).margin
            return margin, margin + ROUNDED.divide(whole - held, leverage)
        return ROUNDED.divide(held, leverage), ROUNDED.divide(whole, leverage)

    def values(self, place: Place, floor: Floor, wish: Wish | None) -> tuple[Money, Money]:
        """Value of the position alone, and of the largest one that its orders could make it."""
        key, instrument, index = place
        orders = self._docket.open_in(key, instrument)
        held = self.value(place, floor)
        if not orders and wish is None:
            return held, held
        lots = self._holdings.get(place).lots
        exposures = []
        for side in (Side.BUY, Side.SELL):
            wishes = [_wish(order, floor) for order in orders if _adds(order, side, index)]
            if wish is not None and wish.side is side:
                wishes.append(wish)
            count = sum(one.lots for one in wishes)
            value = sum((floor.value(one.price, one.lots) for one in wishes), ZERO)
            same_way = lots * side > 0
            opens = count if same_way or not lots else max(0, count - abs(lots))
            opening = value * opens / count if count else ZERO
            exposures.append(opening + (held if same_way else ZERO))
        return held, max(held, *exposures)

    def rank(self, place: Place, floor: Floor) -> int:
        """Place in the queue for deleveraging, 1 to 5: profit and leverage come first."""
        held = self._holdings.get(place)
        if not held.lots:
            return 0
        value = self.value(place, floor)
        share = ROUNDED.divide(self.unrealised(place, floor), value) if value else ZERO
        score = share * self.leverage(place[0], floor)
        steps = (Decimal("0.05"), Decimal("0.2"), Decimal("0.5"), Decimal(1))
        return 1 + sum(score > step for step in steps)


def tiers_of(floor: Floor) -> tuple[RiskTier, ...]:
    """The brackets of an instrument, at least one."""
    extras = floor.listing.extras
    return extras.tiers or (
        RiskTier(
            number=1,
            value_from=ZERO,
            value_to=ZERO,
            maintenance_rate=extras.maintenance_rate,
            leverage_max=extras.leverage_max,
        ),
    )


def tier_of(floor: Floor, value: Money) -> RiskTier:
    """The bracket in which a position of this value stands."""
    tiers = tiers_of(floor)
    return next((one for one in tiers if not one.value_to or value <= one.value_to), tiers[-1])


def price_where(floor: Floor, lots: int, cushion: Money, bracket: RiskTier | None) -> Decimal:
    """The price at which a position's cushion is down to its maintenance margin.

    Without a bracket: down to nothing, the bankruptcy price. 0 where no price does it. `cushion`
    is what may be lost from the reference price on, in settle.
    """
    direction = 1 if lots > 0 else -1
    rate = bracket.maintenance_rate if bracket is not None else ZERO
    cushion += bracket.deduction if bracket is not None else ZERO
    reference = floor.reference()
    size = floor.instrument.size(abs(lots)) * floor.instrument.contract_value
    if not size or not reference:
        return ZERO
    share = ROUNDED.divide(cushion, size)
    if floor.instrument.payoff is not Payoff.INVERSE:
        price = ROUNDED.divide(direction * reference - share, direction - rate)
        return max(ZERO, price)
    coins = ROUNDED.divide(
        share + ROUNDED.divide(Decimal(direction), reference), direction + rate
    )
    return ROUNDED.divide(Decimal(1), coins) if coins > 0 else ZERO


def _wish(order: Order, floor: Floor) -> Wish:
    return Wish(side=order.side, lots=order.leaves_lots, price=floor.instrument.price(order.ticks))


def _adds(order: Order, side: Side, index: int) -> bool:
    """Whether an open order counts on this side of this position."""
    return order.side is side and order.position_index == index and not order.reduce_only

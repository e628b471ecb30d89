"""What can be traded, and every conversion between its grid and the world."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

import msgspec

from oneprice.model.units import (
    EXACT,
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    Side,
    Ticks,
    plain,
)


class OffGrid(ValueError):
    """A price or size that is not a whole number of steps: our instrument is out of date."""


class Payoff(StrEnum):
    """How a price difference becomes money."""

    SPOT = "spot"  # the thing itself changes hands
    LINEAR = "linear"  # profit in quote: size * value * (exit - entry)
    INVERSE = "inverse"  # contracts of fixed quote value, profit in base: 1/entry - 1/exit
    QUANTO = "quanto"  # profit in a third asset: size * multiplier * (exit - entry)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable thing on one venue.

    `tick` is in quote per base; `lot` in the venue's own unit of size (base for spot and most
    linear contracts, contracts elsewhere). `contract_value` is what one unit of size stands for:
    base (spot, linear), quote (inverse), settle asset per unit of price (quanto).
    `multiplier` says how many coins one unit of base means (1000PEPE: 1000), so that the same
    thing can be compared across venues.
    """

    id: InstrumentId
    venue: str
    market: str  # the venue's own product name: spot, linear, usdm, coinm, swap ...
    symbol: str  # as the venue spells it
    payoff: Payoff
    base: Asset
    quote: Asset
    settle: Asset
    tick: Decimal
    lot: Decimal
    contract_value: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    lots_min: Lots = Lots(1)
    lots_max: Lots = Lots(0)  # 0: the venue names no limit
    notional_min: Money = ZERO  # in quote
    price_min: Decimal = ZERO
    price_max: Decimal = ZERO  # 0: the venue names no limit
    expiry: Nanos = Nanos(0)  # 0: none
    delisting: Nanos = Nanos(0)  # announced end of trading of what has no expiry; 0: none
    funding_interval_ms: int = 0  # 0: no funding
    tradable: bool = True

    # Grid ------------------------------------------------------------------------------

    def ticks(self, price: Decimal | str) -> Ticks:
        """Whole ticks of a price; raises OffGrid where the price is not on the grid."""
        return Ticks(_steps(price, self.tick, self.id, "price", "tick"))

    def lots(self, size: Decimal | str) -> Lots:
        """Whole lots of a size; raises OffGrid where the size is not on the grid."""
        return Lots(_steps(size, self.lot, self.id, "size", "lot"))

    def price(self, ticks: int) -> Decimal:
        return self.tick * ticks

    def size(self, lots: int) -> Decimal:
        return self.lot * lots

    def price_text(self, ticks: int) -> str:
        return plain(self.price(ticks))

    def size_text(self, lots: int) -> str:
        return plain(self.size(lots))

    def ticks_not_worse(self, price: Decimal, side: Side) -> Ticks:
        """The nearest tick that never costs us more: down when buying, up when selling."""
        rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
        return Ticks(int((price / self.tick).to_integral_value(rounding)))

    def lots_within(self, size: Decimal) -> Lots:
        """The most whole lots that fit into a size."""
        return Lots(int((size / self.lot).to_integral_value(ROUND_FLOOR)))

    # Money -----------------------------------------------------------------------------

    def notional(self, ticks: int, lots: int) -> Money:
        """Value of a size at a price, in quote; of quanto contracts in the settle asset.

        For inverse contracts the price does not matter.
        """
        if self.payoff is Payoff.INVERSE:
            return self.lot * lots * self.contract_value
        return self.tick * self.lot * self.contract_value * (ticks * lots)

    @property
    def notional_asset(self) -> Asset:
        """What `notional` is counted in."""
        return self.settle if self.payoff is Payoff.QUANTO else self.quote

    def base_size(self, ticks: int, lots: int) -> Decimal:
        """Exposure in coins of base; for inverse contracts it depends on the price.

        ValueError for quanto contracts, where it depends on the price of the settle asset.
        """
        self._check_base_is_known()
        if self.payoff is Payoff.INVERSE:
            value = self.lot * lots * self.contract_value
            return ROUNDED.divide(value, self.tick * ticks)
        return self.lot * lots * self.contract_value * self.multiplier

    def base_per_lot(self) -> Decimal:
        """Coins of base in one lot, for payoffs where that does not depend on any price."""
        self._check_base_is_known()
        if self.payoff is Payoff.INVERSE:
            raise ValueError(f"{self.id}: the base of an inverse contract depends on the price")
        return self.lot * self.contract_value * self.multiplier

    def _check_base_is_known(self) -> None:
        if self.payoff is Payoff.QUANTO:
            raise ValueError(
                f"{self.id}: the base of a quanto contract depends on the price of {self.settle}"
            )

    def profit(self, entry: Decimal, leave: Decimal, lots: int) -> Money:
        """Profit in the settle asset of a signed size held from one price to another."""
        size = self.lot * lots * self.contract_value
        if self.payoff is Payoff.INVERSE:
            return ROUNDED.divide(size, entry) - ROUNDED.divide(size, leave)
        return size * (leave - entry)

    def funding(self, mark: Decimal, lots: int, rate: Decimal) -> Money:
        """What a signed position receives (negative: pays) at a settlement, in settle asset.

        Rate above zero: longs pay shorts (Bybit v5 docs "Funding"; Binance "Funding Rates").
        """
        size = self.lot * lots * self.contract_value
        if self.payoff is Payoff.INVERSE:
            return -ROUNDED.divide(size, mark) * rate
        return -size * mark * rate

    @property
    def ends(self) -> Nanos:
        """When it ceases to trade, by expiry or by announcement; 0: not known to."""
        if self.expiry and self.delisting:
            return min(self.expiry, self.delisting)
        return self.expiry or self.delisting

    @property
    def is_derivative(self) -> bool:
        return self.payoff is not Payoff.SPOT


def instrument_id(venue: str, market: str, symbol: str) -> InstrumentId:
    return f"{venue}:{market}:{symbol}"


def split_id(instrument: InstrumentId) -> tuple[str, str, str]:
    """Venue, market and symbol; ValueError names what was found."""
    parts = instrument.split(":", 2)
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"instrument {instrument!r}: expected venue:market:symbol")
    return parts[0], parts[1], parts[2]


def _steps(value: Decimal | str, step: Decimal, owner: str, what: str, unit: str) -> int:
    number = Decimal(value)
    count = ROUNDED.divide(number, step)
    whole = int(count)
    if EXACT.multiply(step, whole) != number:
        raise OffGrid(f"{owner}: {what} {value} is not a multiple of the {unit} {plain(step)}")
    return whole

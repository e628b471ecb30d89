"""Open positions: average entry, realised profit, leverage, one-way and hedge mode."""

from decimal import Decimal

import msgspec

from oneprice.model.instrument import Payoff
from oneprice.model.units import ROUNDED, ZERO, InstrumentId, Money, Side
from oneprice.twin.contract import Refusal
from oneprice.twin.floor import Floor

Place = tuple[str, InstrumentId, int]  # account key, instrument, position index


class Holding(msgspec.Struct, kw_only=True):
    """One position as the exchange keeps it; `lots` is signed."""

    lots: int = 0
    entry: Decimal = ZERO
    cost: Money = ZERO  # what it was worth at entry, positive
    realised: Money = ZERO
    realised_ever: Money = ZERO
    fees: Money = ZERO  # since it was opened
    funding: Money = ZERO
    margin: Money = ZERO  # set aside, isolated only
    created_at: int = 0
    updated_at: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill did to a position."""

    realised: Money
    closed_lots: int


class Holdings:
    """All positions of all customers."""

    def __init__(self) -> None:
        self._held: dict[Place, Holding] = {}
        self._leverage: dict[tuple[str, InstrumentId], Decimal] = {}
        self._hedged: dict[tuple[str, str], bool] = {}
        self._modes: dict[tuple[str, InstrumentId], str] = {}
        self._limits: dict[tuple[str, InstrumentId], int] = {}
        self.dirty: dict[Place, str] = {}  # place -> cause, since the last flush

    def get(self, place: Place) -> Holding:
        """The position, flat where there never was one."""
        return self._held.get(place) or Holding()

    def places(self, key: str) -> list[Place]:
        """Of one customer, sorted by instrument and index."""
        return sorted(place for place in self._held if place[0] == key)

    def open_places(self, instrument: InstrumentId) -> list[Place]:
        """Every customer's open positions in one instrument, in a fixed order."""
        return sorted(p for p, held in self._held.items() if p[1] == instrument and held.lots)

    def open_keys(self) -> list[str]:
        """Customers with open positions, in a fixed order."""
        return sorted({place[0]: None for place, held in self._held.items() if held.lots})

    def trade(
        self, place: Place, floor: Floor, side: Side, trade: tuple[Decimal, int], at: int
    ) -> Change:
        """Applies a fill (price, lots): first it closes, what is left opens."""
        price, lots = trade
        held = self._held.setdefault(place, Holding(created_at=at))
        signed = lots * side
        closed = min(lots, abs(held.lots)) if held.lots * signed < 0 else 0
        realised = ZERO
        if closed:
            direction = 1 if held.lots > 0 else -1
            part = _part(held, closed, floor.lot_step)
            realised = floor.profit((held.entry, part), price, closed * direction)
            held.cost -= part
        held.cost += floor.value(price, lots - closed)
        after = held.lots + signed
        if held.lots == 0 or held.lots * after < 0:  # opened, or turned around
            held.created_at = at
            held.realised = realised if held.lots else ZERO
            held.entry = price
            held.fees = held.funding = ZERO
        elif after == 0:
            held.realised += realised
            held.entry = ZERO
        elif closed:
            held.realised += realised
        else:
            payoff = floor.instrument.payoff
            held.entry = _average(payoff, (held.entry, abs(held.lots)), (price, lots))
        held.lots = after
        held.realised_ever += realised
        held.updated_at = at
        self.dirty[place] = "fill"
        return Change(realised=realised, closed_lots=closed)

    def add_fee(self, place: Place, fee: Money) -> None:
        """A fee enters the position's own result."""
        held = self._held[place]
        held.realised -= fee
        held.realised_ever -= fee
        held.fees += fee
        self.dirty[place] = "fill"

    def add_funding(self, place: Place, amount: Money) -> None:
        """Funding enters the position's own result, above zero was received."""
        held = self._held[place]
        held.realised += amount
        held.realised_ever += amount
        held.funding += amount
        self.dirty[place] = "funding"

    def add_margin(self, place: Place, amount: Money) -> None:
        self._held[place].margin += amount
        self.dirty[place] = "margin"

    def leverage(self, key: str, instrument: InstrumentId, default: Decimal) -> Decimal:
        return self._leverage.get((key, instrument), default)

    def set_leverage(self, key: str, instrument: InstrumentId, leverage: Decimal) -> None:
        self._leverage[key, instrument] = leverage
        self._held.setdefault((key, instrument, 0), Holding())
        self.dirty[key, instrument, 0] = "leverage"

    def mode(self, key: str, instrument: InstrumentId, default: str) -> str:
        """cross or isolated."""
        return self._modes.get((key, instrument), default)

    def set_mode(self, key: str, instrument: InstrumentId, mode: str) -> None:
        self._modes[key, instrument] = mode
        self._held.setdefault((key, instrument, 0), Holding())
        self.dirty[key, instrument, 0] = "margin"

    def limit(self, key: str, instrument: InstrumentId) -> int:
        """The tier that caps a position, 0: the highest."""
        return self._limits.get((key, instrument), 0)

    def set_limit(self, key: str, instrument: InstrumentId, number: int) -> None:
        self._limits[key, instrument] = number

    def hedged(self, key: str, market: str) -> bool:
        return self._hedged.get((key, market), False)

    def set_hedged(self, key: str, market: str, on: bool) -> None:
        if self.hedged(key, market) == on:
            raise Refusal("mode_unchanged", f"position mode of {market}")
        self._hedged[key, market] = on


def _part(held: Holding, closed: int, step: Decimal) -> Money:
    """What of a position's cost belongs to the lots that are closed; the last take the rest."""
    if closed == abs(held.lots):
        return held.cost
    part = ROUNDED.divide(held.cost * closed, Decimal(abs(held.lots)))
    return part.quantize(step) if step else part


def _average(payoff: Payoff, before: tuple[Decimal, int], added: tuple[Decimal, int]) -> Decimal:
    """Average entry by size; for inverse contracts the harmonic one, which keeps the profit."""
    (entry, held), (price, lots) = before, added
    if payoff is Payoff.INVERSE:
        coins = ROUNDED.divide(Decimal(held), entry) + ROUNDED.divide(Decimal(lots), price)
        return ROUNDED.divide(Decimal(held + lots), coins)
    return ROUNDED.divide(entry * held + price * lots, Decimal(held + lots))

"""A small seeded market for many venues: one path per coin, thin ladders, planned dislocations.

It stands where a twin's own seeded world stands, but is cheap, and its dislocations are part of
the plan: what can be earned, and when, is known beforehand. A taker works a dislocation off.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import ceil, floor

import msgspec

from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, SECOND, InstrumentId, Side
from oneprice.twin.bars import Past
from oneprice.twin.chance import Chance
from oneprice.twin.contract import (
    BookUpdate,
    FundingRow,
    Listing,
    MarketUpdate,
    PriceUpdate,
    TakeUpdate,
)
from oneprice.twin.floor import Floor

SAME_AS = {"XBT": "BTC"}
DOLLARS = {"BTC": 60_000, "ETH": 3_000, "SOL": 150}
LEVELS = 8
LEVEL_DOLLARS = 1_500.0
WALK_BPS = 0.25  # of one step
HALF_SPREAD_BPS = 0.2
SPACING_BPS = 0.6
FRESH = 0.03  # the part of levels that change their size in a step
REFILLED = 0.4  # and of those that a taker ate from
PRICES_EVERY = 4  # steps
ABSORBED_DOLLARS = 6_000.0  # taken, they leave a third of a dislocation
RATE = Decimal("0.0001")


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument is off for a while: `bps` at `at`, halved every `half_life`, nanoseconds.

    `at` counts from the beginning of the market; the next gap of an instrument ends this one.
    """

    instrument: InstrumentId
    at: int
    bps: float
    half_life: int = 600 * MILLI


class Prices:
    """One path per coin for all venues; a step asked for twice is the same step."""

    def __init__(self, seed: int, step_ns: int) -> None:
        self._seed = seed
        self._step_ns = step_ns
        self._paths: dict[str, list[float]] = {}

    def price(self, coin: str, number: int) -> float:
        coin = SAME_AS.get(coin, coin)
        path: list[float] = self._paths.setdefault(coin, [float(DOLLARS[coin])])
        while len(path) <= number:
            chance = Chance(self._seed, "path", coin, len(path))
            path.append(path[-1] * (1.0 + WALK_BPS * 1e-4 * chance.gauss()))
        return path[number]


class _Stall:
    """One instrument: its ladder as it was quoted last."""

    def __init__(self, instrument: Instrument, seed: int, gaps: tuple[Gap, ...]) -> None:
        self.instrument = instrument
        self.gaps = gaps
        self.absorbed = 1.0  # what takers left of the gap
        self._newest = -1
        self._chance = Chance(seed, "stall", instrument.id)
        self._tick = float(instrument.tick)
        self.shown: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._there: Mapping[Side, Mapping[int, int]] = self.shown

    def stand(self, floor: Floor) -> None:
        """Where its quotes are traded."""
        book = floor.book
        self._there = {Side.BUY: book.bids.anonymous, Side.SELL: book.asks.anonymous}

    def middle(self, fair: float, since: int) -> float:
        """Where it is quoted, `since` nanoseconds after the market began."""
        while self._newest + 1 < len(self.gaps) and self.gaps[self._newest + 1].at <= since:
            self._newest += 1
            self.absorbed = 1.0
        if self._newest < 0:
            return fair
        one = self.gaps[self._newest]
        gap: float = one.bps * 0.5 ** ((since - one.at) / one.half_life)
        return fair * (1.0 + gap * self.absorbed * 1e-4)

    def quotes(self, middle: float, *, full: bool) -> BookUpdate:
        """What changes; levels stand on a grid of prices, so that most of them stay."""
        bid, ask = self._side(middle, Side.BUY), self._side(middle, Side.SELL)
        return BookUpdate(instrument=self.instrument.id, bids=bid, asks=ask, full=full)

    def _side(self, middle: float, side: Side) -> tuple[tuple[int, int], ...]:
        before, there = self.shown[side], self._there[side]
        apart = max(1, round(middle * SPACING_BPS * 1e-4 / self._tick))
        place = middle / self._tick / apart - int(side) * HALF_SPREAD_BPS / SPACING_BPS
        best = (floor(place) if side is Side.BUY else ceil(place)) * apart
        prices = [best - int(side) * apart * level for level in range(LEVELS)]
        now: dict[int, int] = {}
        changes: dict[int, int] = {}
        for ticks in prices:
            known = before.pop(ticks, 0)
            eaten = there.get(ticks, 0) < known
            if known and not self._chance.hits(REFILLED if eaten else FRESH):
                now[ticks] = known
            else:
                changes[ticks] = now[ticks] = self.lots(middle)
        changes.update(dict.fromkeys(before, 0))
        self.shown[side] = now
        return tuple(changes.items())

    def lots(self, price: float, dollars: float = LEVEL_DOLLARS) -> int:
        instrument = self.instrument
        worth = float(instrument.lot * instrument.contract_value) * price
        return max(instrument.lots_min, 1, round(dollars * (0.5 + self._chance.uniform()) / worth))

    def take(self, middle: float) -> TakeUpdate | None:
        if not self._chance.hits(0.15):
            return None
        side = Side.BUY if self._chance.hits(0.5) else Side.SELL
        limit = max(1, int(middle / self._tick * (1.0 + int(side) * 20e-4)))
        lots = self.lots(middle, LEVEL_DOLLARS / 2)
        return TakeUpdate(instrument=self.instrument.id, lots=lots, side=side, limit_ticks=limit)


class Bazaar:
    """The market of one venue; `coarse` makes it take larger steps, for waiting."""

    def __init__(
        self,
        listings: tuple[Listing, ...],
        prices: Prices,
        gaps: tuple[Gap, ...],
        *,
        seed: int,
        begin: int,
        step_ns: int,
    ) -> None:
        self.coarse = 1
        self._prices = prices
        self._step_ns = step_ns
        self._begin = begin  # when it starts to move, nanoseconds UTC
        self._done = 0
        self._stalls = {
            one.instrument.id: _Stall(
                one.instrument, seed, tuple(g for g in gaps if g.instrument == one.instrument.id)
            )
            for one in listings
        }

    def start(self, floors: Mapping[InstrumentId, Floor], at: int) -> list[MarketUpdate]:
        updates: list[MarketUpdate] = []
        for stall in self._stalls.values():
            stall.stand(floors[stall.instrument.id])
            middle = stall.middle(self._fair(stall, 0), 0)
            updates.append(stall.quotes(middle, full=True))
            ask = min(stall.shown[Side.SELL])
            updates.append(
                TakeUpdate(instrument=stall.instrument.id, lots=1, side=Side.BUY, limit_ticks=ask)
            )
            updates.append(self._marks(stall, 0, at, first=True))
        return updates

    def updates(self, until: int) -> Iterator[tuple[int, MarketUpdate]]:
        number = (until - self._begin) // self._step_ns
        if number < self._done + self.coarse:
            return
        self._done = number
        at = self._begin + number * self._step_ns
        for stall in self._stalls.values():
            middle = stall.middle(self._fair(stall, number), number * self._step_ns)
            yield at, stall.quotes(middle, full=False)
            taken = stall.take(middle)
            if taken is not None:
                yield at, taken
            if number % PRICES_EVERY == 0:
                yield at, self._marks(stall, number, at)

    def _fair(self, stall: _Stall, number: int) -> float:
        return self._prices.price(stall.instrument.base, number)

    def _marks(self, stall: _Stall, number: int, at: int, *, first: bool = False) -> PriceUpdate:
        instrument = stall.instrument
        index = instrument.tick * round(self._fair(stall, number) / float(instrument.tick))
        if not instrument.is_derivative:
            return PriceUpdate(instrument=instrument.id, index=index)
        interval = instrument.funding_interval_ms * MILLI
        due = (at // interval + 1) * interval if interval and first else None
        return PriceUpdate(
            instrument=instrument.id, mark=index, index=index, funding_rate=RATE, funding_due=due,
            funding_next=RATE,
        )  # fmt: skip

    def past(self, instrument: InstrumentId, kind: str) -> Past | None:
        return None

    def settled(self, instrument: InstrumentId, at: int, count: int) -> list[FundingRow]:
        return []

    def pressed(self, floor: Floor, lots: int, at: int) -> None:
        stall = self._stalls[floor.id]
        instrument = stall.instrument
        worth = float(instrument.size(abs(lots)) * instrument.contract_value)
        dollars = worth * self._prices.price(instrument.base, self._done)
        stall.absorbed *= 3.0 ** (-dollars / ABSORBED_DOLLARS)


def seconds(number: float) -> int:
    """A span in nanoseconds."""
    return int(number * SECOND)

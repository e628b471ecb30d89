"""The seeded world of one venue: ladders, trades, mark, index and funding around hidden prices."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from math import exp, log, sqrt

from oneprice.model.instrument import Payoff
from oneprice.model.units import HOUR, MILLI, MINUTE, SECOND, InstrumentId, Money, Side
from oneprice.twin.bars import Past
from oneprice.twin.chance import Chance, spot
from oneprice.twin.contract import (
    BookUpdate,
    Candle,
    FundingRow,
    Listing,
    MarketUpdate,
    PriceUpdate,
    TakeUpdate,
)
from oneprice.twin.floor import Floor
from oneprice.twin.latent import BASE_PRICES, BPS, SAME_AS, Latent, latent_of
from oneprice.twin.matching import Half

STEP = 50 * MILLI  # between two updates of one instrument
TICK = 10 * MILLI  # instruments take turns on this grid
PRICE_EVERY = 2  # steps between two mark and index prices
DAY = 24 * HOUR
YEAR = 365 * DAY
CARRY = 0.05  # of a dated future over spot, per year
SKIP = 5 * SECOND  # a longer pause of the caller is skipped, not replayed
LEVELS_MAX = 200
LEVELS_MIN = 120
REACH = 0.06  # no quote is further from the touch, a fraction of the price
DEPTH_LEVELS = 5  # usual levels that make up the size which works off most of a dislocation
IMPACT_BPS = 1.0  # by a taker of that size, in proportion, however many fills it takes
IMPACT_MAX = 50 * BPS
IMPACT_HALF_LIFE = 10 * SECOND
LN2 = log(2.0)
_HALF_SPREAD_BPS = {"BTC": 0.04, "ETH": 0.08, "SOL": 0.25}
_LEVEL_DOLLARS = {"BTC": 9_000.0, "ETH": 6_000.0, "SOL": 3_000.0}
_DAY_DOLLARS = {"BTC": 4e9, "ETH": 2e9, "SOL": 5e8}
_CENT = Decimal("0.01")
_RATE_STEP = Decimal("0.00000001")


class Stall:
    """One instrument of the seeded world: its basis and how its ladder is renewed."""

    def __init__(self, listing: Listing, latent: Latent, seed: int, turn: int) -> None:
        instrument = listing.instrument
        self.listing = listing
        self.instrument = instrument
        self.id = instrument.id
        self._latent = latent
        self._seed = seed
        self._venue = f"{instrument.venue}:{instrument.market}"
        self._asset = SAME_AS.get(instrument.base, instrument.base)
        self._turn = turn
        self._chance = Chance(seed, "stall", self.id)
        self._lag = (50 + int(350 * spot(seed, "lag", self.id))) * MILLI
        self._tick = float(instrument.tick)
        self._swing = 0.0  # short-lived basis (Ornstein-Uhlenbeck), a fraction
        self._premium = 0.0  # of the middle over the index, averaged over about 30 s
        self._slow_premium = 0.0  # over about 10 minutes, for funding
        self._estimate = 0.0  # of the next rate, as last told
        self._fixed = 0.0  # the rate that will be paid next, where it is fixed ahead
        self._fixed_due = 0
        self._impact = 0.0  # of customers' orders on the price, a fraction, melting away
        self._impact_at = 0
        self._absorbed: dict[int, float] = {}  # start of a dislocation -> what is left of it
        self._steps = 0
        self._fair = 0.0
        self._price_step = min(_CENT, instrument.tick)

    def due(self, after: int) -> int:
        """The first of this instrument's moments after a time."""
        offset = self._turn * TICK % STEP
        return (after - offset) // STEP * STEP + STEP + offset

    # The price --------------------------------------------------------------------------------

    def lasting_basis(self, minute: int) -> float:
        """What stays for many minutes: perpetuals trade off spot, venues off each other."""
        name = "basis" + self._venue + self.instrument.base
        slow = self._latent.wave(name, 90, minute) + 0.5 * self._latent.wave(name, 11, minute)
        if not self.instrument.is_derivative:
            return 0.4 * BPS * slow
        basis = (1.5 + 3.0 * slow) * BPS
        left = self.instrument.expiry - minute * MINUTE
        if self.instrument.expiry:  # the carry of a dated one melts away towards its delivery
            return max(0.0, left / YEAR) * CARRY + basis * min(1.0, max(0.0, left / DAY))
        return basis

    def fair(self, at: int) -> float:
        """Where this market's middle belongs now."""
        base = self.instrument.base
        hidden = self._latent.price(base, at - self._lag)
        gap = self._gap_left(at)
        minute, rest = divmod(at, MINUTE)
        here, there = self.lasting_basis(minute), self.lasting_basis(minute + 1)
        lasting = here + (there - here) * rest / MINUTE
        return hidden * (1.0 + lasting + self._swing + gap + self._pushed(at))

    def press(self, lots: int, at: int) -> None:
        """A customer took signed lots: the price gives way, a dislocation is worked off.

        Others see the same gap and the same order flow; without this, the seeded world would be
        kinder than a market, where an edge is gone once it has been taken.
        """
        dollars = abs(lots) * self._lot_dollars(self._fair)
        depth = DEPTH_LEVELS * _LEVEL_DOLLARS.get(self._asset, 3_000.0)
        sign = 1.0 if lots > 0 else -1.0
        push = IMPACT_BPS * BPS * dollars / depth
        self._impact = max(-IMPACT_MAX, min(IMPACT_MAX, self._pushed(at) + sign * push))
        self._impact_at = at
        for start, size, _ in self._latent.shocks(self._asset, self._venue, at):
            if size * sign < 0:
                left = self._absorbed.get(start, 1.0)
                self._absorbed[start] = left * exp(-dollars / depth)

    def _pushed(self, at: int) -> float:
        return self._impact * exp(-LN2 * (at - self._impact_at) / IMPACT_HALF_LIFE)

    def _gap_left(self, at: int) -> float:
        """The dislocation of the moment, without what customers traded away."""
        shocks = self._latent.shocks(self._asset, self._venue, at)
        if self._absorbed and not shocks:
            self._absorbed.clear()
        total = 0.0
        for start, size, half_life in shocks:
            total += size * self._absorbed.get(start, 1.0) * 0.5 ** ((at - start) / half_life)
        return total

    def begin(self, at: int) -> list[MarketUpdate]:
        """The whole market as it stands at the start."""
        self._swing = 0.8 * BPS * self._chance.gauss()
        self._fair = self.fair(at)
        self._premium = self._slow_premium = self.lasting_basis(at // MINUTE)
        bid, ask = self._touches(at)
        bids = tuple(self._fresh_levels(Side.BUY, bid, LEVELS_MIN + 40))
        asks = tuple(self._fresh_levels(Side.SELL, ask, LEVELS_MIN + 40))
        updates: list[MarketUpdate] = [
            BookUpdate(instrument=self.id, bids=bids, asks=asks, full=True),
            TakeUpdate(instrument=self.id, lots=self._lots(50.0), side=Side.BUY, limit_ticks=ask),
        ]
        updates.append(self._prices(at, first=True))
        return updates

    def step(self, floor: Floor, at: int) -> Iterator[MarketUpdate]:
        """What happens at one of this instrument's moments."""
        chance = self._chance
        self._steps += 1
        self._swing += -self._swing * 0.006 + 0.09 * BPS * chance.gauss()  # half-life about 6 s
        before, self._fair = self._fair, self.fair(at)
        if chance.hits(0.22):
            yield self._taker(before)
        if chance.hits(0.85):
            yield self._renewal(floor, at)
        if self._steps % PRICE_EVERY == 0:
            yield self._prices(at)

    def _taker(self, before: float) -> TakeUpdate:
        chance = self._chance
        bought = chance.hits(0.65 if self._fair > before else 0.35)
        side = Side.BUY if bought else Side.SELL
        dollars = (
            0.2 * _LEVEL_DOLLARS.get(self._asset, 3_000.0) * exp(1.1 * chance.gauss())
        )
        limit = int(self._fair / self._tick * (1.0 + 15 * BPS * side))
        return TakeUpdate(
            instrument=self.id, lots=self._lots(dollars), side=side, limit_ticks=max(1, limit)
        )

    # The ladder -------------------------------------------------------------------------------

    def _touches(self, at: int) -> tuple[int, int]:
        wide = _HALF_SPREAD_BPS.get(self._asset, 0.3) * BPS
        wide *= exp(0.5 * self._latent.wave("spread" + self.id, 5, at // MINUTE))
        middle = self._fair / self._tick
        bid, ask = int(middle * (1.0 - wide)), int(middle * (1.0 + wide)) + 1
        return max(1, bid), max(2, ask)

    def _renewal(self, floor: Floor, at: int) -> BookUpdate:
        """Quotes that the price ran over are pulled, new ones come, some change their size."""
        bid, ask = self._touches(at)
        book = floor.book
        return BookUpdate(
            instrument=self.id,
            bids=tuple(self._renew_half(book.bids, bid).items()),
            asks=tuple(self._renew_half(book.asks, ask).items()),
        )

    def _renew_half(self, half: Half, best: int) -> dict[int, int]:
        chance, side = self._chance, half.side
        changes: dict[int, int] = {}
        kept = half.keys[::-1] if side is Side.BUY else list(half.keys)
        first = 0
        while first < len(kept) and (kept[first] - best) * side > 0:
            changes[kept[first]] = 0
            first += 1
        kept = kept[first:]
        reach = max(1, int(best * REACH))
        while kept and abs(kept[-1] - best) > reach:
            changes[kept.pop()] = 0
        if not kept or kept[0] != best:
            changes[best] = self._level_lots(0)
            gap = abs(best - kept[0]) if kept else 0
            for _ in range(min(4, gap // 2)):
                ticks = best - side * chance.whole(1, gap - 1)
                changes.setdefault(ticks, self._level_lots(abs(ticks - best)))
        for _ in range(chance.whole(1, 3)):
            if kept:
                self._stir(kept, best, side, changes)
        if len(kept) > LEVELS_MAX:
            changes.update(dict.fromkeys(kept[LEVELS_MAX:], 0))
        elif len(kept) < LEVELS_MIN:
            # Behind the last one, or where the ladder has been thinned out.
            start = kept[-1] if kept else best
            if 2 * abs(start - best) > reach:
                start = kept[int(len(kept) * chance.uniform())]
            for ticks, lots in self._tail(side, best, start, 3):
                if abs(ticks - best) <= reach:
                    changes.setdefault(ticks, lots)
        return changes

    def _stir(self, kept: list[int], best: int, side: Side, changes: dict[int, int]) -> None:
        """One quote changes size, leaves, or joins; nearer to the touch more often."""
        chance = self._chance
        rank = int(len(kept) * chance.uniform() ** 2.5)
        ticks = kept[rank]
        if rank and len(kept) > LEVELS_MIN and chance.hits(0.3):
            changes.setdefault(ticks, 0)
        elif chance.hits(0.35):
            joining = ticks - side * chance.whole(1, 1 + self._gap(abs(ticks - best)))
            if joining > 0 and abs(joining - best) <= best * REACH:
                changes.setdefault(joining, self._level_lots(abs(joining - best)))
        else:
            changes.setdefault(ticks, self._level_lots(abs(ticks - best)))

    def _fresh_levels(self, side: Side, best: int, count: int) -> Iterator[tuple[int, int]]:
        yield best, self._level_lots(0)
        yield from self._tail(side, best, best, count - 1)

    def _tail(self, side: Side, best: int, start: int, count: int) -> Iterator[tuple[int, int]]:
        ticks = start
        for _ in range(count):
            ticks -= side * self._chance.whole(1, 2 * self._gap(abs(ticks - best)))
            if ticks <= 0:
                return
            yield ticks, self._level_lots(abs(ticks - best))

    def _gap(self, offset: int) -> int:
        """The usual distance in ticks between quotes this far from the touch."""
        one_bp = self._fair / self._tick * BPS
        return max(1, int(0.05 * one_bp + 0.02 * offset))

    def _level_lots(self, offset: int) -> int:
        dollars = _LEVEL_DOLLARS.get(self._asset, 3_000.0)
        away_bps = offset * self._tick / self._fair / BPS
        return self._lots(dollars * (0.6 + 0.12 * away_bps) * exp(0.8 * self._chance.gauss()))

    def _lots(self, dollars: float) -> int:
        return max(1, self.instrument.lots_min, round(dollars / self._lot_dollars(self._fair)))

    def _lot_dollars(self, price: float) -> float:
        lot = float(self.instrument.lot * self.instrument.contract_value)
        if self.instrument.payoff is Payoff.INVERSE:
            return lot
        if self.instrument.payoff is Payoff.QUANTO:  # so many coins of another asset
            settle = self.instrument.settle
            return lot * price * BASE_PRICES[SAME_AS.get(settle, settle)]
        return lot * price

    # Mark, index, funding ---------------------------------------------------------------------

    def _prices(self, at: int, *, first: bool = False) -> PriceUpdate:
        index = self._latent.price(self.instrument.base, at)
        if not self.instrument.is_derivative:
            return PriceUpdate(instrument=self.id, index=self._money(index))
        premium = self._fair / index - 1.0
        passed = STEP * PRICE_EVERY
        self._premium += (premium - self._premium) * passed / (30 * SECOND)
        self._slow_premium += (premium - self._slow_premium) * passed / (600 * SECOND)
        interval = self.instrument.funding_interval_ms * MILLI
        rate = funding_rate(self.listing, self._slow_premium) if interval else None
        ahead = self.listing.extras.funding_ahead
        if first:
            self._estimate = float(rate or 0)
        update = PriceUpdate(
            instrument=self.id,
            mark=self._money(self._mark(index, at)),
            index=self._money(index),
            funding_rate=None if ahead and not first else rate,
            funding_due=self._due(at) if first and interval else None,
            funding_next=rate if ahead else self._after_next(),
            open_interest_lots=self._lots(2e9 + 1e8 * self._latent.wave(self.id, 60, at // MINUTE))
            if first
            else None,
        )
        self._estimate = float(rate or 0)
        return update

    def _due(self, at: int) -> int:
        """The first funding instant after a time."""
        interval = self.instrument.funding_interval_ms * MILLI
        phase = self.listing.extras.funding_phase_ms * MILLI
        return ((at - phase) // interval + 1) * interval + phase

    def _mark(self, index: float, at: int) -> float:
        """Index with an averaged premium, or with the fixed rate's share of the time left."""
        if not self.listing.extras.funding_ahead or not self.instrument.funding_interval_ms:
            return index * (1.0 + self._premium)
        if at >= self._fixed_due:
            self._fixed, self._fixed_due = self._estimate, self._due(at)
        interval = self.instrument.funding_interval_ms * MILLI
        return index * (1.0 + self._fixed * ((self._fixed_due - at) / interval))

    def _after_next(self) -> Decimal | None:
        """What the rate after the next one may be: the premium halved, as it reverts."""
        if not self.instrument.funding_interval_ms:
            return None
        return funding_rate(self.listing, self._slow_premium / 2)

    # Before the start -------------------------------------------------------------------------

    def past(self, kind: str, start_ms: int, interval_ms: int) -> Candle:
        """A bar of the time before the start, by the hidden price of its whole minutes."""
        base, begin, count = self.instrument.base, start_ms // 60_000, interval_ms // 60_000
        samples = list(dict.fromkeys(begin + count * part // 12 for part in range(13)))
        premium = 0.0 if kind == "index" else 1.0
        values = [
            exp(self._latent.anchor(base, minute)) * (1.0 + premium * self.lasting_basis(minute))
            for minute in samples
        ]
        wick = 2.0 * BPS * sqrt(max(1, count)) * spot(self._seed, self.id, "wick", begin, count)
        high, low = max(values) * (1.0 + wick), min(values) * (1.0 - wick)
        price = self._on_grid if kind == "trade" else self._money
        opened, closed = price(values[0]), price(values[-1])
        lots, turnover = 0, Decimal(0)
        if kind == "trade":
            busy = 0.5 + spot(self._seed, self.id, "volume", begin, count)
            dollars = _DAY_DOLLARS.get(self._asset, 1e8) * count / 1440 * busy
            lots = max(1, round(dollars / self._lot_dollars(values[0])))
            turnover = self._turnover(opened, lots)
        return Candle(
            start_ms=start_ms,
            interval_ms=interval_ms,
            open=opened,
            high=max(price(high), opened, closed),
            low=min(price(low), opened, closed),
            close=closed,
            volume_lots=lots,
            turnover=turnover,
            taker_buy_lots=lots // 2,
            trades=lots and max(1, 1500 * count),
        )

    def settled(self, at: int, count: int) -> list[FundingRow]:
        """Funding of the intervals before the start, oldest first."""
        interval = self.instrument.funding_interval_ms * MILLI
        if not interval:
            return []
        last = self._due(at) - interval
        rows = []
        for due in range(last - (count - 1) * interval, last + 1, interval):
            minute = due // MINUTE
            basis = self.lasting_basis(minute)
            mark = exp(self._latent.anchor(self.instrument.base, minute)) * (1.0 + basis)
            rate = funding_rate(self.listing, basis)
            rows.append(FundingRow(instrument=self.id, at=due, rate=rate, mark=self._money(mark)))
        return rows

    def _money(self, price: float) -> Decimal:
        """A mark or index price: the hidden float becomes a price once, to a cent or a tick."""
        return self._price_step * round(price / float(self._price_step))

    def _on_grid(self, price: float) -> Decimal:
        return self.instrument.price(max(1, round(price / self._tick)))

    def _turnover(self, price: Decimal, lots: int) -> Money:
        size = self.instrument.size(lots) * self.instrument.contract_value
        if self.instrument.payoff is Payoff.INVERSE:
            return (size / price).quantize(_RATE_STEP)
        return size * price


class SeededWorld:
    """All instruments of one venue in the world of one seed."""

    def __init__(
        self, listings: tuple[Listing, ...], seed: int, latent: Latent | None = None
    ) -> None:
        shared = latent or latent_of(seed)
        self.stalls = {
            one.instrument.id: Stall(one, shared, seed, turn) for turn, one in enumerate(listings)
        }
        self._now = 0
        self._floors: Mapping[InstrumentId, Floor] = {}

    def start(self, floors: Mapping[InstrumentId, Floor], at: int) -> list[MarketUpdate]:
        self._now = at
        self._floors = floors
        return [update for stall in self.stalls.values() for update in stall.begin(at)]

    def updates(self, until: int) -> Iterator[tuple[int, MarketUpdate]]:
        begin = max(self._now, until - SKIP)
        self._now = until
        moments = sorted(
            (at, turn)
            for turn, stall in enumerate(self.stalls.values())
            for at in range(stall.due(begin), until + 1, STEP)
        )
        order = list(self.stalls.values())
        for at, turn in moments:
            stall = order[turn]
            for update in stall.step(self._floors[stall.id], at):
                yield at, update

    def past(self, instrument: InstrumentId, kind: str) -> Past | None:
        stall = self.stalls[instrument]

        # What is past does not change, and who asks for history asks for the same bars again.
        @lru_cache(maxsize=5_000)
        def bar(start_ms: int, interval_ms: int) -> Candle | None:
            return stall.past(kind, start_ms, interval_ms)

        return bar

    def pressed(self, floor: Floor, lots: int, at: int) -> None:
        self.stalls[floor.id].press(lots, at)

    def settled(self, instrument: InstrumentId, at: int, count: int) -> list[FundingRow]:
        return self.stalls[instrument].settled(at, count)


def funding_rate(listing: Listing, premium: float) -> Decimal:
    """Premium plus interest within 5 bps of it, capped (Bybit help "Funding rate"; Binance)."""
    average = Decimal(repr(premium)).quantize(_RATE_STEP)
    extras, bound = listing.extras, Decimal("0.0005")
    parts = Decimal(8 * HOUR) / (listing.instrument.funding_interval_ms * MILLI)
    average = average / parts if parts > 1 else average
    rate = average + min(bound, max(-bound, extras.funding_interest - average))
    return min(extras.funding_cap, max(-extras.funding_cap, rate)).quantize(_RATE_STEP)

"""One hidden price per asset, the same for everyone who has the seed, at any moment in time.

The logarithm of a price is anchored at every whole minute by noise of many periods, which can be
computed for any minute without its past; within a minute a random walk with jumps is bridged from
one anchor to the next. So two processes agree without talking, whenever each of them started.
Numbers in here are floats: they are a hidden state, never a price that somebody trades at.
"""

from functools import lru_cache
from math import exp, log, sqrt

from oneprice.model.units import MILLI, MINUTE
from oneprice.twin.chance import Chance, spot

STEP = 50 * MILLI
STEPS = MINUTE // STEP
BPS = 1e-4

BASE_PRICES = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0, "XRP": 0.6, "BNB": 550.0}
MINUTE_BPS = {"BTC": 5.0, "ETH": 6.5, "SOL": 9.0}  # usual move of a minute
_PERIODS = (1, 4, 16, 64, 256, 1024, 4096, 16_384)  # minutes
_COMMON = 0.75  # how much of a move all assets share
_OWN = sqrt(1.0 - _COMMON**2)

VENUES = (
    "bybit:linear",
    "binance:usdm",
    "bybit:spot",
    "binance:spot",
    "bybit:inverse",
    "binance:coinm",
    "okx:swap",
    "okx:spot",
)
_WEIGHTS = (0.28, 0.28, 0.16, 0.16, 0.04, 0.04, 0.02, 0.02)
# A second row of dislocations for venues that came later, so that older worlds stay as they were.
MORE_VENUES = (
    "okx:swap",
    "okx:spot",
    "okx:futures",
    "kucoin:futures",
    "kucoin:spot",
    "bitmex:derivatives",
)
_MORE_WEIGHTS = (0.3, 0.15, 0.05, 0.25, 0.1, 0.15)
Row = tuple[str, tuple[str, ...], tuple[float, ...]]
_ROWS: tuple[Row, ...] = (("shock", VENUES, _WEIGHTS), ("shock more", MORE_VENUES, _MORE_WEIGHTS))
SAME_AS = {"XBT": "BTC"}  # two names of one asset have one price
NODES_KEPT = 50_000
SLOT = 6_000 * MILLI  # one dislocation at most per asset and slot


Shock = tuple[int, str, float, float]  # start, venue, size, half-life
UNDRAWN: Shock = (0, "", 0.0, 0.0)


class Latent:
    """The hidden prices of all assets for one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._paths: dict[tuple[str, int], list[float]] = {}
        self._nodes: dict[tuple[str, int, int], float] = {}
        self._shocks: dict[tuple[str, str, int], Shock | None] = {}

    def price(self, asset: str, at: int) -> float:
        """Hidden price in dollars."""
        asset = SAME_AS.get(asset, asset)
        minute, rest = divmod(at, MINUTE)
        path = self._paths.get((asset, minute))
        if path is None:
            path = self._walk(asset, minute)
        step, part = divmod(rest, STEP)
        low, high = path[step], path[step + 1]
        return exp(low + (high - low) * part / STEP)

    def anchor(self, asset: str, minute: int) -> float:
        """Logarithm of the price at a whole minute since 1970."""
        asset = SAME_AS.get(asset, asset)
        scale = MINUTE_BPS.get(asset, 8.0) * BPS
        total = log(BASE_PRICES.get(asset, 100.0))
        for period in _PERIODS:
            weight = 0.5 * scale * sqrt(period)
            total += weight * (
                _COMMON * self.wave("all", period, minute)
                + _OWN * self.wave(asset, period, minute)
            )
        return total

    def wave(self, name: str, period: int, minute: int) -> float:
        """Smooth noise of about unit size that has a new value every `period` minutes."""
        node, rest = divmod(minute, period)
        here = self._node(name, period, node)
        if rest == 0:
            return here
        return here + (self._node(name, period, node + 1) - here) * rest / period

    def shocks(self, asset: str, venue: str, at: int) -> list[tuple[int, float, float]]:
        """Dislocations of one venue that still matter: start, size (a fraction), half-life."""
        asset = SAME_AS.get(asset, asset)
        slot = at // SLOT
        found = []
        for row in _ROWS:
            if venue not in row[1]:
                continue
            for earlier in range(slot - 3, slot + 1):
                shock = self._shock(row, asset, earlier)
                if shock is not None and shock[1] == venue and shock[0] <= at:
                    found.append((shock[0], shock[2], shock[3]))
        return found

    def _node(self, name: str, period: int, node: int) -> float:
        key = (name, period, node)
        known = self._nodes.get(key)
        if known is None:
            if len(self._nodes) > NODES_KEPT:
                self._nodes.clear()
            # the sum of three uniform numbers is near enough to normal, with variance 1/4
            total = sum(spot(self._seed, name, period, node, k) for k in (1, 2, 3))
            known = self._nodes[key] = (total - 1.5) * 2.0
        return known

    def _shock(self, row: Row, asset: str, slot: int) -> Shock | None:
        key = (row[0], asset, slot)
        known = self._shocks.get(key, UNDRAWN)
        if known is UNDRAWN:
            if len(self._shocks) > 4000:
                self._shocks.clear()
            known = self._shocks[key] = self._draw_shock(row, asset, slot)
        return known

    def _draw_shock(self, row: Row, asset: str, slot: int) -> Shock | None:
        name, venues, weights = row
        chance = Chance(self._seed, name, asset, slot)
        if not chance.hits(0.85):
            return None
        start = slot * SLOT + int(chance.uniform() * SLOT)
        draw, venue = chance.uniform(), venues[-1]
        for one, weight in zip(venues, weights, strict=True):
            draw -= weight
            if draw < 0:
                venue = one
                break
        # small ones are frequent, those that pay all fees are rare
        size = (15.0 + 45.0 * chance.uniform() ** 2) * BPS
        sign = 1.0 if chance.hits(0.5) else -1.0
        half_life = chance.between(1_000, 3_000) * MILLI
        return start, venue, sign * size, half_life

    def _walk(self, asset: str, minute: int) -> list[float]:
        if len(self._paths) > 64:
            self._paths.clear()
        first, last = self.anchor(asset, minute), self.anchor(asset, minute + 1)
        shared = Chance(self._seed, "walk", "all", minute)
        own = Chance(self._seed, "walk", asset, minute)
        mood = exp(0.6 * self.wave("mood", 7, minute) + 0.4 * self.wave(asset + "mood", 3, minute))
        scale = MINUTE_BPS.get(asset, 8.0) * BPS * mood * sqrt(1.0 / STEPS)
        jumps = self._jumps(asset, minute)
        value, walk = 0.0, [0.0]
        for step in range(STEPS):
            value += scale * (_COMMON * shared.gauss() + _OWN * own.gauss())
            value += jumps.get(step, 0.0)
            walk.append(value)
        drift = (last - first - value) / STEPS
        path = [first + walk[step] + drift * step for step in range(STEPS + 1)]
        path[STEPS] = last
        self._paths[asset, minute] = path
        return path

    def _jumps(self, asset: str, minute: int) -> dict[int, float]:
        """Sudden moves within a minute; some hit all assets at the same step."""
        found: dict[int, float] = {}
        for name, weight in (("all", 0.8), (asset, 1.0)):
            chance = Chance(self._seed, "jump", name, minute)
            while chance.hits(0.35):
                step = chance.whole(0, STEPS - 1)
                sign = 1.0 if chance.hits(0.5) else -1.0
                found[step] = found.get(step, 0.0) + sign * weight * chance.between(4, 16) * BPS
        return found


@lru_cache(maxsize=8)
def latent_of(seed: int) -> Latent:
    """The hidden prices of a seed; what one venue found out serves all of the process."""
    return Latent(seed)

"""A campaign: many worlds on all cores, and what they came to together."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context

import msgspec

from oneprice.app.world.simulate import Result, simulate
from oneprice.app.world.violations import Violation

AHEAD = 2  # worlds that wait for each worker


class Tally(msgspec.Struct, kw_only=True):
    """The figures of a campaign; `broken` are the seeds that did not hold, and what they broke."""

    worlds: int = 0
    calm: int = 0
    calm_earned: float = 0.0  # in calm weather, in the reporting asset
    virtual_s: float = 0.0
    events: int = 0
    frames: int = 0
    turns: int = 0
    orders: int = 0
    fills: int = 0
    starts: int = 0
    crashes: int = 0
    faults: dict[str, int] = {}
    groups: dict[str, int] = {}
    clutches: int = 0  # worlds that ended with an open one
    unhedged_ms: float = 0.0  # the longest of all
    unhedged_seed: int = 0
    recoveries_ms: list[int] = []
    checks: dict[str, int] = {}
    broken: dict[int, list[Violation]] = {}
    seconds: float = 0.0
    cpu_s: float = 0.0
    jobs: int = 1

    @property
    def checked(self) -> int:
        return sum(self.checks.values())

    @property
    def seeds_per_second(self) -> float:
        return self.worlds / self.seconds if self.seconds else 0.0

    def add(self, result: Result) -> None:
        self.worlds += 1
        self.calm += result.calm
        self.calm_earned += result.earned if result.calm else 0.0
        self.clutches += bool(result.clutch)
        for name in (
            "virtual_s", "events", "frames", "turns", "orders", "fills", "starts", "crashes",
            "cpu_s",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(result, name))
        self.recoveries_ms += result.recoveries_ms
        if result.unhedged_ms > self.unhedged_ms:
            self.unhedged_ms, self.unhedged_seed = result.unhedged_ms, result.seed
        _count(self.faults, result.faults)
        _count(self.groups, result.groups)
        _count(self.checks, result.checks)
        if result.violations:
            self.broken[result.seed] = result.violations

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield (
            f"{self.worlds} worlds ({self.calm} calm) in {self.seconds:.1f} s on {self.jobs} "
            f"cores: {self.seeds_per_second:.1f} seeds per second, {self.virtual_s:.0f} virtual s"
        )
        yield (
            f"{self.events} events, {self.frames} frames, {self.turns} turns, {self.orders} "
            f"orders, {self.fills} fills, {self.starts} starts, {self.crashes} crashes"
        )
        yield f"calm worlds earned {self.calm_earned:.2f}"
        yield f"groups: {_told(self.groups)}; clutch open at the end: {self.clutches}"
        yield (
            f"longest time with legs that differ: {self.unhedged_ms:.0f} ms (seed "
            f"{self.unhedged_seed}); recoveries: {len(self.recoveries_ms)}, median "
            f"{_part(self.recoveries_ms, 0.5)} ms, longest {_part(self.recoveries_ms, 1.0)} ms"
        )
        yield f"faults: {sum(self.faults.values())}: {_told(self.faults)}"
        yield f"invariants: {self.checked} checks of {len(self.checks)}: {_told(self.checks)}"
        yield f"violations: {len(self.broken)} worlds"
        for seed, violations in sorted(self.broken.items()):
            yield f"seed {seed}: oneprice sim --first {seed} --seeds 1"
            for one in violations[:5]:
                yield f"  {one.at_s:9.3f} s  {one.rule}: {one.text[:300]}"


def campaign(
    seeds: Iterable[int],
    *,
    jobs: int = 0,
    until: float = 0.0,
    told: Callable[[Result], None] | None = None,
) -> Tally:
    """Run worlds on `jobs` cores (0: all), no new one after the monotonic second `until`."""
    jobs = jobs or os.cpu_count() or 1
    tally = Tally(jobs=jobs)
    began = time.monotonic()
    for result in _results(seeds, jobs, until):
        tally.add(result)
        if told is not None:
            told(result)
    tally.seconds = time.monotonic() - began
    return tally


def endless(first: int) -> Iterator[int]:
    yield from count(first)


def _results(seeds: Iterable[int], jobs: int, until: float) -> Iterator[Result]:
    wanted = iter(seeds)

    def next_seed() -> int | None:
        return None if until and time.monotonic() > until else next(wanted, None)

    if jobs == 1:
        while (seed := next_seed()) is not None:
            yield safely(seed)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[Result]] = deque()
        more = True
        while more or waiting:
            while more and len(waiting) < jobs * AHEAD:
                seed = next_seed()
                more = seed is not None
                if seed is not None:
                    waiting.append(pool.submit(safely, seed))
            if waiting:
                yield waiting.popleft().result()


def safely(seed: int) -> Result:
    """A world that breaks the simulation itself is a broken world, too."""
    try:
        return simulate(seed)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Result(seed=seed, calm=False, violations=[Violation("simulation", 0.0, text)])


def _count(into: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        into[str(name)] = into.get(str(name), 0) + number


def _part(values: Sequence[int], part: float) -> int:
    """The value that so large a part of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0


def _told(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number}" for name, number in ordered) or "none"

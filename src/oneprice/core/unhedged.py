"""Unhedged time: how long the legs of each trade differed, measured from fills as we learn them.

A span begins with the fill after which an order could mend something (or the rest is worth more
than dust may be) and ends with the fill after which nothing can. It belongs to a root: the group
that opened a trade and the exits that close it are one story. Too long a span alarms a person
once, and a little later it leaves its group only the way back.
"""

from collections.abc import Mapping

import msgspec

from oneprice.core.market import Market
from oneprice.core.strategy import Alarmed
from oneprice.model.commands import AnyCommand, ClearTimer, SetTimer
from oneprice.model.settings import LegSettings
from oneprice.model.units import MILLI, Nanos

UNHEDGED_TIMER = "group/unhedged/"  # a group's timer like the others
# Upper bounds of the histogram, milliseconds; what is longer is counted beside them.
BUCKETS_MS = (10, 25, 50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000)


class Span(msgspec.Struct):
    """One stretch of time in which the legs of a root differ."""

    root: str
    group: str  # at work when it began
    since: Nanos
    told: bool = False  # the alarm was raised


class UnhedgedReport(msgspec.Struct, frozen=True, kw_only=True):
    """Spans that ended, those that go on, and the longest of all. Times in milliseconds."""

    count: int
    total_ms: float
    longest_ms: float
    longest_group: str
    alarms: int
    # (bound, spans not longer than it and longer than the bound before); None: beyond them all
    histogram: tuple[tuple[int | None, int], ...]
    running_ms: Mapping[str, float]  # by root


class Unhedged:
    """Measures; says when a person must hear of it and when it has lasted too long."""

    def __init__(self, settings: LegSettings, market: Market) -> None:
        self._settings = settings
        self._market = market
        self._spans: dict[str, Span] = {}
        self._counts = [0] * (len(BUCKETS_MS) + 1)
        self._total = 0
        self._longest = (0, "")
        self._alarms = 0
        self.found: list[Alarmed] = []

    def look(self, root: str, group: str, *, lopsided: bool) -> list[AnyCommand]:
        """What was just learned of a root: its legs differ, or they do not."""
        span = self._spans.get(root)
        if lopsided is (span is not None):
            return []
        if span is None:
            self._spans[root] = Span(root, group, self._market.now)
            due = Nanos(self._market.now + self._settings.unhedged_alarm_ms * MILLI)
            return [SetTimer(timer=UNHEDGED_TIMER + root, due=due)]
        del self._spans[root]
        self._count(span)
        return [ClearTimer(timer=UNHEDGED_TIMER + root)]

    def timer(self, timer: str) -> tuple[str, list[AnyCommand]]:
        """A span lasts. The root that must be given back now, "" for none, and a next timer."""
        span = self._spans.get(timer.removeprefix(UNHEDGED_TIMER))
        if span is None:
            return "", []
        lasted = self._market.now - span.since
        most = self._settings.unhedged_ms_max * MILLI
        if not span.told and lasted >= self._settings.unhedged_alarm_ms * MILLI:
            self._tell(span, lasted)
        if lasted >= most:
            return span.root, []
        return "", [SetTimer(timer=timer, due=Nanos(span.since + most))]

    def _tell(self, span: Span, lasted: int) -> None:
        span.told = True
        self._alarms += 1
        text = f"the legs have differed for {lasted // MILLI} ms"
        self.found.append(
            Alarmed(at=self._market.now, kind="unhedged", subject=span.group, text=text)
        )

    def _count(self, span: Span) -> None:
        lasted = self._market.now - span.since
        self._total += lasted
        if lasted > self._longest[0]:
            self._longest = (lasted, span.group)
        place = sum(lasted > bound * MILLI for bound in BUCKETS_MS)
        self._counts[place] += 1

    # Reading -----------------------------------------------------------------------------

    def report(self) -> UnhedgedReport:
        now = self._market.now
        longest = max(
            [self._longest, *((now - span.since, span.group) for span in self._spans.values())],
            key=lambda pair: pair[0],
        )
        return UnhedgedReport(
            count=sum(self._counts),
            total_ms=self._total / MILLI,
            longest_ms=longest[0] / MILLI,
            longest_group=longest[1],
            alarms=self._alarms,
            histogram=tuple(zip((*BUCKETS_MS, None), self._counts, strict=True)),
            running_ms={root: (now - s.since) / MILLI for root, s in self._spans.items()},
        )

    def overdue(self) -> list[str]:
        """Roots whose legs have differed for longer than any may: for invariants."""
        most = self._settings.unhedged_ms_max * MILLI
        now = self._market.now
        return [root for root, span in self._spans.items() if now - span.since > most]

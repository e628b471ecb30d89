"""The clock: the only reader of time, never backwards, with each venue's measured offset."""

import statistics
import time
from collections import deque
from collections.abc import Callable

from oneprice.model.units import MILLI, Nanos

SAMPLES_MAX = 15  # the median of the last minutes
STEP_NS = 250 * MILLI  # a venue's clock that moved so far is measured anew


class Clock:
    """UTC nanoseconds that never run backwards, and the venues' clocks as we measured them."""

    def __init__(
        self,
        utc_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._began = utc_ns() - monotonic_ns()
        self._samples: dict[str, deque[int]] = {}
        self._offsets: dict[str, int] = {}
        self.round_trips_ns: dict[str, int] = {}  # of the last question to each venue

    def now(self) -> Nanos:
        # Counted on from the start: a system clock that is stepped would stop every timer, or
        # make every book look old.
        return Nanos(self._began + self._monotonic_ns())

    def observe(self, venue: str, sent: int, received: int, venue_ms: int) -> None:
        """One question for the time: the venue is assumed to have answered half-way."""
        self.round_trips_ns[venue] = received - sent
        samples = self._samples.setdefault(venue, deque(maxlen=SAMPLES_MAX))
        sample = venue_ms * MILLI + MILLI // 2 - (sent + received) // 2
        # A sample is wrong by half its way at most: what lies further off was a step.
        if samples and abs(sample - self._offsets[venue]) > (received - sent) // 2 + STEP_NS:
            samples.clear()
        samples.append(sample)
        self._offsets[venue] = int(statistics.median(samples))

    def offset_ns(self, venue: str) -> int:
        """How far the venue's clock runs ahead of ours."""
        return self._offsets.get(venue, 0)

    def venue_ms(self, venue: str) -> int:
        return (self.now() + self._offsets.get(venue, 0)) // MILLI

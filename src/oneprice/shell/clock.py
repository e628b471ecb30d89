"""The clock: the only reader of time, never backwards, with each venue's measured offset."""

import statistics
import time
from collections import deque

from oneprice.model.units import MILLI, Nanos

SAMPLES_MAX = 15  # the median of the last minutes
STEP_NS = 250 * MILLI  # a venue's clock that moved so far is measured anew


class Clock:
    """UTC nanoseconds that never run backwards, and the venues' clocks as we measured them."""

    def __init__(self) -> None:
        self._began = time.time_ns() - time.monotonic_ns()
        self._samples: dict[str, deque[int]] = {}
        self._offsets: dict[str, int] = {}

    def now(self) -> Nanos:
        # Counted on from the start: a system clock that is stepped would stop every timer, or
        # make every book look old.
        return Nanos(self._began + time.monotonic_ns())

    def observe(self, venue: str, sent: int, received: int, venue_ms: int) -> None:
        """One question for the time: the venue is assumed to have answered half-way."""
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

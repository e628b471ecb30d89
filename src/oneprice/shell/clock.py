"""The clock: the only reader of time, never backwards, with each venue's measured offset."""

import statistics
import time
from collections import deque

from oneprice.model.units import MILLI, Nanos

SAMPLES_MAX = 15  # the median of a quarter of an hour at one sample a minute


class Clock:
    """UTC nanoseconds that never run backwards, and the venues' clocks as we measured them."""

    def __init__(self) -> None:
        self._last = 0
        self._samples: dict[str, deque[int]] = {}
        self._offsets: dict[str, int] = {}

    def now(self) -> Nanos:
        read = time.time_ns()
        # A stepped system clock must not make events run backwards: time stands still instead.
        self._last = max(self._last, read)
        return Nanos(self._last)

    def observe(self, venue: str, sent: int, received: int, venue_ms: int) -> None:
        """One question for the time: the venue is assumed to have answered half-way."""
        samples = self._samples.setdefault(venue, deque(maxlen=SAMPLES_MAX))
        samples.append(venue_ms * MILLI + MILLI // 2 - (sent + received) // 2)
        self._offsets[venue] = int(statistics.median(samples))

    def offset_ns(self, venue: str) -> int:
        """How far the venue's clock runs ahead of ours."""
        return self._offsets.get(venue, 0)

    def venue_ms(self, venue: str) -> int:
        return (self.now() + self._offsets.get(venue, 0)) // MILLI

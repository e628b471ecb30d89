"""A histogram that costs one list index per measurement: counts by power of two."""

from collections.abc import Iterator

BUCKETS = 64  # a time of 2^63 ns is three centuries: no measurement falls outside
FIRST, LAST = 10, 36  # shown: from 2^10 ns, a microsecond, to 2^36 ns, a minute


class Histogram:
    """Nanoseconds counted by their number of bits; read at leisure, written in the hot path.

    A measurement of n bits is below 2^n ns and at least half of that: a quantile read from here
    is right to a factor of two.
    """

    def __init__(self) -> None:
        # For the hot path, which does `counts[nanos.bit_length()] += 1` itself: a call costs
        # more than the increments.
        self.counts = [0] * BUCKETS

        self.nanos = 0  # the sum of all measurements

    def add(self, nanos: int) -> None:
        self.counts[nanos.bit_length()] += 1
        self.nanos += nanos

    def total(self) -> int:
        return sum(self.counts)

    def cumulated(self) -> Iterator[tuple[float, int]]:
        """Upper bounds in seconds with how many measurements lie below; the last one is all."""
        below = sum(self.counts[:FIRST])
        for bits in range(FIRST, LAST + 1):
            below += self.counts[bits]
            yield 2**bits / 1e9, below
        yield float("inf"), self.total()

    def quantile(self, share: float) -> float | None:
        """Seconds below which this share of the measurements surely lies; None of nothing."""
        total, below = self.total(), 0
        for bits, count in enumerate(self.counts):
            below += count
            if total and below >= share * total:
                return float(2**bits) / 1e9
        return None

"""Pacing: who may send when, from declared limits, response headers and bans."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from oneprice.model.commands import Priority
from oneprice.model.units import MILLI
from oneprice.venues.contract import Limit

# What part of an allowance each priority may use: unwinding always finds room.
SHARE: Mapping[Priority, float] = {
    Priority.UNWIND: 1.0,
    Priority.CANCEL: 1.0,
    Priority.HEDGE: 0.95,
    Priority.ENTRY: 0.8,
    Priority.DATA: 0.8,
}
# Requests do not all travel equally long: what leaves a window apart may arrive closer together,
# and what leaves at the end of a calendar window may be counted in the next one.
GUARD_NS = 20 * MILLI

Cost = Sequence[tuple[str, int]]


class Bucket:
    """One allowance: a rolling window of spends, or a counter per calendar window.

    Calendar windows are the venue's, so `now` is meant in the venue's time.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._span = limit.per_ms * MILLI
        self._spends: deque[tuple[int, int]] = deque()  # (when, how much), rolling only
        self._used = 0
        self._window = -1
        self._before = 0  # what the calendar window before this one held
        self._late = 0  # what was spent so late in this one that the next may count it

    def used(self, now: int) -> int:
        if self.limit.window == "calendar":
            window = now // self._span
            if window != self._window:
                follows = window == self._window + 1
                self._before = self._used if follows else 0
                self._used = self._late if follows else 0
                self._window, self._late = window, 0
            return self._used
        while self._spends and self._spends[0][0] <= now - self._span - GUARD_NS:
            self._used -= self._spends.popleft()[1]
        return self._used

    def wait_ns(self, amount: int, share: float, now: int) -> int:
        """0 when the amount fits now, else how long until it can."""
        room = max(amount, int(self.limit.count * share))
        excess = self.used(now) + amount - room
        if self.limit.window == "calendar":
            if excess > 0:
                return (now // self._span + 1) * self._span + GUARD_NS - now
            phase = now % self._span
            if phase < GUARD_NS and self._before + self._used + amount > room:
                return GUARD_NS - phase  # it might still be counted in the window before
            return 0
        if excess <= 0:
            return 0
        for when, spent in self._spends:
            excess -= spent
            if excess <= 0:
                return when + self._span + GUARD_NS - now
        return self._span

    def spend(self, amount: int, now: int) -> None:
        self.used(now)
        self._used += amount
        if self.limit.window == "rolling":
            self._spends.append((now, amount))
        elif now % self._span >= self._span - GUARD_NS:
            self._late += amount

    def at_least(self, used: int, sent: int, now: int) -> None:
        """The venue says that so much is used: it knows of other clients of this account."""
        if self.limit.window == "calendar" and sent // self._span != now // self._span:
            return  # said of a window that is over
        missing = used - self.used(now)
        if missing > 0:
            self.spend(missing, now)


class Pacer:
    """All allowances of one venue. Pure: time is an argument, in nanoseconds of our clock.

    `ahead_ns` says how far the venue's clock runs ahead of ours: its calendar windows are its own.
    """

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._buckets = {limit.bucket: Bucket(limit) for limit in limits}
        self._banned_until: dict[str, int] = {}  # bucket, or "" for the whole venue
        self.ahead_ns = 0

    def declare(self, limit: Limit) -> None:
        """The venue states an allowance itself: it holds from now on, what is spent stays spent.

        Only a count that is known by bucket is taken over; headers stay those we know.
        """
        bucket = self._buckets.get(limit.bucket)
        if bucket is None:
            self._buckets[limit.bucket] = Bucket(limit)
        elif bucket.limit.per_ms == limit.per_ms and limit.count > 0:
            known = bucket.limit
            bucket.limit = Limit(
                bucket=known.bucket,
                count=limit.count,
                per_ms=known.per_ms,
                window=known.window,
                used_header=known.used_header,
                left_header=known.left_header,
                reset_header=known.reset_header,
            )

    def wait_ns(self, cost: Cost, priority: Priority, now: int) -> int:
        """0 when a request may leave now, else how long until it is worth asking again."""
        return self.shortage(cost, priority, now)[0]

    def shortage(self, cost: Cost, priority: Priority, now: int) -> tuple[int, list[str]]:
        """How long a request must wait, and for which buckets."""
        wait, names = 0, []
        if self._banned_until:
            for name in ("", *(name for name, _ in cost)):
                left = self._banned_until.get(name, 0) - now
                if left > 0:
                    wait = max(wait, left)
                    names.append(name)
        there = now + self.ahead_ns
        for name, amount in cost:
            bucket = self._buckets.get(name)
            left = bucket.wait_ns(amount, SHARE[priority], there) if bucket is not None else 0
            if left:
                wait = max(wait, left)
                names.append(name)
        return wait, names

    def spend(self, cost: Cost, now: int) -> None:
        for name, amount in cost:
            bucket = self._buckets.get(name)
            if bucket is not None:
                bucket.spend(amount, now + self.ahead_ns)

    def ban(self, bucket: str, until: int) -> None:
        """No request of this bucket ("" means any) before `until`."""
        self._banned_until[bucket] = max(until, self._banned_until.get(bucket, 0))

    def learn(self, cost: Cost, headers: Mapping[str, str], sent: int, now: int) -> None:
        """Take over what the headers of an answer say; a missing or odd header changes nothing."""
        for name, _ in cost:
            bucket = self._buckets.get(name)
            if bucket is None:
                continue
            there = (sent + self.ahead_ns, now + self.ahead_ns)
            used = _count(headers.get(bucket.limit.used_header, ""))
            if used is not None:
                bucket.at_least(used, *there)
            left = _count(headers.get(bucket.limit.left_header, ""))
            if left is not None:
                bucket.at_least(bucket.limit.count - left, *there)

    def used(self, bucket: str, now: int) -> int:
        return self._buckets[bucket].used(now + self.ahead_ns)


def _count(text: str) -> int | None:
    # Binance's test hosts send -1: not a count.
    return int(text) if text.isascii() and text.isdigit() else None

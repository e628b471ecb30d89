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

Cost = Sequence[tuple[str, int]]


class Bucket:
    """One allowance: a rolling window of spends, or a counter per calendar window."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._span = limit.per_ms * MILLI
        self._spends: deque[tuple[int, int]] = deque()  # (when, how much), rolling only
        self._used = 0
        self._window = -1

    def used(self, now: int) -> int:
        if self.limit.window == "calendar":
            window = now // self._span
            if window != self._window:
                self._window, self._used = window, 0
            return self._used
        while self._spends and self._spends[0][0] <= now - self._span:
            self._used -= self._spends.popleft()[1]
        return self._used

    def wait_ns(self, amount: int, share: float, now: int) -> int:
        """0 when the amount fits now, else how long until it can."""
        room = max(amount, int(self.limit.count * share))
        excess = self.used(now) + amount - room
        if excess <= 0:
            return 0
        if self.limit.window == "calendar":
            return (now // self._span + 1) * self._span - now
        for when, spent in self._spends:
            excess -= spent
            if excess <= 0:
                return when + self._span - now
        return self._span

    def spend(self, amount: int, now: int) -> None:
        self.used(now)
        self._used += amount
        if self.limit.window == "rolling":
            self._spends.append((now, amount))

    def at_least(self, used: int, now: int) -> None:
        """The venue says that so much is used: it knows of other clients of this account."""
        missing = used - self.used(now)
        if missing > 0:
            self.spend(missing, now)


class Pacer:
    """All allowances of one venue. Pure: time is an argument, in nanoseconds."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._buckets = {limit.bucket: Bucket(limit) for limit in limits}
        self._banned_until: dict[str, int] = {}  # bucket, or "" for the whole venue

    def wait_ns(self, cost: Cost, priority: Priority, now: int) -> int:
        """0 when a request may leave now, else how long until it is worth asking again."""
        wait = 0
        if self._banned_until:
            for name in ("", *(name for name, _ in cost)):
                wait = max(wait, self._banned_until.get(name, 0) - now)
        for name, amount in cost:
            bucket = self._buckets.get(name)
            if bucket is not None:
                wait = max(wait, bucket.wait_ns(amount, SHARE[priority], now))
        return wait

    def spend(self, cost: Cost, now: int) -> None:
        for name, amount in cost:
            bucket = self._buckets.get(name)
            if bucket is not None:
                bucket.spend(amount, now)

    def ban(self, bucket: str, until: int) -> None:
        """No request of this bucket ("" means any) before `until`."""
        self._banned_until[bucket] = max(until, self._banned_until.get(bucket, 0))

    def learn(self, cost: Cost, headers: Mapping[str, str], now: int) -> None:
        """Take over what response headers say; a missing or odd header changes nothing."""
        for name, _ in cost:
            bucket = self._buckets.get(name)
            if bucket is None:
                continue
            used = _count(headers.get(bucket.limit.used_header, ""))
            if used is not None:
                bucket.at_least(used, now)
            left = _count(headers.get(bucket.limit.left_header, ""))
            if left is not None:
                bucket.at_least(bucket.limit.count - left, now)

    def used(self, bucket: str, now: int) -> int:
        return self._buckets[bucket].used(now)


def _count(text: str) -> int | None:
    # Binance's test hosts send -1: not a count.
    return int(text) if text.isascii() and text.isdigit() else None

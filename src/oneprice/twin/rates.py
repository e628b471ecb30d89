"""Rate-limit windows as venues count them: rolling (Bybit) and by the calendar (Binance)."""

from collections import deque

import msgspec


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What a window says to one request."""

    granted: bool
    limit: int
    used: int  # after this request; a refused request is not counted
    resets_at: int  # ns when there will be more room

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


class RollingWindow:
    """At most `limit` units of weight within any `span` nanoseconds, counted per key."""

    def __init__(self, limit: int, span: int) -> None:
        self.limit = limit
        self.span = span
        self._marks: dict[str, deque[tuple[int, int]]] = {}

    def take(self, key: str, at: int, weight: int = 1) -> Allowance:
        marks = self._marks.setdefault(key, deque())
        while marks and marks[0][0] <= at - self.span:
            marks.popleft()
        used = sum(count for _, count in marks)
        granted = used + weight <= self.limit
        if granted and weight:
            marks.append((at, weight))
            used += weight
        resets = marks[0][0] + self.span if marks else at + self.span
        return Allowance(granted=granted, limit=self.limit, used=used, resets_at=resets)


class CalendarWindow:
    """At most `limit` units within each whole `span` of UTC time, counted per key."""

    def __init__(self, limit: int, span: int) -> None:
        self.limit = limit
        self.span = span
        self._counts: dict[str, tuple[int, int]] = {}

    def take(self, key: str, at: int, weight: int = 1, *, force: bool = False) -> Allowance:
        """`force` counts even what is over the limit (Binance counts refused requests too)."""
        window = at // self.span
        seen, used = self._counts.get(key, (window, 0))
        if seen != window:
            used = 0
        granted = used + weight <= self.limit
        if granted or force:
            used += weight
        self._counts[key] = (window, used)
        resets = (window + 1) * self.span
        return Allowance(granted=granted, limit=self.limit, used=used, resets_at=resets)

    def give_back(self, key: str, at: int, weight: int = 1) -> None:
        """Takes weight out of the running window again, e.g. for a filled order."""
        window = at // self.span
        seen, used = self._counts.get(key, (window, 0))
        if seen == window:
            self._counts[key] = (window, max(0, used - weight))

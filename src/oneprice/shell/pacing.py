"""Pacing: who may send when, from declared limits, response headers and bans."""

import bisect
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.units import MILLI, SECOND
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
# and what leaves at the end of a calendar window may be counted in the next one. How late a
# request was is known from its answer; the guard is for the rest: clocks, rounding, no answer.
GUARD_NS = 20 * MILLI
# The first ways may all have been slow: only many of them tell how quick a way can be.
WAYS_MIN = 30
KNOWN_GUARD_NS = 5 * MILLI  # where its own answer told how late a request was
OPEN_NS = 5 * SECOND  # an answer that did not come by then does not come

Cost = Sequence[tuple[str, int]]


class Trip(msgspec.Struct):
    """What one request has spent; the venue counts it between its departure and its answer."""

    sent: int
    number: int
    parts: tuple[tuple["Bucket", int], ...] = ()
    held: dict[str, int] = {}  # bucket -> what was used when it left, itself included
    open: bool = False  # somebody listens for its answer


class Bucket:
    """One allowance: a rolling window of spends, or a counter per calendar window.

    `now` is ours for a rolling window, the venue's for one of the calendar.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._span = (limit.per_ms + limit.slack_ms) * MILLI
        self._used = 0
        self._spends: list[tuple[int, int, int]] = []  # (until, number, how much), rolling only
        self._until: dict[int, int] = {}  # number -> until
        self._window = -1
        self._before = 0  # what the calendar window before this one held
        self._tail: dict[int, int] = {}  # by number, what may be counted in the next window

    def used(self, now: int) -> int:
        if self.limit.window == "calendar":
            self._turn(now // self._span)
            return self._used
        over = bisect.bisect_right(self._spends, (now, 1 << 62, 0))
        if over:
            for _, number, amount in self._spends[:over]:
                self._used -= amount
                del self._until[number]
            del self._spends[:over]
        return self._used

    def _turn(self, window: int) -> None:
        if window == self._window:
            return
        follows = window == self._window + 1
        self._before = self._used if follows else 0
        self._used = sum(self._tail.values()) if follows else 0
        self._window, self._tail = window, {}

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
        for until, _, spent in self._spends:
            excess -= spent
            if excess <= 0:
                return until - now
        return self._span

    def spend(self, amount: int, number: int, now: int) -> None:
        self.used(now)
        self._used += amount
        if self.limit.window == "rolling":
            self._hold(number, amount, now + self._span + GUARD_NS)
        elif now % self._span >= self._span - GUARD_NS:
            self._tail[number] = amount

    def embark(self, amount: int, number: int) -> None:
        """An answer will tell when this spend was counted: until then it may be any time."""
        if self.limit.window == "rolling":
            self._extend(number, amount, OPEN_NS)
        else:
            self._tail[number] = amount

    def land(self, amount: int, number: int, late: int, now: int) -> None:
        """It has been counted, at most so much later than it left, and before `now`."""
        if self.limit.window == "rolling":
            self._extend(number, amount, late - OPEN_NS)
            return
        self._turn(now // self._span)
        if now % self._span < self._span - GUARD_NS:
            self._tail.pop(number, None)

    def _extend(self, number: int, amount: int, longer: int) -> None:
        until = self._until.get(number)
        if until is None:
            return  # forgotten already
        del self._spends[bisect.bisect_left(self._spends, (until, number, 0))]
        self._hold(number, amount, until + longer)

    def _hold(self, number: int, amount: int, until: int) -> None:
        self._until[number] = until
        bisect.insort(self._spends, (until, number, amount))

    def at_least(self, used: int, number: int, when: tuple[int, int], held: int) -> None:
        """The venue says that so much is used: it knows of other clients of this account.

        `when` it was asked and answered; we held so much when we asked.
        """
        sent, now = when
        if self.limit.window == "calendar" and sent // self._span != now // self._span:
            return  # said of a window that is over
        missing = used - max(held, self.used(now))
        if missing > 0:
            self.spend(missing, number, now)


class Pacer:
    """All allowances of one venue. Pure: time is an argument, in nanoseconds of our clock.

    `ahead_ns` says how far the venue's clock runs ahead of ours: its calendar windows are its own.
    """

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._buckets = {limit.bucket: Bucket(limit) for limit in limits}
        self._banned_until: dict[str, int] = {}  # bucket, or "" for the whole venue
        self._numbers = 0
        self._ways = 0  # there and back
        self._quickest = 0  # the shortest of them
        self.ahead_ns = 0

    def declare(self, limit: Limit) -> None:
        """The venue states an allowance itself: it holds from now on, what is spent stays spent.

        Only a count that is known by bucket is taken over; headers stay those we know.
        """
        bucket = self._buckets.get(limit.bucket)
        if bucket is None:
            self._buckets[limit.bucket] = Bucket(limit)
        elif bucket.limit.per_ms == limit.per_ms and limit.count > 0:
            bucket.limit = msgspec.structs.replace(bucket.limit, count=limit.count)

    def limit(self, name: str) -> Limit | None:
        """The allowance that a cost of this name draws on; None where none is declared."""
        bucket = self._bucket(name)
        return bucket.limit if bucket is not None else None

    def _bucket(self, name: str) -> Bucket | None:
        bucket = self._buckets.get(name)
        if bucket is None:
            family = self._buckets.get(name.partition(":")[0])
            if family is not None and family.limit.each:
                bucket = self._buckets[name] = Bucket(family.limit)
        return bucket

    def wait_ns(self, cost: Cost, priority: Priority, now: int) -> int:
        """0 when a request may leave now, else how long until it is worth asking again."""
        return self.shortage(cost, priority, now)[0]

    def shortage(self, cost: Cost, priority: Priority, now: int) -> tuple[int, list[str]]:
        """How long a request must wait, and for which buckets."""
        wait, names = 0, []
        for name, left in self._bans(cost, now):
            wait = max(wait, left)
            names.append(name)
        for name, amount in cost:
            bucket = self._bucket(name)
            if bucket is None:
                continue
            left = bucket.wait_ns(amount, SHARE[priority], self._by(bucket, now))
            if left:
                wait = max(wait, left)
                names.append(name)
        return wait, names

    def banned_ns(self, cost: Cost, now: int) -> int:
        """How long a ban holds such a request up; 0 where there is none."""
        return max((left for _, left in self._bans(cost, now)), default=0)

    def _bans(self, cost: Cost, now: int) -> list[tuple[str, int]]:
        if not self._banned_until:
            return []
        names = ["", *(name for name, _ in cost)]
        names += dict.fromkeys(n.partition(":")[0] for n in names if ":" in n)
        return [(n, left) for n in names if (left := self._banned_until.get(n, 0) - now) > 0]

    def spend(self, cost: Cost, now: int) -> Trip:
        """A request leaves. It counts for a window from now; see `embark` for more."""
        trip = Trip(sent=now, number=self._number())
        parts = []
        for name, amount in cost:
            bucket = self._bucket(name)
            if bucket is not None:
                there = self._by(bucket, now)
                bucket.spend(amount, trip.number, there)
                trip.held[name] = bucket.used(there)
                parts.append((bucket, amount))
        trip.parts = tuple(parts)
        return trip

    def embark(self, trip: Trip) -> None:
        """Somebody listens for the answer and will call `land`: until then it stays spent."""
        trip.open = True
        for bucket, amount in trip.parts:
            bucket.embark(amount, trip.number)

    def land(self, trip: Trip, now: int, *, pure: bool = True) -> None:
        """The answer is here: the venue has counted the request since it left, and not later.

        What took no longer than the quickest was not held up: only the difference can have made
        it late. `pure` says that this was a way there and back, and nothing else.
        """
        if not trip.open:
            return
        trip.open = False
        late = now - trip.sent
        if pure:
            self._ways += 1
            self._quickest = late if self._ways == 1 else min(late, self._quickest)
        if self._ways >= WAYS_MIN:
            late = max(0, late - self._quickest)
        if pure:
            late -= GUARD_NS - KNOWN_GUARD_NS
        for bucket, amount in trip.parts:
            bucket.land(amount, trip.number, late, self._by(bucket, now))

    def ban(self, bucket: str, until: int) -> None:
        """No request of this bucket ("" means any) before `until`."""
        self._banned_until[bucket] = max(until, self._banned_until.get(bucket, 0))

    def learn(
        self,
        cost: Cost,
        headers: Mapping[str, str],
        sent: int,
        now: int,
        held: Mapping[str, int] | None = None,
    ) -> None:
        """Take over what the headers of an answer say; a missing or odd header changes nothing.

        `held` is what a Trip remembers: so much of what the venue counts was ours.
        """
        for name, _ in cost:
            bucket = self._bucket(name)
            if bucket is None:
                continue
            there = (self._by(bucket, sent), self._by(bucket, now))
            count = _count(headers.get(bucket.limit.limit_header, ""))
            if count:
                bucket.limit = msgspec.structs.replace(bucket.limit, count=count)
            ours = held.get(name, 0) if held else 0
            used = _count(headers.get(bucket.limit.used_header, ""))
            if used is not None:
                bucket.at_least(used, self._number(), there, ours)
            left = _count(headers.get(bucket.limit.left_header, ""))
            if left is not None:
                bucket.at_least(bucket.limit.count - left, self._number(), there, ours)

    def standing(self, now: int) -> list[tuple[str, int, int]]:
        """(bucket, used, allowed) of every allowance; of those by subject the fullest one."""
        fullest: dict[str, tuple[int, int]] = {}
        for name, bucket in self._buckets.items():
            family = name.partition(":")[0]
            found = (bucket.used(self._by(bucket, now)), bucket.limit.count)
            fullest[family] = max(found, fullest.get(family, (0, bucket.limit.count)))
        return [(name, used, count) for name, (used, count) in fullest.items()]

    def bans(self, now: int) -> list[tuple[str, int]]:
        """(bucket, nanoseconds left) of every ban; "" is the whole venue."""
        found = ((name, until - now) for name, until in self._banned_until.items())
        return [(name, left) for name, left in found if left > 0]

    def used(self, bucket: str, now: int) -> int:
        return self._buckets[bucket].used(self._by(self._buckets[bucket], now))

    def _by(self, bucket: Bucket, now: int) -> int:
        # A span is as long by any clock: only what the calendar says is the venue's, for what we
        # believe of its clock may change.
        return now + self.ahead_ns if bucket.limit.window == "calendar" else now

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def _count(text: str) -> int | None:
    # Binance's test hosts send -1: not a count.
    return int(text) if text.isascii() and text.isdigit() else None

"""Pacing: never more than the allowance, unwinding always finds room, bans are obeyed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.model.commands import Priority
from oneprice.model.units import MILLI, SECOND
from oneprice.shell.pacing import GUARD_NS, OPEN_NS, SHARE, WAYS_MIN, Pacer
from oneprice.venues.contract import Limit

ROLLING = Limit(bucket="orders", count=10, per_ms=1000, left_header="left")
CALENDAR = Limit(
    bucket="weight", count=100, per_ms=60_000, window="calendar", used_header="used"
)
ONE = (("orders", 1),)


def drive(limit: Limit, steps: list[tuple[int, int]], priority: Priority) -> list[tuple[int, int]]:
    """Send whenever allowed; returns (time, amount) of all that was sent."""
    pacer, now, sent = Pacer([limit]), 0, []
    for pause_ms, amount in steps:
        now += pause_ms * MILLI
        cost = ((limit.bucket, amount),)
        while wait := pacer.wait_ns(cost, priority, now):
            now += wait
        pacer.spend(cost, now)
        sent.append((now, amount))
    return sent


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 5)), max_size=60),
    st.sampled_from(list(Priority)),
)
def test_a_rolling_window_never_holds_more_than_the_share(steps, priority) -> None:
    sent = drive(ROLLING, steps, priority)
    for end, _ in sent:
        inside = sum(a for t, a in sent if end - SECOND < t <= end)
        assert inside <= max(5, int(10 * SHARE[priority]))


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 40)), max_size=40))
def test_a_calendar_window_never_holds_more_than_the_share(steps) -> None:
    sent = drive(CALENDAR, steps, Priority.UNWIND)
    for window in {t // (60 * SECOND) for t, _ in sent}:
        assert sum(a for t, a in sent if t // (60 * SECOND) == window) <= 100


def test_entries_leave_room_for_unwinding() -> None:
    pacer = Pacer([ROLLING])
    for _ in range(8):
        assert pacer.wait_ns(ONE, Priority.ENTRY, 0) == 0
        pacer.spend(ONE, 0)
    assert pacer.wait_ns(ONE, Priority.ENTRY, 0) > 0
    assert pacer.wait_ns(ONE, Priority.UNWIND, 0) == 0


# What is reserved above each priority is what it may never use, of a hundred.
ROOM = {
    Priority.UNWIND: 100,
    Priority.CANCEL: 100,
    Priority.HEDGE: 95,
    Priority.ENTRY: 80,
    Priority.DATA: 80,
}


def sent_at_once(pacer: Pacer, priority: Priority) -> int:
    """How many requests of one a priority gets out before it is told to wait."""
    for number in range(1_000):
        if pacer.wait_ns(ONE, priority, 0):
            return number
        pacer.spend(ONE, 0)
    raise ValueError("no end")


@pytest.mark.parametrize("priority", Priority, ids=lambda one: one.name.lower())
@pytest.mark.parametrize("window", ["rolling", "calendar"])
def test_a_priority_uses_its_share_and_leaves_what_is_reserved_above_it(window, priority) -> None:
    assert set(ROOM) == set(Priority)
    pacer = Pacer([Limit(bucket="orders", count=100, per_ms=1000, window=window)])
    assert sent_at_once(pacer, priority) == ROOM[priority]
    # In order of rank, every priority now finds exactly what was kept from those below it.
    spent = ROOM[priority]
    for higher in sorted(Priority, reverse=True):
        assert sent_at_once(pacer, higher) == max(0, ROOM[higher] - spent), higher
        spent = max(spent, ROOM[higher])
    assert pacer.used("orders", 0) == spent == 100


def test_a_saturating_sender_uses_the_allowance() -> None:
    sent = drive(ROLLING, [(0, 1)] * 200, Priority.UNWIND)
    assert len(sent) / (sent[-1][0] / SECOND + 1) >= 0.95 * 10


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 19)), min_size=1, max_size=80),
)
def test_a_rolling_window_holds_however_unevenly_the_requests_travel(steps) -> None:
    sent = drive(ROLLING, [(pause, 1) for pause, _ in steps], Priority.UNWIND)
    heard = sorted(t + way * MILLI for (t, _), (_, way) in zip(sent, steps, strict=True))
    for end in heard:
        assert sum(end - SECOND < t <= end for t in heard) <= 10


@given(
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 19)), min_size=1, max_size=60),
)
def test_a_calendar_window_holds_however_unevenly_the_requests_travel(steps) -> None:
    limit = Limit(bucket="weight", count=10, per_ms=10_000, window="calendar")
    sent = drive(limit, [(pause, 1) for pause, _ in steps], Priority.UNWIND)
    windows: dict[int, int] = {}
    for (t, _), (_, way) in zip(sent, steps, strict=True):
        window = (t + way * MILLI) // (10 * SECOND)
        windows[window] = windows.get(window, 0) + 1
    assert max(windows.values()) <= 10


WAYS = st.tuples(st.integers(0, 200), st.integers(0, 1500), st.integers(0, 300))


@given(
    st.lists(WAYS, min_size=1, max_size=WAYS_MIN - 1),
    st.sampled_from(["rolling", "calendar"]),
    st.booleans(),
)
def test_no_window_holds_more_however_late_a_request_is_counted_if_its_answer_comes(
    steps, window, experienced
) -> None:
    """There it takes `out` ms more than 2 ms, back again `home` more than 3."""
    limit = Limit(bucket="orders", count=5, per_ms=1000, window=window)
    pacer, now, under_way, counted = Pacer([limit]), 0, [], []
    for _ in range(WAYS_MIN if experienced else 0):
        trip = pacer.spend((), 0)
        pacer.embark(trip)
        pacer.land(trip, 5 * MILLI)

    def land(until: int) -> None:
        for trip, back in sorted(under_way, key=lambda one: one[1]):
            if back <= until:
                pacer.land(trip, back)
                under_way.remove((trip, back))

    for pause, out, home in steps:
        now += pause * MILLI
        land(now)
        while wait := pacer.wait_ns(ONE, Priority.UNWIND, now):
            now = min([now + wait, *(back for _, back in under_way)])
            land(now)
        trip = pacer.spend(ONE, now)
        pacer.embark(trip)
        counted.append(now + (2 + out) * MILLI)
        under_way.append((trip, now + (5 + out + home) * MILLI))
    for end in counted:
        if window == "calendar":
            assert sum(t // SECOND == end // SECOND for t in counted) <= 5
        else:
            assert sum(end - SECOND < t <= end for t in counted) <= 5


def test_an_answer_that_never_comes_holds_its_share_for_a_while_and_no_longer() -> None:
    pacer = Pacer([ROLLING])
    trip = pacer.spend((("orders", 10),), 0)
    pacer.embark(trip)
    assert pacer.wait_ns(ONE, Priority.UNWIND, 2 * SECOND) > 0
    assert pacer.wait_ns(ONE, Priority.UNWIND, OPEN_NS + SECOND + GUARD_NS) == 0
    pacer.land(trip, OPEN_NS + 2 * SECOND)
    assert pacer.used("orders", OPEN_NS + 2 * SECOND) == 0


def test_what_we_ourselves_hold_is_no_news_in_a_header() -> None:
    pacer = Pacer([ROLLING])
    trip = pacer.spend((("orders", 6),), 0)
    late = SECOND + GUARD_NS
    pacer.learn(ONE, {"left": "4"}, 0, late, trip.held)
    assert pacer.used("orders", late) == 0
    pacer.learn(ONE, {"left": "3"}, 0, late, trip.held)
    assert pacer.used("orders", late) == 1


def test_each_subject_of_a_family_has_the_whole_allowance() -> None:
    pacer = Pacer([Limit(bucket="place", count=10, per_ms=1000, each=True), ROLLING])
    pacer.spend((("place:A", 10),), 0)
    assert pacer.wait_ns((("place:A", 1),), Priority.UNWIND, 0) > 0
    assert pacer.wait_ns((("place:B", 10),), Priority.UNWIND, 0) == 0
    pacer.ban("place", SECOND)
    assert pacer.wait_ns((("place:B", 1),), Priority.UNWIND, 0) == SECOND
    assert pacer.wait_ns((("orders:A", 99),), Priority.UNWIND, 0) == 0, "no family: not counted"


def test_slack_lengthens_the_window_and_not_what_the_venue_publishes() -> None:
    limit = Limit(bucket="orders", count=10, per_ms=1000, slack_ms=30)
    pacer = Pacer([limit])
    pacer.spend((("orders", 10),), 0)
    assert pacer.wait_ns(ONE, Priority.UNWIND, 0) == SECOND + 30 * MILLI + GUARD_NS
    pacer.declare(Limit(bucket="orders", count=20, per_ms=1000))
    assert pacer.limit("orders") == msgspec.structs.replace(limit, count=20)


def test_calendar_windows_are_those_of_the_venues_clock() -> None:
    pacer = Pacer([CALENDAR])
    pacer.ahead_ns = 30 * SECOND
    pacer.spend((("weight", 100),), 0)
    assert pacer.wait_ns((("weight", 1),), Priority.UNWIND, 0) == 30 * SECOND + GUARD_NS


def test_a_venues_clock_that_is_measured_anew_shortens_no_rolling_window() -> None:
    pacer = Pacer([ROLLING])
    pacer.spend((("orders", 10),), 0)
    pacer.ahead_ns = 2 * SECOND
    assert pacer.wait_ns(ONE, Priority.UNWIND, 0) == SECOND + GUARD_NS


def test_what_an_answer_says_of_a_window_that_is_over_counts_no_more() -> None:
    pacer = Pacer([CALENDAR])
    cost = (("weight", 1),)
    pacer.learn(cost, {"used": "100"}, 59 * SECOND, 61 * SECOND)
    assert pacer.wait_ns(cost, Priority.UNWIND, 61 * SECOND) == 0


def test_an_allowance_that_the_venue_states_replaces_ours_and_keeps_what_is_spent() -> None:
    pacer = Pacer([ROLLING])
    pacer.spend((("orders", 8),), 0)
    pacer.declare(Limit(bucket="orders", count=20, per_ms=1000))
    assert pacer.wait_ns((("orders", 12),), Priority.UNWIND, 0) == 0
    assert pacer.wait_ns((("orders", 13),), Priority.UNWIND, 0) > 0
    pacer.learn(ONE, {"left": "0"}, 0, 0)
    assert pacer.used("orders", 0) == 20, "the headers we know are still read"


def test_an_answer_may_state_the_allowance_it_counted_against() -> None:
    stated = Limit(bucket="b", count=10, per_ms=1000, left_header="left", limit_header="limit")
    pacer = Pacer([stated, ROLLING])
    pacer.learn((("b", 1),), {"limit": "40", "left": "39"}, 0, 0)
    assert pacer.used("b", 0) == 1
    assert pacer.wait_ns((("b", 39),), Priority.UNWIND, 0) == 0
    assert pacer.wait_ns((("b", 40),), Priority.UNWIND, 0) > 0
    assert pacer.wait_ns((("orders", 11),), Priority.UNWIND, 0) == 0, "the other one is as it was"


def test_headers_tell_of_other_clients() -> None:
    pacer = Pacer([ROLLING, CALENDAR])
    pacer.learn(ONE, {"left": "0"}, 0, 0)
    assert pacer.wait_ns(ONE, Priority.UNWIND, 0) > 0
    pacer.learn((("weight", 1),), {"used": "100"}, 0, 0)
    assert pacer.wait_ns((("weight", 1),), Priority.UNWIND, 0) == 60 * SECOND + GUARD_NS


@given(st.text(max_size=10))
def test_an_odd_header_changes_nothing_and_never_raises(text: str) -> None:
    pacer = Pacer([ROLLING])
    pacer.learn(ONE, {"left": text, "used": text}, 0, 0)
    pacer.learn(ONE, {}, 0, 0)
    if not (text.isascii() and text.isdigit()):
        assert pacer.used("orders", 0) == 0


def test_a_ban_stops_its_bucket_or_everything_until_it_ends() -> None:
    pacer = Pacer([ROLLING, CALENDAR])
    pacer.ban("orders", 5 * SECOND)
    assert pacer.wait_ns(ONE, Priority.UNWIND, SECOND) == 4 * SECOND
    assert pacer.wait_ns((("weight", 1),), Priority.DATA, SECOND) == 0
    pacer.ban("", 9 * SECOND)
    assert pacer.wait_ns((("weight", 1),), Priority.DATA, SECOND) == 8 * SECOND
    assert pacer.wait_ns(ONE, Priority.UNWIND, 9 * SECOND) == 0

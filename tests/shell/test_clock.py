"""The clock: steady whatever the system's does, and quick to follow a venue's that was set."""

import time

import pytest

from oneprice.model.units import HOUR, MILLI, SECOND
from oneprice.shell.clock import Clock


def test_a_system_clock_that_is_set_back_stops_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    before = clock.now()
    monkeypatch.setattr(time, "time_ns", lambda: before - HOUR)
    time.sleep(0.01)
    assert 10 * MILLI <= clock.now() - before < HOUR // 2


def asked(clock: Clock, ahead_ms: int, way_ms: int, times: int = 1) -> None:
    for number in range(times):
        sent = number * SECOND
        received = sent + way_ms * MILLI
        clock.observe("venue", sent, received, (sent + received) // 2 // MILLI + ahead_ms)


def test_the_offset_is_the_median_of_the_samples() -> None:
    clock = Clock()
    for ahead_ms in (3_000, 3_004, 3_100):
        asked(clock, ahead_ms, way_ms=10)
    assert clock.offset_ns("venue") // MILLI == 3_004


def test_a_venue_whose_clock_was_set_is_followed_at_the_first_sample() -> None:
    clock = Clock()
    asked(clock, 0, way_ms=10, times=15)
    asked(clock, 3_000, way_ms=10)
    assert clock.offset_ns("venue") // MILLI == 3_000


def test_one_slow_answer_moves_nothing() -> None:
    clock = Clock()
    asked(clock, 0, way_ms=10, times=15)
    asked(clock, 1_000, way_ms=2_000)
    assert clock.offset_ns("venue") // MILLI == 0

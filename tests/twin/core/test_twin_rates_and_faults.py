"""Rate windows and seeded misfortune."""

import pytest

from oneprice.twin.faults import FaultPlan, Faults
from oneprice.twin.rates import CalendarWindow, RollingWindow

SECOND = 1_000_000_000


def test_a_rolling_window_frees_a_place_when_its_oldest_request_is_a_span_old() -> None:
    window = RollingWindow(2, SECOND)
    assert window.take("k", 0).granted
    assert window.take("k", SECOND // 2).granted
    refused = window.take("k", SECOND - 1)
    assert (refused.granted, refused.remaining, refused.resets_at) == (False, 0, SECOND)
    assert window.take("k", SECOND).granted
    assert window.take("other", SECOND).remaining == 1


def test_a_calendar_window_starts_anew_at_the_whole_span_and_takes_back() -> None:
    window = CalendarWindow(10, 60 * SECOND)
    assert window.take("k", 59 * SECOND, 9).used == 9
    assert not window.take("k", 59 * SECOND, 2).granted
    window.give_back("k", 59 * SECOND, 5)
    assert window.take("k", 59 * SECOND, 2).used == 6
    fresh = window.take("k", 60 * SECOND, 2)
    assert (fresh.used, fresh.resets_at) == (2, 120 * SECOND)


def test_faults_of_one_seed_repeat_and_without_a_plan_nothing_fails() -> None:
    plan = FaultPlan(frame_loss=0.2, answer_lost=0.1, cut_mean_s=5)

    def life(seed: int) -> list[object]:
        faults = Faults(plan, seed)
        return [
            (faults.frame("book", k), faults.request("/order"), faults.cut("/ws", SECOND))
            for k in range(50)
        ]

    assert life(1) == life(1) != life(2)
    calm = Faults()
    assert not calm.frame("book", 1).lost
    assert calm.request("/order").outcome == "normal"
    assert not calm.cut("/ws", 10**12)


def test_an_armed_fault_strikes_the_next_matching_occasion_only() -> None:
    faults = Faults()
    faults.arm("answer_lost", 1, match="order")
    faults.arm("frame_loss")
    assert faults.request("/v5/position").outcome == "normal"
    assert faults.request("/v5/order/create").outcome == "lost"
    assert faults.request("/v5/order/create").outcome == "normal"
    assert faults.frame("orderbook.50.BTCUSDT", 1).lost
    assert not faults.frame("orderbook.50.BTCUSDT", 2).lost
    assert faults.counts == {"answer_lost": 1, "frame_loss": 1}
    with pytest.raises(ValueError, match="expected one of frame_loss"):
        faults.arm("nonsense")


def test_a_silence_loses_every_frame_until_it_is_over() -> None:
    faults = Faults(FaultPlan(silence_mean_s=1e-9, silence_ms=500), 1)
    faults.beat(SECOND)
    faults.beat(2 * SECOND)
    assert faults.frame("book", 2 * SECOND + 499_000_000).lost
    assert not faults.frame("book", 2 * SECOND + 500_000_000).lost

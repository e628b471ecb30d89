"""Weights and order counts live in calendar windows and end in 429, then in 418."""

import pytest

from oneprice.model.units import MINUTE, SECOND
from oneprice.twin.dialects.binance import limits
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.limits import Limits, Rules

START = 1_790_000_000 * SECOND // MINUTE * MINUTE


def small() -> Limits:
    return Limits(Rules(weight=10, orders=limits.SPOT.orders, ban_after=2))


def test_weight_is_forgotten_when_the_minute_changes_not_a_minute_later() -> None:
    counter = small()
    counter.charge("a", 10, START + 59 * SECOND)
    counter.charge("a", 10, START + 60 * SECOND)
    assert counter.weight_header("a", START + 61 * SECOND) == {"X-MBX-USED-WEIGHT-1M": "10"}


def test_going_on_after_429_ends_in_a_ban_of_two_minutes() -> None:
    counter = small()
    counter.charge("a", 10, START)
    seen = []
    for _ in range(4):
        with pytest.raises(Denied) as caught:
            counter.charge("a", 1, START + SECOND)
        seen.append((caught.value.status, caught.value.code))
    assert seen == [(429, -1003), (429, -1003), (418, -1003), (418, -1003)]
    with pytest.raises(Denied, match="banned until"):
        counter.charge("a", 1, START + 2 * MINUTE)
    counter.charge("a", 1, START + 2 * MINUTE + 2 * SECOND)
    counter.charge("b", 1, START)  # others are not concerned


def test_a_429_says_when_the_window_ends() -> None:
    counter = small()
    with pytest.raises(Denied) as caught:
        counter.charge("a", 11, START + 20 * SECOND)
    assert caught.value.retry_at_ms == (START + MINUTE) // 1_000_000


def test_unfilled_orders_are_counted_and_fills_give_slots_back() -> None:
    counter = Limits(limits.SPOT)
    for _ in range(50):
        counter.check_orders("key", START)
        counter.count_orders("key", START)
    with pytest.raises(Denied, match="50 orders per 10 SECOND"):
        counter.check_orders("key", START + SECOND)
    counter.free_orders("key", START + SECOND)
    counter.check_orders("key", START + SECOND)
    assert counter.order_headers("key", START + SECOND) == {
        "X-MBX-ORDER-COUNT-10S": "49",
        "X-MBX-ORDER-COUNT-1D": "49",
    }
    counter.check_orders("key", START + 10 * SECOND, more=50)


def test_a_batch_counts_its_orders_in_ten_seconds_and_once_in_the_minute() -> None:
    counter = Limits(limits.FUTURES)
    for _ in range(60):
        counter.take_batch("key", START, 5)
    with pytest.raises(Denied, match="300 orders per 10 SECOND"):
        counter.take_batch("key", START, 1)
    assert counter.order_headers("key", START) == {
        "X-MBX-ORDER-COUNT-10S": "300",
        "X-MBX-ORDER-COUNT-1M": "60",
    }


def test_questions_about_funding_weigh_nothing_and_have_an_allowance_of_their_own() -> None:
    counter = Limits(limits.FUTURES)
    for _ in range(500):
        counter.charge_funding("a", START)
    assert counter.used("a", START) == 0
    with pytest.raises(Denied) as caught:
        counter.charge_funding("a", START + MINUTE)
    assert (caught.value.status, caught.value.code) == (429, -1003)
    counter.charge("a", 1, START)  # the rest goes on
    counter.charge_funding("a", START + 5 * MINUTE)

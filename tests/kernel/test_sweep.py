"""A sweep takes exactly the steps that still earn, and says what they cost."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneprice.kernel.contract import LOTS_MAX, TICKS_MAX, Sweep

Levels = list[tuple[int, int]]


def books_of(kernel: ModuleType, asks: Levels, bids: Levels) -> tuple[Any, Any]:
    buy, sell = kernel.Book("1", "1"), kernel.Book("1", "1")
    buy.load([], asks, 0, 1)
    sell.load(bids, [], 0, 1)
    return buy, sell


def facts(**changed: int) -> dict[str, int]:
    plain = {"buy_lots_per_step": 1, "sell_lots_per_step": 1, "buy_tick_value": 1}
    return plain | {"sell_tick_value": 1, "cost_ppb": 0, "steps_max": 10**9} | changed


def test_a_sweep_ends_where_the_next_step_earns_too_little(kernel: ModuleType) -> None:
    buy, sell = books_of(kernel, [(100, 3), (102, 4), (110, 9)], [(105, 5), (103, 1), (101, 9)])
    assert kernel.sweep(buy, sell, **facts()) == Sweep(6, 102, 103, 606, 628)
    assert kernel.sweep(buy, sell, **facts(cost_ppb=25_000_000)) == Sweep(5, 102, 105, 504, 525)
    assert kernel.sweep(buy, sell, **facts(steps_max=2)) == Sweep(2, 100, 105, 200, 210)
    assert kernel.sweep(buy, sell, **facts(cost_ppb=50_000_001)) is None
    assert kernel.sweep(buy, sell, **facts(steps_max=0)) is None


def test_a_step_over_two_levels_counts_at_the_worse_one(kernel: ModuleType) -> None:
    buy, sell = books_of(kernel, [(100, 3), (106, 3)], [(105, 9)])
    assert kernel.sweep(buy, sell, **facts(buy_lots_per_step=2)) == Sweep(1, 100, 105, 200, 105)


def test_nothing_is_swept_from_a_book_that_is_not_known(kernel: ModuleType) -> None:
    buy, sell = books_of(kernel, [(100, 3)], [(105, 5)])
    sell.lose()
    assert kernel.sweep(buy, sell, **facts()) is None
    assert kernel.sweep(sell, buy, **facts()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"buy_lots_per_step": 0}, {"sell_lots_per_step": -1}, {"buy_tick_value": 0},
        {"sell_tick_value": -5}, {"cost_ppb": -(10**9)}, {"buy_lots_per_step": LOTS_MAX + 1},
    ],
)  # fmt: skip
def test_facts_out_of_range_are_refused(kernel: ModuleType, wrong: dict[str, int]) -> None:
    buy, sell = books_of(kernel, [(100, 3)], [(105, 5)])
    with pytest.raises(ValueError, match="sweep"):
        kernel.sweep(buy, sell, **facts(**wrong))


@pytest.mark.parametrize("value", [1, 10**12, 10**12 + 1, 10**30])
@pytest.mark.parametrize("cost", [0, 9 * 10**9, 10**25])
def test_the_largest_numbers_do_not_overflow(kernel: ModuleType, value: int, cost: int) -> None:
    asks, bids = [(TICKS_MAX, LOTS_MAX)] * 1, [(TICKS_MAX, LOTS_MAX)]
    buy, sell = books_of(kernel, asks, bids)
    even = facts(sell_tick_value=value, buy_tick_value=value, cost_ppb=cost)
    full = Sweep(LOTS_MAX, TICKS_MAX, TICKS_MAX, TICKS_MAX * LOTS_MAX, TICKS_MAX * LOTS_MAX)
    assert kernel.sweep(buy, sell, **even | {"steps_max": 10**30}) == (None if cost else full)
    asks = [(TICKS_MAX - 1, LOTS_MAX)]
    buy, _ = books_of(kernel, asks, [])
    one = kernel.sweep(buy, sell, **even | {"cost_ppb": 1, "buy_lots_per_step": LOTS_MAX})
    assert one is None


def brute(asks: Levels, bids: Levels, f: dict[str, int]) -> Sweep | None:
    """Lot by lot, as one would on paper."""
    buys = [ticks for ticks, lots in sorted(asks) for _ in range(lots)]
    sells = [ticks for ticks, lots in sorted(bids, reverse=True) for _ in range(lots)]
    b, s, steps = f["buy_lots_per_step"], f["sell_lots_per_step"], 0
    while steps < f["steps_max"]:
        if (steps + 1) * b > len(buys) or (steps + 1) * s > len(sells):
            break
        dear, cheap = buys[(steps + 1) * b - 1], sells[(steps + 1) * s - 1]
        paid = dear * f["buy_tick_value"] * (10**9 + f["cost_ppb"])
        if cheap * f["sell_tick_value"] * 10**9 < paid:
            break
        steps += 1
    if not steps:
        return None
    buys, sells = buys[: steps * b], sells[: steps * s]
    return Sweep(steps, buys[-1], sells[-1], sum(buys), sum(sells))


sides = st.dictionaries(st.integers(90, 110), st.integers(1, 12), max_size=8).map(
    lambda side: list(side.items())
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sides,
    sides,
    st.fixed_dictionaries(
        {
            "buy_lots_per_step": st.integers(1, 5),
            "sell_lots_per_step": st.integers(1, 5),
            "buy_tick_value": st.integers(9, 11),
            "sell_tick_value": st.integers(9, 11),
            "cost_ppb": st.integers(-100_000_000, 100_000_000),
            "steps_max": st.integers(0, 30),
        }
    ),
)
def test_a_sweep_is_what_lot_by_lot_arithmetic_finds(
    kernel: ModuleType, asks: Levels, bids: Levels, chosen: dict[str, int]
) -> None:
    buy, sell = books_of(kernel, asks, bids)
    assert kernel.sweep(buy, sell, **chosen) == brute(asks, bids, chosen)

"""Tripwires wake exactly when the touch earns the edge, once until drained."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

quick = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def book_at(kernel: ModuleType, bid: int, ask: int, lots: int = 5) -> Any:
    book = kernel.Book("0.1", "1")
    book.load([(bid, lots)], [(ask, lots)], 0, 1)
    return book


def test_a_wire_trips_when_the_touch_earns_its_edge(kernel: ModuleType) -> None:
    cheap, dear, wires = (
        book_at(kernel, 990, 1000),
        book_at(kernel, 1000, 1010),
        kernel.Tripwires(),
    )
    wire = wires.arm(cheap, dear, 50.0, 0.1, 0.1)
    assert (wires.pending, wires.drain()) == (False, [])
    dear.load([(1004, 1)], [(1010, 1)], 0, 2)
    assert not wires.pending
    dear.load([(1005, 1)], [(1010, 1)], 0, 3)
    assert wires.pending
    dear.load([(1006, 1)], [(1010, 1)], 0, 4)
    assert wires.drain() == [wire]
    assert (wires.pending, wires.drain()) == (False, [])


def test_a_wire_is_judged_when_armed_and_when_moved(kernel: ModuleType) -> None:
    cheap, dear, wires = (
        book_at(kernel, 990, 1000),
        book_at(kernel, 1010, 1020),
        kernel.Tripwires(),
    )
    wire = wires.arm(cheap, dear, 10.0, 0.1, 0.1)
    assert wires.drain() == [wire]
    wires.move(wire, 10.0)
    wires.move(wire, 500.0)
    assert not wires.pending
    wires.move(wire, 99.0)
    assert wires.drain() == [wire]


def test_every_change_of_the_touch_judges_again_and_nothing_else_does(kernel: ModuleType) -> None:
    cheap, dear, wires = (
        book_at(kernel, 990, 1000),
        book_at(kernel, 1010, 1020),
        kernel.Tripwires(),
    )
    cheap.delta(b'[["98.9","1"]]', b"[]", 0, 2)
    wire = wires.arm(cheap, dear, 10.0, 0.1, 0.1)
    assert wires.drain() == [wire]
    cheap.delta(b'[["98.8","1"]]', b'[["100.5","3"]]', 0, 2)
    assert not wires.pending
    cheap.delta(b"[]", b'[["100.0","3"]]', 0, 3)
    assert wires.drain() == [wire]
    cheap.delta(b"[]", b'[["99.9","3"]]', 0, 4)
    assert wires.drain() == [wire]


def test_a_lost_or_empty_book_trips_nothing_and_its_return_does(kernel: ModuleType) -> None:
    cheap, dear, wires = (
        book_at(kernel, 990, 1000),
        book_at(kernel, 1010, 1020),
        kernel.Tripwires(),
    )
    wire = wires.arm(cheap, dear, 10.0, 0.1, 0.1)
    wires.drain()
    cheap.lose()
    dear.delta(b'[["101.5","1"]]', b"[]", 0, 2)
    assert not wires.pending
    cheap.load([(990, 5)], [], 0, 5)
    assert not wires.pending
    cheap.lose()
    cheap.load([(990, 5)], [(1000, 5)], 0, 5)
    assert wires.drain() == [wire]


def test_a_disarmed_wire_is_gone_also_from_what_is_pending(kernel: ModuleType) -> None:
    cheap, dear, wires = (
        book_at(kernel, 990, 1000),
        book_at(kernel, 1010, 1020),
        kernel.Tripwires(),
    )
    first = wires.arm(cheap, dear, 10.0, 0.1, 0.1)
    second = wires.arm(cheap, dear, 10.0, 0.1, 0.1)
    wires.disarm(first)
    assert wires.drain() == [second]
    dear.load([(1011, 1)], [(1020, 1)], 0, 2)
    assert wires.drain() == [second]
    for use in (lambda: wires.disarm(first), lambda: wires.move(first, 1.0)):
        with pytest.raises(KeyError):
            use()
    assert wires.arm(cheap, dear, 900.0, 0.1, 0.1) not in (first, second)


def test_tripped_wires_come_in_the_order_of_their_numbers(kernel: ModuleType) -> None:
    cheap, wires = book_at(kernel, 990, 1000), kernel.Tripwires()
    others = [book_at(kernel, 900, 1020) for _ in range(20)]
    numbers = [wires.arm(cheap, other, 0.0, 0.1, 0.1) for other in others]
    for other in reversed(others):
        other.load([(1001, 1)], [(1020, 1)], 0, 2)
    assert wires.drain() == numbers


def test_a_triangle_trips_when_a_unit_comes_back_grown(kernel: ModuleType) -> None:
    wires = kernel.Tripwires()
    eth_usd, eth_btc, btc_usd = (
        book_at(kernel, *t) for t in ((2999, 3000), (499, 501), (60000, 60010))
    )
    # Buy ETH for USD, sell it for BTC at 0.0499, sell that for USD: 1/3000 * 0.0499 * 60000.
    legs, sides, units = (eth_usd, eth_btc, btc_usd), (1, -1, -1), (1.0, 0.0001, 1.0)
    wire = wires.arm_cycle(legs, sides, -25.0, units)
    assert wires.drain() == [wire]
    other = wires.arm_cycle(legs, sides, 1.0, units)
    assert not wires.pending
    eth_btc.load([(501, 1)], [(502, 1)], 0, 2)
    assert wires.drain() == [wire, other]


@pytest.mark.parametrize("unit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_unit_that_is_no_price_is_refused(kernel: ModuleType, unit: float) -> None:
    book, wires = book_at(kernel, 1, 2), kernel.Tripwires()
    with pytest.raises(ValueError, match="unit"):
        wires.arm(book, book, 1.0, 1.0, unit)
    with pytest.raises(ValueError, match="side"):
        wires.arm_cycle((book, book, book), (1, 0, 1), 1.0, (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="three"):
        wires.arm_cycle((book, book), (1, 1), 1.0, (1.0, 1.0))


touches = st.tuples(st.integers(990, 1005), st.integers(1, 6), st.booleans())


@quick
@given(
    st.lists(st.tuples(st.integers(0, 3), touches), max_size=30),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-90, 90)), max_size=8),
    st.lists(st.permutations(range(4)), max_size=4),
)
def test_wires_trip_where_a_search_over_all_of_them_would(
    kernel: ModuleType,
    changes: list[tuple[int, tuple[int, int, bool]]],
    pairs: list[tuple[int, int, int]],
    triples: list[list[int]],
) -> None:
    books, wires = [kernel.Book("1", "1") for _ in range(4)], kernel.Tripwires()
    checks: list[tuple[int, tuple[int, ...], Any]] = []
    for a, b, edge in pairs:
        factor = 1.0 + edge / 1e4

        def pair(a: int = a, b: int = b, factor: float = factor) -> bool:
            bid, ask = books[b].bid_ticks, books[a].ask_ticks
            return bool(bid and ask and bid * 0.1 >= ask * 0.1 * factor)

        checks.append((wires.arm(books[a], books[b], edge, 0.1, 0.1), (a, b), pair))
    for a, b, c, _ in triples:

        def triple(a: int = a, b: int = b, c: int = c) -> bool:
            ask, bid, last = books[a].ask_ticks, books[b].bid_ticks, books[c].bid_ticks
            if not (ask and bid and last):
                return False
            return 1.0 / (ask * 0.1) * (bid * 0.1) * (last * 0.01) >= 1.0 + -5.0 / 1e4

        legs = (books[a], books[b], books[c])
        number = wires.arm_cycle(legs, (1, -1, -1), -5.0, (0.1, 0.1, 0.01))
        checks.append((number, (a, b, c), triple))
    for at, (which, (bid, width, gone)) in enumerate(changes):
        if gone:
            books[which].lose()
        else:
            books[which].load([(bid, at + 1)], [(bid + width, 1)], at, at)
        expected = [n for n, legs, holds in checks if not gone and which in legs and holds()]
        assert wires.drain() == expected

"""What an order book of either kernel holds, refuses and answers."""

from __future__ import annotations

from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneprice.kernel.contract import LOTS_MAX, TICKS_MAX, BadLevels, OffGrid

from .formats import text

quick = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def filled(kernel: ModuleType, depth_max: int = 0) -> Any:
    book = kernel.Book("0.1", "0.001", depth_max)
    bids, asks = [["99.5", "1"], ["99.4", "2.5"]], [["99.6", "0.5"], ["99.9", "4"]]
    book.snapshot(text(bids), text(asks), 7, 100)
    return book


def test_a_new_book_is_not_known_and_empty(kernel: ModuleType) -> None:
    book = kernel.Book(Decimal("0.1"), "0.001")
    assert (book.known, book.crossed, book.bridging) == (False, False, False)
    assert (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots) == (0, 0, 0, 0)
    assert (book.bids(), book.asks(), book.imbalance(5), book.cost(1, 5)) == ([], [], 0.0, (0, 0))


def test_a_snapshot_becomes_whole_ticks_and_lots(kernel: ModuleType) -> None:
    book = filled(kernel)
    assert book.bids() == [(995, 1000), (994, 2500)]
    assert book.asks(1) == [(996, 500)]
    assert (book.known, book.bridging, book.at, book.sequence) == (True, True, 7, 100)
    assert (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots) == (995, 1000, 996, 500)


def test_a_delta_sets_adds_and_deletes_and_an_unknown_delete_is_normal(kernel: ModuleType) -> None:
    book = filled(kernel)
    bids = [["99.5", "0"], ["99.4", "3"], ["98", "1"], ["97", "0.000"]]
    book.delta(text(bids), b" [ ] ", 8, 101)
    assert book.bids() == [(994, 3000), (980, 1000)]
    assert (book.bridging, book.at, book.sequence) == (False, 8, 101)


def test_a_delta_needs_a_known_book(kernel: ModuleType) -> None:
    book = filled(kernel)
    book.lose()
    with pytest.raises(BadLevels, match="not known"):
        book.delta(b"[]", b"[]", 8, 101)
    assert (book.known, book.bids(), book.asks(), book.sequence) == (False, [], [], 0)


@pytest.mark.parametrize(
    "raw",
    [
        b'[["99.45","1"]]',  # between two ticks
        b'[["99.4","1.0001"]]',  # between two lots
        b'[["99.4","1.00000000000000000000000000001"]]',
    ],
)
def test_a_level_off_the_grid_is_refused_and_changes_nothing(
    kernel: ModuleType, raw: bytes
) -> None:
    book = filled(kernel)
    before = book.fingerprint()
    with pytest.raises(OffGrid, match="off grid"):
        book.delta(b'[["99.5","9"]]', raw, 8, 101)
    assert book.fingerprint() == before


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[", b"null", b"{}", b'"x"', b'[["99.4","1"]', b'[["99.4","1"]] x',
        b'[["99.4","1"],]', b'[["99.4","1"]]\x00', b'[{"1":"2"}]', b'[["99.4"]]', b"[[]]",
        b'[[99.4,"1"]]', b'[["99.4",1]]', b'["12"]', b"[null]", b'[["-99.4","1"]]',
        b'[["99.4","-1"]]', b'[["9.94e1","1"]]', b'[["099.4","1"]]', b'[["99.","1"]]',
        b'[[".5","1"]]', b'[["","1"]]', b'[[" 99.4","1"]]', b'[["0","1"]]', b'[["0.0","0"]]',
        b'[["99.4","nan"]]', b'[["99,4","1"]]', b'[["99_4","1"]]', b'[["99.4","1",["2"]]]',
        b'[["99.45","1"],["x","1"]]', b'[["99.45","x"]]', b'[["123456789012345678901","1"]]',
        b'[["99.4","1234567890123456"]]', b'[["99.4\x00","1"]]',
    ],
)  # fmt: skip
def test_what_is_no_level_is_refused_and_changes_nothing(kernel: ModuleType, raw: bytes) -> None:
    book = filled(kernel)
    before = book.fingerprint()
    with pytest.raises(BadLevels) as caught:
        book.snapshot(raw, b"[]", 8, 101)
    assert not isinstance(caught.value, OffGrid)
    assert book.fingerprint() == before


@pytest.mark.parametrize(
    ("tick", "price", "ticks"),
    [
        ("0.1", "30240.10", 302401), ("0.05", "12.35", 247), ("0.50", "100.5", 201),
        ("10", "30240", 3024), ("25", "75.000", 3), ("1E-8", "0.00001234", 1234),
        ("0.000000000001", "0.5", 500_000_000_000), ("0.0025", "1", 400),
    ],
)  # fmt: skip
def test_a_price_text_is_exactly_so_many_ticks(
    kernel: ModuleType, tick: str, price: str, ticks: int
) -> None:
    book = kernel.Book(tick, "1")
    book.snapshot(text([[price, "1"]]), b"[]", 0, 0)
    assert book.bid_ticks == ticks


@pytest.mark.parametrize("unit", ["0", "-1", "x", "nan", "inf", "1e-13", "12345678901"])
def test_a_grid_that_cannot_be_counted_is_refused(kernel: ModuleType, unit: str) -> None:
    with pytest.raises(ValueError, match=r"price: "):
        kernel.Book(unit, "1")


def test_a_float_is_no_grid(kernel: ModuleType) -> None:
    with pytest.raises(TypeError, match="float"):
        kernel.Book("1", 0.1)


def test_load_takes_integers_and_refuses_those_out_of_range(kernel: ModuleType) -> None:
    book = kernel.Book("1", "1")
    book.load([(5, 1), (TICKS_MAX - 1, LOTS_MAX), (5, 0)], [(TICKS_MAX, 1)], 1, 2)
    assert book.bids() == [(TICKS_MAX - 1, LOTS_MAX)]
    for level in ((0, 1), (-1, 1), (1, -1), (TICKS_MAX + 1, 1), (1, LOTS_MAX + 1), (1 << 70, 1)):
        with pytest.raises(BadLevels, match="outside"):
            book.load([level], [], 1, 2)
    assert book.bids() == [(TICKS_MAX - 1, LOTS_MAX)]


@pytest.mark.parametrize("price", ["99.6", "99.7", "99.9", "120"])
def test_a_crossed_or_locked_book_is_lost_until_the_next_snapshot(
    kernel: ModuleType, price: str
) -> None:
    book = filled(kernel)
    book.delta(text([[price, "1"]]), b"[]", 8, 101)
    assert (book.known, book.crossed, book.bids(), book.asks()) == (False, True, [], [])
    book.snapshot(b'[["1","1"]]', b"[]", 9, 102)
    assert (book.known, book.crossed, book.ask_ticks) == (True, False, 0)


def test_levels_beyond_the_depth_limit_are_dropped_after_every_message(kernel: ModuleType) -> None:
    book = filled(kernel, depth_max=2)
    book.delta(b'[["98","1"]]', b'[["99.8","1"],["99.7","1"]]', 8, 101)
    assert [ticks for ticks, _ in book.bids()] == [995, 994]
    assert [ticks for ticks, _ in book.asks()] == [996, 997]
    book.delta(b'[["99.5","0"]]', b"[]", 9, 102)
    assert [ticks for ticks, _ in book.bids()] == [994]


def test_depth_questions_are_answered_exactly(kernel: ModuleType) -> None:
    book = filled(kernel)
    assert book.lots_within(1, 995) == 1000
    assert book.lots_within(1, -(10**30)) == 3500
    assert book.lots_within(-1, 995) == 0
    assert book.lots_within(-1, 10**30) == 4500
    assert book.imbalance(1) == (1000 - 500) / 1500
    assert book.imbalance(0) == (3500 - 4500) / 8000
    assert book.cost(1, 700) == (996 * 500 + 999 * 200, 700)
    assert book.cost(-1, 10**30) == (995 * 1000 + 994 * 2500, 3500)
    assert book.cost(1, 0) == book.cost(1, -5) == (0, 0)
    for ask in (lambda: book.cost(0, 1), lambda: book.lots_within(2, 1)):
        with pytest.raises(ValueError, match="side"):
            ask()


def test_sums_beyond_64_bits_are_exact(kernel: ModuleType) -> None:
    book = kernel.Book("1", "1")
    levels = [(TICKS_MAX - i, LOTS_MAX) for i in range(40)]
    book.load(levels, [], 0, 0)
    assert book.lots_within(1, 1) == 40 * LOTS_MAX
    assert book.cost(-1, 10**30) == (sum(t * n for t, n in levels), 40 * LOTS_MAX)


@quick
@given(
    st.lists(st.tuples(st.integers(1, 120), st.integers(0, 9)), max_size=400),
    st.integers(0, 60),
)
def test_a_side_is_what_a_dictionary_would_be(
    kernel: ModuleType, changes: list[tuple[int, int]], depth_max: int
) -> None:
    book = kernel.Book("1", "1", depth_max)
    book.load([], [], 0, 0)
    truth: dict[int, int] = {}
    for start in range(0, len(changes), 8):
        part = changes[start : start + 8]
        book.delta(text([[str(t), str(n)] for t, n in part]), b"[]", 0, start)
        truth |= dict(part)
        truth = {t: n for t, n in truth.items() if n}
        if depth_max:
            truth = dict(sorted(truth.items(), reverse=True)[:depth_max])
        assert book.bids() == sorted(truth.items(), reverse=True)
        assert book.bid_ticks == max(truth, default=0)


def test_a_long_snapshot_in_any_order_with_repetitions_is_sorted(kernel: ModuleType) -> None:
    levels = [((i * 7919) % 3001 + 1, i % 5) for i in range(9000)]
    book = kernel.Book("1", "1")
    book.load([], levels, 0, 0)
    truth = {t: n for t, n in dict(levels).items() if n}
    assert book.asks() == sorted(truth.items())
    assert book.asks(3) == sorted(truth.items())[:3]

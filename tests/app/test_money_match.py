"""Reconciliation: a line dropped, doubled or changed by one unit is found, always."""

from decimal import ROUND_HALF_EVEN, Decimal

from hypothesis import given
from hypothesis import strategies as st

from oneprice.app.reconcile_match import Movement, Reconciliation, compare

D = Decimal
UNIT = D("1E-8")


def a_move(amount: Decimal | str, number: int = 0, **more: object) -> Movement:
    facts: dict[str, object] = {
        "venue": "alpha",
        "wallet": "unified",
        "asset": "USDT",
        "amount": D(amount),
        "kind": "trade",
        "record_id": f"f{number}",
        "at_ms": 1_000_000 + 1_000 * number,
    }
    return Movement(**(facts | more))  # type: ignore[arg-type]


AMOUNTS = st.decimals("-1000", "1000", places=8).filter(bool)
FINE = st.decimals("-1000", "1000", places=12)
FEES = st.decimals("-0.1", "1", places=8)
KINDS = st.sampled_from(["trade", "funding", "interest", "transfer", "correction"])
MOVES = st.lists(st.tuples(AMOUNTS, KINDS, FEES), min_size=1, max_size=15)


def both(moves: list[tuple[Decimal, str, Decimal]]) -> tuple[list[Movement], list[Movement]]:
    """Ours, and what the venue tells of it under ids of its own."""
    ours = [
        a_move(amount, number, kind=kind, fee=fee if kind == "trade" else D(0))
        for number, (amount, kind, fee) in enumerate(moves)
    ]
    theirs = [
        a_move(mine.amount, number, kind=mine.kind, record_id=f"v{number}", fee=mine.fee)
        for number, mine in enumerate(ours)
    ]
    return ours, theirs


def in_parts(lines: list[Movement]) -> list[Movement]:
    """As venues do that book profit and commission apart."""
    out: list[Movement] = []
    for line in lines:
        if line.kind != "trade" or not line.fee:
            out.append(line)
            continue
        more = {"at_ms": line.at_ms}
        out.append(a_move(-line.fee, kind="fee", record_id=line.record_id + ":fee", **more))
        if line.amount + line.fee:
            out.append(a_move(line.amount + line.fee, record_id=line.record_id, **more))
    return out


def adds_up(found: Reconciliation) -> bool:
    return all(
        row.theirs - row.ours == row.rounded + row.unexplained + row.later for row in found.rows
    )


@given(MOVES, st.booleans())
def test_the_same_money_told_in_other_ids_and_parts_is_explained(
    moves: list[tuple[Decimal, str, Decimal]], apart: bool
) -> None:
    ours, theirs = both(moves)
    found = compare(ours, in_parts(theirs) if apart else theirs)
    assert found.ok and adds_up(found)
    assert all(row.rounded == 0 for row in found.rows)


@given(MOVES, st.data())
def test_a_line_that_is_missing_is_found_on_either_side(
    moves: list[tuple[Decimal, str, Decimal]], data: st.DataObject
) -> None:
    ours, theirs = both(moves)
    dropped = data.draw(st.integers(0, len(moves) - 1))
    amount = theirs[dropped].amount
    fewer = theirs[:dropped] + theirs[dropped + 1 :]
    for found, sign in ((compare(ours, fewer), -1), (compare(fewer, ours), 1)):
        assert not found.ok and adds_up(found)
        assert sum(row.unexplained for row in found.rows) == sign * amount


@given(MOVES, st.data())
def test_a_line_told_twice_is_found(
    moves: list[tuple[Decimal, str, Decimal]], data: st.DataObject
) -> None:
    ours, theirs = both(moves)
    double = data.draw(st.sampled_from(theirs))
    found = compare(ours, [*theirs, double])
    assert not found.ok and adds_up(found)
    assert sum(row.unexplained for row in found.rows) == double.amount


@given(MOVES, st.data(), st.sampled_from([UNIT, -UNIT]), st.booleans())
def test_one_unit_more_or_less_is_found(
    moves: list[tuple[Decimal, str, Decimal]], data: st.DataObject, unit: Decimal, apart: bool
) -> None:
    ours, theirs = both(moves)
    theirs = in_parts(theirs) if apart else theirs
    chosen = data.draw(st.integers(0, len(theirs) - 1))
    line = theirs[chosen]
    theirs[chosen] = a_move(
        line.amount + unit, kind=line.kind, record_id=line.record_id, at_ms=line.at_ms
    )
    found = compare(ours, theirs)
    assert not found.ok and adds_up(found)
    assert sum(row.unexplained for row in found.rows) == unit


@given(st.lists(FINE, min_size=1, max_size=15))
def test_what_a_venue_rounds_is_explained_and_summed_up_to_the_last_digit(
    amounts: list[Decimal],
) -> None:
    ours = [a_move(amount, number) for number, amount in enumerate(amounts)]
    theirs = [
        a_move(amount.quantize(UNIT, ROUND_HALF_EVEN), number, record_id=f"v{number}")
        for number, amount in enumerate(amounts)
    ]
    found = compare(ours, theirs)
    assert found.ok and adds_up(found)
    (row,) = found.rows
    assert row.rounded == sum(line.amount for line in theirs) - sum(amounts)
    followed = a_move(row.rounded, 99, kind="rounding")
    assert compare([*ours, followed], theirs).rows[0].rounded == 0


def test_many_of_ours_may_be_one_line_of_theirs() -> None:
    ours = [a_move("0.1", n, fee=D("0.01")) for n in range(5)]
    found = compare(ours, [a_move("0.5", 7, record_id="day")])
    assert found.ok and found.rows[0].in_sums == 5
    assert not compare(ours, [a_move("0.50000001", 7, record_id="day")]).ok


def test_two_errors_that_cancel_are_named_both() -> None:
    found = compare([a_move("5", 1), a_move("-5", 2)], [])
    assert found.rows[0].unexplained == 0 and not found.ok
    assert len(found.rows[0].left_ours) == 2


def test_lines_from_after_the_session_are_no_fault_but_are_counted() -> None:
    late = a_move("7", 3, at_ms=2_000_000)
    found = compare([a_move("5", 1)], [a_move("5", 1), late], {"alpha": 1_500_000})
    assert found.ok and found.rows[0].later == 7


def test_the_same_amount_at_quite_another_time_is_another_line() -> None:
    found = compare([a_move("5", 1)], [a_move("5", 2, at_ms=99_000_000)])
    assert not found.ok or found.rows[0].in_sums == 1


def test_a_transfer_never_explains_a_trade() -> None:
    assert not compare([a_move("5", 1)], [a_move("5", 1, kind="transfer")]).ok


def test_wallets_and_coins_are_held_apart() -> None:
    ours = [a_move("5", 1), a_move("5", 2, asset="BTC"), a_move("5", 3, wallet="spot")]
    theirs = [a_move("5", 1), a_move("5", 2), a_move("5", 3)]
    found = {(row.wallet, row.asset): row.unexplained for row in compare(ours, theirs).rows}
    assert found == {("unified", "USDT"): 10, ("unified", "BTC"): -5, ("spot", "USDT"): -5}

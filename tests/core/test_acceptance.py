"""What a person accepted, and the late record that explains it after all: booked once."""

from decimal import Decimal

import msgspec
import pytest

from oneprice.app.reconcile_match import Movement
from oneprice.app.reconcile_ours import ACCEPTED, ours
from oneprice.core.acceptance import OpeningAccepted
from oneprice.core.engine import Engine
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, ReconcileSettings
from oneprice.model.units import MILLI, Nanos
from tests.build import World, a_ready_world
from tests.core.test_recall import read_back
from tests.core.test_statement import (
    WALLET,
    A,
    B,
    a_line,
    balance_told,
    found,
    funding,
    happened,
    profit,
)

SETTINGS = EngineSettings(reconcile=ReconcileSettings(statement_ms=60_000))


def an_accepted(amount: str = "1000") -> World:
    """Money came and no statement said why; a person took it over."""
    world = a_ready_world([A, B], [], settings=SETTINGS)
    world.run(100_000)
    world.money[WALLET] += Decimal(amount)
    balance_told(world)
    world.run(40_000)
    assert [kind for kind, *_ in found(world)] == ["balance"]
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    assert world.engine.clutch == ""
    return world


def late(world: World, amount: str, ago_ms: int = 42_000, **more: object) -> None:
    """A line of what was in the balance already."""
    kind = str(more.pop("kind", "transfer"))
    at_ms = world.now // MILLI - ago_ms
    world.lines.append(a_line(world, kind, amount, venue_ms=at_ms, **more))


def is_in_order(world: World) -> None:
    report = world.engine.report
    assert world.engine.clutch == "" and len(found(world)) == 1
    assert report.balances()[WALLET] == world.money[WALLET]
    assert report.residual() == 0
    fresh = Engine(world.settings, [], {}, Tripwires(), "t2")
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    rates = world.engine._market.rate
    one, two = world.engine._ledger, fresh._ledger
    assert two._balances == one._balances and two.profit(rates) == one.profit(rates)
    assert two.transferred() == one.transferred()
    assert fresh._reconcile.acceptances._of == world.engine._reconcile.acceptances._of
    mine = ours(world.settings, [read_back(entry)[1] for entry in world.journal])
    assert {p: n for p, n in mine.closings.items() if n} == {
        p: n for p, n in report.balances().items() if n
    }


def accepted_in(world: World) -> list[Decimal]:
    notes = [item for _, record, _ in world.journal for item in record]
    return [note.amount for note in notes if isinstance(note, OpeningAccepted)]


def test_a_deposit_that_was_accepted_and_is_explained_later_is_booked_once() -> None:
    world = an_accepted()
    late(world, "1000")
    world.run(200_000)
    is_in_order(world)
    assert accepted_in(world) == [1000, -1000]
    assert world.engine.report.transferred() == {WALLET: 1000}
    assert world.engine.report.equity_change() == 0


def test_a_loss_that_was_accepted_becomes_a_loss_when_its_line_comes() -> None:
    world = an_accepted("-7")
    late(world, "-7", kind="interest")
    assert profit(world) == {}
    world.run(200_000)
    is_in_order(world)
    assert profit(world) == {"borrow": -7} and world.engine.report.equity_change() == -7


def test_several_late_lines_explain_what_was_accepted_together() -> None:
    world = an_accepted()
    for number, amount in enumerate(("600", "300", "100")):
        late(world, amount, 42_000 + number)
    world.run(200_000)
    is_in_order(world)
    assert accepted_in(world) == [1000, -600, -300, -100]


def test_late_lines_of_both_signs_are_inside_where_books_and_venue_agree_without_them() -> None:
    world = an_accepted()
    world.run(130_000)  # an audit has told the same balance since
    for number, amount in enumerate(("1500", "-500")):
        late(world, amount, 172_000 + number)
    world._timers.clear()
    for line in world.lines:
        world.tell(msgspec.structs.replace(line, at=Nanos(world.now)))
    told = ev.StatementTold(
        at=Nanos(world.now), venue="alpha", market="linear", since_ms=0,
        until_ms=world.now // MILLI,
    )  # fmt: skip
    world.tell(told)
    is_in_order(world)
    assert accepted_in(world) == [1000, -1500, 500]


def test_a_part_that_a_line_explains_leaves_the_rest_accepted() -> None:
    world = an_accepted()
    late(world, "400")
    world.run(200_000)
    is_in_order(world)
    assert accepted_in(world) == [1000, -400]
    (one,) = world.engine._reconcile.acceptances._of[WALLET]
    assert one.left == 600


@pytest.mark.parametrize("amount", ["1000", "300", "-20"])
def test_what_comes_after_an_acceptance_is_booked_as_ever(amount: str) -> None:
    world = an_accepted()
    world.run(10_000)
    happened(world, a_line(world, "transfer", amount))
    balance_told(world)
    world.run(200_000)
    is_in_order(world)
    assert accepted_in(world) == [1000]
    assert world.engine.report.transferred() == {WALLET: Decimal(amount)}


def test_the_same_deposit_twice_of_which_one_was_accepted_is_booked_twice() -> None:
    world = an_accepted()
    late(world, "1000", record_id="first")
    world.run(10_000)
    happened(world, a_line(world, "transfer", "1000", record_id="second"))
    world.run(200_000)
    is_in_order(world)
    assert accepted_in(world) == [1000, -1000]
    assert world.engine.report.transferred() == {WALLET: 2000}


def test_a_line_of_another_wallet_takes_nothing_back() -> None:
    world = an_accepted()
    happened(world, a_line(world, "transfer", "1000", venue="beta"))
    world.run(200_000)
    assert accepted_in(world) == [1000]
    is_in_order(world)


def test_funding_that_was_accepted_as_an_opening_becomes_funding_when_it_is_told() -> None:
    world = an_accepted("-3")
    world.tell(funding(world, "old", "-3", venue_ms=world.now // MILLI - 42_000))
    is_in_order(world)
    assert profit(world) == {"funding": -3} and accepted_in(world) == [-3, 3]


def test_a_line_told_live_takes_an_acceptance_back_too() -> None:
    world = an_accepted()
    at_ms = world.now // MILLI - 42_000
    world.tell(a_line(world, "transfer", "1000", venue_ms=at_ms, live=True))
    is_in_order(world)
    assert accepted_in(world) == [1000, -1000]


def test_an_acceptance_is_taken_back_after_a_restart_as_well() -> None:
    world = an_accepted()
    old = world.engine
    world.engine = Engine(world.settings, [], world.books, world.wires, "t2")
    for entry in list(world.journal):
        world.engine.recall.entry(*read_back(entry))
    assert world.engine._reconcile.acceptances._of == old._reconcile.acceptances._of
    at_ms = world.now // MILLI - 42_000
    world.tell(a_line(world, "transfer", "1000", venue_ms=at_ms, live=True))
    is_in_order(world)


def test_our_movements_know_an_acceptance_that_was_taken_back() -> None:
    world = an_accepted()
    late(world, "1000")
    world.run(200_000)
    mine = ours(world.settings, [read_back(entry)[1] for entry in world.journal])
    moved: list[Movement] = [m for m in mine.movements if m.purse == WALLET]
    assert [(m.kind, m.amount) for m in moved] == [
        (ACCEPTED, 1000), ("transfer", 1000), (ACCEPTED, -1000),
    ]  # fmt: skip

"""A release while a flatten is under way: differences are accepted, the flatten goes on."""

from oneprice.core.strategy import ClutchOpened
from oneprice.model import events as ev
from oneprice.model.units import Nanos
from tests.build import World
from tests.core.test_groups import A, B
from tests.core.test_groups_forced import a_holding_world
from tests.core.test_recall import read_back
from tests.core.test_restart import killed_at, restart
from tests.core.test_weather import INSTRUMENTS, THIN


def now(world: World) -> Nanos:
    return Nanos(world.now)


def a_flatten_without_books() -> World:
    """Killed with its holding to be closed, and no price to close it at."""
    world = a_holding_world()
    for it in (A, B):
        world.books[it.id].lose()
    world.tell(ev.KillRequested(at=now(world), reason="a person", flatten=True))
    world.turn()
    world.run(500)
    return world


def prices_again(world: World) -> None:
    for it in (A, B):
        world.quote(it, "59999", "60001")
    world.live(5_000)


def test_a_release_is_refused_while_something_is_still_to_be_closed() -> None:
    world = a_flatten_without_books()
    world.tell(ev.ClutchReleased(at=now(world), by="me"))
    (held,) = world.engine.report.holdings()
    assert world.engine.clutch == f"a flatten is under way: holding {held.id}"
    prices_again(world)
    assert world.lots == {A.id: 0, B.id: 0} and world.engine.report.holdings() == []
    assert world.engine.clutch, "and a person closes it after that"
    world.tell(ev.ClutchReleased(at=now(world), by="me"))
    assert world.engine.clutch == "" and not world.engine._sight.flattening


def test_a_release_that_keeps_what_is_left_ends_the_flatten() -> None:
    world = a_flatten_without_books()
    world.tell(ev.ClutchReleased(at=now(world), by="me", keeps=True))
    assert world.engine.clutch == ""
    prices_again(world)
    assert world.lots == {A.id: 10, B.id: -10}, "what is held stays held"


def test_what_was_given_up_does_not_keep_the_clutch_open() -> None:
    world = a_holding_world(exits_max=1, chases_max=1, unwinds_max=1)
    world.faults.missed = 1.0
    world.tell(ev.KillRequested(at=now(world), reason="a person", flatten=True))
    world.live(30_000, 200)
    assert world.engine.report.holdings() and not world.engine.report.groups()
    world.tell(ev.ClutchReleased(at=now(world), by="me"))
    assert world.engine.clutch == "" and not world.engine._sight.flattening


def test_a_flatten_goes_on_after_a_restart_although_somebody_signed_at_the_start() -> None:
    number = 120
    while not (world := killed_at(number, 3, THIN, sent=99)).engine.report.holdings():
        number += 1
    world.tell(ev.KillRequested(at=now(world), reason="a person", flatten=True))
    restart(world)
    world.tell(ev.ClutchReleased(at=now(world), by="me"))
    refused = [d for d in world.decisions if isinstance(d, ClutchOpened)][-1]
    assert refused.flattening and refused.reason.startswith("a flatten is under way: ")
    for it in INSTRUMENTS:
        world.quote(it, "59999", "60001")
    world.live(10_000)
    assert world.engine.report.holdings() == [] and world.engine.report.positions() == {}
    assert world.engine.clutch == refused.reason


def test_a_refused_release_is_recalled_as_refused_and_an_accepted_one_as_accepted() -> None:
    world = a_flatten_without_books()
    for keeps in (False, True):
        world.tell(ev.ClutchReleased(at=now(world), by="me", keeps=keeps))
        engine = World([A, B], []).engine
        for entry in list(world.journal):
            engine.recall.entry(*read_back(entry))
        engine.recall.end()
        assert engine.clutch == world.engine.clutch
        assert engine._sight.flattening is world.engine._sight.flattening is not keeps


def test_differences_are_accepted_also_while_the_flatten_goes_on() -> None:
    """Closed by hand: the books learn it from the signature, and nothing is left to close."""
    world = a_flatten_without_books()
    world.keeps_statements = False
    for it, sign in ((A, -1), (B, 1)):
        world.lots[it.id] += sign * 10
        world.tell(ev.PositionReported(at=now(world), instrument=it.id, lots=world.lots[it.id]))
    world.run(60_000)
    assert world.engine.report.discrepancies
    world.tell(ev.ClutchReleased(at=now(world), by="me"))
    assert world.engine.report.positions() == {}
    assert world.engine.clutch == "" and not world.engine._sight.flattening

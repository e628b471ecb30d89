"""Restart with one venue away: what is open at the other is ended, and nothing is given up."""

import random

import pytest

from oneprice.core.strategy import Alarmed
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.units import MILLI, Nanos
from tests.build import World
from tests.core.test_restart import (
    everything_is_in_order,
    killed_at,
    recovered,
    restart,
)
from tests.core.test_weather import STORM, THIN, books_balance

AWAY = "beta"


def concerns(command: cmd.AnyCommand) -> bool:
    """What the desk lets not leave while the venue is away."""
    if isinstance(command, (cmd.SetTimer, cmd.ClearTimer)):
        return False
    instrument = getattr(command, "instrument", "")
    return (instrument.partition(":")[0] or getattr(command, "venue", "")) == AWAY


def a_start_without(world: World, session: str) -> None:
    world.hooks[:] = [concerns]
    restart(world, session, away=AWAY)


def comes_back(world: World) -> None:
    """The venue is listed, its books are proven, it is begun."""
    world.hooks.clear()
    market = world.engine._market
    for it in world.listed.values():
        if it.venue == AWAY:
            market._books[it.id] = world.books[it.id]  # type: ignore[index]
            world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=it))
    world.refresh()
    for it in world.listed.values():
        if it.venue == AWAY:
            world.tell(ev.BookReady(at=Nanos(world.now), instrument=it.id))
    commands = world.engine.begin(Nanos(world.now), [(AWAY, "linear"), (AWAY, "spot")], [])
    world.journal.append((Nanos(world.now), world.engine.drain_record(), commands))
    for command in commands:
        world._obey(command)


def nothing_is_given_up(world: World) -> None:
    engine = world.engine
    assert engine._sight.recovering
    assert engine.report.group_ends().get("STUCK", 0) == 0
    assert all(o.instrument.startswith(AWAY) for o in engine._orders.unsettled())
    kept = engine._groups.away.keeps
    assert all(kept(group) for group in engine._groups.living.values())
    assert engine.waits_for_venues or engine.quiet


def known_again(world: World) -> None:
    began = world.now
    while world.engine._sight.recovering:
        world.live(100)
        assert world.now - began < 5_000 * MILLI, "not safe within five seconds"
    assert recovered(world).differences == ()


@pytest.mark.parametrize("seed", range(30))
def test_a_venue_that_is_away_for_a_minute_leaves_nothing_open_at_the_other(seed: int) -> None:
    dice = random.Random(seed)
    sent = dice.choice([0, 1, 99])
    world = killed_at(dice.randrange(20, 250), seed, (THIN, STORM)[seed % 2], sent=sent)
    had_clutch = world.engine.clutch
    a_start_without(world, "t2")
    sent_at_start = len(world.sent)
    world.live(5_000, 100)
    nothing_is_given_up(world)
    world.live(65_000, 500)  # longer than any patience of a group
    nothing_is_given_up(world)
    later = world.sent[sent_at_start:]
    assert not [c for c in later if isinstance(c, cmd.PlaceOrder) and concerns(c)]
    comes_back(world)
    known_again(world)
    assert world.engine.clutch == had_clutch
    everything_is_in_order(world)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(20_000, 500)
    books_balance(world)


@pytest.mark.parametrize("seed", range(12))
def test_killed_again_and_again_while_a_venue_is_away_the_last_start_ends_all_of_it(
    seed: int,
) -> None:
    dice = random.Random(seed)
    world = killed_at(dice.randrange(20, 250), seed, (THIN, STORM)[seed % 2], sent=99)
    for number in range(2, 6):
        a_start_without(world, f"t{number}")
        world.live(dice.choice([200, 400, 3_000, 40_000]), 200)
        assert world.engine.report.group_ends().get("STUCK", 0) == 0
    world.hooks.clear()
    restart(world, "t9")
    known_again(world)
    everything_is_in_order(world)


def test_the_deaths_above_do_leave_something_to_wait_for() -> None:
    waiting = 0
    for seed in range(30):
        dice = random.Random(seed)
        sent = dice.choice([0, 1, 99])
        world = killed_at(dice.randrange(20, 250), seed, (THIN, STORM)[seed % 2], sent=sent)
        a_start_without(world, "t2")
        world.live(5_000, 100)
        waiting += bool(world.engine._orders.unsettled() or world.engine.report.groups())
    assert waiting > 5


def test_who_is_away_is_told_and_nothing_new_is_begun_meanwhile() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    a_start_without(world, "t2")
    told = [d for d in world.decisions if isinstance(d, Alarmed) and d.kind == "recovery"]
    assert "without beta" in told[-1].text
    groups = world.engine.report.counts()["approved"]
    world.live(10_000, 500)
    assert world.engine.report.counts()["approved"] == groups
    comes_back(world)
    known_again(world)


def test_a_second_start_that_reaches_everybody_needs_no_second_begin() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    a_start_without(world, "t2")
    world.live(1_000)
    world.hooks.clear()
    restart(world, "t3")
    known_again(world)

"""Attempts: what never left is none, what can be done at the other venue is done there at once."""

from collections.abc import Callable

import msgspec
import pytest

from oneprice.core.strategy import Alarmed
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, GateSettings, LegSettings
from oneprice.model.units import SECOND, Nanos
from tests.build import World
from tests.core.test_groups import A, B, a_world, ask, no_liquidity, perps
from tests.core.test_maker import a_resting_world, hedges, maker

Holds = Callable[[cmd.PlaceOrder], bool]


def an_outbox_without_allowance(world: World, holds: Holds, reason: str = "rate_limited") -> None:
    """Orders wait there and never leave; a cancel takes them back."""
    waiting: dict[str, None] = {}

    def hook(command: cmd.AnyCommand) -> bool:
        if isinstance(command, cmd.PlaceOrder) and holds(command):
            waiting[command.order_id] = None
            return True
        if isinstance(command, cmd.CancelOrder | cmd.QueryOrder):
            held = command.order_id in waiting
            if held and isinstance(command, cmd.CancelOrder):
                no = ev.OrderRefused(
                    at=Nanos(0), order_id=command.order_id, reason=reason, text="never sent"
                )
                world.say(no, ms=1)
            return held
        return False

    world.hooks.append(hook)


def a_door_that_is_shut(world: World, shut: Holds, reason: str = "banned") -> None:
    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or not shut(command):
            return False
        world.say(ev.OrderRefused(at=Nanos(0), order_id=command.order_id, reason=reason), ms=1)
        return True

    world.hooks.append(hook)


@pytest.mark.parametrize("reason", ["rate_limited", "not_sent"])
def test_what_waited_in_vain_for_its_allowance_was_no_attempt(reason: str) -> None:
    """Half a minute of a calendar window that somebody else used up: ten ways back had been
    reckoned as tried after fifteen seconds, and the group was stuck."""
    world = a_world(perps())
    no_liquidity(world, B.id, 1)
    ask(world)
    end = world.now + 40 * SECOND
    an_outbox_without_allowance(world, lambda _: world.now < end, reason)
    world.live(50_000, 250)
    assert world.ends() in ({"HEDGED": 1}, {"FLAT": 1}) and world.engine.clutch == ""
    alarms = [d for d in world.decisions if isinstance(d, Alarmed) and d.kind == "unhedged"]
    assert len(alarms) == 1, "a person has been told"


def test_an_allowance_that_never_comes_back_ends_in_bounded_time() -> None:
    world = a_world(perps(), settings=EngineSettings(legs=LegSettings(waits_max=20)))
    no_liquidity(world, B.id, 1)
    ask(world)
    an_outbox_without_allowance(world, lambda _: True)
    world.live(60_000, 250)
    assert world.ends() == {"STUCK": 1} and "stuck" in world.engine.clutch


def test_a_leg_is_given_back_at_once_when_the_venue_of_the_other_one_bans_us() -> None:
    """It had waited two seconds for the ban to end."""
    world = a_world(perps())
    a_door_that_is_shut(world, lambda order: order.instrument == B.id)
    ask(world)
    world.live(1_000)
    assert world.ends() == {"FLAT": 1} and world.engine.clutch == ""
    assert world.engine.report.unhedged().longest_ms < 200


def test_what_cannot_be_given_back_to_a_venue_that_bans_us_is_completed_at_the_other() -> None:
    """Beta has no liquidity for a second, and alpha bans us for ten minutes meanwhile."""
    world = a_world(perps())
    no_liquidity(world, B.id, 3)
    ask(world)
    a_door_that_is_shut(world, lambda order: order.instrument == A.id)
    world.live(5_000)
    assert world.ends() == {"HEDGED": 1} and world.engine.clutch == ""
    assert world.engine.report.unhedged().longest_ms < 4_000


def test_after_a_kill_nothing_goes_forward_even_where_the_way_back_is_shut() -> None:
    world = a_world(perps())
    no_liquidity(world, B.id, 3)
    ask(world)
    a_door_that_is_shut(world, lambda order: order.instrument == A.id)
    world.live(300)
    sent = len(world.orders())
    world.tell(ev.KillRequested(at=Nanos(world.now), reason="test"))
    world.live(10_000, 250)
    assert {o.instrument for o in world.orders()[sent:]} == {A.id}


@pytest.mark.parametrize("reason", ["banned", "rate_limited"])
def test_exits_that_never_left_are_not_given_up_but_a_person_is_told(reason: str) -> None:
    """Five minutes of a ban: twelve exits had been used up within one, and none was left."""
    world = a_world(perps())
    ask(world)
    world.live(500)
    begun = world.now
    a_door_that_is_shut(world, lambda _: world.now - begun < 300 * SECOND, reason)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.turn()
    world.live(100_000, 500)
    assert world.engine.clutch == "" and world.engine.report.positions() != {}
    world.live(60_000, 500)
    assert "no exit has left" in world.engine.clutch
    world.live(160_000, 500)
    assert world.engine.report.positions() == {} and world.engine.quiet


def test_an_exit_asks_first_where_a_venue_has_lately_let_nothing_in() -> None:
    """Both legs at once would leave the one that filled alone for as long as the ban lasts."""
    world = a_world(perps(), settings=EngineSettings(gate=GateSettings(groups_per_pair_max=2)))
    ask(world)
    world.live(500)
    begun = world.now
    a_door_that_is_shut(
        world, lambda o: o.instrument == B.id and world.now - begun < 60 * SECOND
    )
    other = msgspec.structs.replace(perps(), pair="other")
    world.engine._strategies[0].intents = [other]  # type: ignore[attr-defined]
    ask(world)
    world.live(1_000)
    assert world.ends() == {"HEDGED": 1, "FLAT": 1}, "now we know that it is shut"
    sent = len(world.orders())
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.turn()
    world.live(50_000, 500)
    assert {o.instrument for o in world.orders()[sent:]} == {B.id}
    assert world.engine.report.positions() == {A.id: 10, B.id: -10}, "hedged all the time"
    world.live(30_000, 250)
    assert world.engine.report.positions() == {} and world.engine.clutch == ""
    assert world.engine.report.unhedged().longest_ms < 500


def test_an_order_that_still_rests_after_its_cancel_was_lost_is_cancelled_again() -> None:
    """Its venue lets no cancel in for forty seconds: the group is stuck, and nobody had ever
    tried again."""
    world, order_id = a_resting_world(maker(patience_ms=500))
    begun = world.now

    def lost(command: cmd.AnyCommand) -> bool:
        return isinstance(command, cmd.CancelOrder) and world.now - begun < 40 * SECOND

    world.hooks.append(lost)
    world.live(60_000, 250)
    assert not world.placed[order_id].resting
    assert world.ends() == {"STUCK": 1} and hedges(world) == []
    cancels = [c for c in world.sent if isinstance(c, cmd.CancelOrder)]
    assert len(cancels) < 20, "no faster than the questions"

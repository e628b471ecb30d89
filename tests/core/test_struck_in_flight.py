"""A position is taken from us while the entry that made it is still in flight."""

import msgspec

from oneprice.model import commands as cmd
from oneprice.model.units import Nanos
from tests.build import World
from tests.core.test_groups import A, B, a_world, ask, perps
from tests.core.test_groups_forced import liquidate


def half_sent() -> World:
    """The order to beta is lost on its way; alpha's leg is filled, and then taken from us."""
    world = a_world(perps())
    world.hooks.append(lambda c: isinstance(c, cmd.PlaceOrder) and c.instrument == B.id)
    ask(world)
    world.live(200)
    assert world.lots[A.id] == 10 and world.engine.report.groups()
    fill = liquidate(world)
    world.tell(msgspec.structs.replace(fill, at=Nanos(world.now)))
    world.turn()
    return world


def test_what_was_taken_is_not_given_back_once_more() -> None:
    world = half_sent()
    world.live(40_000, 200)
    assert world.engine.report.groups() == [] and world.engine.report.group_ends() == {"FLAT": 1}
    assert world.lots.get(A.id, 0) == 0 == world.lots.get(B.id, 0)
    assert world.engine.report.holdings() == []


def test_the_other_leg_is_given_back_where_it_was_filled_after_all() -> None:
    world = half_sent()
    world.hooks.clear()
    placed = next(c for c in world.orders() if c.instrument == B.id)
    world._obey(placed)
    world.live(40_000, 200)
    assert world.engine.report.groups() == [] and world.engine.report.group_ends() == {"FLAT": 1}
    assert world.lots.get(A.id, 0) == 0 == world.lots.get(B.id, 0)

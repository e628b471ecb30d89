"""Before the opening or after it: told by the venue's clock as the venue told it, not by ours."""

import msgspec
import pytest

from oneprice.app.reconcile_ours import ours
from oneprice.core.engine import Engine
from oneprice.core.strategy import Discrepancy
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.units import MILLI, Lots, Nanos, Side
from tests.build import D, World, a_ready_world
from tests.core.test_recall import read_back
from tests.core.test_statement import A, B, a_fill, funding, profit

MINUTE_MS = 60_000


def a_world(ahead_ms: int) -> World:
    """The venue's clock differs from ours by so much; nobody knows yet."""
    world = a_ready_world([A, B], [])
    world.ahead_ms = ahead_ms  # type: ignore[attr-defined]
    world.hooks.append(lambda c: type(c).__name__ in ("QueryFills", "QueryStatement"))
    return world


def clock_told(world: World) -> None:
    now_ms = world.now // MILLI + world.ahead_ms  # type: ignore[attr-defined]
    since_ms = now_ms - 10 * MINUTE_MS
    told = ev.FillsTold(
        at=Nanos(world.now), venue="alpha", market="linear", since_ms=since_ms, until_ms=now_ms - 5
    )
    world.tell(told)


def there_ms(world: World, ago_ms: int = 0) -> int:
    return world.now // MILLI + world.ahead_ms - ago_ms  # type: ignore[attr-defined,no-any-return]


def is_recalled(world: World) -> None:
    fresh = Engine(world.settings, [], {}, Tripwires(), "t2")
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    assert fresh._ledger._balances == world.engine._ledger._balances
    mine = ours(world.settings, [read_back(entry)[1] for entry in world.journal])
    assert {p: n for p, n in mine.closings.items() if n} == {
        p: n for p, n in world.engine.report.balances().items() if n
    }


@pytest.mark.parametrize("ahead_ms", [-10 * MINUTE_MS, -MINUTE_MS, 0, MINUTE_MS])
def test_a_settlement_of_the_first_seconds_counts_whatever_the_clocks_say(ahead_ms: int) -> None:
    world = a_world(ahead_ms)
    world.run(2_000)
    world.tell(funding(world, "r1", "-3", venue_ms=there_ms(world)))
    clock_told(world)
    assert profit(world) == {"funding": -3}
    world.tell(funding(world, "r1", "-3", venue_ms=there_ms(world)))
    assert profit(world) == {"funding": -3}, "once"
    is_recalled(world)


@pytest.mark.parametrize("ahead_ms", [-10 * MINUTE_MS, -MINUTE_MS, 0, MINUTE_MS])
def test_a_settlement_from_before_the_opening_is_in_it_whatever_the_clocks_say(
    ahead_ms: int,
) -> None:
    world = a_world(ahead_ms)
    clock_told(world)
    world.tell(funding(world, "r1", "-3", venue_ms=there_ms(world, 5_000)))
    assert profit(world) == {}
    is_recalled(world)


def test_a_settlement_waits_where_a_clock_that_nobody_told_may_be_behind() -> None:
    world = a_world(0)
    world.tell(funding(world, "old", "-3", venue_ms=there_ms(world, 5_000)))
    assert profit(world) == {}
    clock_told(world)
    assert profit(world) == {}
    is_recalled(world)


@pytest.mark.parametrize("ahead_ms", [-MINUTE_MS, 0])
def test_a_liquidation_of_the_first_seconds_counts_whatever_the_clocks_say(ahead_ms: int) -> None:
    world = a_world(ahead_ms)
    world.run(1_000)
    fill = a_fill(
        world, 1, Side.BUY, "60000", lots=Lots(4), cause="liquidation", venue_ms=there_ms(world)
    )
    for _ in range(2):
        world.tell(fill)
    clock_told(world)
    world.tell(msgspec.structs.replace(fill, at=Nanos(world.now)))
    assert world.engine.report.positions() == {A.id: 4}
    named = [d.kind for d in world.decisions if isinstance(d, Discrepancy)]
    assert named == ["fill"] and world.engine.clutch
    is_recalled(world)


@pytest.mark.parametrize("ahead_ms", [-MINUTE_MS, 0, MINUTE_MS])
def test_a_strangers_fill_from_before_the_opening_is_in_it(ahead_ms: int) -> None:
    world = a_world(ahead_ms)
    if ahead_ms > 0:
        clock_told(world)
    world.tell(a_fill(world, 1, Side.BUY, "60000", venue_ms=there_ms(world, 5_000)))
    clock_told(world)
    assert world.engine.report.positions() == {} and world.engine.clutch == ""
    is_recalled(world)


def test_whether_an_acceptance_has_a_fill_is_told_by_the_same_clock() -> None:
    world = a_world(-MINUTE_MS)
    clock_told(world)
    world.lots[A.id], world.cost[A.id] = 4, D(60_000)
    world.run(80_000)
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    assert world.engine.report.positions() == {A.id: 4}
    world.tell(a_fill(world, 1, Side.BUY, "60000", venue_ms=there_ms(world, 5_000)))
    assert world.engine.report.positions() == {A.id: 4}, "what was accepted has it"
    world.run(1_000)
    world.tell(a_fill(world, 2, Side.BUY, "60000", venue_ms=there_ms(world)))
    assert world.engine.report.positions() == {A.id: 7}

"""Unhedged time: measured from fills, told after its limit, and ended by force."""

import msgspec
import pytest

from oneprice.core.strategy import Alarmed, GroupMoved
from oneprice.core.unhedged import BUCKETS_MS, Unhedged
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, LegSettings
from oneprice.model.units import MILLI, SECOND, Nanos, Side
from tests.build import D, Placed, World
from tests.core.test_groups import A, B, a_world, ask, moves, no_liquidity, perps


class Clock(msgspec.Struct):
    now: Nanos = Nanos(0)


def spans(*lengths_ms: int) -> Unhedged:
    clock = Clock()
    measured = Unhedged(LegSettings(), clock)  # type: ignore[arg-type]
    for number, length in enumerate(lengths_ms):
        name = f"g{number}"
        measured.look(name, name, lopsided=True)
        clock.now = Nanos(clock.now + length * MILLI)
        measured.look(name, name, lopsided=False)
    return measured


def test_the_histogram_counts_every_span_once_and_names_the_longest() -> None:
    report = spans(0, 10, 11, 700, 40_000, 3).report()
    counts = dict(report.histogram)
    assert (counts[10], counts[25], counts[1_000], counts[None]) == (3, 1, 1, 1)
    assert sum(counts.values()) == report.count == 6
    assert (report.longest_ms, report.longest_group) == (40_000, "g4")
    assert report.total_ms == 40_724 and report.running_ms == {}
    assert [bound for bound, _ in report.histogram] == [*BUCKETS_MS, None]


def test_looking_twice_at_the_same_thing_changes_nothing() -> None:
    measured = spans()
    assert len(measured.look("r", "g", lopsided=True)) == 1
    assert measured.look("r", "g2", lopsided=True) == []
    assert len(measured.look("r", "g2", lopsided=False)) == 1
    assert measured.look("r", "g2", lopsided=False) == []
    assert measured.report().longest_group in ("", "g")


def late_fills(world: World, instrument: str, ms: int) -> None:
    """An instrument whose orders are executed, and told so much later."""

    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != instrument:
            return False
        placed = world.placed[command.order_id] = Placed(command)
        world.say(*world.execute(placed), ms=ms)
        return True

    world.hooks.append(hook)


def alarms(world: World) -> list[Alarmed]:
    return [d for d in world.decisions if isinstance(d, Alarmed)]


def test_the_time_between_the_fills_of_two_legs_is_measured() -> None:
    world = a_world(perps())
    late_fills(world, B.id, 120)
    ask(world)
    world.live(500)
    report = world.engine.report.unhedged()
    assert report.count == 1 and report.longest_ms == 100 and report.longest_group == "t1g1"
    assert dict(report.histogram)[100] == 1 and alarms(world) == []


def test_legs_that_fill_at_once_and_a_rest_below_a_lot_are_not_unhedged() -> None:
    world = a_world(perps())
    ask(world)
    world.live(500)
    assert world.engine.report.unhedged().longest_ms == 0


def test_a_missed_leg_is_unhedged_until_the_chase_fills() -> None:
    world = a_world(perps())
    no_liquidity(world, B.id, 2)
    ask(world)
    world.live(1_000)
    assert world.ends() == {"HEDGED": 1}
    # Two answers of 20 ms each, and the pause after the chase that found nothing.
    assert world.engine.report.unhedged().longest_ms == 190


def silence(world: World, instrument: str) -> None:
    """Nobody hears what became of the orders in an instrument."""
    silent = (cmd.PlaceOrder, cmd.QueryOrder, cmd.CancelOrder)
    ids: dict[str, None] = {}

    def hook(command: cmd.AnyCommand) -> bool:
        if isinstance(command, cmd.PlaceOrder) and command.instrument == instrument:
            ids[command.order_id] = None
        return isinstance(command, silent) and command.order_id in ids

    world.hooks.append(hook)


def test_a_person_is_told_once_after_two_seconds() -> None:
    world = a_world(perps())
    silence(world, B.id)
    ask(world)
    sent = world.now
    world.live(1_900)
    assert alarms(world) == []
    world.live(20_000)
    (alarm,) = alarms(world)
    assert (alarm.kind, alarm.subject) == ("unhedged", "t1g1")
    assert alarm.at - sent == 2_020 * MILLI
    assert world.engine.report.unhedged().alarms == 1
    assert world.engine.report.unhedged().running_ms["t1g1"] > 20_000


def test_in_calm_weather_nobody_is_told() -> None:
    world = a_world(perps())
    ask(world)
    world.live(30_000, 500)
    assert alarms(world) == [] and world.ends() == {"HEDGED": 1}


def test_a_group_that_is_unhedged_for_too_long_gives_back_instead_of_chasing_on() -> None:
    """Thirty chases would be allowed; after ten seconds the way back is taken all the same."""
    legs = LegSettings(chases_max=30, pause_ms=400)
    world = a_world(perps(), settings=EngineSettings(legs=legs))
    no_liquidity(world, B.id, 99)
    ask(world)
    world.live(30_000)
    assert world.ends() == {"FLAT": 1} and world.engine.report.positions() == {}
    back = next(d for d in world.decisions if isinstance(d, GroupMoved) and d.signal == "SPENT")
    first = next(d for d in world.decisions if isinstance(d, GroupMoved))
    assert 9_900 * MILLI <= back.at - first.at <= 10_100 * MILLI
    assert world.engine.report.unhedged().longest_ms < 10_200


def test_without_the_force_the_same_group_would_chase_for_longer() -> None:
    legs = LegSettings(chases_max=30, pause_ms=400, unhedged_ms_max=10**9)
    world = a_world(perps(), settings=EngineSettings(legs=legs))
    no_liquidity(world, B.id, 99)
    ask(world)
    world.live(15_000)
    assert "SPENT:UNWINDING" not in moves(world)


def test_the_policy_hold_is_told_and_left_to_a_person() -> None:
    legs = LegSettings(half_filled="hold")
    world = a_world(perps(), settings=EngineSettings(legs=legs))
    no_liquidity(world, B.id, 1)
    ask(world)
    world.live(30_000, 500)
    assert world.ends() == {"STUCK": 1} and world.engine.report.positions() == {A.id: 10}
    assert [a.kind for a in alarms(world)] == ["unhedged"]
    assert world.engine.report.unattended() == [], "the clutch is open: somebody knows"


@pytest.mark.parametrize(
    ("policy", "end", "longest_ms"),
    [("complete", "FLAT", 2_000), ("unwind", "FLAT", 100), ("hold", "STUCK", 0)],
)
def test_each_policy_ends_a_missed_leg_within_its_time(
    policy: str, end: str, longest_ms: int
) -> None:
    """complete: two chases, pauses and the way back; unwind: the way back at once."""
    legs = msgspec.convert({"half_filled": policy}, LegSettings)
    world = a_world(perps(), settings=EngineSettings(legs=legs))
    no_liquidity(world, B.id, 99)
    ask(world)
    world.live(5_000)
    assert world.ends() == {end: 1}
    report = world.engine.report.unhedged()
    if policy == "hold":
        assert world.engine.report.positions() == {A.id: 10} and "stuck" in world.engine.clutch
        assert report.running_ms["t1g1"] > 4_000
        assert len(world.orders()) == 2, "nothing more was sent"
    else:
        assert world.engine.report.positions() == {} and world.engine.clutch == ""
        assert 0 < report.longest_ms <= longest_ms and report.running_ms == {}


def test_a_stuck_group_whose_order_is_found_in_the_end_is_given_back() -> None:
    """Thirty seconds nobody knew; then the missing leg turns out not to be there."""
    world = a_world(perps())
    silence(world, B.id)
    ask(world)
    world.live(40_000, 500)
    assert world.ends() == {"STUCK": 1} and world.engine.report.positions() == {A.id: 10}
    order = world.orders()[1]
    assert order.instrument == B.id
    end = ev.OrderEnded(
        at=Nanos(world.now), order_id=order.order_id, filled_lots=order.lots, reason="x"
    )
    world.tell(msgspec.structs.replace(end, filled_lots=end.filled_lots * 0))
    world.live(2_000)
    assert world.engine.report.positions() == {} and world.engine.report.holdings() == []
    exits = [o for o in world.orders() if o.reduce_only]
    assert [(o.instrument, o.lots) for o in exits] == [(A.id, 10)]
    assert world.engine.report.unhedged().running_ms == {}


def test_a_liquidated_leg_is_unhedged_until_the_other_one_is_closed() -> None:
    world = a_world(perps())
    ask(world)
    world.live(500)
    world.lots[A.id] = 0
    world.tell(
        ev.OrderFilled(
            at=Nanos(world.now), order_id="", instrument=A.id, fill_id="liq", side=Side.SELL,
            ticks=A.ticks("59000"), lots=perps().legs[0].lots, fee=D(0), fee_asset="USDT",
            cause="liquidation",
        )
    )  # fmt: skip
    since = world.now
    assert list(world.engine.report.unhedged().running_ms) == ["t1g1"]
    world.live(3_000)
    assert world.engine.report.positions() == {} and world.engine.report.holdings() == []
    report = world.engine.report.unhedged()
    assert report.running_ms == {} and 0 < report.longest_ms < 1_000
    assert world.now - since < 4 * SECOND

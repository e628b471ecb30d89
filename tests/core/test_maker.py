"""A leg that rests: every part of it that fills is hedged at once, until it is surely gone."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.core.orders import OrderState
from oneprice.core.strategy import GroupMoved, Intent
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, LegSettings
from oneprice.model.units import MILLI, SECOND, Nanos, Side
from tests.build import D, Faults, World, a_card, a_leg, an_intent
from tests.core.test_groups import (
    SPOT,
    A,
    B,
    a_world,
    ask,
    moves,
    no_liquidity,
    settled_with_the_venue,
)


def maker(lots: int = 10, patience_ms: int = 2_000, **more: Any) -> Intent:
    """Rest on alpha at its bid, sell on beta what is filled there."""
    return an_intent(
        a_leg(A, Side.BUY, 599_990, lots, time_in_force=cmd.TimeInForce.POST_ONLY),
        a_leg(B, Side.SELL, 599_990, lots),
        card=a_card("1", str(60 * lots)),
        patience=Nanos(patience_ms * MILLI),
        **more,
    )


def resting(world: World) -> str:
    """The id of the order that rests."""
    order_id: str = world.orders()[0].order_id
    assert world.placed[order_id].resting
    return order_id


def a_resting_world(intent: Intent | None = None, **legs: Any) -> tuple[World, str]:
    chosen = EngineSettings(legs=LegSettings(**legs))
    world = a_world(intent or maker(), settings=chosen)
    ask(world)
    world.run(50)
    return world, resting(world)


def hedges(world: World) -> list[int]:
    return [o.lots for o in world.orders() if o.instrument == B.id]


def test_the_leg_that_rests_is_placed_alone_and_first() -> None:
    world, order_id = a_resting_world()
    (order,) = world.orders()
    assert order.time_in_force is cmd.TimeInForce.POST_ONLY and order.order_id == order_id
    assert [g.state for g in world.engine.report.groups()] == ["RESTING"]


def test_every_partial_fill_is_hedged_at_once() -> None:
    world, order_id = a_resting_world()
    for lots in (3, 1, 6):
        world.take(order_id, lots)
        heard = world.now + 20 * MILLI
        world.run(20)
        assert world.orders()[-1].lots == lots and world.now == heard
        world.live(300)
    assert hedges(world) == [3, 1, 6] and world.ends() == {"HEDGED": 1}
    assert world.engine.report.positions() == {A.id: 10, B.id: -10}
    assert world.engine.report.unhedged().longest_ms == 20
    assert world.engine.report.profit()["legging"] == 0, "it was the plan"
    settled_with_the_venue(world)


def test_a_second_fill_does_not_wait_for_the_hedge_of_the_first() -> None:
    world, order_id = a_resting_world()
    world.take(order_id, 3)
    world.take(order_id, 4, ms=25)
    world.run(30)
    assert hedges(world) == [3, 4], "what is on its way is reckoned with, not waited for"
    world.live(3_000)
    assert world.ends() == {"HEDGED": 1}
    assert world.engine.report.positions() == {A.id: 7, B.id: -7}


def test_what_is_not_filled_is_cancelled_when_the_patience_is_over() -> None:
    world, order_id = a_resting_world()
    world.take(order_id, 4)
    world.live(3_000)
    cancels = [c for c in world.sent if isinstance(c, cmd.CancelOrder)]
    assert [c.order_id for c in cancels] == [order_id]
    assert moves(world) == [
        "FILLING:RESTING", "DEADLINE:PULLING", "BALANCED:HEDGED",
    ]  # fmt: skip
    assert world.engine.report.positions() == {A.id: 4, B.id: -4}
    settled_with_the_venue(world)


def test_nothing_filled_is_flat_and_nothing_else_was_sent() -> None:
    world, _ = a_resting_world()
    world.live(3_000)
    assert world.ends() == {"FLAT": 1} and len(world.orders()) == 1


def test_a_fill_that_arrives_during_the_cancel_is_hedged_as_well() -> None:
    """The cancel is on its way, a fill crosses it; hummingbot #2501 forgot the hedge."""
    world, order_id = a_resting_world()

    def hook(command: cmd.AnyCommand) -> bool:
        if isinstance(command, cmd.CancelOrder):
            world.take(order_id, 5, ms=10)
            world._cancel(order_id)
            return True
        return False

    world.hooks.append(hook)
    world.live(3_000)
    assert hedges(world) == [5] and world.ends() == {"HEDGED": 1}
    assert moves(world) == ["DEADLINE:PULLING", "FILLING:PULLING", "BALANCED:HEDGED"]
    settled_with_the_venue(world)


def test_a_fill_that_only_the_answer_to_a_question_tells_is_hedged() -> None:
    world, order_id = a_resting_world()
    world.take(order_id, 5, silent=True)
    world.live(4_000)
    assert hedges(world) == [5] and world.ends() == {"HEDGED": 1}


def test_a_part_too_small_to_hedge_waits_for_more() -> None:
    """One lot of beta is a thousandth of a coin; a tenth of it is nothing."""
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 5_999_900, 10_000, time_in_force=cmd.TimeInForce.GTC),
        a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
        patience=Nanos(5 * SECOND),
    )
    world, order_id = a_resting_world(intent)
    world.take(order_id, 100)
    world.live(300)
    assert hedges(world) == [] and world.engine.report.unhedged().count <= 1
    world.take(order_id, 900)
    world.live(300)
    assert hedges(world) == [1]


def test_a_hedge_that_finds_nothing_ends_the_resting_and_is_tried_again() -> None:
    world, order_id = a_resting_world(maker(patience_ms=60_000))
    no_liquidity(world, B.id, 2)
    world.take(order_id, 4)
    world.live(3_000)
    assert [c.order_id for c in world.sent if isinstance(c, cmd.CancelOrder)] == [order_id]
    assert world.ends() == {"HEDGED": 1}
    assert world.engine.report.positions() == {A.id: 4, B.id: -4}
    settled_with_the_venue(world)


def test_what_cannot_be_hedged_at_all_is_given_back() -> None:
    world, order_id = a_resting_world()
    no_liquidity(world, B.id, 99)
    world.take(order_id, 4)
    world.live(10_000)
    assert world.ends() == {"FLAT": 1} and world.engine.report.positions() == {}
    assert world.engine.clutch == "" and len(world.orders()) < 12
    settled_with_the_venue(world)


@pytest.mark.parametrize("policy", ["unwind", "hold"])
def test_hedging_a_resting_leg_is_the_plan_whatever_the_policy_for_missed_legs(
    policy: str,
) -> None:
    world, order_id = a_resting_world(half_filled=policy)
    world.take(order_id, 10)
    world.live(1_000)
    assert hedges(world) == [10] and world.ends() == {"HEDGED": 1}


def test_no_second_hedge_while_the_outcome_of_the_first_is_not_known() -> None:
    world, order_id = a_resting_world(maker(patience_ms=60_000))
    silent = (cmd.PlaceOrder, cmd.QueryOrder)
    first: list[str] = []

    def hook(command: cmd.AnyCommand) -> bool:
        if isinstance(command, cmd.PlaceOrder) and command.instrument == B.id and not first:
            first.append(command.order_id)
            unsure = ev.OrderUncertain(at=Nanos(0), order_id=command.order_id, reason="timeout")
            world.say(unsure)
            return True
        return isinstance(command, silent) and command.order_id in first

    world.hooks.append(hook)
    world.take(order_id, 3)
    world.live(500)
    world.take(order_id, 3)
    world.live(1_500)
    assert hedges(world) == [3], "the venue is asked, not sent more"
    for _ in range(5):
        world.tell(ev.OrderMissing(at=Nanos(world.now), order_id=first[0]))
        world.live(1_000)
    assert hedges(world)[1:] == [6]


def test_an_open_clutch_cancels_what_rests() -> None:
    world, order_id = a_resting_world(maker(patience_ms=60_000))
    world.take(order_id, 3)
    world.live(200)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="broken", failed=True))
    world.turn()
    assert [c.order_id for c in world.sent if isinstance(c, cmd.CancelOrder)] == [order_id]
    world.live(5_000)
    assert world.engine.report.positions() == {}, "and the stop closed what it had filled"


def test_an_unhedged_group_that_rests_too_long_is_pulled() -> None:
    world, order_id = a_resting_world(maker(patience_ms=60_000), unhedged_ms_max=3_000)
    world.take(order_id, 3)
    world.books[B.id].lose()
    world.live(200)
    rests = [o for o in world.engine._orders.unsettled() if o.state is OrderState.LIVE]
    assert rests == [], "without a book to hedge in nothing may go on resting"
    world.live(5_000)
    assert world.ends() == {"FLAT": 1} and world.engine.report.positions() == {}


def test_an_exit_may_rest_too() -> None:
    world, order_id = a_resting_world()
    world.take(order_id, 10)
    world.live(500)
    (holding,) = world.engine.report.holdings()
    script: Any = world.engine._strategies[0]
    script.intents = [
        an_intent(
            a_leg(
                A, Side.SELL, 600_010, 10, reduce_only=True,
                time_in_force=cmd.TimeInForce.POST_ONLY,
            ),
            a_leg(B, Side.BUY, 600_010, 10, reduce_only=True),
            card=a_card("1", "600"),
            patience=Nanos(2 * SECOND),
            closes=holding.id,
        )
    ]  # fmt: skip
    ask(world)
    world.run(50)
    exit_id = world.orders()[-1].order_id
    world.take(exit_id, 4)
    world.live(100)
    assert (world.orders()[-1].instrument, world.orders()[-1].lots) == (B.id, 4)
    assert world.orders()[-1].reduce_only
    world.live(4_000)
    assert world.engine.report.positions() == {A.id: 6, B.id: -6}
    assert [leg.lots for leg in world.engine.report.holdings()[0].legs] == [6, -6]
    settled_with_the_venue(world)


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 700), st.booleans()), max_size=5
    ),
    seed=st.integers(0, 10_000),
    foul=st.booleans(),
)
def test_in_any_weather_what_a_resting_leg_filled_is_hedged_or_given_back_in_bounded_time(
    parts: list[tuple[int, int, bool]], seed: int, foul: bool
) -> None:
    world, order_id = a_resting_world(maker(lots=20))
    world.dice = random.Random(seed)
    if foul:
        world.faults = Faults(
            lost_request=0.1, lost_answer=0.1, refused=0.1, doubled=0.2, partial=0.3,
            missed=0.2, late_ms_max=60,
        )  # fmt: skip
    for lots, pause, silent in parts:
        if world.placed[order_id].resting:
            world.take(order_id, lots, silent=silent)
        world.live(pause)
    world.faults = Faults()
    world.live(45_000, 300)
    report = world.engine.report
    assert report.groups() == [] and report.unattended() == []
    assert not world.placed[order_id].resting
    ids = [order.order_id for order in world.orders()]
    assert len(ids) == len(set(ids))
    settled_with_the_venue(world)
    if world.engine.clutch == "":
        assert sum(report.positions().values()) == 0
    if not foul:
        assert world.engine.clutch == ""
        filled = world.placed[order_id].filled
        assert report.positions() == ({A.id: filled, B.id: -filled} if filled else {})


def test_the_moves_of_a_resting_group_are_told() -> None:
    world, order_id = a_resting_world()
    world.take(order_id, 10)
    world.live(500)
    told = [(d.before, d.action) for d in world.decisions if isinstance(d, GroupMoved)]
    assert told == [("RESTING", "SEND_HEDGE"), ("RESTING", "NOTHING")]
    assert D(0) == world.engine.report.residual()

"""Leg groups at work: half-filled trades, unknown orders, pauses, dust, and money that fits."""

from collections.abc import Callable

import pytest

from oneprice.core.strategy import Discrepancy, GroupMoved, Intent, IntentJudged
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, LegSettings, ReconcileSettings
from oneprice.model.units import MILLI, SECOND, Lots, Nanos, Side
from tests.build import (
    D,
    Faults,
    Placed,
    Script,
    World,
    a_card,
    a_leg,
    a_perp,
    a_ready_world,
    a_spot,
    an_intent,
)

A, B = a_perp("alpha"), a_perp("beta")
SPOT = a_spot("alpha")


def perps(lots: int = 10) -> Intent:
    """Buy on alpha, sell on beta, at the books of a ready world (59999 | 60001)."""
    return an_intent(
        a_leg(A, Side.BUY, 600_010, lots),
        a_leg(B, Side.SELL, 599_990, lots),
        card=a_card("1", str(60 * lots)),
    )


def a_world(*intents: Intent, settings: EngineSettings | None = None) -> World:
    script = Script()
    world = a_ready_world([A, B, SPOT], [script], settings=settings)
    script.intents = list(intents)
    return world


def ask(world: World) -> None:
    """Make the engine ask its strategies."""
    due = Nanos(len(world.steps))  # another one every time, so that it is news
    world.tell(ev.FundingForecast(at=Nanos(world.now), instrument=A.id, rate=D(0), due=due))
    world.turn()


def no_liquidity(world: World, instrument: str, times: int) -> None:
    """The next orders in an instrument find nothing."""
    left = [times]

    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != instrument:
            return False
        if left[0] <= 0:
            return False
        left[0] -= 1
        world.say(
            ev.OrderEnded(
                at=Nanos(0), order_id=command.order_id, filled_lots=Lots(0), reason="cancelled"
            )
        )
        return True

    world.hooks.append(hook)


def moves(world: World) -> list[str]:
    return [f"{d.signal}:{d.after}" for d in world.decisions if isinstance(d, GroupMoved)]


def settled_with_the_venue(world: World) -> None:
    ledger = world.engine.report
    for key, amount in world.money.items():
        assert abs(ledger.balances().get(key, D(0)) - amount) < D("1e-9"), key
    assert ledger.positions() == {i: n for i, n in world.lots.items() if n}
    assert ledger.residual() == 0


def test_both_legs_filled_is_hedged() -> None:
    world = a_world(perps())
    ask(world)
    world.live(500)
    assert moves(world) == ["BALANCED:HEDGED"]
    settled_with_the_venue(world)


def test_neither_leg_filled_is_flat() -> None:
    world = a_world(perps())
    no_liquidity(world, A.id, 1)
    no_liquidity(world, B.id, 1)
    ask(world)
    world.live(500)
    assert moves(world) == ["EMPTY:FLAT"]
    assert world.engine.report.holdings() == []


def test_a_missed_leg_is_chased() -> None:
    world = a_world(perps())
    no_liquidity(world, B.id, 1)
    ask(world)
    world.live(1_000)
    assert moves(world) == ["LOPSIDED:CHASING", "BALANCED:HEDGED"]
    chase = world.orders()[-1]
    assert (chase.instrument, chase.side, chase.lots) == (B.id, Side.SELL, 10)
    assert chase.priority is cmd.Priority.HEDGE and not chase.reduce_only
    settled_with_the_venue(world)


def test_a_leg_that_cannot_be_had_is_given_back() -> None:
    world = a_world(perps())
    no_liquidity(world, B.id, 99)
    ask(world)
    world.live(3_000)
    assert world.ends() == {"FLAT": 1}
    back = world.orders()[-1]
    assert (back.instrument, back.side, back.reduce_only) == (A.id, Side.SELL, True)
    assert back.priority is cmd.Priority.UNWIND
    assert world.engine.clutch == "" and world.engine.report.positions() == {}
    profit = world.engine.report.profit()
    assert profit["basis"] == 0 and profit["slippage"] == 0 and profit["legging"] == D("-0.02")
    settled_with_the_venue(world)


def test_the_policy_unwind_does_not_chase() -> None:
    legs = LegSettings(half_filled="unwind")
    world = a_world(perps(), settings=EngineSettings(legs=legs))
    no_liquidity(world, B.id, 1)
    ask(world)
    world.live(1_000)
    assert moves(world) == ["SPENT:UNWINDING", "EMPTY:FLAT"]


def test_the_policy_hold_leaves_it_to_a_person() -> None:
    legs = LegSettings(half_filled="hold")
    world = a_world(perps(), settings=EngineSettings(legs=legs))
    no_liquidity(world, B.id, 1)
    ask(world)
    world.live(1_000)
    assert moves(world) == ["HOPELESS:STUCK"]
    assert "stuck" in world.engine.clutch


def test_a_group_that_can_do_nothing_is_stuck_in_bounded_time_and_opens_the_clutch() -> None:
    world = a_world(perps(), perps())
    no_liquidity(world, B.id, 99)
    ask(world)
    world.run(10)
    no_liquidity(world, A.id, 99)
    world.live(60_000)
    assert world.ends() == {"STUCK": 1}
    assert world.engine.clutch
    assert len(world.orders()) <= 2 + 12


def test_an_open_clutch_refuses_new_risk_until_a_person_closes_it() -> None:
    world = a_world(perps())
    world.tell(
        ev.OrderFilled(
            at=Nanos(world.now),
            order_id="not-ours",
            instrument=A.id,
            fill_id="x1",
            side=Side.BUY,
            ticks=A.ticks("60000"),
            lots=Lots(3),
            fee=D(0),
            fee_asset="USDT",
        )
    )
    assert [d.kind for d in world.decisions if isinstance(d, Discrepancy)] == ["fill"]
    assert world.engine.report.positions() == {A.id: 3}
    ask(world)
    assert world.orders() == []
    assert world.engine.report.refusals() == {"clutch_is_closed": 1}
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    script = world.engine._strategies[0]
    assert isinstance(script, Script)
    script.intents = [perps()]
    ask(world)
    assert len(world.orders()) == 2


def test_a_lost_request_is_asked_for_and_only_then_given_up() -> None:
    world = a_world(perps())
    world.hooks.append(_lose(world, B.id, lives=False))
    ask(world)
    world.live(1_500)
    assert moves(world) == ["DEADLINE:PULLING"]  # one "no such order" is not believed
    world.live(6_000)
    assert world.ends() == {"HEDGED": 1}
    assert len({o.order_id for o in world.orders()}) == len(world.orders()) == 3
    settled_with_the_venue(world)


def test_a_lost_answer_is_recovered_and_nothing_is_sent_twice() -> None:
    world = a_world(perps())
    world.hooks.append(_lose(world, B.id, lives=True))
    ask(world)
    world.live(3_000)
    assert world.ends() == {"HEDGED": 1}
    assert len(world.orders()) == 2
    settled_with_the_venue(world)


def _lose(
    world: World, instrument: str, *, lives: bool
) -> Callable[[cmd.AnyCommand], bool]:
    """The first order in an instrument: nobody hears what became of it."""
    seen: list[str] = []

    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != instrument or seen:
            return False
        seen.append(command.order_id)
        if lives:
            placed = world.placed[command.order_id] = Placed(command)
            world.execute(placed)
        unsure = ev.OrderUncertain(at=Nanos(0), order_id=command.order_id, reason="timeout")
        world.say(unsure, ms=100)
        return True

    return hook


def test_no_new_risk_in_an_instrument_with_an_unknown_order() -> None:
    world = a_world(perps())
    world.hooks.append(_lose(world, B.id, lives=False))
    ask(world)
    world.run(300)
    script = world.engine._strategies[0]
    assert isinstance(script, Script)
    script.intents = [perps()]
    ask(world)
    verdicts = [d.refused_by for d in world.decisions if isinstance(d, IntentJudged)]
    assert verdicts == ["", "instruments_are_free"]


def test_pulling_does_not_begin_before_the_patience_of_the_intent() -> None:
    world = a_world(perps())
    world.hooks.append(lambda c: isinstance(c, cmd.PlaceOrder))
    ask(world)
    sent_at = world.now
    world.live(3_000)
    pulled = next(d for d in world.decisions if isinstance(d, GroupMoved))
    assert pulled.signal == "DEADLINE"
    assert 400 * MILLI <= pulled.at - sent_at < 500 * MILLI


def test_venues_that_never_answer_leave_the_group_stuck_after_the_pulling_patience() -> None:
    world = a_world(perps())
    silent = (cmd.PlaceOrder, cmd.QueryOrder, cmd.CancelOrder)
    world.hooks.append(lambda c: isinstance(c, silent))
    ask(world)
    world.live(40_000, 500)
    assert moves(world) == ["DEADLINE:PULLING", "DEADLINE:STUCK"]
    assert world.engine.clutch and not world.engine.quiet


def test_an_unreadable_book_pauses_the_repair_until_the_book_is_back() -> None:
    world = a_world(perps())
    no_liquidity(world, B.id, 1)
    ask(world)
    world.books[B.id].lose()
    world.tell(ev.FeedLost(at=Nanos(world.now), instrument=B.id, reason="gap"))
    world.run(60)
    assert len(world.orders()) == 2
    world.quote(B, "59999", "60001")
    world.run(1_000)
    assert world.ends() == {"HEDGED": 1}


def test_a_book_far_from_its_mark_is_not_chased_into() -> None:
    world = a_world(perps())
    no_liquidity(world, B.id, 1)
    ask(world)
    world.quote(B, "50000", "50002")
    world.tell(ev.Marked(at=Nanos(world.now), instrument=B.id, mark=D(60_000)))
    world.run(5_000)
    assert [o for o in world.orders() if o.instrument == B.id][1:] == []


def test_a_fee_in_the_coin_is_part_of_the_delta() -> None:
    """Ten thousandths bought, of which the fee keeps five millionths: that much is missing."""
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_000),
        a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )
    world = a_world(intent)
    ask(world)
    world.live(500)
    assert moves(world) == ["BALANCED:HEDGED"]
    holding = world.engine.report.holdings()[0]
    assert [leg.lots for leg in holding.legs] == [9_995, -10]
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="test"))
    world.live(2_000)
    assert world.engine.report.positions() == {}
    assert world.engine.report.dust() == {}  # what the entry lacked, the exit did not sell


def test_a_partly_filled_spot_leg_is_chased_to_the_last_tradable_lot() -> None:
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_005),
        a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )
    world = a_world(intent)
    world.faults = Faults(partial=1.0)
    world.dice.seed(4)
    ask(world)
    world.run(15)
    world.faults = Faults()
    world.live(2_000)
    assert world.ends() == {"HEDGED": 1}
    assert abs(world.engine._sight.asset_net("BTC")) * 60_000 < 5
    settled_with_the_venue(world)


def test_dust_beyond_its_limit_opens_the_clutch() -> None:
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_005),
        a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )
    tight = EngineSettings(legs=LegSettings(dust_max=D("0.0000001")))
    world = a_world(intent, settings=tight)
    ask(world)
    world.live(500)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="test"))
    world.live(2_000)
    assert world.engine.clutch.startswith("dust of")


def test_a_half_filled_exit_is_completed_and_never_opened_again() -> None:
    world = a_world(perps())
    ask(world)
    world.live(500)
    no_liquidity(world, B.id, 4)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="test"))
    world.live(8_000)
    exits = world.orders()[2:]
    assert all(o.reduce_only for o in exits)
    assert {(o.instrument, o.side) for o in exits} == {(A.id, Side.SELL), (B.id, Side.BUY)}
    assert world.engine.report.positions() == {} and world.engine.clutch == ""
    settled_with_the_venue(world)


def test_a_late_fill_of_a_stuck_group_is_kept_in_the_books() -> None:
    world = a_world(perps())
    silent = (cmd.PlaceOrder, cmd.QueryOrder, cmd.CancelOrder)
    world.hooks.append(lambda c: isinstance(c, silent))
    ask(world)
    world.live(40_000, 500)
    assert world.ends() == {"STUCK": 1}
    order = world.orders()[0]
    world.tell(
        ev.OrderFilled(
            at=Nanos(world.now),
            order_id=order.order_id,
            instrument=order.instrument,
            fill_id="late",
            side=order.side,
            ticks=order.ticks,
            lots=order.lots,
            fee=D(0),
            fee_asset="USDT",
        )
    )
    assert world.engine.report.positions() == {A.id: 10}
    assert [leg.lots for leg in world.engine.report.holdings()[0].legs] == [10]


@pytest.mark.parametrize("seconds", [1, 30])
def test_funding_is_booked_once_and_belongs_to_the_holding(seconds: int) -> None:
    world = a_world(perps())
    ask(world)
    world.live(500)
    before = world.engine.report.equity_change()
    booked = ev.FundingBooked(
        at=Nanos(world.now),
        instrument=B.id,
        record_id="r1",
        amount=D("1.25"),
        asset="USDT",
        venue_ms=(world.now + seconds * SECOND) // MILLI,
    )
    world.tell(booked)
    world.tell(booked)
    holding = world.engine.report.holdings()[0]
    assert holding.funding == D("1.25")
    assert world.engine.report.profit(holding.id)["funding"] == D("1.25")
    assert world.engine.report.equity_change() - before == D("1.25")


def test_a_timer_of_a_state_already_left_is_not_heard() -> None:
    world = a_world(perps())
    world.hooks.append(_lose(world, B.id, lives=False))
    ask(world)
    first = next(c.timer for c in world.sent if isinstance(c, cmd.SetTimer) and "g1/" in c.timer)
    world.run(450)
    assert moves(world) == ["DEADLINE:PULLING"]
    world.tell(ev.TimerFired(at=Nanos(world.now), timer=first))
    assert moves(world) == ["DEADLINE:PULLING"]


def test_what_a_flat_group_slipped_is_legging_too() -> None:
    intent = an_intent(
        a_leg(A, Side.BUY, 600_010, 10, touch=600_000),
        a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )
    world = a_world(intent)
    no_liquidity(world, B.id, 99)
    ask(world)
    world.live(3_000)
    assert world.ends() == {"FLAT": 1}
    profit = world.engine.report.profit()
    assert profit["slippage"] == 0 and profit["legging"] == D("-0.02")


def test_a_day_of_losses_ends_new_risk_and_the_next_day_begins_anew() -> None:
    world = a_world(perps())
    world.tell(
        ev.FundingBooked(
            at=Nanos(world.now),
            instrument=A.id,
            record_id="loss",
            amount=D(-501),
            asset="USDT",
        )
    )
    ask(world)
    assert world.engine.report.refusals() == {"daily_loss_is_small": 1}
    world.now += 24 * 3_600 * SECOND
    world.refresh()
    script = world.engine._strategies[0]
    assert isinstance(script, Script)
    script.intents = [perps()]
    ask(world)
    assert len(world.orders()) == 2


def test_an_exit_against_a_larger_adopted_position_is_not_called_reduce_only() -> None:
    """Short 10 within an adopted long 50: buying back does not reduce, the venue would refuse."""
    adopting = EngineSettings(reconcile=ReconcileSettings(adopt_positions=True))
    script = Script()
    world = World([A, B], [script], settings=adopting)
    world.lots[A.id], world.cost[A.id] = 50, D(60_000)
    for it in (A, B):
        world.quote(it, "59999", "60001")
    world.turn()
    world.run(300)
    script.intents = [
        an_intent(
            a_leg(B, Side.BUY, 600_010, 10),
            a_leg(A, Side.SELL, 599_990, 10),
            card=a_card("1", "600"),
        )
    ]
    ask(world)
    world.live(500)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="test"))
    world.live(2_000)
    exits = {o.instrument: o.reduce_only for o in world.orders()[2:]}
    assert exits == {A.id: False, B.id: True}
    assert world.engine.report.positions() == {A.id: 50} and world.engine.clutch == ""

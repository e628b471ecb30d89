"""What happens to a holding without an order of ours: taken, delisted, found late, accepted."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from oneprice.core.strategy import Alarmed, Discrepancy, IntentJudged
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, GateSettings, LegSettings
from oneprice.model.units import HOUR, MILLI, Lots, Nanos, Side, Ticks
from tests.build import D, Script, World, a_card, a_leg, a_ready_world, an_intent
from tests.core.test_groups import (
    SPOT,
    A,
    B,
    a_world,
    ask,
    no_liquidity,
    perps,
    settled_with_the_venue,
)


def a_holding_world(intent: Any = None, **legs: Any) -> World:
    world = a_world(intent or perps(), settings=EngineSettings(legs=LegSettings(**legs)))
    ask(world)
    world.live(500)
    assert len(world.engine.report.holdings()) == 1 and world.engine.clutch == ""
    return world


def liquidate(world: World, lots: int = 10, price: str = "60000") -> ev.OrderFilled:
    """Alpha takes some of the long position; the fill that it would tell of it."""
    fill = ev.OrderFilled(
        at=Nanos(world.now), order_id="", instrument=A.id, fill_id="liq", side=Side.SELL,
        ticks=A.ticks(price), lots=Lots(lots), fee=D(0), fee_asset="USDT", cause="liquidation",
        venue_ms=world.now // MILLI,
    )  # fmt: skip
    world._trade_contracts(A, Side.SELL, fill.ticks, lots)
    return fill


def told(world: World, kind: str) -> list[str]:
    return [d.found for d in world.decisions if isinstance(d, Discrepancy) and d.kind == kind]


def exits(world: World) -> list[tuple[str, int]]:
    return [(o.instrument, o.lots) for o in world.orders()[2:]]


def say_position(world: World) -> None:
    world.tell(msgspec.structs.replace(world._position(A.id), at=Nanos(world.now)))


# Forced fills ---------------------------------------------------------------------------


def test_a_liquidation_known_only_from_the_position_takes_the_other_leg_down() -> None:
    world = a_holding_world()
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))  # nor do the fills tell of it
    liquidate(world)
    say_position(world)
    world.live(2_900)
    assert exits(world) == [] and world.engine.clutch == "", "first it is doubted, and asked"
    world.live(20_000, 200)
    assert told(world, "position") == ["0"] and world.engine.clutch.startswith("position")
    assert exits(world) == [(B.id, 10)]
    assert world.orders()[-1].reduce_only
    assert world.engine.report.holdings() == []
    assert world.lots == {A.id: 0, B.id: 0}


def test_its_fill_that_comes_later_moves_the_ledger_and_no_other_holding() -> None:
    world = a_holding_world()
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))
    fill = liquidate(world)
    say_position(world)
    world.live(20_000, 200)
    assert world.engine.report.positions() == {A.id: 10}, "the ledger waits for the fills"
    before = len(world.orders())
    world.tell(msgspec.structs.replace(fill, at=Nanos(world.now)))
    world.live(2_000)
    assert world.engine.report.positions() == {} and len(world.orders()) == before
    settled_with_the_venue(world)


def test_its_fill_that_comes_later_does_not_strike_a_second_holding_as_well() -> None:
    script = Script()
    two = EngineSettings(gate=GateSettings(groups_per_pair_max=2))
    world = a_ready_world([A, B, SPOT], [script], settings=two)
    for _ in range(2):
        script.intents = [perps()]
        ask(world)
        world.live(500)
    assert len(world.engine.report.holdings()) == 2
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))
    fill = liquidate(world)
    say_position(world)
    world.live(20_000, 200)
    assert world.lots == {A.id: 10, B.id: -10}
    world.tell(msgspec.structs.replace(fill, at=Nanos(world.now)))
    world.live(3_000)
    assert world.lots == {A.id: 10, B.id: -10}, "the second one stands"
    assert [h.id for h in world.engine.report.holdings()] == ["t1g2"]
    settled_with_the_venue(world)


def test_a_partial_one_breaks_the_holding_and_what_is_left_of_both_legs_is_closed() -> None:
    world = a_holding_world()
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))
    fill = liquidate(world, 4)
    say_position(world)
    world.live(20_000, 200)
    assert sorted(exits(world)) == [(A.id, 6), (B.id, 10)]
    assert world.lots == {A.id: 0, B.id: 0}
    world.tell(msgspec.structs.replace(fill, at=Nanos(world.now)))
    assert world.engine.report.positions() == {} and world.engine.report.holdings() == []


def test_a_liquidation_whose_fill_the_cursor_finds_is_struck_by_the_fill_alone() -> None:
    world = a_holding_world()
    fill = liquidate(world)
    world.hooks.append(
        lambda c: isinstance(c, cmd.QueryFills) and (world.say(fill) or True)  # type: ignore[func-returns-value]
    )
    say_position(world)
    world.live(20_000, 200)
    assert told(world, "position") == [] and len(told(world, "fill")) == 1
    assert exits(world) == [(B.id, 10)] and world.engine.report.holdings() == []
    settled_with_the_venue(world)


def test_the_policy_hold_leaves_the_other_leg_to_a_person() -> None:
    world = a_holding_world(half_filled="hold")
    world.tell(liquidate(world))
    world.live(5_000)
    assert exits(world) == [] and world.engine.clutch
    assert [leg.lots for leg in world.engine.report.holdings()[0].legs] == [-10]


def test_in_calm_weather_no_holding_is_taken_for_struck() -> None:
    world = a_holding_world()
    for _ in range(20):
        say_position(world)
        world.live(1_000, 200)
    assert exits(world) == [] and world.engine.clutch == ""


def test_a_struck_spot_hedge_is_sold_even_if_the_first_exit_finds_nothing() -> None:
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_000), a_leg(A, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )  # fmt: skip
    world = a_holding_world(intent)
    no_liquidity(world, SPOT.id, 1)
    fill = ev.OrderFilled(
        at=Nanos(world.now), order_id="", instrument=A.id, fill_id="adl", side=Side.BUY,
        ticks=A.ticks("60000"), lots=Lots(10), fee=D(0), fee_asset="USDT", cause="adl",
    )  # fmt: skip
    world._trade_contracts(A, Side.BUY, fill.ticks, 10)
    world.tell(fill)
    world.live(5_000)
    assert world.engine.report.holdings() == []
    assert abs(world.engine._sight.asset_net("BTC")) * 60_000 < 5
    settled_with_the_venue(world)


# A person's word ------------------------------------------------------------------------


def test_what_a_person_accepts_is_what_holdings_have() -> None:
    """Closed by hand, both legs: after the signature nothing is left to close."""
    world = a_holding_world(half_filled="hold")
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))
    for it in (A, B):
        side = Side.SELL if it is A else Side.BUY
        world._trade_contracts(it, side, it.ticks("60000"), 10)
        world.tell(msgspec.structs.replace(world._position(it.id), at=Nanos(world.now)))
    world.live(30_000, 200)
    assert len(told(world, "position")) == 2
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="me"))
    world.turn()
    assert world.engine.report.positions() == {} and world.engine.report.holdings() == []
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(3_000)
    assert exits(world) == [] and world.engine.quiet
    assert world.engine.report.residual() == 0


def test_a_leg_accepted_as_gone_leaves_the_other_one_to_be_closed() -> None:
    world = a_holding_world()
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))
    liquidate(world)
    say_position(world)
    world.live(20_000, 200)
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="me"))
    world.live(2_000)
    assert world.engine.report.positions() == {} and world.engine.report.holdings() == []
    assert world.lots == {A.id: 0, B.id: 0} and world.engine.clutch == ""


def test_a_fill_of_before_the_signature_is_in_what_was_signed() -> None:
    world = a_holding_world()
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))
    fill = liquidate(world)
    say_position(world)
    world.live(20_000, 200)
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="me"))
    world.tell(msgspec.structs.replace(fill, at=Nanos(world.now)))
    world.live(500)
    assert world.engine.report.positions() == {} and world.engine.clutch == ""


def test_coins_that_left_are_taken_from_the_holding_when_a_person_accepts_it() -> None:
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_000), a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )  # fmt: skip
    world = a_holding_world(intent)
    key = ("alpha", "unified", "BTC")
    world.money[key] = D("0.002")
    world.tell(msgspec.structs.replace(world._balance(key), at=Nanos(world.now)))
    world.live(20_000, 200)
    assert told(world, "balance")
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="me"))
    world.live(4_000)
    assert world.engine.report.holdings() == [] and world.engine.report.positions() == {}
    assert world.money[key] * 60_000 < 5, "what was there was sold, and no more"


# Late fills -----------------------------------------------------------------------------


def a_late_fill(world: World, order: cmd.PlaceOrder, lots: int) -> ev.OrderFilled:
    world._trade_contracts(world.listed[order.instrument], order.side, order.ticks, lots)
    return ev.OrderFilled(
        at=Nanos(world.now), order_id=order.order_id, instrument=order.instrument,
        fill_id="late", side=order.side, ticks=order.ticks, lots=Lots(lots), fee=D(0),
        fee_asset="USDT", venue_ms=world.now // MILLI,
    )  # fmt: skip


@pytest.mark.parametrize("policy", ["complete", "hold"])
def test_a_late_fill_of_a_group_that_ended_flat_is_held_and_given_back(policy: str) -> None:
    legs = msgspec.convert({"half_filled": policy}, LegSettings)
    world = a_world(perps(), settings=EngineSettings(legs=legs))
    no_liquidity(world, A.id, 1)
    no_liquidity(world, B.id, 1)
    ask(world)
    world.live(500)
    assert world.ends() == {"FLAT": 1}
    world.tell(a_late_fill(world, world.orders()[0], 10))
    assert world.engine.clutch and world.engine.report.positions() == {A.id: 10}
    assert [leg.lots for leg in world.engine.report.holdings()[0].legs] == [10]
    pair = (A.id, B.id)
    assert world.engine._sight.resting("script", pair), "the pair is left alone for a while"
    world.live(3_000)
    if policy == "hold":
        assert world.engine.report.positions() == {A.id: 10}
    else:
        assert world.engine.report.positions() == {} and world.engine.report.holdings() == []
        settled_with_the_venue(world)


def test_a_late_fill_of_a_hedged_group_makes_its_holding_uneven_and_it_goes() -> None:
    world = a_world(perps())
    no_liquidity(world, A.id, 1)
    ask(world)
    world.live(1_000)
    assert world.ends() == {"HEDGED": 1} and world.engine.clutch == ""
    world.tell(a_late_fill(world, world.orders()[0], 10))
    world.live(5_000)
    assert world.engine.report.positions() == {} and world.engine.report.holdings() == []
    settled_with_the_venue(world)


def test_a_late_fill_of_an_exit_whose_holding_is_gone_is_given_back() -> None:
    world = a_holding_world()
    no_liquidity(world, A.id, 1)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(2_000)
    assert world.engine.report.holdings() == [] and world.engine.quiet
    first = next(o for o in world.orders()[2:] if o.instrument == A.id)
    world.tell(a_late_fill(world, first, 10))
    assert world.engine.report.positions() == {A.id: -10} and not world.engine.quiet
    world.live(3_000)
    assert world.engine.report.positions() == {} and world.engine.quiet
    settled_with_the_venue(world)


# Attempts -------------------------------------------------------------------------------


def test_exits_that_come_to_nothing_are_capped_told_and_begun_again_by_a_person() -> None:
    world = a_holding_world(exits_max=4)
    no_liquidity(world, A.id, 10_000)
    no_liquidity(world, B.id, 10_000)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(120_000, 500)
    assert len(exits(world)) == 8, "four tries of two legs"
    alarms = [d for d in world.decisions if isinstance(d, Alarmed) and d.kind == "exit"]
    assert [a.subject for a in alarms] == ["t1g1"] and "exit of t1g1" in world.engine.clutch
    refused = [d.refused_by for d in world.decisions if isinstance(d, IntentJudged)]
    assert refused[-1] == "exits_are_left"
    world.hooks.clear()
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="me"))
    world.live(3_000)
    assert world.engine.report.positions() == {} and world.engine.quiet


def test_between_such_exits_the_pause_grows() -> None:
    world = a_holding_world()
    no_liquidity(world, A.id, 10_000)
    no_liquidity(world, B.id, 10_000)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(150_000, 100)
    times = [
        d.at for d in world.decisions
        if isinstance(d, IntentJudged) and d.group and d.intent.closes
    ]  # fmt: skip
    assert len(times) == 12 == LegSettings().exits_max
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] < 1_000 * MILLI < pauses[5] and max(pauses) < 12_000 * MILLI


def test_an_exit_that_is_stuck_again_and_again_is_capped_too() -> None:
    """One leg goes, the other cannot be had, in no exit: there are few of them."""
    world = a_holding_world(exits_max=3)
    no_liquidity(world, B.id, 100_000)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(300_000, 500)
    assert world.ends() == {"HEDGED": 1, "STUCK": 1, "FLAT": 2}
    assert len(exits(world)) < 3 * 16
    assert world.engine.report.positions() == {B.id: -10}


def test_an_exit_that_makes_progress_is_not_counted() -> None:
    world = a_holding_world(exits_max=2)
    no_liquidity(world, A.id, 1)
    no_liquidity(world, B.id, 1)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(5_000)
    assert world.engine.report.positions() == {} and world.engine.clutch == ""


def test_an_exit_that_cannot_be_reduce_only_needs_the_venues_own_word() -> None:
    """Our books say that the position is smaller than the exit; the venue has not said so."""
    world = a_holding_world()
    world.hooks.append(
        lambda c: isinstance(c, (cmd.QueryFills, cmd.QueryAccount))
    )
    fill = ev.OrderFilled(
        at=Nanos(world.now), order_id="", instrument=A.id, fill_id="x", side=Side.SELL,
        ticks=Ticks(600_000), lots=Lots(4), fee=D(0), fee_asset="USDT",
    )  # fmt: skip
    world.engine._books.fill(None, fill)  # the books know of it, the holding does not
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(1_000)
    assert exits(world) == []
    refused = [d.refused_by for d in world.decisions if isinstance(d, IntentJudged)]
    assert refused[-1] == "exits_are_bounded"


# Delisting ------------------------------------------------------------------------------


def delisted(world: World, hours: float) -> None:
    gone = msgspec.structs.replace(A, delisting=Nanos(world.now + int(hours * HOUR)))
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=gone))


def test_no_entry_in_what_will_soon_be_delisted() -> None:
    world = a_world(perps())
    delisted(world, 23)
    ask(world)
    assert world.orders() == []
    assert world.engine.report.refusals() == {"instruments_stay_listed": 1}


def test_long_before_the_date_trading_goes_on() -> None:
    world = a_world(perps())
    delisted(world, 25)
    ask(world)
    assert len(world.orders()) == 2


def test_a_holding_leaves_with_both_legs_before_the_date() -> None:
    world = a_holding_world()
    delisted(world, 2)
    world.live(3_000)
    assert exits(world) == [], "an hour before is early enough"
    delisted(world, 0.9)
    world.live(3_000)
    assert sorted(exits(world)) == [(A.id, 10), (B.id, 10)]
    assert world.engine.report.positions() == {} and world.engine.clutch == ""


def test_an_expiry_is_left_in_time_as_well() -> None:
    world = a_holding_world()
    gone = msgspec.structs.replace(A, expiry=Nanos(world.now + HOUR // 2))
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=gone))
    world.live(3_000)
    assert world.engine.report.positions() == {}


# Dust -----------------------------------------------------------------------------------


def test_legs_that_leave_more_than_dust_open_are_refused_before_the_first_is_sent() -> None:
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_100), a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )  # fmt: skip
    world = a_world(intent)
    ask(world)
    assert world.orders() == [] and world.engine.report.refusals() == {"legs_match": 1}


def test_a_size_that_pays_for_the_fee_in_the_coin_matches() -> None:
    """At one percent, of 10101 bought 10000 arrive; without the fee 6 USDT would be left open."""
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_101), a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )  # fmt: skip
    script = Script()
    world = a_ready_world([A, B, SPOT], [script], taker="0.01")
    script.intents = [intent]
    ask(world)
    assert len(world.orders()) == 2
    world.live(500)
    assert world.ends() == {"HEDGED": 1} and world.engine.report.unhedged().longest_ms == 0


def test_dust_is_told_with_its_worth() -> None:
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_020), a_leg(B, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )  # fmt: skip
    world = a_world(intent, settings=EngineSettings(gate=GateSettings()))
    ask(world)
    world.live(500)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(2_000)
    dust, worth = world.engine.report.dust(), world.engine.report.dust_value()
    assert dust.keys() == worth.keys()
    for asset, coins in dust.items():
        assert worth[asset] == coins * D(60_000)


def test_a_position_that_somebody_turned_round_is_found_while_its_exit_is_refused() -> None:
    """Bought by hand while nobody heard it: no hail of exits, and the difference is told."""
    world = a_holding_world()
    world.hooks.append(lambda c: isinstance(c, cmd.QueryFills))

    def refuse(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != B.id:
            return False
        if not command.reduce_only:
            return False
        no = ev.OrderRefused(at=Nanos(0), order_id=command.order_id, reason="reduce_only")
        world.say(no, ms=3)
        return True

    world.hooks.append(refuse)
    world._trade_contracts(B, Side.BUY, B.ticks("60000"), 12)
    assert world.lots[B.id] == 2
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(60_000, 100)
    assert told(world, "position") == ["2"] and world.engine.clutch
    assert len(exits(world)) < 40
    assert world.engine.report.holdings() == [] and world.engine.quiet
    assert world.lots == {A.id: 0, B.id: 2}, "what is not ours is not touched"

"""Repairs: what counts as unhedged, and what is dust because no venue would take the order."""

from decimal import Decimal

import pytest

from oneprice.core.market import Market
from oneprice.core.orders import Order, OrderState
from oneprice.core.repairs import Group, Repairs, tradable
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, LegSettings
from oneprice.model.units import SECOND, Lots, Nanos, Side, Ticks
from tests.build import D, a_card, a_leg, a_perp, a_spot, an_intent
from tests.core.test_groups import A, B, a_world, ask, no_liquidity, perps

SPOT = a_spot("alpha")
FINE = a_perp("alpha", lot=D("0.00001"))  # one lot is worth 0.60 USDT, the least order 5


def an_order(instrument: str, side: Side, lots: int, coins: str, **more: object) -> Order:
    facts: dict[str, object] = {"state": OrderState.DONE, "filled": lots, "base": D(coins)}
    return Order(
        id="o", group="g1", instrument=instrument, side=side, ticks=Ticks(600_000),
        lots=Lots(lots), touch=Ticks(600_000), **(facts | more),  # type: ignore[arg-type]
    )  # fmt: skip


def repairs(position: int) -> Repairs:
    market = Market(EngineSettings(), {})
    for listed in (SPOT, FINE):
        market.hear(ev.InstrumentListed(at=Nanos(0), instrument=listed))
    return Repairs(LegSettings(), market, lambda _: position)


def an_exit(rest: str, open_lots: int = 0) -> Group:
    """Both legs of a holding closed, but for some lots that were more than the other leg had."""
    intent = an_intent(
        a_leg(SPOT, Side.SELL, 6_000_000, 10_000),
        a_leg(FINE, Side.BUY, 600_000, 1_000 + open_lots, reduce_only=True),
        card=a_card("1", "600"),
        closes="g0",
    )
    orders = [
        an_order(SPOT.id, Side.SELL, 10_000, "-0.01"),
        an_order(FINE.id, Side.BUY, 1_000, "0.01"),
    ]
    return Group(id="g1", intent=intent, began=Nanos(0), orders=orders, carry={"BTC": D(rest)})


@pytest.mark.parametrize(("position", "lots"), [(-3, 3), (-2, 0), (0, 0), (7, 0)])
def test_only_what_will_leave_as_reduce_only_is_exempt_from_the_smallest_notional(
    position: int, lots: int
) -> None:
    """Three lots are 1.80 USDT: an order where the position still has them, else dust."""
    found = repairs(position).needed(an_exit("-0.00003", open_lots=3))
    assert sum(repair.lots for repair in found) == lots
    assert repairs(position).lopsided(an_exit("-0.00003", open_lots=3)) is bool(lots)


def test_what_a_venue_takes_anyway_is_no_dust_without_a_position() -> None:
    """Ten lots are 6 USDT."""
    assert [r.lots for r in repairs(0).needed(an_exit("-0.0001", open_lots=20))] == [10]


def test_an_exit_never_trades_more_than_its_holding_had() -> None:
    """What the legs differ by beyond that is dust: to trade it would open the opposite."""
    assert repairs(0).needed(an_exit("-0.0001")) == []
    assert [r.lots for r in repairs(0).needed(an_exit("-0.0002", open_lots=12))] == [12]


@pytest.mark.parametrize(("rest", "expected"), [("0.0000004", False), ("-0.0009", True)])
def test_a_rest_worth_more_than_dust_may_be_is_unhedged_even_if_nothing_can_mend_it(
    rest: str, expected: bool
) -> None:
    """0.0009 coins are 54 USDT: a venue with a coarse lot would take no order for it."""
    market = Market(EngineSettings(), {})
    coarse = a_perp("alpha", lot=D("0.01"))
    market.hear(ev.InstrumentListed(at=Nanos(0), instrument=coarse))
    market.remember(coarse.id, D(60_000))
    intent = an_intent(a_leg(coarse, Side.BUY, 600_000, 1))
    orders = [an_order(coarse.id, Side.BUY, 1, "0")]
    group = Group(
        id="g1", intent=intent, began=Nanos(0), orders=orders, carry={"BTC": D(rest)}
    )
    assert Repairs(LegSettings(), market, lambda _: 0).lopsided(group) is expected


def test_what_is_on_its_way_is_reckoned_with_and_what_is_unknown_blocks_its_leg() -> None:
    intent = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_000, 10_000, time_in_force=cmd.TimeInForce.GTC),
        a_leg(FINE, Side.SELL, 600_000, 1_000),
    )
    rests = an_order(
        SPOT.id, Side.BUY, 10_000, "0.004", state=OrderState.LIVE, filled=4_000
    )
    hedge = an_order(FINE.id, Side.SELL, 300, "-0.001", state=OrderState.LIVE, filled=100)
    group = Group(id="g1", intent=intent, began=Nanos(0), orders=[rests, hedge])
    reckoned = repairs(0)
    assert [(r.side, r.lots) for r in reckoned.hedges(group, SPOT.id)] == [(Side.SELL, 100)]
    hedge.state = OrderState.UNKNOWN
    assert reckoned.hedges(group, SPOT.id) == []
    hedge.state, hedge.claimed = OrderState.DONE, 150  # fifty more fills are to come
    assert [r.lots for r in reckoned.hedges(group, SPOT.id)] == [250]


@pytest.mark.parametrize("coins", ["0.000004", "0.0006", "0.5", "3"])
@pytest.mark.parametrize("reducing", [True, False])
def test_a_tradable_size_keeps_every_limit_of_its_instrument(coins: str, reducing: bool) -> None:
    limited = a_perp("alpha", lots_min=Lots(2), lots_max=Lots(1_000))
    lots = tradable(limited, D(coins), D(60_000), reducing=reducing)
    assert lots == 0 or 2 <= lots <= 1_000
    assert tradable(limited, D(coins), D(60_000), reducing=reducing, most=Decimal(0)) == 0


def test_an_exit_whose_position_is_gone_does_not_knock_for_dust_until_it_is_stuck() -> None:
    """Twelve refusals of a rest that no position was left for had opened the clutch."""
    world = a_world(perps())
    ask(world)
    world.live(500)
    world.engine._holdings._rests["t1g1"] = {"BTC": D("-0.0006")}
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(8_000)
    assert world.engine.clutch == "" and world.engine.report.positions() == {}
    assert [o.instrument for o in world.orders()[2:]].count(B.id) == 1


@pytest.mark.parametrize("band_bps", [20, 8, 2])
def test_a_repair_that_a_venue_calls_too_far_from_the_market_comes_nearer(band_bps: int) -> None:
    """Wider with every attempt had been refused twelve times, and the group was stuck."""
    world = a_world(perps(), settings=EngineSettings(legs=LegSettings(chases_max=6)))
    no_liquidity(world, B.id, 1)
    touch = B.ticks("59999")
    refused: list[str] = []

    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != B.id:
            return False
        if command.order_id.endswith("o2"):
            return False  # the entry itself: it finds nothing
        if command.ticks * 10_000 >= touch * (10_000 - band_bps):
            return False
        no = ev.OrderRefused(at=Nanos(0), order_id=command.order_id, reason="price_limit")
        refused.append(command.order_id)
        world.say(no)
        return True

    world.hooks.insert(0, hook)
    ask(world)
    world.live(5_000)
    assert refused and world.ends() == {"HEDGED": 1} and world.engine.clutch == ""


@pytest.mark.parametrize("reason", ["rate_limited", "banned", "venue_busy"])
def test_an_attempt_that_an_allowance_kept_back_is_none(reason: str) -> None:
    """A minute without allowance: the group waits and is mended after it, where twelve refusals
    of another kind leave it stuck."""
    world = a_world(perps())
    no_liquidity(world, B.id, 1)
    ask(world)
    begun = world.now

    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or world.now - begun > 60 * SECOND:
            return False
        world.say(ev.OrderRefused(at=Nanos(0), order_id=command.order_id, reason=reason))
        return True

    world.hooks.append(hook)
    world.live(70_000, 250)
    if reason == "venue_busy":
        assert world.ends() == {"STUCK": 1}
        return
    assert world.engine.clutch == "" and world.engine.report.positions() in (
        {}, {A.id: 10, B.id: -10},
    )  # fmt: skip


def test_an_allowance_that_never_comes_back_ends_in_a_persons_hands_all_the_same() -> None:
    world = a_world(perps(), settings=EngineSettings(legs=LegSettings(waits_max=20)))
    no_liquidity(world, B.id, 1)
    ask(world)

    def hook(command: cmd.AnyCommand) -> bool:
        if isinstance(command, cmd.PlaceOrder):
            no = ev.OrderRefused(at=Nanos(0), order_id=command.order_id, reason="rate_limited")
            world.say(no)
            return True
        return False

    world.hooks.append(hook)
    world.live(90_000, 250)
    assert world.ends() == {"STUCK": 1} and world.engine.clutch
    assert len(world.orders()) <= 2 + 20 + 12


def test_a_leg_whose_venue_lets_nothing_leave_is_not_waited_for_while_the_other_can_go() -> None:
    """Beta refuses for rate for a minute: alpha's leg is given back within a few seconds."""
    world = a_world(perps())
    no_liquidity(world, B.id, 1)
    ask(world)
    begun = world.now

    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != B.id:
            return False
        world.say(ev.OrderRefused(at=Nanos(0), order_id=command.order_id, reason="banned"))
        return True

    world.hooks.append(hook)
    while not world.ends() and world.now < begun + 20 * SECOND:
        world.live(250, 50)
    assert world.ends() == {"FLAT": 1} and world.engine.clutch == ""
    assert world.engine.report.unhedged().longest_ms < 6_000


def test_what_one_holding_has_to_sell_is_not_sold_by_another_strategy() -> None:
    """Its exit would find no coins, and its short would stand alone."""
    held = an_intent(
        a_leg(SPOT, Side.BUY, 6_000_100, 10_010),
        a_leg(A, Side.SELL, 599_990, 10),
        card=a_card("1", "600"),
    )
    world = a_world(held)
    ask(world)
    world.live(1_000)
    assert world.ends() == {"HEDGED": 1}
    other = an_intent(
        a_leg(SPOT, Side.SELL, 5_999_900, 10_000),
        a_leg(B, Side.BUY, 600_010, 10),
        card=a_card("1", "600"),
        strategy="other",
        pair="other",
    )
    world.engine._strategies[0].intents = [other]  # type: ignore[attr-defined]
    ask(world)
    world.live(1_000)
    assert world.engine.report.refusals() == {"funds_are_there": 1}
    assert len(world.orders()) == 2


def test_a_venue_that_bans_us_is_not_tried_again_and_again_with_a_leg_elsewhere() -> None:
    """Beta bans for ten minutes: every entry would fill one leg at alpha and give it back."""
    world = a_world()
    begun = world.now

    def hook(command: cmd.AnyCommand) -> bool:
        banned = world.now - begun < 600 * SECOND
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != B.id or not banned:
            return False
        world.say(ev.OrderRefused(at=Nanos(0), order_id=command.order_id, reason="banned"))
        return True

    world.hooks.append(hook)
    while world.now - begun < 1_300 * SECOND and "HEDGED" not in world.ends():
        world.engine._strategies[0].intents = [perps()]  # type: ignore[attr-defined]
        ask(world)
        world.live(2_000, 500)
    assert world.ends()["HEDGED"] == 1, "once it takes orders again"
    assert world.ends()["FLAT"] <= 7
    assert world.engine.report.refusals()["venues_take_orders"] > 100

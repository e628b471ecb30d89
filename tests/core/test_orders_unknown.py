"""UNKNOWN is a state: no second order for the leg, no new risk there, and always asked for."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.core.orders import OrderState
from oneprice.core.strategy import IntentJudged
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, LegSettings
from oneprice.model.units import MILLI, Lots, Nanos, Side
from tests.build import D, Script, World, a_card, a_leg, a_perp, a_ready_world, an_intent
from tests.core.test_maker import maker
from tests.core.test_weather import STORM, THIN, a_day

A, B = a_perp("alpha"), a_perp("beta")
MESSAGES = (
    "accepted", "filled", "ended", "refused", "uncertain", "missing", "cancel refused",
)  # fmt: skip


def watch(world: World) -> list[str]:
    """Orders that were sent while another one's outcome in the same instrument was not known."""
    wrong: list[str] = []

    def hook(command: cmd.AnyCommand) -> bool:
        if isinstance(command, cmd.PlaceOrder):
            for order in world.engine._orders.unsettled():
                same = order.instrument == command.instrument and order.id != command.order_id
                if same and order.state is OrderState.UNKNOWN:
                    wrong.append(f"{command.order_id} while {order.id} is not known")
        return False

    world.hooks.insert(0, hook)
    return wrong


def two_legs(strategy: str = "script", **more: Any) -> Any:
    legs = (a_leg(A, Side.BUY, 600_010, 10), a_leg(B, Side.SELL, 599_990, 10))
    return an_intent(*legs, strategy=strategy, card=a_card("1", "600"), **more)


def ask(world: World) -> None:
    due = Nanos(len(world.steps))
    world.tell(ev.FundingForecast(at=Nanos(world.now), instrument=A.id, rate=D(0), due=due))
    world.turn()


def message(world: World, kind: str, order: cmd.PlaceOrder, lots: int) -> ev.AnyEvent:
    at, id_ = Nanos(world.now), order.order_id
    match kind:
        case "accepted":
            return ev.OrderAccepted(at=at, order_id=id_, live=True)
        case "filled":
            return ev.OrderFilled(
                at=at, order_id=id_, instrument=order.instrument, fill_id=f"{id_}-{lots}",
                side=order.side, ticks=order.ticks, lots=Lots(lots), fee=D(0),
                fee_asset="USDT",
            )  # fmt: skip
        case "ended":
            return ev.OrderEnded(at=at, order_id=id_, filled_lots=Lots(lots), reason="cancelled")
        case "refused":
            return ev.OrderRefused(at=at, order_id=id_, reason="venue_busy")
        case "uncertain":
            return ev.OrderUncertain(at=at, order_id=id_, reason="timeout")
        case "missing":
            return ev.OrderMissing(at=at, order_id=id_)
        case _:
            return ev.CancelRefused(at=at, order_id=id_, reason="late")


def silent_world(intents: list[Any], **legs: Any) -> World:
    script = Script()
    world = a_ready_world([A, B], [script], settings=EngineSettings(legs=LegSettings(**legs)))
    script.intents = intents
    silent = (cmd.PlaceOrder, cmd.QueryOrder, cmd.CancelOrder, cmd.QueryFills)
    world.hooks.append(lambda c: isinstance(c, silent))
    ask(world)
    return world


STORIES = st.lists(
    st.tuples(
        st.sampled_from(MESSAGES), st.integers(0, 12), st.integers(0, 10),
        st.sampled_from([0, 30, 500, 4_000]),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(story=STORIES, rests=st.booleans())
def test_no_second_order_leaves_for_a_leg_whose_first_is_not_known_whatever_is_said(
    story: list[tuple[str, int, int, int]], rests: bool
) -> None:
    world = silent_world([maker() if rests else two_legs()])
    wrong = watch(world)
    for kind, which, lots, pause in story:
        orders = world.orders()
        world.tell(message(world, kind, orders[which % len(orders)], lots))
        world.live(pause, 50)
    assert wrong == []
    ids = [order.order_id for order in world.orders()]
    assert len(ids) == len(set(ids))
    assert len(ids) <= 60, "attempts are capped"


@pytest.mark.parametrize("faults", [THIN, STORM], ids=["thin", "storm"])
def test_no_second_order_leaves_while_the_first_is_not_known_on_any_foul_day(
    faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[list[str]] = []
    begin = World.__init__

    def watched(world: World, *args: Any, **more: Any) -> None:
        begin(world, *args, **more)
        wrong.append(watch(world))

    monkeypatch.setattr(World, "__init__", watched)
    days = [a_day(seed, faults) for seed in range(50, 54)]
    assert sum(len(day.orders()) for day in days) > 100
    assert [line for lines in wrong for line in lines] == []


def test_the_watch_does_see_a_second_order() -> None:
    """The property above could fail."""
    world = silent_world([two_legs()])
    wrong = watch(world)
    first = world.orders()[0]
    world.tell(message(world, "uncertain", first, 0))
    world._obey(
        cmd.PlaceOrder(
            order_id="another", group="g", instrument=A.id, side=Side.BUY,
            ticks=first.ticks, lots=first.lots,
        )
    )  # fmt: skip
    assert len(wrong) == 1


def refusals(world: World) -> Iterator[str]:
    for decision in world.decisions:
        if isinstance(decision, IntentJudged) and decision.refused_by:
            yield decision.refused_by


def test_an_unknown_order_keeps_every_strategy_out_of_its_instrument_and_no_other() -> None:
    c = a_perp("gamma")
    mine, other = Script(), Script()
    other.name = "other"
    world = a_ready_world([A, B, c], [mine, other])
    silent = (cmd.PlaceOrder, cmd.QueryOrder, cmd.CancelOrder)
    world.hooks.append(lambda command: isinstance(command, silent))
    mine.intents = [two_legs()]
    ask(world)
    # One leg's outcome is known; the group is stuck in the end, and only the order remains.
    world.tell(message(world, "ended", world.orders()[1], 0))
    world.tell(message(world, "uncertain", world.orders()[0], 0))
    world.live(35_000, 500)
    assert world.ends() == {"STUCK": 1}
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="test"))
    other.intents = [
        an_intent(
            a_leg(A, Side.BUY, 600_010, 10), a_leg(c, Side.SELL, 599_990, 10),
            strategy="other", card=a_card("1", "600"),
        )
    ]  # fmt: skip
    ask(world)
    assert list(refusals(world)) == ["instruments_are_free"]
    other.intents = [
        an_intent(
            a_leg(B, Side.BUY, 600_010, 10), a_leg(c, Side.SELL, 599_990, 10),
            strategy="other", card=a_card("1", "600"),
        )
    ]  # fmt: skip
    ask(world)
    assert len(world.orders()) == 4, "elsewhere life goes on"


def test_an_unknown_order_is_asked_for_until_it_is_known() -> None:
    world = silent_world([two_legs()])
    order = world.orders()[0]
    world.tell(message(world, "uncertain", order, 0))
    world.live(120_000, 500)
    asked = [c for c in world.sent if isinstance(c, cmd.QueryOrder)]
    mine = [c for c in asked if c.order_id == order.order_id]
    assert len(mine) > 20, "for ever, every five seconds"
    world.tell(message(world, "ended", order, 0))
    before = len([c for c in world.sent if c == mine[-1]])
    world.live(20_000, 500)
    assert len([c for c in world.sent if c == mine[-1]]) == before


def test_a_late_acknowledgement_and_a_late_fill_are_accepted() -> None:
    world = silent_world([two_legs()])
    first, second = world.orders()
    world.tell(message(world, "uncertain", first, 0))
    world.live(40_000, 500)
    world.tell(message(world, "accepted", first, 0))
    world.tell(message(world, "filled", first, 10))
    assert world.engine.report.positions() == {A.id: 10}
    world.tell(message(world, "filled", second, 10))
    assert world.engine.report.positions() == {A.id: 10, B.id: -10}
    assert world.now > 40_000 * MILLI

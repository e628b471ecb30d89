"""Fills by cursor: what a stream lost is asked for, told once, and counted once."""

from collections.abc import Callable

import msgspec
import pytest

from oneprice.core.account import Accounts
from oneprice.core.cursor import FillCursor
from oneprice.core.strategy import Discrepancy
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, OrderSettings
from oneprice.model.units import MILLI, SECOND, Lots, Nanos
from tests.build import START, Placed, World
from tests.core.test_groups import A, B, a_world, ask, moves, perps, settled_with_the_venue


class Clock(msgspec.Struct):
    now: Nanos = Nanos(1_000 * SECOND)


def a_cursor() -> FillCursor:
    accounts = Accounts(EngineSettings())
    accounts.checked_at["alpha", "linear"] = Nanos(1_000 * SECOND)
    return FillCursor(OrderSettings(), Clock(), accounts)  # type: ignore[arg-type]


def told(since_ms: int, until_ms: int, at_ms: int = 10**9) -> ev.FillsTold:
    at = Nanos(at_ms * MILLI)
    return ev.FillsTold(
        at=at, venue="alpha", market="linear", since_ms=since_ms, until_ms=until_ms
    )


def test_a_market_is_asked_from_its_opening_then_from_the_last_answer_less_an_overlap() -> None:
    cursor = a_cursor()
    assert cursor.since_ms(("alpha", "linear")) == 940_000
    cursor.told(told(940_000, 2_000_000))
    assert cursor.since_ms(("alpha", "linear")) == 1_940_000
    (query,) = cursor.ask_all("alpha")
    assert query == cmd.QueryFills(venue="alpha", market="linear", since_ms=1_940_000)
    assert cursor.ask(("alpha", "spot")) == [] and cursor.ask_all("beta") == []


def test_the_cursor_never_goes_back_nor_into_the_future() -> None:
    cursor = a_cursor()
    cursor.told(told(0, 2_000_000))
    cursor.told(told(0, 1_500_000))
    assert cursor.since_ms(("alpha", "linear")) == 1_940_000
    cursor.told(told(0, 10**15, at_ms=2_500_000))
    assert cursor.since_ms(("alpha", "linear")) == 2_440_000


def test_a_part_that_the_venue_cannot_tell_any_more_is_named() -> None:
    cursor = a_cursor()
    assert cursor.told(told(900_000, 2_000_000)) == ""
    assert cursor.told(told(2_000_000, 3_000_000)) == ""
    assert "3000000 to 4000000" in cursor.told(told(4_000_000, 5_000_000))


def queries(world: World) -> list[cmd.QueryFills]:
    return [c for c in world.sent if isinstance(c, cmd.QueryFills)]


def test_every_traded_market_is_asked_every_thirty_seconds() -> None:
    world = a_world()
    world.live(95_000, 500)
    markets = [(q.venue, q.market) for q in queries(world)]
    assert set(markets) == {("alpha", "linear"), ("alpha", "spot"), ("beta", "linear")}
    assert [markets.count(key) for key in dict.fromkeys(markets)] == [3, 3, 3]
    mine = [q.since_ms for q in queries(world) if (q.venue, q.market) == ("beta", "linear")]
    assert mine[1] - mine[0] > 29_000 and mine[2] - mine[1] == 30_000


def test_a_venue_is_asked_as_soon_as_its_private_link_is_back() -> None:
    world = a_world()
    for up in (False, True):
        world.tell(ev.LinkChanged(at=Nanos(world.now), venue="alpha", socket="private", up=up))
    assert {(q.venue, q.market) for q in queries(world)} == {
        ("alpha", "linear"), ("alpha", "spot"),
    }  # fmt: skip


def lose_the_last_fill(world: World, instrument: str) -> Callable[[cmd.AnyCommand], bool]:
    """The stream tells of a smaller end than was traded: one fill and its end are lost."""

    def hook(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.PlaceOrder) or command.instrument != instrument:
            return False
        if world.placed.get(command.order_id):
            return False
        placed = world.placed[command.order_id] = Placed(command)
        world.execute(placed)
        world.say(ev.OrderAccepted(at=Nanos(0), order_id=command.order_id))
        return True

    return hook


def test_fills_that_the_stream_lost_come_with_the_next_answer() -> None:
    world = a_world(perps())
    world.hooks.append(lose_the_last_fill(world, B.id))
    world.hooks.append(lambda c: isinstance(c, (cmd.QueryOrder, cmd.CancelOrder)))
    ask(world)
    world.live(29_000, 500)
    assert moves(world) == ["DEADLINE:PULLING"]
    world.live(2_000, 500)
    assert moves(world)[-1] == "BALANCED:HEDGED" and world.engine.clutch == ""
    settled_with_the_venue(world)


def test_what_both_the_stream_and_the_list_tell_counts_once() -> None:
    world = a_world(perps())
    ask(world)
    world.live(500)
    before = dict(world.engine.report.balances())
    world.live(65_000, 500)
    assert world.engine.report.counts()["doubled_fills"] >= 4
    assert world.engine.report.balances() == before and world.engine.clutch == ""
    assert world.engine.report.positions() == {A.id: 10, B.id: -10}


def test_a_gap_in_what_a_venue_can_tell_opens_the_clutch() -> None:
    world = a_world()
    now_ms = world.now // MILLI
    for since, until in ((now_ms - 60_000, now_ms), (now_ms + 5_000, now_ms + 6_000)):
        world.live(7_000, 500)
        world.tell(
            ev.FillsTold(
                at=Nanos(world.now), venue="alpha", market="linear", since_ms=since,
                until_ms=until,
            )
        )  # fmt: skip
    assert [d.subject for d in world.decisions if isinstance(d, Discrepancy)] == ["alpha:linear"]
    assert "could not be told" in world.engine.clutch


@pytest.mark.parametrize("held", [False, True])
def test_a_position_in_doubt_asks_for_the_fills_too(held: bool) -> None:
    world = a_world(perps())
    if held:
        ask(world)
    world.live(500)
    before = len(queries(world))
    wrong = ev.PositionReported(at=Nanos(world.now), instrument=A.id, lots=Lots(7))
    world.hooks.append(lambda c: isinstance(c, cmd.QueryAccount))
    world.tell(wrong)
    world.live(5_000)
    assert len(queries(world)) == before + 1
    assert world.now > START



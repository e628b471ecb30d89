"""Drills on real sockets: whatever goes wrong, the venue's books and ours say the same."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from house import MARKETS, House

from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, GateSettings, LegSettings
from oneprice.model.units import SECOND
from oneprice.shell.socket import Connection
from oneprice.twin.contract import Order, OrderRequest
from oneprice.twin.faults import FaultPlan
from oneprice.twin.records import Refusal


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(tmp_path / "session", monkeypatch)
    yield house
    await house.close()


Place = Callable[[], Order]
TRIES = 5
MUCH = Decimal(10) ** 9
RICH = GateSettings(leg_notional_max=MUCH, venue_gross_max=MUCH, asset_net_max=MUCH)
STORM = FaultPlan(
    frame_loss=0.001,
    frame_repeat=0.01,
    cut_mean_s=10,
    answer_lost=0.15,
    error_after=0.1,
    error_before=0.1,
    answer_late=0.1,
)
PRIVATE = (("bybit", "private"), ("binance", "usdm_user"))


def once(act: Callable[[], object]) -> Callable[[OrderRequest, Place], Order]:
    """The order is taken; right after the first one something happens."""
    left = [act]

    def placed(request: OrderRequest, place: Place) -> Order:
        order = place()
        if left:
            left.pop()()
        return order

    return placed


def surface(house: House, venue: str) -> Any:
    return house.twins[venue].twin.surface


def ids(house: House, venue: str) -> list[str]:
    return [order.client_id for order in house.orders(venue)]


async def test_a_calm_day_is_hedged_and_closed_and_the_money_agrees(house: House) -> None:
    await house.open()
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    assert house.is_hedged()
    house.money_agrees()
    summary = await house.finish()
    assert house.is_flat()
    house.money_agrees()
    assert (summary.clutch, summary.failure, summary.left) == ("closed", "", [])


@pytest.mark.parametrize("entry", ["ws", "rest"])
@pytest.mark.parametrize("venue", sorted(MARKETS))
async def test_an_order_whose_answer_is_lost_is_asked_for_and_never_sent_again(
    house: House, venue: str, entry: str
) -> None:
    await house.open(entry)
    if venue == "bybit":
        surface(house, venue).swallow_answers(1)
        cut = ["private"]
    else:
        surface(house, venue).lose_answer("usdm", 1, how="silent")
        cut = ["private", "fstream"]
    # The private stream is away as well, so that only a question can tell.
    venue_side = surface(house, venue)
    drop = venue_side.drop_connections if venue == "bybit" else venue_side.drop
    house.on_place(venue, once(lambda: [drop(kind) for kind in cut]))
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    assert len(ids(house, venue)) == 1 and house.is_hedged()
    house.money_agrees()
    await house.finish()
    assert house.is_flat()
    house.money_agrees()


async def test_private_streams_that_live_and_say_nothing_are_made_up_for_by_questions(
    house: House,
) -> None:
    await house.open()
    for venue, socket in PRIVATE:
        house.line(venue, socket).connection.on_frame = lambda payload, heard: None
    await house.trade()
    ends = await house.ended()
    assert house.is_hedged() if ends == {"HEDGED": 1} else house.is_flat()
    house.money_agrees()
    summary = await house.finish()
    assert house.is_flat() and summary.left == []
    house.money_agrees()


def cut_all(house: House) -> None:
    for twin in house.twins.values():
        for transport in list(twin.transports):
            transport.abort()


def restart(house: House) -> None:
    surface(house, "bybit").restart_service()


def expire(house: House) -> None:
    house.twins["binance"].twin.surface.expire_listen_key(  # type: ignore[attr-defined]
        house.twins["binance"].twin.exchange.accounts()[0].key
    )


@pytest.mark.parametrize(
    ("venue", "misfortune"),
    [("bybit", cut_all), ("binance", cut_all), ("bybit", restart), ("binance", expire)],
)
async def test_connections_lost_in_the_middle_of_a_group(
    house: House, venue: str, misfortune: Callable[[House], None]
) -> None:
    await house.open()
    house.on_place(venue, once(lambda: misfortune(house)))
    await house.trade()
    ends = await house.ended()
    assert house.is_hedged() if ends == {"HEDGED": 1} else house.is_flat()
    house.money_agrees()
    summary = await house.finish()
    assert house.is_flat() and summary.clutch == "closed"
    house.money_agrees()


@pytest.mark.parametrize(("refusals", "end"), [(1, "HEDGED"), (9, "FLAT")])
@pytest.mark.parametrize("venue", sorted(MARKETS))
async def test_a_leg_that_the_venue_refuses_is_completed_or_the_other_given_back(
    house: House, venue: str, refusals: int, end: str
) -> None:
    await house.open()
    left = [Refusal("insufficient_margin", "drill")] * refusals

    def placed(request: OrderRequest, place: Place) -> Order:
        if left:
            raise left.pop()
        return place()

    house.on_place(venue, placed)
    await house.trade()
    assert await house.ended() == {end: 1}
    assert house.is_hedged() if end == "HEDGED" else house.is_flat()
    left.clear()
    await house.finish()
    assert house.is_flat()
    house.money_agrees()


@pytest.mark.parametrize("venue", sorted(MARKETS))
async def test_a_leg_that_fills_in_part_is_completed_or_given_back_to_the_lot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue: str
) -> None:
    for attempt in range(TRIES):
        house = House(tmp_path / f"session{attempt}", monkeypatch)
        try:
            await house.open(engine=EngineSettings(gate=RICH))
            if await fills_in_part(house, venue):
                return
        finally:
            await house.close()
    pytest.fail(f"filled at once, {TRIES} times: the market always moved in between")


async def fills_in_part(house: House, venue: str) -> bool:
    """Whether the leg did; a market that moves before the order comes may fill it at once."""
    instrument = f"{venue}:{MARKETS[venue]}:BTCUSDT"
    # Its limit is the touch, and what lies there is less than it wants.
    house.hedge.reach_bps[instrument] = 0
    there = house.twins[venue].twin.exchange.book(instrument, 1)
    lots = 4 * max(there.asks[0][1], there.bids[0][1]) + 100
    house.hedge.lots = dict.fromkeys(house.hedge.lots, lots)
    await house.trade()
    ends = await house.ended()
    in_part = len(house.orders(venue)) > 1
    assert len(house.fills(venue)) > 1
    assert house.is_hedged(lots) if ends == {"HEDGED": 1} else house.is_flat()
    house.money_agrees()
    await house.finish()
    assert house.is_flat()
    house.money_agrees()
    return in_part


async def test_books_that_break_while_holding_come_back_and_the_exit_finds_them(
    house: House,
) -> None:
    await house.open()
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    bybit, binance = surface(house, "bybit"), surface(house, "binance")
    bybit.inject_cross("linear", "orderbook.50.BTCUSDT")
    binance.gap("usdm", "BTCUSDT", 3)
    bybit.inject_gap("orderbook.50.BTCUSDT")
    await asyncio.sleep(0.1)
    binance.silence("depth", SECOND)
    summary = await house.finish()
    assert house.is_flat() and summary.left == []
    house.money_agrees()


async def test_a_refusal_for_rate_does_not_keep_the_other_leg_from_being_given_back(
    house: House,
) -> None:
    await house.open()
    bybit = surface(house, "bybit")
    take = bybit.limiter.take

    def refused(uid: str, path: str, *rest: Any) -> Any:
        for _ in range(60 if path == "/v5/order/create" else 0):
            take(uid, path, *rest)
        return take(uid, path, *rest)

    bybit.limiter.take = refused
    await house.trade()
    assert await house.ended() == {"FLAT": 1}
    assert house.is_flat()
    house.money_agrees()


async def test_a_ban_during_a_group_ends_with_the_books_in_agreement(house: House) -> None:
    await house.open()
    limits = surface(house, "binance").limits["usdm"]
    house.on_place(
        "bybit", once(lambda: limits.ban("127.0.0.1", time.time_ns() + 2 * SECOND))
    )
    await house.trade()
    ends = await house.ended()
    assert house.is_hedged() if "HEDGED" in ends else house.is_flat()
    house.money_agrees()
    await house.finish()
    assert house.is_flat()
    house.money_agrees()


async def test_a_group_that_got_stuck_is_closed_by_the_stop_although_the_clutch_is_open(
    house: House,
) -> None:
    await house.open(engine=EngineSettings(legs=LegSettings(unwinds_max=2)))
    shut = True

    def refused(request: OrderRequest, place: Place) -> Order:
        if shut and house.fills("binance"):
            raise Refusal("insufficient_margin", "drill")
        return place()

    def never(request: OrderRequest, place: Place) -> Order:
        raise Refusal("insufficient_margin", "drill")

    house.on_place("binance", refused)
    house.on_place("bybit", never)
    await house.trade()
    assert await house.ended() == {"STUCK": 1}
    assert house.lots("binance") == 10
    shut = False
    summary = await house.finish()
    assert house.is_flat() and summary.left == [] and "stuck" in summary.clutch
    house.money_agrees()


async def test_venues_whose_clocks_are_off_take_our_orders(house: House) -> None:
    await house.open(ahead_ns={"bybit": 3 * SECOND, "binance": -3 * SECOND})
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    summary = await house.finish()
    assert house.is_flat() and summary.rejected_frames == {}
    house.money_agrees()


@pytest.mark.parametrize("venue", sorted(MARKETS))
async def test_ctrl_c_while_legs_are_in_flight_leaves_nothing(house: House, venue: str) -> None:
    await house.open()
    house.on_place(venue, once(house.stop.set))
    await house.trade()
    summary = await house.over()
    assert house.is_flat() and summary.left == []
    house.money_agrees()


def shuffle(connection: Connection) -> None:
    """Frames come in the wrong order, and once more in the right one."""
    take, held = connection.on_frame, list[bytes]()

    def release() -> None:
        frames, held[:] = list(held), []
        for frame in (*reversed(frames), *frames):
            take(frame, connection.clock.now())

    def keep(payload: bytes, _: int) -> None:
        held.append(payload)
        asyncio.get_running_loop().call_later(0.05, release)

    connection.on_frame = keep


async def test_private_frames_doubled_and_in_the_wrong_order_count_once(house: House) -> None:
    await house.open()
    for venue, socket in PRIVATE:
        shuffle(house.line(venue, socket).connection)
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    house.money_agrees()
    summary = await house.finish()
    assert house.is_flat() and summary.clutch == "closed" and summary.discrepancies == []
    house.money_agrees()


async def test_an_order_that_waits_for_a_lost_socket_is_taken_back_and_not_sent_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneprice.shell.socket.BACKOFF_MAX_S", 0.2)
    await house.open(engine=EngineSettings(legs=LegSettings(chases_max=1, chasing_ms=700)))
    trade = house.line("bybit", "trade")
    deaf = asyncio.Event()

    async def no_way() -> str:
        if not deaf.is_set():
            raise ConnectionError("drill")
        return url

    url = house.twins["bybit"].ws + trade.spec.path
    trade.connection._url = no_way
    trade.connection.cut("drill")
    await house.until(lambda: not trade.ready)
    await house.trade()
    assert await house.ended() == {"FLAT": 1}
    deaf.set()
    await house.until(lambda: trade.ready)
    await asyncio.sleep(0.5)
    assert house.is_flat() and house.orders("bybit") == []
    house.money_agrees()
    await house.finish()


async def test_while_a_private_stream_is_away_nothing_new_is_begun(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneprice.shell.socket.BACKOFF_FIRST_S", 30.0)
    await house.open()
    private = house.line("bybit", "private")
    private.connection.cut("drill")
    await house.until(lambda: not private.ready)
    await house.denied()
    assert house.engine.report.refusals()["fills_are_heard"] > 0
    assert house.orders("bybit") == house.orders("binance") == []


async def test_after_a_storm_the_money_agrees(house: House) -> None:
    await house.open(plan=STORM, strategies=("cross_exchange", "hedge"))
    for _ in range(3):
        with contextlib.suppress(TimeoutError):
            await house.trade(seconds=0.7)
    house.stop.set()
    summary = await house.over()
    house.money_agrees()
    assert all(len(ids(house, venue)) == len(set(ids(house, venue))) for venue in MARKETS)
    assert summary.failure == "" and summary.discrepancies == []
    assert summary.left or house.is_flat()


# Our own defects --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [ev.OrderAccepted, ev.OrderFilled, ev.TimerFired, ev.PositionReported]
)
async def test_whatever_breaks_inside_is_told_and_ends_the_run_with_the_legs_closed(
    house: House, kind: type
) -> None:
    await house.open()
    house.break_on(kind, AssertionError("drill"))
    await house.trade()
    summary = await house.over()
    assert "AssertionError: drill" in summary.failure
    assert summary.clutch == summary.failure
    assert house.is_flat() and summary.left == []
    house.money_agrees()


async def test_a_strategy_that_breaks_stops_the_run_and_its_holding_is_closed(
    house: House,
) -> None:
    await house.open()
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    house.hedge.breaks = KeyError("drill")
    summary = await house.over()
    assert "KeyError" in summary.failure and summary.clutch == summary.failure
    assert house.is_flat() and summary.left == []
    house.money_agrees()


async def test_a_full_disk_stops_everything_that_would_leave(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneprice.app.run.SEALED_TIMEOUT_S", 0.5)
    await house.open(journal_sync="never")
    assert house.running is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, house.running.runtime._log._writer._file)  # type: ignore[attr-defined]
    os.close(full)
    house.hedge.wanted = True
    summary = await house.over()
    assert "No space left" in summary.failure and summary.clutch == summary.failure
    assert house.orders("bybit") == house.orders("binance") == []


async def test_a_tape_that_cannot_be_written_ends_the_run_with_the_legs_closed(
    house: House,
) -> None:
    await house.open()
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    assert house.running is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, house.running.desk._recorder._file.fileno())  # type: ignore[union-attr]
    os.close(full)
    summary = await house.over()
    assert summary.failure.startswith("tape: OSError") and summary.clutch == summary.failure
    assert house.is_flat() and summary.left == []
    house.money_agrees()

"""Drills on real sockets, on pairs with OKX, KuCoin and BitMEX: see test_misfortune."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from house import House
from test_misfortune import RICH, STORM, Place, cut_all, once, shuffle

from oneprice.model.settings import AccountSettings, EngineSettings, LegSettings, ReconcileSettings
from oneprice.model.units import MINUTE, SECOND
from oneprice.twin.build import World
from oneprice.twin.contract import Order, OrderRequest
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.faults import FaultPlan
from oneprice.twin.records import Refusal
from oneprice.twin.server import RunningTwin

LEGS = {
    "okx": "okx:swap:BTC-USDT-SWAP",
    "kucoin": "kucoin:futures:XBTUSDTM",
    "bitmex": "bitmex:derivatives:XBTUSDT",
}
NEW = ("okx", "kucoin", "bitmex")
OTHER = {"okx": "bitmex", "kucoin": "okx", "bitmex": "kucoin"}
PRIVATE = {"okx": "private", "kucoin": "futures_private", "bitmex": "private"}
# Every account is asked for again and again while the drill lasts, and doubts are short; but a
# busy machine needs a while for the answers, and the venues allow so many questions a minute.
QUICK = EngineSettings(reconcile=ReconcileSettings(grace_ms=150, audit_ms=1_500), gate=RICH)

Rooms = Callable[..., House]


@pytest.fixture
async def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rooms]:
    """Makes a house: one venue is bought on, the other sold on, or two legs named in full."""
    made: list[House] = []

    def make(bought: str, sold: str = "") -> House:
        sold = sold or OTHER[bought]
        pair = LEGS.get(bought, bought), LEGS.get(sold, sold)
        made.append(House(tmp_path / f"session{len(made)}", monkeypatch, pair))
        return made[-1]

    yield make
    for house in made:
        await house.close()


async def hold(house: House) -> None:
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    assert house.is_hedged()


async def end_well(house: House) -> None:
    """The group ends, the run is stopped: both sides are flat and the money agrees."""
    ends = await house.ended()
    assert house.is_hedged() if "HEDGED" in ends else house.is_flat()
    house.money_agrees()
    summary = await house.finish()
    assert house.is_flat()
    house.money_agrees()
    for venue in house.legs:
        ids = [order.client_id for order in house.orders(venue)]
        assert len(ids) == len(set(ids))
    assert (summary.clutch, summary.failure, summary.left) == ("closed", "", [])
    assert summary.discrepancies == []


def silence(house: House) -> None:
    for venue in house.legs:
        line = house.line(venue, PRIVATE[venue])
        line.connection.on_frame = lambda payload, heard: None


def inside(house: House, venue: str) -> tuple[InnerExchange, str, int]:
    """The market of a twin, our key there, and its time."""
    twin = house.twins[venue].twin
    return twin.exchange, twin.exchange.accounts()[0].key, twin.clock()


# Orders --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "fault", "entry"),
    [
        *((venue, "answer_lost", "ws") for venue in NEW),
        ("kucoin", "error_before", "ws"),
        ("bitmex", "error_before", "ws"),
        ("okx", "answer_lost", "rest"),
        ("bitmex", "error_after", "ws"),
    ],
)
async def test_an_order_of_which_nothing_was_heard_is_asked_for_and_never_doubled(
    rooms: Rooms, venue: str, fault: str, entry: str
) -> None:
    house = rooms(venue)
    await house.open(entry)
    if fault != "error_before":
        silence(house)
    house.twins[venue].twin.faults.arm(fault, 1, "order")
    await house.trade()
    await end_well(house)
    assert house.twins[venue].twin.faults.counts == {fault: 1}


@pytest.mark.parametrize("venue", NEW)
async def test_many_fills_told_by_questions_alone_count_once_and_with_their_fees(
    rooms: Rooms, venue: str
) -> None:
    house = rooms(venue)
    await house.open(engine=EngineSettings(gate=RICH))
    leg = house.legs[venue]
    house.hedge.reach_bps[leg] = 0
    there = house.twins[venue].twin.exchange.book(leg, 1)
    times = 1 + 4 * max(there.asks[0][1], there.bids[0][1]) // house.hedge.lots[leg]
    house.hedge.lots = {name: lots * times for name, lots in house.hedge.lots.items()}
    silence(house)
    await house.trade()
    await end_well(house)
    assert len(house.fills(venue)) > 2


@pytest.mark.parametrize("venue", NEW)
async def test_connections_lost_in_the_middle_of_a_group(rooms: Rooms, venue: str) -> None:
    house = rooms(venue)
    await house.open()
    house.on_place(venue, once(lambda: cut_all(house)))
    await house.trade()
    await end_well(house)


@pytest.mark.parametrize("venue", NEW)
async def test_private_frames_doubled_and_in_the_wrong_order_count_once(
    rooms: Rooms, venue: str
) -> None:
    house = rooms(venue)
    await house.open()
    for name in house.legs:
        shuffle(house.line(name, PRIVATE[name]).connection)
    await house.trade()
    await end_well(house)


@pytest.mark.parametrize("venue", ["okx", "kucoin"])
async def test_a_leg_that_the_venue_refuses_again_and_again_is_given_back(
    rooms: Rooms, venue: str
) -> None:
    house = rooms(venue)
    await house.open(engine=EngineSettings(legs=LegSettings(pause_ms=20)))

    def placed(request: OrderRequest, place: Place) -> Order:
        raise Refusal("insufficient_margin", "drill")

    house.on_place(venue, placed)
    await house.trade()
    assert await house.ended() == {"FLAT": 1}
    await end_well(house)


@pytest.mark.parametrize("venue", ["okx", "kucoin"])
async def test_connections_renewed_in_the_middle_of_a_group(rooms: Rooms, venue: str) -> None:
    house = rooms(venue)
    await house.open()
    assert house.running is not None
    gateway = next(g for g in house.running.gateways if g.name == venue)
    sockets = list(dict.fromkeys(line.spec.name for line in gateway.lines))
    house.on_place(venue, once(lambda: [gateway.renew(name) for name in sockets]))
    await house.trade()
    await end_well(house)


@pytest.mark.parametrize(("venue", "seconds"), [("okx", -40), ("kucoin", 40)])
async def test_a_clock_that_is_set_during_a_hold_does_not_keep_us_from_leaving(
    rooms: Rooms, venue: str, seconds: int
) -> None:
    house = rooms(venue)
    await house.open()
    await hold(house)
    house.ahead_ns[venue] = seconds * SECOND
    await end_well(house)


@pytest.mark.parametrize("venue", ["kucoin"])
async def test_after_a_storm_the_money_agrees(rooms: Rooms, venue: str) -> None:
    house = rooms(venue)
    await house.open(plan=STORM)
    for _ in range(2):
        with contextlib.suppress(TimeoutError):
            await house.trade(seconds=0.5)
    house.stop.set()
    summary = await house.over()
    house.money_agrees()
    assert summary.failure == "" and summary.discrepancies == []
    assert summary.left or house.is_flat()


# Holding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [("kucoin", "bitmex")])
async def test_funding_settled_during_a_hold_is_booked_once_and_audits_find_nothing(
    rooms: Rooms, pair: tuple[str, str]
) -> None:
    house = rooms(*pair)
    ahead = MINUTE - time.time_ns() % MINUTE - 4 * SECOND  # four seconds to the full minute
    world = World(seed=5, funding_interval_ms=60_000)
    await house.open(engine=QUICK, ahead_ns=dict.fromkeys(pair, ahead), world=world)
    await hold(house)

    def paid() -> list[int]:
        told = [inside(house, venue) for venue in pair]
        return [len(exchange.fundings(key)) for exchange, key, _ in told]

    await house.until(lambda: paid() == [1, 1], 150)  # the next minute, where this one was missed
    await asyncio.sleep(1)
    assert len(house.engine._books.settlements) == 2
    await end_well(house)


@pytest.mark.parametrize(
    "pair", [("okx:spot:BTC-USDT", "kucoin"), ("kucoin:spot:BTC-USDT", "okx")]
)
async def test_a_coin_bought_against_a_perpetual_is_held_and_sold_to_the_last_unit(
    rooms: Rooms, pair: tuple[str, str]
) -> None:
    house = rooms(*pair)
    await house.open(engine=QUICK)
    await house.trade()
    assert await house.ended() == {"HEDGED": 1}
    await asyncio.sleep(0.8)
    house.money_agrees()
    summary = await house.finish()
    house.money_agrees()
    assert (summary.clutch, summary.discrepancies, summary.left) == ("closed", [], [])


def liquidated(house: House, venue: str) -> None:
    exchange, key, at = inside(house, venue)
    exchange.force_liquidation(key, house.legs[venue], 0, at)


def deleveraged(house: House, venue: str) -> None:
    """By half."""
    exchange, key, at = inside(house, venue)
    leg = house.legs[venue]
    exchange.force_adl(key, leg, house.hedge.lots[leg] // 2, at)


def delisted(house: House, venue: str) -> None:
    exchange, _, at = inside(house, venue)
    exchange.delist(house.legs[venue], at)


@pytest.mark.parametrize(
    ("venue", "forced"),
    [
        *((venue, liquidated) for venue in NEW),
        ("okx", deleveraged),
        ("kucoin", deleveraged),
        ("bitmex", delisted),
    ],
)
async def test_a_leg_that_the_venue_closed_is_never_closed_again_and_the_other_not_left_alone(
    rooms: Rooms, venue: str, forced: Callable[[House, str], None]
) -> None:
    house = rooms(venue)
    await house.open(engine=QUICK)
    await hold(house)
    forced(house, venue)
    # Long before anybody stops the run: a leg that stands alone is a bet.
    await house.until(house.is_flat)
    await house.until(lambda: not house.engine.report.holdings())
    assert "by the venue" in house.engine.clutch
    summary = await house.finish()
    assert house.is_flat() and summary.left == []
    assert house.engine.report.residual() == 0
    assert house.engine.report.positions() == {}


@pytest.mark.parametrize("venue", NEW)
async def test_a_leg_that_the_venue_closes_while_we_close_it_is_not_sold_twice(
    rooms: Rooms, venue: str
) -> None:
    house = rooms(venue)
    await house.open()
    await hold(house)
    left = [liquidated]

    def placed(request: OrderRequest, place: Place) -> Order:
        if left:
            left.pop()(house, venue)
        return place()

    house.on_place(venue, placed)
    summary = await house.finish()
    assert house.is_flat() and summary.left == []


# Terms ---------------------------------------------------------------------------------------


def hedge_mode(house: House, venue: str) -> None:
    exchange, key, at = inside(house, venue)
    exchange.set_hedge_mode(key, house.legs[venue].split(":")[1], True, at)


@pytest.mark.parametrize("venue", ["okx", "kucoin"])
async def test_a_position_mode_switched_by_hand_costs_one_try_and_stops_new_risk(
    rooms: Rooms, venue: str
) -> None:
    house = rooms(venue)
    await house.open()
    hedge_mode(house, venue)
    await house.trade()
    await house.ended()  # flat, or hedged where the refusal made us ask and obey the new mode
    await house.until(lambda: "position_mode" in house.engine.clutch)
    await house.finish()
    assert house.is_flat()
    house.money_agrees()


@pytest.mark.parametrize("venue", ["okx", "kucoin"])
async def test_terms_that_may_be_adjusted_are_and_nobody_has_to_close_the_clutch(
    rooms: Rooms, venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = rooms(venue)
    open_twin = house.open_twin

    async def opened(name: str, world: World, plan: FaultPlan | None = None) -> RunningTwin:
        twin = await open_twin(name, world, plan)
        if name == venue:
            hedge_mode(house, venue)
        return twin

    monkeypatch.setattr(house, "open_twin", opened)
    terms = AccountSettings(adjust=True, leverage={LEGS["okx"]: Decimal(3)})
    await house.open(engine=EngineSettings(account=terms, gate=RICH))
    exchange, key, _ = inside(house, venue)
    market = house.legs[venue].split(":")[1]
    await house.until(lambda: not exchange.hedge_mode(key, market))
    trading, ours, _ = inside(house, "okx")
    await house.until(lambda: trading.leverage(ours, LEGS["okx"]) == 3)
    await asyncio.sleep(0.3)
    await hold(house)
    await end_well(house)

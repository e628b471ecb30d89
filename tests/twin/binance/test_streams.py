"""Market streams: sequence rules, routes, silence, control messages, allowances."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from oneprice.model.units import SECOND


def both_sides(event: dict[str, Any], bids: dict[str, str], asks: dict[str, str]) -> None:
    for side, levels in ((bids, event["b"]), (asks, event["a"])):
        for price, size in levels:
            side[price] = size
            if not float(size):
                side.pop(price)


@pytest.mark.parametrize(
    ("path", "rest"), [("/stream", "/api/v3/depth"), ("/public/stream", "/fapi/v1/depth")]
)
async def test_best_prices_of_the_kept_book_equal_the_book_ticker_at_its_id(
    bare: Any, path: str, rest: str
) -> None:
    async with bare.socket(f"{path}?streams=btcusdt@depth@100ms/btcusdt@bookTicker") as ear:
        first = await ear.hear_until("depthUpdate")
        _, snapshot, _ = await bare.ask("GET", rest, symbol="BTCUSDT", limit=1000)
        bids, asks = dict(snapshot["bids"]), dict(snapshot["asks"])
        last, compared = snapshot["lastUpdateId"], 0
        tickers: dict[int, dict[str, Any]] = {}
        events = [first["data"]]
        while compared < 8:
            event = events.pop() if events else (await ear.hear())["data"]
            if "B" in event:
                tickers[event["u"]] = event
                continue
            if event["u"] <= last:
                continue
            before = event.get("pu", event["U"] - 1)
            assert before <= last
            if "pu" in event:
                assert event["U"] > event["pu"] + 1  # ids are missing in between
            both_sides(event, bids, asks)
            last = event["u"]
            if last in tickers:
                bid, ask = max(bids, key=float), min(asks, key=float)
                shown = tickers[last]
                assert (bid, bids[bid], ask, asks[ask]) == tuple(shown[k] for k in "bBaA")
                compared += 1


async def test_spot_events_continue_without_a_missing_id(bare: Any) -> None:
    async with bare.socket("/ws/btcusdt@depth@100ms") as ear:
        events = [await ear.hear() for _ in range(4)]
    for earlier, later in pairwise(events):
        assert later["U"] == earlier["u"] + 1


async def test_a_wanted_gap_breaks_the_chain_of_previous_ids(bare: Any) -> None:
    async with bare.socket("/public/ws/btcusdt@depth@100ms") as ear:
        before = await ear.hear()
        assert bare.surface.gap("usdm", "BTCUSDT") == 1
        after = [await ear.hear() for _ in range(3)]
    chain = [before, *after]
    broken = [b["pu"] != a["u"] for a, b in pairwise(chain)]
    assert broken.count(True) == 1


@pytest.mark.parametrize(
    ("path", "pushes"),
    [
        ("/public/ws/btcusdt@bookTicker", True),
        ("/fstream/ws/btcusdt@bookTicker", True),
        ("/fstream/market/ws/btcusdt@markPrice@1s", True),
        ("/fstream/ws/btcusdt@markPrice@1s", False),
        ("/public/ws/btcusdt@markPrice@1s", False),
        ("/market/ws/btcusdt@bookTicker", False),
        ("/ws/btcusdt@markPrice@1s", False),
        ("/dstream/ws/btcusd_perp@bookTicker", True),
        ("/ws/nosuch@bookTicker", False),
    ],
)
async def test_streams_push_on_their_own_route_and_are_silent_elsewhere(
    bare: Any, path: str, pushes: bool
) -> None:
    async with bare.socket(path) as ear:
        assert await ear.silent(1.4 if not pushes else 2.5) is not pushes


async def test_wrong_names_are_acknowledged_and_requests_that_make_no_sense_are_not(
    bare: Any,
) -> None:
    async with bare.socket("/ws") as ear:
        await ear.say(method="SUBSCRIBE", params=["BTCUSDT@depth", "what@ever"], id=1)
        assert await ear.hear() == {"result": None, "id": 1}
        await ear.say(method="LIST_SUBSCRIPTIONS", id="two")
        assert await ear.hear() == {"result": ["BTCUSDT@depth", "what@ever"], "id": "two"}
        await ear.say(method="JUMP", id=3)
        assert (await ear.hear())["code"] == 2
        await ear.link.send_str("{")
        assert (await ear.hear())["code"] == 3


async def test_a_socket_can_be_switched_to_combined_frames(bare: Any) -> None:
    async with bare.socket("/ws/btcusdt@bookTicker") as ear:
        assert "B" in await ear.hear()
        await ear.say(method="SET_PROPERTY", params=["combined", True], id=1)
        for _ in range(200):
            if "stream" in await ear.hear():
                return
        raise AssertionError("never combined")


@pytest.mark.parametrize(("path", "allowed"), [("/ws", 5), ("/public/ws", 10)])
async def test_too_many_messages_in_a_second_end_the_connection(
    bare: Any, path: str, allowed: int
) -> None:
    async with bare.socket(path) as ear:
        for number in range(3 * allowed):  # a new second may begin in between
            await ear.say(method="LIST_SUBSCRIPTIONS", id=number)
        heard = 0
        with pytest.raises(ConnectionError):
            while True:
                await ear.hear()
                heard += 1
        assert allowed <= heard <= 2 * allowed


async def test_pings_come_every_twenty_seconds_and_silence_is_punished(bare: Any) -> None:
    async with bare.socket("/ws", autoping=False) as ear:
        bare.push_clock(21 * SECOND)
        message = await asyncio.wait_for(ear.link.receive(), 4)
        assert message.type.name == "PING"
        bare.push_clock(62 * SECOND)  # no pong within a minute
        message = await asyncio.wait_for(ear.link.receive(), 4)
        while message.type.name == "PING":
            message = await asyncio.wait_for(ear.link.receive(), 4)
        assert message.type.name in ("CLOSED", "ERROR", "CLOSE")


async def test_every_connection_of_a_kind_can_be_dropped_and_a_stream_silenced(bare: Any) -> None:
    async with bare.socket("/ws/btcusdt@bookTicker") as spot, bare.socket("/market/ws") as perp:
        await spot.hear()
        bare.surface.silence("btcusdt@bookTicker", 3 * SECOND)
        await asyncio.sleep(0.05)
        while not await spot.silent(0.3):
            pass
        assert bare.surface.drop("spot") == 1
        with pytest.raises(ConnectionError):
            await spot.hear()
        await perp.say(method="LIST_SUBSCRIPTIONS", id=1)
        assert await perp.hear() == {"result": [], "id": 1}

"""A recorded day on the Bybit twin: frames decode, and subscribers get them verbatim."""

import asyncio
import io
import json
import os
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard

from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Lots
from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import BookUpdate, PriceUpdate, TradeUpdate
from oneprice.twin.server import RunningTwin, serve

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
TAPE = DATA / "bybit_v5" / "bybit_v5_linear_spot_20260809_BTC_SOL.jsonl.zst"
SPEED = 8  # the tape's seconds per second of ours
pytestmark = pytest.mark.skipif(not TAPE.exists(), reason="no recorded data beside the project")


def frames() -> list[tuple[int, str, bytes]]:
    with TAPE.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file)
        lines = [json.loads(line) for line in io.TextIOWrapper(reader, "utf-8")]
    market = {
        line["conn"]: line["addr"].rpartition("/")[2] for line in lines if line["t"] == "connect"
    }
    received = [
        (int(line["ts"] * 1e6) * 1_000, market[line["conn"]], line["data"].encode())
        for line in lines
        if line["t"] == "recv"
    ]
    return sorted(received, key=lambda frame: frame[0])  # the file is grouped by connection


def instrument(market: str, base: str, tick: str, lot: str) -> Instrument:
    symbol = f"{base}USDT"
    return Instrument(
        id=f"bybit:{market}:{symbol}",
        venue="bybit",
        market=market,
        symbol=symbol,
        payoff=Payoff.SPOT if market == "spot" else Payoff.LINEAR,
        base=base,
        quote="USDT",
        settle="USDT",
        tick=Decimal(tick),
        lot=Decimal(lot),
        lots_min=Lots(1),
        notional_min=Decimal(5),
        funding_interval_ms=0 if market == "spot" else 28_800_000,
    )


LISTED = (
    instrument("linear", "BTC", "0.10", "0.001"),
    instrument("linear", "SOL", "0.010", "0.1"),
    instrument("spot", "BTC", "0.1", "0.000001"),
)


@pytest.fixture(scope="module")
def recorded() -> list[tuple[int, str, bytes]]:
    return frames()


@pytest.fixture
async def running(recorded: list[tuple[int, str, bytes]]) -> AsyncIterator[RunningTwin]:
    start, began = time.time_ns(), time.monotonic_ns()

    def clock() -> int:
        return start + (time.monotonic_ns() - began) * SPEED

    made = await serve(make_twin("bybit", clock, World(tape=iter(recorded), taped=LISTED)))
    yield made
    await made.close()
    assert made.failures == 0


def test_decodes_every_recorded_frame_of_a_listed_instrument(
    recorded: list[tuple[int, str, bytes]],
) -> None:
    world = World(tape=iter(recorded), taped=LISTED)
    surface: Any = make_twin("bybit", time.time_ns, world).surface
    counts: dict[type, int] = {}
    for at, market, frame in recorded:
        updates = surface.decode_tape(market, frame, at)
        topic = json.loads(frame).get("topic", "")
        assert bool(updates) is bool(topic)
        for number, update in enumerate(updates):
            assert update.raw == (b"" if number else frame)
            counts[type(update)] = counts.get(type(update), 0) + 1
    assert counts[BookUpdate] == 1 + 413 + 1 + 382 + 1 + 299
    assert counts[PriceUpdate] == 1 + 184 + 1 + 192
    assert counts[TradeUpdate] >= 16 + 57 + 11


@pytest.mark.parametrize("frame", [b"", b"[1]", b"{", b'{"topic":"orderbook.200.BTCUSDT"}'])
def test_ignores_frames_that_are_not_what_they_claim(frame: bytes) -> None:
    surface: Any = make_twin("bybit", time.time_ns, World()).surface
    assert surface.decode_tape("linear", frame, 0) == []


async def test_passes_recorded_frames_on_verbatim_behind_a_fitting_snapshot(
    running: RunningTwin, recorded: list[tuple[int, str, bytes]]
) -> None:
    topic, ticker = "orderbook.200.BTCUSDT", "tickers.BTCUSDT"
    known = {frame.decode() for _, market, frame in recorded if market == "linear"}
    texts: list[str] = []

    async def read(socket: aiohttp.ClientWebSocketResponse) -> None:
        while sum(topic in text for text in texts) < 40:
            text = await socket.receive_str()
            if '"topic"' in text:
                texts.append(text)

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(running.ws + "/v5/public/linear") as socket,
    ):
        await socket.send_json({"op": "subscribe", "args": [topic, ticker]})
        await asyncio.wait_for(read(socket), 10)
    books = [text for text in texts if topic in text]
    assert all(text in known for text in books[1:])
    messages = [json.loads(text) for text in books]
    updates = [message["data"]["u"] for message in messages]
    assert messages[0]["type"] == "snapshot"
    assert updates == list(range(updates[0], updates[0] + len(updates)))
    first_ticker = next(json.loads(text) for text in texts if ticker in text)
    assert first_ticker["type"] == "snapshot" and first_ticker["data"]["markPrice"]
    assert all(text in known for text in [one for one in texts if ticker in one][1:])


async def test_derives_a_depth_that_the_tape_does_not_hold(running: RunningTwin) -> None:
    topic = "orderbook.50.BTCUSDT"
    seen: list[dict[str, Any]] = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(running.ws + "/v5/public/spot") as socket,
    ):
        await socket.send_json({"op": "subscribe", "args": [topic]})
        while len(seen) < 10:
            message = await asyncio.wait_for(socket.receive_json(), 5)
            if message.get("topic") == topic:
                seen.append(message["data"])
    assert [one["u"] - seen[0]["u"] for one in seen] == list(range(10))
    assert len(seen[0]["b"]) == len(seen[0]["a"]) == 50

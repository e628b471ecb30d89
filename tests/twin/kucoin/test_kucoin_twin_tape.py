"""Recorded KuCoin spot streams on the twin: frames decode, books are whole, bytes are verbatim."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Lots
from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import BookUpdate, RawUpdate, TradeUpdate
from oneprice.twin.server import RunningTwin, serve

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
STREAM = DATA / "kucoin" / "KUCOIN.ws.1.0.20210425.dev5.raw"
REST = DATA / "kucoin" / "KUCOIN.http.0.0.20210425.dev5.raw"
SPEED = 8  # the tape's seconds per second of ours
SYMBOLS = {
    "SNX-BTC": ("0.00000001", "0.00000001"),
    "CAPP-BTC": ("0.0000000001", "0.00000001"),
    "ANKR-BTC": ("0.0000000001", "0.0001"),
    "FET-BTC": ("0.00000001", "0.00000001"),
    "DAPPT-BTC": ("0.0000000001", "0.00000001"),
}
pytestmark = pytest.mark.skipif(not STREAM.exists(), reason="no recorded data beside the project")
Frame = tuple[int, str, bytes]


def nanos(text: str) -> int:
    return int(Decimal(text) * 1_000_000_000)


def stream_frames() -> list[Frame]:
    found = []
    for line in STREAM.read_text().splitlines():
        at, colon, body = line.partition(": ")
        if colon and body.startswith("{") and not line.startswith("wss://"):
            found.append((nanos(at), "spot", body.encode()))
    return found


def rest_frames(*, named: bool) -> list[Frame]:
    """REST books, with or without the request line that names their symbol."""
    found = []
    for line in REST.read_text().splitlines():
        _, _, rest = line.partition(" -> ")
        at, _, body = rest.partition(": ")
        found.append((nanos(at), "spot", (line if named else body).encode()))
    return found


def instrument(symbol: str) -> Instrument:
    tick, lot = SYMBOLS[symbol]
    base, quote = symbol.split("-")
    return Instrument(
        id=f"kucoin:spot:{symbol}",
        venue="kucoin",
        market="spot",
        symbol=symbol,
        payoff=Payoff.SPOT,
        base=base,
        quote=quote,
        settle=quote,
        tick=Decimal(tick),
        lot=Decimal(lot),
        lots_min=Lots(1),
    )


LISTED = tuple(instrument(symbol) for symbol in SYMBOLS)


def tape(*, named: bool = False) -> list[Frame]:
    return sorted(stream_frames() + rest_frames(named=named), key=lambda frame: frame[0])


@pytest.fixture
async def running() -> AsyncIterator[RunningTwin]:
    start, began = time.time_ns(), time.monotonic_ns()

    def clock() -> int:
        return start + (time.monotonic_ns() - began) * SPEED

    made = await serve(make_twin("kucoin", clock, World(tape=iter(tape()), taped=LISTED)))
    yield made
    await made.close()
    assert made.failures == 0


def decoder() -> Any:
    return make_twin("kucoin", time.time_ns, World(tape=iter(tape()), taped=LISTED)).surface


@pytest.mark.parametrize("named", [True, False])
def test_finds_the_symbol_of_every_recorded_rest_book(named: bool) -> None:
    surface = decoder()
    found = {}
    for at, market, frame in tape(named=named):
        for update in surface.decode_tape(market, frame, at):
            if isinstance(update, BookUpdate) and update.full:
                found[update.instrument] = update.sequence
    sequences = {
        line.partition("symbol=")[2].partition(" ")[0]: json.loads(line[line.index("{") :])
        for line in REST.read_text().splitlines()
    }
    assert found == {
        f"kucoin:spot:{symbol}": int(body["data"]["sequence"])
        for symbol, body in sequences.items()
    }


def test_sequences_go_on_from_each_snapshot_and_no_book_is_ever_crossed() -> None:
    surface = decoder()
    books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    last: dict[str, int] = {}
    whole: dict[str, Any] = {}
    counts = {"applied": 0, "trades": 0, "raw": 0}
    for at, market, frame in rest_frames(named=True):
        [update] = surface.decode_tape(market, frame, at)
        whole[update.instrument] = update
        books[update.instrument] = (dict(update.bids), dict(update.asks))
        last[update.instrument] = update.sequence
    for at, market, frame in stream_frames():
        for update in surface.decode_tape(market, frame, at):
            counts["trades"] += isinstance(update, TradeUpdate)
            counts["raw"] += isinstance(update, RawUpdate)
            if not isinstance(update, BookUpdate) or update.sequence <= last[update.instrument]:
                continue
            assert update.sequence_before == last[update.instrument]
            last[update.instrument] = update.sequence
            bids, asks = books[update.instrument]
            for book, levels in ((bids, update.bids), (asks, update.asks)):
                for ticks, lots in levels:
                    book[ticks] = lots
                    if not lots:
                        del book[ticks]
            assert max(bids) < min(asks)
            counts["applied"] += 1
    assert counts["applied"] > 1_000
    assert (counts["trades"], counts["raw"]) == (13, 456 + 4)


@pytest.mark.parametrize("frame", [b"", b"[1]", b"{", b'{"topic":"/market/level2:SNX-BTC"}'])
def test_ignores_frames_that_are_not_what_they_claim(frame: bytes) -> None:
    assert make_twin("kucoin", time.time_ns).surface.decode_tape("spot", frame, 0) == []


async def test_passes_recorded_frames_on_verbatim_and_serves_the_book(
    running: RunningTwin,
) -> None:
    topic = "/market/level2:SNX-BTC"
    known = {frame.decode() for _, _, frame in stream_frames()}
    texts: list[str] = []

    async def read(socket: aiohttp.ClientWebSocketResponse) -> None:
        while len(texts) < 60:
            text = await socket.receive_str()
            if topic in text and '"message"' in text:
                texts.append(text)

    async with aiohttp.ClientSession() as session:
        async with session.post(running.rest + "/api/v1/bullet-public") as answer:
            data = (await answer.json())["data"]
        url = f"{data['instanceServers'][0]['endpoint']}?token={data['token']}"
        async with session.ws_connect(url) as socket:
            await socket.send_json({"id": "1", "type": "subscribe", "topic": topic})
            await asyncio.wait_for(read(socket), 10)
        path = "/api/v1/market/orderbook/level2_20?symbol=SNX-BTC"
        async with session.get(running.rest + path) as answer:
            book = (await answer.json())["data"]
    assert all(text in known for text in texts)
    ranges = [json.loads(text)["data"] for text in texts]
    assert all(
        one["sequenceStart"] == before["sequenceEnd"] + 1
        for before, one in pairwise(ranges)
    )
    assert int(book["sequence"]) >= ranges[-1]["sequenceEnd"]
    assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])

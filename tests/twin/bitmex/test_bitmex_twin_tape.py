"""Half a minute of 2021 on the BitMEX twin: frames decode, books hold, readers get them."""

import json
import os
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bitmexwire import Line
from yarl import URL

from oneprice.model.instrument import Instrument, Payoff
from oneprice.twin.build import World, make_twin
from oneprice.twin.dialects.bitmex import make
from oneprice.twin.faults import Faults
from oneprice.twin.server import RunningTwin, serve

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
FOLDER = DATA / "bitmex"
TAPE, LISTS = FOLDER / "BITMEX.ws.1.0.20210722.raw", FOLDER / "BITMEX.0.20210722.instruments.raw"
LATER = FOLDER / "orderBookL2_partial_xbtusd_20250425.json"
pytestmark = pytest.mark.skipif(not TAPE.exists(), reason="no recorded data beside the project")
Frame = tuple[int, str, bytes]
SECOND = 1_000_000_000
SPEED = 8  # the tape's seconds per second of ours


def recorded() -> list[Frame]:
    found: list[Frame] = []
    for line in TAPE.read_text().splitlines():
        if not line.startswith("wss"):
            stamp, _, text = line.partition(": ")
            found.append((int(Decimal(stamp) * SECOND), "derivatives", text.encode()))
    return found


def listed(*symbols: str) -> tuple[Instrument, ...]:
    text = LISTS.read_text().partition(" -> ")[2].partition(": ")[2].splitlines()[0]
    rows = [row for row in json.loads(text, parse_float=Decimal) if row["symbol"] in symbols]
    return tuple(
        Instrument(
            id=f"bitmex:derivatives:{row['symbol']}",
            venue="bitmex",
            market="derivatives",
            symbol=row["symbol"],
            payoff=Payoff.INVERSE if row["isInverse"] else Payoff.QUANTO,
            base=row["rootSymbol"],
            quote=row["quoteCurrency"],
            settle="XBT",
            tick=Decimal(row["tickSize"]),
            lot=Decimal(row["lotSize"]),
            contract_value=Decimal(abs(row["multiplier"])).scaleb(-8),
        )
        for row in rows
    )


NAMES = ("XBTUSD", "SOLUSDT", "ADAUSDT", "MATICUSDT", "UNIUSDT")


def touch(exchange: Any, one: Instrument) -> tuple[Any, ...]:
    view = exchange.book(one.id, 1)
    if not view.bids or not view.asks:
        return ()
    (bid, bid_lots), (ask, ask_lots) = view.bids[0], view.asks[0]
    assert bid < ask
    return (
        one.price(bid), int(one.size(bid_lots)), one.price(ask), int(one.size(ask_lots)),
    )  # fmt: skip


def test_books_of_the_tape_are_never_crossed_and_show_every_recorded_quote() -> None:
    tape, known = recorded(), listed(*NAMES)
    assert len(known) == len(NAMES)
    exchange = make_twin("bitmex", lambda: 10**18, World(tape=iter(tape), taped=known)).exchange
    surface = make(exchange, lambda: 0, Faults())
    touches: dict[str, list[tuple[int, tuple[Any, ...]]]] = {one.id: [] for one in known}
    quotes: list[tuple[int, str, tuple[Any, ...]]] = []
    for at, market, frame in tape:
        for update in surface.decode_tape(market, frame, at):
            if update.instrument in touches:
                exchange.apply(update, 10**18 + at - tape[0][0])
        for one in known:
            seen = touches[one.id]
            now = touch(exchange, one)
            if now and (not seen or seen[-1][1] != now):
                seen.append((at, now))
        message = json.loads(frame, parse_float=Decimal)
        if message.get("table") == "quote" and message["action"] == "insert":
            row = message["data"][-1]  # earlier ones of a frame were gone again when it came
            name = f"bitmex:derivatives:{row['symbol']}"
            if name in touches:
                values = (row["bidPrice"], row["bidSize"], row["askPrice"], row["askSize"])
                quotes.append((at, name, values))
    assert len(quotes) > 40
    for at, name, values in quotes:
        assert any(abs(then - at) < SECOND and was == values for then, was in touches[name])


def test_no_recorded_update_or_delete_names_an_unknown_level() -> None:
    world = World(tape=iter(recorded()), taped=listed(*NAMES))
    exchange = make_twin("bitmex", time.time_ns, world).exchange
    fresh: Any = make(exchange, time.time_ns, Faults())
    for at, market, frame in recorded():
        message = json.loads(frame)
        updates: Any = fresh.decode_tape(market, frame, at)
        symbols = {row.get("symbol") for row in message.get("data", [])} & set(NAMES)
        assert bool(updates) is bool(symbols)
        if message.get("table") == "orderBookL2" and symbols:
            levels = sum(len(one.bids) + len(one.asks) for one in updates)
            assert levels == len({(row["id"], row["side"]) for row in message["data"]})
            assert updates[0].raw == frame


@pytest.mark.skipif(not LATER.exists(), reason="no recorded data beside the project")
def test_a_partial_of_2025_is_a_whole_book() -> None:
    surface: Any = make_twin("bitmex", time.time_ns, World()).surface
    (update,) = surface.decode_tape("derivatives", LATER.read_bytes(), 0)
    assert update.full and len(update.bids) > 1000 and len(update.asks) > 1000


@pytest.mark.parametrize(
    "frame", [b"", b"[1]", b"{", b'{"table":"orderBookL2","action":"update","data":[{}]}', b"pong"]
)
def test_frames_that_are_not_what_they_claim_are_ignored(frame: bytes) -> None:
    surface: Any = make_twin("bitmex", time.time_ns, World()).surface
    assert surface.decode_tape("derivatives", frame, 0) == []


@pytest.fixture
async def running() -> AsyncIterator[RunningTwin]:
    start, began = time.time_ns(), time.monotonic_ns()

    def clock() -> int:
        return start + (time.monotonic_ns() - began) * SPEED

    world = World(tape=iter(recorded()), taped=listed("XBTUSD", "SOLUSDT"))
    made = await serve(make_twin("bitmex", clock, world))
    yield made
    await made.close()
    assert made.failures == 0


async def test_readers_get_recorded_frames_behind_a_partial_that_fits(
    running: RunningTwin,
) -> None:
    verbatim = {frame.decode() for _, _, frame in recorded()}
    async with aiohttp.ClientSession() as session:
        url = URL(f"{running.ws}/realtime?subscribe=orderBookL2:XBTUSD,quote:XBTUSD")
        line = Line(await session.ws_connect(url, max_msg_size=1 << 24))
        partial = await line.table("orderBookL2", "partial")
        assert len(partial["data"]) > 9_000
        rows = {(row["id"], row["side"]): row for row in partial["data"]}
        count = 0
        while count < 120:
            message = await line.socket.receive()
            news = json.loads(message.data)
            if news.get("action") == "partial" or "data" not in news:
                continue
            assert message.data in verbatim
            for row in news["data"] if news["table"] == "orderBookL2" else ():
                key = (row["id"], row["side"])
                if news["action"] == "delete":
                    del rows[key]
                else:
                    assert (key in rows) is (news["action"] == "update")
                    rows[key] = rows.get(key, {}) | row
            count += 1
        bids = [row["price"] for row in rows.values() if row["side"] == "Buy"]
        asks = [row["price"] for row in rows.values() if row["side"] == "Sell"]
        assert max(bids) < min(asks)

"""Recorded days on the OKX twin: frames decode, books check, subscribers get them verbatim."""

import json
import os
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Lots
from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import BookUpdate, PriceUpdate, TradeUpdate
from oneprice.twin.dialects.okx.books import Books, checksum
from oneprice.twin.dialects.okx.facts import Sheets
from oneprice.twin.server import RunningTwin, serve

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
BOOKS = DATA / "okx_v5" / "OKX.ws.1.0.20220513.raw"
PRICES = DATA / "okx_v5" / "raw_perp_stream_20260930.tsv"
SPEED = 8  # the tape's seconds per second of ours
pytestmark = pytest.mark.skipif(not BOOKS.exists(), reason="no recorded data beside the project")
Frame = tuple[int, str, bytes]


def instrument(
    market: str, symbol: str, payoff: Payoff, tick: str, lot: str, value: str
) -> Instrument:
    base, quote = symbol.split("-")[:2]
    inverse = payoff is Payoff.INVERSE
    return Instrument(
        id=f"okx:{market}:{symbol}",
        venue="okx",
        market=market,
        symbol=symbol,
        payoff=payoff,
        base=base,
        quote=quote,
        settle=base if inverse else quote,
        tick=Decimal(tick),
        lot=Decimal(lot),
        contract_value=Decimal(value),
        lots_min=Lots(1),
        funding_interval_ms=28_800_000 if market == "swap" else 0,
    )


LISTED = (
    instrument("spot", "BTC-USDT", Payoff.SPOT, "0.1", "0.00000001", "1"),
    instrument("swap", "UNI-USD-SWAP", Payoff.INVERSE, "0.001", "1", "10"),
    instrument("futures", "BTC-USD-220527", Payoff.INVERSE, "0.1", "1", "100"),
)


def frames() -> list[Frame]:
    found = []
    for line in BOOKS.read_text().splitlines():
        stamp, _, text = line.partition(": ")
        if text.startswith("{") and stamp[:1].isdigit():
            found.append((int(Decimal(stamp) * 10**9), "public", text.encode()))
    return found


@pytest.fixture(scope="module")
def recorded() -> list[Frame]:
    return frames()


@pytest.fixture
async def running(recorded: list[Frame]) -> AsyncIterator[RunningTwin]:
    start, began = time.time_ns(), time.monotonic_ns()

    def clock() -> int:
        return start + (time.monotonic_ns() - began) * SPEED

    made = await serve(make_twin("okx", clock, World(tape=iter(recorded), taped=LISTED)))
    yield made
    await made.close()
    assert made.failures == 0


def test_every_recorded_data_frame_becomes_updates(recorded: list[Frame]) -> None:
    surface: Any = make_twin("okx", time.time_ns, World(tape=iter(recorded), taped=LISTED)).surface
    kinds: dict[type, int] = {}
    for at, market, frame in recorded:
        updates = surface.decode_tape(market, frame, at)
        message = json.loads(frame)
        assert bool(updates) is ("data" in message)
        for number, update in enumerate(updates):
            assert update.raw == (b"" if number else frame)
            kinds[type(update)] = kinds.get(type(update), 0) + 1
    assert kinds[BookUpdate] == 290 and kinds[TradeUpdate] == 74


def test_every_recorded_checksum_is_that_of_the_rebuilt_book(recorded: list[Frame]) -> None:
    twin = make_twin("okx", time.time_ns, World(tape=iter(recorded), taped=LISTED))
    surface: Any = twin.surface
    sheets = Sheets(twin.exchange)
    sides: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    checked = 0
    for at, market, frame in recorded:
        row = json.loads(frame)
        if row.get("arg", {}).get("channel") != "books" or "data" not in row:
            continue
        (update,) = surface.decode_tape(market, frame, at)
        if update.full:
            sides[update.instrument] = ({}, {})
        for half, levels in zip(sides[update.instrument], (update.bids, update.asks), strict=True):
            for ticks, lots in levels:
                half[ticks] = lots
                if not lots:
                    del half[ticks]
        bids, asks = sides[update.instrument]
        best = tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))
        found = checksum(sheets.by_id[update.instrument], *best)
        assert found == row["data"][0]["checksum"]
        checked += 1
    assert checked == 290


def test_the_checksums_of_the_documents_come_out() -> None:
    exchange: Any = make_twin("okx", time.time_ns, World(instruments=("okx:swap:BTC-USDT-SWAP",)))
    sheet = Sheets(exchange.exchange).all[0]
    grid = sheet.instrument

    def levels(*rows: tuple[str, int]) -> tuple[tuple[int, int], ...]:
        return tuple((int(grid.ticks(price)), size * 100) for price, size in rows)

    bids = levels(("3366.1", 7), ("3366", 6))
    asks = levels(("3366.8", 9), ("3368", 8), ("3372", 8))
    assert checksum(sheet, bids, asks[:2]) == -1881014294
    assert checksum(sheet, bids[:1], asks) == 831078360


async def test_subscribers_get_the_frames_verbatim_behind_a_snapshot_that_checks(
    running: RunningTwin, recorded: list[Frame]
) -> None:
    known = {frame for _, _, frame in recorded}
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{running.ws}/ws/v5/public")
        arg = {"channel": "books", "instId": "BTC-USDT"}
        await socket.send_json({"op": "subscribe", "args": [arg]})
        await socket.receive_str()
        snapshot = json.loads(await socket.receive_str())
        row = snapshot["data"][0]
        assert snapshot["action"] == "snapshot" and "seqId" not in row
        sheet = Sheets(running.twin.exchange).by_inst["BTC-USDT"]
        book = [
            {int(sheet.instrument.ticks(one[0])): int(sheet.instrument.lots(one[1])) for one in
             row[name]}
            for name in ("bids", "asks")
        ]  # fmt: skip
        for _ in range(20):
            text = await socket.receive_str()
            assert text.encode() in known
            row = json.loads(text)["data"][0]
            for half, name in zip(book, ("bids", "asks"), strict=True):
                for price, size, *_ in row[name]:
                    half[int(sheet.instrument.ticks(price))] = int(sheet.instrument.lots(size))
                    if size == "0":
                        del half[int(sheet.instrument.ticks(price))]
            best = tuple(sorted(book[0].items(), reverse=True)), tuple(sorted(book[1].items()))
            assert checksum(sheet, *best) == row["checksum"]


def test_recorded_prices_funding_and_interest_are_read(recorded: list[Frame]) -> None:
    twin = make_twin("okx", time.time_ns, World(instruments=("okx:swap:BTC-USDT-SWAP",)))
    surface: Any = twin.surface
    seen: dict[str, Any] = {}
    for line in PRICES.read_text().splitlines():
        message = json.loads(line.partition("\t")[2])
        for update in surface.decode_tape("public", line.partition("\t")[2].encode(), 0):
            assert isinstance(update, PriceUpdate)
            seen[message["arg"]["channel"]] = update
    assert seen["mark-price"].mark > 80_000 and seen["index-tickers"].index > 80_000
    assert seen["funding-rate"].funding_due % 3_600_000_000_000 == 0
    assert seen["open-interest"].open_interest_lots > 10**8


def test_modern_frames_keep_the_numbers_of_the_venue() -> None:
    twin = make_twin("okx", time.time_ns, World(instruments=("okx:swap:BTC-USDT-SWAP",)))
    surface: Any = twin.surface
    row = {"asks": [["90000.1", "12.5", "0", "4"]], "bids": [], "ts": "1", "checksum": 0}
    arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
    first = {"arg": arg, "action": "snapshot", "data": [row | {"prevSeqId": -1, "seqId": 1000}]}
    (update,) = surface.decode_tape("public", json.dumps(first).encode(), 0)
    assert (update.full, update.sequence, update.asks) == (True, 1000, ((900001, 1250),))
    second = {"arg": arg, "action": "update", "data": [row | {"prevSeqId": 1000, "seqId": 1007}]}
    (update,) = surface.decode_tape("public", json.dumps(second).encode(), 0)
    assert (update.full, update.sequence_before, update.sequence) == (False, 1000, 1007)
    assert Books(twin.exchange).checked == {}
    off_grid = {"arg": arg, "action": "update",
                "data": [row | {"asks": [["1.23456", "1", "0", "1"]]}]}  # fmt: skip
    assert surface.decode_tape("public", json.dumps(off_grid).encode(), 0) == []
    assert surface.decode_tape("public", b"not json", 0) == []

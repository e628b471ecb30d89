"""Recorded frames of real venues give equal, never crossed books in both kernels."""

from __future__ import annotations

import gzip
import io
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import zstandard

from oneprice.kernel.contract import DepthFormat, Outcome

from .formats import BINANCE_FUTURES, BINANCE_SPOT, BYBIT, text

HOME = Path(__file__).resolve().parents[2] / "../shared/data"
DATA = Path(os.environ.get("ONEPRICE_DATA", HOME))
FRAMES_MAX = 12_000


def recorded(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"recorded data is absent: {name}")
    return path


def run(
    module: ModuleType, facts: DepthFormat, books: dict[str, Any], frames: Iterable[bytes]
) -> tuple[Counter[str], list[int]]:
    """Outcomes counted, and a fingerprint of the book after every frame."""
    reader, counted, prints = module.DepthReader(facts), Counter[str](), []
    for name, book in books.items():
        reader.register(name, book)
    for at, frame in enumerate(frames):
        counted[Outcome(reader.feed(frame, at)).name] += 1
        if reader.book is not None:
            prints.append(reader.book.fingerprint())
            assert not reader.book.known or reader.book.bid_ticks < reader.book.ask_ticks
    return counted, prints


def test_bybit_frames_are_continuous_and_equal(both: tuple[ModuleType, ModuleType]) -> None:
    raw = recorded("bybit_v5/bybit_v5_linear_spot_20260809_BTC_SOL.jsonl.zst").read_bytes()
    frames: dict[str, list[bytes]] = {}
    for line in io.BytesIO(zstandard.ZstdDecompressor().stream_reader(raw).read()):
        entry = msgspec.json.decode(line)
        if entry["t"] == "recv":
            frames.setdefault(entry["conn"], []).append(entry["data"].encode())
    assert frames
    for conversation in frames.values():
        results = []
        for module in both:
            names = ("orderbook.200.BTCUSDT", "orderbook.200.SOLUSDT")
            books = {name: module.Book("0.001", "0.000001", 200) for name in names}
            results.append(run(module, BYBIT, books, conversation))
        assert results[0] == results[1]
        assert set(results[0][0]) <= {"OTHER", "APPLIED", "REPLACED"}


def test_a_bybit_orderbook_50_excerpt_is_continuous(kernel: ModuleType) -> None:
    lines = recorded("bybit_v5/orderbook50_spot_BTCUSDT_20260824.jsonl").read_bytes().splitlines()
    book = kernel.Book("0.1", "0.000001", 50)
    counted, _ = run(kernel, BYBIT, {"orderbook.50.BTCUSDT": book}, lines)
    assert counted == {"OTHER": 1, "REPLACED": 1, "APPLIED": 8}


@pytest.mark.parametrize(
    ("name", "facts", "tick", "lot"),
    [
        ("binance_spot_raw/btcusdt_20240808.gz", BINANCE_SPOT, "0.01", "0.00001"),
        ("binance_usdm_raw/btcusdt_20240808.gz", BINANCE_FUTURES, "0.1", "0.001"),
    ],
)
def test_binance_books_meet_the_best_prices_that_the_venue_told(
    both: tuple[ModuleType, ModuleType], name: str, facts: DepthFormat, tick: str, lot: str
) -> None:
    lines = gzip.decompress(recorded(name).read_bytes()).splitlines()
    frames = [line.partition(b" ")[2] for line in lines]
    start = next(i for i, frame in enumerate(frames) if b'"lastUpdateId"' in frame)
    snapshot = msgspec.json.decode(frames[start])
    results = []
    for module in both:
        book = module.Book(tick, lot)
        bids, asks = text(snapshot["bids"]), text(snapshot["asks"])
        book.snapshot(bids, asks, 0, snapshot["lastUpdateId"])
        results.append(run(module, facts, {"BTCUSDT": book}, frames[: start + 500]))
        compare_with_ticker(module, facts, book, frames[start + 500 :][:FRAMES_MAX])
    assert results[0] == results[1]
    counted = results[0][0]
    assert counted["APPLIED"] > 10
    assert set(counted) <= {"OTHER", "STALE", "APPLIED"}


def compare_with_ticker(
    module: ModuleType, facts: DepthFormat, book: Any, frames: list[bytes]
) -> None:
    """The oracle of the data: the ticker with the greatest `u` not above the book's."""
    reader = module.DepthReader(facts)
    reader.register("BTCUSDT", book)
    told: list[tuple[int, Any]] = []
    for frame in frames:
        if b"bookTicker" in frame:
            ticker = msgspec.json.decode(frame)["data"]
            told.append((ticker["u"], ticker))
    updates, compared = [update for update, _ in told], 0
    for frame in frames:
        if reader.feed(frame, 0) != Outcome.APPLIED:
            continue
        place = bisect_right(updates, book.sequence)
        if 0 < place < len(told):
            ticker = told[place - 1][1]
            touch = (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
            units = (book.tick, book.lot, book.tick, book.lot)
            assert [Decimal(ticker[key]) for key in "bBaA"] == [
                count * unit for count, unit in zip(touch, units, strict=True)
            ]
            compared += 1
    assert compared > 20

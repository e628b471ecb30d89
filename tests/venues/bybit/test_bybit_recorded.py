"""Recorded frames of the venue, decoded as they came."""

import ast
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard

from oneprice.kernel import Book, Tripwires
from oneprice.model.events import (
    BookReady,
    CandleClosed,
    FeedLost,
    FrameRejected,
    FundingForecast,
    InstrumentListed,
    MarketTraded,
    OrderAccepted,
    OrderEnded,
    PositionReported,
    TouchQuoted,
)
from oneprice.model.instrument import Payoff
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.bybit.trade import BybitTrade
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Wanted

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
TAPE = DATA / "bybit_v5" / "bybit_v5_linear_spot_20260809_BTC_SOL.jsonl.zst"
pytestmark = pytest.mark.skipif(not TAPE.exists(), reason="recorded data is not here")

LINEAR, SOL, SPOT = "bybit:linear:BTCUSDT", "bybit:linear:SOLUSDT", "bybit:spot:BTCUSDT"


def lines() -> Iterator[dict[str, str]]:
    raw = zstandard.ZstdDecompressor().stream_reader(TAPE.open("rb")).read()
    yield from (json.loads(line) for line in raw.splitlines())


def listed_feed() -> tuple[BybitFeed, list[Output]]:
    feed = BybitFeed(Tripwires())
    feed.instruments(["linear", "spot"])
    out: list[Output] = []
    for line in lines():
        if line["t"] == "http" and "instruments-info" in line["url"]:
            market = "spot" if "category=spot" in line["url"] else "linear"
            body = line["data"].encode()
            out += feed.answered(Answer(tag=f"instruments:{market}", status=200, body=body), 1)
    return feed, out


def test_every_recorded_instrument_is_listed_on_its_grid() -> None:
    feed, out = listed_feed()
    assert Counter(type(event).__name__ for event in out) == {"InstrumentListed": 1357}
    assert not feed.follow_ups()
    items = {e.instrument.id: e.instrument for e in out if isinstance(e, InstrumentListed)}
    perpetual, spot = items[LINEAR], items[SPOT]
    assert (str(perpetual.tick), str(perpetual.lot)) == ("0.10", "0.001")
    assert perpetual.funding_interval_ms == 8 * 3_600_000 and perpetual.expiry == 0
    assert (str(spot.tick), str(spot.lot), str(spot.notional_min)) == ("0.1", "0.000001", "5")
    assert spot.payoff is Payoff.SPOT and spot.funding_interval_ms == 0
    pepe = items["bybit:linear:1000PEPEUSDT"]
    assert (pepe.base, pepe.multiplier) == ("PEPE", 1000)
    shib = items["bybit:linear:SHIB1000USDT"]
    assert (shib.base, shib.multiplier) == ("SHIB", 1000)
    assert items["bybit:linear:1INCHUSDT"].base == "1INCH"
    dated = items["bybit:linear:BTCUSDT-25DEC26"]
    assert dated.expiry == 1_798_185_600_000_000_000 and dated.funding_interval_ms == 0
    assert items["bybit:linear:BTCPERP"].settle == "USDC"


def played() -> tuple[BybitFeed, Counter[str], list[tuple[int, int]]]:
    """The whole tape through the dialect; also (ticker, book) pairs of best prices."""
    feed, _ = listed_feed()
    feed.topics([Wanted(instrument=name, depth=200) for name in (LINEAR, SOL, SPOT)])
    sockets = {
        line["conn"]: line["addr"].rsplit("/", 1)[1] for line in lines() if line["t"] == "connect"
    }
    counts: Counter[str] = Counter()
    pairs: list[tuple[int, int]] = []
    sequences: dict[str, int] = {}
    for line in lines():
        if line["t"] != "recv":
            continue
        at = int(float(line["ts"]) * 1e9)
        for event in feed.decode(sockets[line["conn"]], line["data"].encode(), at):
            counts[type(event).__name__] += 1
            if isinstance(event, TouchQuoted):
                book = feed.books[event.instrument]
                if book.known:
                    pairs.append((event.bid_ticks, book.bid_ticks))
                    pairs.append((event.ask_ticks, book.ask_ticks))
        for name, book in feed.books.items():
            watch(sequences, name, book)
    return feed, counts, pairs


def watch(sequences: dict[str, int], name: str, book: Book) -> None:
    if not book.known:
        return
    assert book.sequence - sequences.get(name, book.sequence) in (0, 1), f"{name}: a jump"
    sequences[name] = book.sequence
    assert book.bid_ticks < book.ask_ticks, f"{name}: crossed"
    assert len(book.bids()) <= 200 and len(book.asks()) <= 200


def test_the_recording_decodes_without_a_loss_and_its_tickers_agree_with_the_books() -> None:
    feed, counts, pairs = played()
    assert counts["BookReady"] == 3 and all(book.known for book in feed.books.values())
    assert counts["FeedLost"] == 0 and counts["FrameRejected"] == 0
    assert counts["Ack"] == 24
    assert counts["MarketTraded"] > 84 and counts["CandleClosed"] >= 1
    assert counts["Marked"] > 100 and counts["FundingForecast"] >= 2
    agreed = sum(ticker == book for ticker, book in pairs)
    assert len(pairs) - agreed <= len(pairs) * 4 / 740, f"{agreed} of {len(pairs)}"
    assert len(pairs) > 400


def test_the_recorded_spot_book_of_fifty_levels_is_continuous() -> None:
    feed, _ = listed_feed()
    feed.topics([Wanted(instrument=SPOT, depth=50)])
    out: list[Output] = []
    for line in (DATA / "bybit_v5/orderbook50_spot_BTCUSDT_20260824.jsonl").open("rb"):
        out += feed.decode("spot", line.strip(), 1)
    assert [type(event) for event in out] == [Ack, BookReady]
    book = feed.books[SPOT]
    assert book.known and book.sequence == 217_107_092 and len(book.bids()) <= 50


def private_frames(name: str) -> list[bytes]:
    rows = (DATA / "private_streams" / name).read_text().splitlines()
    return [msgspec.json.encode(ast.literal_eval(row)) for row in rows if row.strip()]


def test_recorded_private_streams_decode_without_loss() -> None:
    feed, _ = listed_feed()
    trade = BybitTrade(Credentials("k", "s"), feed.listed)
    orders = [
        e for f in private_frames("bybit_order_stream.log") for e in trade.decode("private", f, 1)
    ]
    assert Counter(type(e).__name__ for e in orders) == {
        "Ack": 2,
        "OrderEnded": 9,
        "OrderAccepted": 3,
    }
    ended = [e for e in orders if isinstance(e, OrderEnded)]
    assert Counter(e.reason for e in ended) == {"filled": 8, "cancelled": 1}
    assert all(e.filled_lots == 10 for e in ended if e.reason == "filled")
    assert all(e.live for e in orders if isinstance(e, OrderAccepted))
    places = [
        e for f in private_frames("bybit_position.log") for e in trade.decode("private", f, 1)
    ]
    assert all(isinstance(e, PositionReported) for e in places) and len(places) == 8
    first = places[0]
    assert isinstance(first, PositionReported)
    assert (first.instrument, first.lots, str(first.entry)) == (LINEAR, 2, "95490.1")


def test_a_frame_missing_from_the_recording_is_a_gap() -> None:
    feed, _ = listed_feed()
    feed.topics([Wanted(instrument=LINEAR, depth=200)])
    depth = [
        line["data"].encode()
        for line in lines()
        if line["t"] == "recv" and '"topic":"orderbook.200.BTCUSDT","type"' in line["data"]
    ]
    out = [e for frame in depth[:20] + depth[21:30] for e in feed.decode("linear", frame, 1)]
    assert [type(e) for e in out] == [BookReady, FeedLost]
    assert out[1].reason == "gap"  # type: ignore[union-attr]
    assert not feed.books[LINEAR].known


def test_events_the_recording_must_hold_are_all_of_known_kinds() -> None:
    _, counts, _ = played()
    kinds = (BookReady, TouchQuoted, MarketTraded, FundingForecast, CandleClosed)
    assert all(counts[kind.__name__] for kind in kinds)
    assert FrameRejected.__name__ not in counts

"""Recorded BitMEX frames decode without loss, and the books they make equal the quotes."""

import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from oneprice.kernel import Tripwires
from oneprice.model.events import (
    BookReady,
    FeedLost,
    FrameRejected,
    InstrumentListed,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Payoff
from oneprice.venues.bitmex.feed import BitmexFeed
from oneprice.venues.contract import Answer, Output, Wanted

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
FOLDER = DATA / "bitmex"
LISTING, TAPE = FOLDER / "BITMEX.0.20210722.instruments.raw", FOLDER / "BITMEX.ws.1.0.20210722.raw"
PARTIAL = FOLDER / "orderBookL2_partial_xbtusd_20250425.json"
pytestmark = pytest.mark.skipif(not TAPE.exists(), reason="recorded data is not here")

XBTUSD = "bitmex:derivatives:XBTUSD"
SYMBOLS = [
    "XRPU21",
    "UNIUSDT",
    "XBTUSD",
    "ADAUSDT",
    "SOLUSDT",
    "TRXU21",
    "EOSUSDT",
    "TRXUSDT",
    "BCHUSD",
    "MATICUSDT",
]


def listed_feed(change: tuple[str, str] = ("", "")) -> tuple[BitmexFeed, list[Output]]:
    feed = BitmexFeed(Tripwires())
    body = LISTING.read_text().partition("\n")[0].partition("-> ")[2].partition(": ")[2]
    answer = Answer(tag="instruments:derivatives", status=200, body=body.replace(*change).encode())
    return feed, list(feed.answered(answer, 1))


def frames() -> Iterator[tuple[int, bytes]]:
    for line in TAPE.read_text().splitlines():
        if not line.startswith("wss"):
            stamp, _, payload = line.partition(": ")
            yield int(Decimal(stamp) * 10**9), payload.encode()


def test_every_recorded_instrument_is_listed_with_its_value() -> None:
    feed, out = listed_feed()
    assert {type(event) for event in out} == {InstrumentListed}
    assert Counter(item.payoff for item in feed.listed.values()) == {
        Payoff.QUANTO: 22, Payoff.LINEAR: 7, Payoff.INVERSE: 5,
    }  # fmt: skip
    inverse = feed.listed[XBTUSD]
    # A recorded trade of 900 contracts at 32180.5 was worth 2796723 satoshi, rounded by lots.
    assert round(inverse.base_size(64361, 1) * 10**8) * 9 == 2796723
    ether = feed.listed["bitmex:derivatives:ETHUSD"]
    assert (ether.tick, ether.contract_value) == (Decimal("0.05"), Decimal("0.000001"))
    assert feed.listed["bitmex:derivatives:XRPU21"].tick == Decimal("1E-8")


def test_the_whole_recording_decodes_and_every_quote_is_a_touch_of_its_book() -> None:
    feed, _ = listed_feed()
    names = [f"bitmex:derivatives:{symbol}" for symbol in SYMBOLS]
    feed.topics([Wanted(instrument=name, trades=True) for name in names])
    counts: Counter[type] = Counter()
    touches: dict[str, set[tuple[int, ...]]] = {name: set() for name in names}
    quoted: list[TouchQuoted] = []
    for at, frame in frames():
        for event in feed.decode("public", frame, at):
            counts[type(event)] += 1
            assert not isinstance(event, FeedLost | FrameRejected), event
            if isinstance(event, TouchQuoted):
                quoted.append(event)
        for name in names:
            book = feed.books[name]
            if book.known:
                touch = (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
                touches[name].add(touch)
    assert all(feed.books[name].known for name in names)
    assert counts[BookReady] == len(SYMBOLS)
    assert counts[MarketTraded] > 10
    # Quotes come in bursts, later or earlier than the diffs: each must be the best of the book,
    # price and size, at some moment.
    unseen = [
        q for q in quoted
        if (q.bid_ticks, q.bid_lots, q.ask_ticks, q.ask_lots) not in touches[q.instrument]
    ]  # fmt: skip
    assert len(quoted) > 400
    assert unseen == []


def test_a_recorded_partial_of_today_is_a_book() -> None:
    feed, _ = listed_feed(('"tickSize":0.5,', '"tickSize":0.1,'))
    feed.topics([Wanted(instrument=XBTUSD, book=True)])
    (ready,) = feed.decode("public", PARTIAL.read_bytes(), 1)
    assert isinstance(ready, BookReady)
    book, item = feed.books[XBTUSD], feed.listed[XBTUSD]
    best = item.price(book.bid_ticks), item.price(book.ask_ticks)
    assert best == (Decimal("94889.2"), Decimal("94889.3"))
    assert len(book.bids()) + len(book.asks()) == 5689


def test_one_diff_left_out_is_noticed_by_the_recording_itself() -> None:
    feed, _ = listed_feed()
    feed.topics([Wanted(instrument=XBTUSD)])
    lost, dropped = [], False
    for at, frame in frames():
        if b'"XBTUSD"' not in frame or b'"orderBookL2"' not in frame:
            continue
        if not dropped and b'"action":"insert"' in frame:
            dropped = True
            continue
        lost += [e for e in feed.decode("public", frame, at) if isinstance(e, FeedLost)]
    assert [event.reason for event in lost] == ["gap"]

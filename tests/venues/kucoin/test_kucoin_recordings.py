"""Recorded frames of the venue, decoded as they came: half a minute of five spot symbols."""

import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from oneprice.kernel import Tripwires
from oneprice.model.events import BookReady, CandleClosed, FeedLost, FrameRejected, TouchQuoted
from oneprice.model.units import plain
from oneprice.venues.contract import Ack, Answer, Output, Wanted
from oneprice.venues.kucoin.feed import KucoinFeed

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
FRAMES = DATA / "kucoin" / "KUCOIN.ws.1.0.20210425.dev5.raw"
CALLS = DATA / "kucoin" / "KUCOIN.http.0.0.20210425.dev5.raw"
pytestmark = pytest.mark.skipif(not FRAMES.exists(), reason="recorded data is not here")

SYMBOLS = ("SNX-BTC", "CAPP-BTC", "ANKR-BTC", "FET-BTC", "DAPPT-BTC")


def lines() -> Iterator[tuple[float, str, bytes]]:
    """Frames and answers as they came in time: (when, symbol of an answer or "", payload)."""
    found: list[tuple[float, str, bytes]] = []
    for line in FRAMES.read_text().splitlines():
        stamp, _, text = line.partition(": ")
        if text and "<-" not in stamp and "wss" not in stamp:
            found.append((float(stamp), "", text.encode()))
    for line in CALLS.read_text().splitlines():
        url, _, rest = line.partition(" -> ")
        stamp, _, text = rest.partition(": ")
        found.append((float(stamp), url.rpartition("=")[2], text.encode()))
    yield from sorted(found, key=lambda line: line[0])


def listed() -> KucoinFeed:
    """The symbols on a grid fine enough for 2021."""
    feed = KucoinFeed(Tripwires(), keyed=True)
    rows = [
        {
            "symbol": symbol, "baseCurrency": symbol.split("-")[0], "quoteCurrency": "BTC",
            "baseIncrement": "0.00000001", "priceIncrement": "0.0000000001",
            "enableTrading": True,
        }
        for symbol in SYMBOLS
    ]  # fmt: skip
    body = msgspec.json.encode({"code": "200000", "data": rows})
    feed.answered(Answer(tag="instruments:spot", status=200, body=body), 1)
    feed.topics([Wanted(instrument=f"kucoin:spot:{s}", trades=True) for s in SYMBOLS])
    return feed


def played(feed: KucoinFeed) -> tuple[list[Output], int, int]:
    """All outputs, and how often a ticker of the book's own sequence agreed with the book."""
    out: list[Output] = []
    compared = equal = 0
    for when, symbol, payload in lines():
        at = int(Decimal(str(when)) * 10**9)
        if symbol:
            tag = f"snapshot:kucoin:spot:{symbol}"
            out += feed.answered(Answer(tag=tag, status=200, body=payload), at)
            continue
        for event in feed.decode("spot", payload, at):
            out.append(event)
            if isinstance(event, TouchQuoted):
                book = feed.books[event.instrument]
                if book.known and book.sequence == event.sequence:
                    best = (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
                    said = (event.bid_ticks, event.bid_lots, event.ask_ticks, event.ask_lots)
                    compared += 1
                    equal += best == said
        assert all(b.bid_ticks < b.ask_ticks for b in feed.books.values() if b.known)
    return out, compared, equal


def test_every_book_is_proven_from_its_snapshot_on_and_agrees_with_the_tickers() -> None:
    feed = listed()
    out, compared, equal = played(feed)
    assert not [e for e in out if isinstance(e, FeedLost | FrameRejected)], out[:5]
    ready = [e.instrument for e in out if isinstance(e, BookReady)]
    assert sorted(ready) == sorted(f"kucoin:spot:{s}" for s in SYMBOLS)
    assert all(book.known for book in feed.books.values())
    assert compared > 150 and equal == compared, f"{equal} of {compared}"
    counts = Counter(type(event).__name__ for event in out)
    assert counts["MarketTraded"] == 13 and counts["TouchQuoted"] == 456
    assert next(e.kind for e in out if isinstance(e, Ack)) == "login"


def test_a_frame_that_is_missing_loses_its_book_and_no_other() -> None:
    feed = listed()
    out: list[Output] = []
    seen = 0
    for when, symbol, payload in lines():
        at = int(Decimal(str(when)) * 10**9)
        if symbol:
            tag = f"snapshot:kucoin:spot:{symbol}"
            out += feed.answered(Answer(tag=tag, status=200, body=payload), at)
        elif b"l2update" in payload and b'"SNX-BTC"' in payload and seen < 200:
            seen += 1
            out += feed.decode("spot", payload, at) if seen != 150 else []
        elif b"l2update" in payload:
            out += feed.decode("spot", payload, at)
    lost = [e for e in out if isinstance(e, FeedLost)]
    assert [(e.instrument, e.reason) for e in lost] == [("kucoin:spot:SNX-BTC", "gap")]


def test_a_running_candle_is_told_when_the_next_one_begins() -> None:
    feed = listed()
    closed = [e for e in played(feed)[0] if isinstance(e, CandleClosed)]
    assert [(e.start_ms, e.interval_ms, plain(e.close)) for e in closed] == [
        (1_619_378_220_000, 60_000, "0.0000001116")
    ]

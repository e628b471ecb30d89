"""A tape market: books built around the recorded snapshot, verbatim frames at their own pace."""

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from twinbench import START

from oneprice.model.commands import TimeInForce
from oneprice.model.units import Side
from oneprice.twin.contract import (
    BookChanged,
    BookUpdate,
    Listing,
    MarketUpdate,
    OrderRequest,
    Traded,
    TradeUpdate,
)
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.playback import Frame, Playback, TapeError
from oneprice.twin.stock import default_account, default_listings, default_setup, extras_for

MS = 1_000_000
TAPE_AT = 1_600_000_000_000_000_000
NAME = "binance:usdm:BTCUSDT"


def decode(market: str, frame: bytes, at: int) -> list[MarketUpdate]:
    """A toy wire: {"u", "pu", "b", "a"} or {"snapshot"} or {"trade"}."""
    data = json.loads(frame)
    if "trade" in data:
        ticks, lots = data["trade"]
        return [TradeUpdate(instrument=NAME, ticks=ticks, lots=lots, side=Side.SELL, raw=frame)]
    return [
        BookUpdate(
            instrument=NAME,
            sequence=data["u"],
            sequence_before=data.get("pu", 0),
            bids=tuple((t, s) for t, s in data["b"]),
            asks=tuple((t, s) for t, s in data["a"]),
            full="snapshot" in data,
            raw=b"" if "snapshot" in data else frame,
        )
    ]


def tape(*messages: dict[str, object]) -> Iterator[Frame]:
    for number, message in enumerate(messages):
        yield TAPE_AT + number * 100 * MS, "usdm", json.dumps(message).encode()


SNAPSHOT = {"snapshot": 1, "u": 12, "b": [[100, 5], [99, 5]], "a": [[102, 5]]}
TAPE = (
    {"u": 11, "pu": 10, "b": [[100, 9]], "a": []},
    {"u": 13, "pu": 11, "b": [[101, 4]], "a": []},
    SNAPSHOT,
    {"u": 14, "pu": 13, "b": [], "a": [[103, 7]]},
    {"trade": [101, 6]},
    {"u": 15, "pu": 14, "b": [[101, 0]], "a": []},
)


def playing(*messages: dict[str, object]) -> tuple[InnerExchange, Playback]:
    listings = tuple(one for one in default_listings("binance") if one.instrument.id == NAME)
    setup = default_setup(
        "binance",
        tuple(
            Listing(instrument=one.instrument, extras=extras_for(one.instrument))
            for one in listings
        ),
        (default_account("binance"),),
        taped=True,
    )
    playback = Playback(tape(*messages))
    exchange = InnerExchange(setup, playback, START)
    playback.attach(decode)
    exchange.advance(START + 1)
    return exchange, playback


def test_the_book_is_the_snapshot_and_the_buffered_frames_that_are_newer() -> None:
    exchange, _ = playing(*TAPE)
    book = exchange.book(NAME)
    assert (book.bids, book.asks) == (((101, 4), (100, 5), (99, 5)), ((102, 5),))
    assert book.sequence == 13
    assert all(not one.raw for one in exchange.drain() if isinstance(one, BookChanged))


def test_frames_come_verbatim_at_the_pace_of_the_recording() -> None:
    exchange, playback = playing(*TAPE)
    exchange.drain()
    exchange.advance(START + 1 + 100 * MS - 1)
    assert exchange.drain() == []
    exchange.advance(START + 1 + 100 * MS)
    (changed,) = exchange.drain()
    assert isinstance(changed, BookChanged)
    assert changed.raw == json.dumps(TAPE[3]).encode()
    assert (changed.sequence_before, changed.sequence) == (13, 14)
    exchange.advance(START + 1_000 * MS)
    traded, last = exchange.drain()
    assert isinstance(traded, Traded)
    assert (traded.raw, last.raw) == tuple(json.dumps(one).encode() for one in TAPE[4:])
    assert playback.ended


def test_own_orders_trade_with_the_tape_without_being_published() -> None:
    exchange, _ = playing(*TAPE)
    key = exchange.accounts()[0].key
    exchange.drain()

    def place(side: Side, ticks: int, lots: int, tif: TimeInForce) -> int:
        request = OrderRequest(
            account=key, instrument=NAME, side=side, ticks=ticks, lots=lots, time_in_force=tif
        )
        return exchange.place(request, START + 2).id

    grid = exchange.listing("usdm", "BTCUSDT").instrument
    assert grid.tick == Decimal("0.10")
    with pytest.raises(Exception, match="min_notional"):
        place(Side.BUY, 102, 5, TimeInForce.IOC)
    rich = [
        {**one, **{k: [[t + 600_000, s] for t, s in one[k]] for k in ("b", "a") if k in one}}
        for one in TAPE
    ]
    rich[4] = {"trade": [600_101, 6]}
    exchange, _ = playing(*rich)
    exchange.drain()
    taken = place(Side.BUY, 600_102, 3, TimeInForce.IOC)
    rested = place(Side.BUY, 600_101, 4, TimeInForce.GTC)
    assert exchange.order(key, taken).filled_lots == 3
    assert exchange.book(NAME).asks[0] == (600_102, 2)
    assert not any(isinstance(one, BookChanged) for one in exchange.drain())
    exchange.advance(START + 250 * MS)
    assert exchange.order(key, rested).filled_lots == 2  # 4 stood before it, 6 were sold


def test_a_tape_without_a_snapshot_or_without_frames_says_so() -> None:
    with pytest.raises(TapeError, match="no book snapshot on the tape for binance:usdm:BTCUSDT"):
        playing(*TAPE[:2])
    with pytest.raises(TapeError, match="no frames"):
        playing()

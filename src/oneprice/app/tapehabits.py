"""What a first look at a recording must know of each venue, before its dialect can be asked.

One row a venue: how a frame names its instrument, which frames are a book and how deep, where
numbers of the grid stand, and what else in the recording tells whether a book is right.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from oneprice.app.tapeoracle import AnyMoment, BetweenBooks, EveryChange, Oracle
from oneprice.kernel import Book, Tripwires
from oneprice.store.contract import Record
from oneprice.venues.binance.feed import BinanceFeed
from oneprice.venues.bitmex.feed import BitmexFeed
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.contract import Feed
from oneprice.venues.kucoin.feed import KucoinFeed
from oneprice.venues.okx.feed import OkxFeed
from oneprice.venues.okx.listing import market_of

# Deeper than any view of some best levels that a venue names by number.
WHOLE = 1_000
_CROSS_SEQUENCE = re.compile(rb'"seq"\s*:\s*(\d+)')
_QUOTED_PRICE = rb'"(?:p|b|a|px|bidPx|askPx|bid1Price|ask1Price)"\s*:\s*"\d+\.(\d+)"'
_QUOTED_SIZE = rb'"(?:q|B|A|v|sz|bidSz|askSz|bid1Size|ask1Size)"\s*:\s*"\d+\.(\d+)"'
_NAMED = rb'"(?:s|symbol|instId)"\s*:\s*"([A-Za-z0-9_-]+)"'


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """One venue. Patterns are searched in the text of a frame.

    `symbols` are tried in turn, group 1 is the symbol. `depth`: group 1 is the number of levels
    that a book topic names, none of them the whole book. `price` and `size`: group 1 is the
    fraction of a number on the grid, outside of books.
    """

    feed: Callable[[bool], Feed]  # whether recorded books are whole ones, changed bit by bit
    symbols: tuple[re.Pattern[bytes], ...]
    book: re.Pattern[bytes]
    depth: re.Pattern[bytes] | None = None
    off_grid: re.Pattern[bytes] | None = None  # frames whose numbers are finer than the grid
    price: re.Pattern[bytes] = re.compile(_QUOTED_PRICE)
    size: re.Pattern[bytes] = re.compile(_QUOTED_SIZE)
    lists: tuple[bytes, ...]  # in the address of the answers that list instruments
    oracle: Callable[[], Oracle]
    told: str  # what the oracle compares
    moment: Callable[[Record, Book], int]  # the number by which the oracle orders books
    market: Callable[[str], str] = lambda symbol: ""  # of a symbol, where one socket has several
    # The empty snapshot that a first event would follow on, b"" where the event does not tell;
    # None: the stream itself begins with a whole book.
    assumed: Callable[[bytes], bytes] | None = None
    fields_in_books: bool = False  # levels in named fields, which `price` and `size` find

    def symbol(self, frame: bytes) -> str:
        """The symbol a frame is about, "" where it names none."""
        for pattern in self.symbols:
            found = pattern.search(frame)
            if found is not None:
                return found[1].decode()
        return ""

    def levels(self, frame: bytes) -> int:
        """How deep the book of a book frame is; 0 where the venue does not name depths."""
        if self.depth is None:
            return 0
        found = self.depth.search(frame)
        if found is None:
            return 0
        return int(found[1] or WHOLE)


def _by_sequence(record: Record, book: Book) -> int:
    return book.sequence


def _by_cross_sequence(record: Record, book: Book) -> int:
    """Tickers name the sequence that all markets share, books prove themselves by another."""
    found = _CROSS_SEQUENCE.search(record.payload)
    return int(found[1]) if found else 0


def _by_change(record: Record, book: Book) -> int:
    """Views of the best levels are numbered by their time, tickers as changes are."""
    return 0 if b"/level2Depth" in record.payload else book.sequence


def _by_time(record: Record, book: Book) -> int:
    return record.at


def _before_event(event: bytes) -> bytes:
    link = re.search(rb'"pu"\s*:\s*(\d+)', event) or re.search(rb'"U"\s*:\s*(\d+)', event)
    if link is None:
        return b""
    last = int(link[1]) if b'"pu"' in event else int(link[1]) - 1
    return b'{"lastUpdateId":%d,"bids":[],"asks":[]}' % last


def _before_change(change: bytes) -> bytes:
    first = re.search(rb'"sequence(?:Start)?"\s*:\s*"?(\d+)', change)
    if first is None:
        return b""
    last = int(first[1]) - 1
    return b'{"code":"200000","data":{"sequence":"%d","bids":[],"asks":[]}}' % last


HABITS: Mapping[str, Habits] = {
    "binance": Habits(
        feed=lambda whole: BinanceFeed(Tripwires()),
        symbols=(re.compile(_NAMED),),
        book=re.compile(rb'"e"\s*:\s*"depthUpdate"'),
        off_grid=re.compile(rb"markPriceUpdate|kline"),
        lists=(b"exchangeInfo",),
        oracle=EveryChange,
        told="bookTicker, price and size",
        moment=_by_sequence,
        assumed=_before_event,
    ),
    "bybit": Habits(
        feed=lambda whole: BybitFeed(Tripwires()),
        symbols=(
            re.compile(rb'"topic"\s*:\s*"\w+\.(?:\w+\.)?([A-Z0-9-]+)"'),
            re.compile(_NAMED),
        ),
        book=re.compile(rb'"topic"\s*:\s*"orderbook\.'),
        depth=re.compile(rb'"topic"\s*:\s*"orderbook\.(\d{1,4})\.'),
        off_grid=re.compile(rb"kline"),
        lists=(b"instruments-info",),
        oracle=BetweenBooks,
        told="tickers, prices",
        moment=_by_cross_sequence,
    ),
    "okx": Habits(
        feed=lambda whole: OkxFeed(Tripwires()),
        symbols=(re.compile(_NAMED),),
        book=re.compile(rb'"channel"\s*:\s*"books'),
        lists=(b"public/instruments",),
        oracle=BetweenBooks,
        told="bbo-tbt, prices",
        moment=_by_sequence,
        market=market_of,
    ),
    "kucoin": Habits(
        feed=lambda whole: KucoinFeed(Tripwires(), keyed=whole),
        symbols=(re.compile(rb'"topic"\s*:\s*"/\w+/\w+:([A-Za-z0-9-]+)(?:_\w+)?"'),),
        book=re.compile(rb'"topic"\s*:\s*"/(?:market|contractMarket|spotMarket)/level2'),
        depth=re.compile(rb'"topic"\s*:\s*"/\w+/level2(?:Depth(\d{1,3}))?:'),
        off_grid=re.compile(rb'"topic"\s*:\s*"/(?:market/candles|contract|contractMarket/limit)'),
        price=re.compile(rb'"(?:price|best(?:Bid|Ask)(?:Price)?|change)"\s*:\s*"\d+\.(\d+)'),
        size=re.compile(rb'"(?:size|best(?:Bid|Ask)Size)"\s*:\s*"\d+\.(\d+)"'),
        lists=(b"/api/v2/symbols", b"/contracts/active"),
        oracle=partial(BetweenBooks, sizes=True),
        told="ticker, price and size",
        moment=_by_change,
        assumed=_before_change,
        fields_in_books=True,
    ),
    "bitmex": Habits(
        feed=lambda whole: BitmexFeed(Tripwires()),
        # A partial explains its columns first, and one of them is called symbol.
        symbols=(
            re.compile(rb'"filter"\s*:\s*\{\s*"symbol"\s*:\s*"([A-Za-z0-9_.]+)"'),
            re.compile(rb'"data"\s*:\s*\[\s*\{[^}]*?"symbol"\s*:\s*"([A-Za-z0-9_.]+)"'),
        ),
        book=re.compile(rb'"table"\s*:\s*"orderBookL2'),
        depth=re.compile(rb'"table"\s*:\s*"orderBookL2(?:_(25))?"'),
        off_grid=re.compile(rb'"table"\s*:\s*"(?:instrument|tradeBin\w+|funding)"'),
        price=re.compile(rb'"(?:price|bidPrice|askPrice)"\s*:\s*\d+\.(\d+)'),
        size=re.compile(rb'"(?:size|bidSize|askSize)"\s*:\s*\d+\.(\d+)'),
        lists=(b"/instrument/active",),
        oracle=AnyMoment,
        told="quote, price and size",
        moment=_by_time,
        fields_in_books=True,
    ),
}

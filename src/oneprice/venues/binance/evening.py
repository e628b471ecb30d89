"""Leftovers of older grids, taken out of depth before it reaches a book.

When Binance makes a step of size or price coarser, orders from before stay: spot BTCUSDT in August
2024 had 25.42618900 at 200000 with a step of 0.00001, and NKNUSDT in October 2021 had 34 prices
off its tick among 1,000, all more than a quarter away. Refusing them would lose the book for good.
So sizes are rounded down to whole lots, and levels at a price off the tick are left out where
they are far from the touch: either way less is promised than is there. A price off the tick near
the touch stays in, and the book is lost over it: then it is our instrument that is out of date.
"""

import re
from decimal import ROUND_FLOOR, Decimal

import msgspec
from msgspec import Raw

from oneprice.kernel import Book
from oneprice.model.units import ROUNDED, plain
from oneprice.venues.binance.numbers import UNREADABLE, decimal

FAR = Decimal("0.02")  # of the price; nothing that we trade reaches so deep

Levels = list[tuple[str, str]]

_NAME = b'"s":"'


class Depth(msgspec.Struct, omit_defaults=True):
    """A diff of either rule, complete enough to be read again."""

    e: str
    s: str
    U: int
    u: int
    b: Levels
    a: Levels
    E: int = 0
    pu: int = 0


class Wrapped(msgspec.Struct):
    data: Depth


_frame = msgspec.json.Decoder(Wrapped)
_levels = msgspec.json.Decoder(Levels)


class Evening:
    """Looks at the depth of those symbols of one socket that have leftovers or may have them."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[re.Pattern[bytes], Book]] = {}

    def register(self, symbol: str, book: Book) -> None:
        """From now on frames of `symbol`, which are for `book`, are looked at."""
        self._known[symbol.encode()] = (_uneven(book), book)

    def frame(self, frame: bytes) -> bytes:
        """The frame made even; one that is even, no depth frame, or broken, as it came."""
        if not self._known:
            return frame
        start = frame.find(_NAME) + len(_NAME)
        known = self._known.get(frame[start : frame.find(b'"', start)])
        if known is None or known[0].search(frame) is None:
            return frame
        book = known[1]
        try:
            depth = _frame.decode(frame).data
            depth.b = _even(depth.b, book, book.tick * book.bid_ticks)
            depth.a = _even(depth.a, book, book.tick * book.ask_ticks)
        except UNREADABLE:
            return frame  # the reader judges it
        return msgspec.json.encode(Wrapped(depth))

    def side(self, side: Raw, symbol: str, book: Book) -> bytes:
        """One side of a snapshot, best first, made even; one with leftovers registers itself."""
        raw = bytes(side)
        if _uneven(book).search(raw) is None:
            return raw
        self.register(symbol, book)
        levels = _levels.decode(raw)
        return msgspec.json.encode(_even(levels, book, decimal(levels[0][0])))


def _uneven(book: Book) -> re.Pattern[bytes]:
    """Finds a price or a size with more digits than the grid of the book has."""
    places = (_decimals(book.tick), _decimals(book.lot))
    return re.compile(rb'\["\d+\.\d{%d}\d*[1-9]|","\d+\.\d{%d}\d*[1-9]' % places)


def _even(levels: Levels, book: Book, best: Decimal) -> Levels:
    """`best` 0 means that the touch is not known yet: nothing can be near it."""
    kept = []
    for price, size in levels:
        value = decimal(price)
        if value % book.tick and abs(value - best) > best * FAR:
            continue
        lots = ROUNDED.divide(decimal(size), book.lot).to_integral_value(ROUND_FLOOR)
        kept.append((price, plain(lots * book.lot)))
    return kept


def _decimals(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0

"""Compares rebuilt books with what the same venue said elsewhere about its best prices."""

from bisect import bisect_right
from collections import deque
from typing import NamedTuple, Protocol

from oneprice.kernel import Book
from oneprice.model.events import TouchQuoted


class Touch(NamedTuple):
    """Best prices and the sizes there; 0 where a side is empty."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int

    def prices(self) -> tuple[int, int]:
        return self.bid_ticks, self.ask_ticks


def touch_of(book: Book) -> Touch:
    return Touch(book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)


def quoted(event: TouchQuoted) -> Touch:
    return Touch(event.bid_ticks, event.bid_lots, event.ask_ticks, event.ask_lots)


class Oracle(Protocol):
    """Counts how often a book and the venue's other statement could be compared, and agreed."""

    compared: int
    equal: int
    undecided: int
    unequal: list[str]

    def begin(self, sequence: int) -> None: ...
    def book(self, sequence: int, touch: Touch) -> None: ...
    def quote(self, event: TouchQuoted) -> None: ...
    def lost(self) -> None: ...


# How many differences are kept word for word; all are counted.
_TOLD_MAX = 5


class EveryChange:
    """For a stream that tells every change of the touch (Binance bookTicker): price and size.

    A book at sequence `u` is compared with the quote of the greatest `u` not above it. That this
    quote is the greatest is known once one at or above the book's own has come; a book that no
    later quote follows is not compared. Quotes older than the snapshot say nothing about it: the
    snapshot may show a moment between two events, and events tell only what differs at their
    ends, so a level that came and went meanwhile stays until it changes again.
    https://developers.binance.com/docs, "Individual Symbol Book Ticker Streams"
    """

    def __init__(self) -> None:
        self.compared = 0
        self.equal = 0
        self.unequal: list[str] = []
        self.undecided = 0
        self._since = 0
        self._books: deque[tuple[int, Touch, int]] = deque()
        self._quotes: deque[tuple[int, Touch]] = deque()

    def begin(self, sequence: int) -> None:
        self._since = sequence

    def book(self, sequence: int, touch: Touch) -> None:
        if not self._books or sequence > self._books[-1][0]:
            self._books.append((sequence, touch, self._since))
            self._settle()

    def quote(self, event: TouchQuoted) -> None:
        if not self._quotes or event.sequence > self._quotes[-1][0]:
            self._quotes.append((event.sequence, quoted(event)))
            self._settle()

    def lost(self) -> None:
        """Books before the loss were proven; what waits for them may still come."""

    def _settle(self) -> None:
        quotes = self._quotes
        while self._books and quotes and quotes[-1][0] >= self._books[0][0]:
            sequence, touch, since = self._books.popleft()
            while len(quotes) > 1 and quotes[1][0] <= sequence:
                quotes.popleft()
            if not since <= quotes[0][0] <= sequence:
                self.undecided += 1
                continue
            self.compared += 1
            if quotes[0][1] == touch:
                self.equal += 1
            elif len(self.unequal) < _TOLD_MAX:
                self.unequal.append(f"at {sequence}: book {touch}, quote {quotes[0]}")


class BetweenBooks:
    """For a stream that tells the touch now and then (Bybit tickers, OKX bbo-tbt): prices.

    A quote at sequence `q` falls between two states of the book. It can be judged where the best
    prices of the two are the same, or the state before it has exactly its sequence: then it must
    show these prices. Where the touch moved between the two, the quote may show either or
    something in between, and is not compared. Sizes change more often than such streams tell.
    """

    kept = 2_000  # states of the book, for quotes that come late

    def __init__(self) -> None:
        self.compared = 0
        self.equal = 0
        self.unequal: list[str] = []
        self.undecided = 0
        self._sequences: deque[int] = deque(maxlen=self.kept)
        self._touches: deque[Touch] = deque(maxlen=self.kept)
        self._waiting: deque[tuple[int, Touch]] = deque()

    def begin(self, sequence: int) -> None:
        """Where the book begins does not matter: quotes before it find no state of it."""

    def book(self, sequence: int, touch: Touch) -> None:
        if self._sequences and sequence < self._sequences[-1]:
            self.lost()  # the venue began its numbers anew
        if self._sequences and sequence == self._sequences[-1]:
            self._touches[-1] = touch
            return
        self._sequences.append(sequence)
        self._touches.append(touch)
        while self._waiting and self._waiting[0][0] < sequence:
            self._judge(*self._waiting.popleft())

    def quote(self, event: TouchQuoted) -> None:
        if not event.sequence:
            return  # says nothing about when it was true
        if self._sequences and event.sequence < self._sequences[-1]:
            self._judge(event.sequence, quoted(event))
        else:
            self._waiting.append((event.sequence, quoted(event)))

    def lost(self) -> None:
        """States on the two sides of a loss are no neighbours."""
        self._sequences.clear()
        self._touches.clear()
        self._waiting.clear()

    def _judge(self, sequence: int, quote: Touch) -> None:
        place = bisect_right(self._sequences, sequence)
        if place == 0:
            return  # older than everything the book can tell
        before = self._touches[place - 1]
        after = self._touches[place]
        if self._sequences[place - 1] != sequence and before.prices() != after.prices():
            self.undecided += 1
            return
        self.compared += 1
        if quote.prices() == before.prices():
            self.equal += 1
        elif len(self.unequal) < _TOLD_MAX:
            self.unequal.append(f"at {sequence}: book {before.prices()}, quote {quote.prices()}")


def oracle_for(venue: str) -> Oracle:
    """Binance tells every change of the touch; the others from time to time."""
    return EveryChange() if venue == "binance" else BetweenBooks()

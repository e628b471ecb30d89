"""Compares rebuilt books with what the same venue said elsewhere about its best prices."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from oneprice.kernel import Book
from oneprice.model.events import TouchQuoted
from oneprice.model.units import MILLI, SECOND


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
    def finish(self) -> None: ...


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

    def finish(self) -> None:
        """What no later quote followed was not compared."""

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
    """For streams that tell the touch now and then: prices, with `sizes` these as well.

    So do the tickers of Bybit and KuCoin, and bbo-tbt of OKX.

    A quote at sequence `q` falls between two states of the book. It can be judged where the best
    prices of the two are the same, or the state before it has exactly its sequence: then it must
    show these prices. Where the touch moved between the two, the quote may show either or
    something in between, and is not compared. The sizes of Bybit change more often than its
    tickers tell.
    """

    kept = 2_000  # states of the book, for quotes that come late

    def __init__(self, *, sizes: bool = False) -> None:
        self._sizes = sizes
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
        if not event.sequence or (self._sizes and not event.sized):
            return  # says nothing about when it was true, or too little
        if self._sequences and event.sequence < self._sequences[-1]:
            self._judge(event.sequence, quoted(event))
        else:
            self._waiting.append((event.sequence, quoted(event)))

    def lost(self) -> None:
        """States on the two sides of a loss are no neighbours."""
        self._sequences.clear()
        self._touches.clear()
        self._waiting.clear()

    def finish(self) -> None:
        """What no later book followed was not compared."""

    def _judge(self, sequence: int, quote: Touch) -> None:
        place = bisect_right(self._sequences, sequence)
        if place == 0:
            return  # older than everything the book can tell
        before = self._touches[place - 1]
        after = self._touches[place]
        if self._sequences[place - 1] != sequence and self._shown(before) != self._shown(after):
            self.undecided += 1
            return
        self.compared += 1
        book, said = self._shown(before), self._shown(quote)
        if said == book:
            self.equal += 1
        elif len(self.unequal) < _TOLD_MAX:
            self.unequal.append(f"at {sequence}: book {book}, quote {said}")

    def _shown(self, touch: Touch) -> tuple[int, ...]:
        return tuple(touch) if self._sizes else touch.prices()


class _Waiting(NamedTuple):
    at: int
    made: int  # by the venue's clock; both in ns
    touch: Touch


class AnyMoment:
    """For quotes that name no sequence (BitMEX `quote`): price and size, timing aside.

    A quote must be the touch of some state of the book about the time at which it was received.
    One that is not, while everything about that time was heard, is unequal. Where the book began
    only a moment before, the venue's own time decides whether the quote was made after that:
    the promptest quote tells how far the two clocks are apart at most. Numbers of books are
    receive times in nanoseconds here.
    """

    around = 2 * SECOND  # quotes are told up to a second after the book, and some before it

    def __init__(self) -> None:
        self.compared = 0
        self.equal = 0
        self.unequal: list[str] = []
        self.undecided = 0
        self._states: deque[tuple[int, Touch]] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._early: list[tuple[int, _Waiting]] = []  # with the beginning of the book
        self._since = 0  # the book is known without a break since then
        self._promptest = 0

    def begin(self, sequence: int) -> None:
        """The first state says when the book begins."""

    def book(self, sequence: int, touch: Touch) -> None:
        if not self._states:
            self._since = sequence
        self._states.append((sequence, touch))
        while self._waiting and self._waiting[0].at + self.around < sequence:
            self._judge(self._waiting.popleft())
        while len(self._states) > 1 and self._states[1][0] + 2 * self.around < sequence:
            self._states.popleft()

    def quote(self, event: TouchQuoted) -> None:
        made = event.venue_ms * MILLI
        if made:
            lag = event.at - made
            self._promptest = min(self._promptest, lag) if self._promptest else lag
        self._waiting.append(_Waiting(event.at, made, quoted(event)))

    def lost(self) -> None:
        """Quotes that still wait can be found right by what was heard, but not wrong."""
        self._settle()
        self._states.clear()

    def finish(self) -> None:
        self._settle()
        for since, quote in self._early:
            if quote.made and quote.made + self._promptest >= since:
                self._differs(quote)
            else:
                self.undecided += 1
        self._early.clear()

    def _settle(self) -> None:
        while self._waiting:
            self._judge(self._waiting.popleft())

    def _judge(self, quote: _Waiting) -> None:
        if any(touch == quote.touch for touch in self._near(quote.at)):
            self.compared += 1
            self.equal += 1
        elif not self._states or quote.at + self.around > self._states[-1][0]:
            self.undecided += 1
        elif quote.at - self.around < self._since:
            self._early.append((self._since, quote))
        else:
            self._differs(quote)

    def _differs(self, quote: _Waiting) -> None:
        self.compared += 1
        if len(self.unequal) < _TOLD_MAX:
            self.unequal.append(f"at {quote.at}: no book about that time showed {quote.touch}")

    def _near(self, at: int) -> Iterator[Touch]:
        """What the book showed about a time: also what it came to show before and still did."""
        for when, touch in reversed(self._states):
            if when <= at + self.around:
                yield touch
            if when < at - self.around:
                return

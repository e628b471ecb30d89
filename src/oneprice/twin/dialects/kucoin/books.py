"""Order books as their readers know them: own sequences on the wire, changes, full views."""

from oneprice.model.units import InstrumentId
from oneprice.twin.contract import BookChanged, Levels
from oneprice.twin.dialects.kucoin.envelope import Row, encoded, millis
from oneprice.twin.dialects.kucoin.facts import Facts, Sheet

Change = tuple[bool, int, int, int]  # is a bid, ticks, lots (0: gone), sequence


class WireBook:
    """One book with the venue's numbering: every changed level has a sequence of its own.

    REST snapshots are taken from here, not from the exchange, so that their sequence always fits
    the stream even while changes wait to be published. A taped book is numbered by the tape and
    looked up in the exchange.
    """

    def __init__(self, facts: Facts, sheet: Sheet) -> None:
        view = facts.exchange.book(sheet.id)
        self.sheet = sheet
        self._facts = facts
        self._bids = dict(view.bids)
        self._asks = dict(view.asks)
        self._seen = view.sequence
        self.sequence = view.sequence
        self.changed_at = view.at
        self._aged: list[Row] = []  # whole books of the past that REST gives out next

    def age(self, count: int, at: int) -> None:
        """A fault: the next whole books by REST are this one, however far the stream is then."""
        self._aged = [self.row(0, at)] * count

    def apply(self, changed: BookChanged) -> list[Change]:
        """The changes with their sequences; nothing where the view had them already."""
        if changed.sequence <= self._seen:
            return []
        self._seen = changed.sequence
        self.changed_at = changed.at
        if self._facts.taped:
            self.sequence = changed.sequence
            return []
        wanted: list[tuple[bool, int, int]] = []
        for is_bid, book, levels in (
            (False, self._asks, changed.asks),
            (True, self._bids, changed.bids),
        ):
            kept = dict(levels)
            gone = [(ticks, 0) for ticks in book if ticks not in kept] if changed.full else []
            wanted.extend(
                (is_bid, ticks, lots)
                for ticks, lots in (*gone, *levels)
                if book.get(ticks, 0) != lots
            )
        return [self._change(*one) for one in sorted(wanted, key=lambda one: one[2] > 0)]

    def _change(self, is_bid: bool, ticks: int, lots: int) -> Change:
        """One level; those that go come first, so that no message leaves the book crossed."""
        book = self._bids if is_bid else self._asks
        book[ticks] = lots
        if not lots:
            del book[ticks]
        self.sequence += 1
        return is_bid, ticks, lots, self.sequence

    def advance(self) -> int:
        """The next sequence, for an event that changes no level."""
        if not self._facts.taped:
            self.sequence += 1
        return self.sequence

    def sides(self, depth: int = 0) -> tuple[Levels, Levels]:
        """Bids and asks, best first."""
        if self._facts.taped:
            view = self._facts.exchange.book(self.sheet.id, depth)
            return view.bids, view.asks
        bids = sorted(self._bids.items(), reverse=True)
        asks = sorted(self._asks.items())
        return tuple(bids[: depth or None]), tuple(asks[: depth or None])

    def row(self, depth: int, at: int) -> Row:
        """The book as REST shows it: text on spot, numbers on futures; depth 0 is all of it."""
        if self._aged and not depth:
            return self._aged.pop()
        bids, asks = self.sides(depth)
        if self.sheet.spot:
            return {
                "time": millis(at),
                "sequence": str(self.sequence),
                "bids": printed(self.sheet, bids),
                "asks": printed(self.sheet, asks),
            }
        return {
            "sequence": self.sequence,
            "symbol": self.sheet.symbol,
            "bids": numbered(self.sheet, bids),
            "asks": numbered(self.sheet, asks),
            "ts": at,
        }


class WireBooks:
    """All books."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._books: dict[InstrumentId, WireBook] = {}

    def of(self, sheet: Sheet) -> WireBook:
        book = self._books.get(sheet.id)
        if book is None:
            book = self._books[sheet.id] = WireBook(self._facts, sheet)
        return book


def printed(sheet: Sheet, levels: Levels) -> list[tuple[str, str]]:
    return [(sheet.price(ticks), sheet.size(lots)) for ticks, lots in levels]


def numbered(sheet: Sheet, levels: Levels) -> list[tuple[object, object]]:
    price = sheet.instrument.price
    return [(price(ticks), sheet.quantity(lots)) for ticks, lots in levels]


def spot_frame(sheet: Sheet, changes: list[Change], at: int) -> bytes:
    """One message of `/market/level2`: rows of price, size, sequence; section 7.2."""
    sides: dict[bool, list[tuple[str, str, str]]] = {True: [], False: []}
    for is_bid, ticks, lots, sequence in changes:
        sides[is_bid].append((sheet.price(ticks), sheet.size(lots), str(sequence)))
    return encoded(
        {
            "topic": f"/market/level2:{sheet.symbol}",
            "type": "message",
            "subject": "trade.l2update",
            "data": {
                "changes": {"asks": sides[False], "bids": sides[True]},
                "sequenceEnd": changes[-1][3],
                "sequenceStart": changes[0][3],
                "symbol": sheet.symbol,
                "time": millis(at),
            },
        }
    )


def futures_frame(sheet: Sheet, change: Change, at: int) -> bytes:
    """One message of `/contractMarket/level2`: exactly one change; section 7.3."""
    is_bid, ticks, lots, sequence = change
    side = "buy" if is_bid else "sell"
    return encoded(
        {
            "topic": f"/contractMarket/level2:{sheet.symbol}",
            "type": "message",
            "subject": "level2",
            "sn": sequence,
            "data": {
                "sequence": sequence,
                "change": f"{sheet.price(ticks)},{side},{sheet.size(lots)}",
                "timestamp": millis(at),
            },
        }
    )

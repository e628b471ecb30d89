"""Proves OKX order books: linked sequence numbers, and the checksum that old recordings carry.

`books` and `books-l2-tbt` send a snapshot, then deltas whose prevSeqId is the seqId before; equal
numbers keep the book alive, a smaller seqId is a reset of the numbering (API v5, "Order book
channel"). Until 2022 frames had no numbers but a CRC32 over the best 25 levels; since June 2026
the checksum is always 0 and means nothing.
"""

import re
import zlib

import msgspec

from oneprice.kernel import Book, DepthFormat, DepthReader, Outcome
from oneprice.model.events import AnyEvent, BookReady, FeedLost, FrameRejected
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos

DEPTH = 400
_CHECKED_LEVELS = 25

_LINKED = DepthFormat(
    kind_key="channel",
    kind_prefix="books",
    name_key="instId",
    snapshot_key="action",
    snapshot_value="snapshot",
    last_key="seqId",
    previous_key="prevSeqId",
    bids_key="bids",
    asks_key="asks",
    stamp_key="ts",
    rule="linked",
)
_UNNUMBERED = msgspec.structs.replace(_LINKED, last_key="", previous_key="", rule="none")
_CHECKSUM = re.compile(rb'"checksum"\s*:\s*(-?\d{1,10})')

_REASONS = {
    Outcome.GAP: "gap",
    Outcome.CROSSED: "crossed",
    Outcome.MALFORMED: "malformed",
    Outcome.OFF_GRID: "off_grid",
}


class Tally(msgspec.Struct):
    """How many frames of a book carried a checksum, and how many agreed with the book."""

    compared: int = 0
    equal: int = 0


class Books:
    """The books of one OKX connection and what has been proven about each."""

    def __init__(self) -> None:
        self.books: dict[InstrumentId, Book] = {}
        self.tallies: dict[InstrumentId, Tally] = {}
        self._instruments: dict[str, Instrument] = {}
        self._last: dict[str, int] = {}  # symbol -> seqId of a book that is known
        self._linked = DepthReader(_LINKED)
        self._unnumbered = DepthReader(_UNNUMBERED)

    def open(self, instrument: Instrument) -> None:
        """Keep a book for this instrument from now on; a book on the same grid stays as it is."""
        old = self.books.get(instrument.id)
        self._instruments[instrument.symbol] = instrument
        if old is not None and (old.tick, old.lot) == (instrument.tick, instrument.lot):
            return
        book = Book(instrument.tick, instrument.lot, DEPTH)
        self.books[instrument.id] = book
        self.tallies.setdefault(instrument.id, Tally())
        self._last.pop(instrument.symbol, None)
        for reader in (self._linked, self._unnumbered):
            reader.register(instrument.symbol, book)

    def lose(self, symbol: str) -> bool:
        """The book is unknown from now on; False where it was so already."""
        instrument = self._instruments.get(symbol)
        if instrument is not None:
            self.books[instrument.id].lose()
        return self._last.pop(symbol, None) is not None

    def known(self) -> tuple[str, ...]:
        """The symbols of the books that are proven now."""
        return tuple(self._last)

    def feed(self, frame: bytes, at: Nanos) -> list[AnyEvent] | None:
        """What a frame did to a book; None where it is not about one."""
        numbered = b'"seqId"' in frame
        reader = self._linked if numbered else self._unnumbered
        outcome = reader.feed(frame, at)
        if outcome == Outcome.OTHER:
            return None
        symbol = reader.name
        before = self._last.get(symbol)
        if outcome == Outcome.UNKNOWN or symbol not in self._instruments:
            return [_rejected(at, f"book of an instrument nobody asked for: {symbol!r}", frame)]
        if outcome == Outcome.APPLIED and before is not None:
            # The kernel lets the first delta reach across a snapshot, as Binance's does; OKX's
            # snapshot comes on the same socket, so its chain has no such seam.
            if numbered and reader.previous != before:
                return self._lost(symbol, "gap", at, f"prevSeqId {reader.previous}, had {before}")
            return self._proved(symbol, reader, frame, at, [])
        if outcome == Outcome.REPLACED:
            ready: list[AnyEvent] = [BookReady(at=at, instrument=self._instruments[symbol].id)]
            return self._proved(symbol, reader, frame, at, ready)
        if outcome == Outcome.UNSYNCED:
            return []
        if outcome == Outcome.STALE:
            # A number that is not the next one is a gap here, also when it is smaller: after a
            # reset of the numbering the frames that follow are all smaller.
            detail = f"prevSeqId {reader.previous}, seqId {reader.last}, had {before}"
            return self._lost(symbol, "gap", at, detail)
        detail = f"prevSeqId {reader.previous}, seqId {reader.last}, had {before}"
        return self._lost(symbol, _REASONS.get(Outcome(outcome), "malformed"), at, detail)

    def _proved(
        self, symbol: str, reader: DepthReader, frame: bytes, at: Nanos, ready: list[AnyEvent]
    ) -> list[AnyEvent]:
        """The checksum, where there is one, decides last."""
        self._last[symbol] = reader.last
        found = _CHECKSUM.search(frame, max(0, len(frame) - 160)) or _CHECKSUM.search(frame)
        stated = int(found[1]) if found else 0
        if not stated:
            return ready
        instrument = self._instruments[symbol]
        tally = self.tallies[instrument.id]
        tally.compared += 1
        computed = checksum(self.books[instrument.id], instrument)
        if computed == stated:
            tally.equal += 1
            return ready
        return self._lost(symbol, "malformed", at, f"checksum {stated}, ours {computed}")

    def _lost(self, symbol: str, reason: str, at: Nanos, detail: str) -> list[AnyEvent]:
        self.lose(symbol)
        name = self._instruments[symbol].id
        return [FeedLost(at=at, instrument=name, reason=reason, detail=detail)]


def checksum(book: Book, instrument: Instrument) -> int:
    """Signed CRC32 of the best 25 levels, bid:size:ask:size and so on, the longer side going on.

    Numbers are written as OKX wrote them: without trailing zeros.
    """
    bids, asks = book.bids(_CHECKED_LEVELS), book.asks(_CHECKED_LEVELS)
    parts: list[str] = []
    for place in range(max(len(bids), len(asks))):
        for side in (bids, asks):
            if place < len(side):
                ticks, lots = side[place]
                parts += (instrument.price_text(ticks), instrument.size_text(lots))
    crc = zlib.crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def _rejected(at: Nanos, reason: str, frame: bytes) -> FrameRejected:
    excerpt = frame[:120].decode(errors="replace")
    return FrameRejected(at=at, venue="okx", socket="public", reason=reason, excerpt=excerpt)

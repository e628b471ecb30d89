"""Proves OKX order books: linked sequence numbers, and the checksum that old recordings carry.

`books` sends a snapshot, then deltas whose prevSeqId is the seqId before; equal numbers keep the
book alive, a smaller seqId is a reset of the numbering (API v5, "Order book channel"). `books5`
sends its five levels whole each time. Until 2022 frames had no numbers but a CRC32 over the best
25 levels; since June 2026 the checksum is always 0 and means nothing.

While a connection is renewed two of them tell the same, one a little later. What is not newer
than the book then changes nothing. But after a reset that was lost on the way every later frame
looks old as well: one that looks old is a double only if its number was the book's a while ago,
or if it is stamped no later than the book; else it is a gap.
"""

import re
import zlib

import msgspec

from oneprice.kernel import BadLevels, Book, DepthFormat, DepthReader, Outcome
from oneprice.model.events import AnyEvent, BookReady, FeedLost
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos
from oneprice.venues.okx.frames import (
    FULL_BOOK,
    NUMBERED,
    UNREADABLE,
    FullBook,
    milliseconds,
    rejected,
)

DEPTH = 400
SHALLOW = 5
_CHECKED_LEVELS = 25
_NUMBERS_KEPT = 256
_STAMPS_APART_MS = 250  # between two connections' stamps of what went out at the same time

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


class _Known(msgspec.Struct):
    """The state that a book is known to have, and the numbers of those before it."""

    sequence: int = 0
    stamp_ms: int = 0
    passed: dict[int, None] = {}

    def step(self, sequence: int, stamp_ms: int) -> None:
        self.sequence, self.stamp_ms = sequence, stamp_ms
        self.passed[sequence] = None
        if len(self.passed) > _NUMBERS_KEPT:
            del self.passed[next(iter(self.passed))]

    def doubles(self, sequence: int, stamp_ms: int) -> bool:
        """Whether a frame that looks old is a late double rather than a new numbering."""
        return sequence in self.passed or stamp_ms - self.stamp_ms <= _STAMPS_APART_MS


class Books:
    """The books of one account of OKX and what has been proven about each."""

    def __init__(self) -> None:
        self.books: dict[InstrumentId, Book] = {}
        self.tallies: dict[InstrumentId, Tally] = {}
        self._instruments: dict[str, Instrument] = {}
        self._known: dict[str, _Known] = {}  # by symbol
        self._shallow: dict[str, Instrument] = {}  # books fed by books5
        self._linked = DepthReader(_LINKED)
        self._unnumbered = DepthReader(_UNNUMBERED)

    def open(self, instrument: Instrument, depth: int = 0) -> str:
        """Keep a book from now on; the channel that feeds it. A book on its grid stays.

        `depth` 0 keeps the channel a book has. ValueError where another one feeds it already.
        """
        symbol, shallow = instrument.symbol, 0 < depth <= SHALLOW
        old = self.books.get(instrument.id)
        if old is not None:
            was_shallow = symbol in self._shallow
            if depth and was_shallow and not shallow:
                raise ValueError(f"{instrument.id}: depth {depth} wanted, its book has {SHALLOW}")
            shallow = was_shallow
        channel = "books5" if shallow else "books"
        self._instruments[symbol] = instrument
        if shallow:
            self._shallow[symbol] = instrument
        if old is not None and (old.tick, old.lot) == (instrument.tick, instrument.lot):
            return channel
        book = Book(instrument.tick, instrument.lot, SHALLOW if shallow else DEPTH)
        self.books[instrument.id] = book
        self.tallies.setdefault(instrument.id, Tally())
        self._known.pop(symbol, None)
        if not shallow:
            for reader in (self._linked, self._unnumbered):
                reader.register(symbol, book)
        return channel

    def lose(self, symbol: str) -> bool:
        """The book is unknown from now on; False where it was so already."""
        instrument = self._instruments.get(symbol)
        if instrument is not None:
            self.books[instrument.id].lose()
        return self._known.pop(symbol, None) is not None

    def feed(self, frame: bytes, at: Nanos) -> list[AnyEvent] | None:
        """What a frame did to a book; None where it is not about one."""
        if self._shallow and b'"books5"' in frame:
            return self._full(frame, at)
        if self._known and b'"snapshot"' in frame and self._repeats(frame):
            return []
        numbered = b'"seqId"' in frame
        reader = self._linked if numbered else self._unnumbered
        outcome = reader.feed(frame, at)
        if outcome == Outcome.OTHER:
            return None
        symbol = reader.name
        if outcome == Outcome.UNKNOWN or symbol not in self._instruments:
            reason = f"book of an instrument nobody asked for: {symbol[:40]!r}"
            return [rejected("public", reason, frame, at)]
        before = self._known.get(symbol)
        if outcome == Outcome.APPLIED and before is not None:
            # The kernel lets the first delta reach across a snapshot, as Binance's does; OKX's
            # snapshot comes on the same socket, so its chain has no such seam. Where it ends at
            # the snapshot it is a double and has set what was so already.
            seam = before.sequence not in (reader.previous, reader.last)
            if numbered and seam:
                return self._lost(symbol, "gap", at, self._numbers(reader, before))
            return self._proved(symbol, reader, frame, at, [])
        if outcome == Outcome.REPLACED:
            ready: list[AnyEvent] = []
            if before is None:
                ready.append(BookReady(at=at, instrument=self._instruments[symbol].id))
            return self._proved(symbol, reader, frame, at, ready)
        if outcome == Outcome.UNSYNCED:
            return []
        if (
            outcome == Outcome.STALE
            and before is not None
            and before.doubles(reader.last, reader.stamp_ms)
        ):
            return []
        reason = "gap" if outcome == Outcome.STALE else _REASONS.get(Outcome(outcome), "malformed")
        return self._lost(symbol, reason, at, self._numbers(reader, before))

    def _numbers(self, reader: DepthReader, before: _Known | None) -> str:
        had = before.sequence if before is not None else None
        return f"prevSeqId {reader.previous}, seqId {reader.last}, had {had}"

    def _repeats(self, frame: bytes) -> bool:
        """Whether a snapshot tells nothing that a known book does not know."""
        try:
            said = NUMBERED.decode(frame)
            known = self._known.get(said.arg.instId)
            if known is None or said.action != "snapshot" or not said.data[0].seqId:
                return False
            if not said.arg.channel.startswith("books") or said.data[0].seqId > known.sequence:
                return False
            return known.doubles(said.data[0].seqId, milliseconds(said.data[0].ts, "ts"))
        except UNREADABLE:
            return False  # the reader shall say what is wrong with it

    def _full(self, frame: bytes, at: Nanos) -> list[AnyEvent] | None:
        """A push of books5: the whole book, ordered by its number."""
        try:
            said = FULL_BOOK.decode(frame)
        except UNREADABLE as error:
            if b'"event"' in frame:
                return None  # an acknowledgement that names the channel
            return [rejected("public", f"books5: {error}", frame, at)]
        symbol = said.arg.instId
        if said.arg.channel != "books5" or symbol not in self._shallow:
            reason = f"book of an instrument nobody asked for: {symbol[:40]!r}"
            return [rejected("public", reason, frame, at)]
        return [event for state in said.data for event in self._replace(symbol, state, at)]

    def _replace(self, symbol: str, state: FullBook, at: Nanos) -> list[AnyEvent]:
        known, book = self._known.get(symbol), self.books[self._shallow[symbol].id]
        try:
            stamp_ms = milliseconds(state.ts, "ts")
            if (
                known is not None
                and state.seqId < known.sequence
                and known.doubles(state.seqId, stamp_ms)
            ):
                return []
            book.snapshot(bytes(state.bids), bytes(state.asks), at, state.seqId)
        except (*UNREADABLE, TypeError, BadLevels) as error:
            return self._lost(symbol, "malformed", at, str(error)[:120])
        if not book.known:
            return self._lost(symbol, "crossed", at, f"seqId {state.seqId}")
        self._known.setdefault(symbol, _Known()).step(state.seqId, stamp_ms)
        if known is not None:
            return []
        return [BookReady(at=at, instrument=self._shallow[symbol].id)]

    def _proved(
        self, symbol: str, reader: DepthReader, frame: bytes, at: Nanos, ready: list[AnyEvent]
    ) -> list[AnyEvent]:
        """The checksum, where there is one, decides last."""
        self._known.setdefault(symbol, _Known()).step(reader.last, reader.stamp_ms)
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

"""KuCoin's books: sequences proven change by change, or full views of the best levels.

Source: KuCoin API docs, "Level-2 market data" of spot and futures. A spot message spans sequences
and names the sequence of each row; a futures message is one sequence. Both must begin at or
before the book's sequence + 1 and end behind it. Without a key the full spot book cannot be had:
then the view of the best 50 (or 5) stands alone, complete in every push.
"""

import re
from collections.abc import Sequence

import msgspec

from oneprice.kernel import BadLevels, Book, OffGrid
from oneprice.kernel.contract import INTEGER_MAX
from oneprice.model.events import BookReady, FeedLost
from oneprice.model.instrument import Instrument
from oneprice.model.instrument import OffGrid as OffInstrumentGrid
from oneprice.model.units import Nanos
from oneprice.venues.kucoin.wire import (
    FUTURES_DEPTH,
    PUSH,
    SNAPSHOT,
    SPOT_DEPTH,
    UNREADABLE,
    Id,
    Snapshot,
    decimal,
    milliseconds,
    sequence_of,
    whole,
)

CHANGES_KEPT_MAX = 2000  # before a snapshot comes
_CHANGE = re.compile(r"([0-9.]{1,30}),(buy|sell),([0-9.]{1,30})")
_EMPTY = b"[]"
_NO_PRICE = ("0", "0.0")
_encode = msgspec.json.Encoder().encode

Row = tuple[str, str, int]  # price, size, sequence
Life = BookReady | FeedLost


class Change(msgspec.Struct, frozen=True):
    """Rows of one message and the sequences it spans."""

    first: int
    last: int
    bids: Sequence[Row]
    asks: Sequence[Row]
    at: Nanos


class Line(msgspec.Struct):
    """One book and what is known of its proof. `depth` 0: changes; else full views so deep."""

    item: Instrument
    book: Book
    stem: str
    depth: int = 0
    ready: bool = False
    snapshot: Snapshot | None = None
    changes: list[Change] = msgspec.field(default_factory=list)


def lost(line: Line, reason: str, detail: str, at: Nanos) -> FeedLost:
    """The book is unknown from now on; what was kept for a snapshot stays."""
    line.book.lose()
    line.ready = False
    line.snapshot = None
    return FeedLost(at=at, instrument=line.item.id, reason=reason, detail=detail)


def forget(line: Line) -> None:
    """Nothing heard so far can be part of a proof any more."""
    line.changes.clear()
    line.snapshot = None


def take(line: Line, data: msgspec.Raw, at: Nanos) -> Sequence[Life]:
    """One message for this book. Never raises: what cannot be read loses the book."""
    try:
        if line.depth:
            return _view(line, data, at)
        change = _read(line, data, at)
    except OffGrid as error:
        return (lost(line, "off_grid", str(error), at),)
    except UNREADABLE as error:
        forget(line)
        return (lost(line, "malformed", str(error)[:200], at),)
    if not line.ready:
        return _keep(line, change, at)
    reason, detail = _apply(line, change)
    if not reason:
        return ()
    if reason == "gap":
        line.changes.append(change)  # the first of a new run
    return (lost(line, reason, detail, at),)


def snapshot_came(line: Line, data: msgspec.Raw, at: Nanos) -> Sequence[Life]:
    """The answer to a snapshot request; it proves nothing before a change joins it."""
    if line.ready or line.depth:
        return ()  # a proven book is newer
    line.snapshot = SNAPSHOT.decode(data)
    return _join(line, at) if line.changes else ()


def _read(line: Line, data: msgspec.Raw, at: Nanos) -> Change:
    if line.item.market == "futures":
        one = FUTURES_DEPTH.decode(data)
        found = _CHANGE.fullmatch(one.change)
        if found is None:
            raise ValueError(f"change: expected price,side,size, found {one.change[:60]!r}")
        _check(one.sequence, one.sequence)
        rows = ((found[1], found[3], one.sequence),)
        buy = found[2] == "buy"
        return Change(one.sequence, one.sequence, rows if buy else (), () if buy else rows, at)
    many = SPOT_DEPTH.decode(data)
    if many.symbol not in ("", line.item.symbol):
        raise ValueError(f"symbol: expected {line.item.symbol}, found {many.symbol[:40]!r}")
    first, last = many.sequence_start, many.sequence_end
    if first > last:  # the docs themselves show them swapped once
        raise ValueError(f"sequenceStart: expected at most {last}, found {first}")
    _check(first, last)
    return Change(first, last, _rows(many.changes.bids), _rows(many.changes.asks), at)


def _check(first: int, last: int) -> None:
    if not 0 <= first <= last <= INTEGER_MAX:
        raise ValueError(f"sequence: expected 0 to {INTEGER_MAX}, found {first} to {last}")


def _rows(rows: list[tuple[str, str, Id]]) -> list[Row]:
    out = [(price, size, sequence_of(at)) for price, size, at in rows]
    if len(out) > 1:
        out.sort(key=lambda row: row[2])  # of two rows at one price the later must win
    return out


def _apply(line: Line, change: Change) -> tuple[str, str]:
    """Put a change on a proven book; ("", "") or the reason and detail of its loss."""
    book = line.book
    had = book.sequence
    if change.last <= had:
        return "", ""
    if change.first > had + 1:
        return "gap", f"first {change.first}, last {change.last}, had {had}"
    try:
        book.delta(_levels(change.bids, had), _levels(change.asks, had), change.at, change.last)
    except OffGrid as error:
        return "off_grid", str(error)
    except BadLevels as error:
        return "malformed", str(error)[:200]
    return ("crossed", f"last {change.last}") if book.crossed else ("", "")


def _levels(rows: Sequence[Row], had: int) -> bytes:
    """Rows newer than the book as the kernel reads them; price 0 only carries the sequence."""
    out = [row[:2] for row in rows if row[2] > had and row[0] not in _NO_PRICE]
    return _encode(out) if out else _EMPTY


def _keep(line: Line, change: Change, at: Nanos) -> Sequence[Life]:
    if len(line.changes) >= CHANGES_KEPT_MAX:
        forget(line)
        detail = f"no snapshot within {CHANGES_KEPT_MAX} changes"
        return (lost(line, "gap", detail, at),)
    line.changes.append(change)
    return _join(line, at) if line.snapshot is not None else ()


def _join(line: Line, at: Nanos) -> Sequence[Life]:
    """Put the snapshot down and play back what came beside it; ready when all of it fits."""
    snapshot, line.snapshot = line.snapshot, None
    assert snapshot is not None
    book, item = line.book, line.item
    try:
        bids, asks = _counted(item, snapshot.bids), _counted(item, snapshot.asks)
        book.load(bids, asks, line.changes[0].at, whole(snapshot.sequence, "sequence"))
    except (OffGrid, OffInstrumentGrid) as error:
        return (lost(line, "off_grid", f"snapshot: {error}"[:200], at),)
    except UNREADABLE as error:
        return (lost(line, "malformed", f"snapshot: {error}"[:200], at),)
    if book.crossed:
        return (lost(line, "crossed", "snapshot", at),)
    changes, line.changes = line.changes, []
    for place, change in enumerate(changes):
        reason, detail = _apply(line, change)
        if reason:
            # What follows a gap is still a run of its own for the next snapshot.
            line.changes = changes[place + (reason != "gap") :]
            return (lost(line, reason, f"snapshot: {detail}", at),)
    line.ready = True
    return (BookReady(at=at, instrument=item.id),)


def _counted(item: Instrument, levels: list[list[msgspec.Raw]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for level in levels:
        if len(level) < 2:
            raise ValueError("levels: expected price and size, found less")
        price, size = decimal(level[0], "price"), decimal(level[1], "size")
        out.append((item.ticks(price), item.lots(size)))
    return out


def _view(line: Line, data: msgspec.Raw, at: Nanos) -> Sequence[Life]:
    """A full push; its stamp is its sequence. An older one comes from a connection on its way
    out and changes nothing."""
    push = PUSH.decode(data)
    stamp = milliseconds(push.timestamp, "timestamp") or milliseconds(push.ts, "ts")
    if not stamp:
        raise ValueError("timestamp: expected an instant, found none")
    if line.ready and stamp < line.book.sequence:
        return ()
    line.book.snapshot(bytes(push.bids), bytes(push.asks), at, stamp)
    if line.book.crossed:
        return (lost(line, "crossed", f"timestamp {stamp}", at),)
    was_ready, line.ready = line.ready, True
    return () if was_ready else (BookReady(at=at, instrument=line.item.id),)

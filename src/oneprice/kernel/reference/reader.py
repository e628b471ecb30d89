"""Raw frames of one depth channel to books, by msgspec, with a strict scanner for odd frames."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from oneprice.kernel.contract import (
    INTEGER_MAX,
    NESTING_MAX,
    BadLevels,
    DepthFormat,
    OffGrid,
    Outcome,
    check_format,
)
from oneprice.kernel.reference.book import Book
from oneprice.kernel.reference.layout import Layout
from oneprice.kernel.reference.scan import NotJson, Scanner, Stop

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)").fullmatch
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ODD = -1 << 40  # never sums up to the colons of a frame
_decode = msgspec.json.Decoder().decode

_OTHER, _APPLIED, _REPLACED = int(Outcome.OTHER), int(Outcome.APPLIED), int(Outcome.REPLACED)
_STALE, _UNSYNCED, _GAP = int(Outcome.STALE), int(Outcome.UNSYNCED), int(Outcome.GAP)
_CROSSED, _MALFORMED = int(Outcome.CROSSED), int(Outcome.MALFORMED)
_UNKNOWN, _OFF_GRID = int(Outcome.UNKNOWN), int(Outcome.OFF_GRID)

#: kind, name, snapshot, bids, asks, stamp, first, last, previous; None for what is absent.
Facts = tuple[Any, ...]
#: So many shapes of frames a reader learns before it is content with the last.
LAYOUTS_MAX = 8


def _integer(value: Any) -> int:
    """An integer in a text, 0 for one that is absent, else one out of range."""
    if value is None:
        return 0
    if type(value) is str and len(value) <= 20 and _INTEGER(value):
        return int(value)
    return INTEGER_MAX + 1


class DepthReader:
    """Applies the frames of one channel to the books registered by name.

    `feed` judges in this order: not of this format (OTHER), broken JSON or facts (MALFORMED), no
    such book (UNKNOWN), bad levels (MALFORMED, OFF_GRID), sequence (STALE, UNSYNCED, GAP), the
    book afterwards (CROSSED). After each call `name`, `book`, `stamp_ms`, `first`, `last` and
    `previous` tell what the frame said; after OTHER they are empty, after MALFORMED the numbers.
    A frame of another kind is left at the kind, the rest is not validated.
    """

    __slots__ = (
        "_books",
        "_format",
        "_keys",
        "_layout",
        "_layouts_left",
        "_wanted",
        "book",
        "first",
        "last",
        "name",
        "previous",
        "stamp_ms",
    )

    def __init__(self, depth_format: DepthFormat) -> None:
        check_format(depth_format)
        f = self._format = depth_format
        self._books: dict[str, Book] = {}
        self._keys: tuple[str, ...] = (
            f.kind_key,
            f.name_key,
            f.snapshot_key,
            f.bids_key,
            f.asks_key,
        )
        self._keys += (f.stamp_key, f.first_key, f.last_key, f.previous_key)
        levels = (f.bids_key, f.asks_key)
        self._wanted = {key: key in levels for key in self._keys if key}
        self._layout: Layout | None = None
        self._layouts_left = LAYOUTS_MAX
        self._forget_frame()

    def register(self, name: str, book: Book) -> None:
        """From now on frames named `name` are for `book`."""
        self._books[name] = book

    def forget(self, name: str) -> None:
        """Frames named `name` are UNKNOWN from now on (KeyError: were so before)."""
        del self._books[name]

    def _forget_frame(self) -> None:
        self.name = ""
        self.book: Book | None = None
        self.stamp_ms = self.first = self.last = self.previous = 0

    def feed(self, frame: bytes, at: int) -> int:
        """Take one frame received `at` (ns UTC); returns an Outcome as int."""
        self._forget_frame()
        layout, colons = self._layout, frame.count(b":")
        if layout is not None and colons == layout.colons and b"\\" not in frame:
            try:
                known = layout.facts(frame)
            except _FAULTS:
                pass
            else:
                return self._judge(known, True, at)
        try:
            root = _decode(frame)
        except _FAULTS:
            return self._feed_odd(frame, at)
        facts: dict[str, Any] = {}
        # A colon per key and none elsewhere proves that no key was given twice.
        if b"\\" in frame or self._collect(root, facts, 0) != colons:
            return self._feed_odd(frame, at)
        outcome = self._judge(self._in_order(facts), True, at)
        if outcome in (_OTHER, _UNKNOWN) and frame.count(b"[") > NESTING_MAX:
            return self._feed_odd(frame, at)  # perhaps levels that are nested too deep
        if outcome in (_APPLIED, _REPLACED) and self._layouts_left:
            self._layouts_left -= 1
            try:
                self._layout = Layout(root, self._keys, self._keys[3:5])
            except LookupError:
                self._layouts_left = 0
        return outcome

    def _in_order(self, facts: dict[str, Any]) -> Facts:
        """The values in the order of the keys: None for absent ones, False for null."""
        found = [facts.get(key) for key in self._keys]
        for place, key in enumerate(self._keys):
            if found[place] is None and key in facts:
                found[place] = False
        return tuple(found)

    def _collect(self, node: Any, facts: dict[str, Any], depth: int) -> int:
        """Gather wanted values; the number of keys met, or _ODD: the scanner shall decide."""
        if depth > NESTING_MAX - 3:
            return _ODD
        if type(node) is list:
            count = 0
            for value in node:
                if type(value) is dict or type(value) is list:
                    count += self._collect(value, facts, depth + 1)
            return count
        if type(node) is not dict:
            return 0
        count = len(node)
        wanted = self._wanted
        for key, value in node.items():
            if key in wanted:
                if key in facts or type(value) is dict:
                    return _ODD
                if type(value) is list and not wanted[key]:
                    return _ODD
                facts[key] = value
            elif type(value) is dict or type(value) is list:
                count += self._collect(value, facts, depth + 1)
        return count

    def _feed_odd(self, frame: bytes, at: int) -> int:
        """The same for frames that are broken, or that hide a key from the fast way."""
        if frame.lstrip(b" \t\n\r")[:1] not in (b"{", b"["):
            return _OTHER
        f = self._format
        facts: dict[str, Any] = {}
        whole = True

        def found(key: str, value: object) -> None:
            nonlocal whole
            if key in facts:
                whole = False
                return
            facts[key] = value
            if key == f.kind_key and not (
                isinstance(value, str) and value.startswith(f.kind_prefix)
            ):
                raise Stop
            if key in (f.bids_key, f.asks_key) and not isinstance(value, list):
                raise Stop

        try:
            Scanner(frame, self._wanted, found).scan()
        except Stop:
            return _OTHER
        except NotJson:
            return self._malformed(facts.get(f.name_key))
        return self._judge(self._in_order(facts), whole, at)

    def _malformed(self, name: object) -> int:
        self.stamp_ms = self.first = self.last = self.previous = 0
        if isinstance(name, str):
            self.name = name
            self.book = self._books.get(name)
            if self.book is not None:
                self.book.lose()
        return _MALFORMED

    def _judge(self, facts: Facts, whole: bool, at: int) -> int:
        """Decide about a frame of valid JSON."""
        kind, name, said, bids, asks, stamp, first, last, previous = facts
        if type(kind) is not str or not kind.startswith(self._format.kind_prefix):
            return _OTHER
        if type(name) is not str:
            return _OTHER
        if type(bids) is not list or type(asks) is not list:
            missing = (bids is None) + (asks is None)
            right = (type(bids) is list) + (type(asks) is list)
            return self._malformed(name) if missing == right == 1 else _OTHER
        if not whole or not self._read_numbers(stamp, first, last, previous):
            return self._malformed(name)
        replace = self._replaces(said, last)
        if not self._complete(said, first, last, previous, replace):
            return self._malformed(name)
        self.name = name
        book = self._books.get(name)
        if book is None:
            return _UNKNOWN
        self.book = book
        try:
            new_bids, new_asks = book.read(bids, asks)
        except OffGrid:
            book.lose()
            return _OFF_GRID
        except BadLevels:
            return self._malformed(name)
        if not replace:
            refused = self._sequence(book)
            if refused:
                if refused == _GAP:
                    book.lose()
                return refused
        sequence = book.sequence + 1 if last is None else self.last
        book.change(new_bids, new_asks, replace, at, sequence)
        if book.crossed:
            return _CROSSED
        return _REPLACED if replace else _APPLIED

    def _read_numbers(self, stamp: Any, first: Any, last: Any, previous: Any) -> bool:
        """Set the numbers of the frame, 0 for absent ones; False when one is no integer."""
        if type(stamp) is not int:
            stamp = _integer(stamp)
        if type(first) is not int:
            first = _integer(first)
        if type(last) is not int:
            last = _integer(last)
        if type(previous) is not int:
            previous = _integer(previous)
        self.stamp_ms, self.first, self.last, self.previous = stamp, first, last, previous
        if stamp > INTEGER_MAX or first > INTEGER_MAX:
            return False
        if last > INTEGER_MAX or previous > INTEGER_MAX:
            return False
        least = -INTEGER_MAX
        return not (stamp < least or first < least or last < least or previous < least)

    def _complete(self, said: Any, first: Any, last: Any, previous: Any, replace: bool) -> bool:
        """Whether all that the channel's rule needs was there."""
        f = self._format
        if f.snapshot_key and type(said) is not str:
            return False
        if f.rule == "none":
            return True
        if last is None:
            return False
        if replace or f.rule == "plus_one":
            return True
        return (first if f.rule == "span" else previous) is not None

    def _replaces(self, said: Any, last: Any) -> bool:
        f = self._format
        if f.snapshot_key and said == f.snapshot_value:
            return True
        return last is not None and f.restart_at >= 0 and self.last == f.restart_at

    def _sequence(self, book: Book) -> int:
        """0 when the frame is the next one of the book, else STALE, UNSYNCED or GAP."""
        if not book.known:
            return _UNSYNCED
        known, last = book.sequence, self.last
        match self._format.rule:
            case "plus_one":
                next_one, stale = last == known + 1, last <= known
            case "span":
                next_one, stale = self.first <= known + 1 <= last, last <= known
            case "linked" if book.bridging:
                next_one = self.previous == known or self.previous <= known <= last
                stale = last < known
            case "linked":
                next_one, stale = self.previous == known, last <= known
            case _:
                return 0
        if next_one:
            return 0
        return _STALE if stale else _GAP

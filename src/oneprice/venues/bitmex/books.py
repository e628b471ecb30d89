"""BitMEX's books: a table of price levels told by id, and the proof that no diff was lost.

There are no sequence numbers and no checksums (protocol document, section 10). What can be proven
is that every diff names what the table holds: an update or delete of an unknown id, an insert of
an id or price that is taken, or a diff that cannot be read mean that something was lost on the
way, and so is the book. Diffs before the first `partial` belong to nobody and change nothing.
"""

import re
from decimal import Decimal

import msgspec

from oneprice.kernel import Book
from oneprice.kernel.contract import BadLevels
from oneprice.kernel.contract import OffGrid as OffBook
from oneprice.model.events import AnyEvent, BookReady, FeedLost
from oneprice.model.instrument import Instrument, OffGrid
from oneprice.model.units import InstrumentId, Lots, Nanos, Side, Ticks
from oneprice.venues.bitmex.wire import LEVELS, UNREADABLE, Frame, LevelRow, count, number

NARROW = "orderBookL2_25"
FULL = "orderBookL2"
_NARROW_LEVELS = 25
_SEARCHED = 1 << 20
_TABLE = re.compile(rb'"table"\s*:\s*"(\w+)"')
_NAMED = re.compile(rb'"symbol"\s*:\s*"([A-Za-z0-9_.:]{1,40})"')


def table_for(depth: int) -> str:
    """The narrowest table that shows so many levels a side."""
    return NARROW if depth <= _NARROW_LEVELS else FULL


class _Level(msgspec.Struct):
    ticks: Ticks
    lots: Lots


class _Half:
    """One side of a book: levels by id, and which id holds a price."""

    __slots__ = ("changed", "holder", "levels")

    def __init__(self) -> None:
        self.levels: dict[int, _Level] = {}
        self.holder: dict[Ticks, int] = {}
        self.changed: dict[Ticks, Lots] = {}  # during one frame

    def set(self, id_: int, ticks: Ticks, lots: Lots) -> None:
        """ValueError where another id holds that price."""
        if self.holder.setdefault(ticks, id_) != id_:
            raise _Gap(f"id {id_} has the price of id {self.holder[ticks]}")
        old = self.levels.get(id_)
        if old is not None and old.ticks != ticks:
            del self.holder[old.ticks]
            self.changed[old.ticks] = Lots(0)
        self.levels[id_] = _Level(ticks, lots)
        self.changed[ticks] = lots

    def remove(self, id_: int) -> None:
        old = self.levels.pop(id_)
        del self.holder[old.ticks]
        self.changed[old.ticks] = Lots(0)

    def settle(self) -> dict[Ticks, Lots]:
        """The prices this frame changed."""
        out, self.changed = self.changed, {}
        return out


class _Gap(ValueError):
    """A diff that does not fit the table: something before it was lost."""


class _Shelf:
    """The book of one instrument, the table that feeds it, and what its ids mean."""

    def __init__(self, item: Instrument, table: str) -> None:
        self.item = item
        self.table = table
        # Levels that leave a narrow table are deleted by the venue: nothing is cut off here.
        self.book = Book(item.tick, item.lot)
        self.sides: dict[Side, _Half] = {}

    def lose(self) -> bool:
        """The book is unknown from now on; False where it was so already."""
        had, self.sides = bool(self.sides), {}
        self.book.lose()
        return had


class Books:
    """All books of the public sockets and what has been proven about each."""

    def __init__(self) -> None:
        self.books: dict[InstrumentId, Book] = {}
        self._shelves: dict[str, _Shelf] = {}  # by symbol

    def open(self, item: Instrument, depth: int) -> str:
        """Keep a book at least so deep; its table. ValueError where a narrower one is kept."""
        table = table_for(depth)
        shelf = self._shelves.get(item.symbol)
        if shelf is not None and table == FULL != shelf.table:
            raise ValueError(f"{item.id}: depth {depth} wanted, but its book has depth 25")
        if shelf is None:
            shelf = self._shelve(item, table)
        return shelf.table

    def _shelve(self, item: Instrument, table: str) -> _Shelf:
        shelf = self._shelves[item.symbol] = _Shelf(item, table)
        self.books[item.id] = shelf.book
        return shelf

    def regrid(self, item: Instrument) -> bool:
        """The instrument was listed anew; True where its book had to begin anew in a new grid."""
        shelf = self._shelves.get(item.symbol)
        if shelf is None:
            return False
        if (shelf.item.tick, shelf.item.lot) == (item.tick, item.lot):
            shelf.item = item
            return False
        shelf.lose()  # whoever still holds the old book must not read it in the new grid
        self._shelve(item, shelf.table)
        return True

    def lose(self, symbol: str) -> bool:
        """The book is unknown from now on; False where it was so already."""
        shelf = self._shelves.get(symbol)
        return shelf is not None and shelf.lose()

    # Frames -----------------------------------------------------------------------------

    def garbled(self, frame: bytes, at: Nanos) -> list[AnyEvent]:
        """A frame that could not be read at all: which books can no longer be proven.

        Where it names symbols those are lost; where it names none any of them may have been
        meant, and a table without sequence numbers has no other way to tell.
        """
        table = _TABLE.search(frame)
        if table is not None and not table[1].startswith(FULL.encode()):
            return []
        named = {found.decode(): None for found in _NAMED.findall(frame, 0, _SEARCHED)}
        out: list[AnyEvent] = []
        for symbol, shelf in self._shelves.items():
            if (symbol in named or not named) and shelf.lose():
                out.append(_lost(shelf, "malformed", at, "a frame that cannot be read"))
        return out

    def take(self, frame: Frame, at: Nanos) -> list[AnyEvent]:
        """What a frame of a book table did; ValueError where no book of ours is meant."""
        shelf = self._meant(frame)
        healing = frame.action == "partial"
        try:
            rows = LEVELS.decode(frame.data)
            if any(row.symbol != shelf.item.symbol for row in rows):
                raise ValueError("rows of several symbols in one frame")
            if healing:
                return self._begin(shelf, rows, at)
            if not shelf.sides:
                return []  # diffs before the partial, or after a loss that was told
            return self._change(shelf, frame.action, rows, at)
        except (OffGrid, OffBook) as error:
            return self._break(shelf, "off_grid", at, str(error), told=healing)
        except _Gap as error:
            return self._break(shelf, "gap", at, str(error), told=healing)
        except (*UNREADABLE, BadLevels) as error:
            return self._break(shelf, "malformed", at, str(error), told=healing)

    def _meant(self, frame: Frame) -> _Shelf:
        symbol = frame.filter.symbol if frame.filter is not None else ""
        if not symbol:
            found = _NAMED.search(bytes(frame.data))
            symbol = found[1].decode() if found is not None else ""
        shelf = self._shelves.get(symbol)
        if shelf is None or shelf.table != frame.table:
            raise ValueError(f"{frame.table} of {symbol!r} was never asked for")
        return shelf

    def _begin(self, shelf: _Shelf, rows: list[LevelRow], at: Nanos) -> list[AnyEvent]:
        sides = {Side.BUY: _Half(), Side.SELL: _Half()}
        for row in rows:
            half = sides[side_of(row.side)]
            if row.id in half.levels:
                raise _Gap(f"id {row.id} twice in one partial")
            half.set(row.id, _ticks(shelf.item, row), _lots(shelf.item, row))
        bids, asks = (list(sides[side].settle().items()) for side in (Side.BUY, Side.SELL))
        shelf.book.load(bids, asks, at, 0)
        if shelf.book.crossed:
            return self._break(shelf, "crossed", at, "partial", told=True)
        shelf.sides = sides
        return [BookReady(at=at, instrument=shelf.item.id)]

    def _change(
        self, shelf: _Shelf, action: str, rows: list[LevelRow], at: Nanos
    ) -> list[AnyEvent]:
        item = shelf.item
        for row in rows:
            half = shelf.sides[side_of(row.side)]
            level = half.levels.get(row.id)
            match action:
                case "insert":
                    ticks, lots = _ticks(item, row), _lots(item, row)
                    if level is not None and (level.ticks, level.lots) != (ticks, lots):
                        raise _Gap(f"insert of id {row.id}, which is there")
                    half.set(row.id, ticks, lots)
                case "update":
                    if level is None:
                        raise _Gap(f"update of id {row.id}, which is not there")
                    # Since 2023 a diff says the price, before that the id stood for it.
                    ticks = level.ticks if row.price is None else _ticks(item, row)
                    lots = level.lots if row.size is None else _lots(item, row)
                    half.set(row.id, ticks, lots)
                case "delete":
                    if level is None:
                        raise _Gap(f"delete of id {row.id}, which is not there")
                    half.remove(row.id)
                case _:
                    raise ValueError(f"action: expected a diff, found {action[:20]!r}")
        bids, asks = (_texts(item, shelf.sides[side].settle()) for side in (Side.BUY, Side.SELL))
        shelf.book.delta(bids, asks, at, 0)
        if shelf.book.crossed:
            return self._break(shelf, "crossed", at, action)
        return []

    def _break(
        self, shelf: _Shelf, reason: str, at: Nanos, detail: str, *, told: bool = False
    ) -> list[AnyEvent]:
        """Lose a book; told once, and again for every partial that could not heal it."""
        was = shelf.lose()
        return [_lost(shelf, reason, at, detail)] if was or told else []


def _lost(shelf: _Shelf, reason: str, at: Nanos, detail: str) -> FeedLost:
    return FeedLost(at=at, instrument=shelf.item.id, reason=reason, detail=detail[:200])


def side_of(text: str | None) -> Side:
    match text:
        case "Buy":
            return Side.BUY
        case "Sell":
            return Side.SELL
    raise ValueError(f"side: expected Buy or Sell, found {(text or '')[:20]!r}")


def _ticks(item: Instrument, row: LevelRow) -> Ticks:
    ticks = item.ticks(number(row.price, "price"))
    if ticks <= 0:
        raise ValueError(f"price: expected more than 0, found {row.price}")
    return ticks


def _lots(item: Instrument, row: LevelRow) -> Lots:
    size = count(row.size, "size")
    if size <= 0:
        raise ValueError(f"size: expected more than 0, found {size}")
    return item.lots(Decimal(size))


def _texts(item: Instrument, changed: dict[Ticks, Lots]) -> bytes:
    """Levels as the kernel reads them: texts of price and size."""
    levels = ",".join(
        f'["{item.price_text(ticks)}","{item.size_text(lots)}"]' for ticks, lots in changed.items()
    )
    return f"[{levels}]".encode()

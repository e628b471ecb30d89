"""Books as tables: levels with ids, the best 25, all of them, and the ten of orderBook10."""

from collections.abc import Mapping

from oneprice.model.units import InstrumentId, Side
from oneprice.twin.contract import BookView, Exchange, Levels
from oneprice.twin.dialects.bitmex.envelope import Row, iso
from oneprice.twin.dialects.bitmex.facts import Sheet

FAMILY = 10_000_000_000  # ids of one instrument lie in a block of this size
TABLES = {"orderBookL2": 0, "orderBookL2_25": 25}  # 0: everything
TEN = 10
Level = tuple[int, int]  # side sign, ticks


class LevelIds:
    """Which id names which price level: those of a tape where there is one, else made here.

    Made ids fall as the price rises, so rows sorted by id run from the highest price down.
    """

    def __init__(self) -> None:
        self._given: dict[InstrumentId, dict[int, int]] = {}  # ticks -> id
        self._ticks: dict[InstrumentId, dict[int, int]] = {}  # id -> ticks

    def give(self, instrument: InstrumentId, number: int, ticks: int) -> None:
        """A recorded row said which price an id stands for."""
        self._given.setdefault(instrument, {})[ticks] = number
        self._ticks.setdefault(instrument, {})[number] = ticks

    def ticks_of(self, instrument: InstrumentId, number: int) -> int | None:
        return self._ticks.get(instrument, {}).get(number)

    def id_of(self, sheet: Sheet, ticks: int) -> int:
        given = self._given.get(sheet.id, {}).get(ticks)
        return sheet.place * FAMILY - ticks if given is None else given


class BookTopic:
    """What the readers of one table of one instrument have been shown so far."""

    def __init__(self, exchange: Exchange, sheet: Sheet, ids: LevelIds, table: str) -> None:
        self.sheet = sheet
        self.table = table
        self._exchange = exchange
        self._ids = ids
        self._depth = TABLES[table]
        self._shown: dict[Level, int] = {}
        self._stamps: dict[Level, int] = {}
        self.priced = True  # False: update and delete rows without price, as before 2023

    def rows(self, at: int, *, fresh: bool) -> list[Row]:
        """The whole table for a partial; `fresh`: nobody follows, so look at the book anew."""
        if fresh:
            self.changes(at)
        return self._printed(self._shown, at)

    def changes(self, at: int) -> list[tuple[str, list[Row]]]:
        """What is new since the last look, by action: nothing is ever crossed in between."""
        before = self._shown
        after = _levels(self._exchange.book(self.sheet.id, self._depth))
        gone = {level: 0 for level in before if level not in after}
        changed = {
            level: lots
            for level, lots in after.items()
            if level in before and before[level] != lots
        }
        come = {level: lots for level, lots in after.items() if level not in before}
        self._shown = after
        for level in gone:
            self._stamps.pop(level, None)
        for level in (*changed, *come):
            self._stamps[level] = at
        found = [
            ("delete", self._printed(gone, at, sizes=False, prices=self.priced)),
            ("update", self._printed(changed, at, prices=self.priced)),
            ("insert", self._printed(come, at)),
        ]
        return [(action, rows) for action, rows in found if rows]

    def _printed(
        self, levels: Mapping[Level, int], at: int, *, sizes: bool = True, prices: bool = True
    ) -> list[Row]:
        rows: list[Row] = []
        for (sign, ticks), lots in levels.items():
            row: Row = {
                "symbol": self.sheet.symbol,
                "id": self._ids.id_of(self.sheet, ticks),
                "side": "Buy" if sign > 0 else "Sell",
            }
            if sizes:
                row["size"] = self.sheet.contracts(lots)
            if prices:
                row["price"] = self.sheet.price(ticks)
            row["timestamp"] = iso(self._stamps.get((sign, ticks), at))
            rows.append(row)
        rows.sort(key=lambda row: int(row["id"]))
        return rows


class TenTopic:
    """orderBook10: one row per instrument, replaced whole at each change."""

    def __init__(self, exchange: Exchange, sheet: Sheet) -> None:
        self.sheet = sheet
        self._exchange = exchange
        self._shown: tuple[Levels, Levels] | None = None
        self._stamp = 0

    def row(self, at: int) -> Row:
        if self._shown is None:
            self.change(at)
        bids, asks = self._shown or ((), ())
        return {
            "symbol": self.sheet.symbol,
            "bids": self._pairs(bids),
            "asks": self._pairs(asks),
            "timestamp": iso(self._stamp),
        }

    def change(self, at: int) -> Row | None:
        """The new row if something in it changed."""
        view = self._exchange.book(self.sheet.id, TEN)
        if self._shown == (view.bids, view.asks):
            return None
        self._shown = (view.bids, view.asks)
        self._stamp = at
        return self.row(at)

    def _pairs(self, levels: Levels) -> list[list[object]]:
        return [[self.sheet.price(ticks), self.sheet.contracts(lots)] for ticks, lots in levels]


class Books:
    """All book topics; made when first needed."""

    def __init__(self, exchange: Exchange) -> None:
        self.ids = LevelIds()
        self._exchange = exchange
        self._topics: dict[tuple[str, InstrumentId], BookTopic] = {}
        self._tens: dict[InstrumentId, TenTopic] = {}
        self.priced = True

    def topic(self, table: str, sheet: Sheet) -> BookTopic:
        found = self._topics.get((table, sheet.id))
        if found is None:
            found = BookTopic(self._exchange, sheet, self.ids, table)
            self._topics[table, sheet.id] = found
        found.priced = self.priced
        return found

    def ten(self, sheet: Sheet) -> TenTopic:
        found = self._tens.get(sheet.id)
        if found is None:
            found = self._tens[sheet.id] = TenTopic(self._exchange, sheet)
        return found

    def rest_rows(self, sheet: Sheet, depth: int, at: int) -> list[Row]:
        """`depth` levels of each side, 0 all, from the highest price down."""
        view = self._exchange.book(sheet.id, depth)
        rows = [
            {
                "symbol": sheet.symbol,
                "id": self.ids.id_of(sheet, ticks),
                "side": "Buy" if sign > 0 else "Sell",
                "size": sheet.contracts(lots),
                "price": sheet.price(ticks),
                "timestamp": iso(view.at),
            }
            for (sign, ticks), lots in _levels(view).items()
        ]
        return sorted(rows, key=lambda row: -row["price"])


def _levels(view: BookView) -> dict[Level, int]:
    found = {(int(Side.SELL), ticks): lots for ticks, lots in view.asks}
    found.update({(int(Side.BUY), ticks): lots for ticks, lots in view.bids})
    return found

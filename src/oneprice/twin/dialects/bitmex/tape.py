"""Recorded frames of /realtime back into updates of the exchange, and what the tape has shown."""

from decimal import Decimal
from typing import Any

import msgspec

from oneprice.model.instrument import OffGrid
from oneprice.model.units import Side
from oneprice.twin.contract import (
    BookUpdate,
    MarketUpdate,
    PriceUpdate,
    RawUpdate,
    TradeUpdate,
)
from oneprice.twin.dialects.bitmex.books import LevelIds
from oneprice.twin.dialects.bitmex.envelope import moment
from oneprice.twin.dialects.bitmex.facts import Sheet, Sheets

Found = dict[str, Any]
_BOOKS = ("orderBookL2", "orderBookL2_25")


class _Level(msgspec.Struct):
    """A row of a book; update and delete carry no price in recordings of before 2023."""

    symbol: str
    id: int
    side: str
    size: Decimal = Decimal(0)
    price: Decimal | None = None


class _BookFrame(msgspec.Struct):
    action: str
    data: list[_Level]


class _Head(msgspec.Struct):
    table: str
    action: str


_HEAD = msgspec.json.Decoder(_Head)
_BOOK = msgspec.json.Decoder(_BookFrame)


class Tape:
    """Decodes frames; of several book tables of one symbol only the first met moves the book.

    Levels are counted here, as frames carry no sequence numbers: each frame is one step.
    """

    def __init__(self, sheets: Sheets, ids: LevelIds) -> None:
        self._sheets = sheets
        self._ids = ids
        self._leading: dict[str, str] = {}  # instrument -> table that moves its book
        self._topics: dict[tuple[str, str], None] = {}
        self._counts: dict[str, int] = {}

    def holds(self, table: str, symbol: str) -> bool:
        """Whether the recording brings this table of this symbol itself."""
        return (table, symbol) in self._topics

    def decode(self, frame: bytes) -> list[MarketUpdate]:
        """Updates of one recorded frame; the first carries it. Anything else gives nothing."""
        try:
            head = _HEAD.decode(frame)
            if head.table in _BOOKS:
                return self._book(head.table, frame)
            return self._other(head.table, head.action, frame)
        except (msgspec.MsgspecError, OffGrid, KeyError, TypeError, ValueError):
            return []  # acks, welcomes, and frames that are not what their table promises

    def _book(self, table: str, frame: bytes) -> list[MarketUpdate]:
        message = _BOOK.decode(frame)
        parts: dict[str, list[_Level]] = {}
        for level in message.data:
            parts.setdefault(level.symbol, []).append(level)
        found: list[MarketUpdate] = []
        for symbol, levels in parts.items():
            sheet = self._sheets.find(symbol)
            if sheet is None:
                continue
            self._topics[table, symbol] = None
            raw = b"" if found else frame
            if self._leading.setdefault(sheet.id, table) != table:
                found.append(RawUpdate(instrument=sheet.id, raw=raw))
                continue
            found.append(self._step(sheet, message.action, levels, raw))
        return found

    def _step(self, sheet: Sheet, action: str, levels: list[_Level], raw: bytes) -> MarketUpdate:
        count = self._counts.get(sheet.id, 0) + 1
        self._counts[sheet.id] = count
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for level in levels:
            ticks = self._ticks(sheet, level)
            if ticks is None:
                continue  # an id that nobody was told of: the venue's own readers skip it, too
            lots = 0 if action == "delete" else int(sheet.instrument.lots(level.size))
            (bids if level.side == "Buy" else asks)[ticks] = lots
        return BookUpdate(
            instrument=sheet.id,
            bids=tuple(sorted(bids.items(), reverse=True)),
            asks=tuple(sorted(asks.items())),
            sequence=count,
            sequence_before=count - 1,
            full=action == "partial",
            raw=raw,
        )

    def _ticks(self, sheet: Sheet, level: _Level) -> int | None:
        if level.price is None:
            return self._ids.ticks_of(sheet.id, level.id)
        ticks = int(sheet.instrument.ticks(level.price))
        self._ids.give(sheet.id, level.id, ticks)
        return ticks

    def _other(self, table: str, action: str, frame: bytes) -> list[MarketUpdate]:
        rows: list[Found] = msgspec.json.decode(frame).get("data") or []
        found: list[MarketUpdate] = []
        for row in rows:
            sheet = self._sheets.find(str(row.get("symbol", "")))
            if sheet is None:
                continue
            self._topics[table, sheet.symbol] = None
            raw = b"" if found else frame
            if table == "trade" and action == "insert":
                found.append(_trade(sheet, row, raw))
            elif table == "instrument":
                found.append(_prices(sheet, row, raw))
            elif raw:
                found.append(RawUpdate(instrument=sheet.id, raw=raw))
        return found


def topic_of(raw: bytes) -> tuple[str, str]:
    """Table and symbol of a frame without decoding all of it; empty where there is none."""
    rows = max(0, raw.find(b'"data":['))
    return _after(raw, b'"table":"', 0), _after(raw, b'"symbol":"', rows)


def _after(raw: bytes, mark: bytes, begin: int) -> str:
    start = raw.find(mark, begin)
    if start < 0:
        return ""
    start += len(mark)
    return raw[start : raw.find(b'"', start)].decode()


def _trade(sheet: Sheet, row: Found, raw: bytes) -> TradeUpdate:
    return TradeUpdate(
        instrument=sheet.id,
        ticks=int(sheet.instrument.ticks(str(row["price"]))),
        lots=int(sheet.instrument.lots(str(row["size"]))),
        side=Side.BUY if row["side"] == "Buy" else Side.SELL,
        raw=raw,
    )


def _prices(sheet: Sheet, row: Found, raw: bytes) -> PriceUpdate:
    due = row.get("fundingTimestamp")
    interest = row.get("openInterest")
    return PriceUpdate(
        instrument=sheet.id,
        mark=_decimal(row.get("markPrice")),
        index=_decimal(row.get("indicativeSettlePrice")),
        funding_rate=_decimal(row.get("fundingRate")),
        funding_next=_decimal(row.get("indicativeFundingRate")),
        funding_due=moment(due) if isinstance(due, str) else None,
        open_interest_lots=(
            None if interest is None else int(sheet.instrument.lots_within(Decimal(interest)))
        ),
        raw=raw,
    )


def _decimal(value: float | int | None) -> Decimal | None:
    """Shortest decimal of a JSON number, which is what the venue wrote."""
    return None if value is None else Decimal(str(value))

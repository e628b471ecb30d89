"""Recorded public frames back into updates of the exchange, and what the tape has shown."""

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from oneprice.model.instrument import OffGrid
from oneprice.model.units import MILLI, Side
from oneprice.twin.contract import (
    BookUpdate,
    Levels,
    MarketUpdate,
    PriceUpdate,
    RawUpdate,
    TradeUpdate,
)
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets

Found = dict[str, Any]


class Tape:
    """Decodes the frames of a recording and remembers which topics it holds.

    Of several depths of one symbol only the first met moves the book; the others pass verbatim.
    """

    def __init__(self, sheets: Sheets) -> None:
        self._sheets = sheets
        self._depths: dict[str, str] = {}
        self._topics: dict[tuple[str, str], None] = {}
        self._tickers: dict[tuple[str, str], Found] = {}

    def holds(self, category: str, topic: str) -> bool:
        """Whether the recording brings this topic itself."""
        return (category, topic) in self._topics

    def ticker(self, category: str, topic: str) -> Found | None:
        """The merged fields of a ticker topic so far; frames are decoded when they are due."""
        return self._tickers.get((category, topic))

    def decode(self, category: str, frame: bytes) -> list[MarketUpdate]:
        """Updates of one recorded frame or REST body; the first carries the frame."""
        try:
            message = msgspec.json.decode(frame)
        except msgspec.DecodeError:
            return []
        if not isinstance(message, dict):
            return []
        try:
            if "retCode" in message:
                return self._snapshot(category, message)
            return self._pushed(category, message, frame)
        except (OffGrid, InvalidOperation, KeyError, TypeError, ValueError, IndexError):
            return []  # a frame that is not what its topic promises

    def _snapshot(self, category: str, message: Found) -> list[MarketUpdate]:
        result = message.get("result") or {}
        sheet = self._sheets.find(category, str(result.get("s", "")))
        if sheet is None or "u" not in result:
            return []
        return [
            BookUpdate(
                instrument=sheet.id,
                bids=_levels(sheet, result["b"]),
                asks=_levels(sheet, result["a"]),
                sequence=int(result["u"]),
                full=True,
            )
        ]

    def _pushed(self, category: str, message: Found, frame: bytes) -> list[MarketUpdate]:
        topic = str(message.get("topic", ""))
        kind, _, rest = topic.partition(".")
        sheet = self._sheets.find(category, rest.rpartition(".")[2])
        if sheet is None:
            return []
        self._topics[category, topic] = None
        data = message["data"]
        if kind == "orderbook" and self._depths.setdefault(sheet.id, topic) == topic:
            return [_book(sheet, message, frame)]
        if kind == "publicTrade":
            return _trades(sheet, data, frame)
        if kind == "tickers":
            self._tickers.setdefault((category, topic), {}).update(data)
            if not sheet.spot:
                return [_prices(sheet, data, frame)]
        return [RawUpdate(instrument=sheet.id, raw=frame)]


def topic_of(raw: bytes) -> str:
    """The topic of a frame without decoding all of it; "" where there is none."""
    start = raw.find(b'"topic":"')
    if start < 0:
        return ""
    start += len(b'"topic":"')
    return raw[start : raw.find(b'"', start)].decode()


def _book(sheet: Sheet, message: Found, frame: bytes) -> BookUpdate:
    data = message["data"]
    update = int(data["u"])
    return BookUpdate(
        instrument=sheet.id,
        bids=_levels(sheet, data["b"]),
        asks=_levels(sheet, data["a"]),
        sequence=update,
        sequence_before=update - 1,
        full=message.get("type") == "snapshot" or update == 1,
        raw=frame,
    )


def _trades(sheet: Sheet, rows: list[Found], frame: bytes) -> list[MarketUpdate]:
    return [
        TradeUpdate(
            instrument=sheet.id,
            ticks=sheet.instrument.ticks(row["p"]),
            lots=sheet.instrument.lots(row["v"]),
            side=Side.BUY if row["S"] == "Buy" else Side.SELL,
            raw=b"" if number else frame,
        )
        for number, row in enumerate(rows)
    ]


def _prices(sheet: Sheet, data: Found, frame: bytes) -> PriceUpdate:
    due = data.get("nextFundingTime")
    interest = data.get("openInterest")
    return PriceUpdate(
        instrument=sheet.id,
        mark=_decimal(data.get("markPrice")),
        index=_decimal(data.get("indexPrice")),
        funding_rate=_decimal(data.get("fundingRate")),
        funding_due=int(due) * MILLI if due else None,
        open_interest_lots=(
            int(sheet.instrument.lots_within(Decimal(interest))) if interest else None
        ),
        raw=frame,
    )


def _decimal(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def _levels(sheet: Sheet, rows: list[tuple[str, str]]) -> Levels:
    grid = sheet.instrument
    return tuple((int(grid.ticks(price)), int(grid.lots(size))) for price, size in rows)

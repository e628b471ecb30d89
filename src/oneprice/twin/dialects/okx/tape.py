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
from oneprice.twin.dialects.okx.books import CHANNELS, Books
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.sessions import Topic

Found = dict[str, Any]
INCREMENTAL = tuple(name for name, (_, _, whole) in CHANNELS.items() if not whole)
PRICES = ("mark-price", "index-tickers", "funding-rate", "open-interest")


class Tape:
    """Decodes the frames of a recording and remembers which topics it holds.

    Of several book channels of one instrument only the first met moves the book; the others pass
    verbatim. Frames from before the venue numbered its books (2022) are numbered here, and their
    instruments marked as ones with real checksums.
    """

    def __init__(self, sheets: Sheets, books: Books) -> None:
        self._sheets = sheets
        self._books = books
        self._channels: dict[str, str] = {}
        self._topics: dict[Topic, None] = {}
        self._numbers: dict[str, int] = {}

    def holds(self, topic: Topic) -> bool:
        """Whether the recording brings this topic itself."""
        return topic in self._topics

    def decode(self, frame: bytes) -> list[MarketUpdate]:
        """Updates of one recorded frame or REST book; the first carries the frame."""
        try:
            message = msgspec.json.decode(frame)
        except msgspec.DecodeError:
            return []
        if not isinstance(message, dict) or not isinstance(message.get("data"), list):
            return []
        if "event" in message or not isinstance(message.get("arg"), dict):
            return []
        try:
            return self._pushed(message, frame)
        except (OffGrid, InvalidOperation, KeyError, TypeError, ValueError, IndexError):
            return []  # a frame that is not what its channel promises

    def _pushed(self, message: Found, frame: bytes) -> list[MarketUpdate]:
        topic = _topic(message["arg"])
        name, inst_id = topic.channel, topic.get("instId")
        if name == "index-tickers":
            sheets = self._sheets.of_index(inst_id)
        else:
            found = self._sheets.by_inst.get(inst_id)
            sheets = [found] if found else []
        if not sheets:
            return []
        self._topics[topic] = None
        sheet, rows = sheets[0], message["data"]
        if name in INCREMENTAL and self._channels.setdefault(sheet.id, name) == name:
            return [self._book(sheet, message, frame)]
        if name == "trades":
            return _trades(sheet, rows, frame)
        if name in PRICES:
            made = [_prices(one, name, rows[-1]) for one in sheets]
            return [msgspec.structs.replace(made[0], raw=frame), *made[1:]]
        return [RawUpdate(instrument=sheet.id, raw=frame)]

    def _book(self, sheet: Sheet, message: Found, frame: bytes) -> BookUpdate:
        row = message["data"][0]
        before = self._numbers.get(sheet.id, 0)
        if "seqId" in row:
            before, sequence = int(row.get("prevSeqId", before)), int(row["seqId"])
        else:
            sequence = before + 1
            self._books.checked[sheet.id] = None
        self._numbers[sheet.id] = sequence
        return BookUpdate(
            instrument=sheet.id,
            bids=_levels(sheet, row["bids"]),
            asks=_levels(sheet, row["asks"]),
            sequence=sequence,
            sequence_before=max(0, before),
            full=message.get("action") == "snapshot",
            raw=frame,
        )


class _Head(msgspec.Struct):
    arg: Found = {}


_HEAD = msgspec.json.Decoder(_Head)


def topic_of(raw: bytes) -> Topic:
    """The topic of a recorded frame."""
    return _topic(_HEAD.decode(raw).arg)


def _topic(argument: Found) -> Topic:
    names = ("instId", "instType")
    return Topic(
        str(argument.get("channel", "")),
        tuple((name, str(argument[name])) for name in names if argument.get(name)),
    )


def _trades(sheet: Sheet, rows: list[Found], frame: bytes) -> list[MarketUpdate]:
    return [
        TradeUpdate(
            instrument=sheet.id,
            ticks=sheet.instrument.ticks(row["px"]),
            lots=sheet.instrument.lots(row["sz"]),
            side=Side.BUY if row["side"] == "buy" else Side.SELL,
            trade_id=int(row["tradeId"]),
            raw=b"" if number else frame,
        )
        for number, row in enumerate(rows)
    ]


def _prices(sheet: Sheet, name: str, row: Found) -> PriceUpdate:
    match name:
        case "mark-price":
            return PriceUpdate(instrument=sheet.id, mark=Decimal(row["markPx"]))
        case "index-tickers":
            return PriceUpdate(instrument=sheet.id, index=Decimal(row["idxPx"]))
        case "funding-rate":
            return PriceUpdate(
                instrument=sheet.id,
                funding_rate=Decimal(row["fundingRate"]),
                funding_due=int(row["fundingTime"]) * MILLI,
            )
        case _:
            lots = sheet.instrument.lots_within(Decimal(row["oi"]))
            return PriceUpdate(instrument=sheet.id, open_interest_lots=int(lots))


def _levels(sheet: Sheet, rows: list[list[str]]) -> Levels:
    grid = sheet.instrument
    return tuple((int(grid.ticks(row[0])), int(grid.lots(row[1]))) for row in rows)

"""Recorded public frames back into updates of the exchange, and what the tape has shown."""

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from oneprice.model.instrument import OffGrid
from oneprice.model.units import Side
from oneprice.twin.contract import (
    BookUpdate,
    Levels,
    MarketUpdate,
    PriceUpdate,
    RawUpdate,
    TradeUpdate,
)
from oneprice.twin.dialects.kucoin.facts import Facts, Sheet

Found = dict[str, Any]
# Sequences of one symbol in one recording lie this near to each other, those of two do not.
NEAR = 1_000_000
_decoder = msgspec.json.Decoder(type=Any, float_hook=Decimal)


class Tape:
    """Decodes the frames of a recording and remembers which topics it holds."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._topics: dict[str, None] = {}
        self._seen: dict[str, int] = {}  # instrument id: a sequence it had
        self._waiting: list[Found] = []  # spot books that came before anything of their symbol

    def holds(self, topic: str) -> bool:
        """Whether the recording brings this topic itself."""
        return topic in self._topics

    def decode(self, market: str, frame: bytes) -> list[MarketUpdate]:
        """Updates of one recorded frame or REST body; the first of a frame carries it.

        A spot book by REST names no symbol: it belongs to the one that its request line
        `https://...symbol=X -> t: {}` names, else to the one whose sequence was near its own.
        """
        asked = ""
        if frame.startswith(b"https://"):
            head, _, rest = frame.partition(b"{")
            asked = head.partition(b"symbol=")[2].partition(b"&")[0].partition(b" ")[0].decode()
            frame = b"{" + rest
        try:
            message = _decoder.decode(frame)
        except msgspec.DecodeError:
            return []
        if not isinstance(message, dict):
            return []
        try:
            if "code" in message:
                return self._snapshot(market, message.get("data"), asked)
            return self._pushed(message, frame)
        except (OffGrid, InvalidOperation, KeyError, TypeError, ValueError, IndexError):
            return []  # a frame that is not what its topic promises

    # REST ------------------------------------------------------------------------------------

    def _snapshot(self, market: str, data: object, asked: str) -> list[MarketUpdate]:
        if not isinstance(data, dict) or "sequence" not in data or "bids" not in data:
            return []
        symbol = asked or str(data.get("symbol", ""))
        sheet = self._facts.find(symbol) if symbol else self._near(market, int(data["sequence"]))
        if sheet is None:
            if not symbol:
                self._waiting.append(data)
            return []
        return [_whole(sheet, data)]

    def _near(self, market: str, sequence: int) -> Sheet | None:
        """The market's only instrument, or the one last seen at about this sequence."""
        sheets = self._facts.of(market)
        if len(sheets) == 1:
            return sheets[0]
        for sheet in sheets:
            seen = self._seen.get(sheet.id)
            if seen is not None and abs(seen - sequence) < NEAR:
                return sheet
        return None

    def _see(self, sheet: Sheet, sequence: object) -> list[MarketUpdate]:
        """Notes a sequence; gives the book that was waiting for its symbol."""
        self._seen[sheet.id] = int(str(sequence))
        for data in self._waiting:
            if abs(int(data["sequence"]) - self._seen[sheet.id]) < NEAR:
                self._waiting.remove(data)
                return [_whole(sheet, data)]
        return []

    # Streams ---------------------------------------------------------------------------------

    def _pushed(self, message: Found, frame: bytes) -> list[MarketUpdate]:
        topic = str(message.get("topic", ""))
        prefix, _, rest = topic.partition(":")
        sheet = self._facts.find(rest.partition("_")[0])
        if sheet is None or message.get("type") != "message":
            return []
        data = message["data"]
        updates = self._read(sheet, prefix, str(message.get("subject", "")), data, frame)
        self._topics[topic] = None
        known = prefix in ("/market/level2", "/contractMarket/level2", "/market/ticker")
        sequence = data.get("sequenceEnd", data.get("sequence")) if known else None
        found = self._see(sheet, sequence) if sequence is not None else []
        return [*updates, *found] if not found else [*found, *updates]

    def _read(
        self, sheet: Sheet, prefix: str, subject: str, data: Found, frame: bytes
    ) -> list[MarketUpdate]:
        match prefix:
            case "/market/level2":
                return [_changes(sheet, data, frame)]
            case "/contractMarket/level2":
                return [_change(sheet, data, frame)]
            case "/market/match" | "/contractMarket/execution":
                return [_trade(sheet, data, frame)]
            case "/contract/instrument" if subject == "mark.index.price":
                return [
                    PriceUpdate(
                        instrument=sheet.id,
                        mark=Decimal(data["markPrice"]),
                        index=Decimal(data["indexPrice"]),
                        raw=frame,
                    )
                ]
            case "/contract/instrument" if subject == "funding.rate":
                rate = Decimal(data["fundingRate"])
                return [PriceUpdate(instrument=sheet.id, funding_rate=rate, raw=frame)]
            case _:
                return [RawUpdate(instrument=sheet.id, raw=frame)]


def topic_of(raw: bytes) -> str:
    """The topic of a frame without decoding all of it; "" where there is none."""
    start = raw.find(b'"topic":"')
    if start < 0:
        return ""
    start += len(b'"topic":"')
    return raw[start : raw.find(b'"', start)].decode()


def _whole(sheet: Sheet, data: Found) -> BookUpdate:
    return BookUpdate(
        instrument=sheet.id,
        bids=_levels(sheet, data["bids"]),
        asks=_levels(sheet, data["asks"]),
        sequence=int(data["sequence"]),
        full=True,
    )


def _changes(sheet: Sheet, data: Found, frame: bytes) -> BookUpdate:
    """Rows with price "0" only advance the sequence."""
    changes = data["changes"]
    return BookUpdate(
        instrument=sheet.id,
        bids=_levels(sheet, changes["bids"]),
        asks=_levels(sheet, changes["asks"]),
        sequence=int(data["sequenceEnd"]),
        sequence_before=int(data["sequenceStart"]) - 1,
        raw=frame,
    )


def _change(sheet: Sheet, data: Found, frame: bytes) -> BookUpdate:
    price, side, size = data["change"].split(",")
    levels = _levels(sheet, [(price, size)])
    sequence = int(data["sequence"])
    return BookUpdate(
        instrument=sheet.id,
        bids=levels if side == "buy" else (),
        asks=levels if side == "sell" else (),
        sequence=sequence,
        sequence_before=sequence - 1,
        raw=frame,
    )


def _trade(sheet: Sheet, data: Found, frame: bytes) -> TradeUpdate:
    return TradeUpdate(
        instrument=sheet.id,
        ticks=int(sheet.instrument.ticks(data["price"])),
        lots=int(sheet.instrument.lots(Decimal(data["size"]))),
        side=Side.BUY if data["side"] == "buy" else Side.SELL,
        raw=frame,
    )


def _levels(sheet: Sheet, rows: list[Any]) -> Levels:
    grid = sheet.instrument
    return tuple(
        (int(grid.ticks(Decimal(row[0]))), int(grid.lots(Decimal(row[1]))))
        for row in rows
        if Decimal(row[0])
    )

"""Recorded public frames of Binance as updates of the exchange's market."""

from decimal import Decimal
from typing import Any

import msgspec

from oneprice.model.instrument import Instrument, OffGrid
from oneprice.model.units import MILLI, Side
from oneprice.twin.contract import (
    BookUpdate,
    Exchange,
    Levels,
    MarketUpdate,
    PriceUpdate,
    RawUpdate,
    Refusal,
    TradeUpdate,
)

_DATA = b'"data":'


def stream_of(raw: bytes) -> tuple[str, bytes]:
    """Stream name and payload of a combined-stream frame; an empty name where it has none."""
    if not raw.startswith(b'{"stream":"'):
        return "", raw
    name = raw[11 : raw.index(b'"', 11)].decode()
    start = raw.find(_DATA)
    return name, raw[start + len(_DATA) : raw.rindex(b"}")].strip() if start >= 0 else b""


class TapeReader:
    """Knows the instruments of an exchange and reads frames about them."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._near: dict[str, Decimal] = {}  # instrument -> a price it was seen at

    def decode(self, market: str, frame: bytes) -> list[MarketUpdate]:
        """Updates of one frame; a frame that is not understood gives none.

        A REST snapshot names no symbol on spot and USD-M: it belongs to the instrument that was
        seen near its price, or to the one its request line `https://...symbol=X -> t: {}` names.
        """
        asked = ""
        if frame.startswith(b"https://"):
            head, _, rest = frame.partition(b"{")
            asked = head.partition(b"symbol=")[2].partition(b"&")[0].partition(b" ")[0].decode()
            frame = b"{" + rest
        try:
            message = msgspec.json.decode(frame)
        except msgspec.DecodeError:
            return []
        if not isinstance(message, dict):
            return []
        name, data = str(message.get("stream", "")), message.get("data", message)
        if not isinstance(data, dict):
            return []
        try:
            if "lastUpdateId" in data and "bids" in data and "@" not in name:
                return self._snapshot(market, data, asked)
            return self._event(market, name, data, frame)
        except (OffGrid, KeyError, TypeError, ValueError, ArithmeticError, Refusal):
            return []

    def _instrument(self, market: str, symbol: str) -> Instrument:
        return self.exchange.listing(market, symbol).instrument

    def _snapshot(self, market: str, data: dict[str, Any], asked: str) -> list[MarketUpdate]:
        symbol = str(data.get("symbol") or asked)
        if symbol:
            instrument = self._instrument(market, symbol)
        else:
            nearest = self._nearest(market, Decimal(data["bids"][0][0]))
            if nearest is None:
                return []
            instrument = nearest
        return [
            BookUpdate(
                instrument=instrument.id,
                bids=levels(instrument, data["bids"]),
                asks=levels(instrument, data["asks"]),
                sequence=int(data["lastUpdateId"]),
                full=True,
            )
        ]

    def _nearest(self, market: str, price: Decimal) -> Instrument | None:
        """The market's only instrument, or the one last seen within a tenth of the price."""
        listed = [row.instrument for row in self.exchange.listings(market)]
        if len(listed) == 1:
            return listed[0]
        for instrument in listed:
            seen = self._near.get(instrument.id)
            if seen is not None and abs(seen - price) * 10 < price:
                return instrument
        return None

    def _see(self, instrument: str, price: Any) -> None:
        if isinstance(price, str):
            self._near[instrument] = Decimal(price)

    def _event(
        self, market: str, name: str, data: dict[str, Any], frame: bytes
    ) -> list[MarketUpdate]:
        instrument = self._instrument(market, str(data.get("s") or name.partition("@")[0].upper()))
        if "p" in data or "b" in data:
            self._see(instrument.id, data.get("p") or data["b"])
        if not name and data.get("e") == "depthUpdate":  # a bare payload, as raw sockets get it
            name = f"{instrument.symbol.lower()}@depth"
            frame = b'{"stream":"' + name.encode() + b'","data":' + frame.strip() + b"}"
        match data.get("e"):
            case "depthUpdate" if _is_diff(name):
                last = int(data["u"])
                before = int(data["pu"]) if "pu" in data else int(data["U"]) - 1
                return [
                    BookUpdate(
                        instrument=instrument.id,
                        bids=levels(instrument, data["b"]),
                        asks=levels(instrument, data["a"]),
                        sequence=last,
                        sequence_before=before,
                        raw=frame,
                    )
                ]
            case "trade":
                if not Decimal(data["q"]):
                    return [RawUpdate(instrument=instrument.id, raw=frame)]
                return [
                    TradeUpdate(
                        instrument=instrument.id,
                        ticks=instrument.ticks(data["p"]),
                        lots=instrument.lots(data["q"]),
                        side=Side.SELL if data["m"] else Side.BUY,
                        trade_id=int(data["t"]),
                        raw=frame,
                    )
                ]
            case "markPriceUpdate":
                return [
                    PriceUpdate(
                        instrument=instrument.id,
                        mark=Decimal(data["p"]),
                        index=Decimal(data["i"]) if data.get("i") else None,
                        funding_rate=Decimal(data["r"]) if data.get("r") else None,
                        funding_due=int(data["T"]) * MILLI or None,
                        raw=frame,
                    )
                ]
        # Best prices, aggregates and bars change nothing that the diffs and trades do not say.
        return [RawUpdate(instrument=instrument.id, raw=frame)]


def _is_diff(name: str) -> bool:
    found, speed = "@depth" in name, name.partition("@depth")[2]
    return found and (speed == "" or speed.startswith("@"))


def levels(instrument: Instrument, rows: list[list[str]]) -> Levels:
    """Wire levels on the grid; raises OffGrid for a price.

    Recorded sizes are not always whole lots (BTCUSDT spot showed 25.42618900 with a lot of
    0.00001 on 2024-08-08): what does not fill a lot cannot be traded and is left out.
    """
    return tuple(
        (int(instrument.ticks(row[0])), int(instrument.lots_within(Decimal(row[1]))))
        for row in rows
    )

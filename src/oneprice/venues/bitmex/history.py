"""The past of BitMEX over HTTP: settled funding, bars of trades, bars of an index.

Source: protocol document, sections 8 and 9. Pages go on behind the last stamp, not by offset.
The past of an index is the list of its values among the trades; mark prices have none.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from oneprice.model.events import AnyEvent, CandleClosed
from oneprice.model.instrument import Instrument
from oneprice.model.units import Nanos
from oneprice.venues.bitmex.rest import get
from oneprice.venues.bitmex.tickers import BARS, candle, settled
from oneprice.venues.bitmex.wire import BIN, FUNDING, ROWS, TRADE, iso, moment_ms, number
from oneprice.venues.contract import HistoryWanted, Request

_FUNDING_ROWS = 500
_TRADE_ROWS = 1000  # of trades and bars


class _Bar(msgspec.Struct):
    """A bar of index values that is still growing."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class History:
    """One stretch of the past, page by page."""

    def __init__(self, wanted: HistoryWanted, item: Instrument, index: str, tag: str) -> None:
        """ValueError for what the venue does not keep."""
        if wanted.kind == "mark":
            raise ValueError(f"{item.id}: the venue keeps no history of mark prices")
        if wanted.kind == "trade" and wanted.interval_ms not in BARS:
            raise ValueError(f"interval_ms: expected one of {[*BARS]}, found {wanted.interval_ms}")
        if wanted.kind == "index" and (not index or wanted.interval_ms <= 0):
            raise ValueError(f"{item.id}: no index is named, or interval_ms is not above 0")
        self._wanted, self._item, self._index, self._tag = wanted, item, index, tag
        self._bar: _Bar | None = None

    def first(self) -> Request:
        wanted = self._wanted
        bar_ms = wanted.interval_ms if wanted.kind == "trade" else 0  # stamps are ends
        if wanted.kind == "index":
            start = wanted.start_ms // wanted.interval_ms * wanted.interval_ms
            return self._page(start if start == wanted.start_ms else start + wanted.interval_ms)
        return self._page(wanted.start_ms + bar_ms)

    def _page(self, start_ms: int) -> Request:
        wanted = self._wanted
        params = {"symbol": self._item.symbol}
        path, end_ms, rows = "/funding", wanted.end_ms, _FUNDING_ROWS
        if wanted.kind == "trade":
            path, rows, end_ms = "/trade/bucketed", _TRADE_ROWS, end_ms + wanted.interval_ms
            params |= {"binSize": BARS[wanted.interval_ms], "partial": "false"}
        elif wanted.kind == "index":
            path, rows, params = "/trade", _TRADE_ROWS, {"symbol": self._index}
            end_ms = end_ms // wanted.interval_ms * wanted.interval_ms + wanted.interval_ms - 1
        params |= {"count": str(rows), "startTime": iso(start_ms), "endTime": iso(end_ms)}
        return get(path, params, self._tag, "public")

    def page(self, body: bytes, at: Nanos) -> tuple[Sequence[AnyEvent], Request | None]:
        """The events of one answer and the question for what is behind it."""
        rows = ROWS.decode(body)
        full = len(rows) >= (_FUNDING_ROWS if self._wanted.kind == "funding" else _TRADE_ROWS)
        out: list[AnyEvent] = []
        last_ms = 0
        for raw in rows:
            events, last_ms = self._row(raw, at)
            out += events
        if full:
            return out, self._page(last_ms + 1)
        if self._bar is not None:
            out.append(self._closed(self._bar, at))
            self._bar = None
        return out, None

    def _row(self, raw: msgspec.Raw, at: Nanos) -> tuple[Sequence[AnyEvent], int]:
        match self._wanted.kind:
            case "funding":
                paid = FUNDING.decode(raw)
                event = settled(self._item, paid, at)
                return (event,), event.settled_ms
            case "trade":
                row = BIN.decode(raw)
                bar = candle(self._item, row, self._wanted.interval_ms, at)
                return (bar,) if bar else (), moment_ms(row.timestamp, "timestamp")
        value = TRADE.decode(raw)
        stamp_ms = moment_ms(value.timestamp, "timestamp")
        return self._valued(stamp_ms, number(value.price, "price"), at), stamp_ms

    def _valued(self, stamp_ms: int, price: Decimal, at: Nanos) -> Sequence[AnyEvent]:
        """One value of the index: into the bar, or the bar before is finished."""
        length, bar = self._wanted.interval_ms, self._bar
        start = stamp_ms // length * length
        if bar is None or bar.start_ms != start:
            self._bar = _Bar(start, price, price, price, price)
            return (self._closed(bar, at),) if bar else ()
        bar.high, bar.low = max(bar.high, price), min(bar.low, price)
        bar.close = price
        return ()

    def _closed(self, bar: _Bar, at: Nanos) -> CandleClosed:
        return CandleClosed(
            at=at,
            instrument=self._item.id,
            kind="index",
            interval_ms=self._wanted.interval_ms,
            start_ms=bar.start_ms,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
        )

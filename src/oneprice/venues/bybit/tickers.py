"""Tickers merged from deltas that name only what changed, and finished candles.

Source: Bybit v5 docs, public stream "Ticker" and "Kline".
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from oneprice.model.events import AnyEvent, CandleClosed, FundingForecast, Marked, TouchQuoted
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.bybit.wire import CandleRow, Envelope, TickerRow, decimal, whole

_MINUTE_MS = 60_000
_NAMED_MS = {"D": 1440 * _MINUTE_MS, "W": 7 * 1440 * _MINUTE_MS}
_MARKS = ("mark_price", "index_price")
_FUNDING = ("funding_rate", "next_funding_time", "funding_interval_hour")
_TOUCH = ("bid1_price", "bid1_size", "ask1_price", "ask1_size")
_FIELDS = (*_MARKS, *_FUNDING, *_TOUCH)


class Tickers:
    """The last known value of every field of every ticker."""

    def __init__(self) -> None:
        self._rows: dict[InstrumentId, TickerRow] = {}

    def forget(self, instrument: InstrumentId) -> None:
        """Its next frame must be a snapshot."""
        self._rows.pop(instrument, None)

    def take(
        self, item: Instrument, row: TickerRow, message: Envelope, at: Nanos
    ) -> Sequence[AnyEvent]:
        """Events for what this frame named; ValueError for a delta before its snapshot."""
        known = self._rows.get(item.id)
        if message.type == "snapshot":
            merged = row
        elif known is None:
            raise ValueError("ticker delta before its snapshot")
        else:
            merged = _merge(known, row)
        events: list[AnyEvent] = []
        if _names(row, _MARKS):
            events.append(
                Marked(
                    at=at,
                    instrument=item.id,
                    mark=_number(merged.mark_price),
                    index=_number(merged.index_price),
                    venue_ms=message.ts,
                )
            )
        if _names(row, _FUNDING) and merged.funding_rate and merged.next_funding_time:
            hours = merged.funding_interval_hour
            events.append(
                FundingForecast(
                    at=at,
                    instrument=item.id,
                    rate=decimal(merged.funding_rate),
                    due=Nanos(whole(merged.next_funding_time) * MILLI),
                    interval_ms=whole(hours) * 60 * _MINUTE_MS if hours else 0,
                )
            )
        if _names(row, _TOUCH) and all(getattr(merged, field) for field in _TOUCH):
            events.append(_touch(item, merged, message, at))
        self._rows[item.id] = merged  # only what could be read in full is kept
        return events


def _names(row: TickerRow, fields: Sequence[str]) -> bool:
    return any(getattr(row, field) is not None for field in fields)


def _merge(old: TickerRow, new: TickerRow) -> TickerRow:
    named = {field: getattr(new, field) for field in _FIELDS}
    changed = {field: value for field, value in named.items() if value is not None}
    return msgspec.structs.replace(old, **changed)


def _number(text: str | None) -> Decimal | None:
    return decimal(text) if text else None


def _touch(item: Instrument, row: TickerRow, message: Envelope, at: Nanos) -> TouchQuoted:
    return TouchQuoted(
        at=at,
        instrument=item.id,
        bid_ticks=item.ticks(decimal(row.bid1_price or "")),
        bid_lots=item.lots(decimal(row.bid1_size or "")),
        ask_ticks=item.ticks(decimal(row.ask1_price or "")),
        ask_lots=item.lots(decimal(row.ask1_size or "")),
        sequence=message.cs,
        venue_ms=message.ts,
    )


def candle(item: Instrument, row: CandleRow, at: Nanos) -> CandleClosed:
    """One finished candle; months have no fixed length and carry 0."""
    if row.interval == "M":
        interval_ms = 0
    else:
        interval_ms = _NAMED_MS.get(row.interval) or whole(row.interval) * _MINUTE_MS
    return CandleClosed(
        at=at,
        instrument=item.id,
        kind="trade",
        interval_ms=interval_ms,
        start_ms=row.start,
        open=decimal(row.open),
        high=decimal(row.high),
        low=decimal(row.low),
        close=decimal(row.close),
        volume=decimal(row.volume),
    )

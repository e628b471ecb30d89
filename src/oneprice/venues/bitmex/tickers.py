"""The table `instrument` merged from its diffs, and the rows of quotes, trades, bars, funding.

Source: protocol document, sections 5, 8, 9 and 10: index and mark come in separate diffs;
`fundingRate` is charged at `fundingTimestamp`, `indicativeFundingRate` one interval later; the
stamp of a bar is its end.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from oneprice.model.events import (
    AnyEvent,
    CandleClosed,
    FundingForecast,
    FundingSettled,
    Marked,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.bitmex.books import side_of
from oneprice.venues.bitmex.wire import (
    BinRow,
    FundingRow,
    QuoteRow,
    TickerRow,
    TradeRow,
    count,
    interval_ms,
    moment_ms,
    number,
    plainly,
)

BARS: Mapping[int, str] = {60_000: "1m", 300_000: "5m", 3_600_000: "1h", 86_400_000: "1d"}

_MARKS = ("mark_price", "indicative_settle_price")
_FUNDING = (
    "funding_rate",
    "indicative_funding_rate",
    "funding_timestamp",
    "funding_interval",
)
_FIELDS = (*_MARKS, *_FUNDING, "timestamp")


class Tickers:
    """The last known value of every field of every instrument row."""

    def __init__(self) -> None:
        self._rows: dict[InstrumentId, TickerRow] = {}

    def forget(self, instrument: InstrumentId) -> None:
        """Its next frame must be a partial."""
        self._rows.pop(instrument, None)

    def take(self, item: Instrument, row: TickerRow, action: str, at: Nanos) -> Sequence[AnyEvent]:
        """Events for what this row named; diffs before the partial say nothing."""
        if action == "partial":
            merged = row
        elif item.id not in self._rows:
            return ()
        else:
            merged = _merge(self._rows[item.id], row)
        stamp_ms = moment_ms(merged.timestamp, "timestamp") if merged.timestamp else 0
        events: list[AnyEvent] = []
        if _names(row, _MARKS):
            events.append(
                Marked(
                    at=at,
                    instrument=item.id,
                    mark=_price(merged.mark_price, "markPrice"),
                    index=_price(merged.indicative_settle_price, "indicativeSettlePrice"),
                    venue_ms=stamp_ms,
                )
            )
        if _names(row, _FUNDING) and merged.funding_rate is not None and merged.funding_timestamp:
            due_ms = moment_ms(merged.funding_timestamp, "fundingTimestamp")
            # At the settlement rate and time may move in two diffs: the pair of the old time and
            # the new rate belongs to nobody.
            if due_ms >= stamp_ms:
                events.append(_forecast(item, merged, due_ms, at))
        self._rows[item.id] = merged  # only what could be read in full is kept
        return events


def _names(row: TickerRow, fields: Sequence[str]) -> bool:
    return any(getattr(row, field) is not None for field in fields)


def _merge(old: TickerRow, new: TickerRow) -> TickerRow:
    named = {field: getattr(new, field) for field in _FIELDS}
    changed = {field: value for field, value in named.items() if value is not None}
    return msgspec.structs.replace(old, **changed)


def _price(value: Decimal | None, field: str) -> Decimal | None:
    return None if value is None else number(value, field)


def _forecast(item: Instrument, row: TickerRow, due_ms: int, at: Nanos) -> FundingForecast:
    length = row.funding_interval
    return FundingForecast(
        at=at,
        instrument=item.id,
        rate=number(row.funding_rate, "fundingRate"),
        due=Nanos(due_ms * MILLI),
        interval_ms=interval_ms(length, "fundingInterval") if length else 0,
        next_rate=_price(row.indicative_funding_rate, "indicativeFundingRate"),
    )


def touch(item: Instrument, row: QuoteRow, at: Nanos) -> TouchQuoted | None:
    """The best prices of a quote; None where a side of the book is empty."""
    if row.bid_price is None or row.ask_price is None:
        return None
    return TouchQuoted(
        at=at,
        instrument=item.id,
        bid_ticks=item.ticks(number(row.bid_price, "bidPrice")),
        bid_lots=item.lots(Decimal(count(row.bid_size, "bidSize"))),
        ask_ticks=item.ticks(number(row.ask_price, "askPrice")),
        ask_lots=item.lots(Decimal(count(row.ask_size, "askSize"))),
        venue_ms=moment_ms(row.timestamp, "timestamp"),
    )


def traded(item: Instrument, row: TradeRow, at: Nanos) -> MarketTraded | None:
    """A trade of the book; None for one that was agreed elsewhere."""
    if row.trd_type not in (None, "", "Regular"):
        return None
    return MarketTraded(
        at=at,
        instrument=item.id,
        ticks=item.ticks(number(row.price, "price")),
        lots=item.lots(Decimal(count(row.size, "size"))),
        side=side_of(row.side),
        trade_id=plainly(row.match_id, "trdMatchID"),
        venue_ms=moment_ms(row.timestamp, "timestamp"),
    )


def candle(item: Instrument, row: BinRow, length_ms: int, at: Nanos) -> CandleClosed | None:
    """A bar of trades; None for one in which nothing was traded and no price is given.

    `open` is the close before, as the venue has it.
    """
    if row.open is None or row.high is None or row.low is None or row.close is None:
        return None
    return CandleClosed(
        at=at,
        instrument=item.id,
        kind="trade",
        interval_ms=length_ms,
        start_ms=moment_ms(row.timestamp, "timestamp") - length_ms,
        open=number(row.open, "open"),
        high=number(row.high, "high"),
        low=number(row.low, "low"),
        close=number(row.close, "close"),
        volume=Decimal(count(row.volume or 0, "volume")),
    )


def settled(item: Instrument, row: FundingRow, at: Nanos) -> FundingSettled:
    length = row.funding_interval
    return FundingSettled(
        at=at,
        instrument=item.id,
        rate=number(row.funding_rate, "fundingRate"),
        settled_ms=moment_ms(row.timestamp, "timestamp"),
        interval_ms=interval_ms(length, "fundingInterval") if length else 0,
    )

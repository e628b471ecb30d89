"""OKX's public rows to events: touch, trades, mark, index, funding, candles.

Source: API v5, "WebSocket, Public Channel" and "Market Data". Each row is translated on its own
and nothing is remembered.
"""

from collections.abc import Sequence
from decimal import Decimal

from oneprice.model.events import (
    CandleClosed,
    FundingForecast,
    FundingSettled,
    Marked,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, ZERO, InstrumentId, Lots, Nanos, Ticks
from oneprice.venues.okx import frames
from oneprice.venues.okx.frames import decimal, milliseconds

# Bars of six hours and more are cut at midnight in Hong Kong unless they are asked for in UTC.
BARS = {
    1_000: "1s",
    60_000: "1m",
    180_000: "3m",
    300_000: "5m",
    900_000: "15m",
    1_800_000: "30m",
    3_600_000: "1H",
    7_200_000: "2H",
    14_400_000: "4H",
    21_600_000: "6Hutc",
    43_200_000: "12Hutc",
    86_400_000: "1Dutc",
    172_800_000: "2Dutc",
    259_200_000: "3Dutc",
    604_800_000: "1Wutc",
}
LENGTHS = {name: length for length, name in BARS.items()}
# Channel and what its candles are made of.
CANDLES = {"candle": "trade", "mark-price-candle": "mark", "index-candle": "index"}


def bar(interval_ms: int) -> str:
    """The venue's name of a length; ValueError for a length it does not have."""
    name = BARS.get(interval_ms)
    if name is None:
        known = ", ".join(map(str, BARS))
        raise ValueError(f"candle of {interval_ms} ms: expected one of {known}")
    return name


def candle_channel(channel: str) -> tuple[str, int] | None:
    """Kind and length in ms of a channel of candles; None for another channel."""
    stem, found, name = channel.rpartition("candle")
    kind, length = CANDLES.get(f"{stem}candle"), LENGTHS.get(name)
    return (kind, length) if found and kind is not None and length is not None else None


def touch(instrument: Instrument, row: frames.Touch, at: Nanos) -> TouchQuoted:
    bid = _level(instrument, row.bids, "bids")
    ask = _level(instrument, row.asks, "asks")
    return TouchQuoted(
        at=at,
        instrument=instrument.id,
        bid_ticks=bid[0],
        bid_lots=bid[1],
        ask_ticks=ask[0],
        ask_lots=ask[1],
        sequence=row.seqId,
        venue_ms=milliseconds(row.ts, "ts"),
    )


def ticker(instrument: Instrument, row: frames.Ticker, at: Nanos) -> TouchQuoted | None:
    """None where a side is empty: nothing is quoted then."""
    if not row.bidPx or not row.askPx:
        return None
    return TouchQuoted(
        at=at,
        instrument=instrument.id,
        bid_ticks=instrument.ticks(decimal(row.bidPx, "bidPx")),
        bid_lots=instrument.lots(decimal(row.bidSz, "bidSz")),
        ask_ticks=instrument.ticks(decimal(row.askPx, "askPx")),
        ask_lots=instrument.lots(decimal(row.askSz, "askSz")),
        venue_ms=milliseconds(row.ts, "ts"),
    )


def traded(instrument: Instrument, row: frames.Traded, at: Nanos) -> MarketTraded:
    return MarketTraded(
        at=at,
        instrument=instrument.id,
        ticks=instrument.ticks(decimal(row.px, "px")),
        lots=instrument.lots(decimal(row.sz, "sz")),
        side=frames.side_of(row.side),
        trade_id=row.tradeId,
        venue_ms=milliseconds(row.ts, "ts"),
    )


def marked(instrument: InstrumentId, row: frames.MarkPrice, at: Nanos) -> Marked:
    mark, stamp = decimal(row.markPx, "markPx"), milliseconds(row.ts, "ts")
    return Marked(at=at, instrument=instrument, mark=mark, venue_ms=stamp)


def indexed(instrument: InstrumentId, row: frames.IndexTicker, at: Nanos) -> Marked:
    index, stamp = decimal(row.idxPx, "idxPx"), milliseconds(row.ts, "ts")
    return Marked(at=at, instrument=instrument, index=index, venue_ms=stamp)


def forecast(
    instrument: InstrumentId, row: frames.FundingRate, at: Nanos
) -> FundingForecast | None:
    """The rate due next, and where the venue states it (mostly not) the one after it.

    None where no rate is stated yet, as before the trading of a new contract begins.
    """
    if not row.fundingRate:
        return None
    due = milliseconds(row.fundingTime, "fundingTime")
    after = milliseconds(row.nextFundingTime, "nextFundingTime")
    if due <= 0:
        raise ValueError(f"fundingTime: expected epoch milliseconds, found {row.fundingTime!r}")
    return FundingForecast(
        at=at,
        instrument=instrument,
        rate=decimal(row.fundingRate, "fundingRate"),
        due=Nanos(due * MILLI),
        interval_ms=after - due if after > due else 0,
        next_rate=frames.decimal_or_none(row.nextFundingRate, "nextFundingRate"),
    )


def funded(instrument: InstrumentId, row: frames.SettledRate, at: Nanos) -> FundingSettled:
    """What was charged, not what had been predicted."""
    return FundingSettled(
        at=at,
        instrument=instrument,
        rate=decimal(row.realizedRate, "realizedRate"),
        settled_ms=milliseconds(row.fundingTime, "fundingTime"),
    )


def candle(
    instrument: InstrumentId, kind: str, interval_ms: int, row: Sequence[str], at: Nanos
) -> CandleClosed | None:
    """A finished bar; None while it is open. Rows end with "1" once they are final.

    Volume is in the venue's unit of size: contracts, on spot base coins.
    """
    whole = 9 if kind == "trade" else 6
    if len(row) != whole:
        raise ValueError(f"candle: expected {whole} fields, found {len(row)}")
    if row[-1] != "1":
        return None
    prices: list[Decimal] = [
        decimal(text, field)
        for text, field in zip(row[1:5], ("open", "high", "low", "close"), strict=True)
    ]
    return CandleClosed(
        at=at,
        instrument=instrument,
        kind=kind,
        interval_ms=interval_ms,
        start_ms=milliseconds(row[0], "ts"),
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=decimal(row[5], "vol") if kind == "trade" else ZERO,
    )


def _level(instrument: Instrument, levels: list[list[str]], field: str) -> tuple[Ticks, Lots]:
    """The one level of a side, (0, 0) where it is empty. Raises ValueError naming the field."""
    if not levels:
        return Ticks(0), Lots(0)
    if len(levels[0]) < 2:
        raise ValueError(f"{field}: expected [price, size, ...], found {levels[0]}")
    price = decimal(levels[0][0], field)
    return instrument.ticks(price), instrument.lots(decimal(levels[0][1], field))

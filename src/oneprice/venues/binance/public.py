"""Public payloads other than depth: touches, trades, marks, finished bars."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Raw

from oneprice.model.events import (
    AnyEvent,
    CandleClosed,
    FundingForecast,
    Marked,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos, Side
from oneprice.venues.binance.facts import VENUE
from oneprice.venues.binance.frames import (
    Envelope,
    Kind,
    Kline,
    MarketTrade,
    MarkPrice,
    Ticker,
)
from oneprice.venues.binance.numbers import decimal

CLOSING = ("serverShutdown", "eventStreamTerminated")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

Listed = Mapping[InstrumentId, Instrument]
Read = Callable[[bytes | Raw, str, Listed, Nanos], Sequence[AnyEvent]]

_kind = msgspec.json.Decoder(Kind)
_ticker = msgspec.json.Decoder(Ticker)
_trade = msgspec.json.Decoder(MarketTrade)
_mark = msgspec.json.Decoder(MarkPrice)
_kline = msgspec.json.Decoder(Kline)


def stream_kind(envelope: Envelope, frame: bytes) -> str:
    """What a frame is: the event's name, bookTicker where it has none, "" for an answer."""
    if envelope.stream.endswith("@bookTicker"):
        return "bookTicker"  # the most frequent one, and on spot without a name
    if envelope.stream:
        return _kind.decode(envelope.data).e or envelope.stream.lstrip("!")
    return envelope.e


# Sizes are rounded down to whole lots for the reason that evening gives.


def touch(payload: bytes | Raw, market: str, listed: Listed, at: Nanos) -> Sequence[AnyEvent]:
    frame = _ticker.decode(payload)
    item = listed[f"{VENUE}:{market}:{frame.s}"]
    return (
        TouchQuoted(
            at=at,
            instrument=item.id,
            bid_ticks=item.ticks(decimal(frame.b)),
            bid_lots=item.lots_within(decimal(frame.B)),
            ask_ticks=item.ticks(decimal(frame.a)),
            ask_lots=item.lots_within(decimal(frame.A)),
            sequence=frame.u,
            venue_ms=frame.E,
        ),
    )


def trade(payload: bytes | Raw, market: str, listed: Listed, at: Nanos) -> Sequence[AnyEvent]:
    frame = _trade.decode(payload)
    item = listed[f"{VENUE}:{market}:{frame.s}"]
    ticks, lots = item.ticks(decimal(frame.p)), item.lots_within(decimal(frame.q))
    trade_id = frame.a if frame.t is None else frame.t
    if frame.X != "MARKET" or not (ticks and lots):
        return ()  # the insurance fund and the like: no trade between two of the market
    return (
        MarketTraded(
            at=at,
            instrument=item.id,
            ticks=ticks,
            lots=lots,
            side=Side.SELL if frame.m else Side.BUY,  # m: the buyer made, so the taker sold
            trade_id=str(trade_id),
            venue_ms=frame.T,
        ),
    )


def mark(payload: bytes | Raw, market: str, listed: Listed, at: Nanos) -> Sequence[AnyEvent]:
    frame = _mark.decode(payload)
    item = listed[f"{VENUE}:{market}:{frame.s}"]
    events: list[AnyEvent] = [
        Marked(
            at=at,
            instrument=item.id,
            mark=decimal(frame.p),
            index=decimal(frame.i) if frame.i else None,
            venue_ms=frame.E,
        )
    ]
    if frame.r and frame.T > 0:  # dated contracts have neither
        due = Nanos(frame.T * MILLI)
        rate = decimal(frame.r)
        events.append(FundingForecast(at=at, instrument=item.id, rate=rate, due=due))
    return events


def bar(payload: bytes | Raw, market: str, listed: Listed, at: Nanos) -> Sequence[AnyEvent]:
    frame = _kline.decode(payload)
    if not frame.k.x:
        return ()
    item = listed[f"{VENUE}:{market}:{frame.s}"]
    return (
        CandleClosed(
            at=at,
            instrument=item.id,
            kind="trade",
            interval_ms=interval_ms(frame.k.i),
            start_ms=frame.k.t,
            open=decimal(frame.k.o),
            high=decimal(frame.k.h),
            low=decimal(frame.k.l),
            close=decimal(frame.k.c),
            volume=decimal(frame.k.v),
        ),
    )


def interval_ms(text: str) -> int:
    """Length of a bar; ValueError for months, which have none, and for what is no interval."""
    count, unit = text[:-1], text[-1:]
    if unit not in _UNIT_MS or not count.isdecimal():
        raise ValueError(f"interval: expected a number and one of s m h d w, found {text[:10]!r}")
    return int(count) * _UNIT_MS[unit]


PAYLOADS: Mapping[str, Read] = {
    "bookTicker": touch,
    "trade": trade,
    "aggTrade": trade,
    "markPriceUpdate": mark,
    "kline": bar,
}

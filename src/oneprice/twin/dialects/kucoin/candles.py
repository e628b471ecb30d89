"""Candles in the venue's two orders of columns, and the words for their intervals."""

from decimal import Decimal

from oneprice.model.units import plain
from oneprice.twin.contract import Candle, Exchange
from oneprice.twin.dialects.kucoin.envelope import amount, number
from oneprice.twin.dialects.kucoin.facts import Sheet

MINUTE_MS = 60_000
TYPES = {
    "1min": 1,
    "3min": 3,
    "5min": 5,
    "15min": 15,
    "30min": 30,
    "1hour": 60,
    "2hour": 120,
    "4hour": 240,
    "6hour": 360,
    "8hour": 480,
    "12hour": 720,
    "1day": 1440,
    "1week": 10_080,
    "1month": 43_200,
}
GRANULARITIES = (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10_080)
ROWS = {True: 1500, False: 500}  # spot, futures


def row(sheet: Sheet, candle: Candle) -> list[str]:
    """Spot and every WebSocket candle: start in seconds, open, CLOSE, HIGH, LOW, volume, turnover.

    Futures print contracts in both volume columns: the first is documented as wrong (section 7.4)
    and clients read the second.
    """
    volume = sheet.size(candle.volume_lots)
    return [
        str(candle.start_ms // 1000),
        plain(candle.open),
        plain(candle.close),
        plain(candle.high),
        plain(candle.low),
        volume if sheet.spot else f"{Decimal(volume):.1f}",
        amount(candle.turnover) if sheet.spot else volume,
    ]


def futures_row(sheet: Sheet, candle: Candle) -> list[Decimal | int]:
    """Start in ms, open, high, low, close, volume in contracts; numbers."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    volume = int(sheet.instrument.size(candle.volume_lots))
    return [candle.start_ms, *(number(price) for price in prices), volume]


def found(
    exchange: Exchange, sheet: Sheet, minutes: int, span: tuple[int | None, int | None]
) -> list[Candle]:
    """Candles with trades, oldest first, as many as one answer holds; empty ones are left out."""
    start, end = span
    rows = exchange.candles(
        sheet.id,
        "trade",
        minutes * MINUTE_MS,
        start_ms=start,
        end_ms=end,
        limit=ROWS[sheet.spot] if start is not None else 100,
    )
    return [candle for candle in rows if candle.volume_lots]

"""Bars: names, spans, cuts at UTC+8 or UTC, and their rows."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from math import gcd

from oneprice.model.units import ZERO, plain
from oneprice.twin.contract import Candle, Exchange
from oneprice.twin.dialects.okx.envelope import short
from oneprice.twin.dialects.okx.facts import Sheet

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
SHIFT_MS = 8 * HOUR_MS  # bars of six hours and more begin by the clock of UTC+8
MONDAY_MS = 4 * DAY_MS  # 1970-01-05 was the first Monday
_SHORT = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1H": 60, "2H": 120, "4H": 240,
}  # fmt: skip
_LONG = {
    "6H": 6 * HOUR_MS, "12H": 12 * HOUR_MS, "1D": DAY_MS, "2D": 2 * DAY_MS, "3D": 3 * DAY_MS,
    "1W": 7 * DAY_MS,
}  # fmt: skip
_MONTHS = {"1M": 1, "3M": 3}
MONTH_MS = 31 * DAY_MS
PARTS_MOST = 120  # summed for one answer; the twin tells less of long bars than the venue does


class Bar:
    """One width of bars: when the bar of a moment began, and how long it lasts at most.

    `part_ms` is the widest bar of the exchange (which begins at multiples of its width since
    1970) that it is a sum of; the same as its span where it is one itself.
    """

    def __init__(self, span_ms: int, start: Callable[[int], int], part_ms: int) -> None:
        self.span_ms = span_ms
        self.start = start
        self.part_ms = part_ms


def _from(origin_ms: int, span_ms: int) -> Callable[[int], int]:
    return lambda moment: (moment - origin_ms) // span_ms * span_ms + origin_ms


def _monthly(months: int, shift_ms: int) -> Callable[[int], int]:
    def start(moment: int) -> int:
        day = datetime.fromtimestamp((moment + shift_ms) // 1000, UTC)
        month = (day.month - 1) // months * months + 1
        first = datetime(day.year, month, 1, tzinfo=UTC)
        return int(first.timestamp()) * 1000 - shift_ms

    return start


def _bars() -> dict[str, Bar]:
    found = {
        name: Bar(minutes * MINUTE_MS, _from(0, minutes * MINUTE_MS), minutes * MINUTE_MS)
        for name, minutes in _SHORT.items()
    }
    for suffix, shift in (("", SHIFT_MS), ("utc", 0)):
        for name, span in _LONG.items():
            origin = (MONDAY_MS if name == "1W" else 0) - shift
            found[name + suffix] = Bar(span, _from(origin, span), gcd(span, origin))
        for name, months in _MONTHS.items():
            part = gcd(DAY_MS, shift)
            found[name + suffix] = Bar(months * MONTH_MS, _monthly(months, shift), part)
    return found


BARS = _bars()


def find(
    exchange: Exchange,
    sheet: Sheet,
    kind: str,
    bar: Bar,
    window: tuple[int | None, int | None],
    limit: int,
) -> list[Candle]:
    """Bars whose start lies in the window (ms, both ends included), newest first."""
    first, last = window
    if bar.part_ms == bar.span_ms:
        found = exchange.candles(
            sheet.id, kind, bar.span_ms, start_ms=first, end_ms=last, limit=limit
        )
        return found[::-1]
    each = bar.span_ms // bar.part_ms
    limit = min(limit, max(2, PARTS_MOST // each))
    parts = exchange.candles(
        sheet.id,
        kind,
        bar.part_ms,
        start_ms=None if first is None else bar.start(first),
        end_ms=None if last is None else last + bar.span_ms,
        limit=(limit + 1) * each,
    )
    groups: dict[int, list[Candle]] = {}
    for part in parts:
        groups.setdefault(bar.start(part.start_ms), []).append(part)
    newest = [
        _joined(start, group, bar)
        for start, group in sorted(groups.items(), reverse=True)
        if (first is None or start >= first) and (last is None or start <= last)
    ]
    return newest[:limit]


def trade_row(sheet: Sheet, candle: Candle) -> list[str]:
    """`ts, o, h, l, c, vol, volCcy, volCcyQuote, confirm` (section 7)."""
    size = sheet.size(candle.volume_lots)
    if sheet.spot:
        coins, quote = size, short(candle.turnover)
    elif sheet.inverse:
        coins = short(candle.turnover)
        quote = short(sheet.dollars(candle.volume_lots, candle.close))
    else:
        coins = short(sheet.coins(candle.volume_lots, candle.close))
        quote = short(candle.turnover)
    return [*_prices(candle), size, coins, quote, "1" if candle.closed else "0"]


def price_row(sheet: Sheet, candle: Candle) -> list[str]:
    """`ts, o, h, l, c, confirm` of a mark or index bar."""
    return [*_prices(candle, sheet.instrument.tick), "1" if candle.closed else "0"]


def _prices(candle: Candle, step: Decimal = ZERO) -> list[str]:
    parts = [candle.open, candle.high, candle.low, candle.close]
    if step:
        parts = [part.quantize(step) for part in parts]
    return [str(candle.start_ms), *map(plain, parts)]


def _joined(start: int, parts: list[Candle], bar: Bar) -> Candle:
    last = parts[-1]
    ended = bar.start(last.start_ms + bar.part_ms) != start
    return Candle(
        start_ms=start,
        interval_ms=bar.span_ms,
        open=parts[0].open,
        high=max(part.high for part in parts),
        low=min(part.low for part in parts),
        close=last.close,
        volume_lots=sum(part.volume_lots for part in parts),
        turnover=sum((part.turnover for part in parts), ZERO),
        trades=sum(part.trades for part in parts),
        closed=ended and last.closed,
    )

"""One-minute bars of one price, older ones from the market's own past, and sums of them."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from oneprice.model.units import MILLI, ZERO, Money
from oneprice.twin.contract import Candle

MINUTE_MS = 60_000

Past = Callable[[int, int], Candle | None]  # (start_ms, interval_ms) -> a bar before the start


class Bar(msgspec.Struct, kw_only=True):
    """A one-minute bar being made."""

    minute: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    lots: int = 0
    turnover: Money = ZERO
    buy_lots: int = 0
    trades: int = 0

    def candle(self, *, closed: bool) -> Candle:
        return Candle(
            start_ms=self.minute * MINUTE_MS,
            interval_ms=MINUTE_MS,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume_lots=self.lots,
            turnover=self.turnover,
            taker_buy_lots=self.buy_lots,
            trades=self.trades,
            closed=closed,
        )


class Bars:
    """The bars of one price of one instrument."""

    def __init__(self, start: int, past: Past | None = None) -> None:
        self._first_minute = start // (MINUTE_MS * MILLI)
        self._past = past
        self._made: dict[int, Bar] = {}
        self._last: Bar | None = None

    def add(self, price: Decimal, at: int) -> Bar:
        """A price without volume (mark, index), or the price of a trade."""
        minute = at // (MINUTE_MS * MILLI)
        bar = self._last
        if bar is None or bar.minute < minute:
            opened = bar.close if bar is not None else self._before(price)
            bar = Bar(minute=minute, open=opened, high=opened, low=opened, close=opened)
            self._made[minute] = bar
            self._last = bar
        bar.high = max(bar.high, price)
        bar.low = min(bar.low, price)
        bar.close = price
        return bar

    def _before(self, price: Decimal) -> Decimal:
        """The first bar opens where the past closed, as every other one does."""
        if self._past is None:
            return price
        older = self._past((self._first_minute - 1) * MINUTE_MS, MINUTE_MS)
        return price if older is None else older.close

    def trade(self, price: Decimal, lots: int, value: Money, bought: bool, at: int) -> Bar:
        bar = self.add(price, at)
        bar.lots += lots
        bar.turnover += value
        bar.buy_lots += lots if bought else 0
        bar.trades += 1
        return bar

    @property
    def last(self) -> Bar | None:
        return self._last

    def between(self, first: int, end: int) -> list[Bar]:
        """Bars of the minutes from `first` up to, not including, `end`."""
        return [self._made[one] for one in range(first, end) if one in self._made]

    def find(self, interval_ms: int, window: tuple[int, int], limit: int, at: int) -> list[Candle]:
        """Bars that start within [first, last] ms, oldest first, the latest `limit` of them."""
        now_ms = at // MILLI
        last = min(window[1], now_ms) // interval_ms * interval_ms
        first = max(-(-window[0] // interval_ms) * interval_ms, last - (limit - 1) * interval_ms)
        found: list[Candle] = []
        for start_ms in range(first, last + 1, interval_ms):
            candle = self._sum(start_ms, interval_ms, now_ms)
            if candle is not None:
                found.append(candle)
        return found

    def _sum(self, start_ms: int, interval_ms: int, now_ms: int) -> Candle | None:
        closed = start_ms + interval_ms <= now_ms
        begin = start_ms // MINUTE_MS
        end = min(begin + interval_ms // MINUTE_MS, now_ms // MINUTE_MS + 1)
        parts: list[Candle] = []
        if self._past is not None and begin < self._first_minute:
            known_ms = min(end, self._first_minute) * MINUTE_MS
            older = self._past(start_ms, known_ms - start_ms)
            if older is not None:
                parts.append(older)
        for minute in range(max(begin, self._first_minute), end):
            bar = self._made.get(minute) or self._quiet(minute)
            if bar is not None:
                parts.append(bar.candle(closed=True))
        if not parts:
            return None
        return Candle(
            start_ms=start_ms,
            interval_ms=interval_ms,
            open=parts[0].open,
            high=max(part.high for part in parts),
            low=min(part.low for part in parts),
            close=parts[-1].close,
            volume_lots=sum(part.volume_lots for part in parts),
            turnover=sum((part.turnover for part in parts), ZERO),
            taker_buy_lots=sum(part.taker_buy_lots for part in parts),
            trades=sum(part.trades for part in parts),
            closed=closed,
        )

    def _quiet(self, minute: int) -> Bar | None:
        """A minute without trades repeats the last close before it."""
        for earlier in range(minute - 1, self._first_minute - 1, -1):
            bar = self._made.get(earlier)
            if bar is not None:
                price = bar.close
                return Bar(minute=minute, open=price, high=price, low=price, close=price)
        return None

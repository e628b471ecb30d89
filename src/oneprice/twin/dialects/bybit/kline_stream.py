"""The kline topics: the running bar at most once a second, and each bar when it closes."""

import msgspec

from oneprice.model.units import SECOND, plain
from oneprice.twin.contract import Candle, Exchange
from oneprice.twin.dialects.bybit.envelope import Row, millis, short
from oneprice.twin.dialects.bybit.facts import Sheet
from oneprice.twin.dialects.bybit.market_rest import INTERVALS
from oneprice.twin.dialects.bybit.sessions import Session, Sessions
from oneprice.twin.dialects.bybit.tape import Tape

PERIOD_NS = SECOND


class KlineStream:
    """Follows the exchange's minute bars and draws the longer ones from it."""

    def __init__(self, exchange: Exchange, sessions: Sessions, tape: Tape) -> None:
        self._exchange = exchange
        self._sessions = sessions
        self._tape = tape
        self._sent_at: dict[str, int] = {}

    def greet(self, session: Session, sheet: Sheet, topic: str, at: int) -> None:
        """The running bar, if there is one yet."""
        interval = topic.split(".")[1]
        bars = self._exchange.candles(sheet.id, "trade", INTERVALS[interval], limit=1)
        if bars:
            self._sessions.hand(session, topic, _frame(sheet, topic, bars[-1], at))

    def minute(self, sheet: Sheet, minute: Candle, at: int) -> None:
        """A minute bar moved or closed: tell the readers of every interval."""
        kind = f"public:{sheet.category}"
        for interval, span_ms in INTERVALS.items():
            topic = f"kline.{interval}.{sheet.symbol}"
            if not self._sessions.readers(kind, topic) or self._tape.holds(sheet.category, topic):
                continue
            key = f"{kind}:{topic}"
            if not minute.closed and at - self._sent_at.get(key, 0) < PERIOD_NS:
                continue
            bar = minute
            if interval != "1":
                bars = self._exchange.candles(
                    sheet.id, "trade", span_ms, end_ms=minute.start_ms, limit=1
                )
                if not bars:
                    continue
                bar = bars[-1]
            self._sent_at[key] = at
            self._sessions.push(kind, topic, _frame(sheet, topic, bar, at), at)


def _frame(sheet: Sheet, topic: str, bar: Candle, at: int) -> bytes:
    row: Row = {
        "start": bar.start_ms,
        "end": bar.start_ms + bar.interval_ms - 1,
        "interval": topic.split(".")[1],
        "open": plain(bar.open),
        "close": plain(bar.close),
        "high": plain(bar.high),
        "low": plain(bar.low),
        "volume": sheet.count(bar.volume_lots),
        "turnover": short(bar.turnover),
        "confirm": bar.closed,
        "timestamp": millis(at),
    }
    message = {"topic": topic, "data": [row], "ts": millis(at), "type": "snapshot"}
    return msgspec.json.encode(message)

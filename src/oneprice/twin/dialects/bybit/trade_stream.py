"""The publicTrade topics: every trade at once, with the direction of its price."""

import msgspec

from oneprice.twin.contract import Traded
from oneprice.twin.dialects.bybit.envelope import Row, millis
from oneprice.twin.dialects.bybit.facts import Sheet
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.sessions import Sessions

MOST = 1024  # trades in one message


class TradeStream:
    """Pushes trades and remembers which way the price went last (section 7.3)."""

    def __init__(self, names: Names, sessions: Sessions) -> None:
        self._names = names
        self._sessions = sessions
        self._last: dict[str, tuple[int, str]] = {}

    def direction(self, instrument: str) -> str:
        """The tick direction of the last trade."""
        return self._last.get(instrument, (0, "ZeroPlusTick"))[1]

    def publish(self, sheet: Sheet, trades: list[Traded], at: int) -> None:
        """Trades of one instrument, oldest first."""
        topic = f"publicTrade.{sheet.symbol}"
        rows = [self._row(sheet, trade) for trade in trades]
        for start in range(0, len(rows), MOST):
            part = rows[start : start + MOST]
            message = {"topic": topic, "type": "snapshot", "ts": millis(at), "data": part}
            frame = msgspec.json.encode(message)
            self._sessions.push(f"public:{sheet.category}", topic, frame, at)

    def _row(self, sheet: Sheet, trade: Traded) -> Row:
        row: Row = {
            "T": millis(trade.at),
            "s": sheet.symbol,
            "S": "Buy" if trade.side > 0 else "Sell",
            "v": sheet.size(trade.lots),
            "p": sheet.price(trade.ticks),
        }
        direction = self._turn(sheet.id, trade.ticks)
        if not sheet.spot:
            row["L"] = direction
        return row | {
            "i": self._names.trade(sheet.category, sheet.id, trade.trade_id),
            "BT": False,
            "RPI": False,
            "seq": trade.sequence,
        }

    def _turn(self, instrument: str, ticks: int) -> str:
        last, word = self._last.get(instrument, (ticks, "PlusTick"))
        if ticks != last:
            word = "PlusTick" if ticks > last else "MinusTick"
        elif not word.startswith("Zero"):
            word = f"Zero{word}"
        self._last[instrument] = (ticks, word)
        return word

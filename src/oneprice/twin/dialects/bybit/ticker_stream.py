"""The tickers topics: a snapshot, then for derivatives only what changed (section 7.5)."""

import msgspec

from oneprice.model.units import MILLI
from oneprice.twin.contract import Exchange
from oneprice.twin.dialects.bybit.envelope import Row, millis
from oneprice.twin.dialects.bybit.facts import Sheet
from oneprice.twin.dialects.bybit.sessions import Session, Sessions
from oneprice.twin.dialects.bybit.tape import Tape
from oneprice.twin.dialects.bybit.tickers import stream_row
from oneprice.twin.dialects.bybit.trade_stream import TradeStream

PERIOD_NS = {True: 50 * MILLI, False: 100 * MILLI}  # spot, derivatives


class TickerStream:
    """Remembers per instrument what the readers have been told."""

    def __init__(
        self, exchange: Exchange, sessions: Sessions, trades: TradeStream, tape: Tape
    ) -> None:
        self._exchange = exchange
        self._sessions = sessions
        self._trades = trades
        self._tape = tape
        self._told: dict[str, Row] = {}
        self._looked_at: dict[str, int] = {}

    def greet(self, session: Session, sheet: Sheet, topic: str, followed: bool, at: int) -> None:
        """The first message of a new reader: what the others have been told, else the present."""
        data = self._tape.ticker(sheet.category, topic)
        if data is None:
            data = self._told.get(sheet.id) if followed else None
        if data is None:
            data = self._told[sheet.id] = self._data(sheet)
        frame = self._frame(sheet, topic, "snapshot", data, at)
        self._sessions.hand(session, topic, frame)

    def beat(self, sheet: Sheet, at: int) -> None:
        """Tell the readers what changed, at most once a period."""
        kind, topic = f"public:{sheet.category}", f"tickers.{sheet.symbol}"
        if at - self._looked_at.get(sheet.id, 0) < PERIOD_NS[sheet.spot]:
            return
        if not self._sessions.readers(kind, topic) or self._tape.holds(sheet.category, topic):
            return
        self._looked_at[sheet.id] = at
        data = self._data(sheet)
        told = self._told.get(sheet.id, {})
        changed = {name: value for name, value in data.items() if told.get(name) != value}
        self._told[sheet.id] = data
        if not changed:
            return
        if sheet.spot:
            frame = self._frame(sheet, topic, "snapshot", data, at)
        else:
            frame = self._frame(sheet, topic, "delta", {"symbol": sheet.symbol} | changed, at)
        self._sessions.push(kind, topic, frame, at)

    def _data(self, sheet: Sheet) -> Row:
        row = stream_row(sheet, self._exchange.ticker(sheet.id))
        if sheet.spot:
            return row
        return row | {"tickDirection": self._trades.direction(sheet.id)}

    def _frame(self, sheet: Sheet, topic: str, kind: str, data: Row, at: int) -> bytes:
        sequence = self._exchange.book(sheet.id, 1).sequence
        if sheet.spot:
            message: Row = {"topic": topic, "ts": millis(at), "type": kind, "cs": sequence}
            return msgspec.json.encode(message | {"data": data})
        message = {"topic": topic, "type": kind, "data": data, "cs": sequence}
        return msgspec.json.encode(message | {"ts": millis(at)})

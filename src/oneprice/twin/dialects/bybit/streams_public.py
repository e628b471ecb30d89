"""Public sockets: subscriptions and their answers, books, tickers, trades and candles."""

from collections.abc import Sequence

import msgspec

from oneprice.model.units import MILLI, Side
from oneprice.twin.contract import (
    BookChanged,
    CandleChanged,
    Clock,
    Exchange,
    Liquidated,
    Output,
    TickerChanged,
    Traded,
)
from oneprice.twin.dialects.bybit.books import PERIOD_NS, BookTopic
from oneprice.twin.dialects.bybit.envelope import Row, millis
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets
from oneprice.twin.dialects.bybit.kline_stream import KlineStream
from oneprice.twin.dialects.bybit.market_rest import INTERVALS
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.sessions import Session, Sessions
from oneprice.twin.dialects.bybit.tape import Tape, topic_of
from oneprice.twin.dialects.bybit.ticker_stream import TickerStream
from oneprice.twin.dialects.bybit.trade_stream import TradeStream

ARGUMENT_ROOM = 21_000  # characters of all topics of one connection
SPOT_TOPICS_AT_ONCE = 10
PLAIN_TOPICS = ("publicTrade", "tickers", "allLiquidation")
LIQUIDATIONS_EVERY = 500 * MILLI


class PublicStreams:
    """The three public sockets; `publish` and `beat` never block."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        names: Names,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._sessions = sessions
        self._clock = clock
        self.tape = Tape(sheets)
        self._books: dict[tuple[str, int], BookTopic] = {}
        self._liquidated: dict[str, list[Liquidated]] = {}
        self._liquidations_at = 0
        self._trades = TradeStream(names, sessions)
        self._tickers = TickerStream(exchange, sessions, self._trades, self.tape)
        self._klines = KlineStream(exchange, sessions, self.tape)

    # Requests --------------------------------------------------------------------------------

    def hear(self, session: Session, message: Row) -> None:
        """One JSON message of a client."""
        at = self._clock()
        match message.get("op"):
            case "ping":
                session.answer(self._pong(session, message))
            case "subscribe":
                self._subscribe(session, message, at)
            case "unsubscribe":
                self._unsubscribe(session, message)
            case _:
                session.answer(_verdict(session, message, "error:invalid op"))

    def _pong(self, session: Session, message: Row) -> Row:
        reply: Row = {"success": True, "ret_msg": "pong", "conn_id": session.conn_id}
        if "req_id" in message or session.kind != "public:spot":
            reply["req_id"] = message.get("req_id", "")
        return reply | {"op": "ping"}

    def _subscribe(self, session: Session, message: Row, at: int) -> None:
        topics = message.get("args")
        category = session.kind.partition(":")[2]
        reason = self._objection(session, category, topics)
        if reason or not isinstance(topics, list):
            session.answer(_verdict(session, message, reason))
            return
        session.answer(_verdict(session, message, ""))
        for topic in topics:
            followed = bool(self._sessions.readers(session.kind, topic))
            self._sessions.subscribe(session, topic)
            self._greet(session, category, topic, followed, at)

    def _objection(self, session: Session, category: str, topics: object) -> str:
        """Why a whole subscribe request fails, or "": one bad topic fails all of it."""
        if not isinstance(topics, list) or not topics:
            return "Params Error"
        if not all(isinstance(topic, str) for topic in topics):
            return "Params Error"
        if category == "spot" and len(topics) > SPOT_TOPICS_AT_ONCE:
            return f"error:args size >{SPOT_TOPICS_AT_ONCE}"
        if sum(map(len, [*session.topics, *topics])) > ARGUMENT_ROOM:
            return f"error:args length exceeds {ARGUMENT_ROOM}"
        for topic in topics:
            if topic in session.topics:
                return f"error:already subscribed,topic:{topic}"
            if self._sheet_of(category, topic) is None:
                return f"error:handler not found,topic:{topic}"
        return ""

    def _unsubscribe(self, session: Session, message: Row) -> None:
        topics = message.get("args")
        if not isinstance(topics, list) or not all(isinstance(one, str) for one in topics):
            session.answer(_verdict(session, message, "Params Error"))
            return
        for topic in topics:
            self._sessions.unsubscribe(session, topic)
        session.answer(_verdict(session, message, ""))

    def _sheet_of(self, category: str, topic: str) -> Sheet | None:
        """The instrument of a topic that this socket serves, or None."""
        kind, _, rest = topic.partition(".")
        if kind in PLAIN_TOPICS:
            return self._sheets.find(category, rest)
        detail, _, symbol = rest.partition(".")
        if kind == "orderbook" and detail.isdecimal() and int(detail) in PERIOD_NS:
            return self._sheets.find(category, symbol)
        if kind == "kline" and detail in INTERVALS:
            return self._sheets.find(category, symbol)
        return None

    def _greet(
        self, session: Session, category: str, topic: str, followed: bool, at: int
    ) -> None:
        """The first message after the ack, where the topic has a state to start from."""
        sheet = self._sheet_of(category, topic)
        if sheet is None:
            return
        kind, _, rest = topic.partition(".")
        if kind == "orderbook":
            book = self.book(sheet, int(rest.partition(".")[0]))
            frame = book.snapshot(at, fresh=not followed or book.taped)
            self._sessions.hand(session, topic, frame)
        elif kind == "tickers":
            self._tickers.greet(session, sheet, topic, followed, at)
        elif kind == "kline":
            self._klines.greet(session, sheet, topic, at)

    def book(self, sheet: Sheet, depth: int) -> BookTopic:
        """The book topic of an instrument; made when first needed, its `u` goes on for ever."""
        found = self._books.get((sheet.id, depth))
        if found is None:
            found = self._books[sheet.id, depth] = BookTopic(self._exchange, sheet, depth)
        found.taped = self.tape.holds(sheet.category, found.topic)
        return found

    def book_row(self, sheet: Sheet, at: int) -> Row:
        """The REST book: the 1000-level topic as its readers know it, or looked up now."""
        book = self.book(sheet, 1000)
        followed = self._sessions.readers(f"public:{sheet.category}", book.topic)
        return book.row(at, fresh=not followed)

    # Publishing ------------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Pass on what is pushed at once; books and tickers wait for their beat."""
        trades: dict[str, list[Traded]] = {}
        for output in outputs:
            match output:
                case BookChanged(instrument=instrument, raw=raw):
                    self._touch(instrument)
                    self._verbatim(instrument, raw, at)
                case Traded(instrument=instrument, raw=raw):
                    self._verbatim(instrument, raw, at)
                    sheet = self._sheets.by_id[instrument]
                    if not self.tape.holds(sheet.category, f"publicTrade.{sheet.symbol}"):
                        trades.setdefault(instrument, []).append(output)
                case TickerChanged(ticker=ticker, raw=raw):
                    self._verbatim(ticker.instrument, raw, at)
                case CandleChanged(instrument=instrument, candle=candle):
                    self._klines.minute(self._sheets.by_id[instrument], candle, at)
                case Liquidated(instrument=instrument):
                    self._liquidated.setdefault(instrument, []).append(output)
                case _:
                    pass
        for instrument, rows in trades.items():
            self._trades.publish(self._sheets.by_id[instrument], rows, at)

    def beat(self, at: int) -> None:
        """Send the differences of every followed book and ticker that are due."""
        if self._liquidated and at - self._liquidations_at >= LIQUIDATIONS_EVERY:
            self._liquidations_at = at
            self._tell_liquidations(at)
        for sheet in self._sheets.all:
            kind = f"public:{sheet.category}"
            for depth in PERIOD_NS:
                topic = f"orderbook.{depth}.{sheet.symbol}"
                if not self._sessions.readers(kind, topic):
                    continue
                book = self.book(sheet, depth)
                frame = None if book.taped else book.flush(at)
                if frame is not None:
                    self._sessions.push(kind, topic, frame, at)
            self._tickers.beat(sheet, at)

    def _tell_liquidations(self, at: int) -> None:
        """Side and price as the venue has them: of the position, at its bankruptcy price."""
        for instrument, found in self._liquidated.items():
            sheet = self._sheets.by_id[instrument]
            topic = f"allLiquidation.{sheet.symbol}"
            rows = [
                {
                    "T": millis(one.at),
                    "s": sheet.symbol,
                    "S": "Buy" if one.side is Side.SELL else "Sell",
                    "v": sheet.count(one.lots),
                    "p": sheet.price(one.ticks),
                }
                for one in found
            ]
            message = {"topic": topic, "type": "snapshot", "ts": millis(at), "data": rows}
            frame = msgspec.json.encode(message)
            self._sessions.push(f"public:{sheet.category}", topic, frame, at)
        self._liquidated.clear()

    def _touch(self, instrument: str) -> None:
        for depth in PERIOD_NS:
            book = self._books.get((instrument, depth))
            if book is not None:
                book.touch()

    def _verbatim(self, instrument: str, raw: bytes, at: int) -> None:
        if raw:
            category = self._sheets.by_id[instrument].category
            self._sessions.push(f"public:{category}", topic_of(raw), raw, at)


def _verdict(session: Session, message: Row, reason: str) -> Row:
    """The answer to a (un)subscribe; spot repeats the word where contracts say nothing."""
    done = message.get("op", "") if session.kind == "public:spot" else ""
    reply: Row = {
        "success": not reason,
        "ret_msg": reason or done,
        "conn_id": session.conn_id,
    }
    if "req_id" in message or session.kind != "public:spot":
        reply["req_id"] = message.get("req_id", "")
    return reply | {"op": message.get("op", "")}



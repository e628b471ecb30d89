"""Public and business sockets: books, trades, prices, funding, limits, candles."""

from collections.abc import Callable, Sequence

import msgspec

from oneprice.model.units import MILLI, SECOND
from oneprice.twin.contract import (
    BookChanged,
    Candle,
    CandleChanged,
    Exchange,
    Liquidated,
    ListingChanged,
    Output,
    TickerChanged,
    Traded,
)
from oneprice.twin.dialects.okx import candles
from oneprice.twin.dialects.okx.books import CHANNELS, TIERED, Books
from oneprice.twin.dialects.okx.desk import not_logged_in, wrong_topic
from oneprice.twin.dialects.okx.envelope import Failure, Row, stamp
from oneprice.twin.dialects.okx.facts import INST_TYPES, Sheet, Sheets
from oneprice.twin.dialects.okx.listings import instrument_row
from oneprice.twin.dialects.okx.market_rest import trade_row
from oneprice.twin.dialects.okx.sessions import Session, Sessions, Topic
from oneprice.twin.dialects.okx.tape import Tape, topic_of
from oneprice.twin.dialects.okx.tickers import Tickers

PUBLIC, BUSINESS = "public", "business"
VIP_OF_TIERED = 4
# channel: how often it looks for a change, and how often it speaks without one (0: never)
PERIODS: dict[str, tuple[int, int]] = {
    "tickers": (100 * MILLI, 0),
    "mark-price": (200 * MILLI, 10 * SECOND),
    "index-tickers": (100 * MILLI, 60 * SECOND),
    "price-limit": (200 * MILLI, 0),
    "open-interest": (3 * SECOND, 0),
    "funding-rate": (30 * SECOND, 30 * SECOND),
    "estimated-price": (200 * MILLI, 0),
}
BY_TYPE = ("instruments", "liquidation-orders", "estimated-price")
CANDLE_NS = SECOND
Draw = Callable[[Sheet, int], Row]


class PublicStreams:
    """Everything that needs no login; `publish` and `beat` never block."""

    def __init__(
        self, exchange: Exchange, sheets: Sheets, sessions: Sessions, books: Books,
        tickers: Tickers,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._sessions = sessions
        self._tickers = tickers
        self.books = books
        self.tape = Tape(sheets, books)
        self.vip = 0
        self._told: dict[Topic, tuple[Row, int]] = {}  # without its stamp, and when
        self._looked: dict[Topic, int] = {}
        self._bars_at: dict[Topic, int] = {}
        self._draws: dict[str, Draw] = {
            "tickers": tickers.ticker,
            "mark-price": tickers.mark,
            "price-limit": tickers.limit,
            "open-interest": tickers.interest,
            "funding-rate": tickers.funding,
        }

    # Subscriptions -----------------------------------------------------------------------------

    def objects(self, session: Session, topic: Topic) -> None:
        """Failure where a session may not follow a topic on its URL."""
        if topic.channel in CHANNELS and session.kind == PUBLIC:
            self._book_rules(session, topic)
        elif not self._known(session.kind, topic):
            raise wrong_topic(topic)

    def _known(self, kind: str, topic: Topic) -> bool:
        channel, inst_id = topic.channel, topic.get("instId")
        sheet = self._sheets.by_inst.get(inst_id)
        if kind == BUSINESS:
            family, bar = _bar(channel)
            if family == "index":
                return bar is not None and bool(self._sheets.of_index(inst_id))
            return sheet is not None and (bar is not None or channel == "trades-all")
        if channel == "status":
            return True
        if channel in BY_TYPE:
            return topic.get("instType") in (*INST_TYPES.values(), "MARGIN", "OPTION", "EVENTS")
        if channel == "index-tickers":
            return bool(self._sheets.of_index(inst_id))
        if sheet is None:
            return False
        if channel == "funding-rate":
            return bool(sheet.instrument.funding_interval_ms)
        if channel == "open-interest":
            return not sheet.spot
        return channel == "trades" or channel in self._draws

    def _book_rules(self, session: Session, topic: Topic) -> None:
        """Login, level, and which depths of one instrument go together (section 6.2)."""
        if topic.get("instId") not in self._sheets.by_inst:
            raise wrong_topic(topic)
        if topic.channel in TIERED:
            if session.account is None:
                raise not_logged_in()
            if self.vip < VIP_OF_TIERED:
                raise Failure(
                    "64003",
                    "Your trading fee tier doesn't meet the requirement to access this channel",
                )
        deep = Topic("books-l2-tbt", topic.narrows)
        lesser = [Topic(name, topic.narrows) for name in ("books50-l2-tbt", "books")]
        if topic in lesser and deep in session.topics:
            raise Failure(
                "64004", "Subscribe to both books-l2-tbt and books50-l2-tbt or books is not "
                "allowed."
            )
        if topic == deep:
            for one in lesser:
                self._sessions.unsubscribe(session, one)

    def greets(self, session: Session, topic: Topic, at: int) -> None:
        """The first message after the ack, where the topic has a state to start from."""
        sheet = self._sheets.by_inst.get(topic.get("instId"))
        if topic.channel in CHANNELS and sheet is not None:
            others = [one for one in self._sessions.readers(PUBLIC, topic) if one is not session]
            channel = self.books.channel(sheet, topic.channel)
            frame = channel.snapshot(at, fresh=not others or self.tape.holds(topic))
            self._sessions.hand(session, topic.channel, frame, at)
        elif topic.channel == "instruments":
            rows = [
                instrument_row(one, self._exchange.listing(one.market, one.inst_id))
                for one in self._sheets.of(topic.get("instType"))
            ]
            self._sessions.hand(session, topic.channel, _frame(topic, rows), at)
        elif session.kind == BUSINESS:
            self._greet_bar(session, topic, at)
        elif topic.channel != "trades" and not self.tape.holds(topic):
            row = self._row(topic, at)
            if row is not None:
                self._sessions.hand(session, topic.channel, _frame(topic, [row]), at)

    def _greet_bar(self, session: Session, topic: Topic, at: int) -> None:
        rows = self._bars(topic, 1)
        if rows:
            self._sessions.hand(session, topic.channel, _frame(topic, rows), at)

    # Publishing --------------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Pass on what is pushed at once; the rest waits for its beat."""
        trades: dict[str, list[Traded]] = {}
        for output in outputs:
            match output:
                case BookChanged(instrument=instrument, raw=raw):
                    self.books.touch(instrument)
                    self._verbatim(raw, at)
                case Traded(instrument=instrument, raw=raw):
                    self._verbatim(raw, at)
                    trades.setdefault(instrument, []).append(output)
                case TickerChanged(raw=raw):
                    self._verbatim(raw, at)
                case CandleChanged(instrument=instrument, candle=candle):
                    self._minute(self._sheets.by_id[instrument], candle, at)
                case ListingChanged(listing=listing):
                    sheet = self._sheets.by_id[listing.instrument.id]
                    self._by_type("instruments", sheet, instrument_row(sheet, listing), at)
                case Liquidated(instrument=instrument):
                    self._liquidated(self._sheets.by_id[instrument], output, at)
                case _:
                    pass
        for instrument, made in trades.items():
            self._trade(self._sheets.by_id[instrument], made, at)

    def beat(self, at: int) -> None:
        """Books in the order that the venue keeps, then everything that is due."""
        for name in CHANNELS:
            for topic in self._sessions.topics(PUBLIC, name):
                sheet = self._sheets.by_inst[topic.get("instId")]
                channel = self.books.channel(sheet, name)
                frame = None if self.tape.holds(topic) else channel.flush(at)
                if frame is not None:
                    self._sessions.push(PUBLIC, topic, frame, at)
        for name, (period, repeat) in PERIODS.items():
            for topic in self._sessions.topics(PUBLIC, name):
                if at - self._looked.get(topic, 0) >= period and not self.tape.holds(topic):
                    self._looked[topic] = at
                    self._tell(topic, repeat, at)
        for kind in ("mark", "index"):
            for name in candles.BARS:
                for topic in self._sessions.topics(BUSINESS, f"{_PREFIX[kind]}{name}"):
                    self._tell_bar(topic, at)

    def _tell(self, topic: Topic, repeat: int, at: int) -> None:
        """What changed since it was last told, or again after a while."""
        row = self._row(topic, at)
        if row is None:
            return
        plain = {name: value for name, value in row.items() if name != "ts"}
        told, when = self._told.get(topic, ({}, 0))
        if plain == told and (not repeat or at - when < repeat):
            return
        self._told[topic] = (plain, at)
        self._sessions.push(PUBLIC, topic, _frame(topic, [row]), at)

    def _row(self, topic: Topic, at: int) -> Row | None:
        if topic.channel == "index-tickers":
            return self._tickers.index(topic.get("instId"), at)
        if topic.channel == "estimated-price":
            for sheet in self._sheets.of(topic.get("instType")):
                if sheet.instrument.expiry and topic.get("instId") in ("", sheet.inst_id):
                    return self._tickers.estimate(sheet, at)
            return None
        draw = self._draws.get(topic.channel)
        sheet_ = self._sheets.by_inst.get(topic.get("instId"))
        row = draw(sheet_, at) if draw and sheet_ else None
        # A tape may hold no mark price or settlement of an instrument: then there is no news.
        if row is not None and "" in (row.get("markPx"), row.get("fundingTime")):
            return None
        return row

    # Trades and events -------------------------------------------------------------------------

    def _trade(self, sheet: Sheet, made: list[Traded], at: int) -> None:
        """`trades` puts matches of one price and side together, `trades-all` does not."""
        narrows = (("instId", sheet.inst_id),)
        whole = Topic("trades-all", narrows)
        for trade in made:
            row = trade_row(sheet, trade)
            self._sessions.push(BUSINESS, whole, _frame(whole, [row]), at)
        topic = Topic("trades", narrows)
        if self.tape.holds(topic) or not self._sessions.readers(PUBLIC, topic):
            return
        groups: list[list[Traded]] = []
        for trade in made:
            last = groups[-1][-1] if groups else None
            same = last is not None and (last.ticks, last.side, last.at) == (
                trade.ticks, trade.side, trade.at,
            )
            if same:
                groups[-1].append(trade)
            else:
                groups.append([trade])
        for group in groups:
            last = group[-1]
            row = trade_row(sheet, last) | {
                "sz": sheet.size(sum(one.lots for one in group)),
                "count": str(len(group)),
                "seqId": self.books.at_sequence(sheet.id, last.sequence),
            }
            self._sessions.push(PUBLIC, topic, _frame(topic, [row]), at)

    def _liquidated(self, sheet: Sheet, news: Liquidated, at: int) -> None:
        detail = {
            "side": "buy" if news.side > 0 else "sell",
            "posSide": "short" if news.side > 0 else "long",
            "bkPx": sheet.price(news.ticks),
            "sz": sheet.size(news.lots),
            "bkLoss": "0",
            "ccy": "",
            "ts": stamp(news.at),
        }
        row = {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "uly": sheet.family,
            "instFamily": sheet.family,
            "totalLoss": "0",
            "details": [detail],
        }
        self._by_type("liquidation-orders", sheet, row, at)

    def _by_type(self, channel: str, sheet: Sheet, row: Row, at: int) -> None:
        for topic in self._sessions.topics(PUBLIC, channel):
            if topic.get("instType") == sheet.inst_type:
                self._sessions.push(PUBLIC, topic, _frame(topic, [row]), at)

    def _verbatim(self, raw: bytes, at: int) -> None:
        if raw:
            self._sessions.push(PUBLIC, topic_of(raw), raw, at)

    # Candles -----------------------------------------------------------------------------------

    def _minute(self, sheet: Sheet, minute: Candle, at: int) -> None:
        """A minute bar moved or closed: tell the readers of every width."""
        for name in candles.BARS:
            topic = Topic(f"candle{name}", (("instId", sheet.inst_id),))
            if not self._sessions.readers(BUSINESS, topic):
                continue
            if not minute.closed and at - self._bars_at.get(topic, 0) < CANDLE_NS:
                continue
            rows = self._bars(topic, 2 if minute.closed else 1)
            self._bars_at[topic] = at
            for row in reversed(rows):
                self._sessions.push(BUSINESS, topic, _frame(topic, [row]), at)

    def _tell_bar(self, topic: Topic, at: int) -> None:
        """The running mark or index bar once a second, and the one before when it closed."""
        if at - self._bars_at.get(topic, 0) < CANDLE_NS:
            return
        before = self._bars_at.get(topic, at)
        self._bars_at[topic] = at
        _, bar = _bar(topic.channel)
        turned = bar is not None and bar.start(before // MILLI) != bar.start(at // MILLI)
        for row in reversed(self._bars(topic, 2 if turned else 1)):
            self._sessions.push(BUSINESS, topic, _frame(topic, [row]), at)

    def _bars(self, topic: Topic, count: int) -> list[list[str]]:
        """The latest rows of a candle channel, newest first."""
        kind, bar = _bar(topic.channel)
        if bar is None:
            return []
        name = topic.get("instId")
        sheet = self._sheets.of_index(name)[0] if kind == "index" else self._sheets.by_inst[name]
        found = candles.find(self._exchange, sheet, kind, bar, (None, None), count)
        draw = candles.trade_row if kind == "trade" else candles.price_row
        return [draw(sheet, one) for one in found]


_PREFIX = {"mark": "mark-price-candle", "index": "index-candle", "trade": "candle"}


def _bar(channel: str) -> tuple[str, candles.Bar | None]:
    """Kind and width of a candle channel; no width where it is none."""
    for kind, prefix in _PREFIX.items():
        if channel.startswith(prefix):
            return kind, candles.BARS.get(channel.removeprefix(prefix))
    return "", None


def _frame(topic: Topic, rows: Sequence[Row | list[str]]) -> bytes:
    return msgspec.json.encode({"arg": topic.arg, "data": rows})

"""Public topics: books, trades and candles as they happen, the rest at their own pace."""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from oneprice.model.units import MILLI, MINUTE, SECOND
from oneprice.twin.contract import (
    BookChanged,
    CandleChanged,
    FundingFixed,
    Output,
    TickerChanged,
    Traded,
)
from oneprice.twin.dialects.kucoin import candles, names
from oneprice.twin.dialects.kucoin.books import (
    WireBooks,
    futures_frame,
    numbered,
    printed,
    spot_frame,
)
from oneprice.twin.dialects.kucoin.envelope import Row, encoded, millis, number
from oneprice.twin.dialects.kucoin.facts import Facts, Sheet, word_of
from oneprice.twin.dialects.kucoin.sessions import Sessions
from oneprice.twin.dialects.kucoin.tape import Tape, topic_of
from oneprice.twin.dialects.kucoin.tickers import Tickers
from oneprice.twin.dialects.kucoin.topics import WHOLE

MINUTE_MS = 60_000


class Paced(msgspec.Struct, frozen=True):
    """A topic that is looked at every `period` ns and sent if the book or a trade changed it.

    `always`: sent each time, changed or not. `make` gives subject and data.
    """

    prefix: str
    spot: bool
    period: int
    make: Callable[[Sheet, int], tuple[str, Row]]
    always: bool = False


class PublicStreams:
    """`publish` and `beat` never block."""

    def __init__(
        self, facts: Facts, books: WireBooks, tickers: Tickers, sessions: Sessions, tape: Tape
    ) -> None:
        self._facts = facts
        self._exchange = facts.exchange
        self._books = books
        self._tickers = tickers
        self._sessions = sessions
        self._tape = tape
        self._paced = self._make_paced()
        self._looked: dict[str, int] = {}  # topic: when
        self._shown: dict[str, tuple[int, int]] = {}  # topic: sequence and last trade shown
        for sheet in facts.all:
            books.of(sheet)  # the numbering begins with the market

    def _make_paced(self) -> tuple[Paced, ...]:
        depth, tick, tickers = self._depth, 100 * MILLI, self._tickers
        return (
            Paced("/spotMarket/level2Depth5", True, tick, lambda s, at: depth(s, 5, at)),
            Paced("/spotMarket/level2Depth50", True, tick, lambda s, at: depth(s, 50, at)),
            Paced("/spotMarket/level1", True, 10 * MILLI, self._level1),
            Paced("/market/ticker", True, tick, self._ticker),
            Paced(
                "/market/snapshot",
                True,
                2 * SECOND,
                lambda s, at: ("trade.snapshot", tickers.snapshot(s, at)),
            ),
            Paced("/indicator/index", True, SECOND, self._indicator, always=True),
            Paced("/indicator/markPrice", True, SECOND, self._indicator, always=True),
            Paced("/contractMarket/level2Depth5", False, tick, lambda s, at: depth(s, 5, at)),
            Paced("/contractMarket/level2Depth50", False, tick, lambda s, at: depth(s, 50, at)),
            Paced(
                "/contractMarket/tickerV2",
                False,
                10 * MILLI,
                lambda s, at: ("tickerV2", tickers.touch(s, at)),
            ),
            Paced(
                "/contractMarket/snapshot",
                False,
                5 * SECOND,
                lambda s, at: ("snapshot.24h", tickers.futures_day(s, at)),
            ),
            Paced("/contract/instrument", False, SECOND, self._mark, always=True),
        )

    # What happens ----------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Pass on what is sent at once."""
        for output in outputs:
            match output:
                case BookChanged(raw=raw):
                    self._book(output)
                    self._verbatim(raw, at)
                case Traded(raw=raw):
                    self._verbatim(raw, at)
                    self._trade(output)
                case TickerChanged(raw=raw):
                    self._verbatim(raw, at)
                case CandleChanged():
                    self._candle(output)
                case FundingFixed():
                    self._funding_fixed(output, at)
                case _:
                    pass

    def beat(self, at: int) -> None:
        """Send what is due."""
        for paced in self._paced:
            for sheet in self._facts.all:
                if sheet.spot is paced.spot:
                    self._look(paced, sheet, at)
        for sheet in self._facts.all:
            topic = f"/contract/instrument:{sheet.symbol}"
            if sheet.instrument.funding_interval_ms and self._due(f"{topic} funding", MINUTE, at):
                self._send(topic, "funding.rate", self._funding(sheet, at), at)

    def _look(self, paced: Paced, sheet: Sheet, at: int) -> None:
        topic = f"{paced.prefix}:{sheet.symbol}"
        group = WHOLE.get(paced.prefix)
        whole = f"{paced.prefix}:{group}" if group else None
        read = self._sessions.read(topic)
        read_whole = whole is not None and self._sessions.read(whole)
        if not (read or read_whole) or self._tape.holds(topic):
            return
        if not self._due(topic, paced.period, at):
            return
        last = self._exchange.trades(sheet.id, 1)
        state = (self._books.of(sheet).sequence, last[-1].trade_id if last else 0)
        if not paced.always and self._shown.get(topic) == state:
            return
        self._shown[topic] = state
        subject, data = paced.make(sheet, at)
        if read:
            self._send(topic, subject, data, at)
        if read_whole and whole is not None:
            named = sheet.symbol if paced.prefix == "/market/ticker" else subject
            self._send(whole, named, data, at)

    def _due(self, topic: str, period: int, at: int) -> bool:
        """Whether a period has begun since this was asked last; each begins on its grid."""
        if at // period == self._looked.get(topic, 0) // period:
            return False
        self._looked[topic] = at
        return True

    # Books and trades ------------------------------------------------------------------------

    def _book(self, changed: BookChanged) -> None:
        sheet = self._facts.by_id[changed.instrument]
        changes = self._books.of(sheet).apply(changed)
        prefix = "/market/level2" if sheet.spot else "/contractMarket/level2"
        topic = f"{prefix}:{sheet.symbol}"
        if not changes or not self._sessions.read(topic):
            return
        if sheet.spot:
            self._sessions.push(topic, spot_frame(sheet, changes, changed.at), changed.at)
            return
        for change in changes:
            self._sessions.push(topic, futures_frame(sheet, change, changed.at), changed.at)

    def _trade(self, traded: Traded) -> None:
        """A match; on spot it also takes a sequence of the book, which changes no level."""
        sheet = self._facts.by_id[traded.instrument]
        topic = f"/market/match:{sheet.symbol}"
        if not sheet.spot:
            self._contract_trade(sheet, traded)
            return
        if self._facts.taped:
            return
        self._advance(sheet, traded)
        trade_id = str(names.trade(True, traded.trade_id))
        data = {
            "symbol": sheet.symbol,
            "sequence": trade_id,
            "side": word_of(traded.side),
            "size": sheet.size(traded.lots),
            "price": sheet.price(traded.ticks),
            "takerOrderId": names.stranger(True, sheet.id, traded.trade_id, "taker"),
            "time": str(traded.at),
            "type": "match",
            "makerOrderId": names.stranger(True, sheet.id, traded.trade_id, "maker"),
            "tradeId": trade_id,
        }
        self._send(topic, "trade.l3match", data, traded.at)

    def _advance(self, sheet: Sheet, traded: Traded) -> None:
        """Price "0" only advances the sequence: clients must not make a level of it (7.2)."""
        sequence = self._books.of(sheet).advance()
        topic = f"/market/level2:{sheet.symbol}"
        if self._sessions.read(topic):
            change = (traded.side.name == "BUY", 0, 0, sequence)
            self._sessions.push(topic, spot_frame(sheet, [change], traded.at), traded.at)

    def _contract_trade(self, sheet: Sheet, traded: Traded) -> None:
        number_ = names.trade(False, traded.trade_id)
        data = {
            "symbol": sheet.symbol,
            "sequence": number_,
            "side": word_of(traded.side),
            "size": sheet.quantity(traded.lots),
            "price": sheet.price(traded.ticks),
            "takerOrderId": names.stranger(False, sheet.id, traded.trade_id, "taker"),
            "makerOrderId": names.stranger(False, sheet.id, traded.trade_id, "maker"),
            "tradeId": str(number_),
            "ts": traded.at,
        }
        self._send(f"/contractMarket/execution:{sheet.symbol}", "match", data, traded.at, number_)
        topic = f"/contractMarket/ticker:{sheet.symbol}"
        if self._sessions.read(topic):
            row = self._tickers.futures(sheet, traded.at)
            self._send(topic, "ticker", row, traded.at, row["sequence"])

    def _candle(self, changed: CandleChanged) -> None:
        """The running candle of every interval that somebody reads."""
        sheet = self._facts.by_id[changed.instrument]
        prefix = "/market/candles" if sheet.spot else "/contractMarket/limitCandle"
        subject = "trade.candles.update" if sheet.spot else "candle.stick"
        for interval, minutes in candles.TYPES.items():
            topic = f"{prefix}:{sheet.symbol}_{interval}"
            if not self._sessions.read(topic) or self._tape.holds(topic):
                continue
            candle = changed.candle
            if minutes > 1:
                found = self._exchange.candles(
                    sheet.id, "trade", minutes * MINUTE_MS, limit=1
                )
                if not found:
                    continue
                candle = found[-1]
            data = {
                "symbol": sheet.symbol,
                "candles": candles.row(sheet, candle),
                "time": changed.at if sheet.spot else millis(changed.at),
            }
            self._send(topic, subject, data, changed.at)

    # Paced data ------------------------------------------------------------------------------

    def _depth(self, sheet: Sheet, depth: int, at: int) -> tuple[str, Row]:
        book = self._books.of(sheet)
        bids, asks = book.sides(depth)
        if sheet.spot:
            data: Row = {
                "asks": printed(sheet, asks),
                "bids": printed(sheet, bids),
                "timestamp": millis(at),
            }
            return "level2", data
        return "level2", {
            "bids": numbered(sheet, bids),
            "sequence": book.sequence,
            "timestamp": millis(at),
            "ts": millis(at),
            "asks": numbered(sheet, asks),
        }

    def _level1(self, sheet: Sheet, at: int) -> tuple[str, Row]:
        bids, asks = self._books.of(sheet).sides(1)
        best = [printed(sheet, side)[0] if side else ("0", "0") for side in (asks, bids)]
        return "level1", {"asks": best[0], "bids": best[1], "timestamp": millis(at)}

    def _ticker(self, sheet: Sheet, at: int) -> tuple[str, Row]:
        return "trade.ticker", self._tickers.level1(sheet, at)

    def _indicator(self, sheet: Sheet, at: int) -> tuple[str, Row]:
        value = self._exchange.ticker(sheet.id).index
        data = {
            "symbol": f"{sheet.instrument.quote}-{sheet.instrument.base}",
            "granularity": 1000,
            "timestamp": millis(at),
            "value": number(value, 8),
        }
        return "tick", data

    def _mark(self, sheet: Sheet, at: int) -> tuple[str, Row]:
        ticker = self._exchange.ticker(sheet.id)
        return "mark.index.price", {
            "markPrice": sheet.quoted(ticker.mark),
            "indexPrice": sheet.quoted(ticker.index),
            "granularity": 1000,
            "timestamp": at // SECOND * 1000,
        }

    def _funding(self, sheet: Sheet, at: int) -> Row:
        rate: Decimal = self._exchange.ticker(sheet.id).funding_rate
        return {
            "granularity": MINUTE_MS,
            "fundingRate": number(rate),
            "timestamp": at // MINUTE * MINUTE_MS,
        }

    def _funding_fixed(self, fixed: FundingFixed, at: int) -> None:
        """Funding begins and, in the same moment here, ends."""
        row = fixed.row
        sheet = self._facts.by_id[row.instrument]
        for subject in ("funding.begin", "funding.end"):
            data = {
                "symbol": sheet.symbol,
                "fundingTime": millis(row.at),
                "fundingRate": number(row.rate),
                "timestamp": millis(at),
            }
            self._send(f"/contract/announcement:{sheet.symbol}", subject, data, at)

    def _send(self, topic: str, subject: str, data: Row, at: int, sn: int = 0) -> None:
        if not self._sessions.read(topic) or self._tape.holds(topic):
            return
        message: Row = {"topic": topic, "type": "message", "subject": subject}
        if topic.startswith("/contractMarket/") and (sn or "sequence" in data):
            message["sn"] = sn or data["sequence"]
        self._sessions.push(topic, encoded(message | {"data": data}), at)

    def _verbatim(self, raw: bytes, at: int) -> None:
        if raw:
            self._sessions.push(topic_of(raw), raw, at)

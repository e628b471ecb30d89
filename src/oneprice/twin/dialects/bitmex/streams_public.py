"""Public tables of /realtime: what a subscriber starts with and what changes afterwards."""

from collections.abc import Sequence

from oneprice.model.units import MILLI
from oneprice.twin.contract import (
    BookChanged,
    CandleChanged,
    Exchange,
    FundingFixed,
    Liquidated,
    ListingChanged,
    Output,
    TickerChanged,
    Traded,
)
from oneprice.twin.dialects.bitmex.books import Books
from oneprice.twin.dialects.bitmex.envelope import Row, encoded, lean
from oneprice.twin.dialects.bitmex.facts import Sheet, Sheets
from oneprice.twin.dialects.bitmex.fields import Fields
from oneprice.twin.dialects.bitmex.instruments import Instruments
from oneprice.twin.dialects.bitmex.market_rest import BINS, MarketRest, funding_row
from oneprice.twin.dialects.bitmex.names import ORDER, guid
from oneprice.twin.dialects.bitmex.schema import BIN_TABLES, BOOK_TABLES, QUOTE_BIN_TABLES
from oneprice.twin.dialects.bitmex.sessions import Sessions
from oneprice.twin.dialects.bitmex.tape import Tape, topic_of
from oneprice.twin.dialects.bitmex.trade_rows import Quotes, TradeRows, side_word

_QUIET = ("timestamp",)  # fields that alone are no news


class PublicStreams:
    """Rows of partials, and the insert, update and delete messages that follow."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        market: MarketRest,
        desk: tuple[Instruments, Books, TradeRows, Quotes],
        sessions: Sessions,
        tape: Tape,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._market = market
        self._instruments, self._books, self._trades, self._quotes = desk
        self._sessions = sessions
        self._tape = tape
        self._shown: dict[str, Row] = {}  # instrument rows as their readers know them

    # Partials ---------------------------------------------------------------------------------

    def rows(self, table: str, sheets: list[Sheet], at: int) -> list[Row]:
        """The table as it stands, for a new subscriber."""
        found: list[Row] = []
        for sheet in sheets:
            found += self._rows_of(table, sheet, at)
        if table == "insurance":
            return self._market.insurance_rows(at)
        return [lean(row) for row in found]

    def _rows_of(self, table: str, sheet: Sheet, at: int) -> list[Row]:
        fresh = not self._sessions.followed(table, sheet.symbol)
        if table in BOOK_TABLES:
            taped = self._tape.holds(table, sheet.symbol)
            return self._books.topic(table, sheet).rows(at, fresh=fresh or taped)
        if table == "orderBook10":
            return [self._books.ten(sheet).row(at)]
        if table == "instrument":
            if fresh or sheet.symbol not in self._shown:
                self._shown[sheet.symbol] = self._instruments.row(sheet, at)
            return [self._shown[sheet.symbol]]
        if table == "trade":
            return self._trades.history(sheet)[-1:]
        if table == "quote":
            return self._quotes.history(sheet, at)[-1:]
        if table == "funding":
            return self._market.funding_rows(sheet)[-1:]
        if table == "settlement":
            return self._market.settlement_rows(sheet)
        if table in BIN_TABLES:
            step = BINS[BIN_TABLES[table]]
            window = (Fields({"count": 1}), at)
            return self._market.bins(sheet, step, partial=False, window=window)[-1:]
        if table in QUOTE_BIN_TABLES:
            return self._quotes.binned(sheet, at, BINS[QUOTE_BIN_TABLES[table]])[:-1][-1:]
        return []

    # Publishing -------------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        trades: dict[str, list[Traded]] = {}
        touched: dict[str, None] = {}
        moved: dict[str, None] = {}
        for output in outputs:
            match output:
                case BookChanged(instrument=name, raw=raw):
                    touched[name] = None
                    self._verbatim(raw, at)
                case Traded(instrument=name, raw=raw):
                    self._verbatim(raw, at)
                    trades.setdefault(name, []).append(output)
                case TickerChanged(ticker=ticker, raw=raw):
                    self._verbatim(raw, at)
                    moved[ticker.instrument] = None
                case ListingChanged(listing=listing):
                    moved[listing.instrument.id] = None
                    self._delisted(self._sheets.by_id[listing.instrument.id], at)
                case CandleChanged(instrument=name, candle=candle) if candle.closed:
                    end_ms = candle.start_ms + candle.interval_ms
                    self._bins(self._sheets.by_id[name], end_ms, at)
                case FundingFixed(row=row):
                    sheet = self._sheets.by_id[row.instrument]
                    self._insert("funding", sheet, [funding_row(sheet, row.at, row.rate)], at)
                    moved[row.instrument] = None
                case Liquidated():
                    self._liquidated(output, at)
                case _:
                    pass
        for name, rows in trades.items():
            sheet = self._sheets.by_id[name]
            told = self._trades.told(sheet, rows)
            if not self._tape.holds("trade", sheet.symbol):
                self._insert("trade", sheet, told, at)
        for name in touched:
            self._book(self._sheets.by_id[name], at)
        for name in moved:
            self._instrument(self._sheets.by_id[name], at)

    def _book(self, sheet: Sheet, at: int) -> None:
        for table in BOOK_TABLES:
            if not self._sessions.followed(table, sheet.symbol):
                continue
            if self._tape.holds(table, sheet.symbol):
                continue
            for action, rows in self._books.topic(table, sheet).changes(at):
                self._send(table, action, sheet, rows, at)
        if self._sessions.followed("orderBook10", sheet.symbol):
            row = self._books.ten(sheet).change(at)
            if row is not None:
                self._send("orderBook10", "update", sheet, [row], at)
        quote = self._quotes.look(sheet, at)
        if quote is not None and not self._tape.holds("quote", sheet.symbol):
            self._insert("quote", sheet, [quote], at)

    def _instrument(self, sheet: Sheet, at: int) -> None:
        """Only what changed since the last message (section 5)."""
        if self._tape.holds("instrument", sheet.symbol):
            return
        before = self._shown.get(sheet.symbol)
        if before is None or not self._sessions.followed("instrument", sheet.symbol):
            self._shown.pop(sheet.symbol, None)
            return
        after = self._instruments.moving(sheet, at)
        news = {name: value for name, value in after.items() if before.get(name) != value}
        self._shown[sheet.symbol] = before | after
        if any(name not in _QUIET for name in news):
            row = {"symbol": sheet.symbol, **news, "timestamp": after["timestamp"]}
            self._send("instrument", "update", sheet, [row], at)

    def _bins(self, sheet: Sheet, end_ms: int, at: int) -> None:
        """A minute closed, and with it perhaps a longer bin."""
        for table, size in BIN_TABLES.items():
            step = BINS[size]
            if end_ms % step or not self._sessions.followed(table, sheet.symbol):
                continue
            window = (Fields({"count": 2}), max(at, end_ms * MILLI))
            rows = self._market.bins(sheet, step, partial=False, window=window)
            self._insert(table, sheet, rows[-1:], at)
        for table, size in QUOTE_BIN_TABLES.items():
            if end_ms % BINS[size] or not self._sessions.followed(table, sheet.symbol):
                continue
            before = end_ms * MILLI - MILLI
            rows = self._quotes.binned(sheet, before, BINS[size])
            self._insert(table, sheet, rows[-1:], at)

    def _liquidated(self, news: Liquidated, at: int) -> None:
        """The order appears, and is gone again: the exchange works it off at once."""
        sheet = self._sheets.by_id[news.instrument]
        row = {
            "orderID": guid(ORDER, news.order_id),
            "symbol": sheet.symbol,
            "side": side_word(news.side),
            "price": sheet.price(news.ticks),
            "leavesQty": sheet.contracts(news.lots),
        }
        self._insert("liquidation", sheet, [row], at)
        gone = {"orderID": row["orderID"], "symbol": sheet.symbol}
        self._send("liquidation", "delete", sheet, [gone], at)

    def _delisted(self, sheet: Sheet, at: int) -> None:
        rows = self._market.settlement_rows(sheet)
        if rows:
            self._insert("settlement", sheet, rows, at)

    def _insert(self, table: str, sheet: Sheet, rows: list[Row], at: int) -> None:
        if rows and self._sessions.followed(table, sheet.symbol):
            self._send(table, "insert", sheet, rows, at)

    def _send(self, table: str, action: str, sheet: Sheet, rows: list[Row], at: int) -> None:
        message = {"table": table, "action": action, "data": [lean(row) for row in rows]}
        self._sessions.push(table, sheet.symbol, encoded(message), at)

    def _verbatim(self, raw: bytes, at: int) -> None:
        if raw:
            table, symbol = topic_of(raw)
            self._sessions.push(table, symbol, raw, at)

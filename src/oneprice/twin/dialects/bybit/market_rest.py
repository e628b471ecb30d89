"""Public REST: time, instruments, books, tickers, trades, candles, funding history, limits."""

from collections.abc import Callable
from decimal import Decimal

from oneprice.model.units import MILLI, SECOND, ZERO, plain
from oneprice.twin.contract import Candle, Exchange
from oneprice.twin.dialects.bybit.envelope import BAD_PARAMETER, Failure, Row, millis, short, stamp
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets
from oneprice.twin.dialects.bybit.fields import Fields, invalid
from oneprice.twin.dialects.bybit.listings import listing
from oneprice.twin.dialects.bybit.margin_rest import risk_rows
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.tickers import ticker_row

MINUTE_MS = 60_000
INTERVALS = {
    **{str(minutes): minutes * MINUTE_MS for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": 1440 * MINUTE_MS,
    "W": 10_080 * MINUTE_MS,
    "M": 43_200 * MINUTE_MS,
}
BookSource = Callable[[Sheet, int], Row]


class MarketRest:
    """Handlers of /v5/market; each takes the query and the time and gives the `result`."""

    def __init__(
        self, exchange: Exchange, sheets: Sheets, names: Names, books: BookSource
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._names = names
        self._books = books

    def routes(self) -> dict[str, Callable[[Fields, int], Row]]:
        """Every GET path of this module."""
        return {
            "/v5/market/time": self.time,
            "/v5/market/instruments-info": self.instruments,
            "/v5/market/orderbook": self.orderbook,
            "/v5/market/tickers": self.tickers,
            "/v5/market/recent-trade": self.trades,
            "/v5/market/kline": self.kline,
            "/v5/market/mark-price-kline": lambda f, at: self._prices(f, "mark"),
            "/v5/market/index-price-kline": lambda f, at: self._prices(f, "index"),
            "/v5/market/premium-index-price-kline": self.premium,
            "/v5/market/funding/history": self.funding_history,
            "/v5/market/price-limit": self.price_limit,
            "/v5/market/risk-limit": self.risk_limit,
            "/v5/market/open-interest": self.open_interest,
            "/v5/market/delivery-price": self.delivery_price,
            "/v5/system/status": lambda fields, at: {"list": []},
        }

    def sheet(self, fields: Fields, *, usual: str = "") -> Sheet:
        """The instrument of `category` and `symbol`; 10001 where there is none."""
        category = fields.category() if "category" in fields or not usual else usual
        sheet = self._sheets.find(category, fields.need("symbol"))
        if sheet is None:
            raise Failure(BAD_PARAMETER, "Not supported symbols")
        return sheet

    def time(self, fields: Fields, at: int) -> Row:
        return {"timeSecond": str(at // SECOND), "timeNano": str(at)}

    def instruments(self, fields: Fields, at: int) -> Row:
        category = fields.need("category")
        if category == "option":
            return {"category": category, "list": [], "nextPageCursor": ""}
        category = fields.category()
        if "symbol" in fields:
            self.sheet(fields)
        now = [Sheet(one) for one in self._exchange.listings(category)]
        return listing(category, now, fields)

    def orderbook(self, fields: Fields, at: int) -> Row:
        sheet = self.sheet(fields)
        limit = fields.whole("limit", 1 if sheet.spot else 25, 1, 1000)
        row = self._books(sheet, at)
        return row | {"b": row["b"][:limit], "a": row["a"][:limit]}

    def tickers(self, fields: Fields, at: int) -> Row:
        category = fields.need("category")
        if category == "option":
            return {"category": category, "list": []}
        category = fields.category()
        sheets = [self.sheet(fields)] if "symbol" in fields else self._sheets.of(category)
        rows = [ticker_row(sheet, self._exchange.ticker(sheet.id)) for sheet in sheets]
        return {"category": category, "list": rows}

    def trades(self, fields: Fields, at: int) -> Row:
        sheet = self.sheet(fields)
        usual, most = (60, 60) if sheet.spot else (500, 1000)
        limit = min(fields.whole("limit", usual, 1, 1000), most)
        rows = [
            {
                "execId": self._names.trade(sheet.category, sheet.id, trade.trade_id),
                "symbol": sheet.symbol,
                "price": sheet.price(trade.ticks),
                "size": sheet.size(trade.lots),
                "side": "Buy" if trade.side > 0 else "Sell",
                "time": stamp(trade.at),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(trade.sequence),
            }
            for trade in reversed(self._exchange.trades(sheet.id, limit))
        ]
        return {"category": sheet.category, "list": rows}

    # Candles ---------------------------------------------------------------------------------

    def kline(self, fields: Fields, at: int) -> Row:
        """Trade bars, newest first; the newest may be unfinished."""
        sheet = self.sheet(fields, usual="linear")
        rows = []
        for candle in reversed(self._candles(sheet, fields, "trade")):
            volume = sheet.count(candle.volume_lots)
            bar = [candle.open, candle.high, candle.low, candle.close]
            rows.append(
                [str(candle.start_ms), *map(plain, bar), volume, short(candle.turnover)]
            )
        return {"symbol": sheet.symbol, "category": sheet.category, "list": rows}

    def _prices(self, fields: Fields, kind: str) -> Row:
        sheet = self._derivative(fields)
        rows = [
            [
                str(one.start_ms),
                *(sheet.quoted(price) for price in (one.open, one.high, one.low, one.close)),
            ]
            for one in reversed(self._candles(sheet, fields, kind))
        ]
        return {"symbol": sheet.symbol, "category": sheet.category, "list": rows}

    def premium(self, fields: Fields, at: int) -> Row:
        """Premium bars from mark and index bars: fractions that may be negative."""
        sheet = self._derivative(fields)
        marks = self._candles(sheet, fields, "mark")
        indexes = {one.start_ms: one for one in self._candles(sheet, fields, "index")}
        rows = []
        for mark in reversed(marks):
            index = indexes.get(mark.start_ms)
            if index is None or not index.open or not index.close:
                continue
            ends = (mark.open / index.open - 1, mark.close / index.close - 1)
            bar = (ends[0], max(ends), min(ends), ends[1])
            rows.append([str(mark.start_ms), *(short(Decimal(part), 6) for part in bar)])
        return {"symbol": sheet.symbol, "category": sheet.category, "list": rows}

    def _candles(self, sheet: Sheet, fields: Fields, kind: str) -> list[Candle]:
        interval = fields.need("interval")
        if interval not in INTERVALS:
            raise invalid("interval", interval)
        start = fields.whole("start", -1, 0, 1 << 53)
        end = fields.whole("end", -1, 0, 1 << 53)
        limit = fields.whole("limit", 200, 1, 1 << 31)
        return self._exchange.candles(
            sheet.id,
            kind,
            INTERVALS[interval],
            start_ms=None if start < 0 else start,
            end_ms=None if end < 0 else end,
            limit=min(limit, 1000),
        )

    def _derivative(self, fields: Fields) -> Sheet:
        sheet = self.sheet(fields, usual="linear")
        if sheet.spot:
            raise invalid("category", "spot")
        return sheet

    # Funding and limits ----------------------------------------------------------------------

    def funding_history(self, fields: Fields, at: int) -> Row:
        """Settled rates, newest first; a start without an end is refused (section 4.7)."""
        sheet = self._derivative(fields)
        if "startTime" in fields and "endTime" not in fields:
            raise Failure(BAD_PARAMETER, "params error: endTime is required with startTime")
        start = fields.whole("startTime", -1, 0, 1 << 53)
        end = fields.whole("endTime", -1, 0, 1 << 53)
        rows = self._exchange.funding_rows(
            sheet.id,
            start=None if start < 0 else start * MILLI,
            end=None if end < 0 else end * MILLI + MILLI - 1,
            limit=min(fields.whole("limit", 200, 1, 1 << 31), 200),
        )
        listed = [
            {
                "symbol": sheet.symbol,
                "fundingRate": plain(row.rate),
                "fundingRateTimestamp": stamp(row.at),
            }
            for row in reversed(rows)
        ]
        return {"category": sheet.category, "list": listed}

    def price_limit(self, fields: Fields, at: int) -> Row:
        sheet = self.sheet(fields, usual="linear")
        highest, lowest = self._exchange.price_band(sheet.id)
        return {
            "symbol": sheet.symbol,
            "buyLmt": sheet.price(highest),
            "sellLmt": sheet.price(lowest),
            "ts": stamp(at),
        }

    def risk_limit(self, fields: Fields, at: int) -> Row:
        """Every bracket of position value (section 4.8)."""
        category = fields.category()
        sheets = [self.sheet(fields)] if "symbol" in fields else self._sheets.of(category)
        rows = [
            row
            for sheet in sheets
            if not sheet.spot
            for row in risk_rows(sheet, self._exchange.tiers(sheet.id))
        ]
        return {"category": category, "list": rows, "nextPageCursor": ""}

    def open_interest(self, fields: Fields, at: int) -> Row:
        """Only the present value: the exchange keeps no history of it."""
        sheet = self._derivative(fields)
        lots = self._exchange.ticker(sheet.id).open_interest_lots
        rows = [{"openInterest": sheet.count(lots), "timestamp": str(millis(at))}]
        return {
            "symbol": sheet.symbol,
            "category": sheet.category,
            "list": rows if lots > ZERO else [],
            "nextPageCursor": "",
        }

    def delivery_price(self, fields: Fields, at: int) -> Row:
        """What delisted contracts were settled at."""
        category = fields.category()
        rows = []
        for one in self._exchange.listings(category):
            symbol = one.instrument.symbol
            if one.status != "delisted" or fields.text("symbol", symbol) != symbol:
                continue
            rows.append(
                {
                    "symbol": symbol,
                    "deliveryPrice": plain(one.settle_price),
                    "deliveryTime": stamp(one.changed_at),
                }
            )
        return {"category": category, "list": rows, "nextPageCursor": ""}

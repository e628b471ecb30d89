"""Public REST of the futures host: contracts, books, tickers, trades, candles, mark, funding."""

from collections.abc import Callable
from decimal import Decimal

from oneprice.model.units import MILLI, SECOND, ZERO
from oneprice.twin.contract import Refusal
from oneprice.twin.dialects.kucoin import candles, names
from oneprice.twin.dialects.kucoin.books import WireBooks
from oneprice.twin.dialects.kucoin.envelope import Row, millis, number, parameter
from oneprice.twin.dialects.kucoin.facts import FUTURES, Call, Facts, Sheet, word_of
from oneprice.twin.dialects.kucoin.refusals import failure
from oneprice.twin.dialects.kucoin.routes import Route, public
from oneprice.twin.dialects.kucoin.tickers import Tickers, funding_symbol, index_symbol

TRADES = 100
FUNDING_ROWS = 100
MINUTE_MS = 60_000


class FuturesMarket:
    """Section 6, right column."""

    def __init__(
        self,
        facts: Facts,
        books: WireBooks,
        tickers: Tickers,
        spot_mark: Callable[[Sheet, int], Row],
    ) -> None:
        self._facts = facts
        self._exchange = facts.exchange
        self._books = books
        self._tickers = tickers
        self._spot_mark = spot_mark

    def routes(self) -> list[Route]:
        return [
            public("/api/v1/timestamp", lambda call: millis(call.at), 2),
            public("/api/v1/status", lambda call: {"status": "open", "msg": ""}, 4),
            public("/api/v1/contracts/active", self.contracts, 3),
            public("/api/v1/contracts/risk-limit/{symbol}", self.risk_limits, 5),
            public("/api/v1/contracts/{symbol}", self.contract, 3),
            public("/api/v1/ticker", self.ticker, 2),
            public("/api/v1/allTickers", self.all_tickers, 5),
            public("/api/v1/level2/snapshot", lambda call: self.book(call, 0), 3),
            public("/api/v1/level2/depth20", lambda call: self.book(call, 20), 5),
            public("/api/v1/level2/depth100", lambda call: self.book(call, 100), 5),
            public("/api/v1/trade/history", self.history, 5),
            public("/api/v1/kline/query", self.klines, 3),
            public("/api/v1/mark-price/{symbol}/current", self.mark, 3),
            public("/api/v1/index/query", self.index, 2),
            public("/api/v1/premium/query", self.premium, 3),
            public("/api/v1/interest/query", self.interest, 5),
            public("/api/v1/funding-rate/{symbol}/current", self.funding, 2),
            public("/api/v1/contract/funding-rates", self.funding_history, 5),
            public("/api/v1/trade-statistics", self.statistics, 3),
        ]

    def sheet(self, call: Call) -> Sheet:
        return self._facts.sheet(False, call.fields.need("symbol"))

    def contracts(self, call: Call) -> list[Row]:
        rows = [self._tickers.contract(sheet, call.at) for sheet in self._facts.of(FUTURES)]
        return [row for row in rows if row["status"] not in ("Settled", "Closed")]

    def contract(self, call: Call) -> Row:
        return self._tickers.contract(self.sheet(call), call.at)

    def risk_limits(self, call: Call) -> list[Row]:
        sheet = self.sheet(call)
        return [
            {
                "symbol": sheet.symbol,
                "level": tier.number,
                "maxRiskLimit": int(tier.value_to) or 10**12,
                "minRiskLimit": int(tier.value_from),
                "maxLeverage": int(tier.leverage_max),
                "initialMargin": number(tier.initial_rate, 6),
                "maintainMargin": tier.maintenance_rate,
            }
            for tier in self._exchange.tiers(sheet.id)
        ]

    def ticker(self, call: Call) -> Row:
        return self._tickers.futures(self.sheet(call), call.at)

    def all_tickers(self, call: Call) -> list[Row]:
        return [self._tickers.futures(sheet, call.at) for sheet in self._facts.of(FUTURES)]

    def book(self, call: Call, depth: int) -> Row:
        return self._books.of(self.sheet(call)).row(depth, call.at)

    def history(self, call: Call) -> list[Row]:
        """Newest first."""
        sheet = self.sheet(call)
        return [
            {
                "sequence": names.trade(False, trade.trade_id),
                "contractId": 1,
                "tradeId": str(names.trade(False, trade.trade_id)),
                "makerOrderId": names.stranger(False, sheet.id, trade.trade_id, "maker"),
                "takerOrderId": names.stranger(False, sheet.id, trade.trade_id, "taker"),
                "ts": trade.at,
                "size": sheet.quantity(trade.lots),
                "price": sheet.price(trade.ticks),
                "side": word_of(trade.side),
            }
            for trade in reversed(self._exchange.trades(sheet.id, TRADES))
        ]

    def klines(self, call: Call) -> list[list[Decimal | int]]:
        """Oldest first; times in ms."""
        sheet = self.sheet(call)
        minutes = call.fields.whole("granularity", 0, 1, 10_080)
        if minutes not in candles.GRANULARITIES:
            raise parameter(f"granularity invalid: {minutes}")
        start = call.fields.whole("from", 0, 0, 1 << 53) or None
        end = call.fields.whole("to", 0, 0, 1 << 53) or None
        if start is not None:  # the oldest rows of a range are answered, not the latest
            last = start + (candles.ROWS[False] - 1) * minutes * MINUTE_MS
            end = last if end is None else min(end, last)
        found = candles.found(self._exchange, sheet, minutes, (start, end))
        return [candles.futures_row(sheet, candle) for candle in found]

    def mark(self, call: Call) -> Row:
        """Of a contract; at the root also of a margin pair, which the symbol tells."""
        symbol = call.fields.need("symbol")
        sheet = self._facts.find(symbol)
        if sheet is not None and sheet.spot and not call.futures:
            return self._spot_mark(sheet, call.at)
        sheet = self._facts.sheet(False, symbol)
        ticker = self._exchange.ticker(sheet.id)
        return {
            "symbol": sheet.symbol,
            "granularity": 1000,
            "timePoint": call.at // SECOND * 1000,
            "value": sheet.quoted(ticker.mark),
            "indexPrice": sheet.quoted(ticker.index),
        }

    # Indices ---------------------------------------------------------------------------------

    def index(self, call: Call) -> Row:
        """The latest value and the minutes before, one constituent: the market's own index."""
        symbol = call.fields.need("symbol")
        sheet = self._of_index(symbol)
        rows = [
            {
                "symbol": symbol,
                "granularity": 1000,
                "timePoint": point,
                "value": sheet.quoted(value),
                "decomposionList": [
                    {"exchange": "kucoin", "price": sheet.quoted(value), "weight": 1}
                ],
            }
            for point, value in self._minutes(sheet, call, "index")
        ]
        return {"hasMore": False, "dataList": rows}

    def premium(self, call: Call) -> Row:
        """Mark against index by the minute, as a fraction."""
        symbol = call.fields.need("symbol")
        sheet = self._facts.find(symbol.removeprefix(".").removesuffix("PI"))
        if sheet is None or sheet.spot:
            raise failure(Refusal("no_such_instrument"), False)
        marks = dict(self._minutes(sheet, call, "mark"))
        rows = [
            {
                "symbol": symbol,
                "granularity": MINUTE_MS,
                "timePoint": point,
                "value": number((marks.get(point, value) - value) / value, 6),
            }
            for point, value in self._minutes(sheet, call, "index")
            if value
        ]
        return {"hasMore": False, "dataList": rows}

    def interest(self, call: Call) -> Row:
        symbol = call.fields.need("symbol")
        minute = call.at // (MINUTE_MS * MILLI) * MINUTE_MS
        value = Decimal("0.0003")  # a day, for every coin
        row = {"symbol": symbol, "granularity": MINUTE_MS, "timePoint": minute, "value": value}
        return {"dataList": [row], "hasMore": False}

    def _of_index(self, symbol: str) -> Sheet:
        for sheet in self._facts.of(FUTURES):
            if index_symbol(sheet) == symbol:
                return sheet
        raise failure(Refusal("no_such_instrument"), False)

    def _minutes(self, sheet: Sheet, call: Call, kind: str) -> list[tuple[int, Decimal]]:
        """Newest first: minute and closing value."""
        count = call.fields.whole("maxCount", 10, 1, 100)
        rows = self._exchange.candles(sheet.id, kind, MINUTE_MS, limit=count)
        return [(candle.start_ms, candle.close) for candle in reversed(rows)]

    # Funding ---------------------------------------------------------------------------------

    def funding(self, call: Call) -> Row:
        """`timePoint` is where the present period began, `fundingTime` its end (6.1)."""
        sheet = self._perpetual(call)
        ticker = self._exchange.ticker(sheet.id)
        interval, due = sheet.instrument.funding_interval_ms, ticker.funding_due // MILLI
        return {
            "symbol": funding_symbol(sheet),
            "granularity": interval,
            "timePoint": due - interval,
            "value": number(ticker.funding_rate),
            "predictedValue": number(ticker.funding_next),
            "fundingRateCap": number(sheet.extras.funding_cap),
            "fundingRateFloor": number(-sheet.extras.funding_cap),
            "period": 0,
            "fundingTime": due,
        }

    def funding_history(self, call: Call) -> list[Row]:
        """Newest first."""
        sheet = self._perpetual(call)
        start = call.fields.whole("from", 0, 0, 1 << 53)
        end = call.fields.whole("to", 1 << 53, 0, 1 << 53)
        rows = self._exchange.funding_rows(
            sheet.id, start=start * MILLI, end=end * MILLI, limit=FUNDING_ROWS
        )
        return [
            {
                "symbol": sheet.symbol,
                "fundingRate": number(row.rate),
                "timepoint": row.at // MILLI,
            }
            for row in reversed(rows)
        ]

    def statistics(self, call: Call) -> Row:
        turnover = ZERO
        for sheet in self._facts.of(FUTURES):
            if not sheet.inverse:
                turnover += self._exchange.ticker(sheet.id).turnover_24h
        return {"turnoverOf24h": number(turnover)}

    def _perpetual(self, call: Call) -> Sheet:
        """A contract with funding; asked for by its symbol or by that of its funding rate."""
        symbol = call.fields.need("symbol")
        for sheet in self._facts.of(FUTURES):
            if sheet.instrument.funding_interval_ms and symbol in (
                sheet.symbol,
                funding_symbol(sheet),
            ):
                return sheet
        raise failure(Refusal("no_such_instrument"), False)

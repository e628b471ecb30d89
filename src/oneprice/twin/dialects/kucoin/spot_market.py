"""Public REST of the spot host: symbols, books, tickers, trades, candles; the signed full book."""

from oneprice.twin.dialects.kucoin import candles, names
from oneprice.twin.dialects.kucoin.books import WireBooks
from oneprice.twin.dialects.kucoin.envelope import Row, millis, number, parameter
from oneprice.twin.dialects.kucoin.facts import SPOT, Call, Facts, Sheet, word_of
from oneprice.twin.dialects.kucoin.limits import PoolName
from oneprice.twin.dialects.kucoin.routes import Route, public
from oneprice.twin.dialects.kucoin.tickers import Tickers

TRADES = 100


class SpotMarket:
    """Section 6, left column."""

    def __init__(self, facts: Facts, books: WireBooks, tickers: Tickers) -> None:
        self._facts = facts
        self._exchange = facts.exchange
        self._books = books
        self._tickers = tickers

    def routes(self) -> list[Route]:
        level2 = "/api/v1/market/orderbook/level2"
        return [
            public("/api/v1/timestamp", lambda call: millis(call.at), 3),
            public("/api/v1/status", lambda call: {"status": "open", "msg": ""}, 3),
            public("/api/v2/symbols", self.symbols, 4),
            public("/api/v2/symbols/{symbol}", self.symbol, 4),
            public("/api/v1/symbols", self.symbols, 4),
            public("/api/v1/markets", lambda call: ["USDS"], 3),
            public("/api/v3/currencies", self.currencies, 3),
            public("/api/v3/currencies/{currency}", self.currency, 3),
            public("/api/v1/market/orderbook/level1", self.level1, 2),
            public(f"{level2}_20", lambda call: self.book(call, 20), 2),
            public(f"{level2}_100", lambda call: self.book(call, 100), 4),
            public("/api/v1/market/allTickers", self.all_tickers, 15),
            public("/api/v1/market/stats", self.stats, 15),
            public("/api/v1/market/histories", self.histories, 3),
            public("/api/v1/market/candles", self.klines, 3),
            public("/api/v1/my-ip", lambda call: "127.***.***.1", 2),
            public("/api/v3/margin/symbols", _no_margin, 3),
            public("/api/v1/isolated/symbols", lambda call: [], 3),
            Route(
                "GET",
                "/api/v3/market/orderbook/level2",
                lambda call: self.book(call, 0),
                PoolName.SPOT,
                3,
            ),
        ]

    def sheet(self, call: Call) -> Sheet:
        return self._facts.sheet(True, call.fields.need("symbol"))

    def symbols(self, call: Call) -> list[Row]:
        if call.fields.text("market", "USDS") != "USDS":
            return []
        return [self._tickers.symbol(sheet) for sheet in self._facts.of(SPOT)]

    def symbol(self, call: Call) -> Row:
        return self._tickers.symbol(self.sheet(call))

    def currencies(self, call: Call) -> list[Row]:
        coins: dict[str, None] = {}
        for sheet in self._facts.of(SPOT):
            coins |= {sheet.instrument.base: None, sheet.instrument.quote: None}
        return [_currency(coin) for coin in coins]

    def currency(self, call: Call) -> Row:
        for row in self.currencies(call):
            if row["currency"] == call.fields.need("currency"):
                return row
        raise parameter("currency not exists")

    def level1(self, call: Call) -> Row:
        return self._tickers.level1(self.sheet(call), call.at)

    def book(self, call: Call, depth: int) -> Row:
        return self._books.of(self.sheet(call)).row(depth, call.at)

    def all_tickers(self, call: Call) -> Row:
        sheets = self._facts.of(SPOT)
        rows = [self._tickers.all_row(sheet, call.at) for sheet in sheets]
        return {"time": millis(call.at), "ticker": rows}

    def stats(self, call: Call) -> Row:
        return self._tickers.stats(self.sheet(call), call.at)

    def mark(self, sheet: Sheet, at: int) -> Row:
        """The mark price of a margin pair: its index."""
        value = self._exchange.ticker(sheet.id).index
        return {
            "symbol": f"{sheet.instrument.quote}-{sheet.instrument.base}",
            "timePoint": millis(at),
            "value": number(value, 8),
        }

    def histories(self, call: Call) -> list[Row]:
        sheet = self.sheet(call)
        return [
            {
                "sequence": str(names.trade(True, trade.trade_id)),
                "price": sheet.price(trade.ticks),
                "size": sheet.size(trade.lots),
                "side": word_of(trade.side),
                "time": trade.at,
            }
            for trade in self._exchange.trades(sheet.id, TRADES)
        ]

    def klines(self, call: Call) -> list[list[str]]:
        """Newest first; times in seconds."""
        sheet = self.sheet(call)
        minutes = candles.TYPES[call.fields.choice("type", tuple(candles.TYPES))]
        start = call.fields.whole("startAt", 0, 0, 1 << 40)
        end = call.fields.whole("endAt", 0, 0, 1 << 40)
        span = (start * 1000 if start else None, end * 1000 - 1 if end else None)
        found = candles.found(self._exchange, sheet, minutes, span)
        return [candles.row(sheet, candle) for candle in reversed(found)]


def _currency(coin: str) -> Row:
    chain = {
        "chainName": coin,
        "withdrawalMinSize": "1",
        "depositMinSize": None,
        "withdrawFeeRate": "0",
        "withdrawalMinFee": "1",
        "isWithdrawEnabled": False,  # no money leaves a twin
        "isDepositEnabled": False,
        "confirms": 1,
        "preConfirms": 1,
        "contractAddress": "",
        "withdrawPrecision": 8,
        "maxWithdraw": None,
        "maxDeposit": None,
        "needTag": False,
        "chainId": coin.lower(),
    }
    return {
        "currency": coin,
        "name": coin,
        "fullName": coin,
        "precision": 8,
        "confirms": None,
        "contractAddress": None,
        "isMarginEnabled": False,
        "isDebitEnabled": False,
        "chains": [chain],
    }


def _no_margin(call: Call) -> Row:
    return {"timestamp": millis(call.at), "items": []}

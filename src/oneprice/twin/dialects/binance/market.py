"""Market data calls that spot, USD-M and COIN-M share, each in its own shape."""

import re
from decimal import Decimal
from typing import Any

from oneprice.model.instrument import Instrument
from oneprice.model.units import Side
from oneprice.twin.contract import Candle, Exchange, Refusal, Ticker, Traded
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.shapes import (
    Catalog,
    Grid,
    digits,
    fixed,
    millis,
    pair_of,
    quotient,
)
from oneprice.twin.dialects.binance.topics import INTERVALS_MS

_SYMBOLS = re.compile(r'\[("[^"\s]{1,40}"(,"[^"\s]{1,40}")*)\]')
FUTURES_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
# One wire id of a derivative's book is this many times the exchange's sequence, so that ids
# jump between one event's `u` and the next one's `U`, as the venue's do.
FUTURES_STRIDE = 3


def wire_id(exchange: Exchange, product: str, sequence: int) -> int:
    """The update id a client sees; a taped market keeps the recorded ids."""
    if product == "spot" or exchange.setup.taped:
        return sequence
    return sequence * FUTURES_STRIDE


class MarketDesk:
    """Answers public questions about instruments of one exchange."""

    def __init__(self, exchange: Exchange, catalog: Catalog) -> None:
        self.exchange = exchange
        self.catalog = catalog

    def find(self, call: Call, name: str = "symbol") -> Instrument:
        """The instrument a call names; raises -1102 or -1121."""
        return self.lookup(call.product, call.need(name))

    def lookup(self, product: str, symbol: str) -> Instrument:
        try:
            return self.exchange.listing(product, symbol).instrument
        except Refusal:
            raise denials.symbol() from None

    def chosen(self, call: Call) -> tuple[list[Instrument], bool]:
        """Instruments named by `symbol`, `symbols`, or all, and whether one bare row answers.

        COIN-M answers with a list even where one symbol was named (docs of `/dapi/v1/ticker`).
        """
        if call.text("symbol") and call.text("symbols"):
            raise Denied(-1128, "Combination of optional parameters invalid.")
        if call.text("symbol"):
            return [self.find(call)], call.product != "coinm"
        every = [row.instrument for row in self.exchange.listings(call.product)]
        if not call.text("symbols"):
            return every, False
        if not _SYMBOLS.fullmatch(call.text("symbols")):
            raise Denied(-1100, "Illegal characters found in parameter 'symbols'.")
        names = call.text("symbols").strip("[]").replace('"', "").split(",")
        return [self.lookup(call.product, name) for name in names], False

    def depth(self, call: Call) -> dict[str, Any]:
        instrument = self.find(call)
        if call.product == "spot":
            limit = call.window(100, 5_000)
        else:
            limit = call.integer("limit", 500)
            if limit not in FUTURES_DEPTHS:
                raise Denied(-4021, f"{limit} is not valid depth limit.")
        view = self.exchange.book(instrument.id, limit)
        grid = self.catalog.grid(instrument.id)
        head: dict[str, Any] = {
            "lastUpdateId": wire_id(self.exchange, call.product, view.sequence)
        }
        if call.product != "spot":
            head |= {"E": call.now_ms, "T": millis(view.at)}
        if call.product == "coinm":
            head |= {"symbol": instrument.symbol, "pair": pair_of(instrument)}
        bids, asks = grid.levels(view.bids, limit), grid.levels(view.asks, limit)
        return head | {"bids": bids, "asks": asks}

    def trades(self, call: Call) -> list[dict[str, Any]]:
        instrument = self.find(call)
        grid = self.catalog.grid(instrument.id)
        rows = self.exchange.trades(instrument.id, call.window(500, 1_000))
        return [self._trade(row, instrument, grid) for row in rows]

    def _trade(self, row: Traded, instrument: Instrument, grid: Grid) -> dict[str, Any]:
        quote = instrument.notional(row.ticks, row.lots)
        shape: dict[str, Any] = {
            "id": row.trade_id,
            "price": grid.price(row.ticks),
            "qty": grid.size(row.lots),
        }
        if instrument.market == "coinm":
            shape["baseQty"] = fixed(instrument.base_size(row.ticks, row.lots))
        else:
            shape["quoteQty"] = fixed(quote, 8 if instrument.market == "spot" else 2)
        shape |= {"time": millis(row.at), "isBuyerMaker": row.side is Side.SELL}
        return shape | ({"isBestMatch": True} if instrument.market == "spot" else {})

    def agg_trades(self, call: Call) -> list[dict[str, Any]]:
        """Every trade is an aggregate of its own: `a`, `f` and `l` are the trade id."""
        instrument = self.find(call)
        grid = self.catalog.grid(instrument.id)
        first = call.integer("fromId", -1)
        start, end = call.integer("startTime", 0), call.integer("endTime", 0)
        limit = call.window(500, 1_000)
        rows = [
            row
            for row in self.exchange.trades(instrument.id, 1_000)
            if row.trade_id >= first
            and millis(row.at) >= start
            and (not end or millis(row.at) <= end)
        ]
        chosen = rows[:limit] if first >= 0 or start else rows[-limit:]
        return [
            {
                "a": row.trade_id,
                "p": grid.price(row.ticks),
                "q": grid.size(row.lots),
                "f": row.trade_id,
                "l": row.trade_id,
                "T": millis(row.at),
                "m": row.side is Side.SELL,
            }
            | ({"M": True} if call.product == "spot" else {})
            for row in chosen
        ]

    # Candles -----------------------------------------------------------------------------

    def klines(self, call: Call, kind: str = "trade") -> list[list[Any]]:
        """Bars of trades or of mark, index or premium prices."""
        instrument = self._by_pair(call) if kind == "index" else self.find(call)
        interval = INTERVALS_MS.get(call.need("interval"), 0)
        if interval < 60_000:
            raise Denied(-1120, "Invalid interval.")
        limit = call.window(500, 1_000 if call.product == "spot" else 1_500)
        if kind == "premium":
            return self._premium(call, instrument, interval, limit)
        return [
            self.kline_row(instrument, row, kind)
            for row in self._candles(call, instrument, kind, interval, limit)
        ]

    def _candles(
        self, call: Call, instrument: Instrument, kind: str, interval: int, limit: int
    ) -> list[Candle]:
        start = call.integer("startTime", -1)
        end = call.integer("endTime", -1)
        if start >= 0:  # a start alone means: from there on, not the latest
            last = start + interval * limit - 1
            end = last if end < 0 else min(end, last)
        return self.exchange.candles(
            instrument.id,
            kind,
            interval,
            start_ms=start if start >= 0 else None,
            end_ms=end if end >= 0 else None,
            limit=limit,
        )

    def _premium(
        self, call: Call, instrument: Instrument, interval: int, limit: int
    ) -> list[list[Any]]:
        marks = self._candles(call, instrument, "mark", interval, limit)
        index = {
            row.start_ms: row for row in self._candles(call, instrument, "index", interval, limit)
        }
        rows = []
        for mark in marks:
            base = index.get(mark.start_ms)
            if base is None:
                continue
            prices = [
                fixed(quotient(one - other, other))
                for one, other in (
                    (mark.open, base.open),
                    (mark.high, base.high),
                    (mark.low, base.low),
                    (mark.close, base.close),
                )
            ]
            rows.append(
                [mark.start_ms, *prices, "0", mark.start_ms + interval - 1, "0", 12, "0", "0", "0"]
            )
        return rows

    def _by_pair(self, call: Call) -> Instrument:
        pair = call.need("pair")
        for row in self.exchange.listings(call.product):
            if pair_of(row.instrument) == pair:
                return row.instrument
        raise Denied(-1121, "Invalid pair.")

    def kline_row(self, instrument: Instrument, row: Candle, kind: str) -> list[Any]:
        places = digits(instrument.tick) if kind == "trade" else 8
        if instrument.market == "spot":
            places = 8
        grid = self.catalog.grid(instrument.id)
        prices = [fixed(price, places) for price in (row.open, row.high, row.low, row.close)]
        volume = grid.size(row.volume_lots) if kind == "trade" else "0"
        taker = grid.size(row.taker_buy_lots) if kind == "trade" else "0"
        taker_value = quotient(row.turnover * row.taker_buy_lots, Decimal(row.volume_lots))
        return [
            row.start_ms,
            *prices,
            volume,
            row.start_ms + row.interval_ms - 1,
            fixed(row.turnover) if kind == "trade" else "0",
            row.trades,
            taker,
            fixed(taker_value) if kind == "trade" else "0",
            "0",
        ]

    # Tickers -----------------------------------------------------------------------------

    def book_ticker(self, call: Call) -> Any:
        chosen, one = self.chosen(call)
        rows = [self._book_ticker(call, instrument) for instrument in chosen]
        return rows[0] if one else rows

    def _book_ticker(self, call: Call, instrument: Instrument) -> dict[str, Any]:
        view = self.exchange.book(instrument.id, 1)
        grid = self.catalog.grid(instrument.id)
        bid = view.bids[0] if view.bids else (0, 0)
        ask = view.asks[0] if view.asks else (0, 0)
        row: dict[str, Any] = {"symbol": instrument.symbol}
        if call.product == "coinm":
            row["pair"] = pair_of(instrument)
        row |= {
            "bidPrice": grid.price(bid[0]),
            "bidQty": grid.size(bid[1]),
            "askPrice": grid.price(ask[0]),
            "askQty": grid.size(ask[1]),
        }
        if call.product == "spot":
            return row
        last = wire_id(self.exchange, call.product, view.sequence)
        return row | {"time": millis(view.at), "lastUpdateId": last}

    def price(self, call: Call) -> Any:
        chosen, one = self.chosen(call)
        rows = []
        for instrument in chosen:
            ticker = self.exchange.ticker(instrument.id)
            row: dict[str, Any] = {
                "symbol": instrument.symbol,
                "price": self.catalog.grid(instrument.id).price(ticker.last_ticks),
            }
            if call.product == "coinm":
                row["ps"] = pair_of(instrument)
            rows.append(row if call.product == "spot" else row | {"time": millis(ticker.at)})
        return rows[0] if one else rows

    def average_price(self, call: Call) -> dict[str, Any]:
        instrument = self.find(call)
        ticker = self.exchange.ticker(instrument.id)
        price = self.catalog.grid(instrument.id).price(ticker.last_ticks)
        return {"mins": 5, "price": price, "closeTime": millis(ticker.at)}

    def day(self, call: Call) -> Any:
        """The 24 hour statistics."""
        chosen, one = self.chosen(call)
        rows = [self._day(instrument, call) for instrument in chosen]
        return rows[0] if one else rows

    def _day(self, instrument: Instrument, call: Call) -> dict[str, Any]:
        ticker = self.exchange.ticker(instrument.id)
        grid = self.catalog.grid(instrument.id)
        row: dict[str, Any] = {"symbol": instrument.symbol}
        if instrument.market == "coinm":
            row["pair"] = pair_of(instrument)
        row |= day_prices(ticker, grid, instrument)
        if call.product == "spot":
            row |= {
                "prevClosePrice": grid.price(ticker.open_24h_ticks),
                "bidPrice": grid.price(ticker.bid_ticks),
                "bidQty": grid.size(ticker.bid_lots),
                "askPrice": grid.price(ticker.ask_ticks),
                "askQty": grid.size(ticker.ask_lots),
            }
        newest = self.exchange.trades(instrument.id, 1)
        last_id = newest[-1].trade_id if newest else -1
        return row | {
            "openTime": call.now_ms - 86_400_000,
            "closeTime": call.now_ms,
            "firstId": max(-1, last_id - ticker.trades_24h + 1),
            "lastId": last_id,
            "count": ticker.trades_24h,
        }


def day_prices(ticker: Ticker, grid: Grid, instrument: Instrument) -> dict[str, Any]:
    """Price and volume fields that REST and nothing else spells in full words."""
    change = ticker.last_ticks - ticker.open_24h_ticks
    percent = quotient(Decimal(100 * change), Decimal(ticker.open_24h_ticks))
    average = weighted_average(ticker, instrument)
    volume = "baseVolume" if instrument.market == "coinm" else "quoteVolume"
    return {
        "priceChange": grid.price(change),
        "priceChangePercent": fixed(percent, 3),
        "weightedAvgPrice": fixed(average, grid.price_places),
        "lastPrice": grid.price(ticker.last_ticks),
        "lastQty": grid.size(1),
        "openPrice": grid.price(ticker.open_24h_ticks),
        "highPrice": grid.price(ticker.high_24h_ticks),
        "lowPrice": grid.price(ticker.low_24h_ticks),
        "volume": grid.size(ticker.volume_24h_lots),
        volume: fixed(ticker.turnover_24h, 8 if instrument.market != "usdm" else 2),
    }


def weighted_average(ticker: Ticker, instrument: Instrument) -> Decimal:
    size = instrument.size(ticker.volume_24h_lots)
    if instrument.market == "coinm":
        return quotient(size * instrument.contract_value, ticker.turnover_24h)
    return quotient(ticker.turnover_24h, size)

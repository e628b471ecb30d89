"""Tickers, day figures and contract rows, for REST and for the streams."""

from decimal import Decimal

from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, ZERO
from oneprice.twin.contract import Exchange, Ticker
from oneprice.twin.dialects.kucoin import names
from oneprice.twin.dialects.kucoin.books import WireBooks
from oneprice.twin.dialects.kucoin.envelope import Row, amount, millis, number
from oneprice.twin.dialects.kucoin.facts import QUOTE_INCREMENT, Facts, Sheet, word_of

STATUS = {"trading": "Open", "paused": "Paused", "settling": "BeingSettled", "delisted": "Closed"}


class Tickers:
    """Rows about the present state of an instrument."""

    def __init__(self, facts: Facts, books: WireBooks) -> None:
        self._facts = facts
        self._exchange: Exchange = facts.exchange
        self._books = books

    # Spot ------------------------------------------------------------------------------------

    def level1(self, sheet: Sheet, at: int) -> Row:
        """`/api/v1/market/orderbook/level1` and `/market/ticker`."""
        bids, asks = self._books.of(sheet).sides(1)
        last = self._exchange.trades(sheet.id, 1)
        return {
            "time": millis(at),
            "sequence": str(self._books.of(sheet).sequence),
            "price": sheet.price(last[-1].ticks) if last else "0",
            "size": sheet.size(last[-1].lots) if last else "0",
            "bestBid": sheet.price(bids[0][0]) if bids else "0",
            "bestBidSize": sheet.size(bids[0][1]) if bids else "0",
            "bestAsk": sheet.price(asks[0][0]) if asks else "0",
            "bestAskSize": sheet.size(asks[0][1]) if asks else "0",
        }

    def day(self, sheet: Sheet) -> Row:
        """24 hours of a spot symbol; change is a fraction."""
        ticker = self._exchange.ticker(sheet.id)
        change = ticker.last_ticks - ticker.open_24h_ticks
        rate = Decimal(change) / ticker.open_24h_ticks if ticker.open_24h_ticks else ZERO
        volume = sheet.instrument.size(ticker.volume_24h_lots)
        average = ticker.turnover_24h / volume if volume else ZERO
        return {
            "buy": sheet.price(ticker.bid_ticks),
            "sell": sheet.price(ticker.ask_ticks),
            "changeRate": amount(rate, 4),
            "changePrice": sheet.price(change),
            "high": sheet.price(ticker.high_24h_ticks),
            "low": sheet.price(ticker.low_24h_ticks),
            "vol": sheet.size(ticker.volume_24h_lots),
            "volValue": amount(ticker.turnover_24h),
            "last": sheet.price(ticker.last_ticks),
            "averagePrice": amount(average, 8),
            "takerFeeRate": amount(sheet.extras.taker_fee),
            "makerFeeRate": amount(sheet.extras.maker_fee),
            "takerCoefficient": "1",
            "makerCoefficient": "1",
        }

    def stats(self, sheet: Sheet, at: int) -> Row:
        return {"time": millis(at), "symbol": sheet.symbol} | self.day(sheet)

    def all_row(self, sheet: Sheet, at: int) -> Row:
        """One row of allTickers."""
        top = self.level1(sheet, at)
        sizes = {"bestBidSize": top["bestBidSize"], "bestAskSize": top["bestAskSize"]}
        return {"symbol": sheet.symbol, "symbolName": sheet.symbol} | sizes | self.day(sheet)

    def snapshot(self, sheet: Sheet, at: int) -> Row:
        """`/market/snapshot`: mostly numbers where REST has text."""
        ticker = self._exchange.ticker(sheet.id)
        price = sheet.instrument.price
        day = self.day(sheet)
        figures = {
            "changePrice": Decimal(day["changePrice"]),
            "changeRate": Decimal(day["changeRate"]),
            "high": price(ticker.high_24h_ticks),
            "low": price(ticker.low_24h_ticks),
            "open": price(ticker.open_24h_ticks),
            "vol": Decimal(day["vol"]),
            "volValue": Decimal(day["volValue"]),
        }
        return {
            "sequence": str(self._books.of(sheet).sequence),
            "data": {
                "askSize": sheet.instrument.size(ticker.ask_lots),
                "averagePrice": Decimal(day["averagePrice"]),
                "baseCurrency": sheet.instrument.base,
                "bidSize": sheet.instrument.size(ticker.bid_lots),
                "board": 1,
                "buy": price(ticker.bid_ticks),
                **figures,
                "close": price(ticker.last_ticks),
                "datetime": millis(at),
                "lastTradedPrice": price(ticker.last_ticks),
                "makerCoefficient": 1,
                "makerFeeRate": sheet.extras.maker_fee,
                "marginTrade": False,
                "mark": 0,
                "market": "USDS",
                "marketChange24h": figures,
                "markets": ["USDS"],
                "quoteCurrency": sheet.instrument.quote,
                "sell": price(ticker.ask_ticks),
                "sort": 100,
                "symbol": sheet.symbol,
                "symbolCode": sheet.symbol,
                "takerCoefficient": 1,
                "takerFeeRate": sheet.extras.taker_fee,
                "trading": self._facts.status(sheet) == "trading",
            },
        }

    # Futures ---------------------------------------------------------------------------------

    def futures(self, sheet: Sheet, at: int) -> Row:
        """`/api/v1/ticker` and `/contractMarket/ticker`: the last trade and the touch."""
        last = self._exchange.trades(sheet.id, 1)
        row = self.touch(sheet, at) | {"side": "buy", "size": 0, "tradeId": "", "price": "0"}
        if last:
            row |= {
                "side": word_of(last[-1].side),
                "size": sheet.quantity(last[-1].lots),
                "tradeId": str(names.trade(False, last[-1].trade_id)),
                "price": sheet.price(last[-1].ticks),
                "ts": last[-1].at,
            }
        return row

    def touch(self, sheet: Sheet, at: int) -> Row:
        """`/contractMarket/tickerV2`."""
        book = self._books.of(sheet)
        bids, asks = book.sides(1)
        return {
            "symbol": sheet.symbol,
            "sequence": book.sequence,
            "bestBidSize": sheet.quantity(bids[0][1]) if bids else 0,
            "bestBidPrice": sheet.price(bids[0][0]) if bids else "0",
            "bestAskPrice": sheet.price(asks[0][0]) if asks else "0",
            "bestAskSize": sheet.quantity(asks[0][1]) if asks else 0,
            "ts": at,
        }

    def futures_day(self, sheet: Sheet, at: int) -> Row:
        """`/contractMarket/snapshot`."""
        ticker = self._exchange.ticker(sheet.id)
        price = sheet.instrument.price
        return {
            "highPrice": price(ticker.high_24h_ticks),
            "lastPrice": price(ticker.last_ticks),
            "lowPrice": price(ticker.low_24h_ticks),
            "price24HoursBefore": price(ticker.open_24h_ticks),
            **_change(sheet.instrument, ticker),
            "symbol": sheet.symbol,
            "ts": at,
            "turnover": number(ticker.turnover_24h),
            "volume": _base_volume(sheet.instrument, ticker),
        }

    def contract(self, sheet: Sheet, at: int) -> Row:
        """A row of contracts/active."""
        return {
            **_contract_grid(sheet),
            **self._contract_end(sheet),
            **self._contract_terms(sheet),
            **self._contract_funding(sheet, at),
            **self._contract_market(sheet),
        }

    def _contract_end(self, sheet: Sheet) -> Row:
        """A perpetual has one once its delisting is announced."""
        listing = self._facts.exchange.listing(sheet.instrument.market, sheet.symbol)
        ends = listing.delisting_at or sheet.instrument.expiry
        expiry = ends // MILLI if ends else None
        return {"expireDate": expiry, "settleDate": expiry}

    def _contract_terms(self, sheet: Sheet) -> Row:
        """Margins and fees; the lowest risk tier stands for all."""
        extras = sheet.extras
        first = self._exchange.tiers(sheet.id)[0]
        return {
            "initialMargin": number(first.initial_rate, 6),
            "maintainMargin": first.maintenance_rate,
            "maxRiskLimit": int(first.value_to),
            "minRiskLimit": int(first.value_to),
            "riskStep": int(first.value_to) // 2,
            "makerFeeRate": extras.maker_fee,
            "takerFeeRate": extras.taker_fee,
            "takerFixFee": 0,
            "makerFixFee": 0,
            "settlementFee": None,
            "maxLeverage": int(extras.leverage_max),
            "k": 490,
            "m": 300,
            "f": Decimal("1.3"),
            "mmrLimit": Decimal("0.3"),
            "mmrLevConstant": int(extras.leverage_max),
            "supportCross": True,
            "status": STATUS[self._facts.status(sheet)],
        }

    def _contract_funding(self, sheet: Sheet, at: int) -> Row:
        """`nextFundingRateTime` is the time that is left (5.2); dated contracts have none."""
        ticker, grid, cap = self._exchange.ticker(sheet.id), sheet.instrument, sheet.extras
        interval = grid.funding_interval_ms
        hours = interval // 3_600_000
        row: Row = {
            "fairMethod": "FundingRate",
            "fundingBaseSymbol": f".{grid.base}INT8H",
            "fundingQuoteSymbol": f".{grid.quote}INT8H",
            "fundingRateSymbol": funding_symbol(sheet),
            "fundingFeeRate": number(ticker.funding_rate),
            "predictedFundingFeeRate": number(ticker.funding_next),
            "fundingRateGranularity": interval,
            "currentFundingRateGranularity": interval,
            "fundingRateCap": number(cap.funding_cap),
            "fundingRateFloor": number(-cap.funding_cap),
            "nextFundingRateTime": max(0, ticker.funding_due - at) // MILLI,
            "nextFundingRateDateTime": ticker.funding_due // MILLI,
            "premiumsSymbol8H": f".{sheet.symbol}PI{hours}H",
            "fundingBaseSymbol1M": f".{grid.base}INT",
            "fundingQuoteSymbol1M": f".{grid.quote}INT",
        }
        return row if interval else dict.fromkeys(row)

    def _contract_market(self, sheet: Sheet) -> Row:
        ticker, grid = self._exchange.ticker(sheet.id), sheet.instrument
        highest, lowest = self._exchange.price_band(sheet.id)
        return {
            "openInterest": sheet.size(ticker.open_interest_lots),
            "turnoverOf24h": number(ticker.turnover_24h),
            "volumeOf24h": _base_volume(grid, ticker),
            "markPrice": sheet.quoted(ticker.mark),
            "indexPrice": sheet.quoted(ticker.index),
            "lastTradePrice": grid.price(ticker.last_ticks),
            "lowPrice": grid.price(ticker.low_24h_ticks),
            "highPrice": grid.price(ticker.high_24h_ticks),
            **_change(grid, ticker),
            "buyLimit": grid.price(highest),
            "sellLimit": grid.price(lowest),
        }

    def symbol(self, sheet: Sheet) -> Row:
        """A row of `/api/v2/symbols`."""
        grid, extras = sheet.instrument, sheet.extras
        return {
            "symbol": sheet.symbol,
            "name": sheet.symbol,
            "baseCurrency": grid.base,
            "quoteCurrency": grid.quote,
            "feeCurrency": grid.quote,
            "market": "USDS",
            "baseMinSize": sheet.size(grid.lots_min),
            "quoteMinSize": amount(grid.notional_min),
            "baseMaxSize": sheet.size(grid.lots_max),
            "quoteMaxSize": "99999999",
            "baseIncrement": amount(grid.lot),
            "quoteIncrement": amount(QUOTE_INCREMENT),
            "priceIncrement": amount(grid.tick),
            "priceLimitRate": amount(extras.band),
            "minFunds": amount(grid.notional_min),
            "isMarginEnabled": False,
            "enableTrading": self._facts.status(sheet) == "trading",
            "feeCategory": 1,
            "makerFeeCoefficient": "1.00",
            "takerFeeCoefficient": "1.00",
            "st": False,
            "callauctionIsEnabled": False,
            "callauctionPriceFloor": None,
            "callauctionPriceCeiling": None,
            "callauctionFirstStageStartTime": None,
            "callauctionSecondStageStartTime": None,
            "callauctionThirdStageStartTime": None,
            "tradingStartTime": None,
        }


def _contract_grid(sheet: Sheet) -> Row:
    """What never changes; `isQuanto` is true even for plain USDT contracts."""
    grid = sheet.instrument
    return {
        "symbol": sheet.symbol,
        "rootSymbol": grid.settle,
        "type": "FFICSX" if sheet.dated else "FFWCSX",
        "firstOpenDate": sheet.extras.listed_ms,
        "baseCurrency": grid.base,
        "quoteCurrency": grid.quote,
        "settleCurrency": grid.settle,
        "maxOrderQty": int(grid.size(grid.lots_max)),
        "maxPrice": grid.price_max,
        "lotSize": int(grid.lot),
        "tickSize": grid.tick,
        "indexPriceTickSize": grid.tick / 10,
        "multiplier": sheet.multiplier,
        "isDeleverage": True,
        "isQuanto": not sheet.inverse,
        "isInverse": sheet.inverse,
        "markMethod": "FairPrice",
        "indexSymbol": index_symbol(sheet),
        "settlementSymbol": "",
        "sourceExchanges": ["okex", "binance", "kucoin", "bybit", "bitmart", "gateio"],
        "premiumsSymbol1M": f".{sheet.symbol}PI",
    }


def funding_symbol(sheet: Sheet) -> str:
    return f".{sheet.symbol}FPI{sheet.instrument.funding_interval_ms // 3_600_000}H"


def index_symbol(sheet: Sheet) -> str:
    """`.KXBTUSDT` for linear contracts, `.BXBT` for inverse ones."""
    grid = sheet.instrument
    return f".B{grid.base}" if sheet.inverse else f".K{grid.base}{grid.quote}"


def _change(grid: Instrument, ticker: Ticker) -> Row:
    change = ticker.last_ticks - ticker.open_24h_ticks
    rate = Decimal(change) / ticker.open_24h_ticks if ticker.open_24h_ticks else ZERO
    return {"priceChg": grid.price(change), "priceChgPct": number(rate, 4)}


def _base_volume(grid: Instrument, ticker: Ticker) -> Decimal:
    """Volume of a day in coins; for inverse contracts the turnover is that."""
    if grid.payoff.value == "inverse":
        return number(ticker.turnover_24h, 8)
    return number(grid.size(ticker.volume_24h_lots) * grid.contract_value, 8)

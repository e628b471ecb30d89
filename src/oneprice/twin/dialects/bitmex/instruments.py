"""Rows of the instrument table: what stays for ever and what moves with the market."""

from decimal import ROUND_HALF_EVEN, Decimal

from oneprice.model.units import HOUR, MILLI, ROUNDED, ZERO
from oneprice.twin.contract import Exchange, Ticker
from oneprice.twin.dialects.bitmex.envelope import Row, iso, lean, number, span
from oneprice.twin.dialects.bitmex.facts import Sheet, Sheets
from oneprice.twin.dialects.bitmex.trade_rows import TradeRows

LISTED = "2016-05-13T12:00:00.000Z"
IMPACT_VALUE = Decimal(10)  # XBT; impact prices are those of an order of this worth
YEAR_RATES = 3 * 365  # of 8 h: fairBasisRate is annualised
_PERPETUAL, _FUTURE = "FFWCSX", "FFCCSX"


class Instruments:
    """Builds rows; the moving part is also what the stream compares."""

    def __init__(self, exchange: Exchange, sheets: Sheets, trades: TradeRows) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._trades = trades

    def row(self, sheet: Sheet, at: int) -> Row:
        return self._fixed(sheet) | self.moving(sheet, at)

    def stream_row(self, sheet: Sheet, at: int) -> Row:
        return lean(self.row(sheet, at))

    def index_row(self, symbol: str, sheet: Sheet, at: int) -> Row:
        """An index: a symbol with a dot in front, without a book."""
        price = number(sheet.ticker().index)
        return {
            "symbol": symbol,
            "rootSymbol": sheet.root,
            "state": "Unlisted",
            "typ": "MRCXXX",
            "underlying": sheet.root,
            "quoteCurrency": sheet.instrument.quote,
            "reference": "BMI",
            "tickSize": number(sheet.instrument.tick),
            "lastPrice": price,
            "markPrice": price,
            "timestamp": iso(at),
        }

    def _fixed(self, sheet: Sheet) -> Row:
        instrument, extras = sheet.instrument, sheet.extras
        interval = instrument.funding_interval_ms
        hours = f"{interval * MILLI // HOUR}H"
        listing = self._exchange.listing(instrument.market, sheet.symbol)
        ends = listing.delisting_at or instrument.expiry
        expiry = iso(ends) if ends else None
        root, quote = sheet.root, instrument.quote
        risk = self._exchange.tiers(sheet.id)[0].value_to
        return {
            "symbol": sheet.symbol,
            "rootSymbol": root,
            "typ": _FUTURE if sheet.dated else _PERPETUAL,
            "listing": LISTED,
            "front": LISTED,
            "expiry": expiry,
            "settle": expiry,
            "listedSettle": expiry,
            "positionCurrency": quote if sheet.inverse else "" if sheet.quanto else root,
            "underlying": root,
            "quoteCurrency": quote,
            "underlyingSymbol": f"{root}{'T' if quote == 'USDT' else ''}=",
            "reference": "BMEX",
            "referenceSymbol": sheet.reference,
            "maxOrderQty": sheet.contracts(instrument.lots_max),
            "maxPrice": number(instrument.price_max),
            "lotSize": sheet.lot_size,
            "tickSize": number(instrument.tick),
            "multiplier": sheet.multiplier,
            "settlCurrency": sheet.currency,
            **_multipliers(sheet),
            "instantPnl": False,
            "isQuanto": sheet.quanto,
            "isInverse": sheet.inverse,
            "initMargin": number(ROUNDED.divide(Decimal(1), extras.leverage_max)),
            "maintMargin": number(extras.maintenance_rate),
            "riskLimit": int(risk.scaleb(sheet.scale)),
            "riskStep": int(risk.scaleb(sheet.scale)),
            "limit": None,
            "capped": False,
            "taxed": True,
            "deleverage": True,
            "makerFee": number(extras.maker_fee),
            "takerFee": number(extras.taker_fee),
            "settlementFee": 0,
            "insuranceFee": 0,
            "fundingBaseSymbol": f".{root}BON{hours}" if interval else "",
            "fundingQuoteSymbol": f".{quote}BON{hours}" if interval else "",
            "fundingPremiumSymbol": f".{sheet.symbol}PI{hours}" if interval else "",
            "fundingInterval": span(interval) if interval else None,
            "sessionInterval": span(HOUR // MILLI),
        }

    # What moves -------------------------------------------------------------------------------

    def moving(self, sheet: Sheet, at: int) -> Row:
        ticker = sheet.ticker()
        listing = self._exchange.listing(sheet.instrument.market, sheet.symbol)
        settled = listing.settle_price if listing.status == "delisted" else ZERO
        hour = at // HOUR * HOUR
        return {
            "symbol": sheet.symbol,
            "state": sheet.state,
            "openingTimestamp": iso(hour),
            "closingTimestamp": iso(hour + HOUR),
            **self._prices(sheet, ticker),
            **self._day(sheet, ticker),
            **_mark(sheet, ticker),
            **_funding(ticker),
            "openInterest": sheet.contracts(ticker.open_interest_lots),
            "openValue": abs(
                sheet.value(ticker.mark, sheet.contracts(ticker.open_interest_lots))
            ),
            "settledPrice": number(settled) if settled else None,
            "timestamp": iso(at),
        }

    def _prices(self, sheet: Sheet, ticker: Ticker) -> Row:
        bid, ask = ticker.bid_ticks, ticker.ask_ticks
        middle = sheet.instrument.tick * (bid + ask) / 2 if bid and ask else None
        buy, sell = self._impact(sheet, -1), self._impact(sheet, 1)
        last = sheet.price(ticker.last_ticks) if ticker.last_ticks else None
        return {
            "lastPrice": last,
            "lastPriceProtected": last,
            "lastTickDirection": self._trades.direction(sheet.id),
            "bidPrice": sheet.price(bid) if bid else None,
            "midPrice": number(middle) if middle is not None else None,
            "askPrice": sheet.price(ask) if ask else None,
            "impactBidPrice": buy,
            "impactMidPrice": number((buy + sell) / 2) if buy and sell else None,
            "impactAskPrice": sell,
            "hasLiquidity": bool(bid and ask),
        }

    def _impact(self, sheet: Sheet, side: int) -> Decimal | None:
        """Average price of selling into the bids (-1) or buying from the asks (1)."""
        view = self._exchange.book(sheet.id, 25)
        wanted = IMPACT_VALUE.scaleb(sheet.scale)
        if sheet.instrument.settle.startswith("USD"):
            wanted *= sheet.ticker().mark or 1
        size = total = worth = ZERO
        for ticks, lots in view.asks if side > 0 else view.bids:
            price = sheet.instrument.price(ticks)
            value = abs(sheet.value(price, sheet.contracts(lots)))
            share = min(Decimal(1), ROUNDED.divide(wanted - worth, Decimal(value)))
            size += share * lots
            total += share * lots * price
            worth += share * value
            if worth >= wanted:
                break
        return sheet.fine(ROUNDED.divide(total, size)) if size else None

    def _day(self, sheet: Sheet, ticker: Ticker) -> Row:
        volume = sheet.contracts(ticker.volume_24h_lots)
        turnover = int(ticker.turnover_24h.scaleb(sheet.scale).to_integral_value())
        last, opened = ticker.last_ticks, ticker.open_24h_ticks
        mean = _mean(sheet, ticker)
        home, foreign = _day_notionals(sheet, volume, turnover, mean)
        change = Decimal(last - opened) / opened if opened else ZERO
        return {
            "prevPrice24h": sheet.price(opened) if opened else None,
            "lastChangePcnt": number(change.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)),
            "volume": volume,
            "volume24h": volume,
            "totalVolume": volume,
            "turnover": turnover,
            "turnover24h": turnover,
            "totalTurnover": turnover,
            "homeNotional24h": home,
            "foreignNotional24h": foreign,
            "vwap": mean or None,
            "highPrice": sheet.price(ticker.high_24h_ticks) if ticker.high_24h_ticks else None,
            "lowPrice": sheet.price(ticker.low_24h_ticks) if ticker.low_24h_ticks else None,
        }


def _mean(sheet: Sheet, ticker: Ticker) -> Decimal:
    """Volume-weighted price of the day, 0 without trades."""
    size = sheet.instrument.size(ticker.volume_24h_lots) * sheet.instrument.contract_value
    if not size or not ticker.turnover_24h:
        return ZERO
    if sheet.inverse:
        return sheet.fine(ROUNDED.divide(size, ticker.turnover_24h))
    return sheet.fine(ROUNDED.divide(ticker.turnover_24h, size))


def _day_notionals(
    sheet: Sheet, volume: int, turnover: int, mean: Decimal
) -> tuple[Decimal, Decimal]:
    worth = sheet.major(turnover)
    if sheet.inverse:
        return worth, Decimal(volume)
    if not sheet.quanto:
        return number(volume * sheet.instrument.contract_value), worth
    foreign = sheet.in_quote(worth)
    home = ROUNDED.divide(foreign, mean) if mean else ZERO
    cent = Decimal("1E-8")
    return number(home.quantize(cent)), number(foreign.quantize(cent))


def _multipliers(sheet: Sheet) -> Row:
    """How underlying, position and settlement convert; None where a kind has no such number."""
    row: Row = {
        "underlyingToPositionMultiplier": None,
        "underlyingToSettleMultiplier": None,
        "quoteToSettleMultiplier": None,
    }
    unit = 10**sheet.scale
    if sheet.inverse:
        row["underlyingToSettleMultiplier"] = -unit
    elif sheet.quanto:
        price = sheet.settle_price()
        if price:
            row["quoteToSettleMultiplier"] = int(ROUNDED.divide(Decimal(unit), price))
    else:
        row["underlyingToPositionMultiplier"] = int(1 / sheet.instrument.contract_value)
        row["quoteToSettleMultiplier"] = unit
    return row


def _mark(sheet: Sheet, ticker: Ticker) -> Row:
    """Mark, index and their difference (section 7)."""
    mark, index = ticker.mark, ticker.index
    basis = mark - index
    rate = ticker.funding_rate * YEAR_RATES
    if sheet.dated and index:
        days = Decimal(sheet.instrument.expiry - ticker.at) / (24 * HOUR)
        rate = basis / index * 365 / days if days > 0 else ZERO
    return {
        "fairMethod": "ImpactMidPrice" if sheet.dated else "FundingRate",
        "fairBasisRate": number(rate.quantize(Decimal("1E-6"))),
        "fairBasis": sheet.fine(basis),
        "fairPrice": sheet.fine(mark),
        "markMethod": "FairPrice",
        "markPrice": sheet.fine(mark),
        "indicativeSettlePrice": sheet.fine(index),
    }


def _funding(ticker: Ticker) -> Row:
    if not ticker.funding_due:
        return {"fundingTimestamp": None, "fundingRate": None, "indicativeFundingRate": None}
    return {
        "fundingTimestamp": iso(ticker.funding_due),
        "fundingRate": number(ticker.funding_rate),
        "indicativeFundingRate": number(ticker.funding_next),
    }

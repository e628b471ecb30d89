"""Ticker rows of REST and of the `tickers` stream (sections 4.4 and 7.5)."""

from oneprice.model.units import HOUR, MILLI, ROUNDED, ZERO, plain
from oneprice.twin.contract import Ticker
from oneprice.twin.dialects.bybit.envelope import Row, short, stamp
from oneprice.twin.dialects.bybit.facts import Sheet

HOUR_MS = HOUR // MILLI
SPOT_STREAM = (
    "symbol",
    "lastPrice",
    "highPrice24h",
    "lowPrice24h",
    "prevPrice24h",
    "volume24h",
    "turnover24h",
    "price24hPcnt",
    "usdIndexPrice",
)


def ticker_row(sheet: Sheet, ticker: Ticker) -> Row:
    """A row of /v5/market/tickers."""
    change = ZERO
    if ticker.open_24h_ticks:
        moved = sheet.instrument.price(ticker.last_ticks - ticker.open_24h_ticks)
        change = ROUNDED.divide(moved, sheet.instrument.price(ticker.open_24h_ticks))
    row: Row = {
        "symbol": sheet.symbol,
        "bid1Price": sheet.price(ticker.bid_ticks) if ticker.bid_lots else "",
        "bid1Size": sheet.size(ticker.bid_lots) if ticker.bid_lots else "",
        "ask1Price": sheet.price(ticker.ask_ticks) if ticker.ask_lots else "",
        "ask1Size": sheet.size(ticker.ask_lots) if ticker.ask_lots else "",
        "lastPrice": sheet.price(ticker.last_ticks),
        "prevPrice24h": sheet.price(ticker.open_24h_ticks),
        "price24hPcnt": short(change, 6),
        "highPrice24h": sheet.price(ticker.high_24h_ticks),
        "lowPrice24h": sheet.price(ticker.low_24h_ticks),
        "turnover24h": short(ticker.turnover_24h),
        "volume24h": sheet.count(ticker.volume_24h_lots),
    }
    if sheet.spot:
        return row | {"usdIndexPrice": short(ticker.index, 6) if ticker.index else ""}
    return row | _derivative(sheet, ticker)


def stream_row(sheet: Sheet, ticker: Ticker) -> Row:
    """The data of the `tickers` stream: spot carries no bid and ask there."""
    row = ticker_row(sheet, ticker)
    if sheet.spot:
        return {name: row[name] for name in SPOT_STREAM}
    return row


def _derivative(sheet: Sheet, ticker: Ticker) -> Row:
    instrument = sheet.instrument
    open_interest = instrument.size(ticker.open_interest_lots)
    value = open_interest * instrument.contract_value
    if sheet.inverse:
        worth = ROUNDED.divide(value, ticker.mark) if ticker.mark else ZERO
    else:
        worth = value * ticker.mark
    perpetual = bool(instrument.funding_interval_ms)
    return {
        "indexPrice": sheet.quoted(ticker.index),
        "markPrice": sheet.quoted(ticker.mark),
        "prevPrice1h": sheet.price(ticker.open_1h_ticks),
        "openInterest": plain(open_interest),
        "openInterestValue": short(worth, 2),
        "singleOpenInterest": plain(open_interest / 2),
        "singleOpenInterestValue": short(worth / 2, 2),
        "fundingRate": plain(ticker.funding_rate) if perpetual else "",
        "nextFundingTime": stamp(ticker.funding_due) if perpetual else "",
        "fundingIntervalHour": str(instrument.funding_interval_ms // HOUR_MS) if perpetual else "",
        "fundingCap": plain(sheet.extras.funding_cap) if perpetual else "",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "basisRateYear": "",
        "deliveryFeeRate": "",
        "deliveryTime": str(instrument.expiry // MILLI),
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }

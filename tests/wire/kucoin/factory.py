"""KuCoin's dialect with two spot symbols, a linear and an inverse contract listed."""

import msgspec

from oneprice.kernel import Tripwires
from oneprice.venues.contract import Answer, Credentials
from oneprice.venues.kucoin.feed import KucoinFeed
from oneprice.venues.kucoin.orders import KucoinSettings
from oneprice.venues.kucoin.trade import KucoinTrade

AT = 1_790_000_000_000_000_000
WANTED = ("kucoin:spot:BTC-USDT", "kucoin:futures:XBTUSDTM")


def symbol(name: str, tick: str, step: str) -> dict[str, object]:
    base, quote = name.split("-")
    return {
        "symbol": name,
        "name": name,
        "baseCurrency": base,
        "quoteCurrency": quote,
        "feeCurrency": quote,
        "market": "USDS",
        "baseMinSize": "0.00001",
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": step,
        "quoteIncrement": "0.000001",
        "priceIncrement": tick,
        "priceLimitRate": "0.1",
        "minFunds": "0.1",
        "isMarginEnabled": True,
        "enableTrading": True,
        "feeCategory": 1,
        "makerFeeCoefficient": "1.00",
        "takerFeeCoefficient": "1.00",
        "st": False,
        "callauctionIsEnabled": False,
        "tradingStartTime": None,
    }


def contract(name: str, **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "symbol": name,
        "rootSymbol": "USDT",
        "type": "FFWCSX",
        "baseCurrency": "XBT",
        "quoteCurrency": "USDT",
        "settleCurrency": "USDT",
        "lotSize": 1,
        "tickSize": 0.1,
        "multiplier": 0.001,
        "maxOrderQty": 1000000,
        "maxPrice": 1000000.0,
        "isInverse": False,
        "isQuanto": True,
        "status": "Open",
        "expireDate": None,
        "fundingRateGranularity": 28800000,
        "fundingFeeRate": 6.1e-5,
        "predictedFundingFeeRate": 0.000109,
        "nextFundingRateTime": 6400000,
        "nextFundingRateDateTime": 1790006400000,
    }
    return row | changes


INVERSE = {
    "quoteCurrency": "USD", "settleCurrency": "XBT", "multiplier": -1.0, "isInverse": True,
    "isQuanto": False,
}  # fmt: skip
ROWS = {
    "spot": [symbol("BTC-USDT", "0.1", "0.00000001"), symbol("ETH-USDT", "0.01", "0.0000001")],
    "futures": [contract("XBTUSDTM"), contract("XBTUSDM", **INVERSE)],
}


def listed_feed(*, keyed: bool = True) -> KucoinFeed:
    feed = KucoinFeed(Tripwires(), keyed=keyed)
    feed.instruments(feed.spec.markets)
    for market, rows in ROWS.items():
        body = msgspec.json.encode({"code": "200000", "data": rows})
        feed.answered(Answer(tag=f"instruments:{market}", status=200, body=body), AT)
    assert len(feed.listed) == 4
    return feed


def dialect() -> tuple[KucoinFeed, KucoinTrade]:
    feed = listed_feed()
    keys = Credentials("TESTKEY01", "TESTSECRET0123456789ABCDEF", "mypassphrase")
    return feed, KucoinTrade(keys, feed.listed, KucoinSettings(wanted=WANTED, margin="cross"))

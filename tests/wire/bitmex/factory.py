"""BitMEX's dialect with an inverse, a quanto, a linear and a dated contract listed."""

import msgspec

from oneprice.kernel import Tripwires
from oneprice.venues.bitmex.feed import BitmexFeed
from oneprice.venues.bitmex.trade import BitmexSettings, BitmexTrade
from oneprice.venues.contract import Answer, Credentials

AT = 1_790_000_000_000_000_000


def row(symbol: str, **changes: object) -> dict[str, object]:
    perpetual = {
        "symbol": symbol,
        "typ": "FFWCSX",
        "state": "Open",
        "underlying": "XBT",
        "quoteCurrency": "USD",
        "settlCurrency": "XBt",
        "lotSize": 100,
        "tickSize": 0.5,
        "maxOrderQty": 10000000,
        "maxPrice": 1000000,
        "multiplier": -100000000,
        "isInverse": True,
        "isQuanto": False,
        "underlyingToPositionMultiplier": None,
        "referenceSymbol": ".BXBT",
        "fundingInterval": "2000-01-01T08:00:00.000Z",
        "expiry": None,
        "makerFee": -0.00025,
        "takerFee": 0.00075,
    }
    return perpetual | changes


ROWS = (
    row("XBTUSD"),
    row(
        "ETHUSD",
        underlying="ETH",
        lotSize=1,
        tickSize=0.05,
        multiplier=100,
        isInverse=False,
        isQuanto=True,
        referenceSymbol=".BETH",
    ),
    row(
        "XBTUSDT",
        quoteCurrency="USDT",
        settlCurrency="USDt",
        multiplier=1,
        isInverse=False,
        underlyingToPositionMultiplier=1000000,
        referenceSymbol=".BXBTT",
    ),
    row(
        "XBTZ26",
        typ="FFCCSX",
        expiry="2026-12-25T12:00:00.000Z",
        fundingInterval=None,
        referenceSymbol=".BXBT30M",
    ),
)


def dialect(settings: BitmexSettings | None = None) -> tuple[BitmexFeed, BitmexTrade]:
    feed = BitmexFeed(Tripwires())
    feed.instruments(feed.spec.markets)
    body = msgspec.json.encode(ROWS)
    feed.answered(Answer(tag="instruments:derivatives", status=200, body=body), AT)
    assert len(feed.listed) == len(ROWS)
    return feed, BitmexTrade(Credentials("simkey0001", "simsecret0001"), feed.listed, settings)

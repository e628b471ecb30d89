"""Bybit's dialect with one instrument of each market listed."""

import msgspec

from oneprice.kernel import Tripwires
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.bybit.trade import BybitTrade
from oneprice.venues.contract import Answer, Credentials

AT = 1_790_000_000_000_000_000


def row(symbol: str, kind: str, tick: str, step: str, least: str) -> dict[str, object]:
    base, quote = ("BTC", "USDT") if symbol.endswith("T") else ("BTC", "USD")
    sizes = {"minOrderQty": step, "maxOrderQty": "1000000", "minNotionalValue": least}
    sizes |= {"minOrderAmt": least, "maxLimitOrderQty": "100"}
    sizes["qtyStep" if kind else "basePrecision"] = step
    return {
        "symbol": symbol,
        "contractType": kind,
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": quote,
        "settleCoin": "BTC" if quote == "USD" else quote,
        "deliveryTime": "0",
        "priceFilter": {"tickSize": tick},
        "lotSizeFilter": sizes,
        "fundingInterval": 480,
    }


ROWS = {
    "spot": row("BTCUSDT", "", "0.1", "0.000001", "5"),
    "linear": row("BTCUSDT", "LinearPerpetual", "0.10", "0.001", "5"),
    "inverse": row("BTCUSD", "InversePerpetual", "0.50", "1", "0"),
}


def dialect() -> tuple[BybitFeed, BybitTrade]:
    feed = BybitFeed(Tripwires())
    feed.instruments(feed.spec.markets)
    for market, listed in ROWS.items():
        page = {"category": market, "list": [listed], "nextPageCursor": ""}
        body = msgspec.json.encode({"retCode": 0, "retMsg": "OK", "result": page, "time": 1})
        feed.answered(Answer(tag=f"instruments:{market}", status=200, body=body), AT)
    assert len(feed.listed) == len(ROWS)
    return feed, BybitTrade(Credentials("simkey0001", "simsecret0001"), feed.listed)

"""Binance's dialect with one instrument of each traded market listed."""

import msgspec

from oneprice.kernel import Tripwires
from oneprice.venues.binance import BinanceFeed, BinanceSettings, BinanceTrade
from oneprice.venues.contract import Answer, Credentials

AT = 1_790_000_000_000_000_000


def row(kind: str, tick: str, step: str, least: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "0", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000", "stepSize": step},
            least,
        ],
    }
    return found | ({"contractType": kind, "marginAsset": "USDT"} if kind else {})


def coin_row() -> dict[str, object]:
    inverse = row("PERPETUAL", "0.1", "1", {"filterType": "MAX_NUM_ORDERS"})
    del inverse["status"]
    return inverse | {
        "symbol": "BTCUSD_PERP",
        "pair": "BTCUSD",
        "quoteAsset": "USD",
        "marginAsset": "BTC",
        "contractSize": 100,
        "contractStatus": "TRADING",
    }


ROWS = {
    "spot": row("", "0.01", "0.00001", {"filterType": "NOTIONAL", "minNotional": "5"}),
    "usdm": row("PERPETUAL", "0.10", "0.001", {"filterType": "MIN_NOTIONAL", "notional": "100"}),
    "coinm": coin_row(),
}


def dialect() -> tuple[BinanceFeed, BinanceTrade]:
    feed = BinanceFeed(Tripwires())
    for market, listed in ROWS.items():
        body = msgspec.json.encode({"symbols": [listed]})
        feed.answered(Answer(tag=f"instruments:{market}", status=200, body=body), AT)
    assert len(feed.listed) == len(ROWS)
    settings = BinanceSettings(wanted=("binance:usdm:BTCUSDT",))
    return feed, BinanceTrade(Credentials("simkey0001", "simsecret0001"), feed.listed, settings)

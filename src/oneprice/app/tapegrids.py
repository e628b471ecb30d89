"""Writes instrument lists in the venues' own forms, for recordings that hold none.

A feed learns of instruments only from its venue's answers; a recording without one gets the
least answer that its dialect understands.
"""

from collections.abc import Callable, Mapping

import msgspec


class Described(msgspec.Struct, frozen=True):
    """All that a recording itself can tell about an instrument."""

    symbol: str
    tick: str
    lot: str


def grid(decimals: int) -> str:
    """The step with so many decimals: 1, 0.1, 0.01 and so on."""
    return f"0.{'0' * (decimals - 1)}1" if decimals else "1"


def described_list(venue: str, market: str, rows: list[Described]) -> bytes:
    """The answer to the venue's question for instruments (KeyError: no such venue)."""
    described = [_ROWS[venue](market, row) for row in rows]
    match venue:
        case "binance":
            body: object = {"symbols": described}
        case "bybit":
            result = {"category": market, "list": described, "nextPageCursor": ""}
            body = {"retCode": 0, "retMsg": "OK", "result": result, "time": 0}
        case "bitmex":
            body = described
        case "kucoin":
            body = {"code": "200000", "data": described}
        case _:
            body = {"code": "0", "msg": "", "data": described}
    return msgspec.json.encode(body)


def _binance_row(market: str, row: Described) -> dict[str, object]:
    # The coins are not known from the frames and do not matter here; COIN-M settles in base.
    coins = {"baseAsset": row.symbol, "quoteAsset": "?"}
    margin = row.symbol if market == "coinm" else "?"
    return {
        "symbol": row.symbol,
        "status": "TRADING",
        "contractStatus": "TRADING",
        "contractType": "PERPETUAL",
        "marginAsset": margin,
        **coins,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0", "maxPrice": "0", "tickSize": row.tick},
            {"filterType": "LOT_SIZE", "minQty": "0", "maxQty": "0", "stepSize": row.lot},
        ],
    }


def _bybit_row(market: str, row: Described) -> dict[str, object]:
    sizes = {"basePrecision": row.lot, "qtyStep": row.lot, "minOrderQty": row.lot}
    return {
        "symbol": row.symbol,
        "status": "Trading",
        "baseCoin": row.symbol,
        "quoteCoin": "?",
        "settleCoin": "?",
        "contractType": "",
        "priceFilter": {"minPrice": "0", "maxPrice": "0", "tickSize": row.tick},
        "lotSizeFilter": {**sizes, "maxOrderQty": "0", "maxLimitOrderQty": "0"},
    }


def _okx_row(market: str, row: Described) -> dict[str, object]:
    base, _, rest = row.symbol.partition("-")
    quote = rest.partition("-")[0]
    return {
        "instId": row.symbol,
        "instType": {"spot": "SPOT", "swap": "SWAP", "futures": "FUTURES"}[market],
        "state": "live",
        "uly": f"{base}-{quote}",
        "baseCcy": base,
        "quoteCcy": quote,
        "ctVal": "1",
        "ctValCcy": base,
        "ctType": "linear",
        "tickSz": row.tick,
        "lotSz": row.lot,
        "minSz": row.lot,
    }


def _kucoin_row(market: str, row: Described) -> dict[str, object]:
    base, _, quote = row.symbol.partition("-")
    if market == "spot":
        return {
            "symbol": row.symbol,
            "baseCurrency": base,
            "quoteCurrency": quote,
            "baseIncrement": row.lot,
            "priceIncrement": row.tick,
            "enableTrading": True,
        }
    return {
        "symbol": row.symbol,
        "type": "FFWCSX",
        "baseCurrency": row.symbol,
        "quoteCurrency": "?",
        "settleCurrency": "?",
        "lotSize": row.lot,
        "tickSize": row.tick,
        "multiplier": "1",
        "isInverse": False,
        "status": "Open",
    }


def _bitmex_row(market: str, row: Described) -> dict[str, object]:
    return {
        "symbol": row.symbol,
        "typ": "FFWCSX",
        "state": "Open",
        "underlying": row.symbol,
        "quoteCurrency": "USDT",
        "settlCurrency": "USDt",
        "lotSize": msgspec.Raw(row.lot.encode()),
        "tickSize": msgspec.Raw(row.tick.encode()),
        "multiplier": 1,
    }


_ROWS: Mapping[str, Callable[[str, Described], dict[str, object]]] = {
    "binance": _binance_row,
    "bybit": _bybit_row,
    "okx": _okx_row,
    "kucoin": _kucoin_row,
    "bitmex": _bitmex_row,
}

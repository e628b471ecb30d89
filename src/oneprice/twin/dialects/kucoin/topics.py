"""The topics of the streams: who may subscribe to what, and what a topic asks for."""

import msgspec

from oneprice.twin.dialects.kucoin.candles import TYPES
from oneprice.twin.dialects.kucoin.facts import FUTURES, SPOT, Facts, Sheet

MARKET = "USDS"  # the one quarter of the spot market that there is
# prefix: product. What follows the colon is a symbol.
PUBLIC = {
    "/market/level2": SPOT,
    "/market/ticker": SPOT,
    "/market/snapshot": SPOT,
    "/market/match": SPOT,
    "/market/candles": SPOT,
    "/spotMarket/level1": SPOT,
    "/spotMarket/level2Depth5": SPOT,
    "/spotMarket/level2Depth50": SPOT,
    "/indicator/index": SPOT,
    "/indicator/markPrice": SPOT,
    "/contractMarket/level2": FUTURES,
    "/contractMarket/level2Depth5": FUTURES,
    "/contractMarket/level2Depth50": FUTURES,
    "/contractMarket/ticker": FUTURES,
    "/contractMarket/tickerV2": FUTURES,
    "/contractMarket/execution": FUTURES,
    "/contractMarket/limitCandle": FUTURES,
    "/contractMarket/snapshot": FUTURES,
    "/contract/instrument": FUTURES,
    "/contract/announcement": FUTURES,
}
PRIVATE = {
    "/spotMarket/tradeOrders": SPOT,
    "/spotMarket/tradeOrdersV2": SPOT,
    "/spotMarket/advancedOrders": SPOT,
    "/account/balance": SPOT,
    "/contractMarket/tradeOrders": FUTURES,
    "/contractMarket/advancedOrders": FUTURES,
    "/contractAccount/wallet": FUTURES,
    "/contract/position": FUTURES,
    "/contract/positionAll": FUTURES,
    "/contract/marginMode": FUTURES,
    "/contract/crossLeverage": FUTURES,
}
PRIVATE_BY_SYMBOL = ("/contractMarket/tradeOrders", "/contract/position")
SYMBOL_NEEDED = ("/contract/position",)
CANDLES = ("/market/candles", "/contractMarket/limitCandle")
WHOLE = {"/market/ticker": "all", "/market/snapshot": MARKET}


class Wanted(msgspec.Struct, frozen=True):
    """What one subscribe message is about: topics of one prefix, one per symbol."""

    product: str
    private: bool
    topics: tuple[str, ...]


def wanted(facts: Facts, text: str) -> Wanted | None:
    """The topics of a request such as `/market/level2:BTC-USDT,ETH-USDT`; None: not found."""
    prefix, colon, rest = text.partition(":")
    parts = [part for part in rest.split(",") if part] if colon else []
    if prefix in PUBLIC:
        product = PUBLIC[prefix]
        if not parts or not all(_known(facts, prefix, product, part) for part in parts):
            return None
        return Wanted(product, False, tuple(f"{prefix}:{part}" for part in parts))
    if prefix not in PRIVATE:
        return None
    product = PRIVATE[prefix]
    if not parts:
        return None if prefix in SYMBOL_NEEDED else Wanted(product, True, (prefix,))
    if prefix not in PRIVATE_BY_SYMBOL:
        return None
    if not all(_known(facts, prefix, product, part) for part in parts):
        return None
    return Wanted(product, True, tuple(f"{prefix}:{part}" for part in parts))


def candle_of(facts: Facts, topic: str) -> tuple[Sheet, str] | None:
    """Instrument and interval of a candle topic."""
    symbol, _, interval = topic.partition(":")[2].rpartition("_")
    sheet = facts.find(symbol)
    return (sheet, interval) if sheet is not None and interval in TYPES else None


def _known(facts: Facts, prefix: str, product: str, part: str) -> bool:
    if WHOLE.get(prefix) == part:
        return True
    symbol = part
    if prefix in CANDLES:
        symbol, _, interval = part.rpartition("_")
        if interval not in TYPES:
            return False
    sheet = facts.find(symbol)
    return sheet is not None and sheet.instrument.market == product

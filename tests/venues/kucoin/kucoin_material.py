"""Messages of the venue's documents, and short ways to say them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import msgspec

from oneprice.venues.contract import Answer

AT = 1_790_000_000_310_000_000
SPOT, ETH = "kucoin:spot:BTC-USDT", "kucoin:spot:ETH-USDT"
LINEAR, INVERSE = "kucoin:futures:XBTUSDTM", "kucoin:futures:XBTUSDM"


def _factory() -> ModuleType:
    """The same listed instruments as the written conversations have."""
    path = Path(__file__).resolve().parents[2] / "wire" / "kucoin" / "factory.py"
    spec = importlib.util.spec_from_file_location("kucoin_factory", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FACTORY = _factory()


def ok(tag: str, data: object, **headers: str) -> Answer:
    """An answer that says 200000."""
    body = msgspec.json.encode({"code": "200000", "data": data})
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(tag=tag, status=200, body=body, headers=named)


def no(tag: str, code: str, msg: str, status: int = 200, **headers: str) -> Answer:
    body = msgspec.json.encode({"code": code, "msg": msg})
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(tag=tag, status=status, body=body, headers=named)


def message(topic: str, subject: str, data: object) -> bytes:
    return msgspec.json.encode(
        {"type": "message", "topic": topic, "subject": subject, "data": data}
    )


L2_SPOT = message(
    "/market/level2:BTC-USDT",
    "trade.l2update",
    {
        "changes": {"asks": [["90000.1", "0.05", 103]], "bids": [["89999.9", "0.15688", "105"]]},
        "sequenceStart": 102, "sequenceEnd": 105, "symbol": "BTC-USDT", "time": 1790000000273,
    },
)  # fmt: skip
L2_FUTURES = message(
    "/contractMarket/level2:XBTUSDTM",
    "level2",
    {"sequence": 501, "change": "90000.0,buy,7", "timestamp": 1790000000182},
)
TICKER = message(
    "/market/ticker:BTC-USDT",
    "trade.ticker",
    {
        "bestAsk": "90000.1", "bestAskSize": "0.54", "bestBid": "90000", "bestBidSize": "1.2",
        "price": "90000.1", "sequence": "14610502970", "size": "0.01", "time": 1790000000859,
    },
)  # fmt: skip
RATE = message(
    "/contract/instrument:XBTUSDTM",
    "funding.rate",
    {"granularity": 60000, "fundingRate": 0.000112, "timestamp": 1790000000000},
)
CANDLES = message(
    "/market/candles:BTC-USDT_1min",
    "trade.candles.update",
    {"symbol": "BTC-USDT", "candles": ["1790000040", "1", "2", "3", "1", "9", "9"], "time": 1},
)
MATCH = message(
    "/contractMarket/tradeOrders",
    "symbolOrderChange",
    {
        "symbol": "XBTUSDTM", "side": "buy", "orderId": "234", "clientOid": "arb-1",
        "type": "match", "status": "match", "matchPrice": "90000", "matchSize": "1",
        "tradeId": "1828954878212", "liquidity": "taker", "tradeType": "trade", "size": "1",
        "filledSize": "1", "remainSize": "0", "canceledSize": "0", "ts": 1790000000335000000,
    },
)  # fmt: skip
POSITION = message(
    "/contract/positionAll",
    "position.change",
    {"symbol": "XBTUSDTM", "currentQty": 1, "avgEntryPrice": 90000.0, "positionSide": "BOTH"},
)
WALLET = message(
    "/contractAccount/wallet",
    "walletBalance.change",
    {"currency": "USDT", "walletBalance": "1.5", "availableBalance": "1.2", "version": "8"},
)
PUBLIC = {
    "spot": (L2_SPOT, TICKER, CANDLES, b'{"id":"1","type":"ack"}'),
    "futures": (L2_FUTURES, RATE, b'{"id":"1","type":"error","code":404,"data":"no topic"}'),
}
PRIVATE = (MATCH, POSITION, WALLET)

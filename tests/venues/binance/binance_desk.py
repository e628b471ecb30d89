"""A private side with two instruments, and the frames and commands that the tests share."""

import json
from typing import Any
from urllib.parse import parse_qs

from binance_material import SPOT, USDM

from oneprice.model.commands import PlaceOrder
from oneprice.model.units import Lots, Side, Ticks
from oneprice.venues.binance import BinanceSettings, BinanceTrade
from oneprice.venues.contract import Credentials, Request

AT = 1_790_000_000_310_000_000
NOW_MS = 1_790_000_000_000
KEYS = Credentials("simkey0001", "simsecret0001")
REST = BinanceSettings(order_entry="rest")


def trade(options: BinanceSettings | None = None, *more: Any) -> BinanceTrade:
    return BinanceTrade(KEYS, {item.id: item for item in (SPOT, USDM, *more)}, options)


def place(item: Any = SPOT, **changes: Any) -> PlaceOrder:
    wish: dict[str, Any] = {
        "order_id": "arb-0001",
        "group": "g",
        "instrument": item.id,
        "side": Side.BUY,
        "ticks": Ticks(600_000),
        "lots": Lots(10),
    }
    return PlaceOrder(**{**wish, **changes})


def kinds(outputs: Any) -> list[str]:
    return [type(each).__name__ for each in outputs]


def params(request: Request) -> dict[str, Any]:
    if request.socket:
        found: dict[str, Any] = json.loads(request.body)["params"]
        return found
    return {name: value[0] for name, value in parse_qs(request.query).items()}


def error(code: int, text: str) -> bytes:
    return json.dumps({"code": code, "msg": text}).encode()


FULL = (
    b'{"symbol":"BTCUSDT","orderId":28457001,"clientOrderId":"arb-0001","transactTime":7,'
    b'"origQty":"0.01000000","executedQty":"0.01000000","status":"FILLED","timeInForce":"IOC",'
    b'"type":"LIMIT","side":"BUY","fills":[{"price":"59999.50000000","qty":"0.01000000",'
    b'"commission":"0.00001000","commissionAsset":"BTC","tradeId":991001}]}'
)
REPORT: dict[str, Any] = {
    "e": "executionReport", "E": 1790000000325, "s": "BTCUSDT", "c": "arb-0001", "S": "BUY",
    "o": "LIMIT", "f": "IOC", "q": "0.01000000", "p": "60000.00000000", "C": "", "x": "TRADE",
    "X": "FILLED", "r": "NONE", "i": 28457001, "l": "0.01000000", "z": "0.01000000",
    "L": "59999.50000000", "n": "0.00001000", "N": "BTC", "T": 7, "t": 991001, "I": 59214001,
    "w": False, "m": False, "O": 7, "V": "EXPIRE_MAKER",
}  # fmt: skip


def reported(side: BinanceTrade | None = None, **changes: Any) -> Any:
    frame = {"subscriptionId": 0, "event": {**REPORT, **changes}}
    return (side or trade()).decode("spot_user", json.dumps(frame).encode(), AT)

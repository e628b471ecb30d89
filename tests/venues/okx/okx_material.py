"""A feed with instruments and a trade side to it, for the tests of OKX's private half."""

from typing import Any

import msgspec

from oneprice.kernel import Tripwires
from oneprice.model.commands import CancelOrder, PlaceOrder
from oneprice.model.units import Lots, Nanos, Side, Ticks
from oneprice.venues.contract import Answer, Credentials
from oneprice.venues.okx.feed import OkxFeed
from oneprice.venues.okx.orders import OkxSettings
from oneprice.venues.okx.trade import OkxTrade

AT = Nanos(1_790_000_000_310_000_000)
SWAP, ETHER, SPOT = "okx:swap:BTC-USDT-SWAP", "okx:swap:ETH-USDT-SWAP", "okx:spot:BTC-USDT"

SWAP_ROW = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "instIdCode": 10459, "uly": "BTC-USDT",
    "settleCcy": "USDT", "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC",
    "ctType": "linear", "tickSz": "0.1", "lotSz": "0.01", "minSz": "0.01", "state": "live",
    "groupId": "4",
}  # fmt: skip
ETHER_ROW = {
    **SWAP_ROW, "instId": "ETH-USDT-SWAP", "instIdCode": None, "uly": "ETH-USDT",
    "ctValCcy": "ETH", "ctVal": "0.1",
}  # fmt: skip
SPOT_ROW = {
    "instType": "SPOT", "instId": "BTC-USDT", "instIdCode": 1, "baseCcy": "BTC",
    "quoteCcy": "USDT", "tickSz": "0.1", "lotSz": "0.00000001", "minSz": "0.00001",
    "state": "live", "groupId": "1",
}  # fmt: skip


def new_trade(*more_rows: dict[str, Any], **settings: Any) -> OkxTrade:
    feed = OkxFeed(Tripwires())
    rows = [SWAP_ROW, ETHER_ROW, SPOT_ROW, *more_rows]
    body = msgspec.json.encode({"code": "0", "msg": "", "data": rows})
    feed.answered(Answer(tag="instruments:swap", status=200, body=body), AT)
    keys = Credentials("simkey0001", "simsecret0001", "simphrase0001")
    return OkxTrade(keys, feed.listed, feed.details, OkxSettings(**settings))


def place(name: str, instrument: str = SWAP, **changes: Any) -> PlaceOrder:
    plain = {"side": Side.BUY, "ticks": Ticks(900_000), "lots": Lots(50), "group": "g"}
    return PlaceOrder(order_id=name, instrument=instrument, **{**plain, **changes})


def cancel(name: str, instrument: str = SWAP) -> CancelOrder:
    return CancelOrder(order_id=name, instrument=instrument)


def answer(tag: str, data: Any, code: str = "0", status: int = 200) -> Answer:
    body = msgspec.json.encode({"code": code, "msg": "", "data": data})
    return Answer(tag=tag, status=status, body=body)


def push(channel: str, *rows: dict[str, Any], **envelope: Any) -> bytes:
    arg = {"channel": channel, "uid": "1"}
    return msgspec.json.encode({"arg": arg, "data": rows, **envelope})

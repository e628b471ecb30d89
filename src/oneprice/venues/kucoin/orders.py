"""KuCoin's order requests: bodies, paths, costs, batches, and the dead man's switch.

Source: KuCoin API docs, "Add HF order", "Add order" (futures), "Batch", "Cancel", "Dead cancel
all". Orders go over REST: the order socket (wsapi) is documented for the unified account, and for
Classic by one source and without its arguments.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from oneprice.model.commands import (
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Priority,
    SetLeverage,
    SetPositionMode,
    TimeInForce,
)
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import InstrumentId, OrderId, Side
from oneprice.venues.contract import Request
from oneprice.venues.kucoin import HOSTS
from oneprice.venues.kucoin.rest import query_of

_ID_CHARS_MAX = 40
_CLIENT_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{_ID_CHARS_MAX}}}")
_SELF_TRADE = {"taker": "CN", "maker": "CO", "both": "CB", "none": ""}
_JSON = (("Content-Type", "application/json"),)
# Five by the official SDK, twenty by others: five is never refused.
BATCH_MAX = {"spot": 5, "futures": 20}
_DEAD_MAN_S = (5, 86_400)
_encode = msgspec.json.Encoder().encode


class KucoinSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the docs leave to us."""

    order_entry: Literal["rest"] = "rest"
    # Whose order dies when we would trade with ourselves; the taker's flag decides.
    self_trade: Literal["taker", "maker", "both", "none"] = "taker"
    dead_man_ms: int = 0  # 0: off; spot only, the venue has none for futures
    wanted: tuple[InstrumentId, ...] = ()  # whose fees, leverage and settlements are asked for
    key_version: Literal["2", "3"] = "3"  # as shown beside the key
    # How margin is held where the account check has not told it yet (the venue's default), and
    # with what leverage an isolated position is opened.
    margin: Literal["cross", "isolated"] = "isolated"
    leverage: int = 1
    # (maker, taker) until the venue has told ours: the base tier.
    spot_fees: tuple[Decimal, Decimal] = (Decimal("0.001"), Decimal("0.001"))
    futures_fees: tuple[Decimal, Decimal] = (Decimal("0.0002"), Decimal("0.0006"))


class Margin(msgspec.Struct, frozen=True):
    """How an order's margin is held."""

    mode: Literal["cross", "isolated"]
    leverage: Decimal


def checked(order_id: OrderId) -> OrderId:
    """Our id as the venue's clientOid, unchanged; ValueError where it cannot carry it."""
    if _CLIENT_ID.fullmatch(order_id) is None:
        raise ValueError(
            f"order id: expected 1 to {_ID_CHARS_MAX} of A-Z a-z 0-9 _ -, found {order_id!r}"
        )
    return order_id


def body(
    command: PlaceOrder, item: Instrument, settings: KucoinSettings, margin: Margin
) -> dict[str, object]:
    """One new order; ValueError for what the market does not have."""
    lasting = command.time_in_force
    if lasting is TimeInForce.FOK and item.is_derivative:
        raise ValueError(f"{item.id}: futures have no fill-or-kill")
    post_only = lasting is TimeInForce.POST_ONLY
    out: dict[str, object] = {
        "clientOid": checked(command.order_id),
        "symbol": item.symbol,
        "side": "buy" if command.side is Side.BUY else "sell",
        "type": "limit",
        "price": item.price_text(command.ticks),
        "size": item.size_text(command.lots),
        "timeInForce": "GTC" if post_only else lasting.value.upper(),
    }
    if post_only:
        out["postOnly"] = True
    if settings.self_trade != "none":
        out["stp"] = _SELF_TRADE[settings.self_trade]
    if not item.is_derivative:
        return out
    out["size"] = int(item.size(command.lots))  # contracts, a whole number and no text
    out |= {"marginMode": margin.mode.upper(), "positionSide": "BOTH"}
    if margin.mode == "isolated":
        out["leverage"] = int(margin.leverage)  # without it an isolated position cannot open
    if command.reduce_only:
        out["reduceOnly"] = True
    return out


def place(command: PlaceOrder, item: Instrument, content: Mapping[str, object]) -> Request:
    """One new order in one call."""
    spot = item.market == "spot"
    return Request(
        tag=f"place:{command.order_id}",
        host=HOSTS[item.market],
        method="POST",
        path="/api/v1/hf/orders" if spot else "/api/v1/orders",
        body=_encode(content),
        headers=_JSON,
        signed=True,
        cost=((item.market, 1 if spot else 2),),
        priority=command.priority,
        order_id=command.order_id,
    )


def place_many(
    commands: Sequence[PlaceOrder],
    market: str,
    contents: Sequence[Mapping[str, object]],
    name: str,
) -> Request:
    """Several new orders of one market in one call."""
    spot = market == "spot"
    return Request(
        tag=f"place_many:{name}",
        host=HOSTS[market],
        method="POST",
        path="/api/v1/hf/orders/multi" if spot else "/api/v1/orders/multi",
        body=_encode({"orderList": contents} if spot else contents),
        headers=_JSON,
        signed=True,
        cost=((market, 1 if spot else 20),),
        priority=min(command.priority for command in commands),
        order_ids=tuple(command.order_id for command in commands),
    )


def cancel(command: CancelOrder, item: Instrument) -> Request:
    stem = "/api/v1/hf/orders" if item.market == "spot" else "/api/v1/orders"
    return Request(
        tag=f"cancel:{command.order_id}",
        host=HOSTS[item.market],
        method="DELETE",
        path=f"{stem}/client-order/{checked(command.order_id)}",
        query=query_of({"symbol": item.symbol}),
        signed=True,
        cost=((item.market, 1),),
        priority=command.priority,
        order_id=command.order_id,
    )


def cancel_many(
    commands: Sequence[CancelOrder], items: Sequence[Instrument], name: str
) -> Request:
    """Several futures orders in one call; spot has no such call."""
    named = [
        {"symbol": item.symbol, "clientOid": checked(command.order_id)}
        for command, item in zip(commands, items, strict=True)
    ]
    return Request(
        tag=f"cancel_many:{name}",
        host=HOSTS["futures"],
        method="DELETE",
        path="/api/v1/orders/multi-cancel",
        body=_encode({"clientOidsList": named}),
        headers=_JSON,
        signed=True,
        cost=(("futures", 20),),
        priority=min(command.priority for command in commands),
        order_ids=tuple(command.order_id for command in commands),
    )


def cancel_all(command: CancelAll, item: Instrument) -> Request:
    spot = item.market == "spot"
    return Request(
        tag=f"cancel_all:{item.id}",
        host=HOSTS[item.market],
        method="DELETE",
        path="/api/v1/hf/orders" if spot else "/api/v3/orders",
        query=query_of({"symbol": item.symbol}),
        signed=True,
        # The weight of spot's call by symbol is not told; that of its neighbour is 30.
        cost=((item.market, 30 if spot else 10),),
        priority=command.priority,
    )


def _posted(tag: str, path: str, content: object, weight: int, priority: Priority) -> Request:
    return Request(
        tag=tag, host=HOSTS["futures"], method="POST", path=path, body=_encode(content),
        headers=_JSON, signed=True, cost=(("futures", weight),), priority=priority,
    )  # fmt: skip


def position_mode(command: SetPositionMode) -> Request:
    """ValueError for spot, which has no positions."""
    if command.market != "futures":
        raise ValueError(f"position mode: expected market futures, found {command.market!r}")
    content = {"positionMode": "1" if command.mode == "hedge" else "0"}
    path = "/api/v2/position/switchPositionMode"
    return _posted(f"position_mode:{command.mode}", path, content, 4, command.priority)


def leverage(command: SetLeverage, item: Instrument, margin: Margin) -> Request:
    """In cross the contract has a leverage. Isolated, it comes with each order: there we only
    make sure that the contract is isolated. ValueError for spot and for a leverage below 1."""
    if not item.is_derivative:
        raise ValueError(f"leverage: expected a futures contract, found {item.id}")
    if command.leverage < 1:
        raise ValueError(f"leverage: expected at least 1, found {command.leverage}")
    tag = f"leverage:{item.id}"
    if margin.mode == "cross":
        content = {"symbol": item.symbol, "leverage": format(command.leverage, "f")}
        path = "/api/v2/changeCrossUserLeverage"
        return _posted(tag, path, content, 2, command.priority)
    return Request(
        tag=tag,
        host=HOSTS["futures"],
        path="/api/v2/position/getMarginMode",
        query=query_of({"symbol": item.symbol}),
        signed=True,
        cost=(("futures", 2),),
        priority=command.priority,
    )


def dead_man(settings: KucoinSettings) -> Sequence[tuple[int, Request]]:
    """The renewal of the switch, three times within its patience; it starts with the first."""
    if settings.dead_man_ms <= 0:
        return ()
    least, most = _DEAD_MAN_S
    timeout = min(most, max(least, -(-settings.dead_man_ms // 1000)))
    parts = (split_id(name) for name in settings.wanted)
    symbols = ",".join(symbol for _, market, symbol in parts if market == "spot")
    request = Request(
        tag="dead_man",
        host=HOSTS["spot"],
        method="POST",
        path="/api/v1/hf/orders/dead-cancel-all",
        body=_encode({"timeout": timeout, "symbols": symbols}),  # no symbols: all of them
        headers=_JSON,
        signed=True,
        cost=(("spot", 2),),
        priority=Priority.CANCEL,
    )
    return ((timeout * 1000 // 3, request),)

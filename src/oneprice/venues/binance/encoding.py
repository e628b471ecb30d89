"""From commands to requests: the same parameters as a WebSocket call or as a REST call."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlencode

import msgspec

from oneprice.model.commands import (
    AmendOrder,
    AnyCommand,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Priority,
    QueryOrder,
    TimeInForce,
)
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import InstrumentId
from oneprice.venues.binance.facts import ENTRIES, PRODUCTS, Entry
from oneprice.venues.binance.reports import REPLACING
from oneprice.venues.contract import Request

Params = dict[str, str | int]

TRADES_PER_PAGE = 1_000
OrderCommand = PlaceOrder | AmendOrder | CancelOrder
_BATCH_MAX: Mapping[type, int] = {PlaceOrder: 5, AmendOrder: 5, CancelOrder: 10}
_FILLS_BY_ORDER_WEIGHT = 5
_SELF_TRADE = {
    "taker": "EXPIRE_TAKER",
    "maker": "EXPIRE_MAKER",
    "both": "EXPIRE_BOTH",
    "none": "NONE",
}
_TIME_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
}


class BinanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the documents leave to us."""

    order_entry: Literal["socket", "rest"] = "socket"
    # An order that arrives later than this is refused rather than stale.
    recv_window_ms: int = 2_000
    # Whose order dies when we would trade with ourselves: the newcomer's or the resting one's.
    # Always sent, because the documented defaults of REST and WebSocket differ.
    self_trade: Literal["taker", "maker", "both", "none"] = "taker"
    # Orders of the wanted futures are cancelled when we were silent for so long; 0: they are not.
    dead_man_ms: int = 0
    # Instruments that we mean to trade: their fees and leverage are asked, their flat state told.
    wanted: tuple[InstrumentId, ...] = ()

    def __post_init__(self) -> None:
        if self.dead_man_ms and self.dead_man_ms < 4_000:
            raise ValueError(f"dead_man_ms: expected 0 or 4000 and more, found {self.dead_man_ms}")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call before it is known how it travels. `method` "" exists over REST only."""

    kind: str
    method: str = ""
    verb: str = "GET"
    path: str
    params: Params
    cost: tuple[tuple[str, int], ...]
    priority: Priority
    order_id: str = ""


def place(command: PlaceOrder, item: Instrument, settings: BinanceSettings) -> Call:
    entry = ENTRIES[item.market]
    params: Params = {
        **_checked(command.order_id, item, entry),
        "side": command.side.name,
        **_kind(command.time_in_force, entry),
        "quantity": item.size_text(command.lots),
        "price": item.price_text(command.ticks),
        "newOrderRespType": entry.answer,
        "selfTradePreventionMode": _SELF_TRADE[settings.self_trade],
    }
    if command.reduce_only and item.is_derivative:  # spot can only sell what it has
        params["reduceOnly"] = "true"
    return Call(
        kind="place",
        method="order.place",
        verb="POST",
        path=entry.order_path,
        params=params,
        cost=entry.place_cost,
        priority=command.priority,
        order_id=command.order_id,
    )


def amend(command: AmendOrder, item: Instrument, settings: BinanceSettings, count: int) -> Call:
    """Change a resting order: modified on futures, replaced under its own id on spot.

    A replacement asks for the whole size anew, so it is allowed only while nothing has filled
    (cancelRestrictions); a partly filled spot order can only be reduced, see `reduce`.
    """
    entry = ENTRIES[item.market]
    if item.is_derivative:
        method, verb, path = "order.modify", "PUT", entry.order_path
        params: Params = {
            "symbol": item.symbol,
            "origClientOrderId": command.order_id,
            **_change(command, item),
        }
    else:
        method, verb, path = "order.cancelReplace", "POST", f"{entry.order_path}/cancelReplace"
        params = {
            **_checked(command.order_id, item, entry),
            "cancelReplaceMode": "STOP_ON_FAILURE",
            "cancelRestrictions": "ONLY_NEW",
            "cancelOrigClientOrderId": command.order_id,
            "cancelNewClientOrderId": f"{REPLACING}{count}",
            "type": "LIMIT",
            "timeInForce": "GTC",
            **_change(command, item),
            "newOrderRespType": entry.answer,
            "selfTradePreventionMode": _SELF_TRADE[settings.self_trade],
        }
    return Call(
        kind="amend",
        method=method,
        verb=verb,
        path=path,
        params=params,
        cost=entry.place_cost,
        priority=command.priority,
        order_id=command.order_id,
    )


def reduce(command: AmendOrder, item: Instrument) -> Call:
    """Make a spot order smaller where it stands: it keeps its place in the queue and its id."""
    entry = ENTRIES[item.market]
    return Call(
        kind="amend",
        method="order.amend.keepPriority",
        verb="PUT",
        path=f"{entry.order_path}/amend/keepPriority",
        params={
            **_checked(command.order_id, item, entry),
            "origClientOrderId": command.order_id,
            "newQty": item.size_text(command.lots),
        },
        cost=(("spot_weight", 4),),
        priority=command.priority,
        order_id=command.order_id,
    )


def _change(command: AmendOrder, item: Instrument) -> Params:
    return {
        "side": command.side.name,
        "quantity": item.size_text(command.lots),
        "price": item.price_text(command.ticks),
    }


def cancel(command: CancelOrder, item: Instrument) -> Call:
    entry = ENTRIES[item.market]
    return Call(
        kind="cancel",
        method="order.cancel",
        verb="DELETE",
        path=entry.order_path,
        params={"symbol": item.symbol, "origClientOrderId": command.order_id},
        cost=entry.cancel_cost,
        priority=command.priority,
        order_id=command.order_id,
    )


def cancel_all(command: CancelAll, item: Instrument) -> Call:
    entry = ENTRIES[item.market]
    return Call(
        kind="cancel_all",
        method="" if item.is_derivative else "openOrders.cancelAll",
        verb="DELETE",
        path=entry.cancel_all_path,
        params={"symbol": item.symbol},
        cost=entry.cancel_cost,
        priority=command.priority,
    )


def query(command: QueryOrder, item: Instrument, venue_order_id: str) -> tuple[Call, Call]:
    """The order's state, and its fills: of this order where the venue's id is known."""
    entry, weight = ENTRIES[item.market], PRODUCTS[item.market].weight
    fills: Params = {"symbol": item.symbol}
    fills_weight = entry.fills_weight
    if venue_order_id:
        fills["orderId"] = int(venue_order_id)
        fills_weight = _FILLS_BY_ORDER_WEIGHT
    else:
        fills["limit"] = TRADES_PER_PAGE
    state = Call(
        kind="query",
        path=entry.order_path,
        params={"symbol": item.symbol, "origClientOrderId": command.order_id},
        cost=((weight, entry.query_weight),),
        priority=command.priority,
        order_id=command.order_id,
    )
    trades = Call(
        kind="fills",
        path=entry.fills_path,
        params=fills,
        cost=((weight, fills_weight),),
        priority=command.priority,
        order_id=command.order_id,
    )
    return state, trades


def request_of(call: Call, item: Instrument, settings: BinanceSettings, count: int) -> Request:
    """The request for a call; its tag tells everything that the answer needs to be understood."""
    entry = ENTRIES[item.market]
    window: Mapping[str, int] = {"recvWindow": settings.recv_window_ms}
    tag = f"{call.kind}:{item.id}:{call.order_id}"
    if call.method and entry.orders and settings.order_entry != "rest":
        frame = {"id": ws_id(count), "method": call.method, "params": {**call.params, **window}}
        return Request(
            tag=tag,
            socket=entry.orders,
            body=msgspec.json.encode(frame),
            signed=True,
            cost=call.cost,
            priority=call.priority,
            order_id=call.order_id,
        )
    return Request(
        tag=tag,
        host=PRODUCTS[item.market].rest,
        method=call.verb,
        path=call.path,
        query=urlencode({**call.params, **window}),
        signed=True,
        cost=call.cost,
        priority=call.priority,
        order_id=call.order_id,
    )


def batches(commands: Sequence[AnyCommand]) -> Sequence[Sequence[AnyCommand]]:
    """Neighbours that one request can hold together, everything else alone; the order is kept."""
    out: list[list[AnyCommand]] = []
    before: object = None
    for command in commands:
        group = None
        if isinstance(command, OrderCommand):
            _, market, symbol = split_id(command.instrument)
            if market in ENTRIES and ENTRIES[market].contracts is not None:
                # Cancels of one request are of one symbol.
                one = symbol if isinstance(command, CancelOrder) else ""
                group = (type(command), market, one)
        if group is not None and group == before and len(out[-1]) < _BATCH_MAX[group[0]]:
            out[-1].append(command)
        else:
            out.append([command])
        before = group
    return out


def batch_of(calls: Sequence[Call], market: str, settings: BinanceSettings, tag: str) -> Request:
    """One request for several calls of one kind on futures, as `batches` puts them together."""
    contracts, kind = ENTRIES[market].contracts, calls[0].kind
    if contracts is None:
        raise ValueError(f"market {market!r} has no batches")
    if kind == "cancel":
        names = [str(call.params["origClientOrderId"]) for call in calls]
        said: Params = {
            "symbol": calls[0].params["symbol"],
            "origClientOrderIdList": msgspec.json.encode(names).decode(),
        }
        cost: tuple[tuple[str, int], ...] = (("futures_weight", 1),)
    else:
        rows = [call.params for call in calls]
        said = {"batchOrders": msgspec.json.encode(rows).decode()}
        cost = (
            ("futures_weight", 5),
            ("futures_orders_10s", len(calls)),
            ("futures_orders_1m", 1),
        )
    return Request(
        tag=tag,
        host=PRODUCTS[market].rest,
        method=calls[0].verb,
        path=contracts.batch,
        query=urlencode({**said, "recvWindow": settings.recv_window_ms}),
        signed=True,
        cost=cost,
        priority=min(call.priority for call in calls),
        order_ids=tuple(call.order_id for call in calls),
    )


def ws_id(count: int) -> str:
    return f"o-{count}"


def _kind(time_in_force: TimeInForce, entry: Entry) -> Params:
    if time_in_force is not TimeInForce.POST_ONLY:
        return {"type": "LIMIT", "timeInForce": _TIME_IN_FORCE[time_in_force]}
    if entry.post_only:
        return {"type": "LIMIT", "timeInForce": entry.post_only}
    return {"type": "LIMIT_MAKER"}


def _checked(order_id: str, item: Instrument, entry: Entry) -> Params:
    """Symbol and client id; ValueError for an id that the venue would refuse."""
    if not re.fullmatch(entry.id_pattern, order_id):
        raise ValueError(
            f"order_id {order_id!r}: {item.venue} {item.market} expects {entry.id_pattern}"
        )
    return {"symbol": item.symbol, "newClientOrderId": order_id}

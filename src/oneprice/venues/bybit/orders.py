"""Orders in Bybit's words: single ones, many in one request, and what was asked of which.

Source: Bybit v5 docs, "Place Order", "Batch Place Order", "WebSocket Trade Guidelines".
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.commands import (
    AmendOrder,
    AnyCommand,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Priority,
    TimeInForce,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId, Side
from oneprice.venues.bybit import SPEC, pace_of
from oneprice.venues.contract import Request

OrderCommand = PlaceOrder | AmendOrder | CancelOrder

# The docs name 20 (spot 10) orders on one page and 10 on another; ten are within both.
BATCH_MAX = 10
VERBS: Mapping[str, str] = {"create": "place", "amend": "amend", "cancel": "cancel"}

_TIME_IN_FORCE: Mapping[TimeInForce, str] = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
# What the venue calls each of our ways out of a trade with ourselves; the taker's flag decides.
SELF_TRADE: Mapping[str, str] = {
    "taker": "CancelTaker",
    "maker": "CancelMaker",
    "both": "CancelBoth",
    "none": "None",
}
_BUCKETS: Mapping[tuple[str, str], str] = {
    (what, market): f"{what.replace('-', '_')}:{pace_of(market)}"
    for what in (*VERBS, *(f"{verb}-batch" for verb in VERBS), "cancel-all")
    for market in SPEC.markets
}
STAMP = b'"X-BAPI-TIMESTAMP":"0"'
_ID_CHARS_MAX = 36
_LINK_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{_ID_CHARS_MAX}}}")
_ASKED_MAX = 4096  # answers that never came must not fill the memory
_ENCODER = msgspec.json.Encoder()


class Asked(msgspec.Struct, frozen=True):
    """A request on its way: what it wants, of which orders, from which allowance."""

    verb: str
    order_ids: tuple[OrderId, ...]
    bucket: str


class Orders:
    """Says what we want of orders, and remembers it until the answer is there."""

    def __init__(self, *, by_rest: bool, self_trade: str, window_ms: int) -> None:
        self._by_rest = by_rest
        self._self_trade = SELF_TRADE[self_trade]
        # The stamp is put in when the order leaves.
        header = {"X-BAPI-TIMESTAMP": "0", "X-BAPI-RECV-WINDOW": str(window_ms)}
        self._header = _ENCODER.encode(header)
        self._forms: dict[InstrumentId, str] = {}
        self._asked: dict[str, Asked] = {}
        self._count = 0

    def take(self, key: str) -> Asked | None:
        """Who asked under this request id or tag; once."""
        return self._asked.pop(key, None)

    def one(self, command: OrderCommand, item: Instrument, at: Nanos) -> Request:
        """A request about one order; ValueError for an id that the venue would not take."""
        what = _what(command)
        args = f'{{"category":"{item.market}",{self._words(command, item)}}}'
        return self._send(what, item.market, args, (command.order_id,), command.priority, at)

    def many(
        self, commands: Sequence[tuple[OrderCommand, Instrument]], at: Nanos
    ) -> Sequence[Request]:
        """Requests about many orders of one kind and market, in batches."""
        if len(commands) == 1:
            return (self.one(*commands[0], at),)
        market = commands[0][1].market
        out = []
        for start in range(0, len(commands), BATCH_MAX):
            some = commands[start : start + BATCH_MAX]
            rows = ",".join(f"{{{self._words(command, item)}}}" for command, item in some)
            args = f'{{"category":"{market}","request":[{rows}]}}'
            ids = tuple(command.order_id for command, _ in some)
            priority = min(command.priority for command, _ in some)
            what = f"{_what(some[0][0])}-batch"
            out.append(self._send(what, market, args, ids, priority, at))
        return out

    def cancel_all(self, command: CancelAll, item: Instrument) -> Request:
        """Always over HTTP: the order socket has no such operation."""
        tag, bucket = f"cancel_all:{item.id}", _BUCKETS["cancel-all", item.market]
        self._remember(tag, Asked("cancel_all", (), bucket))
        body = _ENCODER.encode({"category": item.market, "symbol": item.symbol})
        return posted(tag, "/v5/order/cancel-all", body, bucket, command.priority)

    def _send(
        self,
        what: str,
        market: str,
        args: str,
        ids: tuple[OrderId, ...],
        priority: Priority,
        at: Nanos,
    ) -> Request:
        verb, bucket = VERBS[what.removesuffix("-batch")], _BUCKETS[what, market]
        batch = what.endswith("-batch")
        self._count += 1
        tag = f"{verb}_many:{self._count}" if batch else f"{verb}:{ids[0]}"
        asked = Asked(verb, ids, bucket)
        if self._by_rest:
            self._remember(tag, asked)
            request = posted(tag, f"/v5/order/{what}", args.encode(), bucket, priority, len(ids))
        else:
            # The docs never say when an id is free again: the moment makes it new after a restart.
            request_id = f"{at:x}-{self._count:x}"
            self._remember(request_id, asked)
            body = b'{"reqId":"%b","header":%b,"op":"order.%b","args":[%b]}' % (
                request_id.encode(),
                self._header,
                what.encode(),
                args.encode(),
            )
            request = Request(
                tag=tag,
                socket="trade",
                body=body,
                signed=True,
                cost=((bucket, len(ids)),),
                priority=priority,
            )
        if batch:
            return msgspec.structs.replace(request, order_ids=ids)
        return msgspec.structs.replace(request, order_id=ids[0])

    def _remember(self, key: str, asked: Asked) -> None:
        self._asked[key] = asked
        if len(self._asked) > _ASKED_MAX:
            del self._asked[next(iter(self._asked))]

    # Words: numbers, words of ours and an id that was checked, so nothing needs escaping. ----

    def _words(self, command: OrderCommand, item: Instrument) -> str:
        link = f'"orderLinkId":"{_checked(command.order_id)}"'
        match command:
            case PlaceOrder():
                return f"{self._placing(command, item)},{link}"
            case AmendOrder():
                return (
                    f'{_symbol(item)},"qty":"{item.size_text(command.lots)}",'
                    f'"price":"{item.price_text(command.ticks)}",{link}'
                )
        return f"{_symbol(item)},{link}"

    def _placing(self, command: PlaceOrder, item: Instrument) -> str:
        form = self._forms.get(item.id)
        if form is None:
            form = f'{_symbol(item)},"orderType":"Limit","smpType":"{self._self_trade}"'
            if item.is_derivative:
                form += ',"positionIdx":0'
            self._forms[item.id] = form
        side = "Buy" if command.side is Side.BUY else "Sell"
        reduce = ""
        if item.is_derivative:
            reduce = ',"reduceOnly":true' if command.reduce_only else ',"reduceOnly":false'
        return (
            f'{form},"side":"{side}","qty":"{item.size_text(command.lots)}",'
            f'"price":"{item.price_text(command.ticks)}",'
            f'"timeInForce":"{_TIME_IN_FORCE[command.time_in_force]}"{reduce}'
        )


def batches(commands: Sequence[AnyCommand]) -> Sequence[Sequence[AnyCommand]]:
    """Neighbours of one kind and market together, everything else alone; the order is kept."""
    out: list[list[AnyCommand]] = []
    before: object = None
    for command in commands:
        group = None
        if isinstance(command, OrderCommand):
            group = (type(command), command.instrument.split(":")[:2])
        if group is not None and group == before:
            out[-1].append(command)
        else:
            out.append([command])
        before = group
    return out


def posted(
    tag: str, path: str, body: bytes, bucket: str, priority: Priority, amount: int = 1
) -> Request:
    """A signed call that changes something."""
    return Request(
        tag=tag,
        host="rest",
        method="POST",
        path=path,
        headers=(("Content-Type", "application/json"),),
        body=body,
        signed=True,
        cost=(("ip", 1), (bucket, amount)),
        priority=priority,
    )


def _what(command: OrderCommand) -> str:
    match command:
        case PlaceOrder():
            return "create"
        case AmendOrder():
            return "amend"
    return "cancel"


def _symbol(item: Instrument) -> str:
    return f'"symbol":{_ENCODER.encode(item.symbol).decode()}'


def _checked(order_id: OrderId) -> OrderId:
    if _LINK_ID.fullmatch(order_id) is None:
        raise ValueError(
            f"order id: expected 1 to {_ID_CHARS_MAX} of A-Z a-z 0-9 _ -, found {order_id!r}"
        )
    return order_id

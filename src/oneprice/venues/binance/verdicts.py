"""What an answer to an order request means: for one order, for all of one, for each of a batch."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from oneprice.model.events import (
    AmendRefused,
    AnyEvent,
    CancelRefused,
    OrderEnded,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import InstrumentId, Lots, Nanos, OrderId
from oneprice.venues.binance.answers import Reply, read_error, rejected
from oneprice.venues.binance.facts import VENUE
from oneprice.venues.binance.numbers import UNREADABLE, decimal
from oneprice.venues.binance.private_frames import OrderState, ReducedAnswer, Replaced
from oneprice.venues.binance.refusals import Verdict, verdict, word
from oneprice.venues.binance.reports import LIVE, accepted, amended, state_events

_state = msgspec.json.Decoder(OrderState)
_reduced = msgspec.json.Decoder(ReducedAnswer)


def of_order(
    kind: str, reply: Reply, order_id: OrderId, item: Instrument, at: Nanos
) -> Sequence[AnyEvent]:
    """Events of an answer to place, amend or cancel; may raise what reading raises."""
    if kind == "amend" and not item.is_derivative:
        return _changed_spot(reply, order_id, item, at)
    if reply.verdict is not Verdict.DONE:
        return (_no(kind, reply, order_id, at),)
    state = _state.decode(reply.body)
    if kind == "cancel":
        return _cancelled(state, order_id, item, at)
    events = state_events(state, order_id, item, at)
    if kind == "amend" and state.status in LIVE:
        events += amended(order_id, state.price, state.origQty, item, at)
    return events


def of_all(reply: Reply, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
    """Events of an answer to "cancel everything"."""
    if reply.verdict is not Verdict.DONE:
        if reply.word == "no_such_order":
            return ()  # nothing was open
        problem = f"{reply.tag}: {reply.text or 'no answer'}"
        return (rejected("", problem, reply.body, at),)
    if item.is_derivative:
        return ()  # an acknowledgement only; the stream tells each end
    events: list[AnyEvent] = []
    for raw in msgspec.json.decode(reply.body, type=list[Raw]):
        state = _state.decode(raw)
        if state.origClientOrderId:
            events.extend(_cancelled(state, state.origClientOrderId, item, at))
    return events


def of_many(
    kind: str,
    reply: Reply,
    order_ids: Sequence[OrderId],
    listed: Mapping[InstrumentId, Instrument],
    at: Nanos,
) -> Sequence[AnyEvent]:
    """Events of an answer to a batch, order by order; one it does not name is uncertain."""
    if reply.verdict is not Verdict.DONE:
        return [_no(kind, reply, order_id, at) for order_id in order_ids]
    try:
        rows = msgspec.json.decode(reply.body, type=list[Raw])
    except UNREADABLE:
        rows = []
    events: list[AnyEvent] = []
    for place, order_id in enumerate(order_ids):
        row = rows[place] if place < len(rows) else Raw(b"null")
        try:
            events += _of_row(kind, reply, row, order_id, listed, at)
        except UNREADABLE as error:
            events.append(rejected("", f"{reply.tag}: {error}", row, at))
            reason = "unreadable answer"
            events.append(OrderUncertain(at=at, order_id=order_id, reason=reason))
    return events


def _of_row(
    kind: str,
    reply: Reply,
    row: Raw,
    order_id: OrderId,
    listed: Mapping[InstrumentId, Instrument],
    at: Nanos,
) -> Sequence[AnyEvent]:
    error = read_error(row)
    if error.code < 0:
        # Each order is answered as if it had been sent alone.
        one = msgspec.structs.replace(reply, status=400, code=error.code, text=error.msg)
        return (_no(kind, one, order_id, at),)
    state = _state.decode(row)
    if state.clientOrderId != order_id:
        raise ValueError(f"clientOrderId: expected {order_id}, found {state.clientOrderId[:40]!r}")
    item = listed[instrument_id(VENUE, reply.market, state.symbol)]
    one = msgspec.structs.replace(reply, body=row)
    return of_order(kind, one, order_id, item, at)


def _no(kind: str, reply: Reply, order_id: OrderId, at: Nanos) -> AnyEvent:
    if reply.verdict is Verdict.UNCERTAIN:
        return _uncertain(reply, order_id, at)
    match kind:
        case "place":
            return OrderRefused(at=at, order_id=order_id, reason=reply.word, text=reply.text)
        case "amend":
            return AmendRefused(at=at, order_id=order_id, reason=reply.word, text=reply.text)
    return CancelRefused(at=at, order_id=order_id, reason=reply.word, text=reply.text)


def _uncertain(reply: Reply, order_id: OrderId, at: Nanos) -> OrderUncertain:
    return OrderUncertain(at=at, order_id=order_id, reason=reply.text or "no answer")


def _cancelled(
    state: OrderState, order_id: OrderId, item: Instrument, at: Nanos
) -> Sequence[AnyEvent]:
    """A cancel that worked ends the order here only if nothing had filled; else the stream."""
    if state.status != "CANCELED" or item.lots(decimal(state.executedQty)):
        return ()
    return (OrderEnded(at=at, order_id=order_id, filled_lots=Lots(0), reason="cancelled"),)


def _changed_spot(
    reply: Reply, order_id: OrderId, item: Instrument, at: Nanos
) -> Sequence[AnyEvent]:
    """A spot order made smaller, or cancelled and placed anew under the same id.

    (protocol reference 5.2)
    """
    if reply.verdict is not Verdict.DONE:
        return _not_changed(reply, order_id, item, at)
    both = msgspec.json.decode(reply.body, type=Replaced)
    if bytes(both.newOrderResponse):
        state = _state.decode(both.newOrderResponse)
        events = state_events(state, order_id, item, at)
        if state.status in LIVE:
            events += amended(order_id, state.price, state.origQty, item, at)
        return events
    order = _reduced.decode(reply.body).amendedOrder
    live = order.status in LIVE
    return [
        accepted(order_id, order.orderId, live, at),
        *(amended(order_id, order.price, order.qty, item, at) if live else ()),
    ]


def _not_changed(
    reply: Reply, order_id: OrderId, item: Instrument, at: Nanos
) -> Sequence[AnyEvent]:
    if reply.verdict is Verdict.UNCERTAIN:
        return (_uncertain(reply, order_id, at),)
    told = bytes(reply.data) not in (b"", b"null")
    if reply.code not in (-2021, -2022) or not told:
        return (_no("amend", reply, order_id, at),)
    both = msgspec.json.decode(reply.data, type=Replaced)
    if both.cancelResult != "SUCCESS":
        error = read_error(both.cancelResponse)
        reason = word(item.market, error.code, error.msg)
        return (AmendRefused(at=at, order_id=order_id, reason=reason, text=error.msg),)
    error = read_error(both.newOrderResponse)
    if verdict(item.market, 400, error.code, error.msg) is not Verdict.REFUSED:
        return (OrderUncertain(at=at, order_id=order_id, reason=error.msg),)
    return (OrderEnded(at=at, order_id=order_id, filled_lots=Lots(0), reason="cancelled"),)

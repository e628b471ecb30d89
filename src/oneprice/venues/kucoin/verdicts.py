"""What an answer to an order request means, order by order.

Source: KuCoin API docs, "Add order", "Batch add orders", "Cancel". A code of 200000 means "taken
for processing"; items of a batch have their own verdicts, by client id.
"""

from collections.abc import Sequence

import msgspec

from oneprice.model.events import (
    AnyEvent,
    CancelRefused,
    OrderAccepted,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.units import Nanos
from oneprice.venues.contract import Answer
from oneprice.venues.kucoin.codes import DONE, unsure, word
from oneprice.venues.kucoin.rest import Failed, unread
from oneprice.venues.kucoin.rows import PLACED, Placed
from oneprice.venues.kucoin.wire import ROWS, UNREADABLE, Reply, excerpt

ORDER_VERBS = frozenset(("place", "place_many", "cancel", "cancel_many"))


def verdicts(verb: str, answer: Answer, reply: Reply | Failed, at: Nanos) -> Sequence[AnyEvent]:
    """Events for every order that the request concerned."""
    concerned = answer.order_ids or (answer.order_id or answer.tag.partition(":")[2],)
    places = verb.startswith("place")
    if isinstance(reply, Failed):
        return [_failed(places, order_id, reply, at) for order_id in concerned]
    if verb == "place":
        return [_taken(concerned[0], _placed(reply.data), at)]
    if verb == "cancel":
        return ()  # what came of it the stream tells
    try:
        rows = [PLACED.decode(raw) for raw in ROWS.decode(reply.data)]
    except UNREADABLE as error:
        shown = f"{error} | {excerpt(reply.data)}"
        failed = Failed(reason="unreadable_answer", text="", unsure=True)
        return [
            unread(verb, "unreadable_answer", shown, at),
            *(_failed(places, order_id, failed, at) for order_id in concerned),
        ]
    told = {_named(rows, concerned, place): row for place, row in enumerate(rows)}
    out: list[AnyEvent] = []
    for order_id in concerned:
        row = told.get(order_id)
        if row is None:
            gone = Failed(reason="unreadable_answer", text="not in the answer", unsure=True)
            out.append(_failed(places, order_id, gone, at))
            continue
        out += _item(places, order_id, row, at)
    return out


def _named(rows: Sequence[Placed], concerned: Sequence[str], place: int) -> str:
    """Whose row it is: a refusal names no order (section 8), but the rows come in our order.

    That is only relied on where every row that has a name stands at its place.
    """
    name = rows[place].client_oid or ""
    if name or len(rows) != len(concerned):
        return name
    names = [row.client_oid or own for row, own in zip(rows, concerned, strict=True)]
    return concerned[place] if names == list(concerned) else ""


def _placed(data: msgspec.Raw) -> Placed:
    """The ids an answer names; none where it names none: the code alone decides."""
    try:
        return PLACED.decode(data)
    except UNREADABLE:
        return Placed()


def _taken(order_id: str, row: Placed, at: Nanos) -> OrderAccepted:
    return OrderAccepted(at=at, order_id=order_id, venue_order_id=str(row.order_id or ""))


def _item(places: bool, order_id: str, row: Placed, at: Nanos) -> Sequence[AnyEvent]:
    """One row of a batch: `success` on spot, `code` on futures ("200" for a cancel)."""
    code = str(row.code or "")
    if row.success is True or (row.success is None and code in (DONE, "200")):
        return (_taken(order_id, row, at),) if places else ()
    said = row.fail_msg or row.msg or ""
    reason = word(code, said)
    # `success: false` says by itself that there is no such order, whatever its text.
    doubtful = unsure(code, reason) and not (row.success is False and reason == "unknown_code")
    failed = Failed(reason=reason, text=f"{code} {said}"[:200].strip(), unsure=doubtful)
    return (_failed(places, order_id, failed, at),)


def _failed(places: bool, order_id: str, failed: Failed, at: Nanos) -> AnyEvent:
    """A no to a new order ends it; a no to a cancel leaves the order as it is, and asking about
    it is then the engine's business. After a doubtful no the order is uncertain."""
    if failed.unsure:
        return OrderUncertain(at=at, order_id=order_id, reason=failed.reason)
    if places:
        return OrderRefused(at=at, order_id=order_id, reason=failed.reason, text=failed.text)
    return CancelRefused(at=at, order_id=order_id, reason=failed.reason, text=failed.text)

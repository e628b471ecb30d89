"""What an answer to an order request means, and what the table of orders says.

Source: protocol document, sections 11, 12 and 14. Only BitMEX's own words refuse an order; a
timeout, a page or a status nobody promised leaves it unknown.
"""

from collections.abc import Mapping, Sequence

from oneprice.model.events import (
    AmendRefused,
    AnyEvent,
    CancelRefused,
    KeyReported,
    OrderAccepted,
    OrderEnded,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId
from oneprice.venues.bitmex import NAME, account
from oneprice.venues.bitmex.codes import word
from oneprice.venues.bitmex.listing import known
from oneprice.venues.bitmex.rest import Failed, failure, pauses, told, unread
from oneprice.venues.bitmex.wire import KEY, ORDER, POSITION, ROWS, UNREADABLE, OrderRow, excerpt
from oneprice.venues.contract import HIDDEN, Answer, Output

_ASKED_MAX = 4096  # answers that never came must not fill the memory


class Verdicts:
    """Answers to orders, and rows of the table `order`, against what was told before."""

    def __init__(
        self, listed: Mapping[InstrumentId, Instrument], orders: account.Orders, key: str
    ) -> None:
        self._listed = listed
        self._key = key
        self._orders = orders
        self._asked: dict[str, InstrumentId] = {}

    def expect(self, tag: str, instrument: InstrumentId) -> None:
        """From now on the answer with this tag concerns this instrument."""
        self._asked[tag] = instrument
        if len(self._asked) > _ASKED_MAX:
            del self._asked[next(iter(self._asked))]

    # The stream -------------------------------------------------------------------------

    def order_row(self, row: OrderRow, action: str, at: Nanos) -> Sequence[AnyEvent]:
        """A row or a diff; LookupError for a diff of an order never told of."""
        if action == "delete":
            return ()  # the venue tidies its table: the end was told before
        whole = self._orders.merge(row, action)
        item = known(self._listed, whole.symbol)
        out: list[AnyEvent] = []
        if row.ord_status is not None:
            state = account.order(whole, item, at)
            out += [state] if state else []
        if action == "update" and (row.price is not None or row.order_qty is not None):
            changed = account.amended(whole, item, at)
            out += [changed] if changed else []
        return out

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        verb, _, subject = answer.tag.partition(":")
        failed = failure(answer)
        out: list[Output] = []
        if failed is not None:
            ordering = verb in ("place", "amend", "cancel", "cancel_many")
            out += pauses(failed, answer, "rest", at)
            out += _refused(verb, answer, failed, at) if ordering else [told(answer, failed, at)]
            return out
        try:
            match verb:
                case "place" | "amend":
                    out += self._one(verb, subject, answer, at)
                case "cancel" | "cancel_many" | "cancel_all":
                    out += self._cancelled(verb, answer, at)
                case "leverage":
                    place = POSITION.decode(answer.body)
                    out += account.leverage(place, known(self._listed, place.symbol), at)
                case "key":
                    out += self._keys(answer, at)
                case "dead_man":
                    pass
                case _:
                    raise ValueError("answer to no question")
        except UNREADABLE as error:
            shown = f"{answer.tag}: {error} | {excerpt(answer.body)}"
            out.append(unread(verb, "unreadable_answer", shown, at))
            out += [
                OrderUncertain(at=at, order_id=order_id, reason="unreadable_answer")
                for order_id in _concerned(verb, subject, answer)
            ]
        return out

    def _one(self, verb: str, order_id: OrderId, answer: Answer, at: Nanos) -> Sequence[AnyEvent]:
        row = ORDER.decode(answer.body)
        if row.client_id != order_id:
            raise ValueError(f"clOrdID: expected {order_id!r}, found {row.client_id!r}")
        instrument = self._asked.pop(answer.tag, "")
        item = known(self._listed, row.symbol)
        if instrument not in ("", item.id):
            raise ValueError(f"symbol: expected that of {instrument}, found {row.symbol!r}")
        state = account.order(row, item, at)
        self._orders.merge(row, "answer")
        if state is None:
            raise ValueError("clOrdID: expected ours, found none")
        if verb == "amend":
            changed = account.amended(row, item, at)
            return (changed,) if changed else (state,)
        if isinstance(state, OrderEnded):
            accepted = OrderAccepted(at=at, order_id=order_id, venue_order_id=row.order_id)
            return (accepted, state)
        return (state,)

    def _cancelled(self, verb: str, answer: Answer, at: Nanos) -> Sequence[AnyEvent]:
        """Each row stands for one order; an order that no row names is unknown."""
        left = dict.fromkeys(answer.order_ids or ((answer.order_id,) if answer.order_id else ()))
        if verb == "cancel":
            left[answer.tag.partition(":")[2]] = None
        out: list[AnyEvent] = []
        for raw in ROWS.decode(answer.body):
            row = ORDER.decode(raw)
            order_id = row.client_id or ""
            if not order_id:
                continue  # not of this system
            left.pop(order_id, None)
            if row.error:
                reason = word(row.error) or "unknown_code"
                out.append(
                    CancelRefused(at=at, order_id=order_id, reason=reason, text=row.error[:200])
                )
                continue
            state = account.order(row, known(self._listed, row.symbol), at)
            self._orders.merge(row, "answer")
            if state is not None and not isinstance(state, OrderAccepted):
                out.append(state)
        out += [OrderUncertain(at=at, order_id=name, reason="not_in_answer") for name in left]
        return out

    def _keys(self, answer: Answer, at: Nanos) -> Sequence[AnyEvent]:
        """The row of our key; permissions that are not texts may be anything."""
        rows = [KEY.decode(raw) for raw in ROWS.decode(answer.body)]
        rows = [row for row in rows if row.id in (self._key, HIDDEN)]
        if not rows:
            raise ValueError("id: expected our key among the rows, found it not")
        granted = [part for row in rows for part in row.permissions]
        names = [part for part in granted if isinstance(part, str)]
        strange = len(names) != len(granted)
        bound: dict[str, None] = {}
        for row in rows:
            for cidr in row.cidrs or [row.cidr or ""]:
                bound[cidr] = None
        free = any(cidr in bound for cidr in ("", "0.0.0.0/0", "::/0"))
        return (
            KeyReported(
                at=at,
                venue=NAME,
                may_trade=strange or "order" in names,
                may_withdraw=strange or "withdraw" in names,
                addresses=() if free else tuple(bound),
            ),
        )


def _concerned(verb: str, subject: str, answer: Answer) -> Sequence[OrderId]:
    if answer.order_ids:
        return answer.order_ids
    return (answer.order_id or subject,) if verb in ("place", "amend", "cancel") else ()


def _refused(verb: str, answer: Answer, failed: Failed, at: Nanos) -> Sequence[AnyEvent]:
    """A no to an order request, for every order in it."""
    out: list[AnyEvent] = []
    reason, text = failed.reason, failed.text
    for name in _concerned(verb, answer.tag.partition(":")[2], answer):
        if failed.unsure:
            out.append(OrderUncertain(at=at, order_id=name, reason=reason))
        elif verb == "place":
            # "Not Found" to a new order speaks of the route or the symbol, not of an order.
            ours = "bad_parameter" if reason == "no_such_order" else reason
            out.append(OrderRefused(at=at, order_id=name, reason=ours, text=text))
        elif verb == "amend":
            out.append(AmendRefused(at=at, order_id=name, reason=reason, text=text))
        else:
            out.append(CancelRefused(at=at, order_id=name, reason=reason, text=text))
    return out

"""What became of an order: the order's state and its fills are two questions, joined here."""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.events import (
    AnyEvent,
    OrderAccepted,
    OrderEnded,
    OrderMissing,
    OrderUncertain,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import Lots, Nanos, OrderId, Ticks
from oneprice.venues.binance.answers import Reply
from oneprice.venues.binance.numbers import decimal
from oneprice.venues.binance.private_frames import OrderState, OwnTrade
from oneprice.venues.binance.refusals import Verdict
from oneprice.venues.binance.reports import LIVE, amended, end_reason, trade_events

NO_SUCH_ORDER = -2013

_state = msgspec.json.Decoder(OrderState)
_trades = msgspec.json.Decoder(list[OwnTrade])


class _Inquiry(msgspec.Struct):
    state: OrderState | None = None
    trades: list[OwnTrade] | None = None


class Inquiries:
    """Open questions about orders, by client id; both answers make the verdict."""

    def __init__(self, terms: Mapping[OrderId, tuple[Ticks, Lots]]) -> None:
        """`terms` are the price and size of each order as last known, shared."""
        self._terms = terms
        self._open: dict[OrderId, _Inquiry] = {}

    def begin(self, order_id: OrderId) -> None:
        """Ask (again): answers to an earlier question that come from now on count for this."""
        self._open[order_id] = _Inquiry()

    def answered(
        self, kind: str, reply: Reply, order_id: OrderId, instrument: Instrument, at: Nanos
    ) -> Sequence[AnyEvent]:
        """Events once both answers are in. `kind` is "query" (the state) or "fills"."""
        inquiry = self._open.get(order_id)
        if inquiry is None:
            return ()
        if reply.verdict is not Verdict.DONE:
            del self._open[order_id]
            if kind == "query" and reply.code == NO_SUCH_ORDER:
                return (OrderMissing(at=at, order_id=order_id),)
            reason = f"{kind}: {reply.text or 'no answer'}"
            return (OrderUncertain(at=at, order_id=order_id, reason=reason),)
        if kind == "query":
            inquiry.state = _state.decode(reply.body)
        else:
            inquiry.trades = _trades.decode(reply.body)
        if inquiry.state is None or inquiry.trades is None:
            return ()
        del self._open[order_id]
        events = _joined(inquiry.state, inquiry.trades, order_id, instrument, at)
        if inquiry.state.status in LIVE and order_id in self._terms:
            # Whether an amend got through whose answer was lost, nobody else tells.
            state, known = inquiry.state, self._terms[order_id]
            told = amended(order_id, state.price, state.origQty, instrument, at)
            events += [each for each in told if (each.ticks, each.lots) != known]
        return events


def _joined(
    state: OrderState,
    trades: list[OwnTrade],
    order_id: OrderId,
    instrument: Instrument,
    at: Nanos,
) -> list[AnyEvent]:
    fills = trade_events(
        (trade for trade in trades if trade.orderId == state.orderId), order_id, instrument, at
    )
    found = Lots(sum(fill.lots for fill in fills))
    events: list[AnyEvent] = [*fills]
    reason = end_reason(state.status, state.timeInForce, "")
    if found < instrument.lots(decimal(state.executedQty)) or not (
        reason or state.status in (*LIVE, "PENDING_NEW")
    ):
        # The list of trades was read before the last of them, or does not reach back so far.
        events.append(OrderUncertain(at=at, order_id=order_id, reason="fills incomplete"))
    elif reason:
        events.append(OrderEnded(at=at, order_id=order_id, filled_lots=found, reason=reason))
    else:
        events.insert(
            0,
            OrderAccepted(
                at=at,
                order_id=order_id,
                venue_order_id=str(state.orderId),
                live=state.status in LIVE,
            ),
        )
    return events

"""What happened to our orders and money: from executions, states and statements to events."""

from collections.abc import Iterable, Mapping

from oneprice.model.events import (
    AnyEvent,
    BalanceReported,
    FrameRejected,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import EXACT, ZERO, InstrumentId, Lots, Nanos, OrderId, Side
from oneprice.venues.binance.facts import VENUE
from oneprice.venues.binance.numbers import UNREADABLE, decimal
from oneprice.venues.binance.private_frames import (
    AccountChange,
    Execution,
    OrderState,
    OwnTrade,
    ResponseFill,
    SpotBalance,
    UpdatedPosition,
)

# Ids that we give to the cancelling half of a replaced order begin so: its report must not end
# the order, which lives on under the same client id.
REPLACING = "oneprice-replace-"

LIVE = ("NEW", "PARTIALLY_FILLED")
_ENDED = {
    "FILLED": "filled",
    "CANCELED": "cancelled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "self_trade",
    "REJECTED": "rejected",
}
_EXPIRY = {"1": "self_trade", "3": "self_trade", "4": "reduce_only", "5": "liquidated"}
_REJECTS = {
    "INSUFFICIENT_BALANCE": "insufficient_funds",
    "INSUFFICIENT_BALANCES": "insufficient_funds",
}


def fill_id(instrument: Instrument, trade_id: int) -> str:
    """The venue's trade id made unique: Binance counts trades per product and symbol."""
    return f"{instrument.market}:{instrument.symbol}:{trade_id}"


def end_reason(status: str, time_in_force: str, expiry: str) -> str:
    """Why an order in this status is over; "" where it is not."""
    if status == "EXPIRED":
        return _EXPIRY.get(expiry, "post_only" if time_in_force == "GTX" else "expired")
    return _ENDED.get(status, "")


def execution_events(report: Execution, instrument: Instrument, at: Nanos) -> list[AnyEvent]:
    """Events of one executionReport or ORDER_TRADE_UPDATE (protocol reference 7 and 11)."""
    # On spot a cancel's report carries the cancel's own id in `c` and the order's in `C`.
    order_id = report.C if report.x == "CANCELED" and report.C else report.c
    events: list[AnyEvent] = []
    if report.x == "REJECTED":
        reason = _REJECTS.get(report.r, "unknown_code")
        return [OrderRefused(at=at, order_id=order_id, reason=reason, text=report.r)]
    if report.x in ("NEW", "REPLACED", "AMENDMENT") and report.X in (*LIVE, "PENDING_NEW"):
        events.append(_accepted(order_id, report.i, report.X in LIVE, at))
    if report.t > 0 and report.x in ("TRADE", "CALCULATED"):
        events.append(_executed(report, order_id, instrument, at))
    if report.x == "CANCELED" and report.c.startswith(REPLACING):
        return events
    if reason := end_reason(report.X, report.f, str(report.er)):
        lots = instrument.lots(decimal(report.z))
        events.append(OrderEnded(at=at, order_id=order_id, filled_lots=lots, reason=reason))
    elif report.X not in (*LIVE, "PENDING_NEW", "PENDING_CANCEL"):
        events.append(OrderUncertain(at=at, order_id=order_id, reason="unknown_status"))
    return events


def _accepted(order_id: OrderId, venue_id: int, live: bool, at: Nanos) -> OrderAccepted:
    return OrderAccepted(at=at, order_id=order_id, venue_order_id=str(venue_id), live=live)


def _executed(
    report: Execution, order_id: OrderId, instrument: Instrument, at: Nanos
) -> OrderFilled:
    return OrderFilled(
        at=at,
        order_id=order_id,
        instrument=instrument.id,
        fill_id=fill_id(instrument, report.t),
        side=Side[report.S],
        ticks=instrument.ticks(decimal(report.L)),
        lots=instrument.lots(decimal(report.l)),
        fee=decimal(report.n or "0"),
        fee_asset=report.N or instrument.quote,
        maker=report.m,
        venue_ms=report.T,
    )


def state_events(
    state: OrderState, order_id: OrderId, instrument: Instrument, at: Nanos
) -> list[AnyEvent]:
    """What the answer to a placement or a change says.

    An end is told only when every fill of the order is in the same answer; else the user's
    stream tells it, after the fills.
    """
    events: list[AnyEvent] = [_accepted(order_id, state.orderId, state.status in LIVE, at)]
    done = Lots(0)
    for fill in state.fills:
        event = _answered_fill(fill, state, order_id, instrument, at)
        done = Lots(done + event.lots)
        events.append(event)
    reason = end_reason(state.status, state.timeInForce, "")
    if reason and instrument.lots(decimal(state.executedQty)) == done:
        events.append(OrderEnded(at=at, order_id=order_id, filled_lots=done, reason=reason))
    return events


def _answered_fill(
    fill: ResponseFill, state: OrderState, order_id: OrderId, instrument: Instrument, at: Nanos
) -> OrderFilled:
    return OrderFilled(
        at=at,
        order_id=order_id,
        instrument=instrument.id,
        fill_id=fill_id(instrument, fill.tradeId),
        side=Side[state.side],
        ticks=instrument.ticks(decimal(fill.price)),
        lots=instrument.lots(decimal(fill.qty)),
        fee=decimal(fill.commission),
        fee_asset=fill.commissionAsset,
        venue_ms=state.transactTime,
    )


def trade_events(
    trades: Iterable[OwnTrade], order_id: OrderId, instrument: Instrument, at: Nanos
) -> list[OrderFilled]:
    """Fills from the venue's list of our trades."""
    return [
        OrderFilled(
            at=at,
            order_id=order_id,
            instrument=instrument.id,
            fill_id=fill_id(instrument, trade.id),
            side=Side.BUY if trade.isBuyer or trade.buyer else Side.SELL,
            ticks=instrument.ticks(decimal(trade.price)),
            lots=instrument.lots(decimal(trade.qty)),
            fee=decimal(trade.commission),
            fee_asset=trade.commissionAsset,
            maker=trade.isMaker or trade.maker,
            venue_ms=trade.time,
        )
        for trade in trades
    ]


def spot_balances(balances: Iterable[SpotBalance], at: Nanos) -> list[AnyEvent]:
    """Absolute balances of outboundAccountPosition."""
    return [
        BalanceReported(
            at=at,
            venue=VENUE,
            wallet="spot",
            asset=each.a,
            total=EXACT.add(decimal(each.f), decimal(each.l)),
            available=decimal(each.f),
        )
        for each in balances
    ]


def account_change(
    change: AccountChange, listed: Mapping[InstrumentId, Instrument], at: Nanos
) -> list[AnyEvent]:
    """Balances and positions of ACCOUNT_UPDATE.

    After a funding settlement the balance is not told from here: what explains it, the income
    record of each symbol, is asked for separately, and a total before its reason looks like a
    loss. A position that cannot be read is told as such; the rest of the frame still counts.
    """
    events: list[AnyEvent] = []
    if change.m != "FUNDING_FEE":
        events.extend(
            BalanceReported(
                at=at, venue=VENUE, wallet="usdm", asset=each.a, total=decimal(each.wb)
            )
            for each in change.B
        )
    for each in change.P:
        try:
            events.append(position(listed, each, at))
        except UNREADABLE as error:
            events.append(
                FrameRejected(at=at, venue=VENUE, socket="usdm_user", reason=f"position: {error}")
            )
    return events


def position(
    listed: Mapping[InstrumentId, Instrument], row: UpdatedPosition, at: Nanos
) -> PositionReported:
    """A signed position; ValueError unless it is of one-way mode and of a listed instrument."""
    name = instrument_id(VENUE, "usdm", row.s)
    if row.ps != "BOTH":
        raise ValueError(f"{name}: position side expected BOTH (one-way mode), found {row.ps}")
    if name not in listed:
        raise ValueError(f"{name}: not listed")
    lots = listed[name].lots(decimal(row.pa))
    entry = decimal(row.ep) if lots else ZERO
    return PositionReported(at=at, instrument=name, lots=lots, entry=entry)

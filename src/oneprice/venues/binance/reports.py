"""What happened to our orders and money: from executions, states and statements to events."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from oneprice.model.events import (
    AnyEvent,
    BalanceReported,
    FrameRejected,
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import EXACT, ZERO, InstrumentId, Lots, Nanos, OrderId, Side, Ticks
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


# Orders of the venue in our name begin so: what forced them. Deliveries are at an average price.
_FORCED = {
    "autoclose-": "liquidation",
    "adl_autoclose": "adl",
    "settlement_autoclose-": "delivery",
    "delivery_autoclose-": "delivery",
}


def forced(client_id: str, execution: str = "") -> str:
    """What made the venue trade for us: liquidation, adl, delivery; "" for orders of ours."""
    for beginning, cause in _FORCED.items():
        if client_id.startswith(beginning):
            return cause
    return "liquidation" if execution == "CALCULATED" else ""


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
    if cause := forced(report.c, report.x):
        # The order was never ours: only what it did to us counts.
        return [_executed(report, "", instrument, at, cause)] if report.t > 0 else []
    # On spot a cancel's report carries the cancel's own id in `c` and the order's in `C`.
    order_id = report.C if report.x == "CANCELED" and report.C else report.c
    events: list[AnyEvent] = []
    if report.x == "REJECTED":
        reason = _REJECTS.get(report.r, "unknown_code")
        return [OrderRefused(at=at, order_id=order_id, reason=reason, text=report.r)]
    if report.x in ("NEW", "REPLACED", "AMENDMENT") and report.X in (*LIVE, "PENDING_NEW"):
        events.append(accepted(order_id, report.i, report.X in LIVE, at))
        if report.x != "NEW":
            events.extend(amended(order_id, report.p, report.q, instrument, at))
    if report.t > 0 and report.x == "TRADE":
        events.append(_executed(report, order_id, instrument, at, "trade"))
    if report.x == "CANCELED" and report.c.startswith(REPLACING):
        return events
    if reason := end_reason(report.X, report.f, str(report.er)):
        lots = instrument.lots(decimal(report.z))
        events.append(OrderEnded(at=at, order_id=order_id, filled_lots=lots, reason=reason))
    elif report.X not in (*LIVE, "PENDING_NEW", "PENDING_CANCEL"):
        events.append(OrderUncertain(at=at, order_id=order_id, reason="unknown_status"))
    return events


def amended(
    order_id: OrderId, price: str, size: str, instrument: Instrument, at: Nanos
) -> list[OrderAmended]:
    """The terms an order rests at from now on; nothing where they are not told."""
    ticks, lots = instrument.ticks(decimal(price)), instrument.lots(decimal(size))
    if not (ticks and lots):
        return []
    return [OrderAmended(at=at, order_id=order_id, ticks=ticks, lots=lots)]


def accepted(order_id: OrderId, venue_id: int, live: bool, at: Nanos) -> OrderAccepted:
    return OrderAccepted(at=at, order_id=order_id, venue_order_id=str(venue_id), live=live)


def _executed(
    report: Execution, order_id: OrderId, instrument: Instrument, at: Nanos, cause: str
) -> OrderFilled:
    side = Side[report.S]
    return OrderFilled(
        at=at,
        order_id=order_id,
        instrument=instrument.id,
        fill_id=fill_id(instrument, report.t),
        side=side,
        ticks=_ticks(instrument, decimal(report.L), side, cause),
        lots=instrument.lots(decimal(report.l)),
        fee=decimal(report.n or "0"),
        fee_asset=report.N or instrument.settle,
        maker=report.m,
        venue_ms=report.T,
        cause=cause,
    )


def _ticks(instrument: Instrument, price: Decimal, side: Side, cause: str) -> Ticks:
    """Deleveraging and delivery may be off the grid: told to the tick, against us."""
    if cause in ("adl", "delivery"):
        return instrument.ticks_not_worse(price, side.opposite)
    return instrument.ticks(price)


def state_events(
    state: OrderState, order_id: OrderId, instrument: Instrument, at: Nanos
) -> list[AnyEvent]:
    """What the answer to a placement or a change says.

    An end is told only when every fill of the order is in the same answer; else the user's
    stream tells it, after the fills.
    """
    events: list[AnyEvent] = [accepted(order_id, state.orderId, state.status in LIVE, at)]
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
    trades: Iterable[OwnTrade],
    order_id: OrderId,
    instrument: Instrument,
    at: Nanos,
    cause: str = "trade",
) -> list[OrderFilled]:
    """Fills from the venue's list of our trades."""
    return [
        OrderFilled(
            at=at,
            order_id=order_id,
            instrument=instrument.id,
            fill_id=fill_id(instrument, trade.id),
            side=_trade_side(trade),
            ticks=_ticks(instrument, decimal(trade.price), _trade_side(trade), cause),
            lots=instrument.lots(decimal(trade.qty)),
            fee=decimal(trade.commission),
            fee_asset=trade.commissionAsset,
            maker=trade.isMaker or trade.maker,
            venue_ms=trade.time,
            cause=cause,
        )
        for trade in trades
    ]


def _trade_side(trade: OwnTrade) -> Side:
    return Side.BUY if trade.isBuyer or trade.buyer else Side.SELL


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
    change: AccountChange,
    market: str,
    listed: Mapping[InstrumentId, Instrument],
    at: Nanos,
) -> list[AnyEvent]:
    """Balances and positions of ACCOUNT_UPDATE on the socket of a market.

    After a funding settlement the balance is not told from here: what explains it, the income
    record of each symbol, is asked for separately, and a total before its reason looks like a
    loss. A position that cannot be read is told as such; the rest of the frame still counts.
    """
    events: list[AnyEvent] = []
    if change.m != "FUNDING_FEE":
        events.extend(
            BalanceReported(
                at=at, venue=VENUE, wallet=market, asset=each.a, total=decimal(each.wb)
            )
            for each in change.B
        )
    for each in change.P:
        try:
            events.extend(position(listed, futures_id(listed, market, each.s), each, at))
        except UNREADABLE as error:
            socket, reason = f"{market}_user", f"position: {error}"
            events.append(FrameRejected(at=at, venue=VENUE, socket=socket, reason=reason))
    return events


def futures_id(
    listed: Mapping[InstrumentId, Instrument], market: str, symbol: str
) -> InstrumentId:
    """The instrument of a symbol told about `market`.

    Since 2026-06-30 what tells of USD-M may tell of COIN-M, too; their symbols differ.
    """
    name = instrument_id(VENUE, market, symbol)
    other = instrument_id(VENUE, "coinm" if market == "usdm" else "usdm", symbol)
    return other if name not in listed and other in listed else name


def position(
    listed: Mapping[InstrumentId, Instrument], name: InstrumentId, row: UpdatedPosition, at: Nanos
) -> list[PositionReported]:
    """A signed position; ValueError unless it is of one-way mode and of a listed instrument.

    An empty half of a pair of positions says nothing.
    """
    if row.ps != "BOTH":
        if not decimal(row.pa):
            return []
        raise ValueError(f"{name}: position side expected BOTH (one-way mode), found {row.ps}")
    if name not in listed:
        raise ValueError(f"{name}: not listed")
    lots = listed[name].lots(decimal(row.pa))
    entry = decimal(row.ep) if lots else ZERO
    return [PositionReported(at=at, instrument=name, lots=lots, entry=entry)]

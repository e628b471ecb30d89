"""BitMEX's private rows to events, and the private tables merged from their diffs.

Source: protocol document, sections 8, 11, 12 and 13. Orders, positions and margins are keyed
tables: a diff names its key and what changed, so a cancel may say no client id. The table `order`
tells what became of an order, the table `execution` what was filled.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeVar

import msgspec

from oneprice.model.events import (
    AnyEvent,
    BalanceReported,
    FeesReported,
    FundingBooked,
    LeverageReported,
    OpenOrderReported,
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import ROUNDED, ZERO, Lots, Nanos, Ticks
from oneprice.venues.bitmex import MARKET, NAME
from oneprice.venues.bitmex.books import side_of
from oneprice.venues.bitmex.codes import ending, word
from oneprice.venues.bitmex.listing import amount, asset
from oneprice.venues.bitmex.wire import (
    CommissionRow,
    ExecutionRow,
    MarginRow,
    OrderRow,
    PositionRow,
    count,
    moment_ms,
    number,
    plainly,
)

_Row = TypeVar("_Row", PositionRow, MarginRow)

LIVE = ("New", "PartiallyFilled")
PENDING = ("PendingNew", "PendingCancel")
ENDED = ("Filled", "Canceled", "Rejected", "Expired", "DoneForDay", "Stopped")
_ORDERS_MAX = 8192  # ended orders are kept for diffs that come late, but not for ever

# Both words of either age (section 11).
_MAKERS = ("Added", "AddedLiquidity")
_TAKERS = ("Removed", "RemovedLiquidity", "", None)
# The document knows one word for liquidation and deleveraging alike.
_FORCED = {"Liquidation": "liquidation", "Bankruptcy": "liquidation", "Settlement": "delivery"}


class Orders:
    """Every order the stream or an answer told of, by the venue's id."""

    def __init__(self) -> None:
        self._rows: dict[str, OrderRow] = {}

    def merge(self, row: OrderRow, action: str) -> OrderRow:
        """The whole order after this row; LookupError for a diff of an order never told of."""
        old = self._rows.pop(row.order_id, None)
        if old is not None:
            # Stream and answers race: an answer may be older than what the stream has told.
            new = {} if action == "answer" else _named(row)
            row = msgspec.structs.replace(old, **new)
        elif action not in ("partial", "insert", "answer"):
            raise LookupError(f"{action} of order {row.order_id[:40]!r}, which was never told of")
        self._rows[plainly(row.order_id, "orderID")] = row
        if len(self._rows) > _ORDERS_MAX:
            del self._rows[next(iter(self._rows))]
        return row


def _named(row: OrderRow) -> dict[str, object]:
    fields = msgspec.structs.asdict(row)
    return {name: value for name, value in fields.items() if value not in (None, "")}


def order(row: OrderRow, item: Instrument, at: Nanos) -> AnyEvent | None:
    """What a whole order says; None for an order that is not of this system.

    An unknown status is a reason to ask, not to guess.
    """
    if not row.client_id:
        return None
    status = row.ord_status
    if status in LIVE or status in PENDING:
        return OrderAccepted(
            at=at,
            order_id=row.client_id,
            venue_order_id=row.order_id,
            live=status in LIVE,
        )
    if status not in ENDED:
        return OrderUncertain(at=at, order_id=row.client_id, reason="unknown_status")
    filled = item.lots(Decimal(count(row.cum_qty or 0, "cumQty")))
    if status == "Rejected" and not filled:
        said = row.reject_reason or row.text or ""
        reason = word(said) or ending(said) or "unknown_code"
        return OrderRefused(at=at, order_id=row.client_id, reason=reason, text=said[:200])
    return OrderEnded(at=at, order_id=row.client_id, filled_lots=filled, reason=_end(row))


def _end(row: OrderRow) -> str:
    match row.ord_status:
        case "Filled":
            return "filled"
        case "Rejected":
            return "rejected"
        case "Expired" | "DoneForDay":
            return "expired"
    said = ending(row.text or "")
    immediate = row.time_in_force in ("ImmediateOrCancel", "FillOrKill")
    return said or ("expired" if immediate else "cancelled")


def amended(row: OrderRow, item: Instrument, at: Nanos) -> OrderAmended | None:
    """The price and size of a resting order; None for an order that is not of this system."""
    if not row.client_id or row.ord_status not in LIVE:
        return None
    return OrderAmended(
        at=at, order_id=row.client_id, ticks=_ticks(row, item), lots=_lots(row, item)
    )


def _ticks(row: OrderRow, item: Instrument) -> Ticks:
    return item.ticks(number(row.price, "price"))


def _lots(row: OrderRow, item: Instrument) -> Lots:
    return item.lots(Decimal(count(row.order_qty, "orderQty")))


def open_order(row: OrderRow, item: Instrument, at: Nanos) -> OpenOrderReported:
    return OpenOrderReported(
        at=at,
        order_id=row.client_id or "",
        venue_order_id=row.order_id,
        instrument=item.id,
        side=side_of(row.side),
        # Stops that go to the market have no price.
        ticks=_ticks(row, item) if row.price is not None else Ticks(0),
        lots=_lots(row, item),
        filled_lots=item.lots(Decimal(count(row.cum_qty or 0, "cumQty"))),
    )


def execution(row: ExecutionRow, item: Instrument, at: Nanos) -> AnyEvent | None:
    """A fill or a funding payment; None for steps of an order's life, told by its own table."""
    stamp_ms = moment_ms(row.transact_time or row.timestamp, "transactTime")
    if row.exec_type == "Funding":
        # `execComm` above zero was paid. The document gives no field for the rate: it stays 0.
        return FundingBooked(
            at=at,
            instrument=item.id,
            record_id=plainly(row.exec_id, "execID"),
            amount=-_fee(row),
            asset=asset(row.settl_currency or ""),
            venue_ms=stamp_ms,
        )
    if row.exec_type == "Trade":
        return _filled(row, item, stamp_ms, at)
    if row.exec_type in _FORCED:
        if not row.last_qty:
            return None  # a note that it began
        return _filled(row, item, stamp_ms, at)
    return None


def _filled(row: ExecutionRow, item: Instrument, stamp_ms: int, at: Nanos) -> OrderFilled:
    cause = _FORCED.get(row.exec_type, "trade")
    price = number(row.last_px, "lastPx")
    if row.last_liquidity_ind not in (*_MAKERS, *_TAKERS):
        found = (row.last_liquidity_ind or "")[:20]
        raise ValueError(f"lastLiquidityInd: expected Added or Removed, found {found!r}")
    return OrderFilled(
        at=at,
        order_id="" if cause != "trade" else row.client_id or "",
        instrument=item.id,
        fill_id=plainly(row.exec_id, "execID"),
        side=side_of(row.side),
        # Settlement and bankruptcy prices are averages that need not be on the grid.
        ticks=item.ticks(price) if cause == "trade" else _nearest(price, item),
        lots=item.lots(Decimal(count(row.last_qty, "lastQty"))),
        fee=_fee(row),
        fee_asset=asset(row.settl_currency or ""),
        maker=row.last_liquidity_ind in _MAKERS,
        venue_ms=stamp_ms,
        cause=cause,
    )


def _nearest(price: Decimal, item: Instrument) -> Ticks:
    return Ticks(int(ROUNDED.divide(price, item.tick).to_integral_value(ROUND_HALF_EVEN)))


def _fee(row: ExecutionRow) -> Decimal:
    """What was paid, in whole coins; below zero is a rebate."""
    return amount(count(row.exec_comm, "execComm"), row.settl_currency or "")


# Positions and money ---------------------------------------------------------------------


class Holdings:
    """Positions and margins merged from their diffs."""

    def __init__(self) -> None:
        self._positions: dict[str, PositionRow] = {}
        self._margins: dict[str, MarginRow] = {}

    def position(self, row: PositionRow, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
        """Events where the row names what we look at: most diffs are new mark prices."""
        old = self._positions.get(row.symbol)
        whole = row if old is None else _over(old, row)
        out: list[AnyEvent] = []
        if row.current_qty is not None or row.avg_entry_price is not None:
            out.append(position(whole, item, at))
        if row.leverage is not None or row.cross_margin is not None:
            out += leverage(whole, item, at)
        self._positions[row.symbol] = whole
        return out

    def margin(self, row: MarginRow, at: Nanos) -> Sequence[AnyEvent]:
        old = self._margins.get(row.currency)
        whole = row if old is None else _over(old, row)
        out = []
        if row.wallet_balance is not None or row.available_margin is not None:
            out.append(balance(whole, at))
        self._margins[row.currency] = whole
        return out


def _over(old: _Row, new: _Row) -> _Row:
    fields = msgspec.structs.asdict(new)
    named = {name: value for name, value in fields.items() if value is not None}
    return msgspec.structs.replace(old, **named)


def position(row: PositionRow, item: Instrument, at: Nanos) -> PositionReported:
    """A signed position; ValueError in hedge mode, which this house does not use."""
    if is_hedged(row):
        raise ValueError(f"strategy: expected OneWay, found {row.strategy!r}")
    held = count(row.current_qty, "currentQty")
    if not held:
        return PositionReported(at=at, instrument=item.id, lots=Lots(0))
    liquidation = None
    if row.liquidation_price is not None:
        liquidation = max(ZERO, number(row.liquidation_price, "liquidationPrice"))
    return PositionReported(
        at=at,
        instrument=item.id,
        lots=item.lots(Decimal(held)),
        entry=number(row.avg_entry_price, "avgEntryPrice"),
        liquidation=liquidation,
        adl_rank=_adl_rank(row),
    )


def _adl_rank(row: PositionRow) -> int | None:
    """deleveragePercentile is 0 to 1 in fifths: the highest are deleveraged first."""
    if row.deleverage_percentile is None:
        return None
    share = number(row.deleverage_percentile, "deleveragePercentile")
    return sum(share > Decimal(fifth) / 5 for fifth in range(1, 5))


def is_hedged(row: PositionRow) -> bool:
    return row.strategy in ("Long", "Short")


def leverage(row: PositionRow, item: Instrument, at: Nanos) -> Sequence[LeverageReported]:
    """[] where the row says neither."""
    if row.leverage is None:
        return []
    cross = row.cross_margin
    return [
        LeverageReported(
            at=at,
            instrument=item.id,
            leverage=number(row.leverage, "leverage"),
            margin="" if cross is None else "cross" if cross else "isolated",
        )
    ]


def balance(row: MarginRow, at: Nanos) -> BalanceReported:
    free = row.available_margin
    return BalanceReported(
        at=at,
        venue=NAME,
        wallet="margin",
        asset=asset(row.currency),
        total=amount(count(row.wallet_balance, "walletBalance"), row.currency),
        available=None if free is None else amount(count(free, "availableMargin"), row.currency),
    )


def fees(symbol: str, row: CommissionRow, at: Nanos) -> FeesReported:
    """Fractions of notional; below zero is a rebate."""
    return FeesReported(
        at=at,
        venue=NAME,
        market=MARKET,
        symbol=symbol,
        maker=number(row.maker_fee, "makerFee"),
        taker=number(row.taker_fee, "takerFee"),
    )

"""Bybit's private rows to events, the same for the stream and for REST answers.

Source: Bybit v5 docs, private stream "Order", "Execution", "Position", "Wallet", "Enum
Definitions", and "Get Transaction Log". Messages may come doubled and in any order of topics:
each row is translated on its own and nothing is remembered.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from oneprice.model.events import (
    AnyEvent,
    BalanceReported,
    FeesReported,
    FundingBooked,
    OpenOrderReported,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import ZERO, Asset, Lots, Nanos, Side
from oneprice.venues.bybit import NAME
from oneprice.venues.bybit.wire import (
    CoinRow,
    ExecutionRow,
    FeeRow,
    LogRow,
    OrderRow,
    PositionRow,
    WalletRow,
    decimal,
    decimal_or_zero,
    whole,
)

LIVE = frozenset(("New", "PartiallyFilled", "Untriggered", "Triggered", "Active", "Created"))
ENDED = frozenset(("Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated"))
# Executions that change what we hold; only the first is of an order of ours.
_CAUSES: Mapping[str, str] = {
    "Trade": "trade",
    "AdlTrade": "adl",
    "BustTrade": "liquidation",
    "Delivery": "delivery",
    "Settle": "delivery",
    # Not by orders of ours, and no force either: they change what we hold all the same.
    "BlockTrade": "trade",
    "MovePosition": "trade",
    "FutureSpread": "trade",
}

_BY_REJECT: Mapping[str, str] = {
    "EC_PostOnlyWillTakeLiquidity": "post_only",
    "EC_BySelfMatch": "self_trade",
    "EC_NoImmediateQtyToFill": "expired",
    "EC_CancelForNoFullFill": "expired",
    "EC_NoEnoughQtyToFill": "expired",
    "EC_ReachMaxTradeNum": "expired",
    "EC_ReachRiskPriceLimit": "price_limit",
    "EC_ReachMarketPriceLimit": "price_limit",
    "EC_InvalidSymbolStatus": "not_tradable",
    "EC_PerCancelRequest": "cancelled",
}
_BY_CANCEL: Mapping[str, str] = {
    "CancelBySmp": "self_trade",
    "CancelByReduceOnly": "reduce_only",
    "CancelByUser": "cancelled",
    "CancelByDCP": "disconnected",
    "CancelByAdmin": "admin",
    "CancelBySettle": "settled",
    "CancelByPrepareLiq": "liquidation",
    "CancelAllBeforeLiq": "liquidation",
    "CancelByPrepareAdl": "deleveraged",
    "CancelAllBeforeAdl": "deleveraged",
}


def side_of(text: str) -> Side:
    match text:
        case "Buy":
            return Side.BUY
        case "Sell":
            return Side.SELL
    raise ValueError(f"side: expected Buy or Sell, found {text[:20]!r}")


def order(row: OrderRow, item: Instrument, at: Nanos) -> AnyEvent:
    """What an order row says. An unknown status of an order is a reason to ask, not to guess."""
    if row.order_status in LIVE:
        return OrderAccepted(
            at=at, order_id=row.order_link_id, venue_order_id=row.order_id, live=True
        )
    if row.order_status in ENDED:
        filled = item.lots(decimal_or_zero(row.cum_exec_qty))
        return OrderEnded(at=at, order_id=row.order_link_id, filled_lots=filled, reason=_end(row))
    return OrderUncertain(at=at, order_id=row.order_link_id, reason="unknown_status")


def _end(row: OrderRow) -> str:
    if row.order_status == "Filled":
        return "filled"  # also the second message after a lost cancel race
    if row.reject_reason in _BY_REJECT:
        return _BY_REJECT[row.reject_reason]
    if row.cancel_type in _BY_CANCEL:
        return _BY_CANCEL[row.cancel_type]
    if row.order_status == "Rejected":
        return "rejected"
    return "expired" if row.time_in_force in ("IOC", "FOK") else "cancelled"


def open_order(row: OrderRow, item: Instrument, at: Nanos) -> OpenOrderReported:
    return OpenOrderReported(
        at=at,
        order_id=row.order_link_id,
        venue_order_id=row.order_id,
        instrument=item.id,
        side=side_of(row.side),
        ticks=item.ticks(decimal_or_zero(row.price)),  # conditional market orders have none
        lots=item.lots(decimal(row.qty)),
        filled_lots=item.lots(decimal_or_zero(row.cum_exec_qty)),
    )


def execution(row: ExecutionRow, item: Instrument, at: Nanos) -> AnyEvent:
    """A fill or a funding payment; ValueError for executions that are neither.

    What the venue forced has order id "": an order of the venue did it.
    """
    cause = _CAUSES.get(row.exec_type)
    if cause is not None:
        price, side = decimal(row.exec_price), side_of(row.side)
        # Contracts are delivered at an average, and deleveraged at a price that no document says
        # to be on the grid: told to the tick, against us.
        ticks = (
            item.ticks_not_worse(price, side.opposite)
            if cause in ("adl", "delivery")
            else item.ticks(price)
        )
        return OrderFilled(
            at=at,
            order_id=row.order_link_id if row.exec_type == "Trade" else "",
            instrument=item.id,
            # The docs want executions told apart by id and symbol together.
            fill_id=f"{row.exec_id}:{row.symbol}",
            side=side,
            ticks=ticks,
            lots=item.lots(decimal(row.exec_qty)),
            fee=decimal_or_zero(row.exec_fee),
            fee_asset=_fee_asset(row, item),
            maker=row.is_maker,
            venue_ms=whole(row.exec_time),
            cause=cause,
        )
    if row.exec_type == "Funding":
        paid_ms = whole(row.exec_time)
        return FundingBooked(
            at=at,
            instrument=item.id,
            record_id=_settlement(row.symbol, row.order_id, paid_ms),
            amount=-decimal(row.exec_fee),  # here above zero means paid
            asset=row.fee_currency or item.settle,
            rate=_rate(row.fee_rate, row.side),
            venue_ms=paid_ms,
        )
    raise ValueError(f"execution type {row.exec_type[:30]!r} is not booked")


def _fee_asset(row: ExecutionRow, item: Instrument) -> Asset:
    if row.fee_currency:
        return row.fee_currency
    if item.payoff is not Payoff.SPOT:
        return item.settle
    # Spot takes the fee from what was received; a maker's rebate comes in the other coin.
    rebate = row.is_maker and decimal_or_zero(row.exec_fee) < 0
    return item.base if (row.side == "Buy") is not rebate else item.quote


def settlement(row: LogRow, market: str, at: Nanos) -> FundingBooked:
    """A SETTLEMENT row of the transaction log; here above zero means received."""
    paid_ms = whole(row.transaction_time)
    return FundingBooked(
        at=at,
        instrument=instrument_id(NAME, market, row.symbol),
        record_id=_settlement(row.symbol, row.order_id, paid_ms),
        amount=decimal_or_zero(row.funding),
        asset=row.currency,
        rate=_rate(row.fee_rate, row.side),
        venue_ms=paid_ms,
    )


def _settlement(symbol: str, order_id: str, paid_ms: int) -> str:
    """One name for one payment, whichever of the two records tells it first.

    The docs promise no shared id. Both records carry an order id that begins with the second of
    the settlement, and one-way mode has one payment per symbol and settlement.
    """
    second = order_id.partition("-")[0]
    if len(second) == 10 and second.isascii() and second.isdigit():
        return f"{symbol}:{second}"
    return f"{symbol}:{paid_ms // 60_000 * 60}"


def _rate(text: str, side: str) -> Decimal:
    rate = decimal_or_zero(text)  # stated as a cost: turned round for shorts
    return -rate if side == "Sell" else rate


def position(row: PositionRow, item: Instrument, at: Nanos) -> PositionReported:
    """A signed position; ValueError in hedge mode, which this house does not use."""
    if row.position_idx != 0:
        raise ValueError(f"positionIdx: expected 0 (one-way mode), found {row.position_idx}")
    size = decimal_or_zero(row.size)
    if not size:
        return PositionReported(at=at, instrument=item.id, lots=Lots(0))
    return PositionReported(
        at=at,
        instrument=item.id,
        lots=item.lots(size * side_of(row.side)),
        entry=decimal_or_zero(row.entry_price or row.avg_price),
        liquidation=None if row.liq_price is None else max(ZERO, decimal_or_zero(row.liq_price)),
        adl_rank=_adl_rank(row.adl_rank_indicator),
    )


def _adl_rank(indicator: int | None) -> int | None:
    """adlRankIndicator is 1 (last) to 5 (first); 0, which goes with no position, says nothing."""
    return min(indicator, 5) - 1 if indicator is not None and indicator > 0 else None


def balances(row: WalletRow, at: Nanos) -> Sequence[BalanceReported]:
    return [
        BalanceReported(
            at=at,
            venue=NAME,
            wallet="unified",
            asset=coin.coin,
            total=decimal(coin.wallet_balance) - decimal_or_zero(coin.spot_borrow),
            available=_available(coin),
        )
        for coin in row.coin
    ]


def nothing(coin: Asset, at: Nanos) -> BalanceReported:
    """A coin that had a balance and is no longer in a full answer."""
    return BalanceReported(
        at=at, venue=NAME, wallet="unified", asset=coin, total=ZERO, available=ZERO
    )


def _available(coin: CoinRow) -> Decimal | None:
    """What this coin alone can carry: the docs' isolated formula, less debt and open losses.

    In cross margin other collateral may allow more; the docs give that in US dollars only.
    """
    if not coin.total_order_im or not coin.total_position_im:
        return None
    held = (coin.total_order_im, coin.total_position_im, coin.locked, coin.bonus)
    used = sum((decimal_or_zero(text) for text in (*held, coin.spot_borrow)), ZERO)
    loss = min(decimal_or_zero(coin.unrealised_pnl), ZERO)
    return max(decimal(coin.wallet_balance) - used + loss, ZERO)


def agree(rows: Sequence[FeeRow]) -> bool:
    """Whether one statement can speak for all symbols."""
    return len({(row.maker_fee_rate, row.taker_fee_rate) for row in rows}) <= 1


def fees(
    market: str, rows: Sequence[FeeRow], at: Nanos, *, by_symbol: bool
) -> Sequence[FeesReported]:
    """A statement for each symbol, or the first one for the whole market."""
    return [
        FeesReported(
            at=at,
            venue=NAME,
            market=market,
            symbol=row.symbol if by_symbol else "",
            maker=decimal(row.maker_fee_rate),
            taker=decimal(row.taker_fee_rate),
        )
        for row in (rows if by_symbol else rows[:1])
    ]

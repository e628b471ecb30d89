"""KuCoin's private rows to events, the same for the stream and for REST answers.

Source: KuCoin API docs, "Private channels", "Fills", "Positions", "Funding history". Messages may
come doubled and late; each row is translated on its own.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from oneprice.model.events import (
    AnyEvent,
    BalanceReported,
    FeesReported,
    FundingBooked,
    KeyReported,
    LeverageReported,
    OpenOrderReported,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderUncertain,
    PositionModeReported,
    PositionReported,
)
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import ROUNDED, ZERO, Asset, InstrumentId, Nanos, Ticks, plain
from oneprice.venues.kucoin import NAME
from oneprice.venues.kucoin.listing import coin
from oneprice.venues.kucoin.public import side_of
from oneprice.venues.kucoin.rows import (
    AccountRow,
    FeeRow,
    FillRow,
    FundingRow,
    KeyRow,
    ModeRow,
    OrderRow,
    Overview,
    PositionRow,
    Settlement,
    StreamBalance,
    StreamOrder,
    StreamWallet,
)
from oneprice.venues.kucoin.wire import decimal, decimal_or_zero, is_there, milliseconds, whole

# What the venue calls a futures fill, and whether it was forced; spot writes it in capitals.
_CAUSES: Mapping[str, str] = {
    "": "trade",
    "trade": "trade",
    "liquid": "liquidation",
    "liquidation": "liquidation",
    "adl": "adl",
    "settlement": "delivery",
}


# Finer than any coin is booked; the document does not say how the venue rounds.
_FEE_STEP = Decimal("1E-12")


class FeeTiers:
    """Our rates by instrument, as the venue told them last.

    The stream's fills carry no fee: it is counted from these. A REST fill carries the true one.
    """

    def __init__(self, spot: tuple[Decimal, Decimal], futures: tuple[Decimal, Decimal]) -> None:
        self._default = {"spot": spot, "futures": futures}  # (maker, taker)
        self._told: dict[InstrumentId, tuple[Decimal, Decimal]] = {}

    def hear(self, item: Instrument, row: FeeRow, at: Nanos) -> FeesReported:
        maker = decimal(row.maker_fee_rate, "makerFeeRate")
        taker = decimal(row.taker_fee_rate, "takerFeeRate")
        self._told[item.id] = (maker, taker)
        return FeesReported(
            at=at, venue=NAME, market=item.market, symbol=item.symbol, maker=maker, taker=taker
        )

    def fee(self, item: Instrument, ticks: int, lots: int, *, maker: bool) -> Decimal:
        """In the settle asset (spot: the quote, from both sides of a trade)."""
        rate = self._told.get(item.id, self._default[item.market])[0 if maker else 1]
        value = item.notional(ticks, lots)
        if item.payoff is Payoff.INVERSE:
            value = ROUNDED.divide(value, item.price(ticks))
        return Decimal(plain(ROUNDED.multiply(value, rate).quantize(_FEE_STEP)))


def cause_of(text: str | None) -> str:
    """ValueError for a kind of trade that we do not know."""
    said = (text or "").lower()
    if said not in _CAUSES:
        raise ValueError(f"tradeType: expected one of {list(_CAUSES)}, found {said[:20]!r}")
    return _CAUSES[said]


def stream_fill(row: StreamOrder, item: Instrument, tiers: FeeTiers, at: Nanos) -> OrderFilled:
    """A `match`; the fee is counted, not told. Forced fills carry no order of ours."""
    cause, maker = cause_of(row.trade_type), row.liquidity == "maker"
    ticks = _filled_at(decimal(row.match_price, "matchPrice"), item, cause)
    lots = item.lots(decimal(row.match_size, "matchSize"))
    if not row.trade_id:
        raise ValueError("tradeId: expected one with a match, found none")
    return OrderFilled(
        at=at,
        order_id=(row.client_oid or "") if cause == "trade" else "",
        instrument=item.id,
        fill_id=str(row.trade_id),
        side=side_of(row.side),
        ticks=ticks,
        lots=lots,
        # No document names a fee of deleveraging or settlement.
        fee=ZERO if cause in ("adl", "delivery") else tiers.fee(item, ticks, lots, maker=maker),
        fee_asset=item.settle,
        maker=maker,
        venue_ms=milliseconds(row.ts, "ts"),
        cause=cause,
        fee_known=False,
    )


def fill(row: FillRow, item: Instrument, order_id: str, at: Nanos) -> OrderFilled:
    """A fill of REST, with the fee that was really taken."""
    cause = cause_of(row.trade_type)
    return OrderFilled(
        at=at,
        order_id=order_id if cause == "trade" else "",
        instrument=item.id,
        fill_id=str(row.trade_id),
        side=side_of(row.side),
        ticks=_filled_at(decimal(row.price, "price"), item, cause),
        lots=item.lots(decimal(row.size, "size")),
        fee=decimal(row.fee, "fee"),
        fee_asset=coin(row.fee_currency),
        maker=row.liquidity == "maker",
        venue_ms=milliseconds(row.trade_time, "tradeTime")
        or milliseconds(row.created_at, "createdAt"),
        cause=cause,
    )


def _filled_at(price: Decimal, item: Instrument, cause: str) -> Ticks:
    """Deleveraging and settlement are at mark or bankruptcy prices, which no grid holds."""
    if cause == "trade":
        return item.ticks(price)
    return Ticks(int(ROUNDED.divide(price, item.tick).to_integral_value(ROUND_HALF_EVEN)))


def is_active(row: OrderRow) -> bool:
    """Whether an order of REST can still fill; ValueError where the row does not say."""
    if row.active is not None:
        return row.active
    match row.status:
        case "open" | "active":
            return True
        case "done":
            return False
    raise ValueError(f"status: expected open or done, found {(row.status or '')[:20]!r}")


def state(row: OrderRow, item: Instrument, order_id: str, at: Nanos) -> AnyEvent:
    """What an order row of REST says; it tells filled from cancelled only by the sizes."""
    if is_active(row):
        return OrderAccepted(at=at, order_id=order_id, venue_order_id=str(row.id), live=True)
    filled = item.lots(decimal_or_zero(row.deal_size, "dealSize"))
    if filled >= item.lots(decimal(row.size, "size")):
        reason = "filled"
    elif row.time_in_force in ("IOC", "FOK"):
        reason = "expired"
    else:
        reason = "cancelled"
    return OrderEnded(at=at, order_id=order_id, filled_lots=filled, reason=reason)


def open_order(row: OrderRow, item: Instrument, at: Nanos) -> OpenOrderReported:
    return OpenOrderReported(
        at=at,
        order_id=row.client_oid or "",
        venue_order_id=str(row.id),
        instrument=item.id,
        side=side_of(row.side),
        ticks=item.ticks(decimal_or_zero(row.price, "price")),  # market orders have none
        lots=item.lots(decimal(row.size, "size")),
        filled_lots=item.lots(decimal_or_zero(row.deal_size, "dealSize")),
    )


def uncertain(row: StreamOrder, at: Nanos) -> Sequence[AnyEvent]:
    """A change that we never asked for (`update`) or do not know: a reason to ask."""
    if not row.client_oid:
        return ()
    return (OrderUncertain(at=at, order_id=row.client_oid, reason="unknown_status"),)


def position(row: PositionRow, item: Instrument, at: Nanos) -> PositionReported | None:
    """None for a partial row; ValueError in hedge mode, which this house does not use."""
    if not is_there(row.current_qty):
        return None
    if row.position_side not in ("BOTH", "", None):
        raise ValueError(f"positionSide: expected BOTH, found {row.position_side[:10]!r}")
    lots = item.lots(decimal(row.current_qty, "currentQty"))
    if not lots:
        return PositionReported(at=at, instrument=item.id, lots=lots)
    liquidation = None
    if is_there(row.liquidation_price):
        liquidation = max(ZERO, decimal(row.liquidation_price, "liquidationPrice"))
    return PositionReported(
        at=at,
        instrument=item.id,
        lots=lots,
        entry=decimal_or_zero(row.avg_entry_price, "avgEntryPrice"),
        liquidation=liquidation,
        adl_rank=_adl_rank(row),
    )


def _adl_rank(row: PositionRow) -> int | None:
    """delevPercentage is 0 to 1: a fifth of it is a rank."""
    if not is_there(row.delev_percentage):
        return None
    share = decimal(row.delev_percentage, "delevPercentage")
    return sum(share > Decimal(fifth) / 5 for fifth in range(1, 5))


def leverage_of(row: PositionRow, item: Instrument, at: Nanos) -> Sequence[LeverageReported]:
    """Leverage of a position that is isolated: in cross it belongs to the contract."""
    if row.margin_mode != "ISOLATED" or not is_there(row.leverage):
        return ()
    value = decimal(row.leverage, "leverage")
    return (LeverageReported(at=at, instrument=item.id, leverage=value, margin="isolated"),)


def mode(row: ModeRow, at: Nanos) -> PositionModeReported:
    """ValueError for a mode we do not know."""
    said = str(row.position_mode)
    if said not in ("0", "1"):
        raise ValueError(f"positionMode: expected 0 or 1, found {said[:20]!r}")
    hedge = said == "1"
    return PositionModeReported(
        at=at, venue=NAME, market="futures", mode="hedge" if hedge else "one_way"
    )


def settlement(row: Settlement, item: Instrument, at: Nanos) -> FundingBooked:
    """A payment told by the stream, whose sign is documented nowhere: longs pay a rate above
    zero, and where the message does not agree it is refused and the record is asked instead."""
    qty, rate = decimal(row.qty, "qty"), decimal(row.funding_rate, "fundingRate")
    amount = decimal(row.funding_fee, "fundingFee")
    if amount * qty * rate > 0:
        raise ValueError(f"fundingFee: expected the opposite of qty * rate, found {amount}")
    paid_ms = milliseconds(row.funding_time, "fundingTime")
    return _booked(item, paid_ms, (amount, coin(row.settle_currency), rate), at)


def funding(row: FundingRow, item: Instrument, at: Nanos) -> FundingBooked:
    """A payment of the record; below zero was paid."""
    amount, rate = decimal(row.funding, "funding"), decimal_or_zero(row.funding_rate, "rate")
    paid_ms = milliseconds(row.time_point, "timePoint")
    return _booked(item, paid_ms, (amount, coin(row.settle_currency), rate), at)


def _booked(
    item: Instrument, paid_ms: int, what: tuple[Decimal, Asset, Decimal], at: Nanos
) -> FundingBooked:
    """One name for one payment, whichever record tells it first: they share no id, but one-way
    mode has one payment per contract and settlement, at most some seconds after the minute."""
    amount, asset, rate = what
    return FundingBooked(
        at=at,
        instrument=item.id,
        record_id=f"{item.symbol}:{paid_ms // 60_000 * 60}",
        amount=amount,
        asset=asset,
        rate=rate,
        venue_ms=paid_ms,
    )


class Wallets:
    """Balances in the order the venue gave them: late ones are dropped."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, Asset], int] = {}

    def spot(self, row: StreamBalance, at: Nanos) -> Sequence[BalanceReported]:
        """Only the trade account trades; what moves in another is none of ours."""
        if not (row.relation_event or "trade").startswith("trade"):
            return ()
        stamp = milliseconds(row.time, "time")
        total = decimal(row.total, "total")
        available = decimal(row.available, "available")
        return self._told("spot", row.currency, stamp, _balance("spot", row.currency, total,
                                                                available, at))  # fmt: skip

    def futures(self, row: StreamWallet, at: Nanos) -> Sequence[BalanceReported]:
        asset = coin(row.currency)
        total = decimal(row.wallet_balance, "walletBalance")
        available = decimal(row.available_balance, "availableBalance")
        event = _balance("futures", asset, total, available, at)
        return self._told("futures", asset, whole(row.version, "version"), event)

    def _told(
        self, wallet: str, asset: Asset, order: int, event: BalanceReported
    ) -> Sequence[BalanceReported]:
        key = (wallet, asset)
        if order and order < self._newest.get(key, 0):
            return ()
        self._newest[key] = order
        return (event,)


def _balance(
    wallet: str, asset: Asset, total: Decimal, available: Decimal, at: Nanos
) -> BalanceReported:
    return BalanceReported(
        at=at, venue=NAME, wallet=wallet, asset=asset, total=total, available=available
    )


def account_row(row: AccountRow, at: Nanos) -> BalanceReported:
    """A spot account of REST."""
    total, available = decimal(row.balance, "balance"), decimal(row.available, "available")
    return _balance("spot", row.currency, total, available, at)


def overview(row: Overview, at: Nanos) -> BalanceReported:
    """A futures wallet of REST; its equity holds the unrealised profit, ours must not."""
    profit = decimal_or_zero(row.unrealised_pnl, "unrealisedPNL")
    total = decimal(row.account_equity, "accountEquity") - profit
    available = decimal(row.available_balance, "availableBalance")
    return _balance("futures", coin(row.currency), total, available, at)


def nothing(wallet: str, asset: Asset, at: Nanos) -> BalanceReported:
    """A coin that had a balance and is no longer in a full answer."""
    return _balance(wallet, asset, ZERO, ZERO, at)


def key(row: KeyRow, at: Nanos) -> KeyReported:
    """What the key may do. "Transfer" moves money between accounts and, in older keys, out of the
    venue: it counts as a withdrawal."""
    words = [word.strip().lower() for word in row.permission.split(",")]
    moves = any(w == "transfer" or "withdraw" in w for w in words)
    trades = any(w in ("spot", "futures", "trade") for w in words)
    addresses = tuple(a.strip() for a in (row.ip_whitelist or "").split(",") if a.strip())
    return KeyReported(
        at=at, venue=NAME, may_trade=trades, may_withdraw=moves, addresses=addresses
    )

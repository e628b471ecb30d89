"""OKX's private rows to events, the same for the stream and for REST answers.

Source: API v5, "WS Order channel", "WS Account channel", "WS Positions channel", "Get bills
details", "Get fee rates". Fees and payments have the venue's sign turned round: there below zero
is a cost. Each row stands alone, except positions, whose parts belong together.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from oneprice.model.events import (
    AmendRefused,
    AnyEvent,
    BalanceReported,
    FeesReported,
    FundingBooked,
    OpenOrderReported,
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderUncertain,
    PositionReported,
    StatementKind,
    StatementLine,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import ROUNDED, ZERO, Asset, InstrumentId, Lots, Nanos, OrderId, Ticks
from oneprice.venues.okx import NAME, WALLET, codes
from oneprice.venues.okx.frames import decimal, decimal_or_zero, milliseconds, side_of
from oneprice.venues.okx.ids import order_id
from oneprice.venues.okx.listing import identity_of
from oneprice.venues.okx.private_frames import (
    BalanceRow,
    BillRow,
    CoinRow,
    FeeRow,
    FillRow,
    OrderRow,
    PositionRow,
)

LIVE = frozenset(("live", "partially_filled"))
ENDED = frozenset(("filled", "canceled", "mmp_canceled"))
FUNDING = "8"  # the type of a bill

# Orders of the venue itself against us; they carry no client id.
_FORCED: Mapping[str, str] = {
    "full_liquidation": "liquidation",
    "partial_liquidation": "liquidation",
    "adl": "adl",
    "delivery": "delivery",
}
# The same by the sub type of a fill of REST.
_FORCED_FILLS: Mapping[str, str] = {
    **{str(kind): "liquidation" for kind in range(100, 108)},
    **{str(kind): "delivery" for kind in (112, 113)},
    **{str(kind): "adl" for kind in range(125, 129)},
}
# Types of bills ("Get bills type"). Moves of margin (6), conversions (4, 11), borrowing and
# repaying (16, 22) and products that this house does not use stay "other".
_KINDS: Mapping[str, StatementKind] = {
    "1": "transfer",
    "2": "trade",
    "3": "delivery",
    "5": "liquidation",
    "7": "interest",
    FUNDING: "funding",
    "9": "liquidation",
    "10": "liquidation",  # what others' bankruptcies cost
}
# The venue moves money by itself; nothing says whether that is ours to begin with.
_BY_SYSTEM = frozenset(("200", "202"))
_BY_SOURCE: Mapping[str, str] = {
    "1": "cancelled",
    "2": "liquidation",
    "3": "liquidation",
    "6": "deleveraged",
    "7": "settled",
    "10": "settled",
    "13": "expired",
    "14": "expired",
    "15": "price_limit",
    "17": "reduce_only",
    "20": "disconnected",  # the dead man's switch
    "22": "reduce_only",
    "23": "reduce_only",
    "27": "price_limit",
    "31": "post_only",
    "32": "self_trade",
    "33": "expired",
}


def events_of(row: OrderRow, item: Instrument, at: Nanos) -> Iterator[AnyEvent]:
    """Everything that one push of the orders channel says: a fill, an amendment, a state."""
    name = order_id(row.clOrdId)
    size = decimal_or_zero(row.fillSz, "fillSz")
    fills = bool(row.tradeId) and size > 0
    if fills:
        yield _fill(row, item, name, size, at)
    if row.amendResult == "-1":
        text = f"{row.code} {row.msg}".strip()
        yield AmendRefused(at=at, order_id=name, reason=codes.word(row.code), text=text)
    elif row.state in LIVE and _amended(row):
        ticks, lots = item.ticks(decimal(row.px, "px")), item.lots(decimal(row.sz, "sz"))
        yield OrderAmended(at=at, order_id=name, ticks=ticks, lots=lots)
    if row.state not in LIVE or not fills:
        yield state_of(row, item, at)


def _amended(row: OrderRow) -> bool:
    """By us ("0", or with help "2") or by the venue, which cuts reduce-only orders."""
    return bool(row.px) and (
        row.amendResult in ("0", "2") or (not row.amendResult and bool(row.amendSource))
    )


def state_of(row: OrderRow, item: Instrument, at: Nanos) -> AnyEvent:
    """Where an order stands. An unknown state is a reason to ask, not to guess."""
    name = order_id(row.clOrdId)
    if row.state in LIVE:
        return OrderAccepted(at=at, order_id=name, venue_order_id=row.ordId, live=True)
    if row.state in ENDED:
        filled = item.lots(decimal_or_zero(row.accFillSz, "accFillSz"))
        return OrderEnded(at=at, order_id=name, filled_lots=filled, reason=_end(row))
    return OrderUncertain(at=at, order_id=name, reason="unknown_status")


def _end(row: OrderRow) -> str:
    if row.state == "filled":
        return "filled"
    return _BY_SOURCE.get(row.cancelSource, "cancelled")


def _fill(row: OrderRow, item: Instrument, name: OrderId, size: Decimal, at: Nanos) -> OrderFilled:
    cause = _FORCED.get(row.category, "trade")
    return OrderFilled(
        at=at,
        order_id=name if cause == "trade" else "",
        instrument=item.id,
        fill_id=row.tradeId,
        side=side_of(row.side),
        ticks=_ticks(item, decimal(row.fillPx, "fillPx"), cause),
        lots=item.lots(size),
        fee=-decimal_or_zero(row.fillFee, "fillFee"),
        fee_asset=row.fillFeeCcy or item.settle,
        maker=row.execType == "M",
        venue_ms=milliseconds(row.fillTime or row.uTime, "fillTime"),
        cause=cause,
    )


def filled(row: FillRow, item: Instrument, at: Nanos) -> OrderFilled:
    """A fill of REST; the same id as in the stream, so that it counts once."""
    cause = _FORCED_FILLS.get(row.subType, "trade")
    return OrderFilled(
        at=at,
        order_id=order_id(row.clOrdId) if cause == "trade" else "",
        instrument=item.id,
        fill_id=row.tradeId,
        side=side_of(row.side),
        ticks=_ticks(item, decimal(row.fillPx, "fillPx"), cause),
        lots=item.lots(decimal(row.fillSz, "fillSz")),
        fee=-decimal_or_zero(row.fee, "fee"),
        fee_asset=row.feeCcy or item.settle,
        maker=row.execType == "M",
        venue_ms=milliseconds(row.fillTime or row.ts, "fillTime"),
        cause=cause,
    )


def _ticks(item: Instrument, price: Decimal, cause: str) -> Ticks:
    """Deliveries and liquidations settle at averages between two ticks: the nearest is told,
    because a change of position that goes untold is worse than half a tick."""
    if cause == "trade":
        return item.ticks(price)
    return Ticks(int(ROUNDED.divide(price, item.tick).to_integral_value(ROUND_HALF_EVEN)))


def open_order(row: OrderRow, item: Instrument, at: Nanos) -> OpenOrderReported:
    return OpenOrderReported(
        at=at,
        order_id=order_id(row.clOrdId),
        venue_order_id=row.ordId,
        instrument=item.id,
        side=side_of(row.side),
        ticks=item.ticks(decimal_or_zero(row.px, "px")),  # market orders have none
        lots=item.lots(decimal(row.sz, "sz")),
        filled_lots=item.lots(decimal_or_zero(row.accFillSz, "accFillSz")),
    )


PartKey = tuple[InstrumentId, str, str]  # with margin mode and side


def part_of(row: PositionRow, item: Instrument) -> PartKey:
    return item.id, row.mgnMode, row.posSide


class _Part(msgspec.Struct, frozen=True):
    lots: Lots
    entry: Decimal
    liquidation: Decimal | None
    adl_rank: int | None


class Positions:
    """Positions by instrument: with two sides or two margin modes one has several parts."""

    def __init__(self) -> None:
        self._parts: dict[InstrumentId, dict[PartKey, _Part]] = {}

    def take(self, row: PositionRow, item: Instrument, at: Nanos) -> PositionReported:
        """The net position after one row; ValueError where the row cannot be understood."""
        lots = item.lots(decimal_or_zero(row.pos, "pos"))
        match row.posSide:
            case "net":
                pass
            case "long":
                lots = Lots(abs(lots))
            case "short":
                lots = Lots(-abs(lots))
            case other:
                raise ValueError(f"posSide: expected net, long or short, found {other[:20]!r}")
        entry = decimal_or_zero(row.avgPx, "avgPx") if lots else ZERO
        liquidation = None
        if row.liqPx is not None:
            liquidation = max(ZERO, decimal_or_zero(row.liqPx, "liqPx"))
        part = _Part(lots, entry, liquidation, _adl_rank(row.adl))
        self._parts.setdefault(item.id, {})[part_of(row, item)] = part
        return self._net(item.id, at)

    def finish(
        self, told: Mapping[PartKey, None], prefix: str, at: Nanos
    ) -> list[PositionReported]:
        """Everything that is held was told: the other parts of such instruments are gone."""
        out = []
        for name, parts in self._parts.items():
            gone = [key for key in parts if key not in told]
            held = any(parts[key].lots for key in gone)
            for key in gone if name.startswith(prefix) else ():
                del parts[key]
            if held and name.startswith(prefix):
                out.append(self._net(name, at))
        return out

    def _net(self, name: InstrumentId, at: Nanos) -> PositionReported:
        held = [part for part in self._parts.get(name, {}).values() if part.lots]
        lots = Lots(sum(part.lots for part in held))
        if len(held) != 1:  # opposite parts have no common entry price, nor an end in common
            return PositionReported(at=at, instrument=name, lots=lots)
        return PositionReported(
            at=at,
            instrument=name,
            lots=lots,
            entry=held[0].entry,
            liquidation=held[0].liquidation,
            adl_rank=held[0].adl_rank,
        )


def _adl_rank(adl: str | None) -> int | None:
    """`adl` is 1 (last) to 5 (first); six levels from 0 are documented elsewhere, where 0 is the
    weakest: the last as well."""
    return None if not adl else max(1, min(5, int(decimal(adl, "adl")))) - 1


def balances(row: BalanceRow, at: Nanos) -> list[BalanceReported]:
    return [
        BalanceReported(
            at=at,
            venue=NAME,
            wallet=WALLET,
            asset=coin.ccy,
            total=_total(coin),
            available=decimal(coin.availBal, "availBal") if coin.availBal else None,
        )
        for coin in row.details
    ]


def _total(coin: CoinRow) -> Decimal:
    """Cash less debt. The docs do not say whether cash that was borrowed counts as cash: cash
    below zero is taken for the debt itself, else the debt is taken off, so that we have less."""
    cash = decimal(coin.cashBal, "cashBal")
    return cash if cash < 0 else cash - abs(decimal_or_zero(coin.liab, "liab"))


def nothing(coin: Asset, at: Nanos) -> BalanceReported:
    """A coin that had a balance and is no longer in a full answer."""
    return BalanceReported(
        at=at, venue=NAME, wallet=WALLET, asset=coin, total=ZERO, available=ZERO
    )


def payment(row: BillRow, name: InstrumentId, at: Nanos) -> FundingBooked:
    """A funding bill; above zero means received. Isolated positions pay from their own margin:
    the balance does not change then, and the amount is the profit or loss of the bill."""
    change = decimal_or_zero(row.balChg, "balChg")
    return FundingBooked(
        at=at,
        instrument=name,
        record_id=row.billId,
        amount=change or decimal_or_zero(row.pnl, "pnl"),
        asset=row.ccy,
        venue_ms=milliseconds(row.ts, "ts"),
    )


def line(row: BillRow, at: Nanos) -> StatementLine:
    """A bill as a line of the wallet; ValueError where it names no bill or coin.

    Forced closings and deliveries are fills, which the fills tell as well: such a line is a
    trade, and only what has no fill of its own (insurance, clawback) is a cost beside them.
    """
    if not row.billId or not row.ccy:
        raise ValueError("billId, ccy: expected both, found nothing")
    kind = _KINDS.get(row.type, "other")
    if kind in ("liquidation", "delivery") and (row.tradeId or row.subType in _FORCED_FILLS):
        kind = "trade"
    elif kind == "transfer" and row.subType in _BY_SYSTEM:
        kind = "other"
    return StatementLine(
        at=at,
        venue=NAME,
        wallet=WALLET,
        asset=row.ccy,
        amount=decimal(row.balChg, "balChg"),
        kind=kind,
        record_id=row.billId,
        instrument=identity_of(row.instType, row.instId) if row.instId else "",
        fee=-decimal_or_zero(row.fee, "fee"),
        balance=decimal(row.bal, "bal") if row.bal else None,
        venue_ms=milliseconds(row.ts, "ts"),
        text=f"{row.type}/{row.subType}",
    )


def fees(
    market: str, row: FeeRow, groups: Sequence[tuple[str, str]], at: Nanos
) -> list[FeesReported]:
    """One statement for a market with one group of fees, else one for each symbol.

    `groups` are symbol and group of what is listed; a group that is not stated has no fee, and
    nothing is said of its symbols. Always one by one where there are several groups: what was
    said of a symbol stands until something else is said of it.
    """
    stated = {
        group.groupId: (-decimal(group.maker, "maker"), -decimal(group.taker, "taker"))
        for group in row.feeGroup
    }
    if not stated:
        raise ValueError("feeGroup: expected at least one group, found none")
    if len(stated) == 1:
        maker, taker = next(iter(stated.values()))
        return [_fee(market, "", maker, taker, at)]
    return [
        _fee(market, symbol, *stated[group], at) for symbol, group in groups if group in stated
    ]


def _fee(market: str, symbol: str, maker: Decimal, taker: Decimal, at: Nanos) -> FeesReported:
    return FeesReported(at=at, venue=NAME, market=market, symbol=symbol, maker=maker, taker=taker)

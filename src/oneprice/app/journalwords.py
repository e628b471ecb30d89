"""What stands in a journal, said for people: prices and sizes in the units of the instrument."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from oneprice.core.record import RatesRead
from oneprice.core.strategy import (
    CARD_LINES,
    Alarmed,
    BreakEvenCard,
    ClutchOpened,
    Discrepancy,
    GroupMoved,
    Intent,
    IntentJudged,
)
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.units import SECOND, Asset, InstrumentId, Nanos, Side, plain

Listed = Mapping[InstrumentId, Instrument]


def moment(at: Nanos) -> str:
    """UTC to the microsecond."""
    whole, rest = divmod(at, SECOND)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1000:06}"


def words(item: msgspec.Struct, listed: Listed) -> str:
    """One fact, decision or command on one line."""
    kind = type(item).__name__
    return f"{kind}: {_told(item, listed)}"


def size(instrument: InstrumentId, lots: int, listed: Listed) -> str:
    known = listed.get(instrument)
    return known.size_text(lots) if known is not None else f"{lots} lots"


def price(instrument: InstrumentId, ticks: int, listed: Listed) -> str:
    known = listed.get(instrument)
    return known.price_text(ticks) if known is not None else f"{ticks} ticks"


def trade(instrument: InstrumentId, side: Side, lots: int, ticks: int, listed: Listed) -> str:
    """buy 0.5 bybit:spot:BTCUSDT at 50000."""
    much, limit = size(instrument, lots, listed), price(instrument, ticks, listed)
    return f"{side.name.lower()} {much} {instrument} at {limit}"


def fee(amount: Decimal, asset: Asset, *, known: bool = True) -> str:
    """A cost, or a rebate by its right name."""
    said = "fee" if amount >= 0 else "rebate"
    return f"{said} {plain(abs(amount))} {asset}" + ("" if known else " (reckoned)")


def card_lines(card: BreakEvenCard) -> list[str]:
    """The card line by line, zero lines left out, and what it adds up to."""
    lines = [
        f"{name:<9} {plain(amount):>16}" + ("  (estimate)" if name in card.estimates else "")
        for name in CARD_LINES
        if (amount := getattr(card, name))
    ]
    worth = f"{plain(card.notional)} {card.asset}, {card.net_bps:.2f} bps of it"
    return [*lines, f"{'net':<9} {plain(card.net):>16} {card.asset}  (on {worth})"]


def _told(item: msgspec.Struct, listed: Listed) -> str:
    match item:
        case IntentJudged():
            verdict = f"group {item.group}" if item.group else f"refused by {item.refused_by}"
            return f"{_intent(item.intent)}: {verdict}"
        case GroupMoved():
            return f"{item.group} {item.before} -> {item.after} on {item.signal}: {item.action}"
        case ClutchOpened():
            return item.reason
        case Discrepancy():
            return f"{item.kind} {item.subject}: expected {item.expected}, found {item.found}"
        case Alarmed():
            return f"{item.kind} {item.subject}: {item.text}"
        case RatesRead():
            return ", ".join(f"{asset} {plain(rate)}" for asset, rate in item.rates.items())
        case ev.InstrumentListed():
            it = item.instrument
            return f"{it.id} tick {plain(it.tick)} lot {plain(it.lot)}"
        case cmd.PlaceOrder():
            return _placed(item, listed)
        case _:
            return _order_told(item, listed) or _fields(item)


def _order_told(item: msgspec.Struct, listed: Listed) -> str:
    match item:
        case ev.OrderFilled():
            what = trade(item.instrument, item.side, item.lots, item.ticks, listed)
            paid = fee(item.fee, item.fee_asset, known=item.fee_known)
            forced = "" if item.cause == "trade" else f", by {item.cause}"
            return f"{item.order_id or 'no order of ours'} {what}, {paid}{forced}"
        case ev.OrderAccepted():
            rests = ", rests" if item.live else ""
            return f"{item.order_id} as {item.venue_order_id or '?'}{rests}"
        case ev.OrderRefused() | ev.CancelRefused() | ev.AmendRefused():
            return f"{item.order_id} {item.reason} {item.text}".rstrip()
        case ev.OrderEnded():
            return f"{item.order_id} {item.reason}, {item.filled_lots} lots filled"
        case cmd.QueryOrder() | cmd.CancelOrder():
            return item.order_id
        case ev.OrderUncertain():
            return f"{item.order_id} {item.reason}"
        case ev.PositionReported():
            at = f" entered at {plain(item.entry)}" if item.entry else ""
            return f"{item.instrument} {size(item.instrument, item.lots, listed)}{at}"
        case ev.FundingBooked():
            return f"{item.instrument} {plain(item.amount)} {item.asset}, {item.record_id}"
        case _:
            return ""


def _intent(intent: Intent) -> str:
    net = f"net {plain(intent.card.net)} {intent.card.asset}"
    closes = f", closes {intent.closes}" if intent.closes else ""
    return f"{intent.strategy} {intent.pair} {intent.reason or 'entry'} {net}{closes}"


def _placed(order: cmd.PlaceOrder, listed: Listed) -> str:
    what = trade(order.instrument, order.side, order.lots, order.ticks, listed)
    how = f"{order.time_in_force}{' reduce-only' if order.reduce_only else ''}"
    return f"{order.order_id} {what} {how} {order.priority.name.lower()}"


def _fields(item: msgspec.Struct) -> str:
    """Every field that says something, as name=value."""
    told = (
        f"{name}={plain(value) if isinstance(value, Decimal) else value}"
        for name in item.__struct_fields__
        if name != "at" and (value := getattr(item, name)) not in ("", None, ())
    )
    return " ".join(told)

"""Exit: when a holding has earned enough, moved against us, or lasted too long."""

from decimal import Decimal

from oneprice.core.strategy import Holding, Intent, Passed, View, WireSpec
from oneprice.model.units import BPS, MILLI, ROUNDED, ZERO, Nanos
from oneprice.strategies.pairing import PairSettings


def leave(holding: Holding, view: View, settings: PairSettings) -> Intent | Passed:
    """An intent to close, or what the holding would earn if it were closed now."""
    patience = Nanos(settings.patience_ms * MILLI)
    intent = view.closing(holding, "converged", settings.exit_slack_bps, patience)
    if intent is None:
        return _stay(holding, "book_is_unknown")
    if intent.card.net >= target(holding, settings):
        return intent
    reason = _pressing(holding, intent, view, settings)
    if reason:
        hurried = view.closing(holding, reason, settings.stop_slack_bps, patience)
        if hurried is not None:
            return hurried
    return Passed(
        strategy=holding.strategy, pair=holding.pair, reason="holding", card=intent.card
    )


def target(holding: Holding, settings: PairSettings) -> Decimal:
    """What closing must net, in quote: a part of what the entry card promised."""
    return max(holding.card.net * settings.take_fraction, ZERO)


def _pressing(holding: Holding, intent: Intent, view: View, settings: PairSettings) -> str:
    if view.now - holding.opened > settings.hold_ms_max * MILLI:
        return "time"
    # Right after the entry both spreads were there to be crossed; beyond that it is a move.
    at_entry = holding.card.closing * 2
    if intent.card.gross < at_entry - intent.card.notional * settings.stop_bps * BPS:
        return "adverse"
    return ""


def _stay(holding: Holding, reason: str) -> Passed:
    return Passed(strategy=holding.strategy, pair=holding.pair, reason=reason)


def exit_wire(holding: Holding, view: View, settings: PairSettings) -> WireSpec | None:
    """The edge of the way back at which closing nets the target, depth left out of account."""
    if len(holding.legs) != 2:
        return None
    first, second = holding.legs
    held, sold = (first, second) if first.lots > 0 else (second, first)
    long, short = view.instrument(held.instrument), view.instrument(sold.instrument)
    long_fees, short_fees = view.fees(held.instrument), view.fees(sold.instrument)
    if long is None or short is None or long_fees is None or short_fees is None:
        return None
    if held.lots <= 0 or sold.lots >= 0 or not sold.entry:
        return None
    long_size = long.lot * long.contract_value * held.lots
    short_size = short.lot * short.contract_value * -sold.lots
    rate = view.rate(long.quote) or Decimal(1)
    bought, owed = held.entry * long_size, sold.entry * short_size
    fees = bought * long_fees.taker + owed * short_fees.taker
    fees += ROUNDED.divide(holding.fees_paid - holding.funding, rate)
    needed = target(holding, settings) + fees + bought - owed
    return WireSpec(sold.instrument, held.instrument, ROUNDED.divide(needed, owed) / BPS)

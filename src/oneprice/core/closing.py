"""Closing: the intent that ends a holding at what the books show now."""

from decimal import ROUND_HALF_EVEN, Decimal

from oneprice.core.strategy import Cost, Holding, HoldingLeg, Intent, IntentLeg, View, make_card
from oneprice.model.instrument import Instrument
from oneprice.model.units import BPS, ROUNDED, ZERO, Lots, Money, Nanos, Side, Ticks


def close_intent(
    holding: Holding, view: View, reason: str, slack_bps: Decimal, patience: Nanos
) -> Intent | None:
    """Every leg the other way, with a card of what the whole trade earned if it ends here.

    None where a book cannot be read, is not deep enough, or a tier is not known. Money is in the
    quote of the first derivative leg.
    """
    legs: list[IntentLeg] = []
    gross = slippage = fees = notional = ZERO
    asset = ""
    for held in holding.legs:
        listed, fee = view.instrument(held.instrument), view.fees(held.instrument)
        if listed is None or fee is None:
            return None
        side = Side.SELL if held.lots > 0 else Side.BUY
        lots = _lots(listed, held, fee.taker)
        book = view.book(held.instrument)
        if book is None:
            return None
        if not listed.is_derivative and _too_small(listed, lots, book.bid_ticks):
            continue  # dust: no venue takes it as an order
        cost = view.cost(held.instrument, side, lots)
        if cost is None:
            return None
        asset = listed.quote
        scale = listed.tick * listed.lot * listed.contract_value
        touched, taken = scale * cost.touch * lots, scale * cost.ticks_lots
        legs.append(_leg(listed, side, cost, slack_bps))
        entered = held.entry * listed.lot * listed.contract_value * abs(held.lots)
        gross += (entered - touched) * int(side)
        slippage -= abs(taken - touched)
        fees -= taken * fee.taker
        notional = max(notional, touched)
    if not legs or not notional:
        return None
    card = make_card(
        asset,
        notional,
        gross=gross,
        slippage=slippage,
        fees=fees - _in_quote(holding.fees_paid, asset, view),
        funding=_in_quote(holding.funding, asset, view),
    )
    return Intent(
        strategy=holding.strategy,
        pair=holding.pair,
        legs=tuple(legs),
        card=card,
        patience=patience,
        closes=holding.id,
        reason=reason,
    )


def _lots(listed: Instrument, held: HoldingLeg, taker: Decimal) -> Lots:
    """A spot buy must be larger by the fee, so that what arrives is what was sold."""
    lots = abs(held.lots)
    if listed.is_derivative or held.lots > 0 or taker <= 0:
        return Lots(lots)
    larger = ROUNDED.divide(Decimal(lots), 1 - taker)
    return Lots(int(larger.to_integral_value(ROUND_HALF_EVEN)))


def _too_small(listed: Instrument, lots: int, ticks: int) -> bool:
    return lots < listed.lots_min or listed.notional(ticks, lots) < listed.notional_min


def _leg(listed: Instrument, side: Side, cost: Cost, slack_bps: Decimal) -> IntentLeg:
    price = listed.price(cost.worst) * (1 + int(side) * slack_bps * BPS)
    return IntentLeg(
        instrument=listed.id,
        side=side,
        ticks=Ticks(max(1, listed.ticks_not_worse(price, side))),
        lots=cost.lots,
        touch=cost.touch,
        reduce_only=listed.is_derivative,
    )


def _in_quote(money: Money, asset: str, view: View) -> Money:
    rate = view.rate(asset)
    return ROUNDED.divide(money, rate) if rate else money

"""Entry: one look at buying here and selling there, with its break-even card."""

from decimal import Decimal

import msgspec

from oneprice.core.strategy import BreakEvenCard, Cost, Intent, IntentLeg, Passed, View, make_card
from oneprice.model.instrument import Instrument
from oneprice.model.units import BPS, MILLI, ROUNDED, ZERO, Lots, Nanos, Side, Ticks
from oneprice.strategies.pairing import (
    PairSettings,
    Plan,
    common_step,
    floor_steps,
    funding_fraction,
    kept_in_coin,
    least_steps,
    most_coins,
    must_close,
    needed_edge,
    pair_name,
    plan,
)


class Pair(msgspec.Struct, frozen=True):
    """Whose look it is, and which way round."""

    strategy: str
    settings: PairSettings
    buy: Instrument
    sell: Instrument

    @property
    def name(self) -> str:
        return pair_name(self.buy, self.sell)


def look(pair: Pair, view: View) -> Intent | Passed:
    """Size the trade by depth, fees, funding and balances; an intent if the card earns enough."""
    buy, sell, settings = pair.buy, pair.sell, pair.settings
    buy_fees = view.fees(buy.id)
    buy_book, sell_book = view.book(buy.id), view.book(sell.id)
    if buy_fees is None or view.fees(sell.id) is None:
        return _passed(pair, "fees_are_unknown")
    if buy_book is None or sell_book is None:
        return _passed(pair, "book_is_unknown")
    price = ROUNDED.divide(buy.price(buy_book.ask_ticks), buy.multiplier)
    other = ROUNDED.divide(sell.price(sell_book.bid_ticks), sell.multiplier)
    if abs(other - price) > price * settings.ratio_bps_max * BPS:
        return _passed(pair, "prices_are_too_far_apart")
    if view.resting(pair.strategy, (buy.id, sell.id)):
        return _passed(pair, "pair_is_resting")
    step = common_step(buy, sell)
    spreads = _half_spreads(pair, view) if must_close(buy, sell) else ZERO
    need = needed_edge(view, settings, buy, sell) + spreads
    swept = view.sweep(buy.id, sell.id, step, need)
    allowed = floor_steps(most_coins(view, settings, buy, sell, price), step)
    least = least_steps(step, min(price, other), (buy, sell))
    steps = min(swept.steps if swept is not None else 0, allowed)
    sized = max(steps, least)  # a look that is too small still gets a card, at the least size
    planned = plan(
        buy, sell, step * sized, kept_in_coin(buy, buy_fees, settings), view.dust(buy.base)
    )
    card = _card(pair, view, planned)
    if card is None:
        return _passed(pair, "book_is_too_thin")
    if swept is None:
        return _passed(pair, "edge_is_below_costs", card)
    if allowed < least:
        return _passed(pair, "balance_or_limit_is_too_small", card)
    if steps < least:
        return _passed(pair, "depth_is_too_small", card)
    if card.net_bps < settings.net_bps_min:
        return _passed(pair, "edge_is_too_small", card)
    return _intent(pair, view, planned, card)


def _passed(pair: Pair, reason: str, card: BreakEvenCard | None = None) -> Passed:
    return Passed(strategy=pair.strategy, pair=pair.name, reason=reason, card=card)


def _half_spreads(pair: Pair, view: View) -> Decimal:
    """Half of both spreads as a fraction: what crossing them again at the exit costs."""
    total = ZERO
    for it in (pair.buy, pair.sell):
        book = view.book(it.id)
        if book is not None:
            total += ROUNDED.divide(Decimal(book.ask_ticks - book.bid_ticks), 2 * book.bid_ticks)
    return total


def _value(it: Instrument, ticks_lots: int) -> Decimal:
    return it.tick * it.lot * it.contract_value * ticks_lots


def _card(pair: Pair, view: View, planned: Plan) -> BreakEvenCard | None:
    """Everything the trade will earn and cost, the exit included where there must be one.

    The gross edge is at the touch and on the coins that the plan hedges; the middle prices are
    taken to meet at the exit, so that what is left to pay there are both half spreads, the
    slippage once more, and the fees once more.
    """
    buy, sell = pair.buy, pair.sell
    bought = view.cost(buy.id, Side.BUY, planned.buy)
    sold = view.cost(sell.id, Side.SELL, planned.sell)
    buy_fees, sell_fees = view.fees(buy.id), view.fees(sell.id)
    if bought is None or sold is None or buy_fees is None or sell_fees is None:
        return None
    closes = must_close(buy, sell)
    per_coin_buy = ROUNDED.divide(buy.price(bought.touch), buy.multiplier)
    per_coin_sell = ROUNDED.divide(sell.price(sold.touch), sell.multiplier)
    notional = per_coin_buy * planned.coins
    slippage = -_slipped(buy, bought) - _slipped(sell, sold)
    fee = _value(buy, bought.ticks_lots) * buy_fees.taker
    fee += _value(sell, sold.ticks_lots) * sell_fees.taker
    lines = {
        "gross": (per_coin_sell - per_coin_buy) * planned.coins,
        "fees": -fee * (2 if closes else 1),
        "slippage": slippage,
        "haircut": -notional * pair.settings.haircut_bps * BPS,
    }
    estimates = ["haircut"]
    if closes:
        hold = pair.settings.hold_ms
        lines["closing"] = slippage - notional * _half_spreads(pair, view)
        lines["funding"] = notional * (
            funding_fraction(view, buy, Side.BUY, hold)
            + funding_fraction(view, sell, Side.SELL, hold)
        )
        estimates += ["closing", "funding", "fees"]
    return make_card(buy.quote, notional, estimates, **lines)


def _slipped(it: Instrument, cost: Cost) -> Decimal:
    return abs(_value(it, cost.ticks_lots - cost.touch * cost.lots))


def _intent(pair: Pair, view: View, planned: Plan, card: BreakEvenCard) -> Intent | Passed:
    # Even if both limits are reached to the last tick, half of the net is spent, not more.
    slack = min(pair.settings.slack_bps, card.net_bps / 4)
    legs: list[IntentLeg] = []
    for it, side, lots in (
        (pair.buy, Side.BUY, planned.buy),
        (pair.sell, Side.SELL, planned.sell),
    ):
        cost = view.cost(it.id, side, lots)
        if cost is None:
            return _passed(pair, "book_is_too_thin", card)
        legs.append(_leg(it, side, cost, slack))
    return Intent(
        strategy=pair.strategy,
        pair=pair.name,
        legs=tuple(legs),
        card=card,
        patience=Nanos(pair.settings.patience_ms * MILLI),
        reason="entry",
    )


def _leg(it: Instrument, side: Side, cost: Cost, slack_bps: Decimal) -> IntentLeg:
    limit = it.price(cost.worst) * (1 + int(side) * slack_bps * BPS)
    return IntentLeg(
        instrument=it.id,
        side=side,
        ticks=Ticks(max(1, it.ticks_not_worse(limit, side))),
        lots=Lots(cost.lots),
        touch=cost.touch,
    )

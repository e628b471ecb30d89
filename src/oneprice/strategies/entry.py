"""Entry: one look at buying here and selling there, with its break-even card."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from oneprice.core.strategy import (
    BreakEvenCard,
    Cost,
    Fees,
    Intent,
    IntentLeg,
    Passed,
    View,
    make_card,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import BPS, MILLI, ROUNDED, ZERO, Lots, Nanos, Side, Ticks
from oneprice.strategies.pairing import (
    Pair,
    Plan,
    expected_funding,
    floor_steps,
    kept_in_coin,
    least_steps,
    most_coins,
    needed_edge,
    plan,
)


def look(pair: Pair, view: View) -> Intent | Passed:
    """Size the trade by depth, fees, funding and balances; an intent if the card earns enough."""
    buy, sell, settings = pair.buy, pair.sell, pair.settings
    buy_fees, sell_fees = view.fees(buy.id), view.fees(sell.id)
    buy_book, sell_book = view.book(buy.id), view.book(sell.id)
    if buy_fees is None or sell_fees is None:
        return _passed(pair, "fees_are_unknown")
    if buy_book is None or sell_book is None:
        return _passed(pair, "book_is_unknown")
    price, other = _per_coin(buy, buy_book.ask_ticks), _per_coin(sell, sell_book.bid_ticks)
    if abs(other - price) > price * settings.ratio_bps_max * BPS:
        return _passed(pair, "prices_are_too_far_apart")
    if view.resting(pair.strategy, (buy.id, sell.id)):
        return _passed(pair, "pair_is_resting")
    spreads = ZERO
    if pair.closes:
        spreads = _half_spread(buy_book.bid_ticks, buy_book.ask_ticks)
        spreads += _half_spread(sell_book.bid_ticks, sell_book.ask_ticks)
    funding = expected_funding(view, pair)
    need = needed_edge(pair, buy_fees, sell_fees, funding) + spreads
    swept = view.sweep(buy.id, sell.id, pair.step, need)
    allowed = floor_steps(most_coins(view, pair, price), pair.step)
    least = least_steps(pair, min(price, other))
    steps = min(swept.steps if swept is not None else 0, allowed)
    sized = max(steps, least)  # a look that is too small still gets a card, at the least size
    planned = plan(
        buy, sell, pair.step * sized, kept_in_coin(buy, buy_fees, settings), view.dust(buy.base)
    )
    bought = view.cost(buy.id, Side.BUY, planned.buy)
    sold = view.cost(sell.id, Side.SELL, planned.sell)
    if bought is None or sold is None:
        return _passed(pair, "book_is_too_thin")
    taken = _Taken(planned, price, other, bought, sold, buy_fees, sell_fees)
    card = _card(pair, taken, spreads, funding)
    if swept is None:
        return _passed(pair, "edge_is_too_small", card)
    if allowed < least:
        return _passed(pair, "balance_or_limit_is_too_small", card)
    if steps < least:
        return _passed(pair, "depth_is_too_small", card)
    net_bps = card.net_bps
    if net_bps < settings.net_bps_min:
        return _passed(pair, "edge_is_too_small", card)
    # Even if both limits are reached to the last tick, half of the net is spent, not more.
    # Half the net for both legs together; an edge below zero, where that is asked for, has none.
    slack = max(ZERO, min(settings.slack_bps, net_bps / 4)) * BPS
    return Intent(
        strategy=pair.strategy,
        pair=pair.name,
        legs=(_leg(buy, Side.BUY, bought, slack), _leg(sell, Side.SELL, sold, slack)),
        card=card,
        patience=Nanos(settings.patience_ms * MILLI),
        reason="entry",
    )


class _Taken(msgspec.Struct, frozen=True):
    """What both legs take from their books, at prices in quote per coin."""

    planned: Plan
    buy_price: Decimal
    sell_price: Decimal
    bought: Cost
    sold: Cost
    buy_fees: Fees
    sell_fees: Fees


def _passed(pair: Pair, reason: str, card: BreakEvenCard | None = None) -> Passed:
    return Passed(strategy=pair.strategy, pair=pair.name, reason=reason, card=card)


def _per_coin(it: Instrument, ticks: int) -> Decimal:
    price = it.tick * ticks
    return price if it.multiplier == 1 else ROUNDED.divide(price, it.multiplier)


def _half_spread(bid: int, ask: int) -> Decimal:
    """Half of a spread as a fraction: what crossing it again at the exit costs."""
    return ROUNDED.divide(Decimal(ask - bid), 2 * bid)


def _card(pair: Pair, taken: _Taken, spreads: Decimal, funding: Decimal) -> BreakEvenCard:
    """Everything the trade will earn and cost, the exit included where there must be one.

    The gross edge is at the touch and on the coins that the plan hedges; the middle prices are
    taken to meet at the exit, so that what is left to pay there are both half spreads, the
    slippage once more, and the fees once more.
    """
    coins, bought, sold = taken.planned.coins, taken.bought, taken.sold
    buy_value, sell_value = pair.buy_value, pair.sell_value
    notional = taken.buy_price * coins
    slippage = -(
        buy_value * abs(bought.ticks_lots - bought.touch * bought.lots)
        + sell_value * abs(sold.ticks_lots - sold.touch * sold.lots)
    )
    fees = -(
        buy_value * bought.ticks_lots * taken.buy_fees.taker
        + sell_value * sold.ticks_lots * taken.sell_fees.taker
    )
    gross = (taken.sell_price - taken.buy_price) * coins
    haircut = -notional * pair.haircut
    if not pair.closes:
        return make_card(
            pair.buy.quote,
            notional,
            ("haircut",),
            gross=gross,
            fees=fees,
            slippage=slippage,
            haircut=haircut,
        )
    return make_card(
        pair.buy.quote,
        notional,
        ("haircut", "closing", "funding", "fees"),
        gross=gross,
        fees=fees * 2,
        slippage=slippage,
        haircut=haircut,
        closing=slippage - notional * spreads,
        funding=notional * funding,
    )


def _leg(it: Instrument, side: Side, cost: Cost, slack: Decimal) -> IntentLeg:
    # In ticks, never worse for us: down when buying, up when selling.
    limit = cost.worst * (1 + int(side) * slack)
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return IntentLeg(
        instrument=it.id,
        side=side,
        ticks=Ticks(max(1, int(limit.to_integral_value(rounding)))),
        lots=Lots(cost.lots),
        touch=cost.touch,
    )

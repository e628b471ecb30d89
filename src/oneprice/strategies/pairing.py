"""Pairing: which two instruments are the same thing, and sizes on the grid common to both."""

from collections.abc import Iterable, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from math import gcd

import msgspec

from oneprice.core.strategy import Fees, Forecast, View
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import (
    BPS,
    EXACT,
    MILLI,
    ROUNDED,
    ZERO,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    Side,
)


class PairSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every strategy of two legs can be told. Money is in the quote of the pair."""

    instruments: tuple[InstrumentId, ...] = ()  # empty: all that the engine follows
    net_bps_min: Decimal = Decimal("2")  # of the card, after all costs, basis points
    notional_max: Money = Decimal("2000")  # per leg, money
    patience_ms: int = 400  # legs may work so long, milliseconds
    slack_bps: Decimal = Decimal("2")  # limits beyond the last level, at most half the net, bps
    haircut_bps: Decimal = Decimal("0.5")  # what a missed leg is expected to cost, bps
    ratio_bps_max: Decimal = Decimal("300")  # prices further apart: not the same thing, bps
    spot_fee_in_base: bool = True  # venues take the fee of a spot buy from the coin bought
    hold_ms: int = 600_000  # how long a holding is meant to last, milliseconds
    hold_ms_max: int = 3_600_000  # then it is closed at any price within reason, milliseconds
    take_fraction: Decimal = Decimal("0.5")  # of the card's net: that much earned is enough
    stop_bps: Decimal = Decimal("50")  # adverse move of the spread that ends a holding, bps
    exit_slack_bps: Decimal = Decimal("1")  # limits of a converged exit beyond the book, bps
    stop_slack_bps: Decimal = Decimal("20")  # limits of an adverse or timed exit, bps


class Plan(msgspec.Struct, frozen=True):
    """Lots on both legs that hedge each other once the fees are taken."""

    buy: Lots
    sell: Lots
    coins: Decimal


def wanted(view: View, settings: PairSettings) -> Sequence[Instrument]:
    chosen = dict.fromkeys(settings.instruments)
    return [i for i in view.instruments() if i.tradable and (not chosen or i.id in chosen)]


def same_thing(first: Instrument, second: Instrument) -> bool:
    """Same coin against the same money, with a payoff whose size in coins is fixed."""
    simple = (Payoff.SPOT, Payoff.LINEAR)
    return (
        first.id != second.id
        and first.base == second.base
        and first.quote == second.quote
        and first.settle == second.settle
        and first.payoff in simple
        and second.payoff in simple
    )


def pair_name(buy: Instrument, sell: Instrument) -> str:
    return f"{buy.base} buy {buy.id} sell {sell.id}"


def must_close(*instruments: Instrument) -> bool:
    """Spot against spot is complete at once; a derivative has to be closed later."""
    return any(instrument.is_derivative for instrument in instruments)


def common_step(first: Instrument, second: Instrument) -> Decimal:
    """The smallest number of coins that is whole lots on both."""
    one, other = first.base_per_lot(), second.base_per_lot()
    exponent = max(_decimals(one), _decimals(other))
    a, b = int(one.scaleb(exponent)), int(other.scaleb(exponent))
    return Decimal(a * b // gcd(a, b)).scaleb(-exponent)


def least_steps(step: Decimal, price: Decimal, instruments: Iterable[Instrument]) -> int:
    """The fewest steps that every venue takes as one order; `price` in quote per coin."""
    most = 1
    for it in instruments:
        lots = ROUNDED.divide(step, it.base_per_lot())
        by_lots = _ceil_div(Decimal(it.lots_min), lots)
        by_notional = _ceil_div(it.notional_min, step * price)
        most = max(most, by_lots, by_notional)
    return most


def most_coins(
    view: View, settings: PairSettings, buy: Instrument, sell: Instrument, price: Decimal
) -> Decimal:
    """Coins that the settings, the venues' largest orders and the balances allow.

    Selling a coin we are not known to have is not possible: 0.
    """
    coins = ROUNDED.divide(settings.notional_max, price)
    for it in (buy, sell):
        if it.lots_max:
            coins = min(coins, it.base_per_lot() * it.lots_max)
    if not sell.is_derivative:
        free = view.available(sell.id, sell.base)
        coins = min(coins, free * sell.multiplier if free is not None else ZERO)
    if not buy.is_derivative:
        money = view.available(buy.id, buy.quote)
        if money is not None:
            # One percent is left for the fee and for limits beyond the touch.
            coins = min(coins, ROUNDED.divide(money, price) * Decimal("0.99"))
    return max(coins, ZERO)


def plan(
    buy: Instrument, sell: Instrument, coins: Decimal, buy_fee: Decimal, dust: Decimal
) -> Plan:
    """Lots for a whole number of common steps, so that what arrives hedges what leaves.

    `buy_fee` is the fraction of a spot buy that the venue keeps in the coin (0 where it takes
    money); `dust` are coins left over from before, which a spot leg may use up.
    """
    dust = max(min(dust, coins / 4), -coins / 4)
    bought, sold = coins, coins
    if not buy.is_derivative:
        bought = ROUNDED.divide(coins - dust, 1 - buy_fee)
    elif not sell.is_derivative:
        sold = coins + dust
    return Plan(_nearest(bought, buy), _nearest(sold, sell), coins)


def kept_in_coin(it: Instrument, fees: Fees, settings: PairSettings) -> Decimal:
    """The fraction of a spot buy that never arrives."""
    if it.is_derivative or not settings.spot_fee_in_base:
        return ZERO
    return max(fees.taker, ZERO)


def settlements(forecast: Forecast, now: Nanos, hold_ms: int) -> int:
    """How many fundings are due within the intended hold."""
    end = now + hold_ms * MILLI
    if not now < forecast.due <= end:
        return 0
    if not forecast.interval_ms:
        return 1
    return 1 + (end - forecast.due) // (forecast.interval_ms * MILLI)


def funding_fraction(view: View, it: Instrument, side: Side, hold_ms: int) -> Decimal:
    """Expected funding over the hold as a fraction of notional; above zero is received."""
    forecast = view.funding(it.id)
    if not it.is_derivative or forecast is None:
        return ZERO
    return -int(side) * forecast.rate * settlements(forecast, view.now, hold_ms)


def needed_edge(view: View, settings: PairSettings, buy: Instrument, sell: Instrument) -> Decimal:
    """The edge at the touch, a fraction, that pays for everything but depth and spreads.

    Raises LookupError where a fee tier is not known.
    """
    buy_fees, sell_fees = view.fees(buy.id), view.fees(sell.id)
    if buy_fees is None or sell_fees is None:
        raise LookupError(f"no fee tier of {buy.id} or {sell.id}")
    times = 2 if must_close(buy, sell) else 1
    costs = (buy_fees.taker + sell_fees.taker) * times + settings.haircut_bps * BPS
    if must_close(buy, sell):
        costs -= funding_fraction(view, buy, Side.BUY, settings.hold_ms)
        costs -= funding_fraction(view, sell, Side.SELL, settings.hold_ms)
    return costs + settings.net_bps_min * BPS


def floor_steps(coins: Decimal, step: Decimal) -> int:
    return int(ROUNDED.divide(coins, step).to_integral_value(ROUND_FLOOR))


def _nearest(coins: Decimal, it: Instrument) -> Lots:
    lots = ROUNDED.divide(coins, it.base_per_lot()).to_integral_value(ROUND_HALF_EVEN)
    return Lots(int(lots))


def _ceil_div(number: Decimal, by: Decimal) -> int:
    whole = ROUNDED.divide(number, by).to_integral_value(ROUND_FLOOR)
    return int(whole) + (EXACT.multiply(whole, by) < number)


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)

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

_NEARLY_ALL = Decimal("0.99")


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


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Whose look it is, which way round, and all that stays the same from look to look."""

    strategy: str
    name: str
    settings: PairSettings
    buy: Instrument
    sell: Instrument
    closes: bool  # the trade has to be undone later
    step: Decimal  # coins
    steps_min: int  # by the smallest orders in lots
    notional_min: Money  # of the stricter venue
    coins_max: Decimal | None  # by the largest orders
    buy_value: Decimal  # quote per tick and lot
    sell_value: Decimal
    haircut: Decimal  # fraction
    margin: Decimal  # haircut and least net, fraction


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


def make_pair(
    strategy: str, settings: PairSettings, buy: Instrument, sell: Instrument
) -> Pair:
    """Buy the one, sell the other; both must be the same thing."""
    step = common_step(buy, sell)
    largest = [it.base_per_lot() * it.lots_max for it in (buy, sell) if it.lots_max]
    haircut = settings.haircut_bps * BPS
    return Pair(
        strategy=strategy,
        name=f"{buy.base} buy {buy.id} sell {sell.id}",
        settings=settings,
        buy=buy,
        sell=sell,
        closes=must_close(buy, sell),
        step=step,
        steps_min=_steps_by_lots(step, (buy, sell)),
        notional_min=max(buy.notional_min, sell.notional_min),
        coins_max=min(largest) if largest else None,
        buy_value=buy.tick * buy.lot * buy.contract_value,
        sell_value=sell.tick * sell.lot * sell.contract_value,
        haircut=haircut,
        margin=haircut + settings.net_bps_min * BPS,
    )


def must_close(*instruments: Instrument) -> bool:
    """Spot against spot is complete at once; a derivative has to be closed later."""
    return any(instrument.is_derivative for instrument in instruments)


def common_step(first: Instrument, second: Instrument) -> Decimal:
    """The smallest number of coins that is whole lots on both."""
    one, other = first.base_per_lot(), second.base_per_lot()
    exponent = max(_decimals(one), _decimals(other))
    a, b = int(one.scaleb(exponent)), int(other.scaleb(exponent))
    return Decimal(a * b // gcd(a, b)).scaleb(-exponent)


def least_steps(pair: Pair, price: Decimal) -> int:
    """The fewest steps that both venues take as one order; `price` in quote per coin."""
    return max(pair.steps_min, _ceil_div(pair.notional_min, pair.step * price))


def _steps_by_lots(step: Decimal, instruments: Iterable[Instrument]) -> int:
    most = 1
    for it in instruments:
        lots = ROUNDED.divide(step, it.base_per_lot())
        most = max(most, _ceil_div(Decimal(it.lots_min), lots))
    return most


def most_coins(view: View, pair: Pair, price: Decimal) -> Decimal:
    """Coins that the settings, the venues' largest orders and the balances allow.

    Selling a coin we are not known to have is not possible: 0.
    """
    buy, sell = pair.buy, pair.sell
    coins = ROUNDED.divide(pair.settings.notional_max, price)
    if pair.coins_max is not None:
        coins = min(coins, pair.coins_max)
    if not sell.is_derivative:
        free = view.available(sell.id, sell.base)
        coins = min(coins, free * sell.multiplier if free is not None else ZERO)
    if not buy.is_derivative:
        money = view.available(buy.id, buy.quote)
        if money is not None:
            # One percent is left for the fee and for limits beyond the touch.
            coins = min(coins, ROUNDED.divide(money * _NEARLY_ALL, price))
    return max(coins, ZERO)


def plan(
    buy: Instrument, sell: Instrument, coins: Decimal, buy_fee: Decimal, dust: Decimal
) -> Plan:
    """Lots for a whole number of common steps, so that what arrives hedges what leaves.

    `buy_fee` is the fraction of a spot buy that the venue keeps in the coin (0 where it takes
    money); `dust` are coins left over from before, which a spot leg may use up.
    """
    if dust:
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
    due = settlements(forecast, view.now, hold_ms)
    return -int(side) * forecast.rate * due if due else ZERO


def expected_funding(view: View, pair: Pair) -> Decimal:
    """Of both legs over the hold, a fraction of notional; above zero is received."""
    if not pair.closes:
        return ZERO
    hold_ms = pair.settings.hold_ms
    return funding_fraction(view, pair.buy, Side.BUY, hold_ms) + funding_fraction(
        view, pair.sell, Side.SELL, hold_ms
    )


def needed_edge(pair: Pair, buy_fees: Fees, sell_fees: Fees, funding: Decimal) -> Decimal:
    """The edge at the touch, a fraction, that pays for everything but depth and spreads."""
    fees = buy_fees.taker + sell_fees.taker
    return (fees * 2 if pair.closes else fees) + pair.margin - funding


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

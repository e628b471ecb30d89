"""Bybit's instruments-info rows to instruments on our grid.

Source: Bybit v5 docs, "Get Instruments Info". Sizes are base coins on spot and linear, and
contracts of one US dollar on inverse.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import MILLI, ROUNDED, InstrumentId, Lots, Nanos
from oneprice.venues.bybit import MARKETS, NAME
from oneprice.venues.bybit.wire import InstrumentRow, decimal, decimal_or_zero, whole

_PAYOFF = {"spot": Payoff.SPOT, "linear": Payoff.LINEAR, "inverse": Payoff.INVERSE}
# 1000PEPE, 1000000MOG and SHIB1000 are bundles of a coin; 1INCH is not.
_BUNDLE = re.compile(r"(?P<head>10{3,})(?P<coin>[A-Z][A-Z0-9]*)|(?P<name>[A-Z]+)(?P<tail>10{3,})")


def instrument(market: str, row: InstrumentRow) -> Instrument:
    """One row on our grid; ValueError where it names no usable grid."""
    if market not in MARKETS:
        raise ValueError(f"market: expected one of {MARKETS}, found {market!r}")
    sizes = row.lot_size_filter
    spot = market == "spot"
    base, multiplier = (row.base_coin, Decimal(1)) if spot else _coin(row.base_coin)
    lot = _step(sizes.base_precision if spot else sizes.qty_step, "size step")
    most = sizes.max_limit_order_qty if spot else sizes.max_order_qty
    least = sizes.min_order_amt if spot else sizes.min_notional_value
    # Perpetuals carry "0", or the hour of their delisting once that is set.
    ends = whole(row.delivery_time or "0")
    perpetual = row.contract_type.endswith("Perpetual")
    return Instrument(
        id=instrument_id(NAME, market, row.symbol),
        venue=NAME,
        market=market,
        symbol=row.symbol,
        payoff=_PAYOFF[market],
        base=base,
        quote=row.quote_coin,
        settle=row.quote_coin if spot else row.settle_coin or row.quote_coin,
        tick=_step(row.price_filter.tick_size, "tickSize"),
        lot=lot,
        multiplier=multiplier,
        # The smallest size on spot is marked deprecated; keeping it costs nothing.
        lots_min=Lots(max(1, _steps_up(sizes.min_order_qty, lot))),
        lots_max=Lots(int(decimal_or_zero(most) / lot)),
        notional_min=decimal_or_zero(least),
        price_min=decimal_or_zero(row.price_filter.min_price),
        price_max=decimal_or_zero(row.price_filter.max_price),
        expiry=Nanos(0 if perpetual else ends * MILLI),
        delisting=Nanos(ends * MILLI if perpetual else 0),
        funding_interval_ms=row.funding_interval * 60_000 if perpetual else 0,
        tradable=row.status == "Trading",
    )


def _coin(text: str) -> tuple[str, Decimal]:
    found = _BUNDLE.fullmatch(text)
    if found is None:
        return text, Decimal(1)
    name, count = found["coin"] or found["name"], found["head"] or found["tail"]
    return name, Decimal(count)


def _step(text: str, what: str) -> Decimal:
    step = decimal(text)
    if step <= 0:
        raise ValueError(f"{what}: expected more than 0, found {text!r}")
    return step


def _steps_up(text: str, step: Decimal) -> int:
    count = ROUNDED.divide(decimal_or_zero(text), step)
    return int(count.to_integral_value(ROUND_CEILING))


def known(listed: Mapping[InstrumentId, Instrument], category: str, symbol: str) -> Instrument:
    """The listed instrument of a row; ValueError where it was never listed."""
    found = listed.get(instrument_id(NAME, category, symbol))
    if found is None:
        raise ValueError(f"instrument {category}:{symbol} was never listed")
    return found

"""From exchangeInfo to instruments: grids, limits, payoff, expiry."""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import MILLI, ROUNDED, ZERO, Lots, Nanos
from oneprice.venues.binance.facts import VENUE, Product
from oneprice.venues.binance.frames import Filter, Listed

PERPETUAL = ("PERPETUAL", "TRADIFI_PERPETUAL")
DEFAULT_INTERVAL_HOURS = 8  # fundingInfo tells only those that were ever adjusted
HOUR_MS = 3_600_000
NEVER_MS = 4_133_404_800_000  # the year 2100 stands for a perpetual that is to stay

# Contracts on cheap coins are named for a bundle of them: one "1000PEPE" is 1,000 PEPE.
_BUNDLE = re.compile(r"(1000000|1000|1M)([A-Z]{2,})")
_BUNDLES = {"1000": Decimal(1_000), "1000000": Decimal(1_000_000), "1M": Decimal(1_000_000)}


class Unlistable(ValueError):
    """A symbol whose description our model of an instrument cannot hold."""


def instrument_from(listed: Listed, product: Product, interval_hours: int) -> Instrument | None:
    """The instrument of one exchangeInfo entry (protocol reference 4 and 8.1).

    None where the entry is of another product: since 2026-06-30 USD-M answers may contain
    COIN-M symbols. Raises Unlistable where the grid is missing or cannot be held.
    """
    settle = listed.marginAsset or listed.quoteAsset
    if product.payoff is Payoff.LINEAR and settle != listed.quoteAsset:
        return None
    if product.payoff is Payoff.INVERSE and settle != listed.baseAsset:
        return None
    filters = {each.filterType: each for each in listed.filters}
    price = _filter(filters, "PRICE_FILTER", listed.symbol)
    size = _filter(filters, "LOT_SIZE", listed.symbol)
    tick = _step(price.tickSize, listed.symbol, "tickSize")
    lot = _step(size.stepSize, listed.symbol, "stepSize")
    perpetual = listed.contractType in PERPETUAL
    base, multiplier = listed.baseAsset, Decimal(1)
    if product.payoff is Payoff.LINEAR and (bundle := _BUNDLE.fullmatch(base)):
        base, multiplier = bundle[2], _BUNDLES[bundle[1]]
    dated = product.payoff is not Payoff.SPOT and not perpetual
    ends = perpetual and 0 < listed.deliveryDate < NEVER_MS
    return Instrument(
        id=instrument_id(VENUE, product.market, listed.symbol),
        venue=VENUE,
        market=product.market,
        symbol=listed.symbol,
        payoff=product.payoff,
        base=base,
        quote=listed.quoteAsset,
        settle=settle,
        tick=tick,
        lot=lot,
        contract_value=Decimal(listed.contractSize),
        multiplier=multiplier,
        lots_min=Lots(max(1, _steps(size.minQty, lot, ROUND_CEILING))),
        lots_max=Lots(_steps(size.maxQty, lot, ROUND_FLOOR)),
        notional_min=_notional_min(filters),
        price_min=Decimal(price.minPrice),
        price_max=Decimal(price.maxPrice),
        expiry=Nanos(listed.deliveryDate * MILLI if dated else 0),
        delisting=Nanos(listed.deliveryDate * MILLI if ends else 0),
        funding_interval_ms=interval_hours * HOUR_MS if perpetual else 0,
        tradable=(
            "TRADING" in (listed.status, listed.contractStatus) and listed.isSpotTradingAllowed
        ),
    )


def _filter(filters: dict[str, Filter], name: str, symbol: str) -> Filter:
    if name not in filters:
        raise Unlistable(f"{symbol}: expected a filter {name}, found none")
    return filters[name]


def _step(text: str, symbol: str, field: str) -> Decimal:
    step = Decimal(text)
    if step <= 0:
        raise Unlistable(f"{symbol}: expected {field} above 0, found {text}")
    return step.normalize()


def _steps(text: str, step: Decimal, rounding: str) -> int:
    return int(ROUNDED.divide(Decimal(text), step).to_integral_value(rounding))


def _notional_min(filters: dict[str, Filter]) -> Decimal:
    least = ZERO
    for name in ("NOTIONAL", "MIN_NOTIONAL"):
        if name in filters:
            found = filters[name]
            least = max(least, Decimal(found.minNotional), Decimal(found.notional))
    return least

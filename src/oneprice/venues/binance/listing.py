"""exchangeInfo: how to ask for it, and from it to instruments: grids, limits, payoff, expiry."""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from urllib.parse import quote

import msgspec
from msgspec import Raw

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import MILLI, ROUNDED, ZERO, InstrumentId, Lots, Nanos
from oneprice.venues.binance.facts import VENUE, Product
from oneprice.venues.binance.frames import Filter, Listed, Named
from oneprice.venues.binance.numbers import UNREADABLE
from oneprice.venues.contract import Request, listing_tag

PERPETUAL = ("PERPETUAL", "TRADIFI_PERPETUAL")
DEFAULT_INTERVAL_HOURS = 8  # fundingInfo tells only those that were ever adjusted
HOUR_MS = 3_600_000
NEVER_MS = 4_133_404_800_000  # the year 2100 stands for a perpetual that is to stay

# Contracts on cheap coins are named for a bundle of them: one "1000PEPE" is 1,000 PEPE.
_BUNDLE = re.compile(r"(1000000|1000|1M)([A-Z]{2,})")
_BUNDLES = {"1000": Decimal(1_000), "1000000": Decimal(1_000_000), "1M": Decimal(1_000_000)}


SYMBOLS_MAX = 100  # in one question: an address of 2 kB is taken everywhere

_named = msgspec.json.Decoder(Named)


class Unlistable(ValueError):
    """A symbol whose description our model of an instrument cannot hold."""


def get(product: Product, tag: str, path: str, cost: tuple[tuple[str, int], ...]) -> Request:
    """One public question to this product's host."""
    return Request(tag=tag, host=product.rest, path=path, cost=cost)


def questions(
    product: Product, symbols: Sequence[str], unknown: Container[InstrumentId] = ()
) -> list[Request]:
    """For the whole list, or for these symbols of it; futures have the whole list only.

    One symbol that the venue does not know makes it refuse all that are named beside it, so
    each of the `unknown` is asked for alone.
    """
    if not symbols or not product.named:
        return [_question(product, symbols)]
    alone = [s for s in symbols if instrument_id(VENUE, product.market, s) in unknown]
    rest = [s for s in symbols if s not in alone]
    parts = [rest[i : i + SYMBOLS_MAX] for i in range(0, len(rest), SYMBOLS_MAX)]
    return [_question(product, part) for part in (*parts, *([s] for s in alone))]


def halves(product: Product, symbols: Sequence[str]) -> list[Request]:
    """The question anew in two, to find the one symbol that it was refused for."""
    middle = len(symbols) // 2
    return [_question(product, part) for part in (symbols[:middle], symbols[middle:])]


def _question(product: Product, symbols: Sequence[str]) -> Request:
    """Each costs the same, whether it is about one symbol or about all."""
    tag = listing_tag(product.market, symbols)
    cost = ((product.weight, product.info_weight),)
    request = get(product, tag, f"{product.api}/exchangeInfo", cost)
    if not product.named:
        return request
    query = "showPermissionSets=false"  # most of the bytes, and nothing that we read
    if symbols:
        names = ",".join(f'"{symbol}"' for symbol in symbols)
        query += f"&symbols={quote(f'[{names}]', safe='')}"
    return msgspec.structs.replace(request, query=query)


def picked(rows: Sequence[Raw], asked: Mapping[str, None]) -> Iterator[Raw]:
    """The rows of who was asked for, all where nobody was named; the others are hardly read."""
    for raw in rows:
        if asked:
            try:
                if _named.decode(raw).symbol not in asked:
                    continue
            except UNREADABLE:
                continue  # whoever it is: the one that it is not found for is told of
        yield raw


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

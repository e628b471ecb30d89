"""KuCoin's symbols and contracts to instruments on our grid.

Source: KuCoin API docs, "Get All Symbols" (spot), "Get Active Contracts" (futures). A futures
size is a number of contracts: base coins each (linear), or one US dollar each (inverse).
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import MILLI, ROUNDED, Asset, InstrumentId, Lots, Nanos, plain
from oneprice.venues.kucoin import NAME
from oneprice.venues.kucoin.wire import (
    ContractRow,
    SymbolRow,
    decimal,
    decimal_or_zero,
    milliseconds,
    whole,
)

_PERPETUAL, _DATED = "FFWCSX", "FFICSX"
# 1000BONK and 10000SATS are bundles of a coin; 1INCH is not.
_BUNDLE = re.compile(r"(10{3,})([A-Z][A-Z0-9]*)")


def coin(text: str) -> Asset:
    """A coin of the futures side in the spelling of the spot side: only bitcoin has two."""
    return "BTC" if text == "XBT" else text


def futures_coin(asset: Asset) -> str:
    """The reverse of `coin`, for questions to the futures host."""
    return "XBT" if asset == "BTC" else asset


def spot(row: SymbolRow, at: Nanos) -> Instrument:
    """A spot symbol; ValueError where it names no usable grid."""
    base, multiplier = _unbundled(row.base_currency)
    lot = _step(decimal(row.base_increment, "baseIncrement"), "baseIncrement")
    starts = milliseconds(row.trading_start_time, "tradingStartTime")
    return Instrument(
        id=instrument_id(NAME, "spot", row.symbol),
        venue=NAME,
        market="spot",
        symbol=row.symbol,
        payoff=Payoff.SPOT,
        base=base,
        quote=row.quote_currency,
        settle=row.quote_currency,
        tick=_step(decimal(row.price_increment, "priceIncrement"), "priceIncrement"),
        lot=lot,
        multiplier=multiplier,
        lots_min=_lots_up(decimal_or_zero(row.base_min_size, "baseMinSize"), lot),
        lots_max=_lots_down(decimal_or_zero(row.base_max_size, "baseMaxSize"), lot),
        notional_min=decimal_or_zero(row.min_funds, "minFunds"),
        # During a call auction orders do not match continuously: not ours to trade.
        tradable=row.enable_trading and not row.callauction_is_enabled and starts * MILLI <= at,
    )


def contract(row: ContractRow) -> Instrument:
    """A futures contract; ValueError where it is of a kind we do not understand.

    `isQuanto` is true even for plain USDT contracts and is not read; a contract that settles in
    neither its quote (linear) nor its base (inverse) is refused.
    """
    if row.type not in (_PERPETUAL, _DATED):
        raise ValueError(f"type: expected {_PERPETUAL} or {_DATED}, found {row.type[:20]!r}")
    due = row.base_currency if row.is_inverse else row.quote_currency
    if row.settle_currency != due:
        raise ValueError(f"settleCurrency: expected {due}, found {row.settle_currency[:20]!r}")
    value = decimal(row.multiplier, "multiplier")
    if value == 0 or (value < 0) is not row.is_inverse:
        raise ValueError(f"multiplier: expected below 0 for inverse only, found {value}")
    base, multiplier = _unbundled(coin(row.base_currency))
    lot = _step(decimal(row.lot_size, "lotSize"), "lotSize")
    if lot % 1:
        raise ValueError(f"lotSize: expected whole contracts, found {lot}")
    perpetual = row.type == _PERPETUAL
    # A perpetual gets one when its delisting is announced.
    ends = Nanos(milliseconds(row.expire_date, "expireDate") * MILLI)
    if not perpetual and not ends:
        raise ValueError("expireDate: expected an instant for a dated contract, found none")
    return Instrument(
        id=instrument_id(NAME, "futures", row.symbol),
        venue=NAME,
        market="futures",
        symbol=row.symbol,
        payoff=Payoff.INVERSE if row.is_inverse else Payoff.LINEAR,
        base=base,
        quote=coin(row.quote_currency),
        settle=coin(row.settle_currency),
        tick=_step(decimal(row.tick_size, "tickSize"), "tickSize"),
        lot=lot,
        contract_value=Decimal(plain(abs(value))),
        multiplier=multiplier,
        lots_max=_lots_down(decimal_or_zero(row.max_order_qty, "maxOrderQty"), lot),
        price_max=decimal_or_zero(row.max_price, "maxPrice"),
        expiry=Nanos(0) if perpetual else ends,
        delisting=ends if perpetual else Nanos(0),
        funding_interval_ms=whole(row.funding_rate_granularity, "fundingRateGranularity")
        if perpetual
        else 0,
        tradable=row.status == "Open",
    )


def _unbundled(text: str) -> tuple[Asset, Decimal]:
    found = _BUNDLE.fullmatch(text)
    return (text, Decimal(1)) if found is None else (found[2], Decimal(found[1]))


def _step(step: Decimal, what: str) -> Decimal:
    if step <= 0:
        raise ValueError(f"{what}: expected more than 0, found {step}")
    return Decimal(plain(step))


def _lots_up(size: Decimal, lot: Decimal) -> Lots:
    count = ROUNDED.divide(size, lot).to_integral_value(ROUND_CEILING)
    return Lots(max(1, int(count)))


def _lots_down(size: Decimal, lot: Decimal) -> Lots:
    return Lots(int(ROUNDED.divide(size, lot).to_integral_value(ROUND_FLOOR)))


def known(listed: Mapping[InstrumentId, Instrument], market: str, symbol: str) -> Instrument:
    """The listed instrument of a row; ValueError where it was never listed."""
    found = listed.get(instrument_id(NAME, market, symbol))
    if found is None:
        raise ValueError(f"instrument {market}:{symbol[:40]} was never listed")
    return found

"""BitMEX's instrument rows to instruments on our grid: contract maths from integer multipliers.

Source: protocol document, sections 5 and 6. A value of q contracts at price P, in minor units of
the settlement currency, is q * multiplier * P (linear, quanto) or q * |multiplier| / P (inverse);
Instrument.contract_value is the multiplier in major units.
"""

from collections.abc import Mapping
from decimal import Decimal

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import EXACT, MILLI, Asset, InstrumentId, Lots, Nanos
from oneprice.venues.bitmex import MARKET, NAME
from oneprice.venues.bitmex.wire import InstrumentRow, count, interval_ms, moment_ms, number

# Minor units as section 2 gives them: what coin one is a part of, and its decimals.
CURRENCIES: Mapping[str, tuple[Asset, int]] = {
    "XBt": ("BTC", 8),
    "USDt": ("USDT", 6),
    "Gwei": ("ETH", 9),
}

_DATED = "FFCCSX"
_CONTRACTS = ("FFWCSX", "FFWCSF", _DATED, "FFSCSX")
# Spot, prediction markets, calendar spreads and indices are no market of this dialect.
_OTHERS = ("IFXXXP", "FFICSX", "FFMCSX", "MR")


def amount(minor: int, currency: str) -> Decimal:
    """An integer amount of minor units in whole coins; ValueError for an unknown currency."""
    return EXACT.scaleb(Decimal(minor), -_currency(currency)[1])


def asset(currency: str) -> Asset:
    """The coin of a minor unit: XBt is BTC; ValueError for an unknown currency."""
    return _currency(currency)[0]


def coin(text: str) -> Asset:
    """A coin as everybody else calls it: only bitcoin has a name of the venue's own."""
    return "BTC" if text == "XBT" else text


def _currency(currency: str) -> tuple[Asset, int]:
    found = CURRENCIES.get(currency)
    if found is None:
        raise ValueError(f"currency: expected one of {[*CURRENCIES]}, found {currency[:20]!r}")
    return found


def is_ours(row: InstrumentRow) -> bool:
    """Whether the row is a contract; ValueError for a kind the documents do not know."""
    if row.typ in _CONTRACTS:
        return True
    if row.typ.startswith(_OTHERS):
        return False
    raise ValueError(f"typ: expected one of {(*_CONTRACTS, *_OTHERS)}, found {row.typ[:20]!r}")


def instrument(row: InstrumentRow) -> Instrument:
    """One row on our grid; ValueError where it names no usable grid or value."""
    settle, decimals = _currency(row.settl_currency or "")
    payoff = _payoff(row, settle)
    value = EXACT.scaleb(Decimal(abs(count(row.multiplier, "multiplier"))), -decimals).normalize()
    if not value:
        raise ValueError("multiplier: expected other than 0, found 0")
    lot = _step(row.lot_size, "lotSize")
    dated = row.typ == _DATED
    # A perpetual gets one when its end is announced.
    ends = Nanos(moment_ms(row.expiry, "expiry") * MILLI if row.expiry else 0)
    most = count(row.max_order_qty, "maxOrderQty") if row.max_order_qty is not None else 0
    return Instrument(
        id=instrument_id(NAME, MARKET, row.symbol),
        venue=NAME,
        market=MARKET,
        symbol=row.symbol,
        payoff=payoff,
        base=coin(row.underlying),
        quote=coin(row.quote_currency),
        settle=settle,
        tick=_step(row.tick_size, "tickSize"),
        lot=lot,
        contract_value=value,
        lots_max=Lots(int(most / lot)),
        price_max=number(row.max_price, "maxPrice") if row.max_price is not None else Decimal(0),
        expiry=ends if dated else Nanos(0),
        delisting=Nanos(0) if dated else ends,
        funding_interval_ms=(
            interval_ms(row.funding_interval, "fundingInterval") if row.funding_interval else 0
        ),
        tradable=row.state == "Open",
    )


def _payoff(row: InstrumentRow, settle: Asset) -> Payoff:
    if row.is_inverse and row.is_quanto:
        raise ValueError("isInverse, isQuanto: expected one of them at most, found both")
    negative = count(row.multiplier, "multiplier") < 0
    if negative is not row.is_inverse:
        raise ValueError(
            f"multiplier: expected below 0 for inverse contracts only, found {row.multiplier}"
        )
    if row.is_inverse:
        if settle != coin(row.underlying):
            raise ValueError(f"settlCurrency: expected {row.underlying!r}, found {settle!r}")
        return Payoff.INVERSE
    if row.is_quanto:
        return Payoff.QUANTO
    if settle != coin(row.quote_currency):
        raise ValueError(f"settlCurrency: expected {row.quote_currency!r}, found {settle!r}")
    _, decimals = CURRENCIES[row.settl_currency or ""]
    if row.to_position and row.multiplier and row.to_position * row.multiplier != 10**decimals:
        raise ValueError(
            f"underlyingToPositionMultiplier: expected {10**decimals} / {row.multiplier}, "
            f"found {row.to_position}"
        )
    return Payoff.LINEAR


def _step(value: Decimal | None, field: str) -> Decimal:
    step = number(value, field)
    if step <= 0:
        raise ValueError(f"{field}: expected more than 0, found {step}")
    return step


def known(listed: Mapping[InstrumentId, Instrument], symbol: str | None) -> Instrument:
    """The listed instrument of a row; ValueError where it was never listed."""
    found = listed.get(instrument_id(NAME, MARKET, symbol or ""))
    if found is None:
        raise ValueError(f"instrument {(symbol or '')[:40]!r} was never listed")
    return found

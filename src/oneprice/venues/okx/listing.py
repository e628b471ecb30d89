"""OKX's instruments as ours: contract values, grids, payoffs."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import EXACT, HOUR, MILLI, Asset, Lots, Nanos
from oneprice.venues.okx.frames import Listed, decimal, moment

MARKETS = {"SPOT": "spot", "SWAP": "swap", "FUTURES": "futures"}
KINDS = {market: kind for kind, market in MARKETS.items()}

# The instrument list does not say how often a swap is settled. Eight hours is the venue's
# default ("Funding Rate"); the funding channel says the truth and the instrument is listed anew.
_FUNDING_DEFAULT_MS = 8 * HOUR // MILLI


class Detail(msgspec.Struct, frozen=True):
    """What OKX wants to know of an instrument and ours has no place for."""

    code: int | None  # instIdCode, differs between the live venue and its demo
    fees: str  # groupId
    index: str  # the name of the index it is made on


def market_of(symbol: str) -> str:
    """The market that an instrument's name tells: -SWAP, or six digits of a date, or spot."""
    last = symbol.rpartition("-")[2]
    if last == "SWAP":
        return "swap"
    return "futures" if len(last) == 6 and last.isdigit() else "spot"


def identity(symbol: str) -> str:
    """Our id of an OKX symbol."""
    return instrument_id("okx", market_of(symbol), symbol)


def identity_of(kind: str, symbol: str) -> str:
    """Our id where the venue says what it is; margin trades in spot instruments."""
    market = "spot" if kind == "MARGIN" else MARKETS.get(kind) or market_of(symbol)
    return instrument_id("okx", market, symbol)


def detail_of(listed: Listed) -> Detail:
    return Detail(listed.instIdCode, listed.groupId, listed.uly or listed.instId)


def instrument_of(listed: Listed) -> Instrument | None:
    """The instrument, or None where it is of a market we do not take or not described yet.

    New listings appear with their name, type and state alone; the rest follows at least five
    minutes before trading. Raises ValueError naming field, found and expected.
    """
    market = MARKETS.get(listed.instType)
    if market is None or not listed.tickSz or not listed.lotSz:
        return None
    tick = _step(listed.tickSz, "tickSz")
    lot = _step(listed.lotSz, "lotSz")
    payoff, base, quote, settle, value = _contract(listed)
    # An X-Perp is a future that lives like a perpetual; its delivery date is not an expiry.
    perpetual = market == "swap" or listed.ruleType == "xperp"
    dated = market == "futures" and not perpetual
    # What has no delivery gets a time here when the venue announces that it will take it offline.
    ends = moment(listed.expTime, "expTime")
    return Instrument(
        id=instrument_id("okx", market, listed.instId),
        venue="okx",
        market=market,
        symbol=listed.instId,
        payoff=payoff,
        base=base,
        quote=quote,
        settle=settle,
        tick=tick,
        lot=lot,
        contract_value=value,
        lots_min=_lots(listed.minSz, lot, "minSz", up=True) or Lots(1),
        lots_max=_lots(listed.maxLmtSz, lot, "maxLmtSz", up=False),
        expiry=ends if dated else Nanos(0),
        delisting=Nanos(0) if dated else ends,
        funding_interval_ms=_FUNDING_DEFAULT_MS if perpetual else 0,
        tradable=listed.state == "live",
    )


def _contract(listed: Listed) -> tuple[Payoff, Asset, Asset, Asset, Decimal]:
    """Payoff, base, quote, settle and contract value (ctVal times ctMult)."""
    if listed.instType == "SPOT":
        if not listed.baseCcy or not listed.quoteCcy:
            raise ValueError("baseCcy, quoteCcy: expected coins, found nothing")
        return Payoff.SPOT, listed.baseCcy, listed.quoteCcy, listed.quoteCcy, Decimal(1)
    base, dash, quote = listed.uly.partition("-")
    if not dash or not base or not quote:
        raise ValueError(f"uly: expected BASE-QUOTE, found {listed.uly[:40]!r}")
    multiplier = decimal(listed.ctMult or "1", "ctMult")
    value = EXACT.multiply(_step(listed.ctVal, "ctVal"), multiplier)
    expected = {"linear": base, "inverse": quote}.get(listed.ctType)
    if expected is None:
        raise ValueError(f"ctType: expected linear or inverse, found {listed.ctType[:40]!r}")
    if listed.ctValCcy != expected:
        # A face value in another coin would make every size wrong by its price.
        raise ValueError(
            f"ctValCcy: expected {expected} for {listed.ctType}, found {listed.ctValCcy[:40]!r}"
        )
    payoff = Payoff.LINEAR if listed.ctType == "linear" else Payoff.INVERSE
    return payoff, base, quote, listed.settleCcy or quote, value


def _step(text: str, field: str) -> Decimal:
    number = decimal(text, field)
    if number <= 0:
        raise ValueError(f"{field}: expected above zero, found {text[:40]!r}")
    return number


def _lots(text: str, lot: Decimal, field: str, *, up: bool) -> Lots:
    """A size as whole lots, 0 where the venue names none."""
    if not text:
        return Lots(0)
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return Lots(int((decimal(text, field) / lot).to_integral_value(rounding)))

"""Whom and what the twins know by default: listings made of the grids, wallets, a customer."""

from decimal import Decimal

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import HOUR, MILLI, ZERO, Asset, InstrumentId, Lots, Money, Nanos
from oneprice.twin.contract import AccountSpec, Extras, Listing, RiskTier, Setup, WalletSpec
from oneprice.twin.expiries import month_code, quarter_end, yymmdd
from oneprice.twin.grids import GRIDS, TERMS, Grid, Terms

HOUR_MS = HOUR // MILLI
EIGHT_HOURS_MS = 8 * HOUR_MS
USUAL_START = 1_795_000_000_000_000_000  # decides which dated futures are listed

_WALLETS = {
    "bybit": (WalletSpec(name="unified", markets=("spot", "linear", "inverse"), pooled=True),),
    "binance": (
        WalletSpec(name="spot", markets=("spot",)),
        WalletSpec(name="usdm", markets=("usdm",)),
        WalletSpec(name="coinm", markets=("coinm",)),
    ),
    "okx": (WalletSpec(name="trading", markets=("spot", "swap", "futures"), pooled=True),),
    "kucoin": (
        WalletSpec(name="spot", markets=("spot",)),
        WalletSpec(name="futures", markets=("futures",)),
    ),
    "bitmex": (WalletSpec(name="margin", markets=("derivatives",)),),
}
_COINS: dict[str, tuple[str, ...]] = {
    "unified": ("USDT", "BTC", "ETH", "SOL"),
    "trading": ("USDT", "BTC", "ETH", "SOL"),
    "spot": ("USDT", "BTC", "ETH", "SOL"),
    "usdm": ("USDT",),
    "coinm": ("BTC", "ETH"),
    "futures": ("USDT", "XBT"),
    "margin": ("XBT", "USDT"),
}
_AMOUNTS = {
    "USDT": Decimal(200_000),
    "BTC": Decimal(5),
    "XBT": Decimal(5),
    "ETH": Decimal(50),
    "SOL": Decimal(500),
}
_FUND = {
    "USDT": Decimal(1_000_000),
    "BTC": Decimal(100),
    "XBT": Decimal(100),
    "ETH": Decimal(1_000),
}
_PASSPHRASED = ("okx", "kucoin")
_MONEY_STEP = {"bybit": Decimal("1E-12")}
_MONEY_STEPS = {"bitmex": {"USDT": Decimal("1E-6")}}  # its smallest unit, "USDt"
# Brackets as parts of the first one: value to (dollars), margin times, leverage divided by.
# Simplified from the venues' tables, which change weekly; deductions keep them continuous.
_BRACKETS = (
    (2_000_000, 1),
    (10_000_000, 2),
    (40_000_000, 5),
    (100_000_000, 10),
    (0, 25),
)
_USUAL_PRICES = {"BTC": 60_000, "XBT": 60_000, "ETH": 3_000, "SOL": 150}
VENUES = tuple(GRIDS)


def default_listings(
    venue: str, *, funding_interval_ms: int = 0, at: int = USUAL_START
) -> tuple[Listing, ...]:
    """Everything the twin of a venue lists at a time; ValueError names an unknown venue.

    `funding_interval_ms` replaces every perpetual's own interval, 0: it does not.
    """
    grids = GRIDS.get(venue)
    if grids is None:
        raise ValueError(f"no twin of {venue!r}: expected one of {', '.join(VENUES)}")
    return tuple(_listing(venue, grid, funding_interval_ms, at) for grid in grids)


def extras_for(instrument: Instrument) -> Extras:
    """The venue's usual terms, for instruments that a tape brings along."""
    terms = TERMS.get((instrument.venue, instrument.market), Terms(fees="0.001 0.001"))
    maker, taker = terms.fees.split()
    return Extras(maker_fee=Decimal(maker), taker_fee=Decimal(taker))


def chosen(listings: tuple[Listing, ...], wanted: tuple[InstrumentId, ...]) -> tuple[Listing, ...]:
    """The wanted ones, all where nothing is named; ValueError names an unlisted one."""
    known = {one.instrument.id: one for one in listings}
    for name in wanted:
        if name not in known:
            raise ValueError(f"instrument {name!r}: expected one of {', '.join(known)}")
    return tuple(known[name] for name in wanted) if wanted else listings


def default_account(venue: str, number: int = 1) -> AccountSpec:
    """A customer with money in every wallet; credentials are public, nothing real opens."""
    return AccountSpec(
        key=f"twin-{venue}-key-{number:04d}",
        secret=f"twin-{venue}-secret-{number:04d}",
        passphrase=f"twin-{venue}-pass-{number:04d}" if venue in _PASSPHRASED else "",
        uid=100_000 + number,
        deposits=default_deposits(venue),
    )


def default_deposits(venue: str) -> dict[str, dict[Asset, Money]]:
    return {
        wallet.name: {coin: _AMOUNTS[coin] for coin in _COINS[wallet.name]}
        for wallet in _WALLETS[venue]
    }


def default_setup(
    venue: str,
    listings: tuple[Listing, ...],
    accounts: tuple[AccountSpec, ...],
    *,
    taped: bool = False,
) -> Setup:
    return Setup(
        venue=venue,
        listings=listings,
        wallets=_WALLETS[venue],
        accounts=accounts,
        client_ids_forever=venue not in ("binance", "okx"),
        quote_fees=venue == "kucoin",
        margin_mode="isolated" if venue == "kucoin" else "cross",
        mode_while_open=venue == "bitmex",
        lot_values=venue == "bitmex",
        money_step=_MONEY_STEP.get(venue, Decimal("1E-8")),
        money_steps=_MONEY_STEPS.get(venue, {}),
        taped=taped,
        insurance=dict(_FUND),
    )


def _listing(venue: str, grid: Grid, funding_interval_ms: int, at: int) -> Listing:
    terms = TERMS[venue, grid.market]
    base, quote, settle = grid.coins.split()
    expiry = quarter_end(at, terms.delivery_hour) if grid.dated else 0
    symbol = grid.symbol
    if expiry:
        symbol = symbol.format(yymmdd=yymmdd(expiry), code=month_code(expiry))
    step = Decimal(grid.lot)
    interval = funding_interval_ms or grid.hours * HOUR_MS
    if grid.payoff is Payoff.SPOT or expiry:
        interval = 0
    tick = Decimal(grid.tick)
    instrument = Instrument(
        id=instrument_id(venue, grid.market, symbol),
        venue=venue,
        market=grid.market,
        symbol=symbol,
        payoff=grid.payoff,
        base=base,
        quote=quote,
        settle=settle,
        tick=tick,
        lot=step,
        contract_value=Decimal(grid.value),
        lots_min=Lots(int(Decimal(grid.least or grid.lot) / step)),
        lots_max=Lots(int(Decimal(grid.most) / step)),
        notional_min=Decimal(grid.notional),
        price_min=tick,
        price_max=tick * (19_999_998 if base in ("BTC", "XBT") else 99_999_999),
        expiry=Nanos(expiry),
        funding_interval_ms=interval,
    )
    return Listing(instrument=instrument, extras=_extras(grid, terms, instrument))


def _extras(grid: Grid, terms: Terms, instrument: Instrument) -> Extras:
    maker, taker = (grid.fees or terms.fees).split()
    interval = instrument.funding_interval_ms or EIGHT_HOURS_MS
    return Extras(
        maker_fee=Decimal(maker),
        taker_fee=Decimal(taker),
        band=Decimal(grid.band),
        band_clips=terms.band_clips,
        market_lots_max=int(Decimal(grid.market_most) / instrument.lot),
        orders_max=terms.orders_max,
        leverage_max=Decimal(terms.leverage_max),
        leverage_default=Decimal(terms.leverage_default),
        maintenance_rate=Decimal(terms.maintenance),
        funding_interest=Decimal("0.0001") * interval / EIGHT_HOURS_MS,
        dated=grid.dated,
        funding_phase_ms=terms.phase_hours * HOUR_MS,
        funding_ahead=terms.funding_ahead,
        liquidation_fee=Decimal(terms.liquidation_fee),
        tiers=_tiers(terms, instrument),
    )


def _tiers(terms: Terms, instrument: Instrument) -> tuple[RiskTier, ...]:
    """Brackets in the settle asset, rounded to whole dollars or thousandths of a coin."""
    if not instrument.is_derivative:
        return ()
    price, step = Decimal(_USUAL_PRICES.get(instrument.settle, 1)), Decimal(1)
    if price != 1:
        step = Decimal("0.001")
    maintenance, leverage = Decimal(terms.maintenance), Decimal(terms.leverage_max)
    found: list[RiskTier] = []
    begin = deduction = ZERO
    for number, (dollars, times) in enumerate(_BRACKETS, 1):
        rate = maintenance * times
        if found:
            deduction += begin * (rate - found[-1].maintenance_rate)
        end = (dollars / price).quantize(step)
        found.append(
            RiskTier(
                number=number,
                value_from=begin,
                value_to=end,
                maintenance_rate=rate,
                leverage_max=max(Decimal(1), leverage / times),
                deduction=deduction,
            )
        )
        begin = end
    return tuple(found)

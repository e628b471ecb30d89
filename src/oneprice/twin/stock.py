"""What the twins list and whom they know by default: grids, limits, fees, wallets, a customer."""

from decimal import Decimal

from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import Asset, InstrumentId, Lots, Money
from oneprice.twin.contract import AccountSpec, Extras, Listing, Setup, WalletSpec

EIGHT_HOURS_MS = 8 * 3_600_000

# market, symbol, tick, lot, largest limit and market size, least notional, price band.
# Bybit: instruments-info of 2026-08; Binance: exchangeInfo. Sizes in the venue's own unit.
_ROWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "bybit": (
        ("spot", "BTCUSDT", "0.1", "0.000001", "230", "120", "5", "0.01"),
        ("spot", "ETHUSDT", "0.01", "0.00001", "8118", "2706", "5", "0.01"),
        ("spot", "SOLUSDT", "0.01", "0.0001", "26000", "13000", "5", "0.01"),
        ("linear", "BTCUSDT", "0.10", "0.001", "1500", "150", "5", "0.02"),
        ("linear", "ETHUSDT", "0.01", "0.01", "10000", "2000", "5", "0.04"),
        ("linear", "SOLUSDT", "0.010", "0.1", "96000", "12000", "5", "0.1"),
        ("inverse", "BTCUSD", "0.10", "1", "10000000", "1000000", "1", "0.02"),
        ("inverse", "ETHUSD", "0.01", "1", "10000000", "1000000", "1", "0.04"),
    ),
    "binance": (
        ("spot", "BTCUSDT", "0.01", "0.00001", "9000", "100", "5", "0.5"),
        ("spot", "ETHUSDT", "0.01", "0.0001", "9000", "2500", "5", "0.5"),
        ("spot", "SOLUSDT", "0.01", "0.001", "90000", "20000", "5", "0.5"),
        ("usdm", "BTCUSDT", "0.10", "0.001", "1000", "120", "100", "0.05"),
        ("usdm", "ETHUSDT", "0.01", "0.001", "10000", "2000", "20", "0.05"),
        ("usdm", "SOLUSDT", "0.0100", "0.01", "1000000", "80000", "5", "0.05"),
        ("coinm", "BTCUSD_PERP", "0.1", "1", "1000000", "60000", "0", "0.05"),
        ("coinm", "ETHUSD_PERP", "0.01", "1", "1000000", "60000", "0", "0.05"),
    ),
}
# maker and taker of customers without a level: Bybit fee table VIP 0, Binance regular user
_FEES = {
    ("bybit", "spot"): ("0.001", "0.001"),
    ("bybit", "linear"): ("0.0002", "0.00055"),
    ("bybit", "inverse"): ("0.0002", "0.00055"),
    ("binance", "spot"): ("0.001", "0.001"),
    ("binance", "usdm"): ("0.0002", "0.0005"),
    ("binance", "coinm"): ("0.0002", "0.0005"),
}
_CONTRACTS = {"BTCUSD_PERP": Decimal(100), "ETHUSD_PERP": Decimal(10)}
_WALLETS = {
    "bybit": (WalletSpec(name="unified", markets=("spot", "linear", "inverse"), pooled=True),),
    "binance": (
        WalletSpec(name="spot", markets=("spot",)),
        WalletSpec(name="usdm", markets=("usdm",)),
        WalletSpec(name="coinm", markets=("coinm",)),
    ),
}
_COINS: dict[str, tuple[str, ...]] = {
    "unified": ("USDT", "BTC", "ETH", "SOL"),
    "spot": ("USDT", "BTC", "ETH", "SOL"),
    "usdm": ("USDT",),
    "coinm": ("BTC", "ETH"),
}
_AMOUNTS = {
    "USDT": Decimal(200_000),
    "BTC": Decimal(5),
    "ETH": Decimal(50),
    "SOL": Decimal(500),
}
VENUES = tuple(_ROWS)


def default_listings(
    venue: str, *, funding_interval_ms: int = EIGHT_HOURS_MS
) -> tuple[Listing, ...]:
    """Everything the twin of a venue lists; ValueError names an unknown venue."""
    rows = _ROWS.get(venue)
    if rows is None:
        raise ValueError(f"no twin of {venue!r}: expected one of {', '.join(VENUES)}")
    return tuple(_listing(venue, row, funding_interval_ms) for row in rows)


def extras_for(instrument: Instrument) -> Extras:
    """The venue's usual terms, for instruments that a tape brings along."""
    fees = _FEES.get((instrument.venue, instrument.market), ("0.001", "0.001"))
    return Extras(maker_fee=Decimal(fees[0]), taker_fee=Decimal(fees[1]))


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
        client_ids_forever=venue == "bybit",
        money_step=Decimal("1E-12") if venue == "bybit" else Decimal("1E-8"),
        taped=taped,
    )


def _listing(venue: str, row: tuple[str, ...], funding_interval_ms: int) -> Listing:
    market, symbol, tick, lot, most, market_most, notional, band = row
    maker, taker = _FEES[venue, market]
    spot = market == "spot"
    inverse = market in ("inverse", "coinm")
    base = symbol[:3]
    step = Decimal(lot)
    instrument = Instrument(
        id=instrument_id(venue, market, symbol),
        venue=venue,
        market=market,
        symbol=symbol,
        payoff=Payoff.SPOT if spot else Payoff.INVERSE if inverse else Payoff.LINEAR,
        base=base,
        quote="USD" if inverse else "USDT",
        settle=base if inverse else "USDT",
        tick=Decimal(tick),
        lot=step,
        contract_value=_CONTRACTS.get(symbol, Decimal(1)),
        lots_max=Lots(int(Decimal(most) / step)),
        notional_min=Decimal(notional),
        price_min=Decimal(tick),
        price_max=Decimal(tick) * 19_999_998 if base == "BTC" else Decimal(tick) * 99_999_999,
        funding_interval_ms=0 if spot else funding_interval_ms,
    )
    extras = Extras(
        maker_fee=Decimal(maker),
        taker_fee=Decimal(taker),
        band=Decimal(band),
        band_clips=venue == "bybit" and not spot,
        market_lots_max=int(Decimal(market_most) / step),
        orders_max=200 if venue == "binance" else 500,
        leverage_max=Decimal(125 if venue == "binance" else 100),
        leverage_default=Decimal(20 if venue == "binance" else 10),
        funding_interest=Decimal("0.0001") * funding_interval_ms / EIGHT_HOURS_MS,
    )
    return Listing(instrument=instrument, extras=extras)

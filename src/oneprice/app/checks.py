"""A configuration is judged as a whole before anything starts: values, not only keys and types."""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from oneprice.app.build import STRATEGIES, VENUES, check_strategies, wanted_of
from oneprice.app.config import ConfigError, RunConfig, VenueConfig, convert, did_you_mean
from oneprice.kernel import Tripwires
from oneprice.model.settings import MarginSettings
from oneprice.twin.build import DIALECTS
from oneprice.venues.contract import Spec

SECONDS_MAX = 366 * 86_400
SEED_MAX = 2**63 - 1
RANK_MAX = 4  # of automatic deleveraging
_WHOLE_BPS = 10_000
# Settings whose names end like this are spans, sizes, counts or limits: never below zero.
_NOT_NEGATIVE = (
    *("_ms", "_ms_min", "_max", "_lots", "_kept", "_fraction"),
    *("tolerance", "tolerance_bps", "collar_bps"),
)
_SCHEMES = {"rest": ("http", "https"), "ws": ("ws", "wss")}


def check_run(config: RunConfig) -> None:
    """Raises ConfigError for the first value that cannot be used: place, found, expected."""
    _check_seconds(config.seconds)
    _check_venues(config.venues)
    twins = [v.name for v in config.venues if v.needs_twin]
    if twins:
        check_market(config.market)
    check_strategies(config)
    _check_names_differ("strategies", config.strategies)
    _check_numbers(config.engine, "engine")
    _check_margin(config.engine.margin, "engine.margin")
    _check_reporting(config)
    if config.journal_interval_ms < 1:
        found = config.journal_interval_ms
        raise ConfigError(f"journal_interval_ms: found {found}, expected 1 or more milliseconds")
    wanted = {w.instrument: None for v in config.venues for w in wanted_of(v)}
    _check_instruments(config.engine.instruments, wanted, "engine")
    for name, given in config.strategy.items():
        settings = convert(given, STRATEGIES[name][1], f"strategy.{name}")
        _check_numbers(settings, f"strategy.{name}")
        _check_instruments(getattr(settings, "instruments", ()), wanted, f"strategy.{name}")


def _check_reporting(config: RunConfig) -> None:
    """What nothing is quoted in has no rate: every limit counted in it would be blind."""
    reporting = config.engine.reporting
    symbols = [symbol for venue in config.venues for _, symbol in venue.named]
    if reporting in config.engine.rates_fixed or any(reporting in s for s in symbols if reporting):
        return
    known = dict.fromkeys(["USDT", *config.engine.rates_fixed])
    hint = did_you_mean(reporting, known)
    raise ConfigError(f"engine.reporting: found {reporting!r}, which no instrument has{hint}")


def check_market(market: str) -> None:
    """`seed:N`, or `tape:PATH` of something that is there; ConfigError otherwise."""
    kind, _, rest = market.partition(":")
    if kind == "seed" and rest.isdecimal() and int(rest) <= SEED_MAX:
        return
    if kind != "tape" or not rest:
        raise ConfigError(
            f"market {market!r}: expected seed:N or tape:PATH, N a whole number below 2^63"
        )
    if not Path(rest).exists():
        raise ConfigError(f"market {market}: no such file or directory")


def _check_seconds(seconds: float) -> None:
    if not math.isfinite(seconds) or not 0 <= seconds <= SECONDS_MAX:
        raise ConfigError(
            f"seconds: found {seconds}, expected 0 (until Ctrl-C) to {SECONDS_MAX} (a year)"
        )


def _check_venues(venues: Sequence[VenueConfig]) -> None:
    if not venues:
        raise ConfigError("venues: found none, expected at least one")
    _check_names_differ("venues", [venue.name for venue in venues])
    for number, venue in enumerate(venues):
        check_venue(venue, f"venues[{number}]")


def check_venue(venue: VenueConfig, place: str) -> None:
    """Raises ConfigError that begins with `place` for the first value that cannot be used."""
    if venue.name not in VENUES:
        hint = did_you_mean(venue.name, VENUES)
        raise ConfigError(f"{place}.name: found {venue.name!r}{hint}")
    spec = VENUES[venue.name](venue, None, Tripwires()).feed.spec
    _check_named(venue, spec.markets, place)
    _check_features(venue, spec, place)
    if venue.depth < 1:
        raise ConfigError(f"{place}.depth: found {venue.depth}, expected 1 or more levels")
    _check_environment(venue, spec, place)
    hosts = spec.hosts["live"]
    for host, url in venue.endpoints.items():
        if host not in hosts:
            raise ConfigError(f"{place}.endpoints: found {host!r}{did_you_mean(host, hosts)}")
        _check_url(url, _SCHEMES["rest" if host.endswith("rest") else "ws"], place, host)
    missing = [host for host in hosts if host not in venue.endpoints]
    if venue.endpoints and missing:
        # Half a venue on a test host and half on the live one would trade with real money.
        raise ConfigError(
            f"{place}.endpoints: {', '.join(missing)} missing; name every host, or none"
        )


def _check_named(venue: VenueConfig, markets: Sequence[str], place: str) -> None:
    """Which instruments: by markets and symbols, or each by market:symbol."""
    lists = {"markets": venue.markets, "symbols": venue.symbols}
    if venue.instruments:
        if venue.markets:
            raise ConfigError(f"{place}: found markets beside instruments, expected one of them")
        lists = {"instruments": venue.instruments}
    for what, found in lists.items():
        if not found:
            raise ConfigError(f"{place}.{what}: found none, expected at least one")
        _check_names_differ(f"{place}.{what}", found)
    for name in venue.instruments:
        if not all(name.partition(":")):
            raise ConfigError(f"{place}.instruments: found {name!r}, expected market:symbol")
    what = "instruments" if venue.instruments else "markets"
    for market in venue.in_markets:
        if market not in markets:
            hint = did_you_mean(market, markets)
            raise ConfigError(f"{place}.{what}: found {market!r}{hint}")


def _check_features(venue: VenueConfig, spec: Spec, place: str) -> None:
    """A wish that a venue cannot grant must not be passed over in silence."""
    if venue.dead_man_ms and "dead_man_switch" not in spec.features:
        raise ConfigError(f"{place}.dead_man_ms: {venue.name} has no dead man's switch")
    told = venue.self_trade != VenueConfig(name="").self_trade
    if told and "self_trade_prevention" not in spec.features:
        raise ConfigError(f"{place}.self_trade: {venue.name} prevents no trade with oneself")


def _check_environment(venue: VenueConfig, spec: Spec, place: str) -> None:
    if venue.needs_twin and venue.name not in DIALECTS:
        raise ConfigError(
            f"{place}: there is no twin of {venue.name}; name its endpoints to connect to it"
        )
    if venue.environment == "twin" or venue.endpoints:
        return
    if spec.closed:
        raise ConfigError(f"{place}: environment {venue.environment!r}: {spec.closed}")
    found = spec.hosts.get(venue.environment)
    if found is None:
        raise ConfigError(
            f"{place}.environment: {venue.name} has no {venue.environment!r}; "
            f"expected one of: twin, {', '.join(spec.hosts)}"
        )
    missing = [host for host in spec.hosts["live"] if host not in found]
    if missing:
        raise ConfigError(
            f"{place}.environment: {venue.name} {venue.environment!r} lacks {', '.join(missing)}; "
            "name every endpoint instead"
        )


def _check_url(url: str, schemes: tuple[str, ...], place: str, host: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"{place}.endpoints.{host}: found {url!r}, expected {schemes[1]}://HOST"
        )


def _check_names_differ(place: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ConfigError(f"{place}: found {name!r} twice, expected names that differ")


def _check_instruments(named: Sequence[str], wanted: Mapping[str, None], place: str) -> None:
    for name in named:
        if name not in wanted:
            hint = did_you_mean(name, wanted)
            raise ConfigError(f"{place}.instruments: found {name!r}{hint}")


def _check_numbers(settings: msgspec.Struct, place: str) -> None:
    for where, value in _numbers(settings, place):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: found {value}, expected a finite number")
        if value < 0 and where.endswith(_NOT_NEGATIVE):
            raise ConfigError(f"{where}: found {value}, expected 0 or more")


def _check_margin(margin: MarginSettings, place: str) -> None:
    """A distance of more than the whole price refuses for ever, an unknown rank never."""
    least, leave = margin.liquidation_bps_min, margin.liquidation_exit_bps
    if not 0 <= least < _WHOLE_BPS:
        expected = f"expected 0 to less than {_WHOLE_BPS}"
        raise ConfigError(f"{place}.liquidation_bps_min: found {least}, {expected}")
    if not 0 <= leave <= least:
        expected = f"expected 0 to liquidation_bps_min ({least})"
        raise ConfigError(f"{place}.liquidation_exit_bps: found {leave}, {expected}")
    for name in ("adl_rank_max", "adl_exit_rank"):
        rank = getattr(margin, name)
        if not 0 <= rank <= RANK_MAX:
            raise ConfigError(f"{place}.{name}: found {rank}, expected 0 to {RANK_MAX}")


def _numbers(value: Any, place: str) -> Iterator[tuple[str, int | float | Decimal]]:
    """Every number of nested settings with its place."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _numbers(getattr(value, name), f"{place}.{name}")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{place}.{name}")
    elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        yield place, value

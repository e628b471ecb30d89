"""Building: from a configuration to a desk, by plain constructor calls."""

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Literal, cast

import msgspec

from oneprice.app.config import ConfigError, RunConfig, VenueConfig, convert, did_you_mean
from oneprice.core.engine import Engine
from oneprice.core.strategy import Strategy
from oneprice.kernel import Book, Tripwires
from oneprice.model.instrument import instrument_id
from oneprice.model.units import InstrumentId
from oneprice.shell.desk import Desk, Dialect, Recorder
from oneprice.shell.telemetry_veil import VEIL, Veil
from oneprice.strategies.cross_exchange import CrossExchange, CrossExchangeSettings
from oneprice.strategies.spot_futures import SpotFutures, SpotFuturesSettings
from oneprice.venues.binance.encoding import BinanceSettings
from oneprice.venues.binance.feed import BinanceFeed
from oneprice.venues.binance.trade import BinanceTrade
from oneprice.venues.bitmex.feed import BitmexFeed
from oneprice.venues.bitmex.trade import BitmexSettings, BitmexTrade
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.bybit.trade import BybitSettings, BybitTrade
from oneprice.venues.contract import HIDDEN, Credentials, Spec, Wanted
from oneprice.venues.kucoin.feed import KucoinFeed
from oneprice.venues.kucoin.orders import KucoinSettings
from oneprice.venues.kucoin.trade import KucoinTrade
from oneprice.venues.okx.feed import OkxFeed
from oneprice.venues.okx.orders import OkxSettings
from oneprice.venues.okx.trade import OkxTrade

# A replay signs nothing, so it needs no secrets; the requests it builds go nowhere.
NOBODY = Credentials(HIDDEN, HIDDEN, HIDDEN)

STRATEGIES: Mapping[str, tuple[Callable[[Any], Strategy], type[msgspec.Struct]]] = {
    "cross_exchange": (CrossExchange, CrossExchangeSettings),
    "spot_futures": (SpotFutures, SpotFuturesSettings),
}


Entry = Literal["socket", "rest"]


def _entry(venue: VenueConfig) -> Entry:
    return "rest" if venue.order_entry == "rest" else "socket"


def _wanted(venue: VenueConfig) -> tuple[InstrumentId, ...]:
    return tuple(want.instrument for want in wanted_of(venue))


def _bybit(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    feed = BybitFeed(wires)
    settings = BybitSettings(
        order_entry=_entry(venue),
        self_trade=venue.self_trade,
        dead_man_ms=venue.dead_man_ms,
        wanted=_wanted(venue),
    )
    trade = BybitTrade(keys, feed.listed, settings) if keys is not None else None
    return Dialect(venue.name, feed, trade)


def _binance(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    feed = BinanceFeed(wires)
    settings = BinanceSettings(
        order_entry=_entry(venue),
        self_trade=venue.self_trade,
        dead_man_ms=venue.dead_man_ms,
        wanted=_wanted(venue),
    )
    trade = BinanceTrade(keys, feed.listed, settings) if keys is not None else None
    return Dialect(venue.name, feed, trade)


def _okx(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    demo = venue.environment == "demo"
    feed = OkxFeed(wires, demo=demo)
    if keys is None:
        return Dialect(venue.name, feed, None)
    settings = OkxSettings(
        order_entry=_entry(venue),
        self_trade=venue.self_trade,
        dead_man_ms=venue.dead_man_ms,
        wanted=_wanted(venue),
        demo=demo,
    )
    return Dialect(venue.name, feed, OkxTrade(keys, feed.listed, feed.details, settings))


def _kucoin(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    # With keys spot books are whole; without, the venue's small full snapshots serve.
    feed = KucoinFeed(wires, keyed=keys is not None)
    settings = KucoinSettings(
        self_trade=venue.self_trade, dead_man_ms=venue.dead_man_ms, wanted=_wanted(venue)
    )
    trade = KucoinTrade(keys, feed.listed, settings) if keys is not None else None
    return Dialect(venue.name, feed, trade)


def _bitmex(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    feed = BitmexFeed(wires)
    settings = BitmexSettings(dead_man_ms=venue.dead_man_ms)
    trade = BitmexTrade(keys, feed.listed, settings) if keys is not None else None
    return Dialect(venue.name, feed, trade)


VENUES: Mapping[str, Callable[[VenueConfig, Credentials | None, Tripwires], Dialect]] = {
    "bybit": _bybit,
    "binance": _binance,
    "okx": _okx,
    "kucoin": _kucoin,
    "bitmex": _bitmex,
}


def spec_of(venue: str) -> Spec:
    """The facts of a venue; ConfigError for an unknown one."""
    build = VENUES.get(venue)
    if build is None:
        raise ConfigError(f"unknown venue {venue!r}{did_you_mean(venue, VENUES)}")
    return build(VenueConfig(name=venue), None, Tripwires()).feed.spec


def build_desk(
    config: RunConfig,
    session: str,
    credentials: Mapping[str, Credentials | None] | None = None,
    recorder: Recorder | None = None,
) -> Desk:
    """A desk for a run; without credentials, one for a replay. ConfigError names a bad setting."""
    wires = Tripwires()
    dialects: list[Dialect] = []
    veil = Veil(upper=VEIL)
    for keys in (credentials or {}).values():
        if keys is not None:
            veil.keep(keys.key, keys.secret, keys.passphrase)
    for venue in config.venues:
        build = VENUES.get(venue.name)
        if build is None:
            raise ConfigError(f"unknown venue {venue.name!r}{did_you_mean(venue.name, VENUES)}")
        keys = NOBODY if credentials is None else credentials.get(venue.name)
        dialects.append(build(venue, keys, wires))
    # Every feed fills its own dictionary; the engine sees them as one.
    books = cast(
        "Mapping[InstrumentId, Book]",
        ChainMap(*(cast("MutableMapping[InstrumentId, Book]", d.feed.books) for d in dialects)),
    )
    engine = Engine(config.engine, build_strategies(config), books, wires, session)
    return Desk(engine, dialects, recorder, veil)


def build_strategies(config: RunConfig) -> Sequence[Strategy]:
    """The configured strategies; ConfigError names an unknown one or a bad setting of one."""
    check_strategies(config)
    built: list[Strategy] = []
    for name in config.strategies:
        make, settings = STRATEGIES[name]
        built.append(make(convert(config.strategy.get(name, {}), settings, f"strategy.{name}")))
    return built


def check_strategies(config: RunConfig) -> None:
    """Every named strategy exists, and so does every one that has settings."""
    for name in (*config.strategies, *config.strategy):
        if name not in STRATEGIES:
            raise ConfigError(f"unknown strategy {name!r}{did_you_mean(name, STRATEGIES)}")
        convert(config.strategy.get(name, {}), STRATEGIES[name][1], f"strategy.{name}")


def wanted_of(venue: VenueConfig) -> list[Wanted]:
    """The channels of every configured instrument."""
    return [
        Wanted(instrument=instrument_id(venue.name, market, symbol), depth=venue.depth)
        for market, symbol in venue.named
    ]

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
from oneprice.strategies.cross_exchange import CrossExchange, CrossExchangeSettings
from oneprice.strategies.spot_futures import SpotFutures, SpotFuturesSettings
from oneprice.venues.binance.encoding import BinanceSettings
from oneprice.venues.binance.feed import BinanceFeed
from oneprice.venues.binance.trade import BinanceTrade
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.bybit.trade import BybitSettings, BybitTrade
from oneprice.venues.contract import Credentials, Wanted
from oneprice.venues.okx.feed import OkxFeed

# A replay signs nothing, so it needs no secrets; the requests it builds go nowhere.
NOBODY = Credentials("replayed", "replayed", "replayed")

STRATEGIES: Mapping[str, tuple[Callable[[Any], Strategy], type[msgspec.Struct]]] = {
    "cross_exchange": (CrossExchange, CrossExchangeSettings),
    "spot_futures": (SpotFutures, SpotFuturesSettings),
}


def _bybit(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    feed = BybitFeed(wires)
    entry: Literal["rest", "socket"] = "rest" if venue.order_entry == "rest" else "socket"
    settings = BybitSettings(order_entry=entry)
    trade = BybitTrade(keys, feed.listed, settings) if keys is not None else None
    return Dialect(venue.name, feed, trade)


def _binance(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    feed = BinanceFeed(wires)
    entry: Literal["rest", "ws"] = "rest" if venue.order_entry == "rest" else "ws"
    wanted = tuple(w.instrument for w in wanted_of(venue))
    settings = BinanceSettings(order_entry=entry, wanted=wanted)
    trade = BinanceTrade(keys, feed.listed, settings) if keys is not None else None
    return Dialect(venue.name, feed, trade)


def _okx(venue: VenueConfig, keys: Credentials | None, wires: Tripwires) -> Dialect:
    if keys is not None:
        raise ConfigError("venue okx: public data only in this version; remove its keys")
    return Dialect(venue.name, OkxFeed(wires), None)


VENUES: Mapping[str, Callable[[VenueConfig, Credentials | None, Tripwires], Dialect]] = {
    "bybit": _bybit,
    "binance": _binance,
    "okx": _okx,
}


def build_desk(
    config: RunConfig,
    session: str,
    credentials: Mapping[str, Credentials | None] | None = None,
    recorder: Recorder | None = None,
) -> Desk:
    """A desk for a run; without credentials, one for a replay. ConfigError names a bad setting."""
    wires = Tripwires()
    dialects: list[Dialect] = []
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
    return Desk(engine, dialects, recorder)


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
    """The channels of every configured symbol in every configured market."""
    return [
        Wanted(instrument=instrument_id(venue.name, market, symbol), depth=venue.depth)
        for market in venue.markets
        for symbol in venue.symbols
    ]

"""Puts a twin together: exchange, market and the wire side of its venue."""

from collections.abc import Callable, Iterable

import msgspec

from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId
from oneprice.twin.contract import AccountSpec, Clock, Exchange, Listing, Surface
from oneprice.twin.dialects.binance import make as make_binance
from oneprice.twin.dialects.bitmex import make as make_bitmex
from oneprice.twin.dialects.bybit import make as make_bybit
from oneprice.twin.dialects.kucoin import make as make_kucoin
from oneprice.twin.dialects.okx import make as make_okx
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.faults import FaultPlan, Faults
from oneprice.twin.market import SeededWorld
from oneprice.twin.playback import Frame, Playback
from oneprice.twin.stock import (
    chosen,
    default_account,
    default_listings,
    default_setup,
    extras_for,
)

Dialect = Callable[[Exchange, Clock, Faults], Surface]

DIALECTS: dict[str, Dialect] = {
    "binance": make_binance,
    "bitmex": make_bitmex,
    "bybit": make_bybit,
    "kucoin": make_kucoin,
    "okx": make_okx,
}


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a twin's market is: a seed, or a tape with the instruments on it."""

    seed: int = 1
    instruments: tuple[InstrumentId, ...] = ()  # of the default ones; none: all
    funding_interval_ms: int = 0  # of every perpetual; 0: each one's own
    tape: Iterable[Frame] | None = None
    taped: tuple[Instrument, ...] = ()  # the tape's instruments with their grids


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """A venue that is ready to be served."""

    venue: str
    exchange: InnerExchange
    surface: Surface
    faults: Faults
    clock: Clock


def make_exchange(
    venue: str, world: World, start: int, accounts: tuple[AccountSpec, ...] = ()
) -> tuple[InnerExchange, Playback | None]:
    """The inner market alone; a tape still needs its decoder attached."""
    accounts = accounts or (default_account(venue),)
    if world.tape is not None:
        listings = tuple(Listing(instrument=one, extras=extras_for(one)) for one in world.taped)
        playback = Playback(world.tape)
        setup = default_setup(venue, listings, accounts, taped=True)
        return InnerExchange(setup, playback, start), playback
    listings = chosen(
        default_listings(venue, funding_interval_ms=world.funding_interval_ms, at=start),
        world.instruments,
    )
    setup = default_setup(venue, listings, accounts)
    return InnerExchange(setup, SeededWorld(listings, world.seed), start), None


def make_twin(
    venue: str,
    clock: Clock,
    world: World | None = None,
    *,
    accounts: tuple[AccountSpec, ...] = (),
    plan: FaultPlan | None = None,
) -> Twin:
    """A twin of one of DIALECTS; `clock` gives ns UTC as that venue believes it to be.

    ValueError names an unknown venue or instrument; TapeError a tape that cannot be played.
    """
    world = world or World()
    dialect = DIALECTS.get(venue)
    if dialect is None:
        raise ValueError(f"no twin of {venue!r}: expected one of {', '.join(DIALECTS)}")
    start = clock()
    exchange, playback = make_exchange(venue, world, start, accounts)
    faults = Faults(plan, world.seed)
    surface = dialect(exchange, clock, faults)
    if playback is not None:
        playback.attach(surface.decode_tape)
        exchange.advance(start + 1)  # builds the books before anyone connects
        exchange.drain()
    return Twin(venue=venue, exchange=exchange, surface=surface, faults=faults, clock=clock)

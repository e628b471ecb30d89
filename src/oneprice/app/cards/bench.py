"""The bench on which conformance cards are played: a twin, a dialect and the real shell between.

What the dialect says is kept in `heard`; what is true is asked of the twin's exchange. Nothing
here knows a venue by name.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import ROUND_CEILING, Decimal
from functools import partial
from typing import Literal

from oneprice.app.build import spec_of
from oneprice.app.config import VenueConfig
from oneprice.app.lab import twin_endpoints
from oneprice.app.session import session_name
from oneprice.app.station import Station
from oneprice.model.commands import PlaceOrder, TimeInForce
from oneprice.model.events import OrderEnded, OrderRefused
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import MILLI, SECOND, Lots, OrderId, Side, Ticks
from oneprice.twin.build import World, make_twin
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.server import RunningTwin, serve
from oneprice.twin.stock import default_listings
from oneprice.venues.contract import Credentials, Wanted

FUNDING_NS = 8 * 3600 * SECOND
SLOW_MS = 10_000  # allowances that are full again sooner are not worth a fresh bench
LEAD_NS = 25 * SECOND  # from opening a bench to the twin's next settlement of funding


class Bench:
    """One venue, connected. `spot` and `perp` are instruments of it, None where it has none."""

    def __init__(self, venue: VenueConfig, twin: RunningTwin) -> None:
        self.venue = venue.name
        self.twin = twin
        self.exchange: InnerExchange = twin.twin.exchange
        self.faults = twin.twin.faults
        account = self.exchange.accounts()[0]
        self.key = account.key
        keys = Credentials(account.key, account.secret, account.passphrase)
        wanted = [
            Wanted(instrument=f"{venue.name}:{market}:{symbol}", trades=True, candles_ms=(60_000,))
            for market, symbol in venue.named
        ]
        hosts = spec_of(venue.name).hosts["live"]
        ends = twin_endpoints(venue.name, twin.rest, twin.ws, hosts)
        self.station = station = Station(venue, keys, ends, wanted)
        assert station.trade is not None
        self.feed, self.trade = station.feed, station.trade
        self.gateway, self.desk = station.gateway, station.desk
        self.clock, self.runtime, self.heard = station.clock, station.runtime, station.heard
        self.until, self.event, self.find = station.until, station.event, station.find
        self.mark, self.say, self.send = station.mark, station.say, station.send
        self.trouble = station.trouble
        listed = [listing.instrument for listing in self.exchange.listings()]
        mine = [i for i in listed if (i.market, i.symbol) in venue.named]
        self.instruments: list[Instrument] = mine
        self.spot = next((i for i in mine if i.payoff is Payoff.SPOT), None)
        self.perp = next((i for i in mine if i.funding_interval_ms), None)
        self.order_prefix = session_name(self.clock.now())
        self._orders = 0

    async def start(self) -> None:
        await self.gateway.prepare()
        await self.gateway.open()
        await self.until(lambda: self.gateway.settled, "every line up and every book known", 15)

    @property
    def is_spent(self) -> bool:
        """Whether half of a venue's allowance is used up, so that a card might have to wait."""
        pacer, now = self.gateway.outbox.pacer, self.clock.now()
        slow = [limit for limit in self.feed.spec.limits if limit.per_ms >= SLOW_MS]
        return any(2 * pacer.used(limit.bucket, now) > limit.count for limit in slow)

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def now(self) -> int:
        """The twin's time."""
        return self.twin.twin.clock()

    def order_id(self) -> OrderId:
        """In the shape of the engine's own ids, and never twice."""
        self._orders += 1
        return f"{self.order_prefix}g{self._orders}o1"

    def order(
        self,
        instrument: Instrument,
        side: Side,
        *,
        away_bps: int = 0,
        lots: int = 0,
        tif: TimeInForce = TimeInForce.IOC,
        reduce_only: bool = False,
    ) -> PlaceOrder:
        """A limit order so far from the touch (below zero: through it), of a small legal size."""
        view = self.exchange.book(instrument.id, 1)
        touch = view.asks[0][0] if side is Side.BUY else view.bids[0][0]
        ticks = touch - int(side) * (touch * away_bps // 10_000)
        return PlaceOrder(
            order_id=self.order_id(),
            group="card",
            instrument=instrument.id,
            side=side,
            ticks=Ticks(ticks),
            lots=Lots(lots or small_size(instrument, ticks)),
            time_in_force=tif,
            reduce_only=reduce_only,
        )

    async def outcome(self, order_id: OrderId) -> OrderEnded | OrderRefused:
        """How an order ended; waits for it."""
        await self.until(lambda: bool(self._outcomes(order_id)), f"the end of order {order_id}")
        return self._outcomes(order_id)[0]

    def _outcomes(self, order_id: OrderId) -> list[OrderEnded | OrderRefused]:
        return [
            e
            for e in self.heard
            if isinstance(e, (OrderEnded, OrderRefused)) and e.order_id == order_id
        ]


def small_size(instrument: Instrument, ticks: int) -> int:
    """Lots a little above what the venue takes at least."""
    one = instrument.notional(ticks, 1)
    needed = (instrument.notional_min * Decimal("1.3") / one).to_integral_value(ROUND_CEILING)
    return max(2 * int(instrument.lots_min), int(needed), 2)


@asynccontextmanager
async def bench_of(
    venue: str,
    instruments: Sequence[str],
    *,
    entry: Literal["ws", "rest"] = "ws",
    dead_man_ms: int = 0,
) -> AsyncIterator[Bench]:
    """A connected bench over a fresh twin whose next funding is LEAD_NS away.

    `instruments` are written market:symbol.
    """
    config = VenueConfig(
        name=venue, instruments=tuple(instruments), order_entry=entry, dead_man_ms=dead_man_ms
    )
    now = time.time_ns()
    shift = _next_settlement(venue, instruments, now) - LEAD_NS - now
    world = World(seed=11, instruments=tuple(f"{venue}:{name}" for name in instruments))
    twin = await serve(make_twin(venue, partial(_shifted, shift), world))
    bench = Bench(config, twin)
    try:
        await bench.start()
        yield bench
    finally:
        await bench.station.close()
        await twin.close()


def _next_settlement(venue: str, instruments: Sequence[str], now: int) -> int:
    """When the venue's usual clock settles funding next; not every venue's day begins at 0:00."""
    phases = [
        listing.extras.funding_phase_ms * MILLI
        for listing in default_listings(venue)
        if listing.instrument.funding_interval_ms
        and f"{listing.instrument.market}:{listing.instrument.symbol}" in instruments
    ]
    phase = phases[0] if phases else 0
    return phase + ((now - phase) // FUNDING_NS + 1) * FUNDING_NS


def _shifted(shift: int) -> int:
    return time.time_ns() + shift

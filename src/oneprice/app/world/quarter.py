"""The quarter of the venues: twins on one virtual loop, sharing a market, with clocks to set."""

import contextlib
import logging
from collections.abc import Callable

import msgspec

from oneprice.app.config import VenueConfig
from oneprice.app.lab import Ready, twin_endpoints
from oneprice.app.world.bazaar import Bazaar, Prices
from oneprice.app.world.loop import VirtualLoop
from oneprice.app.world.plan import Plan
from oneprice.model.commands import TimeInForce
from oneprice.model.units import MILLI, Money, Side
from oneprice.twin.build import DIALECTS, Twin
from oneprice.twin.contract import Fill, Order, OrderRequest, Refusal
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.faults import Faults
from oneprice.twin.server import RunningTwin, Timing
from oneprice.twin.stock import chosen, default_account, default_listings, default_setup
from oneprice.venues.contract import Credentials, Spec

PORT = 80
HAND = "byhand"  # client ids of who trades beside us on our account


class Venue:
    """One twin that is served, and everything the world does to it or reads from it."""

    def __init__(self, plan: Plan, venue: VenueConfig, loop: VirtualLoop, prices: Prices) -> None:
        self.name = venue.name
        self.address = f"{venue.name}:{PORT}"
        self.ahead_ns = 0  # how far its clock is set forward
        wanted = tuple(f"{venue.name}:{market}:{symbol}" for market, symbol in venue.named)
        listings = chosen(default_listings(venue.name, at=plan.start), wanted)
        accounts = (default_account(venue.name),)
        self.market = Bazaar(
            listings,
            prices,
            plan.gaps,
            seed=plan.seed,
            begin=plan.start,
            step_ns=plan.step_ms * MILLI,
        )
        setup = default_setup(venue.name, listings, accounts)
        self.exchange = InnerExchange(setup, self.market, plan.start - plan.older_ns)
        self.faults = Faults(seed=plan.seed)

        def clock() -> int:
            return plan.start + loop.now_ns + self.ahead_ns

        surface = DIALECTS[venue.name](self.exchange, clock, self.faults)
        twin = Twin(
            venue=venue.name,
            exchange=self.exchange,
            surface=surface,
            faults=self.faults,
            clock=clock,
        )
        self.running = RunningTwin(twin, Timing(step_ms=plan.step_ms))
        self.key = accounts[0].key
        self.opening = self.balances()
        self.by_hand = 0  # lots that somebody traded on our account

    async def start(self) -> None:
        await self.running.start(self.name, PORT)

    async def close(self) -> None:
        await self.running.close()

    def credentials(self) -> Credentials:
        return msgspec.convert(self.running.ready, Ready).credentials()

    def endpoints(self, spec: Spec) -> dict[str, str]:
        running = self.running
        return twin_endpoints(self.name, running.rest, running.ws, spec.hosts["live"])

    def lift_bans(self) -> None:
        """Where the venue can be told to forgive."""
        lift = getattr(getattr(self.running.twin.surface, "limiter", None), "lift_bans", None)
        if lift is not None:
            lift()

    def trade_by_hand(self, dollars: int) -> None:
        """Somebody with our keys trades a derivative, at market."""
        at = self.running.twin.clock()
        for listing in self.exchange.setup.listings:
            one = listing.instrument
            if not one.is_derivative:
                continue
            ask = self.exchange.book(one.id, 1).asks[0][0]
            lots = max(one.lots_min, int(dollars / one.notional(ask, 1)))
            request = OrderRequest(
                account=self.key,
                instrument=one.id,
                side=Side.BUY,
                lots=lots,
                ticks=ask + ask // 200,
                time_in_force=TimeInForce.IOC,
                client_id=f"{HAND}{at}",
            )
            with contextlib.suppress(Refusal):  # the venue takes no orders just now
                self.by_hand += self.exchange.place(request, at).filled_lots
            self.running.publish()
            return

    # What the venue holds of us -----------------------------------------------------------

    def balances(self) -> dict[tuple[str, str], Money]:
        """(wallet, asset) to what lies there."""
        return {
            (wallet.name, one.asset): one.total
            for wallet in self.exchange.setup.wallets
            for one in self.exchange.balances(self.key, wallet.name)
        }

    def positions(self) -> dict[str, int]:
        """Instrument to signed lots, flat ones left out."""
        markets = dict.fromkeys(one.instrument.market for one in self.exchange.setup.listings)
        return {
            one.instrument: one.lots
            for market in markets
            for one in self.exchange.positions(self.key, market)
            if one.lots
        }

    def fills(self) -> list[Fill]:
        return self.exchange.fills(self.key)

    def orders(self) -> list[Order]:
        return self.exchange.orders(self.key)


class Quarter:
    """All venues of a world."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        prices = Prices(plan.seed, plan.step_ms * MILLI)
        self.venues = {
            venue.name: Venue(plan, venue, loop, prices) for venue in plan.config.venues
        }

    async def start(self) -> None:
        for venue in self.venues.values():
            await venue.start()

    async def close(self) -> None:
        for venue in self.venues.values():
            await venue.close()

    def coarse(self, steps: int) -> None:
        """How many steps of the market are taken at once: many while the world only waits."""
        for venue in self.venues.values():
            venue.market.coarse = steps

    @property
    def failures(self) -> int:
        return sum(venue.running.failures for venue in self.venues.values())


class Complaints(logging.Handler):
    """Errors that a twin's code logs instead of raising."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self._tell(f"{record.name}: {record.getMessage()}: {cause!r}")

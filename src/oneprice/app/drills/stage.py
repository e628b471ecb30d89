"""The stage of a drill: two twins on loopback, a trader, the misfortunes and what was seen.

The twins live here, outlive every trader, and are asked for the truth: orders, fills, positions
and balances of our accounts as the venues hold them.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from oneprice.app.build import spec_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.drills.contract import Check, NotHere, NotSeen, NotStaged
from oneprice.app.drills.hedge import Hedge
from oneprice.app.drills.trader import Trader
from oneprice.app.lab import twin_endpoints
from oneprice.app.secrets import OURS
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.settings import (
    EngineSettings,
    GateSettings,
    MarketSettings,
    ReconcileSettings,
)
from oneprice.model.units import MILLI, Asset, InstrumentId
from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import Fill, Order, OrderRequest
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.faults import FaultPlan
from oneprice.twin.server import RunningTwin, serve

SEED = 5  # of the markets: the same prices at every venue
COINS = Decimal("0.01")  # what a hedge buys and sells
KEPT = ("ONEPRICE_KERNEL",)  # of our names in the environment
STATEMENT_MS = 500
MUCH = Decimal(10) ** 9
# Accounts and statements are asked for again while the drill lasts; nothing is too large.
QUICK = EngineSettings(
    reconcile=ReconcileSettings(grace_ms=500, audit_ms=1_000, statement_ms=STATEMENT_MS),
    gate=GateSettings(leg_notional_max=MUCH, venue_gross_max=MUCH, asset_net_max=MUCH),
)
# The same for a trader who wants hedge after hedge, whatever became of the last one.
EAGER = msgspec.structs.replace(
    QUICK, gate=msgspec.structs.replace(QUICK.gate, rest_ms=0, groups_per_pair_max=3)
)
# A market that was made to stand still does not count as old.
STILL_MS = 60_000
STILL = EngineSettings(
    market=MarketSettings(book_age_ms_max=STILL_MS),
    gate=GateSettings(book_age_ms_max=STILL_MS, leg_skew_ms_max=STILL_MS),
)
Place = Callable[[], Order]
# What a hedge is made of at each venue: one coin against itself, so that legs must be equal.
LEGS: Mapping[str, InstrumentId] = {
    "bybit": "bybit:linear:BTCUSDT",
    "binance": "binance:usdm:BTCUSDT",
    "okx": "okx:swap:BTC-USDT-SWAP",
    "kucoin": "kucoin:futures:XBTUSDTM",
    "bitmex": "bitmex:derivatives:XBTUSDT",
}


class Stage:
    """Where one drill is played. The first venue is bought on, the second one is struck."""

    def __init__(self, directory: Path, pair: tuple[InstrumentId, InstrumentId]) -> None:
        self.directory = directory
        self.twins: dict[str, RunningTwin] = {}
        self.legs = {split_id(leg)[0]: leg for leg in pair}
        self.calm, self.struck = self.legs
        # How far a venue's clock is ahead of ours, and since when (our time): oldest first.
        self._clocks: dict[str, list[tuple[int, int]]] = {}
        self.hedge = Hedge(pair)
        self.traders: list[Trader] = []
        self.did: list[str] = []
        self.must: Mapping[str, str] = {}
        self.checks: list[Check] = []
        self.recovery_ms: float | None = None
        self._over_at = time.monotonic()
        self._open = contextlib.ExitStack()

    # Opening -------------------------------------------------------------------------------

    async def open(self, funding_interval_ms: int = 0) -> None:
        """The twins listen, and their keys are the only ones in the environment."""
        self._open.enter_context(apart(self.directory))
        world = World(seed=SEED, funding_interval_ms=funding_interval_ms)
        for venue in self.legs:
            await self.open_twin(venue, world)

    async def open_twin(
        self, venue: str, world: World, plan: FaultPlan | None = None
    ) -> RunningTwin:
        """A twin whose clock can be set, with the keys of its account in the environment."""

        def clock() -> int:
            now = time.time_ns()
            return now + self._ahead(venue, now)

        twin = make_twin(venue, clock, world, plan=plan)
        self.twins[venue] = await serve(twin)
        account = twin.exchange.accounts()[0]
        for part in ("key", "secret", "passphrase"):
            os.environ[f"ONEPRICE_{venue.upper()}_{part.upper()}"] = getattr(account, part)
        lot = self.listed(venue)
        self.hedge.lots[lot.id] = int(COINS / (lot.lot * lot.contract_value))
        return self.twins[venue]

    def config(self, **changes: object) -> RunConfig:
        """Of a run that trades on our twins."""
        chosen: dict[str, object] = {
            "venues": tuple(self._venue(venue) for venue in self.legs),
            "strategies": (self.hedge.name,),
            "journal_sync": "never",
            "record": False,
            **changes,
        }
        return RunConfig(**chosen)  # type: ignore[arg-type]

    def _venue(self, venue: str) -> VenueConfig:
        twin = self.twins[venue]
        ends = twin_endpoints(venue, twin.rest, twin.ws, spec_of(venue).hosts["live"])
        name = self.legs[venue].partition(":")[2]
        return VenueConfig(name=venue, instruments=(name,), endpoints=ends)

    async def start(self, **changes: object) -> Trader:
        """A trader on this session, known to the venues; a later one resumes it."""
        trader = Trader(self.config(**changes), self.session, self.hedge)
        self.traders.append(trader)
        await trader.start()
        return trader

    @property
    def session(self) -> Path:
        return self.directory / "session"

    @property
    def trader(self) -> Trader:
        if not self.traders:
            raise NotSeen("a trader")
        return self.traders[-1]

    async def close(self) -> None:
        for trader in self.traders:
            await trader.close()
        for twin in self.twins.values():
            await twin.close()
        self._open.close()

    # Telling -------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """One thing that was done, for a person."""
        self.did.append(text)

    def ends_well(self) -> None:
        """All is well again: this long after the misfortune was over."""
        self.recovery_ms = (time.monotonic() - self._over_at) * 1000

    def misfortune_over(self) -> None:
        self._over_at = time.monotonic()

    def saw(self, word: str, held: object, seen: object) -> None:
        """What was seen of a sentence of `must`."""
        self.checks.append(Check(must=self.must[word], seen=str(seen), held=bool(held)))

    def staged(self, word: str, came: object, seen: object) -> None:
        """The same of a sentence that says what the drill is about: if that did not come about,
        nothing was tried. Raises NotStaged, and the drill is played again."""
        if not came:
            raise NotStaged(f"{self.must[word]} (seen: {seen or 'nothing'})")
        self.saw(word, came, seen)

    # Misfortune ----------------------------------------------------------------------------

    def on_place(self, venue: str, act: Callable[[OrderRequest, Place], Order]) -> None:
        """Stand between a twin's wire side and its exchange whenever an order comes in."""
        exchange = self.exchange(venue)
        place = exchange.place

        def placed(request: OrderRequest, at: int) -> Order:
            return act(request, lambda: place(request, at))

        exchange.place = placed  # type: ignore[method-assign]

    def after_order(self, venue: str, act: Callable[[], object]) -> None:
        """Right after a venue has taken its first order something happens."""
        left = [act]

        def placed(request: OrderRequest, place: Place) -> Order:
            order = place()
            if left:
                left.pop()()
            return order

        self.on_place(venue, placed)

    def mute(self, venue: str) -> Callable[[], None]:
        """What a venue tells of our orders is not heard; returns what ends that."""
        lines = self.trader.lines(venue, "private")
        held = [(line.connection, line.connection.on_frame) for line in lines]
        for connection, _ in held:
            connection.on_frame = lambda payload, heard: None

        def again() -> None:
            for connection, on_frame in held:
                connection.on_frame = on_frame

        return again

    def cut(self, venue: str) -> int:
        """Every connection to a venue dies without a word; how many."""
        transports = list(self.twins[venue].transports)
        for transport in transports:
            transport.abort()
        return len(transports)

    def set_clock(self, venue: str, ahead_ns: int) -> None:
        """A venue's clock is so far ahead of ours from now on."""
        self._clocks.setdefault(venue, []).append((time.time_ns(), ahead_ns))

    def _ahead(self, venue: str, now: int) -> int:
        known = [ahead for since, ahead in self._clocks.get(venue, ()) if since <= now]
        return known[-1] if known else 0

    def _our_time(self, venue: str, stamp: int) -> int:
        """When it was by our clock, where a venue's clock said so."""
        for since, ahead in reversed(self._clocks.get(venue, [])):
            if stamp - ahead >= since:
                return stamp - ahead
        return stamp

    async def down(self, venue: str) -> None:
        """A venue goes away with all its connections; what it knows, it knows."""
        await self.twins[venue].close()

    async def up(self, venue: str) -> None:
        """It comes back where it was."""
        old = self.twins[venue]
        self.twins[venue] = await serve(old.twin, urlsplit(old.rest).port or 0)

    # The truth -----------------------------------------------------------------------------

    def exchange(self, venue: str) -> InnerExchange:
        return self.twins[venue].twin.exchange

    def key(self, venue: str) -> str:
        return self.exchange(venue).accounts()[0].key

    def now(self, venue: str) -> int:
        """A venue's own time, nanoseconds."""
        return self.twins[venue].twin.clock()

    def market(self, venue: str) -> str:
        return split_id(self.legs[venue])[1]

    def listed(self, venue: str) -> Instrument:
        """The leg's instrument, as its venue lists it."""
        return self.exchange(venue).listing(*split_id(self.legs[venue])[1:]).instrument

    def orders(self, venue: str) -> list[Order]:
        """Ours, oldest first, without those that the venue itself made."""
        return [o for o in self.exchange(venue).orders(self.key(venue)) if o.reason not in FORCED]

    def fills(self, venue: str) -> list[Fill]:
        return self.exchange(venue).fills(self.key(venue))

    def lots(self, venue: str) -> int:
        held = self.exchange(venue).positions(self.key(venue), self.market(venue))
        return sum(position.lots for position in held)

    def coins(self, venue: str) -> Decimal:
        """What a venue holds of the leg, in coins; signed."""
        lot = self.listed(venue)
        return self.lots(venue) * lot.lot * lot.contract_value

    def lots_text(self) -> str:
        return ", ".join(f"{venue} {self.lots(venue):+d} lots" for venue in self.legs)

    def is_hedged(self) -> bool:
        """Both legs are held in full."""
        wanted = self.hedge.lots
        return all(
            self.lots(venue) == sign * wanted[leg]
            for (venue, leg), sign in zip(self.legs.items(), (1, -1), strict=True)
        )

    def is_level(self, ends: Mapping[str, int]) -> bool:
        """No group is stuck, and both legs stand alike, or neither does where none should.

        Whoever was held up may give back what is missing of a leg, and keep less than was wanted.
        """
        bought, sold = (self.coins(venue) for venue in self.legs)
        stands = bought > 0 if "HEDGED" in ends else bought == 0
        return "STUCK" not in ends and stands and bought + sold == 0

    def told(self, ends: Mapping[str, int]) -> str:
        """How groups ended, and what the venues hold."""
        counted = ", ".join(f"{n} x {end!s}" for end, n in ends.items())
        return f"{counted or 'no group ended'}; {self.lots_text()}"

    def is_flat(self) -> bool:
        return all(self.lots(venue) == 0 for venue in self.legs)

    def money(self, venue: str, asset: Asset) -> Decimal:
        """What a venue holds for us of a coin, which it may know by another name."""
        exchange = self.exchange(venue)
        wallet = exchange.wallet_of(self.market(venue))
        names = [asset, "XBT"] if asset == "BTC" else [asset]
        found = (exchange.balance(self.key(venue), wallet, name).total for name in names)
        return sum(found, Decimal(0))

    def unhedged_ms(self) -> float:
        """The longest time in which the legs differed, by the venues' own record of fills."""
        moves = []
        for venue in self.legs:
            lot = self.listed(venue)
            for fill in self.fills(venue):
                coins = int(fill.side) * fill.lots * lot.lot * lot.contract_value
                moves.append((self._our_time(venue, fill.at), coins))
        return longest(sorted(moves), time.time_ns()) / MILLI


FORCED = ("liquidation", "adl", "delivery")


def longest(moves: list[tuple[int, Decimal]], now: int) -> int:
    """The longest span in which signed moves do not add up to zero; ns, as the times given."""
    since, delta, found = 0, Decimal(0), 0
    for at, move in moves:
        before, delta = delta, delta + move
        if not before and delta:
            since = at
        elif before and not delta:
            found = max(found, at - since)
    return max(found, now - since) if delta else found


@contextlib.contextmanager
def apart(directory: Path) -> Iterator[None]:
    """No key, address or setting of this person's is in reach meanwhile."""
    before = dict(os.environ)
    for name in before:
        if OURS.fullmatch(name) and name not in KEPT:
            del os.environ[name]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.chdir(directory):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def pair_of(venues: tuple[str, ...]) -> tuple[InstrumentId, InstrumentId]:
    """The legs at two venues; NotHere names one without a leg."""
    for venue in venues:
        if venue not in LEGS:
            raise NotHere(f"no leg is known at {venue}")
    bought, sold = venues
    return LEGS[bought], LEGS[sold]

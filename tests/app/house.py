"""A whole run against two twins in the same loop, with one hedge to open when told to."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from oneprice.app.build import STRATEGIES, spec_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.drills.hedge import Hedge as DrilledHedge
from oneprice.app.drills.hedge import HedgeSettings
from oneprice.app.lab import twin_endpoints
from oneprice.app.run import Running, run
from oneprice.app.summary import Summary
from oneprice.core.engine import Engine
from oneprice.model.events import AnyEvent
from oneprice.model.instrument import split_id
from oneprice.model.units import InstrumentId
from oneprice.shell.lines import Line
from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import Fill, Order, OrderRequest
from oneprice.twin.faults import FaultPlan
from oneprice.twin.server import RunningTwin, serve

BUY, SELL = "binance:usdm:BTCUSDT", "bybit:linear:BTCUSDT"
MARKETS = {"binance": "usdm", "bybit": "linear"}
PENNY = Decimal("0.000001")
COINS = Decimal("0.01")  # what a hedge buys and sells
PATIENCE_S = 90.0  # with anything: a machine under load may stand still for many seconds


class Hedge(DrilledHedge):
    """Buys one and sells the other at any price, as often as it is told to want it."""

    def __init__(self, pair: tuple[InstrumentId, InstrumentId] = (BUY, SELL)) -> None:
        super().__init__(pair)


class House:
    """Twins, a run that trades on them, and what both sides say about the money."""

    def __init__(
        self,
        directory: Path,
        patch: pytest.MonkeyPatch,
        pair: tuple[InstrumentId, InstrumentId] = (BUY, SELL),
    ) -> None:
        self.twins: dict[str, RunningTwin] = {}
        self.legs = {split_id(leg)[0]: leg for leg in pair}  # by venue; the first one is bought
        self.ahead_ns: dict[str, int] = {}  # how far a venue's clock is ahead of ours
        self.hedge = Hedge(pair)
        self.stop = asyncio.Event()
        self.running: Running | None = None
        self._directory = directory
        self._patch = patch
        self._task: asyncio.Task[Summary] | None = None

    async def open(
        self,
        entry: str = "ws",
        ahead_ns: dict[str, int] | None = None,
        plan: FaultPlan | None = None,
        world: World | None = None,
        venue_settings: dict[str, object] | None = None,
        **changes: object,
    ) -> None:
        """Start everything; returns when both accounts are known and nothing was sent yet."""
        self.ahead_ns |= ahead_ns or {}
        for venue in self.legs:
            await self.open_twin(venue, world or World(seed=5), plan)
        self._patch.setitem(STRATEGIES, "hedge", (lambda _: self.hedge, HedgeSettings))  # type: ignore[arg-type]
        chosen: dict[str, object] = {"strategies": ("hedge",), **changes}
        venues = tuple(self._venue(venue, entry, venue_settings or {}) for venue in self.legs)
        config = RunConfig(venues=venues, **chosen)  # type: ignore[arg-type]
        work = run(config, self._directory, look=self._see, stop=self.stop)
        self._task = asyncio.create_task(work)
        await self.until(lambda: self.running is not None and self.running.phase == "trading")
        await self.until(lambda: len(self.engine._accounts.checked_at) == len(self.legs))

    async def open_twin(
        self, venue: str, world: World, plan: FaultPlan | None = None
    ) -> RunningTwin:
        """A twin whose clock can be set, with the keys of its account in the environment."""

        def clock() -> int:
            return time.time_ns() + self.ahead_ns.get(venue, 0)

        twin = make_twin(venue, clock, world, plan=plan)
        self.twins[venue] = await serve(twin)
        account = twin.exchange.accounts()[0]
        self._patch.setenv(f"ONEPRICE_{venue.upper()}_KEY", account.key)
        self._patch.setenv(f"ONEPRICE_{venue.upper()}_SECRET", account.secret)
        self._patch.setenv(f"ONEPRICE_{venue.upper()}_PASSPHRASE", account.passphrase)
        market, symbol = split_id(self.legs[venue])[1:]
        lot = twin.exchange.listing(market, symbol).instrument
        self.hedge.lots[lot.id] = int(COINS / (lot.lot * lot.contract_value))
        return self.twins[venue]

    def _venue(self, venue: str, entry: str, settings: dict[str, object]) -> VenueConfig:
        twin = self.twins[venue]
        ends = twin_endpoints(venue, twin.rest, twin.ws, spec_of(venue).hosts["live"])
        name = self.legs[venue].partition(":")[2]
        return VenueConfig(
            name=venue,
            instruments=(name,),
            endpoints=ends,
            order_entry=entry,  # type: ignore[arg-type]
            **settings,  # type: ignore[arg-type]
        )

    def _see(self, running: Running) -> None:
        self.running = running

    @property
    def engine(self) -> Engine:
        assert self.running is not None
        return self.running.desk.engine

    def line(self, venue: str, socket: str) -> Line:
        assert self.running is not None
        gateway = next(g for g in self.running.gateways if g.name == venue)
        return next(line for line in gateway.lines if line.spec.name == socket)

    # What happens --------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                if self._task is not None and self._task.done():
                    ended = self._task.result()
                    assert condition(), f"the run ended: {ended.failure or 'by itself'}"
                await asyncio.sleep(0.005)

    async def trade(self, seconds: float = PATIENCE_S) -> None:
        """Have one hedge begun; TimeoutError where the gate lets none begin."""
        before = self.engine.report.counts()["approved"]
        self.hedge.wanted = True
        try:
            await self.until(lambda: self._begun(before), seconds)
        finally:
            self.hedge.wanted = False

    async def denied(self, times: int = 5) -> None:
        """Want a hedge until the gate refused it so often, and began none."""
        report = self.engine.report
        approved, refused = report.counts()["approved"], sum(report.refusals().values())
        self.hedge.wanted = True
        try:
            await self.until(
                lambda: self._begun(approved) or sum(report.refusals().values()) >= refused + times
            )
        finally:
            self.hedge.wanted = False
        assert report.counts()["approved"] == approved

    def _begun(self, before: int) -> bool:
        assert self.running is not None
        if self.engine.report.counts()["approved"] > before:
            return True
        # The strategy has no wires: it is asked because a book is said to have moved.
        self.engine._moved[self.hedge.buys] = None
        self.engine._wake.news = True
        self.running.runtime.poke(self.running.runtime.clock.now())
        return False

    async def ended(self, seconds: float = PATIENCE_S) -> dict[str, int]:
        """How many groups ended how, once none is at work."""
        report = self.engine.report
        await self.until(lambda: bool(report.group_ends()) and not report.groups(), seconds)
        return dict(report.group_ends())

    async def finish(self, seconds: float = PATIENCE_S) -> Summary:
        """Ctrl-C, and the summary of the run."""
        self.stop.set()
        return await self.over(seconds)

    async def over(self, seconds: float = PATIENCE_S) -> Summary:
        assert self._task is not None
        return await asyncio.wait_for(self._task, seconds)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for twin in self.twins.values():
            await twin.close()

    # Misfortune ----------------------------------------------------------------------------

    def on_place(
        self, venue: str, act: Callable[[OrderRequest, Callable[[], Order]], Order]
    ) -> None:
        """Stand between a twin's wire side and its exchange whenever an order comes in."""
        exchange = self.twins[venue].twin.exchange
        place = exchange.place

        def placed(request: OrderRequest, at: int) -> Order:
            return act(request, lambda: place(request, at))

        self._patch.setattr(exchange, "place", placed)

    def break_on(self, kind: type, error: Exception) -> None:
        """The engine fails at the next event of a kind."""
        engine, handle = self.engine, self.engine.handle
        left = [error]

        def handled(event: AnyEvent) -> object:
            if type(event) is kind and left:
                raise left.pop()
            return handle(event)

        self._patch.setattr(engine, "handle", handled)

    # Money ---------------------------------------------------------------------------------

    def fills(self, venue: str) -> list[Fill]:
        exchange = self.twins[venue].twin.exchange
        return exchange.fills(exchange.accounts()[0].key)

    def orders(self, venue: str) -> list[Order]:
        exchange = self.twins[venue].twin.exchange
        return exchange.orders(exchange.accounts()[0].key)

    def lots(self, venue: str) -> int:
        exchange = self.twins[venue].twin.exchange
        market = split_id(self.legs[venue])[1]
        return sum(p.lots for p in exchange.positions(exchange.accounts()[0].key, market))

    def is_hedged(self, lots: int = 0) -> bool:
        """Both legs are held in full; `lots` where it is another number than wanted."""
        wanted = self.hedge.lots
        return all(
            self.lots(venue) == sign * (lots or wanted[leg])
            for (venue, leg), sign in zip(self.legs.items(), (1, -1), strict=True)
        )

    def is_flat(self) -> bool:
        return all(self.lots(venue) == 0 for venue in self.legs)

    def money_agrees(self) -> None:
        """What the venues hold for us is what our ledger says, to the cent and the lot."""
        report = self.engine.report
        assert report.residual() == 0
        for venue, leg in self.legs.items():
            assert report.positions().get(leg, 0) == self.lots(venue)
        for (venue, _, asset), ours in report.balances().items():
            theirs = self._money(venue, asset)
            assert abs(ours - theirs) < PENNY, f"{venue} {asset}: {ours}, {theirs} there"
        counted = sum(len(self.fills(venue)) for venue in self.legs)
        assert report.counts()["fills"] == counted

    def _money(self, venue: str, asset: str) -> Decimal:
        """What a twin holds for us of a coin, which it may know by another name."""
        exchange = self.twins[venue].twin.exchange
        key, wallet = exchange.accounts()[0].key, exchange.wallet_of(split_id(self.legs[venue])[1])
        names = [asset, "XBT"] if asset == "BTC" else [asset]
        return sum((exchange.balance(key, wallet, name).total for name in names), Decimal(0))

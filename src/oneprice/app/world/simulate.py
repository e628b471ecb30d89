"""One world from its seed to its result: begin, trade, suffer, calm down, stop, check."""

import asyncio
import contextlib
import contextvars
import gc
import logging
import random
import time
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_EVEN, Context, localcontext
from hashlib import blake2b

import msgspec
import structlog

from oneprice.app.session import entry_bytes
from oneprice.app.summary import earned
from oneprice.app.world.disk import MemoryDisk
from oneprice.app.world.invariants import Invariants
from oneprice.app.world.loop import OWNER, VirtualLoop, run_virtually
from oneprice.app.world.plan import Plan, make_plan
from oneprice.app.world.quarter import Complaints, Quarter
from oneprice.app.world.storm import Storm
from oneprice.app.world.trader import LOOK_EVERY_S, Life, Trader
from oneprice.app.world.violations import Violation
from oneprice.app.world.wires import Net
from oneprice.model.units import MILLI, SECOND
from oneprice.shell.desk import Turn
from oneprice.shell.gateway import NoAnswer

RECOVERY_NS = 120 * SECOND  # after the last fault: until something is traded again; a spent minute
# ends, and the next try for a book may come half a minute later
QUIET_NS = 120 * SECOND  # after a stop: until nothing is in flight or held
REST_S = 0.5  # for what is under way when all is quiet
CALM_NS = SECOND  # traded after the faults at least so long
FINE_NS = 4 * SECOND  # of waiting, before the market takes larger steps
COARSE = 8
STILL = 1 << 40
STILL_S = 0.2
CATCH_UP_NS = 5 * SECOND
STILL_NS = 2 * SECOND  # our own orders may still be eating, a snapshot be under way
DOWN_S = 0.3  # from a crash to the next start
STARTS_MAX = 12  # a start that meets a venue that is away is tried again


class Result(msgspec.Struct, kw_only=True):
    """What one world came to."""

    seed: int
    calm: bool
    virtual_s: float = 0.0
    events: int = 0  # passes of the loop
    frames: int = 0
    turns: int = 0
    orders: int = 0
    fills: int = 0
    groups: dict[str, int] = {}
    faults: dict[str, int] = {}
    starts: int = 0
    crashes: int = 0
    clutch: str = ""
    earned: float = 0.0  # by trading, in the reporting asset
    unhedged_ms: float = 0.0  # the longest time that legs of one group differed
    recoveries_ms: list[int] = []  # of each start over an old journal, to a known state
    checks: dict[str, int] = {}
    violations: list[Violation] = []
    journal: str = ""  # a hash of every byte that was decided
    cpu_s: float = 0.0

    @property
    def good(self) -> bool:
        return not self.violations


class World:
    """Everything of one seed that lives while it runs."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        self.plan = plan
        self.loop = loop
        self.quarter = Quarter(plan, loop)
        self.disk = MemoryDisk(plan.seed, loop.stall)
        self.disk.now = loop.clock
        self.lives: list[Life] = []
        self.invariants = Invariants(plan, loop, self.quarter, self.lives)
        self.storm = Storm(plan, loop, self.quarter, self.disk, lambda: self.trader)
        self.crashes = 0
        self.frames = 0
        self.unhedged_ms = 0.0
        self.recoveries_ms: list[int] = []
        self._trader: Trader | None = None

    @property
    def trader(self) -> Trader:
        assert self._trader is not None, "nobody was started"
        return self._trader

    async def run(self) -> None:
        self.loop.set_exception_handler(self._unhandled)
        await self.quarter.start()
        keeper = asyncio.create_task(self._keep_alive(), name="keeper")
        try:
            await self._until(lambda: self._trader is not None and self.trader.ready, QUIET_NS)
            await self.storm.blow()
            self.storm.subside()
            await self._stand_still()
            await self._calm_down()
            await self._come_to_rest()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        self.invariants.at_rest(self.trader, self.disk)
        self.note(self.trader)
        await self.trader.close()
        await self.quarter.close()
        self.invariants.at_end()

    def note(self, trader: Trader) -> None:
        """The figures of a life that is over."""
        report = trader.desk.engine.report
        self.frames += trader.desk.frames
        self.unhedged_ms = max(self.unhedged_ms, report.unhedged().longest_ms)
        if report.recovered is not None:
            self.recoveries_ms.append(report.recovered.ms)

    # Phases --------------------------------------------------------------------------------

    async def _calm_down(self) -> None:
        """Until it trades again: a closed clutch owes that, an open one nothing."""
        begin = self.loop.now_ns
        self.invariants.faults_ended()
        await asyncio.sleep(CALM_NS / SECOND)
        while not (recovered := self._recovered()):
            if self.loop.now_ns - begin > RECOVERY_NS:
                break
            if self.loop.now_ns - begin > FINE_NS:
                self.quarter.coarse(COARSE)
            await asyncio.sleep(LOOK_EVERY_S)
        self.invariants.recovered(recovered or self.trader.banned, self.trader)
        self.quarter.coarse(1)

    def _recovered(self) -> bool:
        trader = self.trader
        if trader.dead or not trader.ready:
            return False
        if trader.desk.engine.clutch or trader.runtime.failure:
            return True
        return self.invariants.traded_again()

    async def _stand_still(self) -> None:
        """Nothing moves for a moment: time to compare books."""
        # What was lost last is missed when more follows; a venue whose clock was set back says
        # nothing until it has caught up.
        await asyncio.sleep(STILL_S)
        since = self.trader.now
        await self._until(lambda: self.invariants.heard_since(self.trader, since), CATCH_UP_NS)
        self.quarter.coarse(STILL)
        await asyncio.sleep(max(0, self.loop.net.latest - self.loop.now_ns) / SECOND)
        await self._until(lambda: self.invariants.books_agree(self.trader), STILL_NS)
        if self.trader.ready and not self.trader.dead:
            self.invariants.books_equal(self.trader)
        self.quarter.coarse(1)

    async def _come_to_rest(self) -> None:
        await self._until(lambda: self.trader.ready and not self.trader.dead, QUIET_NS)
        self.trader.stop()
        begin = self.loop.now_ns
        while not (quiet := self.trader.desk.engine.quiet):
            waited = self.loop.now_ns - begin
            if waited > QUIET_NS:
                break
            if waited > FINE_NS:
                self.quarter.coarse(COARSE)
            await asyncio.sleep(LOOK_EVERY_S)
        self.invariants.quiet(quiet or self.trader.banned, self.trader)
        self.quarter.coarse(STILL)
        await asyncio.sleep(max(0, self.loop.net.latest - self.loop.now_ns) / SECOND)
        await asyncio.sleep(REST_S)
        # What is only told when asked for is asked for at the next audit; a difference is
        # believed, and named, after some of them.
        settings = self.plan.config.engine.reconcile
        audits = settings.audit_ms * settings.asks_max * MILLI + SECOND
        await self._until(lambda: self.invariants.agreed(self.trader), audits)

    async def _until(self, done: Callable[[], bool], span: int) -> None:
        deadline = self.loop.now_ns + span
        while not done() and self.loop.now_ns < deadline:  # noqa: ASYNC110 -- anything may end it
            await asyncio.sleep(LOOK_EVERY_S)

    # Our process, again and again ------------------------------------------------------------

    async def _keep_alive(self) -> None:
        """What a service manager does: start it, and start it again when it died."""
        for number in range(1, STARTS_MAX + 1):
            try:
                trader = self._trader = self._born(number)
            except OSError:  # no room to begin a journal: it says so and ends
                await asyncio.sleep(DOWN_S)
                continue
            begun = self._context(number).run(
                asyncio.create_task, self._begin(trader), name=trader.owner
            )
            await self._until(lambda: trader.dead or begun.done(), 1 << 62)  # noqa: B023
            await self._until(lambda: self._is_over(trader), 1 << 62)  # noqa: B023
            self.note(trader)
            self.crashes += 1
            await asyncio.sleep(DOWN_S)
            self.disk.process_died()

    @staticmethod
    def _is_over(trader: Trader) -> bool:
        """Killed; or its journal refused, and so it ends by itself."""
        if trader.runtime.sealed and not trader.dead:
            trader.kill()
        return trader.dead

    def _born(self, number: int) -> Trader:
        trader = self._context(number).run(
            Trader, self.plan, self.loop, self.quarter, self.disk, number, self.turn
        )
        self.lives.append(trader.life)
        self.invariants.watch.started()
        return trader

    @staticmethod
    def _context(number: int) -> contextvars.Context:
        """Whatever is begun in it belongs to that start of our process."""
        context = contextvars.copy_context()
        context.run(OWNER.set, f"trader-{number}")
        return context

    async def _begin(self, trader: Trader) -> None:
        try:
            await trader.start()
        except NoAnswer:
            trader.kill()  # it complains and ends; the service manager tries again
        except Exception as error:
            self.invariants.start_failed(error)
            trader.kill()

    def turn(self, turn: Turn) -> None:
        self.invariants.turn(turn, self.trader)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if self._trader is not None:
            self._trader.unhandled(loop, context)


def simulate(seed: int, kept: list[bytes] | None = None) -> Result:
    """Run one seed; the same seed always does the same. Into `kept` goes what was journaled."""
    return simulate_plan(make_plan(seed), kept)


def simulate_plan(plan: Plan, kept: list[bytes] | None = None) -> Result:
    began = time.process_time()
    random.seed(plan.seed)
    result = Result(seed=plan.seed, calm=plan.calm)
    entries: list[bytes] = [] if kept is None else kept
    collecting = gc.isenabled()
    gc.disable()  # when it would run is nobody's plan
    try:
        # Other libraries set how the whole thread rounds, and leave it so.
        with _quiet(), localcontext(Context(prec=28, rounding=ROUND_HALF_EVEN)):
            net = Net(plan.seed, plan.weather)
            run_virtually(lambda loop: _run(plan, loop, result, entries), net)
    finally:
        if collecting:
            gc.enable()
    result.cpu_s = time.process_time() - began
    return result


async def _run(plan: Plan, loop: VirtualLoop, result: Result, entries: list[bytes]) -> None:
    world = World(plan, loop)
    complaints = Complaints(world.invariants.venue_failed)
    loggers = [logging.getLogger(name) for name in ("oneprice.twin", "aiohttp.server")]
    for logger in loggers:
        logger.addHandler(complaints)
    try:
        await world.run()
    finally:
        for logger in loggers:
            logger.removeHandler(complaints)
    entries += [entry_bytes(turn) for life in world.lives for turn in life.turns]
    result.journal = blake2b(b"".join(entries), digest_size=16).hexdigest()
    _sum_up(world, result)


def _sum_up(world: World, result: Result) -> None:
    report = world.trader.desk.engine.report
    result.virtual_s = round(world.loop.time(), 3)
    result.events = world.loop.passes
    result.frames = world.frames
    result.turns = sum(len(life.turns) for life in world.lives)
    result.orders = sum(len(venue.orders()) for venue in world.quarter.venues.values())
    result.fills = sum(len(venue.fills()) for venue in world.quarter.venues.values())
    result.groups = dict(report.group_ends())
    result.faults = dict(world.storm.counts)
    result.starts = len(world.lives)
    result.crashes = world.crashes
    result.clutch = report.clutch
    result.earned = float(earned(report.profit()))
    result.unhedged_ms = world.unhedged_ms
    result.recoveries_ms = world.recoveries_ms
    result.checks = dict(world.invariants.findings.checks)
    result.violations = world.invariants.findings.violations


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of bad weather are no news here."""
    known = structlog.get_config()
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent)
    try:
        yield
    finally:
        structlog.configure(**known)

"""A trader in this process whose strategy trades when it is told to."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from oneprice.app.config import RunConfig
from oneprice.app.drills.contract import NotSeen
from oneprice.app.drills.hedge import Hedge, enlisted
from oneprice.app.run import Running, run
from oneprice.app.summary import Summary
from oneprice.core.engine import WATCH_TIMER, Engine
from oneprice.model.events import TimerFired
from oneprice.shell.gateway import Gateway
from oneprice.shell.lines import Line

PATIENCE_S = 30.0  # a machine under load is slow, and no misfortune
LOOK_S = 0.005


class Trader:
    """One start of a session; a directory that holds a session is resumed."""

    def __init__(self, config: RunConfig, directory: Path, hedge: Hedge) -> None:
        self.hedge = hedge
        self.directory = directory
        self.stop = asyncio.Event()
        self.running: Running | None = None
        self._config = config
        self._task: asyncio.Task[Summary] | None = None

    async def start(self) -> None:
        """Returns when the accounts are known, and nothing new was sent yet."""
        self._task = asyncio.create_task(self._run())
        await self.until(
            lambda: self.running is not None and self.running.phase == "trading",
            "the trader is connected",
        )
        await self.until(self._is_sure, "every account is known")

    async def _run(self) -> Summary:
        with enlisted(self.hedge):
            return await run(self._config, self.directory, look=self._see, stop=self.stop)

    def _see(self, running: Running) -> None:
        self.running = running

    def _is_sure(self) -> bool:
        known = len(self.engine._accounts.checked_at) == len(self._config.venues)
        return known and not self.engine.report.recovering

    @property
    def seen(self) -> Running:
        if self.running is None:
            raise NotSeen("a trader that runs")
        return self.running

    @property
    def engine(self) -> Engine:
        return self.seen.desk.engine

    def gateway(self, venue: str) -> Gateway:
        return next(g for g in self.seen.gateways if g.name == venue)

    def lines(self, venue: str, role: str) -> list[Line]:
        """Connections to a venue: public, private or trade."""
        return [line for line in self.gateway(venue).lines if line.spec.role == role]

    # What happens --------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 0) -> float:
        """Wait for it; milliseconds it took. NotSeen says what did not come."""
        began, seconds = time.monotonic(), seconds or PATIENCE_S
        while not condition():
            if self._task is not None and self._task.done():
                summary = self._task.result()
                raise NotSeen(f"{what}; the trader ended: {summary.failure or 'by itself'}")
            if time.monotonic() - began > seconds:
                raise NotSeen(f"{what}, within {seconds:g} s")
            await asyncio.sleep(LOOK_S)
        return (time.monotonic() - began) * 1000

    async def trade(self, seconds: float = 0) -> None:
        """Have one hedge begun; NotSeen where the gate lets none begin."""
        report = self.engine.report
        before = report.counts()["approved"]
        await self._want(lambda: report.counts()["approved"] > before, "a hedge is begun", seconds)

    async def denied(self, *by: str, times: int = 5) -> tuple[int, dict[str, int]]:
        """Want a hedge until it was denied so often, by each of these rules too, or begun: how
        many were begun, and how often they were denied by which rule, or for want of a book."""
        report, hedge = self.engine.report, self.hedge
        approved, before, blind = report.counts()["approved"], report.refusals(), hedge.blind

        def told() -> dict[str, int]:
            found = {rule: n - before.get(rule, 0) for rule, n in report.refusals().items()}
            found["no book"] = hedge.blind - blind
            return {rule: n for rule, n in found.items() if n}

        def begun() -> int:
            return report.counts()["approved"] - approved

        def enough() -> bool:
            return sum(told().values()) >= times and all(rule in told() for rule in by)

        what = f"a verdict by {', '.join(by)}" if by else "a verdict"
        await self._want(lambda: begun() > 0 or enough(), what)
        return begun(), told()

    async def look(self, enough: Callable[[], bool], what: str) -> float:
        """Have the strategy look at the market until something holds; milliseconds it took."""
        return await self.until(lambda: enough() or self._asked(), what)

    async def _want(self, enough: Callable[[], bool], what: str, seconds: float = 0) -> None:
        self.hedge.wanted = True
        try:
            await self.until(lambda: enough() or self._asked(), what, seconds)
        except NotSeen as error:
            refused = dict(self.engine.report.refusals())
            raise NotSeen(f"{error}; refused: {refused}, no book: {self.hedge.blind}") from None
        finally:
            self.hedge.wanted = False

    def _asked(self) -> bool:
        """The strategy has no wires: it is asked because it is time to look."""
        at = self.seen.runtime.clock.now()
        self.seen.desk.event(TimerFired(at=at, timer=WATCH_TIMER))
        self.seen.runtime.poke(at)
        return False

    async def ended(self, groups: int = 1) -> dict[str, int]:
        """How many groups ended how, once so many have and none is at work."""
        report = self.engine.report
        await self.until(
            lambda: sum(report.group_ends().values()) >= groups and not report.groups(),
            f"the end of {groups} leg groups",
        )
        return dict(report.group_ends())

    async def finish(self) -> Summary:
        """Ctrl-C, and the summary of the run."""
        self.stop.set()
        return await self.over()

    async def over(self) -> Summary:
        """The summary of a run that ends by itself."""
        if self._task is None:
            raise NotSeen("a trader that was started")
        try:
            return await asyncio.wait_for(self._task, PATIENCE_S)
        except TimeoutError:
            raise NotSeen(f"the end of the run, within {PATIENCE_S:g} s") from None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

"""Connecting: every venue is up before a first start trades; a resumed session waits for none.

What an earlier start left open at the venues that answer cannot wait for one that does not. They
are begun without it; it is asked again and again, and begun when it is there.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from oneprice.shell.gateway import Gateway, NoAnswer
from oneprice.shell.runtime import Runtime

log = structlog.get_logger("connecting")

SETTLE_TIMEOUT_S = 30.0
GRACE_S = 3.0  # from the first venue that is up, for the others of a resumed session
RETRY_S, RETRY_MAX_S = 0.5, 10.0  # the pause doubles
LOOK_S = 0.02

Markets = Mapping[str, Sequence[tuple[str, str]]]  # by venue: what is begun when it is up


class Connecting:
    """Brings the gateways up, and tells the desk which venues can be begun.

    `tell` hears, in a person's words, which venue is missing and when it is back.
    """

    def __init__(
        self,
        runtime: Runtime,
        gateways: Sequence[Gateway],
        markets: Markets,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._runtime = runtime
        self._gateways = list(gateways)
        self._markets = markets
        self._tell = tell
        self._up: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._begun = False
        self._parts: list[str] = []
        self.absent: dict[str, str] = {}  # venues that are not up, and why, as far as we know

    def never_up(self) -> list[str]:
        """Sockets and books that were missing when their venue was begun, and still are; and
        venues that were never begun."""
        now = [part for g in self._gateways for part in g.unsettled()]
        still = [part for part in self._parts if part in now]
        return [*still, *(f"venue {name}: {why}" for name, why in self.absent.items())]

    async def connect(self) -> None:
        """Until trading can begin; on a resume until what can be taken up can be. Raises NoAnswer
        where a first start cannot reach a venue."""
        if self._runtime.desk.resumed:
            await self._connect_some()
            return
        await asyncio.gather(*(g.prepare() for g in self._gateways))
        await asyncio.gather(*(g.open() for g in self._gateways))
        await self._settle(self._gateways, lambda: all(g.settled for g in self._gateways))
        self._up = [g.name for g in self._gateways]

    def begin(self) -> None:
        """Ask the accounts of all that is up. What is not is begun when it is."""
        self._begun = True
        for gateway in self._gateways:
            if gateway.name not in self._up and gateway.name not in self.absent:
                self._miss(gateway.name, "still connecting")
        if self.absent:
            self._say("what is open at the others is ended; nothing new before all agree")
        self._begin([g.name for g in self._gateways if g.name in self._up])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # One by one ----------------------------------------------------------------------------

    async def _connect_some(self) -> None:
        for gateway in self._gateways:
            work = self._bring(gateway)
            self._tasks.append(self._runtime.spawn(work, f"{gateway.name} connecting"))
        loop = asyncio.get_running_loop()
        deadline = 0.0
        while len(self._up) < len(self._gateways):
            if self._up:
                deadline = deadline or loop.time() + GRACE_S
                waits = len(self._up) + len(self.absent) < len(self._gateways)
                if not waits or loop.time() > deadline:
                    return
            await asyncio.sleep(LOOK_S)

    async def _bring(self, gateway: Gateway) -> None:
        """Until a venue is up, however long it takes."""
        pause = RETRY_S
        while not await self._reaches(gateway):
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_MAX_S)
        await gateway.open()
        # What nothing of ours is in may come later, and what trades no more will never come.
        at_stake = self._runtime.desk.engine.report.at_stake()
        await self._settle([gateway], lambda: gateway.settled_for(at_stake))
        self._up.append(gateway.name)
        if self.absent.pop(gateway.name, None) is not None:
            self._say(f"{gateway.name} is there")
        if self._begun:
            self._begin([gateway.name])

    async def _reaches(self, gateway: Gateway) -> bool:
        try:
            await gateway.prepare(attempts=1)
        except (NoAnswer, TimeoutError) as error:
            why = self._runtime.desk.veil.text(str(error))[:200] or type(error).__name__
            self._miss(gateway.name, why)
            return False
        return True

    async def _settle(self, gateways: Sequence[Gateway], is_done: Callable[[], bool]) -> None:
        """Until lines are up and books known; a while at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_TIMEOUT_S
        while not is_done():
            if loop.time() > deadline:
                break
            await asyncio.sleep(LOOK_S)
        parts = [part for g in gateways for part in g.unsettled()]
        if parts:
            self._parts += parts
            log.warning("starting although not all is ready", missing=parts)

    def _begin(self, venues: Sequence[str]) -> None:
        markets = [market for venue in venues for market in self._markets[venue]]
        at = self._runtime.clock.now()
        self._runtime.desk.begin(markets, at)
        self._runtime.poke(at)

    def _miss(self, venue: str, why: str) -> None:
        if venue not in self.absent:
            self._say(f"{venue} is missing: {why.removeprefix(venue + ': ')}")
        self.absent[venue] = why

    def _say(self, text: str) -> None:
        if self._tell is None:
            log.warning(text)
        else:
            log.info(text)
            self._tell(text)

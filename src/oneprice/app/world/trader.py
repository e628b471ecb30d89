"""Our process in the world: desk, runtime, gateways and journal; it can die at any step."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from oneprice.app.build import build_desk, wanted_of
from oneprice.app.connecting import Connecting
from oneprice.app.run import hand_out
from oneprice.app.session import TurnJournal, decode_entry
from oneprice.app.world.disk import Killed, MemoryDisk
from oneprice.app.world.loop import VirtualLoop
from oneprice.app.world.plan import Plan
from oneprice.app.world.quarter import Quarter
from oneprice.app.world.stream import opener
from oneprice.core.engine import Engine
from oneprice.model.events import Event
from oneprice.model.units import Nanos
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Desk, Turn
from oneprice.shell.gateway import Gateway, Network
from oneprice.shell.runtime import Runtime
from oneprice.store.journal import JournalWriter, read_journal
from oneprice.venues.contract import Request

JOURNAL = Path("/session/journal")
CALLS_MAX = 128
KEEP_ALIVE = None  # idle connections are aged by the clock on the wall, which is not ours: never
LOOK_EVERY_S = 0.02
Input = tuple[int, str, int, bytes]


class Life(msgspec.Struct):
    """What one start of our process took in, decided and was told, in order."""

    session: str
    earlier: list[bytes] = []  # what the disk held of lives before
    inputs: list[Input] = []
    turns: list[Turn] = []
    told: list[tuple[str, Event]] = []  # (venue, what its dialect said of an order)
    begun: int = 0  # when it was told to trade
    died: int = 0  # when it was killed, 0: it ended by itself
    failure: str = ""


class _Tape:
    """Every input, in memory."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def append(self, kind: int, source: str, at: int, payload: bytes) -> None:
        if not self._life.died:
            self._life.inputs.append((kind, source, at, payload))


class _Journal:
    """The real journal over the disk in memory, with the places where a process can die."""

    def __init__(self, trader: "Trader", inner: TurnJournal) -> None:
        self._trader = trader
        self._inner = inner

    def append(self, turn: Turn) -> None:
        trader = self._trader
        trader.at_place("before_journal", turn)
        if trader.dead:
            raise Killed("dead already")
        self._inner.append(turn)
        trader.life.turns.append(turn)
        trader.on_turn(turn)
        trader.at_place("before_send", turn)

    def close(self) -> None:
        self._inner.close()


class Trader:
    """One start of our program over what the disk holds."""

    def __init__(
        self,
        plan: Plan,
        loop: VirtualLoop,
        quarter: Quarter,
        disk: MemoryDisk,
        number: int,
        on_turn: Callable[[Turn], None],
    ) -> None:
        self.owner = f"trader-{number}"
        self.plan = plan
        self.life = Life(session=f"w{number}")
        self.on_turn = on_turn
        self.dead = False
        self.ready = False
        self._loop = loop
        self._disk = disk
        self._doom = ""  # where to die
        self._connectors: list[aiohttp.BaseConnector] = []
        self._grave: asyncio.Task[None] | None = None
        self._clock = Clock(lambda: plan.start + loop.now_ns, loop.clock)
        keys = {name: venue.credentials() for name, venue in quarter.venues.items()}
        self.desk: Desk = build_desk(plan.config, self.life.session, keys, _Tape(self.life))
        writer = JournalWriter(JOURNAL, disk=disk)
        self.life.earlier = list(read_journal(JOURNAL, disk))
        resume(self.desk.engine, self.life.earlier)
        self._journal = _Journal(self, TurnJournal(writer))
        self.runtime = Runtime(self.desk, self._clock, self._journal, busy_poll=False)
        self.gateways = {
            venue.name: self._gateway(quarter, venue.name, index)
            for index, venue in enumerate(plan.config.venues)
        }
        venues = plan.config.venues
        markets = {v.name: [(v.name, market) for market in v.in_markets] for v in venues}
        self._connecting = Connecting(self.runtime, list(self.gateways.values()), markets)
        self.runtime.dispatch = self._dispatch
        self.runtime.on_news = self._news

    def _gateway(self, quarter: Quarter, name: str, index: int) -> Gateway:
        venue, dialect = quarter.venues[name], self.desk.dialect(name)

        def connector() -> aiohttp.BaseConnector:
            made = aiohttp.UnixConnector(
                venue.address, limit=CALLS_MAX, keepalive_timeout=KEEP_ALIVE
            )
            self._connectors.append(made)
            return made

        network = Network(opener=opener(venue.address), connector=connector)
        wanted = wanted_of(self.plan.config.venues[index])
        ends = venue.endpoints(dialect.feed.spec)
        return Gateway(dialect, ends, self.runtime, self._clock, wanted, network)

    # Life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect everything and begin to trade; raises what the gateways raise."""
        await self._connecting.connect()
        self.life.begun = self._clock.now()
        self.ready = True
        self._connecting.begin()

    @property
    def missing(self) -> list[str]:
        return self._connecting.never_up()

    def stop(self) -> None:
        self.runtime.stop_requested("the world ends")

    async def close(self) -> None:
        """A decent end, unless it is dead."""
        if self.dead:
            return
        self.life.failure = self.runtime.failure
        await self._connecting.close()
        await asyncio.gather(*(g.close() for g in self.gateways.values()))
        self.runtime.close()
        self._journal.close()

    @property
    def banned(self) -> bool:
        """A venue told us to stay away, and we do."""
        for gateway in self.gateways.values():
            limits = self.desk.dialect(gateway.name).feed.spec.limits
            cost = [(limit.bucket, 1) for limit in limits]
            if gateway.outbox.pacer.banned_ns(cost, self._clock.now()):
                return True
        return False

    @property
    def now(self) -> Nanos:
        return self._clock.now()

    # Death ---------------------------------------------------------------------------------

    def doom(self, place: str) -> None:
        """Die when this place is reached next; `anywhere` is here and now."""
        if place == "anywhere":
            self.kill()
        elif place == "in_journal":
            self._disk.kill_in_write = self.kill
        else:
            self._doom = place

    def at_place(self, place: str, turn: Turn) -> None:
        """Whether this is where we die: only before something that matters leaves."""
        if self._doom == place and turn.commands:
            self._doom = ""
            self.kill()
            raise Killed(place)

    def kill(self) -> None:
        """From here on nothing of this process reaches the world; its tasks are buried soon."""
        if self.dead:
            return
        self.dead = self.runtime.sealed = True
        self.life.died = self._clock.now()
        self.life.failure = self.runtime.failure
        self._disk.mute = True
        self._loop.net.kill(self.owner)
        self._loop.call_soon(self._bury)

    def _bury(self) -> None:
        self.runtime.close()
        for task in self._loop.tasks_of(self.owner):
            task.cancel()
        self._grave = self._loop.create_task(self._let_go())

    async def _let_go(self) -> None:
        """Nobody answers any more: it is enough that they count as closed."""
        await asyncio.gather(*(connector.close() for connector in self._connectors))

    # What leaves and what comes ------------------------------------------------------------

    def _dispatch(self, venue: str, request: Request) -> None:
        if self.dead:
            raise Killed("dead already")
        self.gateways[venue].outbox.put(request)
        if self._doom == "between_sends" and request.places:
            self._doom = ""
            self.kill()
            raise Killed("between_sends")

    def _news(self) -> None:
        for venue, output in self.desk.news:
            if isinstance(output, Event) and "order_id" in output.__struct_fields__:
                self.life.told.append((venue, output))
        hand_out(self.desk, self.gateways)

    def unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What breaks on the side of a venue is logged there, and no failure of ours."""
        theirs = self._loop.owner_of(context.get("future")) not in ("", self.owner)
        if not (isinstance(context.get("exception"), Killed) or self.dead or theirs):
            self.runtime.unhandled(loop, context)


def resume(engine: Engine, earlier: Sequence[bytes]) -> None:
    """Tell a fresh engine what the journal holds of earlier lives, as a real start does."""
    for payload in earlier:
        entry = decode_entry(payload)
        engine.recall.entry(entry.at, entry.record, entry.commands)
    engine.recall.end()

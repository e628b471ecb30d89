"""A station: one venue, connected by the real shell, with everything its dialect says kept.

For whoever asks a venue something without trading: conformance cards and the doctor.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from oneprice.app.build import VENUES
from oneprice.app.config import VenueConfig
from oneprice.app.run import hand_out
from oneprice.app.session import NoJournal
from oneprice.core.engine import Engine
from oneprice.kernel import Tripwires
from oneprice.model.commands import AnyCommand
from oneprice.model.events import Event
from oneprice.model.settings import EngineSettings
from oneprice.model.units import InstrumentId, Nanos
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Desk, Dialect
from oneprice.shell.gateway import Gateway
from oneprice.shell.runtime import Runtime
from oneprice.venues.contract import Answer, Credentials, Feed, Output, Request, Trade, Wanted

Heard = TypeVar("Heard", bound=Event)

PATIENCE_S = 6.0


class NotHeard(Exception):
    """What was waited for and did not come."""


class Listening:
    """One side of a dialect, whose every word is also kept in `heard`."""

    def __init__(self, side: Any, heard: list[Output]) -> None:
        self._side = side
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        return self._keep(self._side.decode(socket, frame, at))

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        return self._keep(self._side.answered(answer, at))

    def dropped(self, instruments: Sequence[InstrumentId], at: Nanos) -> Sequence[Output]:
        return self._keep(self._side.dropped(instruments, at))

    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]:
        return self._keep(self._side.silenced(instrument, at))

    def _keep(self, outputs: Sequence[Output]) -> Sequence[Output]:
        self._heard.extend(outputs)
        return outputs


class Station:
    """A venue and a gateway to it; `trade` is None without keys."""

    def __init__(
        self,
        venue: VenueConfig,
        keys: Credentials | None,
        endpoints: Mapping[str, str],
        wanted: Sequence[Wanted],
    ) -> None:
        self.venue = venue.name
        self.heard: list[Output] = []
        wires = Tripwires()
        dialect = VENUES[venue.name](venue, keys, wires)
        self.feed, self.trade = dialect.feed, dialect.trade
        listening = Dialect(
            venue.name,
            cast("Feed", Listening(dialect.feed, self.heard)),
            cast("Trade", Listening(dialect.trade, self.heard)) if dialect.trade else None,
        )
        settings = EngineSettings(trading=False)
        engine = Engine(settings, [], dialect.feed.books, wires, "station")
        self.desk = Desk(engine, [listening])
        self.clock = Clock()
        self.runtime = Runtime(self.desk, self.clock, NoJournal(), busy_poll=False)
        self.gateway = Gateway(listening, endpoints, self.runtime, self.clock, wanted)
        self.runtime.dispatch = lambda _, request: self.gateway.outbox.put(request)
        self.runtime.on_news = lambda: hand_out(self.desk, {venue.name: self.gateway})

    async def close(self) -> None:
        await self.gateway.close()
        self.runtime.close()

    # Doing ---------------------------------------------------------------------------------

    def say(self, command: AnyCommand) -> None:
        """Send what a command means; ValueError without keys."""
        if self.trade is None:
            raise ValueError(f"venue {self.venue}: no keys, so nothing private can be asked")
        self.send(self.trade.encode(command, self.clock.now()))

    def send(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self.gateway.outbox.put(request)

    # Looking -------------------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S
    ) -> None:
        """Wait for it; NotHeard says what did not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.runtime.failure:
                raise NotHeard(f"broken: {self.runtime.failure}")
            if time.monotonic() > deadline:
                raise NotHeard(f"not within {seconds:g} s: {what}; {self.trouble()}")
            await asyncio.sleep(0.005)

    def mark(self) -> int:
        """A place in `heard`, for `find` and `event` to begin at."""
        return len(self.heard)

    def find(
        self,
        kind: type[Heard],
        where: Callable[[Heard], bool] | None = None,
        since: int = 0,
    ) -> list[Heard]:
        return [
            e for e in self.heard[since:] if isinstance(e, kind) and (where is None or where(e))
        ]

    async def event(
        self,
        kind: type[Heard],
        where: Callable[[Heard], bool] | None = None,
        *,
        since: int = 0,
        seconds: float = PATIENCE_S,
        what: str = "",
    ) -> Heard:
        """The first event of a kind; waits for it."""
        await self.until(
            lambda: bool(self.find(kind, where, since)), what or kind.__name__, seconds
        )
        return self.find(kind, where, since)[0]

    def trouble(self) -> str:
        """What else is wrong at the moment, in a few words."""
        found = [f"{count} x {what}" for what, count in list(self.desk.rejected.items())[-3:]]
        return "; ".join([*self.gateway.unsettled(), *found]) or "nothing else is wrong"

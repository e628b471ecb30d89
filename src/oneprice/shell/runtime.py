"""The runtime: the loop that applies inputs, ends turns, keeps timers and obeys commands."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from oneprice.model.commands import SetTimer
from oneprice.model.events import StopRequested, TimerFired
from oneprice.model.units import SECOND, Nanos
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Desk, Turn
from oneprice.venues.contract import Request

LATENCIES_KEPT = 100_000


class DecisionLog(Protocol):
    """Where decisions are written before anything leaves because of them."""

    def append(self, turn: Turn) -> None: ...


Dispatch = Callable[[str, Request], None]


class Runtime:
    """Owns the order of things: inputs first, then one turn, then the journal, then the wire."""

    def __init__(self, desk: Desk, clock: Clock, log: DecisionLog, *, busy_poll: bool) -> None:
        self.desk = desk
        self.clock = clock
        self.dispatch: Dispatch = _nowhere
        self.on_news: Callable[[], None] = _nothing
        self.turns = 0
        self.latencies_ns: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, tuple[Nanos, asyncio.TimerHandle]] = {}
        self._heard = 0  # when the first input of the coming turn was heard; 0: none waits
        self._stopped = False
        if busy_poll:
            self._loop.call_soon(self._spin)

    def _spin(self) -> None:
        # A loop that never sleeps saves the wake-up from epoll, for the price of a core.
        if not self._stopped:
            self._loop.call_soon(self._spin)

    def poke(self, heard: int) -> None:
        """An input was applied: end the turn once everything readable has been applied too."""
        if self._heard == 0:
            self._heard = heard
            self._loop.call_soon(self.end_turn)

    def end_turn(self) -> None:
        heard, self._heard = self._heard, 0
        self.turns += 1
        if self.desk.news:
            self.on_news()
        turn = self.desk.turn(self.clock.now())
        if turn is None:
            return
        self._log.append(turn)
        for venue, request in turn.requests:
            self.dispatch(venue, request)
        if turn.requests and heard:
            self.latencies_ns.append(self.clock.now() - heard)
        for timer in turn.timers:
            self._drop_timer(timer.timer)
            if isinstance(timer, SetTimer):
                self._set_timer(timer.timer, timer.due)

    def stop_requested(self, reason: str) -> None:
        at = self.clock.now()
        self.desk.event(StopRequested(at=at, reason=reason))
        self.poke(at)

    def close(self) -> None:
        self._stopped = True
        for name in list(self._timers):
            self._drop_timer(name)

    def _set_timer(self, name: str, due: Nanos) -> None:
        delay = max(0, due - self.clock.now()) / SECOND
        self._timers[name] = (due, self._loop.call_later(delay, self._fire, name))

    def _fire(self, name: str) -> None:
        due, _ = self._timers.pop(name)
        at = self.clock.now()
        if at < due:  # the loop's clock and ours differ by a little: never before its patience
            self._set_timer(name, due)
            return
        self.desk.event(TimerFired(at=at, timer=name))
        self.poke(at)

    def _drop_timer(self, name: str) -> None:
        held = self._timers.pop(name, None)
        if held is not None:
            held[1].cancel()


def _nowhere(venue: str, request: Request) -> None:
    raise RuntimeError(f"no gateway for {venue}, request {request.tag}")


def _nothing() -> None:
    return

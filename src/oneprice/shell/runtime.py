"""The runtime: the loop that applies inputs, ends turns, keeps timers and obeys commands."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from traceback import format_exception
from typing import Any, Protocol

import structlog

from oneprice.model.commands import ClearTimer, PlaceOrder, SetTimer
from oneprice.model.events import (
    NOT_SAID,
    OrderRefused,
    OrderUncertain,
    StopRequested,
    TimerFired,
)
from oneprice.model.units import MICRO, SECOND, Nanos
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Desk, Turn, Unsaid
from oneprice.shell.telemetry_histogram import Histogram
from oneprice.venues.contract import Request

log = structlog.get_logger("runtime")

LATENCIES_KEPT = 100_000
REHEARSE_NS = 500 * MICRO  # caches are still warm after that; a look takes a tenth of it
FAILURES_SHOWN = 20  # with their tracebacks; what breaks in every frame must not fill a disk


class DecisionLog(Protocol):
    """Where decisions are written before anything leaves because of them."""

    def append(self, turn: Turn) -> None: ...


Dispatch = Callable[[str, Request], None]


class Runtime:
    """Owns the order of things: inputs first, then one turn, then the journal, then the wire.

    Nothing that breaks is passed over: `failure` names what broke first, the engine opens its
    clutch and stops, `on_failure` is called. Legs in flight are still finished; but once the
    journal has refused a turn the runtime is `sealed`, and nothing more is sent.
    """

    def __init__(self, desk: Desk, clock: Clock, log: DecisionLog, *, busy_poll: bool) -> None:
        self.desk = desk
        self.clock = clock
        self.dispatch: Dispatch = _nowhere
        self.on_news: Callable[[], None] = _nothing
        self.on_failure: Callable[[], None] = _nothing
        self.failure = ""
        self.failures = 0
        self.sealed = False
        self.turns = 0
        self.latencies_ns: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self.waits = Histogram()  # from an input that was heard to the turn it belongs to
        self.sends = Histogram()  # from an input that was heard to the last order it caused
        self.on_decisions: Callable[[Turn], None] | None = None  # telemetry: must not block
        self.on_broken: Callable[[str, BaseException], None] | None = None
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, tuple[Nanos, asyncio.TimerHandle]] = {}
        self._heard = 0  # when the first input of the coming turn was heard; 0: none waits
        self._stopped = False
        self._rehearsal_due = 0
        if busy_poll:
            self._loop.call_soon(self._spin)

    def _spin(self) -> None:
        # A loop that never sleeps saves the wake-up from epoll, for the price of a core.
        if self._stopped:
            return
        self._loop.call_soon(self._spin)
        now = self.clock.now()
        if now >= self._rehearsal_due:
            self._rehearsal_due = now + REHEARSE_NS
            try:
                self.desk.engine.rehearsal.step()
            except Exception as error:
                self.fail("rehearsal", error)

    def poke(self, heard: int) -> None:
        """An input was applied: end the turn once everything readable has been applied too."""
        if self._heard == 0:
            self._heard = heard
            self._loop.call_soon(self.end_turn)

    def end_turn(self) -> None:
        heard, self._heard = self._heard, 0
        self.turns += 1
        try:
            if self.desk.news:
                self.on_news()
            at = self.clock.now()
            if heard:
                self.waits.counts[(at - heard).bit_length()] += 1
                self.waits.nanos += at - heard
            turn = None if self.sealed else self.desk.turn(at)
        except Exception as error:
            self.fail("turn", error)
            return
        if turn is None:
            return
        try:
            self._log.append(turn)
        except Exception as error:
            self.sealed = True
            self.fail("journal", error)
            return
        self._send(turn, heard)
        for command in turn.commands:
            if isinstance(command, (SetTimer, ClearTimer)):
                self._drop_timer(command.timer)
                if isinstance(command, SetTimer):
                    self._set_timer(command.timer, command.due)
        for unsaid in turn.unsaid:
            self._not_said(unsaid)
        if self.on_decisions is not None and turn.record:
            self._tell(self.on_decisions, turn)

    def _send(self, turn: Turn, heard: int) -> None:
        left = False
        for venue, request in self.desk.requests(turn):
            left = True
            try:
                self.dispatch(venue, request)
            except Exception as error:
                self.fail(f"request {request.tag}", error)
        if left and heard:
            took = self.clock.now() - heard
            self.latencies_ns.append(took)
            self.sends.add(took)

    def _not_said(self, unsaid: Unsaid) -> None:
        """A command that did not leave concerns its order, if it has one, and ends no run: an
        order is refused, any other outcome is not known."""
        command, error = unsaid.command, unsaid.error
        order_id = getattr(command, "order_id", "")
        if error is None and not isinstance(command, PlaceOrder):
            return
        if error is not None:
            if not order_id:
                self.fail("command", error)
                return
            self._tell_broken(f"command {type(command).__name__} {order_id}", error)
        reason = NOT_SAID if error is not None else "not_sent"
        text = self.desk.veil.text(str(error))[:200] if error is not None else "venue is away"
        at = self.clock.now()
        if isinstance(command, PlaceOrder):
            self.desk.event(OrderRefused(at=at, order_id=order_id, reason=reason, text=text))
        else:
            self.desk.event(OrderUncertain(at=at, order_id=order_id, reason=reason))
        self.poke(at)

    def stop_requested(self, reason: str, *, failed: bool = False) -> None:
        at = self.clock.now()
        self.desk.event(StopRequested(at=at, reason=reason, failed=failed))
        self.poke(at)

    # What must not happen ------------------------------------------------------------------

    def fail(self, where: str, error: BaseException) -> None:
        """Something broke that is not weather: say so, open the clutch, stop."""
        self._tell_broken(where, error)
        if self.failure:
            return
        # It is told to the engine, journaled and shown: an error may quote what it was given.
        self.failure = self.desk.veil.text(f"{where}: {type(error).__name__}: {error}")[:500]
        self.on_failure()
        try:
            self.stop_requested(self.failure, failed=True)
        except Exception as another:
            self.fail("stop", another)

    def _tell_broken(self, where: str, error: BaseException) -> None:
        self.failures += 1
        if self.failures <= FAILURES_SHOWN:
            # Formatted here: a renderer of its own taste may show locals, and so secrets.
            log.error("broken", where=where, exception="".join(format_exception(error)))
            if self.on_broken is not None:
                self._tell(self.on_broken, where, error)

    @staticmethod
    def _tell(listener: Callable[..., None], *what: object) -> None:
        """Whoever only listens cannot break a run."""
        try:
            listener(*what)
        except Exception as error:
            log.error("telemetry broke", exception="".join(format_exception(error)))

    def spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """A task whose end by an exception is a failure of the run."""
        return self.watch(self._loop.create_task(work, name=what))

    def watch(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(task.get_name(), error)

    def unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For the loop: a callback that nobody else guards. Weather on a socket is no failure."""
        error = context.get("exception")
        if error is None or isinstance(error, OSError):
            loop.default_exception_handler(context)
        else:
            self.fail(str(context.get("message", "callback"))[:200], error)

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
        try:
            self.desk.event(TimerFired(at=at, timer=name))
        except Exception as error:
            self.fail(f"timer {name}", error)
        self.poke(at)

    def _drop_timer(self, name: str) -> None:
        held = self._timers.pop(name, None)
        if held is not None:
            held[1].cancel()


def _nowhere(venue: str, request: Request) -> None:
    raise RuntimeError(f"no gateway for {venue}, request {request.tag}")


def _nothing() -> None:
    return

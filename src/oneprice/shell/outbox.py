"""The outbox of one venue: requests wait for their allowance, the urgent ones first."""

import asyncio
import bisect
from collections.abc import Callable

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.units import MILLI, SECOND
from oneprice.shell.clock import Clock
from oneprice.shell.pacing import Pacer
from oneprice.venues.contract import Request

ENTRY_PATIENCE_NS = 500 * MILLI  # an entry that waited so long is for a market that is gone
OTHER_PATIENCE_NS = 30 * SECOND
QUEUE_MAX = 10_000  # far above any venue's allowance for the patience above
RETRY_NS = 5 * MILLI  # how soon a request is tried again whose socket is still down


class Waiting(msgspec.Struct, order=True):
    """A request in line. Ordered by priority, then by arrival."""

    priority: Priority
    number: int
    since: int
    request: Request


class Outbox:
    """Lets requests go when the pacer agrees and `ready` says that their way is open.

    `send` must not block; `give_up` hears of requests that were never sent, with the reason.
    """

    def __init__(
        self,
        pacer: Pacer,
        clock: Clock,
        *,
        ready: Callable[[Request], bool],
        send: Callable[[Request], None],
        give_up: Callable[[Request, str], None],
    ) -> None:
        self.pacer = pacer
        self._clock = clock
        self._ready = ready
        self._send = send
        self._give_up = give_up
        self._line: list[Waiting] = []
        self._number = 0
        self._wake: asyncio.TimerHandle | None = None

    def put(self, request: Request) -> None:
        """Send now if nothing more urgent waits and the allowance is there; else queue.

        A request about an order that still waits here takes that order back instead: to cancel
        it, or to be told that the venue does not know it and then to send it, would be a trade
        that nobody wants any more.
        """
        if self._line and request.order_id and self._take_back(request):
            return
        now = self._clock.now()
        if not self._line and self._wait(request, now) == 0:
            self._go(request, now)
            return
        if len(self._line) >= QUEUE_MAX:
            self._give_up(request, "rate_limited")
            return
        self._number += 1
        bisect.insort(self._line, Waiting(request.priority, self._number, now, request))
        self._pump()

    def _take_back(self, request: Request) -> bool:
        for waiting in self._line:
            if waiting.request.order_id == request.order_id and waiting.request.places:
                self._line.remove(waiting)
                self._give_up(waiting.request, "venue_busy")
                return True
        return False

    def close(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        for waiting in self._line:
            self._give_up(waiting.request, "closing")
        self._line.clear()

    def __len__(self) -> int:
        return len(self._line)

    def _wait(self, request: Request, now: int) -> int:
        wait = self.pacer.wait_ns(request.cost, request.priority, now)
        if wait == 0 and not self._ready(request):
            return RETRY_NS
        return wait

    def _go(self, request: Request, now: int) -> None:
        self.pacer.spend(request.cost, now)
        self._send(request)

    def _pump(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        now = self._clock.now()
        soonest = SECOND
        for waiting in list(self._line):
            age = now - waiting.since
            entry = waiting.priority is Priority.ENTRY
            wait = self._wait(waiting.request, now)
            if wait == 0:
                self._line.remove(waiting)
                self._go(waiting.request, now)
            elif age > (ENTRY_PATIENCE_NS if entry else OTHER_PATIENCE_NS):
                self._line.remove(waiting)
                self._give_up(waiting.request, "rate_limited")
            else:
                soonest = min(soonest, wait)
        if self._line:
            loop = asyncio.get_running_loop()
            self._wake = loop.call_later(max(soonest, MILLI) / SECOND, self._pump)

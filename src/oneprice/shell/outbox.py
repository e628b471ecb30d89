"""The outbox of one venue: requests wait for their allowance, the urgent ones first."""

import asyncio
import bisect
from collections.abc import Callable

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.units import MILLI, SECOND
from oneprice.shell.clock import Clock
from oneprice.shell.pacing import Cost, Pacer, Trip
from oneprice.venues.contract import Request

ENTRY_PATIENCE_NS = 500 * MILLI  # an entry that waited so long is for a market that is gone
ORDER_PATIENCE_NS = SECOND  # any other order waits no longer for the end of a ban
OTHER_PATIENCE_NS = 30 * SECOND
QUEUE_MAX = 10_000  # far above any venue's allowance for the patience above
RETRY_NS = 5 * MILLI  # how soon a request is tried again whose socket is still down


class Waiting(msgspec.Struct, order=True):
    """A request in line, or somebody who asks for his turn. By priority, then by arrival."""

    priority: Priority
    number: int
    since: int
    cost: Cost
    request: Request | None = None
    turn: asyncio.Future[Trip] | None = None


class Outbox:
    """Lets requests go when the pacer agrees and `ready` says that their way is open.

    `send` must not block; `give_up` hears of requests that were never sent, with the reason.
    Nobody is passed by a less urgent one that needs the same allowance.
    """

    def __init__(
        self,
        pacer: Pacer,
        clock: Clock,
        *,
        ready: Callable[[Request], bool],
        send: Callable[[Request, Trip], None],
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
        that nobody wants any more. An order that a ban would outlast is not taken at all: whoever
        wants it hears so at once, and may give the other leg back or ask for it at a new price.
        """
        if self._line and request.concerns and not request.places:
            taken = [self._take_back(order_id) for order_id in request.concerns]
            if all(taken):
                return
        now = self._clock.now()
        if self._is_banned(request, now):
            self._give_up(request, "banned")
            return
        if not self._line and self._wait(request, now) == 0:
            self._send(request, self.pacer.spend(request.cost, now))
            return
        if len(self._line) >= QUEUE_MAX:
            self._give_up(request, "rate_limited")
            return
        self._queue(Waiting(request.priority, 0, now, request.cost, request=request))

    async def turn(self, cost: Cost, priority: Priority = Priority.DATA) -> Trip:
        """Wait in line like a request, however long; the cost counts as spent on return."""
        turn: asyncio.Future[Trip] = asyncio.get_running_loop().create_future()
        self._queue(Waiting(priority, 0, self._clock.now(), cost, turn=turn))
        return await turn

    def _queue(self, waiting: Waiting) -> None:
        self._number += 1
        waiting.number = self._number
        bisect.insort(self._line, waiting)
        self._pump()

    def _take_back(self, order_id: str) -> bool:
        for waiting in self._line:
            held = waiting.request
            if held is not None and held.places and held.order_id == order_id:
                self._line.remove(waiting)
                short = self.pacer.wait_ns(held.cost, held.priority, self._clock.now())
                self._give_up(held, "rate_limited" if short else "not_sent")
                return True
        return False

    def close(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        for waiting in self._line:
            if waiting.request is not None:
                self._give_up(waiting.request, "closing")
            elif waiting.turn is not None:
                waiting.turn.cancel()
        self._line.clear()

    def __len__(self) -> int:
        return len(self._line)

    def _wait(self, request: Request, now: int) -> int:
        wait = self.pacer.wait_ns(request.cost, request.priority, now)
        if wait == 0 and not self._ready(request):
            return RETRY_NS
        return wait

    def _pump(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        now = self._clock.now()
        soonest = SECOND
        short: set[str] = set()  # allowances for which somebody more urgent waits
        for waiting in list(self._line):
            if waiting.turn is not None and waiting.turn.done():
                self._line.remove(waiting)  # whoever asked has gone
                continue
            wait = self._look(waiting, now, short)
            if wait == 0:
                self._line.remove(waiting)
                self._let_go(waiting, now)
            elif self._is_late(waiting, now) or self._is_banned(waiting.request, now):
                self._line.remove(waiting)
                if waiting.request is not None:
                    banned = self.pacer.banned_ns(waiting.cost, now)
                    self._give_up(waiting.request, "banned" if banned else "rate_limited")
            else:
                soonest = min(soonest, wait)
        if self._line:
            loop = asyncio.get_running_loop()
            self._wake = loop.call_later(max(soonest, MILLI) / SECOND, self._pump)

    def _look(self, waiting: Waiting, now: int, short: set[str]) -> int:
        """How long one must wait; what it waits for is noted in `short`."""
        if any(name in short for name, _ in waiting.cost):
            return SECOND
        wait, names = self.pacer.shortage(waiting.cost, waiting.priority, now)
        short.update(names)
        if wait == 0 and waiting.request is not None and not self._ready(waiting.request):
            return RETRY_NS
        return wait

    def _let_go(self, waiting: Waiting, now: int) -> None:
        trip = self.pacer.spend(waiting.cost, now)
        if waiting.request is not None:
            self._send(waiting.request, trip)
        elif waiting.turn is not None:
            waiting.turn.set_result(trip)

    def _is_banned(self, request: Request | None, now: int) -> bool:
        """An order for which a ban is too long."""
        if request is None:
            return False
        entry = request.priority is Priority.ENTRY
        if not entry and not request.places:
            return False
        patience = ENTRY_PATIENCE_NS if entry else ORDER_PATIENCE_NS
        return self.pacer.banned_ns(request.cost, now) > patience

    @staticmethod
    def _is_late(waiting: Waiting, now: int) -> bool:
        if waiting.request is None:
            return False
        entry = waiting.priority is Priority.ENTRY
        return now - waiting.since > (ENTRY_PATIENCE_NS if entry else OTHER_PATIENCE_NS)

"""A loop of virtual time: when nothing is ready, time jumps to the next timer.

Everything that asyncio offers above its selector runs unmodified; sockets are replaced by wires in
memory (`wires.Net`), which a server and a client reach by the loop's own public methods. Nothing
in here reads a clock, so the same work always happens in the same order.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from oneprice.app.world.wires import Net, Server, Wire
from oneprice.model.units import SECOND, Nanos

T = TypeVar("T")

# Whose work it is: of a process of the world that may be killed, or of nobody who dies.
OWNER: contextvars.ContextVar[str] = contextvars.ContextVar("owner", default="world")
PASSES_MAX = 1_000_000  # of one world; the longest takes some thousands
CLEANING_MAX = 200  # passes of the loop for tasks that were cancelled


class Stalled(RuntimeError):
    """Nothing is ready and no timer waits: what is awaited will never happen."""


class _Jump:
    """Stands where asyncio keeps its selector: waiting is moving the time on."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise Stalled("nothing is ready and no timer waits")
        if timeout > 0:
            self._loop.jump()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Its time begins at 0 and moves only when there is nothing to do."""

    def __init__(self, net: Net | None = None) -> None:
        super().__init__()
        self.now_ns = 0
        self.passes = 0
        self.net = net if net is not None else Net(seed=0)
        self.net.attach(self)
        self._selector = _Jump(self)
        self._clock_resolution = 1e-9
        self._owned: dict[asyncio.Task[Any], str] = {}
        self._owners: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.now_ns / SECOND

    def clock(self) -> Nanos:
        """Virtual nanoseconds since the loop was made."""
        return Nanos(self.now_ns)

    def jump(self) -> None:
        """To the moment of the next timer."""
        due: float = self._scheduled[0].when()  # type: ignore[attr-defined]
        self.now_ns = max(self.now_ns + 1, round(due * SECOND))
        self.passes += 1
        if self.passes > PASSES_MAX:
            raise Stalled(f"no end after {PASSES_MAX} moments, {self.now_ns / SECOND} s")

    def stall(self, span_ns: int) -> None:
        """Somebody blocked the thread: time passes and nothing is done."""
        self.now_ns += span_ns

    # Tasks by owner ------------------------------------------------------------------------

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], **more: Any
    ) -> asyncio.Task[T]:
        task = asyncio.Task(work, loop=loop, **more)
        self._owned[task] = self._owners[task] = OWNER.get()
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._owned.pop(task, None)

    def tasks_of(self, owner: str) -> list[asyncio.Task[Any]]:
        """Every unfinished task that was begun under an owner, oldest first."""
        return [task for task, whose in self._owned.items() if whose == owner]

    def owner_of(self, task: object) -> str:
        """Under whom a task was begun, finished or not; "" of what is no task of this loop."""
        return self._owners.get(task, "") if isinstance(task, asyncio.Task) else ""

    # Connections ---------------------------------------------------------------------------

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **_: object,
    ) -> Server:
        return self.net.listen(f"{host or '127.0.0.1'}:{port or self.net.free_port()}",
                               protocol_factory)  # fmt: skip

    async def create_unix_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        path: str | None = None,
        **_: object,
    ) -> Server:
        return self.net.listen(path or "", protocol_factory)

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **_: object,
    ) -> tuple[Wire, asyncio.BaseProtocol]:
        return await self.net.connect(f"{host}:{port}", protocol_factory, OWNER.get())

    async def create_unix_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        path: str | None = None,
        **_: object,
    ) -> tuple[Wire, asyncio.BaseProtocol]:
        return await self.net.connect(path or "", protocol_factory, OWNER.get())

    # What asyncio asks of a loop with a selector --------------------------------------------

    def _process_events(self, event_list: list[object]) -> None:
        return

    def _write_to_self(self) -> None:
        return

    def finish(self) -> None:
        """Cancel what is left, let it clean up, and close."""
        for _ in range(CLEANING_MAX):
            left = [task for task in self._owned if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self.run_until_complete(_settled(left))
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()


async def _settled(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def run_virtually(work: Callable[[VirtualLoop], Awaitable[T]], net: Net | None = None) -> T:
    """Run a coroutine on a loop of its own to its end."""
    loop = VirtualLoop(net)

    async def main() -> T:
        return await work(loop)

    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main())
    finally:
        try:
            loop.finish()
        finally:
            asyncio.set_event_loop(None)

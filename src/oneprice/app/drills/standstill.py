"""How long the machine held a drill up: a stopped process, a core that others had."""

import asyncio
import contextlib
import time

LOOK_S = 0.05
USUAL_S = 0.02  # no sleep ends to the millisecond


class Standstill:
    """Counts from `begin` to `end`, without the time in which this process was at work."""

    def __init__(self) -> None:
        self.ms = 0.0
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            began, worked = time.monotonic(), time.process_time()
            await asyncio.sleep(LOOK_S)
            late = time.monotonic() - began - LOOK_S - (time.process_time() - worked)
            if late > USUAL_S:
                self.ms += late * 1000

"""Whether the machine stood still: what was timed meanwhile says nothing of the program."""

import contextlib
import threading
import time
from pathlib import Path

TICK_S = 0.02
GAP_S = 0.1  # between two ticks of a thread that only sleeps
WAITED_S = 0.25  # in line for a processor, of all threads that had something to do
THREADS = Path("/proc/self/task")


class Watch:
    """`stood_still` once the machine did, for so long that a test of times is void."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._gap_s = 0.0
        self._waited_s = _waited_s()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def _tick(self) -> None:
        before = time.monotonic()
        while not self._over.wait(TICK_S):
            now = time.monotonic()
            self._gap_s = max(self._gap_s, now - before - TICK_S)
            before = now

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    @property
    def stood_still(self) -> bool:
        return self._gap_s > GAP_S or _waited_s() - self._waited_s > WAITED_S


def _waited_s() -> float:
    """How long our threads were ready and got no processor, where the system counts it."""
    waited = 0
    for counts in THREADS.glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # it ended, or is not counted
            waited += int(counts.read_text().split()[1])
    return waited / 1e9

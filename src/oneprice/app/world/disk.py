"""A disk in memory: it can be full, slow, take a part, and see its process killed at any byte.

What was written survives the process, as on a real one. Two disks that
were told the same hold the same.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

from oneprice.model.units import SECOND
from oneprice.store.disk import Locked
from oneprice.twin.chance import Chance


class Killed(BaseException):
    """Our process died here; nothing of it runs on."""


class MemoryDisk:
    """Stands where `store.disk.SystemDisk` stands."""

    def __init__(self, seed: int, stall: Callable[[int], None]) -> None:
        self.files: dict[str, bytearray] = {}
        self.writes = self.refused = self.stalled = 0
        self.full_until = self.slow_until = 0  # by the world's clock, nanoseconds
        self.slow_ns = 0
        self.now: Callable[[], int] = lambda: 0
        self.mute = False  # the process that wrote here is dead: nothing it does happens
        self.kill_in_write: Callable[[], None] | None = None  # armed: dies inside the next write
        self._stall = stall
        self._chance = Chance(seed, "disk")
        self._open: dict[int, str] = {}
        self._locks: dict[str, int] = {}
        self._number = 2

    # The protocol --------------------------------------------------------------------------

    def make(self, directory: Path) -> None:
        return

    def names(self, directory: Path) -> list[str]:
        prefix = str(directory) + "/"
        return [path.removeprefix(prefix) for path in self.files if path.startswith(prefix)]

    def read(self, path: Path) -> bytes:
        return bytes(self._file(str(path)))

    def create(self, path: Path) -> int:
        self._alive()
        self._refuse_if_full()
        if str(path) in self.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self.files[str(path)] = bytearray()
        return self._opened(str(path))

    def write(self, file: int, data: bytes) -> int:
        self._alive()
        self.writes += 1
        content = self._file(self._open[file])
        if self.kill_in_write is not None:
            kill, self.kill_in_write = self.kill_in_write, None
            content += data[: self._chance.whole(0, len(data))]
            kill()
            raise Killed("inside a write")
        if self.now() < self.full_until:
            # The last bytes of a disk may still take a part.
            taken = self._chance.whole(0, len(data) - 1) if self._chance.hits(0.5) else 0
            if not taken:
                self._refuse_if_full()
            content += data[:taken]
            return taken
        if self.now() < self.slow_until:
            self.stalled += 1
            self._stall(int(self.slow_ns * self._chance.uniform()))
        content += data
        return len(data)

    def truncate(self, file: int, size: int) -> None:
        self._alive()
        del self._file(self._open[file])[size:]

    def sync(self, file: int) -> None:
        self._file(self._open[file])

    def close(self, file: int) -> None:
        path = self._open.pop(file, "")
        if self._locks.get(path) == file:
            del self._locks[path]

    def cut(self, path: Path, size: int) -> None:
        del self._file(str(path))[size:]

    def remove(self, path: Path) -> None:
        self._file(str(path))
        del self.files[str(path)]

    def sync_names(self, directory: Path) -> None:
        return

    def lock(self, path: Path) -> int:
        if str(path) in self._locks:
            raise Locked(0)
        self.files.setdefault(str(path), bytearray())
        file = self._opened(str(path))
        self._locks[str(path)] = file
        return file

    def every(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle | None = None

        def again() -> None:
            nonlocal handle
            if handle is not None:
                work()
            handle = loop.call_later(seconds, again)

        def end() -> None:
            if handle is not None:
                handle.cancel()

        again()
        return end

    # The world's part ----------------------------------------------------------------------

    def process_died(self) -> None:
        """The system closes its files and lets go of its locks; another may begin."""
        self.mute = False
        self.kill_in_write = None
        self._open.clear()
        self._locks.clear()

    def fill(self, until: int) -> None:
        self.full_until = until

    def slow_down(self, until: int, ms: int) -> None:
        self.slow_until, self.slow_ns = until, ms * SECOND // 1000

    def _alive(self) -> None:
        if self.mute:
            raise Killed("dead already")

    def _opened(self, path: str) -> int:
        self._number += 1
        self._open[self._number] = path
        return self._number

    def _file(self, path: str) -> bytearray:
        content = self.files.get(path)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return content

    def _refuse_if_full(self) -> None:
        if self.now() < self.full_until:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

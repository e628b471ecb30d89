"""What the journal asks of a disk, and the real one; another can stand in for it."""

import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_PID_BYTES_MAX = 20
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND


class Locked(Exception):
    """Somebody else holds a lock; `pid` is 0 where he did not say who he is."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"locked by process {pid}" if pid else "locked")
        self.pid = pid


class Disk(Protocol):
    """Files by path, open ones by number. Every method raises OSError where the disk refuses.

    `write` puts bytes behind the last ones and may take fewer than it is given. What was written
    survives the process; what was synced, a power cut.
    """

    def make(self, directory: Path, /) -> None: ...
    def names(self, directory: Path, /) -> list[str]: ...
    def read(self, path: Path, /) -> bytes: ...
    def create(self, path: Path, /) -> int:
        """A new empty file, only for its owner's eyes; FileExistsError where there is one."""
        ...

    def write(self, file: int, data: bytes, /) -> int: ...
    def truncate(self, file: int, size: int, /) -> None: ...
    def sync(self, file: int, /) -> None: ...
    def close(self, file: int, /) -> None: ...
    def cut(self, path: Path, size: int, /) -> None:
        """Shorten a file that nobody has open, and wait until the disk has it."""
        ...

    def remove(self, path: Path, /) -> None: ...
    def sync_names(self, directory: Path, /) -> None:
        """Wait until the disk knows which files are in the directory."""
        ...

    def lock(self, path: Path, /) -> int:
        """An open file that nobody else can lock until it is closed; raises Locked."""
        ...

    def every(self, seconds: float, work: Callable[[], None], /) -> Callable[[], None]:
        """Do something again and again beside everything else; call what comes back to end it."""
        ...


def _sync(file: int) -> None:
    if sys.platform == "darwin":  # there fsync does not empty the drive's own memory
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(file)


class SystemDisk:
    """The operating system's files."""

    write = staticmethod(os.write)
    truncate = staticmethod(os.ftruncate)
    sync = staticmethod(_sync)
    close = staticmethod(os.close)
    remove = staticmethod(os.unlink)
    read = staticmethod(Path.read_bytes)
    names = staticmethod(os.listdir)

    def make(self, directory: Path) -> None:
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sync_names(directory.parent)

    def create(self, path: Path) -> int:
        return os.open(path, _APPENDING, 0o600)

    def cut(self, path: Path, size: int) -> None:
        file = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(file, size)
            os.fsync(file)
        finally:
            os.close(file)

    def sync_names(self, directory: Path) -> None:
        file = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def lock(self, path: Path) -> int:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, _PID_BYTES_MAX).strip()
            os.close(file)
            raise Locked(int(holder) if holder.isdigit() else 0) from None
        except OSError:
            os.close(file)
            raise
        with contextlib.suppress(OSError):  # a full disk must not stop who only says his name
            os.ftruncate(file, 0)
            os.write(file, b"%d\n" % os.getpid())
        return file

    def every(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        ended = threading.Event()

        def again() -> None:
            while not ended.wait(seconds):
                work()

        thread = threading.Thread(target=again, name="journal", daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            thread.join()

        return end


SYSTEM_DISK = SystemDisk()

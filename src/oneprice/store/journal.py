"""The journal: what we learned of our money and what we decided, on disk before we act on it.

A directory of segments (`store.segments` tells their form). Every opening continues what is there
in a segment of its own. One write per record, straight to the file: a killed process loses
nothing that was appended. What a power cut can lose is the policy's choice:

  never     everything since this segment began
  interval  what was appended in the last `interval_ms` and during the sync that was running
  always    nothing: `append` waits for the disk
"""

import contextlib
import errno
import os
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec

from oneprice.store.disk import SYSTEM_DISK, Disk, Locked
from oneprice.store.segments import (
    HEADER_BYTES,
    JournalDamaged,
    Place,
    Segment,
    end_of,
    header,
    linked,
    read_journal,
    read_segments,
    record,
    segment_path,
)

__all__ = [
    "JournalDamaged",
    "JournalLag",
    "JournalLocked",
    "JournalWriter",
    "Segment",
    "Sync",
    "read_journal",
    "read_segments",
]

Sync = Literal["never", "interval", "always"]
LOCK = "lock"
SEGMENT_BYTES = 16 << 20


class JournalLocked(ValueError):
    """Another process writes this journal; `pid` is 0 where it did not say which."""

    def __init__(self, directory: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"journal {directory}: {who} is writing it")
        self.pid = pid


class JournalLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far the disk is behind, for telemetry; counted since the journal was opened."""

    records: int
    bytes: int
    unsynced_bytes: int
    sync_seconds: float  # how long the last sync took, 0 before the first


class JournalWriter:
    """Begins a journal or continues one. `found` says what was there, `start` counts openings.

    Raises JournalDamaged where an old journal is not sound, JournalLocked while another writer
    has it, OSError where the disk refuses.
    """

    def __init__(
        self,
        directory: Path,
        *,
        sync: Sync = "never",
        interval_ms: int = 200,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk = SYSTEM_DISK,
    ) -> None:
        self._directory = directory
        self._disk = disk
        self._write = disk.write
        self._always = sync == "always"
        self._segment_bytes = segment_bytes
        self._syncing = threading.Lock()  # held while a file is synced, and while it changes
        self._late: OSError | None = None  # of a sync beside us: told by the next append
        self._torn = False  # a half record could not be taken back yet
        self._records = self._bytes = self._synced = 0
        self._sync_seconds = 0.0
        disk.make(directory)
        self._lock = _locked(directory, disk)
        try:
            self.found = _mended(directory, disk)
            self.start = self.found.start + 1
            self._number = self.found.number
            self._chain = self.found.chain
            self._file = self._begun()
        except BaseException:
            disk.close(self._lock)
            raise
        self._end = (
            disk.every(interval_ms / 1000, self._sync_beside) if sync == "interval" else None
        )

    def append(self, payload: bytes) -> None:
        """Returns when the record is with the system, with `always` on the disk.

        Raises OSError where the disk refuses: the journal is then as it was before, and may be
        tried again. Raises ValueError for a record too long to be one.
        """
        if self._late is not None or self._torn:
            self._clear()
        chain = linked(self._chain, payload)
        data = record(chain, payload)
        length = len(data)
        if self._size + length > self._segment_bytes and self._size > HEADER_BYTES:
            self._turn_over()
            chain = linked(self._chain, payload)
            data = record(chain, payload)
        try:
            written = self._write(self._file, data)
            if written != length:
                _write_rest(self._disk, self._file, data, written)
            if self._always:
                self._sync()
        except BaseException:
            self._take_back()
            raise
        self._chain = chain
        self._size += length
        self._bytes += length
        self._records += 1
        if self._always:
            self._synced = self._bytes

    @property
    def lag(self) -> JournalLag:
        return JournalLag(
            records=self._records,
            bytes=self._bytes,
            unsynced_bytes=self._bytes - self._synced,
            sync_seconds=self._sync_seconds,
        )

    def sync(self) -> None:
        """Wait until the disk has everything appended. Raises OSError where it refuses."""
        with self._syncing:
            if self._file >= 0:
                reached = self._bytes
                self._sync()
                self._synced = reached

    def close(self) -> None:
        """Sync and let go of the journal; a second close does nothing."""
        if self._file < 0:
            return
        if self._end is not None:
            self._end()
        try:
            self.sync()
        finally:
            self._disk.close(self._file)
            self._disk.close(self._lock)
            self._file = -1

    # Inside ------------------------------------------------------------------------------

    def _sync(self) -> None:
        began = time.perf_counter()
        self._disk.sync(self._file)
        self._sync_seconds = time.perf_counter() - began

    def _sync_beside(self) -> None:
        if self._bytes == self._synced:
            return
        try:
            self.sync()
        except OSError as error:
            self._late = error

    def _take_back(self) -> None:
        """Cut what a failed append left behind; at the next append again where it fails."""
        self._torn = True
        with contextlib.suppress(OSError):
            self._disk.truncate(self._file, self._size)
            self._torn = False

    def _clear(self) -> None:
        """What is left of an earlier failure; raises OSError where it goes on."""
        late, self._late = self._late, None
        if late is not None:
            raise late
        self._disk.truncate(self._file, self._size)
        self._torn = False

    def _turn_over(self) -> None:
        """The next segment. The full one is on the disk before: no power cut leaves a hole."""
        with self._syncing:
            if self._bytes != self._synced:
                self._sync()
                self._synced = self._bytes
            full = self._file
            self._file = self._begun()
        self._disk.close(full)

    def _begun(self) -> int:
        """A new segment with its header; where that fails, nothing has changed."""
        disk, number = self._disk, self._number + 1
        head = header(number, self.start, self._chain)
        path = segment_path(self._directory, number)
        file = disk.create(path)
        try:
            _write_rest(disk, file, head, 0)
            disk.sync(file)
            disk.sync_names(self._directory)
        except BaseException:
            disk.close(file)
            with contextlib.suppress(OSError):
                disk.remove(path)
            raise
        self._number, self._size = number, len(head)
        self._chain = linked(self._chain, head)
        return file


def _write_rest(disk: Disk, file: int, data: bytes, written: int) -> None:
    """A disk that took a part may take the rest, or say why not."""
    while written < len(data):
        done = disk.write(file, data[written:])
        if not done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += done


def _locked(directory: Path, disk: Disk) -> int:
    try:
        return disk.lock(directory / LOCK)
    except Locked as error:
        raise JournalLocked(directory, error.pid) from None


def _mended(directory: Path, disk: Disk) -> Place:
    """Where an old journal ends, its torn tail cut off; raises JournalDamaged.

    What is kept is on the disk afterwards: a segment follows it, and only the last may be torn.
    """
    place = end_of(directory, disk)
    if place.number:
        path = segment_path(directory, place.number)
        if place.good_bytes:
            disk.cut(path, place.good_bytes)
        else:
            disk.remove(path)
            place.number -= 1
    return place

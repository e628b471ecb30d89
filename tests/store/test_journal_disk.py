"""The journal on disks that are full, fail or lose power, and in processes that are killed."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.store.disk import Disk, Locked
from oneprice.store.journal import JournalWriter, Sync, read_journal

HOME = Path("j")


class MemoryDisk:
    """Files in memory. `room` is what may still be written, `faults` which calls fail.

    `power_cut` keeps what was synced and a beginning of the rest.
    """

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.takes = 1 << 30  # bytes per write
        self.faults: set[str] = set()
        self.files: dict[Path, bytearray] = {}
        self.synced: dict[Path, bytes] = {}
        self.open: dict[int, Path] = {}
        self.locks: set[Path] = set()
        self.work: list[Callable[[], None]] = []
        self._next = 3

    def _try(self, call: str, code: int = errno.EIO) -> None:
        if call in self.faults:
            raise OSError(code, os.strerror(code))

    def make(self, directory: Path) -> None:
        self._try("make")

    def names(self, directory: Path) -> list[str]:
        return [path.name for path in self.files]

    def read(self, path: Path) -> bytes:
        return bytes(self.files[path])

    def create(self, path: Path) -> int:
        self._try("create")
        if path in self.files:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        self.files[path] = bytearray()
        return self._opened(path)

    def _opened(self, path: Path) -> int:
        self._next += 1
        self.open[self._next] = path
        return self._next

    def write(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: min(self.room, self.takes)]
        self.room -= len(part)
        self.files[self.open[file]] += part
        return len(part)

    def truncate(self, file: int, size: int) -> None:
        self._try("truncate")
        content = self.files[self.open[file]]
        self.room += len(content) - size
        del content[size:]

    def sync(self, file: int) -> None:
        self._try("sync")
        path = self.open[file]
        self.synced[path] = bytes(self.files[path])

    def close(self, file: int) -> None:
        self.locks.discard(self.open.pop(file))

    def cut(self, path: Path, size: int) -> None:
        self._try("cut")
        del self.files[path][size:]
        self.synced[path] = bytes(self.files[path])

    def remove(self, path: Path) -> None:
        self._try("remove")
        self.room += len(self.files.pop(path))
        self.synced.pop(path, None)

    def sync_names(self, directory: Path) -> None:
        self._try("sync_names")

    def lock(self, path: Path) -> int:
        if path in self.locks:
            raise Locked(0)
        self.locks.add(path)
        return self._opened(path)

    def every(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        self.work.append(work)
        return self.work.clear

    def power_cut(self, share: float) -> "MemoryDisk":
        after = MemoryDisk()
        for path, content in self.files.items():
            kept = self.synced.get(path)
            if kept is not None:
                more = int((len(content) - len(kept)) * share)
                after.files[path] = content[: len(kept) + more]
                after.synced[path] = bytes(after.files[path])
        return after


def records(disk: Disk) -> list[bytes]:
    return list(read_journal(HOME, disk))


def numbered(count: int) -> list[bytes]:
    return [b"record %d" % number for number in range(count)]


@settings(max_examples=150, deadline=None)
@given(
    room=st.integers(0, 900), takes=st.integers(1, 200),
    segment=st.integers(80, 400), later=st.integers(0, 500),
)  # fmt: skip
def test_a_full_disk_loses_nothing_that_was_appended(
    room: int, takes: int, segment: int, later: int
) -> None:
    disk = MemoryDisk()
    journal = JournalWriter(HOME, segment_bytes=segment, disk=disk)
    disk.room, disk.takes = room, takes
    done: list[bytes] = []
    for number, record in enumerate(numbered(30)):
        if number == 20:
            disk.room += later
        before = {path: bytes(content) for path, content in disk.files.items()}
        try:
            journal.append(record)
            done.append(record)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            left = {path: disk.files[path] for path in before}
            assert left == before, "the refused record left something behind"
        assert records(disk) == done
    disk.room = 1 << 20
    journal.append(b"again")
    journal.close()
    assert records(disk) == [*done, b"again"]


def test_a_half_record_that_cannot_be_taken_back_at_once_is_taken_back_later() -> None:
    disk = MemoryDisk()
    journal = JournalWriter(HOME, disk=disk)
    journal.append(b"kept")
    disk.room, disk.takes = 10, 10
    disk.faults = {"truncate"}
    for _ in range(2):
        with pytest.raises(OSError):
            journal.append(b"refused")
    assert records(disk) == [b"kept"]
    disk.faults, disk.room, disk.takes = set(), 1 << 20, 1 << 20
    journal.append(b"next")
    assert records(disk) == [b"kept", b"next"]


def test_a_record_that_could_not_be_synced_is_not_in_the_journal() -> None:
    disk = MemoryDisk()
    journal = JournalWriter(HOME, sync="always", disk=disk)
    journal.append(b"kept")
    disk.faults = {"sync"}
    with pytest.raises(OSError):
        journal.append(b"refused")
    assert records(disk) == [b"kept"]
    disk.faults = set()
    journal.append(b"next")
    assert records(disk) == [b"kept", b"next"]


def test_a_sync_that_failed_beside_is_told_by_the_next_append() -> None:
    disk = MemoryDisk()
    journal = JournalWriter(HOME, sync="interval", disk=disk)
    journal.append(b"kept")
    disk.faults = {"sync"}
    disk.work[0]()
    assert journal.lag.unsynced_bytes
    disk.faults = set()
    with pytest.raises(OSError):
        journal.append(b"refused")
    disk.work[0]()
    journal.append(b"next")
    assert records(disk) == [b"kept", b"next"]


@pytest.mark.parametrize("call", ["make", "create", "sync", "sync_names"])
def test_a_start_that_fails_leaves_the_journal_as_it_was_and_unlocked(call: str) -> None:
    disk = MemoryDisk()
    first = JournalWriter(HOME, disk=disk)
    first.append(b"kept")
    first.close()
    before = {path: bytes(content) for path, content in disk.files.items()}
    disk.faults = {call}
    with pytest.raises(OSError):
        JournalWriter(HOME, disk=disk)
    assert disk.files == before
    disk.faults = set()
    JournalWriter(HOME, disk=disk).close()
    assert records(disk) == [b"kept"]


@settings(max_examples=150, deadline=None)
@given(
    sync=st.sampled_from(["never", "interval", "always"]), segment=st.integers(80, 400),
    share=st.floats(0, 1), crashes=st.lists(st.integers(0, 12), max_size=4),
    ticks=st.integers(1, 5),
)  # fmt: skip
def test_a_power_cut_loses_what_the_policy_says_and_the_next_start_goes_on(
    sync: Sync, segment: int, share: float, crashes: list[int], ticks: int
) -> None:
    disk = MemoryDisk()
    kept: list[bytes] = []
    for start, count in enumerate([*crashes, 3]):
        journal = JournalWriter(HOME, sync=sync, segment_bytes=segment, disk=disk)
        sure = len(kept)  # what was there at the start was synced by it
        for number in range(count):
            record = b"start %d record %d" % (start, number)
            journal.append(record)
            kept.append(record)
            if sync == "always":
                sure = len(kept)
            elif sync == "interval" and number % ticks == 0:
                disk.work[0]()
                sure = len(kept)
        disk = disk.power_cut(share)
        found = records(disk)
        assert found == kept[: len(found)]
        assert len(found) >= sure
        kept = found


CHILD = """
import sys
from pathlib import Path
from oneprice.store.journal import JournalWriter
journal = JournalWriter(Path(sys.argv[1]), sync=sys.argv[2], segment_bytes=20_000)
number = int(sys.argv[3])
while True:
    number += 1
    journal.append(b"%d " % number + b"x" * (number * 37 % 2000))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("sync", ["never", "interval", "always"])
def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, sync: str) -> None:
    chance = random.Random(4)
    last = 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "j"), sync, str(last)],
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            first = [child.stdout.readline() for _ in range(8)]
            time.sleep(chance.uniform(0.0, 0.05))
            child.send_signal(signal.SIGKILL)
            told = b"".join(first) + child.stdout.read()
        acknowledged = int(told[: told.rindex(b"\n")].split()[-1])
        numbers = [int(record.split()[0]) for record in read_journal(tmp_path / "j")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert acknowledged <= len(numbers) <= acknowledged + 1
        last = len(numbers)
    assert last >= 32

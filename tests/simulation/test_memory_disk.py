"""The disk in memory: full, slow, torn by a death inside a write; the real journal lives on it."""

from pathlib import Path

import pytest

from oneprice.app.world.disk import Killed, MemoryDisk
from oneprice.store.journal import JournalLocked, JournalWriter, read_journal

HERE = Path("/session/journal")


def disk_of(seed: int = 1) -> tuple[MemoryDisk, list[int]]:
    stalls: list[int] = []
    return MemoryDisk(seed, stalls.append), stalls


def test_a_journal_written_here_is_read_again() -> None:
    disk, _ = disk_of()
    writer = JournalWriter(HERE, disk=disk)
    for number in range(50):
        writer.append(b"record %d" % number)
    writer.close()
    assert list(read_journal(HERE, disk)) == [b"record %d" % number for number in range(50)]


@pytest.mark.parametrize("seed", range(30))
def test_death_inside_a_write_leaves_a_torn_tail_that_the_next_start_cuts(seed: int) -> None:
    disk, _ = disk_of(seed)
    writer = JournalWriter(HERE, disk=disk)
    writer.append(b"first")

    def kill() -> None:
        disk.mute = True

    disk.kill_in_write = kill
    with pytest.raises(Killed):
        writer.append(b"second" * 20)
    with pytest.raises(Killed):
        writer.append(b"from the grave")
    disk.process_died()
    following = JournalWriter(HERE, disk=disk)
    following.append(b"third")
    following.close()
    found = list(read_journal(HERE, disk))
    assert found in ([b"first", b"third"], [b"first", b"second" * 20, b"third"])


def test_a_full_disk_refuses_and_keeps_what_it_has() -> None:
    disk, _ = disk_of()
    now = [0]
    disk.now = lambda: now[0]
    writer = JournalWriter(HERE, disk=disk)
    writer.append(b"first")
    disk.fill(100)
    for _ in range(5):
        with pytest.raises(OSError, match="No space left"):
            writer.append(b"second")
    now[0] = 100
    writer.append(b"third")
    writer.close()
    assert list(read_journal(HERE, disk)) == [b"first", b"third"]


def test_a_slow_disk_blocks_whoever_writes() -> None:
    disk, stalls = disk_of()
    disk.slow_down(1 << 60, 50)
    writer = JournalWriter(HERE, disk=disk)
    for _ in range(20):
        writer.append(b"x")
    assert len(stalls) >= 20
    assert 0 <= min(stalls) < max(stalls) <= 50_000_000


def test_a_lock_is_let_go_when_its_process_dies() -> None:
    disk, _ = disk_of()
    JournalWriter(HERE, disk=disk)
    with pytest.raises(JournalLocked):
        JournalWriter(HERE, disk=disk)
    disk.process_died()
    JournalWriter(HERE, disk=disk).close()

"""The journal continues over starts, shares with nobody and says how far the disk is behind."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oneprice.store import segments
from oneprice.store.journal import (
    JournalLocked,
    JournalWriter,
    Sync,
    read_journal,
    read_segments,
)

RECORDS = [b"first", b"", b"x" * 1000, b"last"]


def written(directory: Path, records: list[bytes], **options: int) -> None:
    journal = JournalWriter(directory, **options)
    for record in records:
        journal.append(record)
    journal.close()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written(tmp_path / "j", RECORDS)
    assert list(read_journal(tmp_path / "j")) == RECORDS


@pytest.mark.parametrize("sync", ["never", "interval", "always"])
def test_a_record_is_in_the_file_before_append_returns(tmp_path: Path, sync: Sync) -> None:
    journal = JournalWriter(tmp_path / "j", sync=sync)
    journal.append(b"an intent")
    assert list(read_journal(tmp_path / "j")) == [b"an intent"]
    journal.close()


def test_every_start_continues_in_a_segment_of_its_own(tmp_path: Path) -> None:
    for number in range(1, 4):
        written(tmp_path / "j", [b"%d" % number])
    found = list(read_segments(tmp_path / "j"))
    assert [(s.number, s.start, s.payloads) for s in found] == [
        (1, 1, (b"1",)), (2, 2, (b"2",)), (3, 3, (b"3",)),
    ]  # fmt: skip


def test_the_writer_says_what_it_found(tmp_path: Path) -> None:
    written(tmp_path / "j", RECORDS)
    with (tmp_path / "j" / "000001.journal").open("ab") as file:
        file.write(b"half a rec")
    journal = JournalWriter(tmp_path / "j")
    assert (journal.start, journal.found.records, journal.found.torn_bytes) == (2, 4, 10)
    journal.close()


def test_a_segment_ends_at_a_size_and_the_start_goes_on(tmp_path: Path) -> None:
    written(tmp_path / "j", [b"x" * 300] * 10, segment_bytes=1000)
    found = list(read_segments(tmp_path / "j"))
    assert [len(s.payloads) for s in found] == [2, 2, 2, 2, 2]
    assert {s.start for s in found} == {1}


def test_a_record_larger_than_a_segment_has_one_to_itself(tmp_path: Path) -> None:
    records = [b"a", b"x" * 5000, b"b"]
    written(tmp_path / "j", records, segment_bytes=1000)
    assert list(read_journal(tmp_path / "j")) == records
    assert len(list(read_segments(tmp_path / "j"))) == 3


def test_two_writers_in_one_process_are_one_too_many(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "j")
    with pytest.raises(JournalLocked, match=f"process {os.getpid()} is writing it"):
        JournalWriter(tmp_path / "j")
    journal.close()
    JournalWriter(tmp_path / "j").close()


def test_another_process_is_named_and_its_end_frees_the_journal(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from oneprice.store.journal import JournalWriter\n"
        "journal = JournalWriter(Path(sys.argv[1])); print('open', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "j")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(JournalLocked) as refused:
            JournalWriter(tmp_path / "j")
        assert refused.value.pid == child.pid
        child.kill()
    JournalWriter(tmp_path / "j").close()


def test_what_the_disk_does_not_have_yet_is_told(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "j", sync="never")
    journal.append(b"x" * 72)
    assert (journal.lag.records, journal.lag.bytes, journal.lag.unsynced_bytes) == (1, 100, 100)
    journal.sync()
    assert journal.lag.unsynced_bytes == 0
    assert journal.lag.sync_seconds > 0
    journal.close()


def test_always_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "j", sync="always")
    journal.append(b"x")
    assert journal.lag.unsynced_bytes == 0
    assert journal.lag.sync_seconds > 0
    journal.close()


def test_interval_syncs_beside_the_writer_and_stops_with_it(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "j", sync="interval", interval_ms=5)
    journal.append(b"x")
    waited = threading.Event()
    for _ in range(400):
        if not journal.lag.unsynced_bytes:
            break
        waited.wait(0.01)
    assert journal.lag.unsynced_bytes == 0
    journal.close()
    assert not [t for t in threading.enumerate() if t.name == "journal"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    written(tmp_path / "j", RECORDS)
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0
    assert (tmp_path / "j" / "000001.journal").stat().st_mode & 0o077 == 0


def test_a_record_too_long_to_be_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "RECORD_BYTES_MAX", 100)
    journal = JournalWriter(tmp_path / "j")
    with pytest.raises(ValueError, match="record of 101 bytes, at most 100"):
        journal.append(bytes(101))
    journal.append(bytes(100))
    journal.close()
    assert list(read_journal(tmp_path / "j")) == [bytes(100)]

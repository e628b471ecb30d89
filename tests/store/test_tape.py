"""The tape gives back what it was given, survives a torn end and refuses a damaged middle."""

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.store.contract import NotATape, Record, TapeDamaged
from oneprice.store.tape import TapeWriter, read_tape, tape_state

RECORDS = st.lists(
    st.builds(
        Record,
        at=st.integers(-(2**63), 2**63 - 1),
        source=st.text(max_size=20),
        kind=st.integers(0, 65535),
        payload=st.binary(max_size=300),
    ),
    max_size=12,
)
BATCHES = st.lists(RECORDS, max_size=4)


def write(path: Path, batches: list[list[Record]]) -> None:
    writer = TapeWriter(path)
    for batch in batches:
        for record in batch:
            writer.append(record.kind, record.source, record.at, record.payload)
        writer.flush()
    writer.close()


def flat(batches: list[list[Record]]) -> list[Record]:
    return [record for batch in batches for record in batch]


@settings(deadline=None)
@given(BATCHES)
def test_what_was_written_is_read_back_in_order(batches: list[list[Record]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tape"
        write(path, batches)
        assert list(read_tape(path)) == flat(batches)
        assert tape_state(path).torn_bytes == 0


@settings(max_examples=150, deadline=None)
@given(BATCHES, st.data())
def test_any_torn_tail_is_cut_and_whole_segments_before_it_remain(
    batches: list[list[Record]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tape"
        ends = [0]
        writer = TapeWriter(path)
        for batch in batches:
            for record in batch:
                writer.append(record.kind, record.source, record.at, record.payload)
            writer.flush()
            ends.append(path.stat().st_size)
        writer.close()
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        zeros = data.draw(st.sampled_from([0, 0, 1, 40]))
        path.write_bytes(whole[:cut] + bytes(zeros if cut >= 16 else 0))
        kept = sum(1 for end in ends[1:] if end <= cut)
        expected = flat(batches[:kept])
        found = list(read_tape(path))
        assert found[: len(expected)] == expected
        assert found == flat(batches)[: len(found)]
        TapeWriter(path).close()
        assert list(read_tape(path)) == found
        assert tape_state(path).torn_bytes == 0


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS.filter(bool), min_size=2, max_size=3), st.data())
def test_a_damaged_middle_is_never_served_as_if_it_were_good(
    batches: list[list[Record]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tape"
        write(path, batches[:-1])
        middle = path.stat().st_size
        write(path, batches[-1:])
        whole = bytearray(path.read_bytes())
        place = data.draw(st.integers(16, middle - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        served = []
        with pytest.raises(TapeDamaged) as caught:
            for record in read_tape(path):
                served.append(record)
        assert served == flat(batches)[: len(served)]
        assert 16 <= caught.value.place <= place
        with pytest.raises(TapeDamaged):
            TapeWriter(path)


def test_a_continued_tape_keeps_its_old_records(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    write(path, [[Record(1, "bybit/linear", 1, b"one")]])
    write(path, [[Record(2, "bybit/linear", 1, b"two")]])
    assert [record.payload for record in read_tape(path)] == [b"one", b"two"]
    assert tape_state(path).segments == 2


def test_a_foreign_file_and_an_unknown_version_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    path.write_bytes(b"PK\x03\x04 something else entirely")
    with pytest.raises(NotATape, match="not a oneprice tape"):
        list(read_tape(path))
    path.write_bytes(b"ONEPRICE\x09\x00" + bytes(6))
    with pytest.raises(NotATape, match="version 9"):
        list(read_tape(path))


def test_a_number_the_format_cannot_hold_is_refused_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    writer = TapeWriter(path)
    writer.append(1, "a/b", 5, b"good")
    with pytest.raises(ValueError, match="kind 70000"):
        writer.append(70000, "a/b", 5, b"bad")
    with pytest.raises(ValueError, match="at most 255"):
        writer.append(1, "x" * 300, 5, b"bad")
    writer.close()
    writer.close()
    assert list(read_tape(path)) == [Record(5, "a/b", 1, b"good")]


def test_records_appended_while_another_thread_flushes_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    writer = TapeWriter(path)
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            writer.flush()

    thread = threading.Thread(target=flush)
    thread.start()
    for number in range(20_000):
        writer.append(1, "a/b", number, b"x")
    done.set()
    thread.join()
    writer.close()
    assert [record.at for record in read_tape(path)] == list(range(20_000))


def test_a_disk_that_refuses_leaves_the_tape_whole_and_the_records_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tape"
    writer = TapeWriter(path)
    writer.append(1, "a/b", 5, b"one")
    from oneprice.store import tape

    real = tape._written

    def refused(file: object, data: bytes) -> None:
        real(file, data[:7])  # type: ignore[arg-type]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tape, "_written", refused)
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    monkeypatch.setattr(tape, "_written", real)
    assert list(read_tape(path)) == []
    writer.close()
    assert list(read_tape(path)) == [Record(5, "a/b", 1, b"one")]

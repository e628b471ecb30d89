"""The journal keeps every whole record, cuts a torn end and refuses damage in the middle."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.store.journal import JournalDamaged, JournalWriter, read_journal

RECORDS = [b"first", b"", b"x" * 1000, b"last"]


def written(path: Path, records: list[bytes]) -> bytes:
    journal = JournalWriter(path)
    for record in records:
        journal.append(record)
    journal.close()
    return path.read_bytes()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written(tmp_path / "j", RECORDS)
    assert list(read_journal(tmp_path / "j")) == RECORDS


def test_a_record_is_in_the_file_before_append_returns(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "j")
    journal.append(b"an intent")
    assert list(read_journal(tmp_path / "j")) == [b"an intent"]
    journal.close()


@pytest.mark.parametrize("durable", [False, True])
def test_an_old_journal_is_never_overwritten(tmp_path: Path, durable: bool) -> None:
    JournalWriter(tmp_path / "j", durable=durable).close()
    with pytest.raises(FileExistsError):
        JournalWriter(tmp_path / "j")


def test_every_torn_end_is_cut_and_nothing_before_it(tmp_path: Path) -> None:
    whole = written(tmp_path / "j", RECORDS)
    for size in range(len(whole)):
        (tmp_path / "torn").write_bytes(whole[:size])
        found = list(read_journal(tmp_path / "torn"))
        assert found == RECORDS[: len(found)]
        assert size < len(whole) - 12 or len(found) == 3


@given(st.data())
def test_damage_before_the_end_is_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    whole = bytearray(written(path, RECORDS))
    place = data.draw(st.integers(16, len(whole) - 13))
    whole[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(whole))
    found: list[bytes] = []
    try:
        for record in read_journal(path):
            found.append(record)
    except JournalDamaged as error:
        assert "byte" in str(error)
    assert found == RECORDS[: len(found)], "a damaged record was served"


def test_another_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"something else entirely")
    with pytest.raises(JournalDamaged, match="not a oneprice journal"):
        list(read_journal(tmp_path / "j"))

"""Whatever is done to a journal's files: served in order, cut at the torn end, or refused."""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.store.journal import JournalDamaged, JournalWriter, read_journal, read_segments
from oneprice.store.segments import HEADER_BYTES, header, linked

STARTS = [[b"a", b"", b"x" * 700], [b"second start"], [b"third", b"y" * 40, b"last record"]]
FLAT = [record for start in STARTS for record in start]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a journal of three starts, by name."""
    directory = tmp_path_factory.mktemp("sound") / "j"
    for records in STARTS:
        write(directory, records)
    return {path.name: path.read_bytes() for path in directory.glob("*.journal")}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "j"


def write(directory: Path, records: list[bytes]) -> None:
    journal = JournalWriter(directory)
    for record in records:
        journal.append(record)
    journal.close()


def laid_out(directory: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def served(directory: Path) -> tuple[list[bytes], JournalDamaged | None]:
    found: list[bytes] = []
    try:
        for payload in read_journal(directory):
            found.append(payload)
    except JournalDamaged as error:
        return found, error
    return found, None


def test_cut_at_any_byte_a_prefix_is_served_and_the_next_start_continues(
    directory: Path, sound: dict[str, bytes]
) -> None:
    whole = sound["000003.journal"]
    counts = []
    for size in range(len(whole) + 1):
        laid_out(directory, sound | {"000003.journal": whole[:size]})
        found, damage = served(directory)
        assert damage is None, f"a tail torn at {size} was refused"
        assert found == FLAT[: len(found)]
        counts.append(len(found))
        write(directory, [b"after the crash"])
        assert served(directory) == ([*found, b"after the crash"], None)
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (4, 7)


def test_room_that_was_never_filled_is_torn_too(
    directory: Path, sound: dict[str, bytes]
) -> None:
    whole = sound["000003.journal"]
    for size in (0, HEADER_BYTES, len(whole)):
        laid_out(directory, sound | {"000003.journal": whole[:size] + bytes(4096)})
        found, damage = served(directory)
        assert damage is None
        write(directory, [b"next"])
        assert served(directory) == ([*found, b"next"], None)


def test_a_record_whose_last_sectors_never_reached_the_disk_is_torn(directory: Path) -> None:
    write(directory, [b"first", b"z" * 3000])
    path = directory / "000001.journal"
    content = path.read_bytes()
    path.write_bytes(content[:1024] + bytes(len(content) - 1024))
    assert served(directory) == ([b"first"], None)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_wrong_byte_is_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, sound: dict[str, bytes], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(sound)))
    content = bytearray(sound[name])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    directory = laid_out(tmp_path_factory.mktemp("flip") / "j", sound | {name: bytes(content)})
    found, damage = served(directory)
    assert found == FLAT[: len(found)], "a damaged record was served"
    assert damage is not None, "the damage went unseen"
    assert damage.path.name == name
    assert damage.place <= place, "the place lies behind the damage"
    assert re.search(r"damaged at byte \d+: .*(found|version)", str(damage))
    with pytest.raises(JournalDamaged):
        JournalWriter(directory)
    assert (directory / name).read_bytes() == bytes(content), "a refused journal was changed"


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_segments_cut_short_before_the_end_are_refused(
    tmp_path_factory: pytest.TempPathFactory, sound: dict[str, bytes], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["000001.journal", "000002.journal"]))
    size = data.draw(st.integers(0, len(sound[name]) - 1))
    cut = sound | {name: sound[name][:size]}
    directory = laid_out(tmp_path_factory.mktemp("cut") / "j", cut)
    found, damage = served(directory)
    assert damage is not None
    assert found == FLAT[: len(found)]
    assert damage.path.name == name or size >= HEADER_BYTES


def renamed(sound: dict[str, bytes], *order: int) -> dict[str, bytes]:
    """The segments of these numbers as 1, 2, 3 ..."""
    return {f"{to:06}.journal": sound[f"{of:06}.journal"] for to, of in enumerate(order, 1)}


@pytest.mark.parametrize("order", [(2, 3), (1, 3), (1, 3, 2), (2, 1, 3), (1, 1, 2), (1, 2, 2, 3)])
def test_segments_gone_swapped_or_doubled_are_refused(
    directory: Path, sound: dict[str, bytes], order: tuple[int, ...]
) -> None:
    _, damage = served(laid_out(directory, renamed(sound, *order)))
    assert damage is not None
    assert "segment number: found" in str(damage)


@pytest.mark.parametrize("gone", ["000001.journal", "000002.journal"])
def test_a_missing_segment_is_named(
    directory: Path, sound: dict[str, bytes], gone: str
) -> None:
    left = {name: content for name, content in sound.items() if name != gone}
    with pytest.raises(JournalDamaged, match=f"{gone}: .*is missing"):
        list(read_segments(laid_out(directory, left)))


def test_a_file_beside_the_segments_is_not_taken_for_one(
    directory: Path, sound: dict[str, bytes]
) -> None:
    copied = sound | {"copy of 000002.journal": sound["000002.journal"]}
    _, damage = served(laid_out(directory, copied))
    assert damage is not None
    assert "copy of 000002.journal" in str(damage)


def test_a_segment_of_another_journal_does_not_follow(
    directory: Path, tmp_path: Path, sound: dict[str, bytes]
) -> None:
    for records in ([b"something"], [b"second start"]):
        write(tmp_path / "other", records)
    foreign = (tmp_path / "other" / "000002.journal").read_bytes()
    _, damage = served(laid_out(directory, sound | {"000002.journal": foreign}))
    assert damage is not None
    assert "chain of what came before" in str(damage)


@pytest.mark.parametrize("start", [0, 3])
def test_a_start_that_does_not_follow_is_refused(
    directory: Path, sound: dict[str, bytes], start: int
) -> None:
    chain = linked(bytes(16), sound["000001.journal"][:HEADER_BYTES])
    for record in STARTS[0]:
        chain = linked(chain, record)
    files = {
        "000001.journal": sound["000001.journal"], "000002.journal": header(2, start, chain),
    }  # fmt: skip
    _, damage = served(laid_out(directory, files))
    assert damage is not None
    assert f"start: found {start}, expected 1 or 2" in str(damage)


def test_a_record_moved_from_elsewhere_breaks_the_chain(directory: Path) -> None:
    write(directory, [b"one", b"two", b"end"])
    path = directory / "000001.journal"
    content, size = path.read_bytes(), 31
    head, one, two, end = (
        content[:HEADER_BYTES],
        *(content[HEADER_BYTES + size * i : HEADER_BYTES + size * (i + 1)] for i in range(3)),
    )
    path.write_bytes(head + two + one + end)
    found, damage = served(directory)
    assert found == []
    assert damage is not None
    assert "chain: found" in str(damage)
    assert damage.place == HEADER_BYTES


def test_another_version_and_another_file_are_named(
    directory: Path, sound: dict[str, bytes]
) -> None:
    first = sound["000001.journal"]
    older = first[:8] + b"\x01" + first[9:]
    _, damage = served(laid_out(directory, sound | {"000001.journal": older}))
    assert damage is not None
    assert "journal version 1; this program reads 2" in str(damage)
    _, damage = served(laid_out(directory, {"000001.journal": b"something else entirely"}))
    assert damage is not None
    assert "not a oneprice journal" in str(damage)


@settings(max_examples=60, deadline=None)
@given(
    starts=st.lists(st.lists(st.binary(max_size=90), max_size=8), min_size=1, max_size=6),
    size=st.integers(60, 400),
)
def test_over_many_starts_and_segments_everything_is_there_in_order(
    tmp_path_factory: pytest.TempPathFactory, starts: list[list[bytes]], size: int
) -> None:
    directory = tmp_path_factory.mktemp("starts") / "j"
    for number, records in enumerate(starts, 1):
        journal = JournalWriter(directory, segment_bytes=size)
        assert journal.start == number
        for record in records:
            journal.append(record)
        journal.close()
    assert list(read_journal(directory)) == [r for records in starts for r in records]
    by_start: dict[int, list[bytes]] = {}
    for segment in read_segments(directory):
        by_start.setdefault(segment.start, []).extend(segment.payloads)
    assert by_start == dict(enumerate(starts, 1))

"""Segments of a journal: their form, the chain that joins them, and what is wrong with them.

Layout, all numbers little-endian:

  file    NNNNNN.journal, numbered from 1 without a gap
  header  magic "1PJOURNL", version u16, two zero bytes, segment u32, start u32,
          chain of everything before (16 bytes), crc32 of these 36 bytes u32
  record  payload length u32, crc32 of the payload u32, chain after this record (16 bytes),
          crc32 of these 24 bytes u32, payload

The chain is blake2b (16 bytes) of the chain before and the payload, or the whole header. `start`
counts the openings by a writer. A write that was cut short can only be at the end of the last
segment: that is torn, and is left out. Anything else that is wrong is refused with its place.
"""

import re
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import msgspec

from oneprice.store.disk import SYSTEM_DISK, Disk

VERSION = 2
SUFFIX = ".journal"
RECORD_BYTES_MAX = 1 << 28
CHAIN_BYTES = 16
SECTOR_BYTES = 512  # a disk writes no less at once
BEGINNING = bytes(CHAIN_BYTES)  # the chain of nothing

_MAGIC = b"1PJOURNL"
_HEADER = struct.Struct("<8sH2xII16s")
_RECORD = struct.Struct("<II16s")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
RECORD_HEAD_BYTES = _RECORD.size + _CRC.size
_NAME = re.compile(r"(\d{6,9})\.journal", re.ASCII)


class JournalDamaged(ValueError):
    """A journal that cannot be trusted from a place on: file and byte, and what is wrong there."""

    def __init__(self, path: Path, place: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {place}: {reason}")
        self.path = path
        self.place = place
        self.reason = reason


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One sound segment; what stands at its end but was not wholly written is only counted."""

    path: Path
    number: int
    start: int  # which opening of the journal wrote it, from 1
    payloads: tuple[bytes, ...]
    good_bytes: int
    torn_bytes: int
    chain: bytes  # after its last record


class Place(msgspec.Struct):
    """How far a journal was read and found sound. Mutable; moved on by `records`."""

    number: int = 0  # of the segment, 0 before the first
    start: int = 0
    chain: bytes = BEGINNING
    records: int = 0
    good_bytes: int = 0  # of this segment
    torn_bytes: int = 0


def header(number: int, start: int, chain: bytes) -> bytes:
    """How a segment begins."""
    head = _HEADER.pack(_MAGIC, VERSION, number, start, chain)
    return head + _CRC.pack(crc32(head))


def linked(chain: bytes, content: bytes) -> bytes:
    """The chain behind a payload or a header."""
    return blake2b(chain + content, digest_size=CHAIN_BYTES).digest()


def record(chain: bytes, payload: bytes) -> bytes:
    """A payload as it is written; `chain` is the one behind it. ValueError if too long."""
    if len(payload) > RECORD_BYTES_MAX:
        raise ValueError(f"journal record of {len(payload)} bytes, at most {RECORD_BYTES_MAX}")
    head = _RECORD.pack(len(payload), crc32(payload), chain)
    return head + _CRC.pack(crc32(head)) + payload


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:06}{SUFFIX}"


def segment_paths(directory: Path, disk: Disk = SYSTEM_DISK) -> list[Path]:
    """Every segment in order; JournalDamaged where one is missing or a name is none of ours."""
    numbers: list[int] = []
    for name in disk.names(directory):
        found = _NAME.fullmatch(name)
        if found is not None and f"{int(found[1]):06}{SUFFIX}" == name:
            numbers.append(int(found[1]))
        elif name.endswith(SUFFIX):
            reason = f"found a file of this name, expected names such as 000001{SUFFIX}"
            raise JournalDamaged(directory / name, 0, reason)
    numbers.sort()
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            path = segment_path(directory, expected)
            raise JournalDamaged(path, 0, f"segment {expected} is missing, {number} is there")
    return [segment_path(directory, number) for number in numbers]


def read_segments(directory: Path, disk: Disk = SYSTEM_DISK) -> Iterator[Segment]:
    """Every segment in order, each proven before it is given out.

    Raises JournalDamaged for damage further in, OSError where the disk refuses. A last segment
    that was torn in its very header is left out.
    """
    place = Place()
    for path, payloads in _walked(directory, disk, place):
        kept = tuple(payloads)
        if place.good_bytes:
            yield Segment(
                path=path,
                number=place.number,
                start=place.start,
                payloads=kept,
                good_bytes=place.good_bytes,
                torn_bytes=place.torn_bytes,
                chain=place.chain,
            )


def read_journal(directory: Path, disk: Disk = SYSTEM_DISK) -> Iterator[bytes]:
    """Every whole record in order. Raises as `read_segments`; the records before the damage have
    been served by then."""
    for _, payloads in _walked(directory, disk, Place()):
        yield from payloads


def end_of(directory: Path, disk: Disk = SYSTEM_DISK) -> Place:
    """Where a journal ends, all of it proven. Raises as `read_segments`."""
    place = Place()
    for _, payloads in _walked(directory, disk, place):
        for _ in payloads:
            pass
    return place


def _walked(
    directory: Path, disk: Disk, place: Place
) -> Iterator[tuple[Path, Iterator[bytes]]]:
    paths = segment_paths(directory, disk)
    for path in paths:
        yield path, _records(path, disk.read(path), place, last=path is paths[-1])


def _records(path: Path, data: bytes, place: Place, *, last: bool) -> Iterator[bytes]:
    """Payloads of one segment; moves `place` on. Raises JournalDamaged."""
    place.number += 1
    place.good_bytes, place.torn_bytes = 0, len(data)
    if last and _torn_header(data):
        return
    place.start = _start_of(path, data, place)
    place.chain = linked(place.chain, data[:HEADER_BYTES])
    at = HEADER_BYTES
    while True:
        place.good_bytes, place.torn_bytes = at, len(data) - at
        if at == len(data):
            return
        wrong, payload = _record_at(data, at, place.chain)
        if wrong:
            raise JournalDamaged(path, at, wrong)
        if payload is None:
            if not last:
                reason = f"found {len(data) - at} bytes of a record, expected a whole one"
                raise JournalDamaged(path, at, reason)
            return
        place.chain = linked(place.chain, payload)
        place.records += 1
        yield payload
        at += RECORD_HEAD_BYTES + len(payload)


def _torn_header(data: bytes) -> bool:
    """A crash left a part of the first write, or room for it that was never filled."""
    return (len(data) < HEADER_BYTES and _MAGIC.startswith(data[:8])) or not data.strip(b"\0")


def _start_of(path: Path, data: bytes, place: Place) -> int:
    """The header's start. Raises JournalDamaged where the header is wrong or of another place."""
    if not data.startswith(_MAGIC):
        reason = f"not a oneprice journal: found {data[:8]!r}, expected {_MAGIC!r}"
        raise JournalDamaged(path, 0, reason)
    if len(data) < HEADER_BYTES:
        reason = f"found {len(data)} bytes of a header, expected {HEADER_BYTES}"
        raise JournalDamaged(path, len(data), reason)
    _, version, number, start, chain = _HEADER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    wrong = ""
    if version != VERSION:
        wrong, at = f"journal version {version}; this program reads {VERSION}", 8
    elif crc != (proof := crc32(data[: _HEADER.size])):
        wrong, at = _unlike("header checksum", f"{crc:08x}", f"{proof:08x}"), 0
    elif number != place.number:
        wrong, at = _unlike("segment number", number, place.number), 12
    elif chain != place.chain:
        wrong, at = _unlike("chain of what came before", chain.hex(), place.chain.hex()), 20
    elif start not in (place.start or 1, place.start + 1):
        wrong, at = _unlike("start", start, f"{place.start} or {place.start + 1}"), 16
    if wrong:
        raise JournalDamaged(path, at, wrong)
    return int(start)


def _unlike(what: str, found: object, expected: object) -> str:
    return f"{what}: found {found}, expected {expected}"


def _record_at(data: bytes, at: int, chain: bytes) -> tuple[str, bytes | None]:
    """What is wrong, or the payload; neither where the record was torn by a crash.

    A process that dies leaves a beginning of its last record; a machine that dies maybe zeros in
    place of sectors at its end. All else is damage: an order that left must not vanish.
    """
    if len(data) - at < RECORD_HEAD_BYTES:
        return "", None
    length, crc, claimed = _RECORD.unpack_from(data, at)
    (found,) = _CRC.unpack_from(data, at + _RECORD.size)
    begin = at + RECORD_HEAD_BYTES
    end = begin + length
    if found != (proof := crc32(data[at : at + _RECORD.size])):
        if _unfilled(data, at, begin):
            return "", None
        return _unlike("checksum of a record's head", f"{found:08x}", f"{proof:08x}"), None
    if length > RECORD_BYTES_MAX:
        return f"record of {length} bytes, at most {RECORD_BYTES_MAX}", None
    if end > len(data):
        return "", None
    payload = data[begin:end]
    if crc != (proof := crc32(payload)):
        if _unfilled(data, at, end):
            return "", None
        return _unlike("checksum of a record", f"{proof:08x}", f"{crc:08x}"), None
    if claimed != (after := linked(chain, payload)):
        return _unlike("chain", claimed.hex(), after.hex()), None
    return "", payload


def _unfilled(data: bytes, at: int, end: int) -> bool:
    """Zeros from `at`, or from a later sector before `end`, to the end of the file."""
    filled = len(data.rstrip(b"\0"))
    sector = -(-filled // SECTOR_BYTES) * SECTOR_BYTES
    return filled <= at or sector < end

"""The tape: an append-only file of everything that came in, in compressed and checked segments.

Layout, all numbers little-endian:

  file     magic "ONEPRICE", version u16, six zero bytes
  segment  "SEGM", packed length u32, plain length u32, records u32, crc32 of the zstd frame u32,
           crc32 of these 20 bytes u32, then one zstd frame (RFC 8878) of the records
  record   crc32 of the rest u32, payload length u32, at i64, kind u16, source length u8,
           source (UTF-8), payload

A write that was cut short can only be at the end of the file: whatever is wrong there is cut, and
the segments before it are served. Anything wrong further in is refused with its place.
"""

import os
import struct
import threading
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

from oneprice.store.contract import NotATape, Record, TapeDamaged, TapeState

_MAGIC = b"ONEPRICE"
_VERSION = 2
_FILE = struct.Struct("<8sH6x")
_SEGMENT = struct.Struct("<4sIIII")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<IqHB")
_MARK = b"SEGM"
_HEAD_BYTES = _SEGMENT.size + _CRC.size
# One segment stays well below the 4 GiB its length fields can say, and fits in memory easily.
_SEGMENT_BYTES = 32 << 20


class TapeWriter:
    """Appends to a tape, new or old; the torn end of an old one is cut first.

    `append` only keeps references; nothing is compressed or written before `flush`, which may
    run on another thread meanwhile. Raises NotATape or TapeDamaged when the file to be continued
    is not a sound tape.
    """

    def __init__(self, path: Path, *, level: int = 3) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=False)
        self._parts: list[bytes] = []  # three per record, always extended by three at once
        self._flushing = threading.Lock()
        self._names: dict[str, bytes] = {}
        self._file = _opened(path)
        self._good = self._file.tell()

    def append(self, kind: int, source: str, at: int, payload: bytes) -> None:
        """Keep one record for the next flush. `at` is nanoseconds UTC, `kind` 0 to 65535.

        `payload` must be bytes that nobody changes afterwards. Raises ValueError for a number
        or a source that the format cannot hold; what was kept before stays kept.
        """
        name = self._names.get(source)
        if name is None:
            name = self._named(source)
        try:
            head = _RECORD.pack(len(payload), at, kind, len(name))
        except struct.error as error:
            raise ValueError(f"tape record: kind {kind}, at {at}: {error}") from None
        self._parts.extend((head, name, payload))

    def flush(self, *, durable: bool = False) -> None:
        """Write everything kept so far; with `durable`, also wait until the disk has it.

        Raises OSError where the disk refuses: the file is then as it was before, and the
        records stay kept for another flush.
        """
        with self._flushing:
            while self._parts:
                taken = _taken(self._parts)
                segment = _segment(self._parts[:taken], self._compressor)
                try:
                    _written(self._file, segment)
                except OSError:
                    self._file.truncate(self._good)
                    self._file.seek(self._good)
                    raise
                self._good += len(segment)
                del self._parts[:taken]
            if durable:
                os.fsync(self._file.fileno())

    @property
    def kept(self) -> int:
        """Records that no flush has taken yet."""
        return len(self._parts) // 3

    def close(self) -> None:
        """Flush durably and let go of the file; a second close does nothing."""
        if self._file.closed:
            return
        try:
            self.flush(durable=True)
        finally:
            self._file.close()

    def _named(self, source: str) -> bytes:
        name = source.encode()
        if len(name) > 255:
            raise ValueError(f"tape source {source[:40]!r}…: {len(name)} bytes, at most 255")
        self._names[source] = name
        return name


def read_tape(path: Path) -> Iterator[Record]:
    """Every record in the order written; the torn end, if any, is left out.

    Raises NotATape, or TapeDamaged where something before the end is wrong; records before the
    damage have been served by then.
    """
    with path.open("rb") as file:
        for segment in _segments(path, file):
            yield from _records(path, segment)


def tape_state(path: Path) -> TapeState:
    """Read a whole tape and say how much of it is good. Raises as `read_tape` does."""
    size = path.stat().st_size
    records = segments = 0
    good = _FILE.size if size >= _FILE.size else 0
    with path.open("rb") as file:
        for segment in _segments(path, file):
            records += sum(1 for _ in _records(path, segment))
            segments += 1
            good = segment.end
    return TapeState(records=records, segments=segments, good_bytes=good, torn_bytes=size - good)


def is_tape(head: bytes) -> bool:
    """Whether a file that begins with these bytes claims to be a tape."""
    return head.startswith(_MAGIC)


class _Segment(NamedTuple):
    place: int
    end: int
    records: int
    plain: bytes


def _segments(path: Path, file: BinaryIO) -> Iterator[_Segment]:
    size = os.fstat(file.fileno()).st_size
    if not _begins_as_tape(path, file.read(_FILE.size)):
        return
    place = _FILE.size
    while place + _HEAD_BYTES <= size:
        head = file.read(_HEAD_BYTES)
        mark, packed, length, count, proof = _SEGMENT.unpack_from(head)
        (crc,) = _CRC.unpack_from(head, _SEGMENT.size)
        if mark != _MARK or crc != zlib.crc32(head[: _SEGMENT.size]):
            if _only_zeros(file):
                return
            raise TapeDamaged(str(path), place, "no segment begins here")
        end = place + _HEAD_BYTES + packed
        if end > size:
            return
        try:
            plain = _unpacked(path, place, file.read(packed), length, proof)
            segment = _Segment(place, end, count, plain)
            _proved(path, segment)
        except (zstandard.ZstdError, TapeDamaged) as error:
            # A write can be torn inside its bytes although the length is right.
            if _only_zeros(file):
                return
            if isinstance(error, TapeDamaged):
                raise
            raise TapeDamaged(str(path), place, f"segment: {error}") from None
        yield segment
        place = end


def _begins_as_tape(path: Path, head: bytes) -> bool:
    """False where the very first write was torn. Raises NotATape."""
    whole = _FILE.pack(_MAGIC, _VERSION)
    if len(head) < _FILE.size and whole.startswith(head):
        return False
    if not head.startswith(_MAGIC):
        raise NotATape(f"{path}: not a oneprice tape: begins with {head[:8]!r}")
    version = _FILE.unpack(head)[1] if len(head) == _FILE.size else 0
    if version != _VERSION:
        raise NotATape(f"{path}: tape version {version}; this program reads {_VERSION}")
    return True


def _unpacked(path: Path, place: int, packed: bytes, length: int, proof: int) -> bytes:
    # The frame has bits of its own that change nothing when they are wrong; still, it is damage.
    if zlib.crc32(packed) != proof:
        raise TapeDamaged(str(path), place, "segment: wrong checksum")
    # A damaged frame can claim any size, and that much memory would be asked for at once.
    claimed = zstandard.get_frame_parameters(packed).content_size
    if claimed != length:
        raise TapeDamaged(str(path), place, f"segment of {claimed} bytes, expected {length}")
    return zstandard.ZstdDecompressor().decompress(packed)


def _only_zeros(file: BinaryIO) -> bool:
    """Nothing follows: a crash can leave a file longer than what was written, zero-filled."""
    while block := file.read(1 << 20):
        if block.strip(b"\0"):
            return False
    return True


def _proved(path: Path, segment: _Segment) -> None:
    """Every record's checksum before the first is served; raises TapeDamaged."""
    plain, offset, count = segment.plain, 0, 0
    length = len(plain)
    while offset < length:
        end = 0
        if offset + _CRC.size + _RECORD.size <= length:
            (crc,) = _CRC.unpack_from(plain, offset)
            size, _, _, named = _RECORD.unpack_from(plain, offset + _CRC.size)
            end = offset + _CRC.size + _RECORD.size + named + size
        if not end or end > length or crc != zlib.crc32(plain[offset + _CRC.size : end]):
            reason = f"record {count + 1} of {segment.records}: wrong checksum"
            raise TapeDamaged(str(path), segment.place, reason)
        offset = end
        count += 1
    if count != segment.records:
        reason = f"{count} records, expected {segment.records}"
        raise TapeDamaged(str(path), segment.place, reason)


def _records(path: Path, segment: _Segment) -> Iterator[Record]:
    plain, offset = segment.plain, 0
    names: dict[bytes, str] = {}
    while offset < len(plain):
        size, at, kind, named = _RECORD.unpack_from(plain, offset + _CRC.size)
        start = offset + _CRC.size + _RECORD.size
        name = plain[start : start + named]
        source = names.get(name)
        if source is None:
            try:
                source = names[name] = name.decode()
            except UnicodeDecodeError as error:
                raise TapeDamaged(str(path), segment.place, f"source: {error}") from None
        offset = start + named + size
        yield Record(at, source, kind, plain[start + named : offset])


def _opened(path: Path) -> FileIO:
    """A file positioned behind its last good segment, with a header."""
    if not path.exists() or path.stat().st_size < _FILE.size:
        if path.exists():
            _begins_as_tape(path, path.read_bytes())
        file = FileIO(path, "wb")
        _written(file, _FILE.pack(_MAGIC, _VERSION))
        return file
    state = tape_state(path)
    file = FileIO(path, "r+b")
    file.truncate(state.good_bytes)
    file.seek(state.good_bytes)
    return file


def _taken(parts: list[bytes]) -> int:
    """How many parts (three per record) make the next segment: at least one record."""
    size, there = 0, len(parts)
    for index in range(0, there, 3):
        size += _CRC.size + len(parts[index]) + len(parts[index + 1]) + len(parts[index + 2])
        if size > _SEGMENT_BYTES and index:
            return index
    return there


def _segment(parts: list[bytes], compressor: zstandard.ZstdCompressor) -> bytes:
    plain: list[bytes] = []
    for index in range(0, len(parts), 3):
        record = b"".join(parts[index : index + 3])
        plain.append(_CRC.pack(zlib.crc32(record)))
        plain.append(record)
    joined = b"".join(plain)
    packed = compressor.compress(joined)
    head = _SEGMENT.pack(_MARK, len(packed), len(joined), len(parts) // 3, zlib.crc32(packed))
    return head + _CRC.pack(zlib.crc32(head)) + packed


def _written(file: FileIO, data: bytes) -> None:
    """The whole of it: a raw file may take less than it is given."""
    view = memoryview(data)
    while view:
        done = file.write(view)
        view = view[done or 0 :]

"""The journal: what we decided, on disk before anything leaves because of it.

Layout, little-endian: magic "1PJOURNL", version u16, six zero bytes; then records of length u32,
crc32 u32 over length and payload, payload. One write per record, straight to the file: a killed
process loses nothing that was written; with `durable` a power cut loses nothing either, for the
price of a disk flush per record.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"1PJOURNL"
_VERSION = 1
_FILE = struct.Struct("<8sH6x")
_HEAD = struct.Struct("<II")
RECORD_BYTES_MAX = 1 << 28  # a length above it is damage, not data


class JournalDamaged(ValueError):
    """A journal that cannot be trusted beyond a place, given in bytes."""


class JournalWriter:
    """Creates a new journal; refuses to overwrite one."""

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self._durable = durable
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        os.write(self._file, _FILE.pack(_MAGIC, _VERSION))

    def append(self, payload: bytes) -> None:
        """Returns when the record is in the file. Raises OSError where the disk refuses."""
        length = len(payload)
        crc = zlib.crc32(payload, zlib.crc32(length.to_bytes(4, "little")))
        record = _HEAD.pack(length, crc) + payload
        written = os.write(self._file, record)
        while written < len(record):
            written += os.write(self._file, record[written:])
        if self._durable:
            os.fsync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1


def read_journal(path: Path) -> Iterator[bytes]:
    """Every whole record in order; a torn last record is left out.

    Raises JournalDamaged for a file that is no journal and for a record that is wrong although
    more follows it.
    """
    data = path.read_bytes()
    if len(data) < _FILE.size and _FILE.pack(_MAGIC, _VERSION).startswith(data):
        return
    if data[:8] != _MAGIC:
        raise JournalDamaged(f"{path}: not a oneprice journal: begins with {data[:8]!r}")
    version = _FILE.unpack_from(data)[1]
    if version != _VERSION:
        raise JournalDamaged(f"{path}: journal version {version}; this program reads {_VERSION}")
    place = _FILE.size
    while place + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, place)
        start, end = place + _HEAD.size, place + _HEAD.size + length
        if length <= RECORD_BYTES_MAX and end > len(data):
            return
        payload = data[start:end]
        good = zlib.crc32(payload, zlib.crc32(length.to_bytes(4, "little"))) == crc
        if length > RECORD_BYTES_MAX or not good:
            if end >= len(data) or not data[place:].strip(b"\0"):
                return
            raise JournalDamaged(f"{path}: damaged at byte {place}: a record's checksum is wrong")
        yield payload
        place = end

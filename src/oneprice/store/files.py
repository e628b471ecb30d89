"""Lines of a file whatever it is packed in, and times whatever unit they were written in."""

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from oneprice.model.units import MICRO, MILLI, SECOND, Nanos

_GZIP = b"\x1f\x8b"
_LATEST = (1 << 63) - 1  # of a tape, and of every 64-bit count of nanoseconds
_ZSTD = b"\x28\xb5\x2f\xfd"


class Unreadable(ValueError):
    """A packed file that ends early or is broken; says which and where."""


def opened(path: Path) -> BinaryIO:
    """The plain content of a plain, gzip or zstd file, told apart by its first bytes."""
    file = path.open("rb")
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if magic == _ZSTD:
        reader = zstandard.ZstdDecompressor().stream_reader(
            file, read_across_frames=True, closefd=True
        )
        return cast(BinaryIO, BufferedReader(cast(BinaryIO, reader)))
    return file


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line number (from 1) and line without its end. Raises Unreadable where packing breaks."""
    number = 0
    with opened(path) as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip(b"\r\n")
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            raise Unreadable(f"{path}: packed data ends after line {number}: {error}") from None


def beginning(path: Path, size: int = 65536) -> bytes:
    """The first bytes of the plain content. Raises Unreadable where packing breaks."""
    with opened(path) as file:
        try:
            return file.read(size)
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            raise Unreadable(f"{path}: packed data is broken: {error}") from None


def nanos(text: bytes) -> Nanos:
    """Nanoseconds UTC of a stamp in s, ms, µs or ns, told apart by the number of its digits.

    Ten digits before the point are seconds (from 2001 to 2286), thirteen milliseconds, sixteen
    microseconds, nineteen nanoseconds. Raises ValueError for what is no such number.
    """
    whole, _, rest = text.partition(b".")
    if not whole.isdigit() or (rest and not rest.isdigit()):
        raise ValueError(f"time {text[:30]!r}: expected digits")
    digits = len(whole)
    unit = SECOND if digits <= 11 else MILLI if digits <= 14 else MICRO if digits <= 17 else 1
    part = int(rest[:9]) * unit // 10 ** len(rest[:9]) if rest else 0
    moment = int(whole) * unit + part
    if moment > _LATEST:
        raise ValueError(f"time {text[:30]!r}: beyond the year 2262")
    return Nanos(moment)

"""What the store promises: the record on a tape and the ways a tape can fail."""

from enum import IntEnum

import msgspec


class TapeKind(IntEnum):
    """Kinds of record that tape tools understand; other small numbers pass through untouched.

    FRAME     payload is one frame exactly as it came, `source` is "venue/socket".
    ANSWER    payload is the question (a URL or a tag), a line feed, then the body as it came.
    SENT      payload is one frame that we sent.
    LINK_UP   a connection was made; payload is its address.
    LINK_DOWN a connection was lost; payload says why.
    """

    FRAME = 1
    ANSWER = 2
    SENT = 3
    LINK_UP = 4
    LINK_DOWN = 5


class Record(msgspec.Struct, frozen=True, gc=False):
    """One thing that came in: when (nanoseconds UTC), from where, of which kind, which bytes."""

    at: int
    source: str
    kind: int
    payload: bytes


class TapeState(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a tape can be read. `torn_bytes` above zero: a write was cut short there."""

    records: int
    segments: int
    good_bytes: int
    torn_bytes: int


class NotATape(ValueError):
    """The file does not begin as a tape does, or is of a version this program cannot read."""


class TapeDamaged(ValueError):
    """A tape whose middle is wrong: `place` is the byte where the unreadable part begins."""

    def __init__(self, path: str, place: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {place}: {reason}")
        self.path = path
        self.place = place
        self.reason = reason


class Finding(msgspec.Struct, frozen=True):
    """Something the form of a recording itself shows. `wrong` False: worth saying, no fault."""

    place: str  # file:line
    reason: str
    wrong: bool = True

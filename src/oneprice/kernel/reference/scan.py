"""A strict JSON scanner that keeps what it read when the frame breaks off."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from oneprice.kernel.contract import NESTING_MAX

_SPACE = re.compile(rb"[ \t\n\r]*").match
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"', re.DOTALL).match
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").match
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError)
_OBJECT, _ARRAY, _QUOTE = b"{"[0], b"["[0], b'"'[0]


class NotJson(ValueError):
    """The frame is no JSON that we read."""


class Stop(Exception):
    """The frame is of no interest from here on."""


class Scanner:
    """Walks a frame in the order of its bytes and hands every wanted key's value to `found`.

    `found(key, value)` gets the decoded value, for a key met again as well. Values of wanted keys
    are not searched for keys. NotJson is raised at the first byte that msgspec would not take, so
    all of what was found lies before it.
    """

    def __init__(
        self, frame: bytes, wanted: dict[str, bool], found: Callable[[str, object], None]
    ) -> None:
        self._frame = frame
        self._wanted = wanted
        self._found = found

    def scan(self) -> None:
        """Read the whole frame."""
        end = self._space(self._value(self._space(0), 0))
        if end != len(self._frame):
            raise NotJson(f"byte {end}: garbage after the end")

    def _space(self, at: int) -> int:
        found = _SPACE(self._frame, at)
        assert found is not None
        return found.end()

    def _byte(self, at: int) -> int:
        if at >= len(self._frame):
            raise NotJson("the frame is cut off")
        return self._frame[at]

    def _value(self, at: int, depth: int, search: bool = True) -> int:
        """Step over the value at `at`; returns where it ends."""
        match self._byte(at):
            case int(byte) if byte == _QUOTE:
                return self._string(at)
            case int(byte) if byte == _OBJECT:
                return self._object(at, depth + 1, search)
            case int(byte) if byte == _ARRAY:
                return self._array(at, depth + 1, search)
        for word in (b"true", b"false", b"null"):
            if self._frame.startswith(word, at):
                return at + len(word)
        found = _NUMBER(self._frame, at)
        if found is None:
            raise NotJson(f"byte {at}: no value")
        self._decode(at, found.end())  # too large a number is malformed for msgspec
        return found.end()

    def _string(self, at: int) -> int:
        if self._byte(at) != _QUOTE:
            raise NotJson(f"byte {at}: no text")
        found = _STRING(self._frame, at)
        if found is None:
            raise NotJson(f"byte {at}: bad text")
        self._decode(at, found.end())
        return found.end()

    def _array(self, at: int, depth: int, search: bool) -> int:
        if depth > NESTING_MAX:
            raise NotJson(f"byte {at}: nested too deep")
        at = self._space(at + 1)
        if self._byte(at) == b"]"[0]:
            return at + 1
        while True:
            at = self._space(self._value(self._space(at), depth, search))
            byte = self._byte(at)
            if byte == b"]"[0]:
                return at + 1
            if byte != b","[0]:
                raise NotJson(f"byte {at}: expected a comma or the end of the array")
            at += 1

    def _object(self, at: int, depth: int, search: bool) -> int:
        if depth > NESTING_MAX:
            raise NotJson(f"byte {at}: nested too deep")
        at = self._space(at + 1)
        if self._byte(at) == b"}"[0]:
            return at + 1
        while True:
            at = self._space(self._member(self._space(at), depth, search))
            byte = self._byte(at)
            if byte == b"}"[0]:
                return at + 1
            if byte != b","[0]:
                raise NotJson(f"byte {at}: expected a comma or the end of the object")
            at += 1

    def _member(self, at: int, depth: int, search: bool) -> int:
        end = self._string(at)
        key = self._decode(at, end)
        at = self._space(end)
        if self._byte(at) != b":"[0]:
            raise NotJson(f"byte {at}: expected a colon")
        at = self._space(at + 1)
        if not search or key not in self._wanted:
            return self._value(at, depth, search)
        end = self._value(at, depth, False)
        self._found(str(key), self._decode(at, end))
        return end

    def _decode(self, start: int, end: int) -> object:
        try:
            value: object = msgspec.json.decode(self._frame[start:end])
        except _FAULTS as error:
            raise NotJson(f"byte {start}: {error}") from error
        return value

"""Reading the named values of a request, refusing with the name of what is wrong."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from oneprice.twin.dialects.kucoin.envelope import Failure, parameter

_decoder = msgspec.json.Decoder(type=Any, float_hook=Decimal)


class Fields:
    """The parameters of one call: query, body and the variable parts of the path together."""

    def __init__(self, source: Mapping[str, Any], rows: list[Any] | None = None) -> None:
        self._source = source
        self.rows = rows  # the items where the body is a JSON array

    def __contains__(self, name: str) -> bool:
        return self._source.get(name) not in (None, "")

    def raw(self, name: str) -> Any:
        return self._source.get(name)

    def items(self) -> Iterator["Fields"]:
        """The requests of a body that is an array."""
        for row in self.rows or ():
            if not isinstance(row, dict):
                raise parameter("array of objects expected")
            yield Fields(row)

    def text(self, name: str, default: str = "") -> str:
        """The value as text; numbers are taken as written, other kinds are refused."""
        value = self._source.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise invalid(name, value)
        return str(value)

    def need(self, name: str) -> str:
        text = self.text(name)
        if not text:
            raise parameter(f"{name} is required")
        return text

    def choice(self, name: str, allowed: Sequence[str], default: str = "") -> str:
        """One of the allowed words; without a default the field must be there."""
        text = self.text(name, default) if default else self.need(name)
        if text not in allowed:
            raise invalid(name, text)
        return text

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name)
        if not text:
            return default
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or not low <= int(text) <= high:
            raise invalid(name, text)
        return int(text)

    def decimal(self, name: str) -> Decimal | None:
        """A decimal sent as text or as a number; None if absent."""
        text = self.text(name)
        if not text:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise invalid(name, text) from None
        if not value.is_finite():
            raise invalid(name, text)
        return value

    def flag(self, name: str) -> bool:
        match self._source.get(name):
            case None | "" | False | "false":
                return False
            case True | "true":
                return True
            case value:
                raise invalid(name, value)

    def span(self) -> tuple[int, int]:
        """`startAt` and `endAt` in ms; what is not given is open."""
        start = self.whole("startAt", 0, 0, 1 << 53)
        end = self.whole("endAt", 1 << 53, 0, 1 << 53)
        return start, end


def invalid(name: str, found: object) -> Failure:
    return parameter(f"{name} invalid: {str(found)[:40]!r}")


def query_of(raw: str) -> dict[str, str]:
    """The parameters of a query; percent-encoding is undone, repeated names keep the last."""
    return dict(parse_qsl(raw, keep_blank_values=True))


def read(query: str, body: bytes, path: Mapping[str, str]) -> Fields:
    """All parameters of a request; a body that is neither object nor array is refused."""
    values: dict[str, Any] = dict(query_of(query))
    rows: list[Any] | None = None
    if body:
        try:
            sent = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise parameter("request body is not JSON") from None
        match sent:
            case dict():
                values |= sent
            case list():
                rows = sent
            case _:
                raise parameter("request body must be an object")
    return Fields(values | dict(path), rows)


def arguments(args: object) -> Fields:
    """The `args` of an operation sent by WebSocket, decoded already."""
    match args:
        case dict():
            return Fields(args)
        case list():
            return Fields({}, args)
        case _:
            raise parameter("args must be an object")

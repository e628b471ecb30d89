"""Reading the named values of a request, refusing with the name of what is wrong."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from oneprice.twin.dialects.bybit.envelope import BAD_PARAMETER, Failure

CATEGORIES = ("spot", "linear", "inverse")


class Fields:
    """The parameters of one call, from a query string or a JSON object."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source

    def __contains__(self, name: str) -> bool:
        return self._source.get(name) not in (None, "")

    def raw(self, name: str) -> Any:
        return self._source.get(name)

    def text(self, name: str, default: str = "") -> str:
        """The value as text; numbers are taken as written, other kinds are refused."""
        value = self._source.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise invalid(name, value)
        return str(value)

    def need(self, name: str) -> str:
        text = self.text(name)
        if not text:
            raise Failure(BAD_PARAMETER, f"params error: {name} is required")
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
        if not text.lstrip("-").isdecimal() or not low <= int(text) <= high:
            raise invalid(name, text)
        return int(text)

    def decimal(self, name: str) -> Decimal | None:
        """A decimal sent as text (the venue's type for prices and sizes); None if absent."""
        value = self._source.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise invalid(name, value)
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise invalid(name, value) from None
        if not number.is_finite():
            raise invalid(name, value)
        return number

    def flag(self, name: str) -> bool:
        value = self._source.get(name)
        match value:
            case None | "" | False | 0 | "0" | "false":
                return False
            case True | 1 | "1" | "true":
                return True
            case _:
                raise invalid(name, value)

    def category(self) -> str:
        """The product category; options and unknown words are refused."""
        text = self.need("category")
        if text not in CATEGORIES:
            raise Failure(BAD_PARAMETER, f"params error: Category is invalid: {text}")
        return text


def invalid(name: str, found: object) -> Failure:
    return Failure(BAD_PARAMETER, f"params error: {name} invalid: {found!r}")


def from_query(raw: str) -> Fields:
    """The parameters of a GET; percent-encoding is undone, repeated names keep the last."""
    return Fields(dict(parse_qsl(raw, keep_blank_values=True)))


def from_body(body: bytes) -> Fields:
    """The parameters of a POST; anything but a JSON object is refused."""
    try:
        value = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failure(BAD_PARAMETER, "Request parameter error: invalid json") from None
    if not isinstance(value, dict):
        raise Failure(BAD_PARAMETER, "Request parameter error: object expected")
    return Fields(value)


def span(fields: Fields, now_ms: int, *, default_ms: int, longest_ms: int) -> tuple[int, int]:
    """`startTime` and `endTime` in ms with the venue's defaulting: one bound opens a window."""
    start = fields.whole("startTime", -1, 0, 1 << 53)
    end = fields.whole("endTime", -1, 0, 1 << 53)
    if start < 0 and end < 0:
        return now_ms - default_ms, now_ms
    if end < 0:
        return start, start + default_ms
    if start < 0:
        return end - default_ms, end
    if end < start or end - start > longest_ms:
        days = longest_ms // 86_400_000
        raise Failure(
            BAD_PARAMETER, f"params error: the time range must be within {days} days"
        )
    return start, end

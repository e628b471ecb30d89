"""Reading the named values of a request, refusing with the name of what is wrong."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from oneprice.twin.dialects.okx.envelope import Failure


class Fields:
    """The parameters of one call: a query string, a JSON object, or one item of a batch."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source

    def __contains__(self, name: str) -> bool:
        return self._source.get(name) not in (None, "")

    def raw(self, name: str) -> Any:
        return self._source.get(name)

    def text(self, name: str, default: str = "") -> str:
        """The value as text; whole numbers are taken as written, other kinds are refused."""
        value = self._source.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise wrong(name)
        return str(value)

    def need(self, name: str) -> str:
        text = self.text(name)
        if not text:
            raise missing(name)
        return text

    def choice(self, name: str, allowed: Sequence[str], default: str = "") -> str:
        """One of the allowed words; without a default the field must be there."""
        text = self.text(name, default) if default else self.need(name)
        if text not in allowed:
            raise wrong(name)
        return text

    def whole(self, name: str, default: int, low: int = 0, high: int = 1 << 62) -> int:
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdecimal()) or not low <= int(text) <= high:
            raise wrong(name)
        return int(text)

    def limit(self, usual: int, most: int) -> int:
        """`limit`; more than the most is cut to it, as this venue does."""
        return min(self.whole("limit", usual, 1), most)

    def positive(self, name: str) -> Decimal:
        """A number above zero, sent as text (numbers are taken, too)."""
        value = self._source.get(name)
        if value is None or value == "":
            raise missing(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise wrong(name)
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise wrong(name) from None
        if not number.is_finite() or number <= 0:
            raise wrong(name)
        return number

    def flag(self, name: str) -> bool:
        match self._source.get(name):
            case None | "" | False | "false":
                return False
            case True | "true":
                return True
            case _:
                raise wrong(name)


def missing(name: str) -> Failure:
    return Failure("50014", f"Parameter {name} can not be empty.", 400)


def wrong(name: str) -> Failure:
    return Failure("51000", f"Parameter {name} error", 400)


def from_query(raw: str) -> Fields:
    """The parameters of a GET; percent-encoding is undone, repeated names keep the last."""
    return Fields(dict(parse_qsl(raw, keep_blank_values=True)))


def from_body(content: bytes) -> list[Fields]:
    """The objects of a POST: one, or the items of an array. 50000 and 50002 otherwise."""
    if not content:
        raise Failure("50000", "Body for POST request can not be empty.", 400)
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failure("50002", "JSON syntax error", 400) from None
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in items):
        raise Failure("50002", "JSON syntax error", 400)
    return [Fields(item) for item in items]


def page(rows: list[tuple[int, Any]], fields: Fields, usual: int, most: int) -> list[Any]:
    """Newest first: `after` means older than a cursor, `before` newer (section 2).

    Rows are (cursor, row) pairs in any order.
    """
    after, before = fields.whole("after", -1), fields.whole("before", -1)
    kept = [
        one
        for one in sorted(rows, key=lambda pair: -pair[0])
        if (after < 0 or one[0] < after) and (before < 0 or one[0] > before)
    ]
    return [row for _, row in kept[: fields.limit(usual, most)]]

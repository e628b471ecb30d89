"""Parameters of a request, from query, JSON or form, each read as the type that it should be."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from oneprice.twin.dialects.bitmex.envelope import Failure, Row, invalid, moment

_TRUE, _FALSE = ("true", "True", "1", True), ("false", "False", "0", False)


class Fields:
    """What a client sent; every getter raises Failure 400 naming what it found."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = {name: value for name, value in found.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return bool(self._found.get(name, "") != "")

    @property
    def names(self) -> list[str]:
        return list(self._found)

    def raw(self, name: str) -> object:
        return self._found.get(name)

    def text(self, name: str, usual: str = "") -> str:
        value = self._found.get(name, usual)
        return value if isinstance(value, str) else str(value)

    def whole(self, name: str, usual: int | None = None) -> int | None:
        """An integer; whole decimals such as 100.0 count, too."""
        value = self.decimal(name)
        if value is None:
            return usual
        if value != value.to_integral_value():
            raise invalid(f"'{name}' must be an integer")
        return int(value)

    def decimal(self, name: str) -> Decimal | None:
        if name not in self:
            return None
        value = self._found[name]
        try:
            read = Decimal(str(value))
        except InvalidOperation:
            raise invalid(f"'{name}' must be a number") from None
        if isinstance(value, bool) or not read.is_finite():
            raise invalid(f"'{name}' must be a number")
        return read

    def flag(self, name: str, usual: bool = False) -> bool:
        value = self._found.get(name, usual)
        if value in _TRUE:
            return True
        if value in _FALSE or value == "":
            return False
        raise invalid(f"'{name}' must be true or false")

    def time(self, name: str) -> int | None:
        """Nanoseconds of an ISO time or date."""
        if name not in self:
            return None
        try:
            return moment(self.text(name))
        except ValueError:
            raise invalid(f"'{name}' must be a timestamp") from None

    def strings(self, name: str) -> list[str]:
        """One text, a list, a list written as JSON text, or texts between commas."""
        value = self._found.get(name)
        if value in (None, ""):
            return []
        if isinstance(value, str) and value.startswith("["):
            value = _json(name, value)
        if isinstance(value, list):
            return [str(one) for one in value]
        return str(value).split(",")

    def mapping(self, name: str) -> Row:
        """A JSON object, as text or as it is."""
        value = self._found.get(name)
        if value in (None, ""):
            return {}
        if isinstance(value, str):
            value = _json(name, value)
        if not isinstance(value, dict):
            raise invalid(f"'{name}' must be a JSON object")
        return value


def from_request(query: str, body: bytes, content_type: str) -> Fields:
    """Query and body together; the body is JSON or a form (section 3.1)."""
    found: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if not body:
        return Fields(found)
    if "json" in content_type or body[:1] in (b"{", b"["):
        try:
            decoded = json.loads(body, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise Failure(400, "Invalid JSON in request body", "SyntaxError") from None
        if not isinstance(decoded, dict):
            raise invalid("the body must be a JSON object")
        return Fields(found | decoded)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise invalid("the body is no form") from None
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name in found and name in ("orderID", "clOrdID"):  # repeated: a list
            earlier = found[name]
            found[name] = [*(earlier if isinstance(earlier, list) else [earlier]), value]
        else:
            found[name] = value
    return Fields(found)


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise invalid(f"'{name}' must be valid JSON") from None

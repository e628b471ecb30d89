"""Bodies of the wire: bare JSON with numbers, `{"error": ...}` for refusals, times in ISO form."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from oneprice.model.units import MILLI, SECOND, plain

Row = dict[str, Any]

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_SESSION_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # spans are told as times of that day


class Failure(Exception):
    """A refusal in the venue's words (section 14): HTTP status, message and error name."""

    def __init__(
        self, status: int, message: str, name: str = "HTTPError", wait_s: int = 0
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.name = name
        self.wait_s = wait_s  # Retry-After, 0: none

    @property
    def body(self) -> Row:
        return {"error": {"message": self.message, "name": self.name}}


def invalid(message: str) -> Failure:
    """A parameter that the venue does not take."""
    return Failure(400, message, "ValidationError")


def encoded(answer: object) -> bytes:
    """JSON as the venue writes it: decimals are numbers, not text."""
    return _ENCODER.encode(answer)


def number(value: Decimal) -> Decimal:
    """The same number without trailing zeros and exponent."""
    return Decimal(plain(value))


def iso(at: int) -> str:
    """Nanoseconds as ISO-8601 UTC with milliseconds."""
    whole = datetime.fromtimestamp(at // SECOND, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at % SECOND // MILLI:03d}Z"


def http_date(at: int) -> str:
    """The `Date` header, which clients take for the venue's clock (section 3.1)."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%a, %d %b %Y %H:%M:%S} GMT"


def span(interval_ms: int) -> str:
    """An interval as a clock time of 2000-01-01: 8 h is `2000-01-01T08:00:00.000Z`."""
    begin = int(_SESSION_EPOCH.timestamp()) * SECOND
    return iso(begin + interval_ms * MILLI)


def moment(text: str) -> int:
    """Nanoseconds of an ISO time, a date or Unix milliseconds; ValueError where it is neither."""
    if text.lstrip("-").isdecimal() and len(text) > 8:
        return int(text) * MILLI
    parsed = datetime.fromisoformat(text.replace(" ", "+"))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return int(parsed.timestamp()) * SECOND + parsed.microsecond * 1000


def lean(row: Row) -> Row:
    """A row of a stream: fields without a value are left out (since January 2023)."""
    return {name: value for name, value in row.items() if value is not None}

"""The REST envelope of the venue, its numbers, and the exception that becomes a refusal in it."""

from decimal import Decimal
from typing import Any

import msgspec

from oneprice.model.units import MILLI, plain

Row = dict[str, Any]

SUCCESS = "200000"
NO_HEADERS = "400001"
BAD_TIME = "400002"
BAD_KEY = "400003"
BAD_PASSPHRASE = "400004"
BAD_SIGN = "400005"
WRONG_ADDRESS = "400006"
NO_PERMISSION = "400007"
BAD_VERSION = "400008"
BAD_PARAMETER = "400100"
NOT_FOUND = "404000"
UNSUPPORTED_MEDIA = "415000"
TOO_MANY = "429000"
SERVER_ERROR = "500000"
NOT_UNIFIED = "112010"

# Business errors travel with HTTP 200 (section 2). For refusals at the door the document names no
# HTTP status except 429; these are the ones that clients in the field report.
STATUS = {
    NO_HEADERS: 401,
    BAD_TIME: 400,
    BAD_KEY: 401,
    BAD_PASSPHRASE: 401,
    BAD_SIGN: 401,
    WRONG_ADDRESS: 403,
    NO_PERMISSION: 403,
    BAD_VERSION: 400,
    NOT_FOUND: 404,
    UNSUPPORTED_MEDIA: 415,
    TOO_MANY: 429,
    SERVER_ERROR: 500,
}

_encoder = msgspec.json.Encoder(decimal_format="number")


class Failure(Exception):
    """A refusal in the venue's own words: `code` and `text` of section 11."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        return STATUS.get(self.code, 200)


def parameter(text: str) -> Failure:
    """Something is wrong with a parameter; the text names it."""
    return Failure(BAD_PARAMETER, text)


def encoded(value: object) -> bytes:
    """JSON in which a Decimal is a number: futures rows mix numbers and strings."""
    return _encoder.encode(value)


def succeeded(data: object) -> bytes:
    return encoded({"code": SUCCESS, "data": data})


def refused(failure: Failure) -> bytes:
    return encoded({"code": failure.code, "msg": failure.text})


def millis(at: int) -> int:
    return at // MILLI


def amount(number: Decimal, decimals: int = 10) -> str:
    """A computed amount as text, cut to the decimals that the venue shows."""
    return plain(round(number, decimals))


def number(value: Decimal, decimals: int = 10) -> Decimal:
    """A computed amount as a JSON number."""
    return Decimal(amount(value, decimals))

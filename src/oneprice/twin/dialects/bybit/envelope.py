"""The REST envelope of Bybit v5 and the one exception that becomes a refusal in it."""

from decimal import Decimal
from typing import Any

import msgspec

from oneprice.model.units import MILLI, plain

Row = dict[str, Any]

BAD_PARAMETER = 10001
OUTSIDE_WINDOW = 10002
BAD_KEY = 10003
BAD_SIGN = 10004
NO_PERMISSION = 10005
TOO_MANY_VISITS = 10006
SERVER_ERROR = 10016


class Failure(Exception):
    """A business error of the venue: `code` and `text` are the venue's own (section 10)."""

    def __init__(self, code: int, text: str, result: Row | None = None) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.result: Row = result or {}


class Answer(msgspec.Struct, frozen=True):
    """What a handler gives back when `result` alone does not say everything."""

    result: Row
    extension: Row = {}
    text: str = "OK"


def enveloped(answer: Answer | Failure, now_ms: int) -> Row:
    """The body of a REST response; business errors travel with HTTP 200 (section 2.1)."""
    match answer:
        case Failure():
            return {
                "retCode": answer.code,
                "retMsg": answer.text,
                "result": answer.result,
                "retExtInfo": {},
                "time": now_ms,
            }
        case Answer():
            return {
                "retCode": 0,
                "retMsg": answer.text,
                "result": answer.result,
                "retExtInfo": answer.extension,
                "time": now_ms,
            }


def millis(at: int) -> int:
    """Nanoseconds to the venue's milliseconds."""
    return at // MILLI


def stamp(at: int) -> str:
    """A row timestamp: milliseconds as text."""
    return str(at // MILLI)


def fixed(number: Decimal, step: Decimal) -> str:
    """A number with the decimals of its step, as derivative books and instruments print it."""
    exponent = step.as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return f"{number:.{decimals}f}"


def short(number: Decimal, decimals: int = 8) -> str:
    """A computed amount, cut to the decimals the venue shows, without trailing zeros."""
    return plain(round(number, decimals))

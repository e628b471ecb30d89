"""The envelope of OKX v5 and the one exception that becomes a refusal in it."""

from decimal import Decimal
from typing import Any

import msgspec

from oneprice.model.units import MICRO, MILLI, plain

Row = dict[str, Any]


class Failure(Exception):
    """A refusal in the venue's own words: `code`, `subCode` and text of section 14.

    `status` is the HTTP status where the refusal is about a whole REST request; inside a list of
    verdicts on orders it does not show.
    """

    def __init__(self, code: str, text: str, status: int = 200, sub: str = "") -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.status = status
        self.sub = sub


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler gives back; `timed` adds inTime and outTime as order operations do."""

    data: list[Row] | list[list[str]]
    code: str = "0"
    text: str = ""
    timed: bool = False


def body(answer: Answer | Failure, came: int, left: int) -> Row:
    """The JSON of a REST answer (section 2)."""
    if isinstance(answer, Failure):
        if answer.status == 401:
            return {"msg": answer.text, "code": answer.code}  # gateway errors carry no data
        return {"code": answer.code, "data": [], "msg": answer.text}
    whole: Row = {"code": answer.code, "data": answer.data, "msg": answer.text}
    return whole | times(came, left) if answer.timed else whole


def times(came: int, left: int) -> Row:
    """When the gateway took and left an order operation, in microseconds."""
    return {"inTime": str(came // MICRO), "outTime": str(left // MICRO)}


def summary(rows: list[Row]) -> tuple[str, str]:
    """`code` and `msg` over verdicts: 0 all fine, 1 none, 2 some (section 2)."""
    failed = sum(row["sCode"] != "0" for row in rows)
    if not failed:
        return "0", ""
    if failed == len(rows):
        return "1", "All operations failed"
    return "2", "Bulk operation partially succeeded"


def stamp(at: int) -> str:
    """A moment as this venue writes it: milliseconds as text; "" for never."""
    return str(at // MILLI) if at else ""


def short(number: Decimal, decimals: int = 12) -> str:
    """A computed amount without trailing zeros."""
    return plain(round(number, decimals))

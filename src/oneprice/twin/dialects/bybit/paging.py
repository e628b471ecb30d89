"""Pages of rows: newest first, limited, continued by an opaque percent-encoded cursor."""

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote, unquote

from oneprice.twin.dialects.bybit.envelope import BAD_PARAMETER, Failure
from oneprice.twin.dialects.bybit.fields import Fields

T = TypeVar("T")


def page(
    rows: Sequence[tuple[int, T]], fields: Fields, usual: int, most: int
) -> tuple[list[T], str]:
    """One page of (number, row) pairs sorted by falling number, and the next cursor or "".

    The cursor names the last row given out, so rows that arrive between two pages shift nothing.
    """
    limit = fields.whole("limit", usual, 1, 1 << 31)
    limit = min(limit, most)
    cursor = unquote(fields.text("cursor"))
    if cursor:
        last = cursor.partition(":")[2]
        if not last.isdecimal():
            raise Failure(BAD_PARAMETER, "params error: cursor invalid")
        rows = [one for one in rows if one[0] < int(last)]
    chosen = rows[:limit]
    more = quote(f"page:{chosen[-1][0]}", safe="") if len(rows) > limit else ""
    return [row for _, row in chosen], more

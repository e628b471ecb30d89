"""The venue's three ways of giving out long lists: pages, `lastId`, `dataList`."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from oneprice.twin.dialects.kucoin.envelope import Row, parameter
from oneprice.twin.dialects.kucoin.fields import Fields

T = TypeVar("T")


def pages(found: Sequence[T], fields: Fields, show: Callable[[T], Row]) -> Row:
    """`currentPage` of `pageSize` (classic paging); newest first is up to the caller."""
    size = fields.whole("pageSize", 50, 1, 1 << 31)
    if size > 500:
        raise parameter("pageSize should not greater than 500")
    current = fields.whole("currentPage", 1, 1, 1 << 31)
    chosen = found[(current - 1) * size : current * size]
    return {
        "currentPage": current,
        "pageSize": size,
        "totalNum": len(found),
        "totalPage": -(-len(found) // size),
        "items": [show(one) for one in chosen],
    }


def before(
    found: Sequence[tuple[int, T]], fields: Fields, show: Callable[[T], Row], usual: int
) -> tuple[int, list[Row]]:
    """Items newest first that are older than `lastId`, and the id to go on from."""
    limit = fields.whole("limit", usual, 1, 1 << 31)
    last = fields.whole("lastId", 0, 0, 1 << 62)
    chosen = [one for one in found if not last or one[0] < last][: min(limit, 200)]
    return (chosen[-1][0] if chosen else 0), [show(one) for _, one in chosen]


def offsets(found: Sequence[tuple[int, T]], fields: Fields, show: Callable[[T], Row]) -> Row:
    """`offset`, `forward`, `maxCount`: `found` is newest first; forward goes to older rows."""
    most = fields.whole("maxCount", 50, 1, 1 << 31)
    offset = fields.whole("offset", 0, 0, 1 << 62)
    forward = "forward" not in fields or fields.flag("forward")
    if offset:
        found = [one for one in found if (one[0] < offset if forward else one[0] > offset)]
    most = min(most, 100)
    chosen = found[:most] if forward or not offset else found[-most:]
    return {"dataList": [show(one) for _, one in chosen], "hasMore": len(found) > most}

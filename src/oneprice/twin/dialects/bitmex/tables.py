"""The generic table endpoints: filter, columns, count, start, reverse and a time range."""

from collections.abc import Sequence
from typing import Any

from oneprice.twin.dialects.bitmex.envelope import Row, invalid, iso
from oneprice.twin.dialects.bitmex.fields import Fields

USUAL, MOST = 100, 500
OPEN_STATES = ("New", "PartiallyFilled")


def tabled(
    rows: Sequence[Row],
    fields: Fields,
    *,
    keys: tuple[str, ...] = ("symbol",),
    most: int = MOST,
    stamp: str = "timestamp",
) -> list[Row]:
    """What of the rows (oldest first) a request asks for (section 9)."""
    wanted = fields.mapping("filter")
    kept = [row for row in rows if _fits(row, wanted)]
    first, last = fields.time("startTime"), fields.time("endTime")
    if first is not None:
        kept = [row for row in kept if (row.get(stamp) or "") >= iso(first)]
    if last is not None:
        kept = [row for row in kept if row.get(stamp) and row[stamp] <= iso(last)]
    if fields.flag("reverse"):
        kept = kept[::-1]
    start = fields.whole("start", 0) or 0
    count = fields.whole("count", USUAL)
    if start < 0 or count is None or not 0 < count <= most:
        raise invalid(f"'count' must be between 1 and {most}, 'start' not below 0")
    columns = fields.strings("columns")
    return [_narrow(row, columns, keys) for row in kept[start : start + count]]


def _narrow(row: Row, columns: list[str], keys: tuple[str, ...]) -> Row:
    if not columns:
        return row
    return {name: value for name, value in row.items() if name in columns or name in keys}


def _fits(row: Row, wanted: Row) -> bool:
    return all(_matches(row, name, value) for name, value in wanted.items())


def _matches(row: Row, name: str, value: Any) -> bool:
    if name == "open":
        if value is not True:  # the venue does not take false either
            raise invalid("'open' filter must be true")
        return row.get("ordStatus") in OPEN_STATES
    if name in ("startTime", "endTime"):
        try:
            bound = iso(Fields({name: value}).time(name) or 0)
        except ValueError:
            return False
        stamp = str(row.get("timestamp") or "")
        return stamp >= bound if name == "startTime" else stamp <= bound
    field, _, part = name.partition(".")
    found = row.get(field)
    if part:
        found = _part(str(found or ""), part)
        return found.startswith(str(value))
    if isinstance(value, list):
        return found in value
    return bool(found == value)


def _part(stamp: str, part: str) -> str:
    """Of a timestamp: its date, its time, its hour, minute, second, or month, ..."""
    date, _, time = stamp.partition("T")
    pieces = {
        "date": date,
        "time": time,
        "yyyy": date[:4],
        "mm": date[5:7],
        "dd": date[8:10],
        "hh": time[:2],
        "minute": time[:5],
        "second": time[:8],
    }
    if part not in pieces:
        raise invalid(f"filter on {part!r} of a timestamp is not supported")
    return pieces[part]

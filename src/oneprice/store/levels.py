"""Reader of Binance CSV archives with a row per level or trade, turned back into frames."""

from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from oneprice.model.units import HOUR, MILLI, MINUTE
from oneprice.store.contract import Finding, Record, TapeKind
from oneprice.store.files import lines, nanos

Item = Record | Finding
Row = dict[str, str]
Numbered = tuple[int, Row]

# A receive time further than this from the venue's own cannot be a late frame any more.
_CLOCKS_APART = 10 * MINUTE
# The archives end with a row whose times were moved to the end of the day.
_SILENCE = HOUR

_LEVEL = {"TimestampOfReceive", "IsAsk", "Price", "Quantity"}
_DEPTH = _LEVEL | {"Stream", "EventTime", "Symbol", "FirstUpdateId", "FinalUpdateId"}
_SNAPSHOT = _LEVEL | {"TimestampOfRequest", "LastUpdateId"}
_TRADE = {
    "TimestampOfReceive", "Stream", "EventTime", "TransactionTime", "Symbol", "TradeId",
    "Price", "Quantity", "IsBuyerMarketMaker",
}  # fmt: skip


def kind_of(header: str) -> str:
    """"depth", "snapshot" or "trade" by the names of the columns; "" for another table."""
    names = frozenset(header.strip().split(","))
    for kind, needed in (("depth", _DEPTH), ("snapshot", _SNAPSHOT), ("trade", _TRADE)):
        if needed <= names:
            return kind
    return ""


def levels(path: Path, source: str, symbol: str) -> Iterator[Item]:
    """The rows grouped back into frames; every row that cannot be true is a Finding.

    `symbol` names the instrument of a snapshot file, whose rows do not. Lines that begin with
    `#` before the header are a report about the file; after it they are rows put out of use.
    """
    header: list[str] = []
    kind = ""
    damage: list[Finding] = []
    rows: list[Numbered] = []
    for number, line in lines(path):
        text = line.decode(errors="replace")
        if text.startswith("#"):
            if header:
                damage.append(Finding(f"{path}:{number}", "a row is commented out"))
            continue
        if not header:
            header = text.split(",")
            kind = kind_of(text)
            if not kind:
                yield Finding(f"{path}:{number}", "no table of levels or trades begins here")
                return
            continue
        cells = text.split(",")  # numbers and names without a comma: nothing is quoted
        if len(cells) != len(header):
            reason = f"{len(cells)} cells, expected {len(header)}"
            damage.append(Finding(f"{path}:{number}", reason))
            continue
        rows.append((number, dict(zip(header, cells, strict=True))))
    yield from damage
    builders: dict[str, Callable[[list[Row], str, str], Record]] = {
        "depth": _depth,
        "snapshot": _snapshot,
        "trade": _trade,
    }
    yield from _grouped(path, rows, builders[kind], source, symbol)


_KEYS = ("LastUpdateId", "TradeId", "FirstUpdateId", "FinalUpdateId")
_WHOLE = frozenset({*_KEYS, "FinalUpdateIdInLastStream", "TransactionTime"})


def _grouped(
    path: Path,
    rows: list[Numbered],
    build: Callable[[list[Row], str, str], Record],
    source: str,
    symbol: str,
) -> Iterator[Item]:
    group: list[Row] = []
    key: list[str | None] = []
    last = 0
    start = 0
    for number, row in rows:
        reason = _wrong(row, last)
        if reason:
            yield Finding(f"{path}:{number}", reason)
            continue
        at = nanos(row["TimestampOfReceive"].encode())
        found = [row.get(name) for name in _KEYS]
        if found != key:
            if group:
                yield build(group, source, symbol)
            group, key, start = [], found, last
        last = at
        group.append(row)
    if not group:
        return
    if start and last - start > _SILENCE and "LastUpdateId" not in group[0]:
        hours = (last - start) // HOUR
        reason = f"the last event is {hours} hours after the one before: left out"
        yield Finding(str(path), reason, wrong=False)
        return
    yield build(group, source, symbol)


def _wrong(row: Row, last: int) -> str:
    """Why this row cannot be true; "" when nothing speaks against it."""
    try:
        at = nanos(row["TimestampOfReceive"].encode())
        venue = nanos((row.get("EventTime") or row.get("TimestampOfRequest") or "").encode())
        price, size = Decimal(row["Price"]), Decimal(row["Quantity"])
        for name in _WHOLE & row.keys():
            int(row[name])
        if not (price.is_finite() and size.is_finite()):
            raise ValueError(f"Price {price}, Quantity {size}")
    except (ValueError, InvalidOperation, KeyError) as error:
        return f"not a row of numbers: {error}"
    # The futures trade stream has entries without price and size that are no trades (X "NA").
    if price <= 0 and not (price == size == 0 and "XUnknownParameter" in row):
        return f"Price {row['Price']}: expected above zero"
    if size < 0:
        return f"Quantity {row['Quantity']}: expected zero or more"
    if row.get("IsAsk", "0") not in ("0", "1"):
        return f"IsAsk {row['IsAsk']}: expected 0 or 1"
    if abs(at - venue) > _CLOCKS_APART:
        return f"TimestampOfReceive {row['TimestampOfReceive']} is far from the venue's own time"
    if at < last:
        return f"TimestampOfReceive {row['TimestampOfReceive']}: earlier than the row before"
    return ""


def _sides(rows: list[Row]) -> dict[str, list[list[str]]]:
    sides: dict[str, list[list[str]]] = {"b": [], "a": []}
    for row in rows:
        side = "a" if row["IsAsk"] == "1" else "b"
        sides[side].append([row["Price"], row["Quantity"]])
    return sides


def _depth(rows: list[Row], source: str, symbol: str) -> Record:
    first = rows[0]
    data: dict[str, object] = {"e": "depthUpdate", "E": _milliseconds(first["EventTime"])}
    if "TransactionTime" in first:
        data["T"] = _milliseconds(first["TransactionTime"])
    data["s"] = first["Symbol"]
    data["U"] = int(first["FirstUpdateId"])
    data["u"] = int(first["FinalUpdateId"])
    if "FinalUpdateIdInLastStream" in first:
        data["pu"] = int(first["FinalUpdateIdInLastStream"])
    return _frame(rows[-1], source, {**data, **_sides(rows)})


def _trade(rows: list[Row], source: str, symbol: str) -> Record:
    row = rows[0]
    data: dict[str, object] = {
        "e": "trade",
        "E": _milliseconds(row["EventTime"]),
        "T": _milliseconds(row["TransactionTime"]),
        "s": row["Symbol"],
        "t": int(row["TradeId"]),
        "p": row["Price"],
        "q": row["Quantity"],
        "m": row["IsBuyerMarketMaker"] == "1",
    }
    if "XUnknownParameter" in row:
        data["X"] = row["XUnknownParameter"] or "NA"
    return _frame(row, source, data)


def _snapshot(rows: list[Row], source: str, symbol: str) -> Record:
    sides = _sides(rows)
    body = {
        "lastUpdateId": int(rows[0]["LastUpdateId"]),
        "bids": sides["b"],
        "asks": sides["a"],
    }
    at = nanos(rows[-1]["TimestampOfReceive"].encode())
    payload = f"depth?symbol={symbol}\n".encode() + msgspec.json.encode(body)
    return Record(at, source, TapeKind.ANSWER, payload)


def _frame(row: Row, source: str, data: dict[str, object]) -> Record:
    at = nanos(row["TimestampOfReceive"].encode())
    frame = msgspec.json.encode({"stream": row["Stream"], "data": data})
    return Record(at, source, TapeKind.FRAME, frame)


def _milliseconds(stamp: str) -> int:
    return nanos(stamp.encode()) // MILLI

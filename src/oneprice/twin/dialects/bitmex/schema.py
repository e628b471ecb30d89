"""The tables of /realtime: keys, types, foreign keys and attributes told by each partial."""

from oneprice.twin.dialects.bitmex.envelope import Row

_SYMBOLED = {"symbol": "instrument"}
_SIDED = {"symbol": "instrument", "side": "side"}
_ORDERED = {"symbol": "instrument", "side": "side", "ordStatus": "ordStatus"}
_BIN = {
    "timestamp": "timestamp",
    "symbol": "symbol",
    "open": "float",
    "high": "float",
    "low": "float",
    "close": "float",
    "trades": "long",
    "volume": "long",
    "vwap": "float",
    "lastSize": "long",
    "turnover": "long",
    "homeNotional": "float",
    "foreignNotional": "float",
}
_QUOTE = {
    "timestamp": "timestamp",
    "symbol": "symbol",
    "bidSize": "long",
    "bidPrice": "float",
    "askPrice": "float",
    "askSize": "long",
}
_LEVEL = {
    "symbol": "symbol",
    "id": "long",
    "side": "symbol",
    "size": "long",
    "price": "float",
    "timestamp": "timestamp",
}
_TIMED = {"timestamp": "sorted", "symbol": "grouped"}
BIN_SIZES = ("1m", "5m", "1h", "1d")
BIN_TABLES = {f"tradeBin{size}": size for size in BIN_SIZES}
QUOTE_BIN_TABLES = {f"quoteBin{size}": size for size in BIN_SIZES}
BOOK_TABLES = ("orderBookL2", "orderBookL2_25")

# table -> keys, foreign keys, attributes (section 10; keys of bins, funding and settlement are
# doubtful there: [] makes a client append, which is right for all of them)
_TABLES: dict[str, tuple[tuple[str, ...], Row, Row]] = {
    "announcement": (("id",), {}, {"id": "sorted"}),
    "chat": (("id",), {}, {"id": "sorted"}),
    "connected": ((), {}, {}),
    "funding": ((), _SYMBOLED, _TIMED),
    "instrument": (("symbol",), {}, {"symbol": "unique"}),
    "insurance": ((), {}, {"currency": "sorted", "timestamp": "sorted"}),
    "liquidation": (("orderID",), _SIDED, {"symbol": "grouped", "orderID": "unique"}),
    "orderBook10": (("symbol",), _SYMBOLED, {"symbol": "sorted"}),
    "orderBookL2": (("symbol", "id", "side"), _SIDED, {"symbol": "parted", "id": "sorted"}),
    "orderBookL2_25": (("symbol", "id", "side"), _SIDED, {"symbol": "parted", "id": "sorted"}),
    "publicNotifications": (("id",), {}, {}),
    "quote": ((), _SYMBOLED, _TIMED),
    "settlement": ((), _SYMBOLED, _TIMED),
    "trade": ((), _SIDED, _TIMED),
    "affiliate": (("account", "currency"), {}, {}),
    "execution": (("execID",), _ORDERED, {"execID": "grouped", "account": "grouped"}),
    "order": (("orderID",), _ORDERED, {"orderID": "grouped", "account": "grouped"}),
    "margin": (("account", "currency"), {}, {"account": "sorted", "currency": "grouped"}),
    "position": (("account", "symbol"), _SYMBOLED, {"account": "sorted", "symbol": "grouped"}),
    "privateNotifications": (("id",), {}, {}),
    "transact": (("transactID",), {}, {}),
    "wallet": (("account", "currency"), {}, {"account": "sorted", "currency": "grouped"}),
}
for _name in (*BIN_TABLES, *QUOTE_BIN_TABLES):
    _TABLES[_name] = ((), _SYMBOLED, _TIMED)

ACCOUNT_TABLES = (
    "affiliate",
    "execution",
    "margin",
    "order",
    "position",
    "privateNotifications",
    "transact",
    "wallet",
)
UNSYMBOLED = (  # tables of which a symbol means nothing
    "announcement",
    "chat",
    "connected",
    "insurance",
    "publicNotifications",
    "affiliate",
    "margin",
    "privateNotifications",
    "transact",
    "wallet",
)
_PLAIN_TYPES: dict[str, Row] = {
    "orderBookL2": _LEVEL,
    "orderBookL2_25": _LEVEL,
    "quote": _QUOTE,
    "trade": {
        "timestamp": "timestamp",
        "symbol": "symbol",
        "side": "symbol",
        "size": "long",
        "price": "float",
        "tickDirection": "symbol",
        "trdMatchID": "guid",
        "grossValue": "long",
        "homeNotional": "float",
        "foreignNotional": "float",
        "trdType": "symbol",
    },
    "liquidation": {
        "orderID": "guid",
        "symbol": "symbol",
        "side": "symbol",
        "price": "float",
        "leavesQty": "long",
    },
    "funding": {
        "timestamp": "timestamp",
        "symbol": "symbol",
        "fundingInterval": "timespan",
        "fundingRate": "float",
        "fundingRateDaily": "float",
    },
    "orderBook10": {"symbol": "symbol", "bids": "", "asks": "", "timestamp": "timestamp"},
}
for _name in BIN_TABLES:
    _PLAIN_TYPES[_name] = _BIN
for _name in QUOTE_BIN_TABLES:
    _PLAIN_TYPES[_name] = _QUOTE


def known(table: str) -> bool:
    return table in _TABLES


def keys_of(table: str) -> tuple[str, ...]:
    return _TABLES[table][0]


def partial(table: str, wanted: Row, rows: list[Row]) -> Row:
    """The first message of a subscription: how to read the table, and the table."""
    keys, foreign, attributes = _TABLES[table]
    types = _PLAIN_TYPES.get(table) or _guessed(rows)
    return {
        "table": table,
        "action": "partial",
        "keys": list(keys),
        "types": types,
        "foreignKeys": foreign,
        "attributes": attributes,
        "filter": wanted,
        "data": rows,
    }


def _guessed(rows: list[Row]) -> Row:
    """Types of wide tables by what is in them; ids, times and words are known by name."""
    found: Row = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, _type_of(name, value))
    return found


def _type_of(name: str, value: object) -> str:
    if name.endswith("Interval"):
        return "timespan"
    if name in ("timestamp", "transactTime") or name.endswith("Timestamp"):
        return "timestamp"
    if name in ("orderID", "execID", "trdMatchID", "transactID"):
        return "guid"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "long"
    return "symbol" if isinstance(value, str) else "float"

"""The shapes of KuCoin's messages: only what is read, so that new fields never break a frame.

Spot writes numbers as text; futures mix text and numbers, and so do ids; times come in seconds,
milli-, micro- and nanoseconds (docs, "Envelope and types"). So a number is kept raw until it is
read, exactly, and a time is told by its magnitude.
"""

import re
from decimal import Decimal

import msgspec

from oneprice.model.units import ZERO

# What a venue may make us meet while reading: none of it may leave a dialect.
UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, LookupError, RecursionError)

# Short exponents only: a long one could name a number that takes minutes to write down.
_DECIMAL = re.compile(r"-?[0-9]{1,24}(?:\.[0-9]{1,24})?(?:[eE][+-]?[0-9]{1,2})?")
_WHOLE = re.compile(r"[0-9]{1,19}")
_EXCERPT_CHARS = 160
_NONE = msgspec.Raw(b"null")

Id = str | int


class Envelope(msgspec.Struct):
    """Any frame: welcome, pong, ack, error, or a message of a topic."""

    type: str = ""
    topic: str = ""
    subject: str = ""
    id: Id = ""
    code: Id = ""
    data: msgspec.Raw = _NONE


class Reply(msgspec.Struct):
    """The envelope of every REST answer."""

    code: Id
    msg: str | None = ""
    data: msgspec.Raw = _NONE


class Server(msgspec.Struct):
    endpoint: str
    protocol: str = "websocket"


class Door(msgspec.Struct, rename="camel"):
    """What bullet-public and bullet-private tell."""

    token: str
    instance_servers: list[Server]


class Named(msgspec.Struct):
    """As little of a symbol or contract as tells whose it is."""

    symbol: str


class SymbolRow(msgspec.Struct, rename="camel"):
    symbol: str
    base_currency: str
    quote_currency: str
    base_increment: msgspec.Raw
    price_increment: msgspec.Raw
    base_min_size: msgspec.Raw = _NONE
    base_max_size: msgspec.Raw = _NONE
    min_funds: msgspec.Raw = _NONE
    enable_trading: bool = False
    callauction_is_enabled: bool | None = False
    trading_start_time: msgspec.Raw = _NONE


class ContractRow(msgspec.Struct, rename="camel"):
    symbol: str
    type: str
    base_currency: str
    quote_currency: str
    settle_currency: str
    lot_size: msgspec.Raw
    tick_size: msgspec.Raw
    multiplier: msgspec.Raw
    is_inverse: bool
    status: str
    max_order_qty: msgspec.Raw = _NONE
    max_price: msgspec.Raw = _NONE
    expire_date: msgspec.Raw = _NONE
    funding_rate_granularity: msgspec.Raw = _NONE
    funding_fee_rate: msgspec.Raw = _NONE
    predicted_funding_fee_rate: msgspec.Raw = _NONE
    next_funding_rate_time: msgspec.Raw = _NONE  # milliseconds that remain, not an instant
    next_funding_rate_date_time: msgspec.Raw = _NONE


class Changes(msgspec.Struct):
    asks: list[tuple[str, str, Id]] = []
    bids: list[tuple[str, str, Id]] = []


class SpotDepth(msgspec.Struct, rename="camel"):
    changes: Changes
    sequence_start: int
    sequence_end: int
    symbol: str = ""


class FuturesDepth(msgspec.Struct):
    sequence: int
    change: str


class DepthPush(msgspec.Struct):
    """A full view of the best levels."""

    asks: msgspec.Raw
    bids: msgspec.Raw
    timestamp: msgspec.Raw = _NONE
    ts: msgspec.Raw = _NONE


class Snapshot(msgspec.Struct):
    sequence: msgspec.Raw
    bids: list[list[msgspec.Raw]]
    asks: list[list[msgspec.Raw]]


class SpotTicker(msgspec.Struct, rename="camel"):
    best_ask: msgspec.Raw
    best_ask_size: msgspec.Raw
    best_bid: msgspec.Raw
    best_bid_size: msgspec.Raw
    sequence: msgspec.Raw = _NONE
    time: msgspec.Raw = _NONE


class FuturesTicker(msgspec.Struct, rename="camel"):
    best_bid_price: msgspec.Raw
    best_bid_size: msgspec.Raw
    best_ask_price: msgspec.Raw
    best_ask_size: msgspec.Raw
    sequence: msgspec.Raw = _NONE
    ts: msgspec.Raw = _NONE


class Matched(msgspec.Struct, rename="camel"):
    """A public trade; `side` is the taker's."""

    side: str
    price: msgspec.Raw
    size: msgspec.Raw
    trade_id: Id
    time: msgspec.Raw = _NONE
    ts: msgspec.Raw = _NONE


class Candle(msgspec.Struct):
    """`candles` is start (s), open, close, high, low, volume, turnover."""

    candles: list[msgspec.Raw]


class ContractData(msgspec.Struct, rename="camel"):
    """mark.index.price and funding.rate of /contract/instrument, and its announcements."""

    mark_price: msgspec.Raw = _NONE
    index_price: msgspec.Raw = _NONE
    funding_rate: msgspec.Raw = _NONE
    funding_time: msgspec.Raw = _NONE
    granularity: msgspec.Raw = _NONE
    timestamp: msgspec.Raw = _NONE


class RateRow(msgspec.Struct, rename="camel"):
    """One settled rate of the public history."""

    funding_rate: msgspec.Raw
    timepoint: msgspec.Raw


ENVELOPE = msgspec.json.Decoder(Envelope)
REPLY = msgspec.json.Decoder(Reply)
DOOR = msgspec.json.Decoder(Door)
NAMED = msgspec.json.Decoder(Named)
SYMBOL = msgspec.json.Decoder(SymbolRow)
CONTRACT = msgspec.json.Decoder(ContractRow)
SPOT_DEPTH = msgspec.json.Decoder(SpotDepth)
FUTURES_DEPTH = msgspec.json.Decoder(FuturesDepth)
PUSH = msgspec.json.Decoder(DepthPush)
SNAPSHOT = msgspec.json.Decoder(Snapshot)
SPOT_TICKER = msgspec.json.Decoder(SpotTicker)
FUTURES_TICKER = msgspec.json.Decoder(FuturesTicker)
MATCHED = msgspec.json.Decoder(Matched)
CANDLE = msgspec.json.Decoder(Candle)
CONTRACT_DATA = msgspec.json.Decoder(ContractData)
RATES = msgspec.json.Decoder(list[RateRow])
ROWS = msgspec.json.Decoder(list[msgspec.Raw])


def _text(raw: msgspec.Raw) -> str:
    """What a number says, text or number alike; "" where there is none."""
    shown = bytes(raw)
    if shown in (b"", b"null", b'""'):
        return ""
    if shown[:1] == b'"':
        shown = shown[1:-1]
    return shown.decode("ascii", "replace")


def is_there(raw: msgspec.Raw) -> bool:
    """Whether the frame had the field, and not as null or empty."""
    return _text(raw) != ""


def decimal(raw: msgspec.Raw, field: str) -> Decimal:
    """The number in a field that must have one; ValueError names field, expected and found."""
    text = _text(raw)
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(f"{field}: expected a decimal, found {text[:40]!r}")
    return Decimal(text)


def decimal_or_zero(raw: msgspec.Raw, field: str) -> Decimal:
    """The number in a field that may be empty or absent."""
    return decimal(raw, field) if _text(raw) else ZERO


def whole(raw: msgspec.Raw, field: str) -> int:
    """A count, a span or a sequence, 0 where absent; ValueError names field and found."""
    text = _text(raw)
    if not text:
        return 0
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{field}: expected a whole number, found {text[:40]!r}")
    return int(text)


def milliseconds(raw: msgspec.Raw, field: str) -> int:
    """An instant as epoch milliseconds, its unit told by its magnitude; 0 where absent."""
    stamp = whole(raw, field)
    if stamp < 10**11:
        return stamp * 1000
    if stamp < 10**14:
        return stamp
    return stamp // 1000 if stamp < 10**17 else stamp // 1_000_000


def sequence_of(value: Id) -> int:
    """A sequence written as text or number."""
    if isinstance(value, int):
        return value
    if _WHOLE.fullmatch(value) is None:
        raise ValueError(f"sequence: expected a whole number, found {value[:40]!r}")
    return int(value)


def excerpt(raw: bytes | msgspec.Raw) -> str:
    """The beginning of something unreadable, fit for a log."""
    return bytes(raw)[:_EXCERPT_CHARS].decode("utf-8", "replace")

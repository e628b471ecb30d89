"""OKX's envelopes and public rows as they are written, before anything is made of them.

No value is written as the empty string; numbers and times are strings, except seqId, prevSeqId,
checksum and instIdCode (API v5, "General Info" and "WebSocket, Public Channel").
"""

import re
from decimal import Decimal
from typing import TypeVar

import msgspec

from oneprice.model.events import FrameRejected
from oneprice.model.units import MILLI, Nanos, Side

T = TypeVar("T")

# What a venue may make us meet while reading: none of it may leave a dialect.
UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, LookupError, RecursionError)

# An exponent of three digits could name a number that takes minutes to write down.
_DECIMAL = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,60})?([eE][-+]?[0-9]{1,2})?")
_EXCERPT_CHARS = 160


class Arg(msgspec.Struct, frozen=True):
    """What a push or an ack is about."""

    channel: str = ""
    instId: str = ""
    instType: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """Every JSON frame of a socket: a push (arg, data), an event, or an answer to an op."""

    arg: Arg | None = None
    data: msgspec.Raw = msgspec.Raw(b"[]")
    action: str = ""
    event: str = ""
    eventType: str = ""
    curPage: int = 1
    lastPage: bool = True
    op: str = ""
    code: str = ""
    msg: str = ""
    id: str = ""


class Touch(msgspec.Struct, frozen=True):
    """One push of bbo-tbt: at most one level a side, [price, size, "0", orders]."""

    ts: str
    asks: list[list[str]] = []
    bids: list[list[str]] = []
    seqId: int = 0


class Ticker(msgspec.Struct, frozen=True):
    """The touch part of a tickers push."""

    instId: str
    ts: str
    bidPx: str = ""
    bidSz: str = ""
    askPx: str = ""
    askSz: str = ""


class Traded(msgspec.Struct, frozen=True):
    """One trade; `side` is the taker's. Aggregated per taker order, price and source."""

    instId: str
    tradeId: str
    px: str
    sz: str
    side: str
    ts: str


class MarkPrice(msgspec.Struct, frozen=True):
    instId: str
    markPx: str
    ts: str = ""


class IndexTicker(msgspec.Struct, frozen=True):
    """`instId` is the name of the index, e.g. BTC-USDT."""

    instId: str
    idxPx: str
    ts: str = ""


class FundingRate(msgspec.Struct, frozen=True):
    """`fundingRate` is due at `fundingTime`; the next period's rate is mostly not published."""

    instId: str
    fundingRate: str
    fundingTime: str
    nextFundingRate: str = ""
    nextFundingTime: str = ""


class Named(msgspec.Struct, frozen=True):
    """As little of an instrument as tells which it is."""

    instId: str


class Listed(msgspec.Struct, frozen=True):
    """One instrument of /api/v5/public/instruments or of the instruments channel."""

    instId: str
    instType: str
    state: str = ""
    uly: str = ""
    baseCcy: str = ""
    quoteCcy: str = ""
    settleCcy: str = ""
    ctVal: str = ""
    ctMult: str = ""
    ctValCcy: str = ""
    ctType: str = ""
    tickSz: str = ""
    lotSz: str = ""
    minSz: str = ""
    maxLmtSz: str = ""
    expTime: str = ""
    ruleType: str = ""
    groupId: str = ""  # of fees
    instIdCode: int | None = None  # the name in orders by socket; null until generated


class RestAnswer(msgspec.Struct, frozen=True):
    """The envelope of REST: "0" is good; `data` may be missing on gateway errors."""

    code: str = ""
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class SettledRate(msgspec.Struct, frozen=True):
    """One row of the funding history; `realizedRate` is what was charged."""

    instId: str
    realizedRate: str
    fundingTime: str


class FullBook(msgspec.Struct, frozen=True):
    """One push of books5: all that there is, no delta."""

    asks: msgspec.Raw
    bids: msgspec.Raw
    seqId: int
    ts: str


class FullBookFrame(msgspec.Struct, frozen=True):
    arg: Arg
    data: list[FullBook]


class Numbered(msgspec.Struct, frozen=True):
    """Which state of a book a frame tells of."""

    seqId: int = 0
    ts: str = ""


class NumberedFrame(msgspec.Struct, frozen=True):
    arg: Arg
    data: list[Numbered]
    action: str = ""


ENVELOPE = msgspec.json.Decoder(Envelope)
REST = msgspec.json.Decoder(RestAnswer)
RAWS = msgspec.json.Decoder(list[msgspec.Raw])
TEXTS = msgspec.json.Decoder(list[list[str]])
LISTED = msgspec.json.Decoder(Listed)
NAMED = msgspec.json.Decoder(Named)
FULL_BOOK = msgspec.json.Decoder(FullBookFrame)
NUMBERED = msgspec.json.Decoder(NumberedFrame)


def decimal(text: str, field: str) -> Decimal:
    """A number as OKX writes it. Raises ValueError naming the field."""
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(f"{field}: expected a number, found {text[:40]!r}")
    return Decimal(text)


def decimal_or_none(text: str, field: str) -> Decimal | None:
    """As `decimal`, None for the empty string. Raises ValueError naming the field."""
    return decimal(text, field) if text else None


def decimal_or_zero(text: str, field: str) -> Decimal:
    """As `decimal`, 0 for the empty string. Raises ValueError naming the field."""
    return decimal(text or "0", field)


def milliseconds(text: str, field: str) -> int:
    """Epoch milliseconds; 0 for the empty string. Raises ValueError naming the field."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise ValueError(f"{field}: expected epoch milliseconds, found {text[:40]!r}")
    return int(text)


def moment(text: str, field: str) -> Nanos:
    """Epoch milliseconds as nanoseconds. Raises ValueError naming the field."""
    return Nanos(milliseconds(text, field) * MILLI)


def side_of(text: str) -> Side:
    """The side. Raises ValueError for anything but buy and sell."""
    match text:
        case "buy":
            return Side.BUY
        case "sell":
            return Side.SELL
    raise ValueError(f"side: expected buy or sell, found {text[:40]!r}")


def rows_of(data: msgspec.Raw, kind: type[T]) -> list[T]:
    return msgspec.json.decode(data, type=list[kind])  # type: ignore[valid-type]


def excerpt(raw: bytes | msgspec.Raw) -> str:
    """The beginning of something unreadable, fit for a log."""
    return bytes(raw)[:_EXCERPT_CHARS].decode("utf-8", "replace")


def rejected(socket: str, reason: str, frame: bytes | msgspec.Raw, at: Nanos) -> FrameRejected:
    """The counted event for anything that could not be understood."""
    shown = excerpt(frame)
    return FrameRejected(at=at, venue="okx", socket=socket, reason=reason[:240], excerpt=shown)

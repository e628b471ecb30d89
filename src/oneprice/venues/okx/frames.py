"""The frames of OKX's public sockets as they are written, before anything is made of them.

No value is written as the empty string; numbers and times are strings, except seqId, prevSeqId
and checksum (API v5, "General Info" and "WebSocket, Public Channel").
"""

from decimal import Decimal, InvalidOperation

import msgspec

from oneprice.model.units import MILLI, Nanos


class Arg(msgspec.Struct, frozen=True):
    """What a push or an ack is about."""

    channel: str = ""
    instId: str = ""
    instType: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """Every JSON frame of a public socket: a push (arg, data) or an event."""

    arg: Arg | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    action: str = ""
    event: str = ""
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


class RestAnswer(msgspec.Struct, frozen=True):
    """The envelope of REST: "0" is good; `data` may be missing on gateway errors."""

    code: str = ""
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


def decimal(text: str, field: str) -> Decimal:
    """A number as OKX writes it. Raises ValueError naming the field."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{field}: expected a number, found {text[:40]!r}") from None
    if not number.is_finite():
        raise ValueError(f"{field}: expected a number, found {text[:40]!r}")
    return number


def decimal_or_none(text: str, field: str) -> Decimal | None:
    """As `decimal`, None for the empty string. Raises ValueError naming the field."""
    return decimal(text, field) if text else None


def milliseconds(text: str, field: str) -> int:
    """Epoch milliseconds; 0 for the empty string. Raises ValueError naming the field."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{field}: expected epoch milliseconds, found {text[:40]!r}")
    return int(text)


def moment(text: str, field: str) -> Nanos:
    """Epoch milliseconds as nanoseconds. Raises ValueError naming the field."""
    return Nanos(milliseconds(text, field) * MILLI)

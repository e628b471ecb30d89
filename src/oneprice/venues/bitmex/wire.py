"""The shapes of BitMEX's rows: only what is read, so that new fields never break a frame.

Numbers are JSON numbers and are read as decimals from their text; fields that a diff does not
name are None (protocol document, sections 2 and 10).
"""

import re
from decimal import Decimal

import msgspec

# What a venue may make us meet while reading: none of it may leave a dialect.
UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, LookupError, RecursionError)

# The bounds keep a number like 1e999999999 from being written out.
_EXPONENT_MAX = 24
_DIGITS_MAX = 40
_EXCERPT_CHARS = 160


class Filter(msgspec.Struct):
    symbol: str = ""


class Welcome(msgspec.Struct):
    remaining: int = 1


class Frame(msgspec.Struct, rename="camel"):
    """Any frame: rows of a table, or the answer to an operation."""

    table: str = ""
    action: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    filter: Filter | None = None
    success: bool | None = None
    subscribe: str = ""
    unsubscribe: str = ""
    request: msgspec.Raw = msgspec.Raw(b"{}")
    status: int = 0
    error: str = ""
    info: str = ""
    limit: Welcome | None = None
    cancel_time: str = ""


class Operation(msgspec.Struct):
    """What an answer repeats of our request; a login's arguments are never looked at."""

    op: str = ""
    args: msgspec.Raw = msgspec.Raw(b"[]")


class LevelRow(msgspec.Struct):
    symbol: str
    id: int
    side: str
    size: int | None = None
    price: Decimal | None = None


class QuoteRow(msgspec.Struct, rename="camel"):
    symbol: str
    timestamp: str
    bid_price: Decimal | None = None
    bid_size: int | None = None
    ask_price: Decimal | None = None
    ask_size: int | None = None


class TradeRow(msgspec.Struct, rename="camel"):
    symbol: str
    timestamp: str
    side: str | None = None
    size: int | None = None
    price: Decimal | None = None
    trd_type: str | None = None
    match_id: str | None = msgspec.field(name="trdMatchID", default=None)


class BinRow(msgspec.Struct):
    """`timestamp` is the end of the bar; an empty bar may have no prices."""

    symbol: str
    timestamp: str
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    volume: int | None = None


class FundingRow(msgspec.Struct, rename="camel"):
    symbol: str
    timestamp: str
    funding_rate: Decimal
    funding_interval: str | None = None


class InstrumentRow(msgspec.Struct, rename="camel"):
    symbol: str
    typ: str
    state: str
    underlying: str
    quote_currency: str
    lot_size: Decimal | None = None
    tick_size: Decimal | None = None
    multiplier: int | None = None
    is_inverse: bool = False
    is_quanto: bool = False
    settl_currency: str | None = None
    max_order_qty: int | None = None
    max_price: Decimal | None = None
    expiry: str | None = None
    funding_interval: str | None = None
    reference_symbol: str | None = None
    to_position: int | None = msgspec.field(name="underlyingToPositionMultiplier", default=None)


class TickerRow(msgspec.Struct, rename="camel"):
    """A row or a diff of the table `instrument`."""

    symbol: str
    timestamp: str | None = None
    state: str | None = None
    expiry: str | None = None
    mark_price: Decimal | None = None
    indicative_settle_price: Decimal | None = None
    funding_rate: Decimal | None = None
    indicative_funding_rate: Decimal | None = None
    funding_timestamp: str | None = None
    funding_interval: str | None = None


class OrderRow(msgspec.Struct, rename="camel"):
    """An order, or a diff of one; `error` is in answers to cancels only."""

    order_id: str = msgspec.field(name="orderID", default="")
    client_id: str | None = msgspec.field(name="clOrdID", default=None)
    symbol: str | None = None
    side: str | None = None
    ord_status: str | None = None
    order_qty: int | None = None
    price: Decimal | None = None
    cum_qty: int | None = None
    time_in_force: str | None = None
    reject_reason: str | None = msgspec.field(name="ordRejReason", default=None)
    text: str | None = None
    error: str | None = None


class ExecutionRow(msgspec.Struct, rename="camel"):
    exec_id: str = msgspec.field(name="execID")
    symbol: str
    exec_type: str
    client_id: str | None = msgspec.field(name="clOrdID", default=None)
    side: str | None = None
    last_qty: int | None = None
    last_px: Decimal | None = None
    last_liquidity_ind: str | None = None
    exec_comm: int | None = None
    realised_pnl: int | None = None
    settl_currency: str | None = None
    transact_time: str | None = None
    timestamp: str | None = None


class PositionRow(msgspec.Struct, rename="camel"):
    symbol: str
    current_qty: int | None = None
    avg_entry_price: Decimal | None = None
    leverage: Decimal | None = None
    cross_margin: bool | None = None
    liquidation_price: Decimal | None = None
    deleverage_percentile: Decimal | None = None
    strategy: str | None = None


class MarginRow(msgspec.Struct, rename="camel"):
    currency: str
    wallet_balance: int | None = None
    available_margin: int | None = None


class WalletRow(msgspec.Struct, rename="camel"):
    """A row of the wallet's history."""

    transact_id: str = msgspec.field(name="transactID")
    currency: str
    transact_type: str
    transact_status: str
    amount: int | None = None
    fee: int | None = None
    text: str | None = None
    transact_time: str | None = None
    timestamp: str | None = None


class CommissionRow(msgspec.Struct, rename="camel"):
    maker_fee: Decimal
    taker_fee: Decimal


class KeyRow(msgspec.Struct, rename="camel"):
    id: str
    permissions: list[str | list[msgspec.Raw]] = []
    cidr: str | None = None
    cidrs: list[str] | None = None


class ErrorBody(msgspec.Struct):
    message: str
    name: str = ""


class ErrorAnswer(msgspec.Struct):
    error: ErrorBody


class Root(msgspec.Struct):
    timestamp: int


FRAME = msgspec.json.Decoder(Frame)
OPERATION = msgspec.json.Decoder(Operation)
TOPICS = msgspec.json.Decoder(list[str])
LEVELS = msgspec.json.Decoder(list[LevelRow])
WALLET = msgspec.json.Decoder(WalletRow)
ROWS = msgspec.json.Decoder(list[msgspec.Raw])
QUOTE = msgspec.json.Decoder(QuoteRow)
TRADE = msgspec.json.Decoder(TradeRow)
BIN = msgspec.json.Decoder(BinRow)
FUNDING = msgspec.json.Decoder(FundingRow)
INSTRUMENT = msgspec.json.Decoder(InstrumentRow)
TICKER = msgspec.json.Decoder(TickerRow)
ORDER = msgspec.json.Decoder(OrderRow)
EXECUTION = msgspec.json.Decoder(ExecutionRow)
POSITION = msgspec.json.Decoder(PositionRow)
MARGIN = msgspec.json.Decoder(MarginRow)
COMMISSIONS = msgspec.json.Decoder(dict[str, CommissionRow])
KEY = msgspec.json.Decoder(KeyRow)
ERROR = msgspec.json.Decoder(ErrorAnswer)
ROOT = msgspec.json.Decoder(Root)


def number(value: Decimal | None, field: str) -> Decimal:
    """A number that must be there, finite and of a sane size; ValueError names the field."""
    if value is None:
        raise ValueError(f"{field}: expected a number, found none")
    if not value.is_finite():
        raise ValueError(f"{field}: expected a number, found {value}")
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if abs(exponent) > _EXPONENT_MAX or len(digits) > _DIGITS_MAX:
        raise ValueError(f"{field}: expected a number of a sane size, found {str(value)[:40]}")
    return value


def count(value: int | None, field: str) -> int:
    """A whole number that must be there; ValueError names the field."""
    if value is None:
        raise ValueError(f"{field}: expected a whole number, found none")
    if abs(value) > 10**18:
        raise ValueError(f"{field}: expected less than 10**18 in size, found more")
    return value


def plainly(text: str | None, field: str) -> str:
    """A text that must be there and not be empty; ValueError names the field."""
    if not text:
        raise ValueError(f"{field}: expected a text, found none")
    return text


# Times -----------------------------------------------------------------------------------

_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z)?", flags=re.ASCII
)
_INTERVALS_BEGIN = "2000-01-01"
_DAY_MS = 86_400_000
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def moment_ms(text: str | None, field: str) -> int:
    """Epoch milliseconds of an ISO time in UTC; ValueError names the field."""
    found = _MOMENT.fullmatch(text or "")
    if found is None:
        raise ValueError(f"{field}: expected an ISO time, found {(text or '')[:40]!r}")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    leap = month == 2 and _days(year, 3, 1) - _days(year, 2, 1) == 29
    if not (1 <= month <= 12 and 1 <= day <= _LENGTHS[month - 1] + leap):
        raise ValueError(f"{field}: expected a date, found {found[0]!r}")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{field}: expected a time of day, found {found[0]!r}")
    thousandths = int((found[7] or "0").ljust(3, "0")[:3])
    seconds = (hour * 60 + minute) * 60 + second
    return _days(year, month, day) * _DAY_MS + seconds * 1000 + thousandths


def interval_ms(text: str | None, field: str) -> int:
    """A length that BitMEX writes as the clock that much after 2000-01-01."""
    length = moment_ms(text, field) - moment_ms(_INTERVALS_BEGIN, field)
    if length <= 0:
        raise ValueError(f"{field}: expected a time after {_INTERVALS_BEGIN}, found {text!r}")
    return length


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the Gregorian calendar, March first (Hinnant, days_from_civil)."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def iso(ms: int) -> str:
    """An epoch millisecond as BitMEX writes it (Hinnant, civil_from_days)."""
    days, rest = divmod(ms, _DAY_MS)
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year += era * 400 + (month <= 2)
    seconds, thousandths = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    clock = f"{hour:02}:{minute:02}:{second:02}.{thousandths:03}"
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"


def excerpt(raw: bytes | msgspec.Raw) -> str:
    """The beginning of something unreadable, fit for a log: a login echo is not shown."""
    data = bytes(raw)
    if b"authKeyExpires" in data:
        return "(answer to a login)"
    return data[:_EXCERPT_CHARS].decode("utf-8", "replace")

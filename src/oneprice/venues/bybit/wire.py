"""The shapes of Bybit's messages: only what is read, so that new fields never break a frame.

Everything that is a decimal or a time in a row is text on this venue; the envelopes carry times
as numbers (Bybit v5 docs). Absent values come as "", "0" or not at all.
"""

import re
from decimal import Decimal

import msgspec

from oneprice.model.units import ZERO

# What a venue may make us meet while reading: none of it may leave a dialect.
UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, LookupError, RecursionError)

# Plain decimals only: an exponent could name a number that takes minutes to write down.
_DECIMAL = re.compile(r"-?[0-9]{1,24}(\.[0-9]{1,24})?")
_EXCERPT_CHARS = 160


class Envelope(msgspec.Struct):
    """Any frame: data by topic, or the answer to an operation in one of three spellings."""

    topic: str = ""
    type: str = ""
    op: str = ""
    ts: int = 0
    cs: int = 0
    data: msgspec.Raw = msgspec.Raw(b"null")
    success: bool | None = None
    ret_msg: str = ""
    req_id: str = ""
    ret_code: int | None = msgspec.field(name="retCode", default=None)
    text: str = msgspec.field(name="retMsg", default="")
    request_id: str = msgspec.field(name="reqId", default="")
    header: msgspec.Raw = msgspec.Raw(b"{}")
    extra: msgspec.Raw = msgspec.field(name="retExtInfo", default=msgspec.Raw(b"{}"))


class Reply(msgspec.Struct, rename="camel"):
    """The envelope of every REST answer."""

    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    ret_ext_info: msgspec.Raw = msgspec.Raw(b"{}")
    time: int = 0


class Page(msgspec.Struct, rename="camel"):
    list: list[msgspec.Raw]
    category: str = ""
    next_page_cursor: str | None = None


class OrderIds(msgspec.Struct, rename="camel"):
    order_id: str = ""
    order_link_id: str = ""


class Many(msgspec.Struct):
    """The result of a batch, in the order of its orders."""

    items: list[OrderIds] = msgspec.field(name="list", default_factory=list)


class ItemOutcome(msgspec.Struct):
    code: int
    msg: str = ""


class Outcomes(msgspec.Struct):
    """Beside the result of a batch: what became of each of its orders."""

    items: list[ItemOutcome] = msgspec.field(name="list", default_factory=list)


class Header(msgspec.Struct):
    """What an answer on the order socket says about our allowance."""

    limit: str = msgspec.field(name="X-Bapi-Limit", default="")
    reset_ms: str = msgspec.field(name="X-Bapi-Limit-Reset-Timestamp", default="")


class ServerTime(msgspec.Struct, rename="camel"):
    time_nano: str


class PriceFilter(msgspec.Struct, rename="camel"):
    tick_size: str
    min_price: str = "0"
    max_price: str = "0"


class LotFilter(msgspec.Struct, rename="camel"):
    base_precision: str = ""  # the step of size on spot
    qty_step: str = ""  # the step of size elsewhere
    min_order_qty: str = ""
    max_order_qty: str = ""
    max_limit_order_qty: str = ""
    min_order_amt: str = ""
    min_notional_value: str = ""


class Symbol(msgspec.Struct):
    """As little of a row as tells whose it is."""

    symbol: str


class InstrumentRow(msgspec.Struct, rename="camel"):
    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    price_filter: PriceFilter
    lot_size_filter: LotFilter
    contract_type: str = ""
    settle_coin: str = ""
    delivery_time: str = "0"
    funding_interval: int = 0  # minutes


class TickerRow(msgspec.Struct, rename="camel"):
    """None means that the frame did not name the field: it has not changed."""

    symbol: str
    mark_price: str | None = None
    index_price: str | None = None
    funding_rate: str | None = None
    next_funding_time: str | None = None
    funding_interval_hour: str | None = None
    bid1_price: str | None = None
    bid1_size: str | None = None
    ask1_price: str | None = None
    ask1_size: str | None = None


class TradeRow(msgspec.Struct):
    T: int
    s: str
    S: str
    v: str
    p: str
    i: str
    BT: bool = False


class CandleRow(msgspec.Struct):
    start: int
    interval: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    confirm: bool


class OrderRow(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: str
    order_status: str
    side: str
    order_link_id: str = ""
    category: str = ""
    price: str = ""
    qty: str = ""
    cum_exec_qty: str = ""
    cancel_type: str = ""
    reject_reason: str = ""
    time_in_force: str = ""
    updated_time: str = ""


class ExecutionRow(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: str
    exec_id: str
    exec_type: str
    side: str
    exec_price: str
    exec_qty: str
    exec_fee: str
    exec_time: str
    order_link_id: str = ""
    category: str = ""
    fee_currency: str = ""
    fee_rate: str = ""
    is_maker: bool = False


class PositionRow(msgspec.Struct, rename="camel"):
    symbol: str
    side: str
    size: str
    position_idx: int = 0
    category: str = ""
    entry_price: str = ""  # the stream's name
    avg_price: str = ""  # the name in REST answers
    leverage: str = ""
    liq_price: str | None = None
    adl_rank_indicator: int | None = None


class CoinRow(msgspec.Struct, rename="camel"):
    coin: str
    wallet_balance: str
    spot_borrow: str = ""
    locked: str = ""
    bonus: str = ""
    total_order_im: str = msgspec.field(name="totalOrderIM", default="")
    total_position_im: str = msgspec.field(name="totalPositionIM", default="")
    unrealised_pnl: str = ""


class WalletRow(msgspec.Struct, rename="camel"):
    account_type: str
    coin: list[CoinRow]


class AccountInfo(msgspec.Struct, rename="camel"):
    margin_mode: str = ""


class KeyRow(msgspec.Struct, rename="camel"):
    read_only: int = 0
    permissions: dict[str, list[str]] | None = None
    ips: list[str] = []
    expired_at: str = ""


class SettledRow(msgspec.Struct, rename="camel"):
    symbol: str
    funding_rate: str
    funding_rate_timestamp: str


class FeeRow(msgspec.Struct, rename="camel"):
    symbol: str
    taker_fee_rate: str
    maker_fee_rate: str


class LogRow(msgspec.Struct, rename="camel"):
    type: str
    symbol: str
    currency: str
    funding: str
    transaction_time: str
    id: str = ""
    category: str = ""
    side: str = ""
    fee_rate: str = ""
    order_id: str = ""
    trade_id: str = ""
    fee: str = ""
    cash_flow: str = ""
    change: str = ""
    cash_balance: str = ""


ENVELOPE = msgspec.json.Decoder(Envelope)
REPLY = msgspec.json.Decoder(Reply)
PAGE = msgspec.json.Decoder(Page)
IDS = msgspec.json.Decoder(OrderIds)
MANY = msgspec.json.Decoder(Many)
OUTCOMES = msgspec.json.Decoder(Outcomes)
HEADER = msgspec.json.Decoder(Header)
SERVER_TIME = msgspec.json.Decoder(ServerTime)
INSTRUMENT = msgspec.json.Decoder(InstrumentRow)
TICKER = msgspec.json.Decoder(TickerRow)
TRADES = msgspec.json.Decoder(list[TradeRow])
CANDLES = msgspec.json.Decoder(list[CandleRow])
ROWS = msgspec.json.Decoder(list[msgspec.Raw])
ORDER = msgspec.json.Decoder(OrderRow)
EXECUTION = msgspec.json.Decoder(ExecutionRow)
POSITION = msgspec.json.Decoder(PositionRow)
WALLET = msgspec.json.Decoder(WalletRow)
INFO = msgspec.json.Decoder(AccountInfo)
KEY = msgspec.json.Decoder(KeyRow)
SETTLED = msgspec.json.Decoder(SettledRow)
BAR = msgspec.json.Decoder(list[str])
FEE = msgspec.json.Decoder(FeeRow)
LOG = msgspec.json.Decoder(LogRow)


def decimal(text: str) -> Decimal:
    """The number in a field that must have one; ValueError shows what was found."""
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(f"expected a decimal, found {text[:40]!r}")
    return Decimal(text)


def decimal_or_zero(text: str) -> Decimal:
    """The number in a field that may be empty."""
    return decimal(text) if text else ZERO


def whole(text: str) -> int:
    """A time or a count written as text; ValueError shows what was found."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError(f"expected a whole number, found {text[:40]!r}")
    return int(text)


def excerpt(raw: bytes | msgspec.Raw) -> str:
    """The beginning of something unreadable, fit for a log."""
    return bytes(raw)[:_EXCERPT_CHARS].decode("utf-8", "replace")

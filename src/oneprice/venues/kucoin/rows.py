"""The shapes of KuCoin's private messages and answers: only what is read.

Source: KuCoin API docs, "Private channels" and "Orders", "Fills", "Positions", "Account".
"""

import msgspec

from oneprice.venues.kucoin.wire import Id

_NONE = msgspec.Raw(b"null")


class StreamOrder(msgspec.Struct, rename="camel"):
    """orderChange (spot) and symbolOrderChange (futures)."""

    symbol: str
    order_id: Id
    type: str
    client_oid: str | None = ""
    side: str = ""
    filled_size: msgspec.Raw = _NONE
    match_price: msgspec.Raw = _NONE
    match_size: msgspec.Raw = _NONE
    trade_id: Id | None = ""
    liquidity: str | None = ""
    trade_type: str | None = ""
    ts: msgspec.Raw = _NONE


class StreamBalance(msgspec.Struct, rename="camel"):
    currency: str
    total: msgspec.Raw
    available: msgspec.Raw
    relation_event: str | None = ""
    time: msgspec.Raw = _NONE


class StreamWallet(msgspec.Struct, rename="camel"):
    currency: str
    wallet_balance: msgspec.Raw
    available_balance: msgspec.Raw
    version: msgspec.Raw = _NONE


class PositionRow(msgspec.Struct, rename="camel"):
    """A position in stream and REST; a stream row about the mark lacks the size."""

    symbol: str
    current_qty: msgspec.Raw = _NONE
    avg_entry_price: msgspec.Raw = _NONE
    position_side: str | None = "BOTH"
    margin_mode: str | None = ""
    leverage: msgspec.Raw = _NONE
    liquidation_price: msgspec.Raw = _NONE
    # Not in every row; no document says more than that it is a share, and the highest are first.
    delev_percentage: msgspec.Raw = _NONE


class Settlement(msgspec.Struct, rename="camel"):
    """position.settlement of the stream."""

    funding_time: msgspec.Raw
    qty: msgspec.Raw
    funding_rate: msgspec.Raw
    funding_fee: msgspec.Raw
    settle_currency: str
    symbol: str = ""


class Placed(msgspec.Struct, rename="camel"):
    """An answer to one new order; in batches with its own verdict: `success` or `code`."""

    order_id: Id | None = ""
    client_oid: str | None = ""
    success: bool | None = None
    fail_msg: str | None = ""
    code: Id | None = ""
    msg: str | None = ""


class OrderRow(msgspec.Struct, rename="camel"):
    """An order as REST tells it: `active` on spot, `status` and `isActive` on futures."""

    id: Id
    symbol: str
    side: str = ""
    client_oid: str | None = ""
    price: msgspec.Raw = _NONE
    size: msgspec.Raw = _NONE
    deal_size: msgspec.Raw = _NONE
    cancelled_size: msgspec.Raw = _NONE
    time_in_force: str | None = ""
    post_only: bool | None = False
    active: bool | None = None
    status: str | None = ""
    cancel_exist: bool | None = False


class FillRow(msgspec.Struct, rename="camel"):
    symbol: str
    trade_id: Id
    order_id: Id
    side: str
    price: msgspec.Raw
    size: msgspec.Raw
    fee: msgspec.Raw
    fee_currency: str
    liquidity: str = ""
    trade_type: str | None = ""
    trade_time: msgspec.Raw = _NONE
    created_at: msgspec.Raw = _NONE


class Page(msgspec.Struct, rename="camel"):
    """A page of the classic kind (page numbers), of HF lists (lastId) or of histories."""

    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    data_list: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    current_page: int = 0
    total_page: int = 0
    last_id: Id | None = None
    has_more: bool = False

    @property
    def rows(self) -> list[msgspec.Raw]:
        """ValueError where the answer is no page at all: that is not the same as an empty one."""
        rows = self.data_list if self.items is msgspec.UNSET else self.items
        if isinstance(rows, msgspec.UnsetType):
            raise ValueError("page: expected items or dataList, found neither")
        return rows or []


class Symbols(msgspec.Struct):
    symbols: list[str] | None


class AccountRow(msgspec.Struct):
    currency: str
    type: str
    balance: msgspec.Raw
    available: msgspec.Raw


class Overview(msgspec.Struct, rename="camel"):
    currency: str
    account_equity: msgspec.Raw
    available_balance: msgspec.Raw
    unrealised_pnl: msgspec.Raw = msgspec.field(name="unrealisedPNL", default=_NONE)


class FeeRow(msgspec.Struct, rename="camel"):
    symbol: str
    taker_fee_rate: msgspec.Raw
    maker_fee_rate: msgspec.Raw


class FundingRow(msgspec.Struct, rename="camel"):
    symbol: str
    time_point: msgspec.Raw
    funding: msgspec.Raw
    settle_currency: str
    funding_rate: msgspec.Raw = _NONE
    id: Id | None = None


class LedgerRow(msgspec.Struct, rename="camel"):
    """A line of the spot ledger; the amount bears no sign, and what is left after the fee."""

    id: Id
    currency: str
    amount: msgspec.Raw
    biz_type: str
    direction: str
    created_at: msgspec.Raw
    fee: msgspec.Raw = _NONE
    balance: msgspec.Raw = _NONE
    context: str | None = ""


class Context(msgspec.Struct):
    """What a line of the spot ledger says of its trade, as JSON in a text."""

    symbol: str = ""


class EntryRow(msgspec.Struct, rename="camel"):
    """A line of the futures ledger; -1 is the offset of what is not booked yet."""

    time: msgspec.Raw
    type: str
    amount: msgspec.Raw
    status: str
    currency: str
    offset: int
    fee: msgspec.Raw = _NONE
    remark: str | None = ""


class ModeRow(msgspec.Struct, rename="camel"):
    position_mode: Id


class MarginRow(msgspec.Struct, rename="camel"):
    margin_mode: str


class LeverageRow(msgspec.Struct, rename="camel"):
    leverage: msgspec.Raw


class KeyRow(msgspec.Struct, rename="camel"):
    permission: str
    ip_whitelist: str | None = ""


STREAM_ORDER = msgspec.json.Decoder(StreamOrder)
STREAM_BALANCE = msgspec.json.Decoder(StreamBalance)
STREAM_WALLET = msgspec.json.Decoder(StreamWallet)
POSITION = msgspec.json.Decoder(PositionRow)
SETTLEMENT = msgspec.json.Decoder(Settlement)
PLACED = msgspec.json.Decoder(Placed)
ORDER = msgspec.json.Decoder(OrderRow)
FILL = msgspec.json.Decoder(FillRow)
PAGE = msgspec.json.Decoder(Page)
SYMBOLS = msgspec.json.Decoder(Symbols)
ACCOUNT = msgspec.json.Decoder(AccountRow)
OVERVIEW = msgspec.json.Decoder(Overview)
FEE = msgspec.json.Decoder(FeeRow)
FUNDING = msgspec.json.Decoder(FundingRow)
LEDGER = msgspec.json.Decoder(LedgerRow)
CONTEXT = msgspec.json.Decoder(Context)
ENTRY = msgspec.json.Decoder(EntryRow)
MODE = msgspec.json.Decoder(ModeRow)
MARGIN = msgspec.json.Decoder(MarginRow)
LEVERAGE = msgspec.json.Decoder(LeverageRow)
KEY = msgspec.json.Decoder(KeyRow)

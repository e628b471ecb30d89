"""OKX's private rows as they are written: only what is read, so that new fields break nothing.

Source: API v5, "Order Book Trading, WS Order channel", "Trading Account". Numbers are strings,
"" where there is none.
"""

import msgspec


class ItemAnswer(msgspec.Struct, frozen=True):
    """One order of an answer to an order operation; `sCode` decides about it."""

    clOrdId: str = ""
    ordId: str = ""
    sCode: str = ""
    sMsg: str = ""


class OrderRow(msgspec.Struct, frozen=True):
    """An order of the orders channel, where fill fields speak of this push, or of REST."""

    instType: str
    instId: str
    ordId: str
    state: str
    side: str
    sz: str
    clOrdId: str = ""
    px: str = ""
    accFillSz: str = ""
    fillPx: str = ""
    fillSz: str = ""
    fillTime: str = ""
    tradeId: str = ""
    execType: str = ""
    fillFee: str = ""
    fillFeeCcy: str = ""
    category: str = ""
    cancelSource: str = ""
    reqId: str = ""
    amendResult: str = ""
    amendSource: str = ""
    code: str = ""
    msg: str = ""
    uTime: str = ""


class FillRow(msgspec.Struct, frozen=True):
    """A fill of REST."""

    instId: str
    tradeId: str
    ordId: str
    fillPx: str
    fillSz: str
    side: str
    billId: str
    instType: str = ""
    clOrdId: str = ""
    subType: str = ""
    execType: str = ""
    fee: str = ""
    feeCcy: str = ""
    ts: str = ""
    fillTime: str = ""


class PositionRow(msgspec.Struct, frozen=True):
    instId: str
    instType: str
    pos: str
    posSide: str
    mgnMode: str = ""
    avgPx: str = ""
    liqPx: str | None = None
    adl: str | None = None


class CoinRow(msgspec.Struct, frozen=True):
    ccy: str
    cashBal: str
    availBal: str = ""
    liab: str = ""


class BalanceRow(msgspec.Struct, frozen=True):
    details: list[CoinRow]


class BillRow(msgspec.Struct, frozen=True):
    """A line of the wallet; transfers name no instrument."""

    billId: str
    type: str
    ccy: str
    balChg: str
    ts: str
    instType: str = ""
    instId: str = ""
    subType: str = ""
    tradeId: str = ""
    bal: str = ""
    fee: str = ""
    pnl: str = ""


class FeeGroup(msgspec.Struct, frozen=True):
    maker: str
    taker: str
    groupId: str = ""


class FeeRow(msgspec.Struct, frozen=True):
    feeGroup: list[FeeGroup]


class ConfigRow(msgspec.Struct, frozen=True):
    acctLv: str = ""
    posMode: str = ""
    perm: str = ""
    ip: str = ""


class LeverageRow(msgspec.Struct, frozen=True):
    lever: str
    instId: str = ""
    mgnMode: str = ""
    posSide: str = ""


class AllowanceRow(msgspec.Struct, frozen=True):
    """The orders of a sub-account in two seconds; "" where no tier of ours is counted."""

    accRateLimit: str = ""


ITEMS = msgspec.json.Decoder(list[ItemAnswer])
ORDER = msgspec.json.Decoder(OrderRow)
FILL = msgspec.json.Decoder(FillRow)
POSITION = msgspec.json.Decoder(PositionRow)
BALANCE = msgspec.json.Decoder(BalanceRow)
BILL = msgspec.json.Decoder(BillRow)
FEE = msgspec.json.Decoder(FeeRow)
CONFIG = msgspec.json.Decoder(ConfigRow)
LEVERAGE = msgspec.json.Decoder(LeverageRow)
ALLOWANCE = msgspec.json.Decoder(AllowanceRow)

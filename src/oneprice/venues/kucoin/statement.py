"""Rows of KuCoin's two ledgers as lines of a statement.

Source: KuCoin API docs, "Get Account Ledgers - Trade_hf" (its example adds up: the amount is what
is left after the fee) and "Get Account Ledgers - Futures". The futures ledger has one word for
profit, fees and funding of a contract, RealisedPNL, and books them when a settlement period of
eight hours ends; what runs until then is told as Pending and is no line. So funding comes within
lines of kind "trade" there, and a futures wallet differs from its lines within a period.
"""

from collections.abc import Mapping

import msgspec

from oneprice.model.events import StatementKind, StatementLine
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import InstrumentId, Nanos
from oneprice.venues.kucoin import NAME
from oneprice.venues.kucoin.listing import coin
from oneprice.venues.kucoin.rows import CONTEXT, EntryRow, LedgerRow
from oneprice.venues.kucoin.wire import decimal, decimal_or_zero, is_there, milliseconds

# Fees that come back are told by nobody else; "OTHER" says nothing of itself.
_SPOT: Mapping[str, StatementKind] = {
    "TRADE_EXCHANGE": "trade",
    "TRANSFER": "transfer",
    "SUB_TRANSFER": "transfer",
    "BROKER_TRANSFER": "transfer",
    "DEPOSIT": "transfer",
    "WITHDRAW": "transfer",
    "WITHDRAWAL": "transfer",
    "RETURNED_FEES": "correction",
    "DEDUCTION_FEES": "fee",
    "REBATE": "correction",
    "KUCOIN_BONUS": "correction",
}
_FUTURES: Mapping[str, StatementKind] = {
    "realisedpnl": "trade",
    "deposit": "transfer",
    "withdrawal": "transfer",
    "transferin": "transfer",  # both spellings are documented
    "transferout": "transfer",
}
_SIGNS = {"in": 1, "out": -1}


def spot(
    row: LedgerRow, listed: Mapping[InstrumentId, Instrument], at: Nanos
) -> StatementLine:
    """A line of the trade account; ValueError where it says not which way the money went."""
    sign = _SIGNS.get(row.direction)
    if sign is None:
        raise ValueError(f"direction: expected in or out, found {row.direction[:20]!r}")
    return StatementLine(
        at=at,
        venue=NAME,
        wallet="spot",
        asset=row.currency,
        amount=sign * decimal(row.amount, "amount"),
        kind=_SPOT.get(row.biz_type, "other"),
        record_id=str(row.id),
        instrument=_named(listed, "spot", _symbol(row.context)),
        fee=decimal_or_zero(row.fee, "fee"),
        balance=decimal(row.balance, "balance") if is_there(row.balance) else None,
        venue_ms=milliseconds(row.created_at, "createdAt"),
        text=row.biz_type,
    )


def futures(
    row: EntryRow, listed: Mapping[InstrumentId, Instrument], at: Nanos
) -> StatementLine | None:
    """A line of the futures wallet; None for what is not booked yet.

    Its equity is with or without unrealised profit, nobody says: no balance is told.
    """
    if row.status != "Completed":
        return None
    if row.offset <= 0:
        raise ValueError(f"offset: expected above 0 of a line that is booked, found {row.offset}")
    return StatementLine(
        at=at,
        venue=NAME,
        wallet="futures",
        asset=coin(row.currency),
        amount=decimal(row.amount, "amount"),
        kind=_FUTURES.get(row.type.lower(), "other"),
        record_id=str(row.offset),
        instrument=_named(listed, "futures", row.remark or ""),
        fee=decimal_or_zero(row.fee, "fee"),
        venue_ms=milliseconds(row.time, "time"),
        text=row.type,
    )


def _symbol(context: str | None) -> str:
    """The symbol in the context of a trade; an older form of it is no JSON and is not read."""
    try:
        return CONTEXT.decode(context or "{}").symbol
    except msgspec.MsgspecError:
        return ""


def _named(
    listed: Mapping[InstrumentId, Instrument], market: str, symbol: str
) -> InstrumentId:
    """Our id of a symbol, "" for texts that are none."""
    name = instrument_id(NAME, market, symbol)
    return name if name in listed else ""

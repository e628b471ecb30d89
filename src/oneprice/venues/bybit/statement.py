"""Rows of Bybit's transaction log as lines of a statement.

Source: Bybit v5 docs, "Get Transaction Log": change = cashFlow + funding - fee, cashBalance is
the wallet after it. The list of types is open: a word that is not known here is "other".
"""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.events import StatementKind, StatementLine
from oneprice.model.instrument import instrument_id
from oneprice.model.units import ZERO, Nanos
from oneprice.venues.bybit import NAME
from oneprice.venues.bybit.wire import LogRow, decimal, decimal_or_zero, whole

WALLET = "unified"
# Borrowing and repaying move what is owed as well, conversions are not orders of ours: "other".
_KINDS: Mapping[str, StatementKind] = {
    "TRADE": "trade",
    "SETTLEMENT": "funding",
    "INTEREST": "interest",
    "TRANSFER_IN": "transfer",
    "TRANSFER_OUT": "transfer",
    "LIQUIDATION": "liquidation",
    "ADL": "liquidation",
    "DELIVERY": "delivery",
    "FEE_REFUND": "correction",
    "AIRDROP": "correction",
    "BONUS": "correction",
    "BONUS_RECOLLECT": "correction",
}
_FORCED = ("liquidation", "delivery")


def lines(row: LogRow, at: Nanos) -> Sequence[StatementLine]:
    """One line, or two where a settlement carries funding and realised profit (USDC perpetuals).

    A forced closing that names a trade is that trade, which the executions tell as well; only
    what has no trade of its own is an extra cost.
    """
    kind = _KINDS.get(row.type, "other")
    if kind in _FORCED and row.trade_id:
        kind = "trade"
    change, fee = decimal(row.change), decimal_or_zero(row.fee)
    cash = decimal_or_zero(row.cash_flow)
    name = instrument_id(NAME, row.category, row.symbol) if row.category and row.symbol else ""
    if not row.id:
        raise ValueError("id: expected a text, found none")
    whole_line = StatementLine(
        at=at,
        venue=NAME,
        wallet=WALLET,
        asset=row.currency,
        amount=change,
        kind=kind,
        record_id=row.id,
        instrument=name,
        fee=fee,
        balance=decimal(row.cash_balance) if row.cash_balance else None,
        venue_ms=whole(row.transaction_time),
        text=row.type,
    )
    if kind != "funding" or not cash:
        return (whole_line,)
    replace = msgspec.structs.replace
    paid = replace(whole_line, amount=change - cash, balance=None)
    profit = replace(
        whole_line, amount=cash, kind="trade", record_id=f"{row.id}:profit", fee=ZERO
    )
    return (paid, profit)

"""BitMEX's executions and wallet rows as lines of a statement.

Source: protocol document, sections 8, 11 and 12; the venue's public schema for `realisedPnl` of
an execution and for the wallet's rows. An execution moves the wallet by its realised profit less
its commission. RealisedPNL rows of the wallet sum the same up by day and contract, Unrealised ones
move nothing: neither is a line.
"""

from collections.abc import Mapping

from oneprice.model.events import StatementKind, StatementLine
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import InstrumentId, Nanos
from oneprice.venues.bitmex import MARKET, NAME
from oneprice.venues.bitmex.listing import CURRENCIES, amount, asset
from oneprice.venues.bitmex.wire import (
    ExecutionRow,
    WalletRow,
    count,
    moment_ms,
    plainly,
)

WALLET = "margin"
_SUMS = ("RealisedPNL", "UnrealisedPNL", "Funding")  # of the executions
_KINDS: Mapping[str, StatementKind] = {
    "Deposit": "transfer",
    "Withdrawal": "transfer",
    "Transfer": "transfer",
    "AffiliatePayout": "correction",
    "Interest": "interest",
}


def execution(
    row: ExecutionRow, listed: Mapping[InstrumentId, Instrument], at: Nanos
) -> StatementLine | None:
    """What an execution moved; None for one that moved nothing, such as a note.

    Forced closings are fills, which the fills tell as well: only what moves money without a size
    (insurance) is a cost beside them. ValueError where the profit is not stated: without it the
    line would be wrong by just that.
    """
    currency = row.settl_currency or ""
    paid = count(row.exec_comm or 0, "execComm")
    kind: StatementKind = "trade"
    profit = 0
    if row.exec_type == "Funding":
        kind = "funding"
    elif row.last_qty:
        profit = count(row.realised_pnl, "realisedPnl")
    else:
        kind = "liquidation"
        if not paid:
            return None
    name = instrument_id(NAME, MARKET, row.symbol)
    return StatementLine(
        at=at,
        venue=NAME,
        wallet=WALLET,
        asset=asset(currency),
        amount=amount(profit - paid, currency),
        kind=kind,
        record_id=plainly(row.exec_id, "execID"),
        instrument=name if name in listed else "",
        fee=amount(paid if kind == "trade" else 0, currency),
        venue_ms=moment_ms(row.transact_time or row.timestamp, "transactTime"),
        text=row.exec_type,
    )


def wallet(row: WalletRow, at: Nanos) -> StatementLine | None:
    """A row of the wallet's history that no execution tells; None for the others.

    Also None for what is not completed, and for coins that nothing listed here settles in. The
    amount of a withdrawal holds its fee.
    """
    if row.transact_type in _SUMS or row.transact_status != "Completed":
        return None
    if row.currency not in CURRENCIES:
        return None
    kind = _KINDS.get(row.transact_type, "other")
    if kind == "transfer" and "bonus" in (row.text or "").lower():
        kind = "correction"  # a gift comes as a transfer
    return StatementLine(
        at=at,
        venue=NAME,
        wallet=WALLET,
        asset=asset(row.currency),
        amount=amount(count(row.amount, "amount"), row.currency),
        kind=kind,
        record_id=plainly(row.transact_id, "transactID"),
        fee=amount(count(row.fee or 0, "fee"), row.currency),
        # A withdrawal is asked for at one time and carried out at another, which is this.
        venue_ms=moment_ms(row.timestamp or row.transact_time, "timestamp"),
        text=row.transact_type,
    )

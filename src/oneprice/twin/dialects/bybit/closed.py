"""Closed profit per closing order, entry and exit fees included, counted fill by fill."""

from decimal import Decimal

import msgspec

from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import ROUNDED, ZERO, InstrumentId, Money, Side
from oneprice.twin.contract import Fill


class ClosedProfit(msgspec.Struct, kw_only=True):
    """What one order closed so far; `profit` is after the fees of both ends."""

    order_id: int
    instrument: InstrumentId
    side: Side
    closed_lots: int = 0
    entry_value: Money = ZERO
    exit_value: Money = ZERO
    open_fee: Money = ZERO
    close_fee: Money = ZERO
    fills: int = 0
    created_at: int = 0
    updated_at: int = 0
    profit: Money = ZERO


class _Held(msgspec.Struct):
    lots: int = 0
    open_fees: Money = ZERO


class ClosedProfits:
    """Follows every fill once, in order; keeps the fees that open positions have cost."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, InstrumentId, int], _Held] = {}
        self._orders: dict[tuple[str, int], ClosedProfit] = {}
        self._last: dict[str, int] = {}

    def fill(self, fill: Fill, instrument: Instrument, position_index: int) -> None:
        """Take one derivative fill into account; one that was counted before changes nothing."""
        if fill.id <= self._last.get(fill.account, 0):
            return
        self._last[fill.account] = fill.id
        key = (fill.account, fill.instrument, position_index)
        held = self._held.setdefault(key, _Held())
        share = ROUNDED.divide(Decimal(fill.closed_lots), Decimal(fill.lots))
        close_fee = round(fill.fee * share, 8)
        if fill.closed_lots:
            part = ZERO
            if held.lots:
                part = round(held.open_fees * fill.closed_lots / held.lots, 8)
            self._close(fill, instrument, part, close_fee)
            held.lots -= fill.closed_lots
            held.open_fees -= part
        held.lots += fill.lots - fill.closed_lots
        held.open_fees += fill.fee - close_fee

    def of_order(self, account: str, order_id: int) -> Decimal:
        found = self._orders.get((account, order_id))
        return found.profit if found else ZERO

    def rows(self, account: str) -> list[ClosedProfit]:
        """Newest first."""
        rows = [one for (owner, _), one in self._orders.items() if owner == account]
        return sorted(rows, key=lambda one: (one.updated_at, one.order_id), reverse=True)

    def _close(
        self, fill: Fill, instrument: Instrument, open_fee: Money, close_fee: Money
    ) -> None:
        row = self._orders.setdefault(
            (fill.account, fill.order_id),
            ClosedProfit(
                order_id=fill.order_id,
                instrument=fill.instrument,
                side=fill.side,
                created_at=fill.at,
            ),
        )
        value = round(fill.value * fill.closed_lots / fill.lots, 8)
        # A long earns when it leaves for more quote, or, counted in coins, for fewer of them.
        gain = fill.realised if fill.side is Side.SELL else -fill.realised
        if instrument.payoff is Payoff.INVERSE:
            gain = -gain
        row.closed_lots += fill.closed_lots
        row.exit_value += value
        row.entry_value += value - gain
        row.open_fee += open_fee
        row.close_fee += close_fee
        row.fills += 1
        row.updated_at = fill.at
        row.profit += fill.realised - open_fee - close_fee

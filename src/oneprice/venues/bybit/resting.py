"""What rests where: an order whose price or size is told anew has been amended.

An answer of 0 to an amend only says that it was taken; the stream or a query tells the new price
and size. The venue may also move the price of a derivative's order into its band by itself
(Bybit v5 docs, "Place Order"), and that is told in the same way.
"""

from collections.abc import Sequence

import msgspec

from oneprice.model.events import OrderAmended
from oneprice.model.instrument import Instrument
from oneprice.model.units import Lots, Nanos, OrderId, Ticks
from oneprice.venues.bybit.wire import OrderRow, decimal, whole

_KNOWN_MAX = 4096
_RESTING = ("New", "PartiallyFilled")


class _Terms(msgspec.Struct, frozen=True):
    ticks: Ticks
    lots: Lots
    told_ms: int


class Resting:
    """Price and size of our orders as last told, by client id."""

    def __init__(self) -> None:
        self._known: dict[OrderId, _Terms] = {}

    def placed(self, order_id: OrderId, ticks: Ticks, lots: Lots) -> None:
        """We asked for these; the venue's own word counts from its first row on."""
        self._keep(order_id, _Terms(ticks, lots, 0))

    def seen(self, row: OrderRow, item: Instrument, at: Nanos) -> Sequence[OrderAmended]:
        """One event where this row tells other terms than the newest one before it."""
        order_id = row.order_link_id
        if row.order_status not in _RESTING or not order_id:
            self._known.pop(order_id, None)
            return ()
        if not row.price or not row.qty:
            return ()
        ticks, lots = item.ticks(decimal(row.price)), item.lots(decimal(row.qty))
        if not ticks:
            return ()  # an order at the market
        new = _Terms(ticks, lots, whole(row.updated_time or "0"))
        had = self._known.get(order_id)
        if had is not None and new.told_ms < had.told_ms:
            return ()  # a query that was slower than the stream
        self._keep(order_id, new)
        if had is None or (had.ticks, had.lots) == (ticks, lots):
            return ()
        return (OrderAmended(at=at, order_id=order_id, ticks=ticks, lots=lots),)

    def _keep(self, order_id: OrderId, terms: _Terms) -> None:
        self._known[order_id] = terms
        if len(self._known) > _KNOWN_MAX:
            del self._known[next(iter(self._known))]

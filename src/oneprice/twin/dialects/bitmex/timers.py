"""What happens by the clock: the dead man's switch, and the end of orders for a day."""

from oneprice.model.units import HOUR, MILLI
from oneprice.twin.dialects.bitmex.envelope import Row, invalid, iso
from oneprice.twin.dialects.bitmex.order_entry import OrderEntry

NEVER = "0"  # what the venue tells of a switch that was cleared


class Timers:
    """`cancelAllAfter` of every account, by REST and by WebSocket; one switch each."""

    def __init__(self, entry: OrderEntry, keys: list[str], at: int) -> None:
        self._entry = entry
        self._keys = keys
        self._due: dict[str, int] = {}
        self._day = at // (24 * HOUR)

    def arm(self, key: str, timeout_ms: int | None, at: int) -> Row:
        """Cancels everything in so many ms unless armed again; 0 clears (section 11)."""
        if timeout_ms is None or timeout_ms < 0:
            raise invalid("'timeout' must be a number of milliseconds")
        if timeout_ms == 0:
            self._due.pop(key, None)
            return {"now": iso(at), "cancelTime": NEVER}
        self._due[key] = at + timeout_ms * MILLI
        return {"now": iso(at), "cancelTime": iso(self._due[key])}

    def beat(self, at: int) -> None:
        for key, due in list(self._due.items()):
            if due <= at:
                del self._due[key]
                self._entry.cancel_for(key, "Canceled by cancelAllAfter", at)
        if at // (24 * HOUR) > self._day:
            self._day = at // (24 * HOUR)
            for key in self._keys:
                self._entry.cancel_for(
                    key, "Order had timeInForce of Day", at, day_orders=True
                )

"""What this wire side remembers of orders beyond what the exchange keeps."""

from decimal import Decimal

import msgspec

from oneprice.model.units import ZERO
from oneprice.twin.contract import Exchange, Fill, Order, State

# Why an order ended (section 10.5); "" while it lives or was filled.
CANCEL_SOURCES = {
    "user": "1",
    "liquidated": "2",
    "adl": "6",
    "delisted": "7",
    "delivery": "7",
    "fok": "13",
    "ioc": "14",
    "no_liquidity": "14",
    "reduce_only": "22",
    "post_only": "31",
    "self_trade": "32",
}
CATEGORIES = {"liquidation": "full_liquidation", "adl": "adl", "delivery": "delivery"}


class Amendment(msgspec.Struct, frozen=True):
    """What a client called its amendment, and how it went (amendResult)."""

    request: str
    result: str
    source: str = "1"  # amendSource


NO_AMENDMENT = Amendment("", "", "")
SYSTEM_CUT = Amendment("", "2", "4")  # a reduce-only order that was cut to the position


class Notes:
    """Amendments by order and count, ends with a special cause, bills of fills."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.amendments: dict[tuple[int, int], Amendment] = {}
        self.sources: dict[int, str] = {}  # cancelSource that the exchange does not know
        self.cut: dict[int, None] = {}  # amended to what was filled already: they are filled
        self._bills: dict[str, dict[int, int]] = {}
        self._read: dict[str, int] = {}

    def state(self, order: Order) -> str:
        """The venue's word for the state of an order."""
        match order.state:
            case State.NEW:
                return "live"
            case State.PARTIAL:
                return "partially_filled"
            case State.FILLED:
                return "filled"
            case _:
                return "filled" if order.id in self.cut else "canceled"

    def cancel_source(self, order: Order) -> str:
        """Why the order was cancelled, "" where it was not."""
        if self.state(order) != "canceled":
            return ""
        return self.sources.get(order.id) or CANCEL_SOURCES.get(order.reason, "0")

    def told(self, order: Order, cause: str) -> Amendment:
        """What a push says of an amendment: each is told once, with the change that it made."""
        if cause not in ("amended", "cancelled"):
            return NO_AMENDMENT
        found = self.amendments.pop((order.id, order.amended), None)
        if found is None and cause == "amended":
            return SYSTEM_CUT
        return found or NO_AMENDMENT

    def bill_of(self, key: str, fill_id: int) -> int:
        """The number of the first log row of a fill or funding, 0 where there is none."""
        wallet = self._exchange.setup.wallets[0].name
        found = self._bills.setdefault(key, {})
        if fill_id not in found:
            log = self._exchange.log(key, wallet)
            for row in log[self._read.get(key, 0) :]:
                found.setdefault(row.fill_id, row.id)
            self._read[key] = len(log)
        return found.get(fill_id, 0)


def profit(fills: list[Fill]) -> Decimal:
    """Realised profit of an order over its fills, fees not included."""
    return sum((fill.realised for fill in fills), ZERO)

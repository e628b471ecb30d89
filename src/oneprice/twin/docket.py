"""Every order and fill of every customer, found by venue id, client id, market or instrument."""

import msgspec

from oneprice.model.instrument import split_id
from oneprice.model.units import InstrumentId
from oneprice.twin.contract import Fill, FundingSettled, Order, OrderRequest, Refusal


class Docket:
    """Latest snapshots; open ones are also kept by account and instrument."""

    def __init__(self, first_id: int, *, client_ids_forever: bool) -> None:
        self._forever = client_ids_forever
        self._next_order = first_id
        self._next_fill = first_id
        self._orders: dict[int, Order] = {}
        self._of_account: dict[str, list[int]] = {}
        self._open: dict[tuple[str, InstrumentId], dict[int, None]] = {}
        self._client_ids: dict[tuple[str, str], list[int]] = {}
        self._fills: dict[str, list[Fill]] = {}
        self._fundings: dict[str, list[FundingSettled]] = {}

    def next_order_id(self) -> int:
        self._next_order += 1
        return self._next_order

    def next_fill_id(self) -> int:
        self._next_fill += 1
        return self._next_fill

    def check_client_id(self, request: OrderRequest) -> None:
        """Refusal duplicate_id by the venue's rule."""
        if not request.client_id:
            return
        market = split_id(request.instrument)[1]
        for order in self._named(request.account, request.client_id, market, ""):
            if self._forever or order.open:
                raise Refusal("duplicate_id", request.client_id)

    def put(self, order: Order) -> Order:
        """Keeps a snapshot, the first or a later one."""
        known = order.id in self._orders
        self._orders[order.id] = order
        opened = self._open.setdefault((order.account, order.instrument), {})
        if order.open:
            opened[order.id] = None
        else:
            opened.pop(order.id, None)
        if not known:
            self._of_account.setdefault(order.account, []).append(order.id)
            if order.client_id:
                named = self._client_ids.setdefault((order.account, order.client_id), [])
                named.append(order.id)
        return order

    def change(self, order_id: int, **fields: object) -> Order:
        return self.put(msgspec.structs.replace(self._orders[order_id], **fields))

    def get(self, order_id: int) -> Order:
        return self._orders[order_id]

    def find(self, key: str, order_id: int) -> Order:
        order = self._orders.get(order_id)
        if order is None or order.account != key:
            raise Refusal("no_such_order", str(order_id))
        return order

    def living(self, key: str, order_id: int) -> Order:
        order = self.find(key, order_id)
        if not order.open:
            raise Refusal("order_closed", f"{order_id} is {order.state.value}")
        return order

    def by_client_id(self, key: str, client_id: str, instrument: InstrumentId) -> Order:
        found = self._named(key, client_id, "", instrument)
        if not found:
            raise Refusal("no_such_order", client_id)
        return found[-1]

    def _named(
        self, key: str, client_id: str, market: str, instrument: InstrumentId
    ) -> list[Order]:
        """Orders of a client id, oldest first; markets of a venue do not share ids."""
        orders = (self._orders[one] for one in self._client_ids.get((key, client_id), ()))
        return [order for order in orders if _fits(order.instrument, market, instrument)]

    def customers(self) -> list[str]:
        """Who ever ordered, in order of their first order."""
        return list(self._of_account)

    def open_in(self, key: str, instrument: InstrumentId) -> list[Order]:
        """Open orders of one customer in one instrument, oldest first."""
        return [self._orders[one] for one in self._open.get((key, instrument), ())]

    def orders(
        self, key: str, market: str, instrument: InstrumentId, only_open: bool
    ) -> list[Order]:
        if only_open:
            ids = sorted(
                order_id
                for (owner, where), opened in self._open.items()
                if owner == key and _fits(where, market, instrument)
                for order_id in opened
            )
            return [self._orders[one] for one in ids]
        found = (self._orders[one] for one in self._of_account.get(key, ()))
        return [order for order in found if _fits(order.instrument, market, instrument)]

    def add_fill(self, fill: Fill) -> None:
        self._fills.setdefault(fill.account, []).append(fill)

    def fills(self, key: str, market: str, instrument: InstrumentId, order_id: int) -> list[Fill]:
        return [
            fill
            for fill in self._fills.get(key, ())
            if _fits(fill.instrument, market, instrument) and order_id in (0, fill.order_id)
        ]

    def add_funding(self, settled: FundingSettled) -> None:
        self._fundings.setdefault(settled.account, []).append(settled)

    def fundings(self, key: str, market: str) -> list[FundingSettled]:
        return [one for one in self._fundings.get(key, ()) if _fits(one.instrument, market, "")]


def _fits(found: InstrumentId, market: str, instrument: InstrumentId) -> bool:
    if instrument:
        return found == instrument
    return not market or split_id(found)[1] == market

"""The bookkeeper: turns fills and settlements into postings, each under its group."""

from collections import OrderedDict

import msgspec

from oneprice.core.ledger import STRAY, FillFacts
from oneprice.core.orders import Order
from oneprice.core.sight import Parts
from oneprice.model.events import FundingBooked, OrderFilled
from oneprice.model.units import ZERO, InstrumentId, Money, Nanos

GROUPS_KEPT = 5_000  # finished groups whose profit can still be asked for one by one
RECORDS_KEPT = 50_000  # settlement records remembered against doubles
SETTLEMENTS_KEPT = 1_000  # settlements kept for people


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """One funding settlement as booked, and beside it what was expected of it."""

    at: Nanos
    instrument: InstrumentId
    booked: Money
    expected: Money | None
    asset: str


class Bookkeeper:
    """Writes the ledger; knows which group every order belongs to."""

    def __init__(self, parts: Parts) -> None:
        self._market = parts.market
        self._accounts = parts.accounts
        self._holdings = parts.holdings
        self._ledger = parts.ledger
        self._roots: OrderedDict[str, str] = OrderedDict()
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._records: OrderedDict[tuple[InstrumentId, str], None] = OrderedDict()
        self.settlements: list[Settlement] = []

    def adopt(self, group: str, root: str) -> None:
        """From now on the fills of a group are the profit of `root`."""
        self._roots[group] = root
        if len(self._roots) > 4 * GROUPS_KEPT:
            self._roots.popitem(last=False)

    def root(self, group: str) -> str:
        """Whose profit a group is; itself where that is no longer known."""
        return self._roots.get(group, group)

    def done(self, root: str) -> None:
        """Nothing more is expected of a group; old ones live on in the totals."""
        if not root:
            return
        self._finished[root] = None
        if len(self._finished) > GROUPS_KEPT:
            oldest, _ = self._finished.popitem(last=False)
            self._ledger.forget(oldest)

    def fill(self, order: Order | None, fill: OrderFilled) -> None:
        """Post one counted execution."""
        listed = self._market.known_instrument(fill.instrument)
        root = self._roots.get(order.group, STRAY) if order is not None else STRAY
        self._ledger.fill(
            FillFacts(
                instrument=listed,
                wallet=self._accounts.wallet_of(listed.venue, listed.market),
                group=root,
                side=fill.side,
                ticks=fill.ticks,
                lots=fill.lots,
                decided=order.touch if order is not None else fill.ticks,
                fee=fill.fee,
                fee_asset=fill.fee_asset,
                repair=order is not None and order.repair,
            )
        )
        self._market.remember(listed.id, listed.price(fill.ticks))

    def funding(self, event: FundingBooked) -> bool:
        """Post a settlement once; those before the opening balance are in it already."""
        key = (event.instrument, event.record_id)
        if key in self._records:
            return False
        self._records[key] = None
        if len(self._records) > RECORDS_KEPT:
            self._records.popitem(last=False)
        listed = self._market.instrument(event.instrument)
        if listed is None or not self._accounts.is_checked(listed):
            return False
        opened_ms = self._accounts.checked_at[listed.venue, listed.market] // 1_000_000
        if 0 < event.venue_ms < opened_ms:
            return False
        wallet = (listed.venue, self._accounts.wallet_of(listed.venue, listed.market))
        shares = self._holdings.share(event.instrument, event.amount)
        self._ledger.funding(wallet, event.asset, shares)
        rate = self._market.rate(event.asset)
        for holding, amount in shares:
            self._holdings.funded(holding, amount * rate if rate is not None else ZERO)
        forecast, mark = self._market.funding(listed.id), self._market.price(listed.id)
        lots = self._ledger.lots(listed.id)
        expected = listed.funding(mark, lots, forecast.rate) if forecast and mark else None
        self.settlements.append(
            Settlement(
                at=event.at,
                instrument=listed.id,
                booked=event.amount,
                expected=expected,
                asset=event.asset,
            )
        )
        del self.settlements[:-SETTLEMENTS_KEPT]
        return True

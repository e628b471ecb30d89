"""Given back: what others closed of our spot legs while nobody of us looked.

A coin of an account may be anybody's, so no fill of a stranger touches a spot leg by itself. But
after a death somebody may have closed what was left: a hand of ours, which notes each leg, or a
person. What is gone so is gone from our books as well: named, and never traded once more.
"""

from collections.abc import Sequence
from decimal import Decimal

from oneprice.core.orders import Order
from oneprice.core.record import Record
from oneprice.core.repairs import Group, by_the_venue
from oneprice.core.sight import Parts
from oneprice.core.strategy import Discrepancy, Holding, HoldingLeg, IntentLeg
from oneprice.model.commands import AnyCommand
from oneprice.model.events import GivenBack, OrderFilled
from oneprice.model.instrument import Instrument
from oneprice.model.units import ZERO, Asset, InstrumentId, Lots, Side, plain


class SpotGone:
    """Which spot legs others have closed, by leg; `hear` takes them out of groups and holdings."""

    def __init__(self, parts: Parts, record: Record) -> None:
        self._market = parts.market
        self._accounts = parts.accounts
        self._groups = parts.groups
        self._holdings = parts.holdings
        self._record = record
        self._known: dict[tuple[str, InstrumentId], int] = {}  # signed lots, as they were held
        # Signed changes of legs whose fills may still be told, and must not count again.
        self._awaited: dict[InstrumentId, int] = {}
        # Signed lots that strangers traded since the last start knew its legs.
        self._strays: dict[InstrumentId, int] = {}

    def hear(self, event: GivenBack) -> list[AnyCommand]:
        """A word of how much of a leg is gone by now, in all."""
        listed = self._market.instrument(event.instrument)
        key = (event.root, event.instrument)
        change = self._known.get(key, 0) - event.lots
        if listed is None or listed.is_derivative or not change:
            return []
        self._known[key] = event.lots
        self._awaited[event.instrument] = self._awaited.get(event.instrument, 0) + change
        size = plain(abs(listed.size(change)))
        word = "given back" if change * event.lots < 0 else "not given back after all"
        self._record.differs(
            Discrepancy(
                at=self._market.now,
                kind="spot",
                subject=f"{event.root} {event.instrument}",
                expected="held",
                found=f"{size} {listed.base} {word}, by another hand than this process",
            )
        )
        for group in self._groups.living.values():
            if group.root == event.root:
                change -= self._in_flight(group, event.instrument, change)
        if change and self._holdings.get(event.root) is not None:
            return self._holdings.take(event.root, event.instrument, change)
        return []

    def _in_flight(self, group: Group, instrument: InstrumentId, change: int) -> int:
        """What of a change a group at work takes over: done of an exit, gone of an entry."""
        side = Side.BUY if change > 0 else Side.SELL
        closes, taken = bool(group.intent.closes), 0
        for leg in group.intent.legs:
            if leg.instrument != instrument or (leg.side is side) is not closes:
                continue
            mine = (o for o in group.orders if o.instrument == instrument)
            done = sum(int(o.side) * o.filled for o in mine) * int(leg.side)
            lots = min(abs(change) - taken, max(0, leg.lots - done if closes else done))
            if lots:
                group.forced = group.forced or not closes
                group.orders.append(self._as_order(group, leg, side, lots))
                taken += lots
        return int(side) * taken

    def _as_order(self, group: Group, leg: IntentLeg, side: Side, lots: int) -> Order:
        listed = self._market.known_instrument(leg.instrument)
        fill = OrderFilled(
            at=self._market.now, order_id="", instrument=leg.instrument, fill_id="", side=side,
            ticks=leg.touch, lots=Lots(lots), fee=ZERO, fee_asset=listed.quote,
        )  # fmt: skip
        return by_the_venue(group.id, listed, fill, Lots(lots))

    # What nobody noted ---------------------------------------------------------------------

    def stray(self, fill: OrderFilled, *, unwatched: bool) -> None:
        """A stranger's fill of coins; `unwatched`: from a time when nobody of us looked."""
        change = int(fill.side) * fill.lots
        awaited = self._awaited.get(fill.instrument, 0)
        if awaited * change > 0:
            known = min(abs(awaited), abs(change)) * int(fill.side)
            self._awaited[fill.instrument] = awaited - known
            change -= known
        if unwatched:
            self._strays[fill.instrument] = self._strays.get(fill.instrument, 0) + change

    def compared(self) -> None:
        """The venues were compared: what strangers trade from now on is theirs."""
        self._strays.clear()

    def found(self, broken: Sequence[Holding]) -> list[GivenBack]:
        """Who closed the other leg of a holding, and traded its coins the way that ends it, has
        closed the spot leg: sold once more they would be somebody else's."""
        notes: list[GivenBack] = []
        for holding in broken:
            for leg in holding.legs:
                gone = self._strays.get(leg.instrument, 0)
                if not self._is_spot(leg) or leg.lots * gone >= 0:
                    continue
                taken = min(abs(leg.lots), abs(gone)) * (1 if leg.lots > 0 else -1)
                self._strays[leg.instrument] = gone + taken
                notes.append(self._note(holding, leg, taken))
        return notes

    def missing(self, venue: str, wallet: str, asset: Asset, change: Decimal) -> list[GivenBack]:
        """A wallet that differs from our books by so many coins, which nothing explains: legs
        that it cannot hold any more, or that were bought back, newest holdings first."""
        notes: list[GivenBack] = []
        left = abs(change)
        for holding in reversed(list(self._holdings.of(""))):
            for leg in holding.legs:
                listed = self._market.known_instrument(leg.instrument)
                if not self._is_spot(leg) or leg.lots * change >= 0:
                    continue
                if (listed.venue, listed.base) != (venue, asset):
                    continue
                if self._accounts.wallet_of(venue, listed.market) != wallet:
                    continue
                lots = min(abs(int(leg.lots)), max(0, int(listed.lots_within(left))))
                if lots * 100 >= abs(leg.lots) * 99:
                    lots = abs(int(leg.lots))  # what lacks is a fee that was taken in the coin
                if lots:
                    left -= listed.size(lots) * listed.contract_value
                    notes.append(self._note(holding, leg, lots if leg.lots > 0 else -lots))
        return notes

    def _is_spot(self, leg: HoldingLeg) -> bool:
        return not self._market.known_instrument(leg.instrument).is_derivative

    def _note(self, holding: Holding, leg: HoldingLeg, taken: int) -> GivenBack:
        so_far = self._known.get((holding.id, leg.instrument), 0)
        return GivenBack(
            at=self._market.now, root=holding.id, instrument=leg.instrument, lots=so_far + taken
        )


def fill_text(fill: OrderFilled, listed: Instrument) -> str:
    """A fill in words."""
    size = f"{fill.side.name.lower()} {listed.size_text(fill.lots)} {listed.base}"
    return f"{size} in {listed.id} at {listed.price_text(fill.ticks)}, fill {fill.fill_id}"

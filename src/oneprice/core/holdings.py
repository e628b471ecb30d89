"""Holdings: what hedged groups left behind, whose it is, and what is left over as dust."""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal

import msgspec

from oneprice.core.groups import Group, Groups
from oneprice.core.ledger import FEES, QUANTUM, STRAY, Ledger
from oneprice.core.legs import State
from oneprice.core.market import Market
from oneprice.core.orders import Order
from oneprice.core.strategy import Holding, HoldingLeg, scaled
from oneprice.model.events import OrderFilled
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import EXACT, ROUNDED, ZERO, Asset, InstrumentId, Lots, Money, Ticks


class Holdings:
    """Every open holding, by the id of the group that opened it."""

    def __init__(self, market: Market, ledger: Ledger, groups: Groups) -> None:
        self._market = market
        self._ledger = ledger
        self._groups = groups
        self._open: dict[str, Holding] = {}
        self._dust: dict[Asset, Decimal] = {}
        # What the legs of an open holding differ by; a next exit may still take it along.
        self._rests: dict[str, dict[Asset, Decimal]] = {}
        self._broken: dict[str, None] = {}

    def get(self, holding: str) -> Holding | None:
        return self._open.get(holding)

    def of(self, strategy: str) -> Sequence[Holding]:
        if not self._open:
            return []
        return [h for h in self._open.values() if h.strategy == strategy or not strategy]

    # Groups that ended -------------------------------------------------------------------

    def ended(self, group: Group) -> str:
        """Take over what a group left. The id of a holding that closed, or ""."""
        rests = self._rests.setdefault(group.root, {})
        for asset, coins in self._groups.deltas(group).items():
            rests[asset] = EXACT.add(rests.get(asset, ZERO), coins)
        done = self._reduce(group) if group.intent.closes else self._take_over(group)
        if done:
            self._sweep_up(done)
        return done

    def _take_over(self, group: Group) -> str:
        if group.state is State.FLAT:
            self._ledger.move_to_legging(group.id)
            return group.id
        legs = self._legs(group)
        stuck = group.state is State.STUCK
        if stuck or any(self._is_derivative(leg) for leg in legs):
            self._open[group.id] = Holding(
                id=group.id,
                strategy=group.intent.strategy,
                pair=group.intent.pair,
                legs=legs,
                opened=self._market.now,
                card=scaled(group.intent.card, self._share_filled(group, legs)),
                fees_paid=self._fees_paid(group.id),
            )
            return ""
        return group.id

    def _legs(self, group: Group) -> tuple[HoldingLeg, ...]:
        legs: list[HoldingLeg] = []
        for instrument in dict.fromkeys(order.instrument for order in group.orders):
            listed = self._market.known_instrument(instrument)
            orders = [o for o in group.orders if o.instrument == instrument]
            lots = _lots_held(listed, orders)
            if lots:
                legs.append(
                    HoldingLeg(instrument=instrument, lots=lots, entry=_average(listed, orders))
                )
        return tuple(legs)

    def _reduce(self, group: Group) -> str:
        holding = self._open.get(group.intent.closes)
        if holding is None:
            return ""
        legs: list[HoldingLeg] = []
        for leg in holding.legs:
            listed = self._market.known_instrument(leg.instrument)
            orders = [o for o in group.orders if o.instrument == leg.instrument]
            lots = Lots(leg.lots + _lots_held(listed, orders))
            gone = lots == 0 or (lots > 0) is not (leg.lots > 0)
            if not gone and abs(lots) < listed.lots_min:
                gone = not listed.is_derivative
            if not gone:
                legs.append(HoldingLeg(instrument=leg.instrument, lots=lots, entry=leg.entry))
        # What is left of a spot leg when the other leg is gone is dust, counted as such.
        hedged = any(self._is_derivative(leg) for leg in legs)
        if not hedged and group.state is not State.STUCK:
            del self._open[holding.id]
            return holding.id
        share = _share_left(holding.legs, legs)
        self._open[holding.id] = msgspec.structs.replace(
            holding,
            legs=tuple(legs),
            card=scaled(holding.card, share),
            fees_paid=ROUNDED.multiply(holding.fees_paid, share),
            funding=ROUNDED.multiply(holding.funding, share),
        )
        return ""

    def _share_filled(self, group: Group, legs: Sequence[HoldingLeg]) -> Decimal:
        """How much of what was planned was traded; 1 where no leg tells."""
        for planned in group.intent.legs:
            for leg in legs:
                if leg.instrument == planned.instrument and self._is_derivative(leg):
                    return ROUNDED.divide(Decimal(abs(leg.lots)), planned.lots)
        return Decimal(1)

    def late(self, root: str, order: Order, fill: OrderFilled) -> None:
        """A fill of a group that had ended already (stuck, or contradicted by its venue)."""
        if root in self._open:
            self._change(root, order.instrument, int(order.side) * fill.lots, order.ticks)

    def struck(self, instrument: InstrumentId, change: int, ticks: Ticks) -> None:
        """A position changed by nobody's order of ours: liquidated, deleveraged, delivered, or
        traded by hand. The legs that it made smaller, oldest holdings first, are gone: to close
        them once more would open the opposite, and their other legs stand alone from now on."""
        for holding in list(self._open.values()):
            for leg in holding.legs:
                if leg.instrument == instrument and leg.lots * change < 0:
                    taken = min(abs(leg.lots), abs(change)) * (1 if change > 0 else -1)
                    self._change(holding.id, instrument, taken, ticks)
                    self._broken[holding.id] = None
                    change -= taken

    def broken(self) -> list[Holding]:
        """Open holdings of which the venue, or somebody, took a part."""
        self._broken = {root: None for root in self._broken if root in self._open}
        return [self._open[root] for root in self._broken]

    def _change(self, root: str, instrument: InstrumentId, change: int, ticks: Ticks) -> None:
        holding = self._open[root]
        legs = {leg.instrument: leg for leg in holding.legs}
        old = legs.get(instrument)
        listed = self._market.known_instrument(instrument)
        entry = old.entry if old is not None else listed.price(ticks)
        now = Lots((old.lots if old is not None else 0) + change)
        legs[instrument] = HoldingLeg(instrument=instrument, lots=now, entry=entry)
        left = tuple(leg for leg in legs.values() if leg.lots)
        rests = self._rests.setdefault(root, {})
        coins = change * listed.base_size(ticks, 1)
        rests[listed.base] = rests.get(listed.base, ZERO) + coins
        self._open[root] = msgspec.structs.replace(holding, legs=left)

    def forget_empty(self, in_flight: Callable[[str], bool]) -> list[str]:
        """Drop holdings of stuck groups that turned out to hold nothing; their ids."""
        gone = [h.id for h in self._open.values() if not h.legs and not in_flight(h.id)]
        for holding in gone:
            del self._open[holding]
            self._sweep_up(holding)
        return gone

    def _is_derivative(self, leg: HoldingLeg) -> bool:
        return self._market.known_instrument(leg.instrument).is_derivative

    def _fees_paid(self, group: str) -> Money:
        return -self._ledger.profit(self._market.rate, group)[FEES]

    # Funding -----------------------------------------------------------------------------

    def share(self, instrument: InstrumentId, amount: Money) -> list[tuple[str, Money]]:
        """Split a settlement among the holdings that were in it, exactly."""
        held = [
            (holding, leg.lots)
            for holding in self._open.values()
            for leg in holding.legs
            if leg.instrument == instrument
        ]
        total = sum(lots for _, lots in held)
        if not total:
            return [(STRAY, amount)]
        shares: list[tuple[str, Money]] = []
        rest = amount
        for holding, lots in held[:-1]:
            part = ROUNDED.divide(ROUNDED.multiply(amount, lots), total).quantize(QUANTUM)
            shares.append((holding.id, part))
            rest = EXACT.subtract(rest, part)
        shares.append((held[-1][0].id, rest))
        return shares

    def funded(self, group: str, money: Money) -> None:
        """Keep what a holding received (reporting asset) in sight of its strategy."""
        holding = self._open.get(group)
        if holding is None:
            return
        self._open[group] = msgspec.structs.replace(holding, funding=holding.funding + money)

    # Dust --------------------------------------------------------------------------------

    def dust(self, asset: Asset) -> Decimal:
        return self._dust.get(asset, ZERO)

    def all_dust(self) -> Mapping[Asset, Decimal]:
        return dict(self._dust)

    def take_dust(self, instruments: Sequence[InstrumentId]) -> dict[Asset, Decimal]:
        """Hand the dust to a group that trades the coin itself, and may so use it up."""
        taken: dict[Asset, Decimal] = {}
        for instrument in instruments:
            listed = self._market.known_instrument(instrument)
            if listed.payoff is Payoff.SPOT and self._dust.get(listed.base):
                taken[listed.base] = self._dust.pop(listed.base)
        return taken

    def take_rests(self, root: str) -> Mapping[Asset, Decimal]:
        """Hand what the legs of a holding differ by to the exit that closes them: legs of
        different size, closed, differ by that the other way round, and nothing is missing."""
        return self._rests.pop(root, {})

    def _sweep_up(self, root: str) -> None:
        for asset, coins in self._rests.pop(root, {}).items():
            left = EXACT.add(self.dust(asset), coins)
            if left:
                self._dust[asset] = left
            else:
                self._dust.pop(asset, None)


def _share_left(before: Sequence[HoldingLeg], after: Sequence[HoldingLeg]) -> Decimal:
    """What is still held, as a part of what was: targets and costs shrink with the position."""
    held = {leg.instrument: abs(leg.lots) for leg in before}
    shares = [ROUNDED.divide(Decimal(abs(leg.lots)), held[leg.instrument]) for leg in after]
    return max(shares, default=Decimal(1))


def _lots_held(listed: Instrument, orders: Sequence[Order]) -> Lots:
    """Signed lots that orders left in an instrument, without what fees took in the coin."""
    lots = sum(int(order.side) * order.filled for order in orders)
    fee = sum((order.base_fee for order in orders), ZERO)
    if not fee:
        return Lots(lots)
    coins = ROUNDED.divide(fee, listed.base_per_lot())
    # Round towards less: what is not whole lots cannot be sold.
    return Lots(int((lots - coins).to_integral_value(ROUND_DOWN)))


def _average(listed: Instrument, orders: Sequence[Order]) -> Decimal:
    """Average price of the fills, in quote per base of the instrument."""
    lots = sum(int(order.side) * order.filled for order in orders)
    weighted = sum(int(order.side) * order.ticks_lots for order in orders)
    return listed.tick * ROUNDED.divide(Decimal(weighted), lots) if lots else ZERO

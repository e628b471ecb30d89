"""Holdings: what hedged groups left behind, whose it is, and what is left over as dust."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal

import msgspec

from oneprice.core.attempts import kept_back
from oneprice.core.groups import Groups
from oneprice.core.ledger import FEES, QUANTUM, STRAY, Ledger
from oneprice.core.legs import State
from oneprice.core.market import Market
from oneprice.core.orders import Order
from oneprice.core.repairs import Group, tradable
from oneprice.core.strategy import Alarmed, Holding, HoldingLeg, Intent, scaled
from oneprice.model.commands import AnyCommand
from oneprice.model.events import OrderFilled
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import LegSettings
from oneprice.model.units import (
    EXACT,
    MILLI,
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    Side,
    Ticks,
)

ENDED_KEPT = 5_000  # groups whose late fills still find what they were for


class Exits(msgspec.Struct):
    """Exits of one holding in a row that came to nothing."""

    tried: int = 0
    missed: int = 0  # of them, those that left
    again_at: Nanos = Nanos(0)
    kept_since: Nanos = Nanos(0)  # none has left since; 0: the last one did
    told: bool = False  # and a person has been told


class Holdings:
    """Every open holding, by the id of the group that opened it."""

    def __init__(
        self, settings: LegSettings, market: Market, ledger: Ledger, groups: Groups
    ) -> None:
        self._settings = settings
        self._market = market
        self._ledger = ledger
        self._groups = groups
        self._open: dict[str, Holding] = {}
        self._dust: dict[Asset, Decimal] = {}
        # What the legs of an open holding differ by; a next exit may still take it along.
        self._rests: dict[str, dict[Asset, Decimal]] = {}
        self._broken: dict[str, None] = {}
        # Stuck because the outcome of an order was not known: mended once it is.
        self._waiting: dict[str, Group] = {}
        self._ended: OrderedDict[str, Intent] = OrderedDict()
        self._exits: dict[str, Exits] = {}
        # Signed lots taken from holdings because a venue's position says so; their fills may
        # still come, and must not take them again.
        self._presumed: dict[InstrumentId, int] = {}
        self.alarms: list[Alarmed] = []

    def get(self, holding: str) -> Holding | None:
        return self._open.get(holding)

    def intent_of(self, root: str) -> Intent | None:
        """What a group that ended once was begun for; None where that is long ago."""
        return self._ended.get(root)

    def of(self, strategy: str) -> Sequence[Holding]:
        if not self._open:
            return []
        return [h for h in self._open.values() if h.strategy == strategy or not strategy]

    # Sizes ------------------------------------------------------------------------------------

    def waiting(self) -> Sequence[Group]:
        """Groups that are stuck until the outcome of an order is known."""
        return list(self._waiting.values())

    def recount(self, instrument: InstrumentId, times: int) -> None:
        """One lot of before is so many from now on."""
        for root, holding in self._open.items():
            legs = tuple(
                msgspec.structs.replace(leg, lots=Lots(leg.lots * times))
                if leg.instrument == instrument
                else leg
                for leg in holding.legs
            )
            self._open[root] = msgspec.structs.replace(holding, legs=legs)
        if instrument in self._presumed:
            self._presumed[instrument] *= times

    # Groups that ended -------------------------------------------------------------------

    def ended(self, group: Group) -> str:
        """Take over what a group left. The id of a holding that closed, or ""."""
        rests = self._rests.setdefault(group.root, {})
        for asset, coins in self._groups.deltas(group).items():
            rests[asset] = EXACT.add(rests.get(asset, ZERO), coins)
        self._remember(group)
        done = self._reduce(group) if group.intent.closes else self._take_over(group)
        if done:
            self._sweep_up(done)
        return done

    def _remember(self, group: Group) -> None:
        if not group.intent.closes:
            self._ended[group.id] = group.intent
            if len(self._ended) > ENDED_KEPT:
                self._ended.popitem(last=False)
        if group.state is State.STUCK and any(not order.settled for order in group.orders):
            self._waiting[group.root] = group
        if group.intent.closes:
            self._count_exit(group)

    def _count_exit(self, group: Group) -> None:
        """An exit that comes to nothing again and again is a person's business: every further
        one would only cost."""
        if group.touched and group.state is not State.STUCK:
            self._exits.pop(group.root, None)
            return
        exits = self._exits.setdefault(group.root, Exits())
        exits.tried += 1
        pause = min(
            self._settings.pause_ms * 2 ** min(exits.tried, 20), self._settings.exit_pause_ms_max
        )
        exits.again_at = Nanos(self._market.now + pause * MILLI)
        if kept_back(group.orders):
            self._keep_exit(group.root, exits)
            return
        exits.kept_since = Nanos(0)
        exits.missed += 1
        if exits.missed == self._settings.exits_max:
            self._alarm(group.root, f"{exits.missed} exits in a row came to nothing")

    def _keep_exit(self, root: str, exits: Exits) -> None:
        """One that never left costs nothing and is tried again; but a person must know."""
        exits.kept_since = exits.kept_since or self._market.now
        lasts = (self._market.now - exits.kept_since) // MILLI
        if lasts >= self._settings.waits_max * self._settings.wait_ms and not exits.told:
            exits.told = True
            self._alarm(root, f"no exit has left for {lasts} ms, its venue lets none in")

    def _alarm(self, root: str, text: str) -> None:
        self.alarms.append(Alarmed(at=self._market.now, kind="exit", subject=root, text=text))

    def may_exit(self, root: str) -> bool:
        """Whether another exit of a holding may be tried by now."""
        exits = self._exits.get(root)
        if exits is None:
            return True
        return exits.missed < self._settings.exits_max and self._market.now >= exits.again_at

    def is_given_up(self, root: str) -> bool:
        """Whether a person must look before another exit is tried."""
        exits = self._exits.get(root)
        return exits is not None and exits.missed >= self._settings.exits_max

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
        # What no venue takes as an order, when the other leg is gone, is dust, counted as such.
        left = any(self._is_derivative(leg) or self._can_be_sold(leg) for leg in legs)
        if not left and group.state is not State.STUCK:
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

    # What nobody's order at work has done ------------------------------------------------

    def late(self, root: str, order: Order, fill: OrderFilled) -> list[AnyCommand]:
        """A fill of a group that had ended already (stuck, or contradicted by its venue): its
        holding changes, or there is one again, and where its legs differ now it must go."""
        if root not in self._open and not self._reopen(root):
            return []
        listed = self._market.known_instrument(order.instrument)
        fee = fill.fee if fill.fee_asset == listed.base and not listed.is_derivative else ZERO
        kept = ROUNDED.divide(fee, listed.lot * listed.contract_value)
        lots = int((int(order.side) * fill.lots - kept).to_integral_value(ROUND_DOWN))
        return self._unsettle(root, order.instrument, lots, fill.ticks)

    def _reopen(self, root: str) -> bool:
        intent = self._ended.get(root)
        if intent is None:
            return False
        self._open[root] = Holding(
            id=root,
            strategy=intent.strategy,
            pair=intent.pair,
            legs=(),
            opened=self._market.now,
            card=scaled(intent.card, ZERO),
        )
        return True

    def struck(self, instrument: InstrumentId, change: int, ticks: Ticks) -> list[AnyCommand]:
        """A position changed by nobody's order of ours: liquidated, deleveraged, delivered, or
        traded by hand. The legs that it made smaller, oldest holdings first, are gone: to close
        them once more would open the opposite, and their other legs stand alone from now on."""
        commands: list[AnyCommand] = []
        for holding in list(self._open.values()):
            for leg in holding.legs:
                if leg.instrument == instrument and leg.lots * change < 0:
                    taken = min(abs(leg.lots), abs(change)) * (1 if change > 0 else -1)
                    commands += self._unsettle(holding.id, instrument, taken, ticks)
                    self._broken[holding.id] = None
                    change -= taken
        return commands

    def take(self, root: str, instrument: InstrumentId, change: int) -> list[AnyCommand]:
        """Somebody else closed so much of one leg."""
        self._broken[root] = None
        return self._unsettle(root, instrument, change, self._entry_ticks(instrument))

    def presume(self, instrument: InstrumentId, change: int) -> list[AnyCommand]:
        """A venue shows a smaller position than our fills come to: treat it as struck."""
        change -= self._presumed.get(instrument, 0)
        held = sum(
            leg.lots for h in self._open.values() for leg in h.legs if leg.instrument == instrument
        )
        if held * change >= 0:
            return []
        taken = min(abs(held), abs(change)) * (1 if change > 0 else -1)
        self._presumed[instrument] = self._presumed.get(instrument, 0) + taken
        return self.struck(instrument, taken, self._entry_ticks(instrument))

    def not_presumed(self, instrument: InstrumentId, change: int) -> int:
        """What a forced fill changes beyond what was presumed before it was told."""
        presumed = self._presumed.get(instrument, 0)
        if presumed * change <= 0:
            return change
        known = min(abs(presumed), abs(change)) * (1 if change > 0 else -1)
        self._presumed[instrument] = presumed - known
        return change - known

    def accepted(self, instrument: InstrumentId, change: int) -> list[AnyCommand]:
        """A person accepts the venue's position: legs that are not there go."""
        commands = self.presume(instrument, change)
        self._presumed.pop(instrument, None)
        return commands

    def accepted_coins(self, venue: str, asset: Asset, there: Decimal) -> list[AnyCommand]:
        """The same for coins: spot legs cannot hold more than what the wallet has."""
        commands: list[AnyCommand] = []
        for holding in reversed(list(self._open.values())):
            for leg in holding.legs:
                listed = self._market.known_instrument(leg.instrument)
                if listed.is_derivative or (listed.venue, listed.base) != (venue, asset):
                    continue
                have = max(0, listed.lots_within(there))
                if leg.lots > 0 and have < leg.lots:
                    ticks = self._entry_ticks(leg.instrument)
                    commands += self._unsettle(holding.id, leg.instrument, have - leg.lots, ticks)
                    self._broken[holding.id] = None
                there -= listed.size(min(int(leg.lots), have))
        return commands

    def forgive(self) -> None:
        """A person looked at what is left: exits may be tried anew."""
        self._exits.clear()

    def broken(self) -> list[Holding]:
        """Open holdings of which the venue, or somebody, took a part, and those of groups that
        were stuck until the outcome of an order was known."""
        for root, group in list(self._waiting.items()):
            if all(order.settled for order in group.orders):
                del self._waiting[root]
                if self._is_uneven(root):
                    self._broken[root] = None
        self._broken = {root: None for root in self._broken if root in self._open}
        return [self._open[root] for root in self._broken]

    def leaving(self) -> list[Holding]:
        """Open holdings in something that will soon cease to trade."""
        soon = self._market.now + self._settings.delisting_ms * MILLI
        return [
            holding
            for holding in self._open.values()
            if any(
                0 < self._market.known_instrument(leg.instrument).ends <= soon
                for leg in holding.legs
            )
        ]

    def _entry_ticks(self, instrument: InstrumentId) -> Ticks:
        listed = self._market.known_instrument(instrument)
        entries = (
            leg.entry
            for h in self._open.values()
            for leg in h.legs
            if leg.instrument == instrument
        )
        return max(Ticks(1), listed.ticks_not_worse(next(entries, ZERO), Side.BUY))

    def _unsettle(
        self, root: str, instrument: InstrumentId, change: int, ticks: Ticks
    ) -> list[AnyCommand]:
        self._change(root, instrument, change, ticks)
        uneven = self._is_uneven(root)
        if uneven:
            self._broken[root] = None
        return self._groups.unhedged.look(root, root, lopsided=uneven)

    def _is_uneven(self, root: str) -> bool:
        """Whether the legs of a holding differ by what could be traded in one of them."""
        holding = self._open.get(root)
        rests = self._rests.get(root, {})
        for leg in holding.legs if holding is not None else ():
            listed = self._market.known_instrument(leg.instrument)
            rest = abs(rests.get(listed.base, ZERO))
            if rest and tradable(listed, rest, leg.entry, reducing=listed.is_derivative):
                return True
        return False

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
            self._groups.unhedged.look(holding, holding, lopsided=False)
        return gone

    def _is_derivative(self, leg: HoldingLeg) -> bool:
        return self._market.known_instrument(leg.instrument).is_derivative

    def _can_be_sold(self, leg: HoldingLeg) -> bool:
        listed = self._market.known_instrument(leg.instrument)
        coins = abs(leg.lots) * listed.base_per_lot()
        return bool(tradable(listed, coins, leg.entry, reducing=False))

    def _fees_paid(self, group: str) -> Money:
        return -self._ledger.profit(self._market.noted_rate, group)[FEES]

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
        self._exits.pop(root, None)
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

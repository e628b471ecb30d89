"""Leg groups at work: an approved intent becomes orders, and the table decides what follows.

Hedging follows the position delta of the group, fees in the base coin included, and never the
order callbacks: whatever messages came in which order, the signal is computed from what was
filled, once every order of the group has settled.
"""

from collections import deque
from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import msgspec

from oneprice.core.gate import Approved
from oneprice.core.legs import ENDS, TABLE, Action, Signal, State
from oneprice.core.market import Market
from oneprice.core.orders import Order, Orders, OrderState
from oneprice.core.strategy import GroupMoved, GroupReport, Intent, IntentLeg
from oneprice.model.commands import (
    AnyCommand,
    CancelOrder,
    ClearTimer,
    PlaceOrder,
    Priority,
    SetTimer,
    TimeInForce,
)
from oneprice.model.events import OrderFilled
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import LegSettings
from oneprice.model.units import (
    BPS,
    MILLI,
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Nanos,
    Side,
    Ticks,
)

BEGUN_KEPT = 256  # more than any sensible pace begins in a second
GROUP_TIMER = "group/"


class Group(msgspec.Struct, kw_only=True):
    """One intent at work. Mutable; owned by Groups."""

    id: str
    intent: Intent
    began: Nanos
    state: State = State.WORKING
    orders: list[Order] = msgspec.field(default_factory=list)
    attempt: list[Order] = msgspec.field(default_factory=list)  # of the present state
    chases: int = 0
    unwinds: int = 0
    steps: int = 0  # transitions so far; names the timers
    timer: str = ""
    paused: bool = False  # the last attempt came to nothing: waiting before the next
    carry: dict[Asset, Decimal] = msgspec.field(default_factory=dict)  # dust taken over

    @property
    def root(self) -> str:
        """Whose profit this is: its own, or that of the holding it closes."""
        return self.intent.closes or self.id

    @property
    def living(self) -> bool:
        return self.state not in ENDS


class Repair(msgspec.Struct, frozen=True):
    """One order that would bring a delta towards zero."""

    leg: IntentLeg
    side: Side
    lots: Lots
    back: bool  # gives a leading leg back, rather than completing a lagging one


class Groups:
    """All living groups, by id. `ended` collects those that reached an end, for the engine."""

    def __init__(
        self,
        settings: LegSettings,
        market: Market,
        orders: Orders,
        position: Callable[[InstrumentId], int],
        session: str,
    ) -> None:
        self._settings = settings
        self._market = market
        self._orders = orders
        self._position = position
        self._session = session
        self._count = 0
        self.living: dict[str, Group] = {}
        self.begun: deque[Nanos] = deque(maxlen=BEGUN_KEPT)  # when the latest groups began
        self.moves: list[GroupMoved] = []
        self.ended: list[Group] = []

    # Beginning ---------------------------------------------------------------------------

    def next_id(self) -> str:
        self._count += 1
        return f"{self._session}g{self._count}"

    def begin(
        self, approved: Approved, group_id: str, carry: dict[Asset, Decimal]
    ) -> list[AnyCommand]:
        """Send every leg at once."""
        intent = approved.intent
        group = Group(id=group_id, intent=intent, began=self._market.now, carry=carry)
        self.living[group.id] = group
        self.begun.append(self._market.now)
        commands: list[AnyCommand] = []
        priority = Priority.HEDGE if intent.closes else Priority.ENTRY
        for leg in intent.legs:
            command = PlaceOrder(
                order_id=self._order_id(group),
                group=group.id,
                instrument=leg.instrument,
                side=leg.side,
                ticks=leg.ticks,
                lots=leg.lots,
                time_in_force=TimeInForce.IOC,
                reduce_only=leg.reduce_only and self._reduces(leg.instrument, leg.side, leg.lots),
                priority=priority,
            )
            commands.append(self._place(group, command, leg.touch, repair=False))
        commands.append(self._set_timer(group, intent.patience))
        return commands

    def _order_id(self, group: Group) -> str:
        # Digits between letters: no two groups or orders of a session can share an id.
        return f"{group.id}o{len(group.orders) + 1}"

    def _place(
        self, group: Group, command: PlaceOrder, touch: Ticks, *, repair: bool
    ) -> PlaceOrder:
        order = self._orders.place(command, touch, repair=repair)
        group.orders.append(order)
        group.attempt.append(order)
        return command

    def _reduces(self, instrument: InstrumentId, side: Side, lots: int) -> bool:
        # A venue refuses reduce-only where the net position does not allow it, which would turn
        # a good exit into a stuck one when something else of ours lies the other way.
        held = self._position(instrument)
        return held * int(side) < 0 and abs(held) >= lots

    # Events ------------------------------------------------------------------------------

    def filled(self, order: Order, fill: OrderFilled) -> None:
        """Add one counted fill to what its order holds."""
        listed = self._market.known_instrument(order.instrument)
        sign = int(fill.side)
        order.ticks_lots += fill.ticks * fill.lots
        order.base += sign * listed.base_size(fill.ticks, fill.lots)
        if listed.payoff is Payoff.SPOT:
            order.quote -= sign * listed.notional(fill.ticks, fill.lots)
            if fill.fee_asset == listed.base:
                order.base_fee += fill.fee * listed.multiplier
            elif fill.fee_asset == listed.quote:
                order.quote -= fill.fee

    def struck(self, fill: OrderFilled) -> int:
        """The venue, or somebody, traded what an exit at work is about to: that part is done,
        and another order for it would open the opposite. Signed lots that no exit wanted."""
        left = fill.lots
        for group in self.living.values():
            for leg in group.intent.legs if group.intent.closes else ():
                if leg.instrument != fill.instrument or leg.side is not fill.side:
                    continue
                done = sum(o.filled for o in group.orders if o.instrument == leg.instrument)
                lots = Lots(min(left, max(0, leg.lots - done)))
                if lots:
                    left = Lots(left - lots)
                    group.orders.append(self._by_the_venue(group, fill, lots))
        return int(fill.side) * left

    def _by_the_venue(self, group: Group, fill: OrderFilled, lots: Lots) -> Order:
        listed = self._market.known_instrument(fill.instrument)
        return Order(
            id="",
            group=group.id,
            instrument=fill.instrument,
            side=fill.side,
            ticks=fill.ticks,
            lots=lots,
            touch=fill.ticks,
            state=OrderState.DONE,
            filled=lots,
            ticks_lots=fill.ticks * lots,
            base=int(fill.side) * listed.base_size(fill.ticks, lots),
        )

    def changed(self, order: Order) -> list[AnyCommand]:
        """Something about an order was learned: see whether its group has settled."""
        group = self.living.get(order.group)
        return [] if group is None else self._settle(group)

    def deadline(self, timer: str) -> list[AnyCommand]:
        """A patience ran out. A timer of a state already left is not heard."""
        group = self.living.get(timer.removeprefix(GROUP_TIMER).partition("/")[0])
        if group is None or group.timer != timer:
            return []
        return self._hurry(group)

    def book_ready(self, instrument: InstrumentId) -> list[AnyCommand]:
        """A book came back: groups that waited for it need not wait longer."""
        commands: list[AnyCommand] = []
        for group in list(self.living.values()):
            if group.paused and any(leg.instrument == instrument for leg in group.intent.legs):
                commands += self._hurry(group)
        return commands

    def _hurry(self, group: Group) -> list[AnyCommand]:
        group.paused = False
        commands = self._advance(group, Signal.DEADLINE)
        return commands + self._settle(group)

    def _settle(self, group: Group) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        # Bounded: every pass ends the group, pauses it, sends an order or uses up an attempt.
        while group.living and not group.paused:
            if any(not order.settled for order in group.orders):
                break
            if group.steps and group.attempt and not any(o.filled for o in group.attempt):
                commands += self._pause(group)
                break
            commands += self._advance(group, self.signal_of(group))
        return commands

    # The table at work -------------------------------------------------------------------

    def _advance(self, group: Group, signal: Signal) -> list[AnyCommand]:
        before = group.state
        group.state, action = TABLE[before, signal]
        group.steps += 1
        group.attempt = []
        self.moves.append(
            GroupMoved(
                at=self._market.now,
                group=group.id,
                before=before,
                signal=signal,
                after=group.state,
                action=action,
            )
        )
        commands: list[AnyCommand] = [ClearTimer(timer=group.timer)] if group.timer else []
        group.timer = ""
        match action:
            case Action.PULL:
                commands.append(self._set_timer(group, self._settings.pulling_ms * MILLI))
                commands += self._pull(group)
            case Action.SEND_MISSING:
                group.chases += 1
                commands += self._repair(group, back=False)
            case Action.SEND_BACK:
                group.unwinds += 1
                commands += self._repair(group, back=True)
            case Action.NOTHING | Action.OPEN_CLUTCH:
                del self.living[group.id]
                self.ended.append(group)
        return commands

    def _pull(self, group: Group) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        for order in group.orders:
            if not order.settled:
                commands.append(CancelOrder(order_id=order.id, instrument=order.instrument))
                commands += self._orders.ask(order, self._market.now)
        return commands

    def _pause(self, group: Group) -> list[AnyCommand]:
        group.paused = True
        group.attempt = []
        attempts = max(1, group.chases + group.unwinds)
        return [self._set_timer(group, self._settings.pause_ms * attempts * MILLI)]

    def _set_timer(self, group: Group, patience: int) -> SetTimer:
        group.timer = f"{GROUP_TIMER}{group.id}/{group.steps}"
        return SetTimer(timer=group.timer, due=Nanos(self._market.now + patience))

    def _repair(self, group: Group, *, back: bool) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        for asset, delta in self.deltas(group).items():
            # Giving back may leave less than a lot of the one leg that only the other can mend.
            repairs = self._repairs(group, asset, delta)
            chosen = [r for r in repairs if r.back is back]
            if back and not chosen:
                chosen = repairs
            for repair in chosen:
                command = self._order_for(group, repair)
                if command is not None:
                    commands.append(command)
                    break
        if not commands:
            return self._pause(group)
        patience = self._settings.unwinding_ms if back else self._settings.chasing_ms
        return [*commands, self._set_timer(group, patience * MILLI)]

    def _order_for(self, group: Group, repair: Repair) -> PlaceOrder | None:
        """The repair as an order around the fresh touch; None where no book can be read."""
        book = self._market.book(repair.leg.instrument)
        listed = self._market.known_instrument(repair.leg.instrument)
        if book is None:
            return None
        touch = book.ask_ticks if repair.side is Side.BUY else book.bid_ticks
        price = listed.price(touch)
        if not self._market.is_sane(listed.id, price):
            return None
        attempts = group.chases + group.unwinds - 1
        collar = self._settings.collar_bps + self._settings.collar_step_bps * attempts
        limit = price * (1 + int(repair.side) * min(collar, Decimal(5_000)) * BPS)
        ticks = max(Ticks(1), listed.ticks_not_worse(limit, repair.side))
        closing = repair.back or bool(group.intent.closes)
        command = PlaceOrder(
            order_id=self._order_id(group),
            group=group.id,
            instrument=listed.id,
            side=repair.side,
            ticks=ticks,
            lots=repair.lots,
            time_in_force=TimeInForce.IOC,
            reduce_only=listed.is_derivative
            and closing
            and self._reduces(listed.id, repair.side, repair.lots),
            priority=Priority.UNWIND if repair.back else Priority.HEDGE,
        )
        self._place(group, command, repair.leg.touch, repair=True)
        return command

    # What a group holds ------------------------------------------------------------------

    def held(self, group: Group) -> dict[InstrumentId, Decimal]:
        """Signed coins by instrument, what fees took in the coin itself left out."""
        found: dict[InstrumentId, Decimal] = {}
        for order in group.orders:
            coins = order.base - order.base_fee
            found[order.instrument] = found.get(order.instrument, ZERO) + coins
        return found

    def deltas(self, group: Group) -> dict[Asset, Decimal]:
        """Signed exposure by coin, with the dust that the group took over; money left out."""
        found: dict[Asset, Decimal] = dict(group.carry)
        for order in group.orders:
            listed = self._market.known_instrument(order.instrument)
            coins = order.base - order.base_fee
            found[listed.base] = found.get(listed.base, ZERO) + coins
            if listed.payoff is Payoff.SPOT and not self._market.is_cash(listed.quote):
                found[listed.quote] = found.get(listed.quote, ZERO) + order.quote
        return found

    def signal_of(self, group: Group) -> Signal:
        """What the fills of a group whose orders have all settled amount to."""
        repairs = [
            repair
            for asset, delta in self.deltas(group).items()
            for repair in self._repairs(group, asset, delta)
        ]
        if group.intent.closes:
            # Giving back would open the risk again: an exit is only ever completed. A rest too
            # small for that stays with the holding, whose next exit takes it along.
            repairs = [repair for repair in repairs if not repair.back]
        if not repairs or self._only_carried(group):
            return Signal.BALANCED if self._holds(group) else Signal.EMPTY
        if group.intent.closes:
            tries = self._settings.chases_max + self._settings.unwinds_max
            return Signal.LOPSIDED if group.chases < tries else Signal.HOPELESS
        if self._settings.half_filled == "hold":
            return Signal.HOPELESS
        chasing = self._settings.half_filled == "complete" and group.unwinds == 0
        chasing = chasing and group.chases < self._settings.chases_max
        if chasing and any(not repair.back for repair in repairs):
            return Signal.LOPSIDED
        return Signal.SPENT if group.unwinds < self._settings.unwinds_max else Signal.HOPELESS

    def _only_carried(self, group: Group) -> bool:
        return not any(order.filled for order in group.orders)

    def _holds(self, group: Group) -> bool:
        for instrument, coins in self.held(group).items():
            listed = self._market.known_instrument(instrument)
            if listed.is_derivative:
                if sum(int(o.side) * o.filled for o in group.orders if o.instrument == instrument):
                    return True
            elif self._tradable(listed, abs(coins), self._price(group, listed), reducing=False):
                return True
        return False

    def _repairs(self, group: Group, asset: Asset, delta: Decimal) -> list[Repair]:
        """Every order that would shrink a delta and that the venue would take."""
        if not delta:
            return []
        side = Side.SELL if delta > 0 else Side.BUY
        held = self.held(group)
        found: list[Repair] = []
        for leg in group.intent.legs:
            listed = self._market.known_instrument(leg.instrument)
            if listed.base != asset:
                continue
            back = leg.side is not side
            most = abs(held.get(leg.instrument, ZERO)) if back else None
            reducing = listed.is_derivative and (back or bool(group.intent.closes))
            price = self._price(group, listed)
            lots = self._tradable(listed, abs(delta), price, reducing=reducing, most=most)
            if lots:
                found.append(Repair(leg, side, lots, back))
        return found

    def _price(self, group: Group, listed: Instrument) -> Decimal:
        book = self._market.book(listed.id)
        if book is not None:
            return listed.price(book.bid_ticks)
        touch = next(leg.touch for leg in group.intent.legs if leg.instrument == listed.id)
        return listed.price(touch)

    def _tradable(
        self,
        listed: Instrument,
        coins: Decimal,
        price: Decimal,
        *,
        reducing: bool,
        most: Decimal | None = None,
    ) -> Lots:
        """The lots nearest to some coins that the venue takes as one order; 0 when none.

        Reduce-only orders are exempt from the smallest notional (Bybit v5 "minNotionalValue",
        Binance futures filter MIN_NOTIONAL).
        """
        ticks = listed.ticks_not_worse(price, Side.BUY)
        if ticks <= 0:
            return Lots(0)
        per_lot = listed.base_size(ticks, 1)
        lots = int(ROUNDED.divide(coins, per_lot).to_integral_value(ROUND_HALF_EVEN))
        if most is not None:
            lots = min(lots, int(ROUNDED.divide(most, per_lot).to_integral_value(ROUND_FLOOR)))
        if listed.lots_max:
            lots = min(lots, listed.lots_max)
        if lots < listed.lots_min:
            return Lots(0)
        if not reducing and listed.notional(ticks, lots) < listed.notional_min:
            return Lots(0)
        return Lots(lots)

    # For people and for the gate ---------------------------------------------------------

    def works_in(self, instrument: InstrumentId) -> bool:
        """Whether a group or an unsettled order of any group is in an instrument."""
        if self._orders.works_in(instrument):
            return True
        for group in self.living.values():
            for leg in group.intent.legs:
                if leg.instrument == instrument:
                    return True
        return False

    def reports(self) -> Sequence[GroupReport]:
        return [self.report(group) for group in self.living.values()]

    def report(self, group: Group) -> GroupReport:
        return GroupReport(
            id=group.id,
            strategy=group.intent.strategy,
            pair=group.intent.pair,
            state=group.state,
            closes=group.intent.closes,
            began=group.began,
            deltas=self.deltas(group),
        )

"""Leg groups at work: an approved intent becomes orders, and the table decides what follows.

Hedging follows the position delta of the group, fees in the base coin included, and never the
order callbacks: whatever messages came in which order, the signal is computed from what was
filled, once every order of the group has settled. A leg that rests in its book is hedged while
it fills: by what was filled, less what is on its way.
"""

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal

from oneprice.core.attempts import Attempts, count, first_legs
from oneprice.core.away import Away
from oneprice.core.gate import Approved
from oneprice.core.legs import TABLE, Action, Signal, State
from oneprice.core.market import Market
from oneprice.core.orders import Order, Orders
from oneprice.core.repairs import Group, Repair, Repairs, add_fill, by_the_venue, correct_fee
from oneprice.core.strategy import Alarmed, GroupMoved, Intent, IntentLeg
from oneprice.core.unhedged import UNHEDGED_TIMER, Unhedged
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
from oneprice.model.instrument import Instrument
from oneprice.model.settings import LegSettings
from oneprice.model.units import (
    BPS,
    MILLI,
    Asset,
    InstrumentId,
    Lots,
    Nanos,
    Side,
    Ticks,
)

BEGUN_KEPT = 256  # more than any sensible pace begins in a second
GROUP_TIMER = "group/"


class Groups:
    """All living groups, by id. `ended` collects those that reached an end, for the engine."""

    def __init__(
        self,
        settings: LegSettings,
        market: Market,
        orders: Orders,
        position: Callable[[InstrumentId], int],
        session: str,
        reported: Callable[[InstrumentId], int | None] = lambda _: None,
    ) -> None:
        self.unhedged = Unhedged(settings, market)
        self._repairs = Repairs(settings, market, position)
        self.reduces = self._repairs.reduces
        self._settings = settings
        self._market = market
        self._orders = orders
        self._position = position
        self._reported = reported
        self._session = session
        self._count = 0
        self.living: dict[str, Group] = {}
        self.begun: deque[Nanos] = deque(maxlen=BEGUN_KEPT)  # when the latest groups began
        self.moves: list[GroupMoved | Alarmed] = []
        self.ended: list[Group] = []
        # As their venues describe them now, while we go on counting as we began: no order of
        # ours would say there what we mean.
        self.resized: dict[InstrumentId, Instrument] = market.resized
        self._attempts = Attempts(settings, market, self.resized)
        self.away = Away()
        # Venues that refused for rate and took no order since: until when, times in a row.
        self.barred: dict[str, tuple[Nanos, int]] = {}

    # Beginning ---------------------------------------------------------------------------

    def next_id(self) -> str:
        self._count += 1
        return f"{self._session}g{self._count}"

    def begin(
        self, approved: Approved, group_id: str, carry: dict[Asset, Decimal]
    ) -> list[AnyCommand]:
        """Send every leg at once; or one that rests, or is doubtful, which the others follow."""
        intent = approved.intent
        group = self.enter(intent, group_id, carry)
        rests = [leg for leg in intent.legs if leg.rests]
        first = rests or first_legs(intent.legs, self.barred)
        commands = [self._first_order(group, leg) for leg in first]
        return [*commands, self._set_timer(group, intent.patience)]

    def enter(self, intent: Intent, group_id: str, carry: dict[Asset, Decimal]) -> Group:
        """A group begins; nothing is sent yet."""
        group = Group(
            id=group_id,
            intent=intent,
            began=self._market.now,
            state=State.RESTING if any(leg.rests for leg in intent.legs) else State.WORKING,
            carry=carry,
        )
        self.living[group.id] = group
        self.begun.append(self._market.now)
        return group

    def _first_order(self, group: Group, leg: IntentLeg) -> AnyCommand:
        reducing = leg.reduce_only and self.reduces(leg.instrument, leg.side, leg.lots)
        command = PlaceOrder(
            order_id=self._order_id(group),
            group=group.id,
            instrument=leg.instrument,
            side=leg.side,
            ticks=leg.ticks,
            lots=leg.lots,
            time_in_force=leg.time_in_force,
            reduce_only=reducing,
            priority=Priority.HEDGE if group.intent.closes else Priority.ENTRY,
        )
        return self.place(group, command, leg.touch, repair=False)

    def _order_id(self, group: Group) -> str:
        # Digits between letters: no two groups or orders of a session can share an id.
        return f"{group.id}o{len(group.orders) + 1}"

    def place(
        self, group: Group, command: PlaceOrder, touch: Ticks, *, repair: bool
    ) -> PlaceOrder:
        order = self._orders.place(command, touch, repair=repair)
        group.orders.append(order)
        group.tried = [*group.attempt, order]
        group.attempt.append(order)
        return command

    def bounded(self, listed: Instrument, side: Side, lots: int) -> bool:
        """Whether an order that closes cannot open anything: the venue takes it as reduce-only,
        or its own word of the position is the very one that we reckon with."""
        if not listed.is_derivative or self.reduces(listed.id, side, lots):
            return True
        return self._reported(listed.id) == self._position(listed.id)

    # Events ------------------------------------------------------------------------------

    def filled(self, order: Order, fill: OrderFilled) -> None:
        """Add one counted fill to what its order holds."""
        add_fill(order, self._market.known_instrument(order.instrument), fill)
        group = self.living.get(order.group)
        if group is not None:
            group.news = True

    def correct_fee(self, order: Order, before: OrderFilled, fill: OrderFilled) -> None:
        """The fee of a fill was only estimated; what it took of the coin itself may differ."""
        correct_fee(order, self._market.known_instrument(order.instrument), before, fill)

    def struck(self, fill: OrderFilled, *, begun: bool = False) -> int:
        """The venue, or somebody, traded what an exit at work is about to: that part is done,
        and another order for it would open the opposite. Signed lots that no exit wanted.
        `begun`: it took from what an entry at work has, which is given back from then on."""
        left = fill.lots
        for group in self.living.values():
            for leg in group.intent.legs if bool(group.intent.closes) is not begun else ():
                if leg.instrument != fill.instrument or (leg.side is fill.side) is begun:
                    continue
                mine = (o for o in group.orders if o.instrument == leg.instrument)
                done = sum(int(o.side) * o.filled for o in mine) * int(leg.side)
                lots = Lots(min(left, max(0, done if begun else leg.lots - done)))
                if lots:
                    group.forced = group.forced or begun
                    left = Lots(left - lots)
                    listed = self._market.known_instrument(fill.instrument)
                    group.orders.append(by_the_venue(group.id, listed, fill, lots))
        return int(fill.side) * left

    def changed(self, order: Order) -> list[AnyCommand]:
        """Something about an order was learned: see whether its group has settled."""
        group = self.living.get(order.group)
        if group is None:
            return []
        commands: list[AnyCommand] = []
        self._attempts.settled(group, order)
        if group.news:
            group.news = False
            uneven = self._repairs.lopsided(group)
            commands = self.unhedged.look(group.root, group.id, lopsided=uneven)
        return commands + self._settle(group)

    def deadline(self, timer: str) -> list[AnyCommand]:
        """A patience ran out. A timer of a state already left is not heard."""
        if timer.startswith(UNHEDGED_TIMER):
            return self._too_long(timer)
        group = self.living.get(timer.removeprefix(GROUP_TIMER).partition("/")[0])
        if group is None:
            return []
        if timer == group.hedge_timer:
            group.hedge_timer = ""
            return self._settle(group)
        if group.timer != timer:
            return []
        if not group.paused and self.away.keeps(group):
            # What became of its orders can be learnt there alone: that is no reason to give up.
            return [self._set_timer(group, self._settings.pulling_ms * MILLI)]
        return self._hurry(group)

    def _too_long(self, timer: str) -> list[AnyCommand]:
        """Legs have differed for long: tell, and later leave only the way back. An order whose
        outcome is not known is waited for all the same: its fill would be the hedge."""
        root, commands = self.unhedged.timer(timer)
        self.moves += self.unhedged.found
        self.unhedged.found.clear()
        for group in list(self.living.values()):
            if group.root != root or group.intent.closes or group.forced:
                continue
            group.forced = True
            if group.paused or group.state in (State.WORKING, State.RESTING, State.CHASING):
                commands += self._hurry(group)
        return commands

    def book_ready(self, instrument: InstrumentId) -> list[AnyCommand]:
        """A book came back: groups that waited for it need not wait longer."""
        commands: list[AnyCommand] = []
        for group in list(self.living.values()):
            if not any(leg.instrument == instrument for leg in group.intent.legs):
                continue
            if group.paused:
                commands += self._hurry(group)
            elif group.hedge_timer:
                commands.append(ClearTimer(timer=group.hedge_timer))
                group.hedge_timer = ""
                commands += self._settle(group)
        return commands

    def pull_resting(self) -> list[AnyCommand]:
        """No new risk any more: entries that still rest are cancelled."""
        commands: list[AnyCommand] = []
        for group in list(self.living.values()):
            if group.state is State.RESTING and not group.intent.closes:
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
            commands += self._follow(group)
            if any(not order.settled for order in group.orders):
                break
            if group.steps and group.attempt and not any(o.filled for o in group.attempt):
                commands += self._nothing_came(group)
                continue
            commands += self._advance(group, self.signal_of(group))
        return commands

    def _follow(self, group: Group) -> list[AnyCommand]:
        """Hedge what a leg that may still fill has filled, also while it is being cancelled. A
        hedge that found nothing ends the resting, and is tried again after a pause."""
        leg = next((leg for leg in group.intent.legs if leg.rests), None)
        following = group.state in (State.RESTING, State.PULLING) and group.touched
        if leg is None or not following or group.hedge_timer:
            return []
        if group.attempt and all(order.settled for order in group.attempt):
            found = any(order.filled for order in group.attempt)
            group.misses = 0 if found else group.misses + 1
            group.attempt = []
            if not found:
                return self._missed(group)
        settled = all(order.settled for order in group.orders)
        if group.misses > (0 if settled else self._settings.unwinds_max):
            return []  # what is left once all has settled is a matter of the policy
        if (group.forced and settled) or not self._repairs.hedges(group, leg.instrument):
            return []
        return self._advance(group, Signal.FILLING)

    def _missed(self, group: Group) -> list[AnyCommand]:
        pulled: list[AnyCommand] = []
        if group.state is State.RESTING:
            pulled = self._advance(group, Signal.DEADLINE)
        group.hedge_timer = f"{GROUP_TIMER}{group.id}/hedge{group.steps}-{group.misses}"
        due = Nanos(self._market.now + self._settings.pause_ms * group.misses * MILLI)
        return [*pulled, SetTimer(timer=group.hedge_timer, due=due)]

    def _hedge(self, group: Group) -> list[AnyCommand]:
        leg = next(leg for leg in group.intent.legs if leg.rests)
        commands: list[AnyCommand] = []
        for repair in self._repairs.hedges(group, leg.instrument):
            command = self._order_for(group, repair, planned=True)
            if command is not None:
                commands.append(command)
        if commands:
            return commands
        group.misses += 1
        return self._missed(group)

    # The table at work -------------------------------------------------------------------

    def _advance(self, group: Group, signal: Signal) -> list[AnyCommand]:
        before = group.state
        group.state, action = TABLE[before, signal]
        group.steps += 1
        count(group, action)
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
        if action is Action.SEND_HEDGE:
            return self._hedge(group)
        timers = [timer for timer in (group.timer, group.hedge_timer) if timer]
        commands: list[AnyCommand] = [ClearTimer(timer=timer) for timer in timers]
        group.timer = group.hedge_timer = ""
        match action:
            case Action.PULL:
                commands.append(self._set_timer(group, self._settings.pulling_ms * MILLI))
                commands += self._pull(group)
            case Action.SEND_MISSING:
                commands += self._repair(group, back=False)
            case Action.SEND_BACK:
                commands += self._repair(group, back=True)
            case Action.NOTHING | Action.OPEN_CLUTCH:
                if action is Action.NOTHING and (group.touched or not group.intent.closes):
                    commands += self.unhedged.look(group.root, group.id, lopsided=False)
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

    def unwanted(self, order: Order) -> list[AnyCommand]:
        """An order is found to rest although it was pulled: its cancel was lost on the way, or
        its venue let none in. Not after the first question, which a cancel may overtake."""
        group = self.living.get(order.group)
        pulled = group is None or group.state is State.PULLING
        if order.settled or not pulled or not order.asking or order.asks < 2:
            return []
        return [CancelOrder(order_id=order.id, instrument=order.instrument)]

    def _nothing_came(self, group: Group) -> list[AnyCommand]:
        """An attempt has found nothing. What never left was none: it is tried again after a
        while, but what can be given back elsewhere is given back now."""
        if not self._attempts.waits(group):
            return self._pause(group)
        if group.state is State.CHASING and self.signal_of(group) is Signal.SPENT:
            return self._advance(group, Signal.SPENT)
        group.paused, group.attempt = True, []
        return [self._set_timer(group, self._settings.wait_ms * MILLI)]

    def _rest(self, group: Group, span_ms: int) -> list[AnyCommand]:
        """A pause after what was no attempt."""
        group.chases -= group.state is State.CHASING
        group.unwinds -= group.state is State.UNWINDING
        group.paused, group.attempt = True, []
        return [self._set_timer(group, span_ms * MILLI)]

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
            repairs = self._repairs.of(group, asset, delta)
            for repair in self._attempts.of(group, repairs, back=back):
                command = self._order_for(group, repair)
                if command is not None:
                    commands.append(command)
                    break
        if not commands:
            group.counted = Action.NOTHING
            # Where what is left can only be mended at a venue that is away, that was no attempt.
            if self.away.concerns(group):
                return self._rest(group, self._settings.pulling_ms)
            waits = self._attempts.waits_for_size(group, self.moves)
            return self._rest(group, self._settings.wait_ms) if waits else self._pause(group)
        patience = self._settings.unwinding_ms if back else self._settings.chasing_ms
        return [*commands, self._set_timer(group, patience * MILLI)]

    def _order_for(
        self, group: Group, repair: Repair, *, planned: bool = False
    ) -> PlaceOrder | None:
        """The repair as an order around the fresh touch; None where no book can be read."""
        book = self._market.book(repair.leg.instrument)
        listed = self._market.known_instrument(repair.leg.instrument)
        if book is None or listed.id in self.resized:
            return None
        touch = book.ask_ticks if repair.side is Side.BUY else book.bid_ticks
        price = listed.price(touch)
        if not self._market.is_sane(listed.id, price):
            return None
        limit = price * (1 + int(repair.side) * self._repairs.collar(group, listed.id) * BPS)
        ticks = max(Ticks(1), listed.ticks_not_worse(limit, repair.side))
        closing = repair.back or bool(group.intent.closes)
        reducing = listed.is_derivative and closing
        reducing = reducing and self.reduces(listed.id, repair.side, repair.lots)
        if closing and not reducing and not self.bounded(listed, repair.side, repair.lots):
            return None
        command = PlaceOrder(
            order_id=self._order_id(group),
            group=group.id,
            instrument=listed.id,
            side=repair.side,
            ticks=ticks,
            lots=repair.lots,
            time_in_force=TimeInForce.IOC,
            reduce_only=reducing,
            priority=Priority.UNWIND if repair.back else Priority.HEDGE,
        )
        self.place(group, command, repair.leg.touch, repair=not planned)
        return command

    def pull_all(self, *, restarted: bool = False) -> list[AnyCommand]:
        """No way forward any more: what is not balanced is given back; exits are completed.
        `restarted`: no timer of before is left, and no answer of before will come."""
        commands: list[AnyCommand] = []
        for group in list(self.living.values()):
            group.forced = True
            group.news = group.news or restarted
            if restarted:  # what was tried before met other circumstances
                group.chases = group.unwinds = 0
                group.kept_since = Nanos(0)
            if restarted and group.state is State.PULLING:
                commands += self._pull_anew(group)
            elif restarted or group.paused or group.state is not State.PULLING:
                commands += self._hurry(group)
        return commands

    def _pull_anew(self, group: Group) -> list[AnyCommand]:
        timer = self._set_timer(group, self._settings.pulling_ms * MILLI)
        return [timer, *self._pull(group), *self._settle(group)]

    def resume(self, waited: Sequence[Group]) -> list[AnyCommand]:
        """What waited for a venue goes on: it is there."""
        commands: list[AnyCommand] = []
        for group in waited:
            commands += self._hurry(group) if group.paused else self._pull_anew(group)
        return commands

    def remind(self) -> list[AnyCommand]:
        """A deadline for every group, where the timer it counts on may never have been set."""
        patience = self._settings.pulling_ms * MILLI
        return [self._set_timer(group, patience) for group in self.living.values()]

    # What was filled, as a signal ---------------------------------------------------------

    def signal_of(self, group: Group) -> Signal:
        """What the fills of a group whose orders have all settled amount to."""
        repairs = self._repairs.needed(group)
        if not repairs or not group.touched:
            return Signal.BALANCED if self._repairs.holds(group) else Signal.EMPTY
        if group.intent.closes:
            tries = self._settings.chases_max + self._settings.unwinds_max
            return Signal.LOPSIDED if group.chases < tries else Signal.HOPELESS
        if self._settings.half_filled == "hold":
            return Signal.HOPELESS
        chasing = self._settings.half_filled == "complete" and group.unwinds == 0
        chasing = chasing and group.chases < self._settings.chases_max and not group.forced
        if chasing and self._attempts.may_chase(group, repairs):
            return Signal.LOPSIDED
        return Signal.SPENT if group.unwinds < self._settings.unwinds_max else Signal.HOPELESS

    def deltas(self, group: Group) -> dict[Asset, Decimal]:
        """Signed exposure by coin, with the dust that the group took over; money left out."""
        return self._repairs.deltas(group)

    # For people and for the gate ---------------------------------------------------------

    def works_in(self, instrument: InstrumentId) -> bool:
        """Whether a group or an unsettled order of any group is in an instrument."""
        if self._orders.works_in(instrument):
            return True
        legs = (leg for group in self.living.values() for leg in group.intent.legs)
        return any(leg.instrument == instrument for leg in legs)

"""Orders as a table of states: SENT, LIVE, DONE, and UNKNOWN beside them.

Late, doubled and early messages are ordinary input. A fill counts once by venue and fill id. An
order whose outcome is not known is asked for by its client id until the venue answers; it is
never assumed failed and never sent again under another id. What cannot be true changes nothing: it
is handed back as a contradiction.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec

from oneprice.model.commands import AnyCommand, ClearTimer, PlaceOrder, QueryOrder, SetTimer
from oneprice.model.events import (
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderMissing,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.settings import OrderSettings
from oneprice.model.units import MILLI, ZERO, InstrumentId, Lots, Nanos, OrderId, Side, Ticks


class OrderState(StrEnum):
    SENT = "SENT"  # on its way
    LIVE = "LIVE"  # the venue has it
    UNKNOWN = "UNKNOWN"  # nobody knows; being asked for
    DONE = "DONE"  # can never fill again


class OrderSignal(StrEnum):
    ACCEPTED = "ACCEPTED"
    FILLED = "FILLED"  # a part
    COMPLETED = "COMPLETED"  # the fills sum to its size
    ENDED = "ENDED"
    REFUSED = "REFUSED"
    UNCERTAIN = "UNCERTAIN"
    MISSING = "MISSING"  # one answer "no such order", not yet believed
    GONE = "GONE"  # enough such answers over enough time


_S, _G = OrderState, OrderSignal
TABLE: dict[tuple[OrderState, OrderSignal], OrderState] = {
    (_S.SENT, _G.ACCEPTED): _S.LIVE,
    (_S.SENT, _G.FILLED): _S.LIVE,
    (_S.SENT, _G.COMPLETED): _S.DONE,
    (_S.SENT, _G.ENDED): _S.DONE,
    (_S.SENT, _G.REFUSED): _S.DONE,
    (_S.SENT, _G.UNCERTAIN): _S.UNKNOWN,
    (_S.SENT, _G.MISSING): _S.UNKNOWN,
    (_S.SENT, _G.GONE): _S.DONE,
    (_S.LIVE, _G.ACCEPTED): _S.LIVE,
    (_S.LIVE, _G.FILLED): _S.LIVE,
    (_S.LIVE, _G.COMPLETED): _S.DONE,
    (_S.LIVE, _G.ENDED): _S.DONE,
    (_S.LIVE, _G.REFUSED): _S.DONE,  # acknowledged first, refused by the engine behind it
    (_S.LIVE, _G.UNCERTAIN): _S.UNKNOWN,
    (_S.LIVE, _G.MISSING): _S.UNKNOWN,
    (_S.LIVE, _G.GONE): _S.DONE,
    (_S.UNKNOWN, _G.ACCEPTED): _S.LIVE,
    (_S.UNKNOWN, _G.FILLED): _S.UNKNOWN,  # it lived, but whether it still does is not known
    (_S.UNKNOWN, _G.COMPLETED): _S.DONE,
    (_S.UNKNOWN, _G.ENDED): _S.DONE,
    (_S.UNKNOWN, _G.REFUSED): _S.DONE,
    (_S.UNKNOWN, _G.UNCERTAIN): _S.UNKNOWN,
    (_S.UNKNOWN, _G.MISSING): _S.UNKNOWN,
    (_S.UNKNOWN, _G.GONE): _S.DONE,
    **{(_S.DONE, signal): _S.DONE for signal in OrderSignal},
}


class Order(msgspec.Struct, kw_only=True):
    """One order of ours and what we know of it. Mutable; owned by Orders."""

    id: OrderId
    group: str
    instrument: InstrumentId
    side: Side
    ticks: Ticks
    lots: Lots
    touch: Ticks  # the price it was decided on; slippage is measured against it
    repair: bool = False  # a chase or an unwind: its price difference is legging
    state: OrderState = OrderState.SENT
    filled: int = 0  # lots, from fills seen
    claimed: int = 0  # lots, from the venue's word that the order ended
    acknowledged: bool = False
    rested: bool = False
    reason: str = ""
    asking: bool = False
    asks: int = 0
    missing: int = 0
    missing_since: Nanos = Nanos(0)
    ticks_lots: int = 0  # sum of price times size over its fills
    base: Decimal = ZERO  # signed coins of base so far, before fees
    base_fee: Decimal = ZERO  # fee taken in the base coin, above zero is a cost
    quote: Decimal = ZERO  # signed quote so far (what a buy paid is below zero)

    @property
    def settled(self) -> bool:
        """It can never fill again, and every fill it had was seen."""
        return self.state is OrderState.DONE and self.filled >= self.claimed


class Heard(msgspec.Struct):
    """What a message meant: the order it concerns, whether a fill counts, what contradicts.

    `again`: a fill that was told before; its fee may be known by now. `adopted`: one that is in
    the books already, as a stranger's, and turns out to be of our order.
    """

    order: Order | None
    counts: bool = False
    again: bool = False
    adopted: bool = False
    contradiction: str = ""
    commands: list[AnyCommand] = msgspec.field(default_factory=list)


OrderMessage = (
    OrderAccepted
    | OrderAmended
    | OrderRefused
    | OrderFilled
    | OrderEnded
    | OrderUncertain
    | OrderMissing
)

class Whose(IntEnum):
    """What was made of a fill when it was first told."""

    PAST = 0  # a stranger's, from before the opening: not counted
    STRANGER = 1  # a stranger's, counted
    OURS = 2


STEPS_MAX = 10**17  # ticks or lots; no grid is so fine and no size so large
WORTH_MAX = 10**22  # ticks times lots: with the digits of the grid it stays below 34
ASK_TIMER = "ask/"
LIES_KEPT = 1_000  # contradictions that are not told twice


class Orders:
    """Every order of this session, by our id."""

    def __init__(self, settings: OrderSettings, ours: str = "") -> None:
        self._settings = settings
        # How our client ids begin and go on, where one is known: group number, order number.
        self._ours = re.compile(f"{re.escape(ours)}g[0-9]+o[0-9]+") if ours else None
        self._forgotten: OrderedDict[OrderId, None] = OrderedDict()
        self._lies: OrderedDict[str, None] = OrderedDict()
        self._orders: dict[OrderId, Order] = {}
        self._open: dict[OrderId, Order] = {}
        self._done: OrderedDict[OrderId, None] = OrderedDict()
        self._fills: dict[str, OrderedDict[tuple[str, str, Side], tuple[int, int, Whose]]] = {}
        self.sent = 0
        self.fills = 0
        self.doubled = 0

    def place(self, command: PlaceOrder, touch: Ticks, *, repair: bool) -> Order:
        """Remember an order that is about to leave."""
        assert command.order_id not in self._orders, "a client id is used once"
        order = Order(
            id=command.order_id,
            group=command.group,
            instrument=command.instrument,
            side=command.side,
            ticks=command.ticks,
            lots=command.lots,
            touch=touch,
            repair=repair,
        )
        self._orders[order.id] = order
        self._open[order.id] = order
        self.sent += 1
        return order

    def get(self, order_id: OrderId) -> Order | None:
        return self._orders.get(order_id)

    def works_in(self, instrument: InstrumentId) -> bool:
        """Whether an order that may still change is in an instrument."""
        return any(order.instrument == instrument for order in self._open.values())

    def of(self, instrument: InstrumentId) -> list[Order]:
        """Every order in an instrument that is remembered."""
        return [order for order in self._orders.values() if order.instrument == instrument]

    def recount(
        self,
        instrument: InstrumentId,
        ticks_of: Callable[[int], int],
        lots_of: Callable[[int], int],
    ) -> None:
        """Its grid is another one from now on: fills told again must be known by that."""
        seen = self._fills.get(instrument.partition(":")[0], OrderedDict())
        for key, (ticks, lots, whose) in list(seen.items()):
            if key[0] == instrument:
                seen[key] = (ticks_of(ticks), lots_of(lots), whose)

    def unsettled(self) -> list[Order]:
        """Every order that may still change, in the order of sending."""
        return list(self._open.values())

    def hear(self, message: OrderMessage, *, strangers_count: bool = True) -> Heard:
        """Apply one message about an order; see Heard. `strangers_count` False: a fill of an
        order that is not ours is remembered but not counted (it predates the opening balance)."""
        order = self._orders.get(message.order_id)
        if isinstance(message, OrderFilled):
            return self._filled(order, message, strangers_count=strangers_count)
        if order is None:
            return Heard(None, contradiction=self._stranger(message.order_id))
        match message:
            case OrderAccepted():
                return self._accepted(order, message)
            case OrderAmended():
                return self._amended(order, message)
            case OrderRefused():
                return self._refused(order, message)
            case OrderEnded():
                return self._ended(order, message)
            case OrderUncertain():
                return self._uncertain(order, message.at, message.reason)
            case OrderMissing():
                return self._missing(order, message)

    def _stranger(self, order_id: OrderId) -> str:
        """An id that only we would make, of an order that was never sent."""
        if self._ours is None or not self._ours.fullmatch(order_id):
            return ""
        if order_id in self._forgotten:
            return ""
        return self._once(f"{order_id} was never sent")

    def _once(self, lie: str, subject: str = "") -> str:
        """A contradiction, the first time it is heard."""
        key = f"{subject} {lie}"
        if key in self._lies:
            return ""
        self._lies[key] = None
        if len(self._lies) > LIES_KEPT:
            self._lies.popitem(last=False)
        return lie

    # Messages ----------------------------------------------------------------------------

    def _accepted(self, order: Order, message: OrderAccepted) -> Heard:
        order.acknowledged = True
        order.rested = order.rested or message.live
        order.missing = 0
        self._step(order, OrderSignal.ACCEPTED)
        return Heard(order)

    def _amended(self, order: Order, message: OrderAmended) -> Heard:
        if order.state is OrderState.DONE:
            return Heard(order)  # said late: the order has ended since
        if message.ticks <= 0 or message.lots < max(1, order.filled):
            lie = f"amended to {message.lots} lots at {message.ticks} ticks"
            return Heard(order, contradiction=self._once(lie, order.id))
        order.ticks, order.lots = message.ticks, message.lots
        order.acknowledged = order.rested = True
        order.missing = 0
        whole = order.filled >= order.lots
        self._step(order, OrderSignal.COMPLETED if whole else OrderSignal.ACCEPTED)
        return Heard(order, commands=self._stop_asking(order) if order.settled else [])

    def _refused(self, order: Order, message: OrderRefused) -> Heard:
        if message.reason == "duplicate_id":
            # Some order by this id does live at the venue: the question is which, not whether.
            return self._uncertain(order, message.at, "duplicate_id")
        if order.state is OrderState.DONE:
            return Heard(order)
        if order.filled:
            lie = f"refused ({message.reason}) after fills"
            return Heard(order, contradiction=self._once(lie, order.id))
        order.reason = message.reason
        self._step(order, OrderSignal.REFUSED)
        return Heard(order, commands=self._stop_asking(order))

    def _ended(self, order: Order, message: OrderEnded) -> Heard:
        told, contradiction = int(message.filled_lots), ""
        if told < 0 or told > order.lots:
            lie = self._once(f"ended with {told} lots of {order.lots} sent", order.id)
            heard = self._uncertain(order, message.at, "impossible end")
            return Heard(order, contradiction=lie, commands=heard.commands)
        if told < max(order.filled, order.claimed):
            seen = max(order.filled, order.claimed)
            contradiction = f"ended with {told} lots, {seen} were told before"
        order.claimed = max(order.claimed, told)
        order.acknowledged = True
        if order.state is not OrderState.DONE:
            order.reason = message.reason
        self._step(order, OrderSignal.ENDED)
        commands = (
            self._stop_asking(order) if order.settled else self._begin_asking(order, message.at)
        )
        contradiction = self._once(contradiction, order.id) if contradiction else ""
        return Heard(order, contradiction=contradiction, commands=commands)

    def _uncertain(self, order: Order, at: Nanos, reason: str) -> Heard:
        if order.settled:
            return Heard(order)
        if order.state is not OrderState.DONE:
            order.reason = reason
        self._step(order, OrderSignal.UNCERTAIN)
        return Heard(order, commands=self._begin_asking(order, at))

    def _missing(self, order: Order, message: OrderMissing) -> Heard:
        if order.settled:
            return Heard(order)
        if order.missing == 0:
            order.missing_since = message.at
        order.missing += 1
        self._step(order, OrderSignal.MISSING)
        # A venue that acknowledged it may only be slow to index it: ask for longer.
        factor = 2 if order.acknowledged or order.filled else 1
        enough = order.missing >= self._settings.missing_answers_min * factor
        waited = message.at - order.missing_since
        if not enough or waited < self._settings.missing_ms_min * factor * MILLI:
            return Heard(order, commands=self._begin_asking(order, message.at))
        contradiction = ""
        if order.rested or order.filled or order.claimed:
            contradiction = "known to have lived, now the venue does not know it"
            order.claimed = order.filled
        order.reason = "missing"
        self._step(order, OrderSignal.GONE)
        return Heard(order, contradiction=contradiction, commands=self._stop_asking(order))

    def _filled(
        self, order: Order | None, fill: OrderFilled, *, strangers_count: bool
    ) -> Heard:
        lie = impossible(order, fill)
        seen = self._fills.setdefault(fill.instrument.partition(":")[0], OrderedDict())
        # Some venues number trades per instrument, and one trade can be both sides of ours.
        key = (fill.instrument, fill.fill_id, fill.side)
        known = seen.get(key)
        if known is not None and known[:2] == (fill.ticks, fill.lots):
            self.doubled += 1
            if known[2] is Whose.OURS or order is None or lie:
                return Heard(order, again=True)
        elif known is not None:
            lie = f"{fill.lots} lots at {fill.ticks}, before {known[1]} at {known[0]}"
        if lie:
            # Not remembered: what is told truly by this id later must count.
            subject = f"{fill.order_id} {fill.fill_id}"
            return Heard(order, contradiction=self._once(lie, subject))
        whose = Whose.STRANGER if strangers_count else Whose.PAST
        seen[key] = (fill.ticks, fill.lots, Whose.OURS if order is not None else whose)
        if len(seen) > self._settings.fills_kept:
            seen.popitem(last=False)
        if order is None:
            return self._of_a_stranger(fill, strangers_count=strangers_count)
        adopted = known is not None and known[2] is Whose.STRANGER
        return self._of_ours(order, fill, adopted=adopted)

    def _of_a_stranger(self, fill: OrderFilled, *, strangers_count: bool) -> Heard:
        if not strangers_count:
            return Heard(None)
        text = "a fill of an order that this session never sent"
        if fill.cause != "trade":
            text = f"{fill.cause} of {fill.lots} lots by the venue"
        return Heard(None, counts=True, contradiction=text)

    def _of_ours(self, order: Order, fill: OrderFilled, *, adopted: bool) -> Heard:
        self.fills += 1
        contradiction = ""
        if adopted:
            contradiction = "a fill that was told as a stranger's before"
        elif order.state is OrderState.DONE and order.filled >= order.claimed:
            contradiction = f"a fill of {fill.lots} lots after its end ({order.reason})"
        order.filled += fill.lots
        order.missing = 0
        order.claimed = max(order.claimed, order.filled) if contradiction else order.claimed
        whole = order.filled >= order.lots
        self._step(order, OrderSignal.COMPLETED if whole else OrderSignal.FILLED)
        if whole and not order.reason:
            order.reason = "filled"
        commands = self._stop_asking(order) if order.settled else []
        return Heard(
            order,
            counts=not adopted,
            adopted=adopted,
            contradiction=contradiction,
            commands=commands,
        )

    def _step(self, order: Order, signal: OrderSignal) -> None:
        order.state = TABLE[order.state, signal]
        if order.settled and self._open.pop(order.id, None) is not None:
            self._done[order.id] = None
            if len(self._done) > self._settings.done_kept:
                oldest, _ = self._done.popitem(last=False)
                del self._orders[oldest]
                self._forgotten[oldest] = None
                if len(self._forgotten) > 10 * self._settings.done_kept:
                    self._forgotten.popitem(last=False)

    # Questions ---------------------------------------------------------------------------

    def ask(self, order: Order, at: Nanos) -> list[AnyCommand]:
        """Ask the venue now, and again with growing pauses until the order has settled."""
        if order.settled:
            return []
        if not order.asking:
            order.asks = 0
        order.asking = True
        pause = self._settings.ask_after_ms * 2 ** min(order.asks, 20)
        order.asks += 1
        due = Nanos(at + min(pause, self._settings.ask_after_ms_max) * MILLI)
        if order.missing:
            # Not later than the moment at which one more such answer would be believed.
            factor = 2 if order.acknowledged or order.filled else 1
            believed = order.missing_since + self._settings.missing_ms_min * factor * MILLI
            soonest = at + self._settings.ask_after_ms * MILLI
            due = Nanos(min(due, max(believed, soonest)))
        return [
            QueryOrder(order_id=order.id, instrument=order.instrument),
            SetTimer(timer=ASK_TIMER + order.id, due=due),
        ]

    def _begin_asking(self, order: Order, at: Nanos) -> list[AnyCommand]:
        # An answer that settles nothing waits for the timer: a venue whose list of fills lags,
        # or that does not answer, must not be asked again at the speed of its answers.
        return [] if order.asking else self.ask(order, at)

    def timer(self, timer: str, at: Nanos) -> list[AnyCommand]:
        """The pause before the next question is over."""
        order = self._orders.get(timer.removeprefix(ASK_TIMER))
        if order is None or not order.asking:
            return []
        return self.ask(order, at)

    def _stop_asking(self, order: Order) -> list[AnyCommand]:
        if not order.asking:
            return []
        order.asking = False
        return [ClearTimer(timer=ASK_TIMER + order.id)]


def impossible(order: Order | None, fill: OrderFilled) -> str:
    """Why a fill cannot be true, or "": then nothing of it may be booked."""
    if not 0 < fill.lots <= STEPS_MAX:
        return f"a fill of {_short(fill.lots)} lots"
    if not 0 < fill.ticks <= STEPS_MAX or fill.lots * fill.ticks > WORTH_MAX:
        return f"a fill of {fill.lots} lots at {_short(fill.ticks)} ticks"
    if order is None:
        return ""
    if fill.instrument != order.instrument or fill.side is not order.side:
        return f"a fill of {fill.instrument} {fill.side.name}"
    if order.filled + fill.lots > order.lots:
        return f"filled {order.filled + fill.lots} lots of {order.lots} sent"
    return ""


def _short(number: int) -> str:
    text = str(number)
    return text if len(text) <= 24 else text[:24] + "..."

"""Orders as a table of states: SENT, LIVE, DONE, and UNKNOWN beside them.

Late, doubled and early messages are ordinary input. A fill counts once by venue and fill id. An
order whose outcome is not known is asked for by its client id until the venue answers; it is
never assumed failed and never sent again under another id.
"""

from collections import OrderedDict
from decimal import Decimal
from enum import StrEnum

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
    """What a message meant: the order it concerns, whether a fill counts, what contradicts."""

    order: Order | None
    counts: bool = False
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

ASK_TIMER = "ask/"


class Orders:
    """Every order of this session, by our id."""

    def __init__(self, settings: OrderSettings) -> None:
        self._settings = settings
        self._orders: dict[OrderId, Order] = {}
        self._open: dict[OrderId, Order] = {}
        self._done: OrderedDict[OrderId, None] = OrderedDict()
        self._fills: dict[str, OrderedDict[tuple[str, str, Side], None]] = {}
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
            return Heard(None)
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
            return Heard(order, contradiction=f"refused ({message.reason}) after fills")
        order.reason = message.reason
        self._step(order, OrderSignal.REFUSED)
        return Heard(order, commands=self._stop_asking(order))

    def _ended(self, order: Order, message: OrderEnded) -> Heard:
        contradiction = ""
        if message.filled_lots > order.lots:
            contradiction = f"ended with {message.filled_lots} lots of {order.lots} sent"
        order.claimed = max(order.claimed, message.filled_lots)
        order.acknowledged = True
        if order.state is not OrderState.DONE:
            order.reason = message.reason
        self._step(order, OrderSignal.ENDED)
        if order.settled:
            return Heard(order, contradiction=contradiction, commands=self._stop_asking(order))
        commands = self._begin_asking(order, message.at)
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
        venue = fill.instrument.partition(":")[0]
        seen = self._fills.setdefault(venue, OrderedDict())
        # Some venues number trades per instrument, and one trade can be both sides of ours.
        key = (fill.instrument, fill.fill_id, fill.side)
        if key in seen:
            self.doubled += 1
            return Heard(order)
        seen[key] = None
        if len(seen) > self._settings.fills_kept:
            seen.popitem(last=False)
        if order is None:
            text = "a fill of an order that this session never sent"
            if fill.cause != "trade":
                text = f"{fill.cause} of {fill.lots} lots by the venue"
            text = text if strangers_count else ""
            return Heard(None, counts=strangers_count, contradiction=text)
        self.fills += 1
        contradiction = ""
        if fill.instrument != order.instrument or fill.side is not order.side:
            contradiction = f"a fill of {fill.instrument} {fill.side.name}"
        elif order.state is OrderState.DONE and order.filled >= order.claimed:
            contradiction = f"a fill of {fill.lots} lots after its end ({order.reason})"
        order.filled += fill.lots
        order.missing = 0
        order.claimed = max(order.claimed, order.filled) if contradiction else order.claimed
        if order.filled > order.lots:
            contradiction = f"filled {order.filled} lots of {order.lots} sent"
        whole = order.filled >= order.lots
        self._step(order, OrderSignal.COMPLETED if whole else OrderSignal.FILLED)
        if whole and not order.reason:
            order.reason = "filled"
        commands = self._stop_asking(order) if order.settled else []
        return Heard(order, counts=True, contradiction=contradiction, commands=commands)

    def _step(self, order: Order, signal: OrderSignal) -> None:
        order.state = TABLE[order.state, signal]
        if order.settled and self._open.pop(order.id, None) is not None:
            self._done[order.id] = None
            if len(self._done) > self._settings.done_kept:
                oldest, _ = self._done.popitem(last=False)
                del self._orders[oldest]

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

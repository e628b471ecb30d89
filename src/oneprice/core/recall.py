"""Recall: what a journal tells is folded back into the parts that it was about.

Facts come in by the doors they came in by, muted: nothing is sent, and groups conclude nothing.
What they concluded is told by the decisions between the facts, and their orders by the commands
of the same turn. Doubts are not recalled: after a restart the venues are asked anew.
"""

from collections.abc import Mapping, Sequence

from oneprice.core.acceptance import OpeningAccepted
from oneprice.core.bookkeeper import Correction
from oneprice.core.doors import Clerks, Door, Doors
from oneprice.core.gate import Gate
from oneprice.core.legs import ENDS, Action, State
from oneprice.core.plausible import fees_named
from oneprice.core.record import DayBegan, RatesRead, WalletKnown
from oneprice.core.repairs import Group
from oneprice.core.sight import Parts
from oneprice.core.statement import StatementEntered
from oneprice.core.strategy import (
    ClutchOpened,
    Decision,
    Discrepancy,
    GroupMoved,
    IntentJudged,
)
from oneprice.model import events as ev
from oneprice.model.commands import AnyCommand, PlaceOrder, QueryAccount
from oneprice.model.events import Event
from oneprice.model.units import Nanos

# What a venue says of an account's terms is asked anew by every start; a stop ends with it.
_OF_ITS_TIME = (
    ev.KeyReported,
    ev.PositionModeReported,
    ev.LeverageReported,
    ev.OpenOrderReported,
    ev.CancelRefused,
    ev.AmendRefused,
    ev.StopRequested,
)
# Fills, and what settles which of those that waited for their venue's clock count.
_WITH_FEES = (ev.OrderFilled, ev.FillsTold, ev.StatementTold)
_SENDS = (Action.SEND_HEDGE, Action.SEND_MISSING, Action.SEND_BACK)


class NotRecalled(ValueError):
    """A journal whose entries contradict each other; says which and how."""


class Recall:
    """Folds journaled turns, oldest first, into an engine that has done nothing yet."""

    def __init__(self, parts: Parts, clerks: Clerks, doors: Doors, gate: Gate) -> None:
        self._market = parts.market
        self._accounts = parts.accounts
        self._groups = parts.groups
        self._holdings = parts.holdings
        self._ledger = parts.ledger
        self._clerks = clerks
        self._doors = doors
        self._gate = gate
        self._door: Mapping[type, Door] = doors.by_kind()
        self._sends: list[PlaceOrder] = []  # of the present entry, not yet placed
        self.entries = 0
        self.heard = Nanos(0)  # when the last of them was written

    def entry(
        self,
        at: Nanos,
        record: Sequence[Event | Decision],
        commands: Sequence[AnyCommand],
    ) -> None:
        """One turn. Raises NotRecalled where it does not follow from the turns before."""
        self._mute(muted=True)
        self._sends = [c for c in commands if isinstance(c, PlaceOrder)]
        for asked in commands:
            if isinstance(asked, QueryAccount):  # until the answer is whole, nothing opens there
                self._accounts.markets.setdefault((asked.venue, asked.market), False)
        emptied = False
        for place, item in enumerate(record):
            self._market.now = Nanos(max(self._market.now, item.at))
            if isinstance(item, IntentJudged) and not emptied:
                emptied = True
                self._doors.empty_holdings()
            if isinstance(item, _WITH_FEES):
                self._clerks.plausible.recalled = fees_named(record, place)
            self._item(item, record)
        self._market.now = Nanos(max(self._market.now, at))
        if not emptied:
            self._doors.empty_holdings()
        for lost in self._sends:
            raise NotRecalled(f"the entry of {at}: order {lost.order_id} is of no group at work")
        self.entries += 1
        self.heard = at
        self._mute(muted=False)

    def end(self) -> None:
        """All has been told: what belonged to the moment is dropped."""
        self._clerks.sight.recovering = bool(self.entries)  # until the venues were compared
        self._clerks.reconcile.forget_doubts()
        self._clerks.terms.found.clear()
        for order in self._clerks.orders.unsettled():
            order.asking = False
            order.asks = 0

    def _mute(self, *, muted: bool) -> None:
        self._doors.muted = self._clerks.record.muted = self._clerks.books.muted = muted
        self._market.recalled = {} if muted else None
        self._clerks.plausible.recalled = () if muted else None

    # What a record tells -----------------------------------------------------------------

    def _item(self, item: Event | Decision, record: Sequence[Event | Decision]) -> None:
        match item:
            case RatesRead():
                self._rates(item)
            case DayBegan():
                self._market.before.update(item.rates)
                self._ledger.turn_day(item.day, item.rates.get)
            case OpeningAccepted():
                self._clerks.reconcile.acceptances.apply(item)
                if not item.line:
                    self._doors.accepted(item.account, item.asset, item.amount)
            case WalletKnown():
                self._accounts.wallet_is(item.venue, item.market, item.wallet)
            case StatementEntered():
                self._clerks.reconcile.statements.enter(item)
            case Correction():
                self._clerks.books.correct(item)
            case ev.InstrumentListed():
                self._doors.listed(item.instrument)
            case ev.KillRequested():
                self._clerks.sight.flattening |= item.flatten
            case ev.ClutchReleased():
                self._clerks.sight.clutch = ""
                self._doors.released()
                self._clerks.sight.flattening = False
            case IntentJudged():
                self._judged(item)
            case GroupMoved():
                self._moved(item, record)
            case ClutchOpened():
                self._clerks.sight.clutch = item.reason
                self._clerks.sight.flattening |= item.flattening
            case Discrepancy():
                self._clerks.report.differs(item)
                self._doors.believed(item)
            case Event() if not isinstance(item, _OF_ITS_TIME):
                door = self._door.get(type(item))
                if door is not None:
                    door(item)

    def _rates(self, note: RatesRead) -> None:
        self._market.before.update(note.rates)
        self._market.recalled = note.rates
        if note.openings:
            self._ledger.value_openings(self._market.noted_rate)
            self._market.recalled = {}

    # Groups ------------------------------------------------------------------------------

    def _judged(self, verdict: IntentJudged) -> None:
        intent = verdict.intent
        self._clerks.report.judged(intent, verdict.refused_by)
        if not verdict.group:
            refusals = self._gate.refusals
            refusals[verdict.refused_by] = refusals.get(verdict.refused_by, 0) + 1
            return
        carry = self._doors.adopt(verdict.group, intent)
        group = self._groups.enter(intent, verdict.group, carry)
        self._place(group, repair=False)

    def _moved(self, move: GroupMoved, record: Sequence[Event | Decision]) -> None:
        group = self._groups.living.get(move.group)
        if group is None or move.before != group.state:
            found = "none" if group is None else group.state
            text = f"group {move.group} goes from {move.before}, found {found}"
            raise NotRecalled(f"the entry of {move.at}: {text}")
        action = Action(move.action)
        group.state = State(move.after)
        group.steps += 1
        group.attempt = []
        group.chases += action is Action.SEND_MISSING
        group.unwinds += action is Action.SEND_BACK
        if action in _SENDS:
            self._place(group, repair=_repairs(record, group.id))
        if group.state in ENDS:
            del self._groups.living[group.id]
            self._doors.ended(group)

    def _place(self, group: Group, *, repair: bool) -> None:
        """The orders of a group that left in this turn; all of them at once, since nothing was
        heard of any in the same turn."""
        for command in [c for c in self._sends if c.group == group.id]:
            for leg in group.intent.legs:
                if leg.instrument == command.instrument:
                    self._groups.place(group, command, leg.touch, repair=repair)
                    self._sends.remove(command)
                    break


def _repairs(record: Sequence[Event | Decision], group: str) -> bool:
    """Whether the orders of a group in this turn mend a missed leg; else they hedge one that
    rests, as planned. Where a turn did both, which is one in a million, it counts as mending."""
    moves = [item for item in record if isinstance(item, GroupMoved) and item.group == group]
    return any(m.action in (Action.SEND_MISSING, Action.SEND_BACK) for m in moves)

"""Recovery: the way from what a journal tells to what the venues say, before anything new.

After a recall every order that may still live is cancelled and asked for, every group in flight
is pulled and gives back what is not balanced, and every account is asked in full. New risk waits
until all of it is known and our books and the venues agree to the unit. A difference that two
looks confirm is named, and the clutch is open until a person has signed for it.
"""

from collections.abc import Sequence

from oneprice.core.account import MarketKey
from oneprice.core.doors import Clerks, Doors
from oneprice.core.reconcile import Subject
from oneprice.core.sight import Parts
from oneprice.core.strategy import Alarmed, Recovered
from oneprice.model.commands import AnyCommand, CancelOrder, QueryAccount, SetTimer
from oneprice.model.units import MILLI, Nanos

RECOVERY_TIMER = "recovery"
LOOK_MS = 100  # between looks while answers are awaited
# A question that may be lost on its way is asked again after so long, then after twice as long:
# an answer can take its time where a venue allows few questions, and more of them would not help.
UNANSWERED_MS = 2_000
STATEMENT_MS = 30_000  # a balance that differs waits so long for the venue's own explanation
# Between the looks that must all show a difference: balances may trail the fills behind them.
PAUSES_MS = (100, 900)


class Recovery:
    """Asks, waits, compares; `step` is called at every turn while `active`."""

    def __init__(self, parts: Parts, clerks: Clerks, doors: Doors) -> None:
        self._doors = doors
        self._market = parts.market
        self._accounts = parts.accounts
        self._groups = parts.groups
        self._holdings = parts.holdings
        self._orders = clerks.orders
        self._cursor = clerks.cursor
        self._reconcile = clerks.reconcile
        self._record = clerks.record
        self._report = clerks.report
        self._sight = clerks.sight
        self._asked: dict[MarketKey, Nanos] = {}  # what is told later is the answer
        self._patience: dict[MarketKey, int] = {}  # after the asking, milliseconds
        self._began = Nanos(0)
        self._orders_asked = self._looks = 0
        self._unwound: tuple[str, ...] = ()
        self._stale = False  # something happened since the accounts were asked
        self._next = Nanos(0)

    @property
    def active(self) -> bool:
        return self._sight.recovering and self._began > 0

    @property
    def is_due(self) -> bool:
        """A journal was recalled, and nobody has been asked yet: what we know may be long over."""
        return self._sight.recovering and not self._began

    def begin(self, markets: Sequence[MarketKey]) -> list[AnyCommand]:
        """Every market that the journal knows is asked, and those given."""
        self._sight.recovering = True
        self._began = self._market.now
        self._unwound = tuple(self._groups.living)
        unsettled = self._orders.unsettled()
        self._orders_asked = len(unsettled)
        self._stale = bool(unsettled or self._unwound)
        commands = self._groups.pull_all(restarted=True)
        for order in unsettled:
            if not order.settled and not order.asking:
                commands.append(CancelOrder(order_id=order.id, instrument=order.instrument))
                commands += self._orders.ask(order, self._market.now)
        known = dict.fromkeys([*self._accounts.markets, *markets])
        return [*commands, *self._ask(list(known), fills=True), self._look_again()]

    def timer(self) -> list[AnyCommand]:
        return [self._look_again()] if self.active else []

    def _look_again(self) -> SetTimer:
        return SetTimer(timer=RECOVERY_TIMER, due=Nanos(self._market.now + LOOK_MS * MILLI))

    def _ask(self, keys: Sequence[MarketKey], *, fills: bool) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        for key in keys:
            self._asked[key] = self._market.now
            self._patience[key] = UNANSWERED_MS
            self._accounts.markets.setdefault(key, False)
            if fills:
                commands += self._cursor.ask(key)
        commands += self._reconcile.statements.questions()
        # Accounts last: what changed them is known when they are compared.
        return [*commands, *(QueryAccount(venue=v, market=m) for v, m in keys)]

    # Looking -----------------------------------------------------------------------------

    def step(self) -> list[AnyCommand]:
        """Go on where something was waited for and is there."""
        now = self._market.now
        told = self._accounts.told_at
        silent = [key for key, at in self._asked.items() if told.get(key, 0) <= at]
        if silent:
            late = [k for k in silent if now - self._asked[k] >= self._patience[k] * MILLI]
            for key in late:
                self._patience[key] *= 2
            return [QueryAccount(venue=venue, market=market) for venue, market in late]
        if self._orders.unsettled() or self._groups.living:
            self._stale = True
            return []
        if now < self._next:
            return []
        if self._stale:
            self._stale = False
            return self._ask(list(self._asked), fills=self._looks > 0)
        found = self._reconcile.differences(self._asked)
        self._looks = self._looks + 1 if found else 0
        if found and self._looks <= len(PAUSES_MS):
            self._next = Nanos(now + PAUSES_MS[self._looks - 1] * MILLI)
            self._stale = True
            return []
        if self._may_be_explained(found):
            return []
        self._reconcile.believe(found)
        commands = self._doors.collect()
        self._end()
        return commands

    def _may_be_explained(self, found: Sequence[Subject]) -> bool:
        """Whether a statement that is on its way may hold the line that is missing: what is
        accepted before it comes would be booked twice. After days it comes in many pages."""
        if self._market.now - self._began >= STATEMENT_MS * MILLI:
            return False
        statements = self._reconcile.statements
        return any(isinstance(s, tuple) and statements.is_awaited(s[0], s[1]) for s in found)

    def _end(self) -> None:
        self._sight.recovering = False
        now = self._market.now
        differences = [
            f"{d.kind} {d.subject}: expected {d.expected}, found {d.found}"
            for d in self._report.discrepancies
            if d.at >= self._began
        ]
        outcome = Recovered(
            at=now,
            orders=self._orders_asked,
            groups=self._unwound,
            holdings=tuple(holding.id for holding in self._holdings.of("")),
            differences=tuple(differences),
            ms=(now - self._began) // MILLI,
        )
        self._record.decide(outcome)
        self._report.recovered = outcome
        if differences:
            text = "; ".join(differences)
            self._record.decide(Alarmed(at=now, kind="recovery", subject="differences", text=text))

"""Recovery: the way from what a journal tells to what the venues say, before anything new.

After a recall every order that may still live is cancelled and asked for, every group in flight
is pulled and gives back what is not balanced, and every account is asked in full. New risk waits
until all of it is known and our books and the venues agree to the unit. A difference that two
looks confirm is named, and the clutch is open until a person has signed for it.

A venue that does not answer at the restart holds nobody up: orders and legs at the others are
ended as far as that goes without it. It is begun when it is there, and only then can all agree.
"""

from collections.abc import Sequence

from oneprice.core.account import MarketKey
from oneprice.core.doors import Clerks, Doors
from oneprice.core.orders import Order
from oneprice.core.reconcile import Subject
from oneprice.core.sight import Parts
from oneprice.core.strategy import Alarmed, Holding, HoldingLeg, Recovered
from oneprice.model.commands import AnyCommand, CancelAll, CancelOrder, QueryAccount, SetTimer
from oneprice.model.instrument import split_id
from oneprice.model.units import MILLI, InstrumentId, Nanos

RECOVERY_TIMER = "recovery"
LOOK_MS = 100  # between looks while answers are awaited
AWAY_LOOK_MS = 1_000  # the same while a venue is away
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
        self._began = self._heard = Nanos(0)  # the first venues, and the last of all
        self._orders_asked = self._looks = 0
        self._doubted: list[Subject] = []  # at the last look
        self._unwound: tuple[str, ...] = ()
        self.killed = False  # before anybody was asked
        self.since = Nanos(0)  # when what was recalled ended
        self._stale = False  # something happened since the accounts were asked
        self._next = Nanos(0)

    @property
    def active(self) -> bool:
        return self._sight.recovering and self._began > 0

    @property
    def is_due(self) -> bool:
        """A journal was recalled, and nobody has been asked yet: what we know may be long over."""
        return self._sight.recovering and not self._began

    def waits_for_venues(self, *, closing: bool) -> bool:
        """Whether only venues that are away could end what is in flight, or nobody was asked at
        all; with `closing` what is held is to end as well."""
        away = self._groups.away
        if self.is_due:
            return True
        if not away or any(not away.keeps(group) for group in self._groups.living.values()):
            return False
        for holding in self._holdings.of("") if closing else ():
            if not any(away.has(leg.instrument) for leg in holding.legs):
                return False
        return all(away.has(order.instrument) for order in self._orders.unsettled())

    def may_close(self, holding: Holding) -> bool:
        """Whether an exit may be decided on what we know. Not before the venues were compared;
        while one is away that may last, and what is wholly at others ends where they agree."""
        if not self._sight.recovering:
            return True
        return bool(self._groups.away) and all(self._is_told(leg) for leg in holding.legs)

    def _is_told(self, leg: HoldingLeg) -> bool:
        venue, market, _ = split_id(leg.instrument)
        asked = self._asked.get((venue, market))
        told = self._accounts.told_at.get((venue, market), 0)
        return asked is not None and told > asked and self._reconcile.agrees_on(leg.instrument)

    def lacking(self) -> list[str]:
        """What a comparison with the venues still waits for; nothing where it is done."""
        if not self._sight.recovering:
            return []
        told = self._accounts.told_at
        found = [f"{venue} was not reached" for venue in self._groups.away.names()]
        if self.is_due:
            found.append("no venue was asked")
        found += [f"{v}:{m} did not answer" for (v, m), at in self._asked.items()
                  if told.get((v, m), 0) <= at]  # fmt: skip
        found += [f"group {group} was at work" for group in self._groups.living]
        unsettled = len(self._orders.unsettled())
        found += [f"{unsettled} orders of unknown outcome"] if unsettled else []
        subjects = ["/".join(s) if isinstance(s, tuple) else s for s in self._doubted]
        found += [f"{name} differed" for name in subjects]
        return found or ["it had only begun"]

    def begin(self, markets: Sequence[MarketKey], away: Sequence[str]) -> list[AnyCommand]:
        """Every market that the journal knows is asked, and those given; but nothing of venues
        that are away: they are given later, each once it is there."""
        if self._began:
            commands = self._go_on([venue for venue, _ in markets], away)
        else:
            self._groups.away.set(away)
            commands = self._begin_first()
        if away:
            text = f"going on without {', '.join(away)}: no answer yet, nothing new is begun"
            self._record.decide(
                Alarmed(at=self._market.now, kind="recovery", subject="venues", text=text)
            )
        self._heard = self._market.now
        known = dict.fromkeys([*self._accounts.markets, *markets])
        if self.killed:
            there = [i.id for i in self._market.instruments() if (i.venue, i.market) in markets]
            commands += [CancelAll(instrument=name) for name in there]
        keys = [key for key in known if key[0] not in away and key not in self._asked]
        return [*commands, *self._ask(keys, fills=True), self._look_again()]

    def _begin_first(self) -> list[AnyCommand]:
        self._sight.recovering = True
        self._began = self._market.now
        self._unwound = tuple(self._groups.living)
        unsettled = self._orders.unsettled()
        self._orders_asked = len(unsettled)
        self._stale = bool(unsettled or self._unwound)
        commands = self._groups.pull_all(restarted=True)
        for order in unsettled:
            if not order.settled and not order.asking:
                commands += self._end_order(order)
        return commands

    def _go_on(self, venues: Sequence[str], away: Sequence[str]) -> list[AnyCommand]:
        """Venues are there that were away: what waited for them, and their orders."""
        before = self._groups.away
        kept = [group for group in self._groups.living.values() if before.keeps(group)]
        back = [name for name in before.names() if name in venues]
        before.set(away)
        waited = [g for g in kept if any(_is_at(leg.instrument, back) for leg in g.intent.legs)]
        for order in self._orders.unsettled():
            if _is_at(order.instrument, back):
                order.asks = 0  # of nobody: the first question that is heard is the next one
        commands = self._groups.resume(waited)
        names = [group.id for group in waited]
        for order in self._orders.unsettled():
            if _is_at(order.instrument, back) and order.group not in names:
                commands += self._end_order(order)
        self._stale = True
        return commands

    def _end_order(self, order: Order) -> list[AnyCommand]:
        cancel = CancelOrder(order_id=order.id, instrument=order.instrument)
        return [cancel, *self._orders.ask(order, self._market.now)]

    def timer(self) -> list[AnyCommand]:
        return [self._look_again()] if self.active else []

    def _look_again(self) -> SetTimer:
        pause = AWAY_LOOK_MS if self._groups.away else LOOK_MS
        return SetTimer(timer=RECOVERY_TIMER, due=Nanos(self._market.now + pause * MILLI))

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
        if self._orders.unsettled() or self._groups.living or self._groups.away:
            self._stale = True
            return []
        if now < self._next:
            return []
        if self._stale:
            self._stale = False
            return self._ask(list(self._asked), fills=self._looks > 0)
        found = self._reconcile.differences(self._asked)
        self._doubted = list(found)
        self._looks = self._looks + 1 if found else 0
        if found and self._looks <= len(PAUSES_MS):
            self._next = Nanos(now + PAUSES_MS[self._looks - 1] * MILLI)
            self._stale = True
            return []
        if self._may_be_explained(found):
            return []
        self._reconcile.believe(found)
        commands = self._doors.collect()
        commands += self._doors.are_gone(self._doors.gone.found(self._holdings.broken()))
        self._end()
        return commands

    def _may_be_explained(self, found: Sequence[Subject]) -> bool:
        """Whether a statement that is on its way may hold the line that is missing: what is
        accepted before it comes would be booked twice. After days it comes in many pages."""
        if self._market.now - self._heard >= STATEMENT_MS * MILLI:
            return False
        statements = self._reconcile.statements
        return any(isinstance(s, tuple) and statements.is_awaited(s[0], s[1]) for s in found)

    def _end(self) -> None:
        self._sight.recovering = False
        self._doors.gone.compared()
        now = self._market.now
        differences = [
            f"{d.kind} {d.subject}: expected {d.expected}, found {d.found}"
            for d in self._report.discrepancies
            if d.at > self.since
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


def _is_at(instrument: InstrumentId, venues: Sequence[str]) -> bool:
    return instrument.partition(":")[0] in venues

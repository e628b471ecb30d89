"""The engine: one door for events, commands out; pure, and the same in every mode."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from oneprice.core.acceptance import OpeningAccepted
from oneprice.core.account import Accounts, MarketKey
from oneprice.core.alarms import Alarms
from oneprice.core.bookkeeper import Bookkeeper
from oneprice.core.cursor import FILLS_TIMER, FillCursor
from oneprice.core.doors import Clerks, Door, Doors, Wake
from oneprice.core.flatten import all_there_is, end_all, left_to_flatten
from oneprice.core.gate import DEFAULT_RULES, Approved, Gate
from oneprice.core.groups import GROUP_TIMER, Groups
from oneprice.core.holdings import Holdings
from oneprice.core.ledger import Ledger
from oneprice.core.market import Market
from oneprice.core.orders import ASK_TIMER, Orders
from oneprice.core.plausible import Plausible
from oneprice.core.recall import Recall
from oneprice.core.reconcile import AUDIT_TIMER, CHECK_TIMER, Reconcile
from oneprice.core.record import DayBegan, Record
from oneprice.core.recovery import RECOVERY_TIMER, Recovery
from oneprice.core.rehearsal import Rehearsal
from oneprice.core.report import Report
from oneprice.core.sight import DAY, Parts, Sight
from oneprice.core.strategy import (
    Alarmed,
    Decision,
    Holding,
    Intent,
    IntentJudged,
    News,
    Passed,
    Strategy,
    WireSpec,
)
from oneprice.core.terms import Terms
from oneprice.kernel import Book, Tripwires
from oneprice.model import events as ev
from oneprice.model.commands import (
    AnyCommand,
    CancelAll,
    QueryAccount,
    SetTimer,
)
from oneprice.model.events import AnyEvent, Event, TurnEnded
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MILLI, SECOND, InstrumentId, Nanos

WATCH_TIMER = "watch"
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,12}")  # leaves 20 of 32 characters for group and order


class Engine:
    """Owns market, gate, groups and ledger. `handle` is the one door; `report` is for people.

    Time comes from events alone and never goes back. Strategies are asked when a turn ends, and
    only those for which something changed. `session` prefixes every client id and must differ
    between runs: `[A-Za-z0-9_-]`, at most 12 characters (ValueError otherwise).
    """

    def __init__(
        self,
        settings: EngineSettings,
        strategies: Sequence[Strategy],
        books: Mapping[InstrumentId, Book],
        wires: Tripwires,
        session: str,
    ) -> None:
        _check(session, [strategy.name for strategy in strategies])
        self._settings = settings
        self._strategies = tuple(strategies)
        self._market = market = Market(settings, books)
        self._accounts = accounts = Accounts(settings)
        self._ledger = ledger = Ledger()
        self._orders = orders = Orders(settings.orders, session)
        self._groups = groups = Groups(
            settings.legs, market, orders, ledger.lots, session, accounts.lots
        )
        self._holdings = Holdings(settings.legs, market, ledger, groups)
        parts = Parts(market, accounts, groups, self._holdings, ledger)
        self._sight = Sight(settings, parts)
        self._gate = Gate(DEFAULT_RULES)
        self._books = Bookkeeper(parts)
        self._cursor = FillCursor(settings.orders, market, accounts)
        self._reconcile = Reconcile(
            settings.reconcile, market, accounts, ledger, self._works_at, self._books
        )
        self._terms = Terms(settings.account, market, accounts, self._works_in_market)
        self._alarms = Alarms(market, wires)
        self._wake = Wake()
        self._watching = self._auditing = False
        self._day_ends = 0
        self._wired = Nanos(0)
        self._tripped: list[dict[WireSpec, None]] = [{} for _ in strategies]
        self._moved: dict[InstrumentId, None] = {}
        self._look = False
        self._failed = False
        self._owed: list[AnyCommand] = []
        self.rehearsal = Rehearsal(self._strategies, self._sight, self._gate)
        self.report = Report(parts, self._strategies, self._sight, orders, self._gate)
        self.report.funding_by_day = self._books.funding_days
        self._record = Record(market, self._sight, self.report, facts=settings.trading)
        clerks = Clerks(
            sight=self._sight,
            orders=orders,
            cursor=self._cursor,
            plausible=Plausible(market, settings.orders.fee_bps_max),
            books=self._books,
            reconcile=self._reconcile,
            terms=self._terms,
            record=self._record,
            report=self.report,
        )
        self._facts = Doors(parts, clerks, self._wake, settings.legs)
        self._doors = self._make_doors()
        self.recall = Recall(parts, clerks, self._facts, self._gate)
        self._recovery = Recovery(parts, clerks, self._facts)

    # The door ----------------------------------------------------------------------------

    def handle(self, event: AnyEvent) -> list[AnyCommand]:
        """Learn one fact; return what is wanted because of it."""
        assert event.at >= self._market.now, "time runs forward"
        self._market.now = event.at
        if event.at >= self._day_ends:
            self._begin_day(event.at)
        if type(event) is TurnEnded:
            return self._turn() if self._wake.news else []
        door = self._doors.get(type(event))
        return door(event) if door is not None else []

    def _work(self, door: Door, event: object) -> list[AnyCommand]:
        """Apply an event that may move groups or money, and take over what came of it."""
        place = self._record.begin()
        return self._apply(door, event, place)

    def _learn(self, door: Door, event: Event) -> list[AnyCommand]:
        """The same for a fact, which is recorded before what came of it."""
        event = self._facts.as_counted(event)
        place = self._record.begin()
        self._record.fact(event)
        return self._apply(door, event, place)

    def _apply(self, door: Door, event: object, place: int) -> list[AnyCommand]:
        done = False
        try:
            commands = door(event)
            groups = self._groups
            if groups.moves or groups.ended or self._reconcile.found or self._terms.found:
                commands = [*commands, *self._facts.collect()]
            done = True
        finally:
            if not done:
                self._rescue()
            if self._market.read:
                self._record.rates(place, openings=False)
        return commands

    def _rescue(self) -> None:
        """A door broke half way, and with it what it wanted: every order is asked for, and every
        group has a deadline, so that nothing waits for a command that never left."""
        for order in self._orders.unsettled():
            self._owed += self._orders.ask(order, self._market.now)
        self._owed += self._groups.remind()
        self._wake.news = True

    def begin(
        self, at: Nanos, markets: Sequence[MarketKey] = (), away: Sequence[str] = ()
    ) -> list[AnyCommand]:
        """Ask about accounts before any book is there; turns ask about the rest by themselves.
        After a restart some venues may be away: they are begun by further calls."""
        assert at >= self._market.now, "time runs forward"
        self._market.now = at
        if not self._settings.trading:
            self._sight.recovering = False  # nothing of ours can be open
            return []
        if not self.recall.entries:
            return self._ask(markets)
        commands: list[AnyCommand] = []
        for venue in dict.fromkeys(venue for venue, _ in markets):
            commands += self._terms.begin(venue)
        self._wake.news = True
        self._recovery.since = self.recall.heard
        return commands + self._work(partial(self._recovery.begin, markets), away)

    def _ask(self, markets: Iterable[MarketKey]) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        for key in markets:
            asked = self._reconcile.begin(key)
            commands += [*self._terms.begin(key[0]), *asked] if asked else []
        return commands

    def drain_record(self) -> list[Event | Decision]:
        """Facts and decisions since the last call, in order; see core.record."""
        return self._record.drain()

    @property
    def now(self) -> Nanos:
        return self._market.now

    @property
    def clutch(self) -> str:
        """Why new risk has stopped; "" while the clutch is closed."""
        return self._sight.clutch

    @property
    def quiet(self) -> bool:
        """Nothing is in flight, and after a stop nothing is left to close."""
        if self._groups.living or self._orders.unsettled():
            return False
        return not (self._is_closing and self._holdings.of(""))

    @property
    def _is_closing(self) -> bool:
        stopping = self._sight.stopping and self._settings.on_stop == "close"
        return self._sight.flattening or stopping

    @property
    def waits_for_venues(self) -> bool:
        """All that is in flight is so because of venues that are away after a restart."""
        return self._recovery.waits_for_venues(closing=self._is_closing)

    @property
    def waits_to_begin(self) -> bool:
        """A journal was recalled, and no venue has been asked yet."""
        return self._recovery.is_due

    @property
    def lacking(self) -> list[str]:
        """Of a resumed session: why it is not compared with the venues yet; [] once it is."""
        return self._recovery.lacking()

    # Turns -------------------------------------------------------------------------------

    def _turn(self) -> list[AnyCommand]:
        self._wake.news = False
        # Owed until handed over: if a strategy breaks, orders that exist here must leave still.
        self._decide(self._owed)
        commands, self._owed = self._owed, []
        return commands

    def _decide(self, commands: list[AnyCommand]) -> None:
        if self._recovery.is_due:
            return  # lines come up one by one: nothing is decided on what we knew before
        if self._wake.rewire:
            self._wake.rewire = False
            self._wired = self._market.now
            commands += self._ask_accounts()
            self._alarms.arm(self._strategies, self._sight)
        if self._recovery.active:
            commands += self._recovery.step()
        self._facts.empty_holdings()
        if self._settings.legs.half_filled != "hold":
            commands += self._close(self._holdings.broken(), "leg_lost")
        commands += self._close(self._holdings.leaving(), "delisting")
        for danger in self._sight.margin.dangers(self._holdings.of("")):
            if danger.alarm is not None:
                self._record.alarm(danger.alarm, halts=danger.halts)
            commands += self._close((danger.holding,), danger.reason)
        if self._sight.clutch or self._sight.stopping:
            commands += self._groups.pull_resting()
        if self._sight.stopping and self._settings.on_stop == "close":
            commands += self._close(self._holdings.of(""), "stop")
        elif self._sight.flattening:
            commands += self._close(self._holdings.of(""), "kill")
        moved, self._moved = tuple(self._moved), {}
        look, self._look = self._look, False
        for number, strategy in enumerate(self._strategies):
            tripped, self._tripped[number] = tuple(self._tripped[number]), {}
            if (tripped or moved or look) and not self._failed:
                for answer in strategy.propose(News(tripped, moved, look), self._sight):
                    commands += self._answer(answer)
        if self._holdings.of("") and not self._watching:
            self._watching = True
            due = Nanos(self._market.now + self._settings.market.watch_ms * MILLI)
            commands.append(SetTimer(timer=WATCH_TIMER, due=due))

    def _begin_day(self, at: Nanos) -> None:
        """A day's profit is counted from its first event."""
        day = at // DAY
        self._day_ends = (day + 1) * DAY
        taken = self._ledger.turn_day(day, self._market.rate_then)
        self._record.note(DayBegan(at=at, day=day, rates=taken))

    def _ask_accounts(self) -> list[AnyCommand]:
        if not self._settings.trading:
            return []
        keys = dict.fromkeys((i.venue, i.market) for i in self._market.instruments())
        commands = self._ask(keys)
        if keys and not self._auditing:
            self._auditing = True
            commands += [*self._reconcile.set_audit(), self._cursor.set_timer()]
        return commands

    def _answer(self, answer: Intent | Passed) -> list[AnyCommand]:
        if isinstance(answer, Passed):
            self.report.saw(answer.strategy, answer.pair, answer.reason, answer.card)
            return []
        held = self._holdings.get(answer.closes) if answer.closes else None
        if held is not None and not self._recovery.may_close(held):
            return []  # its legs may be gone: they are compared with the venues first
        verdict = self._gate.check(answer, self._sight)
        if not isinstance(verdict, Approved):
            self._record.decide(
                IntentJudged(at=self._market.now, intent=answer, refused_by=verdict.rule)
            )
            self.report.judged(answer, verdict.rule)
            return []
        self.rehearsal.intent = answer
        group = self._groups.next_id()
        for leg in answer.legs:
            self._record.describe(leg.instrument)
        self._record.decide(IntentJudged(at=self._market.now, intent=answer, group=group))
        self.report.judged(answer, "")
        return self._groups.begin(verdict, group, self._facts.adopt(group, answer))

    def _close(self, holdings: Sequence[Holding], reason: str) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        patience = Nanos(self._settings.stop_patience_ms * MILLI)
        collar = self._settings.legs.collar_bps
        for holding in holdings:
            intent = self._sight.closing(holding, reason, collar, patience)
            free = all(self._sight.is_free(leg.instrument) for leg in holding.legs)
            if intent is not None and free:
                commands += self._answer(intent)
        return commands

    def _works_at(self, venue: str, instrument: InstrumentId) -> bool:
        """Whether something is in flight in an instrument, or anywhere at a venue."""
        if instrument:
            return self._groups.works_in(instrument)
        prefix = venue + ":"
        return any(o.instrument.startswith(prefix) for o in self._orders.unsettled()) or any(
            leg.instrument.startswith(prefix)
            for group in self._groups.living.values()
            for leg in group.intent.legs
        )

    def _works_in_market(self, key: MarketKey) -> bool:
        return self._works_at(":".join(key), "")

    # Doors -------------------------------------------------------------------------------

    def _make_doors(self) -> dict[type, Door]:
        facts: dict[type, Door] = {
            **self._facts.by_kind(),
            ev.StopRequested: self._stop_requested,
            ev.KillRequested: self._kill_requested,
            ev.ClutchReleased: self._clutch_released,
        }
        return {
            ev.WireTripped: self._wire_tripped,
            ev.BookReady: self._book_ready,
            ev.InstrumentListed: self._listed,
            ev.Marked: self._marked,
            ev.FundingForecast: self._forecast,
            ev.LinkChanged: partial(self._work, self._link_changed),
            ev.TimerFired: partial(self._work, self._timer_fired),
            **{kind: partial(self._learn, door) for kind, door in facts.items()},
        }

    def _wire_tripped(self, event: ev.WireTripped) -> list[AnyCommand]:
        alarm = self._alarms.of(event.wire)
        if alarm is not None:
            self._tripped[alarm.strategy][alarm.spec] = None
            self._wake.news = True
        return []

    def _book_ready(self, event: ev.BookReady) -> list[AnyCommand]:
        self._market.look_again(event.instrument)
        self._moved[event.instrument] = None
        self._wake.news = self._wake.rewire = True
        if self._ledger.unvalued:
            self._value_openings()
        return self._work(self._waiting_groups, event)

    def _waiting_groups(self, event: ev.BookReady) -> list[AnyCommand]:
        return self._groups.book_ready(event.instrument)

    def _value_openings(self) -> None:
        place = self._record.begin()
        self._ledger.value_openings(self._market.noted_rate)
        if self._market.read:
            self._record.rates(place, openings=True)

    def _listed(self, event: ev.InstrumentListed) -> list[AnyCommand]:
        if self._facts.resized(event.instrument):
            self._wake.news = True
        elif self._facts.listed(event.instrument):
            self._wake.news = self._wake.rewire = True
        return []

    def _marked(self, event: ev.Marked) -> list[AnyCommand]:
        self._market.hear(event)
        if self._ledger.unvalued:
            self._value_openings()
        return []

    def _forecast(self, event: ev.FundingForecast) -> list[AnyCommand]:
        if self._market.hear(event):
            self._moved[event.instrument] = None
            self._wake.news = True
            # Rates creep with every frame; a wire is a hint and may be a second behind.
            self._wake.rewire = self._wake.rewire or event.at >= self._wired + SECOND
        return []

    def _link_changed(self, event: ev.LinkChanged) -> list[AnyCommand]:
        key = (event.venue, event.socket)
        if not event.up:
            self._sight.deaf[key] = None
            return []
        if self._sight.deaf.pop(key, ()) == ():
            return []
        # What was said while the socket was away was said to nobody: ask for all of it.
        commands: list[AnyCommand] = []
        for order in self._orders.unsettled():
            if order.instrument.startswith(event.venue + ":"):
                commands += self._orders.ask(order, event.at)
        return [
            *commands,
            *self._reconcile.ask_again(event.venue),
            *self._cursor.ask_all(event.venue),
        ]

    def _timer_fired(self, event: ev.TimerFired) -> list[AnyCommand]:
        if event.timer.startswith(GROUP_TIMER):
            return self._groups.deadline(event.timer)
        if event.timer.startswith(ASK_TIMER):
            return self._orders.timer(event.timer, event.at)
        if event.timer.startswith(CHECK_TIMER):
            return self._with_fills(self._reconcile.timer(event.timer))
        if event.timer == FILLS_TIMER:
            return [*self._cursor.ask_all(), self._cursor.set_timer()]
        if event.timer == AUDIT_TIMER:
            return [*self._reconcile.ask_again(), *self._reconcile.set_audit()]
        if event.timer == RECOVERY_TIMER:
            self._wake.news = True
            return self._recovery.timer()
        if event.timer == WATCH_TIMER:
            self._watching = False
            self._wake.news = self._look = True
        return []

    def _with_fills(self, commands: list[AnyCommand]) -> list[AnyCommand]:
        """Where an account is in doubt, a fill may have been lost: ask for those as well."""
        asked = [c for c in commands if isinstance(c, QueryAccount)]
        return [*commands, *(a for c in asked for a in self._cursor.ask((c.venue, c.market)))]

    def _stop_requested(self, event: ev.StopRequested) -> list[AnyCommand]:
        self._sight.stopping = True
        self._wake.news = True
        if event.failed:
            self._failed = True
            self._record.open_clutch(event.reason)
        return []

    def _kill_requested(self, event: ev.KillRequested) -> list[AnyCommand]:
        """Everything ends now: nothing rests, nothing goes forward, and where a person wants it
        nothing is held; again and again until that is so."""
        self._record.open_clutch(f"killed: {event.reason}")
        self._sight.flattening = self._sight.flattening or event.flatten
        self._wake.news = True
        text = f"{event.reason}: {all_there_is(self._groups, self._orders, self._holdings)}"
        alarm = Alarmed(at=event.at, kind="kill", subject="everything", text=text)
        self._record.decide(alarm)
        if self._recovery.is_due:  # no venue is up that could be told: `begin` does all of it
            self._recovery.killed = True
            return []
        ended = end_all(self._groups, self._orders, event.at)
        return [*ended, *(CancelAll(instrument=i.id) for i in self._market.instruments())]

    def _clutch_released(self, event: ev.ClutchReleased) -> list[AnyCommand]:
        """A person's act: the venues' statements are accepted, new risk is allowed again; but a
        flatten that is under way goes on, and is not ended by the way."""
        for account, asset, amount in self._reconcile.accept():
            note = OpeningAccepted(at=event.at, account=account, asset=asset, amount=amount)
            self._record.note(note)
            self._facts.accepted(account, asset, amount)
        left = ""
        if self._sight.flattening and not event.keeps:
            left = left_to_flatten(self._groups, self._orders, self._holdings)
        self._facts.released()
        self._terms.accept()
        self._sight.clutch = ""
        self._sight.flattening = bool(left)
        if left:
            self._record.open_clutch(f"a flatten is under way: {left}", flattening=True)
        self._wake.news = self._wake.rewire = True
        return []


def _check(session: str, names: Sequence[str]) -> None:
    if not _SESSION.fullmatch(session):
        raise ValueError(f"session {session!r}: expected 1 to 12 of A-Z a-z 0-9 _ -")
    if len(dict.fromkeys(names)) != len(names):
        raise ValueError(f"strategies {list(names)}: expected names that differ")

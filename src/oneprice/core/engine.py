"""The engine: one door for events, commands out; pure, and the same in every mode."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from oneprice.core.account import Accounts, MarketKey
from oneprice.core.alarms import Alarms
from oneprice.core.bookkeeper import Bookkeeper
from oneprice.core.gate import DEFAULT_RULES, Approved, Gate
from oneprice.core.groups import GROUP_TIMER, Group, Groups
from oneprice.core.holdings import Holdings
from oneprice.core.ledger import Ledger
from oneprice.core.legs import State
from oneprice.core.market import Market
from oneprice.core.orders import ASK_TIMER, Order, OrderMessage, Orders
from oneprice.core.reconcile import AUDIT_TIMER, CHECK_TIMER, Reconcile
from oneprice.core.rehearsal import Rehearsal
from oneprice.core.report import Report
from oneprice.core.sight import DAY, Parts, Sight
from oneprice.core.strategy import (
    ClutchOpened,
    Decision,
    Discrepancy,
    Holding,
    Intent,
    IntentJudged,
    News,
    Passed,
    Strategy,
    WireSpec,
)
from oneprice.core.terms import Terms, TermsEvent
from oneprice.kernel import Book, Tripwires
from oneprice.model import events as ev
from oneprice.model.commands import AnyCommand, QueryAccount, SetTimer
from oneprice.model.events import AnyEvent, TurnEnded
from oneprice.model.instrument import split_id
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MILLI, SECOND, ZERO, InstrumentId, Nanos

WATCH_TIMER = "watch"
# What a venue says of us rather than of one order: the next one would fare no better, and each
# would cost what it takes to give the other leg back.
HOPELESS = ("bad_key", "bad_signature", "no_permission", "position_mode")
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
        if not _SESSION.fullmatch(session):
            raise ValueError(f"session {session!r}: expected 1 to 12 of A-Z a-z 0-9 _ -")
        names = [strategy.name for strategy in strategies]
        if len(dict.fromkeys(names)) != len(names):
            raise ValueError(f"strategies {names}: expected names that differ")
        self._settings = settings
        self._strategies = tuple(strategies)
        self._market = market = Market(settings, books)
        self._accounts = accounts = Accounts(settings)
        self._ledger = ledger = Ledger()
        self._orders = orders = Orders(settings.orders)
        self._groups = groups = Groups(settings.legs, market, orders, ledger.lots, session)
        self._holdings = Holdings(market, ledger, groups)
        parts = Parts(market, accounts, groups, self._holdings, ledger)
        self._sight = Sight(settings, parts)
        self._gate = Gate(DEFAULT_RULES)
        self._books = Bookkeeper(parts)
        self._reconcile = Reconcile(
            settings.reconcile, market, accounts, ledger, self._works_at
        )
        self._terms = Terms(settings.account, market, accounts, self._works_in_market)
        self._alarms = Alarms(market, wires)
        self._decisions: list[Decision] = []
        self._news = True
        self._rewire = True
        self._watching = self._auditing = False
        self._day = -1
        self._wired = Nanos(0)
        self._tripped: list[dict[WireSpec, None]] = [{} for _ in strategies]
        self._moved: dict[InstrumentId, None] = {}
        self._look = False
        self._failed = False
        self._owed: list[AnyCommand] = []
        self._doors = self._make_doors()
        self.rehearsal = Rehearsal(self._strategies, self._sight, self._gate)
        self.report = Report(parts, self._strategies, self._sight, orders, self._gate)

    # The door ----------------------------------------------------------------------------

    def handle(self, event: AnyEvent) -> list[AnyCommand]:
        """Learn one fact; return what is wanted because of it."""
        assert event.at >= self._market.now, "time runs forward"
        self._market.now = event.at
        if type(event) is TurnEnded:
            return self._turn() if self._news else []
        door = self._doors.get(type(event))
        if door is None:
            return []
        commands = door(event)
        if self._groups.moves or self._groups.ended or self._reconcile.found or self._terms.found:
            commands = [*commands, *self._collect()]
        return commands

    def begin(self, at: Nanos, markets: Sequence[tuple[str, str]] = ()) -> list[AnyCommand]:
        """Ask about accounts before any book is there; turns ask about the rest by themselves."""
        assert at >= self._market.now, "time runs forward"
        self._market.now = at
        if not self._settings.trading:
            return []
        return self._ask(markets)

    def _ask(self, markets: Iterable[MarketKey]) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        for key in markets:
            asked = self._reconcile.begin(key)
            commands += [*self._terms.begin(key[0]), *asked] if asked else []
        return commands

    def close_clutch(self, at: Nanos) -> None:
        """A person's act: the venues' statements are accepted, new risk is allowed again."""
        assert at >= self._market.now, "time runs forward"
        self._market.now = at
        self._reconcile.accept()
        self._terms.accept()
        self._sight.clutch = ""
        self._news = self._rewire = True

    def drain_decisions(self) -> list[Decision]:
        """What was decided since the last call, in order."""
        decisions, self._decisions = self._decisions, []
        return decisions

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
        if self._sight.stopping and self._settings.on_stop == "close":
            return not self._holdings.of("")
        return True

    # Turns -------------------------------------------------------------------------------

    def _turn(self) -> list[AnyCommand]:
        self._news = False
        # Owed until handed over: if a strategy breaks, orders that exist here must leave still.
        self._decide(self._owed)
        commands, self._owed = self._owed, []
        return commands

    def _decide(self, commands: list[AnyCommand]) -> None:
        today = self._market.now // DAY
        if today != self._day:
            self._day = today
            self._ledger.today(today, self._market.rate)
        if self._rewire:
            self._rewire = False
            self._wired = self._market.now
            commands += self._ask_accounts()
            self._alarms.arm(self._strategies, self._sight)
        for root in self._holdings.forget_empty(self._in_flight):
            self._books.done(root)
        if self._settings.legs.half_filled != "hold":
            commands += self._close(self._holdings.broken(), "leg_lost")
        if self._sight.stopping and self._settings.on_stop == "close":
            commands += self._close(self._holdings.of(""), "stop")
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

    def _ask_accounts(self) -> list[AnyCommand]:
        if not self._settings.trading:
            return []
        keys = dict.fromkeys((i.venue, i.market) for i in self._market.instruments())
        commands = self._ask(keys)
        if keys and not self._auditing:
            self._auditing = True
            commands += self._reconcile.set_audit()
        return commands

    def _answer(self, answer: Intent | Passed) -> list[AnyCommand]:
        if isinstance(answer, Passed):
            self.report.saw(answer.strategy, answer.pair, answer.reason, answer.card)
            return []
        verdict = self._gate.check(answer, self._sight)
        if not isinstance(verdict, Approved):
            self._decisions.append(
                IntentJudged(at=self._market.now, intent=answer, refused_by=verdict.rule)
            )
            self.report.judged(answer, verdict.rule)
            return []
        self.rehearsal.intent = answer
        group = self._groups.next_id()
        self._decisions.append(IntentJudged(at=self._market.now, intent=answer, group=group))
        self.report.judged(answer, "")
        carry = self._holdings.take_dust([leg.instrument for leg in answer.legs])
        for asset, coins in self._holdings.take_rests(answer.closes).items():
            carry[asset] = carry.get(asset, ZERO) + coins
        self._books.adopt(group, answer.closes or group)
        return self._groups.begin(verdict, group, carry)

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

    def _collect(self) -> list[AnyCommand]:
        """Take over what groups and reconcile found out while an event was applied."""
        self._decisions += self._groups.moves
        self._groups.moves.clear()
        for group in self._groups.ended:
            done = self._holdings.ended(group)
            self._books.done(done)
            self.report.ended(group.state)
            if _went_wrong(group):
                self._sight.rest(group.intent)
            self._news = self._rewire = True
            if group.state is State.STUCK:
                deltas = ", ".join(
                    f"{delta} {asset}" for asset, delta in self._groups.deltas(group).items()
                )
                self._open_clutch(f"group {group.id} is stuck with {deltas or 'nothing'}")
        self._groups.ended.clear()
        for asset, coins in self._holdings.all_dust().items():
            rate = self._market.rate(asset)
            if rate is not None and abs(coins) * rate > self._settings.legs.dust_max:
                self._open_clutch(f"dust of {coins} {asset}")
        for discrepancy in (*self._reconcile.found, *self._terms.found):
            self._differs(discrepancy)
        self._reconcile.found.clear()
        self._terms.found.clear()
        return []

    def _differs(self, discrepancy: Discrepancy) -> None:
        self._decisions.append(discrepancy)
        self.report.differs(discrepancy)
        d = discrepancy
        self._open_clutch(f"{d.kind} {d.subject}: expected {d.expected}, found {d.found}")

    def _open_clutch(self, reason: str) -> None:
        if self._sight.clutch:
            return
        self._sight.clutch = reason
        self._decisions.append(ClutchOpened(at=self._market.now, reason=reason))

    def _in_flight(self, root: str) -> bool:
        return any(self._books.root(o.group) == root for o in self._orders.unsettled())

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

    def _make_doors(self) -> dict[type, Callable[[Any], list[AnyCommand]]]:
        return {
            ev.WireTripped: self._wire_tripped,
            ev.BookReady: self._book_ready,
            ev.InstrumentListed: self._listed,
            ev.Marked: self._marked,
            ev.FundingForecast: self._forecast,
            ev.OrderAccepted: self._order_message,
            ev.OrderRefused: self._order_message,
            ev.OrderFilled: self._order_message,
            ev.OrderEnded: self._order_message,
            ev.OrderUncertain: self._order_message,
            ev.OrderMissing: self._order_message,
            ev.CancelRefused: self._change_refused,
            ev.AmendRefused: self._change_refused,
            ev.OrderAmended: self._order_message,
            ev.BalanceReported: self._balance,
            ev.PositionReported: self._position,
            ev.FundingBooked: self._funding_booked,
            ev.FeesReported: self._fees,
            ev.OpenOrderReported: self._open_order,
            ev.PositionModeReported: self._term,
            ev.LeverageReported: self._term,
            ev.KeyReported: self._term,
            ev.AccountChecked: self._account_checked,
            ev.LinkChanged: self._link_changed,
            ev.TimerFired: self._timer_fired,
            ev.StopRequested: self._stop_requested,
        }

    def _wire_tripped(self, event: ev.WireTripped) -> list[AnyCommand]:
        alarm = self._alarms.of(event.wire)
        if alarm is not None:
            self._tripped[alarm.strategy][alarm.spec] = None
            self._news = True
        return []

    def _book_ready(self, event: ev.BookReady) -> list[AnyCommand]:
        self._market.look_again(event.instrument)
        self._moved[event.instrument] = None
        self._news = self._rewire = True
        if self._ledger.unvalued:
            self._ledger.value_openings(self._market.rate)
        return self._groups.book_ready(event.instrument)

    def _listed(self, event: ev.InstrumentListed) -> list[AnyCommand]:
        if self._market.hear(event):
            self._news = self._rewire = True
        return []

    def _marked(self, event: ev.Marked) -> list[AnyCommand]:
        self._market.hear(event)
        if self._ledger.unvalued:
            self._ledger.value_openings(self._market.rate)
        return []

    def _forecast(self, event: ev.FundingForecast) -> list[AnyCommand]:
        if self._market.hear(event):
            self._moved[event.instrument] = None
            self._news = True
            # Rates creep with every frame; a wire is a hint and may be a second behind.
            self._rewire = self._rewire or event.at >= self._wired + SECOND
        return []

    def _order_message(self, event: OrderMessage) -> list[AnyCommand]:
        counted = True
        if isinstance(event, ev.OrderFilled):
            listed = self._market.instrument(event.instrument)
            counted = listed is not None and self._accounts.is_checked(listed)
        heard = self._orders.hear(event, strangers_count=counted)
        if heard.counts and isinstance(event, ev.OrderFilled):
            self._books.fill(heard.order, event)
            if heard.order is not None:
                self._filled(heard.order, event)
            else:
                self._struck(event)
            self._news = True
        if heard.contradiction:
            kind = "fill" if isinstance(event, ev.OrderFilled) else "order"
            self._differs(
                Discrepancy(
                    at=event.at,
                    kind=kind,
                    subject=event.order_id,
                    expected="nothing more" if heard.order else "no such order",
                    found=heard.contradiction,
                )
            )
        if heard.order is None:
            return heard.commands
        commands = heard.commands + self._groups.changed(heard.order)
        if isinstance(event, ev.OrderRefused):
            commands += self._doubt(event, heard.order)
        return commands

    def _doubt(self, event: ev.OrderRefused, order: Order) -> list[AnyCommand]:
        """What a refusal says of the account. Some venues have one word for many wrongs: there
        the account is asked whether its terms are still those that we trade on."""
        if event.reason in HOPELESS:
            self._open_clutch(f"order {event.order_id}: refused, {event.reason} {event.text}")
        if event.reason not in ("bad_parameter", "unknown_code"):
            return []
        venue, market, _ = split_id(order.instrument)
        return [QueryAccount(venue=venue, market=market)]

    def _filled(self, order: Order, event: ev.OrderFilled) -> None:
        self._groups.filled(order, event)
        if order.group not in self._groups.living:
            self._holdings.late(self._books.root(order.group), order, event)
            self._rewire = True

    def _struck(self, event: ev.OrderFilled) -> None:
        """A coin of an account may be anybody's; a position is what we hold there."""
        if self._market.known_instrument(event.instrument).is_derivative:
            rest = self._groups.struck(event)
            self._holdings.struck(event.instrument, rest, event.ticks)
            self._rewire = True

    def _change_refused(self, event: ev.CancelRefused | ev.AmendRefused) -> list[AnyCommand]:
        order = self._orders.get(event.order_id)
        if order is None or order.settled or order.asking:
            return []
        return self._orders.ask(order, event.at)

    def _balance(self, event: ev.BalanceReported) -> list[AnyCommand]:
        self._accounts.hear(event)
        return self._reconcile.balance(event)

    def _position(self, event: ev.PositionReported) -> list[AnyCommand]:
        self._accounts.hear(event)
        return self._reconcile.position(event)

    def _funding_booked(self, event: ev.FundingBooked) -> list[AnyCommand]:
        if self._books.funding(event):
            self._news = self._rewire = True
        return []

    def _fees(self, event: ev.FeesReported) -> list[AnyCommand]:
        if self._accounts.hear(event):
            self._news = self._rewire = True
        return []

    def _open_order(self, event: ev.OpenOrderReported) -> list[AnyCommand]:
        ours = self._orders.get(event.order_id) is not None
        self._reconcile.open_order(event, ours=ours)
        return self._term(event)

    def _term(self, event: TermsEvent) -> list[AnyCommand]:
        self._terms.hear(event)
        return []

    def _account_checked(self, event: ev.AccountChecked) -> list[AnyCommand]:
        self._news = self._rewire = True
        commands = self._reconcile.checked(event)
        return commands + self._terms.checked((event.venue, event.market))

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
        return commands + self._reconcile.ask_again(event.venue)

    def _timer_fired(self, event: ev.TimerFired) -> list[AnyCommand]:
        if event.timer.startswith(GROUP_TIMER):
            return self._groups.deadline(event.timer)
        if event.timer.startswith(ASK_TIMER):
            return self._orders.timer(event.timer, event.at)
        if event.timer.startswith(CHECK_TIMER):
            return self._reconcile.timer(event.timer)
        if event.timer == AUDIT_TIMER:
            return [*self._reconcile.ask_again(), *self._reconcile.set_audit()]
        if event.timer == WATCH_TIMER:
            self._watching = False
            self._news = self._look = True
        return []

    def _stop_requested(self, event: ev.StopRequested) -> list[AnyCommand]:
        self._sight.stopping = True
        self._news = True
        if event.failed:
            self._failed = True
            self._open_clutch(event.reason)
        return []


def _went_wrong(group: Group) -> bool:
    if group.intent.closes:
        return group.intent.reason != "converged"
    return group.state is State.STUCK or bool(group.unwinds)

"""Doors: what each fact about our orders, money and accounts does to the parts that keep them.

The same doors serve at work and in a recall. A recall mutes them: what was learned is learned
again, but no group draws conclusions from it, since those were recorded beside the facts.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from oneprice.core.bookkeeper import Bookkeeper
from oneprice.core.cursor import FillCursor
from oneprice.core.givenback import SpotGone, fill_text
from oneprice.core.ledger import LOTS, Account
from oneprice.core.legs import State
from oneprice.core.orders import Heard, Order, OrderMessage, Orders
from oneprice.core.plausible import EXPECTED, Plausible, subject_of
from oneprice.core.reconcile import Reconcile
from oneprice.core.record import Record, WalletKnown
from oneprice.core.regrid import finer, grid_of, recounted, regrid, size_of
from oneprice.core.repairs import Group
from oneprice.core.report import Report
from oneprice.core.sight import Parts, Sight
from oneprice.core.strategy import Discrepancy, Intent
from oneprice.core.terms import Terms, TermsEvent
from oneprice.model import events as ev
from oneprice.model.commands import AnyCommand, CancelOrder, QueryAccount
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.settings import LegSettings
from oneprice.model.units import ZERO, Asset, Lots, Money

# What a venue says of us rather than of one order: the next one would fare no better, and each
# would cost what it takes to give the other leg back.
HOPELESS = ("bad_key", "bad_signature", "no_permission", "position_mode", ev.NOT_SAID)

RATE = ("rate_limited", "banned")
ROUNDED_KEPT = 1_000  # sizes that were named as none of ours
EARLY_KEPT = 10_000  # fills of nobody's orders that wait for their venue's clock

Door = Callable[[Any], list[AnyCommand]]


class Wake(msgspec.Struct):
    """Why the coming turn has something to do; set by whoever learns, cleared by the turn."""

    news: bool = True  # something changed
    rewire: bool = True  # what wakes the strategies may have changed


class Clerks(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes down what the doors let in."""

    sight: Sight
    orders: Orders
    cursor: FillCursor
    plausible: Plausible
    books: Bookkeeper
    reconcile: Reconcile
    terms: Terms
    record: Record
    report: Report


class Doors:
    """Applies facts to orders, groups, holdings, ledger and statements."""

    def __init__(self, parts: Parts, clerks: Clerks, wake: Wake, legs: LegSettings) -> None:
        self._parts = parts
        self._market = parts.market
        self._accounts = parts.accounts
        self._groups = parts.groups
        self._holdings = parts.holdings
        self._sight = clerks.sight
        self._ledger = parts.ledger
        self._orders = clerks.orders
        self._cursor = clerks.cursor
        self._plausible = clerks.plausible
        self._books = clerks.books
        self._reconcile = clerks.reconcile
        self._terms = clerks.terms
        self._record = clerks.record
        self._report = clerks.report
        self._wake = wake
        self._legs = legs
        self.gone = SpotGone(parts, clerks.record)
        self._early: list[ev.OrderFilled] = []  # from before the opening by a clock never told
        self._rounded: dict[str, None] = {}  # sizes that are none of ours, as they were named
        self.muted = False

    def by_kind(self) -> Mapping[type, Door]:
        """The door of every kind of fact that concerns orders and accounts."""
        return {
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
            ev.GivenBack: self._given_back,
            ev.FundingBooked: self._funding_booked,
            ev.FeesReported: self._fees,
            ev.OpenOrderReported: self._open_order,
            ev.PositionModeReported: self._term,
            ev.LeverageReported: self._term,
            ev.KeyReported: self._term,
            ev.AccountChecked: self._account_checked,
            ev.FillsTold: self._fills_told,
            ev.StatementLine: self._statement_line,
            ev.StatementTold: self._statement_told,
        }

    # Orders ------------------------------------------------------------------------------

    def _order_message(self, event: OrderMessage) -> list[AnyCommand]:
        counted = True
        if isinstance(event, ev.OrderFilled):
            listed = self._market.instrument(event.instrument)
            known = listed is not None and self._accounts.counts(event, listed)
            if known is None and self._orders.get(event.order_id) is None:
                self._early.append(event)
                del self._early[:-EARLY_KEPT]
                return []
            counted = bool(known)
        heard = self._orders.hear(event, strangers_count=counted)
        commands = heard.commands
        if isinstance(event, ev.OrderFilled):
            commands = commands + self._fill(event, heard)
        if heard.contradiction:
            found = heard.contradiction
            if isinstance(event, ev.OrderFilled) and not heard.order and listed is not None:
                found = f"{fill_text(event, listed)}: {found}"
            self._contradicts(event, "nothing more" if heard.order else "no such order", found)
        if heard.order is None or self.muted:
            return commands
        if heard.order.settled:
            self._wake.news = True  # a holding may wait for its last order before it can go
        commands = commands + self._groups.changed(heard.order)
        if isinstance(event, ev.OrderAccepted) and event.live:
            commands += self._groups.unwanted(heard.order)
        venue = heard.order.instrument.partition(":")[0]
        # A fill that is told once more, or an order that ended long ago, says nothing of today.
        if heard.counts or (isinstance(event, ev.OrderAccepted) and not heard.order.settled):
            self._sight.took_an_order(venue)
        if isinstance(event, ev.OrderUncertain) and event.reason == ev.NOT_SAID:
            self._record.open_clutch(f"order {event.order_id}: cannot be asked for, see the log")
        if isinstance(event, ev.OrderRefused):
            if event.reason in RATE:
                self._sight.refused_for_rate(venue)
            commands += self._doubt(event, heard.order)
        return commands

    def _doubt(self, event: ev.OrderRefused, order: Order) -> list[AnyCommand]:
        """What a refusal says of the account. Some venues have one word for many wrongs: there
        the account is asked whether its terms are still those that we trade on."""
        if event.reason in HOPELESS:
            text = f"order {event.order_id}: refused, {event.reason} {event.text}"
            self._record.open_clutch(text)
        if event.reason not in ("bad_parameter", "unknown_code", "reduce_only"):
            return []
        venue, market, _ = split_id(order.instrument)
        asked = [QueryAccount(venue=venue, market=market)]
        # Nothing to reduce: somebody else closed it, and its fills were not heard.
        fills = self._cursor.ask((venue, market)) if event.reason == "reduce_only" else []
        return [*fills, *asked]

    def _contradicts(self, event: OrderMessage, expected: str, found: str) -> None:
        kind = "fill" if isinstance(event, ev.OrderFilled) else "order"
        subject = subject_of(event) if isinstance(event, ev.OrderFilled) else event.order_id
        self._record.differs(
            Discrepancy(
                at=event.at, kind=kind, subject=subject, expected=expected, found=found
            )
        )

    def _fill(self, event: ev.OrderFilled, heard: Heard) -> list[AnyCommand]:
        """Book a fill that counts, or the true fee of one that was booked with an estimate."""
        if not (heard.counts or heard.again or heard.adopted):
            return []
        if heard.again and not self._books.awaits_fee(event):
            return []
        lie = self._plausible.fee_lie(event)
        if lie and not self._plausible.is_named(event):
            self._plausible.named(event)
            self._contradicts(event, EXPECTED, lie)
        if heard.again:
            if not lie:
                self._correct_fee(event, heard.order)
            return []
        if lie:
            asset = self._market.known_instrument(event.instrument).settle
            event = msgspec.structs.replace(event, fee=ZERO, fee_asset=asset, fee_known=False)
        if heard.counts:
            self._books.fill(heard.order, event)
        self._wake.news = True
        return self._struck(event) if heard.order is None else self._filled(heard.order, event)

    def _correct_fee(self, event: ev.OrderFilled, order: Order | None) -> None:
        before = self._books.correct_fee(event)
        if before is not None and order is not None:
            fee, asset = before
            was = msgspec.structs.replace(event, fee=fee, fee_asset=asset)
            self._groups.correct_fee(order, was, event)

    def _filled(self, order: Order, event: ev.OrderFilled) -> list[AnyCommand]:
        self._groups.filled(order, event)
        if order.group in self._groups.living:
            return []
        self._wake.rewire = True
        root = self._books.root(order.group)
        intent = self._holdings.intent_of(root)
        if intent is not None:
            self._sight.rest(intent)
        return self._holdings.late(root, order, event)

    def _struck(self, event: ev.OrderFilled) -> list[AnyCommand]:
        """A coin of an account may be anybody's; a position is what we hold there."""
        if not self._market.known_instrument(event.instrument).is_derivative:
            self.gone.stray(event, unwatched=self.muted or self._sight.recovering)
            return []
        self._wake.rewire = True
        new = self._holdings.not_presumed(event.instrument, int(event.side) * event.lots)
        if not new:
            return []
        rest = self._groups.struck(msgspec.structs.replace(event, lots=Lots(abs(new))))
        legs = [leg for h in self._holdings.of("") for leg in h.legs if leg.lots * rest < 0]
        held = sum(abs(leg.lots) for leg in legs if leg.instrument == event.instrument)
        if abs(rest) > held:
            loose = Lots(abs(rest) - held)
            self._groups.struck(msgspec.structs.replace(event, lots=loose), begun=True)
        return self._holdings.struck(event.instrument, rest, event.ticks)

    def believed(self, difference: Discrepancy) -> list[AnyCommand]:
        """A position at a venue is not what our fills come to, and that has outlived the
        questions: where it is smaller, what is missing was taken from us."""
        subject = difference.subject
        if difference.kind == "balance" and self._sight.recovering and not self.muted:
            venue, wallet, asset = subject.split("/")
            change = Decimal(difference.found) - Decimal(difference.expected)
            return self.are_gone(self.gone.missing(venue, wallet, asset, change))
        known = self._market.instrument(subject) is not None and subject not in self._sight.resized
        if difference.kind != "position" or not known:
            return []
        self._wake.news = self._wake.rewire = True
        change = Decimal(difference.found) - Decimal(difference.expected)
        return self._holdings.presume(difference.subject, int(change))

    def _given_back(self, event: ev.GivenBack) -> list[AnyCommand]:
        self._wake.news = self._wake.rewire = True
        return self.gone.hear(event)

    def are_gone(self, notes: Sequence[ev.GivenBack]) -> list[AnyCommand]:
        """What a comparison showed to be closed by others, as if they had said so."""
        commands: list[AnyCommand] = []
        for note in notes:
            self._record.note(note)
            commands += self._given_back(note)
        return commands

    def accepted(self, account: Account, asset: Asset, amount: Money) -> None:
        """A person accepted what a venue has: holdings cannot have more than that."""
        match account:
            case ("position", instrument):
                if asset == LOTS + instrument:
                    self._accounts.accepted[instrument] = self._market.now
                    self._holdings.accepted(instrument, int(amount))
            case ("venue", venue, wallet):
                there = self._ledger.wallet(venue, wallet, asset)
                self._holdings.accepted_coins(venue, asset, there)
        self._wake.news = self._wake.rewire = True

    def resized(self, listed: Instrument) -> bool:
        """Whether a venue counts anew what something of ours is counted in. Our books go on as
        they began: by another size they would show profit and positions that nobody made."""
        known = self._market.instrument(listed.id)
        if known is None or size_of(known) == size_of(listed) or finer(known, listed):
            return False  # the same, or so many for one of before: that is counted anew
        if listed.id not in self._report.at_stake() and not self._ledger.lots(listed.id):
            return False
        told = self._sight.resized.get(listed.id, known)
        self._market.resize(listed)
        if size_of(told) != size_of(listed):
            self._record.differs(
                Discrepancy(
                    at=self._market.now,
                    kind="size",
                    subject=listed.id,
                    expected=size_of(known),
                    found=size_of(listed),
                )
            )
        return True

    def listed(self, listed: Instrument) -> bool:
        """A venue describes an instrument; True where a strategy may want to know."""
        known = self._market.instrument(listed.id)
        self._sight.resized.pop(listed.id, None)
        anew = known is not None and grid_of(known) != grid_of(listed)
        if known is not None and anew:
            regrid(self._orders, self._parts, known, listed)
        news = self._market.hear(ev.InstrumentListed(at=self._market.now, instrument=listed))
        if anew and not self.muted:
            self._record.describe(listed.id)
        return news

    def as_counted(self, event: ev.Event) -> ev.Event:
        """A fact in the ticks and lots that our books count in."""
        if not self._sight.resized:
            return event
        order = self._orders.get(getattr(event, "order_id", ""))
        name = order.instrument if order is not None else getattr(event, "instrument", "")
        told = self._sight.resized.get(name)
        known = self._market.instrument(name)
        if told is None or known is None:
            return event
        counted, found = recounted(event, told, known)
        subject = f"{name} {type(event).__name__} {getattr(event, 'fill_id', '')}".strip()
        if found and f"{subject} {found}" not in self._rounded:
            self._rounded[f"{subject} {found}"] = None
            if len(self._rounded) > ROUNDED_KEPT:
                del self._rounded[next(iter(self._rounded))]
            expected = f"whole lots as of {size_of(known)}"
            self._record.differs(
                Discrepancy(
                    at=event.at, kind="size", subject=subject, expected=expected, found=found
                )
            )
        return counted

    def released(self) -> None:
        """A person closed the clutch: what was given up may be tried again."""
        self._holdings.forgive()

    def _clock_told(self, event: ev.FillsTold | ev.StatementTold) -> list[AnyCommand]:
        """Once a venue's clock is known, so is what was before the opening by it."""
        if not self._accounts.hear_clock(event):
            return []
        if self._books.clock_told(event.venue):
            self._wake.news = self._wake.rewire = True
        early, self._early = self._early, []
        commands: list[AnyCommand] = []
        for fill in early:
            if fill.instrument.startswith(event.venue + ":"):
                commands += self._order_message(fill)
            else:
                self._early.append(fill)
        return commands

    def _fills_told(self, event: ev.FillsTold) -> list[AnyCommand]:
        commands = self._clock_told(event)
        self._note()
        gap = self._cursor.told(event)
        if gap:
            where = f"{event.venue}:{event.market}"
            self._record.differs(
                Discrepancy(
                    at=event.at, kind="fill", subject=where, expected="every fill", found=gap
                )
            )
        return commands

    def _change_refused(self, event: ev.CancelRefused | ev.AmendRefused) -> list[AnyCommand]:
        order = self._orders.get(event.order_id)
        if order is None or order.settled or order.asking:
            return []
        return self._orders.ask(order, event.at)

    # Groups that begin and end -----------------------------------------------------------

    def adopt(self, group: str, intent: Intent) -> dict[Asset, Decimal]:
        """A group begins: whose profit it is, and the coins left over that it may use up."""
        carry = self._holdings.take_dust([leg.instrument for leg in intent.legs])
        for asset, coins in self._holdings.take_rests(intent.closes).items():
            carry[asset] = carry.get(asset, ZERO) + coins
        self._books.adopt(group, intent.closes or group)
        return carry

    def ended(self, group: Group) -> None:
        """A group has reached its end: what it left becomes a holding, or dust."""
        done = self._holdings.ended(group)
        for alarm in self._holdings.alarms:
            self._record.alarm(alarm, halts=True)
        self._holdings.alarms.clear()
        self._books.done(done)
        self._report.ended(group.state)
        if _went_wrong(group):
            self._sight.rest(group.intent)
        self._wake.news = self._wake.rewire = True

    def empty_holdings(self) -> None:
        """Holdings that turned out to hold nothing are no longer anybody's concern."""
        for root in self._holdings.forget_empty(self._in_flight):
            self._books.done(root)

    def _in_flight(self, root: str) -> bool:
        return any(self._books.root(o.group) == root for o in self._orders.unsettled())

    def collect(self) -> list[AnyCommand]:
        """Take over what groups and reconcile found out while an event was applied."""
        commands: list[AnyCommand] = []
        for move in self._groups.moves:
            self._record.decide(move)
        self._groups.moves.clear()
        for group in self._groups.ended:
            self.ended(group)
            if group.state is State.STUCK:
                deltas = ", ".join(
                    f"{delta} {asset}" for asset, delta in self._groups.deltas(group).items()
                )
                self._record.open_clutch(f"group {group.id} is stuck with {deltas or 'nothing'}")
        self._groups.ended.clear()
        for asset, coins in self._holdings.all_dust().items():
            rate = self._market.rate(asset)
            if rate is not None and abs(coins) * rate > self._legs.dust_max:
                self._record.open_clutch(f"dust of {coins} {asset}")
        for discrepancy in (*self._reconcile.found, *self._terms.found):
            self._record.differs(discrepancy)
            commands += self.believed(discrepancy)
        self._reconcile.found.clear()
        self._terms.found.clear()
        return commands

    # Accounts ----------------------------------------------------------------------------

    def _balance(self, event: ev.BalanceReported) -> list[AnyCommand]:
        self._accounts.hear(event)
        return self._reconcile.balance(event)

    def _position(self, event: ev.PositionReported) -> list[AnyCommand]:
        self._accounts.hear(event)
        return self._reconcile.position(event)

    def _funding_booked(self, event: ev.FundingBooked) -> list[AnyCommand]:
        if self._books.funding(event):
            self._wake.news = self._wake.rewire = True
        self._note()
        return []

    def _fees(self, event: ev.FeesReported) -> list[AnyCommand]:
        if self._accounts.hear(event):
            self._wake.news = self._wake.rewire = True
        return []

    def _open_order(self, event: ev.OpenOrderReported) -> list[AnyCommand]:
        order = self._orders.get(event.order_id)
        self._reconcile.open_order(event, ours=order is not None)
        self._term(event)
        if order is None or not order.settled or self.muted:
            return []
        # It has ended, we were told, or was never there; a list that is only late costs nothing.
        return [CancelOrder(order_id=order.id, instrument=order.instrument)]

    def _term(self, event: TermsEvent) -> list[AnyCommand]:
        self._terms.hear(event)
        return []

    def _statement_line(self, event: ev.StatementLine) -> list[AnyCommand]:
        commands = self._reconcile.line(event)
        self._note()
        return commands

    def _statement_told(self, event: ev.StatementTold) -> list[AnyCommand]:
        commands = [*self._clock_told(event), *self._reconcile.told(event)]
        self._note()
        return commands

    def _note(self) -> None:
        """Record what was concluded from records of the venue, behind them."""
        statements, acceptances = self._reconcile.statements, self._reconcile.acceptances
        for note in (*statements.notes, *self._books.corrected, *acceptances.notes):
            self._record.note(note)
        statements.notes.clear()
        self._books.corrected.clear()
        acceptances.notes.clear()

    def _account_checked(self, event: ev.AccountChecked) -> list[AnyCommand]:
        self._wake.news = self._wake.rewire = True
        self._accounts.told_at[event.venue, event.market] = event.at
        key = (event.venue, event.market)
        first = not self._accounts.markets.get(key)
        commands = self._reconcile.checked(event)
        if first:
            wallet = self._accounts.wallet_of(*key)
            self._record.note(WalletKnown(at=event.at, venue=key[0], market=key[1], wallet=wallet))
        return commands + self._terms.checked((event.venue, event.market))


def _went_wrong(group: Group) -> bool:
    if group.intent.closes:
        return group.intent.reason != "converged"
    return group.state is State.STUCK or bool(group.unwinds)

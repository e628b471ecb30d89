"""Reconcile: the venue's statements are assertions about our ledger.

At start they open the ledger. Later a difference is first given time (messages under way), then
the venue is asked again, for the account and for the statement of the wallet, whose lines may
explain it (a deposit, interest). Only a difference that outlives the questions is a Discrepancy:
a balance out of nothing is named, and is in no equity. It opens the clutch and stays until a
person accepts it.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from oneprice.core.acceptance import Acceptances, OpeningAccepted
from oneprice.core.account import Accounts, MarketKey, WalletKey
from oneprice.core.bookkeeper import Bookkeeper
from oneprice.core.ledger import (
    LOTS,
    Account,
    CannotBook,
    Ledger,
    check_bookable,
    kept,
    lots_value,
)
from oneprice.core.market import Market
from oneprice.core.statement import Statements
from oneprice.core.strategy import Discrepancy
from oneprice.model.commands import AnyCommand, ClearTimer, QueryAccount, SetTimer
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    OpenOrderReported,
    PositionReported,
    StatementLine,
    StatementTold,
)
from oneprice.model.instrument import split_id
from oneprice.model.settings import ReconcileSettings
from oneprice.model.units import (
    BPS,
    EXACT,
    MILLI,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    plain,
)

CHECK_TIMER = "check/"
AUDIT_TIMER = "audit"
STATEMENTS = "statements"  # the name of the regular question, where doubts have their subject's

TOTAL_DECIMALS_MAX = 40  # of a balance: it is compared, not booked

Subject = WalletKey | InstrumentId
Opening = tuple[Account, Asset, Decimal]


class Doubt(msgspec.Struct):
    """A statement that did not agree, and how often the venue was asked about it."""

    subject: Subject
    asks: int = 0
    believed: bool = False


class Reconcile:
    """Compares, asks, and names what differs. `found` is drained by the engine."""

    def __init__(
        self,
        settings: ReconcileSettings,
        market: Market,
        accounts: Accounts,
        ledger: Ledger,
        is_busy: Callable[[str, InstrumentId], bool],
        books: Bookkeeper,
    ) -> None:
        self._settings = settings
        self._market = market
        self._accounts = accounts
        self._ledger = ledger
        self._is_busy = is_busy
        self._opened: dict[Subject, Nanos] = {}
        self._doubts: dict[str, Doubt] = {}
        self._asking = False
        self.statements = Statements(
            market, accounts, books, self._opened_at, is_busy, self._beyond
        )
        self.acceptances = Acceptances(
            market, accounts, ledger, self.statements.allowed, self.statements.ahead_ms
        )
        books.opened_at, books.explain = self._opened_at, self.acceptances.explain
        self.found: list[Discrepancy] = books.found  # one list: what differs, and what is no sum

    # Asking ------------------------------------------------------------------------------

    def begin(self, key: MarketKey) -> list[AnyCommand]:
        """Ask about a market for the first time."""
        if key in self._accounts.markets:
            return []
        self._accounts.markets[key] = False
        return [QueryAccount(venue=key[0], market=key[1])]

    def ask_again(self, venue: str = "") -> list[AnyCommand]:
        """Ask about every market (of one venue), as after a lost connection."""
        return [
            QueryAccount(venue=v, market=m)
            for v, m in self._accounts.markets
            if not venue or v == venue
        ]

    def set_audit(self) -> list[AnyCommand]:
        due = self._market.now + self._settings.audit_ms * MILLI
        timers: list[AnyCommand] = [SetTimer(timer=AUDIT_TIMER, due=Nanos(due))]
        if not self._asking:
            self._asking = True
            timers += self._set_statements()
        return timers

    def _set_statements(self) -> list[AnyCommand]:
        if not self._settings.statement_ms:
            return []
        due = Nanos(self._market.now + self._settings.statement_ms * MILLI)
        return [SetTimer(timer=CHECK_TIMER + STATEMENTS, due=due)]

    # Statements --------------------------------------------------------------------------

    def checked(self, event: AccountChecked) -> list[AnyCommand]:
        """A market has been told in full: open what is new, compare what is known."""
        key = (event.venue, event.market)
        first = not self._accounts.markets.get(key)
        self._accounts.markets[key] = True
        if first:
            self._accounts.checked_at[key] = event.at
        for wallet_key in self._accounts.balances:
            if wallet_key[0] == event.venue:
                self._open_balance(wallet_key)
        for told in list(self._accounts.positions.values()):
            # Not told at start means flat: what is told later is compared, never opened.
            if first and split_id(told.instrument)[:2] == key:
                self._open_position(told)
        self._ledger.value_openings(self._market.noted_rate)
        return []

    def balance(self, event: BalanceReported) -> list[AnyCommand]:
        key = (event.venue, event.wallet, event.asset)
        try:
            check_bookable(event.total, "total", TOTAL_DECIMALS_MAX)
        except CannotBook as error:
            self._tell("balance", "/".join(key), "an amount", str(error))
            return []
        if key not in self._opened:
            if not self._started(event.venue, event.wallet):
                return []
            # Not told at start means that there was none.
            self._opened[key] = self._opened_at(key) or event.at
        return self._compare(key)

    def line(self, event: StatementLine) -> list[AnyCommand]:
        """One line of a venue's statement: booked where nothing else tells it."""
        self.statements.line(event)
        return []

    def told(self, event: StatementTold) -> list[AnyCommand]:
        """A statement has been told in full: what it rounded is followed."""
        self.statements.told(event)
        return []

    def position(self, event: PositionReported) -> list[AnyCommand]:
        venue, market, _ = split_id(event.instrument)
        if not self._accounts.markets.get((venue, market)):
            return []
        return self._compare(event.instrument)

    def open_order(self, event: OpenOrderReported, *, ours: bool) -> None:
        """An order that we did not send is somebody's: never touched, but told."""
        if ours or self._settings.adopt_positions:
            return
        subject = event.order_id or event.venue_order_id
        found = f"{event.side.name} {event.lots} lots at {event.ticks} ticks"
        self._tell("open_order", f"{event.instrument} {subject}", "none", found)

    def _started(self, venue: str, wallet: str) -> bool:
        markets = self._accounts.markets_of(venue, wallet)
        told = [self._accounts.markets.get((venue, market)) for market in markets]
        return bool(told) and all(told)

    def _opened_at(self, key: WalletKey) -> Nanos | None:
        """Since when the ledger keeps an asset: what happened before is in its opening."""
        told = self._opened.get(key)
        if told is not None:
            return told
        markets = self._accounts.markets_of(key[0], key[1])
        checked = [self._accounts.checked_at.get((key[0], market)) for market in markets]
        known = [at for at in checked if at is not None]
        return max(known) if known and len(known) == len(checked) else None

    def _open_balance(self, key: WalletKey) -> None:
        if key in self._opened:
            return
        told = self._accounts.balances[key]
        self._opened[key] = told.at
        self._ledger.open(("venue", key[0], key[1]), key[2], kept(told.total))

    def _open_position(self, told: PositionReported) -> None:
        if told.instrument in self._opened:
            return
        self._opened[told.instrument] = told.at
        listed = self._market.instrument(told.instrument)
        if not told.lots:
            return
        if not self._settings.adopt_positions:
            self._tell("position", told.instrument, "0", str(told.lots))
        account = ("position", told.instrument)
        self._ledger.open(account, LOTS + told.instrument, Decimal(told.lots))
        if listed is None or not told.entry:
            return
        try:
            check_bookable(told.entry, "entry", TOTAL_DECIMALS_MAX)
            cash = (lots_value(listed, told.entry) * told.lots).copy_negate()
            check_bookable(kept(cash), "cost")
        except (CannotBook, ArithmeticError) as error:
            self._tell("position", told.instrument, "an entry price", str(error))
            return
        self._ledger.open(account, listed.settle, kept(cash))

    # Comparing ---------------------------------------------------------------------------

    def _compare(self, subject: Subject) -> list[AnyCommand]:
        name = _name(subject)
        doubt = self._doubts.get(name)
        if self._agrees(subject):
            if doubt is None:
                return []
            del self._doubts[name]
            return [ClearTimer(timer=CHECK_TIMER + name)]
        if doubt is not None:
            return []
        self._doubts[name] = Doubt(subject)
        return [self._wait(name)]

    def timer(self, timer: str) -> list[AnyCommand]:
        """The grace of a doubt is over: agree by now, ask, or believe it."""
        name = timer.removeprefix(CHECK_TIMER)
        if name == STATEMENTS:
            return [*self.statements.questions(), *self._set_statements()]
        doubt = self._doubts.get(name)
        if doubt is None or doubt.believed:
            return []
        subject = doubt.subject
        venue = subject[0] if isinstance(subject, tuple) else split_id(subject)[0]
        if self._is_busy(venue, "" if isinstance(subject, tuple) else subject):
            return [self._wait(name)]
        if self._agrees(subject):
            del self._doubts[name]
            return []
        if doubt.asks < self._settings.asks_max:
            doubt.asks += 1
            return [*self._questions(subject), self._wait(name)]
        doubt.believed = True
        self._tell_difference(subject)
        return []

    def _tell_difference(self, subject: Subject) -> None:
        expected, found = self._both(subject)
        kind = "balance" if isinstance(subject, tuple) else "position"
        self._tell(kind, _name(subject), plain(expected), plain(found))

    def accept(self) -> list[Opening]:
        """A person says that the venue is right: the ledger is opened anew by the difference.
        What was opened, account by account. What is still in doubt was told to nobody, and may be
        a message on its way: it stays so."""
        openings: list[Opening] = []
        told = [(name, doubt) for name, doubt in self._doubts.items() if doubt.believed]
        for name, doubt in told:
            subject = doubt.subject
            expected, found = self._both(subject)
            difference = EXACT.subtract(kept(found), expected)
            if isinstance(subject, tuple):
                openings.append((("venue", subject[0], subject[1]), subject[2], difference))
            else:
                openings.append((("position", subject), LOTS + subject, difference))
                listed, price = self._market.instrument(subject), self._market.price(subject)
                if listed is not None and price:
                    cash = (lots_value(listed, price) * difference).copy_negate()
                    openings.append((("position", subject), listed.settle, cash))
            del self._doubts[name]
        for account, asset, amount in openings:
            self.acceptances.apply(
                OpeningAccepted(at=self._market.now, account=account, asset=asset, amount=amount)
            )
        return openings

    def differences(self, asked: Mapping[MarketKey, Nanos]) -> list[Subject]:
        """Wallets and positions of which the venues, asked then, say other than our books. What
        a venue did not mention since is not there."""
        wallets = dict.fromkeys([*self._ledger.wallets(), *self._accounts.balances])
        positions = dict.fromkeys([*self._ledger.positions(), *self._accounts.positions])
        found: list[Subject] = []
        for wallet in wallets:
            told = self._accounts.balances.get(wallet)
            markets = self._accounts.markets_of(wallet[0], wallet[1])
            since = [asked[wallet[0], m] for m in markets if (wallet[0], m) in asked]
            if since and told is not None and told.at < min(since):
                self._accounts.hear(msgspec.structs.replace(told, at=max(since), total=ZERO))
            if since and not self._agrees(wallet):
                found.append(wallet)
        for instrument in positions:
            held = self._accounts.positions.get(instrument)
            at = asked.get(split_id(instrument)[:2])
            if at is not None and held is not None and held.at < at:
                self._accounts.hear(msgspec.structs.replace(held, at=at, lots=Lots(0)))
            if at is not None and not self._agrees(instrument):
                found.append(instrument)
        return found

    def believe(self, subjects: Sequence[Subject]) -> None:
        """Differences that were looked at often enough: each is told, and waits for a person."""
        for subject in subjects:
            self._doubts[_name(subject)] = Doubt(subject, believed=True)
            self._tell_difference(subject)

    def forget_doubts(self) -> None:
        """After a recall: the venues are asked anew, and what they say then is compared."""
        self._doubts.clear()
        self.found.clear()

    def _wait(self, name: str) -> SetTimer:
        due = Nanos(self._market.now + self._settings.grace_ms * MILLI)
        return SetTimer(timer=CHECK_TIMER + name, due=due)

    def _questions(self, subject: Subject) -> list[AnyCommand]:
        if isinstance(subject, tuple):
            venue = subject[0]
            asked: list[AnyCommand] = [*self.statements.questions(venue, subject[1])]
            markets = list(self._accounts.markets_of(venue, subject[1]))[:1]
        else:
            venue, market, _ = split_id(subject)
            markets, asked = [market], []
        # The statement first: when the balance is told again its lines are booked.
        return [*asked, *(QueryAccount(venue=venue, market=market) for market in markets)]

    def agrees_on(self, instrument: InstrumentId) -> bool:
        """Whether a venue, as last told, holds of an instrument what our books say."""
        listed = self._market.instrument(instrument)
        if listed is None or listed.is_derivative:
            return listed is not None and self._agrees(instrument)
        wallet = self._accounts.wallet_of(listed.venue, listed.market)
        return self._agrees((listed.venue, wallet, listed.base))

    def _agrees(self, subject: Subject) -> bool:
        expected, found = self._both(subject)
        difference = abs(found - expected)
        if not isinstance(subject, tuple):
            return difference <= self._settings.position_tolerance_lots
        rate = self._market.rate(subject[2])
        if rate is None:
            return difference == 0
        tolerance: Money = self._settings.balance_tolerance
        share = abs(expected) * rate * self._settings.balance_tolerance_bps * BPS
        return difference * rate <= max(tolerance, share)

    def _both(self, subject: Subject) -> tuple[Decimal, Decimal]:
        if isinstance(subject, tuple):
            told = self._accounts.balances.get(subject)
            return self._ledger.wallet(*subject), told.total if told else ZERO
        held = self._accounts.positions.get(subject)
        return Decimal(self._ledger.lots(subject)), Decimal(held.lots if held else 0)

    def _beyond(self, wallet: WalletKey) -> Money:
        expected, found = self._both(wallet)
        return EXACT.subtract(kept(found), expected)

    def _tell(self, kind: str, subject: str, expected: str, found: str) -> None:
        self.found.append(
            Discrepancy(
                at=self._market.now, kind=kind, subject=subject, expected=expected, found=found
            )
        )


def _name(subject: Subject) -> str:
    return "/".join(subject) if isinstance(subject, tuple) else subject

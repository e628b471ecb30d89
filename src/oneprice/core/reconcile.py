"""Reconcile: the venue's statements are assertions about our ledger.

At start they open the ledger. Later a difference is first given time (messages under way), then
the venue is asked again, and only a difference that outlives the questions is a Discrepancy. It
opens the clutch and stays until a person accepts it.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from oneprice.core.account import Accounts, MarketKey, WalletKey
from oneprice.core.ledger import LOTS, Ledger, lots_value
from oneprice.core.market import Market
from oneprice.core.strategy import Discrepancy
from oneprice.model.commands import AnyCommand, ClearTimer, QueryAccount, SetTimer
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    OpenOrderReported,
    PositionReported,
)
from oneprice.model.instrument import split_id
from oneprice.model.settings import ReconcileSettings
from oneprice.model.units import BPS, EXACT, MILLI, ZERO, InstrumentId, Money, Nanos, plain

CHECK_TIMER = "check/"
AUDIT_TIMER = "audit"

Subject = WalletKey | InstrumentId


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
    ) -> None:
        self._settings = settings
        self._market = market
        self._accounts = accounts
        self._ledger = ledger
        self._is_busy = is_busy
        self._opened: dict[Subject, None] = {}
        self._doubts: dict[str, Doubt] = {}
        self.found: list[Discrepancy] = []

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
        return [SetTimer(timer=AUDIT_TIMER, due=Nanos(due))]

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
        self._ledger.value_openings(self._market.rate)
        return []

    def balance(self, event: BalanceReported) -> list[AnyCommand]:
        key = (event.venue, event.wallet, event.asset)
        if key not in self._opened:
            if not self._started(event.venue, event.wallet):
                return []
            # Not told at start means that there was none.
            self._opened[key] = None
        return self._compare(key)

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

    def _open_balance(self, key: WalletKey) -> None:
        if key in self._opened:
            return
        self._opened[key] = None
        told = self._accounts.balances[key]
        self._ledger.open(("venue", key[0], key[1]), key[2], told.total)

    def _open_position(self, told: PositionReported) -> None:
        if told.instrument in self._opened:
            return
        self._opened[told.instrument] = None
        listed = self._market.instrument(told.instrument)
        if not told.lots:
            return
        if not self._settings.adopt_positions:
            self._tell("position", told.instrument, "0", str(told.lots))
        account = ("position", told.instrument)
        self._ledger.open(account, LOTS + told.instrument, Decimal(told.lots))
        if listed is not None and told.entry:
            cash = (lots_value(listed, told.entry) * told.lots).copy_negate()
            self._ledger.open(account, listed.settle, cash)

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
        expected, found = self._both(subject)
        kind = "balance" if isinstance(subject, tuple) else "position"
        self._tell(kind, name, plain(expected), plain(found))
        return []

    def accept(self) -> None:
        """A person says that the venue is right: the ledger is opened anew by the difference."""
        for name, doubt in list(self._doubts.items()):
            subject = doubt.subject
            expected, found = self._both(subject)
            difference = EXACT.subtract(found, expected)
            if isinstance(subject, tuple):
                self._ledger.open(("venue", subject[0], subject[1]), subject[2], difference)
            else:
                self._ledger.open(("position", subject), LOTS + subject, difference)
                listed, price = self._market.instrument(subject), self._market.price(subject)
                if listed is not None and price:
                    cash = (lots_value(listed, price) * difference).copy_negate()
                    self._ledger.open(("position", subject), listed.settle, cash)
            del self._doubts[name]
        self._ledger.value_openings(self._market.rate)

    def _wait(self, name: str) -> SetTimer:
        due = Nanos(self._market.now + self._settings.grace_ms * MILLI)
        return SetTimer(timer=CHECK_TIMER + name, due=due)

    def _questions(self, subject: Subject) -> list[AnyCommand]:
        if isinstance(subject, tuple):
            venue = subject[0]
            markets = list(self._accounts.markets_of(venue, subject[1]))[:1]
        else:
            venue, market, _ = split_id(subject)
            markets = [market]
        return [QueryAccount(venue=venue, market=market) for market in markets]

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

    def _tell(self, kind: str, subject: str, expected: str, found: str) -> None:
        self.found.append(
            Discrepancy(
                at=self._market.now, kind=kind, subject=subject, expected=expected, found=found
            )
        )


def _name(subject: Subject) -> str:
    return "/".join(subject) if isinstance(subject, tuple) else subject

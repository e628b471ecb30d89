"""Statements: what the venues' own transaction logs say of our wallets, line by line.

Lines that nothing else tells (transfers, interest, penalties, corrections) are booked from here.
Those that repeat a fill or a settlement are only summed up and held beside our own sum: what is
left between the two, where nothing is in flight, is what the venue rounded, and we follow it to
the last unit. More than roundings can explain is left standing, for the balances to tell.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from oneprice.core.account import Accounts, MarketKey, WalletKey
from oneprice.core.bookkeeper import Bookkeeper, Correction, Tally
from oneprice.core.ledger import CannotBook, check_bookable
from oneprice.core.market import Market
from oneprice.core.strategy import Discrepancy
from oneprice.model.commands import QueryStatement
from oneprice.model.events import Event, StatementLine, StatementTold
from oneprice.model.units import EXACT, MILLI, ZERO, InstrumentId, Money, Nanos

LINES_KEPT = 100_000  # remembered against doubles: pages and cursors overlap
OVERLAP_MS = 60_000  # asked for once more, since a venue may write a line late
COMPARED = ("trade", "fee", "funding")
COARSEST = -6  # decimals in which a venue keeps a coin, at least


class StatementEntered(Event, frozen=True, kw_only=True, tag=True):
    """The lines of a wallet that had been told were entered. What they say of the time before
    its opening was told apart by how far the venue's clock is ahead of ours."""

    venue: str
    wallet: str
    ahead_ms_least: int
    ahead_ms_most: int


class Told(msgspec.Struct):
    """The compared lines of one asset of one wallet, summed up since its opening."""

    amount: Money = ZERO
    decimals: int = COARSEST  # exponent of the finest amount seen


class Statements:
    """Asks for statements, books what they alone tell, follows their roundings."""

    def __init__(
        self,
        market: Market,
        accounts: Accounts,
        books: Bookkeeper,
        opened: Callable[[WalletKey], Nanos | None],
        is_busy: Callable[[str, InstrumentId], bool],
    ) -> None:
        self._market = market
        self._accounts = accounts
        self._books = books
        self._opened = opened  # since when the ledger keeps an asset of a wallet, if it does
        self._is_busy = is_busy
        self._seen: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()
        self._told: dict[WalletKey, Told] = {}
        self._until_ms: dict[MarketKey, int] = {}
        self._waiting: list[StatementLine] = []  # of statements that are not complete yet
        self._asked: dict[MarketKey, Nanos] = {}  # since when a question is out
        # How far a venue's clock is ahead of ours, at least and at most.
        self._ahead_ms: dict[str, tuple[int, int]] = {}
        self.notes: list[StatementEntered] = []  # for whoever records them

    # Asking ------------------------------------------------------------------------------

    def questions(self, venue: str = "", wallet: str = "") -> list[QueryStatement]:
        """One question for every wallet (of one venue), since the last answer and a little."""
        asked: dict[tuple[str, str], MarketKey] = {}
        for (there, market), checked in self._accounts.markets.items():
            if checked and venue in ("", there):
                behind = self._accounts.wallet_of(there, market)
                if wallet in ("", behind):
                    asked.setdefault((there, behind), (there, market))
        for key in asked.values():
            self._asked.setdefault(key, self._market.now)
        return [
            QueryStatement(venue=key[0], market=key[1], since_ms=self._since_ms(key))
            for key in asked.values()
        ]

    def is_awaited(self, venue: str, wallet: str) -> bool:
        """Whether a question about a wallet is out, of a venue that has answered such before."""
        return any(
            key[0] == venue and self._accounts.wallet_of(*key) == wallet
            for key in self._asked
            if key in self._until_ms
        )

    def _since_ms(self, key: MarketKey) -> int:
        last = self._until_ms.get(key)
        if last is None:
            last = self._accounts.checked_at[key] // MILLI
        return max(0, last - OVERLAP_MS)

    # Answers -----------------------------------------------------------------------------

    def line(self, event: StatementLine) -> None:
        """One line; it counts once its statement is complete, or at once where it is news."""
        if event.live:
            self._enter(event, None)
            return
        self._waiting.append(event)
        del self._waiting[:-LINES_KEPT]

    def told(self, event: StatementTold) -> None:
        """A statement is complete up to a moment: enter its lines, and follow what it rounded
        where all is at rest."""
        key = (event.venue, event.market)
        before = self._until_ms.get(key, self._accounts.checked_at.get(key, event.at) // MILLI)
        self._until_ms[key] = max(self._until_ms.get(key, 0), event.until_ms)
        if self._books.muted:
            return
        if event.since_ms > before:
            self._gap(event, before)
        # Its clock was read when we asked: after the question was born, before its answer came.
        least_ms = event.until_ms - event.at // MILLI
        most_ms = event.until_ms - self._asked.pop(key, event.at) // MILLI
        known = self._ahead_ms.get(event.venue, (least_ms, most_ms))
        ahead = max(known[0], least_ms), min(known[1], most_ms)
        self._ahead_ms[event.venue] = ahead
        wallet = self._accounts.wallet_of(event.venue, event.market)
        note = StatementEntered(
            at=event.at,
            venue=event.venue,
            wallet=wallet,
            ahead_ms_least=ahead[0],
            ahead_ms_most=ahead[1],
        )
        self.enter(note)
        self.notes.append(note)
        if not self._is_busy(event.venue, ""):
            for purse, tally in self._books.tallies.items():
                if purse[:2] == (event.venue, wallet) and tally.last_ms < event.until_ms:
                    self._follow(purse, tally)

    def enter(self, note: StatementEntered) -> None:
        """Enter the lines of a wallet that have been told by now."""
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            if (line.venue, line.wallet) == (note.venue, note.wallet):
                self._enter(line, note)
            else:
                self._waiting.append(line)

    def _enter(self, event: StatementLine, note: StatementEntered | None) -> None:
        """Told twice a line counts once, and what the opening balance has is skipped."""
        key: WalletKey = (event.venue, event.wallet, event.asset)
        record = (*key, event.record_id)
        if record in self._seen:
            return
        self._seen[record] = None
        if len(self._seen) > LINES_KEPT:
            self._seen.popitem(last=False)
        opened = self._opened(key)
        if opened is None:
            return  # what the wallet holds when it is opened has this line
        if note is not None and is_of_before(event, opened, note):
            return
        if event.kind == "other":
            self._differs(event, "a kind of line that we know", event.text or "no word for it")
        elif event.kind in COMPARED:
            self._compare(key, event)
        else:
            self._books.line(event)

    def _compare(self, key: WalletKey, event: StatementLine) -> None:
        try:
            check_bookable(event.amount, "amount")
        except CannotBook as error:
            self._differs(event, "an amount", str(error))
            return
        told = self._told.setdefault(key, Told())
        told.amount = EXACT.add(told.amount, event.amount)
        exponent = event.amount.as_tuple().exponent
        assert isinstance(exponent, int)
        told.decimals = min(told.decimals, exponent)

    def _gap(self, event: StatementTold, before: int) -> None:
        self._books.found.append(
            Discrepancy(
                at=self._market.now,
                kind="statement",
                subject=f"{event.venue}:{event.market}",
                expected="every line",
                found=f"lines from {before} to {event.since_ms} ms could not be told",
            )
        )

    def _differs(self, event: StatementLine, expected: str, found: str) -> None:
        subject = f"{event.venue}/{event.wallet}/{event.asset} line {event.record_id}"
        self._books.found.append(
            Discrepancy(
                at=self._market.now,
                kind="statement",
                subject=subject,
                expected=expected,
                found=f"{event.kind} {found}: {event.amount}",
            )
        )

    def _follow(self, purse: WalletKey, tally: Tally) -> None:
        told = self._told.get(purse)
        if told is None:
            return
        rest = EXACT.subtract(told.amount, tally.booked)
        if not rest:
            return
        # From the sum of our own fills, not from what was corrected already.
        whole = EXACT.add(rest, tally.corrected)
        unit = Decimal((0, (1,), told.decimals))
        if abs(whole) <= EXACT.add(tally.roundings * unit, tally.slack):
            venue, wallet, asset = purse
            now = self._market.now
            self._books.correct(
                Correction(at=now, venue=venue, wallet=wallet, asset=asset, amount=rest)
            )

    # Reading -----------------------------------------------------------------------------

    def unexplained(self) -> Mapping[WalletKey, Money]:
        """What the statements say beyond our fills and settlements, wallet by wallet."""
        found: dict[WalletKey, Money] = {}
        for purse, told in self._told.items():
            tally = self._books.tallies.get(purse)
            rest = EXACT.subtract(told.amount, tally.booked if tally else ZERO)
            if rest:
                found[purse] = rest
        return found


def is_of_before(line: StatementLine, opened: Nanos, note: StatementEntered) -> bool:
    """Whether the opening balance has a line already.

    Within the time of one question and answer nobody can know. What we trade comes after the
    opening; what moved money before we traded is most likely why there is something to open,
    and where that is wrong the balance tells.
    """
    is_trading = line.kind in COMPARED
    ahead_ms = note.ahead_ms_least if is_trading else note.ahead_ms_most
    return 0 < line.venue_ms < opened // MILLI + ahead_ms

"""Statements: what the venues' own transaction logs say of our wallets, line by line.

Lines that nothing else tells (transfers, interest, penalties, corrections) are booked from here.
Those that repeat a fill or a settlement are only summed up and held beside our own sum: what is
left between the two, where nothing is in flight, is what the venue rounded, and we follow it to
the last unit. More than roundings can explain is left standing, for the balances to tell.

A transfer near the opening may be in the opening balance or not, and no clock can say. It is
booked only where it explains a balance that differs; one that looks younger than the opening
keeps its statement waiting until a younger balance was told.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from oneprice.core.acceptance import NEAR_MS, TRAILS_MS
from oneprice.core.account import Accounts, MarketKey, WalletKey
from oneprice.core.bookkeeper import Bookkeeper, Correction, Tally
from oneprice.core.ledger import CannotBook, check_bookable
from oneprice.core.market import Market
from oneprice.core.strategy import Discrepancy
from oneprice.model.commands import QueryStatement
from oneprice.model.events import Event, StatementLine, StatementTold
from oneprice.model.units import EXACT, MILLI, ZERO, Asset, InstrumentId, Money, Nanos

LINES_KEPT = 100_000  # remembered against doubles: pages and cursors overlap
OVERLAP_MS = 60_000  # asked for once more, since a venue may write a line late
COMPARED = ("trade", "fee", "funding")
COARSEST = -6  # decimals in which a venue keeps a coin, at least


class StatementEntered(Event, frozen=True, kw_only=True, tag=True):
    """The lines of a wallet that had been told were entered. What they say of the time before
    its opening was told apart by how far the venue's clock is ahead of ours. Of the transfers near
    it those were booked that explain a balance; the others are in the opening for good."""

    venue: str
    wallet: str
    ahead_ms_least: int
    ahead_ms_most: int
    explaining: tuple[tuple[Asset, str], ...] = ()  # asset and record id of each


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
        beyond: Callable[[WalletKey], Money],
    ) -> None:
        self._market = market
        self._accounts = accounts
        self._books = books
        self._opened = opened  # since when the ledger keeps an asset of a wallet, if it does
        self._is_busy = is_busy
        self._beyond = beyond  # what a venue told of an asset of a wallet, less what we have
        self._seen: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()
        self._told: dict[WalletKey, Told] = {}
        self._until_ms: dict[MarketKey, int] = {}
        self._waiting: list[StatementLine] = []  # of statements that do not count yet
        self._asked: dict[MarketKey, Nanos] = {}  # since when a question is out
        self._ahead_ms_most: dict[str, int] = {}  # how far a venue's clock is ahead, at most
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
        most_ms = min(self._ahead_ms_most.get(event.venue, most_ms), most_ms)
        self._ahead_ms_most[event.venue] = most_ms
        ahead = self._accounts.ahead_ms.get(event.venue, least_ms), most_ms
        wallet = self._accounts.wallet_of(event.venue, event.market)
        note = self._placed(
            StatementEntered(
                at=event.at,
                venue=event.venue,
                wallet=wallet,
                ahead_ms_least=ahead[0],
                ahead_ms_most=ahead[1],
            )
        )
        if note is None:
            return
        self.enter(note)
        self.notes.append(note)
        if not self._is_busy(event.venue, ""):
            for purse, tally in self._books.tallies.items():
                if purse[:2] == (event.venue, wallet) and tally.last_ms < event.until_ms:
                    self._follow(purse, tally)

    def enter(self, note: StatementEntered) -> None:
        """Enter the lines of a wallet that have been told by now, the youngest first: what they
        leave of a balance that differs says what of the older ones was accepted before."""
        news = sorted(self._news(note), key=lambda line: line.venue_ms, reverse=True)
        there = (note.venue, note.wallet)
        self._waiting = [e for e in self._waiting if (e.venue, e.wallet) != there]
        for line in news:
            self._enter(line, note)

    def _placed(self, note: StatementEntered) -> StatementEntered | None:
        """With what the balances say of the transfers near the opening; None where it is too
        early to say, and the wallet's lines must wait for the next answer."""
        near: dict[WalletKey, list[StatementLine]] = {}
        sure: dict[WalletKey, Money] = {}
        for line in self._news(note):
            purse: WalletKey = (line.venue, line.wallet, line.asset)
            opened = self._opened(purse)
            if opened is None or not is_sum(line):
                continue
            if is_near(line, opened, note):
                near.setdefault(purse, []).append(line)
            elif line.kind not in (*COMPARED, "other") and not is_of_before(line, opened, note):
                sure[purse] = EXACT.add(sure.get(purse, ZERO), line.amount)
        if not near:
            return note
        explaining: list[StatementLine] = []
        is_explained = is_open = False
        for purse in dict.fromkeys((*near, *sure)):
            beyond, allowed = self._beyond(purse), self.allowed(purse)
            rest = EXACT.subtract(beyond, sure.get(purse, ZERO))
            lines = sorted(near.get(purse, []), key=lambda line: line.venue_ms)
            places = those_that_explain([line.amount for line in lines], rest, allowed)
            found = [lines[place] for place in places]
            explaining += found
            agrees = abs(rest) <= allowed
            is_explained |= bool(found) or (agrees and abs(beyond) > allowed)
            is_open |= any(self._is_open(line, note, agrees=agrees) for line in lines)
        if is_open and not is_explained:
            return None
        return msgspec.structs.replace(
            note, explaining=tuple((line.asset, line.record_id) for line in explaining)
        )

    def _news(self, note: StatementEntered) -> Sequence[StatementLine]:
        """The lines of a wallet that wait to be entered, each once, as first told."""
        found: dict[tuple[str, str, str, str], StatementLine] = {}
        for line in self._waiting:
            record = (line.venue, line.wallet, line.asset, line.record_id)
            if record[:2] == (note.venue, note.wallet) and record not in self._seen:
                found.setdefault(record, line)
        return list(found.values())

    def _is_open(self, line: StatementLine, note: StatementEntered, *, agrees: bool) -> bool:
        """Whether a line near the opening that explains nothing may still come to explain
        something: it looks younger, and its balance may not have been told yet."""
        opened = self._opened((line.venue, line.wallet, line.asset))
        if opened is None or line.venue_ms < opened // MILLI + note.ahead_ms_most:
            return False
        told_at = self._told_at((line.venue, line.wallet, line.asset))
        is_younger = told_at >= line.at + TRAILS_MS * MILLI
        return told_at < opened + 2 * NEAR_MS * MILLI and not (agrees and is_younger)

    def _told_at(self, purse: WalletKey) -> int:
        """When the balance was told last, or a wallet in full: some venues leave out a zero."""
        venue, wallet, _ = purse
        told = self._accounts.balances.get(purse)
        markets = self._accounts.markets_of(venue, wallet)
        in_full = min((self._accounts.told_at.get((venue, m), 0) for m in markets), default=0)
        return max(told.at if told is not None else 0, in_full)

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
        if abs(whole) <= self.allowed(purse):
            venue, wallet, asset = purse
            now = self._market.now
            self._books.correct(
                Correction(at=now, venue=venue, wallet=wallet, asset=asset, amount=rest)
            )

    def allowed(self, purse: WalletKey) -> Money:
        """What the venue's roundings of our fills can come to in an asset of a wallet."""
        tally = self._books.tallies.get(purse)
        if tally is None:
            return ZERO
        told = self._told.get(purse)
        unit = Decimal((0, (1,), told.decimals if told is not None else COARSEST))
        return EXACT.add(tally.roundings * unit, tally.slack)

    # Reading -----------------------------------------------------------------------------

    def ahead_ms(self, venue: str) -> tuple[int, int]:
        """How far a venue's clock is ahead of ours, at least and at most; as ours until told."""
        least = self._accounts.ahead_ms.get(venue, 0)
        return least, max(least, self._ahead_ms_most.get(venue, 0))

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
    and where that is wrong the balance tells. Of a transfer near the opening only it does.
    """
    if is_near(line, opened, note):
        return (line.asset, line.record_id) not in note.explaining
    is_trading = line.kind in COMPARED
    ahead_ms = note.ahead_ms_least if is_trading else note.ahead_ms_most
    return 0 < line.venue_ms < opened // MILLI + ahead_ms


def is_near(line: StatementLine, opened: Nanos, note: StatementEntered) -> bool:
    """Whether a line is a transfer so near the opening, by any of the clocks, that its time does
    not tell on which side of it: the venue's clock may have stepped since."""
    if line.kind != "transfer" or line.venue_ms <= 0 or not is_sum(line):
        return False
    after_ms = line.venue_ms - opened // MILLI
    ahead = sorted((note.ahead_ms_least, note.ahead_ms_most))
    is_near_there = ahead[0] - NEAR_MS <= after_ms <= ahead[1] + NEAR_MS
    return is_near_there or abs(after_ms) <= NEAR_MS


def those_that_explain(
    amounts: Sequence[Money], beyond: Money, allowed: Money
) -> Sequence[int]:
    """Which amounts, oldest first, come to what a balance is beyond ours: the last one or more,
    since an opening divides them by time, else any one alone. Their places; none where no such
    sum does, or none need be."""
    if abs(beyond) <= allowed:
        return []
    rest = beyond
    for place in reversed(range(len(amounts))):
        rest = EXACT.subtract(rest, amounts[place])
        if abs(rest) <= allowed:
            return range(place, len(amounts))
    fits = [n for n, a in enumerate(amounts) if abs(EXACT.subtract(beyond, a)) <= allowed]
    return fits[-1:]


def is_sum(line: StatementLine) -> bool:
    """Whether an amount can be booked: another explains nothing, and is named when it is tried."""
    try:
        check_bookable(line.amount, "amount")
    except CannotBook:
        return False
    return True

"""Acceptances: what a person took over from a venue, and the late records that explain it.

Who accepts a difference says that the venue's balance is right, whatever moved it: the ledger is
opened anew by as much. A record of what moved it may still come: a line that was written late,
funding of long ago. By then the ledger has it, as part of that opening. So when it is booked for
what it is, as much of the opening is taken back, and what the wallet holds stays as it is.
"""

from collections.abc import Callable

import msgspec

from oneprice.core.account import Accounts, WalletKey
from oneprice.core.ledger import Account, Ledger, kept
from oneprice.core.market import Market
from oneprice.model.events import Event
from oneprice.model.units import EXACT, MILLI, ZERO, Asset, Money, Nanos

KEPT = 100  # acceptances of a wallet's asset
NEAR_MS = 60_000  # clocks step, answers are late: so near a moment no time tells which side
TRAILS_MS = 2_000  # a balance told so long after a line has it


class OpeningAccepted(Event, frozen=True, kw_only=True, tag=True):
    """The ledger was opened anew by a difference that a person has accepted; or, with `line`,
    that much of an acceptance was taken back, since this record of the venue explains it."""

    account: Account
    asset: Asset
    amount: Money
    line: str = ""
    accepted: Nanos = Nanos(0)  # when that of which a part is taken back was accepted


class Accepted(msgspec.Struct):
    """One acceptance of one asset of one wallet."""

    at: Nanos  # of the person's act
    told: Nanos  # of the balance that was accepted
    left: Money  # explained by no record yet


class Acceptances:
    """Keeps what was accepted; `explain` is asked before a record of a venue is booked."""

    def __init__(
        self,
        market: Market,
        accounts: Accounts,
        ledger: Ledger,
        allowed: Callable[[WalletKey], Money],
        ahead_ms: Callable[[str], tuple[int, int]],
    ) -> None:
        self._market = market
        self._accounts = accounts
        self._ledger = ledger
        self._allowed = allowed  # what roundings can come to in an asset of a wallet
        self._ahead_ms = ahead_ms  # how far a venue's clock is ahead of ours, at least and most
        self._of: dict[WalletKey, list[Accepted]] = {}
        self.notes: list[OpeningAccepted] = []  # of what was taken back, for whoever records

    def apply(self, note: OpeningAccepted) -> None:
        """Open the ledger by an acceptance, or take a part of one back."""
        self._ledger.open(note.account, note.asset, note.amount)
        self._ledger.value_openings(self._market.noted_rate)
        if note.account[0] != "venue":
            return
        purse: WalletKey = (note.account[1], note.account[2], note.asset)
        known = self._of.setdefault(purse, [])
        if not note.line:
            told = self._accounts.balances.get(purse)
            known.append(Accepted(note.at, told.at if told is not None else note.at, note.amount))
            del known[:-KEPT]
            return
        for one in known:
            if one.at == note.accepted:
                one.left = EXACT.add(one.left, note.amount)
                return

    def explain(self, purse: WalletKey, amount: Money, venue_ms: int, record: str) -> None:
        """A record is about to be booked: where an acceptance has it already, take it back."""
        held = [a for a in self._of.get(purse, ()) if self._has(a, purse, amount, venue_ms)]
        if not held:
            return
        allowed = self._allowed(purse)
        chosen = next((a for a in held if _is_it(a, amount, allowed)), held[0])
        note = OpeningAccepted(
            at=self._market.now,
            account=("venue", *purse[:2]),
            asset=purse[2],
            amount=amount.copy_negate(),
            line=record,
            accepted=chosen.at,
        )
        self.apply(note)
        self.notes.append(note)

    def _has(self, accepted: Accepted, purse: WalletKey, amount: Money, venue_ms: int) -> bool:
        """Whether what was accepted holds a record: it is older than the balance that was, and
        comes to it or to a part of it, or the books and the venue agree without it."""
        least, most = self._ahead_ms(purse[0])
        told_ms = accepted.told // MILLI
        if not amount or venue_ms >= told_ms + most:
            return False
        allowed = self._allowed(purse)
        beyond = self._beyond(purse)
        if abs(beyond) > allowed >= abs(EXACT.subtract(beyond, amount)):
            return False  # the balance lacks just this: it was not in what was accepted
        if _is_it(accepted, amount, allowed):
            return True
        if not 0 < venue_ms < told_ms + least:
            return False
        if accepted.left * amount > 0 and abs(amount) <= abs(accepted.left):
            return True
        told = self._accounts.balances.get(purse)
        since = told.at if told is not None else Nanos(0)
        is_old = venue_ms < told_ms + least - NEAR_MS
        is_told = since >= accepted.at + TRAILS_MS * MILLI
        return abs(beyond) <= allowed and (is_old or is_told)

    def _beyond(self, purse: WalletKey) -> Money:
        told = kept(self._accounts.reported(purse) or ZERO)
        return EXACT.subtract(told, self._ledger.wallet(*purse))


def _is_it(accepted: Accepted, amount: Money, allowed: Money) -> bool:
    return abs(EXACT.subtract(accepted.left, amount)) <= allowed

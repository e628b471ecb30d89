"""Our movements: what a session's journal says happened to every asset of every wallet.

Folded from the journaled facts by the ledger's own arithmetic and nothing else of the engine: a
movement that the engine forgot to book is found here as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import msgspec

from oneprice.app.reconcile_match import ROUNDING, SUMS, Movement, Purse
from oneprice.core.acceptance import OpeningAccepted
from oneprice.core.account import Accounts
from oneprice.core.bookkeeper import CAUSE_OF_LINE, Correction
from oneprice.core.ledger import (
    LOTS,
    CannotBook,
    FillFacts,
    Ledger,
    check_bookable,
    kept,
    lots_value,
)
from oneprice.core.market import Market
from oneprice.core.plausible import Plausible, fees_named
from oneprice.core.record import WalletKnown
from oneprice.core.regrid import finer
from oneprice.core.statement import StatementEntered, is_of_before, is_sum
from oneprice.core.strategy import IntentJudged
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument, Payoff, split_id
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MILLI, ZERO, InstrumentId, Money, Nanos

ACCEPTED = "accepted"  # a difference that a person has taken over: explained by nobody
BOOKED_LINES = ("transfer", *CAUSE_OF_LINE)


class Ours(msgspec.Struct, kw_only=True):
    """What a journal says: where each purse began, what moved it, what is in it now."""

    openings: dict[Purse, Money] = {}
    movements: list[Movement] = []
    closings: dict[Purse, Money] = {}
    opened: dict[Purse, Nanos] = {}
    ended_at: Nanos = Nanos(0)  # the last thing that we know
    instruments: dict[InstrumentId, Instrument] = {}
    ahead_ms: dict[str, int] = {}  # how far each venue's clock is ahead of ours
    # Lines of the venues that the journal knows, by purse and record id: True where they came
    # after the opening, False where it has them.
    lines: dict[tuple[str, str, str, str], bool] = {}


class Fold:
    """Takes journaled facts in order; `result` at the end."""

    def __init__(self, settings: EngineSettings) -> None:
        self._accounts = Accounts(settings)
        self._ledger = Ledger()
        self._listed: dict[InstrumentId, Instrument] = {}
        self._openings: dict[Purse, Money] = {}
        self._opened: dict[Purse, Nanos] = {}
        self._movements: list[Movement] = []
        self._seen: dict[tuple[object, ...], int] = {}  # each record counts once
        self._waiting: list[ev.StatementLine] = []
        self._early: list[ev.OrderFilled | ev.FundingBooked] = []
        self._offsets: dict[str, list[int]] = {}
        self._lines: dict[tuple[str, str, str, str], bool] = {}
        self._plausible = Plausible(Market(settings, {}), settings.orders.fee_bps_max)
        self._groups: dict[str, None] = {}
        self._last = Nanos(0)

    def result(self) -> Ours:
        return Ours(
            openings=self._openings,
            movements=self._movements,
            closings=dict(self._ledger.wallets()),
            opened=self._opened,
            ended_at=self._last,
            instruments=self._listed,
            ahead_ms={venue: int(median(told)) for venue, told in self._offsets.items()},
            lines=self._lines,
        )

    def take(self, item: object, fees_named: Sequence[str] = ()) -> None:
        """One item of a record; what moves no money passes by. `fees_named`: fills whose fees
        the record calls lies behind it."""
        self._plausible.recalled = fees_named
        self._last = Nanos(max(self._last, getattr(item, "at", 0)))
        match item:
            case IntentJudged() if item.group:
                self._groups[item.group] = None
            case ev.InstrumentListed():
                self._describe(item.instrument)
            case ev.BalanceReported() | ev.PositionReported():
                self._accounts.hear(item)
            case ev.AccountChecked():
                self._checked(item)
            case ev.OrderFilled():
                self._filled(item)
            case ev.FundingBooked():
                self._funded(item)
            case ev.StatementLine():
                self._line(item)
            case StatementEntered():
                self._entered(item)
            case Correction():
                purse = (item.venue, item.wallet, item.asset)
                self._move(purse, item.amount, ROUNDING, "", item.at // MILLI)
            case OpeningAccepted():
                self._accepted(item)
            case WalletKnown():
                self._accounts.wallet_is(item.venue, item.market, item.wallet)
            case ev.FillsTold() | ev.StatementTold():
                self._clock_told(item)

    def _describe(self, listed: Instrument) -> None:
        known = self._listed.get(listed.id)
        times = finer(known, listed) if known is not None else 0
        if times > 1:
            self._ledger.recount(LOTS + listed.id, times)
        self._listed[listed.id] = listed

    # Openings ------------------------------------------------------------------------------

    def _checked(self, event: ev.AccountChecked) -> None:
        key = (event.venue, event.market)
        first = not self._accounts.markets.get(key)
        self._accounts.markets[key] = True
        if first:
            self._accounts.checked_at[key] = event.at
        for purse, told in self._accounts.balances.items():
            if purse[0] == event.venue and purse not in self._opened:
                self._opened[purse] = told.at
                self._openings[purse] = kept(told.total)
                self._ledger.open(("venue", *purse[:2]), purse[2], kept(told.total))
        for held in self._accounts.positions.values():
            listed = self._listed.get(held.instrument)
            if first and held.lots and listed and split_id(held.instrument)[:2] == key:
                account = ("position", held.instrument)
                if not self._ledger.lots(held.instrument):
                    self._ledger.open(account, LOTS + held.instrument, Money(held.lots))
                    cash = lots_value(listed, held.entry) * held.lots if held.entry else ZERO
                    self._ledger.open(account, listed.settle, cash.copy_negate())

    def _accepted(self, note: OpeningAccepted) -> None:
        self._ledger.open(note.account, note.asset, note.amount)
        if note.account[0] == "position":
            self._accounts.accepted[note.account[1]] = note.at
        if note.account[0] == "venue":
            venue, wallet = note.account[1:3]
            at_ms = note.at // MILLI
            self._note((venue, wallet, note.asset), note.amount, ACCEPTED, "", at_ms)

    # Movements -----------------------------------------------------------------------------

    def _filled(self, fill: ev.OrderFilled) -> None:
        listed = self._listed.get(fill.instrument)
        if listed is None or not self._accounts.is_checked(listed):
            return
        counts = self._is_ours(fill) or self._accounts.counts(fill, listed)
        if counts is None:
            self._early.append(fill)
        if not counts:
            return  # a stranger's from before: the opening has it
        lie = self._plausible.fee_lie(fill)
        if lie:
            self._plausible.named(fill)
            fill = msgspec.structs.replace(
                fill, fee=ZERO, fee_asset=listed.settle, fee_known=False
            )
        key = ("fill", fill.instrument, fill.fill_id, fill.side)
        known = self._seen.get(key)
        if known is not None:
            self._correct_fee(known, fill)
            return
        self._seen[key] = len(self._movements)
        wallet = self._accounts.wallet_of(listed.venue, listed.market)
        try:
            self._movements += fill_movements(self._ledger, listed, wallet, fill)
        except CannotBook:
            return  # named when it came; nothing of it is ours
        if not fill.fee_known:
            # Until the fee is told it is ours alone, at the place of its fill.
            self._seen["guess", fill.instrument, fill.fill_id, fill.side] = 1
        self._clock(listed.venue, fill.venue_ms, fill.at)

    def _is_ours(self, fill: ev.OrderFilled) -> bool:
        """Our client ids are a group's, then the number of the order."""
        return fill.order_id.rpartition("o")[0] in self._groups

    def _correct_fee(self, place: int, fill: ev.OrderFilled) -> None:
        guess = ("guess", fill.instrument, fill.fill_id, fill.side)
        if not fill.fee_known or guess not in self._seen:
            return
        del self._seen[guess]
        listed = self._listed[fill.instrument]
        of_fill = [
            (n, m)
            for n, m in enumerate(self._movements[place : place + 3], place)
            if m.record_id == fill.fill_id
        ]
        guessed = [(number, old) for number, old in of_fill if old.fee]
        # The estimate goes, and the fee comes where it was, or where its coin moved.
        for number, old in guessed:
            bare = SUMS.add(old.amount, old.fee)
            self._movements[number] = msgspec.structs.replace(old, amount=bare, fee=ZERO)
            self._post(old.purse, old.fee)
        if fill.fee:
            self._charge(fill, dict(of_fill))
        self._clock(listed.venue, fill.venue_ms, fill.at)

    def _charge(self, fill: ev.OrderFilled, of_fill: Mapping[int, Movement]) -> None:
        for number in of_fill:
            old = self._movements[number]
            if old.asset == fill.fee_asset:
                self._movements[number] = msgspec.structs.replace(
                    old, amount=SUMS.subtract(old.amount, fill.fee), fee=fill.fee
                )
                self._post(old.purse, fill.fee.copy_negate())
                return
        listed = self._listed[fill.instrument]
        wallet = self._accounts.wallet_of(listed.venue, listed.market)
        purse = (listed.venue, wallet, fill.fee_asset)
        at_ms = fill.venue_ms or fill.at // MILLI
        self._move(purse, fill.fee.copy_negate(), "fee", fill.fill_id, at_ms)

    def _funded(self, event: ev.FundingBooked) -> None:
        key = ("funding", event.instrument, event.asset, event.record_id)
        if key in self._seen:
            return
        self._seen[key] = 1
        listed = self._listed.get(event.instrument)
        if listed is None or not self._accounts.is_checked(listed):
            return
        self._settled(event, listed)

    def _settled(self, event: ev.FundingBooked, listed: Instrument) -> None:
        purse = (listed.venue, self._accounts.wallet_of(listed.venue, listed.market), event.asset)
        opened = self._opened_at(purse)
        if opened is None:
            return
        before = self._accounts.is_before(listed.venue, event.venue_ms, opened)
        if before is None:
            self._early.append(event)
        if before is not False:
            return
        at_ms = event.venue_ms or event.at // MILLI
        self._move(purse, event.amount, "funding", event.record_id, at_ms)

    def _clock_told(self, event: ev.FillsTold | ev.StatementTold) -> None:
        """What waited for a venue's clock is known now to be from before the opening, or not."""
        if not self._accounts.hear_clock(event):
            return
        early, self._early = self._early, []
        for told in early:
            listed = self._listed[told.instrument]
            if listed.venue != event.venue:
                self._early.append(told)
            elif isinstance(told, ev.OrderFilled):
                self._filled(told)
            else:
                self._settled(told, listed)

    def _line(self, event: ev.StatementLine) -> None:
        if event.live:
            self._enter(event, None)
        else:
            self._waiting.append(event)

    def _entered(self, note: StatementEntered) -> None:
        lines, self._waiting = self._waiting, []
        for line in lines:
            if (line.venue, line.wallet) == (note.venue, note.wallet):
                self._enter(line, note)
            else:
                self._waiting.append(line)

    def _enter(self, event: ev.StatementLine, note: StatementEntered | None) -> None:
        purse = (event.venue, event.wallet, event.asset)
        record = (*purse, event.record_id)
        if record in self._lines:
            return
        opened = self._opened_at(purse)
        is_after = opened is not None and (
            note is None or not is_of_before(event, opened, note)
        )
        self._lines[record] = is_after
        if is_after and event.kind in BOOKED_LINES and is_sum(event):
            self._move(purse, event.amount, event.kind, event.record_id, event.venue_ms)

    def _opened_at(self, purse: Purse) -> Nanos | None:
        if purse in self._opened:
            return self._opened[purse]
        venue, wallet, _ = purse
        markets = self._accounts.markets_of(venue, wallet)
        known = [self._accounts.checked_at.get((venue, market)) for market in markets]
        checked = [at for at in known if at is not None]
        return max(checked) if checked and len(checked) == len(known) else None

    def _move(
        self, purse: Purse, amount: Money, kind: str, record_id: str, at_ms: int
    ) -> None:
        self._post(purse, amount)
        self._note(purse, amount, kind, record_id, at_ms)

    def _post(self, purse: Purse, amount: Money) -> None:
        self._ledger.gain("basis", ("venue", *purse[:2]), purse[2], [("", amount)])

    def _note(
        self, purse: Purse, amount: Money, kind: str, record_id: str, at_ms: int
    ) -> None:
        venue, wallet, asset = purse
        self._movements.append(
            Movement(
                venue=venue, wallet=wallet, asset=asset, amount=amount, kind=kind,
                record_id=record_id, at_ms=at_ms,
            )
        )  # fmt: skip

    def _clock(self, venue: str, venue_ms: int, at: Nanos) -> None:
        if venue_ms:
            self._offsets.setdefault(venue, []).append(venue_ms - at // MILLI)


def fill_movements(
    ledger: Ledger, listed: Instrument, wallet: str, fill: ev.OrderFilled
) -> list[Movement]:
    """What one fill does to the coins of a wallet: one movement for each, the fee in its own.

    Raises CannotBook for a fill that no ledger can keep.
    """
    if fill.lots <= 0 or fill.ticks <= 0:
        raise CannotBook(f"{fill.lots} lots at {fill.ticks} ticks")
    check_bookable(fill.fee, "fee")
    postings = ledger.fill(
        FillFacts(
            instrument=listed,
            wallet=wallet,
            group="",
            side=fill.side,
            ticks=fill.ticks,
            lots=fill.lots,
            decided=fill.ticks,
            fee=fill.fee,
            fee_asset=fill.fee_asset,
        )
    )
    account = ("venue", listed.venue, wallet)
    changes: dict[str, Money] = {}
    for posting in postings:
        if posting.account == account:
            changes[posting.asset] = SUMS.add(changes.get(posting.asset, ZERO), posting.amount)
    return [
        Movement(
            venue=listed.venue,
            wallet=wallet,
            asset=asset,
            amount=amount,
            kind="trade",
            record_id=fill.fill_id,
            at_ms=fill.venue_ms or fill.at // MILLI,
            fee=fill.fee if asset == fill.fee_asset else ZERO,
            roundings=1 + (fill.lots if listed.payoff is Payoff.INVERSE else 0),
            text=f"{fill.side.name.lower()} {fill.lots} {listed.id}",
        )
        for asset, amount in changes.items()
    ]


def ours(settings: EngineSettings, records: Iterable[Sequence[object]]) -> Ours:
    """The movements of a whole journal, entry by entry."""
    fold = Fold(settings)
    for record in records:
        for place, item in enumerate(record):
            fold.take(item, fees_named(record, place))
    return fold.result()

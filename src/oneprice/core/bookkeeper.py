"""The bookkeeper: turns fills, settlements and statement lines into postings of their group."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from oneprice.core.account import WalletKey
from oneprice.core.ledger import (
    BASIS,
    BORROW,
    CORRECTION,
    FEES,
    FUNDING,
    LEGGING,
    QUANTUM,
    STRAY,
    Account,
    CannotBook,
    FillFacts,
    check_bookable,
    lots_value,
)
from oneprice.core.orders import Order
from oneprice.core.sight import DAY, Parts
from oneprice.core.strategy import Discrepancy, Forecast
from oneprice.model.events import Event, FundingBooked, OrderFilled, StatementLine
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import (
    EXACT,
    MILLI,
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Money,
    Nanos,
    Side,
    Ticks,
)

GROUPS_KEPT = 5_000  # finished groups whose profit can still be asked for one by one
RECORDS_KEPT = 50_000  # settlement records remembered against doubles
SETTLEMENTS_KEPT = 1_000  # settlements kept for people
ESTIMATES_KEPT = 10_000  # fills whose fee the venue has not told yet
DAYS_KEPT = 5_000  # days times instruments, of settlements summed up

# The cause of what only a statement tells. A liquidation costs what a lost leg costs.
CAUSE_OF_LINE = {
    "interest": BORROW,
    "delivery": BASIS,  # what a delivery moved beyond its fill
    "liquidation": LEGGING,
    "correction": CORRECTION,
}


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """One funding settlement as booked, and beside it what was expected of it."""

    at: Nanos
    instrument: InstrumentId
    booked: Money
    expected: Money | None
    asset: str


class FundingDay(msgspec.Struct, kw_only=True):
    """The settlements of one instrument on one UTC day: booked, beside what was expected."""

    day: int  # since 1970
    instrument: InstrumentId
    asset: Asset
    settlements: int = 0
    booked: Money = ZERO
    expected: Money = ZERO  # of those that something was expected of
    unexpected: int = 0  # settlements without an estimate, and `unestimated` what they came to
    unestimated: Money = ZERO

    @property
    def surprise(self) -> Money:
        """Booked beyond what was expected, of the settlements that have an estimate."""
        return self.booked - self.unestimated - self.expected


class Correction(Event, frozen=True, kw_only=True, tag=True):
    """What a wallet holds more (below zero: less) than our fills and settlements come to, by the
    venue's own statement: it rounds each, we do not."""

    venue: str
    wallet: str
    asset: Asset
    amount: Money


class Tally(msgspec.Struct):
    """What our own fills and settlements did to one asset of one wallet."""

    booked: Money = ZERO
    roundings: int = 0  # that the venue may have made on the way
    slack: Money = ZERO  # what forced fills may differ by: their prices need not be on the grid
    last_ms: int = 0  # the venue's time of the latest
    corrected: Money = ZERO


class _Estimate(msgspec.Struct, frozen=True):
    """A fee as worked out from our tier, where the venue had not told it."""

    group: str
    wallet: Account
    fee: Money
    asset: Asset


class Bookkeeper:
    """Writes the ledger; knows which group every order belongs to.

    `found` names what no ledger can keep; `corrected` what `correct` booked. Both are drained
    by whoever records them.
    """

    def __init__(self, parts: Parts) -> None:
        self._market = parts.market
        self._accounts = parts.accounts
        self._holdings = parts.holdings
        self._ledger = parts.ledger
        self._roots: OrderedDict[str, str] = OrderedDict()
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._records: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._estimates: OrderedDict[tuple[InstrumentId, str, Side], _Estimate] = OrderedDict()
        self._funding_days: OrderedDict[tuple[int, InstrumentId], FundingDay] = OrderedDict()
        self.tallies: dict[WalletKey, Tally] = {}
        self.settlements: list[Settlement] = []
        self.found: list[Discrepancy] = []
        self.corrected: list[Correction] = []
        self.muted = False  # in a recall corrections come from the record
        self._early: list[FundingBooked] = []  # from before the opening by a clock never told
        # Since when the ledger keeps an asset of a wallet, if it does; and who knows whether a
        # record is booked as part of what a person accepted: purse, amount, time, record.
        self.opened_at: Callable[[WalletKey], Nanos | None] = lambda _: None
        self.explain: Callable[[WalletKey, Money, int, str], None] = lambda *_: None

    # Groups --------------------------------------------------------------------------------

    def adopt(self, group: str, root: str) -> None:
        """From now on the fills of a group are the profit of `root`."""
        self._roots[group] = root
        if len(self._roots) > 4 * GROUPS_KEPT:
            self._roots.popitem(last=False)

    def root(self, group: str) -> str:
        """Whose profit a group is; itself where that is no longer known."""
        return self._roots.get(group, group)

    def done(self, root: str) -> None:
        """Nothing more is expected of a group; old ones live on in the totals."""
        if not root:
            return
        self._finished[root] = None
        if len(self._finished) > GROUPS_KEPT:
            oldest, _ = self._finished.popitem(last=False)
            self._ledger.forget(oldest)

    # Fills ---------------------------------------------------------------------------------

    def fill(self, order: Order | None, fill: OrderFilled) -> None:
        """Post one counted execution; what cannot be booked of it is named in `found`."""
        listed = self._market.known_instrument(fill.instrument)
        group = self._roots.get(order.group, STRAY) if order is not None else STRAY
        wallet = self._accounts.wallet_of(listed.venue, listed.market)
        try:
            if fill.lots <= 0 or fill.ticks <= 0:
                raise CannotBook(f"{fill.lots} lots at {fill.ticks} ticks")
            postings = self._ledger.fill(
                FillFacts(
                    instrument=listed,
                    wallet=wallet,
                    group=group,
                    side=fill.side,
                    ticks=fill.ticks,
                    lots=fill.lots,
                    decided=order.touch if order is not None else fill.ticks,
                    fee=self._fee(fill),
                    fee_asset=fill.fee_asset,
                    repair=order is not None and order.repair,
                )
            )
        except CannotBook as error:
            self._cannot_book(f"{fill.instrument} fill {fill.fill_id}", error)
            return
        account: Account = ("venue", listed.venue, wallet)
        if not fill.fee_known:
            key = (fill.instrument, fill.fill_id, fill.side)
            self._estimates[key] = _Estimate(group, account, fill.fee, fill.fee_asset)
            _forget_oldest(self._estimates, ESTIMATES_KEPT)
        roundings = 1 + (fill.lots if listed.payoff is Payoff.INVERSE else 0)
        for posting in postings:
            if posting.account == account:
                self._count(account, posting.asset, posting.amount, fill, roundings)
        if fill.cause != "trade":
            self._allow(account, listed, fill)
        self._market.remember(listed.id, listed.price(fill.ticks))

    def _allow(self, account: Account, listed: Instrument, fill: OrderFilled) -> None:
        """A venue forces a fill at its mark or settlement price, of which we are told the tick."""
        if not listed.is_derivative:
            return
        here, next_to = (listed.price(Ticks(fill.ticks + step)) for step in (0, 1))
        tick = EXACT.subtract(lots_value(listed, next_to), lots_value(listed, here))
        tally = self.tallies.setdefault((account[1], account[2], listed.settle), Tally())
        tally.slack = EXACT.add(tally.slack, EXACT.multiply(abs(tick), Decimal(fill.lots)))

    def _fee(self, fill: OrderFilled) -> Money:
        """The fee as told; what was traded is booked whatever nonsense is told of its fee."""
        try:
            check_bookable(fill.fee, "fee")
        except CannotBook as error:
            self._cannot_book(f"{fill.instrument} fill {fill.fill_id}", error)
            return ZERO
        return fill.fee

    def awaits_fee(self, fill: OrderFilled) -> bool:
        """Whether this is the fee of a fill that was booked by our tier."""
        return fill.fee_known and (fill.instrument, fill.fill_id, fill.side) in self._estimates

    def correct_fee(self, fill: OrderFilled) -> tuple[Money, Asset] | None:
        """The fee of a fill that was booked by our tier is told now: book the difference, once.

        What had stood there (fee, asset); None where nothing was estimated or nothing differs.
        """
        key = (fill.instrument, fill.fill_id, fill.side)
        was = self._estimates.get(key)
        if was is None or not fill.fee_known:
            return None
        del self._estimates[key]
        if (was.fee, was.asset) == (fill.fee, fill.fee_asset):
            return None
        fee = self._fee(fill)
        for asset, amount in ((was.asset, was.fee), (fill.fee_asset, fee.copy_negate())):
            self._ledger.gain(FEES, was.wallet, asset, [(was.group, amount)])
            self._count(was.wallet, asset, amount, fill, 0)
        return was.fee, was.asset

    def _count(
        self,
        account: Account,
        asset: Asset,
        amount: Money,
        record: OrderFilled | FundingBooked,
        roundings: int,
    ) -> None:
        tally = self.tallies.setdefault((account[1], account[2], asset), Tally())
        tally.booked = EXACT.add(tally.booked, amount)
        tally.roundings += roundings
        tally.last_ms = max(tally.last_ms, record.venue_ms or record.at // MILLI)

    # Settlements ---------------------------------------------------------------------------

    def funding(self, event: FundingBooked) -> bool:
        """Post a settlement once; those before the opening balance are in it already."""
        if not self._first((FUNDING, event.instrument, event.asset, event.record_id)):
            return False
        listed = self._market.instrument(event.instrument)
        if listed is None or not self._accounts.is_checked(listed):
            return False
        wallet = self._accounts.wallet_of(listed.venue, listed.market)
        opened = self.opened_at((listed.venue, wallet, event.asset))
        if opened is None:
            return False  # what the wallet holds when it is opened has it
        before = self._accounts.is_before(listed.venue, event.venue_ms, opened)
        if before is None:
            self._early.append(event)
            del self._early[:-RECORDS_KEPT]
        return before is False and self._settle(event, listed, wallet)

    def clock_told(self, venue: str) -> bool:
        """A venue's clock is known from now on, and so what was before the opening. True where
        something was not."""
        early, self._early = self._early, []
        booked = False
        for event in early:
            listed = self._market.known_instrument(event.instrument)
            wallet = self._accounts.wallet_of(listed.venue, listed.market)
            opened = self.opened_at((listed.venue, wallet, event.asset))
            if listed.venue != venue or opened is None:
                self._early.append(event)
            elif not self._accounts.is_before(venue, event.venue_ms, opened):
                booked |= self._settle(event, listed, wallet)
        return booked

    def _settle(self, event: FundingBooked, listed: Instrument, wallet: str) -> bool:
        account: Account = ("venue", listed.venue, wallet)
        lots = self._ledger.lots(listed.id)
        try:
            check_bookable(event.amount, "amount")
            self._explain((listed.venue, wallet, event.asset), event)
            shares = self._holdings.share(event.instrument, event.amount)
            self._ledger.gain(FUNDING, account, event.asset, shares)
        except (CannotBook, ArithmeticError) as error:
            self._cannot_book(f"{event.instrument} funding {event.record_id}", error)
            return False
        self._count(account, event.asset, event.amount, event, 0)
        rate = self._market.noted_rate(event.asset)
        for holding, amount in shares:
            self._holdings.funded(holding, amount * rate if rate is not None else ZERO)
        self._remember(event, self._expected(event, listed, lots))
        return True

    def _expected(self, event: FundingBooked, listed: Instrument, lots: int) -> Money | None:
        mark = self._market.price(listed.id)
        forecast = self._market.funding(listed.id)
        # After its settlement a forecast speaks of the next one: the record's own rate is nearer.
        rate = event.rate if event.rate and _is_past(event, forecast) else None
        if rate is None and forecast is not None:
            rate = forecast.rate
        return listed.funding(mark, lots, rate) if mark and rate is not None else None

    def _remember(self, event: FundingBooked, expected: Money | None) -> None:
        self.settlements.append(
            Settlement(
                at=event.at,
                instrument=event.instrument,
                booked=event.amount,
                expected=expected,
                asset=event.asset,
            )
        )
        del self.settlements[:-SETTLEMENTS_KEPT]
        number = (event.venue_ms * MILLI or event.at) // DAY
        key = (number, event.instrument)
        day = self._funding_days.get(key)
        if day is None:
            day = FundingDay(day=number, instrument=event.instrument, asset=event.asset)
            self._funding_days[key] = day
            _forget_oldest(self._funding_days, DAYS_KEPT)
        day.settlements += 1
        day.booked += event.amount
        day.expected += expected if expected is not None else ZERO
        if expected is None:
            day.unexpected += 1
            day.unestimated += event.amount

    def funding_days(self) -> Sequence[FundingDay]:
        """The daily sum check: what was booked of each instrument beside what was expected."""
        return list(self._funding_days.values())

    # Statements ----------------------------------------------------------------------------

    def line(self, event: StatementLine) -> None:
        """Post a statement line of a kind that nothing else tells, once."""
        if not self._first(("line", event.venue, event.wallet, event.asset, event.record_id)):
            return
        account: Account = ("venue", event.venue, event.wallet)
        try:
            check_bookable(event.amount, "amount")
            self._explain((event.venue, event.wallet, event.asset), event)
            if event.kind == "transfer":
                self._ledger.transfer(account, event.asset, event.amount)
                self._ledger.value_openings(self._market.noted_rate)
            else:
                cause = CAUSE_OF_LINE[event.kind]
                self._ledger.gain(cause, account, event.asset, self._shares(event))
        except (CannotBook, ArithmeticError) as error:
            self._cannot_book(f"{event.venue}/{event.wallet} line {event.record_id}", error)

    def _explain(self, purse: WalletKey, record: FundingBooked | StatementLine) -> None:
        """What a person accepted may have this record already; in a recall that is recorded."""
        if not self.muted:
            self.explain(purse, record.amount, record.venue_ms, record.record_id)

    def _shares(self, event: StatementLine) -> Sequence[tuple[str, Money]]:
        """Whose a line is: of who holds its instrument, or owes the coin that bears interest."""
        if event.instrument:
            return self._holdings.share(event.instrument, event.amount)
        owed = self._owing(event.venue, event.asset) if event.kind == "interest" else []
        total = sum((coins for _, coins in owed), ZERO)
        shares: list[tuple[str, Money]] = []
        rest = event.amount
        for group, coins in owed[:-1]:
            part = ROUNDED.divide(ROUNDED.multiply(event.amount, coins), total).quantize(QUANTUM)
            shares.append((group, part))
            rest = EXACT.subtract(rest, part)
        return [*shares, (owed[-1][0] if owed else STRAY, rest)]

    def _owing(self, venue: str, asset: Asset) -> list[tuple[str, Money]]:
        """Holdings that sold a coin which they did not have, and how much of it."""
        found: list[tuple[str, Money]] = []
        for holding in self._holdings.of(""):
            for leg in holding.legs:
                listed = self._market.known_instrument(leg.instrument)
                is_loan = listed.payoff is Payoff.SPOT and leg.lots < 0
                if is_loan and (listed.venue, listed.base) == (venue, asset):
                    found.append((holding.id, abs(leg.lots) * listed.lot))
        return found

    def correct(self, correction: Correction) -> None:
        """Follow the venue's statement in what it rounded; nobody's profit in particular."""
        c = correction
        self._ledger.gain(CORRECTION, ("venue", c.venue, c.wallet), c.asset, [(STRAY, c.amount)])
        tally = self.tallies.setdefault((c.venue, c.wallet, c.asset), Tally())
        tally.booked = EXACT.add(tally.booked, c.amount)
        tally.corrected = EXACT.add(tally.corrected, c.amount)
        if not self.muted:
            self.corrected.append(c)

    # Records -------------------------------------------------------------------------------

    def _first(self, record: tuple[str, ...]) -> bool:
        """Each record counts once, by venue, wallet, asset and its id there."""
        if record in self._records:
            return False
        self._records[record] = None
        _forget_oldest(self._records, RECORDS_KEPT)
        return True

    def _cannot_book(self, subject: str, error: Exception) -> None:
        self.found.append(
            Discrepancy(
                at=self._market.now,
                kind="booking",
                subject=subject,
                expected="an amount that can be booked",
                found=str(error) or type(error).__name__,
            )
        )


def _is_past(event: FundingBooked, forecast: Forecast | None) -> bool:
    """Whether a forecast is not (any more) of this settlement."""
    told_ms = event.venue_ms or event.at // MILLI
    return forecast is None or forecast.due // MILLI > told_ms


def _forget_oldest(kept: OrderedDict[Any, Any], at_most: int) -> None:
    if len(kept) > at_most:
        kept.popitem(last=False)

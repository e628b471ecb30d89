"""The record of a turn: facts and decisions in their exact order, and the clutch they open.

What is recorded is what a restart must know. Market data is not in it: rates that changed the
books are noted beside the fact that needed them.
"""

from collections.abc import Mapping

from oneprice.core.acceptance import OpeningAccepted
from oneprice.core.bookkeeper import Correction
from oneprice.core.market import Market
from oneprice.core.report import Report
from oneprice.core.sight import Sight
from oneprice.core.statement import StatementEntered
from oneprice.core.strategy import (
    Alarmed,
    AnyDecision,
    ClutchOpened,
    Decision,
    Discrepancy,
)
from oneprice.model import events as ev
from oneprice.model.events import AnyEvent, Event
from oneprice.model.instrument import Instrument
from oneprice.model.units import Asset, InstrumentId, Money

# What concerns our orders, our money, our accounts, or what a person wants of us: with the
# decisions and the commands it is enough to know everything that we hold. Books, marks, funding
# forecasts, timers and links are weather: a restart meets new weather.
FACTS: tuple[type[Event], ...] = (
    ev.OrderAccepted,
    ev.OrderRefused,
    ev.OrderFilled,
    ev.OrderEnded,
    ev.OrderUncertain,
    ev.OrderMissing,
    ev.OrderAmended,
    ev.CancelRefused,
    ev.AmendRefused,
    ev.OpenOrderReported,
    ev.BalanceReported,
    ev.PositionReported,
    ev.FundingBooked,
    ev.FeesReported,
    ev.PositionModeReported,
    ev.LeverageReported,
    ev.KeyReported,
    ev.AccountChecked,
    ev.StatementLine,
    ev.StatementTold,
    ev.FillsTold,
    ev.StopRequested,
    ev.KillRequested,
    ev.ClutchReleased,
    ev.GivenBack,
)


class RatesRead(Event, frozen=True, kw_only=True, tag=True):
    """What assets were worth to the books by the item that follows; `openings`: opening balances
    were valued at them."""

    rates: Mapping[Asset, Money]
    openings: bool = False


class DayBegan(Event, frozen=True, kw_only=True, tag=True):
    """The first event of a day (since 1970, UTC), and the rates at which the one before ended:
    profit and loss of the day are counted from here."""

    day: int
    rates: Mapping[Asset, Money]


class WalletKnown(Event, frozen=True, kw_only=True, tag=True):
    """Which wallet a market's money is in, from now on and for the whole session."""

    venue: str
    market: str
    wallet: str


AnyNote = (
    AnyEvent
    | RatesRead
    | DayBegan
    | WalletKnown
    | OpeningAccepted
    | StatementEntered
    | Correction
    | AnyDecision
)


class Record:
    """Collects; `drain` hands over. Without `facts` only decisions are kept, as where nothing
    is traded; while `muted` nothing is, as in a recall of what was recorded before."""

    def __init__(self, market: Market, sight: Sight, report: Report, *, facts: bool) -> None:
        self._market = market
        self._sight = sight
        self._report = report
        self._facts = facts
        self._items: list[Event | Decision] = []
        self._described: dict[InstrumentId, Instrument] = {}
        self.muted = False

    # Writing -----------------------------------------------------------------------------

    def begin(self) -> int:
        """A place before what is noted next."""
        return len(self._items)

    def fact(self, event: Event) -> None:
        """Note a fact, and before it the instrument it speaks of where that is news."""
        if not self._facts or self.muted:
            return
        instrument = getattr(event, "instrument", "")
        if instrument:
            self.describe(instrument)
        self._items.append(event)

    def describe(self, instrument: InstrumentId) -> None:
        """Note an instrument that something of ours is about, as its venue described it."""
        listed = self._market.instrument(instrument)
        if not self._facts or listed is None or self._described.get(instrument) == listed:
            return
        self._described[instrument] = listed
        self._items.append(ev.InstrumentListed(at=self._market.now, instrument=listed))

    def rates(self, place: int, *, openings: bool) -> None:
        """Note the rates that were read for the books since `place`, there."""
        read, self._market.read = self._market.read, {}
        if self._facts and not self.muted:
            note = RatesRead(at=self._market.now, rates=read, openings=openings)
            self._items.insert(place, note)

    def note(self, event: Event) -> None:
        """Note what a recall needs besides facts."""
        if self._facts and not self.muted:
            self._items.append(event)

    def decide(self, decision: Decision) -> None:
        if not self.muted:
            self._items.append(decision)

    def differs(self, discrepancy: Discrepancy) -> None:
        """A venue and our books disagree: named, counted, and the clutch opens."""
        if self.muted:
            return
        self._items.append(discrepancy)
        self._report.differs(discrepancy)
        d = discrepancy
        self.open_clutch(f"{d.kind} {d.subject}: expected {d.expected}, found {d.found}")

    def alarm(self, alarm: Alarmed, *, halts: bool) -> None:
        """A person should hear of it; where it halts, nothing new begins until one has acted."""
        self.decide(alarm)
        if halts:
            self.open_clutch(f"{alarm.kind} of {alarm.subject}: {alarm.text}")

    def open_clutch(self, reason: str, *, flattening: bool = False) -> None:
        if self._sight.clutch or self.muted:
            return
        self._sight.clutch = reason
        self._items.append(ClutchOpened(at=self._market.now, reason=reason, flattening=flattening))

    # Reading -----------------------------------------------------------------------------

    def drain(self) -> list[Event | Decision]:
        """What was noted since the last call."""
        items, self._items = self._items, []
        return items

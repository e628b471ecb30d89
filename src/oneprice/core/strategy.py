"""The contract between the engine and a strategy: Strategy, View, Intent, break-even card.

A strategy is a pure object. It declares which edges are worth waking up for (`wires`), and when
the engine asks, at the end of a turn in which something it cares about changed, it answers with
intents or with the reason why not. It reads the world through `View` alone and decides nothing
by itself: the gate permits, the leg group executes.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from oneprice.kernel import Book, Sweep
from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import Instrument
from oneprice.model.units import (
    BPS,
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    Side,
    Ticks,
)

CARD_QUANTUM = Decimal("1E-8")  # lines of a card are rounded once, to this

# The reason of a `survey` look whose card earns enough; what became of it is the gate's verdict.
WOULD_TRADE = "would trade"

# What a strategy proposes ---------------------------------------------------------------


class BreakEvenCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a trade is expected to earn, line by line, in `asset`; costs are below zero.

    The lines add up to `net`, exactly. `estimates` names the lines that are forecasts rather
    than arithmetic on what the venues show now.
    """

    asset: Asset
    notional: Money  # what the bought leg costs at its touch; basis points are measured on it
    gross: Money  # edge at the touch, before any cost
    fees: Money = ZERO  # by the real tier; entry, and exit where the trade must be closed
    slippage: Money = ZERO  # average price by depth against the touch
    closing: Money = ZERO  # crossing both spreads again at the exit
    funding: Money = ZERO  # settlements over the intended hold
    borrow: Money = ZERO
    haircut: Money = ZERO  # what a missed leg is expected to cost
    net: Money
    estimates: tuple[str, ...] = ()

    @property
    def net_bps(self) -> Decimal:
        return ROUNDED.divide(self.net, self.notional) / BPS if self.notional else ZERO

    @property
    def adds_up(self) -> bool:
        costs = self.fees + self.slippage + self.closing + self.borrow + self.haircut
        return self.net == self.gross + costs + self.funding


def make_card(
    asset: Asset, notional: Money, estimates: Iterable[str] = (), **lines: Money
) -> BreakEvenCard:
    """A card of the given lines, each rounded once to 1e-8, with the net that they add up to."""
    net = ZERO
    for name, amount in lines.items():
        lines[name] = rounded = amount.quantize(CARD_QUANTUM)
        net += rounded
    return BreakEvenCard(
        asset=asset,
        notional=notional.quantize(CARD_QUANTUM),
        net=net,
        estimates=tuple(estimates),
        **lines,
    )


CARD_LINES = ("gross", "fees", "slippage", "closing", "funding", "borrow", "haircut")


def scaled(card: BreakEvenCard, share: Decimal) -> BreakEvenCard:
    """The card of a part of the trade: what is expected of half the size is half as much."""
    if share == 1:
        return card
    lines = {name: ROUNDED.multiply(getattr(card, name), share) for name in CARD_LINES}
    notional = ROUNDED.multiply(card.notional, share)
    return make_card(card.asset, notional, card.estimates, **lines)


class IntentLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One order to be: never worse than `ticks`; `touch` is what was shown when we decided.

    At most one leg of an intent may rest (GTC, POST_ONLY): it is placed first, and the others
    follow what is filled of it.
    """

    instrument: InstrumentId
    side: Side
    ticks: Ticks
    lots: Lots
    touch: Ticks
    reduce_only: bool = False
    time_in_force: TimeInForce = TimeInForce.IOC

    @property
    def rests(self) -> bool:
        return self.time_in_force in (TimeInForce.GTC, TimeInForce.POST_ONLY)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to do several things at once, and why. Not yet permission."""

    strategy: str
    pair: str  # which of the strategy's combinations, e.g. "BTC buy a:spot:X sell b:linear:Y"
    legs: tuple[IntentLeg, ...]
    card: BreakEvenCard
    patience: Nanos  # how long the legs may work before they are pulled
    closes: str = ""  # the holding that this ends; "" for new risk
    reason: str = ""  # one word: entry, converged, adverse, time, stop


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A look that led to no intent: the card as far as it got, and why not."""

    strategy: str
    pair: str
    reason: str
    card: BreakEvenCard | None = None


class WireSpec(msgspec.Struct, frozen=True):
    """Wake me when buying one and selling the other earns so much at the touch.

    Below zero is allowed: an exit may cost something.
    """

    buy: InstrumentId
    sell: InstrumentId
    edge_bps: Decimal


# What a strategy sees -------------------------------------------------------------------


class Fees(msgspec.Struct, frozen=True):
    """Our tier as the venue reported it: fractions of notional, below zero is a rebate."""

    maker: Decimal
    taker: Decimal


class Forecast(msgspec.Struct, frozen=True):
    """The funding rate to be settled at `due` if nothing changes: an estimate."""

    rate: Decimal
    due: Nanos
    interval_ms: int  # 0: neither the instrument nor the frame said


class HoldingLeg(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished group left in one instrument; lots are signed, `entry` is the average."""

    instrument: InstrumentId
    lots: Lots
    entry: Decimal


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A hedged position that a strategy opened and must close."""

    id: str
    strategy: str
    pair: str
    legs: tuple[HoldingLeg, ...]
    opened: Nanos
    card: BreakEvenCard
    fees_paid: Money = ZERO  # at entry, in the reporting asset
    funding: Money = ZERO  # booked so far, in the reporting asset


class Cost(msgspec.Struct, frozen=True):
    """What taking some lots from a book comes to; prices in ticks."""

    lots: Lots
    ticks_lots: int  # sum of ticks times lots over the levels taken
    touch: Ticks
    worst: Ticks


class News(msgspec.Struct, frozen=True):
    """What changed since the strategy was last asked."""

    wires: tuple[WireSpec, ...] = ()
    moved: tuple[InstrumentId, ...] = ()  # funding forecast moved, or the book became ready
    watch: bool = False  # the regular look at open holdings is due


class View(Protocol):
    """What a strategy may see. Reading it twice gives the same answer."""

    @property
    def now(self) -> Nanos: ...
    @property
    def reporting(self) -> Asset:
        """The asset in which equity and limits are counted."""
        ...

    def instruments(self) -> Sequence[Instrument]:
        """All instruments that have a book, in the order in which they appeared."""
        ...

    def instrument(self, instrument: InstrumentId, /) -> Instrument | None: ...
    def book(self, instrument: InstrumentId) -> Book | None:
        """The book, if it is proven and fresh; there is no way to read another."""
        ...

    def cost(self, instrument: InstrumentId, side: Side, lots: Lots) -> Cost | None:
        """Taking `lots` at once; None where the book is not readable or not deep enough."""
        ...

    def sweep(
        self, buy: InstrumentId, sell: InstrumentId, step: Decimal, cost: Decimal
    ) -> Sweep | None:
        """How many steps of `step` coins can be bought and sold while each one earns `cost`.

        `cost` is a fraction of the buy price; the step is a whole number of lots on both.
        """
        ...

    def mark(self, instrument: InstrumentId, /) -> Decimal | None: ...
    def index(self, instrument: InstrumentId, /) -> Decimal | None: ...
    def funding(self, instrument: InstrumentId, /) -> Forecast | None: ...
    def fees(self, instrument: InstrumentId) -> Fees | None:
        """The reported tier; where none is known the instrument cannot be traded."""
        ...

    def holdings(self, strategy: str) -> Sequence[Holding]: ...
    def busy(self, strategy: str, instruments: Iterable[InstrumentId]) -> bool:
        """True while a group of this strategy works in any of these instruments."""
        ...

    def closing(
        self, holding: Holding, reason: str, slack_bps: Decimal, patience: Nanos
    ) -> Intent | None:
        """The intent that ends a holding now, its card by the true exit sweep.

        Its `net` is the profit of the whole trade if it ends here; `slack_bps` is how much worse
        than the last level needed the limits may be. None where a book cannot be read.
        """
        ...

    def resting(self, strategy: str, instruments: Iterable[InstrumentId]) -> bool:
        """True for a while after something went wrong in a pair."""
        ...

    def position(self, instrument: InstrumentId) -> Lots: ...
    def available(self, instrument: InstrumentId, asset: Asset) -> Money | None:
        """Free balance in the wallet behind an instrument, less what is on its way; or unknown."""
        ...

    def rate(self, asset: Asset) -> Decimal | None:
        """Worth of one unit of an asset in the reporting asset, None while unknown."""
        ...

    def dust(self, base: Asset) -> Decimal:
        """Coins left over from finished groups, signed; the next size may use them up."""
        ...


class Strategy(Protocol):
    """A pure object that proposes. `propose` is called only when `News` is not empty."""

    @property
    def name(self) -> str: ...
    def wires(self, view: View) -> Sequence[WireSpec]:
        """Asked anew whenever a book, a fee or a holding appeared or went."""
        ...

    def propose(self, news: News, view: View) -> Iterable[Intent | Passed]: ...
    def survey(self, view: View) -> Iterable[Passed]:
        """Every combination with its card as of now, for people; decides nothing."""
        ...


# What was decided -----------------------------------------------------------------------


class Decision(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The common root of everything that the engine decided; journaled and compared."""

    at: Nanos


class IntentJudged(Decision, frozen=True, kw_only=True, tag=True):
    """An intent and its verdict: the group it became, or the rule that refused it."""

    intent: Intent
    group: str = ""
    refused_by: str = ""


class GroupMoved(Decision, frozen=True, kw_only=True, tag=True):
    """A leg group went from one state to another."""

    group: str
    before: str
    signal: str
    after: str
    action: str


class ClutchOpened(Decision, frozen=True, kw_only=True, tag=True):
    """New risk stops here; a person closes the clutch again."""

    reason: str
    flattening: bool = False  # it stays open: a person wanted everything closed, and it is not


class Discrepancy(Decision, frozen=True, kw_only=True, tag=True):
    """What a venue says and what we hold to be true differ."""

    kind: str  # balance position open_order fill order key position_mode leverage
    # statement booking size
    subject: str
    expected: str
    found: str


class Alarmed(Decision, frozen=True, kw_only=True, tag=True):
    """Something that a person should hear of now; nothing follows from it by itself."""

    kind: str  # unhedged exit dust recovery kill ...
    subject: str
    text: str


class Recovered(Decision, frozen=True, kw_only=True, tag=True):
    """After a restart: everything that was open has been asked for and ended, and the venues
    have been compared with our books. With a difference the clutch is open."""

    orders: int  # asked for, since nobody knew what became of them
    groups: tuple[str, ...]  # were in flight: completed where balanced, else given back
    holdings: tuple[str, ...]  # still ours
    differences: tuple[str, ...]
    ms: int  # from the first question to here, milliseconds


AnyDecision = IntentJudged | GroupMoved | ClutchOpened | Discrepancy | Alarmed | Recovered


class Opportunity(msgspec.Struct, frozen=True, kw_only=True):
    """The latest look at one combination, with the verdict: traded, or why not."""

    strategy: str
    pair: str
    at: Nanos
    verdict: str
    card: BreakEvenCard | None = None


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """One leg group for people: what it wants and how far it has come."""

    id: str
    strategy: str
    pair: str
    state: str
    closes: str
    began: Nanos
    deltas: Mapping[Asset, Decimal]

"""What happened: frozen facts, in the past tense, each stamped with the moment we learned it.

Order books are not in here: they live in the kernel, and events say only that something about
them is worth a look. `at` is the local receive time; `venue_ms` the venue's own stamp, 0 if none.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from oneprice.model.instrument import Instrument
from oneprice.model.units import (
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    OrderId,
    Side,
    Ticks,
)

# What a line of a venue's statement can be.
StatementKind = Literal[
    "trade",  # an exchange of coins, or the realised profit of a derivative trade
    "fee",  # of a trade, where the venue books it on a line of its own; rebates too
    "funding",
    "interest",  # on what we owe; or paid to us
    "delivery",  # settlement of an expired contract
    "liquidation",  # what a forced closing cost beyond its trades: insurance, penalty
    "transfer",  # between wallets, deposits and withdrawals: never profit
    "correction",  # of an earlier line by the venue; bonuses and the like
    "other",  # a word of the venue that we do not know
]


# The reason where a command was one that our own dialect could not say.
NOT_SAID = "not_said"


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The least that every event knows."""

    at: Nanos


# Market data ----------------------------------------------------------------------------


class BookReady(Event, frozen=True, kw_only=True, tag=True):
    """The book of this instrument is proven complete from now on."""

    instrument: InstrumentId


class FeedLost(Event, frozen=True, kw_only=True, tag=True):
    """The book is unknown from this moment: gap, crossed, malformed, silent or disconnected."""

    instrument: InstrumentId
    reason: str  # one word of: gap crossed malformed off_grid silent disconnected refused
    detail: str = ""


class WireTripped(Event, frozen=True, kw_only=True, tag=True):
    """A tripwire saw its edge at the touch; numbers are the kernel's."""

    wire: int


class MarketTraded(Event, frozen=True, kw_only=True, tag=True):
    """A trade between others; `side` is the taker's."""

    instrument: InstrumentId
    ticks: Ticks
    lots: Lots
    side: Side
    trade_id: str
    venue_ms: int = 0


class Marked(Event, frozen=True, kw_only=True, tag=True):
    """Mark and index price as the venue states them; None where the frame had none."""

    instrument: InstrumentId
    mark: Decimal | None = None
    index: Decimal | None = None
    venue_ms: int = 0


class FundingForecast(Event, frozen=True, kw_only=True, tag=True):
    """The rate that will be settled at `due` if nothing changes; an estimate until then.

    `next_rate` is the venue's own prediction for the settlement after that one, where it has one.
    """

    instrument: InstrumentId
    rate: Decimal
    due: Nanos
    interval_ms: int = 0  # 0: the frame did not say
    next_rate: Decimal | None = None


class FundingSettled(Event, frozen=True, kw_only=True, tag=True):
    """History: the rate that was settled at an instant, for everybody."""

    instrument: InstrumentId
    rate: Decimal
    settled_ms: int
    interval_ms: int = 0  # 0: the venue did not say
    mark: Decimal | None = None


class TouchQuoted(Event, frozen=True, kw_only=True, tag=True):
    """Best prices from a ticker or a best-bid-offer stream: an oracle, never a book."""

    instrument: InstrumentId
    bid_ticks: Ticks
    bid_lots: Lots
    ask_ticks: Ticks
    ask_lots: Lots
    sequence: int = 0
    venue_ms: int = 0
    sized: bool = True  # False: the frame carried prices without sizes


class CandleClosed(Event, frozen=True, kw_only=True, tag=True):
    """One finished bar of trades, or of mark or index prices (volume 0)."""

    instrument: InstrumentId
    kind: str  # trade mark index
    interval_ms: int
    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO


class InstrumentListed(Event, frozen=True, kw_only=True, tag=True):
    """The venue described an instrument, for the first time or anew."""

    instrument: Instrument


class FrameRejected(Event, frozen=True, kw_only=True, tag=True):
    """A frame that could not be understood: counted and kept, never guessed at."""

    venue: str
    socket: str
    reason: str
    excerpt: str = ""


# Orders ---------------------------------------------------------------------------------


class OrderAccepted(Event, frozen=True, kw_only=True, tag=True):
    """The venue took the order for processing, or reports it resting."""

    order_id: OrderId
    venue_order_id: str = ""
    live: bool = False  # True: known to rest in the book, not only acknowledged


class OrderRefused(Event, frozen=True, kw_only=True, tag=True):
    """The order certainly never lived. `reason` is our word, `text` the venue's."""

    order_id: OrderId
    reason: str
    text: str = ""


class OrderFilled(Event, frozen=True, kw_only=True, tag=True):
    """One execution. Counts once by venue and fill id. `fee` above zero is a cost."""

    order_id: OrderId
    instrument: InstrumentId
    fill_id: str
    side: Side
    ticks: Ticks
    lots: Lots
    fee: Money
    fee_asset: Asset
    maker: bool = False
    venue_ms: int = 0
    cause: str = "trade"  # or liquidation, adl, delivery: forced by the venue, order_id "" then
    # False: the message told no fee and `fee` is worked out from our tier; the same fill told
    # again with its fee corrects it.
    fee_known: bool = True


class OrderEnded(Event, frozen=True, kw_only=True, tag=True):
    """The order can never fill again; fills reported so far sum to `filled_lots`."""

    order_id: OrderId
    filled_lots: Lots
    reason: str  # filled cancelled expired rejected post_only self_trade ...


class OrderUncertain(Event, frozen=True, kw_only=True, tag=True):
    """Nobody knows: timeout, lost socket, server error. The venue must be asked."""

    order_id: OrderId
    reason: str


class OrderMissing(Event, frozen=True, kw_only=True, tag=True):
    """The venue answered a query by client id with 'no such order'; may still be lag."""

    order_id: OrderId


class CancelRefused(Event, frozen=True, kw_only=True, tag=True):
    """The cancel came too late or named no order; the order's own state decides."""

    order_id: OrderId
    reason: str
    text: str = ""


class OrderAmended(Event, frozen=True, kw_only=True, tag=True):
    """The order rests at this price with this total size from now on."""

    order_id: OrderId
    ticks: Ticks
    lots: Lots


class AmendRefused(Event, frozen=True, kw_only=True, tag=True):
    """The order stays as it was, or is gone; its own state decides."""

    order_id: OrderId
    reason: str
    text: str = ""


# Account --------------------------------------------------------------------------------


class BalanceReported(Event, frozen=True, kw_only=True, tag=True):
    """The venue's statement of one asset in one wallet: an assertion, not an instruction."""

    venue: str
    wallet: str  # unified, spot, usdm ...
    asset: Asset
    total: Money  # wallet balance without unrealised profit, minus debt
    available: Money | None = None


class PositionReported(Event, frozen=True, kw_only=True, tag=True):
    """The venue's statement of one position; `lots` is signed, 0 is flat."""

    instrument: InstrumentId
    lots: Lots
    entry: Decimal = ZERO  # average entry price, 0 when flat or not stated
    # The price at which the venue would close it; 0: the venue says that there is none; None: it
    # did not say, and what it said last stands while the position is on the same side.
    liquidation: Decimal | None = None
    # Place in the queue of automatic deleveraging, 0 (last) to 4 (first); None: not said.
    adl_rank: int | None = None


class FundingBooked(Event, frozen=True, kw_only=True, tag=True):
    """A settlement from the venue's own record. `amount` above zero was received."""

    instrument: InstrumentId
    record_id: str
    amount: Money
    asset: Asset
    rate: Decimal = ZERO
    venue_ms: int = 0


class FeesReported(Event, frozen=True, kw_only=True, tag=True):
    """Our fee tier: fractions of notional; below zero is a rebate."""

    venue: str
    market: str
    symbol: str  # "" means every instrument of the market
    maker: Decimal
    taker: Decimal


class OpenOrderReported(Event, frozen=True, kw_only=True, tag=True):
    """An order the venue holds open, told at start or on request."""

    order_id: OrderId  # "" where the order carries no client id
    venue_order_id: str
    instrument: InstrumentId
    side: Side
    ticks: Ticks
    lots: Lots
    filled_lots: Lots


class PositionModeReported(Event, frozen=True, kw_only=True, tag=True):
    """Whether long and short positions of one instrument are one or two ("hedge")."""

    venue: str
    market: str
    mode: Literal["one_way", "hedge"]
    symbol: str = ""  # "" means every instrument of the market


class LeverageReported(Event, frozen=True, kw_only=True, tag=True):
    """The leverage set for an instrument, and how its margin is held."""

    instrument: InstrumentId
    leverage: Decimal
    margin: Literal["cross", "isolated", ""] = ""  # "": the venue did not say


class KeyReported(Event, frozen=True, kw_only=True, tag=True):
    """What the API key in use may do. What a venue does not tell counts as permitted."""

    venue: str
    may_trade: bool
    may_withdraw: bool
    addresses: tuple[str, ...] = ()  # the key is bound to these; none: any
    expires_ms: int = 0  # 0: never, or not told


class AccountChecked(Event, frozen=True, kw_only=True, tag=True):
    """Everything the venue was asked at start has been answered for one market."""

    venue: str
    market: str


class StatementLine(Event, frozen=True, kw_only=True, tag=True):
    """One line of the venue's own transaction log: what changed a wallet, and why.

    `amount` is the whole signed change of the wallet by this line, its fee included. Lines of
    kind trade, fee and funding repeat what OrderFilled and FundingBooked told; the others are
    told by nobody else.
    """

    venue: str
    wallet: str
    asset: Asset
    amount: Money
    kind: StatementKind
    record_id: str  # unique in this wallet and asset
    instrument: InstrumentId = ""
    fee: Money = ZERO  # the part of `amount` that is a fee; above zero is a cost
    balance: Money | None = None  # of the wallet after this line, where the venue says it
    venue_ms: int = 0
    text: str = ""  # the venue's own word for the kind
    live: bool = False  # told unasked as it happened, not as part of a statement asked for


class StatementTold(Event, frozen=True, kw_only=True, tag=True):
    """Every line of one market's wallet from `since_ms` to `until_ms` has been told by now."""

    venue: str
    market: str
    since_ms: int
    until_ms: int


class FillsTold(Event, frozen=True, kw_only=True, tag=True):
    """Every fill of one market from `since_ms` to `until_ms` has been told by now."""

    venue: str
    market: str
    since_ms: int
    until_ms: int


# Life of the system ---------------------------------------------------------------------


class LinkChanged(Event, frozen=True, kw_only=True, tag=True):
    """A socket of a venue came up (logged in where that is needed) or went down."""

    venue: str
    socket: str
    up: bool
    reason: str = ""


class TimerFired(Event, frozen=True, kw_only=True, tag=True):
    timer: str


class TurnEnded(Event, frozen=True, kw_only=True, tag=True):
    """Everything readable has been applied: strategies are asked now, once."""


class StopRequested(Event, frozen=True, kw_only=True, tag=True):
    """A person or a limit wants no new risk; legs in flight are finished or unwound."""

    reason: str
    failed: bool = False  # something of ours broke: the clutch opens with the reason


class KillRequested(Event, frozen=True, kw_only=True, tag=True):
    """A person wants everything to end now: clutch open, every order cancelled; with `flatten`
    every holding closed as well, whatever it costs within the collars."""

    reason: str
    flatten: bool = False


class ClutchReleased(Event, frozen=True, kw_only=True, tag=True):
    """A person's act: the venues' statements are accepted, new risk is allowed again. While a
    flatten is under way it goes on, and the clutch stays open, unless what is left is kept."""

    by: str  # who signed
    keeps: bool = False  # what a flatten has not closed yet stays held: it ends here


class GivenBack(Event, frozen=True, kw_only=True, tag=True):
    """Somebody else than this process has closed a part of a spot leg of ours: so many lots in
    all by now, signed as they were held. `root`: the holding, or the group in flight."""

    root: str
    instrument: InstrumentId
    lots: int


AnyEvent = (
    BookReady
    | FeedLost
    | WireTripped
    | MarketTraded
    | Marked
    | FundingForecast
    | FundingSettled
    | TouchQuoted
    | CandleClosed
    | InstrumentListed
    | FrameRejected
    | OrderAccepted
    | OrderRefused
    | OrderFilled
    | OrderEnded
    | OrderUncertain
    | OrderMissing
    | CancelRefused
    | OrderAmended
    | AmendRefused
    | BalanceReported
    | PositionReported
    | FundingBooked
    | FeesReported
    | OpenOrderReported
    | PositionModeReported
    | LeverageReported
    | KeyReported
    | AccountChecked
    | StatementLine
    | StatementTold
    | FillsTold
    | LinkChanged
    | TimerFired
    | TurnEnded
    | StopRequested
    | KillRequested
    | ClutchReleased
    | GivenBack
)

"""What the wire sides of a twin and its inner exchange say to each other.

All times are integer nanoseconds UTC given as `at`, prices and sizes on the grid are ints (ticks,
lots), money is Decimal. Ids of orders, fills, trades and log rows are plain growing integers of
one exchange; a wire side spells them as its venue does. `Exchange` is what a wire side may ask
and do, `Surface` what it offers to the server.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import msgspec

from oneprice.model.units import Asset, InstrumentId, Money, Side
from oneprice.twin.records import (
    OPEN_STATES,
    AccountSpec,
    Balance,
    BookView,
    Candle,
    Extras,
    Fill,
    FundingRow,
    Kind,
    Levels,
    Listing,
    LogRow,
    Order,
    OrderRequest,
    Pool,
    Position,
    Refusal,
    RiskTier,
    SelfTrade,
    Setup,
    State,
    Ticker,
    WalletSpec,
)

if TYPE_CHECKING:
    from aiohttp import web

__all__ = [
    "OPEN_STATES",
    "AccountSpec",
    "Balance",
    "BalanceChanged",
    "BookChanged",
    "BookUpdate",
    "BookView",
    "Candle",
    "CandleChanged",
    "Clock",
    "Exchange",
    "Extras",
    "Fill",
    "Filled",
    "FundingFixed",
    "FundingRow",
    "FundingSettled",
    "Kind",
    "Levels",
    "Liquidated",
    "Listing",
    "ListingChanged",
    "LogRow",
    "MarketUpdate",
    "Order",
    "OrderChanged",
    "OrderRequest",
    "Output",
    "Pool",
    "Position",
    "PositionChanged",
    "PriceUpdate",
    "RawUpdate",
    "Refusal",
    "RiskTier",
    "SelfTrade",
    "Setup",
    "State",
    "Surface",
    "TakeUpdate",
    "Ticker",
    "TickerChanged",
    "TradeUpdate",
    "Traded",
    "WalletSpec",
]

Clock = Callable[[], int]  # nanoseconds UTC as this venue believes them to be


# Outputs: what happened, in order ---------------------------------------------------------


class BookChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Levels with their new visible size, 0 is gone. `full`: the whole book, replace yours.

    `sequence` rises by one per change of an instrument's book in a seeded market; in a taped
    market both numbers are the venue's own. When the exchange is taped, only outputs with a
    non-empty `raw` are published, and then that frame, verbatim.
    """

    instrument: InstrumentId
    sequence_before: int
    sequence: int
    bids: Levels
    asks: Levels
    at: int
    full: bool = False
    raw: bytes = b""


class Traded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A public trade; `side` is the taker's."""

    instrument: InstrumentId
    trade_id: int
    ticks: int
    lots: int
    side: Side
    at: int
    sequence: int = 0
    raw: bytes = b""


class TickerChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """At most every 100 ms per instrument, when mark, index, funding, last or 24 h changed."""

    ticker: Ticker
    raw: bytes = b""


class CandleChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The running one-minute trade bar (at most every 250 ms) and every closed one."""

    instrument: InstrumentId
    candle: Candle
    at: int


class OrderChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everything but fills: `cause` is new, amended, cancelled, expired or rejected."""

    order: Order
    cause: str
    at: int


class Filled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One execution and the order as it stands right after it."""

    fill: Fill
    order: Order


class PositionChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    position: Position
    cause: str  # fill funding leverage margin liquidation adl delivery
    at: int


class BalanceChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The total or locked amount of a coin changed; several changes of one call are one."""

    balance: Balance
    cause: str  # fill order funding deposit transfer liquidation adl delivery insurance
    at: int


class FundingSettled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One position paid or received; comes with a LogRow and BalanceChanged."""

    id: int  # from the same sequence as fill ids
    account: str
    instrument: InstrumentId
    position_index: int
    lots: int  # signed size of the position
    rate: Decimal
    mark: Decimal
    value: Money  # position value, positive, in settle
    amount: Money  # above zero was received
    asset: Asset
    at: int  # the due instant


class FundingFixed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A funding instant passed for an instrument: the settled rate, and the next due time."""

    row: FundingRow
    next_due: int


class ListingChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An instrument was paused, resumed, went into settlement or was delisted."""

    listing: Listing
    at: int


class Liquidated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Public news of a liquidation order; one per order, when it is done."""

    instrument: InstrumentId
    order_id: int
    side: Side  # of the liquidation order: sell closes a long position
    ticks: int  # bankruptcy price at which it was sent
    lots: int
    average: Decimal  # what it filled at
    at: int


Output = (
    BookChanged
    | Traded
    | TickerChanged
    | CandleChanged
    | OrderChanged
    | Filled
    | PositionChanged
    | BalanceChanged
    | FundingSettled
    | FundingFixed
    | ListingChanged
    | Liquidated
)


# Updates: what a market (seed or tape) does to an exchange ----------------------------------


class BookUpdate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Anonymous levels with new absolute sizes, 0 removes; `full` replaces the whole book."""

    instrument: InstrumentId
    bids: Levels
    asks: Levels
    sequence: int = 0  # 0: the exchange numbers by itself
    sequence_before: int = 0
    full: bool = False
    raw: bytes = b""


class TradeUpdate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A recorded trade: it meets our resting orders, the ladder itself follows by BookUpdate."""

    instrument: InstrumentId
    ticks: int
    lots: int
    side: Side  # taker
    trade_id: int = 0  # 0: the exchange numbers by itself
    raw: bytes = b""


class TakeUpdate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An anonymous market order of the seeded world: it walks the visible book."""

    instrument: InstrumentId
    lots: int
    side: Side
    limit_ticks: int  # never trades beyond


class PriceUpdate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mark, index, funding estimate; None leaves a value as it is."""

    instrument: InstrumentId
    mark: Decimal | None = None
    index: Decimal | None = None
    funding_rate: Decimal | None = None
    funding_due: int | None = None
    funding_next: Decimal | None = None
    open_interest_lots: int | None = None
    raw: bytes = b""


class RawUpdate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A recorded frame of an instrument that changes nothing but is passed on verbatim."""

    instrument: InstrumentId
    raw: bytes


MarketUpdate = BookUpdate | TradeUpdate | TakeUpdate | PriceUpdate | RawUpdate


# The two parties ---------------------------------------------------------------------------


class Exchange(Protocol):
    """The venue-neutral inner market. Unknown ids and accounts raise Refusal.

    Every action may append outputs; `drain` hands them over in order, once.
    """

    setup: Setup

    def advance(self, at: int) -> None: ...
    def apply(self, update: MarketUpdate, at: int) -> None: ...
    def drain(self) -> list[Output]: ...

    # Market
    def listings(self, market: str = "") -> list[Listing]: ...
    def listing(self, market: str, symbol: str) -> Listing: ...
    def book(self, instrument: InstrumentId, depth: int = 0) -> BookView: ...
    def trades(self, instrument: InstrumentId, limit: int = 500) -> list[Traded]:
        """Oldest first, at most 1000 kept."""

    def ticker(self, instrument: InstrumentId) -> Ticker: ...
    def candles(
        self,
        instrument: InstrumentId,
        kind: str,
        interval_ms: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 200,
    ) -> list[Candle]:
        """Oldest first, latest `limit` of the range (start included); kind trade, mark, index.

        The last one may be unfinished (`closed` False). Interval: whole minutes.
        """

    def funding_rows(
        self,
        instrument: InstrumentId,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 200,
    ) -> list[FundingRow]:
        """Oldest first, latest `limit` of the range, times in ns, both ends included."""

    def price_band(self, instrument: InstrumentId) -> tuple[int, int]:
        """Highest allowed buy and lowest allowed sell price in ticks; 0 where there is none."""

    def liquidations(self, instrument: InstrumentId, limit: int = 100) -> list[Liquidated]:
        """Oldest first, at most 1000 kept."""

    def tiers(self, instrument: InstrumentId) -> tuple[RiskTier, ...]:
        """At least one, by rising value."""

    def insurance(self) -> dict[Asset, Money]:
        """The insurance fund, by coin; below zero where it was overdrawn."""

    # Drills: what an operator or a test makes happen
    def force_liquidation(self, key: str, instrument: InstrumentId, index: int, at: int) -> Order:
        """Closes a position as if its margin were gone; the liquidation order.

        Refusal no_position. Open orders of the instrument are cancelled (reason liquidated).
        """

    def force_adl(
        self, key: str, instrument: InstrumentId, lots: int, at: int, *, index: int = 0
    ) -> Order:
        """Deleverages a position by at most `lots` at mark price; the finished order of it."""

    def delist(
        self, instrument: InstrumentId, at: int, price: Decimal | None = None, *, due: int = 0
    ) -> None:
        """Cancels orders (reason delisted), settles positions (reason delivery) at a price.

        Without a price at index (without index: the last known one). With `due` now announced
        only (Listing.delisting_at) and carried out then.
        """

    def pause(self, at: int, *, instrument: InstrumentId = "", word: str = "not_tradable") -> None:
        """Refuses new orders and amendments with `word` (not_tradable, venue_busy).

        Without an instrument: all of them. Cancelling stays possible. word "" ends the pause.
        """

    # Accounts
    def accounts(self) -> list[AccountSpec]: ...
    def account(self, key: str) -> AccountSpec: ...
    def wallet_of(self, market: str) -> str: ...
    def balances(self, key: str, wallet: str) -> list[Balance]:
        """Every coin that the wallet ever held, sorted by name."""

    def balance(self, key: str, wallet: str, asset: Asset) -> Balance: ...
    def pool(self, key: str, wallet: str) -> Pool: ...
    def positions(self, key: str, market: str) -> list[Position]:
        """Those that were ever touched, flat ones included, sorted by instrument and index."""

    def position(self, key: str, instrument: InstrumentId, index: int = 0) -> Position: ...
    def fees(self, key: str, instrument: InstrumentId) -> tuple[Decimal, Decimal]:
        """Maker and taker rate."""

    def leverage(self, key: str, instrument: InstrumentId) -> Decimal: ...
    def set_leverage(self, key: str, instrument: InstrumentId, leverage: Decimal, at: int) -> None:
        """Refusal leverage, nothing_changed, insufficient_margin."""

    def margin_mode(self, key: str, instrument: InstrumentId) -> str:
        """cross or isolated."""

    def set_margin_mode(self, key: str, instrument: InstrumentId, mode: str, at: int) -> None:
        """Refusal margin_mode (unknown), mode_unchanged, mode_blocked (position or order)."""

    def add_margin(
        self, key: str, instrument: InstrumentId, index: int, amount: Money, at: int
    ) -> None:
        """Moves money to (below zero: from) an isolated position.

        Refusal no_position, margin_mode (position is cross), insufficient_margin.
        """

    def risk_limit(self, key: str, instrument: InstrumentId) -> int:
        """Number of the tier that caps the position, 0: the venue's highest one."""

    def set_risk_limit(self, key: str, instrument: InstrumentId, number: int, at: int) -> None:
        """Refusal risk_limit (unknown tier, or the position is larger), nothing_changed."""

    def hedge_mode(self, key: str, market: str) -> bool: ...
    def set_hedge_mode(self, key: str, market: str, on: bool, at: int) -> None:
        """Refusal mode_unchanged, mode_blocked (position or order exists)."""

    def log(self, key: str, wallet: str) -> list[LogRow]:
        """Oldest first, complete since the start."""

    def transfer(
        self, key: str, asset: Asset, amount: Money, route: tuple[str, str], at: int
    ) -> int:
        """Between two wallets (from, to), "" is the world outside; the id of the transfer."""

    def move_money(
        self, key: str, asset: Asset, amount: Money, kind: str, at: int, *, wallet: str = ""
    ) -> int:
        """A drill of a kind of vault.OUTSIDE_KINDS; the id of its log row. See Treasury.move."""

    # Orders
    def place(self, request: OrderRequest, at: int) -> Order:
        """The order after matching. Raises Refusal when it never lived."""

    def amend(
        self, key: str, order_id: int, *, ticks: int | None, lots: int | None, at: int
    ) -> Order:
        """New total size and price; smaller size at the same price keeps the queue place."""

    def cancel(self, key: str, order_id: int, at: int, *, reason: str = "user") -> Order:
        """Refusal no_such_order, order_closed. `reason` is kept with the order."""

    def cancel_all(
        self,
        key: str,
        at: int,
        *,
        market: str = "",
        instrument: InstrumentId = "",
        reason: str = "user",
    ) -> list[Order]: ...
    def order(self, key: str, order_id: int) -> Order:
        """The latest snapshot, open or closed."""

    def order_by_client_id(self, key: str, client_id: str, instrument: InstrumentId = "") -> Order:
        """The newest order with that id; Refusal no_such_order."""

    def orders(
        self, key: str, *, market: str = "", instrument: InstrumentId = "", only_open: bool = False
    ) -> list[Order]:
        """Oldest first, latest snapshots."""

    def fills(
        self, key: str, *, market: str = "", instrument: InstrumentId = "", order_id: int = 0
    ) -> list[Fill]:
        """Oldest first."""

    def fundings(self, key: str, *, market: str = "") -> list[FundingSettled]:
        """Oldest first."""


class Surface(Protocol):
    """The wire side of a twin, made by its package's `make(exchange, clock, faults)`.

    `faults` is a `oneprice.twin.faults.Faults`. The server carries out the faults of REST order
    requests and cuts connections; a wire side asks `faults.frame(channel, at)` before it sends a
    public frame and `faults.request(operation)` before it answers an order sent by WebSocket.
    """

    venue: str

    def attach(self, app: "web.Application") -> None:
        """Adds routes."""

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Sends what happened to those who subscribed; called after every step and request."""

    def beat(self, at: int) -> None:
        """Called each step: heartbeats, idle reaper, expiries, periodic streams."""

    def decode_tape(self, market: str, frame: bytes, at: int) -> list[MarketUpdate]:
        """A recorded public frame (or REST snapshot) as updates; the first carries `raw`.

        REST snapshots become BookUpdate(full=True, sequence=...) with empty `raw`.
        Unknown frames and instruments give an empty list.
        """

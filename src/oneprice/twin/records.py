"""Plain records of a twin's inner exchange: what it is made of, orders, money, market views.

Wire sides import them from `oneprice.twin.contract`, where units are explained.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import Instrument
from oneprice.model.units import ROUNDED, ZERO, Asset, InstrumentId, Money, Side

Levels = tuple[tuple[int, int], ...]  # (ticks, lots), best price first where it is a full view


class Refusal(Exception):
    """The exchange says no before anything happened; the wire side maps `word` to a code.

    Words: no_such_instrument not_tradable no_such_account no_such_order order_closed
    duplicate_id bad_size too_small too_large min_notional bad_price price_band
    insufficient_funds insufficient_margin would_take not_fillable no_liquidity reduce_only
    position_mode self_trade too_many_orders nothing_changed below_filled leverage bad_request
    mode_unchanged mode_blocked venue_busy margin_mode risk_limit no_position.
    """

    def __init__(self, word: str, text: str = "") -> None:
        super().__init__(f"{word}: {text}" if text else word)
        self.word = word
        self.text = text


# What an exchange is made of -------------------------------------------------------------


class RiskTier(msgspec.Struct, frozen=True, kw_only=True):
    """One bracket of position value; the larger a position, the more margin it needs.

    Maintenance margin of a position is value x maintenance_rate - deduction, which makes it
    continuous from one bracket to the next.
    """

    number: int  # from 1
    value_from: Money  # position value in settle, lower end
    value_to: Money  # upper end, 0: none
    maintenance_rate: Decimal
    leverage_max: Decimal
    deduction: Money = ZERO  # in settle

    @property
    def initial_rate(self) -> Decimal:
        """The least initial margin as a fraction of value."""
        return ROUNDED.divide(Decimal(1), self.leverage_max)


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says of an instrument beyond `model.Instrument`; rates are fractions."""

    maker_fee: Decimal  # below zero is a rebate
    taker_fee: Decimal
    band: Decimal = ZERO  # how far a limit price may lie from mark (spot: last); 0: no band
    band_clips: bool = False  # True: a price beyond the band is moved to it, not refused
    market_bound: Decimal = Decimal("0.05")  # how far from the touch a market order may walk
    market_lots_max: int = 0  # 0: as Instrument.lots_max
    orders_max: int = 500  # open orders per account and instrument
    leverage_max: Decimal = Decimal(100)
    leverage_default: Decimal = Decimal(10)
    maintenance_rate: Decimal = Decimal("0.005")
    funding_cap: Decimal = Decimal("0.005")  # symmetric, per settlement
    funding_interest: Decimal = Decimal("0.0001")  # per settlement
    listed_ms: int = 1_585_526_400_000
    dated: str = ""  # "", "quarter", "bi-quarter": contract type where the venue tells
    funding_phase_ms: int = 0  # instants are at phase + n x interval since 1970 (UTC)
    funding_ahead: bool = False  # True: the rate is fixed one interval before it is due
    liquidation_fee: Decimal = ZERO  # of value, to the insurance fund, as far as margin is left
    tiers: tuple[RiskTier, ...] = ()  # none: one bracket of maintenance_rate and leverage_max


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument and how it stands now.

    Status: "trading"; "paused" (orders refused `pause_word`); "settling" (being delivered);
    "delisted" (settled at `settle_price`, orders refused not_tradable for good).
    """

    instrument: Instrument
    extras: Extras
    status: str = "trading"
    settle_price: Decimal = ZERO
    pause_word: str = ""
    delisting_at: int = 0  # announced, 0: not; trading goes on until then
    changed_at: int = 0


class WalletSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One wallet and the markets that it pays for."""

    name: str  # unified, spot, usdm, coinm
    markets: tuple[str, ...]
    pooled: bool = False  # True: every coin of the wallet, by index value, backs margin


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A customer: credentials and what lies in the wallets at the start."""

    key: str
    secret: str
    passphrase: str = ""
    uid: int = 100001
    deposits: dict[str, dict[Asset, Money]] = {}  # wallet name -> asset -> amount
    read_only: bool = False
    can_withdraw: bool = False  # the key may move money out of the venue
    addresses: tuple[str, ...] = ()  # bound IPs, none: any

    def __repr__(self) -> str:
        return f"AccountSpec(key={self.key[:4]}..., uid={self.uid})"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an exchange needs to know about its venue."""

    venue: str
    listings: tuple[Listing, ...]
    wallets: tuple[WalletSpec, ...]
    accounts: tuple[AccountSpec, ...]
    client_ids_forever: bool = True  # False: unique among open orders only
    money_step: Decimal = Decimal("1E-8")  # every movement of money is rounded to this, once
    money_steps: dict[Asset, Decimal] = {}  # coins that the venue keeps in another step
    taped: bool = False  # True: the market is a tape and its frames are published verbatim
    liquidates: bool = True  # False: under-margined accounts are left alone
    insurance: dict[Asset, Money] = {}  # what the fund holds at the start
    quote_fees: bool = False  # spot fees in quote, held with a buy; else in the coin received
    margin_mode: str = "cross"  # of instruments whose mode an account never set
    mode_while_open: bool = False  # margin modes may change under positions and orders
    # Inverse values are rounded to the money step by the lot, and profit is the difference of
    # such values, so that the costs of fills add up to the wallet exactly.
    lot_values: bool = False


# Orders -----------------------------------------------------------------------------------


class Kind(StrEnum):
    LIMIT = "limit"
    MARKET = "market"


class State(StrEnum):
    NEW = "new"  # resting or about to match, nothing filled yet
    PARTIAL = "partial"  # resting, partly filled
    FILLED = "filled"
    CANCELLED = "cancelled"  # by the user or by the exchange, see `reason`; may carry fills
    EXPIRED = "expired"  # remainder of an IOC, FOK or market order; may carry fills
    REJECTED = "rejected"


OPEN_STATES = (State.NEW, State.PARTIAL)


class SelfTrade(StrEnum):
    """What happens when the taker would meet an order of the same account."""

    NONE = "none"
    CANCEL_MAKER = "maker"
    CANCEL_TAKER = "taker"
    CANCEL_BOTH = "both"


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to trade, already on the grid.

    `quote_amount` is for spot market orders in quote: spend (buy) or receive (sell); `lots` is 0
    then. `refuse_would_take`: a crossing post-only order raises Refusal("would_take") instead of
    being accepted and cancelled with reason post_only. `refuse_not_fillable`: the same for FOK,
    Refusal("not_fillable"). `echo` comes back unchanged with every snapshot of the order.
    """

    account: str  # key
    instrument: InstrumentId
    side: Side
    lots: int
    ticks: int = 0  # limit price; for market orders 0, or an own protective price
    kind: Kind = Kind.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    client_id: str = ""
    reduce_only: bool = False
    position_index: int = 0  # 0 one-way, 1 long side, 2 short side (hedge mode)
    self_trade: SelfTrade = SelfTrade.NONE
    quote_amount: Money | None = None
    refuse_would_take: bool = False
    refuse_not_fillable: bool = False
    echo: dict[str, str] = {}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One moment in the life of an order: every change makes a new snapshot."""

    id: int
    account: str
    instrument: InstrumentId
    client_id: str
    side: Side
    kind: Kind
    time_in_force: TimeInForce
    ticks: int  # limit or protective price as the exchange uses it (after clipping)
    lots: int  # total size; for a market order in quote what it turned out to be worth
    filled_lots: int
    filled_value: Money  # sum of price x size: quote for spot and linear, base for inverse
    fees: Money  # sum, in `fee_asset` of the fills (settle; spot buy: base, spot sell: quote)
    fee_asset: Asset
    average: Decimal  # average fill price, 0 without fills
    state: State
    # what the wire side gave for a cancel of its own, such as dcp;
    # "" user ioc fok post_only self_trade reduce_only no_liquidity amend_filled delisted
    # liquidated (cancelled before a liquidation); liquidation adl delivery: an order that the
    # exchange itself made, from its first snapshot on
    reason: str
    reduce_only: bool
    position_index: int
    self_trade: SelfTrade
    quote_amount: Money | None
    created_at: int
    updated_at: int
    amended: int  # how often
    echo: dict[str, str]

    @property
    def open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def leaves_lots(self) -> int:
        """What can still fill; 0 once closed."""
        return self.lots - self.filled_lots if self.open else 0


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one of our customers' orders."""

    id: int  # unique per exchange
    trade_id: int  # of the public trade, per instrument
    order_id: int
    client_id: str
    account: str
    instrument: InstrumentId
    side: Side
    ticks: int
    lots: int
    value: Money  # quote for spot and linear, base for inverse
    fee: Money  # above zero is a cost
    fee_asset: Asset
    fee_rate: Decimal
    maker: bool
    realised: Money  # profit in settle before fees, 0 when opening and on spot
    closed_lots: int  # how much of it closed a position
    leaves_lots: int
    mark: Decimal
    index: Decimal
    sequence: int  # the book's sequence at the time
    at: int
    position_index: int = 0
    reason: str = ""  # "" an order of the customer; liquidation adl delivery
    price: Decimal = ZERO  # exact; off the grid for adl and delivery, where `ticks` is rounded


# Money --------------------------------------------------------------------------------------


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One coin in one wallet, valued now."""

    account: str
    wallet: str
    asset: Asset
    total: Money  # wallet balance without unrealised profit
    locked: Money  # held by open spot orders
    order_margin: Money  # initial margin of open orders settled in this coin
    position_margin: Money
    maintenance_margin: Money
    unrealised: Money
    realised_ever: Money  # trading profit, fees and funding of derivatives
    available: Money  # what a new order may use (in a pooled wallet: see `pool`)
    updated_at: int = 0

    @property
    def equity(self) -> Money:
        return self.total + self.unrealised

    @property
    def free(self) -> Money:
        return self.total - self.locked


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A whole wallet in USD by index prices."""

    equity: Money
    total: Money
    unrealised: Money
    initial_margin: Money
    maintenance_margin: Money
    available: Money


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One position; `lots` is signed, 0 is flat. Hedge mode keeps index 1 and 2 apart."""

    account: str
    instrument: InstrumentId
    position_index: int
    lots: int
    entry: Decimal  # average entry price, 0 when flat
    leverage: Decimal
    mark: Decimal
    value: Money  # |size| x mark (inverse: |size| / mark), in settle
    unrealised: Money
    initial_margin: Money
    maintenance_margin: Money
    liquidation: Decimal  # estimated price, 0 where none
    realised: Money  # of this position since it was opened, fees and funding included
    realised_ever: Money
    created_at: int
    updated_at: int
    sequence: int
    margin_mode: str = "cross"  # cross, isolated
    margin: Money = ZERO  # isolated: money set aside for it, without unrealised profit
    bankruptcy: Decimal = ZERO  # price at which its margin is gone, 0 where none
    tier: int = 1  # RiskTier.number it stands in
    adl_rank: int = 0  # 1 (last) to 5 (first to be deleveraged), 0 when flat
    cost: Money = ZERO  # what it was worth at entry, positive, in settle
    fees: Money = ZERO  # of this position since it was opened, above zero is a cost
    funding: Money = ZERO  # the same, above zero was received


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one balance: change = cash_flow + funding - fee."""

    id: int
    account: str
    wallet: str
    asset: Asset
    # trade funding deposit withdrawal transfer_in transfer_out liquidation adl delivery
    # interest rebate bonus correction (drills: Exchange.move_money)
    # insurance (what a bankrupt position could not pay, given by the insurance fund)
    kind: str
    at: int
    cash_flow: Money
    funding: Money  # above zero was received
    fee: Money  # above zero is a cost
    change: Money
    balance: Money  # after
    instrument: InstrumentId = ""
    side: Side | None = None  # of the fill; for funding the side of the position
    ticks: int = 0
    price: Decimal = ZERO  # fill price, for funding the mark price
    lots: int = 0  # of the fill; for funding the position's size, positive
    position_lots: int = 0  # signed, after
    rate: Decimal = ZERO  # fee rate; for funding the funding rate
    fill_id: int = 0
    order_id: int = 0
    client_id: str = ""


# Market views -----------------------------------------------------------------------------


class BookView(msgspec.Struct, frozen=True, kw_only=True):
    """The visible book: anonymous sizes and our customers' resting orders together."""

    instrument: InstrumentId
    bids: Levels  # best first
    asks: Levels
    sequence: int
    at: int


class Ticker(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an instrument; mark, index and funding are 0 where it has none (spot)."""

    instrument: InstrumentId
    at: int
    last_ticks: int
    bid_ticks: int  # 0 with 0 lots on an empty side
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    index: Decimal
    mark: Decimal
    funding_rate: Decimal  # estimate for `funding_due`
    funding_due: int  # ns, 0: none
    open_interest_lots: int
    open_24h_ticks: int
    open_1h_ticks: int
    high_24h_ticks: int
    low_24h_ticks: int
    volume_24h_lots: int
    turnover_24h: Money  # quote for spot and linear, base for inverse
    trades_24h: int
    funding_next: Decimal = ZERO  # prediction for the settlement after `funding_due`
    funding_interval_ms: int = 0
    settle_price: Decimal = ZERO  # dated: estimate of the delivery price, then the price itself


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """One bar; mark and index bars have no volume."""

    start_ms: int
    interval_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume_lots: int = 0
    turnover: Money = ZERO  # quote for spot and linear, base for inverse
    taker_buy_lots: int = 0
    trades: int = 0
    closed: bool = True


class FundingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A settled rate."""

    instrument: InstrumentId
    at: int
    rate: Decimal
    mark: Decimal

"""Settings of the engine: plain frozen data with safe defaults, every unit in sight."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from oneprice.model.units import Asset, InstrumentId, Money


class GateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on new risk. Money is in the reporting asset."""

    net_bps_min: Decimal = Decimal("1")  # expected net of the card, basis points of notional
    net_min: Money = Decimal("0.02")  # expected net of the card, money
    edge_bps_max: Decimal = Decimal("300")  # more than this is a wrong coin or a broken book
    leg_notional_max: Money = Decimal("5000")  # per order, money
    venue_gross_max: Money = Decimal("50000")  # positions plus this intent on one venue, money
    asset_net_max: Money = Decimal("6000")  # unhedged exposure to one coin, money
    daily_loss_max: Money = Decimal("500")  # since midnight UTC, money
    book_age_ms_max: int = 2_000  # each book, milliseconds since its last change
    leg_skew_ms_max: int = 2_000  # between the youngest and the oldest book, milliseconds
    groups_per_second_max: int = 4  # begun in the last second: venues count orders, too
    groups_per_pair_max: int = 1  # groups and holdings of one strategy in one pair, count
    # After an adverse, timed or stopped exit, or a leg that was missed: no new try in that pair
    # for so long, milliseconds.
    rest_ms: int = 10_000
    collar_bps: Decimal = Decimal("150")  # limit price against mark, index or the other legs
    # No new entry in what will cease to trade (delisted, expired) within so long, milliseconds.
    delisting_ms: int = 86_400_000
    margin_fraction: Decimal = Decimal("0.2")  # of notional that must be free for a derivative


class OrderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an order whose outcome is not known is asked for."""

    ask_after_ms: int = 250  # first repeat of a question, milliseconds; doubles each time
    ask_after_ms_max: int = 5_000  # longest pause between questions, milliseconds
    missing_answers_min: int = 3  # "no such order" answers before it counts as never placed
    missing_ms_min: int = 3_000  # from the first such answer to the last, milliseconds
    done_kept: int = 5_000  # ended orders remembered for late messages, count
    fills_kept: int = 200_000  # fill ids remembered per venue, count
    fills_every_ms: int = 30_000  # every market is asked for its fills after so long, milliseconds
    fills_overlap_ms: int = 60_000  # asked again of what was told already: lists lag, milliseconds
    fee_bps_max: Decimal = Decimal("500")  # of a fill's notional; more is no fee, basis points


class LegSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Patience and means of a leg group."""

    half_filled: Literal["complete", "unwind", "hold"] = "complete"
    pulling_ms: int = 30_000  # to learn what became of pulled orders, milliseconds
    chasing_ms: int = 1_500  # one chase order, milliseconds
    unwinding_ms: int = 1_500  # one unwind order, milliseconds
    chases_max: int = 2  # attempts to complete the lagging leg, count
    unwinds_max: int = 10  # attempts to give the leading leg back, count
    collar_bps: Decimal = Decimal("30")  # chase and unwind limit against the touch, bps
    collar_step_bps: Decimal = Decimal("20")  # widened by this with every attempt, bps
    # Pause before another attempt after one that came to nothing (no readable book, refused, no
    # fill), times the attempts so far, milliseconds.
    pause_ms: int = 150
    # An attempt that a rate limit kept back is none; it is tried again so often, after so long.
    waits_max: int = 120  # count
    wait_ms: int = 1_000  # milliseconds
    unhedged_alarm_ms: int = 2_000  # a person is told when legs differ for so long, milliseconds
    unhedged_ms_max: int = 10_000  # from then on a group is only given back, milliseconds
    exits_max: int = 12  # exits of one holding in a row that came to nothing, count
    exit_pause_ms_max: int = 10_000  # longest pause between such exits, milliseconds
    # A holding in something that will cease to trade is closed so long before, milliseconds.
    delisting_ms: int = 3_600_000
    dust_max: Money = Decimal("50")  # leftovers of one coin below any tradable size, money


class ReconcileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When the statement of a venue counts as different from ours."""

    adopt_positions: bool = False  # positions and open orders found at start are ours, and known
    grace_ms: int = 3_000  # for messages under way to arrive before we compare, milliseconds
    balance_tolerance: Money = Decimal("0.01")  # money; venues round realised profit
    balance_tolerance_bps: Decimal = Decimal("0.1")  # of the balance, basis points
    position_tolerance_lots: int = 0  # derivatives, lots
    audit_ms: int = 60_000  # every account is asked for again after so long, milliseconds
    # Every wallet's statement is asked for again after so long, milliseconds; 0: only where a
    # balance differs.
    statement_ms: int = 600_000
    asks_max: int = 3  # questions to the venue before a difference is believed, count


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """On what terms our accounts trade. One position per instrument is always expected."""

    # "venue:market" or an instrument -> leverage that the venue must show; others: any.
    leverage: Mapping[str, Decimal] = {}
    adjust: bool = False  # change what differs, while nothing is open; else only tell
    withdrawal_keys: bool = False  # True: trade with a key that may withdraw, against all advice


class MarginSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How near a venue may come to closing a position of ours. Distances are from the mark to the
    liquidation price that the venue tells, basis points of the mark; ranks are 0 (last) to 4
    (first to be deleveraged). Where a venue tells neither, nothing follows from it.
    """

    liquidation_bps_min: Decimal = Decimal("500")  # nearer than that nothing is added to it
    liquidation_exit_bps: Decimal = Decimal("200")  # nearer: both legs leave, the clutch opens
    adl_rank_max: int = 4  # with a higher rank nothing new begins in that instrument
    adl_exit_rank: int = 0  # from this rank on both legs leave; 0: never


class MarketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When the market may be looked at."""

    book_age_ms_max: int = 5_000  # strategies cannot read an older book, milliseconds
    watch_ms: int = 500  # regular look at open holdings, milliseconds


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the engine can be told."""

    trading: bool = True  # False: look only; no account is asked for, no order sent
    reporting: Asset = "USDT"  # limits, equity and profit are counted in it
    # Worth of an asset in the reporting asset where no market says; a stated assumption.
    rates_fixed: Mapping[Asset, Decimal] = msgspec.field(
        default_factory=lambda: {"USDC": Decimal(1), "USD": Decimal(1), "FDUSD": Decimal(1)}
    )
    # "venue:market" -> wallet, where neither the market's name nor a single wallet tells.
    wallets: Mapping[str, str] = {}
    # Which instruments the engine may trade; empty: every instrument that has a book.
    instruments: tuple[InstrumentId, ...] = ()
    on_stop: Literal["close", "keep"] = "close"  # holdings, when a stop is requested
    stop_patience_ms: int = 1_000  # of one closing order at a stop, milliseconds
    account: AccountSettings = AccountSettings()
    margin: MarginSettings = MarginSettings()
    market: MarketSettings = MarketSettings()
    gate: GateSettings = GateSettings()
    orders: OrderSettings = OrderSettings()
    legs: LegSettings = LegSettings()
    reconcile: ReconcileSettings = ReconcileSettings()

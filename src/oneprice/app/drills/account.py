"""Drills about what a venue, a hand or the market does to an account that holds something."""

import time
from decimal import Decimal

from oneprice.app.drills.bans import BANNED_S, Ban, ban
from oneprice.app.drills.contract import Drill, NotHere
from oneprice.app.drills.judge import LEVEL, differences, judge
from oneprice.app.drills.stage import COINS, QUICK, STATEMENT_MS, Place, Stage
from oneprice.app.drills.trader import Trader
from oneprice.app.summary import earned
from oneprice.model.units import MINUTE, SECOND
from oneprice.twin.contract import BookUpdate, Levels, Order, OrderRequest
from oneprice.twin.market import SeededWorld

FALLEN = 0.95  # of the price that was
LOSS_MAX = Decimal("0.01")  # of what a hedge is worth
SETTLED_NS = 5 * SECOND  # from the start to a settlement
WITHDRAWN = Decimal("0.6")  # of what is free
REPORTING = "USDT"
MODE_UNTOLD = ("bitmex",)  # the mode of an account that holds nothing cannot be asked for
PRICES_MOVE = 10  # a hedge's worth within seconds, money


async def holding(stage: Stage) -> Trader:
    """A trader whose hedge stands."""
    trader = await stage.start(engine=QUICK)
    await trader.trade()
    ends = await trader.ended()
    stage.tell(f"a hedge is made: {stage.told(ends)}")
    return trader


async def rate_ban(stage: Stage) -> None:
    trader = await stage.start(engine=QUICK)
    bans: list[Ban] = []
    stage.hedge.on_wish = lambda: bans.append(ban(stage, stage.struck))
    stage.tell(
        f"a hedge is begun, and {stage.struck} refuses requests for their rate from then "
        f"on, for {BANNED_S:g} s"
    )
    await trader.trade()
    began = time.monotonic()
    await trader.until(
        lambda: bool(bans[0].felt) and time.monotonic() - began > BANNED_S, "the end of the ban"
    )
    bans[0].lift()
    stage.misfortune_over()
    ends = await trader.ended()
    stage.ends_well()
    stage.saw("felt", bans[0].felt, f"{bans[0].felt} requests refused")
    stage.saw("level", stage.is_level(ends), stage.told(ends))
    await judge(stage)


async def adl(stage: Stage) -> None:
    trader = await holding(stage)
    struck = stage.legs[stage.struck]
    half = stage.hedge.lots[struck] // 2
    stage.tell(f"{stage.struck} closes {half} lots of the leg against somebody's profit (ADL)")
    exchange = stage.exchange(stage.struck)
    exchange.force_adl(stage.key(stage.struck), struck, half, stage.now(stage.struck))
    stage.misfortune_over()
    await _taken_down(stage, trader)
    await judge(stage, clutch="by the venue")


async def delisting(stage: Stage) -> None:
    trader = await holding(stage)
    struck = stage.legs[stage.struck]
    stage.tell(f"{stage.struck} delists the leg and settles it")
    stage.exchange(stage.struck).delist(struck, stage.now(stage.struck))
    stage.misfortune_over()
    await _taken_down(stage, trader)
    await judge(stage, clutch="by the venue")


async def _taken_down(stage: Stage, trader: Trader) -> None:
    """A leg that stands alone is a bet: the other one follows, long before anybody stops us."""
    report = trader.engine.report
    await trader.until(stage.is_flat, "the other leg is closed")
    await trader.until(lambda: not report.holdings() and not report.groups(), "nothing is held")
    stage.ends_well()
    stage.saw("down", stage.is_flat(), f"{stage.lots_text()} after {stage.recovery_ms:.0f} ms")
    # The price of a forced fill need not be on the grid: the statement tells the last unit.
    began = time.monotonic()
    patient = 4 * STATEMENT_MS / 1000
    await trader.until(
        lambda: not differences(stage) or time.monotonic() - began > patient, "statements"
    )


async def flash_crash(stage: Stage) -> None:
    trader = await stage.start()
    crash = _Crash(stage)
    before = _touch(stage)

    def placed(request: OrderRequest, place: Place) -> Order:
        crash.begin()
        return place()

    stage.on_place(stage.struck, placed)
    stage.tell(f"prices at {stage.struck} fall by 5 % right before its order arrives")
    await trader.trade()
    ends = await trader.ended()
    stage.saw("level", stage.is_level(ends), stage.told(ends))
    lost = -earned(trader.engine.report.profit())
    worth = COINS * Decimal(before) * stage.listed(stage.struck).tick
    stage.saw("cheap", lost < worth * LOSS_MAX, f"{lost:.2f} lost of a hedge of {worth:.0f}")
    begun, denied = await trader.denied()
    stage.saw("denied", not begun, f"{begun} begun; denied for: {', '.join(denied)}")
    crash.end()
    stage.tell("the price comes back")
    await trader.until(lambda: _touch(stage) > before * 0.98, "the price comes back")
    await judge(stage)


class _Crash:
    """Prices at the struck venue are down from `begin` to `end`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._leg = stage.legs[stage.struck]
        world = stage.exchange(stage.struck)._source
        if not isinstance(world, SeededWorld):
            raise NotHere("recorded prices cannot be made to crash")
        self._stall = world.stalls[self._leg]
        self._fair = self._stall.fair
        self._begun = False

    def begin(self) -> None:
        """At once, and for good: whoever sells now finds no bid where they were."""
        if self._begun:
            return
        self._begun = True
        fair = self._fair
        self._stall.fair = lambda at: FALLEN * fair(at)  # type: ignore[method-assign]
        exchange = self._stage.exchange(self._stage.struck)
        view = exchange.book(self._leg)
        low = BookUpdate(
            instrument=self._leg, bids=_down(view.bids), asks=_down(view.asks), full=True
        )
        exchange.apply(low, self._stage.now(self._stage.struck))

    def end(self) -> None:
        self._stall.fair = self._fair  # type: ignore[method-assign]


def _down(levels: Levels) -> Levels:
    return tuple((int(ticks * FALLEN), lots) for ticks, lots in levels)


def _touch(stage: Stage) -> int:
    bids = stage.exchange(stage.struck).book(stage.legs[stage.struck], 1).bids
    return bids[0][0] if bids else 0


async def funding_mid_trade(stage: Stage) -> None:
    ahead = MINUTE - time.time_ns() % MINUTE - SETTLED_NS
    for venue in stage.legs:
        stage.set_clock(venue, ahead if ahead > 0 else ahead + MINUTE)
    trader = await holding(stage)
    stage.tell("both venues settle funding while the legs stand")

    def paid() -> list[int]:
        return [len(stage.exchange(v).fundings(stage.key(v))) for v in stage.legs]

    await trader.until(lambda: min(paid()) > 0, "both venues settle")
    await trader.until(lambda: not differences(stage), "our books follow")
    rows = [row for v in stage.legs for row in stage.exchange(v).fundings(stage.key(v))]
    theirs = sum((row.amount for row in rows), Decimal(0))
    booked = trader.engine.report.profit()["funding"]
    seen = f"booked {booked}, paid {theirs} in {sum(paid())} settlements"
    stage.saw("booked", booked == theirs and len(rows) == len(stage.legs), seen)
    await judge(stage)


async def mode_by_hand(stage: Stage) -> None:
    if stage.struck in MODE_UNTOLD:
        raise NotHere(f"{stage.struck} tells the mode of open positions only")
    trader = await stage.start(engine=QUICK)
    stage.exchange(stage.struck).set_hedge_mode(
        stage.key(stage.struck), stage.market(stage.struck), True, stage.now(stage.struck)
    )
    stage.tell(f"somebody sets {stage.struck} to hedge mode by hand; a hedge is begun")
    await trader.trade()
    ends = await trader.ended()
    await trader.until(lambda: bool(trader.engine.clutch), "the clutch opens")
    begun, denied = await trader.denied()
    held = not begun and "clutch_is_closed" in denied
    stage.saw("denied", held, f"{begun} begun; denied for: {', '.join(denied)}")
    stage.saw("level", stage.is_level(ends), stage.told(ends))
    await judge(stage, clutch="position_mode")


async def collateral_withdrawn(stage: Stage) -> None:
    trader = await holding(stage)
    exchange, key = stage.exchange(stage.struck), stage.key(stage.struck)
    wallet = exchange.wallet_of(stage.market(stage.struck))
    report = trader.engine.report
    before = earned(report.profit())
    free = exchange.balance(key, wallet, REPORTING).available
    amount = (free * WITHDRAWN).quantize(Decimal(1))
    exchange.move_money(
        key, REPORTING, amount, "withdrawal", stage.now(stage.struck), wallet=wallet
    )
    stage.tell(f"somebody withdraws {amount} {REPORTING} from {stage.struck}")
    stage.misfortune_over()
    await trader.until(lambda: bool(report.transferred()), "it is booked as a transfer")
    stage.ends_well()
    told = sum(report.transferred().values())
    moved = earned(report.profit()) - before
    seen = f"{told} {REPORTING} transferred; profit moved by {moved:.2f}, as prices do"
    stage.saw("transfer", told == -amount and abs(moved) < PRICES_MOVE, seen)
    await judge(stage)


_DOWN = "the other leg is taken down with it, without anybody's asking"

DRILLS = (
    Drill(
        name="rate-ban",
        title="a venue bans us for our rate in the middle of a trade",
        must={"felt": "requests of ours are refused for their rate", "level": LEVEL},
        act=rate_ban,
    ),
    Drill(
        name="adl",
        title="a venue closes part of one leg (ADL)",
        must={"down": _DOWN},
        act=adl,
    ),
    Drill(
        name="delisting",
        title="one leg is delisted and settled",
        must={"down": _DOWN},
        act=delisting,
    ),
    Drill(
        name="flash-crash",
        title="prices fall by 5 % at one venue in the middle of a trade",
        must={
            "level": LEVEL,
            "denied": "nothing is begun while one venue's prices are far from the other's",
            "cheap": "what the crash costs is less than a hundredth of the hedge",
        },
        act=flash_crash,
    ),
    Drill(
        name="funding-mid-trade",
        title="funding is settled during a trade",
        must={"booked": "what is booked is what the venues paid, once and to the last unit"},
        act=funding_mid_trade,
        funding_interval_ms=60_000,
    ),
    Drill(
        name="mode-by-hand",
        title="somebody changes the position mode by hand",
        must={
            "level": LEVEL,
            "denied": "nothing more is begun until a person has looked",
        },
        act=mode_by_hand,
    ),
    Drill(
        name="collateral-withdrawn",
        title="somebody withdraws collateral",
        must={"transfer": "it is booked as a transfer, and is no loss"},
        act=collateral_withdrawn,
    ),
)

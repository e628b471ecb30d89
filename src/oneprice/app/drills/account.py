"""Drills about what a venue, a hand or the market does to an account that holds something."""

import contextlib
import time
from decimal import ROUND_DOWN, Decimal

from oneprice.app.drills.bans import BANNED_S, Ban, ban
from oneprice.app.drills.contract import Drill, NotHere, NotSeen, NotStaged
from oneprice.app.drills.judge import LEVEL, differences, judge
from oneprice.app.drills.prices import Crash, same, touch
from oneprice.app.drills.stage import COINS, EAGER, MUCH, QUICK, Place, Stage
from oneprice.app.drills.trader import PATIENCE_S, Trader
from oneprice.app.summary import earned
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MINUTE, SECOND
from oneprice.twin.contract import Order, OrderRequest

FUNDED_MS = 60_000  # between two settlements
LOSS_MAX = Decimal("0.01")  # of what a hedge is worth
SETTLED_NS = 5 * SECOND  # from the start to a settlement
LEVERAGE = Decimal(5)  # at most, where collateral is withdrawn: no venue takes less margin
REPORTING = "USDT"
MODE_UNTOLD = ("bitmex",)  # the mode of an account that holds nothing cannot be asked for
PRICES_MOVE = 10  # a hedge's worth within seconds, money


async def holding(stage: Stage, engine: EngineSettings = QUICK) -> Trader:
    """A trader whose hedge stands."""
    trader = await stage.start(engine=engine)
    await trader.trade()
    ends = await trader.ended()
    stage.tell(f"a hedge is made: {stage.told(ends)}")
    if not stage.is_hedged():
        raise NotStaged(f"a hedge that stands in full ({stage.told(ends)})")
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
    with contextlib.suppress(NotSeen):  # the judge will say what differs
        await trader.until(lambda: not differences(stage), "statements")


async def flash_crash(stage: Stage) -> None:
    trader = await stage.start(engine=EAGER)
    crash = Crash(stage)
    before = touch(stage)

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
    if not stage.is_flat():
        raise NotStaged("the hedge stood before prices fell: what is tempting would oppose it")
    await trader.until(lambda: same(stage), "our book has fallen, too")
    stage.tell("nothing rests: the same hedge is wanted again, said to earn enough")
    begun, denied = await trader.denied("price_is_sane")
    stage.saw("denied", not begun, f"{begun} begun; denied for: {', '.join(denied)}")
    stage.hedge.turn()
    stage.tell(f"and the other way round: what {stage.struck} sells so cheaply is worth 5 % more")
    begun, denied = await trader.denied("edge_is_believable")
    stage.saw("tempted", not begun, f"{begun} begun; denied for: {', '.join(denied)}")
    crash.end()
    stage.tell("the price comes back")
    await trader.until(lambda: touch(stage) > before * 0.98, "the price comes back")
    await judge(stage)


async def funding_mid_trade(stage: Stage) -> None:
    ahead = MINUTE - time.time_ns() % MINUTE - SETTLED_NS
    for venue in stage.legs:
        stage.set_clock(venue, ahead if ahead > 0 else ahead + MINUTE)
    trader = await holding(stage)
    stage.tell("both venues settle funding while the legs stand")

    def paid() -> list[int]:
        return [len(stage.exchange(v).fundings(stage.key(v))) for v in stage.legs]

    # Whoever was too slow for this settlement sees the next.
    patience_s = FUNDED_MS / 1000 + PATIENCE_S
    await trader.until(lambda: min(paid()) > 0, "both venues settle", patience_s)
    await trader.until(lambda: not differences(stage), "our books follow")
    rows = [row for v in stage.legs for row in stage.exchange(v).fundings(stage.key(v))]
    theirs = sum((row.amount for row in rows), Decimal(0))
    booked = trader.engine.report.profit()["funding"]
    seen = f"booked {booked}, paid {theirs} in {sum(paid())} settlements"
    stage.saw("booked", booked == theirs, seen)
    await judge(stage)


async def mode_by_hand(stage: Stage) -> None:
    if stage.struck in MODE_UNTOLD:
        raise NotHere(f"{stage.struck} tells the mode of open positions only")
    trader = await stage.start(engine=QUICK)

    def change() -> None:
        stage.exchange(stage.struck).set_hedge_mode(
            stage.key(stage.struck), stage.market(stage.struck), True, stage.now(stage.struck)
        )

    stage.hedge.on_wish = change  # later, and the clutch might be open before it is begun
    stage.tell(f"somebody sets {stage.struck} to hedge mode by hand as a hedge is begun")
    await trader.trade()
    ends = await trader.ended()
    await trader.until(lambda: bool(trader.engine.clutch), "the clutch opens")
    begun, denied = await trader.denied("clutch_is_closed")
    held = not begun and "clutch_is_closed" in denied
    stage.saw("denied", held, f"{begun} begun; denied for: {', '.join(denied)}")
    stage.saw("level", stage.is_level(ends), stage.told(ends))
    await judge(stage, clutch="position_mode")


async def collateral_withdrawn(stage: Stage) -> None:
    exchange, key = stage.exchange(stage.struck), stage.key(stage.struck)
    struck = stage.legs[stage.struck]
    if exchange.leverage(key, struck) > LEVERAGE:
        exchange.set_leverage(key, struck, LEVERAGE, stage.now(stage.struck))
    trader = await holding(stage, EAGER)
    report = trader.engine.report
    before = earned(report.profit())
    gone: dict[str, Decimal] = {}
    stage.hedge.on_wish = lambda: gone.update(_withdraw(stage))
    stage.tell(f"somebody withdraws nearly all from {stage.struck} as another hedge is begun")
    await trader.trade()
    stage.tell(f"gone: {', '.join(f'{amount} {asset}' for asset, amount in gone.items())}")
    stage.misfortune_over()
    ends = await trader.ended(2)
    tried = len(stage.orders(stage.calm))
    if tried < 3:
        raise NotStaged("the other leg of the second hedge, to be given back")
    back = ends == {"HEDGED": 1, "FLAT": 1} and stage.is_hedged()
    stage.saw("back", back, f"{tried} orders at {stage.calm}; {stage.told(ends)}")
    await trader.until(
        lambda: any(key[-1] == REPORTING for key in report.transferred()),
        "it is booked as a transfer",
    )
    await trader.until(lambda: _told(stage, trader) < _margin(stage), "the rest is known")
    stage.ends_well()
    _look_at_transfer(stage, trader, gone, before)
    begun, denied = await trader.denied("funds_are_there")
    stage.saw("denied", not begun, f"{begun} begun; denied for: {', '.join(denied)}")
    await judge(stage)
    exits = [o for o in stage.orders(stage.struck) if o.reduce_only and o.filled_lots]
    closed = sum(o.filled_lots for o in exits)
    stage.saw("exits", exits and stage.is_flat(), f"{closed} lots closed; {stage.lots_text()}")


def _withdraw(stage: Stage) -> dict[str, Decimal]:
    """Every coin but so much of the reporting one that what stands is safe from liquidation, and
    nothing more can stand beside it; how much of what."""
    exchange, key = stage.exchange(stage.struck), stage.key(stage.struck)
    wallet, at = exchange.wallet_of(stage.market(stage.struck)), stage.now(stage.struck)
    gone = {}
    for coin in exchange.balances(key, wallet):
        left = _margin(stage) / 2 if coin.asset == REPORTING else Decimal(0)
        amount = (coin.available - left).quantize(Decimal("0.01"), ROUND_DOWN)
        if amount > 0:
            exchange.move_money(key, coin.asset, amount, "withdrawal", at, wallet=wallet)
            gone[coin.asset] = amount
    return gone


def _margin(stage: Stage) -> Decimal:
    """What a venue wants for one hedge more, at LEVERAGE."""
    return COINS * touch(stage) * stage.listed(stage.struck).tick / LEVERAGE


def _told(stage: Stage, trader: Trader) -> Decimal:
    """What is free at the struck venue as it last told us; much, where it has not."""
    told = trader.engine._sight.available(stage.legs[stage.struck], REPORTING)
    return MUCH if told is None else told


def _look_at_transfer(
    stage: Stage, trader: Trader, gone: dict[str, Decimal], before: Decimal
) -> None:
    booked = trader.engine.report.transferred()
    told = sum(amount for key, amount in booked.items() if key[-1] == REPORTING)
    moved = earned(trader.engine.report.profit()) - before
    right = told == -gone[REPORTING] and abs(moved) < PRICES_MOVE
    seen = f"{told} {REPORTING} transferred; profit moved by {moved:.2f}, as prices do"
    stage.saw("transfer", right, seen)


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
            "tempted": "nor where that looks like a gain: no edge is so large",
            "cheap": "what the crash costs is less than a hundredth of the hedge",
        },
        act=flash_crash,
    ),
    Drill(
        name="funding-mid-trade",
        title="funding is settled during a trade",
        must={"booked": "what is booked is what the venues paid, once and to the last unit"},
        act=funding_mid_trade,
        funding_interval_ms=FUNDED_MS,
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
        must={
            "back": "what is refused for want of it is given back, and the other hedge stands",
            "transfer": "it is booked as a transfer, and is no loss",
            "denied": "nothing more is begun: the funds are not there",
            "exits": "what stands is closed all the same",
        },
        act=collateral_withdrawn,
    ),
)

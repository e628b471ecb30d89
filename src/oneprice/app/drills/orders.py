"""Drills about single orders: refused, filled in part, unanswered, cancelled too late."""

from oneprice.app.drills.contract import Drill, NotStaged
from oneprice.app.drills.judge import judge
from oneprice.app.drills.prices import hold_still, same
from oneprice.app.drills.stage import STILL, Place, Stage
from oneprice.model.units import MILLI, Side
from oneprice.shell.gateway import ORDER_TIMEOUT_NS
from oneprice.twin.contract import Order, OrderRequest, TakeUpdate
from oneprice.twin.records import Refusal

TIMEOUT_MS = ORDER_TIMEOUT_NS // MILLI
BEYOND_BPS = 5  # how far above the touch an order waits for its cancel


async def leg_refused(stage: Stage) -> None:
    trader = await stage.start()
    refused: list[OrderRequest] = []

    def placed(request: OrderRequest, place: Place) -> Order:
        if request.reduce_only:
            return place()
        refused.append(request)
        raise Refusal("insufficient_margin", "drill")

    stage.on_place(stage.struck, placed)
    stage.tell(f"{stage.struck} refuses every order that opens something; a hedge is begun")
    await trader.trade()
    ends = await trader.ended()
    stage.staged("struck", refused, f"{len(refused)} orders refused")
    if not stage.fills(stage.calm):
        raise NotStaged(f"a leg at {stage.calm}, to be given back")
    given = len(stage.orders(stage.calm)) > 1
    back = ends == {"FLAT": 1} and given and stage.is_flat()
    stage.saw("back", back, stage.told(ends))
    await judge(stage)


async def leg_half_filled(stage: Stage) -> None:
    trader = await stage.start(engine=STILL)
    struck = stage.legs[stage.struck]
    exchange = stage.exchange(stage.struck)
    before = [True]

    def placed(request: OrderRequest, place: Place) -> Order:
        if before:
            before.clear()
            view = exchange.book(struck)
            levels = view.asks if request.side is Side.BUY else view.bids
            there = sum(n for at, n in levels if (request.ticks - at) * int(request.side) >= 0)
            taker = TakeUpdate(
                instrument=struck,
                lots=max(0, there - request.lots // 2),
                side=request.side,
                limit_ticks=request.ticks,
            )
            exchange.apply(taker, stage.now(stage.struck))
            try:
                return place()
            finally:
                move_again()
        return place()

    stage.on_place(stage.struck, placed)
    stage.tell(
        f"right before the order at {stage.struck} somebody takes all but half of what it "
        "wants; a hedge is begun"
    )
    move_again = hold_still(stage)  # so that there is what was seen
    await trader.until(lambda: same(stage), "our book is the venue's")
    await trader.trade()
    ends = await trader.ended()
    parts = [o for o in stage.orders(stage.struck) if 0 < o.filled_lots < o.lots]
    stage.staged("part", parts, "; ".join(f"{o.filled_lots} of {o.lots} lots" for o in parts))
    stage.saw("whole", stage.is_level(ends), stage.told(ends))
    await judge(stage)


async def answer_lost(stage: Stage) -> None:
    trader = await stage.start()
    stage.hedge.patience_ms = 2 * TIMEOUT_MS  # nothing but the lost answer may raise the question
    hear = stage.mute(stage.struck)
    faults = stage.twins[stage.struck].twin.faults
    faults.arm("answer_lost", 1, "order")
    stage.tell(
        f"{stage.struck} takes the order, its answer is lost and its private stream says "
        "nothing; a hedge is begun"
    )
    await trader.trade()
    ends = await trader.ended()
    lost = faults.counts.get("answer_lost", 0)
    stage.staged("lost", lost == 1, f"{lost} answers lost")
    sent = stage.orders(stage.struck)
    first = [stage.orders(venue)[:1] for venue in stage.legs]
    if not all(order.filled_lots == order.lots for orders in first for order in orders):
        raise NotStaged("two legs that are filled in full")
    stands = ends == {"HEDGED": 1} and stage.is_hedged() and len(sent) == 1
    stage.saw("asked", stands, f"{len(sent)} orders at {stage.struck}; {stage.told(ends)}")
    hear()
    await judge(stage)


async def cancel_fill_race(stage: Stage) -> None:
    struck = stage.legs[stage.struck]
    trader = await stage.start(engine=STILL)
    stage.hedge.rests[struck] = True
    stage.hedge.reach_bps[struck] = -BEYOND_BPS
    exchange = stage.exchange(stage.struck)
    cancel, raced = exchange.cancel, list[Order]()

    def late(key: str, order_id: int, at: int, *, reason: str = "user") -> Order:
        order = exchange.order(key, order_id)
        if order.open and not raced:
            side = Side(-int(order.side))
            taker = TakeUpdate(instrument=struck, lots=10**6, side=side, limit_ticks=order.ticks)
            exchange.apply(taker, at)
            raced.append(exchange.order(key, order_id))
            move_again()
        return cancel(key, order_id, at, reason=reason)

    exchange.cancel = late  # type: ignore[method-assign]
    stage.tell(
        f"the leg at {stage.struck} rests {BEYOND_BPS} bps away; when its cancel arrives, "
        "a taker was there just before"
    )
    move_again = hold_still(stage)  # nobody else fills it, however late its cancel comes
    await trader.until(lambda: same(stage), "our book is the venue's")
    await trader.trade()
    ends = await trader.ended()
    filled = ", ".join(f"{o.filled_lots} of {o.lots} lots" for o in raced)
    stage.staged("raced", raced and raced[0].filled_lots, filled or "no cancel came")
    stage.saw("whole", stage.is_level(ends), stage.told(ends))
    await judge(stage)


DRILLS = (
    Drill(
        name="leg-refused",
        title="one leg is refused",
        must={
            "struck": "the venue refuses the leg",
            "back": "the other leg is given back at once, and the group ends flat",
        },
        act=leg_refused,
    ),
    Drill(
        name="leg-half-filled",
        title="one leg is filled in part",
        must={
            "part": "an order is filled in part",
            "whole": "the legs end equal: what was missing is completed or given back",
        },
        act=leg_half_filled,
    ),
    Drill(
        name="answer-lost",
        title="the answer to an order is lost after its acceptance",
        must={
            "lost": "the venue accepts the order, and its answer is lost",
            "asked": "the order is asked for by its client id and never sent again; both legs "
            "stand",
        },
        act=answer_lost,
    ),
    Drill(
        name="cancel-fill-race",
        title="a cancel and a fill meet",
        must={
            "raced": "the order is filled while its cancel is on its way",
            "whole": "the fill counts, once: the other leg follows it or it is given back",
        },
        act=cancel_fill_race,
    ),
)

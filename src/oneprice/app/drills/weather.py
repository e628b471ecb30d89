"""Drills about connections and streams: lost, silent, with gaps, and a clock that is off."""

import asyncio

from oneprice.app.drills.contract import Drill
from oneprice.app.drills.judge import LEVEL, judge
from oneprice.app.drills.prices import LEVELS, same
from oneprice.app.drills.stage import Stage
from oneprice.model.settings import EngineSettings, MarketSettings
from oneprice.model.units import SECOND
from oneprice.twin.faults import FrameFate

AWAY_S = 0.7  # how long a venue that went away does
OFF_NS = 3 * SECOND
SWALLOWED = 40  # frames: some of them of the book
LOST = FrameFate(lost=True)


async def connection_lost(stage: Stage) -> None:
    trader = await stage.start()
    cut: list[int] = []

    def strike() -> None:
        cut.append(stage.cut(stage.struck))
        stage.misfortune_over()

    stage.after_order(stage.struck, strike)
    stage.tell(
        f"every connection to {stage.struck} dies when it has taken the order; a hedge is begun"
    )
    await trader.trade()
    ends = await trader.ended()
    stage.staged("lost", cut and cut[0], f"{sum(cut)} connections cut")
    stage.saw("level", stage.is_level(ends), stage.told(ends))
    gateway = trader.gateway(stage.struck)
    await trader.until(lambda: gateway.settled, "everything is connected again")
    stage.ends_well()
    await judge(stage)


async def both_venues_lost(stage: Stage) -> None:
    trader = await stage.start()
    stage.tell(f"both venues go away for {AWAY_S:g} s when the order at {stage.struck} is taken")
    await _away(stage, tuple(stage.legs))
    ends = await trader.ended()
    stage.saw("level", stage.is_level(ends), stage.told(ends))
    await judge(stage)


async def venue_restart(stage: Stage) -> None:
    trader = await stage.start()
    stage.tell(
        f"{stage.struck} restarts when it has taken the order: away for {AWAY_S:g} s, all "
        "sessions forgotten"
    )
    await _away(stage, (stage.struck,))
    ends = await trader.ended()
    stage.saw("level", stage.is_level(ends), stage.told(ends))
    await judge(stage)


async def _away(stage: Stage, venues: tuple[str, ...]) -> None:
    """A hedge is begun; venues go as the order is taken, before anybody is told of it, come back,
    and are connected to again."""
    trader = stage.trader
    cut: list[int] = []
    stage.after_order(stage.struck, lambda: cut.extend(map(stage.cut, venues)))
    await trader.trade()
    await trader.until(lambda: bool(cut), f"{stage.struck} takes an order")
    await asyncio.gather(*(stage.down(venue) for venue in venues))
    await asyncio.sleep(AWAY_S)
    await asyncio.gather(*(stage.up(venue) for venue in venues))
    stage.misfortune_over()
    gateways = [trader.gateway(venue) for venue in venues]
    await trader.until(lambda: all(g.settled for g in gateways), "everything is connected again")
    stage.ends_well()
    reconnects = sum(g.reconnects for g in gateways)
    seen = f"{sum(cut)} connections lost, {reconnects} made anew"
    stage.saw("gone", all(cut) and reconnects, seen)


async def book_gap(stage: Stage) -> None:
    trader = await stage.start()
    await trader.trade()
    ends = await trader.ended()
    struck, gateway = stage.legs[stage.struck], trader.gateway(stage.struck)
    before = dict(gateway.losses)
    stage.tell(f"both legs stand; frames of {stage.struck} are swallowed until a gap is seen")
    swallow = _Swallow(stage, stage.struck)
    await trader.until(lambda: swallow.count >= SWALLOWED, "frames are swallowed")
    swallow.end()
    stage.misfortune_over()
    await trader.until(lambda: gateway.losses != before, "the gap is seen")
    reasons = ", ".join(why for why, n in gateway.losses.items() if n > before.get(why, 0))
    stage.saw("seen", "gap" in reasons, f"{swallow.count} frames swallowed; lost: {reasons}")
    await trader.until(lambda: struck not in gateway.unknown, "a new book")
    await trader.until(lambda: same(stage), "our book is the venue's again")
    stage.ends_well()
    stage.saw(
        "again", stage.is_level(ends), f"{LEVELS} levels a side are equal; {stage.told(ends)}"
    )
    await judge(stage)


async def frozen_stream(stage: Stage) -> None:
    age = EngineSettings().gate.book_age_ms_max
    engine = EngineSettings(market=MarketSettings(book_age_ms_max=age))
    trader = await stage.start(engine=engine)
    swallow = _Swallow(stage, stage.struck)
    stage.tell(f"{stage.struck} stays connected and says nothing more about its market")
    blind = stage.hedge.blind
    await trader.look(lambda: stage.hedge.blind > blind, f"the book is older than {age} ms")
    begun, denied = await trader.denied()
    sent = sum(len(stage.orders(venue)) for venue in stage.legs)
    stage.saw(
        "still",
        swallow.count and not begun and not sent,
        f"{swallow.count} frames missing; {sent} orders; denied for: {', '.join(denied)}",
    )
    swallow.end()
    stage.misfortune_over()
    stage.tell("the stream speaks again; a hedge is begun")
    await trader.until(lambda: same(stage), "our book is the venue's again")
    stage.ends_well()
    await trader.trade()
    ends = await trader.ended()
    stage.saw("again", stage.is_level(ends), stage.told(ends))
    await judge(stage)


async def clock_off(stage: Stage) -> None:
    stage.set_clock(stage.calm, OFF_NS)
    stage.set_clock(stage.struck, -OFF_NS)
    trader = await stage.start()
    stage.tell(
        f"the clock of {stage.calm} is 3 s ahead, that of {stage.struck} 3 s behind; a "
        "hedge is begun"
    )
    await trader.trade()
    ends = await trader.ended()
    stage.saw("taken", stage.is_level(ends), stage.told(ends))
    stage.tell(f"the clock of {stage.struck} is set right while the legs stand")
    stage.set_clock(stage.struck, 0)
    await judge(stage)


class _Swallow:
    """Public frames of a venue are lost from now on, until `end`; how many were."""

    def __init__(self, stage: Stage, venue: str) -> None:
        self.count = 0
        self._faults = stage.twins[venue].twin.faults
        self._frame = self._faults.frame
        self._faults.frame = self._lose  # type: ignore[method-assign]

    def _lose(self, channel: str, at: int) -> FrameFate:
        self.count += 1
        return LOST

    def end(self) -> None:
        self._faults.frame = self._frame  # type: ignore[method-assign]


DRILLS = (
    Drill(
        name="connection-lost",
        title="all connections to a venue are lost in the middle of a trade",
        must={"lost": "the connections die with an order on its way", "level": LEVEL},
        act=connection_lost,
    ),
    Drill(
        name="both-venues-lost",
        title="both venues are lost in the middle of a trade",
        must={"gone": "both go away, and are connected to again", "level": LEVEL},
        act=both_venues_lost,
    ),
    Drill(
        name="book-gap",
        title="a gap in the book",
        must={
            "seen": "the gap is seen, and the book is thrown away",
            "again": "a new book is the venue's own; the legs stand as before",
        },
        act=book_gap,
    ),
    Drill(
        name="frozen-stream",
        title="a stream is connected and says nothing",
        must={
            "still": "an old book is not traded on: nothing is sent anywhere",
            "again": "when the stream speaks again, hedges are made again",
        },
        act=frozen_stream,
    ),
    Drill(
        name="clock-off",
        title="the clocks of the venues are 3 s off",
        must={"taken": "orders are taken all the same, and the legs end equal"},
        act=clock_off,
    ),
    Drill(
        name="venue-restart",
        title="a venue restarts in the middle of a trade",
        must={"gone": "it goes away, and is connected to again", "level": LEVEL},
        act=venue_restart,
    ),
)

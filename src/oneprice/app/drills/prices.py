"""Prices at the struck venue, in a drill's hand: they stand still, or they crash."""

from collections.abc import Callable
from typing import Any

from oneprice.app.drills.contract import NotHere
from oneprice.app.drills.stage import Stage
from oneprice.twin.contract import BookUpdate, Levels
from oneprice.twin.market import SeededWorld, Stall

FALLEN = 0.95  # of the price that was
LEVELS = 5  # compared between our book and the venue's
Side = list[tuple[int, int]]


def hold_still(stage: Stage) -> Callable[[], None]:
    """No book changes and no taker comes at the struck venue any more, until what it returns is
    called: whatever is filled meanwhile is filled by the drill."""
    stall: Any = stall_of(stage)
    stall.step = lambda floor, at: iter(())

    def move_again() -> None:
        vars(stall).pop("step", None)

    return move_again


class Crash:
    """Prices at the struck venue are down from `begin` to `end`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._leg = stage.legs[stage.struck]
        self._stall = stall_of(stage)
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


def stall_of(stage: Stage) -> Stall:
    """What makes the prices of the struck leg; NotHere where they were recorded."""
    world = stage.exchange(stage.struck)._source
    if not isinstance(world, SeededWorld):
        raise NotHere("recorded prices take no orders from a drill")
    return world.stalls[stage.legs[stage.struck]]


def _down(levels: Levels) -> Levels:
    return tuple((int(ticks * FALLEN), lots) for ticks, lots in levels)


def touch(stage: Stage) -> int:
    """The best bid at the struck venue, ticks; 0: there is none."""
    bids = stage.exchange(stage.struck).book(stage.legs[stage.struck], 1).bids
    return bids[0][0] if bids else 0


def ours(stage: Stage) -> tuple[Side, Side]:
    """The best levels as our book of the struck venue has them."""
    feed = stage.trader.seen.desk.dialect(stage.struck).feed
    book = feed.books[stage.legs[stage.struck]]
    return list(book.bids(LEVELS)), list(book.asks(LEVELS))


def theirs(stage: Stage) -> tuple[Side, Side]:
    """The same as the venue has them."""
    view = stage.exchange(stage.struck).book(stage.legs[stage.struck], LEVELS)
    return list(view.bids[:LEVELS]), list(view.asks[:LEVELS])


def same(stage: Stage) -> bool:
    """Our book is the venue's own."""
    return ours(stage) == theirs(stage)

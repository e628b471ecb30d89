"""A kill inside of a running trader: told to the engine, then verified with the venues."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from oneprice.app.control_report import (
    KillReport,
    VenueLeft,
    is_clean,
    keep_report,
    remains,
)
from oneprice.core.reconcile import AUDIT_TIMER
from oneprice.model.events import (
    AccountChecked,
    KillRequested,
    OpenOrderReported,
    OrderEnded,
    PositionReported,
    TimerFired,
)
from oneprice.model.units import InstrumentId, Lots
from oneprice.shell.desk import Turn

if TYPE_CHECKING:
    from oneprice.app.run import Running

log = structlog.get_logger("control")

ANSWER_S = 3.0  # accounts that did not answer by then are asked again, then after twice as long:
ANSWER_MAX_S = 24.0  # more questions would use up what a venue allows for their answers
PAUSE_S = 0.1
PATIENT_S = 30.0  # from then on the venues are asked less often
SLOW_S = 2.0
LOOKS_MIN = 2  # clean answers in a row: the first may have been under way before the kill

Market = tuple[str, str]


class KillWish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to end."""

    reason: str
    by: str
    flatten: bool = False
    stop: bool = False  # and the process, once nothing is left


class Hearing:
    """What the venues say of our accounts from a moment on."""

    def __init__(self, markets: Sequence[Market]) -> None:
        self.markets = tuple(markets)
        self.ended: list[str] = []
        self.complete = asyncio.Event()  # every market has answered
        self._told: dict[Market, None] = {}
        self._orders: dict[Market, list[str]] = {}
        self._positions: dict[InstrumentId, Lots] = {}
        self._known: dict[Market, list[str]] = {}  # orders, as of the last full answer

    def begin(self) -> None:
        """Everything is asked for anew."""
        self.complete.clear()
        self._told.clear()
        self._orders.clear()
        self._positions.clear()

    def hear(self, turn: Turn) -> None:
        for item in turn.record:
            match item:
                case OpenOrderReported(instrument=instrument):
                    venue, market, symbol = instrument.split(":", 2)
                    name = item.order_id or item.venue_order_id
                    self._orders.setdefault((venue, market), []).append(f"{name} in {symbol}")
                case PositionReported():
                    self._positions[item.instrument] = item.lots
                case AccountChecked():
                    key = (item.venue, item.market)
                    self._told[key] = None
                    self._known[key] = self._orders.pop(key, [])
                    if all(market in self._told for market in self.markets):
                        self.complete.set()
                case OrderEnded():
                    self.ended.append(item.order_id)
                case _:
                    pass

    def left(self, size_text: Callable[[InstrumentId, Lots], str]) -> list[VenueLeft]:
        """As last told, by venue."""
        found: list[VenueLeft] = []
        for venue in dict.fromkeys(venue for venue, _ in self.markets):
            markets = [key for key in self.markets if key[0] == venue]
            held = [i for i, lots in self._positions.items() if lots and i.startswith(venue + ":")]
            silent = [market for _, market in markets if (venue, market) not in self._told]
            found.append(
                VenueLeft(
                    venue=venue,
                    answered=not silent,
                    orders=[order for key in markets for order in self._known.get(key, ())],
                    positions=[f"{i} {size_text(i, self._positions[i])}" for i in held],
                    trouble=f"no answer about {', '.join(silent)} yet" if silent else "",
                )
            )
        return found


class Kill:
    """One kill of a running trader, until the venues have said that it is done."""

    def __init__(self, running: "Running", directory: Path, markets: Sequence[Market]) -> None:
        self._running = running
        self._directory = directory
        self._trades = bool(markets)  # False: it only looks
        self._hearing = Hearing(markets)
        self.report: KillReport | None = None
        self._wish = KillWish(reason="", by="")
        self._at = 0
        self._patience = ANSWER_S
        self._before: Mapping[str, str] = {}

    def order(self, wish: KillWish) -> None:
        """Tell the engine, at once. A second wish may want more, never less."""
        runtime = self._running.runtime
        at = runtime.clock.now()
        again = self._at > 0
        flatten = wish.flatten or self._wish.flatten
        stop = wish.stop or self._wish.stop
        self._wish = msgspec.structs.replace(wish, flatten=flatten, stop=stop)
        if not again:
            self._before = self._holdings()
        self._at = at
        reason = f"{wish.reason} ({wish.by})" if wish.reason else wish.by
        runtime.desk.event(KillRequested(at=at, reason=reason, flatten=flatten))
        runtime.poke(at)
        self._tell(0.0, finished=False, verified=False)

    async def verify(self) -> KillReport:
        """Ask the venues until they say that nothing is left of what was to end."""
        runtime = self._running.runtime
        before = runtime.on_decisions
        runtime.on_decisions = _both(before, self._hearing.hear)
        began, clean = time.monotonic(), 0
        try:
            while True:
                await self._look()
                seconds = time.monotonic() - began
                clean = clean + 1 if self._clean() else 0
                verified = clean >= LOOKS_MIN
                # Sealed, it can do no more; released by a person, it shall not.
                over = verified or runtime.sealed or not self._running.desk.engine.clutch
                report = self._tell(seconds, finished=over, verified=verified)
                if report.finished:
                    return report
                await asyncio.sleep(PAUSE_S if seconds < PATIENT_S else SLOW_S)
        finally:
            runtime.on_decisions = before

    @property
    def stops(self) -> bool:
        return self._wish.stop

    async def _look(self) -> None:
        """Let the engine ask every account, and wait for the answers a while."""
        runtime = self._running.runtime
        if not self._trades or runtime.sealed or runtime.desk.engine.waits_to_begin:
            return
        report = runtime.desk.engine.report
        if report.recovering and not report.away:
            return  # a restart asks every account by itself, and compares
        self._hearing.begin()
        at = runtime.clock.now()
        # The audit is due now: an input like any other, so that a replay asks the same.
        runtime.desk.event(TimerFired(at=at, timer=AUDIT_TIMER))
        runtime.poke(at)
        try:
            async with asyncio.timeout(self._patience):
                await self._hearing.complete.wait()
        except TimeoutError:
            self._patience = min(2 * self._patience, ANSWER_MAX_S)
        else:
            self._patience = ANSWER_S

    def _clean(self) -> bool:
        engine, flatten = self._running.desk.engine, self._wish.flatten
        if not engine.quiet or (flatten and engine.report.holdings()):
            return False
        return is_clean(self._left(), flatten=flatten)

    def _left(self) -> list[VenueLeft]:
        return self._hearing.left(self._running.size_text)

    def _tell(self, seconds: float, *, finished: bool, verified: bool) -> KillReport:
        holdings, wish = self._holdings(), self._wish
        runtime = self._running.runtime
        notes: list[str] = []
        if runtime.sealed:
            notes.append("the journal refused a turn: nothing leaves this process any more")
        if not self._running.desk.engine.clutch:
            notes.append("a person has released the clutch since")
        if not self._trades:
            notes.append("this run only looks: it has no orders and no positions")
        report = KillReport(
            reason=wish.reason,
            by=wish.by,
            flatten=wish.flatten,
            at=self._at,
            ms=round(seconds * 1000),
            finished=finished,
            verified=verified,
            venues=self._left(),
            cancelled=list(dict.fromkeys(self._hearing.ended)),
            closed=[text for name, text in self._before.items() if name not in holdings],
            holdings=list(holdings.values()),
            notes=notes,
        )
        self.report = report
        try:
            keep_report(self._directory, report)
        except OSError as error:
            log.error("no kill report", reason=error.strerror)
        if finished:
            log.warning("killed", verified=verified, ms=report.ms, remains=remains(report))
        return report

    def _holdings(self) -> dict[str, str]:
        return {
            h.id: f"{h.id} ({h.strategy} {h.pair})"
            for h in self._running.desk.engine.report.holdings()
        }


def _both(
    first: Callable[[Turn], None] | None, second: Callable[[Turn], None]
) -> Callable[[Turn], None]:
    def hear(turn: Turn) -> None:
        second(turn)
        if first is not None:
            first(turn)

    return hear

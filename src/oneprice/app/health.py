"""Health: whether the program lives and turns, and whether it could trade now; why not."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from oneprice.shell.telemetry import LoopWatch

if TYPE_CHECKING:
    from oneprice.app.run import Running

LAG_MAX_S = 5.0  # a loop that was so late does not turn


class Health(msgspec.Struct, frozen=True):
    """A verdict with its reasons; `ok` is true exactly where there is no reason against it."""

    ok: bool
    reasons: list[str]

    @classmethod
    def of(cls, reasons: list[str]) -> "Health":
        return cls(not reasons, reasons)


def alive(watch: LoopWatch, clock: Callable[[], float] = time.monotonic) -> Health:
    """Whether the loop turns: a supervisor may restart a process of which this is false."""
    reasons = []
    if watch.lag > LAG_MAX_S:
        reasons.append(f"the loop was {watch.lag:.1f} s late, expected below {LAG_MAX_S:.0f} s")
    since = clock() - watch.at
    if since > LAG_MAX_S:
        reasons.append(f"the loop was last seen turning {since:.1f} s ago")
    return Health.of(reasons)


def ready(running: "Running") -> Health:
    """Whether new risk may be taken: connected, books proven, accounts checked, clutch closed."""
    engine, runtime = running.desk.engine, running.runtime
    reasons = []
    if running.phase != "trading":
        reasons.append(f"phase {running.phase}")
    for gateway in running.gateways:
        reasons += gateway.unsettled()
    if engine.report.recovering:
        reasons.append("recovering: not yet compared with the venues")
    if engine.report.clutch:
        reasons.append(f"clutch open: {engine.report.clutch}")
    if runtime.failure:
        reasons.append(f"failed: {runtime.failure}")
    if runtime.sealed:
        reasons.append("sealed: the journal refused a turn")
    return Health.of(reasons)

"""The summary of a run: the shape that scripts rely on (docs/cli.md)."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Protocol

import msgspec

from oneprice.app.session import Session
from oneprice.core.ledger import CURRENCY
from oneprice.core.report import Report
from oneprice.model.units import EXACT, MICRO, ZERO, Money, plain
from oneprice.shell.gateway import Gateway
from oneprice.shell.runtime import Runtime

GROUP_ENDS = ("HEDGED", "FLAT", "STUCK")


class Run(Protocol):
    """What a summary looks at."""

    @property
    def runtime(self) -> Runtime: ...
    @property
    def gateways(self) -> Sequence[Gateway]: ...
    @property
    def kernel(self) -> str: ...
    @property
    def missing(self) -> list[str]: ...


class Latency(msgspec.Struct, frozen=True):
    """Heard to sent, microseconds: the last frame of a turn's first input to the order's write."""

    p50: float | None
    p99: float | None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a restart found open, and whether the venues agreed with our books."""

    orders: int  # asked for
    groups: list[str]  # were in flight
    holdings: list[str]  # still ours
    differences: list[str]  # each opened the clutch
    ms: int  # until all of it was known, milliseconds


class FundingOfDay(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument settled on one UTC day, in its own asset."""

    day: str
    instrument: str
    asset: str
    settlements: int
    booked: str
    expected: str  # of those that something was expected of
    surprise: str  # booked beyond what was expected


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Money is text: exact decimals in the reporting asset."""

    seconds: float
    frames: int
    intents: int
    refused: dict[str, int]
    groups: dict[str, int]
    orders: int
    fills: int
    pnl: dict[str, str]
    earned: str  # every cause but the new prices of coins that were there before
    equity_change: str
    ledger_residual: str
    resyncs: int
    latency_us: Latency
    clutch: str
    failure: str  # what of ours broke and ended the run; "" where nothing did
    left: list[str]  # what is still held or in flight at the end
    discrepancies: list[str]  # where a venue and our ledger disagreed
    rejected_frames: dict[str, int]
    reconnects: int
    turns: int
    kernel: str
    session: str
    missing: list[str] = []  # sockets and books that never came up: not everything was traded
    start: int = 1  # of the session; orders, fills and profit are those of all its starts
    uncompared: list[str] = []  # why a resumed session was not compared with the venues
    recovery: Recovery | None = None  # how this start took up what the one before left
    pnl_by_day: dict[str, dict[str, str]] = {}  # by UTC day, the causes that are not zero
    funding_by_day: list[FundingOfDay] = []
    transferred: dict[str, str] = {}  # "venue/wallet/asset" to what came in, or went out


def quantile(values: Sequence[int], share: float) -> int | None:
    """The value below which `share` of the values lie; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def earned(profit: Mapping[str, Money]) -> Money:
    """What trading earned: every cause but `currency`, the repricing of the coins held."""
    total = ZERO
    for cause, amount in profit.items():
        if cause != CURRENCY:
            total = EXACT.add(total, amount)
    return total


def pnl_by_day(report: Report) -> dict[str, dict[str, str]]:
    return {
        _date(day): {cause: plain(amount) for cause, amount in causes.items() if amount}
        for day, causes in report.profit_by_day().items()
        if any(causes.values())
    }


def funding_by_day(report: Report) -> list[FundingOfDay]:
    return [
        FundingOfDay(
            day=_date(of.day),
            instrument=of.instrument,
            asset=of.asset,
            settlements=of.settlements,
            booked=plain(of.booked),
            expected=plain(of.expected),
            surprise=plain(of.surprise),
        )
        for of in sorted(report.funding_by_day(), key=lambda of: (of.day, of.instrument))
    ]


def transferred(report: Report) -> dict[str, str]:
    return {
        "/".join(purse): plain(amount)
        for purse, amount in report.transferred().items()
        if amount
    }


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def microseconds(nanos: int | None) -> float | None:
    return None if nanos is None else round(nanos / MICRO, 1)


def _left(report: Report) -> list[str]:
    groups = [f"group {g.id} {g.state} {g.pair}" for g in report.groups()]
    held = report.holdings()
    holdings = [f"holding {h.id} {h.pair}" for h in held]
    claimed: dict[str, int] = {}
    for leg in (leg for holding in held for leg in holding.legs):
        claimed[leg.instrument] = claimed.get(leg.instrument, 0) + leg.lots
    positions = [
        f"position {instrument} {lots - claimed.get(instrument, 0):+d} lots of no holding"
        for instrument, lots in report.positions().items()
        if lots != claimed.get(instrument, 0) and not groups
    ]
    unsettled = report.counts()["unsettled_orders"]
    orders = [f"{unsettled} orders whose outcome is not known"] if unsettled else []
    return groups + holdings + positions + orders


def _recovery(report: Report) -> Recovery | None:
    told = report.recovered
    if told is None:
        return None
    return Recovery(
        orders=told.orders,
        groups=list(told.groups),
        holdings=list(told.holdings),
        differences=list(told.differences),
        ms=told.ms,
    )


def summarise(running: Run, session: Session, *, seconds: float) -> Summary:
    """Everything a person or a script asks after a run."""
    runtime, gateways = running.runtime, running.gateways
    desk = runtime.desk
    report = desk.engine.report
    counts = report.counts()
    ends = report.group_ends()
    latencies = list(runtime.latencies_ns)
    return Summary(
        seconds=round(seconds, 3),
        frames=desk.frames,
        intents=counts.get("intents", 0),
        refused=dict(report.refusals()),
        groups={end: ends.get(end, 0) for end in GROUP_ENDS},
        orders=counts.get("orders", 0),
        fills=counts.get("fills", 0),
        pnl={cause: plain(amount) for cause, amount in report.profit().items()},
        earned=plain(earned(report.profit())),
        equity_change=plain(report.equity_change()),
        ledger_residual=plain(report.residual()),
        resyncs=sum(g.resyncs for g in gateways),
        latency_us=Latency(
            p50=microseconds(quantile(latencies, 0.50)),
            p99=microseconds(quantile(latencies, 0.99)),
        ),
        clutch=report.clutch or runtime.failure or "closed",
        failure=runtime.failure,
        left=_left(report),
        discrepancies=[f"{d.kind} {d.subject}: {d.found}" for d in report.discrepancies],
        rejected_frames=dict(desk.rejected),
        reconnects=sum(g.reconnects for g in gateways),
        turns=runtime.turns,
        kernel=running.kernel,
        session=str(session.directory),
        missing=running.missing,
        start=session.start,
        uncompared=desk.engine.lacking if session.start > 1 else [],
        recovery=_recovery(report),
        pnl_by_day=pnl_by_day(report),
        funding_by_day=funding_by_day(report),
        transferred=transferred(report),
    )

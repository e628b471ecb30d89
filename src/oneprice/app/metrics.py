"""Metrics: the state of a run in Prometheus' words, read when somebody asks and not before."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import CollectorRegistry

import oneprice
from oneprice.core.facts import PositionRisk
from oneprice.core.strategy import Alarmed, Discrepancy
from oneprice.core.unhedged import UnhedgedReport
from oneprice.model.units import SECOND, InstrumentId
from oneprice.shell.desk import Turn
from oneprice.shell.gateway import Gateway
from oneprice.shell.telemetry import LoopWatch
from oneprice.shell.telemetry_histogram import Histogram
from oneprice.shell.telemetry_veil import VEIL

if TYPE_CHECKING:
    from oneprice.app.run import Running

Labels = TypeVar("Labels", bound=tuple[str, ...])


class JournalLag(Protocol):
    """How far the disk is behind what was journaled."""

    @property
    def records(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def unsynced_bytes(self) -> int: ...
    @property
    def sync_seconds(self) -> float: ...


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is made of, for who only looks; `journal` and `tape` may be absent."""

    running: "Running"
    watch: LoopWatch
    journal: Callable[[], JournalLag] | None = None
    tape: Callable[[], int] | None = None  # records that wait to be written


class Tally:
    """Counts decisions that the engine does not count itself; told of every turn."""

    def __init__(self) -> None:
        self.discrepancies: dict[tuple[str, ...], float] = {}
        self.alarms: dict[tuple[str, ...], float] = {}

    def hear(self, turn: Turn) -> None:
        for decision in turn.record:
            if isinstance(decision, (Discrepancy, Alarmed)):
                counts = self.discrepancies if type(decision) is Discrepancy else self.alarms
                key = (decision.kind,)
                counts[key] = counts.get(key, 0) + 1


class RunCollector:
    """Yields every family of metrics; whoever serves them may pause between two."""

    def __init__(self, sources: Sources, tally: Tally) -> None:
        self._sources = sources
        self._tally = tally
        # Those of the process come from the library, under the names that everybody knows.
        self._process = ProcessCollector(registry=CollectorRegistry(auto_describe=False))
        self._garbage = GCCollector(registry=CollectorRegistry(auto_describe=False))

    def collect(self) -> Iterator[Metric]:
        running = self._sources.running
        yield from _work(running)
        yield from _market(running)
        for family in (_links, _allowances):
            yield from family(running)
        yield from _trade(running)
        yield from self._doubts()
        yield from _money(running)
        yield from self._program()
        yield from self._process.collect()
        yield from self._garbage.collect()

    def _doubts(self) -> Iterator[Metric]:
        running, tally = self._sources.running, self._tally
        report = running.desk.engine.report
        reason = VEIL.text(report.clutch or running.runtime.failure)
        yield _gauge("recovering", "1 while a restart is not done.", float(report.recovering))
        yield _gauge("clutch_open", "1 while no new risk is taken.", float(bool(reason)))
        info = InfoMetricFamily("oneprice_clutch", "Why no new risk is taken; closed otherwise.")
        info.add_metric([], {"reason": reason or "closed"})
        yield info
        words = "Where a venue and our ledger disagreed."
        yield _counters("discrepancies", words, ("kind",), tally.discrepancies)
        yield _counters("alarms", "What a person was to hear of.", ("kind",), tally.alarms)
        yield _counter("failures", "What of ours broke.", running.runtime.failures)

    def _program(self) -> Iterator[Metric]:
        sources, watch = self._sources, self._sources.watch
        if sources.journal is not None:
            lag = sources.journal()
            yield _counter("journal_records", "Turns journaled.", lag.records)
            yield _counter("journal_bytes", "Bytes journaled.", lag.bytes)
            words = "Journaled, but not known to be on the disk."
            yield _gauge("journal_unsynced_bytes", words, lag.unsynced_bytes)
            yield _gauge("journal_sync_seconds", "How long the last sync took.", lag.sync_seconds)
        if sources.tape is not None:
            yield _gauge("tape_pending_records", "Inputs not yet on the tape.", sources.tape())
        yield _gauge("loop_lag_seconds", "How late the loop was when last looked at.", watch.lag)
        words = "The worst lag since the last scrape."
        yield _gauge("loop_lag_worst_seconds", words, watch.take_worst())


def _work(running: "Running") -> Iterator[Metric]:
    runtime, desk = running.runtime, running.desk
    info = InfoMetricFamily("oneprice_build", "What runs here.")
    info.add_metric([], {"version": oneprice.__version__, "kernel": running.kernel})
    yield info
    phase = GaugeMetricFamily("oneprice_phase", "1 for the phase of the run.", labels=["phase"])
    phase.add_metric([running.phase], 1)
    yield phase
    yield _counter("frames", "Frames heard on all sockets.", desk.frames)
    yield _counter("turns", "Times that everything readable had been applied.", runtime.turns)
    rejected: dict[tuple[str, ...], float] = {}
    for reason, count in desk.rejected.items():
        venue, _, rest = reason.partition("/")
        key = (venue, rest.partition(":")[0])
        rejected[key] = rejected.get(key, 0) + count
    words = "Frames that could not be read."
    yield _counters("frames_rejected", words, ("venue", "socket"), rejected)
    words = "From an input that was heard to the turn that it belongs to."
    yield _histogram("frame_to_turn_seconds", words, runtime.waits)
    words = "From an input that was heard to the last order that it caused."
    yield _histogram("frame_to_order_seconds", words, runtime.sends)


def _market(running: "Running") -> Iterator[Metric]:
    now = running.runtime.clock.now()
    valid: dict[tuple[str, ...], float] = {}
    age: dict[tuple[str, ...], float] = {}
    for gateway in running.gateways:
        for instrument, book in running.desk.dialect(gateway.name).feed.books.items():
            valid[(instrument,)] = float(book.known)
            if book.known:
                age[(instrument,)] = max(0, now - book.at) / SECOND
    words = "1 while a book is proven complete."
    yield _gauges("book_valid", words, ("instrument",), valid)
    words = "How long ago a proven book last changed."
    yield _gauges("book_age_seconds", words, ("instrument",), age)


def _links(running: "Running") -> Iterator[Metric]:
    gateways = running.gateways
    lost = {(g.name, why): float(n) for g in gateways for why, n in g.losses.items()}
    yield _counters("books_lost", "Books that had to be proven anew.", ("venue", "reason"), lost)
    words = "Snapshots asked for again."
    yield _counters("resyncs", words, ("venue",), _by_venue(gateways, lambda g: g.resyncs))
    words = "Connections that came back."
    yield _counters("reconnects", words, ("venue",), _by_venue(gateways, lambda g: g.reconnects))
    sockets: dict[tuple[str, ...], float] = {}
    for gateway in gateways:
        for line in gateway.lines:
            key = (gateway.name, line.spec.name, "ready" if line.ready else "down")
            sockets[key] = sockets.get(key, 0) + 1
    yield _gauges("sockets", "Connections by state.", ("venue", "socket", "state"), sockets)
    clock = running.runtime.clock
    words = "How far the venue's clock is ahead of ours."
    offsets = _by_venue(gateways, lambda g: clock.offset_ns(g.name) / SECOND)
    yield _gauges("clock_offset_seconds", words, ("venue",), offsets)
    trips = {(venue,): nanos / SECOND for venue, nanos in clock.round_trips_ns.items()}
    words = "To the venue and back, when its clock was last asked."
    yield _gauges("venue_round_trip_seconds", words, ("venue",), trips)


def _allowances(running: "Running") -> Iterator[Metric]:
    now = running.runtime.clock.now()
    used: dict[tuple[str, ...], float] = {}
    left: dict[tuple[str, ...], float] = {}
    bans: dict[tuple[str, ...], float] = {}
    for gateway in running.gateways:
        pacer = gateway.outbox.pacer
        for bucket, spent, count in pacer.standing(now):
            used[gateway.name, bucket] = spent
            left[gateway.name, bucket] = max(0, count - spent)
        for bucket, nanos in pacer.bans(now):
            bans[gateway.name, bucket] = nanos / SECOND
    names = ("venue", "bucket")
    yield _gauges("rate_used", "Spent of an allowance in its window.", names, used)
    yield _gauges("rate_left", "Left of an allowance in its window.", names, left)
    yield _gauges("rate_ban_seconds", "How long a venue still bans us.", names, bans)
    waiting = _by_venue(running.gateways, lambda g: len(g.outbox))
    yield _gauges("outbox_requests", "Requests that wait to leave.", ("venue",), waiting)


def _trade(running: "Running") -> Iterator[Metric]:
    report = running.desk.engine.report
    counts = report.counts()
    states = {(state,): float(count) for state, count in report.order_states().items()}
    yield _gauges("orders", "Orders by state.", ("state",), states)
    for name, key, words in (
        ("intents", "intents", "What strategies asked for."),
        ("intents_approved", "approved", "What the gate permitted."),
        ("orders_sent", "orders", "Orders that left, or were to leave."),
        ("fills", "fills", "Fills that counted."),
        ("fills_doubled", "doubled_fills", "Fills that were told again, and not counted."),
    ):
        yield _counter(name, words, counts.get(key, 0))
    refused = {(rule,): float(count) for rule, count in report.refusals().items()}
    yield _counters("refusals", "Intents that a rule of the gate refused.", ("rule",), refused)
    working: dict[tuple[str, ...], float] = {}
    for group in report.groups():
        working[(group.state,)] = working.get((group.state,), 0) + 1
    yield _gauges("groups", "Leg groups at work, by state.", ("state",), working)
    ends = {(end,): float(count) for end, count in report.group_ends().items()}
    yield _counters("groups_ended", "Leg groups by how they ended.", ("end",), ends)
    yield from _unhedged(report.unhedged())
    yield _gauge("holdings", "Hedged positions that are open.", len(report.holdings()))
    lots = {(instrument,): float(n) for instrument, n in report.positions().items()}
    words = "Signed lots of every derivative held."
    yield _gauges("position_lots", words, ("instrument",), lots)
    yield from _risks(report.risks())


def _risks(found: Mapping[InstrumentId, PositionRisk]) -> Iterator[Metric]:
    """How near the venues are to closing positions; nothing of those that they do not tell."""
    far = {(i,): float(r.distance_bps) for i, r in found.items() if r.distance_bps is not None}
    words = "From the mark to the liquidation price that the venue tells, of the mark."
    yield _gauges("liquidation_distance_bps", words, ("instrument",), far)
    ranks = {(i,): float(r.adl_rank) for i, r in found.items() if r.adl_rank is not None}
    words = "Place in the queue of automatic deleveraging: 4 is among the first."
    yield _gauges("adl_rank", words, ("instrument",), ranks)


def _unhedged(found: UnhedgedReport) -> Iterator[Metric]:
    """Spans in which the legs of a trade differed: those that ended, and the longest."""
    family = HistogramMetricFamily(
        "oneprice_unhedged_seconds", "How long the legs of trades differed."
    )
    below, bounds = 0, []
    for bound_ms, count in found.histogram:
        below += count
        bounds.append(("+Inf" if bound_ms is None else repr(bound_ms / 1000), float(below)))
    family.add_metric([], buckets=bounds, sum_value=found.total_ms / 1000)
    yield family
    words = "The longest of them, those that go on included."
    lasting = [found.longest_ms, *found.running_ms.values()]
    yield _gauge("unhedged_longest_seconds", words, max(lasting) / 1000)
    words = "Trades whose legs differ now."
    yield _gauge("unhedged_now", words, len(found.running_ms))


def _money(running: "Running") -> Iterator[Metric]:
    """For charts, and so in floats: the exact figures are in the summary and in the journal."""
    report, asset = running.desk.engine.report, running.reporting
    causes = {(cause, asset): float(amount) for cause, amount in report.profit().items()}
    words = "What was earned, by cause; exact in the summary."
    yield _gauges("profit", words, ("cause", "asset"), causes)
    figures: tuple[tuple[str, str, Decimal], ...] = (
        ("equity", "What everything is worth.", report.equity()),
        ("equity_change", "What it is worth more than at the start.", report.equity_change()),
        ("ledger_residual", "What the causes leave unexplained: 0.", report.residual()),
    )
    for name, words, amount in figures:
        yield _gauges(name, words, ("asset",), {(asset,): float(amount)})


# Families --------------------------------------------------------------------------------


def _by_venue(
    gateways: Iterable[Gateway], measure: Callable[[Gateway], float]
) -> dict[tuple[str, ...], float]:
    return {(gateway.name,): float(measure(gateway)) for gateway in gateways}


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"oneprice_{name}", words, value=value)


def _counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(f"oneprice_{name}", words, value=value)


def _gauges(
    name: str, words: str, labels: tuple[str, ...], values: Mapping[Labels, float]
) -> Metric:
    family = GaugeMetricFamily(f"oneprice_{name}", words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counters(
    name: str, words: str, labels: tuple[str, ...], values: Mapping[Labels, float]
) -> Metric:
    family = CounterMetricFamily(f"oneprice_{name}", words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(name: str, words: str, found: Histogram) -> Metric:
    family = HistogramMetricFamily(f"oneprice_{name}", words)
    bounds = [
        ("+Inf" if bound == float("inf") else repr(bound), float(below))
        for bound, below in found.cumulated()
    ]
    family.add_metric([], buckets=bounds, sum_value=found.nanos / SECOND)
    return family

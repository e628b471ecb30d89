"""A soak: trade for long on unreliable twins, and watch what grows, what gets slow, what is lost.

    python -m benchmarks.soak [--minutes 60] [--calm] [--json]

Both venues run in a process of their own and lose, repeat and delay frames, cut connections, fall
silent and leave orders without answers, at the rates in `WEATHER`. Every ten seconds the trader's
memory, latency and counts are read. Printed: the slope of its resident memory after the first
third, latency from frame to order by hour, gaps, resyncs, reconnects, how groups ended, the
longest time that a group stood unhedged, and what the ledger leaves unexplained. The exit status
is 1 where money, orders or the program itself are not as they must be; memory and latency are
figures, not verdicts.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from oneprice.app.build import spec_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.lab import Lab, start_lab, twin_endpoints
from oneprice.app.run import Running, run, start
from oneprice.app.summary import Summary, quantile
from oneprice.cli.speech import quiet_logs
from oneprice.model.units import MICRO

VENUES: Mapping[str, tuple[str, ...]] = {"bybit": ("spot", "linear"), "binance": ("spot", "usdm")}
WEATHER: Mapping[str, float] = {
    "frame_loss": 0.0002,
    "frame_repeat": 0.0002,
    "frame_late": 0.0002,
    "cut_mean_s": 600,
    "silence_mean_s": 900,
    "answer_lost": 0.002,
    "error_after": 0.002,
    "error_before": 0.002,
    "answer_late": 0.005,
}
SAMPLE_EVERY_S = 10.0
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the trader."""

    second: float
    rss_kb: int
    frames: int
    resyncs: int
    reconnects: int
    orders: int
    latencies: int  # heard so far
    p99_us: float | None  # of those since the look before


class Watcher:
    """Called by the run a few times a second; keeps a sample every ten seconds."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.running: Running | None = None
        self._due = 0.0
        self._sends: list[int] = []

    def look(self, running: Running) -> None:
        self.running = running
        now = time.monotonic() - running.started
        if running.phase != "trading" or now < self._due:
            return
        self._due = now + SAMPLE_EVERY_S
        recent = list(running.runtime.latencies_ns)
        running.runtime.latencies_ns.clear()
        self._sends += recent
        counts = running.desk.engine.report.counts()
        worst = quantile(recent, 0.99)
        self.samples.append(
            Sample(
                second=round(now, 1),
                rss_kb=_resident_kb(),
                frames=running.desk.frames,
                resyncs=sum(g.resyncs for g in running.gateways),
                reconnects=sum(g.reconnects for g in running.gateways),
                orders=counts["orders"],
                latencies=len(self._sends),
                p99_us=None if worst is None else round(worst / MICRO, 1),
            )
        )

    def latency_us(self) -> dict[str, float | None]:
        found = {f"p{int(s * 100)}": quantile(self._sends, s) for s in (0.50, 0.99)}
        return {name: None if ns is None else round(ns / MICRO, 1) for name, ns in found.items()}


def _resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KB


def slope_kb_per_hour(samples: Sequence[Sample]) -> float | None:
    """Of resident memory, after the first third: the median of all slopes between two looks
    (Theil and Sen), which single jumps do not move."""
    late = samples[len(samples) // 3 :]
    slopes = [
        (b.rss_kb - a.rss_kb) / (b.second - a.second) * 3600
        for number, a in enumerate(late)
        for b in late[number + 1 :]
    ]
    return round(median(slopes), 1) if slopes else None


async def soak(minutes: float, *, calm: bool, directory: Path, watcher: Watcher) -> Summary:
    options: list[str] = []
    for name, rate in {} if calm else WEATHER.items():
        options += ["--fault", f"{name}={rate}"]
    lab = await start_lab(list(VENUES), "seed:7", options)
    try:
        _keys_of(lab)
        config = RunConfig(
            seconds=minutes * 60,
            venues=tuple(_venue(lab, name, markets) for name, markets in VENUES.items()),
        )
        return await run(config, directory, look=watcher.look, stop=asyncio.Event())
    finally:
        await lab.close()


def _venue(lab: Lab, name: str, markets: tuple[str, ...]) -> VenueConfig:
    twin = lab.twins[name]
    ends = twin_endpoints(name, twin.rest, twin.ws, spec_of(name).hosts["live"])
    return VenueConfig(name=name, markets=markets, endpoints=ends)


def _keys_of(lab: Lab) -> None:
    for name, twin in lab.twins.items():
        keys = twin.credentials()
        os.environ[f"ONEPRICE_{name.upper()}_KEY"] = keys.key
        os.environ[f"ONEPRICE_{name.upper()}_SECRET"] = keys.secret


def figures(summary: Summary, watcher: Watcher) -> dict[str, Any]:
    """What the documents quote, and `wrong`: what must not be."""
    samples = watcher.samples
    wrong = [
        *(f"left: {what}" for what in summary.left),
        *(f"discrepancy: {what}" for what in summary.discrepancies),
    ]
    if summary.ledger_residual != "0":
        wrong.append(f"ledger residual {summary.ledger_residual}")
    if summary.failure:
        wrong.append(f"failure: {summary.failure}")
    if summary.groups["STUCK"]:
        wrong.append(f"{summary.groups['STUCK']} groups stuck")
    return {
        "minutes": round(summary.seconds / 60, 1),
        "frames": summary.frames,
        "orders": summary.orders,
        "fills": summary.fills,
        "groups": summary.groups,
        "gaps_and_resyncs": summary.resyncs,
        "reconnects": summary.reconnects,
        "unhedged": _unhedged(watcher.running),
        "latency_us": watcher.latency_us(),
        "p99_us_by_sixth": _by_sixth(samples),
        "rss_mb_first_last": [round(s.rss_kb / 1024, 1) for s in (samples[0], samples[-1])],
        "rss_slope_mb_per_hour": _mb(slope_kb_per_hour(samples)),
        "earned": summary.earned,
        "ledger_residual": summary.ledger_residual,
        "clutch": summary.clutch,
        "wrong": wrong,
    }


def _unhedged(running: Running | None) -> dict[str, float | int]:
    """How often and for how long legs differed."""
    if running is None:
        return {}
    told = running.desk.engine.report.unhedged()
    return {
        "spans": told.count,
        "longest_ms": round(told.longest_ms, 1),
        "alarms": told.alarms,
    }


def _by_sixth(samples: Sequence[Sample]) -> list[float | None]:
    """The median of the ten-second p99 in each sixth of the time: does it creep?"""
    size = max(1, len(samples) // 6)
    found: list[float | None] = []
    for start_at in range(0, size * 6, size):
        values = [s.p99_us for s in samples[start_at : start_at + size] if s.p99_us is not None]
        found.append(round(median(values), 1) if values else None)
    return found


def _mb(kilobytes: float | None) -> float | None:
    return None if kilobytes is None else round(kilobytes / 1024, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--calm", action="store_true", help="twins without faults")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    quiet_logs()
    watcher = Watcher()
    with tempfile.TemporaryDirectory(prefix="oneprice-soak-") as folder:
        directory = Path(folder) / "session"
        summary = start(
            lambda: soak(wanted.minutes, calm=wanted.calm, directory=directory, watcher=watcher)
        )
    told = figures(summary, watcher)
    if wanted.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for name, value in told.items():
            sys.stdout.write(f"{name:<24} {value}\n")
    raise SystemExit(1 if told["wrong"] else 0)


if __name__ == "__main__":
    main()

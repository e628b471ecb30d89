"""What telemetry costs on the hot path: the same run with it and without it, in turn.

The server of the latency benchmark (see arena.py) stamps frames and orders; the client is
oneprice as `oneprice run` builds it (see tick_to_order.py). `off` has no port; `on` serves its
pages and is scraped every second by this process, JSON log file and alerts included. Rounds of
both are taken in turn. Shown are medians over the rounds: frame to order, frames per second of
processor time, and how long a scrape took.

    python -m benchmarks.telemetry [--json] [--quick] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tick_to_order import (
    HERE,
    STOP_S,
    _ask,
    _quantiles,
    check,
    cores,
    line,
    process,
    trade_with,
)

SIDES = ("off", "on")
# Long enough for several scrapes in each round; nearly all frames come in bursts, so that the
# processor time of a scrape is counted against a busy program and not against an idle one.
PLANS = {
    "single": {"burst": 1, "rate": 250, "ticks": 600, "warm": 100},
    "burst": {"burst": 20, "rate": 200, "ticks": 1200, "warm": 50},
}
SCRAPE_EVERY_S = 1.0


def client(rest: str, ws: str, directory: Path, port: int, alerts: str) -> None:
    """Run until asked to stop; then say how many frames and how much processor time it took."""
    from oneprice.app.config import TelemetrySettings

    if alerts:
        os.environ["ONEPRICE_ALERTS"] = alerts
    log = str(directory.parent / "log.json") if port else ""
    settings = TelemetrySettings(port=port, log_file=log)
    began: list[tuple[float, int]] = []

    def look(running: object) -> None:
        if not began and running.phase == "trading":  # type: ignore[attr-defined]
            began.append((time.process_time(), running.desk.frames))  # type: ignore[attr-defined]

    summary = trade_with(rest, ws, directory, telemetry=settings, look=look)
    cpu_s, frames = time.process_time() - began[0][0], summary.frames - began[0][1]
    print(json.dumps({"frames": frames, "cpu_s": cpu_s}), flush=True)


class Scraper:
    """Asks for the metrics every second, and keeps how long each answer took, in seconds."""

    def __init__(self, port: int) -> None:
        self.took: list[float] = []
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._done.wait(SCRAPE_EVERY_S):
            began = time.perf_counter()
            try:
                with urllib.request.urlopen(self._url, timeout=5) as answer:
                    answer.read()
            except OSError:
                continue  # not up yet
            self.took.append(time.perf_counter() - began)

    def close(self) -> None:
        self._done.set()
        self._thread.join()


def play(side: str, plans: dict[str, dict[str, int]]) -> dict[str, object]:
    """One run against a fresh arena."""
    server_core, client_core = cores()
    port, silent = (_free_port(), _free_port()) if side == "on" else (0, 0)
    alerts = f"json://127.0.0.1:{silent}" if silent else ""
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as directory:
        session = Path(directory) / "session"
        with process("benchmarks.arena", server_core, stdin=subprocess.PIPE) as arena:
            ends = line(arena.stdout)
            own = (str(ends["rest"]), str(ends["ws"]), str(session), str(port), alerts or "-")
            command = ("benchmarks.telemetry", "--client", *own, client_core or "-")
            scraper = Scraper(port) if port else None
            with process(*command) as child:
                for name, plan in plans.items():
                    found[name] = _quantiles(_ask(arena, side, name, plan))
                child.send_signal(signal.SIGINT)
                found |= line(child.stdout)
                child.wait(STOP_S)
            if scraper is not None:
                scraper.close()
                found["scrapes"] = scraper.took
        check(session)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(rounds: int, *, quick: bool) -> dict[str, object]:
    """Both sides in turn, `rounds` times."""
    plans = {name: dict(plan) for name, plan in PLANS.items()}
    if quick:
        for plan in plans.values():
            plan["ticks"] //= 4
    found: dict[str, list[dict[str, object]]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            found[side].append(play(side, plans))
    table: dict[str, dict[str, object]] = {}
    for side, runs in found.items():
        rates = [int(r["frames"]) / float(r["cpu_s"]) for r in runs]  # type: ignore[call-overload,arg-type]
        table[side] = {"frames_per_cpu_second": round(statistics.median(rates))}
        for name in plans:
            table[side][f"{name}_p50_p90_p99_us"] = [
                round(statistics.median(r[name][i] for r in runs) / 1000, 1)  # type: ignore[index]
                for i in range(3)
            ]
    scrapes = [took for r in found["on"] for took in r["scrapes"]]  # type: ignore[attr-defined]
    ratios = {
        "frames_per_cpu_second": _ratio(table, "frames_per_cpu_second", None),
        **{f"{n}_p50": _ratio(table, f"{n}_p50_p90_p99_us", 0) for n in plans},
        **{f"{n}_p99": _ratio(table, f"{n}_p50_p90_p99_us", 2) for n in plans},
    }
    return {
        "rounds": rounds,
        "scrapes": len(scrapes),
        "scrape_ms_median": round(1000 * statistics.median(scrapes), 2) if scrapes else None,
        "scrape_ms_max": round(1000 * max(scrapes), 2) if scrapes else None,
        **table,
        "on_over_off": ratios,
    }


def _ratio(table: dict[str, dict[str, object]], name: str, index: int | None) -> float:
    on, off = table["on"][name], table["off"][name]
    if index is not None:
        on, off = on[index], off[index]  # type: ignore[index]
    return round(float(on) / float(off), 3)  # type: ignore[arg-type]


def table(result: dict[str, object]) -> str:
    """The result for people."""
    lines = [f"{'telemetry':<10} {'frames/cpu s':>13} {'single p50 p90 p99 us':>28}"
             f" {'burst p50 p90 p99 us':>28}"]  # fmt: skip
    for side in SIDES:
        row = result[side]
        assert isinstance(row, dict)
        times = ["".join(f"{x:>9}" for x in row[f"{n}_p50_p90_p99_us"]) for n in PLANS]
        rate = f"{row['frames_per_cpu_second']:>13,}"
        lines.append(f"{side:<10} {rate} {times[0]:>28} {times[1]:>28}")
    ratios = result["on_over_off"]
    assert isinstance(ratios, dict)
    lines.append("on/off     " + ", ".join(f"{name} {value}" for name, value in ratios.items()))
    lines.append(
        f"{result['scrapes']} scrapes, {result['scrape_ms_median']} ms each,"
        f" {result['scrape_ms_max']} ms at most"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the cost as a table or as JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--quick", action="store_true", help="a quarter of the ticks, one round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--client", nargs=6, help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.client:
        rest, ws, directory, port, alerts, core = chosen.client
        if core != "-":
            os.sched_setaffinity(0, {int(core)})
        client(rest, ws, Path(directory), int(port), "" if alerts == "-" else alerts)
        return
    result = measure(1 if chosen.quick else chosen.rounds, quick=chosen.quick)
    print(json.dumps(result) if chosen.json else table(result))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()

"""Frame on the socket to order on the socket: the whole of oneprice against a usual bot.

A server in its own process (see arena.py) stamps the frame that opens an edge and the order that
answers it. Clients, one at a time, each in a process of its own:

  sleeping   oneprice as `oneprice run` builds it: dialect, kernel, spot_futures with its card,
             gate, leg group, journal on disk before the wire, every input on the tape
  busy_poll  the same with --busy-poll: its loop never sleeps
  rival      websockets + json + sorted books + one order socket (see rival.py)

Ticks come alone, or at the end of a burst of twenty deltas in one write. Rounds of all clients
are taken in turn, and medians over the rounds are shown. Where there are two cores the server has
one and the client the other; anything else that runs on them shows in the numbers, above all in
those of busy_poll. The venue's allowance for orders and our own pace of four groups a second are
lifted (they would measure patience); pacer and gate still count. Every timed run of oneprice is
replayed afterwards and must decide the same.

    python -m benchmarks.tick_to_order [--json] [--quick] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from oneprice.app import run
    from oneprice.app.summary import Summary

HERE = Path(__file__).resolve().parent
CLIENTS = ("sleeping", "busy_poll", "rival")
# What is asked of this machine: so many times faster than the rival's median.
GOALS = {"sleeping single": 2.0, "busy_poll single": 5.0, "sleeping burst": 4.0}
PLANS = {
    "single": {"burst": 1, "rate": 500, "ticks": 600, "warm": 200},
    "burst": {"burst": 20, "rate": 200, "ticks": 200, "warm": 50},
}
STOP_S = 10.0


# The client ------------------------------------------------------------------------------


def trade(rest: str, ws: str, busy_poll: bool, directory: Path) -> None:
    """Run oneprice against the arena until asked to stop."""
    trade_with(rest, ws, directory, busy_poll=busy_poll)


def trade_with(
    rest: str,
    ws: str,
    directory: Path,
    *,
    look: Callable[[run.Running], None] | None = None,
    **changes: object,
) -> Summary:
    """The same with further settings of the run, shown to whoever looks."""
    import msgspec

    from oneprice.app import run
    from oneprice.app.build import spec_of
    from oneprice.app.config import RunConfig, VenueConfig
    from oneprice.app.lab import twin_endpoints
    from oneprice.model.settings import EngineSettings, GateSettings
    from oneprice.shell.pacing import Pacer

    os.environ |= {"ONEPRICE_BYBIT_KEY": "key", "ONEPRICE_BYBIT_SECRET": "secret"}
    venue = VenueConfig(
        name="bybit",
        markets=("spot", "linear"),
        symbols=("BTCUSDT",),
        endpoints=twin_endpoints("bybit", rest, ws, spec_of("bybit").hosts["live"]),
    )
    engine = EngineSettings(gate=GateSettings(groups_per_second_max=1_000_000))
    config = RunConfig(
        strategies=("spot_futures",), venues=(venue,), engine=engine, **changes  # type: ignore[arg-type]
    )

    lifted: list[str] = []

    def lift(running: run.Running) -> None:
        if look is not None:
            look(running)
        for gateway in running.gateways:
            if gateway.name not in lifted:
                limits = running.desk.dialect(gateway.name).feed.spec.limits
                raised = [msgspec.structs.replace(x, count=x.count * 10_000) for x in limits]
                gateway.outbox.pacer = Pacer(raised)
                lifted.append(gateway.name)

    async def main() -> Summary:
        stop = asyncio.Event()
        run.stop_on_signals(stop)
        return await run.run(config, directory, look=lift, stop=stop)

    return run.start(main)


# The rounds ------------------------------------------------------------------------------


def cores() -> tuple[str, str]:
    """A core for the server and another for the client, where there are two."""
    if not hasattr(os, "sched_getaffinity"):
        return "", ""
    there = sorted(os.sched_getaffinity(0))
    return (str(there[0]), str(there[1])) if len(there) > 1 else ("", "")


@contextlib.contextmanager
def process(*command: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A child of ours that ends when the block does, politely if it can."""
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=HERE.parent,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("BENCH_ERRORS") else subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        if child.stdin is not None:
            child.stdin.close()
        child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def line(stream: IO[bytes] | None) -> dict[str, object]:
    assert stream is not None
    found = stream.readline()
    if not found:
        raise SystemExit("tick_to_order: the arena ended; BENCH_ERRORS=1 shows why")
    result: dict[str, object] = json.loads(found)
    return result


def play(client: str, plans: dict[str, dict[str, int]]) -> dict[str, list[int]]:
    """One client against a fresh arena: nanoseconds of every tick, by plan."""
    server_core, client_core = cores()
    found: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as directory:
        session = Path(directory) / "session"
        with process("benchmarks.arena", server_core, stdin=subprocess.PIPE) as arena:
            ends = line(arena.stdout)
            rest, ws = str(ends["rest"]), str(ends["ws"])
            command = ("benchmarks.rival", ws, client_core)
            if client != "rival":
                own = ("--client", client, rest, ws, str(session), client_core)
                command = ("benchmarks.tick_to_order", *own)
            with process(*command):
                for name, plan in plans.items():
                    found[name] = _ask(arena, client, name, plan)
        if client != "rival":
            check(session)
    return found


def _ask(
    arena: subprocess.Popen[bytes], client: str, name: str, plan: dict[str, int]
) -> list[int]:
    assert arena.stdin is not None
    arena.stdin.write(json.dumps(plan).encode() + b"\n")
    arena.stdin.flush()
    result = line(arena.stdout)
    if "error" in result:
        raise SystemExit(f"tick_to_order: {client}, {name}: {result['error']}")
    if result["missed"]:
        print(f"{client} {name}: {result['missed']} ticks missed", file=sys.stderr)
    times = result["ns"]
    assert isinstance(times, list)
    return times


def check(session: Path) -> None:
    """A run that was timed must replay, decision for decision: nothing was left out for speed."""
    from oneprice.app.parity import compare

    parity = compare(session)
    if not parity.decisions or parity.first_difference is not None:
        raise SystemExit(f"tick_to_order: the timed run does not replay: {parity}")


def measure(rounds: int, *, quick: bool) -> dict[str, object]:
    """All clients in turn, `rounds` times; medians over rounds of each round's quantiles."""
    plans = {name: dict(plan) for name, plan in PLANS.items()}
    if quick:
        for plan in plans.values():
            plan["ticks"] //= 4
    times: dict[str, list[list[int]]] = {f"{c} {p}": [] for p in plans for c in CLIENTS}
    for _ in range(rounds):
        for client in CLIENTS:
            for name, measured in play(client, plans).items():
                times[f"{client} {name}"].append(measured)
    quantiles = {name: [_quantiles(one) for one in found] for name, found in times.items()}
    table = {
        name: [round(statistics.median(q[i] for q in found) / 1000, 1) for i in range(3)]
        for name, found in quantiles.items()
    }
    ratios = {
        name: round(table[f"rival {name.split()[1]}"][0] / row[0], 2)
        for name, row in table.items()
    }
    return {
        "ticks_per_round": {name: plan["ticks"] for name, plan in plans.items()},
        "rounds": rounds,
        "cores": os.cpu_count(),
        "p50_p90_p99_us": table,
        "times_faster_than_rival": ratios,
        "goals": GOALS,
    }


def _quantiles(times: Sequence[int]) -> tuple[int, int, int]:
    ordered = sorted(times)
    last = len(ordered) - 1
    return ordered[last // 2], ordered[last * 9 // 10], ordered[last * 99 // 100]


def table(result: dict[str, object]) -> str:
    """The result for people."""
    rows, ratios = result["p50_p90_p99_us"], result["times_faster_than_rival"]
    assert isinstance(rows, dict) and isinstance(ratios, dict)
    lines = [f"{'frame to order, us':<20} {'p50':>8} {'p90':>8} {'p99':>8}   times rival"]
    for name, row in rows.items():
        goal = f"  (goal {GOALS[name]:g})" if name in GOALS else ""
        numbers = " ".join(f"{x:>8}" for x in row)
        lines.append(f"{name:<20} {numbers}   {ratios[name]}{goal}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the latencies as a table or as JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--quick", action="store_true", help="a quarter of the ticks, one round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--client", nargs=5, help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.client:
        name, rest, ws, directory, core = chosen.client
        if core:
            os.sched_setaffinity(0, {int(core)})
        trade(rest, ws, name == "busy_poll", Path(directory))
        return
    start = time.monotonic()
    result = measure(1 if chosen.quick else chosen.rounds, quick=chosen.quick)
    result["seconds"] = round(time.monotonic() - start, 1)
    print(json.dumps(result) if chosen.json else table(result))


if __name__ == "__main__":
    main()

"""Every number that the documents quote, books to journal, in one table or one document.

    python -m benchmarks [--json] [--quick]

Each benchmark runs in a process of its own, one after the other, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import journal, listing, telemetry
from benchmarks.tick_to_order import table

HERE = Path(__file__).resolve().parent
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "hot_path": (str(HERE / "hot_path.py"),),
    "memory": (str(HERE / "memory.py"),),
    "tick_to_order": ("-m", "benchmarks.tick_to_order"),
    "journal": (str(HERE / "journal.py"),),
    "telemetry": ("-m", "benchmarks.telemetry"),
    "listing": ("-m", "benchmarks.listing"),
}
QUICK: Mapping[str, tuple[str, ...]] = {
    "hot_path": ("--messages", "10000", "--rounds", "3"),
    "tick_to_order": ("--quick",),
    "journal": ("--quick",),
    "telemetry": ("--quick",),
    "listing": ("--rounds", "5"),
}


def run(name: str, *, quick: bool) -> Any:
    """The JSON of one benchmark; ends the program with its words where it failed."""
    command = [sys.executable, *COMMANDS[name], "--json", *(QUICK.get(name, ()) if quick else ())]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr.decode(errors='replace')}")
    return json.loads(done.stdout)


def shown(name: str, result: Any) -> str:
    """One benchmark for people."""
    if name == "tick_to_order":
        return table(result)
    if name == "journal":
        return journal.table(result)
    if name == "telemetry":
        return telemetry.table(result)
    if name == "listing":
        return listing.table(result)
    lines = []
    if name == "hot_path":
        lines.append(f"raw depth frames to best bid and ask, {result['messages']} messages")
        for variant, rate in result["messages_per_second"].items():
            ratio = result["times_rival"][variant]
            lines.append(f"{variant:<20} {rate:>10,} messages/s   {ratio:g} times rival")
    else:
        lines.append("100 instruments, 200 levels a side, 1000 price points each")
        for variant, numbers in result.items():
            lines.append(f"{variant:<20} {numbers['process_mb']:>10} MB resident")
    return "\n".join(lines)


def main() -> None:
    """Run everything; print tables, or one JSON document."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--json", action="store_true", help="one document for programs")
    options.add_argument("--quick", action="store_true", help="fewer rounds")
    chosen = options.parse_args()
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    found: dict[str, Any] = {"machine": machine}
    for name in COMMANDS:
        if not chosen.json:
            print(f"{name} ...", end="\r", file=sys.stderr, flush=True)
        found[name] = run(name, quick=chosen.quick)
        if not chosen.json:
            print(shown(name, found[name]), end="\n\n", flush=True)
    if chosen.json:
        print(json.dumps(found))
    else:
        print(machine)


if __name__ == "__main__":
    main()

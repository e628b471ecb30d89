"""What one record costs in the journal, by its sync policy, and in a plain file for comparison.

    python benchmarks/journal.py [--json] [--quick] [--directory .]

The rival writes the same bytes as a line to a buffered file and flushes it, as a log does; the
second rival also waits for the disk. All files are made in a directory of their own on the disk
of `--directory` and removed afterwards; what `always` costs is a property of that disk. Each
figure is the median over the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from oneprice.store.journal import JournalWriter, Sync

RECORD_BYTES = 1_500  # a turn with an intent, its card and two orders
WARM = 20  # records of each run that are not counted
POLICIES: tuple[Sync, ...] = ("never", "interval", "always")

Append = Callable[[bytes], None]


def journal(directory: Path, sync: Sync) -> tuple[Append, Callable[[], None]]:
    """Ours."""
    writer = JournalWriter(directory / "journal", sync=sync)
    return writer.append, writer.close


def plain(directory: Path, *, synced: bool) -> tuple[Append, Callable[[], None]]:
    """The rival: no checksum, no chain, nothing found out about a torn or damaged line."""
    file = (directory / "plain.jsonl").open("ab")

    def append(payload: bytes) -> None:
        file.write(payload + b"\n")
        file.flush()
        if synced:
            os.fsync(file.fileno())

    return append, file.close


VARIANTS: Mapping[str, Callable[[Path], tuple[Append, Callable[[], None]]]] = {
    "plain file": lambda directory: plain(directory, synced=False),
    **{sync: (lambda d, sync=sync: journal(d, sync)) for sync in POLICIES},
    "plain file, fsync": lambda directory: plain(directory, synced=True),
}


def one_run(variant: str, disk: Path, count: int) -> tuple[float, float, float]:
    """Microseconds per record: median, 99th percentile, average."""
    payload = json.dumps({"at": 1_800_000_000_000_000_000, "text": "x" * RECORD_BYTES}).encode()
    payload = payload[:RECORD_BYTES]
    spent: list[int] = []
    with tempfile.TemporaryDirectory(dir=disk, prefix="journal-bench-") as there:
        append, close = VARIANTS[variant](Path(there))
        for _ in range(WARM + count):
            began = time.perf_counter_ns()
            append(payload)
            spent.append(time.perf_counter_ns() - began)
        close()
    del spent[:WARM]
    spent.sort()
    return (
        spent[count // 2] / 1000,
        spent[count * 99 // 100] / 1000,
        sum(spent) / count / 1000,
    )


def measure(disk: Path, *, quick: bool) -> dict[str, Any]:
    """Every variant, the runs interleaved so that a busy moment hits them all."""
    runs = 3 if quick else 7
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in VARIANTS}
    for _ in range(runs):
        for name, results in found.items():
            slow = "always" in name or "fsync" in name
            count = (100 if quick else 200) if slow else (2_000 if quick else 10_000)
            results.append(one_run(name, disk, count))
    columns = ("p50_us", "p99_us", "mean_us")
    return {
        "record_bytes": RECORD_BYTES,
        "runs": runs,
        "variants": {
            name: {
                column: round(statistics.median(result[place] for result in results), 1)
                for place, column in enumerate(columns)
            }
            for name, results in found.items()
        },
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"one record of {result['record_bytes']} bytes, microseconds, "
        f"median of {result['runs']} runs",
        f"{'':<20}{'p50':>12}{'p99':>12}{'average':>12}",
    ]
    for name, figures in result["variants"].items():
        row = "".join(f"{figures[c]:>12,.1f}" for c in ("p50_us", "p99_us", "mean_us"))
        lines.append(f"{name:<20}{row}")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or one JSON document."""
    options = argparse.ArgumentParser(description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--json", action="store_true", help="one document for programs")
    options.add_argument("--quick", action="store_true", help="fewer runs and records")
    options.add_argument("--directory", type=Path, default=Path(), help="on the disk to measure")
    chosen = options.parse_args()
    result = measure(chosen.directory, quick=chosen.quick)
    print(json.dumps(result) if chosen.json else table(result))


if __name__ == "__main__":
    main()

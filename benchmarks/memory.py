"""Resident memory of a hundred books of 200 levels a side with a thousand price points each.

    python benchmarks/memory.py [--json]

Each kernel is measured in a process of its own: what the interpreter and the imports take, and
what the books and the price points add to it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
from array import array
from importlib import import_module
from pathlib import Path

INSTRUMENTS, LEVELS, POINTS = 100, 200, 1000
KERNELS = {"reference": "oneprice.kernel.reference", "native": "oneprice.kernel._native"}


def resident_mb() -> float:
    """Resident memory of this process now (its peak where /proc is absent)."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def levels(start: int, step: int) -> bytes:
    """A side of a snapshot as a venue writes it."""
    prices = (start + step * place for place in range(LEVELS))
    sides = [
        [f"{price / 100:.2f}", f"{((price * 7919) % 99991 + 1) / 1000:.3f}"] for price in prices
    ]
    return json.dumps(sides).encode()


def measure(module_name: str) -> tuple[float, float] | None:
    """(MB before, MB added) for one kernel, None when it is not built."""
    try:
        module = import_module(module_name)
    except ImportError:
        return None
    before = resident_mb()
    kept = []
    for number in range(INSTRUMENTS):
        middle = 500_000 + 1000 * number
        book = module.Book("0.01", "0.001")
        book.snapshot(levels(middle, -1), levels(middle + 1, 1), 0, 1)
        kept.append((book, array("q", range(middle, middle + POINTS))))
    assert all(len(book.bids()) == len(book.asks()) == LEVELS for book, _ in kept)
    return before, resident_mb() - before


def main() -> None:
    """Print megabytes per kernel."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    result = {}
    for name, module_name in KERNELS.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured = pool.apply(measure, (module_name,))
        if measured is not None:
            before, added = measured
            result[name] = {"process_mb": round(before + added, 1), "added_mb": round(added, 2)}
    if chosen.json:
        print(json.dumps(result))
        return
    print(f"{INSTRUMENTS} instruments, {LEVELS} levels a side, {POINTS} price points each")
    for name, numbers in result.items():
        print(f"{name:<10} {numbers['process_mb']} MB, books and points {numbers['added_mb']} MB")


if __name__ == "__main__":
    main()

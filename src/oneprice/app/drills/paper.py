"""The report of drills: a table for a screen, Markdown or JSON for whoever keeps it."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from oneprice import __version__, kernel
from oneprice.app.drills.contract import Result


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the drills were run; nothing that tells whose machine it is."""

    system: str
    processor: str
    cores: int
    python: str


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a person who was not there wants to know."""

    date: str  # UTC
    version: str
    kernel: str
    machine: Machine
    passed: int
    failed: int
    skipped: int
    longest_unhedged_ms: float
    drills: list[Result]


def protocol(results: Sequence[Result]) -> Protocol:
    outcomes = [result.outcome for result in results]
    return Protocol(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        kernel=kernel.NAME,
        machine=_machine(),
        passed=outcomes.count("pass"),
        failed=outcomes.count("fail"),
        skipped=outcomes.count("skipped"),
        longest_unhedged_ms=max((result.unhedged_ms for result in results), default=0.0),
        drills=list(results),
    )


def _machine() -> Machine:
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=platform.machine(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
    )


def write(path: Path, told: Protocol) -> None:
    """JSON where the name ends so, else Markdown. Raises OSError."""
    if path.suffix == ".json":
        path.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    else:
        path.write_text("\n".join(markdown(told)) + "\n", encoding="utf-8")


# For a screen -----------------------------------------------------------------------------


def told(result: Result) -> list[str]:
    """One drill, line by line."""
    lines = [f"{result.name}: {result.title} ({' and '.join(result.venues)})"]
    lines += [f"  done    {text}" for text in result.did]
    for check in result.checks:
        mark = "holds " if check.held else "BROKEN"
        lines += [f"  {mark}  {check.must}", f"          seen: {check.seen}"]
    if result.trouble:
        lines.append(f"  {result.trouble}")
    return [*lines, f"  {_figures(result)}"]


def _figures(result: Result) -> str:
    parts = [result.outcome, f"{result.seconds:.1f} s", f"unhedged {result.unhedged_ms:.0f} ms"]
    if result.recovery_ms is not None:
        parts.append(f"well again after {result.recovery_ms:.0f} ms")
    return ", ".join(parts)


HEAD = ("drill", "venues", "outcome", "held", "unhedged ms", "recovery ms", "seconds")


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """The table at the end: one row a drill."""
    return [
        (
            result.name,
            ",".join(result.venues),
            result.outcome,
            f"{sum(check.held for check in result.checks)} of {len(result.checks)}",
            f"{result.unhedged_ms:.0f}",
            "" if result.recovery_ms is None else f"{result.recovery_ms:.0f}",
            f"{result.seconds:.1f}",
        )
        for result in results
    ]


def table(results: Sequence[Result]) -> list[str]:
    found = [HEAD, *rows(results)]
    widths = [max(len(row[place]) for row in found) for place in range(len(HEAD))]
    lines = ["  ".join(_cell(row, widths, place) for place in range(len(HEAD))) for row in found]
    return [line.rstrip() for line in lines]


def _cell(row: Sequence[str], widths: Sequence[int], place: int) -> str:
    text, width = row[place], widths[place]
    return text.ljust(width) if place < 3 else text.rjust(width)


def verdict(told: Protocol) -> str:
    parts = [f"{told.passed} passed", f"{told.failed} failed"]
    if told.skipped:
        parts.append(f"{told.skipped} skipped")
    return f"{', '.join(parts)}; longest unhedged {told.longest_unhedged_ms:.0f} ms"


# To keep ----------------------------------------------------------------------------------


def markdown(told: Protocol) -> list[str]:
    machine = told.machine
    lines = [
        "# Drills of oneprice",
        "",
        f"* {told.date}, version {told.version}, kernel {told.kernel}",
        f"* {machine.system}, {machine.processor}, {machine.cores} cores, Python {machine.python}",
        f"* {verdict(told)}",
        "",
        "Each drill trades on real sockets against twins of the venues on this machine. "
        "*Unhedged* is the longest time in which the legs differed by the venues' own record of "
        "fills; *recovery* counts from the end of the misfortune to where all is well again.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{' --- |' * len(HEAD)}",
        *(f"| {' | '.join(row)} |" for row in rows(told.drills)),
    ]
    for result in told.drills:
        lines += ["", f"## {result.name}: {result.title}", "", "Done:", ""]
        lines += [f"* {text}" for text in result.did] or ["* nothing"]
        lines += ["", "| must hold | seen | |", "| --- | --- | --- |"]
        for check in result.checks:
            mark = "holds" if check.held else "**broken**"
            lines.append(f"| {_safe(check.must)} | {_safe(check.seen)} | {mark} |")
        if result.trouble:
            lines += ["", result.trouble]
    return lines


def _safe(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")

"""`oneprice tape`: are recordings sound, and ours from those of others."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from oneprice.app import tapecheck, tapeimport
from oneprice.cli.speech import EXIT_BAD_INPUT, EXIT_WRONG, complain, say

app = typer.Typer(
    name="tape", help="Check and convert recordings of venues.", no_args_is_help=True,
    rich_markup_mode=None,
)

Files = Annotated[
    list[Path],
    typer.Argument(help="Recordings, or directories of them.", show_default=False),
]
Venue = Annotated[str, typer.Option("--venue", help="The venue, where it cannot be told.")]
Market = Annotated[str, typer.Option("--market", help="The market, where it cannot be told.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command("check")
def check(files: Files, venue: Venue = "", market: Market = "", as_json: Json = False) -> None:
    """Rebuild every book with the real dialects; exit status 1 when one was wrong."""
    try:
        with _progress() as told:
            report = tapecheck.check(files, venue, market, told)
    except tapecheck.Unusable as error:
        complain(str(error))
        raise typer.Exit(EXIT_BAD_INPUT) from None
    if as_json:
        say(msgspec.json.encode(report).decode())
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)


@app.command("import")
def import_(
    sources: Files,
    out: Annotated[Path, typer.Option("--out", help="Directory for the tapes.")],
    venue: Venue = "",
    market: Market = "",
    as_json: Json = False,
) -> None:
    """Write recordings as tapes of our own; exit status 1 when one was damaged."""
    try:
        with _progress() as told:
            done = tapeimport.import_all(sources, out, venue, market, told)
    except tapecheck.Unusable as error:
        complain(str(error))
        raise typer.Exit(EXIT_BAD_INPUT) from None
    if as_json:
        say(msgspec.json.encode(done).decode())
    else:
        for each in done:
            if each.tape:
                say(f"{each.path} -> {each.tape}: {each.records} records")
            else:
                say(f"{each.path}: not imported: {each.reason}")
            for finding in each.findings:
                complain(finding)
    if any(each.findings for each in done):
        raise typer.Exit(EXIT_WRONG)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on standard error that says which file is read, where somebody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda name: None
        return
    with console.status("reading") as status:
        yield lambda name: status.update(f"reading {name}")


_COLUMNS = (
    "instrument", "frames", "updates", "gaps", "resyncs", "crossed",
    "compared", "equal", "late", "per second", "",
)  # fmt: skip
_WIDTH_MIN = 110


def _show(report: tapecheck.Report) -> None:
    console = Console(file=sys.stdout, highlight=False)
    console.width = max(console.width, _WIDTH_MIN)
    for file in report.files:
        rows = [row for row in report.instruments if row.file == file.path]
        about = file.form if file.read else f"not read: {file.reason}"
        about += "" if file.ok else "; WRONG"
        console.print(f"{file.path} ({about})", markup=False, soft_wrap=True)
        if rows:
            console.print(_table(rows))
        told = [f"{row.instrument}: {reason}" for row in rows for reason in row.reasons]
        for text in (*told, *file.findings, *file.notes):
            where = text.removeprefix(f"{file.path}:").strip()
            console.print(f"  {where}", markup=False, soft_wrap=True)
    read = sum(file.read for file in report.files)
    verdict = "all of it right" if report.ok else "something is WRONG"
    counts = f"{read} recordings, {len(report.instruments)} instruments"
    console.print(f"{counts}, {report.seconds} s: {verdict}", markup=False)


def _table(rows: list[tapecheck.InstrumentReport]) -> Table:
    table = Table(box=None, pad_edge=True)
    for column in _COLUMNS:
        side: Literal["left", "right"] = "left" if column == "instrument" else "right"
        table.add_column(column, justify=side, no_wrap=True)
    for row in rows:
        counts = (
            row.frames, row.updates, row.gaps, row.resyncs, row.crossed,
            row.compared, row.equal, row.late, row.rate_per_second,
        )  # fmt: skip
        verdict = "ok" if row.ok else "WRONG"
        table.add_row(row.instrument, *(f"{count:,}" for count in counts), verdict)
    return table

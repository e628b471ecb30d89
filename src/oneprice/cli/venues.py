"""`oneprice venues`: what each venue can do here, every cell of it a card that was passed."""

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from oneprice.app.build import VENUES, spec_of
from oneprice.app.cards.play import CARDS, Verdict, play, table
from oneprice.app.config import ConfigError
from oneprice.cli.speech import EXIT_WRONG, SILENT, quiet_logs, say
from oneprice.cli.words import whole_of
from oneprice.twin.build import DIALECTS

MARKS = {"passed": "yes", "": "–", "FAILED": "FAILED", "not played": "?"}


def venues(
    names: Annotated[list[str] | None, typer.Argument(help="Only these venues.")] = None,
    card: Annotated[
        list[str] | None, typer.Option(metavar="N", help="Only this card; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Verdicts and table as JSON.")] = False,
) -> None:
    """Play the conformance cards of every venue against its twin, and show the table."""
    chosen = list(dict.fromkeys(names or [name for name in VENUES if name in DIALECTS]))
    specs = [spec_of(name) for name in chosen]
    known = [c.number for c in CARDS]
    numbers = [whole_of(text, "--card", known[0], known[-1]) for text in card or ()]
    for number in numbers:
        if number not in known:
            raise ConfigError(f"--card: found {number}, and there is no such card")
    quiet_logs(SILENT)  # cards break things on purpose
    verdicts: list[Verdict] = []
    for name in chosen:
        verdicts += asyncio.run(play(name, numbers, None if as_json else _tell))
    rows = table(verdicts, specs)
    if as_json:
        say(msgspec.json.encode({"verdicts": verdicts, "table": rows}).decode())
    else:
        _show(rows, chosen)
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(EXIT_WRONG)


def _tell(verdict: Verdict) -> None:
    mark = "passed" if verdict.passed else f"FAILED: {verdict.detail}"
    line = f"{verdict.venue:8} {verdict.number:3} {verdict.name}: {mark}"
    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)


def _show(rows: dict[str, dict[str, str]], names: list[str]) -> None:
    shown = Table(box=None, pad_edge=False)
    shown.add_column("feature")
    for name in names:
        shown.add_column(name, justify="center")
    for feature, row in rows.items():
        shown.add_row(feature.replace("_", " "), *(MARKS[row[name]] for name in names))
    Console(width=100).print(shown)

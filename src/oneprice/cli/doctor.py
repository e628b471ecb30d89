"""`oneprice doctor`: is everything there that trading needs?"""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from oneprice.app.checks import check_run
from oneprice.app.doctor import Diagnosis, examine
from oneprice.app.lab import LabError
from oneprice.cli.run import loaded
from oneprice.cli.speech import EXIT_WRONG, SILENT, complain, quiet_logs, say

_STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


def doctor(
    config: Annotated[
        Path | None, typer.Option(help="A TOML file; without it, the twins of `oneprice run`.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="twin, demo, testnet or live: which hosts of the venues.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Look at this machine, the venues and the keys; exit status 1 when something is bad."""
    chosen = loaded(config, mode)
    check_run(chosen)
    quiet_logs(SILENT)
    try:
        diagnosis = asyncio.run(examine(chosen))
    except LabError as error:
        complain(str(error))
        raise typer.Exit(EXIT_WRONG) from None
    if as_json:
        say(msgspec.json.encode(diagnosis).decode())
    else:
        _show(diagnosis)
    if not diagnosis.ok:
        raise typer.Exit(EXIT_WRONG)


def _show(diagnosis: Diagnosis) -> None:
    console = Console(highlight=False, soft_wrap=True)
    places = max(len(f.venue or "machine") for f in diagnosis.findings)
    things = max(len(f.what) for f in diagnosis.findings)
    for finding in diagnosis.findings:
        style = _STYLES[finding.mark]
        place = finding.venue or "machine"
        head = f"[{style}]{finding.mark:5}[/] {place:{places}} {finding.what:{things}}"
        console.print(head, end=" ")
        console.print(finding.found, markup=False)
    bad = sum(finding.mark == "bad" for finding in diagnosis.findings)
    against = "1 finding speaks" if bad == 1 else f"{bad} findings speak"
    console.print("all is well" if diagnosis.ok else f"{against} against trading")

"""`oneprice drill`: misfortune on real sockets against twins, and what became of the money."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from oneprice.app.drills import paper
from oneprice.app.drills.catalog import DRILLS, chosen, venues_of
from oneprice.app.drills.contract import Drill, Result
from oneprice.app.drills.perform import perform
from oneprice.cli.speech import EXIT_WRONG, SILENT, quiet_logs, say, tell_kernel


def drill(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="list|all|NAME...", help="Which drills.")
    ] = None,
    venues: Annotated[
        str, typer.Option(metavar="A,B", help="Bought on A, sold on B; B is struck.")
    ] = "bybit,binance",
    report: Annotated[
        Path | None, typer.Option(help="A file to keep: JSON where its name ends so.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Play misfortunes against twins on this machine, and say what held and what did not.

    Every drill trades on real sockets; the twins are asked what became of the orders, positions
    and money, and our own books must say the same. No key of yours is used.
    """
    if names == ["list"]:
        _list(as_json)
        return
    picked, pair = chosen(names or []), venues_of(venues)
    where = report.absolute() if report is not None else None
    if where is not None:
        where.touch()  # a path that cannot be written is better known before than after
    tell_kernel()
    quiet_logs(SILENT)
    results = [_play(one, pair, quiet=as_json) for one in picked]
    told = paper.protocol(results)
    if where is not None:
        paper.write(where, told)
    if as_json:
        say(msgspec.json.encode(told).decode())
    else:
        for line in ("", *paper.table(results), "", paper.verdict(told)):
            say(line)
    if told.failed:
        raise typer.Exit(EXIT_WRONG)


def _play(one: Drill, pair: tuple[str, str], *, quiet: bool) -> Result:
    result = asyncio.run(perform(one, pair))
    for line in [] if quiet else paper.told(result):
        say(line)
    return result


def _list(as_json: bool) -> None:
    if as_json:
        known = [{"name": d.name, "title": d.title, "must": list(d.must.values())} for d in DRILLS]
        say(msgspec.json.encode(known).decode())
        return
    width = max(len(one.name) for one in DRILLS)
    for one in DRILLS:
        say(f"{one.name:{width}}  {one.title}")

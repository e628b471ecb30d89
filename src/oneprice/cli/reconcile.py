"""`oneprice reconcile`: is every unit in a venue's statement one of ours, and is it there?"""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from oneprice.app.reconcile import Result
from oneprice.app.reconcile import reconcile as compare
from oneprice.app.reconcile_match import Movement, Row
from oneprice.app.reconcile_theirs import NoStatement
from oneprice.cli.run import loaded
from oneprice.cli.speech import EXIT_WRONG, SILENT, complain, quiet_logs, say
from oneprice.model.units import Money, plain

LINES_SHOWN = 20  # of each side that are in no pair


def reconcile(
    session: Annotated[Path, typer.Option(help="The directory of a session.")],
    config: Annotated[
        Path | None, typer.Option(help="A TOML file; without it, as the session was run.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="twin, demo, testnet or live: which hosts of the venues.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Compare a session's ledger with the venues' statements; exit status 1: a unit differs."""
    chosen = loaded(config, mode) if config is not None or mode is not None else None
    quiet_logs(SILENT)
    try:
        result = asyncio.run(compare(session, chosen))
    except NoStatement as error:
        complain(str(error))
        raise typer.Exit(EXIT_WRONG) from None
    if as_json:
        say(msgspec.json.encode(result).decode())
    else:
        _show(result)
    if not result.ok:
        raise typer.Exit(EXIT_WRONG)


def _show(result: Result) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in ("venue", "wallet", "asset"):
        table.add_column(name)
    for name in ("ours", "theirs", "matched", "rounded", "later", "unexplained", "balance"):
        table.add_column(name, justify="right")
    for row in result.rows:
        table.add_row(*_cells(row), style="" if row.ok else "bold red")
    console.print(table)
    for row in result.rows:
        for whose, left in (("ours alone", row.left_ours), ("theirs alone", row.left_theirs)):
            for movement in left[:LINES_SHOWN]:
                console.print(f"{whose}: {_line(movement)}", markup=False)
            if len(left) > LINES_SHOWN:
                console.print(f"{whose}: {len(left) - LINES_SHOWN} more", markup=False)
    for note in result.notes:
        console.print(note, markup=False)
    wrong = sum(not row.ok for row in result.rows)
    if result.ok:
        console.print("every unit is explained")
    else:
        console.print(f"not explained: {wrong} of {len(result.rows)} balances")


def _cells(row: Row) -> list[str]:
    matched = f"{row.matched}" + (f" ({row.in_sums} in sums)" if row.in_sums else "")
    money = [_money(amount) for amount in (row.rounded, row.later, row.unexplained)]
    return [
        row.venue, row.wallet, row.asset, plain(row.ours), plain(row.theirs), matched, *money,
        _balance(row),
    ]  # fmt: skip


def _balance(row: Row) -> str:
    if row.told is None:
        return "not told"
    beyond = row.out_of_nothing
    return plain(row.told) + (f" ({plain(beyond)} out of nothing)" if beyond else "")


def _money(amount: Money) -> str:
    return plain(amount) if amount else "-"


def _line(movement: Movement) -> str:
    m = movement
    what = f"{m.kind} {plain(m.amount)} {m.asset}"
    return f"{m.venue} {m.wallet} {what} at {m.at_ms} {m.record_id} {m.text}".rstrip()

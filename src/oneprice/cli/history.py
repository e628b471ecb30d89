"""`oneprice history`: what was, as the venue tells it, on standard output."""

import asyncio
import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer

from oneprice.app.config import ConfigError
from oneprice.app.history import Bar, Past, check_wanted, fetch_past, kind_of, venue_of
from oneprice.app.lab import LabError
from oneprice.cli.speech import EXIT_WRONG, SILENT, complain, quiet_logs, say
from oneprice.cli.words import EPOCH, environment_of, moment_of, seconds_of
from oneprice.model.units import plain
from oneprice.shell.gateway import NoAnswer
from oneprice.venues.contract import HistoryWanted

_MS = timedelta(milliseconds=1)


def history(
    instrument: Annotated[str, typer.Argument(help="venue:market:symbol, bybit:linear:BTCUSDT.")],
    kind: Annotated[
        str, typer.Option(help="trade, mark or index: bars of them; funding: settled rates.")
    ] = "trade",
    from_: Annotated[
        str, typer.Option("--from", help="UTC: 2026-11-01 or 2026-11-01T08:00. [a day before]")
    ] = "",
    to: Annotated[str, typer.Option("--to", help="The same; itself included. [now]")] = "",
    interval: Annotated[str, typer.Option(help="Length of bars, e.g. 1m, 1h, 1d.")] = "1m",
    mode: Annotated[
        str | None, typer.Option(help="twin (default), demo, testnet or live: whom to ask.")
    ] = None,
    market: Annotated[
        str, typer.Option(help="Of the twin: seed:N, or tape:PATH with recordings.")
    ] = "seed:7",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A header and a line for each.")] = False,
) -> None:
    """Bars or funding rates of the past, oldest first. Public data: no keys are used."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv: expected one of them, found both")
    end = moment_of(to, "--to") if to else datetime.now(UTC)
    start = moment_of(from_, "--from") if from_ else end - timedelta(days=1)
    if start > end:
        found = f"--from: found {start:%Y-%m-%dT%H:%M:%S}"
        raise ConfigError(f"{found}, expected no later than --to, {end:%Y-%m-%dT%H:%M:%S}")
    wanted = HistoryWanted(
        instrument=instrument,
        kind=kind_of(kind),
        start_ms=(start - EPOCH) // _MS,
        end_ms=(end - EPOCH) // _MS,
        interval_ms=round(seconds_of(interval, "--interval") * 1000),
    )
    venue = venue_of(instrument, environment_of(mode) or "twin")
    check_wanted(wanted)
    quiet_logs(SILENT)
    try:
        past = asyncio.run(fetch_past(venue, wanted, market))
    except (LabError, NoAnswer, TimeoutError) as error:
        complain(str(error) or f"{venue.name}: no answer")
        raise typer.Exit(EXIT_WRONG) from None
    if as_json:
        say(msgspec.json.encode(past).decode())
    else:
        _show(past, as_csv=as_csv)
    for fault in past.faults:
        complain(f"not whole: {venue.name}: {fault}")
    if not past.rows and not past.faults:
        complain(f"{instrument}: nothing of that kind in that time")
    if past.faults:
        raise typer.Exit(EXIT_WRONG)


def _show(past: Past, *, as_csv: bool) -> None:
    names = ("time", "rate", "mark") if past.kind == "funding" else (
        "time", "open", "high", "low", "close", "volume",
    )  # fmt: skip
    rows = [names, *_lines(past)]
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    for row in rows:
        say("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def _lines(past: Past) -> Iterator[tuple[str, ...]]:
    for row in past.rows:
        if isinstance(row, Bar):
            numbers = (row.open, row.high, row.low, row.close, row.volume)
            yield _stamp(row.start_ms), *(plain(number) for number in numbers)
        else:
            mark = "" if row.mark is None else plain(row.mark)
            yield _stamp(row.settled_ms), plain(row.rate), mark


def _stamp(at_ms: int) -> str:
    return (EPOCH + at_ms * _MS).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_ms % 1000:03d}Z"

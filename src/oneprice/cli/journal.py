"""`oneprice journal`: is a journal sound, what stands in it, and the story of one leg group."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from oneprice.app import journalstory, journalview
from oneprice.app.journalwords import moment, words
from oneprice.cli.speech import EXIT_WRONG, complain, say
from oneprice.cli.words import EPOCH, moment_of, whole_of
from oneprice.model.units import MICRO, Nanos
from oneprice.store.journal import JournalDamaged

app = typer.Typer(
    name="journal", help="Verify and read the journal of a session.", no_args_is_help=True,
    rich_markup_mode=None,
)

Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="A session, or a journal.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command("verify")
def verify(directory: Directory, as_json: Json = False) -> None:
    """Read all of it: checksums, chain, every turn; exit status 1 and the place when damaged."""
    found = journalview.verify(directory)
    if as_json:
        say(msgspec.json.encode(found).decode())
    else:
        torn = f", {found.torn_bytes} torn bytes at the end" if found.torn_bytes else ""
        counts = f"{found.records} records in {found.segments} segments of {found.starts} starts"
        say(f"{counts}, {found.bytes:,} bytes{torn}")
        say(f"chain {found.chain or 'not begun'}")
    if not found.sound:
        complain(f"{found.file}: damaged at byte {found.place}: {found.damage}")
        raise typer.Exit(EXIT_WRONG)


@app.command("show")
def show(
    directory: Directory,
    group: Annotated[str, typer.Option(help="Only what concerns this leg group.")] = "",
    order: Annotated[str, typer.Option(help="Only this order, by our id.")] = "",
    kind: Annotated[
        str, typer.Option(help="facts, decisions, commands, or one kind, e.g. OrderFilled.")
    ] = "",
    since: Annotated[str, typer.Option(help="UTC: 2026-11-01 or 2026-11-01T08:00.")] = "",
    until: Annotated[str, typer.Option(help="The same; itself left out.")] = "",
    last: Annotated[str, typer.Option(help="Only the last N turns of them. [all]")] = "0",
    as_json: Json = False,
) -> None:
    """Every turn in order: time, what was learned and decided, what was commanded."""
    wish = journalview.Wish(
        group=group,
        order=order,
        kind=kind,
        since=_nanos_of(since, "--since"),
        until=_nanos_of(until, "--until"),
        last=whole_of(last, "--last", 0, zero="all"),
    )
    index = journalview.Index()
    try:
        found = journalview.shown(directory, wish, index)
        if as_json:
            say(msgspec.json.encode(list(found)).decode())
            return
        for turn in found:
            _print(turn, index)
    except (JournalDamaged, journalview.Unreadable) as error:
        complain(str(error))
        raise typer.Exit(EXIT_WRONG) from None


@app.command("explain")
def explain(
    group: Annotated[str, typer.Argument(help="The id of a leg group.", show_default=False)],
    directory: Directory,
    as_json: Json = False,
) -> None:
    """The story of one leg group: why, what was sent, what came of it, what it earned."""
    try:
        settings = journalview.settings_of(directory)
        story = journalstory.explain(journalview.turns(directory), group, settings)
    except (JournalDamaged, journalview.Unreadable) as error:
        complain(str(error))
        raise typer.Exit(EXIT_WRONG) from None
    if as_json:
        say(msgspec.json.encode(story).decode())
        return
    for line in journalstory.told(story):
        say(line)


def _print(turn: journalview.Turned, index: journalview.Index) -> None:
    say(f"{moment(turn.at)}  start {turn.start}")
    for item in turn.record:
        say(f"  {words(item, index.listed)}")
    for command in turn.commands:
        say(f"  > {words(command, index.listed)}")


def _nanos_of(text: str, option: str) -> Nanos:
    if not text:
        return Nanos(0)
    return Nanos((moment_of(text, option) - EPOCH) // timedelta(microseconds=1) * MICRO)

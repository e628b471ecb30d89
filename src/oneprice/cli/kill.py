"""`oneprice kill` and `oneprice release`: end everything now; sign for it afterwards."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from oneprice.app.config import ConfigError
from oneprice.app.control_call import KillOrder, newest_session
from oneprice.app.control_call import kill as end
from oneprice.app.control_call import release as sign
from oneprice.app.control_report import KillReport, remains
from oneprice.cli.speech import EXIT_WRONG, complain, quiet_logs, say
from oneprice.cli.words import seconds_of

SESSIONS = Path("sessions")
REASON_CHARS_MAX = 500


def kill(
    session: Annotated[
        Path | None, typer.Option(help="Which one; the newest below sessions/ without.")
    ] = None,
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Close what is held, too, whatever it costs.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "",
    wait: Annotated[str, typer.Option(help="How long it may take to be verified.")] = "10s",
    stop: Annotated[
        bool, typer.Option("--stop", help="And end the process, once nothing is left.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Open the clutch, cancel every order, verify it with the venues; 0 if nothing is left.

    Told to the trader where one lives, else done from here with the keys of the session.
    """
    quiet_logs()
    if len(reason) > REASON_CHARS_MAX:
        raise ConfigError(f"--reason: expected {REASON_CHARS_MAX} characters at most")
    directory = session if session is not None else newest_session(SESSIONS)
    order = KillOrder(
        flatten=flatten,
        reason=" ".join(reason.split()),
        wait_s=seconds_of(wait, "--wait"),
        stop=stop,
    )
    report = asyncio.run(end(directory, order))
    if as_json:
        say(msgspec.json.encode(report).decode())
    else:
        _print(report, directory)
    if not report.verified:
        raise typer.Exit(EXIT_WRONG)


def _print(report: KillReport, directory: Path) -> None:
    say(f"session {directory}: killed by {report.by}, {report.ms} ms")
    say(f"cancelled {len(report.cancelled)} orders, closed {len(report.closed)} holdings")
    for line in [*report.cancelled, *report.closed]:
        say(f"  ended   {line}")
    for line in remains(report):
        say(f"  remains {line}")
    if report.verified:
        what = "nothing is left" if report.flatten else "no order is left"
        say(f"verified: every venue says that {what}")
    else:
        complain("NOT verified: look at the venues themselves")


def release(
    session: Annotated[Path, typer.Option(help="Which one.")],
    by: Annotated[str, typer.Option(help="Your name: you have looked, the venues are right.")],
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what a flatten has not closed yet: it ends.")
    ] = False,
) -> None:
    """Close the clutch of a running trader: the venues' statements are accepted.

    Refused while a flatten is under way, which goes on, unless what is left is to be kept.
    """
    quiet_logs()
    if not by.strip():
        raise ConfigError("--by: found nothing, expected a name")
    say(f"session {session}: {asyncio.run(sign(session, by.strip(), keep=keep))}")

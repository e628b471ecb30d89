"""All commands of `oneprice`, by name."""

import sys
from typing import Annotated, Any, cast

import typer

import oneprice
from oneprice import kernel
from oneprice.cli import (
    doctor,
    drill,
    history,
    journal,
    kill,
    parity,
    reconcile,
    run,
    scan,
    sim,
    tape,
    twin,
    venues,
    watchdog,
)
from oneprice.cli.speech import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, complain

app = typer.Typer(
    name="oneprice",
    help="Finds the same thing at two prices, trades the difference and proves what it earned.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("twin")(twin.twin)
app.command("parity")(parity.parity)
app.command("scan")(scan.scan)
app.command("venues")(venues.venues)
app.command("doctor")(doctor.doctor)
app.command("history")(history.history)
app.command("drill")(drill.drill)
app.command("kill")(kill.kill)
app.command("release")(kill.release)
app.command("watchdog")(watchdog.watchdog)
app.command("reconcile")(reconcile.reconcile)
app.command("sim")(sim.sim)
app.add_typer(tape.app, name="tape")
app.add_typer(journal.app, name="journal")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"oneprice {oneprice.__version__}, kernel {kernel.NAME}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Version and kernel."),
    ] = False,
) -> None:
    """Arbitrage across crypto venues; without an account, against twins on this machine."""


# What typer complains of; no name of it is exported.
_Misuse = cast("type[Exception]", typer.BadParameter.__base__)


def invoke() -> int:
    """Do what the command line says; the exit status.

    BrokenPipeError where the reader of standard output has gone, KeyboardInterrupt on Ctrl-C.
    """
    try:
        return app(prog_name="oneprice", standalone_mode=False) or EXIT_OK
    except typer.Abort:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        complain(str(error))
    except _Misuse as error:
        _misused(error)
    return EXIT_BAD_INPUT


def _misused(error: Any) -> None:
    """An option or argument that is missing, unknown or without its value."""
    text = str(error.format_message()).strip()
    if "\n" in text:  # no command at all was named: this is the help
        sys.stderr.write(f"{text}\n")
        return
    where = error.ctx.command_path if error.ctx is not None else "oneprice"
    complain(f"{text.rstrip('.')}; see {where} --help")

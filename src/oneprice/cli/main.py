"""The `oneprice` command."""

import os
import sys
from typing import Annotated

import typer

import oneprice
from oneprice import kernel
from oneprice.cli import doctor, parity, run, scan, tape, twin, venues
from oneprice.cli.speech import EXIT_BAD_INPUT, EXIT_WRONG, complain

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
app.add_typer(tape.app, name="tape")


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


def main() -> None:
    """Entry point: a mistake in the input is one clear line, not a traceback."""
    try:
        app()
    except ValueError as error:
        complain(str(error))
        sys.exit(EXIT_BAD_INPUT)
    except BrokenPipeError:
        # Whoever read us has gone; what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_WRONG)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    main()

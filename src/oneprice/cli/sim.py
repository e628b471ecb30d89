"""`oneprice sim`: worlds of virtual time with seeded faults, and what must hold in each."""

import os
import time
from typing import Annotated

import msgspec
import typer

from oneprice.app.config import ConfigError
from oneprice.app.world.campaign import Tally, campaign, endless
from oneprice.app.world.plan import make_plan
from oneprice.app.world.simulate import Result
from oneprice.cli.speech import EXIT_WRONG, complain, say
from oneprice.cli.words import whole_of

MINUTE_S = 60.0


def sim(
    seeds: Annotated[str, typer.Option(metavar="N", help="How many worlds.")] = "300",
    first: Annotated[str, typer.Option(metavar="N", help="The seed of the first.")] = "0",
    minutes: Annotated[
        str | None, typer.Option(metavar="M", help="Go on for so long instead of --seeds.")
    ] = None,
    jobs: Annotated[
        str, typer.Option(metavar="N", help="Processes at once; 0: one a core.")
    ] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Run engine, dialects and twins in virtual time through seeded misfortune.

    Every seed is a world of its own and does the same each time. A world that did not hold what
    must hold is printed with the command that runs it again.
    """
    number = whole_of(first, "--first", 0)
    count = whole_of(seeds, "--seeds", 1)
    workers = whole_of(jobs, "--jobs", 0, zero="one a core")
    chosen, until = iter(range(number, number + count)), 0.0
    if minutes is not None:
        chosen, until = endless(number), time.monotonic() + _minutes(minutes) * MINUTE_S
    workers = workers or min(os.cpu_count() or 1, count)
    tally = campaign(chosen, jobs=workers, until=until, told=_complain)
    if as_json:
        say(msgspec.json.encode(_figures(tally)).decode())
    else:
        if count == 1 and minutes is None:
            for line in make_plan(number).text():
                say(line)
        for line in tally.lines():
            say(line)
    if tally.broken:
        raise typer.Exit(EXIT_WRONG)


def _complain(result: Result) -> None:
    """At once: a long campaign should not keep it to itself."""
    for violation in result.violations[:1]:
        complain(f"seed {result.seed}: {violation.rule}: {violation.text[:200]}")


def _figures(tally: Tally) -> dict[str, object]:
    figures: dict[str, object] = msgspec.to_builtins(tally, str_keys=True)
    return {**figures, "seeds_per_second": round(tally.seeds_per_second, 2)}


def _minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.0 < found < float("inf"):
        raise ConfigError(f"--minutes: found {text!r}, expected a number above 0")
    return found

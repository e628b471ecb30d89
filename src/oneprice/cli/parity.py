"""`oneprice parity`: does a replay of a session decide the same?"""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from oneprice.app.parity import compare
from oneprice.cli.speech import EXIT_WRONG, say


def parity(
    directory: Annotated[Path, typer.Argument(help="A session that `oneprice run` recorded.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Replay a session's inputs through fresh objects and compare every decision."""
    result = compare(directory)
    if as_json:
        say(msgspec.json.encode(result).decode())
    elif result.first_difference is None:
        say(f"{result.decisions} decisions, all equal")
    else:
        say(f"{result.equal} of {result.decisions} decisions equal; the first difference:")
        say(msgspec.json.format(msgspec.json.encode(result.first_difference)).decode())
    if result.first_difference is not None:
        raise typer.Exit(EXIT_WRONG)

"""`oneprice watchdog`: cancel and flatten when a trader falls silent."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from oneprice.app.checks import check_run
from oneprice.app.config import load_config
from oneprice.app.control_report import VenueLeft
from oneprice.app.watchdog import Watchdog, WatchdogReport, WatchdogWish
from oneprice.cli.speech import EXIT_WRONG, complain, quiet_logs, say
from oneprice.cli.words import seconds_of

WORDS = {
    "waiting": "no heartbeat yet",
    "watching": "the trader lives",
    "ended": "the run ended in good order",
    "acting": "the trader is silent: acting",
    "flat": "the venues say that nothing is left",
    "back": "the trader is back; left to him",
}


def watchdog(
    session: Annotated[Path, typer.Option(help="The directory of the trader's session.")],
    config: Annotated[Path, typer.Option(help="A TOML file: the venues, as the trader has it.")],
    after: Annotated[str, typer.Option(help="Silence before it acts.")] = "10s",
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Close positions and spot legs, too.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, do what that calls for, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print reports as JSON lines.")] = False,
) -> None:
    """Watch a trader from a process of its own, with keys of its own; runs until interrupted.

    Keys: ONEPRICE_WATCHDOG_<VENUE>_KEY, _SECRET, _PASSPHRASE. It refuses to watch without them.
    """
    quiet_logs()
    wish = WatchdogWish(after_s=seconds_of(after, "--after"), flatten=flatten, once=once)
    # It trades by no strategy, and need not know those of the trader.
    chosen = msgspec.structs.replace(load_config(config), strategies=(), strategy={})
    check_run(chosen)

    def tell(report: WatchdogReport) -> None:
        say(msgspec.json.encode(report).decode() if as_json else _line(report))

    report = asyncio.run(_watch(Watchdog(session, chosen, wish, tell), once=once))
    if report is not None and report.state == "acting":
        raise typer.Exit(EXIT_WRONG)


async def _watch(dog: Watchdog, *, once: bool) -> WatchdogReport | None:
    if not once:
        for told in await dog.examine():
            if not told.answered:
                complain(f"watchdog: {told.venue}: {told.trouble}")
    work = asyncio.create_task(dog.watch())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        return None


def _line(report: WatchdogReport) -> str:
    parts = [WORDS[report.state]]
    if report.why:
        parts.append(report.why)
    if report.rounds:
        parts.append(f"{len(report.cancelled)} orders cancelled, {len(report.closed)} closed")
        parts += [_left(told) for told in report.venues]
    return "watchdog: " + "; ".join([*parts, *report.notes])


def _left(told: VenueLeft) -> str:
    held = [*told.orders, *told.positions, *told.coins]
    known = ", ".join(held) or "nothing open" if told.answered else "not known"
    return f"{told.venue}: {known}" + (f" ({told.trouble})" if told.trouble else "")

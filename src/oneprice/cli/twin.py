"""`oneprice twin`: simulated venues that speak the real wire protocol on loopback."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from oneprice.app.checks import check_market
from oneprice.app.config import ConfigError
from oneprice.app.twins import configuration_of, plan_of, start_twins
from oneprice.cli.speech import EXIT_WRONG, complain, quiet_logs, say
from oneprice.cli.words import whole_of
from oneprice.twin.faults import FaultPlan

PORT_MAX = 65_535


def twin(
    venues: Annotated[str, typer.Argument(help="One or more: bybit,binance,okx,kucoin,bitmex")],
    port: Annotated[
        str, typer.Option(metavar="N", help="0 picks a free one; several twins count up.")
    ] = "0",
    market: Annotated[str, typer.Option(help="seed:N, or tape:PATH with recordings.")] = "seed:7",
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N", help="A misfortune and how often, e.g. frame_loss=0.001."),
    ] = None,
    configuration: Annotated[
        Path | None,
        typer.Option(
            "--configuration", metavar="FILE",
            help="Write what `oneprice run --config` needs to trade there.",
        ),
    ] = None,
    until_eof: Annotated[
        bool, typer.Option(hidden=True, help="End when standard input ends: with its parent.")
    ] = False,
) -> None:
    """Serve REST, public and private WebSocket and order entry; prints one ready line each."""
    quiet_logs()
    names = [name.strip() for name in venues.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"twin: found {venues!r}, expected names of venues, e.g. bybit,binance")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"twin: found {name!r} twice, expected names that differ")
    first = whole_of(port, "--port", 0, PORT_MAX + 1 - len(names), "any free one")
    check_market(market)
    plan = plan_of(fault or ())
    try:
        asyncio.run(_serve(names, first, market, plan, configuration, until_eof=until_eof))
    except OSError as error:
        # A taken port is named in the complaint; what else may be wrong does not name it.
        where = error.filename or f"port {port}"
        reason = str(error) if error.errno is None else f"{where}: {error.strerror}"
        complain(f"twin: {reason}")
        raise typer.Exit(EXIT_WRONG) from None


async def _serve(
    names: list[str],
    port: int,
    market: str,
    plan: FaultPlan,
    configuration: Path | None,
    *,
    until_eof: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = await start_twins(names, port, market, plan)
    try:
        if configuration is not None:
            await asyncio.to_thread(configuration.write_text, configuration_of(running.ready))
        for ready in running.ready:
            say(msgspec.json.encode(ready).decode())
        await stop.wait()
    finally:
        await running.close()

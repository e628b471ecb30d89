"""`oneprice twin`: simulated venues that speak the real wire protocol on loopback."""

import asyncio
import signal
import sys
from typing import Annotated

import msgspec
import typer

from oneprice.app.checks import check_market
from oneprice.app.config import ConfigError
from oneprice.app.twins import start_twins
from oneprice.cli.speech import EXIT_WRONG, complain, quiet_logs, say

PORT_MAX = 65_535


def twin(
    venues: Annotated[str, typer.Argument(help="bybit, binance, or both: bybit,binance")],
    port: Annotated[int, typer.Option(help="0 picks a free one; several twins count up.")] = 0,
    market: Annotated[str, typer.Option(help="seed:N, or tape:PATH with recordings.")] = "seed:7",
    until_eof: Annotated[
        bool, typer.Option(hidden=True, help="End when standard input ends: with its parent.")
    ] = False,
) -> None:
    """Serve REST, public and private WebSocket and order entry; prints one ready line each."""
    quiet_logs()
    names = [name.strip() for name in venues.split(",") if name.strip()]
    if not names:
        raise ConfigError("twin: name a venue, e.g. bybit")
    last = port + len(names) - 1
    if port < 0 or last > PORT_MAX:
        raise ConfigError(f"--port: found {port}, expected 0 (any free one) to {PORT_MAX}")
    check_market(market)
    try:
        asyncio.run(_serve(names, port, market, until_eof=until_eof))
    except OSError as error:
        # A taken port is named in the complaint; what else may be wrong does not name it.
        reason = str(error) if error.errno is None else f"port {port}: {error.strerror}"
        complain(f"twin: {reason}")
        raise typer.Exit(EXIT_WRONG) from None


async def _serve(names: list[str], port: int, market: str, *, until_eof: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = await start_twins(names, port, market)
    try:
        for ready in running.ready:
            say(msgspec.json.encode(ready).decode())
        await stop.wait()
    finally:
        await running.close()

"""`oneprice twin`: simulated venues that speak the real wire protocol on loopback."""

import asyncio
import signal
from typing import Annotated

import msgspec
import typer

from oneprice.app.config import ConfigError
from oneprice.app.twins import start_twins
from oneprice.cli.speech import EXIT_WRONG, complain, quiet_logs, say


def twin(
    venues: Annotated[str, typer.Argument(help="bybit, binance, or both: bybit,binance")],
    port: Annotated[int, typer.Option(help="0 picks a free one; several twins count up.")] = 0,
    market: Annotated[str, typer.Option(help="seed:N, or tape:PATH with recordings.")] = "seed:7",
) -> None:
    """Serve REST, public and private WebSocket and order entry; prints one ready line each."""
    quiet_logs()
    names = [name.strip() for name in venues.split(",") if name.strip()]
    if not names:
        raise ConfigError("twin: name a venue, e.g. bybit")
    try:
        asyncio.run(_serve(names, port, market))
    except OSError as error:
        complain(f"twin: port {port}: {error.strerror or error}")
        raise typer.Exit(EXIT_WRONG) from None


async def _serve(names: list[str], port: int, market: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = await start_twins(names, port, market)
    try:
        for ready in running.ready:
            say(msgspec.json.encode(ready).decode())
        await stop.wait()
    finally:
        await running.close()

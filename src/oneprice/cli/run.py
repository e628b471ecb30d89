"""`oneprice run`: trade, and show what is going on."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from oneprice.app.checks import check_run
from oneprice.app.config import ConfigError, RunConfig, load_config
from oneprice.app.lab import LabError
from oneprice.app.run import Look, start, stop_on_signals, write_summary
from oneprice.app.run import run as trade
from oneprice.app.summary import Summary
from oneprice.cli.screen import Screen, print_summary
from oneprice.cli.speech import EXIT_WRONG, complain, quiet_logs, say, tell_kernel
from oneprice.cli.words import environment_of, seconds_of
from oneprice.shell.gateway import NoAnswer


def run(
    for_: Annotated[str | None, typer.Option("--for", help="How long, e.g. 60s, 5m.")] = None,
    market: Annotated[
        str | None, typer.Option(help="seed:N, or tape:DIR with recordings.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="twin, demo, testnet or live: which hosts of the venues.")
    ] = None,
    strategy: Annotated[
        list[str] | None, typer.Option(help="Only this strategy; may be repeated.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file.")] = None,
    session: Annotated[Path | None, typer.Option(help="Where to keep tape and journal.")] = None,
    busy_poll: Annotated[
        bool | None, typer.Option(help="Never sleep: a core for latency.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Trade between twins on this machine (default) or the venues of a configuration."""
    changes: dict[str, Any] = {}
    if for_ is not None:
        changes["seconds"] = seconds_of(for_)
    if market is not None:
        changes["market"] = market
    if strategy:
        changes["strategies"] = tuple(strategy)
    if busy_poll is not None:
        changes["busy_poll"] = busy_poll
    written = loaded(config, mode)
    chosen = for_market(msgspec.structs.replace(written, **changes), given=config is not None)
    check_run(chosen)
    directory = session if session is not None else _new_directory()
    tell_kernel()
    screen = None if as_json else Screen()
    quiet_logs(to=screen)
    try:
        summary = start(lambda: _run(chosen, directory, screen))
    except (LabError, NoAnswer) as error:
        complain(str(error))
        raise typer.Exit(EXIT_WRONG) from None
    finally:
        if screen is not None:
            screen.close()
    _keep(directory, summary)
    if as_json:
        say(msgspec.json.encode(summary).decode())
    else:
        print_summary(summary)
    if summary.failure:
        complain(f"stopped: {summary.failure}")
    left = summary.left if chosen.engine.on_stop == "close" else []
    for what in left:
        complain(f"left behind: {what}")
    for what in summary.missing:
        complain(f"never came up: {what}")
    wrong = summary.failure or left or summary.missing
    if summary.ledger_residual != "0" or summary.groups["STUCK"] or wrong:
        raise typer.Exit(EXIT_WRONG)


def loaded(path: Path | None, mode: str | None) -> RunConfig:
    """The configuration of a file, or the default one; ConfigError for a mode it cannot be in."""
    environment = environment_of(mode)
    if path is not None:
        return load_config(path, environment)
    if environment not in (None, "twin"):
        raise ConfigError(
            f"--mode {mode}: expected --config FILE with venues and limits written down"
        )
    return RunConfig()


def for_market(config: RunConfig, *, given: bool) -> RunConfig:
    """Recordings exist for the venues they exist for: without a file, play what is there."""
    if given or not config.market.startswith("tape:"):
        return config
    recorded = tuple(
        msgspec.structs.replace(v, symbols=("BTCUSDT", "ETHUSDT"))
        for v in config.venues
        if v.name == "binance"
    )
    return msgspec.structs.replace(config, venues=recorded)


def _keep(directory: Path, summary: Summary) -> None:
    try:
        write_summary(directory, summary)
    except OSError as error:
        complain(f"summary in {directory}: {error.strerror or error}")


async def _run(config: RunConfig, directory: Path, screen: Screen | None) -> Summary:
    stop = asyncio.Event()
    stop_on_signals(stop)
    look: Look | None = screen.show if screen is not None else None
    return await trade(config, directory, look=look, stop=stop)


def _new_directory() -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    root = Path("sessions")
    root.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{stamp}-", dir=root))

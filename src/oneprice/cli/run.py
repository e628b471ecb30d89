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
from oneprice.app.run import run as trade
from oneprice.app.run import start, stop_on_signals
from oneprice.app.summary import Summary
from oneprice.cli.screen import Screen, print_summary
from oneprice.cli.speech import EXIT_WRONG, complain, quiet_logs, say, tell_kernel
from oneprice.cli.words import environment_of, seconds_of
from oneprice.core.strategy import Recovered
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
    session: Annotated[
        Path | None, typer.Option(help="Where to keep it; a session that is there is resumed.")
    ] = None,
    accept: Annotated[
        str, typer.Option(help="Your name: what differs after a restart is as the venues say.")
    ] = "",
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
    _check_session(chosen, session, accept)
    directory = session if session is not None else _new_directory()
    tell_kernel()
    screen = None if as_json else Screen()
    quiet_logs(to=screen, style=chosen.telemetry.log, file=chosen.telemetry.log_file)
    try:
        summary = start(lambda: _run(chosen, directory, screen, accept))
    except (LabError, NoAnswer) as error:
        complain(str(error))
        raise typer.Exit(EXIT_WRONG) from None
    finally:
        if screen is not None:
            screen.close()
    if as_json:
        say(msgspec.json.encode(summary).decode())
    else:
        print_summary(summary)
    if _went_wrong(summary, chosen):
        raise typer.Exit(EXIT_WRONG)


def _went_wrong(summary: Summary, config: RunConfig) -> bool:
    """Say what did."""
    if summary.failure:
        complain(f"stopped: {summary.failure}")
    left = summary.left if config.engine.on_stop == "close" else []
    for what in left:
        complain(f"left behind: {what}")
    for what in summary.missing:
        complain(f"never came up: {what}")
    if summary.uncompared:
        complain(f"not compared with the venues: {'; '.join(summary.uncompared)}")
    wrong = bool(summary.failure or left or summary.missing or summary.uncompared)
    return wrong or summary.ledger_residual != "0" or summary.groups["STUCK"] > 0


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


def _check_session(config: RunConfig, session: Path | None, accept: str) -> None:
    """Who trades with real money must be found again by the next start."""
    real = any(v.environment == "live" and not v.endpoints for v in config.venues)
    if real and config.engine.trading and session is None:
        raise ConfigError(
            "--session: missing; with real money a restart must find what the run before left "
            "open: name a directory, the same one at every start"
        )
    if accept and (session is None or not session.exists()):
        raise ConfigError("--accept: there is no session yet whose differences could be accepted")


async def _run(
    config: RunConfig, directory: Path, screen: Screen | None, accept: str
) -> Summary:
    stop = asyncio.Event()
    stop_on_signals(stop)
    return await trade(
        config,
        directory,
        stop=stop,
        look=screen.show if screen is not None else None,
        recovered=lambda told: _tell(told, screen),
        tell=lambda line: _show(line, screen),
        accept=accept,
    )


def _tell(told: Recovered, screen: Screen | None) -> None:
    """How a session was taken up, a line each, on standard error."""
    lines = [f"resumed after {told.ms} ms: {told.orders} orders asked for"]
    lines += [f"was in flight: group {group}" for group in told.groups]
    lines += [f"still held: {holding}" for holding in told.holdings]
    lines += [f"differs: {difference}" for difference in told.differences]
    if told.differences:
        lines.append("the clutch is open: --accept NAME takes the venues' word for it")
    for line in lines:
        _show(line, screen)


def _show(line: str, screen: Screen | None) -> None:
    if screen is not None and screen.live:
        screen.write(f"oneprice: {line}\n")
    else:
        complain(line)


def _new_directory() -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    root = Path("sessions")
    root.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{stamp}-", dir=root))

"""A run: twins or venues, desk, gateways, runtime, journal and tape, wired and let go."""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from traceback import format_exception
from typing import Any, Protocol, runtime_checkable

import msgspec
import structlog

from oneprice import kernel
from oneprice.app.build import build_desk, wanted_of
from oneprice.app.config import ConfigError, RunConfig, VenueConfig, secret_from_environment
from oneprice.app.lab import Lab, start_lab, twin_endpoints
from oneprice.app.session import JOURNAL, SUMMARY, TAPE, TurnJournal, create_session
from oneprice.app.summary import Summary, summarise
from oneprice.model.instrument import Instrument
from oneprice.model.units import Asset, InstrumentId, Lots
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Desk
from oneprice.shell.gateway import Gateway
from oneprice.shell.runtime import Runtime
from oneprice.store.journal import JournalWriter
from oneprice.store.tape import TapeWriter
from oneprice.venues.contract import Credentials, Spec

log = structlog.get_logger("run")

SETTLE_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
SEALED_TIMEOUT_S = 2.0
TAPE_EVERY_S = 0.5
LOOK_EVERY_S = 0.25

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Running(msgspec.Struct):
    """A run in progress, for whoever shows it."""

    desk: Desk
    runtime: Runtime
    gateways: list[Gateway]
    started: float  # monotonic seconds: of connecting, then of trading
    planned: float  # seconds of trading, 0 without an end
    reporting: Asset
    phase: str = "connecting"
    kernel: str = kernel.NAME
    missing: list[str] = []  # sockets and books that were not there when trading began

    def size_text(self, instrument: InstrumentId, lots: Lots) -> str:
        """A position as its venue counts it, with its sign."""
        feed = self.desk.dialect(instrument.partition(":")[0]).feed
        known = feed.listed.get(instrument) if isinstance(feed, _Lists) else None
        return f"{known.lot * lots:+f}" if known is not None else f"{lots:+d} lots"


@runtime_checkable
class _Lists(Protocol):
    """A feed that knows the instruments it was told of."""

    listed: Mapping[InstrumentId, Instrument]


Look = Callable[[Running], None]


def session_name(at: int) -> str:
    """A prefix for client order ids that no earlier session had: milliseconds in base 36."""
    number, text = at // 1_000_000, ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


async def run(
    config: RunConfig, directory: Path, *, look: Look | None = None, stop: asyncio.Event
) -> Summary:
    """Trade until the time is over or `stop` is set; legs in flight are finished first."""
    clock = Clock()
    session = session_name(clock.now())
    create_session(directory, session, kernel.NAME, config)
    lab = await _lab(config)
    try:
        return await _trade(config, directory, session, clock, lab, look=look, stop=stop)
    finally:
        if lab is not None:
            await lab.close()


async def _lab(config: RunConfig) -> Lab | None:
    """Twins for the venues that are not to be found elsewhere."""
    names = [v.name for v in config.venues if v.needs_twin]
    return await start_lab(names, config.market) if names else None


async def _trade(
    config: RunConfig,
    directory: Path,
    session: str,
    clock: Clock,
    lab: Lab | None,
    *,
    look: Look | None,
    stop: asyncio.Event,
) -> Summary:
    tape = TapeWriter(directory / TAPE) if config.record else None
    journal = TurnJournal(JournalWriter(directory / JOURNAL, durable=config.durable_journal))
    trading = config.engine.trading
    credentials = {v.name: credentials_of(v, lab, trading=trading) for v in config.venues}
    desk = build_desk(config, session, credentials, tape)
    runtime = Runtime(desk, clock, journal, busy_poll=config.busy_poll)
    gateways = {v.name: _gateway(desk, runtime, v, lab) for v in config.venues}
    _wire(runtime, gateways, stop)
    running = Running(
        desk,
        runtime,
        list(gateways.values()),
        started=time.monotonic(),
        planned=config.seconds,
        reporting=config.engine.reporting,
    )
    background = [runtime.spawn(_keep(tape), "tape")] if tape is not None else []
    if look is not None:
        background.append(asyncio.create_task(_looks(look, running)))
    try:
        connected = await _unless(stop, _connect(running))
        _tune_collector()
        started = time.monotonic()
        if connected:
            running.phase, running.started = "trading", started
            markets = [(v.name, m) for v in config.venues for m in v.in_markets]
            at = clock.now()
            desk.begin(markets, at)
            runtime.poke(at)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), config.seconds or None)
        running.phase = "stopping"
        runtime.stop_requested("interrupted" if stop.is_set() else "time is over")
        await _quiet(runtime)
        seconds = time.monotonic() - started
        running.missing = _never_up(running)
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await asyncio.gather(*(g.close() for g in gateways.values()))
        runtime.close()
        _close_files(runtime, journal, tape)
    summary = summarise(
        runtime, running.gateways, seconds=seconds, kernel=kernel.NAME, session=str(directory)
    )
    return msgspec.structs.replace(summary, missing=running.missing)


def _gateway(desk: Desk, runtime: Runtime, venue: VenueConfig, lab: Lab | None) -> Gateway:
    dialect = desk.dialect(venue.name)
    ends = endpoints_of(dialect.feed.spec, venue, lab)
    return Gateway(dialect, ends, runtime, runtime.clock, wanted_of(venue))


def write_summary(directory: Path, summary: Summary) -> None:
    (directory / SUMMARY).write_bytes(msgspec.json.encode(summary) + b"\n")


def stop_on_signals(stop: asyncio.Event) -> None:
    """Ctrl-C, a polite kill or a closed terminal stop new risk; a second Ctrl-C is Python's."""
    loop = asyncio.get_running_loop()

    def asked() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, asked)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)


def start(main: Callable[[], Coroutine[Any, Any, Summary]]) -> Summary:
    """Run a coroutine on the fastest loop this machine has."""
    try:
        import uvloop  # noqa: PLC0415 -- not on every platform
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def credentials_of(
    venue: VenueConfig, lab: Lab | None, *, trading: bool
) -> Credentials | None:
    """Of the twin's account, or from the environment; ConfigError where trading needs them."""
    if venue.needs_twin and lab is not None:
        return lab.twins[venue.name].credentials()
    found = secret_from_environment(venue.name)
    if found is None and trading:
        prefix = f"ONEPRICE_{venue.name.upper()}_"
        raise ConfigError(
            f"venue {venue.name}: no keys; expected {prefix}KEY and {prefix}SECRET in the "
            "environment, or engine.trading = false to look only"
        )
    return None if found is None else Credentials(*found)


def endpoints_of(spec: Spec, venue: VenueConfig, lab: Lab | None) -> Mapping[str, str]:
    """Base urls by host: of the twin, as configured, or the venue's own."""
    if venue.needs_twin and lab is not None:
        twin = lab.twins[venue.name]
        return twin_endpoints(venue.name, twin.rest, twin.ws, spec.hosts["live"])
    return venue.endpoints or spec.hosts[venue.environment]


def _wire(runtime: Runtime, gateways: Mapping[str, Gateway], stop: asyncio.Event) -> None:
    runtime.dispatch = lambda venue, request: gateways[venue].outbox.put(request)
    runtime.on_news = lambda: hand_out(runtime.desk, gateways)
    runtime.on_failure = stop.set
    asyncio.get_running_loop().set_exception_handler(runtime.unhandled)


def hand_out(desk: Desk, gateways: Mapping[str, Gateway]) -> None:
    while desk.news:
        news, desk.news = desk.news, []
        for venue, output in news:
            gateway = gateways.get(venue)
            if gateway is not None:
                gateway.news(output)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, or leave it when we are asked to stop; whether it was done."""
    task, asked = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        return task.done()
    finally:
        task.cancel()
        asked.cancel()
        await asyncio.gather(task, asked, return_exceptions=True)


async def _connect(running: Running) -> None:
    """Until every line is up and every book known; go on after a while with what there is."""
    gateways = running.gateways
    await asyncio.gather(*(g.prepare() for g in gateways))
    await asyncio.gather(*(g.open() for g in gateways))
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while not all(g.settled for g in gateways):
        if time.monotonic() > deadline:
            running.missing = [m for g in gateways for m in g.unsettled()]
            log.warning("starting although not all is ready", missing=running.missing)
            return
        await asyncio.sleep(0.02)


def _never_up(running: Running) -> list[str]:
    """What was missing when trading began, and still is."""
    now = [m for g in running.gateways for m in g.unsettled()]
    return [m for m in running.missing if m in now]


async def _quiet(runtime: Runtime) -> None:
    """Wait until nothing is in flight or held; but a little where nothing may be sent."""
    began, engine = time.monotonic(), runtime.desk.engine
    while not engine.quiet:
        patience = SEALED_TIMEOUT_S if runtime.sealed else STOP_TIMEOUT_S
        if time.monotonic() - began > patience:
            report = engine.report
            log.error("stopped with legs", groups=report.groups(), holdings=report.holdings())
            return
        await asyncio.sleep(0.02)


def _close_files(runtime: Runtime, journal: TurnJournal, tape: TapeWriter | None) -> None:
    for what, file in (("journal", journal), ("tape", tape)):
        try:
            if file is not None:
                file.close()
        except OSError as error:
            runtime.fail(what, error)


async def _keep(tape: TapeWriter) -> None:
    while True:
        await asyncio.sleep(TAPE_EVERY_S)
        await asyncio.to_thread(tape.flush)


async def _looks(look: Look, running: Running) -> None:
    while True:
        try:
            look(running)
        except Exception as error:
            trace = "".join(format_exception(error))
            log.error("the display broke; trading goes on without it", exception=trace)
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _tune_collector() -> None:
    # What exists now lives to the end: the collector need not walk it in the hot path.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


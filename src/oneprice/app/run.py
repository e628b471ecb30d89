"""A run: twins or venues, desk, gateways, runtime, journal and tape, wired and let go."""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from traceback import format_exception
from typing import Any

import msgspec
import structlog

from oneprice import kernel
from oneprice.app import secrets
from oneprice.app.build import build_desk, wanted_of
from oneprice.app.config import ConfigError, RunConfig, VenueConfig
from oneprice.app.connecting import Connecting
from oneprice.app.control import Control
from oneprice.app.control_spot import check_given_back
from oneprice.app.lab import Lab, start_lab, twin_endpoints
from oneprice.app.metrics import Sources
from oneprice.app.session import SUMMARY, TAPE, Session, TurnJournal, open_session, recall
from oneprice.app.summary import Summary, summarise
from oneprice.app.telemetry import Telemetry, start_telemetry
from oneprice.core.strategy import Recovered
from oneprice.model.events import ClutchReleased
from oneprice.model.units import Asset, InstrumentId, Lots
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Desk
from oneprice.shell.gateway import Gateway
from oneprice.shell.runtime import Runtime
from oneprice.shell.telemetry import LoopWatch
from oneprice.store.tape import TapeWriter
from oneprice.venues.contract import Credentials, Spec

log = structlog.get_logger("run")

STOP_TIMEOUT_S = 20.0
SEALED_TIMEOUT_S = 2.0
AWAY_TIMEOUT_S = 2.0  # a stop waits so long for what only a venue that is away could end
TAPE_EVERY_S = 0.5
LOOK_EVERY_S = 0.25
RECOVERED_EVERY_S = 0.02


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
        known = feed.listed.get(instrument)
        return f"{known.lot * lots:+f}" if known is not None else f"{lots:+d} lots"


Look = Callable[[Running], None]


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever starts a run wants of it."""

    stop: asyncio.Event
    look: Look | None = None  # called a few times a second
    recovered: Callable[[Recovered], None] | None = None  # once, where a session was resumed
    tell: Callable[[str], None] | None = None  # which venue is missing of a resumed session
    accept: str = ""  # who signs for what differs after a restart: the clutch is closed again


async def run(
    config: RunConfig,
    directory: Path,
    *,
    stop: asyncio.Event,
    look: Look | None = None,
    recovered: Callable[[Recovered], None] | None = None,
    tell: Callable[[str], None] | None = None,
    accept: str = "",
) -> Summary:
    """Trade until the time is over or `stop` is set; legs in flight are finished first.

    A session that is in the directory is resumed: what it holds is recalled, and compared with
    the venues before anything new, as far as they answer; one that does not is asked again until
    it does. Raises ConfigError where it cannot be, NoAnswer where a first start cannot reach one.
    """
    wishes = Wishes(stop=stop, look=look, recovered=recovered, tell=tell, accept=accept)
    clock = Clock()
    session = open_session(directory, clock.now(), kernel.NAME, config)
    structlog.contextvars.bind_contextvars(session=session.name)
    lab: Lab | None = None
    try:
        lab = await _lab(config)
        return await _trade(session, clock, lab, wishes)
    finally:
        session.journal.close()
        if lab is not None:
            await lab.close()


async def _lab(config: RunConfig) -> Lab | None:
    """Twins for the venues that are not to be found elsewhere."""
    names = [v.name for v in config.venues if v.needs_twin]
    return await start_lab(names, config.market) if names else None


async def _trade(session: Session, clock: Clock, lab: Lab | None, wishes: Wishes) -> Summary:
    config, stop = session.manifest.config, wishes.stop
    tape = TapeWriter(session.home / TAPE) if config.record else None
    desk = build_desk(config, session.name, _keys(config, lab), tape)
    try:
        recall(session, desk.engine, clock.now())
        check_given_back(session.directory)
    except ConfigError:
        if tape is not None:
            tape.close()
        raise
    runtime = Runtime(desk, clock, session.journal, busy_poll=config.busy_poll)
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
    markets = {v.name: [(v.name, market) for market in v.in_markets] for v in config.venues}
    connecting = Connecting(runtime, running.gateways, markets, wishes.tell)
    background = _background(running, session, tape, wishes)
    telemetry: Telemetry | None = None
    try:
        telemetry = await _telemetry(running, config, session.journal, tape)
        connected = await _unless(stop, connecting.connect())
        _tune_collector()
        started = time.monotonic()
        if connected:
            running.phase, running.started = "trading", started
            connecting.begin()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), config.seconds or None)
        running.phase = "stopping"
        runtime.stop_requested("interrupted" if stop.is_set() else "time is over")
        await _quiet(runtime)
        seconds = time.monotonic() - started
        running.missing = connecting.never_up()
    finally:
        await connecting.close()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        if telemetry is not None:
            await telemetry.close()
        await asyncio.gather(*(g.close() for g in gateways.values()))
        runtime.close()
        _close_files(runtime, session.journal, tape)
    summary = summarise(running, session, seconds=seconds)
    _keep_summary(session, summary)
    return summary


def _background(
    running: Running, session: Session, tape: TapeWriter | None, wishes: Wishes
) -> list[asyncio.Task[None]]:
    runtime, tasks = running.runtime, list[asyncio.Task[None]]()
    control = Control(running, session, wishes.stop)
    if running.desk.engine.recall.entries:
        control.tell_given_back()
    tasks.append(runtime.spawn(control.work(), "control"))
    if tape is not None:
        tasks.append(runtime.spawn(_keep(tape), "tape"))
    if wishes.look is not None:
        tasks.append(asyncio.create_task(_looks(wishes.look, running)))
    if running.desk.engine.recall.entries:
        tasks.append(runtime.spawn(_taken_up(runtime, wishes), "recovery"))
    return tasks


async def _taken_up(runtime: Runtime, wishes: Wishes) -> None:
    """Tell how a resumed session was taken up; sign for it where that is the wish."""
    while True:
        outcome = runtime.desk.engine.report.recovered
        if outcome is not None:
            break
        await asyncio.sleep(RECOVERED_EVERY_S)
    if wishes.recovered is not None:
        wishes.recovered(outcome)
    if wishes.accept:
        at = runtime.clock.now()
        runtime.desk.event(ClutchReleased(at=at, by=wishes.accept))
        runtime.poke(at)
        clutch = runtime.desk.engine.clutch
        if clutch and wishes.tell is not None:
            wishes.tell(f"accepted by {wishes.accept}, but the clutch is open still: {clutch}")


def _keys(config: RunConfig, lab: Lab | None) -> dict[str, Credentials | None]:
    trading, file = config.engine.trading, config.secrets_file
    return {v.name: credentials_of(v, lab, trading=trading, file=file) for v in config.venues}


def _keep_summary(session: Session, summary: Summary) -> None:
    """Of this start, and as the last one of the session."""
    text = msgspec.json.encode(summary) + b"\n"
    for directory in (session.home, session.directory):
        try:
            (directory / SUMMARY).write_bytes(text)
        except OSError as error:
            log.error("no summary", directory=str(directory), reason=error.strerror)


async def _telemetry(
    running: Running, config: RunConfig, journal: TurnJournal, tape: TapeWriter | None
) -> Telemetry:
    sources = Sources(
        running=running,
        watch=LoopWatch(),
        journal=lambda: journal.lag,
        tape=(lambda: tape.kept) if tape is not None else None,
    )
    return await start_telemetry(sources, config)


def _gateway(desk: Desk, runtime: Runtime, venue: VenueConfig, lab: Lab | None) -> Gateway:
    dialect = desk.dialect(venue.name)
    ends = endpoints_of(dialect.feed.spec, venue, lab)
    return Gateway(dialect, ends, runtime, runtime.clock, wanted_of(venue))


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
    venue: VenueConfig, lab: Lab | None, *, trading: bool, file: str = ""
) -> Credentials | None:
    """Of the twin's account, or our own; ConfigError where trading needs them and none are."""
    if venue.needs_twin and lab is not None:
        return lab.twins[venue.name].credentials()
    found = secrets.credentials(venue.name, file=file)
    if found is None and trading:
        prefix = secrets.prefix_of(venue.name)
        raise ConfigError(
            f"venue {venue.name}: no keys; expected {prefix}KEY and {prefix}SECRET in the "
            "environment or a secrets file, or engine.trading = false to look only"
        )
    return found


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


async def _quiet(runtime: Runtime) -> None:
    """Wait until nothing is in flight or held; but a little where nothing may be sent."""
    began, engine = time.monotonic(), runtime.desk.engine
    while not engine.quiet:
        patience = SEALED_TIMEOUT_S if runtime.sealed else STOP_TIMEOUT_S
        if engine.waits_for_venues:
            patience = AWAY_TIMEOUT_S
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


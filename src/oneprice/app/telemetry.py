"""Telemetry of a run: pages, alerts and errors, wired beside the hot path and never in it."""

import asyncio
import time
from collections.abc import Callable

import msgspec
import structlog
from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from oneprice.app import secrets
from oneprice.app.alerts import Alerts, AlertsMissing, Throttle, apprise_notifier
from oneprice.app.breakage import BreakageMissing, start_sentry
from oneprice.app.config import ConfigError, RunConfig
from oneprice.app.health import Health, alive, ready
from oneprice.app.metrics import RunCollector, Sources, Tally
from oneprice.model.units import InstrumentId
from oneprice.shell.desk import Turn
from oneprice.shell.telemetry import TelemetryServer
from oneprice.shell.telemetry_veil import VEIL

log = structlog.get_logger("telemetry")

LOOK_EVERY_S = 0.5


class Telemetry:
    """Everything that a run tells of itself; `server` is None where no port is configured.

    A control part adds its routes to `server.app` before `open`.
    """

    def __init__(self, sources: Sources, config: RunConfig) -> None:
        self.watch = sources.watch
        self.tally = Tally()
        self.alerts: Alerts | None = None
        self.collector = RunCollector(sources, self.tally)
        self.server: TelemetryServer | None = None
        self._running = sources.running
        self._settings = config.telemetry
        self._listeners: list[Callable[[Turn], None]] = []
        self._reporters: list[Callable[[str, BaseException], None]] = []
        self._closers: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        if config.telemetry.port:
            pages = {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
            self.server = TelemetryServer(config.telemetry.host, config.telemetry.port, pages)
            self._listeners.append(self.tally.hear)

    def add_alerts(self, alerts: Alerts) -> None:
        self.alerts = alerts
        self._listeners.append(alerts.hear)
        self._reporters.append(alerts.broke)
        self._closers.append(alerts.close)

    def add_reporter(
        self, report: Callable[[str, BaseException], None], close: Callable[[], None]
    ) -> None:
        self._reporters.append(report)
        self._closers.append(close)

    async def open(self) -> None:
        """Begin to listen and to tell; ConfigError where the port cannot be had."""
        runtime = self._running.runtime
        if self.server is not None:
            try:
                await self.server.open()
            except OSError as error:
                host, port = self.server.address
                raise ConfigError(
                    f"telemetry.port: {host} port {port}: {error.strerror or error}"
                ) from None
            self._tasks.append(runtime.spawn(self.watch.watch(), "loop watch"))
        if self._listeners:
            runtime.on_decisions = self._decided
        if self._reporters:
            runtime.on_broken = self._broke
        if self.alerts is not None:
            self._tasks.append(runtime.spawn(self._feeds(self.alerts), "feed watch"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.server is not None:
            await self.server.close()
        for close in self._closers:
            await asyncio.to_thread(close)

    # Told by the runtime -------------------------------------------------------------------

    def _decided(self, turn: Turn) -> None:
        for hear in self._listeners:
            hear(turn)

    def _broke(self, where: str, error: BaseException) -> None:
        for report in self._reporters:
            report(where, error)

    async def _feeds(self, alerts: Alerts) -> None:
        """A book that stays unknown is told once, and once more when it is back."""
        patience = self._settings.feed_lost_s
        since: dict[InstrumentId, float] = {}
        told: dict[InstrumentId, float] = {}
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            unknown = [i for gateway in self._running.gateways for i in gateway.unknown]
            if self._running.phase != "trading":
                continue
            for instrument in unknown:
                began = since.setdefault(instrument, now)
                if now - began > patience and instrument not in told:
                    told[instrument] = began
                    alerts.put("feed", f"feed lost: {instrument}, for {now - began:.0f} s by now")
            for instrument in [i for i in since if i not in unknown]:
                del since[instrument]
                if instrument in told:
                    away = now - told.pop(instrument)
                    alerts.put("feed", f"feed is back: {instrument}, after {away:.0f} s")

    # Pages ---------------------------------------------------------------------------------

    async def _metrics(self, request: web.Request) -> web.Response:
        parts = []
        for family in self.collector.collect():
            parts.append(generate_latest(_Single(family)))
            # Whatever was heard meanwhile is traded on before the next family is read.
            await asyncio.sleep(0)
        text = VEIL.known(b"".join(parts).decode())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, request: web.Request) -> web.Response:
        return _verdict(alive(self.watch))

    async def _readyz(self, request: web.Request) -> web.Response:
        return _verdict(ready(self._running))


class _Single:
    """One family, where the library wants a registry."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


async def start_telemetry(sources: Sources, config: RunConfig) -> Telemetry:
    """Everything the configuration and the environment ask for; nothing where they do not.

    ConfigError names a port that cannot be had, an address that cannot be used, or a library
    that is not installed.
    """
    telemetry = Telemetry(sources, config)
    session = structlog.contextvars.get_contextvars().get("session", "")
    file, settings = config.secrets_file, config.telemetry
    urls, dsn = secrets.alert_urls(file), secrets.sentry_dsn(file)
    try:
        if urls:
            notify = await asyncio.to_thread(apprise_notifier, urls)
            throttle = Throttle(settings.alerts_per_minute, settings.alerts_per_hour)
            telemetry.add_alerts(Alerts(notify, throttle, time.monotonic, session))
        if dsn:
            telemetry.add_reporter(*await asyncio.to_thread(start_sentry, dsn, session))
    except (AlertsMissing, BreakageMissing) as error:
        raise ConfigError(str(error)) from None
    await telemetry.open()
    return telemetry


def _verdict(health: Health) -> web.Response:
    text = VEIL.text(msgspec.json.encode(health).decode())
    status = 200 if health.ok else 503
    return web.Response(status=status, text=text + "\n", content_type="application/json")

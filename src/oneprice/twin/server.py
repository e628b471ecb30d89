"""Serves a twin on one loopback port: HTTP and WebSocket, the step loop, faults on the wire."""

import asyncio
import contextlib
import errno
import logging
from asyncio import Transport
from types import TracebackType

import msgspec
from aiohttp import web, web_app
from aiohttp.typedefs import Handler, Middleware

from oneprice.twin.build import Twin
from oneprice.twin.faults import RequestFate

_log = logging.getLogger("oneprice.twin")
_ORDER_METHODS = ("POST", "PUT", "DELETE")


class PortTaken(OSError):
    """Something else listens on the port that the twin was told to use."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a twin is, in ms."""

    step_ms: int = 10  # between two steps of the market
    answer_ms: int = 1  # the least time that a REST answer takes
    publish_ms: int = 2  # from a REST request to what it caused on the streams


class _Watch:
    """Around a step: a fault in the twin's own code is logged and counted, and it goes on."""

    def __init__(self, venue: str) -> None:
        self.failures = 0
        self._venue = venue

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.failures += 1
        _log.error("a step of the %s twin failed", self._venue, exc_info=error)
        return True


class RunningTwin:
    """A twin that listens; `close` ends it and every connection."""

    def __init__(self, twin: Twin, timing: Timing) -> None:
        self.twin = twin
        self.timing = timing
        self.rest = ""
        self.ws = ""
        self._watch = _Watch(twin.venue)
        self.transports: dict[Transport, str] = {}  # open WebSockets and their paths
        self._runner: web.AppRunner | None = None
        self._steps: asyncio.Task[None] | None = None

    @property
    def failures(self) -> int:
        """Steps that raised; each one is logged with its cause."""
        return self._watch.failures

    @property
    def ready(self) -> dict[str, object]:
        """What a client needs to know, as plain data."""
        setup = self.twin.exchange.setup
        return {
            "venue": self.twin.venue,
            "rest": self.rest,
            "ws": self.ws,
            "accounts": [
                {"key": one.key, "secret": one.secret, "passphrase": one.passphrase}
                for one in setup.accounts
            ],
            "instruments": [
                {"market": one.instrument.market, "id": one.instrument.symbol}
                for one in setup.listings
            ],
        }

    def step(self) -> None:
        """Brings the market to now and tells everyone what happened."""
        at = self.twin.clock()
        with self._watch:
            self.twin.exchange.advance(at)
            self._publish(at)
            self.twin.surface.beat(at)

    def publish(self) -> None:
        """Tells everyone what a request caused, without waiting for the next step."""
        with self._watch:
            self._publish(self.twin.clock())

    def _publish(self, at: int) -> None:
        outputs = self.twin.exchange.drain()
        if outputs:
            self.twin.surface.publish(outputs, at)

    async def close(self) -> None:
        if self._steps is not None:
            self._steps.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._steps
        for transport in list(self.transports):
            transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
        _let_go()

    async def start(self, host: str, port: int) -> None:
        app = web.Application(middlewares=[_middleware(self)])
        self.twin.surface.attach(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"port {port} on {host} is taken: choose another one, or 0 for any free port"
                ) from error
            raise
        bound = self._runner.addresses[0][1]
        self.rest, self.ws = f"http://{host}:{bound}", f"ws://{host}:{bound}"
        self._steps = asyncio.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pace = self.timing.step_ms / 1000
        due = loop.time()
        before = self.twin.clock()
        while True:
            self.step()
            now = self.twin.clock()
            self._strike(max(0, now - before), now)
            before = now
            due = max(due + pace, loop.time())
            await asyncio.sleep(due - loop.time())

    def _strike(self, elapsed: int, at: int) -> None:
        """Connections that the fault plan lets die now."""
        self.twin.faults.beat(at)
        for transport, path in list(self.transports.items()):
            if self.twin.faults.cut(path, elapsed):
                transport.abort()


async def serve(
    twin: Twin, port: int = 0, host: str = "127.0.0.1", timing: Timing | None = None
) -> RunningTwin:
    """Starts listening; port 0 is any free one. PortTaken where the port is in use."""
    running = RunningTwin(twin, timing or Timing())
    await running.start(host, port)
    return running


def _let_go() -> None:
    # aiohttp remembers the last thousand handlers that it wrapped, and with each the whole twin
    # that it belonged to: a process that serves hundreds of them would keep most to its end.
    wrapped = getattr(web_app, "_cached_build_middleware", None)
    if wrapped is not None:
        wrapped.cache_clear()


def _middleware(running: RunningTwin) -> Middleware:
    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if transport is None:
                return await handler(request)
            running.transports[transport] = request.path
            try:
                return await handler(request)
            finally:
                running.transports.pop(transport, None)
        fate = _fate(running, request)
        if fate.outcome == "error_before":
            return _broken(running, request, done=False)
        response = await handler(request)
        loop = asyncio.get_running_loop()
        loop.call_later(running.timing.publish_ms / 1000, running.publish)
        await asyncio.sleep((running.timing.answer_ms + fate.delay_ms) / 1000)
        if fate.outcome == "lost" and transport is not None:
            transport.abort()
        if fate.outcome == "error_after":
            return _broken(running, request, done=True)
        return response

    return around


def _fate(running: RunningTwin, request: web.Request) -> RequestFate:
    if request.method in _ORDER_METHODS and "order" in request.path.lower():
        return running.twin.faults.request(request.path)
    return RequestFate()


def _broken(running: RunningTwin, request: web.Request, *, done: bool) -> web.StreamResponse:
    """A server error, in the venue's own words where its surface has a method `broken`.

    Venues tell by their text whether the request was carried out (`done`), so it matters.
    """
    speak = getattr(running.twin.surface, "broken", None)
    if speak is not None:
        answer: web.StreamResponse = speak(request, done)
        return answer
    return web.Response(status=503, text="Service Unavailable", content_type="text/html")

"""The telemetry server: pages on a loopback port, and the watch on the loop that serves them."""

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from traceback import format_exception

import structlog
from aiohttp import web

from oneprice.shell.telemetry_histogram import Histogram

log = structlog.get_logger("telemetry")

LOOK_EVERY_S = 0.25  # how often the loop is asked whether it turns
BODY_BYTES_MAX = 64 * 1024

Page = Callable[[web.Request], Awaitable[web.Response]]


class LoopWatch:
    """How late the loop calls who asked to be called: its lag, in seconds."""

    def __init__(self) -> None:
        self.lag = 0.0  # as last seen
        self.worst = 0.0  # since it was last read with `take_worst`
        self.at = time.monotonic()  # when it was last seen turning
        self.lags = Histogram()

    async def watch(self) -> None:
        while True:
            due = time.monotonic() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self.lag = max(0.0, time.monotonic() - due)
            self.worst = max(self.worst, self.lag)
            self.lags.add(int(self.lag * 1e9))
            self.at = time.monotonic()

    def take_worst(self) -> float:
        worst, self.worst = self.worst, self.lag
        return worst


class TelemetryServer:
    """Serves pages by GET until closed. `address` is (host, port) as bound.

    `pages` are paths with what answers them; a control part may add POST routes to `app` before
    `open` is called. Requests that name another host than the one listened on are refused: a
    page in somebody's browser must not read a loopback port by a name of its own.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self.app = web.Application(
            middlewares=[self._only_by_our_name], client_max_size=BODY_BYTES_MAX
        )
        self.address = (host, port)
        self._host, self._port = host, port
        for path, page in pages.items():
            self.app.router.add_get(path, page)
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen; OSError where the port is taken or the address is none of ours."""
        self._runner = web.AppRunner(
            self.app, access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        bound = self._runner.addresses[0]
        self.address = (bound[0], bound[1])
        if not is_loopback(self._host):
            log.warning("telemetry is open to others", host=self._host, port=bound[1])

    async def close(self) -> None:
        if self._runner is not None:
            with contextlib.suppress(Exception):
                await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @web.middleware
    async def _only_by_our_name(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if is_loopback(self._host) and not is_loopback(_name(request.host)):
            return web.Response(status=403, text="expected a loopback name in Host\n")
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:  # a page that breaks must not look like a dead trader
            trace = "".join(format_exception(error))
            log.error("page broke", path=request.path, exception=trace)
            return web.Response(status=500, text=f"{request.path}: {type(error).__name__}\n")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address of this name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Of a Host header, without its port."""
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() and not name.endswith(":") else host

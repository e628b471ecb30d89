"""What tests of telemetry share: free ports, and a listener that keeps what it is sent."""

import asyncio
import socket
from collections.abc import Callable

from aiohttp import web


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Ear:
    """A real HTTP server on loopback: keeps every body, answers when it likes to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.delay_s = 0.0
        self.status = 200
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{rest:.*}", self._hear)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _hear(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        await asyncio.sleep(self.delay_s)
        return web.Response(status=self.status, text="{}")

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def until(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)

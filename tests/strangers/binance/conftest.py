"""A Binance twin in a thread of its own, for clients of every kind."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from oneprice.twin.build import World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.twin.stock import default_account

T = TypeVar("T")


class Venue:
    """The running twin as strangers see it, and `do` for what only its owner may."""

    def __init__(self, running: RunningTwin, loop: asyncio.AbstractEventLoop) -> None:
        self.running = running
        self.loop = loop
        self.rest, self.ws = running.rest, running.ws
        self.account = running.twin.exchange.setup.accounts[0]
        self.poor = running.twin.exchange.setup.accounts[1]

    @property
    def surface(self) -> Any:
        return self.running.twin.surface

    def do(self, action: Callable[[], T]) -> T:
        """Run something on the twin's own thread and wait for it."""

        async def call() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(5)

    def route(self, url: str) -> str:
        """A url of the venue as it is reached here; the layout is told in surface.py."""
        parts = urlsplit(url)
        if parts.scheme in ("http", "https"):
            return self.rest + parts.path
        host = parts.netloc.partition(":")[0]
        prefix = {
            "stream.binance.com": "/stream",
            "fstream.binance.com": "/fstream",
            "dstream.binance.com": "/dstream",
        }.get(host, "")
        return self.ws + prefix + parts.path


@pytest.fixture(scope="session")
def venue() -> Iterator[Venue]:
    ready: list[Venue] = []
    started = threading.Event()
    stop: list[Callable[[], None]] = []

    async def life() -> None:
        poor = default_account("binance", 2)
        accounts = (
            default_account("binance"),
            type(poor)(key=poor.key, secret=poor.secret, uid=poor.uid, deposits={}),
        )
        twin = make_twin("binance", time.time_ns, World(seed=7), accounts=accounts)
        running = await serve(twin)
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        ready.append(Venue(running, loop))
        started.set()
        await over.wait()
        assert running.failures == 0
        await running.close()

    thread = threading.Thread(target=lambda: asyncio.run(life()), daemon=True)
    thread.start()
    assert started.wait(20), "the twin did not start"
    yield ready[0]
    stop[0]()
    thread.join(5)

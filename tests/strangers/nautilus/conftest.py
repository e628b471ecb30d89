"""Twins for the strictest judge: nautilus_trader's clients, whose parsers forgive nothing.

They are heavy and have a virtual environment of their own: `make judge`. Elsewhere these tests
are skipped.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest

from oneprice.twin.build import World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.twin.stock import default_account


class Venue:
    """A running twin as its guests see it."""

    def __init__(self, name: str, running: RunningTwin) -> None:
        self.running = running
        self.rest, self.ws = running.rest, running.ws
        self.account = default_account(name)

    async def book(self, path: str, **query: str) -> Any:
        """A public REST answer, read without any client."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.rest + path, params=query) as response,
        ):
            return await response.json()


@pytest.fixture(scope="session")
def venue_of() -> Iterator[Callable[[str], Venue]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    venues: dict[str, Venue] = {}

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def start(name: str) -> RunningTwin:
        account = default_account(name)
        return await serve(make_twin(name, time.time_ns, World(seed=7), accounts=(account,)))

    def of(name: str) -> Venue:
        if name not in venues:
            venues[name] = Venue(name, wait(start(name)))
        return venues[name]

    yield of
    for venue in venues.values():
        assert venue.running.failures == 0
        wait(venue.running.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture
def until() -> Callable[..., Any]:
    async def wait(condition: Callable[[], Any], what: str, seconds: float = 6.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            await asyncio.sleep(0.01)
        raise AssertionError(f"waited {seconds} s for {what}")

    return wait

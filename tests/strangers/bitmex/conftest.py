"""A BitMEX twin on a loopback port, in a thread of its own, for clients nobody here wrote."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from oneprice.twin.build import Twin, World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import RunningTwin, serve

KEY, SECRET = "stranger0001", "stranger-secret-0001"
POOR_KEY, POOR_SECRET = "stranger0002", "stranger-secret-0002"
READER_KEY = "stranger0003"
RICH = {"USDT": Decimal(200_000), "XBT": Decimal(5)}
WATCHED = "XBTUSD"
T = TypeVar("T")


class TwinThread:
    """Runs the twin's event loop beside blocking clients; `call` reaches into it safely."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        poor = {"XBT": Decimal("0.0001"), "USDT": Decimal(1)}
        accounts = (
            AccountSpec(key=KEY, secret=SECRET, uid=1455728, deposits={"margin": RICH}),
            AccountSpec(key=POOR_KEY, secret=POOR_SECRET, uid=1455729, deposits={"margin": poor}),
            AccountSpec(key=READER_KEY, secret=SECRET, uid=1455730, read_only=True),
        )
        self.running: RunningTwin = self._wait(self._start(accounts))
        self.rest, self.ws = self.running.rest, self.running.ws

    @property
    def twin(self) -> Twin:
        return self.running.twin

    @property
    def surface(self) -> Any:
        return self.running.twin.surface

    def call(self, action: Callable[[], T]) -> T:
        async def run() -> T:
            return action()

        result: T = self._wait(run())
        return result

    async def followed(self, *tables: str) -> None:
        """Waits until the twin has taken subscriptions to these tables, here."""

        def taken() -> bool:
            sessions = self.surface._sessions
            return all(sessions.followed(table, WATCHED) for table in tables)

        async with asyncio.timeout(30):
            while not self.call(taken):
                await asyncio.sleep(0.02)

    def close(self) -> None:
        self._wait(self.running.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _start(self, accounts: tuple[AccountSpec, ...]) -> RunningTwin:
        twin: Any = make_twin("bitmex", time.time_ns, World(seed=11), accounts=accounts)
        twin.surface.limiter.resize(50)  # tests follow closely
        return await serve(twin)

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


@pytest.fixture(scope="session")
def mex() -> Iterator[TwinThread]:
    thread = TwinThread()
    yield thread
    assert thread.running.failures == 0
    thread.close()


@pytest.fixture
def poor() -> tuple[str, str]:
    return POOR_KEY, POOR_SECRET


@pytest.fixture
def owner() -> tuple[str, str]:
    return KEY, SECRET


@pytest.fixture
def reader() -> tuple[str, str]:
    return READER_KEY, SECRET

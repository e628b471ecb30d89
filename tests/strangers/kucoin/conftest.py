"""A KuCoin twin on a loopback port, in a thread of its own, for clients nobody here wrote."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import RunningTwin, serve

OWNER = ("stranger0001", "stranger-secret-0001", "stranger-phrase")
POOR = ("stranger0002", "stranger-secret-0002", "stranger-phrase")
SPOT = {"USDT": Decimal(200_000), "BTC": Decimal(5), "ETH": Decimal(50), "SOL": Decimal(500)}
FUTURES = {"USDT": Decimal(100_000), "XBT": Decimal(2)}
T = TypeVar("T")


class TwinThread:
    """Runs the twin's event loop beside blocking clients; `call` reaches into it safely."""

    owner = OWNER

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        rich = {"spot": SPOT, "futures": FUTURES}
        little = {"spot": {"USDT": Decimal(20)}, "futures": {"USDT": Decimal(20)}}
        accounts = tuple(
            AccountSpec(key=keys[0], secret=keys[1], passphrase=keys[2], uid=uid, deposits=money)
            for keys, uid, money in ((OWNER, 165_111_215, rich), (POOR, 165_111_216, little))
        )
        self.running: RunningTwin = self._wait(self._start(accounts))
        self.rest, self.ws = self.running.rest, self.running.ws
        self.futures = self.rest + "/futures"

    @property
    def surface(self) -> Any:
        return self.running.twin.surface

    def call(self, action: Callable[[], T]) -> T:
        async def run() -> T:
            return action()

        return self._wait(run())

    def close(self) -> None:
        self._wait(self.running.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _start(self, accounts: tuple[AccountSpec, ...]) -> RunningTwin:
        twin: Any = make_twin("kucoin", time.time_ns, World(seed=11), accounts=accounts)
        twin.surface.limiter.scale = 4  # a customer of a higher level: tests follow closely
        return await serve(twin)

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


@pytest.fixture(scope="session")
def venue() -> Iterator[TwinThread]:
    thread = TwinThread()
    yield thread
    assert thread.running.failures == 0
    thread.close()


@pytest.fixture
def poor() -> tuple[str, str, str]:
    return POOR


@pytest.fixture
def owner() -> tuple[str, str, str]:
    return OWNER


@pytest.fixture(scope="session")
def sdk(venue: TwinThread) -> Any:
    """The owner's services of the venue's own SDK."""
    pytest.importorskip("kucoin_universal_sdk")
    import kucoin_desk as desk

    return desk.Services(desk.make(venue, OWNER))


@pytest.fixture(scope="session")
def started() -> Iterator[Callable[[Any], Any]]:
    """Starts a socket of the SDK, and stops all of them at the end of the session."""
    sockets: list[Any] = []

    def start(socket: Any) -> Any:
        socket.start()
        sockets.append(socket)
        return socket

    yield start
    # each one takes many seconds to stop its threads
    stops = [threading.Thread(target=socket.stop, daemon=True) for socket in sockets]
    for stop in stops:
        stop.start()
    for stop in stops:
        stop.join(15)

"""An OKX twin on a loopback port, in a thread of its own, for clients nobody here wrote."""

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

KEY, SECRET, PHRASE = "stranger-okx-0001", "stranger-secret-0001", "stranger-phrase"
POOR_KEY, POOR_SECRET = "stranger-okx-0002", "stranger-secret-0002"
RICH = {"USDT": Decimal(200_000), "BTC": Decimal(5), "ETH": Decimal(50), "SOL": Decimal(500)}
T = TypeVar("T")


class TwinThread:
    """Runs the twin's event loop beside blocking clients; `call` reaches into it safely."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        poor = {"trading": {"USDT": Decimal(5)}}
        accounts = (
            AccountSpec(
                key=KEY, secret=SECRET, passphrase=PHRASE, uid=614488, deposits={"trading": RICH}
            ),
            AccountSpec(
                key=POOR_KEY, secret=POOR_SECRET, passphrase=PHRASE, uid=614489, deposits=poor
            ),
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

        return self._wait(run())

    async def followed(self, key: str, channel: str) -> None:
        """Waits until the twin has taken a subscription to a private channel."""
        async with asyncio.timeout(30):
            while not self.call(lambda: self.surface._sessions.count(key, channel)):
                await asyncio.sleep(0.02)

    def close(self) -> None:
        self._wait(self.running.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _start(self, accounts: tuple[AccountSpec, ...]) -> RunningTwin:
        twin: Any = make_twin("okx", time.time_ns, World(seed=11), accounts=accounts)
        twin.surface.limiter.scale = 20  # tests ask faster than an account may
        return await serve(twin)

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """The first true value of a condition; fails after a while with what was awaited."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


@pytest.fixture(scope="session")
def venue() -> Iterator[TwinThread]:
    thread = TwinThread()
    yield thread
    assert thread.running.failures == 0
    thread.close()


@pytest.fixture
def wait() -> Callable[..., Any]:
    return until


@pytest.fixture
def poor() -> tuple[str, str, str]:
    return POOR_KEY, POOR_SECRET, PHRASE


@pytest.fixture
def owner() -> tuple[str, str, str]:
    return KEY, SECRET, PHRASE


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """python-okx insists on TLS and on five idle seconds after its login: neither is needed."""
    websockets = pytest.importorskip("websockets")
    factories = pytest.importorskip("okx.websocket.WebSocketFactory")

    async def connect(self: Any) -> Any:
        self.websocket = await websockets.connect(self.url)
        return self.websocket

    wait = asyncio.sleep

    async def nap(seconds: float, *rest: Any) -> None:
        await wait(min(seconds, 0.3), *rest)

    monkeypatch.setattr(factories.WebSocketFactory, "connect", connect)
    monkeypatch.setattr("okx.websocket.WsPrivateAsync.asyncio.sleep", nap)

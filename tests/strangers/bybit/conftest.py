"""A Bybit twin on a loopback port, in a thread of its own, for clients nobody here wrote."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from oneprice.twin.build import Twin, World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import RunningTwin, serve

KEY, SECRET = "stranger0001", "stranger-secret-0001"
POOR_KEY, POOR_SECRET = "stranger0002", "stranger-secret-0002"
RICH = {"USDT": Decimal(200_000), "BTC": Decimal(5), "ETH": Decimal(50), "SOL": Decimal(500)}
# One customer per suite that counts its own money, and one each whose terms are changed.
SPARE = ("exact-pybit", "exact-ccxt", "hedged-pybit", "hedged-ccxt", "busy-pybit", "busy-ccxt")
T = TypeVar("T")


class TwinThread:
    """Runs the twin's event loop beside blocking clients; `call` reaches into it safely."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        accounts = (
            AccountSpec(key=KEY, secret=SECRET, uid=592324, deposits={"unified": RICH}),
            AccountSpec(
                key=POOR_KEY,
                secret=POOR_SECRET,
                uid=592325,
                deposits={"unified": {"USDT": Decimal(20)}},
            ),
            AccountSpec(
                key="reader0001",
                secret="reader-secret-0001",
                uid=592326,
                deposits={"unified": RICH},
                read_only=True,
            ),
            *(
                AccountSpec(
                    key=name, secret=f"{name}-secret", uid=592400 + at, deposits={"unified": RICH}
                )
                for at, name in enumerate(SPARE)
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

    def close(self) -> None:
        self._wait(self.running.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _start(self, accounts: tuple[AccountSpec, ...]) -> RunningTwin:
        twin: Any = make_twin("bybit", time.time_ns, World(seed=11), accounts=accounts)
        twin.surface.limiter.scale = 3  # a customer of a higher level: tests follow closely
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
def poor() -> tuple[str, str]:
    return POOR_KEY, POOR_SECRET


@pytest.fixture
def owner() -> tuple[str, str]:
    return KEY, SECRET


@pytest.fixture(scope="session")
def keys() -> Callable[[str], tuple[str, str]]:
    """The key and secret of a customer of SPARE, or of "reader"."""

    def of(name: str) -> tuple[str, str]:
        if name == "reader":
            return "reader0001", "reader-secret-0001"
        assert name in SPARE
        return name, f"{name}-secret"

    return of


@pytest.fixture
def used_up(venue: TwinThread) -> Iterator[Callable[[str, str], None]]:
    """Leaves a customer no request on a path: its windows are full for the next second."""

    def use_up(key: str, path: str) -> None:
        def action() -> None:
            uid = str(venue.twin.exchange.account(key).uid)
            venue.surface.limiter.take(uid, path, False, 1_000, venue.twin.clock())

        venue.call(action)

    yield use_up


@pytest.fixture(scope="session")
def ccxt_client(venue: TwinThread) -> Callable[..., Any]:
    """Makes a ccxt.pro client whose every URL is the twin's, and none points elsewhere."""
    pro = pytest.importorskip("ccxt.pro")

    def make(login: tuple[str, str], **settings: Any) -> Any:
        exchange = pro.bybit(
            {
                "apiKey": login[0],
                "secret": login[1],
                "enableRateLimit": False,
                "options": {"fetchMarkets": {"types": ["spot", "linear", "inverse"]}},
                **settings,
            }
        )

        def walk(node: Any) -> Any:
            if isinstance(node, dict):
                return {name: walk(value) for name, value in node.items()}
            split = urlsplit(node.replace("{hostname}", exchange.hostname or ""))
            root = venue.ws if split.scheme.startswith("ws") else venue.rest
            return root + split.path

        exchange.urls["api"] = walk(exchange.urls["api"])
        exchange.has["fetchCurrencies"] = False
        exchange.options["fetchCurrencies"] = False
        assert "bybit.com" not in str(exchange.urls["api"])
        return exchange

    return make

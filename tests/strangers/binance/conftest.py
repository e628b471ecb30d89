"""A Binance twin in a thread of its own, for clients of every kind."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from decimal import ROUND_FLOOR, Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import pytest

from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import RunningTwin, serve
from oneprice.twin.stock import default_account

T = TypeVar("T")
SYMBOLS = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
# Customers: "exact" ones count their own money, "hedged" ones change their terms, "refused"
# ones ask for what they cannot have. "reader" may not trade, "poor" has nothing.
NAMES = (
    "owner",
    "poor",
    "reader",
    *(f"{what}-{client}" for client in ("pb", "sdk", "ccxt")
      for what in ("exact", "hedged", "refused")),
)  # fmt: skip


def customers() -> dict[str, AccountSpec]:
    found = {name: default_account("binance", at) for at, name in enumerate(NAMES, 1)}
    found["poor"] = msgspec.structs.replace(found["poor"], deposits={})
    found["reader"] = msgspec.structs.replace(found["reader"], read_only=True)
    return found


class Venue:
    """The running twin as strangers see it, and `do` for what only its owner may."""

    def __init__(self, running: RunningTwin, loop: asyncio.AbstractEventLoop) -> None:
        self.running = running
        self.loop = loop
        self.rest, self.ws = running.rest, running.ws
        self.customers = customers()
        self.account = self.customers["owner"]
        self.poor = self.customers["poor"]

    @property
    def surface(self) -> Any:
        return self.running.twin.surface

    def do(self, action: Callable[[], T]) -> T:
        """Run something on the twin's own thread and wait for it."""

        async def call() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(5)

    def price(self, product: str, factor: str) -> str:
        """The best bid times a factor, on the grid."""
        exchange = self.running.twin.exchange
        instrument = exchange.listing(product, SYMBOLS[product]).instrument
        bid = self.do(lambda: exchange.book(instrument.id, 1).bids[0][0])
        ticks = (bid * Decimal(factor)).to_integral_value(ROUND_FLOOR)
        return instrument.price_text(int(ticks))

    def use_up(self, product: str, *, weight: int = 0, orders: int = 0, key: str = "") -> None:
        """Count requests or orders that nobody made against the running windows."""
        limits, at = self.surface.limits[product], self.running.twin.clock()
        if weight:
            self.do(lambda: limits.forgive("127.0.0.1", -weight, at))
        if orders:
            self.do(lambda: limits.count_orders(key, at, orders))

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


def run() -> Iterator[Venue]:
    ready: list[Venue] = []
    started = threading.Event()
    stop: list[Callable[[], None]] = []

    async def life() -> None:
        accounts = tuple(customers().values())
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


@pytest.fixture(scope="session")
def venue() -> Iterator[Venue]:
    yield from run()


@pytest.fixture
def lone_venue() -> Iterator[Venue]:
    """A twin for one test alone, whose limits may be used up."""
    yield from run()


@pytest.fixture(autouse=True)
def _weight_is_no_matter_of_luck(venue: Venue) -> None:
    """Every test starts with a full minute's weight, however fast the suite is."""

    def forgive() -> None:
        at = venue.running.twin.clock()
        for limits in venue.surface.limits.values():
            limits.forgive("127.0.0.1", limits.used("127.0.0.1", at), at)

    venue.do(forgive)


@pytest.fixture(scope="session")
def ccxt_client(venue: Venue) -> Callable[..., Any]:
    """Makes a ccxt.pro client whose every URL is the twin's."""
    pro = pytest.importorskip("ccxt.pro")

    def make(kind: str, key: str, secret: str, **settings: Any) -> Any:
        where = settings.pop("where", venue)
        client = getattr(pro, kind)(
            {"enableRateLimit": False, "apiKey": key, "secret": secret, **settings}
        )

        def walk(node: Any) -> Any:
            if isinstance(node, dict):
                return {name: walk(inner) for name, inner in node.items()}
            return where.route(node)

        client.urls["api"] = walk(client.urls["api"])
        inner = client.get_exceptions_by_url
        client.get_exceptions_by_url = lambda url, how: inner(_home(url), how)
        client.has["fetchCurrencies"] = False
        client.options["fetchCurrencies"] = False
        assert "binance.com" not in str(client.urls["api"])
        return client

    return make


def _home(url: str) -> str:
    """The url on the venue's own host: ccxt chooses its error table by it."""
    path = urlsplit(url).path
    host = {"/fapi": "fapi", "/dapi": "dapi"}.get(path[:5], "api")
    return f"https://{host}.binance.com{path}"

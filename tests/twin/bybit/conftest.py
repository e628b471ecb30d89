"""A served Bybit twin with a clock that tests may move, and a signing client in a few lines."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from yarl import URL

from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import RunningTwin, serve

KEY, SECRET = "simkey0001", "simsecret0001"
WAIT_S = 60  # a machine under load may stand still for many seconds


class MovedClock:
    """The real clock and an offset in ns."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return time.time_ns() + self.offset


class Line:
    """One WebSocket: JSON out, JSON in, every wait bounded."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        await self.socket.send_json(message)
        return await self.next(lambda one: "topic" not in one)

    async def next(
        self, wanted: Callable[[dict[str, Any]], bool], seconds: float = WAIT_S
    ) -> dict[str, Any]:
        async def read() -> dict[str, Any]:
            while True:
                message: dict[str, Any] = await self.socket.receive_json()
                if wanted(message):
                    return message

        return await asyncio.wait_for(read(), seconds)

    async def topic(self, name: str, seconds: float = WAIT_S) -> dict[str, Any]:
        return await self.next(lambda one: one.get("topic") == name, seconds)

    async def closed(self, seconds: float = WAIT_S) -> bool:
        async def read() -> bool:
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return True

        return await asyncio.wait_for(read(), seconds)


class Venue:
    """The twin, its clock, and signed calls to it."""

    def __init__(
        self, running: RunningTwin, clock: MovedClock, session: aiohttp.ClientSession
    ) -> None:
        self.running = running
        self.clock = clock
        self.session = session
        self.surface: Any = running.twin.surface
        self.exchange: Any = running.twin.exchange

    def now_ms(self) -> int:
        return self.clock() // 1_000_000

    def headers(self, payload: str, **changed: str) -> dict[str, str]:
        stamp = changed.get("stamp", str(self.now_ms()))
        key, secret = changed.get("key", KEY), changed.get("secret", SECRET)
        text = f"{stamp}{key}5000{payload}"
        sign = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return {
            "X-BAPI-API-KEY": key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign,
            "Content-Type": "application/json",
        }

    async def get(self, path: str, query: str = "", **changed: str) -> dict[str, Any]:
        text = f"{self.running.rest}{path}" + (f"?{query}" if query else "")
        url = URL(text, encoded=True)  # what is sent must be what was signed
        async with self.session.get(url, headers=self.headers(query, **changed)) as answer:
            self.last = answer
            body: dict[str, Any] = await answer.json()
            return body

    async def post(self, path: str, body: dict[str, Any], **changed: str) -> dict[str, Any]:
        text = json.dumps(body)
        url = f"{self.running.rest}{path}"
        headers = self.headers(text, **changed)
        async with self.session.post(url, data=text, headers=headers) as answer:
            self.last = answer
            found: dict[str, Any] = await answer.json()
            return found

    async def order(self, **fields: Any) -> dict[str, Any]:
        usual = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit"}
        return await self.post("/v5/order/create", usual | {"qty": "0.01"} | fields)

    async def touch(self, category: str = "linear") -> tuple[Decimal, Decimal]:
        query = f"category={category}&symbol=BTCUSDT"
        row = (await self.get("/v5/market/tickers", query))["result"]["list"][0]
        return Decimal(row["bid1Price"]), Decimal(row["ask1Price"])

    async def below(self) -> str:
        bid, _ = await self.touch()
        return str((bid * Decimal("0.995")).quantize(Decimal("0.1")))

    async def line(self, path: str) -> Line:
        return Line(await self.session.ws_connect(self.running.ws + path))

    async def login(self, path: str, *topics: str) -> Line:
        line = await self.line(path)
        expires = self.now_ms() + 10_000
        text = f"GET/realtime{expires}"
        sign = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
        answer = await line.ask({"op": "auth", "args": [KEY, expires, sign]})
        assert answer.get("success") is True or answer.get("retCode") == 0
        if topics:
            done = await line.ask({"op": "subscribe", "args": list(topics)})
            assert done["success"] is True
        return line


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    clock = MovedClock()
    deposits = {"USDT": Decimal(100_000), "BTC": Decimal(2)}
    account = AccountSpec(key=KEY, secret=SECRET, uid=7, deposits={"unified": deposits})
    reader = AccountSpec(key="reader", secret=SECRET, uid=8, read_only=True)
    bound = AccountSpec(key="bound", secret=SECRET, uid=9, addresses=("203.0.113.7",))
    world = World(
        seed=3,
        instruments=("bybit:spot:BTCUSDT", "bybit:linear:BTCUSDT", "bybit:linear:ETHUSDT"),
        funding_interval_ms=60_000,
    )
    twin = make_twin("bybit", clock, world, accounts=(account, reader, bound))
    running = await serve(twin)
    async with aiohttp.ClientSession() as session:
        yield Venue(running, clock, session)
    await running.close()
    assert running.failures == 0

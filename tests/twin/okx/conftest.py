"""A served OKX twin with a clock that tests may move, and a signing client in a few lines."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from yarl import URL

from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import RunningTwin, serve

KEY, SECRET, PHRASE = "simkey0001", "simsecret0001", "simphrase"
WAIT_S = 60  # a machine under load may stand still for many seconds


class MovedClock:
    """The real clock and an offset in ns."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return time.time_ns() + self.offset


def signed(text: str, secret: str = SECRET) -> str:
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class Line:
    """One WebSocket: JSON out, JSON in, every wait bounded."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, op: str, *args: dict[str, Any], **more: Any) -> None:
        await self.socket.send_json({"op": op, "args": list(args), **more})

    async def ask(self, op: str, *args: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The first answer that is not data."""
        await self.send(op, *args, **more)
        return await self.next(
            lambda one: "op" in one or "channel-conn" not in one.get("event", "channel-conn")
        )

    async def next(
        self, wanted: Callable[[dict[str, Any]], bool], seconds: float = WAIT_S
    ) -> dict[str, Any]:
        async def read() -> dict[str, Any]:
            while True:
                text = await self.socket.receive_str()
                message: Any = json.loads(text) if text != "pong" else {"pong": True}
                if wanted(message):
                    return message

        return await asyncio.wait_for(read(), seconds)

    async def data(self, channel: str, seconds: float = WAIT_S) -> dict[str, Any]:
        """The next data of a channel."""
        return await self.next(
            lambda one: "data" in one and one.get("arg", {}).get("channel") == channel, seconds
        )

    async def order(self, seconds: float = WAIT_S, **wanted: str) -> dict[str, Any]:
        """The next row of `orders` with these values."""
        while True:
            row: dict[str, Any] = (await self.data("orders", seconds))["data"][0]
            if all(row[name] == value for name, value in wanted.items()):
                return row

    async def subscribe(self, channel: str, **narrows: str) -> dict[str, Any]:
        arg = {"channel": channel, **narrows}
        await self.send("subscribe", arg)
        ack = await self.next(lambda one: "event" in one and "channel-conn" not in one["event"])
        assert ack["event"] == "subscribe", ack
        return ack

    async def closed(self, seconds: float = WAIT_S) -> int | None:
        """The close code."""

        async def read() -> int | None:
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    closes = message.type is aiohttp.WSMsgType.CLOSE
                    return int(message.data) if closes else self.socket.close_code

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
        self.status = 0

    def stamp(self, offset_s: float = 0) -> str:
        moment = datetime.fromtimestamp(self.clock() / 1e9 + offset_s, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def headers(self, method: str, path: str, body: str = "", **changed: str) -> dict[str, str]:
        stamp = changed.get("stamp", self.stamp())
        sign = signed(f"{stamp}{method}{path}{body}", changed.get("secret", SECRET))
        found = {
            "OK-ACCESS-KEY": changed.get("key", KEY),
            "OK-ACCESS-SIGN": sign,
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": changed.get("phrase", PHRASE),
            "Content-Type": "application/json",
        }
        for name in changed.get("without", "").split():
            del found[name]
        return found | {"x-simulated-trading": changed.get("demo", "0")}

    async def get(self, path: str, query: str = "", **changed: str) -> dict[str, Any]:
        whole = f"/api/v5/{path}" + (f"?{query}" if query else "")
        url = URL(self.running.rest + whole, encoded=True)  # what is sent must be what is signed
        async with self.session.get(url, headers=self.headers("GET", whole, **changed)) as answer:
            self.status = answer.status
            body: dict[str, Any] = await answer.json()
            return body

    async def rows(self, path: str, query: str = "") -> list[Any]:
        answer = await self.get(path, query)
        assert answer["code"] == "0", answer
        found: list[Any] = answer["data"]
        return found

    async def post(self, path: str, body: Any, **changed: str) -> dict[str, Any]:
        whole, text = f"/api/v5/{path}", json.dumps(body)
        headers = self.headers("POST", whole, text, **changed)
        if "expires" in changed:
            headers["expTime"] = changed["expires"]
        url = self.running.rest + whole
        async with self.session.post(url, data=text, headers=headers) as answer:
            self.status = answer.status
            found: dict[str, Any] = await answer.json()
            return found

    async def order(self, **fields: Any) -> dict[str, Any]:
        """The verdict on one order; a buy of one BTC-USDT-SWAP unless told otherwise."""
        usual = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "sz": "1"}
        body = usual | {"ordType": "limit" if "px" in fields else "market"} | fields
        answer = await self.post("trade/order", body)
        assert answer["code"] == ("0" if answer["data"][0]["sCode"] == "0" else "1"), answer
        verdict: dict[str, Any] = answer["data"][0]
        return verdict

    async def below(self, inst_id: str = "BTC-USDT-SWAP", factor: str = "0.99") -> str:
        """A price some way from the bid, on the grid of a tenth."""
        bid = (await self.rows("market/ticker", f"instId={inst_id}"))[0]["bidPx"]
        return str((Decimal(bid) * Decimal(factor)).quantize(Decimal("0.1")))

    async def line(self, kind: str) -> Line:
        return Line(await self.session.ws_connect(f"{self.running.ws}/ws/v5/{kind}"))

    def login_args(self, **changed: Any) -> dict[str, Any]:
        stamp = changed.pop("timestamp", str(self.clock() // 1_000_000_000))
        found = {
            "apiKey": KEY,
            "passphrase": PHRASE,
            "timestamp": stamp,
            "sign": signed(f"{stamp}GET/users/self/verify"),
        }
        return found | changed

    async def login(self, *channels: dict[str, str], kind: str = "private") -> Line:
        line = await self.line(kind)
        answer = await line.ask("login", self.login_args())
        assert answer["event"] == "login" and answer["code"] == "0"
        for arg in channels:
            await line.subscribe(**arg)
        return line


FEW = ("okx:spot:BTC-USDT", "okx:swap:BTC-USDT-SWAP")


async def served(instruments: tuple[str, ...]) -> AsyncIterator[Venue]:
    clock = MovedClock()
    deposits = {"USDT": Decimal(100_000), "BTC": Decimal(2)}
    account = AccountSpec(
        key=KEY, secret=SECRET, passphrase=PHRASE, uid=7, deposits={"trading": deposits}
    )
    reader = AccountSpec(
        key="reader01", secret=SECRET, passphrase=PHRASE, uid=8, read_only=True
    )
    bound = AccountSpec(
        key="bound001", secret=SECRET, passphrase=PHRASE, uid=9, addresses=("203.0.113.7",)
    )
    world = World(seed=3, instruments=instruments, funding_interval_ms=60_000)
    twin = make_twin("okx", clock, world, accounts=(account, reader, bound))
    running = await serve(twin)
    async with aiohttp.ClientSession() as session:
        yield Venue(running, clock, session)
    await running.close()
    assert running.failures == 0


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async for one in served(FEW):
        yield one


@pytest.fixture
async def wide() -> AsyncIterator[Venue]:
    """With a second coin and an inverse contract, too."""
    async for one in served((*FEW, "okx:swap:ETH-USDT-SWAP", "okx:swap:BTC-USD-SWAP")):
        yield one

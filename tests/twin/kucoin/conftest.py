"""A served KuCoin twin with a clock that tests may move, and a signing client in a few lines."""

import asyncio
import base64
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

KEY, SECRET, PHRASE = "simkey0001", "simsecret0001", "simphrase"
WAIT_S = 60  # a machine under load may stand still for many seconds


def sign(text: str, secret: str = SECRET) -> str:
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class MovedClock:
    """The real clock and an offset in ns."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return time.time_ns() + self.offset


class Line:
    """One WebSocket: JSON out, JSON in, every wait bounded.

    `kept`: messages of other topics wait for those who ask for them; None: they are dropped.
    """

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, kept: list[dict[str, Any]] | None = None
    ) -> None:
        self.socket = socket
        self.kept = kept
        self._ids = iter(range(1, 100_000))

    async def ask(self, kind: str, topic: str = "", **more: Any) -> dict[str, Any]:
        number = str(next(self._ids))
        message = {"id": number, "type": kind, "topic": topic, "response": True} | more
        await self.socket.send_json(message)
        return await self.next(lambda one: one.get("id") == number)

    async def follow(self, topic: str, *, private: bool = False) -> None:
        answer = await self.ask("subscribe", topic, privateChannel=private)
        assert answer["type"] == "ack", answer

    async def next(
        self, wanted: Callable[[dict[str, Any]], bool], seconds: float = WAIT_S
    ) -> dict[str, Any]:
        for index, known in enumerate(self.kept or ()):
            if self.kept is not None and wanted(known):
                return self.kept.pop(index)

        async def read() -> dict[str, Any]:
            while True:
                message: dict[str, Any] = await self.socket.receive_json()
                if wanted(message):
                    return message
                if self.kept is not None:
                    self.kept.append(message)

        return await asyncio.wait_for(read(), seconds)

    async def topic(self, name: str, subject: str = "", seconds: float = WAIT_S) -> dict[str, Any]:
        def wanted(one: dict[str, Any]) -> bool:
            return one.get("topic") == name and subject in ("", one.get("subject"))

        data: dict[str, Any] = (await self.next(wanted, seconds))["data"]
        return data

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
        self.last: Any = None

    def now_ms(self) -> int:
        return self.clock() // 1_000_000

    def headers(self, method: str, path: str, body: str = "", **changed: str) -> dict[str, str]:
        stamp = changed.get("stamp", str(self.now_ms()))
        secret = changed.get("secret", SECRET)
        phrase = changed.get("phrase", PHRASE)
        return {
            "KC-API-KEY": changed.get("key", KEY),
            "KC-API-TIMESTAMP": stamp,
            "KC-API-PASSPHRASE": sign(phrase, secret),
            "KC-API-KEY-VERSION": changed.get("version", "3"),
            "KC-API-SIGN": sign(stamp + method + path + body, secret),
            "Content-Type": "application/json",
        }

    async def call(
        self, method: str, path: str, body: Any = None, *, futures: bool = False, **changed: str
    ) -> dict[str, Any]:
        """A signed request; `futures`: by the prefix, which is not signed."""
        text = "" if body is None else json.dumps(body)
        root = self.running.rest + ("/futures" if futures else "")
        headers = self.headers(method, path, text, **changed)
        url = URL(root + path, encoded=True)  # what is sent must be what was signed
        async with self.session.request(method, url, data=text, headers=headers) as answer:
            self.last = answer
            found: dict[str, Any] = json.loads(await answer.text())
            return found

    async def get(self, path: str, **changed: Any) -> Any:
        """The data of a signed GET that succeeds."""
        answer = await self.call("GET", path, **changed)
        assert answer["code"] == "200000", answer
        return answer["data"]

    async def post(self, path: str, body: Any, **changed: Any) -> Any:
        answer = await self.call("POST", path, body, **changed)
        assert answer["code"] == "200000", answer
        return answer["data"]

    async def public(self, path: str) -> Any:
        async with self.session.get(URL(self.running.rest + path, encoded=True)) as answer:
            self.last = answer
            return (await answer.json())["data"]

    # Orders ----------------------------------------------------------------------------------

    def spot(self, client: str, **fields: Any) -> dict[str, Any]:
        usual = {"clientOid": client, "symbol": "BTC-USDT", "side": "buy", "type": "limit"}
        return usual | {"size": "0.001"} | fields

    def contract(self, client: str, **fields: Any) -> dict[str, Any]:
        usual = {"clientOid": client, "symbol": "XBTUSDTM", "side": "buy", "type": "limit"}
        return usual | {"size": 10, "leverage": 5} | fields

    async def touch(self, spot: bool = True) -> tuple[Decimal, Decimal]:
        if spot:
            row = await self.public("/api/v1/market/orderbook/level1?symbol=BTC-USDT")
            return Decimal(row["bestBid"]), Decimal(row["bestAsk"])
        row = await self.public("/futures/api/v1/ticker?symbol=XBTUSDTM")
        return Decimal(row["bestBidPrice"]), Decimal(row["bestAskPrice"])

    async def below(self, spot: bool = True) -> str:
        bid, _ = await self.touch(spot)
        return str((bid * Decimal("0.99")).quantize(Decimal("0.1")))

    # Sockets ---------------------------------------------------------------------------------

    async def token(self, *, private: bool = False, futures: bool = False) -> dict[str, Any]:
        path = f"/api/v1/bullet-{'private' if private else 'public'}"
        data: dict[str, Any] = await self.post(path, None, futures=futures)
        return data

    async def line(self, *, private: bool = False, futures: bool = False) -> Line:
        data = await self.token(private=private, futures=futures)
        endpoint = data["instanceServers"][0]["endpoint"]
        url = f"{endpoint}?token={data['token']}&connectId=here"
        line = Line(await self.session.ws_connect(url), [] if private else None)
        assert await line.next(lambda one: True) == {"id": "here", "type": "welcome"}
        return line

    async def order_line(self, **changed: str) -> Any:
        """The order-entry socket after its handshake, or the refusal that it ended with."""
        stamp = changed.get("stamp", str(self.now_ms()))
        query = {
            "apikey": KEY,
            "timestamp": stamp,
            "sign": sign(KEY + stamp, changed.get("secret", SECRET)),
            "passphrase": sign(PHRASE),
        }
        socket = await self.session.ws_connect(self.running.ws + "/v1/private", params=query)
        challenge = await socket.receive_str()
        if "sessionId" not in json.loads(challenge):
            return json.loads(challenge)
        await socket.send_str(sign(challenge, changed.get("answer", SECRET)))
        welcome = await socket.receive_json()
        return Line(socket) if welcome.get("data") == "welcome" else welcome


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    clock = MovedClock()
    deposits = {
        "spot": {"USDT": Decimal(100_000), "BTC": Decimal(2)},
        "futures": {"USDT": Decimal(50_000), "XBT": Decimal(1)},
    }
    account = AccountSpec(key=KEY, secret=SECRET, passphrase=PHRASE, uid=7, deposits=deposits)
    reader = AccountSpec(
        key="reader", secret=SECRET, passphrase=PHRASE, uid=8, read_only=True, deposits={}
    )
    bound = AccountSpec(
        key="bound", secret=SECRET, passphrase=PHRASE, uid=9, addresses=("203.0.113.7",)
    )
    names = ("spot:BTC-USDT", "spot:ETH-USDT", "futures:XBTUSDTM", "futures:XBTUSDM")
    world = World(
        seed=3,
        instruments=tuple(f"kucoin:{name}" for name in names),
        funding_interval_ms=60_000,
    )
    twin = make_twin("kucoin", clock, world, accounts=(account, reader, bound))
    running = await serve(twin)
    async with aiohttp.ClientSession() as session:
        yield Venue(running, clock, session)
    await running.close()
    assert running.failures == 0

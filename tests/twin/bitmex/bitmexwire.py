"""A clock that tests may move, and a signing client of the BitMEX twin in a few lines."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from oneprice.twin.server import RunningTwin

KEY, SECRET = "mexkey0001", "mexsecret0001"
WAIT_S = 60  # a machine under load may stand still for many seconds
SECOND = 1_000_000_000


class MovedClock:
    """The real clock and an offset in ns."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return time.time_ns() + self.offset


class Line:
    """One WebSocket: JSON out, JSON in with exact numbers, every wait bounded."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def read(self, seconds: float = WAIT_S) -> Any:
        async def one() -> Any:
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise EOFError("closed")
            if message.data == "pong":
                return "pong"
            return json.loads(message.data, parse_float=Decimal)

        return await asyncio.wait_for(one(), seconds)

    async def next(self, wanted: Callable[[Any], bool], seconds: float = WAIT_S) -> Any:
        async def look() -> Any:
            while True:
                message = await self.read(seconds)
                if wanted(message):
                    return message

        return await asyncio.wait_for(look(), seconds)

    async def ask(self, op: str, *arguments: Any) -> Any:
        """The answer to a request: what repeats it."""
        await self.socket.send_json({"op": op, "args": list(arguments)})
        return await self.next(lambda one: "request" in one)

    async def table(self, name: str, action: str, seconds: float = WAIT_S) -> Any:
        def right(one: Any) -> bool:
            return one != "pong" and (one.get("table"), one.get("action")) == (name, action)

        return await self.next(right, seconds)

    async def closed(self, seconds: float = WAIT_S) -> bool:
        async def look() -> bool:
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return True

        return await asyncio.wait_for(look(), seconds)


class Venue:
    """The twin, its clock, and signed calls to it; `status` and `headers` of the last one."""

    def __init__(
        self, running: RunningTwin, clock: MovedClock, session: aiohttp.ClientSession
    ) -> None:
        self.running = running
        self.clock = clock
        self.session = session
        self.surface: Any = running.twin.surface
        self.exchange: Any = running.twin.exchange
        self.status = 0
        self.headers: Any = {}

    def seconds(self) -> int:
        return self.clock() // SECOND

    def signed(self, verb: str, path: str, body: str, **changed: str) -> dict[str, str]:
        expires = changed.get("expires", str(self.seconds() + 10))
        key, secret = changed.get("key", KEY), changed.get("secret", SECRET)
        text = f"{verb}{path}{expires}{body}"
        sign = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return {"api-key": key, "api-expires": expires, "api-signature": sign}

    async def ask(
        self, verb: str, path: str, fields: dict[str, Any] | None = None, **changed: str
    ) -> Any:
        """GET sends fields as query, the others as JSON, or as a form where `form` is set."""
        target, body, headers = f"/api/v1{path}", "", {}
        if verb == "GET" and fields:
            target += "?" + urlencode(fields)
        elif fields:
            body = urlencode(fields) if changed.get("form") else json.dumps(fields)
            kind = "x-www-form-urlencoded" if changed.get("form") else "json"
            headers["Content-Type"] = f"application/{kind}"
        if not changed.get("anonymous"):
            headers |= self.signed(verb, target, body, **changed)
        url = URL(self.running.rest + target, encoded=True)  # what is sent must be what was signed
        async with self.session.request(verb, url, data=body or None, headers=headers) as answer:
            self.status, self.headers = answer.status, answer.headers
            text = await answer.text()
            if not text.startswith(("[", "{")):
                return text
            return json.loads(text, parse_float=Decimal)

    async def get(self, path: str, **fields: Any) -> Any:
        return await self.ask("GET", path, fields)

    async def order(self, **fields: Any) -> Any:
        usual = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 1000}
        return await self.ask("POST", "/order", usual | fields)

    async def touch(self, symbol: str = "XBTUSD") -> tuple[Decimal, Decimal]:
        row = (await self.get("/instrument", symbol=symbol))[0]
        return Decimal(row["bidPrice"]), Decimal(row["askPrice"])

    async def below(self, symbol: str = "XBTUSD") -> float:
        bid, _ = await self.touch(symbol)
        return float((bid * Decimal("0.99")).quantize(Decimal(1)))

    async def refusal(self, **fields: Any) -> tuple[int, str]:
        body = await self.order(**fields)
        return self.status, body["error"]["message"]

    async def line(self, query: str = "", headers: dict[str, str] | None = None) -> Line:
        url = URL(f"{self.running.ws}/realtime{query}", encoded=True)
        line = Line(await self.session.ws_connect(url, headers=headers))
        welcome = await line.read()
        assert welcome["info"] == "Welcome to the BitMEX Realtime API."
        return line

    async def login(self, *topics: str, key: str = KEY, secret: str = SECRET) -> Line:
        line = await self.line()
        expires = self.seconds() + 10
        text = f"GET/realtime{expires}"
        sign = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        assert (await line.ask("authKeyExpires", key, expires, sign))["success"] is True
        for topic in topics:
            assert (await line.ask("subscribe", topic))["success"] is True
            await line.table(topic.partition(":")[0], "partial")
        return line

"""A served Binance twin whose clock a test can push, and a bare client without any library."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import pytest
from yarl import URL

from oneprice.model.units import HOUR, MILLI
from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import serve
from oneprice.twin.stock import default_account

WAIT_S = 60  # a machine under load may stand still for many seconds
FUNDING_EVERY = 8 * HOUR


class Bare:
    """Speaks to the twin as the documents say, nothing hidden."""

    def __init__(self, running: Any, http: aiohttp.ClientSession, shift: list[int]) -> None:
        self.running = running
        self.http = http
        self.surface = running.twin.surface
        self.account: AccountSpec = running.twin.exchange.setup.accounts[0]
        self._shift = shift

    def push_clock(self, span: int) -> None:
        self._shift[0] += span

    @property
    def now_ms(self) -> int:
        return int(self.running.twin.clock() // MILLI)

    async def ask(self, method: str, path: str, **params: Any) -> tuple[int, Any, Any]:
        """Unsigned: status, decoded body, headers."""
        # Encoded as it was signed: the client library must not spell it anew.
        url = URL(f"{self.running.rest}{path}?{urlencode(params)}", encoded=True)
        headers = {"X-MBX-APIKEY": self.account.key}
        async with self.http.request(method, url, headers=headers) as answer:
            text = await answer.text()
            body = msgspec.json.decode(text) if text[:1] in "{[" else text
            return answer.status, body, answer.headers

    async def signed(self, method: str, path: str, **params: Any) -> tuple[int, Any, Any]:
        params |= {"timestamp": self.now_ms}
        params["signature"] = self.sign(urlencode(params))
        return await self.ask(method, path, **params)

    def sign(self, payload: str) -> str:
        return hmac.new(self.account.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

    def signed_params(self, **params: Any) -> dict[str, Any]:
        params |= {"apiKey": self.account.key, "timestamp": self.now_ms}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return params | {"signature": self.sign(payload)}

    @asynccontextmanager
    async def socket(self, path: str, **settings: Any) -> AsyncIterator["Ear"]:
        async with self.http.ws_connect(self.running.ws + path, **settings) as link:
            yield Ear(link)


class Ear:
    """A WebSocket that waits only so long."""

    def __init__(self, link: aiohttp.ClientWebSocketResponse) -> None:
        self.link = link

    async def hear(self, seconds: float = WAIT_S) -> Any:
        message = await asyncio.wait_for(self.link.receive(), seconds)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(str(message.type))
        return msgspec.json.decode(message.data)

    async def hear_until(self, event: str) -> Any:
        for _ in range(500):
            said = await self.hear()
            inner = said.get("event", said.get("data", said))
            if inner.get("e") == event:
                return said
        raise AssertionError(f"no {event}")

    async def say(self, **message: Any) -> None:
        await self.link.send_str(msgspec.json.encode(message).decode())

    async def silent(self, seconds: float = 0.4) -> bool:
        try:
            await self.hear(seconds)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def bare(request: pytest.FixtureRequest) -> AsyncIterator[Bare]:
    """An indirect parameter is how many ns before the next funding instant the twin starts."""
    shift = [0]
    if hasattr(request, "param"):
        shift[0] = FUNDING_EVERY - time.time_ns() % FUNDING_EVERY - request.param
    twin = make_twin(
        "binance",
        lambda: time.time_ns() + shift[0],
        World(seed=3),
        accounts=(default_account("binance"),),
    )
    running = await serve(twin)
    async with aiohttp.ClientSession() as http:
        yield Bare(running, http, shift)
    failures = running.failures
    await running.close()
    assert failures == 0

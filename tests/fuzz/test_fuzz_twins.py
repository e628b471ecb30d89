"""Whatever is sent to a twin, it answers without a server error, and goes on answering."""

import asyncio
import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientConnectionError, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer
from fuzzmaterial import THOROUGH, VENUES, lines, parsed, spoilt
from fuzzmaterial import wire as load
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

STAGE = load("wirestage")
SECOND_MS = 1_000
MINUTE_MS = 61 * SECOND_MS  # every allowance is full again
GOOD = {
    "bybit": "/v5/market/time",
    "binance": "/api/v3/time",
    "okx": "/api/v5/public/time",
    "kucoin": "/api/v1/timestamp",
    "bitmex": "/api/v1/instrument?symbol=XBTUSD",
}
SOCKETS = {
    "bybit": ("private", "trade", "linear", "spot"),
    "binance": ("spot_orders", "usdm_orders", "spot_public", "usdm_public", "spot_user"),
    "okx": ("private", "public", "business"),
    "kucoin": ("spot", "futures", "spot_private", "futures_private"),
    "bitmex": ("public", "private"),
}
HEADERS = st.dictionaries(
    st.sampled_from(
        ["X-BAPI-SIGN", "X-BAPI-TIMESTAMP", "X-MBX-APIKEY", "OK-ACCESS-KEY", "OK-ACCESS-TIMESTAMP",
         "OK-ACCESS-SIGN", "KC-API-KEY", "KC-API-TIMESTAMP", "KC-API-KEY-VERSION", "api-expires",
         "api-key", "api-signature", "Content-Type", "Authorization", "Referer"]
    ),
    st.text("0123456789abcXYZ-+.:é/=_ ", max_size=20).map(str.strip),
    max_size=4,
)  # fmt: skip


class Faults(logging.Handler):
    """Everything that a handler raised, as the server logs it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        where = traceback.format_exception(error)[-3:] if error is not None else []
        self.seen.append("\n".join([record.getMessage(), *where]))


class House:
    """One twin in this process, behind a test client, with a loop of its own."""

    def __init__(self, venue: str) -> None:
        module = load("twin_stage", VENUES[venue])
        self.venue = venue
        self.stage = STAGE.Stage(venue, module.COIN_PRICE)
        self.tongue = module.Tongue(self.stage)
        self.runner = asyncio.Runner()
        self.faults = Faults()
        for name in ("aiohttp.server", "aiohttp.web", "asyncio", "oneprice.twin"):
            logging.getLogger(name).addHandler(self.faults)
        app = web.Application()
        self.stage.twin.surface.attach(app)
        self.paths = sorted(
            {route.resource.canonical for route in app.router.routes() if route.resource}
        )
        self.client = self.run(self._start(app))

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    async def _start(self, app: web.Application) -> Any:
        client: Any = TestClient(TestServer(app))
        await client.start_server()
        return client

    def close(self) -> None:
        self.run(self.client.close())
        self.runner.close()
        for name in ("aiohttp.server", "aiohttp.web", "asyncio", "oneprice.twin"):
            logging.getLogger(name).removeHandler(self.faults)

    def step(self, span_ms: int) -> None:
        """Time passes, and everything that happened is told."""
        stage, twin = self.stage, self.stage.twin
        stage.jump(str(span_ms))
        at = stage.clock()
        twin.exchange.advance(at)
        twin.surface.publish(twin.exchange.drain(), at)
        twin.surface.beat(at)

    async def ask(
        self, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        url = URL(str(self.client.make_url("/")).rstrip("/") + target, encoded=True)
        async with self.client.session.request(
            method, url, data=body or None, headers=headers
        ) as answer:
            return answer.status, await answer.read()

    async def call(self, tag: str, method: str, path: str) -> tuple[int, Any]:
        """A door that has to be opened before a socket."""
        path, headers = self.tongue.call(method, path, "", signed=True)
        prefix = self.tongue.prefix(futures="futures" in tag)
        status, text = await self.ask(method, prefix + path, b"", headers)
        return status, parsed(text)

    def check(self) -> None:
        """No handler failed, and a good request is still answered well."""
        seen, self.faults.seen = self.faults.seen, []
        assert not seen, seen[-1]
        status, text = self.run(self.ask("GET", GOOD[self.venue], b"", {}))
        assert status == 200, (status, text[:200])
        assert parsed(text) is not None


@pytest.fixture(scope="module", params=VENUES)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    found = House(request.param)
    yield found
    found.close()


def spoken(venue: str) -> tuple[list[tuple[str, str, Any]], list[tuple[str, Any]]]:
    """Calls (method, path, body) and frames (socket, frame) that conversations send."""
    calls, frames = [], []
    for text in lines(venue, ">"):
        target, _, rest = text.partition(" ")
        if target.isupper():
            path, _, body = rest.partition(" ")
            calls.append((target, path, parsed(body) if body else None))
        elif (frame := parsed(rest)) is not None:
            frames.append((target, frame))
    return calls, frames


SPOKEN = {venue: spoken(venue) for venue in VENUES}


def query(draw: Any, text: str) -> str:
    """A query with a field gone, odd, doubled, or something else after it."""
    fields = [one for one in text.split("&") if one]
    for _ in range(draw(st.integers(0, 3))):
        if not fields:
            fields = [""]
        place = draw(st.integers(0, len(fields) - 1))
        name = fields[place].partition("=")[0] or "limit"
        odd = draw(
            st.sampled_from(
                ["", "-1", "0", "1e9", "NaN", "%00", "%ff%fe", "9" * 40, "%D9%A3", "a%2Cb", "[]",
                 "%5B%5D", "%7B", "true", "1_0", "+5", "BTCUSDT", "null"]
            )
        )  # fmt: skip
        match draw(st.sampled_from(["gone", "odd", "doubled", "new"])):
            case "gone":
                del fields[place]
            case "odd":
                fields[place] = f"{name}={odd}"
            case "doubled":
                fields.append(f"{name}={odd}")
            case _:
                known = ["startTime", "endTime", "limit", "after", "cursor", "filter", "symbol"]
                fields.append(f"{draw(st.sampled_from(known))}={odd}")
    return "&".join(fields)


@THOROUGH
@given(data=st.data())
def test_no_spoilt_call_is_a_server_error(house: House, data: Any) -> None:
    calls, _ = SPOKEN[house.venue]
    method, target, body = data.draw(st.sampled_from(calls))
    if data.draw(st.integers(0, 3)) == 0:  # any other path that the twin has
        target = data.draw(st.sampled_from(house.paths)).replace("{", "").replace("}", "")
    path, _, rest = target.partition("?")
    rest = query(data.draw, rest)
    text = data.draw(spoilt(body if body is not None else {"symbol": "BTCUSDT", "side": "Buy"}))
    if method == "GET" and data.draw(st.booleans()):
        text = b""
    shown = text.decode(errors="surrogateescape") if text.isascii() else ""
    signed = data.draw(st.integers(0, 4)) > 0
    path = f"{path}?{rest}" if rest else path
    path, headers = house.tongue.call(method, path, shown, signed=signed)
    headers |= data.draw(HEADERS) if not signed else {}
    house.step(MINUTE_MS)
    try:
        status, answer = house.run(house.ask(method, path, text, headers))
    except (ValueError, ClientConnectionError):
        status, answer = 0, b""  # the client or HTTP itself refused to carry it
    assert status < 500, (status, answer[:300])
    house.check()


@THOROUGH
@given(data=st.data())
def test_no_spoilt_frame_ends_a_twin(house: House, data: Any) -> None:
    _, frames = SPOKEN[house.venue]
    socket = data.draw(st.sampled_from(SOCKETS[house.venue]))
    sent: list[str | bytes] = []
    for _ in range(data.draw(st.integers(1, 3))):
        _, frame = data.draw(st.sampled_from(frames))
        resigned = house.tongue.frame(socket, json.loads(json.dumps(frame)))
        text = data.draw(spoilt(resigned))
        binary = data.draw(st.integers(0, 4)) == 0 or not utf8(text)
        sent.append(text if binary else text.decode())
    house.step(MINUTE_MS)
    house.run(conversation(house, socket, sent, data.draw(st.booleans())))
    house.step(20)
    house.check()


def utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


async def conversation(house: House, socket: str, sent: list[str | bytes], login: bool) -> None:
    """Connects, perhaps logs in, says it all, and listens to what comes at once."""
    path = await house.tongue.path(socket, house.call)
    base = str(house.client.make_url("/")).rstrip("/").replace("http", "ws", 1)
    url = URL(path if path.startswith("ws:") else base + path, encoded=True)
    async with house.client.session.ws_connect(url) as link:
        if login:
            for frame in house.tongue.logins(socket):
                await link.send_str(json.dumps(frame))
        for one in sent:
            if link.closed:
                break
            try:
                await (link.send_bytes(one) if isinstance(one, bytes) else link.send_str(one))
            except ConnectionError:
                break
        for _ in range(20):
            try:
                message = await asyncio.wait_for(link.receive(), 0.01)
            except TimeoutError:
                break
            if message.type is not WSMsgType.TEXT:
                break


def test_ten_megabytes_and_endless_nesting_do_not_end_a_twin(house: House) -> None:
    venue = house.venue
    huge, deep = b'{"x":"' + b"x" * 10_000_000 + b'"}', b'{"a":' * 100_000
    for method, target, body in SPOKEN[venue][0]:
        if body is not None or method != "GET":
            for text in (huge, deep, b""):
                house.step(MINUTE_MS)
                path, headers = house.tongue.call(method, target, text.decode(), signed=True)
                status, answer = house.run(house.ask(method, path, text, headers))
                assert status < 500, (target, status, answer[:300])
            break
    for socket in SOCKETS[venue]:
        for text in (huge.decode(), deep.decode(), ""):
            house.step(MINUTE_MS)
            house.run(conversation(house, socket, [text], True))
    house.check()


ONCE = [
    ("binance", "POST", "/api/v3/order?symbol=BTCUSDT", b"\xff\xfe"),
    ("bitmex", "POST", "/api/v1/order", b"\xff\xfe"),
    ("kucoin", "POST", "/api/v1/hf/orders", b'{"\xff":1}'),
    ("bybit", "POST", "/v5/order/create", b'{"\xff":1}'),
    ("okx", "POST", "/api/v5/trade/order", b'{"\xff":1}'),
    ("binance", "spot_orders", "", b'{"id":1,"method":"order.place","params":"x"}'),
    ("binance", "spot_orders", "", b'{"id":1,"method":"order.place","params":[1]}'),
]


@pytest.mark.parametrize(("venue", "target", "path", "text"), ONCE)
def test_what_once_ended_in_a_server_error_is_refused(
    venue: str, target: str, path: str, text: bytes
) -> None:
    house = House(venue)
    try:
        if path:
            path, headers = house.tongue.call(target, path, "", signed=True)
            status, _ = house.run(house.ask(target, path, text, headers))
            assert status < 500
        else:
            house.run(conversation(house, target, [text.decode()], False))
        house.check()
    finally:
        house.close()

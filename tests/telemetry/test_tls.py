"""TLS: nobody is spoken to whose certificate is not signed by somebody we trust."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp import WSMsgType, web

from oneprice.shell.clock import Clock
from oneprice.shell.http import Http
from oneprice.shell.socket import Connection
from oneprice.venues.contract import Ping, Request, SocketSpec

SPEC = SocketSpec(
    name="public", role="public", market="", host="ws", path="/ws", ping=Ping(b"", 1_000, 5_000)
)


class Impostor:
    """A server that speaks HTTP and WebSocket under a certificate of its own making."""

    def __init__(self) -> None:
        self.asked = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def open(self, authority: trustme.CA, name: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        app = web.Application()
        app.router.add_get("/time", self._time)
        app.router.add_get("/ws", self._socket)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]

    async def _time(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(text="1")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        self.asked += 1
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.type is WSMsgType.TEXT:
                await answer.send_str(message.data)
        return answer

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


@pytest.fixture
async def impostor() -> AsyncIterator[Impostor]:
    impostor = Impostor()
    yield impostor
    await impostor.close()


async def http_status(port: int, host: str = "localhost") -> tuple[int, str]:
    http = Http({"rest": f"https://{host}:{port}"})
    try:
        request = Request(tag="t", host="rest", path="/time", headers=(("api-key", "k"),))
        answer = await http.send(request)
        return answer.status, answer.detail
    finally:
        await http.close()


async def socket_opens(port: int, host: str = "localhost") -> str:
    """"" when the socket came up, else why it did not."""
    opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def url() -> str:
        return f"wss://{host}:{port}/ws"

    async def on_open(connection: Connection) -> None:
        if not opened.done():
            opened.set_result("")

    def on_close(connection: Connection, reason: str) -> None:
        if not opened.done():
            opened.set_result(reason)

    connection = Connection(
        SPEC, Clock(), url=url, on_open=on_open, on_frame=lambda *_: None, on_close=on_close
    )
    connection.start()
    try:
        return await asyncio.wait_for(opened, 8)
    finally:
        await connection.stop()


async def test_a_certificate_of_ones_own_making_is_refused_everywhere(impostor: Impostor) -> None:
    await impostor.open(trustme.CA(), "localhost")
    status, detail = await http_status(impostor.port)
    assert (status, detail) == (0, "ClientConnectorCertificateError")
    assert "CERTIFICATE_VERIFY_FAILED" in await socket_opens(impostor.port)
    assert impostor.asked == 0, "not one request was said to it"


async def test_the_same_server_is_spoken_to_once_its_authority_is_trusted(
    impostor: Impostor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    await impostor.open(authority, "localhost")
    trust(authority, tmp_path, monkeypatch)
    assert (await http_status(impostor.port))[0] == 200
    assert await socket_opens(impostor.port) == ""
    assert impostor.asked == 2


async def test_a_good_certificate_for_another_name_is_refused(
    impostor: Impostor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    await impostor.open(authority, "another.example")
    trust(authority, tmp_path, monkeypatch)
    assert (await http_status(impostor.port))[0] == 0
    assert "CERTIFICATE_VERIFY_FAILED" in await socket_opens(impostor.port)
    assert impostor.asked == 0


def trust(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an administrator would: the system's list of authorities holds this one."""
    made = ssl.create_default_context

    def context(*args: object, **kwargs: object) -> ssl.SSLContext:
        found = made(*args, **kwargs)  # type: ignore[arg-type]
        authority.configure_trust(found)
        return found

    monkeypatch.setattr(ssl, "create_default_context", context)
    import aiohttp.connector

    verified = aiohttp.connector._SSL_CONTEXT_VERIFIED
    fresh = context()
    fresh.set_alpn_protocols(("http/1.1",))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", fresh)
    assert verified is None or verified.verify_mode is ssl.CERT_REQUIRED


def test_no_source_of_ours_turns_verification_off() -> None:
    root = Path(__file__).resolve().parents[2] / "src" / "oneprice"
    forbidden = ("CERT_NONE", "verify_ssl", "check_hostname", "_create_unverified", "ssl=False")
    found = [
        f"{path.name}: {word}"
        for path in root.rglob("*.py")
        for word in forbidden
        if word in path.read_text()
    ]
    assert found == []

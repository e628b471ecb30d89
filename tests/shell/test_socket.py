"""One socket over a real server: whole frames, reconnects, heartbeats, silence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import WSMsgType, web

from oneprice.shell.clock import Clock
from oneprice.shell.socket import Connection
from oneprice.venues.contract import Ping, SocketSpec

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


class Server:
    """A WebSocket server that does what the test says with each connection."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.connections = 0
        self.heard: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        await self.talk(socket)
        return socket


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Talk], Awaitable[Server]]]:
    runners: list[web.AppRunner] = []

    async def start(talk: Talk) -> Server:
        server = Server(talk)
        app = web.Application()
        app.router.add_get("/ws", server.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        server.url = f"ws://127.0.0.1:{port}/ws"
        runners.append(runner)
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


class Client:
    """A connection that writes down what happens to it."""

    def __init__(self, server: Server, ping: Ping) -> None:
        self.frames: list[bytes] = []
        self.closed: list[str] = []
        self.opened = 0
        spec = SocketSpec(
            name="s", role="public", market="", host="ws", path="", ping=ping,
        )  # fmt: skip

        async def url() -> str:
            return server.url

        async def on_open(_: Connection) -> None:
            self.opened += 1

        self.connection = Connection(
            spec,
            Clock(),
            url=url,
            on_open=on_open,
            on_frame=lambda payload, _: self.frames.append(payload),
            on_close=lambda _, reason: self.closed.append(reason),
        )


QUIET = Ping(b"", 60_000, 60_000)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_large_frame_arrives_whole(serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("x" * 300_000)
        await socket.receive()

    client = Client(await serve(talk), QUIET)
    client.connection.start()
    await until(lambda: bool(client.frames))
    assert client.frames == [b"x" * 300_000]
    await client.connection.stop()


async def test_a_lost_connection_comes_back_quickly(serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("hello")
        await asyncio.sleep(0.05)
        if server.connections < 3:
            socket._req.transport.abort()  # the network, not a polite close
        else:
            await socket.receive()

    server = await serve(talk)
    client = Client(server, QUIET)
    client.connection.start()
    # A frame may be heard before the task that subscribes has had its turn.
    await until(lambda: len(client.frames) == 3 and client.opened == 3, 2.0)
    assert len(client.closed) == 2
    assert client.opened == 3
    await client.connection.stop()


async def test_a_silent_socket_is_cut_although_it_is_connected(serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await asyncio.sleep(5)

    client = Client(await serve(talk), Ping(b'{"op":"ping"}', 60_000, 100))
    client.connection.start()
    await until(lambda: bool(client.closed))
    assert "silent" in client.closed[0]
    await client.connection.stop()


async def test_the_venues_own_heartbeat_is_kept(serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                server.heard.append(message.data)
                await socket.send_str("pong")

    server = await serve(talk)
    client = Client(server, Ping(b"ping", 50, 1000))
    client.connection.start()
    await until(lambda: len(server.heard) >= 3)
    assert set(server.heard) == {"ping"}
    assert client.closed == []
    await client.connection.stop()


async def test_nobody_there_is_a_reason_and_not_a_crash(serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        return

    server = await serve(talk)
    server.url = "ws://127.0.0.1:9/ws"
    client = Client(server, QUIET)
    client.connection.start()
    await until(lambda: len(client.closed) >= 2)
    assert client.opened == 0
    assert not client.connection.send(b"x")
    await client.connection.stop()


async def test_what_cannot_be_opened_is_tried_less_and_less_often(
    serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneprice.shell.socket.BACKOFF_FLAPPING_S", 0.02)
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.receive()

    client = Client(await serve(talk), QUIET)
    waits: list[float] = []

    async def refused(_: Connection) -> None:
        raise ConnectionError("login refused")

    client.connection._on_open = refused
    client.connection.start()
    began = asyncio.get_running_loop().time()
    for attempt in range(1, 7):
        await until(lambda n=attempt: len(client.closed) >= n)
        waits.append(asyncio.get_running_loop().time() - began)
    assert all("login refused" in reason for reason in client.closed)
    # 20 ms, doubled each time, at least half of it waited: 0.31 s before the sixth.
    assert waits[-1] >= 0.3
    await client.connection.stop()

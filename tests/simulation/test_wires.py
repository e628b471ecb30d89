"""Wires in memory: in order, late, cut at any byte, refused, and the WebSocket over them."""

import asyncio
from collections.abc import Callable
from typing import Any

import picows
import pytest
from aiohttp import WSMsgType, web
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.app.world.loop import VirtualLoop, run_virtually
from oneprice.app.world.stream import opener
from oneprice.app.world.wires import Net, Weather, Wire
from oneprice.model.units import MILLI, SECOND


class End(asyncio.Protocol):
    """Notes what it hears, and when."""

    def __init__(self) -> None:
        self.heard = b""
        self.times: list[float] = []
        self.lost: list[Exception | None] = []
        self.wire: Wire | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Wire)
        self.wire = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.times.append(asyncio.get_running_loop().time())

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


async def joined(loop: VirtualLoop, address: str = "there:1") -> tuple[End, End]:
    """Two ends of one connection: ours, theirs."""
    made: list[End] = []

    def factory() -> End:
        made.append(End())
        return made[-1]

    if not made:
        await loop.create_server(factory, *address.split(":"))  # type: ignore[arg-type]
    _, ours = await loop.create_unix_connection(End, address)
    assert isinstance(ours, End)
    return ours, made[-1]


def written(end: End) -> Wire:
    assert end.wire is not None
    return end.wire


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30), st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_bytes_arrive_whole_and_in_order(pieces: list[bytes], seed: int) -> None:
    async def main(loop: VirtualLoop) -> bytes:
        ours, theirs = await joined(loop)
        for number, piece in enumerate(pieces):
            written(ours).write(piece)
            if number % 3:
                await asyncio.sleep(0.0001)
        written(ours).close()
        await asyncio.sleep(1)
        assert theirs.lost == [None]
        return theirs.heard

    weather = Weather(least_us=100, spread_us=5_000, rare=0.2)
    assert run_virtually(main, Net(seed, weather)) == b"".join(pieces)


def test_what_is_written_in_one_moment_arrives_as_one_piece() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        ours, theirs = await joined(loop)
        for _ in range(5):
            written(ours).write(b"abc")
        await asyncio.sleep(1)
        assert theirs.heard == b"abc" * 5
        return theirs.times

    assert len(run_virtually(main)) == 1


def test_connections_overtake_each_other() -> None:
    async def main(loop: VirtualLoop) -> bool:
        pairs = [await joined(loop, f"there:{number}") for number in range(1, 9)]
        for ours, _ in pairs:
            written(ours).write(b"x")
            await asyncio.sleep(0.0001)
        await asyncio.sleep(1)
        arrived = [theirs.times[0] for _, theirs in pairs]
        return arrived != sorted(arrived)

    assert run_virtually(main, Net(1, Weather(least_us=100, spread_us=20_000)))


@given(st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_a_cut_loses_a_suffix_and_nothing_else(seed: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        ours, theirs = await joined(loop)
        sent = bytes(range(200))
        for number in range(0, 200, 10):
            written(ours).write(sent[number : number + 10])
            await asyncio.sleep(0.001)
        loop.net.cut(written(ours))
        written(ours).write(b"too late")
        await asyncio.sleep(1)
        assert sent.startswith(theirs.heard)
        for end in (ours, theirs):
            assert len(end.lost) == 1
            assert isinstance(end.lost[0], ConnectionResetError)

    run_virtually(main, Net(seed, Weather(least_us=20_000, spread_us=10_000)))


def test_an_address_that_refuses_is_reached_again_afterwards() -> None:
    async def main(loop: VirtualLoop) -> None:
        await joined(loop)
        loop.net.refuse("there:1", SECOND)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(End, "there:1")
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(End, "nobody:1")
        await asyncio.sleep(1)
        await loop.create_unix_connection(End, "there:1")

    run_virtually(main)


def test_an_address_can_be_slow_for_a_while() -> None:
    async def main(loop: VirtualLoop) -> float:
        ours, theirs = await joined(loop)
        loop.net.slow_down("there:1", SECOND, 5_000)
        written(ours).write(b"x")
        began = loop.time()
        await asyncio.sleep(10)
        return theirs.times[0] - began

    assert max(run_virtually(main, Net(seed)) for seed in range(5)) > 1


def test_a_killed_process_says_no_more_and_the_other_side_hears_of_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        ours, theirs = await joined(loop)
        written(ours).write(b"last words")
        loop.net.kill("world")
        written(ours).write(b"from the grave")
        written(theirs).write(b"hello?")
        await asyncio.sleep(1)
        assert theirs.heard == b"last words"
        assert theirs.lost == [None]
        assert ours.heard == b""
        assert ours.lost == []

    run_virtually(main)


def test_reading_can_be_paused_and_nothing_is_lost() -> None:
    async def main(loop: VirtualLoop) -> None:
        ours, theirs = await joined(loop)
        written(theirs).pause_reading()
        written(ours).write(b"abc")
        await asyncio.sleep(1)
        assert theirs.heard == b""
        written(theirs).resume_reading()
        await asyncio.sleep(1)
        assert theirs.heard == b"abc"

    run_virtually(main)


# The WebSocket ------------------------------------------------------------------------------


class Listener:
    """What shell.socket gives to the library."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.connected = 0

    def on_ws_connected(self, transport: Any) -> None:
        self.connected += 1

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        self.frames.append((frame.msg_type.name, frame.get_payload_as_bytes()))


async def serve(loop: VirtualLoop, handler: Callable[..., Any]) -> web.AppRunner:
    app = web.Application()
    app.router.add_get("/ws", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "venue", 80).start()
    return runner


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
            if message.data == "bye":
                await socket.close(code=4001)
    return socket


@given(st.lists(st.sampled_from([0, 1, 125, 126, 65_535, 65_536, 200_000]), max_size=5))
@settings(max_examples=15, deadline=None)
def test_frames_of_every_length_come_back_as_they_were(sizes: list[int]) -> None:
    async def main(loop: VirtualLoop) -> None:
        runner = await serve(loop, echo)
        stream, listener = await opener("venue:80")(Listener, "ws://venue/ws?key=1")
        for size in sizes:
            stream.send(picows.WSMsgType.TEXT, b"x" * size)
        await asyncio.sleep(1)
        assert [len(payload) for _, payload in listener.frames] == sizes
        stream.disconnect()
        await stream.wait_disconnected()
        await runner.cleanup()

    run_virtually(main, Net(3, Weather(least_us=10, spread_us=900)))


def test_a_close_by_the_venue_is_heard_with_its_code() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, bytes]]:
        runner = await serve(loop, echo)
        stream, listener = await opener("venue:80")(Listener, "ws://venue/ws")
        stream.send_ping(b"are you there")
        stream.send(picows.WSMsgType.TEXT, b"bye")
        await asyncio.sleep(1)
        stream.disconnect()
        await stream.wait_disconnected()
        await runner.cleanup()
        assert listener.connected == 1
        return listener.frames

    assert run_virtually(main) == [
        ("PONG", b"are you there"),
        ("TEXT", b"bye"),
        ("CLOSE", (4001).to_bytes(2, "big")),
    ]


def test_a_refused_handshake_says_how_long_to_stay_away() -> None:
    async def full(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async def main(loop: VirtualLoop) -> str:
        runner = await serve(loop, full)
        with pytest.raises(picows.WSInvalidStatusError) as refused:
            await opener("venue:80")(Listener, "ws://venue/ws")
        await runner.cleanup()
        assert refused.value.response is not None
        return refused.value.response.headers["Retry-After"]

    assert run_virtually(main) == "7"


def test_a_connection_lost_in_the_handshake_is_an_error_and_no_hang() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def main(loop: VirtualLoop) -> None:
        runner = await serve(loop, slow)
        loop.call_later(1, lambda: [loop.net.cut(wire) for wire in loop.net.to("venue:80")])
        with pytest.raises(ConnectionResetError):
            await opener("venue:80")(Listener, "ws://venue/ws")
        await runner.cleanup()

    run_virtually(main)


def test_slowness_ends() -> None:
    async def main(loop: VirtualLoop) -> float:
        ours, theirs = await joined(loop)
        loop.net.slow_down("there:1", 10 * MILLI, 5_000)
        await asyncio.sleep(0.1)
        began = loop.time()
        written(ours).write(b"x")
        await asyncio.sleep(10)
        return theirs.times[0] - began

    assert run_virtually(main) < 0.1

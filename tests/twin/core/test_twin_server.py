"""The asyncio shell: ports, steps, requests, faults on the wire."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import time_ns

import aiohttp
import pytest
from aiohttp import web
from twinbench import seeded

from oneprice.twin.build import Twin
from oneprice.twin.contract import MarketUpdate, Output
from oneprice.twin.faults import Faults
from oneprice.twin.server import PortTaken, RunningTwin, serve


class PlainSurface:
    """The least wire side: one order path, one socket, counts of what it was told."""

    venue = "bybit"

    def __init__(self) -> None:
        self.orders = 0
        self.told = 0
        self.beats = 0
        self.fail = False

    def attach(self, app: web.Application) -> None:
        app.router.add_post("/order", self._order)
        app.router.add_get("/ws", self._socket)

    async def _order(self, request: web.Request) -> web.Response:
        self.orders += 1
        return web.json_response({"ok": True})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        self.told += len(outputs)

    def beat(self, at: int) -> None:
        self.beats += 1
        if self.fail:
            raise RuntimeError("a bug in the wire side")

    def decode_tape(self, market: str, frame: bytes, at: int) -> list[MarketUpdate]:
        return []


@pytest.fixture
async def running() -> AsyncIterator[RunningTwin]:
    exchange = seeded("bybit", 1, time_ns(), only=("linear:BTCUSDT",))
    twin = Twin(
        venue="bybit", exchange=exchange, surface=PlainSurface(), faults=Faults(), clock=time_ns
    )
    served = await serve(twin)
    yield served
    await served.close()


async def test_a_twin_steps_publishes_and_tells_where_it_is(running: RunningTwin) -> None:
    await asyncio.sleep(0.4)
    surface = running.twin.surface
    assert isinstance(surface, PlainSurface)
    assert surface.beats > 15
    assert surface.told > 3
    assert running.rest.startswith("http://127.0.0.1:")
    assert running.ready["instruments"] == [{"market": "linear", "id": "BTCUSDT"}]
    assert running.failures == 0


async def test_a_taken_port_is_named_in_the_error(running: RunningTwin) -> None:
    port = int(running.rest.rsplit(":", 1)[1])
    with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken"):
        await serve(running.twin, port)


async def test_a_failing_step_is_counted_and_the_twin_goes_on(running: RunningTwin) -> None:
    surface = running.twin.surface
    assert isinstance(surface, PlainSurface)
    surface.fail = True
    await asyncio.sleep(0.05)
    surface.fail = False
    failures, beats = running.failures, surface.beats
    assert failures > 0
    await asyncio.sleep(0.1)
    assert surface.beats > beats
    assert running.failures <= failures + 1


@pytest.mark.parametrize(
    ("kind", "carried_out", "status"),
    [("answer_lost", 1, 0), ("error_after", 1, 503), ("error_before", 0, 503)],
)
async def test_order_requests_meet_the_armed_fault(
    running: RunningTwin, kind: str, carried_out: int, status: int
) -> None:
    surface = running.twin.surface
    assert isinstance(surface, PlainSurface)
    running.twin.faults.arm(kind)
    async with aiohttp.ClientSession() as client:
        if status:
            async with client.post(running.rest + "/order") as answer:
                assert answer.status == status
        else:
            with pytest.raises(aiohttp.ClientError):
                await client.post(running.rest + "/order")
        assert surface.orders == carried_out
        async with client.post(running.rest + "/order") as answer:
            assert answer.status == 200


async def test_an_armed_cut_kills_the_socket_without_a_goodbye(running: RunningTwin) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(running.ws + "/ws") as socket,
    ):
        await socket.send_str("hello")
        assert (await socket.receive(1)).data == "hello"
        running.twin.faults.arm("cut", match="/ws")
        message = await socket.receive(2)
        assert message.type in (
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
            aiohttp.WSMsgType.CLOSE,
        )
        assert not running.transports

"""What keeps a venue's goodwill: back-off of sockets, bans in the outbox, clocks in windows."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from oneprice.model.commands import Priority
from oneprice.model.units import SECOND
from oneprice.shell.clock import Clock
from oneprice.shell.outbox import Outbox
from oneprice.shell.pacing import Pacer
from oneprice.shell.socket import Connection
from oneprice.venues.contract import Limit, Ping, Request, SocketSpec

SPEC = SocketSpec(
    name="s", role="public", market="", host="ws", path="", ping=Ping(b"", 60_000, 60_000)
)
LIMIT = Limit(bucket="orders", count=10, per_ms=1_000)


class Door:
    """Counts who knocks; what it does with him is the test's."""

    def __init__(self) -> None:
        self.knocks: list[float] = []
        self.retry_after = ""
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.knocks.append(time.monotonic())
        if self.retry_after:
            return web.Response(status=429, headers={"Retry-After": self.retry_after})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if request.transport is not None:
            request.transport.abort()
        return socket


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    app = web.Application()
    app.router.add_get("/ws", door.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    door.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    yield door
    await runner.cleanup()


def connection(door: Door, wait_s: float = 0.0) -> Connection:
    async def url() -> str:
        await asyncio.sleep(wait_s)
        return door.url

    async def on_open(_: Connection) -> None:
        return

    return Connection(
        SPEC, Clock(), url=url, on_open=on_open,
        on_frame=lambda payload, heard: None, on_close=lambda which, reason: None,
    )  # fmt: skip


async def test_a_socket_that_is_lost_again_and_again_knocks_more_and_more_seldom(
    door: Door,
) -> None:
    flapping = connection(door)
    flapping.start()
    await asyncio.sleep(1.5)
    await flapping.stop()
    pauses = [b - a for a, b in zip(door.knocks, door.knocks[1:], strict=False)]
    assert 4 <= len(pauses) <= 10
    assert pauses[-1] > 4 * pauses[0]


async def test_waiting_for_ones_turn_is_not_a_life_that_starts_the_back_off_anew(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneprice.shell.socket.STABLE_NS", SECOND // 100)
    flapping = connection(door, wait_s=0.02)
    flapping.start()
    await asyncio.sleep(1.5)
    await flapping.stop()
    assert len(door.knocks) <= 10


async def test_a_door_that_says_when_to_come_again_is_not_knocked_at_before(door: Door) -> None:
    door.retry_after = "1"
    refused = connection(door)
    refused.start()
    await asyncio.sleep(0.9)
    assert len(door.knocks) == 1
    await asyncio.sleep(0.4)
    await refused.stop()
    assert len(door.knocks) == 2
    assert door.knocks[1] - door.knocks[0] >= 1.0


async def test_a_ban_refuses_entries_at_once_and_lets_unwinding_out_at_its_end() -> None:
    sent: list[str] = []
    given_up: list[tuple[str, str]] = []
    clock = Clock()
    outbox = Outbox(
        Pacer([LIMIT]), clock, ready=lambda _: True,
        send=lambda request, trip: sent.append(request.tag),
        give_up=lambda request, why: given_up.append((request.tag, why)),
    )  # fmt: skip
    outbox.pacer.ban("orders", clock.now() + SECOND)
    for tag, priority in (("entry", Priority.ENTRY), ("unwind", Priority.UNWIND)):
        outbox.put(Request(tag=tag, priority=priority, cost=(("orders", 1),)))
    assert given_up == [("entry", "banned")]
    await asyncio.sleep(0.9)
    assert sent == []
    await asyncio.sleep(0.3)
    assert sent == ["unwind"]

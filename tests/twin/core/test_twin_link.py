"""The sockets under all twins: order, lateness, three ends, readers that do not read."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from oneprice.twin import link as links
from oneprice.twin.faults import FrameFate
from oneprice.twin.link import Link, Readers, message_in

Talk = Callable[[Link], Awaitable[None]]


class Venue:
    """One path at which a link is opened and a test decides what is said on it."""

    def __init__(self) -> None:
        self.port = 0
        self.slow_code = 0
        self.ended = asyncio.Event()
        self.talk: Talk

    async def serve(self, request: web.Request) -> web.StreamResponse:
        link = Link(slow_code=self.slow_code)
        link.send(b"before")
        await link.open(request)
        await self.talk(link)
        await link.over()
        self.ended.set()
        return link.socket


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    made = Venue()
    app = web.Application()
    app.router.add_get("/ws", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def heard(venue: Venue) -> tuple[list[str], int | None]:
    """Everything that a client hears, and the close code."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{venue.port}/ws") as client,
    ):
        found = [message.data async for message in client if message.type is WSMsgType.TEXT]
        return found, client.close_code


async def test_a_late_frame_holds_up_what_is_behind_it_and_the_end_waits(venue: Venue) -> None:
    async def talk(link: Link) -> None:
        link.send(b"late", 60)
        link.send(b"behind")
        link.end(4001, "first word")
        link.end(4002)

    venue.talk = talk
    assert await heard(venue) == (["before", "late", "behind"], 4001)


async def test_a_closed_link_loses_what_waits_and_shakes_no_hand(venue: Venue) -> None:
    async def talk(link: Link) -> None:
        link.send(b"waits", 5_000)
        link.close()

    venue.talk = talk
    assert await heard(venue) == ([], 1006)


async def test_what_a_client_says_is_heard_in_order_until_it_leaves(venue: Venue) -> None:
    async def talk(link: Link) -> None:
        async for text in link.texts():
            link.send(text.upper().encode())
        link.close()

    venue.talk = talk
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{venue.port}/ws") as client,
    ):
        for text in ("a", "b"):
            await client.send_str(text)
        await client.send_bytes(b"no text")
        assert [await client.receive_str() for _ in range(3)] == ["before", "A", "B"]
    await asyncio.wait_for(venue.ended.wait(), 2)


async def deaf(venue: Venue) -> sockets.socket:
    """A client that upgrades and then never reads."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", venue.port))
    asked = (
        "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    await asyncio.get_running_loop().sock_sendall(raw, asked.encode())
    return raw


async def test_who_never_reads_is_cut_off(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "OUTBOX_LIMIT", 50)

    async def talk(link: Link) -> None:
        for _ in range(200):
            link.send(bytes(1 << 16))
            await asyncio.sleep(0)

    venue.talk = talk
    raw = await deaf(venue)
    await asyncio.wait_for(venue.ended.wait(), 2)
    raw.close()


async def test_a_code_for_slow_readers_is_their_last_frame(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "OUTBOX_LIMIT", 3)
    venue.slow_code = 4005

    async def talk(link: Link) -> None:
        for _ in range(3):
            link.send(b"frame")

    venue.talk = talk
    assert await heard(venue) == ([], 4005)


async def test_a_cut_ends_a_link_that_is_blocked(venue: Venue) -> None:
    async def talk(link: Link) -> None:
        for _ in range(200):
            link.send(bytes(1 << 16))
        await asyncio.sleep(0.05)
        link.cut()

    venue.talk = talk
    raw = await deaf(venue)
    await asyncio.wait_for(venue.ended.wait(), 2)
    raw.close()


def test_readers_are_told_in_the_order_they_came_and_an_empty_place_is_none() -> None:
    readers: Readers[str, str] = Readers()
    for one in ("b", "a", "b"):
        readers.add("book", one)
    assert readers.of("book") == ("b", "a") and "book" in readers
    readers.discard("book", "b")
    readers.discard("book", "a")
    readers.discard("trades", "a")
    assert readers.of("book") == () and "book" not in readers and "trades" not in readers


@pytest.mark.parametrize(
    ("fate", "copies"),
    [
        (FrameFate(), (0,)),
        (FrameFate(delay_ms=250), (250,)),
        (FrameFate(repeated=True, delay_ms=250), (250, 0)),
        (FrameFate(lost=True, repeated=True, delay_ms=250), ()),
    ],
)
def test_a_fate_says_how_late_each_copy_comes(fate: FrameFate, copies: tuple[int, ...]) -> None:
    assert fate.copies_ms == copies


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "null", "[" * 100_000])
def test_only_an_object_is_a_message(text: str) -> None:
    assert message_in(text) is None and message_in('{"op": 1}') == {"op": 1}

"""One client's WebSocket: the upgrade, an ordered outbox, three ends; and who reads what."""

import asyncio
import contextlib
from asyncio import Transport
from collections import deque
from collections.abc import AsyncIterator, Hashable
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import ClientError, WSCloseCode, WSMsgType, web

OUTBOX_LIMIT = 20_000  # frames; a reader this far behind is cut off

Place = TypeVar("Place", bound=Hashable)
Reader = TypeVar("Reader", bound=Hashable)


class Link:
    """The connection under a session, which writes in a task of its own.

    `slow_code` is the close code for a reader that is too far behind; without one it is cut off.
    """

    def __init__(self, *, autoping: bool = True, slow_code: int = 0) -> None:
        self.socket = web.WebSocketResponse(
            autoping=autoping, compress=False, max_msg_size=1 << 20
        )
        self._slow_code = slow_code
        self._transport: Transport | None = None
        self._writer: asyncio.Task[None] | None = None
        # not before (loop time), payload, kind
        self._outbox: deque[tuple[float, bytes, WSMsgType]] = deque()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._goodbye: tuple[int, bytes] | None = None  # code and reason, once the outbox is empty
        self._closing = False

    async def open(self, request: web.Request) -> None:
        """Upgrade; what was queued before leaves first."""
        await self.socket.prepare(request)
        self._transport = request.transport
        self._writer = asyncio.create_task(self._write())

    async def texts(self) -> AsyncIterator[str]:
        """What the client says, until the connection is over."""
        async for message in self.socket:
            if message.type is WSMsgType.TEXT:
                yield message.data

    # Speaking --------------------------------------------------------------------------------

    def send(self, frame: bytes, delay_ms: int = 0) -> None:
        """Queue a text frame; order is kept, also behind a delayed one."""
        if len(self._outbox) < OUTBOX_LIMIT:
            self._queue(frame, WSMsgType.TEXT, delay_ms)
        elif self._slow_code:
            self._outbox.clear()
            self.end(self._slow_code)
        else:
            self.cut()

    def ping(self, payload: bytes) -> None:
        self._queue(payload, WSMsgType.PING, 0)

    def _queue(self, payload: bytes, kind: WSMsgType, delay_ms: int) -> None:
        self._outbox.append((self._loop.time() + delay_ms / 1000, payload, kind))
        self._wake.set()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError, ClientError, RuntimeError):
            while not self._closing:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox and not self._closing:
                    ready_at, payload, kind = self._outbox.popleft()
                    pause = ready_at - self._loop.time()
                    if pause > 0:
                        await asyncio.sleep(pause)
                    await self.socket.send_frame(payload, kind)
                if self._goodbye is not None and not self._closing:
                    self._closing = True
                    code, reason = self._goodbye
                    await self.socket.close(code=code, message=reason)
        if self._transport is not None:
            self._transport.close()

    # Ending ----------------------------------------------------------------------------------

    def end(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """Close with a code once everything queued is sent; the first word counts."""
        self._goodbye = self._goodbye or (code, reason.encode())
        self._wake.set()

    def close(self) -> None:
        """End without a closing handshake, behind the frame that is just being written.

        Frames still waiting are lost.
        """
        self._closing = True
        self._outbox.clear()
        self._wake.set()

    def cut(self) -> None:
        """Drop the TCP connection at once, as a failing venue does: even one nobody reads."""
        self.close()
        if self._transport is not None:
            self._transport.abort()

    async def over(self) -> None:
        """Wait until nothing more is written; `end`, `close` or `cut` comes before."""
        if self._writer is not None:
            await self._writer


class Readers(Generic[Place, Reader]):
    """Who reads which place (a topic, a stream, a table), in the order they came."""

    def __init__(self) -> None:
        self._at: dict[Place, dict[Reader, None]] = {}

    def __contains__(self, place: Place) -> bool:
        return place in self._at

    def add(self, place: Place, reader: Reader) -> None:
        self._at.setdefault(place, {})[reader] = None

    def discard(self, place: Place, reader: Reader) -> None:
        found = self._at.get(place, {})
        found.pop(reader, None)
        if not found:
            self._at.pop(place, None)

    def of(self, place: Place) -> tuple[Reader, ...]:
        return tuple(self._at.get(place, ()))


def message_in(text: str) -> dict[str, Any] | None:
    """The JSON object in a text, None where it is not one."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None

"""One WebSocket that stays up: connect, back off, heartbeat, notice silence, hand over frames."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import picows

from oneprice.model.units import MILLI, SECOND
from oneprice.shell.clock import Clock
from oneprice.venues.contract import SocketSpec

BACKOFF_FIRST_S = 0.02
BACKOFF_MAX_S = 30.0  # while nobody answers
BACKOFF_FLAPPING_S = 2.0  # while it comes up and is lost again: the venue is there
STABLE_NS = 5 * SECOND  # a connection that lived so long starts the back-off anew
CONNECT_S = 10.0  # for an attempt: an address that swallows everything would hold us for minutes
HELD_MAX_S = 86_400.0  # the longest wait that a refusal may impose
FRAME_BYTES_MAX = 16 * 1024 * 1024
_TEXT, _BINARY = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY

Opener = Callable[..., Awaitable[Any]]  # takes and gives what `picows.ws_connect` does


class _Listener(picows.WSListener):
    """Turns the library's callbacks into whole frames."""

    def __init__(self, owner: "Connection") -> None:
        self._owner = owner
        self._parts: list[bytes] = []

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._owner.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        owner = self._owner
        heard = owner.heard = owner.clock.now()
        if kind is _TEXT or kind is _BINARY:
            owner.frames += 1
            if frame.fin:
                owner.on_frame(frame.get_payload_as_bytes(), heard)
            else:
                self._parts = [frame.get_payload_as_bytes()]
        elif kind is picows.WSMsgType.CONTINUATION:
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                whole = b"".join(self._parts)
                self._parts = []
                owner.on_frame(whole, heard)
        elif kind is picows.WSMsgType.CLOSE:
            owner.close_reason = f"closed by the venue ({frame.get_close_code()})"
            transport.send_close(frame.get_close_code())
            transport.disconnect()


class Connection:
    """Keeps one socket of a venue connected until told to stop.

    `url` is asked before every attempt (a listen key may be new) and may take its time, so that
    attempts stay within the venue's allowance; it may raise ConnectionError or TimeoutError.
    `on_open` runs after each connect and subscribes or logs in; `on_close` tells the reason.
    """

    def __init__(
        self,
        spec: SocketSpec,
        clock: Clock,
        *,
        url: Callable[[], Awaitable[str]],
        on_open: Callable[["Connection"], Awaitable[None]],
        on_frame: Callable[[bytes, int], None],
        on_close: Callable[["Connection", str], None],
        opener: Opener = picows.ws_connect,
    ) -> None:
        self.spec = spec
        self.clock = clock
        self.on_frame = on_frame
        self.transport: picows.WSTransport | None = None
        self.heard = 0
        self.close_reason = ""
        self.connects = 0
        self.opened_at = 0
        self.frames = 0  # heard since it was opened
        self.muted = False  # for the owner: what is heard no longer counts
        self.slot = 0  # for the owner: when the next control request may be sent
        self._url = url
        self._on_open = on_open
        self._on_close = on_close
        self._opener = opener
        self._task: asyncio.Task[None] | None = None
        self._defect: Exception | None = None
        self._held_s = 0.0  # the venue refused us for so long

    @property
    def up(self) -> bool:
        return self.transport is not None

    def start(self) -> asyncio.Task[None]:
        """The task that keeps it connected; it ends by `stop`, or by a defect, which it raises."""
        self._task = asyncio.create_task(self._live(), name=f"socket {self.spec.name}")
        return self._task

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def send(self, payload: bytes) -> bool:
        """False when the socket is down: nothing was sent."""
        if self.transport is None:
            return False
        self.transport.send(_TEXT, payload)
        return True

    def cut(self, reason: str) -> None:
        """Drop the connection now; it comes back by itself."""
        if self.transport is not None:
            self.close_reason = reason
            self.transport.disconnect()

    async def _live(self) -> None:
        failures = 0
        while True:
            before = self.connects
            reason = await self._once()
            came_up = self.connects > before
            if came_up and self.clock.now() - self.opened_at > STABLE_NS:
                failures = 0
            self._on_close(self, reason)
            if self._defect is not None:
                raise self._defect
            # Full jitter keeps many clients of one venue from coming back in step.
            # A login or subscription that was refused is no better a second later.
            longest = BACKOFF_FLAPPING_S if came_up and not self._unopened else BACKOFF_MAX_S
            ceiling = min(longest, BACKOFF_FIRST_S * 2**failures)
            await asyncio.sleep(self._held_s + ceiling * random.uniform(0.5, 1.0))
            failures = min(failures + 1, 16)

    async def _once(self) -> str:
        """One life of the connection; returns why it ended."""
        self.close_reason = ""
        self.frames = 0
        self._held_s = 0.0
        self._unopened = False
        transport: picows.WSTransport | None = None
        helpers: list[asyncio.Task[None]] = []
        try:
            url = await self._url()
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await self._opener(
                    lambda: _Listener(self), url, max_frame_size=FRAME_BYTES_MAX
                )
            self.connects += 1
            self.heard = self.opened_at = self.clock.now()
            helpers.append(asyncio.create_task(self._heartbeat(transport)))
            helpers.append(asyncio.create_task(self._open(transport)))
            await transport.wait_disconnected()
            return self.close_reason or "connection lost"
        except picows.WSInvalidStatusError as error:
            self._held_s = _retry_after_s(error)
            return f"{type(error).__name__}: {error}"[:200]
        except (picows.WSError, OSError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self.transport = None
            if transport is not None:
                transport.disconnect()

    async def _open(self, transport: picows.WSTransport) -> None:
        try:
            await self._on_open(self)
        except (TimeoutError, ConnectionError) as error:
            self.close_reason = f"opening failed: {error}"
            self._unopened = True
            transport.disconnect()
        except Exception as error:
            self._defect = error
            transport.disconnect()

    async def _heartbeat(self, transport: picows.WSTransport) -> None:
        ping = self.spec.ping
        step_s = min(ping.every_ms, ping.silence_ms / 4) / 1000
        due = self.clock.now() + ping.every_ms * MILLI
        while True:
            await asyncio.sleep(step_s)
            now = self.clock.now()
            if now - self.heard > ping.silence_ms * MILLI:
                self.close_reason = f"silent for {ping.silence_ms} ms"
                transport.disconnect()
                return
            if now >= due:
                due = now + ping.every_ms * MILLI
                if ping.payload:
                    transport.send(_TEXT, ping.payload)
                else:
                    transport.send_ping()


def _retry_after_s(error: picows.WSInvalidStatusError) -> float:
    """How long the venue said to stay away when it refused to open a socket (RFC 9110, 10.2.3)."""
    response = error.response
    text = (response.headers.get("Retry-After") if response is not None else "") or ""
    return min(float(text), HELD_MAX_S) if text.isascii() and text.isdigit() else 0.0

"""A WebSocket client for wires in memory; it calls listeners just as the real library does."""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import picows

_TEXT, _BINARY = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY
_PING, _PONG, _CLOSE = picows.WSMsgType.PING, picows.WSMsgType.PONG, picows.WSMsgType.CLOSE
_KINDS = {kind.value: kind for kind in picows.WSMsgType}
_NO_MASK = b"\0\0\0\0"  # a mask of zeros leaves the payload as it is (RFC 6455, 5.3)
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="  # any 16 bytes; nothing here must be random
CONTROL_BYTES_MAX = 125


class Frame:
    """What a listener may ask of a frame."""

    __slots__ = ("_payload", "fin", "msg_type")

    def __init__(self, msg_type: picows.WSMsgType, payload: bytes, *, fin: bool) -> None:
        self.msg_type = msg_type
        self.fin = fin
        self._payload = payload

    def get_payload_as_bytes(self) -> bytes:
        return self._payload

    def get_close_code(self) -> int:
        return int.from_bytes(self._payload[:2], "big") if len(self._payload) >= 2 else 1005


class Stream(asyncio.Protocol):
    """One connection: the handshake, then frames to the listener, until it is lost."""

    def __init__(self, listener: Any, url: str) -> None:
        self._listener = listener
        self._url = urlsplit(url)
        self._buffer = bytearray()
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._upgraded = False

    # The handshake -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        target = self._url.path or "/"
        if self._url.query:
            target += "?" + self._url.query
        self._transport.write(
            f"GET {target} HTTP/1.1\r\nHost: {self._url.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
            .encode()
        )  # fmt: skip

    def _shake(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 4]
        status = head.split(" ", 2)[1]
        if status != "101":
            self._refused(int(status), head)
            return False
        self._upgraded = True
        if not self.opened.done():
            self.opened.set_result(None)
        self._listener.on_ws_connected(self)
        return True

    def _refused(self, status: int, head: str) -> None:
        """The owner may ask the response how long to stay away."""
        if not self.opened.done():
            pairs = [line.partition(":")[::2] for line in head.split("\r\n")[1:]]
            response = None
            if status >= 400:
                response = picows.WSUpgradeResponse.create_error_response(
                    status, extra_headers=[(name, value.strip()) for name, value in pairs]
                )
            why = f"server answered {status} instead of 101"
            self.opened.set_exception(picows.WSInvalidStatusError(why, response=response))
        if self._transport is not None:
            self._transport.abort()

    # Frames --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._upgraded and not self._shake():
            return
        start, length = 0, len(buffer)
        while length - start >= 2:
            first, second = buffer[start], buffer[start + 1] & 0x7F
            body = start + 2
            if second == 126:
                body, second = start + 4, int.from_bytes(buffer[start + 2 : start + 4], "big")
            elif second == 127:
                body, second = start + 10, int.from_bytes(buffer[start + 2 : start + 10], "big")
            if body > length or body + second > length:
                break
            payload = bytes(buffer[body : body + second])
            start = body + second
            self._frame(first, payload)
            if self._transport is None:
                return
        del buffer[:start]

    def _frame(self, first: int, payload: bytes) -> None:
        kind = _KINDS[first & 0x0F]
        if kind is _PING:
            self._write(_PONG, payload)
        self._listener.on_ws_frame(self, Frame(kind, payload, fin=bool(first & 0x80)))

    def _write(self, kind: picows.WSMsgType, payload: bytes) -> None:
        size = len(payload)
        if size <= CONTROL_BYTES_MAX:
            head = bytes((0x80 | kind.value, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | kind.value, 0x80 | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | kind.value, 0x80 | 127)) + size.to_bytes(8, "big")
        if self._transport is not None:
            self._transport.write(head + _NO_MASK + payload)

    # What the owner may do -----------------------------------------------------------------

    def send(self, msg_type: picows.WSMsgType, message: bytes) -> None:
        self._write(msg_type, message)

    def send_ping(self, message: bytes | None = None) -> None:
        self._write(_PING, message or b"")

    def send_close(self, close_code: int = 0, close_message: bytes | None = None) -> None:
        code = close_code.to_bytes(2, "big") if close_code not in (0, 1005) else b""
        self._write(_CLOSE, code + (close_message or b""))

    def disconnect(self, graceful: bool = True) -> None:
        if self._transport is not None:
            self._transport.close()

    async def wait_disconnected(self) -> None:
        await asyncio.shield(self._gone)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.opened.done():
            self.opened.set_exception(ConnectionResetError("lost during the handshake"))
        if not self._gone.done():
            self._gone.set_result(None)


def opener(address: str) -> Callable[..., Any]:
    """Something that connects as `picows.ws_connect` does, to one address of the world."""

    async def connect(make: Callable[[], Any], url: str, **_: object) -> tuple[Stream, Any]:
        listener = make()
        loop = asyncio.get_running_loop()
        stream = (
            await loop.create_unix_connection(lambda: Stream(listener, url), address)
        )[1]
        try:
            await stream.opened
        except BaseException:
            stream.disconnect()
            raise
        return stream, listener

    return connect

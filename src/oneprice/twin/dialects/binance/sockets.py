"""One WebSocket connection of a client: ping frames, their patience, the inbound allowance."""

from collections.abc import Callable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from oneprice.model.units import HOUR, MILLI, MINUTE, SECOND
from oneprice.twin.link import Link

LIFE = 24 * HOUR


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How a host keeps a socket: ping period, time for the pong, inbound messages per second.

    Sources: Binance "WebSocket Streams" (spot: 20 s, 1 min, 5/s) and USD-M "Websocket Market
    Streams" (3 min, 10 min, 10/s).
    """

    ping_every: int
    pong_within: int
    inbound_per_second: int


SPOT = Habits(ping_every=20 * SECOND, pong_within=MINUTE, inbound_per_second=5)
FUTURES = Habits(ping_every=3 * MINUTE, pong_within=10 * MINUTE, inbound_per_second=10)
# The WebSocket APIs limit requests by weight; only ping and pong frames are counted.
SPOT_API = Habits(ping_every=20 * SECOND, pong_within=MINUTE, inbound_per_second=0)
FUTURES_API = Habits(ping_every=3 * MINUTE, pong_within=10 * MINUTE, inbound_per_second=0)


class Socket:
    """A connection; `label` says which kind it is for the fault hooks."""

    def __init__(self, label: str, habits: Habits, clock: Callable[[], int], address: str) -> None:
        self.label = label
        self.habits = habits
        self.clock = clock
        self.opened = opened = clock()
        self.address = address
        self._link = Link(autoping=False)
        self._ws = self._link.socket
        self._pinged = opened
        self._unanswered = 0  # when the oldest ping without a pong went out
        self._second = 0
        self._received = 0

    async def open(self, request: web.Request) -> None:
        await self._link.open(request)

    def send(self, text: str | bytes, delay_ms: int = 0) -> None:
        """Queue one text frame, see `Link.send`."""
        if not self._ws.closed:
            self._link.send(text.encode() if isinstance(text, str) else text, delay_ms)

    async def receive(self) -> str | None:
        """The next text message; None when the connection is over."""
        while True:
            message = await self._ws.receive()
            match message.type:
                case WSMsgType.TEXT:
                    return str(message.data)
                case WSMsgType.BINARY:
                    return bytes(message.data).decode("utf-8", "replace")
                case WSMsgType.PING:
                    if self.over_allowance():
                        return None
                    await self._ws.pong(message.data)
                case WSMsgType.PONG:
                    self._unanswered = 0
                case _:
                    return None

    def over_allowance(self) -> bool:
        """Count one inbound message; True when this second had too many of them."""
        if not self.habits.inbound_per_second:
            return False
        second = self.clock() // SECOND
        if second != self._second:
            self._second, self._received = second, 0
        self._received += 1
        return self._received > self.habits.inbound_per_second

    def beat(self, at: int) -> bool:
        """Ping when due; False when the connection is dead or has lived its day."""
        if self._ws.closed or at - self.opened >= LIFE:
            return False
        if self._unanswered and at - self._unanswered > self.habits.pong_within:
            return False
        if at - self._pinged >= self.habits.ping_every:
            self._pinged = at
            self._unanswered = self._unanswered or at
            self._link.ping(str(at // MILLI).encode())
        return True

    def cut(self) -> None:
        """Drop the TCP connection without a close frame, as a failing venue does."""
        self._link.cut()

    async def close(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """Say goodbye with a close frame."""
        self._link.end(code, reason)
        await self._link.over()

    @property
    def response(self) -> web.WebSocketResponse:
        return self._ws

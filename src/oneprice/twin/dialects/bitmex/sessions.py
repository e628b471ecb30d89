"""Open sockets: an ordered outbox each, their subscriptions, and who reads what."""

import asyncio
import contextlib
from asyncio import Transport
from collections import deque

from aiohttp import ClientError, WSMsgType, web

from oneprice.twin.dialects.bitmex.envelope import Row, encoded
from oneprice.twin.faults import Faults

THINK_MS = 1
OUTBOX_LIMIT = 20_000  # frames; a reader this far behind is cut off


class Session:
    """One connected client: what it may see and what waits to be sent."""

    def __init__(self, socket: web.WebSocketResponse, transport: Transport | None) -> None:
        self.key = ""  # of the account, set by a login
        self.topics: dict[str, None] = {}
        self.errors = 0  # in a row
        self._socket = socket
        self._transport = transport
        self._outbox: deque[tuple[float, bytes]] = deque()  # not before (loop time), frame
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._closing = False

    def send(self, frame: bytes, delay_ms: int = 0) -> None:
        """Queue a frame; order is kept, also behind a delayed one."""
        if len(self._outbox) >= OUTBOX_LIMIT:
            self.close()
            return
        self._outbox.append((self._loop.time() + delay_ms / 1000, frame))
        self._wake.set()

    def answer(self, message: Row) -> None:
        """Queue the answer to a request, no sooner than a network would bring it back."""
        self.send(encoded(message), THINK_MS)

    def close(self) -> None:
        """End the connection without a closing handshake; frames still waiting are lost."""
        self._closing = True
        self._outbox.clear()
        self._wake.set()

    async def drain(self) -> None:
        """Write queued frames until the session is closed."""
        with contextlib.suppress(ConnectionError, ClientError, RuntimeError):
            while not self._closing:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox and not self._closing:
                    ready_at, frame = self._outbox.popleft()
                    pause = ready_at - self._loop.time()
                    if pause > 0:
                        await asyncio.sleep(pause)
                    await self._socket.send_frame(frame, WSMsgType.TEXT)
        if self._transport is not None:
            self._transport.close()


class Sessions:
    """All open sockets. A topic is `table` or `table:SYMBOL`; private ones belong to a key."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.silenced: dict[str, None] = {}  # tables that bring nothing for now
        self._open: dict[Session, None] = {}
        self._readers: dict[str, dict[Session, None]] = {}

    def add(self, session: Session) -> None:
        self._open[session] = None

    def remove(self, session: Session) -> None:
        self._open.pop(session, None)
        for topic in list(session.topics):
            self.unsubscribe(session, topic)

    def subscribe(self, session: Session, topic: str) -> None:
        session.topics[topic] = None
        self._readers.setdefault(topic, {})[session] = None

    def unsubscribe(self, session: Session, topic: str) -> None:
        session.topics.pop(topic, None)
        readers = self._readers.get(topic)
        if readers is not None:
            readers.pop(session, None)
            if not readers:
                del self._readers[topic]

    def readers(self, table: str, symbol: str) -> list[Session]:
        """Those of the table for this symbol and those of all symbols, each subscription once."""
        found = list(self._readers.get(f"{table}:{symbol}", ())) if symbol else []
        return found + list(self._readers.get(table, ()))

    def followed(self, table: str, symbol: str) -> bool:
        return f"{table}:{symbol}" in self._readers or table in self._readers

    def push(self, table: str, symbol: str, frame: bytes, at: int) -> None:
        """Public data to everybody who reads the table, as faults allow."""
        channel = f"{table}:{symbol}"
        for session in self.readers(table, symbol):
            fate = self._faults.frame(channel, at)
            if fate.lost or table in self.silenced:
                continue
            session.send(frame, fate.delay_ms)
            if fate.repeated:
                session.send(frame)

    def tell(self, key: str, table: str, symbol: str, frame: bytes) -> None:
        """Private news to the sessions of one account."""
        for session in self.readers(table, symbol):
            if session.key == key and table not in self.silenced:
                session.send(frame)

    def drop(self) -> int:
        """Cut every connection; returns how many."""
        chosen = list(self._open)
        for session in chosen:
            session.close()
        return len(chosen)

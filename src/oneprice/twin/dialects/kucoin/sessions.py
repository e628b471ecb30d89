"""Open sockets: tokens that open them, an ordered outbox each, their topics, and the reaper."""

import asyncio
import base64
import contextlib
import hashlib
from asyncio import Transport
from collections import deque

import msgspec
from aiohttp import ClientError, WSMsgType, web

from oneprice.model.units import HOUR, MILLI
from oneprice.twin.dialects.kucoin.envelope import Row, encoded
from oneprice.twin.faults import Faults

PING_INTERVAL_MS = 18_000
PING_TIMEOUT_MS = 10_000
TOKEN_NS = 24 * HOUR  # of a token, and of a connection that it opened
THINK_MS = 1  # an answer never comes before the client has finished sending
OUTBOX_LIMIT = 20_000  # frames; a reader this far behind is cut off
SOCKETS_MOST = 50  # of one account


class Token(msgspec.Struct, frozen=True):
    """What a bullet call gives out: for whom, and for which product ("" is not decided yet)."""

    key: str
    product: str
    issued_at: int


class Tokens:
    """Every token that was given out in the last day."""

    def __init__(self, started_at: int) -> None:
        self._salt = started_at
        self._given: dict[str, Token] = {}

    def issue(self, key: str, product: str, at: int) -> str:
        number = len(self._given)
        digest = hashlib.blake2b(f"{self._salt}:{number}:{key}".encode(), digest_size=64).digest()
        check = hashlib.blake2b(digest, digest_size=16).digest()
        text = ".".join(base64.urlsafe_b64encode(part).decode() for part in (digest, check))
        self._given[text] = Token(key, product, at)
        return text

    def find(self, text: str) -> Token | None:
        return self._given.get(text)


class Session:
    """One connected client: what it may see, when it last pinged, what waits to be sent."""

    def __init__(
        self, token: Token, socket: web.WebSocketResponse, transport: Transport | None, at: int
    ) -> None:
        self.key = token.key  # "" on public connections
        self.product = token.product
        self.pinged_at = at
        self.ends_at = at + TOKEN_NS
        self.topics: dict[str, None] = {}
        self.name = ""
        self.order_entry = False
        self._socket = socket
        self._transport = transport
        self._outbox: deque[tuple[float, bytes]] = deque()  # not before (loop time), frame
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._ending = False  # close once the outbox is empty
        self._closing = False

    def send(self, message: Row | bytes, delay_ms: int = 0) -> None:
        """Queue a frame; order is kept, also behind a delayed one. Who never reads is cut off."""
        frame = message if isinstance(message, bytes) else encoded(message)
        if len(self._outbox) >= OUTBOX_LIMIT:
            self.close()
            return
        self._outbox.append((self._loop.time() + delay_ms / 1000, frame))
        self._wake.set()

    def answer(self, message: Row, delay_ms: int = 0) -> None:
        self.send(message, THINK_MS + delay_ms)

    def dismiss(self, message: Row) -> None:
        """A last word, then the connection ends."""
        self.send(message)
        self._ending = True

    def close(self) -> None:
        """End the connection without a closing handshake; frames still waiting are lost."""
        self._closing = True
        self._outbox.clear()
        self._wake.set()

    async def drain(self) -> None:
        """Write queued frames until the session ends."""
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
                if self._ending:
                    await self._socket.close()
                    break
        if self._transport is not None:
            self._transport.close()


class Sessions:
    """All open sockets and who reads which topic."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.silenced: dict[str, None] = {}  # topics that bring nothing for now
        self._open: dict[Session, None] = {}
        self._readers: dict[str, dict[Session, None]] = {}

    def add(self, session: Session) -> bool:
        """False where an account has as many sockets as it may have."""
        mine = sum(bool(session.key) and one.key == session.key for one in self._open)
        if mine >= SOCKETS_MOST:
            return False
        self._open[session] = None
        return True

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

    def read(self, topic: str) -> bool:
        return topic in self._readers

    def owned(self, topic: str, key: str) -> list[Session]:
        """Readers of a private topic that belong to an account."""
        return [one for one in self._readers.get(topic, ()) if one.key == key]

    def push(self, topic: str, frame: bytes, at: int) -> None:
        """Public data to everybody who reads the topic, as faults allow."""
        for session in tuple(self._readers.get(topic, ())):
            fate = self._faults.frame(topic, at)
            if fate.lost or topic in self.silenced:
                continue
            session.send(frame, fate.delay_ms)
            if fate.repeated:
                session.send(frame)

    def tell(self, topic: str, key: str, frame: bytes) -> None:
        """Private news; only silence stops it."""
        for session in self.owned(topic, key):
            if topic not in self.silenced:
                session.send(frame)

    def drop(self, kind: str = "") -> int:
        """Cut every connection of a kind (public, private, orders; "" all); returns how many."""
        chosen = [one for one in self._open if kind in ("", _kind(one))]
        for session in chosen:
            session.close()
        return len(chosen)

    def reap(self, at: int) -> None:
        """End sockets whose ping is overdue, and those that are a day old."""
        patience = (PING_INTERVAL_MS + PING_TIMEOUT_MS) * MILLI
        for session in list(self._open):
            if at - session.pinged_at > patience:
                session.dismiss(complaint("", 400, "ping timeout"))
            elif at >= session.ends_at:
                session.dismiss(complaint("", 401, "token is expired"))
            else:
                continue
            self.remove(session)


def complaint(request: str, code: int, text: str) -> Row:
    """An error of the stream; `code` as in section 7.1."""
    return {"id": request, "type": "error", "code": code, "data": text}


def server_row(endpoint: str) -> Row:
    """Where a token is good, and how often to ping there."""
    return {
        "endpoint": endpoint,
        "encrypt": False,
        "protocol": "websocket",
        "pingInterval": PING_INTERVAL_MS,
        "pingTimeout": PING_TIMEOUT_MS,
    }


def expired(token: Token, at: int) -> bool:
    return at - token.issued_at > TOKEN_NS


def _kind(session: Session) -> str:
    if session.order_entry:
        return "orders"
    return "private" if session.key else "public"

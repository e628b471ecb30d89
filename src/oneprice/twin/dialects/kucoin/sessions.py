"""Open sockets: tokens that open them, their topics, who reads them, and the reaper."""

import base64
import hashlib

import msgspec

from oneprice.model.units import HOUR, MILLI
from oneprice.twin.dialects.kucoin.envelope import Row, encoded
from oneprice.twin.faults import Faults
from oneprice.twin.link import Link, Readers

PING_INTERVAL_MS = 18_000
PING_TIMEOUT_MS = 10_000
TOKEN_NS = 24 * HOUR  # of a token, and of a connection that it opened
THINK_MS = 1  # an answer never comes before the client has finished sending
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
    """One connected client: what it may see, and when it last pinged."""

    def __init__(self, token: Token, link: Link, at: int) -> None:
        self.key = token.key  # "" on public connections
        self.product = token.product
        self.pinged_at = at
        self.ends_at = at + TOKEN_NS
        self.topics: dict[str, None] = {}
        self.name = ""
        self.order_entry = False
        self.link = link

    def send(self, message: Row | bytes, delay_ms: int = 0) -> None:
        """Queue a frame, see `Link.send`."""
        frame = message if isinstance(message, bytes) else encoded(message)
        self.link.send(frame, delay_ms)

    def answer(self, message: Row, delay_ms: int = 0) -> None:
        self.send(message, THINK_MS + delay_ms)

    def dismiss(self, message: Row) -> None:
        """A last word, then the connection ends."""
        self.send(message)
        self.link.end()


class Sessions:
    """All open sockets and who reads which topic."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.silenced: dict[str, None] = {}  # topics that bring nothing for now
        self._open: dict[Session, None] = {}
        self._readers: Readers[str, Session] = Readers()

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
        self._readers.add(topic, session)

    def unsubscribe(self, session: Session, topic: str) -> None:
        session.topics.pop(topic, None)
        self._readers.discard(topic, session)

    def read(self, topic: str) -> bool:
        return topic in self._readers

    def owned(self, topic: str, key: str) -> list[Session]:
        """Readers of a private topic that belong to an account."""
        return [one for one in self._readers.of(topic) if one.key == key]

    def push(self, topic: str, frame: bytes, at: int) -> None:
        """Public data to everybody who reads the topic, as faults allow."""
        for session in self._readers.of(topic):
            for delay_ms in self._faults.frame(topic, at).copies_ms:
                if topic not in self.silenced:
                    session.send(frame, delay_ms)

    def tell(self, topic: str, key: str, frame: bytes) -> None:
        """Private news; only silence stops it."""
        for session in self.owned(topic, key):
            if topic not in self.silenced:
                session.send(frame)

    def drop(self, kind: str = "") -> int:
        """Cut every connection of a kind (public, private, orders; "" all); returns how many."""
        chosen = [one for one in self._open if kind in ("", _kind(one))]
        for session in chosen:
            session.link.close()
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

"""Open sockets: their subscriptions, and who reads what."""

from oneprice.twin.dialects.bitmex.envelope import Row, encoded
from oneprice.twin.faults import Faults
from oneprice.twin.link import Link, Readers

THINK_MS = 1


class Session:
    """One connected client and what it may see."""

    def __init__(self, link: Link) -> None:
        self.key = ""  # of the account, set by a login
        self.topics: dict[str, None] = {}
        self.errors = 0  # in a row
        self.link = link

    def answer(self, message: Row) -> None:
        """Queue the answer to a request, no sooner than a network would bring it back."""
        self.link.send(encoded(message), THINK_MS)


class Sessions:
    """All open sockets. A topic is `table` or `table:SYMBOL`; private ones belong to a key."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.silenced: dict[str, None] = {}  # tables that bring nothing for now
        self._open: dict[Session, None] = {}
        self._readers: Readers[str, Session] = Readers()

    def add(self, session: Session) -> None:
        self._open[session] = None

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

    def readers(self, table: str, symbol: str) -> tuple[Session, ...]:
        """Those of the table for this symbol and those of all symbols, each subscription once."""
        found = self._readers.of(f"{table}:{symbol}") if symbol else ()
        return found + self._readers.of(table)

    def followed(self, table: str, symbol: str) -> bool:
        return f"{table}:{symbol}" in self._readers or table in self._readers

    def push(self, table: str, symbol: str, frame: bytes, at: int) -> None:
        """Public data to everybody who reads the table, as faults allow."""
        channel = f"{table}:{symbol}"
        for session in self.readers(table, symbol):
            for delay_ms in self._faults.frame(channel, at).copies_ms:
                if table not in self.silenced:
                    session.link.send(frame, delay_ms)

    def tell(self, key: str, table: str, symbol: str, frame: bytes) -> None:
        """Private news to the sessions of one account."""
        for session in self.readers(table, symbol):
            if session.key == key and table not in self.silenced:
                session.link.send(frame)

    def drop(self) -> int:
        """Cut every connection; returns how many."""
        chosen = list(self._open)
        for session in chosen:
            session.link.close()
        return len(chosen)

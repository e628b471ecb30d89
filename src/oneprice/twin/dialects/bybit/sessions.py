"""Open sockets: their topics, who reads them, and the reaper of silent ones."""

from typing import Any

import msgspec

from oneprice.model.units import SECOND
from oneprice.twin.faults import Faults
from oneprice.twin.link import Link, Readers

IDLE_NS = 600 * SECOND
REAPER_NS = 30 * SECOND  # the checker of idle sockets runs this often
THINK_MS = 3


class Session:
    """One connected client: what it may see, and when it was last heard."""

    def __init__(self, kind: str, conn_id: str, link: Link) -> None:
        self.kind = kind  # public:spot, public:linear, public:inverse, private or trade
        self.conn_id = conn_id
        self.heard_at = 0
        self.idle_ns = IDLE_NS
        self.key = ""  # of the account, set by a login
        self.topics: dict[str, None] = {}
        self.request_ids: dict[str, None] = {}
        self.link = link

    def send(self, message: dict[str, Any] | bytes, delay_ms: int = 0) -> None:
        """Queue a frame, see `Link.send`."""
        frame = message if isinstance(message, bytes) else msgspec.json.encode(message)
        self.link.send(frame, delay_ms)

    def answer(self, message: dict[str, Any], delay_ms: int = 0) -> None:
        """Queue the answer to a request, no sooner than a network would bring it back.

        pybit registers what it waits for only after it has sent the request.
        """
        self.send(message, THINK_MS + delay_ms)


class Sessions:
    """All open sockets and who reads which topic."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.silenced: dict[str, None] = {}  # topics that bring nothing for now
        self._open: dict[Session, None] = {}
        self._readers: Readers[tuple[str, str], Session] = Readers()
        self._reaped_at = 0
        self._count = 0

    def next_id(self, at: int) -> str:
        """A connection id in the venue's style."""
        self._count += 1
        return f"d{at // SECOND:x}op{self._count:05x}-{self._count:x}"

    def add(self, session: Session) -> None:
        self._open[session] = None

    def remove(self, session: Session) -> None:
        self._open.pop(session, None)
        for topic in list(session.topics):
            self.unsubscribe(session, topic)

    def subscribe(self, session: Session, topic: str) -> None:
        session.topics[topic] = None
        self._readers.add((session.kind, topic), session)

    def unsubscribe(self, session: Session, topic: str) -> None:
        session.topics.pop(topic, None)
        self._readers.discard((session.kind, topic), session)

    def readers(self, kind: str, topic: str) -> tuple[Session, ...]:
        return self._readers.of((kind, topic))

    def of_kind(self, kind: str) -> tuple[Session, ...]:
        """Open sockets of a kind; `public` means all three public ones, empty means all."""
        return tuple(
            one for one in self._open if not kind or one.kind == kind or
            one.kind.startswith(kind + ":")
        )

    def push(self, kind: str, topic: str, frame: bytes, at: int) -> None:
        """Public data to everybody who reads the topic, as faults allow."""
        for session in self.readers(kind, topic):
            for delay_ms in self._faults.frame(topic, at).copies_ms:
                if topic not in self.silenced:
                    session.send(frame, delay_ms)

    def hand(self, session: Session, topic: str, frame: bytes) -> None:
        """A frame for one reader: a first snapshot, or private news; only silence stops it."""
        if topic not in self.silenced:
            session.send(frame)

    def drop(self, kind: str) -> int:
        """Cut every connection of a kind; returns how many."""
        chosen = self.of_kind(kind)
        for session in chosen:
            session.link.close()
        return len(chosen)

    def reap(self, at: int) -> None:
        """Close sockets that were silent for longer than they may; checked every 30 s."""
        if at - self._reaped_at < REAPER_NS:
            return
        self._reaped_at = at
        for session in list(self._open):
            if at - session.heard_at >= session.idle_ns:
                session.link.close()


def idle_limit(value: str) -> int | None:
    """Nanoseconds of `max_active_time` (30s to 600s, 1m to 10m); None where it is malformed."""
    unit = {"s": 1, "m": 60}.get(value[-1:])
    if unit is None or not value[:-1].isdecimal():
        return None
    seconds = int(value[:-1]) * unit
    return seconds * SECOND if 30 <= seconds <= 600 else None

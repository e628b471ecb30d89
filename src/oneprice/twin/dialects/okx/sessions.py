"""Open sockets: their subscriptions, who reads what, and the reaper of silent ones."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from oneprice.model.units import SECOND
from oneprice.twin.contract import AccountSpec
from oneprice.twin.dialects.okx.envelope import Row
from oneprice.twin.faults import Faults
from oneprice.twin.link import Link, Readers

IDLE_NS = 30 * SECOND  # a connection to which nothing was sent for so long is closed
THINK_MS = 2
LOGIN_FAILED, NO_DATA, SLOW_CONSUMER = 4001, 4004, 4005


class Topic(msgspec.Struct, frozen=True):
    """A channel with what narrows it; the same arguments in any order are the same topic."""

    channel: str
    narrows: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        return dict(self.narrows).get(name, "")

    @property
    def arg(self) -> Row:
        return {"channel": self.channel, **dict(self.narrows)}


class Session:
    """One connected client: what it may see, and when it last heard of us."""

    def __init__(self, kind: str, conn_id: str, link: Link) -> None:
        self.kind = kind  # public, private or business
        self.conn_id = conn_id
        self.told_at = 0  # when something was last sent
        self.account: AccountSpec | None = None  # set by a login
        self.topics: dict[Topic, Row] = {}  # with the argument as it was sent
        self.refreshed_at: dict[Topic, int] = {}  # periodic channels
        self.link = link

    @property
    def key(self) -> str:
        return self.account.key if self.account else ""

    def send(self, message: dict[str, Any] | bytes, delay_ms: int = 0) -> None:
        """Queue a frame, see `Link.send`."""
        frame = message if isinstance(message, bytes) else msgspec.json.encode(message)
        self.link.send(frame, delay_ms)

    def answer(self, message: dict[str, Any], delay_ms: int = 0) -> None:
        """Queue the answer to a request, no sooner than a network would bring it back.

        A late answer does not hold up what is pushed meanwhile: here the two race each other.
        """
        if delay_ms:
            asyncio.get_running_loop().call_later(delay_ms / 1000, self.send, message)
        else:
            self.send(message, THINK_MS)


class Sessions:
    """All open sockets and who reads what."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.silenced: dict[str, None] = {}  # channels that bring nothing for now
        self._open: dict[Session, None] = {}
        self._readers: Readers[tuple[str, Topic], Session] = Readers()
        self._followed: dict[tuple[str, str], dict[Topic, None]] = {}  # by kind and channel

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._open))

    def add(self, session: Session) -> None:
        self._open[session] = None

    def remove(self, session: Session) -> None:
        self._open.pop(session, None)
        for topic in list(session.topics):
            self.unsubscribe(session, topic)

    def subscribe(self, session: Session, topic: Topic, argument: Row) -> None:
        session.topics[topic] = argument
        self._readers.add((session.kind, topic), session)
        self._followed.setdefault((session.kind, topic.channel), {})[topic] = None

    def unsubscribe(self, session: Session, topic: Topic) -> None:
        session.topics.pop(topic, None)
        self._readers.discard((session.kind, topic), session)
        if (session.kind, topic) not in self._readers:
            self._followed.get((session.kind, topic.channel), {}).pop(topic, None)

    def readers(self, kind: str, topic: Topic) -> tuple[Session, ...]:
        return self._readers.of((kind, topic))

    def topics(self, kind: str, channel: str) -> list[Topic]:
        """Followed topics of a channel."""
        return list(self._followed.get((kind, channel), ()))

    def count(self, key: str, channel: str) -> int:
        """Connections of an account that read a private channel."""
        return sum(
            session.key == key and any(topic.channel == channel for topic in session.topics)
            for session in self._open
        )

    def push(self, kind: str, topic: Topic, frame: bytes, at: int) -> None:
        """Public data to everybody who reads the topic, as faults allow."""
        name = f"{topic.channel}:{topic.get('instId') or topic.get('instType')}"
        for session in self.readers(kind, topic):
            for delay_ms in self._faults.frame(name, at).copies_ms:
                if topic.channel not in self.silenced:
                    session.told_at = at
                    session.send(frame, delay_ms)

    def hand(self, session: Session, channel: str, frame: bytes, at: int) -> None:
        """A frame for one reader: a first snapshot, or private news; only silence stops it."""
        if channel not in self.silenced:
            session.told_at = at
            session.send(frame)

    def drop(self, kind: str) -> int:
        """Cut every connection of a kind ("" all); returns how many."""
        chosen = [one for one in self._open if kind in ("", one.kind)]
        for session in chosen:
            session.link.close()
        return len(chosen)

    def notice(self, at: int) -> None:
        """Tell everybody that the service will be upgraded in about a minute (section 4.3)."""
        for session in self._open:
            session.told_at = at
            session.send(
                {
                    "event": "notice",
                    "code": "64008",
                    "msg": "The connection will soon be closed for a service upgrade. "
                    "Please reconnect.",
                    "connId": session.conn_id,
                }
            )

    def reap(self, at: int) -> None:
        """Close sockets that nothing was sent to for thirty seconds."""
        for session in self._open:
            if at - session.told_at >= IDLE_NS:
                session.link.end(NO_DATA)

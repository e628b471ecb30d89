"""What clients of the streams say: pings, subscriptions, and how they are answered."""

from collections import deque

from oneprice.twin.contract import Clock
from oneprice.twin.dialects.kucoin.envelope import Row
from oneprice.twin.dialects.kucoin.facts import Facts
from oneprice.twin.dialects.kucoin.limits import MESSAGES, MESSAGES_NS
from oneprice.twin.dialects.kucoin.sessions import Session, Sessions, complaint
from oneprice.twin.dialects.kucoin.topics import Wanted, wanted
from oneprice.twin.link import message_in

TOPICS_MOST = 300  # of one connection
TOPICS_AT_ONCE = 100


class Hearing:
    """One for all connections (section 7.1)."""

    def __init__(self, facts: Facts, sessions: Sessions, clock: Clock) -> None:
        self._facts = facts
        self._sessions = sessions
        self._clock = clock
        self._heard: dict[Session, deque[int]] = {}

    def forget(self, session: Session) -> None:
        self._heard.pop(session, None)

    def hear(self, session: Session, text: str) -> None:
        """One message of a client."""
        at = self._clock()
        message = message_in(text)
        if message is None:
            session.answer(complaint("", 400, "message is not JSON"))
            return
        request = str(message.get("id", ""))
        if not self._allowed(session, at):
            session.answer(complaint(request, 509, "exceed max permits per second"))
            return
        match message.get("type"):
            case "ping":
                session.pinged_at = at
                session.answer({"id": request, "type": "pong"})
            case "subscribe" | "unsubscribe" as kind:
                self._choose(session, request, message, subscribing=kind == "subscribe")
            case _:
                session.answer(complaint(request, 415, "type is not supported"))

    def _allowed(self, session: Session, at: int) -> bool:
        """At most 100 messages in ten seconds."""
        marks = self._heard.setdefault(session, deque())
        while marks and marks[0] <= at - MESSAGES_NS:
            marks.popleft()
        marks.append(at)
        return len(marks) <= MESSAGES

    def _choose(self, session: Session, request: str, message: Row, *, subscribing: bool) -> None:
        topic = str(message.get("topic", ""))
        found = wanted(self._facts, topic)
        if not topic:
            session.answer(complaint(request, 400, "topic is required"))
            return
        if found is None or (session.product and session.product != found.product):
            session.answer(complaint(request, 404, f"topic {topic} is not found"))
            return
        refused = self._refused(session, message, found) if subscribing else None
        if refused is not None:
            session.answer(complaint(request, *refused))
            return
        session.product = found.product
        if message.get("response") is True or message.get("response") == "true":
            session.answer({"id": request, "type": "ack"})
        for one in found.topics:
            if subscribing:
                self._sessions.subscribe(session, one)
            else:
                self._sessions.unsubscribe(session, one)

    def _refused(
        self, session: Session, message: Row, found: Wanted
    ) -> tuple[int, str] | None:
        if found.private and not (session.key and message.get("privateChannel") is True):
            return 403, "login is required"
        if len(found.topics) > TOPICS_AT_ONCE:
            return 509, f"exceed max subscription count limitation of {TOPICS_AT_ONCE} per time"
        total = dict.fromkeys(session.topics) | dict.fromkeys(found.topics)
        if len(total) > TOPICS_MOST:
            text = f"exceed max subscription count limitation of {TOPICS_MOST} per session"
            return 509, text
        return None

"""What every socket understands: login, subscribe, unsubscribe, and their acknowledgements."""

import re
from collections.abc import Callable

import msgspec

from oneprice.twin.contract import AccountSpec, Clock
from oneprice.twin.dialects.okx.auth import check_login
from oneprice.twin.dialects.okx.envelope import Failure, Row
from oneprice.twin.dialects.okx.limits import Limiter
from oneprice.twin.dialects.okx.sessions import LOGIN_FAILED, Session, Sessions, Topic

ARGUMENTS_MOST = 64 * 1024  # bytes of the arguments of one request
REQUEST_ID = re.compile(r"[A-Za-z0-9]{1,32}")
NARROWS = ("instId", "instType", "instFamily", "uly", "ccy", "algoId", "sprdId")

# Says whether a session may follow a topic (Failure), and greets it once it does.
Objection = Callable[[Session, Topic], None]
Greeting = Callable[[Session, Topic, int], None]


class Desk:
    """Takes requests that are the same on all three sockets."""

    def __init__(
        self,
        sessions: Sessions,
        limiter: Limiter,
        clock: Clock,
        find: Callable[[str], AccountSpec | None],
    ) -> None:
        self._sessions = sessions
        self._limiter = limiter
        self._clock = clock
        self._find = find

    def login(self, session: Session, message: Row) -> None:
        """Section 4.1; after a failure the connection is closed with 4001."""
        at = self._clock()
        arguments = message.get("args")
        try:
            if not self._limiter.connection(session.conn_id, at):
                raise Failure("60014", "Requests too frequent")
            if not isinstance(arguments, list) or not arguments:
                raise Failure("60013", "Invalid args")
            if not isinstance(arguments[0], dict):
                raise Failure("60013", "Invalid args")
            session.account = check_login(arguments[0], self._find, at)
        except Failure as failed:
            self.error(session, message, failed)
            session.link.end(LOGIN_FAILED)
            return
        session.told_at = at
        session.answer(
            {"event": "login", "code": "0", "msg": "", "connId": session.conn_id}
        )

    def subscribe(
        self, session: Session, message: Row, objects: Objection, greets: Greeting
    ) -> None:
        """One acknowledgement or error per argument; each stands for itself (section 4.2)."""
        at = self._clock()
        for argument in self._arguments(session, message, at):
            topic = _topic(argument)
            try:
                if topic is None:
                    raise illegal(message)
                objects(session, topic)
            except Failure as failed:
                self.error(session, message, failed)
                continue
            known = topic in session.topics
            if not known:
                self._sessions.subscribe(session, topic, argument)
            self._acknowledge(session, message, "subscribe", argument, at)
            greets(session, topic, at)

    def unsubscribe(self, session: Session, message: Row) -> None:
        """Leaving what was never followed is acknowledged as well."""
        at = self._clock()
        for argument in self._arguments(session, message, at):
            topic = _topic(argument)
            if topic is None:
                self.error(session, message, illegal(message))
                continue
            self._sessions.unsubscribe(session, topic)
            self._acknowledge(session, message, "unsubscribe", argument, at)

    def error(self, session: Session, message: Row, failed: Failure) -> None:
        session.told_at = self._clock()
        reply: Row = {"id": message["id"]} if "id" in message else {}
        session.answer(
            reply
            | {
                "event": "error",
                "code": failed.code,
                "msg": failed.text,
                "connId": session.conn_id,
            }
        )

    def _arguments(self, session: Session, message: Row, at: int) -> list[Row]:
        """The arguments of a request; none where it was refused as a whole."""
        arguments = message.get("args")
        try:
            if not self._limiter.connection(session.conn_id, at):
                raise Failure("60014", "Requests too frequent")
            if "id" in message and not REQUEST_ID.fullmatch(str(message["id"])):
                raise illegal(message)
            if not isinstance(arguments, list) or not arguments:
                raise illegal(message)
            if not all(isinstance(one, dict) for one in arguments):
                raise illegal(message)
            if len(msgspec.json.encode(arguments)) > ARGUMENTS_MOST:
                raise illegal({"op": message.get("op")})
        except Failure as failed:
            self.error(session, message, failed)
            return []
        return arguments

    def _acknowledge(
        self, session: Session, message: Row, event: str, argument: Row, at: int
    ) -> None:
        session.told_at = at
        reply: Row = {"id": message["id"]} if "id" in message else {}
        session.answer(reply | {"event": event, "arg": argument, "connId": session.conn_id})


def not_logged_in() -> Failure:
    return Failure("60011", "Please log in")


def illegal(message: Row) -> Failure:
    text = msgspec.json.encode(message).decode()
    return Failure("60012", f"Illegal request: {text}")


def wrong_topic(topic: Topic) -> Failure:
    """A channel that this URL does not have, or an instrument that does not exist."""
    about = ",".join(f"{name}:{value}" for name, value in topic.arg.items())
    return Failure(
        "60018",
        f"Wrong URL or {about} doesn't exist. Please use the correct URL, channel and parameters "
        "referring to API document.",
    )


def _topic(argument: Row) -> Topic | None:
    channel = argument.get("channel")
    if not isinstance(channel, str) or not channel:
        return None
    found = []
    for name in NARROWS:
        value = argument.get(name)
        if value in (None, ""):
            continue
        if not isinstance(value, str):
            return None
        found.append((name, value))
    return Topic(channel, tuple(found))

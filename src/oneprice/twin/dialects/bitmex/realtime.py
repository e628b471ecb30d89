"""/realtime: greeting, login, subscriptions, the dead man's switch, ping and errors."""

from collections.abc import Callable

import msgspec

from oneprice.model.units import MILLI
from oneprice.twin.contract import AccountSpec, Clock
from oneprice.twin.dialects.bitmex.auth import Credentials, check_address
from oneprice.twin.dialects.bitmex.envelope import Failure, Row, encoded, iso
from oneprice.twin.dialects.bitmex.facts import Sheet, Sheets
from oneprice.twin.dialects.bitmex.schema import ACCOUNT_TABLES, UNSYMBOLED, known, partial
from oneprice.twin.dialects.bitmex.sessions import Session, Sessions
from oneprice.twin.dialects.bitmex.streams_private import PrivateStreams
from oneprice.twin.dialects.bitmex.streams_public import PublicStreams
from oneprice.twin.dialects.bitmex.timers import Timers

ERRORS_MAX = 20  # in a row before the connection is cut; "many" in the documents
LOCKED = "User requested an account-locked subscription but no authorization was provided."
HELP = "See https://www.bitmex.com/app/wsAPI and https://www.bitmex.com/app/restAPI."


class Realtime:
    """Hears messages of clients and answers them."""

    def __init__(
        self,
        sheets: Sheets,
        sessions: Sessions,
        streams: tuple[PublicStreams, PrivateStreams],
        credentials: Credentials,
        timers: Timers,
        clock: Clock,
    ) -> None:
        self._sheets = sheets
        self._sessions = sessions
        self._public, self._private = streams
        self._credentials = credentials
        self._timers = timers
        self._clock = clock
        self.catch_up: Callable[[int], None] = lambda at: None
        self.partial_delay_ms = 0  # above 0: deltas come before the partial that they belong to
        self._late: list[tuple[int, Session, str]] = []

    # Hearing ----------------------------------------------------------------------------------

    def hear(self, session: Session, text: str, address: str) -> None:
        """One text message of a client."""
        if text == "ping":
            session.link.send(b"pong")
            return
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            message = text
        if not isinstance(message, dict):
            refused = Failure(400, "Unrecognized request. Did you mean to send a JSON object?")
            self._refuse(session, message, refused)
            return
        try:
            self._act(session, message, address)
        except Failure as refused:
            self._refuse(session, message, refused)

    def _act(self, session: Session, message: Row, address: str) -> None:
        at = self._clock()
        arguments = message.get("args", [])
        match message.get("op"):
            case "subscribe":
                self._subscribe(session, message, _listed(arguments), at)
            case "unsubscribe":
                for topic in _listed(arguments):
                    self._unsubscribe(session, message, topic)
            case "authKeyExpires":
                if session.key:
                    raise Failure(400, "You are already authenticated.")
                account = self._credentials.login(arguments, at)
                check_address(account, address)
                self.admit(session, account)
                session.answer({"success": True, "request": message})
            case "cancelAllAfter":
                self._switch(session, message, arguments, at)
            case "help":
                session.answer({"info": HELP, "request": message})
            case "ping":
                session.link.send(b"pong")
            case other:
                raise Failure(400, f"Unrecognized operation: {other}")

    def _refuse(self, session: Session, message: object, refused: Failure) -> None:
        session.errors += 1
        meta: Row = {}
        if refused.message == LOCKED:
            tables = ",".join(ACCOUNT_TABLES)
            meta = {"note": f"Account-locked tables include the following: {tables}"}
        session.answer(
            {
                "status": refused.status,
                "error": refused.message,
                "meta": meta,
                "request": message,
            }
        )
        if session.errors >= ERRORS_MAX:
            session.link.close()

    # Login and switch ---------------------------------------------------------------------------

    def admit(self, session: Session, account: AccountSpec) -> None:
        """A login that was right, by message or with the upgrade request."""
        session.key = account.key
        session.errors = 0

    def _switch(self, session: Session, message: Row, arguments: object, at: int) -> None:
        if not session.key:
            raise Failure(401, "cancelAllAfter needs authorization.")
        wanted = arguments[0] if isinstance(arguments, list) and arguments else arguments
        if isinstance(wanted, bool) or not isinstance(wanted, int):
            raise Failure(400, "cancelAllAfter takes a number of milliseconds")
        told = self._timers.arm(session.key, wanted, at)
        session.answer(told | {"request": message})

    # Subscriptions ------------------------------------------------------------------------------

    def subscribe(self, session: Session, topics: list[str], at: int) -> None:
        """Topics of the query string, as if they had been asked for."""
        message: Row = {"op": "subscribe", "args": topics}
        try:
            self._subscribe(session, message, topics, at)
        except Failure as refused:
            self._refuse(session, message, refused)

    def _subscribe(self, session: Session, message: Row, topics: list[str], at: int) -> None:
        """One ack and one partial for each topic; a bad one is refused by itself."""
        self.catch_up(at)  # nobody gets an insert of a row that the partial holds already
        for topic in topics:
            try:
                self._check(session, topic)
            except Failure as refused:
                self._refuse(session, message, refused)
                continue
            session.errors = 0
            session.answer({"success": True, "subscribe": topic, "request": message})
            if self.partial_delay_ms:
                self._sessions.subscribe(session, topic)
                self._late.append((at + self.partial_delay_ms * MILLI, session, topic))
                continue
            self._give(session, topic, at)
            self._sessions.subscribe(session, topic)

    def _check(self, session: Session, topic: str) -> None:
        table, _, symbol = topic.partition(":")
        if not known(table):
            raise Failure(400, f"Unknown table: {table}")
        if table in ACCOUNT_TABLES and not session.key:
            raise Failure(401, LOCKED)
        if topic in session.topics:
            raise Failure(400, f"You are already subscribed to this topic: {topic}")
        if symbol and table not in UNSYMBOLED and not self._named(symbol):
            raise Failure(400, "Unknown or expired symbol.")

    def _named(self, symbol: str) -> list[Sheet]:
        sheet = self._sheets.find(symbol)
        return [sheet] if sheet is not None else []

    def _unsubscribe(self, session: Session, message: Row, topic: str) -> None:
        if topic not in session.topics:
            self._refuse(session, message, Failure(400, f"Not subscribed to {topic}"))
            return
        self._sessions.unsubscribe(session, topic)
        session.answer({"success": True, "unsubscribe": topic, "request": message})

    def _give(self, session: Session, topic: str, at: int) -> None:
        table, _, symbol = topic.partition(":")
        sheets = self._named(symbol) if symbol else self._sheets.all
        wanted: Row = {"symbol": symbol} if symbol and table not in UNSYMBOLED else {}
        if table in ACCOUNT_TABLES:
            symbols = [sheet.symbol for sheet in sheets]
            rows = self._private.rows(table, session.key, symbols, at)
            account = self._credentials.number_of(session.key)
            wanted = {"account": account} | wanted
        else:
            rows = self._public.rows(table, sheets, at)
        session.link.send(encoded(partial(table, wanted, rows)))

    def beat(self, at: int) -> None:
        """Partials that were held back and are due now."""
        due = [one for one in self._late if one[0] <= at]
        self._late = [one for one in self._late if one[0] > at]
        for _, session, topic in due:
            if topic in session.topics:
                self._give(session, topic, at)


def _listed(arguments: object) -> list[str]:
    """One topic or several."""
    found = [arguments] if isinstance(arguments, str) else arguments
    if not isinstance(found, list) or not found or not all(isinstance(x, str) for x in found):
        raise Failure(400, "args must be a topic or a list of topics")
    return found


def welcome(at: int, remaining: int) -> Row:
    """The first message of a WebSocket."""
    return {
        "info": "Welcome to the BitMEX Realtime API.",
        "version": "2.0.0",
        "timestamp": iso(at),
        "docs": "https://www.bitmex.com/app/wsAPI",
        "heartbeatEnabled": False,
        "limit": {"remaining": remaining},
    }

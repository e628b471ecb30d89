"""Orders by WebSocket: the signed handshake of section 12.3 and the classic operations.

The document is sure of the handshake and of the unified operations. Unconfirmed is that a classic
account is served on `/v1/private` at all, and what its operations are called: their names and the
form of their answers come from one client in the field: `args` are the bodies of the REST
requests, answers are `{id, op, code, data | msg, inTime, outTime, rateLimit}`. No order of ours
goes this way: the dialect declares no order entry by socket.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from oneprice.model.units import MILLI
from oneprice.twin.contract import AccountSpec, Clock, Refusal
from oneprice.twin.dialects.kucoin import auth
from oneprice.twin.dialects.kucoin.envelope import (
    BAD_KEY,
    BAD_PARAMETER,
    BAD_SIGN,
    NO_HEADERS,
    NO_PERMISSION,
    NOT_UNIFIED,
    SERVER_ERROR,
    SUCCESS,
    WRONG_ADDRESS,
    Failure,
    Row,
    encoded,
    millis,
)
from oneprice.twin.dialects.kucoin.facts import Call
from oneprice.twin.dialects.kucoin.fields import arguments
from oneprice.twin.dialects.kucoin.limits import Limiter
from oneprice.twin.dialects.kucoin.refusals import failure
from oneprice.twin.dialects.kucoin.routes import Handler, Route
from oneprice.twin.dialects.kucoin.sessions import PING_INTERVAL_MS, PING_TIMEOUT_MS, Session
from oneprice.twin.faults import Faults
from oneprice.twin.link import message_in

PATH = "/v1/private"
# operation: the REST request that does the same. Cancelling goes by what the args name.
OPERATIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "spot.order": (("POST", "/api/v1/hf/orders"),),
    "spot.sync_order": (("POST", "/api/v1/hf/orders/sync"),),
    "spot.modify": (("POST", "/api/v1/hf/orders/alter"),),
    "spot.cancel": (
        ("DELETE", "/api/v1/hf/orders/{orderId}"),
        ("DELETE", "/api/v1/hf/orders/client-order/{clientOid}"),
    ),
    "spot.sync_cancel": (
        ("DELETE", "/api/v1/hf/orders/sync/{orderId}"),
        ("DELETE", "/api/v1/hf/orders/sync/client-order/{clientOid}"),
    ),
    "futures.order": (("POST", "/api/v1/orders"),),
    "futures.multi_order": (("POST", "/api/v1/orders/multi"),),
    "futures.cancel": (
        ("DELETE", "/api/v1/orders/{orderId}"),
        ("DELETE", "/api/v1/orders/client-order/{clientOid}"),
    ),
    "futures.multi_cancel": (("DELETE", "/api/v1/orders/multi-cancel"),),
}


class Handshake(msgspec.Struct):
    """The state of one connection before its welcome."""

    account: AccountSpec
    challenge: str
    done: bool = False


class OrderSocket:
    """Carries operations out with the handlers of REST, from the same pools."""

    def __init__(
        self, routes: list[Route], limiter: Limiter, faults: Faults, clock: Clock
    ) -> None:
        table = {(route.method, route.path): route for route in routes}
        self._operations = {
            name: tuple(table[target] for target in targets)
            for name, targets in OPERATIONS.items()
        }
        self._limiter = limiter
        self._faults = faults
        self._clock = clock
        self._connections = 0
        self._talks: dict[Session, Handshake] = {}
        self.unanswered = 0  # so many accepted operations are never answered

    # Handshake -------------------------------------------------------------------------------

    def admit(self, query: Mapping[str, str], find: auth.Find, remote: str) -> AccountSpec:
        """The account of a connecting client; Failure of the same codes as for REST."""
        if any(not query.get(name) for name in ("apikey", "timestamp", "sign", "passphrase")):
            raise Failure(NO_HEADERS, "apikey, timestamp, sign and passphrase are required")
        account = find(query["apikey"])
        if account is None:
            raise Failure(BAD_KEY, "KC-API-KEY not exists")
        auth.check_time(query["timestamp"], millis(self._clock()))
        auth.check_passphrase(account, query["passphrase"])
        wanted = auth.signature(account.secret, query["apikey"] + query["timestamp"])
        if not auth.same(query["sign"], wanted):
            raise Failure(BAD_SIGN, "Invalid KC-API-SIGN")
        if account.addresses and remote not in account.addresses:
            raise Failure(WRONG_ADDRESS, "The IP address is not in the API whitelist")
        return account

    def greet(self, session: Session, account: AccountSpec) -> None:
        """The challenge, which the client must sign as it came."""
        self._connections += 1
        at = self._clock()
        name = hashlib.blake2b(f"{at}:{self._connections}".encode(), digest_size=16).hexdigest()
        session.name = name
        challenge = encoded({"sessionId": name, "timestamp": millis(at)})
        self._talks[session] = Handshake(account, challenge.decode())
        session.send(challenge)

    def forget(self, session: Session) -> None:
        self._talks.pop(session, None)

    def hear(self, session: Session, text: str) -> None:
        talk = self._talks.get(session)
        if talk is None:
            return
        if not talk.done:
            self._welcome(session, talk, text)
            return
        self._request(session, talk, text)

    def _welcome(self, session: Session, talk: Handshake, text: str) -> None:
        wanted = auth.signature(talk.account.secret, talk.challenge)
        if not auth.same(text.strip(), wanted):
            session.dismiss({"code": BAD_SIGN, "msg": "Invalid session sign"})
            return
        talk.done = True
        session.answer(
            {
                "sessionId": session.name,
                "data": "welcome",
                "pingInterval": PING_INTERVAL_MS,
                "pingTimeout": PING_TIMEOUT_MS,
            }
        )

    # Operations ------------------------------------------------------------------------------

    def _request(self, session: Session, talk: Handshake, text: str) -> None:
        began = self._clock()
        message = message_in(text)
        if message is None:
            session.answer({"code": BAD_PARAMETER, "msg": "message is not JSON"})
            return
        head: Row = {"id": str(message.get("id", "")), "op": str(message.get("op", ""))}
        if head["op"] == "ping":
            session.pinged_at = began
            session.answer({"id": head["id"], "op": "pong", "timestamp": millis(began)})
            return
        fate = self._faults.request(head["op"])
        answer: Row = {"code": SERVER_ERROR, "msg": "Internal Server Error"}
        if fate.outcome != "error_before":
            carried = self._carry(talk.account, head["op"], message.get("args"), began)
            if self.unanswered and carried["code"] == SUCCESS:
                self.unanswered -= 1
                return
            answer = answer if fate.outcome == "error_after" else carried
        if fate.outcome == "lost":
            return
        times = {"inTime": began // MILLI, "outTime": millis(self._clock())}
        session.answer(head | answer | times, fate.delay_ms)

    def _carry(self, account: AccountSpec, operation: str, args: object, at: int) -> Row:
        limit: Row = {}
        try:
            fields = arguments(args)
            route = self._route(operation, "orderId" in fields)
            allowance = self._limiter.take(route.pool, str(account.uid), route.weight, at)
            limit = {"rateLimit": allowance.row()}
            self._limiter.check(allowance)
            if account.read_only:
                raise Failure(NO_PERMISSION, "Access denied, require more permission.")
            handler: Handler = route.handler
            data = handler(Call(fields=fields, at=at, account=account))
        except Failure as refused:
            return {"code": refused.code, "msg": refused.text} | limit
        except Refusal as refusal:
            known = failure(refusal, operation.startswith("spot"))
            return {"code": known.code, "msg": known.text} | limit
        return {"code": SUCCESS, "data": data} | limit

    def _route(self, operation: str, by_id: bool) -> Route:
        if operation.startswith("uta."):
            raise Failure(NOT_UNIFIED, "Invalid Unified Account user.")
        routes = self._operations.get(operation)
        if routes is None:
            raise Failure(BAD_PARAMETER, f"op {operation[:40]!r} is not supported")
        return routes[0] if by_id or len(routes) == 1 else routes[1]

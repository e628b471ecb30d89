"""The order-entry socket /v5/trade: login, six operations, answers matched by `reqId`."""

from collections.abc import Callable

from oneprice.model.units import MILLI
from oneprice.twin.contract import AccountSpec, Clock, Refusal
from oneprice.twin.dialects.bybit.auth import check_login, check_window
from oneprice.twin.dialects.bybit.envelope import (
    BAD_PARAMETER,
    SERVER_ERROR,
    TOO_MANY_VISITS,
    Answer,
    Failure,
    Row,
    millis,
)
from oneprice.twin.dialects.bybit.fields import Fields
from oneprice.twin.dialects.bybit.limits import Limiter
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.refusals import failure
from oneprice.twin.dialects.bybit.sessions import Session
from oneprice.twin.dialects.bybit.trade_rest import Call, Handler

KIND = "trade"
PATHS = {
    "order.create": "/v5/order/create",
    "order.amend": "/v5/order/amend",
    "order.cancel": "/v5/order/cancel",
    "order.create-batch": "/v5/order/create-batch",
    "order.amend-batch": "/v5/order/amend-batch",
    "order.cancel-batch": "/v5/order/cancel-batch",
}
ALREADY_LOGGED_IN = 20001
DUPLICATE_REQUEST = 20006
UNKNOWN_OPERATION = 10404
NOT_LOGGED_IN = 10007
NO_PERMISSION = 10005
REQUEST_IDS_KEPT = 100_000


class TradeSocket:
    """Carries operations out with the same handlers as REST, from the same allowances."""

    def __init__(
        self, handlers: dict[str, Handler], limiter: Limiter, names: Names, clock: Clock
    ) -> None:
        self._handlers = handlers
        self._limiter = limiter
        self._names = names
        self._clock = clock
        self._requests = 0
        self.unanswered = 0  # so many accepted requests are never answered

    def hear(
        self, session: Session, message: Row, find: Callable[[str], AccountSpec | None]
    ) -> Row | None:
        """One JSON message of a client; gives the answer, None where it gets none."""
        now_ms = millis(self._clock())
        match message.get("op"):
            case "ping":
                reply: Row = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(now_ms)]}
                if "reqId" in message:
                    reply = {"reqId": message["reqId"]} | reply
                return reply | {"connId": session.conn_id}
            case "auth":
                return self._login(session, message, find, now_ms)
            case str() as operation:
                return self._operate(session, message, operation, find)
            case _:
                return _reply(session, message, Failure(BAD_PARAMETER, "Params Error"))

    def _login(
        self,
        session: Session,
        message: Row,
        find: Callable[[str], AccountSpec | None],
        now_ms: int,
    ) -> Row:
        if session.key:
            return _reply(session, message, Failure(ALREADY_LOGGED_IN, "Repeat auth"))
        try:
            session.key = check_login(message.get("args"), find, now_ms).key
        except Failure as refused:
            return _reply(session, message, refused)
        return _reply(session, message, None)

    def _operate(
        self,
        session: Session,
        message: Row,
        operation: str,
        find: Callable[[str], AccountSpec | None],
    ) -> Row | None:
        at = self._clock()
        headers: dict[str, str] = {}
        result: Answer | Failure
        try:
            result = self._serve(session, message, operation, headers, find)
        except Failure as refused:
            result = refused
        if self.unanswered and isinstance(result, Answer):
            self.unanswered -= 1
            return None
        self._requests += 1
        extension: Row = {"retExtInfo": result.extension} if isinstance(result, Answer) else {}
        return {
            "reqId": str(message.get("reqId", "")),
            "retCode": 0 if isinstance(result, Answer) else result.code,
            "retMsg": result.text,
            "op": operation,
            "data": result.result,
            **extension,
            "header": headers
            | {
                "Traceid": self._names.trace("operation", self._requests),
                "Timenow": str(millis(at)),
            },
            "connId": session.conn_id,
        }

    def _serve(
        self,
        session: Session,
        message: Row,
        operation: str,
        headers: dict[str, str],
        find: Callable[[str], AccountSpec | None],
    ) -> Answer:
        at = self._clock()
        account = find(session.key)
        if account is None:
            raise Failure(NOT_LOGGED_IN, "User authentication failed.")
        path = PATHS.get(operation)
        if path is None:
            raise Failure(UNKNOWN_OPERATION, "op type is not found")
        self._remember(session, message)
        _check_header(message, at // MILLI)
        if account.read_only:
            raise Failure(NO_PERMISSION, "Permission denied, please check your API key "
                          "permissions.")
        arguments = message.get("args")
        if not isinstance(arguments, list) or len(arguments) != 1:
            raise Failure(BAD_PARAMETER, "Params Error")
        fields = Fields(arguments[0] if isinstance(arguments[0], dict) else {})
        category = fields.category()
        items = fields.raw("request") if operation.endswith("-batch") else None
        units = len(items) if isinstance(items, list) else 1
        allowance = self._limiter.take(str(account.uid), path, category == "spot", units, at)
        headers.update(allowance.headers())
        if not allowance.passed and items is None:
            raise Failure(TOO_MANY_VISITS, "Too many visits!")
        call = Call(
            account=account, category=category, fields=fields, at=at, passed=allowance.passed
        )
        try:
            given = self._handlers[path](call)
        except Refusal as refusal:
            raise failure(refusal, category) from None
        return given if isinstance(given, Answer) else Answer(given)

    def _remember(self, session: Session, message: Row) -> None:
        """Refuse a `reqId` that this connection has used before."""
        request = str(message.get("reqId", ""))
        if not request:
            return
        if len(request) > 36:
            raise Failure(BAD_PARAMETER, "reqId is longer than 36")
        if request in session.request_ids:
            raise Failure(DUPLICATE_REQUEST, "Duplicate reqId")
        session.request_ids[request] = None
        if len(session.request_ids) > REQUEST_IDS_KEPT:
            session.request_ids.pop(next(iter(session.request_ids)))


def _check_header(message: Row, now_ms: int) -> None:
    header = message.get("header")
    if not isinstance(header, dict) or "X-BAPI-TIMESTAMP" not in header:
        raise Failure(BAD_PARAMETER, "Params Error: header X-BAPI-TIMESTAMP is required")
    window = header.get("X-BAPI-RECV-WINDOW", "")
    check_window(str(header["X-BAPI-TIMESTAMP"]), str(window or ""), now_ms)


def _reply(session: Session, message: Row, refused: Failure | None) -> Row:
    reply: Row = {"reqId": message["reqId"]} if "reqId" in message else {}
    return reply | {
        "retCode": refused.code if refused else 0,
        "retMsg": refused.text if refused else "OK",
        "op": message.get("op", ""),
        "connId": session.conn_id,
    }


def broken(session: Session, message: Row) -> Row:
    """The answer of a service in trouble: the outcome of the request is unknown."""
    reply = _reply(session, message, Failure(SERVER_ERROR, "Internal server error."))
    return reply | {"data": {}}

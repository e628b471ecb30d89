"""HTTP around the handlers: keys, permission, pacing, expiry, envelope."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from oneprice.model.units import MILLI
from oneprice.twin.contract import AccountSpec, Clock, Exchange, Refusal
from oneprice.twin.dialects.okx.auth import check_request
from oneprice.twin.dialects.okx.envelope import Answer, Failure, Row, body
from oneprice.twin.dialects.okx.fields import from_body, from_query
from oneprice.twin.dialects.okx.limits import Limiter
from oneprice.twin.dialects.okx.market_rest import PublicHandler
from oneprice.twin.dialects.okx.refusals import failure
from oneprice.twin.dialects.okx.trade_rest import Call, Handler

Web = Callable[[web.Request], Awaitable[web.StreamResponse]]
ORDERS = "/api/v5/trade/"
# Paths whose allowance is counted per instrument by the handler itself.
COUNTED = ("order", "batch-orders", "cancel-order", "cancel-batch-orders", "amend-order",
           "amend-batch-orders")
EXPIRING = ("order", "batch-orders", "amend-order", "amend-batch-orders")


class Gatehouse:
    """Wraps pure handlers into web handlers; checks in the order of section 3."""

    def __init__(self, exchange: Exchange, clock: Clock, limiter: Limiter) -> None:
        self._exchange = exchange
        self._clock = clock
        self._limiter = limiter
        self.demo = False  # True: this is the demo environment and wants its header

    def find(self, key: str) -> AccountSpec | None:
        """The account of a key, or None."""
        try:
            return self._exchange.account(key)
        except Refusal:
            return None

    def public(self, path: str, handler: PublicHandler) -> Web:
        """A GET without a key."""

        async def answer(request: web.Request) -> web.StreamResponse:
            at = self._clock()

            def serve() -> Answer:
                fields = from_query(_query(request))
                about = fields.text("instId", fields.text("instType"))
                self._limiter.query(request.remote or "", path, about, at)
                return handler(fields, at)

            return self._respond(serve, at)

        return answer

    def private(self, path: str, handler: Handler) -> Web:
        """A signed GET or POST."""

        async def answer(request: web.Request) -> web.StreamResponse:
            at = self._clock()
            content = await request.read()
            return self._respond(lambda: self._serve(request, content, (path, handler), at), at)

        return answer

    def _serve(
        self, request: web.Request, content: bytes, route: tuple[str, Handler], at: int
    ) -> Answer:
        path, handler = route
        posted = request.method == "POST"
        payload = f"{request.method}{request.raw_path}".encode() + content
        account = check_request(request.headers, payload, self.find, at, demo=self.demo)
        if account.addresses and request.remote not in account.addresses:
            raise Failure("50110", f"Invalid IP: {request.remote}", 401)
        if account.read_only and posted:
            raise Failure("50120", "This API key doesn't have permission to use this function",
                          401)
        items = from_body(content) if posted else [from_query(_query(request))]
        name = path.removeprefix(ORDERS) if path.startswith(ORDERS) else ""
        if posted and name in EXPIRING:
            check_expiry(request.headers.get("expTime", ""), at)
        if not (posted and name in COUNTED):
            self._limiter.query(str(account.uid), f"{request.method} {path}", "", at)
        if not items:
            raise Failure("50000", "Body for POST request can not be empty.", 400)
        return handler(Call(account=account, items=items, at=at))

    def _respond(self, serve: Callable[[], Answer], at: int) -> web.Response:
        result: Answer | Failure
        try:
            result = serve()
        except Failure as failed:
            result = failed
        except Refusal as refusal:
            result = failure(refusal)
        status = result.status if isinstance(result, Failure) else 200
        return _json(body(result, at, self._clock()), status)


def check_expiry(text: object, at: int) -> None:
    """50036 where `expTime` (ms) has passed: such a request is not carried out."""
    if text in (None, ""):
        return
    if not str(text).isdecimal():
        raise Failure("51000", "Parameter expTime error", 400)
    if int(str(text)) <= at // MILLI:
        raise Failure("50036", "The expTime can't be earlier than the current system time. "
                      "Please adjust the expTime and try again.")


def broken(done: bool) -> web.Response:
    """A service in trouble: the outcome of a request that was carried out is not told."""
    if done:
        row: Row = {"code": "50004", "data": [], "msg": "API endpoint request timeout."}
        return _json(row, 400)
    row = {"code": "50001", "data": [], "msg": "Service temporarily unavailable."}
    return _json(row, 503)


def unknown_path(request: web.Request) -> web.Response:
    """Paths that this venue does not have."""
    return _json({"code": "404", "data": [], "msg": "Not Found"}, 404)


def wrong_method(request: web.Request) -> web.Response:
    return _json({"code": "50115", "data": [], "msg": "Invalid request method"}, 405)


def _json(row: Row, status: int) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(row), status=status, content_type="application/json"
    )


def _query(request: web.Request) -> str:
    """The query exactly as sent: that is what was signed."""
    return request.raw_path.partition("?")[2]

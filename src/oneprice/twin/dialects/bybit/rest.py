"""HTTP around the handlers: address limit, keys, permission, pacing, envelope and headers."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from oneprice.twin.contract import AccountSpec, Clock, Exchange, Refusal
from oneprice.twin.dialects.bybit.auth import check_request
from oneprice.twin.dialects.bybit.envelope import (
    NO_PERMISSION,
    TOO_MANY_VISITS,
    Answer,
    Failure,
    Row,
    enveloped,
    millis,
)
from oneprice.twin.dialects.bybit.fields import Fields, from_body, from_query
from oneprice.twin.dialects.bybit.limits import BANNED_PAGE, Limiter
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.refusals import failure
from oneprice.twin.dialects.bybit.trade_rest import Call, Handler, category_of

Web = Callable[[web.Request], Awaitable[web.StreamResponse]]
WRONG_ADDRESS = 10010


class Gatehouse:
    """Wraps pure handlers into web handlers; checks in the order of section 14."""

    def __init__(self, exchange: Exchange, clock: Clock, limiter: Limiter, names: Names) -> None:
        self._exchange = exchange
        self._clock = clock
        self._limiter = limiter
        self._names = names
        self._requests = 0
        self.bare_refusals = False  # 10006 without limit headers, as the global limiter sends it
        self.unanswered = 0  # so many order requests are carried out and never answered

    def find(self, key: str) -> AccountSpec | None:
        """The account of a key, or None."""
        try:
            return self._exchange.account(key)
        except Refusal:
            return None

    def public(self, handler: Callable[[Fields, int], Row]) -> Web:
        """A GET without a key."""

        async def answer(request: web.Request) -> web.StreamResponse:
            at = self._clock()
            if banned := self._turned_away(request, at):
                return banned
            try:
                result: Answer | Failure = Answer(handler(from_query(_query(request)), at))
            except Failure as refused:
                result = refused
            except Refusal as refusal:
                result = failure(refusal, "")
            return self._respond(result, at, {})

        return answer

    def private(self, path: str, handler: Handler) -> Web:
        """A signed GET or POST."""

        async def answer(request: web.Request) -> web.StreamResponse:
            at = self._clock()
            if banned := self._turned_away(request, at):
                return banned
            body = await request.read()
            headers: dict[str, str] = {}
            result: Answer | Failure
            try:
                result = self._serve(request, body, (path, handler), headers, at)
            except Failure as refused:
                result = refused
            accepted = path.startswith("/v5/order/") and isinstance(result, Answer)
            if self.unanswered and request.method == "POST" and accepted:
                self.unanswered -= 1
                if request.transport is not None:
                    request.transport.close()
            return self._respond(result, at, headers)

        return answer

    def _serve(
        self,
        request: web.Request,
        body: bytes,
        route: tuple[str, Handler],
        headers: dict[str, str],
        at: int,
    ) -> Answer:
        path, handler = route
        posted = request.method == "POST"
        payload = body if posted else _query(request).encode()
        account = check_request(request.headers, payload, self.find, millis(at))
        if account.addresses and request.remote not in account.addresses:
            raise Failure(WRONG_ADDRESS, "Unmatched IP, please check your API key's bound IP "
                          "addresses.")
        if account.read_only and posted:
            raise Failure(NO_PERMISSION, "Permission denied, please check your API key "
                          "permissions.")
        fields = from_body(body) if posted else from_query(_query(request))
        category = category_of(path, fields)
        items = fields.raw("request") if path.endswith("-batch") else None
        units = len(items) if isinstance(items, list) else 1
        spot = category == "spot"
        allowance = self._limiter.take(str(account.uid), path, spot, units, at)
        if not self.bare_refusals or allowance.passed:
            headers.update(allowance.headers())
        if not allowance.passed and items is None:
            raise Failure(TOO_MANY_VISITS, "Too many visits!")
        call = Call(
            account=account, category=category, fields=fields, at=at, passed=allowance.passed
        )
        try:
            given = handler(call)
        except Refusal as refusal:
            raise failure(refusal, category) from None
        return given if isinstance(given, Answer) else Answer(given)

    def _turned_away(self, request: web.Request, at: int) -> web.Response | None:
        address = request.remote or ""
        with_body = request.method == "GET" and request.can_read_body
        if not with_body and self._limiter.visit(address, at):
            return None
        return web.Response(status=403, text=BANNED_PAGE, content_type="text/html")

    def _respond(
        self, result: Answer | Failure, at: int, headers: dict[str, str]
    ) -> web.Response:
        self._requests += 1
        now_ms = millis(self._clock())
        code = result.code if isinstance(result, Failure) else 0
        return web.Response(
            body=msgspec.json.encode(enveloped(result, now_ms)),
            content_type="application/json",
            charset="utf-8",
            headers=headers
            | {
                "Timenow": str(now_ms),
                "Traceid": self._names.trace("request", self._requests),
                "Ret_code": str(code),
            },
        )


def _query(request: web.Request) -> str:
    """The query exactly as sent: that is what was signed."""
    return request.raw_path.partition("?")[2]



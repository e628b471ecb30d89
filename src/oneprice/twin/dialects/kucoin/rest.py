"""HTTP around the handlers: keys, permission, quotas, envelope, headers, tokens for sockets."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from oneprice.twin.contract import AccountSpec, Clock, Exchange, Refusal
from oneprice.twin.dialects.kucoin.auth import FUTURES_PREFIX, check_request
from oneprice.twin.dialects.kucoin.envelope import (
    NO_PERMISSION,
    NOT_FOUND,
    SERVER_ERROR,
    UNSUPPORTED_MEDIA,
    WRONG_ADDRESS,
    Failure,
    Row,
    millis,
    refused,
    succeeded,
)
from oneprice.twin.dialects.kucoin.facts import FUTURES, Call
from oneprice.twin.dialects.kucoin.fields import read
from oneprice.twin.dialects.kucoin.limits import Limiter, PoolName
from oneprice.twin.dialects.kucoin.refusals import failure
from oneprice.twin.dialects.kucoin.routes import Route
from oneprice.twin.dialects.kucoin.sessions import Tokens, server_row

Web = Callable[[web.Request], Awaitable[web.StreamResponse]]
ENDPOINTS = {False: "/endpoint", True: f"{FUTURES_PREFIX}/endpoint"}


class Gatehouse:
    """Wraps the handlers of routes into web handlers."""

    def __init__(
        self, exchange: Exchange, clock: Clock, limiter: Limiter, tokens: Tokens
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._limiter = limiter
        self._tokens = tokens
        self.unanswered = 0  # so many order requests are carried out and never answered

    def find(self, key: str) -> AccountSpec | None:
        """The account of a key, or None."""
        try:
            return self._exchange.account(key)
        except Refusal:
            return None

    def bullets(self) -> list[Route]:
        """The calls that give out tokens (section 7.1)."""
        pool = PoolName
        return [
            Route("POST", "/api/v1/bullet-public", self._bullet, pool.PUBLIC, 10, signed=False),
            Route("POST", "/api/v1/bullet-private", self._bullet, pool.SPOT, 10),
        ]

    def _bullet(self, call: Call) -> Row:
        key = call.account.key if call.account else ""
        product = FUTURES if call.futures else ""
        return {
            "token": self._tokens.issue(key, product, call.at),
            "instanceServers": [server_row(f"ws://{call.host}{ENDPOINTS[call.futures]}")],
        }

    def wrap(self, route: Route, *, futures: bool) -> Web:
        """A web handler that says everything in the venue's envelope."""
        spot = not futures and route.pool is not PoolName.FUTURES

        async def answer(request: web.Request) -> web.StreamResponse:
            at = self._clock()
            body = await request.read()
            headers: dict[str, str] = {}
            status = 200
            try:
                payload = succeeded(self._serve(request, body, (route, futures), headers, at))
            except Failure as given:
                payload, status = refused(given), given.status
            except Refusal as refusal:
                payload = refused(failure(refusal, spot))
            orders = "order" in route.path and status == 200
            if self.unanswered and route.writes and orders:
                self.unanswered -= 1
                if request.transport is not None:
                    request.transport.close()
            return web.Response(
                body=payload, status=status, content_type="application/json", headers=headers
            )

        return answer

    def _serve(
        self,
        request: web.Request,
        body: bytes,
        target: tuple[Route, bool],
        headers: dict[str, str],
        at: int,
    ) -> object:
        route, futures = target
        if body and request.content_type != "application/json":
            raise Failure(UNSUPPORTED_MEDIA, "Unsupported Media Type")
        account = self._known(request, body, at) if route.signed else None
        who = str(account.uid) if account else request.remote or ""
        allowance = self._limiter.take(route.pool, who, route.weight, at)
        headers.update(allowance.headers())
        self._limiter.check(allowance)
        if account is not None and account.read_only and route.writes:
            raise Failure(NO_PERMISSION, "Access denied, require more permission.")
        query = request.raw_path.partition("?")[2]
        call = Call(
            fields=read(query, body, request.match_info),
            at=at,
            account=account,
            host=request.host,
            futures=futures,
        )
        return route.handler(call)

    def _known(self, request: web.Request, body: bytes, at: int) -> AccountSpec:
        target = (request.method, request.raw_path, body)
        account = check_request(request.headers, target, self.find, millis(at))
        if account.addresses and request.remote not in account.addresses:
            raise Failure(WRONG_ADDRESS, "The IP address is not in the API whitelist")
        return account

    async def nowhere(self, request: web.Request) -> web.StreamResponse:
        """Every path that is not one."""
        known = Failure(NOT_FOUND, "Url Not Found")
        return web.Response(
            body=refused(known), status=known.status, content_type="application/json"
        )


def broken(request: web.Request, done: bool) -> web.StreamResponse:
    """A server error: the outcome of a write is unknown, whatever `done` says."""
    known = Failure(SERVER_ERROR, "Internal Server Error")
    return web.Response(body=refused(known), status=500, content_type="application/json")

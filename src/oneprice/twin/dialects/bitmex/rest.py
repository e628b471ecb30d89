"""HTTP around the handlers: bans, keys, signatures, permissions, pacing, errors and headers."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from oneprice.twin.contract import AccountSpec, Clock, Exchange, Refusal
from oneprice.twin.dialects.bitmex.account_rest import Call
from oneprice.twin.dialects.bitmex.account_rest import Handler as Signed
from oneprice.twin.dialects.bitmex.auth import Credentials, check_address
from oneprice.twin.dialects.bitmex.denials import OVERLOADED, failure
from oneprice.twin.dialects.bitmex.envelope import Failure, encoded, http_date
from oneprice.twin.dialects.bitmex.fields import Fields, from_request
from oneprice.twin.dialects.bitmex.limits import BANNED_PAGE, Limited, Limiter
from oneprice.twin.dialects.bitmex.market_rest import Handler as Open

Web = Callable[[web.Request], Awaitable[web.StreamResponse]]
PREFIX = "/api/v1"
_SOME = ("POST", "PUT", "DELETE")  # what a read-only key may not do


class Gatehouse:
    """Wraps pure handlers into web handlers."""

    def __init__(
        self, exchange: Exchange, clock: Clock, limiter: Limiter, catch_up: Callable[[int], None]
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._limiter = limiter
        self._catch_up = catch_up
        self.credentials = Credentials(self.find)

    def find(self, key: str) -> AccountSpec | None:
        """The account of a key, or None."""
        try:
            return self._exchange.account(key)
        except Refusal:
            return None

    def open(self, path: str, handler: Open) -> Web:
        """A GET that needs no key; with one it counts on the account's bucket."""

        def serve(account: AccountSpec | None, fields: Fields, at: int) -> object:
            return handler(fields, at)

        return self._web(f"GET {path}", serve)

    def signed(self, route: str, handler: Signed) -> Web:
        """Verb and path behind a key."""

        def serve(account: AccountSpec | None, fields: Fields, at: int) -> object:
            if account is None:
                raise Failure(401, "Authorization Required")
            self._catch_up(at)  # what the market did must be in what we show
            return handler(Call(account, fields, at))

        return self._web(route, serve)

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        return self._respond(Failure(404, "Not Found"), {}, self._clock())

    def broken(self, request: web.Request, done: bool) -> web.StreamResponse:
        """Load shedding before the engine, or an error of which nobody knows what it did.

        Cancels are exempt from shedding (section 4), so their errors never say "not executed".
        """
        at = self._clock()
        if done or request.method == "DELETE":
            return self._respond(Failure(500, "Server Error"), {}, at)
        return self._respond(Failure(503, OVERLOADED), {}, at)

    def _web(
        self,
        route: str,
        serve: Callable[[AccountSpec | None, Fields, int], object],
    ) -> Web:
        async def answer(request: web.Request) -> web.StreamResponse:
            at = self._clock()
            if self._limiter.banned(request.remote or "", at):
                return web.Response(status=403, text=BANNED_PAGE, content_type="text/html")
            body = await request.read()
            headers: dict[str, str] = {}
            result: object
            try:
                account = self._who(request, body, route, headers, at)
                query = request.raw_path.partition("?")[2]
                content = request.headers.get("Content-Type", "")
                result = serve(account, from_request(query, body, content), at)
            except Failure as refused:
                result = refused
            except Refusal as refusal:
                result = failure(refusal)
            if isinstance(result, Failure):
                self._limiter.failed(request.remote or "", at)
            return self._respond(result, headers, at)

        return answer

    def _who(
        self, request: web.Request, body: bytes, route: str, headers: dict[str, str], at: int
    ) -> AccountSpec | None:
        """The account of the request, checked and charged; None without credentials."""
        address = request.remote or ""
        if "api-key" not in request.headers:
            headers.update(self._limiter.charge("", address, route, at))
            return None
        account = self.credentials.check(
            request.headers, request.method, request.raw_path, body, at
        )
        check_address(account, address)
        headers.update(self._limiter.charge(account.key, address, route, at))
        if account.read_only and request.method in _SOME:
            raise Failure(403, "Access Denied")
        return account

    def _respond(self, result: object, headers: dict[str, str], at: int) -> web.Response:
        status = 200
        if isinstance(result, Failure):
            status = result.status
            if isinstance(result, Limited):
                headers = headers | result.headers
            result = result.body
        return web.Response(
            status=status,
            body=encoded(result),
            content_type="application/json",
            charset="utf-8",
            headers=headers | {"Date": http_date(at)},
        )

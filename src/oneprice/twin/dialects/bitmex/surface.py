"""The wire side of the BitMEX twin: REST under /api/v1 and the table stream /realtime."""

from collections.abc import Sequence

from aiohttp import web

from oneprice.twin.contract import AccountSpec, Clock, Exchange, MarketUpdate, Output
from oneprice.twin.dialects.bitmex.account_rest import AccountRest
from oneprice.twin.dialects.bitmex.account_rows import AccountRows
from oneprice.twin.dialects.bitmex.auth import check_address
from oneprice.twin.dialects.bitmex.books import Books
from oneprice.twin.dialects.bitmex.envelope import Failure, encoded, iso
from oneprice.twin.dialects.bitmex.facts import Sheets
from oneprice.twin.dialects.bitmex.instruments import Instruments
from oneprice.twin.dialects.bitmex.limits import Limiter
from oneprice.twin.dialects.bitmex.market_rest import MarketRest
from oneprice.twin.dialects.bitmex.order_entry import OrderEntry
from oneprice.twin.dialects.bitmex.order_rows import Executions, OrderRows
from oneprice.twin.dialects.bitmex.realtime import Realtime, welcome
from oneprice.twin.dialects.bitmex.rest import PREFIX, Gatehouse, Web
from oneprice.twin.dialects.bitmex.sessions import Session, Sessions
from oneprice.twin.dialects.bitmex.streams_private import PrivateStreams
from oneprice.twin.dialects.bitmex.streams_public import PublicStreams
from oneprice.twin.dialects.bitmex.tape import Tape
from oneprice.twin.dialects.bitmex.timers import Timers
from oneprice.twin.dialects.bitmex.trade_rows import Quotes, TradeRows
from oneprice.twin.faults import Faults
from oneprice.twin.link import Link

_CREDENTIALS = ("api-key", "api-expires", "api-nonce", "api-signature")


class BitmexSurface:
    """Implements `contract.Surface`; the misfortunes that drills ask for are methods here."""

    venue = "bitmex"

    def __init__(self, exchange: Exchange, clock: Clock, faults: Faults) -> None:
        self._exchange = exchange
        self._clock = clock
        self._faults = faults
        sheets = Sheets(exchange)
        uids = {one.key: one.uid for one in exchange.accounts()}
        self._sessions = Sessions(faults)
        self.limiter = Limiter()
        self.books = Books(exchange)
        self._tape = Tape(sheets, self.books.ids)
        trades, quotes = TradeRows(exchange), Quotes(exchange)
        instruments = Instruments(exchange, sheets, trades)
        self._market = MarketRest(exchange, sheets, instruments, self.books, trades, quotes)
        order_rows, account_rows = OrderRows(sheets, uids), AccountRows(exchange, sheets, uids)
        executions = Executions()
        entry = OrderEntry(exchange, sheets, order_rows)
        self._timers = Timers(entry, list(uids), clock())
        self._account = AccountRest(
            exchange, sheets, entry, account_rows, executions, self._timers
        )
        desk = (instruments, self.books, trades, quotes)
        self._public = PublicStreams(
            exchange, sheets, self._market, desk, self._sessions, self._tape
        )
        rows = (order_rows, account_rows)
        self._private = PrivateStreams(
            exchange, sheets, entry, rows, executions, self._sessions
        )
        self.gatehouse = Gatehouse(exchange, clock, self.limiter, self._catch_up)
        streams = (self._public, self._private)
        self.realtime = Realtime(
            sheets, self._sessions, streams, self.gatehouse.credentials, self._timers, clock
        )
        self.realtime.catch_up = self._catch_up

    # Surface ---------------------------------------------------------------------------------

    def attach(self, app: web.Application) -> None:
        """Adds every REST path and the socket."""
        for path, handler in self._market.routes().items():
            app.router.add_get(PREFIX + path, self.gatehouse.open(path, handler))
        for route, signed in self._account.routes().items():
            verb, _, path = route.partition(" ")
            app.router.add_route(verb, PREFIX + path, self.gatehouse.signed(route, signed))
        app.router.add_get("/realtime", self._socket())
        app.router.add_route("*", "/{rest:.*}", self.gatehouse.unknown)

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Tells subscribers what happened; private news first, as they cost money."""
        self._private.publish(outputs, at)
        self._public.publish(outputs, at)

    def beat(self, at: int) -> None:
        """The dead man's switch, late partials, and orders that never lived."""
        self._timers.beat(at)
        self.realtime.beat(at)
        self._private.tell_unborn()

    def decode_tape(self, market: str, frame: bytes, at: int) -> list[MarketUpdate]:
        """A recorded frame of /realtime as updates; REST and acks give nothing."""
        return self._tape.decode(frame)

    def broken(self, request: web.Request, done: bool) -> web.StreamResponse:
        """How the venue speaks of an order request that a fault broke."""
        return self.gatehouse.broken(request, done)

    # Misfortunes -----------------------------------------------------------------------------

    def drop_connections(self) -> int:
        """Cut every socket."""
        return self._sessions.drop()

    def silence(self, table: str, *, on: bool = True) -> None:
        """A table brings nothing until it is allowed to speak again."""
        if on:
            self._sessions.silenced[table] = None
        else:
            self._sessions.silenced.pop(table, None)

    def disable_key(self, key: str, *, on: bool = True) -> None:
        """A key that the venue switched off: 401 `This key is disabled.`"""
        disabled = self.gatehouse.credentials.disabled
        if on:
            disabled[key] = None
        else:
            disabled.pop(key, None)

    def inject_unknown_level(self, symbol: str) -> None:
        """An update of a level id that nobody was ever told of (section 16)."""
        now = iso(self._clock())
        row = {"symbol": symbol, "id": 1, "side": "Buy", "size": 100, "timestamp": now}
        message = {"table": "orderBookL2_25", "action": "update", "data": [row]}
        for table in ("orderBookL2_25", "orderBookL2"):
            frame = encoded(message | {"table": table})
            self._sessions.push(table, symbol, frame, self._clock())

    # Sockets ---------------------------------------------------------------------------------

    def _catch_up(self, at: int) -> None:
        """Publishes what the exchange still holds, so that tables and streams agree."""
        outputs = self._exchange.drain()
        if outputs:
            self.publish(outputs, at)

    def _socket(self) -> Web:
        async def serve(request: web.Request) -> web.StreamResponse:
            at, address = self._clock(), request.remote or ""
            try:
                account, remaining = self._enter(request, address, at)
            except Failure as refused:
                return web.Response(
                    status=refused.status,
                    body=encoded(refused.body),
                    content_type="application/json",
                )
            link = Link()
            await link.open(request)
            session = Session(link)
            self._sessions.add(session)
            link.send(encoded(welcome(at, remaining)))
            if account is not None:
                self.realtime.admit(session, account)
            wanted = request.query.get("subscribe", "")
            if wanted:
                self.realtime.subscribe(session, wanted.split(","), at)
            try:
                async for text in link.texts():
                    self.realtime.hear(session, text, address)
            finally:
                self._sessions.remove(session)
                link.close()
                await link.over()
            return link.socket

        return serve

    def _enter(
        self, request: web.Request, address: str, at: int
    ) -> tuple[AccountSpec | None, int]:
        """The account of credentials in headers or query, and what is left of the allowance."""
        if self.limiter.banned(address, at):
            raise Failure(403, "Forbidden")
        remaining = self.limiter.connect(address, at)
        if remaining < 0:
            raise Failure(429, "Rate limit exceeded, retry in 1 seconds.", "RateLimitError")
        sent = {
            name: request.headers.get(name) or request.query.get(name, "")
            for name in _CREDENTIALS
        }
        if not sent["api-key"]:
            return None, remaining
        account = self.gatehouse.credentials.check(sent, "GET", "/realtime", b"", at)
        check_address(account, address)
        return account, remaining

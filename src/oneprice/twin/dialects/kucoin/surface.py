"""The wire side of the KuCoin twin: REST, streams and order entry on one port."""

from collections.abc import Sequence

from aiohttp import web

from oneprice.twin.contract import Clock, Exchange, MarketUpdate, Output
from oneprice.twin.dialects.kucoin.account_rest import AccountRest, not_unified
from oneprice.twin.dialects.kucoin.auth import FUTURES_PREFIX
from oneprice.twin.dialects.kucoin.books import WireBooks
from oneprice.twin.dialects.kucoin.envelope import Failure
from oneprice.twin.dialects.kucoin.facts import FUTURES, Facts
from oneprice.twin.dialects.kucoin.futures_market import FuturesMarket
from oneprice.twin.dialects.kucoin.futures_rows import FuturesRows
from oneprice.twin.dialects.kucoin.futures_trade import FuturesTrade
from oneprice.twin.dialects.kucoin.hearing import Hearing
from oneprice.twin.dialects.kucoin.limits import Limiter, PoolName
from oneprice.twin.dialects.kucoin.positions_rest import PositionsRest
from oneprice.twin.dialects.kucoin.rest import ENDPOINTS, Gatehouse, Web, broken
from oneprice.twin.dialects.kucoin.routes import Route
from oneprice.twin.dialects.kucoin.sessions import (
    Session,
    Sessions,
    Token,
    Tokens,
    complaint,
    expired,
)
from oneprice.twin.dialects.kucoin.spot_market import SpotMarket
from oneprice.twin.dialects.kucoin.spot_rows import SpotRows
from oneprice.twin.dialects.kucoin.spot_trade import SpotTrade
from oneprice.twin.dialects.kucoin.streams_private import PrivateStreams
from oneprice.twin.dialects.kucoin.streams_public import PublicStreams
from oneprice.twin.dialects.kucoin.tape import Tape
from oneprice.twin.dialects.kucoin.tickers import Tickers
from oneprice.twin.dialects.kucoin.timers import Timers
from oneprice.twin.dialects.kucoin.wsapi import PATH, OrderSocket
from oneprice.twin.faults import Faults
from oneprice.twin.link import Link

METHODS = ("GET", "POST", "DELETE")


class KucoinSurface:
    """Implements `contract.Surface`; the misfortunes that drills ask for are methods here."""

    venue = "kucoin"

    def __init__(
        self, exchange: Exchange, clock: Clock, faults: Faults, limit_scale: int = 1
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._faults = faults
        self._facts = Facts(exchange)
        self._tape = Tape(self._facts)
        self._tokens = Tokens(clock())
        self._sessions = Sessions(faults)
        self.limiter = Limiter(limit_scale)
        self.gatehouse = Gatehouse(exchange, clock, self.limiter, self._tokens)
        self._timers = Timers(self._facts)
        self._hearing = Hearing(self._facts, self._sessions, clock)
        books = self._books = WireBooks(self._facts)
        tickers = Tickers(self._facts, books)
        self._public = PublicStreams(self._facts, books, tickers, self._sessions, self._tape)
        rows = FuturesRows(self._facts)
        self._private = PrivateStreams(self._facts, rows, self._sessions)
        account = AccountRest(self._facts)
        spot = SpotMarket(self._facts, books, tickers)
        trade = SpotTrade(self._facts, SpotRows(self._facts), self._timers)
        futures = FuturesTrade(self._facts, rows)
        positions = PositionsRest(self._facts, rows, self._private.configured)
        contracts = FuturesMarket(self._facts, books, tickers, spot.mark)
        self._spot_routes = [*spot.routes(), *trade.routes(), *account.spot_routes()]
        self._futures_routes = [
            *contracts.routes(),
            *futures.routes(),
            *positions.routes(),
            *account.futures_routes(),
        ]
        self.order_socket = OrderSocket(
            [*trade.routes(), *futures.routes()], self.limiter, faults, clock
        )

    # Surface ---------------------------------------------------------------------------------

    def attach(self, app: web.Application) -> None:
        """Adds every path: spot and futures at the root, futures under their prefix too."""
        bullets = self.gatehouse.bullets()
        seen: dict[tuple[str, str], None] = {}
        for route in (*bullets, *self._spot_routes, *self._futures_routes):
            if (route.method, route.path) not in seen:  # spot comes first where both have a path
                seen[route.method, route.path] = None
                self._add(app, route, futures=False)
        for route in (*bullets, *self._futures_routes):
            self._add(app, route, futures=True)
        for futures, path in ENDPOINTS.items():
            app.router.add_get(path, self._stream(futures))
        app.router.add_get(PATH, self._orders())
        for method in METHODS:
            unified = Route(method, "/api/ua/{tail:.*}", not_unified, PoolName.MANAGEMENT, 1)
            self._add(app, unified, futures=False)
        app.router.add_route("*", "/{tail:.*}", self.gatehouse.nowhere)

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Tells subscribers what happened; private news first, as they cost money."""
        if outputs:
            self._private.publish(outputs, at)
            self._public.publish(outputs, at)

    def beat(self, at: int) -> None:
        """Topics that are due, timers of orders, and the reaper of silent sockets."""
        self._timers.beat(at)
        self._public.beat(at)
        self._private.beat(at)
        self._sessions.reap(at)

    def decode_tape(self, market: str, frame: bytes, at: int) -> list[MarketUpdate]:
        """A recorded public frame or REST book as updates."""
        return self._tape.decode(market, frame)

    def broken(self, request: web.Request, done: bool) -> web.StreamResponse:
        """The answer of a venue in trouble."""
        return broken(request, done)

    # Misfortunes -----------------------------------------------------------------------------

    def drop_connections(self, kind: str = "") -> int:
        """Cut every socket of a kind (public, private, orders; "" all)."""
        return self._sessions.drop(kind)

    def inject_gap(self, topic: str) -> None:
        """The next message of a topic is lost, so its sequence jumps."""
        self._faults.arm("frame_loss", 1, topic)

    def age_snapshots(self, symbol: str, count: int = 1) -> None:
        """The next whole books by REST are as old as this moment: older than the stream."""
        sheet = self._facts.find(symbol)
        if sheet is None:
            raise ValueError(f"symbol {symbol!r}: not listed")
        self._books.of(sheet).age(count, self._clock())

    def silence(self, topic: str, *, on: bool = True) -> None:
        """A topic brings nothing until it is allowed to speak again."""
        if on:
            self._sessions.silenced[topic] = None
        else:
            self._sessions.silenced.pop(topic, None)

    def swallow_answers(self, count: int = 1) -> None:
        """So many accepted order requests are carried out and never answered, REST and socket."""
        self.gatehouse.unanswered = count
        self.order_socket.unanswered = count

    def overload(self, count: int = 1) -> None:
        """So many requests hear 429000 although their quota is not used up (section 4)."""
        self.limiter.overloads = count

    # Wiring ----------------------------------------------------------------------------------

    def _add(self, app: web.Application, route: Route, *, futures: bool) -> None:
        path = f"{FUTURES_PREFIX}{route.path}" if futures else route.path
        handler = self.gatehouse.wrap(route, futures=futures)
        app.router.add_route(route.method, path, handler)

    def _stream(self, futures: bool) -> Web:
        """A stream socket: token, welcome, then whatever is said and heard."""

        async def serve(request: web.Request) -> web.StreamResponse:
            at = self._clock()
            if not self.limiter.connect(request.remote or "", at):
                return web.Response(status=429)
            token = self._tokens.find(request.query.get("token", ""))
            problem = self._problem(token, futures, at)
            session = await self._open(request, token)
            try:
                if problem:
                    session.dismiss(complaint("", 401, problem))
                elif not self._sessions.add(session):
                    session.dismiss(complaint("", 509, "exceed max session count"))
                else:
                    connect = request.query.get("connectId") or request.query.get("[connectId")
                    session.send({"id": connect or "twin", "type": "welcome"})
                    async for text in session.link.texts():
                        self._hearing.hear(session, text)
            finally:
                self._hearing.forget(session)
                await self._end(session, politely=bool(problem))
            return session.link.socket

        return serve

    def _orders(self) -> Web:
        """The order-entry socket."""

        async def serve(request: web.Request) -> web.StreamResponse:
            refused: Failure | None = None
            session = await self._open(request, None)
            try:
                remote = request.remote or ""
                account = self.order_socket.admit(request.query, self.gatehouse.find, remote)
                session.key, session.order_entry = account.key, True
                self._sessions.add(session)
                self.order_socket.greet(session, account)
                async for text in session.link.texts():
                    self.order_socket.hear(session, text)
            except Failure as failure:
                refused = failure
                session.dismiss({"code": failure.code, "msg": failure.text})
            finally:
                self.order_socket.forget(session)
                await self._end(session, politely=refused is not None)
            return session.link.socket

        return serve

    def _problem(self, token: Token | None, futures: bool, at: int) -> str:
        """Why a token does not open this socket, or ""."""
        if token is None or (token.product == FUTURES) is not futures:
            return "token is invalid"
        return "token is expired" if expired(token, at) else ""

    async def _open(self, request: web.Request, token: Token | None) -> Session:
        link = Link()
        await link.open(request)
        at = self._clock()
        return Session(token or Token("", "", at), link, at)

    async def _end(self, session: Session, *, politely: bool) -> None:
        self._sessions.remove(session)
        if not politely:
            session.link.close()
        await session.link.over()



"""The wire side of the OKX v5 twin: REST and public, private and business sockets on one port."""

from collections.abc import Sequence

from aiohttp import web

from oneprice.model.units import SECOND
from oneprice.twin.contract import Clock, Exchange, MarketUpdate, Output
from oneprice.twin.dialects.okx import order_socket, rest
from oneprice.twin.dialects.okx.account_rest import AccountRest
from oneprice.twin.dialects.okx.account_rows import AccountRows
from oneprice.twin.dialects.okx.books import Books
from oneprice.twin.dialects.okx.desk import Desk, illegal
from oneprice.twin.dialects.okx.envelope import Failure, Row
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.limits import Limiter
from oneprice.twin.dialects.okx.market_rest import MarketRest
from oneprice.twin.dialects.okx.names import connection_name
from oneprice.twin.dialects.okx.notes import Notes
from oneprice.twin.dialects.okx.order_entry import OrderEntry
from oneprice.twin.dialects.okx.order_rows import OrderRows
from oneprice.twin.dialects.okx.order_socket import ACTIONS, MASS_CANCEL, OrderSocket
from oneprice.twin.dialects.okx.private_streams import PrivateStreams
from oneprice.twin.dialects.okx.public_streams import PublicStreams
from oneprice.twin.dialects.okx.rest import Gatehouse, Web
from oneprice.twin.dialects.okx.sessions import SLOW_CONSUMER, Session, Sessions, Topic
from oneprice.twin.dialects.okx.tickers import Tickers
from oneprice.twin.dialects.okx.trade_rest import TradeRest
from oneprice.twin.faults import Faults
from oneprice.twin.link import Link, message_in

URLS = {"/ws/v5/public": "public", "/ws/v5/private": "private", "/ws/v5/business": "business"}


class OkxSurface:
    """Implements `contract.Surface`; the misfortunes that drills ask for are methods here."""

    venue = "okx"

    def __init__(
        self, exchange: Exchange, clock: Clock, faults: Faults, limit_scale: int = 1
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._sheets = Sheets(exchange)
        self._sessions = Sessions(faults)
        self._connections = 0
        self.limiter = Limiter(limit_scale)
        self.gatehouse = Gatehouse(exchange, clock, self.limiter)
        notes = Notes(exchange)
        account_rows = AccountRows(exchange, self._sheets)
        order_rows = OrderRows(exchange, self._sheets, notes)
        level = "3" if account_rows.pooled else "2"
        entry = self._entry = OrderEntry(exchange, self._sheets, notes, level)
        tickers = Tickers(exchange, self._sheets)
        books = Books(exchange)
        self._market = MarketRest(exchange, self._sheets, books, tickers)
        self._trade = TradeRest(
            exchange, self._sheets, entry, (order_rows, notes), self.limiter
        )
        self._account = AccountRest(exchange, self._sheets, account_rows, entry, self._market)
        self._desk = Desk(self._sessions, self.limiter, clock, self.gatehouse.find)
        self._public = PublicStreams(exchange, self._sheets, self._sessions, books, tickers)
        self._private = PrivateStreams(
            exchange, self._sheets, (order_rows, account_rows, notes), self._sessions
        )
        self._orders = OrderSocket(self._trade, entry, clock)

    # Surface -----------------------------------------------------------------------------------

    def attach(self, app: web.Application) -> None:
        """Adds every REST path and the three socket paths."""
        routes = app.router
        posts = self._trade.posts() | self._account.posts()
        gets = self._trade.gets() | self._account.gets()
        for path, public in self._market.routes().items():
            routes.add_get(path, self.gatehouse.public(path, public))
        for path, handler in gets.items():
            routes.add_get(path, self.gatehouse.private(path, handler))
        for path, handler in posts.items():
            routes.add_post(path, self.gatehouse.private(path, handler))
        for path, kind in URLS.items():
            routes.add_get(path, self._socket(kind))
        known = {*posts, *gets, *self._market.routes()}

        async def elsewhere(request: web.Request) -> web.StreamResponse:
            return (rest.wrong_method if request.path in known else rest.unknown_path)(request)

        routes.add_route("*", "/{tail:.*}", elsewhere)

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Tells subscribers what happened; private news first, as they cost money."""
        if outputs:
            self._private.publish(outputs, at)
            self._public.publish(outputs, at)

    def beat(self, at: int) -> None:
        """What is due: timers of the dead man's switch, channels, the reaper of idle sockets."""
        self._trade.dead_man.beat(at)
        self._public.beat(at)
        self._private.beat(at)
        self._sessions.reap(at)

    def decode_tape(self, market: str, frame: bytes, at: int) -> list[MarketUpdate]:
        """A recorded public frame as updates; one connection carries all markets."""
        return self._public.tape.decode(frame)

    def broken(self, request: web.Request, done: bool) -> web.StreamResponse:
        """What a service in trouble answers to an order request."""
        return rest.broken(done)

    # Settings and misfortunes --------------------------------------------------------------------

    def set_vip(self, level: int) -> None:
        """Fee tier of all accounts; from 4 on tick-by-tick books and fills are open."""
        self._public.vip = self._private.vip = level

    def drop_connections(self, kind: str = "") -> int:
        """Cut every socket of a kind (public, private, business; "" all)."""
        return self._sessions.drop(kind)

    def announce_upgrade(self) -> None:
        """Notice 64008 to every connection."""
        self._sessions.notice(self._clock())

    def inject_gap(self, channel: str, inst_id: str) -> None:
        """The next message of a topic is lost, so that its chain breaks."""
        self._faults.arm("frame_loss", 1, f"{channel}:{inst_id}")

    def reset_sequence(self, inst_id: str, sequence: int = 3) -> None:
        """A maintenance reset of a book's numbers on every followed channel (section 6.3)."""
        sheet, at = self._sheet(inst_id), self._clock()
        self._public.books.restart(sheet, sequence)
        for name in ("books-l2-tbt", "books50-l2-tbt", "books"):
            topic = Topic(name, (("instId", inst_id),))
            if self._sessions.readers("public", topic):
                frame = self._public.books.channel(sheet, name).reset(sequence, at)
                self._sessions.push("public", topic, frame, at)

    def inject_cross(self, inst_id: str, channel: str = "books") -> None:
        """A difference that crosses the book of its readers."""
        topic, at = Topic(channel, (("instId", inst_id),)), self._clock()
        frame = self._public.books.channel(self._sheet(inst_id), channel).crossed(at)
        self._sessions.push("public", topic, frame, at)

    def silence(self, channel: str, *, on: bool = True) -> None:
        """A channel brings nothing until it is allowed to speak again."""
        if on:
            self._sessions.silenced[channel] = None
        else:
            self._sessions.silenced.pop(channel, None)

    def freeze_after_funding(self, seconds: int) -> None:
        """So long after each funding instant orders are refused with 51030; 0: never."""
        self._entry.frozen_ns = seconds * SECOND

    def double_orders(self, count: int = 1) -> None:
        """So many pushes of `orders` come twice, the second with another uTime."""
        self._private.doubled = count

    def _sheet(self, inst_id: str) -> Sheet:
        sheet = self._sheets.by_inst.get(inst_id)
        if sheet is None:
            raise ValueError(f"instrument {inst_id!r}: not listed")
        return sheet

    # Sockets -----------------------------------------------------------------------------------

    def _socket(self, kind: str) -> Web:
        async def serve(request: web.Request) -> web.StreamResponse:
            at = self._clock()
            if not self.limiter.connect(request.remote or "", at):
                return web.Response(status=429, text="Too Many Requests")
            link = Link(slow_code=SLOW_CONSUMER)
            await link.open(request)
            self._connections += 1
            session = Session(kind, connection_name(at, self._connections), link)
            session.told_at = at
            self._sessions.add(session)
            try:
                async for text in link.texts():
                    self._hear(session, text)
            finally:
                self._sessions.remove(session)
                link.close()
                await link.over()
            return link.socket

        return serve

    def _hear(self, session: Session, text: str) -> None:
        if text == "ping":
            session.told_at = self._clock()
            session.send(b"pong")
            return
        message = message_in(text)
        if message is None:
            failed = Failure("60012", f"Illegal request: {text[:200]}")
            self._desk.error(session, {}, failed)
            return
        streams = self._private if session.kind == "private" else self._public
        match message.get("op"):
            case "login":
                self._desk.login(session, message)
            case "subscribe":
                self._desk.subscribe(session, message, streams.objects, streams.greets)
            case "unsubscribe":
                self._desk.unsubscribe(session, message)
            case str() as operation if operation in ACTIONS and session.kind == "private":
                self._operate(session, message)
            case str() as operation if operation == MASS_CANCEL and session.kind == "business":
                session.answer(order_socket.no_mass_cancel(message, self._clock()))
            case str():
                self._desk.error(session, message, Failure("60019", "Invalid op"))
            case _:
                self._desk.error(session, message, illegal(message))

    def _operate(self, session: Session, message: Row) -> None:
        """An order operation: carried out, and answered if faults allow."""
        fate = self._faults.request(message["op"])
        session.told_at = self._clock()
        if fate.outcome == "error_before":
            session.answer(order_socket.broken(message, self._clock()))
            return
        reply = self._orders.hear(session, message)
        if fate.outcome == "error_after":
            reply = order_socket.broken(message, self._clock())
        if fate.outcome != "lost":
            session.answer(reply, fate.delay_ms)

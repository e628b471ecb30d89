"""The wire side of the Bybit v5 twin: REST and public, private and trade sockets on one port."""

from collections.abc import Sequence

from aiohttp import WSMsgType, web

from oneprice.model.units import SECOND
from oneprice.twin.contract import Clock, Exchange, MarketUpdate, Output
from oneprice.twin.dialects.bybit import trade_socket
from oneprice.twin.dialects.bybit.account_rest import AccountRest
from oneprice.twin.dialects.bybit.account_rows import AccountRows
from oneprice.twin.dialects.bybit.books import PERIOD_NS
from oneprice.twin.dialects.bybit.envelope import Row
from oneprice.twin.dialects.bybit.facts import Sheets
from oneprice.twin.dialects.bybit.fields import CATEGORIES
from oneprice.twin.dialects.bybit.guard import DisconnectGuard
from oneprice.twin.dialects.bybit.limits import Limiter
from oneprice.twin.dialects.bybit.margin_rest import MarginRest
from oneprice.twin.dialects.bybit.market_rest import MarketRest
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.order_entry import OrderEntry
from oneprice.twin.dialects.bybit.order_rows import OrderRows
from oneprice.twin.dialects.bybit.rest import Gatehouse, Web
from oneprice.twin.dialects.bybit.sessions import Session, Sessions, idle_limit
from oneprice.twin.dialects.bybit.streams_private import PrivateStreams
from oneprice.twin.dialects.bybit.streams_public import PublicStreams
from oneprice.twin.dialects.bybit.trade_rest import Handler, TradeRest
from oneprice.twin.dialects.bybit.trade_socket import TradeSocket
from oneprice.twin.faults import Faults, RequestFate
from oneprice.twin.link import Link, message_in


class BybitSurface:
    """Implements `contract.Surface`; the misfortunes that drills ask for are methods here."""

    venue = "bybit"

    def __init__(
        self, exchange: Exchange, clock: Clock, faults: Faults, limit_scale: int = 1
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._faults = faults
        self._sheets = Sheets(exchange)
        names = Names(clock())
        self._sessions = Sessions(faults)
        self.limiter = Limiter(limit_scale)
        order_rows = OrderRows(self._sheets, names)
        account_rows = AccountRows(exchange, self._sheets, names)
        entry = OrderEntry(exchange, self._sheets, names, order_rows)
        self._trade = TradeRest(exchange, self._sheets, entry, order_rows)
        self._margin = MarginRest(exchange, self._sheets, entry)
        self._account = AccountRest(
            exchange, self._sheets, names, account_rows, entry, self._margin
        )
        self.guard = DisconnectGuard(exchange, self._sessions)
        self._public = PublicStreams(exchange, self._sheets, names, self._sessions, clock)
        self._private = PrivateStreams(
            exchange,
            self._sheets,
            (order_rows, account_rows, self._account.closed),
            self._sessions,
            clock,
        )
        self._market = MarketRest(exchange, self._sheets, names, self._public.book_row)
        self.gatehouse = Gatehouse(exchange, clock, self.limiter, names)
        self.trade_socket = TradeSocket(self._trade.posts(), self.limiter, names, clock)

    # Surface ---------------------------------------------------------------------------------

    def attach(self, app: web.Application) -> None:
        """Adds every REST path and the five socket paths."""
        routes = app.router
        for path, public in self._market.routes().items():
            routes.add_get(path, self.gatehouse.public(public))
        for path, handler in self._gets().items():
            routes.add_get(path, self.gatehouse.private(path, handler))
        for path, handler in self._posts().items():
            routes.add_post(path, self.gatehouse.private(path, handler))
        for category in CATEGORIES:
            routes.add_get(f"/v5/public/{category}", self._socket(f"public:{category}"))
        routes.add_get("/v5/private", self._socket("private"))
        routes.add_get("/v5/trade", self._socket("trade"))

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Tells subscribers what happened; private news first, as they cost money."""
        if outputs:
            self._private.publish(outputs, at)
            self._public.publish(outputs, at)

    def beat(self, at: int) -> None:
        """Books and tickers that are due, and the reaper of silent sockets."""
        self._public.beat(at)
        self.guard.beat(at)
        self._sessions.reap(at)

    def decode_tape(self, market: str, frame: bytes, at: int) -> list[MarketUpdate]:
        """A recorded public frame or REST book of a category as updates."""
        return self._public.tape.decode(market, frame)

    def _gets(self) -> dict[str, Handler]:
        watching: dict[str, Handler] = {"/v5/account/query-dcp-info": self.guard.info}
        return self._trade.gets() | self._account.gets() | watching

    def _posts(self) -> dict[str, Handler]:
        arming: dict[str, Handler] = {"/v5/order/disconnected-cancel-all": self.guard.arm}
        return self._trade.posts() | self._account.posts() | self._margin.posts() | arming

    # Misfortunes -----------------------------------------------------------------------------

    def drop_connections(self, kind: str = "") -> int:
        """Cut every socket of a kind (public, public:linear, private, trade; "" all)."""
        return self._sessions.drop(kind)

    def inject_gap(self, topic: str) -> None:
        """The next message of a topic is lost, so `u` jumps."""
        self._faults.arm("frame_loss", 1, topic)

    def inject_snapshot(self, category: str, topic: str, *, restarted: bool = False) -> None:
        """A snapshot in the middle of a book stream; restarted: with `u` 1."""
        depth, symbol = int(topic.split(".")[1]), topic.split(".")[2]
        sheet = self._sheets.find(category, symbol)
        if sheet is None or depth not in PERIOD_NS:
            raise ValueError(f"topic {topic!r}: not a book of category {category!r}")
        at = self._clock()
        book = self._public.book(sheet, depth)
        frame = book.restart(at) if restarted else book.snapshot(at, fresh=True)
        self._sessions.push(f"public:{category}", topic, frame, at)

    def inject_cross(self, category: str, topic: str) -> None:
        """A difference that crosses the book of its readers."""
        depth, symbol = int(topic.split(".")[1]), topic.split(".")[2]
        sheet = self._sheets.find(category, symbol)
        if sheet is None or depth not in PERIOD_NS:
            raise ValueError(f"topic {topic!r}: not a book of category {category!r}")
        at = self._clock()
        frame = self._public.book(sheet, depth).crossed(at)
        self._sessions.push(f"public:{category}", topic, frame, at)

    def silence(self, topic: str, *, on: bool = True) -> None:
        """A topic brings nothing until it is allowed to speak again."""
        if on:
            self._sessions.silenced[topic] = None
        else:
            self._sessions.silenced.pop(topic, None)

    def swallow_answers(self, count: int = 1) -> None:
        """So many accepted order requests are carried out and never answered, REST and socket."""
        self.gatehouse.unanswered = count
        self.trade_socket.unanswered = count

    def restart_service(self) -> None:
        """Cuts all sockets and forgets closed orders in order/realtime, as a restart does."""
        self._trade.restarted_at = self._clock()
        self._sessions.drop("")

    # Sockets ---------------------------------------------------------------------------------

    def _socket(self, kind: str) -> Web:
        async def serve(request: web.Request) -> web.StreamResponse:
            idle = idle_limit(request.query.get("max_active_time", "600s"))
            link = Link()
            await link.open(request)
            at = self._clock()
            session = Session(kind, self._sessions.next_id(at), link)
            session.heard_at = at
            session.idle_ns = idle or 600 * SECOND
            self._sessions.add(session)
            try:
                async for message in link.socket:
                    session.heard_at = self._clock()
                    if message.type is WSMsgType.TEXT:
                        self._hear(session, message.data)
            finally:
                self._sessions.remove(session)
                link.close()
                await link.over()
            return link.socket

        return serve

    def _hear(self, session: Session, text: str) -> None:
        message = message_in(text)
        if message is None:
            malformed = {"success": False, "ret_msg": "Params Error"}
            session.answer(malformed | {"conn_id": session.conn_id})
        elif session.kind == "private":
            self._private.hear(session, message, self.gatehouse.find)
        elif session.kind == trade_socket.KIND:
            self._operate(session, message)
        else:
            self._public.hear(session, message)

    def _operate(self, session: Session, message: Row) -> None:
        """An order request: carried out, and answered if faults allow."""
        operation = message.get("op")
        fate = RequestFate()
        if isinstance(operation, str) and operation.startswith("order."):
            fate = self._faults.request(operation)
        if fate.outcome == "error_before":
            session.answer(trade_socket.broken(session, message))
            return
        reply = self.trade_socket.hear(session, message, self.gatehouse.find)
        if fate.outcome == "error_after":
            reply = trade_socket.broken(session, message)
        if reply is not None and fate.outcome != "lost":
            session.answer(reply, fate.delay_ms)

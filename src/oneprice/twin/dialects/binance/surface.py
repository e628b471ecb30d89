"""The wire side of a Binance twin: spot, USD-M and COIN-M on one port.

The venue's products live on hosts of their own; here the path tells them apart, because a client
is only given base urls. Layout (`H` = http://127.0.0.1:N, `W` = ws://127.0.0.1:N):

| the venue's host                     | here                                                    |
|--------------------------------------|---------------------------------------------------------|
| api.binance.com                      | H, paths /api/v3/*, /sapi/*                             |
| fapi.binance.com                     | H, paths /fapi/v1|v2|v3/*                               |
| dapi.binance.com                     | H, paths /dapi/v1|v2/*                                  |
| stream.binance.com                   | W/ws, W/ws/<streams>, W/stream?streams=; the same under |
|                                      | W/stream/ws for clients that look for "/stream"         |
| ws-api.binance.com                   | W/ws-api/v3                                             |
| fstream.binance.com, routed          | W/public, W/market, W/private, each with /ws, /ws/<x>,  |
|                                      | /stream; also under W/fstream/public and so on          |
| fstream.binance.com, un-routed       | W/fstream/ws, W/fstream/stream: everything is accepted, |
|                                      | only public streams push                                |
| ws-fapi.binance.com                  | W/ws-fapi/v1                                            |
| dstream.binance.com                  | W/dstream/ws, W/dstream/ws/<x>, W/dstream/stream        |
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from urllib.parse import parse_qsl, unquote

from aiohttp import WSCloseCode, web

from oneprice.twin.contract import Clock, Exchange, MarketUpdate, Output
from oneprice.twin.dialects.binance import denials, sockets, table
from oneprice.twin.dialects.binance import limits as limit_rules
from oneprice.twin.dialects.binance.accounts import FuturesAccount, SpotAccount
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.door import Door, retry_after_s
from oneprice.twin.dialects.binance.facts import FactsDesk
from oneprice.twin.dialects.binance.futures_events import FuturesEvents
from oneprice.twin.dialects.binance.futures_trade import FuturesTrade
from oneprice.twin.dialects.binance.hub import Hub, Line
from oneprice.twin.dialects.binance.income import IncomeDesk
from oneprice.twin.dialects.binance.intake import Intake
from oneprice.twin.dialects.binance.limits import Limits
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.settings import FuturesSettings
from oneprice.twin.dialects.binance.shapes import Catalog, millis
from oneprice.twin.dialects.binance.sockets import Socket
from oneprice.twin.dialects.binance.spot_events import SpotEvents
from oneprice.twin.dialects.binance.spot_trade import SpotTrade
from oneprice.twin.dialects.binance.table import Counters, Endpoint, Right
from oneprice.twin.dialects.binance.tape import TapeReader
from oneprice.twin.dialects.binance.topics import Route
from oneprice.twin.dialects.binance.wsapi import Session, WebSocketApi, listen_key_calls
from oneprice.twin.faults import Faults

_PREFIXES = {
    "": Route.SPOT,
    "/stream": Route.SPOT,
    "/fstream": Route.UNROUTED,
    "/dstream": Route.COINM,
    **{
        f"{head}/{route.value}": route
        for head in ("", "/fstream")
        for route in (Route.PUBLIC, Route.MARKET, Route.PRIVATE)
    },
}
KINDS = ("spot", "public", "market", "private", "fstream", "dstream", "ws-api", "ws-fapi")


class BinanceSurface:
    """Implements `twin.contract.Surface`; the last methods are switches for misfortune."""

    venue = "binance"

    def __init__(self, exchange: Exchange, clock: Clock, faults: Faults) -> None:
        self.exchange = exchange
        self.clock = clock
        self.faults = faults
        catalog = Catalog(exchange)
        futures_limits = Limits(limit_rules.FUTURES)  # UM and CM share since 2026-06-30
        self.limits = {
            "spot": Limits(limit_rules.SPOT),
            "usdm": futures_limits,
            "coinm": futures_limits,
        }
        desk, intake = MarketDesk(exchange, catalog), Intake(exchange)
        settings = FuturesSettings(exchange, desk)
        trade = FuturesTrade(exchange, desk, intake, futures_limits)
        self.counters = Counters(
            market=desk,
            facts=FactsDesk(exchange, desk, self.limits),
            spot=SpotTrade(exchange, desk, intake, self.limits["spot"]),
            spot_account=SpotAccount(exchange, desk),
            futures=trade,
            futures_account=FuturesAccount(exchange, desk, settings),
            settings=settings,
            income=IncomeDesk(exchange, desk, trade),
        )
        self.door = Door(exchange, clock, self.limits)
        self.hub = Hub(exchange, catalog, faults)
        self._tables = self._make_tables()
        methods = {
            "spot": _named(table.SPOT_METHODS, self._tables["spot"]),
            "usdm": _named(table.FUTURES_METHODS, self._tables["usdm"]),
        }
        self.api = WebSocketApi(self.door, clock, faults, methods, self.hub.keys)
        self._spot_events = SpotEvents(
            exchange, catalog, self.limits["spot"], self.counters.spot.cancel_ids
        )
        self._futures_events = FuturesEvents(exchange, catalog)
        self._coin_events = FuturesEvents(exchange, catalog, "coinm")
        self._tape = TapeReader(exchange)

    def _make_tables(self) -> dict[str, dict[str, Endpoint]]:
        keys = {
            root: {
                f"{method} {root}/listenKey": Endpoint(right=Right.KEY, weight=1, answer=answer)
                for method, answer in listen_key_calls(self.hub.keys).items()
            }
            for root in ("/fapi/v1", "/dapi/v1")
        }
        return {
            "spot": table.spot_table(self.counters),
            "usdm": table.futures_table(self.counters) | keys["/fapi/v1"],
            "coinm": table.coinm_table(self.counters) | keys["/dapi/v1"],
        }

    # Surface -----------------------------------------------------------------------------

    def attach(self, app: web.Application) -> None:
        """Adds every path of the layout above."""
        for product, rows in self._tables.items():
            for name, endpoint in rows.items():
                method, _, path = name.partition(" ")
                app.router.add_route(method, path, self._rest(product, endpoint))
        for prefix, route in _PREFIXES.items():
            raw, combined = self._stream(route, combined=False), self._stream(route, combined=True)
            app.router.add_get(f"{prefix}/ws", raw)
            app.router.add_get(f"{prefix}/ws/{{names:.*}}", raw)
            if prefix != "/stream":
                app.router.add_get(f"{prefix}/stream", combined)
        for path, product in (("/ws-api/v3", "spot"), ("/ws-fapi/v1", "usdm")):
            app.router.add_get(path, self._session(product))

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Market streams first, then the customers' own events."""
        if not outputs:
            return
        self.hub.publish(outputs, at)
        self.api.deliver(self._spot_events.mail(outputs, at))
        self.hub.deliver(self._futures_events.mail(outputs, at))
        self.hub.deliver(self._coin_events.mail(outputs, at), Route.COINM)

    def beat(self, at: int) -> None:
        """Paced streams, pings, dead sockets, expired keys, countdowns."""
        self.hub.beat(at)
        self.counters.futures.beat(at)
        for socket in self._sockets():
            if not socket.beat(at):
                socket.cut()

    def decode_tape(self, market: str, frame: bytes, at: int) -> list[MarketUpdate]:
        """A recorded combined-stream frame or REST snapshot of one market."""
        return self._tape.decode(market, frame)

    def _sockets(self) -> Iterable[Socket]:
        return [*self.hub.sockets(), *self.api.sockets()]

    # Handlers ----------------------------------------------------------------------------

    def _rest(
        self, product: str, endpoint: Endpoint
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.door.rest(request, product, endpoint)

        return handle

    def _stream(
        self, route: Route, *, combined: bool
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            habits = sockets.SPOT if route is Route.SPOT else sockets.FUTURES
            socket = Socket(route.value, habits, self.clock, request.remote or "")
            line = Line(socket, route, combined=combined)
            self._first_names(line, request)
            await socket.open(request)
            self.hub.join(line)
            try:
                while (text := await socket.receive()) is not None:
                    if socket.over_allowance():
                        await socket.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
                        break
                    socket.send(self.hub.control(line, text))
            finally:
                self.hub.leave(line)
                await socket.close()
            return socket.response

        return handle

    def _first_names(self, line: Line, request: web.Request) -> None:
        """Streams named by the path or the query; listen keys with their events."""
        wanted: list[tuple[str, str]] = []
        events: dict[str, frozenset[str]] = {}
        last = ""
        for name, value in parse_qsl(request.raw_path.partition("?")[2]):
            if name == "streams":
                wanted += [(part, "") for part in value.split("/")]
            elif name == "listenKey":
                last = value
                events[value] = frozenset()
            elif name == "events" and last:
                events[last] = frozenset(value.split("/"))
        wanted += [(unquote(p), "") for p in request.match_info.get("names", "").split("/")]
        for part, _ in wanted:
            if part:
                self.hub.subscribe(line, part)
        if line.route is Route.PRIVATE:
            line.keys.update(events)

    def _session(self, product: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            spot = product == "spot"
            habits = sockets.SPOT_API if spot else sockets.FUTURES_API
            label = "ws-api" if spot else "ws-fapi"
            address = request.remote or ""
            try:
                self.limits[product].charge(address, 2 if spot else 5, self.clock())
            except Denied as denied:
                retry = str(retry_after_s(denied, self.clock()))
                return web.json_response(
                    denied.body(), status=denied.status, headers={"Retry-After": retry}
                )
            socket = Socket(label, habits, self.clock, address)
            shown = request.query.get("returnRateLimits", "true") != "false"
            session = Session(socket, product, limits_shown=shown)
            await socket.open(request)
            self.api.sessions[id(session)] = session
            try:
                while (text := await socket.receive()) is not None:
                    await self.api.answer(session, text)
            finally:
                self.api.sessions.pop(id(session), None)
                await socket.close()
            return socket.response

        return handle

    def broken(self, request: web.Request, done: bool) -> web.StreamResponse:
        """A server error in the venue's words: "nobody knows" where the request was carried out,
        a plain failure where it was not (HTTP outcome classes of the documents)."""
        product = "spot" if request.path.startswith("/api/") else "usdm"
        denied = denials.unknown_execution(product) if done else denials.internal_error()
        return web.json_response(denied.body(), status=denied.status)

    # Misfortune --------------------------------------------------------------------------

    def drop(self, kind: str) -> int:
        """Cuts every connection of a kind (see KINDS) without a close frame; how many."""
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
        hit = [socket for socket in self._sockets() if socket.label == kind]
        for socket in hit:
            socket.cut()
        return len(hit)

    def gap(self, product: str, symbol: str, count: int = 1) -> int:
        """Loses the next depth events of a symbol's diff streams; how many streams."""
        return self.hub.skip_diffs(product, symbol, count)

    def silence(self, match: str, span: int) -> None:
        """Streams whose name contains `match` push nothing for `span` nanoseconds."""
        self.hub.silence(match, self.clock() + span)

    def lose_answer(self, product: str, count: int = 1, how: str = "unknown") -> None:
        """See `Door.lose_answer`."""
        self.door.lose_answer(product, count, how)

    def expire_listen_key(self, key: str) -> None:
        """Ends the hour of a customer's listen key now."""
        self.hub.keys.expire_now(key)

    def announce_shutdown(self) -> None:
        """Spot's `serverShutdown`, on streams and on the WebSocket API."""
        at = self.clock()
        event = {"e": "serverShutdown", "E": millis(at)}
        self.hub.announce("!serverShutdown", event)
        self.api.announce(event)


def _named(names: dict[str, str], rows: dict[str, Endpoint]) -> dict[str, Endpoint]:
    return {method: rows[place] for method, place in names.items()}


def make(exchange: Exchange, clock: Clock, faults: Faults) -> BinanceSurface:
    """The factory that `twin.build` registers."""
    return BinanceSurface(exchange, clock, faults)

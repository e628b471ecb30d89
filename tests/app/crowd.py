"""Hundreds of instruments on one twin, and a watchman who counts what a client sends there."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import WSMessage, WSMsgType, web

from oneprice.app.build import build_desk
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.lab import twin_endpoints
from oneprice.app.run import hand_out
from oneprice.app.session import NoJournal
from oneprice.model.commands import AnyCommand, PlaceOrder, Priority, TimeInForce
from oneprice.model.events import AnyEvent, LinkChanged, OrderFilled
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import MILLI, SECOND, InstrumentId, Lots, OrderId, Side, Ticks
from oneprice.shell.clock import Clock
from oneprice.shell.gateway import Gateway
from oneprice.shell.runtime import Runtime
from oneprice.twin.bars import Past
from oneprice.twin.build import DIALECTS, Twin
from oneprice.twin.contract import (
    BookUpdate,
    Fill,
    FundingRow,
    Listing,
    MarketUpdate,
    PriceUpdate,
)
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.faults import Faults
from oneprice.twin.floor import Floor
from oneprice.twin.server import RunningTwin, Timing
from oneprice.twin.stock import default_account, default_listings, default_setup
from oneprice.venues.contract import Credentials, Wanted

# Symbols are made of the market's own: whose listing is copied, and which part of it is the coin.
PATTERNS = {
    ("bybit", "linear"): ("SOLUSDT", "SOL"),
    ("bybit", "spot"): ("SOLUSDT", "SOL"),
    ("binance", "usdm"): ("SOLUSDT", "SOL"),
    ("binance", "spot"): ("SOLUSDT", "SOL"),
    ("okx", "swap"): ("SOL-USDT-SWAP", "SOL"),
    ("okx", "spot"): ("SOL-USDT", "SOL"),
    ("kucoin", "futures"): ("SOLUSDTM", "SOL"),
    ("kucoin", "spot"): ("SOL-USDT", "SOL"),
    ("bitmex", "derivatives"): ("XBTUSDT", "XBT"),
}
START = time.time_ns() // 1_000_000
ORDER_DOLLARS = 20
LEVELS = 60
MIDDLE = 15_000  # ticks


class Murmur:
    """A market in which every instrument changes one quote and its prices once in `every_ms`."""

    def __init__(self, names: list[InstrumentId], every_ms: int) -> None:
        self.every = every_ms * MILLI
        self.still: dict[InstrumentId, None] = {}  # in these nothing happens
        self._names = names
        self._next = 0
        self._due = 0

    def start(self, floors: Mapping[InstrumentId, Floor], at: int) -> list[MarketUpdate]:
        self._due = at
        updates: list[MarketUpdate] = []
        for name in self._names:
            bids = tuple((MIDDLE - n, 100_000) for n in range(1, LEVELS + 1))
            asks = tuple((MIDDLE + n, 100_000) for n in range(LEVELS))
            updates.append(BookUpdate(instrument=name, bids=bids, asks=asks, full=True))
            updates.append(_prices(floors[name], at, 0))
        self._floors = floors
        return updates

    def updates(self, until: int) -> Iterator[tuple[int, MarketUpdate]]:
        step = max(1, self.every // len(self._names))
        self._due = max(self._due, until - self.every)
        while self._due < until:
            self._due += step
            self._next += 1
            name = self._names[self._next % len(self._names)]
            if name in self.still:
                continue
            turn = self._next // len(self._names)
            level = (MIDDLE - 1 - turn % 5, 100_000 + turn % 1000)
            yield self._due, BookUpdate(instrument=name, bids=(level,), asks=())
            yield self._due, _prices(self._floors[name], self._due, turn)

    def past(self, instrument: InstrumentId, kind: str) -> Past | None:
        return None

    def settled(self, instrument: InstrumentId, at: int, count: int) -> list[FundingRow]:
        return []

    def pressed(self, floor: Floor, lots: int, at: int) -> None:
        """Nobody minds."""


def _prices(floor: Floor, at: int, turn: int) -> PriceUpdate:
    instrument = floor.instrument
    price = instrument.price(MIDDLE + turn % 3)
    if not instrument.is_derivative:
        return PriceUpdate(instrument=floor.id, index=price)
    hour = 3600 * SECOND
    due = (at // (8 * hour) + 1) * 8 * hour if turn == 0 else None
    rate = Decimal("0.0001")
    return PriceUpdate(
        instrument=floor.id, mark=price, index=price, funding_rate=rate, funding_due=due
    )


def listings(venue: str, market: str, count: int) -> tuple[Listing, ...]:
    """So many copies of one listing of a market, each of a coin of its own."""
    symbol, coin = PATTERNS[venue, market]
    one = next(
        each
        for each in default_listings(venue)
        if (each.instrument.market, each.instrument.symbol) == (market, symbol)
    )
    return tuple(
        msgspec.structs.replace(one, instrument=_copy(one.instrument, coin, f"C{n:03}"))
        for n in range(count)
    )


def _copy(one: Instrument, coin: str, name: str) -> Instrument:
    symbol = one.symbol.replace(coin, name)
    return msgspec.structs.replace(
        one,
        id=instrument_id(one.venue, one.market, symbol),
        symbol=symbol,
        base=name,
        lots_max=Lots(10_000_000),
    )


class Watchman:
    """Stands at the twin's door: every connect, message and HTTP request with its time."""

    def __init__(self) -> None:
        self.connects: list[tuple[float, str]] = []
        self.messages: dict[int, list[float]] = defaultdict(list)  # by connection
        self.paths: dict[int, str] = {}
        self.said: dict[int, list[str]] = defaultdict(list)
        self.requests: list[tuple[float, str, str]] = []  # when, method, path
        self._sockets: dict[int, int] = {}  # id of a response -> number of its connection

    def attach(self, app: web.Application) -> None:
        app.middlewares.append(self._middleware())

    def _middleware(self) -> Any:
        @web.middleware
        async def around(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            now = time.monotonic()
            if request.headers.get("Upgrade", "").lower() == "websocket":
                self.connects.append((now, request.path))
            else:
                self.requests.append((now, request.method, request.path))
            return await handler(request)

        return around

    def watch_sockets(self, patch: pytest.MonkeyPatch) -> None:
        receive = web.WebSocketResponse.receive

        async def heard(socket: web.WebSocketResponse, *rest: Any) -> WSMessage:
            message = await receive(socket, *rest)
            if message.type in (WSMsgType.TEXT, WSMsgType.PING):
                number = self._number(socket)
                self.messages[number].append(time.monotonic())
                self.said[number].append(str(message.data))
            return message

        patch.setattr(web.WebSocketResponse, "receive", heard)

    def _number(self, socket: web.WebSocketResponse) -> int:
        found = getattr(socket, "_watched", None)
        if found is None:
            found = len(self.paths)
            socket._watched = found
            request = socket._req
            self.paths[found] = request.path if request is not None else ""
        return int(found)

    def busiest(self, seconds: float, path: str = "") -> int:
        """The most messages that one connection got in any window of so many seconds."""
        return max(
            (most_within(times, seconds) for number, times in self.messages.items()
             if path in self.paths[number]),
            default=0,
        )  # fmt: skip

    def connected(self, seconds: float, path: str = "") -> int:
        return most_within([t for t, p in self.connects if path in p], seconds)

    def asked_for(self) -> list[tuple[str, str]]:
        return [(method, path) for _, method, path in self.requests]

    def asked(self, path: str, since: float = 0.0) -> int:
        return sum(t >= since and path in p for t, _, p in self.requests)


def most_within(times: list[float], seconds: float) -> int:
    first = most = 0
    for last, end in enumerate(times):
        while times[first] <= end - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


class Crowd:
    """A twin with many instruments, and a gateway that takes all channels of all of them."""

    def __init__(self, venue: str, counts: Mapping[str, int], every_ms: int = 1_000) -> None:
        self.venue = venue
        self.counts = counts
        self.watchman = Watchman()
        self.shift = 0
        self.events: list[tuple[float, AnyEvent]] = []  # about orders, with their time
        self.others: list[AnyEvent] = []
        self._placed = 0
        rows = tuple(one for m, count in counts.items() for one in listings(venue, m, count))
        self.names = [one.instrument.id for one in rows]
        first = rows[0].instrument
        worth = first.price(MIDDLE) * first.lot * first.contract_value
        self.lots = max(first.lots_min, int(ORDER_DOLLARS / worth) + 1)
        self.market = Murmur(self.names, every_ms)
        start = self.now()
        account = default_account(venue)
        exchange = InnerExchange(default_setup(venue, rows, (account,)), self.market, start)
        faults = Faults(None, 1)
        surface = DIALECTS[venue](exchange, self.now, faults)
        attach = surface.attach

        def watched(app: web.Application) -> None:
            self.watchman.attach(app)
            attach(app)

        surface.attach = watched  # type: ignore[method-assign]
        twin = Twin(
            venue=venue, exchange=exchange, surface=surface, faults=faults, clock=self.now
        )
        self.twin = RunningTwin(twin, Timing(step_ms=20))
        self.keys = Credentials(account.key, account.secret, account.passphrase)

    def now(self) -> int:
        """The twin's clock, which may be set."""
        return time.time_ns() + self.shift

    async def start(self, patch: pytest.MonkeyPatch, *, trades: bool = True) -> None:
        """Serve the twin and prepare the gateway."""
        self.watchman.watch_sockets(patch)
        await self.twin.start("127.0.0.1", 0)
        named = tuple(f"{i.split(':')[1]}:{i.split(':')[2]}" for i in self.names)
        config = VenueConfig(name=self.venue, instruments=named)
        run = RunConfig(venues=(config,), strategies=())
        self.desk = build_desk(run, "test", {self.venue: self.keys})
        dialect = self.desk.dialect(self.venue)
        spec = dialect.feed.spec
        ends = twin_endpoints(self.venue, self.twin.rest, self.twin.ws, spec.hosts["live"])
        wanted = [Wanted(instrument=name, trades=trades) for name in self.names]
        self.clock = Clock()
        self.runtime = Runtime(self.desk, self.clock, NoJournal(), busy_poll=False)
        self.gateway = Gateway(dialect, ends, self.runtime, self.clock, wanted)
        self.runtime.dispatch = lambda _, request: self.gateway.outbox.put(request)
        self.runtime.on_news = lambda: hand_out(self.desk, {self.venue: self.gateway})
        self.books = dialect.feed.books
        self._listen()
        await self.gateway.prepare()

    def _listen(self) -> None:
        engine, handle = self.desk.engine, self.desk.engine.handle

        def heard(event: AnyEvent) -> Any:
            if hasattr(event, "order_id"):
                self.events.append((time.monotonic(), event))
            elif isinstance(event, LinkChanged):
                self.others.append(event)
            return handle(event)

        engine.handle = heard  # type: ignore[method-assign]

    async def settle(self, seconds: float) -> float:
        await self.gateway.open()
        return await self.until(lambda: self.gateway.settled, seconds)

    async def until(self, condition: Callable[[], bool], seconds: float) -> float:
        """Wait for it; how long it took, in seconds."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > seconds:
                missing = self.gateway.unsettled()
                raise TimeoutError(f"{len(missing)} missing: {missing[:5]}, {self.facts()}")
            if self.runtime.failure:
                raise RuntimeError(self.runtime.failure)
            await asyncio.sleep(0.005)
        return time.monotonic() - start

    def facts(self) -> Mapping[str, object]:
        lines = Counter(line.spec.name for line in self.gateway.lines)
        return {"lines": dict(lines), "resyncs": self.gateway.resyncs,
                "rejected": self.desk.rejected}  # fmt: skip

    def send(self, command: AnyCommand) -> None:
        """Have a command said and sent, as the runtime would."""
        trade = self.desk.dialect(self.venue).trade
        assert trade is not None
        for request in trade.encode(command, self.clock.now()):
            self.gateway.outbox.put(request)

    def buy(
        self,
        instrument: InstrumentId,
        *,
        rests: bool = False,
        priority: Priority = Priority.HEDGE,
    ) -> OrderId:
        """Take a little at the touch, or (`rests`) wait far below it."""
        self._placed += 1
        order_id = OrderId(f"{START:x}{self._placed:06x}")
        self.send(
            PlaceOrder(
                order_id=order_id,
                group="g",
                instrument=instrument,
                side=Side.BUY,
                ticks=Ticks(MIDDLE - 200 if rests else MIDDLE + 5),
                lots=Lots(self.lots),
                time_in_force=TimeInForce.GTC if rests else TimeInForce.IOC,
                priority=priority,
            )
        )
        return order_id

    def open_ids(self) -> list[str]:
        """Our orders that rest at the twin."""
        exchange = self.twin.twin.exchange
        key = exchange.accounts()[0].key
        return [order.client_id for order in exchange.orders(key, only_open=True)]

    def told(self, order_id: OrderId, kind: type) -> list[float]:
        """When events of a kind about an order came."""
        return [
            at
            for at, event in self.events
            if type(event) is kind and getattr(event, "order_id", "") == order_id
        ]

    def fills(self) -> list[Fill]:
        """What the twin knows of our fills."""
        exchange = self.twin.twin.exchange
        return exchange.fills(exchange.accounts()[0].key)

    def heard_fills(self) -> dict[tuple[str, str], int]:
        """Lots by instrument and fill id, each once however often it was told."""
        heard = [e for _, e in self.events if isinstance(e, OrderFilled)]
        return {(fill.instrument, fill.fill_id): fill.lots for fill in heard}

    def cut_all(self) -> None:
        for transport in list(self.twin.transports):
            transport.abort()

    def unequal(self) -> list[InstrumentId]:
        """Books that do not show what the exchange shows at this moment."""
        exchange = self.twin.twin.exchange
        found = []
        for name, book in self.books.items():
            view = exchange.book(name, 1)
            touch = [(book.bid_ticks, book.bid_lots), (book.ask_ticks, book.ask_lots)]
            if [view.bids[0], view.asks[0]] != touch:
                found.append(name)
        return found

    async def close(self) -> None:
        await self.gateway.close()
        self.runtime.close()
        await self.twin.close()

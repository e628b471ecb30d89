"""The gateway: runs any dialect over real sockets and HTTP, and knows no venue by name."""

import asyncio
import itertools
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import picows
import stamina
import structlog

from oneprice.model.commands import Priority
from oneprice.model.events import (
    BookReady,
    CancelRefused,
    FeedLost,
    LinkChanged,
    OrderEnded,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.instrument import split_id
from oneprice.model.units import MILLI, SECOND, InstrumentId
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Dialect
from oneprice.shell.http import Connectors, Http, over_tcp
from oneprice.shell.lines import Hooks, Line, Lines, shards
from oneprice.shell.outbox import Outbox
from oneprice.shell.pacing import OPEN_NS, Pacer, Trip
from oneprice.shell.replies import Replies, bounded
from oneprice.shell.resync import Resync
from oneprice.shell.runtime import Runtime
from oneprice.shell.socket import Connection, Opener
from oneprice.venues.contract import (
    Ack,
    Answer,
    Output,
    Request,
    SocketSpec,
    Topic,
    Wanted,
    names_in,
)

log = structlog.get_logger("gateway")

ORDER_TIMEOUT_NS = 2 * SECOND  # an order unanswered for so long is UNKNOWN
WATCH_EVERY_S = 0.25
CLOCK_EVERY_S = 20.0  # a venue's clock that was set costs its refusals for so long
CLOCK_SAMPLES = 3
LISTING_EVERY_S = 600.0  # grids change and delistings are announced while we trade
RATE_PAUSE_NS = SECOND  # a refusal for rate that names no end
CLOCK_PAUSE_S = 1.0  # between two measurements that refusals ask for
HTTP_ERROR = 400  # and above: the request was refused, or broke there
UNKNOWN = (400, 404)  # statuses of a venue that does not know what it was asked for
DATA_CALLS_MAX = 16  # snapshots under way at once: what has its turn must leave at once, too


class NoAnswer(ConnectionError):
    """A venue did not answer something without which we cannot start."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The ways out of this program."""

    opener: Opener = picows.ws_connect
    connector: Connectors = over_tcp


class Gateway:
    """One venue: its connections, subscriptions, resyncs, clock and outbox."""

    def __init__(
        self,
        dialect: Dialect,
        endpoints: Mapping[str, str],
        runtime: Runtime,
        clock: Clock,
        wanted: Sequence[Wanted],
        network: Network = Network(),  # noqa: B008 -- frozen
    ) -> None:
        self.name = dialect.name
        self._dialect = dialect
        self._endpoints = dict(endpoints)
        self._runtime = runtime
        self._desk = runtime.desk
        self._clock = clock
        self._wanted = list(wanted)
        self._markets = tuple(dict.fromkeys(w.instrument.split(":")[1] for w in wanted))
        self._http = Http(self._endpoints, connector=network.connector)
        self._replies = Replies()
        self._clock_doubted = asyncio.Event()
        self.outbox = Outbox(
            Pacer(dialect.feed.spec.limits),
            clock,
            ready=self._way_is_open,
            send=self._send,
            give_up=self._never_sent,
        )
        self._lines = Lines(
            dialect,
            runtime,
            self._replies,
            self.outbox,
            self._endpoints,
            Hooks(
                fetch=self.fetch,
                on_link=self._link_changed,
                on_refused=self._clock_doubted.set,
                on_topics=self._topics_told,
                opener=network.opener,
            ),
        )
        self._resync = Resync(self.name, dialect.feed, runtime, self._lines, self._fetch_data)
        self._data_calls = asyncio.Semaphore(DATA_CALLS_MAX)
        self._numbers = itertools.count(1)
        self._pending: dict[str, tuple[int, Connection]] = {}  # order id -> (deadline, on what)
        self._recalls: dict[str, tuple[Request, Connection]] = {}  # order id -> cancel, on what
        self._trips: dict[str, list[Trip]] = {}  # order id -> its requests on sockets
        self._tasks: list[asyncio.Task[None]] = []
        self._calls: dict[str, asyncio.Task[None]] = {}  # HTTP calls in flight by number
        self._closing = False
        self._delisted: list[InstrumentId] = []

    # Start and stop ------------------------------------------------------------------------

    async def prepare(self, attempts: int = 5, *, by_name: bool = False) -> None:
        """Measure the clock and load the instruments; raises NoAnswer naming the venue, after so
        many attempts. May be tried again then.

        All that the venue lists, since an account may hold anything of it; or, who only looks,
        `by_name` what is wanted: one that is not listed is then found missing by `open`.
        """
        try:
            await self._measure_clock()
        except TimeoutError as error:
            raise NoAnswer(f"{self.name}: no server time: {error}") from None
        only = self._dealt_in() if by_name else ()
        questions = list(self._dialect.feed.instruments(self._markets, only))
        while questions:
            request = questions.pop(0)
            async for attempt in stamina.retry_context(
                on=NoAnswer, attempts=attempts, timeout=None
            ):
                with attempt:
                    answer = await self._ask(request)
                    if answer.status in UNKNOWN and names_in(request.tag):
                        break  # said of these names, and to be looked at more closely
                    if answer.status >= HTTP_ERROR:
                        self._answered("feed", answer)  # it may say how long to stay away
                    if answer.status == 0 or answer.status >= HTTP_ERROR:
                        url = self._endpoints[request.host] + request.path
                        why = answer.detail or f"status {answer.status}"
                        raise NoAnswer(f"{self.name}: no answer from {url}: {why}")
            questions += self._answered("feed", answer)
        if not self._dialect.feed.listed:
            raise NoAnswer(f"{self.name}: lists no instrument at all")
        self._runtime.on_news()

    async def open(self) -> None:
        """Connect everything; `settled` tells when it is subscribed and logged in."""
        self._delisted = [w.instrument for w in self._wanted if self._is_gone(w.instrument)]
        wanted = [w for w in self._wanted if w.instrument not in self._delisted]
        topics = self._desk.open(self.name, wanted, self._clock.now())
        self._resync.want(topics)
        for spec in self._dialect.feed.spec.sockets:
            if spec.market and spec.market not in self._markets:
                continue
            if spec.role == "public":
                for shard in shards(spec, [t for t in topics if t.socket == spec.name]):
                    self._lines.add(spec, shard)
            elif self._dialect.trade is not None:
                self._lines.add(spec, [])
        self._lines.start()
        self._spawn(self._watch(), "watch")
        self._spawn(self._keep_clock(), "clock")
        self._spawn(self._keep_listing(), "listing")
        if self._dialect.trade is not None:
            for every_ms, request in self._dialect.trade.keep_alive():
                self._spawn(self._repeat(every_ms, request), request.tag)

    def _is_gone(self, instrument: InstrumentId) -> bool:
        """Whether a resumed session names what its venue lists no more: what is left of it there
        has to be ended all the same, and the others with it."""
        return self._desk.resumed and instrument not in self._dialect.feed.listed

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> None:
        self._tasks.append(self._runtime.spawn(work, f"{self.name} {what}"))

    async def close(self) -> None:
        self._closing = True
        self.outbox.close()
        for task in (*self._tasks, *self._calls.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._calls.values(), return_exceptions=True)
        await self._resync.stop()
        await self._lines.stop()
        await self._http.close()

    @property
    def lines(self) -> list[Line]:
        return self._lines.all

    @property
    def resyncs(self) -> int:
        return self._resync.count

    @property
    def losses(self) -> Mapping[str, int]:
        """How often a book was lost, by reason."""
        return self._resync.losses

    @property
    def unknown(self) -> Sequence[InstrumentId]:
        """Books that cannot be read now."""
        return self._resync.unknown()

    @property
    def reconnects(self) -> int:
        return self._lines.reconnects

    @property
    def settled(self) -> bool:
        """Every line is up and subscribed, and every book is known."""
        return all(line.ready for line in self.lines) and not self._resync.unknown()

    def settled_for(self, instruments: Sequence[InstrumentId]) -> bool:
        """Every line is up and subscribed, and of these books every one that trades is known."""
        listed, unknown = self._dialect.feed.listed, self._resync.unknown()
        wanted = [i for i in instruments if i in unknown and listed[i].tradable]
        return all(line.ready for line in self.lines) and not wanted

    def unsettled(self) -> list[str]:
        """What is still missing, for a person."""
        down = [f"socket {self.name}/{x.spec.name}" for x in self.lines if not x.ready]
        gone = [f"instrument {i}: not listed any more" for i in self._delisted]
        return gone + down + [f"book {i}" for i in self._resync.unknown()]

    def renew(self, socket: str) -> None:
        """Replace the connections of a kind by new ones without letting go of the data."""
        self._lines.announced(socket, "asked to")

    def _topics_told(self, topics: Sequence[Topic], ack: Ack) -> None:
        self._resync.subscribed(topics, ack)

    def _link_changed(
        self, connection: Connection, spec: SocketSpec, up: bool, reason: str
    ) -> None:
        """Only what tells of our orders and money concerns the engine: what was said while it
        was away was said to nobody, and must be asked for."""
        if not up:
            for order_id, (_, held) in list(self._pending.items()):
                if held is connection:
                    self._uncertain(order_id, "socket lost")
            # A cancel does no harm twice, and an order that nobody cancels may: once more.
            lost = {r.tag: r for r, held in self._recalls.values() if held is connection}
            self._recalls = {i: x for i, x in self._recalls.items() if x[1] is not connection}
            for request in lost.values():
                self.outbox.put(request)
        if spec.role == "private":
            at = self._clock.now()
            self._desk.event(
                LinkChanged(at=at, venue=self.name, socket=spec.name, up=up, reason=reason)
            )
            self._runtime.poke(at)

    async def _watch(self) -> None:
        """Streams that stopped talking, orders never answered, connections that grow old."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            now = self._clock.now()
            self._resync.look_after(now)
            self._lines.look_after()
            for order_id, (deadline, _) in list(self._pending.items()):
                if now > deadline:
                    self._uncertain(order_id, "timeout")
            for order_id, trips in list(self._trips.items()):
                if now > trips[-1].sent + OPEN_NS:
                    del self._trips[order_id]

    # Requests ------------------------------------------------------------------------------

    def _way_is_open(self, request: Request) -> bool:
        if self._runtime.sealed:
            return False
        return not request.socket or self._lines.ready(request.socket) is not None

    def _send(self, request: Request, trip: Trip) -> None:
        if self._closing:
            return
        unsigned = request
        request, asked_ms = self._signed(request)
        if not request.socket:
            number = str(next(self._numbers))
            work = self._call(request, trip, number, asked_ms)
            self._calls[number] = self._runtime.spawn(work, f"answer to {request.tag}")
            return
        line = self._lines.ready(request.socket)
        if line is None or not line.connection.send(request.body):
            self._never_sent(request, "not_sent")
            return
        if request.concerns:
            self.outbox.pacer.embark(trip)
            self._trips.setdefault(request.concerns[0], []).append(trip)
        if request.places:
            deadline = self._clock.now() + ORDER_TIMEOUT_NS
            for order_id in request.concerns:
                self._pending[order_id] = (deadline, line.connection)
        elif request.tag.startswith("cancel"):
            for order_id in request.concerns:
                self._recalls[order_id] = (unsigned, line.connection)

    def _signed(self, request: Request) -> tuple[Request, int]:
        """As it may leave, and the venue's time in it; 0 where it needs no signature."""
        if not request.signed or self._dialect.trade is None:
            return request, 0
        venue_ms = self._clock.venue_ms(self.name)
        return self._dialect.trade.sign(request, venue_ms), venue_ms

    async def _call(self, request: Request, trip: Trip, number: str, asked_ms: int) -> None:
        try:
            for more in self._answered("trade", await self._hear(request, trip, asked_ms)):
                self.outbox.put(more)
        finally:
            del self._calls[number]

    async def fetch(self, side: str, request: Request) -> None:
        """A request in its turn; the answer goes to one side of the dialect, pages and all."""
        questions = [request]
        while questions:
            questions += self._answered(side, await self._ask(questions.pop(0)))

    async def _ask(self, request: Request) -> Answer:
        """The answer to a request that waited for its turn, signed when it left."""
        trip = await self.outbox.turn(request.cost, request.priority)
        request, asked_ms = self._signed(request)
        return await self._hear(request, trip, asked_ms)

    async def _fetch_data(self, side: str, request: Request) -> None:
        """As `fetch`, a few at a time: a ban heard of stops all that have not left."""
        async with self._data_calls:
            await self.fetch(side, request)

    async def _hear(self, request: Request, trip: Trip, asked_ms: int = 0) -> Answer:
        pacer = self.outbox.pacer
        pacer.embark(trip)
        answer = await self._http.send(request)
        now = self._clock.now()
        pacer.land(trip, now)
        pacer.learn(request.cost, dict(answer.headers), trip.sent, now, trip.held)
        return msgspec.structs.replace(answer, asked_ms=asked_ms)

    def _answered(self, side: str, answer: Answer) -> Sequence[Request]:
        at = self._clock.now()
        more = self._desk.answer(self.name, side, answer, at)
        self._runtime.poke(at)
        return more

    def _never_sent(self, request: Request, reason: str) -> None:
        """A request that never left: orders in it certainly do not exist."""
        if self._closing:
            return
        log.warning("not sent", venue=self.name, request=request.tag, reason=reason)
        at = self._clock.now()
        for order_id in request.concerns:
            if request.places:
                self._desk.event(
                    OrderRefused(at=at, order_id=order_id, reason=reason, text="never sent")
                )
                self._runtime.poke(at)
            else:
                self._uncertain(order_id, f"{request.tag} was not sent")

    def _uncertain(self, order_id: str, reason: str) -> None:
        self._pending.pop(order_id, None)
        self._clock_doubted.set()  # see `news`
        at = self._clock.now()
        self._desk.event(OrderUncertain(at=at, order_id=order_id, reason=reason))
        self._runtime.poke(at)

    async def _repeat(self, every_ms: int, request: Request) -> None:
        """Signs of life: from the moment that everything private is up."""
        private = [line for line in self.lines if line.spec.role != "public"]
        while not all(line.ready for line in private):  # noqa: ASYNC110 -- a line goes down, too
            await asyncio.sleep(WATCH_EVERY_S)
        while True:
            self.outbox.put(request)
            await asyncio.sleep(every_ms / 1000)

    # News from the desk --------------------------------------------------------------------

    def news(self, output: Output) -> None:
        """What our dialect said that concerns the shell."""
        if isinstance(output, Ack):
            self._acknowledged(output)
        elif isinstance(output, BookReady):
            self._resync.known(output.instrument)
        elif isinstance(output, FeedLost):
            self._resync.lost(output)
        else:
            if isinstance(output, (OrderRefused, CancelRefused)) and output.reason == "bad_time":
                self._clock_doubted.set()
            elif isinstance(output, OrderUncertain):
                # Its answer may have said so, and questions about it would be refused as well.
                self._clock_doubted.set()
            order_id = getattr(output, "order_id", "")
            self._pending.pop(order_id, None)
            if isinstance(output, (OrderEnded, CancelRefused)):
                self._recalls.pop(order_id, None)
            for trip in self._trips.pop(order_id, ()):
                # News of an order may have another cause: how quick it was says nothing.
                self.outbox.pacer.land(trip, self._clock.now(), pure=False)

    def _acknowledged(self, ack: Ack) -> None:
        match ack.kind:
            case "closing":
                self._lines.announced(ack.socket, ack.text)
            case "rate":
                now = self._clock.now()
                # Some venues name a moment by their clock, others so many seconds from now on:
                # whichever it was, not before.
                until = ack.until_ms * MILLI - min(0, self._clock.offset_ns(self.name))
                log.warning("rate limited", venue=self.name, bucket=ack.bucket, text=ack.text)
                self.outbox.pacer.ban(ack.bucket, until if until > now else now + RATE_PAUSE_NS)
            case "limit" if ack.limit is not None:
                self.outbox.pacer.declare(ack.limit)
            case _:
                self._replies.hear(ack)

    # Clock ---------------------------------------------------------------------------------

    async def _measure_clock(self) -> None:
        for _ in range(CLOCK_SAMPLES):
            waiting = self._replies.expect("clock")
            request = self._dialect.feed.clock()
            # What is signed waits for it: not behind hundreds of snapshots.
            trip = await self.outbox.turn(request.cost, Priority.CANCEL)
            sent = self._clock.now()
            answer = await self._hear(request, trip)
            received = self._clock.now()
            if answer.status != 200:
                waiting.cancel()
                log.warning("no clock", venue=self.name, status=answer.status, why=answer.detail)
                continue
            self._answered("feed", answer)
            ack = await bounded(waiting, "server time")
            self._clock.observe(self.name, sent, received, int(ack.text))
            self.outbox.pacer.ahead_ns = self._clock.offset_ns(self.name)

    async def _keep_listing(self) -> None:
        """Of what we deal in: a whole list holds up everything else while it is read. Where
        something about our account was not understood it is asked for all the same: the
        instrument may be newer than what we know."""
        misread = 0
        while True:
            await asyncio.sleep(LISTING_EVERY_S)
            before, misread = misread, self._desk.misread.get(self.name, 0)
            only = self._dealt_in() if misread == before else ()
            questions = list(self._dialect.feed.instruments(self._markets, only))
            while questions:
                answer = await self._ask(questions.pop(0))
                # What was decided on the grid of before must be said on it: not after the news.
                self._runtime.end_turn()
                questions += self._answered("feed", answer)

    def _dealt_in(self) -> Sequence[InstrumentId]:
        """What is wanted here, and what else we have something in."""
        report = self._desk.engine.report
        held = [name for name, lots in report.positions().items() if lots]
        names = dict.fromkeys((*(w.instrument for w in self._wanted), *report.at_stake(), *held))
        return [name for name in names if split_id(name)[0] == self.name]

    async def _keep_clock(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOCK_EVERY_S):
                    await self._clock_doubted.wait()
            self._clock_doubted.clear()
            try:
                await self._measure_clock()
            except TimeoutError as error:
                log.warning("clock not measured", venue=self.name, why=str(error))
            await asyncio.sleep(CLOCK_PAUSE_S)

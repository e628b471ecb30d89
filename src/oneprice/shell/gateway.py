"""The gateway: runs any dialect over real sockets and HTTP, and knows no venue by name."""

import asyncio
import itertools
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import msgspec
import stamina
import structlog

from oneprice.model.events import (
    BookReady,
    FeedLost,
    LinkChanged,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.units import MILLI, SECOND, InstrumentId
from oneprice.shell.clock import Clock
from oneprice.shell.desk import Dialect
from oneprice.shell.http import Http
from oneprice.shell.outbox import Outbox
from oneprice.shell.pacing import Pacer
from oneprice.shell.runtime import Runtime
from oneprice.shell.socket import Connection
from oneprice.venues.contract import Ack, Answer, Output, Request, SocketSpec, Topic, Wanted

log = structlog.get_logger("gateway")

ACK_TIMEOUT_S = 5.0
ORDER_TIMEOUT_NS = 2 * SECOND  # an order unanswered for so long is UNKNOWN
STREAM_SILENCE_NS = 15 * SECOND
WATCH_EVERY_S = 0.25
CLOCK_EVERY_S = 20.0  # a venue's clock that was set costs its refusals for so long
CLOCK_SAMPLES = 3
RESYNC_FIRST_S = 0.05
RESYNC_MAX_S = 5.0
RESYNC_WAIT_S = 3.0  # how long a fresh snapshot may take before it is asked for again
RATE_PAUSE_NS = SECOND  # a refusal for rate that names no end


class NoAnswer(ConnectionError):
    """A venue did not answer something without which we cannot start."""


class Line(msgspec.Struct):
    """One connection and what it carries."""

    spec: SocketSpec
    connection: Connection
    topics: list[Topic]
    ready: bool = False
    asked: int = 0  # when the last control request was sent


class Gateway:
    """One venue: its connections, subscriptions, resyncs, clock and outbox."""

    def __init__(
        self,
        dialect: Dialect,
        endpoints: Mapping[str, str],
        runtime: Runtime,
        clock: Clock,
        wanted: Sequence[Wanted],
    ) -> None:
        self.name = dialect.name
        self.resyncs = 0
        self.lines: list[Line] = []
        self._dialect = dialect
        self._endpoints = dict(endpoints)
        self._runtime = runtime
        self._desk = runtime.desk
        self._clock = clock
        self._wanted = list(wanted)
        self._markets = tuple(dict.fromkeys(w.instrument.split(":")[1] for w in wanted))
        self._http = Http(self._endpoints)
        self.outbox = Outbox(
            Pacer(dialect.feed.spec.limits),
            clock,
            ready=self._way_is_open,
            send=self._send,
            give_up=self._never_sent,
        )
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Ack]] = {}  # "login:socket", "key:socket", "clock"
        self._pending: dict[str, tuple[int, str]] = {}  # order id -> (deadline, socket)
        self._resyncing: dict[InstrumentId, asyncio.Task[None]] = {}
        self._ready_books: dict[InstrumentId, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._calls: dict[str, asyncio.Task[None]] = {}  # HTTP calls in flight by number
        self._closing = False

    # Start and stop ------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Measure the clock and load the instruments; raises NoAnswer naming the venue."""
        await self._measure_clock()
        questions = list(self._dialect.feed.instruments(self._markets))
        while questions:
            request = questions.pop(0)
            async for attempt in stamina.retry_context(on=NoAnswer, attempts=5, timeout=30.0):
                with attempt:
                    await self._allowance(request)
                    answer = await self._hear(request)
                    if answer.status == 0:
                        url = self._endpoints[request.host] + request.path
                        raise NoAnswer(f"{self.name}: no answer from {url}: {answer.detail}")
            questions += self._answered("feed", answer)
        self._runtime.on_news()

    async def open(self) -> None:
        """Connect everything and wait until it is subscribed and logged in."""
        topics = self._desk.open(self.name, self._wanted, self._clock.now())
        for topic in topics:
            if topic.is_book:
                self._ready_books[topic.instrument] = asyncio.Event()
        for spec in self._dialect.feed.spec.sockets:
            if spec.market and spec.market not in self._markets:
                continue
            if spec.role == "public":
                mine = [t for t in topics if t.socket == spec.name]
                for start in range(0, len(mine), spec.topics_max):
                    self._add_line(spec, mine[start : start + spec.topics_max])
            elif self._dialect.trade is not None:
                self._add_line(spec, [])
        for line in self.lines:
            self._runtime.watch(line.connection.start())
        self._spawn(self._watch(), "watch")
        self._spawn(self._keep_clock(), "clock")
        if self._dialect.trade is not None:
            for every_ms, request in self._dialect.trade.keep_alive():
                self._spawn(self._repeat(every_ms, request), request.tag)

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> None:
        self._tasks.append(self._runtime.spawn(work, f"{self.name} {what}"))

    async def close(self) -> None:
        self._closing = True
        self.outbox.close()
        resyncs = list(self._resyncing.values())
        for task in (*self._tasks, *resyncs, *self._calls.values()):
            task.cancel()
        await asyncio.gather(
            *self._tasks, *resyncs, *self._calls.values(), return_exceptions=True
        )
        for line in self.lines:
            await line.connection.stop()
        await self._http.close()

    @property
    def settled(self) -> bool:
        """Every line is up and subscribed, and every book is known."""
        return all(line.ready for line in self.lines) and all(
            self._dialect.feed.books[i].known for i in self._ready_books
        )

    def unsettled(self) -> list[str]:
        """What is still missing, for a person."""
        down = [f"socket {self.name}/{x.spec.name}" for x in self.lines if not x.ready]
        books = self._dialect.feed.books
        return down + [f"book {i}" for i in self._ready_books if not books[i].known]

    @property
    def reconnects(self) -> int:
        return sum(max(0, line.connection.connects - 1) for line in self.lines)

    # Lines ---------------------------------------------------------------------------------

    def _add_line(self, spec: SocketSpec, topics: list[Topic]) -> None:
        inlet = self._desk.inlet(self.name, spec.name)
        poke = self._runtime.poke

        def take(payload: bytes, heard: int) -> None:
            try:
                inlet(payload, heard)  # type: ignore[arg-type]
            except Exception as error:
                self._runtime.fail(f"frame of {self.name}/{spec.name}", error)
            poke(heard)

        connection = Connection(
            spec,
            self._clock,
            url=lambda: self._url(spec),
            on_open=self._opened,
            on_frame=take,
            on_close=self._closed,
        )
        self.lines.append(Line(spec=spec, connection=connection, topics=topics))

    async def _url(self, spec: SocketSpec) -> str:
        path = spec.path
        if spec.needs_key_path:
            path = path.replace("{key}", await self._listen_key(spec))
        return self._endpoints[spec.host] + path

    async def _listen_key(self, spec: SocketSpec) -> str:
        trade = self._dialect.trade
        if trade is None:
            raise ConnectionError(f"socket {spec.name}: a listen key needs an account")
        waiting = self._await_ack(f"key:{spec.name}")
        for request in trade.login(spec.name):
            self.outbox.put(request)
        return (await self._bounded(waiting, f"listen key for {spec.name}")).text

    async def _opened(self, connection: Connection) -> None:
        line = next(x for x in self.lines if x.connection is connection)
        spec, trade = line.spec, self._dialect.trade
        if spec.needs_login and not spec.needs_key_path and trade is not None:
            for request in trade.login(spec.name):
                waiting = self._await_ack(f"login:{spec.name}")
                signed = trade.sign(request, self._clock.venue_ms(self.name))
                connection.send(signed.body)
                ack = await self._bounded(waiting, f"login on {spec.name}")
                if not ack.ok:
                    log.error("login refused", venue=self.name, socket=spec.name, text=ack.text)
                    raise ConnectionError(f"login refused: {ack.text}")
        for start in range(0, len(line.topics), spec.topics_per_request):
            await self._subscribe(line, line.topics[start : start + spec.topics_per_request])
        line.ready = True
        self._link_changed(spec, up=True)

    async def _subscribe(self, line: Line, topics: Sequence[Topic]) -> None:
        """One request; where it fails as a whole each topic is tried alone."""
        ack = await self._ask(line, topics, on=True)
        if not ack.ok and len(topics) > 1:
            for topic in topics:
                await self._subscribe(line, [topic])
            return
        for topic in topics:
            if not topic.is_book:
                continue
            if not ack.ok:
                log.error("subscription refused", venue=self.name, topic=topic.text, text=ack.text)
            self._start_resync(topic.instrument, first=True)

    async def _ask(self, line: Line, topics: Sequence[Topic], *, on: bool) -> Ack:
        gap = int(SECOND / line.spec.requests_per_second)
        await asyncio.sleep(max(0, line.asked + gap - self._clock.now()) / SECOND)
        line.asked = self._clock.now()
        number = next(self._numbers)
        waiting = self._await_ack(f"ack:{number}")
        payload = self._dialect.feed.subscribe(topics, number, on=on)
        if not line.connection.send(payload):
            raise ConnectionError("socket down while subscribing")
        return await self._bounded(waiting, f"subscription on {line.spec.name}")

    def _closed(self, connection: Connection, reason: str) -> None:
        line = next(x for x in self.lines if x.connection is connection)
        if self._closing:
            return
        was_ready, line.ready = line.ready, False
        log.warning("socket down", venue=self.name, socket=line.spec.name, reason=reason)
        at = self._clock.now()
        if line.spec.role == "public":
            self._desk.dropped(self.name, line.spec.name, at)
        for order_id, (_, socket) in list(self._pending.items()):
            if socket == line.spec.name:
                self._uncertain(order_id, "socket lost")
        self._runtime.poke(at)
        if was_ready:
            self._link_changed(line.spec, up=False, reason=reason)

    def _link_changed(self, spec: SocketSpec, *, up: bool, reason: str = "") -> None:
        """Only what tells of our orders and money concerns the engine: what was said while it
        was away was said to nobody, and must be asked for."""
        if spec.role == "private":
            at = self._clock.now()
            self._desk.event(
                LinkChanged(at=at, venue=self.name, socket=spec.name, up=up, reason=reason)
            )
            self._runtime.poke(at)

    # Books ---------------------------------------------------------------------------------

    def _start_resync(self, instrument: InstrumentId, *, first: bool) -> None:
        running = self._resyncing.get(instrument)
        if self._closing or instrument not in self._ready_books:
            return
        if running is not None and not running.done():
            return
        work = self._resync(instrument, first=first)
        self._resyncing[instrument] = self._runtime.spawn(work, f"resync {instrument}")

    async def _resync(self, instrument: InstrumentId, *, first: bool) -> None:
        """Until the book is known: a snapshot within the budget, or a fresh subscription."""
        delay = RESYNC_FIRST_S
        ready = self._ready_books[instrument]
        while not self._dialect.feed.books[instrument].known:
            line, topic = self._line_of(instrument)
            if not line.connection.up:
                return  # the reconnect subscribes and resyncs
            ready.clear()
            request = self._dialect.feed.snapshot(instrument)
            try:
                if request is not None:
                    await self._fetch(request)
                elif not first:
                    await self._ask(line, [topic], on=False)
                    await self._ask(line, [topic], on=True)
                await asyncio.wait_for(ready.wait(), RESYNC_WAIT_S)
            except (TimeoutError, ConnectionError) as error:
                log.warning("resync failed", instrument=instrument, why=str(error))
            if not first:
                self.resyncs += 1
            first = False
            if not self._dialect.feed.books[instrument].known:
                await asyncio.sleep(delay)
                delay = min(RESYNC_MAX_S, delay * 2)

    async def _fetch(self, request: Request) -> None:
        """A data request in its turn; the answer goes to the feed."""
        await self._allowance(request)
        self._answered("feed", await self._hear(request))

    async def _allowance(self, request: Request) -> None:
        """Wait until the venue allows a request that is not an order's, and count it."""
        pacer, cost, now = self.outbox.pacer, request.cost, self._clock.now
        while wait := pacer.wait_ns(cost, request.priority, now()):  # noqa: ASYNC110 -- a clock
            await asyncio.sleep(wait / SECOND)
        pacer.spend(cost, now())

    def _line_of(self, instrument: InstrumentId) -> tuple[Line, Topic]:
        for line in self.lines:
            for topic in line.topics:
                if topic.is_book and topic.instrument == instrument:
                    return line, topic
        raise KeyError(f"{instrument}: no book topic")

    async def _watch(self) -> None:
        """Streams that stopped talking and orders that were never answered."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            now = self._clock.now()
            for instrument in self._ready_books:
                book = self._dialect.feed.books[instrument]
                if book.known and now - book.at > STREAM_SILENCE_NS:
                    self._desk.silent(self.name, instrument, now)
                    self._runtime.poke(now)
            for order_id, (deadline, _) in list(self._pending.items()):
                if now > deadline:
                    self._uncertain(order_id, "timeout")

    # Requests ------------------------------------------------------------------------------

    def _way_is_open(self, request: Request) -> bool:
        if self._runtime.sealed:
            return False
        return not request.socket or self._ready_line(request.socket) is not None

    def _ready_line(self, socket: str) -> Line | None:
        for line in self.lines:
            if line.spec.name == socket:
                return line if line.ready else None
        return None

    def _send(self, request: Request) -> None:
        if request.signed and self._dialect.trade is not None:
            request = self._dialect.trade.sign(request, self._clock.venue_ms(self.name))
        if not request.socket:
            number = str(next(self._numbers))
            work = self._call(request, number)
            self._calls[number] = self._runtime.spawn(work, f"answer to {request.tag}")
            return
        line = self._ready_line(request.socket)
        if line is None or not line.connection.send(request.body):
            self._never_sent(request, "venue_busy")
        elif request.places:
            deadline = self._clock.now() + ORDER_TIMEOUT_NS
            self._pending[request.order_id] = (deadline, request.socket)

    async def _call(self, request: Request, number: str) -> None:
        try:
            for more in self._answered("trade", await self._hear(request)):
                self.outbox.put(more)
        finally:
            del self._calls[number]

    async def _hear(self, request: Request) -> Answer:
        answer = await self._http.send(request)
        self.outbox.pacer.learn(request.cost, dict(answer.headers), self._clock.now())
        return answer

    def _answered(self, side: str, answer: Answer) -> Sequence[Request]:
        at = self._clock.now()
        more = self._desk.answer(self.name, side, answer, at)
        self._runtime.poke(at)
        return more

    def _never_sent(self, request: Request, reason: str) -> None:
        """A request that never left: an order in it certainly does not exist."""
        if self._closing:
            return
        log.warning("not sent", venue=self.name, request=request.tag, reason=reason)
        if request.places:
            at = self._clock.now()
            self._desk.event(
                OrderRefused(at=at, order_id=request.order_id, reason=reason, text="never sent")
            )
            self._runtime.poke(at)
        elif request.order_id:
            self._uncertain(request.order_id, f"{request.tag} was not sent")

    def _uncertain(self, order_id: str, reason: str) -> None:
        self._pending.pop(order_id, None)
        at = self._clock.now()
        self._desk.event(OrderUncertain(at=at, order_id=order_id, reason=reason))
        self._runtime.poke(at)

    async def _repeat(self, every_ms: int, request: Request) -> None:
        while True:
            await asyncio.sleep(every_ms / 1000)
            self.outbox.put(request)

    # News from the desk --------------------------------------------------------------------

    def news(self, output: Output) -> None:
        """What our dialect said that concerns the shell."""
        if isinstance(output, Ack):
            self._acknowledged(output)
        elif isinstance(output, BookReady):
            ready = self._ready_books.get(output.instrument)
            if ready is not None:
                ready.set()
        elif isinstance(output, FeedLost):
            if output.reason != "disconnected":
                log.warning(
                    "feed lost", instrument=output.instrument, why=output.reason,
                    detail=output.detail,
                )
                self._start_resync(output.instrument, first=False)
        else:
            self._pending.pop(getattr(output, "order_id", ""), None)

    def _acknowledged(self, ack: Ack) -> None:
        match ack.kind:
            case "subscribe" | "unsubscribe" | "login":
                waiting = self._waiting.get(f"ack:{ack.request_id}")
                if waiting is None:
                    waiting = self._waiting.get(f"login:{ack.socket}")
                if waiting is not None and not waiting.done():
                    waiting.set_result(ack)
            case "key" | "clock":
                name = f"key:{ack.socket}" if ack.kind == "key" else "clock"
                waiting = self._waiting.get(name)
                if waiting is not None and not waiting.done():
                    waiting.set_result(ack)
            case "closing":
                for line in self.lines:
                    if line.spec.name == ack.socket:
                        line.connection.cut(f"venue: {ack.text}")
            case "rate":
                now = self._clock.now()
                until = ack.until_ms * MILLI - self._clock.offset_ns(self.name)
                log.warning("rate limited", venue=self.name, bucket=ack.bucket, text=ack.text)
                self.outbox.pacer.ban(ack.bucket, until if until > now else now + RATE_PAUSE_NS)
            case "pong":
                pass

    def _await_ack(self, name: str) -> asyncio.Future[Ack]:
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting[name] = future
        future.add_done_callback(
            lambda done: self._waiting.pop(name) if self._waiting.get(name) is done else None
        )
        return future

    @staticmethod
    async def _bounded(waiting: asyncio.Future[Ack], what: str) -> Ack:
        try:
            return await asyncio.wait_for(waiting, ACK_TIMEOUT_S)
        except TimeoutError:
            raise TimeoutError(f"no answer in {ACK_TIMEOUT_S} s: {what}") from None

    # Clock ---------------------------------------------------------------------------------

    async def _measure_clock(self) -> None:
        for _ in range(CLOCK_SAMPLES):
            waiting = self._await_ack("clock")
            request = self._dialect.feed.clock()
            await self._allowance(request)
            sent = self._clock.now()
            answer = await self._hear(request)
            received = self._clock.now()
            if answer.status != 200:
                waiting.cancel()
                log.warning("no clock", venue=self.name, status=answer.status, why=answer.detail)
                continue
            self._answered("feed", answer)
            ack = await self._bounded(waiting, "server time")
            self._clock.observe(self.name, sent, received, int(ack.text))

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_EVERY_S)
            try:
                await self._measure_clock()
            except TimeoutError as error:
                log.warning("clock not measured", venue=self.name, why=str(error))

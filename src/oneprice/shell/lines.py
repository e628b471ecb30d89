"""Lines: the connections of one venue, what each carries, and how they are kept and renewed."""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import msgspec
import picows
import structlog

from oneprice.model.commands import Priority
from oneprice.model.units import MILLI, SECOND, InstrumentId
from oneprice.shell.desk import Desk, Dialect
from oneprice.shell.outbox import Outbox
from oneprice.shell.replies import ACK_TIMEOUT_S, Replies, bounded
from oneprice.shell.runtime import Runtime
from oneprice.shell.socket import Connection, Opener
from oneprice.venues.contract import Ack, Request, SocketSpec, Topic

log = structlog.get_logger("lines")

RENEW_PART = 0.9  # of the life a venue grants: then the next connection is opened
DRAIN_S = 2.5  # a connection that was relieved may still answer what was asked on it
GREETING_EVERY_S = 0.002
KEY_S = 0.5  # from the answer of a door to what the dialect found in it
ARGS_SPARE_CHARS = 200  # what a subscription says besides its topics


class Line(msgspec.Struct, eq=False):
    """One connection and what it carries; `relief` is the one that will take its place.

    `handed` are the topics that the relief alone carries already.
    """

    spec: SocketSpec
    connection: Connection
    topics: list[Topic]
    ready: bool = False
    relief: Connection | None = None
    handed: int = 0
    announced: bool = False  # it was the venue that wanted it: something may have been missed

    @property
    def ripe_at(self) -> float:
        """When the next connection should be opened, so that the venue has not to cut this one."""
        life = self.spec.life_ms * MILLI * RENEW_PART
        return self.connection.opened_at + life if life else math.inf

    @property
    def instruments(self) -> list[InstrumentId]:
        """Whose books live on this line."""
        return [topic.instrument for topic in self.topics if topic.is_book]


def shards(spec: SocketSpec, topics: Sequence[Topic]) -> Iterator[list[Topic]]:
    """Topics in the fewest connections that the venue's limits allow, in order."""
    shard: list[Topic] = []
    chars = 0
    for topic in _by_prefix(spec, topics):
        full = len(shard) >= spec.topics_max
        if spec.args_chars_max:
            full = full or chars + len(topic.text) + ARGS_SPARE_CHARS > spec.args_chars_max
        if full and shard:
            yield shard
            shard, chars = [], 0
        shard.append(topic)
        chars += len(topic.text)
    if shard:
        yield shard


def requests(spec: SocketSpec, topics: Sequence[Topic]) -> Iterator[list[Topic]]:
    """Topics in the fewest subscriptions that the venue takes, in order."""
    batch: list[Topic] = []
    for topic in topics:
        mixed = batch and _prefix(spec, topic) != _prefix(spec, batch[0])
        if mixed or len(batch) >= spec.topics_per_request:
            yield batch
            batch = []
        batch.append(topic)
    if batch:
        yield batch


def _by_prefix(spec: SocketSpec, topics: Sequence[Topic]) -> Sequence[Topic]:
    return sorted(topics, key=lambda t: _prefix(spec, t)) if spec.same_until else topics


def _prefix(spec: SocketSpec, topic: Topic) -> str:
    return topic.text.partition(spec.same_until)[0] if spec.same_until else ""


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """What lines need of others, and whom they tell."""

    fetch: Callable[[str, Request], Awaitable[None]]  # (side, request): over HTTP, in its turn
    on_link: Callable[[Connection, SocketSpec, bool, str], None]  # a line came up, or went down
    on_refused: Callable[[], None]  # a private line could not be opened: a matter of time?
    on_topics: Callable[[Sequence[Topic], Ack], None]  # topics were accepted or refused
    opener: Opener = picows.ws_connect


class Lines:
    """All connections of one venue; `urls` are the bases by host."""

    def __init__(
        self,
        dialect: Dialect,
        runtime: Runtime,
        replies: Replies,
        outbox: Outbox,
        urls: Mapping[str, str],
        hooks: Hooks,
    ) -> None:
        self.all: list[Line] = []
        self._dialect = dialect
        self._runtime = runtime
        self._desk: Desk = runtime.desk
        self._clock = runtime.clock
        self._replies = replies
        self._outbox = outbox
        self._urls = urls
        self._hooks = hooks
        self._numbers = itertools.count(1)
        self._retired: list[Connection] = []
        self._doors: dict[str, asyncio.Lock] = {}
        self._closing = False

    # Who is there --------------------------------------------------------------------------

    def ready(self, socket: str) -> Line | None:
        """A line of this kind that is up, subscribed and logged in."""
        return next((x for x in self.all if x.spec.name == socket and x.ready), None)

    def of_book(self, instrument: InstrumentId) -> tuple[Line, Topic]:
        for line in self.all:
            for topic in line.topics:
                if topic.is_book and topic.instrument == instrument:
                    return line, topic
        raise KeyError(f"{instrument}: no book topic")

    @property
    def reconnects(self) -> int:
        return sum(max(0, line.connection.connects - 1) for line in self.all)

    # Start and stop ------------------------------------------------------------------------

    def add(self, spec: SocketSpec, topics: list[Topic]) -> None:
        self.all.append(Line(spec=spec, connection=self._connection(spec), topics=topics))

    def start(self) -> None:
        for line in self.all:
            self._runtime.watch(line.connection.start())

    async def stop(self) -> None:
        self._closing = True
        for line in self.all:
            for connection in (line.connection, line.relief):
                if connection is not None:
                    await connection.stop()
        for connection in self._retired:
            await connection.stop()

    def _connection(self, spec: SocketSpec) -> Connection:
        inlet = self._desk.inlet(self._dialect.name, spec.name)
        poke = self._runtime.poke

        def take(payload: bytes, heard: int) -> None:
            if connection.muted:
                return
            try:
                inlet(payload, heard)  # type: ignore[arg-type]
            except Exception as error:
                self._runtime.fail(f"frame of {self._dialect.name}/{spec.name}", error)
            poke(heard)

        connection = Connection(
            spec,
            self._clock,
            url=lambda: self._url(spec),
            on_open=self._opened,
            on_frame=take,
            on_close=self._closed,
            opener=self._hooks.opener,
        )
        return connection

    async def _url(self, spec: SocketSpec) -> str:
        """Where to connect, once the venue allows another attempt."""
        if spec.connect_cost:
            # Orders and what becomes of them come back before any book.
            priority = Priority.DATA if spec.role == "public" else Priority.UNWIND
            await self._outbox.turn(spec.connect_cost, priority)
        if spec.door == "none":
            return self._urls[spec.host] + spec.path
        # Several connections share a kind, and answers name only that: one at a time.
        async with self._doors.setdefault(spec.name, asyncio.Lock()):
            waiting = self._replies.expect(f"key:{spec.name}")
            for side, request in self._door(spec):
                await self._hooks.fetch(side, request)
            key = (await bounded(waiting, f"key in the door of {spec.name}", KEY_S)).text
        if spec.door == "url":
            return key
        return self._urls[spec.host] + spec.path.replace("{key}", key)

    def _door(self, spec: SocketSpec) -> Iterator[tuple[str, Request]]:
        if spec.role == "public":
            for request in self._dialect.feed.door(spec.name):
                yield "feed", request
            return
        for request in self._login(spec):
            if not request.socket:
                yield "trade", request

    def _login(self, spec: SocketSpec) -> Sequence[Request]:
        if self._dialect.trade is None:
            raise ConnectionError(f"socket {spec.name}: needs an account")
        return self._dialect.trade.login(spec.name)

    # Up and down ---------------------------------------------------------------------------

    async def _opened(self, connection: Connection) -> None:
        if connection in self._retired:
            return
        line = self._line(connection)
        spec = line.spec
        if spec.greets:
            await self._greeted(connection, spec)
        if spec.needs_login:
            await self._log_in(connection, spec)
        if line.relief is connection and not self._overlaps(line):
            await self._hand_over(line, connection)
        else:
            for batch in requests(spec, line.topics):
                await self._subscribe(connection, batch)
        if connection in self._retired:
            return  # the one it was to relieve has come down: that one comes back by itself
        if line.relief is connection:
            self._relieve(line)
        line.ready = True
        self._hooks.on_link(connection, spec, True, "")

    async def _greeted(self, connection: Connection, spec: SocketSpec) -> None:
        deadline = self._clock.now() + int(ACK_TIMEOUT_S * SECOND)
        while not connection.frames:
            if self._clock.now() > deadline:
                raise TimeoutError(f"no greeting on {spec.name} in {ACK_TIMEOUT_S} s")
            await asyncio.sleep(GREETING_EVERY_S)

    async def _log_in(self, connection: Connection, spec: SocketSpec) -> None:
        trade = self._dialect.trade
        for request in self._login(spec):
            if not request.socket or trade is None:
                continue
            waiting = self._replies.expect(f"login:{spec.name}")
            if request.signed:
                request = trade.sign(  # noqa: PLW2901 -- the same request, signed
                    request, self._clock.venue_ms(self._dialect.name)
                )
                self._desk.veil.learn_login(request.body)
            connection.send(request.body)
            ack = await bounded(waiting, f"login on {spec.name}")
            if not ack.ok:
                log.error(
                    "login refused", venue=self._dialect.name, socket=spec.name, text=ack.text
                )
                raise ConnectionError(f"login refused: {ack.text}")

    async def _subscribe(self, connection: Connection, topics: Sequence[Topic]) -> None:
        """One request; where it fails as a whole each topic is tried alone."""
        ack = await self._ask(connection, topics, on=True)
        if ack.ok or len(topics) == 1:
            self._hooks.on_topics(topics, ack)
            return
        for topic in topics:
            self._hooks.on_topics([topic], await self._ask(connection, [topic], on=True))

    async def ask_anew(self, line: Line, topics: Sequence[Topic]) -> None:
        """Unsubscribe and subscribe, so that the venue sends fresh snapshots; in one request."""
        await self._ask(line.connection, topics, on=False)
        await self._ask(line.connection, topics, on=True)

    async def _ask(
        self, connection: Connection, topics: Sequence[Topic], *, on: bool
    ) -> Ack:
        await self._slot(connection)
        number = next(self._numbers)
        waiting = self._replies.expect(f"ack:{number}")
        if not connection.send(self._dialect.feed.subscribe(topics, number, on=on)):
            raise ConnectionError("socket down while subscribing")
        return await bounded(waiting, f"subscription on {connection.spec.name}")

    async def _slot(self, *connections: Connection) -> None:
        """Until another control request may be sent on each of these connections."""
        now = self._clock.now()
        pace = int(SECOND / connections[0].spec.requests_per_second)
        slot = max(now, *(connection.slot for connection in connections))
        for connection in connections:
            connection.slot = slot + pace
        await asyncio.sleep((slot - now) / SECOND)

    def _closed(self, connection: Connection, reason: str) -> None:
        if self._closing or connection in self._retired:
            return
        line = self._line(connection)
        if line.relief is connection:
            log.warning("renewal failed", venue=self._dialect.name, socket=line.spec.name,
                        reason=reason)  # fmt: skip
            if line.handed:
                line.connection.cut("renewal failed")  # half of it was let go already
            return
        was_ready, line.ready = line.ready, False
        log.warning(
            "socket down", venue=self._dialect.name, socket=line.spec.name, reason=reason
        )
        if line.relief is not None:
            self._retire(line.relief)
            line.relief, line.handed = None, 0
        if line.spec.role == "public":
            at = self._clock.now()
            self._desk.dropped(self._dialect.name, line.spec.name, line.instruments, at)
            self._runtime.poke(at)
        if not was_ready and line.spec.role != "public":
            self._hooks.on_refused()
        if was_ready:
            self._hooks.on_link(connection, line.spec, False, reason)

    def _line(self, connection: Connection) -> Line:
        return next(x for x in self.all if connection in (x.connection, x.relief))

    # Renewal -------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Open the next connection for the line that is nearest to its end, one at a time."""
        if any(line.relief is not None for line in self.all):
            return
        now = self._clock.now()
        due = [line for line in self.all if line.ready and line.ripe_at < now]
        if due:
            self.renew(min(due, key=lambda line: line.ripe_at))

    def renew(self, line: Line) -> None:
        """Open another connection beside this one; it takes over once it carries everything."""
        if line.relief is not None or not line.ready:
            return
        line.relief = self._connection(line.spec)
        self._runtime.watch(line.relief.start())

    def announced(self, socket: str, text: str) -> None:
        """The venue will close connections of this kind: be gone before."""
        for line in self.all:
            if line.spec.name == socket:
                log.warning("renewing", venue=self._dialect.name, socket=socket, why=text)
                self.renew(line)
                line.announced = line.relief is not None

    def _overlaps(self, line: Line) -> bool:
        """Whether two connections may feed the same books: not where snapshots come by socket."""
        snapshot = self._dialect.feed.snapshot
        return all(snapshot(i) is not None for i in line.instruments)

    async def _hand_over(self, line: Line, relief: Connection) -> None:
        """Topic by topic: let go here, taken there, so that no book hears two voices at once.

        Only a few rest at a time, for a way to the venue and back: both connections have a free
        slot before the first word is said.
        """
        old = line.connection
        for batch in requests(line.spec, line.topics):
            await self._slot(old, relief)
            old.slot, relief.slot = 0, 0
            line.handed += len(batch)
            await self._ask(old, batch, on=False)
            await self._subscribe(relief, batch)

    def _relieve(self, line: Line) -> None:
        old, line.connection = line.connection, line.relief or line.connection
        line.relief, line.handed = None, 0
        if line.announced and line.spec.role == "private":
            # A stream may have fallen silent before it said so: have everything asked for.
            self._hooks.on_link(old, line.spec, False, "closing")
        line.announced = False
        # It may still answer orders; its books would say everything twice.
        old.muted = line.spec.role == "public"
        self._retire(old)

    def _retire(self, connection: Connection) -> None:
        self._retired.append(connection)
        work = self._drain(connection)
        self._runtime.spawn(work, f"{self._dialect.name} {connection.spec.name} retires")

    async def _drain(self, connection: Connection) -> None:
        await asyncio.sleep(DRAIN_S)
        await connection.stop()
        self._retired.remove(connection)

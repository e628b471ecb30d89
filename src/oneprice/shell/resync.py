"""Resync: every wanted book becomes known again, within the budget, however it was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from oneprice.model.events import FeedLost
from oneprice.model.units import SECOND, InstrumentId, Nanos
from oneprice.shell.lines import Lines
from oneprice.shell.runtime import Runtime
from oneprice.venues.contract import Ack, Feed, Request, Topic

log = structlog.get_logger("resync")

STREAM_SILENCE_NS = 15 * SECOND  # a book's stream that says nothing for so long is not trusted
SILENCE_MAX_NS = 240 * SECOND  # for instruments in which, as was learned, nothing happens
RESYNC_FIRST_S = 0.05
RESYNC_MAX_S = 5.0
RESYNC_WAIT_S = 3.0  # how long a fresh snapshot may take before it is asked for again


class Resync:
    """The books of one venue: who is known, who is being fetched, who has gone quiet.

    `fetch` sends a request of the feed in its turn and hands the answer to the dialect.
    """

    def __init__(
        self,
        name: str,
        feed: Feed,
        runtime: Runtime,
        lines: Lines,
        fetch: Callable[[str, Request], Awaitable[None]],
    ) -> None:
        self.count = 0
        self._name = name
        self._feed = feed
        self._runtime = runtime
        self._lines = lines
        self._fetch = fetch
        self._tasks: dict[InstrumentId, asyncio.Task[None]] = {}
        self._ready: dict[InstrumentId, asyncio.Event] = {}
        self._patience: dict[InstrumentId, int] = {}
        self._closing = False

    def want(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            if topic.is_book:
                self._ready[topic.instrument] = asyncio.Event()

    async def stop(self) -> None:
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def unknown(self) -> list[InstrumentId]:
        return [i for i in self._ready if not self._feed.books[i].known]

    # What is heard -------------------------------------------------------------------------

    def subscribed(self, topics: Sequence[Topic], ack: Ack) -> None:
        """Topics were accepted or refused: their books need a snapshot in either case."""
        for topic in topics:
            if not topic.is_book:
                continue
            if not ack.ok:
                log.error(
                    "subscription refused", venue=self._name, topic=topic.text, text=ack.text
                )
            self._start(topic.instrument, first=True)

    def known(self, instrument: InstrumentId) -> None:
        ready = self._ready.get(instrument)
        if ready is not None:
            ready.set()

    def lost(self, event: FeedLost) -> None:
        if event.reason == "disconnected":
            return  # the reconnect subscribes, and that brings a snapshot
        log.warning(
            "feed lost", instrument=event.instrument, why=event.reason, detail=event.detail
        )
        self._start(event.instrument, first=False)

    def look_after(self, now: Nanos) -> None:
        """Streams that stopped talking, however alive their socket."""
        for instrument in self._ready:
            book = self._feed.books[instrument]
            patience = self._patience.get(instrument, STREAM_SILENCE_NS)
            quiet = now - book.at
            if book.known and quiet > patience:
                # Where nothing happens silence is no news: ask less and less often.
                self._patience[instrument] = min(SILENCE_MAX_NS, 2 * max(patience, 1))
                self._runtime.desk.silent(self._name, instrument, now)
                self._runtime.poke(now)
            elif quiet < STREAM_SILENCE_NS // 4 and instrument not in self._tasks:
                self._patience.pop(instrument, None)

    # Work ----------------------------------------------------------------------------------

    def _start(self, instrument: InstrumentId, *, first: bool) -> None:
        if self._closing or instrument not in self._ready or instrument in self._tasks:
            return
        work = self._until_known(instrument, first=first)
        task = self._runtime.spawn(work, f"resync {instrument}")
        self._tasks[instrument] = task
        task.add_done_callback(lambda _: self._tasks.pop(instrument, None))

    async def _until_known(self, instrument: InstrumentId, *, first: bool) -> None:
        """A snapshot within the budget, or a fresh subscription, until the book is known."""
        delay = RESYNC_FIRST_S
        ready = self._ready[instrument]
        while not self._feed.books[instrument].known:
            line, topic = self._lines.of_book(instrument)
            if not line.connection.up:
                return  # the reconnect subscribes and resyncs
            ready.clear()
            request = self._feed.snapshot(instrument)
            try:
                if request is not None:
                    await self._fetch("feed", request)
                elif not first:
                    await self._lines.ask_anew(line, topic)
                await asyncio.wait_for(ready.wait(), RESYNC_WAIT_S)
            except (TimeoutError, ConnectionError) as error:
                log.warning("resync failed", instrument=instrument, why=str(error))
            if not first:
                self.count += 1
            first = False
            if not self._feed.books[instrument].known:
                await asyncio.sleep(delay)
                delay = min(RESYNC_MAX_S, delay * 2)

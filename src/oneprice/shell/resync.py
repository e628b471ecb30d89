"""Resync: every wanted book becomes known again, within the budget, however it was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from oneprice.model.events import FeedLost
from oneprice.model.units import SECOND, InstrumentId, Nanos
from oneprice.shell.lines import Line, Lines, requests
from oneprice.shell.runtime import Runtime
from oneprice.venues.contract import Ack, Feed, Request, Topic

log = structlog.get_logger("resync")

STREAM_SILENCE_NS = 15 * SECOND  # a book's stream that says nothing for so long is not trusted
SILENCE_MAX_NS = 3600 * SECOND  # for instruments in which, as was learned, nothing happens
RELAX_PART = 64  # of a grown patience, taken back whenever the stream is heard to talk
LINE_BOOKS_MIN = 5  # so many books and more, all silent: not they are, their connection is
QUESTIONS_PART = 8  # of what a connection may say, for questions that silence raises
RESYNC_FIRST_S = 0.05
RESYNC_MAX_S = 30.0
RESYNC_QUIET_S = 5.0  # the first pause where the stream is silent: it may have nothing to say
RESYNC_WAIT_S = 3.0  # how long a fresh snapshot may take before it is asked for again

Touch = tuple[int, int, int, int]


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
        self.losses: dict[str, int] = {}  # books lost, by reason
        self._name = name
        self._feed = feed
        self._runtime = runtime
        self._lines = lines
        self._fetch = fetch
        self._tasks: dict[InstrumentId, asyncio.Task[None]] = {}
        self._ready: dict[InstrumentId, asyncio.Event] = {}
        self._patience: dict[InstrumentId, int] = {}
        self._heard: dict[InstrumentId, int] = {}  # when each book had changed, as last seen
        self._silent: dict[InstrumentId, Touch] = {}  # what stood there before the silence
        self._asked_at: dict[Line, Nanos] = {}
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
        before = self._silent.pop(instrument, None)
        if before is not None and before == self._touch(instrument):
            # Where nothing happened silence was no news: ask less and less often.
            patience = self._patience.get(instrument, STREAM_SILENCE_NS)
            self._patience[instrument] = min(SILENCE_MAX_NS, 2 * max(patience, 1))

    def lost(self, event: FeedLost) -> None:
        self.losses[event.reason] = self.losses.get(event.reason, 0) + 1
        if event.reason == "disconnected":
            task = self._tasks.get(event.instrument)
            if task is not None:
                task.cancel()  # the reconnect subscribes, and that brings a snapshot
            return
        log.warning(
            "feed lost", instrument=event.instrument, why=event.reason, detail=event.detail
        )
        if event.reason != "silent":  # the silent are asked about together, by `look_after`
            self._start(event.instrument, first=False)

    # Silence -------------------------------------------------------------------------------

    def look_after(self, now: Nanos) -> None:
        """Streams that stopped talking, however alive their socket."""
        if all(self._rests(instrument, now) for instrument in self._ready):
            return
        for line in self._lines.all:
            books = [i for i in line.instruments if i in self._ready]
            quiet = [i for i in books if not self._rests(i, now)]
            if not quiet:
                continue
            for instrument in quiet:
                if self._feed.books[instrument].known:
                    self._silent[instrument] = self._touch(instrument)
                    self._runtime.desk.silent(self._name, instrument, now)
            self._runtime.poke(now)
            self._ask_about(line, quiet, len(books), now)

    def _rests(self, instrument: InstrumentId, now: Nanos) -> bool:
        """Whether there is nothing to ask about a book: it talks, or is being fetched."""
        book = self._feed.books[instrument]
        if not book.known:
            return instrument not in self._silent or instrument in self._tasks
        heard = self._heard.get(instrument, 0)
        if book.at > heard:
            self._heard[instrument] = book.at
            if book.at - heard < STREAM_SILENCE_NS // 4 and instrument in self._patience:
                self._relax(instrument)
        return now - book.at <= self._patience.get(instrument, STREAM_SILENCE_NS)

    def _relax(self, instrument: InstrumentId) -> None:
        patience = self._patience[instrument]
        patience -= patience // RELAX_PART
        if patience > STREAM_SILENCE_NS:
            self._patience[instrument] = patience
        else:
            del self._patience[instrument]

    def _ask_about(
        self, line: Line, quiet: Sequence[InstrumentId], books: int, now: Nanos
    ) -> None:
        """In few words: a venue counts them, and it may be that simply nothing happens."""
        if not line.ready:
            return  # the reconnect brings them all
        pause = int(2 * QUESTIONS_PART * SECOND / line.spec.requests_per_second)
        if now < self._asked_at.get(line, -pause) + pause:
            return
        self._asked_at[line] = now
        self.count += len(quiet)
        if len(quiet) == books >= LINE_BOOKS_MIN:
            line.connection.cut("all its streams are silent")
            return
        for instrument in quiet:
            if self._feed.snapshot(instrument) is not None:
                self._start(instrument, first=True)
        texts = [t for t in line.topics if t.is_book and t.instrument in quiet]
        anew = [t for t in texts if t.instrument not in self._tasks]
        if anew:
            work = self._ask_anew(line, anew)
            task = self._runtime.spawn(work, f"{self._name} asks about silence")
            for topic in anew:
                self._hold(topic.instrument, task)

    async def _ask_anew(self, line: Line, topics: Sequence[Topic]) -> None:
        """A fresh snapshot of several books at once; who gets none is fetched alone."""
        try:
            for batch in requests(line.spec, topics):
                await self._lines.ask_anew(line, batch)
        except (TimeoutError, ConnectionError) as error:
            log.warning("resync failed", topics=len(topics), why=str(error))
        for topic in topics:
            self._tasks.pop(topic.instrument, None)
            if not self._feed.books[topic.instrument].known:
                self._start(topic.instrument, first=True)

    def _touch(self, instrument: InstrumentId) -> Touch:
        book = self._feed.books[instrument]
        return book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots

    # Work ----------------------------------------------------------------------------------

    def _start(self, instrument: InstrumentId, *, first: bool) -> None:
        if self._closing or instrument not in self._ready or instrument in self._tasks:
            return
        work = self._until_known(instrument, first=first)
        task = self._runtime.spawn(work, f"resync {instrument}")
        self._hold(instrument, task)

    def _hold(self, instrument: InstrumentId, task: asyncio.Task[None]) -> None:
        self._tasks[instrument] = task

        def done(ended: asyncio.Task[None]) -> None:
            if self._tasks.get(instrument) is ended:
                del self._tasks[instrument]

        task.add_done_callback(done)

    async def _until_known(self, instrument: InstrumentId, *, first: bool) -> None:
        """A snapshot within the budget, or a fresh subscription, until the book is known."""
        # Some books are proven by the stream's next word alone, and that may take its time.
        delay = RESYNC_QUIET_S if instrument in self._silent else RESYNC_FIRST_S
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
                    await self._lines.ask_anew(line, [topic])
                async with asyncio.timeout(RESYNC_WAIT_S):
                    await ready.wait()
            except (TimeoutError, ConnectionError) as error:
                log.warning("resync failed", instrument=instrument, why=str(error))
            if not first:
                self.count += 1
            first = False
            if not self._feed.books[instrument].known:
                await asyncio.sleep(delay)
                delay = min(RESYNC_MAX_S, delay * 2)

"""Binance's public side: instruments, order books proven by sequence, trades, marks, touches."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec

from oneprice.kernel import Book, DepthFormat, DepthReader, OffGrid, Outcome, Tripwires
from oneprice.model.events import BookReady, FeedLost, InstrumentListed, WireTripped
from oneprice.model.instrument import Instrument, instrument_id, split_id
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.binance import history, listing
from oneprice.venues.binance.allowances import Allowances
from oneprice.venues.binance.answers import Reply, over_http, rate_ack, rejected
from oneprice.venues.binance.evening import Evening
from oneprice.venues.binance.facts import PRODUCTS, SPEC, VENUE, Product
from oneprice.venues.binance.frames import (
    Envelope,
    ErrorBody,
    ExchangeInfo,
    FundingInterval,
    Listed,
    ServerTime,
    Snapshot,
)
from oneprice.venues.binance.listing import (
    DEFAULT_INTERVAL_HOURS,
    Unlistable,
    get,
    instrument_from,
)
from oneprice.venues.binance.numbers import UNREADABLE
from oneprice.venues.binance.public import CLOSING, PAYLOADS, stream_kind
from oneprice.venues.binance.refusals import Verdict
from oneprice.venues.contract import (
    Ack,
    Answer,
    HistoryWanted,
    Output,
    Request,
    Topic,
    Wanted,
    listing_asked,
    symbols_of,
)

FRAMES_KEPT_MAX = 4_000  # per book while its snapshot is awaited: over a minute at full rate
SNAPSHOT_LEVELS = 1_000

_OTHER, _APPLIED = int(Outcome.OTHER), int(Outcome.APPLIED)
_STALE, _UNSYNCED = int(Outcome.STALE), int(Outcome.UNSYNCED)
_UNKNOWN, _GAP, _OFF_GRID = int(Outcome.UNKNOWN), int(Outcome.GAP), int(Outcome.OFF_GRID)
_LOST = {
    _GAP: "gap",
    int(Outcome.CROSSED): "crossed",
    int(Outcome.MALFORMED): "malformed",
    _OFF_GRID: "off_grid",
}
_SPAN = DepthFormat(
    kind_key="e",
    kind_prefix="depthUpdate",
    name_key="s",
    first_key="U",
    last_key="u",
    bids_key="b",
    asks_key="a",
    stamp_key="E",
    rule="span",
)
_LINKED = msgspec.structs.replace(_SPAN, previous_key="pu", rule="linked")
_FORMATS = {"span": _SPAN, "linked": _LINKED}

_envelope = msgspec.json.Decoder(Envelope)
_snapshot = msgspec.json.Decoder(Snapshot)
_listed = msgspec.json.Decoder(Listed)


class _Line:
    """One book on its way to proof: the frames and the snapshot that wait for each other."""

    __slots__ = ("book", "frames", "item", "ready", "snapshot")

    def __init__(self, item: Instrument) -> None:
        self.item = item
        self.book = Book(item.tick, item.lot)
        self.frames: list[tuple[bytes, Nanos]] = []
        self.snapshot: Snapshot | None = None
        self.ready = False


class BinanceFeed:
    """Public frames of all three products in, events out; `listed` is shared with the trade side.

    A book is ready only when at least one event of its stream has met the snapshot: the document
    demands it, and a REST answer alone may be older than the stream (protocol reference 6.1,
    10.1).
    """

    spec = SPEC

    def __init__(self, wires: Tripwires) -> None:
        self.listed: dict[InstrumentId, Instrument] = {}
        self.books: dict[InstrumentId, Book] = {}
        self.wires = wires
        self._lines: dict[InstrumentId, _Line] = {}
        self._readers = {p.public: DepthReader(_FORMATS[p.rule]) for p in PRODUCTS.values()}
        self._market_of = {each.name: each.market for each in SPEC.sockets}
        self._evenings = {product.public: Evening() for product in PRODUCTS.values()}
        self._hours: dict[InstrumentId, int] = {}
        self._asked: dict[tuple[str, str], bool] = {}  # control message -> on or off
        self._clock = PRODUCTS["usdm"]
        self._ahead_ms = 0  # the venue's clock, of ours
        self._allowances = Allowances()
        self._unknown: dict[InstrumentId, None] = {}  # the venue said that it has no such symbol
        self._next: list[Request] = []

    # Requests ---------------------------------------------------------------------------

    def instruments(
        self, markets: Sequence[str], only: Sequence[InstrumentId] = ()
    ) -> Sequence[Request]:
        """What is listed, and which contracts settle funding at other than eight hours."""
        requests: list[Request] = []
        for product in (PRODUCTS[market] for market in markets):
            symbols = symbols_of(product.market, only)
            if only and not symbols:
                continue
            requests += listing.questions(product, symbols, self._unknown)
            if product.intervals_path:
                cost = (("funding_info", 1),)
                tag = f"instruments_intervals:{product.market}"
                requests.append(get(product, tag, product.intervals_path, cost))
        if markets:
            self._clock = PRODUCTS[markets[0]]
        return requests

    def clock(self) -> Request:
        """The server time of the first market that was asked for; each product has its own."""
        product = self._clock
        return get(product, "clock", f"{product.api}/time", ((product.weight, 1),))

    def snapshot(self, instrument: InstrumentId) -> Request | None:
        _, market, symbol = split_id(instrument)
        product = PRODUCTS[market]
        return msgspec.structs.replace(
            get(
                product,
                f"snapshot:{instrument}",
                f"{product.api}/depth",
                ((product.weight, product.snapshot_weight),),
            ),
            query=f"symbol={quote(symbol)}&limit={SNAPSHOT_LEVELS}",
        )

    def history(self, wanted: HistoryWanted) -> Sequence[Request]:
        """The oldest page of a range; ValueError for what this venue keeps no past of."""
        return (history.question(wanted, self._item(wanted.instrument)),)

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self.listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r}: not listed by {VENUE}")
        return item

    def door(self, socket: str) -> Sequence[Request]:
        """Nothing: every public address is known beforehand."""
        return ()

    def topics(self, wanted: Iterable[Wanted]) -> Sequence[Topic]:
        """Streams of the wanted instruments; ValueError where one is not listed."""
        topics: list[Topic] = []
        for want in wanted:
            item = self._item(want.instrument)
            product = PRODUCTS[item.market]
            streams = []
            if want.book:
                self._open_line(item, product)
                topics.append(_topic(product.public, item, "depth@100ms", True))
            if want.ticker:
                streams.append((product.public, "bookTicker"))
                if product.mark and item.is_derivative:
                    streams.append((product.market_data, product.mark))
            if want.trades:
                streams.append((product.market_data, product.trades))
            for length_ms in want.candles_ms:
                name = f"kline_{history.interval(length_ms, item.market)}"
                streams.append((product.market_data, name))
            topics.extend(_topic(socket, item, stream, False) for socket, stream in streams)
        return topics

    def subscribe(self, topics: Sequence[Topic], request_id: int, *, on: bool) -> bytes:
        """The control message for topics of one socket."""
        if topics:
            self._asked[(topics[0].socket, str(request_id))] = on
        method = "SUBSCRIBE" if on else "UNSUBSCRIBE"
        params = [topic.text for topic in topics]
        return msgspec.json.encode({"method": method, "params": params, "id": request_id})

    def _open_line(self, item: Instrument, product: Product) -> None:
        if item.id not in self._lines:
            line = self._lines[item.id] = _Line(item)
            self.books[item.id] = line.book
            self._readers[product.public].register(item.symbol, line.book)
            if product.leftovers:
                self._evenings[product.public].register(item.symbol, line.book)

    # Frames -----------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        """Events of one public frame; never raises, what cannot be read is FrameRejected."""
        reader = self._readers.get(socket)
        if reader is not None:
            outcome = reader.feed(self._evenings[socket].frame(frame), at)
            if outcome != _OTHER:
                line = self._line(socket, reader.name)
                if outcome == _APPLIED and line is not None and line.ready:
                    return self._tripped(at) if self.wires.pending else ()
                return self._depth(socket, line, outcome, frame, at)
        try:
            return self._other(socket, _envelope.decode(frame), frame, at)
        except UNREADABLE as error:
            return (rejected(socket, f"{type(error).__name__}: {error}", frame, at),)

    def _line(self, socket: str, symbol: str) -> _Line | None:
        return self._lines.get(f"{VENUE}:{self._market_of[socket]}:{symbol}")

    def _depth(
        self, socket: str, line: _Line | None, outcome: int, frame: bytes, at: Nanos
    ) -> Sequence[Output]:
        """Everything a depth frame can mean besides moving a proven book."""
        if outcome == _UNKNOWN:
            return ()  # unsubscribed a moment ago
        if line is None:
            return (rejected(socket, "malformed depth frame without a name", frame, at),)
        if outcome == _UNSYNCED:
            return self._keep(line, frame, at)
        if outcome == _GAP:
            line.frames.append((frame, at))  # the first of the new run
        if outcome == _OFF_GRID:  # it may be only a leftover: looked at from now on
            line.frames = [*line.frames, (frame, at)][-FRAMES_KEPT_MAX:]
            self._evenings[socket].register(line.item.symbol, line.book)
        if outcome in _LOST:
            reader = self._readers[socket]
            detail = f"first {reader.first}, previous {reader.previous}, last {reader.last}"
            return (self._lose(line, _LOST[outcome], detail, at),)
        return ()  # stale: older than the snapshot

    def _keep(self, line: _Line, frame: bytes, at: Nanos) -> Sequence[Output]:
        if len(line.frames) >= FRAMES_KEPT_MAX:
            line.frames.clear()
            detail = f"no snapshot within {FRAMES_KEPT_MAX} frames"
            return (self._lose(line, "gap", detail, at),)
        line.frames.append((frame, at))
        return self._join(line, at) if line.snapshot is not None else ()

    def _join(self, line: _Line, at: Nanos) -> Sequence[Output]:
        """Put the snapshot down and play back what came before it; ready when all of it fits."""
        snapshot, line.snapshot = line.snapshot, None
        frames, line.frames = line.frames, []
        assert snapshot is not None
        socket = PRODUCTS[line.item.market].public
        reader, evening = self._readers[socket], self._evenings[socket]
        try:
            bids = evening.side(snapshot.bids, line.item.symbol, line.book)
            asks = evening.side(snapshot.asks, line.item.symbol, line.book)
            line.book.snapshot(bids, asks, frames[0][1], snapshot.lastUpdateId)
        except UNREADABLE as error:
            line.book.lose()
            line.frames = frames
            reason = "off_grid" if isinstance(error, OffGrid) else "malformed"
            return (self._lose(line, reason, f"snapshot: {error}", at),)
        if line.book.crossed:
            line.frames = frames
            return (self._lose(line, "crossed", "snapshot", at),)
        for place, (frame, received) in enumerate(frames):
            outcome = reader.feed(evening.frame(frame), received)
            if outcome in _LOST:
                # What follows a gap is still a run of its own for the next snapshot.
                line.frames = frames[place + (outcome != _GAP) :]
                detail = f"snapshot {snapshot.lastUpdateId}, first {reader.first}"
                return (self._lose(line, _LOST[outcome], detail, at),)
        line.ready = True
        return (BookReady(at=at, instrument=line.item.id), *self._tripped(at))

    def _lose(self, line: _Line, reason: str, detail: str, at: Nanos) -> FeedLost:
        line.ready = False
        line.snapshot = None
        return FeedLost(at=at, instrument=line.item.id, reason=reason, detail=detail)

    def _tripped(self, at: Nanos) -> list[Output]:
        return [WireTripped(at=at, wire=number) for number in self.wires.drain()]

    def _other(self, socket: str, envelope: Envelope, frame: bytes, at: Nanos) -> Sequence[Output]:
        kind = stream_kind(envelope, frame)
        if kind in CLOSING:
            return (Ack(socket=socket, kind="closing", text=kind),)
        if not kind:
            return (self._control(socket, envelope, frame, at),)
        read = PAYLOADS.get(kind)
        if read is None:
            return (rejected(socket, f"unknown stream {kind!r}", frame, at),)
        payload = envelope.data if envelope.stream else frame
        return read(payload, self._market_of[socket], self.listed, at)

    def _control(self, socket: str, envelope: Envelope, frame: bytes, at: Nanos) -> Output:
        failed = envelope.code is not None or bytes(envelope.error) not in (b"", b"null")
        if envelope.id is None and not failed:
            return rejected(socket, "neither payload nor answer", frame, at)
        text = envelope.msg
        if failed and envelope.code is None:
            text = msgspec.json.decode(envelope.error, type=ErrorBody).msg
        request_id = "" if envelope.id is None else str(envelope.id)
        on = self._asked.pop((socket, request_id), True)
        return Ack(
            socket=socket,
            kind="subscribe" if on else "unsubscribe",
            ok=not failed,
            request_id=request_id,
            text=text,
        )

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Events of an HTTP answer; a snapshot that did not come is FeedLost again."""
        kind, _, rest = answer.tag.partition(":")
        line = self._lines.get(rest) if kind == "snapshot" else None
        market = self._clock.market
        if kind.startswith("instruments"):
            market = rest.partition(":")[0]
        elif kind == "history":
            market = answer.tag.split(":")[6]
        reply = over_http(answer, line.item.market if line else market)
        outputs: list[Output] = [*rate_ack(reply, at)]
        try:
            if kind == "instruments" and reply.verdict is Verdict.REFUSED and ":" in rest:
                outputs.extend(self._not_listed(reply, at))
            elif reply.verdict is not Verdict.DONE:
                reason = reply.text or f"status {reply.status}"
                outputs.append(self._unanswered(line, answer, reason, at))
            elif kind == "snapshot":
                outputs.extend(self._snapshot_came(line, answer.body, at))
            elif kind == "instruments":
                outputs.extend(self._listing(answer.tag, answer.body, at))
            elif kind == "history":
                outputs.extend(self._page(answer, at))
            elif kind == "instruments_intervals":
                outputs.extend(self._intervals(rest, answer.body, at))
            else:
                now = msgspec.json.decode(answer.body, type=ServerTime).serverTime
                self._ahead_ms = now - at // MILLI
                outputs.append(Ack(socket="", kind="clock", text=str(now)))
        except UNREADABLE as error:
            outputs.append(self._unanswered(line, answer, str(error), at))
        return outputs

    def _unanswered(self, line: _Line | None, answer: Answer, reason: str, at: Nanos) -> Output:
        if line is None or line.ready:  # a proven book needs no snapshot
            return rejected("", f"{answer.tag}: {reason}", answer.body, at)
        word = "refused" if answer.status else "silent"
        return self._lose(line, word, f"snapshot: {reason}", at)

    def _snapshot_came(self, line: _Line | None, body: bytes, at: Nanos) -> Sequence[Output]:
        if line is None or line.ready:
            return ()  # nobody waits for it, and a proven book is newer
        line.snapshot = _snapshot.decode(body)
        return self._join(line, at) if line.frames else ()

    def _listing(self, tag: str, body: bytes, at: Nanos) -> list[Output]:
        market, asked = listing_asked(tag)
        product = PRODUCTS[market]
        info = msgspec.json.decode(body, type=ExchangeInfo)
        outputs: list[Output] = [*self._allowances.stated(product.market, info.rateLimits)]
        mine = (item for item in self.listed.values() if item.market == market)
        missing = dict(asked) or {item.symbol: None for item in mine if item.tradable}
        for raw in listing.picked(info.symbols, asked):
            try:
                entry = _listed.decode(raw)
                name = instrument_id(VENUE, product.market, entry.symbol)
                hours = self._hours.get(name, DEFAULT_INTERVAL_HOURS)
                item = instrument_from(entry, product, hours)
            except (*UNREADABLE, Unlistable) as error:
                outputs.append(rejected(product.rest, f"listing: {error}", raw, at))
                continue
            if item is not None:
                missing.pop(item.symbol, None)
                outputs.extend(self._list(item, at))
        for symbol in missing:
            outputs.extend(self._gone(market, symbol, at))
        return outputs

    def _not_listed(self, reply: Reply, at: Nanos) -> list[Output]:
        """A no to symbols asked for by name: of many, the one it was said for is looked for."""
        market, asked = listing_asked(reply.tag)
        unknown = reply.word == "no_such_instrument"
        if len(asked) > 1 and (unknown or reply.word == "bad_parameter"):
            self._next += listing.halves(PRODUCTS[market], list(asked))
            return []
        if not unknown:
            return [rejected("", f"{reply.tag}: {reply.text}", reply.body, at)]
        (symbol,) = asked
        self._unknown[instrument_id(VENUE, market, symbol)] = None
        return self._gone(market, symbol, at)

    def _gone(self, market: str, symbol: str, at: Nanos) -> list[Output]:
        """The venue has no such symbol: whatever we have of it, nobody trades it there."""
        item = self.listed.get(instrument_id(VENUE, market, symbol))
        if item is None:
            reason = "listing: a symbol that is not listed"
            return [rejected(PRODUCTS[market].rest, reason, symbol.encode(), at)]
        if not item.tradable:
            return []
        return self._list(msgspec.structs.replace(item, tradable=False), at)

    def _intervals(self, market: str, body: bytes, at: Nanos) -> list[Output]:
        outputs: list[Output] = []
        for row in msgspec.json.decode(body, type=list[FundingInterval]):
            name = instrument_id(VENUE, market, row.symbol)
            self._hours[name] = row.fundingIntervalHours
            item = self.listed.get(name)
            interval_ms = row.fundingIntervalHours * 3_600_000
            if item is not None and item.funding_interval_ms not in (0, interval_ms):
                changed = msgspec.structs.replace(item, funding_interval_ms=interval_ms)
                outputs.extend(self._list(changed, at))
        return outputs

    def recalled(self, instrument: Instrument, at: Nanos) -> Sequence[Output]:
        """What an earlier start knew, and this list of the venue has no more: it can be said and
        read, but is not tradable."""
        if instrument.id in self.listed:
            return ()
        return self._list(msgspec.structs.replace(instrument, tradable=False), at)

    def _list(self, item: Instrument, at: Nanos) -> list[Output]:
        self.listed[item.id] = item
        if item.tradable:
            self._unknown.pop(item.id, None)
        outputs: list[Output] = [InstrumentListed(at=at, instrument=item)]
        line = self._lines.get(item.id)
        if line is not None and (line.item.tick, line.item.lot) != (item.tick, item.lot):
            # Ticks of the old book mean other prices now: it stays lost, a new one begins.
            line.book.lose()
            del self._lines[item.id]
            self._open_line(item, PRODUCTS[item.market])
            outputs.append(
                FeedLost(at=at, instrument=item.id, reason="off_grid", detail="the grid changed")
            )
        return outputs

    def follow_ups(self) -> Sequence[Request]:
        """Further pages that answers made necessary; ask after each `answered`."""
        out, self._next = self._next, []
        return out

    def _page(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        item = self._item(answer.tag.split(":", 5)[5])
        there_ms = at // MILLI + self._ahead_ms
        events, more = history.page(answer.tag, item, answer.body, at, there_ms)
        if more is not None:
            self._next.append(more)
        return events

    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]:
        """The stream of this book stopped talking, however alive its socket is."""
        line = self._lines[instrument]
        line.book.lose()
        line.frames.clear()
        return (self._lose(line, "silent", "", at),)

    def dropped(self, instruments: Sequence[InstrumentId], at: Nanos) -> Sequence[Output]:
        """The connection is gone and with it the proof of every book on it."""
        lost: list[Output] = []
        for name in instruments:
            line = self._lines.get(name)
            if line is not None:
                line.book.lose()
                line.frames.clear()
                lost.append(self._lose(line, "disconnected", "", at))
        return lost


def _topic(socket: str, item: Instrument, stream: str, is_book: bool) -> Topic:
    return Topic(socket, f"{item.symbol.lower()}@{stream}", item.id, is_book)

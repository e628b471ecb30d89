"""Bybit's public side: books proven by their sequence, tickers merged, trades, candles.

Source: Bybit v5 docs, public stream "Orderbook", "Ticker", "Trade", "Kline". The docs leave open
whether `u` always grows by one; recordings show that it does, and a jump is treated as a loss.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from oneprice.kernel import Book, DepthFormat, DepthReader, Outcome, Tripwires
from oneprice.model.commands import Priority
from oneprice.model.events import (
    AnyEvent,
    BookReady,
    FeedLost,
    InstrumentListed,
    MarketTraded,
    WireTripped,
)
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.bybit import DEPTHS, NAME, SPEC, history
from oneprice.venues.bybit.account import side_of
from oneprice.venues.bybit.acks import control
from oneprice.venues.bybit.instruments import instrument, known
from oneprice.venues.bybit.rest import Failed, get, page_after, paused_by, read, told, unread
from oneprice.venues.bybit.tickers import Tickers, candle
from oneprice.venues.bybit.wire import (
    CANDLES,
    ENVELOPE,
    INSTRUMENT,
    PAGE,
    SERVER_TIME,
    TICKER,
    TRADES,
    UNREADABLE,
    Envelope,
    Reply,
    Symbol,
    decimal,
    excerpt,
    whole,
)
from oneprice.venues.contract import (
    Ack,
    Answer,
    HistoryWanted,
    Output,
    Request,
    Topic,
    Wanted,
    listing_asked,
    listing_tag,
    names_in,
    symbols_of,
)

# The whole topic names the book: a frame of another depth of the same symbol must never touch it.
FORMAT = DepthFormat(
    kind_key="topic",
    kind_prefix="orderbook.",
    name_key="topic",
    snapshot_key="type",
    snapshot_value="snapshot",
    last_key="u",
    bids_key="b",
    asks_key="a",
    stamp_key="cts",
    rule="plus_one",
    restart_at=1,  # the venue's service restarted: the content is a snapshot
)
_APPLIED, _REPLACED = int(Outcome.APPLIED), int(Outcome.REPLACED)
_IGNORED = (int(Outcome.STALE), int(Outcome.UNSYNCED))
_LOST: Mapping[int, str] = {
    int(Outcome.GAP): "gap",
    int(Outcome.CROSSED): "crossed",
    int(Outcome.MALFORMED): "malformed",
    int(Outcome.OFF_GRID): "off_grid",
}
_PAGE_ROWS = 1000
_NAMED_MAX = 10  # a question names one symbol; more of them cost more than the whole list
_SYMBOL = msgspec.json.Decoder(Symbol)


class BybitFeed:
    """The public sockets of one set of markets; `listed` grows with the answers."""

    spec = SPEC

    def __init__(self, wires: Tripwires) -> None:
        self.wires = wires
        self.listed: dict[InstrumentId, Instrument] = {}
        self.books: dict[InstrumentId, Book] = {}
        self._readers = {market: DepthReader(FORMAT) for market in SPEC.markets}
        self._fed: dict[tuple[str, str], InstrumentId] = {}  # (socket, topic) of every book
        self._depths: dict[InstrumentId, int] = {}
        self._shallow: dict[InstrumentId, None] = {}  # books of depth 1
        self._tickers = Tickers()
        self._seen: dict[str, dict[str, None]] = {}  # symbols of the pages so far, by tag
        self._next: list[Request] = []

    # Out --------------------------------------------------------------------------------

    def instruments(
        self, markets: Sequence[str], only: Sequence[InstrumentId] = ()
    ) -> Sequence[Request]:
        """One question for each market, or for each of a few of its symbols; pages beyond the
        first come from `follow_ups`."""
        for market in markets:
            if market not in SPEC.markets:
                raise ValueError(f"market: expected one of {SPEC.markets}, found {market!r}")
        requests: list[Request] = []
        for market in markets:
            symbols = symbols_of(market, only)
            if only and not symbols:
                continue
            if 0 < len(symbols) <= _NAMED_MAX:
                requests += [_listing(market, (symbol,), symbol) for symbol in symbols]
                continue
            requests.append(_listing(market, symbols))
        return requests

    def follow_ups(self) -> Sequence[Request]:
        """Further pages that answers made necessary; ask after each `answered`."""
        out, self._next = self._next, []
        return out

    def topics(self, wanted: Iterable[Wanted]) -> Sequence[Topic]:
        """Topics and their sockets; ValueError for an instrument that was never listed.

        Spot tickers carry neither touch nor mark, so none is taken there.
        """
        out: dict[tuple[str, str], Topic] = {}
        for want in wanted:
            item = self._item(want.instrument)
            texts = []
            if want.book:
                texts.append((f"orderbook.{self._depth(item, want.depth)}.{item.symbol}", True))
            if want.trades:
                texts.append((f"publicTrade.{item.symbol}", False))
            if want.ticker and item.is_derivative:
                texts.append((f"tickers.{item.symbol}", False))
            for length_ms in want.candles_ms:
                texts.append((f"kline.{history.interval(length_ms)}.{item.symbol}", False))
            for text, is_book in texts:
                out[item.market, text] = Topic(item.market, text, item.id, is_book)
        return list(out.values())

    def _depth(self, item: Instrument, least: int) -> int:
        """The depth of the instrument's one book, made on first use."""
        depth = next((there for there in DEPTHS if there >= least), DEPTHS[-1])
        had = self._depths.setdefault(item.id, depth)
        if had < depth:
            raise ValueError(f"{item.id}: depth {depth} wanted, but its book has depth {had}")
        if item.id not in self.books:
            self._shelve(item)
        return had

    def _shelve(self, item: Instrument) -> None:
        depth = self._depths[item.id]
        book = Book(item.tick, item.lot, depth)
        text = f"orderbook.{depth}.{item.symbol}"
        self.books[item.id] = book
        if depth == 1:
            self._shallow[item.id] = None
        self._fed[item.market, text] = item.id
        self._readers[item.market].register(text, book)

    def subscribe(self, topics: Sequence[Topic], request_id: int, *, on: bool) -> bytes:
        return msgspec.json.encode(
            {
                "req_id": str(request_id),
                "op": "subscribe" if on else "unsubscribe",
                "args": [topic.text for topic in topics],
            }
        )

    def snapshot(self, instrument: InstrumentId) -> Request | None:
        """None: a fresh subscription begins with a snapshot."""
        return None

    def history(self, wanted: HistoryWanted) -> Sequence[Request]:
        """The newest page of a range; ValueError for what this venue keeps no past of."""
        return (history.question(wanted, self._item(wanted.instrument)),)

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self.listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r} was never listed")
        return item

    def door(self, socket: str) -> Sequence[Request]:
        """Nothing: every public address is known beforehand."""
        return ()

    def clock(self) -> Request:
        return get("/v5/market/time", {}, "clock", "", Priority.DATA)

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        reader = self._readers.get(socket)
        if reader is None:
            return (unread(socket, "unknown socket", excerpt(frame), at),)
        repeats = bool(self._shallow) and self._is_known(socket, frame)
        outcome = reader.feed(frame, at)
        if outcome == _APPLIED or (repeats and outcome == _REPLACED):
            return self._tripped(at) if self.wires.pending else ()
        if outcome == _REPLACED:
            ready = BookReady(at=at, instrument=self._fed[socket, reader.name])
            return (ready, *self._tripped(at)) if self.wires.pending else (ready,)
        if outcome in _IGNORED:
            return ()  # what came of it was told by the FeedLost before
        if outcome in _LOST:
            instrument = self._fed.get((socket, reader.name))
            if instrument is not None:
                detail = f"u={reader.last}"
                return (
                    FeedLost(at=at, instrument=instrument, reason=_LOST[outcome], detail=detail),
                )
        return self._plain(socket, frame, at)

    def _is_known(self, socket: str, frame: bytes) -> bool:
        """Depth 1 is nothing but snapshots, a hundred a second: only the first makes it ready."""
        topic = frame[:80].partition(b'"topic":"')[2].partition(b'"')[0]
        name = self._fed.get((socket, topic.decode("ascii", "replace")), "")
        return name in self._shallow and self.books[name].known

    def _tripped(self, at: Nanos) -> Sequence[WireTripped]:
        return [WireTripped(at=at, wire=wire) for wire in self.wires.drain()]

    def _plain(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        """Everything that is not for a book."""
        try:
            message = ENVELOPE.decode(frame)
            match message.topic.partition(".")[0]:
                case "tickers":
                    row = TICKER.decode(message.data)
                    item = known(self.listed, socket, row.symbol)
                    return self._tickers.take(item, row, message, at)
                case "publicTrade":
                    return self._traded(socket, message, at)
                case "kline":
                    symbol = message.topic.rpartition(".")[2]
                    item = known(self.listed, socket, symbol)
                    rows = CANDLES.decode(message.data)
                    return [candle(item, row, at) for row in rows if row.confirm]
                case "":
                    return (control(socket, message),)
            raise ValueError(f"unknown topic {message.topic[:40]!r}")
        except UNREADABLE as error:
            return (unread(socket, "malformed", f"{error} | {excerpt(frame)}", at),)

    def _traded(self, socket: str, message: Envelope, at: Nanos) -> Sequence[AnyEvent]:
        events = []
        for row in TRADES.decode(message.data):
            if row.BT:
                continue  # block trades are agreed off the book
            item = known(self.listed, socket, row.s)
            events.append(
                MarketTraded(
                    at=at,
                    instrument=item.id,
                    ticks=item.ticks(decimal(row.p)),
                    lots=item.lots(decimal(row.v)),
                    side=side_of(row.S),
                    trade_id=row.i,
                    venue_ms=row.T,
                )
            )
        return events

    def dropped(self, instruments: Sequence[InstrumentId], at: Nanos) -> Sequence[Output]:
        """Their books are lost, and their tickers begin anew with snapshots."""
        lost = []
        for name in instruments:
            self._tickers.forget(name)
            book = self.books.get(name)
            if book is not None:
                book.lose()
                lost.append(FeedLost(at=at, instrument=name, reason="disconnected"))
        return lost

    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]:
        """The stream of this book stopped talking, however alive its socket is."""
        self.books[instrument].lose()
        return (FeedLost(at=at, instrument=instrument, reason="silent"),)

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        reply = read(answer)
        if isinstance(reply, Failed):
            if reply.reason == "no_such_instrument" and len(names_in(answer.tag)) == 1:
                return self._missing(answer.tag, {}, at)
            return [told(answer, reply, at), *paused_by(reply, answer, "ip", at)]
        kind = answer.tag.partition(":")[0]
        try:
            if kind == "clock":
                return (_clock(reply),)
            if kind == "instruments":
                return self._load(answer.tag, reply, at)
            if kind == "history":
                return self._page(answer.tag, reply, at)
            raise ValueError(f"answer to no question: {answer.tag[:40]!r}")
        except UNREADABLE as error:
            return (unread(kind, "malformed", f"{error} | {excerpt(answer.body)}", at),)

    def _page(self, tag: str, reply: Reply, at: Nanos) -> Sequence[Output]:
        item = self._item(tag.split(":", 4)[4])
        events, more = history.page(tag, item, reply, at)
        if more is not None:
            self._next.append(more)
        return events

    def _load(self, tag: str, reply: Reply, at: Nanos) -> Sequence[Output]:
        market, asked = listing_asked(tag)
        page = PAGE.decode(reply.result)
        out: list[Output] = []
        seen = self._seen.setdefault(tag, {})
        for raw in page.list:
            try:
                if asked and _SYMBOL.decode(raw).symbol not in asked:
                    continue
                item = instrument(market, INSTRUMENT.decode(raw))
            except UNREADABLE as error:
                shown = f"{market}: {error} | {excerpt(raw)}"
                out.append(unread("instruments", "unreadable_row", shown, at))
                continue
            seen[item.symbol] = None
            out += self._list(item, at)
        if page.next_page_cursor and len(page.list) >= _PAGE_ROWS:
            # Only whole lists are so long, whoever of them is looked for.
            self._next.append(page_after(_listing(market, tuple(asked)), page.next_page_cursor))
            return out
        del self._seen[tag]
        return [*out, *self._missing(tag, seen, at)]

    def _missing(self, tag: str, seen: Mapping[str, None], at: Nanos) -> Sequence[Output]:
        """Only what trades is in the answer: whoever was asked for and is not has stopped."""
        market, asked = listing_asked(tag)
        mine = (item for item in self.listed.values() if item.market == market)
        wanting = asked or {item.symbol: None for item in mine if item.tradable}
        out: list[Output] = []
        for symbol in wanting:
            item = self.listed.get(instrument_id(NAME, market, symbol))
            if symbol in seen or (item is not None and not item.tradable):
                continue
            if item is None:
                out.append(unread("instruments", "not_listed", f"{market}:{symbol}", at))
            else:
                out += self._list(msgspec.structs.replace(item, tradable=False), at)
        return out

    def recalled(self, instrument: Instrument, at: Nanos) -> Sequence[AnyEvent]:
        """What an earlier start knew, and this list of the venue has no more: it can be said and
        read, but is not tradable."""
        if instrument.id in self.listed:
            return ()
        return self._list(msgspec.structs.replace(instrument, tradable=False), at)

    def _list(self, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
        had = self.listed.get(item.id)
        self.listed[item.id] = item
        listed = InstrumentListed(at=at, instrument=item)
        if had is None or (had.tick, had.lot) == (item.tick, item.lot):
            return (listed,)
        if item.id not in self.books:
            return (listed,)
        # A book counts in the old grid: nobody may read it with the new one.
        self.books[item.id].lose()
        self._shelve(item)
        lost = FeedLost(at=at, instrument=item.id, reason="off_grid", detail="new tick or lot")
        return (listed, lost)


def _listing(market: str, symbols: Sequence[str], named: str = "") -> Request:
    """The question for a market's list, of which `symbols` are wanted; or for one by name."""
    # Spot knows no pages and is asked without a limit.
    limit = "" if named or market == "spot" else str(_PAGE_ROWS)
    params = {"category": market, "symbol": named, "limit": limit}
    tag = listing_tag(market, symbols)
    return get("/v5/market/instruments-info", params, tag, "", Priority.DATA)


def _clock(reply: Reply) -> Ack:
    venue_ms = reply.time or whole(SERVER_TIME.decode(reply.result).time_nano) // MILLI
    return Ack(socket="", kind="clock", text=str(venue_ms))

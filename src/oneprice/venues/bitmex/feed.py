"""BitMEX's public side: books told by table diffs, merged tickers, trades, bars, the past.

Source: protocol document, sections 5 and 8 to 10.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from oneprice.kernel import Book, Tripwires
from oneprice.model.events import AnyEvent, FeedLost, InstrumentListed, WireTripped
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.bitmex import MARKET, NAME, SPEC
from oneprice.venues.bitmex.acks import Acks
from oneprice.venues.bitmex.books import FULL, NARROW, Books
from oneprice.venues.bitmex.history import History
from oneprice.venues.bitmex.listing import instrument, is_ours, known
from oneprice.venues.bitmex.rest import Allowances, failure, get, pauses, told, unread
from oneprice.venues.bitmex.tickers import BARS, Tickers, candle, touch, traded
from oneprice.venues.bitmex.wire import (
    BIN,
    FRAME,
    INSTRUMENT,
    QUOTE,
    ROOT,
    ROWS,
    TICKER,
    TRADE,
    UNREADABLE,
    Frame,
    TickerRow,
    excerpt,
    moment_ms,
)
from oneprice.venues.contract import (
    Ack,
    Answer,
    HistoryWanted,
    Output,
    Request,
    Topic,
    Wanted,
    listing_tag,
    names_in,
    symbols_of,
)

_SOCKET = "public"
_BAR_LENGTHS = {f"tradeBin{name}": length for length, name in BARS.items()}
# Tables without keys: their partial is what happened before, not news.
_LOGS = ("trade", *_BAR_LENGTHS)
_TABLES = ("instrument", "quote", *_LOGS)
_HISTORIES_MAX = 256
_NAMED_MAX = 100  # rows of an answer where no number is named


class BitmexFeed:
    """The public sockets; `listed` grows with the answers."""

    spec = SPEC

    def __init__(self, wires: Tripwires) -> None:
        self.wires = wires
        self.listed: dict[InstrumentId, Instrument] = {}
        self._books = Books()
        self._tickers = Tickers()
        self._acks = Acks()
        self._allowances = Allowances()
        self._indices: dict[InstrumentId, str] = {}
        self._histories: dict[str, History] = {}
        self._count = 0
        self._next: list[Request] = []

    @property
    def books(self) -> Mapping[InstrumentId, Book]:
        return self._books.books

    # Out --------------------------------------------------------------------------------

    def instruments(
        self, markets: Sequence[str], only: Sequence[InstrumentId] = ()
    ) -> Sequence[Request]:
        """What is open, or as many by name as one answer holds. ValueError for a market that the
        venue does not have."""
        for market in markets:
            if market != MARKET:
                raise ValueError(f"market: expected {MARKET!r}, found {market!r}")
        if not markets:
            return ()
        if not only:
            return (get("/instrument/active", {}, listing_tag(MARKET), "public"),)
        symbols = symbols_of(MARKET, only)
        return [_named(symbols[i : i + _NAMED_MAX]) for i in range(0, len(symbols), _NAMED_MAX)]

    def follow_ups(self) -> Sequence[Request]:
        """Further pages that answers made necessary; ask after each `answered`."""
        out, self._next = self._next, []
        return out

    def topics(self, wanted: Iterable[Wanted]) -> Sequence[Topic]:
        """Topics; ValueError for an instrument that was never listed or a bar nobody makes."""
        out: dict[str, Topic] = {}
        for want in wanted:
            item = self.listed.get(want.instrument)
            if item is None:
                raise ValueError(f"instrument {want.instrument!r} was never listed")
            tables = []
            if want.book:
                tables.append(self._books.open(item, want.depth))
            if want.trades:
                tables.append("trade")
            if want.ticker:
                tables += ["instrument", "quote"]
            for length in want.candles_ms:
                if length not in BARS:
                    raise ValueError(f"candles_ms: expected of {[*BARS]}, found {length}")
                tables.append(f"tradeBin{BARS[length]}")
            for table in tables:
                text = f"{table}:{item.symbol}"
                out[text] = Topic(_SOCKET, text, item.id, table in (FULL, NARROW))
        return list(out.values())

    def subscribe(self, topics: Sequence[Topic], request_id: int, *, on: bool) -> bytes:
        op, args = "subscribe" if on else "unsubscribe", [topic.text for topic in topics]
        self._acks.expect(op, args, str(request_id))
        return msgspec.json.encode({"op": op, "args": args})

    def snapshot(self, instrument: InstrumentId) -> Request | None:
        """None: a fresh subscription begins with a partial."""
        return None

    def history(self, wanted: HistoryWanted) -> Sequence[Request]:
        """ValueError for an instrument that was never listed, or a past nobody keeps."""
        item = self.listed.get(wanted.instrument)
        if item is None:
            raise ValueError(f"instrument {wanted.instrument!r} was never listed")
        self._count += 1
        tag = f"history:{self._count}:{wanted.kind}:{item.symbol}"
        talk = History(wanted, item, self._indices.get(item.id, ""), tag)
        self._histories[tag] = talk
        if len(self._histories) > _HISTORIES_MAX:  # answers that never came
            del self._histories[next(iter(self._histories))]
        return (talk.first(),)

    def door(self, socket: str) -> Sequence[Request]:
        return ()

    def clock(self) -> Request:
        return get("", {}, "clock", "public")

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        if frame == b"pong":
            return (Ack(socket=socket, kind="pong"),)
        try:
            message = FRAME.decode(frame)
        except UNREADABLE as error:
            rejected = unread(socket, "malformed", f"{error} | {excerpt(frame)}", at)
            return (rejected, *self._books.garbled(frame, at))
        try:
            if message.table in (FULL, NARROW):
                out = self._books.take(message, at)
                return (*out, *self._tripped(at)) if self.wires.pending else out
            if message.table:
                return self._rows(socket, message, at)
            return self._acks.control(socket, message)
        except UNREADABLE as error:
            return (unread(socket, "malformed", f"{error} | {excerpt(frame)}", at),)

    def _tripped(self, at: Nanos) -> Sequence[WireTripped]:
        return [WireTripped(at=at, wire=wire) for wire in self.wires.drain()]

    def _rows(self, socket: str, message: Frame, at: Nanos) -> Sequence[Output]:
        """One bad row must not hide those beside it: each row stands alone."""
        table, out = message.table, list[Output]()
        if table not in _TABLES:
            raise ValueError(f"table: expected one of {_TABLES}, found {table[:40]!r}")
        if table in _LOGS and message.action == "partial":
            return ()
        for raw in ROWS.decode(message.data):
            try:
                out += self._row(table, message.action, raw, at)
            except UNREADABLE as error:
                shown = f"{table}: {error} | {excerpt(raw)}"
                out.append(unread(socket, "unreadable_row", shown, at))
        return out

    def _row(self, table: str, action: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        event: AnyEvent | None
        match table:
            case "instrument":
                row = TICKER.decode(raw)
                item = known(self.listed, row.symbol)
                told_state = self._state(item, row, at)
                return (*told_state, *self._tickers.take(item, row, action, at))
            case "quote":
                quote = QUOTE.decode(raw)
                event = touch(known(self.listed, quote.symbol), quote, at)
            case "trade":
                trade = TRADE.decode(raw)
                event = traded(known(self.listed, trade.symbol), trade, at)
            case _:
                bar = BIN.decode(raw)
                event = candle(known(self.listed, bar.symbol), bar, _BAR_LENGTHS[table], at)
        return () if event is None else (event,)

    def _state(self, item: Instrument, row: TickerRow, at: Nanos) -> Sequence[AnyEvent]:
        """A change of whether and until when it can be traded, in the middle of the day."""
        now = item
        if row.state is not None:
            now = msgspec.structs.replace(now, tradable=row.state == "Open")
        if row.expiry and not item.expiry:
            ends = Nanos(moment_ms(row.expiry, "expiry") * MILLI)
            now = msgspec.structs.replace(now, delisting=ends)
        return self._list(now, at) if now != item else ()

    def dropped(self, instruments: Sequence[InstrumentId], at: Nanos) -> Sequence[Output]:
        """These books are lost, and their tickers begin anew with partials."""
        out = []
        for name in instruments:
            self._tickers.forget(name)
            if name in self.books:
                self._books.lose(self.listed[name].symbol)
                out.append(FeedLost(at=at, instrument=name, reason="disconnected"))
        return out

    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]:
        """The stream of this book stopped talking, however alive its socket is."""
        self._books.lose(self.listed[instrument].symbol)
        return (FeedLost(at=at, instrument=instrument, reason="silent"),)

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        out = self._allowances.learn(answer, "public")
        kind = answer.tag.partition(":")[0]
        failed = failure(answer)
        if failed is not None:
            self._histories.pop(answer.tag, None)
            return [*out, told(answer, failed, at), *pauses(failed, answer, "public", at)]
        try:
            match kind:
                case "clock":
                    stamp = ROOT.decode(answer.body).timestamp
                    out.append(Ack(socket="", kind="clock", text=str(stamp)))
                case "instruments":
                    out += self._load(answer.tag, ROWS.decode(answer.body), at)
                case "history":
                    out += self._past(answer, at)
                case _:
                    raise ValueError(f"answer to no question: {answer.tag[:40]!r}")
        except UNREADABLE as error:
            self._histories.pop(answer.tag, None)
            out.append(unread(kind, "malformed", f"{error} | {excerpt(answer.body)}", at))
        return out

    def _past(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        talk = self._histories.get(answer.tag)
        if talk is None:
            raise ValueError(f"answer to no question: {answer.tag[:40]!r}")
        events, more = talk.page(answer.body, at)
        if more is None:
            del self._histories[answer.tag]
        else:
            self._next.append(more)
        return events

    def _load(self, tag: str, rows: Sequence[msgspec.Raw], at: Nanos) -> Sequence[Output]:
        asked = names_in(tag)
        out: list[Output] = []
        seen: dict[str, None] = {}
        for raw in rows:
            try:
                row = INSTRUMENT.decode(raw)
                if not is_ours(row) or (asked and row.symbol not in asked):
                    continue
                item = instrument(row)
            except UNREADABLE as error:
                shown = f"{error} | {excerpt(raw)}"
                out.append(unread("instruments", "unreadable_row", shown, at))
                continue
            seen[item.symbol] = None
            self._indices[item.id] = row.reference_symbol or ""
            out += self._list(item, at)
        for symbol in asked or {i.symbol: None for i in self.listed.values() if i.tradable}:
            item_there = self.listed.get(instrument_id(NAME, MARKET, symbol))
            if symbol in seen or (item_there is not None and not item_there.tradable):
                continue
            if item_there is None:
                out.append(unread("instruments", "not_listed", symbol, at))
            else:  # only what there is is in the answer: this one has stopped
                out += self._list(msgspec.structs.replace(item_there, tradable=False), at)
        return out

    def recalled(self, instrument: Instrument, at: Nanos) -> Sequence[AnyEvent]:
        """What an earlier start knew, and this list of the venue has no more: it can be said and
        read, but is not tradable."""
        if instrument.id in self.listed:
            return ()
        return self._list(msgspec.structs.replace(instrument, tradable=False), at)

    def _list(self, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
        self.listed[item.id] = item
        listed = InstrumentListed(at=at, instrument=item)
        if not self._books.regrid(item):
            return (listed,)
        lost = FeedLost(at=at, instrument=item.id, reason="off_grid", detail="new tick or lot")
        return (listed, lost)


def _named(symbols: Sequence[str]) -> Request:
    """The rows of these symbols, whatever became of them; what never was is not answered."""
    wanted = msgspec.json.encode({"symbol": symbols}).decode()
    params = {"filter": wanted, "count": str(_NAMED_MAX)}
    return get("/instrument", params, listing_tag(MARKET, symbols), "public")

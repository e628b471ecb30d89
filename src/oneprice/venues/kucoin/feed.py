"""KuCoin's public side: books, touch, trades, mark, funding, candles, and the past.

Source: KuCoin API docs, "Websocket Feed" of spot and futures. The full spot book is a signed
call: with a key the book is proven change by change, without one it is the view of the best 50.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal
from urllib.parse import quote

import msgspec

from oneprice.kernel import Book, Tripwires
from oneprice.model.events import (
    AnyEvent,
    InstrumentListed,
    WireTripped,
)
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import MILLI, InstrumentId, Nanos
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
from oneprice.venues.kucoin import MARKETS, NAME, SPEC, books, public
from oneprice.venues.kucoin.books import Line
from oneprice.venues.kucoin.history import Histories
from oneprice.venues.kucoin.listing import contract, known, spot
from oneprice.venues.kucoin.rest import (
    Doors,
    Failed,
    door_request,
    get,
    paused,
    read,
    told,
    unread,
)
from oneprice.venues.kucoin.wire import (
    CONTRACT,
    ENVELOPE,
    NAMED,
    ROWS,
    SYMBOL,
    UNREADABLE,
    Envelope,
    excerpt,
    milliseconds,
)

# Paths of topics: what they carry and whose they are.
_BOOKS = {
    "/market/level2": "spot",
    "/spotMarket/level2Depth5": "spot",
    "/spotMarket/level2Depth50": "spot",
    "/contractMarket/level2": "futures",
}
_VIEWS = (5, 50)
_TRADES = {"/market/match": "spot", "/contractMarket/execution": "futures"}
_TICKERS = {"/market/ticker": "spot", "/contractMarket/tickerV2": "futures"}
_CANDLES = {"/market/candles": "spot", "/contractMarket/limitCandle": "futures"}
_CONTRACTS = {"/contract/instrument": "futures", "/contract/announcement": "futures"}
_KINDS: dict[str, tuple[str, str]] = {
    stem: (kind, market)
    for kind, stems in {
        "book": _BOOKS, "trade": _TRADES, "ticker": _TICKERS, "candle": _CANDLES,
        "contract": _CONTRACTS,
    }.items()
    for stem, market in stems.items()
}  # fmt: skip
_PUBLIC = ("spot", "futures")
_LISTS = {"spot": ("/api/v2/symbols", 4), "futures": ("/api/v1/contracts/active", 3)}
_ROWS = {"spot": "/api/v2/symbols/", "futures": "/api/v1/contracts/"}  # weigh as their lists do
_NAMED_MAX = 10  # a question names one symbol; more of them cost more than the whole list


class KucoinFeed:
    """The public sockets of both markets. `keyed`: a key signs what the shell sends for us."""

    spec = SPEC

    def __init__(self, wires: Tripwires, *, keyed: bool = False) -> None:
        self.wires = wires
        self.listed: dict[InstrumentId, Instrument] = {}
        self.books: dict[InstrumentId, Book] = {}
        self._keyed = keyed
        self._lines: dict[InstrumentId, Line] = {}
        self._funding = public.Funding()
        self._bars = public.Bars()
        self._histories = Histories(self.listed)
        self._doors = Doors()
        self._asked: dict[str, bool] = {}  # control message -> on or off
        self._clock = "spot"
        self._ahead = 0  # the venue's clock, ns ahead of ours

    # Out --------------------------------------------------------------------------------

    def instruments(
        self, markets: Sequence[str], only: Sequence[InstrumentId] = ()
    ) -> Sequence[Request]:
        """One list for each market, or a few of its rows one by one; ValueError for a market the
        venue does not have."""
        for market in markets:
            if market not in MARKETS:
                raise ValueError(f"market: expected one of {MARKETS}, found {market!r}")
        if markets:
            self._clock = markets[0]
        out: list[Request] = []
        for market in markets:
            symbols = symbols_of(market, only)
            if only and not symbols:
                continue
            if 0 < len(symbols) <= _NAMED_MAX:
                out += [_listing(market, (symbol,), symbol) for symbol in symbols]
            else:
                out.append(_listing(market, symbols))
        return out

    def clock(self) -> Request:
        return get(self._clock, "/api/v1/timestamp", {}, "clock", ("public", 3))

    def door(self, socket: str) -> Sequence[Request]:
        return (door_request(socket, socket, private=False),)

    def follow_ups(self) -> Sequence[Request]:
        """Further pages of histories; ask after each `answered`."""
        out, self._histories.more = self._histories.more, []
        return out

    def history(self, wanted: HistoryWanted) -> Sequence[Request]:
        return self._histories.begin(wanted)

    def topics(self, wanted: Iterable[Wanted]) -> Sequence[Topic]:
        """Topics and their sockets; ValueError for an instrument that was never listed."""
        out: dict[str, Topic] = {}
        for want in wanted:
            item = self.listed.get(want.instrument)
            if item is None:
                raise ValueError(f"instrument {want.instrument!r} was never listed")
            future = item.market == "futures"
            stems = []
            if want.book:
                stem = self._shelve(item, want.depth).stem
                out[f"{stem}:{item.symbol}"] = _topic(item, stem, is_book=True)
            if want.trades:
                stems.append("/contractMarket/execution" if future else "/market/match")
            if want.ticker:
                stems.append("/contractMarket/tickerV2" if future else "/market/ticker")
                stems += _CONTRACTS if future else ()
            for stem in stems:
                out[f"{stem}:{item.symbol}"] = _topic(item, stem)
            for interval_ms in want.candles_ms:
                stem = "/contractMarket/limitCandle" if future else "/market/candles"
                topic = _topic(item, stem, f"_{public.candle_name(item.market, interval_ms)}")
                out[topic.text] = topic
        return list(out.values())

    def _shelve(self, item: Instrument, depth: int) -> Line:
        """The instrument's one book, made on first use."""
        line = self._lines.get(item.id)
        view = 0
        if item.market == "futures":
            stem = "/contractMarket/level2"
        elif self._keyed:
            stem = "/market/level2"
        else:
            view = next((there for there in _VIEWS if there >= depth), _VIEWS[-1])
            stem = f"/spotMarket/level2Depth{view}"
        if line is not None:
            if line.depth < view:
                raise ValueError(f"{item.id}: depth {view} wanted, its book has {line.depth}")
            return line
        line = Line(item, Book(item.tick, item.lot, view), stem, view)
        self._lines[item.id] = line
        self.books[item.id] = line.book
        return line

    def subscribe(self, topics: Sequence[Topic], request_id: int, *, on: bool) -> bytes:
        """One message; ValueError where topics are of different paths, which it cannot say."""
        stems = {topic.text.partition(":")[0]: None for topic in topics}
        if len(stems) != 1:
            raise ValueError(f"topics of one message: expected one path, found {list(stems)}")
        names = ",".join(topic.text.partition(":")[2] for topic in topics)
        self._asked[str(request_id)] = on
        return msgspec.json.encode(
            {
                "id": str(request_id),
                "type": "subscribe" if on else "unsubscribe",
                "topic": f"{next(iter(stems))}:{names}",
                "privateChannel": False,
                "response": True,
            }
        )

    def snapshot(self, instrument: InstrumentId) -> Request | None:
        """None for views, which come whole with every push. The one of spot is signed."""
        line = self._lines.get(instrument)
        if line is None or line.depth:
            return None
        symbol, tag = {"symbol": line.item.symbol}, f"snapshot:{instrument}"
        if line.item.market == "futures":
            return get("futures", "/api/v1/level2/snapshot", symbol, tag, ("public", 5))
        path = "/api/v3/market/orderbook/level2"
        request = get("spot", path, symbol, tag, ("spot", 3))
        return msgspec.structs.replace(request, signed=True)

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        """Events of one public frame; never raises, what cannot be read is FrameRejected."""
        try:
            message = ENVELOPE.decode(frame)
            if message.type != "message":
                return (self._control(socket, message),)
            return self._message(socket, message, at)
        except UNREADABLE as error:
            shown = f"{error} | {excerpt(frame)}"
            return (unread(self._named(socket), "malformed", shown, at),)

    @staticmethod
    def _named(socket: str) -> str:
        return socket if socket in _PUBLIC else "unknown"

    def _message(self, socket: str, message: Envelope, at: Nanos) -> Sequence[Output]:
        stem, _, name = message.topic.partition(":")
        kind, market = _KINDS.get(stem, ("", ""))
        if market != socket:
            raise ValueError(f"topic: unknown on {socket[:20]!r}, found {message.topic[:60]!r}")
        if kind == "book":
            line = self._lines.get(f"{NAME}:{market}:{name}")
            if line is None or line.stem != stem:
                return ()  # unsubscribed a moment ago, or another depth of the same symbol
            return self._told(books.take(line, message.data, at), at)
        if kind == "candle":
            symbol, _, interval = name.rpartition("_")
            item = known(self.listed, market, symbol)
            return self._bars.take(item, interval, message.data, at)
        item = known(self.listed, market, name)
        match kind:
            case "trade":
                return public.traded(item, message.data, at)
            case "ticker":
                return public.touch(item, message.data, at)
        return self._funding.contract(item, message.subject, message.data, at)

    def _told(self, lives: Sequence[books.Life], at: Nanos) -> Sequence[Output]:
        if not self.wires.pending:
            return lives
        return [*lives, *(WireTripped(at=at, wire=wire) for wire in self.wires.drain())]

    def _control(self, socket: str, message: Envelope) -> Ack:
        """A welcome stands where other venues acknowledge a login: now we may speak."""
        request_id = str(message.id)
        match message.type:
            case "welcome":
                return Ack(socket=socket, kind="login", text="welcome")
            case "pong":
                return Ack(socket=socket, kind="pong", request_id=request_id)
            case "ack":
                kind = _asked_for(on=self._asked.pop(request_id, True))
                return Ack(socket=socket, kind=kind, request_id=request_id)
            case "error":
                return self._error(socket, request_id, message)
        raise ValueError(f"type: unknown, found {message.type[:40]!r}")

    def _error(self, socket: str, request_id: str, message: Envelope) -> Ack:
        text = f"{message.code} {excerpt(message.data)}"
        if request_id not in self._asked:
            return Ack(socket=socket, kind="closing", ok=False, text=text)
        kind = _asked_for(on=self._asked.pop(request_id))
        return Ack(socket=socket, kind=kind, ok=False, request_id=request_id, text=text)

    def dropped(self, instruments: Sequence[InstrumentId], at: Nanos) -> Sequence[Output]:
        """Their proofs are broken, and bars that were under way are not whole any more."""
        out: list[Output] = []
        for name in instruments:
            self._bars.forget(name)
            line = self._lines.get(name)
            if line is not None:
                books.forget(line)
                out.append(books.lost(line, "disconnected", "", at))
        return out

    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]:
        """The stream of this book stopped talking, however alive its socket is."""
        line = self._lines[instrument]
        books.forget(line)
        return (books.lost(line, "silent", "", at),)

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Events of an HTTP answer; a snapshot that did not come is FeedLost again."""
        kind, _, rest = answer.tag.partition(":")
        bucket = "spot" if rest.startswith(f"{NAME}:spot:") else "public"
        reply = read(answer)
        out: list[Output] = []
        if isinstance(reply, Failed):
            if reply.reason == "no_such_instrument" and len(names_in(answer.tag)) == 1:
                return self._missing(answer.tag, {}, at)
            out += paused(reply, answer, bucket, at)
            return [*out, *self._unanswered(answer, reply.reason, told(answer, reply, at), at)]
        try:
            match kind:
                case "clock":
                    venue_ms = milliseconds(reply.data, "timestamp")
                    self._ahead = venue_ms * MILLI - at
                    text = str(venue_ms)
                    return [*out, Ack(socket="", kind="clock", text=text)]
                case "door":
                    return [*out, self._doors.opened(rest, reply)]
                case "snapshot" if rest in self._lines:
                    lives = books.snapshot_came(self._lines[rest], reply.data, at)
                    return [*out, *self._told(lives, at)]
                case "instruments" if rest.partition(":")[0] in MARKETS:
                    return [*out, *self._list_all(answer.tag, reply.data, at)]
                case "history":
                    return [*out, *self._bars_of_the_past(answer.tag, reply.data, at)]
            raise ValueError(f"answer to no question: {answer.tag[:40]!r}")
        except UNREADABLE as error:
            shown = f"{error} | {excerpt(answer.body)}" if kind != "door" else str(error)
            failed = unread(kind, "malformed", shown, at)
            return [*out, *self._unanswered(answer, "malformed", failed, at)]

    def _bars_of_the_past(self, tag: str, data: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        """Which bars are over the venue's clock decides, not ours."""
        return self._histories.answered(tag, data, at, Nanos(at + self._ahead))

    def _unanswered(
        self, answer: Answer, reason: str, event: AnyEvent, at: Nanos
    ) -> Sequence[AnyEvent]:
        self._histories.failed(answer.tag)
        line = self._lines.get(answer.tag.removeprefix("snapshot:"))
        if line is None or line.ready:
            return (event,)
        word = "refused" if answer.status else "silent"
        return (event, books.lost(line, word, f"snapshot: {reason}", at))

    def _list_all(self, tag: str, data: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        market, asked = listing_asked(tag)
        rows = ROWS.decode(data) if len(asked) != 1 else [] if bytes(data) == b"null" else [data]
        out: list[AnyEvent] = []
        seen: dict[str, None] = {}
        for raw in rows:
            try:
                if asked and NAMED.decode(raw).symbol not in asked:
                    continue
                if market == "spot":
                    item = spot(SYMBOL.decode(raw), at)
                    forecast: Sequence[AnyEvent] = ()
                else:
                    row = CONTRACT.decode(raw)
                    item = contract(row)
                    forecast = self._funding.listed(item, row, at)
            except UNREADABLE as error:
                shown = f"{market}: {error} | {excerpt(raw)}"
                out.append(unread("instruments", "unreadable_row", shown, at))
                continue
            seen[item.symbol] = None
            out += self._list(item, at)
            out += forecast
        return [*out, *self._missing(tag, seen, at)]

    def _missing(self, tag: str, seen: Mapping[str, None], at: Nanos) -> list[AnyEvent]:
        """Whoever was asked for and is not in the list has stopped trading."""
        market, asked = listing_asked(tag)
        mine = (item for item in self.listed.values() if item.market == market)
        wanting = asked or {item.symbol: None for item in mine if item.tradable}
        out: list[AnyEvent] = []
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
        self.listed[item.id] = item
        listed = InstrumentListed(at=at, instrument=item)
        line = self._lines.get(item.id)
        if line is None:
            return (listed,)
        had, line.item = line.item, item
        if (had.tick, had.lot) == (item.tick, item.lot):
            return (listed,)
        # A book counts in the old grid: nobody may read it with the new one.
        line.book.lose()
        line.book = self.books[item.id] = Book(item.tick, item.lot, line.depth)
        books.forget(line)
        return (listed, books.lost(line, "off_grid", "new tick or lot", at))


def _listing(market: str, symbols: Sequence[str], named: str = "") -> Request:
    """The question for a market's list, of which `symbols` are wanted; or for one by name."""
    path, weight = _LISTS[market]
    if named:
        path = _ROWS[market] + quote(named, safe="")
    return get(market, path, {}, listing_tag(market, symbols), ("public", weight))


def _asked_for(*, on: bool) -> Literal["subscribe", "unsubscribe"]:
    return "subscribe" if on else "unsubscribe"


def _topic(item: Instrument, stem: str, rest: str = "", *, is_book: bool = False) -> Topic:
    return Topic(item.market, f"{stem}:{item.symbol}{rest}", item.id, is_book)

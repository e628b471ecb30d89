"""OKX v5, public side: which requests and topics, and frames to events.

The touch is taken from `bbo-tbt`; `tickers` lags behind it and is understood but not asked for.
Candles come on a socket of their own ("business").
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from oneprice.kernel import Book, Tripwires
from oneprice.model.events import FeedLost, InstrumentListed, WireTripped
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import InstrumentId, Nanos
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
from oneprice.venues.okx import SPEC, frames, public
from oneprice.venues.okx.acks import Subscriptions
from oneprice.venues.okx.books import Books, Tally
from oneprice.venues.okx.frames import ENVELOPE, LISTED, NAMED, RAWS, TEXTS, UNREADABLE, rows_of
from oneprice.venues.okx.history import TAG as HISTORY
from oneprice.venues.okx.history import History
from oneprice.venues.okx.listing import KINDS, Detail, detail_of, identity, instrument_of
from oneprice.venues.okx.rest import Failed, get, paused, settled, simulated, told

_CANDLES = "business"
_NAMED_MAX = 10  # a question names one instrument; more of them cost more than the whole list


class OkxFeed:
    """The Feed of OKX. `checksums` tells how the checksums of old recordings compared.

    `listed` and `details` grow with the answers. With `demo` the instruments are the demo's.
    """

    spec = SPEC

    def __init__(self, wires: Tripwires, *, demo: bool = False) -> None:
        self.wires = wires
        self._demo = demo
        self._books = Books()
        self.books: Mapping[InstrumentId, Book] = self._books.books
        self.listed: dict[InstrumentId, Instrument] = {}
        self.details: dict[InstrumentId, Detail] = {}
        self._by_symbol: dict[str, InstrumentId] = {}
        self._by_index: dict[str, tuple[InstrumentId, ...]] = {}
        self._subscriptions = Subscriptions()
        self._history = History()

    @property
    def checksums(self) -> Mapping[InstrumentId, Tally]:
        return self._books.tallies

    # Requests --------------------------------------------------------------------------

    def instruments(
        self, markets: Sequence[str], only: Sequence[InstrumentId] = ()
    ) -> Sequence[Request]:
        """One list per market, or a few of its instruments one by one; ValueError for a market
        OKX does not have."""
        for market in markets:
            if market not in KINDS:
                known = ", ".join(SPEC.markets)
                raise ValueError(f"okx market: found {market!r}, expected one of {known}")
        requests: list[Request] = []
        for market in markets:
            symbols = symbols_of(market, only)
            if only and not symbols:
                continue
            if 0 < len(symbols) <= _NAMED_MAX:
                requests += [self._listing(market, (symbol,), symbol) for symbol in symbols]
            else:
                requests.append(self._listing(market, symbols))
        return requests

    def _listing(self, market: str, symbols: Sequence[str], named: str = "") -> Request:
        """The question for a market's list, of which `symbols` are wanted; or for one by name."""
        params = {"instType": KINDS[market]} | ({"instId": named} if named else {})
        tag = listing_tag(market, symbols)
        return self._question(get("/api/v5/public/instruments", params, tag, "instruments"))

    def _question(self, request: Request) -> Request:
        return simulated(request) if self._demo else request

    def topics(self, wanted: Iterable[Wanted]) -> Sequence[Topic]:
        """Every channel once; the books wanted are kept from now on.

        ValueError for an instrument that was never listed, a length of candles that the venue
        does not have, or a book wanted deeper than it is kept.
        """
        found: dict[str, Topic] = {}
        for want in wanted:
            instrument = self.listed.get(want.instrument)
            if instrument is None:
                raise ValueError(f"{want.instrument}: not an instrument okx has listed")
            book = self._books.open(instrument, want.depth) if want.book else ""
            index = self.details[instrument.id].index
            for channel, name in _channels(want, instrument, book, index):
                text = f'{{"channel":"{channel}","instId":"{name}"}}'
                socket = _CANDLES if public.candle_channel(channel) else "public"
                found.setdefault(text, Topic(socket, text, instrument.id, channel == book))
        return list(found.values())

    def subscribe(self, topics: Sequence[Topic], request_id: int, *, on: bool) -> bytes:
        self._subscriptions.ask(str(request_id), len(topics), on=on)
        word = "subscribe" if on else "unsubscribe"
        args = ",".join(topic.text for topic in topics)
        return f'{{"id":"{request_id}","op":"{word}","args":[{args}]}}'.encode()

    def snapshot(self, instrument: InstrumentId) -> Request | None:
        """None: the socket sends its own snapshot; REST must not be mixed with it."""
        return None

    def history(self, wanted: HistoryWanted) -> Sequence[Request]:
        """The newest page of a range; older ones come by `follow_ups`.

        ValueError for an instrument that was never listed or a length the venue does not have.
        """
        instrument = self.listed.get(wanted.instrument)
        if instrument is None:
            raise ValueError(f"{wanted.instrument}: not an instrument okx has listed")
        index = self.details[instrument.id].index
        return [self._question(each) for each in self._history.begin(wanted, instrument, index)]

    def door(self, socket: str) -> Sequence[Request]:
        """Nothing: every public address is known beforehand."""
        return ()

    def clock(self) -> Request:
        return self._question(get("/api/v5/public/time", {}, "clock", "time"))

    def follow_ups(self) -> Sequence[Request]:
        """Further pages of the past; the lists have one page each."""
        return [self._question(each) for each in self._history.follow_ups()]

    # Answers ---------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Instruments, history, the venue's clock; anything broken is a FrameRejected."""
        reply = settled(answer)
        if isinstance(reply, Failed):
            if reply.reason == "no_such_instrument" and len(names_in(answer.tag)) == 1:
                return self._missing(answer.tag, {}, at)
            return [told(answer, reply, at), *paused(reply, "", self._bucket(answer.tag), at)]
        try:
            if answer.tag == "clock":
                times = msgspec.json.decode(reply.data, type=list[dict[str, str]])
                stamp = frames.milliseconds(times[0]["ts"] if times else "", "ts")
                if not stamp:
                    raise ValueError("ts: expected epoch milliseconds, found nothing")
                return [Ack(socket="", kind="clock", text=str(stamp))]
            if answer.tag.startswith(HISTORY):
                return self._history.page(answer, reply.data, at)
            if answer.tag.startswith("instruments:"):
                return self._load(answer.tag, reply.data, at)
            raise ValueError("answer to no question")
        except UNREADABLE as error:
            return [frames.rejected("rest", f"{answer.tag}: {error}", answer.body, at)]

    def _bucket(self, tag: str) -> str:
        if tag == "clock":
            return "time"
        return "instruments" if tag.startswith("instruments:") else self._history.bucket(tag)

    def _load(self, tag: str, data: msgspec.Raw, at: Nanos) -> list[Output]:
        found: dict[str, None] = {}
        outputs = self._listed(data, "rest", at, found, names_in(tag))
        return outputs + self._missing(tag, found, at)

    def _missing(self, tag: str, found: Mapping[str, None], at: Nanos) -> list[Output]:
        """Whoever was asked for and is not in the list has stopped trading."""
        market, asked = listing_asked(tag)
        mine = (item for item in self.listed.values() if item.market == market)
        wanting = asked or {item.symbol: None for item in mine if item.tradable}
        outputs: list[Output] = []
        for symbol in wanting:
            item = self.listed.get(instrument_id(SPEC.name, market, symbol))
            if symbol in found or (item is not None and not item.tradable):
                continue
            if item is None:
                reason = f"instruments: {symbol[:40]} is not listed"
                outputs.append(frames.rejected("rest", reason, b"", at))
            else:
                gone = msgspec.structs.replace(item, tradable=False)
                outputs += self._list(gone, self.details[item.id], at)
        return outputs

    def _listed(
        self,
        data: msgspec.Raw,
        socket: str,
        at: Nanos,
        found: dict[str, None],
        asked: Mapping[str, None],
    ) -> list[Output]:
        """Every instrument that can be understood; each that cannot is told by itself."""
        outputs: list[Output] = []
        for raw in RAWS.decode(data):
            name = ""
            try:
                if asked and NAMED.decode(raw).instId not in asked:
                    continue
                row = LISTED.decode(raw)
                name = row.instId[:40]
                found[row.instId] = None
                instrument = instrument_of(row)
            except UNREADABLE as error:
                reason = f"instrument {name}: {error}"
                outputs.append(frames.rejected(socket, reason, raw, at))
                continue
            if instrument is not None:
                outputs += self._list(instrument, detail_of(row), at)
        return outputs

    def recalled(self, instrument: Instrument, at: Nanos) -> Sequence[Output]:
        """What an earlier start knew, and this list of the venue has no more: it can be said and
        read, but is not tradable."""
        if instrument.id in self.listed:
            return ()
        gone = msgspec.structs.replace(instrument, tradable=False)
        return self._list(gone, Detail(code=None, fees="", index=""), at)

    def _list(self, instrument: Instrument, detail: Detail, at: Nanos) -> list[Output]:
        old = self.listed.get(instrument.id)
        if old is not None and old.funding_interval_ms and instrument.funding_interval_ms:
            # What the funding channel has said about the interval outlives a new list.
            interval = old.funding_interval_ms
            instrument = msgspec.structs.replace(instrument, funding_interval_ms=interval)
        self.listed[instrument.id] = instrument
        self.details[instrument.id] = detail
        self._by_symbol[instrument.symbol] = instrument.id
        ids = self._by_index.get(detail.index, ())
        if instrument.id not in ids:
            self._by_index[detail.index] = (*ids, instrument.id)
        outputs: list[Output] = [InstrumentListed(at=at, instrument=instrument)]
        if instrument.id in self.books:
            grid = (instrument.tick, instrument.lot)
            if old is not None and grid != (old.tick, old.lot):
                lost = FeedLost(
                    at=at, instrument=instrument.id, reason="off_grid", detail="new grid"
                )
                if self._books.lose(instrument.symbol):
                    outputs.append(lost)
            self._books.open(instrument)
        return outputs

    # Frames ----------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        """Events of one frame; what cannot be understood is a FrameRejected. Never raises."""
        if frame == b"pong":
            return [Ack(socket=socket, kind="pong")]
        events = self._books.feed(frame, at)
        if events is not None:
            if self.wires.pending:
                events += [WireTripped(at=at, wire=number) for number in self.wires.drain()]
            return events
        try:
            envelope = ENVELOPE.decode(frame)
            if envelope.event:
                return self._subscriptions.event(socket, envelope, frame, at)
            if envelope.arg is None:
                raise ValueError("neither arg nor event")
            return self._pushed(socket, envelope.arg, envelope.data, at)
        except UNREADABLE as error:
            return [frames.rejected(socket, str(error), frame, at)]

    def dropped(self, instruments: Sequence[InstrumentId], at: Nanos) -> Sequence[Output]:
        """What a connection carried that is gone: the books that were known are lost."""
        return [
            FeedLost(at=at, instrument=name, reason="disconnected")
            for name in instruments
            if name in self.books and self._books.lose(name.rpartition(":")[2])
        ]

    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]:
        """The stream of this book stopped talking, however alive its socket is."""
        self._books.lose(instrument.rpartition(":")[2])
        return (FeedLost(at=at, instrument=instrument, reason="silent"),)

    def _pushed(
        self, socket: str, arg: frames.Arg, data: msgspec.Raw, at: Nanos
    ) -> Sequence[Output]:
        match arg.channel:
            case "bbo-tbt":
                item = self._instrument(arg.instId)
                return [public.touch(item, each, at) for each in rows_of(data, frames.Touch)]
            case "tickers":
                rows = rows_of(data, frames.Ticker)
                quotes = [public.ticker(self._instrument(r.instId), r, at) for r in rows]
                return [quote for quote in quotes if quote is not None]
            case "trades":
                trades = rows_of(data, frames.Traded)
                return [public.traded(self._instrument(r.instId), r, at) for r in trades]
            case "mark-price":
                marks = rows_of(data, frames.MarkPrice)
                return [public.marked(self._id(r.instId), r, at) for r in marks]
            case "index-tickers":
                # An index price belongs to every instrument that is made on it.
                return [
                    public.indexed(instrument, row, at)
                    for row in rows_of(data, frames.IndexTicker)
                    for instrument in self._by_index.get(row.instId, ())
                ]
            case "funding-rate":
                rates = rows_of(data, frames.FundingRate)
                return [output for each in rates for output in self._funded(each, at)]
            case "instruments":
                return self._listed(data, socket, at, {}, {})
            case "open-interest" | "price-limit" | "status" | "estimated-price":
                return []
        return self._candles(arg, data, at)

    def _candles(self, arg: frames.Arg, data: msgspec.Raw, at: Nanos) -> Sequence[Output]:
        about = public.candle_channel(arg.channel)
        if about is None:
            raise ValueError(f"channel: none we know, found {arg.channel[:40]!r}")
        kind, length = about
        names: tuple[InstrumentId, ...] = (
            self._by_index.get(arg.instId, ()) if kind == "index" else (self._id(arg.instId),)
        )
        bars = [
            public.candle(name, kind, length, row, at)
            for row in TEXTS.decode(data)
            for name in names
        ]
        return [closed for closed in bars if closed is not None]

    def _funded(self, row: frames.FundingRate, at: Nanos) -> list[Output]:
        instrument = self._id(row.instId)
        forecast = public.forecast(instrument, row, at)
        if forecast is None:
            return []
        return [*self._interval(instrument, forecast.interval_ms, at), forecast]

    def _interval(self, instrument: InstrumentId, interval_ms: int, at: Nanos) -> list[Output]:
        """The instrument anew where its funding interval is not the one we knew."""
        known = self.listed.get(instrument)
        if known is None or not interval_ms or known.funding_interval_ms == interval_ms:
            return []
        changed = msgspec.structs.replace(known, funding_interval_ms=interval_ms)
        self.listed[instrument] = changed
        return [InstrumentListed(at=at, instrument=changed)]

    def _instrument(self, symbol: str) -> Instrument:
        instrument = self.listed.get(self._id(symbol))
        if instrument is None:
            raise ValueError(f"instId: {symbol[:40]!r} is not an instrument okx has listed")
        return instrument

    def _id(self, symbol: str) -> InstrumentId:
        """Our id of a symbol; its name tells the market where no list has yet."""
        return self._by_symbol.get(symbol) or identity(symbol)


def _channels(
    want: Wanted, instrument: Instrument, book: str, index: str
) -> list[tuple[str, str]]:
    """Channel and instId of everything wanted for one instrument."""
    symbol = instrument.symbol
    found: list[tuple[str, str]] = []
    if book:
        found.append((book, symbol))
    if want.trades:
        found.append(("trades", symbol))
    if want.ticker:
        found.append(("bbo-tbt", symbol))
        if instrument.is_derivative:
            found.append(("mark-price", symbol))
            found.append(("index-tickers", index))
        if instrument.funding_interval_ms:
            found.append(("funding-rate", symbol))
    found += [(f"candle{public.bar(length)}", symbol) for length in want.candles_ms]
    return found

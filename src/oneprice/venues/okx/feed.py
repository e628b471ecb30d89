"""OKX v5, public side: which requests and topics, and frames to events.

The touch is taken from `bbo-tbt`; `tickers` lags behind it and is understood but not asked for.
A 'next' funding rate is mostly not published; where it is, it is a forecast of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from oneprice.kernel import Book, Tripwires
from oneprice.model.events import (
    FeedLost,
    FrameRejected,
    FundingForecast,
    InstrumentListed,
    Marked,
    MarketTraded,
    TouchQuoted,
    WireTripped,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Lots, Nanos, Side, Ticks
from oneprice.venues.contract import Ack, Answer, Output, Request, Topic, Wanted
from oneprice.venues.okx import SPEC, frames
from oneprice.venues.okx.books import Books, Tally
from oneprice.venues.okx.listing import KINDS, identity, instrument_of

T = TypeVar("T")

_SOCKET = "public"
_FAULTS = (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError)
_ENVELOPE = msgspec.json.Decoder(frames.Envelope)
_REST = msgspec.json.Decoder(frames.RestAnswer)
# Errors that are about a request as a whole; every other one is about one of its topics.
_WHOLE_REQUEST = frozenset({"60012", "60013", "60014"})


class _Asked(msgspec.Struct):
    """A subscription under way: the venue acknowledges each topic alone."""

    left: int
    on: bool
    text: str = ""


class OkxFeed:
    """The Feed of OKX. `checksums` tells how the checksums of old recordings compared."""

    def __init__(self, wires: Tripwires) -> None:
        self.spec = SPEC
        self.wires = wires
        self._books = Books()
        self.books: Mapping[InstrumentId, Book] = self._books.books
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._by_symbol: dict[str, InstrumentId] = {}
        self._by_index: dict[str, tuple[InstrumentId, ...]] = {}
        self._asked: dict[str, _Asked] = {}

    @property
    def checksums(self) -> Mapping[InstrumentId, Tally]:
        return self._books.tallies

    # Requests --------------------------------------------------------------------------

    def instruments(self, markets: Sequence[str]) -> Sequence[Request]:
        """One list per market; ValueError for a market OKX does not have."""
        for market in markets:
            if market not in KINDS:
                known = ", ".join(SPEC.markets)
                raise ValueError(f"okx market: found {market!r}, expected one of {known}")
        return [
            Request(
                tag=f"instruments:{market}",
                host="rest",
                path="/api/v5/public/instruments",
                query=f"instType={KINDS[market]}",
                cost=(("instruments", 1),),
            )
            for market in markets
        ]

    def topics(self, wanted: Iterable[Wanted]) -> Sequence[Topic]:
        """Every channel once; the books wanted are kept from now on."""
        found: dict[str, Topic] = {}
        for want in wanted:
            instrument = self._instruments.get(want.instrument)
            if instrument is None:
                raise ValueError(f"{want.instrument}: not an instrument okx has listed")
            if want.book:
                self._books.open(instrument)
            for channel, name in _channels(want, instrument):
                text = f'{{"channel":"{channel}","instId":"{name}"}}'
                book = channel == "books"
                found.setdefault(text, Topic(_SOCKET, text, instrument.id, book))
        return list(found.values())

    def subscribe(self, topics: Sequence[Topic], request_id: int, *, on: bool) -> bytes:
        self._asked[str(request_id)] = _Asked(left=len(topics), on=on)
        word = "subscribe" if on else "unsubscribe"
        args = ",".join(topic.text for topic in topics)
        return f'{{"id":"{request_id}","op":"{word}","args":[{args}]}}'.encode()

    def snapshot(self, instrument: InstrumentId) -> Request | None:
        """None: the socket sends its own snapshot; REST must not be mixed with it."""
        return None

    def clock(self) -> Request:
        return Request(
            tag="clock", host="rest", path="/api/v5/public/time", cost=(("time", 1),)
        )

    def follow_ups(self) -> Sequence[Request]:
        """None: the lists have one page each."""
        return ()

    # Answers ---------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Instruments and the venue's clock; anything else or broken is a FrameRejected."""
        try:
            return self._answered(answer, at)
        except _FAULTS as error:
            return [self._rejected(f"{answer.tag}: {error}", answer.body, at, "rest")]

    def _answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        if answer.status == 0:
            return [self._rejected(f"{answer.tag}: no answer: {answer.detail}", b"", at, "rest")]
        rest = _REST.decode(answer.body)
        if rest.code != "0":
            word = SPEC.refusals.get(rest.code, "unknown_code")
            reason = f"{answer.tag}: {word}: code {rest.code!r} {rest.msg[:80]}"
            return [self._rejected(reason, answer.body, at, "rest")]
        if answer.tag == "clock":
            times = msgspec.json.decode(rest.data, type=list[dict[str, str]])
            if not times:
                raise ValueError("data: expected one time, found none")
            return [Ack(socket="", kind="clock", text=times[0].get("ts", ""))]
        return self._listed(rest.data, at)

    def _listed(self, data: msgspec.Raw, at: Nanos) -> list[Output]:
        """Every instrument that can be understood; each that cannot is told by itself."""
        outputs: list[Output] = []
        for listed in msgspec.json.decode(data, type=list[frames.Listed]):
            try:
                instrument = instrument_of(listed)
            except (ValueError, ArithmeticError) as error:
                reason = f"instrument {listed.instId[:40]}: {error}"
                outputs.append(self._rejected(reason, b"", at, "rest"))
                continue
            if instrument is not None:
                outputs += self._list(instrument, listed.uly or listed.instId, at)
        return outputs

    def _list(self, instrument: Instrument, index: str, at: Nanos) -> list[Output]:
        old = self._instruments.get(instrument.id)
        if old is not None and old.funding_interval_ms and instrument.funding_interval_ms:
            # What the funding channel has said about the interval outlives a new list.
            interval = old.funding_interval_ms
            instrument = msgspec.structs.replace(instrument, funding_interval_ms=interval)
        self._instruments[instrument.id] = instrument
        self._by_symbol[instrument.symbol] = instrument.id
        ids = self._by_index.get(index, ())
        if instrument.id not in ids:
            self._by_index[index] = (*ids, instrument.id)
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
            return self._decoded(socket, frame, at)
        except _FAULTS as error:
            return [self._rejected(str(error)[:200], frame, at, socket)]

    def dropped(self, socket: str, at: Nanos) -> Sequence[Output]:
        """Every book on the socket is lost; what was asked on it will not be answered."""
        self._asked.clear()
        return [
            FeedLost(at=at, instrument=self._id(symbol), reason="disconnected")
            for symbol in self._books.known()
            if self._books.lose(symbol)
        ]

    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]:
        """The stream of this book stopped talking, however alive its socket is."""
        self._books.lose(instrument.rpartition(":")[2])
        return (FeedLost(at=at, instrument=instrument, reason="silent"),)

    def _decoded(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        envelope = _ENVELOPE.decode(frame)
        if envelope.event:
            return self._event(socket, envelope, frame, at)
        if envelope.arg is None:
            return [self._rejected("neither arg nor event", frame, at, socket)]
        data = envelope.data
        match envelope.arg.channel:
            case "bbo-tbt":
                touches = _list_of(data, frames.Touch)
                return [self._touch(envelope.arg.instId, each, at) for each in touches]
            case "tickers":
                quotes = [self._ticker(each, at) for each in _list_of(data, frames.Ticker)]
                return [quote for quote in quotes if quote is not None]
            case "trades":
                return [self._traded(each, at) for each in _list_of(data, frames.Traded)]
            case "mark-price":
                return [self._marked(each, at) for each in _list_of(data, frames.MarkPrice)]
            case "index-tickers":
                return self._indexed(_list_of(data, frames.IndexTicker), at)
            case "funding-rate":
                rates = _list_of(data, frames.FundingRate)
                return [output for each in rates for output in self._funded(each, at)]
            case "instruments":
                return self._listed(data, at)
            case "open-interest" | "price-limit" | "status" | "estimated-price":
                return []
            case other:
                return [self._rejected(f"channel {other[:40]!r}", frame, at, socket)]

    def _event(
        self, socket: str, envelope: frames.Envelope, frame: bytes, at: Nanos
    ) -> Sequence[Output]:
        text = f"{envelope.code} {envelope.msg}".strip()
        match envelope.event:
            case "subscribe" | "unsubscribe":
                return self._acknowledged(socket, envelope.id, "", whole=False)
            case "error":
                whole = envelope.code in _WHOLE_REQUEST
                return self._acknowledged(socket, envelope.id, text or "error", whole=whole)
            case "notice":
                return [Ack(socket=socket, kind="closing", text=text)]
            case "channel-conn-count" | "channel-conn-count-error":
                return []
            case other:
                return [self._rejected(f"event {other[:40]!r}", frame, at, socket)]

    def _acknowledged(
        self, socket: str, request_id: str, text: str, *, whole: bool
    ) -> Sequence[Output]:
        """One Ack per request, when the last of its topics has been answered."""
        asked = self._asked.get(request_id)
        if asked is None:
            if not text:
                return []
            return [Ack(socket=socket, kind="subscribe", ok=False, text=text)]
        asked.text = asked.text or text
        asked.left = 0 if whole else asked.left - 1
        if asked.left > 0:
            return []
        del self._asked[request_id]
        return [
            Ack(
                socket=socket,
                kind="subscribe" if asked.on else "unsubscribe",
                ok=not asked.text,
                request_id=request_id,
                text=asked.text,
            )
        ]

    def _touch(self, symbol: str, touch: frames.Touch, at: Nanos) -> Output:
        instrument = self._instrument(symbol)
        bid, ask = _level(instrument, touch.bids, "bids"), _level(instrument, touch.asks, "asks")
        return TouchQuoted(
            at=at,
            instrument=instrument.id,
            bid_ticks=bid[0],
            bid_lots=bid[1],
            ask_ticks=ask[0],
            ask_lots=ask[1],
            sequence=touch.seqId,
            venue_ms=frames.milliseconds(touch.ts, "ts"),
        )

    def _ticker(self, ticker: frames.Ticker, at: Nanos) -> Output | None:
        """None where a side is empty: nothing is quoted then."""
        instrument = self._instrument(ticker.instId)
        if not ticker.bidPx or not ticker.askPx:
            return None
        return TouchQuoted(
            at=at,
            instrument=instrument.id,
            bid_ticks=instrument.ticks(frames.decimal(ticker.bidPx, "bidPx")),
            bid_lots=instrument.lots(frames.decimal(ticker.bidSz, "bidSz")),
            ask_ticks=instrument.ticks(frames.decimal(ticker.askPx, "askPx")),
            ask_lots=instrument.lots(frames.decimal(ticker.askSz, "askSz")),
            venue_ms=frames.milliseconds(ticker.ts, "ts"),
        )

    def _traded(self, trade: frames.Traded, at: Nanos) -> Output:
        instrument = self._instrument(trade.instId)
        side = {"buy": Side.BUY, "sell": Side.SELL}.get(trade.side)
        if side is None:
            raise ValueError(f"side: expected buy or sell, found {trade.side[:40]!r}")
        return MarketTraded(
            at=at,
            instrument=instrument.id,
            ticks=instrument.ticks(frames.decimal(trade.px, "px")),
            lots=instrument.lots(frames.decimal(trade.sz, "sz")),
            side=side,
            trade_id=trade.tradeId,
            venue_ms=frames.milliseconds(trade.ts, "ts"),
        )

    def _marked(self, mark: frames.MarkPrice, at: Nanos) -> Output:
        return Marked(
            at=at,
            instrument=self._id(mark.instId),
            mark=frames.decimal(mark.markPx, "markPx"),
            venue_ms=frames.milliseconds(mark.ts, "ts"),
        )

    def _indexed(self, tickers: list[frames.IndexTicker], at: Nanos) -> list[Output]:
        """An index price belongs to every instrument that is made on it."""
        return [
            Marked(
                at=at,
                instrument=instrument,
                index=frames.decimal(ticker.idxPx, "idxPx"),
                venue_ms=frames.milliseconds(ticker.ts, "ts"),
            )
            for ticker in tickers
            for instrument in self._by_index.get(ticker.instId, ())
        ]

    def _funded(self, rate: frames.FundingRate, at: Nanos) -> list[Output]:
        instrument = self._id(rate.instId)
        due = frames.moment(rate.fundingTime, "fundingTime")
        after = frames.moment(rate.nextFundingTime, "nextFundingTime")
        interval_ms = (after - due) // MILLI if after > due > 0 else 0
        outputs: list[Output] = self._interval(instrument, interval_ms, at)
        periods = (
            (rate.fundingRate, due, "fundingRate"),
            (rate.nextFundingRate, after, "nextFundingRate"),
        )
        for text, when, field in periods:
            value = frames.decimal_or_none(text, field)
            if value is not None and when > 0:
                outputs.append(
                    FundingForecast(
                        at=at,
                        instrument=instrument,
                        rate=value,
                        due=when,
                        interval_ms=interval_ms,
                    )
                )
        return outputs

    def _interval(self, instrument: InstrumentId, interval_ms: int, at: Nanos) -> list[Output]:
        """The instrument anew where its funding interval is not the one we knew."""
        known = self._instruments.get(instrument)
        if known is None or not interval_ms or known.funding_interval_ms == interval_ms:
            return []
        changed = msgspec.structs.replace(known, funding_interval_ms=interval_ms)
        self._instruments[instrument] = changed
        return [InstrumentListed(at=at, instrument=changed)]

    def _instrument(self, symbol: str) -> Instrument:
        instrument = self._instruments.get(self._id(symbol))
        if instrument is None:
            raise ValueError(f"instId: {symbol[:40]!r} is not an instrument okx has listed")
        return instrument

    def _id(self, symbol: str) -> InstrumentId:
        """Our id of a symbol; its name tells the market where no list has yet."""
        return self._by_symbol.get(symbol) or identity(symbol)

    def _rejected(self, reason: str, frame: bytes, at: Nanos, socket: str) -> FrameRejected:
        excerpt = frame[:120].decode(errors="replace")
        return FrameRejected(at=at, venue="okx", socket=socket, reason=reason, excerpt=excerpt)


def _channels(want: Wanted, instrument: Instrument) -> list[tuple[str, str]]:
    """Channel and instId of everything wanted for one instrument."""
    symbol = instrument.symbol
    found: list[tuple[str, str]] = []
    if want.book:
        found.append(("books", symbol))
    if want.trades:
        found.append(("trades", symbol))
    if want.ticker:
        found.append(("bbo-tbt", symbol))
        if instrument.is_derivative:
            found.append(("mark-price", symbol))
            found.append(("index-tickers", f"{instrument.base}-{instrument.quote}"))
        if instrument.funding_interval_ms:
            found.append(("funding-rate", symbol))
    return found


def _list_of(data: msgspec.Raw, kind: type[T]) -> list[T]:
    return msgspec.json.decode(data, type=list[kind])  # type: ignore[valid-type]


def _level(instrument: Instrument, levels: list[list[str]], field: str) -> tuple[Ticks, Lots]:
    """The one level of a side, (0, 0) where it is empty. Raises ValueError naming the field."""
    if not levels:
        return Ticks(0), Lots(0)
    if len(levels[0]) < 2:
        raise ValueError(f"{field}: expected [price, size, ...], found {levels[0]}")
    price = frames.decimal(levels[0][0], field)
    return instrument.ticks(price), instrument.lots(frames.decimal(levels[0][1], field))


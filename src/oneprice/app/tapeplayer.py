"""Plays the records of one recording to the dialects and keeps score of every book."""

import re
from array import array
from collections.abc import Sequence

import msgspec

from oneprice.app.tapefeeds import Place, Seen, identity, is_book, snapshot_asked, symbol_in
from oneprice.app.tapehabits import HABITS
from oneprice.app.tapeoracle import Oracle, touch_of
from oneprice.app.tapereport import FileReport, InstrumentReport
from oneprice.kernel import BadLevels, Book
from oneprice.model.events import (
    BookReady,
    FeedLost,
    FrameRejected,
    FundingForecast,
    Marked,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import SECOND, InstrumentId, Nanos
from oneprice.store.contract import Record, TapeKind
from oneprice.store.forms import stamped
from oneprice.venues.contract import Answer, Feed, Output
from oneprice.venues.okx.feed import OkxFeed

_LATE = SECOND
_REASONS_MAX = 5
_SNAPSHOT_ID = re.compile(rb'"lastUpdateId"\s*:\s*(\d+)')
_SIDE = re.compile(rb'"(?:bids|asks|b|a)"\s*:\s*\[((?:\[[^\]]*\][\s,]*)*)\]')
_PRICE = re.compile(rb'\[\s*"?([0-9.]+)')
_TRADE = re.compile(rb'"e"\s*:\s*"(trade|aggTrade)"')
_TRADE_IDS = {
    b"trade": re.compile(rb'"t"\s*:\s*(\d+)'),
    b"aggTrade": re.compile(rb'"a"\s*:\s*(\d+)'),
}


class Line:
    """One instrument while its recording is played."""

    def __init__(self, report: InstrumentReport, seen: Seen, instrument: Instrument) -> None:
        self.report = report
        self.seen = seen
        self.instrument = instrument
        self.snapshot_id = 0
        self.habits = HABITS[report.venue]
        self.oracle: Oracle = self.habits.oracle()
        self.others = 0  # frames of books of fewer levels
        self.ready = 0
        self.first = 0
        self.last = 0
        self.last_trade = -1
        self.lags = array("q")


class Player:
    """Feeds the records of one recording to the dialects and keeps score."""

    def __init__(
        self, feeds: dict[str, Feed], lines: dict[InstrumentId, Line], file: FileReport
    ) -> None:
        self._feeds = feeds
        self._lines = lines
        self._file = file
        self._up: dict[tuple[str, str], bool] = {}

    def assume_start(self, name: InstrumentId, line: Line) -> None:
        """Let the first event follow on an empty book: only its order can be proven then."""
        assumed = line.habits.assumed
        body = assumed(line.seen.first_book) if assumed is not None else b""
        if body:
            self._answer(name, body, Nanos(0))

    def play(self, record: Record, place: Place) -> None:
        feed = self._feeds.get(place.venue)
        if feed is None:
            return
        at = Nanos(record.at)
        match record.kind:
            case TapeKind.FRAME if place.socket:
                self._frame(feed, record, place)
            case TapeKind.ANSWER if place.socket:
                question, _, body = record.payload.partition(b"\n")
                symbol = snapshot_asked(question)
                if symbol:
                    self._answer(identity(place, symbol), body, at)
            case TapeKind.LINK_UP | TapeKind.LINK_DOWN:
                link = (place.venue, place.socket)
                # A connection made anew ends the one before, also where nobody told its end.
                if record.kind == TapeKind.LINK_DOWN or self._up.get(link):
                    lost = [n for n in feed.books if self._lines[n].seen.place == place]
                    self._score(feed.dropped(lost, at))
                self._up[link] = record.kind == TapeKind.LINK_UP

    def _answer(self, name: InstrumentId, body: bytes, at: Nanos) -> None:
        line = self._lines.get(name)
        if line is None:
            return
        _whole(line, body)
        feed = self._feeds[line.report.venue]
        if name not in feed.books:
            _alone(line, body)
            return
        request = feed.snapshot(name)
        if request is not None:
            found = _SNAPSHOT_ID.search(body)
            line.snapshot_id = int(found[1]) if found else 0
            self._score(feed.answered(Answer(tag=request.tag, status=200, body=body), at))

    def _frame(self, feed: Feed, record: Record, place: Place) -> None:
        symbol = symbol_in(record, place)
        name = identity(place, symbol)
        line = self._lines.get(name)
        if line is not None and self._other_depth(line, record.payload):
            return
        outputs = feed.decode(place.socket, record.payload, Nanos(record.at))
        if outputs:
            self._score(outputs)
        if line is None:
            return
        line.report.frames += 1
        line.first = line.first or record.at
        line.last = record.at
        if is_book(place, record.payload):
            if line.habits.assumed is None and any(isinstance(o, BookReady) for o in outputs):
                _whole(line, record.payload)
            self._book(feed, line, name, record)
        elif trade := _TRADE.search(record.payload):
            self._trade(line, trade[1], record.payload)

    def _other_depth(self, line: Line, frame: bytes) -> bool:
        """Of several depths of one instrument the deepest is checked."""
        levels = line.habits.levels(frame)
        if not levels or levels == line.seen.depth:
            return False
        if not line.others:
            name = line.report.instrument
            self._file.notes.append(f"{name}: its books of fewer levels are passed over")
        line.others += 1
        return True

    def _book(self, feed: Feed, line: Line, name: InstrumentId, record: Record) -> None:
        line.report.updates += 1
        stamp = stamped(record.payload)
        if stamp:
            line.lags.append(record.at - stamp)
        book = feed.books.get(name)
        if book is None or not book.known or not line.ready:
            return
        if line.report.start == "recorded":
            line.oracle.book(line.habits.moment(record, book), touch_of(book))

    def _trade(self, line: Line, kind: bytes, frame: bytes) -> None:
        found = _TRADE_IDS[kind].search(frame)
        if found is None:
            return
        line.report.trades += 1
        number = int(found[1])
        if line.last_trade >= 0 and number != line.last_trade + 1:
            line.report.trade_gaps += 1
            _tell(line, f"trade {number} after {line.last_trade}")
        line.last_trade = number

    def _score(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case FrameRejected(reason=reason, excerpt=excerpt):
                    self._file.rejected += 1
                    if len(self._file.findings) < _REASONS_MAX:
                        self._file.findings.append(f"frame not understood: {reason}: {excerpt}")
                    self._file.ok = False
                case BookReady(instrument=name) if name in self._lines:
                    line = self._lines[name]
                    line.report.resyncs += line.ready > 0
                    line.ready += 1
                    line.oracle.begin(line.snapshot_id)
                case FeedLost(instrument=name, reason=reason, detail=detail):
                    if name in self._lines:
                        _lost(self._lines[name], reason, detail)
                case TouchQuoted(instrument=name) if name in self._lines:
                    self._lines[name].report.quotes += 1
                    self._lines[name].oracle.quote(output)
                case Marked(instrument=name) if name in self._lines:
                    self._lines[name].report.marks += 1
                case FundingForecast(instrument=name) if name in self._lines:
                    self._lines[name].report.forecasts += 1
                case MarketTraded(instrument=name) if not name.startswith("binance:"):
                    if name in self._lines:
                        self._lines[name].report.trades += 1
                case _:
                    pass


def _whole(line: Line, message: bytes) -> None:
    """A whole book names each price once; the kernel would take the later of two."""
    for side in _SIDE.findall(message):
        prices = _PRICE.findall(side)
        if len(set(prices)) < len(prices):
            twice = next(price for price in prices if prices.count(price) > 1).decode()
            losses = line.report.losses
            losses["duplicate"] = losses.get("duplicate", 0) + 1
            _tell(line, f"duplicate: price {twice} is twice in one snapshot")


class _Sides(msgspec.Struct):
    """The two sides of a snapshot, bare or within `data`."""

    bids: msgspec.Raw = msgspec.Raw(b"[]")
    asks: msgspec.Raw = msgspec.Raw(b"[]")
    data: "_Sides | None" = None


_ANSWER = msgspec.json.Decoder(_Sides)


def _alone(line: Line, body: bytes) -> None:
    """A snapshot of an instrument without events: all it can be is a book that makes sense."""
    line.report.updates += 1
    book = Book(line.instrument.tick, line.instrument.lot)
    try:
        sides = _ANSWER.decode(body)
        sides = sides.data or sides
        book.snapshot(bytes(sides.bids), bytes(sides.asks), 0, 0)
    except (msgspec.DecodeError, BadLevels) as error:
        _lost(line, "malformed", f"snapshot: {error}")
        return
    if book.crossed:
        _lost(line, "crossed", "snapshot")
    line.ready += 1


def _lost(line: Line, reason: str, detail: str) -> None:
    line.oracle.lost()
    report = line.report
    match reason:
        case "gap":
            report.gaps += 1
        case "crossed":
            report.crossed += 1
        case _:
            report.losses[reason] = report.losses.get(reason, 0) + 1
    if reason != "disconnected":
        _tell(line, f"{reason}: {detail}")


def _tell(line: Line, reason: str) -> None:
    if len(line.report.reasons) < _REASONS_MAX:
        line.report.reasons.append(reason)


def take_checksums(feed: OkxFeed, lines: dict[InstrumentId, Line]) -> None:
    """Where frames carried a checksum it is the oracle: it covers sizes and 25 levels."""
    for name, tally in feed.checksums.items():
        if tally.compared and name in lines:
            report = lines[name].report
            report.compared, report.equal = tally.compared, tally.equal
            report.oracle = "checksum of 25 levels"


def conclude(line: Line) -> None:
    """Turn what was counted into a verdict."""
    report, oracle = line.report, line.oracle
    oracle.finish()
    if not report.oracle:
        report.compared, report.equal = oracle.compared, oracle.equal
        report.undecided = oracle.undecided
        if report.compared:
            report.oracle = line.habits.told
        for text in oracle.unequal:
            _tell(line, f"unequal {text}")
    elapsed = line.last - line.first
    if elapsed > 0:
        report.rate_per_second = round(report.frames * SECOND / elapsed, 1)
    if line.lags:
        promptest = min(line.lags)
        report.late = sum(lag - promptest > _LATE for lag in line.lags)
    if report.updates and not line.ready:
        _tell(line, "the book never became known")
    wrong = {reason: n for reason, n in report.losses.items() if reason != "disconnected"}
    report.ok = (
        not (report.gaps or report.crossed or report.trade_gaps or wrong)
        and report.compared == report.equal
        and not (report.updates and not line.ready)
    )

"""Rebuilds every book of a recording with the real dialects and tells whether it was right."""

import difflib
import re
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from oneprice.app.tapefeeds import (
    FEEDS,
    Place,
    Seen,
    Survey,
    identity,
    is_book,
    neutral,
    prepared,
    survey,
    symbol_in,
)
from oneprice.app.tapeoracle import Oracle, oracle_for, touch_of
from oneprice.kernel import BadLevels, Book
from oneprice.model.events import BookReady, FeedLost, FrameRejected, MarketTraded, TouchQuoted
from oneprice.model.instrument import Instrument
from oneprice.model.units import SECOND, InstrumentId, Nanos
from oneprice.store.contract import Finding, NotATape, Record, TapeDamaged, TapeKind
from oneprice.store.files import Unreadable
from oneprice.store.forms import stamped
from oneprice.store.recordings import (
    VENUES,
    Recording,
    Unknown,
    gathered,
    recognised,
    records,
)
from oneprice.venues.contract import Answer, Feed, Output
from oneprice.venues.okx.feed import OkxFeed

_LATE = SECOND
_REASONS_MAX = 5
_CROSS_SEQUENCE = re.compile(rb'"seq"\s*:\s*(\d+)')
_SNAPSHOT_ID = re.compile(rb'"lastUpdateId"\s*:\s*(\d+)')
_TRADE = re.compile(rb'"e"\s*:\s*"(trade|aggTrade)"')
_TRADE_IDS = {
    b"trade": re.compile(rb'"t"\s*:\s*(\d+)'),
    b"aggTrade": re.compile(rb'"a"\s*:\s*(\d+)'),
}


class Unusable(ValueError):
    """Input that nothing can be made of: missing, empty, unknown, or broken as a file."""


class InstrumentReport(msgspec.Struct, kw_only=True):
    """What came of one instrument's book.

    `late` counts book frames more than a second later than the promptest one would suggest (the
    two clocks need not agree). `compared` and `equal`: see `oracle`.
    """

    file: str
    venue: str
    market: str
    instrument: InstrumentId
    frames: int = 0
    updates: int = 0
    gaps: int = 0
    resyncs: int = 0
    crossed: int = 0
    compared: int = 0
    equal: int = 0
    late: int = 0
    rate_per_second: float = 0.0
    losses: dict[str, int] = {}  # other reasons why the book was lost
    trades: int = 0
    trade_gaps: int = 0
    undecided: int = 0  # quotes that no rule could compare
    start: str = "none"  # none, recorded, or assumed: no snapshot, levels before it are unknown
    grid: str = "listed"  # listed, or inferred from the numbers seen
    oracle: str = ""
    reasons: list[str] = []
    ok: bool = True


class FileReport(msgspec.Struct, kw_only=True):
    """What one recording is; `read` False means that there is no book to be made from it."""

    path: str
    form: str
    venue: str = ""
    market: str = ""
    read: bool = True
    reason: str = ""
    records: int = 0
    rejected: int = 0
    findings: list[str] = []
    notes: list[str] = []
    ok: bool = True


class Report(msgspec.Struct, kw_only=True):
    """The whole answer. `seconds` is how long the check took."""

    files: list[FileReport] = []
    instruments: list[InstrumentReport] = []
    seconds: float = 0.0
    ok: bool = True


class _Line:
    """One instrument while its recording is played."""

    def __init__(self, report: InstrumentReport, seen: Seen, instrument: Instrument) -> None:
        self.report = report
        self.seen = seen
        self.instrument = instrument
        self.snapshot_id = 0
        self.oracle: Oracle = oracle_for(report.venue)
        self.ready = 0
        self.first = 0
        self.last = 0
        self.last_trade = -1
        self.lags = array("q")


def check(
    paths: Sequence[Path],
    venue: str = "",
    market: str = "",
    told: Callable[[str], None] = lambda name: None,
) -> Report:
    """Check every recording named, and every one below a directory named.

    `told` hears of each recording before it is checked. Raises Unusable naming the path where
    something named is no recording, or the venue or market where there is none such; below a
    directory, what is no recording is listed as such.
    """
    began = time.monotonic()
    report = Report()
    known_origin(venue, market)
    for recording in found_in(paths, venue, market, report.files):
        told(str(recording.paths[0]))
        check_one(recording, report)
    report.seconds = round(time.monotonic() - began, 3)
    report.ok = all(each.ok for each in report.files) and all(
        each.ok for each in report.instruments
    )
    return report


def known_origin(venue: str, market: str) -> None:
    """Raises Unusable, with the nearest name there is, for a venue or market unknown to us."""
    if venue and venue not in VENUES:
        raise Unusable(_unknown("venue", venue, VENUES))
    feeds = [made() for name, made in FEEDS.items() if venue in ("", name)]
    markets = [each for feed in feeds for each in feed.spec.markets]
    if market and market not in markets:
        raise Unusable(_unknown("market", market, markets))


def _unknown(what: str, found: str, there: Sequence[str]) -> str:
    near = difflib.get_close_matches(found, there, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{what}: found {found!r}, expected one of {', '.join(there)}{hint}"


def found_in(
    paths: Sequence[Path], venue: str, market: str, files: list[FileReport]
) -> Iterator[Recording]:
    """The recordings below these paths, each once; what is unread goes to `files`."""
    for path in paths:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise Unusable(f"{path}: found no regular file, expected a recording")
    taken: dict[Path, bool] = {}
    for path in paths:
        if not path.exists():
            beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
            near = difflib.get_close_matches(path.name, beside, n=1)
            hint = f"; did you mean {path.parent / near[0]}?" if near else ""
            raise Unusable(f"{path}: no such file or directory{hint}")
        below = gathered([path])
        if not below:
            raise Unusable(f"{path}: the directory holds no files")
        for each in below:
            if each.resolve() in taken:
                continue
            try:
                recording = recognised(each, venue, market)
            except (Unknown, Unreadable, NotATape, OSError) as error:
                if not path.is_dir():
                    raise Unusable(str(error)) from None
                reason = str(error).removeprefix(f"{each}: ")
                files.append(FileReport(path=str(each), form="", read=False, reason=reason))
                continue
            for part in recording.paths:
                taken[part.resolve()] = True
            yield recording


def check_one(recording: Recording, report: Report) -> None:
    """Play one recording and add what came of it."""
    file = FileReport(
        path=str(recording.paths[0]),
        form=recording.form,
        venue=recording.venue,
        market=recording.market,
    )
    report.files.append(file)
    if recording.unread:
        file.read, file.reason = False, recording.unread
        return
    if recording.form != "tape" and recording.venue not in FEEDS:
        raise Unusable(f"{recording.paths[0]}: cannot tell the venue; name it with --venue")
    try:
        found = survey(_only_records(recording))
        if found.placeless and not found.instruments and recording.form != "tape":
            raise Unusable(f"{recording.paths[0]}: cannot tell the market; name it with --market")
        file.venue = file.venue or ", ".join(found.venues())
        lines = _played(recording, found, file)
    except (Unreadable, TapeDamaged, NotATape) as error:
        file.ok = False
        file.findings.append(str(error))
        return
    for line in lines.values():
        _conclude(line)
        report.instruments.append(line.report)


def _only_records(recording: Recording) -> Iterator[Record]:
    for item in neutral(records(recording)):
        if isinstance(item, Record):
            yield item


def _played(recording: Recording, found: Survey, file: FileReport) -> dict[InstrumentId, _Line]:
    lines: dict[InstrumentId, _Line] = {}
    feeds: dict[str, Feed] = {}
    for venue in found.venues():
        ready = prepared(found, venue)
        feeds[venue] = ready.feed
        file.notes += ready.notes
        for name, instrument in ready.instruments.items():
            seen = found.instruments[name]
            lines[name] = _line(instrument, seen, str(recording.paths[0]), ready.grids[name])
    player = _Player(feeds, lines, file)
    for name, line in lines.items():
        if line.seen.books and not line.seen.snapshots and line.report.venue == "binance":
            player.assume_start(name, line)
    for item in neutral(records(recording)):
        if isinstance(item, Finding):
            (file.findings if item.wrong else file.notes).append(f"{item.place}: {item.reason}")
            file.ok = file.ok and not item.wrong
            continue
        file.records += 1
        place = found.places.get(item.source)
        if place is not None:
            player.play(item, place)
    for feed in feeds.values():
        if isinstance(feed, OkxFeed):
            _checksums(feed, lines)
    return lines


def _line(instrument: Instrument, seen: Seen, file: str, grid: str) -> _Line:
    report = InstrumentReport(
        file=file,
        venue=instrument.venue,
        market=instrument.market,
        instrument=instrument.id,
        grid=grid,
    )
    if seen.books or seen.snapshots:
        recorded = seen.snapshots or instrument.venue != "binance"
        report.start = "recorded" if recorded else "assumed"
    return _Line(report, seen, instrument)


class _Player:
    """Feeds the records of one recording to the dialects and keeps score."""

    def __init__(
        self, feeds: dict[str, Feed], lines: dict[InstrumentId, _Line], file: FileReport
    ) -> None:
        self._feeds = feeds
        self._lines = lines
        self._file = file
        self._up: dict[tuple[str, str], bool] = {}

    def assume_start(self, name: InstrumentId, line: _Line) -> None:
        """Let the first event follow on an empty book: only its order can be proven then."""
        event = line.seen.first_book
        link = re.search(rb'"pu"\s*:\s*(\d+)', event) or re.search(rb'"U"\s*:\s*(\d+)', event)
        if link is None:
            return
        last = int(link[1]) if b'"pu"' in event else int(link[1]) - 1
        body = b'{"lastUpdateId":%d,"bids":[],"asks":[]}' % last
        self._answer(name, body, Nanos(0))

    def play(self, record: Record, place: Place) -> None:
        feed = self._feeds.get(place.venue)
        if feed is None:
            return
        at = Nanos(record.at)
        match record.kind:
            case TapeKind.FRAME if place.socket:
                self._frame(feed, record, place)
            case TapeKind.ANSWER:
                question, _, body = record.payload.partition(b"\n")
                found = re.search(rb"depth\?(?:.*&)?symbol=([A-Z0-9_]+)", question)
                if found:
                    self._answer(identity(place, found[1].decode()), body, at)
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
        outputs = feed.decode(place.socket, record.payload, Nanos(record.at))
        if outputs:
            self._score(outputs)
        if line is None:
            return
        line.report.frames += 1
        line.first = line.first or record.at
        line.last = record.at
        if is_book(place, record.payload):
            self._book(feed, line, name, record)
        elif trade := _TRADE.search(record.payload):
            self._trade(line, trade[1], record.payload)

    def _book(self, feed: Feed, line: _Line, name: InstrumentId, record: Record) -> None:
        line.report.updates += 1
        stamp = stamped(record.payload)
        if stamp:
            line.lags.append(record.at - stamp)
        book = feed.books.get(name)
        if book is None or not book.known or not line.ready:
            return
        sequence = book.sequence
        if line.report.venue == "bybit":
            # Tickers name the sequence that all markets share, books prove themselves by another.
            found = _CROSS_SEQUENCE.search(record.payload)
            sequence = int(found[1]) if found else 0
        if line.report.start == "recorded":
            line.oracle.book(sequence, touch_of(book))

    def _trade(self, line: _Line, kind: bytes, frame: bytes) -> None:
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
                    self._lines[name].oracle.quote(output)
                case MarketTraded(instrument=name) if not name.startswith("binance:"):
                    if name in self._lines:
                        self._lines[name].report.trades += 1
                case _:
                    pass


class _Sides(msgspec.Struct):
    bids: msgspec.Raw
    asks: msgspec.Raw


def _alone(line: _Line, body: bytes) -> None:
    """A snapshot of an instrument without events: all it can be is a book that makes sense."""
    line.report.updates += 1
    book = Book(line.instrument.tick, line.instrument.lot)
    try:
        sides = msgspec.json.decode(body, type=_Sides)
        book.snapshot(bytes(sides.bids), bytes(sides.asks), 0, 0)
    except (msgspec.DecodeError, BadLevels) as error:
        _lost(line, "malformed", f"snapshot: {error}")
        return
    if book.crossed:
        _lost(line, "crossed", "snapshot")
    line.ready += 1


def _lost(line: _Line, reason: str, detail: str) -> None:
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


def _tell(line: _Line, reason: str) -> None:
    if len(line.report.reasons) < _REASONS_MAX:
        line.report.reasons.append(reason)


def _checksums(feed: OkxFeed, lines: dict[InstrumentId, _Line]) -> None:
    """Where frames carried a checksum it is the oracle: it covers sizes and 25 levels."""
    for name, tally in feed.checksums.items():
        if tally.compared and name in lines:
            report = lines[name].report
            report.compared, report.equal = tally.compared, tally.equal
            report.oracle = "checksum of 25 levels"


def _conclude(line: _Line) -> None:
    """Turn what was counted into a verdict."""
    report, oracle = line.report, line.oracle
    if not report.oracle:
        report.compared, report.equal = oracle.compared, oracle.equal
        report.undecided = oracle.undecided
        if report.compared:
            names = {"binance": "bookTicker, price and size", "bybit": "tickers, prices"}
            report.oracle = names.get(report.venue, "bbo-tbt, prices")
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

"""Sets up a dialect's feed for a recording: its instruments, books and the names of sockets.

Instruments come from the lists in the recording. Where there is none, one is written in the
venue's own words, on a grid as fine as the finest number seen, so that the feed learns of it in
the way it always does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial

import msgspec

from oneprice.app.tapegrids import Described, described_list, grid
from oneprice.app.tapehabits import HABITS, WHOLE
from oneprice.model.events import InstrumentListed
from oneprice.model.instrument import Instrument, instrument_id, split_id
from oneprice.model.units import InstrumentId, Nanos, plain
from oneprice.shell.desk import InputKind
from oneprice.store.contract import Finding, Record, TapeKind
from oneprice.venues.contract import Answer, Feed, Request, Wanted

FEEDS: Mapping[str, Callable[[], Feed]] = {
    name: partial(habits.feed, True) for name, habits in HABITS.items()
}

_LEVEL = re.compile(rb'\[\s*"?\d+(?:\.(\d+))?"?\s*,\s*"?\d+(?:\.(\d+))?')
_ASKED = re.compile(rb"[?&]symbol=([A-Z0-9_-]+)")
_WHOLE_BOOK = re.compile(rb"(?:depth|level2(?:/snapshot)?)\?")


class Place(msgspec.Struct, frozen=True):
    """Where a record came from, in the words of its dialect."""

    venue: str
    socket: str
    market: str  # "" where one socket carries several markets


class Seen(msgspec.Struct):
    """What a first pass found about one instrument."""

    place: Place
    symbol: str
    price_decimals: int = 0
    size_decimals: int = 0
    depth: int = 0  # levels of the deepest book topic, 0: the venue does not name them
    frames: int = 0
    books: int = 0
    snapshots: int = 0
    first_book: bytes = b""


class Survey(msgspec.Struct):
    """Everything a recording mentions, before anything is rebuilt."""

    instruments: dict[InstrumentId, Seen] = {}
    lists: dict[str, list[bytes]] = {}  # venue -> payloads "url\nbody"
    places: dict[str, Place | None] = {}  # source text -> place, None: not a venue of ours
    placeless: int = 0  # frames of a venue of ours whose market nobody named

    def venues(self) -> list[str]:
        """The venues of the instruments, in the order of their names."""
        return sorted({seen.place.venue for seen in self.instruments.values()})


_ANSWERS = msgspec.json.Decoder(Answer)


def neutral(records: Iterable[Record | Finding]) -> Iterator[Record | Finding]:
    """The same stream with the inputs of a live session told as recordings tell them.

    A session's tape keeps HTTP answers with their tags and losses of sockets as kinds of its own
    (`shell.desk.InputKind`); what concerns no public feed passes through and is skipped later.
    """
    questions: dict[tuple[str, str], bytes] = {}
    for item in records:
        if not isinstance(item, Record) or item.kind < InputKind.ANSWER:
            yield item
        elif item.kind == InputKind.DROPPED:
            yield Record(item.at, item.source, TapeKind.LINK_DOWN, b"")
        elif item.kind == InputKind.ANSWER and item.source.endswith("/feed"):
            venue = item.source.partition("/")[0]
            try:
                answer = _ANSWERS.decode(item.payload)
            except msgspec.DecodeError as error:
                yield Finding(f"at {item.at}", f"an answer that cannot be read: {error}")
                continue
            question = questions.get((venue, answer.tag)) or _question(venue, answer.tag)
            questions[venue, answer.tag] = question
            if question and answer.status == 200:
                market = _market_of_tag(answer.tag)
                payload = question + b"\n" + answer.body
                yield Record(item.at, f"{venue}/{market}", TapeKind.ANSWER, payload)


def _question(venue: str, tag: str) -> bytes:
    """The path and query that a request of this tag has, b"" where it is of no use here."""
    kind, _, rest = tag.partition(":")
    if venue not in FEEDS:
        return b""
    if kind == "snapshot":
        return b"depth?symbol=" + rest.rpartition(":")[2].encode()
    feed = FEEDS[venue]()
    if rest not in feed.spec.markets:
        return b""
    for request in feed.instruments([rest]):
        if request.tag == tag:
            return f"{request.path}?{request.query}".encode()
    return b""


def _market_of_tag(tag: str) -> str:
    kind, _, rest = tag.partition(":")
    return split_id(rest)[1] if kind == "snapshot" else rest


def place_of(source: str) -> Place | None:
    """The place of "venue/socket" or "venue/market"; None where no public feed is meant."""
    venue, _, rest = source.partition("/")
    if venue not in FEEDS:
        return None
    spec = FEEDS[venue]().spec
    for socket in spec.sockets:
        if socket.name == rest:
            public = socket.role == "public"
            return Place(venue, socket.name, socket.market) if public else None
    for socket in spec.sockets:
        if socket.role == "public" and socket.market in (rest, "") and rest in spec.markets:
            return Place(venue, socket.name, socket.market)
    first = next((each for each in spec.sockets if each.role == "public"), None)
    if first is not None and not first.market:
        return Place(venue, first.name, "")
    return Place(venue, "", "")


def symbol_in(record: Record, place: Place) -> str:
    """The symbol a frame is about, "" where it names none."""
    return HABITS[place.venue].symbol(record.payload)


def identity(place: Place, symbol: str) -> InstrumentId:
    """Our id of a symbol met at a place."""
    market = place.market or HABITS[place.venue].market(symbol)
    return instrument_id(place.venue, market, symbol)


def is_book(place: Place, frame: bytes) -> bool:
    """Whether a frame changes an order book."""
    return HABITS[place.venue].book.search(frame) is not None


def snapshot_asked(question: bytes) -> str:
    """The symbol whose whole book was asked for over HTTP, "" for another question."""
    asked = _ASKED.search(question) if _WHOLE_BOOK.search(question) else None
    return asked[1].decode() if asked else ""


def survey(records: Iterable[Record]) -> Survey:
    """The first pass: which instruments there are, how fine their numbers, which lists."""
    found = Survey()
    for record in records:
        if record.source not in found.places:
            found.places[record.source] = place_of(record.source)
        place = found.places[record.source]
        if place is None:
            continue
        if record.kind == TapeKind.ANSWER:
            question = record.payload.partition(b"\n")[0]
            if any(word in question for word in HABITS[place.venue].lists):
                found.lists.setdefault(place.venue, []).append(record.payload)
            elif place.socket and (asked := snapshot_asked(question)):
                seen = _seen(found, place, asked)
                seen.snapshots += 1
                _measure_levels(seen, record.payload)
        elif record.kind == TapeKind.FRAME and not place.socket:
            found.placeless += 1
        elif record.kind == TapeKind.FRAME:
            _survey_frame(found, place, record)
    return found


def _survey_frame(found: Survey, place: Place, record: Record) -> None:
    symbol = symbol_in(record, place)
    if not symbol or b'"event"' in record.payload[:40]:
        return
    seen = _seen(found, place, symbol)
    seen.frames += 1
    habits = HABITS[place.venue]
    frame = record.payload
    if is_book(place, frame):
        seen.books += 1
        seen.first_book = seen.first_book or frame
        seen.depth = max(seen.depth, habits.levels(frame))
        _measure_levels(seen, frame)
        if not habits.fields_in_books:
            return
    elif habits.off_grid is not None and habits.off_grid.search(frame):
        return  # mark prices and volumes of bars; trades and touches are on the grid
    _measure(seen, habits.price.findall(frame), habits.size.findall(frame))


def _seen(found: Survey, place: Place, symbol: str) -> Seen:
    name = identity(place, symbol)
    seen = found.instruments.get(name)
    if seen is None:
        seen = found.instruments[name] = Seen(place=place, symbol=symbol)
    return seen


def _measure_levels(seen: Seen, payload: bytes) -> None:
    levels = _LEVEL.findall(payload)
    _measure(seen, [price for price, _ in levels], [size for _, size in levels])


def _measure(seen: Seen, prices: list[bytes], sizes: list[bytes]) -> None:
    seen.price_decimals = max(seen.price_decimals, _finest(prices))
    seen.size_decimals = max(seen.size_decimals, _finest(sizes))


def _finest(fractions: Iterable[bytes]) -> int:
    """The most digits that count: zeros at the end do not."""
    return max((len(digits.rstrip(b"0")) for digits in fractions), default=0)


class Prepared(msgspec.Struct, frozen=True):
    """A feed that knows every instrument surveyed, and where their grids came from."""

    feed: Feed
    instruments: dict[InstrumentId, Instrument]
    listed: dict[InstrumentId, Instrument]  # as the recorded lists describe them
    grids: dict[InstrumentId, str]  # listed, inferred, or refined
    notes: list[str]


def prepared(found: Survey, venue: str) -> Prepared:
    """A feed of this venue that keeps every book surveyed.

    Where no list describes an instrument its grid is inferred. Where the numbers are finer than
    the list says the grid is refined: orders keep the grid they were made on, so after a venue
    has made its grid coarser old ones stand between the steps for months.
    """
    mine = {name: seen for name, seen in found.instruments.items() if seen.place.venue == venue}
    views = [seen for seen in mine.values() if 0 < seen.depth < WHOLE]
    whole = any(seen.depth >= WHOLE for seen in mine.values()) or not views
    feed = HABITS[venue].feed(whole)
    known: dict[InstrumentId, Instrument] = {}
    lists = found.lists.get(venue, [])
    for market in _markets(feed, mine):
        for request in feed.instruments([market]):
            for body in _recorded(lists, request):
                _learn(feed, request, body, known)
    listed = {name: known[name] for name in mine if name in known}
    grids = dict.fromkeys(listed, "listed")
    notes: list[str] = []
    wanting: dict[InstrumentId, Described] = {}
    for name, seen in mine.items():
        described = _wanting(seen, known.get(name))
        if described is None:
            continue
        wanting[name] = described
        if name in known:
            tick, lot = plain(known[name].tick), plain(known[name].lot)
            notes.append(
                f"{name}: levels off the listed grid (tick {tick}, lot {lot}), read on "
                f"tick {described.tick}, lot {described.lot}"
            )
        grids[name] = "refined" if name in known else "inferred"
    for market in _markets(feed, wanting):
        rows = [row for name, row in wanting.items() if split_id(name)[1] == market]
        for request in feed.instruments([market]):
            if any(word in request.path.encode() for word in HABITS[venue].lists):
                _learn(feed, request, described_list(venue, market, rows), known)
    _open_books(feed, mine, known, notes)
    made = {name: known[name] for name in mine if name in known}
    return Prepared(feed, made, listed, grids, notes)


def _markets(feed: Feed, names: Iterable[InstrumentId]) -> list[str]:
    wanted = [split_id(name)[1] for name in names]
    return [market for market in feed.spec.markets if market in wanted]


def _wanting(seen: Seen, known: Instrument | None) -> Described | None:
    """The description a list does not give, or None where the listed grid holds every number."""
    price, size = grid(seen.price_decimals), grid(seen.size_decimals)
    if known is None:
        return Described(symbol=seen.symbol, tick=price, lot=size)
    tick = price if seen.price_decimals > _decimals(known.tick) else plain(known.tick)
    lot = size if seen.size_decimals > _decimals(known.lot) else plain(known.lot)
    if (Decimal(tick), Decimal(lot)) == (known.tick, known.lot):
        return None
    return Described(symbol=seen.symbol, tick=tick, lot=lot)


def _decimals(step: Decimal) -> int:
    """As many as the multiples of a step have: one for 0.5, none for 100."""
    return len(plain(step).partition(".")[2].rstrip("0"))


def _open_books(
    feed: Feed,
    mine: dict[InstrumentId, Seen],
    known: dict[InstrumentId, Instrument],
    notes: list[str],
) -> None:
    for name, seen in mine.items():
        if name not in known:
            notes.append(f"{name}: no instrument could be made of it")
            continue
        depth = seen.depth or 50
        book = seen.books > 0
        feed.topics([Wanted(instrument=name, book=book, depth=depth, trades=True, ticker=True)])


def _learn(
    feed: Feed, request: Request, body: bytes, known: dict[InstrumentId, Instrument]
) -> None:
    answer = Answer(tag=request.tag, status=200, body=body)
    for output in feed.answered(answer, Nanos(0)):
        if isinstance(output, InstrumentListed):
            known[output.instrument.id] = output.instrument


def _recorded(lists: list[bytes], request: Request) -> Iterator[bytes]:
    """Every recorded answer to the same question: pages, and lists asked for again."""
    for payload in lists:
        question, _, content = payload.partition(b"\n")
        path, _, query = question.decode(errors="replace").partition("?")
        same_kind = all(
            part in query for part in request.query.split("&") if part.startswith(_KINDS)
        )
        if path.endswith(request.path) and same_kind:
            yield content


# What tells one list of a venue from another.
_KINDS = ("category=", "instType=")

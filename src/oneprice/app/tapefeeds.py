"""Sets up a dialect's feed for a recording: its instruments, books and the names of sockets.

Instruments come from the lists in the recording. Where there is none, one is written in the
venue's own words, on a grid as fine as the finest number seen, so that the feed learns of it in
the way it always does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

import msgspec

from oneprice.app.tapegrids import Described, described_list, grid
from oneprice.kernel import Tripwires
from oneprice.model.events import InstrumentListed
from oneprice.model.instrument import Instrument, instrument_id, split_id
from oneprice.model.units import InstrumentId, Nanos, plain
from oneprice.shell.desk import InputKind
from oneprice.store.contract import Finding, Record, TapeKind
from oneprice.venues.binance.feed import BinanceFeed
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.contract import Answer, Feed, Request, Wanted
from oneprice.venues.okx.feed import OkxFeed
from oneprice.venues.okx.listing import market_of


def _binance() -> Feed:
    return BinanceFeed(Tripwires())


def _bybit() -> Feed:
    return BybitFeed(Tripwires())


def _okx() -> Feed:
    return OkxFeed(Tripwires())


FEEDS: Mapping[str, Callable[[], Feed]] = {"binance": _binance, "bybit": _bybit, "okx": _okx}

_SYMBOL = re.compile(rb'"(?:s|symbol|instId)"\s*:\s*"([A-Za-z0-9_-]+)"')
_TOPIC = re.compile(rb'"topic"\s*:\s*"(\w+)\.(?:(\w+)\.)?([A-Z0-9-]+)"')
_PRICE = re.compile(rb'"(?:p|b|a|px|bidPx|askPx|bid1Price|ask1Price)"\s*:\s*"\d+\.(\d+)"')
_SIZE = re.compile(rb'"(?:q|B|A|v|sz|bidSz|askSz|bid1Size|ask1Size)"\s*:\s*"\d+\.(\d+)"')
_LEVEL = re.compile(rb'\[\s*"\d+(?:\.(\d+))?"\s*,\s*"\d+(?:\.(\d+))?"')
_ASKED = re.compile(rb"[?&]symbol=([A-Z0-9_]+)")
_LISTS = ("exchangeInfo", "instruments-info", "instruments")
# Topics and channels that are a book, by venue.
_BOOKS = {
    "binance": re.compile(rb'"e"\s*:\s*"depthUpdate"'),
    "bybit": re.compile(rb'"topic"\s*:\s*"orderbook\.'),
    "okx": re.compile(rb'"channel"\s*:\s*"books'),
}


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
    depth: int = 0  # levels the book topic names, 0: not named
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
    """The place of "venue/socket" or "venue/market"; None for a venue without a dialect."""
    venue, _, rest = source.partition("/")
    if venue not in FEEDS:
        return None
    spec = FEEDS[venue]().spec
    for socket in spec.sockets:
        if socket.role == "public" and socket.name == rest:
            return Place(venue, socket.name, socket.market)
    for socket in spec.sockets:
        if socket.role == "public" and socket.market in (rest, "") and rest in spec.markets:
            return Place(venue, socket.name, socket.market)
    first = next((each for each in spec.sockets if each.role == "public"), None)
    if first is not None and not first.market:
        return Place(venue, first.name, "")
    return Place(venue, "", "")


def symbol_in(record: Record, place: Place) -> str:
    """The symbol a frame is about, "" where it names none."""
    if place.venue == "bybit" and (topic := _TOPIC.search(record.payload)):
        return topic[3].decode()
    found = _SYMBOL.search(record.payload)
    return found[1].decode() if found else ""


def identity(place: Place, symbol: str) -> InstrumentId:
    """Our id of a symbol met at a place."""
    market = place.market or (market_of(symbol) if place.venue == "okx" else "")
    return instrument_id(place.venue, market, symbol)


def is_book(place: Place, frame: bytes) -> bool:
    """Whether a frame changes an order book."""
    return _BOOKS[place.venue].search(frame) is not None


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
            if any(word.encode() in question for word in _LISTS):
                found.lists.setdefault(place.venue, []).append(record.payload)
            elif asked := _ASKED.search(question):
                seen = _seen(found, place, asked[1].decode())
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
    if not is_book(place, record.payload):
        # Mark prices and volumes of bars are finer than the grid; trades and touches are on it.
        if b"markPriceUpdate" not in record.payload and b"kline" not in record.payload:
            _measure(seen, _PRICE.findall(record.payload), _SIZE.findall(record.payload))
        return
    seen.books += 1
    seen.first_book = seen.first_book or record.payload
    _measure_levels(seen, record.payload)
    topic = _TOPIC.search(record.payload) if place.venue == "bybit" else None
    if topic is not None and topic[2] and topic[2].isdigit():
        seen.depth = seen.depth or int(topic[2])


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
    grids: dict[InstrumentId, str]  # listed, inferred, or refined
    notes: list[str]


def prepared(found: Survey, venue: str) -> Prepared:
    """A feed of this venue that keeps every book surveyed.

    Where no list describes an instrument its grid is inferred. Where the numbers are finer than
    the list says the grid is refined: orders keep the grid they were made on, so after a venue
    has made its grid coarser old ones stand between the steps for months.
    """
    feed = FEEDS[venue]()
    mine = {name: seen for name, seen in found.instruments.items() if seen.place.venue == venue}
    known: dict[InstrumentId, Instrument] = {}
    lists = found.lists.get(venue, [])
    for market in _markets(feed, mine):
        for request in feed.instruments([market]):
            for body in _recorded(lists, request):
                _learn(feed, request, body, known)
    grids = {name: "listed" for name in mine if name in known}
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
            if request.path.rpartition("/")[2] in _LISTS:
                _learn(feed, request, described_list(venue, market, rows), known)
    _open_books(feed, mine, known, notes)
    return Prepared(feed, {name: known[name] for name in mine if name in known}, grids, notes)


def _markets(feed: Feed, names: Iterable[InstrumentId]) -> list[str]:
    wanted = [split_id(name)[1] for name in names]
    return [market for market in feed.spec.markets if market in wanted]


def _wanting(seen: Seen, known: Instrument | None) -> Described | None:
    """The description a list does not give, or None where the listed grid holds every number."""
    price, size = grid(seen.price_decimals), grid(seen.size_decimals)
    if known is None:
        return Described(symbol=seen.symbol, tick=price, lot=size)
    fine_price = Decimal(price) % known.tick == 0
    fine_size = Decimal(size) % known.lot == 0
    if fine_price and fine_size:
        return None
    tick = plain(known.tick) if fine_price else plain(min(known.tick, Decimal(price)))
    lot = plain(known.lot) if fine_size else plain(min(known.lot, Decimal(size)))
    if (Decimal(tick), Decimal(lot)) == (known.tick, known.lot):
        return None  # a step like 0.5: as many decimals as its multiples
    return Described(symbol=seen.symbol, tick=tick, lot=lot)


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

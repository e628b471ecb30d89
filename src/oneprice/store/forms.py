"""Readers of the line forms in which people record venues: each gives back records in order."""

import heapq
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from oneprice.model.units import MICRO, SECOND, Nanos
from oneprice.store.contract import Finding, Record, TapeKind
from oneprice.store.files import Unreadable, lines, nanos

Item = Record | Finding

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_STAMP = re.compile(rb'"(?:ts|E)"\s*:\s*"?(\d{10,19})')
_OTHER_STAMP = re.compile(
    rb'"time(?:stamp)?"\s*:\s*"?(?:(\d{13,19})|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z))'
)
_SYMBOL = re.compile(rb'"s(?:ymbol)?"\s*:\s*"([A-Z0-9_]+)"')


def stamped(frame: bytes) -> Nanos:
    """The venue's own time in a frame, 0 where there is none to be read.

    Most say it in a field ts or E, some in time or timestamp, as a number or an ISO time.
    """
    found = _STAMP.search(frame) or _OTHER_STAMP.search(frame)
    try:
        if found is None:
            return Nanos(0)
        return nanos(found[1]) if found[1] else _moment(found[2].decode())
    except ValueError:
        return Nanos(0)


def _moment(text: str) -> Nanos:
    since = datetime.fromisoformat(text) - _EPOCH
    return Nanos((since.days * 86_400 + since.seconds) * SECOND + since.microseconds * MICRO)


def raw_lines(path: Path, source: str) -> Iterator[Item]:
    """`<receive time> <json>` per line; a REST snapshot stands among the frames.

    The snapshot names no symbol on two of three Binance markets, so the one symbol of the
    file's frames is put into the question it answers.
    """
    symbol = b""
    waiting: list[tuple[int, bytes]] = []
    for number, line in lines(path):
        head, _, frame = line.partition(b" ")
        frame = frame.strip()
        try:
            at = nanos(head)
        except ValueError as error:
            yield Finding(f"{path}:{number}", str(error))
            continue
        if not frame.startswith(b"{"):
            yield Finding(f"{path}:{number}", f"expected a JSON object, found {frame[:30]!r}")
        elif b'"lastUpdateId"' in frame[:40]:
            named = _SYMBOL.search(frame[:200])
            if named or symbol:
                yield _answer(at, source, named[1] if named else symbol, frame)
            else:
                waiting.append((at, frame))
        else:
            if not symbol and (named := _SYMBOL.search(frame)):
                symbol = named[1]
                for then, snapshot in waiting:
                    yield _answer(then, source, symbol, snapshot)
                waiting.clear()
            yield Record(at, source, TapeKind.FRAME, frame)


def _answer(at: int, source: str, symbol: bytes, body: bytes) -> Record:
    return Record(at, source, TapeKind.ANSWER, b"depth?symbol=" + symbol + b"\n" + body)


def bare_lines(path: Path, source: str) -> Iterator[Item]:
    """A frame per line and no receive time: the venue's stamps stand in for it."""
    kept = list(lines(path))
    at = next((stamp for _, line in kept if (stamp := stamped(line))), Nanos(0))
    for number, line in kept:
        if not line.strip():
            continue
        at = max(at, stamped(line))
        if line.startswith(b"{"):
            yield Record(at, source, TapeKind.FRAME, line)
        else:
            yield Finding(f"{path}:{number}", f"expected a JSON object, found {line[:30]!r}")


def tabbed(path: Path, source: str) -> Iterator[Item]:
    """`<monotonic ns>\\t<json>`: the first venue stamp says when the monotonic clock ran."""
    base = 0
    kept: list[tuple[int, int, bytes]] = []
    for number, line in lines(path):
        head, _, frame = line.partition(b"\t")
        if not head.isdigit() or not frame.startswith(b"{"):
            yield Finding(f"{path}:{number}", f"expected <ns> tab <json>, found {line[:30]!r}")
            continue
        kept.append((number, int(head), frame))
        if not base and (stamp := stamped(frame)):
            base = stamp - int(head)
    for _, ticks, frame in kept:
        yield Record(base + ticks, source, TapeKind.FRAME, frame)


def one_message(path: Path, source: str) -> Iterator[Item]:
    """A file that is one frame, written over many lines; its own stamp says when it came.

    Raises Unreadable where it is no JSON document.
    """
    content = b"\n".join(line for _, line in lines(path))
    try:
        frame = msgspec.json.format(content, indent=-1)
    except msgspec.DecodeError as error:
        raise Unreadable(f"{path}: expected one JSON document: {error}") from None
    yield Record(stamped(frame), source, TapeKind.FRAME, frame)


class _Line(msgspec.Struct):
    """One line of a recording with connections (see `connection_lines`)."""

    t: str
    conn: str = ""
    ts: msgspec.Raw = msgspec.Raw(b"0")
    data: str = ""
    url: str = ""
    addr: str = ""


def connection_lines(path: Path, venue: str) -> Iterator[Item]:
    """`{"t": header|http|connect|send|recv, "conn", "ts": seconds, "data": text}` per line.

    The last part of a connection's address is its market. Connections stand one after another
    in the file; they are given back merged by time, the instrument lists first.
    """
    decoder = msgspec.json.Decoder(_Line)
    sources: dict[str, str] = {}
    by_source: dict[str, list[Record]] = {}
    for number, text in lines(path):
        try:
            line = decoder.decode(text)
            at = nanos(bytes(line.ts))
        except (msgspec.DecodeError, ValueError) as error:
            yield Finding(f"{path}:{number}", f"not a line of a recording: {error}")
            continue
        if line.addr:
            sources[line.conn] = f"{venue}/{line.addr.rstrip('/').rpartition('/')[2]}"
        source = sources.get(line.conn, f"{venue}/")
        kept = by_source.setdefault(source, [])
        match line.t:
            case "http":
                payload = f"{line.url}\n{line.data}".encode()
                yield Record(at, f"{venue}/", TapeKind.ANSWER, payload)
            case "connect":
                kept.append(Record(at, source, TapeKind.LINK_UP, line.addr.encode()))
            case "send":
                kept.append(Record(at, source, TapeKind.SENT, line.data.encode()))
            case "recv":
                kept.append(Record(at, source, TapeKind.FRAME, line.data.encode()))
            case "header":
                continue
            case other:
                yield Finding(f"{path}:{number}", f"unknown kind of line {other!r}")
    yield from heapq.merge(*by_source.values(), key=_at)


def session(paths: Iterable[Path], venue: str, market: str) -> Iterator[Item]:
    """A session dump of several files: `<->` socket lines, `->` REST lines, instrument lists.

    Lists (files without .ws. or .http. in the name) come first, whatever their time; sockets
    and REST answers follow merged by time.
    """
    listed = [path for path in paths if not _is_stream(path)]
    streams = [path for path in paths if _is_stream(path)]
    for path in listed:
        yield from session_lines(path, venue, market)
    readers = (session_lines(path, venue, market) for path in streams)
    yield from heapq.merge(*readers, key=_at)


def _is_stream(path: Path) -> bool:
    return ".ws." in path.name or ".http." in path.name


_ARROWS = re.compile(rb"^((?:wss|ws|https|http)://\S+) (<->|<-|->) ([0-9.]+)(?:: (.*))?$", re.S)


def session_lines(path: Path, venue: str, market: str) -> Iterator[Item]:
    """One file of a session dump in its own order."""
    source = f"{venue}/{market}"
    for number, line in lines(path):
        if not line or line.startswith(b"configuration: "):
            continue
        try:
            found = _ARROWS.match(line)
            if found:
                url, arrow, when, rest = found.groups()
                kind, payload = _arrow(arrow, url, rest or b"")
                yield Record(nanos(when), source, kind, payload)
                continue
            head, _, frame = line.partition(b": ")
            yield Record(nanos(head), source, TapeKind.FRAME, frame)
        except ValueError as error:
            yield Finding(f"{path}:{number}", f"not a line of a session dump: {error}")


def _arrow(arrow: bytes, url: bytes, rest: bytes) -> tuple[TapeKind, bytes]:
    match arrow:
        case b"<->":
            return TapeKind.LINK_UP, url
        case b"<-":
            return TapeKind.SENT, rest
        case _:
            return TapeKind.ANSWER, url + b"\n" + rest


def event_lists(paths: Iterable[Path], source: str) -> Iterator[Item]:
    """Binance events as JSON arrays, with the REST snapshot in a file beside them.

    Nothing says when the snapshot came; it is given first, and the events it already holds are
    for the reader of the feed to recognise.
    """
    events: list[Record] = []
    snapshots: list[bytes] = []
    symbol = b""
    for path in paths:
        content = b"\n".join(line for _, line in lines(path))
        if content.startswith(b"{"):
            snapshots.append(content)
            continue
        try:
            raws = msgspec.json.decode(content, type=list[msgspec.Raw])
        except msgspec.DecodeError as error:
            raise Unreadable(f"{path}: expected a JSON array: {error}") from None
        for raw in raws:
            event = bytes(raw)
            named = _SYMBOL.search(event)
            symbol = symbol or (named[1] if named else b"")
            frame = _streamed(event, named[1] if named else b"")
            events.append(Record(stamped(event), source, TapeKind.FRAME, frame))
    events.sort(key=_at)
    begin = events[0].at if events else 0
    for snapshot in snapshots:
        yield _answer(begin, source, symbol, snapshot)
    yield from events


def _streamed(event: bytes, symbol: bytes) -> bytes:
    """The event as a combined stream would have framed it."""
    found = re.search(rb'"e"\s*:\s*"(\w+)"', event)
    word = found[1] if found else b""
    name = b"depth" if word == b"depthUpdate" else word
    return b'{"stream":"%s@%s","data":%s}' % (symbol.lower(), name, event)


def _at(record: Item) -> int:
    return record.at if isinstance(record, Record) else 0

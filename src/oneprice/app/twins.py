"""Starting twins: over a seeded world, or over recordings that they play."""

import heapq
import re
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from oneprice.app.config import ConfigError, did_you_mean
from oneprice.app.lab import Ready
from oneprice.model.instrument import Instrument
from oneprice.model.units import SECOND
from oneprice.store.contract import Record, TapeKind
from oneprice.store.recordings import Recording, Unknown, gathered, recognised, records
from oneprice.twin.build import DIALECTS, World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.twin.stock import default_listings

SAME_TIME_NS = 60 * SECOND  # recordings that began so close together are played together
FINEST_LOT = Decimal("1E-8")
FRAMES_LOOKED_AT = 500  # of each recording, to learn which instruments are on it
_SYMBOL = re.compile(rb'"s(?:ymbol)?"\s*:\s*"([A-Z0-9_]+)"')


class RunningTwins(msgspec.Struct):
    """Some twins that listen, in the order they were named."""

    twins: list[RunningTwin]
    ready: list[Ready]

    async def close(self) -> None:
        for twin in self.twins:
            await twin.close()


async def start_twins(venues: Sequence[str], port: int, market: str) -> RunningTwins:
    """Serve twins of `venues`; `port` 0 picks free ones, otherwise they count up from it.

    Raises ConfigError for an unknown venue or market, OSError (PortTaken) for a busy port.
    """
    for venue in venues:
        if venue not in DIALECTS:
            raise ConfigError(f"no twin of {venue!r}{did_you_mean(venue, DIALECTS)}")
    running = RunningTwins([], [])
    try:
        for number, venue in enumerate(venues):
            twin = make_twin(venue, time.time_ns, world_of(venue, market))
            served = await serve(twin, port + number if port else 0)
            running.twins.append(served)
            running.ready.append(msgspec.convert(served.ready, Ready))
    except BaseException:
        await running.close()
        raise
    return running


def world_of(venue: str, market: str) -> World:
    """`seed:N` or `tape:PATH`; ConfigError says what was found and what is expected."""
    kind, _, rest = market.partition(":")
    if kind == "seed" and rest.isdigit():
        return World(seed=int(rest))
    if kind == "tape" and rest:
        return _taped(venue, Path(rest))
    raise ConfigError(f"market {market!r}: expected seed:N or tape:PATH")


def _taped(venue: str, path: Path) -> World:
    if not path.exists():
        raise ConfigError(f"market tape:{path}: no such file or directory")
    group = _simultaneous(_recordings(venue, path), path, venue)
    symbols: dict[tuple[str, str], None] = {}
    for recording in group:
        symbols.update(_symbols(recording))
    taped = tuple(
        _fine(listing.instrument)
        for listing in default_listings(venue)
        if (listing.instrument.market, listing.instrument.symbol) in symbols
    )
    if not taped:
        raise ConfigError(f"market tape:{path}: no instrument that the twin of {venue} lists")
    frames = heapq.merge(*(_frames(r) for r in group), key=lambda frame: frame[0])
    return World(tape=frames, taped=taped)


def _fine(instrument: Instrument) -> Instrument:
    """The same instrument with sizes as fine as the venue's numbers.

    Recorded spot books hold sizes off today's grid: remainders of orders older than the grid.
    """
    if instrument.is_derivative:
        return instrument
    ratio = int(instrument.lot / FINEST_LOT)
    return msgspec.structs.replace(
        instrument,
        lot=FINEST_LOT,
        lots_min=instrument.lots_min * ratio,
        lots_max=instrument.lots_max * ratio,
    )


def _recordings(venue: str, path: Path) -> list[Recording]:
    found: dict[tuple[Path, ...], Recording] = {}
    for file in gathered([path]):
        if not file.is_file():
            continue
        try:
            recording = recognised(file)
        except Unknown:
            continue
        if recording.venue == venue and not recording.unread:
            found[recording.paths] = recording
    return list(found.values())


def _simultaneous(recordings: list[Recording], path: Path, venue: str) -> list[Recording]:
    """The largest set of recordings that began at about the same time and hold snapshots."""
    begun: list[tuple[int, int, Recording]] = []
    for number, recording in enumerate(recordings):
        if recording.form in ("raw lines", "connection lines", "tape"):
            first = next((r for r in records(recording) if isinstance(r, Record)), None)
            if first is not None:
                begun.append((first.at, number, recording))
    begun.sort(key=lambda row: row[:2])
    best: list[Recording] = []
    for start, _, _ in begun:
        group = [r for at, _, r in begun if start <= at <= start + SAME_TIME_NS]
        if _size(group) > _size(best):
            best = group
    if not best:
        raise ConfigError(f"market tape:{path}: no recording of {venue} that can be played")
    return best


def _size(group: list[Recording]) -> int:
    return sum(p.stat().st_size for r in group for p in r.paths)


def _symbols(recording: Recording) -> dict[tuple[str, str], None]:
    found: dict[tuple[str, str], None] = {}
    for number, record in enumerate(records(recording)):
        if number >= FRAMES_LOOKED_AT:
            break
        if isinstance(record, Record) and (named := _SYMBOL.search(record.payload)):
            found[record.source.partition("/")[2], named[1].decode()] = None
    return found


def _frames(recording: Recording) -> Iterator[tuple[int, str, bytes]]:
    """What a twin plays, in time: frames as they came, snapshots behind their question."""
    found = records(recording)
    if recording.form == "connection lines":  # one connection after the other
        found = iter(sorted(found, key=lambda r: r.at if isinstance(r, Record) else 0))
    for record in found:
        if not isinstance(record, Record):
            continue
        market = record.source.partition("/")[2]
        if record.kind == TapeKind.FRAME:
            yield record.at, market, record.payload
        elif record.kind == TapeKind.ANSWER:
            question, _, body = record.payload.partition(b"\n")
            yield record.at, market, b"https://" + question + b" -> 0: " + body

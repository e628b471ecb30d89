"""Makes a market for a twin of recordings: which are played together, and what is listed.

What a twin lists by default it lists here, too, on a grid as fine as the recording needs. What it
does not know is listed as the recorded instrument list describes it, and without such a list with
the grid that its numbers show; a contract whose worth nobody tells is left out.
"""

import heapq
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from oneprice.app.config import ConfigError
from oneprice.app.tapefeeds import (
    Prepared,
    Seen,
    identity,
    neutral,
    place_of,
    prepared,
    snapshot_asked,
    survey,
    symbol_in,
)
from oneprice.app.tapehabits import HABITS
from oneprice.model.instrument import Instrument
from oneprice.model.units import SECOND, InstrumentId, Lots, Nanos
from oneprice.store.contract import NotATape, Record, TapeDamaged, TapeKind
from oneprice.store.files import Unreadable
from oneprice.store.recordings import Recording, Unknown, gathered, recognised, records
from oneprice.twin.build import World
from oneprice.twin.stock import default_listings

SAME_TIME_NS = 60 * SECOND  # recordings that began so close together are played together
FINEST_LOT = Decimal("1E-8")
FRAMES_LOOKED_AT = 500  # of each recording, to learn which instruments are on it
_FORMS = (
    "raw lines",
    "bare lines",
    "connection lines",
    "session dump",
    "event lists",
    "one message",
    "tabbed lines",
    "tape",
)
_BAD = (Unreadable, TapeDamaged, NotATape)


class _Found(msgspec.Struct, frozen=True):
    """A recording of the venue and when its first frame came."""

    recording: Recording
    begun: int


def taped(venue: str, path: Path, now: int) -> World:
    """The recordings below a path that began at one time, as a market that begins `now`.

    Of several such times the one with most to play is taken. ConfigError names what is there
    and why it cannot be played. Expiries keep their distance from the beginning of the tape.
    """
    if not path.exists():
        raise ConfigError(f"market tape:{path}: no such file or directory")
    reasons: list[str] = []
    for group in _groups(venue, path, reasons):
        listed: dict[InstrumentId, Instrument] = {}
        for found in group:
            made = _instruments(venue, found.recording, reasons)
            listed.update((one.id, one) for one in made if one.id not in listed)
        if listed:
            shift = now - group[0].begun
            frames = heapq.merge(
                *(_frames(venue, found.recording) for found in group), key=lambda frame: frame[0]
            )
            return World(tape=frames, taped=tuple(_moved(one, shift) for one in listed.values()))
    told = "; ".join(dict.fromkeys(reasons))
    hint = f": {told}" if told else ""
    raise ConfigError(f"market tape:{path}: no recording of {venue} that can be played{hint}")


def _groups(venue: str, path: Path, reasons: list[str]) -> list[list[_Found]]:
    """Recordings that began at about the same time, those with most bytes first."""
    begun: list[_Found] = []
    for recording in _recordings(venue, path):
        if recording.unread or recording.form not in _FORMS:
            reasons.append(recording.unread or f"{recording.form}s: no frames of a stream")
            continue
        try:
            at = next((r.at for r in _records(venue, recording) if r.kind == TapeKind.FRAME), None)
        except _BAD as error:
            reasons.append(str(error))
            continue
        if at is not None:
            begun.append(_Found(recording, at))
    begun.sort(key=lambda found: found.begun)
    groups: list[list[_Found]] = []
    for first in begun:
        last = first.begun + SAME_TIME_NS
        groups.append([found for found in begun if first.begun <= found.begun <= last])
    return sorted(groups, key=_size, reverse=True)


def _size(group: list[_Found]) -> int:
    return sum(p.stat().st_size for found in group for p in found.recording.paths)


def _recordings(venue: str, path: Path) -> list[Recording]:
    found: dict[tuple[Path, ...], Recording] = {}
    for file in gathered([path]):
        if not file.is_file():
            continue
        try:
            recording = recognised(file)
        except (Unknown, *_BAD, OSError):
            continue
        # Tapes of our own name the venue record by record.
        if recording.venue == venue or (recording.form == "tape" and not recording.venue):
            found[recording.paths] = recording
    return list(found.values())


def _records(venue: str, recording: Recording) -> Iterator[Record]:
    """What a recording holds of one venue."""
    for item in neutral(records(recording)):
        if isinstance(item, Record) and item.source.startswith(f"{venue}/"):
            yield item


# Instruments -----------------------------------------------------------------------------


def _instruments(venue: str, recording: Recording, reasons: list[str]) -> list[Instrument]:
    """What can be played of one recording; why the rest cannot goes to `reasons`."""
    usual = {one.instrument.id: one.instrument for one in default_listings(venue)}
    if recording.form == "raw lines":
        # Long, of one instrument, and where that is a usual one its grid needs no searching.
        named = _named(venue, recording)
        if named and all(name in usual for name in named):
            return [_fine(usual[name]) for name in named]
    try:
        found = survey(_records(venue, recording))
    except _BAD as error:
        reasons.append(str(error))
        return []
    ready = prepared(found, venue)
    made: list[Instrument] = []
    file = recording.paths[0].name
    whole = [name for name in found.instruments if _has_book(venue, found.instruments[name])]
    if not whole:
        reasons.append(f"{file}: no order book with a beginning is on it")
    for name in whole:
        one = _described(name, ready, usual)
        if one is None:
            reasons.append(f"{file}: {name}: nothing tells what it is made of")
        else:
            made.append(one)
    return made


def _named(venue: str, recording: Recording) -> dict[InstrumentId, None]:
    named: dict[InstrumentId, None] = {}
    for number, record in enumerate(_records(venue, recording)):
        if number >= FRAMES_LOOKED_AT:
            break
        place = place_of(record.source)
        symbol = symbol_in(record, place) if place is not None else ""
        if place is not None and symbol:
            named[identity(place, symbol)] = None
    return named


def _has_book(venue: str, seen: Seen) -> bool:
    return seen.books > 0 and (seen.snapshots > 0 or HABITS[venue].assumed is None)


def _described(
    name: InstrumentId, ready: Prepared, usual: dict[InstrumentId, Instrument]
) -> Instrument | None:
    """An instrument on a grid that holds every number on the tape."""
    heard = ready.instruments.get(name)
    if heard is None:
        return None
    known = ready.listed.get(name) or usual.get(name)
    if known is not None:
        spelled = _spelled(known, usual)
        return _refined(spelled, _step(known.tick, heard.tick), _step(known.lot, heard.lot))
    if heard.is_derivative or "?" in (heard.base, heard.quote) or not heard.quote:
        return None  # what a contract is worth, or is paid in, cannot be seen in a book
    return _spelled(heard, usual)


def _spelled(one: Instrument, usual: dict[InstrumentId, Instrument]) -> Instrument:
    """With its coins in the venue's own spelling, which twins keep and dialects translate."""
    beside = (each for each in usual.values() if each.market == one.market)
    if not any("XBT" in (each.base, each.settle) for each in beside):
        return one
    base, quote, settle = (
        "XBT" if coin == "BTC" else coin for coin in (one.base, one.quote, one.settle)
    )
    return msgspec.structs.replace(one, base=base, quote=quote, settle=settle)


def _step(listed: Decimal, heard: Decimal) -> Decimal:
    """A step that both are multiples of: the finer one, or as many decimals as they need."""
    finer = min(listed, heard)
    if max(listed, heard) % finer == 0:
        return finer
    exponents = (each.normalize().as_tuple().exponent for each in (listed, heard))
    return Decimal(1).scaleb(min(int(each) for each in exponents))


def _refined(one: Instrument, tick: Decimal, lot: Decimal) -> Instrument:
    ratio = int(one.lot / lot)
    return msgspec.structs.replace(
        one,
        tick=tick,
        lot=one.lot / ratio,
        lots_min=Lots(one.lots_min * ratio),
        lots_max=Lots(one.lots_max * ratio),
        tradable=True,
    )


def _fine(instrument: Instrument) -> Instrument:
    """The same instrument with sizes as fine as the venue's numbers.

    Recorded spot books hold sizes off today's grid: remainders of orders older than the grid.
    """
    if instrument.is_derivative:
        return instrument
    return _refined(instrument, instrument.tick, FINEST_LOT)


def _moved(one: Instrument, shift: int) -> Instrument:
    if not one.expiry:
        return one
    return msgspec.structs.replace(one, expiry=Nanos(one.expiry + shift))


# Frames ----------------------------------------------------------------------------------


def _frames(venue: str, recording: Recording) -> Iterator[tuple[int, str, bytes]]:
    """What a twin plays, in time: frames as they came, snapshots behind their question."""
    found = _records(venue, recording)
    if recording.form == "connection lines":  # one connection after the other
        found = iter(sorted(found, key=lambda record: record.at))
    markets: dict[str, str] = {}
    for record in found:
        if record.source not in markets:
            place = place_of(record.source)
            rest = record.source.partition("/")[2]
            markets[record.source] = place.market or rest if place is not None else rest
        market = markets[record.source]
        if record.kind == TapeKind.FRAME:
            yield record.at, market, record.payload
        elif record.kind == TapeKind.ANSWER:
            question, _, body = record.payload.partition(b"\n")
            if snapshot_asked(question):
                address = b"" if question.startswith(b"https://") else b"https://"
                yield record.at, market, address + question + b" -> 0: " + body

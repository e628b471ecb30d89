"""Rebuilds every book of a recording with the real dialects and tells whether it was right."""

import difflib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from oneprice.app.tapefeeds import FEEDS, Seen, Survey, neutral, prepared, survey
from oneprice.app.tapehabits import HABITS, WHOLE
from oneprice.app.tapeplayer import Line, Player, conclude, take_checksums
from oneprice.app.tapereport import FileReport, InstrumentReport, Report
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId
from oneprice.store.contract import Finding, NotATape, Record, TapeDamaged
from oneprice.store.files import Unreadable
from oneprice.store.recordings import (
    VENUES,
    Recording,
    Unknown,
    gathered,
    recognised,
    records,
)
from oneprice.venues.contract import Feed
from oneprice.venues.okx.feed import OkxFeed

__all__ = [
    "FileReport",
    "InstrumentReport",
    "Report",
    "Unusable",
    "check",
    "check_one",
    "found_in",
    "known_origin",
]


class Unusable(ValueError):
    """Input that nothing can be made of: missing, empty, unknown, or broken as a file."""


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
        conclude(line)
        report.instruments.append(line.report)


def _only_records(recording: Recording) -> Iterator[Record]:
    for item in neutral(records(recording)):
        if isinstance(item, Record):
            yield item


def _played(recording: Recording, found: Survey, file: FileReport) -> dict[InstrumentId, Line]:
    lines: dict[InstrumentId, Line] = {}
    feeds: dict[str, Feed] = {}
    for venue in found.venues():
        ready = prepared(found, venue)
        feeds[venue] = ready.feed
        file.notes += ready.notes
        for name, instrument in ready.instruments.items():
            seen = found.instruments[name]
            lines[name] = _line(instrument, seen, str(recording.paths[0]), ready.grids[name])
    player = Player(feeds, lines, file)
    for name, line in lines.items():
        if line.report.start == "assumed":
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
            take_checksums(feed, lines)
    return lines


def _line(instrument: Instrument, seen: Seen, file: str, grid: str) -> Line:
    report = InstrumentReport(
        file=file,
        venue=instrument.venue,
        market=instrument.market,
        instrument=instrument.id,
        grid=grid,
    )
    if seen.books or seen.snapshots:
        pushed = HABITS[instrument.venue].assumed is None
        recorded = seen.snapshots or pushed or 0 < seen.depth < WHOLE
        report.start = "recorded" if recorded else "assumed"
    return Line(report, seen, instrument)

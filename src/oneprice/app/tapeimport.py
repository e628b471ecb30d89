"""Turns recordings made by others into tapes of our own."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from oneprice.app.tapecheck import FileReport, Unusable, found_in, known_origin
from oneprice.store.contract import Finding
from oneprice.store.files import Unreadable
from oneprice.store.recordings import Recording, records
from oneprice.store.tape import TapeWriter

_FLUSH_EVERY = 20_000


class Imported(msgspec.Struct, kw_only=True):
    """One recording and the tape made of it; `tape` is "" where none was made."""

    path: str
    tape: str = ""
    records: int = 0
    reason: str = ""
    findings: list[str] = []


def import_all(
    paths: Sequence[Path],
    out: Path,
    venue: str = "",
    market: str = "",
    told: Callable[[str], None] = lambda name: None,
) -> list[Imported]:
    """One tape in `out` for each recording with frames of a venue.

    Raises Unusable where something named is no recording, or a tape of its name is there already.
    """
    known_origin(venue, market)
    others: list[FileReport] = []
    done: list[Imported] = []
    for recording in found_in(paths, venue, market, others):
        told(str(recording.paths[0]))
        done.append(_imported(recording, out))
    done += [Imported(path=each.path, reason=each.reason) for each in others]
    return done


def _imported(recording: Recording, out: Path) -> Imported:
    first = recording.paths[0]
    result = Imported(path=str(first))
    if recording.unread:
        result.reason = recording.unread
        return result
    if recording.form == "tape":
        result.reason = "is a tape already"
        return result
    if not recording.venue:
        raise Unusable(f"{first}: cannot tell the venue; name it with --venue")
    path = out / f"{_name(first)}.tape"
    if path.exists():
        raise Unusable(f"{path}: is there already; remove it or name another directory")
    out.mkdir(parents=True, exist_ok=True)
    # Under another name until it is whole: a tape cut short would look like a short recording.
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    writer = TapeWriter(part)
    try:
        for item in records(recording):
            if isinstance(item, Finding):
                if item.wrong:
                    result.findings.append(f"{item.place}: {item.reason}")
                continue
            writer.append(item.kind, item.source, item.at, item.payload)
            result.records += 1
            if result.records % _FLUSH_EVERY == 0:
                writer.flush()
    except Unreadable as error:
        result.findings.append(str(error))
    finally:
        writer.close()
    part.rename(path)
    result.tape = str(path)
    return result


def _name(path: Path) -> str:
    """Folder and file, so that equal file names of two folders stay apart."""
    stem = re.sub(r"\.(gz|zst|raw|jsonl|json|csv|tsv|dat)\b", "", path.name)
    return re.sub(r"[^\w.-]+", "_", f"{path.resolve().parent.name}-{stem}")

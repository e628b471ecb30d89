"""Parity: replay every start of a session through fresh objects and compare every decision."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec

from oneprice.app.build import build_desk
from oneprice.app.session import (
    SUMMARY,
    TAPE,
    Manifest,
    decode_entry,
    entries_before,
    entry_bytes,
    journal_entries,
    start_directory,
    starts_of,
)
from oneprice.model.units import Nanos
from oneprice.store.tape import read_tape


class Parity(msgspec.Struct, frozen=True):
    """How a replay compares; `first_difference` is None when everything is equal."""

    decisions: int  # turns that learned, decided or commanded something, in the replay
    equal: int
    first_difference: dict[str, object] | None
    starts: int = 1
    # Turns of killed starts that only journal or only tape holds: it ended between the two.
    cut: int = 0


def replay(directory: Path, manifest: Manifest) -> Iterator[bytes]:
    """Every turn that the recorded inputs of one start lead to, in its journaled form."""
    desk = build_desk(manifest.config, manifest.session)
    for payload in entries_before(directory, manifest.start):
        entry = decode_entry(payload)
        desk.engine.recall.entry(entry.at, entry.record, entry.commands)
    desk.engine.recall.end()
    for record in read_tape(start_directory(directory, manifest.start) / TAPE):
        turn = desk.replay(record.kind, record.source, Nanos(record.at), record.payload)
        if turn is not None:
            yield entry_bytes(turn)


def compare(directory: Path) -> Parity:
    """Raises ConfigError, NotATape, TapeDamaged or JournalDamaged for an unusable session."""
    count = equal = cut = 0
    first: dict[str, object] | None = None
    starts = starts_of(directory)
    for manifest in starts:
        home = start_directory(directory, manifest.start)
        ended = (home / SUMMARY).exists()
        theirs = list(journal_entries(directory, manifest.start))
        if not theirs and not (home / TAPE).exists():
            continue  # refused before anything came in
        pairs = zip_longest(replay(directory, manifest), theirs)
        for number, (ours, kept) in enumerate(pairs):
            if not ended and (ours is None or kept is None):
                cut += 1
                continue
            count += ours is not None
            if ours == kept:
                equal += 1
            elif first is None:
                first = {
                    "turn": number,
                    "replayed": _readable(ours),
                    "journaled": _readable(kept),
                }
                if len(starts) > 1:
                    first["start"] = manifest.start
    return Parity(count, equal, first, len(starts), cut)


def _readable(entry: bytes | None) -> object:
    return None if entry is None else msgspec.json.decode(entry)

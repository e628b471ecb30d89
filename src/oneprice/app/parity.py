"""Parity: replay a session's inputs through fresh objects and compare every decision."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec

from oneprice.app.build import build_desk
from oneprice.app.session import TAPE, entry_bytes, journal_entries, load_manifest
from oneprice.model.units import Nanos
from oneprice.store.tape import read_tape


class Parity(msgspec.Struct, frozen=True):
    """How a replay compares; `first_difference` is None when everything is equal."""

    decisions: int  # turns that decided or commanded something, in the replay
    equal: int
    first_difference: dict[str, object] | None


def replay(directory: Path) -> Iterator[bytes]:
    """Every turn that the recorded inputs lead to, in its journaled form."""
    manifest = load_manifest(directory)
    desk = build_desk(manifest.config, manifest.session)
    for record in read_tape(directory / TAPE):
        turn = desk.replay(record.kind, record.source, Nanos(record.at), record.payload)
        if turn is not None:
            yield entry_bytes(turn)


def compare(directory: Path) -> Parity:
    """Raises ConfigError, NotATape, TapeDamaged or JournalDamaged for an unusable session."""
    count = equal = 0
    first: dict[str, object] | None = None
    for number, (ours, theirs) in enumerate(
        zip_longest(replay(directory), journal_entries(directory))
    ):
        count += ours is not None
        if ours == theirs:
            equal += 1
        elif first is None:
            first = {
                "turn": number,
                "replayed": _readable(ours),
                "journaled": _readable(theirs),
            }
    return Parity(count, equal, first)


def _readable(entry: bytes | None) -> object:
    return None if entry is None else msgspec.json.decode(entry)

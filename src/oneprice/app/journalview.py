"""Reading a journal for people: is it sound, and what stands in it."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import msgspec

from oneprice.app.config import ConfigError, did_you_mean
from oneprice.app.session import JOURNAL, MANIFEST, decode_entry, load_manifest
from oneprice.core.record import AnyNote
from oneprice.core.strategy import Decision, GroupMoved, IntentJudged
from oneprice.model.commands import AnyCommand, PlaceOrder
from oneprice.model.events import InstrumentListed
from oneprice.model.instrument import Instrument
from oneprice.model.settings import EngineSettings
from oneprice.model.units import InstrumentId, Nanos
from oneprice.store.journal import JournalDamaged, Segment, read_segments

FACTS, DECISIONS, COMMANDS = "facts", "decisions", "commands"
KINDS: tuple[str, ...] = (
    FACTS,
    DECISIONS,
    COMMANDS,
    *(kind.__name__ for kind in (*get_args(AnyNote), *get_args(AnyCommand))),
)


class Unreadable(ValueError):
    """A sound record that is no turn as this program writes them."""


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a journal, or the part of it that was asked for."""

    at: Nanos
    start: int
    record: list[AnyNote]
    commands: list[AnyCommand]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How far a journal is sound. `damage` is empty where all of it is."""

    sound: bool
    segments: int
    starts: int
    records: int
    bytes: int
    torn_bytes: int  # at the end, cut off by the next start
    chain: str  # behind the last sound record
    damage: str = ""
    file: str = ""
    place: int = 0  # byte of the file


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to see. Empty: everything; `until` itself is left out."""

    group: str = ""
    order: str = ""
    kind: str = ""
    since: Nanos = Nanos(0)
    until: Nanos = Nanos(0)  # 0: to the end
    last: int = 0  # turns, 0: all


def journal_of(directory: Path) -> Path:
    """The journal of a session, or the directory itself where it is one; ConfigError else."""
    if not directory.is_dir():
        raise ConfigError(f"{directory}: no such directory")
    if (directory / MANIFEST).exists():
        load_manifest(directory)  # says so where it is of another version
    if (directory / JOURNAL).is_dir():
        return directory / JOURNAL
    if not any(directory.glob("*.journal")):
        raise ConfigError(f"{directory}: found neither a session nor a journal")
    return directory


def settings_of(directory: Path) -> EngineSettings | None:
    """Of the session; None for a journal by itself. Raises ConfigError."""
    if not (directory / MANIFEST).exists():
        return None
    return load_manifest(directory).config.engine


def verify(directory: Path) -> Verdict:
    """Read all of it, checksums, chain and turns. Raises ConfigError where there is none."""
    journal = journal_of(directory)
    segments = starts = records = size = torn = 0
    chain, path, damage, place = "", journal, "", 0
    try:
        for segment in read_segments(journal):
            path = segment.path
            for _ in _turns(segment):
                pass
            segments, starts = segment.number, segment.start
            records += len(segment.payloads)
            size += segment.good_bytes
            torn = segment.torn_bytes
            chain = segment.chain.hex()
    except JournalDamaged as error:
        damage, path, place = error.reason, error.path, error.place
    except Unreadable as error:
        damage = str(error)
    return Verdict(
        sound=not damage,
        segments=segments,
        starts=starts,
        records=records,
        bytes=size,
        torn_bytes=torn,
        chain=chain,
        damage=damage,
        file=str(path) if damage else "",
        place=place,
    )


def turns(directory: Path) -> Iterator[Turned]:
    """Every turn in order. Raises ConfigError, JournalDamaged or Unreadable."""
    for segment in read_segments(journal_of(directory)):
        yield from _turns(segment)


def _turns(segment: Segment) -> Iterator[Turned]:
    for number, payload in enumerate(segment.payloads, 1):
        try:
            entry = decode_entry(payload)
        except msgspec.DecodeError as error:
            raise Unreadable(f"record {number} of segment {segment.number}: {error}") from None
        yield Turned(
            at=entry.at, start=segment.start, record=entry.record, commands=entry.commands
        )


class Index:
    """What a reader learns on the way: instruments, and whose order is whose."""

    def __init__(self) -> None:
        self.listed: dict[InstrumentId, Instrument] = {}
        self.groups: dict[str, str] = {}  # by order

    def learn(self, turn: Turned) -> None:
        for item in turn.record:
            if isinstance(item, InstrumentListed):
                self.listed[item.instrument.id] = item.instrument
        for command in turn.commands:
            if isinstance(command, PlaceOrder):
                self.groups[command.order_id] = command.group

    def concerns(self, item: msgspec.Struct, group: str) -> bool:
        """Whether something is about a group: itself, its orders, its timers, its closing."""
        match item:
            case GroupMoved() | PlaceOrder():
                return item.group == group
            case IntentJudged():
                return group in (item.group, item.intent.closes)
            case _:
                pass
        order = getattr(item, "order_id", "")
        if order:
            return self.groups.get(order, "") == group
        timer = getattr(item, "timer", "")
        return group in timer.split("/") or getattr(item, "subject", "") == group


def shown(directory: Path, wish: Wish, index: Index) -> Iterator[Turned]:
    """The turns asked for, with only what was asked for in them; `index` knows what was read.

    Raises ConfigError for a word that is no kind, and as `turns` does.
    """
    kind = _kind_of(wish.kind)
    found = _chosen(directory, wish, kind, index)
    return iter(deque(found, maxlen=wish.last)) if wish.last else found


def _chosen(
    directory: Path, wish: Wish, kind: Callable[[msgspec.Struct], bool], index: Index
) -> Iterator[Turned]:
    def wanted(item: msgspec.Struct) -> bool:
        if wish.group and not index.concerns(item, wish.group):
            return False
        if wish.order and getattr(item, "order_id", "") != wish.order:
            return False
        return kind(item)

    picky = bool(wish.group or wish.order or wish.kind)
    for turn in turns(directory):
        index.learn(turn)
        if turn.at < wish.since or (wish.until and turn.at >= wish.until):
            continue
        if picky:
            record = [item for item in turn.record if wanted(item)]
            commands = [item for item in turn.commands if wanted(item)]
            if not record and not commands:
                continue
            yield Turned(at=turn.at, start=turn.start, record=record, commands=commands)
        else:
            yield turn


def _kind_of(word: str) -> Callable[[msgspec.Struct], bool]:
    known = {kind.lower(): kind for kind in KINDS}
    if word and word.lower() not in known:
        raise ConfigError(f"--kind: found {word!r}{did_you_mean(word, KINDS)}")
    kind = known.get(word.lower(), "")
    commands = get_args(AnyCommand)

    def fits(item: msgspec.Struct) -> bool:
        match kind:
            case "":
                return True
            case "commands":
                return isinstance(item, commands)
            case "decisions":
                return isinstance(item, Decision)
            case "facts":
                return not isinstance(item, (Decision, *commands))
            case _:
                return type(item).__name__ == kind

    return fits

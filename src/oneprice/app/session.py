"""A session on disk: one journal, and for every start a manifest, a tape and a summary.

  session.json   manifest of the last start
  summary.json   of the last start that ended by itself
  journal/       segments of all starts: what we learned of our money, decided and commanded
  starts/0001/   session.json, inputs.tape, summary.json of each start

A directory that holds a session is resumed: the journal of all starts before is recalled.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

import oneprice
from oneprice.app.config import ConfigError, RunConfig, VenueConfig
from oneprice.core.engine import Engine
from oneprice.core.recall import NotRecalled
from oneprice.core.record import AnyNote
from oneprice.model.commands import AnyCommand
from oneprice.model.events import AccountChecked
from oneprice.model.instrument import instrument_id
from oneprice.model.units import MILLI, Nanos
from oneprice.shell.desk import Turn
from oneprice.store.journal import (
    JournalDamaged,
    JournalLag,
    JournalLocked,
    JournalWriter,
    read_segments,
)

MANIFEST, SUMMARY = "session.json", "summary.json"
TAPE, JOURNAL, STARTS = "inputs.tape", "journal", "starts"
FORMAT = 2  # of the directory; a reader refuses another

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known to build the same desk again."""

    format: int
    version: str
    session: str  # prefix of every client order id of this start
    kernel: str
    config: RunConfig
    start: int = 1  # which start of the session this is


_ENCODER = msgspec.json.Encoder()


def entry_bytes(turn: Turn) -> bytes:
    """The journaled form of a turn; equal turns have equal bytes."""
    return _ENCODER.encode((turn.at, turn.record, turn.commands))


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One journaled turn: what was learned and decided, in order, and what was commanded."""

    at: Nanos
    record: list[AnyNote]
    commands: list[AnyCommand]


_ENTRIES = msgspec.json.Decoder(Entry)


def decode_entry(payload: bytes) -> Entry:
    """Raises msgspec.DecodeError for what is no turn, or one of another version."""
    return _ENTRIES.decode(payload)


class TurnJournal:
    """Writes each turn to the journal before its requests leave."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer
        self.turns = 0

    def append(self, turn: Turn) -> None:
        self._writer.append(entry_bytes(turn))
        self.turns += 1

    @property
    def lag(self) -> JournalLag:
        """How far the disk is behind."""
        return self._writer.lag

    def close(self) -> None:
        self._writer.close()


class NoJournal:
    """For runs that keep nothing: benchmarks of the bare path."""

    def append(self, turn: Turn) -> None:
        return


class Session:
    """One start of a session: where it writes, and what the starts before it have written."""

    def __init__(self, directory: Path, manifest: Manifest, writer: JournalWriter) -> None:
        self.directory = directory
        self.manifest = manifest
        self.name = manifest.session
        self.start = manifest.start
        self.home = start_directory(directory, manifest.start)
        self.journal = TurnJournal(writer)

    def earlier(self) -> Iterator[bytes]:
        """What the starts before this one journaled, oldest first."""
        return entries_before(self.directory, self.start)


# Opening ----------------------------------------------------------------------------------


def open_session(directory: Path, at: int, kernel: str, config: RunConfig) -> Session:
    """Begin a session, or resume the one that is there; `at` is now, nanoseconds UTC.

    Raises ConfigError where the directory holds something else, a session of another version,
    one that another process has open, or a journal that is damaged: then nothing was changed.
    """
    old = _found(directory, config)
    name = session_name(at, _names(directory))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if old is None:
            _write_manifest(directory, _manifest(name, kernel, config, 1))
        sync, every = config.journal_sync, config.journal_interval_ms
        writer = JournalWriter(directory / JOURNAL, sync=sync, interval_ms=every)
    except (JournalDamaged, JournalLocked) as error:
        raise ConfigError(f"session {directory}: {error}") from None
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"session {directory}: cannot be made: {reason}") from None
    manifest = _manifest(name, kernel, config, writer.start)
    try:
        home = start_directory(directory, manifest.start)
        home.mkdir(parents=True, exist_ok=True)
        for left in home.iterdir():  # of a start that died before its first word: nothing left
            left.unlink()
        _write_manifest(home, manifest)
        _write_manifest(directory, manifest)
    except OSError as error:
        writer.close()
        reason = error.strerror or error
        raise ConfigError(f"session {directory}: cannot be written: {reason}") from None
    return Session(directory, manifest, writer)


def _found(directory: Path, config: RunConfig) -> Manifest | None:
    """The manifest of the session to resume, None where a new one can begin."""
    try:
        names = [path.name for path in directory.iterdir()] if directory.exists() else []
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"session {directory}: cannot be made: {reason}") from None
    if MANIFEST not in names:
        if [name for name in names if name != _unfinished(MANIFEST)]:
            text = "not empty, and no session; a run needs a directory of its own"
            raise ConfigError(f"session {directory}: {text}")
        return None
    old = load_manifest(directory)
    if old.version != oneprice.__version__:
        raise ConfigError(
            f"session {directory}: found version {old.version}, expected "
            f"{oneprice.__version__}: end it with the program that began it"
        )
    counted, asked = old.config.engine.reporting, config.engine.reporting
    if counted != asked:
        raise ConfigError(
            f"session {directory}: engine.reporting: found {asked}, expected {counted}: profit "
            "and the daily loss of a session are counted in one asset"
        )
    gone = [venue.name for venue in config.venues if venue.needs_twin]
    if gone:
        raise ConfigError(
            f"session {directory}: there is one already, and the twin of {gone[0]} ended with the "
            "run that started it, and with it the account; to resume, name the endpoints of a "
            "twin that lives on (oneprice twin), else another directory"
        )
    return old


def session_name(at: int, taken: Sequence[str] = ()) -> str:
    """A prefix for client order ids that no start before had: milliseconds in base 36."""
    number = at // MILLI
    while (text := _base36(number)) in taken:
        number += 1
    return text


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def _names(directory: Path) -> list[str]:
    """The prefixes of all starts so far."""
    places = [directory / MANIFEST, *sorted(directory.glob(f"{STARTS}/*/{MANIFEST}"))]
    return [load_manifest(path.parent).session for path in places if path.exists()]


def _manifest(name: str, kernel: str, config: RunConfig, start: int) -> Manifest:
    return Manifest(
        format=FORMAT,
        version=oneprice.__version__,
        session=name,
        kernel=kernel,
        config=config,
        start=start,
    )


def _unfinished(name: str) -> str:
    return name + ".new"


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    """Whole or not at all, however this process ends."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    unfinished = directory / _unfinished(MANIFEST)
    with unfinished.open("wb") as file:
        file.write(text + b"\n")
        file.flush()
        os.fsync(file.fileno())  # a name without a content would be a session nobody can resume
    unfinished.replace(directory / MANIFEST)


def recall(session: Session, engine: Engine, now: int) -> None:
    """Tell a fresh engine what the journal holds of earlier starts.

    Raises ConfigError where the configuration lacks an account that the journal is about, where
    the journal contradicts itself, or where it ends after `now`.
    """
    there, config = session.directory, session.manifest.config
    known = {(v.name, market): v for v in config.venues for market in v.in_markets}
    for number, payload in enumerate(session.earlier(), 1):
        try:
            entry = decode_entry(payload)
            for item in entry.record:
                if isinstance(item, AccountChecked):
                    _check_known(there, known.get((item.venue, item.market)), item, config)
            engine.recall.entry(entry.at, entry.record, entry.commands)
        except (msgspec.MsgspecError, NotRecalled) as error:
            raise ConfigError(f"session {there}: journal entry {number}: {error}") from None
    engine.recall.end()
    _check_wanted(there, engine, config)
    if engine.now > now:
        late = (engine.now - now) / 1e9
        raise ConfigError(
            f"session {there}: its journal ends {late:.3f} s after what the clock says; "
            "expected a clock that is right"
        )


def _check_wanted(there: Path, engine: Engine, config: RunConfig) -> None:
    wanted = [instrument_id(v.name, *named) for v in config.venues for named in v.named]
    for instrument in engine.report.at_stake():
        if instrument not in wanted:
            raise ConfigError(
                f"session {there}: something of its groups is open in {instrument}, which is not "
                "in the configuration: it could not be ended"
            )


def _check_known(
    there: Path, venue: VenueConfig | None, item: AccountChecked, config: RunConfig
) -> None:
    where = f"{item.venue}:{item.market}"
    if venue is None:
        raise ConfigError(
            f"session {there}: its journal holds an account of {where}, which is not in the "
            "configuration: what is open there could not be ended"
        )
    if not config.engine.trading:
        raise ConfigError(
            f"session {there}: it has traded in {where}; engine.trading = false could not end "
            "what is open: name another directory to look only"
        )


# Reading ----------------------------------------------------------------------------------


def start_directory(directory: Path, start: int) -> Path:
    return directory / STARTS / f"{start:04}"


def starts_of(directory: Path) -> list[Manifest]:
    """The manifest of every start, in order; ConfigError where there is none or a bad one."""
    load_manifest(directory)
    found = sorted((directory / STARTS).glob(f"*/{MANIFEST}"))
    return [load_manifest(path.parent) for path in found]


def load_manifest(directory: Path) -> Manifest:
    """The manifest of a session; raises ConfigError that names what is missing or wrong."""
    path = directory / MANIFEST
    try:
        text = path.read_bytes()
        form = msgspec.json.decode(text, type=_Form).format
        if form != FORMAT:
            raise ConfigError(
                f"session {directory}: format {form}; this program reads {FORMAT}"
            )
        return msgspec.json.decode(text, type=Manifest)
    except OSError as error:
        raise ConfigError(f"session {directory}: {MANIFEST}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"session {directory}: {MANIFEST}: {error}") from None


class _Form(msgspec.Struct):
    format: int


def journal_entries(directory: Path, start: int) -> Iterator[bytes]:
    """Every turn that one start journaled, as written. Raises as `read_segments`."""
    for segment in read_segments(directory / JOURNAL):
        if segment.start == start:
            yield from segment.payloads


def entries_before(directory: Path, start: int) -> Iterator[bytes]:
    """Every turn that the starts before one journaled. Raises as `read_segments`."""
    for segment in read_segments(directory / JOURNAL):
        if segment.start < start:
            yield from segment.payloads

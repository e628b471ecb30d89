"""A session on disk: manifest, tape of inputs, journal of decisions, summary."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

import oneprice
from oneprice.app.config import ConfigError, RunConfig
from oneprice.shell.desk import Turn
from oneprice.store.journal import JournalWriter, read_journal

MANIFEST, SUMMARY = "session.json", "summary.json"
TAPE, JOURNAL = "inputs.tape", "decisions.journal"
FORMAT = 1  # of the directory; a reader refuses another


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known to build the same desk again."""

    format: int
    version: str
    session: str  # prefix of every client order id
    kernel: str
    config: RunConfig


_ENCODER = msgspec.json.Encoder()


def entry_bytes(turn: Turn) -> bytes:
    """The journaled form of a turn; equal turns have equal bytes."""
    return _ENCODER.encode((turn.at, turn.decisions, turn.commands))


class TurnJournal:
    """Writes each turn to the journal before its requests leave."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer
        self.turns = 0

    def append(self, turn: Turn) -> None:
        self._writer.append(entry_bytes(turn))
        self.turns += 1

    def close(self) -> None:
        self._writer.close()


class NoJournal:
    """For runs that keep nothing: benchmarks of the bare path."""

    def append(self, turn: Turn) -> None:
        return


def create_session(directory: Path, session: str, kernel: str, config: RunConfig) -> None:
    """Make the directory and its manifest; raises ConfigError where something is there already."""
    try:
        if directory.exists() and any(directory.iterdir()):
            raise ConfigError(
                f"session {directory}: not empty; a run needs a directory of its own"
            )
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"session {directory}: cannot be made: {reason}") from None
    manifest = Manifest(
        format=FORMAT,
        version=oneprice.__version__,
        session=session,
        kernel=kernel,
        config=config,
    )
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (directory / MANIFEST).write_bytes(text + b"\n")


def load_manifest(directory: Path) -> Manifest:
    """The manifest of a session; raises ConfigError that names what is missing or wrong."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ConfigError(f"session {directory}: {MANIFEST}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"session {directory}: {MANIFEST}: {error}") from None
    if manifest.format != FORMAT:
        raise ConfigError(
            f"session {directory}: format {manifest.format}; this program reads {FORMAT}"
        )
    return manifest


def journal_entries(directory: Path) -> Iterator[bytes]:
    """Every journaled turn, as written."""
    return read_journal(directory / JOURNAL)

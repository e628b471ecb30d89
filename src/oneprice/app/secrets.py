"""Secrets: from the environment, a file that only its owner may read, or `.env`; shown nowhere.

A name is looked up in the environment first, then in the file that ONEPRICE_SECRETS_FILE or the
configuration names, then in `.env` of the working directory. Whatever is found is told to the
veil before anybody else has it. No error here shows a value.

The files are lines of NAME=value. A parser of our own, forty lines, rather than a library: what
such libraries add (references to other names, escapes, values over many lines, the environment
changed for every child) is what nobody wants to happen to a key.
"""

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from oneprice.app.config import ConfigError
from oneprice.shell.telemetry_veil import VEIL
from oneprice.venues.contract import Credentials

Role = Literal["trader", "watchdog"]  # a watchdog has keys of its own

FILE_NAME = "ONEPRICE_SECRETS_FILE"
ALERTS_NAME = "ONEPRICE_ALERTS"
DSN_NAMES = ("ONEPRICE_SENTRY_DSN", "SENTRY_DSN")
OTHERS_MODE = 0o077  # any of these bits lets somebody else at the file
OURS = re.compile(r"ONEPRICE_[A-Z0-9_]+|SENTRY_DSN")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def credentials(
    venue: str, role: Role = "trader", *, file: str = "", directory: Path | None = None
) -> Credentials | None:
    """Key, secret and passphrase of a venue, None where there is neither key nor secret.

    They are named ONEPRICE_<VENUE>_KEY, _SECRET, _PASSPHRASE; for a watchdog
    ONEPRICE_WATCHDOG_<VENUE>_KEY and so on. `file` is the configuration's, `directory` where
    `.env` is looked for (None: the working directory). Raises ConfigError for half a pair, for
    a file that others may read and for a line that is not NAME=value.
    """
    prefix = prefix_of(venue, role)
    found, places = lookup(
        [prefix + part for part in ("KEY", "SECRET", "PASSPHRASE")], file, directory
    )
    key, secret = found.get(prefix + "KEY", ""), found.get(prefix + "SECRET", "")
    if not key and not secret:
        return None
    if not key or not secret:
        missing, there = ("KEY", "SECRET") if not key else ("SECRET", "KEY")
        raise ConfigError(
            f"{places[prefix + there]}: {prefix}{missing} is missing beside its other half"
        )
    passphrase = found.get(prefix + "PASSPHRASE", "")
    VEIL.keep(key, secret, passphrase)
    return Credentials(key, secret, passphrase)


def prefix_of(venue: str, role: Role = "trader") -> str:
    """How the names of a venue's secrets begin."""
    watchdog = "WATCHDOG_" if role == "watchdog" else ""
    return f"ONEPRICE_{watchdog}{venue.upper()}_"


def alert_urls(file: str = "", directory: Path | None = None) -> list[str]:
    """Where alerts go: addresses for apprise, between blanks, from ONEPRICE_ALERTS.

    They hold tokens and passwords, so they are secrets as a whole.
    """
    urls = lookup([ALERTS_NAME], file, directory)[0].get(ALERTS_NAME, "").split()
    for url in urls:
        _keep_address(url)
    return urls


def sentry_dsn(file: str = "", directory: Path | None = None) -> str:
    """The address for errors, "" without one: ONEPRICE_SENTRY_DSN, else SENTRY_DSN."""
    found = lookup(list(DSN_NAMES), file, directory)[0]
    dsn = next((found[name] for name in DSN_NAMES if found.get(name)), "")
    if dsn:
        _keep_address(dsn)
    return dsn


def lookup(
    names: Iterable[str], file: str = "", directory: Path | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Values by name, and by name the place where each was found."""
    sources: list[tuple[str, Mapping[str, str]]] = [("environment", os.environ)]
    chosen = os.environ.get(FILE_NAME, "") or file
    if chosen:
        sources.append((f"secrets file {chosen}", read_secrets(Path(chosen).expanduser())))
    dotted = (directory if directory is not None else Path.cwd()) / ".env"
    if dotted.is_file():
        sources.append((str(dotted), read_dotenv(dotted)))
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    for name in names:
        for place, source in sources:
            if source.get(name):
                values[name], places[name] = source[name], place
                break
    return values, places


def read_secrets(path: Path) -> dict[str, str]:
    """Every name of a secrets file; ConfigError where others may read it or a line is wrong."""
    text, state = _contents(path)
    _only_ours(path, state)
    return _parsed(path, text, strict=True)


def read_dotenv(path: Path) -> dict[str, str]:
    """Our names of a `.env`, which may hold those of other programs; ConfigError as above."""
    text, state = _contents(path)
    found = _parsed(path, text, strict=False)
    if found:
        _only_ours(path, state)
    return found


def _contents(path: Path) -> tuple[str, os.stat_result]:
    """The text, and the state of the very file that was read."""
    try:
        with path.open("rb") as stream:
            return stream.read().decode("utf-8"), os.fstat(stream.fileno())
    except OSError as error:
        raise ConfigError(f"secrets file {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"secrets file {path}: byte {error.start} is not UTF-8, expected NAME=value lines"
        ) from None


def _only_ours(path: Path, state: os.stat_result) -> None:
    if not hasattr(os, "geteuid"):
        return  # a system without owners and modes
    if state.st_uid != os.geteuid():
        raise ConfigError(
            f"secrets file {path}: belongs to user {state.st_uid}, expected {os.geteuid()} (us)"
        )
    mode = stat.S_IMODE(state.st_mode)
    if mode & OTHERS_MODE:
        raise ConfigError(
            f"secrets file {path}: mode {mode:04o} lets others at it, expected 0600: "
            f"chmod 600 {path}"
        )


def _parsed(path: Path, text: str, *, strict: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        ours = match is not None and OURS.fullmatch(match[1]) is not None
        if not ours and not strict:
            continue
        if match is None:
            raise ConfigError(f"secrets file {path}: line {number}: expected NAME=value")
        name, value = match[1], _unquoted(match[2], f"secrets file {path}: line {number}")
        if name in found:
            raise ConfigError(f"secrets file {path}: line {number}: {name} stands there twice")
        found[name] = value
    return found


def _unquoted(value: str, where: str) -> str:
    """Quotes around the whole are taken off; nothing inside means anything but itself."""
    if value[:1] in ("'", '"'):
        if len(value) < 2 or value[-1] != value[0]:
            raise ConfigError(f"{where}: a quote is not closed")
        return value[1:-1]
    if re.search(r"\s", value):
        raise ConfigError(f"{where}: a blank in the value, expected quotes around it")
    return value


def _keep_address(url: str) -> None:
    """An address is a secret, and so is what it is made of, its host aside."""
    VEIL.keep(url)
    parts = urlsplit(url)
    VEIL.keep(parts.username or "", parts.password or "", *parts.path.split("/"))
    VEIL.learn("?" + parts.query)

"""Reading what a person typed: each word names its option, what was found and what would do."""

import re
from datetime import UTC, datetime
from typing import cast, get_args

from oneprice.app.config import ConfigError, Environment, did_you_mean

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "ms": 0.001}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)


def whole_of(text: str, option: str, least: int, most: int | None = None, zero: str = "") -> int:
    """A whole number within limits; `zero` says what 0 means, for the complaint."""
    number = int(text) if _WHOLE.fullmatch(text.strip()) else None
    if number is None or number < least or (most is not None and number > most):
        low = f"{least} ({zero})" if zero and not least else str(least)
        limits = f"{low} to {most}" if most is not None else f"{low} or more"
        found = repr(text) if number is None else text.strip()
        raise ConfigError(f"{option}: found {found}, expected {limits}")
    return number


def seconds_of(text: str, option: str = "--for") -> float:
    """60s, 2m, 1.5h, 1d or plain seconds; raises ConfigError with what was found."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{option}: found {text!r}, expected a duration such as 60s, 5m or 1h")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if not seconds:
        without = f" (or no {option} at all)" if option == "--for" else ""
        raise ConfigError(f"{option}: found {text!r}, expected more than zero{without}")
    return seconds


def moment_of(text: str, option: str) -> datetime:
    """A date (its midnight) or a moment, UTC where no offset is given; ConfigError otherwise."""
    try:
        found = datetime.fromisoformat(text.strip())
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option}: found {text!r}, expected a moment such as 2026-11-01 or 2026-11-01T08:00"
        ) from None
    if found < EPOCH:
        raise ConfigError(f"{option}: found {text!r}, expected 1970-01-01 or later")
    return found


def environment_of(mode: str | None) -> Environment | None:
    """ConfigError for a word that is no environment."""
    if mode is not None and mode not in get_args(Environment):
        raise ConfigError(f"--mode: found {mode!r}{did_you_mean(mode, get_args(Environment))}")
    return cast("Environment | None", mode)

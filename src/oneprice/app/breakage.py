"""Breakage: errors of ours told to Sentry, without locals, without names, without secrets."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import oneprice
from oneprice.shell.telemetry_veil import SECRET_FIELDS, VEIL
from oneprice.venues.contract import HIDDEN

_DEEP = 12
FLUSH_S = 2.0
# What tells of the person or the machine rather than of the error.
PERSONAL = ("user", "request", "server_name", "extra", "breadcrumbs")

Event = dict[str, Any]
Report = Callable[[str, BaseException], None]


class BreakageMissing(RuntimeError):
    """A DSN is given, but not the library that can use it; or the DSN cannot be used."""


def start_sentry(
    dsn: str, session: str, options: Mapping[str, Any] | None = None
) -> tuple[Report, Callable[[], None]]:
    """Whom to tell of errors, and how to end; BreakageMissing where that cannot work.

    Nothing is patched and nothing collected by itself: only what is reported is sent, by the
    library's own thread. `options` are further ones of `sentry_sdk.init`.
    """
    try:
        sentry = importlib.import_module("sentry_sdk")
    except ImportError:
        raise BreakageMissing(
            "a Sentry DSN is set, but sentry-sdk is not installed: pip install 'oneprice[sentry]'"
        ) from None
    try:
        sentry.init(
            dsn=dsn,
            release=f"oneprice@{oneprice.__version__}",
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            traces_sample_rate=0.0,
            before_send=veiled_event,
            **(options or {}),
        )
    except Exception as error:  # the library's own word for it is not public
        raise BreakageMissing(f"Sentry DSN: {VEIL.text(str(error))}") from None

    def report(where: str, error: BaseException) -> None:
        with sentry.new_scope() as scope:
            scope.set_tag("where", where)
            scope.set_tag("session", session)
            sentry.capture_exception(error)

    def close() -> None:
        sentry.flush(timeout=FLUSH_S)

    return report, close


def veiled_event(event: Event, hint: Mapping[str, Any]) -> Event:
    """What may leave: an event without secrets, frames without their variables."""
    kept = {name: value for name, value in event.items() if name not in PERSONAL}
    veiled: Event = _veiled("", kept, _DEEP)
    return veiled


def _veiled(name: str, value: Any, deep: int) -> Any:
    if name in ("vars", "abs_path"):
        return None
    if isinstance(value, str):
        return HIDDEN if value and SECRET_FIELDS.fullmatch(name) else VEIL.text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping) and deep:
        return {VEIL.text(str(k)): _veiled(str(k), v, deep - 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and deep:
        return [_veiled("", v, deep - 1) for v in value]
    return VEIL.text(str(value))

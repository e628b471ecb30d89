"""Logs: for people on a console or as JSON for machines, with their context, without secrets."""

import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, Protocol, TextIO, cast

import msgspec
import structlog

from oneprice.shell.telemetry_veil import SECRET_FIELDS, VEIL
from oneprice.venues.contract import HIDDEN

Style = Literal["console", "json"]
Fields = MutableMapping[str, Any]
_DEEP = 6  # levels of nested values that are looked through; below they are shown as text


class Told(Protocol):
    """Where log lines go."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class _Logger(structlog.PrintLogger):
    """Prints lines and knows the part of the program that it belongs to."""

    def __init__(self, file: TextIO, component: str) -> None:
        super().__init__(file)
        self.component = component


def configure_logs(
    level: int, to: Told | None = None, style: Style = "console", file: str = ""
) -> None:
    """Structured logs to `to` (standard error), and as JSON lines to `file` where one is named.

    Context that was bound with `structlog.contextvars` is in every JSON line. Raises OSError
    where the file cannot be opened; it is made readable by its owner alone.
    """
    target = cast("TextIO", to or sys.stderr)

    def logger(*names: str) -> _Logger:
        return _Logger(target, names[0] if names else "")

    # Typed loosely here: a processor takes and returns what its place in the row says.
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if file:
        processors.append(_copy_to(file))
    if style == "json":
        processors += [_in_context, veil_fields, _as_json]
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False)
        processors += [veil_fields, renderer]
    processors.append(veil_line)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=logger,
        processors=processors,
    )


def veil_fields(logger: object, method: str, fields: Fields) -> Fields:
    """Every value without secrets; what has a telling name is not shown at all."""
    return {name: _veiled(name, value, _DEEP) for name, value in fields.items()}


def veil_line(logger: object, method: str, line: str) -> str:
    """The last net: the line as it will be written, whatever came before."""
    return VEIL.text(line)


def _veiled(name: str, value: Any, deep: int) -> Any:
    if name and SECRET_FIELDS.fullmatch(name) is not None and value not in (None, "", True, False):
        return HIDDEN
    if isinstance(value, str):
        return VEIL.text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if deep and isinstance(value, Mapping):
        return {str(k): _veiled(str(k), v, deep - 1) for k, v in value.items()}
    if deep and isinstance(value, (list, tuple)):
        return [_veiled("", v, deep - 1) for v in value]
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return VEIL.text(text)


def _in_context(logger: object, method: str, fields: Fields) -> Fields:
    context = structlog.contextvars.merge_contextvars(logger, method, fields)
    context.setdefault("component", getattr(logger, "component", ""))
    return context


def _as_json(logger: object, method: str, fields: Fields) -> str:
    return msgspec.json.encode(fields).decode()


def _copy_to(file: str) -> Callable[[object, str, Fields], Fields]:
    """A processor that writes each line to a file as well; a full disk does not stop a run."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stream = os.fdopen(handle, "w", encoding="utf-8", buffering=1)

    def copied(logger: object, method: str, fields: Fields) -> Fields:
        told = veil_fields(logger, method, _in_context(logger, method, dict(fields)))
        try:
            stream.write(VEIL.text(_as_json(logger, method, told)) + "\n")
        except OSError as error:
            fields["log_file"] = f"not written: {error.strerror or error}"
        return fields

    return copied

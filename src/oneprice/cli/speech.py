"""How the command speaks: results on standard output, everything else on standard error."""

import logging
import os
import sys
from typing import Protocol, TextIO, cast

import stamina
import structlog

from oneprice import kernel

EXIT_OK, EXIT_WRONG, EXIT_BAD_INPUT = 0, 1, 2
EXIT_INTERRUPTED = 130  # as shells name an end by Ctrl-C
SILENT = logging.CRITICAL  # for who looks: what goes wrong is in the answer, once


def say(text: str) -> None:
    """One result line, flushed: whoever reads us may wait for it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(f"oneprice: {text}\n")


def tell_kernel() -> None:
    """A word about speed, where the plain kernel serves because no native one was built."""
    if kernel.NAME != "native" and "ONEPRICE_KERNEL" not in os.environ:
        complain(
            "the plain Python kernel serves, several times slower: no native kernel was built "
            "(it needs a C compiler at installation; then: make clean, make run)"
        )


class Told(Protocol):
    """Where log lines go."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


def quiet_logs(level: int = logging.WARNING, to: Told | None = None) -> None:
    """Structured logs to standard error, so that standard output stays a document."""
    stamina.instrumentation.set_on_retry_hooks([])  # what fails for good is told once, by us
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", to or sys.stderr)),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False),
        ],
    )

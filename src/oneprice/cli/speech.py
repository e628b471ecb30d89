"""How the command speaks: results on standard output, everything else on standard error."""

import logging
import os
import sys

import stamina

from oneprice import kernel
from oneprice.app.config import ConfigError
from oneprice.shell.telemetry_log import Style, Told, configure_logs

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


def quiet_logs(
    level: int = logging.WARNING,
    to: Told | None = None,
    style: Style = "console",
    file: str = "",
) -> None:
    """Structured logs to standard error, so that standard output stays a document.

    ConfigError where `file`, to which they go as well, cannot be opened.
    """
    stamina.instrumentation.set_on_retry_hooks([])  # what fails for good is told once, by us
    try:
        configure_logs(level, to, style, file)
    except OSError as error:
        raise ConfigError(f"telemetry.log_file {file}: {error.strerror or error}") from None

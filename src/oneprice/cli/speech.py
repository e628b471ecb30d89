"""How the command speaks: results on standard output, everything else on standard error."""

import logging
import sys

import structlog

EXIT_OK, EXIT_WRONG, EXIT_BAD_INPUT = 0, 1, 2


def say(text: str) -> None:
    """One result line, flushed: whoever reads us may wait for it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(f"oneprice: {text}\n")


def quiet_logs(level: int = logging.WARNING) -> None:
    """Structured logs to standard error, so that standard output stays a document."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False),
        ],
    )

"""Logs: JSON or console, with their context, and never with a secret."""

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from traceback import format_exception

import pytest
import structlog

from oneprice.app.config import ConfigError
from oneprice.cli.speech import quiet_logs
from oneprice.shell.telemetry_log import Style, configure_logs
from oneprice.shell.telemetry_veil import VEIL

SECRET = "logged-secret-4711"


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    before = structlog.get_config()
    VEIL.keep(SECRET)
    yield
    structlog.contextvars.clear_contextvars()
    structlog.configure(**before)


def test_a_json_line_holds_the_context_it_was_said_in() -> None:
    out = io.StringIO()
    configure_logs(logging.WARNING, out, "json")
    structlog.contextvars.bind_contextvars(session="s1")
    structlog.get_logger("gateway").warning("socket down", venue="acme", tries=3)
    structlog.get_logger("gateway").info("nobody asked")
    line = json.loads(out.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "socket down",
        "level": "warning",
        "venue": "acme",
        "tries": 3,
        "session": "s1",
        "component": "gateway",
    }


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_secret_passes_in_any_kind_of_value(style: Style, tmp_path: Path) -> None:
    out, file = io.StringIO(), tmp_path / "log"
    configure_logs(logging.WARNING, out, style, str(file))
    try:
        raise RuntimeError(f"signing with {SECRET} failed")
    except RuntimeError as error:
        trace = "".join(format_exception(error))
    structlog.get_logger("x").warning(
        f"said {SECRET}",
        deep={"list": [SECRET, {"b": SECRET.encode()}], SECRET: 1},
        passphrase="short",
        api_key="never-seen-before",
        headers=(("X-SIGN", SECRET),),
        exception=trace,
    )
    for text in (out.getvalue(), file.read_text()):
        assert "signing with" in text
        assert SECRET not in text and "never-seen-before" not in text and "short" not in text


def test_the_file_is_its_owners_alone_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "log"
    quiet_logs(file=str(file))
    structlog.get_logger("x").error("broken")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["event"] == "broken"
    with pytest.raises(ConfigError, match=r"telemetry\.log_file .*: Is a directory"):
        quiet_logs(file=str(tmp_path))


def test_the_console_speaks_as_before() -> None:
    out = io.StringIO()
    quiet_logs(to=out)
    structlog.get_logger("run").warning("feed lost", instrument="a:b:C")
    assert out.getvalue().endswith("[warning] feed lost instrument=a:b:C\n")

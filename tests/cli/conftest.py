"""Commands spoken within the test's own process: what is only wrong input needs no other one."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from oneprice.cli.commands import invoke

Said = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Said]:
    """`said("run", "--for", "soon")`: the exit status and what was written where."""

    def speak(*words: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["oneprice", *words])
        status = invoke()
        written = capsys.readouterr()
        return subprocess.CompletedProcess(words, status, written.out, written.err)

    yield speak
    structlog.reset_defaults()

"""A test of times is tried again where the machine stood still, and no other ever is."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.standstill import GAP_S, Watch

STOP = (
    "import os, signal, time; me = {pid}; "
    "os.kill(me, signal.SIGSTOP); time.sleep({for_s}); os.kill(me, signal.SIGCONT)"
)
CONFTEST = """
from tests.conftest import pytest_runtest_protocol, pytest_terminal_summary

def pytest_configure(config):
    config.addinivalue_line("markers", "timed: as in the suite")
"""
TESTS = """
import os, pytest, subprocess, sys, time
runs = {"times": 0, "other": 0}

def hurried(name):
    runs[name] += 1
    began = time.monotonic()
    if runs[name] < 3:
        subprocess.Popen([sys.executable, "-c", STOPS.replace("PID", str(os.getpid()))]).wait()
    assert time.monotonic() - began < 0.4

@pytest.mark.timed
def test_of_times():
    hurried("times")

def test_of_something_else():
    hurried("other")

def test_how_often_they_ran():
    assert runs == {"times": 3, "other": 1}
"""


def stopped(for_s: float) -> None:
    """This process, by another one."""
    code = STOP.format(pid=os.getpid(), for_s=for_s)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_was_stopped_stood_still() -> None:
    watch = Watch()
    time.sleep(0.1)
    stopped(3 * GAP_S)
    time.sleep(0.1)
    watch.end()
    assert watch.stood_still


def test_a_test_of_times_is_tried_again_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    stops = repr(STOP.format(pid="PID", for_s=0.5))
    (tmp_path / "test_hurried.py").write_text(f"STOPS = {stops}\n{TESTS}")
    words = ("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(tmp_path))
    top = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{top}:{os.environ.get('PYTHONPATH', '')}"}, timeout=120,
    )  # fmt: skip
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "FAILED test_hurried.py::test_of_something_else" in done.stdout
    assert "tried again: the machine stood still" in done.stdout

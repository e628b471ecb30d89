"""How the whole suite is run: what its processes share, who runs what, and in which order."""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.standstill import Watch

# Some machines forbid Python to keep what it compiled. A hundred tests start the program as a
# process of its own, and each would compile the whole of it anew: a second of work every time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass  # the strictest clients are played in an environment that has little else
else:
    # How long one example takes is the machine's affair.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")

WORKERS_MAX = 16
WORKERS_MORE = 1  # than cores: most tests wait for sockets and processes most of their time
# Files whose tests are long, and know nothing of each other: any worker may run any of them. The
# tests of any other file share what it set up, so one worker runs them all.
APART = ("tests/app/", "tests/cards/", "tests/simulation/", "tests/core/test_recall")
# What takes longest is begun first, lest a worker is still at it when all others are done.
FIRST = (
    *("tests/simulation/test_simulation_seeds", "tests/cards/", "tests/cli/test_shapes"),
    *("tests/cli/test_venues_cli", "tests/telemetry/test_listening", "tests/app/test_recovery"),
)
# Real sockets and processes by the clock on the wall: where the machine stands still for seconds,
# a venue's window is missed, a book grows old, a deadline passes. As if marked `timed`.
BY_THE_WALL = (
    *("tests/app/", "tests/cards/", "tests/cli/", "tests/docs/", "tests/fuzz/test_fuzz_twins"),
    *("tests/shell/", "tests/strangers/", "tests/telemetry/", "tests/twin/", "tests/wire/"),
)
LIMIT_S = 400  # of one try: what hangs is told with the place where it does
TRIES = 3  # of such a test, where the machine stood still each time that it failed
AGAIN = "tried again"


def _path(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _place(nodeid: str) -> tuple[bool, bytes]:
    """Those that wait and those that compute are mixed, the same way in every worker."""
    scope = scope_of(nodeid)
    return not scope.startswith(FIRST), blake2b(scope.encode(), digest_size=8).digest()


def scope_of(nodeid: str) -> str:
    """Tests of one scope are run by one worker, in their order."""
    return nodeid if nodeid.startswith(APART) else _path(nodeid)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return min(WORKERS_MAX, WORKERS_MORE + (os.cpu_count() or 1))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    config.option.loadscopereorder = False  # the order above is kept
    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """The collector need not walk what is loaded by now."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _a_run_is_not_the_process() -> Any:
    """A run takes everything for what lives to its process's end; here hundreds follow it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("freeze", "set_threshold"):
            patch.setattr(gc, name, lambda *_: None)
        yield


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise in whatever does not come to an end."""

    def over(*_: object) -> None:
        raise TimeoutError(f"no end within {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A test of times that fails while the machine stands still is tried again; never another."""
    if item.get_closest_marker("timed") is None and not item.nodeid.startswith(BY_THE_WALL):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for tried in range(1, TRIES + 1):
        watch = Watch()
        with limited():
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        watch.end()
        failed = any(report.failed for report in reports)
        if not failed or not watch.stood_still:
            break
        item.user_properties.append((AGAIN, tried))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was tried again is told: a machine that often stands still is no judge of times."""
    reports = [r for some in terminalreporter.stats.values() for r in some]
    again = sorted(
        {
            r.nodeid
            for r in reports
            for name, _ in getattr(r, "user_properties", ())
            if name == AGAIN
        }
    )
    if again:
        terminalreporter.section("tried again: the machine stood still")
        for nodeid in again:
            terminalreporter.line(nodeid)

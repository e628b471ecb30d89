"""Who listens where: a run and its twins, on loopback alone, asked of the kernel."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from listening import free_port

LISTENING = "0A"
LOOPBACK = ("0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F")

pytestmark = pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="no /proc/net/tcp on this system"
)


def family_of(pid: int) -> set[int]:
    """A process and everything below it."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def listening(pids: set[int]) -> list[tuple[str, int]]:
    """(address as the kernel writes it, port) of every socket that these processes listen on."""
    inodes: set[str] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    name = str(entry.readlink())
                    if name.startswith("socket:["):
                        inodes.add(name[8:-1])
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                address, _, port = fields[1].rpartition(":")
                found.append((address, int(port, 16)))
    return found


@contextlib.contextmanager
def command(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "oneprice.cli.main", *arguments],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ},
    )  # fmt: skip
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)  # a suite in the background has Ctrl-C ignored
        try:
            child.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def until_listening(child: subprocess.Popen[bytes], count: int) -> list[tuple[str, int]]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert child.poll() is None, child.stderr and child.stderr.read()
        found = listening(family_of(child.pid))
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"expected {count} listening sockets, found {found}")


def test_a_run_listens_on_loopback_only_with_or_without_telemetry(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "c.toml").write_text(
        '[[venues]]\nname = "bybit"\nmarkets = ["linear"]\nsymbols = ["BTCUSDT"]\n'
        '[[venues]]\nname = "binance"\nmarkets = ["usdm"]\nsymbols = ["BTCUSDT"]\n'
        f"[telemetry]\nport = {port}\n"
    )
    with command(tmp_path, "run", "--json", "--config", "c.toml", "--for", "30s") as child:
        found = until_listening(child, 3)  # two twins and the pages
    assert port in [bound for _, bound in found]
    assert {address for address, _ in found} <= set(LOOPBACK), found


def test_a_run_without_a_port_listens_nowhere_itself(tmp_path: Path) -> None:
    with command(tmp_path, "run", "--json", "--for", "30s") as child:
        found = until_listening(child, 2)
        time.sleep(1.5)
        own = listening({child.pid})
    assert own == [] and {address for address, _ in found} <= set(LOOPBACK)


def test_twins_listen_on_loopback_only(tmp_path: Path) -> None:
    with command(tmp_path, "twin", "bybit,okx") as child:
        found = until_listening(child, 2)
    assert len(found) == 2 and {address for address, _ in found} <= set(LOOPBACK), found


def test_the_scan_of_sockets_sees_one_that_is_open_to_all(tmp_path: Path) -> None:
    code = "import socket,time; s=socket.create_server(('0.0.0.0', 0)); time.sleep(20)"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        found = until_listening(child, 1)
    finally:
        child.kill()
        child.wait()
    assert found[0][0] not in LOOPBACK

"""The lab: twins in a process of their own, so that they do not share the trader's loop."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterable, Sequence

import msgspec

from oneprice.app.config import ConfigError
from oneprice.venues.contract import Credentials

READY_TIMEOUT_S = 30.0
BAD_INPUT = 2  # the exit status of a command that was told something it cannot use


class Account(msgspec.Struct, frozen=True):
    """One account of a twin, as its ready line says."""

    key: str
    secret: str
    passphrase: str = ""


class Listed(msgspec.Struct, frozen=True):
    market: str
    id: str


class Ready(msgspec.Struct, frozen=True):
    """The line that a twin prints when it can be used."""

    venue: str
    rest: str
    ws: str
    accounts: list[Account]
    instruments: list[Listed]

    def credentials(self) -> Credentials:
        first = self.accounts[0]
        return Credentials(first.key, first.secret, first.passphrase)


class LabError(RuntimeError):
    """The twins did not come up; says what they printed."""


class Lab:
    """Twins of some venues, sharing one market, in one child process."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        twins: Sequence[Ready],
        reader: asyncio.Task[None],
    ) -> None:
        self._process = process
        self._reader = reader
        self.twins = {twin.venue: twin for twin in twins}

    async def close(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


async def start_lab(venues: Sequence[str], market: str, options: Sequence[str] = ()) -> Lab:
    """Start twins on free ports; raises LabError with their own words when they fail.

    ConfigError, in their words too, where it is the market that they cannot use.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "oneprice.cli.main",
        "twin",
        ",".join(venues),
        "--market",
        market,
        "--until-eof",
        *options,
        # The pipe ends when we end, however we end: no twin outlives its trader.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C is for the trader: it needs the venues to finish its legs.
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    twins: list[Ready] = []
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while len(twins) < len(venues):
                line = await process.stdout.readline()
                if not line:
                    text = (await process.stderr.read()).decode(errors="replace")
                    complaint = f"twins of {', '.join(venues)}: {_last(text)}"
                    if await process.wait() == BAD_INPUT:
                        raise ConfigError(complaint)
                    raise LabError(complaint)
                twins.append(msgspec.json.decode(line, type=Ready))
    except TimeoutError:
        process.kill()
        raise LabError(f"twins not ready within {READY_TIMEOUT_S} s") from None
    except asyncio.CancelledError:
        process.kill()
        raise
    return Lab(process, twins, asyncio.create_task(_drain(process.stderr)))


async def _drain(stream: asyncio.StreamReader) -> None:
    # A full pipe would stop the twins.
    while await stream.read(65536):
        pass


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("oneprice: ") if lines else "ended without a word"


def twin_endpoints(venue: str, rest: str, ws: str, hosts: Iterable[str]) -> dict[str, str]:
    """Base urls of a twin for every host key of a venue's spec."""
    endpoints: dict[str, str] = {}
    for host in hosts:
        base = rest if host.endswith("rest") else ws
        endpoints[host] = base + TWIN_PREFIXES.get((venue, host), "")
    return endpoints


# A twin serves all hosts of a venue on one port; where two would collide it puts one aside.
TWIN_PREFIXES = {("binance", "coinm_ws"): "/dstream", ("kucoin", "futures_rest"): "/futures"}


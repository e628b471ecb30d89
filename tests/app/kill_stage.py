"""A stage for kills: twins here, whose own state is the judge; everybody else is a process."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from oneprice.app.build import spec_of
from oneprice.app.heartbeat import Heartbeat, HeartbeatDamaged, read_heartbeat
from oneprice.app.lab import twin_endpoints
from oneprice.twin.build import World, make_twin
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.server import RunningTwin, serve

PATIENCE_S = 120.0  # with anything: a machine under load may stand still for many seconds
HERE = Path(__file__).resolve().parent
TRADER = HERE / "kill_trader.py"


class Stage:
    """Twins of some venues, and a directory with a configuration for who trades on them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.session = directory / "session"
        self.config = directory / "config.toml"
        self.twins: dict[str, RunningTwin] = {}
        self.keys: dict[str, str] = {}
        self._processes: list[asyncio.subprocess.Process] = []

    async def open(
        self,
        instruments: Mapping[str, Sequence[str]],
        *,
        dead_man_ms: Mapping[str, int] | None = None,
        more: str = "",
    ) -> None:
        """Serve the twins, and write what a trader needs to find them. Instruments by venue."""
        text = f'strategies = ["hedge"]\n{more}\n'
        for venue, named in instruments.items():
            world = World(seed=5, instruments=tuple(f"{venue}:{name}" for name in named))
            twin = self.twins[venue] = await serve(make_twin(venue, time.time_ns, world))
            ends = twin_endpoints(venue, twin.rest, twin.ws, spec_of(venue).hosts["live"])
            text += f'[[venues]]\nname = "{venue}"\ninstruments = {list(named)}\n'
            text += f"dead_man_ms = {(dead_man_ms or {}).get(venue, 0)}\n[venues.endpoints]\n"
            text += "".join(f'{host} = "{url}"\n' for host, url in ends.items())
            account = twin.twin.exchange.accounts()[0]
            for role in ("", "WATCHDOG_"):
                prefix = f"ONEPRICE_{role}{venue.upper()}_"
                self.keys[prefix + "KEY"] = account.key
                self.keys[prefix + "SECRET"] = account.secret
                self.keys[prefix + "PASSPHRASE"] = account.passphrase
        self.config.write_text(text)

    async def close(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        for twin in self.twins.values():
            await twin.close()

    # Processes -----------------------------------------------------------------------------

    async def trader(self, *play: str, **extra: str) -> asyncio.subprocess.Process:
        """A trader whose orders rest; returns when they do."""
        log = self.directory / "trader.log"
        process = await self._process(
            [str(TRADER), str(self.config), str(self.session), *play], extra, log
        )
        ready = self.session.with_suffix(".ready")
        await self.until(
            lambda: ready.exists() or process.returncode is not None, "a trader that is ready"
        )
        assert process.returncode is None, log.read_text()
        await self.until(lambda: all(self.open_orders(v) for v in self.twins), "orders that rest")
        return process

    async def command(self, *words: str, **extra: str) -> tuple[int, str, str]:
        """Exit status and both outputs of an `oneprice` command."""
        process = await self._process(["-m", "oneprice.cli.main", *words], extra)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def watchdog(self, *options: str) -> asyncio.subprocess.Process:
        """One that goes on; its words are in watchdog.log."""
        words = ["watchdog", "--session", str(self.session), "--config", str(self.config)]
        log = self.directory / "watchdog.log"
        return await self._process(
            ["-m", "oneprice.cli.main", *words, "--json", *options], {}, log
        )

    async def _process(
        self, words: Sequence[str], extra: Mapping[str, str], log: Path | None = None
    ) -> asyncio.subprocess.Process:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ONEPRICE_")}
        target = log.open("ab") if log is not None else asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=self.directory, env={**kept, **self.keys, **extra},
            stdout=target, stderr=target,
        )  # fmt: skip
        if not isinstance(target, int):
            target.close()
        self._processes.append(process)
        return process

    # What is true --------------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            await asyncio.sleep(0.02)

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def exchange(self, venue: str) -> InnerExchange:
        return self.twins[venue].twin.exchange

    def open_orders(self, venue: str) -> int:
        exchange = self.exchange(venue)
        return sum(1 for o in exchange.orders(exchange.accounts()[0].key) if o.open)

    def lots(self, venue: str) -> int:
        """Of all positions, without their signs."""
        exchange = self.exchange(venue)
        key = exchange.accounts()[0].key
        markets = dict.fromkeys(listing.instrument.market for listing in exchange.listings())
        return sum(abs(p.lots) for m in markets for p in exchange.positions(key, m))

    @property
    def resting(self) -> int:
        return sum(self.open_orders(venue) for venue in self.twins)

    @property
    def held(self) -> int:
        return sum(self.lots(venue) for venue in self.twins)

    def beat(self) -> Heartbeat:
        try:
            found = read_heartbeat(self.session)
        except HeartbeatDamaged as error:
            raise AssertionError(str(error)) from None
        assert found is not None, "no heartbeat"
        return found

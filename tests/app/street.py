"""Two twins in the test's own loop, and traders on one session that are processes of their own."""

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from oneprice.app.build import spec_of
from oneprice.app.lab import twin_endpoints
from oneprice.twin.build import World, make_twin
from oneprice.twin.records import Order
from oneprice.twin.server import RunningTwin, serve

DOOMED = Path(__file__).with_name("doomed.py")
MARKETS = {"bybit": ("spot", "linear"), "binance": ("spot", "usdm")}
SAFE_MS = 5_000
UNWINDING = '"after":"UNWINDING"'
SENT = '"type":"PlaceOrder"'


class Street:
    """Two twins that outlive every trader, and the trader's session."""

    def __init__(
        self,
        directory: Path,
        patch: pytest.MonkeyPatch,
        markets: Mapping[str, tuple[str, ...]] = MARKETS,
    ) -> None:
        self.twins: dict[str, RunningTwin] = {}
        self.session = directory / "s"
        self.config = directory / "run.toml"
        self.markets = markets
        self._patch = patch

    async def open(self) -> None:
        world = World(seed=7)
        text = 'journal_sync = "never"\n'
        for venue, markets in self.markets.items():
            twin = self.twins[venue] = await serve(make_twin(venue, time.time_ns, world))
            account = twin.twin.exchange.accounts()[0]
            self._patch.setenv(f"ONEPRICE_{venue.upper()}_KEY", account.key)
            self._patch.setenv(f"ONEPRICE_{venue.upper()}_SECRET", account.secret)
            ends = twin_endpoints(venue, twin.rest, twin.ws, spec_of(venue).hosts["live"])
            lines = "\n".join(f'{host} = "{url}"' for host, url in ends.items())
            text += f'\n[[venues]]\nname = "{venue}"\nmarkets = {json.dumps(markets)}\n'
            text += f'symbols = ["BTCUSDT", "ETHUSDT"]\n[venues.endpoints]\n{lines}\n'
        self.config.write_text(text)

    async def close(self) -> None:
        for twin in self.twins.values():
            await twin.close()

    # Traders -------------------------------------------------------------------------------

    async def start(self, *words: str, doom: tuple[str, str, int] | None = None) -> Any:
        """A trader; with `doom` it dies at that write to its journal."""
        place, pattern, number = doom or ("never", "", 1 << 40)
        return await asyncio.create_subprocess_exec(
            sys.executable, str(DOOMED), place, pattern, str(number), "run", "--json",
            "--config", str(self.config), "--session", str(self.session), *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def killed(self, doom: tuple[str, str, int], seconds: float = 40) -> None:
        trader = await self.start(doom=doom)
        _, complaint = await asyncio.wait_for(trader.communicate(), seconds)
        assert trader.returncode == -signal.SIGKILL, complaint.decode()

    async def resumed(self, *words: str) -> tuple[dict[str, Any], str]:
        """The next start, to its end: its summary and what it complained of."""
        trader = await self.start("--for", "5s", *words)
        out, complaint = await asyncio.wait_for(trader.communicate(), 60)
        assert out, complaint.decode()
        return json.loads(out), complaint.decode()

    async def down(self, venue: str) -> None:
        """A venue goes away with all its connections; what it knows, it knows."""
        await self.twins[venue].close()

    async def up(self, venue: str) -> None:
        """It comes back where it was."""
        old = self.twins[venue]
        self.twins[venue] = await serve(old.twin, urlsplit(old.rest).port or 0)

    # What the twins know -------------------------------------------------------------------

    def orders(self) -> list[Order]:
        found: list[Order] = []
        for twin in self.twins.values():
            exchange = twin.twin.exchange
            found += exchange.orders(exchange.accounts()[0].key)
        return found

    def positions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for venue, twin in self.twins.items():
            exchange = twin.twin.exchange
            for market in self.markets[venue]:
                if market != "spot":
                    for held in exchange.positions(exchange.accounts()[0].key, market):
                        found[f"{venue}:{held.instrument}"] = held.lots
        return {name: lots for name, lots in found.items() if lots}

    def refuse_some(self, venue: str, share: float) -> None:
        """A part of all orders finds no taker: legs are missed and given back."""
        exchange = self.twins[venue].twin.exchange
        place, dice = exchange.place, random.Random(1)

        def placed(request: Any, at: int) -> Order:
            if not request.reduce_only and dice.random() < share:
                away = request.ticks // 2 if request.side > 0 else request.ticks * 2
                request = msgspec.structs.replace(request, ticks=max(1, away))
            return place(request, at)

        self._patch.setattr(exchange, "place", placed)


def all_is_well(street: Street, summary: dict[str, Any], complaint: str) -> None:
    """No order twice, nothing unexplained, nothing open; and it was known in time."""
    ids = [order.client_id for order in street.orders()]
    assert len(ids) == len(set(ids))
    assert all(ids), "an order without an id of ours"
    recovery = summary["recovery"]
    assert recovery is not None and recovery["ms"] < SAFE_MS, complaint
    assert recovery["differences"] == [] and summary["clutch"] == "closed", complaint
    assert summary["discrepancies"] == [] and summary["left"] == [], complaint
    assert summary["ledger_residual"] == "0" and not summary["failure"]
    assert street.positions() == {}
    assert f"resumed after {recovery['ms']} ms" in complaint

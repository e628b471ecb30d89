"""Recovery on real sockets: the trader is killed, its twins live on, the next start is safe."""

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oneprice.app.build import spec_of
from oneprice.app.lab import twin_endpoints
from oneprice.app.parity import compare
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

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.twins: dict[str, RunningTwin] = {}
        self.session = directory / "s"
        self.config = directory / "run.toml"
        self._patch = patch

    async def open(self) -> None:
        world = World(seed=7)
        text = 'journal_sync = "never"\n'
        for venue, markets in MARKETS.items():
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
            for market in MARKETS[venue]:
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


@pytest.fixture
async def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    street = Street(tmp_path, monkeypatch)
    await street.open()
    yield street
    await street.close()


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


# Where a trader dies, one after the other in one session: around the write that must precede an
# order, in the middle of that write, and with the answers of the venues on their way.
DEATHS = [
    ("before", SENT, 1),
    ("half", SENT, 1),
    ("after", SENT, 2),
    ("half", '"type":"OrderFilled"', 2),
]


async def test_killed_again_and_again_around_its_writes_the_last_start_ends_all_of_it(
    street: Street,
) -> None:
    for death in DEATHS:
        await street.killed(death)
        ids = [order.client_id for order in street.orders()]
        assert len(ids) == len(set(ids)), "an order was sent twice"
    summary, complaint = await street.resumed()
    all_is_well(street, summary, complaint)
    assert summary["start"] == len(DEATHS) + 1
    parity = compare(street.session)
    assert parity.first_difference is None and parity.starts == len(DEATHS) + 1
    assert parity.equal == parity.decisions > 20


async def test_killed_while_a_missed_leg_is_given_back_the_next_start_gives_it_back(
    street: Street,
) -> None:
    street.refuse_some("binance", 0.8)
    await street.killed(("after", UNWINDING, 1))
    await street.killed(("before", SENT, 1))
    summary, complaint = await street.resumed()
    all_is_well(street, summary, complaint)
    assert summary["groups"]["FLAT"] > 0


async def test_killed_at_any_moment_the_next_start_is_safe(street: Street) -> None:
    dice = random.Random(4)
    for _ in range(2):
        known = len(street.orders())
        trader = await street.start()
        async with asyncio.timeout(40):
            while len(street.orders()) == known:
                await asyncio.sleep(0.01)
        await asyncio.sleep(dice.uniform(0, 1.5))
        trader.kill()
        await trader.communicate()
    summary, complaint = await street.resumed()
    all_is_well(street, summary, complaint)

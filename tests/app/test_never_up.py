"""A run whose key the venue refuses says what never came up, instead of all being well."""

import asyncio
from pathlib import Path
from time import time_ns

import pytest

from oneprice.app import connecting
from oneprice.app import run as running
from oneprice.app.build import spec_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.lab import twin_endpoints
from oneprice.app.session import start_directory
from oneprice.store.tape import read_tape
from oneprice.twin.build import World, make_twin
from oneprice.twin.server import serve


@pytest.mark.parametrize(
    ("secret", "missing"),
    [
        ("twin-bybit-secret-0001", []),
        ("quite-another-secret", ["socket bybit/private", "socket bybit/trade"]),
    ],
)
async def test_what_never_came_up_is_in_the_summary(
    secret: str, missing: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "SETTLE_TIMEOUT_S", 3.0)
    monkeypatch.setenv("ONEPRICE_BYBIT_KEY", "twin-bybit-key-0001")
    monkeypatch.setenv("ONEPRICE_BYBIT_SECRET", secret)
    twin = await serve(make_twin("bybit", time_ns, World(seed=5)))
    ends = twin_endpoints("bybit", twin.rest, twin.ws, spec_of("bybit").hosts["live"])
    venue = VenueConfig(name="bybit", instruments=("linear:BTCUSDT",), endpoints=ends)
    try:
        config = RunConfig(venues=(venue,), seconds=1)
        summary = await running.run(config, tmp_path / "s", stop=asyncio.Event())
    finally:
        await twin.close()
    assert summary.missing == missing
    tape = start_directory(tmp_path / "s", 1) / running.TAPE
    assert all(secret.encode() not in record.payload for record in read_tape(tape))

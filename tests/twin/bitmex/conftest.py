"""A served BitMEX twin with a clock that tests may move."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from bitmexwire import KEY, SECRET, MovedClock, Venue

from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import AccountSpec
from oneprice.twin.server import serve


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    clock = MovedClock()
    deposits = {"XBT": Decimal(5), "USDT": Decimal(100_000)}
    accounts = (
        AccountSpec(key=KEY, secret=SECRET, uid=7, deposits={"margin": deposits}),
        AccountSpec(key="other", secret=SECRET, uid=8, deposits={"margin": deposits}),
        AccountSpec(key="reader", secret=SECRET, uid=9, read_only=True),
        AccountSpec(key="bound", secret=SECRET, uid=10, addresses=("203.0.113.7",)),
    )
    twin = make_twin(
        "bitmex", clock, World(seed=3, funding_interval_ms=60_000), accounts=accounts
    )
    surface: Any = twin.surface
    surface.limiter.resize(100)
    running = await serve(twin)
    async with aiohttp.ClientSession() as session:
        yield Venue(running, clock, session)
    await running.close()
    assert running.failures == 0

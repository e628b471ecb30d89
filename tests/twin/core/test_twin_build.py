"""Putting twins together: both venues start, choose instruments, refuse what they do not list."""

from time import time_ns

import aiohttp
import pytest

from oneprice.twin.build import DIALECTS, World, make_twin
from oneprice.twin.server import serve

PING = {
    "bybit": "/v5/market/time",
    "binance": "/api/v3/time",
    "okx": "/api/v5/public/time",
    "kucoin": "/api/v1/timestamp",
    "bitmex": "/api/v1",
}


@pytest.mark.parametrize("venue", list(DIALECTS))
async def test_a_twin_of_every_venue_starts_and_answers(venue: str) -> None:
    running = await serve(make_twin(venue, time_ns, World(seed=3)))
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.get(running.rest + PING[venue]) as answer,
        ):
            assert answer.status == 200
        assert running.ready["venue"] == venue
        assert running.failures == 0
    finally:
        await running.close()


def test_a_world_may_be_as_small_as_one_instrument_with_its_own_funding_interval() -> None:
    world = World(instruments=("bybit:linear:BTCUSDT",), funding_interval_ms=60_000)
    twin = make_twin("bybit", time_ns, world)
    (listing,) = twin.exchange.listings()
    assert listing.instrument.id == "bybit:linear:BTCUSDT"
    due = twin.exchange.ticker(listing.instrument.id).funding_due
    assert 0 < due - time_ns() <= 60_000_000_000


def test_an_unknown_venue_or_instrument_is_named_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="no twin of 'kraken': expected one of binance, b"):
        make_twin("kraken", time_ns)
    with pytest.raises(ValueError, match="instrument 'bybit:linear:DOGE': expected one of"):
        make_twin("bybit", time_ns, World(instruments=("bybit:linear:DOGE",)))

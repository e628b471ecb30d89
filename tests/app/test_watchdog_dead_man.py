"""The venues' own dead man's switches: a killed trader's order does not outlive its patience."""

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kill_stage import Stage

# One instrument of a market that the switch covers, and the shortest patience of each venue.
INSTRUMENTS = {
    "bybit": ("linear:BTCUSDT",),
    "binance": ("usdm:BTCUSDT",),
    "okx": ("swap:BTC-USDT-SWAP",),
    "kucoin": ("spot:BTC-USDT",),
    "bitmex": ("derivatives:XBTUSDT",),
}
PATIENCE_MS = {"bybit": 3_000, "binance": 4_000, "okx": 10_000, "kucoin": 5_000, "bitmex": 5_000}
SLACK_S = 1.5  # of the twins' own ticks, and of a machine that is busy


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    found = Stage(tmp_path)
    yield found
    await found.close()


async def test_every_venue_that_has_one_cancels_what_a_killed_trader_left_and_no_sooner(
    stage: Stage,
) -> None:
    await stage.open(INSTRUMENTS, dead_man_ms=PATIENCE_MS)
    trader = await stage.trader()
    began = time.monotonic()
    # While he lives his signs of life keep it, for longer than the shortest patience.
    while time.monotonic() < began + 5.5:
        open_now = {venue: stage.open_orders(venue) for venue in INSTRUMENTS}
        assert open_now == dict.fromkeys(INSTRUMENTS, 1), time.monotonic() - began
        await stage.rest(0.1)
    trader.kill()
    killed = time.monotonic()
    ended: dict[str, float] = {}
    while len(ended) < len(INSTRUMENTS) and time.monotonic() < killed + 15:
        for venue in INSTRUMENTS:
            if venue not in ended and not stage.open_orders(venue):
                ended[venue] = time.monotonic() - killed
        await stage.rest(0.05)
    late = {
        venue: ended.get(venue)
        for venue, patience in PATIENCE_MS.items()
        if ended.get(venue, 99.0) > patience / 1000 + SLACK_S
    }
    assert not late, f"cancelled after {ended} s"
    assert ended["bybit"] > 1.0, "a connection that was cut waits for its patience"

"""Saturation: the real shell takes all that a twin allows, and never a request more."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from oneprice.app.cards.bench import bench_of
from oneprice.app.config import VenueConfig
from oneprice.twin.rates import RollingWindow
from oneprice.venues.contract import Limit

sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks.saturate import Count, Load, drive

VENUE, MARKET = "bybit", "spot:BTCUSDT"
VISITS, SPAN_MS = 40, 2_000


async def saturated(visits_at_twin: int) -> tuple[dict[str, Any], int]:
    """Questions over HTTP and orders by socket for some seconds; and what the twin turned away."""
    async with bench_of(VENUE, [MARKET]) as bench:
        limiter: Any = bench.twin.twin.surface.limiter  # type: ignore[attr-defined]
        limiter._visits = RollingWindow(visits_at_twin, SPAN_MS * 1_000_000)
        pacer = bench.gateway.outbox.pacer
        pacer._buckets.pop("ip")
        pacer.declare(Limit(bucket="ip", count=VISITS, per_ms=SPAN_MS))
        await asyncio.sleep(SPAN_MS / 1000)  # what was asked for before belongs to no window
        load = Load(bench.station, VenueConfig(name=VENUE, instruments=(MARKET,)))
        wanted = {("ip",), ("ip", "realtime"), ("create:spot",), ("cancel:spot",)}
        load.kinds = {names: kind for names, kind in load.kinds.items() if names in wanted}
        assert load.kinds.keys() == wanted
        result = await drive(bench.station, load, 9.0)
        return result, len(limiter._banned_until)


async def test_all_of_an_allowance_is_used_and_no_request_is_refused() -> None:
    result, bans = await saturated(VISITS)
    assert (result["refused_for_rate"], result["failure"], bans) == (0, "", 0), result
    # However slow the machine is, one of the allowances is lent out whole.
    assert max(result["used"].values()) >= 0.95, result
    assert result["requests"] > 4 * VISITS


async def test_the_twin_refuses_who_takes_one_request_more_and_the_run_says_so() -> None:
    result, bans = await saturated(VISITS - 1)
    assert bans == 1
    assert result["refused_for_rate"] >= 1
    assert any("403" in what for what in result["refusals"])


def test_only_windows_that_lie_within_the_run_are_counted() -> None:
    second = 1_000_000_000
    count = Count(spent={"a": [(n * second // 2, 5) for n in range(8)]})
    rolling = Limit(bucket="a", count=10, per_ms=1000)
    assert count.used("a", rolling, (0, 4 * second)) == 1.0
    assert count.used("a", rolling, (0, 3_900_000_000)) == 1.0
    calendar = Limit(bucket="a", count=20, per_ms=2000, window="calendar")
    assert count.used("a", calendar, (second, 4 * second)) == 1.0
    assert count.used("a", calendar, (second, 3 * second)) is None, "no whole window in it"

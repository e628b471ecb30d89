"""The past over twins in the same loop: it is the venue's own, whole, or says that it is not."""

from collections.abc import AsyncIterator
from decimal import Decimal
from time import time_ns

import pytest

from oneprice.app.build import spec_of, wanted_of
from oneprice.app.config import ConfigError, VenueConfig
from oneprice.app.history import Kind, Past, check_wanted, fetch_past, past_of, venue_of
from oneprice.app.lab import twin_endpoints
from oneprice.app.station import Station
from oneprice.model.units import MILLI
from oneprice.twin.build import World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.venues.contract import HistoryWanted

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
PERPETUALS = {
    "bybit": "linear:BTCUSDT",
    "binance": "usdm:BTCUSDT",
    "okx": "swap:BTC-USDT-SWAP",
    "kucoin": "futures:XBTUSDTM",
    "bitmex": "derivatives:XBTUSDT",
}


def wanted(venue: str, kind: Kind, hours: int, interval_ms: int = MINUTE_MS) -> HistoryWanted:
    now = time_ns() // MILLI
    return HistoryWanted(
        instrument=f"{venue}:{PERPETUALS[venue]}",
        kind=kind,
        start_ms=now - hours * HOUR_MS,
        end_ms=now,
        interval_ms=interval_ms,
    )


def at(twin: RunningTwin, venue: str) -> VenueConfig:
    ends = twin_endpoints(venue, twin.rest, twin.ws, spec_of(venue).hosts["live"])
    return VenueConfig(name=venue, instruments=(PERPETUALS[venue],), endpoints=ends)


@pytest.fixture(params=sorted(PERPETUALS))
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, RunningTwin]]:
    twin = await serve(make_twin(request.param, time_ns, World(seed=5)))
    yield request.param, twin
    await twin.close()


async def test_settled_rates_are_the_venues_own(served: tuple[str, RunningTwin]) -> None:
    venue, twin = served
    asked = wanted(venue, "funding", 7 * 24)
    past = await fetch_past(at(twin, venue), asked, "")
    rows = twin.twin.exchange.funding_rows(
        asked.instrument, start=asked.start_ms * MILLI, end=asked.end_ms * MILLI
    )
    assert past.faults == []
    assert past.interval_ms == 0
    theirs = [(row.at // MILLI, row.rate) for row in rows]
    assert [(row.settled_ms, row.rate) for row in past.rows] == theirs
    assert len(past.rows) >= 20


async def test_bars_of_many_pages_come_once_each_and_in_order(
    served: tuple[str, RunningTwin],
) -> None:
    venue, twin = served
    past = await fetch_past(at(twin, venue), wanted(venue, "trade", 26), "")
    starts = [bar.start_ms for bar in past.rows]
    assert past.faults == []
    assert starts == list(range(starts[0], starts[-1] + 1, MINUTE_MS))
    assert len(starts) >= 26 * 60 - 2
    assert starts[0] >= past.from_ms
    assert starts[-1] + MINUTE_MS <= time_ns() // MILLI
    for bar in past.rows:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.volume > Decimal(0)


async def test_a_venue_that_goes_away_leaves_a_fault_and_not_a_silent_hole() -> None:
    twin = await serve(make_twin("bybit", time_ns, World(seed=5)))
    venue = at(twin, "bybit")
    station = Station(venue, None, venue.endpoints, wanted_of(venue))
    try:
        await station.gateway.prepare()
        await twin.close()
        past = await past_of(station, wanted("bybit", "trade", 1))
    finally:
        await station.close()
    assert past.rows == []
    assert len(past.faults) == 1
    assert "no_answer" in past.faults[0]


async def test_a_bar_that_still_grows_is_not_the_past() -> None:
    twin = await serve(make_twin("bybit", time_ns, World(seed=5)))
    try:
        for kind in ("trade", "mark", "index"):
            past: Past = await fetch_past(
                at(twin, "bybit"), wanted("bybit", kind, 50, DAY_MS), ""
            )
            assert len(past.rows) >= 1
            assert past.rows[-1].start_ms + DAY_MS <= time_ns() // MILLI
    finally:
        await twin.close()


async def test_an_instrument_that_is_not_listed_is_named() -> None:
    twin = await serve(make_twin("bybit", time_ns, World(seed=5)))
    asked = HistoryWanted(
        instrument="bybit:linear:BTCUSDX", kind="trade", start_ms=0, end_ms=DAY_MS
    )
    try:
        with pytest.raises(ConfigError, match="'bybit:linear:BTCUSDX' is not listed; did you m"):
            await fetch_past(at(twin, "bybit"), asked, "")
    finally:
        await twin.close()


@pytest.mark.parametrize(
    ("instrument", "environment", "complaint"),
    [
        ("bybit", "twin", "found 'bybit', expected venue:market:symbol"),
        ("bybit::BTCUSDT", "twin", "expected venue:market:symbol"),
        ("a:b:c:d", "twin", "expected venue:market:symbol"),
        ("bybitt:linear:BTCUSDT", "twin", "did you mean 'bybit'"),
        ("bybit:linea:BTCUSDT", "twin", "found market 'linea'; did you mean 'linear'"),
        ("bitmex:derivatives:XBTUSD", "live", "BitMEX closed"),
        ("kucoin:spot:BTC-USDT", "testnet", "kucoin has no 'testnet'"),
    ],
)
def test_who_cannot_be_asked_is_named(instrument: str, environment, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        venue_of(instrument, environment)


def test_a_past_that_the_venue_does_not_keep_is_refused_with_those_it_does() -> None:
    with pytest.raises(ConfigError, match=r"no history of 'mark'; .*trade, funding"):
        check_wanted(wanted("kucoin", "mark", 1))

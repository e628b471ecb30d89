"""Clocks that are set, bans, and streams that say nothing: obeyed, and over by themselves."""

import asyncio
import os
import time
from typing import Any

import pytest
from crowd import Crowd

from oneprice.model import events as ev
from oneprice.model.commands import Priority
from oneprice.model.units import MILLI, SECOND

COUNTS = {
    "bybit": {"linear": 6},
    "binance": {"usdm": 6},
    "okx": {"swap": 6},
    "kucoin": {"futures": 6},
}

# One that answers snapshots over HTTP, one by socket; ONEPRICE_HEAVY=1 has them all.
QUIET = sorted(COUNTS) if os.environ.get("ONEPRICE_HEAVY") else ["binance", "bybit"]


async def opened(venue: str, patch: pytest.MonkeyPatch, every_ms: int = 200) -> Crowd:
    crowd = Crowd(venue, COUNTS[venue], every_ms=every_ms)
    await crowd.start(patch)
    await crowd.settle(90)
    return crowd


def refusals(crowd: Crowd) -> list[str]:
    return [e.reason for _, e in crowd.events if isinstance(e, ev.OrderRefused)]


@pytest.mark.parametrize("ahead_s", [3, -3])
@pytest.mark.parametrize("venue", sorted(COUNTS))
async def test_a_venue_whose_clock_is_set_is_followed_at_the_first_refusal(
    venue: str, ahead_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = await opened(venue, monkeypatch)
    crowd.shift += ahead_s * SECOND
    first = crowd.buy(crowd.names[0])

    def followed() -> bool:
        return abs(crowd.clock.offset_ns(venue) - ahead_s * SECOND) < 100 * MILLI

    await crowd.until(
        lambda: bool(crowd.told(first, ev.OrderRefused) or crowd.told(first, ev.OrderEnded)), 90
    )
    if refusals(crowd):  # not every venue looks at the time of a single order
        assert set(refusals(crowd)) == {"bad_time"}
        await crowd.until(followed, 90)
    else:
        crowd.gateway._clock_doubted.set()
        await crowd.until(followed, 90)
    assert crowd.gateway.outbox.pacer.ahead_ns == crowd.clock.offset_ns(venue)
    second = crowd.buy(crowd.names[1])
    await crowd.until(lambda: bool(crowd.told(second, ev.OrderFilled)), 90)
    assert crowd.gateway.settled
    await crowd.close()


async def test_a_ban_is_served_to_its_end_and_orders_are_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = await opened("binance", monkeypatch)
    surface: Any = crowd.twin.twin.surface
    pacer = crowd.gateway.outbox.pacer
    surface.limits["usdm"].ban("127.0.0.1", crowd.now() + 3 * SECOND)
    end = time.monotonic() + 3
    surface.drop("public")  # the books need snapshots now
    cost = (("futures_weight", 1),)
    await crowd.until(lambda: pacer.banned_ns(cost, crowd.clock.now()) > 0, 10)
    heard = time.monotonic()
    await asyncio.sleep(0.1)  # what had left already
    entry = crowd.buy(crowd.names[0], priority=Priority.ENTRY)
    unwind = crowd.buy(crowd.names[0], priority=Priority.UNWIND)
    # At a price of now neither is worth waiting three seconds for: who wants it is told so.
    await crowd.until(lambda: bool(crowd.told(entry, ev.OrderRefused)), 0.2)
    await crowd.until(lambda: bool(crowd.told(unwind, ev.OrderRefused)), 0.2)
    assert refusals(crowd) == ["banned", "banned"]
    await crowd.until(lambda: pacer.banned_ns(cost, crowd.clock.now()) == 0, 90)
    again = crowd.buy(crowd.names[0], priority=Priority.UNWIND)
    await crowd.until(lambda: bool(crowd.told(again, ev.OrderFilled)), 90)
    assert crowd.told(again, ev.OrderFilled)[0] >= end
    await crowd.until(lambda: crowd.gateway.settled, 90)
    meant = [(t, p) for t, _, p in crowd.watchman.requests if heard + 0.1 < t < end]
    assert meant == [], "requests of a banned address only make it longer"
    await crowd.close()


@pytest.mark.parametrize("ahead_s", [3, -3])
async def test_a_pause_in_seconds_is_kept_however_wrong_the_venues_clock(
    ahead_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = Crowd("bybit", COUNTS["bybit"])
    crowd.shift = ahead_s * SECOND
    await crowd.start(monkeypatch)
    await crowd.settle(90)
    monkeypatch.setattr("oneprice.venues.bybit.rest._IP_BAN_MS", 2_000)
    surface: Any = crowd.twin.twin.surface
    surface.limiter.ban("127.0.0.1", crowd.now())
    since = crowd.clock.now()
    await crowd.gateway.fetch("feed", crowd.desk.dialect("bybit").feed.clock())
    await asyncio.sleep(0.05)
    left = crowd.gateway.outbox.pacer.banned_ns((("ip", 1),), crowd.clock.now())
    assert left >= 2 * SECOND - (crowd.clock.now() - since) - 50 * MILLI
    await crowd.close()


@pytest.mark.parametrize("venue", QUIET)
async def test_where_nothing_happens_is_asked_less_and_less_often(
    venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneprice.shell.resync.STREAM_SILENCE_NS", SECOND)
    monkeypatch.setattr("oneprice.shell.resync.QUESTIONS_PART", 1)
    crowd = await opened(venue, monkeypatch)
    dead = crowd.names[:2]
    crowd.market.still.update(dict.fromkeys(dead))
    end = time.monotonic() + 6.5
    while time.monotonic() < end:
        for name in crowd.names:
            known = crowd.books[name].known
            assert known or name in dead, "a book that talks was asked about"
        await asyncio.sleep(0.01)
    # After 1 s, 2 s and 4 s of silence, each once; or once, where the stream must speak first.
    assert 2 <= crowd.gateway.resyncs <= 3 * len(dead)
    assert crowd.gateway.reconnects == 0
    patience = crowd.gateway._resync._patience
    assert all(patience[name] > SECOND for name in dead if crowd.books[name].known)
    crowd.market.still.clear()
    await crowd.until(lambda: crowd.gateway.settled, 90)
    await crowd.close()


async def test_a_connection_all_of_whose_streams_are_silent_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oneprice.shell.resync.STREAM_SILENCE_NS", SECOND)
    crowd = await opened("bybit", monkeypatch)
    before = crowd.watchman.busiest(10)
    crowd.market.still.update(dict.fromkeys(crowd.names))
    await crowd.until(lambda: crowd.gateway.reconnects == 1, 90)
    await crowd.until(lambda: crowd.gateway.settled, 90)
    assert crowd.watchman.busiest(10) <= before, "it was asked about book by book"
    await crowd.close()

"""Connections are replaced again and again under load: no hole in any book, no fill lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
from crowd import Crowd

from oneprice.model import events as ev
from oneprice.shell.lines import Line

MARKETS: Mapping[str, Mapping[str, int]] = {
    "bybit": {"linear": 12},
    "binance": {"usdm": 10, "spot": 4},
    "okx": {"swap": 10},
    "kucoin": {"futures": 10},
}
EVERY_MS = 200  # between two changes of a book
RESTS_MS = 700  # the longest that a book may rest while it goes from one connection to another


@pytest.fixture(params=sorted(MARKETS))
async def crowd(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Crowd]:
    crowd = Crowd(request.param, MARKETS[request.param], every_ms=EVERY_MS)
    await crowd.start(monkeypatch)
    await crowd.settle(90)
    yield crowd
    await crowd.close()


def lives(lines: list[Line], life_ms: int) -> None:
    for line in lines:
        line.spec = msgspec.structs.replace(line.spec, life_ms=life_ms)


async def test_renewals_under_load_leave_no_hole_and_lose_no_fill(crowd: Crowd) -> None:
    rejected, before = dict(crowd.desk.rejected), len(crowd.watchman.connects)
    first = [(line, line.connection) for line in crowd.gateway.lines]
    unknown: set[str] = set()
    rested, orders, due = 0, [], time.monotonic()

    def all_renewed() -> bool:
        return all(line.connection is not old for line, old in first)

    lives(crowd.gateway.lines, 1_000)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (all_renewed() and len(orders) > 20):
        now = crowd.clock.now()
        for name, book in crowd.books.items():
            unknown |= set() if book.known else {name}
            rested = max(rested, now - book.at)
        if time.monotonic() > due:
            due += 0.15
            orders.append(crowd.buy(crowd.names[len(orders) % 10]))
        await asyncio.sleep(0.01)
    assert all_renewed()
    lives(crowd.gateway.lines, 0)
    assert unknown == set()
    assert rested < RESTS_MS * 1_000_000
    assert len(crowd.watchman.connects) - before >= len(crowd.gateway.lines)
    await crowd.until(lambda: all(crowd.told(o, ev.OrderEnded) for o in orders), 90)
    there = {(f.order_id, f.lots) for f in crowd.fills()}
    assert len(there) == len(orders)
    assert len(crowd.heard_fills()) == len(orders)
    assert sum(crowd.heard_fills().values()) == sum(f.lots for f in crowd.fills())
    assert not [e for _, e in crowd.events if isinstance(e, (ev.OrderUncertain, ev.OrderRefused))]
    assert crowd.desk.rejected == rejected
    assert crowd.gateway.resyncs == 0
    await crowd.until(lambda: not crowd.unequal(), 90)
    # The old ones leave.
    await crowd.until(lambda: len(crowd.twin.transports) <= len(crowd.gateway.lines) + 1, 90)


async def settled_crowd(venue: str, patch: pytest.MonkeyPatch) -> Crowd:
    crowd = Crowd(venue, MARKETS[venue], every_ms=EVERY_MS)
    await crowd.start(patch)
    await crowd.settle(90)
    return crowd


def surface(crowd: Crowd) -> Any:
    return crowd.twin.twin.surface


def links(crowd: Crowd) -> list[bool]:
    """Whether our private streams were said to be up or down, in order."""
    return [e.up for e in crowd.others if isinstance(e, ev.LinkChanged)]


async def test_an_announced_upgrade_is_left_before_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = await settled_crowd("okx", monkeypatch)
    old = [line.connection for line in crowd.gateway.lines]
    surface(crowd).announce_upgrade()
    await crowd.until(
        lambda: all(line.connection not in old for line in crowd.gateway.lines), 90
    )
    assert crowd.gateway.settled and crowd.gateway.reconnects == 0
    assert links(crowd)[-2:] == [False, True], "what the old one did not say is not asked for"
    await crowd.close()


async def test_a_listen_key_that_expires_costs_no_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = await settled_crowd("binance", monkeypatch)
    line = next(x for x in crowd.gateway.lines if x.spec.name == "usdm_user")
    old, key = line.connection, crowd.twin.twin.exchange.accounts()[0].key
    surface(crowd).expire_listen_key(key)
    await crowd.until(lambda: line.connection is not old, 90)
    assert links(crowd)[-2:] == [False, True], "fills of the time between are not asked for"
    paths = [p for _, p in crowd.watchman.connects if "/private/ws/" in p]
    assert len(paths) == 2 and paths[0] != paths[1], "the new connection has a new key"
    order = crowd.buy(crowd.names[0])
    await crowd.until(lambda: bool(crowd.told(order, ev.OrderFilled)), 90)
    await crowd.close()


async def test_a_listen_key_is_kept_alive_by_asking_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = await settled_crowd("binance", monkeypatch)
    await crowd.until(lambda: ("PUT", "/fapi/v1/listenKey") in crowd.watchman.asked_for(), 90)
    await crowd.close()


async def test_a_token_of_yesterday_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = await settled_crowd("kucoin", monkeypatch)
    asked = crowd.watchman.asked("bullet")
    crowd.shift += 25 * 3600 * 1_000_000_000  # the twin ends all that a day-old token opened
    await crowd.until(lambda: crowd.gateway.reconnects >= len(crowd.gateway.lines), 90)
    await crowd.until(lambda: crowd.gateway.settled, 90)
    assert crowd.watchman.asked("bullet") >= 2 * asked
    await crowd.close()

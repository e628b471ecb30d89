"""The gateway against twins over real sockets: connect, lose, come back, resync, order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from oneprice.app.build import build_desk, wanted_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.lab import twin_endpoints
from oneprice.app.run import hand_out
from oneprice.app.session import NoJournal
from oneprice.shell.clock import Clock
from oneprice.shell.gateway import Gateway
from oneprice.shell.runtime import Runtime
from oneprice.twin.build import World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.venues.contract import Credentials

VENUES = {
    "bybit": VenueConfig(name="bybit", markets=("spot", "linear"), symbols=("BTCUSDT", "ETHUSDT")),
    "binance": VenueConfig(name="binance", markets=("spot", "usdm"), symbols=("BTCUSDT",)),
}


class Trader:
    """A desk, a runtime and one gateway, connected to a twin in the same loop."""

    def __init__(self, twin: RunningTwin, venue: VenueConfig) -> None:
        config = RunConfig(venues=(venue,))
        account = twin.ready["accounts"][0]
        keys = Credentials(account["key"], account["secret"], account["passphrase"])
        self.twin = twin
        self.desk = build_desk(config, "test", {venue.name: keys})
        self.clock = Clock()
        self.runtime = Runtime(self.desk, self.clock, NoJournal(), busy_poll=False)
        spec = self.desk.dialect(venue.name).feed.spec
        ends = twin_endpoints(venue.name, twin.rest, twin.ws, spec.hosts["live"])
        self.gateway = Gateway(
            self.desk.dialect(venue.name), ends, self.runtime, self.clock, wanted_of(venue)
        )
        self.runtime.dispatch = lambda _, request: self.gateway.outbox.put(request)
        self.runtime.on_news = lambda: hand_out(self.desk, {venue.name: self.gateway})
        self.books = self.desk.dialect(venue.name).feed.books

    async def start(self) -> None:
        await self.gateway.prepare()
        await self.gateway.open()
        await until(lambda: self.gateway.settled, 10)

    async def close(self) -> None:
        await self.gateway.close()
        self.runtime.close()


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for it; how long it took, in seconds."""
    start = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
    return time.monotonic() - start


@pytest.fixture(params=sorted(VENUES))
async def trader(request: pytest.FixtureRequest) -> AsyncIterator[Trader]:
    twin = await serve(make_twin(request.param, time.time_ns, World(seed=3)))
    trader = Trader(twin, VENUES[request.param])
    await trader.start()
    yield trader
    await trader.close()
    await twin.close()


async def test_every_book_becomes_known_and_equals_the_venues(trader: Trader) -> None:
    exchange = trader.twin.twin.exchange

    def equal() -> bool:
        return all(
            (b := exchange.book(i, 1)).bids[0] == (book.bid_ticks, book.bid_lots)
            and b.asks[0] == (book.ask_ticks, book.ask_lots)
            for i, book in trader.books.items()
        )

    # The twin moves on while its frames are under way: all equal at one moment is enough.
    await until(equal, 10)
    assert trader.desk.rejected == {}


async def test_lost_connections_come_back_with_all_books_within_a_second(trader: Trader) -> None:
    for _ in range(3):
        for transport in list(trader.twin.transports):
            transport.abort()
        await until(lambda: not trader.gateway.settled, 2)
        assert not any(b.known for b in trader.books.values()), "a book outlived its connection"
        took = await until(lambda: trader.gateway.settled, 5)
        assert took < 1.0
        await asyncio.sleep(0.3)


async def test_a_stream_that_stops_talking_is_noticed_although_the_socket_lives(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument, book = next(iter(trader.books.items()))
    monkeypatch.setattr("oneprice.shell.resync.STREAM_SILENCE_NS", 0)
    before = trader.gateway.resyncs
    await until(lambda: trader.gateway.resyncs > before, 5)
    monkeypatch.undo()
    await until(lambda: book.known, 5)
    assert instrument in trader.books


async def test_a_renewed_connection_takes_over_and_no_book_is_ever_unknown(
    trader: Trader,
) -> None:
    seen: list[str] = []

    def look() -> bool:
        seen.extend(i for i, book in trader.books.items() if not book.known)
        return all(line.connection is not old for line, old in before)

    rejected = dict(trader.desk.rejected)
    for _ in range(2):
        before = [(line, line.connection) for line in trader.gateway.lines]
        for line in trader.gateway.lines:
            trader.gateway.renew(line.spec.name)
        await until(look, 5)
        await asyncio.sleep(0.5)
    assert seen == []
    assert trader.gateway.settled
    assert trader.gateway.resyncs == 0
    assert trader.desk.rejected == rejected
    await asyncio.sleep(3)  # those that were relieved are gone by now
    assert len(trader.twin.transports) <= len(trader.gateway.lines) + 2


async def test_a_connection_is_renewed_before_the_venue_would_cut_it(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = trader.gateway.lines[0]
    old = line.connection
    line.spec = msgspec.structs.replace(line.spec, life_ms=1)
    await until(lambda: line.connection is not old, 5)
    line.spec = msgspec.structs.replace(line.spec, life_ms=0)
    assert line.ready
    assert trader.gateway.resyncs == 0


async def test_the_venues_clock_is_measured(trader: Trader) -> None:
    assert abs(trader.clock.offset_ns(trader.gateway.name)) < 50_000_000


async def test_a_venue_that_is_not_there_is_named(tmp_path: Path) -> None:
    from oneprice.shell.gateway import NoAnswer

    twin = await serve(make_twin("bybit", time.time_ns, World(seed=3)))
    trader = Trader(twin, VENUES["bybit"])
    await twin.close()
    monkey = pytest.MonkeyPatch()
    import stamina

    with monkey.context(), pytest.raises(NoAnswer, match=r"bybit: no answer from http"):
        stamina.set_testing(True, attempts=1)
        try:
            await trader.gateway.prepare()
        finally:
            stamina.set_testing(False)
    await trader.close()


async def test_a_ban_holds_back_what_is_asked_to_begin_with_too() -> None:
    twin = await serve(make_twin("binance", time.time_ns, World(seed=3)))
    trader = Trader(twin, VENUES["binance"])
    trader.gateway.outbox.pacer.ban("", trader.clock.now() + 400_000_000)
    began = time.monotonic()
    await trader.gateway.prepare()
    assert time.monotonic() - began >= 0.39
    await trader.close()
    await twin.close()

"""The gateway against twins over real sockets: connect, lose, come back, resync, order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oneprice.app.build import build_desk, wanted_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.lab import twin_endpoints
from oneprice.app.run import hand_out
from oneprice.app.session import NoJournal
from oneprice.model.commands import CancelAll
from oneprice.model.events import OrderUncertain
from oneprice.model.units import Nanos
from oneprice.shell.clock import Clock
from oneprice.shell.gateway import Gateway
from oneprice.shell.runtime import Runtime
from oneprice.twin.build import World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.venues.contract import Answer, Credentials, Request

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
        await until(lambda: self.gateway.settled)

    async def close(self) -> None:
        await self.gateway.close()
        self.runtime.close()


async def until(condition: Callable[[], bool], seconds: float = 60) -> float:
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
    await until(equal)
    assert trader.desk.rejected == {}


async def test_lost_connections_come_back_with_all_books_within_a_second(trader: Trader) -> None:
    for _ in range(3):
        for transport in list(trader.twin.transports):
            transport.abort()
        await until(lambda: not trader.gateway.settled)
        assert not any(b.known for b in trader.books.values()), "a book outlived its connection"
        took = await until(lambda: trader.gateway.settled)
        assert took < 1.0
        await asyncio.sleep(0.3)


async def test_a_stream_that_stops_talking_is_noticed_although_the_socket_lives(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument, book = next(iter(trader.books.items()))
    monkeypatch.setattr("oneprice.shell.resync.STREAM_SILENCE_NS", 0)
    before = trader.gateway.resyncs
    await until(lambda: trader.gateway.resyncs > before)
    monkeypatch.undo()
    await until(lambda: book.known)
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
        await until(look)
        await asyncio.sleep(0.5)
    assert seen == []
    assert trader.gateway.settled
    assert trader.gateway.resyncs == 0
    assert trader.desk.rejected == rejected
    # Those that were relieved go after a while.
    await until(lambda: len(trader.twin.transports) <= len(trader.gateway.lines) + 2)


async def test_a_connection_is_renewed_before_the_venue_would_cut_it(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = trader.gateway.lines[0]
    old = line.connection
    line.spec = msgspec.structs.replace(line.spec, life_ms=1)
    await until(lambda: line.connection is not old)
    line.spec = msgspec.structs.replace(line.spec, life_ms=0)
    assert line.ready
    assert trader.gateway.resyncs == 0


async def test_the_venues_clock_is_measured(trader: Trader) -> None:
    assert abs(trader.clock.offset_ns(trader.gateway.name)) < 50_000_000


async def test_an_order_of_which_nothing_is_known_makes_us_look_at_the_clock() -> None:
    """Where the answer that was lost said that our time is wrong every question about the order
    would be refused as well, until the clock is measured in its turn."""
    ahead = [0]
    twin = await serve(make_twin("bybit", lambda: time.time_ns() + ahead[0], World(seed=3)))
    trader = Trader(twin, VENUES["bybit"])
    await trader.start()
    await asyncio.sleep(1.5)  # whatever measures at a start has measured
    ahead[0] = -3 * 10**9
    at = trader.clock.now()
    trader.gateway.news(OrderUncertain(at=at, order_id="testg1o1", reason="no_answer"))
    await until(lambda: trader.clock.offset_ns("bybit") < -2 * 10**9)
    await trader.close()
    await twin.close()


async def test_an_end_of_trading_announced_while_we_trade_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oneprice.shell.gateway.LISTING_EVERY_S", 0.05)
    twin = await serve(make_twin("bybit", time.time_ns, World(seed=3)))
    trader = Trader(twin, VENUES["bybit"])
    await trader.start()
    perpetual = "bybit:linear:BTCUSDT"
    known = trader.desk.engine._market.known_instrument
    assert known(perpetual).ends == 0
    now = time.time_ns()
    twin.twin.exchange.delist(perpetual, now, due=now + 7_200 * 10**9)
    await until(lambda: known(perpetual).ends > now)
    await trader.close()
    await twin.close()


async def test_what_was_decided_on_a_grid_is_said_before_another_one_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten lots of 0.001 must not leave as ten of 0.01."""
    monkeypatch.setattr("oneprice.shell.gateway.LISTING_EVERY_S", 0.05)
    twin = await serve(make_twin("bybit", time.time_ns, World(seed=3)))
    trader = Trader(twin, VENUES["bybit"])
    await trader.start()
    gateway, desk = trader.gateway, trader.desk
    hear, answered = gateway._hear, desk.answer
    waiting: list[int] = []

    async def hear_late(request: Request, *rest: Any) -> Answer:
        answer = await hear(request, *rest)
        if request.tag.startswith("instruments:"):
            desk._commands.append(CancelAll(instrument="bybit:linear:BTCUSDT"))
        return answer

    def learn(venue: str, side: str, answer: Answer, at: Nanos) -> Sequence[Request]:
        if answer.tag.startswith("instruments:"):
            waiting.append(len(desk._commands))
        return answered(venue, side, answer, at)

    monkeypatch.setattr(gateway, "_hear", hear_late)
    monkeypatch.setattr(desk, "answer", learn)
    await until(lambda: len(waiting) >= 2)
    assert set(waiting) == {0}
    await trader.close()
    await twin.close()


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

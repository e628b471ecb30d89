"""The gateway asks for lists again while it trades: by name, and for all where it must."""

import time
from collections.abc import AsyncIterator

import pytest
from test_gateway import VENUES, Trader, until

from oneprice.model.events import FrameRejected, InstrumentListed
from oneprice.model.units import Nanos
from oneprice.twin.build import World, make_twin
from oneprice.twin.server import serve
from oneprice.venues.contract import Answer, Request, Wanted, names_in


class Watched:
    """Every question for a list that leaves, and what the engine is told of instruments."""

    def __init__(self, trader: Trader) -> None:
        self.tags: list[str] = []
        self.told: list[str] = []
        hear, handle = trader.gateway._hear, trader.desk.engine.handle

        async def heard(request: Request, *rest: object) -> Answer:
            if request.tag.startswith("instruments:"):
                self.tags.append(request.tag)
            return await hear(request, *rest)  # type: ignore[arg-type]

        def handled(event: object) -> object:
            if isinstance(event, InstrumentListed):
                self.told.append(event.instrument.id)
            return handle(event)  # type: ignore[arg-type]

        trader.gateway._hear = heard  # type: ignore[method-assign,assignment]
        trader.desk.engine.handle = handled  # type: ignore[method-assign,assignment]


@pytest.fixture(params=sorted(VENUES))
async def trader(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trader]:
    monkeypatch.setattr("oneprice.shell.gateway.LISTING_EVERY_S", 0.1)
    twin = await serve(make_twin(request.param, time.time_ns, World(seed=3)))
    made = Trader(twin, VENUES[request.param])
    yield made
    await made.close()
    await twin.close()


async def test_while_we_trade_only_what_is_wanted_is_asked_for_and_told(trader: Trader) -> None:
    await trader.start()
    watched = Watched(trader)
    await until(lambda: len(watched.tags) >= 8, 5)
    wanted = {w.instrument for w in trader.gateway._wanted}
    symbols = {name.split(":")[2] for name in wanted}
    assert all(names_in(tag) and set(names_in(tag)) <= symbols for tag in watched.tags)
    assert set(watched.told) == wanted
    assert trader.desk.rejected == {}


async def test_what_is_said_of_our_account_and_not_understood_makes_us_ask_for_all_once(
    trader: Trader,
) -> None:
    """It may be about an instrument that was listed after we started."""
    await trader.start()
    venue = trader.gateway.name
    late = sorted(set(trader.desk.dialect(venue).feed.listed) - wanted_in(trader))[-1]
    del trader.desk.dialect(venue).feed.listed[late]  # type: ignore[attr-defined]
    watched = Watched(trader)
    await until(lambda: len(watched.tags) >= 4, 5)
    assert late not in trader.desk.dialect(venue).feed.listed
    odd = FrameRejected(at=Nanos(1), venue=venue, socket="account", reason="an odd row")
    trader.desk._take(venue, [odd], private=True)
    await until(lambda: late in trader.desk.dialect(venue).feed.listed, 5)
    count = len(watched.tags)
    await until(lambda: len(watched.tags) >= count + 8, 5)
    assert all(names_in(tag) for tag in watched.tags[count + 4 :]), "all, again and again"


async def test_what_we_hold_besides_what_is_wanted_is_asked_for_too(trader: Trader) -> None:
    await trader.start()
    venue = trader.gateway.name
    listed = trader.desk.dialect(venue).feed.listed
    other = next(n for n in sorted(set(listed) - wanted_in(trader)) if listed[n].is_derivative)
    report = trader.desk.engine.report
    report.positions = lambda: {other: 5}  # type: ignore[method-assign,assignment,return-value]
    if listed[other].market not in trader.gateway._markets:
        pytest.skip("nothing else of the markets that are open")
    watched = Watched(trader)
    await until(lambda: other in watched.told, 5)


async def test_a_start_by_name_loads_what_is_wanted_alone(trader: Trader) -> None:
    await trader.gateway.prepare(by_name=True)
    venue = trader.gateway.name
    assert set(trader.desk.dialect(venue).feed.listed) == wanted_in(trader)
    await trader.gateway.open()
    await until(lambda: trader.gateway.settled, 10)


async def test_a_start_by_name_ends_at_once_with_the_name_that_is_not_listed(
    trader: Trader,
) -> None:
    """It is no silence of the venue: nothing is tried five times."""
    first = trader.gateway._wanted[0].instrument
    trader.gateway._wanted.append(Wanted(instrument=f"{first}NO"))
    began = time.monotonic()
    await trader.gateway.prepare(by_name=True)
    assert time.monotonic() - began < 2
    assert set(trader.desk.dialect(trader.gateway.name).feed.listed) == wanted_in(trader) - {
        f"{first}NO"
    }
    with pytest.raises(ValueError, match=f"{first}NO"):
        await trader.gateway.open()


def wanted_in(trader: Trader) -> set[str]:
    return {w.instrument for w in trader.gateway._wanted}

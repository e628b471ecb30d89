"""Lists of instruments asked for by name, against twins over real HTTP: what is told, who is
found missing, and that an answer means the same to whoever reads it later."""

import time
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from oneprice.app.build import VENUES, spec_of
from oneprice.app.cards.play import chosen_instruments
from oneprice.app.config import VenueConfig
from oneprice.app.lab import twin_endpoints
from oneprice.kernel import Tripwires
from oneprice.model.events import FrameRejected, InstrumentListed
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId
from oneprice.shell.http import Http
from oneprice.twin.build import World, make_twin
from oneprice.twin.server import RunningTwin, serve
from oneprice.venues.contract import Answer, Feed, Output, Request, names_in

AT = 1_790_000_000_000_000_000


class Asker:
    """A feed that asks a twin, and everything it told of each round."""

    def __init__(self, venue: str, twin: RunningTwin) -> None:
        self.venue = venue
        self.twin = twin
        self.feed = self.another()
        ends = twin_endpoints(venue, twin.rest, twin.ws, spec_of(venue).hosts["live"])
        self.http = Http(ends)
        self.asked: list[Request] = []
        self.answers: list[Answer] = []
        self.every = [f"{venue}:{name}" for name in chosen_instruments(venue)]
        self.markets = list(dict.fromkeys(name.split(":")[1] for name in self.every))

    def another(self) -> Feed:
        return VENUES[self.venue](VenueConfig(name=self.venue), None, Tripwires()).feed

    async def ask(self, only: Sequence[InstrumentId] = ()) -> list[Output]:
        self.asked.clear()
        self.answers.clear()
        told: list[Output] = []
        questions = list(self.feed.instruments(self.markets, only))
        while questions:
            request = questions.pop(0)
            self.asked.append(request)
            answer = await self.http.send(request)
            self.answers.append(answer)
            told += self.feed.answered(answer, AT)
            questions += self.feed.follow_ups()
        return told


@pytest.fixture(params=sorted(VENUES))
async def asker(request: pytest.FixtureRequest) -> AsyncIterator[Asker]:
    twin = await serve(make_twin(request.param, time.time_ns, World(seed=3)))
    made = Asker(request.param, twin)
    yield made
    await made.http.close()
    await twin.close()


def listed(told: Sequence[Output]) -> list[Instrument]:
    return [each.instrument for each in told if isinstance(each, InstrumentListed)]


def rejected(told: Sequence[Output]) -> list[FrameRejected]:
    return [each for each in told if isinstance(each, FrameRejected)]


def strangers(asker: Asker, count: int) -> list[InstrumentId]:
    """Names in the market of the first wanted one that no venue has."""
    venue, market, symbol = asker.every[0].split(":")
    return [f"{venue}:{market}:NO{number}{symbol}" for number in range(count)]


async def test_by_name_exactly_what_is_wanted_is_told_and_as_the_whole_list_tells_it(
    asker: Asker,
) -> None:
    await asker.ask()
    whole = dict(asker.feed.listed)
    told = await asker.ask(asker.every)
    found = {item.id: item for item in listed(told)}
    assert sorted(found) == sorted(asker.every)
    assert all(found[name] == whole[name] for name in found)
    assert rejected(told) == []
    assert asker.feed.listed == whole, "what was not asked about must stay as it was"


async def test_one_unknown_name_is_told_and_hides_no_other(asker: Asker) -> None:
    unknown = strangers(asker, 1)[0]
    told = await asker.ask([asker.every[0], unknown, *asker.every[1:]])
    assert sorted(item.id for item in listed(told)) == sorted(asker.every)
    (missing,) = rejected(told)
    assert unknown.split(":")[2] in missing.excerpt + missing.reason


async def test_what_is_unknown_by_name_is_not_tradable_and_the_others_are(asker: Asker) -> None:
    """As when a venue has taken an instrument out of its list while we trade."""
    await asker.ask()
    gone = strangers(asker, 1)[0]
    known, symbol = asker.feed.listed[asker.every[0]], gone.split(":")[2]
    as_it_was = msgspec.structs.replace(known, id=gone, symbol=symbol)
    asker.feed.recalled(as_it_was, AT)
    asker.feed.listed[gone] = as_it_was  # type: ignore[index]
    told = await asker.ask([gone, *asker.every])
    states = {item.id: item.tradable for item in listed(told)}
    assert states == {gone: False} | dict.fromkeys(asker.every, True)
    assert rejected(told) == []
    again = await asker.ask([gone, *asker.every])
    assert sorted(i.id for i in listed(again)) == sorted(asker.every), "it was told once"


async def test_many_names_are_asked_for_together_and_nobody_else_is_told(asker: Asker) -> None:
    many = strangers(asker, 12)
    told = await asker.ask([*asker.every, *many])
    assert sorted(item.id for item in listed(told)) == sorted(asker.every)
    assert len(rejected(told)) == len(many)


async def test_an_answer_by_name_means_the_same_to_a_feed_that_never_asked(asker: Asker) -> None:
    """A replay has the answers alone."""
    await asker.ask()
    first = list(asker.answers)
    told = await asker.ask([*asker.every, *strangers(asker, 1)])
    replayed = asker.another()
    for answer in first:
        replayed.answered(answer, AT)
        replayed.follow_ups()
    again: list[Output] = []
    for answer in asker.answers:
        again += replayed.answered(answer, AT)
        replayed.follow_ups()
    assert again == told
    assert replayed.listed == asker.feed.listed


async def test_a_delisting_at_the_venue_is_noticed_by_name(asker: Asker) -> None:
    await asker.ask()
    for name in asker.every:
        if asker.feed.listed[name].is_derivative:
            break
    asker.twin.twin.exchange.delist(name, time.time_ns())
    told = await asker.ask(asker.every)
    states = {item.id: item.tradable for item in listed(told)}
    assert states[name] is False
    assert all(states[other] for other in asker.every if other != name)


async def test_every_question_of_a_list_says_what_it_was_asked_for(asker: Asker) -> None:
    await asker.ask(asker.every)
    about = [r for r in asker.asked if r.tag.startswith("instruments:")]
    assert {s for r in about for s in names_in(r.tag)} == {n.split(":")[2] for n in asker.every}
    assert all(r.cost for r in about)

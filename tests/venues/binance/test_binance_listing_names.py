"""exchangeInfo by name: one refusal for many symbols, how its cause is found, what that costs."""

import json
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.kernel import Tripwires
from oneprice.model.events import FrameRejected, InstrumentListed
from oneprice.venues.binance.feed import BinanceFeed
from oneprice.venues.contract import Ack, Answer, Output, Request, names_in

AT = 1_790_000_000_000_000_000


def symbol_row(symbol: str, **change: object) -> dict[str, object]:
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0", "maxPrice": "0", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.1", "maxQty": "9000", "stepSize": "0.1"},
        ],
    } | change


def ids(names: list[str], market: str = "spot") -> list[str]:
    return [f"binance:{market}:{name}" for name in names]


class Venue:
    """Knows some symbols, and refuses a question that names another one beside them."""

    def __init__(self, known: list[str]) -> None:
        self.known = list(known)
        self.asked: list[Request] = []

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        named = json.loads(parse_qs(request.query).get("symbols", ["[]"])[0])
        if any(name not in self.known for name in named):
            refusal = b'{"code":-1121,"msg":"Invalid symbol."}'
            return Answer(tag=request.tag, status=400, body=refusal)
        rows = [symbol_row(name) for name in named or self.known]
        return Answer(tag=request.tag, status=200, body=msgspec.json.encode({"symbols": rows}))

    def round(self, feed: BinanceFeed, names: list[str]) -> list[Output]:
        self.asked.clear()
        told: list[Output] = []
        questions = list(feed.instruments(["spot"], ids(names)))
        while questions:
            told += feed.answered(self.answer(questions.pop(0)), AT)
            questions += feed.follow_ups()
        return told


def tradable(told: list[Output]) -> dict[str, bool]:
    return {
        each.instrument.symbol: each.instrument.tradable
        for each in told
        if isinstance(each, InstrumentListed)
    }


def test_an_unknown_symbol_among_many_is_found_in_few_questions_and_then_asked_alone() -> None:
    names = [f"C{number}USDT" for number in range(100)]
    feed, venue = BinanceFeed(Tripwires()), Venue(names)
    assert tradable(venue.round(feed, names)) == dict.fromkeys(names, True)
    assert len(venue.asked) == 1
    venue.known.remove("C37USDT")
    assert tradable(venue.round(feed, names))["C37USDT"] is False
    assert len(venue.asked) <= 15
    told = tradable(venue.round(feed, names))
    assert [len(names_in(request.tag)) for request in venue.asked] == [99, 1]
    assert "C37USDT" not in told, "it was told once"
    assert all(told.values())


def test_a_symbol_that_comes_back_is_tradable_and_asked_with_the_others_again() -> None:
    feed, venue = BinanceFeed(Tripwires()), Venue(["AUSDT", "BUSDT"])
    venue.round(feed, ["AUSDT", "BUSDT"])
    venue.known.remove("BUSDT")
    venue.round(feed, ["AUSDT", "BUSDT"])
    venue.known.append("BUSDT")
    assert tradable(venue.round(feed, ["AUSDT", "BUSDT"])) == {"AUSDT": True, "BUSDT": True}
    venue.round(feed, ["AUSDT", "BUSDT"])
    assert len(venue.asked) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([f"C{n}USDT" for n in range(130)]), min_size=1, unique=True),
    st.sets(st.integers(0, 129)),
)
def test_whoever_is_listed_is_told_whatever_is_named_beside_it(
    names: list[str], unknown: set[int]
) -> None:
    known = [name for name in names if int(name[1:-4]) not in unknown]
    feed, venue = BinanceFeed(Tripwires()), Venue(known)
    told = venue.round(feed, names)
    assert sorted(tradable(told)) == sorted(known)
    missing = [each for each in told if isinstance(each, FrameRejected)]
    assert sorted(each.excerpt for each in missing) == sorted(set(names) - set(known))


def test_every_question_costs_what_the_whole_list_costs_and_leaves_out_what_nobody_reads() -> None:
    feed = BinanceFeed(Tripwires())
    names = [f"C{number}USDT" for number in range(250)]
    for requests, count in ((feed.instruments(["spot"]), 1),
                            (feed.instruments(["spot"], ids(names)), 3)):  # fmt: skip
        assert len(requests) == count
        assert all(r.cost == (("spot_weight", 20),) for r in requests)
        assert all("showPermissionSets=false" in r.query for r in requests)
        assert all(len(r.query) < 2_500 for r in requests)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (0, b""),
        (403, b"<html>"),
        (429, b'{"code":-1003,"msg":"Too many requests."}'),
        (500, b'{"code":-1121,"msg":"Invalid symbol."}'),
        (400, b'{"code":-1102,"msg":"Mandatory parameter."}'),
    ],
)
def test_only_the_word_for_it_means_that_a_symbol_is_gone(status: int, body: bytes) -> None:
    feed, venue = BinanceFeed(Tripwires()), Venue(["AUSDT"])
    venue.round(feed, ["AUSDT"])
    (request,) = feed.instruments(["spot"], ids(["AUSDT"]))
    told = feed.answered(Answer(tag=request.tag, status=status, body=body), AT)
    assert not [each for each in told if isinstance(each, InstrumentListed)]
    assert [each for each in told if isinstance(each, FrameRejected)]
    assert feed.listed["binance:spot:AUSDT"].tradable
    banned = any(isinstance(each, Ack) and each.kind == "rate" for each in told)
    assert banned is (status in (403, 429))


def test_futures_have_the_whole_list_only_and_who_is_wanted_is_picked_out_of_it() -> None:
    feed = BinanceFeed(Tripwires())
    wanted = ids(["AUSDT", "GONEUSDT"], "usdm")
    requests = feed.instruments(["usdm"], wanted)
    assert [r.query for r in requests] == ["", ""]
    rows = [
        symbol_row(name, contractType="PERPETUAL", marginAsset="USDT")
        for name in ("AUSDT", "BUSDT", "GONEUSDT")
    ]

    def answer(rows: list[object]) -> list[Output]:
        body = msgspec.json.encode({"symbols": rows})
        return list(feed.answered(Answer(tag=requests[0].tag, status=200, body=body), AT))

    assert tradable(answer([*rows])) == {"AUSDT": True, "GONEUSDT": True}
    assert tradable(answer([*rows[:2], {"symbol": 7}])) == {"AUSDT": True, "GONEUSDT": False}

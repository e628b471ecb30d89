"""The past of an instrument, asked page by page of a venue that keeps to its documents."""

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.kernel import Tripwires
from oneprice.model.events import CandleClosed, FrameRejected, FundingSettled
from oneprice.model.instrument import Instrument, Payoff
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.contract import Answer, HistoryWanted, Request, Wanted

AT = 1_790_000_000_310_000_000
MINUTE = 60_000
NAME = "bybit:linear:BTCUSDT"


def feed_of(market: str = "linear") -> BybitFeed:
    feed = BybitFeed(Tripwires())
    name = f"bybit:{market}:BTCUSDT"
    feed.listed[name] = Instrument(
        id=name,
        venue="bybit",
        market=market,
        symbol="BTCUSDT",
        payoff=Payoff.SPOT if market == "spot" else Payoff.LINEAR,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
        funding_interval_ms=0 if market == "spot" else 28_800_000,
    )
    return feed


def wanted(kind: Any, start_ms: int, end_ms: int, **more: Any) -> HistoryWanted:
    return HistoryWanted(
        instrument=more.pop("instrument", NAME),
        kind=kind,
        start_ms=start_ms,
        end_ms=end_ms,
        **more,
    )


def answer(request: Request, rows: list[Any], time: int = AT // 1_000_000) -> Answer:
    result = {"symbol": "BTCUSDT", "category": "linear", "list": rows}
    body = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": time}
    return Answer(tag=request.tag, status=200, body=msgspec.json.encode(body))


def told(feed: BybitFeed, command: HistoryWanted, stamps: list[int]) -> tuple[list[Any], int]:
    """All events, and how many questions it took, of a venue that has rows at these stamps."""
    asked, events, count = list(feed.history(command)), [], 0
    while asked:
        request, count = asked.pop(0), count + 1
        query = {name: value[0] for name, value in parse_qs(request.query).items()}
        first = int(query.get("start") or query["startTime"])
        last = int(query.get("end") or query["endTime"])
        inside = [stamp for stamp in stamps if first <= stamp <= last]
        newest = sorted(inside, reverse=True)[: int(query["limit"])]
        rows: list[Any] = [[str(stamp), "2", "3", "1", "2.5", "7", "9"] for stamp in newest]
        if command.kind == "funding":
            rows = [
                {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(stamp)}
                for stamp in newest
            ]
        events += feed.answered(answer(request, rows), AT)
        asked += feed.follow_ups()
    return events, count


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["trade", "mark", "index"]),
    start=st.integers(0, 3000),
    length=st.integers(0, 3000),
    gaps=st.sets(st.integers(0, 3000), max_size=40),
)
def test_candles_of_any_range_come_once_each_whatever_is_missing(
    kind: str, start: int, length: int, gaps: set[int]
) -> None:
    stamps = [n * MINUTE for n in range(3000) if n not in gaps]
    end = start + length
    events, count = told(feed_of(), wanted(kind, start * MINUTE, end * MINUTE), stamps)
    assert sorted(e.start_ms for e in events) == [
        stamp for stamp in stamps if start * MINUTE <= stamp <= end * MINUTE
    ]
    assert count <= length // 1000 + 2
    assert all(e.kind == kind and e.interval_ms == MINUTE for e in events)


def test_settled_funding_comes_page_by_page_without_an_interval_being_assumed() -> None:
    hours = [n * 3_600_000 for n in range(1, 500)]
    events, count = told(feed_of(), wanted("funding", 0, hours[-1]), hours)
    assert sorted(e.settled_ms for e in events) == hours and count == 3
    assert all(isinstance(e, FundingSettled) and str(e.rate) == "0.0001" for e in events)


def test_the_candle_that_still_grows_is_left_out() -> None:
    feed = feed_of()
    (request,) = feed.history(wanted("trade", 0, 4 * MINUTE))
    rows = [[str(n * MINUTE), "60000.1", "60010", "59990", "60002.5", "12.3", "7"] for n in (2, 1)]
    events = feed.answered(answer(request, rows, time=2 * MINUTE + 59_000), AT)
    (bar,) = events
    assert isinstance(bar, CandleClosed)
    assert (bar.start_ms, str(bar.high), str(bar.volume)) == (MINUTE, "60010", "12.3")


def test_marks_have_no_volume_and_their_own_path() -> None:
    feed = feed_of()
    (request,) = feed.history(wanted("mark", 0, MINUTE, interval_ms=3_600_000))
    assert request.path == "/v5/market/mark-price-kline" and "interval=60" in request.query
    (bar,) = feed.answered(answer(request, [["0", "1", "3", "1", "2"]]), AT)
    assert isinstance(bar, CandleClosed) and bar.volume == 0 and bar.interval_ms == 3_600_000


@pytest.mark.parametrize(
    ("market", "kind", "start", "end", "length", "problem"),
    [
        ("linear", "trade", 0, 9, 7, "candle of 7 ms"),
        ("linear", "trade", 9, 0, MINUTE, "start 9"),
        ("spot", "mark", 0, 9, MINUTE, "spot has no mark"),
        ("spot", "funding", 0, 9, MINUTE, "spot has no funding"),
    ],
)
def test_what_the_venue_has_no_past_of_is_refused(
    market: str, kind: str, start: int, end: int, length: int, problem: str
) -> None:
    feed = feed_of(market)
    command = wanted(kind, start, end, interval_ms=length, instrument=f"bybit:{market}:BTCUSDT")
    with pytest.raises(ValueError, match=problem):
        feed.history(command)


@pytest.mark.parametrize("rows", [["x"], [["1"]], [[1, "2"]], [["1", "2", "3", "4", None]], [{}]])
def test_a_page_that_cannot_be_read_is_told_and_asks_no_further(rows: list[Any]) -> None:
    feed = feed_of()
    (request,) = feed.history(wanted("mark", 0, MINUTE))
    (event,) = feed.answered(answer(request, rows), AT)
    assert isinstance(event, FrameRejected) and not feed.follow_ups()


def test_candles_are_streamed_by_their_length() -> None:
    feed = feed_of()
    want = Wanted(instrument=NAME, book=False, ticker=False, candles_ms=(MINUTE, 86_400_000))
    assert [topic.text for topic in feed.topics([want])] == ["kline.1.BTCUSDT", "kline.D.BTCUSDT"]
    with pytest.raises(ValueError, match="candle of 61000 ms"):
        feed.topics([Wanted(instrument=NAME, candles_ms=(61_000,))])

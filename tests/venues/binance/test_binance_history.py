"""The past of an instrument, asked page by page of a venue that keeps to its documents."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from binance_desk import AT
from binance_material import SPOT, USDM, feed_of, instrument
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.kernel import Tripwires
from oneprice.model.events import CandleClosed, FrameRejected, FundingSettled
from oneprice.venues.binance import BinanceFeed
from oneprice.venues.contract import Ack, Answer, HistoryWanted, Wanted

MINUTE, DAY = 60_000, 86_400_000
COIN = instrument("coinm", "BTCUSD_PERP", "0.1", "1")


def plain_feed(*items: Any) -> BinanceFeed:
    feed = BinanceFeed(Tripwires())
    feed.listed.update({item.id: item for item in items})
    return feed


def wanted(item: Any, kind: Any, start_ms: int, end_ms: int, **more: Any) -> HistoryWanted:
    return HistoryWanted(instrument=item.id, kind=kind, start_ms=start_ms, end_ms=end_ms, **more)


def candle(stamp: int, length: int = MINUTE) -> list[Any]:
    prices = ["2", "3", "1", "2.5"]
    return [stamp, *prices, "7", stamp + length - 1, "9", 3, "1", "1", "0"]


def told(item: Any, command: HistoryWanted, stamps: list[int]) -> tuple[list[Any], int]:
    """All events, and how many questions it took, of a venue that has rows at these stamps."""
    feed = plain_feed(item)
    asked, events, count = list(feed.history(command)), [], 0
    while asked:
        request, count = asked.pop(0), count + 1
        query = {name: value[0] for name, value in parse_qs(request.query).items()}
        first, last = int(query["startTime"]), int(query["endTime"])
        assert item.market != "coinm" or last - first < 200 * DAY
        rows: list[Any] = [stamp for stamp in sorted(stamps) if first <= stamp <= last]
        rows = rows[: int(query["limit"])]
        if command.kind == "funding":
            body: Any = [
                {"symbol": item.symbol, "fundingRate": "0.0001", "fundingTime": stamp,
                 "markPrice": "60002.5" if stamp else ""}
                for stamp in rows
            ]  # fmt: skip
        else:
            body = [candle(stamp) for stamp in rows]
        answer = Answer(tag=request.tag, status=200, body=json.dumps(body).encode())
        events += feed.answered(answer, AT)
        asked += feed.follow_ups()
    return events, count


@settings(max_examples=25, deadline=None)
@given(
    item=st.sampled_from([SPOT, USDM, COIN]),
    start=st.integers(0, 3000),
    length=st.integers(0, 3000),
    gaps=st.sets(st.integers(0, 3000), max_size=40),
)
def test_candles_of_any_range_come_once_each_whatever_is_missing(
    item: Any, start: int, length: int, gaps: set[int]
) -> None:
    stamps = [n * MINUTE for n in range(3000) if n not in gaps]
    end = start + length
    events, count = told(item, wanted(item, "trade", start * MINUTE, end * MINUTE), stamps)
    assert [each.start_ms for each in events] == [
        stamp for stamp in stamps if start * MINUTE <= stamp <= end * MINUTE
    ]
    assert count <= length // 1000 + 2


@pytest.mark.parametrize("item", [USDM, COIN])
def test_settled_funding_comes_with_the_mark_it_was_paid_at(item: Any) -> None:
    stamps = [n * 28_800_000 for n in range(1, 1501)]
    events, count = told(item, wanted(item, "funding", 0, stamps[-1]), stamps)
    assert [each.settled_ms for each in events] == stamps
    assert count == (2 if item is USDM else 3)
    assert isinstance(events[0], FundingSettled)
    assert (str(events[0].rate), str(events[0].mark)) == ("0.0001", "60002.5")


def test_funding_without_a_mark_is_told_without_one() -> None:
    ((event,), _) = told(USDM, wanted(USDM, "funding", 0, 5), [0])
    assert event.mark is None


def test_index_candles_are_asked_by_pair_and_marks_by_symbol() -> None:
    feed = plain_feed(COIN)
    (index,) = feed.history(wanted(COIN, "index", 0, MINUTE))
    assert index.path == "/dapi/v1/indexPriceKlines" and "pair=BTCUSD&" in index.query
    (mark,) = feed.history(wanted(COIN, "mark", 0, MINUTE, interval_ms=4 * 3_600_000))
    assert mark.path == "/dapi/v1/markPriceKlines" and "symbol=BTCUSD_PERP" in mark.query
    assert "interval=4h" in mark.query
    body = json.dumps([candle(0)]).encode()
    (bar,) = feed.answered(Answer(tag=mark.tag, status=200, body=body), AT)
    assert isinstance(bar, CandleClosed) and (bar.kind, bar.volume) == ("mark", 0)


def test_the_candle_that_still_grows_is_left_out() -> None:
    feed, now_ms = plain_feed(USDM), AT // 1_000_000
    start = now_ms - now_ms % MINUTE
    (request,) = feed.history(wanted(USDM, "trade", 0, now_ms))
    body = json.dumps([candle(start - MINUTE), candle(start)]).encode()
    events = feed.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert [each.start_ms for each in events if isinstance(each, CandleClosed)] == [start - MINUTE]


def test_whether_a_candle_has_ended_is_a_matter_of_the_venues_clock() -> None:
    feed, now_ms = plain_feed(USDM), AT // 1_000_000
    start = now_ms - now_ms % MINUTE
    there = json.dumps({"serverTime": now_ms + 2 * MINUTE}).encode()
    feed.answered(Answer(tag=feed.clock().tag, status=200, body=there), AT)
    (request,) = feed.history(wanted(USDM, "trade", 0, now_ms))
    body = json.dumps([candle(start), candle(start + 2 * MINUTE)]).encode()
    (bar,) = feed.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert isinstance(bar, CandleClosed) and bar.start_ms == start


@pytest.mark.parametrize(
    ("item", "kind", "start", "end", "length", "problem"),
    [
        (USDM, "trade", 0, 9, 7, "candle of 7 ms"),
        (USDM, "trade", 0, 9, 1000, "candle of 1000 ms"),
        (USDM, "trade", 9, 0, MINUTE, "start 9"),
        (SPOT, "index", 0, 9, MINUTE, "spot has no index"),
    ],
)
def test_what_the_venue_has_no_past_of_is_refused(
    item: Any, kind: str, start: int, end: int, length: int, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        plain_feed(item).history(wanted(item, kind, start, end, interval_ms=length))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[[1]]",
        b'[["1","2","3","4","5","6"]]',
        b'[[1,2,"3","4","5","6"]]',
        b'[[1.5,"2","3","4","5","6"]]',
    ],
)
def test_a_page_that_cannot_be_read_is_told_and_asks_no_further(body: bytes) -> None:
    feed = plain_feed(USDM)
    (request,) = feed.history(wanted(USDM, "trade", 0, MINUTE))
    (event,) = feed.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert isinstance(event, FrameRejected) and not feed.follow_ups()


def test_candles_are_streamed_on_the_socket_of_trades() -> None:
    for item, socket in ((SPOT, "spot_public"), (USDM, "usdm_market"), (COIN, "coinm_public")):
        want = Wanted(instrument=item.id, book=False, ticker=False, candles_ms=(MINUTE, DAY))
        topics = plain_feed(item).topics([want])
        lower = item.symbol.lower()
        assert [topic.text for topic in topics] == [f"{lower}@kline_1m", f"{lower}@kline_1d"]
        assert {topic.socket for topic in topics} == {socket}


def test_the_counts_of_exchange_info_are_told_and_the_smaller_of_two_markets_holds() -> None:
    feed = feed_of()

    def info(market: str, count: int) -> Any:
        rows = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
             "limit": count},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5,
             "limit": 300_000},
        ]  # fmt: skip
        body = json.dumps({"symbols": [], "rateLimits": rows}).encode()
        return feed.answered(Answer(tag=f"instruments:{market}", status=200, body=body), AT)

    assert info("usdm", 2_400) == []
    (ack,) = info("coinm", 1_200)
    assert isinstance(ack, Ack) and ack.limit is not None
    assert (ack.kind, ack.bucket, ack.limit.count) == ("limit", "futures_weight", 1_200)
    assert info("usdm", 2_400) == []
    (ack,) = info("spot", 12_000)
    assert ack.limit is not None and (ack.bucket, ack.limit.count) == ("spot_weight", 12_000)

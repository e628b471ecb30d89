"""Fills by time and the account's log: every row once, oldest first, and an end only if whole."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.model.commands import QueryAccount, QueryFills, QueryStatement
from oneprice.model.events import (
    FillsTold,
    FrameRejected,
    FundingBooked,
    OrderFilled,
    StatementLine,
    StatementTold,
)
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Nanos
from oneprice.venues.bybit.instruments import instrument
from oneprice.venues.bybit.trade import BybitTrade
from oneprice.venues.bybit.wire import INSTRUMENT
from oneprice.venues.contract import Answer, Credentials, Output, Request

NOW_MS = 1_790_000_000_000
AT = Nanos(NOW_MS * 1_000_000)
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
FILLS = "/v5/execution/list"


def item(market: str) -> Instrument:
    return Instrument(
        id=f"bybit:{market}:BTCUSDT",
        venue="bybit",
        market=market,
        symbol="BTCUSDT",
        payoff=Payoff.SPOT if market == "spot" else Payoff.LINEAR,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
    )


LISTED = {one.id: one for one in (item("linear"), item("spot"))}


@pytest.fixture
def trade() -> BybitTrade:
    return BybitTrade(Credentials("k", "s"), LISTED)


def execution(number: int, when: int, **changes: str) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "orderId": "o",
        "orderLinkId": "a-1",
        "side": "Buy",
        "execFee": "0.1",
        "execId": f"e{number}",
        "execPrice": "60000.1",
        "execQty": "0.002",
        "execType": "Trade",
        "execTime": str(when),
        "feeCurrency": "",
        "isMaker": False,
    } | changes


def log_row(number: int, when: int, **changes: str) -> dict[str, Any]:
    return {
        "id": f"l{number}",
        "symbol": "",
        "category": "",
        "transactionTime": str(when),
        "type": "TRANSFER_IN",
        "currency": "USDT",
        "funding": "",
        "fee": "0",
        "cashFlow": "1",
        "change": "1",
        "cashBalance": "1",
    } | changes


class Venue:
    """Serves rows (stamped, oldest first) as the documents say: a week at most, newest first."""

    def __init__(self, rows: Sequence[tuple[int, dict[str, Any]]], clock_ms: int = NOW_MS) -> None:
        self.rows = rows
        self.clock_ms = clock_ms
        self.asked = 0

    def answer(self, request: Request) -> Answer:
        self.asked += 1
        said = {name: value[0] for name, value in parse_qs(request.query).items()}
        start, end, limit = int(said["startTime"]), int(said["endTime"]), int(said["limit"])
        assert 0 <= end - start <= WEEK_MS
        assert limit <= (100 if request.path == FILLS else 50)
        chosen = [row for when, row in self.rows if start <= when <= end][::-1]
        first = int(said.get("cursor", "0"))
        shown = chosen[first : first + limit]
        cursor = str(first + limit) if shown else ""  # the real one gives one with every row
        result = {"list": shown, "nextPageCursor": cursor}
        envelope = {"retCode": 0, "retMsg": "OK", "result": result, "time": self.clock_ms}
        return Answer(tag=request.tag, status=200, body=msgspec.json.encode(envelope))


def walked(trade: BybitTrade, command: Any, venue: Venue, now_ms: int = NOW_MS) -> list[Output]:
    """Everything that comes out until nothing more is asked."""
    waiting = list(trade.encode(command, AT))
    out: list[Output] = []
    while waiting:
        request = trade.sign(waiting.pop(0), now_ms)
        answer = msgspec.structs.replace(venue.answer(request), asked_ms=now_ms)
        out += trade.answered(answer, AT)
        waiting += trade.follow_ups()
    return out


def fills_since(since_ms: int) -> QueryFills:
    return QueryFills(venue="bybit", market="linear", since_ms=since_ms)


STAMPS = st.lists(st.integers(NOW_MS - 30 * DAY_MS, NOW_MS + 1000), max_size=260)


@settings(max_examples=30, deadline=None)
@given(STAMPS, st.integers(0, 31 * DAY_MS))
def test_every_fill_since_a_moment_is_told_once_and_oldest_first(
    stamps: list[int], ago: int
) -> None:
    trade = BybitTrade(Credentials("k", "s"), LISTED)
    rows = [(when, execution(n, when)) for n, when in enumerate(sorted(stamps))]
    since = NOW_MS - ago
    *fills, end = walked(trade, fills_since(since), Venue(rows))
    assert end == FillsTold(
        at=AT, venue="bybit", market="linear", since_ms=since, until_ms=NOW_MS
    )
    assert all(isinstance(fill, OrderFilled) for fill in fills)
    told = [(fill.venue_ms, fill.fill_id) for fill in fills if isinstance(fill, OrderFilled)]
    due = [
        (when, f"{row['execId']}:BTCUSDT") for when, row in rows if since <= when <= NOW_MS
    ]
    assert told == due


def test_a_fill_on_the_edge_of_two_windows_is_told_once(trade: BybitTrade) -> None:
    since = NOW_MS - 15 * DAY_MS
    edges = [since + weeks * WEEK_MS + more for weeks in (1, 2) for more in (-1, 0, 1)]
    rows = [(when, execution(n, when)) for n, when in enumerate([since, *edges, NOW_MS])]
    *fills, end = walked(trade, fills_since(since), Venue(rows))
    told = [fill.fill_id for fill in fills if isinstance(fill, OrderFilled)]
    assert told == [f"e{n}:BTCUSDT" for n in range(8)] and isinstance(end, FillsTold)


@settings(max_examples=20, deadline=None)
@given(STAMPS, st.integers(0, 20 * DAY_MS))
def test_every_line_of_the_log_is_told_once_and_oldest_first(stamps: list[int], ago: int) -> None:
    trade = BybitTrade(Credentials("k", "s"), LISTED)
    rows = [(when, log_row(n, when)) for n, when in enumerate(sorted(stamps))]
    since = NOW_MS - ago
    command = QueryStatement(venue="bybit", market="spot", since_ms=since)
    *lines, end = walked(trade, command, Venue(rows))
    assert isinstance(end, StatementTold) and (end.since_ms, end.until_ms) == (since, NOW_MS)
    told = [line.record_id for line in lines if isinstance(line, StatementLine)]
    assert told == [row["id"] for when, row in rows if since <= when <= NOW_MS]


def test_funding_of_a_statement_is_the_settlement_that_the_account_question_brings(
    trade: BybitTrade,
) -> None:
    paid = {
        "type": "SETTLEMENT", "category": "linear", "symbol": "BTCUSDT", "funding": "-0.25",
        "cashFlow": "0", "change": "-0.25", "side": "Buy", "feeRate": "0.0001",
    }  # fmt: skip
    rows = [
        (when, log_row(n, when, **paid, orderId=f"{when // 1000}-8-1-1"))
        for n, when in enumerate([NOW_MS - 20 * DAY_MS, NOW_MS - 3_600_000])
    ]
    venue = Venue(rows)
    (question,) = (
        request
        for request in trade.encode(QueryAccount(venue="bybit", market="linear"), AT)
        if ":funding:" in request.tag
    )
    day = msgspec.structs.replace(
        question, query=f"startTime={NOW_MS - DAY_MS}&endTime={NOW_MS}&limit=50"
    )
    (recent,) = trade.answered(venue.answer(day), AT)
    command = QueryStatement(venue="bybit", market="linear", since_ms=NOW_MS - 30 * DAY_MS)
    out = walked(trade, command, venue)
    old, again = (event for event in out if isinstance(event, FundingBooked))
    assert again == recent and old.venue_ms == NOW_MS - 20 * DAY_MS
    assert [e.kind for e in out if isinstance(e, StatementLine)] == ["funding", "funding"]


@pytest.mark.parametrize("kind", ["Trade", "BustTrade", "AdlTrade", "Settle", "BlockTrade"])
def test_the_stream_and_the_list_tell_the_same_fill(trade: BybitTrade, kind: str) -> None:
    link = "a-1" if kind == "Trade" else ""
    row = execution(1, NOW_MS - 5, execType=kind, orderLinkId=link)
    pushed = row | {"category": "linear", "feeCurrency": "USDT", "execPnl": "0"}
    frame = {"topic": "execution", "creationTime": NOW_MS, "data": [pushed]}
    (streamed,) = trade.decode("private", msgspec.json.encode(frame), AT)
    asked, _ = walked(trade, fills_since(NOW_MS - 10), Venue([(NOW_MS - 5, row)]))
    assert isinstance(asked, OrderFilled) and asked.venue_ms == NOW_MS - 5
    assert asked == streamed


def test_two_years_is_as_far_as_the_venue_reaches_and_that_is_said(trade: BybitTrade) -> None:
    venue = Venue([])
    (end,) = walked(trade, fills_since(0), venue)
    assert isinstance(end, FillsTold)
    assert end.since_ms == NOW_MS - 729 * DAY_MS and venue.asked == 105


def test_now_is_the_venues_now(trade: BybitTrade) -> None:
    """Our clock may be hours away from the venue's."""
    ahead = NOW_MS + 3 * 3_600_000
    fill = execution(1, ahead - 5)
    told = walked(
        trade, fills_since(ahead - 1000), Venue([(ahead - 5, fill)], clock_ms=ahead), ahead
    )
    assert [type(one) for one in told] == [OrderFilled, FillsTold]
    assert isinstance(told[1], FillsTold) and told[1].until_ms == ahead


def test_no_end_is_told_where_a_row_could_not_be_read_but_its_neighbours_are(
    trade: BybitTrade,
) -> None:
    rows = [
        (NOW_MS - 9, execution(1, NOW_MS - 9)),
        (NOW_MS - 8, execution(2, NOW_MS - 8, symbol="GONEUSDT")),
        (NOW_MS - 7, execution(3, NOW_MS - 7, execQty="-0.0015")),
        (NOW_MS - 6, execution(4, NOW_MS - 6)),
    ]
    out = walked(trade, fills_since(NOW_MS - 10), Venue(rows))
    fills = [one.fill_id for one in out if isinstance(one, OrderFilled)]
    assert fills == ["e1:BTCUSDT", "e4:BTCUSDT"]
    lost = [one.reason for one in out if isinstance(one, FrameRejected)]
    assert lost == ["unreadable_row"] * 2
    assert not any(isinstance(one, FillsTold) for one in out)


def test_a_cursor_that_leads_nowhere_is_noticed(trade: BybitTrade) -> None:
    (asked,) = trade.encode(fills_since(NOW_MS - 10), AT)
    page = {
        "list": [execution(n, NOW_MS - 5) for n in range(100)],
        "nextPageCursor": "round",
    }
    body = msgspec.json.encode({"retCode": 0, "result": page, "time": NOW_MS})
    trade.sign(asked, NOW_MS)
    assert trade.answered(Answer(tag=asked.tag, status=200, body=body), AT) == []
    (more,) = trade.follow_ups()
    trade.sign(more, NOW_MS)
    (lost,) = trade.answered(Answer(tag=more.tag, status=200, body=body), AT)
    assert isinstance(lost, FrameRejected) and lost.reason == "cursor_repeated"
    assert trade.follow_ups() == []


@pytest.mark.parametrize("status", [0, 403, 502, 200])
def test_a_failed_page_ends_the_walk_and_a_late_answer_says_nothing(
    trade: BybitTrade, status: int
) -> None:
    (asked,) = trade.encode(fills_since(NOW_MS - 10), AT)
    good = Venue([]).answer(trade.sign(asked, NOW_MS))
    failed = Answer(tag=asked.tag, status=status, body=b"<html>", detail="lost")
    assert any(isinstance(one, FrameRejected) for one in trade.answered(failed, AT))
    assert not trade.answered(good, AT)
    assert trade.follow_ups() == []


def test_a_market_that_the_venue_has_not_is_refused(trade: BybitTrade) -> None:
    with pytest.raises(ValueError, match="market"):
        trade.encode(QueryFills(venue="bybit", market="option", since_ms=0), AT)


@pytest.mark.parametrize(("ends", "status"), [("0", "Trading"), ("1790001000000", "Trading"),
                                              ("1790001000000", "Delivering")])
def test_a_perpetual_tells_when_it_is_delisted_and_does_not_become_a_dated_contract(
    ends: str, status: str
) -> None:
    raw = {
        "symbol": "BTCUSDT", "status": status, "contractType": "LinearPerpetual",
        "baseCoin": "BTC", "quoteCoin": "USDT", "settleCoin": "USDT", "deliveryTime": ends,
        "priceFilter": {"tickSize": "0.1"}, "lotSizeFilter": {"qtyStep": "0.001"},
        "fundingInterval": 480,
    }  # fmt: skip
    listed = instrument("linear", INSTRUMENT.decode(msgspec.json.encode(raw)))
    assert listed.expiry == 0 and listed.delisting == int(ends) * 1_000_000
    assert listed.tradable is (status == "Trading")


def test_the_answers_alone_tell_a_replay_the_same() -> None:
    """A replay signs nothing: what is remembered comes from inputs only."""
    since, ahead = NOW_MS - 20 * DAY_MS, NOW_MS + 7_000_000
    stamps = range(since, NOW_MS, DAY_MS // 9)
    venue = Venue([(when, execution(n, when)) for n, when in enumerate(stamps)], ahead)
    live, replay = (BybitTrade(Credentials("k", "s"), LISTED) for _ in range(2))
    waiting, told, told_again = list(live.encode(fills_since(since), AT)), [], []
    replay.encode(fills_since(since), AT)
    while waiting:
        answer = venue.answer(live.sign(waiting.pop(0), ahead))
        answer = msgspec.structs.replace(answer, asked_ms=ahead)
        told += live.answered(answer, AT)
        told_again += replay.answered(answer, AT)
        waiting += live.follow_ups()
        replay.follow_ups()
    assert told == told_again and len(told) == len(stamps) + 1

"""Trades by window and by id, whose they are, and the income of futures as a statement."""

import json
from typing import Any

import msgspec
import pytest
from binance_desk import AT, place, trade
from binance_material import SPOT, USDM, instrument
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
from oneprice.venues.binance import BinanceSettings, BinanceTrade
from oneprice.venues.binance.facts import PRODUCTS
from oneprice.venues.binance.frames import Filter, Listed
from oneprice.venues.binance.listing import NEVER_MS, instrument_from
from oneprice.venues.contract import Answer, Output, Request

NOW_MS = AT // 1_000_000
DAY_MS = 86_400_000
COINM = instrument("coinm", "BTCUSD_PERP", "0.1", "1")
ITEMS = {"spot": SPOT, "usdm": USDM, "coinm": COINM}


def own_trade(number: int, when: int, order: int = 7) -> dict[str, Any]:
    return {
        "id": number,
        "orderId": order,
        "price": "60000.0",
        "qty": "1",
        "commission": "0.1",
        "commissionAsset": "USDT",
        "time": when,
        "isBuyer": True,
        "buyer": True,
    }


def income(number: int, when: int, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": "",
        "incomeType": "TRANSFER",
        "income": "1",
        "asset": "USDT",
        "time": when,
        "tranId": number,
        "tradeId": "",
    } | changes


class Venue:
    """Serves trades, orders and income as the documents say; rows are sorted by time and id."""

    def __init__(self, rows: list[dict[str, Any]], owners: dict[int, str] | None = None) -> None:
        self.rows = rows
        self.owners = owners or {}
        self.asked: list[str] = []

    def answer(self, request: Request) -> Answer:
        said = dict(part.split("=", 1) for part in request.query.split("&"))
        name = request.path.rpartition("/")[2]
        self.asked.append(name)
        if name == "order":
            return self._owner(request.tag, int(said["orderId"]))
        rows, limit = self.rows, int(said["limit"])
        if "fromId" in said:
            assert "startTime" not in said and "endTime" not in said
            rows = [row for row in rows if row["id"] >= int(said["fromId"])]
        else:
            start, end = int(said["startTime"]), int(said["endTime"])
            longest = {"myTrades": DAY_MS, "userTrades": 7 * DAY_MS, "income": 90 * DAY_MS}
            assert 0 <= end - start <= longest[name]
            rows = [row for row in rows if start <= row["time"] <= end]
        return Answer(tag=request.tag, status=200, body=json.dumps(rows[:limit]).encode())

    def _owner(self, tag: str, order: int) -> Answer:
        if order not in self.owners:
            body = b'{"code":-2013,"msg":"Order does not exist."}'
            return Answer(tag=tag, status=400, body=body)
        state = {"symbol": "X", "orderId": order, "clientOrderId": self.owners[order]}
        return Answer(tag=tag, status=200, body=json.dumps(state).encode())


def walked(side: BinanceTrade, command: Any, venue: Venue, now_ms: int = NOW_MS) -> list[Output]:
    """Everything that comes out until nothing more is asked."""
    waiting = list(side.encode(command, AT))
    out: list[Output] = []
    while waiting:
        request = side.sign(waiting.pop(0), now_ms)
        answer = msgspec.structs.replace(venue.answer(request), asked_ms=now_ms)
        out += side.answered(answer, AT)
        waiting += side.follow_ups()
    return out


def side_of(market: str) -> BinanceTrade:
    return trade(BinanceSettings(wanted=(ITEMS[market].id,)), COINM)


GAPS = st.lists(st.integers(0, 2 * DAY_MS), max_size=60)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["spot", "usdm", "coinm"]), GAPS, st.integers(0, 40 * DAY_MS))
def test_every_trade_since_a_moment_is_told_once_and_in_order(
    market: str, gaps: list[int], ago: int
) -> None:
    rows, when = [], NOW_MS - 40 * DAY_MS
    for number, gap in enumerate(gaps):
        when += gap
        rows.append(own_trade(number + 1, when, order=number // 3))
    rows = [row for row in rows if row["time"] <= NOW_MS]
    venue = Venue(rows, {number: f"a-{number}" for number in range(30)})
    since = NOW_MS - ago
    command = QueryFills(venue="binance", market=market, since_ms=since)
    *fills, end = walked(side_of(market), command, venue)
    assert end == FillsTold(
        at=AT, venue="binance", market=market, since_ms=since, until_ms=NOW_MS
    )
    told = [
        (fill.fill_id.rpartition(":")[2], fill.order_id)
        for fill in fills
        if isinstance(fill, OrderFilled)
    ]
    due = [(str(r["id"]), f"a-{r['orderId']}") for r in rows if r["time"] >= since]
    assert told == due
    assert venue.asked.count("order") == len({owner for _, owner in told})  # each order once


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_many_trades_of_one_moment_come_by_their_ids(count: int) -> None:
    rows = [own_trade(number, NOW_MS - 5) for number in range(1, count + 1)]
    command = QueryFills(venue="binance", market="usdm", since_ms=NOW_MS - 10)
    *fills, end = walked(side_of("usdm"), command, Venue(rows, {7: "a"}))
    assert len(fills) == count and isinstance(end, FillsTold)


def test_an_order_that_has_traded_and_is_not_known_may_be_lag_unless_it_is_long_ago() -> None:
    new = QueryFills(venue="binance", market="usdm", since_ms=NOW_MS - 10)
    out = walked(side_of("usdm"), new, Venue([own_trade(1, NOW_MS - 5)]))
    assert [type(one) for one in out] == [FrameRejected]
    old = QueryFills(venue="binance", market="usdm", since_ms=NOW_MS - 88 * DAY_MS)
    fill, end = walked(side_of("usdm"), old, Venue([own_trade(1, NOW_MS - 85 * DAY_MS)]))
    assert isinstance(fill, OrderFilled) and fill.order_id == ""
    assert isinstance(end, FillsTold)


def test_without_wanted_or_touched_instruments_all_listed_ones_are_asked() -> None:
    side = trade()
    asked = side.encode(QueryFills(venue="binance", market="usdm", since_ms=NOW_MS), AT)
    assert [request.tag.rpartition(":")[2] for request in asked] == ["BTCUSDT"]


def test_three_months_are_as_far_as_the_venue_reaches_and_now_is_its_own() -> None:
    ahead = NOW_MS + 5 * 3_600_000
    command = QueryFills(venue="binance", market="usdm", since_ms=0)
    (end,) = walked(side_of("usdm"), command, Venue([]), ahead)
    assert isinstance(end, FillsTold)
    assert (end.since_ms, end.until_ms) == (NOW_MS - 89 * DAY_MS, ahead)


@settings(max_examples=30, deadline=None)
@given(GAPS, st.integers(0, 40 * DAY_MS), st.integers(1, 60))
def test_every_line_of_income_is_told_once_whatever_the_pages(
    gaps: list[int], ago: int, crowd: int
) -> None:
    rows, when = [], NOW_MS - 40 * DAY_MS
    for number, gap in enumerate(gaps):
        when += gap
        same = crowd * 10 if number % 7 == 3 else 1
        rows += [income(number * 1000 + more, when) for more in range(same)]
    rows = [row for row in rows if row["time"] <= NOW_MS]
    since = NOW_MS - ago
    command = QueryStatement(venue="binance", market="usdm", since_ms=since)
    *lines, end = walked(side_of("usdm"), command, Venue(rows))
    assert isinstance(end, StatementTold) and (end.since_ms, end.until_ms) == (since, NOW_MS)
    told = [line.record_id for line in lines if isinstance(line, StatementLine)]
    assert told == [f"TRANSFER::{row['tranId']}" for row in rows if row["time"] >= since]


def test_more_income_of_one_moment_than_a_page_holds_is_no_whole_statement() -> None:
    rows = [income(number, NOW_MS - 5) for number in range(1200)]
    command = QueryStatement(venue="binance", market="usdm", since_ms=NOW_MS - 10)
    out = walked(side_of("usdm"), command, Venue(rows))
    assert sum(isinstance(one, StatementLine) for one in out) == 1000
    assert isinstance(out[-1], FrameRejected) and "more than 1000" in out[-1].reason


def test_income_of_the_other_kind_of_futures_is_told_by_its_own_market() -> None:
    rows = [
        income(1, NOW_MS - 5, symbol="BTCUSD_PERP", asset="BTC"),
        income(2, NOW_MS - 5, symbol="BTCUSDT", incomeType="COMMISSION", income="-0.5"),
        income(3, NOW_MS - 5, symbol="", incomeType="COMMISSION", income="x"),
    ]
    command = QueryStatement(venue="binance", market="usdm", since_ms=NOW_MS - 10)
    line, lost = walked(side_of("usdm"), command, Venue(rows))
    assert isinstance(line, StatementLine) and line.kind == "fee" and str(line.fee) == "0.5"
    assert isinstance(lost, FrameRejected)


def test_funding_of_a_statement_is_the_settlement_that_the_account_question_brings() -> None:
    row = income(9, NOW_MS - 5, symbol="BTCUSDT", incomeType="FUNDING_FEE", income="-0.25")
    side = side_of("usdm")
    asked = side.encode(QueryAccount(venue="binance", market="usdm"), AT)
    (question,) = (request for request in asked if request.tag.startswith("income"))
    answer = Answer(tag=question.tag, status=200, body=json.dumps([row]).encode())
    (recent,) = (e for e in side.answered(answer, AT) if isinstance(e, FundingBooked))
    command = QueryStatement(venue="binance", market="usdm", since_ms=NOW_MS - 40 * DAY_MS)
    old = income(8, NOW_MS - 30 * DAY_MS, symbol="BTCUSDT", incomeType="FUNDING_FEE")
    out = walked(side, command, Venue([old, row]))
    first, again = (event for event in out if isinstance(event, FundingBooked))
    assert again == recent and (recent.record_id, str(recent.amount)) == ("9", "-0.25")
    assert first.record_id == "8", "two days are what the account question reaches"
    assert [e.kind for e in out if isinstance(e, StatementLine)] == ["funding", "funding"]


def test_a_newer_question_replaces_an_older_one() -> None:
    side = side_of("usdm")
    for command in (
        QueryFills(venue="binance", market="usdm", since_ms=NOW_MS - 10),
        QueryStatement(venue="binance", market="usdm", since_ms=NOW_MS - 10),
    ):
        asked = [*side.encode(command, AT), *side.encode(command, AT)]
        older, newer = (side.sign(request, NOW_MS) for request in asked)
        assert not side.answered(Answer(tag=older.tag, status=200, body=b"[]"), AT)
        assert side.answered(Venue([]).answer(newer), AT)


@pytest.mark.parametrize("market", ["options", ""])
def test_a_market_that_the_venue_has_not_is_refused(market: str) -> None:
    for command in (
        QueryFills(venue="binance", market=market, since_ms=0),
        QueryStatement(venue="binance", market=market, since_ms=0),
    ):
        with pytest.raises(ValueError, match="market"):
            trade().encode(command, AT)


def test_spot_keeps_no_statement() -> None:
    assert trade().encode(QueryStatement(venue="binance", market="spot", since_ms=0), AT) == ()


@pytest.mark.parametrize("ends", [0, NEVER_MS, 1_790_001_000_000])
def test_a_perpetual_that_is_to_be_delisted_says_when(ends: int) -> None:
    row = Listed(
        symbol="BTCUSDT",
        baseAsset="BTC",
        quoteAsset="USDT",
        marginAsset="USDT",
        contractType="PERPETUAL",
        status="TRADING",
        deliveryDate=ends,
        filters=[
            Filter(filterType="PRICE_FILTER", tickSize="0.1"),
            Filter(filterType="LOT_SIZE", stepSize="0.001", minQty="0.001"),
        ],
    )
    listed = instrument_from(row, PRODUCTS["usdm"], 8)
    assert listed is not None and listed.expiry == 0
    assert listed.delisting == (ends * 1_000_000 if 0 < ends < NEVER_MS else 0)


@pytest.mark.parametrize(
    ("client_id", "execution", "price"),
    [
        ("a-1", "TRADE", "60000.1"),
        ("autoclose-1", "CALCULATED", "60000.1"),
        ("adl_autoclose", "CALCULATED", "60000.17"),
        ("settlement_autoclose-1", "TRADE", "60000.17"),
        ("delivery_autoclose-1", "TRADE", "60000.17"),
    ],
)
def test_the_stream_and_the_list_tell_the_same_fill(
    client_id: str, execution: str, price: str
) -> None:
    side, when = side_of("usdm"), NOW_MS - 5
    order = {
        "s": "BTCUSDT", "c": client_id, "S": "SELL", "f": "IOC", "x": execution, "X": "FILLED",
        "i": 7, "l": "0.010", "z": "0.010", "L": price, "T": when, "t": 9, "m": False,
        "n": "0.10000000", "N": "USDT", "q": "0.010", "p": price,
    }  # fmt: skip
    frame = {"e": "ORDER_TRADE_UPDATE", "E": when, "T": when, "o": order}
    told = side.decode("usdm_user", json.dumps(frame).encode(), AT)
    (streamed,) = (event for event in told if isinstance(event, OrderFilled))
    row = own_trade(9, when) | {"price": price, "qty": "0.010", "isBuyer": False, "buyer": False}
    command = QueryFills(venue="binance", market="usdm", since_ms=NOW_MS - 10)
    asked, _ = walked(side, command, Venue([row], {7: client_id}))
    assert asked == streamed
    assert isinstance(asked, OrderFilled) and asked.venue_ms == when


def test_an_order_of_this_session_is_not_asked_for() -> None:
    side = trade(BinanceSettings(order_entry="rest"))
    (request,) = side.encode(place(USDM), AT)
    state = {"symbol": "BTCUSDT", "orderId": 7, "status": "NEW", "clientOrderId": "arb-0001"}
    side.answered(
        Answer(
            tag=request.tag,
            status=200,
            body=json.dumps(state).encode(),
            order_id=request.order_id,
        ),
        AT,
    )
    venue = Venue([own_trade(9, NOW_MS - 5)])
    command = QueryFills(venue="binance", market="usdm", since_ms=NOW_MS - 10)
    fill, _ = walked(side, command, venue)
    assert isinstance(fill, OrderFilled) and fill.order_id == "arb-0001"
    assert venue.asked == ["userTrades"]


@pytest.mark.parametrize("kind", [QueryFills, QueryStatement])
def test_the_answers_alone_tell_a_replay_the_same(kind: Any) -> None:
    """A replay signs nothing: what is remembered comes from inputs only."""
    since, ahead = NOW_MS - 20 * DAY_MS, NOW_MS + 7_000_000
    stamps = range(since + 15 * DAY_MS, NOW_MS, DAY_MS // 9)
    make = own_trade if kind is QueryFills else income
    venue = Venue([make(n, when) for n, when in enumerate(stamps, 1)], {7: "a"})
    live, replay = side_of("usdm"), side_of("usdm")
    command = kind(venue="binance", market="usdm", since_ms=since)
    waiting, told, told_again = list(live.encode(command, AT)), [], []
    replay.encode(command, AT)
    while waiting:
        answer = venue.answer(live.sign(waiting.pop(0), ahead))
        answer = msgspec.structs.replace(answer, asked_ms=ahead)
        told += live.answered(answer, AT)
        told_again += replay.answered(answer, AT)
        waiting += live.follow_ups()
        replay.follow_ups()
    assert told == told_again and len(told) == len(stamps) + 1

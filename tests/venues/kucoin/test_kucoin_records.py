"""Fills and ledgers of a stretch of time are told whole or not told to be whole."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kucoin_material import AT, FACTORY, LINEAR, SPOT, message, no, ok

from oneprice.model.commands import QueryFills, QueryStatement
from oneprice.model.events import (
    FillsTold,
    FrameRejected,
    OrderFilled,
    StatementLine,
    StatementTold,
)
from oneprice.venues.contract import Answer, Output, Request
from oneprice.venues.kucoin import records, statement
from oneprice.venues.kucoin.rows import ENTRY, LEDGER
from oneprice.venues.kucoin.trade import KucoinTrade

NOW_MS = AT // 1_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FILL = {
    "symbol": "XBTUSDTM", "tradeId": "7", "orderId": "67", "side": "buy", "liquidity": "taker",
    "price": "90000", "size": 1, "value": "90", "feeRate": "0.0006", "fee": "0.054",
    "feeCurrency": "USDT", "tradeType": "trade", "tradeTime": (NOW_MS - 5) * 1_000_000,
    "createdAt": NOW_MS - 5,
}  # fmt: skip
LINE = {
    "id": "254062248624417", "currency": "USDT", "amount": "1.59760080", "fee": "0.00159920",
    "tax": "0", "balance": "26.73759503", "accountType": "TRADE_HF",
    "bizType": "TRADE_EXCHANGE", "direction": "in", "createdAt": str(NOW_MS - 5),
    "context": '{"symbol":"BTC-USDT","orderId":"6705","tradeId":"1004"}',
}  # fmt: skip
ENTRY_ROW = {
    "time": NOW_MS - 5, "type": "RealisedPNL", "amount": -0.000017105, "fee": 0,
    "accountEquity": 8060.7899305281, "status": "Completed", "remark": "XBTUSDM", "offset": 12,
    "currency": "XBT",
}  # fmt: skip


def new_trade() -> KucoinTrade:
    _, trade = FACTORY.dialect()
    assert isinstance(trade, KucoinTrade)
    return trade


def fills(
    trade: KucoinTrade, market: str = "futures", since_ms: int = NOW_MS - 1000
) -> list[Request]:
    command = QueryFills(venue="kucoin", market=market, since_ms=since_ms)
    return list(trade.encode(command, AT))


def lines(
    trade: KucoinTrade, market: str, since_ms: int = NOW_MS - 1000, until_ms: int = 0
) -> list[Request]:
    command = QueryStatement(
        venue="kucoin", market=market, since_ms=since_ms, until_ms=until_ms
    )
    return list(trade.encode(command, AT))


def page(*rows: Any, current: int = 1, total: int = 1) -> dict[str, Any]:
    return {"currentPage": current, "pageSize": 200, "totalPage": total, "items": list(rows)}


def is_told(outputs: Sequence[Output]) -> bool:
    return any(isinstance(event, FillsTold | StatementTold) for event in outputs)


def test_an_order_that_the_stream_named_is_not_asked_for() -> None:
    trade = new_trade()
    row = {"symbol": "XBTUSDTM", "orderId": "67", "type": "open", "clientOid": "arb-1"}
    row |= {"side": "buy", "ts": AT}
    topic = "/contractMarket/tradeOrders"
    trade.decode("futures_private", message(topic, "symbolOrderChange", row), AT)
    (question,) = fills(trade)
    fill, end = trade.answered(ok(question.tag, [FILL]), AT)
    assert isinstance(fill, OrderFilled) and isinstance(end, FillsTold)
    assert (fill.order_id, fill.instrument, fill.fee_known) == ("arb-1", LINEAR, True)


def test_an_order_of_many_fills_is_asked_for_once_and_remembered() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    rows = [{**FILL, "tradeId": str(n)} for n in range(3)]
    assert list(trade.answered(ok(question.tag, rows), AT)) == []
    (about,) = trade.follow_ups()
    assert about.path == "/api/v1/orders/67"
    order = {"id": "67", "symbol": "XBTUSDTM", "clientOid": "arb-1", "isActive": False}
    told = trade.answered(ok(about.tag, order), AT)
    assert [fill.order_id for fill in told if isinstance(fill, OrderFilled)] == ["arb-1"] * 3
    assert is_told(told)
    (again,) = fills(trade)
    assert len(trade.answered(ok(again.tag, rows), AT)) == 4
    assert not trade.follow_ups()


@pytest.mark.parametrize("said", [None, {"id": "67", "symbol": "XBTUSDTM", "clientOid": None}])
def test_an_order_that_nobody_named_or_that_is_forgotten_is_a_strangers(said: Any) -> None:
    trade = new_trade()
    (question,) = fills(trade)
    trade.answered(ok(question.tag, [FILL]), AT)
    (about,) = trade.follow_ups()
    told = trade.answered(ok(about.tag, said), AT)
    assert isinstance(told[0], OrderFilled) and told[0].order_id == "" and is_told(told)


def test_fills_whose_order_could_not_be_asked_for_are_not_told_as_a_strangers() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    trade.answered(ok(question.tag, [FILL, {**FILL, "tradeType": "adl", "orderId": "9"}]), AT)
    (about,) = trade.follow_ups()
    told = trade.answered(Answer(tag=about.tag, status=0, detail="timeout"), AT)
    assert not is_told(told)
    assert [fill.cause for fill in told if isinstance(fill, OrderFilled)] == ["adl"]


def test_a_full_list_of_recent_fills_may_be_cut_off_so_the_slower_one_is_asked() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    rows = [{**FILL, "tradeId": str(n), "tradeType": "adl"} for n in range(1000)]
    assert list(trade.answered(ok(question.tag, rows), AT)) == []
    (slower,) = trade.follow_ups()
    assert slower.path == "/api/v1/fills"
    told = trade.answered(ok(slower.tag, page()), AT)
    assert len(told) == 1001 and is_told(told)


def test_a_fill_of_what_is_not_listed_any_more_is_rejected_but_does_not_stand_in_the_way() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    rows = [{**FILL, "symbol": "XBTMU26"}, {**FILL, "tradeType": "adl"}]
    told = trade.answered(ok(question.tag, rows), AT)
    assert [type(event) for event in told] == [FrameRejected, OrderFilled, FillsTold]
    assert isinstance(told[0], FrameRejected) and told[0].reason == "unlisted"


def test_recent_fills_from_before_the_moment_are_left_out() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    old = {**FILL, "createdAt": NOW_MS - HOUR_MS}
    assert [type(one) for one in trade.answered(ok(question.tag, [old]), AT)] == [FillsTold]


def test_pages_are_turned_by_number_and_by_the_last_id() -> None:
    trade = new_trade()
    recent, window = fills(trade, since_ms=NOW_MS - 2 * DAY_MS)
    forced = {**FILL, "tradeType": "settlement"}
    trade.answered(ok(recent.tag, []), AT)
    trade.answered(ok(window.tag, page(forced, total=2)), AT)
    (second,) = trade.follow_ups()
    assert second.query == f"{window.query}&currentPage=2"
    assert is_told(trade.answered(ok(second.tag, page(forced, current=2, total=2)), AT))
    (ledger,) = lines(trade, "spot")
    rows = [{**LINE, "id": str(9000 - n)} for n in range(200)]
    trade.answered(ok(ledger.tag, rows), AT)
    (further,) = trade.follow_ups()
    assert further.query == f"{ledger.query}&lastId=8801"
    told = trade.answered(ok(further.tag, []), AT)
    assert [one.record_id for one in told[:-1]] == [str(n) for n in range(8801, 9001)]
    assert is_told(told)


def test_the_futures_ledger_goes_on_behind_the_least_offset_that_is_booked() -> None:
    trade = new_trade()
    (question,) = lines(trade, "futures")
    pending = {**ENTRY_ROW, "status": "Pending", "offset": -1}
    rows = {"hasMore": True, "dataList": [pending, ENTRY_ROW, {**ENTRY_ROW, "offset": 11}]}
    trade.answered(ok(question.tag, rows), AT)
    (further,) = trade.follow_ups()
    assert further.query == f"{question.query}&offset=11"
    told = trade.answered(ok(further.tag, {"hasMore": False, "dataList": []}), AT)
    assert [one.record_id for one in told[:-1]] == ["11", "12"] and is_told(told)


@pytest.mark.parametrize("market", ["spot", "futures"])
@pytest.mark.parametrize("ask", [fills, lines])
def test_after_a_page_that_failed_the_end_is_not_told(market: str, ask: Any) -> None:
    trade = new_trade()
    questions = ask(trade, market)
    for question in questions[:-1]:
        trade.answered(ok(question.tag, page()), AT)
    told = trade.answered(no(questions[-1].tag, "500000", "Internal Server Error", 500), AT)
    assert isinstance(told[0], FrameRejected) and not is_told(told)
    assert not is_told(trade.answered(ok(questions[-1].tag, page()), AT))


def test_how_far_back_the_venue_goes_is_said_at_the_end() -> None:
    trade = new_trade()
    for ask, market, days in ((fills, "spot", 7), (fills, "futures", 89), (lines, "spot", 3)):
        told: Sequence[Output] = ()
        for question in ask(trade, market, 0):
            rows: Any = [] if "recent" in question.tag or "ledger" in question.tag else page()
            told = trade.answered(ok(question.tag, rows), AT)
        (end,) = told
        assert isinstance(end, FillsTold | StatementTold)
        assert 0 <= end.since_ms - (NOW_MS - days * DAY_MS) <= HOUR_MS


def test_windows_of_the_futures_records_meet_and_do_not_overlap() -> None:
    trade = new_trade()
    _, *windows = fills(trade, "futures", NOW_MS - 20 * DAY_MS)
    sent = [trade.sign(each, NOW_MS) for each in windows]
    spans = [dict(one.split("=") for one in each.query.split("&")) for each in sent]
    assert len(spans) == 4
    for one, following in pairwise(spans):
        assert int(one["endAt"]) + 1 == int(following["startAt"])
    assert all(int(one["endAt"]) - int(one["startAt"]) < 7 * DAY_MS for one in spans)
    assert int(spans[0]["startAt"]) == NOW_MS - 20 * DAY_MS
    assert int(spans[-1]["endAt"]) > NOW_MS


def test_an_open_end_is_filled_in_with_the_venues_time_and_stays_for_all_its_pages() -> None:
    trade = new_trade()
    (ledger,) = lines(trade, "spot")
    assert "endAt" not in ledger.query
    for _ in range(2):  # a question may have to be sent again
        assert trade.sign(ledger, NOW_MS + 9).query == f"{ledger.query}&endAt={NOW_MS + 9}"
    first = ok(ledger.tag, [{**LINE, "id": str(9000 - n)} for n in range(200)])
    trade.answered(msgspec.structs.replace(first, asked_ms=NOW_MS + 9), AT)
    (further,) = trade.follow_ups()
    assert trade.sign(further, NOW_MS + 500).query == f"{further.query}&endAt={NOW_MS + 9}"
    (end,) = trade.answered(ok(further.tag, []), AT)[-1:]
    assert isinstance(end, StatementTold) and end.until_ms == NOW_MS + 9


def test_a_clock_hours_apart_from_ours_is_no_hindrance() -> None:
    trade = new_trade()
    for ahead in (-7 * HOUR_MS, 7 * HOUR_MS):
        since = NOW_MS + ahead - 1000
        (question,) = fills(trade, "spot", since)
        told = msgspec.structs.replace(ok(question.tag, page()), asked_ms=NOW_MS + ahead)
        (end,) = trade.answered(told, AT)
        assert isinstance(end, FillsTold)
        assert (end.since_ms, end.until_ms) == (since, NOW_MS + ahead)


def test_nothing_is_told_beyond_the_venues_own_clock() -> None:
    trade = new_trade()
    (question,) = lines(trade, "spot")
    page = ok(question.tag, [LINE])
    told = msgspec.structs.replace(page, asked_ms=NOW_MS - 100)  # ours is ahead
    (end,) = trade.answered(told, AT)
    assert isinstance(end, StatementTold) and end.until_ms == NOW_MS - 100


def test_the_documents_example_adds_up() -> None:
    row = LEDGER.decode(msgspec.json.encode(LINE))
    line = statement.spot(row, new_trade()._listed, AT)
    assert line.amount == Decimal("1.5992") - line.fee == Decimal("1.59760080")
    assert (line.kind, line.instrument, line.wallet) == ("trade", SPOT, "spot")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("TRANSFER", "transfer"), ("SUB_TRANSFER", "transfer"), ("WITHDRAW", "transfer"),
        ("RETURNED_FEES", "correction"), ("DEDUCTION_FEES", "fee"), ("OTHER", "other"),
        ("Loans Repaid", "other"),
    ],
)  # fmt: skip
def test_each_business_of_the_spot_ledger_has_its_kind(word: str, kind: str) -> None:
    row = LEDGER.decode(msgspec.json.encode({**LINE, "bizType": word, "direction": "out"}))
    line = statement.spot(row, {}, AT)
    assert (line.kind, line.amount, line.instrument) == (kind, Decimal("-1.59760080"), "")


@pytest.mark.parametrize(
    ("word", "kind"),
    [("TransferIn", "transfer"), ("Transferin", "transfer"), ("Withdrawal", "transfer"),
     ("RealisedPNL", "trade"), ("Airdrop", "other")],
)  # fmt: skip
def test_each_type_of_the_futures_ledger_has_its_kind(word: str, kind: str) -> None:
    row = ENTRY.decode(msgspec.json.encode({**ENTRY_ROW, "type": word}))
    line = statement.futures(row, {}, AT)
    assert line is not None
    assert (line.kind, line.asset, line.amount) == (kind, "BTC", Decimal("-0.000017105"))


def test_a_direction_that_is_none_is_refused() -> None:
    row = LEDGER.decode(msgspec.json.encode({**LINE, "direction": "up"}))
    with pytest.raises(ValueError, match="direction"):
        statement.spot(row, {}, AT)


def test_what_is_remembered_of_orders_is_bounded() -> None:
    kept = records.Records({}, list, lambda name: None)
    for number in range(records._NAMES_MAX + 10):
        kept.name(str(number), "a")
    assert len(kept._names) == records._NAMES_MAX


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from([*FILL, *LINE, *ENTRY_ROW]), value=junk, which=st.integers(0, 2))
def test_damaged_rows_never_raise_and_never_end_a_record(
    name: str, value: Any, which: int
) -> None:
    trade = new_trade()
    forced = {**FILL, "tradeType": "adl"}
    rows: Any = [{**(forced, LINE, ENTRY_ROW)[which], name: value}]
    questions = (fills(trade), lines(trade, "spot"), lines(trade, "futures"))[which]
    data = {"hasMore": False, "dataList": rows} if which == 2 else rows
    told = trade.answered(ok(questions[0].tag, data), AT)
    # A name that is not listed may be one of yesterday; all else that is wrong is damage.
    if any(isinstance(e, FrameRejected) and e.reason != "unlisted" for e in told):
        assert not is_told(told)
    assert all(isinstance(one, StatementLine) for one in told[:-1] if which and is_told(told))

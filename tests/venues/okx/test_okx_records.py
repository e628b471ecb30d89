"""Fills and bills of a stretch of time are told whole or not told to be whole."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from okx_material import AT, SPOT, SWAP, answer, new_trade

from oneprice.model.commands import QueryAccount, QueryFills, QueryStatement
from oneprice.model.events import (
    FillsTold,
    FrameRejected,
    OrderFilled,
    PositionReported,
    StatementLine,
    StatementTold,
)
from oneprice.venues.contract import Answer, Request
from oneprice.venues.okx.trade import OkxTrade

NOW_MS = AT // 1_000_000
DAY_MS = 86_400_000
FILL = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "tradeId": "7", "ordId": "1", "clOrdId": "a",
    "billId": "9", "fillPx": "90000", "fillSz": "1", "side": "buy", "execType": "T",
    "fee": "-0.3", "feeCcy": "USDT", "ts": str(NOW_MS - 5), "fillTime": str(NOW_MS - 6),
}  # fmt: skip
BILL = {
    "billId": "9", "type": "2", "subType": "1", "instType": "SWAP", "instId": "BTC-USDT-SWAP",
    "ccy": "USDT", "balChg": "-0.3", "bal": "99.7", "fee": "-0.3", "pnl": "0", "tradeId": "7",
    "ts": str(NOW_MS - 5),
}  # fmt: skip


def fills(trade: OkxTrade, since_ms: int = NOW_MS - 1000, market: str = "swap") -> list[Request]:
    command = QueryFills(venue="okx", market=market, since_ms=since_ms)
    return list(trade.encode(command, AT))


def statement(trade: OkxTrade, since_ms: int = NOW_MS - 1000, until_ms: int = 0) -> list[Request]:
    command = QueryStatement(venue="okx", market="swap", since_ms=since_ms, until_ms=until_ms)
    return list(trade.encode(command, AT))


def line_of(**changes: Any) -> StatementLine:
    trade = new_trade()
    (question,) = statement(trade)
    told = trade.answered(answer(question.tag, [{**BILL, **changes}]), AT)
    (line,) = (event for event in told if isinstance(event, StatementLine))
    return line


def test_a_page_that_is_full_is_followed_by_the_next_and_the_end_comes_last() -> None:
    trade = new_trade()
    (first,) = fills(trade)
    page = [{**FILL, "billId": str(1000 - n), "tradeId": str(1000 - n)} for n in range(100)]
    assert trade.answered(answer(first.tag, page), AT) == []
    (second,) = trade.follow_ups()
    assert second.query == f"{first.query}&after=901"
    told = trade.answered(answer(second.tag, [{**FILL, "billId": "900", "tradeId": "900"}]), AT)
    assert [fill.fill_id for fill in told[:-1]] == [str(n) for n in range(900, 1001)]
    assert isinstance(told[-1], FillsTold)
    assert trade.follow_ups() == []


def test_pages_end_where_they_are_older_than_what_was_asked_for() -> None:
    trade = new_trade()
    (first,) = fills(trade)
    page = [{**FILL, "billId": str(1000 - n), "ts": str(NOW_MS - 2000)} for n in range(100)]
    assert isinstance(trade.answered(answer(first.tag, page), AT)[-1], FillsTold)


@pytest.mark.parametrize(
    "reply",
    [
        Answer(tag="", status=0, detail="timeout"),
        Answer(tag="", status=500, body=b"<html>"),
        Answer(tag="", status=200, body=b'{"code":"50011","msg":"","data":[]}'),
        Answer(tag="", status=200, body=b'{"code":"0","msg":"","data":{}}'),
    ],
)
def test_after_a_page_that_failed_the_end_is_not_told_but_the_fills_are(reply: Answer) -> None:
    trade = new_trade()
    (first,) = fills(trade)
    page = [{**FILL, "billId": str(1000 - n), "tradeId": str(1000 - n)} for n in range(100)]
    trade.answered(answer(first.tag, page), AT)
    (second,) = trade.follow_ups()
    told = trade.answered(msgspec.structs.replace(reply, tag=second.tag), AT)
    assert sum(isinstance(event, OrderFilled) for event in told) == 100
    assert any(isinstance(event, FrameRejected) for event in told)
    assert not any(isinstance(event, FillsTold) for event in told)


def test_a_row_that_cannot_be_read_hides_no_other_but_the_end() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    rows = [FILL, {**FILL, "instId": "NOBODY-USDT-SWAP"}, {**FILL, "fillSz": "x"}]
    told = trade.answered(answer(question.tag, rows), AT)
    kinds = [type(event) for event in told]
    assert kinds == [FrameRejected, FrameRejected, OrderFilled]
    assert "NOBODY" in told[0].reason


def test_a_fill_of_what_is_not_listed_any_more_is_rejected_but_does_not_stand_in_the_way() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    page = [{**FILL, "billId": str(1000 - n), "instId": "OLD-USDT-SWAP"} for n in range(100)]
    told = trade.answered(answer(question.tag, page), AT)
    assert len(told) == 100 and all("OLD-USDT" in event.reason for event in told)
    (second,) = trade.follow_ups()
    assert second.query.endswith("&after=901")
    told = trade.answered(answer(second.tag, [FILL]), AT)
    assert [type(event) for event in told] == [OrderFilled, FillsTold]


def test_the_same_page_over_and_over_is_not_asked_for_again() -> None:
    trade = new_trade()
    (first,) = fills(trade)
    page = [{**FILL, "tradeId": str(n)} for n in range(100)]
    trade.answered(answer(first.tag, page), AT)
    (second,) = trade.follow_ups()
    told = trade.answered(answer(second.tag, page), AT)
    assert isinstance(told[0], FrameRejected) and not isinstance(told[-1], FillsTold)
    assert trade.follow_ups() == []


def test_an_answer_to_a_question_that_was_asked_anew_says_nothing() -> None:
    trade = new_trade()
    (old,) = fills(trade)
    (new,) = fills(trade)
    assert trade.answered(answer(old.tag, [FILL]), AT) == []
    assert len(trade.answered(answer(new.tag, [FILL]), AT)) == 2


def test_what_is_older_than_three_days_is_asked_of_the_slower_list_up_to_three_months() -> None:
    trade = new_trade()
    assert fills(trade, NOW_MS - 2 * DAY_MS)[0].path == "/api/v5/trade/fills"
    assert fills(trade, NOW_MS - 4 * DAY_MS)[0].path == "/api/v5/trade/fills-history"
    assert statement(trade, NOW_MS - 4 * DAY_MS)[0].path == "/api/v5/account/bills"
    assert statement(trade, NOW_MS - 8 * DAY_MS)[0].path == "/api/v5/account/bills-archive"
    (question,) = fills(trade, 0)
    (end,) = trade.answered(answer(question.tag, []), AT)
    assert end.since_ms == NOW_MS - 89 * DAY_MS


def test_nothing_is_told_beyond_the_venues_own_clock() -> None:
    trade = new_trade()
    (question,) = statement(trade)
    late = {**BILL, "billId": "10", "ts": str(NOW_MS - 50)}
    page = answer(question.tag, [late, {**BILL, "ts": str(NOW_MS - 200)}])
    page = msgspec.structs.replace(page, asked_ms=NOW_MS - 100)  # ours is ahead
    told = trade.answered(page, AT)
    assert [type(event) for event in told] == [StatementLine, StatementTold]
    assert told[-1].until_ms == NOW_MS - 100


def test_spot_on_margin_is_asked_for_fills_of_both_kinds() -> None:
    trade = new_trade(spot_mode="cross")
    one, other = fills(trade, market="spot")
    row = {**FILL, "instType": "MARGIN", "instId": "BTC-USDT"}
    assert trade.answered(answer(one.tag, []), AT) == []
    fill, end = trade.answered(answer(other.tag, [row]), AT)
    assert fill.instrument == SPOT and isinstance(end, FillsTold)


def test_an_instrument_of_a_fill_is_stated_in_the_next_account_check() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    trade.answered(answer(question.tag, [FILL]), AT)
    events: list[Any] = []
    data = {
        "config": [{"acctLv": "2", "posMode": "net_mode"}],
        "balance": [{"details": []}],
        "fees": [{"feeGroup": [{"groupId": "4", "maker": "0", "taker": "0"}]}],
    }
    for request in trade.encode(QueryAccount(venue="okx", market="swap"), AT):
        what = request.tag.split(":")[2]
        events += trade.answered(answer(request.tag, data.get(what, [])), AT)
    assert PositionReported(at=AT, instrument=SWAP, lots=0) in events  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("type_", "sub_type", "trade_id", "kind"),
    [
        ("1", "11", "", "transfer"), ("1", "12", "", "transfer"), ("1", "200", "", "other"),
        ("2", "1", "5", "trade"), ("3", "112", "5", "trade"), ("3", "117", "", "delivery"),
        ("5", "104", "", "trade"), ("5", "110", "", "liquidation"), ("7", "9", "", "interest"),
        ("8", "173", "", "funding"), ("9", "126", "", "trade"), ("10", "108", "", "liquidation"),
        ("4", "", "", "other"), ("999", "", "", "other"),
    ],
)  # fmt: skip
def test_each_type_of_bill_has_its_kind(
    type_: str, sub_type: str, trade_id: str, kind: str
) -> None:
    line = line_of(type=type_, subType=sub_type, tradeId=trade_id)
    assert (line.kind, line.text) == (kind, f"{type_}/{sub_type}")


def test_a_rebate_is_a_fee_below_zero_and_a_transfer_names_no_instrument() -> None:
    assert line_of(fee="0.02", balChg="0.02").fee == Decimal("-0.02")
    line = line_of(type="1", subType="11", instType="", instId="", fee="", bal="")
    assert (line.instrument, line.fee, line.balance) == ("", 0, None)


def test_a_market_the_venue_has_not_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="option"):
        fills(new_trade(), market="option")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from([*FILL, *BILL]),
    value=junk,
    asked=st.sampled_from([fills, statement]),
)
@example(name="instId", value="", asked=fills)
def test_damaged_rows_never_raise_and_never_end_a_record(
    name: str, value: Any, asked: Any
) -> None:
    trade = new_trade()
    (question,) = asked(trade)
    row = {**(FILL if asked is fills else BILL), name: value}
    told = trade.answered(answer(question.tag, [row]), AT)
    # A name that is not listed may be one of yesterday; all else that is wrong is damage.
    lost = [one.reason for one in told if isinstance(one, FrameRejected)]
    if any("is not an instrument okx has listed" not in reason for reason in lost):
        assert not any(isinstance(event, FillsTold | StatementTold) for event in told)

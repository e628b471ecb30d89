"""Executions and wallet rows of a stretch of time are told whole or not told to be whole."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from bitmex_material import AT, XBTUSD, dialect
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.model.commands import QueryFills, QueryStatement
from oneprice.model.events import (
    FillsTold,
    FrameRejected,
    FundingBooked,
    InstrumentListed,
    OrderFilled,
    StatementLine,
    StatementTold,
)
from oneprice.venues.bitmex import records
from oneprice.venues.bitmex.trade import BitmexTrade
from oneprice.venues.bitmex.wire import iso
from oneprice.venues.contract import Answer, Output, Request

NOW_MS = AT // 1_000_000
DONE = {
    "execID": "e-1", "orderID": "o-1", "clOrdID": "arb-1", "symbol": "XBTUSD", "side": "Buy",
    "lastQty": 400, "lastPx": 64000, "lastLiquidityInd": "RemovedLiquidity",
    "execType": "Trade", "execCost": -625000, "execComm": 469, "realisedPnl": -120,
    "settlCurrency": "XBt", "transactTime": iso(NOW_MS - 5), "timestamp": iso(NOW_MS - 5),
}  # fmt: skip
MOVED = {
    "transactID": "t-1", "account": 1, "currency": "XBt", "transactType": "Withdrawal",
    "amount": -100100000, "fee": 100000, "transactStatus": "Completed", "address": "x",
    "tx": "", "text": "", "transactTime": iso(NOW_MS - 900), "walletBalance": 99900000,
    "marginBalance": None, "timestamp": iso(NOW_MS - 4),
}  # fmt: skip


def new_trade() -> BitmexTrade:
    _, trade = dialect()
    assert isinstance(trade, BitmexTrade)
    return trade


def fills(trade: BitmexTrade, since_ms: int = NOW_MS - 1000) -> list[Request]:
    command = QueryFills(venue="bitmex", market="derivatives", since_ms=since_ms)
    return list(trade.encode(command, AT))


def lines(trade: BitmexTrade, since_ms: int = NOW_MS - 1000) -> list[Request]:
    command = QueryStatement(venue="bitmex", market="derivatives", since_ms=since_ms)
    return list(trade.encode(command, AT))


def ok(question: Request, *rows: Any) -> Answer:
    return Answer(tag=question.tag, status=200, body=msgspec.json.encode(rows))


def told_lines(done: Sequence[Any] = (), moved: Sequence[Any] = ()) -> list[StatementLine]:
    """Of these rows; the end is among them."""
    trade = new_trade()
    executions, wallet = lines(trade)
    assert list(trade.answered(ok(executions, *done), AT)) == []
    *found, end = trade.answered(ok(wallet, *moved), AT)
    assert isinstance(end, StatementTold), found
    assert all(isinstance(one, StatementLine | FundingBooked) for one in found)
    return [one for one in found if isinstance(one, StatementLine)]


def is_told(outputs: Sequence[Output]) -> bool:
    return any(isinstance(event, FillsTold | StatementTold) for event in outputs)


def test_pages_go_on_by_start_until_one_is_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_PAGE_ROWS", 2)
    trade = new_trade()
    (first,) = fills(trade)
    rows = [{**DONE, "execID": f"e-{n}"} for n in range(5)]
    trade.answered(ok(first, *rows[:2]), AT)
    (second,) = trade.follow_ups()
    assert second.query == f"{first.query}&start=2"
    trade.answered(ok(second, *rows[2:4]), AT)
    (third,) = trade.follow_ups()
    assert third.query == f"{first.query}&start=4"
    told = trade.answered(ok(third, rows[4]), AT)
    assert [one.fill_id for one in told if isinstance(one, OrderFilled)] == [
        f"e-{n}" for n in range(5)
    ]
    assert is_told(told)


def test_a_fill_of_what_is_not_listed_any_more_is_rejected_but_does_not_stand_in_the_way() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    told = trade.answered(ok(question, {**DONE, "symbol": "XBTM15"}, DONE), AT)
    assert [type(event) for event in told] == [FrameRejected, OrderFilled, FillsTold]
    assert isinstance(told[0], FrameRejected) and told[0].reason == "unlisted"


def test_notes_and_funding_are_no_fills() -> None:
    trade = new_trade()
    (question,) = fills(trade)
    note = {**DONE, "execType": "Liquidation", "lastQty": 0, "lastPx": None}
    paid = {**DONE, "execType": "Funding"}
    forced = {**DONE, "execType": "Settlement", "execID": "e-9", "lastPx": 63999.77}
    told = trade.answered(ok(question, note, paid, forced), AT)
    assert [type(one) for one in told] == [OrderFilled, FillsTold]
    assert not any(isinstance(one, FundingBooked) for one in told)
    assert isinstance(told[0], OrderFilled)
    assert (told[0].cause, told[0].order_id, told[0].instrument) == ("delivery", "", XBTUSD)


@pytest.mark.parametrize(
    "reply",
    [
        Answer(tag="", status=0, detail="timeout"),
        Answer(tag="", status=500, body=b"<html>"),
        Answer(tag="", status=429, body=b'{"error":{"message":"Rate limit exceeded"}}'),
        Answer(tag="", status=200, body=b'{"no":"rows"}'),
    ],
)
@pytest.mark.parametrize("ask", [fills, lines])
def test_after_a_page_that_failed_the_end_is_not_told(reply: Answer, ask: Any) -> None:
    trade = new_trade()
    failing, *others = ask(trade)
    told = list(trade.answered(msgspec.structs.replace(reply, tag=failing.tag), AT))
    for other in others:
        told += trade.answered(ok(other, MOVED), AT)
    assert any(isinstance(event, FrameRejected) for event in told)
    assert not is_told(told)


def test_an_execution_moves_the_wallet_by_its_profit_less_its_commission() -> None:
    (line,) = told_lines([DONE])
    assert (line.amount, line.fee) == (Decimal("-0.00000589"), Decimal("0.00000469"))
    assert (line.kind, line.record_id) == ("trade", "e-1")
    assert (line.wallet, line.asset) == ("margin", "BTC")


def test_a_rebate_is_a_fee_below_zero() -> None:
    (line,) = told_lines([{**DONE, "execComm": -100, "realisedPnl": 0}])
    assert (line.amount, line.fee) == (Decimal("0.00000100"), Decimal("-0.00000100"))


def test_funding_is_no_fee_and_needs_no_profit() -> None:
    row = {**DONE, "execType": "Funding", "execComm": 62}
    del row["realisedPnl"]
    (line,) = told_lines([row])
    assert (line.kind, line.amount, line.fee) == ("funding", Decimal("-0.00000062"), 0)


def test_what_a_forced_closing_moves_without_a_size_is_a_cost_of_its_own() -> None:
    row = {**DONE, "execType": "Bankruptcy", "lastQty": 0, "lastPx": None}
    given_, none = {**row, "execComm": -500}, {**row, "execID": "e-2", "execComm": 0}
    (line,) = told_lines([given_, none])
    assert (line.kind, line.amount, line.fee) == ("liquidation", Decimal("0.00000500"), 0)


def test_an_execution_without_its_profit_is_refused_and_the_end_is_not_told() -> None:
    trade = new_trade()
    executions, wallet = lines(trade)
    row = dict(DONE)
    del row["realisedPnl"]
    (rejected,) = trade.answered(ok(executions, row), AT)
    assert isinstance(rejected, FrameRejected) and "realisedPnl" in rejected.excerpt
    assert not is_told(trade.answered(ok(wallet), AT))


def test_the_wallets_own_sums_of_profit_and_what_is_not_completed_are_no_lines() -> None:
    rows = [
        {**MOVED, "transactType": "RealisedPNL", "transactID": "t-2"},
        {**MOVED, "transactType": "UnrealisedPNL", "transactStatus": "Pending", "timestamp": None},
        {**MOVED, "transactStatus": "Canceled"},
        {**MOVED, "currency": "BMEx"},
        {**MOVED, "timestamp": iso(NOW_MS - 5000)},
        MOVED,
    ]
    (line,) = told_lines(moved=rows)
    assert (line.kind, line.record_id, line.venue_ms) == ("transfer", "t-1", NOW_MS - 4)
    assert (line.amount, line.fee) == (Decimal("-1.00100000"), Decimal("0.00100000"))


@pytest.mark.parametrize(
    ("word", "text", "kind"),
    [
        ("Deposit", "", "transfer"), ("Transfer", "", "transfer"),
        ("Transfer", "Signup bonus", "correction"), ("AffiliatePayout", "", "correction"),
        ("SpotTrade", "", "other"), ("Conversion", "", "other"),
    ],
)  # fmt: skip
def test_each_word_of_the_wallet_has_its_kind(word: str, text: str, kind: str) -> None:
    (line,) = told_lines(moved=[{**MOVED, "transactType": word, "text": text}])
    assert (line.kind, line.text) == (kind, word)


def test_nothing_is_told_beyond_the_venues_own_clock() -> None:
    trade = new_trade()
    executions, wallet = lines(trade)
    asked_ms = NOW_MS - 100  # ours is ahead
    trade.answered(msgspec.structs.replace(ok(executions, DONE), asked_ms=asked_ms), AT)
    (end,) = trade.answered(msgspec.structs.replace(ok(wallet, MOVED), asked_ms=asked_ms), AT)
    assert isinstance(end, StatementTold) and end.until_ms == NOW_MS - 100


def test_a_market_that_is_not_ours_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="spot"):
        new_trade().encode(QueryFills(venue="bitmex", market="spot", since_ms=0), AT)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from([*DONE, *MOVED]), value=junk, ask=st.sampled_from([fills, lines]))
def test_damaged_rows_never_raise_and_never_end_a_record(name: str, value: Any, ask: Any) -> None:
    trade = new_trade()
    first, *others = ask(trade)
    told = list(trade.answered(ok(first, {**DONE, name: value}), AT))
    for other in others:
        told += trade.answered(ok(other, {**MOVED, name: value}), AT)
    # A name that is not listed may be one of yesterday; all else that is wrong is damage.
    if any(isinstance(e, FrameRejected) and e.reason != "unlisted" for e in told):
        assert not is_told(told)


def test_an_end_that_is_announced_in_the_middle_of_the_day_is_told() -> None:
    feed, _ = dialect()
    row = {"symbol": "XBTUSD", "expiry": "2026-12-25T12:00:00.000Z"}
    frame = {"table": "instrument", "action": "update", "data": [row]}
    (listed,) = feed.decode("public", msgspec.json.encode(frame), AT)
    assert isinstance(listed, InstrumentListed)
    assert listed.instrument.delisting == 1_798_200_000_000_000_000
    assert (listed.instrument.expiry, listed.instrument.tradable) == (0, True)
    assert list(feed.decode("public", msgspec.json.encode(frame), AT)) == []

"""The account is told in full or not at all, and positions with several parts are told as one."""

from decimal import Decimal
from typing import Any

import pytest
from okx_material import AT, ETHER, ETHER_ROW, SWAP, answer, new_trade, place, push

from oneprice.model.commands import QueryAccount
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    FeesReported,
    FrameRejected,
    FundingBooked,
    LeverageReported,
    OpenOrderReported,
    OrderAccepted,
    OrderFilled,
    OrderUncertain,
    PositionReported,
)
from oneprice.venues.contract import Ack, Limit, Request
from oneprice.venues.okx.trade import OkxTrade


def position(size: str, side: str = "net", **changes: Any) -> dict[str, Any]:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": side,
        "pos": size, "avgPx": "90000" if size != "0" else "", **changes,
    }  # fmt: skip


def lots_and_entry(outputs: Any) -> list[tuple[int, Decimal]]:
    assert all(isinstance(event, PositionReported) for event in outputs)
    return [(event.lots, event.entry) for event in outputs]


def test_two_sides_of_a_position_are_told_as_the_net_of_both() -> None:
    trade = new_trade()
    frame = push("positions", position("3", "long"), position("1", "short", avgPx="91000"))
    outputs = trade.decode("private", frame, AT)
    assert lots_and_entry(outputs) == [(300, Decimal(90000)), (200, Decimal(0))]
    outputs = trade.decode("private", push("positions", position("0", "long")), AT)
    assert lots_and_entry(outputs) == [(-100, Decimal(91000))]


def test_a_position_that_the_next_snapshot_leaves_out_is_closed() -> None:
    trade = new_trade()
    trade.decode("private", push("positions", position("3"), eventType="snapshot"), AT)
    other = position("1", instId="ETH-USDT-SWAP")
    first = push("positions", other, eventType="snapshot", curPage=1, lastPage=False)
    assert lots_and_entry(trade.decode("private", first, AT)) == [(100, Decimal(90000))]
    last = push("positions", eventType="snapshot", curPage=2, lastPage=True)
    (closed,) = trade.decode("private", last, AT)
    assert closed == PositionReported(at=AT, instrument=SWAP, lots=0)  # type: ignore[arg-type]
    assert trade.decode("private", push("positions", eventType="event_update"), AT) == []


def test_a_snapshot_with_a_row_that_cannot_be_read_closes_nothing() -> None:
    trade = new_trade()
    trade.decode("private", push("positions", position("3"), eventType="snapshot"), AT)
    broken = push("positions", position("x"), eventType="snapshot")
    (told,) = trade.decode("private", broken, AT)
    assert isinstance(told, FrameRejected)
    assert "pos" in told.reason


@pytest.mark.parametrize("row", [position("1", "sideways"), position("1", instId="NO-SWAP")])
def test_a_position_that_is_not_understood_is_told_as_such(row: dict[str, Any]) -> None:
    (told,) = new_trade().decode("private", push("positions", row), AT)
    assert isinstance(told, FrameRejected)


def test_options_and_margin_loans_are_no_instruments_of_ours() -> None:
    trade = new_trade()
    row = position("1", instType="OPTION", instId="BTC-USD-260626-90000-C")
    assert trade.decode("private", push("positions", row), AT) == []
    order = {"instType": "OPTION", "instId": "X", "ordId": "1", "state": "live", "side": "buy"}
    assert trade.decode("private", push("orders", {**order, "sz": "1"}), AT) == []


def test_debt_beside_borrowed_cash_is_taken_off_and_cash_below_zero_is_the_debt() -> None:
    details = [
        {"ccy": "USDT", "cashBal": "10", "availBal": "8", "liab": "4"},
        {"ccy": "BTC", "cashBal": "-0.5", "availBal": "0", "liab": "0.5"},
        {"ccy": "ETH", "cashBal": "1e-7", "availBal": "", "liab": ""},
    ]
    outputs = new_trade().decode("private", push("account", {"details": details}), AT)
    totals = {event.asset: event.total for event in outputs}  # type: ignore[union-attr]
    assert totals == {"USDT": Decimal(6), "BTC": Decimal("-0.5"), "ETH": Decimal("0.0000001")}


def order(**changes: Any) -> dict[str, Any]:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "ordId": "1", "clOrdId": "a",
        "px": "90000", "sz": "1", "side": "buy", "state": "live", **changes,
    }  # fmt: skip


def test_a_state_that_we_do_not_know_is_asked_about() -> None:
    (event,) = new_trade().decode("private", push("orders", order(state="effective")), AT)
    assert isinstance(event, OrderUncertain)


def test_a_spot_order_on_margin_is_one_of_the_spot_instrument() -> None:
    row = order(
        instType="MARGIN", instId="BTC-USDT", state="partially_filled", tradeId="7",
        fillSz="0.5", fillPx="90000", fillFee="-1", fillFeeCcy="USDT", accFillSz="0.5",
    )  # fmt: skip
    (fill,) = new_trade().decode("private", push("orders", row), AT)
    assert isinstance(fill, OrderFilled)
    assert (fill.instrument, fill.fee) == ("okx:spot:BTC-USDT", Decimal(1))


def test_a_perpetual_that_the_venue_lists_as_a_future_is_known_by_its_kind() -> None:
    row = {**ETHER_ROW, "instType": "FUTURES", "instId": "ETH-USDT-XPERP", "ruleType": "xperp"}
    trade = new_trade(row)
    frame = push("orders", order(instType="FUTURES", instId="ETH-USDT-XPERP"))
    (event,) = trade.decode("private", frame, AT)
    assert isinstance(event, OrderAccepted)


# The whole account -------------------------------------------------------------------------

CONFIG = {"acctLv": "2", "posMode": "net_mode", "perm": "trade", "ip": ""}
COIN = {"ccy": "USDT", "cashBal": "10", "availBal": "10"}
FEES = {"feeGroup": [{"groupId": "4", "maker": "-0.0002", "taker": "-0.0005"}]}


def bill(number: int, kind: str = "8") -> dict[str, str]:
    return {
        "billId": str(number), "type": kind, "instType": "SWAP", "instId": "BTC-USDT-SWAP",
        "ccy": "USDT", "balChg": "0" if number % 2 else "-1", "pnl": "-2", "ts": "1790000001000",
    }  # fmt: skip


def told_all(trade: OkxTrade, requests: list[Request], **data: Any) -> list[Any]:
    """Answers every question, and the questions that come of it, from `data` by name."""
    out: list[Any] = []
    waiting = list(requests)
    while waiting:
        request = waiting.pop(0)
        what = request.tag.split(":")[2]
        page = data.get(what, [])
        if isinstance(page, dict):
            page = page[request.query.partition("&after=")[2]]
        out += trade.answered(answer(request.tag, page), AT)
        waiting += trade.follow_ups()
    return out


def ask(trade: OkxTrade, market: str = "swap") -> list[Request]:
    return list(trade.encode(QueryAccount(venue="okx", market=market), AT))


@pytest.mark.parametrize(("wanted", "told"), [((SWAP,), 1), ((), 2)])
def test_fees_of_several_groups_are_told_of_what_is_wanted_alone(
    wanted: tuple[str, ...], told: int
) -> None:
    """Hundreds are listed, and it is asked every minute."""
    trade = new_trade(wanted=wanted)
    groups = [*FEES["feeGroup"], {"groupId": "9", "maker": "-0.1", "taker": "-0.1"}]
    data = {"config": [CONFIG], "balance": [{"details": [COIN]}], "fees": [{"feeGroup": groups}]}
    out = told_all(trade, ask(trade), **data)
    symbols = [event.symbol for event in out if isinstance(event, FeesReported)]
    assert len(symbols) == told and "BTC-USDT-SWAP" in symbols


def test_an_account_is_checked_when_every_page_is_in_and_flat_things_are_told() -> None:
    trade = new_trade(wanted=(SWAP, "okx:spot:BTC-USDT"))
    trade.decode("private", push("positions", position("3")), AT)
    trade.decode("private", push("account", {"details": [{"ccy": "OKB", "cashBal": "3"}]}), AT)
    trade.encode(place("p", ETHER), AT)
    bills = {
        "": [bill(number) for number in range(200, 100, -1)],
        "101": [bill(100), bill(99, kind="2")],
    }
    lever = [{"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": "net", "lever": "7"}]
    data = {"config": [CONFIG], "balance": [{"details": [COIN]}], "fees": [FEES]}
    out = told_all(trade, ask(trade), bills=bills, **data, **{"leverage.BTC-USDT-SWAP": lever})
    assert out[-1] == AccountChecked(at=AT, venue="okx", market="swap")
    paid = [event for event in out if isinstance(event, FundingBooked)]
    assert len(paid) == 101
    # Isolated positions pay from their own margin: the balance is as it was.
    assert [event.amount for event in paid[:2]] == [Decimal(-1), Decimal(-2)]
    flat = [event for event in out if isinstance(event, PositionReported)]
    assert {(event.instrument, event.lots) for event in flat} == {(SWAP, 0), (ETHER, 0)}
    coins = {e.asset: e.total for e in out if isinstance(e, BalanceReported)}
    assert coins == {"USDT": 10, "OKB": 0}
    (fees,) = [event for event in out if isinstance(event, FeesReported)]
    assert (fees.symbol, fees.maker, fees.taker) == ("", Decimal("0.0002"), Decimal("0.0005"))
    (leverage,) = [event for event in out if isinstance(event, LeverageReported)]
    assert (leverage.leverage, leverage.margin) == (7, "cross")
    # The second time the walk ends at what was told already.
    again = told_all(trade, ask(trade), bills={"": bills[""]}, **data)
    assert again[-1] == AccountChecked(at=AT, venue="okx", market="swap")


def test_one_question_unanswered_and_nobody_may_rely_on_the_check() -> None:
    trade = new_trade()
    questions = ask(trade)
    bad = next(request for request in questions if ":positions:" in request.tag)
    rest = [request for request in questions if request is not bad]
    data = {"config": [CONFIG], "balance": [{"details": [COIN]}], "fees": [FEES]}
    told_all(trade, rest, **data)
    (told,) = trade.answered(answer(bad.tag, [], "50001", 503), AT)
    assert isinstance(told, FrameRejected)
    # One row unread is as bad as a page that never came.
    out = told_all(trade, ask(trade), positions=[position("x")], **data)
    assert [type(e) for e in out if isinstance(e, FrameRejected | AccountChecked)] == [
        FrameRejected
    ]


def test_spot_asks_for_nothing_that_spot_does_not_have() -> None:
    trade = new_trade()
    tags = [request.tag.split(":")[2] for request in ask(trade, "spot")]
    assert tags == ["config", "balance", "orders", "fees"]
    with pytest.raises(ValueError, match="market"):
        ask(trade, "options")


def test_open_orders_of_spot_on_margin_are_told_and_those_of_other_markets_are_not() -> None:
    trade = new_trade(spot_mode="cross")
    (pending,) = [request for request in ask(trade, "spot") if ":orders:" in request.tag]
    assert pending.query == "limit=100"
    rows = [order(instType="MARGIN", instId="BTC-USDT"), order()]
    (told,) = trade.answered(answer(pending.tag, rows), AT)
    assert isinstance(told, OpenOrderReported)
    assert told.instrument == "okx:spot:BTC-USDT"


def test_a_mode_that_we_do_not_know_is_told_and_not_taken_for_another() -> None:
    trade = new_trade()
    (told,) = trade.answered(answer("key:config", [{**CONFIG, "posMode": "odd"}]), AT)
    assert isinstance(told, FrameRejected)
    assert "posMode" in told.reason
    (told,) = trade.answered(answer("mode:swap", [{}]), AT)
    assert isinstance(told, FrameRejected)
    assert trade.answered(answer("key:rate", [{"accRateLimit": ""}]), AT) == []
    (ack,) = trade.answered(answer("key:rate", [{"accRateLimit": "2000"}]), AT)
    assert isinstance(ack, Ack)
    assert ack.limit == Limit(bucket="account_orders", count=2_000, per_ms=2_000)

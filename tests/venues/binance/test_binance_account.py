"""Inquiries, the account, the sockets of a user, and recorded private frames."""

import json
from decimal import Decimal
from typing import Any

import pytest
from binance_desk import (
    AT,
    FULL,
    KEYS,
    NOW_MS,
    REPORT,
    error,
    kinds,
    params,
    place,
    reported,
    trade,
)
from binance_material import DATA, SPOT, USDM, instrument, needs_data
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.model.commands import (
    QueryAccount,
    QueryOrder,
)
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    FeesReported,
    FrameRejected,
    FundingBooked,
    OpenOrderReported,
    OrderEnded,
    OrderFilled,
    OrderMissing,
    OrderUncertain,
    PositionReported,
)
from oneprice.venues.binance import BinanceSettings, BinanceTrade
from oneprice.venues.contract import Ack, Answer

# Inquiries -------------------------------------------------------------------------------


def asked(first: str, *, state: Any, trades: Any) -> Any:
    side = trade()
    query, fills = side.encode(QueryOrder(order_id="arb-0001", instrument=SPOT.id), AT)
    answers = [
        Answer(tag=query.tag, status=200, body=json.dumps(state).encode()),
        Answer(tag=fills.tag, status=200, body=json.dumps(trades).encode()),
    ]
    if first == "fills":
        answers.reverse()
    assert not side.answered(answers[0], AT)
    return side.answered(answers[1], AT)


STATE = {
    "symbol": "BTCUSDT", "orderId": 5, "clientOrderId": "arb-0001", "status": "CANCELED",
    "executedQty": "0.00400000", "origQty": "0.01", "price": "59990", "side": "BUY",
}  # fmt: skip
OWN = {
    "symbol": "BTCUSDT", "id": 991001, "orderId": 5, "price": "59990.00", "qty": "0.00400000",
    "commission": "0.000004", "commissionAsset": "BTC", "time": 1, "isBuyer": True,
    "isMaker": True,
}  # fmt: skip


@pytest.mark.parametrize("first", ["query", "fills"])
def test_an_inquiry_tells_the_fills_and_then_the_end(first: str) -> None:
    fill, ended = asked(first, state=STATE, trades=[OWN, {**OWN, "id": 3, "orderId": 4}])
    assert isinstance(fill, OrderFilled) and fill.maker and fill.fill_id == "spot:BTCUSDT:991001"
    assert isinstance(ended, OrderEnded) and ended.filled_lots == 400


def test_an_inquiry_that_lacks_fills_leaves_the_order_uncertain() -> None:
    (event,) = asked("fills", state=STATE, trades=[])
    assert isinstance(event, OrderUncertain) and event.reason == "fills incomplete"


def test_an_order_that_the_venue_does_not_know_is_missing_once() -> None:
    side = trade()
    query, fills = side.encode(QueryOrder(order_id="arb-0001", instrument=SPOT.id), AT)
    body = error(-2013, "Order does not exist.")
    (event,) = side.answered(Answer(tag=query.tag, status=400, body=body), AT)
    assert event == OrderMissing(at=AT, order_id="arb-0001")
    assert not side.answered(Answer(tag=fills.tag, status=200, body=b"[]"), AT)


def test_an_inquiry_without_answer_is_uncertain() -> None:
    side = trade()
    query, _ = side.encode(QueryOrder(order_id="arb-0001", instrument=SPOT.id), AT)
    assert kinds(side.answered(Answer(tag=query.tag, status=0), AT)) == ["OrderUncertain"]


def test_a_known_venue_id_makes_the_question_for_fills_exact() -> None:
    side = trade()
    reported(side, x="NEW", X="NEW", t=-1)
    _, fills = side.encode(QueryOrder(order_id="arb-0001", instrument=SPOT.id), AT)
    assert params(fills)["orderId"] == "28457001" and fills.cost == (("spot_weight", 5),)


# The account -----------------------------------------------------------------------------

PARTS = {
    "open": [
        {
            **STATE,
            "status": "NEW",
            "price": "60000.0",
            "origQty": "0.010",
            "executedQty": "0",
            "side": "SELL",
        }
    ],
    "balances": [{"asset": "USDT", "balance": "5012.39", "availableBalance": "4813.35"}],
    "positions": [],
    "mode": {"dualSidePosition": False},
    "config:BTCUSDT": [{"symbol": "BTCUSDT", "leverage": 3, "marginType": "ISOLATED"}],
    "fee:BTCUSDT": {
        "symbol": "BTCUSDT",
        "makerCommissionRate": "0.0002",
        "takerCommissionRate": "0.0005",
    },
}
INCOME = [
    {
        "symbol": "BTCUSDT",
        "incomeType": "FUNDING_FEE",
        "income": "-0.02088100",
        "asset": "USDT",
        "info": "FUNDING_FEE",
        "time": 1790006400000,
        "tranId": 9689322392,
        "tradeId": "",
    }
]


def test_an_account_is_checked_when_every_part_has_answered() -> None:
    side = trade(BinanceSettings(wanted=(USDM.id,)))
    events: list[Any] = []
    for request in side.encode(QueryAccount(venue="binance", market="usdm"), AT):
        assert not [each for each in events if isinstance(each, AccountChecked)]
        part = request.tag.split(":", 3)[-1]
        body = json.dumps(PARTS.get(part, INCOME)).encode()
        events += side.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert kinds(events) == [
        "OpenOrderReported",
        "BalanceReported",
        "PositionReported",
        "PositionModeReported",
        "FeesReported",
        "LeverageReported",
        "FundingBooked",
        "AccountChecked",
    ]
    order, balance, flat, mode, fees, leverage, funding, _ = events
    assert (mode.market, mode.mode, mode.symbol) == ("usdm", "one_way", "")
    assert (leverage.instrument, leverage.leverage, leverage.margin) == (USDM.id, 3, "isolated")
    assert isinstance(order, OpenOrderReported) and order.lots == 10
    assert isinstance(balance, BalanceReported) and balance.total == Decimal("5012.39")
    assert isinstance(flat, PositionReported) and flat.lots == 0
    assert isinstance(fees, FeesReported) and fees.taker == Decimal("0.0005")
    assert isinstance(funding, FundingBooked) and funding.amount == Decimal("-0.02088100")


@pytest.mark.parametrize(
    "body", [b'[{"symbol":"BTCUSDT","positionAmt":"1","positionSide":"LONG"}]', b"{", b""]
)
def test_a_part_that_cannot_be_trusted_leaves_the_account_unchecked(body: bytes) -> None:
    side = trade(BinanceSettings(wanted=(USDM.id,)))
    requests = side.encode(QueryAccount(venue="binance", market="usdm"), AT)
    events: list[Any] = []
    for request in requests:
        part = request.tag.split(":", 3)[-1]
        good = json.dumps(PARTS.get(part, INCOME)).encode()
        said = body if part == "positions" else good
        events += side.answered(Answer(tag=request.tag, status=200, body=said), AT)
    assert any(isinstance(each, FrameRejected) for each in events)
    assert not any(isinstance(each, AccountChecked) for each in events)


def test_spot_fees_add_all_parts_and_trust_no_discount() -> None:
    side = trade(BinanceSettings(wanted=(SPOT.id,)))
    requests = side.encode(QueryAccount(venue="binance", market="spot"), AT)
    rates = {"maker": "0.001", "taker": "0.001", "buyer": "0", "seller": "0.0002"}
    body = {"symbol": "BTCUSDT", "standardCommission": rates, "taxCommission": rates}
    tag = next(each.tag for each in requests if ":fee:" in each.tag)
    (fees,) = side.answered(Answer(tag=tag, status=200, body=json.dumps(body).encode()), AT)
    assert isinstance(fees, FeesReported) and fees.taker == Decimal("0.0024")


def test_settled_funding_is_booked_from_income_alone() -> None:
    side = trade()
    update = {"m": "FUNDING_FEE", "B": [{"a": "USDT", "wb": "1", "cw": "1", "bc": "-0.02"}]}
    frame = {"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": {**update, "P": []}}
    assert side.decode("usdm_user", json.dumps(frame).encode(), AT) == []
    every_ms, request = side.keep_alive()[1]
    signed = side.sign(request, NOW_MS)
    assert every_ms == 60_000 and params(signed)["startTime"] == str(NOW_MS - 48 * 3_600_000)
    body = json.dumps(INCOME).encode()
    (event,) = side.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert isinstance(event, FundingBooked) and event.record_id == "9689322392"


# Sockets ---------------------------------------------------------------------------------


def test_a_spot_user_socket_logs_in_by_subscription() -> None:
    (request,) = trade().login("spot_user")
    assert json.loads(request.body)["method"] == "userDataStream.subscribe.signature"
    frame = b'{"id":"login","status":200,"result":{"subscriptionId":0}}'
    (ack,) = trade().decode("spot_user", frame, AT)
    assert ack == Ack(socket="spot_user", kind="login")
    assert trade().login("spot_orders") == () == trade().login("usdm_orders")


def test_a_listen_key_is_handed_over_and_its_end_closes_the_socket() -> None:
    side = trade()
    (ack,) = side.answered(Answer(tag="key:usdm", status=200, body=b'{"listenKey":"pq"}'), AT)
    assert ack == Ack(socket="usdm_user", kind="key", text="pq")
    (closing,) = side.decode("usdm_user", b'{"e":"listenKeyExpired","E":1,"listenKey":"x"}', AT)
    assert isinstance(closing, Ack) and closing.kind == "closing"
    gone = Answer(tag="keepalive:usdm", status=400, body=error(-1125, "not exist"))
    (closing,) = side.answered(gone, AT)
    assert isinstance(closing, Ack) and closing.kind == "closing"


def test_a_faster_report_without_commission_waits_for_the_full_one() -> None:
    frame = b'{"e":"TRADE_LITE","E":1,"s":"BTCUSDT","c":"a","S":"SELL","l":"1","t":5,"i":1}'
    assert trade().decode("usdm_user", frame, AT) == ()


@needs_data
@pytest.mark.parametrize(
    ("name", "socket"),
    [
        ("executionReport", "spot_user"),
        ("outboundAccountPosition", "spot_user"),
        ("ORDER_TRADE_UPDATE", "usdm_user"),
        ("ACCOUNT_UPDATE", "usdm_user"),
    ],
)
def test_recorded_private_frames_are_read_without_loss(name: str, socket: str) -> None:
    lines = (DATA / f"private_streams/{name}.log").read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    executions = [row["o"] if isinstance(row.get("o"), dict) else row for row in rows]
    symbols = {row["s"] for row in executions if "s" in row}
    symbols |= {each["s"] for row in rows for each in row.get("a", {}).get("P", [])}
    market = socket.removesuffix("_user")
    items = [instrument(market, each, "0.0000001", "0.00000001") for each in sorted(symbols)]
    side = BinanceTrade(KEYS, {item.id: item for item in items})
    events = [event for line in lines for event in side.decode(socket, line, AT)]
    assert not [each for each in events if isinstance(each, FrameRejected | OrderUncertain)]
    fills = [each for each in events if isinstance(each, OrderFilled)]
    traded = [row for row in executions if row.get("x") == "TRADE"]
    assert len(fills) == len(traded)
    assert [fill.fee for fill in fills] == [Decimal(row["n"]) for row in traded]
    if name == "outboundAccountPosition":
        assert len(events) == sum(len(row["B"]) for row in rows)


PRIVATE = [
    ("spot_user", json.dumps({"subscriptionId": 0, "event": REPORT}).encode()),
    ("usdm_user", json.dumps({"e": "ORDER_TRADE_UPDATE", "o": REPORT}).encode()),
    ("usdm_user", json.dumps({"e": "ACCOUNT_UPDATE", "a": {"m": "ORDER", "B": [
        {"a": "USDT", "wb": "1"}], "P": [{"s": "BTCUSDT", "pa": "-1"}]}}).encode()),
    ("spot_orders", b'{"id":"o-1","status":200,"result":' + FULL + b"}"),
    ("usdm_orders", b'{"id":"o-1","status":418,"error":{"code":-1003,"msg":"banned until '
                    b'1790000300000","data":{"serverTime":1,"retryAfter":1790000300000}}}'),
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    sample=st.sampled_from(PRIVATE),
    cuts=st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=6)), max_size=5),
)
def test_no_mutation_of_a_private_frame_makes_decode_raise(
    sample: tuple[str, bytes], cuts: list[tuple[int, bytes]]
) -> None:
    socket, frame = sample
    side = trade()
    (request,) = side.encode(place(), AT)
    for place_at, piece in cuts:
        cut = place_at % (len(frame) + 1)
        frame = frame[:cut] + piece + frame[cut + len(piece) :]
    side.decode(socket, frame, AT)
    side.answered(Answer(tag=request.tag, status=200, body=frame), AT)

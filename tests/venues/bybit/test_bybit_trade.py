"""The private side where the written conversations do not reach."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.model.commands import (
    CancelOrder,
    PlaceOrder,
    QueryAccount,
    QueryOrder,
    SetTimer,
)
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    CancelRefused,
    FeesReported,
    FrameRejected,
    FundingBooked,
    OpenOrderReported,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Lots, Nanos, Side, Ticks
from oneprice.venues.bybit.trade import BybitSettings, BybitTrade
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request, Trade

AT = Nanos(1_790_000_000_000_000_000)
LINEAR = "bybit:linear:BTCUSDT"


def item(market: str, symbol: str = "BTCUSDT") -> Instrument:
    return Instrument(
        id=f"bybit:{market}:{symbol}",
        venue="bybit",
        market=market,
        symbol=symbol,
        payoff=Payoff.SPOT if market == "spot" else Payoff.LINEAR,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
    )


LISTED = {i.id: i for i in (item("linear"), item("spot"), item("linear", "ETHUSDT"))}


@pytest.fixture
def trade() -> BybitTrade:
    return BybitTrade(Credentials("k", "s"), LISTED)


def place(order_id: str = "a-1", instrument: str = LINEAR) -> PlaceOrder:
    return PlaceOrder(
        order_id=order_id,
        group="g",
        instrument=instrument,
        side=Side.BUY,
        ticks=Ticks(600_000),
        lots=Lots(4),
    )


def answer(asked: Request, rows: list[dict[str, object]], cursor: str = "") -> Answer:
    result = {"category": "linear", "list": rows, "nextPageCursor": cursor}
    body = msgspec.json.encode({"retCode": 0, "retMsg": "", "result": result, "time": 1})
    return Answer(tag=asked.tag, status=200, body=body)


def test_the_trade_keeps_the_contract(trade: BybitTrade) -> None:
    def keeps(_: Trade) -> None: ...

    keeps(trade)
    assert trade.keep_alive() == ()
    assert trade.encode(SetTimer(timer="t", due=AT), AT) == ()


def test_an_order_by_rest_is_posted_and_paced(trade: BybitTrade) -> None:
    by_rest = BybitTrade(Credentials("k", "s"), LISTED, BybitSettings(order_entry="rest"))
    (asked,) = by_rest.encode(place(), AT)
    assert (asked.method, asked.path, asked.socket) == ("POST", "/v5/order/create", "")
    assert asked.cost == (("ip", 1), ("create:derivatives", 1))
    assert asked.order_id == "a-1" and asked.tag == "place:a-1"
    assert msgspec.json.decode(asked.body)["price"] == "60000"
    signed = by_rest.sign(asked, 1_790_000_000_000)
    assert signed.body == asked.body and dict(signed.headers)["X-BAPI-RECV-WINDOW"] == "2000"
    (spot,) = trade.encode(place(instrument="bybit:spot:BTCUSDT"), AT)
    assert spot.cost == (("create:spot", 1),)


@pytest.mark.parametrize("order_id", ["", "a" * 37, "a b", 'a","x":"', "ä-1"])
def test_an_id_the_venue_would_not_take_is_refused_before_it_leaves(
    trade: BybitTrade, order_id: str
) -> None:
    with pytest.raises(ValueError, match="order id"):
        trade.encode(place(order_id), AT)


def test_an_order_in_something_never_listed_is_refused_before_it_leaves(trade: BybitTrade) -> None:
    with pytest.raises(ValueError, match="never listed"):
        trade.encode(place(instrument="bybit:linear:NOPE"), AT)


def test_every_request_has_its_own_id_across_restarts() -> None:
    seen = set()
    for at in (AT, AT + 1):
        trade = BybitTrade(Credentials("k", "s"), LISTED)
        for _ in range(3):
            (asked,) = trade.encode(CancelOrder(order_id="a-1", instrument=LINEAR), Nanos(at))
            request_id = msgspec.json.decode(asked.body)["reqId"]
            assert len(request_id) <= 36
            seen.add(request_id)
    assert len(seen) == 6


def test_answers_that_never_come_do_not_fill_the_memory(trade: BybitTrade) -> None:
    for n in range(5000):
        trade.encode(place(f"a-{n}"), AT)
    assert len(trade._orders._asked) <= 4096


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (10001, "position idx not match position mode", "position_mode"),
        (10001, "Not supported symbols", "no_such_instrument"),
        (10001, "params error", "bad_parameter"),
        (110007, "ab not enough for new order", "insufficient_funds"),
        (110017, "current position is zero", "reduce_only"),
        (170134, "", "off_grid"),
        (30208, "", "price_limit"),
        (110094, "", "too_small"),
    ],
)
def test_a_known_no_is_a_refusal_in_our_words(
    trade: BybitTrade, code: int, text: str, reason: str
) -> None:
    body = msgspec.json.encode({"retCode": code, "retMsg": text, "result": {}, "time": 1})
    (event,) = trade.answered(Answer(tag="place:a-1", status=200, body=body), AT)
    assert isinstance(event, OrderRefused) and event.reason == reason


@pytest.mark.parametrize(
    "code", [10000, 10014, 10016, 10019, 429, 110072, 170141, 170007, 170146, 176999, 999999]
)
def test_after_these_codes_the_order_may_live(trade: BybitTrade, code: int) -> None:
    body = msgspec.json.encode({"retCode": code, "retMsg": "", "result": {}, "time": 1})
    out = trade.answered(Answer(tag="place:a-1", status=200, body=body), AT)
    assert isinstance(out[-1], OrderUncertain) and out[-1].order_id == "a-1"


def test_a_limit_without_headers_pauses_for_a_second(trade: BybitTrade) -> None:
    body = b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1}'
    pause, refused = trade.answered(Answer(tag="cancel:a-1", status=200, body=body), AT)
    assert isinstance(pause, Ack) and pause.until_ms == AT // 1_000_000 + 1000
    assert isinstance(refused, CancelRefused) and refused.reason == "rate_limited"


def asked_for_account(trade: BybitTrade, market: str = "linear") -> dict[str, Request]:
    requests = trade.encode(QueryAccount(venue="bybit", market=market), AT)
    return {request.tag.split(":")[2].partition(".")[0]: request for request in requests}


def position_row(symbol: str = "BTCUSDT") -> dict[str, object]:
    return {"positionIdx": 0, "symbol": symbol, "side": "Buy", "size": "0.004", "avgPrice": "6"}


def order_row(n: int) -> dict[str, object]:
    return {
        "orderId": str(n),
        "orderLinkId": f"o-{n}",
        "symbol": "BTCUSDT",
        "price": "60000.0",
        "qty": "0.010",
        "side": "Buy",
        "orderStatus": "New",
    }


def test_spot_asks_for_no_positions_and_no_funding(trade: BybitTrade) -> None:
    assert sorted(asked_for_account(trade, "spot")) == ["fees", "orders", "wallet"]


def test_an_account_is_checked_only_when_every_page_has_come(trade: BybitTrade) -> None:
    asked = asked_for_account(trade)
    out: list[Output] = []
    for what in ("wallet", "fees", "funding"):
        out += trade.answered(answer(asked[what], []), AT)
    out += trade.answered(answer(asked["positions"], [position_row()]), AT)
    full = [order_row(n) for n in range(50)]
    out += trade.answered(answer(asked["orders"], full, "page%3D2"), AT)
    assert not any(isinstance(e, AccountChecked) for e in out)
    (more,) = trade.follow_ups()
    assert more.query.endswith("&limit=50&cursor=page%3D2") and more.signed
    out += trade.answered(answer(more, [order_row(50)], "page%3D3"), AT)
    assert isinstance(out[-1], AccountChecked) and not trade.follow_ups()
    assert sum(isinstance(e, OpenOrderReported) for e in out) == 51


def test_a_question_without_an_answer_leaves_the_account_unchecked(trade: BybitTrade) -> None:
    asked = asked_for_account(trade)
    out: list[Output] = []
    for what, request in asked.items():
        given = answer(request, []) if what != "wallet" else Answer(tag=request.tag, status=0)
        out += trade.answered(given, AT)
    assert [type(e) for e in out] == [FrameRejected]


def test_what_we_dealt_in_and_is_gone_is_reported_flat(trade: BybitTrade) -> None:
    trade.encode(place(), AT)
    asked = asked_for_account(trade)
    eth = position_row("ETHUSDT")
    out: list[Output] = []
    for what, request in asked.items():
        out += trade.answered(answer(request, [eth] if what == "positions" else []), AT)
    places = {e.instrument: e.lots for e in out if isinstance(e, PositionReported)}
    assert places == {LINEAR: 0, "bybit:linear:ETHUSDT": 4}


def wallet_row(*coins: str) -> dict[str, object]:
    named = [{"coin": coin, "walletBalance": "3"} for coin in coins]
    return {"accountType": "UNIFIED", "coin": named}


def test_a_coin_that_left_the_wallet_is_reported_as_nothing(trade: BybitTrade) -> None:
    pushed = msgspec.json.encode({"topic": "wallet", "data": [wallet_row("BTC", "USDT")]})
    trade.decode("private", pushed, AT)
    out: list[Output] = []
    for what, request in asked_for_account(trade).items():
        rows = [wallet_row("USDT")] if what == "wallet" else []
        out += trade.answered(answer(request, rows), AT)
    totals = {e.asset: e.total for e in out if isinstance(e, BalanceReported)}
    assert totals == {"USDT": 3, "BTC": 0}


def test_a_limit_on_orders_by_rest_pauses_their_bucket_alone() -> None:
    trade = BybitTrade(Credentials("k", "s"), LISTED, BybitSettings(order_entry="rest"))
    (asked,) = trade.encode(place(), AT)
    body = b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1}'
    headers = (("x-bapi-limit-reset-timestamp", "1790000005000"),)
    out = trade.answered(Answer(tag=asked.tag, status=200, body=body, headers=headers), AT)
    assert isinstance(out[0], Ack)
    assert (out[0].bucket, out[0].until_ms) == ("create:derivatives", 1_790_000_005_000)


def test_hedge_mode_is_told_and_never_added_up(trade: BybitTrade) -> None:
    asked = asked_for_account(trade)
    row = position_row() | {"positionIdx": 1}
    (event,) = trade.answered(answer(asked["positions"], [row]), AT)
    assert isinstance(event, FrameRejected) and "one-way mode" in event.excerpt


def test_fees_that_differ_are_told_symbol_by_symbol(trade: BybitTrade) -> None:
    asked = asked_for_account(trade)
    rows: list[dict[str, object]] = [
        {"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"},
        {"symbol": "ETHUSDT", "takerFeeRate": "0.0005", "makerFeeRate": "0.0002"},
    ]
    out = trade.answered(answer(asked["fees"], rows), AT)
    assert [e.symbol for e in out if isinstance(e, FeesReported)] == ["BTCUSDT", "ETHUSDT"]
    # Agreeing again they are still told one by one: the older statements name symbols.
    again = asked_for_account(trade)["fees"]
    out = trade.answered(answer(again, [rows[0], rows[0] | {"symbol": "ETHUSDT"}]), AT)
    assert [e.symbol for e in out if isinstance(e, FeesReported)] == ["BTCUSDT", "ETHUSDT"]


def test_fees_that_differ_are_told_of_what_is_wanted_alone() -> None:
    """The venue answers for hundreds, every minute."""
    settings = BybitSettings(wanted=(LINEAR,))
    trade = BybitTrade(Credentials("k", "s"), LISTED, settings)
    rows: list[dict[str, object]] = [
        {"symbol": symbol, "takerFeeRate": f"0.000{number}", "makerFeeRate": "0.0002"}
        for number, symbol in enumerate(("AUSDT", "BTCUSDT", "ETHUSDT"), 1)
    ]
    out = trade.answered(answer(asked_for_account(trade)["fees"], rows), AT)
    (fees,) = [e for e in out if isinstance(e, FeesReported)]
    assert (fees.symbol, str(fees.taker)) == ("BTCUSDT", "0.0002")


def test_a_short_that_receives_funding_shows_the_markets_rate(trade: BybitTrade) -> None:
    row = {
        "category": "linear",
        "symbol": "BTCUSDT",
        "orderId": "1790006400-8-1-1-2",
        "side": "Sell",
        "execFee": "-0.02",
        "execId": "x",
        "execPrice": "60002.50",
        "execQty": "0.004",
        "execType": "Funding",
        "execTime": "1790006400012",
        "feeRate": "-0.0001",
    }
    (event,) = trade.decode(
        "private", msgspec.json.encode({"topic": "execution", "data": [row]}), AT
    )
    assert isinstance(event, FundingBooked)
    assert (str(event.amount), str(event.rate), event.asset) == ("0.02", "0.0001", "USDT")
    assert event.record_id == "BTCUSDT:1790006400"


def test_a_newer_question_about_an_order_replaces_the_older(trade: BybitTrade) -> None:
    command = QueryOrder(order_id="a-1", instrument=LINEAR)
    older, newer = trade.encode(command, AT), trade.encode(command, AT)
    for request in older:
        assert trade.answered(answer(request, []), AT) == ()
    out = [e for request in newer for e in trade.answered(answer(request, []), AT)]
    assert [type(e).__name__ for e in out] == ["OrderMissing"]


def test_an_end_with_fills_that_nobody_could_list_is_not_told(trade: BybitTrade) -> None:
    realtime, history, fills = trade.encode(QueryOrder(order_id="o-1", instrument=LINEAR), AT)
    row = order_row(1) | {"orderStatus": "Filled", "cumExecQty": "0.010"}
    out = [
        *trade.answered(answer(realtime, [row]), AT),
        *trade.answered(answer(history, []), AT),
        *trade.answered(Answer(tag=fills.tag, status=0, detail="timeout"), AT),
    ]
    assert [type(e) for e in out] == [FrameRejected]


SEEDS = (
    msgspec.json.encode({"topic": "order", "data": [order_row(1) | {"category": "linear"}]}),
    msgspec.json.encode({"topic": "position", "data": [position_row() | {"category": "linear"}]}),
    b'{"topic":"wallet","data":[{"accountType":"UNIFIED","coin":[{"coin":"USDT",'
    b'"walletBalance":"5012.39","spotBorrow":"0","totalOrderIM":"0","totalPositionIM":"1"}]}]}',
    b'{"topic":"execution","data":[{"category":"linear","symbol":"BTCUSDT","execFee":"0.33",'
    b'"execId":"e1","execPrice":"60000.0","execQty":"0.010","execType":"Trade","orderId":"5f1d",'
    b'"orderLinkId":"a-1","side":"Buy","execTime":"1790000004408","isMaker":false}]}',
    b'{"reqId":"x","retCode":10006,"retMsg":"OK","op":"order.create","data":{"orderId":"5",'
    b'"orderLinkId":"a-1"},"header":{"X-Bapi-Limit-Reset-Timestamp":"1"},"connId":"c"}',
    b'{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}',
    b'{"retCode":0,"result":{"list":[{"symbol":"BTCUSDT"}],"nextPageCursor":"x"},"time":1}',
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=4)), max_size=4),
)
def test_no_damaged_frame_or_answer_ever_raises(
    seed: bytes, wounds: list[tuple[int, int, bytes]]
) -> None:
    raw = seed
    for where, length, piece in wounds:
        raw = raw[:where] + piece + raw[where + length :]
    trade = BybitTrade(Credentials("k", "s"), LISTED)
    asked = [r.tag for r in trade.encode(QueryOrder(order_id="o-1", instrument=LINEAR), AT)]
    asked += [r.tag for r in trade.encode(QueryAccount(venue="bybit", market="linear"), AT)]
    for socket in ("private", "trade"):
        for event in trade.decode(socket, raw, AT):
            assert isinstance(event, Output)
    for tag in (*asked, "place:a-1", "cancel:a-1", "cancel_all:bybit:linear:BTCUSDT", "?"):
        for event in trade.answered(Answer(tag=tag, status=200, body=raw), AT):
            assert isinstance(event, Output)


FILL = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "5f1d",
    "orderLinkId": "a-1",
    "side": "Buy",
    "execFee": "0.33",
    "execId": "e1",
    "execPrice": "60000.0",
    "execQty": "0.010",
    "execType": "Trade",
    "execTime": "1790000004408",
    "isMaker": False,
}


@pytest.mark.parametrize("field", FILL)
@pytest.mark.parametrize("wrong", [7, 0.5, None, [], {"a": 1}, "1e5", "NaN", "\u0665"])
def test_a_fill_with_a_field_of_the_wrong_kind_is_never_guessed_at(
    trade: BybitTrade, field: str, wrong: object
) -> None:
    free_text = ("orderId", "orderLinkId", "execId")
    rows = [FILL | {field: wrong}, FILL]
    frame = msgspec.json.encode({"topic": "execution", "data": rows})
    first, second = trade.decode("private", frame, AT)
    if field in free_text and isinstance(wrong, str):
        assert isinstance(first, OrderFilled)
    else:
        assert isinstance(first, FrameRejected) and first.reason == "unreadable_row"
    assert isinstance(second, OrderFilled) and second.lots == 10

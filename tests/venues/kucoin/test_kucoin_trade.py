"""KuCoin's trade: questions with their follow-ups, batches, the switch, pools, refusals."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from kucoin_material import AT, ETH, FACTORY, INVERSE, LINEAR, SPOT, message, no, ok

from oneprice.model.commands import (
    AmendOrder,
    CancelOrder,
    PlaceOrder,
    QueryAccount,
    QueryKey,
    QueryOrder,
    SetLeverage,
    SetPositionMode,
    TimeInForce,
)
from oneprice.model.events import (
    BalanceReported,
    FeesReported,
    FrameRejected,
    KeyReported,
    OpenOrderReported,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderMissing,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.units import Lots, Side, Ticks
from oneprice.venues.contract import REFUSALS, Ack, Answer, Credentials, Output
from oneprice.venues.kucoin import SPEC
from oneprice.venues.kucoin import codes as kucoin_codes
from oneprice.venues.kucoin.orders import KucoinSettings
from oneprice.venues.kucoin.trade import KucoinTrade

KEYS = Credentials("TESTKEY01", "TESTSECRET0123456789ABCDEF", "mypassphrase")


def trader(**settings: object) -> KucoinTrade:
    feed = FACTORY.listed_feed()
    wanted = {"wanted": (SPOT, LINEAR)} | settings
    return KucoinTrade(KEYS, feed.listed, msgspec.convert(wanted, KucoinSettings))


def place(order_id: str, instrument: str, **changes: object) -> PlaceOrder:
    command = PlaceOrder(
        order_id=order_id, group="g", instrument=instrument, side=Side.BUY,
        ticks=Ticks(900_000), lots=Lots(100_000 if instrument == SPOT else 3),
    )  # fmt: skip
    return msgspec.structs.replace(command, **changes)


def names(outputs: Sequence[Output]) -> list[str]:
    return [type(output).__name__ for output in outputs]


# What became of an order --------------------------------------------------------------------

DONE = {
    "id": "67", "clientOid": "arb-1", "symbol": "BTC-USDT", "side": "buy", "price": "90000",
    "size": "0.001", "dealSize": "0.0004", "cancelledSize": "0.0006", "timeInForce": "IOC",
    "active": False, "cancelExist": True,
}  # fmt: skip


def spot_fill(number: int, order: str = "67") -> dict[str, object]:
    return {
        "id": number, "orderId": order, "counterOrderId": "x", "symbol": "BTC-USDT",
        "tradeId": 11029373945659392 + number, "side": "buy", "liquidity": "taker",
        "type": "limit", "forceTaker": False, "price": "90000", "size": "0.0002", "funds": "18",
        "fee": "0.018", "feeRate": "0.001", "feeCurrency": "USDT", "tradeType": "TRADE",
        "createdAt": 1790000000473 - number,
    }  # fmt: skip


def test_an_order_is_asked_for_by_our_id_and_its_fills_by_the_venues() -> None:
    trade = trader()
    (request,) = trade.encode(QueryOrder(order_id="arb-1", instrument=SPOT), AT)
    assert request.path == "/api/v1/hf/orders/client-order/arb-1" and request.signed
    assert (request.cost, request.order_id) == ((("spot", 2),), "arb-1")
    assert trade.answered(ok(request.tag, DONE), AT) == []
    (fills,) = trade.follow_ups()
    assert fills.query == "symbol=BTC-USDT&orderId=67&limit=100" and fills.signed
    # The page holds a stranger's fill as well: it is none of this order.
    items = [spot_fill(1), spot_fill(2), spot_fill(3, order="99")]
    out = trade.answered(ok(fills.tag, {"items": items, "lastId": 3}), AT)
    assert names(out) == ["OrderFilled", "OrderFilled", "OrderEnded"]
    first, _, end = out
    assert isinstance(first, OrderFilled) and isinstance(end, OrderEnded)
    assert (first.fill_id, first.lots, first.fee) == (
        "11029373945659394", 20_000, Decimal("0.018"),
    )  # fmt: skip
    assert (end.filled_lots, end.reason) == (40_000, "expired")


def test_fills_beyond_a_page_are_asked_for_before_anything_is_concluded() -> None:
    trade = trader()
    (request,) = trade.encode(QueryOrder(order_id="arb-1", instrument=SPOT), AT)
    trade.answered(ok(request.tag, DONE), AT)
    (first,) = trade.follow_ups()
    page = {"items": [spot_fill(n, order="99") for n in range(100)], "lastId": 19814995255305}
    assert trade.answered(ok(first.tag, page), AT) == []
    (second,) = trade.follow_ups()
    assert second.query == first.query + "&lastId=19814995255305" and second.tag != first.tag
    out = trade.answered(ok(second.tag, {"items": [spot_fill(1)], "lastId": 1}), AT)
    assert names(out) == ["OrderFilled", "OrderEnded"]


def test_a_question_that_failed_concludes_nothing() -> None:
    trade = trader()
    (request,) = trade.encode(QueryOrder(order_id="arb-1", instrument=SPOT), AT)
    trade.answered(ok(request.tag, DONE), AT)
    (fills,) = trade.follow_ups()
    out = trade.answered(Answer(tag=fills.tag, status=0, detail="timeout"), AT)
    assert names(out) == ["FrameRejected"]
    # And an answer that is late belongs to a conversation that is over.
    assert trade.answered(ok(fills.tag, {"items": [spot_fill(1)]}), AT) == ()


def test_a_newer_question_gives_up_the_older_one() -> None:
    trade = trader()
    (old,) = trade.encode(QueryOrder(order_id="arb-1", instrument=SPOT), AT)
    (new,) = trade.encode(QueryOrder(order_id="arb-1", instrument=SPOT), AT)
    assert trade.answered(ok(old.tag, None), AT) == ()
    assert trade.answered(ok(new.tag, None), AT) == [OrderMissing(at=AT, order_id="arb-1")]


def test_futures_fills_carry_numbers_and_nanoseconds() -> None:
    trade = trader()
    (request,) = trade.encode(QueryOrder(order_id="arb-1", instrument=LINEAR), AT)
    row = {
        "id": "284486580251463680", "symbol": "XBTUSDTM", "side": "buy", "clientOid": "arb-1",
        "price": "90000", "size": 3, "dealSize": 3, "status": "done", "isActive": False,
        "cancelExist": False, "timeInForce": "IOC",
    }  # fmt: skip
    trade.answered(ok(request.tag, row), AT)
    (fills,) = trade.follow_ups()
    item = {
        "symbol": "XBTUSDTM", "tradeId": "1828954878212", "orderId": "284486580251463680",
        "side": "buy", "liquidity": "taker", "price": "90000", "size": 3, "value": "270",
        "feeRate": "0.00060", "fee": "0.162", "feeCurrency": "USDT", "tradeType": "trade",
        "tradeTime": 1767323046244000000, "createdAt": 1767323046427,
    }  # fmt: skip
    pages = {"currentPage": 1, "pageSize": 100, "totalNum": 1, "totalPage": 1, "items": [item]}
    fill, end = trade.answered(ok(fills.tag, pages), AT)
    assert isinstance(fill, OrderFilled) and isinstance(end, OrderEnded)
    assert (fill.lots, fill.fee, fill.venue_ms) == (3, Decimal("0.162"), 1767323046244)
    assert (end.filled_lots, end.reason) == (3, "filled")


# How the account stands ---------------------------------------------------------------------


def test_a_spot_account_is_checked_when_everything_is_in() -> None:
    trade = trader()
    requests = trade.encode(QueryAccount(venue="kucoin", market="spot"), AT)
    tags = {request.tag.split(":")[2]: request for request in requests}
    assert list(tags) == ["wallet", "symbols", "fees.0"]
    rows = [
        {"id": "5", "currency": "USDT", "type": "trade", "balance": "26.6", "available": "20.6",
         "holds": "6"},
        {"id": "6", "currency": "USDT", "type": "main", "balance": "9", "available": "9"},
    ]  # fmt: skip
    (balance,) = trade.answered(ok(tags["wallet"].tag, rows), AT)
    assert isinstance(balance, BalanceReported)
    assert (balance.wallet, balance.total, balance.available) == (
        "spot", Decimal("26.6"), Decimal("20.6"),
    )  # fmt: skip
    assert trade.answered(ok(tags["symbols"].tag, {"symbols": ["BTC-USDT"]}), AT) == []
    (active,) = trade.follow_ups()
    assert (active.path, active.query) == ("/api/v1/hf/orders/active", "symbol=BTC-USDT")
    resting = DONE | {"active": True, "inOrderBook": True, "dealSize": "0"}
    (told,) = trade.answered(ok(active.tag, [resting]), AT)
    assert isinstance(told, OpenOrderReported)
    assert (told.order_id, told.lots, told.ticks) == ("arb-1", 100_000, 900_000)
    fees = [{"symbol": "BTC-USDT", "takerFeeRate": "0.0008", "makerFeeRate": "0.0006"}]
    out = trade.answered(ok(tags["fees.0"].tag, fees), AT)
    assert names(out) == ["FeesReported", "AccountChecked"]
    assert isinstance(out[0], FeesReported) and out[0].taker == Decimal("0.0008")
    # A coin that is no longer told of is gone.
    again = {
        request.tag.split(":")[2]: request
        for request in trade.encode(QueryAccount(venue="kucoin", market="spot"), AT)
    }
    trade.answered(ok(again["wallet"].tag, []), AT)
    trade.answered(ok(again["symbols"].tag, {"symbols": None}), AT)
    out = trade.answered(ok(again["fees.0"].tag, fees), AT)
    assert [e.total for e in out if isinstance(e, BalanceReported)] == [0]


def test_a_key_that_can_move_money_is_told_as_such() -> None:
    trade = trader()
    trade.encode(QueryKey(venue="kucoin"), AT)
    row = {"permission": "General, Spot, Transfer", "ipWhitelist": None}
    (event,) = trade.answered(ok("key", row), AT)
    assert isinstance(event, KeyReported)
    assert (event.may_trade, event.may_withdraw, event.addresses) == (True, True, ())


# Batches, the switch, what cannot be said ----------------------------------------------------


def test_spot_orders_go_out_by_five_and_each_has_its_own_verdict() -> None:
    trade = trader()
    wanted = [place(f"arb-{n}", SPOT) for n in range(6)]
    many, one = trade.batch(wanted, AT)
    assert many.path == "/api/v1/hf/orders/multi" and one.tag == "place:arb-5"
    assert many.places and many.order_ids == tuple(f"arb-{n}" for n in range(5))
    assert [row["clientOid"] for row in msgspec.json.decode(many.body)["orderList"]] == [
        f"arb-{n}" for n in range(5)
    ]
    rows = [
        {"orderId": "o1", "clientOid": "arb-1", "success": True},
        {"clientOid": "arb-0", "success": False, "failMsg": "Balance insufficient!"},
        {"clientOid": "arb-2", "success": False, "failMsg": "something new"},
        {"clientOid": "arb-3", "success": False, "failMsg": "clientOid is duplicated"},
    ]
    answer = msgspec.structs.replace(ok(many.tag, rows), order_ids=many.order_ids)
    out = trade.answered(answer, AT)
    told = [(type(e).__name__, e.order_id, getattr(e, "reason", "")) for e in out]  # type: ignore[union-attr]
    assert told == [
        ("OrderRefused", "arb-0", "insufficient_funds"),
        ("OrderAccepted", "arb-1", ""),
        ("OrderRefused", "arb-2", "unknown_code"),
        ("OrderUncertain", "arb-3", "duplicate_id"),
        ("OrderUncertain", "arb-4", "unreadable_answer"),
    ]


def test_futures_batches_are_arrays_and_cancels_share_a_request() -> None:
    trade = trader()
    commands = [place("a", LINEAR), place("b", INVERSE)]
    cancels = [CancelOrder(order_id=x, instrument=LINEAR) for x in ("c", "d")]
    placed, cancelled = trade.batch([*commands, *cancels], AT)
    assert placed.path == "/api/v1/orders/multi" and placed.cost == (("futures", 20),)
    assert [row["symbol"] for row in msgspec.json.decode(placed.body)] == ["XBTUSDTM", "XBTUSDM"]
    assert (cancelled.method, cancelled.path) == ("DELETE", "/api/v1/orders/multi-cancel")
    assert msgspec.json.decode(cancelled.body) == {
        "clientOidsList": [
            {"symbol": "XBTUSDTM", "clientOid": "c"},
            {"symbol": "XBTUSDTM", "clientOid": "d"},
        ]
    }
    rows = [
        {"orderId": "1", "clientOid": "a", "code": "200000", "msg": "success"},
        {"orderId": None, "clientOid": "b", "code": "300003", "msg": "Balance not enough"},
    ]  # fmt: skip
    answer = msgspec.structs.replace(ok(placed.tag, rows), order_ids=placed.order_ids)
    assert names(trade.answered(answer, AT)) == ["OrderAccepted", "OrderRefused"]
    gone = {"clientOid": "d", "code": "100004", "msg": "cannot be canceled"}
    rows = [{"orderId": None, "clientOid": "c", "code": "200", "msg": "success"}, gone]
    answer = msgspec.structs.replace(ok(cancelled.tag, rows), order_ids=cancelled.order_ids)
    assert names(trade.answered(answer, AT)) == ["CancelRefused"]
    lost = Answer(tag=placed.tag, status=0, order_ids=placed.order_ids)
    assert names(trade.answered(lost, AT)) == ["OrderUncertain", "OrderUncertain"]


def test_our_ids_travel_unchanged() -> None:
    (request,) = trader().encode(place("o1a2b3c-000017-00-0", SPOT), AT)
    assert msgspec.json.decode(request.body)["clientOid"] == "o1a2b3c-000017-00-0"
    assert request.order_id == "o1a2b3c-000017-00-0"


def test_a_leverage_that_the_venue_did_not_take_is_not_reported() -> None:
    trade = trader()
    (request,) = trade.encode(SetLeverage(instrument=LINEAR, leverage=Decimal(5)), AT)
    assert names(trade.answered(ok(request.tag, False), AT)) == ["FrameRejected"]


@pytest.mark.parametrize(("what", "data"), [("symbols", {}), ("wallet", {}), ("fees", [[]])])
def test_an_answer_without_its_list_is_not_taken_for_an_empty_one(what: str, data: object) -> None:
    trade = trader()
    good: dict[str, object] = {"symbols": {"symbols": []}, "wallet": [], "fees": []}
    out: list[Output] = []
    for request in trade.encode(QueryAccount(venue="kucoin", market="spot"), AT):
        asked = request.tag.split(":")[2].partition(".")[0]
        out += trade.answered(ok(request.tag, data if asked == what else good[asked]), AT)
    assert names(out) == ["FrameRejected"]


def test_one_that_cannot_be_said_stops_its_batch() -> None:
    trade = trader()
    bad = place("b", LINEAR, time_in_force=TimeInForce.FOK)
    with pytest.raises(ValueError, match="no fill-or-kill"):
        trade.batch([place("a", LINEAR), bad], AT)


def test_fill_or_kill_is_said_for_spot_and_declared_for_spot_alone() -> None:
    (request,) = trader().encode(place("a", SPOT, time_in_force=TimeInForce.FOK), AT)
    assert msgspec.json.decode(request.body)["timeInForce"] == "FOK"
    assert "fill_or_kill" in SPEC.features
    assert SPEC.fill_or_kill_markets == ("spot",)  # futures document GTC and IOC
    with pytest.raises(ValueError, match="no fill-or-kill"):
        trader().encode(place("b", LINEAR, time_in_force=TimeInForce.FOK), AT)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (place("x" * 41, SPOT), "order id"),
        (place("a b", SPOT), "order id"),
        (place("a", "kucoin:spot:NONE-USDT"), "never listed"),
        (
            AmendOrder(order_id="a", instrument=SPOT, side=Side.BUY, ticks=Ticks(1), lots=Lots(1)),
            "no amend",
        ),
        (SetPositionMode(venue="kucoin", market="spot", mode="hedge"), "expected market futures"),
        (SetLeverage(instrument=SPOT, leverage=Decimal(2)), "expected a futures contract"),
        (SetLeverage(instrument=LINEAR, leverage=Decimal("0.5")), "at least 1"),
        (QueryAccount(venue="kucoin", market="margin"), "expected spot or futures"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_a_reason(command: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        trader().encode(command, AT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "flag"), [("taker", "CN"), ("maker", "CO"), ("both", "CB"), ("none", None)]
)
def test_who_dies_in_a_self_trade_is_the_takers_flag(choice: str, flag: str | None) -> None:
    trade = trader(self_trade=choice)
    for instrument in (SPOT, LINEAR):
        (request,) = trade.encode(place("a", instrument), AT)
        assert msgspec.json.decode(request.body).get("stp") == flag


def test_the_dead_mans_switch_is_renewed_thrice_within_its_patience() -> None:
    assert trader().keep_alive() == ()
    ((every_ms, request),) = trader(dead_man_ms=9_500, wanted=(SPOT, ETH, LINEAR)).keep_alive()
    assert every_ms == 3_333 and request.signed and request.host == "spot_rest"
    body = msgspec.json.decode(request.body)
    assert body == {"timeout": 10, "symbols": "BTC-USDT,ETH-USDT"}
    assert SPEC.dead_man_markets == ("spot",)  # futures have none that is documented
    ((_, least),) = trader(dead_man_ms=1).keep_alive()
    assert msgspec.json.decode(least.body)["timeout"] == 5
    trade = trader(dead_man_ms=9_500)
    assert trade.answered(ok("dead_man", {"currentTime": 1, "triggerTime": 11}), AT) == []


# How an order ends ---------------------------------------------------------------------------


def order_message(kind: str, order_id: str) -> bytes:
    row = {
        "symbol": "BTC-USDT", "side": "buy", "orderId": "67", "clientOid": order_id, "type": kind,
        "status": "done", "filledSize": "0", "ts": 1790000001336000000,
    }  # fmt: skip
    return message("/spotMarket/tradeOrdersV2", "orderChange", row)


@pytest.mark.parametrize(
    ("lasting", "rested", "cancelled", "reason"),
    [
        (TimeInForce.IOC, False, False, "expired"),
        (TimeInForce.FOK, False, False, "expired"),
        (TimeInForce.POST_ONLY, False, False, "post_only"),
        (TimeInForce.POST_ONLY, True, False, "cancelled"),
        (TimeInForce.POST_ONLY, False, True, "cancelled"),
        (TimeInForce.GTC, True, False, "cancelled"),
    ],
)
def test_why_an_order_was_cancelled_is_told_from_what_was_asked(
    lasting: TimeInForce, rested: bool, cancelled: bool, reason: str
) -> None:
    trade = trader()
    trade.encode(place("a", SPOT, time_in_force=lasting), AT)
    if rested:
        trade.decode("spot_private", order_message("open", "a"), AT)
    if cancelled:
        trade.encode(CancelOrder(order_id="a", instrument=SPOT), AT)
    (event,) = trade.decode("spot_private", order_message("canceled", "a"), AT)
    assert isinstance(event, OrderEnded) and event.reason == reason


def test_an_order_of_somebody_else_carries_no_id_of_ours() -> None:
    (event,) = trader().decode("spot_private", order_message("open", ""), AT)
    assert isinstance(event, OrderAccepted) and event.order_id == ""


# Codes and pools -----------------------------------------------------------------------------


def test_every_code_has_a_word_of_the_house() -> None:
    assert set(kucoin_codes.REFUSALS.values()) <= set(REFUSALS)
    assert SPEC.refusals == kucoin_codes.REFUSALS


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("account.available.amount", "insufficient_funds"),
        ("order_not_exist_or_not_allow_to_cancel", "no_such_order"),
        ("The order does not exist.", "no_such_order"),
        ("Order size below the minimum requirement.", "too_small"),
        ("Order size increment invalid.", "off_grid"),
        ("This clientOid has been used", "duplicate_id"),
        ("symbol not exist", "no_such_instrument"),
        ("whatever", "bad_parameter"),
    ],
)
def test_the_basket_of_bad_parameters_is_told_apart_by_its_text(text: str, word: str) -> None:
    assert kucoin_codes.word("400100", text) == word


def test_a_refusal_for_rate_pauses_the_pool_of_its_order() -> None:
    trade = trader()
    trade.encode(place("a", LINEAR), AT)
    answer = no("place:a", "429000", "Too Many Requests", 429, gw_ratelimit_remaining="0",
                gw_ratelimit_reset="2500", gw_ratelimit_limit="2000")  # fmt: skip
    rate, refused = trade.answered(answer, AT)
    assert isinstance(rate, Ack) and rate.bucket == "futures"
    assert rate.until_ms == AT // 10**6 + 2500
    assert isinstance(refused, OrderRefused) and refused.reason == "rate_limited"


def test_every_request_names_pools_that_exist() -> None:
    trade = trader(dead_man_ms=10_000)
    pools = {limit.bucket for limit in SPEC.limits}
    sent = [
        *trade.login("spot_private"), *trade.login("futures_private"),
        *(request for _, request in trade.keep_alive()),
        *trade.batch([place(x, i) for i in (SPOT, LINEAR) for x in ("a", "b")], AT),
        *trade.encode(QueryAccount(venue="kucoin", market="spot"), AT),
        *trade.encode(QueryAccount(venue="kucoin", market="futures"), AT),
        *trade.encode(QueryOrder(order_id="a", instrument=SPOT), AT),
        *trade.encode(QueryKey(venue="kucoin"), AT),
    ]  # fmt: skip
    calls = [request for request in sent if not request.socket]
    assert calls and all(request.signed and request.cost for request in calls)
    assert {name for request in calls for name, _ in request.cost} <= pools
    assert all(request.path.startswith("/api/v") for request in calls)


def test_an_unsure_no_is_never_called_a_refusal() -> None:
    trade = trader()
    for status in (500, 502, 503, 504):
        out = trade.answered(Answer(tag="place:a", status=status, body=b""), AT)
        assert out == [OrderUncertain(at=AT, order_id="a", reason="venue_busy")]
    (event,) = trade.answered(Answer(tag="what:a", status=200, body=b'{"code":"200000"}'), AT)
    assert isinstance(event, FrameRejected)


@pytest.mark.parametrize(("status", "reason"), [(403, "banned"), (429, "rate_limited")])
def test_what_the_edge_turns_away_was_never_looked_at(status: int, reason: str) -> None:
    trade = trader()
    trade.encode(place("a", LINEAR), AT)
    out = trade.answered(Answer(tag="place:a", status=status, body=b"<html>1015</html>"), AT)
    pause, refused = out
    assert isinstance(pause, Ack) and (pause.kind, pause.bucket) == ("rate", "")
    assert isinstance(refused, OrderRefused) and refused.reason == reason

"""Orders of Binance: signatures, requests, answers of every class, executions."""

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
    REST,
    error,
    kinds,
    params,
    place,
    reported,
    trade,
)
from binance_material import SPOT, USDM, instrument

from oneprice.model.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    QueryAccount,
    QueryOrder,
    TimeInForce,
)
from oneprice.model.events import (
    AmendRefused,
    OrderAccepted,
    OrderEnded,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.units import Lots, Side, Ticks
from oneprice.venues.binance import SPEC, BinanceSettings, BinanceTrade
from oneprice.venues.contract import Ack, Answer, Credentials, Request
from oneprice.venues.signing import Signer

# Signing ---------------------------------------------------------------------------------

VECTORS = [
    (
        KEYS,
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=60000"
        "&recvWindow=5000",
        1790000000000,
        "ebb193113fb827defebe533052ccab3468fe467a18876b9070e6d7f301ee09f1",
    ),
    (
        Credentials("k", "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"),
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000",
        1499827319559,
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    ),
    (
        Credentials("k", "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"),
        "",
        1578963600000,
        "d84e6641b1e328e7b418fff030caed655c266299c9355e36ce801ed14631eed4",
    ),
]


@pytest.mark.parametrize(("keys", "query", "now_ms", "signature"), VECTORS)
def test_rest_signatures_equal_the_published_ones(
    keys: Credentials, query: str, now_ms: int, signature: str
) -> None:
    request = Request(tag="x", method="POST", path="/api/v3/order", query=query, signed=True)
    signed = BinanceTrade(keys, {}).sign(request, now_ms)
    assert signed.query.endswith(f"timestamp={now_ms}&signature={signature}")
    assert ("X-MBX-APIKEY", keys.key) in signed.headers


def test_a_form_body_is_signed_right_behind_the_query() -> None:
    query = b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = b"quantity=0.01&price=60000&recvWindow=5000&timestamp=1790000000000"
    assert Signer(KEYS.secret).hex(query + body) == (
        "62e0b5fb538121065b31189dc48796bf8b1dca2dccfe79463cf9c97932a811b7"
    )


@pytest.mark.parametrize(
    ("frame_params", "signature"),
    [
        (
            {
                "symbol": "BTCUSDT",
                "side": "BUY",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": "0.01",
                "price": "60000",
                "recvWindow": 5000,
            },
            "331e528c7579b4e9a7a426dc5cafb290692a395ffc3f5f93465b640f18077db4",
        ),
        ({}, "a99beab7f72062e1662fbe1aea091cff6490a0368ab0e1017b353e07a36f170f"),
    ],
)
def test_websocket_signatures_equal_the_published_ones(
    frame_params: dict[str, Any], signature: str
) -> None:
    body = json.dumps({"id": "1", "method": "m", "params": frame_params}).encode()
    request = Request(tag="x", socket="spot_orders", body=body, signed=True)
    sent = json.loads(trade().sign(request, 1790000000000).body)
    assert sent["params"]["signature"] == signature
    assert sent["params"]["apiKey"] == "simkey0001"


def test_a_listen_key_is_asked_by_key_alone() -> None:
    (request,) = trade().login("usdm_user")
    signed = trade().sign(request, NOW_MS)
    assert (signed.method, signed.path, signed.query) == ("POST", "/fapi/v1/listenKey", "")
    assert signed.headers == (("X-MBX-APIKEY", "simkey0001"),)


def test_secrets_are_in_no_repr() -> None:
    assert "simsecret" not in repr(trade()) and "simsecret" not in repr(vars(trade()))


# Requests --------------------------------------------------------------------------------


def test_a_post_only_order_is_a_maker_type_on_spot_and_gtx_on_futures() -> None:
    (spot,) = trade().encode(place(time_in_force=TimeInForce.POST_ONLY), AT)
    assert params(spot)["type"] == "LIMIT_MAKER" and "timeInForce" not in params(spot)
    (usdm,) = trade().encode(place(USDM, time_in_force=TimeInForce.POST_ONLY), AT)
    assert (params(usdm)["type"], params(usdm)["timeInForce"]) == ("LIMIT", "GTX")


@pytest.mark.parametrize("item", [SPOT, USDM])
@pytest.mark.parametrize("options", [None, REST])
def test_an_order_says_the_same_over_websocket_and_rest(
    item: Any, options: BinanceSettings | None
) -> None:
    (request,) = trade(options).encode(place(item, reduce_only=True), AT)
    said = params(request)
    assert (said["quantity"], said["price"]) == (
        ("0.0001", "6000") if item is SPOT else ("0.01", "60000")
    )
    assert said["timeInForce"] == "IOC" and said["selfTradePreventionMode"] == "EXPIRE_TAKER"
    assert said.get("reduceOnly") == (None if item is SPOT else "true")
    assert request.order_id == "arb-0001" and request.signed
    assert bool(request.socket) == (options is None)


def test_a_client_id_that_the_market_refuses_is_never_sent() -> None:
    with pytest.raises(ValueError, match=r"order_id 'a\.b'"):
        trade().encode(place(order_id="a.b"), AT)
    assert trade().encode(place(USDM, order_id="a.b"), AT)
    with pytest.raises(ValueError, match="expects"):
        trade().encode(place(USDM, order_id="x" * 37), AT)


def test_unknown_instruments_and_markets_are_errors() -> None:
    with pytest.raises(ValueError, match="not listed"):
        trade().encode(place(instrument("coinm", "BTCUSD_PERP", "0.1", "1")), AT)
    with pytest.raises(ValueError, match="expected one of"):
        trade().encode(QueryAccount(venue="binance", market="options"), AT)


def test_every_cost_names_a_bucket_that_exists() -> None:
    buckets = {each.bucket for each in SPEC.limits}
    coin = instrument("coinm", "BTCUSD_PERP", "0.1", "1")
    wanted = (SPOT.id, USDM.id, coin.id)
    sides = trade(BinanceSettings(wanted=wanted, dead_man_ms=120_000), coin)
    requests = [request for _, request in sides.keep_alive()]
    for item in (SPOT, USDM, coin):
        wish = {"order_id": "a", "instrument": item.id}
        amend = AmendOrder(**wish, side=Side.BUY, ticks=Ticks(1), lots=Lots(1))
        for command in (place(item), amend, CancelOrder(**wish), QueryOrder(**wish)):
            requests += sides.encode(command, AT)
        requests += sides.encode(CancelAll(instrument=item.id), AT)
        requests += sides.encode(QueryAccount(venue="binance", market=item.market), AT)
    assert requests and all(each.cost for each in requests)
    assert {bucket for each in requests for bucket, _ in each.cost} <= buckets


# Answers ---------------------------------------------------------------------------------


def placed(item: Any, status: int, body: bytes, **more: Any) -> Any:
    side = trade(REST)
    (request,) = side.encode(place(item), AT)
    return side.answered(Answer(tag=request.tag, status=status, body=body, **more), AT)


UNKNOWN = "Unknown error, please check your request or try again later."
OUTCOMES = [
    ("spot", 0, b"", OrderUncertain, ""),
    ("spot", 500, b"", OrderUncertain, ""),
    ("usdm", 408, b"", OrderUncertain, ""),
    ("spot", 403, b"<html>", OrderRefused, "banned"),
    ("usdm", 403, b"", OrderRefused, "banned"),
    ("usdm", 418, b"<html>", OrderRefused, "banned"),
    ("spot", 429, b"<html>", OrderRefused, "rate_limited"),
    ("spot", 404, b"<html>", OrderUncertain, ""),
    ("usdm", 400, error(-1007, "Timeout"), OrderUncertain, ""),
    ("spot", 400, error(-1006, "Unexpected"), OrderUncertain, ""),
    ("usdm", 400, error(-4116, "ClientOrderId is duplicated."), OrderUncertain, ""),
    ("spot", 400, error(-2010, "Duplicate order sent."), OrderUncertain, ""),
    ("usdm", 503, error(0, UNKNOWN), OrderUncertain, ""),
    ("usdm", 503, error(-1000, UNKNOWN), OrderUncertain, ""),
    ("usdm", 503, error(-1008, "Throttled"), OrderRefused, "venue_busy"),
    ("spot", 503, error(-1001, "Internal error"), OrderUncertain, ""),
    (
        "usdm",
        503,
        error(-1001, "Internal error; unable to process your request. Please try again."),
        OrderRefused,
        "venue_busy",
    ),
    ("usdm", 400, error(-2022, "ReduceOnly Order is rejected."), OrderRefused, "reduce_only"),
    ("usdm", 400, error(-5022, "Post Only"), OrderRefused, "post_only"),
    (
        "spot",
        400,
        error(-2010, "Order would immediately match and take."),
        OrderRefused,
        "post_only",
    ),
    ("spot", 400, error(-1013, "Filter failure: NOTIONAL"), OrderRefused, "too_small"),
    ("spot", 400, error(-9999, "News"), OrderRefused, "unknown_code"),
    ("spot", 200, b"not json", OrderUncertain, ""),
]


@pytest.mark.parametrize(("market", "status", "body", "kind", "reason"), OUTCOMES)
def test_an_order_answered_so_is_refused_or_uncertain(
    market: str, status: int, body: bytes, kind: Any, reason: str
) -> None:
    event = placed(SPOT if market == "spot" else USDM, status, body)[-1]
    assert type(event) is kind and event.order_id == "arb-0001"
    assert not reason or event.reason == reason


def test_a_plain_service_unavailable_of_futures_is_a_failure() -> None:
    (event,) = placed(USDM, 503, error(-1, "Service Unavailable."))
    assert isinstance(event, OrderRefused)


def test_too_many_requests_refuse_the_order_and_tell_when_to_go_on() -> None:
    headers = (("retry-after", "3"),)
    ack, refused = placed(USDM, 429, error(-1015, "Too many orders"), headers=headers)
    assert ack == Ack(
        socket="",
        kind="rate",
        ok=False,
        text="Too many orders",
        until_ms=AT // 1_000_000 + 3_000,
        bucket="futures_orders_10s",
    )
    assert refused == OrderRefused(
        at=AT, order_id="arb-0001", reason="rate_limited", text="Too many orders"
    )


def test_a_fill_is_the_same_event_from_the_answer_and_from_the_stream() -> None:
    accepted, fill, ended = placed(SPOT, 200, FULL)
    assert isinstance(accepted, OrderAccepted) and accepted.venue_order_id == "28457001"
    assert [fill, ended] == reported()
    assert (fill.fill_id, fill.fee, fill.fee_asset) == (
        "spot:BTCUSDT:991001", Decimal("0.00001000"), "BTC",
    )  # fmt: skip
    assert ended == OrderEnded(at=AT, order_id="arb-0001", filled_lots=Lots(1000), reason="filled")


def test_trades_of_two_symbols_never_share_a_fill_id() -> None:
    ether = instrument("spot", "ETHUSDT", "0.01", "0.0001", "ETH")
    one = reported(trade(None, ether))
    two = reported(trade(None, ether), s="ETHUSDT")
    assert one[0].fill_id != two[0].fill_id


def test_a_cancel_is_reported_for_the_order_and_not_for_the_cancel() -> None:
    (ended,) = reported(x="CANCELED", X="CANCELED", c="web_1", C="arb-0001", t=-1, z="0.004")
    assert ended == OrderEnded(
        at=AT, order_id="arb-0001", filled_lots=Lots(400), reason="cancelled"
    )


@pytest.mark.parametrize(
    ("status", "changes", "reason"),
    [
        ("EXPIRED", {}, "expired"),
        ("EXPIRED_IN_MATCH", {"x": "TRADE_PREVENTION"}, "self_trade"),
    ],
)
def test_an_order_that_ends_by_itself_says_why(
    status: str, changes: dict[str, Any], reason: str
) -> None:
    (ended,) = reported(**{"x": "EXPIRED", "X": status, "t": -1, "z": "0.000", **changes})
    assert isinstance(ended, OrderEnded) and ended.reason == reason and ended.filled_lots == 0


def test_a_status_nobody_knows_makes_the_order_uncertain() -> None:
    (event,) = reported(x="NOVEL", X="NOVEL", t=-1)
    assert event == OrderUncertain(at=AT, order_id="arb-0001", reason="unknown_status")


def test_an_execution_of_an_unlisted_symbol_is_never_dropped_in_silence() -> None:
    assert kinds(reported(s="NEWUSDT")) == ["FrameRejected", "OrderUncertain"]


def test_an_expired_post_only_order_of_futures_says_so() -> None:
    order = {**REPORT, "f": "GTX", "x": "EXPIRED", "X": "EXPIRED", "t": 0, "z": "0", "er": "0"}
    frame = json.dumps({"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": order}).encode()
    (ended,) = trade().decode("usdm_user", frame, AT)
    assert isinstance(ended, OrderEnded) and ended.reason == "post_only"


def test_a_replaced_spot_order_lives_on_under_its_id() -> None:
    side = trade()
    wish = AmendOrder(
        order_id="arb-0001",
        instrument=SPOT.id,
        side=Side.BUY,
        ticks=Ticks(6_000_000),
        lots=Lots(1000),
    )
    (request,) = side.encode(wish, AT)
    said = params(request)
    assert said["cancelRestrictions"] == "ONLY_NEW" and said["newClientOrderId"] == "arb-0001"
    cancel_id = said["cancelNewClientOrderId"]
    assert not reported(side, x="CANCELED", X="CANCELED", c=cancel_id, C="arb-0001", t=-1)
    new = {"symbol": "BTCUSDT", "orderId": 9, "status": "NEW", "side": "BUY"}
    result = {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS", "newOrderResponse": new}
    answer = {"id": json.loads(request.body)["id"], "status": 200, "result": result}
    (event,) = side.decode("spot_orders", json.dumps(answer).encode(), AT)
    assert event == OrderAccepted(at=AT, order_id="arb-0001", venue_order_id="9", live=True)


@pytest.mark.parametrize(
    ("status", "code", "halves", "kind"),
    [
        (409, -2021, ("SUCCESS", "FAILURE", {}, {"code": -2010, "msg": "no"}), OrderEnded),
        (409, -2021, ("SUCCESS", "FAILURE", {}, {"code": -1007, "msg": "?"}), OrderUncertain),
        (
            400,
            -2022,
            ("FAILURE", "NOT_ATTEMPTED", {"code": -2011, "msg": "Unknown order sent."}, None),
            AmendRefused,
        ),
    ],
)
def test_a_replacement_that_fails_by_half_tells_what_is_left(
    status: int, code: int, halves: Any, kind: Any
) -> None:
    side = trade(REST)
    wish = AmendOrder(
        order_id="arb-0001", instrument=SPOT.id, side=Side.BUY, ticks=Ticks(1), lots=Lots(1)
    )
    (request,) = side.encode(wish, AT)
    names = ("cancelResult", "newOrderResult", "cancelResponse", "newOrderResponse")
    data = dict(zip(names, halves, strict=True))
    body = json.dumps({"code": code, "msg": "Order cancel-replace failed.", "data": data})
    (event,) = side.answered(Answer(tag=request.tag, status=status, body=body.encode()), AT)
    assert type(event) is kind

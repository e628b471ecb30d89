"""Many orders in one request, changed orders, COIN-M by REST, fills that the venue forced."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from binance_desk import AT, REPORT, REST, error, kinds, params, place, reported, trade
from binance_material import SPOT, USDM, instrument

from oneprice.model.commands import AmendOrder, AnyCommand, CancelAll, CancelOrder, QueryOrder
from oneprice.model.events import (
    AmendRefused,
    CancelRefused,
    FrameRejected,
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.units import Lots, Side, Ticks
from oneprice.venues.binance import SPEC, BinanceSettings
from oneprice.venues.contract import Ack, Answer, Request

COIN = instrument("coinm", "BTCUSD_PERP", "0.1", "1")
ETHER = instrument("usdm", "ETHUSDT", "0.1", "0.001", "ETH")


def desk(options: BinanceSettings | None = None) -> Any:
    return trade(options, COIN, ETHER)


def names(n: int) -> list[str]:
    return [f"o1a2b3c-{k:06}-00-0" for k in range(n)]


def several(n: int, item: Any = USDM) -> list[AnyCommand]:
    return [place(item, order_id=name) for name in names(n)]


def listed(request: Request, name: str = "batchOrders") -> Any:
    return json.loads(params(request)[name])


# Requests ---------------------------------------------------------------------------------


def test_a_batch_says_of_each_order_what_a_single_request_says() -> None:
    (request,) = desk(REST).batch(several(3), AT)
    singles = [params(each) for command in several(3) for each in desk(REST).encode(command, AT)]
    for single in singles:
        del single["recvWindow"]
    assert listed(request) == singles
    assert (request.method, request.path) == ("POST", "/fapi/v1/batchOrders")
    assert request.concerns == tuple(names(3)) and request.places and not request.order_id
    assert dict(request.cost) == {
        "futures_weight": 5, "futures_orders_10s": 3, "futures_orders_1m": 1,
    }  # fmt: skip


def test_batches_keep_the_order_and_the_sizes_the_venue_takes() -> None:
    commands = several(7)
    commands += [CancelOrder(order_id=name, instrument=USDM.id) for name in names(11)]
    commands += [CancelOrder(order_id="x", instrument=ETHER.id)]
    commands += [CancelAll(instrument=USDM.id), place(SPOT, order_id="s-1"), place(SPOT)]
    requests = desk().batch(commands, AT)
    assert [(each.tag.partition(":")[0], len(each.concerns)) for each in requests] == [
        ("place_many", 5), ("place_many", 2), ("cancel_many", 10), ("cancel", 1), ("cancel", 1),
        ("cancel_all", 0), ("place", 1), ("place", 1),
    ]  # fmt: skip
    assert len({each.tag for each in requests}) == len(requests)
    cancels = requests[2]
    assert (cancels.method, params(cancels)["symbol"]) == ("DELETE", "BTCUSDT")
    assert listed(cancels, "origClientOrderIdList") == names(10)
    assert " " not in parse_qs(cancels.query)["origClientOrderIdList"][0]


def test_a_batch_of_changes_goes_by_put() -> None:
    wish = {"instrument": USDM.id, "side": Side.BUY, "ticks": Ticks(9), "lots": Lots(2)}
    commands = [AmendOrder(order_id=name, **wish) for name in names(2)]  # type: ignore[arg-type]
    (request,) = desk().batch(commands, AT)
    assert (request.method, request.path) == ("PUT", "/fapi/v1/batchOrders")
    assert [row["origClientOrderId"] for row in listed(request)] == names(2)


@pytest.mark.parametrize("options", [None, REST])
def test_coin_margined_orders_go_by_rest_in_contracts(options: Any) -> None:
    (request,) = desk(options).encode(place(COIN), AT)
    assert (request.socket, request.host, request.path) == ("", "coinm_rest", "/dapi/v1/order")
    assert (params(request)["quantity"], params(request)["price"]) == ("10", "60000")
    (batch,) = desk(options).batch(several(2, COIN), AT)
    assert batch.path == "/dapi/v1/batchOrders" and batch.host == "coinm_rest"


@pytest.mark.parametrize(
    ("choice", "flag"),
    [("taker", "EXPIRE_TAKER"), ("maker", "EXPIRE_MAKER"), ("both", "EXPIRE_BOTH"),
     ("none", "NONE")],
)  # fmt: skip
def test_self_trades_are_prevented_as_chosen(choice: Any, flag: str) -> None:
    (request,) = desk(BinanceSettings(self_trade=choice)).encode(place(), AT)
    assert params(request)["selfTradePreventionMode"] == flag


# Answers ----------------------------------------------------------------------------------

TAKEN = {
    "symbol": "BTCUSDT", "orderId": 8, "status": "NEW", "price": "60000.0", "origQty": "0.010",
    "executedQty": "0.000", "timeInForce": "GTX", "side": "BUY",
}  # fmt: skip


def answered(rows: Any, commands: list[AnyCommand], status: int = 200) -> list[Any]:
    side = desk(REST)
    (request,) = side.batch(commands, AT)
    body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    answer = Answer(tag=request.tag, status=status, body=body, order_ids=request.order_ids)
    return list(side.answered(answer, AT))


def taken(n: int, **more: Any) -> dict[str, Any]:
    return {**TAKEN, "clientOrderId": names(9)[n], **more}


def test_each_order_of_a_batch_has_its_own_fate() -> None:
    rows = [
        taken(0),
        {"code": -2019, "msg": "Margin is insufficient."},
        {"code": -1007, "msg": "Timeout"},
        {"code": -4116, "msg": "ClientOrderId is duplicated."},
    ]
    one, two, three, four = answered(rows, several(4))
    assert isinstance(one, OrderAccepted) and (one.venue_order_id, one.live) == ("8", True)
    assert isinstance(two, OrderRefused) and two.reason == "insufficient_funds"
    assert isinstance(three, OrderUncertain) and isinstance(four, OrderUncertain)
    assert [each.order_id for each in (one, two, three, four)] == names(4)


@pytest.mark.parametrize(
    "rows", [[taken(0)], [taken(0), taken(0)], [taken(0), 7], [taken(0), {}], [taken(0), None]]
)
def test_an_order_that_the_answer_does_not_name_is_uncertain(rows: Any) -> None:
    events = answered(rows, several(2))
    assert kinds(events) == ["OrderAccepted", "FrameRejected", "OrderUncertain"]
    assert events[-1].order_id == names(2)[1]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (0, b"", OrderUncertain),
        (503, b"<html>", OrderUncertain),
        (200, b"{", OrderUncertain),
        (400, error(-1121, "Invalid symbol."), OrderRefused),
    ],
)
def test_a_batch_answered_as_a_whole_concerns_every_order(
    status: int, body: bytes, kind: Any
) -> None:
    events = [e for e in answered(body, several(2), status) if not isinstance(e, FrameRejected)]
    assert [(type(e), e.order_id) for e in events] == [(kind, name) for name in names(2)]


def test_cancels_of_a_batch_end_orders_and_are_refused_one_by_one() -> None:
    commands: list[AnyCommand] = [
        CancelOrder(order_id=name, instrument=USDM.id) for name in names(2)
    ]
    rows = [taken(0, status="CANCELED"), {"code": -2011, "msg": "Unknown order sent."}]
    ended, refused = answered(rows, commands)
    assert isinstance(ended, OrderEnded) and ended.reason == "cancelled"
    assert isinstance(refused, CancelRefused) and refused.reason == "no_such_order"


# Amends -----------------------------------------------------------------------------------


def wish(item: Any, ticks: int, lots: int) -> AmendOrder:
    return AmendOrder(
        order_id="arb-0001",
        instrument=item.id,
        side=Side.BUY,
        ticks=Ticks(ticks),
        lots=Lots(lots),
    )


@pytest.mark.parametrize("item", [USDM, COIN])
def test_a_modified_order_of_futures_is_told_with_its_new_terms(item: Any) -> None:
    side = desk(REST)
    (request,) = side.encode(wish(item, 599_000, 20), AT)
    assert request.method == "PUT" and params(request)["price"] == "59900"
    size = "20" if item is COIN else "0.020"
    row = {**TAKEN, "symbol": item.symbol, "price": "59900.0", "origQty": size}
    body = json.dumps({**row, "clientOrderId": "arb-0001"}).encode()
    accepted, amended = side.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert isinstance(accepted, OrderAccepted)
    assert amended == OrderAmended(at=AT, order_id="arb-0001", ticks=Ticks(599_000), lots=Lots(20))


def test_the_stream_tells_a_modified_order_too() -> None:
    order = {
        **REPORT, "x": "AMENDMENT", "X": "NEW", "p": "59900.0", "q": "0.020", "t": 0, "z": "0",
    }  # fmt: skip
    frame = json.dumps({"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": order}).encode()
    _, amended = desk().decode("usdm_user", frame, AT)
    assert (amended.ticks, amended.lots) == (599_000, 20)


@pytest.mark.parametrize("code", [-5027, -2013, -5022])
def test_an_amend_that_changes_nothing_is_refused_as_an_amend(code: int) -> None:
    side = desk(REST)
    (request,) = side.encode(wish(USDM, 1, 1), AT)
    answer = Answer(tag=request.tag, status=400, body=error(code, "no"))
    (event,) = side.answered(answer, AT)
    assert isinstance(event, AmendRefused)


def test_a_spot_order_made_smaller_keeps_its_place() -> None:
    side = desk(REST)
    side.encode(place(), AT)  # 10 lots at 600000
    (request,) = side.encode(wish(SPOT, 600_000, 4), AT)
    assert (request.method, request.path) == ("PUT", "/api/v3/order/amend/keepPriority")
    said = params(request)
    assert (said["newQty"], said["newClientOrderId"]) == ("0.00004", "arb-0001")
    order = {"symbol": "BTCUSDT", "orderId": 5, "status": "NEW", "price": "6000", "qty": "0.00004"}
    body = json.dumps({"transactTime": 1, "executionId": 16, "amendedOrder": order}).encode()
    _, amended = side.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert isinstance(amended, OrderAmended) and amended.lots == 4
    for ticks, lots in ((600_000, 9), (600_001, 2)):  # larger than now, or dearer
        (request,) = side.encode(wish(SPOT, ticks, lots), AT)
        assert request.path == "/api/v3/order/cancelReplace"


def test_an_amend_that_got_through_unanswered_is_told_by_the_query() -> None:
    side = desk(REST)
    side.encode(place(USDM), AT)
    query, fills = side.encode(QueryOrder(order_id="arb-0001", instrument=USDM.id), AT)
    state = json.dumps({**TAKEN, "price": "59900.0", "clientOrderId": "arb-0001"}).encode()
    assert not side.answered(Answer(tag=fills.tag, status=200, body=b"[]"), AT)
    accepted, amended = side.answered(Answer(tag=query.tag, status=200, body=state), AT)
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(amended, OrderAmended) and amended.ticks == 599_000


# Forced fills -----------------------------------------------------------------------------


def forced(socket: str, **changes: Any) -> Any:
    order = {**REPORT, "x": "CALCULATED", "C": "", **changes}
    frame = json.dumps({"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": order}).encode()
    return desk().decode(socket, frame, AT)


@pytest.mark.parametrize(
    ("client_id", "cause", "price"),
    [
        ("autoclose-1790000000001", "liquidation", "59999.5"),
        ("adl_autoclose", "adl", "59999.44"),
        ("settlement_autoclose-1", "delivery", "59999.44"),
        ("delivery_autoclose-1", "delivery", "59999.44"),
        ("anything", "liquidation", "59999.5"),
    ],
)
@pytest.mark.parametrize("socket", ["usdm_user", "coinm_user"])
def test_what_the_venue_forced_is_a_fill_of_no_order_of_ours(
    socket: str, client_id: str, cause: str, price: str
) -> None:
    size = {"l": "7", "z": "7", "s": "BTCUSD_PERP"} if socket == "coinm_user" else {}
    (fill,) = forced(socket, c=client_id, L=price, N=None, n=None, **size)
    assert isinstance(fill, OrderFilled) and (fill.cause, fill.order_id) == (cause, "")
    # Delivered or deleveraged off the grid, a purchase is told at the higher tick.
    assert fill.ticks == 599_995
    assert fill.fee_asset == ("BTC" if size else "USDT")


def test_news_of_the_venues_own_orders_are_no_news_of_ours() -> None:
    assert forced("usdm_user", c="autoclose-1", x="NEW", X="NEW", t=0) == []
    (event,) = forced("usdm_user", c="autoclose-1", l="wrong")
    assert isinstance(event, FrameRejected)


def test_a_contract_told_by_the_other_socket_is_found_by_its_symbol() -> None:
    (fill, _) = forced("usdm_user", x="TRADE", s="BTCUSD_PERP", l="7", z="7")
    assert fill.instrument == COIN.id and fill.fill_id.startswith("coinm:")


# Allowances -------------------------------------------------------------------------------


def test_the_counts_of_an_answer_on_the_order_socket_are_told_when_they_differ() -> None:
    side, told = desk(), []
    rows = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100,
         "count": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160_000},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
         "limit": 6_000},
        {"rateLimitType": "NOVEL", "interval": "AEON", "intervalNum": 1, "limit": 1},
        7,
    ]  # fmt: skip
    for _ in range(2):
        (request,) = side.encode(CancelOrder(order_id="a", instrument=SPOT.id), AT)
        frame = {
            "id": json.loads(request.body)["id"], "status": 400, "rateLimits": rows,
            "error": {"code": -2011, "msg": "Unknown order sent."},
        }  # fmt: skip
        told += [
            each for each in side.decode("spot_orders", json.dumps(frame).encode(), AT)
            if isinstance(each, Ack)
        ]  # fmt: skip
    (ack,) = told
    assert (ack.kind, ack.bucket) == ("limit", "spot_orders_10s")
    assert ack.limit is not None and (ack.limit.count, ack.limit.per_ms) == (100, 10_000)
    known = {limit.bucket: limit for limit in SPEC.limits}["spot_orders_10s"]
    assert ack.limit.used_header == known.used_header and ack.limit.window == "calendar"


def test_orders_reported_by_the_spot_stream_still_are_ours() -> None:
    (fill, ended) = reported()
    assert (fill.cause, fill.order_id, ended.order_id) == ("trade", "arb-0001", "arb-0001")

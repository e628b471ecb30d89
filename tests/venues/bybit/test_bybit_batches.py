"""Many orders in one request, changed orders, allowances as the venue states them."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oneprice.model.commands import (
    AmendOrder,
    AnyCommand,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    QueryOrder,
)
from oneprice.model.events import (
    AmendRefused,
    CancelRefused,
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Lots, Nanos, Side, Ticks
from oneprice.venues.bybit import SPEC
from oneprice.venues.bybit.trade import BybitSettings, BybitTrade
from oneprice.venues.contract import Ack, Answer, Credentials, Request

AT = Nanos(1_790_000_000_000_000_000)
LINEAR, SPOT, INVERSE = (
    "bybit:linear:BTCUSDT",
    "bybit:spot:BTCUSDT",
    "bybit:inverse:BTCUSD",
)
PAYOFFS = {"spot": Payoff.SPOT, "linear": Payoff.LINEAR, "inverse": Payoff.INVERSE}


def item(name: str) -> Instrument:
    _, market, symbol = name.split(":")
    return Instrument(
        id=name,
        venue="bybit",
        market=market,
        symbol=symbol,
        payoff=PAYOFFS[market],
        base="BTC",
        quote=symbol[3:],
        settle="BTC" if market == "inverse" else "USDT",
        tick=Decimal("0.1"),
        lot=Decimal(1) if market == "inverse" else Decimal("0.001"),
    )


LISTED = {name: item(name) for name in (LINEAR, SPOT, INVERSE)}
REST = BybitSettings(order_entry="rest")


def trade_of(settings: BybitSettings | None = None) -> BybitTrade:
    return BybitTrade(Credentials("k", "s"), LISTED, settings)


def place(n: int, instrument: str = LINEAR) -> PlaceOrder:
    return PlaceOrder(
        order_id=f"o1a2b3c-{n:06}-00-0",
        group="g",
        instrument=instrument,
        side=Side.BUY,
        ticks=Ticks(600_000),
        lots=Lots(4),
    )


def ids(n: int) -> list[str]:
    return [place(k).order_id for k in range(n)]


def body_of(request: Request) -> Any:
    said = msgspec.json.decode(request.body)
    return said["args"][0] if request.socket else said


@pytest.mark.parametrize("settings", [None, REST])
def test_a_batch_says_of_each_order_what_a_single_request_says(
    settings: BybitSettings | None,
) -> None:
    many = trade_of(settings).batch([place(n, INVERSE) for n in range(3)], AT)
    singles = [trade_of(settings).encode(place(n, INVERSE), AT)[0] for n in range(3)]
    (request,) = many
    said = body_of(request)
    assert said["category"] == "inverse"
    assert [{"category": "inverse", **row} for row in said["request"]] == [
        body_of(single) for single in singles
    ]
    assert request.concerns == tuple(ids(3)) and request.places and not request.order_id
    assert ("create_batch:derivatives", 3) in request.cost
    if settings is None:
        assert msgspec.json.decode(request.body)["op"] == "order.create-batch"
    else:
        assert request.path == "/v5/order/create-batch" and ("ip", 1) in request.cost


def test_batches_hold_ten_orders_of_one_kind_and_market_and_keep_the_order() -> None:
    commands: list[AnyCommand] = [place(n) for n in range(12)]
    commands += [CancelOrder(order_id="x", instrument=SPOT), CancelAll(instrument=SPOT)]
    commands += [place(n, SPOT) for n in range(20, 22)]
    requests = trade_of().batch(commands, AT)
    assert [request.tag.partition(":")[0] for request in requests] == [
        "place_many", "place_many", "cancel", "cancel_all", "place_many",
    ]  # fmt: skip
    assert [len(request.concerns) for request in requests] == [10, 2, 1, 0, 2]
    assert len({request.tag for request in requests}) == len(requests)
    assert requests[-1].cost == (("create_batch:spot", 2),)


def test_every_cost_of_a_batch_names_a_bucket_that_holds_it() -> None:
    counts = {limit.bucket: limit.count for limit in SPEC.limits}
    for market in (LINEAR, SPOT, INVERSE):
        amend = {"side": Side.BUY, "ticks": Ticks(1), "lots": Lots(1), "instrument": market}
        kinds: list[list[AnyCommand]] = [
            [place(n, market) for n in range(30)],
            [AmendOrder(order_id=f"a-{n}", **amend) for n in range(30)],  # type: ignore[arg-type]
            [CancelOrder(order_id=f"a-{n}", instrument=market) for n in range(30)],
        ]
        for commands in kinds:
            for request in trade_of(REST).batch(commands, AT):
                assert all(amount <= counts[bucket] for bucket, amount in request.cost)


ROW = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "v",
    "orderLinkId": "",
    "createAt": "",
}


def answered(rows: Any, codes: Any, *, by: str = "rest", verb: str = "place") -> list[Any]:
    trade = trade_of(REST if by == "rest" else None)
    commands: list[AnyCommand] = [place(n) for n in range(3)]
    if verb == "cancel":
        commands = [CancelOrder(order_id=n, instrument=LINEAR) for n in ids(3)]
    (request,) = trade.batch(commands, AT)
    said = {"retCode": 0, "retMsg": "OK", "retExtInfo": {"list": codes}, "time": 1}
    if by == "rest":
        answer = Answer(
            tag=request.tag,
            status=200,
            body=msgspec.json.encode({**said, "result": {"list": rows}}),
            order_ids=request.order_ids,
        )
        return list(trade.answered(answer, AT))
    request_id = msgspec.json.decode(request.body)["reqId"]
    frame = {**said, "reqId": request_id, "op": "order.create-batch", "data": {"list": rows}}
    return list(trade.decode("trade", msgspec.json.encode(frame), AT))


@pytest.mark.parametrize("by", ["rest", "socket"])
def test_each_order_of_a_batch_has_its_own_fate(by: str) -> None:
    rows = [ROW, ROW | {"orderId": "", "orderLinkId": ids(3)[1]}, ROW | {"orderId": ""}]
    codes = [
        {"code": 0, "msg": "OK"},
        {"code": 170131, "msg": "Insufficient balance."},
        {"code": 10016, "msg": "?"},
    ]
    one, two, three = answered(rows, codes, by=by)
    assert isinstance(one, OrderAccepted) and one.venue_order_id == "v"
    assert isinstance(two, OrderRefused) and two.reason == "insufficient_funds"
    assert isinstance(three, OrderUncertain) and three.reason == "venue_busy"
    assert [one.order_id, two.order_id, three.order_id] == ids(3)


@pytest.mark.parametrize(
    ("rows", "codes"),
    [
        ([ROW], [{"code": 0}]),
        ([], []),
        ([ROW] * 3, [{"code": 0}] * 2),
        ([ROW, ROW, ROW | {"orderLinkId": "another"}], [{"code": 0}] * 3),
        ("?", [{"code": 0}] * 3),
        ([ROW] * 3, [{"code": "0"}] * 3),
    ],
)
def test_an_order_that_the_answer_does_not_name_is_uncertain(rows: Any, codes: Any) -> None:
    events = answered(rows, codes)
    assert [event.order_id for event in events] == ids(3)
    assert isinstance(events[-1], OrderUncertain)


def test_a_batch_without_an_answer_leaves_every_order_uncertain() -> None:
    trade = trade_of(REST)
    (request,) = trade.batch([place(0), place(1)], AT)
    lost = Answer(tag=request.tag, status=0, order_ids=request.order_ids)
    events = trade.answered(lost, AT)
    assert [(type(e), e.order_id) for e in events] == [  # type: ignore[union-attr]
        (OrderUncertain, ids(2)[0]),
        (OrderUncertain, ids(2)[1]),
    ]


def test_a_batch_that_was_refused_whole_refuses_every_order() -> None:
    trade = trade_of(REST)
    (request,) = trade.batch([place(0), place(1)], AT)
    body = b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1}'
    pause, *events = trade.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert isinstance(pause, Ack) and pause.bucket == "create_batch:derivatives"
    assert [type(e) for e in events] == [OrderRefused, OrderRefused]


def test_cancels_of_a_batch_that_came_too_late_are_refused_one_by_one() -> None:
    codes = [{"code": 0}, {"code": 110001, "msg": "too late"}, {"code": 0}]
    (refused,) = answered([ROW] * 3, codes, verb="cancel")
    assert isinstance(refused, CancelRefused) and refused.order_id == ids(3)[1]


# Amends ----------------------------------------------------------------------------------


def row(**changes: Any) -> dict[str, Any]:
    return {
        "category": "linear",
        "symbol": "BTCUSDT",
        "orderId": "v",
        "orderLinkId": ids(1)[0],
        "side": "Buy",
        "orderStatus": "New",
        "price": "60000.0",
        "qty": "0.004",
        "cumExecQty": "0",
        "updatedTime": "1790000000400",
        **changes,
    }


def streamed(trade: BybitTrade, **changes: Any) -> list[Any]:
    frame = msgspec.json.encode({"topic": "order", "data": [row(**changes)]})
    return list(trade.decode("private", frame, AT))


def test_new_terms_are_told_once_and_only_by_the_venue() -> None:
    trade = trade_of()
    trade.encode(place(0), AT)
    assert [type(e) for e in streamed(trade)] == [OrderAccepted]
    changed = {"price": "59999.5", "qty": "0.008", "updatedTime": "1790000000500"}
    _, amended = streamed(trade, **changed)
    assert amended == OrderAmended(at=AT, order_id=ids(1)[0], ticks=Ticks(599_995), lots=Lots(8))
    assert [type(e) for e in streamed(trade, **changed)] == [OrderAccepted]
    assert [type(e) for e in streamed(trade)] == [OrderAccepted]  # an older row, late


def test_a_price_that_the_venue_moved_into_its_band_is_told() -> None:
    trade = trade_of()
    trade.encode(place(0), AT)
    _, amended = streamed(trade, price="59000.0")
    assert isinstance(amended, OrderAmended) and amended.ticks == 590_000


def test_an_amend_that_got_through_unanswered_is_told_by_the_query() -> None:
    trade = trade_of()
    trade.encode(place(0), AT)
    command = QueryOrder(order_id=ids(1)[0], instrument=LINEAR)
    events: list[Any] = []
    for request in trade.encode(command, AT):
        rows = [row(qty="0.002")] if "realtime" in request.tag else []
        result = {"list": rows, "nextPageCursor": ""}
        body = msgspec.json.encode({"retCode": 0, "result": result, "time": 1})
        events += trade.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert [type(e) for e in events] == [OrderAccepted, OrderAmended]
    assert events[1].lots == 2


@pytest.mark.parametrize("code", [110001, 110064, 34040])
def test_an_amend_that_changes_nothing_is_refused_as_an_amend(code: int) -> None:
    body = msgspec.json.encode({"retCode": code, "retMsg": "", "result": {}, "time": 1})
    (event,) = trade_of().answered(Answer(tag="amend:a-1", status=200, body=body), AT)
    assert isinstance(event, AmendRefused) and event.order_id == "a-1"


def test_an_order_that_ended_forgets_its_terms() -> None:
    trade = trade_of()
    trade.encode(place(0), AT)
    (ended,) = streamed(trade, orderStatus="Cancelled", price="1")
    assert isinstance(ended, OrderEnded)
    assert not trade._resting._known


# Forced fills -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("BustTrade", "liquidation"), ("AdlTrade", "adl"), ("Delivery", "delivery"),
     ("Settle", "delivery"), ("Trade", "trade")],
)  # fmt: skip
def test_what_the_venue_forced_is_a_fill_of_no_order_of_ours(kind: str, cause: str) -> None:
    said = {
        "category": "inverse", "symbol": "BTCUSD", "orderId": "v", "orderLinkId": "mine",
        "side": "Sell", "execFee": "0", "execId": "e", "execPrice": "59999.96", "execQty": "7",
        "execType": kind, "execTime": "1790000000000", "isMaker": False,
    }  # fmt: skip
    if cause not in ("adl", "delivery"):
        said["execPrice"] = "59999.9"
    frame = msgspec.json.encode({"topic": "execution", "data": [said]})
    (fill,) = trade_of().decode("private", frame, AT)
    assert isinstance(fill, OrderFilled) and fill.cause == cause
    assert fill.order_id == ("mine" if cause == "trade" else "")
    # Delivered or deleveraged off the grid, a sale is told at the lower tick.
    assert (fill.ticks, fill.lots, fill.fee_asset) == (599_999, 7, "BTC")


# Allowances -------------------------------------------------------------------------------


def test_an_allowance_that_differs_from_ours_is_told_once() -> None:
    trade = trade_of(REST)
    body = b'{"retCode":0,"retMsg":"OK","result":{"orderId":"v","orderLinkId":""},"time":1}'
    told = []
    for n, count in enumerate(("10", "60", "60", "", "x")):
        (request,) = trade.encode(place(n), AT)
        headers = (("x-bapi-limit", count), ("x-bapi-limit-status", "9"))
        answer = Answer(tag=request.tag, status=200, body=body, headers=headers)
        told += [e for e in trade.answered(answer, AT) if isinstance(e, Ack)]
    (ack,) = told
    assert (ack.kind, ack.bucket) == ("limit", "create:derivatives")
    assert ack.limit is not None and (ack.limit.count, ack.limit.per_ms) == (60, 1000)
    assert ack.limit.left_header == "x-bapi-limit-status"


def test_what_is_said_of_one_allowance_never_narrows_the_one_per_address() -> None:
    trade = trade_of(REST)
    body = b'{"retCode":0,"retMsg":"OK","result":{},"time":1}'
    headers = (("x-bapi-limit", "7"),)
    buckets = []
    for tag in ("key", "mode:linear:one_way:X", f"leverage:3:{LINEAR}", "place:a", "cancel:a"):
        answer = Answer(tag=tag, status=200, body=body, headers=headers)
        buckets += [e.bucket for e in trade.answered(answer, AT) if isinstance(e, Ack)]
    assert buckets == ["key", "position_set"]


def test_the_order_socket_tells_allowances_too_and_a_bad_one_hides_no_order() -> None:
    trade = trade_of()
    for header, kinds in (({"X-Bapi-Limit": "20"}, [Ack, OrderAccepted]), (3, [OrderAccepted])):
        (request,) = trade.encode(place(0), AT)
        frame = {
            "reqId": msgspec.json.decode(request.body)["reqId"], "retCode": 0, "retMsg": "OK",
            "op": "order.create", "data": {"orderId": "v"}, "header": header,
        }  # fmt: skip
        out = trade.decode("trade", msgspec.json.encode(frame), AT)
        assert [type(e) for e in out] == kinds


@pytest.mark.parametrize(
    ("choice", "flag"),
    [("taker", "CancelTaker"), ("maker", "CancelMaker"), ("both", "CancelBoth"), ("none", "None")],
)
def test_self_trades_are_prevented_as_chosen(choice: Any, flag: str) -> None:
    (request,) = trade_of(BybitSettings(self_trade=choice)).encode(place(0), AT)
    assert body_of(request)["smpType"] == flag

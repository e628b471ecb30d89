"""Orders leave as OKX wants them, alone or together, and answers reach the right order."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from okx_material import AT, ETHER, SPOT, SWAP, answer, cancel, new_trade, place

from oneprice.model.commands import (
    CancelAll,
    Priority,
    QueryOrder,
    SetLeverage,
    SetTimer,
    TimeInForce,
)
from oneprice.model.events import (
    FrameRejected,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.contract import REFUSALS, Ack, Answer, Request
from oneprice.venues.okx import SPEC
from oneprice.venues.okx.trade import OkxTrade


def sent(request: Request) -> Any:
    return msgspec.json.decode(request.body)


def words(outputs: Any) -> list[tuple[str, str]]:
    return [(type(event).__name__, event.order_id) for event in outputs]


# Batches -------------------------------------------------------------------------------


def test_orders_of_one_kind_leave_together_and_twenty_at_most() -> None:
    trade = new_trade()
    commands = [place(f"p{number}") for number in range(21)] + [cancel("c1"), cancel("c2")]
    first, rest, cancels = trade.batch(commands, AT)
    frame = sent(first)
    assert frame["op"] == "batch-orders"
    assert [arg["clOrdId"] for arg in frame["args"]] == [f"p{number}" for number in range(20)]
    assert first.order_ids == tuple(f"p{number}" for number in range(20))
    assert (first.order_id, first.places) == ("", True)
    assert dict(first.cost) == {"place_many:BTC-USDT-SWAP": 20, "account_orders": 20}
    # One order alone counts, and is sent, as a single one.
    assert (sent(rest)["op"], rest.tag, rest.order_id) == ("order", "place:p20", "p20")
    assert dict(rest.cost) == {"place:BTC-USDT-SWAP": 1, "account_orders": 1}
    assert sent(cancels)["op"] == "batch-cancel-orders"
    assert dict(cancels.cost) == {"cancel_many:BTC-USDT-SWAP": 2}
    assert "expTime" not in sent(cancels)
    assert not cancels.places


def test_a_batch_goes_with_the_most_urgent_of_its_orders() -> None:
    urgent = place("b", priority=Priority.UNWIND)
    (request,) = new_trade().batch([place("a"), urgent], AT)
    assert request.priority is Priority.UNWIND


def answered_batch(trade: OkxTrade, code: str, *items: dict[str, str]) -> Any:
    (request,) = trade.batch([place("a1"), place("a2"), place("a3")], AT)
    frame = {"id": sent(request)["id"], "op": "batch-orders", "code": code, "data": items}
    return trade.decode("private", msgspec.json.encode({"msg": "", **frame}), AT)


def test_each_order_of_a_batch_has_its_own_verdict() -> None:
    outputs = answered_batch(
        new_trade(),
        "2",
        {"clOrdId": "a1", "ordId": "1", "sCode": "0", "sMsg": ""},
        {"clOrdId": "a2", "ordId": "", "sCode": "51020", "sMsg": "small"},
        {"clOrdId": "a3", "ordId": "", "sCode": "51054", "sMsg": "timeout"},
    )
    assert words(outputs) == [
        ("OrderAccepted", "a1"),
        ("OrderRefused", "a2"),
        ("OrderUncertain", "a3"),
    ]
    assert outputs[1].reason == "too_small"


def test_an_item_goes_to_the_order_it_names_and_an_order_unnamed_is_unknown() -> None:
    outputs = answered_batch(
        new_trade(),
        "2",
        {"clOrdId": "a3", "ordId": "3", "sCode": "0", "sMsg": ""},
        {"clOrdId": "a1", "ordId": "", "sCode": "51008", "sMsg": "poor"},
    )
    assert words(outputs) == [
        ("OrderRefused", "a1"),
        ("OrderUncertain", "a2"),
        ("OrderAccepted", "a3"),
    ]


def test_a_no_to_the_whole_batch_is_one_to_each_order() -> None:
    assert words(answered_batch(new_trade(), "60011")) == [
        ("OrderRefused", "a1"),
        ("OrderRefused", "a2"),
        ("OrderRefused", "a3"),
    ]
    assert {type(o) for o in answered_batch(new_trade(), "64007")} == {OrderUncertain}
    # An allowance that is used up pauses once, however many orders it hit.
    noes = [{"clOrdId": f"a{n}", "ordId": "", "sCode": "50061"} for n in (1, 2, 3)]
    pause, *refused = answered_batch(new_trade(), "1", *noes)
    assert isinstance(pause, Ack)
    assert (pause.kind, pause.bucket) == ("rate", "account_orders")
    assert {type(o) for o in refused} == {OrderRefused}


def test_a_batch_by_rest_is_an_array_and_an_answer_that_never_came_leaves_all_unknown() -> None:
    trade = new_trade(order_entry="rest")
    (request,) = trade.batch([place("a1"), place("a2", SPOT)], AT)
    assert (request.method, request.path) == ("POST", "/api/v5/trade/batch-orders")
    assert [item["instId"] for item in sent(request)] == ["BTC-USDT-SWAP", "BTC-USDT"]
    assert request.places
    lost = msgspec.structs.replace(answer(request.tag, []), status=0)
    assert words(trade.answered(lost, AT)) == [("OrderUncertain", "a1"), ("OrderUncertain", "a2")]
    # The tag is forgotten by now, as after a restart: the ids come with the answer.
    again = msgspec.structs.replace(lost, order_ids=request.order_ids)
    assert words(trade.answered(again, AT)) == [("OrderUncertain", "a1"), ("OrderUncertain", "a2")]


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "OrderRefused"), (429, "OrderUncertain"), (418, "OrderUncertain")]
)
def test_who_is_kept_out_was_never_asked_and_other_pages_say_nothing(status, kind) -> None:
    trade = new_trade(order_entry="rest")
    (request,) = trade.batch([place("a1"), place("a2", SPOT)], AT)
    page = Answer(tag=request.tag, status=status, body=b"<html>Access denied</html>")
    told = [o for o in trade.answered(page, AT) if not isinstance(o, Ack)]
    assert words(told) == [(kind, "a1"), (kind, "a2")]


# Single orders ---------------------------------------------------------------------------


def test_an_instrument_without_a_number_is_dealt_in_by_rest() -> None:
    trade = new_trade()
    by_rest, by_socket = trade.batch([place("a", ETHER), place("b")], AT)
    assert (by_rest.socket, by_rest.path) == ("", "/api/v5/trade/order")
    assert sent(by_rest)["instId"] == "ETH-USDT-SWAP"
    assert by_socket.socket == "private"
    outputs = trade.answered(answer("place:a", [{"clOrdId": "a", "ordId": "9", "sCode": "0"}]), AT)
    assert outputs == [OrderAccepted(at=AT, order_id="a", venue_order_id="9")]


@pytest.mark.parametrize(
    ("ours", "kind", "theirs"),
    [
        ("taker", TimeInForce.IOC, "cancel_taker"),
        ("maker", TimeInForce.FOK, "cancel_maker"),
        ("both", TimeInForce.GTC, "cancel_both"),
        ("both", TimeInForce.FOK, "cancel_taker"),
    ],
)
def test_self_trade_is_prevented_as_it_is_set_where_the_venue_can(
    ours: str, kind: TimeInForce, theirs: str
) -> None:
    (request,) = new_trade(self_trade=ours).encode(place("a", time_in_force=kind), AT)
    assert sent(request)["args"][0]["stpMode"] == theirs


def test_settings_of_the_account_are_written_into_orders() -> None:
    trade = new_trade(tag="arbA", trade_quote="USD", margin="isolated", spot_mode="cross")
    (spot,), (swap,) = trade.encode(place("a", SPOT), AT), trade.encode(place("b"), AT)
    spot_order, swap_order = sent(spot)["args"][0], sent(swap)["args"][0]
    assert (spot_order["tdMode"], spot_order["tradeQuoteCcy"]) == ("cross", "USD")
    assert (swap_order["tdMode"], swap_order["tag"]) == ("isolated", "arbA")
    assert "tradeQuoteCcy" not in swap_order


def test_an_order_leaves_with_the_moment_after_which_it_is_stale() -> None:
    trade = new_trade(order_window_ms=700)
    (request,) = trade.encode(place("a"), AT)
    assert sent(trade.sign(request, 1_790_000_000_000))["expTime"] == "1790000000700"
    (request,) = new_trade(order_window_ms=0).encode(place("a"), AT)
    assert "expTime" not in sent(request)


def test_what_cannot_be_sent_is_refused_and_what_is_no_order_is_nothing() -> None:
    trade = new_trade()
    with pytest.raises(ValueError, match="never listed"):
        trade.encode(place("a", "okx:swap:X-USDT-SWAP"), AT)
    with pytest.raises(ValueError, match="order id"):
        trade.encode(place("a" * 40), AT)
    assert trade.encode(SetTimer(timer="t", due=AT), AT) == ()


def test_after_a_restart_an_answer_is_known_by_the_ids_it_names() -> None:
    item = {"clOrdId": "old1", "ordId": "5", "sCode": "51400", "sMsg": "gone"}
    frame = {"id": "x", "op": "cancel-order", "code": "1", "msg": "", "data": [item]}
    (refused,) = new_trade().decode("private", msgspec.json.encode(frame), AT)
    assert words([refused]) == [("CancelRefused", "old1")]
    nameless = {**frame, "data": [{**item, "clOrdId": ""}]}
    (told,) = new_trade().decode("private", msgspec.json.encode(nameless), AT)
    assert isinstance(told, FrameRejected)


# Conversations -----------------------------------------------------------------------------


def order_row(**changes: Any) -> dict[str, Any]:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "ordId": "6808", "clOrdId": "q1",
        "px": "90000", "sz": "9", "side": "buy", "accFillSz": "1.01", "state": "filled",
        "uTime": str(AT // MILLI), **changes,
    }  # fmt: skip


def fill_row(number: int) -> dict[str, str]:
    return {
        "instId": "BTC-USDT-SWAP", "tradeId": str(number), "ordId": "6808", "clOrdId": "",
        "billId": str(10_000 + number), "fillPx": "90000", "fillSz": "0.01", "side": "buy",
        "execType": "M", "fee": "0.001", "feeCcy": "USDT", "ts": str(1_790_000_000_000 + number),
    }  # fmt: skip


def test_all_pages_of_fills_are_told_before_the_state() -> None:
    trade = new_trade()
    (question,) = trade.encode(QueryOrder(order_id="q1", instrument=SWAP), AT)
    assert (question.order_id, question.signed) == ("q1", True)
    assert trade.answered(answer(question.tag, [order_row()]), AT) == []
    (fills,) = trade.follow_ups()
    assert fills.path == "/api/v5/trade/fills"
    assert "ordId=6808" in fills.query
    page = [fill_row(number) for number in range(101, 1, -1)]
    assert trade.answered(answer(fills.tag, page), AT) == []
    (more,) = trade.follow_ups()
    assert more.query.endswith("&after=10002")
    *told, ended = trade.answered(answer(more.tag, [fill_row(1)]), AT)
    assert [event.fill_id for event in told] == [str(number) for number in range(1, 102)]  # type: ignore[union-attr]
    assert all(isinstance(e, OrderFilled) and e.order_id == "q1" for e in told)
    assert told[0].fee == Decimal("-0.001")  # type: ignore[union-attr]
    assert ended == OrderEnded(at=AT, order_id="q1", filled_lots=101, reason="filled")  # type: ignore[arg-type]


def test_fills_of_an_old_order_are_looked_for_in_the_archive() -> None:
    trade = new_trade()
    (question,) = trade.encode(QueryOrder(order_id="q1", instrument=SWAP), AT)
    later = Nanos(AT + 3 * 86_400_000 * MILLI)
    trade.answered(answer(question.tag, [order_row()]), later)
    (fills,) = trade.follow_ups()
    assert (fills.path, fills.cost) == ("/api/v5/trade/fills-history", (("fills_history", 1),))


def test_fills_that_could_not_be_had_leave_the_state_unsaid() -> None:
    trade = new_trade()
    (question,) = trade.encode(QueryOrder(order_id="q1", instrument=SWAP), AT)
    trade.answered(answer(question.tag, [order_row()]), AT)
    (fills,) = trade.follow_ups()
    outputs = trade.answered(answer(fills.tag, [], "50011", 429), AT)
    assert [type(o) for o in outputs] == [FrameRejected, Ack]


def test_an_answer_about_another_order_concludes_nothing() -> None:
    trade = new_trade()
    (question,) = trade.encode(QueryOrder(order_id="q1", instrument=SWAP), AT)
    (told,) = trade.answered(answer(question.tag, [order_row(clOrdId="q2")]), AT)
    assert isinstance(told, FrameRejected)
    assert trade.answered(answer(question.tag, [order_row()]), AT) == []  # given up


def test_cancelling_all_lists_what_is_open_and_cancels_it_in_twenties() -> None:
    trade = new_trade()
    (listing,) = trade.encode(CancelAll(instrument=SWAP), AT)
    assert listing.priority is Priority.CANCEL
    page = [order_row(ordId=str(n), clOrdId=f"c{n}", state="live") for n in range(99)]
    page.append(order_row(ordId="99", clOrdId="", state="live"))
    assert trade.answered(answer(listing.tag, page), AT) == []
    *cancels, more = trade.follow_ups()
    assert [len(sent(request)) for request in cancels] == [20] * 5
    assert sent(cancels[0])[0] == {"instId": "BTC-USDT-SWAP", "ordId": "0"}
    assert cancels[4].cost == (("cancel_many:BTC-USDT-SWAP", 20),)
    assert len(cancels[4].order_ids) == 19  # the last is not ours, and cancelled as well
    assert more.query.endswith("&after=99")
    item = {"ordId": "0", "clOrdId": "c0", "sCode": "51400", "sMsg": "gone"}
    rest = [{"ordId": str(n), "clOrdId": f"c{n}", "sCode": "0"} for n in range(1, 20)]
    outputs = trade.answered(answer(cancels[0].tag, [item, *rest], "2"), AT)
    assert words(outputs) == [("CancelRefused", "c0")]
    assert trade.answered(answer(more.tag, []), AT) == []
    assert trade.follow_ups() == []


def test_the_dead_mans_switch_is_set_again_well_before_it_goes_off() -> None:
    assert new_trade().keep_alive() == ()
    ((every_ms, request),) = new_trade(dead_man_ms=30_000, tag="arbA").keep_alive()
    assert (every_ms, request.path) == (6_000, "/api/v5/trade/cancel-all-after")
    assert sent(request) == {"timeOut": "30", "tag": "arbA"}
    assert request.signed
    trade = new_trade(dead_man_ms=10_000)
    set_ = [{"triggerTime": "1767323075", "tag": "", "ts": "1767323045"}]
    assert trade.answered(answer("dead_man", set_), AT) == []
    (told,) = trade.answered(answer("dead_man", [], "50120"), AT)
    assert isinstance(told, FrameRejected)


def test_leverage_of_isolated_sides_is_set_for_each() -> None:
    trade = new_trade(margin="isolated")
    trade.answered(answer("mode:swap", [{"posMode": "long_short_mode"}]), AT)
    command = SetLeverage(instrument=SWAP, leverage=Decimal("10.0"))
    requests = trade.encode(command, AT)
    assert [sent(request)["posSide"] for request in requests] == ["long", "short"]
    assert sent(requests[0])["lever"] == "10"


def test_every_instrument_has_an_allowance_of_its_own_and_the_account_one_for_all() -> None:
    (both,) = new_trade().batch([place("a"), place("b", instrument=SPOT)], AT)
    expected = {"place_many:BTC-USDT-SWAP": 1, "place_many:BTC-USDT": 1, "account_orders": 2}
    assert dict(both.cost) == expected


# Facts -----------------------------------------------------------------------------------


def test_every_refusal_is_a_word_of_ours_and_every_cost_has_an_allowance() -> None:
    assert frozenset(SPEC.refusals.values()) <= frozenset(REFUSALS)
    buckets = {limit.bucket for limit in SPEC.limits}
    trade = new_trade(wanted=(SWAP,), dead_man_ms=10_000)
    requests = [request for _, request in trade.keep_alive()]
    requests += trade.batch([place("a"), place("b"), cancel("c"), CancelAll(instrument=SWAP)], AT)
    requests += trade.encode(QueryOrder(order_id="q1", instrument=SWAP), AT)
    for request in requests:
        assert request.cost
        assert {name.partition(":")[0] for name, _ in request.cost} <= buckets
    for socket in SPEC.sockets:
        assert {name for name, _ in socket.connect_cost} <= buckets

"""Sockets of the Bybit twin: exact answers, book sequences, faults, private news, reaper."""

import ast
import asyncio
import os
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

SECOND = 1_000_000_000
DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
PRIVATE = DATA / "private_streams"
BOOK = "orderbook.50.BTCUSDT"


def applied(book: dict[str, dict[str, str]], message: dict[str, Any]) -> None:
    if message["type"] == "snapshot":
        book["b"], book["a"] = {}, {}
    for side in ("b", "a"):
        for price, size in message["data"][side]:
            if size == "0":
                del book[side][price]  # a deletion always names a level that was shown
            else:
                book[side][price] = size


async def test_answers_subscriptions_and_pings_as_each_socket_does(venue: Any) -> None:
    subscribe = {"op": "subscribe", "args": ["orderbook.1.BTCUSDT"]}
    spot = await venue.line("/v5/public/spot")
    answer = await spot.ask(subscribe)
    assert list(answer) == ["success", "ret_msg", "conn_id", "op"]
    assert (answer["success"], answer["ret_msg"]) == (True, "subscribe")
    pong = await spot.ask({"op": "ping"})
    assert (pong["ret_msg"], pong["op"], "req_id" in pong) == ("pong", "ping", False)
    linear = await venue.line("/v5/public/linear")
    answer = await linear.ask(subscribe | {"req_id": "s1"})
    assert (answer["ret_msg"], answer["req_id"], answer["op"]) == ("", "s1", "subscribe")
    pong = await linear.ask({"op": "ping"})
    assert (pong["ret_msg"], pong["req_id"], pong["op"]) == ("pong", "", "ping")
    private = await venue.login("/v5/private")
    pong = await private.ask({"op": "ping", "req_id": "x"})
    assert list(pong) == ["req_id", "op", "args", "conn_id"] and pong["op"] == "pong"
    trade = await venue.login("/v5/trade")
    pong = await trade.ask({"op": "ping"})
    assert list(pong) == ["retCode", "retMsg", "op", "data", "connId"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["orderbook.500.BTCUSDT"], "handler not found"),
        (["orderbook.50.NOUSDT"], "handler not found"),
        (["publicTrade.BTCUSDT", "dcp.future"], "handler not found,topic:dcp.future"),
        ([], "Params Error"),
        ([5], "Params Error"),
        (["publicTrade.BTCUSDT"] * 1200, "args length"),
    ],
)
async def test_fails_a_whole_subscription_for_one_bad_topic(
    venue: Any, args: list[Any], words: str
) -> None:
    line = await venue.line("/v5/public/linear")
    answer = await line.ask({"op": "subscribe", "args": args})
    assert answer["success"] is False and words in answer["ret_msg"]
    assert (await line.ask({"op": "subscribe", "args": [BOOK]}))["success"] is True
    again = await line.ask({"op": "subscribe", "args": [BOOK]})
    assert again["ret_msg"] == f"error:already subscribed,topic:{BOOK}"


async def test_limits_spot_to_ten_topics_a_request(venue: Any) -> None:
    line = await venue.line("/v5/public/spot")
    topics = [f"kline.{one}.BTCUSDT" for one in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720, "D")]
    assert (await line.ask({"op": "subscribe", "args": topics}))["success"] is False
    assert (await line.ask({"op": "subscribe", "args": topics[:10]}))["success"] is True


async def test_every_reader_keeps_the_same_book_whenever_it_came(venue: Any) -> None:
    lines = [await venue.line("/v5/public/linear") for _ in range(2)]
    books: list[dict[str, dict[str, str]]] = [{}, {}]
    last: list[int] = [0, 0]
    for number, line in enumerate(lines):
        await line.ask({"op": "subscribe", "args": [BOOK]})
        for _ in range(5):
            message = await line.topic(BOOK)
            applied(books[number], message)
            update = message["data"]["u"]
            assert not last[number] or update == last[number] + 1
            last[number] = update
    while last[0] != last[1]:
        behind = 0 if last[0] < last[1] else 1
        message = await lines[behind].topic(BOOK)
        applied(books[behind], message)
        last[behind] = message["data"]["u"]
    assert books[0] == books[1]
    assert 5 < len(books[0]["b"]) <= 50 and 5 < len(books[0]["a"]) <= 50
    assert max(map(Decimal, books[0]["b"])) < min(map(Decimal, books[0]["a"]))


async def test_shows_own_orders_in_the_book_at_their_price(venue: Any) -> None:
    bid, _ = await venue.touch()
    price = bid - 20
    line = await venue.line("/v5/public/linear")
    topic, book = "orderbook.200.BTCUSDT", {"b": {}, "a": {}}
    await line.ask({"op": "subscribe", "args": [topic]})
    applied(book, await line.topic(topic))
    await venue.order(price=str(price), qty="7.7", timeInForce="PostOnly")
    for _ in range(10):
        applied(book, await line.topic(topic))
        if Decimal(book["b"].get(f"{price:.2f}", "0")) >= Decimal("7.7"):
            return
    raise AssertionError("the order never showed")


async def test_repeats_a_quiet_depth_1_snapshot_with_the_same_id(venue: Any) -> None:
    line = await venue.line("/v5/public/linear")
    await line.ask({"op": "subscribe", "args": ["orderbook.1.ETHUSDT"]})
    book = venue.surface._public.book(venue.surface._sheets.find("linear", "ETHUSDT"), 1)
    book.touch = lambda: None  # nothing moves any more
    await asyncio.sleep(0.05)
    venue.clock.offset += 3 * SECOND
    seen = [0, (await line.topic("orderbook.1.ETHUSDT"))["data"]["u"]]
    while seen[-1] != seen[-2]:
        assert len(seen) < 5
        seen.append((await line.topic("orderbook.1.ETHUSDT"))["data"]["u"])


async def test_injects_gaps_snapshots_restarts_crossings_and_silence(venue: Any) -> None:
    line = await venue.line("/v5/public/linear")
    await line.ask({"op": "subscribe", "args": [BOOK]})
    first = await line.topic(BOOK)
    venue.surface.inject_gap(BOOK)
    updates = [first["data"]["u"]]
    while updates[-1] - updates[0] < 8:
        updates.append((await line.topic(BOOK))["data"]["u"])
    assert max(after - before for before, after in pairwise(updates)) == 2
    venue.surface.inject_snapshot("linear", BOOK)
    assert await line.next(lambda one: one.get("type") == "snapshot")
    venue.surface.inject_snapshot("linear", BOOK, restarted=True)
    restarted = await line.next(lambda one: one.get("data", {}).get("u") == 1)
    assert 5 < len(restarted["data"]["b"]) <= 50
    assert (await line.topic(BOOK))["data"]["u"] == 2
    venue.surface.inject_cross("linear", BOOK)
    crossing = await line.next(lambda one: not one["data"]["b"] and len(one["data"]["a"]) == 1)
    assert crossing["type"] == "delta"
    venue.surface.silence(BOOK)
    await asyncio.sleep(0.1)
    with pytest.raises(asyncio.TimeoutError):
        while True:
            await line.topic(BOOK, 0.3)
    venue.surface.silence(BOOK, on=False)


async def test_streams_tickers_as_snapshot_then_changes(venue: Any) -> None:
    line = await venue.line("/v5/public/linear")
    await line.ask({"op": "subscribe", "args": ["tickers.BTCUSDT"]})
    first, second = [await line.topic("tickers.BTCUSDT") for _ in range(2)]
    assert (first["type"], second["type"]) == ("snapshot", "delta")
    assert {"markPrice", "fundingRate", "nextFundingTime", "tickDirection"} <= set(first["data"])
    assert second["data"]["symbol"] == "BTCUSDT"
    assert len(second["data"]) < len(first["data"])
    assert all(first["data"].get(name) != value for name, value in second["data"].items()
               if name != "symbol")


async def test_cuts_dropped_and_idle_connections(venue: Any) -> None:
    public = await venue.line("/v5/public/linear")
    private = await venue.login("/v5/private")
    assert venue.surface.drop_connections("public") == 1
    assert await public.closed()
    assert (await private.ask({"op": "ping"}))["op"] == "pong"
    short = await venue.line("/v5/private?max_active_time=30s")
    await short.ask({"op": "ping"})
    venue.clock.offset += 61 * SECOND
    assert await short.closed()
    assert (await private.ask({"op": "ping"}))["op"] == "pong"


async def test_guards_private_topics(venue: Any) -> None:
    line = await venue.line("/v5/private")
    early = await line.ask({"op": "subscribe", "args": ["order"]})
    assert early["success"] is False
    late = await line.ask({"op": "auth", "args": ["simkey0001", venue.now_ms() - 1, "x"]})
    assert (late["success"], late["ret_msg"]) == (False, "Params Error")
    logged = await venue.login("/v5/private")
    for topics in (["order", "order.linear"], ["orderbook.50.BTCUSDT"]):
        answer = await logged.ask({"op": "subscribe", "args": topics})
        assert (answer["success"], answer["ret_msg"]) == (False, "Params Error")


async def test_brings_private_news_in_the_usual_order_and_by_category(venue: Any) -> None:
    topics = ("order", "execution", "execution.fast", "position", "wallet")
    line = await venue.login("/v5/private", *topics)
    split = await venue.login("/v5/private", "execution.linear", "order.spot")
    await venue.order(orderType="Market", orderLinkId="news-1")
    seen: list[str] = []
    while "wallet" not in seen:
        seen.append((await line.next(lambda one: "topic" in one))["topic"])
    assert seen == ["execution.fast", "order", "execution", "position", "wallet"]
    only = await split.next(lambda one: "topic" in one)
    assert only["topic"] == "execution.linear"


async def test_says_how_unfilled_orders_ended(venue: Any) -> None:
    line = await venue.login("/v5/private", "order")
    bid, ask = await venue.touch()
    low = str((bid * Decimal("0.995")).quantize(Decimal("0.1")))
    wanted = {
        "end-ioc": ({"price": low, "timeInForce": "IOC"}, "EC_NoImmediateQtyToFill"),
        "end-fok": (
            {"price": str(ask), "qty": "1400", "timeInForce": "FOK"},
            "EC_CancelForNoFullFill",
        ),
        "end-post": (
            {"price": str(ask + 50), "timeInForce": "PostOnly"},
            "EC_PostOnlyWillTakeLiquidity",
        ),
    }
    await venue.post("/v5/position/set-leverage", {"category": "linear", "symbol": "BTCUSDT",
                                                   "buyLeverage": "100", "sellLeverage": "100"})
    for name, (fields, reason) in wanted.items():
        answer = await venue.order(**({"qty": "0.01", "orderLinkId": name} | fields))
        if name == "end-fok" and answer["retCode"] == 110007:
            continue  # the account cannot afford what the book cannot fill
        assert answer["retCode"] == 0
        row = (await line.topic("order"))["data"][0]
        assert (row["orderLinkId"], row["orderStatus"]) == (name, "Cancelled")
        assert row["rejectReason"] == reason and row["cumExecQty"] == "0"


async def test_trade_socket_refuses_strangers_repeats_and_unknown_operations(venue: Any) -> None:
    def order(request: str, **changed: Any) -> dict[str, Any]:
        stamp = {"X-BAPI-TIMESTAMP": changed.pop("stamp", venue.now_ms())}
        args = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "none"}
        return {"reqId": request, "header": stamp, "op": "order.cancel", "args": [args]} | changed

    stranger = await venue.line("/v5/trade")
    assert (await stranger.ask(order("r1")))["retCode"] == 10007
    line = await venue.login("/v5/trade")
    assert (await line.ask(order("r1")))["retCode"] == 110001
    assert (await line.ask(order("r1")))["retCode"] == 20006
    assert (await line.ask(order("r2", op="order.dance")))["retCode"] == 10404
    assert (await line.ask(order("r3", stamp=1)))["retCode"] == 10002
    assert (await line.ask(order("r4", args=[])))["retCode"] == 10001
    assert (await line.ask({"reqId": "r5", "op": "auth", "args": []}))["retCode"] == 20001
    answer = await line.ask(order("r6"))
    assert answer["reqId"] == "r6" and answer["header"]["X-Bapi-Limit"] == "10"


async def test_trade_socket_carries_out_what_it_never_answers(venue: Any) -> None:
    price = await venue.below()
    orders = await venue.login("/v5/private", "order")
    line = await venue.login("/v5/trade")
    args = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit"}
    args |= {"qty": "0.01", "price": price, "orderLinkId": "mute-1"}
    venue.surface.swallow_answers(1)
    header = {"X-BAPI-TIMESTAMP": str(venue.now_ms())}
    await line.socket.send_json(
        {"reqId": "m1", "header": header, "op": "order.create", "args": [args]}
    )
    row = (await orders.topic("order"))["data"][0]
    assert (row["orderLinkId"], row["orderStatus"]) == ("mute-1", "New")
    assert (await line.ask({"op": "ping"}))["op"] == "pong"


@pytest.mark.skipif(not PRIVATE.exists(), reason="no recorded data beside the project")
async def test_rows_carry_every_field_of_recorded_ones_with_the_same_kinds(venue: Any) -> None:
    line = await venue.login("/v5/private", "order", "position")
    await venue.order(orderType="Market")
    for topic, name in (("order", "bybit_order_stream.log"), ("position", "bybit_position.log")):
        texts = (PRIVATE / name).read_text().splitlines()
        frames = [ast.literal_eval(text) for text in texts if text.strip()]
        recorded = next(frame["data"][0] for frame in frames if frame.get("topic") == topic)
        drawn = (await line.topic(topic))["data"][0]
        assert set(recorded) <= set(drawn)
        kinds = {field: type(value) for field, value in recorded.items() if field != "smpGroup"}
        assert kinds == {field: type(drawn[field]) for field in kinds}

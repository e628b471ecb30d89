"""Streams of the KuCoin twin: books by sequence, private news in order, order entry."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

BTC, XBT = "BTC-USDT", "XBTUSDTM"
ORDERS = "/api/v1/orders"


def applied(books: tuple[dict[str, str], dict[str, str]], data: dict[str, Any]) -> int:
    """Changes two sides by one message; how many rows only advanced the sequence."""
    idle = 0
    for book, side in zip(books, ("bids", "asks"), strict=True):
        for price, size, _ in data["changes"][side]:
            idle += price == "0"
            if size == "0":
                book.pop(price, None)
            else:
                book[price] = size
    return idle


async def test_the_spot_book_by_stream_equals_the_one_by_rest(venue: Any) -> None:
    line = await venue.line()
    topic, path = f"/market/level2:{BTC}", f"/api/v3/market/orderbook/level2?symbol={BTC}"
    await line.follow(f"{topic},ETH-USDT")
    first = await line.topic(topic)
    start = await venue.get(path)
    last, books = int(start["sequence"]), (dict(start["bids"]), dict(start["asks"]))
    assert first["sequenceStart"] <= last + 1
    idle = 0
    for _ in range(60):
        data = await line.topic(topic)
        rows = [row for side in data["changes"].values() for row in side]
        sequences = sorted(int(row[2]) for row in rows)
        assert sequences == list(range(data["sequenceStart"], data["sequenceEnd"] + 1))
        if data["sequenceEnd"] > int(start["sequence"]):
            assert data["sequenceStart"] == last + 1
            last = data["sequenceEnd"]
            idle += applied(books, data)
    assert idle > 0
    end = await venue.get(path)
    while last != int(end["sequence"]):  # the stream may have been ahead: ask again then
        if last > int(end["sequence"]):
            end = await venue.get(path)
            continue
        data = await line.topic(topic)
        last = data["sequenceEnd"]
        applied(books, data)
    assert books == (dict(end["bids"]), dict(end["asks"]))


async def test_the_futures_book_moves_by_exactly_one(venue: Any) -> None:
    line = await venue.line(futures=True)
    topic = f"/contractMarket/level2:{XBT}"
    await line.follow(topic)
    data = await line.topic(topic)
    start = await venue.public(f"/futures/api/v1/level2/snapshot?symbol={XBT}")
    books = {"buy": dict(map(tuple, start["bids"])), "sell": dict(map(tuple, start["asks"]))}
    assert start["sequence"] >= data["sequence"]
    for _ in range(300):
        message = await line.next(lambda one: one.get("topic") == topic)
        assert message["sn"] == message["data"]["sequence"] == data["sequence"] + 1
        data = message["data"]
        if data["sequence"] <= start["sequence"]:
            continue
        price, side, size = data["change"].split(",")
        books[side][float(price)] = int(size)
        if size == "0":
            del books[side][float(price)]
        assert max(books["buy"]) < min(books["sell"])  # after every single message


@pytest.mark.parametrize(
    "topic",
    [
        f"/spotMarket/level2Depth5:{BTC}",
        f"/spotMarket/level2Depth50:{BTC}",
        f"/spotMarket/level1:{BTC}",
        f"/market/ticker:{BTC}",
        "/market/ticker:all",
        f"/market/snapshot:{BTC}",
        f"/market/candles:{BTC}_1min",
        f"/market/candles:{BTC}_1hour",
        f"/indicator/index:{BTC}",
    ],
)
async def test_every_public_spot_topic_speaks(venue: Any, topic: str) -> None:
    line = await venue.line()
    await line.follow(topic)
    assert await line.topic(topic)


@pytest.mark.parametrize(
    "topic",
    [
        f"/contractMarket/level2Depth5:{XBT}",
        f"/contractMarket/level2Depth50:{XBT}",
        f"/contractMarket/tickerV2:{XBT}",
        f"/contractMarket/ticker:{XBT}",
        f"/contractMarket/execution:{XBT}",
        f"/contractMarket/limitCandle:{XBT}_1min",
        f"/contractMarket/snapshot:{XBT}",
        f"/contract/instrument:{XBT}",
    ],
)
async def test_every_public_futures_topic_speaks(venue: Any, topic: str) -> None:
    line = await venue.line(futures=True)
    await line.follow(topic)
    assert await line.topic(topic, seconds=6)


async def test_errors_of_subscriptions_have_their_codes(venue: Any) -> None:
    line = await venue.line()
    answer = await line.ask("subscribe", "/market/foo:BTC-USDT")
    assert (answer["code"], answer["data"]) == (404, "topic /market/foo:BTC-USDT is not found")
    assert (await line.ask("subscribe", "/account/balance", privateChannel=True))["code"] == 403
    assert (await line.ask("openTunnel"))["code"] == 415
    assert (await line.ask("ping"))["type"] == "pong"
    await line.follow(f"/market/ticker:{BTC}")
    await line.topic(f"/market/ticker:{BTC}")
    assert (await line.ask("unsubscribe", f"/market/ticker:{BTC}"))["type"] == "ack"
    with pytest.raises(asyncio.TimeoutError):
        await line.topic(f"/market/ticker:{BTC}", seconds=0.4)


async def test_too_many_messages_and_bad_tokens_are_refused(venue: Any) -> None:
    line = await venue.line()
    answers = [await line.ask("ping") for _ in range(101)]
    assert answers[99]["type"] == "pong" and answers[100]["code"] == 509
    endpoint = venue.running.ws + "/endpoint"
    socket = await venue.session.ws_connect(f"{endpoint}?token=nonsense")
    assert (await socket.receive_json())["data"] == "token is invalid"


async def test_a_silent_socket_and_an_old_one_are_closed(venue: Any) -> None:
    quiet = await venue.line()
    venue.clock.offset += 29_000_000_000
    assert (await quiet.next(lambda one: one["type"] == "error"))["data"] == "ping timeout"
    assert await quiet.closed()
    data = await venue.token()
    venue.clock.offset += 25 * 3_600_000_000_000
    url = f"{data['instanceServers'][0]['endpoint']}?token={data['token']}"
    socket = await venue.session.ws_connect(url)
    assert (await socket.receive_json())["data"] == "token is expired"


# Private -------------------------------------------------------------------------------------


async def test_a_resting_spot_order_is_received_opened_matched_filled(venue: Any) -> None:
    line = await venue.line(private=True)
    topic = "/spotMarket/tradeOrdersV2"
    await line.follow(topic, private=True)
    await line.follow("/account/balance", private=True)
    _, ask = await venue.touch()
    await venue.post("/api/v1/hf/orders", venue.spot("w1", price=await venue.below()))
    events = [await line.topic(topic) for _ in range(2)]
    assert [(one["type"], one["status"]) for one in events] == [
        ("received", "new"), ("open", "open"),
    ]  # fmt: skip
    balance = await line.topic("/account/balance")
    assert balance["relationEvent"] == "trade.hold" and Decimal(balance["hold"]) > 0
    assert Decimal(balance["availableChange"]) == -Decimal(balance["holdChange"])
    assert balance["relationContext"]["orderId"] == events[0]["orderId"]
    await venue.call("DELETE", f"/api/v1/hf/orders/client-order/w1?symbol={BTC}")
    gone = await line.topic(topic)
    assert (gone["type"], gone["canceledSize"], gone["remainSize"]) == ("canceled", "0.001", "0")
    limit = str(ask + 50)
    await venue.post("/api/v1/hf/orders", venue.spot("w2", price=limit, timeInForce="IOC"))
    kinds = []
    while not kinds or kinds[-1] not in ("filled", "canceled"):
        kinds.append((await line.topic(topic))["type"])
    assert kinds[0] == "received" and kinds[-1] == "filled"
    assert set(kinds[1:-1]) == {"match"}


async def test_a_futures_order_and_its_position_are_told(venue: Any) -> None:
    line = await venue.line(private=True, futures=True)
    orders, wallet = "/contractMarket/tradeOrders", "/contractAccount/wallet"
    for topic in (orders, wallet, "/contract/positionAll", "/contract/marginMode"):
        await line.follow(topic, private=True)
    await venue.post(ORDERS, venue.contract("pw1", type="market", size=5), futures=True)
    match = await line.topic(orders)
    assert (match["type"], match["liquidity"], match["tradeType"]) == ("match", "taker", "trade")
    named = "/contract/positionAll"
    position = await line.topic(named)
    assert position["changeReason"] == "positionChange" and position["currentQty"] == 5
    money = await line.topic(wallet)
    assert Decimal(money["isolatedPosMargin"]) > 0 and int(money["version"]) > 0
    tick = await line.topic(named)
    assert tick["changeReason"] == "markPriceChange" and "currentQty" not in tick
    await venue.post(ORDERS, {"clientOid": "pw2", "symbol": XBT, "type": "market",
                              "closeOrder": True})  # fmt: skip
    while True:
        position = await line.topic(named)
        if position.get("changeReason") == "positionChange":
            break
    assert (position["currentQty"], position["isOpen"]) == (0, False)
    mode = {"symbol": XBT, "marginMode": "CROSS"}
    await venue.post("/api/v2/position/changeMarginMode", mode)
    assert await line.topic("/contract/marginMode", "user.config") == {XBT: "CROSS"}


async def test_funding_and_liquidation_are_told(venue: Any) -> None:
    line = await venue.line(private=True, futures=True)
    named = f"/contract/position:{XBT}"
    await line.follow(named, private=True)
    await line.follow("/contractMarket/tradeOrders", private=True)
    await line.follow(f"/contract/announcement:{XBT}")
    await venue.post(ORDERS, venue.contract("lq1", type="market", size=50))
    await line.topic(named)
    venue.clock.offset += 20_000_000_000
    for _ in range(4):
        venue.clock.offset += 15_000_000_000
        await line.ask("ping")
    paid = await line.topic(named, "position.settlement")
    assert paid["qty"] == 50 and paid["fundingTime"] % 60_000 == 0
    account = venue.exchange.accounts()[0].key
    venue.exchange.force_liquidation(account, f"kucoin:futures:{XBT}", 0, venue.clock())
    venue.running.publish()
    order = await line.topic("/contractMarket/tradeOrders")
    while order["tradeType"] != "liquid":
        order = await line.topic("/contractMarket/tradeOrders")
    assert order["side"] == "sell"
    await asyncio.sleep(0.1)
    [fill] = (await venue.get(f"/api/v1/fills?symbol={XBT}&tradeTypes=liquid"))["items"][:1]
    assert fill["tradeType"] == "liquid"


async def test_a_delisted_contract_shows_its_state_and_refuses_orders(venue: Any) -> None:
    price = await venue.below(spot=False)
    venue.exchange.delist(f"kucoin:futures:{XBT}", venue.clock())
    row = await venue.public(f"/api/v1/contracts/{XBT}")
    assert row["status"] == "Closed"
    symbols = [one["symbol"] for one in await venue.public("/api/v1/contracts/active")]
    assert XBT not in symbols
    answer = await venue.call("POST", ORDERS, venue.contract("d1", price=price))
    assert answer["code"] == "300002"


# Orders by WebSocket -------------------------------------------------------------------------


async def operate(line: Any, operation: str, args: Any) -> dict[str, Any]:
    await line.socket.send_json({"id": operation, "op": operation, "args": args})
    found: dict[str, Any] = await line.next(lambda one: one.get("id") == operation)
    return found


async def test_orders_are_entered_by_socket(venue: Any) -> None:
    line = await venue.order_line()
    made = await operate(line, "spot.sync_order", venue.spot("ws1", price=await venue.below()))
    assert made["code"] == "200000" and made["data"]["status"] == "open"
    assert made["outTime"] >= made["inTime"] and made["rateLimit"]["limit"] == 4000
    changed = await operate(
        line, "spot.modify", {"symbol": BTC, "clientOid": "ws1", "newSize": "0.002"}
    )
    assert changed["data"]["newOrderId"] != made["data"]["orderId"]
    gone = await operate(line, "spot.cancel", {"symbol": BTC, "clientOid": "ws1"})
    assert gone["data"] == {"clientOid": "ws1"}
    late = await operate(line, "spot.cancel", {"symbol": BTC, "clientOid": "ws1"})
    assert late["code"] == "400100"
    price = await venue.below(spot=False)
    made = await operate(line, "futures.order", venue.contract("ws2", price=price))
    many = await operate(
        line, "futures.multi_order", [venue.contract(f"ws{n}", price=price) for n in (3, 4)]
    )
    assert [one["code"] for one in many["data"]] == ["200000", "200000"]
    gone = await operate(line, "futures.cancel", {"orderId": made["data"]["orderId"]})
    assert gone["data"] == {"cancelledOrderIds": [made["data"]["orderId"]]}
    ids = [one["orderId"] for one in many["data"]]
    gone = await operate(line, "futures.multi_cancel", {"orderIdsList": ids})
    assert [one["code"] for one in gone["data"]] == ["200", "200"]
    assert (await operate(line, "uta.order", {}))["code"] == "112010"
    assert (await operate(line, "ping", None))["op"] == "pong"


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"secret": "x"}, "400005"), ({"stamp": "1"}, "400002"), ({"answer": "x"}, "400005")],
)
async def test_the_order_socket_turns_strangers_away(
    venue: Any, changed: dict[str, str], code: str
) -> None:
    assert (await venue.order_line(**changed))["code"] == code


async def test_answers_that_get_lost_leave_an_order_behind(venue: Any) -> None:
    order = venue.spot("lost-1", price=await venue.below())
    venue.running.twin.faults.arm("error_after", 1, "orders")
    answer = await venue.call("POST", "/api/v1/hf/orders", order)
    assert (answer["code"], venue.last.status) == ("500000", 500)
    row = await venue.get(f"/api/v1/hf/orders/client-order/lost-1?symbol={BTC}")
    assert row["active"] is True
    line = await venue.line()
    topic = f"/market/level2:{BTC}"
    await line.follow(topic)
    before = await line.topic(topic)
    venue.surface.inject_gap(topic)
    while True:
        data = await line.topic(topic)
        if data["sequenceStart"] != before["sequenceEnd"] + 1:
            break
        before = data
    assert data["sequenceStart"] > before["sequenceEnd"] + 1


async def test_a_snapshot_may_be_older_than_the_stream(venue: Any) -> None:
    path = f"/api/v3/market/orderbook/level2?symbol={BTC}"
    venue.surface.age_snapshots(BTC)
    line = await venue.line()
    await line.follow(f"/market/level2:{BTC}")
    first = await line.topic(f"/market/level2:{BTC}")
    for _ in range(5):
        await line.topic(f"/market/level2:{BTC}")
    old, new = await venue.get(path), await venue.get(path)
    assert int(old["sequence"]) + 1 <= first["sequenceStart"] <= int(new["sequence"])


async def test_a_paused_venue_refuses_orders_with_codes_to_retry(venue: Any) -> None:
    prices = await venue.below(), await venue.below(spot=False)
    venue.exchange.pause(venue.clock(), word="venue_busy")
    answer = await venue.call("POST", "/api/v1/hf/orders", venue.spot("pz1", price=prices[0]))
    assert (answer["code"], venue.last.status) == ("429000", 429)
    answer = await venue.call("POST", ORDERS, venue.contract("pz2", price=prices[1]))
    assert answer["code"] == "300015"
    assert (await venue.public("/api/v2/symbols/BTC-USDT"))["enableTrading"] is False
    venue.exchange.pause(venue.clock(), word="")
    await venue.post("/api/v1/hf/orders", venue.spot("pz3", price=prices[0]))


async def test_a_deleveraged_position_is_told_as_such(venue: Any) -> None:
    line = await venue.line(private=True, futures=True)
    await line.follow(f"/contract/position:{XBT}", private=True)
    await venue.post(ORDERS, venue.contract("adl1", type="market", size=20))
    await line.topic(f"/contract/position:{XBT}")
    account = venue.exchange.accounts()[0].key
    venue.exchange.force_adl(account, f"kucoin:futures:{XBT}", 5, venue.clock())
    venue.running.publish()
    while True:
        row = await line.topic(f"/contract/position:{XBT}")
        if row["changeReason"] == "adl":
            break
    assert row["currentQty"] == 15
    [fill] = (await venue.get(f"/api/v1/fills?symbol={XBT}&tradeTypes=adl"))["items"]
    assert (fill["tradeType"], fill["size"]) == ("adl", 5)

"""Orders on the KuCoin twin by REST: spot HF and futures, refusals, wallets, modes."""

from decimal import Decimal
from typing import Any

import pytest

HF = "/api/v1/hf/orders"
ORDERS = "/api/v1/orders"


async def test_a_spot_order_lives_and_dies_by_client_id(venue: Any) -> None:
    price = await venue.below()
    made = await venue.post(f"{HF}/sync", venue.spot("life-1", price=price, postOnly=True))
    assert (made["clientOid"], made["status"], made["remainSize"]) == ("life-1", "open", "0.001")
    row = await venue.get(f"{HF}/client-order/life-1?symbol=BTC-USDT")
    assert (row["id"], row["active"], row["postOnly"]) == (made["orderId"], True, True)
    assert Decimal(row["price"]) == Decimal(price)
    [opened] = await venue.get(f"{HF}/active?symbol=BTC-USDT")
    assert opened["inOrderBook"] is True
    accounts = await venue.get("/api/v1/accounts?currency=USDT&type=trade")
    assert Decimal(accounts[0]["holds"]) >= Decimal(price) / 1000
    gone = await venue.call("DELETE", f"{HF}/client-order/life-1?symbol=BTC-USDT")
    assert gone["data"] == {"clientOid": "life-1"}
    row = await venue.get(f"{HF}/{made['orderId']}?symbol=BTC-USDT")
    assert (row["active"], row["cancelExist"], row["cancelledSize"]) == (False, True, "0.001")
    done = await venue.get(f"{HF}/done?symbol=BTC-USDT&limit=1")
    assert done["items"][0]["clientOid"] == "life-1"
    again = await venue.call("DELETE", f"{HF}/{made['orderId']}?symbol=BTC-USDT")
    assert again["msg"] == "order_not_exist_or_not_allow_to_cancel"


async def test_a_market_order_by_funds_fills_and_shows_in_fills_and_ledger(venue: Any) -> None:
    order = {"clientOid": "m1", "symbol": "BTC-USDT", "side": "buy", "type": "market"}
    made = await venue.post(f"{HF}/sync", order | {"funds": "50"})
    assert made["status"] == "done" and Decimal(made["dealSize"]) > 0
    fills = await venue.get(f"/api/v1/hf/fills?symbol=BTC-USDT&orderId={made['orderId']}")
    total = sum(Decimal(one["size"]) for one in fills["items"])
    assert total == Decimal(made["dealSize"])
    fill = fills["items"][-1]
    assert fill["liquidity"] == "taker" and isinstance(fill["tradeId"], int)
    assert Decimal(fill["fee"]) > 0 and fill["feeRate"] == "0.001"
    ledger = await venue.get("/api/v1/hf/accounts/ledgers?currency=USDT&bizType=TRADE_EXCHANGE")
    assert ledger[0]["direction"] == "out" and made["orderId"] in ledger[0]["context"]


async def test_altering_makes_a_new_order_with_the_same_client_id(venue: Any) -> None:
    price = await venue.below()
    made = await venue.post(HF, venue.spot("alter-1", price=price))
    lower = str(Decimal(price) - 5)
    body = {"symbol": "BTC-USDT", "clientOid": "alter-1", "newPrice": lower, "newSize": "0.002"}
    changed = await venue.post(f"{HF}/alter", body)
    assert changed["newOrderId"] != made["orderId"] and changed["clientOid"] == "alter-1"
    row = await venue.get(f"{HF}/client-order/alter-1?symbol=BTC-USDT")
    assert (row["id"], row["size"]) == (changed["newOrderId"], "0.002")
    old = await venue.get(f"{HF}/{made['orderId']}?symbol=BTC-USDT")
    assert old["cancelExist"] is True
    again = await venue.call("POST", HF, venue.spot("alter-1", price=price))
    assert again["msg"] == "validation.createOrder.clientOidDuplicated"
    part = await venue.call(
        "DELETE", f"{HF}/cancel/{changed['newOrderId']}?symbol=BTC-USDT&cancelSize=0.0005"
    )
    assert part["data"]["cancelSize"] == "0.0005"
    row = await venue.get(f"{HF}/client-order/alter-1?symbol=BTC-USDT")
    assert row["size"] == "0.0015"


async def test_batches_judge_each_order_by_itself(venue: Any) -> None:
    price = await venue.below()
    good, bad = venue.spot("b1", price=price), venue.spot("b2", price=price, size="0.000001")
    rows = await venue.post(f"{HF}/multi", {"orderList": [good, bad]})
    assert [row["success"] for row in rows] == [True, False]
    assert rows[1]["failMsg"] == "Order size below the minimum requirement."
    answer = await venue.call("POST", f"{HF}/multi", {"orderList": [good] * 6})
    assert answer["code"] == "400100"
    gone = await venue.call("DELETE", f"{HF}/cancelAll")
    assert gone["data"]["succeedSymbols"] == ["BTC-USDT"]
    assert await venue.get(f"{HF}/active?symbol=BTC-USDT") == []


SPOT_REFUSALS = [
    ({"symbol": "DOGE-USDT"}, "400100"),
    ({"symbol": "XBTUSDTM"}, "400100"),
    ({"size": "0.000001"}, "400100"),
    ({"size": "0.0000000001"}, "600100"),
    ({"price": "10000.55"}, "400100"),
    ({"price": "1000"}, "400760"),
    ({"side": "hold"}, "400100"),
    ({"size": "1000"}, "200004"),
    ({"clientOid": "no spaces allowed"}, "400100"),
    ({"timeInForce": "IOC", "postOnly": True}, "400100"),
    ({"hidden": True}, "400100"),
    ({"stop": "loss", "stopPrice": "1"}, "400100"),
    ({"clientTimestamp": 1, "allowMaxTimeWindow": 100}, "400100"),
]


@pytest.mark.parametrize(("changed", "code"), SPOT_REFUSALS)
async def test_refuses_spot_orders_by_the_venues_codes(
    venue: Any, changed: dict[str, Any], code: str
) -> None:
    order = venue.spot("refuse-1", price=await venue.below())
    if changed.get("price") == "1000":
        order["side"] = "sell"
    for path in (HF, f"{HF}/sync"):
        answer = await venue.call("POST", path, order | changed)
        assert answer["code"] == code, answer
    assert await venue.get(f"{HF}/active?symbol=BTC-USDT") == []


async def test_a_tiny_order_is_below_the_least_funds(venue: Any) -> None:
    bid, _ = await venue.touch()
    answer = await venue.call("POST", HF, venue.spot("t1", price="1", size="0.00001"))
    assert answer["code"] == "600101" and "0.1 USDT" in answer["msg"] and bid > 0


async def test_the_dead_mans_switch_cancels_unless_it_is_renewed(venue: Any) -> None:
    path = f"{HF}/dead-cancel-all"
    assert await venue.get(f"{path}/query") is None
    await venue.post(HF, venue.spot("dead-1", price=await venue.below()))
    set_ = await venue.post(path, {"timeout": 5, "symbols": "BTC-USDT"})
    assert set_["triggerTime"] - set_["currentTime"] in (5, 6)
    venue.clock.offset += 4_000_000_000
    await venue.post(path, {"timeout": 5, "symbols": "BTC-USDT"})
    venue.clock.offset += 4_000_000_000
    venue.running.step()
    assert len(await venue.get(f"{HF}/active?symbol=BTC-USDT")) == 1
    venue.clock.offset += 2_000_000_000
    venue.running.step()
    assert await venue.get(f"{HF}/active?symbol=BTC-USDT") == []
    assert (await venue.call("POST", path, {"timeout": 4}))["code"] == "400100"


async def test_an_order_that_is_good_till_a_time_ends_then(venue: Any) -> None:
    order = venue.spot("gtt-1", price=await venue.below(), timeInForce="GTT", cancelAfter=3)
    await venue.post(HF, order)
    venue.clock.offset += 4_000_000_000
    venue.running.step()
    row = await venue.get(f"{HF}/client-order/gtt-1?symbol=BTC-USDT")
    assert (row["timeInForce"], row["cancelExist"]) == ("GTT", True)


# Futures -------------------------------------------------------------------------------------


async def test_a_futures_order_lives_and_dies_by_client_id(venue: Any) -> None:
    price = await venue.below(spot=False)
    made = await venue.post(ORDERS, venue.contract("f1", price=price), futures=True)
    row = await venue.get(f"{ORDERS}/byClientOid?clientOid=f1", futures=True)
    assert (row["id"], row["status"], row["size"], row["leverage"]) == (
        made["orderId"], "open", 10, "5",
    )  # fmt: skip
    assert row["marginMode"] == "ISOLATED" and row["orderTime"] > 10**18
    page = await venue.get(f"{ORDERS}?status=active&symbol=XBTUSDTM")
    assert (page["totalNum"], page["items"][0]["clientOid"]) == (1, "f1")
    value = await venue.get("/api/v1/openOrderStatistics?symbol=XBTUSDTM")
    assert value["openOrderBuySize"] == 10
    gone = await venue.call("DELETE", f"{ORDERS}/client-order/f1?symbol=XBTUSDTM")
    assert gone["data"] == {"clientOid": "f1"}
    again = await venue.call("DELETE", f"{ORDERS}/{made['orderId']}")
    assert again["code"] == "100004"
    assert (await venue.call("GET", f"{ORDERS}/999"))["code"] == "100001"


async def test_a_position_opens_and_closes_with_its_money(venue: Any) -> None:
    before = await venue.get("/api/v1/account-overview?currency=USDT")
    order = venue.contract("p1", type="market")
    await venue.post(ORDERS, order)
    [position] = await venue.get("/api/v1/positions?currency=USDT")
    assert (position["currentQty"], position["marginMode"]) == (10, "ISOLATED")
    assert position["leverage"] == 5 and position["posMargin"] > 0
    [fill] = (await venue.get("/api/v1/fills?symbol=XBTUSDTM"))["items"][:1]
    assert (fill["tradeType"], fill["closeFeePay"], fill["size"]) == ("trade", "0", 10)
    assert Decimal(fill["value"]) == Decimal(fill["price"]) * 10 * Decimal("0.001")
    close = {"clientOid": "p2", "symbol": "XBTUSDTM", "type": "market", "closeOrder": True}
    await venue.post(ORDERS, close)
    assert await venue.get("/api/v1/positions") == []
    [closing] = (await venue.get("/api/v1/fills?symbol=XBTUSDTM"))["items"][:1]
    assert (closing["side"], closing["openFeePay"]) == ("sell", "0")
    after = await venue.get("/api/v1/account-overview?currency=USDT")
    ledger = await venue.get("/api/v1/transaction-history?currency=USDT&type=RealisedPNL")
    change = sum(Decimal(str(row["amount"])) for row in ledger["dataList"])
    found = Decimal(str(after["accountEquity"])) - Decimal(str(before["accountEquity"]))
    assert abs(found - change) < Decimal("1e-7") and change < 0


FUTURES_REFUSALS = [
    ({"symbol": "DOGEUSDTM"}, "200003"),
    ({"symbol": "BTC-USDT"}, "200003"),
    ({"size": "0.5"}, "300000"),
    ({"size": 2_000_000}, "300000"),
    ({"price": "60000.05"}, "300000"),
    ({"price": "90000000"}, "300000"),
    ({"leverage": 500}, "300016"),
    ({"leverage": ""}, "100001"),
    ({"size": 900_000}, "300003"),
    ({"marginMode": "CROSS"}, "330005"),
    ({"positionSide": "LONG"}, "330012"),
    ({"reduceOnly": True}, "300009"),
    ({"clientOid": ""}, "100001"),
    ({"stop": "up", "stopPrice": "1", "stopPriceType": "TP"}, "400100"),
]


@pytest.mark.parametrize(("changed", "code"), FUTURES_REFUSALS)
async def test_refuses_futures_orders_by_the_venues_codes(
    venue: Any, changed: dict[str, Any], code: str
) -> None:
    order = venue.contract("refuse-2", price=await venue.below(spot=False))
    answer = await venue.call("POST", ORDERS, order | changed)
    assert answer["code"] == code, answer


async def test_prices_beyond_the_band_and_used_ids_are_refused(venue: Any) -> None:
    bid, ask = await venue.touch(spot=False)
    high = str((ask * Decimal("1.1")).quantize(Decimal("0.1")))
    low = str((bid * Decimal("0.9")).quantize(Decimal("0.1")))
    answer = await venue.call("POST", ORDERS, venue.contract("x1", price=high))
    assert answer["code"] == "300011"
    answer = await venue.call("POST", ORDERS, venue.contract("x2", price=low, side="sell"))
    assert answer["code"] == "300012"
    price = await venue.below(spot=False)
    await venue.post(ORDERS, venue.contract("x3", price=price))
    answer = await venue.call("POST", ORDERS, venue.contract("x3", price=price))
    assert answer["code"] == "300018"


async def test_futures_batches_answer_per_item(venue: Any) -> None:
    price = await venue.below(spot=False)
    wanted = [venue.contract(f"fb{n}", price=price) for n in (1, 2)]
    wanted.append(venue.contract("fb3", price="60000.05"))
    rows = await venue.post(f"{ORDERS}/multi", wanted)
    assert [row["code"] for row in rows] == ["200000", "200000", "300000"]
    ids = [rows[0]["orderId"], "123"]
    gone = await venue.call("DELETE", f"{ORDERS}/multi-cancel", {"orderIdsList": ids})
    assert [row["code"] for row in gone["data"]] == ["200", "100004"]
    left = await venue.call("DELETE", "/api/v3/orders?symbol=XBTUSDTM")
    assert left["data"]["cancelledOrderIds"] == [rows[1]["orderId"]]


async def test_sizes_in_base_and_quote_become_contracts(venue: Any) -> None:
    price = await venue.below(spot=False)
    for name, value, lots in (("qty", "0.0125", 12), ("valueQty", str(Decimal(price) / 50), 20)):
        order = venue.contract(f"s-{name}", price=price) | {name: value}
        del order["size"]
        made = await venue.post(ORDERS, order)
        assert (await venue.get(f"{ORDERS}/{made['orderId']}"))["size"] == lots


async def test_modes_and_leverage_are_set_and_guarded(venue: Any) -> None:
    base = "/api/v2/position"
    mode = {"symbol": "XBTUSDTM", "marginMode": "CROSS"}
    assert await venue.post(f"{base}/changeMarginMode", mode) == mode
    assert await venue.get(f"{base}/getMarginMode?symbol=XBTUSDTM") == mode
    lever = {"symbol": "XBTUSDTM", "leverage": "20"}
    assert await venue.post("/api/v2/changeCrossUserLeverage", lever) is True
    assert await venue.get("/api/v2/getCrossUserLeverage?symbol=XBTUSDTM") == lever
    price = await venue.below(spot=False)
    order = venue.contract("c1", price=price, marginMode="CROSS")
    del order["leverage"]
    await venue.post(ORDERS, order)
    both = {"marginMode": "ISOLATED", "symbols": ["XBTUSDTM", "XBTUSDM"]}
    changed = await venue.post(f"{base}/batchChangeMarginMode", both)
    assert changed["marginMode"] == {"XBTUSDTM": "CROSS", "XBTUSDM": "ISOLATED"}
    assert changed["errors"][0]["code"] == "50002"
    blocked = await venue.call("POST", f"{base}/switchPositionMode", {"positionMode": "1"})
    assert blocked["code"] == "50002"
    await venue.call("DELETE", "/api/v3/orders")
    assert await venue.post(f"{base}/switchPositionMode", {"positionMode": "1"}) == {
        "positionMode": 1
    }
    answer = await venue.call("POST", ORDERS, order | {"clientOid": "c2"})
    assert answer["code"] == "330012"
    long = order | {"clientOid": "c3", "type": "market", "positionSide": "LONG"}
    await venue.post(ORDERS, long)
    sides = await venue.get("/api/v2/position?symbol=XBTUSDTM")
    assert [(one["positionSide"], one["currentQty"]) for one in sides] == [
        ("LONG", 10), ("SHORT", 0),
    ]  # fmt: skip


async def test_inverse_contracts_count_dollars_and_settle_in_coin(venue: Any) -> None:
    order = venue.contract("i1", symbol="XBTUSDM", type="market", size=1000)
    await venue.post(ORDERS, order)
    [position] = await venue.get("/api/v1/positions?currency=XBT")
    assert (position["isInverse"], position["currentQty"]) == (True, 1000)
    assert position["currentCost"] < 0 and position["markValue"] < 0
    expected = 1000 / position["avgEntryPrice"]
    assert abs(-position["currentCost"] - expected) < 1e-6
    contract = await venue.public("/api/v1/contracts/XBTUSDM")
    assert (contract["multiplier"], contract["isInverse"]) == (-1, True)


async def test_money_moves_between_the_wallets_under_both_names(venue: Any) -> None:
    move = {"clientOid": "t1", "type": "INTERNAL", "currency": "BTC", "amount": "0.5",
            "fromAccountType": "TRADE", "toAccountType": "CONTRACT"}  # fmt: skip
    await venue.post("/api/v3/accounts/universal-transfer", move)
    overview = await venue.get("/api/v1/account-overview?currency=XBT")
    assert overview["availableBalance"] == 1.5
    [account] = await venue.get("/api/v1/accounts?currency=BTC")
    assert account["available"] == "1.5"
    answer = await venue.call(
        "POST", "/api/v3/accounts/universal-transfer", move | {"amount": "50"}
    )
    assert answer["code"] == "230003"
    assert await venue.get("/api/v1/accounts?type=main") == []


async def test_funding_is_paid_and_told_with_its_period(venue: Any) -> None:
    await venue.post(ORDERS, venue.contract("fund", type="market", size=100))
    now = await venue.public("/api/v1/funding-rate/XBTUSDTM/current")
    assert now["fundingTime"] - now["timePoint"] == now["granularity"] == 60_000
    venue.clock.offset += 61_000_000_000
    venue.running.step()
    rows = await venue.get("/api/v1/funding-history?symbol=XBTUSDTM")
    paid = rows["dataList"][0]
    expected = -paid["markPrice"] * 0.1 * paid["fundingRate"]
    assert paid["positionQty"] == 100 and abs(paid["funding"] - expected) < 1e-6
    [latest] = (await venue.public("/api/v1/contract/funding-rates?symbol=XBTUSDTM"))[:1]
    assert latest["timepoint"] == paid["timePoint"] == now["fundingTime"]

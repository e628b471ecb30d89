"""Liquidation, deleveraging, delisting, margin mode, brackets, disconnect guard on Bybit."""

import asyncio
from decimal import Decimal
from typing import Any

NAME = "bybit:linear:BTCUSDT"
KEY = "simkey0001"


async def bought(venue: Any, qty: str = "1") -> None:
    answer = await venue.order(orderType="Market", qty=qty)
    assert answer["retCode"] == 0


async def position(venue: Any) -> dict[str, Any]:
    answer = await venue.get("/v5/position/list", "category=linear&symbol=BTCUSDT")
    row: dict[str, Any] = answer["result"]["list"][0]
    return row


async def test_a_liquidation_is_told_as_orders_executions_position_and_wallet(venue: Any) -> None:
    await bought(venue)
    await venue.order(qty="0.1", price=await venue.below(), orderLinkId="rests")
    line = await venue.login("/v5/private", "order", "execution", "position", "wallet")
    public = await venue.line("/v5/public/linear")
    await public.ask({"op": "subscribe", "args": ["allLiquidation.BTCUSDT"]})
    venue.exchange.force_liquidation(KEY, NAME, 0, venue.clock())
    seen: dict[str, list[dict[str, Any]]] = {}
    while not {"order", "execution", "position", "wallet"} <= seen.keys():
        message = await line.next(lambda one: "topic" in one)
        seen.setdefault(message["topic"], []).extend(message["data"])
    by_link = {row["orderLinkId"]: row for row in seen["order"]}
    assert by_link["rests"]["orderStatus"] == "Cancelled"
    assert by_link["rests"]["cancelType"] == "CancelAllBeforeLiq"
    assert by_link[""]["createType"] == "CreateByLiq"
    assert {row["execType"] for row in seen["execution"]} == {"BustTrade"}
    assert seen["position"][-1]["size"] in ("0", "0.000")
    news = (await public.topic("allLiquidation.BTCUSDT"))["data"][0]
    assert (news["S"], news["s"], Decimal(news["v"])) == ("Buy", "BTCUSDT", Decimal(1))
    rows = (await venue.get("/v5/execution/list", "category=linear&execType=BustTrade"))["result"]
    assert sum(Decimal(row["execQty"]) for row in rows["list"]) == 1
    log = (await venue.get("/v5/account/transaction-log", "accountType=UNIFIED"))["result"]["list"]
    assert "LIQUIDATION" in {row["type"] for row in log}


async def test_deleveraging_is_an_execution_of_its_own_type_without_fee(venue: Any) -> None:
    await bought(venue)
    line = await venue.login("/v5/private", "execution")
    venue.exchange.force_adl(KEY, NAME, 400, venue.clock())
    (row,) = (await line.topic("execution"))["data"]
    assert (row["execType"], row["execFee"], row["execQty"]) == ("AdlTrade", "0", "0.4")
    assert row["createType"] == "CreateByAdl_PassThrough"
    assert Decimal((await position(venue))["size"]) == Decimal("0.6")
    log = (await venue.get("/v5/account/transaction-log", "accountType=UNIFIED"))["result"]["list"]
    assert log[0]["type"] == "ADL"


async def test_a_delisted_contract_is_settled_closed_and_refuses_orders(venue: Any) -> None:
    await bought(venue)
    price = await venue.below()
    await venue.order(qty="0.1", price=price, orderLinkId="rests")
    venue.exchange.delist(NAME, venue.clock(), Decimal("60123.45"))
    query = "category=linear&symbol=BTCUSDT"
    assert (await venue.get("/v5/market/instruments-info", query))["result"]["list"] == []
    closed = await venue.get("/v5/market/instruments-info", query + "&status=Closed")
    (row,) = closed["result"]["list"]
    assert row["status"] == "Closed" and int(row["deliveryTime"]) > 0
    (settled,) = (await venue.get("/v5/market/delivery-price", query))["result"]["list"]
    assert settled["deliveryPrice"] == "60123.45"
    history = await venue.get("/v5/order/history", "category=linear&orderLinkId=rests")
    assert history["result"]["list"][0]["cancelType"] == "CancelBySettle"
    rows = (await venue.get("/v5/execution/list", "category=linear&execType=Settle"))["result"]
    assert [row["execPrice"] for row in rows["list"]] == ["60123.45"]
    assert (await venue.order(price=price))["retCode"] == 110074
    assert Decimal((await position(venue))["size"]) == 0


async def test_an_announced_delisting_shows_as_the_delivery_time_of_a_perpetual(
    venue: Any,
) -> None:
    due = venue.clock() + 3_600 * 10**9
    venue.exchange.delist(NAME, venue.clock(), due=due)
    query = "category=linear&symbol=BTCUSDT"
    (row,) = (await venue.get("/v5/market/instruments-info", query))["result"]["list"]
    assert (row["status"], row["deliveryTime"]) == ("Trading", str(due // 10**6))


async def test_a_pause_answers_with_the_code_of_its_kind(venue: Any) -> None:
    price = await venue.below()
    for word, code in (("not_tradable", 110074), ("venue_busy", 10016), ("", 0)):
        venue.exchange.pause(venue.clock(), word=word)
        assert (await venue.order(price=price))["retCode"] == code


async def test_the_margin_mode_is_one_for_the_account_and_moves_only_when_it_is_idle(
    venue: Any,
) -> None:
    await bought(venue, "0.1")
    path = "/v5/account/set-margin-mode"
    refused = await venue.post(path, {"setMarginMode": "ISOLATED_MARGIN"})
    assert refused["retCode"] == 3400045 and refused["result"]["reasons"]
    assert (await venue.get("/v5/account/info"))["result"]["marginMode"] == "REGULAR_MARGIN"
    await venue.order(side="Sell", orderType="Market", qty="0.1", reduceOnly=True)
    assert (await venue.post(path, {"setMarginMode": "ISOLATED_MARGIN"}))["retCode"] == 0
    assert (await venue.get("/v5/account/info"))["result"]["marginMode"] == "ISOLATED_MARGIN"
    await bought(venue, "0.1")
    row = await position(venue)
    assert row["tradeMode"] == 1 and Decimal(row["positionBalance"]) > 500
    assert Decimal(row["bustPrice"]) < Decimal(row["liqPrice"]) < Decimal(row["markPrice"])
    body = {"category": "linear", "symbol": "BTCUSDT", "margin": "100"}
    added = (await venue.post("/v5/position/add-margin", body))["result"]
    assert Decimal(added["liqPrice"]) < Decimal(row["liqPrice"])


async def test_brackets_of_risk_are_listed_and_cap_positions(venue: Any) -> None:
    query = "category=linear&symbol=BTCUSDT"
    rows = (await venue.get("/v5/market/risk-limit", query))["result"]["list"]
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["isLowestRisk"] for row in rows] == [1, 0, 0, 0, 0]
    assert rows[0]["riskLimitValue"] == "2000000" and rows[0]["maxLeverage"] == "100.00"
    assert Decimal(rows[1]["mmDeduction"]) == Decimal(2_000_000) * Decimal("0.005")
    leverage = {"category": "linear", "symbol": "BTCUSDT", "buyLeverage": "100",
                "sellLeverage": "100"}  # fmt: skip
    await venue.post("/v5/position/set-leverage", leverage)
    answer = await venue.order(qty="40", price=await venue.below())
    assert answer["retCode"] == 110090
    assert (await position(venue))["riskId"] == 1


async def test_hedge_mode_keeps_two_positions(venue: Any) -> None:
    switched = await venue.post(
        "/v5/position/switch-mode", {"category": "linear", "coin": "USDT", "mode": 3}
    )
    assert switched["retCode"] == 0
    assert (await venue.order(orderType="Market", qty="0.1"))["retCode"] == 10001
    for side, index in (("Buy", 1), ("Sell", 2)):
        answer = await venue.order(side=side, orderType="Market", qty="0.1", positionIdx=index)
        assert answer["retCode"] == 0
    answer = await venue.get("/v5/position/list", "category=linear&symbol=BTCUSDT")
    sides = [(row["positionIdx"], row["side"]) for row in answer["result"]["list"]]
    assert sides == [(1, "Buy"), (2, "Sell")]


async def test_the_disconnect_guard_cancels_when_nobody_was_heard_for_its_window(
    venue: Any,
) -> None:
    path = "/v5/order/disconnected-cancel-all"
    assert (await venue.post(path, {"product": "DERIVATIVES", "timeWindow": 2}))["retCode"]
    armed = await venue.post(path, {"product": "DERIVATIVES", "timeWindow": 3})
    assert (armed["retCode"], armed["retMsg"]) == (0, "success")
    info = (await venue.get("/v5/account/query-dcp-info"))["result"]["dcpInfos"]
    assert info == [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "3"}]
    await venue.order(qty="0.1", price=await venue.below(), orderLinkId="watched")
    line = await venue.login("/v5/private", "dcp.future")
    await asyncio.sleep(0.1)
    await line.socket.close()
    await asyncio.sleep(0.05)
    query = "category=linear&orderLinkId=watched"
    assert (await venue.get("/v5/order/realtime", query))["result"]["list"][0][
        "orderStatus"
    ] == "New"
    venue.clock.offset += 4_000_000_000
    await asyncio.sleep(0.2)
    row = (await venue.get("/v5/order/history", query))["result"]["list"][0]
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByDCP")


async def test_without_a_reader_of_its_topic_the_guard_does_nothing(venue: Any) -> None:
    path = "/v5/order/disconnected-cancel-all"
    await venue.post(path, {"product": "DERIVATIVES", "timeWindow": 3})
    await venue.order(qty="0.1", price=await venue.below(), orderLinkId="unwatched")
    venue.clock.offset += 10_000_000_000
    await asyncio.sleep(0.2)
    row = (await venue.get("/v5/order/realtime", "category=linear&orderLinkId=unwatched"))[
        "result"
    ]["list"][0]
    assert row["orderStatus"] == "New"
    venue.surface.guard.enabled[KEY] = False
    assert (await venue.post(path, {"product": "SPOT", "timeWindow": 9}))["retCode"] == 10005


async def test_the_key_tells_its_permissions(venue: Any) -> None:
    info = (await venue.get("/v5/user/query-api"))["result"]
    assert info["readOnly"] == 0
    assert info["permissions"]["Wallet"] == []
    assert info["permissions"]["Derivatives"] == ["DerivativesTrade"]

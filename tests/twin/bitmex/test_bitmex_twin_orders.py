"""Orders, fills and money on the BitMEX twin, by REST."""

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any

SECOND = 1_000_000_000


async def test_an_order_lives_by_client_id_from_json_and_form(venue: Any) -> None:
    price = await venue.below()
    made = await venue.order(price=price, clOrdID="arb-1", text="mine")
    assert (venue.status, made["ordStatus"], made["workingIndicator"]) == (200, "New", True)
    assert (made["leavesQty"], made["timeInForce"]) == (1000, "GoodTillCancel")
    fields = {"origClOrdID": "arb-1", "clOrdID": "arb-2", "orderQty": 2000}
    changed = await venue.ask("PUT", "/order", fields, form="yes")
    assert (changed["orderID"], changed["orderQty"]) == (made["orderID"], 2000)
    assert changed["clOrdID"] == "arb-2"
    assert await venue.get("/order", filter='{"clOrdID":"arb-1"}') == []
    found = await venue.get("/order", filter='{"clOrdID":"arb-2","open":true}')
    assert [row["orderID"] for row in found] == [made["orderID"]]
    gone = await venue.ask("DELETE", "/order", {"clOrdID": "arb-2"})
    assert gone[0]["ordStatus"] == "Canceled"
    assert gone[0]["text"] == "Canceled: Canceled via API.\nmine"


async def test_cancels_come_in_bulk_and_tell_what_could_not_be_cancelled(venue: Any) -> None:
    price = await venue.below()
    first = await venue.order(price=price, clOrdID="a")
    second = await venue.order(price=price, clOrdID="b")
    await venue.ask("DELETE", "/order", {"orderID": first["orderID"]})
    ids = [first["orderID"], second["orderID"], "00000000-0000-0000-0000-000000000001"]
    rows = await venue.ask("DELETE", "/order", {"orderID": ids})
    assert venue.status == 200
    assert rows[0]["error"] == "Unable to cancel order due to existing state: Canceled"
    assert (rows[1]["ordStatus"], "error" in rows[1]) == ("Canceled", False)
    assert "not found" in rows[2]["error"]
    await venue.order(price=price)
    await venue.order(price=await venue.below("XBTUSDT"), symbol="XBTUSDT")
    assert len(await venue.ask("DELETE", "/order/all", {"symbol": "XBTUSD"})) == 1
    assert len(await venue.ask("DELETE", "/order/all")) == 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"symbol": "XBTUSDX"}, "Invalid symbol"),
    ({"orderQty": 150}, "orderQty is invalid"),
    ({"orderQty": 0}, "orderQty is invalid"),
    ({"orderQty": 20_000_000}, "orderQty is invalid"),
    ({"price": 60000.05}, "Invalid price"),
    ({"price": -1}, "Invalid price"),
    ({"side": "Long"}, "Invalid side"),
    ({"ordType": "Limit"}, "Invalid price"),
    ({"ordType": "Stop", "stopPx": 1}, "Unsupported ordType Stop"),
    ({"ordType": "Nonsense"}, "Invalid ordType"),
    ({"timeInForce": "GoodTillMonday"}, "Unsupported timeInForce"),
    ({"execInst": "Nonsense"}, "Unsupported execInst"),
    ({"execInst": "ParticipateDoNotInitiate"}, "Invalid ordType or timeInForce for execInst"),
    ({"clOrdID": "x" * 37}, "'clOrdID' must not be longer than 36 characters"),
]


async def test_orders_are_refused_in_the_words_of_the_venue(venue: Any) -> None:
    for fields, message in REFUSED:
        assert await venue.refusal(**fields) == (400, message)
    assert await venue.get("/order") == []


async def test_client_ids_and_money_are_checked(venue: Any) -> None:
    price = await venue.below()
    await venue.order(price=price, clOrdID="same")
    assert await venue.refusal(price=price, clOrdID="same") == (400, "Duplicate clOrdID")
    status, message = await venue.refusal(price=price, orderQty=10_000_000, clOrdID="big")
    assert message == "Value of position and orders exceeds position Risk Limit"
    await venue.ask("DELETE", "/order/all")
    await venue.ask("POST", "/position/leverage", {"symbol": "XBTUSD", "leverage": 1})
    status, message = await venue.refusal(price=price, orderQty=1_000_000, clOrdID="bigger")
    assert status == 400 and message.startswith("Account has insufficient Available Balance, ")
    assert message.endswith(" XBt required")
    row = (await venue.get("/order", filter='{"clOrdID":"bigger"}'))[0]
    assert (row["ordStatus"], row["ordRejReason"]) == ("Rejected", message)


async def test_amendments_are_refused_where_nothing_lives_or_changes(venue: Any) -> None:
    async def refusal(**fields: Any) -> str:
        body = await venue.ask("PUT", "/order", fields)
        return str(body["error"]["message"])

    price = await venue.below()
    made = await venue.order(price=price)
    assert await refusal(orderID="nobody", price=price) == "Invalid orderID"
    assert await refusal(origClOrdID="nobody", price=price) == "Invalid origClOrdID"
    unchanged = "Invalid amend: orderQty, leavesQty, price, stopPx unchanged"
    assert await refusal(orderID=made["orderID"], price=price) == unchanged
    assert await refusal(orderID=made["orderID"], price=price + 0.03) == "Invalid price"
    await venue.ask("DELETE", "/order/all")
    assert await refusal(orderID=made["orderID"], price=price - 1) == "Invalid ordStatus"


async def test_post_only_reduce_only_and_immediate_orders_end_as_cancelled(venue: Any) -> None:
    _, ask = await venue.touch()
    taking = float(ask + 50)
    row = await venue.order(price=taking, execInst="ParticipateDoNotInitiate")
    assert (venue.status, row["ordStatus"]) == (200, "Canceled")
    assert row["text"].startswith("Canceled: Order had execInst of ParticipateDoNotInitiate\n")
    row = await venue.order(price=taking, execInst="ReduceOnly", clOrdID="nothing-there")
    assert "current position is 0" in row["text"] and row["ordStatus"] == "Canceled"
    assert len(await venue.get("/order", filter='{"clOrdID":"nothing-there"}')) == 1
    low = await venue.below()
    for life in ("ImmediateOrCancel", "FillOrKill"):
        row = await venue.order(price=low, timeInForce=life)
        assert row["text"].startswith(f"Canceled: Order had timeInForce of {life}")
    assert await venue.get("/position", filter='{"isOpen":true}') == []


async def test_fills_fees_and_positions_add_up_in_satoshi(venue: Any) -> None:
    before = (await venue.get("/user/margin"))["walletBalance"]
    row = await venue.order(ordType="Market", orderQty=5000)
    assert (row["ordStatus"], row["cumQty"]) == ("Filled", 5000)
    fills = await venue.get("/execution/tradeHistory", filter='{"execType":"Trade"}')
    assert sum(fill["lastQty"] for fill in fills) == 5000
    for fill in fills:
        lot = (Decimal(10**10) / fill["lastPx"]).to_integral_value()
        assert fill["execCost"] == -lot * fill["lastQty"] // 100
        assert fill["homeNotional"] > 0 > fill["foreignNotional"]
        assert fill["lastLiquidityInd"] == "RemovedLiquidity" and fill["execComm"] > 0
    after = (await venue.get("/user/margin"))["walletBalance"]
    assert before - after == sum(fill["execComm"] for fill in fills)
    held = (await venue.get("/position", filter='{"symbol":"XBTUSD"}'))[0]
    assert (held["currentQty"], held["foreignNotional"]) == (5000, -5000)
    assert held["markValue"] - held["unrealisedCost"] == held["unrealisedPnl"]
    margin = await venue.get("/user/margin", currency="XBt")
    assert margin["marginBalance"] == margin["walletBalance"] + margin["unrealisedPnl"]
    closed = await venue.order(symbol="XBTUSD", execInst="Close", side="Sell", orderQty=None)
    assert (closed["ordStatus"], closed["cumQty"], closed["ordType"]) == ("Filled", 5000, "Market")
    assert await venue.get("/position", filter='{"isOpen":true}') == []


async def test_each_payoff_settles_in_its_own_coin(venue: Any) -> None:
    for symbol, quantity, coin in (
        ("ETHUSD", 100, "XBt"), ("XBTUSDT", 10_000, "USDt"), ("XBTUSD", 1000, "XBt"),
    ):  # fmt: skip
        await venue.order(symbol=symbol, orderQty=-quantity, side=None, ordType="Market")
        held = (await venue.get("/position", filter=f'{{"symbol":"{symbol}"}}'))[0]
        assert (held["currentQty"], held["currency"]) == (-quantity, coin)
        fill = (await venue.get("/execution/tradeHistory", symbol=symbol))[-1]
        assert (fill["side"], fill["settlCurrency"]) == ("Sell", coin)
        sign = 1 if symbol == "XBTUSD" else -1  # a short inverse position has a positive value
        assert fill["execCost"] * sign > 0 and fill["homeNotional"] < 0
    linear = (await venue.get("/execution/tradeHistory", symbol="XBTUSDT"))[-1]
    assert linear["execCost"] == -linear["lastQty"] * linear["lastPx"]
    quanto = (await venue.get("/execution/tradeHistory", symbol="ETHUSD"))[-1]
    assert quanto["execCost"] == -quanto["lastQty"] * quanto["lastPx"] * 100


async def test_makers_of_the_quanto_contract_earn_a_rebate(venue: Any) -> None:
    bid, _ = await venue.touch("ETHUSD")
    made = await venue.order(symbol="ETHUSD", orderQty=10, price=float(bid))
    sold = await venue.ask("POST", "/order", {
        "symbol": "ETHUSD", "side": "Sell", "orderQty": 10_000, "price": float(bid),
        "timeInForce": "ImmediateOrCancel"}, key="other")  # fmt: skip
    assert sold["cumQty"] > 0
    fills = await venue.get("/execution/tradeHistory", symbol="ETHUSD")
    mine = [fill for fill in fills if fill["orderID"] == made["orderID"]]
    assert mine and all(fill["execComm"] < 0 for fill in mine)
    assert mine[0]["lastLiquidityInd"] == "AddedLiquidity"


async def test_leverage_and_isolation_are_set_and_read(venue: Any) -> None:
    row = await venue.ask("POST", "/position/leverage", {"symbol": "XBTUSD", "leverage": 10})
    assert (row["leverage"], row["crossMargin"]) == (10, False)
    assert row["initMarginReq"] == Decimal("0.1")
    row = await venue.ask("POST", "/position/leverage", {"symbol": "XBTUSD", "leverage": 0})
    assert (row["leverage"], row["crossMargin"]) == (100, True)
    row = await venue.ask("POST", "/position/isolate", {"symbol": "XBTUSD", "enabled": True})
    assert row["crossMargin"] is False
    body = await venue.ask("POST", "/position/leverage", {"symbol": "XBTUSD", "leverage": 101})
    assert venue.status == 400 and "leverage" in body["error"]["message"]
    body = await venue.ask("POST", "/position/transferMargin", {"symbol": "XBTUSD", "amount": 5})
    assert (venue.status, body["error"]["message"]) == (400, "No position")


async def test_the_wallet_tells_what_came_and_what_was_earned(venue: Any) -> None:
    await venue.order(ordType="Market", orderQty=10_000)
    history = await venue.get("/user/walletHistory", currency="XBt")
    wallet = await venue.get("/user/wallet", currency="XBt")
    assert sum(row["amount"] for row in history) == wallet["amount"]
    kinds = {row["transactType"]: row for row in history}
    assert kinds["Deposit"]["amount"] == 500_000_000
    assert (kinds["RealisedPNL"]["address"], kinds["RealisedPNL"]["transactStatus"]) == (
        "XBTUSD",
        "Pending",
    )
    total = [r for r in await venue.get("/user/walletSummary") if r["transactType"] == "Total"]
    assert total[0]["amount"] == wallet["amount"]
    every = await venue.get("/user/wallet", currency="all")
    assert [row["currency"] for row in every] == ["USDt", "XBt"]
    assert (await venue.get("/user"))["id"] == 7
    assert (await venue.get("/user/commission"))["XBTUSD"]["takerFee"] == Decimal("0.0005")
    assert (await venue.get("/apiKey"))[0]["permissions"] == ["order", "orderCancel"]
    body = await venue.get("/user/margin", currency="DOGE")
    assert (venue.status, body["error"]["message"]) == (400, "Invalid currency")


async def test_funding_is_an_execution_and_moves_the_wallet(venue: Any) -> None:
    await venue.order(ordType="Market", orderQty=-100_000, side=None)
    fees = sum(row["execComm"] for row in await venue.get("/execution/tradeHistory"))
    venue.clock.offset += 61 * SECOND
    await asyncio.sleep(0.1)
    rows = await venue.get("/execution/tradeHistory", filter='{"execType":["Funding"]}')
    assert rows and {row["text"] for row in rows} == {"Funding"}
    for row in rows:
        assert row["commission"] * row["execCost"] * row["execComm"] >= 0
        assert abs(abs(row["execComm"]) - abs(row["execCost"] * row["commission"])) <= 1001
    paid = sum(row["execComm"] for row in rows)
    wallet = await venue.get("/user/wallet")
    assert 500_000_000 - wallet["amount"] == fees + paid


async def test_liquidation_adl_and_delisting_show_as_the_venue_shows_them(venue: Any) -> None:
    await venue.order(ordType="Market", orderQty=10_000)
    resting = await venue.order(price=await venue.below())
    venue.exchange.force_liquidation("mexkey0001", "bitmex:derivatives:XBTUSD", 0, venue.clock())
    rows = await venue.get("/execution/tradeHistory", filter='{"execType":"Liquidation"}')
    assert rows and {row["text"] for row in rows} == {"Liquidation"}
    assert {row["side"] for row in rows} == {"Sell"}
    found = await venue.get("/order", filter=f'{{"orderID":"{resting["orderID"]}"}}')
    assert found[0]["ordStatus"] == "Canceled"
    public = await venue.get("/liquidation", symbol="XBTUSD")
    assert [row["side"] for row in public] == ["Sell"]
    await venue.order(symbol="ETHUSD", ordType="Market", orderQty=100)
    venue.exchange.force_adl("mexkey0001", "bitmex:derivatives:ETHUSD", 40, venue.clock())
    await venue.get("/execution")
    held = (await venue.get("/position", filter='{"symbol":"ETHUSD"}'))[0]
    assert held["currentQty"] == 60
    venue.exchange.delist("bitmex:derivatives:ETHUSD", venue.clock())
    rows = await venue.get("/execution/tradeHistory", filter='{"execType":"Settlement"}')
    assert sum(row["lastQty"] for row in rows) == 60
    assert (await venue.get("/instrument", symbol="ETHUSD"))[0]["state"] == "Delisted"
    assert "ETHUSD" not in [row["symbol"] for row in await venue.get("/instrument/active")]
    assert (await venue.get("/settlement"))[0]["symbol"] == "ETHUSD"
    assert await venue.refusal(symbol="ETHUSD", orderQty=1, ordType="Market") == (
        400,
        "Instrument expired",
    )


async def test_the_dead_mans_switch_cancels_unless_fed_or_cleared(venue: Any) -> None:
    price = await venue.below()
    await venue.order(price=price, clOrdID="watched")
    told = await venue.ask("POST", "/order/cancelAllAfter", {"timeout": 5000})
    assert datetime.fromisoformat(told["cancelTime"]) > datetime.fromisoformat(told["now"])
    venue.clock.offset += 4 * SECOND
    await venue.ask("POST", "/order/cancelAllAfter", {"timeout": 5000})
    venue.clock.offset += 4 * SECOND
    await asyncio.sleep(0.05)
    assert (await venue.get("/order", filter='{"clOrdID":"watched"}'))[0]["ordStatus"] == "New"
    venue.clock.offset += 2 * SECOND
    await asyncio.sleep(0.05)
    row = (await venue.get("/order", filter='{"clOrdID":"watched"}'))[0]
    assert row["ordStatus"] == "Canceled" and "cancelAllAfter" in row["text"]
    await venue.order(price=price, clOrdID="kept")
    await venue.ask("POST", "/order/cancelAllAfter", {"timeout": 1000})
    await venue.ask("POST", "/order/cancelAllAfter", {"timeout": 0})
    venue.clock.offset += 2 * SECOND
    await asyncio.sleep(0.05)
    assert (await venue.get("/order", filter='{"clOrdID":"kept"}'))[0]["ordStatus"] == "New"


async def test_orders_for_a_day_end_at_midnight_and_others_stay(venue: Any) -> None:
    price = await venue.below()
    await venue.order(price=price, clOrdID="today", timeInForce="Day")
    await venue.order(price=price, clOrdID="always")
    midnight = (venue.clock() // (86_400 * SECOND) + 1) * 86_400 * SECOND
    venue.surface.beat(midnight)
    rows = {row["clOrdID"]: row for row in await venue.get("/order")}
    assert rows["today"]["text"].startswith("Canceled: Order had timeInForce of Day")
    assert rows["always"]["ordStatus"] == "New"


async def test_cross_leverage_risk_limit_and_the_old_way_to_close(venue: Any) -> None:
    fields = {"symbol": "XBTUSD", "leverage": 5}
    row = await venue.ask("POST", "/position/crossLeverage", fields)
    assert (row["leverage"], row["crossMargin"]) == (5, True)
    before = row["riskLimit"]
    row = await venue.ask("POST", "/position/riskLimit", {"symbol": "XBTUSD", "riskLimit": before})
    assert row["riskLimit"] == before
    await venue.order(ordType="Market", orderQty=-700, side=None)
    row = await venue.ask("POST", "/position/leverage", fields)  # under an open position, too
    assert (row["leverage"], row["crossMargin"], row["currentQty"]) == (5, False, -700)
    assert abs(row["posMargin"] * 5 - abs(row["posCost"])) < 100
    row = await venue.ask("POST", "/order/closePosition", {"symbol": "XBTUSD"})
    assert (row["side"], row["cumQty"], row["execInst"]) == ("Buy", 700, "Close")


async def test_a_busy_venue_sheds_orders_but_cancels(venue: Any) -> None:
    price = await venue.below()
    made = await venue.order(price=price)
    venue.exchange.pause(venue.clock(), word="venue_busy")
    status, message = await venue.refusal(price=price)
    assert status == 503 and "overloaded" in message
    gone = await venue.ask("DELETE", "/order", {"orderID": made["orderID"]})
    assert gone[0]["ordStatus"] == "Canceled"

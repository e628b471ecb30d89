"""Liquidation, deleveraging, delisting, margin types, brackets and COIN-M accounts on Binance."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

NAME = "binance:usdm:BTCUSDT"
SECOND = 1_000_000_000


async def bought(bare: Any, **more: Any) -> dict[str, Any]:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.5"} | more
    code, body, _ = await bare.signed("POST", "/fapi/v1/order", **order)
    assert code == 200, body
    return dict(body)


async def resting(bare: Any, **more: Any) -> dict[str, Any]:
    _, book, _ = await bare.ask("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=5)
    price = f"{float(book['bids'][0][0]) * 0.97:.1f}"
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
             "quantity": "0.01", "price": price}  # fmt: skip
    return dict((await bare.signed("POST", "/fapi/v1/order", **(order | more)))[1])


async def private(bare: Any, root: str = "/fapi/v1") -> str:
    _, body, _ = await bare.ask("POST", f"{root}/listenKey")
    return str(body["listenKey"])


def exchange(bare: Any) -> Any:
    return bare.running.twin.exchange


async def gathered(ear: Any, enough: int) -> list[dict[str, Any]]:
    return [await ear.hear() for _ in range(enough)]


async def test_a_liquidation_is_told_by_its_own_words_on_every_channel(bare: Any) -> None:
    await bought(bare)
    waiting = await resting(bare, newClientOrderId="waits")
    async with (
        bare.socket(f"/private/ws/{await private(bare)}") as ear,
        bare.socket("/market/ws/btcusdt@forceOrder") as public,
    ):
        await asyncio.sleep(0.1)
        order = exchange(bare).force_liquidation(bare.account.key, NAME, 0, bare.now_ms * 10**6)
        events = await gathered(ear, 5)
        updates = [one["o"] for one in events if one["e"] == "ORDER_TRADE_UPDATE"]
        assert (updates[0]["c"], updates[0]["X"], updates[0]["er"]) == ("waits", "EXPIRED", "5")
        assert updates[1]["x"] == "NEW" and updates[1]["c"] == f"autoclose-{order.id}"
        assert updates[2]["x"] == "CALCULATED" and updates[2]["R"] is True
        news = await public.hear()
        assert (news["e"], news["o"]["s"], news["o"]["S"]) == ("forceOrder", "BTCUSDT", "SELL")
        assert (news["o"]["q"], news["o"]["X"]) == ("0.500", "FILLED")
        while (said := await ear.hear())["e"] != "ACCOUNT_UPDATE" or said["a"]["m"] != "ORDER":
            pass
        assert said["a"]["P"][0]["pa"] == "0.000"
    _, forced, _ = await bare.signed("GET", "/fapi/v1/forceOrders")
    assert [row["clientOrderId"] for row in forced] == [f"autoclose-{order.id}"]
    _, rows, _ = await bare.signed("GET", "/fapi/v1/income", incomeType="INSURANCE_CLEAR")
    assert len(rows) == 1 and Decimal(rows[0]["income"]) < 0
    assert waiting["clientOrderId"] == "waits"


async def test_deleveraging_and_settlement_use_their_client_ids(bare: Any) -> None:
    await bought(bare)
    at = bare.now_ms * 10**6
    exchange(bare).force_adl(bare.account.key, NAME, 200, at)
    exchange(bare).delist(NAME, at + 1, Decimal("61000.55"))
    _, trades, _ = await bare.signed("GET", "/fapi/v1/userTrades", symbol="BTCUSDT")
    _, orders, _ = await bare.signed("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")
    ids = [row["clientOrderId"] for row in orders]
    assert ids[1] == "adl_autoclose" and ids[2].startswith("settlement_autoclose-")
    assert (trades[-2]["qty"], trades[-1]["qty"], trades[-1]["price"]) == (
        "0.200",
        "0.300",
        "61000.55",
    )
    assert trades[-1]["commission"] == "0.00000000"
    _, forced, _ = await bare.signed("GET", "/fapi/v1/forceOrders", autoCloseType="ADL")
    assert [row["clientOrderId"] for row in forced] == ["adl_autoclose"]
    _, income, _ = await bare.signed("GET", "/fapi/v1/income")
    assert income[-1]["incomeType"] == "DELIVERED_SETTELMENT"


async def test_a_delisted_symbol_is_closed_announced_and_refused(bare: Any) -> None:
    order = await resting(bare)
    async with bare.socket("/market/ws/!contractInfo") as ear:
        await asyncio.sleep(0.1)
        exchange(bare).delist(NAME, bare.now_ms * 10**6)
        first, second = await gathered(ear, 2)
    assert [first["cs"], second["cs"]] == ["SETTLING", "CLOSE"]
    assert first["e"] == "contractInfo" and second["bks"][0]["ma"] == 125
    _, info, _ = await bare.ask("GET", "/fapi/v1/exchangeInfo")
    states = {row["symbol"]: row["status"] for row in info["symbols"]}
    assert states == {"BTCUSDT": "CLOSE", "ETHUSDT": "TRADING", "SOLUSDT": "TRADING"}
    query = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    _, row, _ = await bare.signed("GET", "/fapi/v1/order", **query)
    assert row["status"] == "EXPIRED"
    late = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    code, refused, _ = await bare.signed(
        "POST", "/fapi/v1/order", quantity="0.01", price="60000", **late
    )
    assert (code, refused["code"]) == (400, -4141)


async def test_an_announced_delisting_shows_as_the_delivery_date(bare: Any) -> None:
    due_ms = bare.now_ms + 3_600_000
    async with bare.socket("/market/ws/!contractInfo") as ear:
        await asyncio.sleep(0.1)
        exchange(bare).delist(NAME, bare.now_ms * 10**6, due=due_ms * 10**6)
        news = await ear.hear()
    assert (news["cs"], news["dt"]) == ("TRADING", due_ms)
    _, info, _ = await bare.ask("GET", "/fapi/v1/exchangeInfo")
    assert info["symbols"][0]["deliveryDate"] == due_ms


@pytest.mark.parametrize(
    ("word", "code", "status"),
    [("not_tradable", -4141, "PENDING_TRADING"), ("venue_busy", -1008, "TRADING")],
)
async def test_a_pause_answers_with_the_code_of_its_kind(
    bare: Any, word: str, code: int, status: str
) -> None:
    exchange(bare).pause(bare.now_ms * 10**6, instrument=NAME, word=word)
    assert (await resting(bare))["code"] == code
    _, info, _ = await bare.ask("GET", "/fapi/v1/exchangeInfo")
    assert info["symbols"][0]["status"] == status
    exchange(bare).pause(bare.now_ms * 10**6, word="")
    assert "orderId" in await resting(bare)


async def test_spot_says_halt_while_paused_and_break_when_delisted(bare: Any) -> None:
    name = "binance:spot:BTCUSDT"
    states = []
    for act in (exchange(bare).pause, exchange(bare).delist):
        act(at=bare.now_ms * 10**6, instrument=name)
        _, info, _ = await bare.ask("GET", "/api/v3/exchangeInfo", symbol="BTCUSDT")
        states.append(info["symbols"][0]["status"])
    assert states == ["HALT", "BREAK"]


async def test_isolated_margin_is_set_moved_and_shown_apart_from_the_cross_wallet(
    bare: Any,
) -> None:
    path = "/fapi/v1/marginType"
    body = {"symbol": "BTCUSDT", "marginType": "CROSSED"}
    assert (await bare.signed("POST", path, **body))[1]["code"] == -4046
    order = await resting(bare)
    isolated = body | {"marginType": "ISOLATED"}
    assert (await bare.signed("POST", path, **isolated))[1]["code"] == -4047
    await bare.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=order["orderId"])
    async with bare.socket(f"/private/ws/{await private(bare)}") as ear:
        await asyncio.sleep(0.1)
        assert (await bare.signed("POST", path, **isolated))[1]["code"] == 200
        assert (await ear.hear())["a"]["m"] == "MARGIN_TYPE_CHANGE"
        await bought(bare)
        assert (await bare.signed("POST", path, **body))[1]["code"] == -4048
        move = {"symbol": "BTCUSDT", "amount": "100", "type": 1}
        code, moved, _ = await bare.signed("POST", "/fapi/v1/positionMargin", **move)
        assert (code, moved["type"]) == (200, 1)
        while (said := await ear.hear())["e"] != "ACCOUNT_UPDATE" or (
            said["a"]["m"] != "MARGIN_TRANSFER"
        ):
            pass
        assert said["a"]["P"][0]["mt"] == "isolated"
    (risk,) = (await bare.signed("GET", "/fapi/v3/positionRisk"))[1]
    wallet = Decimal(risk["isolatedWallet"])
    assert wallet == pytest.approx(Decimal(risk["notional"]) / 20 + 100, abs=20)
    assert Decimal(risk["liquidationPrice"]) < Decimal(risk["markPrice"])
    (money,) = (await bare.signed("GET", "/fapi/v3/balance"))[1]
    assert Decimal(money["balance"]) - Decimal(money["crossWalletBalance"]) == wallet
    (config, *_) = (await bare.signed("GET", "/fapi/v1/symbolConfig"))[1]
    assert config["marginType"] == "ISOLATED"
    too_much = {"symbol": "BTCUSDT", "amount": "99999999", "type": 1}
    assert (await bare.signed("POST", "/fapi/v1/positionMargin", **too_much))[1]["code"] == -4051


async def test_brackets_cap_what_a_leverage_allows(bare: Any) -> None:
    _, listed, _ = await bare.signed("GET", "/fapi/v1/leverageBracket", symbol="BTCUSDT")
    rows = listed["brackets"]
    assert [row["bracket"] for row in rows] == [1, 2, 3, 4, 5]
    assert (rows[0]["initialLeverage"], rows[0]["notionalCap"]) == (125, 2_000_000)
    assert rows[1]["cum"] == 2_000_000 * 0.005
    leverage = {"symbol": "BTCUSDT", "leverage": 125}
    _, answer, _ = await bare.signed("POST", "/fapi/v1/leverage", **leverage)
    assert answer["maxNotionalValue"] == "2000000"
    assert (await resting(bare, quantity="40"))["code"] == -2027
    leverage["leverage"] = 50
    _, answer, _ = await bare.signed("POST", "/fapi/v1/leverage", **leverage)
    assert answer["maxNotionalValue"] == "10000000"


async def test_multi_assets_mode_excludes_isolated_margin(bare: Any) -> None:
    path = "/fapi/v1/multiAssetsMargin"
    assert (await bare.signed("POST", path, multiAssetsMargin="false"))[1]["code"] == -4171
    assert (await bare.signed("POST", path, multiAssetsMargin="true"))[1]["code"] == 200
    assert (await bare.signed("GET", path))[1] == {"multiAssetsMargin": True}
    isolated = {"symbol": "BTCUSDT", "marginType": "ISOLATED"}
    assert (await bare.signed("POST", "/fapi/v1/marginType", **isolated))[1]["code"] == -4168
    assert (await bare.signed("GET", "/fapi/v1/accountConfig"))[1]["multiAssetsMargin"] is True


async def test_hedge_mode_keeps_long_and_short_apart(bare: Any) -> None:
    path = "/fapi/v1/positionSide/dual"
    assert (await bare.signed("POST", path, dualSidePosition="true"))[1]["code"] == 200
    await bought(bare, positionSide="LONG")
    await bought(bare, side="SELL", positionSide="SHORT")
    _, rows, _ = await bare.signed("GET", "/fapi/v3/positionRisk")
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [
        ("LONG", "0.500"),
        ("SHORT", "-0.500"),
    ]
    (ranks,) = (await bare.signed("GET", "/fapi/v1/adlQuantile"))[1]
    assert ranks["adlQuantile"].keys() == {"LONG", "SHORT"}


async def test_the_key_tells_its_permissions(bare: Any) -> None:
    _, rights, _ = await bare.signed("GET", "/sapi/v1/account/apiRestrictions")
    assert rights["enableReading"] and rights["enableFutures"]
    assert not rights["enableWithdrawals"] and not rights["ipRestrict"]


async def test_coin_margined_contracts_are_traded_and_settled_in_their_coin(bare: Any) -> None:
    key = await private(bare, "/dapi/v1")
    async with bare.socket(f"/dstream/ws/{key}") as ear:
        await asyncio.sleep(0.1)
        order = {"symbol": "BTCUSD_PERP", "side": "BUY", "type": "MARKET", "quantity": "10"}
        code, placed, _ = await bare.signed(
            "POST", "/dapi/v1/order", newOrderRespType="RESULT", **order
        )
        assert (code, placed["status"], placed["pair"]) == (200, "FILLED", "BTCUSD")
        said = await ear.hear_until("ACCOUNT_UPDATE")
        assert said["a"]["P"][0]["pa"] == "10" and said["a"]["B"][0]["a"] == "BTC"
    _, trades, _ = await bare.signed("GET", "/dapi/v1/userTrades", symbol="BTCUSD_PERP")
    coins = sum(Decimal(row["baseQty"]) for row in trades)
    assert coins == pytest.approx(1000 / Decimal(trades[0]["price"]), rel=Decimal("0.001"))
    assert trades[0]["commissionAsset"] == "BTC"
    _, rows, _ = await bare.signed("GET", "/dapi/v1/positionRisk")
    held = {row["symbol"]: row for row in rows}
    assert held["BTCUSD_PERP"]["positionAmt"] == "10"
    _, account, _ = await bare.signed("GET", "/dapi/v1/account")
    assert {row["asset"] for row in account["assets"]} == {"BTC", "ETH"}
    _, balances, _ = await bare.signed("GET", "/dapi/v1/balance")
    assert Decimal(balances[0]["balance"]) < 5
    _, brackets, _ = await bare.signed("GET", "/dapi/v2/leverageBracket", symbol="BTCUSD_PERP")
    assert brackets[0]["brackets"][0]["qtyCap"] == 33
    _, open_orders, _ = await bare.signed("GET", "/dapi/v1/openOrders")
    assert open_orders == []
    income = (await bare.signed("GET", "/dapi/v1/income"))[1]
    assert income[-1]["incomeType"] == "COMMISSION" and income[-1]["asset"] == "BTC"


async def test_usd_margined_sockets_hear_nothing_of_coin_margined_orders(bare: Any) -> None:
    async with bare.socket(f"/private/ws/{await private(bare)}") as ear:
        await asyncio.sleep(0.1)
        order = {"symbol": "BTCUSD_PERP", "side": "BUY", "type": "MARKET", "quantity": "1"}
        assert (await bare.signed("POST", "/dapi/v1/order", **order))[0] == 200
        assert await ear.silent()

"""Orders, user streams, refusals and lost answers as they stand on the wire."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from oneprice.model.units import MINUTE, SECOND

SPOT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}


async def low_price(bare: Any, path: str, places: int) -> str:
    _, book, _ = await bare.ask("GET", path, symbol="BTCUSDT", limit=5)
    return f"{float(book['bids'][0][0]) * 0.97:.{places}f}"


async def place_spot(bare: Any, **more: Any) -> tuple[int, Any, Any]:
    price = await low_price(bare, "/api/v3/depth", 2)
    order = SPOT | {"quantity": "0.01", "price": price} | more
    return await bare.signed("POST", "/api/v3/order", **order)


async def place_perp(bare: Any, **more: Any) -> tuple[int, Any, Any]:
    price = await low_price(bare, "/fapi/v1/depth", 1)
    order = SPOT | {"quantity": "0.01", "price": price} | more
    return await bare.signed("POST", "/fapi/v1/order", **order)


async def listen(bare: Any) -> str:
    _, body, _ = await bare.ask("POST", "/fapi/v1/listenKey")
    return str(body["listenKey"])


# Spot ----------------------------------------------------------------------------------------


async def test_the_three_answer_shapes_of_a_spot_order(bare: Any) -> None:
    _, ack, headers = await place_spot(bare, newOrderRespType="ACK")
    assert list(ack) == ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime"]
    assert headers["X-MBX-ORDER-COUNT-10S"] == "1"
    _, result, _ = await place_spot(bare, newOrderRespType="RESULT")
    assert "fills" not in result
    assert result["status"] == "NEW"
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "1000"}
    _, full, headers = await bare.signed("POST", "/api/v3/order", **market)
    assert full["status"] == "FILLED"
    spent = sum(Decimal(f["price"]) * Decimal(f["qty"]) for f in full["fills"])
    assert Decimal(full["cummulativeQuoteQty"]) == spent <= 1000
    assert headers["X-MBX-ORDER-COUNT-10S"] == "2"  # the filled one gave its slot back


async def test_placing_is_free_and_failing_costs_weight(bare: Any) -> None:
    await bare.ask("GET", "/api/v3/ping")
    _, _, headers = await bare.ask("GET", "/api/v3/ping")
    before = int(headers["X-MBX-USED-WEIGHT-1M"])
    price = "50000"
    order = SPOT | {"quantity": "0.01", "price": price}
    _, _, headers = await bare.signed("POST", "/api/v3/order", **order)
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) == before
    _, _, headers = await bare.signed("POST", "/api/v3/order", **(order | {"price": "1.001"}))
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) == before + 1


async def test_wrapped_events_follow_a_subscription_and_a_cancel_swaps_the_ids(bare: Any) -> None:
    async with bare.socket("/ws-api/v3") as ear:
        subscribe = {"method": "userDataStream.subscribe.signature"}
        await ear.say(id="s", **subscribe, params=bare.signed_params())
        answer = await ear.hear()
        assert (answer["status"], answer["result"]) == (200, {"subscriptionId": 0})
        await ear.say(id="t", **subscribe, params=bare.signed_params())
        assert (await ear.hear())["error"]["code"] == -2035
        _, order, _ = await place_spot(bare, newClientOrderId="mine-1")
        told = await ear.hear_until("executionReport")
        assert told["subscriptionId"] == 0
        assert (told["event"]["x"], told["event"]["c"], told["event"]["C"]) == (
            "NEW",
            "mine-1",
            "",
        )
        locked = (await ear.hear_until("outboundAccountPosition"))["event"]["B"]
        assert Decimal(next(row["l"] for row in locked if row["a"] == "USDT")) > 0
        await bare.signed(
            "DELETE",
            "/api/v3/order",
            symbol="BTCUSDT",
            orderId=order["orderId"],
            newClientOrderId="cancel-1",
        )
        event = (await ear.hear_until("executionReport"))["event"]
        assert (event["x"], event["X"]) == ("CANCELED", "CANCELED")
        assert (event["c"], event["C"]) == ("cancel-1", "mine-1")
        await ear.hear_until("outboundAccountPosition")
        await ear.say(id=1, method="session.logon", params=bare.signed_params())
        assert (await ear.hear())["error"]["code"] == -4056


async def test_what_an_ioc_leaves_expires_with_a_reason(bare: Any) -> None:
    status, body, _ = await place_spot(bare, timeInForce="IOC")
    assert status == 200
    assert (body["status"], body["fills"]) == ("EXPIRED", [])
    assert body["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"


async def test_a_replacement_that_fails_after_its_cancel_answers_409(bare: Any) -> None:
    _, order, _ = await place_spot(bare)
    _, book, _ = await bare.ask("GET", "/api/v3/depth", symbol="BTCUSDT", limit=5)
    wish = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT_MAKER",
        "quantity": "0.01",
        "price": f"{float(book['asks'][0][0]) * 1.01:.2f}",
        "cancelOrderId": order["orderId"],
        "cancelReplaceMode": "STOP_ON_FAILURE",
    }
    status, body, _ = await bare.signed("POST", "/api/v3/order/cancelReplace", **wish)
    assert (status, body["code"], body["data"]["cancelResult"]) == (409, -2021, "SUCCESS")
    assert body["data"]["newOrderResponse"]["code"] == -2010
    status, body, _ = await bare.signed("POST", "/api/v3/order/cancelReplace", **wish)
    assert (status, body["code"]) == (400, -2022)
    assert body["data"]["newOrderResult"] == "NOT_ATTEMPTED"


async def test_spot_listen_keys_are_gone(bare: Any) -> None:
    for method in ("POST", "PUT", "DELETE"):
        status, body, headers = await bare.ask(method, "/api/v3/userDataStream")
        assert status == 410
        assert "<html>" in body
        assert headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("product", "status", "code"), [("spot", 408, -1007), ("usdm", 503, -1000)]
)
async def test_an_order_can_be_accepted_without_anyone_knowing(
    bare: Any, product: str, status: int, code: int
) -> None:
    place = place_spot if product == "spot" else place_perp
    root = "/api/v3" if product == "spot" else "/fapi/v1"
    bare.surface.lose_answer(product)
    seen, body, _ = await place(bare, newClientOrderId="lost-1")
    assert (seen, body["code"]) == (status, code)
    seen, body, _ = await bare.signed(
        "GET", f"{root}/order", symbol="BTCUSDT", origClientOrderId="lost-1"
    )
    assert (seen, body["status"]) == (200, "NEW")


async def test_a_socket_order_whose_answer_is_lost_lives(bare: Any) -> None:
    bare.surface.lose_answer("spot", how="silent")
    price = await low_price(bare, "/api/v3/depth", 2)
    wish = SPOT | {"quantity": "0.01", "price": price, "newClientOrderId": "lost-2"}
    async with bare.socket("/ws-api/v3?returnRateLimits=false") as ear:
        await ear.say(id=1, method="order.place", params=bare.signed_params(**wish))
        assert await ear.silent()
        asked = bare.signed_params(symbol="BTCUSDT", origClientOrderId="lost-2")
        await ear.say(id=2, method="order.status", params=asked)
        answer = await ear.hear()
    assert answer["id"] == 2
    assert answer["result"]["status"] == "NEW"
    assert "rateLimits" not in answer


# Futures -------------------------------------------------------------------------------------


async def test_futures_acknowledge_first_and_tell_the_fill_on_the_stream(bare: Any) -> None:
    key = await listen(bare)
    async with bare.socket(f"/private/ws?listenKey={key}") as ear:
        wish = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        _, ack, headers = await bare.signed("POST", "/fapi/v1/order", **wish)
        assert (ack["status"], ack["executedQty"]) == ("NEW", "0.000")
        assert "avgPrice" not in ack
        assert headers["X-MBX-ORDER-COUNT-1M"] == "1"
        lite = await ear.hear_until("TRADE_LITE")
        full = (await ear.hear_until("ORDER_TRADE_UPDATE"))["o"]
        assert (full["x"], full["t"], full["i"]) == ("TRADE", lite["t"], ack["orderId"])
        account = (await ear.hear_until("ACCOUNT_UPDATE"))["a"]
        assert (account["m"], account["P"][0]["ps"]) == ("ORDER", "BOTH")
        assert Decimal(account["P"][0]["pa"]) > 0


async def test_only_wanted_events_come_and_the_unrouted_host_brings_none(bare: Any) -> None:
    key = await listen(bare)
    wanted = f"/private/ws?listenKey={key}&events=ACCOUNT_UPDATE"
    async with bare.socket(wanted) as some, bare.socket(f"/fstream/ws/{key}") as none:
        wish = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.01"}
        await bare.signed("POST", "/fapi/v1/order", **wish)
        assert (await some.hear())["e"] == "ACCOUNT_UPDATE"
        assert await none.silent()


async def test_a_listen_key_expires_after_an_hour_and_then_there_is_silence(bare: Any) -> None:
    key = await listen(bare)
    assert await listen(bare) == key
    async with bare.socket(f"/private/stream?listenKey={key}") as ear:
        bare.surface.expire_listen_key(bare.account.key)
        expired = await ear.hear_until("listenKeyExpired")
        assert expired["stream"] == expired["data"]["listenKey"] == key
        await place_perp(bare)
        assert await ear.silent()
    status, body, _ = await bare.ask("PUT", "/fapi/v1/listenKey")
    assert (status, body["code"]) == (400, -1125)


@pytest.mark.parametrize("bare", [3 * SECOND], indirect=True)
async def test_funding_comes_without_a_position_and_stands_in_the_income(bare: Any) -> None:
    wish = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
    await bare.signed("POST", "/fapi/v1/order", **wish)
    key = await listen(bare)
    async with bare.socket(f"/private/ws/{key}") as ear:
        told = await ear.hear_until("ACCOUNT_UPDATE")
    assert told["a"]["m"] == "FUNDING_FEE"
    assert told["a"]["P"] == []
    _, rows, _ = await bare.signed("GET", "/fapi/v1/income", incomeType="FUNDING_FEE")
    assert Decimal(rows[-1]["income"]) == Decimal(told["a"]["B"][0]["bc"])
    assert rows[-1]["symbol"] == "BTCUSDT"


async def test_the_countdown_cancels_what_is_not_renewed(bare: Any) -> None:
    _, order, _ = await place_perp(bare)
    await bare.signed("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=150)
    await asyncio.sleep(0.4)
    _, body, _ = await bare.signed(
        "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=order["orderId"]
    )
    assert body["status"] == "CANCELED"


async def test_a_modification_keeps_the_order_and_tells_an_amendment(bare: Any) -> None:
    _, order, _ = await place_perp(bare, newClientOrderId="m:1.a/b")
    key = await listen(bare)
    wish = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "quantity": "0.02",
        "price": order["price"],
        "origClientOrderId": "m:1.a/b",
    }
    async with bare.socket(f"/private/ws/{key}") as ear:
        _, changed, _ = await bare.signed("PUT", "/fapi/v1/order", **wish)
        event = (await ear.hear_until("ORDER_TRADE_UPDATE"))["o"]
    assert changed["orderId"] == order["orderId"] == event["i"]
    assert (event["x"], event["q"]) == ("AMENDMENT", "0.020")
    status, body, _ = await bare.signed("PUT", "/fapi/v1/order", **wish)
    assert (status, body["code"]) == (400, -5027)


async def test_settings_answer_with_the_codes_of_no_change(bare: Any) -> None:
    cases = [
        ("/fapi/v1/marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"}, -4046),
        ("/fapi/v1/positionSide/dual", {"dualSidePosition": "false"}, -4059),
        ("/fapi/v1/multiAssetsMargin", {"multiAssetsMargin": "false"}, -4171),
    ]
    for path, params, code in cases:
        status, body, _ = await bare.signed("POST", path, **params)
        assert (status, body["code"]) == (400, code)
    _, body, _ = await bare.signed("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    assert body["code"] == 200
    status, body, _ = await place_perp(bare)
    assert (status, body["code"]) == (400, -4061)


async def test_limits_are_told_by_status_header_and_body(bare: Any) -> None:
    bare.surface.limits["spot"].ban("127.0.0.1", bare.running.twin.clock() + 2 * MINUTE)
    status, body, headers = await bare.ask("GET", "/api/v3/ping")
    assert (status, body["code"]) == (418, -1003)
    assert 100 < int(headers["Retry-After"]) <= 120
    status, _, _ = await bare.ask("GET", "/fapi/v1/ping")
    assert status == 200  # another host, another ban list


@pytest.mark.parametrize(
    ("fault", "status", "code", "lives"),
    [("error_after", 503, -1000, True), ("error_before", 503, -1001, False)],
)
async def test_server_errors_tell_by_their_words_whether_the_order_may_live(
    bare: Any, fault: str, status: int, code: int, lives: bool
) -> None:
    bare.running.twin.faults.arm(fault)
    seen, body, _ = await place_perp(bare, newClientOrderId="doubt-1")
    assert (seen, body["code"]) == (status, code)
    seen, body, _ = await bare.signed(
        "GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="doubt-1"
    )
    assert (seen == 200) is lives

"""REST of the Bybit twin: keys, clocks, ceilings, refusals and what follows from orders."""

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from oneprice.twin.dialects.bybit.auth import check_window, signature
from oneprice.twin.dialects.bybit.envelope import Failure
from oneprice.twin.dialects.bybit.limits import Limiter
from oneprice.twin.dialects.bybit.names import Names

SECOND = 1_000_000_000
BODY = (
    '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.010",'
    '"price":"60000.0","timeInForce":"PostOnly","orderLinkId":"arb-0001"}'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "1790000000000simkey00015000category=linear&symbol=BTCUSDT",
            "5bdc6f363e0e722fc0bc289642f3c65c54800ede753b24a56a7bead6297c5c8a",
        ),
        (
            "1790000000000simkey00015000" + BODY,
            "d7c4b21a310ef340bf2022022aca5c709858164bad8cdefd4d4268d437b0e00f",
        ),
        (
            "GET/realtime1790000010000",
            "a71e5a8939ec1a9a28aae2e1639cf90bc165830cdc97809c9ef412aca6154007",
        ),
    ],
)
def test_signs_as_the_documents_vectors_do(text: str, expected: str) -> None:
    assert signature("simsecret0001", text) == expected


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [(95_000, True), (94_999, False), (100_999, True), (101_000, False), (100_000, True)],
)
def test_accepts_stamps_within_the_window_and_less_than_a_second_ahead(
    sent: int, accepted: bool
) -> None:
    if accepted:
        check_window(str(sent), "5000", 100_000)
        return
    with pytest.raises(Failure) as caught:
        check_window(str(sent), "5000", 100_000)
    assert caught.value.code == 10002
    numbers = f"req_timestamp[{sent}],server_timestamp[100000],recv_window[5000]"
    assert numbers in caught.value.text


def test_charges_batches_per_order_and_gives_room_back_after_a_second() -> None:
    limiter = Limiter()
    first = limiter.take("7", "/v5/order/create-batch", False, 8, 0)
    second = limiter.take("7", "/v5/order/create-batch", False, 8, 1)
    other = limiter.take("7", "/v5/order/create", False, 1, 1)
    assert (first.passed, second.passed, second.left, other.passed) == (8, 2, 0, 1)
    assert second.reset_ms == 1_000
    assert limiter.take("7", "/v5/order/create-batch", False, 8, SECOND).passed == 8


def test_bans_an_address_for_ten_minutes_after_600_visits_in_5_seconds() -> None:
    limiter = Limiter()
    assert all(limiter.visit("a", 0) for _ in range(600))
    assert not limiter.visit("a", 1)
    assert not limiter.visit("a", 599 * SECOND)
    assert limiter.visit("b", 1)
    assert limiter.visit("a", 601 * SECOND)


def test_spells_ids_reversibly_and_knows_foreign_ones() -> None:
    names = Names(1_790_000_000 * SECOND)
    for market in ("spot", "linear"):
        text = names.order(market, 17_952_585_317_944)
        assert names.order_number(market, text) == 17_952_585_317_944
    assert len(names.order("spot", 17_952_585_317_944)) == 19
    assert names.order_number("linear", "5f1d2c80-6f0e-4c7e-9b4b-0d5c0e1a7f11") == 0
    assert names.order_number("spot", "nonsense") == 0


async def test_refuses_keys_signatures_addresses_and_writers_in_the_documented_order(
    venue: Any,
) -> None:
    wallet = ("/v5/account/wallet-balance", "accountType=UNIFIED")
    assert (await venue.get(*wallet))["retCode"] == 0
    assert (await venue.get(*wallet, key="nobody", stamp="1"))["retCode"] == 10003
    assert (await venue.get(*wallet, secret="x", stamp="1"))["retCode"] == 10002
    assert (await venue.get(*wallet, secret="x"))["retCode"] == 10004
    assert (await venue.get(*wallet, key="bound"))["retCode"] == 10010
    refused = await venue.post("/v5/order/cancel-all", {"category": "spot"}, key="reader")
    assert refused["retCode"] == 10005


async def test_states_the_allowance_in_headers_until_10006(venue: Any) -> None:
    codes, left = [], []
    for _ in range(7):
        answer = await venue.get("/v5/account/fee-rate", "category=linear&symbol=BTCUSDT")
        codes.append(answer["retCode"])
        left.append(int(venue.last.headers["X-Bapi-Limit-Status"]))
        assert venue.last.headers["X-Bapi-Limit"] == "5"
    assert codes == [0] * 5 + [10006] * 2
    assert left == [4, 3, 2, 1, 0, 0, 0]
    reset = int(venue.last.headers["X-Bapi-Limit-Reset-Timestamp"])
    assert 0 < reset - venue.now_ms() <= 1_000
    venue.surface.gatehouse.bare_refusals = True
    bare = await venue.get("/v5/account/fee-rate", "category=linear&symbol=BTCUSDT")
    assert bare["retCode"] == 10006 and "X-Bapi-Limit" not in venue.last.headers


async def test_turns_banned_addresses_and_gets_with_a_body_away_with_html(venue: Any) -> None:
    url = venue.running.rest + "/v5/market/time"
    async with venue.session.get(url, json={"a": 1}) as answer:
        assert answer.status == 403 and answer.content_type == "text/html"
    venue.surface.limiter.ban("127.0.0.1", venue.clock())
    async with venue.session.get(url) as answer:
        assert answer.status == 403 and "access too frequent" in await answer.text()
    venue.surface.limiter.lift_bans()
    assert (await venue.get("/v5/market/time"))["retCode"] == 0


async def test_fails_the_part_of_a_batch_that_is_over_the_ceiling(venue: Any) -> None:
    price = await venue.below()
    order = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001"}
    batch = {"category": "linear", "request": [order | {"price": price}] * 12}
    answer = await venue.post("/v5/order/create-batch", batch)
    assert answer["retCode"] == 0
    codes = [row["code"] for row in answer["retExtInfo"]["list"]]
    assert codes == [0] * 10 + [10006] * 2
    assert [row["createAt"] == "" for row in answer["result"]["list"]] == [False] * 10 + [True] * 2


async def test_moves_futures_prices_into_the_band_and_refuses_them_on_request(venue: Any) -> None:
    limit = (await venue.get("/v5/market/price-limit", "category=linear&symbol=BTCUSDT"))["result"]
    high = str(int(2 * Decimal(limit["buyLmt"])))
    moved = await venue.order(price=high, timeInForce="PostOnly", orderLinkId="band-1")
    assert moved["retCode"] == 0
    query = "category=linear&orderLinkId=band-1"
    row = (await venue.get("/v5/order/history", query))["result"]["list"][0]
    assert Decimal(row["price"]) < Decimal(high)
    choice = {"category": "linear", "modifyEnable": False}
    assert (await venue.post("/v5/account/set-limit-px-action", choice))["retCode"] == 0
    assert (await venue.order(price=high))["retCode"] == 30208
    settings = (await venue.get("/v5/account/user-setting-config"))["result"]
    assert settings["lpaPerp"] is True


async def test_switches_the_position_mode_only_without_positions_and_orders(venue: Any) -> None:
    switch = {"category": "linear", "coin": "USDT", "mode": 3}
    path = "/v5/position/switch-mode"
    assert (await venue.post(path, switch | {"mode": 0}))["retCode"] == 110025
    await venue.order(price=await venue.below(), orderLinkId="mode-1")
    assert (await venue.post(path, switch))["retCode"] == 110028
    await venue.post("/v5/order/cancel-all", {"category": "linear", "symbol": "BTCUSDT"})
    await venue.order(orderType="Market")
    assert (await venue.post(path, switch))["retCode"] == 110024
    await venue.order(orderType="Market", side="Sell", reduceOnly=True)
    assert (await venue.post(path, switch))["retCode"] == 0
    assert (await venue.order(orderType="Market"))["retCode"] == 10001
    rows = (await venue.get("/v5/position/list", "category=linear&symbol=BTCUSDT"))["result"]
    assert [row["positionIdx"] for row in rows["list"]] == [1, 2]


async def test_closes_a_whole_position_with_quantity_zero(venue: Any) -> None:
    await venue.order(orderType="Market", qty="0.02")
    closing = {"side": "Sell", "orderType": "Market", "qty": "0"}
    await venue.order(**closing, reduceOnly=True, closeOnTrigger=True)
    row = (await venue.get("/v5/position/list", "category=linear&symbol=BTCUSDT"))["result"]
    assert row["list"][0]["size"] == "0"


async def test_pages_orders_and_forgets_recent_ones_on_restart(venue: Any) -> None:
    price = await venue.below()
    for number in range(5):
        await venue.order(price=price, orderLinkId=f"page-{number}")
    seen, cursor = [], ""
    for _ in range(3):
        query = f"category=linear&symbol=BTCUSDT&limit=2&cursor={cursor}"
        result = (await venue.get("/v5/order/realtime", query))["result"]
        seen += [row["orderLinkId"] for row in result["list"]]
        cursor = result["nextPageCursor"]
    assert seen == [f"page-{number}" for number in (4, 3, 2, 1, 0)] and cursor == ""
    await venue.post("/v5/order/cancel", {"category": "linear", "symbol": "BTCUSDT",
                                          "orderLinkId": "page-0"})
    closed = "category=linear&symbol=BTCUSDT&openOnly=1"
    assert len((await venue.get("/v5/order/realtime", closed))["result"]["list"]) == 1
    venue.surface.restart_service()
    assert (await venue.get("/v5/order/realtime", closed))["result"]["list"] == []


async def test_accepts_an_order_without_answering(venue: Any) -> None:
    price = await venue.below()
    venue.surface.swallow_answers(1)
    with pytest.raises(aiohttp.ClientError):
        await venue.order(price=price, orderLinkId="silent-1")
    query = "category=linear&orderLinkId=silent-1"
    row = (await venue.get("/v5/order/realtime", query))["result"]["list"][0]
    assert row["orderStatus"] == "New"


async def test_refuses_what_it_does_not_offer_by_name(venue: Any) -> None:
    price = await venue.below()
    for wrong, word in (
        ({"triggerPrice": "1"}, "triggerPrice"),
        ({"orderLinkId": "x" * 37}, "orderLinkId"),
        ({"qty": 0.01}, "qty"),
        ({"timeInForce": "RPI"}, "timeInForce"),
        ({"positionIdx": 1}, "position idx"),
    ):
        answer = await venue.order(**({"price": price} | wrong))
        assert answer["retCode"] == 10001 and word in answer["retMsg"]
    late = await venue.get("/v5/market/funding/history",
                           "category=linear&symbol=BTCUSDT&startTime=1")
    assert late["retCode"] == 10001
    unknown = await venue.get("/v5/market/instruments-info", "category=linear&symbol=XUSDT")
    assert (unknown["retCode"], unknown["retMsg"]) == (10001, "Not supported symbols")


async def test_settles_funding_as_execution_log_row_and_history(venue: Any) -> None:
    await venue.order(orderType="Market", qty="0.1")
    line = await venue.login("/v5/private", "execution")
    minute = 60 * SECOND
    venue.clock.offset += minute - venue.clock() % minute - SECOND // 5
    pushed = await line.next(
        lambda one: one.get("topic") == "execution" and one["data"][0]["execType"] == "Funding"
    )
    await asyncio.sleep(0.05)
    query = "category=linear&execType=Funding"
    paid = (await venue.get("/v5/execution/list", query))["result"]["list"][0]
    assert paid["execId"] == pushed["data"][0]["execId"]
    assert paid["orderType"] == "UNKNOWN" and paid["execTime"].endswith("000")
    log = (await venue.get("/v5/account/transaction-log", "type=SETTLEMENT"))["result"]["list"][0]
    assert Decimal(log["funding"]) == -Decimal(paid["execFee"])
    assert Decimal(log["change"]) == Decimal(log["funding"])
    assert log["tradeId"] == paid["execId"]
    history = await venue.get("/v5/market/funding/history", "category=linear&symbol=BTCUSDT")
    newest = history["result"]["list"][0]
    assert newest["fundingRateTimestamp"] == paid["execTime"]
    assert Decimal(newest["fundingRate"]) == Decimal(paid["feeRate"])

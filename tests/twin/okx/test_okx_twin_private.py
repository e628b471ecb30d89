"""The private socket of the OKX twin: login, orders by code, what an account sees of itself."""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oneprice.twin.build import World, make_exchange
from oneprice.twin.contract import AccountSpec
from oneprice.twin.dialects.okx import make
from oneprice.twin.dialects.okx.envelope import Failure
from oneprice.twin.dialects.okx.fields import Fields
from oneprice.twin.dialects.okx.limits import Limiter
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.faults import Faults
from oneprice.twin.market import SeededWorld

SECOND = 1_000_000_000
ORDERS = {"channel": "orders", "instType": "ANY"}
CODE = 10459  # instIdCode of BTC-USDT-SWAP


WRONG_LOGINS: list[tuple[dict[str, str], str]] = [
    ({"timestamp": "soon"}, "60004"),
    ({"timestamp": "1767323045"}, "60006"),
    ({"apiKey": "no_such!"}, "60005"),
    ({"apiKey": "unknown-key"}, "60032"),
    ({"passphrase": "wrong"}, "60024"),
    ({"sign": "wrong"}, "60007"),
]


async def test_a_failed_login_tells_its_code_and_closes(venue: Any) -> None:
    for changed, code in WRONG_LOGINS:
        venue.clock.offset += SECOND  # not more than three connections a second
        line = await venue.line("private")
        answer = await line.ask("login", venue.login_args(**changed))
        assert (answer["event"], answer["code"]) == ("error", code)
        assert await line.closed() == 4001


async def test_a_login_stamp_may_be_a_number(venue: Any) -> None:
    line = await venue.line("private")
    now = venue.clock() // SECOND
    arguments = venue.login_args(timestamp=str(now)) | {"timestamp": now}
    assert (await line.ask("login", arguments))["code"] == "0"


async def test_orders_are_keyed_by_the_integer_code_of_the_instrument(venue: Any) -> None:
    line = await venue.login(ORDERS)
    body = {"tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "0.5", "clOrdId": "w1"}
    body["px"] = await venue.below()
    by_name = await line.ask("order", body | {"instId": "BTC-USDT-SWAP"}, id="1")
    assert (by_name["code"], by_name["data"][0]["sCode"]) == ("1", "50014")
    unknown = await line.ask("order", body | {"instIdCode": 1}, id="2")
    assert unknown["data"][0]["sCode"] == "51001"
    text = await line.ask("order", body | {"instIdCode": "10459"}, id="3")
    assert text["data"][0]["sCode"] == "51000"
    made = await line.ask("order", body | {"instIdCode": CODE, "instId": "ignored"}, id="4")
    assert (made["id"], made["op"], made["code"]) == ("4", "order", "0")
    assert int(made["outTime"]) >= int(made["inTime"])
    row = await line.order(clOrdId="w1")
    assert (row["state"], row["ordId"]) == ("live", made["data"][0]["ordId"])
    amend = {"instIdCode": CODE, "clOrdId": "w1", "newSz": "0.6", "reqId": "r1"}
    assert (await line.ask("amend-order", amend, id="5"))["data"][0]["sCode"] == "0"
    row = await line.order(sz="0.6")
    assert (row["reqId"], row["amendResult"], row["amendSource"]) == ("r1", "0", "1")
    gone = await line.ask("cancel-order", {"instIdCode": CODE, "clOrdId": "w1"}, id="6")
    assert gone["data"][0]["sCode"] == "0"
    row = await line.order(state="canceled")
    assert (row["cancelSource"], row["reqId"], row["amendResult"]) == ("1", "", "")


async def test_operations_want_a_login_an_id_and_arguments(venue: Any) -> None:
    line = await venue.line("private")
    await line.send("order", {"instIdCode": CODE}, id="1")
    assert (await line.next(lambda one: "op" in one))["code"] == "60011"
    line = await venue.login()
    assert (await line.ask("order", {"instIdCode": CODE}))["code"] == "60012"
    assert (await line.ask("batch-orders", id="2"))["code"] == "60013"
    expired = await line.ask("order", {"instIdCode": CODE}, id="3", expTime="1")
    assert expired["code"] == "50036"


async def test_rest_and_socket_share_one_allowance(venue: Any) -> None:
    line = await venue.login()
    body = {"instId": "BTC-USDT-SWAP", "ordId": "1"}
    for _ in range(60):
        await venue.post("trade/cancel-order", body)
    reply = await line.ask("cancel-order", {"instIdCode": CODE, "ordId": "1"}, id="1")
    assert reply["code"] == "50011"


async def test_a_fill_reaches_every_channel_of_the_account(venue: Any) -> None:
    line = await venue.login(
        ORDERS,
        {"channel": "positions", "instType": "ANY"},
        {"channel": "account"},
        {"channel": "balance_and_position"},
    )
    await venue.order(sz="2", clOrdId="fill1")
    seen: dict[str, dict[str, Any]] = {}

    def note(one: dict[str, Any]) -> bool:
        if one.get("eventType") == "snapshot" or "data" not in one:
            return False
        row = one["data"][0]
        if row.get("eventType") == "snapshot":
            return False
        if row.get("state") != "live":
            seen[one["arg"]["channel"]] = one
        return len(seen) == 4

    await line.next(note)
    order = seen["orders"]["data"][0]
    assert seen["orders"]["arg"]["uid"] == "7"
    assert order["execType"] == "T" and Decimal(order["fillFee"]) < 0
    expected = -Decimal(order["fillPx"]) * Decimal(order["fillSz"]) * Decimal("0.000005")
    assert abs(Decimal(order["fillFee"]) - expected) < Decimal("1e-7")
    position = seen["positions"]["data"][0]
    assert (position["pos"], seen["positions"]["eventType"]) == ("2", "event_update")
    moved = seen["balance_and_position"]["data"][0]
    assert moved["eventType"] == "filled" and moved["posData"][0]["pos"] == "2"
    details = seen["account"]["data"][0]["details"]
    assert [one["ccy"] for one in details] == ["USDT"]  # only what changed


async def test_account_channels_begin_with_a_snapshot_and_a_connection_count(
    venue: Any,
) -> None:
    line = await venue.login()
    await line.send("subscribe", {"channel": "account"})
    events = [await line.next(lambda one: True) for _ in range(3)]
    assert [one.get("event") for one in events] == ["subscribe", "channel-conn-count", None]
    assert (events[2]["eventType"], events[2]["curPage"], events[2]["lastPage"]) == (
        "snapshot", 1, True,
    )  # fmt: skip
    assert {one["ccy"] for one in events[2]["data"][0]["details"]} == {"USDT", "BTC"}


async def test_a_crossing_post_only_shows_only_its_end(venue: Any) -> None:
    line = await venue.login(ORDERS)
    await venue.order(px=await venue.below(factor="1.01"), ordType="post_only")
    row = (await line.data("orders"))["data"][0]
    assert (row["state"], row["cancelSource"]) == ("canceled", "31")


async def test_a_spot_market_order_ends_with_a_push_of_its_own(venue: Any) -> None:
    line = await venue.login(ORDERS)
    await venue.order(instId="BTC-USDT", tdMode="cash", sz="0.01", side="sell")
    rows = [(await line.data("orders"))["data"][0] for _ in range(3)]
    assert [row["state"] for row in rows] == ["live", "partially_filled", "filled"]
    assert (rows[2]["fillSz"], rows[2]["tradeId"]) == ("0", "")
    assert rows[1]["feeCcy"] == "USDT" and rows[1]["rebateCcy"] == "BTC"


async def test_pushes_can_come_twice_with_another_time(venue: Any) -> None:
    line = await venue.login(ORDERS)
    venue.surface.double_orders()
    await venue.order(px=await venue.below())
    first = (await line.data("orders"))["data"][0]
    second = (await line.data("orders"))["data"][0]
    assert first["uTime"] < second["uTime"]
    assert first == second | {"uTime": first["uTime"]}


async def test_an_answer_may_be_lost_late_or_of_unknown_outcome(venue: Any) -> None:
    line = await venue.login(ORDERS)
    body = {"instIdCode": CODE, "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "1",
            "px": await venue.below()}  # fmt: skip
    faults = venue.running.twin.faults
    faults.arm("answer_lost", 1, "order")
    await line.send("order", body | {"clOrdId": "lost"}, id="1")
    assert (await line.order())["clOrdId"] == "lost"
    faults.arm("error_after", 1, "order")
    reply = await line.ask("order", body | {"clOrdId": "unknown"}, id="2")
    assert (reply["id"], reply["code"]) == ("2", "50026")
    faults.arm("answer_late", 1, "order")
    await line.send("order", body | {"clOrdId": "late"}, id="3")
    first = await line.next(lambda one: one.get("id") == "3" or "data" in one)
    while "arg" in first and first["data"][0]["clOrdId"] != "late":
        first = await line.next(lambda one: one.get("id") == "3" or "data" in one)
    assert "arg" in first  # the push overtook the answer
    found = (await venue.rows("trade/order", "instId=BTC-USDT-SWAP&clOrdId=unknown"))[0]
    assert found["state"] == "live"


async def test_the_dead_mans_switch_cancels_what_bears_its_tag(venue: Any) -> None:
    line = await venue.login(ORDERS)
    path, price = "trade/cancel-all-after", await venue.below()
    await venue.order(px=price, clOrdId="mine", tag="arbA")
    await venue.order(px=price, clOrdId="other", tag="arbB")
    assert (await venue.post(path, {"timeOut": "5"}))["code"] == "51000"
    row = (await venue.post(path, {"timeOut": "10", "tag": "arbA"}))["data"][0]
    assert int(row["triggerTime"]) - int(row["ts"]) == 10
    venue.clock.offset += 9 * SECOND
    await venue.post(path, {"timeOut": "10", "tag": "arbA"})
    venue.clock.offset += 9 * SECOND
    await asyncio.sleep(0.05)
    assert len(await venue.rows("trade/orders-pending")) == 2
    venue.clock.offset += 2 * SECOND
    gone = await line.order(state="canceled")
    assert (gone["clOrdId"], gone["cancelSource"]) == ("mine", "20")
    left = await venue.rows("trade/orders-pending")
    assert [one["clOrdId"] for one in left] == ["other"]


async def test_a_liquidation_shows_as_an_order_of_the_venue_with_its_own_bill(venue: Any) -> None:
    line = await venue.login(ORDERS)
    public = await venue.line("public")
    await public.subscribe("liquidation-orders", instType="SWAP")
    await venue.order(sz="2")
    venue.exchange.force_liquidation(
        "simkey0001", "okx:swap:BTC-USDT-SWAP", 0, venue.clock()
    )
    row = await line.order(category="full_liquidation", state="filled")
    assert int(row["tradeId"]) < 0
    news = (await public.data("liquidation-orders"))["data"][0]
    assert news["details"][0]["posSide"] == "long"
    assert await venue.rows("account/positions") == []
    bills = await venue.rows("account/bills", "type=5")
    assert bills and bills[-1]["subType"] == "104"


async def test_deleveraging_shows_its_category_and_bill(venue: Any) -> None:
    line = await venue.login(ORDERS)
    await venue.order(side="sell", sz="2")
    venue.exchange.force_adl("simkey0001", "okx:swap:BTC-USDT-SWAP", 100, venue.clock())
    row = await line.order(category="adl")
    assert row["side"] == "buy"
    assert (await venue.rows("account/bills", "type=9"))[0]["subType"] == "126"
    assert (await venue.rows("account/positions"))[0]["pos"] == "-1"


async def test_orders_are_refused_while_funding_is_charged_if_asked_for(venue: Any) -> None:
    venue.surface.freeze_after_funding(5)
    row = (await venue.rows("public/funding-rate", "instId=BTC-USDT-SWAP"))[0]
    venue.clock.offset += int(row["fundingTime"]) * 1_000_000 - venue.clock() + SECOND
    await asyncio.sleep(0.3)
    assert (await venue.order())["sCode"] == "51030"
    venue.clock.offset += 5 * SECOND
    assert (await venue.order())["sCode"] == "0"


async def test_the_fills_channel_wants_a_level_and_shows_only_numeric_client_ids(
    venue: Any,
) -> None:
    line = await venue.login()
    assert (await line.ask("subscribe", {"channel": "fills"}))["code"] == "64003"
    venue.surface.set_vip(4)
    await line.subscribe("fills")
    await venue.order(sz="1", clOrdId="word")
    await venue.order(sz="1", clOrdId="777")
    assert (await line.data("fills"))["data"][0]["clOrdId"] == "0"
    assert (await line.data("fills"))["data"][0]["clOrdId"] == "777"


async def test_mass_cancel_is_for_options_only(venue: Any) -> None:
    line = await venue.login(kind="business")
    reply = await line.ask("mass-cancel", {"instType": "OPTION", "instFamily": "BTC-USD"}, id="1")
    assert (reply["op"], reply["code"]) == ("mass-cancel", "51010")


def test_an_account_places_at_most_a_thousand_orders_in_two_seconds_over_all() -> None:
    limiter, account = Limiter(), AccountSpec(key="simkey0001", secret="s")
    for number in range(50):
        limiter.orders(account, "place", [f"i{number}"] * 20, SECOND)
    with pytest.raises(Failure) as told:
        limiter.orders(account, "amend", ["another"], SECOND)
    assert told.value.code == "50061"
    limiter.orders(account, "cancel", ["another"], SECOND)  # cancels are not counted
    limiter.orders(account, "place", ["another"], 3 * SECOND)


def test_a_client_id_is_free_again_once_its_order_is_done() -> None:
    account = AccountSpec(key="simkey0001", secret="s", deposits={"trading": {"USDT": Decimal(9)}})
    world = World(seed=1, instruments=("okx:spot:BTC-USDT",))
    made, _ = make_exchange("okx", world, 1_795_000_000 * SECOND, (account,))
    setup = msgspec.structs.replace(made.setup, client_ids_forever=False)
    exchange = InnerExchange(setup, SeededWorld(setup.listings, 1), 1_795_000_000 * SECOND)
    surface = make(exchange, lambda: exchange.now, Faults())
    entry = surface._entry
    order = {"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "limit",
             "sz": "0.0001", "px": "59000", "clOrdId": "same"}  # fmt: skip
    sheet = entry.by_name(Fields(order))
    at = exchange.now
    first = entry.place(account, sheet, Fields(order), at)
    entry.cancel(account, sheet, Fields({"clOrdId": "same"}), at)
    second = entry.place(account, sheet, Fields(order), at)
    assert first["ordId"] != second["ordId"]
    newest = entry.seek(account, sheet, Fields({"clOrdId": "same"}))
    assert newest is not None and newest.open

"""/realtime of the BitMEX twin: table diffs, login, private tables, limits and misfortunes."""

import asyncio
import hashlib
import hmac
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

SECOND = 1_000_000_000


class Table:
    """A client's copy by the generic algorithm; strict where the documents are."""

    def __init__(self, partial: dict[str, Any]) -> None:
        self.keys = partial["keys"]
        self.rows = {self.key(row): dict(row) for row in partial["data"]}

    def key(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.keys)

    def apply(self, message: dict[str, Any]) -> None:
        for row in message["data"]:
            key = self.key(row)
            match message["action"]:
                case "insert":
                    assert key not in self.rows
                    self.rows[key] = dict(row)
                case "update":
                    self.rows[key].update(row)
                case "delete":
                    del self.rows[key]

    def sides(self) -> tuple[dict[Decimal, int], dict[Decimal, int]]:
        found: tuple[dict[Decimal, int], dict[Decimal, int]] = ({}, {})
        for row in self.rows.values():
            found[row["side"] == "Sell"][Decimal(row["price"])] = row["size"]
        return found


async def followed(line: Any, table: str, count: int) -> Table:
    """The table after so many messages; never crossed on the way where it is a book."""
    copy = Table(await line.table(table, "partial"))
    for _ in range(count):
        message = await line.next(lambda one: one != "pong" and one.get("table") == table)
        copy.apply(message)
        if table.startswith("orderBookL2"):
            bids, asks = copy.sides()
            assert not bids or not asks or max(bids) < min(asks)
    return copy


@pytest.mark.parametrize(("table", "depth"), [("orderBookL2", 0), ("orderBookL2_25", 25)])
async def test_a_book_of_diffs_is_the_book_of_rest(venue: Any, table: str, depth: int) -> None:
    line = await venue.line(f"?subscribe={table}:XBTUSD")
    copy = await followed(line, table, 30)
    for _ in range(40):  # until a moment when nothing changed in between
        rows = await venue.get("/orderBook/L2", symbol="XBTUSD", depth=depth)
        asked = {(r["symbol"], r["id"], r["side"]): (r["size"], r["price"]) for r in rows}
        for _ in range(6):
            mine = {key: (row["size"], row["price"]) for key, row in copy.rows.items()}
            if mine == asked:
                return
            copy.apply(await line.next(lambda one: one.get("table") == table))
    raise AssertionError("the two books never agreed")


async def test_orderbook10_sends_the_whole_row_each_time(venue: Any) -> None:
    line = await venue.line("?subscribe=orderBook10:XBTUSD")
    first = await line.table("orderBook10", "partial")
    assert first["keys"] == ["symbol"]
    row = (await line.table("orderBook10", "update"))["data"][0]
    assert len(row["bids"]) == len(row["asks"]) == 10
    assert row["bids"][0][0] < row["asks"][0][0]


async def test_quotes_follow_the_touch_and_trades_are_those_of_rest(venue: Any) -> None:
    line = await venue.line("?subscribe=quote:XBTUSD,trade:XBTUSD,orderBookL2_25:XBTUSD")
    quote = await line.table("quote", "insert")
    assert quote["data"][0]["bidPrice"] < quote["data"][0]["askPrice"]
    told = (await line.table("trade", "insert"))["data"]
    rows = await venue.get("/trade", symbol="XBTUSD", count=1000)
    known = {row["trdMatchID"]: row for row in rows}
    for row in told:
        assert {**known[row["trdMatchID"]], "tickDirection": ""} == {**row, "tickDirection": ""}


async def test_instrument_updates_carry_only_what_changed(venue: Any) -> None:
    line = await venue.line("?subscribe=instrument:XBTUSD")
    partial = await line.table("instrument", "partial")
    assert partial["data"][0]["lotSize"] == 100 and "expiry" not in partial["data"][0]
    row = dict(partial["data"][0])
    for _ in range(5):
        news = (await line.table("instrument", "update"))["data"][0]
        assert news["symbol"] == "XBTUSD" and "lotSize" not in news and len(news) < 30
        changed = [name for name in news if name not in ("symbol", "timestamp")]
        assert any(row.get(name) != news[name] for name in changed)
        row.update(news)


async def test_all_symbols_are_followed_without_naming_one(venue: Any) -> None:
    line = await venue.line()
    await line.ask("subscribe", "instrument", "orderBookL2_25")
    partial = await line.table("instrument", "partial")
    assert (len(partial["data"]), partial["filter"]) == (4, {})
    seen: dict[str, None] = {}
    while len(seen) < 4:
        message = await line.next(lambda one: one.get("table") == "orderBookL2_25")
        seen |= {row["symbol"]: None for row in message["data"]}


async def test_bins_and_funding_are_inserted_when_they_happen(venue: Any) -> None:
    line = await venue.line("?subscribe=tradeBin1m:XBTUSD,funding:XBTUSD,quoteBin1m:XBTUSD")
    await line.table("quoteBin1m", "partial")
    due = (venue.clock() // (60 * SECOND) + 1) * 60 * SECOND
    venue.clock.offset += due - venue.clock() + SECOND
    found: dict[str, Any] = {}
    while len(found) < 3:
        message = await line.next(lambda one: one.get("action") == "insert")
        found[message["table"]] = message["data"][0]
    assert found["tradeBin1m"]["timestamp"].endswith(":00.000Z")
    assert found["quoteBin1m"]["timestamp"] == found["tradeBin1m"]["timestamp"]
    assert "fundingRateDaily" in found["funding"]


async def test_requests_are_answered_topic_by_topic_and_errors_say_why(venue: Any) -> None:
    line = await venue.line()
    await line.socket.send_json({"op": "subscribe", "args": ["trade:XBTUSD", "foo", "order"]})
    request = {"op": "subscribe", "args": ["trade:XBTUSD", "foo", "order"]}
    assert await line.read() == {
        "success": True, "subscribe": "trade:XBTUSD", "request": request,
    }  # fmt: skip
    unknown = await line.next(lambda one: "error" in one)
    assert unknown == {
        "status": 400, "error": "Unknown table: foo", "meta": {}, "request": request,
    }  # fmt: skip
    locked = await line.next(lambda one: "error" in one)
    assert (locked["status"], "account-locked" in locked["error"]) == (401, True)
    assert "already subscribed" in (await line.ask("subscribe", "trade:XBTUSD"))["error"]
    assert (await line.ask("subscribe", "trade:NOPE"))["error"] == "Unknown or expired symbol."
    gone = await line.ask("unsubscribe", "trade:XBTUSD")
    assert (gone["success"], gone["unsubscribe"]) == (True, "trade:XBTUSD")
    assert "Unrecognized operation" in (await line.ask("dance"))["error"]
    assert (await line.ask("cancelAllAfter", 1000))["status"] == 401
    assert (await line.ask("authKeyExpires", "nobody", 1, "x"))["error"] == "Invalid API Key."
    assert "info" in await line.ask("help")
    await line.socket.send_str("ping")
    assert await line.read() == "pong"
    await line.socket.send_str("nonsense")
    assert (await line.next(lambda one: "error" in one))["request"] == "nonsense"


async def test_many_errors_in_a_row_end_the_connection(venue: Any) -> None:
    line = await venue.line()
    for _ in range(20):
        await line.socket.send_json({"op": "subscribe", "args": ["foo"]})
    assert await line.closed()


async def test_connections_have_an_allowance_and_credentials_may_come_with_the_upgrade(
    venue: Any,
) -> None:
    expires = str(venue.seconds() + 10)
    sign = hmac.new(b"mexsecret0001", f"GET/realtime{expires}".encode(), hashlib.sha256)
    headers = {
        "api-key": "mexkey0001", "api-expires": expires, "api-signature": sign.hexdigest(),
    }  # fmt: skip
    text = "&" + "&".join(f"{name}={value}" for name, value in headers.items())
    for query, sent in (("", headers), (text, {})):
        line = await venue.line(f"?subscribe=margin{query}", headers=sent)
        partial = await line.table("margin", "partial")
        assert partial["filter"] == {"account": 7} and len(partial["data"]) == 2
    again = await line.ask("authKeyExpires", "mexkey0001", int(expires), sign.hexdigest())
    assert again["error"] == "You are already authenticated."
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await venue.line(headers=headers | {"api-signature": "0" * 64})
    assert refused.value.status == 401
    venue.surface.limiter.resize(1)
    for _ in range(3):
        await venue.line()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await venue.line()
    assert refused.value.status == 429


# Private tables ---------------------------------------------------------------------------------


async def test_an_order_is_inserted_updated_and_gone(venue: Any) -> None:
    line = await venue.login("order", "execution")
    price = await venue.below()
    made = await venue.order(price=price, clOrdID="seen")
    row = (await line.table("order", "insert"))["data"][0]
    assert (row["orderID"], row["clOrdID"], row["ordStatus"]) == (made["orderID"], "seen", "New")
    assert "stopPx" not in row
    assert (await line.table("execution", "insert"))["data"][0]["execType"] == "New"
    await venue.ask("PUT", "/order", {"orderID": made["orderID"], "orderQty": 3000})
    row = (await line.table("order", "update"))["data"][0]
    assert (row["orderQty"], row["leavesQty"], "side" in row) == (3000, 3000, False)
    assert (await line.table("execution", "insert"))["data"][0]["execType"] == "Replaced"
    await venue.ask("DELETE", "/order", {"orderID": made["orderID"]})
    row = (await line.table("order", "update"))["data"][0]
    assert (row["ordStatus"], row["workingIndicator"], row["leavesQty"]) == ("Canceled", False, 0)
    assert (await line.table("execution", "insert"))["data"][0]["execType"] == "Canceled"


async def test_a_fill_is_told_with_position_margin_and_wallet(venue: Any) -> None:
    line = await venue.login("execution", "position:XBTUSD", "margin", "wallet")
    await venue.order(ordType="Market", orderQty=2000)
    found: dict[str, Any] = {}
    while len(found) < 4:
        message = await line.next(lambda one: one.get("action") in ("insert", "update"))
        row = message["data"][0]
        if message["table"] != "execution" or row["execType"] == "Trade":
            found[message["table"]] = row
    assert found["execution"]["execID"] and found["execution"]["lastQty"] > 0
    assert found["position"]["currentQty"] == 2000 and found["position"]["account"] == 7
    wallet = await venue.get("/user/wallet")
    assert found["wallet"]["amount"] == wallet["amount"] == found["margin"]["walletBalance"]
    mark = await line.next(lambda one: one.get("table") == "position", seconds=4)
    assert mark["data"][0]["currentQty"] == 2000  # revalued as the mark price moves


async def test_refused_orders_reach_the_private_tables_too(venue: Any) -> None:
    line = await venue.login("order", "execution")
    await venue.ask("POST", "/position/leverage", {"symbol": "XBTUSD", "leverage": 1})
    await venue.order(price=await venue.below(), orderQty=1_000_000, clOrdID="poor")
    row = (await line.table("order", "insert"))["data"][0]
    assert (row["ordStatus"], row["clOrdID"]) == ("Rejected", "poor")
    assert "insufficient" in row["ordRejReason"]
    assert (await line.table("execution", "insert"))["data"][0]["execType"] == "Rejected"
    await venue.order(price=await venue.below(), execInst="Close")
    assert (await line.table("order", "insert"))["data"][0]["ordStatus"] == "Canceled"


async def test_accounts_see_only_themselves(venue: Any) -> None:
    mine, theirs = await venue.login("order"), await venue.login("order", key="other")
    fields = {"symbol": "XBTUSD", "orderQty": 1000, "price": await venue.below(), "clOrdID": "o"}
    await venue.ask("POST", "/order", fields, key="other")
    assert (await theirs.table("order", "insert"))["data"][0]["account"] == 8
    with pytest.raises(TimeoutError):
        await mine.table("order", "insert", seconds=0.3)
    assert await venue.get("/order") == []


async def test_a_partial_holds_open_orders_and_nothing_comes_twice(venue: Any) -> None:
    made = await venue.order(price=await venue.below())
    line = await venue.line()
    expires = venue.seconds() + 10
    sign = hmac.new(b"mexsecret0001", f"GET/realtime{expires}".encode(), hashlib.sha256)
    await line.ask("authKeyExpires", "mexkey0001", expires, sign.hexdigest())
    await line.ask("subscribe", "order:XBTUSD")
    partial = await line.table("order", "partial")
    assert [row["orderID"] for row in partial["data"]] == [made["orderID"]]
    with pytest.raises(TimeoutError):
        await line.table("order", "insert", seconds=0.2)


async def test_the_switch_works_over_the_socket(venue: Any) -> None:
    line = await venue.login("order")
    await venue.order(price=await venue.below())
    told = await line.ask("cancelAllAfter", 60_000)
    assert sorted(told) == ["cancelTime", "now", "request"]
    venue.clock.offset += 61 * SECOND
    row = (await line.table("order", "update"))["data"][0]
    assert row["ordStatus"] == "Canceled" and "cancelAllAfter" in row["text"]


async def test_liquidations_are_public_and_private_news(venue: Any) -> None:
    line = await venue.login("execution")
    await line.ask("subscribe", "liquidation:XBTUSD")
    await venue.order(ordType="Market", orderQty=1000)
    venue.exchange.force_liquidation("mexkey0001", "bitmex:derivatives:XBTUSD", 0, venue.clock())
    found: dict[str, Any] = {}
    while len(found) < 3:
        message = await line.next(lambda one: one.get("action") in ("insert", "delete"))
        row = message["data"][0]
        if message["table"] == "liquidation":
            found[message["action"]] = row
        elif row["execType"] == "Liquidation":
            found["execution"] = row
    assert found["insert"]["side"] == "Sell" and found["insert"]["leavesQty"] == 1000
    assert found["delete"]["orderID"] == found["insert"]["orderID"]
    assert found["execution"]["text"] == "Liquidation"


# Misfortunes ------------------------------------------------------------------------------------


async def test_deltas_can_precede_their_partial_and_lack_prices_as_in_2021(venue: Any) -> None:
    venue.surface.realtime.partial_delay_ms = 300
    venue.surface.books.priced = False
    keeper = await venue.line("?subscribe=orderBookL2_25:XBTUSD")
    await keeper.table("orderBookL2_25", "partial")
    line = await venue.line("?subscribe=orderBookL2_25:XBTUSD")
    await line.next(lambda one: "subscribe" in one)
    first = await line.read()
    assert first["action"] != "partial"
    assert (await line.table("orderBookL2_25", "partial"))["data"]
    message = await line.table("orderBookL2_25", "update")
    assert "price" not in message["data"][0] and "size" in message["data"][0]


async def test_drills_cut_silence_lose_and_invent(venue: Any) -> None:
    line = await venue.line("?subscribe=orderBookL2_25:XBTUSD")
    await line.table("orderBookL2_25", "partial")
    venue.surface.inject_unknown_level("XBTUSD")
    odd = await line.next(lambda one: one.get("data", [{}])[0].get("id") == 1)
    assert odd["action"] == "update"
    venue.surface.silence("orderBookL2_25")
    await asyncio.sleep(0.1)
    with pytest.raises(TimeoutError):
        while True:
            await line.read(0.3)
    venue.surface.silence("orderBookL2_25", on=False)
    faults = venue.running.twin.faults
    faults.arm("frame_loss", 1, "orderBookL2_25:XBTUSD")
    await line.read()
    assert faults.counts == {"frame_loss": 1}
    venue.surface.drop_connections()
    assert await line.closed()

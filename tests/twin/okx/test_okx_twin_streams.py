"""Public and business sockets of the OKX twin: handshake, books, prices, candles, limits."""

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

SECOND = 1_000_000_000
SWAP = {"instId": "BTC-USDT-SWAP"}
Side = dict[Decimal, str]


def merged(sides: dict[str, Side], row: dict[str, Any]) -> None:
    for name in ("bids", "asks"):
        for price, size, *_ in row[name]:
            if size == "0":
                sides[name].pop(Decimal(price), None)
            else:
                sides[name][Decimal(price)] = size


async def test_text_ping_is_answered_by_text_pong(venue: Any) -> None:
    line = await venue.line("public")
    await line.socket.send_str("ping")
    assert await line.socket.receive_str() == "pong"


async def test_every_argument_is_acknowledged_or_refused_by_itself(venue: Any) -> None:
    line = await venue.line("public")
    good, bad = {"channel": "trades", **SWAP}, {"channel": "trades", "instId": "NO-PE"}
    await line.send("subscribe", good, bad, id="1512")
    first = await line.next(lambda one: "event" in one)
    second = await line.next(lambda one: "event" in one)
    assert (first["event"], first["arg"], first["id"]) == ("subscribe", good, "1512")
    assert (second["event"], second["code"], second["id"]) == ("error", "60018", "1512")
    assert len(first["connId"]) == 8
    left = await line.ask("unsubscribe", good)
    assert (left["event"], left["arg"]) == ("unsubscribe", good)


async def test_refuses_what_is_not_a_request_by_code(venue: Any) -> None:
    line = await venue.line("public")
    await line.socket.send_str("{nonsense")
    assert (await line.next(lambda one: "event" in one))["code"] == "60012"
    assert (await line.ask("dance"))["code"] == "60019"
    assert (await line.ask("subscribe"))["code"] == "60012"
    assert (await line.ask("subscribe", {"channel": "candle1m", **SWAP}))["code"] == "60018"
    business = await venue.line("business")
    assert (await business.ask("subscribe", {"channel": "books", **SWAP}))["code"] == "60018"
    private = await venue.line("private")
    assert (await private.ask("subscribe", {"channel": "account"}))["code"] == "60011"
    assert (await line.ask("subscribe", {"channel": "books-l2-tbt", **SWAP}))["code"] == "60011"


async def test_book_differences_chain_and_add_up_to_the_rest_book(venue: Any) -> None:
    line = await venue.line("public")
    await line.subscribe("books", **SWAP)
    sides: dict[str, Side] = {"bids": {}, "asks": {}}
    last = -1
    matched = 0
    for number in range(12):
        frame = await line.data("books")
        row = frame["data"][0]
        assert frame["action"] == ("update" if number else "snapshot")
        assert (row["prevSeqId"], row["checksum"]) == (last, 0)
        last = row["seqId"]
        merged(sides, row)
        assert max(sides["bids"]) < min(sides["asks"])
        rest = (await venue.rows("market/books", "instId=BTC-USDT-SWAP&sz=400"))[0]
        if rest["seqId"] == last:
            matched += 1
            for name in ("bids", "asks"):
                assert sides[name] == {Decimal(one[0]): one[1] for one in rest[name]}
    assert matched


async def test_a_second_reader_starts_from_the_state_that_the_first_one_knows(
    venue: Any,
) -> None:
    lines = [await venue.line("public"), await venue.line("public")]
    await lines[0].subscribe("books", **SWAP)
    await lines[0].data("books")
    await lines[0].data("books")
    await lines[1].subscribe("books", **SWAP)
    first = (await lines[1].data("books"))["data"][0]
    second = (await lines[1].data("books"))["data"][0]
    assert first["prevSeqId"] == -1 and second["prevSeqId"] == first["seqId"]


async def test_best_and_five_levels_come_whole_and_without_an_action(venue: Any) -> None:
    line = await venue.line("public")
    await line.subscribe("bbo-tbt", **SWAP)
    await line.subscribe("books5", **SWAP)
    best, five = await line.data("bbo-tbt"), await line.data("books5")
    assert "action" not in best and "action" not in five
    assert len(best["data"][0]["bids"]) == 1 and len(five["data"][0]["asks"]) == 5
    assert five["data"][0]["instId"] == "BTC-USDT-SWAP" and "prevSeqId" not in best["data"][0]


async def test_tick_by_tick_books_want_a_login_and_a_level(venue: Any) -> None:
    line = await venue.line("public")
    deep = {"channel": "books-l2-tbt", **SWAP}
    assert (await line.ask("login", venue.login_args()))["code"] == "0"
    assert (await line.ask("subscribe", deep))["code"] == "64003"
    venue.surface.set_vip(4)
    await line.subscribe("books", **SWAP)
    await line.subscribe("books-l2-tbt", **SWAP)
    assert (await line.data("books-l2-tbt"))["action"] == "snapshot"
    refused = await line.ask("subscribe", {"channel": "books50-l2-tbt", **SWAP})
    assert refused["code"] == "64004"
    assert (await line.ask("subscribe", {"channel": "books", **SWAP}))["code"] == "64004"


async def test_a_quiet_book_sends_heartbeats_with_its_last_number(venue: Any) -> None:
    line = await venue.line("public")
    await line.subscribe("books", **SWAP)
    await line.data("books")
    venue.exchange.advance = lambda at: None  # the market stands still
    await asyncio.sleep(0.3)
    venue.exchange.drain()
    await line.socket.send_str("ping")
    last = 0
    for _ in range(5):
        venue.clock.offset += 20 * SECOND
        await line.socket.send_str("ping")
        await asyncio.sleep(0.05)
    while True:
        row = (await line.data("books"))["data"][0]
        if row["seqId"] == row["prevSeqId"]:
            break
        last = row["seqId"]
    assert row["bids"] == row["asks"] == [] and last in (0, row["seqId"])


async def test_a_lost_frame_breaks_the_chain_and_a_reset_restarts_it_lower(venue: Any) -> None:
    line = await venue.line("public")
    await line.subscribe("books", **SWAP)
    last = (await line.data("books"))["data"][0]["seqId"]
    venue.surface.inject_gap("books", "BTC-USDT-SWAP")
    row = (await line.data("books"))["data"][0]
    while row["prevSeqId"] == last:
        last = row["seqId"]
        row = (await line.data("books"))["data"][0]
    assert row["prevSeqId"] > last
    last = row["seqId"]
    venue.surface.reset_sequence("BTC-USDT-SWAP", 3)
    while (row := (await line.data("books"))["data"][0])["seqId"] > row["prevSeqId"]:
        assert row["prevSeqId"] == last
        last = row["seqId"]
    assert (row["prevSeqId"], row["seqId"]) == (last, 3)
    after = (await line.data("books"))["data"][0]
    assert after["prevSeqId"] == 3 and 3 < after["seqId"] < 1000


async def test_trades_count_so_that_a_loss_shows(venue: Any) -> None:
    line = await venue.line("public")
    await line.subscribe("trades", **SWAP)
    await venue.order(sz="1")
    rows = [(await line.data("trades", 6))["data"][0]]
    await venue.order(sz="400")
    for _ in range(3):
        rows.append((await line.data("trades", 6))["data"][0])
    for before, after in pairwise(rows):
        assert int(after["tradeId"]) == int(before["tradeId"]) + int(after["count"])
        assert isinstance(after["seqId"], int)


async def test_price_channels_bring_their_rows(venue: Any) -> None:
    line = await venue.line("public")
    wanted = {
        "tickers": ("last", SWAP),
        "mark-price": ("markPx", SWAP),
        "index-tickers": ("idxPx", {"instId": "BTC-USDT"}),
        "price-limit": ("buyLmt", SWAP),
        "open-interest": ("oiUsd", SWAP),
        "funding-rate": ("fundingTime", SWAP),
        "instruments": ("instIdCode", {"instType": "SWAP"}),
    }
    for channel, (field, narrows) in wanted.items():
        await line.subscribe(channel, **narrows)
        row = (await line.data(channel))["data"][0]
        assert row[field], channel
    fresh = (await line.data("mark-price"))["data"][0]
    assert fresh["markPx"]


async def test_candles_of_trades_marks_and_index_run_on_the_business_socket(venue: Any) -> None:
    line = await venue.line("business")
    await line.subscribe("candle1m", **SWAP)
    await line.subscribe("mark-price-candle1m", **SWAP)
    await line.subscribe("index-candle1H", instId="BTC-USDT")
    assert len((await line.data("candle1m"))["data"][0]) == 9
    assert (await line.data("mark-price-candle1m"))["data"][0][5] == "0"
    assert len((await line.data("index-candle1H"))["data"][0]) == 6
    await line.subscribe("trades-all", **SWAP)
    await venue.order(sz="1")
    assert "count" not in (await line.data("trades-all"))["data"][0]


async def test_a_connection_that_hears_nothing_for_thirty_seconds_is_closed(venue: Any) -> None:
    line = await venue.line("public")
    venue.clock.offset += 31 * SECOND
    assert await line.closed() == 4004


async def test_the_fourth_connection_within_a_second_is_refused(venue: Any) -> None:
    for _ in range(3):
        await venue.line("public")
    url = f"{venue.running.rest}/ws/v5/public"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with venue.session.get(url, headers=headers) as answer:
        assert answer.status == 429


async def test_requests_of_a_connection_are_limited_by_the_hour(venue: Any) -> None:
    line = await venue.line("public")
    arg = {"channel": "trades", "instId": "ETH-USDT-SWAP"}
    for _ in range(480):
        await line.send("unsubscribe", arg)
    await line.send("unsubscribe", arg)
    assert (await line.next(lambda one: one.get("event") == "error"))["code"] == "60014"


async def test_an_upgrade_is_announced_to_everybody(venue: Any) -> None:
    line = await venue.line("business")
    venue.surface.announce_upgrade()
    notice = await line.next(lambda one: one.get("event") == "notice")
    assert notice["code"] == "64008"


async def test_a_delisted_instrument_is_told_and_leaves_the_list(wide: Any) -> None:
    line = await wide.line("public")
    await line.subscribe("instruments", instType="SWAP")
    await line.data("instruments")
    instrument = "okx:swap:ETH-USDT-SWAP"
    wide.exchange.delist(instrument, wide.clock())
    state = ""
    while state != "expired":
        row = (await line.data("instruments"))["data"][0]
        assert row["instId"] == "ETH-USDT-SWAP"
        state = row["state"]
    names = [row["instId"] for row in await wide.rows("public/instruments", "instType=SWAP")]
    assert "ETH-USDT-SWAP" not in names
    assert (await wide.order(instId="ETH-USDT-SWAP"))["sCode"] == "51087"

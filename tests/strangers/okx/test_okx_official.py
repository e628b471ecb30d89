"""python-okx, the venue's own client, on the twin: REST and both kinds of socket."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("okx")
from okx import Account
from okx.websocket.WsPrivateAsync import WsPrivateAsync
from okx.websocket.WsPublicAsync import WsPublicAsync
from okx_official import CODE, SPOT, SWAP, Clients, Heard, link, rows

pytestmark = pytest.mark.stranger
@pytest.fixture
def client(venue: Any, owner: tuple[str, str, str]) -> Clients:
    return Clients(venue.rest, owner)


def test_reads_public_data(client: Clients) -> None:
    listed = {row["instId"]: row for row in rows(client.public.get_instruments("SWAP"))}
    assert listed[SWAP]["instIdCode"] == CODE
    book = rows(client.market.get_orderbook(SWAP, "20"))[0]
    assert len(book["asks"]) == 20 and isinstance(book["seqId"], int)
    funding = rows(client.public.get_funding_rate(SWAP))[0]
    assert int(funding["nextFundingTime"]) - int(funding["fundingTime"]) == 28_800_000
    assert len(rows(client.public.funding_rate_history(SWAP, limit="2"))) == 2
    assert rows(client.public.get_mark_price("SWAP", instId=SWAP))[0]["markPx"]
    assert rows(client.public.get_price_limit(SWAP))[0]["enabled"] is True
    assert rows(client.market.get_index_tickers(instId="BTC-USDT"))[0]["idxPx"]
    assert len(rows(client.market.get_candlesticks(SWAP, bar="1H", limit="2"))) == 2
    coins = rows(client.public.get_convert_contract_coin("1", SWAP, "1", px="60000"))[0]
    assert coins["sz"] == "100"
    assert rows(client.public.get_system_time())[0]["ts"].isdecimal()


def test_places_amends_and_cancels_by_client_id(client: Clients) -> None:
    name, price = link(), client.below()
    made = client.place(px=price, clOrdId=name)
    assert (made["sCode"], made["clOrdId"]) == ("0", name)
    changed = rows(client.trade.amend_order(SWAP, clOrdId=name, newSz="2", reqId="r1"))
    assert changed[0]["reqId"] == "r1"
    assert rows(client.trade.get_order(SWAP, clOrdId=name))[0]["sz"] == "2"
    assert name in [row["clOrdId"] for row in rows(client.trade.get_order_list(instId=SWAP))]
    assert rows(client.trade.cancel_order(SWAP, clOrdId=name))[0]["sCode"] == "0"
    assert rows(client.trade.get_order(SWAP, ordId=made["ordId"]))[0]["state"] == "canceled"


def test_a_round_trip_costs_the_fees_and_the_spread(client: Clients) -> None:
    before = rows(client.account.get_account_balance("USDT"))[0]["details"][0]["cashBal"]
    opened = client.place(ordType="market", sz="2")
    position = rows(client.account.get_positions(instId=SWAP))[0]
    assert position["pos"] == "2" and Decimal(position["fee"]) < 0
    closed = client.place(ordType="market", sz="2", side="sell", reduceOnly="true")
    after = rows(client.account.get_account_balance("USDT"))[0]["details"][0]["cashBal"]
    fills = [
        row
        for row in rows(client.trade.get_fills(instId=SWAP))
        if row["ordId"] in (opened["ordId"], closed["ordId"])
    ]
    result = sum(Decimal(row["fee"]) + Decimal(row["fillPnl"]) for row in fills)
    assert Decimal(after) - Decimal(before) == result
    bills = rows(client.account.get_account_bills(instType="SWAP", ccy="USDT"))
    known = {row["billId"]: Decimal(row["balChg"]) for row in bills}
    assert sum(known[row["billId"]] for row in fills) == result


def test_batches_settings_and_transfers(client: Clients) -> None:
    price = client.below()
    usual = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit", "px": price}
    answer = client.trade.place_multiple_orders([usual | {"sz": "1"}, usual | {"sz": "0"}])
    assert (answer["code"], [one["sCode"] for one in answer["data"]]) == ("2", ["0", "51000"])
    client.trade.cancel_order(SWAP, ordId=answer["data"][0]["ordId"])
    rows(client.account.set_leverage("7", "cross", instId="ETH-USDT-SWAP"))
    seen = rows(client.account.get_leverage("cross", instId="ETH-USDT-SWAP"))[0]
    assert seen["lever"] == "7"
    assert rows(client.account.get_account_config())[0]["posMode"] == "net_mode"
    assert rows(client.account.get_fee_rates("SPOT", instId=SPOT))[0]["taker"] == "-0.001"
    rows(client.funding.funds_transfer("USDT", "5", "18", "6"))
    assert rows(client.funding.get_balances("USDT"))[0]["bal"] == "5"
    rows(client.funding.funds_transfer("USDT", "5", "6", "18"))


def test_hears_thirteen_refusals_by_their_codes(
    client: Clients, venue: Any, owner: tuple[str, str, str], poor: tuple[str, str, str]
) -> None:
    low, name = client.below(), link()
    kept = client.place(px=low, clOrdId=name)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("51016", {"px": low, "clOrdId": name}),
        ("51001", {"px": low, "instId": "NO-PE"}),
        ("51010", {"px": low, "tdMode": "cash"}),
        ("51000", {"px": low, "ordType": "rpi"}),
        ("51020", {"px": low, "sz": "0.001"}),
        ("51121", {"px": low, "sz": "1.005"}),
        ("51150", {"px": low + "5"}),
        ("51137", {"px": client.below("1.5")}),
        ("51138", {"px": client.below("0.5"), "side": "sell"}),
        ("51169", {"px": low, "side": "sell", "reduceOnly": "true"}),
        ("51202", {"ordType": "market", "sz": "900000"}),
    ]
    for code, fields in refused:
        assert client.place(**fields)["sCode"] == code, fields
    client.trade.cancel_order(SWAP, ordId=kept["ordId"])
    beggar = Clients(venue.rest, poor)
    verdict = beggar.place(px=low, sz="100")
    assert (verdict["sCode"], verdict["subCode"]) == ("51008", "1001")
    assert client.trade.cancel_order(SWAP, ordId="1")["data"][0]["sCode"] == "51400"
    wrong = Clients(venue.rest, (owner[0], "wrong", owner[2]))
    assert wrong.account.get_account_config()["code"] == "50113"
    demo = Account.AccountAPI(*owner, flag="1", domain=venue.rest)
    assert demo.get_account_config()["code"] == "50101"


async def test_follows_public_channels(venue: Any, plain: None) -> None:
    heard = Heard()
    socket = WsPublicAsync(url=f"{venue.ws}/ws/v5/public")
    task = await socket.start()
    arguments = [{"channel": name, "instId": SWAP} for name in ("books", "bbo-tbt", "tickers")]
    await socket.subscribe(arguments, heard, id="1")
    for name in ("books", "bbo-tbt", "tickers"):
        await heard.wait(lambda one, name=name: one.get("arg", {}).get("channel") == name
                         and "data" in one)  # fmt: skip
    chain = [one["data"][0] for one in heard.messages if one.get("action")]
    assert chain[0]["prevSeqId"] == -1
    await socket.stop()
    task.cancel()


async def test_trades_on_the_private_socket(
    venue: Any, owner: tuple[str, str, str], client: Clients, plain: None
) -> None:
    heard, name = Heard(), link()
    price = await asyncio.to_thread(client.below)
    socket = WsPrivateAsync(
        apiKey=owner[0], passphrase=owner[2], secretKey=owner[1], url=f"{venue.ws}/ws/v5/private"
    )
    task = await socket.start()
    await socket.subscribe([{"channel": "orders", "instType": "ANY"}], heard)
    await heard.wait(lambda one: one.get("event") == "subscribe")
    order = {"instIdCode": CODE, "tdMode": "cross", "side": "buy", "ordType": "limit",
             "px": price, "sz": "1", "clOrdId": name}  # fmt: skip
    await socket.place_order([order], id="11")
    reply = await heard.wait(lambda one: one.get("id") == "11")
    assert reply["data"][0]["sCode"] == "0"
    await socket.amend_order([{"instIdCode": CODE, "clOrdId": name, "newSz": "2"}], id="12")
    await socket.cancel_order([{"instIdCode": CODE, "clOrdId": name}], id="13")

    def gone(one: dict[str, Any]) -> bool:
        row = (one.get("data") or [{}])[0]
        return row.get("clOrdId") == name and row.get("state") == "canceled"

    row = (await heard.wait(gone))["data"][0]
    assert (row["sz"], row["cancelSource"]) == ("2", "1")
    await socket.place_order([order | {"instIdCode": 1}], id="14")
    refused = await heard.wait(lambda one: one.get("id") == "14")
    assert refused["data"][0]["sCode"] == "51001"
    await socket.stop()
    task.cancel()

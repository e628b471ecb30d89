"""python-okx over spot, swap and dated futures: books equal to REST, money, private channels."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("okx")
from okx.websocket.WsPrivateAsync import WsPrivateAsync
from okx.websocket.WsPublicAsync import WsPublicAsync
from okx_official import SPOT, SWAP, Clients, Heard, link, rows

pytestmark = pytest.mark.stranger
VIP_OF_FILLS = 5
Side = dict[str, str]


@pytest.fixture
def client(venue: Any, owner: tuple[str, str, str]) -> Clients:
    return Clients(venue.rest, owner)


@pytest.fixture
def dated(client: Clients) -> dict[str, Any]:
    """The first dated future that settles in the quote coin, as the venue lists it."""
    listed = rows(client.public.get_instruments("FUTURES"))
    return next(row for row in listed if row["settleCcy"] == "USDT")


class KeptBook:
    """A book kept from the `books` channel by the venue's rules: every state by its number."""

    def __init__(self) -> None:
        self.sides: dict[str, Side] = {}
        self.states: dict[int, dict[str, Side]] = {}
        self.at = -1

    def take(self, message: dict[str, Any]) -> None:
        row = message["data"][0]
        if message["action"] == "snapshot":
            self.sides = {"bids": {}, "asks": {}}
            assert row["prevSeqId"] == -1
        else:
            assert row["prevSeqId"] == self.at, "a link of the chain is missing"
        for side, levels in self.sides.items():
            for price, size, *_ in row[side]:
                levels.pop(price, None)
                if Decimal(size):
                    levels[price] = size
        self.at = row["seqId"]
        self.states[self.at] = {side: dict(levels) for side, levels in self.sides.items()}


def shown(row: dict[str, Any]) -> dict[str, Side]:
    return {
        side: {price: size for price, size, *_ in row[side]} for side in ("bids", "asks")
    }


@pytest.mark.parametrize("market", ["spot", "swap", "futures"])
async def test_a_book_kept_from_its_stream_is_the_book_of_rest(
    venue: Any, client: Clients, dated: dict[str, Any], plain: None, market: str
) -> None:
    inst = {"spot": SPOT, "swap": SWAP, "futures": dated["instId"]}[market]
    heard, kept = Heard(), KeptBook()
    socket = WsPublicAsync(url=f"{venue.ws}/ws/v5/public")
    task = await socket.start()
    try:
        await socket.subscribe([{"channel": "books", "instId": inst}], heard)
        await heard.wait(lambda one: one.get("action") == "snapshot")
        taken, equal = 0, set()
        asked: dict[int, dict[str, Side]] = {}

        async def same() -> None:
            nonlocal taken
            row = rows(await asyncio.to_thread(client.market.get_orderbook, inst, "400"))[0]
            asked[row["seqId"]] = shown(row)
            pushed = [one for one in heard.messages if "action" in one]
            for message in pushed[taken:]:
                kept.take(message)
            taken = len(pushed)
            for number in asked.keys() & kept.states.keys():
                assert kept.states[number] == asked[number]
                equal.add(number)

        async with asyncio.timeout(30):
            while len(equal) < 3:
                await same()
                await asyncio.sleep(0.02)
    finally:
        await socket.stop()
        task.cancel()


async def test_public_streams_say_what_rest_says(
    venue: Any, client: Clients, dated: dict[str, Any], plain: None
) -> None:
    heard, names = Heard(), (SPOT, SWAP, dated["instId"])
    socket = WsPublicAsync(url=f"{venue.ws}/ws/v5/public")
    task = await socket.start()
    try:
        wanted = [{"channel": c, "instId": i} for c in ("tickers", "trades") for i in names]
        wanted += [{"channel": "funding-rate", "instId": SWAP}]
        wanted += [{"channel": "mark-price", "instId": i} for i in names[1:]]
        await socket.subscribe(wanted, heard)
        for topic in wanted:
            await heard.until(
                lambda topic=topic: heard.rows(topic["channel"], instId=topic["instId"]),
                str(topic),
            )
        rate = rows(await asyncio.to_thread(client.public.get_funding_rate, SWAP))[0]
        pushed = heard.rows("funding-rate", instId=SWAP)[-1]
        for column in ("fundingTime", "nextFundingTime", "instId"):
            assert pushed[column] == rate[column]
        for inst in names:
            trade = heard.rows("trades", instId=inst)[0]
            past = rows(await asyncio.to_thread(client.market.get_trades, inst, "500"))
            same = next(row for row in past if row["tradeId"] == trade["tradeId"])
            assert (same["px"], same["side"]) == (trade["px"], trade["side"])
    finally:
        await socket.stop()
        task.cancel()


def test_a_spot_trade_moves_both_coins_and_pays_in_the_received_one(client: Clients) -> None:
    before = client.cash("BTC", "USDT")
    usual = {"instId": SPOT, "tdMode": "cash", "ordType": "market", "tgtCcy": "base_ccy"}
    bought = client.place(**usual, side="buy", sz="0.01", clOrdId=link())
    fills = client.fills(SPOT, bought["ordId"])
    assert sum(Decimal(row["fillSz"]) for row in fills) == Decimal("0.01")
    assert {row["feeCcy"] for row in fills} == {"BTC"}
    held = client.cash("BTC", "USDT")
    fee = sum(Decimal(row["fee"]) for row in fills)
    assert fee == -Decimal("0.01") * Decimal("0.001")
    assert held["BTC"] - before["BTC"] == Decimal("0.01") + fee
    spent = sum(Decimal(row["fillSz"]) * Decimal(row["fillPx"]) for row in fills)
    assert before["USDT"] - held["USDT"] == spent
    sold = client.place(**usual, side="sell", sz="0.01")
    fills = client.fills(SPOT, sold["ordId"])
    earned = sum(
        Decimal(row["fillSz"]) * Decimal(row["fillPx"]) + Decimal(row["fee"]) for row in fills
    )
    after = client.cash("BTC", "USDT")
    assert {row["feeCcy"] for row in fills} == {"USDT"}
    assert after["USDT"] - held["USDT"] == earned
    assert held["BTC"] - after["BTC"] == Decimal("0.01")


def test_a_spot_order_is_led_by_its_client_id(client: Clients) -> None:
    name, price = link(), client.below(inst=SPOT)
    usual = {"instId": SPOT, "tdMode": "cash"}
    client.place(**usual, sz="0.01", px=price, clOrdId=name)
    rows(client.trade.amend_order(SPOT, clOrdId=name, newSz="0.02"))
    seen = rows(client.trade.get_order(SPOT, clOrdId=name))[0]
    assert (seen["sz"], seen["state"]) == ("0.02", "live") and float(seen["px"]) == float(price)
    frozen = rows(client.account.get_account_balance("USDT"))[0]["details"][0]["ordFrozen"]
    assert Decimal(frozen) == Decimal("0.02") * Decimal(price)
    rows(client.trade.cancel_order(SPOT, clOrdId=name))
    assert rows(client.trade.get_order(SPOT, clOrdId=name))[0]["state"] == "canceled"


def test_ten_spot_refusals_are_heard_by_their_codes(
    client: Clients, venue: Any, poor: tuple[str, str, str]
) -> None:
    low, name = client.below(inst=SPOT), link()
    usual = {"instId": SPOT, "tdMode": "cash", "sz": "0.001", "px": low}
    kept = client.place(**usual, clOrdId=name)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("51016", {"clOrdId": name}),
        ("51001", {"instId": "NO-PE"}),
        ("51000", {"side": "both"}),
        ("51000", {"ordType": "rpi"}),
        ("51000", {"clOrdId": "not allowed"}),
        ("51020", {"sz": "0.000001"}),
        ("51121", {"sz": "0.0010000001234"}),
        ("51150", {"px": low + "5"}),
        ("51006", {"px": client.below("1.5", SPOT)}),
        ("51006", {"px": client.below("0.5", SPOT), "side": "sell"}),
        ("51008", {"side": "sell", "sz": "900", "px": client.below("1.01", SPOT)}),
    ]
    for code, fields in refused:
        assert client.place(**(usual | fields))["sCode"] == code, fields
    rows(client.trade.cancel_order(SPOT, ordId=kept["ordId"]))
    beggar = Clients(venue.rest, poor)
    assert beggar.place(**(usual | {"sz": "1"}))["sCode"] == "51008"


def test_a_dated_future_is_listed_led_by_client_id_and_traded(
    client: Clients, dated: dict[str, Any]
) -> None:
    inst, name = dated["instId"], link()
    now = rows(client.public.get_system_time())[0]["ts"]
    assert int(dated["expTime"]) > int(now) and (dated["ctVal"], dated["ctType"]) == (
        "0.01", "linear",
    )  # fmt: skip
    ticker = rows(client.market.get_ticker(inst))[0]
    assert Decimal(ticker["bidPx"]) < Decimal(ticker["askPx"])
    price = client.below(inst=inst)
    client.place(instId=inst, px=price, clOrdId=name)
    rows(client.trade.amend_order(inst, clOrdId=name, newSz="3"))
    open_ = rows(client.trade.get_order_list(instType="FUTURES", instId=inst))
    assert [(row["clOrdId"], row["sz"]) for row in open_] == [(name, "3")]
    rows(client.trade.cancel_order(inst, clOrdId=name))
    before = client.cash("USDT")["USDT"]
    opened = client.place(instId=inst, ordType="market", sz="2")
    held = rows(client.account.get_positions(instType="FUTURES", instId=inst))[0]
    assert (held["pos"], held["mgnMode"], held["instType"]) == ("2", "cross", "FUTURES")
    closed = client.place(
        instId=inst, ordType="market", sz="2", side="sell", reduceOnly="true"
    )
    fills = client.fills(inst, opened["ordId"], closed["ordId"])
    result = sum(Decimal(row["fee"]) + Decimal(row["fillPnl"]) for row in fills)
    assert client.cash("USDT")["USDT"] - before == result
    after = rows(client.account.get_positions(instType="FUTURES"))
    assert all(row["pos"] in ("0", "") for row in after if row["instId"] == inst)


def test_ten_refusals_of_a_dated_future_are_heard_by_their_codes(
    client: Clients, dated: dict[str, Any], venue: Any, poor: tuple[str, str, str]
) -> None:
    inst, name = dated["instId"], link()
    low = client.below(inst=inst)
    kept = client.place(instId=inst, px=low, clOrdId=name)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("51016", {"px": low, "clOrdId": name}),
        ("51001", {"px": low, "instId": "BTC-USDT-200101"}),
        ("51010", {"px": low, "tdMode": "cash"}),
        ("51000", {"px": low, "ordType": "rpi"}),
        ("51020", {"px": low, "sz": "0.001"}),
        ("51121", {"px": low, "sz": "1.005"}),
        ("51150", {"px": low + "5"}),
        ("51137", {"px": client.below("1.5", inst)}),
        ("51138", {"px": client.below("0.5", inst), "side": "sell"}),
        ("51169", {"px": low, "side": "sell", "reduceOnly": "true"}),
        ("51202", {"ordType": "market", "sz": "900000"}),
    ]
    for code, fields in refused:
        assert client.place(**({"instId": inst} | fields))["sCode"] == code, fields
    rows(client.trade.cancel_order(inst, ordId=kept["ordId"]))
    beggar = Clients(venue.rest, poor)
    assert beggar.place(instId=inst, px=low, sz="100")["sCode"] == "51008"


@pytest.fixture
async def private(
    venue: Any, owner: tuple[str, str, str], plain: None
) -> AsyncIterator[Heard]:
    """The owner's channels, all of them, heard by the venue's own client."""
    venue.call(lambda: venue.surface.set_vip(VIP_OF_FILLS))
    heard = Heard()
    socket = WsPrivateAsync(
        apiKey=owner[0], passphrase=owner[2], secretKey=owner[1], url=f"{venue.ws}/ws/v5/private"
    )
    task = await socket.start()
    wanted = [
        {"channel": "orders", "instType": "ANY"},
        {"channel": "fills"},
        {"channel": "positions", "instType": "ANY"},
        {"channel": "account"},
        {"channel": "balance_and_position"},
    ]
    await socket.subscribe(wanted, heard)
    await heard.until(
        lambda: sum(one.get("event") == "subscribe" for one in heard.messages) == len(wanted),
        "the subscriptions",
    )
    yield heard
    await socket.stop()
    task.cancel()
    venue.call(lambda: venue.surface.set_vip(0))


async def ask(call: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    return await asyncio.to_thread(call, *args, **fields)


@pytest.mark.parametrize("market", ["spot", "swap", "futures"])
async def test_the_private_channels_say_what_rest_says(
    client: Clients, dated: dict[str, Any], private: Heard, market: str
) -> None:
    inst = {"spot": SPOT, "swap": SWAP, "futures": dated["instId"]}[market]
    usual: dict[str, Any] = {"instId": inst, "ordType": "market", "sz": "2"}
    if market == "spot":
        usual |= {"tdMode": "cash", "tgtCcy": "base_ccy", "sz": "0.01"}
    made = await ask(client.place, **usual, clOrdId=link())
    order, size = made["ordId"], usual["sz"]
    await private.until(
        lambda: private.rows("orders", ordId=order, state="filled"), "the filled order"
    )
    fills = await ask(client.fills, inst, order)
    told = await private.until(
        lambda: len(found := private.rows("fills", ordId=order)) == len(fills) and found,
        "every fill",
    )
    columns = ("tradeId", "fillSz", "fillPx", "side", "execType")
    assert sorted([row[c] for c in columns] for row in told) == sorted(
        [row[c] for c in columns] for row in fills
    )
    coin = "BTC" if market == "spot" else "USDT"
    balance = (await ask(client.cash, coin))[coin]

    def last(channel: str, key: str) -> Decimal | None:
        details = [
            one for row in private.rows(channel) for one in row[key] if one["ccy"] == coin
        ]
        return Decimal(details[-1]["cashBal"]) if details else None

    await private.until(lambda: last("account", "details") == balance, "the account of REST")
    await private.until(
        lambda: last("balance_and_position", "balData") == balance, "the balance of REST"
    )
    if market == "spot":
        await ask(client.place, **usual | {"side": "sell"})
        return
    await private.until(
        lambda: private.rows("positions", instId=inst)[-1:]
        and private.rows("positions", instId=inst)[-1]["pos"] == size,
        "the position",
    )
    held = (await ask(client.account.get_positions, instId=inst))["data"][0]
    pushed = private.rows("positions", instId=inst)[-1]
    assert (pushed["avgPx"], pushed["posId"]) == (held["avgPx"], held["posId"])
    await ask(client.place, **usual | {"side": "sell", "reduceOnly": "true"})
    await private.until(
        lambda: private.rows("positions", instId=inst)[-1]["pos"] == "0", "flat again"
    )

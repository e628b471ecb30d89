"""ccxt and ccxt.pro live through the story; COIN-M, which others forget, in ccxt's own words."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import binance_story as story
import pytest
import pytest_asyncio

ccxt = pytest.importorskip("ccxt")

pytestmark = [pytest.mark.stranger, pytest.mark.asyncio(loop_scope="module")]
PRODUCTS = ("spot", "usdm", "coinm")
KINDS = {"spot": "binance", "usdm": "binanceusdm", "coinm": "binancecoinm"}
COIN = "BTC/USD:BTC"
SPOT = {
    "time": "public_get_time", "info": "public_get_exchangeinfo", "depth": "public_get_depth",
    "trades": "public_get_trades", "klines": "public_get_klines", "day": "public_get_ticker_24hr",
    "best": "public_get_ticker_bookticker", "place": "private_post_order",
    "query": "private_get_order", "cancel": "private_delete_order",
    "opened": "private_get_openorders", "cancel_all": "private_delete_openorders",
    "fills": "private_get_mytrades", "balance": "private_get_account",
}  # fmt: skip
FUTURES = {
    "time": "public_get_time", "info": "public_get_exchangeinfo", "depth": "public_get_depth",
    "trades": "public_get_trades", "klines": "public_get_klines", "day": "public_get_ticker_24hr",
    "best": "public_get_ticker_bookticker", "premium": "public_get_premiumindex",
    "funding": "public_get_fundingrate", "place": "private_post_order",
    "query": "private_get_order", "cancel": "private_delete_order", "amend": "private_put_order",
    "opened": "private_get_openorders", "cancel_all": "private_delete_allopenorders",
    "batch": "private_post_batchorders", "batch_cancel": "private_delete_batchorders",
    "fills": "private_get_usertrades", "balance": "private_get_balance",
    "positions": "private_get_positionrisk", "fees": "private_get_commissionrate",
    "income": "private_get_income", "leverage": "private_post_leverage",
    "settings": "private_get_symbolconfig", "mode": "private_get_positionside_dual",
    "set_mode": "private_post_positionside_dual",
}  # fmt: skip
NAMES = {
    "spot": SPOT,
    "usdm": {what: f"fapi{name}" for what, name in FUTURES.items()}
    | {"balance": "fapiprivatev3_get_balance", "positions": "fapiprivatev3_get_positionrisk"},
    "coinm": {what: f"dapi{name}" for what, name in FUTURES.items()}
    | {"settings": "dapiprivate_get_positionrisk"},
}
WHOLE = ("serverTime", "orderId", "nextFundingTime", "fundingTime", "lastUpdateId", "id", "code",
         "leverage")  # fmt: skip


def typed(node: Any) -> Any:
    """ccxt reads every number of an answer as text; whole numbers are turned back."""
    if isinstance(node, list):
        return [typed(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: int(value) if name in WHOLE and isinstance(value, str) else typed(value)
        for name, value in node.items()
    }


async def soon(work: Awaitable[Any], seconds: float = 30) -> Any:
    return await asyncio.wait_for(work, seconds)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connect(
    venue: Any, ccxt_client: Callable[..., Any]
) -> AsyncIterator[Callable[..., Any]]:
    """One client per customer for all tests here: closing one takes it a quarter of a second."""
    opened: dict[tuple[str, str], Any] = {}

    def open_one(product: str, name: str) -> Any:
        if (product, name) not in opened:
            account = venue.customers[name]
            made = ccxt_client(KINDS[product], account.key, account.secret)
            opened[product, name] = made
        return opened[product, name]

    yield open_one
    await asyncio.gather(*(one.close() for one in opened.values()))


def asker(client: Any, product: str) -> story.Ask:
    async def ask(what: str, **params: Any) -> Any:
        if ids := params.pop("orderIdList", None):
            params["orderidlist"] = [str(one) for one in ids]  # as ccxt itself spells it
        answer = typed(await soon(getattr(client, NAMES[product][what])(params)))
        if what == "klines":
            return [[int(row[0]), *row[1:]] for row in answer]
        return answer

    return ask


@pytest.mark.parametrize("product", PRODUCTS)
async def test_reads_the_market(venue: Any, connect: Callable[..., Any], product: str) -> None:
    now_ms = venue.running.twin.clock() // 1_000_000
    await story.reads_the_market(asker(connect(product, "exact-ccxt"), product), product, now_ms)


@pytest.mark.parametrize("product", PRODUCTS)
async def test_leads_an_order_through_its_life(
    venue: Any, connect: Callable[..., Any], product: str
) -> None:
    ask, price = asker(connect(product, "exact-ccxt"), product), venue.price(product, "0.97")
    await story.leads_an_order_through_its_life(ask, product, price, "ccxt-life")


async def test_counts_a_spot_trade(connect: Callable[..., Any]) -> None:
    await story.counts_a_spot_trade(asker(connect("spot", "exact-ccxt"), "spot"))


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_counts_a_position(connect: Callable[..., Any], product: str) -> None:
    await story.counts_a_position(asker(connect(product, "exact-ccxt"), product), product)


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_sends_batches(venue: Any, connect: Callable[..., Any], product: str) -> None:
    ask, price = asker(connect(product, "exact-ccxt"), product), venue.price(product, "0.97")
    await story.sends_batches(ask, product, price, "ccxt-batch")


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_sets_terms(connect: Callable[..., Any], product: str) -> None:
    await story.sets_terms(asker(connect(product, "hedged-ccxt"), product), product)


@pytest.mark.parametrize("product", PRODUCTS)
async def test_fee_rates_are_told(connect: Callable[..., Any], product: str) -> None:
    client = connect(product, "exact-ccxt")
    await soon(client.load_markets())
    symbol = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT", "coinm": COIN}[product]
    fee = await soon(client.fetch_trading_fee(symbol))
    assert Decimal(str(fee["taker"])) == Decimal(story.TAKER[product])


# COIN-M in ccxt's unified words ---------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def coin(connect: Callable[..., Any]) -> Any:
    client = connect("coinm", "exact-ccxt")
    await soon(client.load_markets())
    return client


async def test_coin_markets_prices_and_funding_are_read(coin: Any) -> None:
    market = coin.market(COIN)
    assert (market["inverse"], market["contractSize"], market["settle"]) == (True, 100, "BTC")
    ticker = await soon(coin.fetch_ticker(COIN))
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    best = await soon(coin.fetch_bids_asks([COIN]))
    assert best[COIN]["bid"] < best[COIN]["ask"]
    assert len(await soon(coin.fetch_ohlcv(COIN, "1m", limit=3))) == 3
    assert len(await soon(coin.fetch_trades(COIN, limit=3))) == 3
    rate = await soon(coin.fetch_funding_rate(COIN))
    assert rate["fundingTimestamp"] > coin.milliseconds()
    history = await soon(coin.fetch_funding_rate_history(COIN, limit=3))
    stamps = [row["timestamp"] for row in history]
    assert stamps == sorted(stamps) and len(stamps) == 3


async def test_the_coin_book_kept_from_the_stream_is_the_book_of_rest(coin: Any) -> None:
    kept: dict[int, Any] = {}

    async def follow() -> None:
        while True:
            book = await coin.watch_order_book(COIN)
            kept[book["nonce"]] = [
                [list(row[:2]) for row in book[side][:20]] for side in ("bids", "asks")
            ]

    task = asyncio.create_task(follow())
    compared: set[int] = set()
    for _ in range(150):
        rest = await soon(coin.fetch_order_book(COIN, 20))
        await asyncio.sleep(0.05)
        assert not task.done(), "the stream broke its sequence"
        if rest["nonce"] in kept:
            assert kept[rest["nonce"]] == [rest["bids"], rest["asks"]]
            compared.add(rest["nonce"])
        if len(compared) >= 3:
            break
    task.cancel()
    assert len(compared) >= 3


async def test_coin_public_streams_push(coin: Any) -> None:
    assert (await soon(coin.watch_ticker(COIN)))["last"] > 0
    assert (await soon(coin.watch_trades(COIN)))[0]["symbol"] == COIN
    assert (await soon(coin.watch_bids_asks([COIN])))[COIN]["bid"] > 0
    assert (await soon(coin.watch_ohlcv(COIN, "1m")))[-1][4] > 0
    assert (await soon(coin.watch_mark_price(COIN)))["markPrice"] > 0


async def test_coin_orders_are_placed_edited_cancelled_and_watched(
    coin: Any, venue: Any
) -> None:
    price, seen = float(venue.price("coinm", "0.97")), []

    async def follow() -> None:
        while True:
            for order in await coin.watch_orders(COIN):
                seen.append((order["clientOrderId"], order["status"], order["amount"]))

    async def until(wanted: tuple[str, str, float]) -> None:
        while wanted not in seen:
            await asyncio.sleep(0.01)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.4)
    name = "ccxt.coin.1"
    made = await soon(
        coin.create_order(COIN, "limit", "buy", 5, price, {"clientOrderId": name})
    )
    await soon(until((name, "open", 5.0)))
    edited = await soon(coin.edit_order(made["id"], COIN, "limit", "buy", 7, price))
    assert (edited["id"], edited["amount"]) == (made["id"], 7.0)
    await soon(until((name, "open", 7.0)))
    await soon(coin.cancel_order(None, COIN, {"origClientOrderId": name}))
    await soon(until((name, "canceled", 7.0)))
    task.cancel()
    assert await soon(coin.fetch_open_orders(COIN)) == []


async def test_a_coin_position_is_watched_and_paid_in_coin(coin: Any) -> None:
    async def money() -> Decimal:
        rows = await soon(coin.dapiprivate_get_balance())
        return next(Decimal(row["balance"]) for row in rows if row["asset"] == "BTC")

    async def held() -> Any:
        while not (rows := await coin.watch_positions([COIN])):
            pass
        return rows[-1]

    before = await money()
    watching = [
        asyncio.create_task(held()),
        asyncio.create_task(coin.watch_my_trades(COIN)),
        asyncio.create_task(coin.watch_balance()),
    ]
    await asyncio.sleep(0.4)
    made = await soon(coin.create_order(COIN, "market", "sell", 5))
    position, trades, balance = [await soon(task) for task in watching]
    assert (position["side"], position["contracts"]) == ("short", 5.0)
    assert trades[-1]["order"] == made["id"]
    assert trades[-1]["fee"]["currency"] == "BTC"
    assert balance["BTC"]["total"] > 0
    mine = [t for t in await soon(coin.fetch_my_trades(COIN)) if t["order"] == made["id"]]
    fee = sum(Decimal(trade["info"]["commission"]) for trade in mine)
    assert before - await money() == fee
    assert (await soon(coin.fetch_positions([COIN])))[0]["contracts"] == 5.0
    await soon(coin.create_order(COIN, "market", "buy", 5, None, {"reduceOnly": True}))
    assert await soon(coin.fetch_positions([COIN])) == []
    kinds = {row["info"]["incomeType"] for row in await soon(coin.fetch_ledger("BTC"))}
    assert {"COMMISSION", "REALIZED_PNL"} <= kinds


async def test_coin_batches_leverage_and_cancel_all(coin: Any, venue: Any) -> None:
    price = float(venue.price("coinm", "0.97"))
    one = {"symbol": COIN, "type": "limit", "side": "buy", "price": price}
    made = await soon(coin.create_orders([{**one, "amount": 5}, {**one, "amount": 2_000_000}]))
    by_status = {row["status"]: row for row in made}
    assert set(by_status) == {"open", "rejected"}
    assert int(by_status["rejected"]["info"]["code"]) == -4005
    ended = await soon(coin.cancel_orders([by_status["open"]["id"]], COIN))
    assert [row["status"] for row in ended] == ["canceled"]
    await soon(coin.create_order(COIN, "limit", "buy", 5, price))
    await soon(coin.cancel_all_orders(COIN))
    assert await soon(coin.fetch_open_orders(COIN)) == []
    await soon(coin.set_leverage(6, COIN))
    assert (await soon(coin.fetch_leverage(COIN)))["longLeverage"] == 6
    assert (await soon(coin.fetch_position_mode(COIN)))["hedged"] is False

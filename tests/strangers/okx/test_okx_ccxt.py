"""ccxt and ccxt.pro trade on the OKX twin: unified calls, streams and exceptions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest

ccxt = pytest.importorskip("ccxt")
pro = pytest.importorskip("ccxt.pro")

pytestmark = pytest.mark.stranger
SWAP, SPOT, INVERSE = "BTC/USDT:USDT", "BTC/USDT", "BTC/USD:BTC"
DATED = "dated"  # stands for the dated future that the twin lists today, see `named`
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"ccxt{next(_numbers)}"


def to_loopback(exchange: Any, venue: Any) -> Any:
    """Rewrites every URL of a ccxt client to the twin; fails where one points elsewhere."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: walk(value) for name, value in node.items()}
        split = urlsplit(node.replace("{hostname}", exchange.hostname or ""))
        root = venue.ws if split.scheme.startswith("ws") else venue.rest
        return root + split.path

    exchange.urls["api"] = walk(exchange.urls["api"])
    exchange.has["fetchCurrencies"] = False
    exchange.options["fetchCurrencies"] = False
    assert "okx.com" not in str(exchange.urls["api"])
    return exchange


def make(venue: Any, keys: tuple[str, str, str]) -> Any:
    settings = {
        "apiKey": keys[0],
        "secret": keys[1],
        "password": keys[2],
        "enableRateLimit": False,
        "options": {"fetchMarkets": {"types": ["spot", "swap", "future"]}},
    }
    return to_loopback(pro.okx(settings), venue)


@pytest.fixture
async def client(venue: Any, owner: tuple[str, str, str]) -> AsyncIterator[Any]:
    made = make(venue, owner)
    await asyncio.wait_for(made.load_markets(), 10)
    yield made
    await made.close()


def named(client: Any, symbol: str) -> str:
    if symbol != DATED:
        return symbol
    return str(next(s for s in client.symbols if s.startswith(SWAP + "-")))


async def soon(work: Awaitable[Any], seconds: float = 30.0) -> Any:
    return await asyncio.wait_for(work, seconds)


async def eventually(watch: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """Watches until an update satisfies; bounded by half a minute over all."""

    async def run() -> Any:
        while True:
            seen = await watch()
            if wanted(seen):
                return seen

    return await soon(run())


async def far_below(client: Any, symbol: str) -> float:
    ticker = await soon(client.fetch_ticker(symbol))
    return float(client.price_to_precision(symbol, ticker["bid"] * 0.99))


async def test_loads_spot_swaps_and_futures_with_their_grids(client: Any) -> None:
    grid = client.markets[SWAP]
    assert (grid["precision"]["amount"], grid["precision"]["price"]) == (0.01, 0.1)
    assert (grid["contractSize"], grid["settle"], grid["linear"]) == (0.01, "USDT", True)
    assert client.markets[INVERSE]["inverse"] and client.markets[INVERSE]["contractSize"] == 100
    assert client.markets[SPOT]["limits"]["amount"]["min"] == 0.00001
    assert [one for one in client.symbols if client.markets[one]["future"]]
    assert abs(await soon(client.fetch_time()) - client.milliseconds()) < 1_000


@pytest.mark.parametrize("symbol", [SWAP, SPOT, INVERSE, DATED])
async def test_fetches_public_data(client: Any, symbol: str) -> None:
    symbol = named(client, symbol)
    book = await soon(client.fetch_order_book(symbol, 50))
    assert 5 < len(book["bids"]) <= 50 and book["bids"][0][0] < book["asks"][0][0]
    ticker = await soon(client.fetch_ticker(symbol))
    assert ticker["bid"] <= ticker["ask"] and ticker["last"] > 0
    assert ticker["baseVolume"] > 0
    bars = await soon(client.fetch_ohlcv(symbol, "1m", limit=3))
    assert [later[0] - earlier[0] for earlier, later in pairwise(bars)] == [60_000, 60_000]
    for trade in await soon(client.fetch_trades(symbol, limit=5)):
        assert trade["side"] in ("buy", "sell")


async def test_fetches_funding_mark_and_interest(client: Any) -> None:
    rate = await soon(client.fetch_funding_rate(SWAP))
    assert rate["fundingTimestamp"] > client.milliseconds() and rate["interval"] == "8h"
    history = await soon(client.fetch_funding_rate_history(SWAP, limit=2))
    assert len(history) == 2
    mark = await soon(client.fetch_mark_price(SWAP))
    assert abs(mark["markPrice"] / rate["indexPrice"] - 1) < 0.02 if rate["indexPrice"] else True
    assert (await soon(client.fetch_open_interest(SWAP)))["openInterestAmount"] > 0
    tiers = await soon(client.fetch_market_leverage_tiers(SWAP, {"marginMode": "cross"}))
    assert tiers[0]["maxLeverage"] == 100


@pytest.mark.parametrize("symbol", [SWAP, SPOT, DATED])
async def test_creates_edits_and_cancels_by_client_id(client: Any, symbol: str) -> None:
    symbol = named(client, symbol)
    name, price = link(), await far_below(client, symbol)
    made = await soon(
        client.create_order(symbol, "limit", "buy", 0.01, price, {"clientOrderId": name})
    )
    assert made["clientOrderId"] == name
    await soon(client.edit_order(made["id"], symbol, "limit", "buy", 0.02, price))
    opened = await soon(client.fetch_open_orders(symbol))
    mine = [order for order in opened if order["clientOrderId"] == name]
    assert [(order["status"], order["amount"]) for order in mine] == [("open", 0.02)]
    await soon(client.cancel_order("", symbol, {"clOrdId": name}))
    closed = await soon(client.fetch_canceled_orders(symbol))
    assert name in [order["clientOrderId"] for order in closed]
    with pytest.raises(ccxt.OrderNotFound):
        await soon(client.cancel_order(made["id"], symbol))


async def booked_trades(client: Any) -> float:
    """What the ledger says that trading swaps brought or cost so far, in USDT."""
    rows = await soon(client.fetch_ledger("USDT", params={"instType": "SWAP"}))
    return sum(float(row["info"]["balChg"]) for row in rows if row["type"] == "trade")


async def test_fills_and_reads_the_account_back(client: Any) -> None:
    before = (await soon(client.fetch_balance()))["USDT"]["total"]
    booked = await booked_trades(client)
    name = link()
    made = await soon(
        client.create_order(SWAP, "market", "buy", 3, None, {"clientOrderId": name})
    )
    trades = await soon(client.fetch_order_trades(made["id"], SWAP))
    assert sum(trade["amount"] for trade in trades) == pytest.approx(3)
    cost = sum(trade["fee"]["cost"] for trade in trades)
    assert cost > 0  # ccxt turns the venue's sign: a cost is positive there
    order = await soon(client.fetch_order(made["id"], SWAP))
    assert (order["status"], order["filled"]) == ("closed", 3)
    positions = await soon(client.fetch_positions([SWAP]))
    assert (positions[0]["side"], positions[0]["marginMode"]) == ("long", "cross")
    await soon(client.create_order(SWAP, "market", "sell", 3, None, {"reduceOnly": True}))
    assert SWAP not in [one["symbol"] for one in await soon(client.fetch_positions())]
    flat = (await soon(client.fetch_positions([SWAP])))[0]
    assert flat["contracts"] == 0  # asked for by name, a position of old is shown flat
    after = (await soon(client.fetch_balance()))["USDT"]["total"]
    assert after < before
    assert await booked_trades(client) - booked == pytest.approx(after - before, abs=1e-6)


async def test_a_dated_future_fills_into_a_position_and_its_fees(client: Any) -> None:
    symbol, name = named(client, DATED), link()
    assert client.markets[symbol]["expiry"] > client.milliseconds()
    before = (await soon(client.fetch_balance()))["USDT"]["total"]
    opening, closing = {"clientOrderId": name}, {"reduceOnly": True}
    opened = await soon(client.create_order(symbol, "market", "buy", 2, None, opening))
    assert await contracts(client, symbol) == 2
    closed = await soon(client.create_order(symbol, "market", "sell", 2, None, closing))
    assert await contracts(client, symbol) == 0
    trades = []
    for made in (opened, closed):
        trades += await soon(client.fetch_order_trades(made["id"], symbol))
    assert [sum(t["amount"] for t in trades if t["side"] == s) for s in ("buy", "sell")] == [2, 2]
    result = sum(float(t["info"]["fillPnl"]) - t["fee"]["cost"] for t in trades)
    after = (await soon(client.fetch_balance()))["USDT"]["total"]
    assert after - before == pytest.approx(result, abs=1e-6)


async def contracts(client: Any, symbol: str) -> Any:
    """The size of the position now."""
    return (await soon(client.fetch_positions([symbol])))[0]["contracts"]


async def test_a_spot_fill_moves_both_coins_less_the_fee(client: Any) -> None:
    before = (await soon(client.fetch_balance()))["total"]
    made = await soon(client.create_order(SPOT, "market", "buy", 0.01))
    trades = await soon(client.fetch_order_trades(made["id"], SPOT))
    assert {trade["fee"]["currency"] for trade in trades} == {"BTC"}
    after = (await soon(client.fetch_balance()))["total"]
    fee = sum(trade["fee"]["cost"] for trade in trades)
    assert after["BTC"] - before["BTC"] == pytest.approx(0.01 - fee, abs=1e-9)
    cost = sum(trade["cost"] for trade in trades)
    assert before["USDT"] - after["USDT"] == pytest.approx(cost, abs=1e-6)
    await soon(client.create_order(SPOT, "market", "sell", 0.01))


async def test_settings_of_the_account(client: Any) -> None:
    await soon(client.set_leverage(5, "ETH/USDT:USDT", {"mgnMode": "cross"}))
    seen = await soon(client.fetch_leverage("ETH/USDT:USDT"))
    assert seen["longLeverage"] == 5
    assert (await soon(client.fetch_trading_fee(SWAP)))["taker"] == 0.0005
    assert (await soon(client.fetch_position_mode(SWAP)))["hedged"] is False
    await soon(client.cancel_all_orders_after(10_000))
    await soon(client.cancel_all_orders_after(0))


@pytest.mark.parametrize("symbol", [SWAP, SPOT, DATED])
async def test_watches_the_book_until_it_equals_the_rest_book(client: Any, symbol: str) -> None:
    symbol = named(client, symbol)
    inst, seen = client.markets[symbol]["id"], 0
    async with asyncio.timeout(30):
        while seen < 3:
            book = await soon(client.watch_order_book(symbol))
            rest = await soon(client.public_get_market_books({"instId": inst, "sz": 400}))
            row = rest["data"][0]
            if book["nonce"] != int(row["seqId"]):
                continue
            seen += 1
            for side in ("bids", "asks"):
                assert [level[:2] for level in book[side]] == [
                    [float(price), float(size)] for price, size, *_ in row[side]
                ]


async def test_watches_public_channels(client: Any) -> None:
    assert (await soon(client.watch_ticker(SWAP)))["bid"] > 0
    assert (await soon(client.watch_bids_asks([SWAP])))[SWAP]["ask"] > 0
    assert (await soon(client.watch_funding_rate(SWAP)))["fundingRate"] is not None
    assert (await soon(client.watch_mark_price(SWAP)))["markPrice"] > 0
    assert len((await soon(client.watch_ohlcv(SWAP, "1m")))[-1]) == 6
    assert (await soon(client.watch_trades(SWAP)))[0]["side"] in ("buy", "sell")


async def test_trades_over_the_socket_and_watches_what_becomes_of_it(
    client: Any, venue: Any
) -> None:
    name, price = link(), await far_below(client, SWAP)
    orders = asyncio.create_task(
        eventually(
            lambda: client.watch_orders(SWAP),
            lambda seen: any(
                one["clientOrderId"] == name and one["status"] == "canceled" for one in seen
            ),
        )
    )
    await venue.followed(client.apiKey, "orders")
    made = await soon(
        client.create_order_ws(SWAP, "limit", "buy", 1, price, {"clientOrderId": name})
    )
    await soon(client.edit_order_ws(made["id"], SWAP, "limit", "buy", 2, price))
    await soon(client.cancel_order_ws(made["id"], SWAP))
    await orders


async def test_watches_own_trades_balance_and_positions(client: Any, venue: Any) -> None:
    name = link()
    trades = asyncio.create_task(soon(client.watch_my_trades(SWAP)))
    balance = await soon(client.watch_balance())
    assert balance["USDT"]["total"] > 0
    await venue.followed(client.apiKey, "orders")
    await soon(client.create_order(SWAP, "market", "buy", 1, None, {"clientOrderId": name}))
    assert (await trades)[-1]["amount"] == 1
    held = await eventually(
        client.watch_positions,
        lambda seen: any(one["symbol"] == SWAP and one["contracts"] == 1 for one in seen),
    )
    assert held
    await soon(client.create_order(SWAP, "market", "sell", 1, None, {"reduceOnly": True}))


async def test_maps_thirteen_refusals_to_its_exceptions(
    client: Any, venue: Any, poor: tuple[str, str, str]
) -> None:
    low = await far_below(client, SWAP)
    name = link()
    kept = await soon(client.create_order(SWAP, "limit", "buy", 1, low, {"clOrdId": name}))
    refused = [
        (ccxt.InvalidOrder, "51016", (SWAP, "limit", "buy", 1, low, {"clOrdId": name})),
        (ccxt.BadRequest, "51000", (SWAP, "limit", "buy", 1, low, {"clOrdId": "not allowed"})),
        (ccxt.BadRequest, "51000", (SWAP, "limit", "buy", 1, low, {"posSide": "long"})),
        (ccxt.AccountNotEnabled, "51010", (SWAP, "limit", "buy", 1, low, {"tdMode": "cash"})),
        (ccxt.BadSymbol, "51001", (SWAP, "limit", "buy", 1, low, {"instId": "NO-PE"})),
        (ccxt.InvalidOrder, "51020", (SWAP, "limit", "buy", 1, low, {"sz": "0.001"})),
        (ccxt.InvalidOrder, "51121", (SWAP, "limit", "buy", 1, low, {"sz": "0.015"})),
        (ccxt.InvalidOrder, "51137", (SWAP, "limit", "buy", 1, low * 2)),
        (ccxt.InvalidOrder, "51138", (SWAP, "limit", "sell", 1, low / 2)),
        (ccxt.ExchangeError, "51169", (SWAP, "market", "sell", 1, None, {"reduceOnly": True})),
        (ccxt.InvalidOrder, "51202", (SWAP, "market", "buy", 900_000)),
        (ccxt.InsufficientFunds, "51008", (SPOT, "limit", "sell", 50, low * 1.02)),
    ]
    for error, code, order in refused:
        with pytest.raises(error) as told:
            await soon(client.create_order(*order))
        assert f'"{code}"' in str(told.value)
    await soon(client.cancel_order(kept["id"], SWAP))
    beggar = make(venue, poor)
    beggar.set_markets(client.markets)
    try:
        with pytest.raises(ccxt.InsufficientFunds):
            await soon(beggar.create_order(SWAP, "limit", "buy", 10, low))
    finally:
        await beggar.close()


async def test_maps_wrong_credentials_to_its_exceptions(
    venue: Any, owner: tuple[str, str, str]
) -> None:
    key, secret, phrase = owner
    for keys in ((key, "wrong", phrase), (key, secret, "wrong"), ("nobody-here", secret, phrase)):
        stranger = make(venue, keys)
        try:
            with pytest.raises((ccxt.AuthenticationError, ccxt.ExchangeError)):
                await soon(stranger.fetch_balance())
        finally:
            await stranger.close()

"""ccxt and ccxt.pro trade on the KuCoin twin: unified calls, streams and exceptions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

ccxt = pytest.importorskip("ccxt")
pro = pytest.importorskip("ccxt.pro")

pytestmark = pytest.mark.stranger
SPOT, LINEAR, INVERSE = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"ccxt-{next(_numbers)}"


def to_loopback(exchange: Any, venue: Any) -> Any:
    """Rewrites every URL of a ccxt client to the twin; futures go to their own prefix."""

    def walk(node: Any, name: str = "") -> Any:
        if isinstance(node, dict):
            return {key: walk(value, key) for key, value in node.items()}
        split = urlsplit(node)
        if split.scheme.startswith("ws"):
            return venue.ws + split.path
        return (venue.futures if name.startswith("futures") else venue.rest) + split.path

    exchange.urls["api"] = walk(exchange.urls["api"])
    exchange.has["fetchCurrencies"] = False
    exchange.options["fetchCurrencies"] = False
    assert "kucoin.com" not in str(exchange.urls["api"])
    return exchange


def make(venue: Any, keys: tuple[str, str, str], kind: str = "kucoin") -> Any:
    settings = {
        "apiKey": keys[0],
        "secret": keys[1],
        "password": keys[2],
        "enableRateLimit": False,
    }
    return to_loopback(getattr(pro, kind)(settings), venue)


@pytest.fixture
async def spot(venue: Any, owner: tuple[str, str, str]) -> AsyncIterator[Any]:
    made = make(venue, owner)
    await asyncio.wait_for(made.load_markets(), 10)
    yield made
    await made.close()


@pytest.fixture
async def futures(venue: Any, owner: tuple[str, str, str]) -> AsyncIterator[Any]:
    made = make(venue, owner, "kucoinfutures")
    await asyncio.wait_for(made.load_markets(), 10)
    yield made
    await made.close()


async def soon(work: Awaitable[Any], seconds: float = 30.0) -> Any:
    return await asyncio.wait_for(work, seconds)


async def eventually(watch: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """Watches until an update satisfies; bounded over all."""

    async def run() -> Any:
        while True:
            seen = await watch()
            if wanted(seen):
                return seen

    return await soon(run())


async def far_below(client: Any, symbol: str) -> float:
    book = await soon(client.fetch_order_book(symbol, 20))
    return float(client.price_to_precision(symbol, book["bids"][0][0] * 0.99))


async def test_loads_both_markets_with_their_grids(spot: Any, futures: Any) -> None:
    assert spot.markets[SPOT]["precision"] == spot.markets[SPOT]["precision"] | {
        "amount": 1e-08, "price": 0.1,
    }  # fmt: skip
    contract = futures.markets[LINEAR]
    assert (contract["contractSize"], contract["precision"]["price"]) == (0.001, 0.1)
    assert (contract["taker"], contract["maker"]) == (0.0006, 0.0002)
    assert futures.markets[INVERSE]["inverse"] is True
    for client in (spot, futures):
        assert abs(await soon(client.fetch_time()) - client.milliseconds()) < 1_000


async def test_fetches_public_data_of_spot(spot: Any) -> None:
    book = await soon(spot.fetch_order_book(SPOT, 20))
    assert len(book["bids"]) == 20 and book["bids"][0][0] < book["asks"][0][0]
    ticker = await soon(spot.fetch_ticker(SPOT))
    assert ticker["bid"] <= ticker["ask"] and ticker["last"] > 0
    assert SPOT in await soon(spot.fetch_tickers())
    assert len(await soon(spot.fetch_ohlcv(SPOT, "1m", limit=3))) > 0
    for trade in await soon(spot.fetch_trades(SPOT)):
        assert trade["side"] in ("buy", "sell")


@pytest.mark.parametrize("symbol", [LINEAR, INVERSE])
async def test_fetches_public_data_of_futures(futures: Any, symbol: str) -> None:
    book = await soon(futures.fetch_order_book(symbol, 20))
    assert len(book["bids"]) == 20 and book["bids"][0][0] < book["asks"][0][0]
    ticker = await soon(futures.fetch_ticker(symbol))
    assert ticker["last"] > 0
    assert len(await soon(futures.fetch_ohlcv(symbol, "1m", limit=3))) > 0
    assert (await soon(futures.fetch_mark_price(symbol)))["markPrice"] > 0
    rate = await soon(futures.fetch_funding_rate(symbol))
    assert abs(rate["fundingRate"]) < 0.01
    history = await soon(futures.fetch_funding_rate_history(symbol, limit=2))
    assert len(history) >= 2


@pytest.mark.parametrize("symbol", [SPOT, LINEAR])
async def test_creates_and_cancels_by_client_id(
    spot: Any, futures: Any, symbol: str
) -> None:
    client = spot if symbol == SPOT else futures
    name, price = link(), await far_below(client, symbol)
    params = {"clientOrderId": name} | ({} if symbol == SPOT else {"leverage": 5})
    size = 0.01 if symbol == SPOT else 10
    made = await soon(client.create_order(symbol, "limit", "buy", size, price, params))
    opened = await soon(client.fetch_open_orders(symbol))
    mine = [order for order in opened if order["clientOrderId"] == name]
    assert [(one["id"], one["amount"], one["status"]) for one in mine] == [
        (made["id"], size, "open")
    ]
    found = await soon(client.fetch_order("", symbol, {"clientOrderId": name}))
    assert found["price"] == price
    await soon(client.cancel_order("", symbol, {"clientOrderId": name}))
    after = await soon(client.fetch_order(made["id"], symbol))
    assert after["status"] == "canceled"
    with pytest.raises(ccxt.BaseError):
        await soon(client.cancel_order(made["id"], symbol))


async def test_edits_a_spot_order_into_a_new_one(spot: Any) -> None:
    name, price = link(), await far_below(spot, SPOT)
    made = await soon(
        spot.create_order(SPOT, "limit", "buy", 0.01, price, {"clientOrderId": name})
    )
    edited = await soon(spot.edit_order(made["id"], SPOT, "limit", "buy", 0.02, price))
    assert edited["id"] != made["id"]
    found = await soon(spot.fetch_order(edited["id"], SPOT))
    assert (found["amount"], found["clientOrderId"]) == (0.02, name)
    await soon(spot.cancel_all_orders(SPOT))
    assert await soon(spot.fetch_open_orders(SPOT)) == []


async def test_fills_on_spot_and_reads_the_account_back(spot: Any) -> None:
    before = await soon(spot.fetch_balance())
    made = await soon(spot.create_order(SPOT, "market", "buy", 0.01))
    order = await soon(spot.fetch_order(made["id"], SPOT))
    assert (order["status"], order["filled"]) == ("closed", 0.01)
    trades = [
        trade
        for trade in await soon(spot.fetch_my_trades(SPOT))
        if trade["order"] == made["id"]
    ]
    assert sum(trade["amount"] for trade in trades) == pytest.approx(0.01)
    after = await soon(spot.fetch_balance())
    spent = before["USDT"]["total"] - after["USDT"]["total"]
    cost = sum(trade["cost"] for trade in trades)
    fees = sum(one["fee"]["cost"] for one in trades if one["fee"]["currency"] == "USDT")
    assert spent == pytest.approx(cost + fees, rel=1e-6)
    ledger = await soon(spot.fetch_ledger("USDT"))
    assert ledger[-1]["info"]["bizType"] == "TRADE_EXCHANGE"
    fee = await soon(spot.fetch_trading_fee(SPOT))
    assert (fee["maker"], fee["taker"]) == (0.001, 0.001)


async def test_fills_on_futures_and_reads_the_account_back(futures: Any) -> None:
    params = {"clientOrderId": link(), "leverage": 5}
    made = await soon(futures.create_order(LINEAR, "market", "buy", 10, None, params))
    trades = [
        trade
        for trade in await soon(futures.fetch_my_trades(LINEAR))
        if trade["order"] == made["id"]
    ]
    assert sum(trade["amount"] for trade in trades) == 10
    position = await soon(futures.fetch_position(LINEAR))
    assert (position["side"], position["contracts"]) == ("long", 10)
    balance = await soon(futures.fetch_balance({"code": "USDT"}))
    assert balance["USDT"]["used"] > 0
    ledger = await soon(futures.fetch_ledger("USDT", None, None, {"type": "RealisedPNL"}))
    assert ledger
    closing = {"reduceOnly": True, "leverage": 5}
    await soon(futures.create_order(LINEAR, "market", "sell", 10, None, closing))
    assert await soon(futures.fetch_positions([LINEAR])) == []


async def test_sets_modes_and_leverage(futures: Any) -> None:
    await soon(futures.set_margin_mode("cross", "SOL/USDT:USDT"))
    assert (await soon(futures.fetch_margin_mode("SOL/USDT:USDT")))["marginMode"] == "cross"
    await soon(futures.set_leverage(7, "SOL/USDT:USDT", {"marginMode": "cross"}))
    raw = await soon(futures.futuresPrivateGetGetCrossUserLeverage({"symbol": "SOLUSDTM"}))
    assert raw["data"]["leverage"] == "7"
    assert (await soon(futures.fetch_position_mode()))["hedged"] is False


async def test_moves_money_between_the_wallets(spot: Any) -> None:
    moved = await soon(spot.transfer("USDT", 10, "spot", "swap"))
    assert moved["amount"] == 10
    await soon(spot.transfer("USDT", 10, "swap", "spot"))


# Refusals: ten reasons on each product --------------------------------------------------------


async def test_translates_spot_refusals_into_its_exceptions(
    spot: Any, venue: Any, owner: tuple[str, str, str], poor: tuple[str, str, str]
) -> None:
    price = await far_below(spot, SPOT)
    nobody = make(venue, ("nobody", "x", "x"))
    forger = make(venue, (owner[0], "x", owner[2]))
    phrase = make(venue, (owner[0], owner[1], "x"))
    broke, late = make(venue, poor), make(venue, owner)
    now = spot.milliseconds()
    late.nonce = lambda: now - 60_000
    name = link()
    params = {"clientOrderId": name}
    made = await soon(spot.create_order(SPOT, "limit", "buy", 0.01, price, params))
    try:
        for stranger in (nobody, forger, phrase):
            with pytest.raises(ccxt.AuthenticationError):
                await soon(stranger.fetch_balance())
        with pytest.raises(ccxt.InvalidNonce):
            await soon(late.fetch_balance())
        for client, size, at, more, error in (
            (broke, 1, price, {}, ccxt.InsufficientFunds),
            (spot, 0.01, price, params, ccxt.BadRequest),
            (spot, 0.000001, price, {}, ccxt.InvalidOrder),
            (spot, 0.00001, 1, {}, ccxt.InvalidOrder),
            (spot, 0.01, price, {"timeInForce": "IOC", "postOnly": True}, ccxt.BaseError),
            (spot, 0.01, price, {"hidden": True}, ccxt.BadRequest),
        ):
            with pytest.raises(error):
                await soon(client.create_order(SPOT, "limit", "buy", size, at, more))
        with pytest.raises(ccxt.InvalidOrder):
            await soon(spot.create_order(SPOT, "limit", "sell", 0.01, 1_000))
        with pytest.raises(ccxt.InvalidOrder):
            await soon(spot.create_order(SPOT, "limit", "buy", 0.01, 1_000_000))
        with pytest.raises(ccxt.OrderNotFound):
            await soon(spot.cancel_order("0" * 24, SPOT))
        with pytest.raises(ccxt.OrderNotFound):
            await soon(spot.fetch_order("0" * 24, SPOT))
    finally:
        await soon(spot.cancel_order(made["id"], SPOT))
        for one in (nobody, forger, phrase, broke, late):
            await one.close()


async def test_translates_futures_refusals_into_its_exceptions(
    futures: Any, venue: Any, poor: tuple[str, str, str]
) -> None:
    price = await far_below(futures, LINEAR)
    broke = make(venue, poor, "kucoinfutures")
    name = link()
    usual = {"leverage": 5}
    params = usual | {"clientOrderId": name}
    made = await soon(futures.create_order(LINEAR, "limit", "buy", 10, price, params))
    try:
        for client, side, size, at, more, error in (
            (broke, "buy", 1_000, price, usual, ccxt.InsufficientFunds),
            (futures, "buy", 10, price, params, ccxt.BaseError),
            (futures, "buy", 2_000_000, price, usual, ccxt.InvalidOrder),
            (futures, "sell", 10, price * 0.8, usual, ccxt.InvalidOrder),
            (futures, "buy", 10, price * 1.2, usual, ccxt.BaseError),
            (futures, "buy", 10, price, {"leverage": 500}, ccxt.BaseError),
            (futures, "sell", 10, price * 1.05, usual | {"reduceOnly": True}, ccxt.InvalidOrder),
            (futures, "buy", 10, price, usual | {"marginMode": "cross"}, ccxt.InvalidOrder),
            (futures, "buy", 10, price, usual | {"positionSide": "LONG"}, ccxt.InvalidOrder),
        ):
            with pytest.raises(error):
                await soon(client.create_order(LINEAR, "limit", side, size, at, more))
        with pytest.raises(ccxt.BadRequest):
            await soon(futures.cancel_order("1", LINEAR))
        with pytest.raises(ccxt.OrderNotFound):
            await soon(futures.fetch_order("1", LINEAR))
    finally:
        await soon(futures.cancel_order(made["id"], LINEAR))
        await broke.close()


async def test_meets_the_rate_limit_with_the_venues_code(spot: Any, venue: Any) -> None:
    venue.call(venue.surface.overload)
    with pytest.raises(ccxt.ExchangeError, match="429000"):
        await soon(spot.fetch_time())


# Streams --------------------------------------------------------------------------------------


async def test_watches_public_streams_of_spot(spot: Any) -> None:
    for _ in range(3):
        book = await soon(spot.watch_order_book(SPOT))
    assert book["bids"][0][0] < book["asks"][0][0]
    assert (await soon(spot.watch_ticker(SPOT)))["last"] > 0
    assert await soon(spot.watch_trades(SPOT))
    assert await soon(spot.watch_ohlcv(SPOT, "1m"))
    bids = await soon(spot.watch_bids_asks([SPOT]))
    assert bids[SPOT]["bid"] < bids[SPOT]["ask"]


@pytest.mark.parametrize("symbol", [LINEAR, INVERSE])
async def test_watches_public_streams_of_futures(futures: Any, symbol: str) -> None:
    for _ in range(3):
        book = await soon(futures.watch_order_book(symbol))
    assert book["bids"][0][0] < book["asks"][0][0]
    assert (await soon(futures.watch_ticker(symbol)))["last"] > 0
    assert await soon(futures.watch_trades(symbol))
    assert await soon(futures.watch_ohlcv(symbol, "1m"))


@pytest.mark.parametrize("symbol", [SPOT, LINEAR, INVERSE])
async def test_a_watched_book_equals_the_one_by_rest_at_a_sequence(
    spot: Any, futures: Any, symbol: str
) -> None:
    client = spot if symbol == SPOT else futures
    seen: dict[int, Any] = {}
    asked: dict[int, Any] = {}

    def top(book: Any) -> Any:
        return [[list(row[:2]) for row in book[side][:20]] for side in ("bids", "asks")]

    async def watch() -> None:
        while True:
            book = await client.watch_order_book(symbol)
            seen[book["nonce"]] = top(book)

    watcher = asyncio.create_task(watch())
    try:
        async with asyncio.timeout(30):
            while len(seen.keys() & asked.keys()) < 3:
                assert not watcher.done(), "the stream broke"
                book = await client.fetch_order_book(symbol, 20)
                asked[book["nonce"]] = top(book)
                await asyncio.sleep(0.05)
    finally:
        watcher.cancel()
    for number in seen.keys() & asked.keys():
        assert seen[number] == asked[number]


async def test_watches_its_spot_orders_trades_and_balance(spot: Any) -> None:
    name = link()

    async def settle() -> None:
        await asyncio.sleep(0.3)
        await spot.create_order(SPOT, "market", "buy", 0.01, None, {"clientOrderId": name})

    order = eventually(
        lambda: spot.watch_orders(SPOT),
        lambda seen: any(
            row["clientOrderId"] == name and row["status"] == "closed" for row in seen
        ),
    )
    trade = eventually(lambda: spot.watch_my_trades(SPOT), lambda seen: seen[-1]["amount"] > 0)
    balance = eventually(
        spot.watch_balance, lambda seen: seen.get("BTC", {}).get("total", 0) > 0
    )
    await soon(asyncio.gather(order, trade, balance, settle()))


async def test_watches_its_futures_orders_trades_position_and_balance(futures: Any) -> None:
    name = link()

    async def settle(side: str, params: dict[str, Any]) -> None:
        await asyncio.sleep(0.3)
        await futures.create_order(LINEAR, "market", side, 10, None, {"leverage": 5} | params)

    order = eventually(
        lambda: futures.watch_orders(LINEAR),
        lambda seen: any(
            row["clientOrderId"] == name and row["status"] == "closed" for row in seen
        ),
    )
    trade = eventually(
        lambda: futures.watch_my_trades(LINEAR), lambda seen: seen[-1]["symbol"] == LINEAR
    )
    position = eventually(
        lambda: futures.watch_position(LINEAR),
        lambda seen: isinstance(seen, dict) and seen["contracts"] == 10,
    )
    balance = eventually(futures.watch_balance, lambda seen: "USDT" in seen)
    work = settle("buy", {"clientOrderId": name})
    await soon(asyncio.gather(order, trade, position, balance, work))
    await settle("sell", {"reduceOnly": True})

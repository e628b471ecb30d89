"""ccxt and ccxt.pro trade on the twin: unified calls, streams and exceptions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

ccxt = pytest.importorskip("ccxt")

pytestmark = pytest.mark.stranger
LINEAR, SPOT, INVERSE = "BTC/USDT:USDT", "BTC/USDT", "BTC/USD:BTC"
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"ccxt-{next(_numbers)}"


@pytest.fixture
async def client(
    ccxt_client: Callable[..., Any], owner: tuple[str, str]
) -> AsyncIterator[Any]:
    made = ccxt_client(owner)
    await asyncio.wait_for(made.load_markets(), 10)
    yield made
    await made.close()


async def soon(work: Awaitable[Any], seconds: float = 30) -> Any:
    return await asyncio.wait_for(work, seconds)


async def eventually(watch: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """Watches until an update satisfies; bounded by five seconds over all."""

    async def run() -> Any:
        while True:
            seen = await watch()
            if wanted(seen):
                return seen

    return await soon(run())


async def far_below(client: Any, symbol: str) -> float:
    ticker = await soon(client.fetch_ticker(symbol))
    return float(client.price_to_precision(symbol, ticker["bid"] * 0.995))


async def test_loads_all_three_markets_with_their_grids(client: Any) -> None:
    grid = client.markets[LINEAR]["precision"]
    assert (grid["amount"], grid["price"]) == (0.001, 0.1)
    assert client.markets[SPOT]["precision"]["amount"] == 0.000001
    assert client.markets[INVERSE]["inverse"] is True
    assert client.markets[LINEAR]["limits"]["cost"]["min"] == 5.0
    assert abs(await soon(client.fetch_time()) - client.milliseconds()) < 1_000


@pytest.mark.parametrize("symbol", [LINEAR, SPOT, INVERSE])
async def test_fetches_public_data(client: Any, symbol: str) -> None:
    book = await soon(client.fetch_order_book(symbol, 50))
    assert 5 < len(book["bids"]) <= 50 and book["bids"][0][0] < book["asks"][0][0]
    ticker = await soon(client.fetch_ticker(symbol))
    assert ticker["bid"] <= ticker["ask"] and ticker["last"] > 0
    assert len(await soon(client.fetch_ohlcv(symbol, "1m", limit=3))) == 3
    for trade in await soon(client.fetch_trades(symbol, limit=5)):
        assert trade["side"] in ("buy", "sell")


async def test_fetches_funding(client: Any) -> None:
    rate = await soon(client.fetch_funding_rate(LINEAR))
    assert rate["fundingTimestamp"] > client.milliseconds()
    history = await soon(client.fetch_funding_rate_history(LINEAR, limit=2))
    assert len(history) == 2


@pytest.mark.parametrize("symbol", [LINEAR, SPOT])
async def test_creates_edits_and_cancels_by_client_id(client: Any, symbol: str) -> None:
    name, price = link(), await far_below(client, symbol)
    made = await soon(
        client.create_order(symbol, "limit", "buy", 0.01, price, {"clientOrderId": name})
    )
    assert made["clientOrderId"] == name
    await soon(client.edit_order(made["id"], symbol, "limit", "buy", 0.02, price))
    opened = await soon(client.fetch_open_orders(symbol))
    mine = [order for order in opened if order["clientOrderId"] == name]
    assert [(order["status"], order["amount"]) for order in mine] == [("open", 0.02)]
    await soon(client.cancel_order("", symbol, {"orderLinkId": name}))
    closed = await soon(client.fetch_canceled_orders(symbol))
    assert name in [order["clientOrderId"] for order in closed]
    with pytest.raises(ccxt.OrderNotFound):
        await soon(client.cancel_order(made["id"], symbol))


async def test_cancels_all_and_sets_leverage(client: Any) -> None:
    price = await far_below(client, LINEAR)
    for _ in range(2):
        await soon(client.create_order(LINEAR, "limit", "buy", 0.01, price))
    cancelled = await soon(client.cancel_all_orders(LINEAR))
    assert len(cancelled) == 2
    await soon(client.set_leverage(5, "ETH/USDT:USDT"))
    with pytest.raises(ccxt.BadRequest):
        await soon(client.set_leverage(5, "ETH/USDT:USDT"))


async def test_fills_and_reads_the_account_back(client: Any) -> None:
    name = link()
    await soon(
        client.create_order(LINEAR, "market", "buy", 0.01, None, {"clientOrderId": name})
    )
    trades = await soon(client.fetch_my_trades(LINEAR, params={"orderLinkId": name}))
    assert sum(trade["amount"] for trade in trades) == pytest.approx(0.01)
    assert trades[0]["fee"]["currency"] == "USDT"
    position = (await soon(client.fetch_positions([LINEAR])))[0]
    assert (position["side"], position["contracts"]) == ("long", 0.01)
    balance = await soon(client.fetch_balance())
    assert balance["USDT"]["total"] > 0
    ledger = await soon(client.fetch_ledger("USDT", limit=5))
    assert ledger[-1]["type"] == "trade"
    fee = await soon(client.fetch_trading_fee(LINEAR))
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.00055)
    await soon(
        client.create_order(LINEAR, "market", "sell", 0.01, None, {"reduceOnly": True})
    )
    flat = await soon(client.fetch_positions([LINEAR]))
    assert all(not row["contracts"] for row in flat)


async def test_translates_refusals_into_its_exceptions(
    client: Any, ccxt_client: Callable[..., Any], owner: tuple[str, str], poor: tuple[str, str]
) -> None:
    price = await far_below(client, LINEAR)
    wrong_key, wrong_secret = ccxt_client(("nobody", "x")), ccxt_client((owner[0], "x"))
    broke = ccxt_client(poor)
    late = ccxt_client(owner)
    now = client.milliseconds()
    late.milliseconds = lambda: now - 60_000
    name = link()
    params = {"clientOrderId": name}
    await soon(client.create_order(LINEAR, "limit", "buy", 0.01, price, params))
    try:
        for stranger in (wrong_key, wrong_secret):
            with pytest.raises(ccxt.AuthenticationError):
                await soon(stranger.fetch_balance())
        with pytest.raises(ccxt.InvalidNonce):
            await soon(late.fetch_balance())
        with pytest.raises(ccxt.InsufficientFunds):
            await soon(broke.create_order(LINEAR, "limit", "buy", 1, price))
        with pytest.raises(ccxt.InvalidOrder):
            await soon(client.create_order(LINEAR, "limit", "buy", 0.01, price, params))
        with pytest.raises(ccxt.InvalidOrder):
            await soon(client.create_order(LINEAR, "limit", "buy", 0.001, 4_000.0))
    finally:
        await soon(client.cancel_order("", LINEAR, {"orderLinkId": name}))
        for one in (wrong_key, wrong_secret, broke, late):
            await one.close()


async def test_meets_the_rate_limit_as_its_own_exception(client: Any) -> None:
    calls = [client.fetch_trading_fee(LINEAR) for _ in range(25)]
    outcomes = await soon(asyncio.gather(*calls, return_exceptions=True))
    assert any(isinstance(one, ccxt.RateLimitExceeded) for one in outcomes)
    assert any(isinstance(one, dict) for one in outcomes)


@pytest.mark.parametrize("symbol", [LINEAR, SPOT, INVERSE])
async def test_watches_public_streams(client: Any, symbol: str) -> None:
    book = await soon(client.watch_order_book(symbol, 50))
    for _ in range(3):
        book = await soon(client.watch_order_book(symbol, 50))
    assert 5 < len(book["bids"]) <= 50 and book["bids"][0][0] < book["asks"][0][0]
    ticker = await soon(client.watch_ticker(symbol))
    assert ticker["last"] > 0
    assert await soon(client.watch_trades(symbol))
    assert await soon(client.watch_ohlcv(symbol, "1m"))


async def test_watches_its_orders_trades_positions_and_balance(client: Any) -> None:
    async def settle(kind: str, amount: float, params: dict[str, Any]) -> None:
        await asyncio.sleep(0.2)
        await client.create_order(LINEAR, "market", kind, amount, None, params)

    name = link()
    order = eventually(
        lambda: client.watch_orders(LINEAR),
        lambda seen: any(
            row["clientOrderId"] == name and row["status"] == "closed" for row in seen
        ),
    )
    trade = eventually(
        lambda: client.watch_my_trades(LINEAR), lambda seen: seen[-1]["symbol"] == LINEAR
    )
    position = eventually(
        lambda: client.watch_positions([LINEAR]),
        lambda seen: any(row["contracts"] == 0.01 for row in seen),
    )
    balance = eventually(client.watch_balance, lambda seen: seen["USDT"]["total"] > 0)
    work = settle("buy", 0.01, {"clientOrderId": name})
    await soon(asyncio.gather(order, trade, position, balance, work), 8)
    await settle("sell", 0.01, {"reduceOnly": True})


async def test_enters_orders_by_socket(client: Any) -> None:
    name, price = link(), await far_below(client, LINEAR)
    made = await soon(
        client.create_order_ws(LINEAR, "limit", "buy", 0.01, price, {"clientOrderId": name})
    )
    assert made["clientOrderId"] == name
    await soon(client.edit_order_ws(made["id"], LINEAR, "limit", "buy", 0.02, price))
    await soon(client.cancel_order_ws(made["id"], LINEAR))
    with pytest.raises(ccxt.OrderNotFound):
        await soon(client.cancel_order_ws(made["id"], LINEAR))

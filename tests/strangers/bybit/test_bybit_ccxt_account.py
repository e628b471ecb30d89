"""ccxt and ccxt.pro count money on the twin: books, balances, positions, batches and modes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

ccxt = pytest.importorskip("ccxt")

pytestmark = pytest.mark.stranger
LINEAR, SPOT, INVERSE = "BTC/USDT:USDT", "BTC/USDT", "BTC/USD:BTC"
Client = Any
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"ccxt-exact-{next(_numbers)}"


async def soon(work: Awaitable[Any], seconds: float = 30) -> Any:
    return await asyncio.wait_for(work, seconds)


@pytest.fixture
async def client(
    ccxt_client: Callable[..., Any], keys: Callable[[str], tuple[str, str]]
) -> AsyncIterator[Client]:
    made = ccxt_client(keys("exact-ccxt"))
    await soon(made.load_markets(), 10)
    yield made
    await made.close()


async def money(client: Client) -> dict[str, Decimal]:
    """Wallet balances as the venue writes them: ccxt's own numbers are floats."""
    wallet = (await soon(client.fetch_balance()))["info"]["result"]["list"][0]
    return {row["coin"]: Decimal(row["walletBalance"]) for row in wallet["coin"]}


async def filled(
    client: Client, symbol: str, side: str, amount: float, **params: Any
) -> list[dict[str, Any]]:
    """Trades at market and gives the venue's own rows of the executions."""
    name = link()
    await soon(
        client.create_order(
            symbol, "market", side, amount, None, {"clientOrderId": name, **params}
        )
    )
    trades = await soon(client.fetch_my_trades(symbol, params={"orderLinkId": name}))
    assert sum(Decimal(str(one["amount"])) for one in trades) == Decimal(str(amount))
    return [one["info"] for one in trades]


def total(rows: list[dict[str, Any]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


@pytest.mark.parametrize("symbol", [LINEAR, SPOT, INVERSE])
async def test_the_book_kept_from_the_stream_is_the_book_of_rest(
    client: Client, symbol: str
) -> None:
    kept: dict[int, Any] = {}

    async def follow() -> None:
        while True:
            book = await client.watch_order_book(symbol, 1000)
            sides = {side: [list(row) for row in book[side]] for side in ("bids", "asks")}
            kept[book["timestamp"]] = sides

    task = asyncio.create_task(follow())
    compared: set[int] = set()
    for _ in range(150):
        rest = await soon(client.fetch_order_book(symbol, 1000))
        await asyncio.sleep(0.03)
        assert not task.done(), "the stream broke"
        shown = [book for book in kept.values() if book["bids"] == rest["bids"]]
        if shown:
            assert rest["asks"] in [book["asks"] for book in shown]
            compared.add(rest["timestamp"])
        if len(compared) >= 3:
            break
    task.cancel()
    assert len(compared) >= 3


@pytest.mark.parametrize(
    ("symbol", "coin", "amount"), [(LINEAR, "USDT", 0.02), (INVERSE, "BTC", 500.0)]
)
async def test_a_position_costs_exactly_its_fees_and_is_gone_afterwards(
    client: Client, symbol: str, coin: str, amount: float
) -> None:
    before = await money(client)
    opening = await filled(client, symbol, "buy", amount)
    opened = await money(client)
    assert opened[coin] - before[coin] == -total(opening, "execFee")
    position = (await soon(client.fetch_positions([symbol])))[0]
    assert (position["side"], position["contracts"]) == ("long", amount)
    one = await soon(client.fetch_position(symbol))
    assert one["entryPrice"] == position["entryPrice"]
    closing = await filled(client, symbol, "sell", amount, reduceOnly=True)
    after = await money(client)
    ledger = await soon(client.fetch_ledger(coin, limit=50))
    orders = {row["orderId"] for row in opening + closing}
    rows = [row["info"] for row in ledger if row["info"]["orderId"] in orders]
    assert len(rows) == len(opening) + len(closing)
    assert total(rows, "change") == after[coin] - before[coin]
    assert {name: after[name] for name in after if name != coin} == {
        name: before[name] for name in before if name != coin
    }
    held = await soon(client.fetch_positions([symbol]))
    assert all(not row["contracts"] for row in held)


async def test_a_spot_purchase_pays_its_fee_in_the_bought_coin(client: Client) -> None:
    before = await money(client)
    bought = await filled(client, SPOT, "buy", 0.01, marketUnit="baseCoin")
    after = await money(client)
    assert after["BTC"] - before["BTC"] == Decimal("0.01") - total(bought, "execFee")
    assert before["USDT"] - after["USDT"] == total(bought, "execValue")
    sold = await filled(client, SPOT, "sell", 0.01)
    end = await money(client)
    assert end["USDT"] - after["USDT"] == total(sold, "execValue") - total(sold, "execFee")


async def test_batches_are_placed_edited_and_cancelled(client: Client) -> None:
    ticker = await soon(client.fetch_ticker(LINEAR))
    price = float(client.price_to_precision(LINEAR, ticker["bid"] * 0.99))
    one = {"symbol": LINEAR, "type": "limit", "side": "buy", "amount": 0.01, "price": price}
    made = await soon(
        client.create_orders([{**one, "params": {"clientOrderId": link()}} for _ in range(3)])
    )
    assert all(order["id"] and order["status"] is None for order in made)  # acknowledged only
    edits = [{**one, "id": made[0]["id"], "amount": 0.03}]
    await soon(client.edit_orders(edits))
    amounts = {o["id"]: o["amount"] for o in await soon(client.fetch_open_orders(LINEAR))}
    assert amounts == {made[0]["id"]: 0.03, made[1]["id"]: 0.01, made[2]["id"]: 0.01}
    await soon(client.cancel_orders([made[0]["id"], made[1]["id"]], LINEAR))
    left = await soon(client.cancel_all_orders(LINEAR))
    assert [order["id"] for order in left] == [made[2]["id"]]
    assert await soon(client.fetch_open_orders(LINEAR)) == []


async def test_a_batch_with_one_bad_order_says_which(client: Client) -> None:
    ticker = await soon(client.fetch_ticker(LINEAR))
    price = float(client.price_to_precision(LINEAR, ticker["bid"] * 0.99))
    one = {"symbol": LINEAR, "type": "limit", "side": "buy", "price": price}
    made = await soon(client.create_orders([{**one, "amount": 0.01}, {**one, "amount": 1_400.0}]))
    assert [order["status"] for order in made] == [None, "rejected"]
    assert int(made[1]["info"]["code"]) == 110007
    await soon(client.cancel_all_orders(LINEAR))


async def test_leverage_fees_and_tiers_are_read_back(client: Client) -> None:
    await soon(client.set_leverage(7, LINEAR))
    assert (await soon(client.fetch_leverage(LINEAR)))["longLeverage"] == 7
    await soon(client.set_leverage(8, LINEAR))
    assert (await soon(client.fetch_leverage(LINEAR)))["shortLeverage"] == 8
    fees = await soon(client.fetch_trading_fees({"category": "linear"}))
    assert (fees[LINEAR]["maker"], fees[LINEAR]["taker"]) == (0.0002, 0.00055)
    spot = await soon(client.fetch_trading_fee(SPOT))
    assert (spot["maker"], spot["taker"]) == (0.001, 0.001)
    tiers = await soon(client.fetch_market_leverage_tiers(LINEAR))
    assert tiers[0]["maxLeverage"] >= tiers[-1]["maxLeverage"]


async def test_hedge_mode_holds_both_sides(
    ccxt_client: Callable[..., Any], keys: Callable[[str], tuple[str, str]]
) -> None:
    client = ccxt_client(keys("hedged-ccxt"))
    await soon(client.load_markets(), 10)
    try:
        await soon(client.set_position_mode(True, LINEAR))
        await filled(client, LINEAR, "buy", 0.02, positionIdx=1)
        await filled(client, LINEAR, "sell", 0.01, positionIdx=2)
        held = await soon(client.fetch_positions([LINEAR]))
        assert {(one["side"], one["contracts"], one["hedged"]) for one in held} == {
            ("long", 0.02, True),
            ("short", 0.01, True),
        }
        with pytest.raises(ccxt.BadRequest, match='"retCode":110024,'):
            await soon(client.set_position_mode(False, LINEAR))
        await filled(client, LINEAR, "sell", 0.02, positionIdx=1, reduceOnly=True)
        await filled(client, LINEAR, "buy", 0.01, positionIdx=2, reduceOnly=True)
        await soon(client.set_position_mode(False, LINEAR))
    finally:
        await client.close()


async def test_an_order_is_followed_from_birth_to_death_on_the_stream(client: Client) -> None:
    seen: list[tuple[str, float]] = []
    name, started = link(), asyncio.Event()

    async def follow() -> None:
        while True:
            work = asyncio.ensure_future(client.watch_orders(LINEAR))
            await asyncio.sleep(0)
            started.set()
            for order in await work:
                if order["clientOrderId"] == name:
                    seen.append((order["status"], order["amount"]))

    async def until(wanted: tuple[str, float]) -> None:
        while wanted not in seen:
            await asyncio.sleep(0.01)

    ticker = await soon(client.fetch_ticker(LINEAR))
    price = float(client.price_to_precision(LINEAR, ticker["bid"] * 0.995))
    # the first answer of another stream proves that the login is through
    task = asyncio.create_task(follow())
    await started.wait()
    await soon(subscribed(client))
    made = await soon(
        client.create_order(LINEAR, "limit", "buy", 0.01, price, {"clientOrderId": name})
    )
    await soon(until(("open", 0.01)))
    await soon(client.edit_order(made["id"], LINEAR, "limit", "buy", 0.02, price))
    await soon(until(("open", 0.02)))
    await soon(client.cancel_order(made["id"], LINEAR))
    await soon(until(("canceled", 0.02)))
    task.cancel()
    assert [one for at, one in enumerate(seen) if not at or seen[at - 1] != one] == [
        ("open", 0.01),
        ("open", 0.02),
        ("canceled", 0.02),
    ]


async def subscribed(client: Client) -> None:
    """Waits until the private socket is logged in and has asked for orders."""
    while not any("private" in url and one.subscriptions for url, one in client.clients.items()):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)

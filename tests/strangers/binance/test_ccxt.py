"""ccxt and ccxt.pro, which nobody here wrote, trade on the twin as on Binance itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import pytest

ccxt = pytest.importorskip("ccxt")

pytestmark = pytest.mark.stranger

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
T = TypeVar("T")


@pytest.fixture
def make(venue: Any, ccxt_client: Callable[..., Any]) -> Callable[..., Any]:
    """A client of the usual customer, or of what the settings say instead."""

    def made(kind: str, **settings: Any) -> Any:
        login = {"apiKey": venue.account.key, "secret": venue.account.secret, **settings}
        return ccxt_client(kind, login["apiKey"], login["secret"])

    return made


async def soon(what: Awaitable[T], seconds: float = 30) -> T:
    return await asyncio.wait_for(what, seconds)


@pytest.fixture
async def spot(make: Callable[..., Any]) -> AsyncIterator[Any]:
    client = make("binance")
    await soon(client.load_markets())
    yield client
    await client.close()


@pytest.fixture
async def perp(make: Callable[..., Any]) -> AsyncIterator[Any]:
    client = make("binanceusdm")
    await soon(client.load_markets())
    yield client
    await client.close()


async def far_below(client: Any, symbol: str, percent: int = 3) -> float:
    """A price that rests, inside the venue's price band."""
    book = await soon(client.fetch_order_book(symbol, 5))
    return float(client.price_to_precision(symbol, book["bids"][0][0] * (100 - percent) / 100))


# Market data ---------------------------------------------------------------------------------


async def test_no_url_is_left_that_points_outside(spot: Any) -> None:
    def urls(node: Any) -> list[str]:
        if isinstance(node, dict):
            return [url for inner in node.values() for url in urls(inner)]
        return [node]

    assert all("127.0.0.1" in url for url in urls(spot.urls["api"]))


async def test_all_instruments_are_listed_with_their_grids(spot: Any) -> None:
    assert {SPOT, "ETH/USDT", "SOL/USDT", PERP, "BTC/USD:BTC", "ETH/USD:ETH"} <= set(spot.markets)
    assert spot.market(SPOT)["precision"]["price"] == 0.01
    assert spot.market(SPOT)["precision"]["amount"] == 0.00001
    assert spot.market(PERP)["precision"]["price"] == 0.1
    assert spot.market(PERP)["limits"]["cost"]["min"] == 100
    coin = spot.market("BTC/USD:BTC")
    assert coin["inverse"]
    assert coin["contractSize"] == 100


async def test_the_venue_tells_the_time(spot: Any, perp: Any) -> None:
    for client in (spot, perp):
        assert abs(await soon(client.fetch_time()) - client.milliseconds()) < 2_000


@pytest.mark.parametrize("kind", ["binance", "binanceusdm"])
async def test_the_book_kept_from_the_stream_is_the_book_of_rest(
    kind: str, make: Callable[..., Any]
) -> None:
    client = make(kind)
    symbol = SPOT if kind == "binance" else PERP
    await soon(client.load_markets())
    kept: dict[int, Any] = {}

    async def follow() -> None:
        while True:
            book = await client.watch_order_book(symbol)
            # ccxt changes the rows of its book in place: they are copied.
            kept[book["nonce"]] = tuple(
                [list(row[:2]) for row in book[side][:20]] for side in ("bids", "asks")
            )

    task = asyncio.create_task(follow())
    compared = 0
    for _ in range(120):
        rest = await soon(client.fetch_order_book(symbol, 20))
        await asyncio.sleep(0.05)
        if rest["nonce"] in kept:
            bids, asks = kept[rest["nonce"]]
            assert bids == rest["bids"]
            assert asks == rest["asks"]
            compared += 1
        if compared >= 3:
            break
    assert not task.done(), "the stream broke its sequence"
    task.cancel()
    await client.close()
    assert compared >= 3


async def test_streams_of_trades_bars_tickers_and_best_prices_push(spot: Any, perp: Any) -> None:
    for client, symbol in ((spot, SPOT), (perp, PERP)):
        trades = await soon(client.watch_trades(symbol))
        assert trades[0]["symbol"] == symbol
        best = (await soon(client.watch_bids_asks([symbol])))[symbol]
        assert 0 < best["bid"] < best["ask"]
        bars = await soon(client.watch_ohlcv(symbol, "1m"))
        assert bars[-1][2] >= bars[-1][3] > 0
        assert (await soon(client.watch_ticker(symbol)))["last"] > 0
    assert (await soon(perp.watch_mark_price(PERP)))["markPrice"] > 0


async def test_history_and_funding_can_be_read(spot: Any, perp: Any) -> None:
    assert len(await soon(spot.fetch_ohlcv(SPOT, "5m", limit=3))) == 3
    assert len(await soon(spot.fetch_trades(SPOT, limit=3))) == 3
    assert (await soon(spot.fetch_ticker(SPOT)))["bid"] > 0
    assert len(await soon(perp.fetch_ohlcv(PERP, "1m", limit=3, params={"price": "mark"}))) == 3
    rate = await soon(perp.fetch_funding_rate(PERP))
    assert rate["markPrice"] > 0
    assert rate["fundingTimestamp"] > perp.milliseconds()
    history = await soon(perp.fetch_funding_rate_history(PERP, limit=2))
    assert history[0]["timestamp"] < history[1]["timestamp"]
    assert (await soon(perp.fetch_open_interest(PERP)))["openInterestAmount"] > 0


# Spot ----------------------------------------------------------------------------------------


async def test_spot_order_is_placed_replaced_and_cancelled(spot: Any) -> None:
    price = await far_below(spot, SPOT)
    placed = await soon(
        spot.create_order(SPOT, "limit", "buy", 0.01, price, {"clientOrderId": "spot-1"})
    )
    assert (placed["status"], placed["clientOrderId"]) == ("open", "spot-1")
    assert placed["id"] in [row["id"] for row in await soon(spot.fetch_open_orders(SPOT))]
    edited = await soon(spot.edit_order(placed["id"], SPOT, "limit", "buy", 0.02, price))
    assert edited["amount"] == 0.02
    assert (await soon(spot.fetch_order(placed["id"], SPOT)))["status"] == "canceled"
    ended = await soon(spot.cancel_order(edited["id"], SPOT))
    assert ended["status"] == "canceled"
    assert edited["id"] not in [row["id"] for row in await soon(spot.fetch_open_orders(SPOT))]


async def test_spot_fill_is_found_by_client_id_and_fee_is_taken_from_what_was_received(
    spot: Any,
) -> None:
    before = await soon(spot.fetch_balance())
    made = await soon(
        spot.create_order(SPOT, "market", "buy", 0.01, None, {"clientOrderId": "spot-fill"})
    )
    assert made["status"] == "closed"
    found = await soon(spot.fetch_order(None, SPOT, {"origClientOrderId": "spot-fill"}))
    assert found["id"] == made["id"]
    assert found["filled"] == 0.01
    trades = [t for t in await soon(spot.fetch_my_trades(SPOT)) if t["order"] == made["id"]]
    assert sum(Decimal(str(t["amount"])) for t in trades) == Decimal("0.01")
    assert {t["fee"]["currency"] for t in trades} == {"BTC"}
    fee = sum(Decimal(str(t["fee"]["cost"])) for t in trades)
    after = await soon(spot.fetch_balance())
    gained = Decimal(str(after["BTC"]["total"])) - Decimal(str(before["BTC"]["total"]))
    assert gained == Decimal("0.01") - fee
    paid = Decimal(str(before["USDT"]["total"])) - Decimal(str(after["USDT"]["total"]))
    assert abs(paid - Decimal(str(made["cost"]))) < Decimal("0.00000001")


async def test_spot_user_stream_tells_orders_trades_and_balances(spot: Any) -> None:
    watching = [
        asyncio.create_task(spot.watch_orders(SPOT)),
        asyncio.create_task(spot.watch_my_trades(SPOT)),
        asyncio.create_task(spot.watch_balance()),
    ]
    await asyncio.sleep(0.2)
    made = await soon(spot.create_order(SPOT, "market", "sell", 0.005))
    orders, trades, balance = [await soon(task) for task in watching]
    assert orders[-1]["id"] == made["id"]
    assert trades[-1]["order"] == made["id"]
    assert trades[-1]["fee"]["currency"] == "USDT"
    assert balance["BTC"]["free"] > 0


async def test_a_cancel_on_the_spot_stream_names_the_order_not_the_cancel(spot: Any) -> None:
    price = await far_below(spot, SPOT)
    placed = await soon(
        spot.create_order(SPOT, "limit", "buy", 0.01, price, {"clientOrderId": "swap-1"})
    )
    watching = asyncio.create_task(spot.watch_orders(SPOT))
    await asyncio.sleep(0.2)
    await soon(spot.cancel_order(placed["id"], SPOT))
    told = (await soon(watching))[-1]
    assert (told["status"], told["clientOrderId"]) == ("canceled", "swap-1")
    assert told["info"]["c"] != "swap-1"


async def test_spot_orders_go_by_websocket_too(spot: Any) -> None:
    price = await far_below(spot, SPOT)
    placed = await soon(spot.create_order_ws(SPOT, "limit", "buy", 0.01, price))
    assert (await soon(spot.fetch_order_ws(placed["id"], SPOT)))["status"] == "open"
    edited = await soon(spot.edit_order_ws(placed["id"], SPOT, "limit", "buy", 0.02, price))
    assert (await soon(spot.cancel_order_ws(edited["id"], SPOT)))["status"] == "canceled"
    # ccxt 4.5.90 does not parse the spot answer further, so the raw one is looked at.
    held = (await soon(spot.fetch_balance_ws()))["info"]["balances"]
    assert "USDT" in [row["asset"] for row in held]


async def test_spot_refusals_become_the_right_exceptions(spot: Any) -> None:
    price = await far_below(spot, SPOT)
    placed = await soon(
        spot.create_order(SPOT, "limit", "buy", 0.01, price, {"clientOrderId": "twice"})
    )
    book = await soon(spot.fetch_order_book(SPOT, 5))
    raw = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    above = round(book["asks"][0][0] * 1.01, 2)
    cases: list[tuple[type[Exception], str, Awaitable[Any]]] = [
        (
            ccxt.InvalidOrder,
            "Duplicate order",
            spot.create_order(SPOT, "limit", "buy", 0.01, price, {"clientOrderId": "twice"}),
        ),
        (
            ccxt.InsufficientFunds,
            "insufficient balance",
            spot.create_order(SPOT, "limit", "buy", 5_000, price),
        ),
        (
            ccxt.OrderImmediatelyFillable,
            "immediately match",
            spot.create_order(SPOT, "limit", "buy", 0.01, above, {"postOnly": True}),
        ),
        (ccxt.OrderNotFound, "-2013", spot.fetch_order("12345", SPOT)),
        (ccxt.OrderNotFound, "-2011", spot.cancel_order("12345", SPOT)),
        (ccxt.BadRequest, "NOTIONAL", spot.create_order(SPOT, "limit", "buy", 0.00002, price)),
        (
            ccxt.InvalidOrder,
            "PRICE_FILTER",
            spot.private_post_order({**raw, "quantity": "0.01", "price": "50000.001"}),
        ),
        (
            ccxt.InvalidOrder,
            "LOT_SIZE",
            spot.private_post_order({**raw, "quantity": "0.010001", "price": str(price)}),
        ),
        (
            ccxt.InvalidOrder,
            "PERCENT_PRICE",
            spot.private_post_order({**raw, "quantity": "0.01", "price": "99000"}),
        ),
        (ccxt.BadRequest, "-1102", spot.private_post_order({**raw, "quantity": "0.01"})),
        (ccxt.BadSymbol, "-1121", spot.public_get_depth({"symbol": "NOSUCH"})),
    ]
    for expected, text, awaitable in cases:
        with pytest.raises(expected, match=text):
            await soon(awaitable)
    await soon(spot.cancel_order(placed["id"], SPOT))


# Futures -------------------------------------------------------------------------------------


async def test_futures_order_is_placed_modified_and_cancelled_by_client_id(perp: Any) -> None:
    price = await far_below(perp, PERP)
    placed = await soon(
        perp.create_order(PERP, "limit", "buy", 0.01, price, {"clientOrderId": "perp.1"})
    )
    edited = await soon(perp.edit_order(placed["id"], PERP, "limit", "buy", 0.02, price - 1))
    assert (edited["id"], edited["amount"]) == (placed["id"], 0.02)
    assert placed["id"] in [row["id"] for row in await soon(perp.fetch_open_orders(PERP))]
    ended = await soon(perp.cancel_order(None, PERP, {"origClientOrderId": "perp.1"}))
    assert ended["status"] == "canceled"
    assert (await soon(perp.fetch_order(placed["id"], PERP)))["status"] == "canceled"


async def wallet(client: Any) -> Decimal:
    """The wallet balance without unrealised profit."""
    rows = await client.fapiPrivateV3GetBalance()
    return Decimal(next(row["balance"] for row in rows if row["asset"] == "USDT"))


async def test_futures_fill_makes_a_position_and_costs_a_fee(perp: Any) -> None:
    await soon(perp.set_leverage(5, PERP))
    before = await soon(wallet(perp))
    made = await soon(
        perp.create_order(PERP, "market", "buy", 0.01, None, {"clientOrderId": "perp.fill"})
    )
    assert made["status"] == "closed"
    found = await soon(perp.fetch_order(None, PERP, {"origClientOrderId": "perp.fill"}))
    assert found["id"] == made["id"]
    assert found["average"] > 0
    position = (await soon(perp.fetch_positions([PERP])))[0]
    assert (position["side"], position["contracts"]) == ("long", 0.01)
    assert (await soon(perp.fetch_leverage(PERP)))["longLeverage"] == 5
    trades = [t for t in await soon(perp.fetch_my_trades(PERP)) if t["order"] == made["id"]]
    fee = sum(Decimal(str(t["fee"]["cost"])) for t in trades)
    value = sum(Decimal(str(t["price"])) * Decimal(str(t["amount"])) for t in trades)
    assert fee == value * Decimal("0.0005")
    assert before - await soon(wallet(perp)) == fee
    closed = await soon(
        perp.create_order(PERP, "market", "sell", 0.01, None, {"reduceOnly": True})
    )
    assert closed["filled"] == 0.01
    assert await soon(perp.fetch_positions([PERP])) == []
    kinds = {row["info"]["incomeType"] for row in await soon(perp.fetch_ledger("USDT"))}
    assert {"COMMISSION", "REALIZED_PNL", "TRANSFER"} <= kinds


async def first_position(client: Any) -> list[Any]:
    """What the stream says after ccxt's own first answer, an empty list while flat."""
    while not (found := await client.watch_positions([PERP])):
        pass
    return list(found)


async def test_futures_user_stream_tells_orders_trades_positions_and_balances(perp: Any) -> None:
    watching = [
        asyncio.create_task(perp.watch_orders(PERP)),
        asyncio.create_task(perp.watch_my_trades(PERP)),
        asyncio.create_task(first_position(perp)),
        asyncio.create_task(perp.watch_balance()),
    ]
    await asyncio.sleep(0.3)
    made = await soon(perp.create_order(PERP, "market", "sell", 0.01))
    orders, trades, positions, balance = [await soon(task) for task in watching]
    assert orders[-1]["id"] == made["id"]
    assert trades[-1]["order"] == made["id"]
    assert (positions[-1]["side"], positions[-1]["contracts"]) == ("short", 0.01)
    assert balance["USDT"]["total"] > 0
    await soon(perp.create_order(PERP, "market", "buy", 0.01, None, {"reduceOnly": True}))


async def test_futures_orders_go_by_websocket_too(perp: Any) -> None:
    price = await far_below(perp, PERP)
    placed = await soon(perp.create_order_ws(PERP, "limit", "buy", 0.01, price))
    edited = await soon(perp.edit_order_ws(placed["id"], PERP, "limit", "buy", 0.02, price))
    assert edited["amount"] == 0.02
    assert (await soon(perp.cancel_order_ws(placed["id"], PERP)))["status"] == "canceled"
    assert isinstance(await soon(perp.fetch_positions_ws()), list)


async def test_futures_batches_answer_every_order_by_itself(perp: Any) -> None:
    price = await far_below(perp, PERP)
    one = {"symbol": PERP, "type": "limit", "side": "buy", "price": price}
    made = await soon(perp.create_orders([{**one, "amount": 0.01}, {**one, "amount": 0.001}]))
    assert sorted(row["status"] for row in made) == ["open", "rejected"]
    assert -4164 in [row["info"].get("code") for row in made]
    await soon(perp.cancel_all_orders(PERP))
    assert await soon(perp.fetch_open_orders(PERP)) == []


async def test_futures_refusals_become_the_right_exceptions(perp: Any) -> None:
    price = await far_below(perp, PERP)
    placed = await soon(
        perp.create_order(PERP, "limit", "buy", 0.01, price, {"clientOrderId": "twice"})
    )
    book = await soon(perp.fetch_order_book(PERP, 5))
    above = round(book["asks"][0][0] * 1.01, 1)
    raw = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    cases: list[tuple[type[Exception], str, Awaitable[Any]]] = [
        (
            ccxt.InvalidOrder,
            "-4116",
            perp.create_order(PERP, "limit", "buy", 0.01, price, {"clientOrderId": "twice"}),
        ),
        (ccxt.InsufficientFunds, "-2019", perp.create_order(PERP, "limit", "buy", 900, price)),
        (
            ccxt.OrderNotFillable,
            "-5022",
            perp.create_order(PERP, "limit", "buy", 0.01, above, {"postOnly": True}),
        ),
        (
            ccxt.OrderNotFillable,
            "-5021",
            perp.create_order(PERP, "limit", "buy", 3, book["asks"][0][0], {"timeInForce": "FOK"}),
        ),
        (
            ccxt.InvalidOrder,
            "-2022",
            perp.create_order(PERP, "limit", "sell", 0.01, above, {"reduceOnly": True}),
        ),
        (ccxt.OrderNotFound, "-2013", perp.fetch_order("12345", PERP)),
        (ccxt.OrderNotFound, "-2011", perp.cancel_order("12345", PERP)),
        (ccxt.InvalidOrder, "-4164", perp.create_order(PERP, "limit", "buy", 0.001, price)),
        (
            ccxt.BadRequest,
            "-4014",
            perp.fapiPrivatePostOrder({**raw, "quantity": "0.01", "price": "59000.05"}),
        ),
        (
            ccxt.BadRequest,
            "-1111",
            perp.fapiPrivatePostOrder({**raw, "quantity": "0.0101", "price": str(price)}),
        ),
        (
            ccxt.BadRequest,
            "-4016",
            perp.fapiPrivatePostOrder({**raw, "quantity": "0.01", "price": "90000.0"}),
        ),
        (
            ccxt.OperationRejected,
            "-4061",
            perp.fapiPrivatePostOrder(
                {**raw, "quantity": "0.01", "price": str(price), "positionSide": "LONG"}
            ),
        ),
        (
            ccxt.ExchangeError,  # older releases: InvalidOrder, which is one of them
            "-4120",
            perp.fapiPrivatePostOrder(
                {"symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET", "stopPrice": "1"}
            ),
        ),
        (ccxt.BadRequest, "-4021", perp.fapiPublicGetDepth({"symbol": "BTCUSDT", "limit": 7})),
        (
            ccxt.BadRequest,
            "-4028",
            perp.fapiPrivatePostLeverage({"symbol": "BTCUSDT", "leverage": 500}),
        ),
    ]
    for expected, text, awaitable in cases:
        with pytest.raises(expected, match=text):
            await soon(awaitable)
    await soon(perp.cancel_order(placed["id"], PERP))

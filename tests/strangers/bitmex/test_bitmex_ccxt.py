"""ccxt and ccxt.pro trade on the BitMEX twin: unified calls, streams and exceptions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

ccxt = pytest.importorskip("ccxt")
pro = pytest.importorskip("ccxt.pro")
if not hasattr(pro, "bitmex"):
    pytest.skip("this ccxt no longer knows the venue (4.5.83 did)", allow_module_level=True)

pytestmark = pytest.mark.stranger
INVERSE, QUANTO, LINEAR = "BTC/USD:BTC", "ETH/USD:BTC", "BTC/USDT:USDT"
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"ccxt-{next(_numbers)}"


def to_loopback(exchange: Any, mex: Any) -> Any:
    """Rewrites every URL of a ccxt client to the twin; fails where one points elsewhere."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: walk(value) for name, value in node.items()}
        split = urlsplit(node)
        return (mex.ws if split.scheme.startswith("ws") else mex.rest) + split.path

    exchange.urls["api"] = walk(exchange.urls["api"])
    assert "bitmex.com" not in str(exchange.urls["api"])
    return exchange


def make(mex: Any, keys: tuple[str, str]) -> Any:
    settings = {"apiKey": keys[0], "secret": keys[1], "enableRateLimit": False}
    return to_loopback(pro.bitmex(settings), mex)


@pytest.fixture
async def client(mex: Any, owner: tuple[str, str]) -> AsyncIterator[Any]:
    made = make(mex, owner)
    await asyncio.wait_for(made.load_markets(), 10)
    yield made
    await made.cancel_all_orders()
    await made.close()


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


async def far_below(client: Any, symbol: str = INVERSE) -> float:
    ticker = await soon(client.fetch_ticker(symbol))
    return float(client.price_to_precision(symbol, round(ticker["bid"] * 0.99)))


async def test_loads_markets_of_every_payoff_with_their_contracts(client: Any) -> None:
    kinds = {
        symbol: (one["inverse"], one["quanto"], one["linear"], one["settle"])
        for symbol, one in client.markets.items()
    }
    assert kinds[INVERSE] == (True, False, False, "BTC")
    assert kinds[QUANTO] == (False, True, False, "BTC")
    assert kinds[LINEAR] == (False, False, True, "USDT")
    dated = [one for one in client.markets.values() if one["future"]]
    assert dated[0]["expiry"] > client.milliseconds() and dated[0]["symbol"].startswith(INVERSE)
    assert client.markets[LINEAR]["contractSize"] == 0.000001
    assert client.markets[INVERSE]["precision"] == {"amount": 100.0, "price": 0.1}
    assert client.markets[QUANTO]["maker"] < 0 and client.markets[INVERSE]["taker"] == 0.0005
    assert client.currencies["BTC"]["precision"] == 1e-8
    assert client.currencies["USDT"]["precision"] == 1e-6


@pytest.mark.parametrize("symbol", [INVERSE, QUANTO, LINEAR])
async def test_fetches_public_data(client: Any, symbol: str) -> None:
    book = await soon(client.fetch_order_book(symbol, 50))
    assert 5 < len(book["bids"]) <= 50 and book["bids"][0][0] < book["asks"][0][0]
    ticker = await soon(client.fetch_ticker(symbol))
    assert ticker["bid"] <= ticker["ask"] and ticker["last"] > 0 and ticker["markPrice"] > 0
    assert symbol in await soon(client.fetch_tickers())
    bars = await soon(client.fetch_ohlcv(symbol, "1m", limit=3))
    assert len(bars) == 3 and bars[-1][0] <= client.milliseconds() < bars[-1][0] + 60_500
    since = client.milliseconds() - 7_200_000
    hours = await soon(client.fetch_ohlcv(symbol, "1h", since=since, limit=2))
    assert hours[0][0] >= since - 3_600_000
    for trade in await soon(client.fetch_trades(symbol, limit=5)):
        assert trade["side"] in ("buy", "sell") and trade["amount"] > 0


async def test_fetches_funding_now_next_and_past(client: Any) -> None:
    rate = await soon(client.fetch_funding_rate(INVERSE))
    ahead = rate["fundingTimestamp"] - client.milliseconds()
    assert 0 < ahead <= 8 * 3_600_000
    assert rate["nextFundingRate"] is not None
    history = await soon(client.fetch_funding_rate_history(INVERSE, limit=3))
    hours = {row["datetime"][11:13] for row in history}
    assert len(history) == 3 and hours == {"04", "12", "20"}


@pytest.mark.parametrize("symbol", [INVERSE, QUANTO, LINEAR])
async def test_creates_edits_and_cancels_by_client_id(client: Any, symbol: str) -> None:
    name, price = link(), await far_below(client, symbol)
    made = await soon(
        client.create_order(symbol, "limit", "buy", 1000, price, {"clientOrderId": name})
    )
    assert (made["clientOrderId"], made["status"]) == (name, "open")
    again = name + "-b"
    params = {"origClOrdID": name, "clOrdID": again}
    await soon(client.edit_order("", symbol, "limit", "buy", 2000, price, params))
    opened = await soon(client.fetch_open_orders(symbol))
    mine = [order for order in opened if order["clientOrderId"] == again]
    assert [(order["status"], order["remaining"]) for order in mine] == [("open", 2000)]
    assert (await soon(client.fetch_order(made["id"])))["id"] == made["id"]
    await soon(client.cancel_order("", symbol, {"clientOrderId": again}))
    closed = await soon(client.fetch_closed_orders(symbol))
    assert made["id"] in [order["id"] for order in closed]
    with pytest.raises(ccxt.OrderNotFound):
        await soon(client.cancel_order(made["id"], symbol))


async def test_cancels_several_and_all(client: Any) -> None:
    price = await far_below(client)
    ids = []
    for _ in range(3):
        ids.append((await client.create_order(INVERSE, "limit", "buy", 100, price))["id"])
    gone = await soon(client.cancel_orders(ids[:2]))
    assert [order["status"] for order in gone] == ["canceled", "canceled"]
    rest = await soon(client.cancel_all_orders(INVERSE))
    assert [order["id"] for order in rest] == [ids[2]]
    told = await soon(client.cancel_all_orders_after(0))
    assert "cancelTime" in told


@pytest.mark.parametrize(
    ("symbol", "size"), [(INVERSE, 5000), (QUANTO, 100), (LINEAR, 10_000)]
)
async def test_fills_move_positions_and_balances(client: Any, symbol: str, size: int) -> None:
    coin = client.markets[symbol]["settle"]
    before = (await soon(client.fetch_balance()))[coin]["total"]
    order = await soon(client.create_order(symbol, "market", "buy", size))
    assert order["status"] == "closed" and order["remaining"] == 0
    held = (await soon(client.fetch_positions([symbol])))[0]
    assert (held["side"], held["contracts"], held["marginMode"]) == ("long", size, "cross")
    trades = await soon(client.fetch_my_trades(symbol, limit=50, params={"reverse": True}))
    mine = [trade for trade in trades if trade["order"] == order["id"]]
    assert sum(trade["amount"] for trade in mine) == size
    assert all(trade["takerOrMaker"] == "taker" for trade in mine)
    await soon(client.close_position(symbol, "sell"))
    held = (await soon(client.fetch_positions([symbol])))[0]
    assert held["contracts"] == 0
    after = (await soon(client.fetch_balance()))[coin]["total"]
    ledger = await soon(client.fetch_ledger(coin))
    total = sum((Decimal(str(row["info"]["amount"])) for row in ledger), Decimal(0))
    scale = 8 if coin == "BTC" else 6
    assert Decimal(str(after)) == total.scaleb(-scale) and after != before


async def test_streams_a_book_that_equals_rest(client: Any) -> None:
    for table in ("orderBookL2_25", "orderBookL2"):
        limit = 25 if table.endswith("25") else None
        for _ in range(60):
            streamed = await soon(client.watch_order_book(INVERSE, limit))
            asked = await soon(client.fetch_order_book(INVERSE, limit or 0))
            mine = [[row[:2] for row in streamed[side]] for side in ("bids", "asks")]
            depth = min(20, len(asked["bids"]), len(asked["asks"]))
            if [side[:depth] for side in mine] == [
                asked["bids"][:depth], asked["asks"][:depth],
            ]:  # fmt: skip
                break
        else:
            raise AssertionError(f"{table} never agreed with REST")


async def test_streams_tickers_trades_and_bins(client: Any) -> None:
    ticker = await soon(client.watch_ticker(INVERSE))
    later = await eventually(
        lambda: client.watch_ticker(INVERSE),
        lambda one: one["bid"] and one["ask"] and one["bid"] != ticker["bid"],
    )
    assert later["bid"] < later["ask"]
    trades = await soon(client.watch_trades(INVERSE))
    assert trades[-1]["symbol"] == INVERSE
    bars = await soon(client.watch_ohlcv(INVERSE, "1m"))
    assert bars[-1][0] % 60_000 == 0


async def test_private_streams_show_order_fill_position_and_balance(
    client: Any, mex: Any
) -> None:
    name = link()
    seen: dict[str, Any] = {}

    async def watch(what: str, call: Any, ok: Callable[[Any], bool]) -> None:
        seen[what] = await eventually(call, ok)

    watchers = [
        asyncio.create_task(watch(what, call, ok))
        for what, call, ok in (
            ("order", client.watch_orders, lambda rows: rows[-1]["status"] == "closed"),
            ("trade", client.watch_my_trades, lambda rows: rows[-1]["info"]["clOrdID"] == name),
            ("position", client.watch_positions, lambda rows: any(
                row["symbol"] == INVERSE and row["contracts"] == 3000 for row in rows)),
            ("balance", client.watch_balance, lambda one: "BTC" in one),
        )
    ]  # fmt: skip
    await mex.followed("order", "execution", "position", "margin")
    order = await soon(
        client.create_order(INVERSE, "market", "sell", 3000, None, {"clientOrderId": name})
    )
    await soon(asyncio.gather(*watchers))
    assert seen["order"][-1]["id"] == order["id"]
    assert seen["trade"][-1]["order"] == order["id"] and seen["trade"][-1]["fee"]["cost"] > 0
    assert seen["balance"]["BTC"]["total"] > 0
    await soon(client.close_position(INVERSE, "buy"))


async def test_leverage_and_margin_mode_are_set_and_read(client: Any) -> None:
    await soon(client.set_leverage(25, LINEAR))
    held = (await soon(client.fetch_positions([LINEAR])))[0]
    assert (held["leverage"], held["marginMode"]) == (25, "isolated")
    await soon(client.set_margin_mode("cross", LINEAR))
    held = (await soon(client.fetch_positions([LINEAR])))[0]
    assert held["marginMode"] == "cross"


async def test_fifteen_refusals_become_the_exceptions_of_ccxt(
    client: Any, mex: Any, owner: tuple[str, str], poor: tuple[str, str], reader: tuple[str, str]
) -> None:
    price = await far_below(client)

    async def order(whose: Any = client, **changed: Any) -> Any:
        wish = {"symbol": INVERSE, "type": "limit", "side": "buy", "amount": 100, "price": price}
        return await soon(whose.create_order(**wish | changed))

    async def fails(kind: Any, work: Awaitable[Any], text: str) -> None:
        with pytest.raises(kind) as refused:
            await work
        assert text in str(refused.value)

    await order(params={"clOrdID": "twice"})
    await fails(ccxt.InvalidOrder, order(params={"clOrdID": "twice"}), "Duplicate clOrdID")
    await fails(ccxt.InvalidOrder, order(amount=20_000_000), "orderQty is invalid")
    await fails(ccxt.InvalidOrder, order(price=price * 3), "Invalid price")
    await fails(ccxt.InvalidOrder, order(params={"orderQty": 150}), "orderQty is invalid")
    stop = {"triggerPrice": price, "triggerDirection": "below"}
    await fails(ccxt.BadRequest, order(params=stop), "Unsupported ordType")
    await fails(ccxt.BadRequest, order(params={"timeInForce": "GTX"}), "Unsupported timeInForce")
    await fails(ccxt.BadRequest, order(params={"nonsense": 1}), "Unrecognized field")
    await fails(ccxt.BadRequest, order(params={"symbol": "XBTXXX"}), "Invalid symbol")
    edit = client.edit_order("nobody", INVERSE, "limit", "buy", 200, price)
    await fails(ccxt.BadRequest, edit, "Invalid orderID")
    lever = client.set_leverage(50, QUANTO, {"leverage": 900})
    await fails(ccxt.BadRequest, lever, "leverage")
    for keys, kind, text in (
        (("nobody", "x"), ccxt.AuthenticationError, "Invalid API Key."),
        ((owner[0], "wrong"), ccxt.AuthenticationError, "Signature not valid"),
        (reader, ccxt.PermissionDenied, "Access Denied"),
        (poor, ccxt.InsufficientFunds, "Account has insufficient Available Balance"),
    ):
        other = make(mex, keys)
        other.set_markets(list(client.markets.values()), client.currencies)
        await fails(kind, order(other, amount=100_000), text)
        await other.close()
    mex.call(lambda: mex.twin.faults.arm("error_before", 1, "/order"))
    await fails(ccxt.ExchangeNotAvailable, order(), "overloaded")


async def test_post_only_and_reduce_only_orders_come_back_cancelled(client: Any) -> None:
    ticker = await soon(client.fetch_ticker(INVERSE))
    high = float(client.price_to_precision(INVERSE, round(ticker["ask"] + 100)))
    made = await soon(
        client.create_order(INVERSE, "limit", "buy", 100, high, {"postOnly": True})
    )
    assert (made["status"], made["postOnly"]) == ("canceled", True)
    made = await soon(
        client.create_order(INVERSE, "limit", "buy", 100, high, {"reduceOnly": True})
    )
    assert (made["status"], made["reduceOnly"]) == ("canceled", True)


async def test_a_full_bucket_and_a_locked_table_raise(client: Any, mex: Any) -> None:
    mex.call(lambda: mex.surface.limiter.resize(1))
    try:
        with pytest.raises(ccxt.DDoSProtection):
            for _ in range(12):
                await soon(client.cancel_all_orders())
    finally:
        mex.call(lambda: mex.surface.limiter.resize(50))
        mex.call(mex.surface.limiter.lift_bans)
    bare = to_loopback(pro.bitmex({"enableRateLimit": False}), mex)
    await soon(bare.load_markets())
    with pytest.raises(ccxt.ExchangeError) as refused:
        await soon(bare.watch(bare.urls["api"]["ws"], "order",
                              {"op": "subscribe", "args": ["order"]}, "order"))  # fmt: skip
    assert "account-locked" in str(refused.value)
    await bare.close()

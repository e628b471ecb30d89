"""What every client must be able to do on Binance, told once in the venue's own words.

`Ask` puts a named question to a client and gives the answer as plain dicts and lists with the
venue's field names; each client's test module brings its own.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

Ask = Callable[..., Awaitable[Any]]
SYMBOL = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
SIZE = {"spot": "0.01", "usdm": "0.01", "coinm": "5"}
DOUBLE = {"spot": "0.02", "usdm": "0.02", "coinm": "10"}
COIN = {"usdm": "USDT", "coinm": "BTC"}
TAKER = {"spot": "0.001", "usdm": "0.0005", "coinm": "0.0005"}
NOTHING = Decimal(0)


def one(answer: Any) -> Any:
    """COIN-M lists even single rows."""
    return answer[0] if isinstance(answer, list) else answer


def total(rows: list[Any], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), NOTHING)


async def reads_the_market(ask: Ask, product: str, now_ms: int) -> None:
    symbol = SYMBOL[product]
    assert abs((await ask("time"))["serverTime"] - now_ms) < 5_000
    listed = {row["symbol"]: row for row in (await ask("info"))["symbols"]}
    kinds = {row["filterType"] for row in listed[symbol]["filters"]}
    assert {"PRICE_FILTER", "LOT_SIZE"} <= kinds
    book = await ask("depth", symbol=symbol, limit=20)
    assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert book["lastUpdateId"] > 0
    trades = await ask("trades", symbol=symbol, limit=3)
    assert [row["id"] for row in trades] == sorted(row["id"] for row in trades)
    bars = await ask("klines", symbol=symbol, interval="1m", limit=3)
    starts = [row[0] for row in bars]
    assert [later - sooner for sooner, later in pairwise(starts)] == [60_000, 60_000]
    assert all(Decimal(row[3]) <= Decimal(row[4]) <= Decimal(row[2]) for row in bars)
    day = one(await ask("day", symbol=symbol))
    assert Decimal(day["lowPrice"]) <= Decimal(day["lastPrice"]) <= Decimal(day["highPrice"])
    best = one(await ask("best", symbol=symbol))
    assert Decimal(best["bidPrice"]) < Decimal(best["askPrice"])
    if product == "spot":
        return
    mark = one(await ask("premium", symbol=symbol))
    assert mark["nextFundingTime"] > now_ms
    assert abs(Decimal(mark["markPrice"]) / Decimal(best["bidPrice"]) - 1) < Decimal("0.02")
    paid = await ask("funding", symbol=symbol, limit=3)
    times = [row["fundingTime"] for row in paid]
    assert len(times) == 3
    assert times == sorted(times)
    assert {time % 28_800_000 for time in times} == {0}


async def leads_an_order_through_its_life(
    ask: Ask, product: str, price: str, name: str
) -> None:
    symbol = SYMBOL[product]
    mine = {"symbol": symbol, "origClientOrderId": name}
    limit = {"symbol": symbol, "side": "BUY", "price": price}
    placed = await ask(
        "place", **limit, type="LIMIT", timeInForce="GTC", quantity=SIZE[product],
        newClientOrderId=name,
    )
    assert (placed["status"], placed["clientOrderId"]) == ("NEW", name)
    found = await ask("query", **mine)
    assert (found["orderId"], found["status"]) == (placed["orderId"], "NEW")
    if product != "spot":
        changed = await ask("amend", **mine, side="BUY", quantity=DOUBLE[product], price=price)
        assert changed["orderId"] == placed["orderId"]
        assert Decimal(changed["origQty"]) == Decimal(DOUBLE[product])
    opened = await ask("opened", symbol=symbol)
    assert name in [row["clientOrderId"] for row in opened]
    ended = await ask("cancel", **mine)
    assert (ended["status"], ended["orderId"]) == ("CANCELED", placed["orderId"])
    assert (await ask("query", **mine))["status"] == "CANCELED"
    for at in range(2):
        await ask(
            "place", **limit, type="LIMIT", timeInForce="GTC", quantity=SIZE[product],
            newClientOrderId=f"{name}-{at}",
        )
    assert len(await ask("opened", symbol=symbol)) == 2
    await ask("cancel_all", symbol=symbol)
    assert await ask("opened", symbol=symbol) == []


async def counts_a_spot_trade(ask: Ask) -> None:
    """What was received less its fee, what was paid, and nothing else."""

    async def money() -> dict[str, Decimal]:
        rows = (await ask("balance"))["balances"]
        return {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in rows}

    before = await money()
    bought = await trade(ask, "spot", "BUY", "0.01")
    held = await money()
    assert {row["commissionAsset"] for row in bought} == {"BTC"}
    assert held["BTC"] - before["BTC"] == Decimal("0.01") - total(bought, "commission")
    assert before["USDT"] - held["USDT"] == total(bought, "quoteQty")
    assert total(bought, "commission") == Decimal("0.01") * Decimal(TAKER["spot"])
    sold = await trade(ask, "spot", "SELL", "0.01")
    after = await money()
    assert {row["commissionAsset"] for row in sold} == {"USDT"}
    assert held["BTC"] - after["BTC"] == Decimal("0.01")
    assert after["USDT"] - held["USDT"] == total(sold, "quoteQty") - total(sold, "commission")
    assert {name: after[name] for name in after if name not in ("BTC", "USDT")} == {
        name: before[name] for name in before if name not in ("BTC", "USDT")
    }


async def trade(ask: Ask, product: str, side: str, size: str, **more: Any) -> list[Any]:
    """Trades at market and gives the fills."""
    symbol = SYMBOL[product]
    made = await ask("place", symbol=symbol, side=side, type="MARKET", quantity=size, **more)
    fills = await ask("fills", symbol=symbol)
    mine = [row for row in fills if row["orderId"] == made["orderId"]]
    assert total(mine, "qty") == Decimal(size)
    return mine


async def position(ask: Ask, product: str, side: str = "BOTH") -> Any:
    rows = await ask("positions", **({"symbol": SYMBOL[product]} if product == "usdm" else {}))
    found = [
        row
        for row in rows
        if row["symbol"] == SYMBOL[product] and row["positionSide"] == side
    ]
    return found[0] if found else {"positionAmt": "0", "entryPrice": "0"}


async def counts_a_position(ask: Ask, product: str) -> None:
    """Fees and profit to the last digit, from the wallet, the fills and the income history."""
    coin, size = COIN[product], SIZE[product]

    async def money() -> Decimal:
        rows = await ask("balance")
        return next(Decimal(row["balance"]) for row in rows if row["asset"] == coin)

    before = await money()
    assert Decimal((await position(ask, product))["positionAmt"]) == 0
    opening = await trade(ask, product, "BUY", size)
    fee = total(opening, "commission")
    value = total(opening, "quoteQty" if product == "usdm" else "baseQty")
    assert abs(fee - value * Decimal(TAKER[product])) < Decimal("0.00000003")
    assert before - await money() == fee
    held = await position(ask, product)
    assert Decimal(held["positionAmt"]) == Decimal(size)
    if len(opening) == 1:
        assert abs(Decimal(held["entryPrice"]) - Decimal(opening[0]["price"])) < Decimal("0.06")
    closing = await trade(ask, product, "SELL", size, reduceOnly="true")
    profit = total(closing, "realizedPnl")
    after = await money()
    assert after - before == profit - fee - total(closing, "commission")
    assert Decimal((await position(ask, product))["positionAmt"]) == 0
    ids = {str(row["id"]) for row in opening + closing}
    rows = [row for row in await ask("income") if str(row["tradeId"]) in ids]
    assert {row["incomeType"] for row in rows} == {"COMMISSION", "REALIZED_PNL"}
    assert total(rows, "income") == after - before
    assert {row["asset"] for row in rows} == {coin}


async def sends_batches(
    ask: Ask, product: str, price: str, name: str, *, lists: bool = True
) -> None:
    """`lists`: whether the client can also cancel several by one call."""
    symbol = SYMBOL[product]
    order = {"symbol": symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    order |= {"quantity": SIZE[product], "price": price}
    off_grid = {**order, "price": "50000.05"}
    answers = await ask(
        "batch",
        batchOrders=[
            {**order, "newClientOrderId": f"{name}-a"},
            {**off_grid, "newClientOrderId": f"{name}-b"},
            {**order, "newClientOrderId": f"{name}-c"},
        ],
    )
    assert [row.get("status") for row in answers] == ["NEW", None, "NEW"]
    assert answers[1]["code"] == -4014
    first = answers[0]["orderId"]
    if lists:
        gone = await ask("batch_cancel", symbol=symbol, orderIdList=[first])
        assert gone[0]["status"] == "CANCELED"
    else:
        await ask("cancel", symbol=symbol, orderId=first)
    assert [row["clientOrderId"] for row in await ask("opened", symbol=symbol)] == [f"{name}-c"]
    done = await ask("cancel_all", symbol=symbol)
    assert done["code"] == 200  # the venue's word for success here
    assert await ask("opened", symbol=symbol) == []


async def sets_terms(ask: Ask, product: str) -> None:
    """Leverage, fee rates and position mode, written and read back."""
    symbol, size = SYMBOL[product], SIZE[product]
    for leverage in (7, 9):
        answer = await ask("leverage", symbol=symbol, leverage=leverage)
        assert answer["leverage"] == leverage
    rows = await ask("settings", symbol=symbol)
    mine = next(row for row in rows if row["symbol"] == symbol)
    assert int(mine["leverage"]) == 9
    fees = await ask("fees", symbol=symbol)
    assert Decimal(fees["takerCommissionRate"]) == Decimal(TAKER[product])
    assert Decimal(fees["makerCommissionRate"]) == Decimal("0.0002")
    assert (await ask("mode"))["dualSidePosition"] is False
    await ask("set_mode", dualSidePosition="true")
    assert (await ask("mode"))["dualSidePosition"] is True
    await trade(ask, product, "BUY", DOUBLE[product], positionSide="LONG")
    await trade(ask, product, "SELL", size, positionSide="SHORT")
    both = await position(ask, product, "LONG"), await position(ask, product, "SHORT")
    assert [Decimal(row["positionAmt"]) for row in both] == [
        Decimal(DOUBLE[product]),
        -Decimal(size),
    ]
    await trade(ask, product, "SELL", DOUBLE[product], positionSide="LONG")
    await trade(ask, product, "BUY", size, positionSide="SHORT")
    await ask("set_mode", dualSidePosition="false")
    assert (await ask("mode"))["dualSidePosition"] is False

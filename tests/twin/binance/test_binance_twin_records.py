"""The twin's records: income explains every futures balance, and lists keep to their windows."""

from decimal import Decimal
from typing import Any

import pytest
from twinbustle import bustle

DAY_MS = 86_400_000
BALANCES = {"usdm": "/fapi/v3/balance", "coinm": "/dapi/v1/balance"}
INCOME = {"usdm": "/fapi/v1/income", "coinm": "/dapi/v1/income"}
TRADES = {
    "spot": "/api/v3/myTrades",
    "usdm": "/fapi/v1/userTrades",
    "coinm": "/dapi/v1/userTrades",
}


async def income_of(bare: Any, product: str, limit: int) -> list[dict[str, Any]]:
    """Every row, page by page: the next one begins at the last moment of the one before."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    start = bare.now_ms - DAY_MS
    while True:
        asked = {"startTime": start, "limit": limit}
        status, rows, _ = await bare.signed("GET", INCOME[product], **asked)
        assert status == 200 and len(rows) <= limit
        seen |= {(row["incomeType"], str(row["tranId"])): row for row in rows}
        if len(rows) < limit:
            return list(seen.values())
        start = rows[-1]["time"]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_income_sums_to_every_balance_whatever_happened(bare: Any, seed: int) -> None:
    done = bustle(bare.running.twin.exchange, bare.running.twin.clock, seed, steps=300)
    assert len(done) == 5, done
    kinds: dict[str, None] = {}
    for product, path in BALANCES.items():
        rows = await income_of(bare, product, 1_000)
        totals: dict[str, Decimal] = {}
        for row in rows:
            kinds[row["incomeType"]] = None
            totals[row["asset"]] = totals.get(row["asset"], Decimal(0)) + Decimal(row["income"])
        _, balances, _ = await bare.signed("GET", path)
        held = {row["asset"]: Decimal(row["balance"]) for row in balances}
        assert totals == {asset: total for asset, total in held.items() if asset in totals}
        assert not any(total for asset, total in held.items() if asset not in totals)
        stamps = [row["time"] for row in rows]
        assert stamps == sorted(stamps)
    assert {"REALIZED_PNL", "COMMISSION", "FUNDING_FEE", "INSURANCE_CLEAR", "TRANSFER",
            "DELIVERED_SETTELMENT", "COMMISSION_REBATE", "WELCOME_BONUS", "BFUSD_REWARD",
            "FEE_RETURN"} >= set(kinds) and len(kinds) >= 9  # fmt: skip


async def test_trades_by_id_are_every_fill_in_pages(bare: Any) -> None:
    exchange = bare.running.twin.exchange
    bustle(exchange, bare.running.twin.clock, 5)
    for name, floor in exchange.floors.items():
        market, symbol = floor.instrument.market, floor.instrument.symbol
        found: list[int] = []
        while True:
            first = found[-1] + 1 if found else 0
            asked = {"symbol": symbol, "fromId": first, "limit": 5}
            status, rows, _ = await bare.signed("GET", TRADES[market], **asked)
            assert status == 200, rows
            found += [row["id"] for row in rows]
            if len(rows) < 5:
                break
        fills = exchange.fills(bare.account.key, instrument=name)
        assert found == [fill.trade_id for fill in fills]


@pytest.mark.parametrize(("market", "days"), [("spot", 1), ("usdm", 7)])
async def test_a_question_about_trades_spans_so_much_and_no_more(
    bare: Any, market: str, days: int
) -> None:
    now, path = bare.now_ms, TRADES[market]
    span = {"symbol": "BTCUSDT", "endTime": now}
    status, _, _ = await bare.signed("GET", path, startTime=now - days * DAY_MS, **span)
    assert status == 200
    status, body, _ = await bare.signed("GET", path, startTime=now - days * DAY_MS - 1, **span)
    assert (status, body["code"]) == (400, -1127)
    status, body, _ = await bare.signed("GET", path, startTime=now + 1, **span)
    assert (status, body["code"]) == (400, -1128)
    status, body, _ = await bare.signed("GET", path, fromId=1, **span)
    assert (status, body["code"]) == (400, -1128)


async def test_one_bound_opens_a_window_and_none_the_latest_of_futures(bare: Any) -> None:
    exchange, clock = bare.running.twin.exchange, bare.running.twin.clock
    bustle(exchange, clock, 6, steps=60)
    name = "binance:usdm:ETHUSDT"
    count = len(exchange.fills(bare.account.key, instrument=name))
    assert count
    path, now = TRADES["usdm"], bare.now_ms
    for asked, due in (
        ({}, count),
        ({"startTime": now - DAY_MS}, count),
        ({"startTime": now - 8 * DAY_MS}, 0),
        ({"endTime": now}, count),
        ({"endTime": now - DAY_MS}, 0),
    ):
        _, rows, _ = await bare.signed("GET", path, symbol="ETHUSDT", limit=1000, **asked)
        assert len(rows) == due, asked


async def test_gifts_and_interest_are_an_adjustment_on_the_stream(bare: Any) -> None:
    exchange, key = bare.running.twin.exchange, bare.account.key
    _, answer, _ = await bare.ask("POST", "/fapi/v1/listenKey")
    async with bare.socket(f"/private/ws/{answer['listenKey']}") as ear:
        for kind, word in (("bonus", "ADJUSTMENT"), ("deposit", "DEPOSIT")):
            now = bare.running.twin.clock()
            exchange.move_money(key, "USDT", Decimal("0.5"), kind, now, wallet="usdm")
            told = (await ear.hear_until("ACCOUNT_UPDATE"))["a"]
            assert told["m"] == word and told["B"][0]["bc"] == "0.50000000"
            total = exchange.balance(key, "usdm", "USDT").total
            assert Decimal(told["B"][0]["wb"]) == total

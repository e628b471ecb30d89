"""The twin's records: the log explains every balance, and lists keep to the venue's windows."""

from decimal import Decimal
from typing import Any

import pytest
from twinbustle import bustle

DAY_MS = 86_400_000


async def pages(venue: Any, path: str, query: str, limit: int) -> list[dict[str, Any]]:
    """Every row behind a question, page by page, newest first."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        answer = await venue.get(path, f"{query}&limit={limit}{more}")
        assert answer["retCode"] == 0, answer
        shown = answer["result"]["list"]
        assert len(shown) <= limit
        rows += shown
        cursor = answer["result"]["nextPageCursor"]
        if not cursor:
            return rows


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_log_sums_to_every_balance_whatever_happened(venue: Any, seed: int) -> None:
    done = bustle(venue.exchange, venue.clock, seed)
    assert len(done) == 5, done
    rows = await pages(venue, "/v5/account/transaction-log", "accountType=UNIFIED", 50)
    assert {"TRADE", "SETTLEMENT", "LIQUIDATION", "ADL", "DELIVERY", "INTEREST", "AIRDROP",
            "FEE_REFUND", "TRANSFER_IN", "TRANSFER_OUT"} == {row["type"] for row in rows}
    assert len({row["id"] for row in rows}) == len(rows)
    totals: dict[str, Decimal] = {}
    for row in reversed(rows):
        parts = (row["cashFlow"], row["funding"] or "0", row["fee"])
        cash, funding, fee = (Decimal(part) for part in parts)
        assert Decimal(row["change"]) == cash + funding - fee
        totals[row["currency"]] = totals.get(row["currency"], Decimal(0)) + Decimal(row["change"])
        assert Decimal(row["cashBalance"]) == totals[row["currency"]]
    query = f"accountType=UNIFIED&coin={','.join(totals)}"
    wallet = (await venue.get("/v5/account/wallet-balance", query))["result"]["list"][0]
    assert totals == {row["coin"]: Decimal(row["walletBalance"]) for row in wallet["coin"]}


async def test_the_list_of_executions_is_every_fill_in_pages(venue: Any) -> None:
    bustle(venue.exchange, venue.clock, 4)
    key = venue.exchange.accounts()[0].key
    for category in ("spot", "linear"):
        rows = await pages(venue, "/v5/execution/list", f"category={category}", 7)
        fills = [row for row in rows if row["execType"] != "Funding"]
        true = venue.exchange.fills(key, market=category)
        assert len(fills) == len(true) and len({row["execId"] for row in rows}) == len(rows)
        stamps = [int(row["execTime"]) for row in rows]
        assert stamps == sorted(stamps, reverse=True)


@pytest.mark.parametrize("path", ["/v5/execution/list", "/v5/account/transaction-log"])
async def test_a_question_spans_seven_days_and_no_more(venue: Any, path: str) -> None:
    now = venue.now_ms()
    head = f"category=linear&accountType=UNIFIED&endTime={now}"
    fine = await venue.get(path, f"{head}&startTime={now - 7 * DAY_MS}")
    assert fine["retCode"] == 0
    long = await venue.get(path, f"{head}&startTime={now - 7 * DAY_MS - 1}")
    assert long["retCode"] == 10001 and "7 days" in long["retMsg"]


async def test_money_from_outside_is_told_by_the_wallet_topic(venue: Any) -> None:
    line = await venue.login("/v5/private", "wallet")
    key = venue.exchange.accounts()[0].key
    before = venue.exchange.balance(key, "unified", "USDT").total
    venue.exchange.move_money(key, "USDT", Decimal("-0.5"), "interest", venue.clock())
    told = await line.topic("wallet")
    (coin,) = told["data"][0]["coin"]
    assert (coin["coin"], Decimal(coin["walletBalance"])) == ("USDT", before - Decimal("0.5"))

"""Ledgers and fills of the KuCoin twin: complete, within the venue's ranges, with its words."""

from decimal import Decimal
from typing import Any

KEY = "simkey0001"
DAY_NS = 86_400_000_000_000
DAY_MS = 86_400_000
LEDGER = "/api/v1/hf/accounts/ledgers"
HISTORY = "/api/v1/transaction-history"
SPOT_WORDS = {
    "deposit": "DEPOSIT", "withdrawal": "WITHDRAWAL", "transfer_in": "TRANSFER",
    "transfer_out": "TRANSFER", "rebate": "RETURNED_FEES", "bonus": "OTHER",
    "interest": "OTHER", "correction": "OTHER",
}  # fmt: skip


def move(venue: Any, wallet: str, kind: str, amount: str) -> None:
    at = venue.clock()
    venue.exchange.move_money(KEY, "USDT", Decimal(amount), kind, at, wallet=wallet)


async def test_the_spot_ledger_sums_to_the_account_with_a_word_for_each_movement(
    venue: Any,
) -> None:
    _, ask = await venue.touch()
    await venue.post("/api/v1/hf/orders", venue.spot("a1", price=str(ask + 100)))
    for kind in SPOT_WORDS:
        move(venue, "spot", kind, "-0.75" if kind == "correction" else "1.25")
    rows = await venue.get(f"{LEDGER}?currency=USDT&limit=200")
    signs = {"in": 1, "out": -1}
    total = sum(signs[row["direction"]] * Decimal(row["amount"]) for row in rows)
    (account,) = await venue.get("/api/v1/accounts?type=trade&currency=USDT")
    assert total == Decimal(account["balance"])
    assert [row["bizType"] for row in reversed(rows)][-8:] == list(SPOT_WORDS.values())
    assert rows[0]["direction"] == "out"
    pages = await venue.get("/api/v1/accounts/ledgers?currency=USDT&pageSize=100")
    assert [row["id"] for row in pages["items"]] == [row["id"] for row in rows]


async def test_the_futures_ledger_sums_to_the_wallet_and_knows_transfers_only(
    venue: Any,
) -> None:
    _, ask = await venue.touch(spot=False)
    order = venue.contract("f1", price=str(ask + 100))
    await venue.post("/api/v1/orders", order, futures=True)
    for kind in SPOT_WORDS:
        move(venue, "futures", kind, "-0.75" if kind == "correction" else "1.25")
    found = await venue.get(f"{HISTORY}?currency=USDT&maxCount=100", futures=True)
    rows = found["dataList"]
    view = await venue.get("/api/v1/account-overview?currency=USDT", futures=True)
    total = sum(Decimal(str(row["amount"])) for row in rows)
    assert total == Decimal(str(view["marginBalance"]))
    assert {row["type"] for row in rows} == {
        "Deposit", "Withdrawal", "TransferIn", "TransferOut", "RealisedPNL"
    }  # fmt: skip


async def test_the_spot_ledger_reaches_three_days_back_whatever_is_asked(venue: Any) -> None:
    move(venue, "spot", "bonus", "1")
    venue.clock.offset += 4 * DAY_NS
    move(venue, "spot", "bonus", "2")
    rows = await venue.get(f"{LEDGER}?startAt=0")
    assert [row["amount"] for row in rows if row["bizType"] == "OTHER"] == ["2"]


async def test_spot_fills_reach_a_week_back(venue: Any) -> None:
    _, ask = await venue.touch()
    await venue.post("/api/v1/hf/orders", venue.spot("a1", price=str(ask + 100)))
    query = "/api/v1/hf/fills?symbol=BTC-USDT"
    assert (await venue.get(query))["items"]
    venue.clock.offset += 8 * DAY_NS
    assert not (await venue.get(query))["items"]


async def test_futures_fills_are_told_by_the_week_and_one_bound_makes_a_day(venue: Any) -> None:
    _, ask = await venue.touch(spot=False)
    await venue.post("/api/v1/orders", venue.contract("f1", price=str(ask + 100)), futures=True)
    then = venue.now_ms()

    async def count(query: str) -> int:
        page = await venue.get(f"/api/v1/fills?{query}", futures=True)
        return int(page["totalNum"])

    found = await count(f"startAt={then - 1000}")
    assert found >= 1
    assert await count(f"startAt={then - 2 * DAY_MS}") == 0  # a day from there
    assert await count(f"endAt={then + 2 * DAY_MS}") == 0
    assert await count(f"startAt={then - DAY_MS}&endAt={then + DAY_MS}") == found
    assert await count(f"startAt={then - DAY_MS}&endAt={then + 8 * DAY_MS}") == 0  # the last week
    venue.clock.offset += 2 * DAY_NS
    assert await venue.get("/api/v1/recentFills", futures=True) == []


async def test_an_announced_delisting_has_a_date_in_the_contract(venue: Any) -> None:
    row = await venue.public("/futures/api/v1/contracts/XBTUSDTM")
    assert row["expireDate"] is None
    due = venue.clock() + DAY_NS
    venue.exchange.delist("kucoin:futures:XBTUSDTM", venue.clock(), due=due)
    row = await venue.public("/futures/api/v1/contracts/XBTUSDTM")
    assert (row["expireDate"], row["type"], row["status"]) == (due // 1_000_000, "FFWCSX", "Open")

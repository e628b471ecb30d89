"""The wallet of the BitMEX twin by both of its records: its own history, and the executions."""

import asyncio
from decimal import Decimal
from typing import Any

from bitmexwire import KEY

from oneprice.twin.contract import BookUpdate, PriceUpdate

SYMBOL = "bitmex:derivatives:XBTUSD"
DAY_NS = 86_400_000_000_000
KINDS = {
    "deposit": ("Deposit", ""), "withdrawal": ("Withdrawal", ""), "transfer_in": ("Transfer", ""),
    "transfer_out": ("Transfer", ""), "rebate": ("AffiliatePayout", ""),
    "bonus": ("Transfer", "Signup bonus"), "correction": ("Transfer", "Correction"),
    "interest": ("Interest", ""),
}  # fmt: skip


async def wallet_of(venue: Any) -> int:
    return int((await venue.get("/user/margin", currency="XBt"))["walletBalance"])


async def trade_at_random(venue: Any) -> None:
    await venue.order(ordType="Market", orderQty=3000)
    await venue.order(ordType="Market", orderQty=1000, side="Sell")
    for kind in KINDS:
        amount = Decimal("-0.0005" if kind == "correction" else "0.001")
        venue.exchange.move_money(KEY, "XBT", amount, kind, venue.clock())
    venue.exchange.force_adl(KEY, SYMBOL, 5, venue.clock())


async def test_the_wallets_history_sums_to_the_wallet_with_a_word_for_each_movement(
    venue: Any,
) -> None:
    await trade_at_random(venue)
    rows = await venue.get("/user/walletHistory", currency="XBt")
    assert sum(int(row["amount"]) for row in rows) == await wallet_of(venue)
    words = {(row["transactType"], row["text"]) for row in rows}
    assert words == {*KINDS.values(), ("RealisedPNL", "")}


async def test_executions_and_the_rest_of_the_history_sum_to_the_wallet_as_well(
    venue: Any,
) -> None:
    await trade_at_random(venue)
    await asyncio.sleep(0.1)
    done = await venue.get("/execution/tradeHistory", count=500)
    moved = sum(int(row.get("realisedPnl") or 0) - int(row["execComm"]) for row in done)
    rows = await venue.get("/user/walletHistory", currency="XBt")
    others = sum(int(row["amount"]) for row in rows if row["transactType"] != "RealisedPNL")
    assert moved + others == await wallet_of(venue)


async def test_what_the_insurance_fund_gave_is_an_execution_without_a_size(venue: Any) -> None:
    at = venue.clock()
    venue.exchange.set_margin_mode(KEY, SYMBOL, "isolated", at)
    await venue.order(ordType="Market", orderQty=100_000)
    bid, _ = await venue.touch()
    price = Decimal(bid) * Decimal("0.6")
    update = PriceUpdate(instrument=SYMBOL, mark=price, index=price)
    venue.exchange.apply(update, venue.clock())
    low = int(price * 2)  # half a dollar a tick: nobody bids near the price it was bought at
    empty = BookUpdate(
        instrument=SYMBOL, bids=((low, 10_000),), asks=((low + 1, 10_000),), full=True
    )
    venue.exchange.apply(empty, venue.clock())
    venue.exchange.force_liquidation(KEY, SYMBOL, 0, venue.clock())
    await asyncio.sleep(0.3)
    kinds = {row.kind for row in venue.exchange.log(KEY, "margin")}
    assert {"liquidation", "insurance"} <= kinds
    done = await venue.get("/execution/tradeHistory", filter='{"execType":"Bankruptcy"}')
    given = [row for row in venue.exchange.log(KEY, "margin") if row.kind == "insurance"]
    assert [-int(row["execComm"]) for row in done] == [
        int(row.change.scaleb(8)) for row in given
    ]
    assert all(row["lastQty"] == 0 for row in done)
    rows = await venue.get("/user/walletHistory", currency="XBt")
    assert sum(int(row["amount"]) for row in rows) == await wallet_of(venue)


async def test_an_announced_delisting_has_a_date_in_the_instrument(venue: Any) -> None:
    (row,) = await venue.get("/instrument", symbol="XBTUSD")
    assert row["expiry"] is None
    due = venue.clock() + DAY_NS
    venue.exchange.delist(SYMBOL, venue.clock(), due=due)
    (row,) = await venue.get("/instrument", symbol="XBTUSD")
    assert row["expiry"] == row["settle"] and row["expiry"]
    assert row["state"] == "Open"

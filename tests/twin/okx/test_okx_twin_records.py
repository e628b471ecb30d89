"""The bills of the OKX twin: complete, in pages, and with the venue's words for each movement."""

from decimal import Decimal
from typing import Any

KEY = "simkey0001"
DAY_NS = 86_400_000_000_000
KINDS = {
    "deposit": ("1", "11"), "withdrawal": ("1", "12"), "transfer_in": ("1", "11"),
    "transfer_out": ("1", "12"), "interest": ("7", "9"), "rebate": ("1", "200"),
    "bonus": ("1", "200"), "correction": ("1", "202"),
}  # fmt: skip


def move(venue: Any, kind: str, amount: str, coin: str = "USDT") -> None:
    venue.exchange.move_money(KEY, coin, Decimal(amount), kind, venue.clock())


async def test_every_movement_is_a_bill_of_the_right_type_and_they_sum_to_the_cash(
    venue: Any,
) -> None:
    await venue.order(sz="3")
    for kind in KINDS:
        move(venue, kind, "-0.75" if kind == "correction" else "1.25")
    move(venue, "interest", "-0.5")
    bills = await venue.rows("account/bills", "ccy=USDT")
    cash = (await venue.rows("account/balance", "ccy=USDT"))[0]["details"][0]["cashBal"]
    assert sum(Decimal(row["balChg"]) for row in bills) == Decimal(cash)
    words = [(row["type"], row["subType"]) for row in reversed(bills)]
    assert words[-9:] == [*KINDS.values(), ("7", "9")]
    for older, newer in zip(bills[1:], bills, strict=False):
        assert Decimal(newer["bal"]) == Decimal(older["bal"]) + Decimal(newer["balChg"])


async def test_bills_are_found_by_their_sub_type_and_say_which_way_a_transfer_went(
    venue: Any,
) -> None:
    move(venue, "transfer_out", "7")
    (row,) = await venue.rows("account/bills", "type=1&subType=12")
    assert (row["balChg"], row["from"], row["to"]) == ("-7", "18", "6")
    known = (await venue.rows("account/subtypes"))
    assert {"1", "7"} <= {one["type"] for one in known}


async def test_bills_older_than_a_week_are_in_the_archive_alone(venue: Any) -> None:
    move(venue, "bonus", "1")
    venue.clock.offset += 8 * DAY_NS
    assert not [row for row in await venue.rows("account/bills") if row["subType"] == "200"]
    assert [row for row in await venue.rows("account/bills-archive") if row["subType"] == "200"]


async def test_a_liquidation_bears_one_trade_number_in_fills_and_bills(venue: Any) -> None:
    await venue.order(sz="3")
    venue.exchange.force_liquidation(KEY, "okx:swap:BTC-USDT-SWAP", 0, venue.clock())
    fills = await venue.rows("trade/fills", "instType=SWAP&limit=1")
    bills = await venue.rows("account/bills", "type=5")
    assert fills[0]["tradeId"].startswith("-")
    assert fills[0]["tradeId"] in {row["tradeId"] for row in bills}


async def test_money_that_moves_by_itself_is_pushed_by_its_own_name(venue: Any) -> None:
    line = await venue.login({"channel": "balance_and_position"})
    await line.data("balance_and_position")
    move(venue, "interest", "-0.5")
    push = (await line.data("balance_and_position"))["data"][0]
    assert push["eventType"] == "interest_deduction"
    move(venue, "bonus", "2")
    push = (await line.data("balance_and_position"))["data"][0]
    assert push["eventType"] == "transferred"


async def test_an_announced_delisting_has_a_date_in_the_list(venue: Any) -> None:
    due = venue.clock() + DAY_NS
    venue.exchange.delist("okx:swap:BTC-USDT-SWAP", venue.clock(), due=due)
    query = "instType=SWAP&instId=BTC-USDT-SWAP"
    (row,) = await venue.rows("public/instruments", query)
    assert (row["expTime"], row["state"]) == (str(due // 1_000_000), "live")

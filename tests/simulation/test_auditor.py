"""The auditor keeps books of its own; here against sums worked out by hand."""

from decimal import Decimal

import msgspec
import pytest

from oneprice.app.world.auditor import (
    Held,
    Told,
    hear,
    judge_orders,
    keep_books,
    wallets_differ,
)
from oneprice.model.commands import PlaceOrder, TimeInForce
from oneprice.model.events import OrderEnded, OrderFilled, OrderRefused
from oneprice.model.instrument import Instrument
from oneprice.model.units import Lots, Nanos, Side, Ticks
from oneprice.twin.contract import Fill, FundingSettled, Kind, Order, SelfTrade, State
from oneprice.twin.stock import default_listings

LISTED = {one.instrument.id: one.instrument for one in default_listings("bybit")}
SPOT, LINEAR = "bybit:spot:BTCUSDT", "bybit:linear:BTCUSDT"
WALLETS = {"spot": "unified", "linear": "unified"}


def fill(
    instrument: str, side: Side, ticks: int, lots: int, *, fee: str = "0", asset: str = "USDT"
) -> Fill:
    zero = Decimal(0)
    return Fill(
        id=1, trade_id=1, order_id=1, client_id="s1g1o1", account="key", instrument=instrument,
        side=side, ticks=ticks, lots=lots, value=zero, fee=Decimal(fee), fee_asset=asset,
        fee_rate=zero, maker=False, realised=zero, closed_lots=0, leaves_lots=0, mark=zero,
        index=zero, sequence=0, at=0,
    )  # fmt: skip


def order(lots: int = 10, ticks: int = 600_000, state: State = State.FILLED) -> Order:
    zero = Decimal(0)
    return Order(
        id=1, account="key", instrument=LINEAR, client_id="s1g1o1", side=Side.BUY,
        kind=Kind.LIMIT, time_in_force=TimeInForce.IOC, ticks=ticks, lots=lots, filled_lots=lots,
        filled_value=zero, fees=zero, fee_asset="USDT", average=zero, state=state, reason="",
        reduce_only=False, position_index=0, self_trade=SelfTrade.NONE, quote_amount=None,
        created_at=0, updated_at=0, amended=0, echo={},
    )  # fmt: skip


def wish(order_id: str = "s1g1o1", lots: int = 10, ticks: int = 600_000) -> PlaceOrder:
    return PlaceOrder(
        order_id=order_id, group="s1g1", instrument=LINEAR, side=Side.BUY, ticks=Ticks(ticks),
        lots=Lots(lots),
    )  # fmt: skip


def told(lots: int = 10, fill_id: str = "1") -> OrderFilled:
    return OrderFilled(
        at=Nanos(0), order_id="s1g1o1", instrument=LINEAR, fill_id=fill_id, side=Side.BUY,
        ticks=Ticks(600_000), lots=Lots(lots), fee=Decimal(0), fee_asset="USDT",
    )  # fmt: skip


def test_a_spot_buy_moves_coins_money_and_the_fee() -> None:
    bought = fill(SPOT, Side.BUY, 600_000, 100_000, fee="0.0001", asset="BTC")
    books = keep_books({("unified", "USDT"): Decimal(10_000)}, LISTED, WALLETS, [bought])
    assert books.wallets == {
        ("unified", "USDT"): Decimal(4_000),
        ("unified", "BTC"): Decimal("0.0999"),
    }


def test_a_derivative_realises_by_average_cost_and_turns_round() -> None:
    happened = [
        fill(LINEAR, Side.BUY, 600_000, 100),
        fill(LINEAR, Side.BUY, 620_000, 100),  # 0.2 at 61000
        fill(LINEAR, Side.SELL, 630_000, 300),  # earns 2000 * 0.2, short 0.1 at 63000
        fill(LINEAR, Side.BUY, 640_000, 50),  # loses 1000 * 0.05
    ]
    books = keep_books({}, LISTED, WALLETS, happened)
    assert books.wallets["unified", "USDT"] == 400 - 50
    assert books.held[LINEAR] == Held(-50, Decimal(63_000))


def test_funding_is_paid_by_who_is_long() -> None:
    settled = FundingSettled(
        id=2, account="key", instrument=LINEAR, position_index=0, lots=100,
        rate=Decimal("0.0001"), mark=Decimal(60_000), value=Decimal(6_000), amount=Decimal("-0.6"),
        asset="USDT", at=0,
    )  # fmt: skip
    books = keep_books({}, LISTED, WALLETS, [fill(LINEAR, Side.BUY, 600_000, 100), settled])
    assert books.wallets["unified", "USDT"] == Decimal("-0.6")


def test_a_cent_that_nobody_explains_is_found() -> None:
    ours = {("unified", "USDT"): Decimal("10.01")}
    assert wallets_differ(ours, {("unified", "USDT"): Decimal(10)}, "auditor")
    assert not wallets_differ(ours, {("unified", "USDT"): Decimal("10.0100000001")}, "auditor")


def test_a_fill_told_twice_is_heard_once() -> None:
    heard = hear([told(4), told(4), told(6, "2")])
    assert heard["s1g1o1"].lots == 10


def judged(
    wishes: list[PlaceOrder], orders: list[Order], fills: list[Fill], heard: dict[str, Told]
) -> list[str]:
    return [rule for rule, _ in judge_orders(wishes, orders, fills, LISTED, heard)]


def test_an_order_that_went_as_wished_and_was_told_of_is_no_difference() -> None:
    filled = fill(LINEAR, Side.BUY, 599_900, 10)
    assert judged([wish()], [order()], [filled], hear([told()])) == []


@pytest.mark.parametrize(
    ("rule", "orders", "fills", "events"),
    [
        ("sent_once", [order(), order()], [fill(LINEAR, Side.BUY, 600_000, 10)], [told()]),
        ("as_wished", [order(lots=20)], [fill(LINEAR, Side.BUY, 600_000, 10)], [told()]),
        ("as_wished", [order(ticks=600_001)], [fill(LINEAR, Side.BUY, 600_000, 10)], [told()]),
        ("limit_price", [order()], [fill(LINEAR, Side.BUY, 600_001, 10)], [told()]),
        ("outcome", [order()], [fill(LINEAR, Side.BUY, 600_000, 10)], [told(9)]),
        ("outcome", [order()], [fill(LINEAR, Side.BUY, 600_000, 10)], []),
        ("outcome", [order(state=State.NEW)], [], [told()]),
        ("outcome", [], [], [told()]),
        (
            "outcome",
            [order()],
            [fill(LINEAR, Side.BUY, 600_000, 10)],
            [OrderRefused(at=Nanos(0), order_id="s1g1o1", reason="late")],
        ),
        (
            "outcome",
            [order()],
            [fill(LINEAR, Side.BUY, 600_000, 10)],
            [told(), OrderEnded(at=Nanos(0), order_id="s1g1o1", filled_lots=Lots(11), reason="")],
        ),
    ],
)
def test_whatever_went_otherwise_is_named(
    rule: str, orders: list[Order], fills: list[Fill], events: list[OrderFilled]
) -> None:
    assert judged([wish()], orders, fills, hear(events)) == [rule]


def test_an_order_nobody_wrote_down_is_named() -> None:
    stray = msgspec.structs.replace(order(), client_id="s1g9o9")
    assert judged([], [stray], [], {}) == ["journaled_first"]


def test_a_client_id_wished_twice_is_named() -> None:
    assert "sent_once" in judged([wish(), wish()], [], [], {})


def test_the_stock_is_what_these_sums_assume() -> None:
    spot: Instrument = LISTED[SPOT]
    linear: Instrument = LISTED[LINEAR]
    assert (spot.tick, spot.lot) == (Decimal("0.1"), Decimal("0.000001"))
    assert (linear.tick, linear.lot) == (Decimal("0.10"), Decimal("0.001"))

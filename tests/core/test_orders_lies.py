"""A venue that lies: what cannot be true is named, opens the clutch, and is not booked."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.core.orders import OrderState
from oneprice.core.strategy import Discrepancy
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.units import MILLI, Lots, Nanos, Side, Ticks
from tests.build import D, Script, World, a_card, a_leg, a_perp, a_ready_world, a_spot, an_intent

A, B, SPOT = a_perp("alpha"), a_perp("beta"), a_spot("alpha")


def a_world_with_an_order(*, spot: bool = False) -> tuple[World, str]:
    """One group of two legs, sent; the venues say nothing by themselves."""
    script = Script()
    world = a_ready_world([A, B, SPOT], [script])
    silent = (cmd.PlaceOrder, cmd.QueryOrder, cmd.CancelOrder)
    world.hooks.append(lambda c: isinstance(c, silent))
    first = a_leg(SPOT, Side.BUY, 6_000_100, 10_000) if spot else a_leg(A, Side.BUY, 600_010, 10)
    script.intents = [
        an_intent(first, a_leg(B, Side.SELL, 599_990, 10), card=a_card("1", "600"))
    ]
    world.tell(ev.FundingForecast(at=Nanos(world.now), instrument=A.id, rate=D(0), due=Nanos(1)))
    world.turn()
    return world, world.orders()[0].order_id


def a_fill(world: World, order_id: str, **changes: Any) -> ev.OrderFilled:
    facts: dict[str, Any] = {
        "at": Nanos(world.now),
        "order_id": order_id,
        "instrument": A.id,
        "fill_id": "f1",
        "side": Side.BUY,
        "ticks": Ticks(600_010),
        "lots": Lots(4),
        "fee": D("0.1"),
        "fee_asset": "USDT",
    }
    return ev.OrderFilled(**(facts | changes))


def found(world: World) -> list[str]:
    return [d.found for d in world.decisions if isinstance(d, Discrepancy)]


def books(world: World) -> tuple[Any, ...]:
    report = world.engine.report
    return report.positions(), report.balances(), report.profit(), report.equity_change()


def the_ledger_is_exact(world: World) -> None:
    ledger = world.engine._ledger
    assert all(ledger.total(asset) == 0 for asset in ledger.assets())
    assert world.engine.report.residual() == 0


IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "nothing": {"lots": Lots(0)},
    "negative": {"lots": Lots(-4)},
    "beyond the order": {"lots": Lots(11)},
    "without end": {"lots": Lots(10**40)},
    "free": {"ticks": Ticks(0)},
    "at a negative price": {"ticks": Ticks(-600_010)},
    "at a price without end": {"ticks": Ticks(10**40)},
    "of the other side": {"side": Side.SELL},
    "of another instrument": {"instrument": B.id},
    "of an instrument that nobody listed": {"instrument": "alpha:linear:XUSDT"},
}


@pytest.mark.parametrize("changes", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_an_impossible_fill_is_named_and_not_booked(changes: dict[str, Any]) -> None:
    world, order_id = a_world_with_an_order()
    before = books(world)
    world.tell(a_fill(world, order_id, **changes))
    assert len(found(world)) == 1 and world.engine.clutch.startswith("fill")
    assert books(world) == before
    order = world.engine._orders.get(order_id)
    assert order is not None and order.filled == 0
    the_ledger_is_exact(world)
    world.tell(a_fill(world, order_id))
    assert world.engine.report.positions() == {A.id: 4}, "the truth by the same id counts"


def test_the_same_lie_is_told_once() -> None:
    world, order_id = a_world_with_an_order()
    for _ in range(5):
        world.tell(a_fill(world, order_id, lots=Lots(-4)))
    assert len(found(world)) == 1


def test_what_a_stranger_traded_without_end_does_not_stop_the_books() -> None:
    world, _ = a_world_with_an_order()
    world.tell(a_fill(world, "", lots=Lots(10**40)))
    assert len(found(world)) == 1 and world.engine.report.positions() == {}
    the_ledger_is_exact(world)


@pytest.mark.parametrize(
    ("fee", "asset"),
    [
        ("60", "USDT"),  # a quarter of the notional of 240
        ("-60", "USDT"),
        ("0.001", "BTC"),  # 60 USDT
        ("1E+30", "USDT"),
        ("0.1234567890123456789012345678901234567", "USDT"),
        ("NaN", "USDT"),
        ("Infinity", "USDT"),
        ("0.1", ""),
    ],
)
def test_an_absurd_fee_is_named_and_the_fill_counts_without_it(fee: str, asset: str) -> None:
    world, order_id = a_world_with_an_order()
    world.tell(a_fill(world, order_id, fee=D(fee), fee_asset=asset))
    assert len(found(world)) == 1 and world.engine.clutch
    assert world.engine.report.positions() == {A.id: 4}
    assert world.engine.report.profit()["fees"] == 0
    the_ledger_is_exact(world)
    world.tell(a_fill(world, order_id))
    assert world.engine.report.profit()["fees"] == D("-0.1"), "the true fee is booked later"
    the_ledger_is_exact(world)


@pytest.mark.parametrize("fee", ["0.1", "-0.02", "0", "0.000000000000000001"])
def test_ordinary_fees_and_rebates_are_no_lies(fee: str) -> None:
    world, order_id = a_world_with_an_order()
    world.tell(a_fill(world, order_id, fee=D(fee)))
    assert found(world) == [] and world.engine.clutch == ""
    assert world.engine.report.profit()["fees"] == -D(fee)


def an_end(world: World, order_id: str, lots: int) -> ev.OrderEnded:
    return ev.OrderEnded(
        at=Nanos(world.now), order_id=order_id, filled_lots=Lots(lots), reason="cancelled"
    )


@pytest.mark.parametrize("lots", [11, -1, 10**40])
def test_an_impossible_end_is_named_and_the_order_is_asked_for(lots: int) -> None:
    world, order_id = a_world_with_an_order()
    asked = len([c for c in world.sent if isinstance(c, cmd.QueryOrder)])
    world.tell(an_end(world, order_id, lots))
    order = world.engine._orders.get(order_id)
    assert order is not None and order.state is OrderState.UNKNOWN
    assert len(found(world)) == 1 and world.engine.clutch
    assert len([c for c in world.sent if isinstance(c, cmd.QueryOrder)]) == asked + 1
    world.tell(an_end(world, order_id, 0))
    assert order.settled


@pytest.mark.parametrize("seen", ["a fill of 4", "an end with 4"])
def test_a_cumulative_quantity_that_goes_down_is_named(seen: str) -> None:
    world, order_id = a_world_with_an_order()
    world.tell(
        a_fill(world, order_id) if seen == "a fill of 4" else an_end(world, order_id, 4)
    )
    assert found(world) == []
    world.tell(an_end(world, order_id, 3))
    assert found(world) == ["ended with 3 lots, 4 were told before"]


def test_an_order_by_an_id_of_ours_that_was_never_sent_is_named() -> None:
    world, _ = a_world_with_an_order()
    world.tell(ev.OrderAccepted(at=Nanos(world.now), order_id="t1g9o1", live=True))
    world.tell(ev.OrderAccepted(at=Nanos(world.now), order_id="somebody-elses", live=True))
    assert found(world) == ["t1g9o1 was never sent"] and world.engine.clutch


def test_a_doubled_fill_that_contradicts_the_first_is_named_and_changes_nothing() -> None:
    world, order_id = a_world_with_an_order()
    world.tell(a_fill(world, order_id))
    before = books(world)
    world.tell(a_fill(world, order_id))
    assert found(world) == [] and books(world) == before
    world.tell(a_fill(world, order_id, lots=Lots(5)))
    world.tell(a_fill(world, order_id, ticks=Ticks(600_020)))
    assert len(found(world)) == 2 and books(world) == before


def test_a_fee_told_later_corrects_the_estimate_once() -> None:
    world, order_id = a_world_with_an_order()
    world.tell(a_fill(world, order_id, fee=D("0.12"), fee_known=False))
    assert world.engine.report.profit()["fees"] == D("-0.12")
    for _ in range(2):
        world.tell(a_fill(world, order_id, fee=D("0.1")))
        assert world.engine.report.profit()["fees"] == D("-0.1")
    world.tell(a_fill(world, order_id, fee=D("0.2")))
    assert world.engine.report.profit()["fees"] == D("-0.1"), "a known fee stays"
    assert found(world) == []
    the_ledger_is_exact(world)


def test_a_fee_in_the_coin_that_is_corrected_changes_the_delta_too() -> None:
    world, order_id = a_world_with_an_order(spot=True)
    fill = a_fill(
        world, order_id, instrument=SPOT.id, ticks=Ticks(6_000_100), lots=Lots(10_000),
        fee=D("0.00001"), fee_asset="BTC", fee_known=False,
    )  # fmt: skip
    world.tell(fill)
    group = world.engine._groups.living["t1g1"]
    assert world.engine._groups.deltas(group) == {"BTC": D("0.00999")}
    world.tell(msgspec.structs.replace(fill, fee=D("0.000005"), fee_known=True))
    assert world.engine._groups.deltas(group) == {"BTC": D("0.009995")}
    world_says = msgspec.structs.replace(fill, fee=D("0.6"), fee_asset="USDT", fee_known=True)
    world.tell(world_says)
    assert world.engine._groups.deltas(group) == {"BTC": D("0.009995")}, "corrected once"


def test_a_fill_told_as_a_strangers_first_still_settles_our_order() -> None:
    """It is in the books once, and the order does not wait for it for ever."""
    world, order_id = a_world_with_an_order()
    world.tell(a_fill(world, ""))
    world.tell(an_end(world, order_id, 4))
    world.tell(a_fill(world, order_id))
    order = world.engine._orders.get(order_id)
    assert order is not None and order.settled
    assert world.engine.report.positions() == {A.id: 4}


def test_a_strangers_fill_of_before_the_opening_is_not_counted() -> None:
    world, _ = a_world_with_an_order()
    opened = world.engine._accounts.checked_at["alpha", "linear"] // MILLI
    world.tell(a_fill(world, "", fill_id="old", venue_ms=opened - 1))
    assert world.engine.report.positions() == {} and world.engine.clutch == ""
    world.tell(a_fill(world, "", fill_id="new", venue_ms=opened + 1))
    assert world.engine.report.positions() == {A.id: 4} and world.engine.clutch


def test_a_fill_of_ours_counts_whenever_it_was() -> None:
    world, order_id = a_world_with_an_order()
    world.tell(a_fill(world, order_id, venue_ms=1))
    assert world.engine.report.positions() == {A.id: 4}


NUMBERS = st.one_of(st.integers(-20, 20), st.sampled_from([10**18, -(10**18), 10**60]))
FEES = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from([D("0.1"), D("1E-40"), D("1E+40")]),
)


@given(
    story=st.lists(
        st.tuples(NUMBERS, NUMBERS, FEES, st.integers(0, 3), st.sampled_from(["t1g1o1", "", "x"])),
        max_size=6,
    )
)
def test_whatever_a_venue_tells_the_books_stay_exact_and_nothing_breaks(
    story: list[tuple[int, int, Decimal, int, str]],
) -> None:
    world, _ = a_world_with_an_order()
    for lots, ticks, fee, number, order_id in story:
        world.tell(
            a_fill(
                world, order_id, lots=Lots(lots), ticks=Ticks(ticks), fee=fee,
                fill_id=f"f{number}",
            )
        )  # fmt: skip
        world.tell(an_end(world, "t1g1o1", lots))
        world.turn()
    the_ledger_is_exact(world)
    order = world.engine._orders.get("t1g1o1")
    assert order is not None and 0 <= order.filled <= order.lots

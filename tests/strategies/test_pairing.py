"""Pairing: sizes on the grid common to both legs, after fees, within what is there."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.core.strategy import Forecast
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.units import HOUR, Nanos, Side
from oneprice.strategies.pairing import (
    PairSettings,
    common_step,
    funding_fraction,
    least_steps,
    make_pair,
    plan,
    same_thing,
    settlements,
)
from tests.build import D, a_perp, a_ready_world, a_spot, an_inverse

PERP, SPOT = a_perp("alpha"), a_spot("alpha")


@pytest.mark.parametrize(
    ("first", "second", "step"),
    [("0.001", "0.000001", "0.001"), ("0.03", "0.1", "0.3"), ("10", "1", "10"), ("1", "1", "1")],
)
def test_the_common_step_is_whole_lots_on_both(first: str, second: str, step: str) -> None:
    assert common_step(a_perp(lot=D(first)), a_perp("beta", lot=D(second))) == D(step)


def test_a_thousandfold_contract_is_counted_in_coins() -> None:
    thousand = a_perp("alpha", "PEPE", lot=D(1), multiplier=D(1000))
    single = a_spot("beta", "PEPE", lot=D("0.1"))
    assert same_thing(thousand, single)
    assert common_step(thousand, single) == 1000
    planned = plan(single, thousand, D(5000), D(0), D(0))
    assert (planned.buy, planned.sell) == (50_000, 5)


@pytest.mark.parametrize(
    "other",
    [
        a_perp("beta", "ETH"),
        a_perp("beta", quote="USDC", settle="USDC"),
        an_inverse("beta"),
        PERP,
    ],
    ids=["another coin", "another money", "another payoff", "itself"],
)
def test_what_is_not_the_same_thing(other: object) -> None:
    assert not same_thing(PERP, other)  # type: ignore[arg-type]


def test_a_spot_buy_is_larger_by_the_fee_taken_in_the_coin() -> None:
    planned = plan(SPOT, PERP, D("0.033"), D("0.001"), D(0))
    assert planned.sell == 33
    assert planned.buy == 33_033  # 0.033 / 0.999
    arrives = SPOT.size(planned.buy) * D("0.999")
    assert abs(arrives - D("0.033")) <= SPOT.lot / 2


def test_dust_of_earlier_trades_is_used_up() -> None:
    assert plan(SPOT, PERP, D("0.033"), D(0), D("0.0004")).buy == 32_600
    assert plan(PERP, SPOT, D("0.033"), D(0), D("0.0004")).sell == 33_400
    assert plan(PERP, a_perp("beta"), D("0.033"), D(0), D("0.0004")).buy == 33


@given(
    steps=st.integers(1, 10_000),
    fee=st.decimals("0", "0.01", places=5),
    perp_lot=st.sampled_from(["0.001", "0.01", "0.0003", "1"]),
    spot_lot=st.sampled_from(["0.000001", "0.0001", "0.00003"]),
)
def test_what_arrives_hedges_what_leaves_to_half_a_spot_lot(
    steps: int, fee: Decimal, perp_lot: str, spot_lot: str
) -> None:
    perp, spot = a_perp(lot=D(perp_lot)), a_spot(lot=D(spot_lot))
    coins = common_step(spot, perp) * steps
    planned = plan(spot, perp, coins, fee, D(0))
    assert perp.size(planned.sell) == coins
    assert abs(spot.size(planned.buy) * (1 - fee) - coins) <= spot.lot / 2


def test_the_least_size_satisfies_lots_and_notional_on_both() -> None:
    def least(perp: Instrument) -> int:
        return least_steps(make_pair("s", PairSettings(), SPOT, perp), D(60_000))

    assert least(PERP) == 1
    assert least(a_perp(notional_min=D(100))) == 2
    assert least(a_perp(lots_min=5)) == 5


@pytest.mark.parametrize(
    ("due_h", "hold_h", "count"),
    [(9, 8, 0), (8, 8, 1), (1, 8, 1), (1, 9, 2), (1, 25, 4), (-1, 8, 0)],
)
def test_settlements_within_the_hold_are_counted(due_h: int, hold_h: int, count: int) -> None:
    forecast = Forecast(D("0.0001"), Nanos(due_h * HOUR), 8 * 3_600_000)
    assert settlements(forecast, Nanos(0), hold_h * 3_600_000) == count


def test_longs_pay_and_shorts_receive_a_positive_rate() -> None:
    world = a_ready_world([PERP], [])
    due = Nanos(world.now + HOUR)
    world.tell(
        ev.FundingForecast(at=Nanos(world.now), instrument=PERP.id, rate=D("0.0003"), due=due)
    )
    view = world.engine._sight
    hold = 9 * 3_600_000 + 1
    assert funding_fraction(view, PERP, Side.BUY, hold) == D("-0.0006")
    assert funding_fraction(view, PERP, Side.SELL, hold) == D("0.0006")
    assert funding_fraction(view, SPOT, Side.SELL, hold) == 0


def test_settings_refuse_nothing_but_say_their_units() -> None:
    for field in msgspec.structs.fields(PairSettings):
        assert field.default is not msgspec.NODEFAULT, field.name

"""Whole worlds in all weathers: whatever happens, books balance, and calm days stay calm."""

import random
from collections.abc import Callable

import pytest

from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.units import Nanos
from oneprice.strategies.cross_exchange import CrossExchange
from oneprice.strategies.spot_futures import SpotFutures
from tests.build import D, Faults, World, a_perp, a_ready_world, a_spot

CALM = Faults()
LATE = Faults(late_ms_max=60, doubled=0.2)
THIN = Faults(partial=0.3, missed=0.2)
STORM = Faults(
    lost_request=0.05,
    lost_answer=0.05,
    refused=0.05,
    doubled=0.1,
    partial=0.2,
    missed=0.1,
    late_ms_max=50,
)
INSTRUMENTS: list[Instrument] = [a_perp("alpha"), a_perp("beta"), a_spot("alpha"), a_spot("beta")]
SEEDS = range(8)


def a_day(
    seed: int,
    faults: Faults,
    on_entry: Callable[[World], None] = lambda _: None,
    *,
    evening: bool = True,
) -> World:
    """Gaps come and go between four instruments; then a stop, and a quiet evening."""
    world = a_ready_world(
        INSTRUMENTS,
        [CrossExchange(), SpotFutures()],
        faults=faults,
        seed=seed,
        funds={("alpha", "unified", "BTC"): "1", ("beta", "unified", "BTC"): "1"},
    )
    world.on_entry = lambda: on_entry(world)
    dice = random.Random(seed)
    middle = 60_000.0
    for _ in range(80):
        middle *= 1 + dice.gauss(0, 0.0003)
        for it in INSTRUMENTS:
            price = round(middle * (1 + dice.choice([0, 0, 0, 0.004, -0.004])))
            world.quote(it, str(price - 1), str(price + 1), dice.choice(["0.005", "0.02", "0.5"]))
        world.turn()
        world.run(dice.choice([100, 300, 700]))
    if not evening:
        return world
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.faults = Faults()
    for it in INSTRUMENTS:
        world.quote(it, str(round(middle) - 1), str(round(middle) + 1), "5")
    world.live(40_000, 500)
    return world


def books_balance(world: World) -> None:
    report, ledger = world.engine.report, world.engine._ledger
    assert all(ledger.total(asset) == 0 for asset in ledger.assets())
    assert report.residual() == 0
    assert sum(report.profit().values()) == report.equity_change()
    assert report.groups() == []
    for key, amount in world.money.items():
        assert abs(report.balances()[key] - amount) < D("1e-6"), key
    assert report.positions() == {i: n for i, n in world.lots.items() if n}


def nothing_is_left(world: World) -> None:
    assert world.engine.quiet
    assert world.engine.report.positions() == {} and world.engine.report.holdings() == []
    assert abs(world.engine._sight.asset_net("BTC")) * 60_000 < world.settings.legs.dust_max


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [CALM, LATE], ids=["calm", "late"])
def test_in_calm_weather_groups_trade_and_end_hedged_and_the_clutch_stays_closed(
    seed: int, faults: Faults
) -> None:
    world = a_day(seed, faults)
    assert world.engine.clutch == ""
    assert list(world.ends()) == ["HEDGED"] and world.ends()["HEDGED"] > 20
    assert world.engine.report.profit()["legging"] == 0
    books_balance(world)
    nothing_is_left(world)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [THIN, STORM], ids=["thin", "storm"])
def test_in_foul_weather_books_balance_and_a_closed_clutch_means_nothing_is_left(
    seed: int, faults: Faults
) -> None:
    world = a_day(seed, faults)
    books_balance(world)
    if world.engine.clutch == "":
        nothing_is_left(world)
    ids = [order.order_id for order in world.orders()]
    assert len(ids) == len(set(ids))


def test_foul_weather_is_foul_and_yet_mostly_survived() -> None:
    worlds = [a_day(seed, STORM) for seed in range(100, 106)]
    ends: dict[str, int] = {}
    for world in worlds:
        for end, count in world.ends().items():
            ends[end] = ends.get(end, 0) + count
    assert ends["HEDGED"] > 100 and ends["FLAT"] > 0
    assert sum(world.engine.clutch == "" for world in worlds) >= 4

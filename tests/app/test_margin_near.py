"""Collateral goes, on real sockets: both legs leave before the venue takes one of them."""

import contextlib
from collections.abc import AsyncIterator
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import msgspec
import pytest
from house import MARKETS, House

from oneprice.app.drills.stage import QUICK
from oneprice.model.settings import EngineSettings, MarginSettings
from oneprice.model.units import BPS
from oneprice.twin.contract import Position

STEEP = Decimal(60)  # leverage: what must stay is a sixtieth of the position, and ends near it
FAR = Decimal(2_000)  # basis points: a calm account with all its money is further than that
BLIND = MarginSettings(liquidation_bps_min=Decimal(0), liquidation_exit_bps=Decimal(0))


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(tmp_path / "session", monkeypatch)
    yield house
    await house.close()


def position(house: House, venue: str) -> Position:
    exchange = house.twins[venue].twin.exchange
    (held,) = exchange.positions(exchange.accounts()[0].key, MARKETS[venue])
    return held


def distance(held: Position) -> Decimal:
    """How far the twin says that it is from liquidating, basis points of the mark."""
    if not held.liquidation:
        return Decimal(10_000)
    way = (held.mark - held.liquidation) * (1 if held.lots > 0 else -1)
    return way / held.mark / BPS


def withdraw(house: House, venue: str) -> None:
    """Everything that the venue lets go."""
    exchange, at = house.twins[venue].twin.exchange, house.twins[venue].twin.exchange.now
    key = exchange.accounts()[0].key
    wallet = exchange.wallet_of(MARKETS[venue])
    exchange.set_leverage(key, house.legs[venue], STEEP, at)
    for coin in [balance.asset for balance in exchange.balances(key, wallet)]:
        free = exchange.balance(key, wallet, coin).available.quantize(Decimal("0.01"), ROUND_DOWN)
        if free > 0:
            exchange.move_money(key, coin, free, "withdrawal", at, wallet=wallet)


def agrees(house: House) -> bool:
    with contextlib.suppress(AssertionError):
        house.money_agrees()
        return True
    return False


async def a_hedge(house: House, engine: EngineSettings) -> None:
    await house.open(engine=engine)
    await house.trade()
    assert await house.ended() == {"HEDGED": 1} and house.is_hedged()


@pytest.mark.parametrize("venue", sorted(MARKETS))
async def test_both_legs_leave_before_a_venue_liquidates_one(house: House, venue: str) -> None:
    await a_hedge(house, QUICK)
    report = house.engine.report
    await house.until(lambda: len(report.risks()) == 2)
    assert distance(position(house, venue)) > FAR and not house.engine.clutch
    withdraw(house, venue)
    assert 0 < distance(position(house, venue)) < 200
    await house.until(lambda: house.is_flat() and not report.holdings())
    forced = [fill.reason for name in MARKETS for fill in house.fills(name) if fill.reason]
    assert forced == [], "nobody but us closed anything"
    assert [o.verdict for o in report.opportunities()] == ["traded: liquidation_near"]
    assert house.engine.clutch
    await house.until(lambda: agrees(house))  # once statements have told what was withdrawn
    summary = await house.finish()
    assert summary.failure == "" and house.is_flat()


async def test_without_the_rule_what_is_near_its_liquidation_stays(house: House) -> None:
    """The same misfortune, to show that it is the rule that ends the hedge above."""
    await a_hedge(house, msgspec.structs.replace(QUICK, margin=BLIND))
    report = house.engine.report
    withdraw(house, "bybit")
    leg = house.legs["bybit"]

    def known() -> bool:
        risk = report.risks().get(leg)
        return risk is not None and risk.distance_bps is not None and risk.distance_bps < 200

    await house.until(known)
    assert house.is_hedged() and report.holdings()

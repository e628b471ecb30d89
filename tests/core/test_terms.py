"""Terms: key, position mode and leverage are compared, and never changed under an open trade."""

import pytest

from oneprice.core.strategy import Discrepancy
from oneprice.model import events as ev
from oneprice.model.commands import QueryKey, SetLeverage, SetPositionMode
from oneprice.model.settings import AccountSettings, EngineSettings, ReconcileSettings
from oneprice.model.units import Lots, Nanos, Side, Ticks
from tests.build import D, World, a_perp

A = a_perp("alpha")
KEY = ev.KeyReported(at=Nanos(0), venue="", may_trade=True, may_withdraw=False)


def a_world(account: AccountSettings | None = None, *, adopt: bool = False) -> World:
    settings = EngineSettings(
        account=account or AccountSettings(),
        reconcile=ReconcileSettings(adopt_positions=adopt, audit_ms=1_000),
    )
    return World([A], [], settings=settings)


def opened(world: World, ms: int = 300) -> World:
    world.quote(A, "59999", "60001")
    world.turn()
    world.run(ms)
    return world


def found(world: World) -> list[tuple[str, str, str]]:
    return [
        (d.kind, d.expected, d.found) for d in world.decisions if isinstance(d, Discrepancy)
    ]


def changes(world: World) -> list[object]:
    return [c for c in world.sent if isinstance(c, SetLeverage | SetPositionMode)]


def test_each_venue_is_asked_once_what_the_key_may_do() -> None:
    world = opened(a_world(), 5_000)
    assert [c.venue for c in world.sent if isinstance(c, QueryKey)] == ["alpha"]
    assert world.engine.clutch == ""


def test_a_key_that_may_withdraw_opens_the_clutch() -> None:
    world = a_world()
    world.key = ev.KeyReported(at=Nanos(0), venue="", may_trade=True, may_withdraw=True)
    assert found(opened(world)) == [("key", "a key that cannot withdraw", "one that can")]
    assert "withdraw" in world.engine.clutch


def test_a_key_that_may_withdraw_is_taken_only_where_that_is_written() -> None:
    world = a_world(AccountSettings(withdrawal_keys=True))
    world.key = ev.KeyReported(at=Nanos(0), venue="", may_trade=True, may_withdraw=True)
    assert found(opened(world)) == [] and world.engine.clutch == ""


def test_a_key_that_cannot_trade_opens_the_clutch() -> None:
    world = a_world()
    world.key = ev.KeyReported(at=Nanos(0), venue="", may_trade=False, may_withdraw=False)
    assert [kind for kind, *_ in found(opened(world))] == ["key"]


def test_another_position_mode_is_told_and_not_changed_unasked() -> None:
    world = a_world()
    world.modes["alpha", A.market] = "hedge"
    opened(world, 4_000)
    assert found(world) == [("position_mode", "one_way", "hedge")], "told once, not by each audit"
    assert changes(world) == [] and world.engine.clutch


def test_where_it_is_allowed_and_nothing_is_open_mode_and_leverage_are_set_once() -> None:
    terms = AccountSettings(adjust=True, leverage={f"alpha:{A.market}": D(3)})
    world = a_world(terms)
    world.modes["alpha", A.market] = "hedge"
    world.leverages[A.id] = D(10)
    opened(world, 4_000)
    assert world.modes["alpha", A.market] == "one_way" and world.leverages[A.id] == 3
    assert len(changes(world)) == 2
    assert found(world) == [] and world.engine.clutch == ""


def test_a_change_that_did_not_take_is_told() -> None:
    world = a_world(AccountSettings(adjust=True))
    world.modes["alpha", A.market] = "hedge"
    world.hooks.append(lambda c: isinstance(c, SetPositionMode))
    opened(world, 4_000)
    assert len(changes(world)) == 1
    assert found(world) == [("position_mode", "one_way", "hedge")]


@pytest.mark.parametrize("what", ["position", "order"])
def test_nothing_is_changed_while_a_position_or_an_order_is_open(what: str) -> None:
    terms = AccountSettings(adjust=True, leverage={A.id: D(3)})
    world = a_world(terms, adopt=True)
    world.modes["alpha", A.market] = "hedge"
    world.leverages[A.id] = D(10)
    if what == "position":
        world.lots[A.id], world.cost[A.id] = 7, D(59_000)
    else:
        world.say(
            ev.OpenOrderReported(
                at=Nanos(0), order_id="", venue_order_id="v7", instrument=A.id, side=Side.BUY,
                ticks=Ticks(1), lots=Lots(5), filled_lots=Lots(0),
            ),
            ms=1,
        )  # fmt: skip
    opened(world)
    assert changes(world) == []
    assert sorted(kind for kind, *_ in found(world)) == ["leverage", "position_mode"]


def test_leverage_that_nobody_configured_may_be_anything() -> None:
    world = a_world()
    world.leverages[A.id] = D(125)
    assert found(opened(world)) == []

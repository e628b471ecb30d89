"""Money over a restart: what a journal tells again leaves the same ledger, day by day."""

import msgspec
import pytest

from oneprice.app.reconcile_ours import ours
from oneprice.core.engine import Engine
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, ReconcileSettings
from oneprice.model.units import HOUR, Lots, Nanos, Side, Ticks
from tests.build import D, World, a_perp, a_ready_world
from tests.core.test_recall import read_back
from tests.core.test_statement import WALLET, A, B, a_fill, a_line, funding, happened

SETTINGS = EngineSettings(reconcile=ReconcileSettings(statement_ms=5_000))


def a_life() -> World:
    """Three days: fills, late fees, funding, a deposit, interest, what the venue rounded."""
    world = a_ready_world([A, B], [], settings=SETTINGS)
    for day in range(3):
        world.quote(A, str(60_000 + 100 * day), str(60_002 + 100 * day))
        fills = [(Side.BUY, "60000.1", 3), (Side.BUY, "60000.2", 4), (Side.SELL, "60010", 5)]
        before = world.engine.report.balances()[WALLET]
        for number, (side, price, lots) in enumerate(fills):
            told = a_fill(world, 10 * day + number, side, price, lots=Lots(lots))
            world.tell(msgspec.structs.replace(told, fee=D("0.0123"), fee_known=False))
            world.tell(told)
        change = world.engine.report.balances()[WALLET] - before
        rounded = change.quantize(D("1E-8"))
        happened(world, a_line(world, "trade", str(rounded), instrument=A.id))
        happened(world, a_line(world, "transfer", "100"))
        happened(world, a_line(world, "interest", "-0.5"))
        world.tell(funding(world, f"p{day}", "-0.25"))
        happened(world, a_line(world, "funding", "-0.25", instrument=A.id))
        world.run(11_000)
        world.now += 24 * HOUR
        world.tell(ev.TurnEnded(at=Nanos(world.now)))
    return world


def test_a_recalled_ledger_has_the_same_balances_causes_and_days() -> None:
    world = a_life()
    fresh = Engine(world.settings, [], {}, Tripwires(), "t2")
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    fresh.recall.end()
    rates = world.engine._market.rate
    one, two = world.engine._ledger, fresh._ledger
    assert two.wallets() == one.wallets()
    assert two.profit(rates) == one.profit(rates) and one.profit(rates)["correction"] != 0
    assert two.profit_by_day(rates) == one.profit_by_day(rates)
    assert len(one.profit_by_day(rates)) >= 3
    assert two.transferred() == one.transferred() != {}
    assert two.residual(rates) == one.residual(rates) == 0


def test_our_movements_from_the_journal_are_the_ledger_reckoned_apart() -> None:
    world = a_life()
    records = [read_back(entry)[1] for entry in world.journal]
    mine = ours(world.settings, records)
    balances = world.engine.report.balances()
    assert mine.closings == balances
    moved = sum((m.amount for m in mine.movements if m.purse == WALLET), D(0))
    assert mine.openings[WALLET] + moved == balances[WALLET] == world.money[WALLET]
    kinds = dict.fromkeys(m.kind for m in mine.movements)
    assert list(kinds) == ["trade", "funding", "transfer", "interest", "rounding"]


def test_a_fee_told_later_in_another_coin_is_moved_in_our_movements_too() -> None:
    world = a_ready_world([A, a_perp("beta")], [])
    guess = ev.OrderFilled(
        at=Nanos(world.now), order_id="", instrument=A.id, fill_id="x", side=Side.BUY,
        ticks=Ticks(A.ticks("60000")), lots=Lots(3), fee=D("0.05"), fee_asset="USDT",
        fee_known=False,
    )  # fmt: skip
    told = msgspec.structs.replace(guess, fee=D("0.00001"), fee_asset="BTC", fee_known=True)
    world.tell(guess)
    world.tell(told)
    world.tell(told)
    mine = ours(world.settings, [record for _, record, _ in world.journal])
    assert mine.closings == world.engine.report.balances()
    assert {(m.asset, m.amount) for m in mine.movements if m.amount} == {("BTC", D("-0.00001"))}


# Other settings than those it was written under ----------------------------------------------


def recalled_by(world: World, settings: EngineSettings) -> Engine:
    fresh = Engine(settings, [], {}, Tripwires(), "t2")
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    return fresh


@pytest.mark.parametrize("most", ["0.001", "500", "1000000"])
def test_a_fee_is_a_lie_in_a_recall_where_it_was_one(most: str) -> None:
    """True fees, one of two lies told twice, and one lie that is corrected by the truth."""
    world = a_ready_world([A, B], [])
    fees = [("f1", "0.09"), ("f2", "60"), ("f3", "0.09"), ("f4", "-60")]
    for number, (name, fee) in enumerate(fees):
        told = a_fill(world, number, Side.BUY, "60000", fill_id=name, fee=D(fee))
        world.tell(told)
        world.tell(told)
    world.tell(a_fill(world, 4, Side.BUY, "60000", fill_id="f4", fee=D("61")))
    world.tell(a_fill(world, 4, Side.BUY, "60000", fill_id="f4", fee=D("0.08")))
    assert world.engine.report.profit()["fees"] == D("-0.26")
    changed = msgspec.structs.replace(world.settings.orders, fee_bps_max=D(most))
    settings = msgspec.structs.replace(world.settings, orders=changed)
    fresh = recalled_by(world, settings)
    assert fresh._ledger._balances == world.engine._ledger._balances
    assert fresh.report.discrepancies == world.engine.report.discrepancies
    mine = ours(settings, [read_back(entry)[1] for entry in world.journal])
    assert mine.closings == world.engine.report.balances()


def test_a_wallet_that_was_relied_on_is_the_same_in_a_recall_whatever_is_configured() -> None:
    world = a_life()
    elsewhere = msgspec.structs.replace(world.settings, wallets={"alpha:linear": "funding"})
    fresh = recalled_by(world, elsewhere)
    assert fresh._ledger._balances == world.engine._ledger._balances
    mine = ours(elsewhere, [read_back(entry)[1] for entry in world.journal])
    assert mine.closings == world.engine.report.balances()

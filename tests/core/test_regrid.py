"""Regrid: a venue changes the tick of an instrument while orders of ours live in it."""

import msgspec
import pytest

from oneprice.kernel import Book
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.units import Nanos, Side, Ticks
from tests.build import D, World, a_card, a_leg, an_intent
from tests.core.test_groups import A, B, a_world, ask
from tests.core.test_recall import a_fresh, read_back, state_of


def a_new_tick(world: World, old: Instrument, tick: str) -> None:
    """From now on the venue, and so its dialect, counts all that it tells in another tick."""
    new = msgspec.structs.replace(old, tick=D(tick))

    def ticks(before: int) -> Ticks:
        return new.ticks(old.price(before))

    world.books[old.id].lose()
    world.listed[old.id] = new
    world.books[old.id] = Book(new.tick, new.lot)
    for placed in world.placed.values():
        if placed.command.instrument == old.id:
            command = placed.command
            placed.command = msgspec.structs.replace(command, ticks=ticks(command.ticks))
            placed.fills = [
                msgspec.structs.replace(f, ticks=ticks(f.ticks)) for f in placed.fills
            ]
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=new))
    world.quote(new, "59999", "60001")
    world.turn()


def a_resting_entry() -> World:
    """A buy rests on alpha at 59999 and is half filled; beta is hedged with it."""
    resting = a_leg(A, Side.BUY, 599_990, 10, time_in_force=cmd.TimeInForce.POST_ONLY)
    hedge = a_leg(B, Side.SELL, 599_900, 10, touch=599_990)
    world = a_world(
        an_intent(resting, hedge, card=a_card("1", "600"), patience=Nanos(60 * 10**9))
    )
    ask(world)
    world.take("t1g1o1", 5)
    world.live(300)
    return world


@pytest.mark.parametrize("tick", ["0.01", "0.5", "1"])
def test_a_new_tick_while_an_order_rests_changes_no_price_and_no_fill(tick: str) -> None:
    world = a_resting_entry()
    a_new_tick(world, A, tick)
    world.take("t1g1o1", 5)
    world.live(500)
    world.say(*world.fills("alpha", "linear", 0))  # every fill once more, in the new tick
    world.live(500)
    assert world.engine.clutch == ""
    assert world.ends() == {"HEDGED": 1}
    (holding,) = world.engine.report.holdings()
    assert {leg.instrument: (leg.lots, leg.entry) for leg in holding.legs} == {
        A.id: (10, D("59999")),
        B.id: (-10, D("59999")),
    }
    profit = world.engine.report.profit()
    assert abs(profit["slippage"]) <= D("0.01"), profit
    for key, amount in world.money.items():
        assert abs(world.engine.report.balances()[key] - amount) < D("1e-9")


def test_a_new_tick_is_recalled_where_it_was_told() -> None:
    world = a_resting_entry()
    a_new_tick(world, A, "0.01")
    world.take("t1g1o1", 5)
    world.live(500)
    fresh = a_fresh(world)
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    ours, theirs = (state_of(e, world.engine._market.rate) for e in (fresh, world.engine))
    for part, value in theirs.items():
        assert ours[part] == value, part


def a_new_lot(world: World, old: Instrument, lot: str) -> None:
    """The same for sizes: what the venue tells of orders and positions is in other lots."""
    new = msgspec.structs.replace(old, lot=D(lot))
    world.listed[old.id] = new
    world.books[old.id] = Book(new.tick, new.lot)
    for placed in world.placed.values():
        if placed.command.instrument == old.id:
            command = placed.command
            placed.command = msgspec.structs.replace(
                command, lots=new.lots(old.size(command.lots))
            )
            placed.filled = new.lots(old.size(placed.filled))
            placed.fills = [
                msgspec.structs.replace(f, lots=new.lots(old.size(f.lots))) for f in placed.fills
            ]
    world.lots[old.id] = new.lots(old.size(world.lots.get(old.id, 0)))
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=new))
    world.quote(new, "59999", "60001")
    world.turn()


@pytest.mark.parametrize("lot", ["0.005", "0.0001"])
def test_fills_told_in_a_new_lot_are_as_large_as_they_were(lot: str) -> None:
    """Five of ten lots are filled when the venue counts anew, and the clutch opens; the other
    five are filled before the cancel is there."""
    world = a_resting_entry()
    sent = len(world.orders())

    def too_late(command: cmd.AnyCommand) -> bool:
        if isinstance(command, cmd.CancelOrder) and world.placed[command.order_id].resting:
            world.take("t1g1o1", int(D("0.005") / D(lot)))
        return False

    world.hooks.append(too_late)
    a_new_lot(world, A, lot)
    assert "size" in world.engine.clutch
    world.live(2_000)
    world.say(*world.account("alpha", "linear"))
    world.live(8_000)
    assert world.engine.report.positions()[A.id] == 10, "lots of the size that we began with"
    told = [d for d in world.engine.report.discrepancies if d.kind != "size"]
    assert told == []
    assert [o for o in world.orders()[sent:] if o.instrument == A.id] == []
    for key, amount in world.money.items():
        assert abs(world.engine.report.balances()[key] - amount) < D("1e-9")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_is_sent_where_a_lot_is_no_longer_what_it_was(end: str) -> None:
    """An exit of ten lots would be one of five times the size."""
    world = a_resting_entry()
    world.take("t1g1o1", 5)
    world.live(500)
    assert world.ends() == {"HEDGED": 1}
    a_new_lot(world, A, "0.005")
    sent = len(world.orders())
    at = Nanos(world.now)
    if end == "kill":
        world.tell(ev.KillRequested(at=at, reason="test", flatten=True))
    else:
        world.tell(ev.StopRequested(at=at, reason="test"))
    world.turn()
    world.live(5_000)
    assert [o for o in world.orders()[sent:] if o.instrument == A.id] == []
    assert world.engine.report.positions()[A.id] == 10

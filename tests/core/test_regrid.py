"""Regrid: a venue changes the grid of an instrument while something of ours is in it."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.core.regrid import finer, recounted
from oneprice.core.strategy import Alarmed
from oneprice.kernel import Book
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import EngineSettings, LegSettings
from oneprice.model.units import SECOND, Lots, Nanos, Side, Ticks
from tests.build import D, World, a_card, a_leg, an_intent, an_inverse
from tests.core.test_groups import A, B, a_world, ask, no_liquidity, perps
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
    world.books[old.id].lose()
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


@pytest.mark.parametrize("lot", ["0.005", "0.0025"])
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


# A finer lot -----------------------------------------------------------------------------


def count_anew(world: World) -> None:
    """What follows a finer lot: the rest of the order fills, and the trade ends as if nothing
    had been."""
    world.take("t1g1o1", 50)
    world.live(500)
    world.say(*world.fills("alpha", "linear", 0))  # every fill once more, in the new lot
    world.say(*world.account("alpha", "linear"))
    world.live(8_000)
    assert world.engine.clutch == "" and world.engine.report.discrepancies == []
    assert world.ends() == {"HEDGED": 1}
    (holding,) = world.engine.report.holdings()
    assert {leg.instrument: (leg.lots, leg.entry) for leg in holding.legs} == {
        A.id: (100, D("59999")),
        B.id: (-10, D("59999")),
    }
    assert world.engine.report.positions() == {A.id: 100, B.id: -10}


def test_a_finer_lot_while_an_order_rests_is_counted_anew_and_trading_goes_on() -> None:
    """Ten new lots are one of before: the books had gone on in the old one, and nothing could
    be traded there until a person had closed what was held."""
    world = a_resting_entry()
    equity = world.engine.report.equity_change()
    a_new_lot(world, A, "0.0001")
    assert world.engine.report.equity_change() == equity
    assert world.engine.report.positions()[A.id] == 50
    count_anew(world)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.turn()
    world.live(3_000)
    assert [o.lots for o in world.orders() if o.instrument == A.id] == [10, 100]
    assert world.engine.report.positions() == {} and world.lots[A.id] == 0
    for key, amount in world.money.items():
        assert abs(world.engine.report.balances()[key] - amount) < D("1e-9")
    assert not any(world.engine._ledger.total(a) for a in world.engine._ledger.assets())


def test_a_finer_lot_is_recalled_where_it_was_told() -> None:
    world = a_resting_entry()
    a_new_lot(world, A, "0.0001")
    world.take("t1g1o1", 50)
    world.live(500)
    fresh = a_fresh(world)
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    ours, theirs = (state_of(e, world.engine._market.rate) for e in (fresh, world.engine))
    for part, value in theirs.items():
        assert ours[part] == value, part


@given(
    st.sampled_from([A, B, an_inverse()]),
    st.sampled_from(["lot", "contract_value"]),
    st.integers(1, 10_000),
)
def test_a_finer_lot_is_found_by_what_a_lot_is_worth(
    old: Instrument, field: str, times: int
) -> None:
    new = msgspec.structs.replace(old, **{field: getattr(old, field) / 2**10 / 5**10})
    assert finer(old, new) == 10**10
    coarser = msgspec.structs.replace(old, **{field: getattr(old, field) * (times + 1)})
    assert finer(old, coarser) == 0 and finer(coarser, old) == times + 1


@pytest.mark.parametrize(
    "change",
    [
        {"lot": D("0.0004")},
        {"lot": D("0.0001"), "multiplier": D(1_000)},
        {"lot": D("0.0001"), "settle": "USDC"},
        {"lot": D("0.0001"), "payoff": Payoff.INVERSE},
    ],
)
def test_what_is_no_whole_number_of_the_same_thing_is_no_finer_lot(change) -> None:  # type: ignore[no-untyped-def]
    assert finer(A, msgspec.structs.replace(A, **change)) == 0


# A lot that is none of ours --------------------------------------------------------------


@settings(max_examples=50)
@given(st.integers(1, 10**6), st.sampled_from(["0.0004", "0.003", "0.0007", "0.002"]))
def test_a_size_that_is_none_of_ours_is_named_exactly(lots: int, lot: str) -> None:
    new = msgspec.structs.replace(A, lot=D(lot))
    told = ev.OrderEnded(
        at=Nanos(0), order_id="o", filled_lots=Lots(lots), reason="filled"
    )
    event, found = recounted(told, new, A)
    assert isinstance(event, ev.OrderEnded)
    same = A.size(event.filled_lots) == new.size(lots)
    assert same is (found == "")
    if found:
        assert D(found.partition(",")[0]) == new.size(lots)
        assert abs(A.size(event.filled_lots) - new.size(lots)) <= A.lot / 2


def test_a_price_of_another_multiplier_is_counted_back_with_its_size() -> None:
    """A thousand coins were one unit; now one coin is: price and size change, the money not."""
    thousand = msgspec.structs.replace(A, multiplier=D(1_000), tick=D("0.1"), lot=D(1))
    one = msgspec.structs.replace(A, multiplier=D(1), tick=D("0.0001"), lot=D(1_000))
    told = ev.OrderFilled(
        at=Nanos(0), order_id="o", instrument=A.id, fill_id="f", side=Side.BUY,
        ticks=Ticks(600_000), lots=Lots(3), fee=D(0), fee_asset="USDT",
    )  # fmt: skip
    event, found = recounted(told, one, thousand)
    assert isinstance(event, ev.OrderFilled) and found == ""
    assert (event.ticks, event.lots) == (600_000, 3)
    assert thousand.notional(event.ticks, event.lots) == one.notional(600_000, 3)


def test_a_fill_of_no_whole_number_of_our_lots_opens_the_clutch_by_its_exact_size() -> None:
    world = a_resting_entry()
    world.books[A.id].lose()
    new = msgspec.structs.replace(A, lot=D("0.0004"))
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=new))
    fill = msgspec.structs.replace(
        world.placed["t1g1o1"].fills[0], at=Nanos(world.now), fill_id="new", lots=Lots(7)
    )
    for _ in range(2):
        world.tell(fill)
    named = [d for d in world.engine.report.discrepancies if "OrderFilled" in d.subject]
    assert [d.kind for d in named] == ["size"], "once"
    assert named[0].found == "0.0028, counted as 3 lots of 0.001"
    assert world.engine.clutch.startswith("size ")


def test_no_book_and_no_price_is_read_in_sizes_of_another_grid() -> None:
    world = a_resting_entry()
    market = world.engine._market
    before = market.price(A.id)
    world.books[A.id].lose()
    new = msgspec.structs.replace(A, lot=D("0.005"), tick=D("0.5"))
    world.listed[A.id] = new
    world.books[A.id] = Book(new.tick, new.lot)
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=new))
    world.quote(new, "59999", "60001")
    world.turn()
    assert market.book(A.id) is None and market.raw_book(A.id) is None
    assert market.cost(A.id, Side.BUY, Lots(1)) is None and market.age(A.id) is None
    assert market.price(A.id) == D("59999"), "our last fill, and no ticks of another size"
    world.tell(ev.Marked(at=Nanos(world.now), instrument=A.id, mark=D(61_000)))
    assert market.price(A.id) == 61_000, "a coin is a coin"
    kilo = msgspec.structs.replace(new, multiplier=D(1_000))
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=kilo))
    world.tell(ev.Marked(at=Nanos(world.now), instrument=A.id, mark=D(61_000_000)))
    assert market.price(A.id) is None and market.mark(A.id) is None
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=A))
    world.tell(ev.Marked(at=Nanos(world.now), instrument=A.id, mark=D(61_000)))
    assert market.price(A.id) == 61_000 and before is not None


def half_done(**legs: int) -> World:
    """Bought on alpha, nothing found on beta; both ways are looked for."""
    world = a_world(perps(), settings=EngineSettings(legs=LegSettings(**legs)))
    no_liquidity(world, B.id, 10**6)
    ask(world)
    return world


def test_what_cannot_be_completed_in_another_size_is_given_back_at_once() -> None:
    world = half_done()
    a_new_lot(world, B, "0.005")
    sent = len(world.orders())
    world.live(2_000)
    assert world.ends() == {"FLAT": 1}
    assert {o.instrument for o in world.orders()[sent:]} == {A.id}


def test_repairs_wait_while_sizes_are_counted_anew_and_a_person_is_told() -> None:
    """Neither way is open for a minute: then alpha counts as before, and its leg goes back."""
    world = half_done(chases_max=1)
    world.run(30)
    sent = len(world.orders())
    a_new_lot(world, A, "0.005")
    a_new_lot(world, B, "0.005")
    world.live(60_000, 500)
    assert world.ends() == {} and len(world.orders()) == sent
    told = [d for d in world.decisions if isinstance(d, Alarmed) and d.kind == "size"]
    assert len(told) == 1 and A.id in told[0].text
    a_new_lot(world, world.listed[A.id], "0.001")
    world.live(5_000)
    assert world.ends() == {"FLAT": 1} and world.engine.report.positions() == {}


def test_repairs_do_not_wait_for_ever() -> None:
    world = half_done(chases_max=1, waits_max=20)
    world.run(30)
    a_new_lot(world, A, "0.005")
    a_new_lot(world, B, "0.005")
    begun = world.now
    while not world.ends() and world.now - begun < 120 * SECOND:
        world.live(1_000, 250)
    assert world.ends() == {"STUCK": 1}
    assert world.engine.report.positions() == {A.id: 10}

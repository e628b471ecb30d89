"""What a restart meets: venues that changed, lists that end too early, orders that live on."""

import random

import msgspec
import pytest

from oneprice.app.reconcile_ours import ours
from oneprice.core.engine import Engine
from oneprice.core.strategy import Discrepancy
from oneprice.kernel import Book, Tripwires
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, Lots, Nanos, Side
from oneprice.strategies.cross_exchange import CrossExchange
from oneprice.strategies.spot_futures import SpotFutures
from tests.build import D, Faults, World
from tests.core.test_recall import read_back
from tests.core.test_restart import (
    A,
    Killed,
    everything_is_in_order,
    killed_at,
    restart,
    until_recovered,
)
from tests.core.test_restart import begin as go_on
from tests.core.test_weather import INSTRUMENTS, STORM, THIN

DAY_MS = 86_400_000


def killed_with_a_position() -> World:
    number = 120
    while True:
        world = killed_at(number, 3, THIN, sent=99)
        if world.engine.report.holdings() and any(world.lots.values()):
            return world
        number += 1


def recalled(world: World, listed: dict[str, Instrument] | None = None) -> None:
    """The next start, connecting: instruments are told, no book and no account is."""
    world._queue.clear()
    world._timers.clear()
    world.faults = Faults()
    world.wires = Tripwires()
    world.listed = listed or world.listed
    world.books = {i.id: Book(i.tick, i.lot) for i in world.listed.values()}
    strategies = [CrossExchange(), SpotFutures()]
    world.engine = Engine(world.settings, strategies, world.books, world.wires, "t2")
    for entry in list(world.journal):
        world.engine.recall.entry(*read_back(entry))
    world.engine.recall.end()
    world.run(500)
    for it in world.listed.values():
        world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=it))


def begin(world: World) -> None:
    for it in world.listed.values():
        world.quote(it, "59999", "60001")
    go_on(world)


def a_checked_world() -> World:
    world = World(INSTRUMENTS, [])
    for it in INSTRUMENTS:
        world.quote(it, "59999", "60001")
    world.turn()
    world.run(200)
    return world


@pytest.mark.parametrize("number", [60, 90, 120, 180])
def test_while_its_lines_come_up_a_restart_sends_no_order_whatever_the_books_show(
    number: int,
) -> None:
    world = killed_at(number, 3, THIN, sent=99)
    recalled(world)
    sent = len(world.orders())
    for it in world.listed.values():
        world.quote(it, *(("59999", "60001") if it is A else ("60499", "60501")))
        world.turn()
    world.live(2_000)
    assert len(world.orders()) == sent
    begin(world)
    assert until_recovered(world).differences == ()
    for it in INSTRUMENTS[:2]:
        world.quote(it, *(("60499", "60501") if it is A else ("59999", "60001")))
    world.live(12_000)
    assert len(world.orders()) > sent, "and then trading goes on"


@pytest.mark.parametrize("field", ["lot", "contract_value"])
def test_what_is_held_in_an_instrument_of_another_size_is_named_and_not_traded(
    field: str,
) -> None:
    world = killed_with_a_position()
    held = next(i for i, lots in world.lots.items() if lots)
    old = world.listed[held]
    new = msgspec.structs.replace(old, **{field: getattr(old, field) * 10})
    equity = world.engine.report.equity_change()
    if field == "lot":
        world.lots[held] //= 10
    recalled(world, {**world.listed, held: new})
    sent = len(world.orders())
    begin(world)
    differences = until_recovered(world).differences
    world.live(20_000, 500)
    assert any(text.startswith(f"size {held}") for text in differences)
    assert world.engine.clutch.startswith("size ")
    legs = [leg.instrument for h in world.engine.report.holdings() for leg in h.legs]
    assert held in legs, "the holding is as it was"
    assert all(order.instrument not in legs for order in world.orders()[sent:])
    assert abs(world.engine.report.equity_change() - equity) < 1_000, "nobody earned that"


def test_an_instrument_of_another_size_that_nothing_of_ours_is_in_is_traded_as_it_is_now() -> None:
    world = a_checked_world()
    new = msgspec.structs.replace(A, lot=A.lot * 10)
    world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=new))
    assert world.engine.clutch == ""
    assert world.engine._market.known_instrument(A.id).lot == new.lot


def test_an_order_of_ours_that_had_ended_and_is_shown_open_is_cancelled() -> None:
    world = killed_with_a_position()
    order = next(o for o in world.engine._orders._orders.values() if o.settled)
    sent = len(world.sent)
    world.tell(
        ev.OpenOrderReported(
            at=Nanos(world.now),
            order_id=order.id,
            venue_order_id="v1",
            instrument=order.instrument,
            side=order.side,
            ticks=order.ticks,
            lots=order.lots,
            filled_lots=Lots(0),
        )
    )
    cancelled = [c.order_id for c in world.sent[sent:] if isinstance(c, cmd.CancelOrder)]
    assert cancelled == [order.id]


def test_fills_that_a_venue_cannot_tell_any_more_are_named_also_when_none_were_told_before() -> (
    None
):
    world = a_checked_world()
    checked_ms = world.engine._accounts.checked_at["alpha", "linear"] // MILLI
    told = ev.FillsTold(
        at=Nanos(world.now + 10 * DAY_MS * MILLI),
        venue="alpha",
        market="linear",
        since_ms=checked_ms + 3 * DAY_MS,
        until_ms=checked_ms + 10 * DAY_MS,
    )
    world.tell(told)
    assert "could not be told" in world.engine.clutch


@pytest.mark.parametrize("told_before", [False, True])
def test_lines_that_a_venue_cannot_tell_any_more_are_named(told_before: bool) -> None:
    world = a_checked_world()
    checked_ms = world.engine._accounts.checked_at["alpha", "linear"] // MILLI
    spans = [(checked_ms - 60_000, checked_ms + 100)] if told_before else []
    spans.append((checked_ms + 3 * DAY_MS, checked_ms + 10 * DAY_MS))
    for since_ms, until_ms in spans:
        assert world.engine.clutch == ""
        world.tell(
            ev.StatementTold(
                at=Nanos(max(world.now, until_ms * MILLI)),
                venue="alpha",
                market="linear",
                since_ms=since_ms,
                until_ms=until_ms,
            )
        )
    found = [d for d in world.decisions if isinstance(d, Discrepancy)]
    assert [(d.kind, d.subject) for d in found] == [("statement", "alpha:linear")]
    assert "could not be told" in world.engine.clutch


def test_a_strangers_fill_from_before_the_opening_is_no_movement_of_ours() -> None:
    world = a_checked_world()
    it = next(it for it in INSTRUMENTS if not it.is_derivative)
    world.tell(
        ev.OrderFilled(
            at=Nanos(world.now),
            order_id="",
            instrument=it.id,
            fill_id="by-hand",
            side=Side.BUY,
            ticks=it.ticks(D(60_000)),
            lots=Lots(1_000),
            fee=D(0),
            fee_asset="USDT",
            venue_ms=world.now // MILLI - 30_000,
        )
    )
    world.turn()
    mine = ours(world.settings, [read_back(entry)[1] for entry in world.journal])
    assert mine.movements == []
    assert mine.closings == dict(world.engine._ledger.wallets())


def test_a_deposit_while_nobody_watched_is_explained_by_a_statement_that_takes_its_time() -> None:
    world = killed_with_a_position()
    world.tell(
        ev.StatementTold(
            at=Nanos(world.now),
            venue="alpha",
            market="linear",
            since_ms=world.now // MILLI - 60_000,
            until_ms=world.now // MILLI,
        )
    )
    world.money["alpha", "unified", "USDT"] += 1_000
    world.lines.append(
        ev.StatementLine(
            at=Nanos(0),
            venue="alpha",
            wallet="unified",
            asset="USDT",
            amount=D(1_000),
            kind="transfer",
            record_id="d1",
            venue_ms=world.now // MILLI + 10,
        )
    )

    def slow(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.QueryStatement):
            return False
        world.say(*world.statement(command), ms=6_000)
        return True

    world.hooks.append(slow)
    recalled(world)
    begin(world)
    assert until_recovered(world).differences == ()
    world.live(20_000, 500)
    assert world.engine.clutch == ""
    there = world.engine.report.balances()["alpha", "unified", "USDT"]
    assert abs(there - world.money["alpha", "unified", "USDT"]) < D("1e-6")


def killed_after(world: World, entries: int, session: str, dice: random.Random) -> None:
    """One more start, in any weather, that dies at one of its first entries."""
    left = entries

    def count() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Killed

    world.on_entry = count
    try:
        restart(world, session)
        world.faults = dice.choice([Faults(), STORM, Faults(late_ms_max=700)])
        for _ in range(30):
            for it in world.listed.values():
                price = 60_000 + dice.choice([0, 0, 200, -200])
                world.quote(it, str(price - 1), str(price + 1), dice.choice(["0.005", "0.5"]))
            world.live(100)
    except Killed:
        world.on_entry = lambda: None
        for command in world.journal[-1][2][: dice.choice([0, 1, 2, 99])]:
            world._obey(command)
    world.on_entry = lambda: None


@pytest.mark.parametrize("seed", range(25))
def test_killed_again_and_again_while_it_recovers_the_last_start_ends_all_of_it(
    seed: int,
) -> None:
    dice = random.Random(seed)
    number, sent = dice.randrange(5, 260), dice.choice([0, 1, 2, 99])
    world = killed_at(number, seed % 23, (THIN, STORM)[seed % 2], sent=sent)
    for start in range(dice.randrange(1, 5)):
        killed_after(world, dice.randrange(1, 40), f"k{start}", dice)
    restart(world, "last")
    assert until_recovered(world).differences == ()
    world.live(5_000)
    assert world.engine.clutch == ""
    everything_is_in_order(world)

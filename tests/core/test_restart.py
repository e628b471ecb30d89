"""Restart: killed between any two steps, the next engine ends what was open and knows the rest."""

import random
from collections.abc import Sequence

import pytest

from oneprice.core.engine import Engine
from oneprice.core.strategy import (
    Alarmed,
    Decision,
    Discrepancy,
    IntentJudged,
    Recovered,
    Strategy,
)
from oneprice.kernel import Tripwires
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.units import MILLI, Lots, Nanos, Side
from oneprice.strategies.cross_exchange import CrossExchange
from oneprice.strategies.spot_futures import SpotFutures
from tests.build import D, Faults, World
from tests.core.test_recall import read_back
from tests.core.test_weather import INSTRUMENTS, STORM, THIN, a_day, books_balance

A = INSTRUMENTS[0]
MARKETS = [("alpha", "linear"), ("beta", "linear"), ("alpha", "spot"), ("beta", "spot")]


class Killed(Exception):
    """The process is no more."""


def killed_at(number: int, seed: int, faults: Faults, *, sent: int) -> World:
    """A day that ends with its entry `number` in the journal and `sent` of its commands out."""
    worlds: list[World] = []

    def look(world: World) -> None:
        if not worlds and len(world.journal) >= number:
            worlds.append(world)
            raise Killed

    with pytest.raises(Killed):
        a_day(seed, faults, look)
    world = worlds[0]
    world.on_entry = lambda: None
    for command in world.journal[-1][2][:sent]:
        world._obey(command)
    return world


def restart(world: World, session: str = "t2", away: str = "") -> None:
    """What was on its way is lost with the process; venues and books go on. Of a venue that is
    away nothing is heard: see `test_restart_away`."""
    strategies: Sequence[Strategy] = [CrossExchange(), SpotFutures()]
    world._queue.clear()
    world._timers.clear()
    world.faults = Faults()
    world.wires = Tripwires()
    heard = {i: book for i, book in world.books.items() if not away or not i.startswith(away)}
    world.engine = Engine(world.settings, strategies, heard, world.wires, session)
    for entry in list(world.journal):
        world.engine.recall.entry(*read_back(entry))
    world.engine.recall.end()
    world.run(500)
    for it in world.listed.values():
        if it.id in heard:
            world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=it))
    world.refresh()
    for name in heard:
        world.tell(ev.BookReady(at=Nanos(world.now), instrument=name))
    begin(world, away=away)


def begin(world: World, away: str = "") -> None:
    """Recovery begins: as every turn it is in the journal before its commands leave."""
    markets = [(venue, market) for venue, market in MARKETS if venue != away]
    commands = world.engine.begin(Nanos(world.now), markets, [away] if away else [])
    record = world.engine.drain_record()
    world.decisions += [item for item in record if isinstance(item, Decision)]
    world.journal.append((Nanos(world.now), record, commands))
    world.on_entry()
    for command in commands:
        world._obey(command)


def recovered(world: World) -> Recovered:
    return next(d for d in reversed(world.decisions) if isinstance(d, Recovered))


def everything_is_in_order(world: World) -> None:
    engine = world.engine
    ids = [order.order_id for order in world.orders()]
    assert len(ids) == len(set(ids)), "an order was sent twice"
    assert engine.report.groups() == [] and not engine._orders.unsettled()
    assert engine.report.positions() == {i: n for i, n in world.lots.items() if n}
    for key, amount in world.money.items():
        assert abs(engine.report.balances()[key] - amount) < D("1e-6"), key
    assert abs(engine._sight.asset_net("BTC")) * 60_000 < world.settings.legs.dust_max
    assert engine.report.residual() == 0


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("sent", [0, 1, 99], ids=["unsent", "half sent", "sent"])
def test_killed_at_any_entry_the_next_start_is_safe_within_five_seconds(
    seed: int, sent: int
) -> None:
    dice = random.Random(seed)
    world = killed_at(dice.randrange(20, 250), seed, (THIN, STORM)[seed % 2], sent=sent)
    had_clutch = world.engine.clutch
    restart(world)
    began = world.now
    while world.engine._sight.recovering:
        world.live(100)
        assert world.now - began < 5_000 * MILLI, "not safe within five seconds"
    assert recovered(world).differences == ()
    assert world.engine.clutch == had_clutch
    everything_is_in_order(world)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="evening"))
    world.live(20_000, 500)
    books_balance(world)


def test_the_deaths_above_do_hit_trades_in_flight() -> None:
    found = [
        killed_at(random.Random(seed).randrange(20, 250), seed, (THIN, STORM)[seed % 2], sent=0)
        for seed in range(40)
    ]
    assert sum(bool(world.engine._orders.unsettled()) for world in found) > 10
    assert sum(bool(world.engine.report.holdings()) for world in found) > 10


def a_restarted(seed: int = 3, number: int = 120) -> World:
    world = killed_at(number, seed, THIN, sent=99)
    restart(world)
    return world


def until_recovered(world: World) -> Recovered:
    for _ in range(100):
        world.live(100)
        if not world.engine._sight.recovering:
            return recovered(world)
    raise AssertionError("never recovered")


def test_new_risk_waits_until_the_venues_have_been_compared() -> None:
    world = a_restarted()
    while world.engine._orders.unsettled() or world.engine.report.groups():
        world.run(1)
    for it in INSTRUMENTS[:2]:
        world.quote(it, *(("59999", "60001") if it is A else ("60499", "60501")))
    before = len(world.orders())
    world.turn()
    assert world.engine._sight.recovering and len(world.orders()) == before
    judged = [d.refused_by for d in world.decisions if isinstance(d, IntentJudged)]
    assert judged[-1] == "recovering"
    until_recovered(world)
    for it in INSTRUMENTS[:2]:
        world.quote(it, *(("60499", "60501") if it is A else ("59999", "60001")))
    world.live(12_000)
    assert len(world.orders()) > before, "and then trading goes on"


def test_a_position_gone_while_nobody_watched_is_named_and_opens_the_clutch() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    held = next(i for i, lots in world.lots.items() if lots)
    world.lots[held] = 0
    restart(world)
    outcome = until_recovered(world)
    assert any(held in text for text in outcome.differences)
    assert world.engine.clutch
    alarms = [d for d in world.decisions if isinstance(d, Alarmed) and d.kind == "recovery"]
    assert len(alarms) == 1 and held in alarms[0].text
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    assert world.engine.clutch == ""
    assert world.engine.report.positions().get(held, 0) == 0


def test_money_that_moved_while_nobody_watched_is_named_and_is_no_profit() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    world.money["alpha", "unified", "USDT"] -= 500
    restart(world)
    outcome = until_recovered(world)
    assert any("alpha/unified/USDT" in text for text in outcome.differences)
    change = world.engine.report.equity_change()
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    assert world.engine.report.equity_change() == change


def test_an_open_clutch_stays_open_over_a_restart_until_a_person_closes_it() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="disk full", failed=True))
    restart(world)
    assert until_recovered(world).differences == ()
    assert world.engine.clutch == "disk full"


def test_a_second_death_during_recovery_is_recovered_from_as_well() -> None:
    for number in range(12):
        world = killed_at(131, 7, STORM, sent=1)
        restart(world)
        world.run(17 * number)
        restart(world, "t3")
        until_recovered(world)
        everything_is_in_order(world)


def test_a_kill_ends_everything_and_a_restart_goes_on_ending_it() -> None:
    for crash in (False, True):
        number = 120
        while not (world := killed_at(number, 3, THIN, sent=99)).engine.report.holdings():
            number += 1
        world.tell(ev.KillRequested(at=Nanos(world.now), reason="a person", flatten=True))
        assert world.engine.clutch == "killed: a person"
        everywhere = {c.instrument for c in world.sent if isinstance(c, cmd.CancelAll)}
        assert everywhere == {it.id for it in INSTRUMENTS}
        if crash:
            restart(world)
        for it in INSTRUMENTS:
            world.quote(it, "59999", "60001", "5")
        world.live(15_000)
        assert world.engine.report.holdings() == [] and world.engine.quiet
        assert not any(world.lots.values())
        kinds = [d.kind for d in world.decisions if isinstance(d, Alarmed)]
        assert kinds.count("kill") == 1


def test_a_door_that_breaks_half_way_leaves_no_order_unasked() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    order = next(iter(world.engine._orders._orders.values()))
    groups = world.engine._groups
    sent = len(world.sent)

    def broken(order: object) -> list[cmd.AnyCommand]:
        raise RuntimeError("planted")

    entry = next(o for o in world.orders() if o.order_id == order.id)
    world.engine._orders.place(
        cmd.PlaceOrder(
            order_id="t1g999o1",
            group="t1g999",
            instrument=entry.instrument,
            side=entry.side,
            ticks=entry.ticks,
            lots=entry.lots,
        ),
        entry.ticks,
        repair=False,
    )
    groups.changed = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="planted"):
        world.tell(ev.OrderAccepted(at=Nanos(world.now), order_id="t1g999o1"))
    world.turn()
    asked = [c.order_id for c in world.sent[sent:] if isinstance(c, cmd.QueryOrder)]
    assert "t1g999o1" in asked


def test_a_fill_by_a_stranger_while_nobody_watched_is_not_ours() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    restart(world)
    world.tell(
        ev.OrderFilled(
            at=Nanos(world.now),
            order_id="",
            instrument=A.id,
            fill_id="by-hand",
            side=Side.BUY,
            ticks=A.ticks("60000"),
            lots=Lots(2),
            fee=D(0),
            fee_asset="USDT",
        )
    )
    world.lots[A.id] = world.lots.get(A.id, 0) + 2
    outcome = until_recovered(world)
    assert [d.kind for d in world.decisions if isinstance(d, Discrepancy)][-1:] == ["fill"]
    assert any("fill" in text for text in outcome.differences)


def test_an_account_that_takes_long_to_be_told_is_waited_for_and_not_asked_ever_faster() -> None:
    world = killed_at(120, 3, THIN, sent=99)

    def slow(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.QueryAccount):
            return False
        world.say(*world.account(command.venue, command.market), ms=7_000)
        return True

    world.hooks.append(slow)
    restart(world)
    sent = len(world.sent)
    until_recovered(world)
    asked = [c for c in world.sent[sent:] if c == cmd.QueryAccount(venue="alpha", market="spot")]
    assert 1 <= len(asked) <= 5


def test_a_question_lost_on_its_way_is_asked_again() -> None:
    world = killed_at(120, 3, THIN, sent=99)
    lost: list[cmd.AnyCommand] = []

    def first(command: cmd.AnyCommand) -> bool:
        if not isinstance(command, cmd.QueryAccount) or command in lost:
            return False
        lost.append(command)
        return True

    world.hooks.append(first)
    restart(world)
    assert until_recovered(world).differences == () and len(lost) == 4

"""A flatten over a restart: nothing is ended on what a journal tells before it was compared."""

import pytest

from oneprice.core.strategy import ClutchOpened, Recovered
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.units import Lots, Nanos, Side, Ticks
from tests.build import D, Faults, Placed, World
from tests.core.test_restart import Killed, begin, killed_at, restart, until_recovered
from tests.core.test_weather import INSTRUMENTS, THIN, a_day, books_balance

SEEDS = range(4)


def now(world: World) -> Nanos:
    return Nanos(world.now)


def a_dead_spot_trader(seed: int) -> World:
    """Killed with every order settled and a holding whose one leg is coins."""
    worlds: list[World] = []

    def look(world: World) -> None:
        report = world.engine.report
        quiet = not report.groups() and not world.engine._orders.unsettled()
        if quiet and any(":spot:" in leg.instrument for leg in _legs(world)):
            worlds.append(world)
            raise Killed

    with pytest.raises(Killed):
        a_day(seed, THIN, look)
    worlds[0].on_entry = lambda: None
    for command in worlds[0].journal[-1][2]:
        worlds[0]._obey(command)
    return worlds[0]


def _legs(world: World) -> list:  # type: ignore[type-arg]
    return [leg for holding in world.engine.report.holdings() for leg in holding.legs]


def deep_books(world: World) -> None:
    for it in INSTRUMENTS:
        world.quote(it, "59999", "60001", "50")


def ended_by_another(world: World, *, told: bool = True) -> dict[tuple[str, str], int]:
    """Somebody closes every leg; what he notes of spot legs. Untold: no fill is ever heard of."""
    deep_books(world)
    world.faults = Faults()
    noted: dict[tuple[str, str], int] = {}
    for holding in world.engine.report.holdings():
        for leg in holding.legs:
            name = f"hand{len(world.placed)}k1"
            side = Side.SELL if leg.lots > 0 else Side.BUY
            command = cmd.PlaceOrder(
                order_id=name,
                group="kill",
                instrument=leg.instrument,
                side=side,
                ticks=Ticks(world.listed[leg.instrument].ticks(D(60_000 + int(side) * 600))),
                lots=Lots(abs(leg.lots)),
                time_in_force=cmd.TimeInForce.IOC,
            )
            world.placed[name] = Placed(command=command)
            assert world.execute(world.placed[name])
            if not told:
                world.placed[name].fills.clear()
            if ":spot:" in leg.instrument:
                noted[holding.id, leg.instrument] = int(leg.lots)
    return noted


def recalled(world: World) -> None:
    """The next start, up to the moment before anybody is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.core.test_restart.begin", lambda world, away="": None)
        restart(world)


def flattened(world: World) -> None:
    world.tell(ev.KillRequested(at=now(world), reason="a person", flatten=True))
    world.turn()


def leaves(world: World, since: int) -> list[cmd.AnyCommand]:
    """What was to leave the process."""
    return [c for c in world.sent[since:] if not isinstance(c, (cmd.SetTimer, cmd.ClearTimer))]


def coins(world: World) -> dict[tuple[str, str, str], object]:
    return {key: amount for key, amount in world.money.items() if key[2] == "BTC"}


def nothing_happens_but_recovery(world: World, sent: int) -> Recovered:
    begin(world)
    outcome = until_recovered(world)
    deep_books(world)
    world.live(30_000, 200)
    assert [c for c in world.sent[sent:] if isinstance(c, cmd.PlaceOrder)] == []
    assert world.engine.report.holdings() == [] and world.engine.report.groups() == []
    assert world.engine.clutch
    return outcome


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("word", ["noted", "fills only", "balances only"])
def test_coins_that_another_gave_back_are_not_traded_again(seed: int, word: str) -> None:
    world = a_dead_spot_trader(seed)
    noted = ended_by_another(world, told=word != "balances only")
    there, sent = coins(world), len(world.sent)
    recalled(world)
    if word == "noted":
        for (root, instrument), lots in noted.items():
            world.tell(ev.GivenBack(at=now(world), root=root, instrument=instrument, lots=lots))
    flattened(world)
    world.live(1_000)
    assert leaves(world, sent) == [], "nobody was asked yet"
    outcome = nothing_happens_but_recovery(world, sent)
    for root, instrument in noted:
        assert any(f"{root} {instrument}" in text for text in outcome.differences)
    assert coins(world) == there
    if word != "balances only":
        books_balance(world)
    restart(world, "t3")
    until_recovered(world)
    assert world.engine.report.holdings() == [] and coins(world) == there


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flatten_that_nobody_else_did_follows_once_the_venues_were_compared(seed: int) -> None:
    world = a_dead_spot_trader(seed)
    recalled(world)
    flattened(world)
    deep_books(world)
    world.live(1_000)
    sent = len(world.sent)
    begin(world)
    while world.engine._sight.recovering:
        world.live(100)
        if world.engine._sight.recovering:
            assert not any(isinstance(c, cmd.PlaceOrder) for c in world.sent[sent:])
    deep_books(world)
    world.live(20_000, 200)
    assert world.engine.report.holdings() == [] and world.engine.report.positions() == {}
    assert abs(sum(coins(world).values()) - 2) < D("0.001")  # type: ignore[call-overload]
    books_balance(world)


@pytest.mark.parametrize("flatten", [False, True], ids=["kill", "flatten"])
@pytest.mark.parametrize("seed", range(6))
def test_a_kill_before_anybody_was_asked_is_remembered_and_obeyed_by_recovery(
    seed: int, flatten: bool
) -> None:
    world = killed_at(40 + 9 * seed, seed, THIN, sent=99)
    recalled(world)
    sent = len(world.sent)
    world.tell(ev.KillRequested(at=now(world), reason="a person", flatten=flatten))
    world.live(500)
    assert leaves(world, sent) == [] and world.engine.clutch
    begin(world)
    told = [c for c in world.sent[sent:] if isinstance(c, cmd.CancelAll)]
    assert sorted(c.instrument for c in told) == sorted(it.id for it in INSTRUMENTS)
    until_recovered(world)
    deep_books(world)
    world.live(20_000, 200)
    assert world.engine.clutch
    assert not world.engine.report.groups() and not world.engine._orders.unsettled()
    if flatten:
        assert world.engine.report.positions() == {}
    books_balance(world)


def test_what_a_resumed_session_waits_for_is_told_until_it_was_compared() -> None:
    world = a_dead_spot_trader(1)
    recalled(world)
    assert world.engine.lacking == ["no venue was asked"]
    begin(world)
    assert "alpha:linear did not answer" in world.engine.lacking
    until_recovered(world)
    assert world.engine.lacking == []


def test_a_fill_of_nobodys_order_is_named_with_instrument_side_size_and_its_own_id() -> None:
    world = a_dead_spot_trader(0)
    ended_by_another(world)
    recalled(world)
    begin(world)
    told = [text for text in until_recovered(world).differences if text.startswith("fill ")]
    assert len(told) > 1 and len(told) == len(set(told))
    assert any("sell 0.033 BTC in alpha:linear:BTCUSDT at 59999" in text for text in told)


def test_what_was_given_back_of_groups_in_flight_is_not_given_back_by_them() -> None:
    found = 0
    for number in range(20, 200, 3):
        world = killed_at(number, 5, THIN, sent=99)
        groups = dict(world.engine._groups.living)
        legs = {
            (group.root, leg.instrument): sum(
                int(o.side) * o.filled for o in group.orders if o.instrument == leg.instrument
            )
            for group in groups.values()
            if not group.intent.closes
            for leg in group.intent.legs
            if ":spot:" in leg.instrument
        }
        for (root, instrument), lots in legs.items():
            if not lots:
                continue
            found += 1
            recalled(world)
            note = ev.GivenBack(at=now(world), root=root, instrument=instrument, lots=lots)
            world.tell(note)
            group = world.engine._groups.living[root]
            held = sum(int(o.side) * o.filled for o in group.orders if o.instrument == instrument)
            assert held == 0 and group.forced
            world.tell(note)
            held = sum(int(o.side) * o.filled for o in group.orders if o.instrument == instrument)
            assert held == 0, "told again it is the same"
        if found > 2:
            return
    raise AssertionError("no such group")


def test_the_watchful_process_learns_it_at_once_and_counts_no_fill_of_it_again() -> None:
    world = a_dead_spot_trader(3)
    recalled(world)
    begin(world)
    until_recovered(world)
    holding = next(h for h in world.engine.report.holdings()
                   if any(":spot:" in leg.instrument for leg in h.legs))  # fmt: skip
    leg = next(leg for leg in holding.legs if ":spot:" in leg.instrument)
    world.tell(
        ev.GivenBack(at=now(world), root=holding.id, instrument=leg.instrument, lots=int(leg.lots))
    )
    left = [x for h in world.engine.report.holdings() if h.id == holding.id for x in h.legs]
    assert leg.instrument not in [x.instrument for x in left]
    assert any(
        isinstance(d, ClutchOpened) and leg.instrument in d.reason for d in world.decisions
    )

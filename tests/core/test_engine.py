"""The engine whole: one door, cheap turns, entries, exits, stops, and the same every time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from oneprice.core.engine import Engine
from oneprice.core.strategy import AnyDecision, GroupMoved, IntentJudged
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.commands import QueryAccount, QueryKey
from oneprice.model.settings import EngineSettings
from oneprice.model.units import Nanos
from oneprice.strategies.cross_exchange import CrossExchange, CrossExchangeSettings
from oneprice.strategies.spot_futures import SpotFutures
from tests.build import (
    START,
    D,
    Faults,
    Step,
    World,
    a_perp,
    a_ready_world,
    a_spot,
    replay,
)

A, B = a_perp("alpha"), a_perp("beta")


def a_gap(world: World, low: str = "60000", high: str = "60300") -> None:
    world.quote(A, str(D(low) - 1), str(D(low) + 1))
    world.quote(B, str(D(high) - 1), str(D(high) + 1))
    world.turn()


def test_time_never_runs_backwards() -> None:
    engine = Engine(EngineSettings(), [], {}, Tripwires(), "t1")
    engine.handle(ev.TurnEnded(at=Nanos(5)))
    with pytest.raises(AssertionError, match="time runs forward"):
        engine.handle(ev.TurnEnded(at=Nanos(4)))


@pytest.mark.parametrize("session", ["", "with space", "x" * 13, "a.b"])
def test_a_session_that_no_venue_would_take_is_refused(session: str) -> None:
    with pytest.raises(ValueError, match="session"):
        Engine(EngineSettings(), [], {}, Tripwires(), session)


def test_a_turn_without_news_costs_next_to_nothing() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    event = ev.TurnEnded(at=Nanos(world.now))
    handle = world.engine.handle
    began = time.process_time()
    for _ in range(20_000):
        handle(event)
    assert (time.process_time() - began) / 20_000 < 10e-6  # about 0.3 µs where it was written


def test_accounts_are_asked_for_as_soon_as_a_book_is_there() -> None:
    world = a_ready_world([A, B], [])
    asked = [c for c in world.sent if isinstance(c, QueryAccount)]
    assert [(c.venue, c.market) for c in asked] == [("alpha", "linear"), ("beta", "linear")]


def test_begin_asks_before_any_book_and_asks_once() -> None:
    world = World([A, B], [])
    asked = world.engine.begin(Nanos(START), [("alpha", "linear")])
    assert [type(c) for c in asked] == [QueryKey, QueryAccount]
    assert world.engine.begin(Nanos(START), [("alpha", "linear")]) == []


def test_looking_only_sends_nothing_at_all() -> None:
    world = a_ready_world([A, B], [CrossExchange()], settings=EngineSettings(trading=False))
    a_gap(world)
    world.live(3_000)
    assert world.sent == []


def test_in_calm_weather_a_gap_is_traded_hedged_and_closed_with_profit() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    a_gap(world)
    world.live(1_000)
    assert world.ends() == {"HEDGED": 1}
    assert world.engine.report.positions() == {A.id: 33, B.id: -33}
    a_gap(world, "60200", "60200")
    world.live(1_000)
    assert world.ends() == {"HEDGED": 2}
    assert world.engine.report.positions() == {}
    assert world.engine.clutch == "" and world.engine.quiet
    earned = sum(world.money.values()) - 200_000
    assert earned > 5
    assert world.engine.report.equity_change() == earned
    assert world.engine.report.residual() == 0


def test_what_the_entry_card_promised_is_what_a_full_convergence_earns() -> None:
    world = a_ready_world([A, B], [CrossExchange(CrossExchangeSettings(take_fraction=D("0.9")))])
    a_gap(world)
    world.live(300)
    promised = world.engine.report.holdings()[0].card
    a_gap(world, "60150", "60150")
    world.live(1_000)
    earned = world.engine.report.equity_change()
    assert abs(earned - (promised.net - promised.haircut)) < D("0.01")


def test_exits_are_reduce_only_and_entries_are_not() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    a_gap(world)
    world.live(500)
    a_gap(world, "60200", "60200")
    world.live(500)
    assert [o.reduce_only for o in world.orders()] == [False, False, True, True]


def test_what_is_left_of_a_half_closed_holding_is_closed_too() -> None:
    world = a_ready_world([A, B], [CrossExchange()], faults=Faults(partial=0.5), seed=3)
    for number in range(12):
        a_gap(world, "60000", "60300" if number % 2 else "59700")
        world.live(1_000)
    assert len(world.engine.report.group_ends()) == 1  # HEDGED, and nothing else
    for _ in range(6):  # the gap is gone: every part must get out, however small it became
        a_gap(world, "60000", "60000")
        world.live(1_000)
        a_gap(world, "60001", "60000")
        world.live(1_000)
    assert world.engine.report.holdings() == []
    assert not any(world.engine.report.positions().values())


def test_client_ids_are_short_plain_and_unique() -> None:
    world = a_ready_world([A, B], [CrossExchange()], faults=Faults(partial=0.5), seed=3)
    for number in range(20):
        a_gap(world, "60000", "60300" if number % 2 else "59700")
        world.live(1_000)
    ids = [order.order_id for order in world.orders()]
    assert len(ids) == len(set(ids)) > 40
    assert all(i.startswith("t1g") and i.isalnum() and len(i) <= 32 for i in ids)


def test_a_stop_closes_holdings_and_then_it_is_quiet() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    a_gap(world)
    world.live(300)
    assert world.engine.report.positions()
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="a person"))
    world.turn()
    assert not world.engine.quiet
    world.live(2_000)
    assert world.engine.report.positions() == {} and world.engine.quiet
    a_gap(world, "60000", "60400")
    world.live(1_000)
    assert world.engine.report.positions() == {}


def test_a_stop_keeps_holdings_where_that_is_the_wish() -> None:
    world = a_ready_world([A, B], [CrossExchange()], settings=EngineSettings(on_stop="keep"))
    a_gap(world)
    world.live(300)
    held = world.engine.report.positions()
    world.tell(ev.StopRequested(at=Nanos(world.now), reason="a person"))
    world.live(2_000)
    assert world.engine.report.positions() == held and world.engine.quiet


def test_every_intent_and_every_move_is_a_decision_that_survives_the_journal() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    a_gap(world)
    world.live(300)
    kinds = [type(d) for d in world.decisions]
    assert kinds == [IntentJudged, GroupMoved]
    kept = msgspec.json.encode(world.decisions)
    assert msgspec.json.decode(kept, type=list[AnyDecision]) == world.decisions


def test_why_not_traded_can_be_asked_of_every_pair() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    found = world.engine.report.opportunities()
    assert [o.verdict for o in found] == ["edge_is_too_small"] * 2
    assert all(o.card is not None and o.card.adds_up for o in found)


def test_asking_for_reports_changes_no_decision() -> None:
    def a_day(curious: bool) -> bytes:
        world = a_ready_world([A, B], [CrossExchange()], faults=Faults(partial=0.4), seed=5)
        for number in range(12):
            a_gap(world, "60000", "60300" if number % 2 else "59800")
            if curious:
                world.engine.report.opportunities()
                world.engine.report.profit()
                world.engine.report.equity_change()
            world.live(700)
        return world.digest()

    assert a_day(curious=True) == a_day(curious=False)


def test_a_replay_of_the_same_steps_gives_the_same_commands_and_decisions() -> None:
    world = a_busy_day()
    steps = msgspec.json.decode(msgspec.json.encode(world.steps), type=list[Step])
    commands, decisions = replay(steps, world, [CrossExchange(), SpotFutures()])
    assert len(commands) > 100
    assert commands == world.sent
    assert decisions == world.decisions


def test_hash_seeds_do_not_matter() -> None:
    root = Path(__file__).resolve().parents[2]
    code = (
        "import hashlib; from tests.core.test_engine import a_busy_day;"
        "print(hashlib.sha256(a_busy_day().digest()).hexdigest())"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{root}/src:{root}"},
            check=True,
            capture_output=True,
            cwd=root,
        ).stdout
        for seed in ("0", "1", "2")
    ]
    assert len(set(found)) == 1 and len(found[0]) > 60


def a_busy_day() -> World:
    spots = [a_spot("alpha"), a_spot("beta")]
    world = a_ready_world(
        [A, B, *spots],
        [CrossExchange(), SpotFutures()],
        faults=Faults(partial=0.3, doubled=0.2, late_ms_max=40),
        funds={("alpha", "unified", "BTC"): "1", ("beta", "unified", "BTC"): "1"},
    )
    for number in range(15):
        for spot in spots:
            world.quote(spot, str(60_000 + number * 13), str(60_001 + number * 13))
        a_gap(world, "60000", ("60300", "60000", "59700")[number % 3])
        world.live(600)
    return world


def test_a_busy_day_is_busy() -> None:
    assert a_busy_day().engine.report.counts()["fills"] > 30


def test_a_refused_opportunity_says_which_rule_refused_it() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    world.tell(
        ev.BalanceReported(
            at=Nanos(world.now),
            venue="beta",
            wallet="unified",
            asset="USDT",
            total=D(100_000),
            available=D(1),
        )
    )
    a_gap(world)
    looks = {o.pair: o.verdict for o in world.engine.report.opportunities()}
    assert looks[f"BTC buy {A.id} sell {B.id}"] == "refused: funds_are_there"
    assert looks[f"BTC buy {B.id} sell {A.id}"] == "edge_is_too_small"

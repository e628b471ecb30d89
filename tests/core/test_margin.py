"""Margin: what a venue may soon close leaves as a whole before that, and grows no further."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.core.engine import Engine
from oneprice.core.strategy import Alarmed, Intent, IntentJudged
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.settings import EngineSettings, GateSettings, MarginSettings
from oneprice.model.units import Lots, Nanos
from tests.build import D, Script, World, a_ready_world, replay
from tests.core.test_groups import A, B, a_world, ask, perps
from tests.core.test_recall import read_back

ENDS = ("liquidation_near", "deleveraging_near")


def told(world: World, it: Instrument, lots: int, price: str | None = None, **more: Any) -> None:
    """The venue's word about a position; nothing about its liquidation where no price is given."""
    liquidation = None if price is None else D(price)
    world.tell(
        ev.PositionReported(
            at=Nanos(world.now),
            instrument=it.id,
            lots=Lots(lots),
            liquidation=liquidation,
            **more,
        )
    )


def holding(settings: EngineSettings | None = None) -> World:
    """Ten lots of A held against ten of B, both at 60000."""
    world = a_world(perps(), settings=settings)
    ask(world)
    world.live(500)
    assert world.lots == {A.id: 10, B.id: -10}
    return world


def marked(world: World, it: Instrument, mark: str) -> None:
    world.tell(ev.Marked(at=Nanos(world.now), instrument=it.id, mark=D(mark)))


def exits(world: World) -> list[str]:
    judged = [d for d in world.decisions if isinstance(d, IntentJudged) and d.intent.closes]
    return [d.intent.reason for d in judged if d.group]


def alarms(world: World) -> list[Alarmed]:
    return [d for d in world.decisions if isinstance(d, Alarmed) and d.kind in ENDS]


def distance(world: World, it: Instrument) -> object:
    risk = world.engine.report.risks().get(it.id)
    return None if risk is None else risk.distance_bps


@pytest.mark.parametrize(
    ("it", "lots", "price"), [(A, 10, "58801"), (B, -10, "61199")], ids=["long", "short"]
)
def test_both_legs_leave_when_one_is_near_its_liquidation(
    it: Instrument, lots: int, price: str
) -> None:
    world = holding()
    told(world, it, lots, price)
    world.live(3_000)
    assert world.lots == {A.id: 0, B.id: 0} and world.engine.report.holdings() == []
    assert exits(world) == ["liquidation_near"]
    (alarm,) = alarms(world)
    assert alarm.subject == "t1g1" and alarm.text == f"{it.id}: 199.8 bps from liquidation"
    assert world.engine.clutch == f"liquidation_near of t1g1: {alarm.text}"


def test_at_the_distance_itself_everything_stays_and_a_mark_that_moves_ends_it() -> None:
    world = holding()
    told(world, A, 10, "58800")  # two percent
    marked(world, A, "60000")
    world.live(3_000)
    assert exits(world) == [] and world.engine.clutch == "" and distance(world, A) == 200
    marked(world, A, "59990")
    world.live(3_000)
    assert world.lots == {A.id: 0, B.id: 0} and exits(world) == ["liquidation_near"]


@pytest.mark.parametrize("price", [None, "0"])
def test_a_venue_that_tells_no_liquidation_price_ends_and_refuses_nothing(
    price: str | None,
) -> None:
    world = holding()
    told(world, A, 10, price)
    world.live(3_000)
    assert exits(world) == [] and distance(world, A) is None


def test_a_statement_without_the_price_leaves_what_was_told_and_a_zero_takes_it_back() -> None:
    world = holding()
    told(world, A, 10, "57000", adl_rank=2)
    told(world, A, 10)
    assert distance(world, A) == 500 and world.engine.report.risks()[A.id].adl_rank == 2
    told(world, A, 10, "0")
    assert distance(world, A) is None and world.engine.report.risks()[A.id].adl_rank == 2


def test_what_was_told_of_one_side_says_nothing_of_the_other() -> None:
    world = holding()
    told(world, A, 10, "57000", adl_rank=2)
    told(world, A, -10)
    risk = world.engine.report.risks()[A.id]
    assert (risk.distance_bps, risk.adl_rank) == (None, None)
    told(world, A, 0, "57000")
    assert A.id not in world.engine.report.risks()


def test_a_liquidation_price_that_was_passed_is_the_nearest_of_all() -> None:
    world = holding()
    told(world, A, 10, "90000")
    assert distance(world, A) == -5_000
    world.live(3_000)
    assert exits(world) == ["liquidation_near"]


def test_a_leg_on_the_other_side_of_the_venues_position_is_not_closed_for_its_sake() -> None:
    """Selling more of what the venue holds short would bring it nearer."""
    world = holding()
    told(world, A, -3, "60600")
    world.live(500)
    assert exits(world) == []


def test_an_entry_that_would_add_to_a_position_near_its_liquidation_is_refused() -> None:
    gate = GateSettings(groups_per_pair_max=9)
    world = a_world(perps(), settings=EngineSettings(gate=gate))
    script = world.engine._strategies[0]
    assert isinstance(script, Script)
    ask(world)
    world.live(500)
    told(world, A, 10, "57001")
    script.intents = [perps()]
    ask(world)
    assert world.engine.report.refusals() == {"liquidation_is_far": 1}
    told(world, A, 10, "57000")
    script.intents = [perps()]
    ask(world)
    world.live(500)
    assert world.lots == {A.id: 20, B.id: -20}


def test_the_alarm_rings_once_while_the_exit_is_tried_and_again_after_it_was_safe() -> None:
    world = holding()
    for it in (A, B):
        world.books[it.id].lose()
    marked(world, A, "60000")
    told(world, A, 10, "59000")
    world.live(5_000)
    assert len(alarms(world)) == 1 and world.lots[A.id] == 10
    told(world, A, 10, "30000")
    world.live(1_000)
    told(world, A, 10, "59000")
    world.live(1_000)
    assert len(alarms(world)) == 2
    for it in (A, B):
        world.quote(it, "59999", "60001")
    world.live(3_000)
    assert world.lots == {A.id: 0, B.id: 0} and len(alarms(world)) == 2


def test_a_high_place_in_the_queue_ends_a_holding_only_where_that_is_wanted() -> None:
    world = holding()
    told(world, B, -10, adl_rank=4)
    world.live(2_000)
    assert exits(world) == []
    world = holding(EngineSettings(margin=MarginSettings(adl_exit_rank=3)))
    told(world, B, -10, adl_rank=2)
    world.live(2_000)
    assert exits(world) == []
    told(world, B, -10, adl_rank=3)
    world.live(2_000)
    assert exits(world) == ["deleveraging_near"] and world.lots == {A.id: 0, B.id: 0}
    assert [a.text for a in alarms(world)] == [f"{B.id}: rank 3 of 4"]
    assert world.engine.clutch == "", "no collateral is missing"


class Asked(Script):
    """Proposes once a forecast has moved: by its inputs alone, as a replay must."""

    def propose(self, news: Any, view: Any) -> Iterable[Intent]:
        yield from super().propose(news, view) if news.moved == (A.id,) else ()


def test_the_same_inputs_lead_to_the_same_exit() -> None:
    world = a_ready_world([A, B], [Asked(perps())])
    ask(world)
    world.live(500)
    told(world, A, 10, "58900")
    world.live(3_000)
    assert exits(world) == ["liquidation_near"] and world.lots == {A.id: 0, B.id: 0}
    commands, decisions = replay(world.steps, world, [Asked(perps())])
    assert any(isinstance(d, Alarmed) and d.kind in ENDS for d in decisions)
    assert (commands, decisions) == (world.sent, world.decisions)


def test_a_restart_knows_how_near_every_position_was() -> None:
    world = holding()
    told(world, A, 10, "50000", adl_rank=1)
    told(world, A, 10)
    told(world, B, -10, "0", adl_rank=4)
    fresh = Engine(world.settings, [Script()], {}, Tripwires(), "t2")
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    fresh.recall.end()
    assert fresh._accounts.positions == world.engine._accounts.positions
    marked(world, A, "60000")
    fresh.handle(ev.Marked(at=Nanos(world.now), instrument=A.id, mark=D("60000")))
    assert fresh.report.risks()[A.id] == world.engine.report.risks()[A.id]


@given(
    lots=st.integers(-100, 100).filter(bool),
    mark=st.decimals("0.00001", "1e9", places=5),
    share=st.decimals("-0.9", "0.9", places=6),
)
def test_a_distance_is_the_move_of_the_mark_that_ends_a_position(
    lots: int, mark: Any, share: Any
) -> None:
    world = a_world()
    side = 1 if lots > 0 else -1
    marked(world, A, str(mark))
    told(world, A, lots, str(mark * (1 - side * share)))
    found = world.engine.report.risks()[A.id].distance_bps
    assert found is not None and abs(found - share * 10_000) < D("1e-9")

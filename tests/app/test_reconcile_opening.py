"""Reconcile near the opening: the journal says what the opening has, else the balance does."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.build import World, a_ready_world
from tests.core.test_recall import read_back
from tests.core.test_statement import A, B, a_line, happened, near_world, opens_with

from oneprice.app.config import ConfigError, VenueConfig
from oneprice.app.reconcile import result
from oneprice.app.reconcile_ours import Ours, ours
from oneprice.app.reconcile_theirs import Theirs, _Asking, ask
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MILLI, Nanos

PURSE = ("alpha", "unified", "USDT")


def journal_of(world: World) -> Ours:
    return ours(world.settings, [read_back(entry)[1] for entry in world.journal])


def told_by(world: World, mine: Ours, ahead_ms: int = 0) -> Theirs:
    """All lines and balances that the venue of a world has, asked with a clock of its own."""
    venue = VenueConfig(name="alpha", markets=("linear",))
    station: Any = SimpleNamespace(
        clock=SimpleNamespace(offset_ns=lambda _: ahead_ms * MILLI), venue="alpha"
    )
    asking = _Asking(station, venue, world.settings, mine)
    asking._lines([line for line in world.lines if line.venue == "alpha"])
    asking._found.balances = {p: n for p, n in world.money.items() if p[0] == "alpha"}
    return asking._found


@pytest.mark.parametrize("ahead_ms", [-30_000, 0, 30_000])
@pytest.mark.parametrize("after_ms", [-20_000, -1, 900, 20_000])
def test_the_deposit_that_is_the_opening_is_no_line_of_theirs_alone(
    after_ms: int, ahead_ms: int
) -> None:
    world = near_world()
    opens_with(world, "100000", venue_ms=world.now // MILLI + after_ms)
    happened(world, a_line(world, "interest", "-3"))
    world.run(20_000)
    mine = journal_of(world)
    told = told_by(world, mine, ahead_ms)
    assert result(mine, {"alpha": told}).ok


@pytest.mark.parametrize("after_ms", [-20_000, 900, 20_000])
def test_a_deposit_near_the_opening_that_we_booked_is_found_among_theirs(after_ms: int) -> None:
    world = near_world()
    opens_with(world, "100000", venue_ms=world.now // MILLI - 1_000)
    happened(world, a_line(world, "transfer", "500", venue_ms=world.now // MILLI + after_ms))
    world.run(20_000)
    mine = journal_of(world)
    assert mine.closings[PURSE] == 100_500
    told = told_by(world, mine)
    found = result(mine, {"alpha": told})
    assert found.ok and [row.matched for row in found.rows if row.theirs] == [1]


def a_short_world() -> tuple[World, Ours]:
    """It ended before any statement was asked for: the journal knows no line."""
    world = a_ready_world([A, B], [], settings=EngineSettings())
    opens_with(world, "100000", venue_ms=world.now // MILLI + 900)
    return world, journal_of(world)


def test_what_the_journal_never_heard_of_is_told_apart_by_the_balance() -> None:
    world, mine = a_short_world()
    assert result(mine, {"alpha": told_by(world, mine)}).ok
    happened(world, a_line(world, "transfer", "500", venue_ms=world.now // MILLI + 950))
    found = result(mine, {"alpha": told_by(world, mine)})
    (row,) = [row for row in found.rows if not row.ok]
    assert (row.unexplained, [m.amount for m in row.left_theirs]) == (500, [Decimal(500)])


def test_a_deposit_after_the_end_of_a_short_session_is_later_and_explained() -> None:
    world, mine = a_short_world()
    happened(world, a_line(world, "transfer", "500", venue_ms=world.now // MILLI + 40_000))
    found = result(mine, {"alpha": told_by(world, mine)})
    assert found.ok and [row.later for row in found.rows if row.later] == [500]


def test_a_line_of_before_the_opening_by_far_is_none_of_ours() -> None:
    world, mine = a_short_world()
    world.lines.append(a_line(world, "interest", "-1", venue_ms=1_000_000))
    assert result(mine, {"alpha": told_by(world, mine)}).ok


async def test_the_keys_are_looked_for_in_the_secrets_file_that_is_configured(
    tmp_path: Path,
) -> None:
    venue = VenueConfig(name="bybit", environment="demo")
    missing = tmp_path / "secrets"
    mine = Ours(ended_at=Nanos(1))
    with pytest.raises(ConfigError, match=str(missing)):
        await ask(venue, EngineSettings(), mine, str(missing))
    missing.write_text("ONEPRICE_BYBIT_KEY=k\n")
    missing.chmod(0o644)
    with pytest.raises(ConfigError, match="secrets"):
        await ask(venue, EngineSettings(), mine, str(missing))

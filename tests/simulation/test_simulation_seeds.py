"""Worlds of virtual time: whatever goes wrong, what must hold does."""

import pytest
from kept_seeds import KEPT

from oneprice.app.world.campaign import Tally
from oneprice.app.world.simulate import Result, simulate

SEEDS = 300
PARTS = 12  # so that several workers share them


def told(results: list[Result]) -> str:
    """What did not hold, and how to see it again."""
    return "\n".join(
        f"seed {result.seed} (oneprice sim --first {result.seed} --seeds 1): "
        f"{violation.rule} at {violation.at_s} s: {violation.text}"
        for result in results
        for violation in result.violations[:3]
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_what_must_hold(part: int) -> None:
    results = [simulate(seed) for seed in range(part, SEEDS, PARTS)]
    assert not told(results), told(results)
    tally = Tally()
    for result in results:
        tally.add(result)
    # A simulation in which nothing happens would hold, too.
    assert tally.orders > 5 * tally.worlds
    assert tally.fills > 4 * tally.worlds
    assert len(tally.faults) > 8
    assert tally.crashes > 2
    assert len(tally.checks) > 20
    assert tally.calm_earned > 0 or not tally.calm


@pytest.mark.parametrize("seed", KEPT)
def test_a_seed_that_failed_once_holds(seed: int) -> None:
    assert not told([simulate(seed)]), f"{KEPT[seed]}:\n{told([simulate(seed)])}"

"""Every planted bug is caught; without one the same worlds hold."""

import pytest
from planted import BUGS, CAUGHT_BY, SEEDS_MAX, catch

from oneprice.app.world.simulate import simulate


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    usual = CAUGHT_BY[bug]
    caught = catch(bug, [usual, *(seed for seed in range(SEEDS_MAX) if seed != usual)])
    assert caught.seeds, f"{bug} went unseen through {SEEDS_MAX} worlds"


@pytest.mark.parametrize("seed", sorted(set(CAUGHT_BY.values())))
def test_the_world_that_catches_one_holds_without_it(seed: int) -> None:
    assert not simulate(seed).violations

"""The same seed does the same, to the byte, whoever runs it and when."""

import itertools
import os
import subprocess
import sys
import time

import pytest

from oneprice.app.world.plan import make_plan
from oneprice.app.world.simulate import simulate

SEEDS = (0, 2, 16)  # calm; a full disk and a start over it; a crash
ELSEWHERE = """
from oneprice.app.world.simulate import simulate
for seed in {seeds}:
    result = simulate(seed)
    print(seed, result.journal, result.events, result.frames, result.virtual_s)
"""


def told(seed: int) -> str:
    result = simulate(seed)
    return f"{seed} {result.journal} {result.events} {result.frames} {result.virtual_s}"


def test_a_seed_run_again_writes_the_same_journal_to_the_byte() -> None:
    assert told(SEEDS[1]) == told(SEEDS[1])


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_another_process_with_other_hashes_writes_the_same(hash_seed: str) -> None:
    there = subprocess.run(
        [sys.executable, "-c", ELSEWHERE.format(seeds=SEEDS)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.splitlines() == [told(seed) for seed in SEEDS]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_machine_that_stands_still_for_minutes_changes_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = told(seed)
    leaps = itertools.count(time.monotonic(), 97.0)
    for clock in ("time.monotonic", "aiohttp.connector.monotonic"):
        monkeypatch.setattr(clock, lambda: next(leaps))
    assert told(seed) == undisturbed


def test_two_seeds_are_two_worlds() -> None:
    assert make_plan(1) != make_plan(2)
    assert simulate(1).journal != simulate(3).journal


def test_every_kind_of_misfortune_is_planned_for() -> None:
    planned = {fault.kind for seed in range(200) for fault in make_plan(seed).faults}
    from oneprice.app.world.plan import KINDS

    assert planned == set(KINDS)
    assert all(not make_plan(seed).faults for seed in range(0, 200, 10))

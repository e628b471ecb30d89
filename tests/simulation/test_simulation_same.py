"""The same seed does the same, to the byte, whoever runs it and when."""

import os
import subprocess
import sys
from decimal import ROUND_DOWN, localcontext
from itertools import zip_longest
from pathlib import Path

import pytest

from oneprice.app.world.plan import make_plan
from oneprice.app.world.simulate import simulate

SEEDS = (0, 2, 16)  # calm; a full disk and a start over it; a crash
ELSEWHERE = """
from test_simulation_same import SEEDS, told
for seed in SEEDS:
    print(*told(seed), sep="\\n")
"""
# In a process of its own: the loops of whatever else lives here would leap as well.
LEAPS = """
import itertools, time
import aiohttp.connector
leaps = itertools.count(time.monotonic(), 97.0)
time.monotonic = aiohttp.connector.monotonic = lambda: next(leaps)
"""


def told(seed: int) -> list[str]:
    """What was journaled, turn by turn: where two runs differ is worth more than that they do."""
    kept: list[bytes] = []
    result = simulate(seed, kept)
    end = f"{seed} {result.journal} {result.events} {result.frames} {result.virtual_s}"
    return [*(entry.decode() for entry in kept), end]


def differ(ours: list[str], theirs: list[str]) -> list[tuple[int, str, str]]:
    """The first few places where they do."""
    pairs = enumerate(zip_longest(ours, theirs, fillvalue=""))
    return [(at, one, other) for at, (one, other) in pairs if one != other][:3]


def test_a_seed_run_again_writes_the_same_journal_to_the_byte() -> None:
    assert not differ(told(SEEDS[1]), told(SEEDS[1]))


def told_elsewhere(code: str, hash_seed: str) -> list[str]:
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return there.stdout.splitlines()


@pytest.mark.parametrize(
    ("code", "hash_seed"),
    [(ELSEWHERE, "1"), (ELSEWHERE, "4242"), (LEAPS + ELSEWHERE, "1")],
    ids=["other hashes", "yet others", "a machine that stands still for minutes"],
)
def test_another_process_writes_the_same(code: str, hash_seed: str) -> None:
    here = [line for seed in SEEDS for line in told(seed)]
    assert not differ(here, told_elsewhere(code, hash_seed))


def test_how_others_made_this_thread_round_changes_nothing() -> None:
    undisturbed = told(SEEDS[0])
    with localcontext(rounding=ROUND_DOWN, prec=9):
        assert not differ(told(SEEDS[0]), undisturbed)


def test_two_seeds_are_two_worlds() -> None:
    assert make_plan(1) != make_plan(2)
    assert simulate(1).journal != simulate(3).journal


def test_every_kind_of_misfortune_is_planned_for() -> None:
    planned = {fault.kind for seed in range(200) for fault in make_plan(seed).faults}
    from oneprice.app.world.plan import KINDS

    assert planned == set(KINDS)
    assert all(not make_plan(seed).faults for seed in range(0, 200, 10))

"""`oneprice sim`: the figures of worlds, for people and for scripts."""

import json

import pytest
import typer
from typer.testing import CliRunner

from oneprice.app.config import ConfigError
from oneprice.app.world import campaign as campaigns
from oneprice.app.world.campaign import Tally, campaign
from oneprice.app.world.simulate import Result, simulate
from oneprice.app.world.violations import Violation
from oneprice.cli.sim import sim

app = typer.Typer()
app.command()(sim)


def test_one_calm_world_is_told_to_scripts() -> None:
    done = CliRunner().invoke(app, ["--seeds", "1", "--first", "10", "--jobs", "1", "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["worlds"] == figures["calm"] == 1
    assert figures["orders"] > 10
    assert figures["broken"] == {}
    assert figures["checks"]["calm_trades"] == 1
    assert figures["seeds_per_second"] > 0


def test_one_world_is_told_to_people_with_its_misfortunes() -> None:
    done = CliRunner().invoke(app, ["--seeds", "1", "--first", "10", "--jobs", "1"])
    assert done.exit_code == 0, done.output
    assert "1 worlds (1 calm)" in done.stdout
    assert "violations: 0 worlds" in done.stdout


def test_a_broken_world_is_named_with_the_command_that_runs_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Result(seed=7, calm=False, violations=[Violation("sent_once", 1.5, "w1g1o1 again")])
    monkeypatch.setattr(campaigns, "simulate", lambda seed: broken)
    done = CliRunner().invoke(app, ["--seeds", "1", "--first", "7", "--jobs", "1"])
    assert done.exit_code == 1
    assert "oneprice sim --first 7 --seeds 1" in done.stdout
    assert "sent_once: w1g1o1 again" in done.stdout


def test_a_world_that_breaks_the_simulation_is_a_broken_world(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def torn(seed: int) -> Result:
        raise RuntimeError("the sky falls")

    monkeypatch.setattr(campaigns, "simulate", torn)
    tally = campaign([3], jobs=1)
    assert [v.text for v in tally.broken[3]] == ["RuntimeError: the sky falls"]


def test_figures_of_several_processes_are_those_of_one() -> None:
    seeds = (10, 20)
    tally = campaign(seeds, jobs=2)
    alone = Tally()
    for seed in seeds:
        alone.add(simulate(seed))
    assert (tally.worlds, tally.orders, tally.events) == (2, alone.orders, alone.events)
    assert tally.checks == alone.checks


@pytest.mark.parametrize(
    "words", [["--seeds", "0"], ["--first", "-1"], ["--minutes", "0"], ["--minutes", "soon"]]
)
def test_nonsense_is_refused_by_name(words: list[str]) -> None:
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError)
    assert words[0] in str(done.exception)

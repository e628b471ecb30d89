"""Every drill is played once, against the twins of every venue that has drills at all."""

import asyncio
import itertools
import os
import time
from pathlib import Path

import pytest

from oneprice.app.drills import paper
from oneprice.app.drills.catalog import BY_NAME, DRILLS, chosen, venues_of
from oneprice.app.drills.contract import Check, Drill, Result
from oneprice.app.drills.judge import CLOSED, EQUAL, EXACT, FLAT, ONCE, SOUND
from oneprice.app.drills.perform import TRIES, perform
from oneprice.app.drills.stage import LEGS, Stage, apart, longest
from oneprice.app.drills.standstill import LOOK_S, Standstill
from oneprice.twin.contract import Order, OrderRequest
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.market import Stall

USUAL = ("bybit", "binance")
ISSUE = (
    *("leg-refused", "leg-half-filled", "answer-lost", "cancel-fill-race", "connection-lost"),
    *("both-venues-lost", "book-gap", "frozen-stream", "rate-ban", "clock-off", "venue-restart"),
    *("kill-before-send", "kill-mid-unwind", "disk-full", "adl", "delisting", "flash-crash"),
    *("funding-mid-trade", "mode-by-hand", "collateral-withdrawn"),
)
# What each venue does in its own way is played there as well.
ELSEWHERE = [
    ("book-gap", ("binance", "bybit")),
    ("book-gap", ("bybit", "okx")),
    ("book-gap", ("okx", "kucoin")),
    ("rate-ban", ("kucoin", "okx")),
    ("rate-ban", ("okx", "kucoin")),
    ("rate-ban", ("binance", "bybit")),
    ("venue-restart", ("okx", "kucoin")),
    ("book-gap", ("bybit", "bitmex")),
    ("answer-lost", ("kucoin", "okx")),
    ("mode-by-hand", ("binance", "kucoin")),
    ("collateral-withdrawn", ("binance", "okx")),
]
PLAYED = [(drill.name, USUAL) for drill in DRILLS] + ELSEWHERE


@pytest.mark.parametrize(
    ("name", "venues"), PLAYED, ids=lambda x: x if isinstance(x, str) else "-".join(x)
)
def test_a_drill_holds(name: str, venues: tuple[str, str]) -> None:
    result = asyncio.run(perform(BY_NAME[name], venues))
    assert result.outcome == "pass", "\n".join(paper.told(result))
    assert {ONCE, FLAT, EQUAL, EXACT} <= {check.must for check in result.checks}
    assert result.did and result.seconds > 0


def test_the_twenty_drills_that_were_asked_for_are_there_and_each_says_what_must_hold() -> None:
    assert sorted(BY_NAME) == sorted(ISSUE) and len(DRILLS) == len(BY_NAME) == 20
    common = {ONCE, FLAT, EQUAL, EXACT, SOUND, CLOSED}
    for drill in DRILLS:
        assert drill.must and not common & set(drill.must.values())


async def test_a_sentence_that_nobody_looked_at_fails() -> None:
    async def nothing(stage: object) -> None:
        return

    lazy = Drill(name="lazy", title="lazy", must={"seen": "somebody looks"}, act=nothing)
    result = await perform(lazy, USUAL)
    assert result.outcome == "fail" and "nobody looked whether somebody looks" in result.trouble


def staging(comes_at: int, broken: bool = False) -> tuple[Drill, list[object]]:
    """A drill whose situation comes about at one of its tries, and the stages it was played on."""
    stages: list[object] = []

    async def act(stage: Stage) -> None:
        stages.append(stage.directory)
        if broken:
            stage.saw("holds", False, "it does not")
        stage.staged("there", len(stages) == comes_at, "a quiet market")
        stage.saw("holds", True, "it does")

    must = {"there": "the situation is there", "holds": "something holds"}
    return Drill(name="x", title="x", must=must, act=act), stages


async def test_a_drill_whose_situation_did_not_come_about_is_played_again_and_says_so() -> None:
    drill, stages = staging(comes_at=2)
    result = await perform(drill, USUAL)
    assert result.outcome == "pass" and len(set(stages)) == 2
    assert result.did == ["not staged: the situation is there (seen: a quiet market)"]


async def test_a_drill_whose_situation_never_comes_about_has_not_passed() -> None:
    drill, stages = staging(comes_at=99)
    result = await perform(drill, USUAL)
    assert (result.outcome, len(set(stages))) == ("fail", TRIES)
    assert result.trouble.startswith(f"in {TRIES} tries not staged: the situation is there")


async def test_what_broke_before_is_no_reason_to_play_again() -> None:
    drill, stages = staging(comes_at=99, broken=True)
    result = await perform(drill, USUAL)
    assert (result.outcome, len(stages)) == ("fail", 1)


@pytest.mark.parametrize("name", ["cancel-fill-race", "leg-half-filled"])
def test_prices_that_jump_while_an_order_is_on_its_way_stage_it_all_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a machine that stood still: whatever rested is far behind the market."""
    fair, place, jumped = Stall.fair, InnerExchange.place, [1.0]

    def placed(self: InnerExchange, request: OrderRequest, at: int) -> Order:
        jumped[0] = 1.004
        return place(self, request, at)

    def moved(self: Stall, at: int) -> float:
        here = jumped[0] if self.instrument.venue == USUAL[1] else 1.0
        return here * fair(self, at)

    monkeypatch.setattr(InnerExchange, "place", placed)
    monkeypatch.setattr(Stall, "fair", moved)
    result = asyncio.run(perform(BY_NAME[name], USUAL))
    assert result.outcome == "pass", "\n".join(paper.told(result))
    assert not any(text.startswith("not staged") for text in result.did)


async def test_a_machine_that_stands_still_is_told_from_a_house_at_work() -> None:
    still = Standstill()
    began, worked = time.monotonic(), time.process_time()
    still.begin()
    await asyncio.sleep(0)
    time.sleep(0.3)  # as good as a stopped process: no work of ours
    await asyncio.sleep(2 * LOOK_S)
    stood = still.ms
    busy = time.process_time()
    while time.process_time() - busy < 0.3:
        pass
    await asyncio.sleep(2 * LOOK_S)
    await still.end()
    idle = time.monotonic() - began - (time.process_time() - worked)
    assert 20 < stood <= still.ms <= idle * 1000 + 50  # other threads of this process work


async def test_what_breaks_in_a_drill_makes_it_fail_and_is_told() -> None:
    async def broken(stage: object) -> None:
        raise ZeroDivisionError("drill")

    result = await perform(Drill(name="x", title="x", must={}, act=broken), USUAL)
    assert (result.outcome, result.trouble) == ("fail", "ZeroDivisionError: drill")


async def test_a_venue_without_means_is_skipped_with_the_reason_and_is_no_failure() -> None:
    result = await perform(BY_NAME["mode-by-hand"], ("bybit", "bitmex"))
    assert (result.outcome, result.failed) == ("skipped", False)
    assert result.trouble == "not with these venues: bitmex tells the mode of open positions only"
    result = await perform(BY_NAME["adl"], ("bybit", "elsewhere"))
    assert result.outcome == "skipped" and "no leg is known at elsewhere" in result.trouble


def test_keys_and_addresses_of_this_person_are_out_of_reach_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEPRICE_BYBIT_KEY", "real")
    monkeypatch.setenv("ONEPRICE_ALERTS", "json://somewhere")
    monkeypatch.setenv("SENTRY_DSN", "https://somewhere")
    before, here = dict(os.environ), Path.cwd()
    with apart(tmp_path / "inside"):
        assert not [
            name
            for name in os.environ
            if name.startswith("ONEPRICE_") and name != "ONEPRICE_KERNEL"
        ]
        assert "SENTRY_DSN" not in os.environ and Path.cwd() == tmp_path / "inside"
        os.environ["ONEPRICE_BYBIT_KEY"] = "of a twin"
    assert (dict(os.environ), Path.cwd()) == (before, here)


@pytest.mark.parametrize(
    ("moves", "span"),
    [
        ([], 0),
        ([(5, 1), (9, -1)], 4),
        ([(5, 1), (9, -2), (12, 1), (20, 1), (21, -1)], 7),
        ([(5, 1)], 95),
    ],
)
def test_the_longest_unhedged_time_is_from_the_first_uneven_fill_to_the_one_that_mends_it(
    moves: list[tuple[int, int]], span: int
) -> None:
    assert longest(moves, 100) == span  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["bybit", "bybit,bybit", "bybit,nowhere", "a,b,c", ""])
def test_venues_that_are_not_two_known_ones_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="--venues"):
        venues_of(text)


def test_every_pair_of_venues_with_a_leg_can_be_named() -> None:
    for pair in itertools.permutations(LEGS, 2):
        assert venues_of(",".join(pair)) == pair


def test_drills_are_chosen_by_name_once_each() -> None:
    assert [d.name for d in chosen(["adl", "adl", "disk-full"])] == ["adl", "disk-full"]
    assert len(chosen(["all"])) == len(DRILLS)
    with pytest.raises(ValueError, match="did you mean 'adl'"):
        chosen(["adll"])


def test_a_report_holds_every_sentence_and_nothing_of_whose_machine_it_is(tmp_path: Path) -> None:
    check = Check(must="a | b holds", seen="it\ndid", held=False)
    result = Result(
        name="x", title="t", venues=USUAL, outcome="fail", did=["this"], checks=[check],
        trouble="", unhedged_ms=12.4, recovery_ms=None, seconds=1.0,
    )  # fmt: skip
    told = paper.protocol([result])
    assert (told.failed, told.passed, told.longest_unhedged_ms) == (1, 0, 12.4)
    for name in ("r.md", "r.json"):
        paper.write(tmp_path / name, told)
        text = (tmp_path / name).read_text()
        assert told.version in text and told.kernel in text and told.date in text
        assert os.uname().nodename not in text and str(Path.home()) not in text
    assert "| a / b holds | it did | **broken** |" in (tmp_path / "r.md").read_text()

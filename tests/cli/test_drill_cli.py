"""`oneprice drill` as a command: shapes, statuses, one line a mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ONEPRICE = [sys.executable, "-m", "oneprice.cli.main"]


def oneprice(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ONEPRICE, *words], capture_output=True, text=True, timeout=300, check=False
    )


def test_the_list_names_every_drill_with_what_must_hold() -> None:
    plain, told = oneprice("drill", "list"), oneprice("drill", "list", "--json")
    assert (plain.returncode, told.returncode, plain.stderr) == (0, 0, "")
    drills = json.loads(told.stdout)
    assert [line.split()[0] for line in plain.stdout.splitlines()] == [d["name"] for d in drills]
    assert len(drills) == 20 and all(d["title"] and d["must"] for d in drills)


def test_a_drill_tells_what_was_done_and_seen_and_leaves_a_report(tmp_path: Path) -> None:
    report = tmp_path / "drills.md"
    done = oneprice("drill", "leg-half-filled", "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("leg-half-filled: ") and "Traceback" not in done.stderr
    assert any(line.startswith("  done ") for line in lines)
    assert any(line.startswith("  holds ") for line in lines)
    assert lines[-1].startswith("1 passed, 0 failed; longest unhedged ")
    assert "## leg-half-filled: " in report.read_text()


def test_results_as_json_are_one_document_and_those_of_a_json_report(tmp_path: Path) -> None:
    report = tmp_path / "drills.json"
    words = ("drill", "clock-off", "--venues", "okx,kucoin", "--json", "--report", str(report))
    done = oneprice(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads(report.read_text())
    assert (told["passed"], told["failed"], told["skipped"]) == (1, 0, 0)
    assert told["drills"][0]["venues"] == ["okx", "kucoin"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no drill named; expected names, all, or list"),
        (["leg-refuse"], "drill 'leg-refuse'; did you mean 'leg-refused'?"),
        (["all", "--venues", "bybit"], "--venues: found 'bybit', expected two that differ"),
        (["adl", "--venues", "bybit,binanc"], "did you mean 'binance'?"),
        (["adl", "--report", "nowhere/at/all.md"], "No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_played(words: list[str], said: str) -> None:
    done = oneprice("drill", *words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and said in done.stderr

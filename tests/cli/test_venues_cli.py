"""`oneprice venues`, `doctor` and others as commands: shapes, statuses, one line a mistake."""

import json
import subprocess
import sys
import time
from pathlib import Path
from signal import SIG_DFL, SIGINT, signal

import pytest

from oneprice.store.tape import read_tape
from oneprice.venues.contract import FEATURES

ONEPRICE = [sys.executable, "-m", "oneprice.cli.main"]
FIVE = Path(__file__).resolve().parents[2] / "examples" / "five_venues.toml"
NAMES = ["bybit", "binance", "okx", "kucoin", "bitmex"]


def oneprice(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ONEPRICE, *words], capture_output=True, text=True, timeout=300, check=False
    )


def test_one_card_of_two_venues_is_one_document() -> None:
    done = oneprice("venues", "bybit", "okx", "--card", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert set(document) == {"verdicts", "table"}
    for verdict, venue in zip(document["verdicts"], ("bybit", "okx"), strict=True):
        assert verdict == {
            "venue": venue, "number": 2, "name": "clock offset", "feature": "",
            "passed": True, "detail": "",
        }  # fmt: skip
    assert set(document["table"]) == {"always", *FEATURES}
    assert document["table"]["always"] == {"bybit": "passed", "okx": "passed"}
    # A cell is a card that was played, never a claim.
    others = {cell for row in FEATURES for cell in document["table"][row].values()}
    assert others == {"not played", ""}


def test_the_table_has_a_column_for_each_venue_once() -> None:
    done = oneprice("venues", "okx", "okx", "--card", "1")
    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["feature", "okx"]
    assert rows[0].split() == ["always", "yes"]
    assert "okx        1 instruments and contract maths: passed" in done.stderr
    assert "[warning]" not in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["venues", "bybitt"], "unknown venue 'bybitt'; did you mean 'bybit'?"),
        (["venues", "--card", "999"], "--card: found 999, expected 1 to "),
        (["venues", "--card", "x"], "--card: found 'x', expected 1 to "),
        (["venues", "--cards", "1"], "No such option: --cards"),
        (["doctor", "--config", "/nowhere.toml"], "/nowhere.toml: No such file"),
        (["doctor", "--mode", "live"], "--mode live: expected --config FILE"),
        (["doctor", "--mode", "moon"], "--mode: found 'moon'; expected one of: twin"),
        (["twin", "bybit", "--port", "x"], "--port: found 'x', expected 0 (any free one) to"),
        (["twin", "bybit,bybit"], "twin: found 'bybit' twice, expected names that differ"),
        (["twin", ","], "twin: found ',', expected names of venues"),
        (["scan"], "Missing option '--venues'; see oneprice scan --help"),
        (
            ["scan", "--venues", "kraken", "--symbols", "BTC/USDT", "--rounds", "-1"],
            "--rounds: found -1, expected 0 (until stopped) or more",
        ),
        (
            ["scan", "--venues", "kraken", "--symbols", "BTC/USDT", "--depth", "few"],
            "--depth: found 'few', expected 1 or more",
        ),
        (
            ["scan", "--venues", "kraken", "--symbols", "B/U", "--at", "kraken=http://h:99999"],
            "--at: expected VENUE=http://host:port, found 'http://h:99999'",
        ),
        (["bogus"], "No such command 'bogus'; see oneprice --help"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(words: list[str], complaint: str, said) -> None:
    done = said(*words)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_doctor_looks_at_all_five_venues_of_the_example() -> None:
    done = oneprice("doctor", "--config", str(FIVE), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    findings = json.loads(done.stdout)["findings"]
    assert {f["venue"] for f in findings} == {"", *NAMES}
    for venue in NAMES:
        seen = {f["what"]: f["mark"] for f in findings if f["venue"] == venue}
        for what in ("reachable", "clock", "instruments", "sockets", "key"):
            assert seen[what] == "ok", (venue, what)


def test_the_example_of_five_venues_trades_and_tells_no_secret(tmp_path: Path) -> None:
    session = tmp_path / "s"
    done = oneprice(
        "run", "--config", str(FIVE), "--for", "4s", "--json", "--session", str(session)
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["missing"] == []
    assert summary["rejected_frames"] == {}
    assert summary["discrepancies"] == []
    files = [path for path in session.rglob("*") if path.is_file()]
    kept = [path.read_bytes() for path in files if path.suffix != ".tape"]
    tape = session / "starts" / "0001" / "inputs.tape"
    kept += [record.payload for record in read_tape(tape)]
    for told in (done.stdout.encode(), done.stderr.encode(), *kept):
        assert b"-secret-" not in told
        assert b"-pass-" not in told
    replay = oneprice("parity", str(session), "--json")
    assert replay.returncode == 0, replay.stdout


def _hear_ctrl_c() -> None:
    # A suite that was started in the background hands on that SIGINT is ignored.
    signal(SIGINT, SIG_DFL)


@pytest.mark.parametrize("after_s", [5.0])  # on a busy machine Python itself needs seconds
@pytest.mark.parametrize("words", [["doctor"], ["venues", "bybit"], ["twin", "bybit"]])
def test_ctrl_c_ends_it_without_a_word(words: list[str], after_s: float) -> None:
    with subprocess.Popen(
        [*ONEPRICE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 -- no threads here
    ) as process:
        time.sleep(after_s)
        process.send_signal(SIGINT)
        try:
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()  # or a command that does not hear it would be waited for, for ever
    # In its first moments a process is Python's, which dies of the signal.
    assert process.returncode in (0, 130, -SIGINT)
    if process.returncode != -SIGINT:
        assert "Traceback" not in err

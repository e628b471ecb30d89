"""The shapes that scripts rely on: one JSON document on standard output, and nothing else."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

ONEPRICE = [sys.executable, "-m", "oneprice.cli.main"]


def oneprice(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ONEPRICE, *words], capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    directory = tmp_path_factory.mktemp("run") / "session"
    done = oneprice("run", "--for", "12s", "--json", "--session", str(directory))
    assert done.returncode == 0, done.stderr
    return directory, json.loads(done.stdout)


def test_a_run_says_everything_that_scripts_ask(session) -> None:
    _, summary = session
    expected = {
        "seconds": float, "frames": int, "intents": int, "refused": dict, "groups": dict,
        "orders": int, "fills": int, "pnl": dict, "equity_change": str, "ledger_residual": str,
        "resyncs": int, "latency_us": dict, "clutch": str,
    }  # fmt: skip
    assert {name: type(summary[name]) for name in expected} == expected
    assert set(summary["groups"]) == {"HEDGED", "FLAT", "STUCK"}
    assert set(summary["latency_us"]) == {"p50", "p99"}
    assert 11.5 < summary["seconds"] < 40


def test_the_causes_add_up_to_the_change_in_equity(session) -> None:
    _, summary = session
    assert sum(Decimal(v) for v in summary["pnl"].values()) == Decimal(summary["equity_change"])
    assert summary["ledger_residual"] == "0"


def test_in_calm_weather_nothing_sticks(session) -> None:
    _, summary = session
    assert summary["clutch"] == "closed"
    assert summary["groups"]["STUCK"] == 0
    assert summary["discrepancies"] == []
    assert summary["rejected_frames"] == {}
    assert summary["frames"] > 500


def test_a_replay_decides_the_same(session) -> None:
    directory, _ = session
    done = oneprice("parity", str(directory), "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(result) == {"decisions", "equal", "first_difference", "starts", "cut"}
    assert (result["starts"], result["cut"]) == (1, 0)
    assert result["first_difference"] is None
    assert result["decisions"] == result["equal"] > 0


def test_a_replay_that_differs_is_named(session, tmp_path: Path) -> None:
    directory, _ = session
    shutil.copytree(directory, tmp_path / "copy")
    place = tmp_path / "copy" / "starts" / "0001" / "session.json"
    manifest = json.loads(place.read_text())
    manifest["config"]["engine"]["trading"] = False
    place.write_text(json.dumps(manifest))
    done = oneprice("parity", str(tmp_path / "copy"), "--json")
    assert done.returncode == 1
    assert set(json.loads(done.stdout)["first_difference"]) == {"turn", "replayed", "journaled"}


def test_the_reference_kernel_replays_a_native_session(session) -> None:
    directory, _ = session
    done = subprocess.run(
        [*ONEPRICE, "parity", str(directory), "--json"],
        env={**os.environ, "ONEPRICE_KERNEL": "reference"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["first_difference"] is None


def test_a_twin_says_when_it_is_ready_and_stops_when_asked() -> None:
    twin = subprocess.Popen([*ONEPRICE, "twin", "bybit"], stdout=subprocess.PIPE, text=True)
    try:
        assert twin.stdout is not None
        ready = json.loads(twin.stdout.readline())
        assert set(ready) == {"venue", "rest", "ws", "accounts", "instruments"}
        assert ready["venue"] == "bybit"
        assert ready["rest"].startswith("http://127.0.0.1:")
        assert ready["ws"].startswith("ws://127.0.0.1:")
        assert set(ready["accounts"][0]) == {"key", "secret", "passphrase"}
        assert {"market": "linear", "id": "BTCUSDT"} in ready["instruments"]
        port = ready["rest"].rpartition(":")[2]
        busy = oneprice("twin", "bybit", "--port", port)
        assert busy.returncode == 1
        assert port in busy.stderr
    finally:
        twin.send_signal(signal.SIGTERM)
        assert twin.wait(120) == 0


def test_ctrl_c_stops_new_risk_and_prints_the_summary(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [*ONEPRICE, "run", "--json", "--session", str(tmp_path / "s")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    heartbeat, deadline = tmp_path / "s" / "heartbeat.json", time.monotonic() + 120
    while not heartbeat.exists() or b'"trading"' not in heartbeat.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(2)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert json.loads(out)["groups"]["STUCK"] == 0


def test_a_market_that_nobody_can_play_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    market = f"tape:{tmp_path / 'empty'}"
    done = oneprice("run", "--market", market, "--session", str(tmp_path / "s"))
    assert done.returncode == 2
    assert "no recording of binance that can be played" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "--for", "soon"], "--for: found 'soon', expected a duration"),
        (["run", "--market", "tape:/nowhere"], "market tape:/nowhere: no such file"),
        (["run", "--market", "sunny"], "market 'sunny': expected seed:N or tape:PATH"),
        (["run", "--strategy", "spot_future"], "did you mean 'spot_futures'"),
        (["run", "--config", "/nowhere.toml"], "/nowhere.toml: No such file"),
        (["twin", "bybitt"], "did you mean 'bybit'"),
        (["parity", "/nowhere"], "session.json: No such file"),
        (["run", "--for", "0s"], "--for: found '0s', expected more than zero"),
        (["run", "--for", ""], "--for: found '', expected a duration"),
        (["run", "--session", "/dev/null"], "session /dev/null: cannot be made: Not a directory"),
        (["run", "--bogus"], "No such option: --bogus"),
        (["run", "--strategy", "spot_futures", "--strategy", "spot_futures"], "twice"),
        (["twin", "bybit", "--port", "70000"], "--port: found 70000, expected 0 (any free one)"),
        (["twin", "bybit", "--market", "tape:/nowhere"], "market tape:/nowhere: no such file"),
        (["tape", "check", "/nowhere"], "/nowhere: no such file"),
        (["tape", "check", "/dev/null"], "/dev/null: found no regular file"),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str], complaint: str, tmp_path: Path, said
) -> None:
    mine = words[0] == "run" and "--session" not in words
    extra = ["--session", str(tmp_path / "s")] if mine else []
    done = said(*words, *extra)
    assert done.returncode in (1, 2)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_session_with_a_part_missing_is_named(session, tmp_path: Path) -> None:
    directory, _ = session
    for missing in ("starts/0001/inputs.tape", "journal", "session.json"):
        copy = tmp_path / missing.replace("/", "-")
        shutil.copytree(directory, copy)
        (copy / missing).rename(tmp_path / "away")
        done = oneprice("parity", str(copy))
        assert done.returncode == 2
        assert f"{Path(missing).name}: No such file" in done.stderr
        assert "Traceback" not in done.stderr
        shutil.rmtree(tmp_path / "away", ignore_errors=True)
        (tmp_path / "away").unlink(missing_ok=True)


def test_twins_end_with_their_trader_however_it_ends(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [*ONEPRICE, "run", "--json", "--session", str(tmp_path / "s")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        run.kill()
        run.communicate()
        pytest.skip("this system does not list the children of a process")
    deadline = time.monotonic() + 120
    while not children.read_text().split() and time.monotonic() < deadline:
        time.sleep(0.1)
    twin = Path("/proc") / children.read_text().split()[0]
    time.sleep(2)
    run.kill()
    run.communicate()
    while twin.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not twin.exists()


def test_ctrl_c_before_the_venues_are_there_is_an_empty_run(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [*ONEPRICE, "run", "--json", "--session", str(tmp_path / "s")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "s" / "session.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert json.loads(out)["orders"] == 0
    assert "Traceback" not in err


def test_the_example_of_the_documents_runs(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
    (tmp_path / "example.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    done = oneprice(
        "run", "--config", str(tmp_path / "example.toml"), "--for", "2s", "--json",
        "--session", str(tmp_path / "s"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seconds"] >= 2


def test_the_live_table_is_drawn_in_place_and_taken_away(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    run = subprocess.Popen(
        [*ONEPRICE, "run", "--for", "3s", "--session", str(tmp_path / "s")],
        stdout=subprocess.PIPE, stderr=slave, text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    os.close(slave)
    drawn = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(master, 65536):
            drawn += piece
    out, _ = run.communicate(timeout=300)
    os.close(master)
    pictures = drawn.decode().split("\x1b[H")[1:]
    assert "\x1b[?1049h" in drawn.decode()
    assert "\x1b[?1049l" in pictures[-1]
    assert len(pictures) >= 5
    assert all(picture.count("\n") < 24 for picture in pictures)
    for shown in ("OPPORTUNITIES", "LEGS AND HOLDINGS", "P&L USDT", "FEEDS", "6/6"):
        assert shown in pictures[-2]
    assert "ledger residual" in out


def test_a_session_is_never_overwritten(session) -> None:
    directory, _ = session
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    done = oneprice("run", "--for", "1s", "--session", str(directory))
    assert done.returncode == 2
    assert "there is one already" in done.stderr and "ended with the run" in done.stderr
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()} == before

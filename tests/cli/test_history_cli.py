"""`oneprice history`: three ways to print the past, and one line for what cannot be used."""

import csv
import json
import subprocess
import sys
from decimal import Decimal

import pytest

ONEPRICE = [sys.executable, "-m", "oneprice.cli.main", "history"]


def history(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ONEPRICE, *words], capture_output=True, text=True, timeout=300, check=False
    )


def test_rates_of_funding_are_one_document() -> None:
    done = history("bybit:linear:BTCUSDT", "--kind", "funding", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    past = json.loads(done.stdout)
    assert set(past) == {
        "instrument", "kind", "from_ms", "to_ms", "interval_ms", "rows", "faults",
    }  # fmt: skip
    assert past["to_ms"] - past["from_ms"] == 86_400_000
    assert len(past["rows"]) == 3  # a day has three settlements
    assert all(set(row) == {"settled_ms", "rate", "mark"} for row in past["rows"])
    assert all(abs(Decimal(row["rate"])) < 1 for row in past["rows"])


def test_bars_are_lines_of_csv() -> None:
    done = history("okx:spot:BTC-USDT", "--interval", "1h", "--csv")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = csv.reader(done.stdout.splitlines())
    assert head == ["time", "open", "high", "low", "close", "volume"]
    assert len(rows) in (23, 24)
    assert all(row[0].endswith(":00:00.000Z") for row in rows)
    assert all(Decimal(low) <= Decimal(high) for _, _, high, low, _, _ in rows)


def test_a_time_without_anything_in_it_is_said_to_be_empty() -> None:
    done = history("bybit:spot:BTCUSDT", "--from", "2099-01-01", "--to", "2099-01-02")
    assert done.returncode == 0
    assert "nothing of that kind in that time" in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["bybit"], "instrument: found 'bybit', expected venue:market:symbol"),
        (["bybit:spot:NOPE"], "'bybit:spot:NOPE' is not listed"),
        (["bybit:spot:BTCUSDT", "--kind", "fund"], "--kind: found 'fund'; did you mean 'funding'"),
        (["bybit:spot:BTCUSDT", "--from", "soon"], "--from: found 'soon', expected a moment"),
        (["bybit:spot:BTCUSDT", "--to", "1960-01-01"], "--to: found '1960-01-01', expected 1970"),
        (
            ["bybit:spot:BTCUSDT", "--from", "2026-11-20", "--to", "2026-11-19"],
            "--from: found 2026-11-20T00:00:00, expected no later than --to, 2026-11-19T00:00:00",
        ),
        (["bybit:spot:BTCUSDT", "--interval", "0m"], "--interval: found '0m', expected more than"),
        (["bybit:spot:BTCUSDT", "--interval", "7s"], "candle of 7000 ms: expected one of"),
        (["bybit:spot:BTCUSDT", "--mode", "moon"], "--mode: found 'moon'; expected one of: twin"),
        (["bitmex:derivatives:XBTUSD", "--mode", "live"], "BitMEX closed"),
        (["bybit:spot:BTCUSDT", "--market", "sunny"], "market 'sunny': expected seed:N"),
        (["bybit:spot:BTCUSDT", "--json", "--csv"], "expected one of them, found both"),
        ([], "Missing argument 'instrument'; see oneprice history --help"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(words: list[str], complaint: str, said) -> None:
    done = said("history", *words)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""

"""Starting twins: which recordings are played together, and what a market text may say."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from oneprice.app.config import ConfigError
from oneprice.app.twins import FINEST_LOT, start_twins, world_of
from oneprice.twin.build import make_twin

START = 1_723_161_250_000_000_000
BOOK = "binance:spot:BTCUSDT"


def a_recording(path: Path, start: int = START, snapshot_after: int = 2) -> None:
    """Ten diffs, and a REST snapshot that arrives after some that it already holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(10):
        at = start + number * 100_000_000
        data = {
            "e": "depthUpdate", "E": at // 1_000_000, "s": "BTCUSDT",
            "U": 100 + number * 10, "u": 109 + number * 10,
            "b": [["60000.00", f"{number + 1}.00000000"]],
            "a": [["60000.01", f"{number + 1}.00000100"]],
        }  # fmt: skip
        lines.append(f"{at} " + json.dumps({"stream": "btcusdt@depth@100ms", "data": data}))
        if number == snapshot_after:
            held = {
                "lastUpdateId": 115,
                "bids": [["60000.00", "2.00000000"], ["59990.00", "25.42618900"]],
                "asks": [["60000.01", "2.00000000"]],
            }
            lines.append(f"{at + 1} " + json.dumps(held))
    path.write_text("\n".join(lines) + "\n")


def test_a_recording_is_played_from_its_late_snapshot_on(tmp_path: Path) -> None:
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_1.dat")
    now = START
    twin = make_twin("binance", lambda: now, world_of("binance", f"tape:{tmp_path}"))
    first = twin.exchange.book(BOOK)
    assert first.sequence == 129
    assert first.bids[0][1] == Decimal(3) / FINEST_LOT
    assert first.bids[1][1] == Decimal("25.42618900") / FINEST_LOT, "off today's grid, and there"
    now += 10_000_000_000
    twin.exchange.advance(now)
    assert twin.exchange.book(BOOK).sequence == 199


def test_only_recordings_of_the_same_time_are_played_together(tmp_path: Path) -> None:
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_1.dat")
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_0.dat", START - 3_600_000_000_000)
    world = world_of("binance", f"tape:{tmp_path}")
    assert world.tape is not None
    stamps = [at for at, _, _ in world.tape]
    assert len(stamps) == 11
    assert stamps == sorted(stamps)
    assert max(stamps) - min(stamps) < 2_000_000_000


@pytest.mark.parametrize("market", ["seed:", "seed:x", "tape:", "sunny", ""])
def test_a_market_text_that_means_nothing_is_refused(market: str) -> None:
    with pytest.raises(ConfigError, match="expected seed:N or tape:PATH"):
        world_of("bybit", market)


def test_a_tape_without_the_venue_is_named(tmp_path: Path) -> None:
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_1.dat")
    with pytest.raises(ConfigError, match="no recording of bybit that can be played"):
        world_of("bybit", f"tape:{tmp_path}")


async def test_an_unknown_venue_is_answered_with_what_was_meant() -> None:
    with pytest.raises(ConfigError, match="no twin of 'binanse'; did you mean 'binance'"):
        await start_twins(["binanse"], 0, "seed:1")

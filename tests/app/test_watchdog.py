"""A watchdog ends what a silent trader has left, and leaves everything to one that lives."""

import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kill_stage import Stage

from oneprice.app.config import ConfigError, load_config
from oneprice.app.heartbeat import (
    Heartbeat,
    HeartbeatDamaged,
    beat_of,
    boot_id,
    read_heartbeat,
    write_whole,
)
from oneprice.app.watchdog import Watchdog, WatchdogReport, WatchdogWish

PAIR = ("binance:usdm:BTCUSDT", "bybit:linear:BTCUSDT")
PERPS = {"binance": ("usdm:BTCUSDT",), "bybit": ("linear:BTCUSDT",)}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    found = Stage(tmp_path)
    yield found
    await found.close()


def told(stage: Stage) -> list[WatchdogReport]:
    lines = (stage.directory / "watchdog.log").read_text().splitlines()
    return [msgspec.json.decode(line, type=WatchdogReport) for line in lines if line[:1] == "{"]


def states(stage: Stage) -> list[str]:
    return [report.state for report in told(stage)]


async def test_a_killed_trader_is_cancelled_flattened_verified_and_left_alone_after_that(
    stage: Stage,
) -> None:
    await stage.open(PERPS)
    trader = await stage.trader("hedge", *PAIR)
    await stage.watchdog("--after", "2s", "--flatten")
    await stage.until(lambda: states(stage) == ["watching"], "a watchdog that watches")
    assert stage.resting == 2 and stage.held > 0
    trader.kill()
    await stage.until(lambda: stage.resting == 0 and stage.held == 0, "a flat account")
    await stage.until(lambda: "flat" in states(stage), "its word")
    report = told(stage)[-1]
    assert report.verified and len(report.cancelled) == 2 and len(report.closed) == 2
    assert "is gone" in report.why and report.silent_s >= 2
    kept = msgspec.json.decode((stage.session / "watchdog.json").read_bytes(), type=WatchdogReport)
    assert kept.state == "flat" and kept.verified
    assert (stage.session / "KILL").read_text().startswith("watchdog: no heartbeat")


async def test_a_stopped_trader_that_comes_back_finds_his_orders_gone_and_his_clutch_open(
    stage: Stage,
) -> None:
    await stage.open(PERPS)
    trader = await stage.trader("hedge", *PAIR)
    await stage.watchdog("--after", "1500ms")
    await stage.until(lambda: states(stage) == ["watching"], "a watchdog that watches")
    trader.send_signal(signal.SIGSTOP)
    await stage.until(lambda: "flat" in states(stage), "cancelled orders")
    assert stage.resting == 0 and stage.held > 0
    trader.send_signal(signal.SIGCONT)
    await stage.until(lambda: states(stage)[-1] == "back", "the trader to be left alone")
    await stage.until(lambda: stage.beat().clutch != "", "an open clutch")
    assert stage.beat().phase == "trading" and trader.returncode is None


async def once(stage: Stage, patch: pytest.MonkeyPatch) -> WatchdogReport:
    for name, value in stage.keys.items():
        patch.setenv(name, value)
    config = msgspec.structs.replace(load_config(stage.config), strategies=())
    wish = WatchdogWish(after_s=1.0, once=True)
    return await Watchdog(stage.session, config, wish, lambda _: None).watch()


async def test_a_run_that_ended_in_good_order_and_one_that_lives_are_left_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.open(PERPS)
    assert (await once(stage, monkeypatch)).state == "waiting" and not stage.session.exists()
    stage.session.mkdir()
    living = beat_of("abc", 1, phase="trading")
    ended = msgspec.structs.replace(living, monotonic_ns=1, phase="ended")
    for beat, state in ((living, "watching"), (ended, "ended")):
        write_whole(stage.session / "heartbeat.json", msgspec.json.encode(beat))
        assert (await once(stage, monkeypatch)).state == state
    assert [path.name for path in stage.session.iterdir()] == ["heartbeat.json"]


@pytest.mark.parametrize(
    "change",
    [{"phase": "broken"}, {"sealed": True}, {"boot": "before", "wall_ns": 1}, {"monotonic_ns": 1}],
)
async def test_it_acts_on_what_broke_off_can_send_nothing_or_is_from_before_a_restart(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    await stage.open({"bybit": PERPS["bybit"]})
    stage.session.mkdir()
    beat = msgspec.structs.replace(beat_of("abc", 1, phase="trading"), **change)
    if beat.over:
        beat = msgspec.structs.replace(beat, monotonic_ns=1)
    write_whole(stage.session / "heartbeat.json", msgspec.json.encode(beat))
    report = await once(stage, monkeypatch)
    assert report.state == "flat" and report.verified and report.why


async def test_it_refuses_to_watch_without_keys_of_its_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.open(PERPS)
    del stage.keys["ONEPRICE_WATCHDOG_BYBIT_KEY"], stage.keys["ONEPRICE_WATCHDOG_BYBIT_SECRET"]
    with pytest.raises(ConfigError, match="ONEPRICE_WATCHDOG_BYBIT_KEY"):
        await once(stage, monkeypatch)


async def test_it_acts_on_what_broke_off_and_says_so_where_a_venue_is_away(stage: Stage) -> None:
    await stage.open(PERPS)
    trader = await stage.trader()
    trader.kill()
    await trader.wait()
    await stage.twins.pop("bybit").close()
    await stage.watchdog("--after", "500ms", "--flatten")
    await stage.until(lambda: stage.resting == 0, "one venue to be cancelled")
    path = stage.session / "watchdog.json"

    def rounds() -> int:
        if not path.exists():
            return 0
        return msgspec.json.decode(path.read_bytes(), type=WatchdogReport).rounds

    await stage.until(lambda: rounds() >= 1, "a round")
    report = msgspec.json.decode(path.read_bytes(), type=WatchdogReport)
    assert report.state == "acting" and not report.verified
    assert [v.venue for v in report.venues if not v.answered] == ["bybit"]


def test_a_heartbeat_is_old_after_a_restart_of_the_machine_and_damaged_is_not_a_sign_of_life(
    tmp_path: Path,
) -> None:
    assert read_heartbeat(tmp_path) is None
    beat = beat_of("abc", 1, phase="trading")
    write_whole(tmp_path / "heartbeat.json", msgspec.json.encode(beat))
    found = read_heartbeat(tmp_path)
    assert isinstance(found, Heartbeat) and found == beat and found.fresh
    assert found.boot == boot_id() and found.age_s() < 5
    other = msgspec.structs.replace(beat, boot="another")
    assert other.age_s() < 5 and not other.fresh  # its process is none of this boot
    assert msgspec.structs.replace(other, wall_ns=1).age_s() > 1e9
    (tmp_path / "heartbeat.json").write_bytes(b'{"pid":')
    with pytest.raises(HeartbeatDamaged, match=r"heartbeat\.json"):
        read_heartbeat(tmp_path)

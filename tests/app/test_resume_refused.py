"""What a session cannot be resumed with is refused before anything is connected."""

import os
from pathlib import Path

import msgspec
import pytest
from tests.build import World
from tests.core.test_restart import killed_at
from tests.core.test_weather import THIN

from oneprice.app.config import ConfigError, RunConfig, VenueConfig
from oneprice.app.session import Session, entry_bytes, load_manifest, open_session, recall
from oneprice.core.engine import Engine
from oneprice.kernel import Tripwires
from oneprice.model.settings import EngineSettings
from oneprice.model.units import Nanos
from oneprice.shell.desk import Turn
from oneprice.strategies.cross_exchange import CrossExchange
from oneprice.strategies.spot_futures import SpotFutures

NAMES = tuple(f"{market}:{symbol}" for market in ("linear", "spot") for symbol in ("BTCUSDT",))
VENUES = tuple(
    VenueConfig(name=name, instruments=NAMES, endpoints={"rest": "http://127.0.0.1:1"})
    for name in ("alpha", "beta")
)
CONFIG = RunConfig(venues=VENUES, journal_sync="never")


def holding() -> World:
    number = 120
    while not (world := killed_at(number, 3, THIN, sent=99)).engine.report.holdings():
        number += 1
    return world


def opened(directory: Path, at: Nanos, config: RunConfig) -> Session:
    return open_session(directory, at, "kernel", config)


def a_session(directory: Path, world: World) -> None:
    """As a start leaves it that was killed."""
    session = opened(directory, Nanos(world.now), CONFIG)
    for at, record, commands in world.journal:
        payload = entry_bytes(Turn(at=at, record=record, commands=commands))
        session.journal._writer.append(payload)
    session.journal.close()


def resumed(directory: Path, world: World, config: RunConfig) -> Engine:
    session = opened(directory, Nanos(world.now), config)
    try:
        strategies = [CrossExchange(), SpotFutures()]
        engine = Engine(config.engine, strategies, {}, Tripwires(), "t2")
        recall(session, engine, world.now)
        return engine
    finally:
        session.journal.close()


def test_an_instrument_that_is_held_and_no_longer_configured_is_named(tmp_path: Path) -> None:
    world = holding()
    a_session(tmp_path / "s", world)
    held = world.engine.report.holdings()[0].legs[0].instrument
    venue, _, name = held.partition(":")
    less = tuple(
        msgspec.structs.replace(v, instruments=(*(n for n in NAMES if n != name), f"{name}X"))
        if v.name == venue
        else v
        for v in VENUES
    )
    with pytest.raises(ConfigError, match=f"open in {held}, which is not"):
        resumed(tmp_path / "s", world, msgspec.structs.replace(CONFIG, venues=less))
    engine = resumed(tmp_path / "s", world, CONFIG)
    assert held in engine.report.at_stake()


def test_a_venue_that_is_held_at_and_no_longer_configured_is_named(tmp_path: Path) -> None:
    world = holding()
    a_session(tmp_path / "s", world)
    held = world.engine.report.holdings()[0].legs[0].instrument
    venue, market, _ = held.split(":")
    less = tuple(v for v in VENUES if v.name != venue)
    with pytest.raises(ConfigError, match=f"an account of {venue}:.*, which is not"):
        resumed(tmp_path / "s", world, msgspec.structs.replace(CONFIG, venues=less))
    engine = resumed(tmp_path / "s", world, CONFIG)
    assert any(name.startswith(f"{venue}:{market}") for name in engine.report.at_stake())


def test_another_reporting_asset_is_refused_since_profit_was_counted_in_the_first(
    tmp_path: Path,
) -> None:
    world = holding()
    a_session(tmp_path / "s", world)
    other = msgspec.structs.replace(CONFIG, engine=EngineSettings(reporting="BTC", rates_fixed={}))
    with pytest.raises(ConfigError, match="found BTC, expected USDT"):
        resumed(tmp_path / "s", world, other)
    assert load_manifest(tmp_path / "s").config.engine.reporting == "USDT"


def test_a_manifest_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(file: int) -> None:
        steps.append("sync")
        sync(file)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("name")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    opened(tmp_path / "s", Nanos(10**18), CONFIG).journal.close()
    names = [number for number, step in enumerate(steps) if step == "name"]
    assert names and all(steps[number - 1] == "sync" for number in names)

"""A session on disk is resumed as it was left, or refused with the reason; nothing in between."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import oneprice
from oneprice.app.config import ConfigError, RunConfig, VenueConfig
from oneprice.app.session import (
    JOURNAL,
    MANIFEST,
    Session,
    decode_entry,
    load_manifest,
    open_session,
    recall,
    start_directory,
    starts_of,
)
from oneprice.core.engine import Engine
from oneprice.kernel import Tripwires
from oneprice.model.settings import EngineSettings
from oneprice.model.units import SECOND
from oneprice.store.journal import JournalWriter
from tests.build import START, World
from tests.core.test_recall import a_fresh, read_back, state_of
from tests.core.test_weather import STORM, a_day

ENDS = {"rest": "http://127.0.0.1:1"}
EARLY = 100  # entries: fourteen fills and as many ends of orders are among them
LATER = START + 3_600 * SECOND


def a_config(**changes: Any) -> RunConfig:
    venues = tuple(
        VenueConfig(name=name, markets=("spot", "linear"), endpoints=ENDS)
        for name in changes.pop("venues", ("alpha", "beta"))
    )
    return RunConfig(venues=venues, **changes)


def opened(directory: Path, config: RunConfig | None = None, at: int = LATER) -> Session:
    return open_session(directory, at, "native", config or a_config())


def an_engine(world: World) -> Engine:
    return a_fresh(world)


@pytest.fixture(scope="module")
def day() -> World:
    return a_day(7, STORM)


@pytest.fixture
def traded(day: World, tmp_path: Path) -> Path:
    """A session that ended in the middle of a day."""
    session = opened(tmp_path / "s")
    write(session, day, 0, len(day.journal) // 2)
    return session.directory


def write(session: Session, day: World, first: int, last: int) -> None:
    for entry in day.journal[first:last]:
        session.journal._writer.append(msgspec.json.encode(entry))
    session.journal.close()


def test_every_start_continues_the_journal_and_has_a_place_and_a_name_of_its_own(
    traded: Path, day: World
) -> None:
    second = opened(traded)
    write(second, day, len(day.journal) // 2, len(day.journal))
    third = opened(traded)
    third.journal.close()
    assert [m.start for m in starts_of(traded)] == [1, 2, 3]
    assert len({m.session for m in starts_of(traded)}) == 3
    assert load_manifest(traded).start == 3
    assert len(list(third.earlier())) == len(day.journal)
    assert third.home == start_directory(traded, 3) and (third.home / MANIFEST).exists()


def test_a_resumed_session_recalls_every_start(traded: Path, day: World) -> None:
    second = opened(traded)
    write(second, day, len(day.journal) // 2, len(day.journal))
    third = opened(traded)
    third.journal.close()
    engine = an_engine(day)
    recall(third, engine, day.now)
    rates = day.engine._market.rate
    ours, theirs = state_of(engine, rates), state_of(day.engine, rates)
    assert ours == theirs


def test_cut_at_any_byte_of_its_last_writes_a_journal_recalls_what_was_whole(
    day: World, tmp_path: Path
) -> None:
    session = opened(tmp_path / "s")
    write(session, day, 0, EARLY)
    traded = session.directory
    segment = traded / JOURNAL / "000001.journal"
    data = segment.read_bytes()
    entries = day.journal[:EARLY]
    tail = sum(len(msgspec.json.encode(entry)) + 28 for entry in entries[-3:])
    engine = an_engine(day)
    for entry in entries[:-4]:
        engine.recall.entry(*read_back(entry))
    known = {len(entries) - 4: state_of(engine, day.engine._market.rate)}
    for number, entry in enumerate(entries[-4:], len(entries) - 3):
        engine.recall.entry(*read_back(entry))
        known[number] = state_of(engine, day.engine._market.rate)
    seen: dict[int, int] = {}
    for cut in range(len(data) - tail, len(data), 1):
        copy = tmp_path / "cut"
        shutil.copytree(traded, copy)
        (copy / JOURNAL / "000001.journal").write_bytes(data[:cut])
        session = opened(copy)
        session.journal.close()
        whole = list(session.earlier())
        seen[len(whole)] = seen.get(len(whole), 0) + 1
        if seen[len(whole)] == 1:
            engine = an_engine(day)
            recall(session, engine, LATER)
            assert state_of(engine, day.engine._market.rate) == known[len(whole)]
        shutil.rmtree(copy)
    assert len(seen) >= 3 and sum(seen.values()) == tail


# Refusals ---------------------------------------------------------------------------------


def refused(directory: Path, config: RunConfig | None = None) -> str:
    with pytest.raises(ConfigError) as found:
        opened(directory, config)
    return str(found.value)


def test_a_damaged_journal_is_refused_with_the_place(traded: Path) -> None:
    segment = traded / JOURNAL / "000001.journal"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    before = sorted(traded.rglob("*"))
    assert "000001.journal: damaged at byte" in refused(traded)
    assert sorted(traded.rglob("*")) == before


@pytest.mark.parametrize("changes", [{"version": "0.0.1"}, {"format": 1}])
def test_a_session_of_another_version_is_refused(traded: Path, changes: dict[str, Any]) -> None:
    manifest = msgspec.json.decode((traded / MANIFEST).read_bytes()) | changes
    (traded / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    complaint = refused(traded)
    (found,) = changes.values()
    assert f"{found}" in complaint
    assert (oneprice.__version__ if "version" in changes else "reads 2") in complaint


def test_a_directory_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert "not empty, and no session" in refused(tmp_path)


def test_two_traders_cannot_have_one_session(tmp_path: Path) -> None:
    first = opened(tmp_path / "s")
    assert "is writing it" in refused(tmp_path / "s")
    first.journal.close()
    opened(tmp_path / "s").journal.close()


def test_a_start_that_died_before_its_first_word_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "session.json.new").write_bytes(b'{"form')
    opened(tmp_path / "s").journal.close()
    (tmp_path / "s" / JOURNAL / "000002.journal").write_bytes(b"1PJ")
    again = opened(tmp_path / "s")
    again.journal.close()
    assert again.start == 2


def not_recalled(traded: Path, config: RunConfig, world: World, now: int = LATER) -> str:
    session = opened(traded, config)
    with pytest.raises(ConfigError) as found:
        recall(session, an_engine(world), now)
    session.journal.close()
    return str(found.value)


def test_a_venue_that_the_configuration_lacks_is_named(traded: Path, day: World) -> None:
    complaint = not_recalled(traded, a_config(venues=("alpha",)), day)
    assert "account of beta:" in complaint and "not in the configuration" in complaint


def test_a_look_at_what_was_traded_is_refused(traded: Path, day: World) -> None:
    looking = a_config(engine=EngineSettings(trading=False))
    assert "engine.trading = false" in not_recalled(traded, looking, day)


def test_a_twin_that_ended_with_its_run_cannot_be_resumed(traded: Path) -> None:
    config = RunConfig(
        venues=tuple(
            VenueConfig(name=name, markets=("spot", "linear")) for name in ("alpha", "beta")
        )
    )
    assert "name the endpoints of a twin that lives on" in refused(traded, config)


def test_a_clock_behind_the_journal_is_refused(traded: Path, day: World) -> None:
    assert "after what the clock says" in not_recalled(traded, a_config(), day, START)


def test_entries_that_contradict_each_other_are_refused(tmp_path: Path, day: World) -> None:
    session = opened(tmp_path / "s")
    middle = len(day.journal) // 2
    for entry in (*day.journal[:middle], *day.journal[middle + 40 :]):
        session.journal._writer.append(msgspec.json.encode(entry))
    session.journal.close()
    assert "journal entry" in not_recalled(tmp_path / "s", a_config(), day)


def test_a_record_that_is_no_turn_is_refused(traded: Path, day: World) -> None:
    writer = JournalWriter(traded / JOURNAL)
    writer.append(b'[1, [{"type": "NoSuchThing"}], []]')
    writer.close()
    assert "journal entry" in not_recalled(traded, a_config(), day)


def test_an_entry_survives_the_journal(day: World) -> None:
    for at, record, commands in day.journal[:200]:
        entry = decode_entry(msgspec.json.encode((at, record, commands)))
        assert (entry.at, entry.record, entry.commands) == (at, record, commands)


def test_with_real_money_a_run_without_a_session_is_refused(tmp_path: Path) -> None:
    limits = "\n".join(
        f"{name} = 100"
        for name in ("leg_notional_max", "venue_gross_max", "asset_net_max", "daily_loss_max")
    )
    venue = '[[venues]]\nname = "bybit"\nmarkets = ["linear"]\nenvironment = "live"\n'
    (tmp_path / "live.toml").write_text(f"{venue}\n[engine.gate]\n{limits}\n")
    words = ["-m", "oneprice.cli.main", "run", "--config", str(tmp_path / "live.toml")]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 2
    assert "--session: missing" in done.stderr and "Traceback" not in done.stderr


def test_an_engine_without_a_past_begins_as_ever(tmp_path: Path, day: World) -> None:
    session = opened(tmp_path / "s")
    engine = Engine(day.settings, [], {}, Tripwires(), session.name)
    recall(session, engine, LATER)
    session.journal.close()
    assert engine.recall.entries == 0 and not engine._sight.recovering

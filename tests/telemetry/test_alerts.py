"""Alerts: they arrive, they never block, they are never too many, and nothing is kept silent."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
import structlog
from house import House
from hypothesis import given
from hypothesis import strategies as st
from listening import Ear, free_port
from structlog.testing import capture_logs

from oneprice.app.alerts import (
    HOUR_S,
    MINUTE_S,
    QUEUE_MAX,
    Alerts,
    AlertsMissing,
    Throttle,
    apprise_notifier,
)
from oneprice.app.config import TelemetrySettings
from oneprice.core.strategy import Alarmed, ClutchOpened, Discrepancy
from oneprice.model.units import Nanos
from oneprice.shell.telemetry_veil import VEIL

KINDS = st.sampled_from(["clutch", "failure", "feed"])
ARRIVALS = st.lists(st.tuples(st.floats(0, 400), KINDS), max_size=80)


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    before = structlog.get_config()
    with capture_logs() as found:
        yield found
    structlog.configure(**before)


@given(steps=ARRIVALS, per_minute=st.integers(1, 5), per_hour=st.integers(1, 12))
def test_no_window_holds_more_than_is_allowed_and_every_alert_is_sent_or_counted(
    steps: list[tuple[float, str]], per_minute: int, per_hour: int
) -> None:
    throttle, now, sent, held = Throttle(per_minute, per_hour), 0.0, [], 0
    for pause, kind in steps:
        now += pause
        if throttle.passes(kind, now):
            sent.append((now, kind))
            held += sum(int(line.split()[1]) for line in throttle.take_held().splitlines() if line)
    for at, kind in sent:
        minute = [k for t, k in sent if at <= t < at + MINUTE_S and k == kind]
        assert len(minute) <= per_minute
        assert len([t for t, _ in sent if at <= t < at + HOUR_S]) <= per_hour
    held += sum(int(line.split()[1]) for line in throttle.take_held().splitlines() if line)
    assert len(sent) + held == len(steps)


def collecting() -> tuple[list[str], object]:
    bodies: list[str] = []

    def notify(title: str, body: str) -> bool:
        bodies.append(body)
        return True

    return bodies, notify


def test_a_storm_becomes_a_few_messages_that_count_the_rest() -> None:
    bodies, notify = collecting()
    alerts = Alerts(notify, Throttle(2, 10), lambda: 5.0, "s1")
    for number in range(100):
        alerts.put("clutch", f"clutch opened: {number}")
    alerts.put("failure", "frame: ValueError: no")
    alerts.close()
    assert bodies == [
        "clutch opened: 0",
        "clutch opened: 1",
        "frame: ValueError: no\nand 98 more: clutch",
    ]


def test_what_was_held_back_is_told_at_the_end_at_the_latest() -> None:
    bodies, notify = collecting()
    alerts = Alerts(notify, Throttle(1, 10), lambda: 5.0, "s1")
    for _ in range(4):
        alerts.put("feed", "feed lost: x")
    alerts.close()
    assert bodies == ["feed lost: x", "the run has ended\nand 3 more: feed"]


def test_putting_never_waits_and_what_is_too_much_is_said(logs: list[dict[str, object]]) -> None:
    def stuck(title: str, body: str) -> bool:
        time.sleep(0.3)
        return True

    alerts = Alerts(stuck, Throttle(10_000, 10_000), time.monotonic, "s1")
    began = time.monotonic()
    for number in range(QUEUE_MAX + 20):
        alerts.put("clutch", str(number))
    assert time.monotonic() - began < 0.25
    assert alerts.failed >= 18
    assert any(line["event"] == "alert lost: too many wait" for line in logs)


def test_decisions_become_alerts_by_their_kind() -> None:
    bodies, notify = collecting()
    alerts = Alerts(notify, Throttle(9, 99), lambda: 0.0, "s1")

    class Decided:
        record = (
            ClutchOpened(at=Nanos(1), reason="daily loss"),
            Discrepancy(
                at=Nanos(1), kind="balance", subject="v:w:USDT", expected="1", found="2"
            ),
            Alarmed(at=Nanos(1), kind="unhedged", subject="g7", text="for 2 s"),
        )

    alerts.hear(Decided())  # type: ignore[arg-type]
    alerts.close()
    assert bodies == [
        "clutch opened: daily loss",
        "balance v:w:USDT: expected 1, found 2",
        "unhedged g7: for 2 s",
    ]


async def test_an_alert_arrives_at_a_real_listener_without_secrets(ear: Ear) -> None:
    VEIL.keep("alerted-secret-99")
    notify = await asyncio.to_thread(apprise_notifier, [f"json://127.0.0.1:{ear.port}/path"])
    alerts = Alerts(notify, Throttle(6, 60), time.monotonic, "s1")
    alerts.put("failure", "signing: ValueError: alerted-secret-99 is wrong")
    await ear.until(lambda: bool(ear.bodies))
    await asyncio.to_thread(alerts.close)
    told = json.loads(ear.bodies[0])
    assert told["title"] == "oneprice s1" and told["type"] == "failure"
    assert told["message"] == "signing: ValueError: *** is wrong"
    assert alerts.sent == 1


async def test_a_listener_that_refuses_or_is_gone_is_said_in_the_log(
    ear: Ear, logs: list[dict[str, object]]
) -> None:
    ear.status = 500
    urls = [f"json://127.0.0.1:{ear.port}", f"json://127.0.0.1:{free_port()}"]
    for url in urls:
        alerts = Alerts(
            await asyncio.to_thread(apprise_notifier, [url]), Throttle(6, 60), time.monotonic, ""
        )
        alerts.put("kill", "kill: asked to")
        await asyncio.to_thread(alerts.close)
        assert (alerts.sent, alerts.failed) == (0, 1)
    assert [line["body"] for line in logs if line["event"] == "alert not delivered"] == [
        "kill: asked to"
    ] * 2


def test_an_address_that_nobody_knows_is_refused_without_showing_it() -> None:
    with pytest.raises(AlertsMissing, match=r"address 2 of 2 \(nonsense\)") as told:
        apprise_notifier(["json://localhost", "nonsense://user:hunter2hunter2@host"])
    assert "hunter2" not in str(told.value)


async def test_a_run_that_breaks_tells_it_while_the_listener_sleeps(
    house: House, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear.delay_s = 1.0
    monkeypatch.setenv("ONEPRICE_ALERTS", f"json://127.0.0.1:{ear.port}")
    await house.open()
    house.hedge.breaks = RuntimeError("a strategy of somebody")
    with pytest.raises(AssertionError, match="the run ended: turn: RuntimeError"):
        await house.trade()
    summary = await house.over()
    assert "a strategy of somebody" in summary.failure
    messages = [json.loads(body)["message"] for body in ear.bodies]
    assert any("turn: RuntimeError: a strategy of somebody" in m for m in messages)
    assert any(m.startswith("clutch opened: turn: RuntimeError") for m in messages)


async def test_a_feed_that_stays_lost_is_told_once_and_so_is_its_return(
    house: House, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEPRICE_ALERTS", f"json://127.0.0.1:{ear.port}")
    await house.open(telemetry=TelemetrySettings(feed_lost_s=0.3))
    feed = house.running.desk.dialect("bybit").feed
    book = feed.books[house.hedge.sells]
    gateway = next(g for g in house.running.gateways if g.name == "bybit")
    monkeypatch.setattr(type(gateway), "unknown", property(lambda g: lost if g is gateway else []))
    lost = [house.hedge.sells]
    assert book.known
    await ear.until(lambda: len(ear.bodies) == 1)
    await asyncio.sleep(1.2)
    lost.clear()
    await ear.until(lambda: len(ear.bodies) == 2)
    messages = [json.loads(body)["message"] for body in ear.bodies]
    assert messages[0].startswith(f"feed lost: {house.hedge.sells}, for ")
    assert messages[1].startswith(f"feed is back: {house.hedge.sells}, after ")

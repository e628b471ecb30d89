"""The pages: what they say of a run that trades, and of one that must not."""

import asyncio
import socket
import time
from pathlib import Path

import aiohttp
import pytest
from house import House
from listening import free_port
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from oneprice.app.config import ConfigError, RunConfig, TelemetrySettings
from oneprice.app.health import LAG_MAX_S, alive
from oneprice.app.metrics import RunCollector, Sources, Tally
from oneprice.app.run import run
from oneprice.app.telemetry import _Single
from oneprice.shell.telemetry import LoopWatch, TelemetryServer, is_loopback

Found = dict[tuple[str, str], float]


async def page(port: int, path: str, host: str = "") -> tuple[int, str]:
    headers = {"Host": host} if host else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def scraped(port: int) -> Found:
    """Every sample by name and the values of its labels."""
    status, text = await page(port, "/metrics")
    assert status == 200
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_run_that_trades_shows_what_it_does_and_is_ready(house: House) -> None:
    port = free_port()
    await house.open(telemetry=TelemetrySettings(port=port))
    await house.trade()
    await house.ended()
    found = await scraped(port)
    report = house.engine.report
    assert house.running is not None
    assert found["oneprice_groups_ended_total", "HEDGED"] == 1
    assert found["oneprice_orders", "DONE"] == report.counts()["orders"] >= 2
    assert found["oneprice_fills_total", ""] == report.counts()["fills"]
    assert found["oneprice_book_valid", house.hedge.buys] == 1
    assert 0 <= found["oneprice_book_age_seconds", house.hedge.buys] < 8
    assert found["oneprice_clutch_open", ""] == 0
    for cause, amount in report.profit().items():
        assert ("oneprice_profit", f"USDT,{cause}") in found, (cause, amount)
    assert found["oneprice_ledger_residual", "USDT"] == 0
    assert found["oneprice_unhedged_seconds_count", ""] == report.unhedged().count >= 1
    assert found["oneprice_unhedged_seconds_bucket", "+Inf"] == report.unhedged().count
    assert found["oneprice_recovering", ""] == 0
    assert found["oneprice_frame_to_order_seconds_count", ""] >= 1
    assert found["oneprice_frame_to_turn_seconds_bucket", "+Inf"] > 0
    assert found["oneprice_journal_records_total", ""] > 0
    assert found["process_resident_memory_bytes", ""] > 1e6
    assert abs(found["oneprice_clock_offset_seconds", "bybit"]) < 0.5
    used = [v for (name, _), v in found.items() if name == "oneprice_rate_used"]
    assert used and max(used) > 0
    for name, key in (("buys", house.hedge.buys), ("sells", house.hedge.sells)):
        lots = report.positions().get(getattr(house.hedge, name), 0)
        assert found["oneprice_position_lots", key] == lots
    assert (await page(port, "/healthz"))[0] == 200
    assert await page(port, "/readyz") == (200, '{"ok":true,"reasons":[]}\n')
    await house.finish()
    with pytest.raises(aiohttp.ClientConnectorError):
        await page(port, "/healthz")


async def test_an_open_clutch_and_a_lost_book_are_reasons_not_to_be_ready(house: House) -> None:
    port = free_port()
    await house.open(telemetry=TelemetrySettings(port=port))
    house.running.desk.engine._sight.clutch = "a person's reason"
    await house.twins["bybit"].close()
    await house.until(lambda: any(g.unsettled() for g in house.running.gateways))
    status, text = await page(port, "/readyz")
    assert status == 503
    assert "clutch open: a person's reason" in text
    assert "socket bybit/" in text and f"book {house.hedge.sells}" in text
    found = await scraped(port)
    assert found["oneprice_clutch_open", ""] == 1
    assert found["oneprice_clutch_info", "a person's reason"] == 1
    assert found["oneprice_book_valid", house.hedge.sells] == 0
    assert ("oneprice_book_age_seconds", house.hedge.sells) not in found
    assert found["oneprice_books_lost_total", "disconnected,bybit"] >= 1
    assert (await page(port, "/healthz"))[0] == 200


async def test_refusals_of_the_gate_are_counted_by_rule(house: House) -> None:
    port = free_port()
    await house.open(telemetry=TelemetrySettings(port=port))
    house.running.desk.engine._sight.clutch = "closed for a test"
    await house.denied()
    found = await scraped(port)
    refused = {k[1]: v for k, v in found.items() if k[0] == "oneprice_refusals_total"}
    assert refused == house.engine.report.refusals() and sum(refused.values()) > 0


async def test_no_other_site_can_read_the_pages_by_a_name_of_its_own() -> None:
    server = TelemetryServer("127.0.0.1", 0, {})
    await server.open()
    port = server.address[1]
    try:
        for host in ("attacker.example", f"attacker.example:{port}", "127.0.0.1.example:80"):
            assert (await page(port, "/x", host))[0] == 403
        for host in ("localhost", f"127.0.0.1:{port}", f"[::1]:{port}"):
            assert (await page(port, "/x", host))[0] == 404
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.2", False), ("example.org", False)],
)  # fmt: skip
def test_loopback_is_known_when_seen(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


async def test_a_port_that_is_taken_ends_the_start_with_its_number(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = RunConfig(venues=(), strategies=(), telemetry=TelemetrySettings(port=port))
        with pytest.raises(ConfigError, match=rf"telemetry\.port: 127\.0\.0\.1 port {port}"):
            await run(config, tmp_path / "session", stop=asyncio.Event())


async def test_without_a_port_nothing_listens(house: House) -> None:
    await house.open()
    assert house.running.runtime.on_decisions is None
    assert house.running.runtime.on_broken is None


async def test_a_loop_that_was_held_up_is_seen() -> None:
    watch = LoopWatch()
    task = asyncio.create_task(watch.watch())
    await asyncio.sleep(0.3)
    assert alive(watch).ok
    threading_free_pause = asyncio.get_running_loop().time() + 0.6
    while asyncio.get_running_loop().time() < threading_free_pause:
        pass  # the loop cannot turn
    await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert watch.take_worst() > 0.2
    task.cancel()
    held = alive(watch, clock=lambda: watch.at + LAG_MAX_S + 1)
    assert not held.ok and "last seen turning" in held.reasons[0]


async def test_a_page_that_breaks_is_an_error_and_not_an_end(house: House) -> None:
    port = free_port()
    await house.open(telemetry=TelemetrySettings(port=port))
    house.engine.report.profit = lambda: 1 / 0  # type: ignore[assignment]
    assert await page(port, "/metrics") == (500, "/metrics: ZeroDivisionError\n")
    assert (await page(port, "/healthz"))[0] == 200
    assert house.running.runtime.failure == ""




async def test_no_part_of_a_scrape_holds_the_loop_for_long(house: House) -> None:
    await house.open()
    await house.trade()
    await house.ended()
    assert house.running is not None
    collector = RunCollector(Sources(running=house.running, watch=LoopWatch()), Tally())
    slowest: list[int] = []
    for _ in range(5):
        families, times = collector.collect(), []
        while True:
            began = time.thread_time_ns()  # ours alone: others on this machine do not count
            family = next(families, None)
            if family is None:
                break
            generate_latest(_Single(family))
            times.append(time.thread_time_ns() - began)
        slowest.append(max(times))
    assert min(slowest) < 3_000_000, f"{min(slowest) / 1e6} ms"

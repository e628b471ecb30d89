"""A kill from outside ends everything at the venues, and says so only when they say so."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kill_stage import PATIENCE_S, Stage

from oneprice.app.config import ConfigError
from oneprice.app.control import Address
from oneprice.app.control_call import KillOrder, kill
from oneprice.app.control_report import KillReport, read_report

PAIR = ("binance:usdm:BTCUSDT", "bybit:linear:BTCUSDT")
PERPS = {"binance": ("usdm:BTCUSDT",), "bybit": ("linear:BTCUSDT",)}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    found = Stage(tmp_path)
    yield found
    await found.close()


def reported(stage: Stage) -> KillReport | None:
    report = read_report(stage.session)
    return report if report is not None and report.finished else None


async def test_a_file_cancels_and_a_signal_flattens_and_the_trader_stays(stage: Stage) -> None:
    await stage.open(PERPS)
    trader = await stage.trader("hedge", *PAIR)
    assert stage.resting == 2 and stage.held > 0
    (stage.session / "KILL").write_text("enough for today\n")
    await stage.until(lambda: reported(stage) is not None, "a report")
    first = reported(stage)
    assert first is not None and first.verified and first.by == "file"
    assert first.reason == "enough for today" and len(first.holdings) == 1
    assert stage.resting == 0 and stage.held > 0
    await stage.until(lambda: "enough for today" in stage.beat().clutch, "an open clutch")
    trader.send_signal(signal.SIGUSR2)
    await stage.until(lambda: stage.held == 0, "no position")
    await stage.until(lambda: bool((r := reported(stage)) and r.flatten), "another report")
    second = reported(stage)
    assert second is not None and second.verified and second.by == "SIGUSR2"
    assert len(second.closed) == 1 and not second.holdings
    await asyncio.sleep(0.6)
    assert trader.returncode is None and stage.beat().phase == "trading"
    trader.terminate()
    await asyncio.wait_for(trader.wait(), PATIENCE_S)
    assert stage.beat().phase == "ended"


async def test_the_endpoint_wants_its_token_and_the_command_uses_it(stage: Stage) -> None:
    await stage.open(PERPS, more="control = true")
    await stage.trader("hedge", *PAIR)
    address = msgspec.json.decode((stage.session / "control.json").read_bytes(), type=Address)
    for name in ("control.json", "control.token"):
        assert (stage.session / name).stat().st_mode & 0o777 == 0o600
    assert address.host == "127.0.0.1"
    url = f"http://{address.host}:{address.port}"
    async with aiohttp.ClientSession() as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
            for method, path in (("POST", "/kill"), ("POST", "/release"), ("GET", "/status")):
                async with client.request(method, url + path, headers=headers) as answer:
                    assert answer.status == 401, (headers, path)
        token = (stage.session / "control.token").read_text().strip()
        entitled = {"Authorization": f"Bearer {token}"}
        for path, body in (("/kill", b'{"flat":true}'), ("/kill", b"{"), ("/release", b"{}")):
            async with client.post(url + path, headers=entitled, data=body) as answer:
                assert answer.status == 400, path
        async with client.get(url + "/status", headers=entitled) as answer:
            status = await answer.json()
    assert status["heartbeat"]["phase"] == "trading" and status["holdings"] == 1
    assert stage.resting == 2 and reported(stage) is None
    code, out, err = await stage.command(
        "kill", "--session", "session", "--flatten", "--reason", "drill", "--json"
    )
    assert code == 0, err
    report = msgspec.json.decode(out, type=KillReport)
    assert report.verified and report.by == "endpoint" and not report.notes
    assert stage.resting == 0 and stage.held == 0
    await stage.until(lambda: "drill" in stage.beat().clutch, "the beat after it")
    code, out, err = await stage.command("release", "--session", "session", "--by", "Ada")
    assert code == 0 and stage.beat().clutch == "", err
    log = (stage.directory / "trader.log").read_text()
    assert token not in log


async def test_without_an_endpoint_the_command_leaves_a_file_and_can_end_the_process(
    stage: Stage,
) -> None:
    await stage.open(PERPS)
    trader = await stage.trader()
    code, out, err = await stage.command("kill", "--session", "session", "--stop")
    assert code == 0 and "no order is left" in out, err
    assert stage.resting == 0
    report = reported(stage)
    assert report is not None and report.by == "command" and report.reason == ""
    assert await asyncio.wait_for(trader.wait(), PATIENCE_S) == 0
    assert stage.beat().phase == "ended"


async def own_hand(stage: Stage, patch: pytest.MonkeyPatch, **wish: object) -> KillReport:
    for name, value in stage.keys.items():
        patch.setenv(name, value)
    return await kill(stage.session, KillOrder(**wish))  # type: ignore[arg-type]


async def test_a_dead_trader_is_flattened_by_the_commands_own_hand_spot_legs_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    spot = "binance:spot:BTCUSDT"
    await stage.open({"binance": ("spot:BTCUSDT",), "bybit": ("linear:BTCUSDT",)})
    exchange = stage.exchange("binance")
    key = exchange.accounts()[0].key
    before = exchange.balance(key, exchange.wallet_of("spot"), "BTC").total
    trader = await stage.trader("hedge", spot, "bybit:linear:BTCUSDT")
    bought = exchange.balance(key, exchange.wallet_of("spot"), "BTC").total - before
    assert bought > 0 and stage.held > 0 and stage.resting == 2
    trader.kill()
    await trader.wait()
    code, out, err = await stage.command("kill", "--session", "session", "--json")
    report = msgspec.json.decode(out, type=KillReport)
    assert code == 0 and report.verified and report.by == "own hand", err
    assert stage.resting == 0 and stage.held > 0
    assert any("bybit:linear:BTCUSDT -" in p for v in report.venues for p in v.positions)
    for _ in range(2):  # the second time there is nothing left to give back
        report = await own_hand(stage, monkeypatch, flatten=True)
        assert report.verified and stage.held == 0
        rest = exchange.balance(key, exchange.wallet_of("spot"), "BTC").total - before
        assert abs(rest) <= bought / 100, report
    assert not report.closed


async def test_without_a_trader_and_without_keys_nothing_is_pretended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.open(PERPS)
    trader = await stage.trader()
    trader.kill()
    await trader.wait()
    secret = stage.keys["ONEPRICE_BYBIT_SECRET"]
    stage.keys["ONEPRICE_BYBIT_SECRET"] = ""
    with pytest.raises(ConfigError, match="ONEPRICE_BYBIT_"):
        await own_hand(stage, monkeypatch)
    assert stage.resting == 2
    stage.keys["ONEPRICE_BYBIT_SECRET"] = secret[::-1]
    report = await own_hand(stage, monkeypatch, wait_s=1.0)
    assert not report.verified
    assert [v.venue for v in report.venues if not v.answered] == ["bybit"]
    assert stage.open_orders("binance") == 0 and stage.open_orders("bybit") == 1

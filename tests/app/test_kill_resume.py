"""A dead trader is flattened by another's hand and then resumed: nothing is traded twice."""

import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kill_stage import Stage

from oneprice.app.control_report import KillReport
from oneprice.app.summary import Summary

SPOT, PERP = "binance:spot:BTCUSDT", "bybit:linear:BTCUSDT"
LEGS = {"binance": ("spot:BTCUSDT",), "bybit": ("linear:BTCUSDT",)}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    found = Stage(tmp_path)
    yield found
    await found.close()


def coins(stage: Stage) -> Decimal:
    exchange = stage.exchange("binance")
    key = exchange.accounts()[0].key
    return exchange.balance(key, exchange.wallet_of("spot"), "BTC").total


async def a_dead_trader(stage: Stage, *legs: str) -> None:
    """Killed with a hedge open and an order at rest everywhere."""
    await stage.open(LEGS)
    trader = await stage.trader("hedge", *legs)
    assert stage.held > 0
    trader.kill()
    await trader.wait()


async def resumed(stage: Stage, seconds: int = 20, *more: str) -> tuple[int, Summary, str]:
    """The next start, by a strategy that knows nothing of the holding."""
    text = stage.config.read_text().replace('["hedge"]', '["spot_futures"]')
    config = stage.directory / "resume.toml"
    config.write_text(text)
    code, out, err = await stage.command(
        "run", "--config", str(config), "--session", "session", "--for", f"{seconds}s", "--json",
        *more,
    )  # fmt: skip
    return code, msgspec.json.decode(out, type=Summary), err


@pytest.mark.parametrize("legs", [(SPOT, PERP), (PERP, SPOT)], ids=["bought", "sold"])
@pytest.mark.parametrize("word", ["kept", "lost"])
async def test_spot_legs_given_back_by_hand_are_not_traded_again_by_the_next_start(
    stage: Stage, legs: tuple[str, str], word: str
) -> None:
    await a_dead_trader(stage, *legs)
    code, out, err = await stage.command(
        "kill", "--session", "session", "--flatten", "--wait", "30s", "--json"
    )
    assert code == 0 and msgspec.json.decode(out, type=KillReport).verified, err
    assert stage.held == 0
    after = coins(stage)
    if word == "lost":  # what is in the fills of the venue must be enough
        (stage.session / "given_back.json").unlink()
    code, summary, err = await resumed(stage)
    assert coins(stage) == after, err
    assert stage.held == 0 and stage.resting == 0
    assert summary.recovery is not None and not summary.left
    assert summary.clutch != "closed"
    assert any(SPOT in text for text in summary.recovery.differences)
    assert "differs: " in err and code == 0

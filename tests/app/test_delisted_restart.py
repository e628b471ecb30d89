"""An instrument is delisted while we are down, with an order of ours in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oneprice.app.drills.kills import SENT, _killed
from oneprice.app.drills.stage import Stage, pair_of

PAIRS = [
    ("bybit", "binance"),
    ("kucoin", "okx"),
    ("okx", "bitmex"),
    ("binance", "bybit"),
    ("bybit", "kucoin"),
]


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[1])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, pair_of(request.param))
    await stage.open()
    yield stage
    await stage.close()


@pytest.mark.parametrize("place", ["after", "half"])
async def test_its_order_is_asked_for_and_its_other_leg_given_back_in_the_next_start(
    stage: Stage, place: str
) -> None:
    pattern = SENT if place == "after" else '"type":"OrderFilled"'
    await _killed(stage, place, pattern)
    gone = stage.legs[stage.struck]
    stage.exchange(stage.struck).delist(gone, stage.now(stage.struck))
    trader = await stage.start()
    report = trader.engine.report
    assert report.recovered is not None
    await trader.until(stage.is_flat, "the other leg is given back")
    await trader.until(lambda: not report.counts()["unsettled_orders"], "its outcome is known")
    assert trader.seen.runtime.failure == ""
    assert trader.seen.runtime.failures == 0

"""The live table: fits any terminal, and shows cards whose lines add up."""

import re
from decimal import Decimal

import pytest

from oneprice.cli.scene import FeedHealth, Scene, rows
from oneprice.core.strategy import GroupReport, Holding, HoldingLeg, Opportunity, make_card
from oneprice.model.units import SECOND, Lots, Nanos

PAIR = "SOL buy bybit:linear:SOLUSDT sell binance:usdm:SOLUSDT"
CARD = make_card(
    "USDT", Decimal(2000),
    gross=Decimal("8.5"), fees=Decimal("-4.2"), slippage=Decimal("-0.3"), closing=Decimal("-0.2"),
    funding=Decimal("0.1"), borrow=Decimal("-0.05"), haircut=Decimal("-0.1"),
)  # fmt: skip
NOW = Nanos(100 * SECOND)


def look(**changed: object) -> Scene:
    told: dict[str, object] = {
        "phase": "trading", "seconds": 75.0, "seconds_planned": 600.0, "kernel": "native",
        "clutch": "closed", "frames": 1234567, "counts": {"orders": 40, "fills": 55},
        "ends": {"HEDGED": 12, "FLAT": 1}, "latency_us": (412.0, 2100.0), "now": NOW,
        "opportunities": [
            Opportunity(
                strategy="spot_futures", pair=PAIR, at=NOW, verdict="refused: edge", card=CARD
            )
            for _ in range(40)
        ],
        "groups": [
            GroupReport(
                id=f"g{n}", strategy="spot_futures", pair=PAIR, state="CHASING", closes="",
                began=Nanos(99 * SECOND), deltas={"SOL": Decimal("0.5")},
            )
            for n in range(9)
        ],
        "holdings": [
            Holding(
                id="h1", strategy="spot_futures", pair=PAIR, opened=Nanos(40 * SECOND), card=CARD,
                legs=(
                    HoldingLeg(instrument="bybit:linear:SOLUSDT", lots=Lots(5), entry=Decimal(9)),
                ),
            )
        ],
        "positions": {"bybit:linear:SOLUSDT": "+13.3", "binance:usdm:SOLUSDT": "-13.3"},
        "asset": "USDT",
        "profit": {"basis": Decimal("12.5"), "fees": Decimal("-4"), "currency": Decimal("-90")},
        "equity_change": Decimal("-81.5"), "refused": {"pace_is_calm": 30, "edge": 2},
        "feeds": [
            FeedHealth(
                venue="bybit", lines_up=3, lines=4, books_known=5, books=6, oldest_ms=120,
                resyncs=1, reconnects=2, offset_ms=-0.7, missing=("book bybit:spot:BTCUSDT",),
            )
        ],
    }  # fmt: skip
    return Scene(**{**told, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (100, 30), (120, 40), (160, 50), (40, 12)]
)
def test_it_fits_the_terminal(width: int, height: int) -> None:
    lines = rows(look(), width, height, ["a warning " * 30])
    assert len(lines) <= height
    assert max(len(line.text) for line in lines) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (160, 50)])
def test_everything_is_on_it(width: int, height: int) -> None:
    text = "\n".join(line.text for line in rows(look(), width, height, ["a warning"]))
    for shown in (
        "trading 1:15 of 10:00", "kernel native", "clutch closed", "p50 412 µs p99 2.1 ms",
        "SOL bybit:linear > binance:usdm", "refused: edge", "9 in flight, 1 held",
        "CHASING 1.0 s", "unhedged SOL +0.5", "bybit:linear:SOLUSDT +13.3",
        "earned +8.5000", "basis +12.5000", "fees -4.0000", "pace_is_calm 30",
        "3/4", "5/6", "120 ms", "waits for", "a warning",
    ):  # fmt: skip
        assert shown in text


def test_holdings_are_shown_with_what_they_are_expected_to_earn() -> None:
    text = "\n".join(line.text for line in rows(look(groups=[]), 120, 40))
    assert "held 1:00 · expected +3.75 · fees 0.00" in text


@pytest.mark.parametrize(("width", "count"), [(80, 4), (120, 8), (160, 8)])
def test_the_lines_of_a_card_add_up_to_its_net(width: int, count: int) -> None:
    row = next(r.text for r in rows(look(), width, 60) if "refused: edge" in r.text)
    numbers = [Decimal(n) for n in re.findall(r"-?\d+\.\d+", row)]
    assert len(numbers) == count
    assert abs(sum(numbers[:-1]) - numbers[-1]) <= Decimal("0.3")
    assert round(numbers[-1], 1) == round(CARD.net_bps, 1)


def test_an_open_clutch_and_a_plain_kernel_are_said_aloud() -> None:
    lines = rows(look(clutch="daily loss", kernel="reference"), 120, 40)
    assert lines[0].tone == "bad"
    text = " ".join(line.text for line in lines)
    assert "clutch daily loss" in text
    assert "kernel reference, plain Python" in text

"""Conformance cards: every venue keeps every promise that it makes; and the cards can fail."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oneprice.app.build import VENUES, spec_of
from oneprice.app.cards.play import (
    CARDS,
    Verdict,
    cards_of,
    chosen_instruments,
    play,
    table,
)
from oneprice.app.config import ConfigError
from oneprice.model.events import Marked, OrderFilled
from oneprice.model.units import Lots
from oneprice.twin.build import DIALECTS
from oneprice.venues.contract import FEATURES

PLAYED = sorted(name for name in VENUES if name in DIALECTS)


@pytest.mark.parametrize("venue", PLAYED)
def test_every_card_of_every_venue_is_passed(venue: str) -> None:
    words = ("-m", "oneprice.cli.main", "venues", venue, "--json")
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout, done.stderr
    verdicts = msgspec.convert(msgspec.json.decode(done.stdout)["verdicts"], list[Verdict])
    assert [v for v in verdicts if not v.passed] == []
    assert [v.number for v in verdicts] == [c.number for c in cards_of(spec_of(venue))]


def test_every_feature_is_proven_by_a_card_and_every_number_is_one_card() -> None:
    numbers = [card.number for card in CARDS]
    assert len(set(numbers)) == len(numbers)
    assert {card.feature for card in CARDS} - {""} == set(FEATURES)


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_a_venue_declares_only_words_that_mean_something(venue: str) -> None:
    assert spec_of(venue).features <= set(FEATURES)


def test_an_unknown_venue_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown venue 'bibyt'; did you mean 'bybit'"):
        spec_of("bibyt")


def test_one_instrument_of_every_kind_is_played() -> None:
    assert chosen_instruments("bybit") == ["spot:BTCUSDT", "linear:BTCUSDT", "inverse:BTCUSD"]


def verdict(venue: str, feature: str, *, passed: bool) -> Verdict:
    return Verdict(venue=venue, number=1, name="n", feature=feature, passed=passed)


def test_a_cell_is_passed_only_where_every_card_of_it_was_played_and_passed() -> None:
    specs = [spec_of("bybit")]
    both = [verdict("bybit", "books", passed=True), verdict("bybit", "books", passed=False)]
    assert table(both, specs)["books"] == {"bybit": "FAILED"}
    assert table(both[:1], specs)["books"] == {"bybit": "passed"}
    assert table([], specs)["books"] == {"bybit": "not played"}
    assert table([], specs)["funding_next"] == {"bybit": ""}


def lying(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decode(original: Any) -> Any:
        def told(self: Any, socket: str, frame: bytes, at: int) -> Sequence[Any]:
            return [change(output) for output in original(self, socket, frame, at)]

        return told

    return decode


def a_wrong_mark(output: Any) -> Any:
    if isinstance(output, Marked) and output.mark is not None:
        return msgspec.structs.replace(output, mark=output.mark * Decimal("1.001"))
    return output


def a_wrong_fee(output: Any) -> Any:
    if isinstance(output, OrderFilled):
        return msgspec.structs.replace(output, fee=-output.fee)
    return output


def a_lost_lot(output: Any) -> Any:
    if isinstance(output, OrderFilled):
        return msgspec.structs.replace(output, lots=Lots(output.lots - 1))
    return output


@pytest.mark.parametrize(
    ("side", "lie", "number", "complaint"),
    [
        ("feed.BybitFeed", a_wrong_mark, 8, "mark price of"),
        ("trade.BybitTrade", a_wrong_fee, 20, "expected fees"),
        ("trade.BybitTrade", a_lost_lot, 20, "found"),
    ],
)
async def test_a_dialect_that_lies_fails_its_card(
    side: str, lie: Any, number: int, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = side.partition(".")
    owner = getattr(__import__(f"oneprice.venues.bybit.{module}", fromlist=[name]), name)
    monkeypatch.setattr(owner, "decode", lying(lie)(owner.decode))
    (told,) = await play("bybit", [number])
    assert not told.passed
    assert complaint in told.detail

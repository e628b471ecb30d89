"""Configuration: every key is checked, and a mistake is answered with what was meant."""

from decimal import Decimal
from pathlib import Path

import pytest

from oneprice.app.config import ConfigError, RunConfig, load_config


def loaded(tmp_path: Path, text: str) -> RunConfig:
    path = tmp_path / "oneprice.toml"
    path.write_text(text)
    return load_config(path)


def test_numbers_arrive_exactly(tmp_path: Path) -> None:
    config = loaded(tmp_path, "[engine.gate]\nnet_min = 0.1\nleg_notional_max = 2500\n")
    assert config.engine.gate.net_min == Decimal("0.1")
    assert config.engine.gate.leg_notional_max == 2500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("secnods = 3", r"unknown key 'secnods'; did you mean 'seconds'\?"),
        ("[engine.gate]\nnet_bps_mni = 1", r"gate.net_bps_mni'; did you mean 'net_bps_min'"),
        ('[[venues]]\nname = "x"\nmarkets = ["a"]\ndeepth = 3', r"'venues\[0\].deepth'"),
        ("seconds = 'long'", "seconds"),
        ("seconds = = 3", "not TOML"),
        ("zzz = 1", "expected one of: market, seconds"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        loaded(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load_config(tmp_path / "none.toml")

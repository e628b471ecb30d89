"""The settings of margins are judged before anything starts."""

from pathlib import Path

import pytest

from oneprice.app.checks import check_run
from oneprice.app.config import ConfigError, load_config


def config(directory: Path, text: str) -> Path:
    path = directory / "run.toml"
    path.write_text(f"[engine.margin]\n{text}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("liquidation_bps_min = 10000", "liquidation_bps_min: found 10000, expected 0 to less"),
        ("liquidation_bps_min = -1", "liquidation_bps_min: found -1"),
        ("liquidation_exit_bps = 501", "liquidation_exit_bps: found 501, expected 0 to"),
        ("liquidation_exit_bps = -1", "liquidation_exit_bps: found -1"),
        ("adl_rank_max = 5", "adl_rank_max: found 5, expected 0 to 4"),
        ("adl_exit_rank = -1", "adl_exit_rank: found -1, expected 0 to 4"),
        ("adl_exit_rnk = 1", "did you mean 'adl_exit_rank'"),
    ],
)
def test_a_margin_that_makes_no_sense_is_refused_by_its_place(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check_run(load_config(config(tmp_path, text)))
    assert "engine.margin" in str(error.value) and complaint in str(error.value)


def test_sensible_margins_are_taken_as_written(tmp_path: Path) -> None:
    text = "liquidation_bps_min = 800\nliquidation_exit_bps = 300.5\nadl_rank_max = 2"
    found = load_config(config(tmp_path, text))
    check_run(found)
    assert str(found.engine.margin.liquidation_exit_bps) == "300.5"
    assert found.engine.margin.adl_rank_max == 2

"""Real recordings are rebuilt without a false gap, a crossed book or a wrong best price."""

import os
from pathlib import Path

import pytest

from oneprice.app.tapecheck import Report, check

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[2] / ".." / "shared" / "data")
)
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the recorded data is not here; ONEPRICE_DATA can name its place"
)


def counted(report: Report) -> tuple[int, int]:
    return (
        sum(row.compared for row in report.instruments),
        sum(row.equal for row in report.instruments),
    )


@pytest.mark.parametrize(
    ("name", "instruments", "compared"),
    [
        ("binance_spot_raw/btcusdt_20240808.gz", 1, 3448),
        ("binance_usdm_raw/btcusdt_20220811.dat", 1, 0),
        ("binance_usdm_raw/btcusdt_markprice_20230404_first50.dat", 1, 0),
        ("binance_cf", 18, 2570),
        ("binance_spot_ethbtc", 1, 0),
        ("okx_v5/OKX.ws.1.0.20220513.raw", 3, 290),
        ("okx_v5/raw_perp_stream_20260930.tsv", 4, 0),
        ("bybit_v5", 4, 282),
    ],
)
def test_every_book_is_right_wherever_the_venue_tells_its_best_prices(
    name: str, instruments: int, compared: int
) -> None:
    report = check([DATA / name])
    assert report.ok, report
    assert len(report.instruments) == instruments
    assert counted(report) == (compared, compared)
    assert all(row.gaps == row.crossed == row.resyncs == 0 for row in report.instruments)


def test_the_four_usdm_symbols_of_2021_all_synchronise() -> None:
    report = check([DATA / "binance_cf" / "BINANCE_FUTURES.ws.1.0.raw"])
    assert [row.ok and row.compared > 100 for row in report.instruments] == [True] * 4


def test_the_late_burst_of_bybit_is_seen() -> None:
    report = check([DATA / "bybit_v5" / "bybit_v5_linear_spot_20260809_BTC_SOL.jsonl.zst"])
    assert sum(row.late for row in report.instruments) > 0


TABLES = (
    "depth_snapshot_spot_btcusdt_14-04-2025",
    "difference_depth_stream_spot_trxusdt_04-03-2025",
    "trade_stream_spot_trxusdt_04-03-2025",
    "trade_stream_usd_m_futures_trxusdt_04-03-2025",
    "difference_depth_stream_usd_m_futures_trxusdt_04-03-2025",
)


@pytest.mark.parametrize("table", TABLES)
def test_the_clean_tables_are_right_and_those_damaged_on_purpose_are_not(table: str) -> None:
    folder = DATA / "binance_trx_csv"
    clean = folder / f"test_positive_binance_{table}.csv"
    damaged = folder / f"test_negative_binance_{table}.csv"
    assert check([clean]).ok
    if clean.read_bytes() == damaged.read_bytes():
        pytest.skip("the table said to be damaged is the clean one, byte for byte")
    assert not check([damaged]).ok


@pytest.mark.parametrize("folder", ["bitmex", "kucoin", "funding", "private_streams"])
def test_recordings_without_a_book_for_us_are_named_and_are_no_fault(folder: str) -> None:
    report = check([DATA / folder])
    assert report.ok
    assert report.files
    assert all(not file.read and file.reason for file in report.files)

"""Real recordings are rebuilt without a false gap, a crossed book or a wrong best price."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from oneprice.app.tapecheck import InstrumentReport, Report, check

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
        ("kucoin", 5, 446),
        ("bitmex", 11, 436),
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


@pytest.mark.parametrize("folder", ["funding", "private_streams"])
def test_recordings_without_a_book_for_us_are_named_and_are_no_fault(folder: str) -> None:
    report = check([DATA / folder])
    assert report.ok
    assert report.files
    assert all(not file.read and file.reason for file in report.files)


def test_prices_without_a_book_are_heard_as_well() -> None:
    report = check([DATA / "okx_v5" / "raw_perp_stream_20260930.tsv"])
    counts = {row.instrument: (row.marks, row.forecasts) for row in report.instruments}
    assert counts["okx:swap:BTC-USDT-SWAP"] == (6, 2)
    assert counts["okx:spot:BTC-USDT"] == (3, 0)


# Damage ----------------------------------------------------------------------------------

KUCOIN = ("kucoin", "KUCOIN.ws.1.0.20210425.dev5.raw", "KUCOIN.http.0.0.20210425.dev5.raw")
BITMEX = ("bitmex", "BITMEX.ws.1.0.20210722.raw", "BITMEX.0.20210722.instruments.raw")


def damaged(
    recording: tuple[str, ...], folder: Path, name: str, change: Callable[[bytes], bytes]
) -> InstrumentReport:
    """What a check says of one instrument after one of the files was changed."""
    for file in recording[1:]:
        content = (DATA / recording[0] / file).read_bytes()
        (folder / file).write_bytes(change(content) if file == recording[-1] else content)
    report = check([folder / recording[1]])
    (row,) = [row for row in report.instruments if row.instrument == name]
    others = [each for each in report.instruments if each is not row]
    assert all(each.ok for each in others), "the damage is to one instrument"
    return row


def without(content: bytes, mark: bytes, number: int) -> bytes:
    """The lines but for the one in which `mark` is met for this time."""
    kept, met = [], 0
    for line in content.splitlines(keepends=True):
        met += mark in line
        if mark not in line or met != number + 1:
            kept.append(line)
    assert len(kept) == content.count(b"\n") - 1
    return b"".join(kept)


@pytest.mark.parametrize("number", [10, 40, 300, 500])
def test_one_change_of_kucoin_less_is_a_gap(tmp_path: Path, number: int) -> None:
    turned = (KUCOIN[0], KUCOIN[2], KUCOIN[1])
    mark = b'/market/level2:SNX-BTC","type":"message'
    row = damaged(
        turned, tmp_path, "kucoin:spot:SNX-BTC", lambda text: without(text, mark, number)
    )
    assert (row.gaps, row.ok) == (1, False)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'["0.00028678","3.70422021"]', b'["0.00028679","3.70422021"]', "unequal"),
        (b'["0.00028678","3.70422021"]', b'["0.00028678","3.70422022"]', "unequal"),
        (b'["0.00017","70"]', b'["0.00017","71"]', ""),  # so deep that nothing else tells of it
        (
            b'["0.00028624","0.01333209"]',
            b'["0.00028624","0.01333209"],["0.00028624","0.5"]',
            "duplicate: price 0.00028624",
        ),
    ],
)
def test_a_level_changed_or_twice_in_a_snapshot_of_kucoin_is_found(
    tmp_path: Path, old: bytes, new: bytes, reason: str
) -> None:
    row = damaged(KUCOIN, tmp_path, "kucoin:spot:SNX-BTC", lambda text: text.replace(old, new, 1))
    assert reason in "; ".join(row.reasons)
    assert row.ok == (not reason)


LISTED_FIRST = (BITMEX[0], BITMEX[2], BITMEX[1])
MATIC = b'{"symbol":"MATICUSDT","id":58799991217,"side":"Buy","size":1199,"price":0.8783}'


@pytest.mark.parametrize("number", [0, 4, 30])
def test_an_insert_of_bitmex_less_leaves_ids_that_nobody_knows(
    tmp_path: Path, number: int
) -> None:
    mark = b'"orderBookL2","action":"insert","data":[{"symbol":"XBTUSD"'
    row = damaged(
        LISTED_FIRST,
        tmp_path,
        "bitmex:derivatives:XBTUSD",
        lambda text: without(text, mark, number),
    )
    assert (row.gaps, row.ok) == (1, False)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (MATIC.replace(b"0.8783", b"0.8782"), "unequal"),
        (MATIC.replace(b"1199", b"1198"), "unequal"),
        (MATIC + b"," + MATIC, "gap: id 58799991217 twice"),
        (MATIC + b"," + MATIC.replace(b"58799991217", b"1"), "has the price of"),
    ],
)
def test_a_level_changed_or_twice_in_a_partial_of_bitmex_is_found(
    tmp_path: Path, new: bytes, reason: str
) -> None:
    row = damaged(
        LISTED_FIRST,
        tmp_path,
        "bitmex:derivatives:MATICUSDT",
        lambda text: text.replace(MATIC, new, 1),
    )
    assert reason in "; ".join(row.reasons)
    assert not row.ok


def test_one_delta_of_bybit_less_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "bybit_spot.jsonl"
    frames = (DATA / "bybit_v5" / "orderbook50_spot_BTCUSDT_20260824.jsonl").read_bytes()
    path.write_bytes(without(frames, b'"type":"delta"', 3))
    (row,) = check([path]).instruments
    assert (row.gaps, row.ok) == (1, False)


def test_one_update_of_okx_less_breaks_the_checksum(tmp_path: Path) -> None:
    okx = ("okx_v5", "OKX.0.20220513.instruments.raw", "OKX.ws.1.0.20220513.raw")
    mark = b'"instId":"BTC-USDT"},"action":"update"'
    row = damaged(okx, tmp_path, "okx:spot:BTC-USDT", lambda text: without(text, mark, 20))
    assert not row.ok

"""Every form of recording is recognised and read back as records in order."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from oneprice.store.contract import Finding, Record, TapeKind
from oneprice.store.files import Unreadable, nanos
from oneprice.store.recordings import Recording, Unknown, recognised, records
from oneprice.store.tape import TapeWriter

EVENT = '{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":5,"u":7,"b":[],"a":[]}'
FRAME = '{"stream":"btcusdt@depth@100ms","data":' + EVENT + "}"
SNAPSHOT = '{"lastUpdateId":6,"bids":[["1.0","2"]],"asks":[["1.1","2"]]}'


def read(path: Path) -> tuple[Recording, list[Record], list[Finding]]:
    recording = recognised(path)
    items = list(records(recording))
    found = [item for item in items if isinstance(item, Record)]
    return recording, found, [item for item in items if isinstance(item, Finding)]


def kinds(found: Sequence[Record]) -> list[str]:
    return [TapeKind(record.kind).name for record in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1723161256172216566", 1_723_161_256_172_216_566),
        (b"1660228022484228", 1_660_228_022_484_228_000),
        (b"1741046404352", 1_741_046_404_352_000_000),
        (b"1652459225", 1_652_459_225_000_000_000),
        (b"1633998512.0633569", 1_633_998_512_063_356_900),
    ],
)
def test_the_unit_of_a_time_is_told_by_its_magnitude(text: bytes, expected: int) -> None:
    assert nanos(text) == expected


@pytest.mark.parametrize("text", [b"", b"x", b"12.3.4", b"-5", b"1e9"])
def test_what_is_no_time_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="time"):
        nanos(text)


@pytest.mark.parametrize("packed", [False, True])
def test_raw_lines_are_read_and_the_snapshot_learns_its_symbol_from_the_frames(
    tmp_path: Path, packed: bool
) -> None:
    path = tmp_path / "binance_spot" / "a.dat"
    path.parent.mkdir()
    lines = f"1723161253937085768 {SNAPSHOT}\n1723161253937085769 {FRAME}\n17 oops\n"
    path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    recording, found, findings = read(path)
    assert (recording.form, recording.venue, recording.market) == ("raw lines", "binance", "spot")
    assert kinds(found) == ["ANSWER", "FRAME"]
    assert found[0].payload == b"depth?symbol=BTCUSDT\n" + SNAPSHOT.encode()
    assert [finding.place for finding in findings] == [f"{path}:3"]


@pytest.mark.parametrize(
    ("more", "market"), [('"pu":4,', "usdm"), ('"pu":4,"ps":"BTCUSD",', "coinm"), ("", "spot")]
)
def test_binance_markets_are_told_apart_by_their_frames(
    tmp_path: Path, more: str, market: str
) -> None:
    path = tmp_path / "a.dat"
    path.write_text("1723161253937085768 " + FRAME.replace('"b":', more + '"b":') + "\n")
    recording = recognised(path)
    assert (recording.venue, recording.market) == ("binance", market)
    assert recognised(path, market="coinm").market == "coinm"


def test_packed_data_that_ends_early_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    whole = gzip.compress((f"1723161253937085768 {FRAME}\n" * 3000).encode(), mtime=0)
    path.write_bytes(whole[:-9])
    with pytest.raises(Unreadable, match="packed data"):
        read(path)


def test_lines_with_connections_are_merged_by_time_lists_first(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.zst"
    where = "wss://stream.bybit.com/v5/public/"
    rows = [
        {"t": "header", "exchange": "BYBIT"},
        {"t": "http", "conn": "h", "ts": 1786310817.5, "url": "https://a/x?category=spot",
         "data": "{}"},
        {"t": "connect", "conn": "a", "ts": 1786310818.5, "addr": where + "linear"},
        {"t": "recv", "conn": "a", "ts": 1786310820.25, "data": '{"topic":"late"}'},
        {"t": "connect", "conn": "b", "ts": 1786310818.75, "addr": where + "spot"},
        {"t": "send", "conn": "b", "ts": 1786310819, "addr": where + "spot", "data": "{}"},
        {"t": "recv", "conn": "b", "ts": 1786310819.5, "data": '{"topic":"early"}'},
    ]  # fmt: skip
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows) + '{"t":"odd"}\n'
    path.write_bytes(zstandard.compress(text.encode()))
    recording, found, findings = read(path)
    assert (recording.form, recording.venue) == ("connection lines", "bybit")
    assert kinds(found) == ["ANSWER", "LINK_UP", "LINK_UP", "SENT", "FRAME", "FRAME"]
    assert [record.source for record in found[1:]] == [
        "bybit/linear", "bybit/spot", "bybit/spot", "bybit/spot", "bybit/linear",
    ]  # fmt: skip
    assert found[0].payload == b"https://a/x?category=spot\n{}"
    assert found[-1].at == 1_786_310_820_250_000_000
    assert len(findings) == 1


def test_bare_lines_take_the_stamps_of_the_venue(tmp_path: Path) -> None:
    path = tmp_path / "spot.jsonl"
    path.write_text(
        '{"success":true}\n{"topic":"orderbook.50.BTCUSDT","ts":1787612486096}\nbroken\n'
    )
    recording, found, findings = read(path)
    assert (recording.form, recording.venue, recording.market) == ("bare lines", "bybit", "spot")
    assert [record.at for record in found] == [1_787_612_486_096_000_000] * 2
    assert len(findings) == 1


def test_a_session_dump_is_put_together_from_its_files(tmp_path: Path) -> None:
    ws = tmp_path / "BINANCE.ws.1.0.raw"
    ws.write_text(
        "wss://stream.binance.com:9443/stream?streams=x <-> 1633998511.1\n"
        'wss://stream.binance.com:9443/stream <- 1633998511.2: {"op":"subscribe"}\n'
        f"1633998512.5: {FRAME}\n"
    )
    (tmp_path / "BINANCE.http.0.0.raw").write_text(
        f"https://api.binance.com/api/v3/depth?symbol=BTCUSDT -> 1633998512.25: {SNAPSHOT}\n"
    )
    (tmp_path / "BINANCE.0.raw").write_text(
        "https://api.binance.com/api/v3/exchangeInfo -> 1633998599.0: {}\nconfiguration: {}\n"
    )
    recording, found, findings = read(ws)
    assert (recording.form, recording.market, len(recording.paths)) == ("session dump", "spot", 3)
    assert kinds(found) == ["ANSWER", "LINK_UP", "SENT", "ANSWER", "FRAME"]
    assert found[0].payload.startswith(b"https://api.binance.com/api/v3/exchangeInfo\n")
    assert not findings


def test_a_monotonic_clock_is_anchored_at_the_first_stamp(tmp_path: Path) -> None:
    path = tmp_path / "okx.tsv"
    path.write_text(
        '100\t{"id":"x","event":"subscribe"}\n'.replace("100", "398912235517620")
        + '398912235517720\t{"arg":{"channel":"mark-price"},"data":[{"ts":"1790757203016"}]}\n'
    )
    recording, found, _ = read(path)
    assert (recording.form, recording.venue) == ("tabbed lines", "okx")
    assert [record.at for record in found] == [
        1_790_757_203_015_999_900, 1_790_757_203_016_000_000,
    ]  # fmt: skip


def test_event_lists_find_the_snapshot_beside_them(tmp_path: Path) -> None:
    (tmp_path / "hour_snapshot.json").write_text(SNAPSHOT)
    updates = tmp_path / "hour_update.json"
    updates.write_text(f"[{EVENT}]")
    recording, found, _ = read(updates)
    assert (recording.form, recording.market, len(recording.paths)) == ("event lists", "spot", 2)
    assert kinds(found) == ["ANSWER", "FRAME"]
    assert json.loads(found[1].payload)["stream"] == "btcusdt@depth"


HEADER = (
    "TimestampOfReceive,Stream,EventType,EventTime,Symbol,"
    "FirstUpdateId,FinalUpdateId,IsAsk,Price,Quantity\n"
)


def row(at: int, first: int, last: int, ask: int, price: str, size: str = "1") -> str:
    return f"{at},x@depth@100ms,depthUpdate,{at - 400},XUSDT,{first},{last},{ask},{price},{size}\n"


def test_a_table_of_levels_is_grouped_into_events(tmp_path: Path) -> None:
    path = tmp_path / "binance_spot.csv"
    at = 1_741_046_400_062_959
    path.write_text(
        "# a report\n" + HEADER
        + row(at, 5, 7, 0, "0.2") + row(at, 5, 7, 1, "0.3")
        + row(at + 100_000, 8, 8, 1, "0.3", "0")
        + row(at + 8 * 3600 * 1_000_000, 9, 9, 1, "0.3")
    )  # fmt: skip
    recording, found, findings = read(path)
    assert (recording.form, recording.market) == ("levels table", "spot")
    events = [json.loads(record.payload)["data"] for record in found]
    assert [(event["U"], event["u"]) for event in events] == [(5, 7), (8, 8)]
    assert (events[0]["b"], events[0]["a"]) == ([["0.2", "1"]], [["0.3", "1"]])
    assert [finding.wrong for finding in findings] == [False]
    assert "left out" in findings[0].reason


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (row(1_741_046_400_162_959, 8, 8, 0, "-1"), "above zero"),
        (row(1_741_046_400_162_959, 8, 8, 2, "0.2"), "IsAsk"),
        (row(1_741_046_400_162_959, 8, 8, 0, "0.2", "-3"), "Quantity"),
        (row(1_741_046_400_000_000, 8, 8, 0, "0.2"), "earlier"),
        (row(1_741_046_400_162_959, 8, 8, 0, "0.2").replace("1741046400162959", "1"), "far from"),
        ("#" + row(1_741_046_400_162_959, 8, 8, 0, "0.2"), "commented out"),
        ("1,2,3\n", "cells"),
        (row(1_741_046_400_162_959, 8, 8, 0, "zero"), "not a row of numbers"),
        (row(1_741_046_400_162_959, 8, 8, 0, "NaN"), "not a row of numbers"),
        (row(1_741_046_400_162_959, 8, 8, 0, "0.2").replace(",8,8,", ",8,x,"), "not a row"),
    ],
)
def test_a_row_that_cannot_be_true_is_a_finding_with_its_line(
    tmp_path: Path, damaged: str, reason: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + row(1_741_046_400_062_959, 5, 7, 0, "0.2") + damaged)
    _, found, findings = read(path)
    assert len(found) == 1
    assert [finding.place for finding in findings] == [f"{path}:3"]
    assert reason in findings[0].reason
    assert findings[0].wrong


def test_our_own_tape_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    writer = TapeWriter(path)
    writer.append(1, "binance/usdm", 5, FRAME.encode())
    writer.close()
    recording, found, _ = read(path)
    assert recording.form == "tape"
    assert found == [Record(5, "binance/usdm", 1, FRAME.encode())]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("f.csv", "Symbol,Date,Funding Rate\nBTC-USDT,2020-01-01 03:00:00.000,-0.1\n", "funding"),
        ("b.log", "{'success': True, 'ret_msg': '', 'op': 'auth'}\n", "private"),
        ("e.log", '{"e": "executionReport", "E": 1727320813818, "s": "BNBUSDT"}\n', "private"),
    ],
)
def test_recordings_without_a_book_for_us_are_recognised_with_a_reason(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert reason in recognised(path).unread


@pytest.mark.parametrize("content", ["", "# Title\n", "\x00\x01\x02", "name,age\nx,3\n"])
def test_a_file_of_no_known_form_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(content)
    with pytest.raises(Unknown):
        recognised(path)

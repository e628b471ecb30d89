"""A check finds what is wrong with a recording, and nothing where nothing is wrong."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from oneprice.app.tapecheck import InstrumentReport, Report, Unusable, check
from oneprice.app.tapeimport import import_all
from oneprice.app.tapeoracle import BetweenBooks, EveryChange, Touch
from oneprice.cli import tape
from oneprice.model.events import TouchQuoted
from oneprice.model.units import Lots, Nanos, Ticks
from oneprice.shell.desk import InputKind
from oneprice.store.tape import TapeWriter
from oneprice.venues.contract import Answer

RUNNER = CliRunner()
START_MS = 1_723_161_255_000


def depth(first: int, last: int, previous: int, bids: Any, asks: Any, stamp: int = 0) -> str:
    data = {
        "e": "depthUpdate", "E": START_MS + (stamp or last), "T": START_MS, "s": "BTCUSDT",
        "U": first, "u": last, "pu": previous, "b": bids, "a": asks,
    }  # fmt: skip
    return json.dumps({"stream": "btcusdt@depth@0ms", "data": data}, separators=(",", ":"))


def ticker(last: int, bid: str, bid_size: str, ask: str, ask_size: str) -> str:
    data = {
        "e": "bookTicker", "u": last, "s": "BTCUSDT", "b": bid, "B": bid_size, "a": ask,
        "A": ask_size, "T": START_MS, "E": START_MS,
    }  # fmt: skip
    return json.dumps({"stream": "btcusdt@bookTicker", "data": data}, separators=(",", ":"))


def trade(number: int, kind: str = "MARKET") -> str:
    data = {
        "e": "trade", "E": START_MS, "T": START_MS, "s": "BTCUSDT", "t": number, "p": "10.5",
        "q": "1.0", "X": kind, "m": True,
    }  # fmt: skip
    return json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":"))


def snapshot(last: int) -> str:
    return (
        f'{{"lastUpdateId":{last},"E":1,"T":1,"bids":[["10.0","1.0"],["9.5","4.0"]],'
        '"asks":[["10.5","2.0"],["11.0","4.0"]]}'
    )


# The first event after the snapshot begins beyond it and only links to it by pu; an event newer
# than the snapshot comes before it.
GOOD = [
    depth(95, 99, 90, [["10.0", "9.0"]], []),
    depth(105, 110, 99, [["10.0", "3.0"]], []),
    ticker(103, "10.0", "3.0", "10.5", "2.0"),
    snapshot(100),
    depth(112, 120, 110, [["10.1", "1.5"]], []),
    ticker(115, "10.1", "1.5", "10.5", "2.0"),
    depth(121, 130, 120, [["10.1", "0"]], [["10.5", "7.0"]]),
    ticker(128, "10.0", "3.0", "10.5", "7.0"),
    ticker(150, "10.0", "3.0", "10.5", "8.0"),
]


def raw(path: Path, frames: Sequence[str], step_ns: int = 1_000_000) -> Path:
    begin = (START_MS - 1_270) * 1_000_000  # a receive clock 1.27 s behind the venue's
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{begin + n * step_ns} {each}\n" for n, each in enumerate(frames)))
    return path


def only(report: Report) -> InstrumentReport:
    (row,) = report.instruments
    return row


def test_a_sound_recording_is_right_and_compared_wherever_it_can_be(tmp_path: Path) -> None:
    report = check([raw(tmp_path / "a.dat", GOOD)])
    row = only(report)
    assert report.ok
    assert row.instrument == "binance:usdm:BTCUSDT"
    assert (row.frames, row.updates, row.gaps, row.crossed, row.resyncs) == (8, 4, 0, 0, 0)
    assert (row.compared, row.equal, row.late) == (2, 2, 0)
    assert row.start == "recorded"
    assert row.rate_per_second > 0


def test_a_missing_event_is_a_gap(tmp_path: Path) -> None:
    report = check([raw(tmp_path / "a.dat", GOOD[:4] + GOOD[5:])])
    assert not report.ok
    assert only(report).gaps == 1


def test_a_book_that_disagrees_with_the_quote_is_wrong(tmp_path: Path) -> None:
    other = [*GOOD[:5], ticker(115, "10.1", "1.6", "10.5", "2.0"), *GOOD[6:]]
    report = check([raw(tmp_path / "a.dat", other)])
    row = only(report)
    assert not report.ok
    assert (row.compared, row.equal) == (2, 1)
    assert "unequal at 120" in row.reasons[0]


def test_a_crossed_book_is_wrong(tmp_path: Path) -> None:
    crossed = [*GOOD[:4], depth(112, 120, 110, [["10.6", "1.5"]], [])]
    report = check([raw(tmp_path / "a.dat", crossed)])
    assert not report.ok
    assert only(report).crossed == 1


def test_a_book_that_never_becomes_known_is_wrong(tmp_path: Path) -> None:
    apart = [snapshot(100), depth(512, 520, 510, [], [])]
    report = check([raw(tmp_path / "a.dat", apart)])
    assert not report.ok


def test_events_without_a_snapshot_prove_their_order_and_compare_nothing(tmp_path: Path) -> None:
    events = [each for each in GOOD if "lastUpdateId" not in each]
    report = check([raw(tmp_path / "a.dat", events)])
    row = only(report)
    assert report.ok
    assert (row.start, row.compared, row.gaps) == ("assumed", 0, 0)


def test_a_frame_that_cannot_be_read_is_told_with_its_text(tmp_path: Path) -> None:
    report = check([raw(tmp_path / "a.dat", [*GOOD, '{"stream":"btcusdt@bookTicker","data":{"u'])])
    assert not report.ok
    assert report.files[0].rejected == 1
    assert "bookTicker" in report.files[0].findings[0]


def test_trades_are_counted_by_number_and_those_that_are_none_fill_no_gap(tmp_path: Path) -> None:
    report = check([raw(tmp_path / "a.dat", [*GOOD, trade(7), trade(8, "NA"), trade(9)])])
    assert (only(report).trades, only(report).trade_gaps, report.ok) == (3, 0, True)
    report = check([raw(tmp_path / "a.dat", [*GOOD, trade(7), trade(9)])])
    assert (only(report).trade_gaps, report.ok) == (1, False)


def test_frames_are_late_against_the_promptest_one_whatever_the_clocks_say(tmp_path: Path) -> None:
    frames = [
        snapshot(100),
        depth(101, 110, 100, [["10.0", "3.0"]], [], stamp=1),
        depth(111, 120, 110, [["10.0", "4.0"]], [], stamp=2),
    ]
    assert only(check([raw(tmp_path / "a.dat", frames)])).late == 0
    assert only(check([raw(tmp_path / "a.dat", frames, step_ns=1_002_000_000)])).late == 1


def bybit_lines(path: Path, *, cross: int, bid: str = "10.1") -> Path:
    """One market: snapshot, delta, ticker at the cross sequence in between, delta."""
    where = {"topic": "orderbook.50.BTCUSDT"}
    frames = [
        {**where, "ts": 1787612486096, "type": "snapshot", "cts": 1787612486095,
         "data": {"s": "BTCUSDT", "b": [["10", "1"]], "a": [["11", "1"]], "u": 50, "seq": 900}},
        {**where, "ts": 1787612486196, "type": "delta", "cts": 1787612486195,
         "data": {"s": "BTCUSDT", "b": [["10.1", "1"]], "a": [], "u": 51, "seq": 907}},
        {"topic": "tickers.BTCUSDT", "type": "snapshot", "ts": 1787612486197, "cs": cross,
         "data": {"symbol": "BTCUSDT", "bid1Price": bid, "bid1Size": "7", "ask1Price": "11",
                  "ask1Size": "1"}},
        {**where, "ts": 1787612486296, "type": "delta", "cts": 1787612486295,
         "data": {"s": "BTCUSDT", "b": [["9", "5"]], "a": [], "u": 52, "seq": 920}},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(frame, separators=(",", ":")) + "\n" for frame in frames))
    return path


@pytest.mark.parametrize(
    ("cross", "bid", "compared", "equal", "undecided"),
    [
        (910, "10.1", 1, 1, 0),  # the touch is the same before and after: it must be this
        (910, "10", 1, 0, 0),
        (903, "10", 0, 0, 1),  # the touch moved in between: nobody can tell
        (907, "10.1", 1, 1, 0),  # exactly a state of the book
        (890, "3", 0, 0, 0),  # older than the book
        (950, "3", 0, 0, 0),  # newer than the last state
    ],
)
def test_bybit_tickers_are_compared_where_the_book_says_what_they_must_show(
    tmp_path: Path, cross: int, bid: str, compared: int, equal: int, undecided: int
) -> None:
    path = bybit_lines(tmp_path / "linear_bybit.jsonl", cross=cross, bid=bid)
    report = check([path], market="linear")
    row = only(report)
    assert (row.compared, row.equal, row.undecided) == (compared, equal, undecided)
    assert report.ok == (compared == equal)
    assert (row.updates, row.gaps) == (3, 0)


def test_a_jump_in_the_sequence_of_bybit_is_a_gap_but_one_in_seq_is_none(tmp_path: Path) -> None:
    path = bybit_lines(tmp_path / "spot_bybit.jsonl", cross=0)
    path.write_text(path.read_text().replace('"u":52', '"u":53'))
    assert only(check([path], market="linear")).gaps == 1


@pytest.mark.parametrize("depth_text", ["A50", "", "50x"])
def test_a_damaged_depth_in_a_topic_is_no_crash(tmp_path: Path, depth_text: str) -> None:
    path = bybit_lines(tmp_path / "bybit_linear.jsonl", cross=0)
    lines = path.read_text().replace("orderbook.50.", f"orderbook.{depth_text}.", 1)
    path.write_text(lines)
    assert check([path]).instruments is not None


def okx_frame(action: str, previous: int, last: int) -> str:
    data = {
        "asks": [["30240.1", "0.5", "0", "1"]], "bids": [["30240", f"{last}", "0", "1"]],
        "ts": "1767323045123", "checksum": 0, "prevSeqId": previous, "seqId": last,
    }  # fmt: skip
    arg = {"channel": "books", "instId": "BTC-USDT"}
    return json.dumps({"arg": arg, "action": action, "data": [data]}, separators=(",", ":"))


def test_okx_chains_are_followed_and_their_breaks_found(tmp_path: Path) -> None:
    path = tmp_path / "okx.dat"
    frames = [okx_frame("snapshot", -1, 5), okx_frame("update", 5, 9), okx_frame("update", 9, 9)]
    row = only(check([raw(path, frames)]))
    assert (row.instrument, row.updates, row.gaps, row.ok) == ("okx:spot:BTC-USDT", 3, 0, True)
    again = [*frames, okx_frame("update", 11, 12), okx_frame("snapshot", -1, 20)]
    row = only(check([raw(path, again)]))
    assert (row.gaps, row.resyncs, row.ok) == (1, 1, False)


def test_old_orders_between_the_listed_steps_refine_the_grid_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "BINANCE.0.raw").write_text(
        "https://fapi.binance.com/fapi/v1/exchangeInfo -> 1626992740.1: "
        '{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","contractType":"PERPETUAL",'
        '"baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT","filters":['
        '{"filterType":"PRICE_FILTER","minPrice":"0.1","maxPrice":"100","tickSize":"0.1"},'
        '{"filterType":"LOT_SIZE","minQty":"1","maxQty":"9","stepSize":"1"}]}]}\n'
    )
    (tmp_path / "BINANCE.http.0.0.raw").write_text(
        "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000 -> 1626992741.3: "
        '{"lastUpdateId":100,"bids":[["10.0","1"],["9.57","1"]],"asks":[["10.5","2"]]}\n'
    )
    ws = tmp_path / "BINANCE.ws.1.0.raw"
    ws.write_text(
        "wss://fstream.binance.com/stream?streams=x <-> 1626992740.2\n"
        f'1626992741.4: {depth(101, 110, 100, [["10.0", "2"]], [])}\n'
    )
    report = check([ws])
    row = only(report)
    assert report.ok
    assert row.grid == "refined"
    assert "tick 0.1" in report.files[0].notes[0]
    assert "tick 0.01" in report.files[0].notes[0]


def test_an_imported_tape_says_the_same_as_the_recording(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.dat", GOOD)
    (made,) = import_all([path], tmp_path / "out")
    assert made.records == len(GOOD)
    first, second = only(check([path])), only(check([Path(made.tape)]))
    assert msgspec.structs.replace(second, file=first.file) == first
    with pytest.raises(Unusable, match="there already"):
        import_all([path], tmp_path / "out")


def test_a_tape_of_a_live_session_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "inputs.tape"
    writer = TapeWriter(path)
    answer = Answer(
        tag="snapshot:binance:usdm:BTCUSDT", status=200, body=snapshot(100).encode()
    )
    at = START_MS * 1_000_000
    for number, frame in enumerate(GOOD):
        if "lastUpdateId" in frame:
            payload = msgspec.json.encode(answer)
            writer.append(InputKind.ANSWER, "binance/feed", at + number, payload)
        else:
            writer.append(InputKind.FRAME, "binance/usdm_public", at + number, frame.encode())
        writer.append(InputKind.TURN, "", at + number, b"")
    writer.append(InputKind.FRAME, "bybit/private", at, b'{"topic":"order"}')
    writer.append(InputKind.DROPPED, "binance/usdm_public", at + 99, b"null")
    writer.close()
    report = check([path])
    row = only(report)
    assert report.ok
    assert (row.compared, row.equal, row.gaps) == (2, 2, 0)
    assert row.losses == {"disconnected": 1}


def test_a_damaged_tape_is_wrong_and_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    writer = TapeWriter(path)
    for number, frame in enumerate(GOOD):
        writer.append(1, "binance/usdm", START_MS * 1_000_000 + number, frame.encode())
        writer.flush()
    writer.close()
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    report = check([path])
    assert not report.ok
    assert "damaged at byte 16" in report.files[0].findings[0]


def quote(sequence: int, touch: Touch) -> TouchQuoted:
    return TouchQuoted(
        at=Nanos(0), instrument="x:y:z", sequence=sequence,
        bid_ticks=Ticks(touch.bid_ticks), bid_lots=Lots(touch.bid_lots),
        ask_ticks=Ticks(touch.ask_ticks), ask_lots=Lots(touch.ask_lots),
    )  # fmt: skip


A, B = Touch(10, 1, 11, 1), Touch(10, 2, 11, 1)


def test_a_book_waits_for_the_quote_that_proves_which_one_is_the_greatest() -> None:
    oracle = EveryChange()
    oracle.quote(quote(5, A))
    oracle.book(10, B)
    assert oracle.compared == 0
    oracle.quote(quote(9, B))
    assert oracle.compared == 0
    oracle.quote(quote(12, A))
    assert (oracle.compared, oracle.equal) == (1, 1)


def test_quotes_older_than_the_snapshot_decide_nothing() -> None:
    oracle = EveryChange()
    oracle.quote(quote(5, A))
    oracle.begin(8)
    oracle.book(10, B)
    oracle.quote(quote(12, A))
    assert (oracle.compared, oracle.undecided) == (0, 1)


def test_states_on_both_sides_of_a_loss_are_no_neighbours() -> None:
    oracle = BetweenBooks()
    oracle.book(10, A)
    oracle.lost()
    oracle.book(20, A)
    oracle.quote(quote(15, A))
    assert oracle.compared == 0


@pytest.mark.parametrize("form", ["raw", "bybit", "table", "session", "tape"])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_to_a_recording_is_more_than_a_finding(
    tmp_path: Path, form: str, data: st.DataObject
) -> None:
    at = START_MS * 1000
    match form:
        case "raw":
            path = raw(tmp_path / "a.dat", GOOD)
        case "bybit":
            path = bybit_lines(tmp_path / "spot_bybit.jsonl", cross=910)
        case "table":
            path = tmp_path / "binance.csv"
            names = "TimestampOfReceive,Stream,EventType,EventTime,Symbol,FirstUpdateId,"
            rows = [f"{at},x@depth,depthUpdate,{at},XUSDT,{n},{n},{n % 2},0.{n},1" for n in (1, 2)]
            path.write_text("\n".join([names + "FinalUpdateId,IsAsk,Price,Quantity", *rows]))
        case "session":
            path = tmp_path / "BINANCE.ws.1.raw"
            path.write_text(
                "wss://fstream.binance.com/stream?streams=x <-> 1626992740.2\n"
                "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT -> 1626992740.3: "
                + f"{snapshot(100)}\n"
                + "".join(f"1626992741.{n}: {each}\n" for n, each in enumerate(GOOD))
            )
        case _:
            path = tmp_path / "a.tape"
            path.unlink(missing_ok=True)
            writer = TapeWriter(path)
            for frame in GOOD:
                writer.append(1, "binance/usdm", at * 1000, frame.encode())
                writer.flush()
            writer.close()
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=8)) + content[end:])
    try:
        check([path])
    except Unusable as error:
        assert path.name in str(error)


# The command ----------------------------------------------------------------------------


def test_the_command_prints_one_document_and_its_status_tells_right_from_wrong(
    tmp_path: Path,
) -> None:
    good = RUNNER.invoke(tape.app, ["check", str(raw(tmp_path / "a.dat", GOOD)), "--json"])
    assert good.exit_code == 0
    document = json.loads(good.stdout)
    assert set(document) == {"files", "instruments", "seconds", "ok"}
    assert {
        "venue", "market", "instrument", "frames", "updates", "gaps", "resyncs", "crossed",
        "compared", "equal", "late", "rate_per_second",
    } <= set(document["instruments"][0])  # fmt: skip
    bad = RUNNER.invoke(tape.app, ["check", str(raw(tmp_path / "a.dat", GOOD[:4] + GOOD[5:]))])
    assert bad.exit_code == 1
    assert "WRONG" in bad.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.dat"], "no such file"),
        (["b.dat"], "did you mean"),
        (["empty"], "holds no files"),
        (["readme.md"], "known form"),
        (["a.dat", "--venue", "binanse"], "did you mean 'binance'"),
        (["a.dat", "--market", "usdn"], "did you mean 'usdm'"),
        (["quotes.dat"], "cannot tell the market"),
        (["plain.jsonl"], "cannot tell the venue"),
    ],
)
def test_unusable_input_is_named_and_the_status_is_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    raw(tmp_path / "a.dat", GOOD)
    raw(tmp_path / "quotes.dat", [trade(1).replace('"X":"MARKET",', "")])
    (tmp_path / "empty").mkdir()
    (tmp_path / "readme.md").write_text("# nothing\n")
    (tmp_path / "plain.jsonl").write_text('{"x":1}\n')
    result = RUNNER.invoke(tape.app, ["check", *arguments])
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_a_directory_is_walked_and_what_is_no_recording_is_listed(tmp_path: Path) -> None:
    raw(tmp_path / "binance" / "a.dat", GOOD)
    (tmp_path / "readme.md").write_text("# nothing\n")
    funding = tmp_path / "f.csv"
    funding.write_text("Symbol,Date,Funding Rate\nBTC-USDT,2020-01-01 03:00:00.000,-0.1\n")
    report = check([tmp_path])
    assert report.ok
    assert [file.read for file in report.files].count(False) == 2
    assert len(report.instruments) == 1


def test_the_import_command_says_what_became_of_each_file(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.dat", GOOD)
    out = tmp_path / "out"
    result = RUNNER.invoke(tape.app, ["import", str(path), "--out", str(out)])
    assert result.exit_code == 0
    assert [each.suffix for each in out.iterdir()] == [".tape"]
    again = RUNNER.invoke(tape.app, ["import", str(path), "--out", str(out)])
    assert again.exit_code == 2

"""What a check proves where streams carry their sequences elsewhere, or none at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneprice.app.tapecheck import InstrumentReport, Unusable, check
from oneprice.app.tapeoracle import AnyMoment, BetweenBooks, Touch
from oneprice.model.events import TouchQuoted
from oneprice.model.units import SECOND, Lots, Nanos, Ticks
from oneprice.shell.desk import InputKind
from oneprice.store.tape import TapeWriter
from oneprice.venues.contract import Answer

SPOT = "https://api.kucoin.com/api/v3/market/orderbook/level2?symbol=SNX-BTC"
FUTURES = "https://api-futures.kucoin.com/api/v1/level2/snapshot?symbol=XBTUSDTM"


def session(path: Path, lines: Sequence[str], step: float = 0.1) -> Path:
    """A session dump: REST lines name their address, frames do not."""
    path.parent.mkdir(exist_ok=True, parents=True)
    rows = []
    for number, line in enumerate(lines):
        stamp = f"{1619378326 + number * step:.6f}"
        if line.startswith("https://"):
            address, _, body = line.partition(" ")
            rows.append(f"{address} -> {stamp}: {body}")
        elif line.startswith("wss://"):
            rows.append(f"{line} <-> {stamp}")
        else:
            rows.append(f"{stamp}: {line}")
    path.write_text("\n".join(rows) + "\n")
    return path


def only(path: Path) -> InstrumentReport:
    (row,) = check([path]).instruments
    return row


def dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


# KuCoin ----------------------------------------------------------------------------------


def whole(sequence: int, bids: Any, asks: Any) -> dict[str, Any]:
    return {"code": "200000", "data": {"sequence": str(sequence), "bids": bids, "asks": asks}}


def change(first: int, last: int, bids: Any, asks: Any) -> str:
    rows = {side: [[*row, str(last)] for row in levels]
            for side, levels in (("bids", bids), ("asks", asks))}  # fmt: skip
    data = {"sequenceStart": first, "symbol": "SNX-BTC", "changes": rows, "sequenceEnd": last}
    topic = "/market/level2:SNX-BTC"
    return dumped({"data": data, "subject": "trade.l2update", "topic": topic, "type": "message"})


def ticker(sequence: int, bid: str, bid_size: str, ask: str, ask_size: str) -> str:
    data = {
        "sequence": str(sequence), "bestAsk": ask, "size": "1", "bestBidSize": bid_size,
        "price": bid, "time": 1619378326323, "bestAskSize": ask_size, "bestBid": bid,
    }  # fmt: skip
    topic = "/market/ticker:SNX-BTC"
    return dumped({"data": data, "subject": "trade.ticker", "topic": topic, "type": "message"})


def kucoin(snapshot: dict[str, Any] | None = None) -> list[str]:
    """A snapshot that holds one of the changes heard before it, and a ticker to be judged."""
    book = snapshot or whole(101, [["10", "1"], ["9.5", "2"]], [["11", "1"], ["12", "2.5"]])
    return [
        "wss://push-private.kucoin.com/endpoint?token=TOKEN",
        '{"id":"x","type":"welcome"}',
        change(101, 101, [["10", "1"]], []),
        change(102, 102, [["0", "0"]], []),
        f"{SPOT} {dumped(book)}",
        ticker(102, "10", "1", "11", "1"),
        change(103, 104, [], [["11", "4"]]),
        ticker(104, "10", "1", "11", "4"),
        change(105, 105, [["10.5", "1"]], []),
        change(106, 106, [], [["13", "1"]]),
    ]


def test_kucoin_changes_follow_on_the_snapshot_and_tickers_agree(tmp_path: Path) -> None:
    row = only(session(tmp_path / "KUCOIN.ws.1.raw", kucoin()))
    assert (row.instrument, row.start, row.grid) == ("kucoin:spot:SNX-BTC", "recorded", "inferred")
    assert (row.frames, row.updates, row.gaps, row.quotes) == (7, 5, 0, 2)
    assert (row.compared, row.equal, row.oracle) == (1, 1, "ticker, price and size")
    assert row.ok


@pytest.mark.parametrize("dropped", [6, 8])
def test_a_change_that_kucoin_sent_and_the_recording_lacks_is_a_gap(
    tmp_path: Path, dropped: int
) -> None:
    lines = kucoin()
    del lines[dropped]
    row = only(session(tmp_path / "KUCOIN.ws.1.raw", lines))
    assert (row.gaps, row.ok) == (1, False)


@pytest.mark.parametrize(
    ("bids", "reason"),
    [
        ([["10.1", "1"], ["10", "1"]], "unequal"),  # a price that nobody sent
        ([["10", "1"], ["9.5", "2"], ["9.5", "3"]], "duplicate: price 9.5"),
        ([["11.5", "1"]], "crossed"),
    ],
)
def test_a_damaged_kucoin_snapshot_is_found(
    tmp_path: Path, bids: list[list[str]], reason: str
) -> None:
    damaged = whole(101, bids, [["11", "1"]])
    row = only(session(tmp_path / "KUCOIN.ws.1.raw", kucoin(damaged)))
    assert not row.ok
    assert reason in "; ".join(row.reasons)


def test_kucoin_changes_without_a_snapshot_prove_their_order_alone(tmp_path: Path) -> None:
    lines = [line for line in kucoin() if not line.startswith("https")]
    row = only(session(tmp_path / "KUCOIN.ws.1.raw", lines))
    assert (row.start, row.gaps, row.compared, row.ok) == ("assumed", 0, 0, True)


def test_kucoin_futures_are_told_by_their_topics(tmp_path: Path) -> None:
    frames = [
        dumped({
            "topic": "/contractMarket/level2:XBTUSDTM", "type": "message", "subject": "level2",
            "data": {"sequence": number, "change": f"{number}.5,buy,{number}", "timestamp": 1},
        })
        for number in (18, 19, 21)
    ]  # fmt: skip
    book = dumped(whole(17, [["17.5", 3]], [["30", 4]]))
    lines = ["wss://ws-api.kucoin.com/endpoint?token=T", f"{FUTURES} {book}", *frames]
    row = only(session(tmp_path / "x.ws.1.raw", lines))
    assert (row.instrument, row.updates, row.gaps) == ("kucoin:futures:XBTUSDTM", 3, 1)


def test_views_of_kucoin_stand_alone_and_are_passed_over_beside_changes(tmp_path: Path) -> None:
    view = dumped({
        "type": "message", "topic": "/spotMarket/level2Depth50:SNX-BTC", "subject": "level2",
        "data": {"asks": [["11", "1"]], "bids": [["10", "1"]], "timestamp": 1619378326323},
    })  # fmt: skip
    report = check([session(tmp_path / "a.ws.1.raw", [*kucoin(), view])])
    assert report.ok
    assert report.instruments[0].updates == 5
    assert "fewer levels are passed over" in report.files[0].notes[0]
    alone = [kucoin()[0], view, ticker(104, "10", "1", "11", "4"), view]
    row = only(session(tmp_path / "b.ws.1.raw", alone))
    assert (row.updates, row.compared, row.start, row.ok) == (2, 0, "recorded", True)


# BitMEX ----------------------------------------------------------------------------------

LEVELS = [
    {"symbol": "XBTUSD", "id": 1, "side": "Sell", "size": 50, "price": 101.5},
    {"symbol": "XBTUSD", "id": 2, "side": "Sell", "size": 30, "price": 101},
    {"symbol": "XBTUSD", "id": 3, "side": "Buy", "size": 20, "price": 100.5},
    {"symbol": "XBTUSD", "id": 4, "side": "Buy", "size": 10, "price": 100},
]


def table(name: str, action: str, rows: Sequence[dict[str, Any]]) -> str:
    head: dict[str, Any] = {"table": name, "action": action}
    if action == "partial":
        head |= {"types": {"symbol": "symbol"}, "filter": {"symbol": "XBTUSD"}}
    return dumped({**head, "data": rows})


def diff(action: str, **row: Any) -> str:
    return table("orderBookL2", action, [{"symbol": "XBTUSD", **row}])


def quote(bid: float, bid_size: int, ask: float, ask_size: int) -> str:
    row = {
        "timestamp": "2021-07-22T22:36:10.014Z", "symbol": "XBTUSD", "bidSize": bid_size,
        "bidPrice": bid, "askPrice": ask, "askSize": ask_size,
    }  # fmt: skip
    return table("quote", "insert", [row])


def bitmex(levels: Sequence[dict[str, Any]] = LEVELS) -> list[str]:
    return [
        "wss://www.bitmex.com/realtime",
        '{"info":"Welcome to the BitMEX Realtime API.","limit":{"remaining":39}}',
        '{"success":true,"subscribe":"quote:XBTUSD","request":{"op":"subscribe","args":[]}}',
        table("orderBookL2", "partial", levels),
        quote(100.5, 20, 101, 30),
        diff("update", id=3, side="Buy", size=25),
        diff("delete", id=2, side="Sell"),
        diff("insert", id=5, side="Sell", size=7, price=101),
        quote(100.5, 25, 101, 7),
        diff("update", id=5, side="Sell", size=8),
        *[diff("update", id=4, side="Buy", size=number) for number in range(11, 18)],
    ]


def bitmex_file(tmp_path: Path, lines: Sequence[str]) -> Path:
    return session(tmp_path / "BITMEX.ws.1.raw", lines, step=1.0)


def test_bitmex_quotes_are_found_among_the_states_of_the_book(tmp_path: Path) -> None:
    row = only(bitmex_file(tmp_path, bitmex()))
    assert (row.instrument, row.start) == ("bitmex:derivatives:XBTUSD", "recorded")
    assert (row.updates, row.gaps, row.quotes) == (12, 0, 2)
    assert (row.compared, row.equal, row.oracle) == (2, 2, "quote, price and size")
    assert row.ok


def test_a_diff_of_bitmex_that_names_an_unknown_id_is_a_gap(tmp_path: Path) -> None:
    lines = [line for line in bitmex() if '"insert"' not in line or "quote" in line]
    row = only(bitmex_file(tmp_path, lines))
    assert (row.gaps, row.ok) == (1, False)
    assert "update of id 5" in row.reasons[0]


def test_a_dropped_diff_of_bitmex_at_the_touch_is_a_quote_that_nobody_saw(
    tmp_path: Path,
) -> None:
    lines = bitmex()
    del lines[5]
    row = only(bitmex_file(tmp_path, lines))
    assert (row.gaps, row.compared, row.equal, row.ok) == (0, 2, 1, False)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({**LEVELS[2]}, "gap: id 3 twice"),
        ({**LEVELS[2], "id": 9}, "has the price of"),
        ({**LEVELS[2], "id": 9, "price": 100.7}, "unequal"),
    ],
)
def test_a_partial_of_bitmex_with_a_level_too_many_is_found(
    tmp_path: Path, damage: dict[str, Any], reason: str
) -> None:
    row = only(bitmex_file(tmp_path, bitmex([*LEVELS, damage])))
    assert not row.ok
    assert reason in "; ".join(row.reasons)


def test_one_message_in_a_file_is_a_book_at_the_time_it_names(tmp_path: Path) -> None:
    rows = [{**row, "timestamp": "2025-04-25T21:18:20.859Z"} for row in LEVELS]
    path = tmp_path / "orderBookL2_bitmex.json"
    path.write_text(json.dumps(json.loads(table("orderBookL2", "partial", rows)), indent=2))
    report = check([path])
    (row,) = report.instruments
    assert (report.files[0].form, row.updates, row.ok) == ("one message", 1, True)


def test_a_narrow_table_beside_the_full_one_is_passed_over_and_told(tmp_path: Path) -> None:
    narrow = table("orderBookL2_25", "partial", LEVELS)
    report = check([bitmex_file(tmp_path, [*bitmex(), narrow])])
    assert report.ok
    assert "fewer levels are passed over" in report.files[0].notes[0]
    assert only(bitmex_file(tmp_path, [bitmex()[0], narrow])).ok


# Damage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [kucoin(), bitmex()], ids=["kucoin", "bitmex"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_to_a_session_is_more_than_a_finding(
    tmp_path: Path, lines: list[str], data: st.DataObject
) -> None:
    path = session(tmp_path / "x.ws.1.raw", lines)
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=8)) + content[end:])
    try:
        check([path])
    except Unusable as error:
        assert path.name in str(error)


# Sessions of our own ---------------------------------------------------------------------


def test_a_session_with_all_kinds_of_sockets_is_checked_by_its_public_ones(
    tmp_path: Path,
) -> None:
    path = tmp_path / "inputs.tape"
    writer = TapeWriter(path)
    at = 1_795_270_209 * SECOND
    first, book = kucoin()[2], kucoin()[4].partition(" ")[2]
    answer = Answer(tag="snapshot:kucoin:spot:SNX-BTC", status=200, body=book.encode())
    writer.append(InputKind.FRAME, "kucoin/spot", at, first.encode())
    writer.append(InputKind.ANSWER, "kucoin/feed", at, msgspec.json.encode(answer))
    for number, frame in enumerate(kucoin()[5:]):
        writer.append(InputKind.FRAME, "kucoin/spot", at + number, frame.encode())
    for number, frame in enumerate(bitmex()[1:]):
        writer.append(InputKind.FRAME, "bitmex/public", at + number * SECOND, frame.encode())
    order = b'{"table":"order","action":"partial","data":[{"symbol":"XBTUSD"}]}'
    writer.append(InputKind.FRAME, "bitmex/private", at, order)
    writer.append(InputKind.FRAME, "kucoin/spot_private", at, b'{"topic":"/a/b:SNX-BTC"}')
    writer.append(InputKind.FRAME, "okx/private", at, b'{"arg":{"channel":"account"}}')
    writer.close()
    report = check([path])
    counted = {row.instrument: (row.compared, row.gaps) for row in report.instruments}
    # Change 102 is missing from the session.
    assert counted == {"bitmex:derivatives:XBTUSD": (2, 0), "kucoin:spot:SNX-BTC": (0, 1)}
    assert report.files[0].rejected == 0


# Oracles ---------------------------------------------------------------------------------

A, B = Touch(10, 1, 11, 1), Touch(10, 2, 11, 1)


def said(at: int, touch: Touch, sequence: int = 0) -> TouchQuoted:
    return TouchQuoted(
        at=Nanos(at), instrument="x:y:z", sequence=sequence,
        bid_ticks=Ticks(touch.bid_ticks), bid_lots=Lots(touch.bid_lots),
        ask_ticks=Ticks(touch.ask_ticks), ask_lots=Lots(touch.ask_lots),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at", "touch", "counted"),
    [
        (10, A, (1, 1, 0)),
        (10, B, (1, 0, 0)),  # everything about that time was heard, and it was never so
        (29, B, (1, 1, 0)),  # a second before the book said it
        (39, Touch(1, 1, 2, 2), (0, 0, 1)),  # the recording ends too early to tell
        (1, B, (0, 0, 1)),  # and it began too late
    ],
)
def test_a_quote_without_a_sequence_must_be_the_touch_about_its_time(
    at: int, touch: Touch, counted: tuple[int, int, int]
) -> None:
    oracle = AnyMoment()
    heard = [(0, A), (30, B), (40, A)]
    for second, state in heard:
        if at < second:
            oracle.quote(said(at * SECOND, touch))
            at = 1_000
        oracle.book(second * SECOND, state)
    oracle.finish()
    assert (oracle.compared, oracle.equal, oracle.undecided) == counted


def test_sizes_are_compared_where_the_stream_tells_them_with_the_sequence() -> None:
    for sizes, equal in ((True, 0), (False, 1)):
        oracle = BetweenBooks(sizes=sizes)
        oracle.book(5, A)
        oracle.quote(said(0, B, sequence=5))
        oracle.book(6, A)
        assert (oracle.compared, oracle.equal) == (1, equal)

"""How a reader judges frames: formats, sequence rules, odd messages."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import msgspec
import pytest

from oneprice.kernel.contract import DepthFormat, Outcome

from .formats import (
    BINANCE_FUTURES,
    BINANCE_SPOT,
    BYBIT,
    OKX,
    PLAIN,
    TOPIC,
    binance,
    bybit,
    okx,
    text,
)

BIDS, ASKS = [["99.5", "1"]], [["99.6", "2"]]


def reader_of(kernel: ModuleType, facts: DepthFormat, name: str) -> tuple[Any, Any]:
    reader, book = kernel.DepthReader(facts), kernel.Book("0.1", "0.001")
    reader.register(name, book)
    return reader, book


def started(kernel: ModuleType) -> tuple[Any, Any]:
    reader, book = reader_of(kernel, BYBIT, TOPIC)
    assert reader.feed(bybit("snapshot", 100, BIDS, ASKS), 5) == Outcome.REPLACED
    return reader, book


def test_a_bybit_stream_is_read_and_every_field_told(kernel: ModuleType) -> None:
    reader, book = started(kernel)
    assert (reader.name, reader.book, reader.stamp_ms, reader.last) == (TOPIC, book, 1790, 100)
    assert reader.feed(bybit("delta", 101, [["99.5", "0"]], []), 6) == Outcome.APPLIED
    assert (book.known, book.at, book.sequence, book.bids()) == (True, 6, 101, [])


def test_plus_one_tells_stale_from_gap(kernel: ModuleType) -> None:
    reader, book = started(kernel)
    before = book.fingerprint()
    assert reader.feed(bybit("delta", 100, [["99.5", "7"]], []), 6) == Outcome.STALE
    assert book.fingerprint() == before
    assert reader.feed(bybit("delta", 102, [["99.5", "7"]], []), 6) == Outcome.GAP
    assert not book.known
    assert reader.feed(bybit("delta", 103, [["99.5", "7"]], []), 6) == Outcome.UNSYNCED


def test_a_restarted_update_number_is_a_snapshot_whatever_it_says(kernel: ModuleType) -> None:
    reader, book = started(kernel)
    assert reader.feed(bybit("delta", 1, [["98", "1"]], []), 6) == Outcome.REPLACED
    assert (book.bids(), book.asks(), book.sequence) == ([(980, 1000)], [], 1)


def test_a_crossing_frame_loses_the_book(kernel: ModuleType) -> None:
    reader, book = started(kernel)
    assert reader.feed(bybit("delta", 101, [["99.6", "1"]], []), 6) == Outcome.CROSSED
    assert (book.known, book.crossed) == (False, True)


def test_a_frame_off_the_grid_loses_the_book(kernel: ModuleType) -> None:
    reader, book = started(kernel)
    assert reader.feed(bybit("delta", 101, [["99.55", "1"]], []), 6) == Outcome.OFF_GRID
    assert not book.known


def test_names_are_registered_and_forgotten(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, BYBIT, TOPIC)
    books = {f"orderbook.50.COIN{i}USDT": kernel.Book("0.1", "0.001") for i in range(100)}
    for name, other in books.items():
        reader.register(name, other)
    for name, other in books.items():
        assert reader.feed(bybit("snapshot", 5, BIDS, ASKS, name), 1) == Outcome.REPLACED
        assert (reader.name, reader.book) == (name, other)
    reader.forget(TOPIC)
    assert reader.feed(bybit("snapshot", 5, BIDS, ASKS), 1) == Outcome.UNKNOWN
    assert (reader.name, reader.book, book.known) == (TOPIC, None, False)
    with pytest.raises(KeyError):
        reader.forget(TOPIC)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"pong", b"  ", b"12", b'"orderbook.50.BTCUSDT"', b"{}", b"[]", b"[1,2]",
        b'{"success":true,"ret_msg":"","op":"subscribe"}',
        b'{"topic":"publicTrade.BTCUSDT","data":[{"b":[],"a":[]}]}',
        b'{"topic":"publicTrade.BTCUSDT", and the rest is never looked at',
        b'{"topic":5,"b":[],"a":[]}',
        b'{"topic":"orderbook.50.BTCUSDT","b":"60000.00","a":"60000.10","u":101}',
        b'{"topic":"orderbook.50.BTCUSDT","u":101}',
    ],
)  # fmt: skip
def test_what_is_no_depth_frame_is_other_and_touches_nothing(
    kernel: ModuleType, frame: bytes
) -> None:
    reader, book = started(kernel)
    before = book.fingerprint()
    assert reader.feed(frame, 6) == Outcome.OTHER
    assert (reader.name, reader.book, reader.last) == ("", None, 0)
    assert book.fingerprint() == before


GOOD = bybit("delta", 101, [["99.5", "7"]], [])


@pytest.mark.parametrize(
    "frame",
    [
        GOOD[:-1],
        GOOD[:-30],
        GOOD + b"}",
        GOOD + b" x",
        GOOD + b"\x00",
        GOOD.replace(b'"99.5"', b'"-99.5"'),
        GOOD.replace(b'"99.5"', b'"9.95e1"'),
        GOOD.replace(b'"99.5"', b"99.5"),
        GOOD.replace(b'"99.5"', b'"099.5"'),
        GOOD.replace(b'"u":101', b'"u":0101'),
        GOOD.replace(b'"u":101', b'"u":101.0'),
        GOOD.replace(b'"u":101', b'"u":1e2'),
        GOOD.replace(b'"u":101', b'"u":null'),
        GOOD.replace(b'"u":101', b'"u":1010000000000000000000'),
        GOOD.replace(b'"u":101', b'"U":101'),
        GOOD.replace(b'"u":101', b'"u":101,"u":101'),
        GOOD.replace(b'"u":101', b'"u":101,"\\u0075":101'),
        GOOD.replace(b'"a":[]', b'"a":[],"a":[]'),
        GOOD.replace(b'"a":[]', b'"x":[]'),
        GOOD.replace(b'"type":"delta",', b""),
        GOOD.replace(b'"delta"', b"7"),
        GOOD.replace(b'"s":"', b'"s":"\xff'),
        GOOD.replace(b'"s":"', b'"s":"\x1f'),
        GOOD.replace(b'"s":"', b'"s":"\\q'),
        GOOD.replace(b'"ts":', b'"ts":1e999,"x":'),
        GOOD.replace(b'"ts":', b'"x":' + b"[" * 70 + b"]" * 70 + b',"ts":'),
    ],
)
def test_a_malformed_frame_loses_the_book_that_it_names(kernel: ModuleType, frame: bytes) -> None:
    assert frame != GOOD
    reader, book = started(kernel)
    assert reader.feed(frame, 6) == Outcome.MALFORMED
    assert (reader.name, reader.book, reader.last) == (TOPIC, book, 0)
    assert not book.known


def test_a_frame_broken_before_its_name_is_malformed_and_names_nobody(kernel: ModuleType) -> None:
    reader, book = started(kernel)
    assert reader.feed(b'{"ts":01,' + GOOD[1:], 6) == Outcome.MALFORMED
    assert (reader.name, reader.book, book.known) == ("", None, True)


@pytest.mark.parametrize(
    "frame",
    [
        b" \n" + GOOD.replace(b",", b" ,\t").replace(b":", b" : ").replace(b"[", b"[ ") + b"\r\n",
        GOOD.replace(b'"u":101', b'"u":"101"'),
        GOOD.replace(b'"u":101', b'"\\u0075":101'),
        GOOD.replace(b'"99.5"', b'"99\\u002e5"'),
        GOOD.replace(b'"99.5"', b'"99.5000000000000000000000000000"'),
        GOOD.replace(b'"7"]', b'"7",1e5,null,true,"x\\n"]'),
        GOOD.replace(b'"ts":', b'"note":{"b":"x:y","n":[1.5e3,-0,"\xc3\xa9"]},"ts":').replace(
            b'"b":"x:y"', b'"note":"x:y"'
        ),
        GOOD.replace(b'{"topic"', b'{"stream":"x","wrap":[{"topic"') + b"]}",
        msgspec.json.encode(dict(reversed(msgspec.json.decode(GOOD).items()))),
    ],
)
def test_an_unusual_but_valid_frame_is_applied(kernel: ModuleType, frame: bytes) -> None:
    assert frame != GOOD
    reader, book = started(kernel)
    assert reader.feed(frame, 6) == Outcome.APPLIED
    assert (book.bids(), book.sequence) == ([(995, 7000)], 101)


def test_keys_that_differ_by_case_are_different(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, BINANCE_SPOT, "BTCUSDT")
    book.load([(995, 1)], [(996, 1)], 0, 160)
    assert reader.feed(binance(157, 160, [], []), 1) == Outcome.STALE
    assert reader.feed(binance(159, 162, [["99", "1"]], []), 2) == Outcome.APPLIED
    assert (reader.first, reader.last, reader.stamp_ms) == (159, 162, 1700)
    assert reader.feed(binance(163, 163, [], []), 3) == Outcome.APPLIED
    assert reader.feed(binance(165, 170, [], []), 3) == Outcome.GAP
    assert reader.feed(binance(171, 172, [], []), 3) == Outcome.UNSYNCED


def test_binance_futures_synchronise_by_the_previous_number(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, BINANCE_FUTURES, "BTCUSDT")
    book.load([(995, 1)], [(996, 1)], 0, 160)
    assert reader.feed(binance(150, 158, [], [], previous=149), 1) == Outcome.STALE
    # U is above the snapshot's number + 1, pu is not: the literal rule would never synchronise.
    assert reader.feed(binance(165, 170, [], [], previous=158), 1) == Outcome.APPLIED
    assert (book.bridging, reader.previous) == (False, 158)
    assert reader.feed(binance(172, 175, [], [], previous=170), 1) == Outcome.APPLIED
    assert reader.feed(binance(172, 175, [], [], previous=171), 1) == Outcome.STALE
    assert reader.feed(binance(180, 190, [], [], previous=176), 1) == Outcome.GAP
    book.load([(995, 1)], [(996, 1)], 0, 160)
    assert reader.feed(binance(165, 170, [], [], previous=161), 1) == Outcome.GAP


def test_okx_links_keep_alives_and_resets(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, OKX, "BTC-USDT")
    ack = {"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}}
    assert reader.feed(text(ack), 1) == Outcome.OTHER
    assert reader.feed(okx("update", 9, 10, BIDS, ASKS), 1) == Outcome.UNSYNCED
    assert reader.feed(okx("snapshot", -1, 10, BIDS, ASKS), 1) == Outcome.REPLACED
    assert (reader.previous, reader.stamp_ms) == (-1, 1700)
    assert reader.feed(okx("update", 10, 15, [["99.4", "3"]], []), 1) == Outcome.APPLIED
    assert book.bids() == [(995, 1000), (994, 3000)]
    assert reader.feed(okx("update", 15, 15, [], []), 2) == Outcome.APPLIED
    assert (book.at, book.sequence) == (2, 15)
    assert reader.feed(okx("update", 15, 3, [], []), 3) == Outcome.APPLIED
    assert reader.feed(okx("update", 3, 5, [], []), 3) == Outcome.APPLIED
    assert reader.feed(okx("update", 6, 7, [], []), 3) == Outcome.GAP


def test_okx_may_reset_right_after_the_snapshot(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, OKX, "BTC-USDT")
    reader.feed(okx("snapshot", -1, 10, BIDS, ASKS), 1)
    assert reader.feed(okx("update", 10, 3, [], []), 1) == Outcome.APPLIED
    assert book.sequence == 3


def test_two_objects_of_data_are_malformed(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, OKX, "BTC-USDT")
    frame = msgspec.json.decode(okx("snapshot", -1, 10, BIDS, ASKS))
    frame["data"] *= 2
    assert reader.feed(text(frame), 1) == Outcome.MALFORMED
    assert not book.known


def test_levels_before_the_name_are_read_as_well(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, BINANCE_SPOT, "BTCUSDT")
    book.load([], [], 0, 4)
    frame = {"b": BIDS, "a": ASKS, "u": 5, "U": 5, "s": "BTCUSDT", "e": "depthUpdate"}
    assert reader.feed(text(frame), 1) == Outcome.APPLIED
    assert (book.bid_ticks, book.ask_ticks) == (995, 996)
    frame |= {"b": [["99.55", "1"]], "a": [["x", "1"]], "u": 6, "U": 6}
    assert reader.feed(text(frame), 1) == Outcome.MALFORMED


def test_without_a_rule_every_frame_is_applied(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, PLAIN, "X")
    book.load([], [], 0, 4)
    assert reader.feed(text({"e": "", "s": "X", "b": BIDS, "a": []}), 1) == Outcome.APPLIED
    assert book.sequence == 5
    assert reader.feed(text({"e": "", "s": "X", "b": [], "a": [], "u": 2}), 1) == Outcome.APPLIED
    assert book.sequence == 2


def test_names_beyond_ascii_are_names(kernel: ModuleType) -> None:
    reader, book = reader_of(kernel, PLAIN, "币安人生USDT")
    book.load([], [], 0, 4)
    frame = {"e": "", "s": "币安人生USDT", "b": BIDS, "a": []}
    for raw in (text(frame), msgspec.json.encode(frame)):
        assert reader.feed(raw, 1) == Outcome.APPLIED
        assert reader.name == "币安人生USDT"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"last_key": ""}, "last_key"),
        ({"rule": "span"}, "first_key"),
        ({"rule": "linked"}, "previous_key"),
        ({"kind_key": ""}, "kind_key"),
        ({"asks_key": "b"}, "two different"),
        ({"stamp_key": "topic"}, "two different"),
    ],
)
def test_facts_that_no_frame_could_satisfy_are_refused(
    kernel: ModuleType, change: dict[str, str], said: str
) -> None:
    facts = msgspec.structs.replace(BYBIT, **change)
    with pytest.raises(ValueError, match=said):
        kernel.DepthReader(facts)


def test_frames_of_changing_shape_are_read_alike(kernel: ModuleType) -> None:
    reader, book = started(kernel)
    for u in range(101, 160):
        frame = msgspec.json.decode(bybit("delta", u, [["99.5", f"{u}"]], [["99.7", "0"]]))
        if u % 3 == 0:
            frame[f"extra{u % 12}"] = {"x": [1, {"y": None}]} if u % 2 else "text"
        if u % 5 == 0:
            frame["data"]["b"][0] += [None, "more"]
        if u % 7 == 0:
            frame["data"]["u"] = str(u)
        assert reader.feed(text(frame), u) == Outcome.APPLIED
        assert (book.bid_lots, book.sequence, reader.last) == (1000 * u, u, u)
    frame["data"]["extra"] = frame["data"].pop("seq")
    frame["data"] |= {"u": 160, "b": [["99.5", 5]]}
    assert reader.feed(text(frame), 1) == Outcome.MALFORMED

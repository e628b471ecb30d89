"""BitMEX's public side: grids and contract maths, table diffs, merged tickers, the past."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from bitmex_material import (
    AT,
    DATED,
    ETHUSD,
    XBTUSD,
    XBTUSDT,
    dialect,
    frame,
    level,
    row,
    with_book,
)
from hypothesis import given
from hypothesis import strategies as st

from oneprice.model.events import (
    BookReady,
    CandleClosed,
    FeedLost,
    FrameRejected,
    FundingSettled,
    InstrumentListed,
)
from oneprice.model.instrument import Payoff
from oneprice.venues.bitmex import SPEC
from oneprice.venues.bitmex.wire import interval_ms, iso, moment_ms
from oneprice.venues.contract import FEATURES, REFUSALS, Ack, Answer, HistoryWanted, Wanted


def answer(tag: str, value: object, status: int = 200, **headers: str) -> Answer:
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Answer(tag=tag, status=status, body=body, headers=named)


def test_the_spec_says_that_the_venue_is_closed_and_uses_the_words_of_the_house() -> None:
    assert "closed" in SPEC.closed
    assert set(SPEC.refusals.values()) <= set(REFUSALS)
    assert set(FEATURES) >= SPEC.features
    assert "batch" not in SPEC.features  # bulk orders were withdrawn, only cancels go together
    assert not SPEC.tells_adl
    costs = {name for socket in SPEC.sockets for name, _ in socket.connect_cost}
    assert costs <= {limit.bucket for limit in SPEC.limits}


def test_each_kind_of_contract_is_worth_what_the_document_computes() -> None:
    feed, _ = dialect()
    inverse, quanto, linear = (feed.listed[name] for name in (XBTUSD, ETHUSD, XBTUSDT))
    assert (inverse.payoff, inverse.settle, inverse.contract_value) == (Payoff.INVERSE, "BTC", 1)
    # Section 12: long 1000 at 98000, value at 98500: +5180 satoshi, rounded by lots of 100.
    profit = inverse.profit(Decimal(98000), Decimal(98500), 10)
    assert abs(profit * 10**8 - 5180) < 1
    assert (quanto.payoff, quanto.settle) == (Payoff.QUANTO, "BTC")
    assert quanto.profit(Decimal(2000), Decimal(2001), 1) == Decimal("0.000001")  # 100 XBt
    assert (linear.payoff, linear.settle) == (Payoff.LINEAR, "USDT")
    assert linear.base_per_lot() == Decimal("0.0001")
    dated = feed.listed[DATED]
    assert (dated.funding_interval_ms, dated.expiry) == (0, 1_798_200_000 * 10**9)
    assert inverse.funding_interval_ms == 8 * 3_600_000


def test_bitcoin_is_called_as_everywhere_else_so_that_pairs_are_formed() -> None:
    feed, _ = dialect()
    inverse, linear = feed.listed[XBTUSD], feed.listed[XBTUSDT]
    assert (inverse.symbol, inverse.base, inverse.quote, inverse.settle) == (
        "XBTUSD", "BTC", "USD", "BTC",
    )  # fmt: skip
    assert (linear.symbol, linear.base, linear.settle) == ("XBTUSDT", "BTC", "USDT")


@pytest.mark.parametrize(
    "change",
    [
        {"tickSize": None},
        {"tickSize": 0},
        {"lotSize": -1},
        {"multiplier": 100000000},  # an inverse contract whose long gains
        {"isQuanto": True},
        {"settlCurrency": "DOGe"},
        {"settlCurrency": "USDt"},
        {"typ": "XYZ"},
        {"expiry": "soon"},
        {"multiplier": "1"},
        {"maxOrderQty": 10**30},
        {"state": None},
    ],
    ids=str,
)
def test_a_row_that_names_no_usable_contract_is_skipped_and_counted(change: dict) -> None:
    feed, _ = dialect()
    out = feed.answered(answer("instruments:derivatives", [row("NEW", **change)]), AT)
    assert isinstance(out[0], FrameRejected)
    assert "bitmex:derivatives:NEW" not in feed.listed


def test_rows_of_other_markets_are_passed_over_in_silence() -> None:
    feed, _ = dialect()
    rows = [row(f"N{typ}", typ=typ) for typ in ("IFXXXP", "FFICSX", "FFMCSX", "MRCXXX")]
    out = feed.answered(answer("instruments:derivatives", [*rows, row("XBTUSD")]), AT)
    assert not [event for event in out if isinstance(event, FrameRejected)]
    assert not [name for name in feed.listed if ":N" in name]


def test_what_is_no_longer_in_the_answer_has_stopped() -> None:
    feed, _ = dialect()
    feed.answered(answer("instruments:derivatives", [row("XBTUSD")]), AT)
    assert feed.listed[XBTUSD].tradable
    assert not feed.listed[ETHUSD].tradable


def test_a_book_of_an_instrument_with_a_new_grid_begins_anew() -> None:
    feed, _ = with_book()
    old = feed.books[XBTUSD]
    out = feed.answered(answer("instruments:derivatives", [row("XBTUSD", tickSize=0.1)]), AT)
    assert [type(event) for event in out[:2]] == [InstrumentListed, FeedLost]
    assert not old.known
    out = feed.decode("public", frame("partial", level(1, "Sell", 200, 64000.1)), AT)
    assert isinstance(out[0], BookReady)
    assert feed.books[XBTUSD].ask_ticks == 640001


def test_the_depth_wanted_chooses_the_table() -> None:
    feed, _ = dialect()
    narrow, *_ = feed.topics([Wanted(instrument=XBTUSD, depth=25)])
    full, *_ = feed.topics([Wanted(instrument=ETHUSD, depth=26)])
    assert (narrow.text, full.text) == ("orderBookL2_25:XBTUSD", "orderBookL2:ETHUSD")
    with pytest.raises(ValueError, match="depth 50 wanted"):
        feed.topics([Wanted(instrument=XBTUSD, depth=50)])
    bars = feed.topics([Wanted(instrument=ETHUSD, book=False, ticker=False, candles_ms=(60_000,))])
    assert [topic.text for topic in bars] == ["tradeBin1m:ETHUSD"]
    with pytest.raises(ValueError, match="candles_ms"):
        feed.topics([Wanted(instrument=ETHUSD, candles_ms=(120_000,))])
    with pytest.raises(ValueError, match="never listed"):
        feed.topics([Wanted(instrument="bitmex:derivatives:NOPE")])


# What proves a book ----------------------------------------------------------------------

GAPS = [
    ("update", level(9, "Sell", 100)),
    ("delete", level(9, "Sell")),
    ("delete", level(1, "Buy")),  # the id is of the other side
    ("insert", level(1, "Sell", 300, 64000.5)),
    ("insert", level(9, "Sell", 300, 64000.5)),  # two ids with one price
]


@pytest.mark.parametrize(("action", "diff"), GAPS, ids=str)
def test_a_diff_that_does_not_fit_the_table_loses_the_book(action: str, diff: dict) -> None:
    feed, _ = with_book()
    out = feed.decode("public", frame(action, diff), AT)
    assert [(type(event), event.reason) for event in out] == [(FeedLost, "gap")]
    assert not feed.books[XBTUSD].known
    assert feed.decode("public", frame("update", level(1, "Sell", 5)), AT) == []


@pytest.mark.parametrize(
    "diff",
    [
        level(9, "Sell", 300),  # an insert without a price
        level(9, "Sell", None, 64001),
        level(9, "Sell", 0, 64001),
        level(9, "Sell", -100, 64001),
        level(9, "Neither", 100, 64001),
        level(9, "Sell", 100, -64001),
        {"symbol": "XBTUSD", "id": "9", "side": "Sell", "size": 1, "price": 1},
        {"symbol": "XBTUSD", "id": 9, "side": "Sell", "size": 100, "price": True},
    ],
    ids=str,
)
def test_an_insert_that_cannot_be_read_loses_the_book(diff: dict) -> None:
    feed, _ = with_book()
    (lost,) = feed.decode("public", frame("insert", diff), AT)
    assert isinstance(lost, FeedLost)
    assert lost.reason == "malformed"


def test_a_diff_may_say_a_new_price_for_an_id() -> None:
    feed, _ = with_book()
    assert feed.decode("public", frame("update", level(1, "Sell", None, 64002)), AT) == []
    book = feed.books[XBTUSD]
    assert book.asks() == [(128004, 2)]


def test_a_partial_that_is_wrong_is_told_even_where_the_book_was_lost_before() -> None:
    feed, _ = with_book()
    wrong = frame("partial", level(1, "Sell", 200, 64000), level(2, "Buy", 500, 64000.5))
    assert [event.reason for event in feed.decode("public", wrong, AT)] == ["crossed"]
    assert [event.reason for event in feed.decode("public", wrong, AT)] == ["crossed"]
    twice = frame("partial", level(1, "Sell", 200, 64001), level(1, "Sell", 200, 64002))
    assert [event.reason for event in feed.decode("public", twice, AT)] == ["gap"]


def test_an_empty_book_is_a_book() -> None:
    feed, _ = with_book()
    (ready,) = feed.decode("public", frame("partial"), AT)
    assert isinstance(ready, BookReady)
    assert feed.books[XBTUSD].bids() == []


def test_a_frame_that_cannot_be_read_loses_the_books_that_it_may_have_meant() -> None:
    feed, _ = with_book()
    out = feed.decode("public", frame("update", level(1, "Sell", 5))[:-3], AT)
    assert [type(event) for event in out] == [FrameRejected, FeedLost]
    feed, _ = with_book()
    assert len(feed.decode("public", b"\xff\x00", AT)) == 2  # names nothing: any may be meant
    feed, _ = with_book()
    other = b'{"table":"quote","action":"insert","data":[{"symbol":"XBTUSD"'
    assert [type(event) for event in feed.decode("public", other, AT)] == [FrameRejected]
    assert feed.books[XBTUSD].known


class Level(msgspec.Struct):
    ticks: int
    lots: int


@given(st.data())
def test_any_history_of_true_diffs_ends_in_the_book_that_the_table_holds(data) -> None:
    feed, _ = with_book()
    table = {1: ("Sell", 128001, 2), 2: ("Buy", 128000, 5)}
    for step in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["insert", "update", "delete"]))
        if action == "insert":
            side = data.draw(st.sampled_from(["Buy", "Sell"]))
            taken = {ticks for _, ticks, _ in table.values()}
            low, high = (127900, 128000) if side == "Buy" else (128001, 128100)
            ticks = data.draw(st.integers(low, high).filter(lambda t, taken=taken: t not in taken))
            lots = data.draw(st.integers(1, 9))
            table[100 + step] = (side, ticks, lots)
            diff = level(100 + step, side, lots * 100, ticks / 2)
        else:
            if not table:
                continue
            id_ = data.draw(st.sampled_from(sorted(table)))
            side, ticks, lots = table[id_]
            if action == "update":
                lots = data.draw(st.integers(1, 9))
                table[id_] = (side, ticks, lots)
                diff = level(id_, side, lots * 100)
            else:
                del table[id_]
                diff = level(id_, side)
        assert feed.decode("public", frame(action, diff), AT) == []
    book = feed.books[XBTUSD]
    assert sorted(book.bids()) == sorted((t, n) for s, t, n in table.values() if s == "Buy")
    assert sorted(book.asks()) == sorted((t, n) for s, t, n in table.values() if s == "Sell")


def test_what_was_dropped_begins_anew() -> None:
    feed, _ = with_book()
    (lost,) = feed.dropped([XBTUSD, ETHUSD], AT)
    assert (lost.instrument, lost.reason) == (XBTUSD, "disconnected")
    assert feed.silenced(XBTUSD, AT)[0].reason == "silent"
    # A diff of the ticker before its partial says nothing.
    diff = {"symbol": "XBTUSD", "markPrice": 64000.1}
    assert feed.decode("public", frame("update", diff, table="instrument"), AT) == []


# Acks ------------------------------------------------------------------------------------


def test_a_request_of_many_topics_is_acknowledged_once_and_with_its_number() -> None:
    feed, _ = dialect()
    topics = feed.topics([Wanted(instrument=XBTUSD)])
    asked = msgspec.json.decode(feed.subscribe(topics, 7, on=True))
    told = []
    for text in asked["args"]:
        echo = {"success": True, "subscribe": text, "request": asked}
        told += feed.decode("public", msgspec.json.encode(echo), AT)
    assert [(ack.kind, ack.ok, ack.request_id) for ack in told] == [("subscribe", True, "7")]


def test_one_topic_that_fails_fails_the_request_at_once() -> None:
    feed, _ = dialect()
    topics = feed.topics([Wanted(instrument=XBTUSD)])
    asked = msgspec.json.decode(feed.subscribe(topics, 7, on=True))
    wrong = {"status": 400, "error": "Unknown table: foo", "meta": {}, "request": asked}
    (ack,) = feed.decode("public", msgspec.json.encode(wrong), AT)
    assert (ack.ok, ack.request_id, ack.text) == (False, "7", "400 Unknown table: foo")
    echo = {"success": True, "subscribe": asked["args"][0], "request": asked}
    assert feed.decode("public", msgspec.json.encode(echo), AT) == ()


def test_a_greeting_without_connections_left_is_a_limit() -> None:
    feed, _ = dialect()
    hello = b'{"info":"Welcome","version":"2.0.0","limit":{"remaining":%d}}'
    assert feed.decode("public", hello % 39, AT) == ()
    (ack,) = feed.decode("public", hello % 0, AT)
    assert (ack.kind, ack.bucket) == ("rate", "connects")


# Answers ---------------------------------------------------------------------------------


def test_the_clock_is_the_stamp_of_the_root() -> None:
    feed, _ = dialect()
    assert (feed.clock().path, feed.clock().query) == ("/api/v1", "")
    body = {"name": "BitMEX API", "version": "2.0.0", "timestamp": 1767323045678}
    (ack,) = feed.answered(answer("clock", body), AT)
    assert (ack.kind, ack.text) == ("clock", "1767323045678")


def test_the_allowance_that_the_venue_states_is_told_once() -> None:
    feed, _ = dialect()
    body = {"timestamp": 1767323045678}
    limit, _ = feed.answered(answer("clock", body, x_ratelimit_limit="60"), AT)
    assert (limit.kind, limit.bucket, limit.limit.count) == ("limit", "public", 60)
    assert len(feed.answered(answer("clock", body, x_ratelimit_limit="60"), AT)) == 1


@pytest.mark.parametrize(
    ("status", "until_ms"), [(429, AT // 10**6 + 7000), (503, AT // 10**6 + 500), (500, None)]
)
def test_a_no_tells_how_long_to_wait(status: int, until_ms: int | None) -> None:
    feed, _ = dialect()
    no = {"error": {"message": "Rate limit exceeded, retry in 7 seconds.", "name": "HTTPError"}}
    out = feed.answered(answer("clock", no, status, retry_after="7"), AT)
    assert isinstance(out[0], FrameRejected)
    waits = [event.until_ms for event in out if isinstance(event, Ack)]
    assert waits == ([] if until_ms is None else [until_ms])


def test_the_past_of_funding_comes_in_pages() -> None:
    feed, _ = dialect()
    start, eight_hours = 1_700_000_000_000, 28_800_000
    wanted = HistoryWanted(
        instrument=XBTUSD, kind="funding", start_ms=start, end_ms=start + 600 * eight_hours
    )
    (request,) = feed.history(wanted)
    assert request.path == "/api/v1/funding"
    assert request.query == (
        "symbol=XBTUSD&count=500&startTime=2023-11-14T22%3A13%3A20.000Z"
        "&endTime=2024-06-01T22%3A13%3A20.000Z"
    )

    def rows(first: int, count: int) -> list[dict]:
        return [
            {
                "timestamp": iso(start + number * eight_hours),
                "symbol": "XBTUSD",
                "fundingInterval": "2000-01-01T08:00:00.000Z",
                "fundingRate": 0.0001,
                "fundingRateDaily": 0.0003,
            }
            for number in range(first, first + count)
        ]

    out = feed.answered(answer(request.tag, rows(0, 500)), AT)
    (more,) = feed.follow_ups()
    assert feed.follow_ups() == []
    assert iso(start + 499 * eight_hours + 1).replace(":", "%3A") in more.query
    out += feed.answered(answer(more.tag, rows(500, 100)), AT)
    assert len(out) == 600
    assert out[-1] == FundingSettled(
        at=AT,
        instrument=XBTUSD,
        rate=Decimal("0.0001"),
        settled_ms=start + 599 * eight_hours,
        interval_ms=eight_hours,
    )
    assert isinstance(feed.answered(answer(more.tag, []), AT)[0], FrameRejected)


def test_the_past_of_trades_is_asked_and_told_by_the_start_of_its_bars() -> None:
    feed, _ = dialect()
    start = 1_790_000_040_000  # a whole minute
    wanted = HistoryWanted(instrument=XBTUSD, kind="trade", start_ms=start, end_ms=start + 60_000)
    (request,) = feed.history(wanted)
    assert iso(start + 60_000).replace(":", "%3A") in request.query
    assert iso(start + 120_000).replace(":", "%3A") in request.query
    bar = {"symbol": "XBTUSD", "open": 1, "high": 3, "low": 1, "close": 2.5, "volume": 100}
    empty = {"symbol": "XBTUSD", "open": None, "high": None, "low": None, "close": None}
    rows = [bar | {"timestamp": iso(start + 60_000)}, empty | {"timestamp": iso(start + 120_000)}]
    (candle,) = feed.answered(answer(request.tag, rows), AT)
    assert (candle.start_ms, candle.close, candle.volume) == (start, Decimal("2.5"), 100)


def test_the_past_of_an_index_is_made_of_its_values() -> None:
    feed, _ = dialect()
    start = 1_790_000_040_000
    wanted = HistoryWanted(instrument=XBTUSD, kind="index", start_ms=start, end_ms=start + 60_000)
    (request,) = feed.history(wanted)
    assert request.query.startswith("symbol=.BXBT&count=1000&")

    def value(after_ms: int, price: float) -> dict:
        stamp = iso(start + after_ms)
        return {"timestamp": stamp, "symbol": ".BXBT", "side": "Sell", "size": 0, "price": price}

    values = [value(0, 5), value(30_000, 9.5), value(59_999, 4), value(60_000, 6)]
    out = feed.answered(answer(request.tag, values), AT)
    found = [(c.start_ms, c.kind, c.open, c.high, c.low, c.close) for c in out]
    assert found == [
        (start, "index", 5, Decimal("9.5"), 4, 4),
        (start + 60_000, "index", 6, 6, 6, 6),
    ]
    assert all(isinstance(event, CandleClosed) for event in out)


def test_a_past_that_nobody_keeps_is_refused() -> None:
    feed, _ = dialect()
    with pytest.raises(ValueError, match="mark prices"):
        feed.history(HistoryWanted(instrument=XBTUSD, kind="mark", start_ms=0, end_ms=1))
    with pytest.raises(ValueError, match="interval_ms"):
        feed.history(
            HistoryWanted(
                instrument=XBTUSD, kind="trade", start_ms=0, end_ms=1, interval_ms=120_000
            )
        )


# Times -----------------------------------------------------------------------------------


@given(st.integers(0, 7_258_118_399_999))
def test_times_are_those_of_the_calendar(ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert moment_ms(text, "t") == ms
    assert iso(ms) == text


@pytest.mark.parametrize(
    "text", ["", "2021-02-29", "2021-13-01", "2021-00-10", "2021-01-01T24:00:00Z", "x", None]
)
def test_a_time_that_is_none_is_named(text: str | None) -> None:
    with pytest.raises(ValueError, match="stamp: expected"):
        moment_ms(text, "stamp")


def test_lengths_are_clocks_after_the_millennium() -> None:
    assert interval_ms("2000-01-01T08:00:00.000Z", "i") == 28_800_000
    assert interval_ms("2000-01-02T00:00:00.000Z", "i") == 86_400_000
    with pytest.raises(ValueError, match="i: expected"):
        interval_ms("2000-01-01T00:00:00.000Z", "i")

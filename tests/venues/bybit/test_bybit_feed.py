"""The public side where recordings do not reach: listings, pages, faults, loss of sockets."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.kernel import Tripwires
from oneprice.model.events import BookReady, FeedLost, FrameRejected, InstrumentListed, WireTripped
from oneprice.model.instrument import Payoff
from oneprice.venues.bybit import SPEC
from oneprice.venues.bybit.codes import REFUSALS
from oneprice.venues.bybit.feed import BybitFeed
from oneprice.venues.contract import REFUSALS as WORDS
from oneprice.venues.contract import Ack, Answer, Feed, Output, Wanted

AT = 1_790_000_000_000_000_000
LINEAR, INVERSE = "bybit:linear:BTCUSDT", "bybit:inverse:BTCUSD"


def row(symbol: str = "BTCUSDT", tick: str = "0.10", **change: object) -> dict[str, object]:
    inverse = symbol.endswith("USD")
    return {
        "symbol": symbol,
        "contractType": "InversePerpetual" if inverse else "LinearPerpetual",
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": "USD" if inverse else "USDT",
        "settleCoin": "BTC" if inverse else "USDT",
        "deliveryTime": "0",
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": "1" if inverse else "0.003",
            "qtyStep": "1" if inverse else "0.001",
            "minNotionalValue": "5",
        },
        "fundingInterval": 480,
    } | change


def reply(rows: list[dict[str, object]], cursor: str = "") -> bytes:
    result = {"category": "linear", "list": rows, "nextPageCursor": cursor}
    return msgspec.json.encode({"retCode": 0, "retMsg": "", "result": result, "time": 7})


def load(feed: BybitFeed, market: str, rows: list[dict[str, object]]) -> list[Output]:
    feed.instruments([market])
    answer = Answer(tag=f"instruments:{market}", status=200, body=reply(rows))
    return list(feed.answered(answer, AT))


@pytest.fixture
def feed() -> BybitFeed:
    made = BybitFeed(Tripwires())
    load(made, "linear", [row()])
    load(made, "inverse", [row("BTCUSD", "0.50")])
    return made


def frame(u: int, kind: str = "delta", bid: str = "60000.0", ask: str = "60000.1") -> bytes:
    data = {"s": "BTCUSDT", "b": [[bid, "1"]], "a": [[ask, "1"]], "u": u, "seq": u}
    topic = "orderbook.50.BTCUSDT"
    return msgspec.json.encode({"topic": topic, "type": kind, "ts": 1, "data": data, "cs": 1})


def test_the_feed_keeps_the_contract(feed: BybitFeed) -> None:
    def keeps(_: Feed) -> None: ...

    keeps(feed)
    assert feed.snapshot(LINEAR) is None
    assert set(REFUSALS.values()) <= set(WORDS)
    buckets = [limit.bucket for limit in SPEC.limits]
    assert len(set(buckets)) == len(buckets)


def test_an_inverse_contract_counts_in_dollars(feed: BybitFeed) -> None:
    item = feed.listed[INVERSE]
    assert (item.payoff, item.settle, item.contract_value) == (Payoff.INVERSE, "BTC", 1)
    assert item.notional(120_000, 300) == 300
    linear = feed.listed[LINEAR]
    assert (linear.lots_min, linear.lots_max) == (3, 1_190_000)
    assert (str(linear.price_min), str(linear.price_max)) == ("0.10", "1999999.80")


def test_an_instrument_that_left_the_list_is_no_longer_tradable(feed: BybitFeed) -> None:
    out = load(feed, "linear", [row("ETHUSDT"), row("SOLUSDT", status="PreLaunch")])
    told = {e.instrument.symbol: e.instrument.tradable for e in out if hasattr(e, "instrument")}
    assert told == {"ETHUSDT": True, "SOLUSDT": False, "BTCUSDT": False}
    assert not feed.listed[LINEAR].tradable


def test_a_long_list_is_read_page_by_page(feed: BybitFeed) -> None:
    feed.instruments(["linear"])
    many = [row(f"C{n}USDT") for n in range(1000)]
    body = reply(many, "next%3D1")
    out = feed.answered(Answer(tag="instruments:linear", status=200, body=body), AT)
    assert len(out) == 1000 and feed.listed[LINEAR].tradable
    (more,) = feed.follow_ups()
    assert more.query == "category=linear&limit=1000&cursor=next%3D1"
    out = feed.answered(Answer(tag=more.tag, status=200, body=reply([row()])), AT)
    assert len(out) == 1 and not feed.follow_ups()


@pytest.mark.parametrize(
    "change",
    [
        {"priceFilter": {"tickSize": "0"}},
        {"priceFilter": {"tickSize": 0.1}},
        {"lotSizeFilter": {"minOrderQty": "1"}},
        {"lotSizeFilter": {"qtyStep": "1e9999999"}},
        {"deliveryTime": "2026-12-26"},
        {"quoteCoin": 7},
    ],
)
def test_a_row_without_a_usable_grid_is_told_and_spares_the_others(
    feed: BybitFeed, change: dict[str, object]
) -> None:
    out = load(feed, "linear", [row(**change), row("ETHUSDT")])
    assert isinstance(out[0], FrameRejected)
    assert isinstance(out[1], InstrumentListed) and out[1].instrument.symbol == "ETHUSDT"


def test_a_new_tick_loses_the_book_that_counted_in_the_old_one(feed: BybitFeed) -> None:
    feed.topics([Wanted(instrument=LINEAR)])
    assert isinstance(feed.decode("linear", frame(5, "snapshot"), AT)[0], BookReady)
    old = feed.books[LINEAR]
    out = load(feed, "linear", [row(tick="0.01")])
    assert [type(e) for e in out] == [InstrumentListed, FeedLost]
    assert not old.known and feed.books[LINEAR] is not old
    assert feed.decode("linear", frame(6), AT) == ()
    feed.decode("linear", frame(7, "snapshot"), AT)
    assert feed.books[LINEAR].bid_ticks == 6_000_000 and not old.known


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (2, 50), (50, 50), (51, 200), (5000, 1000)])
def test_the_smallest_sufficient_depth_is_taken(feed: BybitFeed, asked: int, given: int) -> None:
    (topic, ticker) = feed.topics([Wanted(instrument=LINEAR, depth=asked)])
    assert topic.text == f"orderbook.{given}.BTCUSDT" and topic.is_book
    assert feed.books[LINEAR].depth_max == given
    assert ticker.text == "tickers.BTCUSDT" and not ticker.is_book


def test_a_book_of_depth_one_is_ready_once_and_again_after_a_loss(feed: BybitFeed) -> None:
    feed.topics([Wanted(instrument=LINEAR, depth=1)])
    shallow = frame(5, "snapshot").replace(b"orderbook.50", b"orderbook.1")
    assert [type(e) for e in feed.decode("linear", shallow, AT)] == [BookReady]
    for u in (b'"u":5', b'"u":6', b'"u":9'):
        assert feed.decode("linear", shallow.replace(b'"u":5', u), AT) == ()
    assert feed.books[LINEAR].known and feed.books[LINEAR].sequence == 9
    feed.books[LINEAR].lose()
    assert [type(e) for e in feed.decode("linear", shallow, AT)] == [BookReady]


def test_a_deeper_wish_for_a_book_that_exists_is_refused_aloud(feed: BybitFeed) -> None:
    feed.topics([Wanted(instrument=LINEAR, depth=50)])
    assert feed.topics([Wanted(instrument=LINEAR, depth=1)])[0].text == "orderbook.50.BTCUSDT"
    with pytest.raises(ValueError, match="depth 200 wanted"):
        feed.topics([Wanted(instrument=LINEAR, depth=200)])
    with pytest.raises(ValueError, match="never listed"):
        feed.topics([Wanted(instrument="bybit:linear:NOPE")])


def test_a_lost_connection_loses_the_books_it_carried_and_only_those(feed: BybitFeed) -> None:
    feed.topics([Wanted(instrument=LINEAR), Wanted(instrument=INVERSE)])
    feed.decode("linear", frame(5, "snapshot"), AT)
    out = feed.dropped([LINEAR], AT)
    assert [(e.instrument, e.reason) for e in out] == [(LINEAR, "disconnected")]
    assert not feed.books[LINEAR].known
    assert feed.decode("linear", frame(6), AT) == ()


def test_a_tripped_wire_comes_out_of_the_frame_that_tripped_it(feed: BybitFeed) -> None:
    load(feed, "spot", [row("ETHUSDT", lotSizeFilter={"basePrecision": "0.001"})])
    feed.topics([Wanted(instrument=LINEAR), Wanted(instrument="bybit:spot:ETHUSDT")])
    buy, sell = feed.books[LINEAR], feed.books["bybit:spot:ETHUSDT"]
    wire = feed.wires.arm(buy, sell, 10.0, 0.1, 0.1)
    feed.decode("linear", frame(5, "snapshot"), AT)
    high = frame(5, "snapshot", "60001.0", "60100.0").replace(b"BTC", b"ETH")
    assert [type(e) for e in feed.decode("spot", high, AT)] == [BookReady]
    higher = frame(6, "delta", "60099.0", "60100.0").replace(b"BTC", b"ETH")
    assert feed.decode("spot", higher, AT) == [WireTripped(at=AT, wire=wire)]


def test_the_clock_answers_in_milliseconds(feed: BybitFeed) -> None:
    asked = feed.clock()
    body = (
        b'{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1790000000",'
        b'"timeNano":"1790000000123456789"},"retExtInfo":{},"time":1790000000123}'
    )
    (ack,) = feed.answered(Answer(tag=asked.tag, status=200, body=body), AT)
    assert isinstance(ack, Ack) and (ack.kind, ack.text) == ("clock", "1790000000123")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (0, b"", "no_answer"),
        (200, b"<html>", "unreadable_answer"),
        (200, b'{"retCode":"0"}', "unreadable_answer"),
        (200, b'{"retCode":0,"result":{"list":{}}}', "malformed"),
        (403, b"<html>", "banned"),
        (502, b"", "venue_busy"),
        (200, b'{"retCode":10006,"retMsg":"Too many visits!"}', "rate_limited"),
    ],
)
def test_an_answer_that_is_none_is_told_with_its_reason(
    feed: BybitFeed, status: int, body: bytes, reason: str
) -> None:
    out = feed.answered(Answer(tag="instruments:linear", status=status, body=body), AT)
    assert isinstance(out[0], FrameRejected) and out[0].reason.startswith(reason)
    pauses = [e for e in out if isinstance(e, Ack)]
    assert [p.kind for p in pauses] == (["rate"] if reason in ("banned", "rate_limited") else [])
    assert all(pause.until_ms > AT // 1_000_000 for pause in pauses)


SEEDS = (
    frame(6),
    frame(5, "snapshot"),
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","markPrice":"6.1",'
    b'"fundingRate":"0.1","nextFundingTime":"1790006400000","bid1Price":"60000.00",'
    b'"bid1Size":"1.204","ask1Price":"60000.10","ask1Size":"0.552"},"cs":1,"ts":2}',
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"T":1,"s":"BTCUSDT",'
    b'"S":"Buy","v":"0.001","p":"60000.10","i":"x","BT":false}]}',
    b'{"topic":"kline.1.BTCUSDT","data":[{"start":1,"end":2,"interval":"1","open":"1.1",'
    b'"close":"2","high":"3","low":"1","volume":"1","confirm":true}],"type":"snapshot"}',
    b'{"success":true,"ret_msg":"subscribe","conn_id":"1","req_id":"1","op":"subscribe"}',
)
PIECES = (b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"-1", b"1e999999", b"0.1", b'"NaN"')


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A true frame, cut, doubled, bit-flipped or with a foreign piece in it."""
    raw = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(raw)))
        match draw(st.integers(0, 4)):
            case 0:
                raw = raw[:place]
            case 1:
                raw[place : place + draw(st.integers(0, 6))] = draw(st.sampled_from(PIECES))
            case 2:
                raw[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case 3:
                raw = raw[:place] + raw[place:] * 2
            case _:
                raw[place : place + draw(st.integers(1, 12))] = b""
    return bytes(raw)


@settings(max_examples=400, deadline=None)
@given(st.lists(damaged(SEEDS), max_size=5), st.sampled_from(["linear", "spot", "nowhere"]))
def test_no_damaged_frame_ever_raises(frames: list[bytes], socket: str) -> None:
    feed = BybitFeed(Tripwires())
    load(feed, "linear", [row()])
    feed.topics([Wanted(instrument=LINEAR)])
    feed.decode("linear", frame(5, "snapshot"), AT)
    for raw in frames:
        for event in feed.decode(socket, raw, AT):
            assert isinstance(event, Output)
        feed.answered(Answer(tag="instruments:linear", status=200, body=raw), AT)
        book = feed.books[LINEAR]
        assert not book.known or book.bid_ticks < book.ask_ticks or not book.ask_ticks


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_at_all_ever_raise(raw: bytes) -> None:
    feed = BybitFeed(Tripwires())
    feed.decode("linear", raw, AT)
    feed.answered(Answer(tag="clock", status=200, body=raw), AT)

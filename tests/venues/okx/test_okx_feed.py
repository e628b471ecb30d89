"""OKX frames become events, its books are proven by their chain, and nothing makes it raise."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.kernel import Tripwires
from oneprice.model.events import (
    BookReady,
    CandleClosed,
    FeedLost,
    FrameRejected,
    FundingForecast,
    InstrumentListed,
    Marked,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Payoff
from oneprice.model.units import Nanos, Side
from oneprice.venues.contract import Ack, Answer, Output, Wanted
from oneprice.venues.okx.books import checksum
from oneprice.venues.okx.feed import OkxFeed

SWAP = "okx:swap:BTC-USDT-SWAP"
AT = Nanos(1_767_323_045_123_000_000)

SWAP_ROW = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "settleCcy": "USDT",
    "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear", "tickSz": "0.1",
    "lotSz": "0.01", "minSz": "0.01", "maxLmtSz": "100000000", "state": "live", "expTime": "",
    "baseCcy": "", "quoteCcy": "", "ruleType": "normal",
}  # fmt: skip
INVERSE_ROW = {
    **SWAP_ROW, "instId": "BTC-USD-260327", "instType": "FUTURES", "uly": "BTC-USD",
    "settleCcy": "BTC", "ctVal": "100", "ctMult": "2", "ctValCcy": "USD", "ctType": "inverse",
    "lotSz": "1", "minSz": "1", "expTime": "1774598400000",
}  # fmt: skip
SPOT_ROW = {
    **SWAP_ROW, "instId": "BTC-USDT", "instType": "SPOT", "baseCcy": "BTC", "quoteCcy": "USDT",
    "ctVal": "", "ctMult": "", "ctValCcy": "", "ctType": "", "settleCcy": "", "uly": "",
    "lotSz": "0.00000001", "minSz": "0.00001",
}  # fmt: skip


def listed(feed: OkxFeed, *rows: dict[str, Any]) -> Sequence[Output]:
    body = msgspec.json.encode({"code": "0", "msg": "", "data": list(rows)})
    return feed.answered(Answer(tag="instruments:swap", status=200, body=body), AT)


def new_feed() -> OkxFeed:
    feed = OkxFeed(Tripwires())
    listed(feed, SWAP_ROW, INVERSE_ROW, SPOT_ROW)
    feed.topics([Wanted(instrument=SWAP)])
    return feed


def book(action: str, previous: int, last: int, bids: Any, asks: Any, **more: Any) -> bytes:
    data = {
        "asks": [[price, size, "0", "1"] for price, size in asks],
        "bids": [[price, size, "0", "1"] for price, size in bids],
        "ts": "1767323045123",
        "checksum": 0,
        "prevSeqId": previous,
        "seqId": last,
        **more,
    }
    arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
    return msgspec.json.encode({"arg": arg, "action": action, "data": [data]})


SNAPSHOT = book("snapshot", -1, 10, [("90000", "3.2")], [("90000.1", "12.5")])


def push(channel: str, **data: Any) -> bytes:
    arg = {"channel": channel, "instId": data.get("instId", "BTC-USDT-SWAP")}
    return msgspec.json.encode({"arg": arg, "data": [data]})


def test_a_snapshot_makes_the_book_ready_and_a_chain_with_keep_alive_and_reset_keeps_it() -> None:
    feed = new_feed()
    assert feed.decode("public", SNAPSHOT, AT) == [BookReady(at=AT, instrument=SWAP)]
    chain = [(10, 15), (15, 15), (15, 3), (3, 5)]
    for previous, last in chain:
        assert feed.decode("public", book("update", previous, last, [], []), AT) == []
    frame = book("update", 5, 9, [("90000", "0"), ("89999.9", "1")], [])
    assert feed.decode("public", frame, AT) == []
    kept = feed.books[SWAP]
    assert (kept.known, kept.sequence, kept.bid_ticks, kept.bid_lots) == (True, 9, 899_999, 100)


@pytest.mark.parametrize(("previous", "last"), [(11, 12), (9, 12)])
def test_any_other_number_loses_the_book_at_once_until_the_next_snapshot(
    previous: int, last: int
) -> None:
    feed = new_feed()
    feed.decode("public", SNAPSHOT, AT)
    lost = feed.decode("public", book("update", previous, last, [("90000", "9")], []), AT)
    assert [type(event) for event in lost] == [FeedLost]
    assert lost[0].reason == "gap"  # type: ignore[union-attr]
    assert not feed.books[SWAP].known
    assert feed.decode("public", book("update", last, last + 1, [], []), AT) == []
    assert feed.decode("public", SNAPSHOT, AT) == [BookReady(at=AT, instrument=SWAP)]


@pytest.mark.parametrize(
    ("bids", "asks", "reason"),
    [
        ([("90000.2", "1")], [], "crossed"),
        ([("90000.05", "1")], [], "off_grid"),
        ([("ninety", "1")], [], "malformed"),
    ],
)
def test_a_delta_that_cannot_be_true_loses_the_book(bids: Any, asks: Any, reason: str) -> None:
    feed = new_feed()
    feed.decode("public", SNAPSHOT, AT)
    (lost,) = feed.decode("public", book("update", 10, 11, bids, asks), AT)
    assert isinstance(lost, FeedLost)
    assert lost.reason == reason


def test_what_comes_twice_from_a_renewed_connection_changes_nothing() -> None:
    feed = new_feed()
    feed.decode("public", SNAPSHOT, AT)
    steps = [(10, 15, "4"), (15, 20, "5"), (20, 26, "6")]
    frames = [book("update", p, last, [("90000", size)], []) for p, last, size in steps]
    for frame in frames:
        assert feed.decode("public", frame, AT) == []
    before = feed.books[SWAP].fingerprint()
    late = {"ts": "1767323105123"}  # of a minute later, the content as before
    for again in (SNAPSHOT, *frames, book("snapshot", -1, 26, [], [], **late), frames[2]):
        assert feed.decode("public", again, AT) == []
    assert feed.books[SWAP].fingerprint() == before
    newer = book("snapshot", -1, 30, [("90000", "7")], [("90000.1", "1")], **late)
    assert feed.decode("public", newer, AT) == []
    assert feed.decode("public", book("update", 26, 30, [("90000", "7")], []), AT) == []
    assert (feed.books[SWAP].sequence, feed.books[SWAP].bid_lots) == (30, 700)


def test_a_reset_of_the_numbering_that_was_missed_is_a_gap_and_not_an_old_frame() -> None:
    feed = new_feed()
    feed.decode("public", SNAPSHOT, AT)
    feed.decode("public", book("update", 10, 900, [], []), AT)
    after = book("update", 3, 5, [("90000", "9")], [], ts="1767323045623")
    (lost,) = feed.decode("public", after, AT)
    assert isinstance(lost, FeedLost)
    assert lost.reason == "gap"


def test_a_shallow_book_is_replaced_by_every_push_of_five_levels() -> None:
    feed = OkxFeed(Tripwires())
    listed(feed, SWAP_ROW)
    (topic,) = feed.topics([Wanted(instrument=SWAP, depth=5, ticker=False)])
    assert msgspec.json.decode(topic.text)["channel"] == "books5"
    assert topic.is_book

    def full(sequence: int, bid: str, ts: str = "1767323045233") -> bytes:
        arg = {"channel": "books5", "instId": "BTC-USDT-SWAP"}
        row = {"asks": [["90000.2", "1", "0", "1"]], "bids": [[bid, "4.2", "0", "3"]]}
        data = {**row, "instId": "BTC-USDT-SWAP", "ts": ts, "seqId": sequence}
        return msgspec.json.encode({"arg": arg, "data": [data]})

    ack = {"id": "1", "event": "subscribe", "arg": msgspec.json.decode(topic.text)}
    assert feed.decode("public", msgspec.json.encode(ack), AT) == []
    assert feed.decode("public", full(8, "90000"), AT) == [BookReady(at=AT, instrument=SWAP)]
    assert feed.decode("public", full(9, "89999"), AT) == []
    assert feed.decode("public", full(8, "90000"), AT) == []
    assert feed.books[SWAP].bids() == [(899_990, 420)]
    (lost,) = feed.decode("public", full(10, "90000.3"), AT)
    assert isinstance(lost, FeedLost)
    assert lost.reason == "crossed"
    feed.decode("public", full(11, "90000"), AT)
    # A new numbering loses nothing: the whole book is in every push.
    assert feed.decode("public", full(3, "90000", "1767323049000"), AT) == []
    assert feed.books[SWAP].sequence == 3
    with pytest.raises(ValueError, match="depth 400"):
        feed.topics([Wanted(instrument=SWAP, depth=400)])


def test_candles_come_on_their_own_socket_and_only_finished_ones_are_told() -> None:
    feed = new_feed()
    wanted = Wanted(instrument=SWAP, book=False, ticker=False, candles_ms=(60_000, 86_400_000))
    topics = feed.topics([wanted])
    assert [topic.socket for topic in topics] == ["business", "business"]
    names = [msgspec.json.decode(topic.text)["channel"] for topic in topics]
    assert names == ["candle1m", "candle1Dutc"]
    row = ["1767323040000", "90000", "90010.5", "89990", "90001", "12", "0.12", "10800", "0"]
    arg = {"channel": "candle1m", "instId": "BTC-USDT-SWAP"}
    frame = {"arg": arg, "data": [row]}
    assert feed.decode("business", msgspec.json.encode(frame), AT) == []
    frame = {"arg": arg, "data": [[*row[:-1], "1"]]}
    (bar,) = feed.decode("business", msgspec.json.encode(frame), AT)
    assert isinstance(bar, CandleClosed)
    assert (bar.kind, bar.interval_ms, bar.start_ms) == ("trade", 60_000, 1_767_323_040_000)
    assert (bar.high, bar.low, bar.volume) == (Decimal("90010.5"), Decimal(89990), Decimal(12))
    arg = {"channel": "index-candle1H", "instId": "BTC-USDT"}
    frame = {"arg": arg, "data": [[*row[:5], "1"]]}
    bars = feed.decode("business", msgspec.json.encode(frame), AT)
    assert {event.instrument for event in bars} == {SWAP, "okx:spot:BTC-USDT"}  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="candle of 7 ms"):
        feed.topics([Wanted(instrument=SWAP, candles_ms=(7,))])


def test_a_listing_that_vanishes_from_the_list_is_no_longer_tradable() -> None:
    feed = OkxFeed(Tripwires())
    ether = {"instId": "ETH-USDT-SWAP", "uly": "ETH-USDT", "ctValCcy": "ETH"}
    listed(feed, SWAP_ROW, {**SWAP_ROW, **ether})
    outputs = listed(feed, SWAP_ROW)
    assert [(o.instrument.symbol, o.instrument.tradable) for o in outputs] == [  # type: ignore[union-attr]
        ("BTC-USDT-SWAP", True),
        ("ETH-USDT-SWAP", False),
    ]


def test_the_demo_is_asked_with_its_header_and_nothing_needs_a_door() -> None:
    feed = OkxFeed(Tripwires(), demo=True)
    (request,) = feed.instruments(["swap"])
    assert ("x-simulated-trading", "1") in request.headers
    assert ("x-simulated-trading", "1") in feed.clock().headers
    assert OkxFeed(Tripwires()).clock().headers == ()
    assert feed.door("public") == ()


def test_old_frames_without_numbers_are_proven_by_their_checksum() -> None:
    feed = new_feed()
    arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
    levels = {"bids": [["3366.1", "7", "0", "1"]], "asks": [["3366.8", "9", "0", "1"]]}
    for price in ("3368", "3372"):
        levels["asks"].append([price, "8", "0", "1"])
    data = {**levels, "ts": "1652459225464", "checksum": 831078360}
    frame = msgspec.json.encode({"arg": arg, "action": "snapshot", "data": [data]})
    assert [type(event) for event in feed.decode("public", frame, AT)] == [BookReady]
    data = {"bids": [["3366", "6", "0", "1"]], "asks": [["3372", "0", "0", "0"]]}
    good = {**data, "ts": "1652459225564", "checksum": -1881014294}
    frame = msgspec.json.encode({"arg": arg, "action": "update", "data": [good]})
    # The document's second vector has 3368 at size 8 and no third ask.
    bids, asks = [("3366.1", "7"), ("3366", "6")], [("3366.8", "9"), ("3368", "8")]
    assert feed.decode("public", frame, AT) == []
    tally = feed.checksums[SWAP]
    assert (tally.compared, tally.equal) == (2, 2)
    assert len(bids) == len(feed.books[SWAP].bids())
    assert len(asks) == len(feed.books[SWAP].asks())
    bad = {**data, "ts": "1652459225564", "checksum": 7}
    frame = msgspec.json.encode({"arg": arg, "action": "update", "data": [bad]})
    (lost,) = feed.decode("public", frame, AT)
    assert isinstance(lost, FeedLost)
    assert lost.reason == "malformed"
    assert not feed.books[SWAP].known


def test_the_constant_checksum_of_2026_is_not_compared() -> None:
    feed = new_feed()
    feed.decode("public", SNAPSHOT, AT)
    assert feed.checksums[SWAP].compared == 0


def test_the_checksum_goes_on_with_the_longer_side() -> None:
    feed = new_feed()
    asks = [("3366.8", "9"), ("3368", "8"), ("3372", "8")]
    feed.decode("public", book("snapshot", -1, 1, [("3366.1", "7")], asks), AT)
    (listing,) = [o for o in listed(feed, SWAP_ROW) if isinstance(o, InstrumentListed)]
    assert checksum(feed.books[SWAP], listing.instrument) == 831078360


def test_instruments_carry_contract_values_grids_payoffs_and_expiry() -> None:
    feed = OkxFeed(Tripwires())
    outputs = listed(feed, SWAP_ROW, INVERSE_ROW, SPOT_ROW)
    swap, future, spot = [o.instrument for o in outputs if isinstance(o, InstrumentListed)]
    assert (swap.id, swap.payoff, swap.contract_value) == (SWAP, Payoff.LINEAR, Decimal("0.01"))
    assert (swap.base, swap.quote, swap.settle, swap.lots_min) == ("BTC", "USDT", "USDT", 1)
    assert swap.notional(900_000, 100) == Decimal(900)
    assert (future.id, future.payoff) == ("okx:futures:BTC-USD-260327", Payoff.INVERSE)
    assert (future.contract_value, future.settle) == (Decimal(200), "BTC")
    assert future.expiry == 1_774_598_400_000_000_000
    assert swap.expiry == 0
    assert (spot.payoff, spot.lots_min, spot.funding_interval_ms) == (Payoff.SPOT, 1000, 0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ctValCcy": "ETH"}, "ctValCcy"),
        ({"ctType": "quanto"}, "ctType"),
        ({"tickSz": "-1"}, "tickSz"),
        ({"uly": "BTC"}, "uly"),
        ({"ctVal": "x"}, "ctVal"),
    ],
)
def test_a_contract_we_would_misprice_is_refused_by_field_and_the_others_stay(
    change: dict[str, str], field: str
) -> None:
    feed = OkxFeed(Tripwires())
    outputs = listed(feed, {**SWAP_ROW, **change}, SPOT_ROW)
    assert [type(output) for output in outputs] == [FrameRejected, InstrumentListed]
    assert field in outputs[0].reason  # type: ignore[union-attr]


def test_a_listing_that_is_not_described_yet_is_left_out() -> None:
    feed = OkxFeed(Tripwires())
    assert listed(feed, {"instId": "NEW-USDT-SWAP", "instType": "SWAP", "state": "preopen"}) == []


def test_a_new_grid_loses_the_book_that_counted_on_the_old_one() -> None:
    feed = new_feed()
    feed.decode("public", SNAPSHOT, AT)
    outputs = listed(feed, {**SWAP_ROW, "tickSz": "0.5"})
    assert [type(output) for output in outputs] == [InstrumentListed, FeedLost]
    assert not feed.books[SWAP].known
    assert feed.books[SWAP].tick == Decimal("0.5")


def test_touch_trade_mark_and_index_become_events() -> None:
    feed = new_feed()
    ask = ["90000.2", "1", "0", "1"]
    touch = push("bbo-tbt", asks=[ask], bids=[], ts="1767323045233", seqId=8)
    (quoted,) = feed.decode("public", touch, AT)
    assert isinstance(quoted, TouchQuoted)
    assert (quoted.ask_ticks, quoted.ask_lots, quoted.bid_ticks) == (900_002, 100, 0)
    assert quoted.sequence == 8
    trade = push(
        "trades", instId="BTC-USDT-SWAP", tradeId="13", px="90000.1", sz="0.12", side="sell",
        ts="1767323045897",
    )  # fmt: skip
    (traded,) = feed.decode("public", trade, AT)
    assert isinstance(traded, MarketTraded)
    assert (traded.ticks, traded.lots, traded.side) == (900_001, 12, Side.SELL)
    mark = push("mark-price", instId="BTC-USDT-SWAP", markPx="90001.5", ts="1767323045897")
    (marked,) = feed.decode("public", mark, AT)
    assert isinstance(marked, Marked)
    assert (marked.mark, marked.index) == (Decimal("90001.5"), None)
    index = push("index-tickers", instId="BTC-USDT", idxPx="90002", ts="1767323045897")
    found = {event.instrument: event.index for event in feed.decode("public", index, AT)}  # type: ignore[union-attr]
    assert found == {SWAP: Decimal(90002), "okx:spot:BTC-USDT": Decimal(90002)}


def test_funding_of_this_and_of_the_next_period_stay_apart_and_tell_the_interval() -> None:
    feed = new_feed()
    now = {
        "instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", "fundingTime": "1767340800000",
        "nextFundingRate": "", "nextFundingTime": "1767369600000",
    }  # fmt: skip
    (forecast,) = feed.decode("public", push("funding-rate", **now), AT)
    assert isinstance(forecast, FundingForecast)
    assert (forecast.rate, forecast.interval_ms) == (Decimal("0.0001"), 28_800_000)
    assert forecast.due == 1_767_340_800_000_000_000
    both = {**now, "nextFundingRate": "-0.0002", "nextFundingTime": "1767355200000"}
    relisted, both_told = feed.decode("public", push("funding-rate", **both), AT)
    assert isinstance(relisted, InstrumentListed)
    assert relisted.instrument.funding_interval_ms == 14_400_000
    assert isinstance(both_told, FundingForecast)
    assert (both_told.rate, both_told.next_rate) == (Decimal("0.0001"), Decimal("-0.0002"))
    assert both_told.interval_ms == 14_400_000
    assert forecast.next_rate is None
    unstated = push("funding-rate", **{**now, "fundingRate": ""})
    assert feed.decode("public", unstated, AT) == []


def test_topics_are_asked_once_and_answered_by_one_ack_when_all_are_in() -> None:
    feed = new_feed()
    wanted = [Wanted(instrument=SWAP, trades=True), Wanted(instrument="okx:spot:BTC-USDT")]
    topics = feed.topics(wanted)
    channels = [msgspec.json.decode(topic.text)["channel"] for topic in topics]
    assert channels == [
        "books", "trades", "bbo-tbt", "mark-price", "index-tickers", "funding-rate",
        "books", "bbo-tbt",
    ]  # fmt: skip
    assert [topic.is_book for topic in topics].count(True) == 2
    sent = msgspec.json.decode(feed.subscribe(topics[:2], 7, on=True))
    assert (sent["id"], sent["op"], len(sent["args"])) == ("7", "subscribe", 2)
    ack = msgspec.json.encode({"id": "7", "event": "subscribe", "arg": sent["args"][0]})
    assert feed.decode("public", ack, AT) == []
    (whole,) = feed.decode("public", ack, AT)
    assert whole == Ack(socket="public", kind="subscribe", request_id="7")


def test_one_refused_topic_fails_the_request_and_a_bad_request_fails_it_at_once() -> None:
    feed = new_feed()
    topics = feed.topics([Wanted(instrument=SWAP)])
    feed.subscribe(topics[:2], 8, on=True)
    error = {"id": "8", "event": "error", "code": "60018", "msg": "Wrong channel"}
    assert feed.decode("public", msgspec.json.encode(error), AT) == []
    good = msgspec.json.encode({"id": "8", "event": "subscribe", "arg": {"channel": "books"}})
    (ack,) = feed.decode("public", good, AT)
    assert isinstance(ack, Ack)
    assert (ack.ok, ack.text) == (False, "60018 Wrong channel")
    feed.subscribe(topics[:2], 9, on=True)
    error = {"id": "9", "event": "error", "code": "60012", "msg": "Invalid request"}
    (ack,) = feed.decode("public", msgspec.json.encode(error), AT)
    assert isinstance(ack, Ack)
    assert (ack.ok, ack.request_id) == (False, "9")


def test_pong_is_text_and_a_notice_announces_the_end() -> None:
    feed = new_feed()
    assert feed.decode("public", b"pong", AT) == [Ack(socket="public", kind="pong")]
    notice = {"event": "notice", "code": "64008", "msg": "closing soon"}
    (ack,) = feed.decode("public", msgspec.json.encode(notice), AT)
    assert isinstance(ack, Ack)
    assert ack.kind == "closing"


def test_a_lost_socket_loses_every_known_book_once() -> None:
    feed = new_feed()
    feed.decode("public", SNAPSHOT, AT)
    assert feed.dropped(["okx:spot:BTC-USDT"], AT) == []
    assert feed.books[SWAP].known
    (lost,) = feed.dropped([SWAP, "okx:spot:BTC-USDT"], AT)
    assert isinstance(lost, FeedLost)
    assert (lost.instrument, lost.reason) == (SWAP, "disconnected")
    assert feed.dropped([SWAP], AT) == []
    assert not feed.books[SWAP].known


def test_the_clock_is_asked_and_answered_and_a_refusal_is_named() -> None:
    feed = new_feed()
    tag = feed.clock().tag
    body = b'{"code":"0","msg":"","data":[{"ts":"1767323045678"}]}'
    (ack,) = feed.answered(Answer(tag=tag, status=200, body=body), AT)
    assert ack == Ack(socket="", kind="clock", text="1767323045678")
    body = b'{"code":"50011","msg":"Too many requests"}'
    rejected, pause = feed.answered(Answer(tag=tag, status=429, body=body), AT)
    assert isinstance(rejected, FrameRejected)
    assert "rate_limited" in rejected.reason
    assert isinstance(pause, Ack)
    assert (pause.kind, pause.bucket, pause.until_ms) == ("rate", "time", 1_767_323_047_123)
    (rejected,) = feed.answered(Answer(tag=tag, status=0, detail="timeout"), AT)
    assert isinstance(rejected, FrameRejected)
    with pytest.raises(ValueError, match="options"):
        feed.instruments(["options"])


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(frame: bytes) -> None:
    feed = new_feed()
    feed.decode("public", frame, AT)
    feed.answered(Answer(tag="instruments:swap", status=200, body=frame), AT)


FRAMES = [
    SNAPSHOT,
    push("bbo-tbt", asks=[["90000.2", "1", "0", "1"]], bids=[], ts="1767323045233", seqId=8),
    push("funding-rate", instId="BTC-USDT-SWAP", fundingRate="1", fundingTime="17673408"),
    push("mark-price", instId="BTC-USDT-SWAP", markPx="90001.5", ts="1767323045897"),
    push("instruments", **SWAP_ROW),
    b'{"event":"error","code":"60012","msg":"x","id":"1"}',
]


@settings(deadline=None)
@given(st.sampled_from(FRAMES), st.data())
def test_no_damaged_frame_makes_it_raise(frame: bytes, data: st.DataObject) -> None:
    feed = new_feed()
    start = data.draw(st.integers(0, len(frame)))
    end = data.draw(st.integers(start, len(frame)))
    damaged = frame[:start] + data.draw(st.binary(max_size=12)) + frame[end:]
    feed.decode("public", SNAPSHOT, AT)
    feed.decode("public", damaged, AT)

"""The public side on written frames: joining, losing, listing, and never raising."""

import json
from decimal import Decimal
from typing import Any

import pytest
from binance_material import SPOT, USDM, feed_of, instrument
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.kernel import Tripwires
from oneprice.model.events import (
    BookReady,
    CandleClosed,
    FeedLost,
    FrameRejected,
    InstrumentListed,
    MarketTraded,
    TouchQuoted,
    WireTripped,
)
from oneprice.model.instrument import Payoff
from oneprice.model.units import HOUR, Side
from oneprice.venues.binance import SPEC, BinanceFeed
from oneprice.venues.binance.facts import PRODUCTS
from oneprice.venues.binance.feed import FRAMES_KEPT_MAX
from oneprice.venues.contract import REFUSALS, Ack, Answer, Wanted

AT = 1_790_000_000_000_000_000


def spot_depth(first: int, last: int, bids: Any = (), asks: Any = ()) -> bytes:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last}
    frame = {"stream": "btcusdt@depth@100ms", "data": {**data, "b": bids, "a": asks}}
    return json.dumps(frame, separators=(",", ":")).encode()


def usdm_depth(first: int, last: int, previous: int, bids: Any = (), asks: Any = ()) -> bytes:
    data = {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "st": 1, "ps": "BTCUSDT"}
    data |= {"U": first, "u": last, "pu": previous}
    frame = {"stream": "btcusdt@depth@100ms", "data": {**data, "b": bids, "a": asks}}
    return json.dumps(frame, separators=(",", ":")).encode()


def snapshot(item: Any, number: int, bids: Any = None, asks: Any = None) -> Answer:
    bids = [["60000.00", "0.5"]] if bids is None else bids
    asks = [["60001.00", "0.3"]] if asks is None else asks
    body = json.dumps({"lastUpdateId": number, "bids": bids, "asks": asks}).encode()
    return Answer(tag=f"snapshot:{item.id}", status=200, body=body)


def kinds(outputs: Any) -> list[str]:
    return [type(each).__name__ for each in outputs]


def test_a_late_snapshot_gets_the_events_that_came_before_it() -> None:
    feed = feed_of(SPOT)
    assert not feed.decode("spot_public", spot_depth(99, 101), AT)
    assert not feed.decode("spot_public", spot_depth(102, 104, [["60000.50", "2"]]), AT)
    assert feed.answered(snapshot(SPOT, 101), AT) == [BookReady(at=AT, instrument=SPOT.id)]
    book = feed.books[SPOT.id]
    assert (book.bid_ticks, book.bid_lots, book.sequence) == (6000050, 200_000, 104)


def test_a_snapshot_older_than_the_buffer_is_asked_for_again() -> None:
    feed = feed_of(SPOT)
    feed.decode("spot_public", spot_depth(99, 101), AT)
    (lost,) = feed.answered(snapshot(SPOT, 90), AT)
    assert isinstance(lost, FeedLost) and lost.reason == "gap"
    assert not feed.books[SPOT.id].known
    assert kinds(feed.answered(snapshot(SPOT, 100), AT)) == ["BookReady"]


def test_a_book_is_not_ready_before_an_event_has_met_the_snapshot() -> None:
    feed = feed_of(SPOT)
    assert feed.answered(snapshot(SPOT, 100), AT) == []
    assert not feed.books[SPOT.id].known
    assert kinds(feed.decode("spot_public", spot_depth(98, 100), AT)) == ["BookReady"]


def test_futures_join_where_the_event_reaches_across_the_snapshot() -> None:
    feed = feed_of(USDM)
    feed.decode("usdm_public", usdm_depth(105, 110, 98, [["60000.5", "1"]]), AT)
    assert kinds(feed.answered(snapshot(USDM, 100), AT)) == ["BookReady"]  # U > id + 1, pu <= id
    assert not feed.decode("usdm_public", usdm_depth(150, 160, 110), AT)
    assert feed.books[USDM.id].sequence == 160


def test_a_gap_loses_the_book_and_its_frame_begins_the_next_run() -> None:
    feed = feed_of(USDM)
    feed.decode("usdm_public", usdm_depth(100, 100, 99), AT)
    feed.answered(snapshot(USDM, 100), AT)
    (lost,) = feed.decode("usdm_public", usdm_depth(130, 140, 120), AT)
    assert isinstance(lost, FeedLost) and lost.reason == "gap"
    assert not feed.books[USDM.id].known
    assert kinds(feed.answered(snapshot(USDM, 135), AT)) == ["BookReady"]
    assert feed.books[USDM.id].sequence == 140


def test_a_crossed_book_is_lost_and_comes_back() -> None:
    feed = feed_of(SPOT)
    feed.decode("spot_public", spot_depth(100, 100), AT)
    feed.answered(snapshot(SPOT, 100), AT)
    (lost,) = feed.decode("spot_public", spot_depth(101, 101, [["60002.00", "1"]]), AT)
    assert isinstance(lost, FeedLost) and lost.reason == "crossed"
    feed.decode("spot_public", spot_depth(102, 102), AT)
    assert kinds(feed.answered(snapshot(SPOT, 101), AT)) == ["BookReady"]


def test_an_overflowing_buffer_starts_over() -> None:
    feed = feed_of(SPOT)
    for number in range(FRAMES_KEPT_MAX):
        assert not feed.decode("spot_public", spot_depth(number + 1, number + 1), AT)
    (lost,) = feed.decode("spot_public", spot_depth(FRAMES_KEPT_MAX + 1, FRAMES_KEPT_MAX + 1), AT)
    assert isinstance(lost, FeedLost) and "no snapshot" in lost.detail


def test_a_dropped_connection_loses_the_books_it_carried_and_no_others() -> None:
    feed = feed_of(SPOT, USDM)
    feed.decode("spot_public", spot_depth(100, 100), AT)
    feed.answered(snapshot(SPOT, 100), AT)
    assert feed.dropped([], AT) == []
    (lost,) = feed.dropped([SPOT.id], AT)
    assert lost == FeedLost(at=AT, instrument=SPOT.id, reason="disconnected")
    assert not feed.books[SPOT.id].known


def test_a_snapshot_that_does_not_come_is_lost_again_and_a_ban_is_told() -> None:
    feed = feed_of(SPOT)
    text = b'{"code":-1003,"msg":"Way too much; IP banned until 1790000300000. Please"}'
    answer = Answer(tag=f"snapshot:{SPOT.id}", status=418, body=text)
    ack, lost = feed.answered(answer, AT)
    assert isinstance(ack, Ack) and isinstance(lost, FeedLost)
    assert (ack.kind, ack.bucket, ack.until_ms) == ("rate", "spot_weight", 1790000300000)
    assert lost.reason == "refused"
    (silent,) = feed.answered(Answer(tag=f"snapshot:{SPOT.id}", status=0, detail="late"), AT)
    assert isinstance(silent, FeedLost) and silent.reason == "silent"


def test_a_needless_snapshot_neither_moves_nor_loses_a_proven_book() -> None:
    feed = feed_of(SPOT)
    feed.decode("spot_public", spot_depth(100, 100), AT)
    feed.answered(snapshot(SPOT, 100), AT)
    assert feed.answered(snapshot(SPOT, 90), AT) == []
    rejected = feed.answered(Answer(tag=f"snapshot:{SPOT.id}", status=500), AT)
    assert kinds(rejected) == ["FrameRejected"]
    assert feed.books[SPOT.id].known and feed.books[SPOT.id].sequence == 100


def test_leftovers_of_older_grids_do_not_cost_the_book() -> None:
    feed = feed_of(SPOT)
    feed.decode("spot_public", spot_depth(99, 101, [], [["200000.00", "25.42618900"]]), AT)
    far = [["60001.00", "0.3"], ["90000.00", "1.0000099"], ["90000.005", "1"]]
    assert kinds(feed.answered(snapshot(SPOT, 100, asks=far), AT)) == ["BookReady"]
    frame = spot_depth(102, 102, [["30000.001", "1"]], [["61000.00", "0.0000001"]])
    assert not feed.decode("spot_public", frame, AT)
    book = feed.books[SPOT.id]
    assert book.known
    assert book.asks() == [(6000100, 30_000), (9000000, 100_000), (20000000, 2_542_618)]


def test_a_price_off_the_grid_near_the_touch_loses_the_book() -> None:
    feed = feed_of(SPOT)
    feed.decode("spot_public", spot_depth(100, 100), AT)
    feed.answered(snapshot(SPOT, 100), AT)
    (lost,) = feed.decode("spot_public", spot_depth(101, 101, [["60000.005", "1"]]), AT)
    assert isinstance(lost, FeedLost) and lost.reason == "off_grid"


def test_a_leftover_where_none_is_expected_costs_one_snapshot_and_no_more() -> None:
    feed = feed_of(USDM)
    feed.decode("usdm_public", usdm_depth(100, 100, 99), AT)
    feed.answered(snapshot(USDM, 100), AT)
    leftover = [["200000.0", "0.0005"], ["90000.01", "1"]]
    (lost,) = feed.decode("usdm_public", usdm_depth(101, 105, 100, [], leftover), AT)
    assert isinstance(lost, FeedLost) and lost.reason == "off_grid"
    assert kinds(feed.answered(snapshot(USDM, 104), AT)) == ["BookReady"]
    assert not feed.decode("usdm_public", usdm_depth(106, 106, 105, [], leftover), AT)
    assert feed.books[USDM.id].known and feed.books[USDM.id].sequence == 106


def test_a_tripped_wire_is_told_by_the_frame_that_trips_it() -> None:
    feed = feed_of(SPOT, USDM)
    feed.decode("spot_public", spot_depth(100, 100), AT)
    feed.answered(snapshot(SPOT, 100), AT)
    feed.decode("usdm_public", usdm_depth(100, 100, 99), AT)
    feed.answered(snapshot(USDM, 100), AT)
    wire = feed.wires.arm(feed.books[SPOT.id], feed.books[USDM.id], 10.0, 0.01, 0.1)
    (event,) = feed.decode(
        "usdm_public", usdm_depth(101, 101, 100, [["60100.0", "1"]], [["60001.0", "0"]]), AT
    )
    assert event == WireTripped(at=AT, wire=wire)


def listing(market: str, **changes: Any) -> bytes:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "1000", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.002", "maxQty": "10", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ]
    row = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": filters}
    if market == "spot":
        row |= {"status": "TRADING"}
    elif market == "usdm":
        row |= {"status": "TRADING", "marginAsset": "USDT", "contractType": "PERPETUAL"}
    else:
        row |= {"symbol": "BTCUSD_260925", "quoteAsset": "USD", "marginAsset": "BTC"}
        row |= {"contractStatus": "TRADING", "contractType": "CURRENT_QUARTER"}
        row |= {"contractSize": 100, "deliveryDate": 1790326800000}
    return json.dumps({"symbols": [{**row, **changes}]}).encode()


def listed(market: str, **changes: Any) -> Any:
    feed = BinanceFeed(Tripwires())
    answer = Answer(tag=f"instruments:{market}", status=200, body=listing(market, **changes))
    return feed.answered(answer, AT)


def test_a_perpetual_is_linear_with_its_grid_and_limits() -> None:
    (event,) = listed("usdm")
    item = event.instrument
    assert isinstance(event, InstrumentListed)
    assert (item.id, item.payoff) == ("binance:usdm:BTCUSDT", Payoff.LINEAR)
    assert (item.tick, item.lot) == (Decimal("0.1"), Decimal("0.001"))
    assert (item.lots_min, item.lots_max, item.notional_min) == (2, 10_000, 100)
    assert item.funding_interval_ms == 8 * HOUR // 1_000_000 and item.expiry == 0


def test_a_dated_coin_contract_is_inverse_with_its_value_and_expiry() -> None:
    (event,) = listed("coinm")
    item = event.instrument
    assert (item.payoff, item.settle, item.contract_value) == (Payoff.INVERSE, "BTC", 100)
    assert item.expiry == 1790326800000 * 1_000_000 and item.funding_interval_ms == 0


def test_a_bundle_of_coins_knows_how_many_it_stands_for() -> None:
    (event,) = listed("usdm", symbol="1000PEPEUSDT", baseAsset="1000PEPE")
    assert (event.instrument.base, event.instrument.multiplier) == ("PEPE", 1000)
    (plain,) = listed("usdm", symbol="1INCHUSDT", baseAsset="1INCH")
    assert (plain.instrument.base, plain.instrument.multiplier) == ("1INCH", 1)


def test_a_coin_margined_symbol_in_the_usdm_list_is_left_out() -> None:
    assert listed("usdm", symbol="BTCUSD_PERP", quoteAsset="USD", marginAsset="BTC") == []


def test_a_symbol_that_is_halted_is_listed_as_not_tradable() -> None:
    (event,) = listed("spot", status="BREAK")
    assert not event.instrument.tradable


def test_a_symbol_without_a_grid_is_told_and_skipped() -> None:
    (event,) = listed("spot", filters=[])
    assert isinstance(event, FrameRejected) and "PRICE_FILTER" in event.reason


@pytest.mark.parametrize("intervals_first", [True, False])
def test_funding_intervals_reach_the_instrument_in_either_order(intervals_first: bool) -> None:
    feed = BinanceFeed(Tripwires())
    row = b'[{"symbol":"BTCUSDT","fundingIntervalHours":4}]'
    answers = [
        Answer(tag="instruments:usdm", status=200, body=listing("usdm")),
        Answer(tag="instruments_intervals:usdm", status=200, body=row),
    ]
    for answer in reversed(answers) if intervals_first else answers:
        feed.answered(answer, AT)
    assert feed.listed["binance:usdm:BTCUSDT"].funding_interval_ms == 4 * 3_600_000


def test_a_new_grid_loses_the_old_book_for_good_and_begins_a_new_one() -> None:
    feed = BinanceFeed(Tripwires())
    feed.answered(Answer(tag="instruments:usdm", status=200, body=listing("usdm")), AT)
    name = "binance:usdm:BTCUSDT"
    feed.topics([Wanted(instrument=name)])
    old = feed.books[name]
    body = listing("usdm").replace(b'"tickSize": "0.10"', b'"tickSize": "0.01"')
    outputs = feed.answered(Answer(tag="instruments:usdm", status=200, body=body), AT)
    assert kinds(outputs) == ["InstrumentListed", "FeedLost"]
    assert feed.books[name] is not old and feed.books[name].tick == Decimal("0.01")


def test_topics_go_to_the_socket_that_really_sends_them() -> None:
    feed = feed_of(SPOT, USDM, coin := instrument("coinm", "BTCUSD_PERP", "0.1", "1"))
    topics = feed.topics([Wanted(instrument=item.id, trades=True) for item in (SPOT, USDM, coin)])
    assert [(each.socket, each.text) for each in topics] == [
        ("spot_public", "btcusdt@depth@100ms"),
        ("spot_public", "btcusdt@bookTicker"),
        ("spot_public", "btcusdt@trade"),
        ("usdm_public", "btcusdt@depth@100ms"),
        ("usdm_public", "btcusdt@bookTicker"),
        ("usdm_market", "btcusdt@markPrice@1s"),
        ("usdm_market", "btcusdt@aggTrade"),
        ("coinm_public", "btcusd_perp@depth@100ms"),
        ("coinm_public", "btcusd_perp@bookTicker"),
        ("coinm_public", "btcusd_perp@markPrice@1s"),
        ("coinm_public", "btcusd_perp@aggTrade"),
    ]
    assert [each.text for each in topics if each.is_book] == [
        "btcusdt@depth@100ms",
        "btcusdt@depth@100ms",
        "btcusd_perp@depth@100ms",
    ]


def test_wanting_what_is_not_listed_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="binance:spot:NOPE"):
        BinanceFeed(Tripwires()).topics([Wanted(instrument="binance:spot:NOPE")])


def test_control_answers_become_acks_of_what_was_asked() -> None:
    feed = feed_of(SPOT)
    topics = feed.topics([Wanted(instrument=SPOT.id)])
    assert json.loads(feed.subscribe(topics, 7, on=False)) == {
        "method": "UNSUBSCRIBE",
        "params": ["btcusdt@depth@100ms", "btcusdt@bookTicker"],
        "id": 7,
    }
    (ack,) = feed.decode("spot_public", b'{"result":null,"id":7}', AT)
    assert ack == Ack(socket="spot_public", kind="unsubscribe", request_id="7")
    (bad,) = feed.decode("spot_public", b'{"code":2,"msg":"Invalid request","id":8}', AT)
    assert bad == Ack(
        socket="spot_public", kind="subscribe", ok=False, request_id="8", text="Invalid request"
    )


def test_a_shutdown_announced_closes_the_socket() -> None:
    frame = b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}'
    (ack,) = feed_of(SPOT).decode("spot_public", frame, AT)
    assert isinstance(ack, Ack) and ack.kind == "closing"


def test_touches_trades_and_bars_are_told_in_ticks_and_lots() -> None:
    feed = feed_of(SPOT, USDM)
    frame = b'{"stream":"btcusdt@bookTicker","data":{"u":9,"s":"BTCUSDT","b":"1.01","B":"2",'
    (touch,) = feed.decode("spot_public", frame + b'"a":"1.02","A":"3"}}', AT)
    assert isinstance(touch, TouchQuoted)
    assert (touch.bid_ticks, touch.bid_lots, touch.sequence) == (101, 200_000, 9)
    frame = b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":2,"s":"BTCUSDT","a":5,'
    frame += b'"p":"60000.1","q":"0.003","nq":"0.003","f":1,"l":2,"T":1,"m":true}}'
    (trade,) = feed.decode("usdm_market", frame, AT)
    assert isinstance(trade, MarketTraded)
    assert (trade.ticks, trade.lots, trade.side, trade.trade_id) == (600001, 3, Side.SELL, "5")
    bar = {"t": 60000, "T": 119999, "s": "BTCUSDT", "i": "1m", "o": "1", "c": "2", "h": "3"}
    data = {"e": "kline", "E": 1, "s": "BTCUSDT", "k": {**bar, "l": "0.5", "v": "7", "x": True}}
    frame = json.dumps({"stream": "btcusdt@kline_1m", "data": data}).encode()
    (candle,) = feed.decode("usdm_market", frame, AT)
    assert isinstance(candle, CandleClosed)
    assert (candle.interval_ms, candle.start_ms, candle.low) == (60_000, 60_000, Decimal("0.5"))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[1]",
        b"\xff\xfe",
        b"{}",
        b'{"stream":"x@nonsense","data":{}}',
        b'{"stream":"nope@bookTicker","data":{"u":1,"s":"NOPE","b":"1","B":"1","a":"1","A":"1"}}',
        b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1e99","B":"1",'
        b'"a":"1","A":"1"}}',
        b'{"e":"kline"}',
    ],
)
def test_what_cannot_be_read_is_counted_with_its_reason(frame: bytes) -> None:
    (event,) = feed_of(SPOT).decode("spot_public", frame, AT)
    assert isinstance(event, FrameRejected) and event.reason


SAMPLES = [
    ("spot_public", spot_depth(101, 102, [["60000.00", "1.5"]], [["60002.00", "0"]])),
    ("usdm_public", usdm_depth(101, 102, 100, [["60000.0", "1.5"]], [["60002.0", "0"]])),
    ("spot_public", b'{"stream":"btcusdt@bookTicker","data":{"u":9,"s":"BTCUSDT","b":"1.01",'
                    b'"B":"2","a":"1.02","A":"3"}}'),
    ("usdm_market", b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1,'
                    b'"s":"BTCUSDT","p":"1.5","i":"2","r":"0.0001","T":1790006400000}}'),
    ("spot_public", b'{"result":null,"id":1}'),
    ("spot_public", b'{"lastUpdateId":100,"bids":[["60000.001","0.5"]],'
                    b'"asks":[["60001.00","1"]]}'),
    ("spot_public", listing("spot")),
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES),
    cuts=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=6)), max_size=6),
)
def test_no_mutation_of_a_frame_makes_decode_raise(
    sample: tuple[str, bytes], cuts: list[tuple[int, bytes]]
) -> None:
    socket, frame = sample
    feed = feed_of(SPOT, USDM)
    for item, first in ((SPOT, spot_depth(100, 100)), (USDM, usdm_depth(100, 100, 99))):
        feed.decode(PRODUCTS[item.market].public, first, AT)
        feed.answered(snapshot(item, 100), AT)
    for place, piece in cuts:
        cut = place % (len(frame) + 1)
        frame = frame[:cut] + piece + frame[cut + len(piece) :]
    feed.decode(socket, frame, AT)
    feed.dropped([SPOT.id], AT)
    feed.decode("spot_public", spot_depth(100, 100), AT)
    for tag in (f"snapshot:{SPOT.id}", "instruments:spot", "instruments_intervals:usdm", "clock"):
        feed.answered(Answer(tag=tag, status=200, body=frame), AT)
    for book in feed.books.values():
        assert not (book.known and 0 < book.ask_ticks <= book.bid_ticks)


def test_every_refusal_and_socket_speaks_the_words_of_the_contract() -> None:
    assert set(SPEC.refusals.values()) <= set(REFUSALS)
    hosts = set(SPEC.hosts["live"])
    assert {each.host for each in SPEC.sockets} <= hosts
    assert {each.rest for each in PRODUCTS.values()} <= hosts
    buckets = {each.bucket for each in SPEC.limits}
    feed = BinanceFeed(Tripwires())
    requests = [*feed.instruments(SPEC.markets), feed.clock()]
    assert {bucket for each in requests for bucket, _ in each.cost} <= buckets

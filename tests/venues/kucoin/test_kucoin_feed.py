"""KuCoin's feed: listing, books without a key, the door, funding, the past, allowances."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from kucoin_material import AT, ETH, FACTORY, INVERSE, LINEAR, SPOT, message, no, ok

from oneprice.kernel import Tripwires
from oneprice.model.events import (
    BookReady,
    CandleClosed,
    FeedLost,
    FrameRejected,
    FundingForecast,
    FundingSettled,
    InstrumentListed,
)
from oneprice.model.instrument import Payoff
from oneprice.venues.contract import (
    FEATURES,
    Ack,
    Answer,
    HistoryWanted,
    Output,
    Topic,
    Wanted,
)
from oneprice.venues.kucoin import SPEC
from oneprice.venues.kucoin.feed import KucoinFeed


def kinds(outputs: Sequence[Output]) -> list[str]:
    return [type(output).__name__ for output in outputs]


def listing(market: str, rows: list[dict[str, object]]) -> tuple[KucoinFeed, Sequence[Output]]:
    feed = KucoinFeed(Tripwires())
    feed.instruments([market])
    return feed, feed.answered(ok(f"instruments:{market}", rows), AT)


# Instruments --------------------------------------------------------------------------------


def test_a_spot_symbol_is_listed_on_its_grid() -> None:
    item = FACTORY.listed_feed().listed[SPOT]
    assert (item.tick, item.lot, item.notional_min) == (
        Decimal("0.1"), Decimal("0.00000001"), Decimal("0.1"),
    )  # fmt: skip
    assert item.payoff is Payoff.SPOT and item.lots_min == 1000 and item.lots_max == 10**18
    assert (item.base, item.quote, item.settle) == ("BTC", "USDT", "USDT") and item.tradable


def test_contracts_carry_their_value_and_bitcoin_has_one_name() -> None:
    listed = FACTORY.listed_feed().listed
    linear, inverse = listed[LINEAR], listed[INVERSE]
    assert linear.payoff is Payoff.LINEAR and linear.contract_value == Decimal("0.001")
    assert (linear.base, linear.settle, str(linear.lot)) == ("BTC", "USDT", "1")
    assert linear.funding_interval_ms == 8 * 3_600_000 and linear.expiry == 0
    assert inverse.payoff is Payoff.INVERSE and inverse.contract_value == 1
    assert (inverse.base, inverse.quote, inverse.settle) == ("BTC", "USD", "BTC")
    assert inverse.notional(900_000, 9000) == 9000
    assert linear.notional(900_000, 3) == Decimal(270)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "FFXXXX"},
        {"settleCurrency": "ETH"},
        {"multiplier": 0},
        {"multiplier": -1.0},
        {"tickSize": 0},
        {"tickSize": "tiny"},
        {"lotSize": 0.5},
        {"isInverse": None},
        {"type": "FFICSX", "expireDate": None},
        {"symbol": 7},
    ],
)
def test_a_contract_that_is_not_understood_is_left_out(changes: dict[str, object]) -> None:
    good, bad = FACTORY.contract("XBTUSDTM"), FACTORY.contract("ODD", **changes)
    feed, out = listing("futures", [bad, good])
    assert list(feed.listed) == [LINEAR]
    assert kinds(out) == ["FrameRejected", "InstrumentListed", "FundingForecast"]


def test_dated_contracts_expire_and_bundles_name_their_coin() -> None:
    rows = [
        FACTORY.contract("XBTMM26", **FACTORY.INVERSE, type="FFICSX", expireDate=1797753600000),
        FACTORY.contract("1000BONKUSDTM", baseCurrency="1000BONK", tickSize=1e-6, status="Paused"),
    ]
    feed, _ = listing("futures", rows)
    dated = feed.listed["kucoin:futures:XBTMM26"]
    assert dated.expiry == 1_797_753_600_000 * 10**6 and dated.funding_interval_ms == 0
    bonk = feed.listed["kucoin:futures:1000BONKUSDTM"]
    assert (bonk.base, bonk.multiplier, bonk.tradable) == ("BONK", 1000, False)
    assert str(bonk.tick) == "0.000001"


def test_a_symbol_that_is_gone_or_not_open_yet_is_not_tradable() -> None:
    row = FACTORY.symbol("NEW-USDT", "0.1", "0.1") | {"tradingStartTime": 1790000009999}
    feed, _ = listing("spot", [row, FACTORY.symbol("BTC-USDT", "0.1", "0.00000001")])
    assert not feed.listed["kucoin:spot:NEW-USDT"].tradable
    out = feed.answered(ok("instruments:spot", [row]), AT)
    gone = [e.instrument for e in out if isinstance(e, InstrumentListed)][-1]
    assert (gone.id, gone.tradable) == (SPOT, False)


def test_a_new_grid_loses_the_book_that_counts_in_the_old_one() -> None:
    feed = FACTORY.listed_feed(keyed=False)
    feed.topics([Wanted(instrument=SPOT)])
    old = feed.books[SPOT]
    rows = [FACTORY.symbol("BTC-USDT", "0.01", "0.00000001")]
    out = feed.answered(ok("instruments:spot", rows), AT)
    assert "FeedLost" in kinds(out) and feed.books[SPOT] is not old
    assert str(feed.books[SPOT].tick) == "0.01"


# Topics and books ---------------------------------------------------------------------------


def test_everything_wanted_becomes_topics_of_the_right_socket() -> None:
    feed = FACTORY.listed_feed()
    wanted = [
        Wanted(instrument=SPOT, trades=True, candles_ms=(60_000, 3_600_000)),
        Wanted(instrument=LINEAR, trades=True, candles_ms=(60_000,)),
    ]
    topics = feed.topics(wanted)
    assert [(t.socket, t.text) for t in topics] == [
        ("spot", "/market/level2:BTC-USDT"),
        ("spot", "/market/match:BTC-USDT"),
        ("spot", "/market/ticker:BTC-USDT"),
        ("spot", "/market/candles:BTC-USDT_1min"),
        ("spot", "/market/candles:BTC-USDT_1hour"),
        ("futures", "/contractMarket/level2:XBTUSDTM"),
        ("futures", "/contractMarket/execution:XBTUSDTM"),
        ("futures", "/contractMarket/tickerV2:XBTUSDTM"),
        ("futures", "/contract/instrument:XBTUSDTM"),
        ("futures", "/contract/announcement:XBTUSDTM"),
        ("futures", "/contractMarket/limitCandle:XBTUSDTM_1min"),
    ]
    assert [t.text for t in topics if t.is_book] == [topics[0].text, topics[5].text]
    with pytest.raises(ValueError, match="candles of 180000 ms"):
        feed.topics([Wanted(instrument=LINEAR, candles_ms=(180_000,))])
    with pytest.raises(ValueError, match="one path"):
        feed.subscribe(topics, 1, on=True)


def test_topics_of_one_path_share_a_message_and_the_ack_knows_what_it_answers() -> None:
    feed = FACTORY.listed_feed()
    topics = [t for t in feed.topics([Wanted(instrument=i) for i in (SPOT, ETH)]) if t.is_book]
    frame = msgspec.json.decode(feed.subscribe(topics, 4, on=False))
    assert (frame["type"], frame["topic"]) == ("unsubscribe", "/market/level2:BTC-USDT,ETH-USDT")
    (ack,) = feed.decode("spot", b'{"id":"4","type":"ack"}', AT)
    assert isinstance(ack, Ack) and (ack.kind, ack.request_id) == ("unsubscribe", "4")
    feed.subscribe([Topic("spot", "/market/foo:A", SPOT, False)], 5, on=True)
    error = b'{"id":"5","type":"error","code":404,"data":"topic /market/foo is not found"}'
    (ack,) = feed.decode("spot", error, AT)
    assert isinstance(ack, Ack) and (ack.kind, ack.ok) == ("subscribe", False)
    assert "not found" in ack.text


def view(stamp: int, bids: object, asks: object, depth: int = 50) -> bytes:
    topic = f"/spotMarket/level2Depth{depth}:BTC-USDT"
    return message(topic, "level2", {"asks": asks, "bids": bids, "timestamp": stamp})


def test_without_a_key_a_spot_book_is_the_whole_view_of_each_push() -> None:
    feed = FACTORY.listed_feed(keyed=False)
    (topic,) = feed.topics([Wanted(instrument=SPOT, ticker=False)])
    assert topic.text == "/spotMarket/level2Depth50:BTC-USDT" and feed.snapshot(SPOT) is None
    first = view(1790000000100, [["90000", "1"], ["89999.9", "2"]], [["90000.1", "3"]])
    assert feed.decode("spot", first, AT) == (BookReady(at=AT, instrument=SPOT),)
    assert feed.decode("spot", view(1790000000200, [["89999", "1"]], [["90000.1", "3"]]), AT) == ()
    book = feed.books[SPOT]
    assert book.bids() == [(899990, 10**8)] and book.sequence == 1790000000200
    # From a connection on its way out: older, so nothing changes.
    assert feed.decode("spot", first, AT) == () and len(book.bids()) == 1
    # Another depth of the same symbol must never touch it.
    assert feed.decode("spot", view(1790000000300, [], [], depth=5), AT) == ()
    assert book.known
    (lost,) = feed.decode("spot", view(1790000000300, [["90000.1", "1"]], [["90000", "1"]]), AT)
    assert isinstance(lost, FeedLost) and lost.reason == "crossed" and not book.known


def test_the_smallest_view_that_is_deep_enough_is_taken() -> None:
    feed = FACTORY.listed_feed(keyed=False)
    (topic,) = feed.topics([Wanted(instrument=SPOT, depth=5, ticker=False)])
    assert topic.text == "/spotMarket/level2Depth5:BTC-USDT"
    with pytest.raises(ValueError, match="depth 50 wanted"):
        feed.topics([Wanted(instrument=SPOT, depth=20)])
    feed = FACTORY.listed_feed(keyed=False)
    (topic,) = feed.topics([Wanted(instrument=SPOT, depth=500, ticker=False)])
    assert topic.text == "/spotMarket/level2Depth50:BTC-USDT"


def test_only_the_full_spot_book_is_signed() -> None:
    feed = FACTORY.listed_feed()
    feed.topics([Wanted(instrument=SPOT), Wanted(instrument=LINEAR)])
    spot, futures = feed.snapshot(SPOT), feed.snapshot(LINEAR)
    assert spot is not None and futures is not None
    assert (spot.signed, spot.host, spot.cost) == (True, "spot_rest", (("spot", 3),))
    assert spot.path == "/api/v3/market/orderbook/level2" and spot.query == "symbol=BTC-USDT"
    assert (futures.signed, futures.host) == (False, "futures_rest")
    assert feed.snapshot(ETH) is None


def test_a_drop_loses_what_the_connection_carried_and_no_more() -> None:
    feed = FACTORY.listed_feed(keyed=False)
    feed.topics([Wanted(instrument=SPOT), Wanted(instrument=ETH)])
    feed.decode("spot", view(1790000000100, [["90000", "1"]], [["90000.1", "3"]]), AT)
    out = feed.dropped([ETH], AT)
    assert [e.instrument for e in out if isinstance(e, FeedLost)] == [ETH]
    assert feed.books[SPOT].known
    (lost,) = feed.silenced(SPOT, AT)
    assert isinstance(lost, FeedLost) and lost.reason == "silent" and not feed.books[SPOT].known


# The door, the clock, allowances ------------------------------------------------------------


def test_the_door_answers_with_the_whole_url_and_each_connection_has_a_name() -> None:
    feed = FACTORY.listed_feed()
    (request,) = feed.door("futures")
    assert (request.method, request.host) == ("POST", "futures_rest") and not request.signed
    servers = [{"endpoint": "wss://ws.example/endpoint?acceptUserMessage=true"}]
    door = {"token": "a+b/c==", "instanceServers": servers}
    (ack,) = feed.answered(ok("door:futures", door), AT)
    assert isinstance(ack, Ack) and (ack.kind, ack.socket) == ("key", "futures")
    assert ack.text == (
        "wss://ws.example/endpoint?acceptUserMessage=true"
        "&token=a%2Bb%2Fc==&connectId=oneprice-futures-1"
    )


def test_the_clock_is_in_milliseconds() -> None:
    feed = FACTORY.listed_feed()
    assert feed.clock().path == "/api/v1/timestamp"
    (ack,) = feed.answered(ok("clock", 1767323045678), AT)
    assert isinstance(ack, Ack) and (ack.kind, ack.text) == ("clock", "1767323045678")


@pytest.mark.parametrize(
    ("left", "reset", "pause_ms"),
    [("0", "12345", 12_345), ("57", "12345", 1_000), ("", "", 1_000)],
)
def test_a_quota_pauses_until_its_reset_and_an_overload_only_shortly(
    left: str, reset: str, pause_ms: int
) -> None:
    feed = FACTORY.listed_feed()
    headers = {"gw_ratelimit_remaining": left, "gw_ratelimit_reset": reset}
    out = feed.answered(no("clock", "429000", "Too Many Requests", 429, **headers), AT)
    (ack,) = [each for each in out if isinstance(each, Ack)]
    assert (ack.kind, ack.bucket) == ("rate", "public")
    assert ack.until_ms == AT // 10**6 + pause_ms


# Funding and the past -----------------------------------------------------------------------


def test_what_remains_until_a_settlement_becomes_its_minute() -> None:
    row = FACTORY.contract("XBTUSDTM", nextFundingRateDateTime=None, nextFundingRateTime=6399650)
    _, out = listing("futures", [row])
    (forecast,) = [e for e in out if isinstance(e, FundingForecast)]
    assert forecast.due == 1_790_006_400_000 * 10**6
    assert (forecast.rate, forecast.next_rate) == (Decimal("0.000061"), Decimal("0.000109"))


def test_a_prediction_reaches_one_settlement_and_no_further() -> None:
    feed = FACTORY.listed_feed()
    late = {"granularity": 60000, "fundingRate": 0.0002, "timestamp": 1790006400000 + 9 * 3600000}
    topic = "/contract/instrument:XBTUSDTM"
    assert feed.decode("futures", message(topic, "funding.rate", late), AT) == ()
    told = {"granularity": 28800000, "fundingRate": 0.0003, "timestamp": late["timestamp"]}
    (event,) = feed.decode("futures", message(topic, "funding.rate", told), AT)
    assert isinstance(event, FundingForecast)
    assert (event.rate, event.next_rate) == (Decimal("0.0003"), Decimal("0.0002"))
    assert event.due == (1790006400000 + 16 * 3600000) * 10**6


def test_settled_rates_come_in_pages_from_the_newest_back() -> None:
    feed = FACTORY.listed_feed()
    hour, start = 3_600_000, 1_789_000_000_000
    end = start + 120 * hour
    (request,) = feed.history(
        HistoryWanted(instrument=LINEAR, kind="funding", start_ms=start, end_ms=end)
    )
    assert request.query == f"symbol=XBTUSDTM&from={start}&to={end}"
    rows = [{"fundingRate": 2.26e-4, "timepoint": end - n * hour} for n in range(100)]
    out = feed.answered(ok(request.tag, rows), AT)
    assert len(out) == 100 and isinstance(out[0], FundingSettled)
    assert out[0].rate == Decimal("0.000226") and out[0].settled_ms == end - 99 * hour
    (more,) = feed.follow_ups()
    assert more.query.endswith(f"&to={end - 99 * hour - 1}") and not feed.follow_ups()
    assert feed.answered(ok(more.tag, rows[:2]), AT) == [] and not feed.follow_ups()


def test_bars_of_both_hosts_have_their_own_columns_and_windows() -> None:
    feed = FACTORY.listed_feed()
    start = 1_789_900_020_000
    wanted = HistoryWanted(instrument=SPOT, kind="trade", start_ms=start, end_ms=start + 2 * 60000)
    (request,) = feed.history(wanted)
    assert request.path == "/api/v1/market/candles" and "type=1min" in request.query
    rows = [
        [str(start // 1000 + 60 * n), "1", "2", "4", "0.5", "9", "9"] for n in (3, 2, 1, 0, -1)
    ]
    out = feed.answered(ok(request.tag, rows), AT)
    bars = [bar for bar in out if isinstance(bar, CandleClosed)]
    assert [bar.start_ms for bar in bars] == [start, start + 60000, start + 120000]
    bar = bars[0]
    assert (bar.open, bar.close, bar.high, bar.low, bar.volume) == (
        1, 2, 4, Decimal("0.5"), 9,
    )  # fmt: skip
    wanted = HistoryWanted(
        instrument=LINEAR, kind="trade", start_ms=start, end_ms=start + 500 * 60000
    )
    (request,) = feed.history(wanted)
    assert f"granularity=1&from={start}&to={start + 449 * 60000}" in request.query
    out = feed.answered(ok(request.tag, [[start, 1.5, 4, 0.5, 2, 9]]), AT)
    (bar,) = [each for each in out if isinstance(each, CandleClosed)]
    assert (bar.open, bar.high, bar.low, bar.close) == (
        Decimal("1.5"), 4, Decimal("0.5"), 2,
    )  # fmt: skip
    (more,) = feed.follow_ups()
    assert f"from={start + 449 * 60000 + 1}" in more.query


def test_the_venues_clock_and_not_ours_says_which_bar_is_over() -> None:
    feed = FACTORY.listed_feed()
    start = AT // 60_000_000_000 * 60_000
    wanted = HistoryWanted(instrument=LINEAR, kind="trade", start_ms=start, end_ms=start)
    row = [start, 1, 3, 1, 2, 9]

    def bars() -> int:
        (request,) = feed.history(wanted)
        return len(feed.answered(ok(request.tag, [row]), AT))

    assert bars() == 0
    feed.answered(ok(feed.clock().tag, start + 60_000), AT)
    assert bars() == 1


def test_a_bar_that_is_still_running_is_not_history() -> None:
    feed = FACTORY.listed_feed()
    now = AT // 10**6
    start = now - now % 60_000
    wanted = HistoryWanted(instrument=SPOT, kind="trade", start_ms=start, end_ms=now)
    (request,) = feed.history(wanted)
    row = [str(start // 1000), "1", "2", "4", "0.5", "9", "9"]
    assert feed.answered(ok(request.tag, [row]), AT) == []


@pytest.mark.parametrize(
    ("kind", "instrument"), [("mark", LINEAR), ("index", LINEAR), ("funding", SPOT)]
)
def test_a_past_that_the_venue_does_not_tell_is_refused(kind: str, instrument: str) -> None:
    wanted = {"instrument": instrument, "kind": kind, "start_ms": 1, "end_ms": 2}
    with pytest.raises(ValueError, match="history of"):
        FACTORY.listed_feed().history(msgspec.convert(wanted, HistoryWanted))


def test_an_answer_that_nobody_waits_for_is_told() -> None:
    feed = FACTORY.listed_feed()
    out = feed.answered(ok("history:trade:99", []), AT)
    assert [e.reason for e in out if isinstance(e, FrameRejected)] == ["malformed"]
    assert kinds(feed.answered(Answer(tag="what", status=200, body=b"[]"), AT)) == [
        "FrameRejected"
    ]


def test_the_spec_names_known_features_and_every_cost_has_its_pool() -> None:
    assert set(FEATURES) >= SPEC.features
    feed = FACTORY.listed_feed()
    feed.topics([Wanted(instrument=SPOT), Wanted(instrument=LINEAR)])
    pools = {limit.bucket for limit in SPEC.limits}
    asked = [*feed.instruments(SPEC.markets), feed.clock(), *feed.door("spot")]
    asked += [request for i in (SPOT, LINEAR) if (request := feed.snapshot(i)) is not None]
    assert {name for request in asked for name, _ in request.cost} <= pools
    assert {name for socket in SPEC.sockets for name, _ in socket.connect_cost} <= pools

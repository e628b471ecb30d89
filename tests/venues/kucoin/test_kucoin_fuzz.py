"""Whatever comes, KuCoin's dialect answers with events: mutations of real frames and answers."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kucoin_material import (
    AT,
    FACTORY,
    L2_FUTURES,
    L2_SPOT,
    LINEAR,
    MATCH,
    POSITION,
    PRIVATE,
    PUBLIC,
    SPOT,
    TICKER,
    ok,
)

from oneprice.model.commands import QueryAccount, QueryOrder
from oneprice.model.events import FeedLost, FrameRejected, OrderFilled, TouchQuoted
from oneprice.venues.contract import Answer, HistoryWanted, Wanted
from oneprice.venues.kucoin.feed import KucoinFeed
from oneprice.venues.kucoin.trade import KucoinTrade

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(
        ["", "0", "-1", "1e99", "NaN", "Infinity", "1_0", "٣", "9" * 60, "0.00000000001", " 1"]
    ),
    st.builds(list),
    st.builds(dict),
    st.builds(lambda: [["1", "2", "3"]]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn, frames: tuple[bytes, ...]) -> bytes:
    """A real frame with a value replaced or gone, keys turned round, cut short, or doubled."""
    frame = draw(st.sampled_from(frames))
    value = json.loads(frame)
    for _ in range(draw(st.integers(0, 3))):
        spots = places(value)
        if not spots:
            break
        *way, last = draw(st.sampled_from(spots))
        holder = value
        for step in way:
            holder = holder[step]
        if draw(st.booleans()) or isinstance(holder, list):
            holder[last] = draw(ODD)
        else:
            del holder[last]
    if draw(st.booleans()) and isinstance(value, dict):
        value = dict(reversed(value.items()))
    text = json.dumps(value).encode()
    match draw(st.integers(0, 4)):
        case 0:
            return text[: draw(st.integers(0, len(text)))]
        case 1:
            return text + text
        case 2 if isinstance(value, dict):
            return text[:-1] + b"," + text[1:] if len(text) > 2 else text  # every key twice
    return text


def ready_feed() -> KucoinFeed:
    feed = FACTORY.listed_feed()
    feed.topics([Wanted(instrument=SPOT, trades=True), Wanted(instrument=LINEAR, trades=True)])
    for instrument, frame in ((SPOT, L2_SPOT), (LINEAR, L2_FUTURES)):
        socket = instrument.split(":")[1]
        feed.decode(socket, frame, AT)
        sequence = 104 if socket == "spot" else 500
        levels = {"bids": [["89990", "1"]], "asks": [["90010", "1"]]}
        feed.answered(ok(f"snapshot:{instrument}", levels | {"sequence": sequence}), AT)
    assert all(book.known for book in feed.books.values())
    return feed


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_public_frame_is_read_or_rejected_and_never_raises(data: st.DataObject) -> None:
    feed = ready_feed()
    socket = data.draw(st.sampled_from(["spot", "futures"]))
    for _ in range(3):
        for event in feed.decode(socket, data.draw(mutated(PUBLIC[socket])), AT):
            if isinstance(event, FrameRejected):
                assert event.reason and event.socket == socket
    for book in feed.books.values():
        assert not book.known or not book.ask_ticks or book.bid_ticks < book.ask_ticks


def ready_trade() -> KucoinTrade:
    return FACTORY.dialect()[1]  # type: ignore[no-any-return]


@given(mutated(PRIVATE))
@settings(max_examples=400, deadline=None)
def test_a_private_frame_is_read_or_rejected_and_never_raises(frame: bytes) -> None:
    for event in ready_trade().decode("futures_private", frame, AT):
        if isinstance(event, OrderFilled):
            assert event.fill_id and event.instrument.startswith("kucoin:futures:")


@given(st.binary(max_size=200), st.sampled_from(["spot", "futures", "spot_private", "no"]))
def test_any_bytes_on_any_socket_are_rejected(noise: bytes, socket: str) -> None:
    feed, trade = FACTORY.dialect()
    for side in (feed, trade):
        assert all(not isinstance(e, OrderFilled) for e in side.decode(socket, noise, AT))


ANSWERS = (
    json.dumps({"code": "200000", "data": {"orderId": "1", "clientOid": "a"}}).encode(),
    json.dumps({"code": "429000", "msg": "Too Many Requests"}).encode(),
    json.dumps({"code": "200000", "data": [{"orderId": "1", "clientOid": "a", "success": True}]})
    .encode(),
    json.dumps({"code": "200000", "data": {"id": "1", "symbol": "BTC-USDT", "size": "1",
                "dealSize": "1", "active": False, "clientOid": "a"}}).encode(),
    json.dumps({"code": "200000", "data": {"items": [{"symbol": "BTC-USDT", "tradeId": 1,
                "orderId": "1", "side": "buy", "price": "1", "size": "1", "fee": "1",
                "feeCurrency": "USDT"}], "lastId": 1}}).encode(),
    json.dumps({"code": "200000", "data": {"token": "t", "instanceServers": [
                {"endpoint": "wss://x/", "protocol": "websocket"}]}}).encode(),
    json.dumps({"code": "200000", "data": {"sequence": "3", "bids": [["1", "2"]],
                "asks": [["3", "4"]]}}).encode(),
    json.dumps({"code": "200000", "data": [["1789999980", "1", "2", "3", "1", "9", "9"]]})
    .encode(),
)  # fmt: skip
STATUS = st.sampled_from([0, 200, 200, 200, 400, 401, 403, 404, 429, 500, 502])


@given(mutated(ANSWERS), STATUS)
@settings(max_examples=300, deadline=None)
def test_no_answer_to_an_order_is_ever_left_without_a_word(body: bytes, status: int) -> None:
    for tag, ids in (("place:a", ()), ("place_many:x", ("a", "b"))):
        answer = Answer(tag=tag, status=status, body=body, order_ids=ids)
        out = ready_trade().answered(answer, AT)
        told = {getattr(event, "order_id", None) for event in out}
        assert {"a", *ids} <= told, out


@given(mutated(ANSWERS), STATUS)
@settings(max_examples=300, deadline=None)
def test_no_answer_to_a_question_raises(body: bytes, status: int) -> None:
    feed, trade = FACTORY.dialect()
    feed.topics([Wanted(instrument=SPOT)])
    asked = [
        *trade.encode(QueryOrder(order_id="a", instrument=SPOT), AT),
        *trade.encode(QueryAccount(venue="kucoin", market="futures"), AT),
        *trade.encode(QueryAccount(venue="kucoin", market="spot"), AT),
    ]
    tags = [request.tag for request in asked] + ["key", "door:spot_private", "leverage:x", "?"]
    for tag in tags:
        trade.answered(Answer(tag=tag, status=status, body=body), AT)
        for more in trade.follow_ups():
            trade.answered(Answer(tag=more.tag, status=status, body=body), AT)
    wanted = HistoryWanted(instrument=SPOT, kind="trade", start_ms=1, end_ms=10**12)
    past = [request.tag for request in feed.history(wanted)]
    for tag in (*past, "clock", "door:spot", f"snapshot:{SPOT}", "instruments:spot", "?"):
        feed.answered(Answer(tag=tag, status=status, body=body), AT)


def test_a_frame_that_is_huge_or_nested_without_end_is_rejected() -> None:
    feed = ready_feed()
    nested = b'{"type":"message","topic":"/market/ticker:BTC-USDT","data":' + b"[" * 200_000
    huge = L2_SPOT.replace(b'"symbol"', b'"x":"' + b"a" * 10_000_000 + b'","symbol"')
    assert [type(e) for e in feed.decode("spot", nested, AT)] == [FrameRejected]
    assert feed.decode("spot", huge, AT) == ()  # old, and all the same read
    assert feed.books[SPOT].known


@pytest.mark.parametrize(("old", "new"), [(b'"90000"', b"90000"), (b'"1.2"', b"1.2")])
def test_numbers_may_come_as_texts_and_texts_as_numbers(old: bytes, new: bytes) -> None:
    (event,) = ready_feed().decode("spot", TICKER.replace(old, new), AT)
    assert isinstance(event, TouchQuoted) and event.bid_ticks == 900_000
    (fill,) = ready_trade().decode("futures_private", MATCH.replace(old, new), AT)
    assert isinstance(fill, OrderFilled) and fill.ticks == 900_000


def test_a_book_frame_with_another_symbol_inside_loses_the_book() -> None:
    frame = L2_SPOT.replace(b'"symbol":"BTC-USDT"', b'"symbol":"ETH-USDT"')
    (event,) = ready_feed().decode("spot", frame, AT)
    assert isinstance(event, FeedLost) and event.reason == "malformed"


def test_a_position_in_parts_of_a_contract_is_rejected() -> None:
    frame = POSITION.replace(b'"currentQty":1', b'"currentQty":1.5')
    (event,) = ready_trade().decode("futures_private", frame, AT)
    assert isinstance(event, FrameRejected) and "not a multiple" in event.excerpt

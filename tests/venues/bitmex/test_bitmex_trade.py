"""BitMEX's private side: signatures, requests, and what mutilated answers may never do."""

from decimal import Decimal

import msgspec
import pytest
from bitmex_material import AT, ETHUSD, FACTORY, XBTUSD, XBTUSDT, dialect, with_book
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.model.commands import (
    CancelOrder,
    PlaceOrder,
    Priority,
    QueryAccount,
    QueryOrder,
    SetLeverage,
    SetPositionMode,
)
from oneprice.model.events import (
    CancelRefused,
    FrameRejected,
    LeverageReported,
    OrderEnded,
    OrderRefused,
    OrderUncertain,
    PositionModeReported,
)
from oneprice.model.units import Side
from oneprice.venues.bitmex.trade import BitmexSettings, BitmexTrade
from oneprice.venues.contract import Answer, Credentials, Request
from oneprice.venues.signing import Signer

# secret, method, path, query, body, signature, expires
DOCUMENTED = [
    ("TESTSECRET0123456789ABCDEF", "GET", "/api/v1/position",
     "filter=%7B%22symbol%22%3A%22XBTUSD%22%7D", b"",
     "61a4c5401dba3e5933d3b7bcf67eb6fe34fa3f69bcf7be09ba90285c051de56a", 1767323105),
    ("TESTSECRET0123456789ABCDEF", "POST", "/api/v1/order", "",
     b'{"symbol":"XBTUSD","side":"Buy","orderQty":100,"price":90000,'
     b'"ordType":"Limit","clOrdID":"arb-1"}',
     "b97479c6149f3c25cca000c0fec0519805394e84a7409aac8192e46fa719422d", 1767323105),
    ("chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO", "GET", "/api/v1/instrument", "", b"",
     "c7682d435d0cfe87c16098df34ef2eb5a549d4c5a3c2b1f0f77b8af73423bf00", 1518064236),
    ("chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO", "GET", "/api/v1/instrument",
     "filter=%7B%22symbol%22%3A+%22XBTM15%22%7D", b"",
     "e2f422547eecb5b3cb29ade2127e21b858b235b386bfa45e1c1756eb3383919f", 1518064237),
    ("chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO", "POST", "/api/v1/order", "",
     b'{"symbol":"XBTM15","price":219.0,"clOrdID":"mm_bitmex_1a/oemUeQ4CAJZgP3fjHsA","orderQty":98}',
     "1749cd2ccae4aa49048ae09f0b95110cee706e0944e6a14ad0b3a8cb45bd336b", 1518064238),
]  # fmt: skip


@pytest.mark.parametrize("vector", DOCUMENTED, ids=lambda v: v[5][:8])
def test_requests_are_signed_as_the_documents_compute(vector) -> None:
    secret, method, path, query, body, expected, expires = vector
    trade = BitmexTrade(
        Credentials("key", secret), {}, BitmexSettings(order_expires_s=5, read_expires_s=5)
    )
    request = Request(
        tag="x", host="rest", method=method, path=path, query=query, body=body, signed=True
    )
    signed = dict(trade.sign(request, (expires - 5) * 1000 + 999).headers)
    assert signed == {
        "api-key": "key", "api-expires": str(expires), "api-signature": expected,
    }  # fmt: skip


def test_a_login_is_signed_as_the_document_computes() -> None:
    trade = BitmexTrade(
        Credentials("key", "TESTSECRET0123456789ABCDEF"), {}, BitmexSettings(login_expires_s=5)
    )
    login, tables = trade.login("private")
    body = msgspec.json.decode(trade.sign(login, 1767323100000).body)
    assert body["args"][1:] == [
        1767323105, "3f5967dbb4177863fb547dd639976f07ca8037a3fd09f99d76a1b76a2bee5429",
    ]  # fmt: skip
    assert trade.sign(tables, 1) is tables
    assert "TESTSECRET" not in repr((trade, login, tables, Signer("TESTSECRET")))


def placing(**changes: object) -> PlaceOrder:
    wish = PlaceOrder(
        order_id="o-1", group="g", instrument=XBTUSDT, side=Side.BUY, ticks=128001, lots=7
    )
    return msgspec.structs.replace(wish, **changes)


def test_sizes_are_contracts_and_prices_are_numbers_on_the_grid() -> None:
    _, trade = dialect()
    (request,) = trade.encode(placing(), AT)
    assert b'"orderQty":700,"price":64000.5,' in request.body
    assert request.cost == (("rest", 1), ("orders", 1))
    (request,) = trade.encode(placing(instrument=ETHUSD, ticks=40075), AT)
    assert b'"orderQty":7,"price":2003.75,' in request.body


@pytest.mark.parametrize("order_id", ["", "x" * 37, 'a"b', "a b", "é", "a/b"])
def test_an_id_that_the_venue_may_not_carry_is_refused_before_it_is_sent(order_id: str) -> None:
    _, trade = dialect()
    for command in (
        placing(order_id=order_id),
        CancelOrder(order_id=order_id, instrument=XBTUSD),
        QueryOrder(order_id=order_id, instrument=XBTUSD),
    ):
        with pytest.raises(ValueError, match="order id"):
            trade.encode(command, AT)


def test_cancels_go_together_and_orders_alone() -> None:
    _, trade = dialect()
    ids = ["c-1", "c-2", "c-3"]
    cancels = [CancelOrder(order_id=name, instrument=XBTUSD) for name in ids]
    place, many = trade.batch([placing(), *cancels], AT)
    assert place.places
    assert (many.method, many.path, many.order_ids) == ("DELETE", "/api/v1/order", tuple(ids))
    assert msgspec.json.decode(many.body) == {"clOrdID": ids}
    row = {"orderID": "v1", "clOrdID": "c-1", "symbol": "XBTUSD", "ordStatus": "Canceled"}
    late = row | {"orderID": "v2", "clOrdID": "c-2", "ordStatus": "Filled"}
    late["error"] = "Unable to cancel order due to existing state: Filled"
    answer = Answer(
        tag=many.tag,
        status=200,
        body=msgspec.json.encode([row | {"cumQty": 100}, late]),
        order_ids=many.order_ids,
    )
    ended, refused, unsure = trade.answered(answer, AT)
    assert (type(ended), ended.order_id, ended.filled_lots) == (OrderEnded, "c-1", 1)
    assert (type(refused), refused.order_id) == (CancelRefused, "c-2")
    # What the answer does not name may be anywhere.
    assert (type(unsure), unsure.order_id) == (OrderUncertain, "c-3")


def test_a_batch_that_was_lost_leaves_each_order_of_it_unknown() -> None:
    _, trade = dialect()
    answer = Answer(tag="cancel_many:1", status=0, order_ids=("a", "b"), detail="timeout")
    out = trade.answered(answer, AT)
    assert [(type(event), event.order_id) for event in out] == [
        (OrderUncertain, "a"), (OrderUncertain, "b"),
    ]  # fmt: skip


def test_the_dead_mans_switch_is_asked_for_four_times_in_its_span() -> None:
    _, trade = dialect(BitmexSettings(dead_man_ms=60_000))
    ((every_ms, request),) = trade.keep_alive()
    assert (every_ms, request.path) == (15_000, "/api/v1/order/cancelAllAfter")
    assert msgspec.json.decode(request.body) == {"timeout": 60_000}
    body = b'{"now":"2026-09-21T14:13:20.000Z","cancelTime":"2026-09-21T14:14:20.000Z"}'
    assert trade.answered(Answer(tag="dead_man", status=200, body=body), AT) == []
    no = trade.answered(Answer(tag="dead_man", status=502), AT)
    assert [type(event) for event in no] == [FrameRejected]
    assert dialect()[1].keep_alive() == ()
    with pytest.raises(ValueError, match="dead_man_ms"):
        dialect(BitmexSettings(dead_man_ms=4999))


def test_cross_margin_is_set_by_not_isolating() -> None:
    _, trade = dialect(BitmexSettings(margin="cross"))
    (request,) = trade.encode(SetLeverage(instrument=XBTUSD, leverage=Decimal(5)), AT)
    assert request.path == "/api/v1/position/isolate"
    assert msgspec.json.decode(request.body) == {"symbol": "XBTUSD", "enabled": False}
    body = b'{"symbol":"XBTUSD","currentQty":0,"leverage":100,"crossMargin":true}'
    (told,) = trade.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert told == LeverageReported(
        at=AT, instrument=XBTUSD, leverage=Decimal(100), margin="cross"
    )


def test_wishes_that_the_venue_does_not_vouch_for_are_refused() -> None:
    _, trade = dialect()
    for wish in (
        SetPositionMode(venue="bitmex", market="derivatives", mode="hedge"),
        SetLeverage(instrument=XBTUSD, leverage=Decimal(101)),
        QueryAccount(venue="bitmex", market="spot"),
        placing(instrument="bitmex:derivatives:NOPE"),
    ):
        with pytest.raises(ValueError, match=r"expected|never listed"):
            trade.encode(wish, AT)
    one_way = SetPositionMode(venue="bitmex", market="derivatives", mode="one_way")
    assert trade.encode(one_way, AT) == ()


def test_an_account_in_hedge_mode_is_told_and_not_checked() -> None:
    _, trade = dialect()
    requests = trade.encode(QueryAccount(venue="bitmex", market="derivatives"), AT)
    assert {request.priority for request in requests} == {Priority.DATA}
    out = []
    for request in requests:
        what = request.tag.split(":")[2]
        row = {"symbol": "XBTUSD", "currentQty": 100, "strategy": "Long"}
        body = (
            b"{}" if what == "fees" else msgspec.json.encode([row] if what == "positions" else [])
        )
        out += trade.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert [type(event) for event in out] == [FrameRejected, PositionModeReported]
    assert out[1].mode == "hedge"


def test_a_page_that_is_full_is_followed_by_another() -> None:
    _, trade = dialect()
    requests = trade.encode(QueryAccount(venue="bitmex", market="derivatives"), AT)
    (orders,) = [request for request in requests if ":orders:" in request.tag]
    row = {"orderID": "v", "clOrdID": "x", "symbol": "XBTUSD", "side": "Buy", "ordStatus": "New"}
    rows = [row | {"orderQty": 100, "price": 64000}] * 500
    body = msgspec.json.encode(rows)
    trade.answered(Answer(tag=orders.tag, status=200, body=body), AT)
    (more,) = trade.follow_ups()
    assert more.query == orders.query + "&start=500"


@pytest.mark.parametrize("status", [0, 200, 301, 400, 401, 404, 418, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"<html></html>", b"null", b"[]", b'{"error":1}'])
@pytest.mark.parametrize("verb", ["place", "amend", "cancel"])
def test_no_answer_without_the_venues_words_refuses_anything(status, body, verb) -> None:
    _, trade = dialect()
    out = trade.answered(Answer(tag=f"{verb}:o-1", status=status, body=body, order_id="o-1"), AT)
    assert [e.order_id for e in out if isinstance(e, OrderUncertain)] == ["o-1"]
    assert not [e for e in out if isinstance(e, OrderRefused | CancelRefused)]


PAGE = b"<html><body><h1>403 Forbidden</h1>Your IP has been blocked.</body></html>"


@pytest.mark.parametrize("body", [PAGE, b"", b"null"])
@pytest.mark.parametrize(("status", "reason"), [(403, "banned"), (429, "rate_limited")])
def test_what_the_door_turns_away_was_never_looked_at(status, reason, body) -> None:
    _, trade = dialect()
    for verb, kind in (("place", OrderRefused), ("cancel", CancelRefused)):
        answer = Answer(tag=f"{verb}:o-1", status=status, body=body, order_id="o-1")
        pause, no = trade.answered(answer, AT)
        assert isinstance(no, kind) and (no.order_id, no.reason) == ("o-1", reason)
        assert pause.kind == "rate" and pause.until_ms > AT // 10**6
    hour = AT // 10**6 + 3_600_000
    assert (pause.until_ms >= hour) is (status == 403)


def test_an_order_update_of_an_order_never_told_of_is_counted_not_guessed() -> None:
    _, trade = dialect()
    diff = b'{"table":"order","action":"update","data":[{"orderID":"v9","ordStatus":"Canceled"}]}'
    (rejected,) = trade.decode("private", diff, AT)
    assert isinstance(rejected, FrameRejected)
    assert "never told of" in rejected.excerpt


def test_a_late_answer_does_not_take_back_what_the_stream_has_told() -> None:
    _, trade = dialect()
    full = {"orderID": "v1", "clOrdID": "o-1", "symbol": "XBTUSD", "orderQty": 200, "price": 64000}
    part = full | {"ordStatus": "PartiallyFilled", "cumQty": 100}
    insert = {"table": "order", "action": "insert", "data": [part]}
    trade.decode("private", msgspec.json.encode(insert), AT)
    late = msgspec.json.encode(full | {"ordStatus": "New", "cumQty": 0})
    trade.answered(Answer(tag="place:o-1", status=200, body=late, order_id="o-1"), AT)
    diff = b'{"table":"order","action":"update","data":[{"orderID":"v1","ordStatus":"Canceled"}]}'
    (ended,) = trade.decode("private", diff, AT)
    assert ended.filled_lots == 1


# Mutilation ------------------------------------------------------------------------------

WIRES = sorted(FACTORY.parent.glob("*.wire"))


def _said(prefix: str) -> list[bytes]:
    lines = [line for path in WIRES for line in path.read_text().splitlines()]
    return [line.split(" ", 2)[2].encode() for line in lines if line.startswith(prefix)]


FRAMES = _said("< public ") + _said("< private ")
ANSWERS = [
    line.split(" ", 3)[2:]
    for path in WIRES
    for line in path.read_text().splitlines()
    if line.startswith("< 2") and line.count(" ") >= 3
]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5), st.just([]), st.just({}), st.just("1e999999999"), st.just(10**400),
)  # fmt: skip


def _mutilated(data, value):
    """The same with one value anywhere in it replaced, doubled, dropped or moved."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 3)):
        key = data.draw(st.sampled_from(sorted(value)))
        if not data.draw(st.integers(0, 5)):
            return {name: inner for name, inner in value.items() if name != key}
        turned = dict(reversed(value.items())) if data.draw(st.booleans()) else value
        return turned | {key: _mutilated(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 3)):
        place = data.draw(st.integers(0, len(value) - 1))
        doubled = [value[place]] * data.draw(st.integers(0, 3))
        return [*value[:place], _mutilated(data, value[place]), *doubled, *value[place + 1 :]]
    return data.draw(VALUES)


def _mutated(data, raw: bytes) -> bytes:
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(raw)))
        return (
            raw[:cut]
            + data.draw(st.binary(max_size=3))
            + raw[cut + data.draw(st.integers(0, 3)) :]
        )
    try:
        return msgspec.json.encode(_mutilated(data, msgspec.json.decode(raw)))
    except (msgspec.DecodeError, OverflowError, ValueError):
        return raw * 2


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_frame_however_mutilated_gets_out_of_hand(data) -> None:
    feed, trade = with_book()
    for _ in range(3):
        raw = _mutated(data, data.draw(st.sampled_from(FRAMES)))
        for out in (feed.decode("public", raw, AT), trade.decode("private", raw, AT)):
            assert all(hasattr(event, "__struct_fields__") for event in out)
            assert "simsecret0001" not in repr(out)
    book = feed.books[XBTUSD]
    if book.known and book.bid_ticks and book.ask_ticks:
        assert book.bid_ticks < book.ask_ticks


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_answer_however_mutilated_gets_out_of_hand(data) -> None:
    feed, trade = dialect()
    trade.encode(QueryOrder(order_id="q-1", instrument=XBTUSD), AT)
    trade.encode(QueryAccount(venue="bitmex", market="derivatives"), AT)
    tag, body = data.draw(st.sampled_from(ANSWERS))
    status = data.draw(st.sampled_from([200, 200, 200, 400, 429, 503, 0]))
    raw = _mutated(data, body.encode())
    answer = Answer(tag=tag.replace("query:2", "query:1"), status=status, body=raw)
    for out in (trade.answered(answer, AT), feed.answered(answer, AT)):
        assert all(hasattr(event, "__struct_fields__") for event in out)
    page = msgspec.structs.replace(answer, tag="instruments:derivatives")
    feed.answered(page, AT)


def test_frames_that_are_deep_or_huge_are_read_or_rejected() -> None:
    feed, trade = dialect()
    deep = b'{"table":"order","action":"insert","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    huge = b'{"table":"quote","action":"insert","data":[' + b"1," * 1_000_000 + b"1]}"
    for raw in (deep, huge[:200_000], b'{"table":"x' + b"x" * 10_000_000 + b'"}'):
        assert isinstance(feed.decode("public", raw, AT)[0], FrameRejected)
        assert isinstance(trade.decode("private", raw, AT)[0], FrameRejected)


def test_what_the_risk_limit_forbids_is_too_large() -> None:
    _, trade = dialect()
    (request,) = trade.encode(placing(), AT)
    text = "Value of position and orders exceeds position Risk Limit"
    said = msgspec.json.encode({"error": {"message": text, "name": "HTTPError"}})
    (event,) = trade.answered(Answer(tag=request.tag, status=400, body=said, order_id="o-1"), AT)
    assert isinstance(event, OrderRefused) and event.reason == "too_large"

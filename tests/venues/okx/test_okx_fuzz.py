"""Real frames, damaged in every way, never make the dialect raise or invent money."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from okx_material import AT, SWAP, SWAP_ROW, new_trade, place

from oneprice.kernel import Tripwires
from oneprice.model.commands import CancelAll, QueryAccount, QueryOrder
from oneprice.model.events import OrderAccepted, OrderEnded, OrderFilled, OrderRefused
from oneprice.venues.contract import Answer, HistoryWanted, Wanted
from oneprice.venues.okx.feed import OkxFeed

ORDER = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "ordId": "1", "clOrdId": "a", "px": "90000",
    "sz": "1", "side": "buy", "state": "filled", "accFillSz": "1", "fillPx": "90000",
    "fillSz": "1", "tradeId": "7", "fillFee": "-0.1", "fillFeeCcy": "USDT", "uTime": "1",
    "amendResult": "", "reqId": "", "code": "0", "msg": "", "category": "normal",
}  # fmt: skip
POSITION = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": "net",
    "pos": "1", "avgPx": "90000",
}  # fmt: skip
COINS = {"details": [{"ccy": "USDT", "cashBal": "1", "availBal": "1", "liab": "0"}]}
CONFIG = {"acctLv": "2", "posMode": "net_mode", "perm": "trade", "ip": ""}
ITEM = {"clOrdId": "a", "ordId": "1", "sCode": "0", "sMsg": ""}
FILL = {
    "instId": "BTC-USDT-SWAP", "tradeId": "7", "ordId": "1", "clOrdId": "a", "billId": "9",
    "fillPx": "90000", "fillSz": "1", "side": "buy", "execType": "T", "fee": "-1", "ts": "1",
}  # fmt: skip
FEES = {"feeGroup": [{"groupId": "4", "maker": "-0.1", "taker": "-0.1"}]}
BILL = {
    "billId": "9", "type": "8", "instType": "SWAP", "instId": "BTC-USDT-SWAP", "ccy": "USDT",
    "balChg": "1", "ts": "1",
}  # fmt: skip
BOOK = {"asks": [["90001", "1", "0", "1"]], "bids": [["90000", "1", "0", "1"]], "ts": "1"}
CANDLE = ["60000", "1", "2", "0.5", "1", "7", "8", "9", "1"]
FUNDING = {
    "instId": "BTC-USDT-SWAP", "fundingRate": "0.1", "fundingTime": "1", "realizedRate": "0.1",
    "nextFundingTime": "2",
}  # fmt: skip


def arg(channel: str) -> dict[str, str]:
    return {"channel": channel, "instId": "BTC-USDT-SWAP"}


PRIVATE_FRAMES: list[Any] = [
    {"arg": {"channel": "orders"}, "data": [ORDER, ORDER]},
    {"arg": {"channel": "positions"}, "eventType": "snapshot", "data": [POSITION]},
    {"arg": {"channel": "account"}, "data": [COINS]},
    {"id": "x", "op": "order", "code": "0", "msg": "", "data": [ITEM]},
    {"id": "x", "op": "batch-orders", "code": "2", "msg": "", "data": [ITEM, ITEM]},
    {"event": "error", "code": "60009", "msg": "Login failed."},
    {"event": "login", "code": "0", "msg": ""},
]
PUBLIC_FRAMES: list[Any] = [
    {"arg": arg("books"), "action": "snapshot", "data": [{**BOOK, "prevSeqId": -1, "seqId": 5}]},
    {"arg": arg("books"), "action": "update", "data": [{**BOOK, "prevSeqId": 5, "seqId": 6}]},
    {"arg": arg("books5"), "data": [{**BOOK, "seqId": 6}]},
    {"arg": arg("bbo-tbt"), "data": [{**BOOK, "seqId": 6}]},
    {"arg": arg("candle1m"), "data": [CANDLE]},
    {"arg": arg("funding-rate"), "data": [FUNDING]},
    {"arg": arg("instruments"), "data": [SWAP_ROW]},
    {"id": "1", "event": "subscribe", "arg": arg("books")},
]
DATA: list[Any] = [[ORDER], [FILL], [POSITION], [COINS], [CONFIG], [FEES], [BILL], [ITEM]]
DATA += [[SWAP_ROW], [CANDLE], [FUNDING], [{"ts": "1"}], [{"lever": "5", "mgnMode": "cross"}]]

scalars = st.sampled_from(
    ["", "0", "-1", "1e9", "NaN", "Infinity", "0x1", "9" * 50, "live", None, 0, 1.5, True, -3]
)
junk = scalars | st.just([]) | st.just({}) | st.just([[[]]])


def changed(value: Any, data: st.DataObject) -> Any:
    """The value with one thing in it put wrong."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        key = data.draw(st.sampled_from(sorted(value)))
        match data.draw(st.sampled_from(["deeper", "drop", "rename"])):
            case "drop":
                return {k: v for k, v in value.items() if k != key}
            case "rename":
                return {(f"{k}_" if k == key else k): v for k, v in value.items()}
        return {**value, key: changed(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        place_ = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place_], changed(value[place_], data), *value[place_ + 1 :]]
    return data.draw(junk)


def torn(frame: bytes, data: st.DataObject) -> bytes:
    """The frame as it is, cut, with bytes put in, or with its first key twice."""
    match data.draw(st.sampled_from(["whole", "cut", "bytes", "twice"])):
        case "cut":
            return frame[: data.draw(st.integers(0, len(frame)))]
        case "bytes":
            start = data.draw(st.integers(0, len(frame)))
            return frame[:start] + data.draw(st.binary(max_size=8)) + frame[start:]
        case "twice":
            return frame[:-1] + b',"data":[],' + frame[1:]
    return frame


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(PRIVATE_FRAMES), st.data())
def test_no_damaged_private_frame_makes_it_raise(frame: Any, data: st.DataObject) -> None:
    trade = new_trade()
    trade.login("private")
    damaged = torn(msgspec.json.encode(changed(frame, data)), data)
    for event in trade.decode("private", damaged, AT):
        if isinstance(event, OrderFilled):
            # Whatever else was put wrong, size and price are those of the frame or none at all.
            assert event.lots in (100, 1_000_000_000_000)
            assert event.ticks in (900_000, -10, 0, 10_000_000_000)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PUBLIC_FRAMES), max_size=3), st.data())
def test_no_damaged_public_frame_makes_it_raise(frames: list[Any], data: st.DataObject) -> None:
    feed = OkxFeed(Tripwires())
    body = msgspec.json.encode({"code": "0", "msg": "", "data": [SWAP_ROW]})
    feed.answered(Answer(tag="instruments:swap", status=200, body=body), AT)
    shallow = data.draw(st.booleans())
    topics = feed.topics([Wanted(instrument=SWAP, depth=5 if shallow else 50)])
    feed.subscribe(topics, 1, on=True)
    for frame in [*frames, data.draw(st.sampled_from(PUBLIC_FRAMES))]:
        feed.decode("public", torn(msgspec.json.encode(changed(frame, data)), data), AT)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(DATA), st.sampled_from([0, 200, 400, 429, 500]), st.data())
def test_no_damaged_answer_makes_it_raise_or_settles_an_order_wrongly(
    rows: Any, status: int, data: st.DataObject
) -> None:
    trade, feed = new_trade(order_entry="rest"), OkxFeed(Tripwires())
    requests = [
        *trade.encode(QueryOrder(order_id="a", instrument=SWAP), AT),
        *trade.encode(QueryAccount(venue="okx", market="swap"), AT),
        *trade.encode(CancelAll(instrument=SWAP), AT),
        *trade.batch([place("a"), place("b")], AT),
    ]
    body = msgspec.json.encode(changed({"code": "0", "msg": "", "data": rows}, data))
    damaged = torn(body, data)
    tags = [request.tag for request in requests]
    tags += ["place:a", "cancel:a", "key:config", "key:rate", "mode:swap", "query:x", "", "place"]
    for tag in [*tags, *(request.tag for request in trade.follow_ups())]:
        found = trade.answered(Answer(tag=tag, status=status, body=damaged), AT)
        if status in (0, 500):
            assert not [e for e in found if isinstance(e, OrderRefused | OrderAccepted)]
            assert not [e for e in found if isinstance(e, OrderEnded | OrderFilled)]
    list_body = msgspec.json.encode({"code": "0", "msg": "", "data": [SWAP_ROW]})
    feed.answered(Answer(tag="instruments:swap", status=200, body=list_body), AT)
    wanted = HistoryWanted(instrument=SWAP, kind="funding", start_ms=0, end_ms=9)
    for request in (*feed.history(wanted), feed.clock(), *feed.instruments(["swap"])):
        feed.answered(Answer(tag=request.tag, status=status, body=damaged), AT)


def test_frames_of_ten_megabytes_and_of_any_depth_are_survived() -> None:
    trade, feed = new_trade(), OkxFeed(Tripwires())
    for frame in (b"[" * 200_000, b'{"a":' * 200_000, b'{"data":"' + b"x" * 10_000_000 + b'"}'):
        assert len(trade.decode("private", frame, AT)) == 1
        assert len(feed.decode("public", frame, AT)) == 1

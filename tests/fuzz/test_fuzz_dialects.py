"""Whatever a venue says, a dialect never raises and never tells a number that was not said."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

import pytest
from fuzzmaterial import EXAMPLES, PAGE, PLAYER, THOROUGH, VENUES, recorded, said, spoilt
from fuzzmaterial import wire as load
from hypothesis import given
from hypothesis import strategies as st

from oneprice.model.commands import QueryAccount, QueryOrder
from oneprice.model.events import (
    FeedLost,
    FrameRejected,
    MarketTraded,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
    PositionReported,
    TouchQuoted,
)
from oneprice.venues.contract import REFUSALS, Ack, Answer, HistoryWanted, Output, Wanted

AT = PLAYER.AT
EVENTS = get_args(Output)
FIGURE = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
PONG = (b"pong", b"ping")
PLACED = {"binance": "place:binance:usdm:BTCUSDT:a"}
NESTED = (b"[" * 200_000, b'{"data":' * 200_000, b'{"topic":"x","data":' + b"[" * 200_000)


class Pair:
    """A fresh dialect of one venue that has asked everything and listens to everything."""

    def __init__(self, venue: str) -> None:
        self.feed, self.trade = load("factory", VENUES[venue]).dialect()
        self.listed = self.feed.listed
        self.public = {s.name for s in self.feed.spec.sockets if s.role == "public"}
        placed = PLACED.get(venue, "place:a")
        self.tags = [placed, "clock"]
        self.tags += [placed.replace("place", verb) for verb in ("cancel", "amend")]
        self.feed.topics([Wanted(instrument=name, trades=True) for name in self.listed])
        name = next(iter(self.listed))
        asked = list(self.trade.encode(QueryOrder(order_id="a", instrument=name), AT))
        for market in dict.fromkeys(each.split(":")[1] for each in self.listed):
            asked += self.trade.encode(QueryAccount(venue=venue, market=market), AT)
        wanted = HistoryWanted(instrument=name, kind="trade", start_ms=1, end_ms=10**12)
        asked += [*self.feed.history(wanted), self.feed.clock()]
        self.tags += [request.tag for request in asked]

    def hear(self, target: str, tag: str, body: bytes) -> list[Any]:
        if not target.isdigit():
            side = self.feed if target in self.public else self.trade
            return list(side.decode(target, body, AT))
        answer = Answer(tag=tag, status=int(target), body=body, order_ids=())
        side = self.feed if tag.startswith(PLAYER.PUBLIC_TAGS) else self.trade
        heard = list(side.answered(answer, AT))
        for request in side.follow_ups():  # what the answer made necessary fares no better
            more = Answer(tag=request.tag, status=int(target), body=body)
            heard += side.answered(more, AT)
        return heard


CORPUS = {}
for one in VENUES:
    pair = Pair(one)
    CORPUS[one] = said(one) + recorded(one, sorted(pair.public))


def figures(text: bytes) -> set[Decimal]:
    """Every number of a frame, as number or within a text, without its sign."""
    found = {Decimal(0)}
    for word in FIGURE.findall(text.decode(errors="replace")):
        try:
            found.add(abs(Decimal(word)))
        except InvalidOperation:
            continue
    return found


def check_numbers(pair: Pair, event: Any, text: bytes) -> None:
    """Prices and sizes of an event are in the frame, prices rounded by less than a tick."""
    names: list[tuple[str, str]] = []
    match event:
        case OrderFilled() | MarketTraded():
            names = [("ticks", "lots")]
        case TouchQuoted():
            names = [("bid_ticks", "bid_lots"), ("ask_ticks", "ask_lots")]
        case PositionReported():
            names = [("", "lots")]
    if not names:
        return
    said_numbers = figures(text)
    item = pair.listed[event.instrument]
    for ticks, lots in names:
        size = abs(item.size(getattr(event, lots)))
        assert size in said_numbers, (event, size)
        if ticks:
            price = item.price(getattr(event, ticks))
            near = any(abs(number - abs(price)) < item.tick for number in said_numbers)
            assert near, (event, price)


def check(pair: Pair, outputs: list[Any], text: bytes) -> None:
    for output in outputs:
        assert isinstance(output, EVENTS)
        assert "simsecret" not in repr(output) and "TESTSECRET" not in repr(output)
        if isinstance(output, Ack):
            assert isinstance(output.text, str)
        if isinstance(output, FrameRejected):
            assert output.reason
        check_numbers(pair, output, text)


@pytest.mark.parametrize("venue", VENUES)
@THOROUGH
@given(data=st.data())
def test_no_spoilt_message_makes_a_dialect_raise_or_invent_a_number(venue: str, data: Any) -> None:
    pair = Pair(venue)
    target, tag, value = data.draw(st.sampled_from(CORPUS[venue]))
    text = data.draw(spoilt(value))
    outputs = pair.hear(target, tag, text)
    check(pair, outputs, text)
    unread = target.isdigit() or text.strip() in PONG
    if not unread and not valid(text):
        told = (FrameRejected, FeedLost, OrderUncertain)
        assert any(isinstance(one, told) for one in outputs), (target, text[:200])


def valid(text: bytes) -> bool:
    """Whether it is JSON; wrong UTF-8 where nobody reads it does no harm."""
    try:
        json.loads(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        return False
    return True


@pytest.mark.parametrize("venue", VENUES)
@THOROUGH
@given(data=st.data())
def test_no_answer_to_any_question_makes_a_dialect_raise(venue: str, data: Any) -> None:
    pair = Pair(venue)
    answers = [value for target, _, value in CORPUS[venue] if target.isdigit()]
    text = data.draw(spoilt(data.draw(st.sampled_from(answers))))
    tag = data.draw(st.sampled_from(pair.tags))
    status = data.draw(st.sampled_from(["0", "200", "200", "400", "403", "429", "500", "503"]))
    check(pair, pair.hear(status, tag, text), text)


@pytest.mark.parametrize("venue", VENUES)
@THOROUGH
@given(noise=st.binary(max_size=200))
def test_noise_on_any_socket_is_told_and_never_raises(venue: str, noise: bytes) -> None:
    pair = Pair(venue)
    for socket in pair.feed.spec.sockets:
        outputs = pair.hear(socket.name, "", noise)
        check(pair, outputs, noise)
        if not valid(noise) and noise.strip() not in PONG:
            assert any(isinstance(one, FrameRejected | FeedLost) for one in outputs)


@pytest.mark.parametrize("venue", VENUES)
def test_endless_nesting_and_ten_megabytes_are_survived_on_every_socket(venue: str) -> None:
    pair = Pair(venue)
    huge = b'{"topic":"x","data":"' + b"x" * 10_000_000 + b'"}'
    for socket in pair.feed.spec.sockets:
        for frame in (*NESTED, huge, PAGE, b""):
            outputs = pair.hear(socket.name, "", frame)
            assert any(isinstance(one, FrameRejected | FeedLost) for one in outputs), frame[:30]
    for tag in pair.tags:
        for body in (*NESTED, huge, PAGE, b""):
            check(pair, pair.hear("200", tag, body), b"")


def refusal(venue: str, code: str) -> tuple[str, Any]:
    """An answer to a new order in the venue's envelope: status and body."""
    code = code.rpartition(":")[2] if venue == "binance" else code
    number: Any = int(code) if code.lstrip("-").isdigit() else code
    match venue:
        case "bybit":
            return "200", {"retCode": number, "retMsg": "no", "result": {}, "time": 1}
        case "binance":
            return "400", {"code": number, "msg": "no"}
        case "okx":
            row = {"clOrdId": "a", "ordId": "", "sCode": code, "sMsg": "no"}
            return "200", {"code": "1", "msg": "", "data": [row]}
        case "kucoin":
            return "200", {"code": code, "msg": "no"}
    return "400", {"error": {"message": code, "name": "HTTPError"}}


@pytest.mark.parametrize("venue", VENUES)
def test_every_code_of_the_refusal_table_settles_an_order_in_our_words(venue: str) -> None:
    codes = Pair(venue).feed.spec.refusals
    assert len(codes) >= 10
    for code in codes:
        pair = Pair(venue)
        status, body = refusal(venue, code)
        heard = pair.trade.answered(
            Answer(
                tag="place:binance:spot:BTCUSDT:a" if "spot:" in code else pair.tags[0],
                status=int(status),
                body=json.dumps(body).encode(),
                order_id="a",
            ),
            AT,
        )
        told = [one for one in heard if isinstance(one, OrderRefused | OrderUncertain)]
        assert [one.order_id for one in told] == ["a"], (code, heard)
        assert told[0].reason, (code, told)
        if isinstance(told[0], OrderRefused):
            assert told[0].reason in REFUSALS, (code, told)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("code", ["987654", "-98765", "0x12"])
def test_a_code_that_nobody_has_heard_of_leaves_the_order_uncertain(venue: str, code: str) -> None:
    status, body = refusal(venue, code)
    tag, text = PLACED.get(venue, "place:a"), json.dumps(body).encode()
    answer = Answer(tag=tag, status=int(status), body=text, order_id="a")
    heard = Pair(venue).trade.answered(answer, AT)
    (told,) = [one for one in heard if isinstance(one, OrderRefused | OrderUncertain)]
    if isinstance(told, OrderRefused):  # only where the venue promises that a no is a no
        assert told.reason == "unknown_code", heard


def test_the_number_of_examples_is_a_setting() -> None:
    assert EXAMPLES > 0

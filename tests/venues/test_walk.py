"""The way through pages of records, which three venues share."""

from decimal import Decimal

import msgspec
import pytest

from oneprice.model.commands import Priority, QueryFills, QueryStatement
from oneprice.model.events import FillsTold, StatementLine, StatementTold
from oneprice.model.units import MILLI
from oneprice.venues.contract import Answer, Request
from oneprice.venues.walk import Unlisted, Walk, Walks, verb_of

NOW_MS = 1_800_000_000_000
AT = NOW_MS * MILLI
STATEMENT = QueryStatement(venue="sixth", market="spot", since_ms=NOW_MS - 1_000)


def walks(*, newest_first: bool = True) -> Walks[None]:
    return Walks("sixth", newest_first=newest_first)


def begun(desk: Walks[None], *what: str) -> Walk[None]:
    walk = desk.begin(STATEMENT, STATEMENT.since_ms, None)
    for one in what:
        walk.ask(Request(tag=walk.tag(one), host="rest", path="/log"))
    return walk


def line(name: str, venue_ms: int) -> StatementLine:
    return StatementLine(
        at=AT, venue="sixth", wallet="w", asset="USDT", amount=Decimal(1), kind="trade",
        record_id=name, venue_ms=venue_ms, text="",
    )  # fmt: skip


def answer(tag: str, asked_ms: int = 0) -> Answer:
    return Answer(tag=tag, status=200, body=b"", asked_ms=asked_ms)


def test_the_end_comes_with_the_last_answer_and_everything_before_it_oldest_first() -> None:
    desk = walks()
    walk = begun(desk, "log", "more")
    assert desk.heard(answer(walk.tag("log"))) is not None
    assert desk.concluded(walk, AT) == ()
    for name, ms in (("c", -1), ("b", -5), ("a", -5)):  # a page, newest first
        walk.keep(line(name, NOW_MS + ms), AT)
    assert desk.heard(answer(walk.tag("more"))) is not None
    *lines, end = desk.concluded(walk, AT)
    assert [one.record_id for one in lines if isinstance(one, StatementLine)] == ["a", "b", "c"]
    assert end == StatementTold(
        at=AT, venue="sixth", market="spot", since_ms=NOW_MS - 1_000, until_ms=NOW_MS
    )


def test_lines_of_one_moment_keep_the_order_of_a_page_that_is_oldest_first() -> None:
    desk = walks(newest_first=False)
    walk = begun(desk)
    for name in ("a", "b"):
        walk.keep(line(name, NOW_MS - 5), AT)
    told = desk.concluded(walk, AT)
    assert [one.record_id for one in told if isinstance(one, StatementLine)] == ["a", "b"]


def test_a_newer_question_of_a_kind_and_market_gives_up_the_older() -> None:
    desk = walks()
    older, newer = begun(desk, "log"), begun(desk, "log")
    assert desk.heard(answer(older.tag("log"))) is None
    assert desk.of(newer.tag("log")) is newer
    fills = desk.begin(QueryFills(venue="sixth", market="spot", since_ms=0), 0, None)
    assert desk.heard(answer(newer.tag("log"))) is not None and fills.number == 3


@pytest.mark.parametrize("what", ["", "log", "order.a:b", "spot.X+2", ":"])
def test_an_answer_names_its_question_whatever_the_name(what: str) -> None:
    desk = walks()
    walk = begun(desk, what)
    asked = walk.waiting[walk.tag(what)]
    assert desk.heard(answer(walk.tag(what))) == (walk, what, asked)
    assert desk.heard(answer(walk.tag(what))) is None


@pytest.mark.parametrize("tag", ["", "statement", "statement:9:log:spot", "fills:1:log:spot"])
def test_an_answer_to_nothing_is_nobodys(tag: str) -> None:
    desk = walks()
    begun(desk, "log")
    assert desk.heard(answer(tag)) is None


def test_nothing_later_than_the_first_question_is_told() -> None:
    desk = walks()
    walk = begun(desk, "one", "two")
    for what, asked_ms in (("one", NOW_MS - 40), ("two", NOW_MS - 70)):
        desk.heard(answer(walk.tag(what), asked_ms))
    walk.keep(line("early", NOW_MS - 1_001), AT)
    walk.keep(line("late", NOW_MS - 69), AT)
    (end,) = desk.concluded(walk, AT)
    assert isinstance(end, StatementTold) and end.until_ms == NOW_MS - 70


def test_a_damaged_row_leaves_the_end_untold_and_an_unlisted_one_does_not() -> None:
    desk = walks()
    walk = begun(desk)
    assert walk.missed(Unlisted("symbol")) and walk.whole
    assert not walk.missed(ValueError("price"))
    assert not walk.missed(msgspec.ValidationError("row"))
    assert walk.missed(Unlisted("symbol")) and not walk.whole
    assert list(desk.concluded(walk, AT)) == []


def test_a_further_question_is_awaited_at_once_and_handed_out_once() -> None:
    desk = walks()
    walk = begun(desk)
    more = Request(tag=walk.tag("log+1"), host="rest", path="/log", priority=Priority.DATA)
    desk.later(walk, more)
    assert walk.waiting == {more.tag: more} and desk.concluded(walk, AT) == ()
    assert (desk.follow_ups(), desk.follow_ups()) == ([more], [])


def test_fills_end_with_their_own_word() -> None:
    command = QueryFills(venue="sixth", market="spot", since_ms=5)
    desk = walks()
    (end,) = desk.concluded(desk.begin(command, command.since_ms, None), AT)
    assert isinstance(end, FillsTold) and (verb_of(command), verb_of(STATEMENT)) == (
        "fills", "statement",
    )  # fmt: skip

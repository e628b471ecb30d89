"""Reading a journal: what stands in it, and the story of one group with its exact profit."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from oneprice.app import journalstory, journalview
from oneprice.app.config import ConfigError
from oneprice.app.journalview import Index, Turned, Wish
from oneprice.app.session import JOURNAL
from oneprice.cli import journal as cli
from oneprice.core.strategy import GroupMoved, IntentJudged
from oneprice.model import events as ev
from oneprice.model.commands import PlaceOrder
from oneprice.model.units import MILLI, SECOND, Nanos, Side
from oneprice.store.journal import JournalWriter
from tests.build import START, D, World, a_leg, a_perp, an_intent
from tests.core.test_weather import STORM, THIN, a_day


@pytest.fixture(scope="module", params=["thin", "storm"])
def day(request: pytest.FixtureRequest) -> World:
    return a_day(3, {"thin": THIN, "storm": STORM}[request.param])


@pytest.fixture(scope="module")
def session(day: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("session")
    middle = len(day.journal) // 2
    for part in (day.journal[:middle], day.journal[middle:]):
        journal = JournalWriter(directory / JOURNAL)
        for entry in part:
            journal.append(msgspec.json.encode(entry))
        journal.close()
    return directory


def turns(session: Path, **wish: object) -> list[Turned]:
    return list(journalview.shown(session, msgspec.convert(wish, Wish), Index()))


def groups_of(session: Path) -> dict[str, str]:
    """Every group and the one whose profit it is."""
    judged = [i for t in turns(session, kind="IntentJudged") for i in t.record]
    return {
        item.group: item.intent.closes or item.group
        for item in judged
        if isinstance(item, IntentJudged) and item.group
    }


def run(*words: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr


# Stories ----------------------------------------------------------------------------------


def test_every_group_earned_what_the_engine_that_traded_it_says(
    day: World, session: Path
) -> None:
    groups = groups_of(session)
    assert len(groups) > 10
    for group, root in groups.items():
        story = journalstory.explain(journalview.turns(session), group, day.settings)
        assert story.root == root
        assert story.doubt == ""
        assert story.earned == day.engine.report.causes(root)


def test_a_story_begins_with_the_card_and_has_every_order_and_move_in_order(
    session: Path, day: World
) -> None:
    group = next(iter(groups_of(session)))
    story = journalstory.explain(journalview.turns(session), group)
    text = "\n".join(journalstory.told(story))
    assert story.steps[0].text.startswith("intent of ")
    assert any("net" in detail for detail in story.steps[0].details)
    assert [step.at for step in story.steps] == sorted(step.at for step in story.steps)
    for command in day.sent:
        if isinstance(command, PlaceOrder) and command.group == group:
            assert f"sent {command.order_id}: " in text
            assert text.count(f"filled {command.order_id}: ") >= len(
                day.placed[command.order_id].fills if command.order_id in day.placed else ()
            )
    moves = [m for m in day.decisions if isinstance(m, GroupMoved) and m.group == group]
    assert story.end == moves[-1].after
    assert all(f"{m.before} -> {m.after} on {m.signal}" in text for m in moves)


def test_prices_are_told_in_the_units_of_the_instrument(session: Path, day: World) -> None:
    group = next(iter(groups_of(session)))
    order = next(c for c in day.sent if isinstance(c, PlaceOrder) and c.group == group)
    listed = day.listed[order.instrument]
    text = "\n".join(journalstory.told(journalstory.explain(journalview.turns(session), group)))
    size, price = listed.size_text(order.lots), listed.price_text(order.ticks)
    assert f"{size} {order.instrument} at {price}" in text


def test_an_unknown_group_is_told_which_ones_there_are(session: Path) -> None:
    with pytest.raises(journalstory.NoSuchGroup, match=r"'g99x': not in this journal; it holds"):
        journalstory.explain(journalview.turns(session), "g99x")


def test_what_contradicts_itself_leaves_the_money_unknown(day: World, session: Path) -> None:
    group = next(iter(groups_of(session)))
    found = list(journalview.turns(session))
    move = GroupMoved(
        at=found[-1].at, group="nobody", before="WORKING", signal="EMPTY", after="FLAT",
        action="NOTHING",
    )  # fmt: skip
    wrong = Turned(at=move.at, start=2, record=[move], commands=[])
    story = journalstory.explain([*found, wrong], group)
    assert "nobody" in story.doubt
    assert any("not known" in line for line in journalstory.told(story))


def a_trade() -> list[Turned]:
    """Two perps; the second leg fills 30 ms after the first, and its fee is told later."""
    bought, sold = a_perp("alpha"), a_perp("beta")
    at = [Nanos(START + ms * MILLI) for ms in (0, 10, 40, 55)]
    legs = (a_leg(bought, Side.BUY, 600_000, 10), a_leg(sold, Side.SELL, 602_000, 10))
    orders = [
        PlaceOrder(
            order_id=f"g1o{number}", group="g1", instrument=leg.instrument, side=leg.side,
            ticks=leg.ticks, lots=leg.lots,
        )
        for number, leg in enumerate(legs, 1)
    ]  # fmt: skip
    fills = [
        ev.OrderFilled(
            at=when, order_id=order.order_id, instrument=order.instrument, fill_id="1",
            side=order.side, ticks=order.ticks, lots=order.lots, fee=D("0.3"), fee_asset="USDT",
        )
        for order, when in zip(orders, at[1:3], strict=True)
    ]  # fmt: skip
    guessed = msgspec.structs.replace(fills[1], fee=D("0.2"), fee_known=False)
    told = msgspec.structs.replace(fills[1], at=at[3])
    end = GroupMoved(
        at=at[2], group="g1", before="WORKING", signal="BALANCED", after="HEDGED",
        action="NOTHING",
    )  # fmt: skip
    listed = [ev.InstrumentListed(at=at[0], instrument=it) for it in (bought, sold)]
    judged = IntentJudged(at=at[0], intent=an_intent(*legs), group="g1")
    return [
        Turned(at=at[0], start=1, record=[*listed, judged], commands=list(orders)),
        Turned(at=at[1], start=1, record=[fills[0]], commands=[]),
        Turned(at=at[2], start=1, record=[guessed, end], commands=[]),
        Turned(at=at[3], start=1, record=[told], commands=[]),
    ]


def test_the_time_between_the_fills_of_two_legs_is_unhedged() -> None:
    story = journalstory.explain(a_trade(), "g1")
    assert [(span.lasted_ms, span.ended) for span in story.unhedged] == [(30.0, True)]
    story = journalstory.explain(a_trade()[:2], "g1")
    assert [span.ended for span in story.unhedged] == [False]


def test_a_fee_told_later_replaces_the_one_reckoned_and_the_fill_counts_once() -> None:
    story = journalstory.explain(a_trade(), "g1")
    text = "\n".join(journalstory.told(story))
    assert story.doubt == ""
    assert story.earned["fees"] == {"USDT": D("-0.6")}
    assert "fee 0.2 USDT (reckoned), 40.0 ms after it was sent" in text
    assert "fee 0.3 USDT, told again" in text
    assert story.held == {"alpha:linear:BTCUSDT": "0.01", "beta:linear:BTCUSDT": "-0.01"}


# What stands in it ------------------------------------------------------------------------


def test_everything_is_shown_in_order(session: Path, day: World) -> None:
    found = turns(session)
    assert [(t.at, t.record, t.commands) for t in found] == day.journal
    assert [t.start for t in found] == sorted(t.start for t in found)
    assert {t.start for t in found} == {1, 2}


def test_kinds_are_chosen_one_by_one_or_by_sort(session: Path, day: World) -> None:
    fills = [i for t in turns(session, kind="orderfilled") for i in t.record]
    assert fills
    assert all(isinstance(item, ev.OrderFilled) for item in fills)
    parts = [sum(len(t.record) + len(t.commands) for t in turns(session, kind=kind))
             for kind in ("facts", "decisions", "commands", "")]  # fmt: skip
    assert sum(parts[:3]) == parts[3]
    assert all(parts)
    with pytest.raises(ConfigError, match="did you mean 'OrderFilled'"):
        turns(session, kind="OrderFiled")


def test_an_order_and_a_group_are_followed(session: Path, day: World) -> None:
    group = next(iter(groups_of(session)))
    order = next(c.order_id for c in day.sent if isinstance(c, PlaceOrder) and c.group == group)
    of_order = turns(session, order=order)
    assert all(i.order_id == order for t in of_order for i in (*t.record, *t.commands))
    of_group = [i for t in turns(session, group=group) for i in (*t.record, *t.commands)]
    assert len(of_group) > sum(len(t.record) + len(t.commands) for t in of_order)


def test_a_span_of_time_and_the_last_ones(session: Path, day: World) -> None:
    since, until = Nanos(START + 2 * SECOND), Nanos(START + 5 * SECOND)
    found = turns(session, since=since, until=until)
    assert [t.at for t in found] == [at for at, _, _ in day.journal if since <= at < until]
    assert [t.at for t in turns(session, last=3)] == [at for at, _, _ in day.journal[-3:]]


# The command ------------------------------------------------------------------------------


def test_verify_counts_and_names_the_chain(session: Path, day: World) -> None:
    status, out, _ = run("verify", session, "--json")
    verdict = json.loads(out)
    assert status == 0
    assert verdict["sound"] is True
    assert verdict["records"] == len(day.journal)
    assert (verdict["segments"], verdict["starts"], verdict["torn_bytes"]) == (2, 2, 0)
    assert len(verdict["chain"]) == 32
    status, out, _ = run("verify", session / JOURNAL)
    assert status == 0
    assert f"{len(day.journal)} records in 2 segments of 2 starts" in out


def test_verify_names_the_place_of_damage_and_fails(session: Path, tmp_path: Path) -> None:
    copy = tmp_path / "j"
    copy.mkdir()
    for path in (session / JOURNAL).glob("*.journal"):
        (copy / path.name).write_bytes(path.read_bytes())
    first = copy / "000001.journal"
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(bytes(content))
    status, out, _ = run("verify", copy, "--json")
    verdict = json.loads(out)
    assert status == 1
    assert verdict["file"] == str(first)
    assert 0 < verdict["place"] <= len(content) // 2
    for words in (("show", copy), ("explain", "g", copy)):
        status, _, err = run(*words)
        assert (status, "damaged at byte" in err) == (1, True)


def test_a_sound_record_that_is_no_turn_is_damage_too(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "j")
    journal.append(b'[1,[],[{"type":"SellEverything"}]]')
    journal.close()
    status, _, err = run("verify", tmp_path / "j")
    assert status == 1
    assert "record 1 of segment 1" in err
    assert "SellEverything" in err


def test_a_torn_end_is_told_and_is_no_damage(session: Path, tmp_path: Path) -> None:
    copy = tmp_path / "000001.journal"
    copy.write_bytes((session / JOURNAL / "000001.journal").read_bytes()[:-9])
    status, out, _ = run("verify", tmp_path)
    assert status == 0
    assert "torn bytes at the end" in out


def test_show_and_explain_print_for_people_and_for_programs(session: Path) -> None:
    group = next(iter(groups_of(session)))
    status, out, _ = run("show", session, "--kind", "GroupMoved", "--last", "2")
    assert status == 0
    assert out.count("GroupMoved: ") == 2
    status, out, _ = run("show", session, "--last", "2", "--json")
    assert len(json.loads(out)) == 2
    status, out, _ = run("explain", group, session)
    assert status == 0
    assert out.startswith(f"group {group}  ")
    status, out, _ = run("explain", group, session, "--json")
    assert json.loads(out)["group"] == group


def test_a_directory_without_a_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a session nor a journal"):
        journalview.verify(tmp_path)
    with pytest.raises(ConfigError, match="no such directory"):
        journalview.verify(tmp_path / "nowhere")

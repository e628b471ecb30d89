"""Each drill can fail: a wrong put into the house on purpose is seen by the drill about it."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oneprice.app import run
from oneprice.app.drills import paper, trader
from oneprice.app.drills.catalog import BY_NAME
from oneprice.app.drills.judge import CLOSED, EQUAL
from oneprice.app.drills.perform import perform
from oneprice.app.session import TurnJournal
from oneprice.core import gate
from oneprice.core.holdings import Holdings
from oneprice.core.market import Market
from oneprice.core.orders import Orders, OrderState
from oneprice.core.statement import Statements
from oneprice.shell.lines import Lines

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "simulation"))
from planted import BUGS, _instead

Plant = Callable[[], contextlib.AbstractContextManager[None]]
USUAL, TURNED = ("bybit", "binance"), ("binance", "bybit")
CONNECTED_S = 20.0
IN_VAIN_S = 8.0  # what never comes need not be waited for as long as by a user


def read_old_books() -> contextlib.AbstractContextManager[None]:
    """However old a book is, it may be traded on."""
    return _instead(Market, "book", lambda _: lambda self, instrument: self._books.get(instrument))


def ignore_the_statement() -> contextlib.AbstractContextManager[None]:
    """What the venue's own statement says is not read."""
    return _instead(Statements, "line", lambda _: lambda self, event: None)


def trade_without_a_journal() -> contextlib.AbstractContextManager[None]:
    """What the disk does not take is sent all the same."""

    def put(right: Any) -> Any:
        def wrong(self: TurnJournal, turn: Any) -> None:
            with contextlib.suppress(OSError):
                right(self, turn)

        return wrong

    return _instead(TurnJournal, "append", put)


def forget_the_journal() -> contextlib.AbstractContextManager[None]:
    """A start on a session takes it for a new one."""
    return _instead(run, "recall", lambda _: lambda session, engine, now: None)


def leave_the_other_leg() -> contextlib.AbstractContextManager[None]:
    """A leg that the venue closed is no reason to close the other."""
    return _instead(Holdings, "broken", lambda _: lambda self: [])


def take_any_edge() -> contextlib.AbstractContextManager[None]:
    """However far prices are apart, it is a gain."""
    return _without("edge_is_believable", "price_is_sane")


def spend_what_is_not_there() -> contextlib.AbstractContextManager[None]:
    """What is free at a venue is not looked at."""
    return _without("funds_are_there")


def trade_at_any_price() -> contextlib.AbstractContextManager[None]:
    """A limit may be as far from the other leg's price as it likes."""
    return _without("price_is_sane")


def pay_for_exits() -> contextlib.AbstractContextManager[None]:
    """Exits need free funds, as what is new does."""
    rules = tuple(
        rule._replace(new_risk=rule.new_risk and rule.name != "funds_are_there")
        for rule in gate.DEFAULT_RULES
    )
    return _instead(gate.Gate, "__init__", lambda right: lambda self, _: right(self, rules))


def _without(*names: str) -> contextlib.AbstractContextManager[None]:
    """These rules hold, whatever they are asked."""
    rules = tuple(
        rule._replace(holds=lambda intent, facts: True) if rule.name in names else rule
        for rule in gate.DEFAULT_RULES
    )
    return _instead(gate.Gate, "__init__", lambda right: lambda self, _: right(self, rules))


def take_silence_for_a_no() -> contextlib.AbstractContextManager[None]:
    """An order whose answer was lost with its connection was never there."""

    def put(right: Any) -> Any:
        def wrong(self: Orders, order: Any, at: Any, reason: str) -> Any:
            heard = right(self, order, at, reason)
            order.state, order.claimed = OrderState.DONE, order.filled
            self._open.pop(order.id, None)
            return heard

        return wrong

    return _instead(Orders, "_uncertain", put)


def subscribe_once() -> contextlib.AbstractContextManager[None]:
    """Who is connected again takes the subscriptions of before for granted."""

    def put(right: Any) -> Any:
        async def wrong(self: Lines, connection: Any, topics: Any) -> None:
            if connection.connects < 2:
                await right(self, connection, topics)

        return wrong

    return _instead(Lines, "_subscribe", put)


# The drill, the wrong, and what the drill must say of it.
PLANTS: list[tuple[str, tuple[str, str], Plant, str]] = [
    ("leg-refused", USUAL, BUGS["never_unwind"], "waited in vain for: the end of 1 leg groups"),
    ("leg-half-filled", USUAL, BUGS["call_half_filled_hedged"], "legs end equal"),
    ("leg-half-filled", USUAL, BUGS["hedge_the_full_size"], "legs end equal"),
    ("answer-lost", USUAL, BUGS["resend_on_timeout"], "never sent again"),
    ("answer-lost", USUAL, BUGS["forget_unknown_orders"], "the end of 1 leg groups"),
    ("cancel-fill-race", USUAL, BUGS["cancel_is_done"], CLOSED),
    ("connection-lost", USUAL, BUGS["wrong_sign_of_fees"], EQUAL),
    ("both-venues-lost", USUAL, take_silence_for_a_no, CLOSED),
    ("venue-restart", USUAL, subscribe_once, "everything is connected again"),
    ("rate-ban", USUAL, BUGS["call_half_filled_hedged"], "legs end equal"),
    ("delisting", USUAL, leave_the_other_leg, "the other leg is closed"),
    ("flash-crash", USUAL, trade_at_any_price, "prices are far from the other's"),
    ("flash-crash", USUAL, take_any_edge, "no edge is so large"),
    ("book-gap", TURNED, BUGS["ignore_a_gap"], "the gap is seen"),
    ("frozen-stream", USUAL, read_old_books, "the book is older than 2000 ms"),
    ("clock-off", USUAL, BUGS["sign_with_our_own_clock"], "every account is known"),
    ("kill-before-send", USUAL, forget_the_journal, "a session that is resumed"),
    ("kill-mid-unwind", USUAL, BUGS["never_unwind"], "the leg that stood alone is given back"),
    ("disk-full", USUAL, trade_without_a_journal, "cannot be written down"),
    ("adl", USUAL, leave_the_other_leg, "the other leg is closed"),
    ("funding-mid-trade", USUAL, BUGS["count_funding_twice"], "our books follow"),
    ("mode-by-hand", USUAL, BUGS["enter_with_an_open_clutch"], "a verdict by clutch_is_closed"),
    ("collateral-withdrawn", USUAL, ignore_the_statement, "booked as a transfer"),
    ("collateral-withdrawn", USUAL, spend_what_is_not_there, "the funds are not there"),
    ("collateral-withdrawn", USUAL, pay_for_exits, "the end of the run"),
]


@pytest.mark.parametrize(
    ("name", "venues", "plant", "said"),
    PLANTS,
    ids=[f"{name}-{plant.__name__}" for name, _, plant, _ in PLANTS],
)
def test_a_wrong_in_the_house_makes_its_drill_fail(
    name: str,
    venues: tuple[str, str],
    plant: Plant,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = trader.Trader.start

    async def started(trader_: trader.Trader) -> None:
        monkeypatch.setattr(trader, "PATIENCE_S", CONNECTED_S)
        await start(trader_)
        monkeypatch.setattr(trader, "PATIENCE_S", IN_VAIN_S)

    monkeypatch.setattr(trader.Trader, "start", started)
    with plant():
        result = asyncio.run(perform(BY_NAME[name], venues))
    assert result.outcome == "fail"
    broken = [check.must for check in result.checks if not check.held]
    assert said in "\n".join([*broken, result.trouble]), "\n".join(paper.told(result))


def test_every_drill_is_made_to_fail_by_some_wrong() -> None:
    assert {name for name, *_ in PLANTS} == set(BY_NAME)

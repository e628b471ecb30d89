"""A posting set that does not balance: refused and named, the clutch opens, nothing is traded."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from oneprice.core.ledger import CannotBook, Ledger, Posting, Unbalanced
from oneprice.core.strategy import Discrepancy, IntentJudged
from tests.build import D, World
from tests.core.test_groups import A, B, a_world, ask, perps
from tests.core.test_statement import a_line, tell

LOST = D("0.01")  # of a fill, by a wrong of ours
CASH = ("venue", "alpha", "unified")
BY_HAND = f"""
from decimal import Decimal
from oneprice.core.ledger import Ledger, Posting
assert False, "python -O leaves this out"
try:
    Ledger().post([Posting({CASH!r}, "USDT", Decimal(1))])
except ValueError as error:
    print(type(error).__name__, error)
"""


def lose_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fill is booked a little short on one side."""
    right = Ledger._fill

    def wrong(self: Ledger, facts: Any) -> Sequence[Posting]:
        first, *rest = right(self, facts)
        return [msgspec.structs.replace(first, amount=first.amount - LOST), *rest]

    monkeypatch.setattr(Ledger, "_fill", wrong)


def test_it_is_refused_whole_and_says_which_asset_does_not_add_up() -> None:
    ledger = Ledger()
    ledger.open(CASH, "USDT", D(5))
    before = ledger.postings
    with pytest.raises(Unbalanced, match=r"sum to zero: USDT 0\.1$"):
        ledger.post(
            [
                Posting(CASH, "USDT", D(1)),
                Posting(("cause", "basis", "g1"), "USDT", D("-0.9")),
                Posting(CASH, "BTC", D(2)),
                Posting(("cause", "basis", "g1"), "BTC", D(-2)),
            ]
        )
    assert (ledger.wallet("alpha", "unified", "USDT"), ledger.postings) == (D(5), before)
    assert not ledger.balance(CASH, "BTC") and not ledger.total("USDT")
    assert issubclass(Unbalanced, CannotBook)


def test_it_is_refused_where_assertions_are_left_out_too() -> None:
    told = subprocess.run(
        [sys.executable, "-O", "-c", BY_HAND], capture_output=True, text=True, check=True
    )
    assert told.stdout == "Unbalanced a posting set must sum to zero: USDT 1\n"


def test_a_fill_that_does_not_balance_is_named_opens_the_clutch_and_nothing_more_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_world(perps())
    report = world.engine.report
    before = dict(report.balances())
    with monkeypatch.context() as wrong:
        lose_a_little(wrong)
        ask(world)
        world.run(200)
    named = [one for one in world.decisions if isinstance(one, Discrepancy)]
    assert [one.kind for one in named] == ["booking", "booking"]
    assert all("a posting set must sum to zero: " in one.found for one in named)
    assert named[0].subject.startswith((A.id, B.id)) and "booking" in world.engine.clutch
    assert report.balances() == before and not report.positions() and report.residual() == 0
    assert refused_and_nothing_sent(world)


def test_a_statement_line_that_does_not_balance_is_named_before_anything_is_traded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_world(perps())
    with monkeypatch.context() as wrong:
        right = Ledger.post
        wrong.setattr(Ledger, "post", lambda self, postings: right(self, postings[:1]))
        tell(world, a_line(world, "interest", "-1"))
    (named,) = [one for one in world.decisions if isinstance(one, Discrepancy)]
    assert (named.kind, named.found) == ("booking", "a posting set must sum to zero: USDT -1")
    assert world.engine.report.residual() == 0
    assert refused_and_nothing_sent(world)
    assert not world.orders()


def refused_and_nothing_sent(world: World) -> bool:
    """A hedge that any calm engine would begin is refused, by the clutch."""
    sent = len(world.orders())
    (script,) = world.engine._strategies
    script.intents = [perps()]  # type: ignore[attr-defined]
    ask(world)
    world.run(1_000)
    last = [one for one in world.decisions if isinstance(one, IntentJudged)][-1]
    return last.refused_by == "clutch_is_closed" and len(world.orders()) == sent

"""The way through pages of records: what is asked, what is awaited, and when the end is told.

Venues page differently, but a walk is the same: a newer question of a kind and market replaces an
older one, pages are asked one after the other, and what they brought is told oldest first once
nothing more is awaited. The end is told only where every page was answered and understood.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from oneprice.model.commands import Priority, QueryFills, QueryStatement
from oneprice.model.events import (
    FillsTold,
    FundingBooked,
    OrderFilled,
    StatementLine,
    StatementTold,
)
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.contract import Answer, Output, Request

VERBS = ("fills", "statement")  # a tag begins with one of them

Side = TypeVar("Side")


class Unlisted(ValueError):
    """A fill of an instrument that we have no grid of.

    It cannot be put into ticks and lots: it is rejected by name, and the end is told all the
    same, because it would stand in the way for ever; positions and balances are checked by
    themselves.
    """


class Walk(msgspec.Struct, Generic[Side]):
    """One way through the pages: what is awaited, and what came. `side` is the venue's own."""

    verb: str
    market: str
    number: int
    since_ms: int
    until_ms: int  # 0: to the moment of asking
    priority: Priority
    side: Side
    sent_ms: int = 0  # when the first question left, by the venue's clock
    waiting: dict[str, Request] = {}  # by tag
    found: list[OrderFilled | StatementLine | FundingBooked] = []
    whole: bool = True  # every page so far was answered and understood

    def tag(self, what: str) -> str:
        """The tag of a question: `Walks.heard` gives `what` back with the answer."""
        return f"{self.verb}:{self.number}:{what}:{self.market}"

    def ask(self, request: Request) -> Request:
        """The question, whose answer is awaited from now on."""
        self.waiting[request.tag] = request
        return request

    def end_ms(self, at: Nanos) -> int:
        """What is told ends with what was asked for, or when it was asked."""
        sent = self.sent_ms or at // MILLI
        return max(self.since_ms, min(self.until_ms or sent, sent))

    def keep(self, line: StatementLine | FundingBooked, at: Nanos) -> None:
        """Take a line of the stretch; pages reach beyond it."""
        if self.since_ms <= line.venue_ms <= self.end_ms(at):
            self.found.append(line)

    def missed(self, error: Exception) -> bool:
        """A row that could not be taken, whether for want of an instrument (see Unlisted)."""
        unlisted = isinstance(error, Unlisted)
        self.whole = self.whole and unlisted
        return unlisted


class Walks(Generic[Side]):
    """The open walks of a venue and the pages to ask for next.

    `newest_first` is how the venue orders rows within a page, which also orders rows of one
    moment.
    """

    def __init__(self, venue: str, *, newest_first: bool) -> None:
        self._venue = venue
        self._newest_first = newest_first
        self._open: dict[tuple[str, str], Walk[Side]] = {}
        self._count = 0
        self._next: list[Request] = []

    def begin(
        self, command: QueryFills | QueryStatement, since_ms: int, side: Side
    ) -> Walk[Side]:
        """A walk from `since_ms`, the earliest that is asked for; an older one is given up."""
        self._count += 1
        verb, until = verb_of(command), 0
        if isinstance(command, QueryStatement):
            until = command.until_ms
        market, rank = command.market, command.priority
        walk = Walk(verb, market, self._count, since_ms, until, rank, side)
        self._open[verb, market] = walk
        return walk

    def of(self, tag: str) -> Walk[Side] | None:
        """The walk that awaits the answer to a question; None where it was given up."""
        verb, _, rest = tag.partition(":")
        walk = self._open.get((verb, rest.rpartition(":")[2]))
        return walk if walk is not None and tag in walk.waiting else None

    def heard(self, answer: Answer) -> tuple[Walk[Side], str, Request] | None:
        """The walk that awaited an answer, what was asked, and the question."""
        walk = self.of(answer.tag)
        if walk is None:
            return None
        if answer.asked_ms:  # nothing later than the first question is told
            walk.sent_ms = min(walk.sent_ms or answer.asked_ms, answer.asked_ms)
        what = answer.tag.removeprefix(f"{walk.verb}:{walk.number}:")
        return walk, what.removesuffix(f":{walk.market}"), walk.waiting.pop(answer.tag)

    def later(self, walk: Walk[Side], request: Request) -> None:
        """A further question of a walk, handed out with the next `follow_ups`."""
        self._next.append(walk.ask(request))

    def follow_ups(self) -> list[Request]:
        """Further questions; each is handed out once."""
        out, self._next = self._next, []
        return out

    def concluded(self, walk: Walk[Side], at: Nanos) -> Sequence[Output]:
        """Nothing while an answer is awaited; then what was found, and that it was all."""
        if walk.waiting:
            return ()
        del self._open[walk.verb, walk.market]
        found = walk.found
        if self._newest_first:
            found.reverse()
        found.sort(key=lambda one: one.venue_ms)
        if not walk.whole:
            return found
        made = FillsTold if walk.verb == "fills" else StatementTold
        end = made(
            at=at,
            venue=self._venue,
            market=walk.market,
            since_ms=walk.since_ms,
            until_ms=walk.end_ms(at),
        )
        return [*found, end]


def verb_of(command: QueryFills | QueryStatement) -> str:
    """Which of VERBS a question is."""
    return "statement" if isinstance(command, QueryStatement) else "fills"

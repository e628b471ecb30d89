"""Everything of a stretch of time, page by page: our fills, and the lines of the wallet.

Source: protocol document, sections 9, 11 and 12. Executions come oldest first, by `start`. The
wallet's own history knows realised profit as one sum a day and contract, booked at 12:00 UTC, and
until then as pending: so a statement is made of the executions, each with its own id, and of the
wallet's other rows. What the pages brought is told oldest first once nothing more is awaited; the
end only where every page was answered and understood.
"""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.commands import Priority, QueryFills, QueryStatement
from oneprice.model.events import FillsTold, OrderFilled, StatementLine, StatementTold
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.bitmex import MARKET, NAME, account, statement
from oneprice.venues.bitmex.rest import failure, get, pauses, told, unread
from oneprice.venues.bitmex.wire import (
    EXECUTION,
    ROWS,
    UNREADABLE,
    WALLET,
    excerpt,
    iso,
)
from oneprice.venues.contract import Answer, Output, Request

VERBS = ("fills", "statement")
_PAGE_ROWS = 500
_WALLET_ROWS = 10_000
_FILLS = '{"execType":["Trade","Liquidation","Bankruptcy","Settlement"]}'
_MOVING = '{"execType":["Trade","Liquidation","Bankruptcy","Settlement","Funding"]}'


class Unlisted(ValueError):
    """A fill of an instrument that we have no grid of."""


class _Walk(msgspec.Struct):
    """One way through the pages: what is awaited, and what came."""

    verb: str
    number: int
    since_ms: int
    until_ms: int  # 0: to the moment of asking
    sent_ms: int = 0  # when the first question left, by the venue's clock
    waiting: dict[str, Request] = {}  # by tag
    found: list[OrderFilled | StatementLine] = []
    whole: bool = True  # every page so far was answered and understood


class Records:
    """Asks one page after the other; a newer question of a kind replaces an older.

    A fill of an instrument that is not listed any more cannot be put into ticks and lots: it is
    rejected by name, and the end is told all the same, because it would stand in the way for
    ever; positions and balances are checked by themselves.
    """

    def __init__(self, listed: Mapping[InstrumentId, Instrument]) -> None:
        self._listed = listed
        self._open: dict[str, _Walk] = {}  # by verb
        self._count = 0
        self._next: list[Request] = []

    def follow_ups(self) -> Sequence[Request]:
        """Further pages; each is handed out once."""
        out, self._next = self._next, []
        return out

    def begin(self, command: QueryFills | QueryStatement, at: Nanos) -> Sequence[Request]:
        """The first questions; ValueError for a market that is not ours."""
        if command.market != MARKET:
            raise ValueError(f"market: expected {MARKET!r}, found {command.market!r}")
        verb, until = "fills", 0
        if isinstance(command, QueryStatement):
            verb, until = "statement", command.until_ms
        since = max(0, command.since_ms)
        self._count += 1
        walk = self._open[verb] = _Walk(verb, self._count, since, until)
        chosen = _FILLS if verb == "fills" else _MOVING
        rows = {"filter": chosen, "startTime": iso(since), "count": str(_PAGE_ROWS)}
        path, rank = "/execution/tradeHistory", command.priority
        if verb == "fills":
            return [self._ask(walk, "executions", path, rows, rank)]
        rows |= {"endTime": iso(until)} if until else {}
        # It takes no range, and says not in which order several currencies come.
        wallet = {"currency": "all", "count": str(_WALLET_ROWS)}
        return [
            self._ask(walk, "executions", path, rows, rank),
            self._ask(walk, "wallet", "/user/walletHistory", wallet, rank),
        ]

    def _ask(
        self, walk: _Walk, what: str, path: str, params: Mapping[str, str], rank: Priority
    ) -> Request:
        tag = f"{walk.verb}:{walk.number}:{what}:{MARKET}"
        request = msgspec.structs.replace(get(path, params, tag, "rest"), priority=rank)
        walk.waiting[tag] = request
        return request

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Nothing, or the next page asked for, until no answer is awaited any more."""
        verb, number, what, _ = answer.tag.split(":", 3)
        walk = self._open.get(verb)
        if walk is None or str(walk.number) != number or answer.tag not in walk.waiting:
            return ()  # given up for a newer one
        request = walk.waiting.pop(answer.tag)
        if answer.asked_ms:  # nothing later than the first question is told
            walk.sent_ms = min(walk.sent_ms or answer.asked_ms, answer.asked_ms)
        out: list[Output] = []
        failed = failure(answer)
        if failed is not None:
            walk.whole = False
            out += [told(answer, failed, at), *pauses(failed, answer, "rest", at)]
        else:
            try:
                out += self._page(walk, what, request, ROWS.decode(answer.body), at)
            except UNREADABLE as error:
                walk.whole = False
                shown = f"{what}: {error} | {excerpt(answer.body)}"
                out.append(unread(verb, "unreadable_answer", shown, at))
        if not walk.waiting:
            del self._open[verb]
            out += _concluded(walk, at)
        return out

    def _page(
        self,
        walk: _Walk,
        what: str,
        request: Request,
        rows: Sequence[msgspec.Raw],
        at: Nanos,
    ) -> list[Output]:
        out: list[Output] = []
        for raw in rows:
            try:
                self._row(walk, what, raw, at)
            except UNREADABLE as error:
                unlisted = isinstance(error, Unlisted)
                walk.whole = walk.whole and unlisted
                why = "unlisted" if unlisted else "unreadable_row"
                out.append(unread(walk.verb, why, f"{what}: {error} | {excerpt(raw)}", at))
        if len(rows) >= (_PAGE_ROWS if what == "executions" else _WALLET_ROWS):
            query, _, start = request.query.partition("&start=")
            further = f"{query}&start={int(start or 0) + len(rows)}"
            more = msgspec.structs.replace(request, query=further)
            walk.waiting[more.tag] = more
            self._next.append(more)
        return out

    def _row(self, walk: _Walk, what: str, raw: msgspec.Raw, at: Nanos) -> None:
        if walk.verb == "fills":
            done = EXECUTION.decode(raw)
            item = self._listed.get(instrument_id(NAME, MARKET, done.symbol))
            if item is None:
                raise Unlisted(f"symbol: {done.symbol[:40]!r} is not an instrument bitmex lists")
            event = account.execution(done, item, at)
            if isinstance(event, OrderFilled):
                walk.found.append(event)
            return
        line = (
            statement.execution(EXECUTION.decode(raw), self._listed, at)
            if what == "executions"
            else statement.wallet(WALLET.decode(raw), at)
        )
        if line is not None and walk.since_ms <= line.venue_ms <= _end(walk, at):
            walk.found.append(line)


def _end(walk: _Walk, at: Nanos) -> int:
    """What is told ends with what was asked for, or when it was asked."""
    sent = walk.sent_ms or at // MILLI
    return max(walk.since_ms, min(walk.until_ms or sent, sent))


def _concluded(walk: _Walk, at: Nanos) -> list[Output]:
    """What was found, oldest first, and that it was all, where it was."""
    walk.found.sort(key=lambda one: one.venue_ms)
    if not walk.whole:
        return [*walk.found]
    made = FillsTold if walk.verb == "fills" else StatementTold
    end = made(
        at=at, venue=NAME, market=MARKET, since_ms=walk.since_ms, until_ms=_end(walk, at)
    )
    return [*walk.found, end]

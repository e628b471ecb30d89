"""Everything of a stretch of time, window by window: our fills, and the account's statement.

Source: Bybit v5 docs, "Get Trade History" and "Get Transaction Log". A question spans at most
seven days; its pages come newest first, so a window is told when its last page is there, oldest
row first. The end is told only when every page of every window was answered and understood. What
"now" is, the venue's clock says at the moment of sending, which comes back with the answer.
"""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.commands import Priority, QueryFills, QueryStatement
from oneprice.model.events import AnyEvent, FillsTold, OrderFilled, StatementTold
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.bybit import MARKETS, NAME, account, statement
from oneprice.venues.bybit.instruments import known
from oneprice.venues.bybit.rest import (
    Allowances,
    Failed,
    get,
    page_after,
    paused_by,
    read,
    told,
    unread,
)
from oneprice.venues.bybit.wire import EXECUTION, LOG, PAGE, UNREADABLE, Page, excerpt
from oneprice.venues.contract import Answer, Output, Request

KINDS = ("fills", "statement")
_DAY_MS = 86_400_000
_WINDOW_MS = 7 * _DAY_MS
_REACH_MS = 729 * _DAY_MS  # two years are kept
_PATHS = {"fills": "/v5/execution/list", "statement": "/v5/account/transaction-log"}
_BUCKETS = {"fills": "executions", "statement": "log"}
_ROWS_MAX = {"fills": 100, "statement": 50}


class _Walk(msgspec.Struct):
    """One way through the windows: where it is and what the present window brought."""

    kind: str
    market: str
    tag: str
    since_ms: int
    until_ms: int  # 0: to the moment of asking
    priority: Priority
    start_ms: int  # of the present window
    end_ms: int  # of it, 0 until the first answer about it
    asked: Request
    rows: list[msgspec.Raw] = []  # of the present window, newest first
    told_ms: int = 0  # the venue's time in the first answer about it
    whole: bool = True  # every row so far was understood

    def end(self, now_ms: int) -> int:
        """Where the present window ends, asked for at this moment of the venue's clock."""
        end = min(self.start_ms + _WINDOW_MS - 1, self.until_ms or now_ms, now_ms)
        return max(end, self.start_ms)

    @property
    def is_last(self) -> bool:
        """Whether the present window ends before it is full."""
        return self.end_ms < self.start_ms + _WINDOW_MS - 1


class Walks:
    """Asks one page after the other; a newer question of a kind and market replaces an older."""

    def __init__(
        self, listed: Mapping[InstrumentId, Instrument], allowances: Allowances
    ) -> None:
        self._listed = listed
        self._allowances = allowances
        self._open: dict[str, _Walk] = {}  # by tag
        self._count = 0
        self._next: list[Request] = []

    def follow_ups(self) -> Sequence[Request]:
        """Further pages and windows; each is handed out once."""
        out, self._next = self._next, []
        return out

    def begin(self, command: QueryFills | QueryStatement, at: Nanos) -> Sequence[Request]:
        """The first question; ValueError for a market that the venue has not."""
        market = command.market
        if market not in MARKETS:
            raise ValueError(f"market: expected one of {MARKETS}, found {market!r}")
        kind, until = "fills", 0
        if isinstance(command, QueryStatement):
            kind, until = "statement", command.until_ms
        since = max(command.since_ms, at // MILLI - _REACH_MS)
        for tag, older in list(self._open.items()):
            if (older.kind, older.market) == (kind, market):
                del self._open[tag]
        self._count += 1
        walk = _Walk(
            kind=kind,
            market=market,
            tag=f"{kind}:{self._count}:{market}",
            since_ms=since,
            until_ms=until,
            priority=command.priority,
            start_ms=since,
            end_ms=0,
            asked=Request(tag=""),
        )
        self._open[walk.tag] = walk
        return (_ask(walk),)

    def sent(self, request: Request, venue_ms: int) -> Request:
        """The question with the end of its window, as it leaves at this moment of the venue.

        Nothing is remembered here: signing is no input that a replay could repeat.
        """
        walk = self._open.get(request.tag)
        if walk is None or "&endTime=" in request.query:
            return request
        return _until(request, walk.end(venue_ms))

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Events of one page: nothing until its window is complete."""
        walk = self._open.get(answer.tag)
        if walk is None:
            return ()  # given up for a newer one
        if not walk.end_ms:
            walk.end_ms = walk.end(answer.asked_ms or at // MILLI)
            walk.asked = _until(walk.asked, walk.end_ms)
        bucket = _BUCKETS[walk.kind]
        out: list[Output] = [*self._allowances.stated_by(bucket, answer)]
        reply = read(answer)
        if isinstance(reply, Failed):
            del self._open[walk.tag]
            return [*out, told(answer, reply, at), *paused_by(reply, answer, bucket, at)]
        try:
            page = PAGE.decode(reply.result)
        except UNREADABLE as error:
            del self._open[walk.tag]
            shown = f"{answer.tag}: {error} | {excerpt(reply.result)}"
            return [*out, unread(walk.kind, "unreadable_answer", shown, at)]
        walk.told_ms = walk.told_ms or reply.time
        return [*out, *self._turned(walk, page, at)]

    def _turned(self, walk: _Walk, page: Page, at: Nanos) -> Sequence[Output]:
        """After a page: the next one, or the window's events and the next window."""
        walk.rows += page.list
        more = page.next_page_cursor
        if more and len(page.list) >= _ROWS_MAX[walk.kind]:
            following = page_after(walk.asked, more)
            if following.query == walk.asked.query:
                del self._open[walk.tag]
                return (unread(walk.kind, "cursor_repeated", walk.tag, at),)
            walk.asked = following
            self._next.append(following)
            return ()
        out = self._window(walk, at)
        if not walk.is_last:
            walk.start_ms, walk.end_ms = walk.end_ms + 1, 0
            walk.rows, walk.told_ms = [], 0
            self._next.append(_ask(walk))
            return out
        del self._open[walk.tag]
        if walk.whole:
            out.append(_told(walk, at))
        return out

    def _window(self, walk: _Walk, at: Nanos) -> list[Output]:
        """The rows of a window, oldest first; one that cannot be read is told as such."""
        events: list[AnyEvent] = []
        lost: list[Output] = []
        for raw in reversed(walk.rows):
            try:
                events += self._row(walk, raw, at)
            except UNREADABLE as error:
                walk.whole = False
                shown = f"{walk.tag}: {error} | {excerpt(raw)}"
                lost.append(unread(walk.kind, "unreadable_row", shown, at))
        if walk.kind == "fills":  # rows of one moment come in no certain order
            fills = [event for event in events if isinstance(event, OrderFilled)]
            return [*lost, *sorted(fills, key=lambda fill: fill.venue_ms)]
        return [*lost, *events]

    def _row(self, walk: _Walk, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        if walk.kind == "statement":
            entry = LOG.decode(raw)
            lines = statement.lines(entry, at)
            if entry.type != "SETTLEMENT" or not (entry.funding and entry.category):
                return lines
            # The question about an account reaches back a day, this one two years.
            return [*lines, account.settlement(entry, entry.category, at)]
        row = EXECUTION.decode(raw)
        if row.exec_type == "Funding":
            return ()  # booked from the transaction log and the stream
        return (account.execution(row, known(self._listed, walk.market, row.symbol), at),)


def _ask(walk: _Walk) -> Request:
    params = {"category": walk.market}
    if walk.kind == "statement":
        # One wallet carries all markets, and transfers belong to none of them.
        params = {"accountType": "UNIFIED"}
    params |= {"startTime": str(walk.start_ms), "limit": str(_ROWS_MAX[walk.kind])}
    bucket = _BUCKETS[walk.kind]
    request = get(_PATHS[walk.kind], params, walk.tag, bucket, walk.priority)
    walk.asked = msgspec.structs.replace(request, signed=True)
    return walk.asked


def _until(request: Request, end_ms: int) -> Request:
    return msgspec.structs.replace(request, query=f"{request.query}&endTime={end_ms}")


def _told(walk: _Walk, at: Nanos) -> FillsTold | StatementTold:
    # Should our idea of the venue's clock be ahead of it: nothing beyond its own now was told.
    until = min(walk.end_ms, walk.told_ms or walk.end_ms)
    made = FillsTold if walk.kind == "fills" else StatementTold
    return made(
        at=at,
        venue=NAME,
        market=walk.market,
        since_ms=walk.since_ms,
        until_ms=max(until, walk.since_ms),
    )

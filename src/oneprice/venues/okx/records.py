"""Everything of a stretch of time, page by page: our fills, and the lines of the one wallet.

Source: API v5, "Get transaction details (last 3 days)", "(last 3 months)", "Get bills details
(last 7 days)", "(last 3 months)". Pages come newest first and go on behind the last row's
billId, so that what happens meanwhile shifts nothing. What the pages brought is told oldest first
once nothing more is awaited; the end is told only where every page was answered and understood.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from oneprice.model.commands import Priority, QueryFills, QueryStatement
from oneprice.model.events import FillsTold, OrderFilled, StatementLine, StatementTold
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.contract import Answer, Output, Request
from oneprice.venues.okx import NAME, account
from oneprice.venues.okx import private_frames as rows
from oneprice.venues.okx.frames import RAWS, UNREADABLE, milliseconds, rejected
from oneprice.venues.okx.listing import KINDS, identity_of
from oneprice.venues.okx.rest import Failed, asked, get, paused, settled, told

VERBS = ("fills", "statement")
_PAGE_ROWS = 100
_DAY_MS = 86_400_000
_REACH_MS = 89 * _DAY_MS  # three months are kept, and a day is left for clocks and months
# (path, bucket) for what is recent, and for what is older; half a day is left for clocks.
_RECENT_MS = {"fills": 5 * _DAY_MS // 2, "statement": 13 * _DAY_MS // 2}
_RECENT = {
    "fills": ("/api/v5/trade/fills", "fills"),
    "statement": ("/api/v5/account/bills", "bills"),
}
_OLDER = {
    "fills": ("/api/v5/trade/fills-history", "fills_history"),
    "statement": ("/api/v5/account/bills-archive", "bills_archive"),
}


class Unlisted(ValueError):
    """A fill of an instrument that we have no grid of."""


class _Walk(msgspec.Struct):
    """One way back through the pages: what is awaited, and what came."""

    verb: str
    market: str
    since_ms: int
    until_ms: int  # 0: to the moment of asking
    sent_ms: int = 0  # when the first question left, by the venue's clock
    waiting: dict[str, Request] = {}  # by tag
    found: list[OrderFilled | StatementLine] = []
    whole: bool = True  # every page so far was answered and understood


class Records:
    """Asks one page after the other; a newer question of a kind and market replaces an older.

    `mixed` says that spot is dealt in on margin, where fills can be of another kind. `touch` is
    told every instrument that a fill names.

    A fill of an instrument that is not listed any more cannot be put into ticks and lots: it is
    rejected by name, and the end is told all the same, because it would stand in the way for
    ever; positions and balances are checked by themselves.
    """

    def __init__(
        self,
        listed: Mapping[InstrumentId, Instrument],
        touch: Callable[[InstrumentId], None],
        *,
        mixed: bool,
    ) -> None:
        self._listed = listed
        self._touch = touch
        self._mixed = mixed
        self._open: dict[tuple[str, str], tuple[int, _Walk]] = {}
        self._count = 0
        self._next: list[Request] = []

    def follow_ups(self) -> list[Request]:
        """Further pages; each is handed out once."""
        out, self._next = self._next, []
        return out

    def begin(self, command: QueryFills | QueryStatement, at: Nanos) -> Sequence[Request]:
        """The first questions; ValueError for a market the venue has not.

        One wallet carries every market: a statement is that of the whole wallet, whichever of
        them is named. Both reach back three months at most, and the end says how far.
        """
        if command.market not in KINDS:
            expected = ", ".join(KINDS)
            raise ValueError(f"okx market: found {command.market!r}, expected {expected}")
        now_ms = at // MILLI
        verb, until = "fills", 0
        if isinstance(command, QueryStatement):
            verb, until = "statement", command.until_ms
        since = max(command.since_ms, now_ms - _REACH_MS)
        walk = _Walk(verb, command.market, since, until)
        self._count += 1
        self._open[verb, command.market] = (self._count, walk)
        recent = since >= now_ms - _RECENT_MS[verb]
        path, bucket = (_RECENT if recent else _OLDER)[verb]
        # The documents do not say whether the bounds belong to the range: one is added to each.
        params = {"begin": str(since - 1), "limit": str(_PAGE_ROWS)}
        if until:
            params["end"] = str(until + 1)
        return [
            self._ask(walk, {"instType": kind, **params}, (path, bucket), command.priority)
            for kind in self._kinds(verb, command.market)
        ]

    def _kinds(self, verb: str, market: str) -> Sequence[str]:
        if verb == "statement":
            return ("",)
        return ("SPOT", "MARGIN") if market == "spot" and self._mixed else (KINDS[market],)

    def _ask(
        self, walk: _Walk, params: Mapping[str, str], where: tuple[str, str], rank: Priority
    ) -> Request:
        path, bucket = where
        tag = f"{walk.verb}:{self._count}:{params['instType']}:{walk.market}"
        request = asked(get(path, params, tag, bucket, rank))
        walk.waiting[tag] = request
        return request

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> list[Output]:
        """Nothing, or the next page asked for, until no answer is awaited any more."""
        verb, number, kind, market = answer.tag.split(":", 3)
        count, walk = self._open.get((verb, market), (0, None))
        if walk is None or str(count) != number or answer.tag not in walk.waiting:
            return []  # given up for a newer one
        request = walk.waiting.pop(answer.tag)
        if answer.asked_ms:  # nothing later than the first question is told
            walk.sent_ms = min(walk.sent_ms or answer.asked_ms, answer.asked_ms)
        out: list[Output] = []
        reply = settled(answer)
        if isinstance(reply, Failed):
            walk.whole = False
            out += [told(answer, reply, at), *paused(reply, "", request.cost[0][0], at)]
        else:
            out += self._page(walk, kind, request, reply.data, at)
        if not walk.waiting:
            del self._open[verb, market]
            out += _concluded(walk, _end(walk, at), at)
        return out

    def _page(
        self, walk: _Walk, kind: str, request: Request, data: msgspec.Raw, at: Nanos
    ) -> list[Output]:
        out: list[Output] = []
        try:
            page = RAWS.decode(data)
        except UNREADABLE as error:
            walk.whole = False
            return [rejected("rest", f"{walk.verb}: {error}", data, at)]
        cursor, stamp = "", 0
        for raw in page:
            try:
                cursor, stamp = _place(walk, raw)
                self._row(walk, kind, raw, at)
            except UNREADABLE as error:
                walk.whole = walk.whole and isinstance(error, Unlisted)
                out.append(rejected("rest", f"{walk.verb}: {error}", raw, at))
        if len(page) < _PAGE_ROWS or stamp < walk.since_ms:
            return out
        query = f"{request.query.partition('&after=')[0]}&after={cursor}"
        if query == request.query:
            walk.whole = False
            return [*out, rejected("rest", f"{walk.verb}: the same page again", data, at)]
        more = msgspec.structs.replace(request, query=query)
        walk.waiting[more.tag] = more
        self._next.append(more)
        return out

    def _row(self, walk: _Walk, kind: str, raw: msgspec.Raw, at: Nanos) -> None:
        if walk.verb == "statement":
            line = account.line(rows.BILL.decode(raw), at)
            if walk.since_ms <= line.venue_ms <= _end(walk, at):
                walk.found.append(line)
            return
        row = rows.FILL.decode(raw)
        item = self._listed.get(identity_of(row.instType or kind, row.instId))
        if item is None:
            raise Unlisted(f"instId: {row.instId[:40]!r} is not an instrument okx has listed")
        walk.found.append(account.filled(row, item, at))
        self._touch(item.id)


def _place(walk: _Walk, raw: msgspec.Raw) -> tuple[str, int]:
    """Cursor and time of a row."""
    if walk.verb == "statement":
        bill = rows.BILL.decode(raw)
        return bill.billId, milliseconds(bill.ts, "ts")
    fill = rows.FILL.decode(raw)
    return fill.billId, milliseconds(fill.ts or fill.fillTime, "ts")


def _end(walk: _Walk, at: Nanos) -> int:
    """What is told ends with what was asked for, or when it was asked."""
    sent = walk.sent_ms or at // MILLI
    return max(walk.since_ms, min(walk.until_ms or sent, sent))


def _concluded(walk: _Walk, until_ms: int, at: Nanos) -> list[Output]:
    """What was found, oldest first, and that it was all, where it was."""
    found = walk.found
    found.reverse()
    found.sort(key=lambda one: one.venue_ms)
    if not walk.whole:
        return [*found]
    made = FillsTold if walk.verb == "fills" else StatementTold
    end = made(
        at=at,
        venue=NAME,
        market=walk.market,
        since_ms=walk.since_ms,
        until_ms=until_ms,
    )
    return [*found, end]

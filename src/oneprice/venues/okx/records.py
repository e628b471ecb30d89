"""Everything of a stretch of time, page by page: our fills, and the lines of the one wallet.

Source: API v5, "Get transaction details (last 3 days)", "(last 3 months)", "Get bills details
(last 7 days)", "(last 3 months)". Pages come newest first and go on behind the last row's
billId, so that what happens meanwhile shifts nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from oneprice.model.commands import QueryFills, QueryStatement
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.contract import Answer, Output, Request
from oneprice.venues.okx import NAME, account
from oneprice.venues.okx import private_frames as rows
from oneprice.venues.okx.frames import RAWS, UNREADABLE, milliseconds, rejected
from oneprice.venues.okx.listing import KINDS, identity_of
from oneprice.venues.okx.rest import Failed, asked, get, paused, settled, told
from oneprice.venues.walk import Unlisted, Walk, Walks, verb_of

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


class Records:
    """Asks one page after the other, see `Walks`.

    `mixed` says that spot is dealt in on margin, where fills can be of another kind. `touch` is
    told every instrument that a fill names.
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
        self._walks: Walks[None] = Walks(NAME, newest_first=True)

    def follow_ups(self) -> list[Request]:
        """Further pages; each is handed out once."""
        return self._walks.follow_ups()

    def begin(self, command: QueryFills | QueryStatement, at: Nanos) -> Sequence[Request]:
        """The first questions; ValueError for a market the venue has not.

        One wallet carries every market: a statement is that of the whole wallet, whichever of
        them is named. Both reach back three months at most, and the end says how far.
        """
        if command.market not in KINDS:
            expected = ", ".join(KINDS)
            raise ValueError(f"okx market: found {command.market!r}, expected {expected}")
        now_ms, verb = at // MILLI, verb_of(command)
        walk = self._walks.begin(command, max(command.since_ms, now_ms - _REACH_MS), None)
        recent = walk.since_ms >= now_ms - _RECENT_MS[verb]
        path, bucket = (_RECENT if recent else _OLDER)[verb]
        # The documents do not say whether the bounds belong to the range: one is added to each.
        params = {"begin": str(walk.since_ms - 1), "limit": str(_PAGE_ROWS)}
        if walk.until_ms:
            params["end"] = str(walk.until_ms + 1)
        out = []
        for kind in self._kinds(verb, command.market):
            chosen = {"instType": kind, **params}
            question = get(path, chosen, walk.tag(kind), bucket, walk.priority)
            out.append(walk.ask(asked(question)))
        return out

    def _kinds(self, verb: str, market: str) -> Sequence[str]:
        if verb == "statement":
            return ("",)
        return ("SPOT", "MARGIN") if market == "spot" and self._mixed else (KINDS[market],)

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> list[Output]:
        """Nothing, or the next page asked for, until no answer is awaited any more."""
        heard = self._walks.heard(answer)
        if heard is None:
            return []  # given up for a newer one
        walk, kind, request = heard
        out: list[Output] = []
        reply = settled(answer)
        if isinstance(reply, Failed):
            walk.whole = False
            out += [told(answer, reply, at), *paused(reply, "", request.cost[0][0], at)]
        else:
            out += self._page(walk, kind, request, reply.data, at)
        return [*out, *self._walks.concluded(walk, at)]

    def _page(
        self, walk: Walk[None], kind: str, request: Request, data: msgspec.Raw, at: Nanos
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
                walk.missed(error)
                out.append(rejected("rest", f"{walk.verb}: {error}", raw, at))
        if len(page) < _PAGE_ROWS or stamp < walk.since_ms:
            return out
        query = f"{request.query.partition('&after=')[0]}&after={cursor}"
        if query == request.query:
            walk.whole = False
            return [*out, rejected("rest", f"{walk.verb}: the same page again", data, at)]
        self._walks.later(walk, msgspec.structs.replace(request, query=query))
        return out

    def _row(self, walk: Walk[None], kind: str, raw: msgspec.Raw, at: Nanos) -> None:
        if walk.verb == "statement":
            bill = rows.BILL.decode(raw)
            line = account.line(bill, at)
            walk.keep(line, at)
            if bill.type == account.FUNDING and line.instrument:
                # The question about an account reaches back a week, this one three months.
                walk.keep(account.payment(bill, line.instrument, at), at)
            return
        row = rows.FILL.decode(raw)
        item = self._listed.get(identity_of(row.instType or kind, row.instId))
        if item is None:
            raise Unlisted(f"instId: {row.instId[:40]!r} is not an instrument okx has listed")
        walk.found.append(account.filled(row, item, at))
        self._touch(item.id)


def _place(walk: Walk[None], raw: msgspec.Raw) -> tuple[str, int]:
    """Cursor and time of a row."""
    if walk.verb == "statement":
        bill = rows.BILL.decode(raw)
        return bill.billId, milliseconds(bill.ts, "ts")
    fill = rows.FILL.decode(raw)
    return fill.billId, milliseconds(fill.ts or fill.fillTime, "ts")

"""Everything of a stretch of time, page by page: our fills, and the lines of the wallet.

Source: protocol document, sections 9, 11 and 12. Executions come oldest first, by `start`. The
wallet's own history knows realised profit as one sum a day and contract, booked at 12:00 UTC, and
until then as pending: so a statement is made of the executions, each with its own id, and of the
wallet's other rows.
"""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.commands import QueryFills, QueryStatement
from oneprice.model.events import FundingBooked, OrderFilled
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import InstrumentId, Nanos
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
from oneprice.venues.walk import Unlisted, Walk, Walks

_PAGE_ROWS = 500
_WALLET_ROWS = 10_000
_FILLS = '{"execType":["Trade","Liquidation","Bankruptcy","Settlement"]}'
_MOVING = '{"execType":["Trade","Liquidation","Bankruptcy","Settlement","Funding"]}'


class Records:
    """Asks one page after the other, see `Walks`."""

    def __init__(self, listed: Mapping[InstrumentId, Instrument]) -> None:
        self._listed = listed
        self._walks: Walks[None] = Walks(NAME, newest_first=False)

    def follow_ups(self) -> Sequence[Request]:
        """Further pages; each is handed out once."""
        return self._walks.follow_ups()

    def begin(self, command: QueryFills | QueryStatement, at: Nanos) -> Sequence[Request]:
        """The first questions; ValueError for a market that is not ours."""
        if command.market != MARKET:
            raise ValueError(f"market: expected {MARKET!r}, found {command.market!r}")
        walk = self._walks.begin(command, max(0, command.since_ms), None)
        chosen = _FILLS if walk.verb == "fills" else _MOVING
        rows = {"filter": chosen, "startTime": iso(walk.since_ms), "count": str(_PAGE_ROWS)}
        path = "/execution/tradeHistory"
        if walk.verb == "fills":
            return [_ask(walk, "executions", path, rows)]
        rows |= {"endTime": iso(walk.until_ms)} if walk.until_ms else {}
        # It takes no range, and says not in which order several currencies come.
        wallet = {"currency": "all", "count": str(_WALLET_ROWS)}
        return [
            _ask(walk, "executions", path, rows),
            _ask(walk, "wallet", "/user/walletHistory", wallet),
        ]

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Nothing, or the next page asked for, until no answer is awaited any more."""
        heard = self._walks.heard(answer)
        if heard is None:
            return ()  # given up for a newer one
        walk, what, request = heard
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
                out.append(unread(walk.verb, "unreadable_answer", shown, at))
        return [*out, *self._walks.concluded(walk, at)]

    def _page(
        self,
        walk: Walk[None],
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
                why = "unlisted" if walk.missed(error) else "unreadable_row"
                out.append(unread(walk.verb, why, f"{what}: {error} | {excerpt(raw)}", at))
        if len(rows) >= (_PAGE_ROWS if what == "executions" else _WALLET_ROWS):
            query, _, start = request.query.partition("&start=")
            further = f"{query}&start={int(start or 0) + len(rows)}"
            self._walks.later(walk, msgspec.structs.replace(request, query=further))
        return out

    def _row(self, walk: Walk[None], what: str, raw: msgspec.Raw, at: Nanos) -> None:
        if walk.verb == "fills":
            done = EXECUTION.decode(raw)
            item = self._listed.get(instrument_id(NAME, MARKET, done.symbol))
            if item is None:
                raise Unlisted(f"symbol: {done.symbol[:40]!r} is not an instrument bitmex lists")
            event = account.execution(done, item, at)
            if isinstance(event, OrderFilled):
                walk.found.append(event)
            return
        if what == "wallet":
            line = statement.wallet(WALLET.decode(raw), at)
            if line is not None:
                walk.keep(line, at)
            return
        moved = EXECUTION.decode(raw)
        line = statement.execution(moved, self._listed, at)
        if line is None:
            return
        walk.keep(line, at)
        if line.kind == "funding" and line.instrument:
            # The question about an account brings the last hundred, this one all of them.
            paid = account.execution(moved, self._listed[line.instrument], at)
            if isinstance(paid, FundingBooked):
                walk.keep(paid, at)


def _ask(walk: Walk[None], what: str, path: str, params: Mapping[str, str]) -> Request:
    request = get(path, params, walk.tag(what), "rest")
    return walk.ask(msgspec.structs.replace(request, priority=walk.priority))

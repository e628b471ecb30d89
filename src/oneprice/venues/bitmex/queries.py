"""Conversations of several questions: what became of an order, and how the account stands.

Source: protocol document, sections 9, 11 and 12.
"""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.commands import Priority, QueryAccount, QueryOrder
from oneprice.model.events import (
    AccountChecked,
    AnyEvent,
    OrderFilled,
    OrderMissing,
    OrderUncertain,
    PositionModeReported,
    PositionReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Lots, Nanos
from oneprice.venues.bitmex import MARKET, NAME, account
from oneprice.venues.bitmex.listing import CURRENCIES, known
from oneprice.venues.bitmex.rest import failure, get, pauses, told, unread
from oneprice.venues.bitmex.wire import (
    COMMISSIONS,
    EXECUTION,
    MARGIN,
    ORDER,
    POSITION,
    ROWS,
    UNREADABLE,
    OrderRow,
    count,
    excerpt,
)
from oneprice.venues.contract import Answer, Output, Request

_PAGE_ROWS = 500
_FUNDING_ROWS = 100


class _Asking(msgspec.Struct):
    """One conversation: the questions not answered yet and what the others brought."""

    kind: str  # query or account
    subject: str  # the order id, or the market
    waiting: dict[str, Request]  # by tag
    failed: dict[str, None]  # what
    orders: list[OrderRow]
    fills: list[OrderFilled]
    held: dict[InstrumentId, None]
    hedged: bool = False
    item: Instrument | None = None


class Inquiries:
    """Asks and collects. Pages beyond the first wait in `follow_ups` for the shell to send."""

    def __init__(self, listed: Mapping[InstrumentId, Instrument]) -> None:
        self._listed = listed
        self._open: dict[tuple[str, str], tuple[int, _Asking]] = {}
        self._count = 0
        self._touched: dict[InstrumentId, None] = {}
        self._next: list[Request] = []

    def touch(self, instrument: InstrumentId) -> None:
        """We dealt in it: the next account check states it even where it is flat."""
        self._touched[instrument] = None

    def follow_ups(self) -> Sequence[Request]:
        """Questions that answers made necessary; each is handed out once."""
        out, self._next = self._next, []
        return out

    # Asking -----------------------------------------------------------------------------

    def order(self, command: QueryOrder, item: Instrument) -> Sequence[Request]:
        """The order and its fills by our id, at once: the answers settle it together."""
        chosen = {"symbol": item.symbol, "filter": f'{{"clOrdID":"{command.order_id}"}}'}
        chosen["count"] = str(_PAGE_ROWS)
        plan = {
            "order": ("/order", {**chosen, "reverse": "true"}),
            "fills": ("/execution/tradeHistory", chosen),
        }
        return self._ask("query", command.order_id, command.priority, plan, item)

    def account(self, command: QueryAccount) -> Sequence[Request]:
        """ValueError for a market that is not ours."""
        if command.market != MARKET:
            raise ValueError(f"market: expected {MARKET!r}, found {command.market!r}")
        funding = {"filter": '{"execType":"Funding"}', "count": str(_FUNDING_ROWS)}
        plan: dict[str, tuple[str, dict[str, str]]] = {
            "margin": ("/user/margin", {"currency": "all"}),
            "positions": ("/position", {"count": str(_PAGE_ROWS)}),
            "orders": ("/order", {"filter": '{"open":true}', "count": str(_PAGE_ROWS)}),
            "fees": ("/user/commission", {}),
            "funding": ("/execution/tradeHistory", {**funding, "reverse": "true"}),
        }
        return self._ask("account", command.market, command.priority, plan, None)

    def _ask(
        self,
        kind: str,
        subject: str,
        priority: Priority,
        plan: Mapping[str, tuple[str, dict[str, str]]],
        item: Instrument | None,
    ) -> Sequence[Request]:
        self._count += 1
        requests = [
            msgspec.structs.replace(
                get(path, params, f"{kind}:{self._count}:{what}:{subject}", "rest"),
                priority=priority,
                order_id=subject if kind == "query" else "",
            )
            for what, (path, params) in plan.items()
        ]
        waiting = {request.tag: request for request in requests}
        asking = _Asking(kind, subject, waiting, {}, [], [], {}, item=item)
        self._open[kind, subject] = (self._count, asking)  # an older one is given up
        return requests

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        kind, number, what, subject = answer.tag.split(":", 3)
        found, asking = self._open.get((kind, subject), (0, None))
        if asking is None or str(found) != number or answer.tag not in asking.waiting:
            return ()  # of a conversation that was given up for a newer one
        request = asking.waiting.pop(answer.tag)
        out: list[Output] = []
        failed = failure(answer)
        if failed is not None:
            asking.failed[what] = None
            out += [told(answer, failed, at), *pauses(failed, answer, "rest", at)]
        else:
            try:
                out += self._read(asking, what, request, answer.body, at)
            except UNREADABLE as error:
                asking.failed[what] = None
                shown = f"{what}: {error} | {excerpt(answer.body)}"
                out.append(unread(kind, "unreadable_answer", shown, at))
        if not asking.waiting:
            del self._open[kind, subject]
            out += self._settled(asking, at)
        return out

    def _read(
        self, asking: _Asking, what: str, request: Request, body: bytes, at: Nanos
    ) -> Sequence[Output]:
        if what == "fees":
            fees = COMMISSIONS.decode(body)
            return [account.fees(symbol, row, at) for symbol, row in fees.items()]
        out: list[Output] = []
        # One margin is told as a row alone, all of them as a list.
        rows = [msgspec.Raw(body)] if body[:1] == b"{" else ROWS.decode(body)
        for raw in rows:
            try:
                out += self._row(asking, what, raw, at)
            except UNREADABLE as error:
                asking.failed[what] = None
                shown = f"{what}: {error} | {excerpt(raw)}"
                out.append(unread(asking.kind, "unreadable_row", shown, at))
        if len(rows) >= _PAGE_ROWS and what != "funding":
            self._page_after(asking, request, len(rows))
        return out

    def _page_after(self, asking: _Asking, request: Request, rows: int) -> None:
        query, _, start = request.query.partition("&start=")
        more = msgspec.structs.replace(request, query=f"{query}&start={int(start or 0) + rows}")
        asking.waiting[more.tag] = more
        self._next.append(more)

    def _row(self, asking: _Asking, what: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        match what:
            case "order":
                row = ORDER.decode(raw)
                if row.client_id == asking.subject:
                    asking.orders.append(row)
            case "fills" | "funding":
                done = EXECUTION.decode(raw)
                event = account.execution(done, known(self._listed, done.symbol), at)
                if what == "funding":
                    return () if event is None else (event,)
                if isinstance(event, OrderFilled) and event.order_id == asking.subject:
                    asking.fills.append(event)
            case "margin":
                margin = MARGIN.decode(raw)
                # Nothing listed here settles in a coin whose scale we do not know.
                if margin.currency in CURRENCIES:
                    return (account.balance(margin, at),)
            case "positions":
                return self._position(asking, raw, at)
            case "orders":
                row = ORDER.decode(raw)
                return (account.open_order(row, known(self._listed, row.symbol), at),)
        return ()

    def _position(self, asking: _Asking, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        place = POSITION.decode(raw)
        if account.is_hedged(place):
            asking.hedged = True
        item = self._listed.get(f"{NAME}:{MARKET}:{place.symbol}")
        if item is None and not count(place.current_qty, "currentQty"):
            return ()  # of a contract that has ended
        item = known(self._listed, place.symbol)
        asking.held[item.id] = None
        return (account.position(place, item, at), *account.leverage(place, item, at))

    # Conclusions ------------------------------------------------------------------------

    def _settled(self, asking: _Asking, at: Nanos) -> Sequence[AnyEvent]:
        if asking.kind == "query":
            return self._order_settled(asking, at)
        out: list[AnyEvent] = []
        if "positions" not in asking.failed or asking.hedged:
            # Positions are netted unless rows are marked long or short (section 12).
            out.append(
                PositionModeReported(
                    at=at,
                    venue=NAME,
                    market=MARKET,
                    mode="hedge" if asking.hedged else "one_way",
                )
            )
        if asking.failed:
            return out  # each failure has been told; nobody may rely on this check
        out += [
            PositionReported(at=at, instrument=name, lots=Lots(0))
            for name in self._touched
            if name not in asking.held
        ]
        self._touched |= asking.held
        return [*out, AccountChecked(at=at, venue=NAME, market=asking.subject)]

    def _order_settled(self, asking: _Asking, at: Nanos) -> Sequence[AnyEvent]:
        """Fills first, then the state; missing where both answered and neither knows it.

        Where a question failed nothing is concluded: whoever asked will ask again.
        """
        asking.fills.sort(key=lambda fill: (fill.venue_ms, fill.fill_id))
        out: list[AnyEvent] = [*asking.fills]
        # An id may be used again after a while: an end outranks, and the newest comes first.
        ended = [row for row in asking.orders if row.ord_status in account.ENDED]
        row = next(iter(ended or asking.orders), None)
        if row is None or asking.item is None:
            if asking.failed or asking.fills:
                return out
            return [OrderMissing(at=at, order_id=asking.subject)]
        try:
            state = account.order(row, asking.item, at)
        except UNREADABLE:
            return out  # told as a row that cannot be read would be: nothing is concluded
        if state is None or isinstance(state, OrderUncertain):
            return out
        if row.cum_qty and "fills" in asking.failed:
            return out
        return [*out, state]

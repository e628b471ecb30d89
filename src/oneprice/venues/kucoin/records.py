"""Everything of a stretch of time, page by page: our fills, and the lines of a wallet.

Source: KuCoin API docs, "Get Trade History" (spot, futures), "Get Recent Trade History", "Get
Account Ledgers - Trade_hf" and "- Futures", "Get Order By OrderId". A fill names its order by the
venue's id alone: an order that nobody told us of is asked for once.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from oneprice.model.commands import QueryFills, QueryStatement
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import MILLI, InstrumentId, Nanos, OrderId
from oneprice.venues.contract import Answer, Output, Request
from oneprice.venues.kucoin import MARKETS, NAME, account, statement
from oneprice.venues.kucoin.rest import Failed, get, paused, read, told, unread
from oneprice.venues.kucoin.rows import ENTRY, FILL, LEDGER, ORDER, PAGE, FillRow
from oneprice.venues.kucoin.wire import ROWS, UNREADABLE, excerpt, milliseconds
from oneprice.venues.walk import Unlisted, Walk, Walks, verb_of

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_SPOT_REACH_MS = 7 * _DAY_MS - _HOUR_MS  # of fills; more is cut off by the venue without a word
_LEDGER_REACH_MS = 3 * _DAY_MS - _HOUR_MS  # of the spot wallet, alike
_FUTURES_REACH_MS = 89 * _DAY_MS  # three months are kept
# A week may be asked for at once; half a day is left: the last window ends when it is sent.
_FILLS_WINDOW_MS = 13 * _DAY_MS // 2
_LEDGER_WINDOW_MS = _DAY_MS  # nothing is said for futures; a day is the least of any ledger
_RECENT_MS = 23 * _HOUR_MS  # the recent fills are those of a day, a thousand at most
_RECENT_ROWS = 1000
_AHEAD_MS = 60_000  # the venue's clock may be ahead of ours
_SPOT_ROWS, _FUTURES_ROWS = 100, 200
_LEDGER_ROWS, _ENTRY_ROWS = 200, 50
_NAMES_MAX = 8_192  # what we remember of orders must not fill the memory

_Page = tuple[str, str, dict[str, str], tuple[str, int]]  # what, path, parameters, cost


class _Side(msgspec.Struct):
    """What KuCoin needs beside a walk: ends of questions, and fills of orders without a name."""

    ends: dict[str, int] = {}  # by tag: open ends of questions, 0 until they are sent
    unnamed: dict[str, list[tuple[FillRow, Instrument]]] = {}  # by the venue's order id


_Walk = Walk[_Side]


class Records:
    """Asks one page after the other, see `Walks`.

    `spot` names the symbols to ask for, because spot tells fills by symbol only; `touch` is told
    every instrument that a fill names.
    """

    def __init__(
        self,
        listed: Mapping[InstrumentId, Instrument],
        spot: Callable[[], Sequence[Instrument]],
        touch: Callable[[InstrumentId], None],
    ) -> None:
        self._listed = listed
        self._spot = spot
        self._touch = touch
        self._names: dict[str, OrderId] = {}  # the venue's order id -> ours, "" where not ours
        self._walks: Walks[_Side] = Walks(NAME, newest_first=True)

    def name(self, venue_order_id: str, order_id: OrderId) -> None:
        """The venue told what it calls an order."""
        self._names[venue_order_id] = order_id
        if len(self._names) > _NAMES_MAX:
            del self._names[next(iter(self._names))]

    def follow_ups(self) -> Sequence[Request]:
        """Further questions; each is handed out once."""
        return self._walks.follow_ups()

    # Asking -----------------------------------------------------------------------------

    def begin(self, command: QueryFills | QueryStatement, at: Nanos) -> Sequence[Request]:
        """The first questions; ValueError for a market the venue has not.

        It keeps fills for seven days (spot) and three months (futures), the spot ledger for three
        days: the end says how far back that was.
        """
        market, now_ms = command.market, at // MILLI
        if market not in MARKETS:
            raise ValueError(f"market: expected spot or futures, found {market!r}")
        verb = verb_of(command)
        reach = _FUTURES_REACH_MS
        if market == "spot":
            reach = _SPOT_REACH_MS if verb == "fills" else _LEDGER_REACH_MS
        walk = self._walks.begin(command, max(command.since_ms, now_ms - reach), _Side())
        match (verb, market):
            case ("fills", "spot"):
                plan = self._spot_fills(walk)
            case ("fills", _):
                plan = [("recent", "/api/v1/recentFills", {}, ("futures", 3))]
                if walk.since_ms < now_ms - _RECENT_MS:
                    plan += _futures_fills(walk, now_ms)
            case (_, "spot"):
                params = {"limit": str(_LEDGER_ROWS), **_span(walk.since_ms, walk.until_ms)}
                plan = [("ledger", "/api/v1/hf/accounts/ledgers", params, ("spot", 2))]
            case _:
                plan = _futures_ledger(walk, now_ms)
        return [walk.ask(_question(walk, *page)) for page in plan]

    def _spot_fills(self, walk: _Walk) -> list[_Page]:
        span = _span(walk.since_ms, 0)
        return [
            (
                f"spot.{item.symbol}",
                "/api/v1/hf/fills",
                {"symbol": item.symbol, "limit": str(_SPOT_ROWS), **span},
                ("spot", 2),
            )
            for item in self._spot()
        ]

    def stamped(self, request: Request, venue_ms: int) -> Request:
        """The question as it leaves at this moment of the venue's clock.

        An open end is filled in, because with one bound alone the venue makes up the other; of
        fills with some room, for whoever knows the venue's clock badly.
        """
        walk = self._walks.of(request.tag)
        if walk is None or request.tag not in walk.side.ends:
            return request
        room = _AHEAD_MS if walk.verb == "fills" else 0
        end = walk.side.ends[request.tag] or max(walk.since_ms, venue_ms + room)
        walk.side.ends[request.tag] = end
        return msgspec.structs.replace(request, query=f"{request.query}&endAt={end}")

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Nothing, or further questions, until no answer is awaited any more."""
        heard = self._walks.heard(answer)
        if heard is None:
            return ()  # given up for a newer one
        walk, what, request = heard
        out: list[Output] = []
        reply = read(answer)
        if not isinstance(reply, Failed):
            out += self._take(walk, what, request, reply.data, at)
        elif what.startswith("order.") and reply.reason == "no_such_order":
            # Older than what the venue keeps of orders: it was not under way when we began.
            self._named(walk, what.partition(".")[2], "", at)
        else:
            walk.whole = False
            out += [told(answer, reply, at), *paused(reply, answer, request.cost[0][0], at)]
        if walk.side.unnamed and not walk.waiting:
            walk.whole = False
        return [*out, *self._walks.concluded(walk, at)]

    def _take(
        self, walk: _Walk, what: str, request: Request, data: msgspec.Raw, at: Nanos
    ) -> list[Output]:
        try:
            match what.partition("+")[0].partition(".")[0]:
                case "order":
                    self._named(walk, what.partition(".")[2], _client(data), at)
                    return []
                case "ledger":
                    return self._ledger(walk, what, request, ROWS.decode(data), at)
                case "recent":
                    return self._recent(walk, ROWS.decode(data), at)
                case "entries":
                    return self._entries(walk, what, request, data, at)
            return self._fills(walk, what, request, data, at)
        except UNREADABLE as error:
            walk.whole = False
            shown = f"{what}: {error} | {excerpt(data)}"
            return [unread(walk.verb, "unreadable_answer", shown, at)]

    def _more(self, walk: _Walk, what: str, request: Request, further: str) -> None:
        """The next page: the same question behind `further`, e.g. "lastId=5"."""
        name = further.partition("=")[0]
        kept = [one for one in request.query.split("&") if not one.startswith(f"{name}=")]
        query = "&".join([*kept, further])
        if query == request.query:
            raise ValueError(f"{name}: expected another than before, found the same")
        kind, _, turned = what.partition("+")
        tag = walk.tag(f"{kind}+{int(turned or 0) + 1}")
        if request.tag in walk.side.ends:
            walk.side.ends[tag] = walk.side.ends[request.tag]  # all pages are of one question
        self._walks.later(walk, msgspec.structs.replace(request, tag=tag, query=query))

    # Fills ------------------------------------------------------------------------------

    def _fills(
        self, walk: _Walk, what: str, request: Request, data: msgspec.Raw, at: Nanos
    ) -> list[Output]:
        page = PAGE.decode(data)
        out = self._fill_rows(walk, page.rows, at)
        if what.startswith("spot."):
            if len(page.rows) >= _SPOT_ROWS and page.last_id is not None:
                self._more(walk, what, request, f"lastId={page.last_id}")
        elif page.current_page < page.total_page:
            self._more(walk, what, request, f"currentPage={page.current_page + 1}")
        return out

    def _recent(self, walk: _Walk, rows: Sequence[msgspec.Raw], at: Nanos) -> list[Output]:
        """A thousand may be cut off: then the slower list is asked, too."""
        out = self._fill_rows(walk, rows, at)
        # A full list is taken for one that was cut: the slower one has everything again.
        asked = any("recent" not in tag for tag in walk.waiting)
        if len(rows) >= _RECENT_ROWS and not asked:
            for page in _futures_fills(walk, at // MILLI):
                self._walks.later(walk, _question(walk, *page))
        return out

    def _fill_rows(self, walk: _Walk, rows: Sequence[msgspec.Raw], at: Nanos) -> list[Output]:
        out: list[Output] = []
        for raw in rows:
            try:
                self._fill_row(walk, FILL.decode(raw), at)
            except UNREADABLE as error:
                why = "unlisted" if walk.missed(error) else "unreadable_row"
                out.append(unread(walk.verb, why, f"fill: {error} | {excerpt(raw)}", at))
        return out

    def _fill_row(self, walk: _Walk, row: FillRow, at: Nanos) -> None:
        stamp = milliseconds(row.created_at, "createdAt")
        if stamp and stamp < walk.since_ms - _AHEAD_MS:
            return  # of a list that takes no range
        item = self._listed.get(instrument_id(NAME, walk.market, row.symbol))
        if item is None:
            raise Unlisted(f"symbol: {row.symbol[:40]!r} is not an instrument kucoin has listed")
        self._touch(item.id)
        order = str(row.order_id)
        name = "" if account.cause_of(row.trade_type) != "trade" else self._names.get(order)
        if name is not None:
            walk.found.append(account.fill(row, item, name, at))
            return
        account.fill(row, item, "", at)  # what cannot be read fails here, with its page
        if order not in walk.side.unnamed:
            self._walks.later(walk, _about_order(walk, order, item))
        walk.side.unnamed.setdefault(order, []).append((row, item))

    def _named(self, walk: _Walk, order: str, name: OrderId, at: Nanos) -> None:
        self.name(order, name)
        for row, item in walk.side.unnamed.pop(order, []):
            walk.found.append(account.fill(row, item, name, at))

    # Lines ------------------------------------------------------------------------------

    def _ledger(
        self,
        walk: _Walk,
        what: str,
        request: Request,
        rows: Sequence[msgspec.Raw],
        at: Nanos,
    ) -> list[Output]:
        """A page of the spot wallet: newest first, and on behind the last id."""
        out, last = [], ""
        for raw in rows:
            try:
                row = LEDGER.decode(raw)
                last = str(row.id)
                walk.keep(statement.spot(row, self._listed, at), at)
            except UNREADABLE as error:
                out.append(_lost(walk, error, raw, at))
        if len(rows) >= _LEDGER_ROWS:
            self._more(walk, what, request, f"lastId={last}")
        return out

    def _entries(
        self, walk: _Walk, what: str, request: Request, data: msgspec.Raw, at: Nanos
    ) -> list[Output]:
        """A page of the futures wallet: newest first, and on behind the least offset."""
        page = PAGE.decode(data)
        out: list[Output] = []
        offsets: list[int] = []
        for raw in page.rows:
            try:
                row = ENTRY.decode(raw)
                offsets += [row.offset] if row.offset > 0 else []
                line = statement.futures(row, self._listed, at)
                if line is not None:
                    walk.keep(line, at)
            except UNREADABLE as error:
                out.append(_lost(walk, error, raw, at))
        if page.has_more:
            self._more(walk, what, request, f"offset={min(offsets)}")
        return out


def _question(
    walk: _Walk, what: str, path: str, params: Mapping[str, str], cost: tuple[str, int]
) -> Request:
    tag = walk.tag(what)
    if "startAt" in params and "endAt" not in params:
        walk.side.ends[tag] = 0
    question = get(walk.market, path, params, tag, cost)
    return msgspec.structs.replace(question, signed=True, priority=walk.priority)


def _about_order(walk: _Walk, order: str, item: Instrument) -> Request:
    if walk.market == "spot":
        path, params = f"/api/v1/hf/orders/{order}", {"symbol": item.symbol}
        return _question(walk, f"order.{order}", path, params, ("spot", 2))
    return _question(walk, f"order.{order}", f"/api/v1/orders/{order}", {}, ("futures", 5))


def _lost(walk: _Walk, error: Exception, raw: msgspec.Raw, at: Nanos) -> Output:
    walk.whole = False
    return unread(walk.verb, "unreadable_row", f"line: {error} | {excerpt(raw)}", at)


def _client(data: msgspec.Raw) -> OrderId:
    """Our id of an order, "" where the venue knows none or no longer knows the order."""
    return "" if bytes(data) in (b"", b"null") else ORDER.decode(data).client_oid or ""


def _span(start_ms: int, end_ms: int) -> dict[str, str]:
    """A range; without an end it ends when it is sent."""
    start = {"startAt": str(start_ms)}
    return start | {"endAt": str(end_ms)} if end_ms else start


def _windows(walk: _Walk, length_ms: int, now_ms: int) -> list[dict[str, str]]:
    """The stretch in parts of such a length; the last one is open where the stretch is."""
    end = walk.until_ms or max(now_ms, walk.since_ms)
    starts = range(walk.since_ms, end + 1, length_ms)
    spans = [_span(start, min(start + length_ms - 1, end)) for start in starts]
    if not walk.until_ms:
        del spans[-1]["endAt"]
    return spans


def _futures_fills(walk: _Walk, now_ms: int) -> list[_Page]:
    size = {"pageSize": str(_FUTURES_ROWS)}
    return [
        (f"futures.{place}", "/api/v1/fills", size | span, ("futures", 5))
        for place, span in enumerate(_windows(walk, _FILLS_WINDOW_MS, now_ms))
    ]


def _futures_ledger(walk: _Walk, now_ms: int) -> list[_Page]:
    size = {"maxCount": str(_ENTRY_ROWS)}
    return [
        (f"entries.{place}", "/api/v1/transaction-history", size | span, ("futures", 2))
        for place, span in enumerate(_windows(walk, _LEDGER_WINDOW_MS, now_ms))
    ]

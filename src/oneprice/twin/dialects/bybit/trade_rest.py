"""Order calls of REST: create, amend, cancel, batches, open orders, history, executions."""

from collections.abc import Callable

import msgspec

from oneprice.model.units import HOUR, MILLI
from oneprice.twin.contract import AccountSpec, Exchange, Fill, Order
from oneprice.twin.dialects.bybit.envelope import (
    BAD_PARAMETER,
    TOO_MANY_VISITS,
    Answer,
    Failure,
    Row,
    millis,
    stamp,
)
from oneprice.twin.dialects.bybit.facts import Sheets
from oneprice.twin.dialects.bybit.fields import CATEGORIES, Fields, invalid, span
from oneprice.twin.dialects.bybit.order_entry import OrderEntry
from oneprice.twin.dialects.bybit.order_rows import EXEC_TYPES, OrderRows, status
from oneprice.twin.dialects.bybit.paging import page

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
KEPT_NS = 24 * HOUR  # cancelled orders without fills leave the history after this
RECENT = 500  # closed orders that order/realtime still shows
BATCH_MOST = {"linear": 20, "inverse": 20, "spot": 10}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One private request: who, what, when, and how many of its orders the limiter let pass."""

    account: AccountSpec
    category: str
    fields: Fields
    at: int
    passed: int


Handler = Callable[[Call], Row | Answer]
Action = Callable[[AccountSpec, str, Fields, int], Row]


class TradeRest:
    """Handlers of /v5/order and /v5/execution; the batch ones serve the trade socket too."""

    def __init__(
        self, exchange: Exchange, sheets: Sheets, entry: OrderEntry, rows: OrderRows
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._entry = entry
        self._rows = rows
        self.restarted_at = 0  # closed orders older than this are gone from order/realtime

    def posts(self) -> dict[str, Handler]:
        """Every POST path of this module."""
        entry = self._entry
        return {
            "/v5/order/create": lambda call: _single(entry.create, call),
            "/v5/order/amend": lambda call: _single(entry.amend, call),
            "/v5/order/cancel": lambda call: _single(entry.cancel, call),
            "/v5/order/cancel-all": lambda call: _single(entry.cancel_all, call),
            "/v5/order/create-batch": lambda call: self.batch(call, entry.create, stamped=True),
            "/v5/order/amend-batch": lambda call: self.batch(call, entry.amend),
            "/v5/order/cancel-batch": lambda call: self.batch(call, entry.cancel),
        }

    def gets(self) -> dict[str, Handler]:
        """Every GET path of this module."""
        return {
            "/v5/order/realtime": self.realtime,
            "/v5/order/history": self.history,
            "/v5/execution/list": self.executions,
        }

    def batch(self, call: Call, action: Action, *, stamped: bool = False) -> Answer:
        """Each item by itself; code 0 whatever happened to them (section 5.5)."""
        items = call.fields.raw("request")
        if not isinstance(items, list) or not items:
            raise Failure(BAD_PARAMETER, "params error: request is required")
        if len(items) > BATCH_MOST[call.category]:
            raise Failure(BAD_PARAMETER, f"params error: more than {BATCH_MOST[call.category]} "
                          "orders in one request")
        rows, verdicts = [], []
        for number, item in enumerate(items):
            fields = Fields(item if isinstance(item, dict) else {})
            row = {"category": call.category, "symbol": str(fields.raw("symbol") or "")}
            try:
                if number >= call.passed:
                    raise Failure(TOO_MANY_VISITS, "Too many visits!")
                row |= action(call.account, call.category, fields, call.at)
                verdict, created = {"code": 0, "msg": "OK"}, stamp(call.at)
            except Failure as failure:
                row |= {"orderId": "", "orderLinkId": str(fields.raw("orderLinkId") or "")}
                verdict, created = {"code": failure.code, "msg": failure.text}, ""
            rows.append(row | {"createAt": created} if stamped else row)
            verdicts.append(verdict)
        return Answer({"list": rows}, {"list": verdicts})

    # Orders ----------------------------------------------------------------------------------

    def realtime(self, call: Call) -> Row:
        """Open orders, or with `openOnly` 1 or an id also recently closed ones (section 5.6)."""
        fields = call.fields
        if "orderId" in fields or "orderLinkId" in fields:
            found = self._entry.seek(call.account, call.category, fields)
            gone = found is None or (not found.open and found.updated_at < self.restarted_at)
            return self._order_page(call, [] if gone or found is None else [found], 20, 50)
        narrowing = ("symbol", "baseCoin", "settleCoin")
        if call.category == "linear" and not any(name in fields for name in narrowing):
            raise Failure(BAD_PARAMETER, "params error: symbol, baseCoin or settleCoin required")
        closed = fields.whole("openOnly", 0, 0, 2) != 0
        orders = self._orders(call, only_open=not closed)
        if closed:
            orders = [
                one for one in orders if not one.open and one.updated_at >= self.restarted_at
            ][-RECENT:]
        return self._order_page(call, orders, 20, 50)

    def history(self, call: Call) -> Row:
        """Closed orders of a span; those without fills are forgotten after a day."""
        fields = call.fields
        start, end = span(fields, millis(call.at), default_ms=WEEK_MS, longest_ms=WEEK_MS)
        if "orderId" in fields or "orderLinkId" in fields:
            found = self._entry.seek(call.account, call.category, fields)
            orders = [found] if found is not None else []
        else:
            orders = [
                one
                for one in self._orders(call, only_open=False)
                if start <= millis(one.created_at) <= end
            ]
        wanted = fields.text("orderStatus")
        kept = [
            one
            for one in orders
            if not one.open
            and (one.filled_lots or one.updated_at > call.at - KEPT_NS)
            and wanted in ("", status(one, call.category == "spot"))
        ]
        return self._order_page(call, kept, 20, 50)

    def _orders(self, call: Call, *, only_open: bool) -> list[Order]:
        orders = self._exchange.orders(
            call.account.key, market=call.category, only_open=only_open
        )
        return [
            one
            for one in orders
            if self._entry.matches(self._sheets.by_id[one.instrument], call.fields)
        ]

    def _order_page(self, call: Call, orders: list[Order], usual: int, most: int) -> Row:
        numbered = [(one.id, one) for one in sorted(orders, key=lambda one: -one.id)]
        shown, cursor = page(numbered, call.fields, usual, most)
        return {
            "category": call.category,
            "nextPageCursor": cursor,
            "list": [self._rows.order(one) for one in shown],
        }

    # Executions ------------------------------------------------------------------------------

    def executions(self, call: Call) -> Row:
        """Fills and funding of a span, newest first; an id overrides every other filter."""
        fields = call.fields
        key = call.account.key
        rows: list[tuple[int, Row]] = []
        if "orderId" in fields or "orderLinkId" in fields:
            order = self._entry.seek(call.account, call.category, fields)
            if order is not None:
                fills = self._exchange.fills(key, order_id=order.id)
                rows = [(fill.id, self._rows.execution(fill, order)) for fill in fills]
        else:
            start, end = span(fields, millis(call.at), default_ms=WEEK_MS, longest_ms=WEEK_MS)
            first, last = start * MILLI, end * MILLI + MILLI - 1
            kind = fields.text("execType")
            if kind and kind not in EXEC_TYPES:
                raise invalid("execType", kind)
            drawn = [self._fill_row(key, fill) for fill in self._fills(call, first, last)]
            rows = [one for one in drawn if kind in ("", one[1]["execType"])]
            if kind in ("", "Funding"):
                rows += self._funding_rows(call, first, last)
        rows.sort(key=lambda one: -one[0])
        shown, cursor = page(rows, fields, 50, 100)
        return {"category": call.category, "nextPageCursor": cursor, "list": shown}

    def _fills(self, call: Call, first: int, last: int) -> list[Fill]:
        return [
            fill
            for fill in self._exchange.fills(call.account.key, market=call.category)
            if first <= fill.at <= last
            and self._entry.matches(self._sheets.by_id[fill.instrument], call.fields)
        ]

    def _fill_row(self, key: str, fill: Fill) -> tuple[int, Row]:
        return fill.id, self._rows.execution(fill, self._exchange.order(key, fill.order_id))

    def _funding_rows(self, call: Call, first: int, last: int) -> list[tuple[int, Row]]:
        return [
            (paid.id, self._rows.funding(paid, call.account.uid, paid.id))
            for paid in self._exchange.fundings(call.account.key, market=call.category)
            if first <= paid.at <= last
            and self._entry.matches(self._sheets.by_id[paid.instrument], call.fields)
        ]


def _single(action: Action, call: Call) -> Row:
    return action(call.account, call.category, call.fields, call.at)


def category_of(path: str, fields: Fields) -> str:
    """The category that a private call is about; account calls have none."""
    names_category = path != "/v5/order/disconnected-cancel-all"
    if names_category and path.startswith(("/v5/order/", "/v5/execution/", "/v5/position/")):
        return fields.category()
    text = fields.text("category")
    return text if text in CATEGORIES else ""

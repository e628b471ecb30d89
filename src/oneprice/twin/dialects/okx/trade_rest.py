"""Order calls of REST: single, batch, closing, queries of orders and fills."""

from collections.abc import Callable

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.units import HOUR, MILLI, Side
from oneprice.twin.contract import (
    AccountSpec,
    Exchange,
    Fill,
    Kind,
    Order,
    OrderRequest,
    Refusal,
)
from oneprice.twin.dialects.okx.deadman import DeadMan
from oneprice.twin.dialects.okx.envelope import Answer, Failure, Row, summary
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.fields import Fields, page, wrong
from oneprice.twin.dialects.okx.limits import Limiter
from oneprice.twin.dialects.okx.names import BILL_BASE, ORDER_BASE, order_number
from oneprice.twin.dialects.okx.notes import Notes
from oneprice.twin.dialects.okx.order_entry import POSITION_INDEXES, OrderEntry, refused
from oneprice.twin.dialects.okx.order_rows import OrderRows
from oneprice.twin.dialects.okx.refusals import failure

DAY_NS = 24 * HOUR
BATCH_MOST = 20
FORGOTTEN_NS = 2 * HOUR  # cancelled orders without fills leave orders-history after this

Operation = Callable[[AccountSpec, Sheet, Fields, int], Row]
Locate = Callable[[Fields], Sheet]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One private request: who, what, when. `items` has one element unless it was an array."""

    account: AccountSpec
    items: list[Fields]
    at: int

    @property
    def fields(self) -> Fields:
        return self.items[0]


Handler = Callable[[Call], Answer]


class TradeRest:
    """Handlers of /api/v5/trade; `operate` serves the private socket, too."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        entry: OrderEntry,
        rows: tuple[OrderRows, Notes],
        limiter: Limiter,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._entry = entry
        self._rows, self._notes = rows
        self._limiter = limiter
        self.dead_man = DeadMan(exchange, self._notes)

    def posts(self) -> dict[str, Handler]:
        """Every POST path of this module."""
        return {
            "/api/v5/trade/order": lambda call: self._single(call, "place"),
            "/api/v5/trade/batch-orders": lambda call: self._batch(call, "place"),
            "/api/v5/trade/cancel-order": lambda call: self._single(call, "cancel"),
            "/api/v5/trade/cancel-batch-orders": lambda call: self._batch(call, "cancel"),
            "/api/v5/trade/amend-order": lambda call: self._single(call, "amend"),
            "/api/v5/trade/amend-batch-orders": lambda call: self._batch(call, "amend"),
            "/api/v5/trade/close-position": self.close_position,
            "/api/v5/trade/cancel-all-after": lambda call: Answer(
                data=[self.dead_man.wind(call.account, call.fields, call.at)]
            ),
            "/api/v5/trade/mass-cancel": _no_mass_cancel,
        }

    def gets(self) -> dict[str, Handler]:
        """Every GET path of this module."""
        return {
            "/api/v5/trade/order": self.order,
            "/api/v5/trade/orders-pending": self.pending,
            "/api/v5/trade/orders-history": lambda call: self.history(call, 7),
            "/api/v5/trade/orders-history-archive": lambda call: self.history(call, 90),
            "/api/v5/trade/fills": lambda call: self.fills(call, 3),
            "/api/v5/trade/fills-history": lambda call: self.fills(call, 90),
            "/api/v5/trade/account-rate-limit": _rate_limit,
        }

    # Operations --------------------------------------------------------------------------------

    def operate(
        self, account: AccountSpec, action: str, items: list[Fields], locate: Locate, at: int
    ) -> Answer:
        """Place, amend or cancel each item by itself; `locate` finds its instrument."""
        if not items:
            raise wrong("args")
        if len(items) > BATCH_MOST:
            raise Failure("51111", f"Maximum {BATCH_MOST} orders can be placed in bulk.")
        names = [_located(locate, one) for one in items]
        self._limiter.orders(account, action, names, at)
        operation: Operation = {
            "place": self._entry.place,
            "amend": self._entry.amend,
            "cancel": self._entry.cancel,
        }[action]
        rows = []
        for item in items:
            try:
                row = operation(account, locate(item), item, at)
            except Failure as failed:
                row = refused(item, failed, at, amends=action == "amend")
            except Refusal as refusal:
                row = refused(item, failure(refusal), at, amends=action == "amend")
            rows.append(row)
        code, text = summary(rows)
        return Answer(data=rows, code=code, text=text, timed=True)

    def _single(self, call: Call, action: str) -> Answer:
        return self.operate(call.account, action, call.items[:1], self._entry.by_name, call.at)

    def _batch(self, call: Call, action: str) -> Answer:
        return self.operate(call.account, action, call.items, self._entry.by_name, call.at)

    def close_position(self, call: Call) -> Answer:
        """Close a whole position at market; orders that would close it first stand in the way."""
        fields, key = call.fields, call.account.key
        sheet = self._entry.by_name(fields)
        fields.choice("mgnMode", ("cross", "isolated"))
        index = POSITION_INDEXES.get(fields.text("posSide", "net"))
        if index is None or sheet.spot:
            raise wrong("posSide")
        position = self._exchange.position(key, sheet.id, index)
        if not position.lots:
            raise Failure("51023", "Position does not exist.")
        side = Side.SELL if position.lots > 0 else Side.BUY
        for order in self._exchange.orders(key, instrument=sheet.id, only_open=True):
            if order.side is side and order.position_index == index:
                if not fields.flag("autoCxl"):
                    raise Failure("51115", "Cancel all pending close orders before liquidation.")
                self._exchange.cancel(key, order.id, call.at)
        request = OrderRequest(
            account=key,
            instrument=sheet.id,
            side=side,
            lots=abs(position.lots),
            kind=Kind.MARKET,
            time_in_force=TimeInForce.IOC,
            client_id=fields.text("clOrdId"),
            reduce_only=True,
            position_index=index,
            echo={"tdMode": fields.text("mgnMode"), "tag": fields.text("tag")},
        )
        try:
            self._exchange.place(request, call.at)
        except Refusal as refusal:
            raise failure(refusal, sheet, side) from None
        row = {
            "instId": sheet.inst_id,
            "posSide": fields.text("posSide", "net"),
            "clOrdId": fields.text("clOrdId"),
            "tag": fields.text("tag"),
        }
        return Answer(data=[row])

    # Queries -----------------------------------------------------------------------------------

    def order(self, call: Call) -> Answer:
        """One order by id; 51603 also where it was forgotten (section 10.5)."""
        sheet = self._entry.by_name(call.fields)
        order = self._entry.seek(call.account, sheet, call.fields)
        if order is None or self._forgotten(order, call.at):
            raise Failure("51603", "Order does not exist")
        fills = self._exchange.fills(call.account.key, order_id=order.id)
        return Answer(data=[self._rows.order(order, fills)])

    def pending(self, call: Call) -> Answer:
        orders = self._exchange.orders(call.account.key, only_open=True)
        return self._orders(call, [one for one in orders if self._fits(one, call.fields)])

    def history(self, call: Call, days: int) -> Answer:
        """Closed orders; the archive leaves out those that were cancelled without a fill."""
        if days == 7:
            call.fields.need("instType")
        found = [
            order
            for order in self._exchange.orders(call.account.key)
            if not order.open
            and order.updated_at > call.at - days * DAY_NS
            and not self._forgotten(order, call.at)
            and (days == 7 or order.filled_lots)
            and self._fits(order, call.fields)
            and _within(order.updated_at, call.fields)
        ]
        return self._orders(call, found)

    def fills(self, call: Call, days: int) -> Answer:
        """Fills, newest first; cursors are bill ids."""
        fields, key = call.fields, call.account.key
        if days > 3:
            fields.need("instType")
        wanted = order_number(fields.text("ordId")) if "ordId" in fields else 0
        rows = [
            (BILL_BASE + self._notes.bill_of(key, fill.id), fill)
            for fill in self._exchange.fills(key, order_id=wanted)
            if fill.at > call.at - days * DAY_NS
            and self._chosen(self._sheets.by_id[fill.instrument], fields)
            and _within(fill.at, fields)
        ]
        shown: list[Fill] = page(rows, fields, 100, 100)
        return Answer(
            data=[
                self._rows.fill(fill, self._exchange.order(key, fill.order_id)) for fill in shown
            ]
        )

    def _orders(self, call: Call, orders: list[Order]) -> Answer:
        pairs = [(ORDER_BASE + order.id, order) for order in orders]
        shown: list[Order] = page(pairs, call.fields, 100, 100)
        fills: dict[int, list[Fill]] = {order.id: [] for order in shown}
        for fill in self._exchange.fills(call.account.key):
            if fill.order_id in fills:
                fills[fill.order_id].append(fill)
        return Answer(data=[self._rows.order(order, fills[order.id]) for order in shown])

    def _fits(self, order: Order, fields: Fields) -> bool:
        """The filters of order lists."""
        kinds = fields.text("ordType")
        state = fields.text("state")
        return (
            self._chosen(self._sheets.by_id[order.instrument], fields)
            and (not kinds or self._rows.kind(order) in kinds.split(","))
            and state in ("", self._notes.state(order))
        )

    def _chosen(self, sheet: Sheet, fields: Fields) -> bool:
        return (
            fields.text("instType") in ("", "ANY", sheet.inst_type)
            and fields.text("instId") in ("", sheet.inst_id)
            and fields.text("instFamily") in ("", sheet.family)
            and fields.text("uly") in ("", sheet.family)
        )

    def _forgotten(self, order: Order, at: int) -> bool:
        return not order.open and not order.filled_lots and order.updated_at < at - FORGOTTEN_NS


def _located(locate: Locate, fields: Fields) -> str:
    """The instrument of an item for the limiter; "" where it names none."""
    try:
        return locate(fields).id
    except Failure:
        return ""


def _within(at: int, fields: Fields) -> bool:
    begin, end = fields.whole("begin", 0), fields.whole("end", 1 << 60)
    return begin <= at // MILLI <= end


def _rate_limit(call: Call) -> Answer:
    """Accounts below VIP5 have the fixed cap; fill ratios are not told to them."""
    row = {"fillRatio": "", "mainFillRatio": "", "accRateLimit": "1000",
           "nextAccRateLimit": "", "ts": str(call.at // MILLI)}
    return Answer(data=[row])


def _no_mass_cancel(call: Call) -> Answer:
    """Mass cancel is for market makers of options only (section 10.4)."""
    if call.fields.need("instType") != "OPTION":
        raise wrong("instType")
    call.fields.need("instFamily")
    raise Failure("51010", "Request unsupported under current account mode.")

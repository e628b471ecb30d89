"""Conversations of several questions: what became of an order, and how the account stands.

Source: KuCoin API docs, "Get order by clientOid", "Get fills", "Get account list", "Get account
overview", "Get positions", "Get actual fee", "Get private funding history", "Get position mode".
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from oneprice.model.commands import Priority, QueryAccount, QueryOrder
from oneprice.model.events import (
    AccountChecked,
    AnyEvent,
    BalanceReported,
    LeverageReported,
    OrderFilled,
    OrderMissing,
    PositionReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import Asset, InstrumentId, Lots, Nanos
from oneprice.venues.contract import Answer, Output, Request
from oneprice.venues.kucoin import NAME, account
from oneprice.venues.kucoin.account import FeeTiers
from oneprice.venues.kucoin.listing import futures_coin, known
from oneprice.venues.kucoin.orders import KucoinSettings, Margin, checked
from oneprice.venues.kucoin.rest import Failed, get, paused, read, told, unread
from oneprice.venues.kucoin.rows import (
    ACCOUNT,
    FEE,
    FILL,
    FUNDING,
    LEVERAGE,
    MARGIN,
    MODE,
    ORDER,
    OVERVIEW,
    PAGE,
    POSITION,
    SYMBOLS,
    OrderRow,
    Page,
)
from oneprice.venues.kucoin.wire import (
    ROWS,
    UNREADABLE,
    decimal,
    decimal_or_zero,
    excerpt,
    milliseconds,
)

_FILLS_PAGE = 100
_FUNDING_PAGE = 100
_PAGES_MAX = 10
_FEE_SYMBOLS_MAX = 10
_NAMED_MAX = 10  # contracts asked for one by one where nobody said which

Plan = dict[str, tuple[str, dict[str, str], tuple[str, int]]]


class _Asking(msgspec.Struct):
    """One conversation: the questions not answered yet and what the others brought."""

    kind: str  # query or account
    subject: str  # the order id, or the market
    priority: Priority
    item: Instrument | None = None
    number: int = 0
    waiting: dict[str, Request] = msgspec.field(default_factory=dict)  # by tag
    failed: dict[str, str] = msgspec.field(default_factory=dict)  # what -> reason
    missing: bool = False
    order: OrderRow | None = None
    fills: list[OrderFilled] = msgspec.field(default_factory=list)
    held: dict[InstrumentId, None] = msgspec.field(default_factory=dict)
    coins: dict[Asset, None] = msgspec.field(default_factory=dict)
    leverage: dict[InstrumentId, Decimal] = msgspec.field(default_factory=dict)
    paid_ms: dict[str, int] = msgspec.field(default_factory=dict)  # newest funding by symbol

    @property
    def market(self) -> str:
        return self.item.market if self.item is not None else self.subject


class Inquiries:
    """Asks and collects. What answers make necessary waits in `follow_ups`.

    `margins` is what the venue told of how each contract's margin is held.
    """

    def __init__(
        self,
        listed: Mapping[InstrumentId, Instrument],
        settings: KucoinSettings,
        tiers: FeeTiers,
    ) -> None:
        self.margins: dict[InstrumentId, Margin] = {}
        self._listed = listed
        self._settings = settings
        self._tiers = tiers
        self._open: dict[tuple[str, str], _Asking] = {}
        self._count = 0
        self._touched: dict[InstrumentId, None] = {}
        self._paid_ms: dict[str, int] = {}  # by symbol: funding up to here has been told
        self._coins: dict[tuple[str, Asset], None] = {}  # every coin that had a balance
        self._next: list[Request] = []

    def touch(self, instrument: InstrumentId) -> None:
        """We dealt in it: the next account check states it even where it is flat."""
        self._touched[instrument] = None

    def saw(self, balances: Sequence[BalanceReported]) -> None:
        """The stream told of these coins: the next account check states them even if gone."""
        self._coins |= {(balance.wallet, balance.asset): None for balance in balances}

    def follow_ups(self) -> Sequence[Request]:
        """Questions that answers made necessary; each is handed out once."""
        out, self._next = self._next, []
        return out

    # Asking -----------------------------------------------------------------------------

    def order(self, command: QueryOrder, item: Instrument) -> Sequence[Request]:
        """The order by its client id; its fills follow by the id the venue gave it."""
        name = checked(command.order_id)
        if item.market == "spot":
            path = f"/api/v1/hf/orders/client-order/{name}"
            plan: Plan = {"order": (path, {"symbol": item.symbol}, ("spot", 2))}
        else:
            plan = {"order": ("/api/v1/orders/byClientOid", {"clientOid": name}, ("futures", 5))}
        asking = _Asking("query", command.order_id, command.priority, item)
        return self._begin(asking, plan)

    def account(self, command: QueryAccount) -> Sequence[Request]:
        """ValueError for a market the venue does not have."""
        asking = _Asking("account", command.market, command.priority)
        match command.market:
            case "spot":
                return self._begin(asking, self._spot_plan())
            case "futures":
                return self._begin(asking, self._futures_plan())
        raise ValueError(f"market: expected spot or futures, found {command.market!r}")

    def _spot_plan(self) -> Plan:
        plan: Plan = {
            "wallet": ("/api/v1/accounts", {"type": "trade"}, ("management", 5)),
            "symbols": ("/api/v1/hf/orders/active/symbols", {}, ("spot", 2)),
        }
        symbols = [item.symbol for item in self.named("spot")]
        for start in range(0, len(symbols), _FEE_SYMBOLS_MAX):
            named = ",".join(symbols[start : start + _FEE_SYMBOLS_MAX])
            plan[f"fees.{start}"] = ("/api/v1/trade-fees", {"symbols": named}, ("spot", 3))
        return plan

    def _futures_plan(self) -> Plan:
        items = self.named("futures")
        cheap = ("futures", 2)
        plan: Plan = {
            "positions": ("/api/v1/positions", {}, cheap),
            "orders": ("/api/v1/orders", {"status": "active", "pageSize": "100"}, cheap),
            "mode": ("/api/v2/position/getPositionMode", {}, ("futures", 4)),
        }
        for asset in {item.settle: None for item in items}:
            named = {"currency": futures_coin(asset)}
            plan[f"overview.{asset}"] = ("/api/v1/account-overview", named, ("futures", 5))
        for item in items:
            one, name = {"symbol": item.symbol}, item.symbol
            plan[f"fees.{name}"] = ("/api/v1/trade-fees", one, ("futures", 3))
            plan[f"margin.{name}"] = ("/api/v2/position/getMarginMode", one, cheap)
            plan[f"leverage.{name}"] = ("/api/v2/getCrossUserLeverage", one, cheap)
            if item.funding_interval_ms:
                plan[f"funding.{name}"] = ("/api/v1/funding-history", one, ("futures", 5))
        return plan

    def named(self, market: str) -> Sequence[Instrument]:
        """What is wanted and what we dealt in; where that is nothing, the first that trade."""
        names = dict.fromkeys((*self._settings.wanted, *self._touched))
        found = [self._listed[name] for name in names if name in self._listed]
        items = [item for item in found if item.market == market]
        if items:
            return items
        trading = (i for i in self._listed.values() if i.market == market and i.tradable)
        return [item for item, _ in zip(trading, range(_NAMED_MAX), strict=False)]

    def _begin(self, asking: _Asking, plan: Plan) -> Sequence[Request]:
        self._count += 1
        asking.number = self._count
        self._open[asking.kind, asking.subject] = asking  # an older one is given up
        return [self._ask(asking, what, *question) for what, question in plan.items()]

    def _ask(
        self,
        asking: _Asking,
        what: str,
        path: str,
        params: Mapping[str, str],
        cost: tuple[str, int],
    ) -> Request:
        tag = f"{asking.kind}:{asking.number}:{what}:{asking.subject}"
        request = msgspec.structs.replace(
            get(asking.market, path, params, tag, cost),
            signed=True,
            order_id=asking.subject if asking.kind == "query" else "",
            priority=asking.priority,
        )
        asking.waiting[tag] = request
        return request

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        kind, number, what, subject = answer.tag.split(":", 3)
        asking = self._open.get((kind, subject))
        if asking is None or str(asking.number) != number or answer.tag not in asking.waiting:
            return ()  # of a conversation that was given up for a newer one
        request = asking.waiting.pop(answer.tag)
        bucket = request.cost[0][0]
        out: list[Output] = []
        reply = read(answer)
        if not isinstance(reply, Failed):
            out += self._take(asking, what, request, reply.data, at)
        elif what == "order" and reply.reason == "no_such_order":
            asking.missing = True
        else:
            asking.failed[what] = reply.reason
            out += [told(answer, reply, at), *paused(reply, answer, bucket, at)]
        if not asking.waiting:
            del self._open[kind, subject]
            out += self._settled(asking, at)
        return out

    def _take(
        self, asking: _Asking, what: str, request: Request, data: msgspec.Raw, at: Nanos
    ) -> Sequence[Output]:
        kind, _, name = what.partition("+")[0].partition(".")
        try:
            match kind:
                case "order":
                    return self._order_came(asking, data)
                case "symbols":
                    return self._symbols(asking, data)
                case "wallet" | "positions":
                    return self._rows(asking, kind, ROWS.decode(data), at)
                case "fees" if asking.market == "spot":
                    return self._rows(asking, kind, ROWS.decode(data), at)
                case "orders" | "fills" | "funding":
                    page = PAGE.decode(data)
                    self._turn_page(asking, what, request, page)
                    return self._rows(asking, what, page.rows, at)
            return self._fact(asking, kind, name, data, at)
        except UNREADABLE as error:
            asking.failed[what] = "unreadable_answer"
            shown = f"{what}: {error} | {excerpt(data)}"
            return [unread(asking.kind, "unreadable_answer", shown, at)]

    def _order_came(self, asking: _Asking, data: msgspec.Raw) -> Sequence[Output]:
        """Nothing where the venue knows no such order, else its fills where it has any."""
        if bytes(data) in (b"", b"null"):
            asking.missing = True
            return ()
        row = asking.order = ORDER.decode(data)
        if (row.client_oid or asking.subject) != asking.subject:
            raise ValueError(f"clientOid: expected {asking.subject}, found another")
        if decimal_or_zero(row.deal_size, "dealSize"):
            named = {"symbol": row.symbol, "orderId": str(row.id)}
            if asking.market == "spot":
                params = {**named, "limit": str(_FILLS_PAGE)}
                ask = self._ask(asking, "fills", "/api/v1/hf/fills", params, ("spot", 2))
            else:
                params = {**named, "pageSize": str(_FILLS_PAGE)}
                ask = self._ask(asking, "fills", "/api/v1/fills", params, ("futures", 5))
            self._next.append(ask)
        return ()

    def _symbols(self, asking: _Asking, data: msgspec.Raw) -> Sequence[Output]:
        """Spot tells open orders by symbol only."""
        for symbol in SYMBOLS.decode(data).symbols or ():
            path, cost = "/api/v1/hf/orders/active", ("spot", 2)
            self._next.append(
                self._ask(asking, f"active.{symbol}", path, {"symbol": symbol}, cost)
            )
        return ()

    def _turn_page(self, asking: _Asking, what: str, request: Request, page: Page) -> None:
        """Ask for the next page where there is one: by number, or behind the last id."""
        kind, _, place = what.partition("+")
        turned = int(place or 0) + 1
        if page.current_page:
            more = page.current_page < page.total_page
            further = f"currentPage={page.current_page + 1}"
        elif kind.startswith("funding."):
            more, further = self._older_funding(kind, page)
            more = more and turned < _PAGES_MAX  # what is older than all these is let go
        else:
            more = kind == "fills" and len(page.rows) >= _FILLS_PAGE and page.last_id is not None
            further = f"lastId={page.last_id}"
        if not more or not request.query:
            return
        if turned >= _PAGES_MAX:
            asking.failed[kind] = "too_many_pages"
            return
        kept = [
            part for part in request.query.split("&")
            if not part.startswith(("currentPage=", "lastId=", "offset=", "maxCount="))
        ]  # fmt: skip
        tag = f"{asking.kind}:{asking.number}:{kind}+{turned}:{asking.subject}"
        query = "&".join([*kept, further])
        again = msgspec.structs.replace(request, tag=tag, query=query)
        asking.waiting[tag] = again
        self._next.append(again)

    def _older_funding(self, kind: str, page: Page) -> tuple[bool, str]:
        """Whether there is older funding that has not been told, and how to ask for it. Pages
        come newest first; the statement does not tell funding apart from profit."""
        if not page.has_more or not page.rows:
            return False, ""
        oldest = FUNDING.decode(page.rows[-1])
        known_ms = self._paid_ms.get(kind.partition(".")[2], 0)
        is_new = milliseconds(oldest.time_point, "timePoint") > known_ms
        more = is_new and oldest.id is not None
        return more, f"offset={oldest.id}&maxCount={_FUNDING_PAGE}"

    def _rows(
        self, asking: _Asking, what: str, rows: Sequence[msgspec.Raw], at: Nanos
    ) -> Sequence[Output]:
        out: list[Output] = []
        for raw in rows:
            try:
                out += self._row(asking, what.partition("+")[0].partition(".")[0], raw, at)
            except UNREADABLE as error:
                asking.failed[what] = "unreadable_row"
                shown = f"{what}: {error} | {excerpt(raw)}"
                out.append(unread(asking.kind, "unreadable_row", shown, at))
        return out

    def _row(self, asking: _Asking, what: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        match what:
            case "fills" if asking.item is not None and asking.order is not None:
                row = FILL.decode(raw)
                if str(row.order_id) == str(asking.order.id):
                    asking.fills.append(account.fill(row, asking.item, asking.subject, at))
            case "wallet":
                wallet = ACCOUNT.decode(raw)
                if wallet.type in ("trade", "trade_hf"):
                    return self._balance(asking, account.account_row(wallet, at))
            case "positions":
                place = POSITION.decode(raw)
                item = known(self._listed, "futures", place.symbol)
                asking.held[item.id] = None
                told_position = account.position(place, item, at)
                if told_position is None:
                    raise ValueError("currentQty: expected a number, found none")
                leverages = account.leverage_of(place, item, at)
                for told_leverage in leverages if told_position.lots else ():
                    # An order without the position's own leverage would change it.
                    value = max(Decimal(1), told_leverage.leverage)
                    self.margins[item.id] = Margin("isolated", value)
                return (told_position, *leverages)
            case "orders" | "active":
                order = ORDER.decode(raw)
                item = known(self._listed, asking.market, order.symbol)
                return (account.open_order(order, item, at),)
            case "funding":
                paid = FUNDING.decode(raw)
                item = known(self._listed, "futures", paid.symbol)
                booked = account.funding(paid, item, at)
                asking.paid_ms[paid.symbol] = max(
                    asking.paid_ms.get(paid.symbol, 0), booked.venue_ms
                )
                return (booked,)
            case "fees":
                fee = FEE.decode(raw)
                item = known(self._listed, asking.market, fee.symbol)
                return (self._tiers.hear(item, fee, at),)
        return ()

    def _fact(
        self, asking: _Asking, what: str, name: str, data: msgspec.Raw, at: Nanos
    ) -> Sequence[Output]:
        """Answers that are one object, or a plain list."""
        match what:
            case "active":
                return self._rows(asking, "active", ROWS.decode(data), at)
            case "overview":
                return self._balance(asking, account.overview(OVERVIEW.decode(data), at))
            case "fees":
                return self._row(asking, "fees", data, at)
            case "mode":
                return (account.mode(MODE.decode(data), at),)
            case "margin":
                item = known(self._listed, "futures", name)
                self.margin_told(item, MARGIN.decode(data).margin_mode)
            case "leverage":
                item = known(self._listed, "futures", name)
                value = decimal(LEVERAGE.decode(data).leverage, "leverage")
                asking.leverage[item.id] = value
        return ()

    def margin_told(self, item: Instrument, mode: str) -> Margin:
        """ValueError for a mode we do not know."""
        had = self.margin_of(item)
        match mode:
            case "CROSS":
                margin = Margin("cross", had.leverage)
            case "ISOLATED":
                margin = Margin("isolated", had.leverage)
            case _:
                raise ValueError(f"marginMode: expected CROSS or ISOLATED, found {mode[:20]!r}")
        self.margins[item.id] = margin
        return margin

    def margin_of(self, item: Instrument) -> Margin:
        """How an order's margin is held: as told, or as set."""
        told_before = self.margins.get(item.id)
        return told_before or Margin(self._settings.margin, Decimal(self._settings.leverage))

    def _balance(self, asking: _Asking, event: BalanceReported) -> Sequence[AnyEvent]:
        asking.coins[event.asset] = None
        return (event,)

    # Conclusions ------------------------------------------------------------------------

    def _settled(self, asking: _Asking, at: Nanos) -> Sequence[AnyEvent]:
        if asking.kind == "query":
            return _order_settled(asking, at)
        if asking.failed:
            return ()  # each failure has been told; nobody may rely on this check
        market = asking.subject
        self._paid_ms |= asking.paid_ms
        out: list[AnyEvent] = [
            PositionReported(at=at, instrument=name, lots=Lots(0))
            for name in self._touched
            if market == "futures"
            and name.startswith(f"{NAME}:futures:")
            and name not in asking.held
        ]
        if market == "spot":  # the futures answer names each coin that was asked for
            out += [
                account.nothing("spot", asset, at)
                for wallet, asset in self._coins
                if wallet == "spot" and asset not in asking.coins
            ]
        out += self._leverages(asking, at)
        self._touched |= asking.held
        self._coins |= {(market, asset): None for asset in asking.coins}
        return [*out, AccountChecked(at=at, venue=NAME, market=market)]

    def _leverages(self, asking: _Asking, at: Nanos) -> Sequence[AnyEvent]:
        """Where margin is isolated the leverage is a position's, or comes with the next order."""
        out = []
        for name, value in asking.leverage.items():
            margin = self.margins[name]
            if margin.mode == "isolated" and name in asking.held:
                continue  # told with the position
            leverage = value if margin.mode == "cross" else margin.leverage
            out.append(
                LeverageReported(at=at, instrument=name, leverage=leverage, margin=margin.mode)
            )
        return out


def _order_settled(asking: _Asking, at: Nanos) -> Sequence[AnyEvent]:
    """Fills first, then the state. Where a question failed nothing is concluded from it."""
    asking.fills.sort(key=lambda fill: (fill.venue_ms, fill.fill_id))
    out: list[AnyEvent] = [*asking.fills]
    if asking.failed:
        return out
    if asking.missing or asking.order is None or asking.item is None:
        return [OrderMissing(at=at, order_id=asking.subject)]
    try:
        return [*out, account.state(asking.order, asking.item, asking.subject, at)]
    except UNREADABLE as error:
        return [*out, unread(asking.kind, "unreadable_row", f"order: {error}", at)]

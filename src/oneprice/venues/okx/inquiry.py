"""Conversations of several questions: what became of an order, and how the account stands.

Source: API v5, "Get order", "Get transaction details", "Get balance", "Get positions", "Get
order List", "Get fee rates", "Get bills details", "Get account configuration".
"""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.commands import Priority, QueryAccount, QueryOrder
from oneprice.model.events import (
    AccountChecked,
    AnyEvent,
    BalanceReported,
    LeverageReported,
    OrderFilled,
    OrderMissing,
    OrderUncertain,
    PositionModeReported,
    PositionReported,
)
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import MILLI, Asset, InstrumentId, Lots, Nanos, OrderId
from oneprice.venues.contract import Answer, Output, Request
from oneprice.venues.okx import NAME, account
from oneprice.venues.okx import private_frames as rows
from oneprice.venues.okx.frames import RAWS, UNREADABLE, decimal, decimal_or_zero, rejected
from oneprice.venues.okx.ids import client_id, order_id
from oneprice.venues.okx.listing import KINDS, Detail, identity, identity_of
from oneprice.venues.okx.orders import OkxSettings, Standing
from oneprice.venues.okx.rest import Failed, asked, get, paused, read, refusal, told

_PAGE_ROWS = 100
# Fills are kept at one place for three days and at another, slower one for three months.
_RECENT_MS = 60 * 3_600_000
_NO_SUCH_ORDER = "51603"


class _Asking(msgspec.Struct):
    """One conversation: the questions not answered yet and what the others brought."""

    kind: str  # query or account
    subject: str  # the order id, or the market
    waiting: dict[str, Request]  # by tag
    failed: dict[str, None]
    fills: list[OrderFilled]
    held: dict[account.PartKey, None]
    coins: dict[Asset, None]
    bills: int = 0  # the newest one told in this conversation
    order: rows.OrderRow | None = None
    item: Instrument | None = None


class Inquiries:
    """Asks and collects. Further questions wait in `follow_ups` for the shell to send."""

    def __init__(
        self,
        listed: Mapping[InstrumentId, Instrument],
        details: Mapping[InstrumentId, Detail],
        settings: OkxSettings,
        standing: Standing,
        positions: account.Positions,
    ) -> None:
        self._listed = listed
        self._details = details
        self._settings = settings
        self._standing = standing
        self._positions = positions
        self._open: dict[tuple[str, str], tuple[int, _Asking]] = {}
        self._count = 0
        self._touched: dict[InstrumentId, None] = {}
        self._coins: dict[Asset, None] = {}  # every coin that had a balance
        self._bills: dict[str, int] = {}  # market -> the newest bill that was told
        self._next: list[Request] = []

    def touch(self, instrument: InstrumentId) -> None:
        """We dealt in it: the next account check states it even where it is flat."""
        self._touched[instrument] = None

    def saw(self, balances: Sequence[BalanceReported]) -> None:
        """The stream told of these coins: the next account check states them even if gone."""
        self._coins |= {balance.asset: None for balance in balances}

    def follow_ups(self) -> list[Request]:
        out, self._next = self._next, []
        return out

    # Asking -----------------------------------------------------------------------------

    def order(self, command: QueryOrder, item: Instrument) -> Sequence[Request]:
        """By our id; its fills are asked for once the venue's own id is known."""
        params = {"instId": item.symbol, "clOrdId": client_id(command.order_id)}
        question = get("/api/v5/trade/order", params, "order", "order_query", command.priority)
        return self._ask("query", command.order_id, [question], item)

    def account(self, command: QueryAccount) -> Sequence[Request]:
        """Balances, open orders, fees, mode; of derivatives positions, funding and leverage.

        ValueError for a market OKX does not have.
        """
        kind, rank = KINDS.get(command.market), command.priority
        if kind is None:
            raise ValueError(f"okx market: found {command.market!r}, expected {', '.join(KINDS)}")
        of_kind = {"instType": kind}
        # Where spot is dealt in on margin its orders can be of another kind: all are asked for.
        mixed = kind == "SPOT" and self._settings.spot_mode == "cross"
        pending = {"instType": "" if mixed else kind, "limit": str(_PAGE_ROWS)}
        plan = [
            get("/api/v5/account/config", {}, "config", "config", rank),
            get("/api/v5/account/balance", {}, "balance", "balance", rank),
            get("/api/v5/trade/orders-pending", pending, "orders", "pending", rank),
            get("/api/v5/account/trade-fee", of_kind, "fees", "fees", rank),
        ]
        if kind != "SPOT":
            paid = {**of_kind, "type": account.FUNDING, "limit": str(_PAGE_ROWS)}
            plan += [
                get("/api/v5/account/positions", of_kind, "positions", "positions", rank),
                get("/api/v5/account/bills", paid, "bills", "bills", rank),
            ]
        for name in self._settings.wanted:
            item = self._listed.get(name)
            if item is not None and item.market == command.market and item.is_derivative:
                set_ = {"instId": item.symbol, "mgnMode": self._settings.margin}
                tag = f"leverage.{item.symbol}"
                plan.append(get("/api/v5/account/leverage-info", set_, tag, "leverage", rank))
        return self._ask("account", command.market, plan, None)

    def _ask(
        self, kind: str, subject: str, plan: Sequence[Request], item: Instrument | None
    ) -> Sequence[Request]:
        self._count += 1
        asking = _Asking(kind, subject, {}, {}, [], {}, {}, item=item)
        requests = [self._question(asking, self._count, each) for each in plan]
        self._open[kind, subject] = (self._count, asking)  # an older one is given up
        return requests

    def _question(self, asking: _Asking, number: int, request: Request) -> Request:
        """One question of a conversation; its tag tells which."""
        tag = f"{asking.kind}:{number}:{request.tag}:{asking.subject}"
        subject: OrderId = asking.subject if asking.kind == "query" else ""
        request = asked(request, tag=tag, order_id=subject)
        asking.waiting[tag] = request
        return request

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> list[Output]:
        kind, number, what, subject = answer.tag.split(":", 3)
        count, asking = self._open.get((kind, subject), (0, None))
        if asking is None or str(count) != number or answer.tag not in asking.waiting:
            return []  # of a conversation that was given up for a newer one
        request = asking.waiting.pop(answer.tag)
        out: list[Output] = []
        reply = read(answer)
        no = reply if isinstance(reply, Failed) else refusal(reply.code, reply.msg)
        if isinstance(reply, Failed) or no is not None:
            out += self._refused(asking, what, answer, request, no, at)
        else:
            out += self._page(asking, what, request, reply.data, at)
        if not asking.waiting:
            del self._open[kind, subject]
            out += self._order(asking, at) if kind == "query" else self._account(asking, at)
        return out

    def _refused(
        self,
        asking: _Asking,
        what: str,
        answer: Answer,
        request: Request,
        no: Failed | None,
        at: Nanos,
    ) -> list[Output]:
        if no is None or (what == "order" and no.code == _NO_SUCH_ORDER):
            return []  # an answer, too: it is missing
        asking.failed[what] = None
        return [told(answer, no, at), *paused(no, "", request.cost[0][0], at)]

    def _page(
        self, asking: _Asking, what: str, request: Request, data: msgspec.Raw, at: Nanos
    ) -> list[Output]:
        out: list[Output] = []
        try:
            page = RAWS.decode(data)
        except UNREADABLE as error:
            asking.failed[what] = None
            return [rejected("rest", f"{what}: {error}", data, at)]
        cursor = ""
        for raw in page:
            try:
                out += self._row(asking, what, raw, at)
                cursor = _cursor(what, raw)
            except UNREADABLE as error:
                asking.failed[what] = None
                out.append(rejected("rest", f"{what}: {error}", raw, at))
        old = what == "bills" and cursor and int(cursor) <= self._bills.get(asking.subject, 0)
        query = f"{request.query.partition('&after=')[0]}&after={cursor}"
        whole = not cursor or len(page) < _PAGE_ROWS or query == request.query
        if not whole and what not in asking.failed and not old:
            more = msgspec.structs.replace(request, query=query)
            asking.waiting[more.tag] = more
            self._next.append(more)
        return out

    def _row(self, asking: _Asking, what: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        match what:
            case "order":
                return self._found(asking, rows.ORDER.decode(raw), at)
            case "fills" if asking.item is not None:
                fill = account.filled(rows.FILL.decode(raw), asking.item, at)
                asking.fills.append(msgspec.structs.replace(fill, order_id=asking.subject))
            case "orders":
                row = rows.ORDER.decode(raw)
                if split_id(identity_of(row.instType, row.instId))[1] != asking.subject:
                    return ()
                return (account.open_order(row, self._item(row.instType, row.instId), at),)
            case "balance":
                told_coins = account.balances(rows.BALANCE.decode(raw), at)
                asking.coins |= {balance.asset: None for balance in told_coins}
                return told_coins
            case "positions":
                return self._position(asking, rows.POSITION.decode(raw), at)
            case "bills":
                bill = rows.BILL.decode(raw)
                asking.bills = max(asking.bills, int(bill.billId))
                if bill.type == account.FUNDING:
                    return (account.payment(bill, identity_of(bill.instType, bill.instId), at),)
            case "config":
                return self._config(asking, rows.CONFIG.decode(raw), at)
            case "fees":
                return account.fees(
                    asking.subject, rows.FEE.decode(raw), self._groups(asking.subject), at
                )
            case _ if what.startswith("leverage."):
                found = rows.LEVERAGE.decode(raw)
                return (leverage_of(found, identity(what.partition(".")[2]), at),)
        return ()

    def _item(self, kind: str, symbol: str) -> Instrument:
        item = self._listed.get(identity_of(kind, symbol))
        if item is None:
            raise ValueError(f"instId: {symbol[:40]!r} is not an instrument okx has listed")
        return item

    def _groups(self, market: str) -> list[tuple[str, str]]:
        """Symbol and group of fees of what is wanted or dealt in; of all where that is nothing."""
        mine = {**dict.fromkeys(self._settings.wanted), **self._touched}
        return [
            (item.symbol, self._details[name].fees)
            for name, item in self._listed.items()
            if item.market == market
            and item.tradable
            and name in self._details
            and (not mine or name in mine)
        ]

    def _position(
        self, asking: _Asking, row: rows.PositionRow, at: Nanos
    ) -> Sequence[PositionReported]:
        item = self._item(row.instType, row.instId)
        self.touch(item.id)
        asking.held[account.part_of(row, item)] = None
        return (self._positions.take(row, item, at),)

    def _config(
        self, asking: _Asking, row: rows.ConfigRow, at: Nanos
    ) -> Sequence[PositionModeReported]:
        learn(self._standing, row)
        if asking.subject == "spot":
            return ()
        mode = self._standing.word
        return (PositionModeReported(at=at, venue=NAME, market=asking.subject, mode=mode),)

    def _found(self, asking: _Asking, row: rows.OrderRow, at: Nanos) -> Sequence[AnyEvent]:
        if order_id(row.clOrdId) != asking.subject or asking.item is None:
            raise ValueError(f"clOrdId: expected that of {asking.subject}, found {row.clOrdId!r}")
        asking.order = row
        if decimal_or_zero(row.accFillSz, "accFillSz") > 0:
            stamp = int(row.uTime) if row.uTime.isdigit() else 0
            recent = at // MILLI - stamp < _RECENT_MS
            path = "/api/v5/trade/fills" if recent else "/api/v5/trade/fills-history"
            params = {"instType": row.instType, "instId": row.instId, "ordId": row.ordId}
            params["limit"] = str(_PAGE_ROWS)
            bucket = "fills" if recent else "fills_history"
            question = get(path, params, "fills", bucket, Priority.HEDGE)
            number = self._open["query", asking.subject][0]
            self._next.append(self._question(asking, number, question))
        return ()

    # Conclusions ------------------------------------------------------------------------

    def _account(self, asking: _Asking, at: Nanos) -> Sequence[AnyEvent]:
        if asking.failed:
            return ()  # each failure has been told; nobody may rely on this check
        flat: list[AnyEvent] = []
        if asking.subject != "spot":
            mine = f"{NAME}:{asking.subject}:"
            closed = self._positions.finish(asking.held, mine, at)
            told_now = {name for name, _, _ in asking.held} | {p.instrument for p in closed}
            flat += closed
            flat += [
                PositionReported(at=at, instrument=name, lots=Lots(0))
                for name in self._touched
                if name.startswith(mine) and name not in told_now
            ]
        gone = [coin for coin in self._coins if coin not in asking.coins]
        flat += [account.nothing(coin, at) for coin in gone]
        self._coins |= asking.coins
        before = self._bills.get(asking.subject, 0)
        self._bills[asking.subject] = max(before, asking.bills)
        return [*flat, AccountChecked(at=at, venue=NAME, market=asking.subject)]

    def _order(self, asking: _Asking, at: Nanos) -> Sequence[Output]:
        """Fills first, then the state; missing where the venue knows none.

        Where a question failed nothing is concluded: whoever asked will ask again.
        """
        asking.fills.sort(key=lambda fill: (fill.venue_ms, fill.fill_id))
        out: list[Output] = [*asking.fills]
        if "order" in asking.failed:
            return out
        if asking.order is None or asking.item is None:
            return [OrderMissing(at=at, order_id=asking.subject)]
        try:
            state = account.state_of(asking.order, asking.item, at)
        except UNREADABLE as error:
            raw = msgspec.json.encode(asking.order)
            return [*out, rejected("rest", f"order: {error}", raw, at)]
        if isinstance(state, OrderUncertain) or "fills" in asking.failed:
            return out
        return [*out, state]


def learn(standing: Standing, row: rows.ConfigRow) -> None:
    """Take over how the account is set; ValueError for a mode that we do not know."""
    if row.posMode not in ("net_mode", "long_short_mode"):
        expected = "net_mode or long_short_mode"
        raise ValueError(f"posMode: expected {expected}, found {row.posMode[:40]!r}")
    standing.mode, standing.level = row.posMode, row.acctLv


def leverage_of(row: rows.LeverageRow, name: InstrumentId, at: Nanos) -> LeverageReported:
    """ValueError where no leverage is stated."""
    lever = decimal(row.lever, "lever")
    match row.mgnMode:
        case "cross":
            return LeverageReported(at=at, instrument=name, leverage=lever, margin="cross")
        case "isolated":
            return LeverageReported(at=at, instrument=name, leverage=lever, margin="isolated")
    return LeverageReported(at=at, instrument=name, leverage=lever)


def _cursor(what: str, raw: msgspec.Raw) -> str:
    """What the next page begins after; "" for lists of one page."""
    if what == "orders":
        return rows.ORDER.decode(raw).ordId
    if what == "bills":
        return rows.BILL.decode(raw).billId
    return rows.FILL.decode(raw).billId if what == "fills" else ""

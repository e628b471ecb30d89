"""What moved the wallet of a futures account: the venue's income records as a statement.

Source: Binance futures docs, "Get Income History": rows come oldest first, below zero was paid,
and a `tranId` is unique within its type. Spot keeps no such list. Funding is told as a settlement
too: the question about an account reaches back two days, this one three months.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from oneprice.model.commands import Priority, QueryStatement
from oneprice.model.events import (
    AnyEvent,
    StatementKind,
    StatementLine,
    StatementTold,
)
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import MILLI, ZERO, InstrumentId, Nanos
from oneprice.venues.binance.account import FUNDING, settlement
from oneprice.venues.binance.answers import Reply, rejected
from oneprice.venues.binance.facts import DAY_MS, ENTRIES, PRODUCTS, VENUE
from oneprice.venues.binance.fills import REACH_MS
from oneprice.venues.binance.numbers import UNREADABLE, decimal
from oneprice.venues.binance.private_frames import BalanceUpdate, Income
from oneprice.venues.binance.refusals import Verdict
from oneprice.venues.binance.reports import futures_id
from oneprice.venues.contract import Request

KIND = "statement"
_ROWS_MAX = 1_000
# No window is documented; that of the list of trades is within it in any case.
_WINDOW_MS = 7 * DAY_MS
# Conversions, and payments that no fill or funding record tells, are "other".
_KINDS: Mapping[str, StatementKind] = {
    "REALIZED_PNL": "trade",
    "COMMISSION": "fee",
    "FUNDING_FEE": "funding",
    "TRANSFER": "transfer",
    "INTERNAL_TRANSFER": "transfer",
    "STRATEGY_UMFUTURES_TRANSFER": "transfer",
    "CROSS_COLLATERAL_TRANSFER": "transfer",
    "COIN_SWAP_DEPOSIT": "transfer",
    "COIN_SWAP_WITHDRAW": "transfer",
    "INSURANCE_CLEAR": "liquidation",
    "DELIVERED_SETTELMENT": "delivery",  # spelt so by the venue
    "COMMISSION_REBATE": "correction",
    "API_REBATE": "correction",
    "REFERRAL_KICKBACK": "correction",
    "FEE_RETURN": "correction",
    "WELCOME_BONUS": "correction",
    "CONTEST_REWARD": "correction",
    "BFUSD_REWARD": "interest",
}
_FORCED = ("liquidation", "delivery")

_income = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(Income)


class _Walk(msgspec.Struct):
    number: int
    market: str
    since_ms: int
    until_ms: int  # 0: to the moment of asking
    priority: Priority
    window_ms: int  # where the present window begins
    start_ms: int  # of the next page
    end_ms: int = 0  # of the present window, 0 until the first answer about it
    seen: dict[str, None] = {}  # record ids told
    whole: bool = True  # every row so far was understood

    def end(self, now_ms: int) -> int:
        """Where the present window ends, asked for at this moment of the venue's clock."""
        last = min(self.window_ms + _WINDOW_MS - 1, self.until_ms or now_ms, now_ms)
        return max(self.end_ms or last, self.start_ms)


class Statements:
    """Walks through the income records of a market; a newer question replaces an older one."""

    def __init__(self, listed: Mapping[InstrumentId, Instrument]) -> None:
        self._listed = listed
        self._walks: dict[str, _Walk] = {}
        self._count = 0
        self._next: list[Request] = []

    def follow_ups(self) -> Sequence[Request]:
        """Further pages; each is handed out once."""
        out, self._next = self._next, []
        return out

    def sent(self, tag: str, venue_ms: int) -> str:
        """What a question needs besides, as it leaves at this moment of the venue's clock.

        Nothing is remembered here: signing is no input that a replay could repeat.
        """
        _, market, number = tag.split(":", 2)
        walk = self._walks.get(market)
        if walk is None or str(walk.number) != number:
            return ""
        return f"endTime={walk.end(venue_ms)}"

    def begin(self, command: QueryStatement, at: Nanos) -> Sequence[Request]:
        """The first question; nothing for spot, ValueError for a market the venue has not."""
        market = command.market
        if market not in ENTRIES:
            raise ValueError(f"market {market!r}: expected one of {list(ENTRIES)}")
        if ENTRIES[market].contracts is None:
            return ()
        since = max(command.since_ms, at // MILLI - REACH_MS)
        self._count += 1
        until = command.until_ms
        walk = _Walk(self._count, market, since, until, command.priority, since, since)
        self._walks[market] = walk
        return (_page(walk),)

    def answered(self, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
        """The lines of one page, and StatementTold behind the last one."""
        _, market, number = reply.tag.split(":", 2)
        walk = self._walks.get(market)
        if walk is None or str(walk.number) != number:
            return ()  # given up for a newer one
        walk.end_ms = walk.end(reply.asked_ms or at // MILLI)
        host = PRODUCTS[market].rest
        if reply.verdict is not Verdict.DONE:
            del self._walks[market]
            return (rejected(host, f"{reply.tag}: {reply.text or 'no answer'}", b"", at),)
        try:
            rows = _income.decode(reply.body)
        except UNREADABLE as error:
            del self._walks[market]
            return (rejected(host, f"{reply.tag}: {error}", reply.body, at),)
        events: list[AnyEvent] = []
        latest = walk.start_ms
        fresh = False
        for raw in rows:
            try:
                row = _row.decode(raw)
                latest = max(latest, row.time)
                line = self._line(market, row, at)
            except UNREADABLE as error:
                walk.whole = False
                events.append(rejected(host, f"{reply.tag}: {error}", raw, at))
                continue
            if line.record_id not in walk.seen:
                fresh = True
                walk.seen[line.record_id] = None
                if line.instrument and split_id(line.instrument)[1] != market:
                    continue  # its own market tells it
                events.append(line)
                if row.incomeType == FUNDING:
                    events.append(settlement(row, market, at))
        return [*events, *self._onwards(walk, len(rows) >= _ROWS_MAX, fresh, latest, at)]

    def _onwards(
        self, walk: _Walk, full: bool, fresh: bool, latest: int, at: Nanos
    ) -> Sequence[AnyEvent]:
        """The next page begins where this one ended: its last moment may have more rows."""
        if full and not fresh:
            del self._walks[walk.market]
            reason = f"statement of {walk.market}: more than {_ROWS_MAX} rows at {latest}"
            return (rejected(PRODUCTS[walk.market].rest, reason, b"", at),)
        if full:
            walk.start_ms = latest
        elif walk.end_ms >= walk.window_ms + _WINDOW_MS - 1:
            walk.start_ms = walk.window_ms = walk.end_ms + 1
            walk.end_ms = 0
        else:
            del self._walks[walk.market]
            return (_told(walk, at),) if walk.whole else ()
        self._next.append(_page(walk))
        return ()

    def _line(self, market: str, row: Income, at: Nanos) -> StatementLine:
        """A closing that names a trade is that trade, which the list of trades tells as well."""
        kind = _KINDS.get(row.incomeType, "other")
        if kind in _FORCED and row.tradeId:
            kind = "trade"
        amount = decimal(row.income)
        return StatementLine(
            at=at,
            venue=VENUE,
            wallet=market,
            asset=row.asset,
            amount=amount,
            kind=kind,
            record_id=f"{row.incomeType}:{row.symbol}:{row.tranId}",
            instrument=futures_id(self._listed, market, row.symbol) if row.symbol else "",
            fee=-amount if kind == "fee" else ZERO,
            venue_ms=row.time,
            text=row.incomeType,
        )


def moved(row: BalanceUpdate, at: Nanos) -> StatementLine:
    """A balanceUpdate of spot: a deposit, a withdrawal or a transfer, told by the stream alone."""
    return StatementLine(
        at=at,
        venue=VENUE,
        wallet="spot",
        asset=row.a,
        amount=decimal(row.d),
        kind="transfer",
        record_id=f"balanceUpdate:{row.T}:{row.d}",
        venue_ms=row.T,
        text="balanceUpdate",
    )


def _page(walk: _Walk) -> Request:
    contracts = ENTRIES[walk.market].contracts
    if contracts is None:
        raise ValueError(f"market {walk.market!r} has no income")
    path, weight = contracts.income
    params = {"startTime": walk.start_ms, "limit": _ROWS_MAX}
    return Request(
        tag=f"{KIND}:{walk.market}:{walk.number}",
        host=PRODUCTS[walk.market].rest,
        path=path,
        query=urlencode(params),
        signed=True,
        cost=((PRODUCTS[walk.market].weight, weight),),
        priority=walk.priority,
    )


def _told(walk: _Walk, at: Nanos) -> StatementTold:
    return StatementTold(
        at=at,
        venue=VENUE,
        market=walk.market,
        since_ms=walk.since_ms,
        until_ms=max(walk.end_ms, walk.since_ms),
    )

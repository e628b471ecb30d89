"""The state of one market's account, asked in parts and checked when all have answered."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote

import msgspec

from oneprice.model.events import (
    AccountChecked,
    AnyEvent,
    BalanceReported,
    FeesReported,
    FundingBooked,
    OpenOrderReported,
    PositionReported,
)
from oneprice.model.instrument import Instrument, instrument_id, split_id
from oneprice.model.units import EXACT, ZERO, Asset, InstrumentId, Nanos, Side
from oneprice.venues.binance.answers import Reply, rejected
from oneprice.venues.binance.facts import ENTRIES, PRODUCTS, VENUE
from oneprice.venues.binance.numbers import decimal
from oneprice.venues.binance.private_frames import (
    FuturesBalance,
    FuturesFees,
    FuturesPosition,
    Income,
    OrderState,
    PositionSides,
    SpotAccount,
    SpotFees,
    SymbolConfig,
    UpdatedPosition,
)
from oneprice.venues.binance.refusals import Verdict
from oneprice.venues.binance.reports import futures_id, position
from oneprice.venues.binance.standing import leverage, position_mode
from oneprice.venues.contract import Request

# The request gets its start at signing, because it is sent again and again.
INCOME = "income:"
FUNDING = "FUNDING_FEE"
# 20 hourly symbols fill one page of 1,000 rows in it; what is older the statement tells.
INCOME_REACH_MS = 48 * 3_600_000
FEE_WEIGHT = 20


class Account:
    """Asks what a market's account holds. `wanted` are the instruments that we mean to trade."""

    def __init__(
        self, listed: Mapping[InstrumentId, Instrument], wanted: Sequence[InstrumentId]
    ) -> None:
        self._listed = listed
        self._wanted = wanted
        self._round = 0
        self._open: dict[str, set[str]] = {}  # market -> parts not answered yet

    def ask(self, market: str) -> list[Request]:
        """One round of questions; a round that is still open is given up."""
        self._round += 1
        requests = [
            Request(
                tag=f"account:{market}:{self._round}:{part}",
                host=PRODUCTS[market].rest,
                path=path,
                query=query,
                signed=True,
                cost=((PRODUCTS[market].weight, cost),),
            )
            for part, (path, query, cost) in self._parts(market).items()
        ]
        self._open[market] = {request.tag for request in requests}
        if market != "spot":
            requests.append(income_request(market))
            self._open[market].add(requests[-1].tag)
        return requests

    def _parts(self, market: str) -> dict[str, tuple[str, str, int]]:
        """Path, query and weight of every question about a market."""
        entry = ENTRIES[market]
        parts = {"open": (entry.open_path, "", entry.open_weight)}
        if entry.contracts is None:
            parts["balances"] = ("/api/v3/account", "", 20)
        else:
            asked = entry.contracts
            whole = {"balances": asked.balances, "positions": asked.positions, "mode": asked.mode}
            parts |= {part: (path, "", cost) for part, (path, cost) in whole.items()}
        for name in self._wanted_in(market):
            symbol = split_id(name)[2]
            query = f"symbol={quote(symbol)}"
            parts[f"fee:{symbol}"] = (entry.fee_path, query, FEE_WEIGHT)
            if entry.contracts is not None and entry.contracts.config is not None:
                path, cost = entry.contracts.config
                parts[f"config:{symbol}"] = (path, query, cost)
        return parts

    def answered(self, reply: Reply, at: Nanos) -> list[AnyEvent]:
        """Events of one part; AccountChecked behind the last one."""
        market = reply.market
        open_parts = self._open.get(market, set())
        if reply.verdict is not Verdict.DONE:
            reason = f"{reply.tag}: {reply.text or 'no answer'}"
            return [rejected(PRODUCTS[market].rest, reason, b"", at)]
        if reply.tag.startswith(INCOME):
            events = _settlements(reply, at)
        else:
            if reply.tag not in open_parts:
                return []  # of a round that was given up
            events = self._part(market, reply.tag.split(":", 3)[3], reply, at)
        if reply.tag in open_parts:
            open_parts.remove(reply.tag)
            if not open_parts:
                events.append(AccountChecked(at=at, venue=VENUE, market=market))
        return events

    def _part(self, market: str, part: str, reply: Reply, at: Nanos) -> list[AnyEvent]:
        match part.partition(":")[0]:
            case "open":
                return self._open_orders(market, reply, at)
            case "positions":
                return self._positions(market, reply, at)
            case "mode":
                sides = msgspec.json.decode(reply.body, type=PositionSides)
                return [position_mode(market, dual=sides.dualSidePosition, at=at)]
            case "config":
                configs = msgspec.json.decode(reply.body, type=list[SymbolConfig])
                return [
                    leverage(market, each.symbol, str(each.leverage), each.marginType, at)
                    for each in configs
                ]
            case "balances" if market == "spot":
                return self._spot_balances(reply, at)
            case "balances":
                return self._futures_balances(market, reply, at)
        return [_spot_fees(reply, at) if market == "spot" else _futures_fees(market, reply, at)]

    def _wanted_in(self, market: str) -> list[InstrumentId]:
        return [name for name in self._wanted if split_id(name)[1] == market]

    def _ours(self, market: str) -> dict[Asset, None]:
        """Assets that matter even when there is nothing of them."""
        ours: dict[Asset, None] = {}
        for name in self._wanted_in(market):
            item = self._listed[name]
            for asset in (item.base, item.quote) if market == "spot" else (item.settle,):
                ours[asset] = None
        return ours

    def _spot_balances(self, reply: Reply, at: Nanos) -> list[AnyEvent]:
        ours = self._ours("spot")
        events: list[AnyEvent] = []
        for each in msgspec.json.decode(reply.body, type=SpotAccount).balances:
            free = decimal(each.free)
            total = EXACT.add(free, decimal(each.locked))
            if total or each.asset in ours:
                events.append(_balance("spot", each.asset, total, free, at))
        return events

    def _futures_balances(self, market: str, reply: Reply, at: Nanos) -> list[AnyEvent]:
        ours = self._ours(market)
        events: list[AnyEvent] = []
        for each in msgspec.json.decode(reply.body, type=list[FuturesBalance]):
            total, free = decimal(each.balance), decimal(each.availableBalance)
            if total or each.asset in ours:
                events.append(_balance(market, each.asset, total, free, at))
        return events

    def _positions(self, market: str, reply: Reply, at: Nanos) -> list[AnyEvent]:
        """Stated positions, and flat ones: the venue may name only what is held or ordered."""
        rows = msgspec.json.decode(reply.body, type=list[FuturesPosition])
        events: list[AnyEvent] = []
        wanted = self._wanted_in(market)
        stated: dict[InstrumentId, None] = {}
        for row in rows:
            name = futures_id(self._listed, market, row.symbol)
            if split_id(name)[1] != market:
                continue  # told by its own market
            if name not in self._listed:
                if decimal(row.positionAmt):
                    reason = f"position {row.symbol}: not listed"
                    events.append(rejected(PRODUCTS[market].rest, reason, b"", at))
                continue
            if name in wanted or decimal(row.positionAmt):
                told = position(self._listed, name, _as_update(row), at)
                events.extend(_threats(row, each) for each in told)
                stated[name] = None
            if name in wanted and row.leverage:
                events.append(leverage(market, row.symbol, row.leverage, row.marginType, at))
        for name in wanted:
            if name not in stated:
                flat = UpdatedPosition(s=split_id(name)[2], pa="0")
                events.extend(position(self._listed, name, flat, at))
        return events

    def _open_orders(self, market: str, reply: Reply, at: Nanos) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        for state in msgspec.json.decode(reply.body, type=list[OrderState]):
            name = instrument_id(VENUE, market, state.symbol)
            if market != "spot":
                name = futures_id(self._listed, market, state.symbol)
            if split_id(name)[1] != market:
                continue  # told by its own market
            if name not in self._listed:
                reason = f"{name}: an open order in an instrument that is not listed"
                events.append(rejected(PRODUCTS[market].rest, reason, b"", at))
                continue
            item = self._listed[name]
            events.append(
                OpenOrderReported(
                    at=at,
                    order_id=state.clientOrderId,
                    venue_order_id=str(state.orderId),
                    instrument=name,
                    side=Side[state.side],
                    ticks=item.ticks(decimal(state.price)),
                    lots=item.lots(decimal(state.origQty)),
                    filled_lots=item.lots(decimal(state.executedQty)),
                )
            )
        return events


def income_request(market: str) -> Request:
    """What funding was settled lately; sent with every check and once a minute."""
    contracts = ENTRIES[market].contracts
    if contracts is None:
        raise ValueError(f"market {market!r} settles no funding")
    return Request(
        tag=f"{INCOME}{market}",
        host=PRODUCTS[market].rest,
        path=contracts.income[0],
        query="incomeType=FUNDING_FEE&limit=1000",
        signed=True,
        cost=(("futures_weight", contracts.income[1]),),
    )


def _as_update(row: FuturesPosition) -> UpdatedPosition:
    return UpdatedPosition(
        s=row.symbol, pa=row.positionAmt, ep=row.entryPrice, ps=row.positionSide
    )


def _threats(row: FuturesPosition, told: PositionReported) -> PositionReported:
    """A position, and how near the venue is to closing it."""
    if not told.lots:
        return told
    price, rank = row.liquidationPrice, row.adl
    return msgspec.structs.replace(
        told,
        liquidation=None if price is None else max(ZERO, decimal(price or "0")),
        adl_rank=None if rank is None else max(0, min(4, rank)),
    )


def _settlements(reply: Reply, at: Nanos) -> list[AnyEvent]:
    return [
        settlement(row, reply.market, at)
        for row in msgspec.json.decode(reply.body, type=list[Income])
        if row.incomeType == FUNDING
    ]


def settlement(row: Income, market: str, at: Nanos) -> FundingBooked:
    """A row of funding, the same whichever question brought it."""
    return FundingBooked(
        at=at,
        instrument=instrument_id(VENUE, market, row.symbol),
        record_id=str(row.tranId),
        amount=decimal(row.income),
        asset=row.asset,
        rate=ZERO,
        venue_ms=row.time,
    )


def _balance(
    wallet: str, asset: Asset, total: Decimal, available: Decimal, at: Nanos
) -> BalanceReported:
    return BalanceReported(
        at=at, venue=VENUE, wallet=wallet, asset=asset, total=total, available=available
    )


def _spot_fees(reply: Reply, at: Nanos) -> FeesReported:
    """Commission per trade: three parts, each with its side on top (protocol reference 15).

    The BNB discount is left out: the venue's text and example contradict each other, and a fee
    planned too high costs an opportunity rather than money.
    """
    fees = msgspec.json.decode(reply.body, type=SpotFees)
    maker = taker = ZERO
    for part in (fees.standardCommission, fees.specialCommission, fees.taxCommission):
        side = max(decimal(part.buyer), decimal(part.seller))
        maker += decimal(part.maker) + side
        taker += decimal(part.taker) + side
    return FeesReported(
        at=at, venue=VENUE, market="spot", symbol=fees.symbol, maker=maker, taker=taker
    )


def _futures_fees(market: str, reply: Reply, at: Nanos) -> FeesReported:
    fees = msgspec.json.decode(reply.body, type=FuturesFees)
    return FeesReported(
        at=at,
        venue=VENUE,
        market=market,
        symbol=fees.symbol,
        maker=decimal(fees.makerCommissionRate),
        taker=decimal(fees.takerCommissionRate),
    )

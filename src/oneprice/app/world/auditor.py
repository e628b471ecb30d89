"""The auditor: a second, simple model of what must be, made without the core.

It reads the wishes that were journaled, what the venues hold and what the venues' dialects told
us, and works out by itself what every order must have come to, and what every wallet and every
position must hold. Simple on purpose: average cost, one wallet per market, no timers.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from oneprice.model.commands import PlaceOrder
from oneprice.model.events import Event, OrderEnded, OrderFilled, OrderRefused
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import ZERO, Asset, InstrumentId, Money, Side
from oneprice.twin.contract import Fill, FundingSettled, Order

NEAR = Decimal("0.000001")  # venues round each movement of money to their own step
Wallets = dict[tuple[str, Asset], Money]
Difference = tuple[str, str]  # which rule, and what differs


class Held(msgspec.Struct):
    """A position by average cost."""

    lots: int = 0
    entry: Decimal = ZERO

    def trade(self, lots: int, price: Decimal) -> tuple[int, Decimal]:
        """Signed lots at a price: (signed lots that it closed, the entry they had)."""
        before, entry = self.lots, self.entry
        self.lots += lots
        if before == 0 or (before > 0) == (lots > 0):
            total = abs(before) + abs(lots)
            self.entry = (entry * abs(before) + price * abs(lots)) / total
            return 0, entry
        closed = min(abs(lots), abs(before)) * (1 if before > 0 else -1)
        if abs(lots) > abs(before):
            self.entry = price
        elif self.lots == 0:
            self.entry = ZERO
        return closed, entry


class Books(msgspec.Struct):
    """What one venue must hold of us."""

    wallets: Wallets
    held: dict[InstrumentId, Held]

    def add(self, wallet: str, asset: Asset, amount: Money) -> None:
        self.wallets[wallet, asset] = self.wallets.get((wallet, asset), ZERO) + amount


def keep_books(
    opening: Mapping[tuple[str, Asset], Money],
    instruments: Mapping[InstrumentId, Instrument],
    wallets: Mapping[str, str],
    happened: Iterable[Fill | FundingSettled],
) -> Books:
    """Opening balances and everything that happened, in order; `wallets` by market."""
    books = Books(wallets=dict(opening), held={})
    for one in happened:
        instrument = instruments[one.instrument]
        wallet = wallets[instrument.market]
        held = books.held.setdefault(one.instrument, Held())
        if isinstance(one, FundingSettled):
            worth = instrument.size(held.lots) * instrument.contract_value * one.mark
            books.add(wallet, instrument.settle, -worth * one.rate)
            continue
        price, signed = instrument.price(one.ticks), int(one.side) * one.lots
        coins = instrument.size(one.lots) * instrument.contract_value
        if instrument.payoff is Payoff.SPOT:
            books.add(wallet, instrument.base, int(one.side) * coins)
            books.add(wallet, instrument.quote, -int(one.side) * coins * price)
        else:
            closed, entry = held.trade(signed, price)
            size = instrument.size(closed) * instrument.contract_value
            books.add(wallet, instrument.settle, size * (price - entry))
        books.add(wallet, one.fee_asset, -one.fee)
    return books


def in_order(
    fills: Iterable[Fill], fundings: Iterable[FundingSettled]
) -> list[Fill | FundingSettled]:
    """One exchange numbers both from one sequence."""
    return sorted([*fills, *fundings], key=lambda one: one.id)


def wallets_differ(
    ours: Mapping[tuple[str, Asset], Money],
    theirs: Mapping[tuple[str, Asset], Money],
    whose: str,
) -> list[Difference]:
    """Where two statements of the same wallets differ by more than rounding."""
    found: list[Difference] = []
    for key in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(key, ZERO), theirs.get(key, ZERO)
        if abs(one - other) > NEAR:
            found.append((f"{whose}_balances", f"{'/'.join(key)}: {one:f}, {other:f} there"))
    return found


class Told(msgspec.Struct):
    """What a venue told us of one order."""

    lots: int = 0
    fills: dict[tuple[str, Side], int] = {}
    refused: bool = False
    ended: int = -1


def hear(told: Iterable[Event]) -> dict[str, Told]:
    """By client id; a fill told twice is one fill."""
    heard: dict[str, Told] = {}
    for event in told:
        order_id = getattr(event, "order_id", "")
        if not order_id:
            continue
        one = heard.setdefault(order_id, Told(fills={}))
        match event:
            case OrderFilled():
                key = (event.fill_id, event.side)
                if key not in one.fills:
                    one.fills[key] = event.lots
                    one.lots += event.lots
            case OrderRefused():
                one.refused = True
            case OrderEnded():
                one.ended = max(one.ended, event.filled_lots)
            case _:
                pass
    return heard


def judge_orders(
    wishes: Sequence[PlaceOrder],
    orders: Sequence[Order],
    fills: Sequence[Fill],
    listed: Mapping[InstrumentId, Instrument],
    heard: Mapping[str, Told],
) -> list[Difference]:
    """Every order of one venue against the wish behind it and what was said of it."""
    found: list[Difference] = []
    wanted: dict[str, PlaceOrder] = {}
    for wish in wishes:
        if wish.order_id in wanted:
            found.append(("sent_once", f"{wish.order_id} was wished twice"))
        wanted[wish.order_id] = wish
    seen: dict[str, Order] = {}
    for order in orders:
        if order.client_id in seen:
            found.append(("sent_once", f"{order.client_id} lives twice at the venue"))
        seen[order.client_id] = order
        known = wanted.get(order.client_id)
        if known is None:
            found.append(("journaled_first", f"{order.client_id} was never journaled"))
        else:
            found += _as_wished(order, known, listed[order.instrument])
    by_order: dict[str, int] = {}
    for fill in fills:
        by_order[fill.client_id] = by_order.get(fill.client_id, 0) + fill.lots
        known = wanted.get(fill.client_id)
        if known is not None and (fill.ticks - known.ticks) * int(known.side) > 0:
            found.append(("limit_price", f"{fill.client_id}: {fill.ticks} beyond {known.ticks}"))
    for client_id in wanted:
        found += _as_told(
            client_id, seen.get(client_id), by_order.get(client_id, 0), heard.get(client_id)
        )
    return found


def _as_wished(order: Order, wish: PlaceOrder, instrument: Instrument) -> list[Difference]:
    """Venues that clip prices may do so towards the better side, and sizes to what is held."""
    reducing = wish.reduce_only and instrument.is_derivative
    asked = (wish.instrument, wish.side, wish.lots, reducing)
    found = (order.instrument, order.side, order.lots, order.reduce_only)
    worse = (order.ticks - wish.ticks) * int(wish.side) > 0
    clipped = reducing and asked[:2] == found[:2] and order.reduce_only
    if not worse and (asked == found or (clipped and order.lots < wish.lots)):
        return []
    text = f"wanted {asked} at {wish.ticks}, lives as {found} at {order.ticks}"
    return [("as_wished", f"{wish.order_id}: {text}")]


def _as_told(
    client_id: str, order: Order | None, filled: int, told: Told | None
) -> list[Difference]:
    """At rest everything has been said, and nothing else."""
    if order is None:
        if told is not None and (told.lots or told.ended > 0):
            return [("outcome", f"{client_id}: fills were told of an order that never lived")]
        return []
    if order.open:
        return [("outcome", f"{client_id}: still open at the venue")]
    if told is None:
        return [("outcome", f"{client_id}: lived and nothing was said of it")]
    if told.refused and not told.lots and filled:
        return [("outcome", f"{client_id}: told as refused, filled {filled} lots")]
    if told.lots != filled:
        return [("outcome", f"{client_id}: {told.lots} lots told, {filled} filled")]
    if told.ended > filled:
        return [("outcome", f"{client_id}: ended with {told.ended} lots, {filled} filled")]
    return []

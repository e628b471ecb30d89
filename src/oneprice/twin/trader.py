"""The life of orders: placing, matching, filling, amending, cancelling, and what each one pays."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.units import ZERO, InstrumentId, Side
from oneprice.twin.admission import (
    Admission,
    as_request,
    banded,
    check_notional,
    check_open,
    check_size,
)
from oneprice.twin.contract import (
    Kind,
    Order,
    OrderChanged,
    OrderRequest,
    Refusal,
    SelfTrade,
    State,
)
from oneprice.twin.floor import Floor
from oneprice.twin.hall import Hall
from oneprice.twin.holdings import Place
from oneprice.twin.matching import Hit, Match, Resting
from oneprice.twin.settlement import Deal, Settlement

_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)


class CloseTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Why and at what price the exchange closes a position itself."""

    reason: str  # liquidation adl delivery
    price: Decimal
    fee_rate: Decimal = ZERO


class Trader:
    """Carries out orders on the floors; every change is told through `emit`, in order."""

    def __init__(self, hall: Hall) -> None:
        self._quote_fees = hall.setup.quote_fees
        self._floors = hall.floors
        self._docket = hall.docket
        self._holdings = hall.holdings
        self._emit = hall.emit
        self._admission = Admission(hall.solvency, hall.docket, hall.holdings)
        self._settlement = Settlement(hall)

    # Actions ------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, at: int) -> Order:
        floor = self._floors[request.instrument]
        request = self._admission.admit(request, floor)
        crosses = floor.book.crosses(request.side, request.ticks)
        post_only = request.time_in_force is TimeInForce.POST_ONLY
        fok = request.time_in_force is TimeInForce.FOK
        fillable = not fok or self._fillable(request, floor)
        if post_only and crosses and request.refuse_would_take:
            raise Refusal("would_take", "post-only order would take")
        if not fillable and request.refuse_not_fillable:
            raise Refusal("not_fillable", "not enough on the other side")
        order = self._create(request, floor, at)
        self._hold(order, floor, 1)
        self._emit(OrderChanged(order=order, cause="new", at=at))
        if post_only and crosses:
            return self._end(order.id, State.CANCELLED, "post_only", at)
        if not fillable:
            return self._end(order.id, State.EXPIRED, "fok", at)
        return self._run(order, floor, at)

    def amend(
        self, key: str, order_id: int, ticks: int | None, lots: int | None, at: int
    ) -> Order:
        order = self._docket.living(key, order_id)
        floor = self._floors[order.instrument]
        check_open(floor)
        ticks = order.ticks if ticks is None else ticks
        lots = order.lots if lots is None else lots
        if (ticks, lots) == (order.ticks, order.lots):
            raise Refusal("nothing_changed", str(order_id))
        if lots <= order.filled_lots:
            raise Refusal("below_filled", f"{lots} of {order.filled_lots} filled")
        ticks = banded(floor, order.side, ticks)
        check_size(floor, lots, market=False)
        check_notional(floor, as_request(order, ticks=ticks, lots=lots))
        self._check_amended(order, floor, ticks, lots)
        self._hold(order, floor, -1)
        keeps_place = ticks == order.ticks and lots < order.lots
        changed = self._docket.change(
            order_id, ticks=ticks, lots=lots, amended=order.amended + 1, updated_at=at
        )
        self._hold(changed, floor, 1)
        if keeps_place:
            floor.book.shrink(order_id, changed.leaves_lots)
        else:
            floor.book.remove(order_id)
        self._emit(OrderChanged(order=changed, cause="amended", at=at))
        if keeps_place:
            return changed
        post_only = changed.time_in_force is TimeInForce.POST_ONLY
        if post_only and floor.book.crosses(changed.side, ticks):
            return self._end(order_id, State.CANCELLED, "post_only", at)
        return self._run(changed, floor, at)

    def cancel(self, key: str, order_id: int, reason: str, at: int) -> Order:
        order = self._docket.living(key, order_id)
        return self._end(order.id, State.CANCELLED, reason, at)

    # The exchange itself acts -------------------------------------------------------------------

    def withdraw(self, key: str, instrument: InstrumentId, reason: str, at: int) -> int:
        """Cancels every open order of a customer in an instrument; how many there were."""
        found = self._docket.open_in(key, instrument)
        for order in found:
            self._end(order.id, State.CANCELLED, reason, at)
        return len(found)

    def send_out(self, place: Place, lots: int, terms: CloseTerms, at: int) -> Order:
        """An order of the exchange's own that closes lots of a position; nothing traded yet."""
        key, instrument, index = place
        floor = self._floors[instrument]
        side = Side.SELL if self._holdings.get(place).lots > 0 else Side.BUY
        request = OrderRequest(
            account=key,
            instrument=instrument,
            side=side,
            lots=lots,
            ticks=max(1, floor.instrument.ticks_not_worse(terms.price, side)),
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
            position_index=index,
        )
        order = self._create(request, floor, at, terms.reason)
        self._emit(OrderChanged(order=order, cause="new", at=at))
        return order

    def take_offers(self, order: Order, at: int) -> Order:
        """It takes what the book offers down to its price."""
        self._match(order, self._floors[order.instrument], at)
        return self._docket.get(order.id)

    def deal_out(self, order: Order, terms: CloseTerms, at: int) -> Order:
        """The rest of it is dealt at its exact price, off the book; the finished order."""
        if order.leaves_lots:
            floor = self._floors[order.instrument]
            deal = Deal(
                ticks=order.ticks,
                lots=order.leaves_lots,
                price=terms.price,
                rate=terms.fee_rate,
                trade_id=floor.next_trade_id(),
                maker=False,
                at=at,
            )
            self._settlement.book(order, floor, deal)
        self._trim(at)
        return self._docket.get(order.id)

    # The market reaches us ----------------------------------------------------------------------

    def take(self, floor: Floor, taker: Side, lots: int, limit: int, at: int) -> None:
        """An anonymous market order."""
        half = floor.book.half(taker.opposite)
        while lots > 0 and (walk := half.walk(lots, limit, "", SelfTrade.NONE)):
            for match in walk:
                self._trade(floor, taker, match, at)
                lots -= match.lots
                if match.order_id and self._trim(at):
                    break  # orders were withdrawn: look again

    def hits(self, floor: Floor, found: Iterable[Hit], at: int, trade_id: int = 0) -> None:
        """Our resting orders were reached; without `trade_id` each hit is a trade of its own."""
        for hit in found:
            order = self._docket.get(hit.order_id)
            number = trade_id
            if not number:
                traded = floor.trade(hit.ticks, hit.lots, order.side.opposite, at)
                self._emit(traded)
                number = traded.trade_id
            self._fill(order, floor, (hit.ticks, hit.lots), number, maker=True, at=at)
            self._trim(at)

    # Matching -----------------------------------------------------------------------------------

    def _run(self, order: Order, floor: Floor, at: int) -> Order:
        """Takes what the book offers, then rests or ends."""
        stopped = self._match(order, floor, at)
        order = self._docket.get(order.id)
        if not order.open:
            return order
        if stopped:
            return self._end(order.id, State.CANCELLED, "self_trade", at)
        if order.kind is Kind.MARKET or order.time_in_force in _IMMEDIATE:
            reason = order.time_in_force.value
            if order.kind is Kind.MARKET:
                reason = "no_liquidity"
            return self._end(order.id, State.EXPIRED, reason, at)
        floor.book.rest(
            Resting(
                order_id=order.id,
                account=order.account,
                side=order.side,
                ticks=order.ticks,
                lots=order.leaves_lots,
            )
        )
        return order

    def _match(self, order: Order, floor: Floor, at: int) -> bool:
        """Trades with the other side; True when self-trade prevention ends the taker."""
        half = floor.book.half(order.side.opposite)
        while order.leaves_lots:
            walk = half.walk(order.leaves_lots, order.ticks, order.account, order.self_trade)
            again = False
            for match in walk:
                if match.prevented:
                    if self._prevent(order, match, at):
                        return True
                    continue
                trade_id = self._trade(floor, order.side, match, at)
                pair = (match.ticks, match.lots)
                self._fill(order, floor, pair, trade_id, maker=False, at=at)
                order = self._docket.get(order.id)
                again = self._trim(at)
                if again:
                    break  # orders were withdrawn: look again
            if not again:
                break
        return False

    def _trade(self, floor: Floor, taker: Side, match: Match, at: int) -> int:
        """One public trade of any taker; fills our order if it met one."""
        floor.book.execute(taker, match)
        traded = floor.trade(match.ticks, match.lots, taker, at)
        self._emit(traded)
        if match.order_id:
            maker = self._docket.get(match.order_id)
            pair = (match.ticks, match.lots)
            self._fill(maker, floor, pair, traded.trade_id, maker=True, at=at)
        return traded.trade_id

    def _prevent(self, taker: Order, match: Match, at: int) -> bool:
        """A self-trade; True when the taker ends because of it."""
        if taker.self_trade in (SelfTrade.CANCEL_MAKER, SelfTrade.CANCEL_BOTH):
            self._end(match.order_id, State.CANCELLED, "self_trade", at)
        return taker.self_trade is not SelfTrade.CANCEL_MAKER

    def _fillable(self, request: OrderRequest, floor: Floor) -> bool:
        half = floor.book.half(request.side.opposite)
        walk = half.walk(request.lots, request.ticks, request.account, request.self_trade)
        return sum(match.lots for match in walk if not match.prevented) >= request.lots

    # Bookkeeping --------------------------------------------------------------------------------

    def _create(
        self, request: OrderRequest, floor: Floor, at: int, reason: str = ""
    ) -> Order:
        instrument = floor.instrument
        fee_asset = instrument.settle
        if not instrument.is_derivative:
            in_base = request.side is Side.BUY and not self._quote_fees
            fee_asset = instrument.base if in_base else instrument.quote
        return self._docket.put(
            Order(
                id=self._docket.next_order_id(),
                account=request.account,
                instrument=request.instrument,
                client_id=request.client_id,
                side=request.side,
                kind=request.kind,
                time_in_force=request.time_in_force,
                ticks=request.ticks,
                lots=request.lots,
                filled_lots=0,
                filled_value=ZERO,
                fees=ZERO,
                fee_asset=fee_asset,
                average=ZERO,
                state=State.NEW,
                reason=reason,
                reduce_only=request.reduce_only,
                position_index=request.position_index,
                self_trade=request.self_trade,
                quote_amount=request.quote_amount,
                created_at=at,
                updated_at=at,
                amended=0,
                echo=request.echo,
            )
        )

    def _fill(
        self,
        order: Order,
        floor: Floor,
        trade: tuple[int, int],
        trade_id: int,
        *,
        maker: bool,
        at: int,
    ) -> None:
        ticks, lots = trade
        extras = floor.listing.extras
        deal = Deal(
            ticks=ticks,
            lots=lots,
            price=floor.instrument.price(ticks),
            rate=extras.maker_fee if maker else extras.taker_fee,
            trade_id=trade_id,
            maker=maker,
            at=at,
        )
        self._settlement.book(order, floor, deal)

    def _end(self, order_id: int, state: State, reason: str, at: int) -> Order:
        """Takes an order out of the book and frees what it held."""
        order = self._docket.get(order_id)
        floor = self._floors[order.instrument]
        if order_id in floor.book.resting:
            floor.book.remove(order_id)
        self._hold(order, floor, -1)
        ended = self._docket.change(order_id, state=state, reason=reason, updated_at=at)
        self._emit(OrderChanged(order=ended, cause=state.value, at=at))
        return ended

    def _hold(self, order: Order, floor: Floor, sign: int) -> None:
        """Locks or frees what the open rest of a spot limit order needs."""
        self._settlement.hold_part(order, floor, sign * (order.lots - order.filled_lots))

    def _check_amended(self, order: Order, floor: Floor, ticks: int, lots: int) -> None:
        """Whether the dearer order can be paid on top of what it holds already."""
        leaves = lots - order.filled_lots
        wanted = as_request(order, ticks=ticks, lots=leaves)
        if floor.instrument.is_derivative:
            grows = floor.value(floor.instrument.price(ticks), leaves) - floor.value(
                floor.instrument.price(order.ticks), order.leaves_lots
            )
            more = leaves - order.leaves_lots
            if grows > 0 and more > 0:
                wanted = msgspec.structs.replace(wanted, lots=more)
                self._admission.check_money(wanted, floor)
            return
        self._hold(order, floor, -1)
        try:
            self._admission.check_money(wanted, floor)
        finally:
            self._hold(order, floor, 1)

    def _trim(self, at: int) -> bool:
        """Resting reduce-only orders never exceed what is left to reduce; True if one changed."""
        trimmed = False
        while self._settlement.moved:
            place = self._settlement.moved.pop()
            lots = self._holdings.get(place).lots
            for order in self._docket.open_in(place[0], place[1]):
                if not order.reduce_only or order.position_index != place[2]:
                    continue
                floor = self._floors[place[1]]
                if order.id not in floor.book.resting:
                    continue
                room = abs(lots) if lots * order.side < 0 else 0
                if room < order.leaves_lots:
                    trimmed = True
                if room == 0:
                    self._end(order.id, State.CANCELLED, "reduce_only", at)
                elif order.leaves_lots > room:
                    changed = self._docket.change(
                        order.id, lots=order.filled_lots + room, updated_at=at
                    )
                    floor.book.shrink(order.id, room)
                    self._emit(OrderChanged(order=changed, cause="amended", at=at))
        return trimmed

"""The life of orders: placing, matching, filling, amending, cancelling, and what each one pays."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.units import ZERO, InstrumentId, Money, Side
from oneprice.twin.admission import (
    Admission,
    as_request,
    banded,
    check_notional,
    check_size,
)
from oneprice.twin.contract import (
    Fill,
    Filled,
    Kind,
    Order,
    OrderChanged,
    OrderRequest,
    Output,
    Refusal,
    SelfTrade,
    State,
)
from oneprice.twin.docket import Docket
from oneprice.twin.floor import Floor
from oneprice.twin.holdings import Holdings
from oneprice.twin.matching import Hit, Match, Resting
from oneprice.twin.solvency import Solvency, Wish
from oneprice.twin.vault import Posting, Vault

_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)


class Trader:
    """Carries out orders on the floors; every change is told through `emit`, in order."""

    def __init__(
        self,
        floors: Mapping[InstrumentId, Floor],
        vault: Vault,
        holdings: Holdings,
        docket: Docket,
        solvency: Solvency,
        emit: Callable[[Output], None],
    ) -> None:
        self._floors = floors
        self._vault = vault
        self._holdings = holdings
        self._docket = docket
        self._solvency = solvency
        self._emit = emit
        self._admission = Admission(solvency, docket, holdings)
        self._spread: list[tuple[str, InstrumentId, int]] = []  # positions that just changed

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

    def cancel(self, key: str, order_id: int, at: int) -> Order:
        order = self._docket.living(key, order_id)
        return self._end(order.id, State.CANCELLED, "user", at)

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

    def _create(self, request: OrderRequest, floor: Floor, at: int) -> Order:
        instrument = floor.instrument
        fee_asset = instrument.settle
        if not instrument.is_derivative:
            fee_asset = instrument.base if request.side is Side.BUY else instrument.quote
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
                reason="",
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
        price = floor.instrument.price(ticks)
        value = floor.value(price, lots)
        rate = extras.maker_fee if maker else extras.taker_fee
        spot_buy = not floor.instrument.is_derivative and order.side is Side.BUY
        paid = floor.instrument.size(lots) if spot_buy else value
        fee = self._vault.rounded(paid * rate)
        after = self._progress(order, floor, (lots, value, fee), at)
        posting = Posting(
            kind="trade",
            instrument=floor.id,
            side=order.side,
            ticks=ticks,
            price=price,
            lots=lots,
            rate=rate,
            fill_id=self._docket.next_fill_id(),
            order_id=order.id,
            client_id=order.client_id,
        )
        realised, closed = self._settle(order, floor, posting, (value, fee), at)
        fill = Fill(
            id=posting.fill_id,
            trade_id=trade_id,
            order_id=order.id,
            client_id=order.client_id,
            account=order.account,
            instrument=floor.id,
            side=order.side,
            ticks=ticks,
            lots=lots,
            value=value,
            fee=fee,
            fee_asset=order.fee_asset,
            fee_rate=rate,
            maker=maker,
            realised=realised,
            closed_lots=closed,
            leaves_lots=after.lots - after.filled_lots,
            mark=floor.mark,
            index=floor.index,
            sequence=floor.sequence,
            at=at,
        )
        self._docket.add_fill(fill)
        self._emit(Filled(fill=fill, order=after))

    def _progress(
        self, order: Order, floor: Floor, part: tuple[int, Money, Money], at: int
    ) -> Order:
        """The order after one more fill of (lots, value, fee)."""
        lots, value, fee = part
        self._hold_part(order, floor, -lots)
        filled = order.filled_lots + lots
        total = order.filled_value + value
        return self._docket.change(
            order.id,
            filled_lots=filled,
            filled_value=total,
            fees=order.fees + fee,
            average=floor.average(total, filled),
            state=State.FILLED if filled >= order.lots else State.PARTIAL,
            updated_at=at,
        )

    def _settle(
        self, order: Order, floor: Floor, posting: Posting, money: tuple[Money, Money], at: int
    ) -> tuple[Money, int]:
        """Moves the money of a fill; realised profit and closed lots for derivatives."""
        value, fee = money
        instrument = floor.instrument
        wallet = self._solvency.wallet_of(instrument.market).name
        replace = msgspec.structs.replace
        if not instrument.is_derivative:
            size = instrument.size(posting.lots)
            flows = {instrument.base: size * order.side, instrument.quote: -value * order.side}
            for asset, flow in flows.items():
                cost = fee if asset == order.fee_asset else ZERO
                rate = posting.rate if asset == order.fee_asset else ZERO
                row = replace(posting, cash_flow=flow, fee=cost, rate=rate)
                self._vault.post((order.account, wallet, asset), row, at)
            return ZERO, 0
        place = (order.account, floor.id, order.position_index)
        trade = (posting.price, posting.lots)
        change = self._holdings.trade(place, instrument, order.side, trade, at)
        realised = self._vault.rounded(change.realised)
        self._holdings.add_cost(place, -fee, "fill")
        purse = (order.account, wallet, instrument.settle)
        lots = self._holdings.get(place).lots
        row = replace(posting, cash_flow=realised, fee=fee, position_lots=lots)
        self._vault.post(purse, row, at)
        self._vault.book_result(purse, realised - fee)
        self._spread.append(place)
        return realised, change.closed_lots

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
        self._hold_part(order, floor, sign * (order.lots - order.filled_lots))

    def _hold_part(self, order: Order, floor: Floor, lots: int) -> None:
        if floor.instrument.is_derivative or order.kind is Kind.MARKET:
            return
        wish = Wish(side=order.side, lots=lots, price=floor.instrument.price(order.ticks))
        asset, amount = self._solvency.spot_need(floor, wish)
        wallet = self._solvency.wallet_of(floor.instrument.market).name
        self._vault.hold((order.account, wallet, asset), amount)

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
        while self._spread:
            place = self._spread.pop()
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

"""What a fill does: the order grows, the position moves, money changes hands, rows are written."""

from decimal import Decimal

import msgspec

from oneprice.model.units import ZERO, InstrumentId, Money
from oneprice.twin.contract import Fill, Filled, Kind, Order, State
from oneprice.twin.exposure import Wish
from oneprice.twin.floor import Floor
from oneprice.twin.hall import Hall
from oneprice.twin.vault import Posting

OWN_DOING = ("liquidation", "adl", "delivery")  # orders that the exchange itself makes


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of one order: size, exact price, and what it costs."""

    ticks: int
    lots: int
    price: Decimal
    rate: Decimal  # fee
    trade_id: int
    maker: bool
    at: int


class Settlement:
    """Books deals; knows nothing of books and queues."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self.moved: list[tuple[str, InstrumentId, int]] = []  # positions that just changed

    def book(self, order: Order, floor: Floor, deal: Deal) -> Fill:
        """Carries a deal out for its order; told as Filled."""
        hall = self._hall
        value = floor.value(deal.price, deal.lots)
        in_base = not floor.instrument.is_derivative and order.fee_asset == floor.instrument.base
        paid = floor.instrument.size(deal.lots) if in_base else value
        fee = hall.vault.rounded(paid * deal.rate, order.fee_asset)
        after = self._progress(order, floor, (deal.lots, value, fee), deal.at)
        posting = Posting(
            kind=order.reason if order.reason in OWN_DOING else "trade",
            instrument=floor.id,
            side=order.side,
            ticks=deal.ticks,
            price=deal.price,
            lots=deal.lots,
            rate=deal.rate,
            fill_id=hall.docket.next_fill_id(),
            order_id=order.id,
            client_id=order.client_id,
        )
        realised, closed = self._settle(order, floor, posting, (value, fee), deal.at)
        fill = Fill(
            id=posting.fill_id,
            trade_id=deal.trade_id,
            order_id=order.id,
            client_id=order.client_id,
            account=order.account,
            instrument=floor.id,
            side=order.side,
            ticks=deal.ticks,
            lots=deal.lots,
            value=value,
            fee=fee,
            fee_asset=order.fee_asset,
            fee_rate=deal.rate,
            maker=deal.maker,
            realised=realised,
            closed_lots=closed,
            leaves_lots=after.lots - after.filled_lots,
            mark=floor.mark,
            index=floor.index,
            sequence=floor.sequence,
            at=deal.at,
            position_index=order.position_index,
            reason=order.reason if order.reason in OWN_DOING else "",
            price=deal.price,
        )
        hall.docket.add_fill(fill)
        hall.emit(Filled(fill=fill, order=after))
        if not deal.maker and not fill.reason:
            hall.pressed(floor, deal.lots * order.side, deal.at)
        return fill

    def hold_part(self, order: Order, floor: Floor, lots: int) -> None:
        """Locks (below zero: frees) what so many lots of a spot limit order need."""
        if floor.instrument.is_derivative or order.kind is Kind.MARKET:
            return
        price = floor.instrument.price(order.ticks)
        wish = Wish(side=order.side, lots=lots, price=price)
        asset, amount = self._hall.solvency.spot_need(floor, wish)
        wallet = self._hall.solvency.wallet_of(floor.instrument.market).name
        self._hall.vault.hold((order.account, wallet, asset), amount)

    def _progress(
        self, order: Order, floor: Floor, part: tuple[int, Money, Money], at: int
    ) -> Order:
        """The order after one more fill of (lots, value, fee)."""
        lots, value, fee = part
        self.hold_part(order, floor, -lots)
        filled = order.filled_lots + lots
        total = order.filled_value + value
        return self._hall.docket.change(
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
        hall, instrument = self._hall, floor.instrument
        wallet = hall.solvency.wallet_of(instrument.market).name
        replace = msgspec.structs.replace
        if not instrument.is_derivative:
            size = instrument.size(posting.lots)
            flows = {instrument.base: size * order.side, instrument.quote: -value * order.side}
            for asset, flow in flows.items():
                cost = fee if asset == order.fee_asset else ZERO
                rate = posting.rate if asset == order.fee_asset else ZERO
                row = replace(posting, cash_flow=flow, fee=cost, rate=rate)
                hall.vault.post((order.account, wallet, asset), row, at)
            return ZERO, 0
        place = (order.account, floor.id, order.position_index)
        isolated = hall.holdings.mode(order.account, floor.id, hall.setup.margin_mode)
        change = hall.holdings.trade(
            place, floor, order.side, (posting.price, posting.lots), at
        )
        if isolated == "isolated":
            self._set_margin_aside(place, floor, posting, change.closed_lots)
        realised = hall.vault.rounded(change.realised, instrument.settle)
        hall.holdings.add_fee(place, fee)
        purse = (order.account, wallet, instrument.settle)
        lots = hall.holdings.get(place).lots
        row = replace(posting, cash_flow=realised, fee=fee, position_lots=lots)
        hall.vault.post(purse, row, at)
        hall.vault.book_result(purse, realised - fee)
        if posting.kind != "trade":
            hall.holdings.dirty[place] = posting.kind
        self.moved.append(place)
        return realised, change.closed_lots

    def _set_margin_aside(
        self, place: tuple[str, InstrumentId, int], floor: Floor, posting: Posting, closed: int
    ) -> None:
        """An isolated position keeps a share when it shrinks and gets more when it grows."""
        held = self._hall.holdings.get(place)
        opened = posting.lots - closed
        if closed:
            kept = 0 if opened else abs(held.lots)  # both: it turned around
            share = Decimal(kept) / (kept + closed)
            held.margin = self._hall.vault.rounded(held.margin * share, floor.instrument.settle)
        if opened:
            rate = self._hall.solvency.exposure.initial_rate(place, floor)
            more = floor.value(posting.price, opened) * rate
            held.margin += self._hall.vault.rounded(more, floor.instrument.settle)

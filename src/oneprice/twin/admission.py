"""The door for orders: everything a venue checks before an order may live."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import Payoff
from oneprice.model.units import Side
from oneprice.twin.contract import Kind, Order, OrderRequest, Refusal
from oneprice.twin.docket import Docket
from oneprice.twin.exposure import Wish
from oneprice.twin.floor import Floor
from oneprice.twin.holdings import Holdings
from oneprice.twin.solvency import Solvency


class Admission:
    """Turns a request into one that is clipped, priced and payable, or refuses it."""

    def __init__(self, solvency: Solvency, docket: Docket, holdings: Holdings) -> None:
        self._solvency = solvency
        self._docket = docket
        self._holdings = holdings

    def admit(self, request: OrderRequest, floor: Floor) -> OrderRequest:
        """The request as the exchange will carry it out; Refusal otherwise."""
        check_open(floor)
        if request.kind is Kind.MARKET:
            request = self._market_order(request, floor)
        else:
            request = self._limit_price(request, floor)
        self._mode(request, floor)
        if request.reduce_only:
            request = self._reduce(request, floor)
        check_size(floor, request.lots, market=request.kind is Kind.MARKET)
        check_notional(floor, request)
        self._docket.check_client_id(request)
        if len(self._docket.open_in(request.account, floor.id)) >= floor.listing.extras.orders_max:
            raise Refusal("too_many_orders", floor.id)
        self.check_money(request, floor)
        return request

    def check_money(self, request: OrderRequest, floor: Floor) -> None:
        """Whether the order can be paid; reducing orders always can."""
        if request.reduce_only or request.lots == 0:
            return
        price = floor.instrument.price(request.ticks)
        if request.kind is Kind.MARKET:
            price = _expected_price(request, floor)
        if price <= 0:
            return
        wish = Wish(
            side=request.side,
            lots=request.lots,
            price=price,
            position_index=request.position_index,
        )
        if floor.instrument.is_derivative:
            self._solvency.check_margin(request.account, floor, wish)
        else:
            self._solvency.check_spot(request.account, floor, wish)

    def _mode(self, request: OrderRequest, floor: Floor) -> None:
        if not floor.instrument.is_derivative:
            if request.reduce_only or request.position_index:
                raise Refusal("bad_request", "spot orders neither reduce nor have a position side")
            return
        hedged = self._holdings.hedged(request.account, floor.instrument.market)
        if hedged != (request.position_index in (1, 2)):
            mode = "hedge" if hedged else "one-way"
            raise Refusal("position_mode", f"account is in {mode} mode")
        closing_side = {1: Side.SELL, 2: Side.BUY}.get(request.position_index)
        if request.side is closing_side and not request.reduce_only:
            place = (request.account, floor.id, request.position_index)
            if request.lots > abs(self._holdings.get(place).lots):
                raise Refusal("reduce_only", "closing more than the position of this side")

    def _reduce(self, request: OrderRequest, floor: Floor) -> OrderRequest:
        """Cut to the position; refused where it would open or enlarge one."""
        place = (request.account, floor.id, request.position_index)
        lots = self._holdings.get(place).lots
        if lots * request.side >= 0:
            raise Refusal("reduce_only", "nothing to reduce")
        return msgspec.structs.replace(request, lots=min(request.lots, abs(lots)))

    def _limit_price(self, request: OrderRequest, floor: Floor) -> OrderRequest:
        ticks = banded(floor, request.side, request.ticks)
        return request if ticks == request.ticks else msgspec.structs.replace(request, ticks=ticks)

    def _market_order(self, request: OrderRequest, floor: Floor) -> OrderRequest:
        """An immediate order with a protective price; a size in quote becomes lots."""
        half = floor.book.half(request.side.opposite)
        best = half.best()
        bound = floor.listing.extras.market_bound
        limit = request.ticks
        if not limit and best:
            limit = max(1, _scaled(best, 1 + bound * request.side, request.side))
        request = msgspec.structs.replace(
            request, ticks=limit, time_in_force=TimeInForce.IOC, refuse_would_take=False
        )
        if request.quote_amount is None:
            return request
        lots = _lots_for(request.quote_amount, floor, request.side, limit)
        if lots < max(1, floor.instrument.lots_min):
            raise Refusal("too_small" if best else "no_liquidity", f"{request.quote_amount}")
        return msgspec.structs.replace(request, lots=lots)


def check_open(floor: Floor) -> None:
    """Refusal not_tradable, or the word of the pause that the floor is in."""
    if not floor.instrument.tradable or floor.status not in ("trading", "paused"):
        raise Refusal("not_tradable", floor.id)
    if floor.status == "paused":
        raise Refusal(floor.pause_word, floor.id)


def check_size(floor: Floor, lots: int, *, market: bool) -> None:
    """Refusal bad_size, too_small, too_large by the instrument's limits."""
    instrument = floor.instrument
    if lots <= 0:
        raise Refusal("bad_size", f"{lots} lots")
    if lots < instrument.lots_min:
        raise Refusal("too_small", f"{instrument.size_text(lots)}")
    most = (floor.listing.extras.market_lots_max if market else 0) or instrument.lots_max
    if most and lots > most:
        raise Refusal("too_large", f"{instrument.size_text(lots)}")


def check_notional(floor: Floor, request: OrderRequest) -> None:
    instrument = floor.instrument
    if request.reduce_only or not instrument.notional_min:
        return
    ticks = request.ticks
    if request.kind is Kind.MARKET:
        ticks = floor.last_ticks or floor.book.bids.best() or ticks
    value = instrument.notional(ticks, request.lots)
    if value < instrument.notional_min:
        raise Refusal("min_notional", f"{value:f} is below {instrument.notional_min:f}")


def price_band(floor: Floor) -> tuple[int, int]:
    """Highest buy and lowest sell in ticks, 0 where the venue names none."""
    band = floor.listing.extras.band
    instrument = floor.instrument
    reference = floor.reference() if instrument.is_derivative else floor.index
    reference = reference or floor.middle()
    if not band or not reference:
        return 0, 0
    highest = (reference * (1 + band) / instrument.tick).to_integral_value(ROUND_FLOOR)
    lowest = (reference * (1 - band) / instrument.tick).to_integral_value(ROUND_CEILING)
    return int(highest), max(1, int(lowest))


def banded(floor: Floor, side: Side, ticks: int) -> int:
    """The limit price as the venue takes it: itself, moved into the band, or a Refusal."""
    instrument = floor.instrument
    price = instrument.price(ticks)
    if ticks <= 0 or price < instrument.price_min:
        raise Refusal("bad_price", f"{price:f} is too low")
    if instrument.price_max and price > instrument.price_max:
        raise Refusal("bad_price", f"{price:f} is above {instrument.price_max:f}")
    highest, lowest = price_band(floor)
    limit = highest if side is Side.BUY else lowest
    if not limit or (ticks - limit) * side <= 0:
        return ticks
    if floor.listing.extras.band_clips:
        return limit
    raise Refusal("price_band", f"{price:f} is beyond {instrument.price(limit):f}")


def as_request(order: Order, *, ticks: int, lots: int) -> OrderRequest:
    """What is left of an order as a fresh request, for the checks of an amendment."""
    return OrderRequest(
        account=order.account,
        instrument=order.instrument,
        side=order.side,
        lots=lots,
        ticks=ticks,
        kind=order.kind,
        time_in_force=order.time_in_force,
        reduce_only=order.reduce_only,
        position_index=order.position_index,
        self_trade=order.self_trade,
    )


def _scaled(ticks: int, factor: Decimal, side: Side) -> int:
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return int((ticks * factor).to_integral_value(rounding))


def _lots_for(amount: Decimal, floor: Floor, side: Side, limit: int) -> int:
    """The whole lots that an amount of quote buys, or whose sale brings it, at the book."""
    half = floor.book.half(side.opposite)
    lots = 0
    for ticks, size in half.levels():
        if not half.reached(ticks, limit):
            break
        price_of_lot = floor.value(floor.instrument.price(ticks), 1)
        whole = int((amount / price_of_lot).to_integral_value(ROUND_FLOOR))
        taken = min(size, whole)
        lots += taken
        amount -= taken * price_of_lot
        if taken < size:
            break
    return lots


def _expected_price(request: OrderRequest, floor: Floor) -> Decimal:
    """What a market order will pay on average by the book as it stands."""
    half = floor.book.half(request.side.opposite)
    rule = request.self_trade
    walk = half.walk(request.lots, request.ticks, request.account, rule)
    lots = sum(match.lots for match in walk)
    if not lots:
        return floor.instrument.price(request.ticks)
    if floor.instrument.payoff is Payoff.INVERSE:
        return floor.instrument.price(walk[-1].ticks)
    total = sum(match.ticks * match.lots for match in walk)
    return floor.instrument.tick * total / lots

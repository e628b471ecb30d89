"""From the parameters of an order call to a wish on the grid, or the venue's refusal."""

import hashlib
import re
from decimal import Decimal

from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import Instrument, OffGrid
from oneprice.model.units import Side
from oneprice.twin.contract import Exchange, Kind, Order, OrderRequest, Refusal, SelfTrade
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.shapes import STP_FROM_WIRE, digits

_SPOT_ID = "^[a-zA-Z0-9-_]{1,36}$"
_FUTURES_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
_PARTS = {"BOTH": 0, "LONG": 1, "SHORT": 2}


class Intake:
    """Reads orders; remembers how many ids it has made up."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._made = 0

    def fresh_id(self) -> str:
        """A client id for those who sent none: 22 characters, the same in every equal run."""
        self._made += 1
        return hashlib.sha256(f"client id {self._made}".encode()).hexdigest()[:22]

    # Spot --------------------------------------------------------------------------------

    def spot_order(self, call: Call, instrument: Instrument) -> OrderRequest:
        """POST /api/v3/order; raises the -11xx family for what is missing or malformed."""
        side = _side(call)
        kind = call.need("type")
        time_in_force, price, quote = TimeInForce.GTC, None, None
        if call.text("reduceOnly"):
            raise Denied(-1106, "Parameter 'reduceOnly' sent when not required.")
        match kind:
            case "LIMIT":
                time_in_force = _spot_tif(call.need("timeInForce"))
                price = call.decimal("price") if call.need("price") else None
            case "LIMIT_MAKER":
                time_in_force = TimeInForce.POST_ONLY
                price = call.decimal("price") if call.need("price") else None
            case "MARKET":
                quote = call.decimal("quoteOrderQty")
            case _:
                raise Denied(-1116, "Invalid orderType.")
        if kind == "MARKET" and not call.text("quantity") and quote is None:
            raise denials.either("quantity", "quoteOrderQty")
        quantity = None if quote is not None else _quantity(call)
        return OrderRequest(
            account=call.key,
            instrument=instrument.id,
            side=side,
            lots=0 if quantity is None else spot_lots(instrument, quantity),
            ticks=0 if price is None else spot_ticks(instrument, price),
            kind=Kind.MARKET if kind == "MARKET" else Kind.LIMIT,
            time_in_force=time_in_force,
            client_id=self._client_id(call, "newClientOrderId", _SPOT_ID),
            self_trade=_stp(call, SelfTrade.CANCEL_MAKER),
            quote_amount=quote,
            refuse_would_take=True,
        )

    def _client_id(self, call: Call, name: str, rule: str) -> str:
        given = call.text(name)
        if not given:
            return self.fresh_id()
        if call.product != "spot" and len(given) > 36:
            raise Denied(-4015, "Client order id length should be less than 36 chars.")
        if not re.fullmatch(rule[1:-1], given):
            raise denials.malformed(name, rule)
        return given

    def cancel_id(self, call: Call) -> str:
        """Spot cancels carry an id of their own."""
        return self._client_id(call, "newClientOrderId", _SPOT_ID)

    # Futures -----------------------------------------------------------------------------

    def futures_order(self, call: Call, instrument: Instrument) -> OrderRequest:
        """POST /fapi/v1/order; conditional types live elsewhere and give -4120."""
        side = _side(call)
        kind = call.need("type")
        if kind in _CONDITIONAL:
            raise Denied(
                -4120,
                "Order type not supported for this endpoint. Please use the Algo Order API "
                "endpoints instead.",
            )
        if kind not in ("LIMIT", "MARKET"):
            raise Denied(-1116, "Invalid orderType.")
        limit = kind == "LIMIT"
        time_in_force = _futures_tif(call.need("timeInForce")) if limit else TimeInForce.GTC
        reduce_only = bool(call.flag("reduceOnly"))
        index = self.position_index(call)
        if index and call.text("reduceOnly"):
            raise Denied(-1106, "Parameter 'reduceonly' sent when not required.")
        price = _price(call) if limit else None
        lots = futures_lots(instrument, _quantity(call))
        return OrderRequest(
            account=call.key,
            instrument=instrument.id,
            side=side,
            lots=lots,
            ticks=0 if price is None else futures_ticks(instrument, price),
            kind=Kind.LIMIT if limit else Kind.MARKET,
            time_in_force=time_in_force,
            client_id=self._client_id(call, "newClientOrderId", _FUTURES_ID),
            reduce_only=reduce_only,
            position_index=index,
            self_trade=_stp(call, SelfTrade.CANCEL_MAKER),
            refuse_would_take=True,
            refuse_not_fillable=True,
        )

    def position_index(self, call: Call) -> int:
        """BOTH, LONG or SHORT; raises -4061 where it does not fit the account's mode."""
        word = call.text("positionSide", "BOTH")
        if word not in _PARTS:
            raise denials.bad_value("positionSide")
        if (word == "BOTH") == self.exchange.hedge_mode(call.key, call.product):
            raise Denied(-4061, "Order's position side does not match user's setting.")
        return _PARTS[word]

    # Both --------------------------------------------------------------------------------

    def find_order(
        self, call: Call, instrument: Instrument, names: tuple[str, str], unknown: Denied
    ) -> Order:
        """The order named by venue id or client id; raises `unknown` where there is none."""
        by_id, by_client = call.text(names[0]), call.text(names[1])
        if not by_id and not by_client:
            raise denials.either(names[1], names[0])
        try:
            if by_id:
                order = self.exchange.order(call.key, call.integer(names[0], 0))
            else:
                order = self.exchange.order_by_client_id(call.key, by_client, instrument.id)
        except Refusal:
            raise unknown from None
        if order.instrument != instrument.id:
            raise unknown
        if by_id and by_client and order.client_id != by_client:
            raise Denied(-2039, "Client order ID is not correct for this order ID.")
        return order

    def place(self, call: Call, request: OrderRequest, instrument: Instrument) -> Order:
        """Hands the order to the exchange and says its refusals in the venue's words."""
        try:
            return self.exchange.place(request, call.at)
        except Refusal as refusal:
            raise self.refused(call.product, refusal.word, request, instrument) from None

    def refused(
        self, product: str, word: str, request: OrderRequest, instrument: Instrument
    ) -> Denied:
        facts = {"notional_min": f"{instrument.notional_min.normalize():f}", "limit": "0"}
        if word == "price_band" and product != "spot" and request.kind is Kind.LIMIT:
            highest, lowest = self.exchange.price_band(instrument.id)
            buying = request.side is Side.BUY
            word = "price_high" if buying else "price_low"
            facts["limit"] = instrument.price_text(highest if buying else lowest)
        return denials.translated(product, word, facts)


def _side(call: Call) -> Side:
    match call.need("side"):
        case "BUY":
            return Side.BUY
        case "SELL":
            return Side.SELL
    raise Denied(-1117, "Invalid side.")


def _spot_tif(word: str) -> TimeInForce:
    if word in ("GTC", "IOC", "FOK"):
        return TimeInForce(word.lower())
    raise Denied(-1115, "Invalid timeInForce.")


def _futures_tif(word: str) -> TimeInForce:
    if word == "GTX":
        return TimeInForce.POST_ONLY
    return _spot_tif(word)


def _stp(call: Call, default: SelfTrade) -> SelfTrade:
    word = call.text("selfTradePreventionMode")
    if not word:
        return default
    if word not in STP_FROM_WIRE:
        raise denials.bad_value("selfTradePreventionMode")
    return STP_FROM_WIRE[word]


def _quantity(call: Call) -> Decimal:
    call.need("quantity")
    return call.decimal("quantity") or Decimal(0)


def _price(call: Call) -> Decimal:
    call.need("price")
    return call.decimal("price") or Decimal(0)


def spot_ticks(instrument: Instrument, price: Decimal) -> int:
    """Raises -1111 beyond eight places and -1013 PRICE_FILTER off the grid or range."""
    if digits(price) > 8:
        raise denials.precision()
    if price <= 0:
        raise Denied(-1013, "Invalid price.")
    if instrument.price_max and not instrument.price_min <= price <= instrument.price_max:
        raise denials.filter_failure("PRICE_FILTER")
    try:
        return instrument.ticks(price)
    except OffGrid:
        raise denials.filter_failure("PRICE_FILTER") from None


def spot_lots(instrument: Instrument, size: Decimal) -> int:
    """Raises -1111 beyond eight places and -1013 LOT_SIZE off the grid."""
    if digits(size) > 8:
        raise denials.precision()
    if size <= 0:
        raise Denied(-1013, "Invalid quantity.")
    try:
        return instrument.lots(size)
    except OffGrid:
        raise denials.filter_failure("LOT_SIZE") from None


def futures_ticks(instrument: Instrument, price: Decimal) -> int:
    """Raises -1111 beyond pricePrecision, -4014 off the tick, -4001/-4002/-4013 off range."""
    if price <= 0:
        raise Denied(-4001, "Price less than 0.")
    if digits(price) > max(2, digits(instrument.tick)):
        raise denials.precision()
    if instrument.price_max and price > instrument.price_max:
        raise Denied(-4002, "Price greater than max price.")
    if price < instrument.price_min:
        raise Denied(-4013, "Price less than min price.")
    try:
        return instrument.ticks(price)
    except OffGrid:
        raise Denied(-4014, "Price not increased by tick size.") from None


def futures_lots(instrument: Instrument, size: Decimal) -> int:
    """Raises -4003 for nothing, -1111 beyond quantityPrecision, -4023 off the step."""
    if size <= 0:
        raise Denied(-4003, "Quantity less than or equal to zero.")
    if digits(size) > digits(instrument.lot):
        raise denials.precision()
    try:
        return instrument.lots(size)
    except OffGrid:
        raise Denied(-4023, "Qty not increased by step size.") from None

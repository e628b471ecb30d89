"""How Binance writes prices, sizes, money, sides and states."""

from decimal import Decimal

import msgspec

from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import MILLI, ROUNDED, InstrumentId, Side, plain
from oneprice.twin.contract import Exchange, Fill, Kind, Levels, Listing, Order, SelfTrade, State

PERPETUAL_END_MS = 4_133_404_800_000


def digits(step: Decimal) -> int:
    """Decimal places of a step such as 0.010 (2)."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def fixed(number: Decimal, places: int = 8) -> str:
    """A decimal with a fixed number of places, never in exponent form and never -0."""
    text = format(ROUNDED.quantize(number, Decimal(1).scaleb(-places)), "f")
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def quotient(value: Decimal, by: Decimal) -> Decimal:
    """A ratio, 0 where there is nothing to divide by."""
    return ROUNDED.divide(value, by) if by else Decimal(0)


def side_word(side: Side) -> str:
    return "BUY" if side is Side.BUY else "SELL"


class Grid(msgspec.Struct, frozen=True):
    """Writes grid numbers of one instrument with the places the venue uses."""

    price_places: int
    price_unit: int
    size_places: int
    size_unit: int

    def price(self, ticks: int) -> str:
        return _scaled(ticks * self.price_unit, self.price_places)

    def size(self, lots: int) -> str:
        return _scaled(lots * self.size_unit, self.size_places)

    def levels(self, levels: Levels, most: int = 0) -> list[tuple[str, str]]:
        chosen = levels[:most] if most else levels
        return [(self.price(ticks), self.size(lots)) for ticks, lots in chosen]


def _scaled(number: int, places: int) -> str:
    if not places:
        return str(number)
    whole, rest = divmod(abs(number), 10**places)
    return f"{'-' if number < 0 else ''}{whole}.{rest:0{places}d}"


def grid_of(instrument: Instrument) -> Grid:
    """Spot writes eight places, USD-M its precisions, COIN-M the places of its steps."""
    match instrument.market:
        case "spot":
            price, size = 8, 8
        case "usdm":
            price, size = max(2, digits(instrument.tick)), digits(instrument.lot)
        case _:
            price, size = digits(instrument.tick), digits(instrument.lot)
    return Grid(price, int(instrument.tick.scaleb(price)), size, int(instrument.lot.scaleb(size)))


class Catalog:
    """Instruments of the exchange with their grids, found by id or by symbol."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._grids: dict[InstrumentId, Grid] = {}
        self._found: dict[InstrumentId, Listing] = {}

    def grid(self, instrument: InstrumentId) -> Grid:
        known = self._grids.get(instrument)
        if known is None:
            known = self._grids[instrument] = grid_of(self.instrument(instrument))
        return known

    def listing(self, instrument: InstrumentId) -> Listing:
        known = self._found.get(instrument)
        if known is None:
            _, market, symbol = split_id(instrument)
            known = self._found[instrument] = self.exchange.listing(market, symbol)
        return known

    def instrument(self, instrument: InstrumentId) -> Instrument:
        return self.listing(instrument).instrument

    def symbol(self, instrument: InstrumentId) -> str:
        return self.listing(instrument).instrument.symbol

    def market(self, instrument: InstrumentId) -> str:
        return self.listing(instrument).instrument.market


def pair_of(instrument: Instrument) -> str:
    """`BTCUSD_PERP` belongs to the pair `BTCUSD`."""
    return instrument.symbol.partition("_")[0]


def millis(at: int) -> int:
    return at // MILLI


STP_TO_WIRE = {
    SelfTrade.NONE: "NONE",
    SelfTrade.CANCEL_MAKER: "EXPIRE_MAKER",
    SelfTrade.CANCEL_TAKER: "EXPIRE_TAKER",
    SelfTrade.CANCEL_BOTH: "EXPIRE_BOTH",
}
STP_FROM_WIRE = {word: mode for mode, word in STP_TO_WIRE.items()}


def status(order: Order) -> str:
    """The status word; remainders of immediate orders are EXPIRED even with fills."""
    match order.state:
        case State.NEW:
            return "NEW"
        case State.PARTIAL:
            return "PARTIALLY_FILLED"
        case State.FILLED:
            return "FILLED"
        case State.EXPIRED:
            return "EXPIRED"
        case State.REJECTED:
            return "REJECTED"
    if order.reason == "self_trade":
        return "EXPIRED_IN_MATCH"
    ours = ("", "user", "amend_filled", "amend", "countdown")
    return "CANCELED" if order.reason in ours else "EXPIRED"


def spot_type(order: Order) -> str:
    if order.kind is Kind.MARKET:
        return "MARKET"
    return "LIMIT_MAKER" if order.time_in_force is TimeInForce.POST_ONLY else "LIMIT"


def spot_tif(order: Order) -> str:
    """Market and maker-only orders are shown as GTC."""
    if order.kind is Kind.MARKET or order.time_in_force is TimeInForce.POST_ONLY:
        return "GTC"
    return order.time_in_force.value.upper()


def futures_tif(order: Order) -> str:
    if order.kind is Kind.MARKET:
        return "GTC"
    return (
        "GTX"
        if order.time_in_force is TimeInForce.POST_ONLY
        else (order.time_in_force.value.upper())
    )


def limit_ticks(order: Order) -> int:
    """The limit price in ticks as the customer sent it; market orders show zero."""
    return 0 if order.kind is Kind.MARKET else order.ticks


def system_id(order: Order, instrument: Instrument) -> str:
    """The client id as the customer gave it, or the one of an order of the venue's own."""
    match order.reason:
        case "liquidation":
            return f"autoclose-{order.id}"
        case "adl":
            return "adl_autoclose"
        case "delivery":
            return f"{'delivery' if instrument.expiry else 'settlement'}_autoclose-{order.id}"
    return order.client_id


def fill_price(fill: Fill, grid: Grid) -> str:
    """The venue's own deals are not on the grid."""
    return plain(fill.price) if fill.reason else grid.price(fill.ticks)


POSITION_SIDES = ("BOTH", "LONG", "SHORT")

"""The instruments as the wire prints them, and what all handlers share."""

from decimal import Decimal

import msgspec

from oneprice.model.instrument import Instrument, OffGrid, Payoff
from oneprice.model.units import Asset, Side, plain
from oneprice.twin.contract import AccountSpec, Exchange, Kind, Listing, Order, Refusal
from oneprice.twin.dialects.kucoin import names
from oneprice.twin.dialects.kucoin.envelope import Failure, number
from oneprice.twin.dialects.kucoin.fields import Fields
from oneprice.twin.dialects.kucoin.refusals import failure, unknown_order

SPOT, FUTURES = "spot", "futures"
# Smallest step of `funds` where the recorded listings name one (section 5.1).
QUOTE_INCREMENT = Decimal("0.000001")
# Bitcoin is called otherwise in the futures wallet only.
_FUTURES_COINS = {"BTC": "XBT"}


class Sheet:
    """One instrument: how its numbers are printed and read."""

    def __init__(self, listing: Listing) -> None:
        self.instrument: Instrument = listing.instrument
        self.extras = listing.extras
        self.id = self.instrument.id
        self.symbol = self.instrument.symbol
        self.spot = self.instrument.market == SPOT
        self.inverse = self.instrument.payoff is Payoff.INVERSE
        self.dated = bool(self.instrument.expiry)

    def price(self, ticks: int) -> str:
        return self.instrument.price_text(ticks)

    def size(self, lots: int) -> str:
        return self.instrument.size_text(lots)

    def quantity(self, lots: int) -> int | str:
        """A size as futures rows print it: contracts as a whole number; spot: text."""
        return self.size(lots) if self.spot else int(self.instrument.size(lots))

    def quoted(self, price: Decimal) -> Decimal:
        """Mark and index prices, two decimals finer than the grid at most."""
        places = len(plain(self.instrument.tick).partition(".")[2])
        return number(price, places + 1)

    @property
    def multiplier(self) -> Decimal:
        """Section 5.2: -1 for inverse contracts of one dollar."""
        return -self.instrument.contract_value if self.inverse else self.instrument.contract_value

    def ticks(self, price: Decimal) -> int:
        """The price on the grid; the venue's refusal where it is not."""
        try:
            return int(self.instrument.ticks(price))
        except OffGrid:
            raise failure(Refusal("bad_price"), self.spot) from None

    def lots(self, size: Decimal) -> int:
        """The size on the grid; the venue's refusal where it is not."""
        try:
            return int(self.instrument.lots(size))
        except OffGrid:
            raise failure(Refusal("bad_size"), self.spot) from None


class Facts:
    """The exchange and its instruments by id and by symbol; symbols are unique over markets."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.all = [Sheet(listing) for listing in exchange.listings()]
        self.by_id = {sheet.id: sheet for sheet in self.all}
        self._by_symbol = {sheet.symbol: sheet for sheet in self.all}
        self.taped = exchange.setup.taped

    def find(self, symbol: str) -> Sheet | None:
        return self._by_symbol.get(symbol)

    def of(self, market: str) -> list[Sheet]:
        return [sheet for sheet in self.all if sheet.instrument.market == market]

    def sheet(self, spot: bool, symbol: str) -> Sheet:
        """The instrument of a product, or the product's refusal of an unknown symbol."""
        found = self._by_symbol.get(symbol)
        if found is None or found.spot is not spot:
            raise failure(Refusal("no_such_instrument"), spot)
        return found

    def wallet(self, market: str) -> str:
        return self.exchange.wallet_of(market)

    def status(self, sheet: Sheet) -> str:
        """How the exchange says the listing stands: trading, paused, settling, delisted."""
        return self.exchange.listing(sheet.instrument.market, sheet.symbol).status

    # Orders ----------------------------------------------------------------------------------

    def order(self, account: AccountSpec, spot: bool, text: str) -> Order | None:
        """The order of a venue id in a product, open or closed, or None."""
        try:
            found = self.exchange.order(account.key, names.order_number(spot, text))
        except Refusal:
            return None
        return found if self.by_id[found.instrument].spot is spot else None

    def named(self, account: AccountSpec, spot: bool, client_id: str) -> Order | None:
        """The newest order of a client id in a product, or None."""
        market = SPOT if spot else FUTURES
        for found in reversed(self.exchange.orders(account.key, market=market)):
            if client_of(found) == client_id:
                return found
        return None

    def asked(self, account: AccountSpec, spot: bool, fields: Fields) -> Order:
        """The order that `orderId` or `clientOid` names; the refusal of unknown ones."""
        found = None
        if "orderId" in fields:
            found = self.order(account, spot, fields.text("orderId"))
        elif "clientOid" in fields:
            found = self.named(account, spot, fields.text("clientOid"))
        if found is None or found.instrument not in self.by_id:
            raise unknown_order(spot)
        return found


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request: who (nobody on public paths), what, when, and to which address."""

    fields: Fields
    at: int
    account: AccountSpec | None = None
    host: str = ""  # as the request's Host header says it
    futures: bool = False  # it came by the futures prefix

    @property
    def owner(self) -> AccountSpec:
        """The account of a signed request."""
        if self.account is None:
            raise Failure("400001", "This request needs a key.")
        return self.account

    @property
    def key(self) -> str:
        return self.owner.key


def client_of(order: Order) -> str:
    """The client id; one is made up where the sender gave none or the exchange itself ordered."""
    known = order.client_id or order.echo.get("clientOid", "")
    return known or names.generated_client_id(order.id)


def word_of(side: Side) -> str:
    return "buy" if side is Side.BUY else "sell"


def kind_of(order: Order) -> str:
    return "market" if order.kind is Kind.MARKET else "limit"


def futures_coin(asset: Asset) -> Asset:
    """What a spot coin is called in the futures wallet."""
    return _FUTURES_COINS.get(asset, asset)


def spot_coin(asset: Asset) -> Asset:
    """The other way round."""
    return next((coin for coin, other in _FUTURES_COINS.items() if other == asset), asset)

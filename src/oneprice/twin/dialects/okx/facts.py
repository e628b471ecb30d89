"""Every instrument as this venue's wire knows it: type, code, family, index, printed numbers."""

from decimal import Decimal

from oneprice.model.instrument import Instrument
from oneprice.model.units import plain
from oneprice.twin.contract import Exchange, Listing

INST_TYPES = {"spot": "SPOT", "swap": "SWAP", "futures": "FUTURES"}
MARKETS = {kind: market for market, kind in INST_TYPES.items()}
# Section 5 tells these two; the others only have to be stable and different.
KNOWN_CODES = {"BTC-USDT-SWAP": 10459, "BTC-USD-SWAP": 10458}
FIRST_CODE = 10_600


class Sheet:
    """One instrument: the listing, its names and how numbers are printed."""

    def __init__(self, listing: Listing, code: int) -> None:
        self.listing = listing
        self.instrument: Instrument = listing.instrument
        self.extras = listing.extras
        self.id = self.instrument.id
        self.market = self.instrument.market
        self.inst_type = INST_TYPES.get(self.market, self.market.upper())
        self.inst_id = self.instrument.symbol
        self.code = code
        self.spot = not self.instrument.is_derivative
        self.inverse = self.instrument.settle == self.instrument.base and not self.spot
        self.index = f"{self.instrument.base}-{self.instrument.quote}"
        self.family = "" if self.spot else self.index

    def price(self, ticks: int) -> str:
        return self.instrument.price_text(ticks)

    def size(self, lots: int) -> str:
        """Contracts, on spot coins of base."""
        return self.instrument.size_text(lots)

    def quoted(self, price: Decimal) -> str:
        """A mark or index price, on the decimals of the tick."""
        return plain(price.quantize(self.instrument.tick)) if price else ""

    def coins(self, lots: int, price: Decimal) -> Decimal:
        """What a size stands for in coins of base."""
        size = self.instrument.size(lots) * self.instrument.contract_value
        if not self.inverse:
            return size
        return size / price if price else Decimal(0)

    def dollars(self, lots: int, price: Decimal) -> Decimal:
        """What a size is worth in quote."""
        size = self.instrument.size(lots) * self.instrument.contract_value
        return size if self.inverse else size * price


class Sheets:
    """Every instrument of the exchange, by id, by `instId` and by `instIdCode`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.all = [
            Sheet(one, KNOWN_CODES.get(one.instrument.symbol, FIRST_CODE + number))
            for number, one in enumerate(exchange.listings())
        ]
        self.by_id = {sheet.id: sheet for sheet in self.all}
        self.by_inst = {sheet.inst_id: sheet for sheet in self.all}
        self.by_code = {sheet.code: sheet for sheet in self.all}

    def of(self, inst_type: str) -> list[Sheet]:
        """Of one type; "ANY" and "" mean all."""
        return [one for one in self.all if inst_type in ("", "ANY", one.inst_type)]

    def of_index(self, index: str) -> list[Sheet]:
        """Derivatives first: they carry the index price."""
        found = [one for one in self.all if one.index == index]
        return sorted(found, key=lambda one: one.spot)

    @property
    def indexes(self) -> list[str]:
        return list(dict.fromkeys(one.index for one in self.all))

    def dollar_rate(self, coin: str) -> Decimal:
        """USD per coin by an index price; 0 where the venue has none."""
        if coin in ("USD", "USDT", "USDC"):
            return Decimal(1)
        for sheet in sorted(self.all, key=lambda one: one.spot):
            if sheet.instrument.base == coin:
                ticker = self._exchange.ticker(sheet.id)
                return ticker.index or sheet.instrument.price(ticker.last_ticks)
        return Decimal(0)

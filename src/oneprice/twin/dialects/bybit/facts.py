"""What this venue tells of its instruments that the exchange has no word for."""

from decimal import Decimal

import msgspec

from oneprice.model.instrument import Instrument
from oneprice.model.units import plain
from oneprice.twin.contract import Exchange, Listing
from oneprice.twin.dialects.bybit.envelope import fixed


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the venue's own listing pages (recorded instruments-info of 2026-08)."""

    symbol_id: int
    price_scale: int  # decimals of prices as derivative streams print them
    ratio_x: str = "0.05"  # order price band, section 12
    ratio_y: str = "0.1"
    quote_step: str = "0.0000001"  # smallest step of an amount in quote, spot


KNOWN: dict[tuple[str, str], Facts] = {
    ("linear", "BTCUSDT"): Facts(symbol_id=5, price_scale=2, ratio_x="0.01", ratio_y="0.02"),
    ("linear", "ETHUSDT"): Facts(symbol_id=6, price_scale=2, ratio_x="0.02", ratio_y="0.04"),
    ("linear", "SOLUSDT"): Facts(symbol_id=38, price_scale=3),
    ("inverse", "BTCUSD"): Facts(symbol_id=1, price_scale=2, ratio_x="0.01", ratio_y="0.02"),
    ("inverse", "ETHUSD"): Facts(symbol_id=2, price_scale=2, ratio_x="0.02", ratio_y="0.04"),
    ("spot", "BTCUSDT"): Facts(symbol_id=9, price_scale=1, ratio_x="0.005", ratio_y="0.01"),
    ("spot", "ETHUSDT"): Facts(symbol_id=10, price_scale=2, ratio_x="0.005", ratio_y="0.01"),
    ("spot", "SOLUSDT"): Facts(
        symbol_id=42, price_scale=2, ratio_x="0.005", ratio_y="0.01", quote_step="0.000001"
    ),
}


class Sheet:
    """One instrument as the wire knows it: the listing, its facts and how numbers are printed."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.instrument: Instrument = listing.instrument
        self.extras = listing.extras
        self.id = self.instrument.id
        self.category = self.instrument.market
        self.symbol = self.instrument.symbol
        self.spot = self.category == "spot"
        self.inverse = self.category == "inverse"
        self.facts = KNOWN.get((self.category, self.symbol)) or Facts(
            symbol_id=1000 + sum(self.symbol.encode()), price_scale=_decimals(self.instrument.tick)
        )
        self._scale = Decimal(1).scaleb(-self.facts.price_scale)

    def price(self, ticks: int) -> str:
        """A price as books, trades and tickers print it: spot trimmed, derivatives padded."""
        if self.spot:
            return self.instrument.price_text(ticks)
        return fixed(self.instrument.price(ticks), self._scale)

    def size(self, lots: int) -> str:
        """A size as books and trades print it; "0" means that a level is gone."""
        if lots == 0:
            return "0"
        if self.spot:
            return self.instrument.size_text(lots)
        return fixed(self.instrument.size(lots), self.instrument.lot)

    def quoted(self, price: Decimal) -> str:
        """Mark and index prices, on the decimals of the venue's display."""
        return fixed(price, self._scale)

    def trimmed(self, ticks: int) -> str:
        """A price as orders and candles print it."""
        return self.instrument.price_text(ticks)

    def count(self, lots: int) -> str:
        """A size as orders and candles print it."""
        return self.instrument.size_text(lots)


class Sheets:
    """Every instrument of the exchange, by id and by category and symbol."""

    def __init__(self, exchange: Exchange) -> None:
        self.all = [Sheet(listing) for listing in exchange.listings()]
        self.by_id = {sheet.id: sheet for sheet in self.all}
        self._by_symbol = {(sheet.category, sheet.symbol): sheet for sheet in self.all}

    def find(self, category: str, symbol: str) -> Sheet | None:
        return self._by_symbol.get((category, symbol))

    def of(self, category: str) -> list[Sheet]:
        return [sheet for sheet in self.all if sheet.category == category]


def _decimals(step: Decimal) -> int:
    text = plain(step)
    return len(text.partition(".")[2])

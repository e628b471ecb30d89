"""Public news of futures: `forceOrder` liquidations, at most one a second, and `contractInfo`."""

from collections.abc import Callable
from typing import Any

import msgspec

from oneprice.model.units import SECOND
from oneprice.twin.contract import Exchange, Liquidated, ListingChanged, RiskTier
from oneprice.twin.dialects.binance.facts import delivery_ms, futures_status
from oneprice.twin.dialects.binance.shapes import (
    Catalog,
    fixed,
    millis,
    pair_of,
    side_word,
)

Push = Callable[[tuple[str, str], bytes], None]  # (product, stream name), payload


class Notices:
    """Gathers what happened and hands frames to `push`."""

    def __init__(self, exchange: Exchange, catalog: Catalog, push: Push) -> None:
        self._exchange = exchange
        self._catalog = catalog
        self._push = push
        self._largest: dict[str, Liquidated] = {}  # of the running second, per instrument
        self._second = 0

    def liquidated(self, news: Liquidated) -> None:
        known = self._largest.get(news.instrument)
        if known is None or news.lots > known.lots:
            self._largest[news.instrument] = news

    def listed(self, news: ListingChanged, at: int) -> None:
        """A futures symbol changed its status."""
        product = news.listing.instrument.market
        if product != "spot":
            payload = msgspec.json.encode(self._contract(news, at))
            self._push((product, "!contractInfo"), payload)

    def beat(self, at: int) -> None:
        """Once a second the largest liquidation of each symbol."""
        if at // SECOND == self._second:
            return
        self._second = at // SECOND
        for news in self._largest.values():
            instrument = self._catalog.instrument(news.instrument)
            payload = msgspec.json.encode(self._force(news, at))
            for name in (f"{instrument.symbol.lower()}@forceOrder", "!forceOrder@arr"):
                self._push((instrument.market, name), payload)
        self._largest.clear()

    def _force(self, news: Liquidated, at: int) -> dict[str, Any]:
        instrument = self._catalog.instrument(news.instrument)
        grid = self._catalog.grid(news.instrument)
        size = grid.size(news.lots)
        body: dict[str, Any] = {
            "s": instrument.symbol,
            "S": side_word(news.side),
            "o": "LIMIT",
            "f": "IOC",
            "q": size,
            "p": grid.price(news.ticks),
            "ap": fixed(news.average, grid.price_places),
            "X": "FILLED",
            "l": size,
            "z": size,
            "T": millis(news.at),
        }
        if instrument.market == "coinm":
            body["ps"] = pair_of(instrument)
        return {"e": "forceOrder", "E": millis(at), "o": body}

    def _contract(self, news: ListingChanged, at: int) -> dict[str, Any]:
        listing = news.listing
        instrument = listing.instrument
        tiers = self._exchange.tiers(instrument.id)
        return {
            "e": "contractInfo",
            "E": millis(at),
            "s": instrument.symbol,
            "ps": pair_of(instrument),
            "ct": "CURRENT_QUARTER" if instrument.expiry else "PERPETUAL",
            "dt": delivery_ms(listing),
            "ot": listing.extras.listed_ms,
            "cs": futures_status(listing),
            "bks": [_bracket(tier) for tier in tiers],
            "st": 1 if instrument.market == "usdm" else 2,
        }


def _bracket(tier: RiskTier) -> dict[str, Any]:
    return {
        "bs": tier.number,
        "bnf": int(tier.value_from),
        "bnc": int(tier.value_to or tier.value_from * 10),
        "mmr": float(tier.maintenance_rate),
        "cf": float(tier.deduction),
        "mi": 1,
        "ma": int(tier.leverage_max),
    }

"""The dialect of Binance: spot, USD-M futures, and COIN-M futures for market data."""

from oneprice.venues.binance.encoding import BinanceSettings
from oneprice.venues.binance.facts import SPEC
from oneprice.venues.binance.feed import BinanceFeed
from oneprice.venues.binance.trade import BinanceTrade

__all__ = ["SPEC", "BinanceFeed", "BinanceSettings", "BinanceTrade"]

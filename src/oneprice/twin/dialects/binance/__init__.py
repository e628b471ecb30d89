"""Binance as a twin: spot, USD-M futures and public COIN-M data in the venue's own words."""

from oneprice.twin.dialects.binance.surface import BinanceSurface, make

__all__ = ["BinanceSurface", "make"]

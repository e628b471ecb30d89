"""Prices for who must close something: public books of a few instruments, without keys."""

import asyncio
from collections.abc import Mapping, Sequence

from oneprice.app.config import VenueConfig
from oneprice.app.station import NotHeard, Station
from oneprice.model.units import InstrumentId, Side
from oneprice.shell.gateway import NoAnswer
from oneprice.venues.contract import Wanted

CONNECT_S = 20.0
BOOKS_S = 8.0
LEVELS = 50


class Prices:
    """The touch of some instruments, for as long as it is open."""

    def __init__(self, station: Station) -> None:
        self._station = station

    @classmethod
    async def open(
        cls, venue: VenueConfig, ends: Mapping[str, str], instruments: Sequence[InstrumentId]
    ) -> "Prices":
        """Returns when every book is known, or after a while with those that are."""
        wanted = [Wanted(instrument=i, depth=LEVELS, ticker=False) for i in instruments]
        station = Station(venue, None, ends, wanted)
        prices = cls(station)
        if not wanted:
            return prices
        try:
            async with asyncio.timeout(CONNECT_S):
                await station.gateway.prepare(by_name=True)
                await station.gateway.open()
            await station.until(lambda: station.gateway.settled, "every book", BOOKS_S)
        except (NotHeard, NoAnswer, TimeoutError, ConnectionError):
            pass  # whoever finds no price says so
        except BaseException:
            await station.close()
            raise
        return prices

    def touch(self, instrument: InstrumentId, side: Side) -> int | None:
        """Ticks that an order of this side would meet first; None while unknown."""
        book = self._station.feed.books.get(instrument)
        if book is None or not book.known:
            return None
        ticks = book.ask_ticks if side is Side.BUY else book.bid_ticks
        return ticks or None

    async def close(self) -> None:
        await self._station.close()

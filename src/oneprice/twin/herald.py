"""What the market shows of itself: changed books, tickers and bars, each at its own pace."""

from collections.abc import Callable

from oneprice.model.units import MILLI, MINUTE
from oneprice.twin.contract import BookChanged, Candle, CandleChanged, Output, TickerChanged
from oneprice.twin.floor import Floor

TICKER_EVERY = 100 * MILLI
BAR_EVERY = 250 * MILLI


class Herald:
    """Tells changes of floors; a taped market is told by its frames alone."""

    def __init__(self, emit: Callable[[Output], None], *, taped: bool) -> None:
        self._emit = emit
        self._taped = taped

    def show_book(self, floor: Floor, at: int, *, full: bool = False) -> None:
        """Publishes changed levels; a taped book is published by its frames alone."""
        bids, asks = floor.book.bids.collect(), floor.book.asks.collect()
        if self._taped or not (bids or asks):
            return
        before = floor.sequence
        floor.sequence += 1
        floor.changed_at = at
        self._emit(
            BookChanged(
                instrument=floor.id,
                sequence_before=before,
                sequence=floor.sequence,
                bids=bids,
                asks=asks,
                at=at,
                full=full,
            )
        )

    def show_ticker(self, floor: Floor, at: int) -> None:
        if floor.ticker_due and at - floor.ticker_at >= TICKER_EVERY and not self._taped:
            floor.ticker_due = False
            floor.ticker_at = at
            self._emit(TickerChanged(ticker=floor.ticker(at)))

    def show_bar(self, floor: Floor, at: int) -> None:
        """Finished one-minute bars, each once, and now and then the running one."""
        bars = floor.bars["trade"]
        minute = at // MINUTE
        if self._taped or bars.last is None:
            return
        for bar in bars.between(floor.bar_told, minute):
            self._tell_bar(floor, bar.candle(closed=True), at)
        floor.bar_told = minute
        running = bars.last
        if floor.bar_due and running.minute == minute and at - floor.bar_at >= BAR_EVERY:
            floor.bar_at = at
            floor.bar_due = False
            self._tell_bar(floor, running.candle(closed=False), at)

    def _tell_bar(self, floor: Floor, candle: Candle, at: int) -> None:
        self._emit(CandleChanged(instrument=floor.id, candle=candle, at=at))

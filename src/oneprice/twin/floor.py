"""One instrument's market: its book, trades, mark and index price, funding, bars, day figures."""

from collections import deque
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from oneprice.model.instrument import Payoff
from oneprice.model.units import HOUR, MILLI, MINUTE, ROUNDED, ZERO, InstrumentId, Money, Side
from oneprice.twin.bars import Bars, Past
from oneprice.twin.contract import (
    BookView,
    Candle,
    FundingRow,
    Liquidated,
    Listing,
    MarketUpdate,
    PriceUpdate,
    Ticker,
    Traded,
)
from oneprice.twin.matching import MatchingBook

TRADES_KEPT = 1000
_DAY_MS = 86_400_000


class Source(Protocol):
    """Where a market comes from: a seeded world or a tape."""

    def start(self, floors: "Mapping[InstrumentId, Floor]", at: int) -> list[MarketUpdate]:
        """The market as it stands at the beginning."""

    def updates(self, until: int) -> Iterator[tuple[int, MarketUpdate]]:
        """What happens up to a moment, in order of time."""

    def past(self, instrument: InstrumentId, kind: str) -> Past | None:
        """Bars of the time before the start, None where nothing is known."""

    def settled(self, instrument: InstrumentId, at: int, count: int) -> list[FundingRow]:
        """Funding settled before the start, oldest first."""

    def pressed(self, floor: "Floor", lots: int, at: int) -> None:
        """A customer took liquidity: signed lots, above zero bought."""


class Floor:
    """The state of one instrument; the exchange trades on it, the source moves it."""

    def __init__(
        self, listing: Listing, source: Source, start: int, lot_step: Decimal = ZERO
    ) -> None:
        instrument = listing.instrument
        self.lot_step = lot_step  # inverse values are rounded to it by the lot, 0: they are not
        self.listing = listing
        self.instrument = instrument
        self.id = instrument.id
        self.book = MatchingBook()
        self.sequence = start // MILLI
        self.changed_at = start
        self.trades: deque[Traded] = deque(maxlen=TRADES_KEPT)
        self.last_ticks = 0
        self.mark = ZERO
        self.index = ZERO
        self.funding_rate = ZERO
        self.funding_due = 0
        self.funding_next = ZERO
        self.open_interest_lots = 0
        self.status = "trading"
        self.pause_word = ""
        self.settle_price = ZERO
        self.status_at = 0
        self.delisting: tuple[int, Decimal | None] = (0, None)  # announced: due, price
        self.liquidations: deque[Liquidated] = deque(maxlen=TRADES_KEPT)
        self.funding_rows = source.settled(self.id, start, 200)
        self.bars = {
            kind: Bars(start, source.past(self.id, kind)) for kind in ("trade", "mark", "index")
        }
        self.ticker_due = False  # something a ticker shows has changed
        self.ticker_at = 0
        self.bar_due = False
        self.bar_at = 0
        self.bar_told = start // MINUTE  # bars of earlier minutes were told
        self._start = start
        self._past = source.past(self.id, "trade")
        self._next_trade = start // MILLI
        self._day: Candle | None = None
        self._hour_ticks = 0
        self._day_at = -1
        self._high = 0
        self._low = 0
        self._lots = 0
        self._turnover = ZERO
        self._trades = 0

    # What it is worth ---------------------------------------------------------------------

    def value(self, price: Decimal, lots: int) -> Money:
        """Size times price in the settle asset (spot: quote); for inverse size over price."""
        instrument = self.instrument
        size = instrument.size(lots) * instrument.contract_value
        if instrument.payoff is not Payoff.INVERSE:
            return size * price
        if not self.lot_step:
            return ROUNDED.divide(size, price)
        one = instrument.lot * instrument.contract_value
        return ROUNDED.divide(one, price).quantize(self.lot_step) * lots

    def profit(self, held: tuple[Decimal, Money], price: Decimal, lots: int) -> Money:
        """Of a signed size held from an entry price, which was worth a cost, to a price."""
        entry, cost = held
        if not self.lot_step:
            return self.instrument.profit(entry, price, lots)
        gain = self.value(price, abs(lots)) - cost
        inverse = self.instrument.payoff is Payoff.INVERSE
        return gain if (lots > 0) is not inverse else -gain

    def average(self, value: Money, lots: int) -> Decimal:
        """The price at which a size has this value."""
        if not lots or not value:
            return ZERO
        instrument = self.instrument
        size = instrument.size(lots) * instrument.contract_value
        if instrument.payoff is Payoff.INVERSE:
            return ROUNDED.divide(size, value)
        return ROUNDED.divide(value, size)

    def middle(self) -> Decimal:
        """Between the touches, or what is known of it; 0 where nothing is."""
        bid, ask = self.book.bids.best(), self.book.asks.best()
        if bid and ask:
            return self.instrument.tick * (bid + ask) / 2
        return self.instrument.price(bid or ask or self.last_ticks)

    def reference(self) -> Decimal:
        """What positions are valued at: mark, else index, else the middle."""
        return self.mark or self.index or self.middle()

    # What happens ---------------------------------------------------------------------------

    def trade(self, ticks: int, lots: int, taker: Side, at: int, trade_id: int = 0) -> Traded:
        """Notes a public trade."""
        trade_id = trade_id or self.next_trade_id()
        traded = Traded(
            instrument=self.id,
            trade_id=trade_id,
            ticks=ticks,
            lots=lots,
            side=taker,
            at=at,
            sequence=self.sequence,
        )
        self.trades.append(traded)
        price = self.instrument.price(ticks)
        value = self.value(price, lots)
        self.bars["trade"].trade(price, lots, value, taker is Side.BUY, at)
        self.last_ticks = ticks
        self._high = max(self._high, ticks)
        self._low = min(self._low or ticks, ticks)
        self._lots += lots
        self._turnover += value
        self._trades += 1
        self.ticker_due = self.bar_due = True
        return traded

    def next_trade_id(self) -> int:
        self._next_trade += 1
        return self._next_trade

    def standing(self) -> Listing:
        """The listing with its status as it is now."""
        return msgspec.structs.replace(
            self.listing,
            status=self.status,
            settle_price=self.settle_price,
            pause_word=self.pause_word,
            delisting_at=self.delisting[0],
            changed_at=self.status_at,
        )

    def price(self, update: PriceUpdate, at: int) -> None:
        """New mark, index, funding estimate; what the update leaves out stays."""
        if update.mark is not None:
            self.mark = update.mark
            self.bars["mark"].add(update.mark, at)
        if update.index is not None:
            self.index = update.index
            self.bars["index"].add(update.index, at)
        if update.funding_next is not None:
            self.funding_next = update.funding_next
        if update.funding_rate is not None:
            self.funding_rate = update.funding_rate
        if update.funding_due is not None and update.funding_due > at:  # a tape tells of the past
            self.funding_due = update.funding_due
        if update.open_interest_lots is not None:
            self.open_interest_lots = update.open_interest_lots
        self.ticker_due = True

    # What can be seen -------------------------------------------------------------------------

    def view(self, depth: int) -> BookView:
        return BookView(
            instrument=self.id,
            bids=self.book.bids.levels(depth),
            asks=self.book.asks.levels(depth),
            sequence=self.sequence,
            at=self.changed_at,
        )

    def ticker(self, at: int) -> Ticker:
        self._look_back(at)
        day = self._day
        bids, asks = self.book.bids, self.book.asks
        last = self.last_ticks
        known = [t for t in (self._high, last) if t]
        known_low = [t for t in (self._low, last) if t]
        if day is not None:
            known.append(self._nearest(day.high))
            known_low.append(self._nearest(day.low))
        opened = self._nearest(day.open) if day is not None else last
        return Ticker(
            instrument=self.id,
            at=at,
            last_ticks=last,
            bid_ticks=bids.best(),
            bid_lots=bids.visible(bids.best()),
            ask_ticks=asks.best(),
            ask_lots=asks.visible(asks.best()),
            index=self.index,
            mark=self.mark,
            funding_rate=self.funding_rate,
            funding_due=self.funding_due,
            open_interest_lots=self.open_interest_lots,
            open_24h_ticks=opened,
            open_1h_ticks=self._hour_ticks or last,
            high_24h_ticks=max(known, default=0),
            low_24h_ticks=min(known_low, default=0),
            volume_24h_lots=self._lots + (day.volume_lots if day is not None else 0),
            turnover_24h=self._turnover + (day.turnover if day is not None else ZERO),
            trades_24h=self._trades + (day.trades if day is not None else 0),
            funding_next=self.funding_next,
            funding_interval_ms=self.instrument.funding_interval_ms,
            settle_price=self.settle_price or (self.index if self.instrument.expiry else ZERO),
        )

    def _look_back(self, at: int) -> None:
        """Day figures of the time before the start, renewed once a minute."""
        if at // MINUTE == self._day_at or self._past is None:
            return
        self._day_at = at // MINUTE
        begin_ms = at // MILLI - _DAY_MS
        known_ms = self._start // MILLI - begin_ms
        self._day = self._past(begin_ms, known_ms) if known_ms > 0 else None
        hour_ago = at - HOUR
        if hour_ago < self._start:
            older = self._past(hour_ago // MILLI, 60_000)
            self._hour_ticks = self._nearest(older.open) if older is not None else 0

    def _nearest(self, price: Decimal) -> int:
        return int((price / self.instrument.tick).to_integral_value())

"""The market as the engine knows it: instruments, proven books, marks, funding, rates."""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal

import msgspec

from oneprice.core.ledger import LOTS, lots_value
from oneprice.core.strategy import Cost, Forecast
from oneprice.kernel import Book, Sweep, sweep
from oneprice.model.events import FundingForecast, InstrumentListed, Marked
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import EngineSettings
from oneprice.model.units import (
    BPS,
    EXACT,
    MILLI,
    ROUNDED,
    Asset,
    InstrumentId,
    Lots,
    Nanos,
    Side,
    Ticks,
)

PPB = 1_000_000_000
STEPS_MAX = 1_000_000_000  # a size no venue takes; the caller's own limit is far below
ONE = Decimal(1)


class Grid(msgspec.Struct, frozen=True):
    """One step of two instruments in the integers of a sweep."""

    bought: Instrument
    sold: Instrument
    buy_lots: int
    sell_lots: int
    buy_value: int
    sell_value: int


class Market:
    """What the venues show. Reading never changes it; `hear` and `remember` do."""

    def __init__(self, settings: EngineSettings, books: Mapping[InstrumentId, Book]) -> None:
        self.now = Nanos(0)
        self._settings = settings
        self._books = books
        self._allowed = dict.fromkeys(settings.instruments)
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._of_base: dict[Asset, list[Instrument]] = {}
        self._marks: dict[InstrumentId, Decimal] = {}
        self._indexes: dict[InstrumentId, Decimal] = {}
        self._forecasts: dict[InstrumentId, Forecast] = {}
        self._last: dict[InstrumentId, Decimal] = {}
        # The most asked questions, without a call of ours in between.
        self.instrument: Callable[[InstrumentId], Instrument | None] = self._instruments.get
        self.mark: Callable[[InstrumentId], Decimal | None] = self._marks.get
        self.index: Callable[[InstrumentId], Decimal | None] = self._indexes.get
        self.funding: Callable[[InstrumentId], Forecast | None] = self._forecasts.get
        self._age_max = settings.market.book_age_ms_max * MILLI
        self._found: dict[InstrumentId, Book] = {}  # where a book was once looked up
        # As their venues describe them now, where our books go on in the sizes of before.
        self.resized: dict[InstrumentId, Instrument] = {}
        self._grids: dict[tuple[InstrumentId, InstrumentId, Decimal], Grid] = {}
        self.read: dict[Asset, Decimal] = {}  # rates the books were kept by, not yet recorded
        self.before: dict[Asset, Decimal] = {}  # the last rates that a recall told of
        self.recalled: Mapping[Asset, Decimal] | None = None  # in a recall: as recorded

    def hear(self, event: InstrumentListed | Marked | FundingForecast) -> bool:
        """Learn; True where a strategy may want to know."""
        match event:
            case InstrumentListed():
                return self._listed(event.instrument)
            case Marked():
                if self._is_scaled_anew(event.instrument):
                    return False
                if event.mark is not None:
                    self._marks[event.instrument] = event.mark
                if event.index is not None:
                    self._indexes[event.instrument] = event.index
                return False
            case FundingForecast():
                before = self._forecasts.get(event.instrument)
                listed = self._instruments.get(event.instrument)
                interval = event.interval_ms or (listed.funding_interval_ms if listed else 0)
                after = Forecast(event.rate, event.due, interval)
                self._forecasts[event.instrument] = after
                return before != after

    def _listed(self, instrument: Instrument) -> bool:
        known = self._instruments.get(instrument.id)
        self._instruments[instrument.id] = instrument
        self.look_again(instrument.id)
        if known is None or known.base != instrument.base:
            self._of_base.setdefault(instrument.base, []).append(instrument)
        return known != instrument

    def resize(self, listed: Instrument) -> None:
        """A venue counts sizes anew where our books go on as before: until the two agree again
        its book says nothing, and prices only where they are still of the same thing."""
        self.resized[listed.id] = listed
        self.look_again(listed.id)
        if self._is_scaled_anew(listed.id):
            for told in (self._marks, self._indexes, self._last):
                told.pop(listed.id, None)

    def _is_scaled_anew(self, instrument: InstrumentId) -> bool:
        """Whether a price is told of something else than what our books count."""
        told, known = self.resized.get(instrument), self._instruments.get(instrument)
        if told is None or known is None:
            return False
        ours = (known.payoff, known.base, known.quote, known.multiplier)
        return ours != (told.payoff, told.base, told.quote, told.multiplier)

    def recount(self, asset: Asset, times: int) -> None:
        """One of an asset is so many from now on, each worth as much less."""
        if asset in self.before:
            self.before[asset] = ROUNDED.divide(self.before[asset], times)

    def remember(self, instrument: InstrumentId, price: Decimal) -> None:
        """The price of a fill of ours: worth knowing where no mark and no book says more."""
        self._last[instrument] = price

    # Reading -----------------------------------------------------------------------------

    def known_instrument(self, instrument: InstrumentId) -> Instrument:
        """An instrument that must be there, since something of ours is in it."""
        return self._instruments[instrument]

    def instruments(self) -> Sequence[Instrument]:
        return [
            i
            for i in self._instruments.values()
            if i.id in self._books and (not self._allowed or i.id in self._allowed)
        ]

    def described(self) -> Sequence[Instrument]:
        """All that were ever told of, with or without a book."""
        return list(self._instruments.values())

    def look_again(self, instrument: InstrumentId) -> None:
        """Its venue may have put a new book in the place of the old one."""
        self._found.pop(instrument, None)

    def raw_book(self, instrument: InstrumentId) -> Book | None:
        book = self._found.get(instrument)
        if book is None and instrument not in self.resized:
            book = self._books.get(instrument)
            if book is not None:
                self._found[instrument] = book
        return book

    def age(self, instrument: InstrumentId) -> Nanos | None:
        """Nanoseconds since the book last changed; None while it is not known."""
        book = self._found.get(instrument) or self.raw_book(instrument)
        if book is None or not book.known:
            return None
        return Nanos(self.now - book.at) if book.at < self.now else Nanos(0)

    def book(self, instrument: InstrumentId) -> Book | None:
        book = self._found.get(instrument) or self.raw_book(instrument)
        if book is None or not book.known or not book.bid_ticks or not book.ask_ticks:
            return None
        return book if self.now - book.at <= self._age_max else None

    def cost(self, instrument: InstrumentId, side: Side, lots: Lots) -> Cost | None:
        book = self.book(instrument)
        if book is None or lots <= 0:
            return None
        value, found = book.cost(int(side), lots)
        if found < lots:
            return None
        touch = book.ask_ticks if side is Side.BUY else book.bid_ticks
        worst = touch
        if value != touch * lots:
            left = int(lots)
            for ticks, there in book.asks() if side is Side.BUY else book.bids():
                worst, left = ticks, left - there
                if left <= 0:
                    break
        return Cost(lots, value, Ticks(touch), Ticks(worst))

    def sweep(
        self, buy: InstrumentId, sell: InstrumentId, step: Decimal, cost: Decimal
    ) -> Sweep | None:
        """How many steps of `step` coins earn `cost` (a fraction of the buy price) each."""
        buy_book, sell_book = self.book(buy), self.book(sell)
        if buy_book is None or sell_book is None:
            return None
        grid = self._grid(buy, sell, step)
        if grid is None:
            return None
        return sweep(
            buy_book,
            sell_book,
            buy_lots_per_step=grid.buy_lots,
            sell_lots_per_step=grid.sell_lots,
            buy_tick_value=grid.buy_value,
            sell_tick_value=grid.sell_value,
            cost_ppb=int((cost * PPB).to_integral_value(ROUND_CEILING)),
            steps_max=STEPS_MAX,
        )

    def _grid(self, buy: InstrumentId, sell: InstrumentId, step: Decimal) -> Grid | None:
        """Worked out once and kept while neither instrument is described anew."""
        bought, sold = self._instruments.get(buy), self._instruments.get(sell)
        if bought is None or sold is None:
            return None
        key = (buy, sell, step)
        kept = self._grids.get(key)
        if kept is not None and kept.bought is bought and kept.sold is sold:
            return kept
        buy_lots = ROUNDED.divide(step, bought.base_per_lot())
        sell_lots = ROUNDED.divide(step, sold.base_per_lot())
        if buy_lots != int(buy_lots) or sell_lots != int(sell_lots):
            return None
        values = _integers(
            EXACT.multiply(bought.tick, sold.multiplier),
            EXACT.multiply(sold.tick, bought.multiplier),
        )
        grid = Grid(bought, sold, int(buy_lots), int(sell_lots), *values)
        self._grids[key] = grid
        return grid

    def price(self, instrument: InstrumentId) -> Decimal | None:
        """What an instrument is worth now: its mark, the middle of its book, our last fill."""
        mark = self._marks.get(instrument)
        if mark is not None:
            return mark
        book, listed = self.raw_book(instrument), self._instruments.get(instrument)
        two_sided = book is not None and book.known and book.bid_ticks and book.ask_ticks
        if book is not None and listed is not None and two_sided:
            return listed.tick * (book.bid_ticks + book.ask_ticks) / 2
        last = self._last.get(instrument)
        return last if last is not None else self._indexes.get(instrument)

    def rate(self, asset: Asset) -> Decimal | None:
        """Worth of one unit of an asset in the reporting asset; None while nothing says."""
        if asset == self._settings.reporting:
            return ONE
        if asset in self._settings.rates_fixed:
            return self._settings.rates_fixed[asset]
        if asset.startswith(LOTS):
            return self._rate_of_lots(asset.removeprefix(LOTS))
        for payoff in (Payoff.SPOT, Payoff.LINEAR, Payoff.INVERSE):
            for listed in self._of_base.get(asset, ()):
                if listed.payoff is not payoff or not self.is_cash(listed.quote):
                    continue
                price = self.price(listed.id)
                if price is None:
                    continue
                quote = self.rate(listed.quote)
                if quote is not None:
                    return ROUNDED.divide(price * quote, listed.multiplier)
        return None

    def noted_rate(self, asset: Asset) -> Decimal | None:
        """The rate of an asset for whoever changes the books by it: a recall reads the same."""
        if self.recalled is not None:
            return self.recalled.get(asset)
        rate = self.rate(asset)
        if rate is not None:
            self.read[asset] = rate
        return rate

    def rate_then(self, asset: Asset) -> Decimal | None:
        """The rate now; where nothing says it yet after a restart, the last one of before."""
        rate = self.rate(asset)
        return rate if rate is not None else self.before.get(asset)

    def _rate_of_lots(self, instrument: InstrumentId) -> Decimal | None:
        listed, price = self._instruments.get(instrument), self.price(instrument)
        if listed is None or price is None:
            return None
        settle = self.rate(listed.settle)
        return None if settle is None else lots_value(listed, price) * settle

    def is_cash(self, asset: Asset) -> bool:
        """An asset that counts as money rather than as exposure."""
        return asset == self._settings.reporting or asset in self._settings.rates_fixed

    def is_sane(self, instrument: InstrumentId, price: Decimal) -> bool:
        """Whether a price lies within the collar around the mark, where there is a mark."""
        mark = self._marks.get(instrument)
        if not mark:
            return True
        return abs(price - mark) <= mark * self._settings.gate.collar_bps * BPS


def _integers(first: Decimal, second: Decimal) -> tuple[int, int]:
    """Two positive decimals as integers in one unit."""
    scale = max(_decimals(first), _decimals(second))
    return int(first.scaleb(scale)), int(second.scaleb(scale))


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)

"""A strategy that hedges when it is told to, at any price: for drills alone."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from oneprice.app.build import STRATEGIES
from oneprice.core.strategy import Intent, IntentLeg, News, Passed, View, WireSpec, make_card
from oneprice.model.commands import TimeInForce
from oneprice.model.units import MILLI, InstrumentId, Lots, Nanos, Side, Ticks

WORTH = Decimal(1_000)  # what the card says a hedge is worth, money
GAIN = WORTH / 100  # and what it says it earns: enough for any gate


class HedgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to set."""


class Hedge:
    """Buys one and sells the other at any price, as often as it is told to want it."""

    name = "hedge"

    def __init__(self, pair: tuple[InstrumentId, InstrumentId]) -> None:
        self.wanted = False
        self.buys, self.sells = pair
        self.lots = dict.fromkeys(pair, 10)
        self.reach_bps = dict.fromkeys(pair, 30)  # limits beyond the touch
        self.rests: dict[InstrumentId, bool] = {}  # legs that wait in the book for a taker
        self.patience_ms = 400
        self.looks = self.blind = 0  # how often it was asked, and could not see both books
        self.on_wish: Callable[[], object] | None = None  # right before the first wish is told
        self.honest = False  # the card says what the touches are apart, and not GAIN
        self.breaks: Exception | None = None

    def turn(self) -> None:
        """Sell from now on what was bought, and buy what was sold; the card says honestly what
        the touches are apart."""
        self.buys, self.sells = self.sells, self.buys
        self.honest = not self.honest

    def wires(self, view: View) -> Sequence[WireSpec]:
        return ()

    def propose(self, news: News, view: View) -> Iterable[Intent]:
        if self.breaks is not None:
            raise self.breaks
        legs = [self._leg(view, self.buys, Side.BUY), self._leg(view, self.sells, Side.SELL)]
        self.looks += 1
        self.blind += None in legs
        if not self.wanted or None in legs:
            return
        if self.on_wish is not None:
            act, self.on_wish = self.on_wish, None
            act()
        yield Intent(
            strategy=self.name,
            pair="BTC",
            legs=tuple(leg for leg in legs if leg is not None),
            card=make_card("USDT", WORTH, gross=self._gap(view) if self.honest else GAIN),
            patience=Nanos(self.patience_ms * MILLI),
            reason="entry",
        )

    def survey(self, view: View) -> Iterable[Passed]:
        return ()

    def _gap(self, view: View) -> Decimal:
        """What selling above buying earns on the card's worth, money; below zero: costs."""
        bought, sold = view.book(self.buys), view.book(self.sells)
        if bought is None or sold is None:
            return Decimal(0)
        here, there = view.instrument(self.buys), view.instrument(self.sells)
        if here is None or there is None:
            return Decimal(0)
        price = here.price(Ticks(bought.ask_ticks)) / here.multiplier
        other = there.price(Ticks(sold.bid_ticks)) / there.multiplier
        return (WORTH * (other - price) / price).quantize(Decimal("0.01"))

    def _leg(self, view: View, instrument: InstrumentId, side: Side) -> IntentLeg | None:
        book = view.book(instrument)
        if book is None:
            return None
        touch = book.ask_ticks if side is Side.BUY else book.bid_ticks
        ticks = touch + int(side) * touch * self.reach_bps[instrument] // 10_000
        rests = self.rests.get(instrument, False)
        return IntentLeg(
            instrument=instrument,
            side=side,
            ticks=Ticks(ticks),
            lots=Lots(self.lots[instrument]),
            touch=Ticks(touch),
            time_in_force=TimeInForce.GTC if rests else TimeInForce.IOC,
        )


@contextlib.contextmanager
def enlisted(hedge: Hedge) -> Iterator[None]:
    """A configuration may name the strategy `hedge` meanwhile, and gets this one."""
    known = cast("MutableMapping[str, Any]", STRATEGIES)
    known[hedge.name] = (lambda _: hedge, HedgeSettings)
    try:
        yield
    finally:
        known.pop(hedge.name, None)

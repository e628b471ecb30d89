"""Two legs: what strategies share that buy one instrument and sell another of the same thing."""

from collections.abc import Callable, Iterable, Sequence

from oneprice.core.strategy import (
    WOULD_TRADE,
    Holding,
    Intent,
    News,
    Passed,
    View,
    WireSpec,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import BPS, Asset, InstrumentId
from oneprice.strategies.entry import look
from oneprice.strategies.exit import exit_wire, leave
from oneprice.strategies.pairing import (
    Pair,
    PairSettings,
    expected_funding,
    make_pair,
    needed_edge,
    same_thing,
    wanted,
)

Fits = Callable[[Instrument, Instrument], bool]  # whether to buy the one and sell the other


class PairTrader:
    """Wires, entries and exits over every ordered pair that `fits`."""

    def __init__(self, name: str, settings: PairSettings, fits: Fits) -> None:
        self.name = name
        self._settings = settings
        self._fits = fits
        self._pairs: dict[tuple[InstrumentId, InstrumentId], Pair] = {}

    def pairs(self, view: View) -> list[Pair]:
        """Every way round that fits, in the order in which instruments appeared."""
        all_of_them = wanted(view, self._settings)
        by_base: dict[Asset, list[Instrument]] = {}
        for one in all_of_them:
            by_base.setdefault(one.base, []).append(one)
        every = (self._pair(buy, sell) for buy in all_of_them for sell in by_base[buy.base])
        return [pair for pair in every if pair is not None]

    def _pair(self, buy: Instrument, sell: Instrument) -> Pair | None:
        """None for what does not fit; worked out anew where an instrument was described anew."""
        known = self._pairs.get((buy.id, sell.id))
        if known is not None and known.buy is buy and known.sell is sell:
            return known
        if not same_thing(buy, sell) or not self._fits(buy, sell):
            return None
        made = make_pair(self.name, self._settings, buy, sell)
        self._pairs[buy.id, sell.id] = made
        return made

    def wires(self, view: View) -> Sequence[WireSpec]:
        holdings = view.holdings(self.name)
        specs: list[WireSpec] = []
        for holding in holdings:
            spec = exit_wire(holding, view, self._settings)
            if spec is not None:
                specs.append(spec)
        for pair in self.pairs(view):
            if _held(holdings, pair.buy.id, pair.sell.id) is not None:
                continue
            buy_fees, sell_fees = view.fees(pair.buy.id), view.fees(pair.sell.id)
            if buy_fees is None or sell_fees is None:
                continue  # without a fee tier there is nothing to wake up for
            edge = needed_edge(pair, buy_fees, sell_fees, expected_funding(view, pair))
            specs.append(WireSpec(pair.buy.id, pair.sell.id, edge / BPS))
        return specs

    def propose(self, news: News, view: View) -> Iterable[Intent | Passed]:
        # One by one: what was begun for the last answer is seen by the next look.
        looked: dict[str, None] = {}
        for spec in news.wires:
            holding = _held(view.holdings(self.name), spec.buy, spec.sell)
            found = self._enter(spec, view) if holding is None else self._leave(holding, view)
            if holding is not None:
                looked[holding.id] = None
            if found is not None:
                yield found
        if news.watch:
            for holding in view.holdings(self.name):
                found = None if holding.id in looked else self._leave(holding, view)
                if found is not None:
                    yield found

    def survey(self, view: View) -> Iterable[Passed]:
        for pair in self.pairs(view):
            found = look(pair, view)
            if isinstance(found, Passed):
                yield found
            else:
                yield Passed(
                    strategy=self.name, pair=pair.name, reason=WOULD_TRADE, card=found.card
                )

    def _enter(self, spec: WireSpec, view: View) -> Intent | Passed | None:
        buy, sell = view.instrument(spec.buy), view.instrument(spec.sell)
        if buy is None or sell is None or view.busy(self.name, (spec.buy, spec.sell)):
            return None
        pair = self._pair(buy, sell)
        return None if pair is None else look(pair, view)

    def _leave(self, holding: Holding, view: View) -> Intent | Passed | None:
        if view.busy(self.name, [leg.instrument for leg in holding.legs]):
            return None
        return leave(holding, view, self._settings)


def _held(
    holdings: Sequence[Holding], first: InstrumentId, second: InstrumentId
) -> Holding | None:
    for holding in holdings:
        instruments = [leg.instrument for leg in holding.legs]
        if first in instruments and second in instruments:
            return holding
    return None

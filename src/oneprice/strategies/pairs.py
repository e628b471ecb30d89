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
from oneprice.model.units import BPS, InstrumentId
from oneprice.strategies.entry import Pair, look
from oneprice.strategies.exit import exit_wire, leave
from oneprice.strategies.pairing import PairSettings, needed_edge, same_thing, wanted

Fits = Callable[[Instrument, Instrument], bool]  # whether to buy the one and sell the other


class PairTrader:
    """Wires, entries and exits over every ordered pair that `fits`."""

    def __init__(self, name: str, settings: PairSettings, fits: Fits) -> None:
        self.name = name
        self._settings = settings
        self._fits = fits

    def pairs(self, view: View) -> list[Pair]:
        """Every way round that fits, in the order in which instruments appeared."""
        all_of_them = wanted(view, self._settings)
        return [
            Pair(self.name, self._settings, buy, sell)
            for buy in all_of_them
            for sell in all_of_them
            if same_thing(buy, sell) and self._fits(buy, sell)
        ]

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
            try:
                edge = needed_edge(view, self._settings, pair.buy, pair.sell)
            except LookupError:
                continue  # without a fee tier there is nothing to wake up for
            specs.append(WireSpec(pair.buy.id, pair.sell.id, edge / BPS))
        return specs

    def propose(self, news: News, view: View) -> Iterable[Intent | Passed]:
        looked: dict[str, None] = {}
        for spec in news.wires:
            holding = _held(view.holdings(self.name), spec.buy, spec.sell)
            if holding is not None:
                looked[holding.id] = None
                yield from self._leave(holding, view)
            else:
                yield from self._enter(spec, view)
        if news.watch:
            for holding in view.holdings(self.name):
                if holding.id not in looked:
                    yield from self._leave(holding, view)

    def survey(self, view: View) -> Iterable[Passed]:
        for pair in self.pairs(view):
            found = look(pair, view)
            if isinstance(found, Passed):
                yield found
            else:
                yield Passed(
                    strategy=self.name, pair=pair.name, reason=WOULD_TRADE, card=found.card
                )

    def _enter(self, spec: WireSpec, view: View) -> Iterable[Intent | Passed]:
        buy, sell = view.instrument(spec.buy), view.instrument(spec.sell)
        if buy is None or sell is None or view.busy(self.name, (spec.buy, spec.sell)):
            return
        if not same_thing(buy, sell) or not self._fits(buy, sell):
            return
        yield look(Pair(self.name, self._settings, buy, sell), view)

    def _leave(self, holding: Holding, view: View) -> Iterable[Intent | Passed]:
        if not view.busy(self.name, [leg.instrument for leg in holding.legs]):
            yield leave(holding, view, self._settings)


def _held(
    holdings: Sequence[Holding], first: InstrumentId, second: InstrumentId
) -> Holding | None:
    for holding in holdings:
        instruments = [leg.instrument for leg in holding.legs]
        if first in instruments and second in instruments:
            return holding
    return None

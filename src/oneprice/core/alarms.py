"""Alarms: which edges wake which strategy, and the kernel's tripwires behind them."""

from collections.abc import Sequence

import msgspec

from oneprice.core.market import Market
from oneprice.core.strategy import Strategy, View, WireSpec
from oneprice.kernel import Book, Tripwires
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId


class Alarm(msgspec.Struct):
    """One armed wire: its number in the kernel, whom it wakes, and the books it looks at."""

    number: int
    strategy: int
    spec: WireSpec
    buy: Book
    sell: Book


class Alarms:
    """Keeps the kernel's wires equal to what the strategies declare."""

    def __init__(self, market: Market, wires: Tripwires) -> None:
        self._market = market
        self._wires = wires
        self._armed: dict[tuple[int, InstrumentId, InstrumentId], Alarm] = {}
        self._by_number: dict[int, Alarm] = {}

    def of(self, number: int) -> Alarm | None:
        """None for a wire that was disarmed while its event was under way."""
        return self._by_number.get(number)

    def count(self) -> int:
        return len(self._armed)

    def arm(self, strategies: Sequence[Strategy], view: View) -> None:
        """Ask every strategy for its edges; arm, move and disarm what differs."""
        wanted: dict[tuple[int, InstrumentId, InstrumentId], WireSpec] = {}
        for number, strategy in enumerate(strategies):
            for spec in strategy.wires(view):
                key = (number, spec.buy, spec.sell)
                other = wanted.get(key)
                if other is None or spec.edge_bps < other.edge_bps:
                    wanted[key] = spec
        for key in [key for key in self._armed if key not in wanted]:
            self._disarm(key)
        for key, spec in wanted.items():
            self._keep(key, spec)

    def _keep(self, key: tuple[int, InstrumentId, InstrumentId], spec: WireSpec) -> None:
        buy, sell = self._market.raw_book(spec.buy), self._market.raw_book(spec.sell)
        bought, sold = self._market.instrument(spec.buy), self._market.instrument(spec.sell)
        if buy is None or sell is None or bought is None or sold is None:
            return
        armed = self._armed.get(key)
        if armed is not None and (armed.buy is not buy or armed.sell is not sell):
            self._disarm(key)
            armed = None
        # Binary floats are for the kernel's hint alone; cards are decided in Decimal.
        edge = float(spec.edge_bps)
        if armed is None:
            number = self._wires.arm(buy, sell, edge, _unit(bought), _unit(sold))
            armed = Alarm(number, key[0], spec, buy, sell)
            self._armed[key] = self._by_number[number] = armed
        elif armed.spec.edge_bps != spec.edge_bps:
            self._wires.move(armed.number, edge)
            armed.spec = spec

    def _disarm(self, key: tuple[int, InstrumentId, InstrumentId]) -> None:
        gone = self._armed.pop(key)
        del self._by_number[gone.number]
        self._wires.disarm(gone.number)


def _unit(instrument: Instrument) -> float:
    return float(instrument.tick / instrument.multiplier)

"""An order book of whole ticks and lots in two dictionaries with the best price kept aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING, Any

import msgspec

from oneprice.kernel.contract import LOTS_MAX, TICKS_MAX, BadLevels, OffGrid
from oneprice.kernel.reference.grid import grid

if TYPE_CHECKING:
    from oneprice.kernel.reference.wires import Wire

_MASK = (1 << 64) - 1
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Levels = list[tuple[int, int]]


class Book:
    """Price levels of one instrument, best first, and whether they are proven right now.

    `tick` and `lot` are the grid: every price text is a whole number of ticks, every size of lots
    (else OffGrid, a BadLevels). With `depth_max` each side keeps only that many best levels after
    every message (Bybit drops what leaves the window). A message is read whole before anything
    changes, so a bad one leaves the book as it was. A message that leaves the book crossed or
    locked makes it unknown and sets `crossed` until the next snapshot.

    Times are integer nanoseconds UTC. `bid_ticks`, `bid_lots`, `ask_ticks`, `ask_lots` are 0 when
    the side is empty. `bridging` is True from a snapshot to the first delta after it.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "_lots",
        "_prices",
        "_touch",
        "_wires",
        "ask_ticks",
        "at",
        "bid_ticks",
        "bridging",
        "crossed",
        "depth_max",
        "known",
        "sequence",
    )

    def __init__(self, tick: str | Decimal, lot: str | Decimal, depth_max: int = 0) -> None:
        if depth_max < 0:
            raise ValueError(f"depth_max: expected 0 or more, found {depth_max}")
        self._prices = grid(tick, "price", 1, TICKS_MAX)
        self._lots = grid(lot, "size", 0, LOTS_MAX)
        self.depth_max = depth_max
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._wires: list[Wire] = []
        self._touch = (0, 0, 0, 0)  # as of the last look at the wires
        self.known = False
        self.crossed = False
        self.bridging = False
        self.at = 0
        self.sequence = 0
        self.bid_ticks = 0
        self.ask_ticks = 0

    def __repr__(self) -> str:
        state = f"sequence={self.sequence}" if self.known else "unknown"
        return f"Book(tick={self.tick}, lot={self.lot}, {state})"

    @property
    def tick(self) -> Decimal:
        """The price grid as given."""
        return self._prices.unit

    @property
    def lot(self) -> Decimal:
        """The size grid as given."""
        return self._lots.unit

    @property
    def bid_lots(self) -> int:
        """Size at the best bid."""
        return self._bids.get(self.bid_ticks, 0)

    @property
    def ask_lots(self) -> int:
        """Size at the best ask."""
        return self._asks.get(self.ask_ticks, 0)

    def snapshot(self, bids: bytes, asks: bytes, at: int, sequence: int) -> None:
        """Replace all levels by raw JSON arrays of [price text, size text, ...] (BadLevels)."""
        new_bids, new_asks = self.read(_array(bids), _array(asks))
        self.change(new_bids, new_asks, True, at, sequence)

    def delta(self, bids: bytes, asks: bytes, at: int, sequence: int) -> None:
        """Set levels from raw JSON arrays, size 0 deletes; BadLevels also on an unknown book."""
        new_bids, new_asks = self.read(_array(bids), _array(asks))
        if not self.known:
            raise BadLevels("the book is not known: a delta needs a snapshot first")
        self.change(new_bids, new_asks, False, at, sequence)

    def load(
        self,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
        at: int,
        sequence: int,
    ) -> None:
        """Replace all levels by (ticks, lots) pairs (BadLevels when out of range)."""
        new_bids, new_asks = _counted(bids), _counted(asks)
        self.change(new_bids, new_asks, True, at, sequence)

    def lose(self) -> None:
        """From now on the book is not known; its levels and sequence are gone."""
        self._bids.clear()
        self._asks.clear()
        self.known = self.crossed = self.bridging = False
        self.sequence = self.bid_ticks = self.ask_ticks = 0

    def bids(self, limit: int = 0) -> Levels:
        """The best `limit` (0: all) bids as (ticks, lots), best first."""
        if limit > 0:
            return nlargest(limit, self._bids.items())
        return sorted(self._bids.items(), reverse=True)

    def asks(self, limit: int = 0) -> Levels:
        """The best `limit` (0: all) asks as (ticks, lots), best first."""
        if limit > 0:
            return nsmallest(limit, self._asks.items())
        return sorted(self._asks.items())

    def lots_within(self, side: int, ticks: int) -> int:
        """Lots bid at or above `ticks` (side 1) or asked at or below it (side -1)."""
        if _side(side) == 1:
            return sum(lots for level, lots in self._bids.items() if level >= ticks)
        return sum(lots for level, lots in self._asks.items() if level <= ticks)

    def imbalance(self, levels: int) -> float:
        """(bid - ask) / (bid + ask) of the lots of the best `levels` (0: all); 0.0 when empty."""
        bid = sum(lots for _, lots in self.bids(levels))
        ask = sum(lots for _, lots in self.asks(levels))
        return (bid - ask) / (bid + ask) if bid + ask else 0.0

    def cost(self, side: int, lots: int) -> tuple[int, int]:
        """Buy (side 1) or sell (-1) `lots` now: (sum of ticks * lots, lots there were)."""
        value, left = 0, max(lots, 0)
        for ticks, there in self.asks() if _side(side) == 1 else self.bids():
            taken = min(there, left)
            value += ticks * taken
            left -= taken
            if not left:
                break
        return value, max(lots, 0) - left

    def fingerprint(self) -> int:
        """64 bits over known, sequence and all levels; the same in both kernels."""
        print_ = _mix(_mix(0, int(self.known)), self.sequence)
        for side in (self.bids(), self.asks()):
            print_ = _mix(print_, len(side))
            for ticks, lots in side:
                print_ = _mix(_mix(print_, ticks), lots)
        return print_

    def read(self, bids: Any, asks: Any) -> tuple[Levels, Levels]:
        """Turn decoded JSON levels into whole ticks and lots; BadLevels wins over OffGrid."""
        try:
            return self._read(bids), self._read(asks)
        except OffGrid:
            for side in (bids, asks):  # one off the grid must not hide one that is no level
                for level in side if type(side) is list else [side]:
                    try:
                        self._read([level])
                    except OffGrid:
                        continue
            raise

    def _read(self, raw: Any) -> Levels:
        if type(raw) is not list:
            raise BadLevels(f"levels: expected an array, found {type(raw).__name__}")
        prices, sizes = self._prices.seen, self._lots.seen
        try:
            # Tuples come from a layout, which has seen to it that they hold texts.
            if (raw and type(raw[0]) is tuple) or [*map(type, raw)].count(list) == len(raw):
                try:
                    return [(prices[price], sizes[size]) for price, size in raw]
                except LookupError:
                    for price, size in raw:
                        if price not in prices:
                            self._prices.count(price)
                        if size not in sizes:
                            self._lots.count(size)
                    return [(prices[price], sizes[size]) for price, size in raw]
        except (LookupError, ValueError, TypeError):
            pass  # read again with care: more than two texts, or something wrong
        return [self._level(level) for level in raw]

    def _level(self, level: Any) -> tuple[int, int]:
        if type(level) not in (list, tuple) or len(level) < 2:
            raise BadLevels("levels: expected arrays of price and size")
        if any(type(part) in (list, dict) for part in level):
            raise BadLevels("levels: expected nothing nested in a level")
        try:
            ticks = self._prices.count(level[0])
        except OffGrid:
            self._lots.count(level[1])  # may be worse than off the grid
            raise
        return ticks, self._lots.count(level[1])

    def change(
        self, bids: Iterable[tuple[int, int]], asks: Levels, replace: bool, at: int, sequence: int
    ) -> None:
        """Apply proven levels and check the wires when the touch has moved."""
        if replace:
            self._bids.clear()
            self._asks.clear()
            self.bid_ticks = self.ask_ticks = 0
        self._set_bids(bids)
        self._set_asks(asks)
        if self.bid_ticks and 0 < self.ask_ticks <= self.bid_ticks:
            self.lose()
            self.crossed = True
            return
        was_known, self.known = self.known, True
        self.crossed = False
        self.bridging = replace
        self.at = at
        self.sequence = sequence
        if self._wires:
            before, self._touch = self._touch, self._best()
            if not was_known or before != self._touch:
                for wire in self._wires:
                    wire.check()

    def _best(self) -> tuple[int, int, int, int]:
        bid, ask = self.bid_ticks, self.ask_ticks
        return bid, self._bids.get(bid, 0), ask, self._asks.get(ask, 0)

    def _set_bids(self, levels: Iterable[tuple[int, int]]) -> None:
        side, best = self._bids, self.bid_ticks
        for ticks, lots in levels:
            if lots:
                side[ticks] = lots
                if ticks > best:  # noqa: PLR1730 - max() costs a call per level
                    best = ticks
            else:
                side.pop(ticks, None)
        if self.depth_max and len(side) > self.depth_max:
            for ticks in nsmallest(len(side) - self.depth_max, side):
                del side[ticks]
        self.bid_ticks = best if best in side else max(side, default=0)

    def _set_asks(self, levels: Iterable[tuple[int, int]]) -> None:
        side, best = self._asks, self.ask_ticks or TICKS_MAX + 1
        for ticks, lots in levels:
            if lots:
                side[ticks] = lots
                if ticks < best:  # noqa: PLR1730 - min() costs a call per level
                    best = ticks
            else:
                side.pop(ticks, None)
        if self.depth_max and len(side) > self.depth_max:
            for ticks in nlargest(len(side) - self.depth_max, side):
                del side[ticks]
        self.ask_ticks = best if best in side else min(side, default=0)


def _array(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except _FAULTS as error:
        raise BadLevels(f"levels: {error}") from error


def _counted(levels: Sequence[tuple[int, int]]) -> Levels:
    for ticks, lots in levels:
        if not 0 < ticks <= TICKS_MAX or not 0 <= lots <= LOTS_MAX:
            raise BadLevels(f"levels: ({ticks}, {lots}) is outside of what the kernel can count")
    return list(levels)


def _side(side: int) -> int:
    if side not in (1, -1):
        raise ValueError(f"side: expected 1 or -1, found {side}")
    return side


def _mix(state: int, word: int) -> int:
    state = ((state ^ (word & _MASK)) * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & _MASK
    return state ^ (state >> 29)

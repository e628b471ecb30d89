"""A market from a tape: recorded public frames of one venue at their own pace.

Books are built first: increments are kept until the recorded snapshot of their instrument comes,
which may stand anywhere in the tape, then those that are newer than it are applied. Playing starts
where the last book became whole.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from oneprice.model.units import InstrumentId
from oneprice.twin.bars import Past
from oneprice.twin.contract import (
    BookUpdate,
    FundingRow,
    MarketUpdate,
    PriceUpdate,
)
from oneprice.twin.floor import Floor

# Receive time in ns (ascending over the tape), the venue's market, the frame as it came.
Frame = tuple[int, str, bytes]
Decode = Callable[[str, bytes, int], list[MarketUpdate]]


class TapeError(Exception):
    """The tape cannot be played: nothing on it, or an instrument without a whole book."""


class Playback:
    """A Source that plays frames; `attach` gives it the venue's decoder before the start."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)
        self._decode: Decode | None = None
        self._floors: Mapping[InstrumentId, Floor] = {}
        self._next: Frame | None = None
        self._tape_at = 0  # time on the tape at which playing starts
        self._wall_at = 0  # the same moment for us
        self.played = 0  # frames
        self.ended = False

    def attach(self, decode: Decode) -> None:
        self._decode = decode

    def start(self, floors: Mapping[InstrumentId, Floor], at: int) -> list[MarketUpdate]:
        """Nothing yet: the books come with the first step, when the decoder is known."""
        self._floors = floors
        self._wall_at = at
        return []

    def updates(self, until: int) -> Iterator[tuple[int, MarketUpdate]]:
        if self._decode is None:
            raise TapeError("no decoder attached")
        if not self._tape_at:
            for update in self._prime(self._decode):
                yield until, update
            self._wall_at = until
        while self._next is not None:
            at, market, frame = self._next
            when = self._wall_at + max(0, at - self._tape_at)
            if when > until:
                return
            for update in self._decode(market, frame, when):
                if update.instrument in self._floors:
                    yield when, update
            self.played += 1
            self._next = next(self._frames, None)
        self.ended = True

    def past(self, instrument: InstrumentId, kind: str) -> Past | None:
        """A tape knows nothing of the time before it."""
        return None

    def settled(self, instrument: InstrumentId, at: int, count: int) -> list[FundingRow]:
        return []

    def pressed(self, floor: Floor, lots: int, at: int) -> None:
        """What is recorded does not move."""

    def _prime(self, decode: Decode) -> Iterator[MarketUpdate]:
        """Reads until every instrument has a whole book; nothing of this is published."""
        waiting: dict[InstrumentId, list[BookUpdate]] = {name: [] for name in self._floors}
        for frame in self._frames:
            self._tape_at = frame[0]
            for update in decode(frame[1], frame[2], frame[0]):
                yield from _sorted_in(update, waiting)
            if not waiting:
                break
        if not self._tape_at:
            raise TapeError("the tape has no frames")
        if waiting:
            raise TapeError(f"no book snapshot on the tape for {', '.join(sorted(waiting))}")
        self._next = next(self._frames, None)


def _sorted_in(
    update: MarketUpdate, waiting: dict[InstrumentId, list[BookUpdate]]
) -> Iterator[MarketUpdate]:
    """What of an update may be applied while books are still being built."""
    match update:
        case BookUpdate(full=True):
            kept = waiting.pop(update.instrument, [])
            yield _quiet(update)
            for earlier in kept:
                if earlier.sequence > update.sequence:
                    yield _quiet(earlier)
        case BookUpdate():
            if update.instrument in waiting:
                waiting[update.instrument].append(update)
            else:
                yield _quiet(update)
        case PriceUpdate():
            yield _quiet(update)
        case _:
            return


def _quiet(update: BookUpdate | PriceUpdate) -> MarketUpdate:
    """Without its frame, so that nobody publishes it."""
    return msgspec.structs.replace(update, raw=b"")

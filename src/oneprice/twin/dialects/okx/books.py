"""Order book channels: full views and chained differences with the venue's sequence rules."""

import zlib

import msgspec

from oneprice.model.units import MILLI, SECOND, InstrumentId
from oneprice.twin.contract import Exchange, Levels
from oneprice.twin.dialects.okx.envelope import Row, stamp
from oneprice.twin.dialects.okx.facts import Sheet

# In the order in which one connection hears them (section 6.2): depth, period, full views.
CHANNELS: dict[str, tuple[int, int, bool]] = {
    "bbo-tbt": (1, 10 * MILLI, True),
    "books-l2-tbt": (400, 10 * MILLI, False),
    "books50-l2-tbt": (50, 10 * MILLI, False),
    "books": (400, 100 * MILLI, False),
    "books5": (5, 100 * MILLI, True),
}
TIERED = ("books-l2-tbt", "books50-l2-tbt")  # need a login and a VIP level
HEARTBEAT_NS = 60 * SECOND
CHECKED_LEVELS = 25


class BookChannel:
    """What the readers of one channel of one instrument have been shown so far.

    Differences are exact for the top levels: one that is pushed out is deleted, one that moves
    in is inserted (the document leaves open whether the venue always deletes).
    """

    def __init__(self, books: "Books", sheet: Sheet, channel: str) -> None:
        self.sheet = sheet
        self.channel = channel
        self.depth, self._period, self.whole = CHANNELS[channel]
        self._books = books
        self._bids: Levels = ()
        self._asks: Levels = ()
        self._shown = -1  # sequence last told
        self._looked_at = 0
        self._sent_at = 0
        self._stale = True

    def touch(self) -> None:
        """The instrument's book changed somewhere."""
        self._stale = True

    def snapshot(self, at: int, *, fresh: bool) -> bytes:
        """The whole view; `fresh`: nobody follows the channel, so look at the book anew."""
        if fresh or self._shown < 0:
            self._look(at)
            self._shown = self._books.sequence(self.sheet)
        self._sent_at = at
        row = self._row(self._bids, self._asks, at)
        if not self.whole:
            row |= self._books.marks(self.sheet, -1, self._shown, (self._bids, self._asks))
            return self._frame("snapshot", row)
        return self._frame("", row | self._named() | {"seqId": self._shown})

    def flush(self, at: int) -> bytes | None:
        """The next message if one is due: a difference, a full view, or a heartbeat."""
        if at - self._looked_at < self._period:
            return None
        bids, asks = self._bids, self._asks
        before = self._shown
        if not self._look(at):
            if at - self._sent_at < HEARTBEAT_NS:
                return None
            self._sent_at = at
            if self.whole:
                row = self._row(self._bids, self._asks, at) | self._named()
                return self._frame("", row | {"seqId": self._shown})
            return self._difference(((), ()), (before, before), at)
        self._shown = self._books.sequence(self.sheet)
        self._sent_at = at
        if self.whole:
            row = self._row(self._bids, self._asks, at) | self._named()
            return self._frame("", row | {"seqId": self._shown})
        changed = (
            _difference(bids, self._bids, rising=False),
            _difference(asks, self._asks, rising=True),
        )
        return self._difference(changed, (before, self._shown), at)

    def reset(self, sequence: int, at: int) -> bytes:
        """A maintenance reset: the chain goes on from a smaller number (section 6.3)."""
        before, self._shown = self._shown, sequence
        return self._difference(((), ()), (before, sequence), at)

    def crossed(self, at: int) -> bytes:
        """A difference that puts an offer onto the best bid and is taken back by nothing."""
        before = self._shown
        best = ((self._bids[0][0], 1),) if self._bids else ()
        return self._difference(((), best), (before, before), at)

    def _look(self, at: int) -> bool:
        """Take the exchange's present view; False where nothing in it changed."""
        self._looked_at = at
        if not self._stale:
            return False
        self._stale = False
        view = self._books.exchange.book(self.sheet.id, self.depth)
        if view.bids == self._bids and view.asks == self._asks:
            return False
        self._bids, self._asks = view.bids, view.asks
        return True

    def _difference(
        self, changed: tuple[Levels, Levels], chain: tuple[int, int], at: int
    ) -> bytes:
        row = self._row(*changed, at)
        row |= self._books.marks(self.sheet, *chain, (self._bids, self._asks))
        return self._frame("update", row)

    def _row(self, bids: Levels, asks: Levels, at: int) -> Row:
        return {
            "asks": rows(self.sheet, asks),
            "bids": rows(self.sheet, bids),
            "ts": stamp(at),
        }

    def _named(self) -> Row:
        return {"instId": self.sheet.inst_id} if self.channel == "books5" else {}

    def _frame(self, action: str, row: Row) -> bytes:
        message: Row = {"arg": {"channel": self.channel, "instId": self.sheet.inst_id}}
        if action:
            message["action"] = action
        return msgspec.json.encode(message | {"data": [row]})


class Books:
    """All book channels, and the numbers that the venue gives to states of a book."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._channels: dict[tuple[InstrumentId, str], BookChannel] = {}
        self._offsets: dict[InstrumentId, int] = {}  # added to the exchange's sequence
        self.checked: dict[InstrumentId, None] = {}  # taped from the days of checksums

    def channel(self, sheet: Sheet, name: str) -> BookChannel:
        """The channel of an instrument; made when first needed, then it goes on for ever."""
        found = self._channels.get((sheet.id, name))
        if found is None:
            found = self._channels[sheet.id, name] = BookChannel(self, sheet, name)
        return found

    def sequence(self, sheet: Sheet) -> int:
        """`seqId` of the book as it stands, equal over channels and REST."""
        return self._number(sheet.id, self.exchange.book(sheet.id, 1).sequence)

    def at_sequence(self, instrument: InstrumentId, sequence: int) -> int:
        """`seqId` of a sequence number of the exchange."""
        return self._number(instrument, sequence)

    def touch(self, instrument: InstrumentId) -> None:
        for name in CHANNELS:
            channel = self._channels.get((instrument, name))
            if channel is not None:
                channel.touch()

    def restart(self, sheet: Sheet, sequence: int) -> None:
        """From now on the present state of a book has this smaller number."""
        now = self.exchange.book(sheet.id, 1).sequence
        self._offsets[sheet.id] = sequence - now

    def marks(
        self, sheet: Sheet, before: int, after: int, view: tuple[Levels, Levels]
    ) -> Row:
        """Checksum and chain of a frame; the checksum is 0 since 2026-06-23 (section 6.4).

        Beside a recording of older days, whose frames have real checksums and no numbers, ours
        must be of the same kind.
        """
        if sheet.id in self.checked:
            return {"checksum": checksum(sheet, *view)}
        return {"checksum": 0, "prevSeqId": before, "seqId": after}

    def _number(self, instrument: InstrumentId, sequence: int) -> int:
        return sequence + self._offsets.get(instrument, 0)


def rows(sheet: Sheet, levels: Levels) -> list[tuple[str, str, str, str]]:
    """Price, size, a dead field, orders; the exchange does not count those of the market."""
    price, size = sheet.price, sheet.size
    return [(price(ticks), size(lots), "0", "1" if lots else "0") for ticks, lots in levels]


def checksum(sheet: Sheet, bids: Levels, asks: Levels) -> int:
    """Signed CRC32 over the best 25 levels, sides in turn, numbers as printed."""
    parts: list[str] = []
    for rank in range(CHECKED_LEVELS):
        for side in (bids, asks):
            if rank < len(side):
                ticks, lots = side[rank]
                parts += (sheet.price(ticks), sheet.size(lots))
    number = zlib.crc32(":".join(parts).encode())
    return number - (1 << 32) if number >= 1 << 31 else number


def _difference(old: Levels, new: Levels, *, rising: bool) -> Levels:
    """Levels whose size changed, 0 for those that left; in the order of the side."""
    before, after = dict(old), dict(new)
    changed = [level for level in new if before.get(level[0]) != level[1]]
    changed += [(ticks, 0) for ticks, _ in old if ticks not in after]
    return tuple(sorted(changed, reverse=not rising))

"""Order book topics: one sequence `u` per symbol and depth, snapshots and differences."""

import msgspec

from oneprice.model.units import MILLI, SECOND
from oneprice.twin.contract import Exchange, Levels
from oneprice.twin.dialects.bybit.envelope import Row, millis
from oneprice.twin.dialects.bybit.facts import Sheet

PERIOD_NS = {1: 10 * MILLI, 50: 20 * MILLI, 200: 100 * MILLI, 1000: 200 * MILLI}
REPEAT_NS = 3 * SECOND  # a depth-1 snapshot that did not change is sent again after this
FIRST_UPDATE = 1_000_000  # an id that is not 1: 1 says that the service was restarted


class BookTopic:
    """What the readers of `orderbook.{depth}.{symbol}` have been shown so far.

    Differences are exact for the top `depth` levels: a level that is pushed out is deleted and
    one that moves in is inserted, as the recorded streams of 2026 show.
    """

    def __init__(self, exchange: Exchange, sheet: Sheet, depth: int) -> None:
        self.sheet = sheet
        self.depth = depth
        self.topic = f"orderbook.{depth}.{sheet.symbol}"
        self._exchange = exchange
        self._bids: Levels = ()
        self._asks: Levels = ()
        self._sequence = -1
        self._changed_at = 0
        self._sent_at = 0
        self._shown_at = 0
        self._update = FIRST_UPDATE * depth
        self._stale = True
        self.taped = False  # the recording brings this topic: its numbers are the venue's own

    def touch(self) -> None:
        """The instrument's book changed somewhere."""
        self._stale = True

    def snapshot(self, at: int, *, fresh: bool) -> bytes:
        """The whole view. `fresh`: nobody follows the differences, so look at the book anew."""
        if fresh:
            self._look(at)
        self._sent_at = at
        return self._frame("snapshot", self._bids, self._asks, at)

    def flush(self, at: int) -> bytes | None:
        """The next message if one is due: a difference, for depth 1 a snapshot."""
        if at - self._shown_at < PERIOD_NS[self.depth]:
            return None
        bids, asks = self._bids, self._asks
        if not self._look(at):
            if self.depth == 1 and at - self._sent_at >= REPEAT_NS:
                return self.snapshot(at, fresh=False)
            return None
        if self.depth == 1:
            return self.snapshot(at, fresh=False)
        self._sent_at = at
        return self._frame(
            "delta",
            _difference(bids, self._bids, rising=False),
            _difference(asks, self._asks, rising=True),
            at,
        )

    def restart(self, at: int) -> bytes:
        """A snapshot with `u` 1: the venue's service started anew."""
        self._look(at)
        self._update = 1
        return self.snapshot(at, fresh=False)

    def crossed(self, at: int) -> bytes:
        """A difference that crosses the reader's book and is taken back by nothing: a fault."""
        self._update += 1
        if not self._bids:
            return self._frame("delta", (), (), at)
        best = (self._bids[0][0], max(self._bids[0][1], 1))
        return self._frame("delta", (), (best,), at)

    def row(self, at: int, *, fresh: bool) -> Row:
        """The view as /v5/market/orderbook shows it; its `u` is that of this topic."""
        if fresh:
            self._look(at)
        return {
            "s": self.sheet.symbol,
            "b": self._printed(self._bids),
            "a": self._printed(self._asks),
            "ts": millis(at),
            "u": self._update,
            "seq": self._sequence,
            "cts": millis(self._changed_at),
        }

    def _look(self, at: int) -> bool:
        """Take the exchange's present view; False where nothing in it changed."""
        self._shown_at = at
        if not self._stale:
            return False
        self._stale = False
        view = self._exchange.book(self.sheet.id, self.depth)
        self._sequence = view.sequence
        if self.taped:
            self._update = view.sequence
        if view.bids == self._bids and view.asks == self._asks:
            return False
        self._bids, self._asks = view.bids, view.asks
        self._changed_at = view.at
        if not self.taped:
            self._update += 1
        return True

    def _frame(self, kind: str, bids: Levels, asks: Levels, at: int) -> bytes:
        data = {
            "s": self.sheet.symbol,
            "b": self._printed(bids),
            "a": self._printed(asks),
            "u": self._update,
            "seq": self._sequence,
        }
        head: Row = {"topic": self.topic, "type": kind, "ts": millis(at)}
        if self.sheet.spot or self.depth == 1:
            head = {"topic": self.topic, "ts": millis(at), "type": kind}
        return msgspec.json.encode(head | {"data": data, "cts": millis(self._changed_at)})

    def _printed(self, levels: Levels) -> list[tuple[str, str]]:
        price, size = self.sheet.price, self.sheet.size
        return [(price(ticks), size(lots)) for ticks, lots in levels]


def _difference(old: Levels, new: Levels, *, rising: bool) -> Levels:
    """Levels whose size changed, 0 for those that left; in the order of the side."""
    before, after = dict(old), dict(new)
    changed = [level for level in new if before.get(level[0]) != level[1]]
    changed += [(ticks, 0) for ticks, _ in old if ticks not in after]
    return tuple(sorted(changed, reverse=not rising))

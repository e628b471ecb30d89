"""A price-time priority book: our customers' resting orders among the market's anonymous size.

A level is a queue. Of the anonymous size only the amount matters, of our orders how much
anonymous size stands before them (`ahead`). Where the anonymous size shrinks without a trade the
cancelled part is taken to have stood behind us, so that a place is gained by trades only.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

import msgspec

from oneprice.model.units import Side
from oneprice.twin.contract import Levels, SelfTrade


class Resting(msgspec.Struct, kw_only=True):
    """One of our orders in the queue of a level."""

    order_id: int
    account: str
    side: Side
    ticks: int
    lots: int  # still open
    ahead: int = 0  # anonymous lots before it


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a taker's walk: against anonymous size (order 0) or one of our orders."""

    ticks: int
    lots: int
    order_id: int = 0
    prevented: bool = False  # a self-trade: nothing traded


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One of our resting orders was reached by the anonymous market, at its own price."""

    order_id: int
    ticks: int
    lots: int


class Half:
    """One side of a book; `keys` are the ticks of all visible levels, ascending."""

    __slots__ = ("anonymous", "changed", "keys", "own", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.keys: list[int] = []
        self.anonymous: dict[int, int] = {}
        self.own: dict[int, list[Resting]] = {}
        self.changed: dict[int, None] = {}

    def best(self) -> int:
        """Ticks of the best level, 0 where the side is empty."""
        if not self.keys:
            return 0
        return self.keys[-1] if self.side is Side.BUY else self.keys[0]

    def visible(self, ticks: int) -> int:
        return self.anonymous.get(ticks, 0) + sum(one.lots for one in self.own.get(ticks, ()))

    def levels(self, depth: int = 0) -> Levels:
        """Best first; depth 0 is everything."""
        count = depth or len(self.keys)
        chosen = self.keys[: -count - 1 : -1] if self.side is Side.BUY else self.keys[:count]
        return tuple((ticks, self.visible(ticks)) for ticks in chosen)

    def set_anonymous(self, ticks: int, lots: int) -> None:
        if self.anonymous.get(ticks, 0) == lots:
            return
        if lots:
            self.anonymous[ticks] = lots
        else:
            self.anonymous.pop(ticks, None)
        for one in self.own.get(ticks, ()):
            one.ahead = min(one.ahead, lots)
        self._touch(ticks)

    def rest(self, order: Resting) -> None:
        """Joins the end of its level's queue."""
        order.ahead = self.anonymous.get(order.ticks, 0)
        self.own.setdefault(order.ticks, []).append(order)
        self._touch(order.ticks)

    def remove(self, order: Resting) -> None:
        queue = self.own[order.ticks]
        queue.remove(order)
        if not queue:
            del self.own[order.ticks]
        self._touch(order.ticks)

    def reached(self, ticks: int, limit: int) -> bool:
        """Whether a taker with this limit price would trade with a level of this side."""
        return limit >= ticks if self.side is Side.SELL else limit <= ticks

    def walk(self, lots: int, limit: int, account: str, rule: SelfTrade) -> list[Match]:
        """What a taker would meet, in order, changing nothing; ends early on a self-trade."""
        found: list[Match] = []
        keys = self.keys if self.side is Side.SELL else reversed(self.keys)
        for ticks in keys:
            if lots <= 0 or not self.reached(ticks, limit):
                break
            queue = self.own.get(ticks)
            if queue is None:
                taken = min(lots, self.anonymous[ticks])
                found.append(Match(ticks=ticks, lots=taken))
                lots -= taken
                continue
            lots = self._walk_queue(ticks, lots, (account, rule), found)
            if found and found[-1].prevented and rule is not SelfTrade.CANCEL_MAKER:
                break
        return found

    def execute(self, match: Match) -> Resting | None:
        """Carries out one step of a walk; the order it met, if it was one of ours."""
        if match.order_id == 0:
            left = self.anonymous[match.ticks] - match.lots
            for one in self.own.get(match.ticks, ()):
                one.ahead = max(0, one.ahead - match.lots)
            self.set_anonymous(match.ticks, left)
            return None
        order = next(o for o in self.own[match.ticks] if o.order_id == match.order_id)
        order.lots -= match.lots
        if order.lots == 0:
            self.remove(order)
        else:
            self._touch(match.ticks)
        return order

    def pass_trade(self, ticks: int, lots: int) -> Iterator[Hit]:
        """A recorded trade at a price: which of our orders would have had it instead.

        Orders may be withdrawn between two hits; the walk takes notice.
        """
        for level in sorted(self.own, reverse=self.side is Side.BUY):
            if lots <= 0 or not self.reached(level, ticks):
                return
            before = 0  # queue places already used up at this level
            for order in list(self.own.get(level, ())):
                if level == ticks:
                    passed = min(max(0, order.ahead - before), lots)
                    before += passed
                    lots -= passed
                    order.ahead -= before
                taken = min(order.lots, lots)
                if taken <= 0 or order not in self.own.get(level, ()):
                    continue
                lots -= taken
                self.execute(Match(ticks=level, lots=taken, order_id=order.order_id))
                yield Hit(order_id=order.order_id, ticks=level, lots=taken)

    def collect(self) -> Levels:
        """Levels that changed since the last call, with their visible size."""
        if not self.changed:
            return ()
        order = sorted(self.changed, reverse=self.side is Side.BUY)
        self.changed.clear()
        return tuple((ticks, self.visible(ticks)) for ticks in order)

    def _walk_queue(
        self, ticks: int, lots: int, taker: tuple[str, SelfTrade], found: list[Match]
    ) -> int:
        account, rule = taker
        anonymous = self.anonymous.get(ticks, 0)
        passed = 0  # anonymous lots of this level already walked over
        for order in self.own[ticks]:
            before = min(order.ahead - passed, lots)
            if before > 0:
                found.append(Match(ticks=ticks, lots=before))
                passed += before
                lots -= before
            if lots <= 0:
                return 0
            prevented = rule is not SelfTrade.NONE and order.account == account
            taken = order.lots if prevented else min(order.lots, lots)
            found.append(
                Match(ticks=ticks, lots=taken, order_id=order.order_id, prevented=prevented)
            )
            if prevented and rule is not SelfTrade.CANCEL_MAKER:
                return lots
            if not prevented:
                lots -= taken
            if lots <= 0:
                return 0
        rest = min(anonymous - passed, lots)
        if rest > 0:
            found.append(Match(ticks=ticks, lots=rest))
        return lots - max(0, rest)

    def _touch(self, ticks: int) -> None:
        self.changed[ticks] = None
        present = ticks in self.anonymous or ticks in self.own
        keys = self.keys
        index = bisect_left(keys, ticks)
        listed = index < len(keys) and keys[index] == ticks
        if present and not listed:
            insort(keys, ticks)
        elif listed and not present:
            del keys[index]


class MatchingBook:
    """Both halves of one instrument's book."""

    __slots__ = ("asks", "bids", "resting")

    def __init__(self) -> None:
        self.bids = Half(Side.BUY)
        self.asks = Half(Side.SELL)
        self.resting: dict[int, Resting] = {}

    def clear(self) -> None:
        """All anonymous sizes leave."""
        for half in (self.bids, self.asks):
            for ticks in list(half.anonymous):
                half.set_anonymous(ticks, 0)

    def half(self, side: Side) -> Half:
        return self.bids if side is Side.BUY else self.asks

    def crosses(self, side: Side, ticks: int) -> bool:
        """Whether an order of this side and price would trade at once."""
        opposite = self.half(side.opposite)
        return bool(opposite.keys) and opposite.reached(opposite.best(), ticks)

    def rest(self, order: Resting) -> None:
        self.resting[order.order_id] = order
        self.half(order.side).rest(order)

    def remove(self, order_id: int) -> None:
        order = self.resting.pop(order_id)
        self.half(order.side).remove(order)

    def shrink(self, order_id: int, lots: int) -> None:
        """A smaller open size that keeps its place in the queue."""
        order = self.resting[order_id]
        order.lots = lots
        self.half(order.side).changed[order.ticks] = None

    def execute(self, taker: Side, match: Match) -> None:
        """One step of a taker's walk that really trades."""
        order = self.half(taker.opposite).execute(match)
        if order is not None and order.lots == 0:
            del self.resting[order.order_id]

    def apply(self, bids: Levels, asks: Levels, *, full: bool = False) -> Iterator[Hit]:
        """New anonymous sizes; our orders that the market now reaches are filled by it.

        The levels are set when the first hit is asked for; every hit must be asked for.
        """
        for half, levels in ((self.bids, bids), (self.asks, asks)):
            if full:
                named = dict(levels)
                for ticks in [t for t in half.anonymous if t not in named]:
                    half.set_anonymous(ticks, 0)
            for ticks, lots in levels:
                half.set_anonymous(ticks, lots)
        while self.bids.keys and self.asks.keys and self.bids.keys[-1] >= self.asks.keys[0]:
            bid, ask = self.bids.keys[-1], self.asks.keys[0]
            if bid in self.bids.own:
                yield self._sweep(self.bids, bid, self.asks, ask)
            elif ask in self.asks.own:
                yield self._sweep(self.asks, ask, self.bids, bid)
            elif any(t == ask and lots for t, lots in asks):
                self.bids.set_anonymous(bid, 0)  # the older of the two was gone already
            else:
                self.asks.set_anonymous(ask, 0)

    def pass_trade(self, taker: Side, ticks: int, lots: int) -> Iterator[Hit]:
        """A recorded trade meets our resting orders."""
        half = self.half(taker.opposite)
        if not half.own:
            return
        for hit in half.pass_trade(ticks, lots):
            if self.resting[hit.order_id].lots == 0:
                del self.resting[hit.order_id]
            yield hit

    def _sweep(self, half: Half, ticks: int, other: Half, opposite: int) -> Hit:
        """The first of our orders of a level against anonymous size that ran into it."""
        half.set_anonymous(ticks, 0)  # who stood before us was traded or left
        order = half.own[ticks][0]
        lots = min(order.lots, other.anonymous.get(opposite, 0))
        if lots == 0:  # only our own orders stand opposite: cannot happen after matching
            raise AssertionError(f"orders {order.order_id} and one at {opposite} cross unmatched")
        other.set_anonymous(opposite, other.anonymous[opposite] - lots)
        half.execute(Match(ticks=ticks, lots=lots, order_id=order.order_id))
        if order.lots == 0:
            del self.resting[order.order_id]
        return Hit(order_id=order.order_id, ticks=ticks, lots=lots)

"""Every fill of ours in a market since a moment, symbol by symbol.

Source: Binance spot docs, "Account trade list"; futures docs, "Account Trade List". Trades are
asked of one symbol at a time: by windows of time until the first one is found, by trade id from
there on. They name the venue's order id only, so the client id of an order that we do not
remember is asked, once.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from oneprice.model.commands import Priority, QueryFills
from oneprice.model.events import AnyEvent, FillsTold
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import MILLI, InstrumentId, Nanos, OrderId
from oneprice.venues.binance.answers import Reply, rejected
from oneprice.venues.binance.encoding import TRADES_PER_PAGE
from oneprice.venues.binance.facts import DAY_MS, ENTRIES, PRODUCTS, VENUE
from oneprice.venues.binance.numbers import UNREADABLE
from oneprice.venues.binance.private_frames import OrderState, OwnTrade
from oneprice.venues.binance.refusals import Verdict
from oneprice.venues.binance.reports import forced, trade_events
from oneprice.venues.contract import Request

KINDS = ("trades", "owner")
REACH_MS = 89 * DAY_MS  # futures keep three months
_OWNERS_MAX = 16_384
_NO_SUCH_ORDER = -2013

_trades = msgspec.json.Decoder(list[OwnTrade])
_state = msgspec.json.Decoder(OrderState)


class _Walk(msgspec.Struct):
    """One way through one symbol; by id once a trade was found."""

    item: Instrument
    start_ms: int
    end_ms: int = 0  # of the present window, 0 until the answer about it
    venue_ms: int = 0  # the venue's time at the last question that was answered
    from_id: int = -1
    trades: dict[int, OwnTrade] = {}
    unknown: dict[int, None] = {}  # orders whose client id is being asked

    @property
    def window_ms(self) -> int:
        """A day on spot, seven on USD-M; a day is within what COIN-M allows in any case."""
        return DAY_MS * (7 if self.item.market == "usdm" else 1)

    def end(self, now_ms: int) -> int:
        """Where the present window ends, asked for at this moment of the venue's clock."""
        return max(min(self.start_ms + self.window_ms - 1, now_ms), self.start_ms)


class _Round(msgspec.Struct):
    number: int
    since_ms: int
    priority: Priority
    walks: dict[str, _Walk]  # by symbol, those that are not done
    until_ms: int = 0  # what has been told of every symbol that is done
    whole: bool = True  # nothing failed so far


class Fills:
    """Asks for trades and tells each as a fill; one round a market, a newer one replaces it."""

    def __init__(
        self, listed: Mapping[InstrumentId, Instrument], wanted: Sequence[InstrumentId]
    ) -> None:
        self._listed = listed
        self._touched = dict.fromkeys(wanted)
        self._owners: dict[tuple[InstrumentId, int], OrderId] = {}
        self._rounds: dict[str, _Round] = {}
        self._count = 0
        self._next: list[Request] = []

    def touch(self, instrument: InstrumentId) -> None:
        """Something of ours happened in it: its trades are asked from now on."""
        self._touched[instrument] = None

    def owns(self, order_id: OrderId, instrument: InstrumentId, venue_order_id: int) -> None:
        """The venue's number of an order, as told."""
        self._owners[instrument, venue_order_id] = order_id
        if len(self._owners) > _OWNERS_MAX:
            del self._owners[next(iter(self._owners))]

    def sent(self, tag: str, venue_ms: int) -> str:
        """What a question needs besides, as it leaves at this moment of the venue's clock.

        Nothing is remembered here: signing is no input that a replay could repeat.
        """
        _, walk = self._walk(tag)
        if walk is None or not tag.startswith("trades:") or walk.from_id >= 0:
            return ""
        return f"endTime={walk.end(venue_ms)}"

    def _walk(self, tag: str) -> tuple[_Round | None, _Walk | None]:
        """What a tag belongs to; nothing where that round was given up."""
        _, market, number, subject = tag.split(":", 3)
        asked = self._rounds.get(market)
        if asked is None or str(asked.number) != number:
            return None, None
        return asked, asked.walks.get(subject.partition("|")[0])

    def follow_ups(self) -> Sequence[Request]:
        """Further pages and the owners to ask for; each is handed out once."""
        out, self._next = self._next, []
        return out

    def begin(self, command: QueryFills, at: Nanos) -> Sequence[Request]:
        """The first question about every symbol; ValueError for an unknown market.

        Symbols are those that are wanted or that something of ours happened in; all listed ones
        where there are none such.
        """
        market = command.market
        if market not in ENTRIES:
            raise ValueError(f"market {market!r}: expected one of {list(ENTRIES)}")
        since = max(command.since_ms, at // MILLI - REACH_MS)
        names = [name for name in self._touched if split_id(name)[1] == market]
        chosen = [self._listed[name] for name in names if name in self._listed]
        if not chosen:
            chosen = [item for item in self._listed.values() if item.market == market]
        self._count += 1
        walks = {item.symbol: _Walk(item, since) for item in chosen}
        asked = _Round(self._count, since, command.priority, walks)
        self._rounds[market] = asked
        return [self._page(asked, walk) for walk in walks.values()]

    def answered(self, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
        """Events of a symbol once all of it is there, and FillsTold behind the last symbol."""
        asked, walk = self._walk(reply.tag)
        if asked is None or walk is None:
            return ()  # of a round that was given up
        order = reply.tag.rpartition("|")[2]
        try:
            if reply.tag.startswith("trades:"):
                return self._came(asked, walk, reply, at)
            return self._named(asked, walk, int(order), reply, at)
        except UNREADABLE as error:
            return self._failed(asked, walk, reply, str(error), at)

    # Inside -----------------------------------------------------------------------------------

    def _came(self, asked: _Round, walk: _Walk, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
        """One page of trades."""
        if reply.verdict is not Verdict.DONE:
            return self._failed(asked, walk, reply, reply.text or "no answer", at)
        walk.venue_ms = reply.asked_ms or at // MILLI
        walk.end_ms = walk.end(walk.venue_ms)
        rows = _trades.decode(reply.body)
        for row in rows:
            walk.trades[row.id] = row
        full = len(rows) >= TRADES_PER_PAGE
        last = max((row.id for row in rows), default=-1)
        is_last = walk.from_id >= 0 or walk.end_ms < walk.start_ms + walk.window_ms - 1
        if is_last and not full:
            return self._collected(asked, walk, at)
        if rows:
            walk.from_id = last + 1
        else:
            walk.start_ms, walk.end_ms = walk.end_ms + 1, 0
        self._next.append(self._page(asked, walk))
        return ()

    def _collected(self, asked: _Round, walk: _Walk, at: Nanos) -> Sequence[AnyEvent]:
        """All trades are there: those of orders that nobody remembers are asked for."""
        for trade in walk.trades.values():
            if (walk.item.id, trade.orderId) not in self._owners:
                walk.unknown[trade.orderId] = None
        self._next += [self._question(asked, walk, order) for order in walk.unknown]
        return self._finished(asked, walk, at) if not walk.unknown else ()

    def _named(
        self, asked: _Round, walk: _Walk, order: int, reply: Reply, at: Nanos
    ) -> Sequence[AnyEvent]:
        """The client id of one order. An order that has traded and is not known may be lag."""
        if reply.verdict is Verdict.DONE:
            state = _state.decode(reply.body)
            if state.orderId != order:
                raise ValueError(f"orderId: expected {order}, found {state.orderId}")
            self.owns(state.clientOrderId, walk.item.id, order)
        elif reply.code != _NO_SUCH_ORDER or not _archived(walk, order, at):
            return self._failed(asked, walk, reply, reply.text or "no answer", at)
        else:
            self.owns("", walk.item.id, order)
        walk.unknown.pop(order, None)
        return self._finished(asked, walk, at) if not walk.unknown else ()

    def _finished(self, asked: _Round, walk: _Walk, at: Nanos) -> Sequence[AnyEvent]:
        events: list[AnyEvent] = []
        for number in sorted(walk.trades):
            trade = walk.trades[number]
            client_id = self._owners[walk.item.id, trade.orderId]
            cause = forced(client_id)
            owner = "" if cause else client_id
            events += trade_events((trade,), owner, walk.item, at, cause or "trade")
        return [*events, *self._done(asked, walk, at)]

    def _done(self, asked: _Round, walk: _Walk, at: Nanos) -> Sequence[AnyEvent]:
        del asked.walks[walk.item.symbol]
        asked.until_ms = min(asked.until_ms or walk.venue_ms, walk.venue_ms)
        if asked.walks:
            return ()
        market = walk.item.market
        del self._rounds[market]
        if not asked.whole:
            return ()  # whoever asked will ask again
        return (
            FillsTold(
                at=at,
                venue=VENUE,
                market=market,
                since_ms=asked.since_ms,
                until_ms=max(asked.until_ms, asked.since_ms),
            ),
        )

    def _failed(
        self, asked: _Round, walk: _Walk, reply: Reply, reason: str, at: Nanos
    ) -> Sequence[AnyEvent]:
        asked.whole = False
        shown = rejected(PRODUCTS[walk.item.market].rest, f"{reply.tag}: {reason}", b"", at)
        return (shown, *self._done(asked, walk, at))

    def _page(self, asked: _Round, walk: _Walk) -> Request:
        entry, params = ENTRIES[walk.item.market], {"symbol": walk.item.symbol}
        if walk.from_id >= 0:
            params["fromId"] = str(walk.from_id)
        else:
            params["startTime"] = str(walk.start_ms)
        params["limit"] = str(TRADES_PER_PAGE)
        subject = walk.item.symbol
        return _request("trades", asked, walk, subject, entry.fills_path, params)

    def _question(self, asked: _Round, walk: _Walk, order: int) -> Request:
        params = {"symbol": walk.item.symbol, "orderId": str(order)}
        subject = f"{walk.item.symbol}|{order}"
        path = ENTRIES[walk.item.market].order_path
        return _request("owner", asked, walk, subject, path, params)


def _request(
    kind: str, asked: _Round, walk: _Walk, subject: str, path: str, params: Mapping[str, str]
) -> Request:
    market = walk.item.market
    entry, product = ENTRIES[market], PRODUCTS[market]
    weight = entry.fills_weight if kind == "trades" else entry.query_weight
    return Request(
        tag=f"{kind}:{market}:{asked.number}:{subject}",
        host=product.rest,
        path=path,
        query=urlencode(params),
        signed=True,
        cost=((product.weight, weight),),
        priority=asked.priority,
    )


def _archived(walk: _Walk, order: int, at: Nanos) -> bool:
    """Whether every trade of an order is so old that the venue may have put the order away."""
    newest = max(trade.time for trade in walk.trades.values() if trade.orderId == order)
    return newest < at // MILLI - 80 * DAY_MS

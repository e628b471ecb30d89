"""Market streams: each subscribed stream gathers changes and speaks at its own pace."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from oneprice.model.instrument import Instrument
from oneprice.model.units import Side
from oneprice.twin.contract import BookChanged, Candle, CandleChanged, Exchange, Output, Traded
from oneprice.twin.dialects.binance.market import weighted_average, wire_id
from oneprice.twin.dialects.binance.shapes import Catalog, Grid, fixed, millis, pair_of, quotient
from oneprice.twin.dialects.binance.topics import INTERVALS_MS, Kind, Topic

Emit = Callable[[Any], None]  # takes the payload of one frame


class Context(msgspec.Struct, frozen=True):
    """What every stream of one instrument needs."""

    exchange: Exchange
    instrument: Instrument
    grid: Grid
    emit: Emit

    @property
    def product(self) -> str:
        return self.instrument.market

    def wire(self, sequence: int) -> int:
        return wire_id(self.exchange, self.product, sequence)

    def stamp(self, event: str, at: int, moment: int) -> dict[str, Any]:
        """The head of an event; futures add the transaction time and the 2026-06-30 keys."""
        symbol = self.instrument.symbol
        head: dict[str, Any] = {"e": event, "E": millis(at)}
        if self.product == "spot":
            return head | {"s": symbol}
        kind = 1 if self.product == "usdm" else 2
        pair = pair_of(self.instrument)
        return head | {"T": millis(moment), "s": symbol, "ps": pair, "st": kind}


class Stream(Protocol):
    """A subscribed stream: told what happened, and asked to speak when its time comes."""

    topic: Topic

    def note(self, output: Output, at: int) -> None: ...
    def flush(self, at: int) -> None: ...


class Diff:
    """`@depth`: absolute sizes of changed levels. Spot: U = previous u + 1. Futures: pu = previous
    u, with ids missing between one event's u and the next one's U."""

    def __init__(self, topic: Topic, context: Context) -> None:
        self.topic = topic
        self.skips = 0  # how many of the next events are lost on the way
        self._context = context
        self._reset()

    def _reset(self) -> None:
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._before = -1
        self._last = 0
        self._moment = 0

    def note(self, output: Output, at: int) -> None:
        if not isinstance(output, BookChanged):
            return
        if output.full:  # nothing can be said as a difference: the stream has a gap
            self._reset()
            return
        if self._before < 0:
            self._before = output.sequence_before
        self._bids.update(output.bids)
        self._asks.update(output.asks)
        self._last, self._moment = output.sequence, output.at
        if not self.topic.speed:
            self.flush(at)

    def flush(self, at: int) -> None:
        if self._before < 0:
            return
        if self.skips:
            self.skips -= 1
        else:
            self._context.emit(self._event(at))
        self._reset()

    def _event(self, at: int) -> dict[str, Any]:
        context, grid = self._context, self._context.grid
        event = context.stamp("depthUpdate", at, self._moment)
        before, last = context.wire(self._before), context.wire(self._last)
        if context.product == "spot":
            event |= {"U": before + 1, "u": last}
        else:
            event |= {"U": min(last, before + 2), "u": last, "pu": before}
        bids = sorted(self._bids.items(), reverse=context.product == "spot")
        return event | {
            "b": grid.levels(tuple(bids)),
            "a": grid.levels(tuple(sorted(self._asks.items()))),
        }


class Partial:
    """`@depth5|10|20`: the whole top N again and again; never to be treated as a difference."""

    def __init__(self, topic: Topic, context: Context) -> None:
        self.topic = topic
        self._context = context
        self._changed = False
        self._previous = -1

    def note(self, output: Output, at: int) -> None:
        self._changed = self._changed or isinstance(output, BookChanged)

    def flush(self, at: int) -> None:
        if not self._changed:
            return
        self._changed = False
        context = self._context
        view = context.exchange.book(context.instrument.id, self.topic.levels)
        last = context.wire(view.sequence)
        bids = context.grid.levels(view.bids, self.topic.levels)
        asks = context.grid.levels(view.asks, self.topic.levels)
        if context.product == "spot":
            context.emit({"lastUpdateId": last, "bids": bids, "asks": asks})
            return
        event = context.stamp("depthUpdate", at, view.at)
        before = self._previous if self._previous >= 0 else last - 1
        context.emit(
            event | {"U": min(last, before + 2), "u": last, "pu": before, "b": bids, "a": asks}
        )
        self._previous = last


class Touch:
    """`@bookTicker`: best prices and sizes whenever they change, with the book's id."""

    def __init__(self, topic: Topic, context: Context) -> None:
        self.topic = topic
        self._context = context
        self._changed = False
        self._shown: tuple[tuple[int, int], tuple[int, int]] | None = None

    def note(self, output: Output, at: int) -> None:
        self._changed = self._changed or isinstance(output, BookChanged)

    def flush(self, at: int) -> None:
        if not self._changed:
            return
        self._changed = False
        context = self._context
        view = context.exchange.book(context.instrument.id, 1)
        bid = view.bids[0] if view.bids else (0, 0)
        ask = view.asks[0] if view.asks else (0, 0)
        if (bid, ask) == self._shown:
            return
        self._shown = (bid, ask)
        grid, last = context.grid, context.wire(view.sequence)
        body = {
            "b": grid.price(bid[0]),
            "B": grid.size(bid[1]),
            "a": grid.price(ask[0]),
            "A": grid.size(ask[1]),
        }
        if context.product == "spot":
            context.emit({"u": last, "s": context.instrument.symbol} | body)
        else:
            context.emit(context.stamp("bookTicker", at, view.at) | {"u": last} | body)


class Tape:
    """`@trade` and `@aggTrade`: here every aggregate is one trade, and has its id."""

    def __init__(self, topic: Topic, context: Context) -> None:
        self.topic = topic
        self._context = context
        self._waiting: list[Traded] = []

    def note(self, output: Output, at: int) -> None:
        if isinstance(output, Traded):
            self._waiting.append(output)

    def flush(self, at: int) -> None:
        for trade in self._waiting:
            self._context.emit(self._event(trade, at))
        self._waiting.clear()

    def _event(self, trade: Traded, at: int) -> dict[str, Any]:
        context, grid = self._context, self._context.grid
        aggregate = self.topic.kind is Kind.AGG_TRADE
        event = context.stamp("aggTrade" if aggregate else "trade", at, trade.at)
        event |= {"p": grid.price(trade.ticks), "q": grid.size(trade.lots)}
        event |= {"T": millis(trade.at), "m": trade.side is Side.SELL}
        if aggregate:
            event |= {"a": trade.trade_id, "f": trade.trade_id, "l": trade.trade_id}
            event |= {"nq": event["q"]} if context.product == "usdm" else {}
        else:
            event |= {"t": trade.trade_id}
            event |= {"X": "MARKET"} if context.product != "spot" else {}
        return event | ({"M": True} if context.product == "spot" else {})


class Bars:
    """`@kline_<i>`: the running bar at its pace and every closed one at once."""

    def __init__(self, topic: Topic, context: Context) -> None:
        self.topic = topic
        self._context = context
        self._changed = False
        self._interval = INTERVALS_MS[topic.interval]

    def note(self, output: Output, at: int) -> None:
        if not isinstance(output, CandleChanged):
            return
        self._changed = True
        minute = output.candle
        if minute.closed and (minute.start_ms + minute.interval_ms) % self._interval == 0:
            self._show(at, minute.start_ms, closed=True)

    def flush(self, at: int) -> None:
        if self._changed:
            self._changed = False
            self._show(at, millis(at), closed=False)

    def _show(self, at: int, inside_ms: int, *, closed: bool) -> None:
        """The bar that holds a moment of the interval's grid."""
        context = self._context
        if self._interval < 60_000:
            return
        start = inside_ms - inside_ms % self._interval
        rows = context.exchange.candles(
            context.instrument.id, "trade", self._interval, start_ms=start, limit=1_000
        )
        for row in rows[:1]:
            event = context.stamp("kline", at, at)
            event.pop("T", None)
            context.emit(event | {"k": self._bar(row, closed)})

    def _bar(self, row: Candle, closed: bool) -> dict[str, Any]:
        context, grid = self._context, self._context.grid
        places = grid.price_places
        taker = quotient(row.turnover * row.taker_buy_lots, Decimal(row.volume_lots))
        return {
            "t": row.start_ms,
            "T": row.start_ms + row.interval_ms - 1,
            "s": context.instrument.symbol,
            "i": self.topic.interval,
            "f": -1,
            "L": -1,
            "o": fixed(row.open, places),
            "c": fixed(row.close, places),
            "h": fixed(row.high, places),
            "l": fixed(row.low, places),
            "v": grid.size(row.volume_lots),
            "n": row.trades,
            "x": closed,
            "q": fixed(row.turnover),
            "V": grid.size(row.taker_buy_lots),
            "Q": fixed(taker),
            "B": "0",
        }


class Marks:
    """`@markPrice`: mark, index and the running funding estimate, every one or three seconds."""

    def __init__(self, topic: Topic, context: Context) -> None:
        self.topic = topic
        self._context = context

    def note(self, output: Output, at: int) -> None:
        """Nothing to gather: the state is read when it is due."""

    def flush(self, at: int) -> None:
        self._context.emit(mark_event(self._context, at))


class Days:
    """`@ticker` and `@miniTicker`: rolling statistics of 24 hours."""

    def __init__(self, topic: Topic, context: Context) -> None:
        self.topic = topic
        self._context = context

    def note(self, output: Output, at: int) -> None:
        """Nothing to gather: the state is read when it is due."""

    def flush(self, at: int) -> None:
        self._context.emit(day_event(self._context, self.topic.kind, at))


class Announced:
    """A stream whose events are pushed from elsewhere as they happen."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic

    def note(self, output: Output, at: int) -> None:
        """Nothing to gather."""

    def flush(self, at: int) -> None:
        """Nothing to say."""


class Everyone:
    """The all-symbol streams, as one array per push (`!bookTicker`: one frame per symbol)."""

    def __init__(self, topic: Topic, contexts: list[Context], emit: Emit) -> None:
        self.topic = topic
        self._contexts = contexts
        self._emit = emit
        inner = [msgspec.structs.replace(context, emit=emit) for context in contexts]
        self._touches = [Touch(topic, context) for context in inner]

    def note(self, output: Output, at: int) -> None:
        """Nothing to gather: the state is read when it is due."""

    def flush(self, at: int) -> None:
        match self.topic.kind:
            case Kind.MARK:
                self._emit([mark_event(context, at) for context in self._contexts])
            case Kind.BOOK_TICKER:
                for touch in self._touches:
                    touch.note(_ANY_CHANGE, at)
                    touch.flush(at)
            case kind:
                self._emit([day_event(context, kind, at) for context in self._contexts])


_ANY_CHANGE = BookChanged(instrument="", sequence_before=0, sequence=0, bids=(), asks=(), at=0)


def mark_event(context: Context, at: int) -> dict[str, Any]:
    """One markPriceUpdate; `r` is what would be settled at `T` if nothing changed."""
    ticker = context.exchange.ticker(context.instrument.id)
    symbol = context.instrument.symbol
    event: dict[str, Any] = {"e": "markPriceUpdate", "E": millis(at), "s": symbol}
    event |= {
        "p": fixed(ticker.mark),
        "ap": fixed(ticker.mark),
        "P": fixed(ticker.index),
        "i": fixed(ticker.index),
        "r": fixed(ticker.funding_rate),
        "T": millis(ticker.funding_due),
    }
    return event | {"st": 1 if context.product == "usdm" else 2}


def day_event(context: Context, kind: Kind, at: int) -> dict[str, Any]:
    """24hrTicker or 24hrMiniTicker of one symbol."""
    ticker = context.exchange.ticker(context.instrument.id)
    grid, spot = context.grid, context.product == "spot"
    event = context.stamp("24hrTicker" if kind is Kind.TICKER else "24hrMiniTicker", at, at)
    event.pop("T", None)
    event |= {
        "c": grid.price(ticker.last_ticks),
        "o": grid.price(ticker.open_24h_ticks),
        "h": grid.price(ticker.high_24h_ticks),
        "l": grid.price(ticker.low_24h_ticks),
        "v": grid.size(ticker.volume_24h_lots),
        "q": fixed(ticker.turnover_24h),
    }
    if kind is Kind.MINI:
        return event
    change = ticker.last_ticks - ticker.open_24h_ticks
    event |= {
        "p": grid.price(change),
        "P": fixed(quotient(Decimal(100 * change), Decimal(ticker.open_24h_ticks)), 3),
        "w": fixed(weighted_average(ticker, context.instrument), grid.price_places),
        "Q": grid.size(1),
        "O": millis(at) - 86_400_000,
        "C": millis(at),
        "F": -1,
        "L": -1,
        "n": ticker.trades_24h,
    }
    if not spot:
        return event
    return event | {
        "x": grid.price(ticker.open_24h_ticks),
        "b": grid.price(ticker.bid_ticks),
        "B": grid.size(ticker.bid_lots),
        "a": grid.price(ticker.ask_ticks),
        "A": grid.size(ticker.ask_lots),
    }


_KINDS: dict[Kind, Callable[[Topic, Context], Stream]] = {
    Kind.DEPTH: Diff,
    Kind.LEVELS: Partial,
    Kind.BOOK_TICKER: Touch,
    Kind.TRADE: Tape,
    Kind.AGG_TRADE: Tape,
    Kind.KLINE: Bars,
    Kind.MARK: Marks,
    Kind.TICKER: Days,
    Kind.MINI: Days,
}


def open_stream(
    topic: Topic, exchange: Exchange, catalog: Catalog, found: list[Instrument], emit: Emit
) -> Stream:
    """The stream of a topic; `found` is its instrument, or all of the product."""
    if topic.kind in (Kind.FORCE, Kind.CONTRACT):
        return Announced(topic)
    contexts = [Context(exchange, one, catalog.grid(one.id), emit) for one in found]
    if not topic.symbol:
        return Everyone(topic, contexts, emit)
    return _KINDS[topic.kind](topic, contexts[0])

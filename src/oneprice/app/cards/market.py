"""Cards about market data: instruments, books, trades, prices, funding, candles, history."""

from decimal import Decimal

from oneprice.app.cards.bench import Bench
from oneprice.app.cards.contract import Card, check, equal
from oneprice.model.events import (
    BookReady,
    CandleClosed,
    FeedLost,
    FundingForecast,
    FundingSettled,
    InstrumentListed,
    Marked,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, SECOND, ZERO
from oneprice.venues.contract import HistoryWanted

MINUTE_MS = 60_000
FIELDS = ("payoff", "tick", "lot", "contract_value", "expiry", "funding_interval_ms", "tradable")


async def instruments(bench: Bench) -> None:
    """Grids and contract maths of every instrument are those of the venue."""
    listed = {e.instrument.id: e.instrument for e in bench.find(InstrumentListed)}
    for theirs in bench.instruments:
        ours = listed.get(theirs.id)
        check(ours is not None, f"{theirs.id} listed", sorted(listed))
        assert ours is not None
        for field in FIELDS:
            equal(f"{theirs.id} {field}", getattr(ours, field), getattr(theirs, field))
        at = bench.exchange.ticker(theirs.id).last_ticks
        equal(f"{theirs.id} notional", ours.notional(at, 3), theirs.notional(at, 3))
        if theirs.is_derivative:
            low, high = theirs.price(at), theirs.price(at) * 2
            equal(f"{theirs.id} profit", ours.profit(low, high, 5), theirs.profit(low, high, 5))
        check(ours.lots_min <= 2 * theirs.lots_min, f"lots_min {theirs.lots_min}", ours.lots_min)


async def clock(bench: Bench) -> None:
    """The venue's clock is measured to 50 ms."""
    offset = bench.clock.offset_ns(bench.venue)
    true = bench.now() - bench.clock.now()
    check(abs(offset - true) < 50 * MILLI, f"offset {true}", offset)


async def books_equal(bench: Bench) -> None:
    """Every book is proven and equals the venue's, ten levels deep, at one moment."""
    for instrument in bench.instruments:
        await bench.until(lambda i=instrument: _is_equal(bench, i), f"book of {instrument.id}", 10)  # type: ignore[misc]


def _is_equal(bench: Bench, instrument: Instrument) -> bool:
    book, view = bench.feed.books[instrument.id], bench.exchange.book(instrument.id, 10)
    if not book.known:
        return False
    return tuple(book.bids()[:10]) == view.bids and tuple(book.asks()[:10]) == view.asks


async def books_gap(bench: Bench) -> None:
    """A lost frame is noticed, the book is unknown at once and proven again soon."""
    start = bench.mark()
    for _ in range(300):  # not every frame is one of a book
        lost_before = bench.faults.counts.get("frame_loss", 0)
        bench.faults.arm("frame_loss")
        await bench.until(
            lambda n=lost_before: bench.faults.counts.get("frame_loss", 0) > n,  # type: ignore[misc]
            "a frame to be lost",
        )
        await bench.rest(0.02)
        if bench.find(FeedLost, since=start):
            break
    lost = await bench.event(FeedLost, since=start)
    # A book that is only found crossed some time later was wrong until then.
    equal("reason", lost.reason, "gap")
    await bench.event(BookReady, lambda e: e.instrument == lost.instrument, since=start)
    await books_equal(bench)


async def books_dropped(bench: Bench) -> None:
    """With every connection lost no book outlives it, and all are proven again."""
    mark = bench.mark()
    for transport in list(bench.twin.transports):
        transport.abort()
    for instrument in bench.instruments:
        name = instrument.id
        await bench.event(FeedLost, lambda e, n=name: e.instrument == n, since=mark)  # type: ignore[misc]
    await bench.until(lambda: bench.gateway.settled, "everything back", 10)
    await books_equal(bench)


async def trades(bench: Bench) -> None:
    """Trades of the venue are heard with price, size and the taker's side."""
    instrument = bench.instruments[0]
    mark = bench.mark()
    await bench.until(
        lambda: len(bench.find(MarketTraded, lambda e: e.instrument == instrument.id, mark)) >= 3,
        "three trades",
        10,
    )
    theirs = {(t.ticks, t.lots, t.side) for t in bench.exchange.trades(instrument.id, 1000)}
    for heard in bench.find(MarketTraded, lambda e: e.instrument == instrument.id, mark):
        told = (int(heard.ticks), int(heard.lots), heard.side)
        check(told in theirs, "a trade of the venue", told)


async def touch(bench: Bench) -> None:
    """Best bid and ask are quoted beside the book, and agree with it at some moment."""
    instrument = bench.perp or bench.instruments[0]  # spot tickers of some venues have none

    def agrees() -> bool:
        told = bench.find(TouchQuoted, lambda e: e.instrument == instrument.id)
        view = bench.exchange.book(instrument.id, 1)
        return bool(told) and (told[-1].bid_ticks, told[-1].ask_ticks) == (
            view.bids[0][0],
            view.asks[0][0],
        )

    await bench.until(agrees, "a quote that equals the venue's touch", 10)


def _perp(bench: Bench) -> Instrument:
    check(bench.perp is not None, "a perpetual", None)
    assert bench.perp is not None
    return bench.perp


async def mark(bench: Bench) -> None:
    """The mark price is the venue's, to a tenth of a basis point."""
    await _price(bench, "mark")


async def index(bench: Bench) -> None:
    """The index price is the venue's, to a tenth of a basis point."""
    await _price(bench, "index")


async def _price(bench: Bench, which: str) -> None:
    perp = _perp(bench)

    def agrees() -> bool:
        told = [
            getattr(e, which)
            for e in bench.find(Marked, lambda e: e.instrument == perp.id)
            if getattr(e, which) is not None
        ]
        true: Decimal = getattr(bench.exchange.ticker(perp.id), which)
        return bool(told) and abs(told[-1] - true) <= true / 100_000

    await bench.until(agrees, f"{which} price of {perp.id}", 10)


async def funding(bench: Bench) -> None:
    """Rate, next settlement and interval of funding are the venue's."""
    perp = _perp(bench)
    listed = bench.find(InstrumentListed, lambda e: e.instrument.id == perp.id)[-1].instrument
    await bench.event(FundingForecast, lambda e: e.instrument == perp.id)

    def agrees() -> bool:
        told = bench.find(FundingForecast, lambda e: e.instrument == perp.id)[-1]
        true = bench.exchange.ticker(perp.id)
        interval = told.interval_ms or listed.funding_interval_ms
        return (
            abs(told.rate - true.funding_rate) <= Decimal("0.000005")
            and told.due // SECOND == true.funding_due // SECOND
            and interval == perp.funding_interval_ms
        )

    await bench.until(agrees, f"funding of {perp.id}", 10)


async def funding_next(bench: Bench) -> None:
    """The prediction for the settlement after the coming one is told apart from it."""
    perp = _perp(bench)
    await bench.event(
        FundingForecast, lambda e: e.instrument == perp.id and e.next_rate is not None, seconds=10
    )


async def funding_history(bench: Bench) -> None:
    """Settled rates of the past are the venue's own, each once, over more than one page."""
    perp = _perp(bench)
    await bench.until(
        lambda: bool(bench.exchange.funding_rows(perp.id)), "a settlement", 40
    )
    rows = bench.exchange.funding_rows(perp.id, limit=10_000)
    start, end = rows[0].at // MILLI, rows[-1].at // MILLI
    mark = bench.mark()
    await _history(bench, "funding", perp, start, end, 0)
    await bench.until(
        lambda: len(bench.find(FundingSettled, since=mark)) >= len(rows), f"{len(rows)} rates"
    )
    told = {e.settled_ms // 1000: e.rate for e in bench.find(FundingSettled, since=mark)}
    equal("number of rates", len(told), len(bench.find(FundingSettled, since=mark)))
    for row in rows:
        ours = told.get(row.at // SECOND)
        check(ours == row.rate, f"rate {row.rate} at {row.at // SECOND}", ours)


async def mark_history(bench: Bench) -> None:
    """Bars of the mark price are the venue's."""
    await _bars(bench, "mark", _perp(bench))


async def index_history(bench: Bench) -> None:
    """Bars of the index price are the venue's."""
    await _bars(bench, "index", _perp(bench))


async def candle_history(bench: Bench) -> None:
    """Bars of trades are the venue's, volumes included."""
    for instrument in bench.instruments[:2]:
        await _bars(bench, "trade", instrument)


async def _bars(bench: Bench, kind: str, instrument: Instrument) -> None:
    def closed() -> list[tuple[int, Decimal, Decimal]]:
        rows = bench.exchange.candles(instrument.id, kind, MINUTE_MS, limit=1000)
        # One that has just ended may still be held back: clocks are never quite equal.
        ended_ms = bench.now() // MILLI - MINUTE_MS - 5_000
        return [
            (r.start_ms, r.open, r.close) for r in rows if r.closed and r.start_ms <= ended_ms
        ]

    await bench.until(lambda: len(closed()) >= 1, "a finished bar", 70)
    rows = closed()
    mark = bench.mark()
    await _history(bench, kind, instrument, rows[0][0], rows[-1][0], MINUTE_MS)

    def told() -> dict[int, CandleClosed]:
        found = bench.find(
            CandleClosed,
            lambda e: e.instrument == instrument.id and e.kind == kind,
            mark,
        )
        return {e.start_ms: e for e in found}

    await bench.until(lambda: len(told()) >= len(rows), f"{len(rows)} bars of {kind}")
    for start, first, last in rows:
        ours = told().get(start)
        check(ours is not None, f"a bar at {start}", sorted(told()))
        assert ours is not None
        near = abs(ours.open - first) + abs(ours.close - last) <= last / 50_000
        check(near, f"open {first}, close {last}", (ours.open, ours.close))
        equal("interval", ours.interval_ms, MINUTE_MS)
        if kind == "trade":
            check(ours.volume > ZERO, "a volume", ours.volume)


async def _history(
    bench: Bench, kind: str, instrument: Instrument, start_ms: int, end_ms: int, interval_ms: int
) -> None:
    wanted = HistoryWanted(
        instrument=instrument.id,
        kind=kind,  # type: ignore[arg-type]
        start_ms=start_ms,
        end_ms=end_ms,
        interval_ms=interval_ms or MINUTE_MS,
    )
    requests = bench.feed.history(wanted)
    check(bool(requests), f"a request for the history of {kind}", requests)
    for request in requests:
        await bench.gateway.fetch("feed", request)


async def candles(bench: Bench) -> None:
    """A bar that ends is told by the stream, and equals the venue's."""
    instrument = bench.instruments[0]
    heard = await bench.event(
        CandleClosed, lambda e: e.instrument == instrument.id and e.kind == "trade", seconds=70
    )
    rows = bench.exchange.candles(instrument.id, "trade", MINUTE_MS, limit=1000)
    theirs = next((r for r in rows if r.start_ms == heard.start_ms), None)
    check(theirs is not None, "a bar that the venue has", heard.start_ms)
    assert theirs is not None
    equal("close", heard.close, theirs.close)


CARDS = (
    Card(number=1, name="instruments and contract maths", play=instruments),
    Card(number=2, name="clock offset", play=clock),
    Card(number=3, name="books equal the venue's", feature="books", play=books_equal),
    Card(number=4, name="a gap is noticed and mended", feature="book_sequence", play=books_gap),
    Card(number=5, name="no book outlives its connection", feature="books", play=books_dropped),
    Card(number=6, name="trades", feature="trades", play=trades),
    Card(number=7, name="best bid and ask", feature="touch", play=touch),
    Card(number=8, name="mark price", feature="mark", play=mark),
    Card(number=9, name="index price", feature="index", play=index),
    Card(number=10, name="funding rate, due time, interval", feature="funding", play=funding),
    Card(number=11, name="predicted next funding", feature="funding_next", play=funding_next),
    Card(number=12, name="bars as they end", feature="candles", play=candles),
    Card(number=13, name="history of bars", feature="candle_history", play=candle_history),
    Card(number=14, name="history of mark price", feature="mark_history", play=mark_history),
    Card(number=15, name="history of index price", feature="index_history", play=index_history),
    Card(number=16, name="history of funding", feature="funding_history", play=funding_history),
)

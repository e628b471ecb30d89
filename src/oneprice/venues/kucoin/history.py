"""The past over REST: settled funding rates and bars of trades, window by window.

Source: KuCoin API docs, "Get Public Funding History", "Get Klines" of spot and futures. Bars of
mark and index prices are not offered by the documents.
"""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.model.events import AnyEvent, FundingSettled
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos
from oneprice.venues.contract import HistoryWanted, Request
from oneprice.venues.kucoin.public import candle_name, futures_bar, spot_bar
from oneprice.venues.kucoin.rest import get
from oneprice.venues.kucoin.wire import RATES, decimal, milliseconds

_RATES_MAX = 100
# Somewhat below the rows of a page (1500 and 500): whether the end counts is told nowhere.
_BARS = {"spot": 1400, "futures": 450}
_OPEN_MAX = 64  # questions that were never answered must not fill the memory
_GRID = msgspec.json.Decoder(list[list[msgspec.Raw]])


class _Range(msgspec.Struct):
    """A stretch that is being asked for; both ends included, ms."""

    item: Instrument
    wanted: HistoryWanted
    start_ms: int
    end_ms: int


class Histories:
    """Ranges under way by tag; `more` holds the next page's request, once."""

    def __init__(self, listed: Mapping[InstrumentId, Instrument]) -> None:
        self.more: list[Request] = []
        self._listed = listed
        self._open: dict[str, _Range] = {}
        self._count = 0

    def begin(self, wanted: HistoryWanted) -> Sequence[Request]:
        """ValueError where the venue has no such history."""
        item = self._listed.get(wanted.instrument)
        if item is None:
            raise ValueError(f"instrument {wanted.instrument!r} was never listed")
        if wanted.kind in ("mark", "index"):
            raise ValueError(f"history of {wanted.kind}: kucoin has none")
        if wanted.kind == "funding" and not item.funding_interval_ms:
            raise ValueError(f"history of funding: {item.id} has no funding")
        if wanted.end_ms < wanted.start_ms:
            return ()
        return (self._ask(_Range(item, wanted, wanted.start_ms, wanted.end_ms)),)

    def _ask(self, span: _Range) -> Request:
        self._count += 1
        tag = f"history:{span.wanted.kind}:{self._count}"
        self._open[tag] = span
        if len(self._open) > _OPEN_MAX:
            del self._open[next(iter(self._open))]
        item, symbol = span.item, {"symbol": span.item.symbol}
        if span.wanted.kind == "funding":
            when = {"from": str(span.start_ms), "to": str(span.end_ms)}
            path = "/api/v1/contract/funding-rates"
            return get("futures", path, symbol | when, tag, ("public", 5))
        step = span.wanted.interval_ms
        name = candle_name(item.market, step)
        end = min(span.end_ms, span.start_ms + (_BARS[item.market] - 1) * step)
        if item.market == "spot":
            within = {"startAt": str(span.start_ms // 1000), "endAt": str((end + step) // 1000)}
            params = symbol | {"type": name} | within
            return get("spot", "/api/v1/market/candles", params, tag, ("public", 3))
        within = {"granularity": str(step // 60_000), "from": str(span.start_ms), "to": str(end)}
        return get("futures", "/api/v1/kline/query", symbol | within, tag, ("public", 3))

    def answered(
        self, tag: str, data: msgspec.Raw, at: Nanos, venue_at: Nanos
    ) -> Sequence[AnyEvent]:
        """Rows in the order of time; a further page is put into `more`.

        `venue_at` is the venue's own time: a bar that is not over by then is left out.
        """
        span = self._open.pop(tag, None)
        if span is None:
            raise ValueError(f"answer to no question: {tag[:40]!r}")
        if span.wanted.kind == "funding":
            return self._rates(span, data, at)
        return self._bars(span, data, at, venue_at)

    def failed(self, tag: str) -> None:
        self._open.pop(tag, None)

    def _rates(self, span: _Range, data: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        """Newest first. `timepoint` is taken as the settlement; the documents do not say whether
        it is, only that the `timePoint` of the current rate is a period's start."""
        rows = RATES.decode(data)
        out = [
            FundingSettled(
                at=at,
                instrument=span.item.id,
                rate=decimal(row.funding_rate, "fundingRate"),
                settled_ms=milliseconds(row.timepoint, "timepoint"),
            )
            for row in rows
        ]
        out.sort(key=lambda event: event.settled_ms)
        out = [e for e in out if span.start_ms <= e.settled_ms <= span.end_ms]
        if len(rows) >= _RATES_MAX and out and out[0].settled_ms > span.start_ms:
            span.end_ms = out[0].settled_ms - 1
            self.more.append(self._ask(span))
        return out

    def _bars(
        self, span: _Range, data: msgspec.Raw, at: Nanos, venue_at: Nanos
    ) -> Sequence[AnyEvent]:
        item, step = span.item, span.wanted.interval_ms
        bar_of = spot_bar if item.market == "spot" else futures_bar
        last = min(span.end_ms, span.start_ms + (_BARS[item.market] - 1) * step)
        bars = []
        for row in _GRID.decode(data):
            if len(row) < 6:
                raise ValueError(f"candle: expected at least 6 numbers, found {len(row)}")
            bar = bar_of(item, row, step, at)
            finished = (bar.start_ms + step) * MILLI <= venue_at
            if span.start_ms <= bar.start_ms <= last and finished:
                bars.append(bar)
        bars.sort(key=lambda bar: bar.start_ms)
        if last < span.end_ms:
            span.start_ms = last + 1
            self.more.append(self._ask(span))
        return bars

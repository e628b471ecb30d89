"""The past of an instrument, page by page: candles of trades, marks and indexes, and funding.

Source: Bybit v5 docs, "Get Kline", "Get Mark Price Kline", "Get Index Price Kline", "Get Funding
Rate History". Pages come newest first; a full one may hide older rows, so the next question ends
just before its oldest.
"""

from collections.abc import Mapping

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.events import AnyEvent, CandleClosed, FundingSettled
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.bybit.rest import get
from oneprice.venues.bybit.wire import BAR, PAGE, SETTLED, Reply, decimal, whole
from oneprice.venues.contract import HistoryWanted, Request

_MINUTE_MS = 60_000
# The venue's names of the lengths it has; a month has no fixed length and is left out.
INTERVALS: Mapping[int, str] = {
    **{n * _MINUTE_MS: str(n) for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    1440 * _MINUTE_MS: "D",
    7 * 1440 * _MINUTE_MS: "W",
}
_PATHS: Mapping[str, str] = {
    "trade": "/v5/market/kline",
    "mark": "/v5/market/mark-price-kline",
    "index": "/v5/market/index-price-kline",
    "funding": "/v5/market/funding/history",
}
_ROWS_MAX: Mapping[str, int] = {"trade": 1000, "mark": 1000, "index": 1000, "funding": 200}


def interval(length_ms: int) -> str:
    """The venue's name of a candle's length; ValueError where it has none such."""
    if length_ms not in INTERVALS:
        raise ValueError(f"candle of {length_ms} ms: expected one of {sorted(INTERVALS)}")
    return INTERVALS[length_ms]


def question(wanted: HistoryWanted, item: Instrument) -> Request:
    """The newest page of a range; ValueError for what the venue has no past of."""
    if wanted.kind != "trade" and not item.is_derivative:
        raise ValueError(f"{item.id}: spot has no {wanted.kind} history")
    if wanted.kind == "funding" and not item.funding_interval_ms:
        raise ValueError(f"{item.id}: pays no funding")
    if not 0 <= wanted.start_ms <= wanted.end_ms:
        raise ValueError(f"history: start {wanted.start_ms} is not before end {wanted.end_ms}")
    params = {"category": item.market, "symbol": item.symbol}
    ends = {"start": str(wanted.start_ms), "end": str(wanted.end_ms)}
    if wanted.kind == "funding":
        ends = {"startTime": ends["start"], "endTime": ends["end"]}
    else:
        params["interval"] = interval(wanted.interval_ms)
    params |= ends | {"limit": str(_ROWS_MAX[wanted.kind])}
    # The tag alone must tell what an answer is about.
    tag = f"history:{wanted.kind}:{wanted.interval_ms}:{wanted.start_ms}:{item.id}"
    return get(_PATHS[wanted.kind], params, tag, "", Priority.DATA)


def page(
    tag: str, item: Instrument, reply: Reply, at: Nanos
) -> tuple[list[AnyEvent], Request | None]:
    """Events of a page, oldest first, and the question for the page before it."""
    _, kind, length_ms, start_ms, _ = tag.split(":", 4)
    rows = PAGE.decode(reply.result).list
    events: list[AnyEvent] = []
    oldest = -1
    now_ms = reply.time or at // MILLI
    for raw in reversed(rows):
        if kind == "funding":
            settled = _settled(raw, item, at)
            stamp, done = settled.settled_ms, True
            event: AnyEvent = settled
        else:
            bar = _bar(raw, kind, int(length_ms), item, at)
            # The newest candle may still grow.
            stamp, done = bar.start_ms, bar.start_ms + int(length_ms) <= now_ms
            event = bar
        oldest = stamp if oldest < 0 else min(oldest, stamp)
        if done:
            events.append(event)
    if len(rows) < _ROWS_MAX[kind] or oldest <= int(start_ms):
        return events, None
    wanted = HistoryWanted(
        instrument=item.id,
        kind=kind,  # type: ignore[arg-type]  # it was ours when the tag was made
        start_ms=int(start_ms),
        end_ms=oldest - 1,
        interval_ms=int(length_ms),
    )
    return events, question(wanted, item)


def _settled(raw: msgspec.Raw, item: Instrument, at: Nanos) -> FundingSettled:
    row = SETTLED.decode(raw)
    return FundingSettled(
        at=at,
        instrument=item.id,
        rate=decimal(row.funding_rate),
        settled_ms=whole(row.funding_rate_timestamp),
    )


def _bar(raw: msgspec.Raw, kind: str, length_ms: int, item: Instrument, at: Nanos) -> CandleClosed:
    start, first, high, low, last, *more = BAR.decode(raw)
    return CandleClosed(
        at=at,
        instrument=item.id,
        kind=kind,
        interval_ms=length_ms,
        start_ms=whole(start),
        open=decimal(first),
        high=decimal(high),
        low=decimal(low),
        close=decimal(last),
        volume=decimal(more[0] if kind == "trade" else "0"),
    )

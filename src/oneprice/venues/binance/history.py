"""The past of an instrument, page by page: candles of trades, marks and indexes, and funding.

Source: Binance docs, "Kline Data", "Mark Price Kline", "Index Price Kline", "Get Funding Rate
History". Pages come oldest first, so the next question begins behind the last row.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from oneprice.model.events import AnyEvent, CandleClosed, FundingSettled
from oneprice.model.instrument import Instrument
from oneprice.model.units import Nanos
from oneprice.venues.binance.facts import DAY_MS, MINUTE_MS, PRODUCTS
from oneprice.venues.binance.frames import SettledFunding
from oneprice.venues.binance.numbers import decimal
from oneprice.venues.contract import HistoryWanted, Request

_HOUR_MS = 60 * MINUTE_MS
# The venue's names of the lengths it has; a month has no fixed length and is left out.
INTERVALS: Mapping[int, str] = {
    1_000: "1s",
    **{n * MINUTE_MS: f"{n}m" for n in (1, 3, 5, 15, 30)},
    **{n * _HOUR_MS: f"{n}h" for n in (1, 2, 4, 6, 8, 12)},
    DAY_MS: "1d",
    3 * DAY_MS: "3d",
    7 * DAY_MS: "1w",
}
_PATHS: Mapping[str, str] = {
    "trade": "klines",
    "mark": "markPriceKlines",
    "index": "indexPriceKlines",
    "funding": "fundingRate",
}
_ROWS_MAX = 1_000
# COIN-M answers no longer range than this (publicly known of it, not in our documents).
_REACH_MS = 200 * DAY_MS
# A candle that ended a moment ago by what we know of the venue's clock may still grow by it.
_SETTLING_MS = 1_000

_rows = msgspec.json.Decoder(list[list[str | int | float]])
_settled = msgspec.json.Decoder(list[SettledFunding])


def interval(length_ms: int, market: str) -> str:
    """The venue's name of a candle's length; ValueError where this market has none such."""
    if length_ms not in INTERVALS or (length_ms == 1_000 and market != "spot"):
        raise ValueError(f"candle of {length_ms} ms: expected one of {sorted(INTERVALS)}")
    return INTERVALS[length_ms]


def question(wanted: HistoryWanted, item: Instrument) -> Request:
    """The oldest page of a range; ValueError for what the venue has no past of."""
    if wanted.kind != "trade" and not item.is_derivative:
        raise ValueError(f"{item.id}: spot has no {wanted.kind} history")
    if wanted.kind == "funding" and not item.funding_interval_ms:
        raise ValueError(f"{item.id}: pays no funding")
    if not 0 <= wanted.start_ms <= wanted.end_ms:
        raise ValueError(f"history: start {wanted.start_ms} is not before end {wanted.end_ms}")
    product = PRODUCTS[item.market]
    until = wanted.end_ms
    if item.market == "coinm":
        until = min(until, wanted.start_ms + _REACH_MS - 1)
    # Index prices belong to a pair; contracts of one pair are named for it.
    named = {"symbol": item.symbol}
    if wanted.kind == "index":
        named = {"pair": item.symbol.partition("_")[0]}
    if wanted.kind != "funding":
        named["interval"] = interval(wanted.interval_ms, item.market)
    ends = {"startTime": wanted.start_ms, "endTime": until, "limit": _ROWS_MAX}
    cost = ((product.weight, 2 if item.market == "spot" else 5),)
    if wanted.kind == "funding" and item.market == "usdm":
        cost = (("funding_info", 1),)
    return Request(
        # The tag alone must tell what an answer is about.
        tag=f"history:{wanted.kind}:{wanted.interval_ms}:{until}:{wanted.end_ms}:{item.id}",
        host=product.rest,
        path=f"{product.api}/{_PATHS[wanted.kind]}",
        query=urlencode({**named, **ends}),
        cost=cost,
    )


def page(
    tag: str, item: Instrument, body: bytes, at: Nanos, there_ms: int
) -> tuple[list[AnyEvent], Request | None]:
    """Events of a page, oldest first, and the question for the page behind it.

    `there_ms` is the venue's time: a candle that has not ended by it is left out.
    """
    _, kind, length_ms, until_ms, end_ms, _ = tag.split(":", 5)
    events: list[AnyEvent] = []
    last = -1
    if kind == "funding":
        for row in _settled.decode(body):
            events.append(_funding(row, item, at))
            last = row.fundingTime
        count = len(events)
    else:
        rows = _rows.decode(body)
        for cells in rows:
            bar = _bar(cells, kind, int(length_ms), item, at)
            last = bar.start_ms
            if bar.start_ms + int(length_ms) + _SETTLING_MS <= there_ms:
                events.append(bar)
        count = len(rows)
    start_ms = last + 1 if count >= _ROWS_MAX else int(until_ms) + 1
    if start_ms > int(end_ms):
        return events, None
    wanted = HistoryWanted(
        instrument=item.id,
        kind=kind,  # type: ignore[arg-type]  # it was ours when the tag was made
        start_ms=start_ms,
        end_ms=int(end_ms),
        interval_ms=int(length_ms),
    )
    return events, question(wanted, item)


def _funding(row: SettledFunding, item: Instrument, at: Nanos) -> FundingSettled:
    return FundingSettled(
        at=at,
        instrument=item.id,
        rate=decimal(row.fundingRate),
        settled_ms=row.fundingTime,
        mark=decimal(row.markPrice) if row.markPrice else None,
    )


def _bar(
    cells: list[str | int | float], kind: str, length_ms: int, item: Instrument, at: Nanos
) -> CandleClosed:
    start, *texts = cells[:6]
    if type(start) is not int or len(texts) < 5:
        raise ValueError(f"candle: expected a start and five texts, found {str(cells)[:60]}")
    first, high, low, last, volume = (_text(cell) for cell in texts)
    return CandleClosed(
        at=at,
        instrument=item.id,
        kind=kind,
        interval_ms=length_ms,
        start_ms=start,
        open=decimal(first),
        high=decimal(high),
        low=decimal(low),
        close=decimal(last),
        volume=decimal(volume if kind == "trade" else "0"),
    )


def _text(cell: str | int | float) -> str:
    if not isinstance(cell, str):
        raise ValueError(f"candle: expected prices as text, found {str(cell)[:30]!r}")
    return cell

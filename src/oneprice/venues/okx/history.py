"""The past from OKX: candles of trades, marks and indices, and settled funding, page by page.

Source: API v5, "Get candlesticks history", "Get mark price candlesticks history", "Get index
candlesticks history", "Get funding rate history". Pages begin with the newest row; `after` means
older than, so the range is walked backwards.
"""

from collections.abc import Sequence

import msgspec

from oneprice.model.instrument import Instrument
from oneprice.model.units import Nanos
from oneprice.venues.contract import Answer, HistoryWanted, Output, Request
from oneprice.venues.okx import public
from oneprice.venues.okx.frames import (
    TEXTS,
    UNREADABLE,
    SettledRate,
    milliseconds,
    rejected,
    rows_of,
)
from oneprice.venues.okx.rest import get

TAG = "history:"
_PENDING_MAX = 256


class _Place(msgspec.Struct, frozen=True):
    path: str
    bucket: str
    rows_max: int


_PLACES = {
    "trade": _Place("/api/v5/market/history-candles", "candle_history", 300),
    "mark": _Place("/api/v5/market/history-mark-price-candles", "mark_history", 100),
    "index": _Place("/api/v5/market/history-index-candles", "index_history", 100),
    "funding": _Place("/api/v5/public/funding-rate-history", "funding_history", 400),
}


class _Walk(msgspec.Struct):
    """One range under way. `cursor`: everything from here on has been told."""

    wanted: HistoryWanted
    name: str  # the instrument's, or its index's
    cursor: int


class History:
    """Asks for ranges of the past; further pages wait in `follow_ups`."""

    def __init__(self) -> None:
        self._walks: dict[str, _Walk] = {}
        self._count = 0
        self._next: list[Request] = []

    def begin(
        self, wanted: HistoryWanted, instrument: Instrument, index: str
    ) -> Sequence[Request]:
        """The newest page; ValueError for bars or kinds that the venue does not have."""
        if wanted.kind == "funding":
            if not instrument.funding_interval_ms:
                raise ValueError(f"{wanted.instrument}: has no funding")
        else:
            public.bar(wanted.interval_ms)
        if wanted.start_ms > wanted.end_ms:
            return ()
        self._count += 1
        name = index if wanted.kind == "index" else instrument.symbol
        walk = _Walk(wanted, name, wanted.end_ms + 1)
        return (self._ask(str(self._count), walk),)

    def follow_ups(self) -> list[Request]:
        out, self._next = self._next, []
        return out

    def bucket(self, tag: str) -> str:
        """The allowance that a question of ours draws on."""
        walk = self._walks.get(tag.removeprefix(TAG))
        return _PLACES[walk.wanted.kind].bucket if walk is not None else ""

    def _ask(self, number: str, walk: _Walk) -> Request:
        wanted, place = walk.wanted, _PLACES[walk.wanted.kind]
        bar = "" if wanted.kind == "funding" else public.bar(wanted.interval_ms)
        params = {"instId": walk.name, "bar": bar, "after": str(walk.cursor)}
        self._walks[number] = walk
        if len(self._walks) > _PENDING_MAX:
            del self._walks[next(iter(self._walks))]
        limit = {"limit": str(place.rows_max)}
        return get(place.path, params | limit, f"{TAG}{number}", place.bucket)

    def page(self, answer: Answer, data: msgspec.Raw, at: Nanos) -> list[Output]:
        """The rows of one page within the range, oldest first, as they are told by the venue."""
        number = answer.tag.removeprefix(TAG)
        walk = self._walks.pop(number, None)
        if walk is None:
            return []  # of a walk that was given up
        rows: Sequence[SettledRate | list[str]]
        funding = walk.wanted.kind == "funding"
        rows = rows_of(data, SettledRate) if funding else TEXTS.decode(data)
        out: list[Output] = []
        oldest = walk.cursor
        for row in rows:
            try:
                stamp = _stamp(row)
                oldest = min(oldest, stamp)
                if walk.wanted.start_ms <= stamp < walk.cursor:
                    out += _told(walk.wanted, row, at)
            except UNREADABLE as error:
                raw = msgspec.json.encode(row)
                out.append(rejected("rest", f"{answer.tag}: {error}", raw, at))
        full = len(rows) >= _PLACES[walk.wanted.kind].rows_max
        if full and walk.wanted.start_ms < oldest < walk.cursor:
            walk.cursor = oldest
            self._next.append(self._ask(number, walk))
        out.reverse()
        return out


def _stamp(row: SettledRate | list[str]) -> int:
    if isinstance(row, SettledRate):
        return milliseconds(row.fundingTime, "fundingTime")
    if not row or not row[0]:
        raise ValueError("candle: expected a time, found nothing")
    return milliseconds(row[0], "ts")


def _told(wanted: HistoryWanted, row: SettledRate | list[str], at: Nanos) -> list[Output]:
    if isinstance(row, SettledRate):
        return [public.funded(wanted.instrument, row, at)]
    bar = public.candle(wanted.instrument, wanted.kind, wanted.interval_ms, row, at)
    return [bar] if bar is not None else []

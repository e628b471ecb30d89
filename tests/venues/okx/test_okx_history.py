"""The past is asked for page by page, backwards, and told within the range that was wanted."""

from decimal import Decimal
from urllib.parse import parse_qsl

import msgspec
import pytest

from oneprice.kernel import Tripwires
from oneprice.model.events import CandleClosed, FrameRejected, FundingSettled
from oneprice.model.units import Nanos
from oneprice.venues.contract import Answer, HistoryWanted, Request
from oneprice.venues.okx.feed import OkxFeed

AT = Nanos(1_767_323_045_123_000_000)
SWAP, SPOT = "okx:swap:BTC-USDT-SWAP", "okx:spot:BTC-USDT"
MINUTE = 60_000
ROWS = [
    {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "settleCcy": "USDT",
        "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear", "tickSz": "0.1",
        "lotSz": "0.01", "minSz": "0.01", "state": "live",
    },
    {
        "instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT",
        "tickSz": "0.1", "lotSz": "0.00000001", "minSz": "0.00001", "state": "live",
    },
]  # fmt: skip


def new_feed() -> OkxFeed:
    feed = OkxFeed(Tripwires())
    body = msgspec.json.encode({"code": "0", "msg": "", "data": ROWS})
    feed.answered(Answer(tag="instruments:swap", status=200, body=body), AT)
    return feed


def params(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query))


def answer(request: Request, data: object) -> Answer:
    body = msgspec.json.encode({"code": "0", "msg": "", "data": data})
    return Answer(tag=request.tag, status=200, body=body)


def bar(start: int, fields: int = 9) -> list[str]:
    return [*[str(start), "1", "3", "0.5", "2", "7", "8", "9"][: fields - 1], "1"]


def test_candles_are_walked_backwards_until_the_start_and_each_is_told_once() -> None:
    feed = new_feed()
    start, end = 1_767_000_000_000, 1_767_000_000_000 + 699 * MINUTE
    wanted = HistoryWanted(instrument=SWAP, kind="trade", start_ms=start, end_ms=end)
    (request,) = feed.history(wanted)
    assert request.path == "/api/v5/market/history-candles"
    told: list[int] = []
    pages = 0
    requests = [request]
    while requests:
        (request,) = requests
        asked = params(request)
        assert (asked["instId"], asked["bar"], asked["limit"]) == ("BTC-USDT-SWAP", "1m", "300")
        newest = (int(asked["after"]) - 1) // MINUTE * MINUTE
        rows = [bar(newest - count * MINUTE) for count in range(300)]
        bars = feed.answered(answer(request, rows), AT)
        assert all(isinstance(event, CandleClosed) for event in bars)
        told += [event.start_ms for event in bars]  # type: ignore[union-attr]
        requests = list(feed.follow_ups())
        pages += 1
    assert pages == 3
    assert sorted(told) == list(range(start, end + 1, MINUTE))


@pytest.mark.parametrize(
    ("kind", "path", "name"),
    [
        ("mark", "/api/v5/market/history-mark-price-candles", "BTC-USDT-SWAP"),
        ("index", "/api/v5/market/history-index-candles", "BTC-USDT"),
    ],
)
def test_mark_and_index_have_their_own_places_and_no_volume(
    kind: str, path: str, name: str
) -> None:
    feed = new_feed()
    span = {"start_ms": 0, "end_ms": MINUTE, "interval_ms": 3_600_000}
    (request,) = feed.history(HistoryWanted(instrument=SWAP, kind=kind, **span))  # type: ignore[arg-type]
    asked = params(request)
    assert (request.path, asked["instId"], asked["bar"]) == (path, name, "1H")
    older, newer = feed.answered(answer(request, [bar(MINUTE, 6), bar(0, 6)]), AT)
    assert isinstance(older, CandleClosed)
    assert isinstance(newer, CandleClosed)
    assert (older.start_ms, newer.start_ms, newer.kind, newer.volume) == (0, MINUTE, kind, 0)
    assert list(feed.follow_ups()) == []


def test_funding_is_what_was_charged_and_not_what_had_been_predicted() -> None:
    feed = new_feed()
    wanted = HistoryWanted(
        instrument=SWAP, kind="funding", start_ms=1_767_283_200_000, end_ms=1_767_312_000_000
    )
    (request,) = feed.history(wanted)
    row = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "method": "current_period"}
    rows = [
        {**row, "fundingRate": "9", "realizedRate": "0.1", "fundingTime": "1767312000000"},
        {**row, "fundingRate": "9", "realizedRate": "", "fundingTime": "1767297600000"},
        {**row, "fundingRate": "9", "realizedRate": "-0.2", "fundingTime": "1767283200000"},
    ]
    first, broken, last = feed.answered(answer(request, rows), AT)
    assert isinstance(first, FundingSettled)
    assert (first.rate, first.settled_ms) == (Decimal("-0.2"), 1_767_283_200_000)
    assert isinstance(broken, FrameRejected)
    assert "realizedRate" in broken.reason
    assert isinstance(last, FundingSettled)
    assert last.rate == Decimal("0.1")


def test_what_the_venue_cannot_tell_is_refused_before_it_is_asked() -> None:
    feed = new_feed()
    span = {"start_ms": 0, "end_ms": 1}
    with pytest.raises(ValueError, match="no funding"):
        feed.history(HistoryWanted(instrument=SPOT, kind="funding", **span))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="candle of 61000 ms"):
        feed.history(HistoryWanted(instrument=SPOT, kind="trade", interval_ms=61_000, **span))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not an instrument"):
        feed.history(HistoryWanted(instrument="okx:spot:X-Y", kind="trade", **span))  # type: ignore[arg-type]
    backwards = HistoryWanted(instrument=SPOT, kind="trade", start_ms=2, end_ms=1)
    assert list(feed.history(backwards)) == []


def test_a_page_that_is_refused_or_broken_is_told_and_ends_the_walk() -> None:
    feed = new_feed()
    wanted = HistoryWanted(instrument=SPOT, kind="trade", start_ms=0, end_ms=1)
    for body in (b'{"code":"51001","msg":"no","data":[]}', b"<html>", b'{"code":"0","data":[1]}'):
        (request,) = feed.history(wanted)
        (told,) = feed.answered(Answer(tag=request.tag, status=200, body=body), AT)
        assert isinstance(told, FrameRejected)
        assert list(feed.follow_ups()) == []
